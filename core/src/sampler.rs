//! Reverse-time sampling, step by step. The caller owns the loop, so progress, previews and cancelling are its own.

use burn::tensor::{Tensor, TensorData, backend::Backend};
use serde::{Deserialize, Serialize};
use strum::{Display, EnumString, IntoStaticStr, VariantArray};

use crate::autoencoder::Encoder;
use crate::config::ModelConfig;
use crate::diffusion::schedule::NoiseSchedule;
use crate::diffusion::score_net::Context;
use crate::error::ConfigError;
use crate::math::{alpha_squared, sigma_squared};
use crate::model::{Condition, Place, Vdm};
use crate::rng::{Rng, RngStream, seeded_noise, slerp};

/// How z_s is computed from z_t.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, Display, EnumString, IntoStaticStr, VariantArray,
)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum Sampler {
    /// Second-order multistep solver DPM-Solver++(2M) (Lu et al. 2022). It needs the fewest steps. They are equal in γ, as
    /// its authors take them; those of the other samplers are equal in t.
    #[default]
    #[serde(rename = "dpmpp-2m")]
    #[strum(serialize = "dpmpp-2m")]
    DpmSolver2M,
    /// Deterministic (Song et al. 2021).
    Ddim,
    /// Draws from p(z_s | z_t) (Kingma et al. 2021, appendix A.4): fresh noise at each step.
    Ancestral,
}

impl Sampler {
    /// Every sampler.
    pub const ALL: &'static [Self] = Self::VARIANTS;

    /// The name used on the command line, in addresses and in files.
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// The times of a run from `t`, from `t` itself to 0: one more than steps.
    pub fn times(self, schedule: &NoiseSchedule, t: f64, steps: usize) -> Vec<f64> {
        let left = |i: usize| 1.0 - i as f64 / steps as f64;
        let equal_in_gamma = |i: usize| match left(i) {
            1.0 => t,
            0.0 => 0.0,
            left => schedule.time(schedule.gamma_min + (schedule.gamma(t) - schedule.gamma_min) * left),
        };
        match self {
            Sampler::DpmSolver2M => (0..=steps).map(equal_in_gamma).collect(),
            Sampler::Ancestral | Sampler::Ddim => (0..=steps).map(|i| t * left(i)).collect(),
        }
    }
}

/// The coefficients of a step from γ_t to γ_s < γ_t, in float64.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepGammas {
    /// γ_t.
    pub gamma_t: f64,
    /// γ_s.
    pub gamma_s: f64,
}

/// z_s = `z`·z_t + `eps`·ε̂ + `noise`·ε.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AncestralCoefficients {
    /// Factor of z_t.
    pub z: f64,
    /// Factor of ε̂.
    pub eps: f64,
    /// Factor of the fresh noise.
    pub noise: f64,
}

/// z_s = `f_hat`·f̂ + `eps`·ε̂.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DdimCoefficients {
    /// Factor of f̂.
    pub f_hat: f64,
    /// Factor of ε̂.
    pub eps: f64,
}

/// z_s = `z`·z_t + `f_hat`·f̂ + `f_hat_previous`·f̂_prev.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DpmSolver2MCoefficients {
    /// Factor of z_t.
    pub z: f64,
    /// Factor of f̂.
    pub f_hat: f64,
    /// Factor of the step before's f̂.
    pub f_hat_previous: f64,
}

impl StepGammas {
    /// f̂ = (z_t − σ_t ε̂) / α_t, as the factors of z_t and ε̂.
    pub fn clean(&self) -> (f64, f64) {
        let alpha = alpha_squared(self.gamma_t).sqrt();
        (1.0 / alpha, -sigma_squared(self.gamma_t).sqrt() / alpha)
    }

    /// With c = −expm1(γ_s − γ_t): z_s = (α_s/α_t)(z_t − σ_t c ε̂) + σ_s √c ε.
    pub fn ancestral(&self) -> AncestralCoefficients {
        let c = -(self.gamma_s - self.gamma_t).exp_m1();
        let ratio = (alpha_squared(self.gamma_s) / alpha_squared(self.gamma_t)).sqrt();
        AncestralCoefficients {
            z: ratio,
            eps: -ratio * sigma_squared(self.gamma_t).sqrt() * c,
            noise: (sigma_squared(self.gamma_s) * c).sqrt(),
        }
    }

    /// z_s = α_s f̂ + σ_s ε̂.
    pub fn ddim(&self) -> DdimCoefficients {
        DdimCoefficients { f_hat: alpha_squared(self.gamma_s).sqrt(), eps: sigma_squared(self.gamma_s).sqrt() }
    }

