//! A run's settings: a preset, a TOML file on top of it, and the command line on top of that.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, ensure};
use serde::{Deserialize, Serialize};
use toml::{Table, Value};
use vdm::config::{ModelConfig, Preset, SamplingConfig, Stage, TrainingConfig};
use vdm::weights::Precision;

use super::table;
use crate::base::files;
use crate::data::{AugmentSettings, SourceSettings};

/// Everything that a run's result depends on, and when it shows it. A run's folder keeps it as `run.toml`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunSettings {
    /// The preset that the other settings start from.
    pub preset: Preset,
    /// Seed of weights, order, times and noise.
    pub seed: u64,
    /// Weights to start from: each part with the same configuration is taken.
    pub from: Option<PathBuf>,
    /// The images.
    pub data: SourceSettings,
    /// Random changes to training images; none by default, as in the paper.
    pub augmentation: AugmentSettings,
    /// When the run logs, validates, samples and saves.
    pub run: Cadence,
    /// The weights file.
    pub weights: WeightsSettings,
    /// The training.
    pub training: TrainingConfig,
    /// The model; the data determines `attributes`.
    pub model: ModelConfig,
    /// How samples are drawn; the weights file has it too.
    #[serde(default)]
    pub sampling: SamplingConfig,
}

/// When a run logs, validates, samples and saves, in steps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cadence {
    /// Steps between two lines of the log. Only then does the program wait for the device.
    pub log_every: u64,
    /// Steps between two validations; the best one gives the final weights.
    pub validate_every: u64,
    /// Steps between two grids of samples.
    pub sample_every: u64,
    /// Steps between two checkpoints, each of which replaces the last.
    pub checkpoint_every: u64,
    /// Steps between two checkpoints that are kept.
    pub keep_every: Option<u64>,
    /// What to do when a loss or a gradient is not finite.
    pub on_not_finite: OnNotFinite,
}

/// What to do when a loss or a gradient is not finite.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnNotFinite {
    /// Stop; the last checkpoint is kept.
    Stop,
    /// Go back to the last checkpoint and continue with other images and noise; stop after three rollbacks.
    #[serde(alias = "step-back")]
    Rollback,
}

/// What the weights file says, and how precisely it stores numbers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WeightsSettings {
    /// Precision of the numbers in the file.
    pub precision: Precision,
    /// What the images are.
    pub data_name: Option<String>,
    /// Acknowledgement and citation.
    pub acknowledgement: String,
    /// Licence of the weights.
    pub license: String,
}

/// What happens if an option is not set.
const WITHOUT: [(&str, &str); 17] = [
    ("from", "every part starts fresh"),
    ("data.path", "built-in phantoms"),
    ("data.validation", "part of data.path is held out"),
    ("data.split_seed", "the run's seed"),
    ("data.max_images", "all images"),
    ("data.sex", "all images"),
    ("data.min_age", "no limit"),
    ("data.max_age", "no limit"),
    ("data.cache", "the user's cache folder"),
    ("run.keep_every", "only the last checkpoint stays"),
    ("weights.data_name", "the name of the data's folder"),
    ("training.diffusion_steps", "continuous time"),
    ("training.objective.sigmoid_bias", "the variational bound's own weights"),
    ("training.objective.velocity_gamma", "the same weight at every γ"),
    ("training.crop", "whole images"),
    ("model.latent", "the model has bands"),
    ("model.bands", "the model has a latent"),
];

impl RunSettings {
    /// The settings of a preset, for a stage of its training; for its first stage by default.
    pub fn of(preset: Preset, stage: Option<Stage>) -> Self {
        Self {
            preset,
            seed: 0,
            from: None,
            data: SourceSettings::default(),
            augmentation: AugmentSettings::default(),
            run: Cadence {
                log_every: 1,
                validate_every: 250,
                sample_every: 250,
                checkpoint_every: 500,
                keep_every: None,
                on_not_finite: OnNotFinite::Stop,
            },
            weights: WeightsSettings {
                precision: Precision::F16,
                data_name: None,
                acknowledgement: String::new(),
                license: String::new(),
            },
            training: preset.training(stage),
            model: preset.model(),
            sampling: SamplingConfig::default(),
        }
    }

