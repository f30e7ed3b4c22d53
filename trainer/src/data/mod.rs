//! Images: a folder of PNG and JPEG files, or built-in phantoms, as 8-bit grey values of one size.

mod phantom;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result, anyhow, bail};
use burn::tensor::{Tensor, TensorData, backend::Backend};
use image::{DynamicImage, ImageReader, imageops::FilterType};
use rayon::prelude::*;
use vdm::image::to_unit;
use walkdir::WalkDir;

use self::phantom::draw as draw_phantom;
use crate::progress::Progress;

/// Images of one size in memory.
#[derive(Clone, Debug)]
pub struct Dataset {
    /// Height in pixels.
    pub height: usize,
    /// Width in pixels.
    pub width: usize,
    /// Grey values, image after image.
    pixels: Vec<u8>,
    /// What to call each image: its file, in most cases.
    pub names: Vec<String>,
    /// A label an image, where the images have classes.
    pub labels: Option<Vec<usize>>,
    /// Files that were left out as unreadable.
    pub skipped: usize,
}

/// What to do with a file that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unreadable {
    /// Stop, and name it.
    Fail,
    /// Leave it out, and count it.
    Skip,
}

/// The largest side that is decoded: a file that claims more is damaged or hostile.
const MAX_SIDE: u32 = 20_000;

/// Image files under a folder, in order of their paths.
///
/// # Errors
/// The folder cannot be read, or holds no PNG or JPEG file.
pub fn list(folder: &Path) -> Result<Vec<PathBuf>> {
    if !folder.is_dir() {
        bail!("{} is not a folder: a folder of PNG or JPEG images is accepted", folder.display());
    }
    let mut files = Vec::new();
    for entry in WalkDir::new(folder).follow_links(true).sort_by_file_name() {
        let entry = entry.with_context(|| format!("cannot read the folder {}", folder.display()))?;
        let extension = entry.path().extension().map(|e| e.to_ascii_lowercase());
        let is_image = extension.is_some_and(|e| e == "png" || e == "jpg" || e == "jpeg");
        if entry.file_type().is_file() && is_image {
            files.push(entry.into_path());
        }
    }
    if files.is_empty() {
        bail!("{} holds no .png, .jpg or .jpeg file", folder.display());
    }
    Ok(files)
}

/// Sub-folders of `folder` as classes: their names in order, and the label of each file.
///
/// # Errors
/// A file lies in no sub-folder.
pub fn class_folders(folder: &Path, files: &[PathBuf]) -> Result<(Vec<String>, Vec<usize>)> {
    let class_of = |file: &PathBuf| -> Result<String> {
        let mut parts = file.strip_prefix(folder).unwrap_or(file).components();
        match (parts.next(), parts.next()) {
            (Some(class), Some(_)) => Ok(class.as_os_str().to_string_lossy().into_owned()),
            _ => bail!("{} lies in no sub-folder of {}, so it has no class", file.display(), folder.display()),
        }
    };
    let classes: Vec<String> = files.iter().map(class_of).collect::<Result<_>>()?;
    let mut names = classes.clone();
    names.sort();
    names.dedup();
    let labels = classes.iter().map(|class| names.partition_point(|name| name < class)).collect();
    Ok((names, labels))
}

fn decode(path: &Path, height: usize, width: usize) -> Result<Vec<u8>> {
    let unusable = || format!("cannot read {}: 8- and 16-bit grey or RGB PNG, and JPEG, are accepted", path.display());
    let mut reader = ImageReader::open(path).with_context(unusable)?.with_guessed_format().with_context(unusable)?;
    let mut limits = image::Limits::default();
    limits.max_image_width = Some(MAX_SIDE);
    limits.max_image_height = Some(MAX_SIDE);
    reader.limits(limits);
    let image = reader.decode().with_context(unusable)?;
    // Resized in 16 bits: rounding to 8 comes once, at the end.
    let (w, h) = (width as u32, height as u32);
    let grey = if (image.width(), image.height()) == (w, h) {
        image.into_luma16()
    } else {
        DynamicImage::ImageLuma16(image.into_luma16()).resize_exact(w, h, FilterType::Lanczos3).into_luma16()
    };
    // v · 255 / 65535 rounded: the inverse of the 257-fold widening of 8-bit files, which thus come back exactly.
    Ok(grey.into_raw().into_iter().map(|v| ((u32::from(v) + 128) / 257) as u8).collect())
}

