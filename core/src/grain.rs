//! Grain: what of an image is below the latent's resolution, drawn instead of averaged away.
//!
//! A decoder that gives each pixel's mean cannot draw the fine texture that a latent does not hold: its images are
//! smooth where X-rays are noisy. So the decoder also says how strong the difference between image and mean is, where,
//! and at which frequency: the coefficients c of the difference's [lapped transform](crate::lapped) are modelled as
//! independent Gaussians of the standard deviations s that the decoder gives for each patch, which is a density of the
//! image's grey values.

use std::f64::consts::PI;

use burn::tensor::{Tensor, backend::Backend};

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

/// Grain `[B, H·W]` of the standard deviations e^ln_s and standard noise, both `[B·tokens, patch²]`.
pub(crate) fn draw<B: Backend>(ln_s: Tensor<B, 2>, noise: Tensor<B, 2>, grid: Grid) -> Tensor<B, 2> {
    let synthesis = lapped::tensor::<B>(grid.patch, &ln_s.device()).transpose();
    grid.overlap_add((ln_s.exp() * noise).matmul(synthesis), Border::Wrap)
}
