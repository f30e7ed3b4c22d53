//! The options of training, and parsers of values.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use vdm::config::{ComputePrecision, Preset, Stage};

use crate::base::device::{DeviceChoice, Devices};
use crate::data::DataArgs;
use crate::run::settings::RunSettings;
use crate::run::table;

/// Options of training.
#[derive(Debug, Args)]
pub struct TrainArgs {
    /// Preset: the model and how it is trained [default: paper on a GPU, quick on the CPU]
    #[arg(long, value_parser = choice(Preset::ALL, Preset::name))]
    pub preset: Option<Preset>,
    /// What to train; sharp takes two stages, coarse and fine [default: the preset's first]
    #[arg(long, value_parser = choice(Stage::ALL, Stage::name))]
    pub stage: Option<Stage>,
    /// Weights file to start from, with its encoder file beside it
    #[arg(long, value_name = "FILE")]
    pub from: Option<PathBuf>,
    /// Optimizer steps [default: the preset's; paper 20000, quick 1000]
    #[arg(long, value_name = "N", aliases = ["max-steps", "num-steps", "max-train-steps", "iterations"])]
    pub steps: Option<u64>,
    /// Images per step, over all devices [default: the preset's; paper 64, quick 32]
    #[arg(long, value_name = "N", aliases = ["batch-size", "train-batch-size"])]
    pub batch: Option<usize>,
    /// Peak learning rate [default: the preset's; paper 8e-4]
    #[arg(long, value_name = "RATE", alias = "lr")]
    pub learning_rate: Option<f64>,
    /// Half-lives, in images, of averages of the weights to keep and validate, such as 10000,100000
    #[arg(long, value_name = "IMAGES", value_delimiter = ',')]
    pub ema: Vec<u64>,
    /// Precision of matrix products; weights, losses and optimizer are always f32 [default: f32]
    #[arg(long, value_parser = choice(ComputePrecision::ALL, ComputePrecision::name))]
    pub precision: Option<ComputePrecision>,
    /// Seed of weights, order of images, times and noise [default: 0]
    #[arg(long)]
    pub seed: Option<u64>,
    /// Folder of the run [default: runs/PRESET, or the next free runs/PRESET-N]
    #[arg(long, value_name = "DIR", aliases = ["output-dir", "outdir", "save-dir", "run-dir"])]
    pub out: Option<PathBuf>,
    /// Continue the run in --out exactly where it stopped [default: the newest run in runs]
    #[arg(long)]
    pub resume: bool,
    /// Go back to the kept checkpoint of this step, and continue from there
    #[arg(long, value_name = "STEP")]
    pub resume_from: Option<u64>,
    /// Continue with images that have changed since the run was started
    #[arg(long)]
    pub accept_changed_images: bool,
    /// Stop with a checkpoint after this time, such as 9m or 1h30m
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub time_limit: Option<Duration>,
    /// Any other setting, such as training.weight_decay=0.01 or data.sex=none; may be given several times
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Settings in TOML, on top of the preset; all other options are on top of them
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Print all settings of this command line as TOML, and exit
    #[arg(long)]
    pub print_config: bool,
    /// The images.
    #[command(flatten, next_help_heading = "Images")]
    pub data: DataArgs,
    /// Device to compute on; auto takes the best that works
    #[arg(long, value_enum, default_value_t = DeviceChoice::Auto, help_heading = "Devices")]
    pub device: DeviceChoice,
    /// How many devices of that kind train together, their numbers (0,2), or all
    #[arg(long, value_name = "DEVICES", default_value = "1", help_heading = "Devices", aliases = ["gpus", "num-gpus"])]
    pub devices: Devices,
}

impl TrainArgs {
    /// Whether they continue a run.
    pub fn resumes(&self) -> bool {
        self.resume || self.resume_from.is_some()
    }
}

/// A parser of values by their names, which `--help` lists.
pub fn choice<T: Copy + Send + Sync + 'static>(
    all: &'static [T],
    name: fn(T) -> &'static str,
) -> impl TypedValueParser<Value = T> {
    PossibleValuesParser::new(all.iter().map(|&value| name(value)))
        .try_map(move |text| all.iter().copied().find(|&value| name(value) == text).ok_or("it is not accepted"))
}

fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|error| format!("{error}; a time is written as 9m or 1h30m"))
}

/// Other names of `--weights`.
pub const WEIGHTS_ALIASES: [&str; 3] = ["checkpoint", "ckpt", "model"];

/// A word of the command line as the parser knows it: `--max_steps` is `--max-steps`, and `--fp16` a precision.
pub fn usual(word: OsString) -> OsString {
    let Some(option) = word.to_str().and_then(|text| text.strip_prefix("--")) else { return word };
    match option {
        "fp16" | "half" => return "--precision=f16".into(),
        "bf16" => return "--precision=bf16".into(),
        "fp32" => return "--precision=f32".into(),
        _ => {}
    }
    match option.split_once('=') {
        Some((name, value)) => format!("--{}={value}", name.replace('_', "-")).into(),
        None => format!("--{}", option.replace('_', "-")).into(),
    }
}

