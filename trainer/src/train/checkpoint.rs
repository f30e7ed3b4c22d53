//! Checkpoints: a folder of weights, optimizer state and position, renamed into place when it is whole.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use burn::module::AutodiffModule;
use burn::record::{FullPrecisionSettings, NamedMpkBytesRecorder, Recorder};
use burn::tensor::backend::{AutodiffBackend, Backend};
use serde::{Deserialize, Serialize};
use vdm::config::{ModelConfig, SamplingConfig};
use vdm::model::Networks;
use vdm::weights::{self, Precision, Provenance};

use super::ema::{Ema, name as ema_name};
use super::optimizer::NetworksOptimizer;
use crate::base::files;

/// Where a run stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrainerState {
    /// Optimizer steps taken.
    pub step: u64,
    /// The best validation so far.
    pub best: Option<Best>,
    /// Seconds trained, over all sessions.
    pub seconds: f64,
    /// Times that the run stepped back from a loss that was no finite number.
    pub retries: u64,
    /// What the loss is multiplied by before its gradient is taken, for float16.
    pub loss_scale: f64,
    /// Steps since float16 last overflowed.
    pub good_steps: u64,
}

impl Default for TrainerState {
    fn default() -> Self {
        Self { step: 0, best: None, seconds: 0.0, retries: 0, loss_scale: 1.0, good_steps: 0 }
    }
}

/// The best validation of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Best {
    /// Its step.
    pub step: u64,
    /// What was measured: the weights, or an average of them.
    pub series: String,
    /// Its weighted objective, in nats.
    pub objective: f64,
}

/// What a checkpoint holds.
pub struct Checkpoint<B: AutodiffBackend> {
    /// Where the run stands.
    pub trainer: TrainerState,
    /// The networks with their encoder.
    pub networks: Networks<B>,
    /// Their emas.
    pub emas: Vec<Ema<B::InnerBackend>>,
    /// The optimizer with its moments.
    pub optimizer: NetworksOptimizer<B>,
}

const LATEST: &str = "checkpoint";
/// What the name of a checkpoint starts with until it is whole.
const FRESH: &str = ".checkpoint-";
const PREVIOUS: &str = "checkpoint-previous";

type OptimizerRecorder = NamedMpkBytesRecorder<FullPrecisionSettings>;

/// Writes the checkpoint of a run. Until it is whole, the one before it stays.
pub fn save<B: AutodiffBackend>(
    folder: &Path,
    config: &ModelConfig,
    sampling: &SamplingConfig,
    provenance: &Provenance,
    checkpoint: &Checkpoint<B>,
) -> Result<()> {
    let write = || -> Result<()> {
        let fresh = tempfile::Builder::new().prefix(FRESH).tempdir_in(folder)?;
        let model = |name: &str| fresh.path().join(format!("{name}.safetensors"));
        let networks = checkpoint.networks.valid();
        files::write_model(&model("model"), &networks, config, sampling, provenance, Precision::F32)?;
        for average in &checkpoint.emas {
            files::write_model(
                &model(&average.name()),
                &average.networks,
                config,
                sampling,
                provenance,
                Precision::F32,
            )?;
        }
        let record = OptimizerRecorder::default()
            .record(checkpoint.optimizer.to_record(), ())
            .map_err(|error| anyhow!("{error}"))?;
        files::write_atomic(&fresh.path().join("optimizer.mpk"), &record)?;
        files::write_atomic(&fresh.path().join("position.json"), &serde_json::to_vec_pretty(&checkpoint.trainer)?)?;

        let (latest, previous) = (folder.join(LATEST), folder.join(PREVIOUS));
        remove(&previous)?;
        if latest.exists() {
            fs::rename(&latest, &previous)?;
        }
        fs::rename(fresh.keep(), &latest)?;
        remove(&previous)
    };
    write().with_context(|| format!("cannot write a checkpoint to {}", folder.display()))
}

fn remove(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}

/// Keeps the checkpoint that was just saved beside those that follow.
pub fn keep(folder: &Path, step: u64) -> Result<()> {
    let keep = || -> Result<()> {
        let kept = folder.join(format!("checkpoint-step-{step:08}"));
        let fresh = tempfile::Builder::new().prefix(FRESH).tempdir_in(folder)?;
        for entry in fs::read_dir(folder.join(LATEST))? {
            let entry = entry?;
            let to = fresh.path().join(entry.file_name());
            // The files of a checkpoint are never changed, only replaced, so that two names may share one.
            if fs::hard_link(entry.path(), &to).is_err() {
                fs::copy(entry.path(), &to)?;
            }
        }
        remove(&kept)?;
        Ok(fs::rename(fresh.keep(), &kept)?)
    };
    keep().with_context(|| format!("cannot keep the checkpoint of step {step} in {}", folder.display()))
}

/// Removes what a process left half-written when it was killed.
pub fn clear_leftovers(folder: &Path) -> Result<()> {
    let clear = || -> Result<()> {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if name.starts_with(FRESH) {
                remove(&entry.path())?;
            } else if name.starts_with(files::PARTIAL) {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    };
    clear().with_context(|| format!("cannot clear {}", folder.display()))
}

/// Reads the checkpoint of a run, if it has one.
pub fn load<B: AutodiffBackend>(
    folder: &Path,
    half_lives: &[u64],
    optimizer: NetworksOptimizer<B>,
    device: &B::Device,
) -> Result<Option<Checkpoint<B>>> {
    // A stop between the two renames leaves the previous one alone in place.
    let Some(folder) = [LATEST, PREVIOUS].map(|name| folder.join(name)).into_iter().find(|f| f.exists()) else {
        return Ok(None);
    };
    let read = || -> Result<Checkpoint<B>> {
        let trainer = serde_json::from_slice(&files::read(&folder.join("position.json"))?)?;
        let model = |name: &str| folder.join(format!("{name}.safetensors"));
        let networks = read_model(&model("model"), device)?;
        let emas = half_lives
            .iter()
            .map(|&half_life| {
                let networks = read_model(&model(&ema_name(half_life)), device)?;
                Ok(Ema { half_life, networks })
            })
            .collect::<Result<_>>()?;
        let record = OptimizerRecorder::default()
            .load(files::read(&folder.join("optimizer.mpk"))?, device)
            .map_err(|error| anyhow!("{error}"))?;
        Ok(Checkpoint { trainer, networks, emas, optimizer: optimizer.load_record(record) })
    };
    read().map(Some).with_context(|| format!("the checkpoint {} is damaged, or another version's", folder.display()))
}

fn read_model<B: Backend>(path: &Path, device: &B::Device) -> Result<Networks<B>> {
    let bytes = files::read(path)?;
    let (_, mut networks) = weights::load(&bytes, device)?;
    let encoder = files::read(&files::encoder_path(path))?;
    networks.encoder = Some(weights::load_encoder(&encoder, &weights::sha256_hex(&bytes), device)?);
    Ok(networks)
}

/// Where a run's finished weights go.
pub fn weights_path(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}.safetensors"))
}
