//! Fidelity and variety of samples by nearest neighbours in a feature space.
//!
//! The k-th neighbour's distance in its own set is the radius of an image's ball. Of real images R and samples S:
//!
//! - precision: share of S inside the ball of any of R; recall: share of R inside the ball of any of S (Kynkäänniemi,
//!   Karras, Laine, Lehtinen and Aila, *Improved precision and recall metric for assessing generative models*, NeurIPS
//!   2019);
//! - density: balls of R that a sample lies in, in the mean over S, divided by k; coverage: share of R with any of S in
//!   its ball (Naeem, Oh, Uh, Choi and Yoo, *Reliable fidelity and diversity metrics for generative models*, ICML
//!   2020).
//!
//! Inside means nearer than the radius, strictly. The intervals resample the images that each figure is a mean over,
//! and take the balls as given.

use rayon::prelude::*;

use super::linear::squared_distance;
use super::set::{Measured, TooFew};
use super::stats::Figure;

/// Neighbours that a ball reaches to, as in Naeem et al.
pub const K: usize = 5;

/// The four figures.
#[derive(Clone, Copy, Debug)]
pub struct Prdc {
    /// From 0 to 1: samples look real.
    pub precision: Figure,
    /// From 0 to 1: real images could be samples.
    pub recall: Figure,
    /// About 1 for real images; above, where samples crowd together.
    pub density: Figure,
    /// From 0 to 1: real images have samples near them.
    pub coverage: Figure,
}

/// Compares features, one row an image.
///
/// # Errors
/// No more than [`K`] images of either kind.
pub fn prdc(real: &[Vec<f32>], samples: &[Vec<f32>], draws: usize, seed: u64) -> Measured<Prdc> {
    for (kind, set) in [("real", real), ("synthetic", samples)] {
        if set.len() <= K {
            return Err(TooFew::images(K + 1, kind, set.len()));
        }
    }
    let each = indicators(real, samples, K);
    let mean = |values: &[f64]| Figure::mean(values, draws, seed);
    Ok(Prdc {
        precision: mean(&each.precise),
        recall: mean(&each.recalled),
        density: mean(&each.density),
        coverage: mean(&each.covered),
    })
}

/// What the figures are means of.
struct Indicators {
    precise: Vec<f64>,
    density: Vec<f64>,
    recalled: Vec<f64>,
    covered: Vec<f64>,
}

fn indicators(real: &[Vec<f32>], samples: &[Vec<f32>], k: usize) -> Indicators {
    let (of_real, of_samples) = (radii(real, k), radii(samples, k));
    let by_sample: Vec<usize> = samples
        .par_iter()
        .map(|s| real.iter().zip(&of_real).filter(|(r, radius)| squared_distance(r, s) < **radius).count())
        .collect();
    let by_real: Vec<(bool, bool)> = real
        .par_iter()
        .zip(&of_real)
        .map(|(r, own)| {
            samples.iter().zip(&of_samples).fold((false, false), |(recalled, covered), (s, radius)| {
                let distance = squared_distance(r, s);
                (recalled || distance < *radius, covered || distance < *own)
            })
        })
        .collect();
    let share = |yes: bool| f64::from(u8::from(yes));
    Indicators {
        precise: by_sample.iter().map(|&balls| share(balls > 0)).collect(),
        density: by_sample.iter().map(|&balls| balls as f64 / k as f64).collect(),
        recalled: by_real.iter().map(|&(recalled, _)| share(recalled)).collect(),
        covered: by_real.iter().map(|&(_, covered)| share(covered)).collect(),
    }
}

/// The squared distance of each row to its k-th neighbour among the others.
fn radii(rows: &[Vec<f32>], k: usize) -> Vec<f64> {
    rows.par_iter()
        .map(|row| {
            // The row itself is among them, at 0.
            let mut distances: Vec<f64> = rows.iter().map(|other| squared_distance(row, other)).collect();
            *distances.select_nth_unstable_by(k, f64::total_cmp).1
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers that Python draws just as easily.
    fn features(count: usize, mut state: u64, shift: f32) -> Vec<Vec<f32>> {
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f32 / (1 << 24) as f32 + shift
        };
        (0..count).map(|_| (0..3).map(|_| next()).collect()).collect()
    }

    #[test]
    fn figures_are_those_of_the_prdc_package() {
        // prdc 0.2 compute_prdc(real, fake, k) of the same numbers: 60 and 40 rows of 3.
        let (real, fake) = (features(60, 1, 0.0), features(40, 2, 0.25));
        for (k, wanted) in [
            (3, [0.775, 0.866_666_666_666_666_7, 0.666_666_666_666_666_6, 0.566_666_666_666_666_7]),
            (5, [0.85, 0.983_333_333_333_333_3, 0.645, 0.7]),
        ] {
            let each = indicators(&real, &fake, k);
            let found = [each.precise, each.recalled, each.density, each.covered]
                .map(|values| values.iter().sum::<f64>() / values.len() as f64);
            for (found, wanted) in found.iter().zip(wanted) {
                assert!((found - wanted).abs() < 1e-9, "k = {k}: {found} and {wanted}");
            }
        }
    }

    #[test]
    fn sets_apart_share_nothing() {
        let (real, far) = (features(30, 1, 0.0), features(30, 2, 9.0));
        let found = prdc(&real, &far, 100, 0).expect("enough");
        assert_eq!([found.precision, found.recall, found.density, found.coverage].map(|f| f.high), [0.0; 4]);
    }

    #[test]
    fn as_many_images_as_neighbours_are_too_few() {
        let (real, five) = (features(30, 1, 0.0), features(5, 2, 0.0));
        assert!(prdc(&real, &five, 0, 0).expect_err("too few").0.contains("at least 6 synthetic"));
        assert!(prdc(&five, &real, 0, 0).expect_err("too few").0.contains("at least 6 real"));
        assert!(prdc(&real, &features(6, 2, 0.0), 0, 0).is_ok());
    }
}
