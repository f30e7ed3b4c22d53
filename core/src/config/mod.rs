//! What a model, its training and its sampling consist of, as data, and the presets.

mod bands;
mod classes;
mod model;
mod patch_grid;
mod preset;
mod sampling;
mod schedule;
mod training;

pub use bands::{
    BandConfig, BandsConfig, COARSE_CHANNELS, COARSE_FREQUENCIES, CONTEXT_CHANNELS, CONTEXT_GAMMA, FINE_CHANNELS,
    PATCH, TOKEN_PATCHES,
};
pub use classes::{Attribute, Classes};
pub use model::{LatentConfig, ModelConfig, ResNetConfig, ScoreNetConfig};
pub use patch_grid::PatchGrid;
pub use preset::Preset;
pub use sampling::SamplingConfig;
pub use schedule::{ScheduleConfig, ScheduleKind};
pub use training::{ComputePrecision, ObjectiveWeights, OptimizerKind, Stage, TrainingConfig};
