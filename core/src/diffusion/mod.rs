//! The diffusion: the noise schedule, the bound's terms, and the networks that predict noise.

pub mod coarse;
pub mod gaussian;
pub mod loss;
pub mod schedule;
pub mod score_net;
pub mod terms;
