//! Grain: what of an image is below the latent's resolution, drawn instead of averaged away.
//!
//! A decoder that gives each pixel's mean cannot draw the fine texture that a latent does not hold: its images are
//! smooth where X-rays are noisy. So the decoder also says how strong the difference between image and mean is, where,
//! and at which frequency: the coefficients c of the difference's [lapped transform](crate::lapped) are modelled as
//! independent Gaussians of the standard deviations s that the decoder gives for each patch, which is a density of the
//! image's grey values.
//!
//! Within a patch fine structure is sparse: vessels and edges of bone beside nothing. Where they are nobody can know, but
//! that they are somewhere can be drawn too. A draw is therefore stronger here and weaker there by a factor
//! m = e^(a n − a²) at each pixel, whose square is 1 in the mean: n is smooth standard normal noise, correlated over a
//! quarter of a patch, and a is the spread of [`ModelConfig`] (a Gaussian scale mixture:
//! Wainwright and Simoncelli, *Scale mixtures of Gaussians and the statistics of natural images*, NIPS 1999).

use std::f64::consts::PI;

use burn::tensor::{Tensor, TensorData, backend::Backend};

use crate::config::ModelConfig;
use crate::lapped;
use crate::tokens::{Border, Grid};

/// Least and greatest natural logarithm of a standard deviation: a quarter of a grey level of 255, and half the range.
pub const LN_DEVIATION: (f64, f64) = (-6.93, -0.69);

/// −log density of the differences `[B, H·W]` under the standard deviations e^ln_s, `[B·tokens, patch²]`, per image
/// `[B]` in nats.
pub(crate) fn negative_log_density<B: Backend>(
    difference: Tensor<B, 2>,
    ln_s: Tensor<B, 2>,
    grid: Grid,
) -> Tensor<B, 1> {
    let [batch, pixels] = difference.dims();
    let coefficients = grid.windows(difference, Border::Wrap).matmul(lapped::tensor(grid.patch, &ln_s.device()));
    let standard = coefficients * ln_s.clone().neg().exp();
    let nats = (standard.square() * 0.5 + ln_s).reshape([batch, pixels]).sum_dim(1).squeeze_dim::<1>(1);
    nats + 0.5 * (2.0 * PI).ln() * pixels as f64
}

/// Numbers of n for each patch, down and across.
pub const CELLS: usize = 4;

/// Standard normal numbers that grain takes for an image: one for each coefficient of each patch, then, where it has a
/// spread, those of n, row by row.
pub fn noise_len(config: &ModelConfig) -> usize {
    let cells = config.grid().filter(|_| config.grain_spread > 0.0).map_or(0, |grid| grid.tokens() * CELLS * CELLS);
    config.pixels() + cells
}

/// What takes numbers of n to pixels, along a side of so many patches: `[patches · patch, patches · CELLS]` row by row, a
/// Gaussian whose deviation is a quarter of a patch, in rows of length 1; what lies beyond a border is the opposite side.
pub fn interpolation(patches: usize, patch: usize) -> Vec<f32> {
    let cells = patches * CELLS;
    let row = |pixel: usize| {
        let place = (pixel as f64 + 0.5) * CELLS as f64 / patch as f64 - 0.5;
        let weights = (0..cells).map(|cell| {
            let apart = (place - cell as f64).abs();
            (-0.5 * apart.min(cells as f64 - apart).powi(2)).exp()
        });
        let weights: Vec<f64> = weights.collect();
        let length = weights.iter().map(|w| w * w).sum::<f64>().sqrt();
        weights.into_iter().map(move |w| (w / length) as f32)
    };
    (0..patches * patch).flat_map(row).collect()
}

/// m for each pixel `[B, H·W]`, of the numbers of n `[B, tokens · CELLS²]`.
fn local_strength<B: Backend>(noise: Tensor<B, 2>, spread: f64, grid: Grid) -> Tensor<B, 2> {
    let Grid { rows, columns, patch } = grid;
    let (batch, device) = (noise.dims()[0], noise.device());
    let matrix = |patches: usize| {
        let shape = [patches * patch, patches * CELLS];
        Tensor::<B, 2>::from_data(TensorData::new(interpolation(patches, patch), shape), &device).transpose()
    };
    // One side after the other: [B · 4 rows, 4 columns] to [B · W, 4 rows] to [B · W, H].
    let (height, width) = (rows * patch, columns * patch);
    let across = noise.reshape([batch * rows * CELLS, columns * CELLS]).matmul(matrix(columns));
    let across = across.reshape([batch, rows * CELLS, width]).swap_dims(1, 2).reshape([batch * width, rows * CELLS]);
    let down = across.matmul(matrix(rows)).reshape([batch, width, height]).swap_dims(1, 2);
    (down.reshape([batch, height * width]) * spread - spread * spread).exp()
}

/// Grain `[B, H·W]` of the standard deviations e^ln_s `[B·tokens, patch²]` and standard noise `[B, noise_len]`.
pub(crate) fn draw<B: Backend>(ln_s: Tensor<B, 2>, noise: Tensor<B, 2>, spread: f64, grid: Grid) -> Tensor<B, 2> {
    let [batch, len] = noise.dims();
    let (shape, pixels) = (ln_s.dims(), ln_s.shape().num_elements() / batch);
    let synthesis = lapped::tensor::<B>(grid.patch, &ln_s.device()).transpose();
    let coefficients = ln_s.exp() * noise.clone().narrow(1, 0, pixels).reshape(shape);
    let even = grid.overlap_add(coefficients.matmul(synthesis), Border::Wrap);
    if len == pixels { even } else { even * local_strength(noise.narrow(1, pixels, len - pixels), spread, grid) }
}
