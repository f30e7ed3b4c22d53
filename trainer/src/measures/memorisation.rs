//! Whether samples are copies of training images.
//!
//! For each sample the nearest training image is sought over shifts of up to 1/32 of the side (± 8 pixels at 256), by
//! the normalised correlation of **detail**: the image less what is left of it on a grid of about 16×16, that is, the
//! finer levels of its Laplacian pyramid. On that grid all chest X-rays are similar (plain correlations of different
//! patients reach 0.95); ribs, vessels and borders identify the patient. Correlation ignores brightness and contrast.
//!
//! The search goes from coarse to fine: every training image at a side of 32–63 pixels and all shifts; the best 51 at
//! twice that; the best 3 at 256 pixels, or at full size where that is less.
//!
//! A sample is judged by its **relative distance**: d = √(2 − 2ρ) to the nearest training image, divided by the mean
//! d to the next 50. After Carlini et al., *Extracting training data from diffusion models*, USENIX Security 2023,
//! this separates copies from images that are close to every image, as blurred ones are. Two tests follow. Each is also
//! made of held-out real images, which cannot have been memorised:
//!
//! - **Near copy**: the relative distance is at most 0.6, or the correlation itself is at least 0.95, which also
//!   holds where the training set has the image many times over. Akbar, Wang and Eklund also search all training images
//!   by correlation: *Beware of diffusion models for synthesizing medical images: a comparison with
//!   GANs in terms of memorizing brain MRI and chest x-ray images*, Mach. Learn.: Sci. Technol. 6 (2025).
//! - **Closer than real**: the relative distance is below the 5th percentile of held-out images'. By construction 5 %
//!   of real images are; of a model that copies, more. Dar et al. also take the threshold from real images,
//!   *Unconditional latent diffusion models memorize patient imaging data*, Nat. Biomed. Eng. (2025), but correlate
//!   the features of a contrastive network instead of pixels. The correlation itself cannot be used here: blur alone
//!   raises it.
//!
//! Measured on 843 held-out and 3919 training X-rays at 256×256: of the held-out images the mean relative distance is
//! 0.88. Four are near copies, at 0.50 to 0.60: to the eye, other pictures of patients who are in the training set too
//! (the same bones and vessels; markers and bowel gas differ), which is what must not come out of a model either. Of 40
//! copies each, these are found: all of those under noise of 20 grey levels (mean 0.29) and under blur of σ = 4 pixels
//! (0.39), 93 % of those turned by 2° (0.51), 70 % of those enlarged by 3 % (0.56), 5 % of those under blur of σ = 8
//! (0.69), none of those mirrored (0.89).
//!
//! It does not find: copies that are mirrored, further turned, scaled or bent, very blurred ones, copied parts, and a
//! patient whom the model shows in a new picture. A rate of 0 bounds the rate of near copies (the interval says by how
//! much); it is no proof of privacy.

use rayon::prelude::*;
use serde::Serialize;

use super::linear::product;
use super::plane::Plane;
use super::set::{Images, Measured, TooFew};
use super::stats::{Figure, quantile};

/// Neighbours after the nearest that its distance is compared with.
const OTHERS: usize = 50;
/// Training images below which there are no neighbours to compare with.
pub const MIN_TRAINING: usize = 11;
/// Real images below which there is no 5th percentile.
pub const MIN_HELD_OUT: usize = 20;
/// Largest distance of a near copy, relative to the mean distance to the other neighbours.
pub const COPY_DISTANCE: f64 = 0.6;
/// Detail correlation from which an image is a near copy whatever its distance.
pub const COPY_CORRELATION: f64 = 0.95;
/// The share of real images that are "closer than real".
const PERCENTILE: f64 = 0.05;
/// Candidates that are compared at the finest size.
const FINALISTS: usize = 3;
/// Smallest shorter side that is searched.
const MIN_SIDE: usize = 16;
/// Smallest shorter side of the coarse search.
const COARSE_SIDE: usize = 32;
/// Side above which images are compared reduced.
const FINE_SIDE: usize = 256;
/// Training images correlated at once in the coarse search, which bounds memory.
const CHUNK: usize = 128;

/// The training image that is nearest to an image.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Neighbour {
    /// Its number.
    pub index: usize,
    /// Normalised correlation of the pixels at the best shift.
    pub correlation: f64,
    /// Normalised correlation of the detail at the best shift.
    pub detail: f64,
    /// Its distance relative to the mean distance to the next neighbours.
    pub relative_distance: f64,
    /// By how many pixels the training image lies to the right and below.
    pub shift: [i64; 2],
}