    /// λ = −γ/2, h = λ_s − λ_t, r = (λ_t − λ_prev)/h, D = (1 + 1/(2r)) f̂ − (1/(2r)) f̂_prev,
    /// z_s = (σ_s/σ_t) z_t − α_s expm1(−h) D; the first step has no previous γ and takes D = f̂.
    pub fn dpm_solver_2m(&self, gamma_previous: Option<f64>) -> DpmSolver2MCoefficients {
        let h = (self.gamma_t - self.gamma_s) / 2.0;
        let scale = -alpha_squared(self.gamma_s).sqrt() * (-h).exp_m1();
        let half_over_r = gamma_previous.map_or(0.0, |previous| 0.5 * h / ((previous - self.gamma_t) / 2.0));
        DpmSolver2MCoefficients {
            z: (sigma_squared(self.gamma_s) / sigma_squared(self.gamma_t)).sqrt(),
            f_hat: scale * (1.0 + half_over_r),
            f_hat_previous: -scale * half_over_r,
        }
    }
}

/// How to sample.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SamplingOptions {
    /// The sampler.
    pub sampler: Sampler,
    /// Network evaluations from noise to image, over all bands.
    pub steps: usize,
    /// Class and guidance.
    pub condition: Condition,
}

impl SamplingOptions {
    /// The maximum number of steps.
    pub const MAX_STEPS: usize = 100_000;

    /// Checks the options against a model.
    ///
    /// # Errors
    /// The option that does not fit, with what does.
    pub fn validate(&self, config: &ModelConfig) -> Result<(), ConfigError> {
        ConfigError::check_range("steps", self.steps, config.band_dims().len()..=Self::MAX_STEPS)?;
        ConfigError::check_range("guidance", self.condition.guidance, -1.0..=100.0)?;
        match (self.condition.class, config.classes().count()) {
            (Some(class), 0) => Err(ConfigError::new("class", class, "these weights have no classes")),
            (Some(class), classes) => ConfigError::check_range("class", class, 0..=classes - 1),
            (None, _) => Ok(()),
        }
    }
}

/// A finished step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// Number of the step, from 1, over all bands.
    pub number: usize,
    /// Steps in all.
    pub of: usize,
    /// The band of the step, from the coarse one.
    pub band: usize,
    /// The band's time after the step.
    pub t: f64,
    /// γ there.
    pub gamma: f64,
}

/// Samples on their way from t to 0, with one seed per image: band after band where the model has bands.
#[derive(Clone, Debug)]
pub struct Trajectory<B: Backend> {
    options: SamplingOptions,
    seeds: Vec<u64>,
    /// The places between the steps of all bands, one after the other.
    places: Vec<Place>,
    position: usize,
    z: Tensor<B, 2>,
    f_hat: Option<Tensor<B, 2>>,
    context: Option<Context<B>>,
}

/// A draw from the Bernoulli decoder: each pixel is 1 with its mean's probability, else 0.
pub fn draw_pixels(mean: &[f32], seed: u64) -> Vec<f32> {
    let mut noise = Rng::new(seed, RngStream::Pixels, 0);
    mean.iter().map(|&p| if noise.uniform() < f64::from(p) { 1.0 } else { 0.0 }).collect()
}

impl<B: Backend> Trajectory<B> {
    /// Starts from z_1 ~ N(0, I), drawn from the seeds.
    ///
    /// # Errors
    /// Options that do not fit the model.
    pub fn from_noise(
        model: &Vdm<B>,
        options: SamplingOptions,
        seeds: &[u64],
        device: &B::Device,
    ) -> Result<Self, ConfigError> {
        let z = seeded_noise(seeds, RngStream::Prior, 0, model.config.latent_dim(), device);
        Self::from_latent(model, options, seeds, z, 1.0)
    }

    /// Starts from `frames` points at even distances on the great circle between the noise of two seeds, see [`slerp`]. The
    /// first gives the image of seed `from`, the last that of seed `to`. All use the ancestral steps' noise of `from`.
    ///
    /// # Errors
    /// Options that do not fit the model.
    pub fn between(
        model: &Vdm<B>,
        options: SamplingOptions,
        from: u64,
        to: u64,
        frames: usize,
        device: &B::Device,
    ) -> Result<Self, ConfigError> {
        let dim = model.config.latent_dim();
        let draw = |seed| Rng::new(seed, RngStream::Prior, 0).normals(dim);
        let (a, b) = (draw(from), draw(to));
        let weight = |i: usize| i as f64 / (frames.max(2) - 1) as f64;
        let values: Vec<f32> = (0..frames).flat_map(|i| slerp(&a, &b, weight(i))).collect();
        let z = Tensor::from_data(TensorData::new(values, [frames, dim]), device);
        Self::from_latent(model, options, &vec![from; frames], z, 1.0)
    }

