//! The two-sample test by a classifier: can samples be told from real images, and at which scale?
//!
//! Lopez-Paz and Oquab, *Revisiting classifier two-sample tests*, ICLR 2017. At each of [`SIDES`] up to the images' size,
//! images are reduced by means of areas and described by `texture`; logistic regression is fitted to four fifths of both
//! sets and scores the last fifth, in turn. Nothing is tuned: penalty, folds and features are fixed, and no model is ever
//! trained or chosen by them.
//!
//! - **AUC**: how often a sample has a higher score than a real image of the same fifth. 0.5: cannot be told apart; 1:
//!   always told.
//! - **d′**: the difference of the mean scores over the root of their mean variance within a fifth. It still tells models
//!   apart whose AUC is 1.
//!
//! The interval of the AUC is DeLong's (DeLong, DeLong and Clarke-Pearson 1988), of d′ that of Hedges and Olkin (1985).
//! Both hold for one classifier; the five are fitted to sets that overlap, so that their errors go together: the variance
//! is multiplied by 1 + 5/4, after Nadeau and Bengio, *Inference for the generalization error*, 2003.
//!
//! Beside it stands the same test of two halves of the real images, which no classifier can tell apart but by chance. No
//! two images of these should be of one patient: the classifier would know the patient again, in the wrong half.

use rayon::prelude::*;

use super::logistic::Classifier;
use super::set::{Draw, Images, Measured, TooFew};
use super::stats::Figure;
use super::texture::{MIN_SIDE, Texture};

/// Shorter sides in pixels at which images are compared.
pub const SIDES: [usize; 4] = [256, 128, 64, 32];
/// Fewest images of either kind.
pub const MIN_IMAGES: usize = 20;

const FOLDS: usize = 5;
const PENALTY: f64 = 10.0;

/// Whether two sets can be told apart.
#[derive(Clone, Copy, Debug)]
pub struct Told {
    /// From 0.5 (not at all) to 1 (always); below 0.5 by chance.
    pub auc: Figure,
    /// In deviations.
    pub d_prime: Figure,
}

/// The test at one scale.
#[derive(Clone, Copy, Debug)]
pub struct AtScale {
    /// The shorter side, in pixels.
    pub side: usize,
    /// Samples against real images.
    pub samples: Told,
    /// One half of the real images against the other, where there are enough.
    pub real: Option<Told>,
}

/// Scales at which images of this size are compared.
pub fn sides(height: usize, width: usize) -> impl Iterator<Item = usize> {
    SIDES.into_iter().filter(move |side| *side <= height.min(width))
}

/// Images of each kind that are told apart, and real images in each half, of so many: no more than of the samples.
pub fn counts(samples: usize, real: usize) -> (usize, usize) {
    let each = samples.min(real);
    (each, (real / 2).min(each))
}

/// Images that [`test`] describes, over all scales, for its progress.
pub fn steps(samples: &Images<'_>, real: &Images<'_>) -> usize {
    let (each, half) = counts(samples.len(), real.len());
    (each + each.max(2 * half)) * sides(real.height, real.width).count()
}

/// The test at each scale, from the largest. Takes as many real images as samples, the first of them, and calls back after
/// each image that it has described.
///
/// # Errors
/// Fewer than [`MIN_IMAGES`] of either kind, or images below the smallest scale.
pub fn test(samples: &Images<'_>, real: &Images<'_>, seed: u64, on_image: impl Fn() + Sync) -> Measured<Vec<AtScale>> {
    let (each, half) = counts(samples.len(), real.len());
    if each < MIN_IMAGES {
        return Err(TooFew::of_each(MIN_IMAGES, each));
    }
    let (height, width) = (real.height, real.width);
    if height.min(width) < MIN_SIDE {
        return Err(TooFew::size(MIN_SIDE, height, width));
    }
    let (samples, real) = (samples.first(each), real.first(each.max(2 * half)));
    let at_scale = |side| {
        let texture = Texture::of(&real, side);
        let [samples, real] = [&samples, &real].map(|set| texture.features(set, &on_image));
        let told = |a: &[Vec<f32>], b: &[Vec<f32>]| told(a, b, seed);
        let halves = || told(&real[..half], &real[half..2 * half]);
        AtScale { side, samples: told(&samples, &real[..each]), real: (half >= MIN_IMAGES).then(halves) }
    };
    Ok(sides(height, width).map(at_scale).collect())
}

