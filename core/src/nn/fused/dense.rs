//! Dense layers.

use burn::tensor::{Tensor, backend::Backend};
use burn_flex::FlexTensor;

use super::cpu::{Cores, Into, Matrix, column_sums, each_part, numbers, product, sizes, tensor, vectorized};
use super::operation::{Operation, apply, inside, outside};

/// x W + b for x `[N, I]`, W `[I, O]` and b `[O]`, plus a residual `[N, O]` if there is one; `None` where it is the plain
/// code's to do.
pub fn dense<B: Backend>(
    residual: Option<&Tensor<B, 2>>,
    x: &Tensor<B, 2>,
    weight: &Tensor<B, 2>,
    bias: &Tensor<B, 1>,
) -> Option<Tensor<B, 2>> {
    let [x, weight, bias] = [inside(x), inside(weight), inside(bias)];
    match residual {
        None => apply::<B, _, 3>(Dense, [x, weight, bias]),
        Some(residual) => apply::<B, _, 4>(Dense, [inside(residual), x, weight, bias]),
    }
    .map(outside)
}

#[derive(Clone, Copy, Debug)]
struct Dense;

impl Operation<3> for Dense {
    type Kept = ();

    fn forward(&self, [x, weight, bias]: &[FlexTensor; 3], _keep: bool) -> (FlexTensor, Option<()>) {
        (forward(None, x, weight, bias), None)
    }

    fn backward(
        &self,
        [x, weight, _]: &[FlexTensor; 3],
        _kept: Option<()>,
        gradient: FlexTensor,
        wanted: [bool; 3],
    ) -> [Option<FlexTensor>; 3] {
        backward(x, weight, &gradient, wanted)
    }
}

impl Operation<4> for Dense {
    type Kept = ();

    fn forward(&self, [residual, x, weight, bias]: &[FlexTensor; 4], _keep: bool) -> (FlexTensor, Option<()>) {
        (forward(Some(residual), x, weight, bias), None)
    }

    fn backward(
        &self,
        [_, x, weight, _]: &[FlexTensor; 4],
        _kept: Option<()>,
        gradient: FlexTensor,
        [residual, wanted @ ..]: [bool; 4],
    ) -> [Option<FlexTensor>; 4] {
        let [x, weight, bias] = backward(x, weight, &gradient, wanted);
        [residual.then_some(gradient), x, weight, bias]
    }
}

/// Numbers of a pass that a core takes at a time.
const PART: usize = 1 << 14;

fn forward(residual: Option<&FlexTensor>, x: &FlexTensor, weight: &FlexTensor, bias: &FlexTensor) -> FlexTensor {
    let ([rows, inputs], [_, outputs]) = (sizes(x), sizes(weight));
    let (residual, bias) = (residual.map(numbers), numbers(bias));
    let mut y = vec![0.0; rows * outputs];
    let part = PART.div_ceil(outputs.max(1)) * outputs;
    each_part(&mut y, part, |i, y| {
        vectorized(|| match residual {
            None => y.chunks_exact_mut(outputs).for_each(|y| y.copy_from_slice(bias)),
            Some(residual) => {
                for (y, residual) in y.chunks_exact_mut(outputs).zip(residual[i * part..].chunks_exact(outputs)) {
                    for ((y, residual), bias) in y.iter_mut().zip(residual).zip(bias) {
                        *y = residual + bias;
                    }
                }
            }
        });
    });
    let (x, weight) = (Matrix::new(numbers(x), inputs), Matrix::new(numbers(weight), outputs));
    product(&mut y, Into::Add, x, weight, Cores::All);
    tensor(y, &[rows, outputs])
}

fn backward(x: &FlexTensor, weight: &FlexTensor, gradient: &FlexTensor, wanted: [bool; 3]) -> [Option<FlexTensor>; 3] {
    let ([rows, inputs], [_, outputs]) = (sizes(x), sizes(weight));
    let (x, weight) = (Matrix::new(numbers(x), inputs), Matrix::new(numbers(weight), outputs));
    let of_output = Matrix::new(numbers(gradient), outputs);
    let of_product = |shape: [usize; 2], a: Matrix<'_>, b: Matrix<'_>| {
        let mut out = vec![0.0; shape[0] * shape[1]];
        product(&mut out, Into::Replace, a, b, Cores::All);
        tensor(out, &shape)
    };
    [
        wanted[0].then(|| of_product([rows, inputs], of_output, weight.transposed())),
        wanted[1].then(|| of_product([inputs, outputs], x.transposed(), of_output)),
        wanted[2].then(|| tensor(column_sums(numbers(gradient), outputs), &[outputs])),
    ]
}
