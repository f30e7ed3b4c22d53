use super::*;
use crate::data::Dataset;
use crate::measures::Draw;

/// What a sample was made of.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Exact,
    Shifted(i64, i64),
    Noisy,
    Contrast,
    Blurred,
    Novel,
}

fn make(image: &[u8], side: usize, kind: Kind) -> Vec<u8> {
    if kind == Kind::Blurred {
        let blurred = Plane::of(image, side).blurred(side as f64 / 64.0);
        return blurred.values.iter().map(|v| v.round() as u8).collect();
    }
    let mut stream = Draw::Pairs.stream(9, 0);
    let at = |x: i64, y: i64| {
        let inside = |v: i64| v.clamp(0, side as i64 - 1) as usize;
        image[inside(y) * side + inside(x)]
    };
    (0..side as i64)
        .flat_map(|y| (0..side as i64).map(move |x| (x, y)))
        .map(|(x, y)| match kind {
            Kind::Exact | Kind::Blurred | Kind::Novel => at(x, y),
            Kind::Shifted(dx, dy) => at(x + dx, y + dy),
            Kind::Noisy => (f64::from(at(x, y)) + 6.0 * stream.normal()).clamp(0.0, 255.0) as u8,
            Kind::Contrast => (f64::from(at(x, y)) * 0.7 + 20.0) as u8,
        })
        .collect()
}

fn audit_finds_copies(side: usize, training: u64, shift: i64) {
    let data = Dataset::phantoms(1, 0, training as usize, side, side);
    let novel = Dataset::phantoms(1, 10_000, 6, side, side);
    let training = Images::of(&data);
    let search = Training::new(&training).expect("enough images");
    let shifted = [Kind::Shifted(shift, 0), Kind::Shifted(-shift, shift - 1), Kind::Shifted(1, -shift)];
    let kinds: Vec<Kind> =
        [vec![Kind::Exact, Kind::Noisy, Kind::Contrast, Kind::Blurred], shifted.to_vec(), vec![Kind::Novel; 6]]
            .concat();
    let samples: Vec<Vec<u8>> = kinds
        .iter()
        .enumerate()
        .map(|(i, &kind)| make(if kind == Kind::Novel { novel.image(i - 7) } else { data.image(7 * i) }, side, kind))
        .collect();
    let samples = Images { height: side, width: side, pixels: samples.iter().map(Vec::as_slice).collect() };
    for (i, (kind, found)) in kinds.iter().zip(search.nearest(&samples, || {})).enumerate() {
        assert_eq!(found.is_copy(), *kind != Kind::Novel, "{kind:?}: {found:?}");
        if *kind != Kind::Novel {
            assert_eq!(found.index, 7 * i, "{kind:?}: {found:?}");
        }
        match kind {
            Kind::Shifted(dx, dy) => assert_eq!(found.shift, [*dx, *dy]),
            Kind::Exact => assert!(found.detail > 0.9999 && found.relative_distance < 0.01, "{found:?}"),
            _ => {}
        }
    }
}

#[test]
fn copies_are_found_and_only_they() {
    audit_finds_copies(64, 80, 2);
}

#[test]
fn copies_are_found_at_the_papers_size() {
    audit_finds_copies(256, 60, 8);
}

#[test]
fn an_image_that_the_training_set_holds_many_times_is_a_copy() {
    let data = Dataset::phantoms(1, 0, 2, 64, 64);
    let mut pixels = vec![data.image(0); 60];
    pixels.push(data.image(1));
    let training = Images { height: 64, width: 64, pixels };
    let search = Training::new(&training).expect("enough images");
    let found = search.nearest(&Images::of(&data).first(1), || {});
    assert!(found[0].is_copy() && found[0].detail > 0.999, "{found:?}");
}

#[test]
fn rates_are_counted_against_held_out_images() {
    let neighbour =
        |detail, relative_distance| Neighbour { index: 0, correlation: 1.0, detail, relative_distance, shift: [0, 0] };
    let held_out: Vec<Neighbour> = (0..40).map(|i| neighbour(0.5, 0.8 + 0.005 * f64::from(i))).collect();
    let samples = [neighbour(0.3, 1.0), neighbour(0.99, 0.9), neighbour(0.7, 0.8), neighbour(0.7, 0.4)];
    let audit = Audit::of(100, &samples, &held_out, 100, 0);
    assert!((audit.threshold.expect("enough") - 0.809_75).abs() < 1e-9, "{audit:?}");
    assert_eq!(audit.samples.closer_than_real.map(|f| f.value), Some(0.5));
    assert_eq!(audit.held_out.closer_than_real.map(|f| f.value), Some(0.05));
    assert_eq!((audit.samples.near_copies.value, audit.held_out.near_copies.value), (0.5, 0.0));
    assert_eq!(Audit::of(100, &samples, &held_out[..19], 100, 0).threshold, None);
}

#[test]
fn a_flat_sample_is_no_copy() {
    let data = Dataset::phantoms(1, 0, 20, 64, 64);
    let training = Images::of(&data);
    let search = Training::new(&training).expect("enough images");
    let flat = vec![90; 64 * 64];
    let found = search.nearest(&Images { height: 64, width: 64, pixels: vec![&flat] }, || {});
    assert!(!found[0].is_copy() && found[0].detail.is_finite() && found[0].correlation.is_finite(), "{found:?}");
    assert!(Training::new(&training.first(10)).is_err());
}
