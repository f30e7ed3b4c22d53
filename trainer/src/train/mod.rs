//! `trainer train`.

mod checkpoint;
mod coarse;
mod data_parallel;
mod ema;
mod init;
mod loader;
mod network;
mod optimizer;
mod run_logger;

mod session;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use burn::tensor::backend::AutodiffBackend;
use vdm::config::Preset;

use crate::base::device::{self, TeamJob};
use crate::base::files;
use crate::cli::args::TrainArgs;
use crate::run::folder;
use crate::run::inputs::{self, RunData};
use crate::run::settings::RunSettings;

use data_parallel::Team;
use network::Network;
pub use network::Nodes;
use session::Session;

/// `trainer train`.
pub fn command(args: TrainArgs) -> Result<()> {
    let resumed = if args.resume {
        let folder = folder::existing(args.out.as_deref())?;
        Some((RunSettings::stored(&folder, &args)?, folder))
    } else {
        None
    };
    if args.print_config {
        let settings = match &resumed {
            Some((settings, _)) => settings.clone(),
            None => RunSettings::resolve(&args, Preset::Paper)?,
        };
        return files::print(settings.to_toml()?.as_bytes());
    }
    let (device, device_name) = device::choose_named(args.device)?;
    let default_preset = if device.is_gpu() { Preset::Paper } else { Preset::Quick };
    let settings = match &resumed {
        Some((settings, _)) => settings.clone(),
        None => RunSettings::resolve(&args, default_preset)?,
    };
    let data = inputs::load(settings)?;
    let folder = match resumed {
        Some((_, folder)) => folder,
        None => folder::create(args.out.as_deref(), data.settings.preset)?,
    };
    eprintln!("run: {} (preset {})", folder.display(), data.settings.preset.name());
    let stop = Arc::new(AtomicBool::new(false));
    let asked = Arc::clone(&stop);
    ctrlc::set_handler(move || {
        if asked.swap(true, Ordering::SeqCst) {
            std::process::exit(130);
        }
        eprintln!("stopping after this step, with a checkpoint (once more to stop at once, without)");
    })
    .context("cannot listen for signals")?;
    let network = args.nodes.connect()?;
    let job = Train {
        data: Arc::new(data),
        folder,
        device_name,
        stop,
        time_limit: args.time_limit,
        measured: init::Measured::default(),
    };
    device::run_team(device, &args.devices, (job, network))
}

/// What all devices of this machine know.
struct Train {
    data: Arc<RunData>,
    folder: PathBuf,
    device_name: String,
    stop: Arc<AtomicBool>,
    time_limit: Option<Duration>,
    measured: init::Measured,
}

impl TeamJob for (Train, Option<Network>) {
    fn run<B: AutodiffBackend>(self, devices: Vec<B::Device>) -> Result<()> {
        let (job, network) = self;
        let job = Arc::new(job);
        let mut team = Team::of(devices.len(), network);
        if let ([device], [member]) = (devices.as_slice(), team.as_slice()) {
            return train::<B>(&job, member.clone(), device);
        }
        eprintln!("training on {} devices", team[0].members);
        // Not scoped: when one fails, the others wait for it for ever, and the program ends without them.
        let (sender, results) = channel();
        for (device, member) in devices.into_iter().zip(team.drain(..)) {
            let (job, sender) = (Arc::clone(&job), sender.clone());
            std::thread::Builder::new()
                .name(format!("device {}", member.rank))
                .spawn(move || {
                    let rank = member.rank;
                    let result = catch_unwind(AssertUnwindSafe(|| train::<B>(&job, member, &device)));
                    // Nobody listens any more once another device has failed.
                    let _ = sender.send(result.unwrap_or_else(|_| Err(anyhow!("device {rank} has failed"))));
                })
                .context("cannot start a thread for a device")?;
        }
        drop(sender);
        results.into_iter().collect()
    }
}

fn train<B: AutodiffBackend>(job: &Train, team: Team, device: &B::Device) -> Result<()> {
    let mut session = Session::<B>::start(job, team, device)?;
    let finished = session.run()?;
    session.end(finished)
}
