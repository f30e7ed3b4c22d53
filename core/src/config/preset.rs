//! The presets.

use serde::{Deserialize, Serialize};
use strum::{Display, EnumString, IntoStaticStr, VariantArray};

use crate::config::bands::{BandConfig, BandsConfig};
use crate::config::model::{LatentConfig, ModelConfig, ResNetConfig, ScoreNetConfig};
use crate::config::schedule::{ScheduleConfig, ScheduleKind};
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
    /// Sharp images at 256×256: the image itself, coarse to fine. Trained band by band.
    Sharp,
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
        match self {
            Preset::Paper => ModelConfig::default(),
            Preset::Quick => ModelConfig {
                height: 64,
                width: 64,
                latent: Some(LatentConfig {
                    dim: 16,
                    encoder: blocks([64, 2]),
                    decoder: blocks([64, 2]),
                    score_net: ScoreNetConfig { embedding_dim: 32, width: 64, layers: 3, ..ScoreNetConfig::default() },
                    schedule: ScheduleConfig { kind: monotonic(8), ..ScheduleConfig::default() },
                }),
                ..ModelConfig::default()
            },
            Preset::Sharp => {
                let band = BandConfig { embedding_dim: 128, hidden: 32, ..BandConfig::default() };
                ModelConfig {
                    latent: None,
                    bands: Some(BandsConfig {
                        min_noise: 0.25,
                        // The brightness of a whole chest is spread over hundreds of numbers together, and is drowned at a
                        // higher γ than one of them alone.
                        coarse: BandConfig {
                            scale: 1.6,
                            width: 256,
                            layers: 8,
                            heads: 4,
                            gamma_max: 11.0,
                            ..band.clone()
                        },
                        fine: BandConfig { scale: 40.0, width: 192, layers: 8, heads: 0, gamma_max: 7.0, ..band },
                    }),
                    ..ModelConfig::default()
                }
            }
        }
    }

    /// The training of a stage, or of the first one where none is given.
    pub fn training(self, stage: Option<Stage>) -> TrainingConfig {
        let paper = TrainingConfig { stage: stage.unwrap_or_default(), ..TrainingConfig::default() };
        match self {
            Preset::Paper => paper,
            Preset::Quick => TrainingConfig { steps: 1000, batch: 32, learning_rate: 2e-3, warmup_steps: 50, ..paper },
            Preset::Sharp => {
                let stage = stage.unwrap_or(Stage::Coarse);
                TrainingConfig {
                    stage,
                    optimizer: OptimizerKind::Muon,
                    batch: 64,
                    crop: (stage == Stage::Fine).then_some(64),
                    ema_half_lives: vec![50_000],
                    times_per_image: 1,
                    learning_rate: 4e-3,
                    weight_decay: 0.0,
                    final_fraction: 1e-2,
                    objective: ObjectiveWeights {
                        sigmoid_bias: Some(6.0),
                        // Two below γ(1) of the band.
                        velocity_gamma: Some(if stage == Stage::Fine { 5.0 } else { 9.0 }),
                        ..ObjectiveWeights::default()
                    },
                    ..paper
                }
            }
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
        assert_eq!(Preset::Sharp.name(), "sharp");
    }

    #[test]
    fn absurd_sizes_are_refused_by_name() {
        fn latent(config: &mut ModelConfig) -> &mut LatentConfig {
            config.latent.as_mut().expect("a latent")
        }
        fn bands(config: &mut ModelConfig) -> &mut BandsConfig {
            config.bands.as_mut().expect("bands")
        }
        for (preset, field, change) in [
            (
                Preset::Paper,
                "latent.decoder.width",
                (|config| latent(config).decoder.width = usize::MAX) as fn(&mut ModelConfig),
            ),
            (Preset::Paper, "gamma_max", |config| latent(config).schedule.gamma_max = f64::NAN),
            (Preset::Paper, "gamma_max", |config| latent(config).schedule.gamma_max = -6.0),
            (Preset::Paper, "latent is absent", |config| config.latent = None),
            (Preset::Sharp, "beside bands", |config| config.latent = Some(LatentConfig::default())),
            (Preset::Sharp, "multiple of 32", |config| config.width = 100),
            (Preset::Sharp, "bands.fine.width", |config| bands(config).fine.width = 4),
            (Preset::Sharp, "bands.coarse.heads", |config| bands(config).coarse.heads = 3),
            (Preset::Sharp, "bands.min_noise", |config| bands(config).min_noise = f64::NAN),
            (Preset::Sharp, "bands.fine.gamma_max", |config| bands(config).fine.gamma_max = -20.0),
        ] {
            let mut config = preset.model();
            change(&mut config);
            let error = config.validate().expect_err(field).to_string();
            assert!(error.contains(field), "{error}");
        }
    }

    #[test]
    fn the_noise_at_the_start_is_the_same_in_both_bands() {
        let config = Preset::Sharp.model();
        let bands = config.bands.as_ref().expect("bands");
        for (band, schedule) in [&bands.coarse, &bands.fine].into_iter().zip(config.schedules()) {
            let noise = (schedule.gamma_min / 2.0).exp() / band.scale * 255.0;
            assert!((noise / bands.min_noise - 1.0).abs() < 1e-12, "{noise}");
        }
    }
}
