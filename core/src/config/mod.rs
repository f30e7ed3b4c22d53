//! What a model and a training run consist of, as data, and the presets.

use serde::{Deserialize, Serialize};

use crate::error::ConfigError;

mod patch_grid;
mod preset;
mod training;

pub use patch_grid::PatchGrid;
pub use preset::Preset;
pub use training::{ComputePrecision, ObjectiveWeights, OptimizerKind, Stage, TrainingConfig};

/// Numbers of a patch, from the first, that the [Gaussian prediction](crate::diffusion::gaussian) takes principal
/// components of.
pub const GAUSSIAN_CHANNELS: usize = 16;

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
    /// Whether the decoder gives the strength of grain beside the mean image (see [`grain`](crate::autoencoder::grain)); with
    /// patches only.
    #[serde(default)]
    pub grain: bool,
    /// How unevenly grain is drawn within a patch (a of [`grain`](crate::autoencoder::grain)): the standard deviation of the natural
    /// logarithm of its local strength; 0 for evenly.
    #[serde(default)]
    pub grain_spread: f64,
    /// By how much more the patches of an image differ in grain than the decoder says (b of [`grain`](crate::autoencoder::grain)).
    #[serde(default)]
    pub grain_contrast: f64,
    /// Whether grain is stronger where the mean image has fine structure (r of [`grain`](crate::autoencoder::grain)); with patches
    /// only.
    #[serde(default)]
    pub grain_structure: bool,
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
    /// Principal components of the latents in the [Gaussian prediction](crate::diffusion::gaussian) that the ScoreNet starts from;
    /// 0 for none; with patches only.
    #[serde(default)]
    pub gaussian_rank: usize,
    /// Features of the dense ScoreNet on these components, see [`coarse`](crate::diffusion::coarse).
    #[serde(default)]
    pub coarse_width: usize,
    /// Its residual blocks; 0 for no such network; with a Gaussian prediction only.
    #[serde(default)]
    pub coarse_layers: usize,
    /// What sampling takes off γ before it tells the ScoreNet (Li et al., *Alleviating exposure bias in diffusion models
    /// through sampling with shifted time steps*, ICLR 2024). A ScoreNet that was not trained to the end predicts too
    /// near to the mean, and samples vary too little; told of less noise than there is, it adds what is missing.
    #[serde(default)]
    pub gamma_offset: f64,
    /// w of the autoguidance when sampling (Karras et al., *Guiding a diffusion model with a bad version of itself*,
    /// NeurIPS 2024): what the ScoreNet adds to the Gaussian prediction and the coarse network, which are the bad version
    /// here, counts 1 + w times. It costs no evaluation; with a Gaussian prediction only.
    #[serde(default)]
    pub autoguidance: f64,
    /// w of the coarse network's own autoguidance: what it adds to the Gaussian prediction counts 1 + w times, at all γ.
    #[serde(default)]
    pub coarse_autoguidance: f64,
    /// γ below which the sampler takes [`gamma_offset`](Self::gamma_offset) off and
    /// [`autoguidance`](Self::autoguidance) counts (Kynkäänniemi et al., *Applying guidance in a limited interval improves
    /// sample and distribution quality in diffusion models*, NeurIPS 2024): with more noise, where it is decided what is
    /// drawn, both take samples away from what there is. Without it they are for all γ.
    #[serde(default)]
    pub corrected_below: Option<f64>,
}

impl ScoreNetConfig {
    /// Its residual blocks.
    pub fn blocks(&self) -> ResNetConfig {
        ResNetConfig { width: self.width, layers: self.layers, layer_norm: self.layer_norm, heads: self.heads }
    }

    /// The γ that the sampler tells the ScoreNet at γ. It is below [`corrected_below`](Self::corrected_below) where γ is.
    pub fn told(&self, gamma: f64) -> f64 {
        if self.corrects(gamma) { gamma - self.gamma_offset } else { gamma }
    }

    /// Of the sampler, at the γ that the ScoreNet is told.
    pub fn autoguidance_at(&self, told: f64) -> Autoguidance {
        Autoguidance {
            score_net: if self.corrects(told) { self.autoguidance } else { 0.0 },
            coarse: self.coarse_autoguidance,
        }
    }

    fn corrects(&self, gamma: f64) -> bool {
        self.corrected_below.is_none_or(|below| gamma < below)
    }
}

/// By how much more than once the parts of a prediction count; the default, 0, is what is trained and what the bound is
/// of.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Autoguidance {
    /// What the ScoreNet adds to the Gaussian prediction and the coarse network.
    pub score_net: f64,
    /// What the coarse network adds to the Gaussian prediction.
    pub coarse: f64,
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

impl ModelConfig {
    /// The blocks of the grain's network: one of the decoder's width, without attention.
    pub fn grain_blocks(&self) -> ResNetConfig {
        ResNetConfig { layers: 1, heads: 0, ..self.decoder.clone() }
    }

    /// The dense ScoreNet on the principal components of the latents, as a model of its own whose latents they are.
    pub fn coarse(&self) -> Option<ModelConfig> {
        let score = &self.score_net;
        (score.coarse_layers > 0).then(|| ModelConfig {
            latent_dim: score.gaussian_rank,
            patch: None,
            grain: false,
            grain_spread: 0.0,
            grain_contrast: 0.0,
            grain_structure: false,
            score_net: ScoreNetConfig {
                width: score.coarse_width,
                layers: score.coarse_layers,
                layer_norm: true,
                heads: 0,
                gaussian_rank: 0,
                coarse_width: 0,
                coarse_layers: 0,
                gamma_offset: 0.0,
                autoguidance: 0.0,
                coarse_autoguidance: 0.0,
                corrected_below: None,
                ..score.clone()
            },
            ..self.clone()
        })
    }

