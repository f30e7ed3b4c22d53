//! The networks and their losses.

use burn::module::Module;
use burn::tensor::{Int, Tensor, TensorData, activation::sigmoid, backend::Backend};

use crate::autoencoder::grain;
use crate::autoencoder::lapped::LappedSelection;
use crate::autoencoder::{Decoded, Decoder, Encoder};
use crate::config::{Autoguidance, ComputePrecision, ModelConfig, Stage};
use crate::diffusion::gaussian::{GaussianNoise, LatentStatistics};
use crate::diffusion::loss::{self, LossTerms};
use crate::diffusion::schedule::ScheduleParams;
use crate::diffusion::score_net::ScoreNet;
use crate::diffusion::terms::Terms;
use crate::error::{BackendError, ConfigError, WeightsError};
use crate::nn::dense::time_embedding;
use crate::nn::params::{ParamBuilder, parameter};

/// Everything that is trained.
#[derive(Module, Debug)]
pub struct Networks<B: Backend> {
    /// The noise schedule's parameters.
    pub schedule: ScheduleParams<B>,
    /// Predicts the noise.
    pub score_net: ScoreNet<B>,
    /// Predicts the noise of the latents' principal components, see [`coarse`](crate::diffusion::coarse).
    pub coarse: Option<ScoreNet<B>>,
    /// Latents to images.
    pub decoder: Decoder<B>,
    /// Images to latents. Sampling does not need it.
    pub encoder: Option<Encoder<B>>,
}

/// γ at the times of a batch.
#[derive(Clone, Debug)]
pub struct BatchGammas<B: Backend> {
    /// γ(0), `[1]`.
    pub min: Tensor<B, 1>,
    /// γ(1), `[1]`.
    pub max: Tensor<B, 1>,
    /// γ(t_i), `[K·B]`.
    pub at_t: Tensor<B, 1>,
    /// The weight of ‖ε − ε̂‖² at t_i.
    pub weight: DiffusionWeight<B>,
}

/// What determines the weight of ‖ε − ε̂‖² in the diffusion loss.
#[derive(Clone, Debug)]
pub enum DiffusionWeight<B: Backend> {
    /// Continuous time: ½ γ′(t).
    Continuous {
        /// γ′(t_i), `[K·B]`.
        gamma_prime: Tensor<B, 1>,
    },
    /// Discrete time: ½ T expm1(γ_t − γ_s).
    Discrete {
        /// γ(t_i − 1/T), `[K·B]`.
        gamma_s: Tensor<B, 1>,
        /// T.
        steps: u32,
    },
}

/// The noise of a batch.
#[derive(Clone, Debug)]
pub struct LatentNoise<B: Backend> {
    /// ε_0 of z_0, the decoder's input, `[B, D]`.
    pub at_zero: Tensor<B, 2>,
    /// ε of z_t, `[K·B, D]`.
    pub at_t: Tensor<B, 2>,
}

impl<B: Backend> Networks<B> {
    /// Untrained networks with their encoder. The same seed gives the same weights on every backend.
    ///
    /// # Errors
    /// The configuration is not valid.
    pub fn new(config: &ModelConfig, seed: u64, device: &B::Device) -> Result<Self, ConfigError> {
        config.validate()?;
        let mut p = ParamBuilder::from_seed(seed, device);
        match Self::build(config, &mut p) {
            Ok(mut networks) => {
                networks.encoder = p.scope("encoder", |p| Encoder::build(config, p)).ok();
                Ok(networks)
            }
            Err(WeightsError::Config(error)) => Err(error),
            Err(_) => unreachable!("parameters from a seed cannot fail to be found"),
        }
    }

    /// Everything but the encoder.
    pub(crate) fn build(config: &ModelConfig, p: &mut ParamBuilder<'_, B>) -> Result<Self, WeightsError> {
        Ok(Self {
            schedule: p.scope("schedule", |p| ScheduleParams::build(&config.schedule, p))?,
            score_net: p.scope("score_net", |p| ScoreNet::build(config, p))?,
            coarse: config.coarse().map(|config| p.scope("coarse", |p| ScoreNet::build(&config, p))).transpose()?,
            decoder: p.scope("decoder", |p| Decoder::build(config, p))?,
            encoder: None,
        })
    }

    /// Sets the mean training image, `H·W` values in [0, 1]. The encoder subtracts it from its input, and the decoder
    /// starts from it.
    #[must_use]
    pub fn with_mean_image(self, mean: &[f64], device: &B::Device) -> Self {
        Self {
            decoder: self.decoder.with_mean_image(mean, device),
            encoder: self.encoder.map(|encoder| encoder.with_mean_image(mean, device)),
            ..self
        }
    }

    /// Sets the coefficients of the lapped transform that a latent holds, on patches.
    #[must_use]
    pub fn with_lapped_transform(self, selection: &LappedSelection, device: &B::Device) -> Self {
        Self {
            decoder: self.decoder.with_lapped_transform(selection, device),
            encoder: self.encoder.map(|encoder| encoder.with_lapped_transform(selection, device)),
            ..self
        }
    }

