//! Grain: what of an image is below the latent's resolution, drawn instead of averaged away.
//!
//! A decoder that gives each pixel's mean cannot draw the fine texture that a latent does not hold: its images are
//! smooth where X-rays are noisy. So the decoder also says how strong the difference between image and mean is, where,
//! and at which frequency: the coefficients c of the difference's [lapped transform](crate::autoencoder::lapped) are modelled as
//! independent Gaussians of the standard deviations s that the decoder gives for each patch, which is a density of the
//! image's grey values.
//!
//! A Gaussian's deviation is what a few strong images make it: in a patch that has little grain, most have less than that.
//! A draw therefore has more contrast among patches: with their mean ln s̄, s becomes s e^(b min(ln s̄ − ln s₀, 1)), where
//! s₀ is 2 grey levels of 255 and b the contrast of [`SamplingConfig`]. The density is that without.
//!
//! Within a patch fine structure is sparse: vessels and edges of bone beside nothing. A draw is therefore stronger here
//! and weaker there by a factor m = √r e^(a n − a²) at each pixel, whose square is about 1 in the mean.
//!
//! Partly it can be seen where: where there is fine structure in the mean image, there is more of it that a latent does
//! not hold. r is the mean image's power of fine structure over that around, with h = M − S₁ M and smoothing S₁, S₂, S₃
//! over 1/16, 1/8 and 3/8 of a patch: r' = (S₂ h² + ε) / (S₃ h² + ε), r = c r' / S₃ r', where c
//! keeps the power of each draw.
//!
//! For the rest nobody can know where it is, but that it is somewhere can be drawn too: n is smooth standard normal noise,
//! correlated over a quarter of a patch, and a is the spread of [`SamplingConfig`] (a Gaussian scale mixture: Wainwright and
//! Simoncelli, *Scale mixtures of Gaussians and the statistics of natural images*, NIPS 1999).

use std::f64::consts::PI;

use burn::tensor::{Tensor, TensorData, backend::Backend};

use crate::autoencoder::lapped;
use crate::config::{ModelConfig, PatchGrid, SamplingConfig};
use crate::nn::dense::sum_rows;
use crate::nn::patch_grid::Border;

/// ln s₀, two grey levels of 255, about which the contrast among patches is.
pub const LN_PIVOT: f64 = -4.848;
/// Most of ln s̄ − ln s₀ that the contrast counts.
pub const MAX_ABOVE_PIVOT: f64 = 1.0;

/// −log density of the differences `[B, H·W]` under the standard deviations e^ln_s, `[B·P, patch²]`, per image
/// `[B]` in nats.
pub(crate) fn negative_log_density<B: Backend>(
    difference: Tensor<B, 2>,
    ln_s: Tensor<B, 2>,
    grid: PatchGrid,
) -> Tensor<B, 1> {
    let [batch, pixels] = difference.dims();
    let coefficients = grid.windows(difference, Border::Wrap).matmul(lapped::tensor(grid.patch, &ln_s.device()));
    let standard = coefficients * ln_s.clone().neg().exp();
    let nats = sum_rows((standard.square() * 0.5 + ln_s).reshape([batch, pixels]));
    nats + 0.5 * (2.0 * PI).ln() * pixels as f64
}

/// Numbers of n for each patch, down and across.
pub const CELLS: usize = 4;

