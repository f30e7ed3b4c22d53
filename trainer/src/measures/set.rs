//! What measures are given, and what they answer with.

use vdm::rng::{Rng, RngStream};

use crate::data::Dataset;

/// Images of one size, borrowed.
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

    /// The number of images.
    pub fn len(&self) -> usize {
        self.pixels.len()
    }

    /// The images at these places.
    #[must_use]
    pub fn select(&self, places: &[usize]) -> Self {
        Self { pixels: places.iter().map(|&i| self.pixels[i]).collect(), ..*self }
    }

    /// The first `count`, or all if there are fewer.
    #[must_use]
    pub fn first(&self, count: usize) -> Self {
        Self { pixels: self.pixels[..count.min(self.len())].to_vec(), ..*self }
    }
}

/// What a measure draws random numbers for: blocks of indices of the evaluation's stream, far above those that images
/// take from 0.
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
    /// Which images a classifier is fitted to, and which it is tested on.
    Folds = 7 << 40,
}

impl Draw {
    /// The `index`-th stream of a seed.
    pub fn stream(self, seed: u64, index: u64) -> Rng {
        Rng::new(seed, RngStream::Evaluation, self as u64 + index)
    }
}

/// A measure, or why it cannot be taken.
pub type Measured<T> = Result<T, TooFew>;

/// There are too few images, or they are too small.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TooFew(pub String);

impl TooFew {
    /// Fewer than `min` images of a kind.
    pub fn images(min: usize, kind: &str, found: usize) -> Self {
        let plural = if min == 1 { "" } else { "s" };
        Self(format!("needs at least {min} {kind} image{plural}, and there are {found}"))
    }

    /// Fewer than `min` samples that can be compared with as many real images.
    pub fn of_each(min: usize, found: usize) -> Self {
        Self(format!("needs at least {min} samples and as many real images in their place; there are {found} of each"))
    }

    /// Images with a side below `min` pixels.
    pub fn size(min: usize, height: usize, width: usize) -> Self {
        Self(format!("needs images of at least {min}×{min} pixels, and these are {width}×{height}"))
    }
}
