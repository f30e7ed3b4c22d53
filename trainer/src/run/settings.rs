//! A run's settings: a preset, a TOML file on top of it, and the command line on top of that.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};
use toml::{Table, Value};
use vdm::config::{ModelConfig, Preset, Stage, TrainingConfig};
use vdm::weights::Precision;

use crate::base::files;
use crate::data::{AugmentSettings, SourceSettings};

/// Everything that a run's result depends on, and when it shows it. A run's folder keeps it as `run.toml`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunSettings {
    /// The preset that the rest started from.
    pub preset: Preset,
    /// Seed of weights, order, times and noise.
    pub seed: u64,
    /// Weights to start from: each part that is built alike is taken; fresh ones where absent.
    pub from: Option<PathBuf>,
    /// The images.
    pub data: SourceSettings,
    /// What is done to training images; nothing, as in the paper, unless it is asked for.
    pub augmentation: AugmentSettings,
    /// When the run measures, shows and saves itself.
    pub run: Cadence,
    /// What the file of weights says of itself.
    pub weights: Labels,
    /// The training.
    pub training: TrainingConfig,
    /// The model; `classes` is filled in once the data is known.
    pub model: ModelConfig,
}

/// When a run measures, shows and saves itself, in steps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cadence {
    /// Steps between two lines of the log. The device is waited for only then.
    pub log_every: u64,
    /// Steps between two validations, the best of which gives the final weights.
    pub validate_every: u64,
    /// Steps between two grids of samples.
    pub sample_every: u64,
    /// Steps between two checkpoints, each of which replaces the last.
    pub checkpoint_every: u64,
    /// Steps between two checkpoints that stay; none where absent.
    pub keep_every: Option<u64>,
    /// What happens when a loss or a gradient is not a finite number.
    pub on_not_finite: OnNotFinite,
}

/// What happens when a loss or a gradient is not a finite number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum OnNotFinite {
    /// The run stops; the last checkpoint stays
    Stop,
    /// The run goes back to its last checkpoint and on with other images and noise; after three rollbacks it stops
    #[serde(alias = "step-back")]
    #[value(alias = "step-back")]
    Rollback,
}

/// Precision of a file of weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum PrecisionChoice {
    /// 2 bytes a number
    F16,
    /// 4 bytes a number
    F32,
}

impl From<PrecisionChoice> for Precision {
    fn from(choice: PrecisionChoice) -> Self {
        match choice {
            PrecisionChoice::F16 => Precision::F16,
            PrecisionChoice::F32 => Precision::F32,
        }
    }
}

/// What the file of weights says of itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Labels {
    /// Precision of the numbers in the file.
    pub precision: PrecisionChoice,
    /// What the images are; the folder's name where absent.
    pub data_name: Option<String>,
    /// Whom the weights acknowledge.
    pub acknowledgement: String,
    /// Licence of the weights.
    pub license: String,
}

/// What TOML, which has no null, says where an option is absent.
const ABSENT: [(&str, &str, &str); 13] = [
    ("", "from", "nothing"),
    ("data", "path", "phantoms"),
    ("data", "validation", "held-out"),
    ("data", "max_images", "all"),
    ("data", "sex", "any"),
    ("data", "min_age", "any"),
    ("data", "max_age", "any"),
    ("data", "cache", "default"),
    ("run", "keep_every", "never"),
    ("weights", "data_name", "of-the-folder"),
    ("training", "diffusion_steps", "continuous"),
    ("training.objective", "sigmoid_bias", "none"),
    ("model", "patch", "none"),
];

impl RunSettings {
    /// A preset as it is, for a stage of its training or for the first.
    pub fn of(preset: Preset, stage: Option<Stage>) -> Self {
        Self {
            preset,
            seed: 0,
            from: None,
            data: SourceSettings { max_images: preset.max_images(), ..SourceSettings::default() },
            augmentation: AugmentSettings::default(),
            run: Cadence {
                log_every: 1,
                validate_every: 250,
                sample_every: 250,
                checkpoint_every: 500,
                keep_every: None,
                on_not_finite: OnNotFinite::Stop,
            },
            weights: Labels {
                precision: PrecisionChoice::F16,
                data_name: None,
                acknowledgement: String::new(),
                license: String::new(),
            },
            training: preset.training(stage),
            model: preset.model(),
        }
    }

    pub fn validate(&self) -> Result<()> {
        self.model.validate().context("the model cannot be built")?;
        self.training.validate().context("the training cannot be run")?;
        let Cadence { log_every, validate_every, sample_every, checkpoint_every, keep_every, .. } = self.run;
        for (name, value) in [
            ("log_every", Some(log_every)),
            ("validate_every", Some(validate_every)),
            ("sample_every", Some(sample_every)),
            ("checkpoint_every", Some(checkpoint_every)),
            ("keep_every", keep_every),
        ] {
            ensure!(value != Some(0), "--{} is 0: at least 1 is accepted", name.replace('_', "-"));
        }
        ensure!(
            !self.training.stage.keeps_encoder() || self.from.is_some(),
            "--stage {} needs --from FILE: the weights of a run with --stage autoencoder",
            self.training.stage.name()
        );
        self.augmentation.validate()?;
        self.data.validate()
    }

