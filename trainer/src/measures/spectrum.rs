//! The radially averaged power spectrum: how much structure there is at each spatial frequency.
//!
//! An image less its mean is tapered with Hann's window, against the jump from border to border; |F|² / (H·W Σ
//! w²/(H·W)) is averaged over images, then over rings of one cycle a picture. The distance of two sets is the mean
//! over frequencies of |log₁₀ P − log₁₀ P′|. Its counterpart with a sign, over the upper half of the frequencies and
//! in dB, is below 0 for blur and above for noise: Durall, Keuper and Keuper, *Watch your up-convolution: CNN based
//! generative deep neural networks are failing to reproduce spectral distributions*, CVPR 2020, compare the same
//! curves.

use std::f64::consts::TAU;

use rayon::prelude::*;
use rustfft::{FftPlanner, num_complex::Complex};

use super::set::{Images, Measured, TooFew};
use super::stats::{Figure, GROUPS};

/// The mean spectrum of a set.
#[derive(Clone, Debug)]
pub struct Spectrum {
    /// Cycles a pixel of the shorter side, ring by ring.
    pub frequencies: Vec<f64>,
    /// Mean power of each ring, in squared grey levels.
    pub power: Vec<f64>,
    /// The same without each group of images.
    without: Vec<Vec<f64>>,
}

/// How two spectra differ.
#[derive(Clone, Copy, Debug)]
pub struct Difference {
    /// Mean |Δ log₁₀ P| over all frequencies.
    pub distance: Figure,
    /// 10 · mean Δ log₁₀ P over the upper half of the frequencies, in dB: detail beyond that of the reference.
    pub fine_db: Figure,
}

const MIN_SIDE: usize = 8;
/// Powers are raised to this one, far below the 1/12 of rounding to 8 bits, so that each has a logarithm.
const MIN_POWER: f64 = 1e-6;

/// The spectrum of a set, calling back after each image.
///
/// # Errors
/// Fewer than [`GROUPS`] images, or images below [`MIN_SIDE`] pixels.
pub fn spectrum(images: &Images<'_>, on_image: impl Fn() + Sync) -> Measured<Spectrum> {
    if images.len() < GROUPS {
        return Err(TooFew::of_each(GROUPS, images.len()));
    }
    let (height, width) = (images.height, images.width);
    let side = height.min(width);
    if side < MIN_SIDE {
        return Err(TooFew::size(MIN_SIDE, height, width));
    }
    let rings = Rings::new(height, width);
    let each: Vec<Vec<f64>> = images
        .pixels
        .par_iter()
        .map(|pixels| {
            let power = rings.power(pixels);
            on_image();
            power
        })
        .collect();
    let mean_of = |keep: &dyn Fn(usize) -> bool| -> Vec<f64> {
        let kept: Vec<&Vec<f64>> = each.iter().enumerate().filter(|(i, _)| keep(*i)).map(|(_, power)| power).collect();
        (0..rings.count).map(|k| kept.iter().map(|power| power[k]).sum::<f64>() / kept.len() as f64).collect()
    };
    Ok(Spectrum {
        frequencies: (1..=rings.count).map(|k| k as f64 / side as f64).collect(),
        power: mean_of(&|_| true),
        without: (0..GROUPS).map(|group| mean_of(&|i| i % GROUPS != group)).collect(),
    })
}

/// How the spectrum of a set differs from the reference's.
pub fn difference(set: &Spectrum, reference: &Spectrum) -> Difference {
    let pairs = || set.without.iter().zip(&reference.without);
    let figure = |of: fn(&[f64], &[f64]) -> f64| {
        let without: Vec<f64> = pairs().map(|(a, b)| of(a, b)).collect();
        (of(&set.power, &reference.power), without)
    };
    let (distance, distances) = figure(|a, b| log_ratios(a, b).map(f64::abs).sum::<f64>() / a.len() as f64);
    let (fine, fines) = figure(|a, b| {
        let from = a.len() / 2;
        10.0 * log_ratios(&a[from..], &b[from..]).sum::<f64>() / (a.len() - from) as f64
    });
    let signed = Figure::jackknife(0.0, &fines);
    Difference {
        distance: Figure::jackknife(distance, &distances),
        fine_db: Figure { value: fine, low: fine - signed.high, high: fine + signed.high },
    }
}

fn log_ratios<'a>(a: &'a [f64], b: &'a [f64]) -> impl Iterator<Item = f64> + 'a {
    a.iter().zip(b).map(|(a, b)| a.max(MIN_POWER).log10() - b.max(MIN_POWER).log10())
}

/// The window, rings and transforms of images of one size.
struct Rings {
    height: usize,
    width: usize,
    /// Rings, from one cycle a picture to half the shorter side's pixels.
    count: usize,
    /// The ring of each coefficient, and `count` for those outside.
    ring: Vec<usize>,
    /// Coefficients in each ring.
    members: Vec<usize>,
    window: Vec<f64>,
    rows: std::sync::Arc<dyn rustfft::Fft<f64>>,
    columns: std::sync::Arc<dyn rustfft::Fft<f64>>,
}

