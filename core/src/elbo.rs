//! The bound of images, measured: the same draws for a seed on every platform, whether a folder is evaluated natively
//! or one image in a browser.

use burn::tensor::{Int, Tensor, TensorData, backend::Backend};
use serde::{Deserialize, Serialize};

use crate::autoencoder::Encoder;
use crate::config::{ModelConfig, Stage};
use crate::diffusion::loss::LossTerms;
use crate::error::BackendError;
use crate::image::to_unit;
use crate::math;
use crate::model::{LatentNoise, Networks};
use crate::rng::{Rng, RngStream};

/// The loss terms of an image, averaged over its diffusion times.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ImageTerms {
    /// −log p(x | z_0), in nats.
    pub reconstruction: f64,
    /// The prior KL, in nats.
    pub latent: f64,
    /// The diffusion loss, in nats.
    pub diffusion: f64,
    /// Mean squared error a pixel.
    pub mse: f64,
    /// Gradient difference a pixel.
    pub gradient_difference: f64,
    /// −log density of the difference between image and mean, in nats; 0 without grain.
    pub grain: f64,
    /// Binary entropy of the image itself, in nats: the least that `reconstruction` can be.
    pub entropy_floor: f64,
}

impl ImageTerms {
    /// The bound, in nats.
    pub fn total(&self) -> f64 {
        self.reconstruction + self.latent + self.diffusion
    }
}

/// Measures 8-bit images of H·W pixels at `times` antithetic diffusion times each.
///
/// Image i draws from the stream ([`RngStream::Evaluation`], `first + i`) of `seed`, so that its terms do not depend on
/// how a folder is cut into batches. `classes` has one label an image, where the model has classes.
///
/// # Errors
/// The device cannot be read.
#[expect(clippy::too_many_arguments, reason = "each is one thing that the figures depend on")]
pub async fn measure<B: Backend>(
    networks: &Networks<B>,
    config: &ModelConfig,
    stage: Stage,
    encoder: &Encoder<B>,
    images: &[&[u8]],
    classes: Option<&[usize]>,
    first: u64,
    times: usize,
    seed: u64,
    device: &B::Device,
) -> Result<Vec<ImageTerms>, BackendError> {
    let (batch, dim) = (images.len(), config.latent_dim);
    let mut streams: Vec<Rng> = (0..batch as u64).map(|i| Rng::new(seed, RngStream::Evaluation, first + i)).collect();
    let starts: Vec<f64> = streams.iter_mut().map(Rng::uniform).collect();
    let values: Vec<f32> = images.iter().flat_map(|image| image.iter().map(|&v| to_unit(v))).collect();
    let x = Tensor::<B, 2>::from_data(TensorData::new(values, [batch, config.pixels()]), device);
    let classes = classes.filter(|_| config.classes > 0).map(|classes| {
        let labels: Vec<i64> = classes.iter().map(|&class| class as i64).collect();
        Tensor::<B, 1, Int>::from_data(TensorData::new(labels, [batch]), device)
    });
    let entropy = |image: &[u8]| image.iter().map(|&v| math::bernoulli_entropy(f64::from(to_unit(v)))).sum();
    let mut all: Vec<ImageTerms> =
        images.iter().map(|image| ImageTerms { entropy_floor: entropy(image), ..ImageTerms::default() }).collect();
    for k in 0..times {
        let at: Vec<f64> = starts.iter().map(|u| (u + k as f64 / times as f64) % 1.0).collect();
        let mut draw = || {
            let values: Vec<f32> = streams.iter_mut().flat_map(|stream| stream.normals(dim)).collect();
            Tensor::<B, 2>::from_data(TensorData::new(values, [batch, dim]), device)
        };
        let noise = LatentNoise { at_zero: draw(), at_t: draw() };
        let gammas = networks.gammas(&at, None, device);
        let terms = networks.losses(config, stage, encoder, x.clone(), classes.clone(), gammas, noise).read().await?;
        let share = |values: &[f64], i: usize| values[i] / times as f64;
        for (i, image) in all.iter_mut().enumerate() {
            image.reconstruction += share(&terms.reconstruction, i);
            image.latent += share(&terms.latent, i);
            image.diffusion += share(&terms.diffusion, i);
            image.mse += share(&terms.mse, i);
            image.gradient_difference += share(&terms.gradient_difference, i);
            image.grain += share(&terms.grain, i);
        }
    }
    Ok(all)
}

/// [`LossTerms`] as numbers, one an image.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TermValues {
    /// −log p(x | z_0), in nats.
    pub reconstruction: Vec<f64>,
    /// The prior KL, in nats.
    pub latent: Vec<f64>,
    /// The diffusion loss, in nats.
    pub diffusion: Vec<f64>,
    /// Mean squared error a pixel.
    pub mse: Vec<f64>,
    /// Gradient difference a pixel.
    pub gradient_difference: Vec<f64>,
    /// −log density of the difference between x and the decoder's mean, in nats.
    pub grain: Vec<f64>,
}

impl<B: Backend> LossTerms<B> {
    /// The terms from the device, in one transfer.
    ///
    /// # Errors
    /// The device cannot be read.
    pub async fn read(self) -> Result<TermValues, BackendError> {
        let LossTerms { reconstruction, latent, diffusion, mse, gradient_difference, grain, .. } = self;
        let stacked = Tensor::stack::<2>(vec![reconstruction, latent, diffusion, mse, gradient_difference, grain], 0);
        let [_, batch] = stacked.dims();
        let data = stacked.into_data_async().await.map_err(BackendError::new)?;
        let values: Vec<f64> = data.iter::<f64>().collect();
        let row = |i: usize| values[i * batch..(i + 1) * batch].to_vec();
        Ok(TermValues {
            reconstruction: row(0),
            latent: row(1),
            diffusion: row(2),
            mse: row(3),
            gradient_difference: row(4),
            grain: row(5),
        })
    }
}
