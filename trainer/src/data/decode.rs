//! Decodes one image file to 8-bit grey values of a given size.

use std::io::Cursor;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use image::{DynamicImage, ImageBuffer, ImageReader, imageops::FilterType};
use serde::{Deserialize, Serialize};

use super::dicom::{self, MAX_PIXELS, MAX_SIDE};

/// The largest file that is read.
const MAX_BYTES: u64 = 1 << 30;
/// To be raised when decoding gives other values: images prepared by another version are prepared again.
pub const VERSION: u32 = 1;

/// What an image was like in its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Original {
    /// Width and height.
    pub size: [u32; 2],
    /// Whether it has colours that are not grey.
    pub colour: bool,
}

/// A decoded and resized image.
pub struct Decoded {
    /// Grey values of the given size.
    pub pixels: Vec<u8>,
    /// What it was like in its file.
    pub original: Original,
}

/// Decodes a PNG, JPEG or DICOM file and resizes it with a Lanczos filter.
///
/// # Errors
/// The file cannot be read, is damaged, or claims a size that no X-ray has.
pub fn decode(path: &Path, height: usize, width: usize) -> Result<Decoded> {
    let unusable =
        || format!("cannot read {}: 8- and 16-bit grey or RGB PNG, JPEG, and grey DICOM are accepted", path.display());
    let size = std::fs::metadata(path).with_context(unusable)?.len();
    ensure!(size > 0, "cannot read {}: the file is empty", path.display());
    ensure!(size <= MAX_BYTES, "cannot read {}: it has {size} bytes, at most {MAX_BYTES} are accepted", path.display());
    let (image, colour) = if dicom::is_dicom(path) {
        let image = dicom::decode(path)?;
        let grey = ImageBuffer::from_raw(image.width, image.height, image.grey).context("its pixels are missing")?;
        (DynamicImage::ImageLuma16(grey), false)
    } else {
        let bytes = std::fs::read(path).with_context(unusable)?;
        let reader = || ImageReader::new(Cursor::new(&bytes)).with_guessed_format();
        let (w, h) = reader().with_context(unusable)?.into_dimensions().with_context(unusable)?;
        ensure!(
            w.max(h) as usize <= MAX_SIDE && w as usize * h as usize <= MAX_PIXELS,
            "cannot read {}: it claims {w}×{h} pixels; sides up to {MAX_SIDE} and {} million pixels are accepted",
            path.display(),
            MAX_PIXELS / 1_000_000
        );
        // The decoder fills in the missing part of a JPEG with grey and reports no error.
        let whole = !bytes.starts_with(&[0xff, 0xd8]) || bytes.windows(2).any(|pair| pair == [0xff, 0xd9]);
        ensure!(whole, "cannot read {}: the JPEG is cut off", path.display());
        let image = reader().with_context(unusable)?.decode().with_context(unusable)?;
        let colour = has_colours(&image);
        (image, colour)
    };
    let original = Original { size: [image.width(), image.height()], colour };
    // Resized in 16 bits, so that values are rounded to 8 once, at the end.
    let (w, h) = (width as u32, height as u32);
    let grey = if original.size == [w, h] {
        image.into_luma16()
    } else {
        DynamicImage::ImageLuma16(image.into_luma16()).resize_exact(w, h, FilterType::Lanczos3).into_luma16()
    };
    // v · 255 / 65535, rounded: 8-bit files, whose values were multiplied by 257, come back exactly.
    let pixels = grey.into_raw().into_iter().map(|v| ((u32::from(v) + 128) / 257) as u8).collect();
    Ok(Decoded { pixels, original })
}

/// Width and height of an image, from its header.
///
/// # Errors
/// The file cannot be read.
pub fn size(path: &Path) -> Result<[u32; 2]> {
    if dicom::is_dicom(path) {
        let image = dicom::decode(path)?;
        return Ok([image.width, image.height]);
    }
    let (w, h) = image::image_dimensions(path)
        .with_context(|| format!("cannot read {}: PNG, JPEG and DICOM are accepted", path.display()))?;
    Ok([w, h])
}

fn has_colours(image: &DynamicImage) -> bool {
    /// Channels of a grey JPEG differ by up to this, by rounding.
    const NEARLY: u8 = 12;
    image.color().has_color()
        && image.to_rgb8().pixels().any(|pixel| {
            let [r, g, b] = pixel.0;
            r.max(g).max(b) - r.min(g).min(b) > NEARLY
        })
}
