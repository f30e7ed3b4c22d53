//! `trainer train`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result};
use vdm::config::Preset;

use super::args::TrainArgs;
use super::resolve;
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
    let device = device::choose_named(args.device)?;
    let (settings, folder) = match resumed {
        Some((settings, folder)) => (settings, RunFolder::Existing(folder)),
        None => {
            let default_preset = if device.0.is_gpu() { Preset::Paper } else { Preset::Quick };
            (resolve::new(&args, default_preset)?, RunFolder::New(args.out))
        }
    };
    let stop = Arc::new(AtomicBool::new(false));
    stop_on_signal(Arc::clone(&stop))?;
    let TrainArgs { devices, nodes, time_limit, .. } = args;
    train::run(Options { settings, folder, device, devices, nodes, stop, time_limit })
}

fn stop_on_signal(stop: Arc<AtomicBool>) -> Result<()> {
    ctrlc::set_handler(move || {
        if stop.swap(true, Ordering::SeqCst) {
            std::process::exit(130);
        }
        eprintln!("stopping after this step, with a checkpoint (once more to stop at once, without)");
    })
    .context("cannot listen for signals")
}
