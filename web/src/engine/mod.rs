//! The model on a device, generic over the backend. The clock and what happens between steps are the caller's, so that
//! the same code runs in the worker and in a native test.

mod files;
mod host;
mod model;
mod record;
mod run;
mod tasks;
#[cfg(test)]
mod tests;

pub use self::host::{Halt, Host, StepTaken};
pub use self::model::Engine;
