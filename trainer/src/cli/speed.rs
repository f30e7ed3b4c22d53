//! `trainer speed`: measures how long a model takes on a device, and compares it with a plain matrix product.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Result, ensure};
use burn::tensor::backend::AutodiffBackend;
use clap::Args;
use vdm::cost::{PRODUCT, Speed, Timed, measure};

use crate::base::device::{self, DeviceChoice, Job};
use crate::base::files::{self, WithEncoder, block_on};

/// Options of measuring speed.
#[derive(Debug, Args)]
pub struct SpeedArgs {
    /// Weights file
    #[arg(long, value_name = "FILE")]
    pub weights: PathBuf,
    /// Network evaluations per image
    #[arg(long, value_name = "N", default_value_t = 25)]
    pub steps: usize,
    /// Device to compute on
    #[arg(long, value_enum, default_value_t = DeviceChoice::Auto)]
    pub device: DeviceChoice,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Runs of each measurement, of which the median is shown.
const RUNS: usize = 15;

/// `trainer speed`.
pub fn command(args: SpeedArgs) -> Result<()> {
    ensure!(args.steps > 0, "--steps is 0: at least 1 is accepted");
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
        let loaded = files::load_model::<B::InnerBackend>(&args.weights, WithEncoder::No, device)?;
        let start = Instant::now();
        let speed = block_on(measure(&loaded.model, RUNS, || start.elapsed().as_secs_f64(), device))?;
        let text = if args.json {
            serde_json::to_string_pretty(&serde_json::json!({
                "weights": args.weights,
                "device": name,
                "steps": args.steps,
                "speed": speed,
                "sample": speed.sample(args.steps),
            }))?
        } else {
            format!("{} on {name}\n\n{}", args.weights.display(), table(&speed, args.steps))
        };
        files::print(format!("{}\n", text.trim_end()).as_bytes())
    }
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
    line("an evaluation of the ScoreNet", &speed.evaluate);
    line("the decoder", &speed.decode);
    line(&format!("an image in {steps} steps"), &speed.sample(steps));
    text
}
