//! `trainer train`.

use anyhow::Result;
use vdm::config::Preset;

use super::args::TrainArgs;
use super::resolve;
use crate::base::interrupt::Interrupt;
use crate::base::{device, files};
use crate::run::folder::{self, RunFolder};
use crate::train::{self, Options};

/// `trainer train`.
pub fn command(args: TrainArgs) -> Result<()> {
    let resumed = if args.resume {
        let folder = folder::existing(args.out.as_deref())?;
        Some((resolve::resumed(&folder, &args)?, folder))
    } else {
        None
    };
    if args.print_config {
        let settings = match &resumed {
            Some((settings, _)) => settings.clone(),
            None => resolve::new(&args, Preset::Paper)?,
        };
        return files::print(settings.to_toml()?.as_bytes());
    }
    let interrupt = Interrupt::new(args.time_limit);
    let device = device::choose_named(args.device)?;
    let (settings, folder) = match resumed {
        Some((settings, folder)) => (settings, RunFolder::Existing(folder)),
        None => {
            let default_preset = if device.0.is_gpu() { Preset::Paper } else { Preset::Quick };
            (resolve::new(&args, default_preset)?, RunFolder::New(args.out))
        }
    };
    interrupt.listen()?;
    let TrainArgs { devices, nodes, .. } = args;
    train::run(Options { settings, folder, device, devices, nodes, interrupt })
}
