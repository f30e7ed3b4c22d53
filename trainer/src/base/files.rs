//! Files that are written completely or not at all, and the two files of a model.

use std::fmt::Display;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use burn::tensor::backend::Backend;
use vdm::config::{ModelConfig, SamplingConfig};
use vdm::model::{Networks, Vdm};
use vdm::weights::{self, Header, Part, Precision, Provenance};

use super::disk;
pub use super::disk::PARTIAL;

/// Writes a file under another name and renames it, so that a reader sees all of it or nothing.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> Result<()> {
    let write = || -> std::io::Result<()> {
        let folder = folder_of(path);
        fs::create_dir_all(folder)?;
        disk::rename(&disk::write_partial(folder, bytes)?, path)
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
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
    if encoder == WithEncoder::Yes && networks.encoder.is_none() {
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

/// The bytes of a model's files: the sampling file, and that of a learned encoder, which names the other's hash.
pub fn model_bytes<B: Backend>(
    networks: &Networks<B>,
    config: &ModelConfig,
    sampling: &SamplingConfig,
    provenance: &Provenance,
    precision: Precision,
) -> Result<(Vec<u8>, Option<Vec<u8>>)> {
    let bytes = weights::save(networks, config, sampling, provenance, precision)?;
    let of = |encoder| weights::save_encoder(encoder, config, provenance, &weights::sha256_hex(&bytes), precision);
    let learned = networks.encoder.as_ref().filter(|_| config.latent.is_some());
    let encoder = learned.map(of).transpose()?;
    Ok((bytes, encoder))
}

/// Writes a model's files. At no moment has either the other one of another model beside it.
pub fn write_model<B: Backend>(
    path: &Path,
    networks: &Networks<B>,
    config: &ModelConfig,
    sampling: &SamplingConfig,
    provenance: &Provenance,
    precision: Precision,
) -> Result<()> {
    let (bytes, encoder) = model_bytes(networks, config, sampling, provenance, precision)?;
    match encoder {
        Some(encoder) => write_pair(path, &bytes, &encoder),
        None => write_atomic(path, &bytes),
    }
}

/// Between the two renames the weights have no encoder.
fn write_pair(path: &Path, bytes: &[u8], encoder: &[u8]) -> Result<()> {
    let write = || -> std::io::Result<()> {
        let folder = folder_of(path);
        fs::create_dir_all(folder)?;
        let weights = disk::write_partial(folder, bytes)?;
        let encoder = disk::write_partial(folder, encoder).inspect_err(|_| drop(disk::remove_file(&weights)))?;
        disk::remove_file(&encoder_path(path))?;
        disk::rename(&weights, path)?;
        disk::rename(&encoder, &encoder_path(path))?;
        disk::sync_folder(folder)
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}

/// Reads a file; the error names it.
pub fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

/// Waits for a future: native devices are read without an event loop.
pub fn block_on<F: Future>(future: F) -> F::Output {
    pollster::block_on(future)
}

/// Prints a line to standard error, where a run goes on whose terminal is closed: `eprintln` would panic.
pub fn say(text: impl Display) {
    let _ = writeln!(std::io::stderr(), "{text}");
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

#[cfg(test)]
mod tests {
    use super::super::disk::kill;
    use super::*;

    #[test]
    fn a_kill_never_leaves_two_files_of_different_models() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("quick.safetensors");
        let pair = |model: u8| write_pair(&path, &[model; 9], &[model; 5]);
        for operations in 0.. {
            pair(1).expect("writes");
            let (_, whole) = kill::after(operations, || pair(2));
            let (weights, encoder) = (fs::read(&path).expect("weights"), fs::read(encoder_path(&path)));
            assert!(weights == [1; 9] || weights == [2; 9]);
            assert!(encoder.is_err() || encoder.is_ok_and(|encoder| encoder[0] == weights[0]), "after {operations}");
            if whole {
                return assert_eq!(weights, [2; 9]);
            }
        }
    }
}
