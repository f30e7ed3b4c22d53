//! How a model is trained.

use serde::{Deserialize, Serialize};
use strum::{Display, EnumString, IntoStaticStr, VariantArray};

use crate::error::ConfigError;

/// Precision of the matrix products in training.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, Display, EnumString, IntoStaticStr, VariantArray,
)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum ComputePrecision {
    /// float32, or what the backend uses for it (TensorFloat-32 on recent NVIDIA GPUs).
    #[default]
    F32,
    /// bfloat16: the range of float32 with 8 significant bits.
    Bf16,
    /// float16: 11 significant bits. Its small range needs a scaled loss.
    F16,
}

impl ComputePrecision {
    /// Every precision.
    pub const ALL: &'static [Self] = Self::VARIANTS;

    /// The name on the command line.
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// The optimizer.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, Display, EnumString, IntoStaticStr, VariantArray,
)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum OptimizerKind {
    /// AdamW for all parameters (Loshchilov and Hutter 2019).
    #[default]
    AdamW,
    /// Muon for the weights of the residual blocks (Jordan et al. 2024), with its momentum of 0.95, AdamW for the rest;
    /// β and ε are AdamW's.
    Muon,
}

/// What a run trains.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, Display, EnumString, IntoStaticStr, VariantArray,
)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum Stage {
    /// All networks of a learned latent at once, as in the paper.
    #[default]
    Joint,
    /// ScoreNet and schedule of the coarse band.
    Coarse,
    /// ScoreNet and schedule of the fine band.
    Fine,
}

impl Stage {
    /// Every stage.
    pub const ALL: &'static [Self] = Self::VARIANTS;

    /// The name on the command line.
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// How a model is trained: the loss, the optimizer and its schedule. The default is the paper's training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainingConfig {
    /// What is trained.
    pub stage: Stage,
    /// The optimizer.
    #[serde(default)]
    pub optimizer: OptimizerKind,
    /// Optimizer steps.
    pub steps: u64,
    /// Images per step, over all devices.
    pub batch: usize,
    /// Parts that a device computes its share of a batch in, one after another: the same gradient in less memory.
    pub accumulation: usize,
    /// Precision of the matrix products.
    pub precision: ComputePrecision,
    /// Half-lives, in images, of the moving averages of the weights (Karras et al. 2022, 2024).
    pub ema_half_lives: Vec<u64>,
    /// A half-life is at most this fraction of the images seen so far, so that an average forgets the initial weights.
    pub ema_rampup: f64,
    /// Side in pixels of the crops that the fine band is trained on; whole images where absent.
    #[serde(default)]
    pub crop: Option<usize>,
    /// Diffusion times drawn per image and step.
    pub times_per_image: usize,
    /// Peak learning rate.
    pub learning_rate: f64,
    /// Steps of linear warmup from zero.
    pub warmup_steps: u64,
    /// Learning rate at the end, as a fraction of the peak.
    pub final_fraction: f64,
    /// AdamW's β_1.
    pub beta_1: f64,
    /// AdamW's β_2.
    pub beta_2: f64,
    /// AdamW's ε.
    pub epsilon: f64,
    /// Decoupled weight decay.
    pub weight_decay: f64,
    /// Maximum norm of the gradient of the objective, in nats per pixel. Larger gradients are scaled down.
    pub clip_norm: f64,
    /// Steps T of discrete time in the diffusion loss; continuous time where absent.
    pub diffusion_steps: Option<u32>,
    /// Weights of the loss terms.
    pub objective: ObjectiveWeights,
    /// Probability that a label is hidden, so that guidance has an unconditional prediction.
    pub label_dropout: f64,
}

/// The trained objective: reconstruction + kl_weight · (latent + diffusion) + weighted auxiliary losses. The default is the
/// variational bound itself.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ObjectiveWeights {
    /// Weight of latent + diffusion.
    #[serde(alias = "rate")]
    pub kl_weight: f64,
    /// Weight of the mean squared error between x and the decoder's mean.
    pub mse: f64,
    /// Weight of the gradient difference between x and the decoder's mean.
    pub gradient_difference: f64,
    /// b of the weight sigmoid(γ + b) of the diffusion loss at γ, which gives less weight to the last digits of f (Hoogeboom
    /// et al., *Simpler diffusion*, 2024). The bound's own weights where absent. Reports always give the bound.
    #[serde(default)]
    pub sigmoid_bias: Option<f64>,
    /// c of the weight (1 + e^γ) sigmoid(c − γ) of the diffusion loss at γ: up to c it is that of the velocity's error,
    /// ‖v − v̂‖² = ‖ε − ε̂‖² / α² (Salimans and Ho, *Progressive distillation*, 2022). It gives more weight to the noise at
    /// which the structure of an image is decided. 1 where absent.
    #[serde(default)]
    pub velocity_gamma: Option<f64>,
}

