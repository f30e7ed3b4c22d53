//! A model that is ready to sample.

use burn::tensor::{Int, Tensor, TensorData, backend::Backend};

use crate::config::{CONTEXT_GAMMA, ModelConfig, SamplingConfig};
use crate::diffusion::loss;
use crate::diffusion::schedule::NoiseSchedule;
use crate::diffusion::score_net::Context;
use crate::error::BackendError;
use crate::math;
use crate::model::networks::{Networks, band_grid};

/// A model that is ready to sample: networks, and the schedule's parameters read back from the device.
#[derive(Clone, Debug)]
pub struct Vdm<B: Backend> {
    /// The shape of the networks.
    pub config: ModelConfig,
    /// How it is sampled.
    pub sampling: SamplingConfig,
    /// The networks.
    pub networks: Networks<B>,
    /// The noise schedule of each band, read from the networks; of the latent where the model has no bands.
    pub schedules: Vec<NoiseSchedule>,
}

/// What to condition the noise prediction on.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Condition {
    /// The number of a [class](crate::config::Classes) of the model. Without one the prediction is unconditional.
    pub class: Option<usize>,
    /// Guidance weight w in ε̂ = (1 + w) ε̂_cond − w ε̂_uncond; 0 is the plain conditional prediction.
    pub guidance: f64,
}

