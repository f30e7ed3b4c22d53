//! `trainer train`.

use anyhow::Result;
use vdm::config::Preset;

use super::args::TrainArgs;
use super::resolve;
use crate::base::device::{self, Device};
use crate::base::files;
use crate::base::interrupt::Interrupt;
use crate::run::folder::{self, RunFolder};
use crate::train::{self, Options};

/// `trainer train`.
pub fn command(args: TrainArgs) -> Result<()> {
    let interrupt = Interrupt::new(args.time_limit);
    let resumed = if args.resume {
        let folder = folder::existing(args.out.as_deref())?;
        Some((resolve::resumed(&folder, &args)?, folder))
    } else {
        None
    };
    if args.print_config {
        let settings = match resumed {
            Some((settings, _)) => settings,
            None => resolve::new(&args, || Ok(default_preset(device::choose(args.device)?)))?,
        };
        return files::print(settings.to_toml()?.as_bytes());
    }
    let device = device::choose_named(args.device)?;
    let (settings, folder) = match resumed {
        Some((settings, folder)) => (settings, RunFolder::Existing(folder)),
        None => (resolve::new(&args, || Ok(default_preset(device.0)))?, RunFolder::New(args.out)),
    };
    let TrainArgs { devices, nodes, .. } = args;
    train::run(Options { settings, folder, device, devices, nodes, interrupt })
}

/// The preset where none is named: the paper's model would take days on a CPU.
fn default_preset(device: Device) -> Preset {
    if device.is_gpu() { Preset::Paper } else { Preset::Quick }
}
