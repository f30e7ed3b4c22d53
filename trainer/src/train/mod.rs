//! Training a model.

mod checkpoint;
mod coarse;
mod ema;
mod init;
mod loader;
mod network;
mod optimizer;
mod process_group;
mod run_logger;

mod session;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::channel;

use anyhow::{Context, Result, anyhow};
use burn::tensor::backend::AutodiffBackend;

use crate::base::device::{self, Device, Devices, GroupJob};
use crate::base::interrupt::Interrupt;
use crate::run::folder::RunFolder;
use crate::run::inputs::{self, RunData};
use crate::run::settings::RunSettings;

use network::Network;
pub use network::Nodes;
use process_group::ProcessGroup;
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
    /// Ends the run early, with a checkpoint.
    pub interrupt: Interrupt,
}

/// Trains until the last step or an interrupt.
///
/// # Errors
/// Images, a folder or a checkpoint that cannot be used; a device or another machine that fails; a loss that is not
/// finite.
pub fn run(options: Options) -> Result<()> {
    let Options { settings, folder, device: (device, device_name), devices, nodes, interrupt } = options;
    let data = inputs::load(settings)?;
    let folder = folder.open(data.settings.preset)?;
    eprintln!("run: {} (preset {})", folder.display(), data.settings.preset.name());
    let network = nodes.connect()?;
    let measured = init::Measured::default();
    let job = Train { data: Arc::new(data), folder, device_name, interrupt, measured };
    device::run_group(device, &devices, (job, network))
}

/// What all devices of this machine know.
struct Train {
    data: Arc<RunData>,
    folder: PathBuf,
    device_name: String,
    interrupt: Interrupt,
    measured: init::Measured,
}

impl GroupJob for (Train, Option<Network>) {
    fn run<B: AutodiffBackend>(self, devices: Vec<B::Device>) -> Result<()> {
        let (job, network) = self;
        let job = Arc::new(job);
        let mut group = ProcessGroup::of(devices.len(), network);
        if let ([device], [member]) = (devices.as_slice(), group.as_slice()) {
            return train::<B>(&job, member.clone(), device);
        }
        eprintln!("training on {} devices", group[0].world_size);
        // Not scoped: when one fails, the others wait for it for ever, and the program ends without them.
        let (sender, results) = channel();
        for (device, member) in devices.into_iter().zip(group.drain(..)) {
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

fn train<B: AutodiffBackend>(job: &Train, group: ProcessGroup, device: &B::Device) -> Result<()> {
    let mut session = Session::<B>::start(job, group, device)?;
    let finished = session.run()?;
    session.end(finished)
}
