//! What the two-sample test's classifier sees of an image: its finest texture, and its oriented detail by place.
//!
//! 1. **Co-occurrences of residuals**, as in steganalysis, where they show changes of one grey level (Pevný, Bas and
//!    Fridrich 2010; Fridrich and Kodovský, *Rich models for steganalysis of digital images*, 2012): first and second
//!    differences along rows and columns, and the second along both, in units of their mean size in real images, rounded
//!    and cut off at ±2. Root frequencies of three neighbouring values, along rows and along columns; a triple, its
//!    mirror image and its negative count as one.
//! 2. **Moments of oriented bands**: second derivatives of Gaussians with σ = 1 and 2 pixels in four directions; in each of
//!    4×4 cells ln rms, mean |v| / rms (how heavy the tails are) and ∛ mean v³ / rms (skewness).
//! 3. Mean and ln deviation of the grey values in the same cells.

use rayon::prelude::*;

use super::plane::{Plane, gaussian};
use super::set::Images;

/// Smallest shorter side, so that a cell has 8 pixels.
pub const MIN_SIDE: usize = 32;

const CELLS: usize = 4;
const SIGMAS: [f64; 2] = [1.0, 2.0];
/// Residuals are cut off at ± this many units.
const CUT: u8 = 2;
const LEVELS: usize = 2 * CUT as usize + 1;
const TRIPLES: usize = LEVELS * LEVELS * LEVELS;
/// Added to the rms of a band, in grey levels: less than rounding to 8 bits leaves.
const FLOOR: f64 = 0.05;

/// Residuals by kind.
const KINDS: usize = 5;

/// Images at a scale, described in the same units.
pub struct Texture {
    side: usize,
    /// Units of the residuals.
    units: [f64; KINDS],
    /// The class of each triple.
    classes: Vec<usize>,
    count: usize,
}

impl Texture {
    /// Takes the residuals' units from real images, reduced to a shorter side of `side` pixels.
    pub fn of(real: &Images<'_>, side: usize) -> Self {
        let sums: Vec<[f64; KINDS]> = real
            .pixels
            .par_iter()
            .map(|pixels| residuals(&scaled(pixels, real.width, side)).map(|plane| mean_size(&plane)))
            .collect();
        let unit = |k: usize| sums.iter().map(|of| of[k]).sum::<f64>() / sums.len().max(1) as f64;
        let (classes, count) = classes();
        Self { side, units: std::array::from_fn(|k| unit(k).max(FLOOR)), classes, count }
    }

    /// The features of each image, all of one length and finite.
    pub fn features(&self, images: &Images<'_>, on_image: impl Fn() + Sync) -> Vec<Vec<f32>> {
        let describe = |pixels: &&[u8]| {
            let plane = scaled(pixels, images.width, self.side);
            let mut features = Vec::new();
            for (residual, unit) in residuals(&plane).iter().zip(self.units) {
                self.co_occurrences(residual, unit, &mut features);
            }
            for band in bands(&plane) {
                for Moments { size, square, cube, .. } in moments(&band) {
                    let rms = square.sqrt() + FLOOR;
                    features.extend([rms.ln(), size / rms, cube.cbrt() / rms]);
                }
            }
            for Moments { mean, square, .. } in moments(&plane) {
                features.extend([mean, ((square - mean * mean).max(0.0).sqrt() + FLOOR).ln()]);
            }
            on_image();
            features.into_iter().map(|v| v as f32).collect()
        };
        images.pixels.par_iter().map(describe).collect()
    }

    fn co_occurrences(&self, residual: &Plane, unit: f64, into: &mut Vec<f64>) {
        let cut = f32::from(CUT);
        let scale = (1.0 / unit) as f32;
        // Rounded: what is added is above 0, and the rest is cut off.
        let level = |v: &f32| ((v * scale).clamp(-cut, cut) + cut + 0.5) as u8;
        let levels: Vec<u8> = residual.values.iter().map(level).collect();
        let width = residual.width;
        let rows = levels.chunks_exact(width).flat_map(|row| row.windows(3).map(|t| (t[0], t[1], t[2])));
        let columns = levels.iter().zip(&levels[width..]).zip(&levels[2 * width..]).map(|((a, b), c)| (*a, *b, *c));
        self.frequencies(rows, into);
        self.frequencies(columns, into);
    }

