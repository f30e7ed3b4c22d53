//! Training a model.
//!
//! A file uses only those above it in this order: `network`, `loader`, `process_group`, `hollow`, `adamw`, `muon`, `optimizer`,
//! `ema`, `checkpoint`, `run_logger`, `coarse`, `init`, `job`, `validation`, `step`, `timing`, `session`.

mod adamw;
mod checkpoint;
mod coarse;
mod ema;
#[cfg(test)]
mod fixture;
mod hollow;
mod init;
mod job;
mod loader;
mod muon;
mod network;
mod optimizer;
mod process_group;
mod run_logger;
mod session;
mod step;
mod timing;
mod validation;

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::channel;

use anyhow::{Context, Result, anyhow};
use burn::tensor::backend::AutodiffBackend;

use crate::base::device::{self, Device, Devices, GroupJob};
use crate::base::interrupt::{Interrupt, Interrupted};
use crate::run::folder::RunFolder;
use crate::run::inputs;
use crate::run::settings::RunSettings;

use init::Measured;
use job::TrainJob;
use network::Network;
pub use network::Nodes;
use process_group::ProcessGroup;
use session::Session;
pub use timing::{StepTimes, Steps};

/// A run to start or to continue.
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
    match start(options) {
        Err(error) if error.is::<Interrupted>() => {
            eprintln!("stopped before the first step, and nothing was saved; start again with the same options");
            Ok(())
        }
        result => result,
    }
}

/// As [`run`]; an interrupt before the first step is an error.
fn start(options: Options) -> Result<()> {
    let Options { settings, folder, device: (device, device_name), devices, nodes, interrupt } = options;
    interrupt.check()?;
    interrupt.listen()?;
    let data = inputs::load(settings, &interrupt)?;
    interrupt.check()?;
    let folder = folder.open(data.settings.preset)?;
    eprintln!("run: {} (preset {})", folder.display(), data.settings.preset.name());
    let network = nodes.connect()?;
    let measured = Measured::default();
    let job = TrainJob { data: Arc::new(data), folder: folder.clone(), device_name, interrupt, measured };
    let result = device::run_group(device, &devices, (job, network));
    if matches!(&result, Err(error) if error.is::<Interrupted>()) {
        // Only an empty folder is removed, so that the next run can have its name.
        let _ = fs::remove_dir(&folder);
    }
    result
}

impl GroupJob for (TrainJob, Option<Network>) {
    fn run<B: AutodiffBackend>(self, devices: Vec<B::Device>) -> Result<()> {
        let (job, network) = self;
        let job = Arc::new(job);
        let mut group = ProcessGroup::of(devices.len(), network);
        if let ([device], [member]) = (devices.as_slice(), group.as_slice()) {
            return train::<B>(&job, member.clone(), device);
        }
        eprintln!("training on {} devices", group[0].world_size);
        // Not scoped: when one fails, the others never return, and the program ends without them.
        let (sender, results) = channel();
        for (device, member) in devices.into_iter().zip(group.drain(..)) {
            let (job, sender) = (Arc::clone(&job), sender.clone());
            std::thread::Builder::new()
                .name(format!("device {}", member.rank))
                .spawn(move || {
                    let rank = member.rank;
                    let result = catch_unwind(AssertUnwindSafe(|| train::<B>(&job, member, &device)));
                    // The receiver is gone once another device has failed.
                    let _ = sender.send(result.unwrap_or_else(|_| Err(anyhow!("device {rank} has failed"))));
                })
                .context("cannot start a thread for a device")?;
        }
        drop(sender);
        results.into_iter().collect()
    }
}

fn train<B: AutodiffBackend>(job: &TrainJob, group: ProcessGroup, device: &B::Device) -> Result<()> {
    let mut session = Session::<B>::start(job, group, device)?;
    let finished = session.run()?;
    session.end(finished)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_run_that_is_stopped_before_its_first_step_leaves_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let out = folder.path().join("run");
        let options = Options {
            settings: fixture::settings(),
            folder: RunFolder::New(Some(out.clone())),
            device: (Device::Cpu, "CPU".to_owned()),
            devices: Devices::Count(1),
            nodes: Nodes { nodes: None, node: 0, meet_at: None },
            interrupt: Interrupt::new(Some(Duration::ZERO)),
        };
        run(options).expect("stops");
        assert!(!out.exists());
    }
}
