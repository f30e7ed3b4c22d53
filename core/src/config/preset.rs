//! The presets.

use serde::{Deserialize, Serialize};
use strum::{Display, EnumString, IntoStaticStr, VariantArray};

use crate::config::model::{ModelConfig, ResNetConfig, ScheduleConfig, ScheduleKind, ScoreNetConfig};
use crate::config::sampling::SamplingConfig;
use crate::config::training::{ObjectiveWeights, OptimizerKind, Stage, TrainingConfig};

/// A named model with the way it is trained and sampled.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Display, EnumString, IntoStaticStr, VariantArray,
)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum Preset {
    /// The paper's networks at 256×256.
    Paper,
    /// A small model at 64×64 for a first run and for tests. It trains in about a minute on a CPU.
    Quick,
    /// Sharp images at 256×256: networks on patches with attention, in 30 MB. Trained in two stages, on a GPU.
    Sharp,
    /// The same in 17 MB, for a CPU.
    SharpSmall,
}

impl Preset {
    /// Every preset.
    pub const ALL: &'static [Self] = Self::VARIANTS;

    /// The name used on the command line and in file names.
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// The model.
    pub fn model(self) -> ModelConfig {
        let blocks = |[width, layers]: [usize; 2]| ResNetConfig { width, layers, ..ResNetConfig::default() };
        let monotonic = |hidden| ScheduleKind::Monotonic { hidden, learn_endpoints: false };
        // Images of 256×256 in 16×16 patches of `channels` numbers each.
        let on_patches = |channels: usize, encoder, decoder, score_net: [usize; 2], coarse: [usize; 2]| ModelConfig {
            latent_dim: 256 * channels,
            patch: Some(16),
            grain: true,
            encoder: blocks(encoder),
            decoder: blocks(decoder),
            score_net: ScoreNetConfig {
                width: score_net[0],
                layers: score_net[1],
                gaussian_rank: 256,
                coarse_width: coarse[0],
                coarse_layers: coarse[1],
                ..ScoreNetConfig::default()
            },
            ..ModelConfig::default()
        };
        // The brightness of a whole chest is spread over hundreds of latent numbers together, and is drowned at a higher γ than
        // one of them alone.
        let between = |gamma_min, gamma_max| ScheduleConfig { kind: monotonic(32), gamma_min, gamma_max };
        match self {
            Preset::Paper => ModelConfig::default(),
            Preset::Quick => ModelConfig {
                height: 64,
                width: 64,
                latent_dim: 16,
                encoder: blocks([64, 2]),
                decoder: blocks([64, 2]),
                score_net: ScoreNetConfig { embedding_dim: 32, width: 64, layers: 3, ..ScoreNetConfig::default() },
                schedule: ScheduleConfig { kind: monotonic(8), ..ScheduleConfig::default() },
                ..ModelConfig::default()
            },
            Preset::Sharp => {
                let model = on_patches(128, [192, 2], [128, 3], [384, 6], [256, 2]);
                let score_net = ScoreNetConfig { heads: 6, ..model.score_net };
                ModelConfig { score_net, schedule: between(-7.0, 10.0), ..model }
            }
            Preset::SharpSmall => {
                ModelConfig { schedule: between(-6.0, 9.0), ..on_patches(64, [192, 2], [192, 3], [192, 8], [512, 4]) }
            }
        }
    }

    /// How the model is sampled, measured on validation images and on the shipped weights: see their card.
    pub fn sampling(self) -> SamplingConfig {
        let with_grain = SamplingConfig {
            grain_spread: 0.6,
            grain_contrast: 0.6,
            grain_structure: true,
            ..SamplingConfig::default()
        };
        match self {
            Preset::Paper | Preset::Quick => SamplingConfig::default(),
            Preset::Sharp => with_grain,
            Preset::SharpSmall => SamplingConfig {
                gamma_offset: 0.2,
                autoguidance: 0.05,
                coarse_autoguidance: 0.5,
                corrected_below: Some(3.0),
                ..with_grain
            },
        }
    }

