//! Every measure on sets that leave nothing to divide by: it gives finite figures or says what it needs.

use super::features::FeatureSpace;
use super::linear::{Components, dot, principal_components};
use super::memorisation::{Audit, Training};
use super::neighbours::prdc;
use super::set::{Draw, Images};
use super::similarity::{diversity, pairwise};
use super::spectrum::{difference, spectrum};
use super::stats::Figure;
use super::wasserstein::{distances, patches};
use crate::data::Dataset;

const SIDE: usize = 32;
const COUNT: usize = 12;

fn repeated<'a>(images: &[&'a [u8]]) -> Images<'a> {
    Images { height: SIDE, width: SIDE, pixels: images.repeat(COUNT / images.len()) }
}

fn assert_finite(what: &str, figures: &[Figure]) {
    for Figure { value, low, high } in figures {
        assert!([value, low, high].iter().all(|v| v.is_finite()), "{what}: {figures:?}");
        assert!(low <= value && value <= high, "{what}: {figures:?}");
    }
}

/// All measures of samples against a reference; which of them gave figures.
fn measure(what: &str, samples: &Images<'_>, reference: &Images<'_>) -> Vec<&'static str> {
    let mut given = Vec::new();
    let mut check = |name, figures: &[Figure]| {
        assert_finite(&format!("{what}, {name}"), figures);
        given.push(name);
    };
    if let Ok(found) = pairwise(samples, reference) {
        let mean = |values: &[f64]| Figure::mean(values, 100, 0);
        check("pairwise", &[&found.psnr, &found.ssim, &found.ms_ssim].map(|values| mean(values)));
    }
    if let Ok(found) = diversity(samples, 100, 100, 0) {
        check("diversity", &[found]);
    }
    if let (Ok(a), Ok(b)) = (patches(samples, 0, 0), patches(reference, 0, 1)) {
        let found = distances(&a, &b, 0, || {});
        check("wasserstein", &found.levels.iter().map(|level| level.1).chain([found.mean]).collect::<Vec<_>>());
    }
    if let (Ok(a), Ok(b)) = (spectrum(samples, || {}), spectrum(reference, || {})) {
        let found = difference(&a, &b);
        check("spectrum", &[found.distance, found.fine_db]);
    }
    if let Ok(space) = FeatureSpace::fit(reference, 0) {
        let [of_samples, of_reference] = [samples, reference].map(|set| space.features(set));
        assert!(of_samples.iter().chain(&of_reference).flatten().all(|v| v.is_finite()), "{what}: features");
        if let Ok(found) = prdc(&of_reference, &of_samples, 100, 0) {
            check("neighbours", &[found.precision, found.recall, found.density, found.coverage]);
        }
    }
    if let Ok(search) = Training::new(reference) {
        let found = search.nearest(samples, || {});
        for neighbour in &found {
            let correlations = [neighbour.detail, neighbour.correlation];
            assert!(correlations.iter().all(|v| v.abs() < 1.001), "{what}: {neighbour:?}");
        }
        let audit = Audit::of(search.len(), &found, &found, 100, 0);
        let figures = [audit.samples.detail, audit.samples.relative_distance, audit.samples.near_copies];
        check("memorisation", &[figures.as_slice(), audit.samples.closer_than_real.as_slice()].concat());
    }
    given
}

#[test]
fn degenerate_sets_give_finite_figures_or_are_refused() {
    let phantoms = Dataset::phantoms(1, 0, COUNT, SIDE, SIDE);
    let flat = [0, 90, 255].map(|grey| vec![grey; SIDE * SIDE]);
    let [black, grey, white] = flat.each_ref().map(Vec::as_slice);
    let [one, other] = [0, 1].map(|i| phantoms.image(i));
    let drawn = Images::of(&phantoms);
    let sets = [
        ("black", repeated(&[black])),
        ("flat", repeated(&[black, grey, white])),
        ("one image often", repeated(&[one])),
        ("two images in turn", repeated(&[one, other])),
        ("drawn", drawn.clone()),
    ];
    for (samples_name, samples) in &sets {
        for (reference_name, reference) in [&sets[0], &sets[3]] {
            let given = measure(&format!("{samples_name} against {reference_name}"), samples, reference);
            assert_eq!(given.len(), 6, "{samples_name} against {reference_name} has figures of {given:?} only");
        }
        for count in [1, 2] {
            let given = measure(&format!("{count} of {samples_name}"), &samples.first(count), &drawn.first(count));
            assert_eq!(given, ["pairwise"], "{count} of {samples_name}");
        }
    }
}

#[test]
fn components_of_duplicates_can_be_divided_by_their_deviation() {
    let [one, other] = [0u64, 1].map(|i| Draw::Pairs.stream(3, i).normals(20));
    for rows in [vec![one.as_slice(); 9], [one.as_slice(), &other].repeat(5), vec![&[0.0; 20]; 3]] {
        let Components { mean, basis, variances } = principal_components(&rows, 6, 0);
        assert_eq!(variances.len(), 6.min(rows.len() - 1));
        for row in rows {
            let centred: Vec<f32> = row.iter().zip(&mean).map(|(v, m)| v - m).collect();
            for (component, variance) in basis.chunks_exact(20).zip(&variances) {
                let unit = dot(component, &centred) / variance.sqrt();
                // Two rows in turn lie at −1 and 1.
                assert!(unit.abs() < 1.01, "{unit} at a variance of {variance}");
            }
        }
    }
    let single = principal_components(&[one.as_slice()], 6, 0);
    assert!(single.variances.is_empty() && single.basis.is_empty());
}
