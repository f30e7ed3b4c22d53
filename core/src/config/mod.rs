//! What a model, its training and its sampling consist of, as data, and the presets.

mod model;
mod patch_grid;
mod preset;
mod sampling;
mod training;

pub use model::{GAUSSIAN_CHANNELS, ModelConfig, ResNetConfig, ScheduleConfig, ScheduleKind, ScoreNetConfig};
pub use patch_grid::PatchGrid;
pub use preset::Preset;
pub use sampling::{Autoguidance, SamplingConfig};
pub use training::{ComputePrecision, ObjectiveWeights, OptimizerKind, Stage, TrainingConfig};
