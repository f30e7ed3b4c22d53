//! What a model and a training run consist of, as data, and the presets.

use serde::{Deserialize, Serialize};

use crate::error::ConfigError;
use crate::gaussian::CHANNELS;
use crate::tokens::Grid;

/// Everything that the shape of a model depends on. It travels in the weights file, and between page and worker in a
/// format that names no fields: none may be left out when it is absent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelConfig {
    /// Image height in pixels.
    pub height: usize,
    /// Image width in pixels.
    pub width: usize,
    /// Dimension of the latent f.
    pub latent_dim: usize,
    /// Side in pixels of the patches that the networks see an image as; where absent they see it whole, as in the
    /// paper. The latent then holds `latent_dim` over the number of patches for each of them.
    #[serde(default)]
    pub patch: Option<usize>,
    /// Whether the decoder gives the strength of grain beside the mean image (see [`grain`](crate::grain)); with
    /// patches only.
    #[serde(default)]
    pub grain: bool,
    /// Labels that the model can be conditioned on; 0 for an unconditional model.
    pub classes: usize,
    /// The encoder.
    pub encoder: ResNetConfig,
    /// The decoder.
    pub decoder: ResNetConfig,
    /// The ScoreNet.
    pub score_net: ScoreNetConfig,
    /// The noise schedule.
    pub schedule: ScheduleConfig,
}

/// A stack of residual blocks between two dense layers, on the whole image or latent or, with patches, on each of them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResNetConfig {
    /// Features of the residual stream.
    pub width: usize,
    /// Residual blocks.
    pub layers: usize,
    /// Layer normalisation at the start of each block; blocks on patches always have a norm of their own.
    pub layer_norm: bool,
    /// Heads of the attention among patches; 0 for none.
    #[serde(default)]
    pub heads: usize,
}

/// The network that predicts the noise.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScoreNetConfig {
    /// Dimension of the time embedding, of the class embedding and of the condition.
    pub embedding_dim: usize,
    /// Features of the residual stream.
    pub width: usize,
    /// Residual blocks.
    pub layers: usize,
    /// Layer normalisation at the start of each block; blocks on patches always have a norm of their own.
    pub layer_norm: bool,
    /// Heads of the attention among patches; 0 for none.
    #[serde(default)]
    pub heads: usize,
    /// Principal components of the latents in the [Gaussian prediction](crate::gaussian) that the ScoreNet starts from;
    /// 0 for none; with patches only.
    #[serde(default)]
    pub gaussian_rank: usize,
}

impl ScoreNetConfig {
    /// Its residual blocks.
    pub fn blocks(&self) -> ResNetConfig {
        ResNetConfig { width: self.width, layers: self.layers, layer_norm: self.layer_norm, heads: self.heads }
    }
}

/// The noise schedule: its form and where its endpoints are, or start.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScheduleConfig {
    /// The form.
    pub kind: ScheduleKind,
    /// γ(0). The presets' −5 leaves z_0 ≈ f (α_0² = 0.993). Lower values cost nats of diffusion loss for digits of f
    /// that the decoder has no use for.
    pub gamma_min: f64,
    /// γ(1). The presets' 5 leaves z_1 ≈ N(0, I) (α_1² = 0.007). The paper's range 0.1–1.0 can do neither: at γ = 0.1
    /// half of the variance is noise already, and at γ = 1 a quarter is still signal.
    pub gamma_max: f64,
}

/// The form of γ(t).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum ScheduleKind {
    /// Linear, endpoints fixed.
    Linear,
    /// Linear, both endpoints learned.
    LearnedLinear,
    /// A monotone network.
    Monotonic {
        /// Hidden units H.
        hidden: usize,
        /// Whether the endpoints are learned too.
        learn_endpoints: bool,
    },
}

impl ScheduleKind {
    /// Whether γ_min and γ_max are trained.
    pub fn learns_endpoints(&self) -> bool {
        matches!(self, ScheduleKind::LearnedLinear | ScheduleKind::Monotonic { learn_endpoints: true, .. })
    }
}

