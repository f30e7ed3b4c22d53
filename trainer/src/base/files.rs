//! Files that are written completely or not at all, and the two files of a model.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use burn::tensor::backend::Backend;
use vdm::config::{ModelConfig, SamplingConfig};
use vdm::model::{Networks, Vdm};
use vdm::weights::{self, Header, Part, Precision, Provenance};

/// The start of the name of a file that is not complete.
pub const PARTIAL: &str = ".partial-";

/// Writes a file under another name and renames it, so that a reader sees all of it or nothing.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> Result<()> {
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let write = || -> std::io::Result<()> {
        fs::create_dir_all(parent)?;
        let mut file = tempfile::Builder::new().prefix(PARTIAL).tempfile_in(parent)?;
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        set_usual_permissions(file.as_file())?;
        file.persist(path)?;
        Ok(())
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}

/// A temporary file is private to its owner; what is left for others to read is not.
#[cfg(unix)]
fn set_usual_permissions(file: &fs::File) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    file.set_permissions(fs::Permissions::from_mode(0o644))
}

#[cfg(not(unix))]
fn set_usual_permissions(_file: &fs::File) -> std::io::Result<()> {
    Ok(())
}

/// `paper.safetensors` → `paper-encoder.safetensors`.
pub fn encoder_path(weights: &Path) -> PathBuf {
    let stem = weights.file_stem().unwrap_or_default().to_string_lossy();
    weights.with_file_name(format!("{stem}-encoder.safetensors"))
}

/// A model read from its files.
pub struct LoadedModel<B: Backend> {
    /// The metadata of the sampling file.
    pub header: Header,
    /// The SHA-256 of the sampling file.
    pub sha256: String,
    /// The model.
    pub model: Vdm<B>,
}

/// Whether the encoder's file is read too.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum WithEncoder {
    /// It is not needed.
    No,
    /// It must be there.
    Yes,
}

/// Reads a sampling file, and on request the encoder's file beside it.
pub fn load_model<B: Backend>(path: &Path, encoder: WithEncoder, device: &B::Device) -> Result<LoadedModel<B>> {
    let bytes = read(path)?;
    let cannot_use = |path: &Path| format!("cannot use {}", path.display());
    let (header, mut networks): (_, Networks<B>) =
        weights::load(&bytes, device).with_context(|| match weights::read_header(&bytes) {
            Ok(Header { part: Part::Encoder, .. }) => {
                format!("{} (pass the file without `-encoder` in its name)", cannot_use(path))
            }
            _ => cannot_use(path),
        })?;
    let sha256 = weights::sha256_hex(&bytes);
    if encoder == WithEncoder::Yes {
        let path = encoder_path(path);
        if !path.exists() {
            bail!("the encoder's file {} is missing: the ELBO cannot be measured without it", path.display());
        }
        let bytes = read(&path)?;
        networks.encoder = Some(weights::load_encoder(&bytes, &sha256, device).with_context(|| cannot_use(&path))?);
    }
    let model = block_on(Vdm::new(header.config.clone(), header.sampling, networks))?;
    Ok(LoadedModel { header, sha256, model })
}

/// Writes a model's two files: the encoder's first, so that a sampling file always finds its own beside it.
pub fn write_model<B: Backend>(
    path: &Path,
    networks: &Networks<B>,
    config: &ModelConfig,
    sampling: &SamplingConfig,
    provenance: &Provenance,
    precision: Precision,
) -> Result<()> {
    let bytes = weights::save(networks, config, sampling, provenance, precision)?;
    if let Some(encoder) = &networks.encoder {
        let hash = weights::sha256_hex(&bytes);
        let encoder = weights::save_encoder(encoder, config, provenance, &hash, precision)?;
        write_atomic(&encoder_path(path), &encoder)?;
    }
    write_atomic(path, &bytes)
}

/// Reads a file; the error names it.
pub fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

/// Waits for a future: native devices are read without an event loop.
pub fn block_on<F: Future>(future: F) -> F::Output {
    pollster::block_on(future)
}

/// Writes to standard output. A reader that closes it early, such as `head`, is not an error.
pub fn print(bytes: &[u8]) -> Result<()> {
    match std::io::stdout().write_all(bytes) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(error).context("cannot write to the output")
        }
        _ => Ok(()),
    }
}
