//! Whether samples show what was asked for: a classifier of real images agrees, or not.
//!
//! Images are reduced to [`SIDE`]² means of areas, and logistic regression learns to tell the values of an attribute apart,
//! one value against all others. It is fitted to four fifths of the real images and asked about the last fifth, in turn, and
//! each of the five is asked about all samples. No two fifths share a patient who is known. Of each value as many real
//! images are taken, so that a guess is right one time in as many as there are values.

use std::collections::BTreeMap;

use rayon::prelude::*;

use super::logistic::Classifier;
use super::plane::Plane;
use super::set::{Draw, Images, Measured, TooFew};
use super::stats::Figure;

/// Pixels of a side of the images that the classifier sees.
const SIDE: usize = 32;
const FOLDS: usize = 5;
/// Larger than that of the two-sample test: neighbouring areas are much alike.
const PENALTY: f64 = 100.0;
/// Fewest real images of each value.
pub const MIN_IMAGES: usize = 20;

/// How often the classifier finds the value that an image has or was drawn for.
#[derive(Clone, Copy, Debug)]
pub struct Agreement {
    /// Of the samples.
    pub samples: Figure,
    /// Of real images that it was not fitted to.
    pub real: Figure,
}

/// Real images whose value of an attribute is known.
pub struct Known<'a> {
    /// The images.
    pub images: Images<'a>,
    /// The value of each.
    pub values: Vec<usize>,
    /// The patient of each, where it is known.
    pub patients: Vec<Option<String>>,
}

/// The agreement of a classifier of real images with the samples of each value.
///
/// # Errors
/// Fewer than [`MIN_IMAGES`] real images of a value, no sample of one, or fewer than two values.
pub fn agreement(real: &Known<'_>, samples: &[Images<'_>], seed: u64) -> Measured<Agreement> {
    let values = samples.len();
    let of_value = |value: usize| -> Vec<usize> {
        let order = Draw::Folds.stream(seed, 1 + value as u64).permutation(real.values.len());
        order.into_iter().filter(|&i| real.values[i] == value).collect()
    };
    let by_value: Vec<Vec<usize>> = (0..values).map(of_value).collect();
    let each = by_value.iter().map(Vec::len).min().unwrap_or(0);
    if values < 2 || each < MIN_IMAGES {
        return Err(TooFew(format!(
            "needs at least {MIN_IMAGES} real images of each of two values, and there are {each} of {values}"
        )));
    }
    if samples.iter().any(|images| images.len() == 0) {
        return Err(TooFew::images(1, "synthetic", 0));
    }
    let chosen: Vec<usize> = by_value.iter().flat_map(|of| of[..each].iter().copied()).collect();
    let fold = folds(&chosen.iter().map(|&i| real.patients[i].as_deref()).collect::<Vec<_>>(), seed);
    let rows = reduced(&real.images.select(&chosen));
    let of: Vec<usize> = chosen.iter().map(|&i| real.values[i]).collect();
    let drawn: Vec<Vec<Vec<f32>>> = samples.iter().map(reduced).collect();
    // How many real images of the fold, and how many samples, are taken for what they are.
    let right: Vec<[usize; 2]> = (0..FOLDS)
        .into_par_iter()
        .map(|held_out| {
            let classifiers: Vec<Classifier> = (0..values)
                .map(|value| {
                    let part = |yes: bool| -> Vec<&[f32]> {
                        let fitted = (0..rows.len()).filter(|&i| fold[i] != held_out && (of[i] == value) == yes);
                        fitted.map(|i| rows[i].as_slice()).collect()
                    };
                    Classifier::fit(&part(true), &part(false), PENALTY)
                })
                .collect();
            let guess = |row: &[f32]| {
                let scores = classifiers.iter().map(|classifier| classifier.score(row)).enumerate();
                scores.max_by(|a, b| a.1.total_cmp(&b.1)).map(|(value, _)| value)
            };
            let tested = (0..rows.len()).filter(|&i| fold[i] == held_out && guess(&rows[i]) == Some(of[i]));
            let asked = drawn.iter().enumerate();
            let asked = asked.map(|(value, rows)| rows.iter().filter(|row| guess(row) == Some(value)).count());
            [tested.count(), asked.sum()]
        })
        .collect();
    let hits = |of: usize| right.iter().map(|fold| fold[of]).sum::<usize>();
    // Each sample is asked about by all five: their answers go together, so that the interval is that of the samples.
    let count = drawn.iter().map(Vec::len).sum::<usize>();
    let of_samples = (hits(1) as f64 / FOLDS as f64).round() as usize;
    Ok(Agreement { samples: Figure::rate(of_samples, count), real: Figure::rate(hits(0), rows.len()) })
}

