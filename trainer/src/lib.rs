//! Trains, samples and evaluates the variational diffusion model natively: `trainer --help`.
//!
//! A folder uses only those above it in this list: `base`, `data`, `run`, `measures`, `generate`, `output`, `evaluate`,
//! `train`, `cli`, `bench`, `untrusted`.

mod base;
#[doc(hidden)]
pub mod bench;
mod cli;
mod data;
mod evaluate;
mod generate;
mod measures;
mod output;
mod run;
mod train;
#[doc(hidden)]
pub mod untrusted;

pub use cli::main;
