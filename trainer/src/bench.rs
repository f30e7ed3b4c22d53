//! The parts of this crate that its benchmarks measure.

use std::path::Path;

use anyhow::Result;
use burn::backend::{Autodiff, Flex};
use vdm::config::Preset;

use crate::data::{self, ChoiceArgs};
use crate::run::settings::RunSettings;
use crate::train::Steps;

/// Prepares a folder of image files as training does, on all cores, without a cache; returns the number of images.
///
/// # Errors
/// A file that cannot be read.
pub fn prepare(folder: &Path, height: usize, width: usize) -> Result<usize> {
    let cache = tempfile::tempdir()?;
    let choice = ChoiceArgs { cache: Some(cache.path().to_owned()), ..ChoiceArgs::default() };
    Ok(data::read(folder, &choice, &[], height, width)?.len())
}

/// A training of a preset's first stage on the CPU, and the images of its steps; each call takes one.
///
/// # Errors
/// A model that cannot be built.
pub fn training(preset: Preset) -> Result<(usize, impl FnMut() -> Result<()>)> {
    let settings = RunSettings::of(preset, None);
    let images = settings.training.batch;
    let mut steps = Steps::<Autodiff<Flex>>::new(settings, None, &Default::default())?;
    Ok((images, move || steps.step().map(|_| ())))
}
