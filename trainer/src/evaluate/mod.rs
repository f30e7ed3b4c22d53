//! `trainer evaluate`: the bound of held-out images, how well they are reconstructed, how near samples are to real images,
//! and whether samples are copies of training images, in one table.

mod card;
mod compare;
mod outputs;
pub mod report;
mod samples;

use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};
use burn::tensor::{backend::AutodiffBackend, backend::Backend};
use serde::Serialize;
use vdm::config::{ModelConfig, Stage};
use vdm::elbo::{self, ImageTerms};
use vdm::image::GreyImage;
use vdm::math;
use vdm::model::{Networks, Vdm};

use self::card::Card;
use self::report::{Better, BitsPerDim, Bound, Report, Row, Samples, Section, Terms, in_bits};
use self::samples::SampleSet;
use crate::base::about::SOFTWARE;
use crate::base::device::{self, Device, Job};
use crate::base::files::{self, LoadedModel, WithEncoder, block_on, write_atomic};
use crate::base::progress::Progress;
use crate::cli::args::EvaluateArgs;
use crate::data::{self, Dataset};
use crate::generate;
use crate::measures::stats::Figure;
use crate::measures::{Images, Measured, TooFew, similarity};

/// A mean over images with its standard error.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Estimate {
    /// The mean.
    pub mean: f64,
    /// Its standard error, over images.
    pub standard_error: f64,
}

impl Estimate {
    /// Of one number an image.
    pub fn of(values: &[f64]) -> Self {
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0).max(1.0);
        Self { mean, standard_error: (variance / n).sqrt() }
    }

    /// Of nats an image, as bits a dimension.
    pub fn in_bits_per_dim(self, dimensions: usize) -> Self {
        let bits = |nats| math::bits_per_dim(nats, dimensions);
        Self { mean: bits(self.mean), standard_error: bits(self.standard_error) }
    }
}

