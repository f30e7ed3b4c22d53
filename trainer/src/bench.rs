//! The parts of this crate that its benchmarks measure.

use std::path::Path;

use anyhow::Result;

use crate::data::{self, ChoiceArgs};

/// Prepares a folder of image files as training does, on all cores, without a cache; returns the number of images.
///
/// # Errors
/// A file that cannot be read.
pub fn prepare(folder: &Path, height: usize, width: usize) -> Result<usize> {
    let cache = tempfile::tempdir()?;
    let choice = ChoiceArgs { cache: Some(cache.path().to_owned()), ..ChoiceArgs::default() };
    Ok(data::read(folder, &choice, &[], height, width)?.len())
}
