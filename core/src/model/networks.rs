//! The networks and their losses.

use burn::module::Module;
use burn::tensor::{Int, Tensor, TensorData, activation::sigmoid, backend::Backend};

use crate::autoencoder::{Decoder, Encoder, Lapped};
use crate::config::{
    COARSE_CHANNELS, CONTEXT_CHANNELS, CONTEXT_GAMMA, ComputePrecision, FINE_CHANNELS, ModelConfig, PatchGrid, Stage,
};
use crate::diffusion::loss::{self, LossTerms};
use crate::diffusion::schedule::ScheduleParams;
use crate::diffusion::score_net::{Body, Context, ScoreNet, TokenSizes};
use crate::diffusion::terms::Terms;
use crate::error::{BackendError, ConfigError, WeightsError};
use crate::nn::dense::time_embedding;
use crate::nn::params::{ParamBuilder, vector};

/// Everything that is trained.
#[derive(Module, Debug)]
pub struct Networks<B: Backend> {
    /// The noise schedule's parameters, of the latent or of the coarse band.
    pub schedule: ScheduleParams<B>,
    /// Predicts the noise of the latent or of the coarse band.
    pub score_net: ScoreNet<B>,
    /// The fine band, where the model has bands.
    pub fine: Option<Band<B>>,
    /// Latents to images.
    pub decoder: Decoder<B>,
    /// Images to latents. Sampling does not need it.
    pub encoder: Option<Encoder<B>>,
}

