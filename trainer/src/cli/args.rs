//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use vdm::config::{ComputePrecision, Preset, Stage};
use vdm::sampler::Sampler;

use super::{
    evaluate::EvaluateArgs, export::ExportArgs, inspect::InspectArgs, manual::ManArgs, prepare::PrepareArgs,
    report::ReportArgs, sample::SampleArgs, speed::SpeedArgs,
};
use crate::base::device::{DeviceChoice, Devices, Probed};
use crate::data::DataArgs;
use crate::run::settings::{OnNotFinite, PrecisionChoice};
use crate::train::Nodes;

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
    /// Read and prepare images, and report what is wrong with them; training does it by itself
    Prepare(PrepareArgs),
    /// Draw synthetic X-rays from a file of weights
    Sample(SampleArgs),
    /// Measure a file of weights, or a folder of samples, against real images
    Evaluate(Box<EvaluateArgs>),
    /// Print what a file of weights holds
    Inspect(InspectArgs),
    /// Measure how long a model takes, beside a plain matrix product on the same device
    Speed(SpeedArgs),
    /// Write a model as ONNX files, with its noise schedule as JSON
    Export(ExportArgs),
    /// Print a script that completes this program's options in a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print the manual page
    Man(ManArgs),
    /// Write what a run did to one HTML file, report.html in its folder
    Report(ReportArgs),
    #[command(hide = true)]
    Probe { device: Probed },
}

/// Options of training.
#[derive(Debug, Args)]
pub struct TrainArgs {
    /// Settings in TOML, on top of the preset; the other options are on top of them
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// One setting, by its name in the TOML file, such as training.beta_2=0.999; may be given several times
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Print the resolved settings as TOML, and do nothing else
    #[arg(long)]
    pub print_config: bool,
    /// Model and training settings [default: paper on a GPU, quick on the CPU]
    #[arg(long, value_parser = preset)]
    pub preset: Option<Preset>,
    /// What to train: joint, autoencoder, decoder or diffusion; sharp models take an autoencoder, then diffusion
    /// [default: the preset's]
    #[arg(long, value_parser = stage)]
    pub stage: Option<Stage>,
    /// Weights to start from, with the encoder's file beside them; each part that is built alike is taken
    #[arg(long, value_name = "FILE")]
    pub from: Option<PathBuf>,
    /// The images.
    #[command(flatten)]
    pub data: DataArgs,
    /// Where to compute; auto takes the best that works
    #[arg(long, value_enum, default_value_t = DeviceChoice::Auto)]
    pub device: DeviceChoice,
    /// How many devices of that kind train together, which (0,2), or all
    #[arg(long, value_name = "DEVICES", default_value = "1")]
    pub devices: Devices,
    /// Several machines.
    #[command(flatten)]
    pub nodes: Nodes,
    /// Optimizer steps [default: the preset's; paper 20000, quick 1000]
    #[arg(long, value_name = "N")]
    pub steps: Option<u64>,
    /// Images a step, over all devices [default: the preset's; paper 64, quick 32]
    #[arg(long, value_name = "N")]
    pub batch: Option<usize>,
    /// Parts that a device takes its share of a batch in, to save memory [default: 1]
    #[arg(long, value_name = "N")]
    pub accumulation: Option<usize>,
    /// Precision of the matrix products: f32, bf16 or f16; weights, losses and optimizer stay f32 [default: f32]
    #[arg(long, value_parser = compute_precision)]
    pub precision: Option<ComputePrecision>,
    /// Half-lives, in images, of averages of the weights to keep and validate, such as 10000,100000 [default: none]
    #[arg(long, value_name = "IMAGES", value_delimiter = ',')]
    pub ema: Vec<u64>,
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
    /// Steps between two lines of the log [default: 1]
    #[arg(long, value_name = "N")]
    pub log_every: Option<u64>,
    /// Steps between two validations [default: 250]
    #[arg(long, value_name = "N")]
    pub validate_every: Option<u64>,
    /// Steps between two grids of samples [default: 250]
    #[arg(long, value_name = "N")]
    pub sample_every: Option<u64>,
    /// Steps between two checkpoints, each of which replaces the last [default: 500]
    #[arg(long, value_name = "N")]
    pub checkpoint_every: Option<u64>,
    /// Steps between two checkpoints that stay [default: none stays]
    #[arg(long, value_name = "N")]
    pub keep_every: Option<u64>,
    /// What to do when a loss or a gradient is not a finite number [default: stop]
    #[arg(long, value_enum)]
    pub on_not_finite: Option<OnNotFinite>,
    /// Precision of the final weights [default: f16]
    #[arg(long, value_enum)]
    pub weights_precision: Option<PrecisionChoice>,
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

fn preset(name: &str) -> Result<Preset, String> {
    let names: Vec<_> = Preset::ALL.iter().map(|preset| preset.name()).collect();
    Preset::ALL
        .into_iter()
        .find(|preset| preset.name() == name)
        .ok_or_else(|| format!("the presets are {}", names.join(", ")))
}

pub(super) fn sampler(name: &str) -> Result<Sampler, String> {
    let names: Vec<_> = Sampler::ALL.iter().map(|sampler| sampler.name()).collect();
    Sampler::from_name(name).ok_or_else(|| format!("the samplers are {}", names.join(", ")))
}

fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|error| format!("{error}; a time is written as 9m or 1h30m"))
}

fn compute_precision(name: &str) -> Result<ComputePrecision, String> {
    [ComputePrecision::F32, ComputePrecision::Bf16, ComputePrecision::F16]
        .into_iter()
        .find(|precision| precision.name() == name)
        .ok_or_else(|| "f32, bf16 and f16 are accepted".to_owned())
}

fn stage(name: &str) -> Result<Stage, String> {
    Stage::ALL
        .into_iter()
        .find(|stage| stage.name() == name)
        .ok_or_else(|| "joint, autoencoder, decoder and diffusion are accepted".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        super::Cli::command().debug_assert();
    }
}
