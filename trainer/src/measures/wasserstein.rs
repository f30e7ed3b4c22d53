//! Sliced Wasserstein distance of patches by level of the Laplacian pyramid: Karras, Aila, Laine and Lehtinen,
//! *Progressive growing of GANs for improved quality, stability, and variation*, ICLR 2018, §5, of grey images.
//!
//! A level is named after its height. The first levels hold detail alone, the last what remains at 16–31 pixels. Of
//! each image and level, 128 patches of 7×7 pixels are taken; fewer where that would make more than 65 536 of a set.
//! The patches of a set and level are normalised to mean 0 and standard deviation 1 over all of them. The distance is
//! the mean of |a₍ᵢ₎ − b₍ᵢ₎| over sorted projections on 512 random directions, times 10³.

use rayon::prelude::*;

use super::linear::product;
use super::plane::Plane;
use super::set::{Draw, Images, Measured, TooFew};
use super::stats::{Figure, GROUPS};

const PATCH: usize = 7;
const DIM: usize = PATCH * PATCH;
const PATCHES_PER_IMAGE: usize = 128;
const MAX_PATCHES: usize = 1 << 16;
const DIRECTIONS: usize = 512;
/// Directions projected on at once, which bounds memory.
const BLOCK: usize = 64;
const MIN_SIDE: usize = 16;

/// A set's patches.
pub struct Patches {
    /// For each level the normalised patches, image after image.
    levels: Vec<Vec<f32>>,
    heights: Vec<usize>,
    per_image: usize,
}

impl Patches {
    /// Levels there are.
    pub fn count(&self) -> usize {
        self.levels.len()
    }
}

/// The distance at each level, and their mean.
#[derive(Clone, Debug)]
pub struct Distances {
    /// Height of the level and its distance, times 10³, from the finest.
    pub levels: Vec<(usize, Figure)>,
    /// The mean of the levels.
    pub mean: Figure,
}

/// Levels of images of this size: halvings down to a shorter side of at least 16.
fn levels(height: usize, width: usize) -> usize {
    let side = height.min(width);
    (0..).take_while(|halvings| side >> halvings >= MIN_SIDE).count()
}

/// Takes the patches of a set. The `set` numbers it, so that sets draw different places.
///
/// # Errors
/// Fewer than [`GROUPS`] images, or images below [`MIN_SIDE`] pixels.
pub fn patches(images: &Images<'_>, seed: u64, set: u64) -> Measured<Patches> {
    if images.len() < GROUPS {
        return Err(TooFew::of_each(GROUPS, images.len()));
    }
    let count = levels(images.height, images.width);
    if count == 0 {
        return Err(TooFew::size(MIN_SIDE, images.height, images.width));
    }
    let per_image = PATCHES_PER_IMAGE.min(MAX_PATCHES / images.len()).max(1);
    let of_images: Vec<Vec<Vec<f32>>> = images
        .pixels
        .par_iter()
        .enumerate()
        .map(|(i, pixels)| {
            let mut stream = Draw::Patches.stream(seed, (set << 32) + i as u64);
            let pyramid = Plane::of(pixels, images.width).laplacian_pyramid(count);
            let mut place =
                |level: &Plane| (stream.below(level.height - PATCH + 1), stream.below(level.width - PATCH + 1));
            pyramid.iter().map(|level| (0..per_image).flat_map(|_| patch(level, place(level))).collect()).collect()
        })
        .collect();
    let heights = (0..count).scan(images.height, |height, _| Some(std::mem::replace(height, height.div_ceil(2))));
    let levels = (0..count).map(|level| {
        let mut all: Vec<f32> = of_images.iter().flat_map(|image: &Vec<Vec<f32>>| &image[level]).copied().collect();
        normalise(&mut all);
        all
    });
    Ok(Patches { levels: levels.collect(), heights: heights.collect(), per_image })
}

fn patch(level: &Plane, (top, left): (usize, usize)) -> impl Iterator<Item = f32> {
    let rows = (top..top + PATCH).map(|y| &level.values[y * level.width + left..][..PATCH]);
    rows.flatten().copied().collect::<Vec<_>>().into_iter()
}