impl Dataset {
    /// Decodes files in parallel and resizes them with a Lanczos filter.
    ///
    /// # Errors
    /// A file that cannot be read, unless such are skipped; all of them unreadable.
    pub fn load(
        files: &[PathBuf],
        labels: Option<&[usize]>,
        height: usize,
        width: usize,
        unreadable: Unreadable,
    ) -> Result<Self> {
        let bar = std::sync::Mutex::new(Progress::new("reading images", 0, files.len() as u64));
        let done = AtomicUsize::new(0);
        let decoded: Vec<Option<Vec<u8>>> = files
            .par_iter()
            .map(|path| {
                let result = decode(path, height, width);
                let count = done.fetch_add(1, Ordering::Relaxed) + 1;
                if let Ok(mut bar) = bar.lock() {
                    bar.set(count as u64, String::new);
                }
                match (result, unreadable) {
                    (Ok(pixels), _) => Ok(Some(pixels)),
                    (Err(_), Unreadable::Skip) => Ok(None),
                    (Err(error), Unreadable::Fail) => {
                        Err(error.context("pass --skip-unreadable to leave such files out"))
                    }
                }
            })
            .collect::<Result<_>>()
            .map_err(hint_last)?;
        drop(bar);
        let mut kept = Vec::new();
        let mut pixels = Vec::with_capacity(files.len() * height * width);
        for (i, image) in decoded.into_iter().enumerate() {
            if let Some(image) = image {
                pixels.extend(image);
                kept.push(i);
            }
        }
        let skipped = files.len() - kept.len();
        if kept.is_empty() {
            bail!("none of the {} image files can be read", files.len());
        }
        if skipped > 0 {
            eprintln!("{skipped} of {} files are unreadable and were left out", files.len());
        }
        let labels = labels.map(|labels| kept.iter().map(|&i| labels[i]).collect());
        let names = kept.iter().map(|&i| files[i].display().to_string()).collect();
        Ok(Self { height, width, pixels, names, labels, skipped })
    }

    /// `count` phantoms, from number `first`.
    pub fn phantoms(seed: u64, first: u64, count: usize, height: usize, width: usize) -> Self {
        let pixels = (0..count as u64)
            .into_par_iter()
            .flat_map_iter(|i| draw_phantom(seed, first + i, height, width))
            .collect();
        let names = (0..count as u64).map(|i| format!("phantom {}", first + i)).collect();
        Self { height, width, pixels, names, labels: None, skipped: 0 }
    }

    /// Images there are.
    pub fn len(&self) -> usize {
        self.pixels.len() / (self.height * self.width)
    }

    /// Grey values of one image.
    pub fn image(&self, index: usize) -> &[u8] {
        let size = self.height * self.width;
        &self.pixels[index * size..(index + 1) * size]
    }

    /// Mean grey value of each pixel over the data, in [0, 1].
    pub fn mean_image(&self) -> Vec<f64> {
        let mut mean = vec![0.0; self.height * self.width];
        for image in self.pixels.chunks_exact(mean.len()) {
            for (sum, &v) in mean.iter_mut().zip(image) {
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

/// Puts the file's own message first and the hint behind it.
fn hint_last(error: anyhow::Error) -> anyhow::Error {
    let hint = error.to_string();
    let reason = error.chain().skip(1).map(ToString::to_string).collect::<Vec<_>>().join(": ");
    anyhow!("{reason}\n  hint: {hint}")
}
