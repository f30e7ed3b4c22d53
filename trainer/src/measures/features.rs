//! A feature space for grey X-rays without a trained network: anyone can compute the same numbers from the same images,
//! and nothing in it was learned from photographs.
//!
//! An image is described by three groups of features:
//!
//! 1. **Layout**: means over a grid of 16×16 areas, projected on the principal components of the reference that hold
//!    95 % of its variance, at most 64: how body, lungs, heart and exposure lie.
//! 2. **Edges**: gradients by central differences, at full and at half size, their magnitude summed by direction into 8
//!    sectors of 180° (shared between neighbouring sectors) in each of 4×4 regions: ribs, borders, vessels. As in
//!    histograms of oriented gradients (Dalal and Triggs, *Histograms of oriented gradients for human detection*, CVPR
//!    2005), but logarithms without normalisation by block, since contrast is part of what is compared.
//! 3. **Texture**: log root mean square of each level of the Laplacian pyramid (Burt and Adelson 1983), down to a
//!    side of 16, in each of 4×4 regions: sharpness and grain.
//!
//! Features of groups 2 and 3 are standardised by the mean and standard deviation over the reference; those of group 1
//! keep their relative sizes. Then each group is scaled to a total variance of 1 over the reference: two of its images
//! differ by a squared distance of 2 a group in the mean. Euclidean distance is used.
//!
//! The reference is a set of real images, never the samples. Deviations of a standardised feature are clamped to ±6, or
//! one outlying feature would outweigh all others.

use rayon::prelude::*;

use super::linear::{Components, dot, principal_components};
use super::plane::Plane;
use super::set::{Images, Measured, TooFew};

const GRID: usize = 16;
const REGIONS: usize = 4;
const SECTORS: usize = 8;
const MAX_COMPONENTS: usize = 64;
const KEPT_VARIANCE: f64 = 0.95;
const MAX_DEVIATIONS: f64 = 6.0;
const MIN_SIDE: usize = 16;
/// Fewest images that principal components and deviations are taken of.
pub const MIN_IMAGES: usize = 10;

/// A feature space fitted to a reference.
#[derive(Clone, Debug)]
pub struct FeatureSpace {
    layout_mean: Vec<f32>,
    /// Components `[k, 256]`, scaled.
    components: Vec<f32>,
    groups: Vec<Standard>,
}

/// Mean, standard deviation and scale of a group's features.
#[derive(Clone, Debug)]
struct Standard {
    mean: Vec<f64>,
    deviation: Vec<f64>,
    scale: f64,
}

/// The features of an image before they are standardised by the reference.
struct Raw {
    layout: Vec<f32>,
    /// Edges and texture.
    groups: [Vec<f32>; 2],
}

impl FeatureSpace {
    /// Fits the space to real images.
    ///
    /// # Errors
    /// Fewer than [`MIN_IMAGES`] images, or images below 16 pixels.
    pub fn fit(reference: &Images<'_>, seed: u64) -> Measured<Self> {
        if reference.len() < MIN_IMAGES {
            return Err(TooFew::images(MIN_IMAGES, "real", reference.len()));
        }
        let (height, width) = (reference.height, reference.width);
        if height.min(width) < MIN_SIDE {
            return Err(TooFew::size(MIN_SIDE, height, width));
        }
        let all = describe(reference);
        let layouts: Vec<&[f32]> = all.iter().map(|raw| raw.layout.as_slice()).collect();
        let (layout_mean, components) = layout_components(&layouts, seed);
        let groups = (0..2).map(|g| Standard::of(&all.iter().map(|raw| raw.groups[g].as_slice()).collect::<Vec<_>>()));
        Ok(Self { layout_mean, components, groups: groups.collect() })
    }