/// Precision of the matrix products in training.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ComputePrecision {
    /// float32, or what the backend takes for it (TensorFloat-32 on recent NVIDIA GPUs).
    #[default]
    F32,
    /// bfloat16: the range of float32 with 8 significant bits.
    Bf16,
    /// float16: 11 significant bits; its small range asks for a scaled loss.
    F16,
}

impl ComputePrecision {
    /// The name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            ComputePrecision::F32 => "f32",
            ComputePrecision::Bf16 => "bf16",
            ComputePrecision::F16 => "f16",
        }
    }
}

/// What a run trains.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// Everything at once, as in the paper.
    #[default]
    Joint,
    /// Encoder and decoder. The bound has z_0 ~ N(0, I) in the place of the diffusion: KL(q(z_0|x) ‖ N(0, I)) stands as
    /// the latent term, and there is no diffusion term.
    Autoencoder,
    /// ScoreNet and noise schedule, on the latents of a trained encoder.
    Diffusion,
}

impl Stage {
    /// The name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Stage::Joint => "joint",
            Stage::Autoencoder => "autoencoder",
            Stage::Diffusion => "diffusion",
        }
    }
}

/// How a model is trained: the loss, the optimizer and its schedule.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainingConfig {
    /// What is trained.
    pub stage: Stage,
    /// Optimizer steps.
    pub steps: u64,
    /// Images a step, over all devices.
    pub batch: usize,
    /// Parts that a device takes its share of a batch in, one after another: the same gradient in less memory.
    pub accumulation: usize,
    /// Precision of the matrix products.
    pub precision: ComputePrecision,
    /// Half-lives, in images, of the averages of the weights that are kept (Karras et al. 2022, 2024).
    pub ema_half_lives: Vec<u64>,
    /// A half-life is at most this fraction of the images seen so far, so that an average forgets the start.
    pub ema_rampup: f64,
    /// Diffusion times drawn an image and step.
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
    /// AdamW's decoupled weight decay.
    pub weight_decay: f64,
    /// Largest norm of the gradient of the whole objective, in nats a pixel; larger ones are scaled down.
    pub clip_norm: f64,
    /// Discrete time of so many steps in the diffusion loss; continuous time where absent.
    pub diffusion_steps: Option<u32>,
    /// Weights of the loss terms.
    pub objective: ObjectiveWeights,
    /// Probability that a label is hidden, so that guidance has an unconditional prediction.
    pub label_dropout: f64,
}

/// The trained objective: reconstruction + rate · (latent + diffusion) + the paper's two auxiliary losses.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ObjectiveWeights {
    /// Weight of latent + diffusion; 1 trains the variational bound itself.
    pub rate: f64,
    /// Weight of the mean squared error between x and the decoder's mean.
    pub mse: f64,
    /// Weight of the gradient difference between x and the decoder's mean.
    pub gradient_difference: f64,
    /// Weight of the grain's −log density, where the decoder has grain.
    pub grain: f64,
    /// b of the weight sigmoid(γ + b) of the diffusion loss at γ, which spends less on the last digits of f
    /// (Hoogeboom et al., *Simpler diffusion*, 2024); the bound's own loss where absent. What is reported is the bound.
    #[serde(default)]
    pub sigmoid_bias: Option<f64>,
}

/// A named model with the way it is trained.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Preset {
    /// The paper's networks at 256×256.
    Paper,
    /// A small model at 64×64 for a first run and for tests: trains in about a minute on a CPU.
    Quick,
    /// Sharp images at 256×256: networks on patches, in 27 MB. Trained in two stages, on a GPU.
    Sharp,
    /// The same in 11 MB, for a CPU.
    SharpSmall,
}

impl Preset {
    /// Every preset.
    pub const ALL: [Preset; 4] = [Preset::Paper, Preset::Quick, Preset::Sharp, Preset::SharpSmall];

