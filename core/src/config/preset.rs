//! The presets.

use serde::{Deserialize, Serialize};

use super::{
    ComputePrecision, ModelConfig, ObjectiveWeights, OptimizerKind, ResNetConfig, ScheduleConfig, ScheduleKind,
    ScoreNetConfig, Stage, TrainingConfig,
};

/// A named model with the way it is trained.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Preset {
    /// The paper's networks at 256×256.
    Paper,
    /// A small model at 64×64 for a first run and for tests: trains in about a minute on a CPU.
    Quick,
    /// Sharp images at 256×256: networks on patches with attention, in 30 MB. Trained in two stages, on a GPU.
    Sharp,
    /// The same in 17 MB, for a CPU.
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
            //                          numbers a patch, encoder, decoder, ScoreNet, heads; coarse
            Preset::Sharp => Self::patch_model(128, [192, 2], [128, 3], [384, 6], 6, [256, 2], [-7.0, 10.0]),
            Preset::SharpSmall => {
                let mut model = Self::patch_model(64, [192, 2], [192, 3], [192, 8], 0, [512, 4], [-6.0, 9.0]);
                // Measured on the shipped weights: see their card.
                (model.score_net.gamma_offset, model.score_net.autoguidance) = (0.2, 0.05);
                (model.score_net.corrected_below, model.score_net.coarse_autoguidance) = (Some(3.0), 0.5);
                model
            }
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
            grain_spread: 0.0,
            grain_contrast: 0.0,
            grain_structure: false,
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
                coarse_width: 0,
                coarse_layers: 0,
                gamma_offset: 0.0,
                autoguidance: 0.0,
                coarse_autoguidance: 0.0,
                corrected_below: None,
            },
            schedule: ScheduleConfig {
                kind: ScheduleKind::Monotonic { hidden, learn_endpoints: false },
                gamma_min: -5.0,
                gamma_max: 5.0,
            },
        }
    }

    /// Each network as width and layers.
    fn patch_model(
        channels: usize,
        encoder: [usize; 2],
        decoder: [usize; 2],
        score_net: [usize; 2],
        heads: usize,
        coarse: [usize; 2],
        [gamma_min, gamma_max]: [f64; 2],
    ) -> ModelConfig {
        let blocks = |[width, layers]: [usize; 2]| ResNetConfig { width, layers, layer_norm: false, heads: 0 };
        ModelConfig {
            height: 256,
            width: 256,
            latent_dim: 256 * channels, // of 16×16 patches
            patch: Some(16),
            grain: true,
            // Measured on validation images: see the card of the shipped weights.
            grain_spread: 0.6,
            grain_contrast: 0.6,
            grain_structure: true,
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
                coarse_width: coarse[0],
                coarse_layers: coarse[1],
                gamma_offset: 0.0,
                autoguidance: 0.0,
                coarse_autoguidance: 0.0,
                corrected_below: None,
            },
            schedule: ScheduleConfig {
                kind: ScheduleKind::Monotonic { hidden: 32, learn_endpoints: false },
                gamma_min,
                // The brightness of a whole chest stands in hundreds of latent numbers together, and is drowned later
                // than one of them.
                gamma_max,
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

    /// The training of a stage, or of the one that comes first.
    pub fn training(self, stage: Option<Stage>) -> TrainingConfig {
        let paper = TrainingConfig {
            stage: stage.unwrap_or_default(),
            optimizer: OptimizerKind::AdamW,
            steps: 20_000,
            batch: 64,
            accumulation: 1,
            precision: ComputePrecision::F32,
            ema_half_lives: Vec::new(),
            ema_rampup: 0.05,
            coarse_steps: 0,
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
        // As of Gaussian pixels with a deviation of 0.014 for the mean, and as much again for its differences.
        let objective = ObjectiveWeights {
            rate: 1.0,
            mse: 2500.0,
            gradient_difference: 2500.0,
            grain: 0.1,
            sigmoid_bias: Some(2.0),
        };
        match self {
            Preset::Paper => paper,
            Preset::Quick => TrainingConfig { steps: 1000, batch: 32, learning_rate: 2e-3, warmup_steps: 50, ..paper },
            Preset::Sharp | Preset::SharpSmall if stage == Some(Stage::Diffusion) => TrainingConfig {
                optimizer: OptimizerKind::Muon,
                // On a GPU more images a step are more images a second: trainer/notes/sharp-h200.md.
                batch: if self == Preset::Sharp { 128 } else { 32 },
                ema_half_lives: vec![50_000],
                coarse_steps: 10_000,
                times_per_image: 1,
                learning_rate: 4e-3,
                weight_decay: 1e-2,
                final_fraction: 1e-2,
                objective,
                ..paper
            },
            Preset::Sharp | Preset::SharpSmall => TrainingConfig {
                stage: stage.unwrap_or(Stage::Autoencoder),
                batch: 32,
                times_per_image: 1,
                learning_rate: 3e-4,
                weight_decay: 1e-2,
                final_fraction: 1e-2,
                objective,
                ..paper
            },
        }
    }
}
