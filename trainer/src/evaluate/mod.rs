//! Measures weights and samples: the variational bound (ELBO) of held-out images, how well they are reconstructed, how
//! close samples are to real images, and whether samples are copies of training images.
//!
//! A file uses only those above it in this list: `elbo`, `options`, `report`, `held_out`, `samples`, `conditions`,
//! `compare`, `outputs`, `run_facts`, `card`.

mod card;
mod compare;
mod conditions;
pub mod elbo;
mod held_out;
pub mod options;
mod outputs;
pub mod report;
mod run_facts;
mod samples;

use std::collections::HashSet;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use burn::tensor::backend::{AutodiffBackend, Backend};
use vdm::axis::evenly;
use vdm::config::Classes;

use self::card::Card;
use self::options::{CardOptions, Options};
use self::report::{Report, Samples};
use self::run_facts::RunFacts;
use self::samples::SampleSet;
use crate::base::about::SOFTWARE;
use crate::base::device::{self, Device, Job};
use crate::base::files::{self, WithEncoder, write_atomic};
use crate::data::{self, Dataset};
use crate::generate::set_sampling;
use crate::measures::{Images, TooFew};

/// Measures, and writes the report's files and the card that are asked for.
///
/// # Errors
/// A file cannot be read or written, or an option does not fit the weights or the images.
pub fn evaluate(options: Options, device: Device) -> Result<Report> {
    if let Some(out) = &options.out {
        std::fs::create_dir_all(out).with_context(|| format!("cannot create {}", out.display()))?;
    }
    let card = options.card.as_ref();
    let run = card.and_then(|card| card.run.as_deref()).map(RunFacts::read).transpose()?;
    let notes = card.and_then(|card| card.notes.as_deref()).map(files::read).transpose()?;
    let notes = notes.map(String::from_utf8).transpose().context("the card's notes are not UTF-8 text")?;
    device::run(device, Evaluate { options, run, notes })
}

struct Evaluate {
    options: Options,
    run: Option<RunFacts>,
    notes: Option<String>,
}

impl Job for Evaluate {
    type Output = Report;

    fn run<B: AutodiffBackend>(self, device: &B::Device) -> Result<Report> {
        self.evaluate::<B::InnerBackend>(device)
    }
}

