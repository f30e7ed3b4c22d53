//! What a noise schedule depends on.

use serde::{Deserialize, Serialize};

use crate::error::ConfigError;

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

impl Default for ScheduleConfig {
    fn default() -> Self {
        let kind = ScheduleKind::Monotonic { hidden: 32, learn_endpoints: false };
        Self { kind, gamma_min: -5.0, gamma_max: 5.0 }
    }
}

impl ScheduleKind {
    /// Whether γ_min and γ_max are trained.
    pub fn learns_endpoints(&self) -> bool {
        matches!(self, ScheduleKind::LearnedLinear | ScheduleKind::Monotonic { learn_endpoints: true, .. })
    }
}

impl ScheduleConfig {
    pub(super) fn validate(&self, name: &str) -> Result<(), ConfigError> {
        if let ScheduleKind::Monotonic { hidden, .. } = self.kind {
            ConfigError::check_range(format!("{name}.hidden"), hidden, 1..=65_536)?;
        }
        ConfigError::check_range(format!("{name}.gamma_min"), self.gamma_min, -30.0..=30.0)?;
        ConfigError::check_range(format!("{name}.gamma_max"), self.gamma_max, -30.0..=30.0)?;
        if self.gamma_max <= self.gamma_min {
            let accepted = format!("a number above gamma_min, which is {}, is accepted", self.gamma_min);
            return Err(ConfigError::new(format!("{name}.gamma_max"), self.gamma_max, accepted));
        }
        Ok(())
    }
}