impl Default for TrainingConfig {
    fn default() -> Self {
        Self {
            stage: Stage::default(),
            optimizer: OptimizerKind::default(),
            steps: 20_000,
            batch: 64,
            accumulation: 1,
            precision: ComputePrecision::default(),
            ema_half_lives: Vec::new(),
            ema_rampup: 0.05,
            crop: None,
            times_per_image: 4,
            learning_rate: 8e-4,
            warmup_steps: 250,
            final_fraction: 1e-5,
            beta_1: 0.9,
            beta_2: 0.99,
            epsilon: 1e-8,
            weight_decay: 1e-4,
            clip_norm: 1.0,
            diffusion_steps: None,
            objective: ObjectiveWeights::default(),
            label_dropout: 0.1,
        }
    }
}

impl Default for ObjectiveWeights {
    fn default() -> Self {
        Self { kl_weight: 1.0, mse: 0.0, gradient_difference: 0.0, sigmoid_bias: None, velocity_gamma: None }
    }
}

impl TrainingConfig {
    /// Checks the ranges.
    ///
    /// # Errors
    /// The first field out of its range, with the range.
    pub fn validate(&self) -> Result<(), ConfigError> {
        if self.steps == 0 {
            return Err(ConfigError::new("steps", 0, "at least 1 is accepted"));
        }
        ConfigError::check_range("batch", self.batch, 1..=65_536)?;
        ConfigError::check_range("accumulation", self.accumulation, 1..=65_536)?;
        if !self.batch.is_multiple_of(self.accumulation) {
            let accepted = format!("a divisor of the batch {} is accepted", self.batch);
            return Err(ConfigError::new("accumulation", self.accumulation, accepted));
        }
        ConfigError::check_range("times_per_image", self.times_per_image, 1..=1024)?;
        if self.ema_half_lives.contains(&0) {
            return Err(ConfigError::new("ema_half_lives", 0, "numbers of images from 1 are accepted"));
        }
        for (field, value) in [
            ("learning_rate", self.learning_rate),
            ("final_fraction", self.final_fraction),
            ("beta_1", self.beta_1),
            ("beta_2", self.beta_2),
            ("label_dropout", self.label_dropout),
            ("ema_rampup", self.ema_rampup),
        ] {
            ConfigError::check_range(field, value, 0.0..=1.0)?;
        }
        for (field, value) in [
            ("epsilon", self.epsilon),
            ("weight_decay", self.weight_decay),
            ("objective.kl_weight", self.objective.kl_weight),
            ("objective.mse", self.objective.mse),
            ("objective.gradient_difference", self.objective.gradient_difference),
        ] {
            if !(value >= 0.0 && value.is_finite()) {
                return Err(ConfigError::new(field, value, "a number of at least 0 is accepted"));
            }
        }
        for (field, gamma) in [
            ("objective.sigmoid_bias", self.objective.sigmoid_bias),
            ("objective.velocity_gamma", self.objective.velocity_gamma),
        ] {
            gamma.map_or(Ok(()), |gamma| ConfigError::check_range(field, gamma, -30.0..=30.0))?;
        }
        if self.clip_norm.is_nan() || self.clip_norm <= 0.0 {
            return Err(ConfigError::new("clip_norm", self.clip_norm, "a number above 0 is accepted"));
        }
        if self.diffusion_steps == Some(0) {
            return Err(ConfigError::new("diffusion_steps", 0, "at least 1 is accepted"));
        }
        Ok(())
    }

    /// The factor of a moving average in a step, for a half-life in images, when `images` have been seen.
    pub fn ema_decay(&self, half_life: u64, images: u64) -> f64 {
        let half_life = (half_life as f64).min(self.ema_rampup * images as f64);
        if half_life > 0.0 { 0.5f64.powf(self.batch as f64 / half_life) } else { 0.0 }
    }

    /// Learning rate of a step: linear warmup from zero times a cosine from the peak to `final_fraction` of it.
    pub fn learning_rate_at(&self, step: u64) -> f64 {
        let (step, warmup, total) = (step as f64, self.warmup_steps as f64, self.steps as f64);
        let warm = if warmup > 0.0 { (step / warmup).min(1.0) } else { 1.0 };
        let progress = if total > warmup { ((step - warmup) / (total - warmup)).clamp(0.0, 1.0) } else { 0.0 };
        let cosine = 0.5 * (1.0 + (std::f64::consts::PI * progress).cos());
        self.learning_rate * warm * (self.final_fraction + (1.0 - self.final_fraction) * cosine)
    }
}