fn normalise(values: &mut [f32]) {
    let n = values.len() as f64;
    let mean = values.iter().map(|&v| f64::from(v)).sum::<f64>() / n;
    let variance = values.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>() / n;
    let scale = 1.0 / variance.sqrt().max(1e-9);
    values.iter_mut().for_each(|v| *v = ((f64::from(*v) - mean) * scale) as f32);
}

/// The distances of two sets of as many images, calling back after each level.
pub fn distances(a: &Patches, b: &Patches, seed: u64, mut on_level: impl FnMut()) -> Distances {
    let all: Vec<Vec<f64>> = (0..a.levels.len())
        .map(|level| {
            let sums = level_distance(&a.levels[level], &b.levels[level], a.per_image, seed);
            on_level();
            sums
        })
        .collect();
    let figure = |values: &[f64]| Figure::jackknife(values[0], &values[1..]);
    let mean: Vec<f64> = (0..=GROUPS).map(|g| all.iter().map(|v| v[g]).sum::<f64>() / all.len() as f64).collect();
    Distances { levels: a.heights.iter().copied().zip(all.iter().map(|v| figure(v))).collect(), mean: figure(&mean) }
}

/// 10³ times the distance of all patches, then of those without each group of images.
fn level_distance(a: &[f32], b: &[f32], per_image: usize, seed: u64) -> Vec<f64> {
    let mut sums = [0.0; GROUPS + 1];
    for block in 0..DIRECTIONS / BLOCK {
        let directions: Vec<f32> = (0..BLOCK).flat_map(|i| direction(seed, (block * BLOCK + i) as u64)).collect();
        let project = |set: &[f32]| product(directions.clone(), set.to_vec(), DIM);
        let (of_a, of_b) = (project(a), project(b));
        let count = a.len() / DIM;
        let parts: Vec<Vec<f64>> = of_a
            .par_chunks_exact(count)
            .zip(of_b.par_chunks_exact(count))
            .map(|(x, y)| sorted_distances(&sorted(x, per_image), &sorted(y, per_image)))
            .collect();
        for part in parts {
            sums.iter_mut().zip(part).for_each(|(sum, v)| *sum += v);
        }
    }
    sums.iter().map(|sum| sum * 1e3 / DIRECTIONS as f64).collect()
}

/// A direction of unit length.
fn direction(seed: u64, index: u64) -> Vec<f32> {
    let values = Draw::Directions.stream(seed, index).normals(DIM);
    let norm = values.iter().map(|v| v * v).sum::<f32>().sqrt();
    values.into_iter().map(|v| v / norm).collect()
}

/// Values in order, each as its ordered bits with its image's group below them: one integer sorts both.
fn sorted(values: &[f32], per_image: usize) -> Vec<u64> {
    let mut keys: Vec<u64> = values
        .iter()
        .enumerate()
        .map(|(i, v)| {
            let bits = v.to_bits();
            let ordered = if bits >> 31 == 1 { !bits } else { bits | 1 << 31 };
            u64::from(ordered) << 8 | (i / per_image % GROUPS) as u64
        })
        .collect();
    keys.sort_unstable();
    keys
}

fn value(key: u64) -> f64 {
    let ordered = (key >> 8) as u32;
    f64::from(f32::from_bits(if ordered >> 31 == 1 { ordered & !(1 << 31) } else { !ordered }))
}

/// Mean |a₍ᵢ₎ − b₍ᵢ₎| of all, then without each group.
fn sorted_distances(a: &[u64], b: &[u64]) -> Vec<f64> {
    let mean = |sum: f64, count: usize| sum / count.max(1) as f64;
    let all = a.iter().zip(b).map(|(&x, &y)| (value(x) - value(y)).abs()).sum();
    let mut distances = vec![mean(all, a.len())];
    for group in 0..GROUPS as u64 {
        let keep = |key: &&u64| **key & 0xff != group;
        let pairs = a.iter().filter(keep).zip(b.iter().filter(keep));
        let (sum, count) = pairs.fold((0.0, 0), |(sum, n), (&x, &y)| (sum + (value(x) - value(y)).abs(), n + 1));
        distances.push(mean(sum, count));
    }
    distances
}

#[cfg(test)]
mod tests;
