//! `trainer evaluate`: measures weights or samples against real images, and prints one table.

use std::path::PathBuf;

use anyhow::{Result, ensure};
use clap::Args;
use vdm::sampler::Sampler;

use super::args::{WEIGHTS_ALIASES, choice};
use crate::base::device::{self, Device, DeviceChoice};
use crate::base::files;
use crate::data::{self, ChoiceArgs};
use crate::evaluate;
use crate::evaluate::options::{CardOptions, Options, SampleOptions};
use crate::run::folder;

/// Options of evaluation.
#[derive(Debug, Args)]
pub struct EvaluateArgs {
    /// Weights file, with its encoder file beside it [default: of the newest run in runs, unless --samples-dir is given]
    #[arg(long, value_name = "FILE", aliases = WEIGHTS_ALIASES)]
    pub weights: Option<PathBuf>,
    /// Real images that the model was not trained on: a folder, ChestX-ray14 or a CSV manifest
    #[arg(long, value_name = "PATH")]
    pub data: PathBuf,
    /// Which of the real images.
    #[command(flatten)]
    pub choice: ChoiceArgs,
    /// Training images, to find samples that are copies of them
    #[arg(long, value_name = "PATH")]
    pub train_data: Option<PathBuf>,
    /// Samples to draw and measure; 0 for none [default: 256, or the number of real images if smaller]
    #[arg(long, value_name = "N", conflicts_with = "samples_dir")]
    pub samples: Option<usize>,
    /// Measure a folder of synthetic images, without the visible label, instead of drawing samples
    #[arg(long, value_name = "DIR")]
    pub samples_dir: Option<PathBuf>,
    /// Sampler
    #[arg(long, value_parser = choice(Sampler::ALL, Sampler::name), default_value = Sampler::default().name())]
    pub sampler: Sampler,
    /// Network evaluations per sample
    #[arg(long, value_name = "N", default_value_t = 50)]
    pub steps: usize,
    /// Guidance weight; 0 is the plain conditional prediction
    #[arg(long, value_name = "W", default_value_t = 0.0, allow_hyphen_values = true)]
    pub guidance: f64,
    /// Class of the samples, by number or name; they are compared with real images of this class
    #[arg(long, requires = "weights")]
    pub class: Option<String>,
    /// Samples of each value of each attribute, such as PA, to see whether a classifier of real images agrees; --labels says
    /// which these are
    #[arg(long, value_name = "N", default_value_t = 0, requires = "weights")]
    pub of_each_value: usize,
    /// One of the weights' sampling options, such as context_gamma=-5; may be given several times
    #[arg(long, value_name = "KEY=VALUE", requires = "weights")]
    pub sampling: Vec<String>,
    /// Antithetic diffusion times per image
    #[arg(long, value_name = "N", default_value_t = 16)]
    pub times: usize,
    /// Held-out images, evenly spaced, whose bits a pixel as PNG, WebP and JPEG XL are measured; 0 for none
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub codecs: usize,
    /// Seed of times and noise, of the first sample, and of random choices of the measures
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Bootstrap resamples for the 95 % intervals
    #[arg(long, value_name = "N", default_value_t = 1000)]
    pub bootstrap: usize,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// Folder for report.json, table.md, spectrum.csv, samples.png, compare.html with samples beside real held-out images,
    /// and gallery.png, which shows real training images
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Write a model card in Markdown
    #[arg(long, value_name = "FILE", requires = "weights")]
    pub card: Option<PathBuf>,
    /// Markdown for the card's section on training, with what the program cannot know
    #[arg(long, value_name = "FILE", requires = "card")]
    pub card_notes: Option<PathBuf>,
    /// Folder of the run, for its settings and duration in the card
    #[arg(long, value_name = "DIR", requires = "card")]
    pub run: Option<PathBuf>,
    /// Device to compute on
    #[arg(long, value_enum, default_value_t = DeviceChoice::Auto)]
    pub device: DeviceChoice,
}

/// `trainer evaluate`.
pub fn command(mut args: EvaluateArgs) -> Result<()> {
    ensure!(args.times > 0, "--times is 0: at least 1 is accepted");
    for path in [Some(&args.data), args.train_data.as_ref(), args.samples_dir.as_ref()].into_iter().flatten() {
        data::check(path)?;
    }
    if args.weights.is_some() || args.samples_dir.is_none() {
        args.weights = Some(folder::weights(args.weights.as_deref())?);
    }
    // Without weights, nothing computes on a device.
    let device = if args.weights.is_some() { device::choose(args.device)? } else { Device::Cpu };
    let json = args.json;
    let report = evaluate::evaluate(args.into_options(), device)?;
    let text = if json { serde_json::to_string_pretty(&report)? + "\n" } else { report.text() };
    files::print(text.as_bytes())
}

impl EvaluateArgs {
    fn into_options(self) -> Options {
        Options {
            weights: self.weights,
            data: self.data,
            choice: self.choice,
            train_data: self.train_data,
            samples: SampleOptions {
                folder: self.samples_dir,
                count: self.samples,
                sampler: self.sampler,
                steps: self.steps,
                guidance: self.guidance,
                class: self.class,
                of_each_value: self.of_each_value,
                sampling: self.sampling,
            },
            times: self.times,
            codecs: self.codecs,
            seed: self.seed,
            bootstrap: self.bootstrap,
            out: self.out,
            card: self.card.map(|path| CardOptions { path, notes: self.card_notes, run: self.run }),
            command: command_line(),
        }
    }
}

/// The command line, to be run again.
fn command_line() -> String {
    let quoted = |word: String| {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,+@%".contains(c);
        if !word.is_empty() && word.chars().all(plain) { word } else { format!("'{}'", word.replace('\'', r"'\''")) }
    };
    let words = std::env::args_os().skip(1).map(|word| quoted(word.to_string_lossy().into_owned()));
    ["trainer".to_owned()].into_iter().chain(words).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests;