impl Neighbour {
    /// Whether the image is a near copy of it.
    pub fn is_copy(&self) -> bool {
        self.relative_distance <= COPY_DISTANCE || self.detail >= COPY_CORRELATION
    }
}

/// The audit of a set of images.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct SetAudit {
    /// Images.
    pub images: usize,
    /// Mean detail correlation with the nearest training image.
    pub detail: Figure,
    /// Mean of their distances relative to those of the next neighbours.
    pub relative_distance: Figure,
    /// Share of images below the threshold.
    pub closer_than_real: Option<Figure>,
    /// Share of near copies.
    pub near_copies: Figure,
}

/// The audit of samples, beside that of held-out real images.
#[derive(Clone, Debug, Serialize)]
pub struct Audit {
    /// Training images searched.
    pub training_images: usize,
    /// The held-out images' 5th percentile of relative distance; none for fewer than [`MIN_HELD_OUT`].
    pub threshold: Option<f64>,
    /// Of the samples.
    pub samples: SetAudit,
    /// Of held-out real images.
    pub held_out: SetAudit,
}

impl Audit {
    /// Judges samples by their neighbours and by those of held-out images.
    pub fn of(training: usize, samples: &[Neighbour], held_out: &[Neighbour], draws: usize, seed: u64) -> Self {
        let mut distances: Vec<f64> = held_out.iter().map(|n| n.relative_distance).collect();
        distances.sort_by(f64::total_cmp);
        let threshold = quantile(&distances, PERCENTILE).filter(|_| distances.len() >= MIN_HELD_OUT);
        let audit = |set: &[Neighbour]| {
            let count = |test: &dyn Fn(&Neighbour) -> bool| set.iter().filter(|n| test(n)).count();
            let mean = |of: fn(&Neighbour) -> f64| Figure::mean(&set.iter().map(of).collect::<Vec<_>>(), draws, seed);
            SetAudit {
                images: set.len(),
                detail: mean(|n| n.detail),
                relative_distance: mean(|n| n.relative_distance),
                closer_than_real: threshold.map(|t| Figure::rate(count(&|n| n.relative_distance < t), set.len())),
                near_copies: Figure::rate(count(&Neighbour::is_copy), set.len()),
            }
        };
        Self { training_images: training, threshold, samples: audit(samples), held_out: audit(held_out) }
    }
}

/// How images of a size are compared: factors of reduction and reaches of shifts, in pixels of each size.
#[derive(Clone, Copy, Debug)]
struct Scales {
    coarse: usize,
    medium: usize,
    fine: usize,
    /// The largest shift, in pixels of the coarse size.
    reach: i64,
}

impl Scales {
    fn of(height: usize, width: usize) -> Self {
        let side = height.min(width);
        let halve_to = |min: usize| (0..).map(|k| 1 << k).take_while(|f| side / f >= min).last().unwrap_or(1);
        let coarse = halve_to(COARSE_SIDE);
        let reach = (height.max(width) as f64 / (COARSE_SIDE * coarse) as f64).round().max(1.0) as i64;
        Self { coarse, medium: (coarse / 2).max(1), fine: halve_to(FINE_SIDE), reach }
    }

    /// The largest shift in pixels of a size reduced by `factor`.
    fn reach_at(&self, factor: usize) -> i64 {
        self.reach * (self.coarse / factor) as i64
    }
}

/// What the finer levels of the Laplacian pyramid hold.
fn detail(plane: &Plane) -> Plane {
    let side = plane.height.min(plane.width);
    let halvings = (1..).take_while(|k| side >> k >= 16).last().unwrap_or(1);
    let mut sizes = Vec::new();
    let mut low = plane.clone();
    for _ in 0..halvings {
        sizes.push((low.height, low.width));
        low = low.pyramid_down();
    }
    for (height, width) in sizes.into_iter().rev() {
        low = low.pyramid_up(height, width);
    }
    plane.zip(&low, |a, b| a - b)
}

/// The middle of a picture, without a margin, at mean 0 and norm 1.
struct Middle {
    margin: i64,
    height: usize,
    width: usize,
    values: Vec<f32>,
}

impl Middle {
    fn of(plane: &Plane, margin: i64) -> Self {
        let (height, width) = (plane.height - 2 * margin as usize, plane.width - 2 * margin as usize);
        let mut values = window(plane, margin, [0, 0]);
        standardise(&mut values);
        Self { margin, height, width, values }
    }

