//! What the shape of a model depends on.

use serde::{Deserialize, Serialize};

use crate::config::bands::{BandsConfig, COARSE_CHANNELS, FINE_CHANNELS, PATCH, TOKEN_PATCHES};
use crate::config::classes::Classes;
use crate::config::patch_grid::PatchGrid;
use crate::config::schedule::ScheduleConfig;
use crate::error::ConfigError;

/// Everything that the shape of a model depends on. It travels in the weights file. It also travels between page and
/// worker in a format without field names, so no field may be skipped when it is absent.
///
/// A model has either a learned latent, as in the paper, or bands. The default is the paper's model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelConfig {
    /// Image height in pixels.
    pub height: usize,
    /// Image width in pixels.
    pub width: usize,
    /// The number of values of each attribute that the model is conditioned on; empty for an unconditional model.
    pub attributes: Vec<usize>,
    /// The diffusion of a learned latent, as in the paper.
    pub latent: Option<LatentConfig>,
    /// The diffusion of the image itself, in two bands.
    pub bands: Option<BandsConfig>,
}

/// The paper's model: an autoencoder, and the diffusion of its latent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LatentConfig {
    /// Dimension D of the latent f.
    pub dim: usize,
    /// The encoder.
    pub encoder: ResNetConfig,
    /// The decoder.
    pub decoder: ResNetConfig,
    /// The ScoreNet.
    pub score_net: ScoreNetConfig,
    /// The noise schedule.
    pub schedule: ScheduleConfig,
}

/// A stack of residual blocks between two dense layers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResNetConfig {
    /// Features of the residual stream.
    pub width: usize,
    /// Residual blocks.
    pub layers: usize,
    /// Layer normalisation at the start of each block.
    pub layer_norm: bool,
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
    /// Layer normalisation at the start of each block.
    pub layer_norm: bool,
}

impl Default for ModelConfig {
    fn default() -> Self {
        Self { height: 256, width: 256, attributes: Vec::new(), latent: Some(LatentConfig::default()), bands: None }
    }
}

impl Default for LatentConfig {
    fn default() -> Self {
        Self {
            dim: 64,
            encoder: ResNetConfig::default(),
            decoder: ResNetConfig::default(),
            score_net: ScoreNetConfig::default(),
            schedule: ScheduleConfig::default(),
        }
    }
}

impl Default for ResNetConfig {
    fn default() -> Self {
        Self { width: 128, layers: 6, layer_norm: false }
    }
}

impl Default for ScoreNetConfig {
    fn default() -> Self {
        Self { embedding_dim: 128, width: 128, layers: 10, layer_norm: false }
    }
}

impl ScoreNetConfig {
    /// Its residual blocks.
    pub fn blocks(&self) -> ResNetConfig {
        ResNetConfig { width: self.width, layers: self.layers, layer_norm: self.layer_norm }
    }
}

impl LatentConfig {
    fn validate(&self) -> Result<(), ConfigError> {
        let score = &self.score_net;
        for (field, value, range) in [
            ("latent.dim", self.dim, 1..=65_536),
            ("latent.encoder.width", self.encoder.width, 1..=16_384),
            ("latent.encoder.layers", self.encoder.layers, 0..=256),
            ("latent.decoder.width", self.decoder.width, 1..=16_384),
            ("latent.decoder.layers", self.decoder.layers, 0..=256),
            ("latent.score_net.width", score.width, 1..=16_384),
            ("latent.score_net.layers", score.layers, 0..=256),
            ("latent.score_net.embedding_dim", score.embedding_dim, 4..=16_384),
        ] {
            ConfigError::check_range(field, value, range)?;
        }
        if !score.embedding_dim.is_multiple_of(2) {
            let accepted = "an even number is accepted";
            return Err(ConfigError::new("latent.score_net.embedding_dim", score.embedding_dim, accepted));
        }
        self.schedule.validate("latent.schedule")
    }
}

