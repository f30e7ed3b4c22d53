//! Checkpoints: a folder of weights, optimizer moments and trainer state, renamed into place when it is complete.
//!
//! A run goes on from `checkpoint`; where a kill left none, from `checkpoint-previous`; and where there is neither, from the
//! last of those that are kept, `checkpoint-step-…`. Whatever is killed when, one of them is whole.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail, ensure};
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
use crate::base::{disk, files};
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
/// The start of the name of a checkpoint that is kept; its step follows.
const KEPT: &str = "checkpoint-step-";
/// The start of the names of checkpoints that are not complete, or no longer.
const HIDDEN: &str = ".checkpoint-";
const FRESH: &str = ".checkpoint-new";
const DISCARDED: &str = ".checkpoint-old";
const TRAINER_STATE: &str = "trainer_state.json";
/// The name of [`TRAINER_STATE`] in older checkpoints.
const OLD_TRAINER_STATE: &str = "position.json";
const MODEL: &str = "model";
const OPTIMIZER: &str = "optimizer.mpk";
/// The hashes of the other files, as `sha256sum --check` reads them; older checkpoints have none.
const SUMS: &str = "SHA256SUMS";

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
    let encoder = read(&files::encoder_path(&path))?;
    networks.encoder = Some(weights::load_encoder(&encoder, &weights::sha256_hex(&bytes), device)?);
    Ok(networks)
}

/// A checkpoint that is being written.
struct Fresh {
    path: PathBuf,
    sums: String,
}

impl Fresh {
    fn write(&mut self, name: &Path, bytes: &[u8]) -> Result<()> {
        disk::write_new(&self.path.join(name), bytes)?;
        self.sums += &format!("{}  {}\n", weights::sha256_hex(bytes), name.display());
        Ok(())
    }

    /// Makes what `write` writes the latest checkpoint.
    fn install(folder: &Path, write: impl FnOnce(&mut Self) -> Result<()>) -> Result<()> {
        let install = || -> Result<()> {
            let path = fresh_folder(folder)?;
            let mut fresh = Self { path, sums: String::new() };
            write(&mut fresh)?;
            disk::write_new(&fresh.path.join(SUMS), fresh.sums.as_bytes())?;
            disk::sync_folder(&fresh.path)?;
            make_latest(folder, &fresh.path)
        };
        // A full disk is to have room again.
        install().inspect_err(|_| drop(disk::remove_folder(&folder.join(FRESH))))
    }
}

/// An empty folder for a checkpoint that no run goes on from yet.
fn fresh_folder(folder: &Path) -> Result<PathBuf> {
    let path = folder.join(FRESH);
    disk::remove_folder(&path)?;
    disk::create_folder(&path)?;
    Ok(path)
}

/// Renames a complete checkpoint into place. The one before it is removed only when the new one is safe.
fn make_latest(folder: &Path, fresh: &Path) -> Result<()> {
    let (latest, previous) = (folder.join(LATEST), folder.join(PREVIOUS));
    if latest.exists() {
        discard(folder, &previous)?;
        disk::rename(&latest, &previous)?;
    }
    disk::rename(fresh, &latest)?;
    disk::sync_folder(folder)?;
    discard(folder, &previous)
}

/// Removes a checkpoint; a kill leaves none that is half removed under its name.
fn discard(folder: &Path, checkpoint: &Path) -> Result<()> {
    let discarded = folder.join(DISCARDED);
    disk::remove_folder(&discarded)?;
    if checkpoint.exists() {
        disk::rename(checkpoint, &discarded)?;
        disk::remove_folder(&discarded)?;
    }
    Ok(())
}

/// A complete copy of a checkpoint under the name of a fresh one.
fn copy(folder: &Path, checkpoint: &Path) -> Result<PathBuf> {
    let fresh = fresh_folder(folder)?;
    for entry in fs::read_dir(checkpoint)? {
        let entry = entry?;
        disk::link_or_copy(&entry.path(), &fresh.join(entry.file_name()))?;
    }
    disk::sync_folder(&fresh)?;
    Ok(fresh)
}

fn kept_path(folder: &Path, step: u64) -> PathBuf {
    folder.join(format!("{KEPT}{step:08}"))
}

/// Keeps a copy of the checkpoint that was just saved, which later ones do not replace.
pub fn keep(folder: &Path, step: u64) -> Result<()> {
    let keep = || -> Result<()> {
        let (kept, fresh) = (kept_path(folder, step), copy(folder, &folder.join(LATEST))?);
        discard(folder, &kept)?;
        disk::rename(&fresh, &kept)?;
        Ok(disk::sync_folder(folder)?)
    };
    keep().with_context(|| format!("cannot keep the checkpoint of step {step} in {}", folder.display()))
}