    /// Starts from z_t `[seeds, D]` at time `t` ∈ (0, 1] of each band, in ⌈steps · t⌉ steps: "denoise from here".
    ///
    /// # Errors
    /// Options that do not fit the model.
    pub fn from_latent(
        model: &Vdm<B>,
        options: SamplingOptions,
        seeds: &[u64],
        z: Tensor<B, 2>,
        t: f64,
    ) -> Result<Self, ConfigError> {
        options.validate(&model.config)?;
        if !(t > 0.0 && t <= 1.0) {
            return Err(ConfigError::new("t", t, "a time above 0, at most 1, is accepted"));
        }
        let steps = (options.steps as f64 * t).ceil() as usize;
        let steps = model.sampling.of_bands(steps, model.schedules.len());
        let places = model.schedules.iter().zip(steps).enumerate().flat_map(|(band, (schedule, steps))| {
            let times = options.sampler.times(schedule, t, steps);
            times.into_iter().map(move |t| Place { band, t, gamma: schedule.gamma(t) })
        });
        let places = places.collect();
        Ok(Self { options, seeds: seeds.to_vec(), places, position: 0, z, f_hat: None, context: None })
    }

    /// Draws the fine band for coarse bands `[seeds, D_coarse]`: detail for what they show.
    ///
    /// # Errors
    /// Options that do not fit the model, or a model without bands.
    pub fn from_coarse(
        model: &Vdm<B>,
        options: SamplingOptions,
        seeds: &[u64],
        coarse: Tensor<B, 2>,
    ) -> Result<Self, ConfigError> {
        if model.schedules.len() < 2 {
            return Err(ConfigError::new("bands", "absent", "a model of bands is needed"));
        }
        let (first, count) = model.band_range(1);
        let noise = seeded_noise::<B>(seeds, RngStream::Prior, 0, first + count, &coarse.device());
        let noise = noise.narrow(1, first, count);
        let f_hat = Tensor::cat(vec![coarse.clone(), noise.zeros_like()], 1);
        let mut trajectory = Self::from_latent(model, options, seeds, Tensor::cat(vec![coarse, noise], 1), 1.0)?;
        trajectory.f_hat = Some(f_hat);
        // The coarse band is at its end.
        let begins = trajectory.places.iter().position(|place| place.band == 1);
        trajectory.position = begins.map_or(0, |begins| begins - 1);
        Ok(trajectory)
    }

    /// Reconstruction: encodes images x `[seeds, H·W]`, diffuses them to time `t` with noise from their seeds, and starts
    /// there. A small t gives the image back. At t = 1 little of it is left.
    ///
    /// # Errors
    /// As [`from_latent`](Self::from_latent).
    pub fn from_image(
        model: &Vdm<B>,
        encoder: &Encoder<B>,
        options: SamplingOptions,
        seeds: &[u64],
        x: Tensor<B, 2>,
        t: f64,
    ) -> Result<Self, ConfigError> {
        let noise = seeded_noise(seeds, RngStream::Diffuse, 0, model.config.latent_dim(), &x.device());
        let z = model.diffuse(encoder.forward(x), noise, t);
        Self::from_latent(model, options, seeds, z, t)
    }

    /// The seed of each image's fresh noise.
    pub fn seeds(&self) -> &[u64] {
        &self.seeds
    }

    /// Steps in all.
    pub fn steps(&self) -> usize {
        // A band has one more place than steps.
        self.places.len() - self.bands()
    }

    fn bands(&self) -> usize {
        self.places.last().map_or(1, |place| place.band + 1)
    }

    /// The places between the steps, band after band, from the start of each to t = 0.
    pub fn places(&self) -> &[Place] {
        &self.places
    }

    /// Where the current band is.
    pub fn place(&self) -> Place {
        self.places[self.position]
    }

    /// z_t of all bands, `[B, D]`: those that have not begun are at their start, and those that are finished at t = 0.
    ///
    /// Of a band of the image itself, z_0 is α_0 f̂ of its last step, without the noise of
    /// [`min_noise`](crate::config::BandsConfig::min_noise), which would move some pixels of a black background by a grey
    /// level.
    pub fn z(&self) -> &Tensor<B, 2> {
        &self.z
    }

    /// f̂ of the last step, the predicted clean latent `[B, D]`; zeros, the mean, for bands that have not begun. None before
    /// the first step.
    pub fn f_hat(&self) -> Option<&Tensor<B, 2>> {
        self.f_hat.as_ref()
    }