/// Cross-validates a classifier of rows; as many of either kind.
fn told(a: &[Vec<f32>], b: &[Vec<f32>], seed: u64) -> Told {
    let folds = [a, b].map(|set| {
        let mut fold = vec![0; set.len()];
        let order = Draw::Folds.stream(seed, 0).permutation(set.len());
        order.into_iter().enumerate().for_each(|(place, i)| fold[i] = place % FOLDS);
        fold
    });
    let scores: Vec<[Vec<f64>; 2]> = (0..FOLDS)
        .into_par_iter()
        .map(|held_out| {
            let part = |set: usize, tested: bool| -> Vec<&[f32]> {
                let rows = [a, b][set].iter().zip(&folds[set]);
                rows.filter(|(_, fold)| (**fold == held_out) == tested).map(|(row, _)| row.as_slice()).collect()
            };
            let classifier = Classifier::fit(&part(0, false), &part(1, false), PENALTY);
            [0, 1].map(|set| part(set, true).into_iter().map(|row| classifier.score(row)).collect())
        })
        .collect();
    Told { auc: auc(&scores), d_prime: d_prime(&scores) }
}

/// How much the variance grows because the classifiers share most of what they are fitted to.
const OVERLAP: f64 = 1.0 + FOLDS as f64 / (FOLDS - 1) as f64;

/// The AUC within folds, with DeLong's interval.
fn auc(folds: &[[Vec<f64>; 2]]) -> Figure {
    // For each score, the share of the other set's scores in its fold that lie below; a tie counts as half.
    let shares = |from: usize| -> Vec<f64> {
        let of_fold = |fold: &[Vec<f64>; 2]| {
            let mut others = fold[1 - from].clone();
            others.sort_by(f64::total_cmp);
            let share = move |score: &f64| {
                let [below, upto] = [others.partition_point(|v| v < score), others.partition_point(|v| v <= score)];
                (below + upto) as f64 / (2 * others.len()) as f64
            };
            fold[from].iter().map(share).collect::<Vec<_>>()
        };
        folds.iter().flat_map(of_fold).collect()
    };
    let (of_a, of_b) = (shares(0), shares(1));
    let (value, spread_a) = mean_and_variance(&of_a);
    let (_, spread_b) = mean_and_variance(&of_b);
    let error = (OVERLAP * (spread_a / of_a.len() as f64 + spread_b / of_b.len() as f64)).sqrt();
    let around = Figure::normal(value, error);
    Figure { low: around.low.max(0.0), high: around.high.min(1.0), ..around }
}

/// d′ within folds.
fn d_prime(folds: &[[Vec<f64>; 2]]) -> Figure {
    let n = folds.iter().map(|fold| fold[0].len()).sum::<usize>() as f64;
    let (mut difference, mut variance) = (0.0, 0.0);
    for [a, b] in folds {
        let share = a.len() as f64 / n;
        let ((mean_a, variance_a), (mean_b, variance_b)) = (mean_and_variance(a), mean_and_variance(b));
        difference += share * (mean_a - mean_b);
        variance += share * (variance_a + variance_b) / 2.0;
    }
    // Sets of one image over and over have scores without variance.
    let value = difference / variance.sqrt().max(1e-9);
    Figure::normal(value, (OVERLAP * (2.0 / n + value * value / (4.0 * n))).sqrt())
}

