//! The model: all its networks with their losses, and what a sampler needs of them.

mod networks;
mod vdm;

pub use networks::{Band, BatchGammas, DiffusionWeight, LatentNoise, Networks, band_grid};
pub(crate) use networks::{mean_of_draws, schedule_gammas};
pub use vdm::{Condition, Place, Vdm};
