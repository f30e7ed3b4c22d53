//! A model that is ready to sample.

use burn::tensor::{Int, Tensor, TensorData, backend::Backend};

use crate::autoencoder::Decoded;
use crate::autoencoder::grain;
use crate::config::{ModelConfig, SamplingConfig};
use crate::diffusion::schedule::NoiseSchedule;
use crate::error::BackendError;
use crate::math;
use crate::model::networks::Networks;
use crate::rng::{RngStream, seeded_noise};

/// A model that is ready to sample: networks, and the schedule's parameters read back from the device.
#[derive(Clone, Debug)]
pub struct Vdm<B: Backend> {
    /// The shape of the networks.
    pub config: ModelConfig,
    /// How it is sampled.
    pub sampling: SamplingConfig,
    /// The networks.
    pub networks: Networks<B>,
    /// The noise schedule, read from the networks.
    pub schedule: NoiseSchedule,
}

/// What to condition the noise prediction on.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Condition {
    /// The label, below the model's number of classes. Without one the prediction is unconditional.
    pub class: Option<usize>,
    /// Guidance weight w in ε̂ = (1 + w) ε̂_cond − w ε̂_uncond; 0 is the plain conditional prediction.
    pub guidance: f64,
}

impl<B: Backend> Vdm<B> {
    /// Reads the schedule from the networks.
    ///
    /// # Errors
    /// The device cannot be read.
    pub async fn new(
        config: ModelConfig,
        sampling: SamplingConfig,
        networks: Networks<B>,
    ) -> Result<Self, BackendError> {
        let schedule = networks.schedule.read().await?;
        Ok(Self { config, sampling, networks, schedule })
    }

    /// f `[B, D]` of images x `[B, H·W]`; none if the encoder is not loaded.
    pub fn encode(&self, x: Tensor<B, 2>) -> Option<Tensor<B, 2>> {
        self.networks.encoder.as_ref().map(|encoder| encoder.forward(x))
    }

    /// The decoder's mean image `[B, H·W]` for latents f `[B, D]`.
    pub fn decode(&self, f: Tensor<B, 2>) -> Tensor<B, 2> {
        self.networks.decoder.decode(f).mean.clamp(0.0, 1.0)
    }

    /// Images `[B, H·W]` in [0, 1] for latents f `[B, D]`: the mean image and, where the decoder has grain, a draw of it
    /// from the seed of each image.
    pub fn decode_with_grain(&self, f: Tensor<B, 2>, seeds: &[u64]) -> Tensor<B, 2> {
        let Decoded { mean, ln_grain, .. } = self.networks.decoder.decode(f);
        let (Some(ln_s), Some(grid)) = (ln_grain, self.config.grid()) else { return mean.clamp(0.0, 1.0) };
        let len = grain::noise_len(&self.config, &self.sampling);
        let noise = seeded_noise::<B>(seeds, RngStream::Grain, 0, len, &ln_s.device());
        (mean.clone() + grain::draw(ln_s, noise, mean, &self.sampling, grid)).clamp(0.0, 1.0)
    }

    /// z_t = α f + σ ε `[B, D]` at one time t for the whole batch.
    pub fn diffuse(&self, f: Tensor<B, 2>, noise: Tensor<B, 2>, t: f64) -> Tensor<B, 2> {
        let gamma = self.schedule.gamma(t);
        f * math::alpha_squared(gamma).sqrt() + noise * math::sigma_squared(gamma).sqrt()
    }

    /// ε̂ `[B, D]` for z `[B, D]` at γ as sampling uses it: with [autoguidance](SamplingConfig::autoguidance), and classifier-free
    /// guidance where a class is given.
    pub fn predict_noise(&self, z: Tensor<B, 2>, gamma: f64, condition: Condition) -> Tensor<B, 2> {
        let device = z.device();
        let [batch, _] = z.dims();
        // Embedded on the host: a GPU's sine is not exact for arguments near 1000.
        let dim = self.config.score_net.embedding_dim;
        let embedded: Vec<f32> =
            math::time_embedding(self.schedule.tau(gamma), dim).into_iter().map(|v| v as f32).collect();
        let embedded = Tensor::from_data(TensorData::new(embedded, [1, dim]), &device);
        let autoguidance = self.sampling.autoguidance_at(gamma);
        let gamma = Tensor::<B, 1>::from_floats([gamma as f32], &device);
        let labels = |class: usize| Some(Tensor::<B, 1, Int>::full([batch], class as i64, &device));
        let predict = |z: &Tensor<B, 2>, labels| {
            self.networks.predict_noise(z.clone(), gamma.clone(), embedded.clone(), labels, autoguidance)
        };
        match condition.class {
            None => predict(&z, None),
            Some(class) if condition.guidance == 0.0 => predict(&z, labels(class)),
            Some(class) => {
                let w = condition.guidance;
                predict(&z, labels(class)) * (1.0 + w) - predict(&z, None) * w
            }
        }
    }
}