    /// Sets the mean and covariance of the training latents, where the ScoreNet has a Gaussian prediction.
    #[must_use]
    pub fn with_latent_statistics(mut self, statistics: LatentStatistics, device: &B::Device) -> Self {
        let LatentStatistics { mean, components, variances, rest } = statistics;
        let rank = variances.len();
        let rows = components.len() / rank.max(1);
        let components = parameter(components, [rows, rank], device);
        let vector = |values: Vec<f32>| {
            let shape = [values.len()];
            parameter(values, shape, device)
        };
        self.score_net.gaussian = self.score_net.gaussian.map(|old| GaussianNoise {
            mean: old.mean.clone().map(|_| vector(mean)),
            components: old.components.clone().map(|_| components),
            variances: old.variances.clone().map(|_| vector(variances)),
            rest: old.rest.clone().map(|_| vector(rest)),
            ..old
        });
        self
    }

    /// Whether the ScoreNet has a Gaussian prediction whose statistics were set.
    ///
    /// # Errors
    /// The device cannot be read.
    pub async fn has_latent_statistics(&self) -> Result<bool, BackendError> {
        let Some(gaussian) = &self.score_net.gaussian else { return Ok(false) };
        let sum = gaussian.components.val().abs().sum();
        let sum = sum.into_data_async().await.map_err(BackendError::new)?;
        Ok(sum.iter::<f32>().any(|sum| sum > 0.0))
    }

    /// Sets the precision of the residual networks' matrix products. Everything else, and the weights, stay float32.
    #[must_use]
    pub fn with_compute(mut self, compute: ComputePrecision) -> Self {
        self.score_net.set_compute(compute);
        self.decoder.set_compute(compute);
        if let Some(encoder) = &mut self.encoder {
            encoder.set_compute(compute);
        }
        self
    }

    /// γ, and what determines the weight of the diffusion loss, at times t_i, as functions of the schedule's parameters.
    ///
    /// `steps` is T of discrete time, where every t_i is a positive multiple of 1/T. Without it time is continuous.
    pub fn gammas(&self, times: &[f64], steps: Option<u32>, device: &B::Device) -> BatchGammas<B> {
        self.gammas_with_endpoints(times, steps, self.schedule.gamma_min.val(), self.schedule.gamma_max.val(), device)
    }

    pub(crate) fn gammas_with_endpoints(
        &self,
        times: &[f64],
        steps: Option<u32>,
        min: Tensor<B, 1>,
        max: Tensor<B, 1>,
        device: &B::Device,
    ) -> BatchGammas<B> {
        let at = |times: Vec<f32>| {
            let shape = [times.len()];
            let times = Tensor::from_data(TensorData::new(times, shape), device);
            self.schedule.at_with_endpoints(times, min.clone(), max.clone())
        };
        let at_t = at(times.iter().map(|&t| t as f32).collect());
        let weight = match steps {
            None => DiffusionWeight::Continuous { gamma_prime: at_t.gamma_prime },
            Some(steps) => {
                let earlier = times.iter().map(|&t| (t - 1.0 / f64::from(steps)).max(0.0) as f32).collect();
                DiffusionWeight::Discrete { gamma_s: at(earlier).gamma, steps }
            }
        };
        BatchGammas { min, max, at_t: at_t.gamma, weight }
    }

    /// ε̂ of ScoreNet and coarse network, see [`ScoreNet::forward`]. The ELBO is that without autoguidance.
    pub fn predict_noise(
        &self,
        z: Tensor<B, 2>,
        gamma: Tensor<B, 1>,
        embedded_time: Tensor<B, 2>,
        classes: Option<Tensor<B, 1, Int>>,
        autoguidance: Autoguidance,
    ) -> Tensor<B, 2> {
        self.score_net.forward(z, gamma, embedded_time, classes, self.coarse.as_ref(), autoguidance)
    }

    /// The loss terms of images x `[B, H·W]` in [0, 1].
    ///
    /// `encoder` is an argument because [`Networks::encoder`] may be absent. The diffusion loss is drawn at K times per
    /// image, because the ScoreNet can be cheap beside encoder and decoder: times and noise hold K·B rows, row k·B + i for
    /// draw k of image i. In a stage without diffusion the bound is that of [`Stage::Autoencoder`].
    #[expect(clippy::too_many_arguments, reason = "the loss depends on each")]
    pub fn losses(
        &self,
        config: &ModelConfig,
        stage: Stage,
        encoder: &Encoder<B>,
        x: Tensor<B, 2>,
        classes: Option<Tensor<B, 1, Int>>,
        gammas: BatchGammas<B>,
        noise: LatentNoise<B>,
    ) -> LossTerms<B> {
        let f = encoder.forward(x.clone());
        self.losses_of_latents(config, stage, f, x, classes, gammas, noise)
    }

