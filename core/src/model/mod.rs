//! The model: all its networks with their losses, and what a sampler needs of them.

mod networks;
mod vdm;

pub(crate) use networks::mean_of_draws;
pub use networks::{BatchGammas, DiffusionWeight, LatentNoise, Networks};
pub use vdm::{Condition, Vdm};