impl Evaluate {
    fn evaluate<B: Backend>(self, device: &B::Device) -> Result<Report> {
        let Options { weights, choice, samples: wanted, bootstrap, seed, .. } = &self.options;
        let (bootstrap, seed) = (*bootstrap, *seed);
        let load = |path: &PathBuf| files::load_model::<B>(path, WithEncoder::Yes, device);
        let mut loaded = weights.as_ref().map(load).transpose()?;
        if let Some(loaded) = &mut loaded {
            set_sampling(&mut loaded.model, &wanted.sampling)?;
        }
        let (height, width) = match (&loaded, &wanted.folder) {
            (Some(loaded), _) => (loaded.model.config.height, loaded.model.config.width),
            (None, Some(folder)) => samples::size(folder)?,
            (None, None) => bail!("--weights or --samples-dir is needed"),
        };
        let sampling = loaded.as_ref().map(|loaded| samples::sampling_options(wanted, loaded)).transpose()?;
        let class = sampling.and_then(|sampling| sampling.condition.class);
        let attributes = loaded.as_ref().map_or(&[][..], |loaded| &loaded.header.provenance.attributes);
        let read = |path: &PathBuf| data::read(path, choice, attributes, height, width);
        let held_out = read(&self.options.data)?;
        let training = self.options.train_data.as_ref().map(read).transpose()?;

        let mut figures = Vec::new();
        let (mut bound, mut bits_per_pixel) = (None, None);
        if let Some(loaded) = &loaded {
            let measured = held_out::bound(&self.options, loaded, &held_out, device)?;
            figures.extend(measured.rows);
            figures.extend(held_out::reconstruction(&self.options, &loaded.model, &held_out, device)?);
            (bound, bits_per_pixel) = (Some(measured.bound), measured.bits_per_pixel);
        }

        let encoded = Images::of(&held_out).select(&match self.options.codecs {
            0 => Vec::new(),
            max => evenly(held_out.len(), max),
        });
        if encoded.len() > 0 {
            figures.extend(compare::likelihood(bits_per_pixel.as_ref(), &encoded));
        }

        let counts = loaded.as_ref().map_or(&[][..], |loaded| &loaded.model.config.attributes);
        let of_class = |data: &Dataset| of_class(data, Classes(counts), class);
        let places = of_class(&held_out);
        let real = Images::of(&held_out).select(&places);
        let real_training = training.as_ref().map(|data| Images::of(data).select(&of_class(data)));
        let comparable = compare::comparable(real.len(), real_training.as_ref().map(Images::len));
        let set = match (&wanted.folder, &loaded, sampling) {
            (Some(folder), ..) => samples::read(folder, choice, (height, width))?,
            (_, Some(loaded), Some(sampling)) => {
                let count = wanted.count.unwrap_or(samples::DEFAULT_COUNT.min(comparable));
                samples::draw(wanted, loaded, sampling, seed, count, device)?
            }
            _ => SampleSet::default(),
        };
        let view = set.view(height, width);
        let sets = compare::Sets::of(&view, &real, real_training.as_ref(), seed);
        let (mut spectra, mut audit, mut closest) = (None, None, Vec::new());
        let (mut two_sample, mut two_sample_half) = (0, 0);
        if wanted.count != Some(0) {
            let people = Images::of(&held_out).select(&one_a_patient(&held_out, &places));
            let told = compare::two_sample(&view, &people, seed);
            (two_sample, two_sample_half) = (told.each, told.half);
            figures.extend(told.rows);
            let (rows, found) = compare::measure(&sets, bootstrap, seed);
            figures.extend(rows);
            spectra = found;
            let copies = match &training {
                Some(_) if view.len() == 0 => Err(TooFew::images(1, "synthetic", 0)),
                Some(training) => compare::audit(&view, &real, &Images::of(training), bootstrap, seed),
                None => Err(TooFew("needs the training images: pass --train-data".to_owned())),
            };
            figures.extend(compare::audit_rows(&copies));
            if let (Ok(copies), Some(training)) = (copies, &training) {
                closest = compare::closest(&copies, &set.names, &training.names, outputs::PAIRS);
                audit = Some(copies.audit);
            }
        }
        if let (Some(loaded), Some(sampling)) = (&loaded, sampling) {
            let sets: Vec<&Dataset> = std::iter::once(&held_out).chain(&training).collect();
            figures.extend(conditions::rows(wanted, loaded, &sets, sampling, seed, device)?);
        }
        // As the table has them.
        figures.sort_by_key(|row| row.section);
        let report = Report {
            weights: weights.as_ref().map(|path| path.display().to_string()),
            weights_sha256: loaded.as_ref().map(|loaded| loaded.sha256.clone()),
            images: held_out.len(),
            skipped: held_out.skipped,
            times: self.options.times,
            seed,
            codec_images: encoded.len(),
            bits_per_pixel,
            bound,
            samples: Samples {
                images: set.images.len(),
                from: set.from.clone(),
                compared: sets.samples.len(),
                reference: sets.reference.len(),
                real: sets.what.to_owned(),
                two_sample,
                two_sample_half,
                training_images: training.as_ref().map_or(0, Dataset::len),
            },
            figures,
            audit,
            closest,
            command: self.options.command.clone(),
            software: SOFTWARE.to_owned(),
        };
        if let Some(out) = &self.options.out {
            let training = training.as_ref().map(Images::of);
            outputs::write(out, &report, &set, (&held_out, &places), training.as_ref(), spectra.as_ref())?;
            eprintln!("wrote the report to {}", out.display());
        }
        if let (Some(CardOptions { path, .. }), Some(weights), Some(loaded)) = (&self.options.card, weights, &loaded) {
            let mut card = Card::new(weights, &loaded.header, &loaded.sha256, self.run.as_ref(), &report)?;
            card.notes = self.notes.as_deref();
            write_atomic(path, card.markdown().as_bytes())?;
            eprintln!("wrote the model card {}", path.display());
        }
        Ok(report)
    }
}

/// The places of the images that a class includes, or of all.
fn of_class(data: &Dataset, classes: Classes<'_>, class: Option<usize>) -> Vec<usize> {
    let Some((class, labels)) = class.zip(data.labels.as_ref()) else { return (0..data.len()).collect() };
    (0..data.len()).filter(|&i| classes.includes(class, labels[i])).collect()
}

/// The first of these places of each patient, and all whose patient is not known.
fn one_a_patient(data: &Dataset, places: &[usize]) -> Vec<usize> {
    let mut seen = HashSet::new();
    places.iter().copied().filter(|&i| data.patients[i].as_ref().is_none_or(|of| seen.insert(of))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_chosen_by_class_and_patient_where_these_are_known() {
        let mut data = Dataset::phantoms(0, 0, 5, 8, 8);
        assert_eq!(one_a_patient(&data, &of_class(&data, Classes(&[2]), Some(1))), [0, 1, 2, 3, 4]);
        data.labels = Some(vec![0, 1, 1, 1, 0]);
        data.patients = ["a", "b", "c", "b", "a"].map(|name| Some(name.to_owned())).to_vec();
        assert_eq!(of_class(&data, Classes(&[2]), Some(1)), [1, 2, 3]);
        assert_eq!(one_a_patient(&data, &of_class(&data, Classes(&[2]), Some(1))), [1, 2]);
        assert_eq!(one_a_patient(&data, &of_class(&data, Classes(&[2]), None)), [0, 1, 2]);
    }
}