    /// The training of a stage, or of the first one where none is given.
    pub fn training(self, stage: Option<Stage>) -> TrainingConfig {
        let paper = TrainingConfig { stage: stage.unwrap_or_default(), ..TrainingConfig::default() };
        let sharp = TrainingConfig {
            stage: stage.unwrap_or(Stage::Autoencoder),
            batch: 32,
            times_per_image: 1,
            learning_rate: 3e-4,
            weight_decay: 1e-2,
            final_fraction: 1e-2,
            objective: ObjectiveWeights {
                // As of Gaussian pixels with a deviation of 0.014 for the mean, and as much again for its differences.
                mse: 2500.0,
                gradient_difference: 2500.0,
                grain: 0.1,
                sigmoid_bias: Some(2.0),
                ..ObjectiveWeights::default()
            },
            ..paper.clone()
        };
        match self {
            Preset::Paper => paper,
            Preset::Quick => TrainingConfig { steps: 1000, batch: 32, learning_rate: 2e-3, warmup_steps: 50, ..paper },
            Preset::Sharp | Preset::SharpSmall if stage == Some(Stage::Diffusion) => TrainingConfig {
                optimizer: OptimizerKind::Muon,
                // On a GPU more images per step are more images per second: docs/experiments/sharp-h200.md.
                batch: if self == Preset::Sharp { 128 } else { 32 },
                ema_half_lives: vec![50_000],
                coarse_steps: 10_000,
                learning_rate: 4e-3,
                ..sharp
            },
            Preset::Sharp | Preset::SharpSmall => sharp,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presets_are_valid_and_survive_json() {
        for preset in Preset::ALL {
            let model = preset.model();
            assert_eq!(model.validate(), Ok(()), "{preset}");
            assert_eq!(preset.sampling().validate(&model), Ok(()), "{preset}");
            for stage in Stage::ALL.iter().copied().map(Some).chain([None]) {
                let training = preset.training(stage);
                assert_eq!(training.validate(), Ok(()), "{preset}");
                assert!(stage.is_none_or(|stage| stage == training.stage), "{preset}");
            }
            let text = serde_json::to_string(&model).expect("a configuration is JSON");
            assert_eq!(model, serde_json::from_str(&text).expect(&text));
        }
    }

    #[test]
    fn names_are_those_of_the_files() {
        for preset in Preset::ALL {
            assert_eq!(serde_json::json!(preset), preset.name());
            assert_eq!(preset.name().parse(), Ok(*preset));
        }
        assert_eq!(Preset::SharpSmall.name(), "sharp-small");
    }

    #[test]
    fn absurd_sizes_are_refused_by_name() {
        for (preset, field, change) in [
            (Preset::Paper, "decoder.width", (|config| config.decoder.width = usize::MAX) as fn(&mut ModelConfig)),
            (Preset::Sharp, "gaussian_rank", |config| config.score_net.gaussian_rank = 16 * 256 + 1),
            (Preset::SharpSmall, "patch", |config| (config.height, config.patch) = (64, Some(64))),
            (Preset::SharpSmall, "decoder.width", |config| config.decoder.width = 4),
            (Preset::Paper, "gamma_max", |config| config.schedule.gamma_max = f64::NAN),
            (Preset::Paper, "gamma_max", |config| config.schedule.gamma_max = -6.0),
        ] {
            let mut config = preset.model();
            change(&mut config);
            let error = config.validate().expect_err(field).to_string();
            assert!(error.contains(field), "{error}");
        }
        let sampling = SamplingConfig { gamma_offset: f64::NAN, ..SamplingConfig::default() };
        assert!(sampling.validate(&ModelConfig::default()).is_err());
        let error =
            Preset::SharpSmall.sampling().validate(&ModelConfig::default()).expect_err("no Gaussian prediction");
        assert_eq!(error.field, "sampling.autoguidance");
    }
}
