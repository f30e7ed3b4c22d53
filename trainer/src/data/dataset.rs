//! Images of one size: memory-mapped from the cache, or in memory.

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
    pixels: Pixels,
    /// Which image of the pixels each image is.
    rows: Vec<usize>,
    /// What to call each image: its path within the source, in most cases.
    pub names: Vec<String>,
    /// Whose picture each is, where that is known of all.
    pub patients: Option<Vec<String>>,
    /// A label an image, where the images have classes.
    pub labels: Option<Vec<usize>>,
    /// Files that were left out as unreadable.
    pub skipped: usize,
}

#[derive(Clone, Debug)]
enum Pixels {
    Owned(Arc<Vec<u8>>),
    /// Image after image from the start of the file.
    Mapped(Arc<Mmap>),
}

impl Dataset {
    /// Images in memory, one after another.
    #[cfg(test)]
    pub fn from_images(height: usize, width: usize, pixels: Vec<u8>, names: Vec<String>) -> Result<Self> {
        ensure!(pixels.len() == names.len() * height * width, "{} pixels are not {} images", pixels.len(), names.len());
        Ok(Self::of(height, width, Pixels::Owned(Arc::new(pixels)), names))
    }

    /// Images at the start of a mapped file.
    pub(super) fn mapped(height: usize, width: usize, map: Mmap, names: Vec<String>) -> Result<Self> {
        ensure!(map.len() >= names.len() * height * width, "the cache is shorter than its images");
        Ok(Self::of(height, width, Pixels::Mapped(Arc::new(map)), names))
    }

    fn of(height: usize, width: usize, pixels: Pixels, names: Vec<String>) -> Self {
        let rows = (0..names.len()).collect();
        Self { height, width, pixels, rows, names, patients: None, labels: None, skipped: 0 }
    }

    /// `count` phantoms, from number `first`.
    pub fn phantoms(seed: u64, first: u64, count: usize, height: usize, width: usize) -> Self {
        let pixels: Vec<u8> = (0..count as u64)
            .into_par_iter()
            .flat_map_iter(|i| phantom::draw(seed, first + i, height, width))
            .collect();
        let names = (0..count as u64).map(|i| format!("phantom {}", first + i)).collect();
        Self::of(height, width, Pixels::Owned(Arc::new(pixels)), names)
    }

    /// Some of the images.
    #[must_use]
    pub fn subset(&self, indices: &[usize]) -> Self {
        Self {
            rows: indices.iter().map(|&i| self.rows[i]).collect(),
            names: indices.iter().map(|&i| self.names[i].clone()).collect(),
            patients: self.patients.as_ref().map(|patients| indices.iter().map(|&i| patients[i].clone()).collect()),
            labels: self.labels.as_ref().map(|labels| indices.iter().map(|&i| labels[i]).collect()),
            ..self.clone()
        }
    }

    /// Images there are.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Grey values of one image.
    pub fn image(&self, index: usize) -> &[u8] {
        let size = self.height * self.width;
        let start = self.rows[index] * size;
        match &self.pixels {
            Pixels::Owned(pixels) => &pixels[start..start + size],
            Pixels::Mapped(map) => &map[start..start + size],
        }
    }

    /// Mean grey value of each pixel over the data, in [0, 1].
    pub fn mean_image(&self) -> Vec<f64> {
        let mut mean = vec![0.0; self.height * self.width];
        for i in 0..self.len() {
            for (sum, &v) in mean.iter_mut().zip(self.image(i)) {
                *sum += f64::from(to_unit(v));
            }
        }
        let count = self.len() as f64;
        mean.iter_mut().for_each(|sum| *sum /= count);
        mean
    }

    /// Images as x `[B, H·W]` in [0, 1].
    pub fn batch<B: Backend>(&self, indices: &[usize], device: &B::Device) -> Tensor<B, 2> {
        let values: Vec<f32> = indices.iter().flat_map(|&i| self.image(i).iter().map(|&v| to_unit(v))).collect();
        Tensor::from_data(TensorData::new(values, [indices.len(), self.height * self.width]), device)
    }
}