    /// The name used on the command line and in file names.
    pub fn name(self) -> &'static str {
        match self {
            Preset::Paper => "paper",
            Preset::Quick => "quick",
            Preset::Sharp => "sharp",
            Preset::SharpSmall => "sharp-small",
        }
    }

    /// The model.
    pub fn model(self) -> ModelConfig {
        match self {
            //                               side latent width layers score embedding hidden
            Preset::Paper => Self::dense_model(256, 64, 128, 6, 10, 128, 32),
            Preset::Quick => Self::dense_model(64, 16, 64, 2, 3, 32, 8),
            //                                      encoder  decoder  ScoreNet, heads
            Preset::Sharp => Self::patch_model([256, 4], [256, 6], [320, 6], 10),
            Preset::SharpSmall => Self::patch_model([192, 2], [192, 3], [192, 8], 0),
        }
    }

    fn dense_model(
        side: usize,
        latent_dim: usize,
        width: usize,
        layers: usize,
        score_layers: usize,
        embedding_dim: usize,
        hidden: usize,
    ) -> ModelConfig {
        let blocks = |layers| ResNetConfig { width, layers, layer_norm: false, heads: 0 };
        ModelConfig {
            height: side,
            width: side,
            latent_dim,
            patch: None,
            grain: false,
            classes: 0,
            encoder: blocks(layers),
            decoder: blocks(layers),
            score_net: ScoreNetConfig {
                embedding_dim,
                width,
                layers: score_layers,
                layer_norm: false,
                heads: 0,
                gaussian_rank: 0,
            },
            schedule: ScheduleConfig {
                kind: ScheduleKind::Monotonic { hidden, learn_endpoints: false },
                gamma_min: -5.0,
                gamma_max: 5.0,
            },
        }
    }

    /// Each network as width and layers.
    fn patch_model(encoder: [usize; 2], decoder: [usize; 2], score_net: [usize; 2], heads: usize) -> ModelConfig {
        let blocks = |[width, layers]: [usize; 2]| ResNetConfig { width, layers, layer_norm: false, heads: 0 };
        ModelConfig {
            height: 256,
            width: 256,
            latent_dim: 16384, // 64 numbers for each of 16×16 patches
            patch: Some(16),
            grain: true,
            classes: 0,
            encoder: blocks(encoder),
            decoder: blocks(decoder),
            score_net: ScoreNetConfig {
                embedding_dim: 128,
                width: score_net[0],
                layers: score_net[1],
                layer_norm: false,
                heads,
                gaussian_rank: 256,
            },
            schedule: ScheduleConfig {
                kind: ScheduleKind::Monotonic { hidden: 32, learn_endpoints: false },
                gamma_min: -6.0,
                // The brightness of a whole chest stands in hundreds of latent numbers together, and is drowned later
                // than one of them.
                gamma_max: 9.0,
            },
        }
    }

    /// Training images that it takes, the first in name order; all where absent.
    pub fn max_images(self) -> Option<usize> {
        match self {
            Preset::Paper => Some(1341),
            Preset::Quick | Preset::Sharp | Preset::SharpSmall => None,
        }
    }

    /// The training.
    pub fn training(self) -> TrainingConfig {
        let paper = TrainingConfig {
            stage: Stage::Joint,
            steps: 20_000,
            batch: 64,
            accumulation: 1,
            precision: ComputePrecision::F32,
            ema_half_lives: Vec::new(),
            ema_rampup: 0.05,
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
            objective: ObjectiveWeights {
                rate: 1.0,
                mse: 0.0,
                gradient_difference: 0.0,
                grain: 0.0,
                sigmoid_bias: None,
            },
            label_dropout: 0.1,
        };
        match self {
            Preset::Paper => paper,
            Preset::Quick => TrainingConfig { steps: 1000, batch: 32, learning_rate: 2e-3, warmup_steps: 50, ..paper },
            Preset::Sharp | Preset::SharpSmall => TrainingConfig {
                stage: Stage::Autoencoder,
                batch: 32,
                times_per_image: 1,
                learning_rate: 3e-4,
                weight_decay: 1e-2,
                final_fraction: 1e-2,
                // As of Gaussian pixels with a deviation of 0.014 for the mean, and as much again for its differences.
                objective: ObjectiveWeights {
                    rate: 1.0,
                    mse: 2500.0,
                    gradient_difference: 2500.0,
                    grain: 0.1,
                    sigmoid_bias: Some(2.0),
                },
                ..paper
            },
        }
    }
}