    /// The loss terms for latents f `[B, D]` of images x.
    #[expect(clippy::too_many_arguments, reason = "the loss depends on each")]
    pub(crate) fn losses_of_latents(
        &self,
        config: &ModelConfig,
        stage: Stage,
        f: Tensor<B, 2>,
        x: Tensor<B, 2>,
        classes: Option<Tensor<B, 1, Int>>,
        gammas: BatchGammas<B>,
        noise: LatentNoise<B>,
    ) -> LossTerms<B> {
        let LatentNoise { at_zero, at_t } = noise;
        let terms = self.autoencoder_terms(config, f.clone(), x, gammas.min.clone(), at_zero);
        let (latent, diffusion_draws) = if stage.has_diffusion() {
            (loss::latent_kl(f.clone(), gammas.max.clone()), self.diffusion_draws(config, f, classes, &gammas, at_t))
        } else {
            (loss::latent_kl(f, gammas.min), gammas.at_t.zeros_like())
        };
        let [batch] = latent.dims();
        let diffusion = mean_of_draws(diffusion_draws.clone(), batch);
        LossTerms { terms: Terms { latent, diffusion, ..terms }, diffusion_draws }
    }

    /// The terms that depend on encoder and decoder only, each `[B]`, for latents f `[B, D]` of images x `[B, H·W]`. The
    /// others are zeros.
    pub(crate) fn autoencoder_terms(
        &self,
        config: &ModelConfig,
        f: Tensor<B, 2>,
        x: Tensor<B, 2>,
        gamma_min: Tensor<B, 1>,
        at_zero: Tensor<B, 2>,
    ) -> Terms<Tensor<B, 1>> {
        let [batch, _] = f.dims();
        let device = f.device();
        let z_0 = loss::diffuse(f, at_zero, gamma_min.clone());
        let Decoded { logits, mean, ln_grain } = self.decoder.decode(z_0 / alpha(gamma_min));
        let image = [batch, config.height, config.width];
        let grain = match (ln_grain, config.grid()) {
            // The density of the errors does not train the mean.
            (Some(ln_s), Some(grid)) => grain::negative_log_density(x.clone() - mean.clone().detach(), ln_s, grid),
            _ => Tensor::zeros([batch], &device),
        };
        Terms {
            reconstruction: loss::bernoulli_nll(logits, x.clone()),
            mse: loss::mse(x.clone(), mean.clone()),
            gradient_difference: loss::gradient_difference(x.reshape(image), mean.reshape(image)),
            grain,
            ..Terms::zeros(batch, &device)
        }
    }

    /// The diffusion loss of latents f `[B, D]` at each drawn time, `[K·B]`.
    pub(crate) fn diffusion_draws(
        &self,
        config: &ModelConfig,
        f: Tensor<B, 2>,
        classes: Option<Tensor<B, 1, Int>>,
        gammas: &BatchGammas<B>,
        noise: Tensor<B, 2>,
    ) -> Tensor<B, 1> {
        let BatchGammas { min, max, at_t, weight } = gammas.clone();
        let draws = at_t.dims()[0] / f.dims()[0]; // K
        // Not `repeat_dim`: its gradient in Burn 0.21 mixes up the rows.
        let repeated = Tensor::cat(vec![f; draws], 0); // [K·B, D]
        let classes = classes.map(|classes| classes.repeat_dim(0, draws));
        let z_t = loss::diffuse(repeated, noise.clone(), at_t.clone());
        let tau = (at_t.clone() - min.clone()) / (max - min);
        let embedded = time_embedding(tau, config.score_net.embedding_dim);
        let predicted = self.predict_noise(z_t, at_t.clone(), embedded, classes, Autoguidance::default());
        let weight = match weight {
            DiffusionWeight::Continuous { gamma_prime } => gamma_prime * 0.5,
            DiffusionWeight::Discrete { gamma_s, steps } => expm1(at_t - gamma_s) * (0.5 * f64::from(steps)),
        };
        loss::diffusion_loss(noise, predicted, weight)
    }
}

/// Means over the K draws of each of B images, `[K·B]` to `[B]`.
pub(crate) fn mean_of_draws<B: Backend>(draws: Tensor<B, 1>, batch: usize) -> Tensor<B, 1> {
    let count = draws.dims()[0] / batch;
    draws.reshape([count, batch]).mean_dim(0).squeeze_dim(0)
}

/// α(γ) `[1]` as `[1, 1]`.
fn alpha<B: Backend>(gamma: Tensor<B, 1>) -> Tensor<B, 2> {
    sigmoid(gamma.neg()).sqrt().unsqueeze()
}

/// e^x − 1 for small x, by e^x − 1 = 2 e^(x/2) sinh(x/2).
fn expm1<B: Backend>(x: Tensor<B, 1>) -> Tensor<B, 1> {
    let half = x * 0.5;
    half.clone().exp() * half.sinh() * 2.0
}
