//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use serde::{Deserialize, Serialize};
use vdm::config::Preset;
use vdm::sampler::Sampler;
use vdm::weights::Precision;

use crate::device::{DeviceChoice, Probed};

/// Trains, samples and evaluates a variational diffusion model of chest X-rays.
///
/// Without a subcommand it trains. Synthetic X-rays are never for diagnosis.
#[derive(Debug, Parser)]
#[command(version, args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Options of training.
    #[command(flatten)]
    pub train: TrainArgs,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Train a model (the default)
    Train(Box<TrainArgs>),
    /// Draw synthetic X-rays from a file of weights
    Sample(SampleArgs),
    /// Measure the variational bound of a file of weights on a folder of images
    Evaluate(EvaluateArgs),
    /// Print what a file of weights holds
    Inspect(InspectArgs),
    /// Write what a run did to one HTML file, report.html in its folder
    Report(ReportArgs),
    #[command(hide = true)]
    Probe { device: Probed },
}

/// Options of training.
#[derive(Debug, Args)]
pub struct TrainArgs {
    /// Folder of PNG or JPEG images, searched recursively [default: built-in phantoms]
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Folder of validation images [default: every tenth image of --data is held out]
    #[arg(long, value_name = "DIR")]
    pub validation: Option<PathBuf>,
    /// Model and training settings [default: paper on a GPU, quick on the CPU]
    #[arg(long, value_parser = preset)]
    pub preset: Option<Preset>,
    /// Where to compute; auto takes the best that works
    #[arg(long, value_enum, default_value_t = DeviceChoice::Auto)]
    pub device: DeviceChoice,
    /// Optimizer steps [default: the preset's; paper 20000, quick 1000]
    #[arg(long, value_name = "N")]
    pub steps: Option<u64>,
    /// Images a step [default: the preset's; paper 64, quick 32]
    #[arg(long, value_name = "N")]
    pub batch: Option<usize>,
    /// Seed of weights, order, times and noise [default: 0]
    #[arg(long)]
    pub seed: Option<u64>,
    /// Folder of the run [default: runs/PRESET, or the next free runs/PRESET-N]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Go on with the run in --out (by default the newest in runs/), exactly where it stopped
    #[arg(long)]
    pub resume: bool,
    /// Stop with a checkpoint after this time, such as 9m or 1h30m
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub time_limit: Option<Duration>,
    /// Images to train on, the first in name order: a number, or all [default: the preset's; paper 1341]
    #[arg(long, value_name = "N", value_parser = count_or_all)]
    pub max_images: Option<CountOrAll>,
    /// Take the sub-folder of an image as its class
    #[arg(long)]
    pub class_folders: bool,
    /// Leave unreadable images out, and count them, instead of stopping at the first
    #[arg(long)]
    pub skip_unreadable: bool,
    /// Peak learning rate [default: the preset's; paper 8e-4]
    #[arg(long, value_name = "RATE")]
    pub learning_rate: Option<f64>,
    /// Weight of latent + diffusion in the objective; 1 is the bound itself [default: 1]
    #[arg(long, value_name = "W")]
    pub rate_weight: Option<f64>,
    /// Weight of the paper's mean squared error [default: 0]
    #[arg(long, value_name = "W")]
    pub mse_weight: Option<f64>,
    /// Weight of the paper's gradient difference [default: 0]
    #[arg(long, value_name = "W")]
    pub gradient_difference_weight: Option<f64>,
    /// Noise schedule [default: monotonic]
    #[arg(long, value_enum)]
    pub schedule: Option<ScheduleChoice>,
    /// γ at t = 0: -log of the signal-to-noise ratio of z_0 [default: the preset's]
    #[arg(long, allow_hyphen_values = true, value_name = "GAMMA")]
    pub gamma_min: Option<f64>,
    /// γ at t = 1 [default: the preset's]
    #[arg(long, allow_hyphen_values = true, value_name = "GAMMA")]
    pub gamma_max: Option<f64>,
    /// Train the diffusion loss in discrete time of so many steps [default: continuous time]
    #[arg(long, value_name = "T")]
    pub diffusion_steps: Option<u32>,
    /// Steps between two validations [default: 250]
    #[arg(long, value_name = "N")]
    pub validate_every: Option<u64>,
    /// Steps between two checkpoints
    #[arg(long, value_name = "N", default_value_t = 500)]
    pub checkpoint_every: u64,
    /// Precision of the final weights [default: f16]
    #[arg(long, value_enum)]
    pub precision: Option<PrecisionChoice>,
    /// What the images are, for the weights' provenance [default: the folder's name]
    #[arg(long, value_name = "TEXT")]
    pub data_name: Option<String>,
    /// Whom the weights acknowledge [default: nobody]
    #[arg(long, value_name = "TEXT")]
    pub acknowledgement: Option<String>,
    /// Licence of the weights [default: none stated]
    #[arg(long, value_name = "TEXT")]
    pub license: Option<String>,
}