/// Makes the checkpoint of a step the one that the run goes on from. The one that it had is kept under its own step.
///
/// # Errors
/// There is none of this step, or it is damaged.
pub fn go_back(folder: &Path, step: u64) -> Result<()> {
    let go = || -> Result<()> {
        let latest = [LATEST, PREVIOUS].map(|name| folder.join(name));
        let step_of = |path: &PathBuf| Some((Stored::open(path.clone()).ok()?.step().ok()?, path.clone()));
        let mut all = kept(folder)?;
        all.extend(latest.iter().rev().filter_map(step_of));
        let Some(chosen) = all.get(&step) else {
            let steps: Vec<String> = all.keys().map(u64::to_string).collect();
            bail!("--resume-from is {step}: {} has checkpoints of the steps {}", folder.display(), steps.join(", "));
        };
        if *chosen == latest[0] {
            return Ok(());
        }
        Stored::open(chosen.clone())?.verify()?;
        let fresh = copy(folder, chosen)?;
        for (had, path) in latest.iter().filter_map(step_of) {
            let kept = kept_path(folder, had);
            if !kept.exists() {
                disk::rename(&path, &kept)?;
            }
        }
        make_latest(folder, &fresh)
    };
    go().with_context(|| format!("cannot go back to the checkpoint of step {step}"))
}

/// Removes what a killed process left incomplete.
pub fn clear_leftovers(folder: &Path) -> Result<()> {
    let clear = || -> Result<()> {
        // What a killed process renamed is on the disk before anything older is removed.
        disk::sync_folder(folder)?;
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if name.starts_with(HIDDEN) {
                disk::remove_folder(&entry.path())?;
            } else if name.starts_with(disk::PARTIAL) {
                disk::remove_file(&entry.path())?;
            }
        }
        Ok(())
    };
    clear().with_context(|| format!("cannot clear {}", folder.display()))
}

/// The checkpoint that a run goes on from.
pub fn newest(folder: &Path) -> Result<Option<PathBuf>> {
    let first = [LATEST, PREVIOUS].map(|name| folder.join(name)).into_iter().find(|path| path.exists());
    match first {
        Some(path) => Ok(Some(path)),
        None => Ok(kept(folder)?.pop_last().map(|(_, path)| path)),
    }
}

/// The checkpoints that are kept, by their steps.
fn kept(folder: &Path) -> Result<BTreeMap<u64, PathBuf>> {
    let mut kept = BTreeMap::new();
    for entry in fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if let Some(Ok(step)) = name.strip_prefix(KEPT).map(str::parse) {
            kept.insert(step, path);
        }
    }
    Ok(kept)
}

/// A checkpoint on the disk.
struct Stored {
    path: PathBuf,
    /// The hash of each file; none in older checkpoints.
    sums: Option<BTreeMap<String, String>>,
}

impl Stored {
    fn open(path: PathBuf) -> Result<Self> {
        let list = path.join(SUMS);
        let sums = if list.exists() {
            let text = String::from_utf8_lossy(&files::read(&list)?).into_owned();
            let pairs = text.lines().filter_map(|line| line.split_once("  "));
            Some(pairs.map(|(hash, name)| (name.to_owned(), hash.to_owned())).collect())
        } else {
            None
        };
        Ok(Self { path, sums })
    }

    fn read(&self, name: &Path) -> Result<Vec<u8>> {
        let mut path = self.path.join(name);
        if name == Path::new(TRAINER_STATE) && !path.exists() {
            path.set_file_name(OLD_TRAINER_STATE);
        }
        let bytes = files::read(&path)?;
        if let Some(sums) = &self.sums {
            let expected = sums.get(&*name.to_string_lossy());
            ensure!(
                expected == Some(&weights::sha256_hex(&bytes)),
                "{} is not as it was written: its SHA-256 is not the one in {SUMS}",
                path.display()
            );
        }
        Ok(bytes)
    }

    /// Reads every file that has a hash.
    fn verify(&self) -> Result<()> {
        let mut names = self.sums.iter().flat_map(BTreeMap::keys);
        names.try_for_each(|name| self.read(Path::new(name)).map(drop))
    }

    fn step(&self) -> Result<u64> {
        let trainer: TrainerState = serde_json::from_slice(&self.read(Path::new(TRAINER_STATE))?)?;
        Ok(trainer.step)
    }
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
    let read = Checkpoint::of_files(|name| stored.read(name), half_lives, optimizer, device);
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

    use super::super::fixture::{self, Cpu, bits};
    use super::*;
    use crate::base::disk::kill;

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
    fn a_kept_checkpoint_can_be_gone_back_to_and_later_ones_stay() {
        let saved = Saved::new();
        keep(saved.folder.path(), 3).expect("keeps");
        let later = TrainerState { step: 4, ..saved.checkpoint.trainer.clone() };
        let later = Checkpoint { trainer: later, ..checkpoint(&saved.config, &saved.training) };
        saved.save(&later);
        for step in [3, 4, 3, 3] {
            go_back(saved.folder.path(), step).expect("goes back");
            assert_eq!(saved.loaded().trainer.step, step);
        }
        let error = format!("{:#}", go_back(saved.folder.path(), 5).expect_err("there is none"));
        assert!(error.contains("steps 3, 4"), "{error}");
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

    fn files_of(folder: &Path) -> Files {
        let mut files = Files::new();
        for entry in walkdir::WalkDir::new(folder).into_iter().map(|entry| entry.expect("an entry")) {
            let name = entry.path().strip_prefix(folder).expect("inside").to_owned();
            if entry.file_type().is_dir() {
                files.insert(name.join(""), Vec::new());
            } else {
                files.insert(name, fs::read(entry.path()).expect("reads"));
            }
        }
        files
    }

    /// An empty folder with these files.
    fn restored(files: &Files) -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a folder");
        for (name, bytes) in files {
            let path = folder.path().join(name);
            if name.as_os_str().to_string_lossy().ends_with('/') || name.as_os_str().is_empty() {
                fs::create_dir_all(path).expect("a folder");
            } else {
                fs::write(path, bytes).expect("writes");
            }
        }
        folder
    }