impl Rings {
    fn new(height: usize, width: usize) -> Self {
        let side = height.min(width);
        let count = side / 2;
        // Signed frequency in cycles a pixel.
        let frequency = |k: usize, n: usize| if k <= n / 2 { k as f64 } else { k as f64 - n as f64 } / n as f64;
        let mut members = vec![0; count + 1];
        let mut ring = Vec::with_capacity(height * width);
        for v in 0..height {
            for u in 0..width {
                let radius = frequency(v, height).hypot(frequency(u, width)) * side as f64;
                let k = radius.round() as usize;
                let place = if (1..=count).contains(&k) { k - 1 } else { count };
                members[place] += 1;
                ring.push(place);
            }
        }
        let hann = |k: usize, n: usize| 0.5 - 0.5 * (TAU * (k as f64 + 0.5) / n as f64).cos();
        let window =
            (0..height).flat_map(|y| (0..width).map(move |x| hann(y, height) * hann(x, width))).collect::<Vec<_>>();
        let mut planner = FftPlanner::new();
        let (rows, columns) = (planner.plan_fft_forward(width), planner.plan_fft_forward(height));
        Self { height, width, count, ring, members, window, rows, columns }
    }

    /// Mean power of each ring of an image.
    fn power(&self, pixels: &[u8]) -> Vec<f64> {
        let mean = pixels.iter().map(|&v| f64::from(v)).sum::<f64>() / pixels.len() as f64;
        let mut values: Vec<Complex<f64>> =
            pixels.iter().zip(&self.window).map(|(&v, w)| Complex::new((f64::from(v) - mean) * w, 0.0)).collect();
        self.rows.process(&mut values);
        let mut turned = vec![Complex::default(); values.len()];
        for (y, row) in values.chunks_exact(self.width).enumerate() {
            for (x, v) in row.iter().enumerate() {
                turned[x * self.height + y] = *v;
            }
        }
        self.columns.process(&mut turned);
        let scale = 1.0 / self.window.iter().map(|w| w * w).sum::<f64>();
        let mut sums = vec![0.0; self.count + 1];
        for x in 0..self.width {
            for y in 0..self.height {
                sums[self.ring[y * self.width + x]] += turned[x * self.height + y].norm_sqr() * scale;
            }
        }
        sums.iter().zip(&self.members).take(self.count).map(|(sum, &n)| sum / n.max(1) as f64).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measures::Draw;

    /// White noise of a standard deviation, as 8-bit images.
    fn noise(count: u64, side: usize, deviation: f64) -> Vec<Vec<u8>> {
        let image = |i| {
            let mut stream = Draw::Pairs.stream(5, i);
            (0..side * side).map(|_| (128.0 + deviation * stream.normal()).round().clamp(0.0, 255.0) as u8).collect()
        };
        (0..count).map(image).collect()
    }

    fn view(images: &[Vec<u8>], side: usize) -> Images<'_> {
        Images { height: side, width: side, pixels: images.iter().map(Vec::as_slice).collect() }
    }

    #[test]
    fn white_noise_is_flat_at_its_variance() {
        let images = noise(40, 64, 20.0);
        let spectrum = spectrum(&view(&images, 64), || {}).expect("enough images");
        // σ² = 400, and 1/12 of rounding; a ring's mean over 40 images is within a few percent, less at its start.
        for (k, power) in spectrum.power.iter().enumerate().skip(4) {
            assert!((power / 400.0 - 1.0).abs() < 0.12, "ring {k}: {power}");
        }
        assert_eq!(spectrum.frequencies.len(), 32);
        assert!((spectrum.frequencies[31] - 0.5).abs() < 1e-12);
    }

    #[test]
    fn a_wave_falls_into_its_ring() {
        let side = 64;
        let image = |phase: f64| -> Vec<u8> {
            let wave = |x: usize| 128.0 + 50.0 * (TAU * 8.0 * x as f64 / side as f64 + phase).sin();
            (0..side * side).map(|i| wave(i % side).round() as u8).collect()
        };
        let images: Vec<Vec<u8>> = (0..10).map(|i| image(f64::from(i))).collect();
        let spectrum = spectrum(&view(&images, side), || {}).expect("enough images");
        let peak = (0..32).max_by(|&a, &b| spectrum.power[a].total_cmp(&spectrum.power[b]));
        assert_eq!(peak, Some(7));
    }

    #[test]
    fn the_distance_is_that_of_the_powers() {
        let (wide, narrow) = (noise(30, 32, 20.0), noise(30, 32, 10.0));
        let of = |images: &[Vec<u8>]| spectrum(&view(images, 32), || {}).expect("enough images");
        let (wide, narrow) = (of(&wide), of(&narrow));
        let found = difference(&narrow, &wide);
        // The same draws at half the deviation: a quarter of the power, log₁₀ 4 = 0.602, but for rounding.
        assert!((found.distance.value - 0.602).abs() < 0.01, "{found:?}");
        assert!((found.fine_db.value + 6.02).abs() < 0.1 && found.fine_db.low < found.fine_db.value, "{found:?}");
        assert_eq!(difference(&wide, &wide).distance.value, 0.0);
    }

    #[test]
    fn too_few_images_are_refused_in_words() {
        let images = noise(3, 32, 10.0);
        let refused = spectrum(&view(&images, 32), || {}).expect_err("3 are too few");
        assert!(refused.0.contains("at least 10"), "{refused:?}");
    }
}
