//! What page and worker say to each other.
//!
//! The page sends a [`Request`], the worker any number of [`Response`]s. A job is a [`Task`] with a number; jobs run one
//! after the other, in the order in which they came. A task says all that its answer depends on, so that any worker can
//! answer it: what a worker remembers of earlier jobs saves time and nothing else.

mod model;
mod problem;
mod task;

use serde::{Deserialize, Serialize};

pub use self::model::{Backend, BackendKind, BackendPreference, BackendReason, FileRequest, ModelInfo, Source};
pub use self::problem::{Problem, Recovery};
pub use self::task::{Diffused, Moment, Outcome, Picture, Run, Save, Start, Subject, Task};

/// Raised with every change of the messages: a page and a worker of two versions of the site must not misread each
/// other.
pub const PROTOCOL_VERSION: u32 = 4;

/// From the page to the worker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Request {
    /// Choose a backend, fetch weights, check and load them: answered by [`Response::Progress`],
    /// [`Response::Preparing`] and [`Response::Loaded`].
    Load {
        /// The weights.
        source: Source,
        /// The backend to use.
        preference: BackendPreference,
        /// Hashes of files that stay in the browser's store; none for all.
        keep: Option<Vec<String>>,
    },
    /// Do this: answered by [`Response::Step`]s, then [`Response::Done`], [`Response::Stopped`] or
    /// [`Response::Failed`].
    Start {
        /// The page's number for this job; its answers carry it.
        job: u32,
        /// What to do.
        task: Task,
        /// Wait before the first step.
        paused: bool,
    },
    /// Direct a job; without effect once it has ended.
    Control {
        /// The job.
        job: u32,
        /// How.
        control: Control,
    },
}

/// How a job is directed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Control {
    /// End after the step that it is at.
    Cancel,
    /// Wait after the step that it is at.
    Pause,
    /// Go on.
    Resume,
    /// Take one step, then wait.
    Step,
}

/// From the worker to the page.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Response {
    /// The first message: the worker runs.
    Hello {
        /// Its [`PROTOCOL_VERSION`].
        protocol: u32,
    },
    /// Bytes of a file arrived: of the weights while they load, of the encoder during a job.
    Progress {
        /// So far.
        received: u64,
        /// In all.
        total: u64,
    },
    /// The weights are here; they are being checked, and kernels compiled.
    Preparing,
    /// Ready for jobs.
    Loaded(Box<ModelInfo>),
    /// A step was taken.
    Step {
        /// The job.
        job: u32,
        /// Number of the step, from 1.
        step: u32,
        /// Steps in all.
        of: u32,
        /// The time that the latent is at.
        t: f64,
        /// Since the job began, without its pauses.
        elapsed_ms: f64,
        /// What the model believes the images to be; empty at a step that is not shown.
        pictures: Vec<Picture>,
        /// The latent itself, decoded, where the job makes one image.
        noisy: Option<Picture>,
    },
    /// The job is finished.
    Done {
        /// The job.
        job: u32,
        /// Since it began, without its pauses.
        elapsed_ms: f64,
        /// What it gives.
        outcome: Outcome,
    },
    /// The job was ended early.
    Stopped {
        /// The job.
        job: u32,
        /// Steps that were taken.
        step: u32,
    },
    /// A job cannot be done, or the worker cannot go on.
    Failed {
        /// The job; none if the weights cannot be loaded or the worker ends.
        job: Option<u32>,
        /// Why.
        problem: Problem,
    },
}