impl ModelConfig {
    /// Pixels of an image, the dimensions that bits per dimension are counted over.
    pub fn pixels(&self) -> usize {
        self.height * self.width
    }

    /// How an image is cut, with patches.
    pub fn grid(&self) -> Option<Grid> {
        let patch = self.patch?;
        Some(Grid { rows: self.height / patch, columns: self.width / patch, patch })
    }

    /// Checks that every size can be built and that the schedule increases.
    ///
    /// # Errors
    /// The first field out of its range, with the range.
    pub fn validate(&self) -> Result<(), ConfigError> {
        within("height", self.height, 2, 4096)?;
        within("width", self.width, 2, 4096)?;
        within("latent_dim", self.latent_dim, 1, 65_536)?;
        within("classes", self.classes, 0, 10_000)?;
        within("encoder.width", self.encoder.width, 1, 16_384)?;
        within("encoder.layers", self.encoder.layers, 0, 256)?;
        within("decoder.width", self.decoder.width, 1, 16_384)?;
        within("decoder.layers", self.decoder.layers, 0, 256)?;
        within("score_net.width", self.score_net.width, 1, 16_384)?;
        within("score_net.layers", self.score_net.layers, 0, 256)?;
        within("score_net.embedding_dim", self.score_net.embedding_dim, 4, 16_384)?;
        if !self.score_net.embedding_dim.is_multiple_of(2) {
            return Err(refuse("score_net.embedding_dim", self.score_net.embedding_dim, "an even number is accepted"));
        }
        self.validate_patches()?;
        if let ScheduleKind::Monotonic { hidden, .. } = self.schedule.kind {
            within("schedule.hidden", hidden, 1, 65_536)?;
        }
        let ScheduleConfig { gamma_min, gamma_max, .. } = self.schedule;
        let bounds = "numbers from -30 to 30 with gamma_min < gamma_max are accepted";
        if !(-30.0..=30.0).contains(&gamma_min) {
            return Err(refuse("schedule.gamma_min", gamma_min, bounds));
        }
        if !(-30.0..=30.0).contains(&gamma_max) || gamma_max <= gamma_min {
            return Err(refuse("schedule.gamma_max", gamma_max, bounds));
        }
        Ok(())
    }
}

impl ModelConfig {
    fn validate_patches(&self) -> Result<(), ConfigError> {
        let stacks = [
            ("encoder.heads", self.encoder.heads, self.encoder.width),
            ("decoder.heads", self.decoder.heads, self.decoder.width),
            ("score_net.heads", self.score_net.heads, self.score_net.width),
        ];
        let Some(patch) = self.patch else {
            let only = "0 is accepted where the model has no patches";
            for (field, heads, _) in stacks {
                if heads > 0 {
                    return Err(refuse(field, heads, only));
                }
            }
            if self.score_net.gaussian_rank > 0 {
                return Err(refuse("score_net.gaussian_rank", self.score_net.gaussian_rank, only));
            }
            if self.grain {
                return Err(refuse("grain", true, "false is accepted where the model has no patches"));
            }
            return Ok(());
        };
        within("patch", patch, 2, 64)?;
        if !patch.is_multiple_of(2) || !self.height.is_multiple_of(patch) || !self.width.is_multiple_of(patch) {
            let accepted = format!("an even divisor of {} and {} is accepted", self.height, self.width);
            return Err(refuse("patch", patch, &accepted));
        }
        let tokens = self.height * self.width / (patch * patch);
        if !self.latent_dim.is_multiple_of(tokens) {
            return Err(refuse(
                "latent_dim",
                self.latent_dim,
                &format!("a multiple of the {tokens} patches is accepted"),
            ));
        }
        for (field, heads, width) in stacks {
            if heads > 0 && !width.is_multiple_of(heads) {
                return Err(refuse(field, heads, &format!("a divisor of the width {width} is accepted")));
            }
        }
        let coarse = tokens * CHANNELS.min(self.latent_dim / tokens);
        within("score_net.gaussian_rank", self.score_net.gaussian_rank, 0, coarse)
    }
}

