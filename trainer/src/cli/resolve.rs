//! From the command line to the settings of a run.

use std::path::Path;

use anyhow::{Context, Result, bail};
use toml::Table;
use vdm::config::{ModelConfig, Preset, ScheduleKind};

use super::args::{ScheduleChoice, TrainArgs};
use crate::run::settings::{self, RunSettings};

/// The preset, `--config`, `--set` and the other options, each on top of the one before.
pub fn new(args: &TrainArgs, default_preset: Preset) -> Result<RunSettings> {
    let file = match &args.config {
        None => Table::new(),
        Some(path) => settings::read_table(path)?,
    };
    let named = match file.get("preset") {
        None => None,
        Some(value) => Some(value.clone().try_into().context("preset")?),
    };
    let preset = args.preset.or(named).unwrap_or(default_preset);
    let origin = args.config.as_ref().map_or_else(String::new, |path| path.display().to_string());
    let stage = match args.stage {
        None => settings::stage_of(&assignments(args)?)?.or(settings::stage_of(&file)?),
        given => given,
    };
    let mut settings = RunSettings::of(preset, stage).with(file, &origin)?;
    settings.preset = preset;
    finish(&settings, args)
}

/// The stored settings of a run, for `--resume`: what the result depends on must stay as it is.
pub fn resumed(folder: &Path, args: &TrainArgs) -> Result<RunSettings> {
    let path = folder.join("run.toml");
    let stored = RunSettings::read(&path).context("there is no run to go on with")?;
    let mut wanted = match &args.config {
        None => stored.clone(),
        Some(path) => stored.clone().with(settings::read_table(path)?, &path.display().to_string())?,
    };
    if let Some(preset) = args.preset {
        wanted.preset = preset;
    }
    let wanted = finish(&wanted, args)?;
    let same = wanted.preset == stored.preset
        && wanted.seed == stored.seed
        && wanted.from == stored.from
        && wanted.data == stored.data
        && wanted.augmentation == stored.augmentation
        && wanted.training == stored.training
        && ModelConfig { classes: stored.model.classes, ..wanted.model.clone() } == stored.model;
    if !same {
        bail!(
            "an option differs from the run in {}: --resume goes on exactly as it was started \
             (its settings are in run.toml); leave the option out, or start a new run",
            folder.display()
        );
    }
    Ok(wanted)
}

fn finish(settings: &RunSettings, args: &TrainArgs) -> Result<RunSettings> {
    let mut settings = settings.with(assignments(args)?, "--set")?;
    apply(&mut settings, args)?;
    settings.validate()?;
    Ok(settings)
}

/// What `--set` says.
fn assignments(args: &TrainArgs) -> Result<Table> {
    let mut sets = Table::new();
    for assignment in &args.set {
        settings::overlay_path(&mut sets, assignment)?;
    }
    Ok(sets)
}

fn apply(settings: &mut RunSettings, args: &TrainArgs) -> Result<()> {
    fn set<T: Clone>(field: &mut T, option: &Option<T>) {
        if let Some(value) = option {
            *field = value.clone();
        }
    }
    args.data.apply(&mut settings.data);
    if let Some(path) = &mut settings.data.path {
        *path = std::path::absolute(&*path)?;
    }
    if let Some(path) = &mut settings.data.validation {
        *path = std::path::absolute(&*path)?;
    }
    set(&mut settings.seed, &args.seed);
    if let Some(path) = &args.from {
        settings.from = Some(std::path::absolute(path)?);
    }
    set(&mut settings.run.log_every, &args.log_every);
    set(&mut settings.run.validate_every, &args.validate_every);
    set(&mut settings.run.sample_every, &args.sample_every);
    set(&mut settings.run.checkpoint_every, &args.checkpoint_every);
    set(&mut settings.run.on_not_finite, &args.on_not_finite);
    if args.keep_every.is_some() {
        settings.run.keep_every = args.keep_every;
    }
    set(&mut settings.weights.precision, &args.weights_precision);
    set(&mut settings.weights.acknowledgement, &args.acknowledgement);
    set(&mut settings.weights.license, &args.license);
    if args.data_name.is_some() {
        settings.weights.data_name.clone_from(&args.data_name);
    }
    let training = &mut settings.training;
    set(&mut training.stage, &args.stage);
    set(&mut training.steps, &args.steps);
    set(&mut training.batch, &args.batch);
    set(&mut training.accumulation, &args.accumulation);
    set(&mut training.precision, &args.precision);
    set(&mut training.learning_rate, &args.learning_rate);
    set(&mut training.objective.rate, &args.rate_weight);
    set(&mut training.objective.mse, &args.mse_weight);
    set(&mut training.objective.gradient_difference, &args.gradient_difference_weight);
    if !args.ema.is_empty() {
        training.ema_half_lives.clone_from(&args.ema);
    }
    if let Some(steps) = args.diffusion_steps {
        training.diffusion_steps = Some(steps);
    }
    let schedule = &mut settings.model.schedule;
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
    Ok(())
}
