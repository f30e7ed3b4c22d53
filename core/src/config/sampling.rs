//! How samples are drawn from a trained model.

use serde::{Deserialize, Serialize};

use crate::config::model::ModelConfig;
use crate::error::ConfigError;

/// Corrections that apply when sampling only. Neither training nor the ELBO depends on them. They travel in the weights
/// file beside the [`ModelConfig`] and can be overridden for each run. The default corrects nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SamplingConfig {
    /// Subtracted from γ before the ScoreNet is conditioned on it (Li et al., *Alleviating exposure bias in diffusion
    /// models through sampling with shifted time steps*, ICLR 2024). A ScoreNet whose training is not finished predicts
    /// too close to the mean, so samples vary too little. Conditioned on less noise than there is, it adds variation.
    pub gamma_offset: f64,
    /// Weight w of autoguidance (Karras et al., *Guiding a diffusion model with a bad version of itself*, NeurIPS 2024):
    /// what the ScoreNet adds to the Gaussian prediction and the coarse network, which take the place of the bad version,
    /// counts 1 + w times. It costs no evaluation. It needs a Gaussian prediction.
    pub autoguidance: f64,
    /// Weight w of the coarse network's autoguidance: what it adds to the Gaussian prediction counts 1 + w times, at all
    /// γ. It needs a coarse network.
    pub coarse_autoguidance: f64,
    /// [`gamma_offset`](Self::gamma_offset) and [`autoguidance`](Self::autoguidance) apply below this γ only
    /// (Kynkäänniemi et al., *Applying guidance in a limited interval improves sample and distribution quality in
    /// diffusion models*, NeurIPS 2024), and at all γ where absent.
    pub corrected_below: Option<f64>,
    /// How unevenly grain is drawn within a patch (a of [`grain`](crate::autoencoder::grain)): the standard deviation of
    /// the natural logarithm of its local strength. 0 draws it evenly. It needs patches.
    pub grain_spread: f64,
    /// How much more the patches of an image differ in grain than the decoder predicts (b of
    /// [`grain`](crate::autoencoder::grain)). It needs patches.
    pub grain_contrast: f64,
    /// Whether grain is stronger where the mean image has fine structure (r of [`grain`](crate::autoencoder::grain)). It
    /// needs patches.
    pub grain_structure: bool,
}

/// How often the parts of a prediction count beyond once. Training and the ELBO use the default, 0.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Autoguidance {
    /// What the ScoreNet adds to the Gaussian prediction and the coarse network.
    pub score_net: f64,
    /// What the coarse network adds to the Gaussian prediction.
    pub coarse: f64,
}

impl SamplingConfig {
    /// Where older files keep these options: a JSON pointer into the [`ModelConfig`], and the key there.
    pub const FORMER_PLACES: [(&str, &str); 7] = [
        ("", "grain_spread"),
        ("", "grain_contrast"),
        ("", "grain_structure"),
        ("/score_net", "gamma_offset"),
        ("/score_net", "autoguidance"),
        ("/score_net", "coarse_autoguidance"),
        ("/score_net", "corrected_below"),
    ];

    /// Takes the options out of the JSON of an older [`ModelConfig`]. The rest is a configuration of today.
    ///
    /// # Errors
    /// An option has the wrong type.
    pub(crate) fn take_from_former_places(config: &mut serde_json::Value) -> serde_json::Result<Self> {
        let mut found = serde_json::Map::new();
        for (section, key) in Self::FORMER_PLACES {
            let section = config.pointer_mut(section).and_then(serde_json::Value::as_object_mut);
            if let Some(value) = section.and_then(|section| section.remove(key)) {
                found.insert(key.to_owned(), value);
            }
        }
        serde_json::from_value(found.into())
    }

    /// The γ that the sampler conditions the ScoreNet on at γ.
    pub fn conditioning_gamma(&self, gamma: f64) -> f64 {
        if self.corrects(gamma) { gamma - self.gamma_offset } else { gamma }
    }

