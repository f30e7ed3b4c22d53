//! What happens to the page, and what is to be done about it.

use super::parts::{Choice, Export, Slot};
use crate::manifest::Manifest;
use crate::protocol::{Problem, Request, Response, Run, Subject};

/// How long a cancelled job may go on.
pub const PATIENCE_SECONDS: u32 = 10;

/// What happens to the page.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The page opens.
    Open,
    /// The list of weights was fetched, for the worker of this generation, or could not be.
    Manifest(u32, Result<Manifest, Problem>),
    /// A worker says something.
    Worker(u32, Response),
    /// The user wants images in a slot.
    Run {
        /// Where.
        slot: Slot,
        /// Which.
        run: Run,
        /// Step by step, rather than in one go.
        stepwise: bool,
    },
    /// The user wants two runs, one after the other.
    Race {
        /// The first.
        left: Run,
        /// The second.
        right: Run,
    },
    /// The user looks at a moment of a slot's run.
    Moment {
        /// Where.
        slot: Slot,
        /// Which of its images.
        image: u32,
        /// Steps taken by then.
        index: u32,
    },
    /// The user takes a subject to time t.
    Diffuse {
        /// What.
        subject: Subject,
        /// Where to, in [0, 1].
        t: f64,
        /// Seed of the noise.
        seed: u64,
    },
    /// The user wants the bound of a subject.
    Measure(Subject),
    /// The user wants to know how long the model takes here.
    MeasureSpeed,
    /// The user wants to keep something of a slot.
    Save(Slot, Export),
    /// The user wants no more of what runs.
    Cancel,
    /// The user wants it to wait.
    Pause,
    /// The user wants it to go on.
    Resume,
    /// The user wants one step.
    Step,
    /// This job should have ended some time ago.
    Overdue(u32),
    /// The user wants to go on after a failure.
    Recover,
    /// The user wants this model, of the site or of their own.
    Use(Choice),
    /// Something of the user's cannot be used.
    Refuse(Problem),
    /// The user has read the notice.
    CloseNotice,
}

/// What is to be done about it.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Discard the worker, if there is one, and start another.
    StartWorker {
        /// Its generation.
        generation: u32,
    },
    /// Fetch the list of weights.
    FetchManifest {
        /// The generation to answer with.
        generation: u32,
        /// Ask the server even where the browser has kept a copy.
        fresh: bool,
    },
    /// Send this to the worker.
    Send(Request),
    /// Come back with [`Event::Overdue`] for this job after [`PATIENCE_SECONDS`].
    ExpectEnd {
        /// The job that was cancelled.
        job: u32,
    },
    /// Hand a file to the browser to keep.
    SaveFile {
        /// Its name.
        name: String,
        /// Its content.
        bytes: Vec<u8>,
    },
    /// Load the page again.
    ReloadPage,
}
