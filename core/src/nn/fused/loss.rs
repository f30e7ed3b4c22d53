//! Sums over the pixels of images, one for each image.

use burn::tensor::{Tensor, backend::Backend};
use burn_flex::FlexTensor;

use super::cpu::{each_part, exp, numbers, sizes, sum_lanes, tasks, tensor, vectorized};
use super::operation::{Operation, apply, inside, outside};

/// The gradient of a row with respect to one of its sides: from that of the row's sum and both sides, into the last.
type OfRow<'a> = dyn Fn(f32, &[f32], &[f32], &mut [f32]) + Sync + 'a;

/// Σ softplus(ℓ) − x ℓ over the columns of ℓ and x, `[B, N]`; `None` where it is the plain code's to do.
pub fn bernoulli_nll<B: Backend>(logits: &Tensor<B, 2>, x: &Tensor<B, 2>) -> Option<Tensor<B, 1>> {
    apply::<B, _, 2>(Pixels::Bernoulli, [inside(logits), inside(x)]).map(outside)
}

/// Σ (x − y)² over the columns of x and y, `[B, N]`; `None` where it is the plain code's to do.
pub fn squared_distance<B: Backend>(x: &Tensor<B, 2>, y: &Tensor<B, 2>) -> Option<Tensor<B, 1>> {
    apply::<B, _, 2>(Pixels::Squares, [inside(x), inside(y)]).map(outside)
}

/// The mean squared difference of vertical neighbours plus that of horizontal neighbours of x − y, for images `[B, H·W]` of
/// this width; `None` where it is the plain code's to do.
pub fn gradient_difference<B: Backend>(x: &Tensor<B, 2>, y: &Tensor<B, 2>, width: usize) -> Option<Tensor<B, 1>> {
    apply::<B, _, 2>(Neighbours { width }, [inside(x), inside(y)]).map(outside)
}

#[derive(Clone, Copy, Debug)]
enum Pixels {
    /// softplus(a) − b a.
    Bernoulli,
    /// (a − b)².
    Squares,
}

/// Columns that are summed in float32, before these sums are added up in float64.
const BLOCK: usize = 1024;
/// Columns that a core takes at a time.
const PART: usize = 16 * BLOCK;
/// Rows of an image that it takes.
const ROWS: usize = 32;
const LANES: usize = 16;

#[inline(always)]
fn sum_of(a: &[f32], b: &[f32], f: impl Fn(f32, f32) -> f32) -> f32 {
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    let mut sums = [0.0f32; LANES];
    for (a, b) in a.iter().zip(b) {
        for lane in 0..LANES {
            sums[lane] += f(a[lane], b[lane]);
        }
    }
    sum_lanes(sums) + a_rest.iter().zip(b_rest).map(|(a, b)| f(*a, *b)).sum::<f32>()
}

/// ln(1 + eˣ): max(x, 0) + ln(1 + e^−|x|), and that by 2 artanh(e / (2 + e)).
#[inline(always)]
fn softplus(x: f32) -> f32 {
    let e = exp(-x.abs());
    let s = e / (2.0 + e);
    let square = s * s;
    let mut series = 1.0 / 15.0;
    for odd in [13.0, 11.0, 9.0, 7.0, 5.0, 3.0, 1.0] {
        series = series * square + 1.0 / odd;
    }
    let positive = if x < 0.0 { 0.0 } else { x };
    positive + 2.0 * s * series
}

impl Operation<2> for Pixels {
    type Kept = ();

    fn forward(&self, [a, b]: &[FlexTensor; 2], _keep: bool) -> (FlexTensor, Option<()>) {
        let [rows, columns] = sizes(a);
        let (a, b) = (numbers(a), numbers(b));
        let parts = columns.div_ceil(PART);
        let sums = tasks(rows * parts, |task| {
            let (row, part) = (task / parts.max(1), task % parts.max(1));
            let range = row * columns + part * PART..row * columns + columns.min((part + 1) * PART);
            let blocks = a[range.clone()].chunks(BLOCK).zip(b[range].chunks(BLOCK));
            vectorized(|| match self {
                Self::Bernoulli => {
                    blocks.map(|(a, b)| f64::from(sum_of(a, b, |a, b| softplus(a) - b * a))).sum::<f64>()
                }
                Self::Squares => blocks.map(|(a, b)| f64::from(sum_of(a, b, |a, b| (a - b) * (a - b)))).sum(),
            })
        });
        let of_row = |row: usize| sums[row * parts..(row + 1) * parts].iter().sum::<f64>() as f32;
        (tensor((0..rows).map(of_row).collect(), &[rows]), None)
    }