    /// The normalised correlation with a picture that is shifted.
    fn correlation(&self, plane: &Plane, [dx, dy]: [i64; 2]) -> f64 {
        const LANES: usize = 8;
        let (top, left) = ((self.margin + dy) as usize, (self.margin + dx) as usize);
        let (mut sum, mut squares, mut products) = (0.0f64, 0.0f64, 0.0f64);
        for (y, own) in self.values.chunks_exact(self.width).enumerate() {
            let other = &plane.values[(top + y) * plane.width + left..][..self.width];
            let mut lanes = [[0.0f32; LANES]; 3];
            let mut add = |lane: usize, a: f32, b: f32| {
                lanes[0][lane] += b;
                lanes[1][lane] += b * b;
                lanes[2][lane] += a * b;
            };
            let (a, b) = (own.chunks_exact(LANES), other.chunks_exact(LANES));
            a.remainder().iter().zip(b.remainder()).enumerate().for_each(|(lane, (&a, &b))| add(lane, a, b));
            for (a, b) in a.zip(b) {
                for lane in 0..LANES {
                    add(lane, a[lane], b[lane]);
                }
            }
            let total = |lanes: &[f32; LANES]| f64::from(lanes.iter().sum::<f32>());
            sum += total(&lanes[0]);
            squares += total(&lanes[1]);
            products += total(&lanes[2]);
        }
        let n = (self.width * self.height) as f64;
        products / (squares - sum * sum / n).max(1e-6).sqrt()
    }

    /// The best correlation over shifts around a place, within the margin, and its shift.
    fn best(&self, plane: &Plane, around: [i64; 2], by: i64) -> (f64, [i64; 2]) {
        let range = |middle: i64| (middle - by).max(-self.margin)..=(middle + by).min(self.margin);
        let shifts = range(around[1]).flat_map(|dy| range(around[0]).map(move |dx| [dx, dy]));
        let scored = shifts.map(|shift| (self.correlation(plane, shift), shift));
        scored.max_by(|a, b| a.0.total_cmp(&b.0)).unwrap_or((-1.0, around))
    }
}

/// The part of a picture inside a margin, shifted.
fn window(plane: &Plane, margin: i64, [dx, dy]: [i64; 2]) -> Vec<f32> {
    let (top, left) = ((margin + dy) as usize, (margin + dx) as usize);
    let (height, width) = (plane.height - 2 * margin as usize, plane.width - 2 * margin as usize);
    (top..top + height).flat_map(|y| &plane.values[y * plane.width + left..][..width]).copied().collect()
}

/// Mean 0, norm 1; a flat window becomes 0.
fn standardise(values: &mut [f32]) {
    let mean = values.iter().map(|&v| f64::from(v)).sum::<f64>() / values.len() as f64;
    let squares = values.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>();
    let scale = if squares > 1e-6 { 1.0 / squares.sqrt() } else { 0.0 };
    values.iter_mut().for_each(|v| *v = ((f64::from(*v) - mean) * scale) as f32);
}

/// The training images, ready to be searched. It holds a quarter of their own memory at 256×256.
pub struct Training<'a> {
    images: &'a Images<'a>,
    scales: Scales,
    coarse: Vec<Plane>,
    medium: Vec<Plane>,
}

/// A candidate of the search: score, number, shift.
type Candidate = (f64, usize, [i64; 2]);

impl<'a> Training<'a> {
    /// Prepares the search.
    ///
    /// # Errors
    /// Fewer than [`MIN_TRAINING`] images, or images below [`MIN_SIDE`] pixels.
    pub fn new(images: &'a Images<'a>) -> Measured<Self> {
        if images.len() < MIN_TRAINING {
            return Err(TooFew::images(MIN_TRAINING, "training", images.len()));
        }
        if images.height.min(images.width) < MIN_SIDE {
            return Err(TooFew::size(MIN_SIDE, images.height, images.width));
        }
        let scales = Scales::of(images.height, images.width);
        let planes = images.pixels.par_iter().map(|pixels| {
            let plane = Plane::of(pixels, images.width);
            (detail(&plane.reduced(scales.coarse)), detail(&plane.reduced(scales.medium)))
        });
        let (coarse, medium) = planes.unzip();
        Ok(Self { images, scales, coarse, medium })
    }

    /// Training images.
    pub fn len(&self) -> usize {
        self.images.len()
    }

