//! Norms with the modulation that follows them.

use burn::tensor::{Tensor, backend::Backend};
use burn_flex::FlexTensor;

use super::cpu::{ROWS, add, dot, each_pair, each_part, numbers, sizes, tensor, vectorized};
use super::operation::{Operation, apply, inside, outside};

/// x / √(mean x² + ε) over the features of x `[N, F]`, or `None` where it is the plain code's to do.
pub fn rms_norm<B: Backend>(x: &Tensor<B, 2>, epsilon: f32) -> Option<Tensor<B, 2>> {
    apply::<B, _, 1>(Modulated { patches: 1, epsilon }, [inside(x)]).map(outside)
}

/// rms_norm(x) (1 + scale) + shift for x `[B·P, F]`, with scale and shift side by side for each image or for all,
/// `[B or 1, 2 F]`; `None` where it is the plain code's to do.
pub fn modulated<B: Backend>(
    x: &Tensor<B, 2>,
    modulation: &Tensor<B, 2>,
    patches: usize,
    epsilon: f32,
) -> Option<Tensor<B, 2>> {
    apply::<B, _, 2>(Modulated { patches, epsilon }, [inside(x), inside(modulation)]).map(outside)
}

#[derive(Clone, Copy, Debug)]
struct Modulated {
    /// Rows of an image.
    patches: usize,
    epsilon: f32,
}

impl Modulated {
    /// Rows of a part: all of one image, and not too many for the cores to share.
    fn rows(&self, of_each: usize) -> usize {
        (1..=ROWS.min(of_each)).rev().find(|rows| of_each.is_multiple_of(*rows)).unwrap_or(1)
    }

    fn inverse(&self, x: &[f32]) -> f32 {
        (dot(x, x) / x.len() as f32 + self.epsilon).sqrt().recip()
    }
}

impl Operation<1> for Modulated {
    type Kept = ();

    fn forward(&self, [x]: &[FlexTensor; 1], _keep: bool) -> (FlexTensor, Option<()>) {
        let [count, width] = sizes(x);
        let x = numbers(x);
        let mut y = vec![0.0; count * width];
        each_part(&mut y, ROWS * width, |i, y| {
            vectorized(|| {
                for (y, x) in y.chunks_exact_mut(width).zip(x[i * ROWS * width..].chunks_exact(width)) {
                    let inverse = self.inverse(x);
                    for (y, x) in y.iter_mut().zip(x) {
                        *y = x * inverse;
                    }
                }
            });
        });
        (tensor(y, &[count, width]), None)
    }

    fn backward(
        &self,
        [x]: &[FlexTensor; 1],
        _kept: Option<()>,
        gradient: FlexTensor,
        _wanted: [bool; 1],
    ) -> [Option<FlexTensor>; 1] {
        let [count, width] = sizes(x);
        let (x, gradient) = (numbers(x), numbers(&gradient));
        let mut dx = vec![0.0; count * width];
        each_part(&mut dx, ROWS * width, |i, dx| {
            let rows = dx.chunks_exact_mut(width).enumerate();
            vectorized(|| {
                for (k, dx) in rows {
                    let from = (i * ROWS + k) * width;
                    let (x, gradient) = (&x[from..][..width], &gradient[from..][..width]);
                    let inverse = self.inverse(x);
                    let along = dot(gradient, x) * inverse * inverse / width as f32;
                    for ((dx, x), gradient) in dx.iter_mut().zip(x).zip(gradient) {
                        *dx = inverse * (gradient - x * along);
                    }
                }
            });
        });
        [Some(tensor(dx, &[count, width]))]
    }
}

impl Operation<2> for Modulated {
    type Kept = ();

    fn forward(&self, [x, modulation]: &[FlexTensor; 2], _keep: bool) -> (FlexTensor, Option<()>) {
        let ([count, width], [images, _]) = (sizes(x), sizes(modulation));
        let (x, modulation) = (numbers(x), numbers(modulation));
        let mut y = vec![0.0; count * width];
        let rows = self.rows(self.patches);
        each_part(&mut y, rows * width, |i, y| {
            let image = if images == 1 { 0 } else { i * rows / self.patches };
            let (scale, shift) = modulation[image * 2 * width..][..2 * width].split_at(width);
            vectorized(|| {
                for (y, x) in y.chunks_exact_mut(width).zip(x[i * rows * width..].chunks_exact(width)) {
                    let inverse = self.inverse(x);
                    for (((y, x), scale), shift) in y.iter_mut().zip(x).zip(scale).zip(shift) {
                        *y = x * inverse * (scale + 1.0) + shift;
                    }
                }
            });
        });
        (tensor(y, &[count, width]), None)
    }

    fn backward(
        &self,
        [x, modulation]: &[FlexTensor; 2],
        _kept: Option<()>,
        gradient: FlexTensor,
        _wanted: [bool; 2],
    ) -> [Option<FlexTensor>; 2] {
        let ([count, width], [images, _]) = (sizes(x), sizes(modulation));
        let (x, modulation, gradient) = (numbers(x), numbers(modulation), numbers(&gradient));
        let rows = self.rows(self.patches);
        let mut dx = vec![0.0; count * width];
        let mut sums = vec![0.0; count / rows * 2 * width];
        each_pair((&mut dx, rows * width), (&mut sums, 2 * width), |i, dx, sums| {
            let image = if images == 1 { 0 } else { i * rows / self.patches };
            let scale = &modulation[image * 2 * width..][..width];
            let (to_scale, to_shift) = sums.split_at_mut(width);
            vectorized(|| {
                for (k, dx) in dx.chunks_exact_mut(width).enumerate() {
                    let from = (i * rows + k) * width;
                    let (x, gradient) = (&x[from..][..width], &gradient[from..][..width]);
                    let inverse = self.inverse(x);
                    for ((dx, scale), gradient) in dx.iter_mut().zip(scale).zip(gradient) {
                        *dx = gradient * (scale + 1.0);
                    }
                    let along = dot(dx, x) * inverse * inverse / width as f32;
                    let sums = to_scale.iter_mut().zip(to_shift.iter_mut());
                    for (((dx, x), gradient), (to_scale, to_shift)) in dx.iter_mut().zip(x).zip(gradient).zip(sums) {
                        *dx = inverse * (*dx - x * along);
                        *to_scale += gradient * x * inverse;
                        *to_shift += gradient;
                    }
                }
            });
        });
        // Of the parts of each image, or of all.
        let parts = sums.len() / images.max(1);
        let mut of_modulation = vec![0.0; images * 2 * width];
        each_part(&mut of_modulation, 2 * width, |image, total| {
            for part in sums[image * parts..][..parts].chunks_exact(2 * width) {
                add(total, part);
            }
        });
        [Some(tensor(dx, &[count, width])), Some(tensor(of_modulation, &[images, 2 * width]))]
    }
}
