//! From the command line to the settings of a run.

use std::collections::BTreeMap;
use std::path::{Path, absolute};

use anyhow::{Context, Result, anyhow, ensure};
use serde::de::DeserializeOwned;
use serde_json::Value as Json;
use toml::{Table, Value};
use vdm::config::Preset;
use vdm::weights::read_header;

use super::args::TrainArgs;
use crate::base::files::{self, say};
use crate::run::settings::RunSettings;
use crate::run::table;

/// The settings of a new run: the preset, `--config`, `--set` and the other options, each on top of the one before.
///
/// # Errors
/// A file that cannot be read; an option that does not exist or has a value out of its range.
pub fn new(args: &TrainArgs, default_preset: impl FnOnce() -> Result<Preset>) -> Result<RunSettings> {
    let layers = layers(args)?;
    let preset = match (args.preset, named(&layers, "preset")) {
        (Some(preset), _) => preset,
        (None, Some(preset)) => parse("preset", preset)?,
        (None, None) => default_preset()?,
    };
    let stage = match (args.stage, named(&layers, "training.stage")) {
        (None, Some(stage)) => Some(parse("training.stage", stage)?),
        (given, _) => given,
    };
    let mut settings = on_top(RunSettings::of(preset, stage), &layers, args)?;
    settings.preset = preset;
    split_as_before(&mut settings, named(&layers, "data.split_seed").is_some())?;
    Ok(settings)
}

/// What `--resume` may change: where things lie, what it forgives, how long it goes on and with which learning rate, when
/// it logs and saves, how it samples, and what the weights file says. A name that ends in a dot is a section.
const MAY_CHANGE: [&str; 13] = [
    "run.",
    "weights.",
    "sampling.",
    "from",
    "data.path",
    "data.validation",
    "data.cache",
    "data.skip_unreadable",
    "training.steps",
    "training.accumulation",
    "training.learning_rate",
    "training.warmup_steps",
    "training.final_fraction",
];

/// The settings of the run in a folder, for `--resume`. Options may change what [`MAY_CHANGE`] lists, and nothing else
/// that the trained weights depend on.
///
/// # Errors
/// As [`new`]; options that must not change, all of them.
pub fn resumed(folder: &Path, args: &TrainArgs) -> Result<RunSettings> {
    let stored = RunSettings::read(&folder.join("run.toml")).context("there is no run to continue")?;
    let mut wanted = on_top(stored.clone(), &layers(args)?, args)?;
    wanted.preset = args.preset.unwrap_or(wanted.preset);
    let before: BTreeMap<_, _> = table::options(&stored)?.into_iter().collect();
    let of = |name: &str| before.get(name).map_or("not set".to_owned(), Json::to_string);
    let (mut told, mut refused) = (Vec::new(), Vec::new());
    for (name, value) in table::options(&wanted)? {
        // The data determine them.
        if before.get(&name) == Some(&value) || name == "model.attributes" {
            continue;
        }
        let named = |may: &&str| if may.ends_with('.') { name.starts_with(*may) } else { name == **may };
        let kind = if MAY_CHANGE.iter().any(named) { &mut told } else { &mut refused };
        kind.push(format!("{name} is {value}, not {}", of(&name)));
    }
    ensure!(
        refused.is_empty(),
        "{} as in {}: --resume continues as the run was started; leave that out, or start a new run",
        refused.join("; "),
        folder.join("run.toml").display()
    );
    for change in told {
        say(format!("changed: {change}"));
    }
    Ok(wanted)
}

/// `--config` and `--set`, each with its name in errors.
fn layers(args: &TrainArgs) -> Result<Vec<(String, Table)>> {
    let mut layers = Vec::new();
    if let Some(path) = &args.config {
        layers.push((path.display().to_string(), table::read(path)?));
    }
    let mut sets = Table::new();
    for assignment in &args.set {
        table::assign(&mut sets, assignment)?;
    }
    layers.push(("--set".to_owned(), sets));
    Ok(layers)
}

/// The value of an option such as `training.stage` in the uppermost layer that has it.
fn named<'a>(layers: &'a [(String, Table)], option: &str) -> Option<&'a Value> {
    let mut keys = option.split('.');
    let first = keys.next()?;
    layers.iter().rev().find_map(|(_, table)| keys.clone().try_fold(table.get(first)?, |value, key| value.get(key)))
}

fn parse<T: DeserializeOwned>(option: &str, value: &Value) -> Result<T> {
    value.clone().try_into().map_err(|error: toml::de::Error| anyhow!("{option}: {}", error.message()))
}

fn on_top(mut settings: RunSettings, layers: &[(String, Table)], args: &TrainArgs) -> Result<RunSettings> {
    for (origin, table) in layers {
        settings = settings.with(table.clone(), origin)?;
    }
    apply(&mut settings, args)?;
    settings.validate()?;
    Ok(settings)
}

fn apply(settings: &mut RunSettings, args: &TrainArgs) -> Result<()> {
    fn set<T: Clone>(field: &mut T, option: &Option<T>) {
        if let Some(value) = option {
            *field = value.clone();
        }
    }
    args.data.apply(&mut settings.data);
    if args.from.is_some() {
        settings.from.clone_from(&args.from);
    }
    for path in [&mut settings.data.path, &mut settings.data.validation, &mut settings.from].into_iter().flatten() {
        *path = absolute(&*path)?;
    }
    set(&mut settings.seed, &args.seed);
    let training = &mut settings.training;
    set(&mut training.stage, &args.stage);
    set(&mut training.steps, &args.steps);
    set(&mut training.batch, &args.batch);
    set(&mut training.precision, &args.precision);
    set(&mut training.learning_rate, &args.learning_rate);
    if !args.ema.is_empty() {
        training.ema_half_lives.clone_from(&args.ema);
    }
    Ok(())
}

