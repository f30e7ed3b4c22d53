//! The diffusion: the noise schedule, the terms of the loss, and the networks that predict noise.

pub mod loss;
pub mod schedule;
pub mod score_net;
pub mod terms;
