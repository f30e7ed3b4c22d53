//! Checkpoints: a folder of weights, optimizer moments and trainer state, renamed into place when it is complete.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use burn::module::AutodiffModule;
use burn::record::{FullPrecisionSettings, NamedMpkBytesRecorder, Recorder};
use burn::tensor::backend::{AutodiffBackend, Backend};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use vdm::config::{ModelConfig, SamplingConfig};
use vdm::model::Networks;
use vdm::weights::{self, Precision, Provenance};

use super::ema::{Ema, name as ema_name};
use super::optimizer::NetworksOptimizer;
use crate::base::files;
use crate::run::log::nan_from_null;

/// What a run is resumed from, besides networks and optimizer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrainerState {
    /// Optimizer steps taken.
    pub step: u64,
    /// The best validation so far.
    pub best: Option<Best>,
    /// Seconds trained, over all sessions.
    pub seconds: f64,
    /// Rollbacks so far.
    pub retries: u64,
    /// What the loss is multiplied by before its gradient is taken, for float16.
    pub loss_scale: f64,
    /// Steps since float16 last overflowed.
    pub good_steps: u64,
    /// What an interrupt left undone after the last step.
    #[serde(default)]
    pub due: Due,
}

/// What is due after a step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Due {
    /// A validation.
    pub validation: bool,
    /// A grid of samples.
    pub samples: bool,
}

impl Default for TrainerState {
    fn default() -> Self {
        Self { step: 0, best: None, seconds: 0.0, retries: 0, loss_scale: 1.0, good_steps: 0, due: Due::default() }
    }
}

impl TrainerState {
    /// Whether an objective is better than the best so far. One that is not finite never is.
    pub fn improves(&self, objective: f64) -> bool {
        objective.is_finite() && self.best.as_ref().is_none_or(|best| objective < best.objective)
    }
}

/// The best validation of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Best {
    /// Its step.
    pub step: u64,
    /// What was measured: `weights`, or an average of them.
    pub series: String,
    /// The training objective, in bits per dimension.
    #[serde(deserialize_with = "nan_from_null")]
    pub objective: f64,
}

/// What a checkpoint holds.
pub struct Checkpoint<B: AutodiffBackend> {
    /// The step, and what else a run is resumed from.
    pub trainer: TrainerState,
    /// The networks with their encoder.
    pub networks: Networks<B>,
    /// Their emas.
    pub emas: Vec<Ema<B::InnerBackend>>,
    /// The optimizer with its moments.
    pub optimizer: NetworksOptimizer<B>,
}

const LATEST: &str = "checkpoint";
const PREVIOUS: &str = "checkpoint-previous";
/// The start of the name of a checkpoint that is not complete.
const FRESH: &str = ".checkpoint-";
const TRAINER_STATE: &str = "trainer_state.json";
/// The name of [`TRAINER_STATE`] in older checkpoints.
const OLD_TRAINER_STATE: &str = "position.json";

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
        let write = |name: &str, networks: &Networks<_>| {
            files::write_model(&model(name), networks, config, sampling, provenance, Precision::F32)
        };
        write("model", &networks)?;
        for ema in &checkpoint.emas {
            write(&ema.name(), &ema.networks)?;
        }
        let record = OptimizerRecorder::default()
            .record(checkpoint.optimizer.to_record(), ())
            .map_err(|error| anyhow!("{error}"))?;
        files::write_atomic(&fresh.path().join("optimizer.mpk"), &record)?;
        files::write_atomic(&fresh.path().join(TRAINER_STATE), &serde_json::to_vec_pretty(&checkpoint.trainer)?)?;

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

/// Keeps a copy of the checkpoint that was just saved, which later ones do not replace.
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

