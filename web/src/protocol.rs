//! What page and worker say to each other.
//!
//! The page sends a [`Request`], the worker any number of [`Response`]s; requests are answered in the order in which
//! they came, except that [`Request::Cancel`] ends the job that is running.

use serde::{Deserialize, Serialize};
use vdm::image::{GreyImage, Origin};

use crate::settings::Settings;

/// Raised with every change of the messages: a page and a worker of two versions of the site must not misread each
/// other.
pub const PROTOCOL_VERSION: u32 = 1;

/// From the page to the worker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Request {
    /// Choose a backend, fetch weights, check and load them: answered by [`Response::Progress`], [`Response::Preparing`]
    /// and [`Response::Loaded`].
    Load(LoadRequest),
    /// Make an image for each seed: answered by [`Response::Step`]s, then [`Response::Done`] or
    /// [`Response::Cancelled`].
    Generate {
        /// The page's number for this job; its answers carry it.
        job: u32,
        /// One image a seed. [`Settings::seed`] is the first.
        seeds: Vec<u64>,
        /// How.
        settings: Settings,
    },
    /// End this job after the step that it is at.
    Cancel {
        /// The job.
        job: u32,
    },
    /// A labelled PNG of a picture: answered by [`Response::Png`].
    Encode {
        /// The picture.
        picture: Picture,
        /// What its metadata says.
        origin: Origin,
    },
}

/// What to load, onto what.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LoadRequest {
    /// The whole address of the file.
    pub url: String,
    /// Its name, for messages.
    pub file: String,
    /// The size that it must have.
    pub bytes: u64,
    /// The SHA-256 that it must have, in lower-case hexadecimal.
    pub sha256: String,
    /// Ask the server even where the browser has kept a copy: the copy may be what was wrong.
    pub fresh: bool,
    /// The backend to use.
    pub wish: BackendWish,
}

/// Which backend is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum BackendWish {
    /// WebGPU where it works, else the CPU.
    #[default]
    Auto,
    /// The CPU, because the address says so.
    Cpu,
    /// WebGPU or an error, because the address says so.
    WebGpu,
    /// The CPU, because the GPU failed before.
    CpuAfterGpuFailure,
}

impl BackendWish {
    /// The wish in an address: `?backend=cpu`, `?backend=webgpu`, all else is [`Auto`](Self::Auto).
    pub fn from_address(value: Option<&str>) -> Self {
        match value {
            Some("cpu") => BackendWish::Cpu,
            Some("webgpu") => BackendWish::WebGpu,
            _ => BackendWish::Auto,
        }
    }
}

/// Where the model runs, and why there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backend {
    /// Where.
    pub kind: BackendKind,
    /// Why.
    pub reason: BackendReason,
}

/// Where the model runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum BackendKind {
    /// On the GPU, by WebGPU.
    WebGpu,
    /// On the CPU, in WebAssembly.
    Cpu,
}

impl BackendKind {
    /// The name in attributes and in a saved picture's metadata.
    pub fn name(self) -> &'static str {
        match self {
            BackendKind::WebGpu => "webgpu",
            BackendKind::Cpu => "cpu",
        }
    }
}

/// Why a backend was chosen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum BackendReason {
    /// WebGPU works here.
    GpuFound {
        /// What the browser says of it; may be empty.
        adapter: String,
    },
    /// The address asks for it.
    Asked,
    /// The browser has no WebGPU.
    NoWebGpu,
    /// The browser has WebGPU, and no adapter for it.
    NoAdapter,
    /// The adapter has no `timestamp-query`, which the GPU library cannot do without.
    NoTimestampQuery,
    /// The browser failed to say what it has.
    ProbeFailed {
        /// Its words.
        detail: String,
    },
    /// The GPU failed before.
    GpuFailed,
}

