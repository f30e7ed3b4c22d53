//! What the caller of an engine brings, and why a job may end early.

use crate::protocol::{Picture, Problem};

/// What the caller brings to a job.
pub trait Host {
    /// Milliseconds since the job began, without its pauses.
    fn elapsed_ms(&self) -> f64;
    /// Hears of a step, with pictures where it is shown.
    fn on_step(&self, step: StepTaken);
    /// Gives way to whatever else wants to run, waits while the job is paused, and says whether it goes on.
    fn goes_on(&self) -> impl Future<Output = bool>;
}

/// A step that was taken.
#[derive(Clone, Debug, PartialEq)]
pub struct StepTaken {
    /// Its number, from 1.
    pub step: u32,
    /// Steps in all.
    pub of: u32,
    /// The time that the latent is at.
    pub t: f64,
    /// What the model believes the images to be; empty at a step that is not shown.
    pub pictures: Vec<Picture>,
    /// The latent, decoded, where there is one image.
    pub noisy: Option<Picture>,
}

/// Why a job gives nothing: it was cancelled, or it cannot be done.
#[derive(Clone, Debug, PartialEq)]
pub enum Halt {
    /// It was cancelled.
    Stopped {
        /// Steps that were taken.
        step: u32,
    },
    /// It cannot be done.
    Problem(Problem),
}

impl From<Problem> for Halt {
    fn from(problem: Problem) -> Self {
        Halt::Problem(problem)
    }
}
