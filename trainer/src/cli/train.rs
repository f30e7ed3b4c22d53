//! `trainer train`.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Result;
use vdm::config::Preset;

use super::args::TrainArgs;
use super::resolve;
use crate::base::device::{self, Device};
use crate::base::files;
use crate::base::interrupt::Interrupt;
use crate::base::ranks::Ranks;
use crate::run::explain::explained;
use crate::run::folder::{self, RunFolder};
use crate::run::settings::RunSettings;
use crate::train::{self, Options, Outcome};

/// The exit code of a run that was stopped early, for a chain of jobs: EX_TEMPFAIL of BSD's `sysexits.h`, try again.
const STOPPED: u8 = 75;

/// `trainer train`.
pub fn command(args: TrainArgs) -> Result<ExitCode> {
    let interrupt = Interrupt::new(args.time_limit);
    if args.print_config {
        let settings = match args.resumes() {
            true => resolve::resumed(&folder::existing(args.out.as_deref())?, &args)?,
            false => resolve::new(&args, || Ok(default_preset(device::choose(args.device)?)))?,
        };
        files::print(explained(&settings.to_toml()?).as_bytes())?;
        return Ok(ExitCode::SUCCESS);
    }
    let ranks = Arc::new(Ranks::start()?);
    let outcome = train(args, Arc::clone(&ranks), interrupt);
    if let Err(error) = &outcome
        && ranks.count() > 1
    {
        eprintln!("error on rank {}: {error:#}", ranks.rank());
        ranks.abort();
    }
    Ok(if outcome? == Outcome::Finished { ExitCode::SUCCESS } else { ExitCode::from(STOPPED) })
}

fn train(args: TrainArgs, ranks: Arc<Ranks>, interrupt: Interrupt) -> Result<Outcome> {
    // Rank 0 decides for all of them.
    let is_first = ranks.rank() == 0;
    let existing = (args.resumes() && is_first).then(|| folder::existing(args.out.as_deref())).transpose()?;
    let resumed = existing.as_ref().map(|folder| resolve::resumed(folder, &args)).transpose()?;
    let device = device::choose_named(args.device)?;
    let settings = match resumed {
        None if is_first => Some(resolve::new(&args, || Ok(default_preset(device.0)))?),
        resumed => resumed,
    };
    let settings = match settings {
        Some(settings) if ranks.count() == 1 => settings,
        settings => {
            let text = settings.map_or(Ok(String::new()), |settings| settings.to_toml())?;
            RunSettings::of_toml(&ranks.text_of_first(&text))?
        }
    };
    let folder = match existing {
        Some(path) => {
            let (from, accept_changed_images) = (args.resume_from, args.accept_changed_images);
            RunFolder::Existing { path, from, accept_changed_images }
        }
        None => RunFolder::New(args.out),
    };
    train::run(Options { settings, folder, device, devices: args.devices, ranks, interrupt })
}

/// The preset where none is named: the paper's model would take days on a CPU.
fn default_preset(device: Device) -> Preset {
    if device.is_gpu() { Preset::Paper } else { Preset::Quick }
}