    /// Pixels of an image, the dimensions that bits per dimension are counted over.
    pub fn pixels(&self) -> usize {
        self.height * self.width
    }

    /// How an image is cut, with patches.
    pub fn grid(&self) -> Option<PatchGrid> {
        let patch = self.patch?;
        Some(PatchGrid { rows: self.height / patch, columns: self.width / patch, patch })
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

    fn validate_patches(&self) -> Result<(), ConfigError> {
        let stacks = [
            ("encoder.heads", self.encoder.heads, self.encoder.width),
            ("decoder.heads", self.decoder.heads, self.decoder.width),
            ("score_net.heads", self.score_net.heads, self.score_net.width),
        ];
        let score = &self.score_net;
        if !(0.0..=5.0).contains(&score.gamma_offset) {
            return Err(refuse("score_net.gamma_offset", score.gamma_offset, "a number from 0 to 5 is accepted"));
        }
        if !(0.0..=5.0).contains(&score.autoguidance) {
            return Err(refuse("score_net.autoguidance", score.autoguidance, "a number from 0 to 5 is accepted"));
        }
        if score.autoguidance > 0.0 && score.gaussian_rank == 0 {
            let only = "0 is accepted where score_net.gaussian_rank is 0";
            return Err(refuse("score_net.autoguidance", score.autoguidance, only));
        }
        if !(0.0..=5.0).contains(&score.coarse_autoguidance) {
            let range = "a number from 0 to 5 is accepted";
            return Err(refuse("score_net.coarse_autoguidance", score.coarse_autoguidance, range));
        }
        if score.coarse_autoguidance > 0.0 && score.coarse_layers == 0 {
            let only = "0 is accepted where score_net.coarse_layers is 0";
            return Err(refuse("score_net.coarse_autoguidance", score.coarse_autoguidance, only));
        }
        if let Some(below) = score.corrected_below.filter(|below| !(-30.0..=30.0).contains(below)) {
            return Err(refuse("score_net.corrected_below", below, "a number from -30 to 30 is accepted"));
        }
        within("score_net.coarse_layers", score.coarse_layers, 0, 256)?;
        if score.coarse_layers > 0 {
            within("score_net.coarse_width", score.coarse_width, 1, 16_384)?;
            if score.gaussian_rank == 0 {
                let only = "0 is accepted where score_net.gaussian_rank is 0";
                return Err(refuse("score_net.coarse_layers", score.coarse_layers, only));
            }
        }
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
            if self.grain_structure {
                let only = "false is accepted where the model has no patches";
                return Err(refuse("grain_structure", true, only));
            }
            for (field, value) in [("grain_spread", self.grain_spread), ("grain_contrast", self.grain_contrast)] {
                if value != 0.0 {
                    return Err(refuse(field, value, only));
                }
            }
            return Ok(());
        };
        for (field, value) in [("grain_spread", self.grain_spread), ("grain_contrast", self.grain_contrast)] {
            if !(0.0..=2.0).contains(&value) {
                return Err(refuse(field, value, "a number from 0 to 2 is accepted"));
            }
        }
        within("patch", patch, 2, 64)?;
        if !patch.is_multiple_of(2) || !self.height.is_multiple_of(patch) || !self.width.is_multiple_of(patch) {
            let accepted = format!("an even divisor of {} and {} is accepted", self.height, self.width);
            return Err(refuse("patch", patch, &accepted));
        }
        // What is shifted between patches goes to a neighbour, an eighth of the features each way.
        if self.height < 2 * patch || self.width < 2 * patch {
            return Err(refuse("patch", patch, "two patches down and two across, or more, are accepted"));
        }
        for (field, width) in [
            ("encoder.width", self.encoder.width),
            ("decoder.width", self.decoder.width),
            ("score_net.width", self.score_net.width),
        ] {
            if width < 8 {
                return Err(refuse(field, width, "at least 8 is accepted on patches"));
            }
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
        let coarse = tokens * GAUSSIAN_CHANNELS.min(self.latent_dim / tokens);
        within("score_net.gaussian_rank", self.score_net.gaussian_rank, 0, coarse)
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
            for stage in Stage::ALL.map(Some).into_iter().chain([None]) {
                let training = preset.training(stage);
                assert_eq!(training.validate(), Ok(()), "{}", preset.name());
                assert!(stage.is_none_or(|stage| stage == training.stage), "{}", preset.name());
            }
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
        for (field, change) in [
            ("patch", (|config| (config.height, config.patch) = (64, Some(64))) as fn(&mut ModelConfig)),
            ("decoder.width", |config| config.decoder.width = 4),
        ] {
            let mut config = Preset::SharpSmall.model();
            change(&mut config);
            let error = config.validate().expect_err("what cannot be shifted");
            assert!(error.to_string().contains(field), "{error}");
        }
        config = Preset::Paper.model();
        config.schedule.gamma_max = f64::NAN;
        assert!(config.validate().is_err());
    }
}
