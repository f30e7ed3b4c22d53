//! Numbers of tensors that are changed where they are: parameters, their gradients, moments and averages.

use std::any::{Any, TypeId};

use burn::tensor::{DType, Tensor, TensorPrimitive, backend::Backend};
use burn_flex::{Flex, FlexTensor};

use super::cpu::{dot, numbers, tasks_on, vectorized};

/// Numbers that a core takes at a time.
const PART: usize = 1 << 14;

/// Whether tensors of this backend are in the CPU's memory.
pub fn is_flex<B: Backend>() -> bool {
    TypeId::of::<B>() == TypeId::of::<Flex>()
}

/// Calls `f` on parts of the numbers of tensors and of given ones that it only reads, all of one shape, on all cores. A tensor
/// that has another owner is copied first.
///
/// # Errors
/// All tensors, unchanged, if they are not Flex's in float32.
#[expect(clippy::type_complexity, reason = "what was passed comes back")]
pub fn in_place<B: Backend, const D: usize, const N: usize, const M: usize>(
    tensors: [Tensor<B, D>; N],
    given: [Tensor<B, D>; M],
    f: impl Fn([&mut [f32]; N], [&[f32]; M]) + Sync,
) -> Result<[Tensor<B, D>; N], ([Tensor<B, D>; N], [Tensor<B, D>; M])> {
    whole(tensors, given, |numbers, given| each_part(numbers, given, f)).map(|(tensors, ())| tensors)
}

/// As [`in_place`], with all numbers at once, and with a result.
///
/// # Errors
/// As there.
#[expect(clippy::type_complexity, reason = "what was passed comes back")]
pub fn whole<B: Backend, T, const D: usize, const N: usize, const M: usize>(
    tensors: [Tensor<B, D>; N],
    given: [Tensor<B, D>; M],
    f: impl FnOnce([&mut [f32]; N], [&[f32]; M]) -> T,
) -> Result<([Tensor<B, D>; N], T), ([Tensor<B, D>; N], [Tensor<B, D>; M])> {
    let shape = tensors.first().or(given.first()).map(Tensor::dims);
    let fits = |tensor: &Tensor<B, D>| tensor.dtype() == DType::F32 && Some(tensor.dims()) == shape;
    if !tensors.iter().chain(&given).all(fits) {
        return Err((tensors, given));
    }
    let mut insides = tensors.map(|tensor| tensor.into_primitive().tensor());
    let given_insides = given.each_ref().map(|tensor| tensor.clone().into_primitive().tensor());
    let (any, any_given): (&mut dyn Any, &dyn Any) = (&mut insides, &given_insides);
    let both = (any.downcast_mut::<[FlexTensor; N]>(), any_given.downcast_ref::<[FlexTensor; M]>());
    let result = match both {
        (Some(tensors), Some(given)) => {
            for tensor in tensors.iter_mut() {
                *tensor = tensor.to_contiguous();
            }
            let given = given.each_ref().map(FlexTensor::to_contiguous);
            Some(f(tensors.each_mut().map(FlexTensor::storage_mut), given.each_ref().map(numbers)))
        }
        _ => None,
    };
    let tensors = insides.map(|inside| Tensor::from_primitive(TensorPrimitive::Float(inside)));
    match result {
        Some(result) => Ok((tensors, result)),
        None => Err((tensors, given)),
    }
}

/// Calls `f` on parts of numbers, of which there are as many in each, on all cores.
pub fn each_part<const N: usize, const M: usize>(
    numbers: [&mut [f32]; N],
    given: [&[f32]; M],
    f: impl Fn([&mut [f32]; N], [&[f32]; M]) + Sync,
) {
    let count = numbers.first().map_or(0, |numbers| numbers.len().div_ceil(PART));
    let mut numbers = numbers.map(|numbers| numbers.chunks_mut(PART));
    let mut given = given.map(|given| given.chunks(PART));
    let next = |_| {
        let numbers = numbers.each_mut().map(|parts| parts.next().unwrap_or_default());
        (numbers, given.each_mut().map(|parts| parts.next().unwrap_or_default()))
    };
    tasks_on((0..count).map(next).collect(), |(numbers, given)| vectorized(|| f(numbers, given)));
}

/// Σ x², of parts of the same size and then of these sums, so that it does not depend on the number of cores.
pub fn sum_of_squares(x: &[f32]) -> f64 {
    let parts = x.chunks(PART).collect();
    tasks_on(parts, |part: &[f32]| vectorized(|| f64::from(dot(part, part)))).into_iter().sum()
}

#[cfg(test)]
mod tests {
    use burn::tensor::TensorData;

    use super::*;

    #[test]
    fn tensors_are_changed_where_they_are_and_copied_where_shared() {
        let count = 2 * PART + 3;
        let of = |value: f32| {
            Tensor::<Flex, 1>::from_data(TensorData::new(vec![value; count], [count]), &Default::default())
        };
        let (sum, shared, step) = (of(1.0), of(2.0), of(3.0));
        let (kept, views) = (shared.clone(), [&sum, &shared].map(|t| t.clone().into_primitive().tensor()));
        let addresses = views.map(|view| numbers(&view).as_ptr());
        let Ok([sum, shared]) = in_place([sum, shared], [step.clone()], |[sum, shared], [step]| {
            for ((sum, shared), step) in sum.iter_mut().zip(shared).zip(step) {
                (*sum, *shared) = (*sum + step, *shared * step);
            }
        }) else {
            panic!("these are Flex's");
        };
        let after = [&sum, &shared].map(|t| numbers(&t.clone().into_primitive().tensor()).as_ptr());
        assert_eq!(addresses[0], after[0]);
        assert_ne!(addresses[1], after[1]);
        for (tensor, value) in [(sum, 4.0), (shared, 6.0), (kept, 2.0), (step, 3.0)] {
            assert!(tensor.into_data().iter::<f32>().all(|v| v == value), "{value}");
        }
        assert!(in_place([of(1.0)], [Tensor::<Flex, 1>::zeros([1], &Default::default())], |_, _| ()).is_err());
    }

    #[test]
    fn a_sum_of_squares_is_the_sum_of_all_parts() {
        let x: Vec<f32> = (0..PART + 7).map(|i| (i % 5) as f32).collect();
        let expected: f64 = x.iter().map(|v| f64::from(v * v)).sum();
        assert_eq!(sum_of_squares(&x), expected);
    }
}
