//! What the shape of a model depends on.

use serde::{Deserialize, Serialize};

use crate::config::patch_grid::PatchGrid;
use crate::error::ConfigError;

/// Numbers of a patch, from the first, whose principal components the [Gaussian
/// prediction](crate::diffusion::gaussian) uses.
pub const GAUSSIAN_CHANNELS: usize = 16;

/// Everything that the shape of a model depends on. It travels in the weights file. It also travels between page and
/// worker in a format without field names, so no field may be skipped when it is absent.
///
/// The default is the paper's model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelConfig {
    /// Image height in pixels.
    pub height: usize,
    /// Image width in pixels.
    pub width: usize,
    /// Dimension D of the latent f.
    pub latent_dim: usize,
    /// Side in pixels of the patches that the networks see an image as. Where absent they see it whole, as in the paper.
    /// With patches, the latent holds `latent_dim` over the number of patches for each of them.
    #[serde(default)]
    pub patch: Option<usize>,
    /// Whether the decoder predicts the strength of grain beside the mean image, see
    /// [`grain`](crate::autoencoder::grain). It needs patches.
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
    /// Layer normalisation at the start of each block. Blocks on patches always have a norm of their own.
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
    /// Layer normalisation at the start of each block. Blocks on patches always have a norm of their own.
    pub layer_norm: bool,
    /// Heads of the attention among patches; 0 for none.
    #[serde(default)]
    pub heads: usize,
    /// Principal components of the latents in the [Gaussian prediction](crate::diffusion::gaussian) that the ScoreNet
    /// starts from; 0 for none. It needs patches.
    #[serde(default)]
    pub gaussian_rank: usize,
    /// Features of the dense ScoreNet on these components, see [`coarse`](crate::diffusion::coarse).
    #[serde(default)]
    pub coarse_width: usize,
    /// Its residual blocks; 0 for no such network. It needs a Gaussian prediction.
    #[serde(default)]
    pub coarse_layers: usize,
}

/// The noise schedule: its form and where its endpoints are, or start.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScheduleConfig {
    /// The form.
    pub kind: ScheduleKind,
    /// γ(0). The default −5 leaves z_0 ≈ f (α_0² = 0.993). Lower values cost nats of diffusion loss for digits of f that
    /// the decoder has no use for.
    pub gamma_min: f64,
    /// γ(1). The default 5 leaves z_1 ≈ N(0, I) (α_1² = 0.007). The paper's range 0.1–1.0 can do neither: at γ = 0.1 half
    /// of the variance is noise already, and at γ = 1 a quarter is still signal.
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

impl Default for ModelConfig {
    fn default() -> Self {
        Self {
            height: 256,
            width: 256,
            latent_dim: 64,
            patch: None,
            grain: false,
            classes: 0,
            encoder: ResNetConfig::default(),
            decoder: ResNetConfig::default(),
            score_net: ScoreNetConfig::default(),
            schedule: ScheduleConfig::default(),
        }
    }
}

impl Default for ResNetConfig {
    fn default() -> Self {
        Self { width: 128, layers: 6, layer_norm: false, heads: 0 }
    }
}

impl Default for ScoreNetConfig {
    fn default() -> Self {
        let ResNetConfig { width, layer_norm, heads, .. } = ResNetConfig::default();
        Self {
            embedding_dim: 128,
            width,
            layers: 10,
            layer_norm,
            heads,
            gaussian_rank: 0,
            coarse_width: 0,
            coarse_layers: 0,
        }
    }
}

impl Default for ScheduleConfig {
    fn default() -> Self {
        let kind = ScheduleKind::Monotonic { hidden: 32, learn_endpoints: false };
        Self { kind, gamma_min: -5.0, gamma_max: 5.0 }
    }
}

impl ScoreNetConfig {
    /// Its residual blocks.
    pub fn blocks(&self) -> ResNetConfig {
        ResNetConfig { width: self.width, layers: self.layers, layer_norm: self.layer_norm, heads: self.heads }
    }
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

    /// The dense ScoreNet on the principal components of the latents, as a model whose latents these are.
    pub fn coarse(&self) -> Option<ModelConfig> {
        let score = &self.score_net;
        (score.coarse_layers > 0).then(|| ModelConfig {
            latent_dim: score.gaussian_rank,
            patch: None,
            grain: false,
            score_net: ScoreNetConfig {
                embedding_dim: score.embedding_dim,
                width: score.coarse_width,
                layers: score.coarse_layers,
                layer_norm: true,
                ..ScoreNetConfig::default()
            },
            ..self.clone()
        })
    }