/// Removes what a killed process left incomplete.
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
///
/// # Errors
/// A configuration that the checkpoint was not trained with; a checkpoint that is damaged.
pub fn load<B: AutodiffBackend>(
    folder: &Path,
    config: &ModelConfig,
    half_lives: &[u64],
    optimizer: NetworksOptimizer<B>,
    device: &B::Device,
) -> Result<Option<Checkpoint<B>>> {
    // A stop between the two renames of `save` leaves only the previous one in place.
    let Some(folder) = [LATEST, PREVIOUS].map(|name| folder.join(name)).into_iter().find(|f| f.exists()) else {
        return Ok(None);
    };
    let damaged = || format!("the checkpoint {} is damaged, or another version's", folder.display());
    let model = |name: &str| folder.join(format!("{name}.safetensors"));
    let header = files::read(&model("model")).and_then(|bytes| Ok(weights::read_header(&bytes)?));
    let header = header.with_context(damaged)?;
    // Before its tensors are read: a wrong shape would be a panic.
    if let Some((field, ours, theirs)) = difference(config, &header.config)? {
        bail!(
            "model.{field} is {ours}, but the checkpoint {} was trained with {theirs}: set it to that in run.toml, or \
             start a new run",
            folder.display()
        );
    }
    let read = || -> Result<Checkpoint<B>> {
        let state = [TRAINER_STATE, OLD_TRAINER_STATE].map(|name| folder.join(name));
        let state = state.iter().find(|path| path.exists()).unwrap_or(&state[0]);
        let mut trainer: TrainerState = serde_json::from_slice(&files::read(state)?)?;
        // Older versions kept a validation that is not finite.
        trainer.best = trainer.best.filter(|best| best.objective.is_finite());
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
    read().map(Some).with_context(damaged)
}

/// The first field in which two configurations differ, with both values.
fn difference(ours: &ModelConfig, theirs: &ModelConfig) -> Result<Option<(String, Value, Value)>> {
    fn first(path: &str, ours: &Value, theirs: &Value) -> Option<(String, Value, Value)> {
        match (ours, theirs) {
            (Value::Object(ours), Value::Object(theirs)) if ours.keys().eq(theirs.keys()) => {
                let dot = if path.is_empty() { "" } else { "." };
                ours.iter().find_map(|(key, value)| first(&format!("{path}{dot}{key}"), value, &theirs[key]))
            }
            _ => (ours != theirs).then(|| (path.to_owned(), ours.clone(), theirs.clone())),
        }
    }
    // Ours was read from TOML. Written and read as JSON, as theirs was, it is rounded in the same way.
    let ours: Value = serde_json::from_slice(&serde_json::to_vec(ours)?)?;
    Ok(first("", &ours, &serde_json::to_value(theirs)?))
}

fn read_model<B: Backend>(path: &Path, device: &B::Device) -> Result<Networks<B>> {
    let bytes = files::read(path)?;
    let (_, mut networks) = weights::load(&bytes, device)?;
    let encoder = files::read(&files::encoder_path(path))?;
    networks.encoder = Some(weights::load_encoder(&encoder, &weights::sha256_hex(&bytes), device)?);
    Ok(networks)
}

/// The path of a run's final weights.
pub fn weights_path(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}.safetensors"))
}

#[cfg(test)]
mod tests {
    use burn::optim::GradientsParams;
    use burn::tensor::Tensor;
    use vdm::config::TrainingConfig;

    use super::super::fixture::{self, Cpu, bits};
    use super::*;

    /// A checkpoint whose optimizer has moments.
    fn checkpoint(config: &ModelConfig, training: &TrainingConfig) -> Checkpoint<Cpu> {
        let networks = Networks::<Cpu>::new(config, 0, &Default::default()).expect("builds");
        let emas = vec![Ema { half_life: 10, networks: networks.valid() }];
        let mut optimizer = NetworksOptimizer::new(training);
        let networks = stepped(&mut optimizer, networks);
        let best = Some(Best { step: 2, series: "weights".to_owned(), objective: 1.25 });
        let trainer = TrainerState { step: 3, best, seconds: 1.5, ..TrainerState::default() };
        Checkpoint { trainer, networks, emas, optimizer }
    }

    /// A step on the sum of squares of what a decoder gives.
    fn stepped(optimizer: &mut NetworksOptimizer<Cpu>, networks: Networks<Cpu>) -> Networks<Cpu> {
        let f = Tensor::ones([1, 4], &Default::default());
        let gradients = networks.decoder.forward(f).square().sum().backward();
        let gradients = GradientsParams::from_grads(gradients, &networks);
        optimizer.step(0.01, networks, gradients)
    }

    /// A folder with a checkpoint, and how to read it.
    struct Saved {
        folder: tempfile::TempDir,
        config: ModelConfig,
        training: TrainingConfig,
        checkpoint: Checkpoint<Cpu>,
    }

    impl Saved {
        fn new() -> Self {
            let settings = fixture::settings();
            let (config, training) = (settings.model, settings.training);
            let folder = tempfile::tempdir().expect("a folder");
            let checkpoint = checkpoint(&config, &training);
            let saved = Self { folder, config, training, checkpoint };
            saved.save(&saved.checkpoint);
            saved
        }

        fn save(&self, checkpoint: &Checkpoint<Cpu>) {
            let (folder, sampling) = (self.folder.path(), SamplingConfig::default());
            save(folder, &self.config, &sampling, &Provenance::default(), checkpoint).expect("saves");
        }

