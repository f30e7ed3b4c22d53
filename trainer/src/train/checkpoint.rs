//! Checkpoints: weights, optimizer moments and trainer state, as files of the [`store`].

use std::collections::BTreeMap;
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
use super::store::{Fresh, Stored, TRAINER_STATE, kept, newest};
use crate::base::files;
use crate::base::guard::guarded;
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

const MODEL: &str = "model";
const OPTIMIZER: &str = "optimizer.mpk";

type OptimizerRecorder = NamedMpkBytesRecorder<FullPrecisionSettings>;

/// Writes the checkpoint of a run. Until it is whole, the one before it stays.
pub fn save<B: AutodiffBackend>(
    folder: &Path,
    config: &ModelConfig,
    sampling: &SamplingConfig,
    provenance: &Provenance,
    checkpoint: &Checkpoint<B>,
) -> Result<()> {
    let write =
        |fresh: &mut Fresh| checkpoint.files(config, sampling, provenance, |name, bytes| fresh.write(name, &bytes));
    Fresh::install(folder, write).with_context(|| format!("cannot write a checkpoint to {}", folder.display()))
}

impl<B: AutodiffBackend> Checkpoint<B> {
    /// Passes on its files, one after another.
    pub fn files(
        &self,
        config: &ModelConfig,
        sampling: &SamplingConfig,
        provenance: &Provenance,
        mut take: impl FnMut(&Path, Vec<u8>) -> Result<()>,
    ) -> Result<()> {
        let mut model = |name: &str, networks: &Networks<_>| -> Result<()> {
            let path = model_path(name);
            let (model, encoder) = files::model_bytes(networks, config, sampling, provenance, Precision::F32)?;
            take(&path, model)?;
            encoder.map_or(Ok(()), |encoder| take(&files::encoder_path(&path), encoder))
        };
        model(MODEL, &self.networks.valid())?;
        for ema in &self.emas {
            model(&ema.name(), &ema.networks)?;
        }
        let record =
            OptimizerRecorder::default().record(self.optimizer.to_record(), ()).map_err(|error| anyhow!("{error}"))?;
        take(Path::new(OPTIMIZER), record)?;
        take(Path::new(TRAINER_STATE), serde_json::to_vec_pretty(&self.trainer)?)
    }

    /// The checkpoint of some files.
    ///
    /// # Errors
    /// Files that are missing or damaged.
    pub fn of_files(
        read: impl Fn(&Path) -> Result<Vec<u8>>,
        half_lives: &[u64],
        optimizer: NetworksOptimizer<B>,
        device: &B::Device,
    ) -> Result<Self> {
        let mut trainer: TrainerState = serde_json::from_slice(&read(Path::new(TRAINER_STATE))?)?;
        // Older versions kept a validation that is not finite.
        trainer.best = trainer.best.filter(|best| best.objective.is_finite());
        let emas = half_lives
            .iter()
            .map(|&half_life| Ok(Ema { half_life, networks: read_model(&ema_name(half_life), &read, device)? }))
            .collect::<Result<_>>()?;
        let record = OptimizerRecorder::default()
            .load(read(Path::new(OPTIMIZER))?, device)
            .map_err(|error| anyhow!("{error}"))?;
        let networks = read_model(MODEL, &read, device)?;
        Ok(Self { trainer, networks, emas, optimizer: optimizer.load_record(record) })
    }
}

/// Files of a checkpoint in memory.
pub type Files = BTreeMap<PathBuf, Vec<u8>>;

/// One of them.
pub fn file(files: &Files, name: &Path) -> Result<Vec<u8>> {
    files.get(name).cloned().with_context(|| format!("{} is missing", name.display()))
}

fn model_path(name: &str) -> PathBuf {
    PathBuf::from(format!("{name}.safetensors"))
}

