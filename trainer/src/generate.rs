//! Images from a model.

use anyhow::{Context, Result, ensure};
use burn::tensor::Tensor;
use burn::tensor::backend::Backend;
use vdm::image::GreyImage;
use vdm::model::Vdm;
use vdm::sampler::{SamplingOptions, Trajectory, draw_pixels};

use crate::base::files::LoadedModel;

/// Images sampled at once.
pub const BATCH: usize = 16;

/// How pixels are made from the Bernoulli decoder's means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pixels {
    /// The mean.
    Mean,
    /// A random draw: black or white.
    Draw,
}

/// Draws images for seeds `first..first + count`, and calls back after each step.
///
/// # Errors
/// The options do not fit the model, the device cannot be read, the model draws values that are not finite, or the
/// callback fails.
pub fn draw<B: Backend>(
    model: &Vdm<B>,
    options: SamplingOptions,
    pixels: Pixels,
    first: u64,
    count: usize,
    device: &B::Device,
    mut on_step: impl FnMut() -> Result<()>,
) -> Result<Vec<GreyImage>> {
    let seeds: Vec<u64> = (0..count as u64).map(|i| first.wrapping_add(i)).collect();
    let mut images = Vec::with_capacity(count);
    for seeds in seeds.chunks(BATCH) {
        let mut trajectory = Trajectory::from_noise(model, options, seeds, device)?;
        while trajectory.step(model).is_some() {
            on_step()?;
        }
        for (mean, &seed) in to_values(trajectory.decode(model))?.into_iter().zip(seeds) {
            let values = if pixels == Pixels::Draw { draw_pixels(&mean, seed) } else { mean };
            images.push(GreyImage::from_unit(model.config.width, &values));
        }
    }
    Ok(images)
}

/// As [`draw`], of the coarse band alone, for seeds from 0.
///
/// # Errors
/// As [`draw`].
pub fn draw_coarse<B: Backend>(
    model: &Vdm<B>,
    options: SamplingOptions,
    count: usize,
    device: &B::Device,
    mut on_step: impl FnMut() -> Result<()>,
) -> Result<Vec<GreyImage>> {
    let seeds: Vec<u64> = (0..count as u64).collect();
    let mut trajectory = Trajectory::from_noise(model, options, &seeds, device)?;
    while trajectory.place().t > 0.0 && trajectory.step(model).is_some() {
        on_step()?;
    }
    to_images(trajectory.decode(model), model.config.width)
}

/// Draws the fine band of images `[B, H·W]` anew, for what their coarse bands show. The seeds are 0 and so on.
///
/// # Errors
/// As [`draw`]; a model without bands.
pub fn draw_detail<B: Backend>(
    model: &Vdm<B>,
    options: SamplingOptions,
    images: Tensor<B, 2>,
    mut on_step: impl FnMut() -> Result<()>,
) -> Result<Vec<GreyImage>> {
    let seeds: Vec<u64> = (0..images.dims()[0] as u64).collect();
    let f = model.encode(images).context("the encoder is missing")?;
    let (first, count) = model.band_range(0);
    let mut trajectory = Trajectory::from_coarse(model, options, &seeds, f.narrow(1, first, count))?;
    while trajectory.step(model).is_some() {
        on_step()?;
    }
    to_images(trajectory.decode(model), model.config.width)
}

/// Reads images `[B, H·W]` from the device.
///
/// # Errors
/// The device cannot be read, or a value is not finite.
pub fn to_images<B: Backend>(images: Tensor<B, 2>, width: usize) -> Result<Vec<GreyImage>> {
    Ok(to_values(images)?.iter().map(|image| GreyImage::from_unit(width, image)).collect())
}

fn to_values<B: Backend>(images: Tensor<B, 2>) -> Result<Vec<Vec<f32>>> {
    let [_, pixels] = images.dims();
    let data = images.try_into_data().map_err(|error| anyhow::anyhow!("cannot read from the device: {error:?}"))?;
    let values: Vec<f32> = data.iter::<f32>().collect();
    ensure!(
        values.iter().all(|v| v.is_finite()),
        "the model drew values that are not finite: its weights or its device are damaged"
    );
    Ok(values.chunks_exact(pixels).map(<[f32]>::to_vec).collect())
}

/// Overrides how a model is sampled, by assignments such as `context_gamma=-5`.
///
/// # Errors
/// There is no such option, or its value does not fit the model.
pub fn set_sampling<B: Backend>(model: &mut Vdm<B>, assignments: &[String]) -> Result<()> {
    for assignment in assignments {
        model.sampling.set(assignment)?;
    }
    Ok(model.sampling.validate()?)
}

/// The number of a class that is given by number or by its values' names.
///
/// # Errors
/// The weights have no such class.
pub fn class_number<B: Backend>(loaded: &LoadedModel<B>, class: &str) -> Result<usize> {
    let (config, attributes) = (&loaded.header.config, &loaded.header.provenance.attributes);
    let number = || config.classes().named(class, attributes).or_else(|| class.parse().ok());
    number().with_context(|| match config.attributes.len() {
        0 => format!("--class is {class}: these weights have no classes"),
        _ => {
            let of: Vec<String> =
                attributes.iter().map(|of| format!("{} ({})", of.name, of.values.join(", "))).collect();
            format!("--class is {class}: a number, or a value of one or more of {} is accepted", of.join("; "))
        }
    })
}