    /// These settings with a table on top. `origin` names the table in errors.
    pub fn with(&self, table: Table, origin: &str) -> Result<Self> {
        let mut all = self.to_table()?;
        let schema = all.clone();
        overlay(&mut all, table, &schema, &mut Vec::new()).with_context(|| format!("cannot use {origin}"))?;
        Self::from_table(all).with_context(|| format!("cannot use {origin}"))
    }

    /// Every option, with words for those that are absent.
    fn to_table(&self) -> Result<Table> {
        let mut table = Table::try_from(self)?;
        for (section, key, word) in ABSENT {
            if let Some(section) = section_of(&mut table, section) {
                section.entry(key).or_insert_with(|| Value::String(word.to_owned()));
            }
        }
        Ok(table)
    }

    fn from_table(mut table: Table) -> Result<Self> {
        for (section, key, word) in ABSENT {
            if let Some(section) = section_of(&mut table, section)
                && section.get(key).and_then(Value::as_str) == Some(word)
            {
                section.remove(key);
            }
        }
        table.try_into().map_err(|error: toml::de::Error| anyhow::anyhow!("{}", error.to_string().trim()))
    }

    /// The settings as TOML text.
    pub fn to_toml(&self) -> Result<String> {
        Ok(toml::to_string_pretty(&self.to_table()?)?)
    }

    /// Reads a `run.toml`.
    pub fn read(path: &Path) -> Result<Self> {
        Self::from_table(read_table(path)?).with_context(|| format!("{} is damaged", path.display()))
    }

    /// Writes `run.toml`.
    pub fn write(&self, folder: &Path) -> Result<()> {
        files::write_atomic(&folder.join("run.toml"), self.to_toml()?.as_bytes())
    }
}

/// The section of a dotted name; the table itself for an empty one.
fn section_of<'a>(table: &'a mut Table, name: &str) -> Option<&'a mut Table> {
    let mut section = table;
    for key in name.split('.').filter(|key| !key.is_empty()) {
        section = section.get_mut(key)?.as_table_mut()?;
    }
    Some(section)
}

/// The stage that a table sets, on which a preset's training depends.
pub fn stage_of(table: &Table) -> Result<Option<Stage>> {
    let stage = table.get("training").and_then(|training| training.get("stage"));
    stage.map(|stage| stage.clone().try_into().context("training.stage")).transpose()
}

pub fn read_table(path: &Path) -> Result<Table> {
    let bytes = files::read(path)?;
    let text = String::from_utf8(bytes).with_context(|| format!("{} is not a text file", path.display()))?;
    // The message shows the line.
    text.parse().map_err(|error: toml::de::Error| {
        anyhow::anyhow!("{} is not TOML: {}", path.display(), error.to_string().trim())
    })
}

/// `training.batch=16` into a table.
pub fn overlay_path(table: &mut Table, assignment: &str) -> Result<()> {
    let accepted = || format!("--set {assignment}: SECTION.KEY=VALUE is accepted, such as training.beta_2=0.999");
    let (path, value) = assignment.split_once('=').with_context(accepted)?;
    // What is not a TOML value is taken as a string, so that nobody has to quote twice.
    let value = format!("value = {value}")
        .parse::<Table>()
        .ok()
        .and_then(|mut parsed| parsed.remove("value"))
        .unwrap_or_else(|| Value::String(value.to_owned()));
    let mut keys: Vec<&str> = path.split('.').map(str::trim).collect();
    let last = keys.pop().with_context(accepted)?;
    let mut table = table;
    for key in keys {
        let entry = table.entry(key).or_insert_with(|| Value::Table(Table::new()));
        table = entry.as_table_mut().with_context(accepted)?;
    }
    table.insert(last.to_owned(), value);
    Ok(())
}

/// Puts a table on top of another, and refuses keys that the schema has not.
fn overlay(base: &mut Table, over: Table, schema: &Table, path: &mut Vec<String>) -> Result<()> {
    for (key, value) in over {
        let Some(known) = schema.get(&key) else {
            let full = path.iter().chain([&key]).cloned().collect::<Vec<_>>().join(".");
            bail!("{full} is no option: {}", nearest(&key, path, schema)?);
        };
        path.push(key.clone());
        match (known, value) {
            // The form of the schedule is a choice with parameters: it is replaced, not merged.
            (Value::Table(schema), Value::Table(value)) if key != "kind" => {
                if let Some(Value::Table(base)) = base.get_mut(&key) {
                    overlay(base, value, schema, path)?;
                }
            }
            (_, value) => {
                base.insert(key, value);
            }
        }
        path.pop();
    }
    Ok(())
}