impl ModelConfig {
    /// The classes that images can be asked for by.
    pub fn classes(&self) -> Classes<'_> {
        Classes(&self.attributes)
    }

    /// Pixels of an image: the dimensions that bits per dimension are counted over.
    pub fn pixels(&self) -> usize {
        self.height * self.width
    }

    /// Numbers of each band of f, coarse before fine; of the latent where the model has no bands.
    pub fn band_dims(&self) -> Vec<usize> {
        match &self.latent {
            Some(latent) => vec![latent.dim],
            None => vec![self.coarse_grid().patches() * COARSE_CHANNELS, self.patch_grid().patches() * FINE_CHANNELS],
        }
    }

    /// Dimension D of f, over all bands.
    pub fn latent_dim(&self) -> usize {
        self.band_dims().iter().sum()
    }

    /// The schedule of each band.
    pub fn schedules(&self) -> Vec<ScheduleConfig> {
        let latent = self.latent.iter().map(|latent| latent.schedule.clone());
        let bands = self.bands.iter().flat_map(|bands| [&bands.coarse, &bands.fine].map(|band| bands.schedule(band)));
        latent.chain(bands).collect()
    }

    /// How the patches of the fine band lie.
    pub fn patch_grid(&self) -> PatchGrid {
        PatchGrid { rows: self.height / PATCH, columns: self.width / PATCH }
    }

    /// How the tokens of the coarse band lie.
    pub fn coarse_grid(&self) -> PatchGrid {
        let side = PATCH * TOKEN_PATCHES;
        PatchGrid { rows: self.height / side, columns: self.width / side }
    }

    /// Checks that every size can be built and that the schedules increase.
    ///
    /// # Errors
    /// The first field out of its range, with the range.
    pub fn validate(&self) -> Result<(), ConfigError> {
        for (field, value, range) in [("height", self.height, 1..=4096), ("width", self.width, 1..=4096)] {
            ConfigError::check_range(field, value, range)?;
        }
        if self.attributes.contains(&0) || self.classes().count() > 10_000 {
            let accepted = "numbers from 1 with at most 10000 combinations of values are accepted";
            return Err(ConfigError::new("attributes", format!("{:?}", self.attributes), accepted));
        }
        match (&self.latent, &self.bands) {
            (Some(latent), None) => latent.validate(),
            (None, Some(bands)) => bands.validate(self.height, self.width),
            (latent, _) => {
                let found = if latent.is_some() { "there beside bands" } else { "absent as well as bands" };
                Err(ConfigError::new("latent", found, "one of latent and bands is accepted"))
            }
        }
    }

    /// The configuration of a weights file of format version 1, which had the fields of the latent beside those of the image.
    /// What only the models on patches of that version had must be absent or zero.
    ///
    /// # Errors
    /// A field that cannot be read; a model on patches.
    pub(crate) fn from_version_1(mut value: serde_json::Value) -> Result<Self, String> {
        const REMOVED: [(&str, &str); 8] = [
            ("", "patch"),
            ("", "grain"),
            ("/encoder", "heads"),
            ("/decoder", "heads"),
            ("/score_net", "heads"),
            ("/score_net", "gaussian_rank"),
            ("/score_net", "coarse_width"),
            ("/score_net", "coarse_layers"),
        ];
        // Corrections of sampling, which have no effect without patches.
        const SAMPLING: [(&str, &str); 7] = [
            ("", "grain_spread"),
            ("", "grain_contrast"),
            ("", "grain_structure"),
            ("/score_net", "gamma_offset"),
            ("/score_net", "autoguidance"),
            ("/score_net", "coarse_autoguidance"),
            ("/score_net", "corrected_below"),
        ];
        if value.get("patch").is_some_and(|patch| !patch.is_null()) {
            return Err("a model on patches of version 1, which this software no longer reads".to_owned());
        }
        for (section, key) in REMOVED.into_iter().chain(SAMPLING) {
            if let Some(section) = value.pointer_mut(section).and_then(serde_json::Value::as_object_mut) {
                section.remove(key);
            }
        }
        let fields = value.as_object_mut().ok_or("not an object")?;
        let mut latent = serde_json::Map::new();
        for (old, new) in [
            ("latent_dim", "dim"),
            ("encoder", "encoder"),
            ("decoder", "decoder"),
            ("score_net", "score_net"),
            ("schedule", "schedule"),
        ] {
            if let Some(field) = fields.remove(old) {
                latent.insert(new.to_owned(), field);
            }
        }
        fields.insert("latent".to_owned(), latent.into());
        fields.insert("bands".to_owned(), serde_json::Value::Null);
        serde_json::from_value(value).map_err(|error| error.to_string())
    }
}
