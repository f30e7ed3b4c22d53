//! What the page shows: plain data that components render.

use vdm::elbo::ImageElbo;
use vdm::image::Origin;

use crate::protocol::{Diffused, Moment, Picture, Problem, Run, Source, Subject, Task};

/// The page's connection to a model.
#[derive(Clone, Debug, PartialEq)]
pub enum Phase {
    /// Getting ready.
    Loading(Loading),
    /// A model is there.
    Ready,
    /// Nothing goes on before the user decides.
    Failed(Problem),
}

/// How far loading is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loading {
    /// The worker and the list of weights are on their way.
    Starting,
    /// The weights are on their way.
    Weights {
        /// Bytes so far.
        received: u64,
        /// Bytes in all.
        total: u64,
    },
    /// The weights are being checked, and kernels compiled.
    Preparing,
}

/// A place for images on the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Slot {
    /// Images from noise.
    Generate,
    /// A subject, denoised from some time on.
    Denoise,
    /// Images between two seeds.
    Between,
    /// The race's first run.
    RaceLeft,
    /// The race's second run.
    RaceRight,
}

impl Slot {
    /// Every slot.
    pub const ALL: [Slot; 5] = [Slot::Generate, Slot::Denoise, Slot::Between, Slot::RaceLeft, Slot::RaceRight];
}

/// What stands in a [`Slot`].
#[derive(Clone, Debug, PartialEq)]
pub struct Panel {
    /// What was asked for.
    pub run: Run,
    /// The images: as the model believes them to be while they emerge, else as they are.
    pub pictures: Vec<Picture>,
    /// The latent, decoded, while a single image emerges.
    pub noisy: Option<Picture>,
    /// Steps taken.
    pub step: u32,
    /// The time that the latent is at.
    pub t: f64,
    /// Since the run began, without its pauses.
    pub elapsed_ms: f64,
    /// Where the images come from, once they are whole; none while they emerge, or where the run was ended early.
    pub origin: Option<Origin>,
    /// The moment that time travel is at; none before the first, or while images emerge.
    pub moment: Option<(u32, Moment)>,
}

/// What a job is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JobKind {
    /// The images of a slot.
    Fill(Slot),
    /// The moment of a slot's run that time travel asks for.
    Moment(Slot),
    /// The forward process.
    Diffuse,
    /// The bound's terms.
    Measure,
    /// How long the model takes.
    Speed,
    /// A file to keep.
    Save {
        /// Its name.
        file_name: String,
    },
    /// Other weights.
    Switch,
}

impl JobKind {
    /// Whether it follows a slider: short, and only the last one counts.
    pub fn is_quick(&self) -> bool {
        matches!(self, JobKind::Moment(_) | JobKind::Diffuse)
    }
}

/// Something that the worker does or will do.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// What for.
    pub kind: JobKind,
    /// What.
    pub task: Task,
    /// Wait before the first step.
    pub paused: bool,
}

/// What the worker does.
#[derive(Clone, Debug, PartialEq)]
pub struct Job {
    /// Its number.
    pub id: u32,
    /// What it was asked.
    pub plan: Plan,
    /// Steps taken.
    pub step: u32,
    /// Whether it waits between two steps.
    pub paused: bool,
    /// Whether it was asked to end.
    pub stopping: bool,
    /// Bytes received and in all of a file that it needs first.
    pub fetching: Option<(u64, u64)>,
    /// What [`fetching`](Self::fetching) was when the job was cancelled, or waited for since.
    pub fetched_before: Option<(u64, u64)>,
}

/// The forward process at one time.
#[derive(Clone, Debug, PartialEq)]
pub struct DiffusedAt {
    /// Of what.
    pub subject: Subject,
    /// When.
    pub t: f64,
    /// Seed of the noise.
    pub seed: u64,
    /// What it looks like.
    pub diffused: Diffused,
}

/// The bound, measured.
#[derive(Clone, Debug, PartialEq)]
pub struct Measured {
    /// Of what.
    pub subject: Subject,
    /// Diffusion times.
    pub times: u32,
    /// The loss.
    pub elbo: ImageElbo,
}

/// Where the model in use comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    /// The site's model of this name; none for the one that the site opens with.
    Site(Option<String>),
    /// The user's own files.
    Own(Source),
}

/// Something to tell beside what is going on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// The GPU failed, and the CPU goes on.
    MovedToCpu(Problem),
    /// A job was ended early.
    Cancelled {
        /// Steps taken.
        step: u32,
        /// Steps in all.
        of: u32,
    },
    /// A file was handed to the browser to keep.
    Saved {
        /// Its name.
        file_name: String,
    },
    /// Other weights are in use.
    Switched {
        /// Their name.
        name: String,
    },
    /// One thing did not work; everything else stays as it is.
    Failed(Problem),
    /// The link was made with other weights, so that its images look different here.
    OtherWeights {
        /// The start of their hash.
        sha256: String,
    },
}

/// What to save of a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Export {
    /// One image, or all of them side by side, as PNG.
    Pictures {
        /// The image; none for all.
        image: Option<u32>,
    },
    /// One image on its way from noise, as an animated PNG.
    Animation {
        /// The image.
        image: u32,
    },
    /// One image on its way from noise, as a strip.
    Strip {
        /// The image.
        image: u32,
    },
    /// All images one after the other, there and back, as an animated PNG.
    Flipbook,
}