    fn frequencies(&self, triples: impl Iterator<Item = (u8, u8, u8)>, into: &mut Vec<f64>) {
        let mut counts = [0u32; TRIPLES];
        let number = |(a, b, c)| (usize::from(a) * LEVELS + usize::from(b)) * LEVELS + usize::from(c);
        triples.for_each(|triple: (u8, u8, u8)| counts[number(triple)] += 1);
        let total: u32 = counts.iter().sum();
        let mut sums = vec![0.0; self.count];
        counts.iter().zip(&self.classes).for_each(|(n, &class)| sums[class] += f64::from(*n));
        into.extend(sums.into_iter().map(|n: f64| (n / f64::from(total.max(1))).sqrt()));
    }
}

/// The class of each triple, and the number of classes.
fn classes() -> (Vec<usize>, usize) {
    let number = |[a, b, c]: [usize; 3]| (a * LEVELS + b) * LEVELS + c;
    let first = |n: usize| {
        let t = [n / LEVELS / LEVELS, n / LEVELS % LEVELS, n % LEVELS];
        let turned = [t[2], t[1], t[0]];
        let negative = |t: [usize; 3]| t.map(|v| LEVELS - 1 - v);
        [t, turned, negative(t), negative(turned)].map(number).into_iter().fold(n, usize::min)
    };
    let firsts: Vec<usize> = (0..TRIPLES).map(first).collect();
    let mut distinct = firsts.clone();
    distinct.sort_unstable();
    distinct.dedup();
    let classes = firsts.iter().map(|n| distinct.partition_point(|d| d < n)).collect();
    (classes, distinct.len())
}

/// An image reduced to a shorter side of `side` pixels, by means of areas.
fn scaled(pixels: &[u8], width: usize, side: usize) -> Plane {
    let plane = Plane::of(pixels, width);
    let shorter = plane.height.min(plane.width);
    if shorter.is_multiple_of(side) {
        return plane.reduced(shorter / side);
    }
    let length = |of: usize| (of * side + shorter / 2) / shorter;
    plane.area_means(length(plane.height), length(plane.width))
}

/// First differences along rows and columns, second differences along rows and columns, and along both.
fn residuals(plane: &Plane) -> [Plane; KINDS] {
    let across = differences(plane);
    let down = differences(&plane.transposed()).transposed();
    let twice_across = differences(&across);
    let twice_down = differences(&differences(&plane.transposed())).transposed();
    let both = differences(&differences(&twice_across.transposed())).transposed();
    [across, down, twice_across, twice_down, both]
}

fn differences(plane: &Plane) -> Plane {
    let rows = plane.values.chunks_exact(plane.width);
    let values = rows.flat_map(|row| row.windows(2).map(|pair| pair[1] - pair[0])).collect();
    Plane { height: plane.height, width: plane.width - 1, values }
}

/// Second derivatives in the directions of rows, columns and both diagonals, at each σ.
fn bands(plane: &Plane) -> Vec<Plane> {
    let directions = |sigma: f64| {
        let smooth = gaussian(sigma, (3.0 * sigma).ceil() as usize);
        let radius = (smooth.len() / 2) as f32;
        let s = sigma as f32;
        let place = |i: usize| (i as f32 - radius) / s;
        let first: Vec<f32> = smooth.iter().enumerate().map(|(i, g)| place(i) * g).collect();
        let mut second: Vec<f32> = smooth.iter().enumerate().map(|(i, g)| (place(i).powi(2) - 1.0) * g).collect();
        // Flat areas give 0 in spite of the cut.
        let mean = second.iter().sum::<f32>() / second.len() as f32;
        second.iter_mut().for_each(|v| *v -= mean);
        let turned = plane.transposed();
        let [smooth_down, first_down, second_down] =
            [&smooth, &first, &second].map(|kernel| turned.filtered_rows(kernel).transposed());
        let (xx, yy) = (smooth_down.filtered_rows(&second), second_down.filtered_rows(&smooth));
        let xy = first_down.filtered_rows(&first);
        let half = xx.zip(&yy, |a, b| 0.5 * (a + b));
        [half.zip(&xy, |a, b| a + b), half.zip(&xy, |a, b| a - b), xx, yy]
    };
    SIGMAS.into_iter().flat_map(directions).collect()
}

