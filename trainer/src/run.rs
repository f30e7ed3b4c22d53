//! A run's folder: its settings, its log, and where things lie in it.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};
use vdm::config::{ModelConfig, Preset, ScheduleKind, TrainingConfig};

use crate::cli::{CountOrAll, PrecisionChoice, ScheduleChoice, TrainArgs};
use crate::files;

/// Everything that a run's result depends on. It is written to the run's folder as `run.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunSettings {
    /// The preset that the rest started from.
    pub preset: Preset,
    /// Training images; phantoms where absent.
    pub data: Option<PathBuf>,
    /// Validation images; held out of `data` where absent.
    pub validation: Option<PathBuf>,
    /// Whether sub-folders are classes.
    pub class_folders: bool,
    /// Whether unreadable files are left out.
    pub skip_unreadable: bool,
    /// The seed.
    pub seed: u64,
    /// Steps between two validations, one of which is kept as the best.
    pub validate_every: u64,
    /// Precision of the final weights.
    pub precision: PrecisionChoice,
    /// What the images are, for the provenance; the folder's name where absent.
    pub data_name: Option<String>,
    /// Whom the weights acknowledge.
    pub acknowledgement: String,
    /// Licence of the weights.
    pub license: String,
    /// The model; `classes` is filled in once the data is known.
    pub model: ModelConfig,
    /// The training.
    pub training: TrainingConfig,
}

impl RunSettings {
    /// The preset with the command line's options on top.
    pub fn resolve(args: &TrainArgs, default_preset: Preset) -> Result<Self> {
        let preset = args.preset.unwrap_or(default_preset);
        let mut settings = Self {
            preset,
            data: args.data.clone(),
            validation: args.validation.clone(),
            class_folders: args.class_folders,
            skip_unreadable: args.skip_unreadable,
            seed: 0,
            validate_every: 250,
            precision: PrecisionChoice::F16,
            data_name: None,
            acknowledgement: String::new(),
            license: String::new(),
            model: preset.model(),
            training: preset.training(),
        };
        settings.apply(args);
        settings.model.validate().context("the model cannot be built")?;
        settings.training.validate().context("the training cannot be run")?;
        ensure!(settings.validate_every > 0, "--validate-every is 0: at least 1 is accepted");
        if settings.data.is_none() && (settings.validation.is_some() || settings.class_folders) {
            bail!("--validation and --class-folders need --data");
        }
        Ok(settings)
    }

    fn apply(&mut self, args: &TrainArgs) {
        fn set<T: Clone>(field: &mut T, option: &Option<T>) {
            if let Some(value) = option {
                *field = value.clone();
            }
        }
        set(&mut self.seed, &args.seed);
        set(&mut self.validate_every, &args.validate_every);
        set(&mut self.precision, &args.precision);
        set(&mut self.acknowledgement, &args.acknowledgement);
        set(&mut self.license, &args.license);
        if args.data_name.is_some() {
            self.data_name.clone_from(&args.data_name);
        }
        let training = &mut self.training;
        set(&mut training.steps, &args.steps);
        set(&mut training.batch, &args.batch);
        set(&mut training.learning_rate, &args.learning_rate);
        set(&mut training.objective.rate, &args.rate_weight);
        set(&mut training.objective.mse, &args.mse_weight);
        set(&mut training.objective.gradient_difference, &args.gradient_difference_weight);
        if let Some(steps) = args.diffusion_steps {
            training.diffusion_steps = Some(steps);
        }
        match args.max_images {
            Some(CountOrAll::Count(count)) => training.max_images = Some(count),
            Some(CountOrAll::All) => training.max_images = None,
            None => {}
        }
        let schedule = &mut self.model.schedule;
        set(&mut schedule.gamma_min, &args.gamma_min);
        set(&mut schedule.gamma_max, &args.gamma_max);
        if let Some(choice) = args.schedule {
            let hidden = match schedule.kind {
                ScheduleKind::Monotonic { hidden, .. } => hidden,
                ScheduleKind::Linear | ScheduleKind::LearnedLinear => 32,
            };
            schedule.kind = match choice {
                ScheduleChoice::Linear => ScheduleKind::Linear,
                ScheduleChoice::LearnedLinear => ScheduleKind::LearnedLinear,
                ScheduleChoice::Monotonic => ScheduleKind::Monotonic { hidden, learn_endpoints: false },
                ScheduleChoice::MonotonicEndpoints => ScheduleKind::Monotonic { hidden, learn_endpoints: true },
            };
        }
    }

    /// The stored settings of a run, for `--resume`: options that are given again must agree with them.
    pub fn stored(folder: &Path, args: &TrainArgs) -> Result<Self> {
        let path = folder.join("run.json");
        let text = files::read(&path).context("there is no run to resume")?;
        let stored: Self = serde_json::from_slice(&text).with_context(|| format!("{} is damaged", path.display()))?;
        let mut wanted = stored.clone();
        wanted.apply(args);
        if let Some(preset) = args.preset {
            wanted.preset = preset;
        }
        for (field, given) in [(&mut wanted.data, &args.data), (&mut wanted.validation, &args.validation)] {
            if given.is_some() {
                field.clone_from(given);
            }
        }
        wanted.class_folders |= args.class_folders;
        wanted.skip_unreadable |= args.skip_unreadable;
        if wanted != stored {
            bail!(
                "an option differs from the run in {}: --resume goes on exactly as it was started \
                 (its settings are in run.json); leave the option out, or start a new run",
                folder.display()
            );
        }
        Ok(stored)
    }

    /// Writes `run.json`.
    pub fn write(&self, folder: &Path) -> Result<()> {
        files::write_atomic(&folder.join("run.json"), &serde_json::to_vec_pretty(self)?)
    }
}

/// The folder of a new run: the one asked for, if it holds no run yet, else the next free one under `runs`.
pub fn new_folder(out: Option<&Path>, preset: Preset) -> Result<PathBuf> {
    let folder = match out {
        Some(out) => {
            if out.join("run.json").exists() {
                bail!("{} holds a run already: pass --resume to go on with it, or another --out", out.display());
            }
            out.to_owned()
        }
        None => (1..)
            .map(|n| {
                let suffix = if n == 1 { String::new() } else { format!("-{n}") };
                Path::new("runs").join(format!("{}{suffix}", preset.name()))
            })
            .find(|folder| !folder.exists())
            .context("no free folder under runs")?,
    };
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    Ok(folder)
}

/// The folder to resume: the one asked for, else the run under `runs` that was changed last.
pub fn existing_folder(out: Option<&Path>) -> Result<PathBuf> {
    if let Some(out) = out {
        return Ok(out.to_owned());
    }
    let entries = fs::read_dir("runs").context("there is no run to resume: the folder runs cannot be read")?;
    entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|folder| folder.join("run.json").exists())
        .max_by_key(|folder| fs::metadata(folder).and_then(|m| m.modified()).ok())
        .context("there is no run to resume in runs")
}