/// Names the option that was probably meant: of the same section, or of another.
fn nearest(key: &str, path: &[String], schema: &Table) -> Result<String> {
    let here = path.join(".");
    let mut all = Vec::new();
    collect_keys(&RunSettings::of(Preset::Paper, None).to_table()?, &mut Vec::new(), &mut all);
    let score = |full: &str| {
        let name = full.rsplit('.').next().unwrap_or(full);
        let starts = |a: &str, b: &str| b.len() > 3 && a.starts_with(b);
        let near = strsim::normalized_damerau_levenshtein(key, name);
        let near = if starts(key, name) || starts(name, key) { near.max(0.7) } else { near };
        let section = full.strip_suffix(name).unwrap_or_default().trim_end_matches('.');
        if section == here { near + 0.15 } else { near }
    };
    all.sort_by(|a, b| score(b).total_cmp(&score(a)));
    Ok(match all.first() {
        Some(best) if score(best) > 0.5 => format!("did you mean {best}?"),
        _ => {
            let keys: Vec<&str> = schema.keys().map(String::as_str).collect();
            format!("{} are accepted", keys.join(", "))
        }
    })
}

fn collect_keys(table: &Table, path: &mut Vec<String>, all: &mut Vec<String>) {
    for (key, value) in table {
        path.push(key.clone());
        all.push(path.join("."));
        if let Value::Table(table) = value {
            collect_keys(table, path, all);
        }
        path.pop();
    }
}

#[cfg(test)]
mod tests {
    use vdm::config::ScheduleKind;

    use super::*;

    fn with(text: &str) -> Result<RunSettings> {
        RunSettings::of(Preset::Paper, None).with(text.parse().expect("TOML"), "a.toml")
    }

    #[test]
    fn settings_survive_toml() {
        for preset in Preset::ALL {
            let mut settings = RunSettings::of(preset, None);
            settings.training.ema_half_lives = vec![1000, 50_000];
            settings.run.keep_every = Some(1000);
            settings.training.diffusion_steps = Some(1000);
            for settings in [RunSettings::of(preset, None), settings] {
                let text = settings.to_toml().expect("TOML");
                assert_eq!(RunSettings::from_table(text.parse().expect("TOML")).expect(&text), settings);
            }
        }
    }

    #[test]
    fn every_option_stands_in_the_file() {
        let settings = RunSettings::of(Preset::Paper, None);
        let text = RunSettings { data: SourceSettings::default(), ..settings }.to_toml().expect("TOML");
        for (_, key, word) in ABSENT {
            assert!(text.contains(&format!("{key} = \"{word}\"")), "{key}:\n{text}");
        }
    }

    #[test]
    fn a_file_changes_what_it_names() {
        let settings = with(
            "[training]\nbatch = 16\nema_half_lives = [500]\n[data]\nmax_images = \"all\"\n\
             [model.schedule]\nkind = \"linear\"\n[run]\nkeep_every = 100",
        )
        .expect("valid");
        let mut expected = RunSettings::of(Preset::Paper, None);
        expected.training.batch = 16;
        expected.training.ema_half_lives = vec![500];
        expected.data.max_images = None;
        expected.model.schedule.kind = ScheduleKind::Linear;
        expected.run.keep_every = Some(100);
        assert_eq!(settings, expected);
    }

    #[test]
    fn an_unknown_key_is_refused_with_the_nearest_right_name() {
        for (text, name) in [
            ("[training]\nlerning_rate = 1e-3", "training.learning_rate"),
            ("[training]\nlr = 1e-3", "are accepted"),
            ("learning_rate = 1e-3", "training.learning_rate"),
            ("[run]\nbatch_size = 3", "training.batch"),
            ("[trainig]\nbatch = 3", "training"),
            ("[model.encoder]\nlayer = 3", "model.encoder.layers"),
            ("[training.objective]\ngradient_diference = 3", "training.objective.gradient_difference"),
        ] {
            let error = format!("{:#}", with(text).expect_err(text));
            assert!(error.contains("is no option") && error.contains(name), "{text}: {error}");
        }
        let error = format!("{:#}", with("[training]\nbatch = \"many\"").expect_err("a wrong type"));
        assert!(error.contains("batch"), "{error}");
    }

    #[test]
    fn a_rollback_has_an_older_name() {
        for name in ["rollback", "step-back"] {
            let settings = with(&format!("[run]\non_not_finite = \"{name}\"")).expect(name);
            assert_eq!(settings.run.on_not_finite, OnNotFinite::Rollback);
        }
    }

    #[test]
    fn assignments_are_toml_or_words() {
        let mut table = Table::new();
        for set in [
            "training.batch=8",
            "data.max_images=all",
            "model.schedule.kind={ monotonic = { hidden = 4, learn_endpoints = true } }",
        ] {
            overlay_path(&mut table, set).expect(set);
        }
        let settings = RunSettings::of(Preset::Paper, None).with(table, "--set").expect("valid");
        assert_eq!((settings.training.batch, settings.data.max_images), (8, None));
        assert_eq!(settings.model.schedule.kind, ScheduleKind::Monotonic { hidden: 4, learn_endpoints: true });
        assert!(overlay_path(&mut Table::new(), "training.batch").is_err());
    }
}