fn mean_size(plane: &Plane) -> f64 {
    plane.values.iter().map(|&v| f64::from(v.abs())).sum::<f64>() / plane.values.len().max(1) as f64
}

/// Means of v, |v|, v² and v³ in a cell.
#[derive(Clone, Copy, Default)]
struct Moments {
    mean: f64,
    size: f64,
    square: f64,
    cube: f64,
}

fn moments(plane: &Plane) -> Vec<Moments> {
    let edge = |cell: usize, length: usize| cell * length / CELLS;
    let cell = |i: usize| {
        let (rows, columns) = ((i / CELLS, plane.height), (i % CELLS, plane.width));
        let [top, bottom] = [0, 1].map(|next| edge(rows.0 + next, rows.1));
        let [left, right] = [0, 1].map(|next| edge(columns.0 + next, columns.1));
        let mut sums = Moments::default();
        for row in plane.values.chunks_exact(plane.width).take(bottom).skip(top) {
            for &v in &row[left..right] {
                let v = f64::from(v);
                sums.mean += v;
                sums.size += v.abs();
                sums.square += v * v;
                sums.cube += v * v * v;
            }
        }
        let n = ((bottom - top) * (right - left)).max(1) as f64;
        Moments { mean: sums.mean / n, size: sums.size / n, square: sums.square / n, cube: sums.cube / n }
    };
    (0..CELLS * CELLS).map(cell).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn triples_their_mirror_images_and_negatives_are_one_class() {
        let (classes, count) = classes();
        let class = |a: usize, b: usize, c: usize| classes[(a * LEVELS + b) * LEVELS + c];
        assert_eq!(class(0, 1, 3), class(3, 1, 0));
        assert_eq!(class(0, 1, 3), class(4, 3, 1));
        assert_ne!(class(0, 1, 3), class(1, 0, 3));
        // Burnside: (125 + 25 + 1 + 5) / 4.
        assert_eq!((count, classes.iter().max()), (39, Some(&38)));
    }

    #[test]
    fn a_wave_lies_in_the_band_of_its_direction() {
        let wave = |dx: f32, dy: f32| {
            let at = |i: usize| 20.0 * (dx * (i % 64) as f32 + dy * (i / 64) as f32).sin();
            let energy = |band: &Plane| moments(band).iter().map(|cell| cell.square).sum::<f64>();
            let plane = Plane { height: 64, width: 64, values: (0..64 * 64).map(at).collect() };
            bands(&plane)[..4].iter().map(energy).collect::<Vec<_>>()
        };
        let strongest = |of: Vec<f64>| (0..4).max_by(|&a, &b| of[a].total_cmp(&of[b]));
        let found = [(0.7, 0.7), (0.7, -0.7), (1.0, 0.0), (0.0, 1.0)].map(|(dx, dy)| strongest(wave(dx, dy)));
        assert_eq!(found, [0, 1, 2, 3].map(Some));
    }

    #[test]
    fn flat_images_of_any_shape_have_finite_features() {
        for (height, width, side) in [(32, 32, 32), (40, 67, 32), (67, 40, 32), (128, 128, 64)] {
            let [black, white] = [0, 255].map(|v| vec![v; height * width]);
            let images = Images { height, width, pixels: vec![&black, &white] };
            let found = Texture::of(&images, side).features(&images, || {});
            assert_eq!(found[0].len(), 10 * 39 + 8 * 16 * 3 + 16 * 2);
            assert!(found.iter().flatten().all(|v| v.is_finite()), "{height}×{width}");
        }
    }
}