/// A fold for each image, the same for all of one patient.
fn folds(patients: &[Option<&str>], seed: u64) -> Vec<usize> {
    let mut of: BTreeMap<&str, usize> = BTreeMap::new();
    let order = Draw::Folds.stream(seed, 0).permutation(patients.len());
    let mut fold = vec![0; patients.len()];
    for (place, i) in order.into_iter().enumerate() {
        fold[i] = match patients[i] {
            Some(patient) => *of.entry(patient).or_insert(place % FOLDS),
            None => place % FOLDS,
        };
    }
    fold
}

fn reduced(images: &Images<'_>) -> Vec<Vec<f32>> {
    let of = |pixels: &&[u8]| Plane::of(pixels, images.width).area_means(SIDE, SIDE).values;
    images.pixels.par_iter().map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pictures of noise, of which those of value 1 are brighter on the left by so many grey levels.
    fn pictures(value: usize, count: usize, brighter: f32, first: u64) -> Vec<Vec<u8>> {
        let picture = |i: usize| {
            let noise = Draw::Patches.stream(5, first + i as u64).normals(32 * 32);
            let grey = |(k, noise): (usize, f32)| {
                let left = if k % 32 < 16 { brighter * value as f32 } else { 0.0 };
                (128.0 + 20.0 * noise + left).clamp(0.0, 255.0) as u8
            };
            noise.into_iter().enumerate().map(grey).collect()
        };
        (0..count).map(picture).collect()
    }

    fn images(pictures: &[Vec<u8>]) -> Images<'_> {
        Images { height: 32, width: 32, pixels: pictures.iter().map(Vec::as_slice).collect() }
    }

    fn measure(asked_for: f32, real: usize) -> Measured<Agreement> {
        let [a, b] = [0, 1].map(|value| pictures(value, real, 10.0, 1000 * value as u64));
        let all = [a, b].concat();
        let known = Known {
            images: images(&all),
            values: (0..all.len()).map(|i| i / real).collect(),
            patients: vec![None; all.len()],
        };
        let drawn = [0, 1].map(|value| pictures(value, 40, asked_for, 5000 + 1000 * value as u64));
        agreement(&known, &drawn.each_ref().map(|of| images(of)), 3)
    }

    #[test]
    fn what_is_drawn_as_asked_for_is_found_and_what_is_not_is_guessed() {
        let followed = measure(10.0, 60).expect("enough images");
        assert!(followed.real.value > 0.9 && followed.samples.value > 0.9, "{followed:?}");
        let ignored = measure(0.0, 60).expect("enough images");
        assert!((0.3..0.7).contains(&ignored.samples.value), "{ignored:?}");
        let opposite = measure(-10.0, 60).expect("enough images");
        assert!(opposite.samples.value < 0.6, "{opposite:?}");
        assert!(measure(10.0, MIN_IMAGES - 1).is_err());
    }

    #[test]
    fn a_patient_is_in_one_fold() {
        let patients: Vec<Option<&str>> = (0..40).map(|i| ["a", "b", "c"].get(i % 4).copied()).collect();
        let fold = folds(&patients, 1);
        for (i, patient) in patients.iter().enumerate().filter(|(_, patient)| patient.is_some()) {
            assert_eq!(fold[i], fold[patients.iter().position(|other| other == patient).expect("the first")]);
        }
        let unknown: Vec<usize> = (3..40).step_by(4).map(|i| fold[i]).collect();
        assert!(unknown.iter().any(|fold| *fold != unknown[0]));
    }
}