    /// The features of each image.
    pub fn features(&self, images: &Images<'_>) -> Vec<Vec<f32>> {
        describe(images)
            .into_par_iter()
            .map(|raw| {
                let centred: Vec<f32> = raw.layout.iter().zip(&self.layout_mean).map(|(v, m)| v - m).collect();
                let layout = self.components.chunks_exact(GRID * GRID).map(|component| dot(component, &centred));
                let rest = self.groups.iter().zip(&raw.groups).flat_map(|(standard, values)| standard.apply(values));
                layout.chain(rest).collect()
            })
            .collect()
    }
}

impl Standard {
    /// Of the reference's features, one row an image.
    fn of(rows: &[&[f32]]) -> Self {
        let n = rows.len() as f64;
        let dims = rows[0].len();
        let mean: Vec<f64> = (0..dims).map(|d| rows.iter().map(|row| f64::from(row[d])).sum::<f64>() / n).collect();
        let variance = |d: usize| rows.iter().map(|row| (f64::from(row[d]) - mean[d]).powi(2)).sum::<f64>() / n;
        let deviation = (0..dims).map(|d| variance(d).sqrt().max(1e-3)).collect();
        Self { mean, deviation, scale: (dims as f64).sqrt().recip() }
    }

    fn apply<'a>(&'a self, values: &'a [f32]) -> impl Iterator<Item = f32> + 'a {
        values.iter().zip(self.mean.iter().zip(&self.deviation)).map(|(&v, (mean, deviation))| {
            let deviations = (f64::from(v) - mean) / deviation;
            (deviations.clamp(-MAX_DEVIATIONS, MAX_DEVIATIONS) * self.scale) as f32
        })
    }
}

fn describe(images: &Images<'_>) -> Vec<Raw> {
    images
        .pixels
        .par_iter()
        .map(|pixels| {
            let plane = Plane::of(pixels, images.width);
            let layout = plane.area_means(GRID, GRID).values;
            let mut edges = edge_energies(&plane);
            edges.extend(edge_energies(&plane.reduced(2)));
            Raw { layout, groups: [edges, level_energies(plane)] }
        })
        .collect()
}

/// log(1 + mean gradient magnitude) by region and direction.
fn edge_energies(plane: &Plane) -> Vec<f32> {
    let (height, width) = (plane.height, plane.width);
    let mut sums = [0.0f32; REGIONS * REGIONS * SECTORS];
    for y in 1..height - 1 {
        for x in 1..width - 1 {
            let at = |y: usize, x: usize| plane.values[y * width + x];
            let (dx, dy) = (at(y, x + 1) - at(y, x - 1), at(y + 1, x) - at(y - 1, x));
            let magnitude = dx.hypot(dy) * 0.5;
            let turn = dy.atan2(dx) / std::f32::consts::PI; // −1 to 1: opposite directions are one sector
            let place = turn.rem_euclid(1.0) * SECTORS as f32;
            let (sector, share) = (place as usize % SECTORS, place.fract());
            let region = y * REGIONS / height * REGIONS + x * REGIONS / width;
            let bins = &mut sums[region * SECTORS..][..SECTORS];
            bins[sector] += magnitude * (1.0 - share);
            bins[(sector + 1) % SECTORS] += magnitude * share;
        }
    }
    let area = (height * width / (REGIONS * REGIONS)) as f32;
    sums.iter().map(|sum| (1.0 + sum / area * SECTORS as f32).ln()).collect()
}

/// ln(½ + root mean square) by level and region.
fn level_energies(plane: Plane) -> Vec<f32> {
    let side = plane.height.min(plane.width);
    let count = (0..).take_while(|halvings| side >> halvings >= MIN_SIDE).count();
    let pyramid = plane.laplacian_pyramid(count.max(1));
    let detail = &pyramid[..pyramid.len().saturating_sub(1).max(1)];
    detail
        .iter()
        .flat_map(|level| {
            let means = level.times(level).area_means(REGIONS, REGIONS);
            means.values.into_iter().map(|v| (0.5 + v.max(0.0).sqrt()).ln())
        })
        .collect()
}

