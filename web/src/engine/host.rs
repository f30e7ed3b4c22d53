//! The caller's side of a job, and why a job may end early.

use crate::protocol::{Picture, Problem};

/// The caller's side of a job.
pub trait Host {
    /// Milliseconds since the job began, without its pauses.
    fn elapsed_ms(&self) -> f64;
    /// Reports a step.
    fn on_step(&self, step: StepTaken);
    /// Lets other tasks run, waits while the job is paused, and returns whether the job continues.
    fn should_continue(&self) -> impl Future<Output = bool>;
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
    /// The model's predictions of the images; empty at a step that is not shown.
    pub pictures: Vec<Picture>,
    /// The decoded latent, if there is one image.
    pub noisy: Option<Picture>,
}

/// Why a job has no result.
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
