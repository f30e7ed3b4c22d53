//! The building blocks of the networks: parameters, dense layers and residual blocks, and residual blocks on patches.

pub mod dense;
pub mod fused;
pub(crate) mod params;
pub mod patch_grid;
pub mod patch_net;
