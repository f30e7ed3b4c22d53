//! The building blocks of the networks: where parameters come from, dense layers and blocks, blocks on patches.

pub mod dense;
pub(crate) mod params;
pub mod patch_grid;
pub mod patch_net;
