//! Two dense layers with a rectifier between them.

use burn::tensor::{Tensor, backend::Backend};
use burn_flex::FlexTensor;

use super::cpu::{
    Cores, Into, Matrix, add, column_sums, each_pair, each_part, numbers, product, sizes, sum_parts, tensor, vectorized,
};
use super::operation::{Operation, apply, inside, outside};

/// relu(x W₁ + b₁) W₂ + b₂ for x `[N, I]`, plus a residual `[N, O]` if there is one; `None` where it is the plain code's to
/// do.
pub fn perceptron<B: Backend>(
    residual: Option<&Tensor<B, 2>>,
    x: &Tensor<B, 2>,
    weights: [&Tensor<B, 2>; 2],
    biases: [&Tensor<B, 1>; 2],
) -> Option<Tensor<B, 2>> {
    let [weight_1, weight_2] = weights.map(inside);
    let [bias_1, bias_2] = biases.map(inside);
    let x = inside(x);
    match residual {
        None => apply::<B, _, 5>(Perceptron, [x, weight_1, bias_1, weight_2, bias_2]),
        Some(residual) => apply::<B, _, 6>(Perceptron, [inside(residual), x, weight_1, bias_1, weight_2, bias_2]),
    }
    .map(outside)
}

#[derive(Clone, Copy, Debug)]
struct Perceptron;

impl Operation<5> for Perceptron {
    /// The hidden features, rectified.
    type Kept = FlexTensor;

    fn forward(&self, inputs: &[FlexTensor; 5], keep: bool) -> (FlexTensor, Option<FlexTensor>) {
        forward(None, inputs.each_ref(), keep)
    }

    fn backward(
        &self,
        inputs: &[FlexTensor; 5],
        kept: Option<FlexTensor>,
        gradient: FlexTensor,
        wanted: [bool; 5],
    ) -> [Option<FlexTensor>; 5] {
        backward(inputs.each_ref(), kept, &gradient, wanted)
    }
}

impl Operation<6> for Perceptron {
    type Kept = FlexTensor;

    fn forward(&self, [residual, inputs @ ..]: &[FlexTensor; 6], keep: bool) -> (FlexTensor, Option<FlexTensor>) {
        forward(Some(residual), inputs.each_ref(), keep)
    }

    fn backward(
        &self,
        [_, inputs @ ..]: &[FlexTensor; 6],
        kept: Option<FlexTensor>,
        gradient: FlexTensor,
        [residual, wanted @ ..]: [bool; 6],
    ) -> [Option<FlexTensor>; 6] {
        let [x, weight_1, bias_1, weight_2, bias_2] = backward(inputs.each_ref(), kept, &gradient, wanted);
        [residual.then_some(gradient), x, weight_1, bias_1, weight_2, bias_2]
    }
}

/// Rows that a core takes through both layers while they are in its cache.
fn rows_of_part(rows: usize) -> usize {
    rows.div_ceil(8).clamp(32, 256)
}

