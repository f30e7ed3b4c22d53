//! The paper's figures, drawn from a run: the forward and reverse processes (its Figures 2 and 3), the three losses
//! on validation against steps (4), and samples (5).

use std::path::Path;

use anyhow::{Context, Result, anyhow};
use burn::tensor::backend::Backend;
use plotters::prelude::*;
use vdm::image::{GreyImage, Origin};
use vdm::model::{Condition, Vdm};
use vdm::rng::RngStream;
use vdm::rng::seeded_noise;
use vdm::sampler::{Sampler, SamplingOptions, Trajectory};

use crate::base::about::SOFTWARE;
use crate::base::files::{self, LoadedModel, WithEncoder};
use crate::data::Dataset;
use crate::generate::{Pixels, draw, to_images};
use crate::run::log::{ValidationLog, read_validations};

const COLUMNS: usize = 8;
const ROWS: usize = 3;
const SAMPLES: usize = 16;
const STEPS: usize = 50;

/// Draws every figure of a run into its folder `figures`.
pub fn draw_all<B: Backend>(folder: &Path, weights: &Path, validation: &Dataset, device: &B::Device) -> Result<()> {
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
    write("reverse.png", reverse(&loaded.model, options, device)?, &settings)?;
    let samples = draw(&loaded.model, options, Pixels::Mean, 0, SAMPLES, device, || {})?;
    write("samples.png", GreyImage::grid(&samples, 4), &settings)?;

    let path = figures.join("losses.png");
    files::write_atomic(&path, &losses(&read_validations(folder)?)?)?;
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
    let noise = seeded_noise::<B>(&seeds, RngStream::Diffuse, 0, model.config.latent_dim, device);
    let mut columns = vec![to_images(x, model.config.width)?];
    for i in 0..COLUMNS - 1 {
        let t = i as f64 / (COLUMNS - 2) as f64;
        let z = model.diffuse(f.clone(), noise.clone(), t);
        let alpha = vdm::math::alpha_squared(model.schedule.gamma(t)).sqrt();
        columns.push(to_images(model.decode(z / alpha), model.config.width)?);
    }
    Ok(rows_of(&columns))
}

/// Two rows a seed, from t = 1 to t = 0: the latent decoded, and below it the image that the model predicts from it.
fn reverse<B: Backend>(model: &Vdm<B>, options: SamplingOptions, device: &B::Device) -> Result<GreyImage> {
    let seeds: Vec<u64> = (0..ROWS as u64).collect();
    let mut trajectory = Trajectory::from_noise(model, options, &seeds, device)?;
    let width = model.config.width;
    let steps = trajectory.steps();
    let mut columns = Vec::new();
    let mut next = 0;
    for step in 0..=steps {
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

/// The three losses and the total on validation against steps, each on an axis of its own.
fn losses(lines: &[ValidationLog]) -> Result<Vec<u8>> {
    const SIZE: (u32, u32) = (1200, 800);
    let mut pixels = vec![0u8; (SIZE.0 * SIZE.1 * 3) as usize];
    register_font()?;
    {
        let area = BitMapBackend::with_buffer(&mut pixels, SIZE).into_drawing_area();
        area.fill(&WHITE).map_err(plot)?;
        type Term = fn(&ValidationLog) -> f64;
        let panels: [(&str, Term); 4] = [
            ("reconstruction", |line| line.reconstruction),
            ("diffusion", |line| line.diffusion),
            ("latent", |line| line.latent),
            ("total", |line| line.total),
        ];
        for (panel, (name, term)) in area.split_evenly((2, 2)).iter().zip(panels) {
            let points: Vec<(f64, f64)> = lines.iter().map(|line| (line.step as f64, term(line))).collect();
            let last = points.last().map_or(1.0, |p| p.0).max(1.0);
            // The first validation is far above the others: the scale follows the later ones.
            let later = &points[points.len() / 10..];
            let low = later.iter().map(|p| p.1).fold(f64::INFINITY, f64::min);
            let high = later.iter().map(|p| p.1).fold(f64::NEG_INFINITY, f64::max);
            let margin = ((high - low) * 0.05).max(high.abs() * 1e-3).max(1e-12);
            let mut chart = ChartBuilder::on(panel)
                .caption(format!("{name}, validation, bits/dim"), ("DejaVu", 22))
                .margin(14)
                .x_label_area_size(40)
                .y_label_area_size(90)
                .build_cartesian_2d(0.0..last, low - margin..high + margin)
                .map_err(plot)?;
            chart
                .configure_mesh()
                .x_desc("steps")
                .x_labels(6)
                .label_style(("DejaVu", 15))
                .y_label_formatter(&|v| if v.abs() < 0.01 { format!("{v:.2e}") } else { format!("{v:.4}") })
                .light_line_style(WHITE)
                .draw()
                .map_err(plot)?;
            let visible = points.iter().copied().filter(|p| p.1 <= high + margin);
            chart.draw_series(LineSeries::new(visible, BLUE.stroke_width(2))).map_err(plot)?;
        }
        area.present().map_err(plot)?;
    }
    let mut bytes = Vec::new();
    let encoder = image::codecs::png::PngEncoder::new(&mut bytes);
    image::ImageEncoder::write_image(encoder, &pixels, SIZE.0, SIZE.1, image::ExtendedColorType::Rgb8)?;
    Ok(bytes)
}

/// The plot's text is drawn with a font of our own, so that it is the same where no fonts are installed.
fn register_font() -> Result<()> {
    plotters::style::register_font("DejaVu", FontStyle::Normal, dejavu::sans::regular())
        .map_err(|_| anyhow!("the plot's font cannot be read"))
}

fn plot<E: std::error::Error>(error: E) -> anyhow::Error {
    anyhow!("cannot draw the losses: {error}")
}
