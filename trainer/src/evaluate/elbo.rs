//! The variational bound (ELBO) of many images, measured, as `evaluate` and the validations of a training run need it.

use anyhow::{Context, Result};
use burn::tensor::backend::Backend;
use serde::Serialize;
use vdm::config::{ModelConfig, Stage};
use vdm::elbo::{self, ImageElbo};
use vdm::math;
use vdm::model::Networks;

use crate::base::files::block_on;
use crate::data::Dataset;

/// Images measured at once.
pub const BATCH: usize = 64;

/// A mean over images with its standard error.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Estimate {
    /// The mean.
    pub mean: f64,
    /// Its standard error, over images.
    pub standard_error: f64,
}

impl Estimate {
    /// Of one number for each image.
    pub fn of(values: &[f64]) -> Self {
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0).max(1.0);
        Self { mean, standard_error: (variance / n).sqrt() }
    }

    /// Nats per image as bits per dimension.
    pub fn in_bits_per_dim(self, dimensions: usize) -> Self {
        let bits = |nats| math::bits_per_dim(nats, dimensions);
        Self { mean: bits(self.mean), standard_error: bits(self.standard_error) }
    }
}

/// Measures every image at `times` antithetic diffusion times, and calls back with the number of images that are done. An error
/// of the callback ends it.
///
/// # Errors
/// The networks have no encoder, or the device cannot be read.
#[expect(clippy::too_many_arguments, reason = "each is one thing that the figures depend on")]
pub fn measure<B: Backend>(
    networks: &Networks<B>,
    config: &ModelConfig,
    stage: Stage,
    data: &Dataset,
    times: usize,
    seed: u64,
    device: &B::Device,
    mut on_progress: impl FnMut(usize) -> Result<()>,
) -> Result<Vec<ImageElbo>> {
    let encoder = networks.encoder.as_ref().context("the encoder is not loaded")?;
    let mut all = Vec::with_capacity(data.len());
    let indices: Vec<usize> = (0..data.len()).collect();
    for chunk in indices.chunks(BATCH) {
        let images: Vec<&[u8]> = chunk.iter().map(|&i| data.image(i)).collect();
        let classes = data.labels.as_ref().map(|labels| &labels[chunk[0]..chunk[0] + chunk.len()]);
        let first = chunk[0] as u64;
        all.extend(block_on(elbo::measure(
            networks, config, stage, encoder, &images, classes, first, times, seed, device,
        ))?);
        on_progress(all.len())?;
    }
    Ok(all)
}
