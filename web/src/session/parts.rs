//! The parts of the state: plain data that components render.

use vdm::elbo::ImageElbo;
use vdm::image::Origin;

use crate::form::Field;
use crate::protocol::{Diffused, Film, Moment, Picture, Problem, Run, Source, Subject, Task};

/// The page's connection to a model.
#[derive(Clone, Debug, PartialEq)]
pub enum Phase {
    /// The model is being loaded.
    Loading(Loading),
    /// A model is there.
    Ready,
    /// Loading failed, or the worker did. The user decides how to go on.
    Failed(Problem),
}

/// The progress of loading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields' names say what they are")]
pub enum Loading {
    /// The worker starts, and the list of weights is fetched.
    Starting,
    /// The weights are being fetched; both numbers are bytes.
    Weights { received: u64, total: u64 },
    /// The weights are being checked, and kernels compiled.
    Preparing,
}

/// A place for images on the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Slot {
    /// Images from noise.
    Generate,
    /// A subject, denoised.
    Denoise,
    /// Images between two seeds.
    Between,
    /// The race's first run.
    RaceLeft,
    /// The race's second run.
    RaceRight,
    /// The drawn picture of the game.
    Game,
}

impl Slot {
    /// Every slot.
    pub const ALL: [Slot; 6] =
        [Slot::Generate, Slot::Denoise, Slot::Between, Slot::RaceLeft, Slot::RaceRight, Slot::Game];
}

/// The content of a [`Slot`].
#[derive(Clone, Debug, PartialEq)]
pub struct Panel {
    /// The run that makes the images.
    pub run: Run,
    /// The images: the model's prediction until they are complete.
    pub pictures: Vec<Picture>,
    /// The noisy state, while a single image is being made.
    pub noisy: Option<Picture>,
    /// Moments of the run as they were shown, at most [`FRAMES`].
    pub film: Vec<Frame>,
    /// Steps taken.
    pub step: u32,
    /// The time that the latent is at.
    pub t: f64,
    /// Milliseconds since the run began, without its pauses.
    pub elapsed_ms: f64,
    /// The origin of complete images; none until they are complete.
    pub origin: Option<Origin>,
    /// The image and the moment of it that time travel shows.
    pub moment: Option<(u32, Moment)>,
}

/// The maximum number of moments that a panel keeps.
pub const FRAMES: u32 = 12;

/// A moment of a run as it was shown.
#[derive(Clone, Debug, PartialEq)]
pub struct Frame {
    /// Its place, in [0, [`FRAMES`]).
    pub place: u32,
    /// The predictions of the images.
    pub pictures: Vec<Picture>,
    /// The noisy state, of a single image.
    pub noisy: Option<Picture>,
}

impl Panel {
    /// The place of a step, from 1, among the frames.
    pub(super) fn place(&self, step: u32) -> u32 {
        let (step, of) = (u64::from(step.max(1) - 1), u64::from(self.run.steps().max(1)));
        ((step * u64::from(FRAMES) / of) as u32).min(FRAMES - 1)
    }

    /// What the strip of moments shows at a place: the last frame up to it; none before the run is there.
    pub fn frame(&self, place: u32) -> Option<&Frame> {
        let there = self.origin.is_some() || self.place(self.step) >= place;
        self.film.iter().rev().find(|frame| there && frame.place <= place)
    }
}

/// What a job is for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields' names say what they are")]
pub enum JobKind {
    /// The images of a slot.
    Fill(Slot),
    /// A moment of a slot's run.
    Moment(Slot),
    /// The forward process.
    Diffuse,
    /// The terms of the bound.
    Measure,
    /// How long the model takes.
    Speed,
    /// A small model that learns.
    Learn,
    /// Whether a saved picture is what the weights draw.
    Verify,
    /// A file to save.
    Save { file_name: String },
    /// Other weights.
    Switch,
}

impl JobKind {
    /// Whether it follows a slider: short, and only the last one counts.
    pub fn is_quick(&self) -> bool {
        matches!(self, JobKind::Moment(_) | JobKind::Diffuse)
    }
}

/// A job that waits or runs.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// What it is for.
    pub kind: JobKind,
    /// The job that the worker does.
    pub task: Task,
    /// Whether it waits before its first step.
    pub paused: bool,
}

/// The job that runs.
#[derive(Clone, Debug, PartialEq)]
pub struct Job {
    /// Its number.
    pub id: u32,
    /// What it does.
    pub plan: Plan,
    /// Steps taken.
    pub step: u32,
    /// Steps in all, as far as that is known.
    pub of: u32,
    /// Whether it is paused.
    pub paused: bool,
    /// Whether it was cancelled and has not ended yet.
    pub stopping: bool,
    /// Bytes received and in all, while it downloads a file.
    pub fetching: Option<(u64, u64)>,
    /// [`fetching`](Self::fetching) at the last [`Command::ExpectEnd`](super::Command::ExpectEnd).
    pub fetched_before: Option<(u64, u64)>,
}

/// A subject at a time of the forward process.
#[derive(Clone, Debug, PartialEq)]
pub struct DiffusedAt {
    /// The subject.
    pub subject: Subject,
    /// The time.
    pub t: f64,
    /// Seed of the noise.
    pub seed: u64,
    /// Its pictures and numbers.
    pub diffused: Diffused,
}

/// The measured bound of a subject.
#[derive(Clone, Debug, PartialEq)]
pub struct Measured {
    /// The subject.
    pub subject: Subject,
    /// Diffusion times.
    pub times: u32,
    /// The terms.
    pub elbo: ImageElbo,
}

/// A choice of weights.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    /// The site's model of this name; none for its default.
    Site(Option<String>),
    /// The user's own files.
    Own(Source),
}

/// News that do not change the [`Phase`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields' names say what they are")]
pub enum Notice {
    /// The GPU failed, and the CPU takes over.
    MovedToCpu(Problem),
    /// A job was cancelled after `step` of `of` steps.
    Cancelled { step: u32, of: u32 },
    /// A file was saved.
    Saved { file_name: String },
    /// Other weights are in use.
    Switched { name: String },
    /// A job failed; all else stays as it is.
    Failed(Problem),
    /// The link was made with other weights, whose hash begins like this: its images look different here.
    OtherWeights { sha256: String },
    /// Fields of the link cannot be followed: each with its text.
    BadLink { faults: Vec<(Field, String)> },
}

/// What to save of a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields' names say what they are")]
pub enum Export {
    /// One image, or with none all of them side by side, as PNG.
    Pictures { image: Option<u32> },
    /// One image from noise to the end, animated.
    Animation { image: u32, format: Film },
    /// One image from noise to the end, as a strip.
    Strip { image: u32 },
    /// All images forth and back, animated.
    Flipbook { format: Film },
}
