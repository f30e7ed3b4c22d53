//! What happens to the page, and what the page must then do.

use super::parts::{Choice, Export, Notice, Slot};
use crate::manifest::Manifest;
use crate::protocol::{Problem, Request, Response, Run, Subject};
use crate::toy::Point;

/// A cancelled job must end within this time. While it downloads, bytes must come within this time.
pub const PATIENCE_SECONDS: u32 = 10;

/// Something happens to the page.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "the fields' names say what they are")]
pub enum Event {
    /// The page opens.
    Open,
    /// The list of weights was fetched, or could not be, for the worker of this generation.
    Manifest(u32, Result<Manifest, Problem>),
    /// The worker of this generation sends a message.
    Worker(u32, Response),
    /// The user makes images in a slot; `stepwise` waits before each step.
    Run { slot: Slot, run: Run, stepwise: bool },
    /// The user starts two runs, one after the other.
    Race { left: Run, right: Run },
    /// The user looks at one image of a slot's run after `index` steps.
    Moment { slot: Slot, image: u32, index: u32 },
    /// The user takes a subject to time t ∈ [0, 1]. `seed` is that of the noise.
    Diffuse { subject: Subject, t: f64, seed: u64 },
    /// The user measures the bound of a subject.
    Measure(Subject),
    /// The user measures how long the model takes on this device.
    MeasureSpeed,
    /// The user lets a small model learn points.
    Learn { points: Vec<Point>, seed: u64 },
    /// The user asks whether a file, a saved picture, is what these weights draw.
    Verify { name: String, file: Vec<u8> },
    /// The user saves something of a slot.
    Save(Slot, Export),
    /// The user cancels the job.
    Cancel,
    /// The user pauses the job.
    Pause,
    /// The user resumes the job.
    Resume,
    /// The user takes one step.
    Step,
    /// The time that [`Command::ExpectEnd`] gave this job is over.
    Overdue(u32),
    /// The user recovers from a failure.
    Recover,
    /// The user chooses a model, of the site or of their own.
    Use(Choice),
    /// A file of the user's cannot be used.
    Refuse(Problem),
    /// The page has news for the user.
    Tell(Notice),
    /// The user closes the notice.
    CloseNotice,
}

/// Something that the page must do.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "the fields' names say what they are")]
pub enum Command {
    /// Stop the worker, if there is one, and start another.
    StartWorker { generation: u32 },
    /// Fetch the list of weights and answer with this generation; `fresh` bypasses the browser's cache.
    FetchManifest { generation: u32, fresh: bool },
    /// Send this to the worker.
    Send(Request),
    /// Answer with [`Event::Overdue`] for this cancelled job after [`PATIENCE_SECONDS`].
    ExpectEnd { job: u32 },
    /// Save a file by the browser.
    SaveFile { name: String, bytes: Vec<u8> },
    /// Load the page again.
    ReloadPage,
}
