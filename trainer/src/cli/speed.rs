//! `trainer speed`: measures how long a model, or a step of its training, takes on a device, and compares it with a plain
//! matrix product.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use burn::tensor::backend::AutodiffBackend;
use clap::Args;
use serde_json::{Value, json};
use vdm::config::{ComputePrecision, Preset, Stage};
use vdm::cost::{Cost, PRODUCT, Speed, Timed, measure, measure_product};

use super::args::choice;
use crate::base::device::{self, DeviceChoice, Job};
use crate::base::files::{self, WithEncoder, block_on};
use crate::run::settings::RunSettings;
use crate::train::{StepTimes, Steps};

/// Options of measuring speed.
#[derive(Debug, Args)]
pub struct SpeedArgs {
    /// Weights file
    #[arg(long, value_name = "FILE", required_unless_present = "preset")]
    pub weights: Option<PathBuf>,
    /// Network evaluations per image
    #[arg(long, value_name = "N", default_value_t = 25, conflicts_with = "training")]
    pub steps: usize,
    /// Measure training steps, on phantoms: of a preset, or of the model of a weights file with its encoder
    #[arg(long)]
    pub training: bool,
    /// Preset to train, or whose way of training the model of --weights takes
    #[arg(long, requires = "training", value_parser = choice(Preset::ALL, Preset::name))]
    pub preset: Option<Preset>,
    /// Stage to train [default: the preset's first]
    #[arg(long, requires = "training", value_parser = choice(Stage::ALL, Stage::name))]
    pub stage: Option<Stage>,
    /// Images per step [default: the preset's]
    #[arg(long, requires = "training", value_name = "N")]
    pub batch: Option<usize>,
    /// Precision of matrix products in training [default: f32]
    #[arg(long, requires = "training", value_parser = choice(ComputePrecision::ALL, ComputePrecision::name))]
    pub precision: Option<ComputePrecision>,
    /// Device to compute on
    #[arg(long, value_enum, default_value_t = DeviceChoice::Auto)]
    pub device: DeviceChoice,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Runs of each measurement, of which the median is shown.
const RUNS: usize = 15;
/// Training steps are repeated for as long, but at least so often.
const TRAINING: (Duration, usize) = (Duration::from_secs(20), 5);

/// `trainer speed`.
pub fn command(args: SpeedArgs) -> Result<()> {
    ensure!(args.steps > 0, "--steps is 0: at least 1 is accepted");
    ensure!(args.batch != Some(0), "--batch is 0: at least 1 is accepted");
    let (device, name) = device::choose_named(args.device)?;
    device::run(device, Measure { args, name })
}

struct Measure {
    args: SpeedArgs,
    name: String,
}

impl Job for Measure {
    type Output = ();