fn mean_and_variance(values: &[f64]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    (mean, values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0).max(1.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Dataset;
    use crate::measures::plane::Plane;

    const SIDE: usize = 64;

    fn view(images: &[Vec<u8>]) -> Images<'_> {
        Images { height: SIDE, width: SIDE, pixels: images.iter().map(Vec::as_slice).collect() }
    }

    /// Phantoms with a little film noise, changed by a function.
    fn made(first: u64, count: usize, change: impl Fn(Plane) -> Plane) -> Vec<Vec<u8>> {
        let data = Dataset::phantoms(0, first, count, SIDE, SIDE);
        let image = |i: usize| {
            let mut stream = Draw::Pairs.stream(7, first + i as u64);
            let mut plane = Plane::of(data.image(i), SIDE);
            plane.values.iter_mut().for_each(|v| *v += 3.0 * stream.normal() as f32);
            change(plane).values.iter().map(|v| v.round().clamp(0.0, 255.0) as u8).collect()
        };
        (0..count).map(image).collect()
    }

    fn at(found: &[AtScale], side: usize) -> &AtScale {
        found.iter().find(|of| of.side == side).expect("the scale")
    }

    #[test]
    fn equal_sets_are_not_told_apart_and_a_faint_blur_is() {
        let (real, more) = (made(0, 240, |plane| plane), made(1000, 120, |plane| plane));
        let same = test(&view(&more), &view(&real), 0, || {}).expect("enough images");
        assert_eq!(same.iter().map(|of| of.side).collect::<Vec<_>>(), [64, 32]);
        // Eight figures: not all 95 % intervals need hold, but none is three standard errors off.
        let errors = |of: Figure, wanted: f64| (of.value - wanted).abs() / ((of.high - of.low) / 3.92);
        for of in &same {
            for told in [of.samples, of.real.expect("halves")] {
                assert!(errors(told.auc, 0.5) < 3.0 && errors(told.d_prime, 0.0) < 3.0, "{of:?}");
            }
        }
        // A tenth of each pixel from its neighbours: noise of 3.0 grey levels becomes 2.7.
        let blurred = made(1000, 120, |plane| {
            let smooth = plane.blurred(1.0);
            plane.zip(&smooth, |a, b| 0.88 * a + 0.12 * b)
        });
        let found = test(&view(&blurred), &view(&real), 0, || {}).expect("enough images");
        let fine = at(&found, 64);
        assert!(fine.samples.auc.low > 0.8 && fine.samples.d_prime.low > 1.0, "{fine:?}");
        assert!(fine.samples.auc.value > at(&found, 32).samples.auc.value, "{found:?}");
        // A seed gives the same figures.
        let again = test(&view(&blurred), &view(&real), 0, || {}).expect("enough images");
        assert_eq!(at(&again, 64).samples.auc, fine.samples.auc);
    }

    #[test]
    fn the_auc_and_its_interval_are_delongs() {
        let fold = [vec![0.9, 0.8, 0.35, 0.6], vec![0.1, 0.4, 0.65, 0.3]];
        let found = auc(&[fold]);
        assert!((found.value - 0.8125).abs() < 1e-12);
        // Of the first, 1, 1, 0.5 and 0.75 of the others lie below; of the second, 0, 0.25, 0.5 and 0: variances of 0.0573.
        let error = (OVERLAP * (0.057_291_667 / 4.0 + 0.057_291_667 / 4.0f64)).sqrt();
        assert!((found.low - (0.8125 - 1.96 * error)).abs() < 1e-4, "{found:?}");
        assert_eq!(found.high, 1.0);
    }

    #[test]
    fn sets_apart_have_an_auc_of_one_and_a_finite_d_prime() {
        let (black, white) = (vec![vec![0; SIDE * SIDE]; 20], vec![vec![255; SIDE * SIDE]; 40]);
        let found = test(&view(&white[..20]), &view(&black), 0, || {}).expect("enough images");
        assert!(found[0].samples.auc.value == 1.0 && found[0].samples.d_prime.value.is_finite(), "{found:?}");
        let found = test(&view(&white[..20]), &view(&white), 0, || {}).expect("enough images");
        assert!(found[0].samples.auc.value == 0.5 && found[0].samples.d_prime.value == 0.0, "{found:?}");
    }

    #[test]
    fn few_or_small_images_are_refused_in_words() {
        let images = made(0, 30, |plane| plane);
        let refused = test(&view(&images[..19]), &view(&images), 0, || {}).expect_err("19 are too few");
        assert!(refused.0.contains("at least 20 samples") && refused.0.contains("there are 19"), "{refused:?}");
        assert!(test(&view(&images), &view(&images), 0, || {}).expect("enough")[0].real.is_none());
        let small = Dataset::phantoms(0, 0, 40, 24, 40);
        let refused = test(&Images::of(&small), &Images::of(&small), 0, || {}).expect_err("24 are too small");
        assert!(refused.0.contains("at least 32×32"), "{refused:?}");
    }
}