/// A term of the bound: its key, and where it stands.
type Term = (&'static str, fn(&ImageTerms) -> f64);
/// A measure of likeness: its key, its name, and where it stands.
type Likeness = (&'static str, &'static str, fn(&similarity::Pairwise) -> &[f64]);

/// Images evaluated at once.
const BATCH: usize = 64;

/// Measures every image at `times` antithetic diffusion times each, calling back with how many are done.
#[expect(clippy::too_many_arguments, reason = "each is one thing that the figures depend on")]
pub fn measure<B: Backend>(
    networks: &Networks<B>,
    config: &ModelConfig,
    stage: Stage,
    data: &Dataset,
    times: usize,
    seed: u64,
    device: &B::Device,
    mut on_progress: impl FnMut(usize),
) -> Result<Vec<ImageTerms>> {
    let encoder = networks.encoder.as_ref().context("the encoder is not loaded")?;
    let mut all = Vec::with_capacity(data.len());
    let indices: Vec<usize> = (0..data.len()).collect();
    for chunk in indices.chunks(BATCH) {
        let images: Vec<&[u8]> = chunk.iter().map(|&i| data.image(i)).collect();
        let classes = data.labels.as_ref().map(|labels| &labels[chunk[0]..chunk[0] + chunk.len()]);
        let first = chunk[0] as u64;
        all.extend(block_on(elbo::measure(
            networks, config, stage, encoder, &images, classes, first, times, seed, device,
        ))?);
        on_progress(all.len());
    }
    Ok(all)
}

/// `trainer evaluate`.
pub fn command(args: EvaluateArgs) -> Result<()> {
    ensure!(args.times > 0, "--times is 0: at least 1 is accepted");
    for path in [Some(&args.data), args.train_data.as_ref(), args.samples_dir.as_ref()].into_iter().flatten() {
        data::check(path)?;
    }
    if let Some(out) = &args.out {
        std::fs::create_dir_all(out).with_context(|| format!("cannot create {}", out.display()))?;
    }
    let run = args.run.as_deref().map(card::read_run).transpose()?;
    let notes = args.card_notes.as_deref().map(files::read).transpose()?;
    let notes = notes.map(String::from_utf8).transpose().context("the card's notes are not text")?;
    // Without weights, no network computes.
    let device = if args.weights.is_some() { device::choose(args.device)? } else { Device::Cpu };
    device::run(device, Evaluate { args, run, notes })
}

struct Evaluate {
    args: EvaluateArgs,
    run: Option<card::RunFacts>,
    notes: Option<String>,
}

impl Job for Evaluate {
    type Output = ();

    fn run<B: AutodiffBackend>(self, device: &B::Device) -> Result<()> {
        self.evaluate::<B::InnerBackend>(device)
    }
}

impl Evaluate {
    fn evaluate<B: Backend>(self, device: &B::Device) -> Result<()> {
        let args = &self.args;
        let load = |path: &PathBuf| files::load_model::<B>(path, WithEncoder::Yes, device);
        let loaded = args.weights.as_ref().map(load).transpose()?;
        let (height, width) = match (&loaded, &args.samples_dir) {
            (Some(loaded), _) => (loaded.model.config.height, loaded.model.config.width),
            (None, Some(folder)) => samples::size(folder)?,
            (None, None) => bail!("--weights or --samples-dir is needed"),
        };
        let options = loaded.as_ref().map(|loaded| samples::options(args, loaded)).transpose()?;
        let class = options.and_then(|options| options.condition.class);
        let classes = loaded.as_ref().map_or(&[][..], |loaded| &loaded.header.provenance.class_names);
        let read = |path: &PathBuf| data::read(path, &args.choice, classes, height, width);
        let held_out = read(&args.data)?;
        let training = args.train_data.as_ref().map(read).transpose()?;

        let mut figures = Vec::new();
        let bound =
            loaded.as_ref().map(|loaded| bound_of(args, loaded, &held_out, device, &mut figures)).transpose()?;
        if let Some(loaded) = &loaded {
            figures.extend(reconstruction_rows(args, &loaded.model, &held_out, device)?);
        }

        let (of_class, training_of_class) =
            (of_class(&held_out, class), training.as_ref().map(|training| of_class(training, class)));
        let comparable = compare::comparable(of_class.len(), training_of_class.as_ref().map(Images::len));
        let set = match (&args.samples_dir, &loaded, options) {
            (Some(folder), ..) => samples::read(folder, &args.choice, (height, width))?,
            (_, Some(loaded), Some(options)) => {
                let count = args.samples.unwrap_or(samples::DEFAULT_COUNT.min(comparable));
                samples::draw(args, loaded, options, count, device)?
            }
            _ => SampleSet::default(),
        };
        let view = set.view(height, width);
        let sets = compare::Sets::of(&view, &of_class, training_of_class.as_ref(), args.seed);
        let (mut spectra, mut audit, mut closest) = (None, None, Vec::new());
        if args.samples != Some(0) {
            let (rows, found) = compare::measure(&sets, args.bootstrap, args.seed);
            figures.extend(rows);
            spectra = found;
            let copies = match &training {
                Some(training) => {
                    let all = Images::of(training);
                    search(&view, &of_class, &all, args)
                }
                None => Err(TooFew("needs the training images: pass --train-data".to_owned())),
            };
            figures.extend(compare::audit_rows(&copies));
            if let (Ok(copies), Some(training)) = (copies, &training) {
                closest = compare::closest(&copies, &set.names, &training.names, outputs::PAIRS);
                audit = Some(copies.audit);
            }
        }
        let report = Report {
            weights: args.weights.as_ref().map(|path| path.display().to_string()),
            weights_sha256: loaded.as_ref().map(|loaded| loaded.sha256.clone()),
            images: held_out.len(),
            skipped: held_out.skipped,
            times: args.times,
            seed: args.seed,
            bound,
            samples: Samples {
                images: set.images.len(),
                from: set.from.clone(),
                compared: sets.samples.len(),
                reference: sets.reference.len(),
                real: sets.what.to_owned(),
                training_images: training.as_ref().map_or(0, Dataset::len),
            },
            figures,
            audit,
            closest,
            command: command_line(),
            software: SOFTWARE.to_owned(),
        };
        if let Some(out) = &args.out {
            let training = training.as_ref().map(Images::of);
            outputs::write(out, &report, &set, training.as_ref(), spectra.as_ref())?;
            eprintln!("wrote the report to {}", out.display());
        }
        if let (Some(path), Some(weights), Some(loaded)) = (&args.card, &args.weights, &loaded) {
            let mut card = Card::new(weights, &loaded.header, &loaded.sha256, self.run.as_ref(), &report)?;
            card.notes = self.notes.as_deref();
            write_atomic(path, card.markdown().as_bytes())?;
            eprintln!("wrote the model card {}", path.display());
        }
        let text = if args.json { serde_json::to_string_pretty(&report)? + "\n" } else { report.text() };
        files::print(text.as_bytes())
    }
}

/// The images of a class, or all.
fn of_class(data: &Dataset, class: Option<usize>) -> Images<'_> {
    let all = Images::of(data);
    match (class, &data.labels) {
        (Some(class), Some(labels)) => all.select(&(0..all.len()).filter(|&i| labels[i] == class).collect::<Vec<_>>()),
        _ => all,
    }
}

fn search(
    samples: &Images<'_>,
    held_out: &Images<'_>,
    training: &Images<'_>,
    args: &EvaluateArgs,
) -> Measured<compare::Copies> {
    if samples.len() == 0 {
        return Err(TooFew::images(1, "synthetic", 0));
    }
    compare::audit(samples, held_out, training, args.bootstrap, args.seed)
}

