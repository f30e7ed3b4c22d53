//! Images of one size: memory-mapped from the cache, or in memory.

use std::ops::Deref;
use std::sync::Arc;

use anyhow::{Result, ensure};
use burn::tensor::{Tensor, TensorData, backend::Backend};
use memmap2::Mmap;
use rayon::prelude::*;
use vdm::image::to_unit;

use super::phantom;

/// Images of one size. Copies share the pixels.
#[derive(Clone, Debug)]
pub struct Dataset {
    /// Height in pixels.
    pub height: usize,
    /// Width in pixels.
    pub width: usize,
    files: Vec<Arc<Pixels>>,
    /// The file of each image, and its row there.
    places: Vec<[usize; 2]>,
    /// The name of each image: in most cases its path within the source.
    pub names: Vec<String>,
    /// The patient of each image, where it is known.
    pub patients: Vec<Option<String>>,
    /// The label of each image, where there are classes.
    pub labels: Option<Vec<usize>>,
    /// Files that were left out as unreadable.
    pub skipped: usize,
}

/// Grey values, image after image from the start.
#[derive(Debug)]
pub enum Pixels {
    /// In memory.
    Owned(Vec<u8>),
    /// In a file, before other things.
    Mapped(Mmap),
}

impl Deref for Pixels {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Owned(pixels) => pixels,
            Self::Mapped(map) => map,
        }
    }
}

impl Dataset {
    /// Images at rows of files.
    ///
    /// # Errors
    /// A file is shorter than its rows.
    pub fn new(
        height: usize,
        width: usize,
        files: Vec<Arc<Pixels>>,
        places: Vec<[usize; 2]>,
        names: Vec<String>,
    ) -> Result<Self> {
        let inside = |[file, row]: &[usize; 2]| (row + 1) * height * width <= files[*file].len();
        ensure!(places.len() == names.len() && places.iter().all(inside), "a file is shorter than its images");
        let patients = vec![None; names.len()];
        Ok(Self { height, width, files, places, names, patients, labels: None, skipped: 0 })
    }

    /// Images in memory, one after another.
    #[cfg(test)]
    pub fn from_images(height: usize, width: usize, pixels: Vec<u8>, names: Vec<String>) -> Result<Self> {
        let places = (0..names.len()).map(|row| [0, row]).collect();
        Self::new(height, width, vec![Arc::new(Pixels::Owned(pixels))], places, names)
    }

    /// `count` phantoms, from number `first`.
    pub fn phantoms(seed: u64, first: u64, count: usize, height: usize, width: usize) -> Self {
        let pixels: Vec<u8> = (0..count as u64)
            .into_par_iter()
            .flat_map_iter(|i| phantom::draw(seed, first + i, height, width))
            .collect();
        Self {
            height,
            width,
            files: vec![Arc::new(Pixels::Owned(pixels))],
            places: (0..count).map(|row| [0, row]).collect(),
            names: (0..count as u64).map(|i| format!("phantom {}", first + i)).collect(),
            patients: vec![None; count],
            labels: None,
            skipped: 0,
        }
    }

    /// Some of the images.
    #[must_use]
    pub fn subset(&self, indices: &[usize]) -> Self {
        Self {
            places: indices.iter().map(|&i| self.places[i]).collect(),
            names: indices.iter().map(|&i| self.names[i].clone()).collect(),
            patients: indices.iter().map(|&i| self.patients[i].clone()).collect(),
            labels: self.labels.as_ref().map(|labels| indices.iter().map(|&i| labels[i]).collect()),
            ..self.clone()
        }
    }

    /// The number of images.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Grey values of one image.
    pub fn image(&self, index: usize) -> &[u8] {
        let size = self.height * self.width;
        let [file, row] = self.places[index];
        &self.files[file][row * size..(row + 1) * size]
    }

    /// Mean grey value of each pixel over the images, in [0, 1].
    pub fn mean_image(&self) -> Vec<f64> {
        let mut mean = vec![0.0; self.height * self.width];
        for i in 0..self.len() {
            for (sum, &v) in mean.iter_mut().zip(self.image(i)) {
                *sum += f64::from(to_unit(v));
            }
        }
        let count = self.len().max(1) as f64;
        mean.iter_mut().for_each(|sum| *sum /= count);
        mean
    }

    /// Images as x `[B, H·W]` in [0, 1].
    pub fn batch<B: Backend>(&self, indices: &[usize], device: &B::Device) -> Tensor<B, 2> {
        let values: Vec<f32> = indices.iter().flat_map(|&i| self.image(i).iter().map(|&v| to_unit(v))).collect();
        Tensor::from_data(TensorData::new(values, [indices.len(), self.height * self.width]), device)
    }
}
