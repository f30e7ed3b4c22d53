//! The messages between page and worker.
//!
//! The page sends a [`Request`], the worker any number of [`Response`]s. A job is a [`Task`] with a number. Jobs run one
//! after the other, in order. A task holds all that its result depends on, so that any worker can do it: what a worker
//! keeps of earlier jobs only saves time.

mod model;
mod problem;
mod task;

use serde::{Deserialize, Serialize};

pub use self::model::{Backend, BackendKind, BackendPreference, BackendReason, FileRequest, ModelInfo, Source};
pub use self::problem::{Problem, Recovery};
pub use self::task::{Diffused, Film, Moment, Outcome, Picture, Run, Save, Start, Subject, Task, Verdict};
use crate::toy::Progress;

/// Raised with every change of the messages: a page and a worker of two versions of the site must not misread each
/// other.
pub const PROTOCOL_VERSION: u32 = 7;

/// From the page to the worker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the fields' names say what they are")]
pub enum Request {
    /// Choose a backend, fetch weights, check and load them. Then delete files from the browser's store, except those
    /// with a hash in `keep`, if it is given. The answers are [`Response::Progress`], [`Response::Preparing`] and
    /// [`Response::Loaded`].
    Load { source: Source, preference: BackendPreference, keep: Option<Vec<String>> },
    /// Do this task; `paused` waits before the first step. The answers are [`Response::Step`]s, then
    /// [`Response::Done`], [`Response::Stopped`] or [`Response::Failed`], each with the number of the job.
    Start { job: u32, task: Task, paused: bool },
    /// Control a job; without effect once it has ended.
    Control { job: u32, control: Control },
}

/// A control of a running job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Control {
    /// End a download at once, or a run after the present step.
    Cancel,
    /// Wait after the present step.
    Pause,
    /// Go on.
    Resume,
    /// Take one step, then wait.
    Step,
}

/// From the worker to the page. Times in milliseconds count from the start of the job, without its pauses.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the fields' names say what they are")]
pub enum Response {
    /// The first message: the worker runs.
    Hello { protocol: u32 },
    /// Bytes of a file arrived, of a model's first load or of a job.
    Progress { received: u64, total: u64 },
    /// The file is complete. It is being checked and loaded, and kernels compiled.
    Preparing,
    /// Ready for jobs.
    Loaded(Box<ModelInfo>),
    /// A step was taken.
    Step {
        job: u32,
        /// Number of the step, from 1.
        step: u32,
        /// Steps in all.
        of: u32,
        /// The time that the latent is at.
        t: f64,
        elapsed_ms: f64,
        /// The model's predictions of the images; empty at a step that is not shown.
        pictures: Vec<Picture>,
        /// The decoded latent, if the job makes one image.
        noisy: Option<Picture>,
    },
    /// How far a model is that learns.
    Learned { job: u32, progress: Box<Progress> },
    /// The job is complete.
    Done { job: u32, elapsed_ms: f64, outcome: Outcome },
    /// The job was cancelled after `step` steps.
    Stopped { job: u32, step: u32 },
    /// The job failed; without a job, loading failed or the worker ends.
    Failed { job: Option<u32>, problem: Problem },
}
