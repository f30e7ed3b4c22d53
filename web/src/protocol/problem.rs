//! What can go wrong, and what leads on.

use serde::{Deserialize, Serialize};

use super::model::BackendReason;

/// Everything that can go wrong; `text::messages` puts it into words.
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
    /// The model's encoder is needed, and there is none.
    NoEncoder,
    /// A picture of the user's cannot be read.
    BadPicture {
        /// The file.
        file: String,
    },
    /// A file of the user's is too large.
    TooLarge {
        /// The file.
        file: String,
        /// Its size.
        bytes: u64,
        /// The maximum.
        max: u64,
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
            Problem::NoEncoder => "no-encoder",
            Problem::BadPicture { .. } => "bad-picture",
            Problem::TooLarge { .. } => "too-large",
        }
    }

    /// What leads on.
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