/// From the worker to the page.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Response {
    /// The first message: the worker runs.
    Hello {
        /// Its [`PROTOCOL_VERSION`].
        protocol: u32,
    },
    /// Bytes of the weights arrived.
    Progress {
        /// So far.
        received: u64,
        /// In all.
        total: u64,
    },
    /// The weights are here; they are being checked, and kernels compiled.
    Preparing,
    /// Ready to generate.
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
        /// Since the job began.
        elapsed_ms: f64,
        /// What the model believes the images to be, one a seed; empty at a step that is not shown.
        pictures: Vec<Picture>,
    },
    /// The job is finished.
    Done {
        /// The job.
        job: u32,
        /// Since the job began.
        elapsed_ms: f64,
        /// The images, one a seed.
        pictures: Vec<Picture>,
    },
    /// The job was ended early.
    Cancelled {
        /// The job.
        job: u32,
        /// Steps that were taken.
        step: u32,
    },
    /// A PNG file.
    Png {
        /// Its content.
        bytes: Vec<u8>,
    },
    /// The request cannot be met.
    Failed(Problem),
}

/// What the page shows of a loaded model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelInfo {
    /// Its name.
    pub name: String,
    /// The file.
    pub file: String,
    /// Its SHA-256.
    pub sha256: String,
    /// Its size.
    pub bytes: u64,
    /// Numbers in it.
    pub parameters: u64,
    /// Width of its images.
    pub width: u32,
    /// Height of its images.
    pub height: u32,
    /// How many classes it knows.
    pub classes: u32,
    /// Names of the classes; may be fewer than there are.
    pub class_names: Vec<String>,
    /// What it was trained on.
    pub data: String,
    /// On how many images.
    pub images: u64,
    /// For how many optimizer steps.
    pub training_steps: u64,
    /// The day, as YYYY-MM-DD.
    pub date: String,
    /// Licence of the weights.
    pub license: String,
    /// Whom to thank.
    pub acknowledgement: String,
    /// Where it runs.
    pub backend: Backend,
}

/// An 8-bit grey picture, row by row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Picture {
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// `width · height` grey values.
    pub pixels: Vec<u8>,
}

impl Picture {
    /// Pixels as a canvas takes them: red, green, blue, opacity.
    pub fn to_rgba(&self) -> Vec<u8> {
        self.pixels.iter().flat_map(|&v| [v, v, v, 255]).collect()
    }
}

impl From<GreyImage> for Picture {
    fn from(image: GreyImage) -> Self {
        Self { width: image.width as u32, height: image.height as u32, pixels: image.pixels }
    }
}

impl From<Picture> for GreyImage {
    fn from(picture: Picture) -> Self {
        Self { width: picture.width as usize, height: picture.height as usize, pixels: picture.pixels }
    }
}

/// Everything that can go wrong; [`text::problem_title`](crate::text::problem_title) says it in words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Problem {
    /// A file of the program itself cannot be fetched.
    WorkerMissing {
        /// The file.
        file: String,
        /// The server's answer; none where there was no answer.
        status: Option<u16>,
    },
    /// The worker does not answer.
    WorkerSilent {
        /// For how long.
        seconds: u32,
    },
    /// The worker ended by a fault.
    WorkerCrashed {
        /// What it last said.
        detail: String,
    },
    /// Page and worker are of two versions of the site.
    VersionMismatch,
    /// The list of weights cannot be used.
    Manifest {
        /// Why.
        detail: String,
    },
    /// A file cannot be fetched: no answer.
    Network {
        /// The file.
        file: String,
        /// The browser's words.
        detail: String,
    },
    /// A file cannot be fetched: the server refuses.
    HttpStatus {
        /// The file.
        file: String,
        /// The server's answer.
        status: u16,
    },
    /// A file is shorter or longer than it must be.
    WrongSize {
        /// The file.
        file: String,
        /// Bytes that it must have.
        expected: u64,
        /// Bytes that came; of a file that is too long, those read before giving up.
        actual: u64,
    },
    /// A file is not the one that the manifest describes.
    WrongHash {
        /// The file.
        file: String,
        /// The hash that it must have.
        expected: String,
        /// The hash that it has.
        actual: String,
    },
    /// A file of weights does not fit this software.
    BadWeights {
        /// The file.
        file: String,
        /// Why.
        detail: String,
    },
    /// WebGPU was asked for, and there is none.
    GpuUnavailable(BackendReason),
    /// The GPU went away.
    GpuLost {
        /// The browser's words.
        detail: String,
    },
    /// The GPU refused a command.
    GpuError {
        /// The browser's words.
        detail: String,
    },
    /// Memory ran out.
    OutOfMemory {
        /// Where, or for what.
        detail: String,
    },
    /// The model gives something that is not a number.
    NotFinite,
    /// The settings do not fit the model.
    Settings {
        /// Which, and what is accepted.
        detail: String,
    },
    /// The picture could not be written.
    Encoding {
        /// Why.
        detail: String,
    },
}