    /// Takes the next step. None if t = 0 is reached in all bands.
    pub fn step(&mut self, model: &Vdm<B>) -> Option<Step> {
        if self.position + 1 >= self.places.len() {
            return None;
        }
        if self.places[self.position].band != self.places[self.position + 1].band {
            // The next band begins.
            self.position += 1;
        }
        let i = self.position;
        let Place { band, gamma: gamma_t, .. } = self.places[i];
        let first_of_band = i == 0 || self.places[i - 1].band != band;
        let gammas = StepGammas { gamma_t, gamma_s: self.places[i + 1].gamma };
        let (first, count) = model.band_range(band);
        let [batch, dim] = self.z.dims();
        if first_of_band && band > 0 {
            let (_, coarse) = model.band_range(0);
            let noise = seeded_noise::<B>(&self.seeds, RngStream::Context, 0, coarse, &self.z.device());
            let clean = self.f_hat.clone().unwrap_or_else(|| self.z.clone()).narrow(1, 0, coarse);
            self.context = model.context(clean, noise);
        }
        let z = self.z.clone().narrow(1, first, count);
        let eps_hat = model.predict_noise(band, z.clone(), gamma_t, self.options.condition, self.context.as_ref());
        let (z_factor, eps_factor) = gammas.clean();
        let f_hat = z.clone() * z_factor + eps_hat.clone() * eps_factor;
        let previous = self.f_hat.take();
        let last_of_band = self.places.get(i + 2).is_none_or(|next| next.band != band);
        let next = match self.options.sampler {
            _ if last_of_band && model.config.bands.is_some() => f_hat.clone() * alpha_squared(gammas.gamma_s).sqrt(),
            Sampler::Ancestral => {
                let c = gammas.ancestral();
                let fresh = seeded_noise::<B>(&self.seeds, RngStream::Step, i as u64, count, &z.device());
                z * c.z + eps_hat * c.eps + fresh * c.noise
            }
            Sampler::Ddim => {
                let c = gammas.ddim();
                f_hat.clone() * c.f_hat + eps_hat * c.eps
            }
            Sampler::DpmSolver2M => {
                let before = (!first_of_band).then(|| self.places[i - 1].gamma);
                let c = gammas.dpm_solver_2m(before);
                let next = z * c.z + f_hat.clone() * c.f_hat;
                match &previous {
                    Some(previous) if !first_of_band => {
                        next + previous.clone().narrow(1, first, count) * c.f_hat_previous
                    }
                    _ => next,
                }
            }
        };
        let around = |whole: Option<Tensor<B, 2>>, part: Tensor<B, 2>| {
            let whole = whole.unwrap_or_else(|| self.z.zeros_like());
            let before = (first > 0).then(|| whole.clone().narrow(1, 0, first));
            let after = (first + count < dim).then(|| whole.narrow(1, first + count, dim - first - count));
            let parts: Vec<_> = [before, Some(part), after].into_iter().flatten().collect();
            if parts.len() == 1 { parts.into_iter().next() } else { Some(Tensor::cat(parts, 1)) }
        };
        debug_assert_eq!(next.dims()[0], batch);
        let z = around(Some(self.z.clone()), next);
        self.f_hat = around(previous, f_hat);
        self.z = z.unwrap_or_else(|| self.z.clone());
        self.position += 1;
        let Place { t, gamma, .. } = self.places[self.position];
        Some(Step { number: self.position - band, of: self.steps(), band, t, gamma })
    }

    /// The place after a number of steps of all bands, from 0.
    pub fn place_after(&self, steps: usize) -> Place {
        // A band has one more place than steps.
        let of_first = self.places.iter().filter(|place| place.band == 0).count() - 1;
        self.places[steps + usize::from(steps > of_first)]
    }

    /// The images `[B, H·W]` of z_t / α_t in the bands that have begun, and of the mean in the others; at the end those of
    /// z_0 / α_0.
    pub fn decode(&self, model: &Vdm<B>) -> Tensor<B, 2> {
        let mut first = 0;
        let bands = model.visible(self.place()).into_iter().map(|(count, factor)| {
            first += count;
            self.z.clone().narrow(1, first - count, count) * factor
        });
        model.decode(Tensor::cat(bands.collect(), 1))
    }

    /// The images `[B, H·W]` of the predicted clean latent.
    pub fn decode_prediction(&self, model: &Vdm<B>) -> Tensor<B, 2> {
        match &self.f_hat {
            Some(f_hat) => model.decode(f_hat.clone()),
            None => self.decode(model),
        }
    }
}
