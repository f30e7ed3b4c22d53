//! A lapped orthogonal transform (Malvar, *Lapped transforms for efficient transform/subband coding*, IEEE Trans. ASSP
//! 1990): cosines under windows of two patches that overlap by half, as many coefficients as pixels, orthonormal if the
//! image is continued by its opposite side.

use std::f64::consts::PI;

use burn::tensor::{Tensor, TensorData, backend::Backend};

use crate::config::PatchGrid;
use crate::nn::patch_grid::Border;

/// Least and greatest natural logarithm of a standard deviation: a quarter of a grey level of 255, and half the range.
pub const LN_DEVIATION: (f64, f64) = (-6.93, -0.69);

/// ln of half a grey level of 255.
const LN_HELD: f32 = -6.234;

/// Basis k at place n of a window of 2 M: √(2/M) sin(π (n + ½) / 2M) cos(π/M (n + (M + 1)/2)(k + ½)).
fn basis(m: usize, n: usize, k: usize) -> f64 {
    let (size, n, k) = (m as f64, n as f64, k as f64);
    let window = (PI * (n + 0.5) / (2.0 * size)).sin();
    (2.0 / size).sqrt() * window * (PI / size * (n + (size + 1.0) / 2.0) * (k + 0.5)).cos()
}

/// The transform as a matrix `[window, patch²]`, row by row, for windows ordered as
/// [`PatchGrid::windows`](PatchGrid::windows) orders them; coefficients by vertical, then horizontal frequency.
pub fn matrix(patch: usize) -> Vec<f32> {
    let one: Vec<Vec<f64>> = (0..2 * patch).map(|n| (0..patch).map(|k| basis(patch, n, k)).collect()).collect();
    let mut values = Vec::with_capacity(4 * patch.pow(4));
    for (i, j) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
        for y in 0..patch {
            for x in 0..patch {
                let (vertical, horizontal) = (&one[i * patch + y], &one[j * patch + x]);
                values.extend(vertical.iter().flat_map(|v| horizontal.iter().map(move |h| (v * h) as f32)));
            }
        }
    }
    values
}

/// Some columns of [`matrix`], `[window, count]`.
pub(crate) fn columns(patch: usize, chosen: &[usize]) -> Vec<f32> {
    matrix(patch).chunks_exact(patch * patch).flat_map(|row| chosen.iter().map(|&k| row[k])).collect()
}

/// The `count` lowest frequencies, as columns of [`matrix`].
pub(crate) fn lowest(patch: usize, count: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..patch * patch).collect();
    order.sort_by_key(|k| (k / patch).pow(2) + (k % patch).pow(2));
    order.truncate(count);
    order
}

/// What of an image's lapped transform a latent holds.
#[derive(Clone, Debug, PartialEq)]
pub struct LappedSelection {
    /// Coefficients of each patch, by vertical frequency times the patch's side plus horizontal frequency, below
    /// [`patch²`](PatchGrid).
    pub coefficients: Vec<usize>,
    /// What each is multiplied by.
    pub scales: Vec<f32>,
    /// How strong what a latent leaves is: for each of a patch's coefficients the natural logarithm of its root mean
    /// square, within [`LN_DEVIATION`]; half a grey level of 255 for those that a latent holds.
    pub ln_left: Vec<f32>,
}

impl LappedSelection {
    /// The coefficients of the largest mean squares, largest first, of those `[patch²]` that
    /// [`sum_of_squares`] gives for the training images. A coefficient of the mean square λ is scaled to a mean square
    /// that is proportional to √λ, and to 1 in the mean over all that are kept: noise of one strength on the latent
    /// then costs the strong ones more, but less than in proportion.
    pub fn of_mean_squares(mean_squares: &[f64], count: usize) -> Self {
        let mut coefficients: Vec<usize> = (0..mean_squares.len()).collect();
        coefficients.sort_by(|&a, &b| mean_squares[b].total_cmp(&mean_squares[a]));
        coefficients.truncate(count);
        let root = |&k: &usize| mean_squares[k].max(1e-12).sqrt();
        let mean = coefficients.iter().map(root).sum::<f64>() / coefficients.len() as f64;
        let scales = coefficients.iter().map(|k| (1.0 / (root(k) * mean)).sqrt() as f32).collect();
        let (low, high) = LN_DEVIATION;
        let mut ln_left: Vec<f32> =
            mean_squares.iter().map(|square| (0.5 * square.max(1e-12).ln()).clamp(low, high) as f32).collect();
        coefficients.iter().for_each(|&k| ln_left[k] = LN_HELD);
        Self { coefficients, scales, ln_left }
    }
}

/// The squares of the lapped transform's coefficients of deviations from the mean image `[B, H·W]`, summed over images
/// and patches, `[patch²]`.
pub fn sum_of_squares<B: Backend>(deviations: Tensor<B, 2>, grid: PatchGrid) -> Tensor<B, 1> {
    let device = deviations.device();
    let coefficients = grid.windows(deviations, Border::Wrap).matmul(tensor(grid.patch, &device));
    coefficients.square().sum_dim(0).squeeze_dim(0)
}

/// [`matrix`] on a device.
pub(crate) fn tensor<B: Backend>(patch: usize, device: &B::Device) -> Tensor<B, 2> {
    Tensor::from_data(TensorData::new(matrix(patch), [4 * patch * patch, patch * patch]), device)
}