/// What leads on from a [`Problem`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recovery {
    /// Load everything again, from the server.
    Retry,
    /// Go on without the GPU.
    UseCpu,
    /// Load the page again.
    ReloadPage,
    /// Nothing is broken: go on.
    Dismiss,
}

impl Problem {
    /// The kind, for attributes and tests.
    pub fn kind(&self) -> &'static str {
        match self {
            Problem::WorkerMissing { .. } => "worker-missing",
            Problem::WorkerSilent { .. } => "worker-silent",
            Problem::WorkerCrashed { .. } => "worker-crashed",
            Problem::VersionMismatch => "version-mismatch",
            Problem::Manifest { .. } => "manifest",
            Problem::Network { .. } => "network",
            Problem::HttpStatus { .. } => "http-status",
            Problem::WrongSize { .. } => "wrong-size",
            Problem::WrongHash { .. } => "wrong-hash",
            Problem::BadWeights { .. } => "bad-weights",
            Problem::GpuUnavailable(_) => "gpu-unavailable",
            Problem::GpuLost { .. } => "gpu-lost",
            Problem::GpuError { .. } => "gpu-error",
            Problem::OutOfMemory { .. } => "out-of-memory",
            Problem::NotFinite => "not-finite",
            Problem::Settings { .. } => "settings",
            Problem::Encoding { .. } => "encoding",
        }
    }

    /// What leads on.
    pub fn recovery(&self) -> Recovery {
        match self {
            Problem::GpuUnavailable(_) => Recovery::UseCpu,
            Problem::VersionMismatch => Recovery::ReloadPage,
            Problem::Settings { .. } | Problem::Encoding { .. } => Recovery::Dismiss,
            _ => Recovery::Retry,
        }
    }

    /// Whether a GPU may be to blame, so that the CPU is worth a try.
    pub fn may_be_the_gpu(&self) -> bool {
        matches!(
            self,
            Problem::GpuLost { .. }
                | Problem::GpuError { .. }
                | Problem::OutOfMemory { .. }
                | Problem::NotFinite
                | Problem::WorkerCrashed { .. }
                | Problem::WorkerSilent { .. }
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_names_a_backend() {
        assert_eq!(BackendWish::from_address(Some("cpu")), BackendWish::Cpu);
        assert_eq!(BackendWish::from_address(Some("webgpu")), BackendWish::WebGpu);
        assert_eq!(BackendWish::from_address(Some("quantum")), BackendWish::Auto);
        assert_eq!(BackendWish::from_address(None), BackendWish::Auto);
    }

    #[test]
    fn pictures_become_opaque_grey() {
        let picture = Picture { width: 2, height: 1, pixels: vec![0, 200] };
        assert_eq!(picture.to_rgba(), [0, 0, 0, 255, 200, 200, 200, 255]);
        assert_eq!(Picture::from(GreyImage::from(picture.clone())), picture);
    }
}
