//! Training a model.

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
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::channel;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use burn::tensor::backend::AutodiffBackend;

use crate::base::device::{self, Device, Devices, TeamJob};
use crate::run::folder::RunFolder;
use crate::run::inputs::{self, RunData};
use crate::run::settings::RunSettings;

use data_parallel::Team;
use network::Network;
pub use network::Nodes;
use session::Session;

/// A run to start or to go on with.
pub struct Options {
    /// Everything that the result depends on.
    pub settings: RunSettings,
    /// Where it is kept.
    pub folder: RunFolder,
    /// What computes, with its own name.
    pub device: (Device, String),
    /// How many devices of that kind.
    pub devices: Devices,
    /// The other machines, if there are any.
    pub nodes: Nodes,
    /// Set to end the run early, with a checkpoint.
    pub stop: Arc<AtomicBool>,
    /// Time after which the run ends, with a checkpoint.
    pub time_limit: Option<Duration>,
}

/// Trains until the last step, the stop flag or the time limit.
///
/// # Errors
/// Images, a folder or a checkpoint that cannot be used; a device or another machine that fails; a loss that is not
/// finite.
pub fn run(options: Options) -> Result<()> {
    let Options { settings, folder, device: (device, device_name), devices, nodes, stop, time_limit } = options;
    let data = inputs::load(settings)?;
    let folder = folder.open(data.settings.preset)?;
    eprintln!("run: {} (preset {})", folder.display(), data.settings.preset.name());
    let network = nodes.connect()?;
    let measured = init::Measured::default();
    let job = Train { data: Arc::new(data), folder, device_name, stop, time_limit, measured };
    device::run_team(device, &devices, (job, network))
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
