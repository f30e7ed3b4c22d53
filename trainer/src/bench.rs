//! What the benchmarks measure of this crate.

use std::path::PathBuf;

use anyhow::Result;

use crate::data::{Dataset, Unreadable};

/// Prepares image files as training does, on all cores; returns the number of images.
///
/// # Errors
/// A file that cannot be read.
pub fn prepare(files: &[PathBuf], height: usize, width: usize) -> Result<usize> {
    Ok(Dataset::load(files, None, height, width, Unreadable::Fail)?.len())
}
