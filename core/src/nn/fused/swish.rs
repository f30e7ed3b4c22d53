//! Swish, x sigmoid(x), of dense features with their modulation.

use burn::tensor::{Tensor, backend::Backend};
use burn_flex::FlexTensor;

use super::cpu::{each_pair, each_part, exp, numbers, sizes, sum_parts, tensor, vectorized};
use super::operation::{Operation, apply, inside, outside};

/// swish(x) for x `[N, F]`, or `None` where it is the plain code's to do.
pub fn swish<B: Backend>(x: &Tensor<B, 2>) -> Option<Tensor<B, 2>> {
    apply::<B, _, 1>(Swish, [inside(x)]).map(outside)
}

/// swish(h (1 + scale) + shift) for h `[N, F]` with scale and shift side by side, `[N or 1, 2 F]`; `None` where it is the
/// plain code's to do.
pub fn film_swish<B: Backend>(h: &Tensor<B, 2>, modulation: &Tensor<B, 2>) -> Option<Tensor<B, 2>> {
    apply::<B, _, 2>(Swish, [inside(h), inside(modulation)]).map(outside)
}

/// Numbers that a core takes at a time.
const PART: usize = 1 << 14;

#[derive(Clone, Copy, Debug)]
struct Swish;

#[inline(always)]
fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// The derivative of swish.
#[inline(always)]
fn slope(x: f32) -> f32 {
    let s = sigmoid(x);
    s + x * s * (1.0 - s)
}

impl Operation<1> for Swish {
    type Kept = ();

    fn forward(&self, [x]: &[FlexTensor; 1], _keep: bool) -> (FlexTensor, Option<()>) {
        let (shape, x): ([usize; 2], _) = (sizes(x), numbers(x));
        let mut y = vec![0.0; x.len()];
        each_part(&mut y, PART, |i, y| {
            vectorized(|| y.iter_mut().zip(&x[i * PART..]).for_each(|(y, x)| *y = x * sigmoid(*x)));
        });
        (tensor(y, &shape), None)
    }

    fn backward(
        &self,
        [x]: &[FlexTensor; 1],
        _kept: Option<()>,
        gradient: FlexTensor,
        _wanted: [bool; 1],
    ) -> [Option<FlexTensor>; 1] {
        let (shape, x, gradient): ([usize; 2], _, _) = (sizes(x), numbers(x), numbers(&gradient));
        let mut dx = vec![0.0; x.len()];
        each_part(&mut dx, PART, |i, dx| {
            let from = x[i * PART..].iter().zip(&gradient[i * PART..]);
            vectorized(|| dx.iter_mut().zip(from).for_each(|(dx, (x, gradient))| *dx = gradient * slope(*x)));
        });
        [Some(tensor(dx, &shape))]
    }
}

impl Operation<2> for Swish {
    type Kept = ();

    fn forward(&self, [h, modulation]: &[FlexTensor; 2], _keep: bool) -> (FlexTensor, Option<()>) {
        let ([rows, width], [conditions, _]) = (sizes(h), sizes(modulation));
        let (h, modulation) = (numbers(h), numbers(modulation));
        let mut y = vec![0.0; rows * width];
        let part = PART.div_ceil(width.max(1));
        each_part(&mut y, part * width, |i, y| {
            vectorized(|| {
                for (k, y) in y.chunks_exact_mut(width).enumerate() {
                    let row = i * part + k;
                    let (scale, shift) = modulation[row % conditions * 2 * width..][..2 * width].split_at(width);
                    for (((y, h), scale), shift) in y.iter_mut().zip(&h[row * width..]).zip(scale).zip(shift) {
                        let x = h * (scale + 1.0) + shift;
                        *y = x * sigmoid(x);
                    }
                }
            });
        });
        (tensor(y, &[rows, width]), None)
    }

    fn backward(
        &self,
        [h, modulation]: &[FlexTensor; 2],
        _kept: Option<()>,
        gradient: FlexTensor,
        _wanted: [bool; 2],
    ) -> [Option<FlexTensor>; 2] {
        let ([rows, width], [conditions, _]) = (sizes(h), sizes(modulation));
        let (h, modulation, gradient) = (numbers(h), numbers(modulation), numbers(&gradient));
        let (mut dh, mut of_rows) = (vec![0.0; rows * width], vec![0.0; rows * 2 * width]);
        let part = PART.div_ceil(width.max(1));
        each_pair((&mut dh, part * width), (&mut of_rows, part * 2 * width), |i, dh, of_rows| {
            vectorized(|| {
                for (k, (dh, of_row)) in dh.chunks_exact_mut(width).zip(of_rows.chunks_exact_mut(2 * width)).enumerate()
                {
                    let row = i * part + k;
                    let (scale, shift) = modulation[row % conditions * 2 * width..][..2 * width].split_at(width);
                    let (to_scale, to_shift) = of_row.split_at_mut(width);
                    let (h, gradient) = (&h[row * width..][..width], &gradient[row * width..][..width]);
                    let to = dh.iter_mut().zip(to_scale).zip(to_shift);
                    for (((to, (h, gradient)), scale), shift) in to.zip(h.iter().zip(gradient)).zip(scale).zip(shift) {
                        let ((dh, to_scale), to_shift) = to;
                        *to_shift = gradient * slope(h * (scale + 1.0) + shift);
                        *to_scale = *to_shift * h;
                        *dh = *to_shift * (scale + 1.0);
                    }
                }
            });
        });
        let of_modulation = if conditions == rows { of_rows } else { sum_parts(&of_rows, 2 * width) };
        [Some(tensor(dh, &[rows, width])), Some(tensor(of_modulation, &[conditions, 2 * width]))]
    }
}