/// Standard normal numbers that grain takes for an image: one for each coefficient of each patch, then, where it has a
/// spread, those of n, row by row.
pub fn noise_len(config: &ModelConfig, sampling: &SamplingConfig) -> usize {
    let cells = config.grid().filter(|_| sampling.grain_spread > 0.0).map_or(0, |grid| grid.patches() * CELLS * CELLS);
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

/// Standard deviations of S₁, S₂ and S₃, in patches.
pub const SMOOTHING: [f64; 3] = [1.0 / 16.0, 1.0 / 8.0, 3.0 / 8.0];
/// ε, in squared grey values: below a tenth of a grey level of 255 there is no structure.
pub const MIN_STRUCTURE: f64 = 1e-7;

/// Smooths a side of so many pixels: `[side, side]` row by row, Gaussians in rows of sum 1.
pub fn smoothing(side: usize, deviation: f64) -> Vec<f32> {
    let row = |pixel: usize| {
        let apart = |other: usize| (pixel as f64 - other as f64) / deviation;
        let weights: Vec<f64> = (0..side).map(|other| (-0.5 * apart(other).powi(2)).exp()).collect();
        let sum: f64 = weights.iter().sum();
        weights.into_iter().map(move |w| (w / sum) as f32)
    };
    (0..side).flat_map(row).collect()
}

/// `[h', h]` and `[w', w]`, row by row, applied to the sides of x `[B, h·w]`: `[B, h'·w']`.
fn along_both<B: Backend>(x: Tensor<B, 2>, [down, across]: [Tensor<B, 2>; 2]) -> Tensor<B, 2> {
    let ([new_height, height], [new_width, width], batch) = (down.dims(), across.dims(), x.dims()[0]);
    // One side after the other: [B · h, w] to [B · w', h] to [B · w', h'].
    let x = x.reshape([batch * height, width]).matmul(across.transpose());
    let x = x.reshape([batch, height, new_width]).swap_dims(1, 2).reshape([batch * new_width, height]);
    let x = x.matmul(down.transpose()).reshape([batch, new_width, new_height]).swap_dims(1, 2);
    x.reshape([batch, new_height * new_width])
}

/// √(r / c) `[B, H·W]` of the mean image `[B, H·W]`.
fn structure<B: Backend>(mean: Tensor<B, 2>, grid: PatchGrid) -> Tensor<B, 2> {
    let [fine, near, around] = SMOOTHING.map(|deviation| {
        let sides = [grid.rows, grid.columns].map(|patches| patches * grid.patch);
        sides.map(|side| {
            let matrix = TensorData::new(smoothing(side, deviation * grid.patch as f64), [side, side]);
            Tensor::<B, 2>::from_data(matrix, &mean.device())
        })
    });
    let power = (mean.clone() - along_both(mean, fine)).square();
    let over = along_both(power.clone(), near) + MIN_STRUCTURE;
    let ratio = over / (along_both(power, around.clone()) + MIN_STRUCTURE);
    (ratio.clone() / along_both(ratio, around)).sqrt()
}

/// e^(a n − a²) for each pixel `[B, H·W]`, of the numbers of n `[B, patches · CELLS²]`.
fn local_strength<B: Backend>(noise: Tensor<B, 2>, spread: f64, grid: PatchGrid) -> Tensor<B, 2> {
    let PatchGrid { rows, columns, patch } = grid;
    let matrices = [rows, columns].map(|patches| {
        let shape = [patches * patch, patches * CELLS];
        Tensor::<B, 2>::from_data(TensorData::new(interpolation(patches, patch), shape), &noise.device())
    });
    (along_both(noise, matrices) * spread - spread * spread).exp()
}

/// Grain `[B, H·W]` of the standard deviations e^ln_s `[B·P, patch²]`, standard noise `[B, noise_len]` and the mean
/// image `[B, H·W]`.
pub(crate) fn draw<B: Backend>(
    ln_s: Tensor<B, 2>,
    noise: Tensor<B, 2>,
    mean: Tensor<B, 2>,
    sampling: &SamplingConfig,
    grid: PatchGrid,
) -> Tensor<B, 2> {
    let [batch, len] = noise.dims();
    let (shape, pixels) = (ln_s.dims(), ln_s.shape().num_elements() / batch);
    let synthesis = lapped::tensor::<B>(grid.patch, &ln_s.device()).transpose();
    let ln_s = match sampling.grain_contrast {
        0.0 => ln_s,
        b => ln_s.clone() + (ln_s.mean_dim(1) - LN_PIVOT).clamp_max(MAX_ABOVE_PIVOT) * b,
    };
    let coefficients = ln_s.exp() * noise.clone().narrow(1, 0, pixels).reshape(shape);
    let mut grain = grid.overlap_add(coefficients.matmul(synthesis), Border::Wrap);
    if sampling.grain_structure {
        let uneven = grain.clone() * structure(mean, grid);
        // Of the same power over the image.
        let power = |grain: &Tensor<B, 2>| grain.clone().square().sum_dim(1);
        grain = uneven.clone() * (power(&grain) / power(&uneven)).sqrt();
    }
    if len > pixels {
        grain = grain * local_strength(noise.narrow(1, pixels, len - pixels), sampling.grain_spread, grid);
    }
    grain
}