    /// Checks everything that can be checked without reading files.
    ///
    /// # Errors
    /// The first setting out of its range, with the range.
    pub fn validate(&self) -> Result<()> {
        self.model.validate().context("the model cannot be built")?;
        self.sampling.validate().context("the model cannot be sampled")?;
        self.training.validate().context("the training cannot be run")?;
        let Cadence { log_every, validate_every, sample_every, checkpoint_every, keep_every, .. } = self.run;
        for (name, value) in [
            ("log_every", Some(log_every)),
            ("validate_every", Some(validate_every)),
            ("sample_every", Some(sample_every)),
            ("checkpoint_every", Some(checkpoint_every)),
            ("keep_every", keep_every),
        ] {
            ensure!(value != Some(0), "run.{name} is 0: at least 1 is accepted");
        }
        let stage = self.training.stage;
        ensure!(
            (stage == Stage::Joint) == self.model.latent.is_some(),
            "--stage is {}: joint is accepted for a model with a latent, coarse and fine for one with bands",
            stage.name()
        );
        self.augmentation.validate()?;
        self.data.validate()
    }

    /// These settings with a table on top, which errors call `origin`.
    ///
    /// # Errors
    /// A key that is not an option, or a value that the option does not take.
    pub fn with(&self, mut over: Table, origin: &str) -> Result<Self> {
        let mut all = Table::try_from(self)?;
        move_former_options(&mut over);
        table::merge(&mut all, over);
        Self::from_table(all).with_context(|| format!("cannot use {origin}"))
    }

    fn from_table(table: Table) -> Result<Self> {
        table::settings(table).map_err(|error| {
            let (name, message) = (error.path().to_string(), error.inner().message());
            match similar_option(&name) {
                Some(option) if message.starts_with("unknown field") => {
                    anyhow!("{name} is not an option: did you mean {option}?")
                }
                _ => anyhow!("{name}: {message}"),
            }
        })
    }

    /// The settings as TOML text. Comments at its end name the options that are not set.
    pub fn to_toml(&self) -> Result<String> {
        let mut text = toml::to_string_pretty(&Table::try_from(self)?)?;
        text += "\n# Not set (as with the value \"none\"):\n";
        for (name, _) in table::options(self)?.iter().filter(|(_, value)| value.is_null()) {
            let without = WITHOUT.iter().find(|(option, _)| option == name).map_or("none", |(_, without)| without);
            text += &format!("# {name} = …  ({without})\n");
        }
        Ok(text)
    }

    /// Reads a `run.toml`.
    pub fn read(path: &Path) -> Result<Self> {
        let mut table = table::read(path)?;
        move_former_options(&mut table);
        Self::from_table(table).with_context(|| format!("{} is damaged", path.display()))
    }

    /// Settings as [`to_toml`](Self::to_toml) writes them.
    pub fn of_toml(text: &str) -> Result<Self> {
        Self::from_table(text.parse()?)
    }

    /// Writes `run.toml`.
    pub fn write(&self, folder: &Path) -> Result<()> {
        files::write_atomic(&folder.join("run.toml"), self.to_toml()?.as_bytes())
    }
}

/// Gives options of older files their present names.
fn move_former_options(table: &mut Table) {
    if let Some(value) = table::remove(table, "training.objective.rate") {
        table::merge(table, table::nested("training.objective.kl_weight", value));
    }
    // One word, before there could be several.
    if let Some(labels) = table::remove(table, "data.labels") {
        let list = match labels {
            Value::String(word) if word == "none" => Value::Array(Vec::new()),
            Value::String(word) => Value::Array(vec![Value::String(word)]),
            list => list,
        };
        table::merge(table, table::nested("data.labels", list));
    }
    // The data determine them.
    table::remove(table, "model.classes");
}

