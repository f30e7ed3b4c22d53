//! How samples are drawn from a trained model.

use serde::{Deserialize, Serialize};

use crate::config::bands::CONTEXT_GAMMA;
use crate::error::ConfigError;

/// What applies when sampling only. Neither training nor the ELBO depends on it. It travels in the weights file beside the
/// [`ModelConfig`](crate::config::ModelConfig) and can be overridden for each run.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SamplingConfig {
    /// γ of the noise that is added to a drawn coarse band before the fine band's ScoreNet is given it (Ho et al., *Cascaded
    /// diffusion models*, 2022). The ScoreNet knows it from training at γ in [`CONTEXT_GAMMA`]. Only models of bands use it.
    pub context_gamma: f64,
    /// Share of the network evaluations that the fine band takes. Each costs five times as much as one of the coarse band.
    pub fine_share: f64,
}

impl Default for SamplingConfig {
    fn default() -> Self {
        Self { context_gamma: -5.0, fine_share: 0.375 }
    }
}

impl SamplingConfig {
    /// Network evaluations of each of `bands` bands, at least one a band.
    pub fn of_bands(&self, evaluations: usize, bands: usize) -> Vec<usize> {
        if bands < 2 {
            return vec![evaluations.max(1)];
        }
        let evaluations = evaluations.max(2);
        let fine = ((evaluations as f64 * self.fine_share).round() as usize).clamp(1, evaluations - 1);
        vec![evaluations - fine, fine]
    }

    /// Sets one option from `KEY=VALUE`, where the value is JSON.
    ///
    /// # Errors
    /// The text is no assignment, there is no such option, or the value has the wrong type. The range of the value is
    /// checked by [`validate`](Self::validate).
    pub fn set(&mut self, assignment: &str) -> Result<(), ConfigError> {
        let refuse = |accepted: String| ConfigError::new("sampling", assignment, accepted);
        let example = || refuse("KEY=VALUE is accepted, such as context_gamma=-5".into());
        let (key, value) = assignment.split_once('=').ok_or_else(example)?;
        let value: serde_json::Value = serde_json::from_str(value.trim()).map_err(|_| example())?;
        let serde_json::Value::Object(mut fields) = serde_json::to_value(*self).map_err(|_| example())? else {
            return Err(example());
        };
        fields.insert(key.trim().to_owned(), value);
        *self = serde_json::from_value(fields.into()).map_err(|error| refuse(error.to_string()))?;
        Ok(())
    }

    /// Checks the ranges.
    ///
    /// # Errors
    /// The first option out of its range, with the range.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let (min, max) = CONTEXT_GAMMA;
        ConfigError::check_range("sampling.context_gamma", self.context_gamma, min..=max)?;
        ConfigError::check_range("sampling.fine_share", self.fine_share, 0.0..=1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_set_by_name_and_refused_by_name() {
        let mut sampling = SamplingConfig::default();
        sampling.set("context_gamma = -3").expect("sets");
        assert_eq!(sampling.context_gamma, -3.0);
        for (wrong, named) in
            [("context_gamma", "KEY=VALUE"), ("contxt=1", "unknown field `contxt`"), ("context_gamma=true", "f64")]
        {
            let error = sampling.set(wrong).expect_err(wrong).to_string();
            assert!(error.contains(named), "{error}");
        }
        let of = |fine_share, evaluations| SamplingConfig { fine_share, ..sampling }.of_bands(evaluations, 2);
        assert_eq!(
            (of(0.375, 40), of(0.0, 40), of(1.0, 40), of(0.5, 1)),
            ([25, 15].into(), [39, 1].into(), [1, 39].into(), [1, 1].into())
        );
        assert_eq!(sampling.of_bands(40, 1), [40]);
        sampling.set("context_gamma=3").expect("a number");
        assert!(sampling.validate().expect_err("out of range").to_string().contains("-10 to -2"));
    }
}
