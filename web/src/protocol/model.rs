//! Where weights come from, what the page knows of a loaded model, and where it runs.

use serde::{Deserialize, Serialize};
use vdm::config::ModelConfig;
use vdm::diffusion::schedule::NoiseSchedule;
use vdm::weights::Provenance;

use crate::manifest::SHORTEST_HASH;

/// The backend to use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum BackendPreference {
    /// WebGPU if it works, else the CPU.
    #[default]
    Auto,
    /// The CPU, because the address or the user says so.
    Cpu,
    /// WebGPU or an error, because the address says so.
    WebGpu,
    /// The CPU, because the GPU failed before.
    CpuAfterGpuFailure,
}

impl BackendPreference {
    /// The preference in an address: `?backend=cpu` or `?backend=webgpu`; all else is [`Auto`](Self::Auto).
    pub fn from_address(value: Option<&str>) -> Self {
        match value {
            Some("cpu") => BackendPreference::Cpu,
            Some("webgpu") => BackendPreference::WebGpu,
            _ => BackendPreference::Auto,
        }
    }
}

/// Where the model runs, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backend {
    /// Where it runs.
    pub kind: BackendKind,
    /// Why it was chosen.
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
#[expect(missing_docs, reason = "the fields' names say what they are")]
pub enum BackendReason {
    /// WebGPU works. `adapter` is its name, which may be empty.
    GpuFound { adapter: String },
    /// The address or the user chose it.
    Requested,
    /// The browser has no WebGPU.
    NoWebGpu,
    /// The browser has WebGPU, and no adapter for it.
    NoAdapter,
    /// The adapter has no `timestamp-query`, which the GPU library needs.
    NoTimestampQuery,
    /// The GPU is emulated in software, which is slower than the CPU. `adapter` is its name.
    SoftwareGpu { adapter: String },
    /// The browser failed to answer.
    ProbeFailed { detail: String },
    /// The GPU failed before.
    GpuFailed,
}

/// A loaded model, as the page shows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelInfo {
    /// The name of the file.
    pub file: String,
    /// Its SHA-256.
    pub sha256: String,
    /// Its size in bytes.
    pub bytes: u64,
    /// The number of parameters in it.
    pub parameters: u64,
    /// The configuration in the file.
    pub config: ModelConfig,
    /// The provenance in the file.
    pub provenance: Provenance,
    /// γ(t), as numbers.
    pub schedule: NoiseSchedule,
    /// Whether an encoder is there or can be fetched.
    pub has_encoder: bool,
    /// Whether the file came from the browser's store.
    pub from_store: bool,
    /// Whether the file is in the browser's store now.
    pub kept: bool,
    /// The backend it runs on.
    pub backend: Backend,
}

impl ModelInfo {
    /// The number of classes.
    pub fn classes(&self) -> u32 {
        self.config.classes().count() as u32
    }

    /// Whether a link's hash, of which the start is enough, is that of these weights.
    pub fn has_hash(&self, hash: &str) -> bool {
        hash.len() >= SHORTEST_HASH && self.sha256.starts_with(hash)
    }
}

/// Where weights come from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// Files to fetch now: a sampling file, and the encoder's where the user gives both.
    pub files: Vec<FileRequest>,
    /// The encoder, which is fetched when a task needs it.
    pub encoder: Option<FileRequest>,
}

/// A file of weights.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileRequest {
    /// The complete address.
    pub url: String,
    /// Its name, for messages.
    pub name: String,
    /// The size that it must have.
    pub bytes: u64,
    /// The SHA-256 that it must have, in lower-case hexadecimal; none for a user's own file.
    pub sha256: Option<String>,
    /// Bypass the browser's cache, whose copy may be damaged.
    pub fresh: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_names_a_backend() {
        assert_eq!(BackendPreference::from_address(Some("cpu")), BackendPreference::Cpu);
        assert_eq!(BackendPreference::from_address(Some("webgpu")), BackendPreference::WebGpu);
        assert_eq!(BackendPreference::from_address(Some("quantum")), BackendPreference::Auto);
        assert_eq!(BackendPreference::from_address(None), BackendPreference::Auto);
    }
}
