//! Compares an operation with the plain code.

use burn::backend::{Autodiff, Flex};
use burn::tensor::{Tensor, TensorData};

use crate::rng::{Rng, RngStream};

/// What trains on the CPU.
pub type Cpu = Autodiff<Flex>;

/// Values and gradients of both, on inputs of noise with these shapes. They may differ by the rounding of float32 in another
/// order: by 2 · 10⁻⁵ of the largest number.
pub fn check<const N: usize>(
    shapes: [[usize; 2]; N],
    fused: impl Fn([Tensor<Cpu, 2>; N]) -> Option<Tensor<Cpu, 2>>,
    plain: impl Fn([Tensor<Cpu, 2>; N]) -> Tensor<Cpu, 2>,
) {
    let device = Default::default();
    let noise = |stream: u64, [rows, columns]: [usize; 2]| {
        let values = Rng::new(7, RngStream::Evaluation, stream).normals(rows * columns);
        Tensor::<Cpu, 2>::from_data(TensorData::new(values, [rows, columns]), &device)
    };
    let run = |f: &dyn Fn([Tensor<Cpu, 2>; N]) -> Tensor<Cpu, 2>| {
        let inputs: [_; N] = std::array::from_fn(|i| noise(i as u64, shapes[i]).require_grad());
        let output = f(inputs.clone());
        let grads = (output.clone() * noise(99, output.dims())).sum().backward();
        let mut all = vec![output.inner()];
        all.extend(inputs.iter().map(|input| input.grad(&grads).expect("a gradient")));
        all
    };
    let found = run(&|inputs| fused(inputs).expect("runs on Flex"));
    for (i, (found, expected)) in found.into_iter().zip(run(&plain)).enumerate() {
        assert_eq!(found.dims(), expected.dims());
        let largest: f32 = expected.clone().abs().max().into_scalar();
        let apart: f32 = (found - expected).abs().max().into_scalar();
        assert!(apart <= 2e-5 * largest, "{shapes:?}, number {i}: {apart} of {largest}");
    }
}