/// The components that hold [`KEPT_VARIANCE`], at most [`MAX_COMPONENTS`], scaled to a total variance of 1.
fn layout_components(rows: &[&[f32]], seed: u64) -> (Vec<f32>, Vec<f32>) {
    let dims = rows[0].len();
    let Components { mean, mut basis, variances } = principal_components(rows, MAX_COMPONENTS, seed);
    let total: f64 = (0..dims)
        .map(|d| rows.iter().map(|row| f64::from(row[d] - mean[d]).powi(2)).sum::<f64>() / rows.len() as f64)
        .sum();
    let (mut kept, mut sum) = (0, 0.0);
    while kept < variances.len() && (kept == 0 || sum < KEPT_VARIANCE * total) {
        sum += f64::from(variances[kept]);
        kept += 1;
    }
    basis.truncate(kept * dims);
    let scale = (1.0 / sum.max(1e-12).sqrt()) as f32;
    basis.iter_mut().for_each(|v| *v *= scale);
    (mean, basis)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Dataset;
    use crate::measures::linear::squared_distance;
    use crate::measures::set::Draw;

    #[test]
    fn principal_components_are_found() {
        // Two directions of variance 9 and 1, apart from a third of 0.01 that 95 % leave out.
        let mut stream = Draw::Pairs.stream(2, 0);
        let rows: Vec<Vec<f32>> = (0..400)
            .map(|_| {
                let [a, b, c] = [3.0, 1.0, 0.1].map(|deviation| deviation * stream.normal() as f32);
                vec![5.0 + (a + b) / 2f32.sqrt(), 1.0 + (a - b) / 2f32.sqrt(), c]
            })
            .collect();
        let (mean, components) = layout_components(&rows.iter().map(Vec::as_slice).collect::<Vec<_>>(), 0);
        assert!((mean[0] - 5.0).abs() < 0.5 && (mean[1] - 1.0).abs() < 0.5);
        assert_eq!(components.len(), 6);
        let first = &components[..3];
        let norm = dot(first, first).sqrt();
        // 1 / √(9 + 1) of unit vectors, the first along (1, 1, 0) / √2, to the noise of 400 draws.
        assert!((norm - 0.316).abs() < 0.02, "{norm}");
        assert!(((first[0] + first[1]).abs() / norm - 2f32.sqrt()).abs() < 0.01, "{first:?}");
    }

    #[test]
    fn groups_weigh_the_same_and_blur_is_far_away() {
        let data = Dataset::phantoms(3, 0, 60, 64, 64);
        let images = Images::of(&data);
        let space = FeatureSpace::fit(&images, 0).expect("enough images");
        let features = space.features(&images);
        let layout = space.components.len() / (GRID * GRID);
        let ends = [0, layout, layout + space.groups[0].mean.len(), features[0].len()];
        for group in ends.windows(2) {
            let variance =
                features.iter().map(|f| f64::from(dot(&f[group[0]..group[1]], &f[group[0]..group[1]]))).sum::<f64>()
                    / 60.0;
            // The layout's components keep 95 % of it and were scaled to 1; clamping takes a little off.
            assert!((variance - 1.0).abs() < 0.05, "{group:?}: {variance}");
        }
        let blurred: Vec<u8> =
            Plane::of(data.image(0), 64).blurred(1.5).values.iter().map(|v| v.round() as u8).collect();
        let blurred = space.features(&Images { height: 64, width: 64, pixels: vec![&blurred] });
        let to_blurred = squared_distance(&features[0], &blurred[0]);
        let nearest = (1..60).map(|i| squared_distance(&features[0], &features[i])).fold(f64::MAX, f64::min);
        assert!(to_blurred > nearest, "{to_blurred} against {nearest}");
    }

    #[test]
    fn too_few_images_are_refused_in_words() {
        let data = Dataset::phantoms(0, 0, 4, 64, 64);
        assert!(FeatureSpace::fit(&Images::of(&data), 0).expect_err("4 are too few").0.contains("at least 10 real"));
    }
}
