//! `trainer report`: what a run did, as one HTML file that needs nothing else.

mod chart;
mod curves;
mod images;
mod logs;
mod page;
mod scale;
mod sections;
#[cfg(test)]
mod tests;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context, Result, ensure};

use crate::cli::ReportArgs;
use crate::files;

/// Files of which any one makes a folder a run's.
const MARKS: [&str; 4] = ["run.toml", "run.json", "log.jsonl", "validation.jsonl"];

/// `trainer report`.
pub fn command(args: ReportArgs) -> Result<()> {
    let folder = match args.run {
        Some(folder) => folder,
        None => newest(Path::new("runs"))?,
    };
    println!("{}", write(&folder)?.display());
    Ok(())
}

/// Writes `report.html` into a run's folder, finished or not, and returns its path.
///
/// A file of the run that is missing or damaged costs its part of the report and no more: a sentence says so there.
///
/// # Errors
/// The folder is no run's, or the report cannot be written.
pub fn write(folder: &Path) -> Result<PathBuf> {
    ensure!(folder.is_dir(), "{} is not a folder: a run's folder is accepted", folder.display());
    ensure!(is_run(folder), "{} holds no run: a folder with {} is accepted", folder.display(), MARKS.join(" or "));
    let path = folder.join("report.html");
    files::write_atomic(&path, page::page(folder).as_bytes())?;
    Ok(path)
}

fn is_run(folder: &Path) -> bool {
    MARKS.iter().any(|name| folder.join(name).is_file())
}

/// The run under `runs` whose files were changed last.
fn newest(runs: &Path) -> Result<PathBuf> {
    let changed = |folder: &PathBuf| -> Option<SystemTime> {
        MARKS.iter().filter_map(|name| fs::metadata(folder.join(name)).ok()?.modified().ok()).max()
    };
    fs::read_dir(runs)
        .with_context(|| format!("cannot read the folder {}: pass the run's folder", runs.display()))?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|folder| is_run(folder))
        .max_by_key(changed)
        .with_context(|| format!("{} holds no run: pass the run's folder", runs.display()))
}