    /// The autoguidance at a conditioning γ.
    pub fn autoguidance_at(&self, gamma: f64) -> Autoguidance {
        let score_net = if self.corrects(gamma) { self.autoguidance } else { 0.0 };
        Autoguidance { score_net, coarse: self.coarse_autoguidance }
    }

    fn corrects(&self, gamma: f64) -> bool {
        self.corrected_below.is_none_or(|below| gamma < below)
    }

    /// Sets one option from `KEY=VALUE`, where the value is JSON, or `none` to leave the option out.
    ///
    /// # Errors
    /// The text is no assignment, there is no such option, or the value has the wrong type. The range of the value is
    /// checked by [`validate`](Self::validate).
    pub fn set(&mut self, assignment: &str) -> Result<(), ConfigError> {
        let refuse = |accepted: String| ConfigError::new("sampling", assignment, accepted);
        let example = || refuse("KEY=VALUE is accepted, such as gamma_offset=0".into());
        let (key, value) = assignment.split_once('=').ok_or_else(example)?;
        let value = match value.trim() {
            "none" => serde_json::Value::Null,
            text => serde_json::from_str(text).unwrap_or_else(|_| text.into()),
        };
        let set = || {
            let mut fields = serde_json::to_value(*self)?;
            fields[key.trim()] = value;
            serde_json::from_value(fields)
        };
        *self = set().map_err(|error| refuse(error.to_string()))?;
        Ok(())
    }

    /// Checks the ranges, and that the model has what each option needs.
    ///
    /// # Errors
    /// The first option out of its range, with the range.
    pub fn validate(&self, model: &ModelConfig) -> Result<(), ConfigError> {
        let score_net = &model.score_net;
        for (field, value, range, available, needs) in [
            ("sampling.gamma_offset", self.gamma_offset, 0.0..=5.0, true, ""),
            ("sampling.autoguidance", self.autoguidance, 0.0..=5.0, score_net.gaussian_rank > 0, "gaussian_rank is 0"),
            (
                "sampling.coarse_autoguidance",
                self.coarse_autoguidance,
                0.0..=5.0,
                score_net.coarse_layers > 0,
                "coarse_layers is 0",
            ),
            ("sampling.corrected_below", self.corrected_below.unwrap_or_default(), -30.0..=30.0, true, ""),
            ("sampling.grain_spread", self.grain_spread, 0.0..=2.0, model.patch.is_some(), "the model has no patches"),
            (
                "sampling.grain_contrast",
                self.grain_contrast,
                0.0..=2.0,
                model.patch.is_some(),
                "the model has no patches",
            ),
        ] {
            ConfigError::check_range(field, value, range)?;
            if value != 0.0 && !available {
                return Err(ConfigError::new(field, value, format!("0 is accepted where {needs}")));
            }
        }
        if self.grain_structure && model.patch.is_none() {
            return Err(ConfigError::new(
                "sampling.grain_structure",
                true,
                "false is accepted where the model has no patches",
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_option_is_set_by_its_key() {
        let mut sampling = SamplingConfig::default();
        for assignment in ["gamma_offset=0.25", "corrected_below=3", "grain_structure = true"] {
            sampling.set(assignment).expect(assignment);
        }
        let expected = SamplingConfig {
            gamma_offset: 0.25,
            corrected_below: Some(3.0),
            grain_structure: true,
            ..Default::default()
        };
        assert_eq!(sampling, expected);
        sampling.set("corrected_below=none").expect("no limit");
        assert_eq!(sampling.corrected_below, None);
    }

    #[test]
    fn an_assignment_that_cannot_be_is_refused_with_what_is_accepted() {
        for (assignment, named) in [
            ("gamma_offset", "KEY=VALUE"),
            ("gama_offset=0", "`gamma_offset`"),
            ("gamma_offset=none", "f64"),
            ("gamma_offset=much", "\"much\""),
        ] {
            let mut sampling = SamplingConfig::default();
            let error = sampling.set(assignment).expect_err(assignment).to_string();
            assert!(error.contains(assignment) && error.contains(named), "{error}");
            assert_eq!(sampling, SamplingConfig::default());
        }
    }
}
