//! Similarity of two images of one size.
//!
//! - PSNR = 10 log₁₀(255² / MSE), in dB.
//! - SSIM: Wang, Bovik, Sheikh and Simoncelli, *Image quality assessment: from error visibility to structural
//!   similarity*, IEEE TIP 2004: a Gaussian window of 11×11 with σ = 1.5, K₁ = 0.01, K₂ = 0.03, L = 255, averaged where
//!   the window fits wholly.
//! - MS-SSIM: Wang, Simoncelli and Bovik, *Multiscale structural similarity for image quality assessment*, 2003:
//!   SSIM at the last scale times the contrast-structure term of each finer one, to the powers of [`WEIGHTS`]; scales
//!   are halved by 2×2 means. A scale needs 11 pixels a side, so that five need 176; smaller images take as many
//!   scales as fit, with the powers of those divided by their sum.
//! - Diversity: MS-SSIM between two samples drawn at random (Odena, Olah and Shlens, *Conditional image synthesis with
//!   auxiliary classifier GANs*, 2017). Samples whose figure is above that of real pairs are too similar.

use rayon::prelude::*;

use super::plane::{Plane, gaussian};
use super::set::{Draw, Images, Measured, TooFew};
use super::stats::Figure;

/// Powers of the scales in MS-SSIM, from the finest.
pub const WEIGHTS: [f64; 5] = [0.0448, 0.2856, 0.3001, 0.2363, 0.1333];

const WINDOW: usize = 11;
const C1: f32 = (0.01 * 255.0) * (0.01 * 255.0);
const C2: f32 = (0.03 * 255.0) * (0.03 * 255.0);

/// Peak signal-to-noise ratio in dB. Equal images have the error of rounding, 1/12 grey level², so that it is finite.
fn psnr(a: &[u8], b: &[u8]) -> f64 {
    let sum: f64 = a.iter().zip(b).map(|(&a, &b)| (f64::from(a) - f64::from(b)).powi(2)).sum();
    let mse = (sum / a.len() as f64).max(1.0 / 12.0);
    10.0 * (255.0 * 255.0 / mse).log10()
}

/// Means over the image of SSIM and of its contrast-structure term.
fn terms(a: &Plane, b: &Plane) -> (f64, f64) {
    let kernel = gaussian(1.5, WINDOW / 2);
    let mean = |plane: &Plane| plane.filtered_inside(&kernel);
    let (mean_a, mean_b) = (mean(a), mean(b));
    let (aa, bb, ab) = (mean(&a.times(a)), mean(&b.times(b)), mean(&a.times(b)));
    let (mut ssim, mut structure) = (0.0, 0.0);
    for i in 0..aa.values.len() {
        let (ma, mb) = (mean_a.values[i], mean_b.values[i]);
        let (va, vb) = (aa.values[i] - ma * ma, bb.values[i] - mb * mb);
        let term = (2.0 * (ab.values[i] - ma * mb) + C2) / (va + vb + C2);
        structure += f64::from(term);
        ssim += f64::from(term * (2.0 * ma * mb + C1) / (ma * ma + mb * mb + C1));
    }
    let n = aa.values.len() as f64;
    (ssim / n, structure / n)
}

/// Scales that MS-SSIM takes of images of this size; 0 where not even SSIM's window fits.
pub fn scales(height: usize, width: usize) -> usize {
    let side = height.min(width);
    (1..=WEIGHTS.len()).take_while(|scale| side >> (scale - 1) >= WINDOW).count()
}

fn check_size(height: usize, width: usize) -> Measured<()> {
    if scales(height, width) > 0 { Ok(()) } else { Err(TooFew::size(WINDOW, height, width)) }
}

/// Structural similarity of images of a width; at most 1.
pub fn ssim(a: &[u8], b: &[u8], width: usize) -> f64 {
    terms(&Plane::of(a, width), &Plane::of(b, width)).0
}

/// Multiscale structural similarity of images of a width; from 0 to 1.
pub fn ms_ssim(a: &[u8], b: &[u8], width: usize) -> f64 {
    let (mut a, mut b) = (Plane::of(a, width), Plane::of(b, width));
    let count = scales(a.height, a.width);
    let sum: f64 = WEIGHTS[..count].iter().sum();
    let mut product = 1.0;
    for (scale, weight) in WEIGHTS[..count].iter().enumerate() {
        let (ssim, structure) = terms(&a, &b);
        let term = if scale + 1 == count { ssim } else { structure };
        product *= term.max(0.0).powf(weight / sum);
        (a, b) = (a.reduced(2), b.reduced(2));
    }
    product
}

/// PSNR, SSIM and MS-SSIM of each image and its counterpart.
#[derive(Clone, Debug)]
pub struct Pairwise {
    /// In dB; 58.9 for equal images.
    pub psnr: Vec<f64>,
    /// At most 1.
    pub ssim: Vec<f64>,
    /// From 0 to 1.
    pub ms_ssim: Vec<f64>,
}

/// Compares images one by one.
///
/// # Errors
/// Images too small for SSIM's window.
pub fn pairwise(a: &Images<'_>, b: &Images<'_>) -> Measured<Pairwise> {
    check_size(a.height, a.width)?;
    let all: Vec<[f64; 3]> = a
        .pixels
        .par_iter()
        .zip(&b.pixels)
        .map(|(x, y)| [psnr(x, y), ssim(x, y, a.width), ms_ssim(x, y, a.width)])
        .collect();
    let column = |i: usize| all.iter().map(|row| row[i]).collect();
    Ok(Pairwise { psnr: column(0), ssim: column(1), ms_ssim: column(2) })
}

/// MS-SSIM of pairs that are drawn at random within a set, no image in two of them; at most `max` pairs.
///
/// # Errors
/// Fewer than 4 images, or images too small.
pub fn diversity(images: &Images<'_>, max: usize, draws: usize, seed: u64) -> Measured<Figure> {
    check_size(images.height, images.width)?;
    if images.len() < 4 {
        return Err(TooFew::of_each(4, images.len()));
    }
    let order = Draw::Pairs.stream(seed, 0).permutation(images.len());
    let pairs: Vec<&[usize]> = order.chunks_exact(2).take(max).collect();
    let values: Vec<f64> =
        pairs.par_iter().map(|pair| ms_ssim(images.pixels[pair[0]], images.pixels[pair[1]], images.width)).collect();
    Ok(Figure::mean(&values, draws, seed))
}

#[cfg(test)]
mod tests;