fn read_model<B: Backend>(
    name: &str,
    read: &impl Fn(&Path) -> Result<Vec<u8>>,
    device: &B::Device,
) -> Result<Networks<B>> {
    let path = model_path(name);
    let bytes = read(&path)?;
    let (_, mut networks) = weights::load(&bytes, device)?;
    // A fixed transform is its own encoder.
    if networks.encoder.is_none() {
        let encoder = read(&files::encoder_path(&path))?;
        networks.encoder = Some(weights::load_encoder(&encoder, &weights::sha256_hex(&bytes), device)?);
    }
    Ok(networks)
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
    let Some(path) = newest(folder)? else { return Ok(None) };
    let others: Vec<String> = kept(folder)?.keys().map(u64::to_string).collect();
    let damaged = || {
        let message = format!("the checkpoint {} is damaged, or another version's", path.display());
        match others.is_empty() {
            true => message,
            false => format!("{message} (--resume-from STEP takes a kept one: {})", others.join(", ")),
        }
    };
    let stored = Stored::open(path.clone()).with_context(damaged)?;
    let header = stored.read(&model_path(MODEL)).and_then(|bytes| Ok(weights::read_header(&bytes)?));
    let header = header.with_context(damaged)?;
    // Before its tensors are read: a wrong shape would be a panic.
    if let Some((field, ours, theirs)) = difference(config, &header.config)? {
        bail!(
            "model.{field} is {ours}, but the checkpoint {} was trained with {theirs}: set it to that in run.toml, or \
             start a new run",
            path.display()
        );
    }
    let read = guarded(|| Checkpoint::of_files(|name| stored.read(name), half_lives, optimizer, device));
    read.map(Some).with_context(damaged)
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

/// Whether the weights of a file are of a step.
pub fn is_of_step(path: &Path, step: u64) -> bool {
    let header = files::read(path).and_then(|bytes| Ok(weights::read_header(&bytes)?));
    header.is_ok_and(|header| header.provenance.training_steps == step)
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

    use std::fs;

    use super::super::fixture::{self, Cpu, bits};
    use super::super::store::{LATEST, OLD_TRAINER_STATE, SUMS};
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
        let gradients = networks.decoder.decode(f).square().sum().backward();
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
            // Older checkpoints have no hashes.
            for path in [&state, &state.with_file_name(SUMS)] {
                fs::remove_file(path).expect("removes");
            }
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
    fn a_flipped_bit_is_one_clear_error() {
        let saved = Saved::new();
        let folder = saved.folder.path().join(LATEST);
        for entry in fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("a file").path();
            let whole = fs::read(&path).expect("reads");
            let mut flipped = whole.clone();
            flipped[whole.len() / 2] ^= 1;
            fs::write(&path, flipped).expect("writes");
            let error = format!("{:#}", saved.load().err().expect("is damaged"));
            assert!(error.contains("is damaged") && error.contains("SHA-256"), "{}: {error}", path.display());
            fs::write(&path, whole).expect("writes");
        }
        assert_eq!(saved.loaded().trainer, saved.checkpoint.trainer);
    }

    #[test]
    fn a_damaged_optimizer_is_an_error_where_there_are_no_hashes() {
        let saved = Saved::new();
        let path = saved.folder.path().join(LATEST).join(OPTIMIZER);
        let mut bytes = fs::read(&path).expect("reads");
        // The id of a parameter: a text of 13 characters, which Burn expects to be one of its own.
        let id = bytes.iter().position(|&byte| byte == 0xa0 + 13).expect("an id") + 1;
        bytes[id] = b'!';
        fs::write(&path, bytes).expect("writes");
        fs::remove_file(path.with_file_name(SUMS)).expect("removes");
        let error = format!("{:#}", saved.load().err().expect("is damaged"));
        assert!(error.contains("is damaged"), "{error}");
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
        saved.config.latent.as_mut().expect("a latent").decoder.width = 16;
        let error = format!("{:#}", saved.load().err().expect("another decoder"));
        assert!(error.contains("model.latent.decoder.width is 16") && error.contains("with 8"), "{error}");
    }
}
