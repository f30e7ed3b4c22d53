//! A latent variational diffusion model of chest X-rays (Rguibi et al., J. Imaging 2023, 9, 171; Kingma et al., 2021),
//! generic over Burn's [`Backend`](burn::tensor::backend::Backend): numbers in, numbers out.
pub mod config;
pub mod error;
pub mod image;
pub mod loss;
pub mod math;
pub mod model;
pub mod nn;
pub mod noise;
pub mod objective;
mod params;
pub mod sampler;
pub mod schedule;
pub mod weights;