/// Takes the split of the weights that the run starts from: with another one, it would validate on images that those
/// weights were trained on. A run that divides nothing hands it on.
fn split_as_before(settings: &mut RunSettings, is_explicit: bool) -> Result<()> {
    let Some(from) = &settings.from else { return Ok(()) };
    let header = read_header(&files::read(from)?).with_context(|| format!("cannot use {}", from.display()))?;
    let before = header.provenance.split_seed.unwrap_or(header.provenance.seed);
    let now = settings.data.split_seed.unwrap_or(settings.seed);
    if is_explicit && !settings.data.splits() {
        return Ok(());
    }
    ensure!(
        !is_explicit || now == before,
        "data.split_seed is {now}, but {} was trained with the split of seed {before}: this run would validate on images \
         that those weights were trained on. Leave data.split_seed out, or pass --validation PATH",
        from.display()
    );
    settings.data.split_seed = Some(before);
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use burn::backend::{Autodiff, Flex};
    use clap::Parser;
    use vdm::config::SamplingConfig;
    use vdm::image::{GreyImage, Origin};
    use vdm::model::Networks;
    use vdm::weights::{Precision, Provenance};

    use super::super::commands::Cli;
    use super::*;
    use crate::base::interrupt::Interrupt;
    use crate::run::inputs;

    fn parse(line: &str) -> TrainArgs {
        Cli::try_parse_from(["trainer"].into_iter().chain(line.split_whitespace())).expect(line).train
    }

    fn quick(line: &str) -> Result<RunSettings> {
        new(&parse(line), || Ok(Preset::Quick))
    }

    /// A manifest of 40 patients with one image each.
    fn patients(folder: &Path) {
        let mut list = "path,patient\n".to_owned();
        for i in 0..40u32 {
            let image = GreyImage { width: 8, height: 8, pixels: (0..64).map(|p| (p * i % 251) as u8).collect() };
            fs::write(folder.join(format!("{i}.png")), image.to_png(&Origin::default()).expect("PNG")).expect("writes");
            list += &format!("{i}.png,p{i}\n");
        }
        fs::write(folder.join("list.csv"), list).expect("writes");
    }

    fn weights(path: &Path, seed: u64, split_seed: Option<u64>) {
        let config = Preset::Quick.model();
        let networks = Networks::<Autodiff<Flex>>::new(&config, 1, &Default::default()).expect("builds");
        let provenance = Provenance { seed, split_seed, ..Provenance::default() };
        files::write_model(path, &networks, &config, &SamplingConfig::default(), &provenance, Precision::F16)
            .expect("writes");
    }

    #[test]
    fn the_split_has_its_own_seed_which_weights_hand_on() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name).display().to_string();
        patients(folder.path());
        let data = format!("--data {} --cache {}", at("list.csv"), at("cache"));
        let held_out = |settings: RunSettings| {
            let data = inputs::load(settings, &Interrupt::default()).expect("loads");
            (data.validation.names, data.provenance.split_seed)
        };
        let split = |line: &str| held_out(quick(&format!("{data} {line}")).expect(line));
        let first = split("");
        assert_eq!(first.1, Some(0));
        assert_eq!(split("--seed 1"), first, "--seed alone does not change the split");
        let third = split("--set data.split_seed=3");
        assert_ne!(third.0, first.0);

        // Settings of older versions: the run's seed splits.
        let mut older = quick(&format!("{data} --seed 3")).expect("settings");
        older.data.split_seed = None;
        assert_eq!(held_out(older), third);

        weights(&folder.path().join("new.safetensors"), 7, Some(3));
        weights(&folder.path().join("older.safetensors"), 3, None);
        for file in ["new", "older"] {
            let from = format!("--from {}.safetensors --seed 1", at(file));
            assert_eq!(split(&from), third, "{file}");
            assert_eq!(split(&format!("{from} --set data.split_seed=3")), third, "{file}");
            let error = quick(&format!("{data} {from} --set data.split_seed=4")).expect_err("another split");
            let error = format!("{error:#}");
            assert!(error.contains("split_seed is 4") && error.contains("seed 3"), "{error}");
        }
        quick(&format!("--from {} --set data.split_seed=4", at("new.safetensors"))).expect("phantoms are not split");
    }

    #[test]
    fn a_resumed_run_keeps_what_its_result_depends_on() {
        let folder = tempfile::tempdir().expect("a folder");
        quick("--seed 5 --max-images 24").expect("settings").write(folder.path()).expect("writes");
        let same = "--seed 5 --max-images 24 --set run.validate_every=3 --set weights.license=MIT --steps 2000 \
                    --learning-rate 1e-4 --cache elsewhere --skip-unreadable --set training.accumulation=2";
        let settings = resumed(folder.path(), &parse(same)).expect("the same");
        assert_eq!((settings.run.validate_every, settings.weights.license.as_str()), (3, "MIT"));
        assert_eq!((settings.training.steps, settings.training.learning_rate), (2000, 1e-4));
        for (line, name) in [
            ("--seed 6", "seed is 6, not 5"),
            ("--preset paper", "preset is \"paper\", not \"quick\""),
            ("--max-images all", "data.max_images is null, not 24"),
            ("--set model.latent.schedule.kind=linear", "model.latent.schedule.kind is \"linear\""),
            (
                "--batch 7 --steps 2000 --precision bf16",
                "training.batch is 7, not 32; training.precision is \"bf16\", not",
            ),
        ] {
            let error = format!("{:#}", resumed(folder.path(), &parse(line)).expect_err(line));
            assert!(error.contains(name) && error.contains("--resume"), "{error}");
        }
    }
}