    /// The nearest training image of each image, calling back after each.
    pub fn nearest(&self, images: &Images<'_>, on_image: impl Fn() + Sync) -> Vec<Neighbour> {
        self.candidates(images)
            .into_par_iter()
            .zip(&images.pixels)
            .map(|(candidates, pixels)| {
                let neighbour = self.refine(&Plane::of(pixels, images.width), &candidates);
                on_image();
                neighbour
            })
            .collect()
    }

    /// The best training images of each image at the coarse size.
    fn candidates(&self, images: &Images<'_>) -> Vec<Vec<Candidate>> {
        let reach = self.scales.reach;
        let middles: Vec<Vec<f32>> = images
            .pixels
            .par_iter()
            .map(|pixels| {
                let plane = Plane::of(pixels, images.width).reduced(self.scales.coarse);
                Middle::of(&detail(&plane), reach).values
            })
            .collect();
        let Some(dims) = middles.first().map(Vec::len) else { return Vec::new() };
        let middles: Vec<f32> = middles.concat();
        let shifts: Vec<[i64; 2]> = (-reach..=reach).flat_map(|dy| (-reach..=reach).map(move |dx| [dx, dy])).collect();
        let mut best: Vec<Vec<Candidate>> = vec![Vec::new(); images.len()];
        for (chunk, planes) in self.coarse.chunks(CHUNK).enumerate() {
            let windows: Vec<f32> = planes
                .par_iter()
                .flat_map_iter(|plane| {
                    shifts.iter().flat_map(move |&shift| {
                        let mut window = window(plane, reach, shift);
                        standardise(&mut window);
                        window
                    })
                })
                .collect();
            let scores = product(middles.clone(), windows, dims); // [images, planes · shifts]
            best.par_iter_mut().zip(scores.par_chunks_exact(planes.len() * shifts.len())).for_each(|(best, scores)| {
                for (i, scores) in scores.chunks_exact(shifts.len()).enumerate() {
                    let top = scores.iter().zip(&shifts).max_by(|a, b| a.0.total_cmp(b.0));
                    best.extend(top.map(|(&score, &shift)| (f64::from(score), chunk * CHUNK + i, shift)));
                }
                best.sort_by(|a, b| b.0.total_cmp(&a.0));
                best.truncate(OTHERS + 1);
            });
        }
        best
    }

    /// Compares an image with its candidates at the medium, then the fine size.
    fn refine(&self, plane: &Plane, candidates: &[Candidate]) -> Neighbour {
        let Scales { coarse, medium, fine, .. } = self.scales;
        let scaled = |shift: [i64; 2], from: usize, to: usize| shift.map(|v| v * (from / to) as i64);
        let middle = Middle::of(&detail(&plane.reduced(medium)), self.scales.reach_at(medium));
        let mut ranked: Vec<Candidate> = candidates
            .iter()
            .map(|&(_, index, shift)| {
                let (score, shift) = middle.best(&self.medium[index], scaled(shift, coarse, medium), 1);
                (score, index, shift)
            })
            .collect();
        ranked.sort_by(|a, b| b.0.total_cmp(&a.0));

        let small = plane.reduced(fine);
        let reach = self.scales.reach_at(fine);
        let middle = Middle::of(&detail(&small), reach);
        let step = (medium / fine) as i64;
        let finalists = ranked.iter().take(FINALISTS).map(|&(_, index, shift)| {
            let other = Plane::of(self.images.pixels[index], self.images.width).reduced(fine);
            let (score, shift) = middle.best(&detail(&other), scaled(shift, medium, fine), (step / 2).max(1));
            let correlation = Middle::of(&small, reach).correlation(&other, shift);
            (score, index, shift, correlation)
        });
        let nearest = finalists.max_by(|a, b| a.0.total_cmp(&b.0));
        let (detail, index, shift, correlation) = nearest.unwrap_or((0.0, 0, [0, 0], 0.0));
        let distance = |score: f64| (2.0 - 2.0 * score).max(0.0).sqrt();
        let (mut own, mut others) = (0.0, Vec::new());
        for &(score, number, _) in &ranked {
            if number == index {
                own = distance(score);
            } else {
                others.push(distance(score));
            }
        }
        let mean = others.iter().sum::<f64>() / others.len().max(1) as f64;
        let shift = shift.map(|v| v * fine as i64);
        Neighbour { index, correlation, detail, relative_distance: own / mean.max(1e-9), shift }
    }
}

#[cfg(test)]
mod tests;
