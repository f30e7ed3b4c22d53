//! The paper's figures, drawn from a run: the forward and reverse processes (its Figures 2 and 3), the losses against
//! steps (4), and samples (5).

use std::path::Path;

use anyhow::{Context, Result};
use burn::tensor::backend::Backend;
use vdm::image::{GreyImage, Origin};
use vdm::model::{Condition, Vdm};
use vdm::rng::{RngStream, seeded_noise};
use vdm::sampler::{Sampler, SamplingOptions, Trajectory};

use crate::base::about::SOFTWARE;
use crate::base::files::{self, LoadedModel, WithEncoder};
use crate::base::interrupt::Interrupt;
use crate::data::Dataset;
use crate::generate::{Pixels, draw, to_images};
use crate::output::html;

const COLUMNS: usize = 8;
const ROWS: usize = 3;
const SAMPLES: usize = 16;
const STEPS: usize = 50;

/// Draws every figure of a run into its folder `figures`.
///
/// # Errors
/// [`Interrupted`](crate::base::interrupt::Interrupted); weights that cannot be read; a file that cannot be written.
pub fn draw_all<B: Backend>(
    folder: &Path,
    weights: &Path,
    validation: &Dataset,
    interrupt: &Interrupt,
    device: &B::Device,
) -> Result<()> {
    let loaded = files::load_model::<B>(weights, WithEncoder::Yes, device)?;
    let figures = folder.join("figures");
    let write = |name: &str, image: GreyImage, settings: &[(&str, String)]| -> Result<()> {
        let path = figures.join(name);
        let settings = settings.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect();
        files::write_atomic(&path, &image.labelled().to_png(&origin(&loaded, settings))?)?;
        eprintln!("wrote {}", path.display());
        Ok(())
    };
    let sampler = Sampler::Ancestral;
    let settings =
        [("sampler", sampler.name().to_owned()), ("steps", STEPS.to_string()), ("seeds", format!("0-{}", SAMPLES - 1))];
    let options = SamplingOptions { sampler, steps: STEPS, condition: Condition::default() };

    write("forward.png", forward(&loaded.model, validation, device)?, &[])?;
    write("reverse.png", reverse(&loaded.model, options, interrupt, device)?, &settings)?;
    let samples = draw(&loaded.model, options, Pixels::Mean, 0, SAMPLES, device, || Ok(interrupt.check()?))?;
    write("samples.png", GreyImage::grid(&samples, 4), &settings)?;

    let path = figures.join("losses.svg");
    files::write_atomic(&path, html::losses_svg(folder).as_bytes())?;
    eprintln!("wrote {}", path.display());
    Ok(())
}

fn origin<B: Backend>(loaded: &LoadedModel<B>, settings: Vec<(String, String)>) -> Origin {
    Origin {
        software: SOFTWARE.to_owned(),
        weights: loaded.header.provenance.name.clone(),
        weights_sha256: loaded.sha256.clone(),
        settings,
    }
}

/// A row an image: the image, then its latent on the way from t = 0 to t = 1, decoded.
fn forward<B: Backend>(model: &Vdm<B>, data: &Dataset, device: &B::Device) -> Result<GreyImage> {
    let rows = ROWS.min(data.len());
    let indices: Vec<usize> = (0..rows).collect();
    let x = data.batch::<B>(&indices, device);
    let f = model.encode(x.clone()).context("the encoder is not loaded")?;
    let seeds: Vec<u64> = (0..rows as u64).collect();
    let noise = seeded_noise::<B>(&seeds, RngStream::Diffuse, 0, model.config.latent_dim(), device);
    let mut columns = vec![to_images(x, model.config.width)?];
    for i in 0..COLUMNS - 1 {
        let t = i as f64 / (COLUMNS - 2) as f64;
        let z = model.diffuse(f.clone(), noise.clone(), t);
        columns.push(to_images(model.decode(model.without_alpha(z, t)), model.config.width)?);
    }
    Ok(rows_of(&columns))
}

/// Two rows a seed, from t = 1 to t = 0: the latent decoded, and below it the image that the model predicts from it.
fn reverse<B: Backend>(
    model: &Vdm<B>,
    options: SamplingOptions,
    interrupt: &Interrupt,
    device: &B::Device,
) -> Result<GreyImage> {
    let seeds: Vec<u64> = (0..ROWS as u64).collect();
    let mut trajectory = Trajectory::from_noise(model, options, &seeds, device)?;
    let width = model.config.width;
    let steps = trajectory.steps();
    let mut columns = Vec::new();
    let mut next = 0;
    for step in 0..=steps {
        interrupt.check()?;
        // Steps 0, …, `steps` at even distances: COLUMNS of them.
        let shown = step * (COLUMNS - 1) >= next * steps;
        let noisy = if shown { Some(to_images(trajectory.decode(model), width)?) } else { None };
        let more = trajectory.step(model).is_some();
        if let Some(noisy) = noisy {
            let predicted = if more { trajectory.decode_prediction(model) } else { trajectory.decode(model) };
            let predicted = to_images(predicted, width)?;
            columns.push(noisy.into_iter().zip(predicted).flat_map(|(z, f)| [z, f]).collect());
            next += 1;
        }
    }
    Ok(rows_of(&columns))
}

fn rows_of(columns: &[Vec<GreyImage>]) -> GreyImage {
    let rows = columns.first().map_or(0, Vec::len);
    let images: Vec<GreyImage> =
        (0..rows).flat_map(|row| columns.iter().filter_map(move |column| column.get(row).cloned())).collect();
    GreyImage::grid(&images, columns.len())
}