/// What is trained of a band.
#[derive(Module, Debug)]
pub struct Band<B: Backend> {
    /// The noise schedule's parameters.
    pub schedule: ScheduleParams<B>,
    /// Predicts the noise.
    pub score_net: ScoreNet<B>,
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
                if config.latent.is_some() {
                    networks.encoder = p.scope("encoder", |p| Encoder::build(config, p)).ok();
                }
                Ok(networks)
            }
            Err(WeightsError::Config(error)) => Err(error),
            Err(_) => unreachable!("parameters from a seed cannot fail to be found"),
        }
    }

    /// Everything but a learned encoder.
    pub(crate) fn build(config: &ModelConfig, p: &mut ParamBuilder<'_, B>) -> Result<Self, WeightsError> {
        let attributes = &config.attributes;
        let mut schedules = config.schedules().into_iter();
        let mut schedule = |p: &mut ParamBuilder<'_, B>| {
            let config = schedules.next().ok_or(WeightsError::NoMetadata("bands"))?;
            p.scope("schedule", |p| ScheduleParams::build(&config, p))
        };
        let bands = config.bands.as_ref();
        Ok(Self {
            schedule: schedule(p)?,
            score_net: p.scope("score_net", |p| match (&config.latent, bands) {
                (None, Some(bands)) => {
                    let positions = Some(config.coarse_grid());
                    let sizes = TokenSizes { channels: COARSE_CHANNELS, context: 0, positions };
                    ScoreNet::on_tokens(&bands.coarse, sizes, attributes, p)
                }
                (latent, _) => ScoreNet::dense(&latent.clone().unwrap_or_default(), attributes, p),
            })?,
            fine: bands
                .map(|bands| {
                    p.scope("fine", |p| {
                        let sizes = TokenSizes { channels: FINE_CHANNELS, context: CONTEXT_CHANNELS, positions: None };
                        Ok(Band {
                            schedule: schedule(p)?,
                            score_net: p
                                .scope("score_net", |p| ScoreNet::on_tokens(&bands.fine, sizes, attributes, p))?,
                        })
                    })
                })
                .transpose()?,
            decoder: p.scope("decoder", |p| Decoder::build(config, p))?,
            encoder: None,
        }
        .with_lapped_encoder())
    }

    /// A fixed transform encodes as well as it decodes.
    fn with_lapped_encoder(self) -> Self {
        match &self.decoder {
            Decoder::Dense(_) => self,
            Decoder::Lapped(lapped) => Self { encoder: Some(Encoder::Lapped(lapped.clone())), ..self },
        }
    }

    /// The schedule and the ScoreNet of a band, counted from the coarse one.
    pub fn band(&self, band: usize) -> (&ScheduleParams<B>, &ScoreNet<B>) {
        match &self.fine {
            Some(fine) if band > 0 => (&fine.schedule, &fine.score_net),
            _ => (&self.schedule, &self.score_net),
        }
    }

    /// Sets the mean training image, `H·W` values in [0, 1]. The encoder subtracts it, and the decoder starts from it.
    #[must_use]
    pub fn with_mean_image(self, mean: &[f64], device: &B::Device) -> Self {
        Self {
            decoder: self.decoder.with_mean_image(mean, device),
            encoder: self.encoder.map(|encoder| encoder.with_mean_image(mean, device)),
            ..self
        }
    }

    /// Sets the standard deviations of a token's numbers in each band, see [`ScoreNet::forward`].
    #[must_use]
    pub fn with_deviations(mut self, deviations: [&[f64]; 2], device: &B::Device) -> Self {
        let set = |mut score_net: ScoreNet<B>, values: &[f64]| {
            if let Body::Tokens(mut tokens) = score_net.net {
                tokens.deviations = tokens.deviations.map(|_| vector(values, device));
                score_net.net = Body::Tokens(tokens);
            }
            score_net
        };
        self.score_net = set(self.score_net, deviations[0]);
        self.fine = self.fine.map(|band| Band { score_net: set(band.score_net, deviations[1]), ..band });
        self
    }

    /// Adds attributes to those that the networks know, of no effect until they are trained.
    ///
    /// # Errors
    /// The device cannot be read.
    pub fn with_attributes(mut self, attributes: &[usize], device: &B::Device) -> Result<Self, BackendError> {
        self.score_net = self.score_net.with_attributes(attributes, device)?;
        if let Some(Band { schedule, score_net }) = self.fine {
            self.fine = Some(Band { schedule, score_net: score_net.with_attributes(attributes, device)? });
        }
        Ok(self)
    }

    /// Sets the precision of the residual networks' matrix products. Everything else, and the weights, stay float32.
    #[must_use]
    pub fn with_compute(mut self, compute: ComputePrecision) -> Self {
        self.score_net.set_compute(compute);
        if let Some(fine) = &mut self.fine {
            fine.score_net.set_compute(compute);
        }
        self.decoder.set_compute(compute);
        if let Some(encoder) = &mut self.encoder {
            encoder.set_compute(compute);
        }
        self
    }

    /// γ, and what determines the weight of the diffusion loss, at times t_i of a band, as functions of its schedule's
    /// parameters.
    ///
    /// `steps` is T of discrete time, where every t_i is a positive multiple of 1/T. Without it time is continuous.
    pub fn gammas(&self, band: usize, times: &[f64], steps: Option<u32>, device: &B::Device) -> BatchGammas<B> {
        let (schedule, _) = self.band(band);
        let (min, max) = (schedule.gamma_min.val(), schedule.gamma_max.val());
        schedule_gammas(schedule, times, steps, min, max, device)
    }

    /// The loss terms of images x `[B, H·W]` in [0, 1].
    ///
    /// `encoder` is an argument because [`Networks::encoder`] may be absent. The diffusion loss is drawn at K times per
    /// image, because the ScoreNet can be cheap beside encoder and decoder: times and noise hold K·B rows, row k·B + i for
    /// draw k of image i. `gammas` has an entry for each band. In the stage of a band the terms are those of that band; else
    /// they are those of the image.
    #[expect(clippy::too_many_arguments, reason = "the loss depends on each")]
    pub fn losses(
        &self,
        config: &ModelConfig,
        stage: Stage,
        encoder: &Encoder<B>,
        x: Tensor<B, 2>,
        classes: Option<Tensor<B, 1, Int>>,
        gammas: &[BatchGammas<B>],
        noise: LatentNoise<B>,
    ) -> LossTerms<B> {
        let [batch, _] = x.dims();
        let device = x.device();
        let f = encoder.forward(x.clone());
        let LatentNoise { at_zero, at_t } = noise;
        let dims = config.band_dims();
        let start = |band: usize| dims[..band].iter().sum::<usize>();
        let part = |x: &Tensor<B, 2>, band: usize| x.clone().narrow(1, start(band), dims[band]);
        let bands = match stage {
            Stage::Joint => 0..dims.len(),
            Stage::Coarse => 0..1,
            Stage::Fine => 1..dims.len(),
        };
        let mut terms = Terms::zeros(batch, &device);
        let mut diffusion_draws = None;
        for band in bands.clone() {
            let f_band = part(&f, band);
            terms.latent = terms.latent + loss::latent_kl(f_band.clone(), gammas[band].max.clone());
            let context = (band > 0).then(|| self.exact_context(part(&f, 0)));
            let draws = self.diffusion_draws(
                band,
                f_band,
                classes.clone(),
                &gammas[band],
                part(&at_t, band),
                band_grid(config, band),
                context.flatten(),
            );
            diffusion_draws = Some(match diffusion_draws {
                None => draws,
                Some(sum) => draws + sum,
            });
        }
        let diffusion_draws = diffusion_draws.unwrap_or_else(|| Tensor::zeros([batch], &device));
        terms.diffusion = mean_of_draws(diffusion_draws.clone(), batch);
        if stage == Stage::Joint {
            let clean = bands.map(|band| {
                let min = gammas[band].min.clone();
                loss::diffuse(part(&f, band), part(&at_zero, band), min.clone()) / alpha(min)
            });
            let decoded = Tensor::cat(clean.collect(), 1);
            match &self.decoder {
                Decoder::Dense(decoder) => {
                    let logits = decoder.logits(decoded);
                    let mean = sigmoid(logits.clone());
                    let image = [batch, config.height, config.width];
                    terms.reconstruction = loss::bernoulli_nll(logits, x.clone());
                    terms.mse = loss::mse(x.clone(), mean.clone());
                    terms.gradient_difference = loss::gradient_difference(x.reshape(image), mean.reshape(image));
                }
                Decoder::Lapped(_) => {
                    let mean = self.decoder.decode(decoded);
                    let noise = config.bands.as_ref().map_or(1.0, |bands| bands.min_noise);
                    terms.reconstruction = loss::discrete_nll(mean, x, noise);
                }
            }
        }
        LossTerms { terms, diffusion_draws }
    }

    /// The transform to bands, where the model has them.
    pub fn lapped(&self) -> Option<&Lapped<B>> {
        match &self.decoder {
            Decoder::Lapped(lapped) => Some(lapped),
            Decoder::Dense(_) => None,
        }
    }

    /// What the fine band's ScoreNet is given of a coarse band `[B, D_coarse]` without noise.
    fn exact_context(&self, coarse: Tensor<B, 2>) -> Option<Context<B>> {
        let device = coarse.device();
        let gamma = Tensor::from_floats([CONTEXT_GAMMA.0 as f32], &device);
        Some(Context { values: self.lapped()?.context(coarse), embedded: self.embed_context(gamma) })
    }

    /// The embedding `[B, embedding_dim]` of the noise on a context, of γ `[B]`.
    pub fn embed_context(&self, gamma: Tensor<B, 1>) -> Tensor<B, 2> {
        let (min, max) = CONTEXT_GAMMA;
        let (_, score_net) = self.band(1);
        time_embedding((gamma - min) / (max - min), score_net.embedding_dim())
    }

    /// The diffusion loss of a band f `[B, D]` at each drawn time, `[K·B]`. The context has rows for B images.
    #[expect(clippy::too_many_arguments, reason = "the loss depends on each")]
    pub(crate) fn diffusion_draws(
        &self,
        band: usize,
        f: Tensor<B, 2>,
        classes: Option<Tensor<B, 1, Int>>,
        gammas: &BatchGammas<B>,
        noise: Tensor<B, 2>,
        grid: PatchGrid,
        context: Option<Context<B>>,
    ) -> Tensor<B, 1> {
        let BatchGammas { min, max, at_t, weight } = gammas.clone();
        let draws = at_t.dims()[0] / f.dims()[0]; // K
        // Not `repeat_dim`: its gradient in Burn 0.21 mixes up the rows.
        let repeat = |x: Tensor<B, 2>| if draws == 1 { x } else { Tensor::cat(vec![x; draws], 0) };
        let classes = classes.map(|classes| classes.repeat_dim(0, draws));
        let context = context.map(|Context { values, embedded }| Context {
            values: repeat(values),
            embedded: if embedded.dims()[0] == 1 { embedded } else { repeat(embedded) },
        });
        let z_t = loss::diffuse(repeat(f), noise.clone(), at_t.clone());
        let tau = (at_t.clone() - min.clone()) / (max - min);
        let (_, score_net) = self.band(band);
        let embedded = time_embedding(tau, score_net.embedding_dim());
        let predicted = score_net.forward(z_t, at_t.clone(), embedded, classes, grid, context);
        let weight = match weight {
            DiffusionWeight::Continuous { gamma_prime } => gamma_prime * 0.5,
            DiffusionWeight::Discrete { gamma_s, steps } => expm1(at_t - gamma_s) * (0.5 * f64::from(steps)),
        };
        loss::diffusion_loss(noise, predicted, weight)
    }
}

/// How the tokens of a band lie.
pub fn band_grid(config: &ModelConfig, band: usize) -> PatchGrid {
    if band == 0 { config.coarse_grid() } else { config.patch_grid() }
}

/// As [`Networks::gammas`], for endpoints given as tensors of shape `[1]`.
pub(crate) fn schedule_gammas<B: Backend>(
    schedule: &ScheduleParams<B>,
    times: &[f64],
    steps: Option<u32>,
    min: Tensor<B, 1>,
    max: Tensor<B, 1>,
    device: &B::Device,
) -> BatchGammas<B> {
    let at = |times: Vec<f32>| {
        let shape = [times.len()];
        let times = Tensor::from_data(TensorData::new(times, shape), device);
        schedule.at_with_endpoints(times, min.clone(), max.clone())
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