impl TrainingConfig {
    /// Checks the ranges.
    ///
    /// # Errors
    /// The first field out of its range, with the range.
    pub fn validate(&self) -> Result<(), ConfigError> {
        if self.steps == 0 {
            return Err(refuse("steps", 0, "at least 1 is accepted"));
        }
        within("batch", self.batch, 1, 65_536)?;
        within("accumulation", self.accumulation, 1, 65_536)?;
        if !self.batch.is_multiple_of(self.accumulation) {
            return Err(refuse("accumulation", self.accumulation, &format!("a divisor of the batch {}", self.batch)));
        }
        within("times_per_image", self.times_per_image, 1, 1024)?;
        if let Some(0) = self.ema_half_lives.iter().find(|&&images| images == 0) {
            return Err(refuse("ema_half_lives", 0, "numbers of images from 1 are accepted"));
        }
        let fraction = "a number from 0 to 1 is accepted";
        for (field, value) in [
            ("learning_rate", self.learning_rate),
            ("final_fraction", self.final_fraction),
            ("beta_1", self.beta_1),
            ("beta_2", self.beta_2),
            ("label_dropout", self.label_dropout),
            ("ema_rampup", self.ema_rampup),
        ] {
            if !(0.0..=1.0).contains(&value) {
                return Err(refuse(field, value, fraction));
            }
        }
        for (field, value) in [
            ("epsilon", self.epsilon),
            ("weight_decay", self.weight_decay),
            ("objective.rate", self.objective.rate),
            ("objective.mse", self.objective.mse),
            ("objective.gradient_difference", self.objective.gradient_difference),
            ("objective.grain", self.objective.grain),
        ] {
            if !(value >= 0.0 && value.is_finite()) {
                return Err(refuse(field, value, "a number of at least 0 is accepted"));
            }
        }
        if self.clip_norm.is_nan() || self.clip_norm <= 0.0 {
            return Err(refuse("clip_norm", self.clip_norm, "a number above 0 is accepted"));
        }
        if self.diffusion_steps == Some(0) {
            return Err(refuse("diffusion_steps", 0, "at least 1 is accepted"));
        }
        Ok(())
    }

    /// What an average keeps of itself in a step, for a half-life in images, when `images` have been seen.
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

fn refuse(field: &'static str, value: impl std::fmt::Display, accepted: &str) -> ConfigError {
    ConfigError { field, value: value.to_string(), accepted: accepted.to_owned() }
}

fn within(field: &'static str, value: usize, low: usize, high: usize) -> Result<(), ConfigError> {
    if (low..=high).contains(&value) {
        return Ok(());
    }
    Err(refuse(field, value, &format!("{low} to {high} is accepted")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presets_are_valid_and_survive_json() {
        for preset in Preset::ALL {
            let model = preset.model();
            assert_eq!(model.validate(), Ok(()), "{}", preset.name());
            assert_eq!(preset.training().validate(), Ok(()), "{}", preset.name());
            let text = serde_json::to_string(&model).expect("a configuration is JSON");
            assert_eq!(model, serde_json::from_str(&text).expect(&text));
        }
    }

    #[test]
    fn absurd_sizes_are_refused_by_name() {
        let mut config = Preset::Paper.model();
        config.decoder.width = usize::MAX;
        let error = config.validate().expect_err("too wide");
        assert!(error.to_string().contains("decoder.width"), "{error}");
        config = Preset::Sharp.model();
        config.score_net.gaussian_rank = 16 * 256 + 1;
        let error = config.validate().expect_err("more components than coarse numbers");
        assert!(error.to_string().contains("gaussian_rank"), "{error}");
        config = Preset::Paper.model();
        config.schedule.gamma_max = f64::NAN;
        assert!(config.validate().is_err());
    }
}
