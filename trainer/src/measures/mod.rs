//! Measures of images: how near reconstructions are to their originals, how near samples are to real X-rays, and
//! whether a sample is a copy of a training image. Nothing is downloaded and nothing is learned.
//!
//! | module | measures |
//! | --- | --- |
//! | [`similarity`] | PSNR, SSIM and MS-SSIM of pairs; diversity, as MS-SSIM within a set |
//! | [`wasserstein`] | sliced Wasserstein distance of patches, by level of the Laplacian pyramid |
//! | [`spectrum`] | the radially averaged power spectrum, and its distance |
//! | [`features`] | a feature space of X-rays without a trained network |
//! | [`neighbours`] | precision, recall, density and coverage in it |
//! | [`memorisation`] | the nearest training image of each sample, and whether the sample is a copy |
//! | [`stats`] | what a figure is: its value and 95 % interval |
//!
//! A measure of two sets depends on their sizes, so that a figure of samples says little by itself. Each is therefore
//! given beside the same figure of as many real images against the same reference: what a perfect model would score.

pub mod features;
pub mod linear;
pub mod memorisation;
pub mod neighbours;
mod plane;
pub mod similarity;
pub mod spectrum;
pub mod stats;
pub mod wasserstein;

use vdm::rng::{Rng, RngStream};

use crate::data::Dataset;

/// Images of one size to measure, borrowed from wherever they lie.
#[derive(Clone, Debug)]
pub struct Images<'a> {
    /// Height in pixels.
    pub height: usize,
    /// Width in pixels.
    pub width: usize,
    /// H·W grey values of each image.
    pub pixels: Vec<&'a [u8]>,
}

impl<'a> Images<'a> {
    /// All images of a data set.
    pub fn of(data: &'a Dataset) -> Self {
        let pixels = (0..data.len()).map(|i| data.image(i)).collect();
        Self { height: data.height, width: data.width, pixels }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.pixels.len()
    }

    /// Those of these numbers.
    #[must_use]
    pub fn select(&self, numbers: &[usize]) -> Self {
        Self { pixels: numbers.iter().map(|&i| self.pixels[i]).collect(), ..*self }
    }

    /// The first `count`, or all if there are fewer.
    #[must_use]
    pub fn first(&self, count: usize) -> Self {
        Self { pixels: self.pixels[..count.min(self.len())].to_vec(), ..*self }
    }
}

/// What a measure draws random numbers for. Images take the numbers from 0 of the same purpose: these lie far above.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum Draw {
    /// Which images are compared with which.
    Split = 1 << 40,
    /// Which images make pairs.
    Pairs = 2 << 40,
    /// Where patches are taken.
    Patches = 3 << 40,
    /// The directions that patches are projected on.
    Directions = 4 << 40,
    /// Resampling.
    Bootstrap = 5 << 40,
    /// The start of the search for principal components.
    Components = 6 << 40,
}

impl Draw {
    /// The `index`-th stream of a seed.
    pub fn stream(self, seed: u64, index: u64) -> Rng {
        Rng::new(seed, RngStream::Evaluation, self as u64 + index)
    }
}

/// A measure, or how many images it needs.
pub type Measured<T> = Result<T, TooFew>;

/// There are too few images, or they are too small.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TooFew(pub String);

impl TooFew {
    /// Fewer than `least` images of a kind.
    pub fn images(least: usize, kind: &str, found: usize) -> Self {
        let plural = if least == 1 { "" } else { "s" };
        Self(format!("needs at least {least} {kind} image{plural}, and there are {found}"))
    }

    /// Fewer than `least` samples that can be compared with as many real images.
    pub fn of_each(least: usize, found: usize) -> Self {
        Self(format!(
            "needs at least {least} samples and as many real images in their place; there are {found} of each"
        ))
    }
}