/// What to do instead of an option of training that other programs have, or that is a setting.
pub fn instead(flag: &str) -> Option<String> {
    let known = match flag.trim_start_matches('-') {
        "image-size" | "img-size" | "resolution" | "size" => {
            "the preset decides it (quick: 64, the others: 256); --set model.height=128 --set model.width=128 changes it"
        }
        "checkpoint" | "ckpt" | "ckpt-path" | "resume-from-checkpoint" | "weights" | "pretrained" => {
            "--resume --out DIR continues a run, and --from FILE starts from weights"
        }
        "epochs" | "max-epochs" | "num-epochs" | "num-train-epochs" => {
            "training counts steps: pass --steps N; an epoch takes as many as there are images, divided by --batch"
        }
        "num-workers" | "workers" => "images are prepared on all cores, once, and kept",
        "amp" | "mixed-precision" => "--precision bf16 or f16",
        "cpu" | "cuda" => "--device cpu or cuda",
        "nnodes" | "num-nodes" | "nproc-per-node" | "distributed" | "ddp" => {
            "--devices N trains on several devices; docs/cluster.md has several machines"
        }
        "wandb" | "tensorboard" | "logger" => "the run's folder has TensorBoard's event files",
        "dataset" | "data-dir" | "data-path" | "train-dir" | "train-data-dir" => "--data PATH",
        "val-dir" | "val-data" | "validation-dir" => "--validation PATH",
        _ => return setting_of_flag(flag).map(|setting| format!("use --set {setting}=VALUE")),
    };
    Some(known.to_owned())
}

/// The setting that `--set` takes for what was typed as an option of its own, such as `--weight-decay`.
pub fn setting_of_flag(flag: &str) -> Option<String> {
    let name = flag.trim_start_matches('-').replace('-', "_");
    match name.as_str() {
        "rate_weight" => return Some("training.objective.kl_weight".to_owned()),
        "schedule" => return Some("model.latent.schedule.kind".to_owned()),
        "gradient_accumulation_steps" | "accumulate_grad_batches" => return Some("training.accumulation".to_owned()),
        "gradient_clip_val" | "max_grad_norm" => return Some("training.clip_norm".to_owned()),
        "save_every" | "save_steps" | "checkpointing_steps" => return Some("run.checkpoint_every".to_owned()),
        "eval_every" | "eval_steps" | "val_check_interval" => return Some("run.validate_every".to_owned()),
        _ => {}
    }
    let ending = format!("_{}", name.strip_suffix("_weight").unwrap_or(&name));
    let options = table::options(&RunSettings::of(Preset::Paper, None)).ok()?.into_iter().map(|(option, _)| option);
    options.filter(|option| format!("_{}", option.replace('.', "_")).ends_with(&ending)).min_by_key(String::len)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::commands::Cli;
    use crate::cli::resolve;

    #[test]
    fn options_of_earlier_versions_have_a_setting() {
        for (flag, value) in [
            ("--accumulation", "2"),
            ("--rate-weight", "0.5"),
            ("--mse-weight", "0.5"),
            ("--gradient-difference-weight", "0.5"),
            ("--schedule", "linear"),
            ("--gamma-min", "-3"),
            ("--gamma-max", "3"),
            ("--diffusion-steps", "100"),
            ("--log-every", "3"),
            ("--validate-every", "3"),
            ("--sample-every", "3"),
            ("--checkpoint-every", "3"),
            ("--keep-every", "3"),
            ("--on-not-finite", "rollback"),
            ("--weights-precision", "f32"),
            ("--data-name", "mine"),
            ("--acknowledgement", "you"),
            ("--license", "MIT"),
        ] {
            assert!(Cli::try_parse_from(["trainer", flag, value]).is_err(), "{flag} is an option again");
            let setting = setting_of_flag(flag).expect(flag);
            let cli = Cli::try_parse_from(["trainer", "--set", &format!("{setting}={value}")]).expect(flag);
            let plain = RunSettings::of(Preset::Quick, None);
            assert_ne!(resolve::new(&cli.train, || Ok(Preset::Quick)).expect(flag), plain, "{setting}");
        }
        assert_eq!(setting_of_flag("--weight-decay").as_deref(), Some("training.weight_decay"));
        assert_eq!(setting_of_flag("--frobnicate"), None);
    }

    #[test]
    fn options_of_other_programs_are_understood_or_led_on() {
        let words = "trainer train --max_steps 7 --gpus 2 --fp16 --lr=1e-5 --batch-size 8 --output_dir a_b";
        let cli = Cli::try_parse_from(words.split(' ').map(|word| usual(word.into()))).expect("understood");
        let Some(crate::cli::commands::Command::Train(args)) = cli.command else { panic!("training") };
        assert_eq!((args.steps, args.batch, args.learning_rate), (Some(7), Some(8), Some(1e-5)));
        assert_eq!((args.devices, args.precision), (Devices::Count(2), Some(ComputePrecision::F16)));
        assert_eq!(args.out, Some(PathBuf::from("a_b")));
        for (flag, named) in [
            ("--image-size", "model.height"),
            ("--checkpoint", "--from FILE"),
            ("--epochs", "--steps"),
            ("--gradient-accumulation-steps", "--set training.accumulation"),
            ("--weight-decay", "--set training.weight_decay"),
        ] {
            assert!(Cli::try_parse_from(["trainer", flag, "3"]).is_err(), "{flag} is an option");
            assert!(instead(flag).is_some_and(|text| text.contains(named)), "{flag}");
        }
        for words in ["sample FILE", "sample --checkpoint FILE", "sample --weights FILE --num_samples 1"] {
            let words = ["trainer"].into_iter().chain(words.split(' ')).map(|word| usual(word.into()));
            let Some(crate::cli::commands::Command::Sample(args)) = Cli::try_parse_from(words).expect("parses").command
            else {
                panic!("sampling")
            };
            assert_eq!(args.weights.or(args.file), Some(PathBuf::from("FILE")));
        }
    }
}
