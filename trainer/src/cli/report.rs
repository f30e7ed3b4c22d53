//! `trainer report`: what a run did, as one HTML file that needs nothing else.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;

use crate::output::html;
use crate::run::folder;

/// Options of a report.
#[derive(Debug, Args)]
pub struct ReportArgs {
    /// The run's folder, finished or not [default: the newest in runs/]
    #[arg(value_name = "RUN_DIR")]
    pub run: Option<PathBuf>,
}

/// `trainer report`.
pub fn command(args: ReportArgs) -> Result<()> {
    let folder = folder::existing(args.run.as_deref())?;
    println!("{}", html::write(&folder)?.display());
    Ok(())
}