/// Where a sample is: its band, and the time of that band.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Place {
    /// The band, counted from the coarse one.
    pub band: usize,
    /// Its time.
    pub t: f64,
    /// γ there.
    pub gamma: f64,
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
        let mut schedules = Vec::new();
        for band in 0..config.band_dims().len() {
            schedules.push(networks.band(band).0.read().await?);
        }
        Ok(Self { config, sampling, networks, schedules })
    }

    /// f `[B, D]` of images x `[B, H·W]`; none if the encoder is not loaded.
    pub fn encode(&self, x: Tensor<B, 2>) -> Option<Tensor<B, 2>> {
        self.networks.encoder.as_ref().map(|encoder| encoder.forward(x))
    }

    /// The decoder's mean image `[B, H·W]` for latents f `[B, D]`.
    pub fn decode(&self, f: Tensor<B, 2>) -> Tensor<B, 2> {
        self.networks.decoder.decode(f).clamp(0.0, 1.0)
    }

    /// The place of a band's numbers in a latent f: the first, and how many.
    pub fn band_range(&self, band: usize) -> (usize, usize) {
        let dims = self.config.band_dims();
        (dims[..band].iter().sum(), dims[band])
    }

    /// z_t = α f + σ ε `[B, D]` at one time t for the whole batch and all bands.
    pub fn diffuse(&self, f: Tensor<B, 2>, noise: Tensor<B, 2>, t: f64) -> Tensor<B, 2> {
        let bands = self.schedules.iter().enumerate().map(|(band, schedule)| {
            let (first, count) = self.band_range(band);
            let gamma = schedule.gamma(t);
            f.clone().narrow(1, first, count) * math::alpha_squared(gamma).sqrt()
                + noise.clone().narrow(1, first, count) * math::sigma_squared(gamma).sqrt()
        });
        Tensor::cat(bands.collect(), 1)
    }

    /// z_t / α_t `[B, D]` of all bands at one time t.
    pub fn without_alpha(&self, z: Tensor<B, 2>, t: f64) -> Tensor<B, 2> {
        let bands = self.schedules.iter().enumerate().map(|(band, schedule)| {
            let (first, count) = self.band_range(band);
            z.clone().narrow(1, first, count) / math::alpha_squared(schedule.gamma(t)).sqrt()
        });
        Tensor::cat(bands.collect(), 1)
    }

    /// What z is multiplied by to be decoded while a sample is at `place`, as the numbers of a band with their factor: 1/α in
    /// the bands that have begun, and 0, the mean, in the others.
    pub fn visible(&self, place: Place) -> Vec<(usize, f64)> {
        let factor = |band: usize| match band.cmp(&place.band) {
            std::cmp::Ordering::Less => math::alpha_squared(self.schedules[band].gamma(0.0)).sqrt().recip(),
            std::cmp::Ordering::Equal => math::alpha_squared(place.gamma).sqrt().recip(),
            std::cmp::Ordering::Greater => 0.0,
        };
        self.config.band_dims().into_iter().enumerate().map(|(band, count)| (count, factor(band))).collect()
    }

    /// What the fine band's ScoreNet is given of a drawn coarse band `[B, D_coarse]`: it with a little
    /// [noise](SamplingConfig::context_gamma), ε `[B, D_coarse]`. None where the model has no bands.
    pub fn context(&self, coarse: Tensor<B, 2>, noise: Tensor<B, 2>) -> Option<Context<B>> {
        let gamma = Tensor::from_floats([self.sampling.context_gamma as f32], &self.device());
        self.noisy_context(loss::diffuse(coarse, noise, gamma))
    }

    /// As [`context`](Self::context), of a coarse band that has its noise.
    pub fn noisy_context(&self, coarse: Tensor<B, 2>) -> Option<Context<B>> {
        let lapped = self.networks.lapped()?;
        let (min, max) = CONTEXT_GAMMA;
        let tau = (self.sampling.context_gamma - min) / (max - min);
        Some(Context { values: lapped.context(coarse), embedded: self.embed(1, tau) })
    }

    /// f̂ `[B, D]` of z_t `[B, D]` at one time t of all bands, from one evaluation of each: the fine band is given what the
    /// coarse one predicts, with the noise `[B, D_coarse]` of its [context](Self::context).
    pub fn predict_clean(&self, z: Tensor<B, 2>, t: f64, condition: Condition, noise: Tensor<B, 2>) -> Tensor<B, 2> {
        let mut context = None;
        let bands = self.schedules.iter().enumerate().map(|(band, schedule)| {
            let (first, count) = self.band_range(band);
            let (z, gamma) = (z.clone().narrow(1, first, count), schedule.gamma(t));
            let eps_hat = self.predict_noise(band, z.clone(), gamma, condition, context.as_ref());
            let alpha = math::alpha_squared(gamma).sqrt();
            let f_hat = z / alpha - eps_hat * (math::sigma_squared(gamma).sqrt() / alpha);
            context = if band == 0 { self.context(f_hat.clone(), noise.clone()) } else { None };
            f_hat
        });
        Tensor::cat(bands.collect(), 1)
    }

    fn device(&self) -> B::Device {
        self.networks.schedule.gamma_min.val().device()
    }

    /// Embedded on the host: a GPU's sine is not exact for arguments near 1000.
    fn embed(&self, band: usize, tau: f64) -> Tensor<B, 2> {
        let dim = self.networks.band(band).1.embedding_dim();
        let embedded: Vec<f32> = math::time_embedding(tau, dim).into_iter().map(|v| v as f32).collect();
        Tensor::from_data(TensorData::new(embedded, [1, dim]), &self.device())
    }

    /// ε̂ `[B, D_band]` for z `[B, D_band]` of a band at γ as sampling uses it: with classifier-free guidance where a class is
    /// given. The fine band needs its context.
    pub fn predict_noise(
        &self,
        band: usize,
        z: Tensor<B, 2>,
        gamma: f64,
        condition: Condition,
        context: Option<&Context<B>>,
    ) -> Tensor<B, 2> {
        let device = z.device();
        let [batch, _] = z.dims();
        let embedded = self.embed(band, self.schedules[band].tau(gamma));
        let gamma = Tensor::<B, 1>::from_floats([gamma as f32], &device);
        let labels = |class: usize| Some(Tensor::<B, 1, Int>::full([batch], class as i64, &device));
        let (_, score_net) = self.networks.band(band);
        let grid = band_grid(&self.config, band);
        let predict = |z: &Tensor<B, 2>, labels| {
            score_net.forward(z.clone(), gamma.clone(), embedded.clone(), labels, grid, context.cloned())
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
