//! `trainer report`: writes a report of a run as one self-contained HTML file.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;

use crate::output::html;
use crate::run::folder;

/// Options of a report.
#[derive(Debug, Args)]
pub struct ReportArgs {
    /// Folder of a run, finished or not [default: the newest run in runs]
    #[arg(value_name = "RUN_DIR")]
    pub run: Option<PathBuf>,
}

/// `trainer report`.
pub fn command(args: ReportArgs) -> Result<()> {
    let folder = folder::existing(args.run.as_deref())?;
    println!("{}", html::write(&folder)?.display());
    Ok(())
}