        fn load(&self) -> Result<Option<Checkpoint<Cpu>>> {
            let optimizer = NetworksOptimizer::new(&self.training);
            load(self.folder.path(), &self.config, &self.training.ema_half_lives, optimizer, &Default::default())
        }

        fn loaded(&self) -> Checkpoint<Cpu> {
            self.load().expect("loads").expect("there is one")
        }

        fn edit_state(&self, name: &str, edit: impl FnOnce(&mut Value)) {
            let state = self.folder.path().join(LATEST).join(TRAINER_STATE);
            let mut value = serde_json::from_slice(&files::read(&state).expect("reads")).expect("JSON");
            edit(&mut value);
            fs::remove_file(&state).expect("removes");
            fs::write(state.with_file_name(name), value.to_string()).expect("writes");
        }
    }

    #[test]
    fn a_checkpoint_is_read_as_it_was_written() {
        let mut saved = Saved::new();
        let mut loaded = saved.loaded();
        assert_eq!(loaded.trainer, saved.checkpoint.trainer);
        assert_eq!(bits(&loaded.networks), bits(&saved.checkpoint.networks));
        assert_eq!(loaded.emas.len(), 1);
        assert_eq!(loaded.emas[0].half_life, 10);
        assert_eq!(bits(&loaded.emas[0].networks), bits(&saved.checkpoint.emas[0].networks));
        // Equal moments, equal next steps.
        let next = bits(&stepped(&mut saved.checkpoint.optimizer, saved.checkpoint.networks.clone()));
        assert_eq!(next, bits(&stepped(&mut loaded.optimizer, loaded.networks)));
        let mut fresh = NetworksOptimizer::new(&saved.training);
        assert_ne!(next, bits(&stepped(&mut fresh, saved.checkpoint.networks)), "the moments matter");
    }

    #[test]
    fn a_kill_between_the_two_renames_leaves_the_previous_checkpoint() {
        let saved = Saved::new();
        let path = |name: &str| saved.folder.path().join(name);
        fs::rename(path(LATEST), path(PREVIOUS)).expect("renames");
        fs::create_dir(path(".checkpoint-next")).expect("a folder");
        assert_eq!(saved.loaded().trainer, saved.checkpoint.trainer);
        clear_leftovers(saved.folder.path()).expect("clears");
        assert!(!path(".checkpoint-next").exists());
        let later = TrainerState { step: 4, ..saved.checkpoint.trainer.clone() };
        let later = Checkpoint { trainer: later, ..checkpoint(&saved.config, &saved.training) };
        saved.save(&later);
        assert_eq!(saved.loaded().trainer.step, 4);
        assert!(!path(PREVIOUS).exists());
    }

    #[test]
    fn a_kept_checkpoint_stays_as_it_was() {
        let saved = Saved::new();
        keep(saved.folder.path(), 3).expect("keeps");
        let later = TrainerState { step: 4, ..saved.checkpoint.trainer.clone() };
        let later = Checkpoint { trainer: later, ..checkpoint(&saved.config, &saved.training) };
        saved.save(&later);
        fs::remove_dir_all(saved.folder.path().join(LATEST)).expect("removes");
        fs::rename(saved.folder.path().join("checkpoint-step-00000003"), saved.folder.path().join(LATEST))
            .expect("renames");
        assert_eq!(saved.loaded().trainer, saved.checkpoint.trainer);
    }

    #[test]
    fn the_state_has_an_older_file_name() {
        let saved = Saved::new();
        saved.edit_state(OLD_TRAINER_STATE, |_| {});
        assert_eq!(saved.loaded().trainer, saved.checkpoint.trainer);
    }

    #[test]
    fn a_best_validation_that_is_not_finite_is_none() {
        let saved = Saved::new();
        saved.edit_state(TRAINER_STATE, |state| state["best"]["objective"] = Value::Null);
        assert_eq!(saved.loaded().trainer, TrainerState { best: None, ..saved.checkpoint.trainer.clone() });
    }

    #[test]
    fn only_a_finite_objective_improves() {
        let mut state = TrainerState::default();
        assert!(!state.improves(f64::NAN) && !state.improves(f64::INFINITY) && state.improves(2.0));
        state.best = Some(Best { step: 1, series: "weights".to_owned(), objective: 1.0 });
        assert!(state.improves(0.5) && !state.improves(1.0) && !state.improves(f64::NAN));
    }

    #[test]
    fn another_configuration_is_refused_with_the_field_and_both_values() {
        let mut saved = Saved::new();
        saved.config.decoder.width = 16;
        let error = format!("{:#}", saved.load().err().expect("another decoder"));
        assert!(error.contains("model.decoder.width is 16") && error.contains("with 8"), "{error}");
    }
}