/// The bound, as the report has it and as rows of the table.
fn bound_of<B: Backend>(
    args: &EvaluateArgs,
    loaded: &LoadedModel<B>,
    data: &Dataset,
    device: &B::Device,
    figures: &mut Vec<Row>,
) -> Result<Bound> {
    let config = &loaded.model.config;
    let mut progress = Progress::new("bound, images", 0, data.len() as u64);
    let terms = measure(&loaded.model.networks, config, Stage::Joint, data, args.times, args.seed, device, |done| {
        progress.set(done as u64, String::new);
    })?;
    drop(progress);
    let values = |of: fn(&ImageTerms) -> f64| terms.iter().map(of).collect::<Vec<f64>>();
    let of_terms: [Term; 6] = [
        ("reconstruction", |t| t.reconstruction),
        ("entropy_floor", |t| t.entropy_floor),
        ("excess", |t| t.reconstruction - t.entropy_floor),
        ("latent", |t| t.latent),
        ("diffusion", |t| t.diffusion),
        ("total", ImageTerms::total),
    ];
    for (key, of) in of_terms {
        let figure = in_bits(Figure::mean(&values(of), args.bootstrap, args.seed), config.pixels());
        let name = match key {
            "entropy_floor" => "of it the images' own entropy",
            "excess" => "of it above the entropy",
            key => key,
        };
        figures.push(Row::alone(Section::Bound, key, name, Better::Lower, figure));
    }
    let mse = Figure::mean(&values(|t| t.mse), args.bootstrap, args.seed);
    let name = "MSE of grey values in 0..1, from z at t = 0";
    figures.push(Row::alone(Section::Reconstruction, "mse", name, Better::Lower, mse));
    let estimates = of_terms.map(|(_, of)| Estimate::of(&values(of)).in_bits_per_dim(config.pixels()));
    let terms_by = |figure: fn(&Estimate) -> f64| {
        let [reconstruction, entropy_floor, excess, latent, diffusion, total] = estimates.each_ref().map(figure);
        Terms { reconstruction, latent, diffusion, total, entropy_floor, excess }
    };
    Ok(Bound {
        bits_per_dim: BitsPerDim { mean: terms_by(|e| e.mean), standard_error: terms_by(|e| e.standard_error) },
        mse: Estimate::of(&values(|t| t.mse)),
        gradient_difference: Estimate::of(&values(|t| t.gradient_difference)),
    })
}

/// Held-out images encoded, and decoded without noise.
fn reconstruction_rows<B: Backend>(
    args: &EvaluateArgs,
    model: &Vdm<B>,
    data: &Dataset,
    device: &B::Device,
) -> Result<Vec<Row>> {
    let mut progress = Progress::new("reconstruction, images", 0, data.len() as u64);
    let all = Images::of(data);
    let indices: Vec<usize> = (0..data.len()).collect();
    let mut found: Measured<similarity::Pairwise> =
        Ok(similarity::Pairwise { psnr: Vec::new(), ssim: Vec::new(), ms_ssim: Vec::new() });
    for (done, chunk) in indices.chunks(BATCH).enumerate() {
        let latents = model.encode(data.batch(chunk, device)).context("the encoder is not loaded")?;
        let decoded: Vec<GreyImage> = generate::to_images(model.decode(latents), data.width)?;
        let decoded = Images { pixels: decoded.iter().map(|image| image.pixels.as_slice()).collect(), ..all };
        found = found.and_then(|mut found| {
            let more = similarity::pairwise(&all.select(chunk), &decoded)?;
            found.psnr.extend(more.psnr);
            found.ssim.extend(more.ssim);
            found.ms_ssim.extend(more.ms_ssim);
            Ok(found)
        });
        progress.set((done * BATCH + chunk.len()) as u64, String::new);
    }
    let kinds: [Likeness; 3] =
        [("psnr", "PSNR, dB", |p| &p.psnr), ("ssim", "SSIM", |p| &p.ssim), ("ms_ssim", "MS-SSIM", |p| &p.ms_ssim)];
    let section = Section::Reconstruction;
    let rows = kinds.map(|(key, name, of)| match &found {
        Ok(found) => {
            let figure = Figure::mean(of(found), args.bootstrap, args.seed);
            Row::alone(section, key, name, Better::Higher, figure)
        }
        Err(why) => Row::missing(section, key, name, Better::Higher, why),
    });
    Ok(rows.to_vec())
}

/// The command line, to be run again.
fn command_line() -> String {
    let quoted = |word: String| {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,+@%".contains(c);
        if !word.is_empty() && word.chars().all(plain) { word } else { format!("'{}'", word.replace('\'', r"'\''")) }
    };
    let words = std::env::args_os().skip(1).map(|word| quoted(word.to_string_lossy().into_owned()));
    ["trainer".to_owned()].into_iter().chain(words).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests;
