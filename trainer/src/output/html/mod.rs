//! The report of a run, and samples beside real images: each as one HTML file without other files.
//!
//! A file uses only those above it in this list: `logs`, `chart`, `curves`, `images`, `sections`, `page`, `beside`.

pub mod beside;
mod chart;
mod curves;
mod images;
mod logs;
mod page;
mod sections;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};

use self::logs::Training;
use crate::base::files;

/// A folder with any of these files is a run's folder.
const MARKS: [&str; 3] = ["run.toml", "log.jsonl", "validation.jsonl"];

/// Writes `report.html` into a run's folder, finished or not, and returns its path.
///
/// Where a file of the run is missing or damaged, a sentence takes the place of its part of the report.
///
/// # Errors
/// The folder is not a run's, or the report cannot be written.
pub fn write(folder: &Path) -> Result<PathBuf> {
    ensure!(folder.is_dir(), "{} is not a folder: a run's folder is accepted", folder.display());
    ensure!(is_run(folder), "{} holds no run: a folder with {} is accepted", folder.display(), MARKS.join(" or "));
    let path = folder.join("report.html");
    files::write_atomic(&path, page::page(folder).as_bytes())?;
    Ok(path)
}

/// The losses of training and validation against steps, as one SVG image.
pub fn losses_svg(folder: &Path) -> String {
    let (training, _) = Training::read(&folder.join("log.jsonl"));
    let (validations, _) = logs::validations(&folder.join("validation.jsonl"));
    curves::losses_svg(&curves::losses(&training, &validations))
}

fn is_run(folder: &Path) -> bool {
    MARKS.iter().any(|name| folder.join(name).is_file())
}
