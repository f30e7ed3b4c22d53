//! The model on a device, generic over the backend. The clock and what happens between steps are the caller's, so that
//! the same code runs in the worker and in a native test.

mod files;
mod host;
mod images;
mod model;
mod record;
mod run;
mod shares;
mod tasks;
#[cfg(test)]
mod tests;
mod verify;

pub use self::host::{Halt, Host, StepTaken};
pub use self::model::Engine;
pub use self::shares::Shares;
pub use self::verify::MAX_PIXELS;