    fn backward(
        &self,
        [a, b]: &[FlexTensor; 2],
        _kept: Option<()>,
        gradient: FlexTensor,
        wanted: [bool; 2],
    ) -> [Option<FlexTensor>; 2] {
        let [rows, columns] = sizes(a);
        let (a, b, gradient) = (numbers(a), numbers(b), numbers(&gradient));
        let each = |f: &OfRow| {
            let mut out = vec![0.0; rows * columns];
            each_part(&mut out, columns, |row, out| {
                f(gradient[row], &a[row * columns..][..columns], &b[row * columns..][..columns], out);
            });
            tensor(out, &[rows, columns])
        };
        macro_rules! each {
            ($f:expr) => {
                each(&|gradient, a, b, out| {
                    vectorized(|| {
                        for ((out, a), b) in out.iter_mut().zip(a).zip(b) {
                            *out = gradient * $f(*a, *b);
                        }
                    });
                })
            };
        }
        match self {
            Self::Bernoulli => [
                wanted[0].then(|| each!(|a: f32, b: f32| 1.0 / (1.0 + exp(-a)) - b)),
                wanted[1].then(|| each!(|a: f32, _: f32| -a)),
            ],
            Self::Squares => [
                wanted[0].then(|| each!(|a: f32, b: f32| 2.0 * (a - b))),
                wanted[1].then(|| each!(|a: f32, b: f32| 2.0 * (b - a))),
            ],
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Neighbours {
    width: usize,
}

impl Neighbours {
    /// Row `row` of x − y.
    fn residual(&self, x: &[f32], y: &[f32], row: usize, out: &mut [f32]) {
        let range = row * self.width..(row + 1) * self.width;
        for ((out, x), y) in out.iter_mut().zip(&x[range.clone()]).zip(&y[range]) {
            *out = x - y;
        }
    }

    /// 1 over the numbers of vertical and of horizontal neighbours.
    fn weights(&self, pixels: usize) -> [f64; 2] {
        let rows = pixels / self.width;
        [(rows - 1) * self.width, rows * (self.width - 1)].map(|count| 1.0 / count as f64)
    }
}

impl Operation<2> for Neighbours {
    type Kept = ();

    fn forward(&self, [x, y]: &[FlexTensor; 2], _keep: bool) -> (FlexTensor, Option<()>) {
        let ([images, pixels], width) = (sizes(x), self.width);
        let (x, y, rows) = (numbers(x), numbers(y), pixels / width);
        let parts = rows.div_ceil(ROWS);
        let weights = self.weights(pixels);
        let square = |a: f32, b: f32| (a - b) * (a - b);
        let sums = tasks(images * parts, |task| {
            let (image, part) = (task / parts, task % parts);
            let (x, y) = (&x[image * pixels..][..pixels], &y[image * pixels..][..pixels]);
            let (mut this, mut next) = (vec![0.0; width], vec![0.0; width]);
            vectorized(|| {
                self.residual(x, y, part * ROWS, &mut next);
                let mut sum = 0.0;
                for row in part * ROWS..rows.min((part + 1) * ROWS) {
                    std::mem::swap(&mut this, &mut next);
                    sum += weights[1] * f64::from(sum_of(&this[1..], &this[..width - 1], square));
                    if row + 1 < rows {
                        self.residual(x, y, row + 1, &mut next);
                        sum += weights[0] * f64::from(sum_of(&next, &this, square));
                    }
                }
                sum
            })
        });
        let of_image = |image: usize| sums[image * parts..(image + 1) * parts].iter().sum::<f64>() as f32;
        (tensor((0..images).map(of_image).collect(), &[images]), None)
    }

    fn backward(
        &self,
        [x, y]: &[FlexTensor; 2],
        _kept: Option<()>,
        gradient: FlexTensor,
        wanted: [bool; 2],
    ) -> [Option<FlexTensor>; 2] {
        let ([images, pixels], width) = (sizes(x), self.width);
        let (x, y, gradient, rows) = (numbers(x), numbers(y), numbers(&gradient), pixels / width);
        let [down, across] = self.weights(pixels).map(|weight| 2.0 * weight as f32);
        // Beyond the border a neighbour is as the pixel itself.
        let of_x = |sign: f32| {
            let mut out = vec![0.0; images * pixels];
            each_part(&mut out, pixels, |image, out| {
                let (x, y) = (&x[image * pixels..][..pixels], &y[image * pixels..][..pixels]);
                let factor = sign * gradient[image];
                let (mut above, mut this, mut below) = (vec![0.0; width], vec![0.0; width], vec![0.0; width]);
                vectorized(|| {
                    self.residual(x, y, 0, &mut this);
                    above.copy_from_slice(&this);
                    for (row, out) in out.chunks_exact_mut(width).enumerate() {
                        self.residual(x, y, (row + 1).min(rows - 1), &mut below);
                        for (((out, above), this), below) in out.iter_mut().zip(&above).zip(&this).zip(&below) {
                            *out = factor * down * ((this - above) + (this - below));
                        }
                        for (out, pair) in out[1..].iter_mut().zip(this.windows(2)) {
                            *out += factor * across * (pair[1] - pair[0]);
                        }
                        for (out, pair) in out[..width - 1].iter_mut().zip(this.windows(2)) {
                            *out += factor * across * (pair[0] - pair[1]);
                        }
                        std::mem::swap(&mut above, &mut this);
                        std::mem::swap(&mut this, &mut below);
                    }
                });
            });
            tensor(out, &[images, pixels])
        };
        [wanted[0].then(|| of_x(1.0)), wanted[1].then(|| of_x(-1.0))]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn softplus_is_right_to_the_last_digits() {
        for i in -100_000..100_000 {
            let x = i as f32 / 1000.0;
            let exact = f64::from(x).max(0.0) + f64::from(-x.abs()).exp().ln_1p();
            // e^−86.6 is as small as it gets.
            let apart = (f64::from(softplus(x)) - exact).abs();
            assert!(apart < 4.0 * f64::from(f32::EPSILON) * exact + 1e-37, "softplus of {x} is off by {apart}");
        }
    }
}
