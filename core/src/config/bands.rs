//! A model of an image in two bands.

use serde::{Deserialize, Serialize};

use crate::config::schedule::{ScheduleConfig, ScheduleKind};
use crate::error::ConfigError;

/// Side in pixels of the patches of the lapped transform.
pub const PATCH: usize = 8;

/// Vertical and horizontal frequencies of a patch that belong to the coarse band: a quarter of them.
pub const COARSE_FREQUENCIES: usize = PATCH / 4;

/// Patches along a side of a token of the coarse band.
pub const TOKEN_PATCHES: usize = 4;

/// Numbers of a token of the coarse band.
pub const COARSE_CHANNELS: usize = (TOKEN_PATCHES * COARSE_FREQUENCIES) * (TOKEN_PATCHES * COARSE_FREQUENCIES);

/// Coefficients of a patch in the coarse band, which the fine band is given.
pub const CONTEXT_CHANNELS: usize = COARSE_FREQUENCIES * COARSE_FREQUENCIES;

/// Coefficients of a patch in the fine band.
pub const FINE_CHANNELS: usize = PATCH * PATCH - CONTEXT_CHANNELS;

/// Least and greatest γ of the noise on the context in training.
pub const CONTEXT_GAMMA: (f64, f64) = (-10.0, -2.0);

/// An image as the bands of its [lapped transform](crate::autoencoder::lapped): p(x) = p(coarse) p(fine | coarse), each with
/// its own diffusion.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BandsConfig {
    /// Standard deviation of the noise at t = 0, in grey levels of 255. It determines γ_min of both bands.
    pub min_noise: f64,
    /// A quarter of the frequencies each way: an image of a quarter of the size.
    pub coarse: BandConfig,
    /// The rest.
    pub fine: BandConfig,
}

/// The ScoreNet and the noise schedule of a band.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BandConfig {
    /// What coefficients of images in [0, 1] are multiplied by, so that their mean square over training images is about 1.
    pub scale: f64,
    /// Dimension of the time embedding, of the class embedding and of the condition.
    pub embedding_dim: usize,
    /// Features of the residual stream.
    pub width: usize,
    /// Residual blocks.
    pub layers: usize,
    /// Heads of the attention among tokens; 0 for none.
    pub heads: usize,
    /// γ(1).
    pub gamma_max: f64,
    /// Hidden units H of the [monotone schedule](ScheduleKind::Monotonic); 0 for a linear one.
    pub hidden: usize,
}

impl Default for BandConfig {
    fn default() -> Self {
        Self { scale: 1.0, embedding_dim: 128, width: 256, layers: 8, heads: 0, gamma_max: 10.0, hidden: 0 }
    }
}

impl BandsConfig {
    /// The noise schedule of a band.
    pub fn schedule(&self, band: &BandConfig) -> ScheduleConfig {
        let kind = match band.hidden {
            0 => ScheduleKind::Linear,
            hidden => ScheduleKind::Monotonic { hidden, learn_endpoints: false },
        };
        // σ²/α² = e^γ.
        let gamma_min = 2.0 * (self.min_noise / 255.0 * band.scale).ln();
        ScheduleConfig { kind, gamma_min, gamma_max: band.gamma_max }
    }

    pub(super) fn validate(&self, height: usize, width: usize) -> Result<(), ConfigError> {
        let side = PATCH * TOKEN_PATCHES;
        for (field, size) in [("height", height), ("width", width)] {
            if !size.is_multiple_of(side) || size < 2 * side {
                let accepted = format!("a multiple of {side} from {} is accepted in a model of bands", 2 * side);
                return Err(ConfigError::new(field, size, accepted));
            }
        }
        ConfigError::check_range("bands.min_noise", self.min_noise, 1e-3..=10.0)?;
        self.coarse.validate("bands.coarse")?;
        self.fine.validate("bands.fine")?;
        self.schedule(&self.coarse).validate("bands.coarse")?;
        self.schedule(&self.fine).validate("bands.fine")
    }
}

impl BandConfig {
    fn validate(&self, name: &str) -> Result<(), ConfigError> {
        for (field, value, range) in [
            ("width", self.width, 8..=16_384),
            ("layers", self.layers, 0..=256),
            ("embedding_dim", self.embedding_dim, 4..=16_384),
            ("heads", self.heads, 0..=256),
            ("hidden", self.hidden, 0..=65_536),
        ] {
            ConfigError::check_range(format!("{name}.{field}"), value, range)?;
        }
        if !self.embedding_dim.is_multiple_of(2) {
            let field = format!("{name}.embedding_dim");
            return Err(ConfigError::new(field, self.embedding_dim, "an even number is accepted"));
        }
        if self.heads > 0 && !self.width.is_multiple_of(self.heads) {
            let accepted = format!("a divisor of the width {} is accepted", self.width);
            return Err(ConfigError::new(format!("{name}.heads"), self.heads, accepted));
        }
        ConfigError::check_range(format!("{name}.scale"), self.scale, 1e-3..=1e4)?;
        ConfigError::check_range(format!("{name}.gamma_max"), self.gamma_max, -30.0..=30.0)
    }
}
