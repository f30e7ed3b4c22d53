//! What can go wrong, and how to recover.

use serde::{Deserialize, Serialize};
use strum::IntoStaticStr;

use super::model::BackendReason;

/// Everything that can go wrong; `text::messages` puts it into words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, IntoStaticStr)]
#[strum(serialize_all = "kebab-case")]
#[expect(missing_docs, reason = "the fields' names say what they are")]
pub enum Problem {
    /// A file of the program itself cannot be fetched. `status` is the server's answer, if there was one.
    WorkerMissing { file: String, status: Option<u16> },
    /// A file of the program itself is cut or damaged, or of the wrong media type, which `media_type` names.
    WorkerBroken { file: String, media_type: Option<String> },
    /// The worker does not answer.
    WorkerSilent { seconds: u32 },
    /// The worker crashed.
    WorkerCrashed { detail: String },
    /// Page and worker are of two versions of the site.
    VersionMismatch,
    /// The list of weights cannot be used.
    Manifest { detail: String },
    /// A file cannot be fetched: there is no answer.
    Network { file: String, detail: String },
    /// A file cannot be fetched: the server refuses.
    HttpStatus { file: String, status: u16 },
    /// A file is shorter or longer than it must be. Of a file that is too long, `actual` counts the bytes read.
    WrongSize { file: String, expected: u64, actual: u64 },
    /// A file is not the one that the manifest describes.
    WrongHash { file: String, expected: String, actual: String },
    /// A file of weights does not fit this software.
    BadWeights { file: String, detail: String },
    /// WebGPU is required and missing.
    GpuUnavailable(BackendReason),
    /// The GPU went away.
    GpuLost { detail: String },
    /// The GPU refused a command.
    GpuError { detail: String },
    /// The GPU does not answer.
    GpuSilent { seconds: u32 },
    /// All pixels of a picture from the GPU are the same.
    GpuFlat,
    /// Memory ran out.
    OutOfMemory { detail: String },
    /// A value of the model is not finite.
    NotFinite,
    /// The settings do not fit the model. `detail` names them and what is accepted.
    Settings { detail: String },
    /// The picture could not be written.
    Encoding { detail: String },
    /// The model's encoder is needed, and there is none.
    NoEncoder,
    /// A picture of the user's cannot be read.
    BadPicture { file: String },
    /// A file of the user's is too large.
    TooLarge { file: String, bytes: u64, max: u64 },
}

/// How to recover from a [`Problem`].
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
    /// Whether a server with this answer is worth asking again: it has the file, and is busy.
    pub fn is_busy(status: u16) -> bool {
        matches!(status, 429 | 502 | 503 | 504)
    }

    /// The kind, for attributes and tests: `not-finite`.
    pub fn kind(&self) -> &'static str {
        self.into()
    }

    /// How to recover.
    pub fn recovery(&self) -> Recovery {
        match self {
            Problem::GpuUnavailable(_) => Recovery::UseCpu,
            Problem::VersionMismatch => Recovery::ReloadPage,
            Problem::Settings { .. }
            | Problem::Encoding { .. }
            | Problem::NoEncoder
            | Problem::BadPicture { .. }
            | Problem::TooLarge { .. } => Recovery::Dismiss,
            _ => Recovery::Retry,
        }
    }

    /// Whether the GPU may be the cause, so that the CPU is worth a try.
    pub fn may_be_the_gpu(&self) -> bool {
        matches!(
            self,
            Problem::GpuLost { .. }
                | Problem::GpuError { .. }
                | Problem::GpuSilent { .. }
                | Problem::GpuFlat
                | Problem::OutOfMemory { .. }
                | Problem::NotFinite
                | Problem::WorkerCrashed { .. }
                | Problem::WorkerSilent { .. }
        )
    }
}
