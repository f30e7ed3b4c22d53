//! Where weights come from, what the page knows of a loaded model, and where it runs.

use serde::{Deserialize, Serialize};
use vdm::config::ModelConfig;
use vdm::diffusion::schedule::NoiseSchedule;
use vdm::weights::Provenance;

/// Which backend is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum BackendPreference {
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

impl BackendPreference {
    /// The preference in an address: `?backend=cpu`, `?backend=webgpu`, all else is [`Auto`](Self::Auto).
    pub fn from_address(value: Option<&str>) -> Self {
        match value {
            Some("cpu") => BackendPreference::Cpu,
            Some("webgpu") => BackendPreference::WebGpu,
            _ => BackendPreference::Auto,
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
    Requested,
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

/// What the page shows of a loaded model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelInfo {
    /// The file.
    pub file: String,
    /// Its SHA-256.
    pub sha256: String,
    /// Its size.
    pub bytes: u64,
    /// Numbers in it.
    pub parameters: u64,
    /// The sizes of the networks, as the file has them.
    pub config: ModelConfig,
    /// Where it comes from, as the file says.
    pub provenance: Provenance,
    /// γ(t), as numbers.
    pub schedule: NoiseSchedule,
    /// Whether an encoder is there or can be fetched.
    pub has_encoder: bool,
    /// Whether the file came from the browser's own store.
    pub from_store: bool,
    /// Where it runs.
    pub backend: Backend,
}

impl ModelInfo {
    /// How many classes it knows.
    pub fn classes(&self) -> u32 {
        self.config.classes as u32
    }

    /// Whether a link's hash, which may be shortened to its start, names these weights.
    pub fn has_hash(&self, hash: &str) -> bool {
        hash.len() >= SHORTEST_HASH && self.sha256.starts_with(hash)
    }
}

/// So many digits of a hash tell weights apart.
const SHORTEST_HASH: usize = 8;

/// Where weights come from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// Files to fetch now: a sampling file, perhaps its encoder's; or an encoder's file for the weights that are loaded.
    pub files: Vec<FileRequest>,
    /// The encoder, to be fetched when something needs it.
    pub encoder: Option<FileRequest>,
}

/// A file of weights.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileRequest {
    /// The whole address.
    pub url: String,
    /// Its name, for messages.
    pub name: String,
    /// The size that it must have.
    pub bytes: u64,
    /// The SHA-256 that it must have, in lower-case hexadecimal; none for a user's own file.
    pub sha256: Option<String>,
    /// Ask the server even where the browser has kept a copy: the copy may be what was wrong.
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