    fn run<B: AutodiffBackend>(self, device: &B::Device) -> Result<()> {
        let Self { args, name } = self;
        let (mut values, table) =
            if args.training { training::<B>(&args, device)? } else { model::<B>(&args, device)? };
        let text = if args.json {
            values["device"] = json!(name);
            values["weights"] = json!(args.weights);
            serde_json::to_string_pretty(&values)?
        } else {
            let what = match (&args.weights, args.preset) {
                (Some(weights), _) => weights.display().to_string(),
                (None, preset) => format!("preset {}", preset.map_or("", Preset::name)),
            };
            format!("{what} on {name}\n\n{table}")
        };
        files::print(format!("{}\n", text.trim_end()).as_bytes())
    }
}

fn model<B: AutodiffBackend>(args: &SpeedArgs, device: &B::Device) -> Result<(Value, String)> {
    let path = args.weights.as_ref().context("--weights is missing")?;
    let loaded = files::load_model::<B::InnerBackend>(path, WithEncoder::No, device)?;
    let start = Instant::now();
    let speed = block_on(measure(&loaded.model, RUNS, || start.elapsed().as_secs_f64(), device))?;
    let values = json!({ "steps": args.steps, "speed": speed, "sample": speed.sample(args.steps) });
    Ok((values, table(&speed, args.steps)))
}

fn training<B: AutodiffBackend>(args: &SpeedArgs, device: &B::Device) -> Result<(Value, String)> {
    let mut settings = RunSettings::of(args.preset.unwrap_or(Preset::Paper), args.stage);
    let networks = match &args.weights {
        None => None,
        Some(path) => {
            let loaded = files::load_model::<B>(path, WithEncoder::Yes, device)?;
            settings.model = loaded.header.config;
            Some(loaded.model.networks)
        }
    };
    if let Some(batch) = args.batch {
        settings.training.batch = batch;
    }
    if let Some(precision) = args.precision {
        settings.training.precision = precision;
    }
    if let Err(error) = settings.training.validate() {
        bail!("the training cannot be run: {error}");
    }
    let (batch, stage) = (settings.training.batch, settings.training.stage);
    let cost = Cost::of(&settings.model).training_step(&settings.model, &settings.training);
    let mut steps = Steps::<B>::new(settings, networks, device)?;
    // The first ones compile kernels and fill the allocator.
    steps.step()?;
    steps.step()?;
    let (start, mut times, mut products) = (Instant::now(), Vec::new(), Vec::new());
    while times.len() < TRAINING.1 || start.elapsed() < TRAINING.0 {
        // Between the steps: whatever else runs slows both down.
        products.push(block_on(measure_product::<B::InnerBackend>(3, || start.elapsed().as_secs_f64(), device))?);
        times.push(steps.step()?);
    }
    products.sort_by(|a, b| a.seconds.total_cmp(&b.seconds));
    let (times, product, count) = (StepTimes::median(&times), products[products.len() / 2], times.len());
    let step = Timed { operations: cost, seconds: times.step() };
    let fraction = step.gflop_per_second() / product.gflop_per_second();
    let values = json!({
        "preset": args.preset, "stage": stage, "batch": batch, "steps": count, "product": product, "step": step,
        "parts": times, "images_per_second": batch as f64 / step.seconds, "of_the_product": fraction,
    });
    let mut text = format!("| a step of {batch} images ({}), median of {count} | ms | share |\n", stage.name());
    text += "| --- | ---: | ---: |\n";
    for (part, seconds) in times.parts() {
        let share = 100.0 * seconds / step.seconds;
        text += &format!("| {part} | {:.1} | {share:.0} % |\n", 1e3 * seconds);
    }
    text += &format!(
        "\n{:.1} images/s; {:.1} GFLOP a step, {:.1} GFLOP/s: {:.0} % of the {:.1} of a matrix product of {PRODUCT}³\n",
        batch as f64 / step.seconds,
        cost as f64 / 1e9,
        step.gflop_per_second(),
        100.0 * fraction,
        product.gflop_per_second(),
    );
    Ok((values, text))
}

fn table(speed: &Speed, steps: usize) -> String {
    let mut text = format!("| one image, median of {RUNS} | GFLOP | ms | GFLOP/s | of the matrix product's |\n");
    text += "| --- | ---: | ---: | ---: | ---: |\n";
    let mut line = |what: &str, timed: &Timed| {
        text += &format!(
            "| {what} | {:.3} | {:.1} | {:.1} | {:.0} % |\n",
            timed.operations as f64 / 1e9,
            1e3 * timed.seconds,
            timed.gflop_per_second(),
            100.0 * timed.gflop_per_second() / speed.product.gflop_per_second()
        );
    };
    line(&format!("matrix product of {PRODUCT}³"), &speed.product);
    for (band, timed) in speed.evaluate.iter().enumerate() {
        let of = if speed.evaluate.len() == 1 {
            "the ScoreNet"
        } else {
            ["the coarse ScoreNet", "the fine ScoreNet"][band.min(1)]
        };
        line(&format!("an evaluation of {of}"), timed);
    }
    line("the decoder", &speed.decode);
    line(&format!("an image in {steps} steps"), &speed.sample(steps));
    text
}