    /// A small checkpoint of a step, saved as a continued run does it, and kept where `keeps` is set.
    fn save_small(folder: &Path, step: u64, keeps: bool) -> Result<()> {
        clear_leftovers(folder)?;
        let state = serde_json::to_vec(&TrainerState { step, ..TrainerState::default() })?;
        Fresh::install(folder, |fresh| {
            fresh.write(Path::new("model.safetensors"), &[step as u8; 8])?;
            fresh.write(Path::new(TRAINER_STATE), &state)
        })?;
        if keeps { keep(folder, step) } else { Ok(()) }
    }

    /// The step that a run would go on from; fails where that checkpoint is not whole.
    fn step_in(folder: &Path) -> u64 {
        let stored = Stored::open(newest(folder).expect("reads").expect("one stands")).expect("opens");
        stored.verify().expect("is whole");
        let step = stored.step().expect("reads");
        assert_eq!(stored.read(Path::new("model.safetensors")).expect("reads"), [step as u8; 8]);
        step
    }

    #[test]
    fn kills_at_any_two_moments_leave_the_newest_whole_checkpoint() {
        let with = |name: &str, keeps| {
            let folder = tempfile::tempdir().expect("a folder");
            save_small(folder.path(), 1, keeps).expect("saves");
            match name {
                LATEST => {}
                "" => fs::remove_dir_all(folder.path().join(LATEST)).expect("removes"),
                name => fs::rename(folder.path().join(LATEST), folder.path().join(name)).expect("renames"),
            }
            files_of(folder.path())
        };
        let mut kills = 0;
        for start in [with(LATEST, false), with(LATEST, true), with(PREVIOUS, false), with("", true)] {
            for first in 0.. {
                let folder = restored(&start);
                let (_, whole) = kill::after(first, || save_small(folder.path(), 2, true));
                let after_one = step_in(folder.path());
                assert!(after_one == 2 || (after_one == 1 && !whole), "killed after {first}");
                if whole {
                    break;
                }
                let state = files_of(folder.path());
                // Over all first kills, every second one.
                for second in (first % 2..).step_by(2) {
                    let folder = restored(&state);
                    let (_, whole) = kill::after(second, || save_small(folder.path(), 3, false));
                    kills += 1;
                    let after_two = step_in(folder.path());
                    assert!(after_two == 3 || (after_two == after_one && !whole), "killed after {first} and {second}");
                    save_small(folder.path(), 4, false).expect("saves");
                    assert_eq!(step_in(folder.path()), 4);
                    let left = files_of(folder.path());
                    assert!(!left.keys().any(|name| name.to_string_lossy().starts_with('.')), "{:?}", left.keys());
                    if whole {
                        break;
                    }
                }
            }
        }
        assert!(kills > 1000, "{kills} pairs of kills");
    }

    #[test]
    fn kills_while_a_run_goes_back_lose_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        save_small(folder.path(), 1, true).expect("saves");
        save_small(folder.path(), 2, false).expect("saves");
        let start = files_of(folder.path());
        for operations in 0.. {
            let folder = restored(&start);
            let (_, whole) = kill::after(operations, || go_back(folder.path(), 1));
            let now = step_in(folder.path());
            assert!(now == 1 || (now == 2 && !whole), "killed after {operations}");
            for step in [2, 1] {
                go_back(folder.path(), step).expect("goes back");
                assert_eq!(step_in(folder.path()), step);
            }
            if whole {
                break;
            }
        }
    }

    #[test]
    fn a_checkpoint_is_on_the_disk_before_it_has_its_name_and_the_last_one_goes() {
        let folder = tempfile::tempdir().expect("a folder");
        save_small(folder.path(), 1, false).expect("saves");
        let (done, whole) = kill::after(usize::MAX, || save_small(folder.path(), 2, false));
        assert!(whole);
        let file = ["create", "write", "write", "sync a file"];
        let removed = [&["remove a file"; 3][..], &["remove a folder"]].concat();
        let expected = [
            &["sync a folder", "make a folder"][..],
            &file.repeat(3),
            &["sync a folder", "rename", "rename", "sync a folder", "rename"],
            &removed,
        ];
        assert_eq!(done, expected.concat());
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
