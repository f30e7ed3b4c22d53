//! One image file to 8-bit grey values of the wanted size.

use std::io::Cursor;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use image::{DynamicImage, ImageBuffer, ImageReader, imageops::FilterType};

use super::dicom;

/// The largest side that is decoded: a file that claims more is damaged or hostile.
const MAX_SIDE: u32 = 20_000;
/// The most pixels.
const MAX_PIXELS: u64 = 100_000_000;
/// The largest file that is read.
const MAX_BYTES: u64 = 1 << 30;
/// Changes with whatever changes what decoding gives: prepared images of another version are prepared again.
pub const VERSION: u32 = 1;

/// A decoded and resized image, and what its file was like.
pub struct Decoded {
    /// Grey values of the wanted size.
    pub pixels: Vec<u8>,
    /// Width and height in the file.
    pub original: [u32; 2],
    /// Whether the file has colours that are not grey.
    pub colour: bool,
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
    let bytes = std::fs::read(path).with_context(unusable)?;
    let (image, colour) = if dicom::is_dicom(path) {
        let image = dicom::decode(path).with_context(|| format!("cannot read {}", path.display()))?;
        let grey = ImageBuffer::from_raw(image.width, image.height, image.grey).context("its pixels are missing")?;
        (DynamicImage::ImageLuma16(grey), false)
    } else {
        let reader = || ImageReader::new(Cursor::new(&bytes)).with_guessed_format();
        let (w, h) = reader().with_context(unusable)?.into_dimensions().with_context(unusable)?;
        ensure!(
            w <= MAX_SIDE && h <= MAX_SIDE && u64::from(w) * u64::from(h) <= MAX_PIXELS,
            "cannot read {}: it claims {w}×{h} pixels; sides up to {MAX_SIDE} and {} million pixels are accepted",
            path.display(),
            MAX_PIXELS / 1_000_000
        );
        // The decoder paints what is missing of a JPEG grey, and says nothing.
        let whole = !bytes.starts_with(&[0xff, 0xd8]) || bytes.windows(2).any(|pair| pair == [0xff, 0xd9]);
        ensure!(whole, "cannot read {}: the JPEG is cut off", path.display());
        let image = reader().with_context(unusable)?.decode().with_context(unusable)?;
        let colour = has_colours(&image);
        (image, colour)
    };
    let original = [image.width(), image.height()];
    // Resized in 16 bits: rounding to 8 comes once, at the end.
    let (w, h) = (width as u32, height as u32);
    let grey = if original == [w, h] {
        image.into_luma16()
    } else {
        DynamicImage::ImageLuma16(image.into_luma16()).resize_exact(w, h, FilterType::Lanczos3).into_luma16()
    };
    // v · 255 / 65535 rounded: the inverse of the 257-fold widening of 8-bit files, which thus come back exactly.
    let pixels = grey.into_raw().into_iter().map(|v| ((u32::from(v) + 128) / 257) as u8).collect();
    Ok(Decoded { pixels, original, colour })
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
    /// Levels that channels may differ by and still be grey: JPEG rounds.
    const NEARLY: u8 = 12;
    image.color().has_color()
        && image.to_rgb8().pixels().any(|pixel| {
            let [r, g, b] = pixel.0;
            r.max(g).max(b) - r.min(g).min(b) > NEARLY
        })
}