/// Options of sampling.
#[derive(Debug, Args)]
pub struct SampleArgs {
    /// The file of weights
    #[arg(long, value_name = "FILE")]
    pub weights: PathBuf,
    /// Images to draw; image k takes seed + k
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub count: usize,
    /// Network evaluations an image
    #[arg(long, value_name = "N", default_value_t = 50)]
    pub steps: usize,
    /// How a step is taken: ancestral, ddim or dpmpp-2m
    #[arg(long, value_parser = sampler, default_value = Sampler::default().name())]
    pub sampler: Sampler,
    /// Guidance weight; 0 is the plain conditional prediction
    #[arg(long, value_name = "W", default_value_t = 0.0, allow_hyphen_values = true)]
    pub guidance: f64,
    /// Class, by number or name, for weights that have classes
    #[arg(long)]
    pub class: Option<String>,
    /// Seed of the first image
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Where to compute
    #[arg(long, value_enum, default_value_t = DeviceChoice::Auto)]
    pub device: DeviceChoice,
    /// A .png file (a grid, if there are several images) or a folder for one file an image
    #[arg(long, value_name = "FILE_OR_DIR", default_value = "samples")]
    pub out: PathBuf,
    /// Draw each pixel from the Bernoulli decoder instead of showing its mean
    #[arg(long)]
    pub draw_pixels: bool,
    /// Leave the label out of the picture; it stays in the metadata
    #[arg(long)]
    pub no_visible_label: bool,
}

/// Options of evaluation.
#[derive(Debug, Args)]
pub struct EvaluateArgs {
    /// The file of weights; the encoder's file is found beside it
    #[arg(long, value_name = "FILE")]
    pub weights: PathBuf,
    /// Folder of images
    #[arg(long, value_name = "DIR")]
    pub data: PathBuf,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// Diffusion times an image, antithetic
    #[arg(long, value_name = "N", default_value_t = 16)]
    pub times: usize,
    /// Seed of times and noise
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Where to compute
    #[arg(long, value_enum, default_value_t = DeviceChoice::Auto)]
    pub device: DeviceChoice,
    /// Leave unreadable images out, and count them, instead of stopping at the first
    #[arg(long)]
    pub skip_unreadable: bool,
}

/// Options of inspection.
#[derive(Debug, Args)]
pub struct InspectArgs {
    /// The file of weights
    pub weights: PathBuf,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Options of a report.
#[derive(Debug, Args)]
pub struct ReportArgs {
    /// The run's folder, finished or not [default: the newest in runs/]
    #[arg(value_name = "RUN_DIR")]
    pub run: Option<PathBuf>,
}

/// A number of images, or all there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CountOrAll {
    /// So many.
    Count(usize),
    /// All.
    All,
}

/// The form of the noise schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ScheduleChoice {
    /// Linear, endpoints fixed
    Linear,
    /// Linear, both endpoints learned
    LearnedLinear,
    /// A monotone network, endpoints fixed
    Monotonic,
    /// A monotone network, endpoints learned
    MonotonicEndpoints,
}

/// Precision of a file of weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
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

fn preset(name: &str) -> Result<Preset, String> {
    let names: Vec<_> = Preset::ALL.iter().map(|preset| preset.name()).collect();
    Preset::ALL
        .into_iter()
        .find(|preset| preset.name() == name)
        .ok_or_else(|| format!("the presets are {}", names.join(", ")))
}

fn sampler(name: &str) -> Result<Sampler, String> {
    let names: Vec<_> = Sampler::ALL.iter().map(|sampler| sampler.name()).collect();
    Sampler::from_name(name).ok_or_else(|| format!("the samplers are {}", names.join(", ")))
}

fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|error| format!("{error}; a time is written as 9m or 1h30m"))
}

fn count_or_all(text: &str) -> Result<CountOrAll, String> {
    match (text, text.parse()) {
        ("all", _) => Ok(CountOrAll::All),
        (_, Ok(count)) if count > 0 => Ok(CountOrAll::Count(count)),
        _ => Err("a number from 1, or all".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        super::Cli::command().debug_assert();
    }
}