fn forward(
    residual: Option<&FlexTensor>,
    [x, weight_1, bias_1, weight_2, bias_2]: [&FlexTensor; 5],
    keep: bool,
) -> (FlexTensor, Option<FlexTensor>) {
    let ([count, inputs], [_, width], [_, outputs]) = (sizes(x), sizes(weight_1), sizes(weight_2));
    let (residual, x) = (residual.map(numbers), numbers(x));
    let (weight_1, weight_2) = (Matrix::new(numbers(weight_1), width), Matrix::new(numbers(weight_2), outputs));
    let (bias_1, bias_2) = (numbers(bias_1), numbers(bias_2));
    let rows = rows_of_part(count);
    let part = |i: usize, hidden: &mut [f32], y: &mut [f32]| {
        let x = &x[i * rows * inputs..][..hidden.len() / width * inputs];
        hidden.chunks_exact_mut(width).for_each(|hidden| hidden.copy_from_slice(bias_1));
        product(hidden, Into::Add, Matrix::new(x, inputs), weight_1, Cores::One);
        vectorized(|| {
            for hidden in hidden.iter_mut() {
                // Not `max`, which would make a number of what is none.
                *hidden = if *hidden < 0.0 { 0.0 } else { *hidden };
            }
            match residual {
                None => y.chunks_exact_mut(outputs).for_each(|y| y.copy_from_slice(bias_2)),
                Some(residual) => {
                    let residual = residual[i * rows * outputs..].chunks_exact(outputs);
                    for (y, residual) in y.chunks_exact_mut(outputs).zip(residual) {
                        for ((y, residual), bias) in y.iter_mut().zip(residual).zip(bias_2) {
                            *y = residual + bias;
                        }
                    }
                }
            }
        });
        product(y, Into::Add, Matrix::new(hidden, width), weight_2, Cores::One);
    };
    let mut y = vec![0.0; count * outputs];
    let kept = if keep {
        let mut hidden = vec![0.0; count * width];
        each_pair((&mut hidden, rows * width), (&mut y, rows * outputs), part);
        Some(tensor(hidden, &[count, width]))
    } else {
        each_part(&mut y, rows * outputs, |i, y| part(i, &mut vec![0.0; y.len() / outputs * width], y));
        None
    };
    (tensor(y, &[count, outputs]), kept)
}

fn backward(
    [x, weight_1, _, weight_2, _]: [&FlexTensor; 5],
    hidden: Option<FlexTensor>,
    gradient: &FlexTensor,
    wanted: [bool; 5],
) -> [Option<FlexTensor>; 5] {
    let Some(hidden) = hidden else { return [const { None }; 5] };
    let ([count, inputs], [_, width], [_, outputs]) = (sizes(x), sizes(weight_1), sizes(weight_2));
    let (x, hidden, gradient) = (numbers(x), numbers(&hidden), numbers(gradient));
    let back_1 = Matrix::new(numbers(weight_1), width).transposed_copy();
    let back_2 = Matrix::new(numbers(weight_2), outputs).transposed_copy();
    let rows = rows_of_part(count);
    let part = |i: usize, of_hidden: &mut [f32], sums: &mut [f32]| {
        let gradient = &gradient[i * rows * outputs..][..of_hidden.len() / width * outputs];
        product(of_hidden, Into::Replace, Matrix::new(gradient, outputs), Matrix::new(&back_2, width), Cores::One);
        vectorized(|| {
            let hidden = hidden[i * rows * width..].chunks_exact(width);
            for (of_hidden, hidden) in of_hidden.chunks_exact_mut(width).zip(hidden) {
                for (of_hidden, hidden) in of_hidden.iter_mut().zip(hidden) {
                    *of_hidden = if *hidden > 0.0 { *of_hidden } else { 0.0 };
                }
                add(sums, of_hidden);
            }
        });
    };
    let mut of_hidden = vec![0.0; count * width];
    let mut sums = vec![0.0; count.div_ceil(rows) * width];
    each_pair((&mut of_hidden, rows * width), (&mut sums, width), part);
    let of_product = |shape: [usize; 2], a: Matrix<'_>, b: Matrix<'_>| {
        let mut out = vec![0.0; shape[0] * shape[1]];
        product(&mut out, Into::Replace, a, b, Cores::All);
        tensor(out, &shape)
    };
    let of_matrix = |values, columns| Matrix::new(values, columns);
    [
        wanted[0].then(|| of_product([count, inputs], of_matrix(&of_hidden, width), of_matrix(&back_1, inputs))),
        wanted[1].then(|| of_product([inputs, width], of_matrix(x, inputs).transposed(), of_matrix(&of_hidden, width))),
        wanted[2].then(|| tensor(sum_parts(&sums, width), &[width])),
        wanted[3]
            .then(|| of_product([width, outputs], of_matrix(hidden, width).transposed(), of_matrix(gradient, outputs))),
        wanted[4].then(|| tensor(column_sums(gradient, outputs), &[outputs])),
    ]
}