    /// Pixels of an image: the dimensions that bits per dimension are counted over.
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
        let score = &self.score_net;
        for (field, value, range) in [
            ("height", self.height, 2..=4096),
            ("width", self.width, 2..=4096),
            ("latent_dim", self.latent_dim, 1..=65_536),
            ("classes", self.classes, 0..=10_000),
            ("encoder.width", self.encoder.width, 1..=16_384),
            ("encoder.layers", self.encoder.layers, 0..=256),
            ("decoder.width", self.decoder.width, 1..=16_384),
            ("decoder.layers", self.decoder.layers, 0..=256),
            ("score_net.width", score.width, 1..=16_384),
            ("score_net.layers", score.layers, 0..=256),
            ("score_net.embedding_dim", score.embedding_dim, 4..=16_384),
            ("score_net.coarse_layers", score.coarse_layers, 0..=256),
        ] {
            ConfigError::check_range(field, value, range)?;
        }
        if !score.embedding_dim.is_multiple_of(2) {
            return Err(ConfigError::new("score_net.embedding_dim", score.embedding_dim, "an even number is accepted"));
        }
        if score.coarse_layers > 0 {
            ConfigError::check_range("score_net.coarse_width", score.coarse_width, 1..=16_384)?;
            if score.gaussian_rank == 0 {
                let accepted = "0 is accepted where score_net.gaussian_rank is 0";
                return Err(ConfigError::new("score_net.coarse_layers", score.coarse_layers, accepted));
            }
        }
        match self.patch {
            Some(patch) => self.validate_patches(patch)?,
            None => self.validate_dense()?,
        }
        if let ScheduleKind::Monotonic { hidden, .. } = self.schedule.kind {
            ConfigError::check_range("schedule.hidden", hidden, 1..=65_536)?;
        }
        let ScheduleConfig { gamma_min, gamma_max, .. } = self.schedule;
        ConfigError::check_range("schedule.gamma_min", gamma_min, -30.0..=30.0)?;
        ConfigError::check_range("schedule.gamma_max", gamma_max, -30.0..=30.0)?;
        if gamma_max <= gamma_min {
            let accepted = format!("a number above gamma_min, which is {gamma_min}, is accepted");
            return Err(ConfigError::new("schedule.gamma_max", gamma_max, accepted));
        }
        Ok(())
    }

    fn validate_dense(&self) -> Result<(), ConfigError> {
        for (field, value) in [
            ("encoder.heads", self.encoder.heads),
            ("decoder.heads", self.decoder.heads),
            ("score_net.heads", self.score_net.heads),
            ("score_net.gaussian_rank", self.score_net.gaussian_rank),
        ] {
            if value > 0 {
                return Err(ConfigError::new(field, value, "0 is accepted where the model has no patches"));
            }
        }
        if self.grain {
            return Err(ConfigError::new("grain", true, "false is accepted where the model has no patches"));
        }
        Ok(())
    }

    fn validate_patches(&self, patch: usize) -> Result<(), ConfigError> {
        ConfigError::check_range("patch", patch, 2..=64)?;
        if !patch.is_multiple_of(2) || !self.height.is_multiple_of(patch) || !self.width.is_multiple_of(patch) {
            let accepted = format!("an even divisor of {} and {} is accepted", self.height, self.width);
            return Err(ConfigError::new("patch", patch, accepted));
        }
        // What is shifted between patches goes to a neighbour, an eighth of the features each way.
        if self.height < 2 * patch || self.width < 2 * patch {
            let accepted = "a size that gives at least two patches down and two across is accepted";
            return Err(ConfigError::new("patch", patch, accepted));
        }
        let patches = self.pixels() / (patch * patch);
        if !self.latent_dim.is_multiple_of(patches) {
            let accepted = format!("a multiple of the {patches} patches is accepted");
            return Err(ConfigError::new("latent_dim", self.latent_dim, accepted));
        }
        let score_net = self.score_net.blocks();
        for (width, heads, blocks) in [
            ("encoder.width", "encoder.heads", &self.encoder),
            ("decoder.width", "decoder.heads", &self.decoder),
            ("score_net.width", "score_net.heads", &score_net),
        ] {
            if blocks.width < 8 {
                return Err(ConfigError::new(width, blocks.width, "at least 8 is accepted on patches"));
            }
            if blocks.heads > 0 && !blocks.width.is_multiple_of(blocks.heads) {
                let accepted = format!("a divisor of the width {} is accepted", blocks.width);
                return Err(ConfigError::new(heads, blocks.heads, accepted));
            }
        }
        let numbers = patches * GAUSSIAN_CHANNELS.min(self.latent_dim / patches);
        ConfigError::check_range("score_net.gaussian_rank", self.score_net.gaussian_rank, 0..=numbers)
    }
}