/// The option whose name is most similar to this one, in any section.
fn similar_option(name: &str) -> Option<String> {
    // Longer than any is like none: comparing thousands of letters takes a second.
    const LONGEST: usize = 100;
    if name.len() > LONGEST {
        return None;
    }
    let like = strsim::normalized_damerau_levenshtein;
    let last = |name: &str| name.rsplit('.').next().unwrap_or_default().to_owned();
    let options = Preset::ALL.iter().filter_map(|&preset| table::options(&RunSettings::of(preset, None)).ok());
    options
        .flatten()
        .map(|(option, _)| (like(&last(name), &last(&option)), like(name, &option), option))
        .filter(|(of_key, _, _)| *of_key > 0.6)
        .max_by(|a, b| (a.0 + a.1).total_cmp(&(b.0 + b.1)))
        .map(|(_, _, option)| option)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::{Duration, Instant};

    use serde_json::Value as Json;
    use vdm::config::ScheduleKind;

    use super::*;

    fn with(text: &str) -> Result<RunSettings> {
        RunSettings::of(Preset::Paper, None).with(text.parse().expect("TOML"), "a.toml")
    }

    fn set(settings: &RunSettings, assignment: &str) -> Result<RunSettings> {
        let mut table = Table::new();
        table::assign(&mut table, assignment)?;
        settings.with(table, "--set")
    }

    fn option(settings: &RunSettings, name: &str) -> Json {
        let options = table::options(&settings).expect("options");
        options.into_iter().find(|(option, _)| option == name).map_or(Json::Null, |(_, value)| value)
    }

    fn kept(settings: &RunSettings) -> RunSettings {
        let text = settings.to_toml().expect("TOML");
        RunSettings::from_table(text.parse().expect("TOML")).expect(&text)
    }

    /// Sections of which a model has one.
    const MODELS: [&str; 2] = ["model.latent", "model.bands"];

    /// Whether a preset has the option, or may have it.
    fn has(preset: Preset, name: &str) -> bool {
        let model = preset.model();
        let absent = [model.latent.is_none(), model.bands.is_none()];
        !MODELS.iter().zip(absent).any(|(section, absent)| absent && name.starts_with(section))
    }

    /// Settings with every option set: what a preset leaves open takes a number or, where it refuses that, a word.
    fn populated() -> RunSettings {
        let mut all = RunSettings::of(Preset::Sharp, None);
        let open = open(Preset::Sharp).into_iter().filter(|name| !MODELS.contains(&name.as_str()));
        for name in open {
            let values = ["3", "word"].map(|value| set(&all, &format!("{name}={value}")));
            all = values.into_iter().find_map(Result::ok).unwrap_or_else(|| panic!("{name} cannot be set"));
        }
        all
    }

    /// The options that take `none` for not set.
    fn optional(all: &RunSettings) -> BTreeSet<String> {
        let names = table::options(&all).expect("options").into_iter().map(|(name, _)| name);
        names
            .filter(|name| set(all, &format!("{name}=none")).is_ok_and(|settings| option(&settings, name).is_null()))
            .collect()
    }

    /// The options that a preset leaves open.
    fn open(preset: Preset) -> BTreeSet<String> {
        let options = table::options(&RunSettings::of(preset, None)).expect("options").into_iter();
        options.filter(|(_, value)| value.is_null()).map(|(name, _)| name).collect()
    }

    #[test]
    fn every_option_can_be_set_unset_and_kept() {
        let all = populated();
        assert_eq!(kept(&all), all);
        for (name, value) in table::options(&all).expect("options") {
            if MODELS.contains(&name.as_str()) {
                continue;
            }
            assert!(!value.is_null(), "{name}");
            for &preset in Preset::ALL.iter().filter(|preset| has(**preset, &name)) {
                let settings = set(&RunSettings::of(preset, None), &format!("{name}={value}")).expect(&name);
                assert_eq!(option(&settings, &name), value, "{name}");
                assert_eq!(kept(&settings), settings, "{name}");
            }
        }
        let optional = optional(&all);
        for name in Preset::ALL.iter().copied().flat_map(open) {
            assert!(optional.contains(&name) || MODELS.contains(&name.as_str()), "{name} cannot be unset");
        }
        for name in optional {
            let settings = set(&all, &format!("{name}=none")).expect(&name);
            assert_eq!(kept(&settings), settings, "{name}");
        }
    }

    #[test]
    fn the_file_says_what_happens_where_an_option_is_not_set() {
        let explained: BTreeSet<String> = WITHOUT.iter().map(|(name, _)| (*name).to_owned()).collect();
        let models = MODELS.map(str::to_owned);
        assert_eq!(explained, optional(&populated()).into_iter().chain(models).collect());
        let text = RunSettings::of(Preset::Quick, None).to_toml().expect("TOML");
        for (name, without) in WITHOUT {
            assert_eq!(
                text.contains(&format!("# {name} = …  ({without})")),
                open(Preset::Quick).contains(name),
                "{text}"
            );
        }
    }

    #[test]
    fn words_of_older_files_say_that_an_option_is_not_set() {
        let words = "from = \"nothing\"\n[data]\npath = \"phantoms\"\nvalidation = \"held-out\"\nmax_images = \"all\"\n\
                     sex = \"any\"\nmin_age = \"any\"\nmax_age = \"any\"\ncache = \"default\"\n[run]\nkeep_every = \"never\"\n\
                     on_not_finite = \"step-back\"\n[weights]\ndata_name = \"of-the-folder\"\n[training]\n\
                     diffusion_steps = \"continuous\"\n[training.objective]\nsigmoid_bias = \"none\"";
        let all = populated();
        let mut expected = all.clone();
        let settings = expected.with(words.parse().expect("TOML"), "run.toml").expect("accepted");
        for name in optional(&all) {
            // Older files always have a number there, or no such key.
            if !["data.split_seed", "training.crop", "training.objective.velocity_gamma"].contains(&name.as_str()) {
                expected = set(&expected, &format!("{name}=none")).expect(&name);
            }
        }
        expected.run.on_not_finite = OnNotFinite::Rollback;
        assert_eq!(settings, expected);
    }

    #[test]
    fn a_file_changes_what_it_names() {
        let settings = with(
            "[training]\nbatch = 16\nema_half_lives = [500]\n[data]\nmax_images = \"none\"\n\
             [model.latent.schedule]\nkind = \"linear\"\n[run]\nkeep_every = 100",
        )
        .expect("valid");
        let mut expected = RunSettings::of(Preset::Paper, None);
        expected.training.batch = 16;
        expected.training.ema_half_lives = vec![500];
        expected.data.max_images = None;
        expected.model.latent.as_mut().expect("a latent").schedule.kind = ScheduleKind::Linear;
        expected.run.keep_every = Some(100);
        assert_eq!(settings, expected);
    }

    #[test]
    fn options_of_an_older_run_are_read() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("run.toml");
        let expected = RunSettings::of(Preset::Quick, None);
        let older = expected.to_toml().expect("TOML").replace("kl_weight", "rate");
        assert!(older.contains("rate ="), "{older}");
        std::fs::write(&path, &older).expect("a file");
        assert_eq!(RunSettings::read(&path).expect(&older), expected);
        let settings = set(&expected, "training.objective.rate=2").expect("a former name");
        assert_eq!(settings.training.objective.kl_weight, 2.0);
    }

    #[test]
    fn an_unknown_key_is_refused_with_the_nearest_right_name() {
        for (text, name) in [
            ("[training]\nlerning_rate = 1e-3", "did you mean training.learning_rate?"),
            ("[training]\nlr = 1e-3", "expected one of"),
            ("learning_rate = 1e-3", "did you mean training.learning_rate?"),
            ("[training]\nbach = 3", "did you mean training.batch?"),
            ("[trainig]\nbatch = 3", "`training`"),
            ("[model.latent.encoder]\nlayer = 3", "did you mean model.latent.encoder.layers?"),
            ("[training.objective]\ngradient_diference = 3", "did you mean training.objective.gradient_difference?"),
        ] {
            let error = format!("{:#}", with(text).expect_err(text));
            assert!(error.contains(name), "{text}: {error}");
        }
        let error = format!("{:#}", with("[training]\nbatch = \"many\"").expect_err("a wrong type"));
        assert!(error.contains("training.batch") && !error.contains("did you mean"), "{error}");
    }

    #[test]
    fn assignments_are_toml_or_words() {
        let mut table = Table::new();
        for assignment in [
            "training.batch=8",
            "data.max_images=none",
            "data.labels=none",
            "model.latent.schedule.kind={ monotonic = { hidden = 4, learn_endpoints = true } }",
        ] {
            table::assign(&mut table, assignment).expect(assignment);
        }
        let settings = RunSettings::of(Preset::Paper, None).with(table, "--set").expect("valid");
        assert_eq!((settings.training.batch, settings.data.max_images), (8, None));
        let schedule = settings.model.latent.expect("a latent").schedule;
        assert_eq!(schedule.kind, ScheduleKind::Monotonic { hidden: 4, learn_endpoints: true });
        for wrong in ["training.batch".to_owned(), format!("a{}=1", ".a".repeat(30_000))] {
            assert!(table::assign(&mut Table::new(), &wrong).is_err());
        }
    }

    #[test]
    fn a_long_name_is_refused_at_once() {
        let name = "[".repeat(300_000);
        let started = Instant::now();
        let set = table::nested(&format!("training.{name}"), Value::Boolean(true));
        let error = RunSettings::of(Preset::Paper, None).with(set, "--set").expect_err("no such option").to_string();
        assert!(error.contains("--set") && !error.contains("did you mean"), "{error:.200}");
        assert!(started.elapsed() < Duration::from_secs(2), "it took {:?}", started.elapsed());
        assert_eq!(similar_option("training.lerning_rate").as_deref(), Some("training.learning_rate"));
    }
}
