use super::*;
use crate::data::Dataset;

fn images(data: &Dataset) -> Images<'_> {
    Images::of(data)
}

fn measure(a: &Images<'_>, b: &Images<'_>) -> Distances {
    let of = |set: &Images<'_>, number| patches(set, 1, number).expect("enough images");
    distances(&of(a, 0), &of(b, 1), 1, || {})
}

#[test]
fn keys_keep_the_order_and_the_values() {
    let values = [-3.5, 2.0, -0.0, 1e-20, 7.25, -1e10];
    let keys = sorted(&values, 1);
    let back: Vec<f64> = keys.iter().map(|&key| value(key)).collect();
    let mut wanted = values.map(f64::from);
    wanted.sort_by(f64::total_cmp);
    assert_eq!(back, wanted);
    assert_eq!(keys[0] & 0xff, 5);
}

#[test]
fn one_projection_is_the_wasserstein_distance() {
    // scipy.stats.wasserstein_distance([0.5, 2.0, -1.0, 4.0], [1.0, 1.0, 3.0, -2.0]) = 0.875
    let of = |values: [f32; 4]| sorted(&values, 1);
    let found = sorted_distances(&of([0.5, 2.0, -1.0, 4.0]), &of([1.0, 1.0, 3.0, -2.0]));
    assert!((found[0] - 0.875).abs() < 1e-12, "{found:?}");
    // Without group 0, which is the first of each: [2, -1, 4] and [1, 3, -2].
    assert!((found[1] - 1.0).abs() < 1e-12, "{found:?}");
}

#[test]
fn levels_are_named_after_their_height() {
    let data = Dataset::phantoms(0, 0, 10, 64, 48);
    let found = measure(&images(&data), &images(&data));
    // 48 pixels of width allow halving once: the next would leave 12.
    assert_eq!(found.levels.iter().map(|level| level.0).collect::<Vec<_>>(), [64, 32]);
}

#[test]
fn blur_is_seen_at_the_fine_level_and_not_in_other_drawings() {
    let (a, b) = (Dataset::phantoms(0, 0, 40, 64, 64), Dataset::phantoms(0, 100, 40, 64, 64));
    let blurred: Vec<Vec<u8>> = (0..b.len())
        .map(|i| Plane::of(b.image(i), 64).blurred(1.5).values.iter().map(|v| v.round() as u8).collect())
        .collect();
    let blurred = Images { height: 64, width: 64, pixels: blurred.iter().map(Vec::as_slice).collect() };
    let (same, other) = (measure(&images(&a), &images(&b)), measure(&images(&a), &blurred));
    let of = |found: &Distances, level: usize| found.levels[level].1;
    assert!(of(&other, 0).value > 3.0 * of(&same, 0).value, "{same:?} {other:?}");
    assert!(of(&other, 0).low > of(&same, 0).high, "the intervals are apart");
    assert!(of(&other, 2).value < 2.0 * of(&same, 2).value, "and the coarse level hardly changes: {same:?} {other:?}");
}

#[test]
fn too_few_and_too_small_images_are_refused_in_words() {
    let refused = |data: Dataset| patches(&images(&data), 0, 0).map(|_| ()).expect_err("refused").0;
    assert!(refused(Dataset::phantoms(0, 0, 9, 64, 64)).contains("at least 10"));
    assert!(refused(Dataset::phantoms(0, 0, 10, 12, 12)).contains("16×16"));
}
