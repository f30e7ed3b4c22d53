//! Decodes one image file to 8-bit grey values of a given size.

use std::io::Cursor;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use image::{DynamicImage, ImageBuffer, ImageDecoder, ImageReader, Limits, Luma, imageops::FilterType};
use serde::{Deserialize, Serialize};

use super::content::Content;
use super::dicom::{self, MAX_PIXELS, MAX_SIDE};
use super::jpeg;
use super::remarks::Note;
use crate::base::guard::guarded;

/// The largest file that is read.
const MAX_BYTES: u64 = 1 << 30;
/// To be raised when decoding gives other values: images prepared by another version are prepared again.
pub const VERSION: u32 = 2;

/// What an image was like in its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Original {
    /// Width and height, upright.
    pub size: [u32; 2],
    /// Whether it has colours that are not grey.
    pub colour: bool,
    /// What is odd about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<Note>,
}

/// A decoded and resized image.
pub struct Decoded {
    /// Grey values of the given size.
    pub pixels: Vec<u8>,
    /// What it was like in its file.
    pub original: Original,
}

/// What is accepted, for errors.
const ACCEPTED: &str = "8- and 16-bit grey or RGB PNG, JPEG, and grey DICOM are accepted";

/// Decodes a PNG, JPEG or DICOM file and resizes it with a Lanczos filter. It is turned upright as its EXIF data say, and
/// what is transparent is black, as on the page. Of the samples of 16-bit files, `bits` bits are used where they fit.
///
/// # Errors
/// The file cannot be read, is damaged, is something else, or claims a size that no X-ray has.
pub fn decode(path: &Path, height: usize, width: usize, bits: u32) -> Result<Decoded> {
    let cannot = || format!("cannot read {}", path.display());
    let size = std::fs::metadata(path).with_context(cannot)?.len();
    ensure!(size > 0, "cannot read {}: the file is empty", path.display());
    ensure!(size <= MAX_BYTES, "cannot read {}: it has {size} bytes, at most {MAX_BYTES} are accepted", path.display());
    let (image, colour, note) = if is_dicom(path)? {
        let image = dicom::decode(path)?;
        let grey = ImageBuffer::from_raw(image.width, image.height, image.grey).context("its pixels are missing")?;
        (grey, false, image.note)
    } else {
        let bytes = std::fs::read(path).with_context(cannot)?;
        guarded(|| picture(&bytes, bits)).with_context(cannot)?
    };
    let original = Original { size: [image.width(), image.height()], colour, note };
    // Resized in 16 bits, so that values are rounded to 8 once, at the end.
    let (w, h) = (width as u32, height as u32);
    let grey = if original.size == [w, h] {
        image
    } else {
        DynamicImage::ImageLuma16(image).resize_exact(w, h, FilterType::Lanczos3).into_luma16()
    };
    // v · 255 / 65535, rounded: 8-bit files, whose values were multiplied by 257, come back exactly.
    let pixels = grey.into_raw().into_iter().map(|v| ((u32::from(v) + 128) / 257) as u8).collect();
    Ok(Decoded { pixels, original })
}

/// Width and height of an image, upright.
///
/// # Errors
/// The file cannot be read.
pub fn size(path: &Path) -> Result<[u32; 2]> {
    if is_dicom(path)? {
        let image = dicom::decode(path)?;
        return Ok([image.width, image.height]);
    }
    let mut decoder = ImageReader::open(path)
        .and_then(ImageReader::with_guessed_format)
        .map_err(Into::into)
        .and_then(ImageReader::into_decoder)
        .with_context(|| format!("cannot read {}: {ACCEPTED}", path.display()))?;
    let (w, h) = decoder.dimensions();
    let turned = decoder.orientation().is_ok_and(|orientation| orientation.to_exif() > 4);
    Ok(if turned { [h, w] } else { [w, h] })
}

/// Whether a file is DICOM, else PNG or JPEG.
///
/// # Errors
/// It is something else.
pub fn is_dicom(path: &Path) -> Result<bool> {
    let ending = path.extension().map(|ending| ending.to_ascii_lowercase());
    match Content::of(path) {
        Content::Dicom => Ok(true),
        Content::Png | Content::Jpeg => Ok(false),
        Content::Other(what) => {
            bail!("cannot read {}: its content is another kind ({what}): {ACCEPTED}", path.display())
        }
        Content::Unknown if ending.is_some_and(|e| e == "dcm" || e == "dicom" || e == "dic") => Ok(true),
        Content::Unknown => bail!("cannot read {}: its content is none that is known: {ACCEPTED}", path.display()),
    }
}

type Grey = ImageBuffer<Luma<u16>, Vec<u16>>;

/// A PNG or JPEG picture, whether it has colours, and what is odd about it.
fn picture(bytes: &[u8], bits: u32) -> Result<(Grey, bool, Option<Note>)> {
    let is_jpeg = Content::of_bytes(bytes) == Content::Jpeg;
    if is_jpeg {
        jpeg::check(bytes)?;
    }
    let mut decoder = ImageReader::new(Cursor::new(bytes)).with_guessed_format()?.into_decoder()?;
    let (w, h) = decoder.dimensions();
    ensure!(
        w.max(h) as usize <= MAX_SIDE && w as usize * h as usize <= MAX_PIXELS,
        "it claims {w}×{h} pixels; sides up to {MAX_SIDE} and {} million pixels are accepted",
        MAX_PIXELS / 1_000_000
    );
    let mut limits = Limits::default();
    limits.reserve(decoder.total_bytes())?;
    let upright = decoder.orientation()?;
    let image = DynamicImage::from_decoder(decoder)?;
    let (colour, deep) = (has_colours(&image), image.color().bytes_per_pixel() > image.color().channel_count());
    let mut grey = if image.color().has_alpha() {
        let shown = image.into_luma_alpha16().pixels().map(|p| visible(p.0)).collect();
        Grey::from_raw(w, h, shown).context("its pixels are missing")?
    } else {
        image.into_luma16()
    };
    let largest = grey.iter().copied().max().unwrap_or(0);
    let white = (1_u32 << bits) - 1;
    let note = match deep {
        // A file of more bits than asked for has all 16.
        true if bits < 16 && u32::from(largest) <= white => {
            grey.iter_mut().for_each(|v| *v = ((u32::from(*v) * 65535 + white / 2) / white) as u16);
            None
        }
        true => (largest < 1 << 14).then_some(Note::FewBits(largest)),
        false => (is_jpeg && ends_in_repeats(&grey)).then_some(Note::Repeats),
    };
    let mut image = DynamicImage::ImageLuma16(grey);
    image.apply_orientation(upright);
    Ok((image.into_luma16(), colour, note))
}

/// What is seen of a pixel on black.
fn visible([grey, opacity]: [u16; 2]) -> u16 {
    ((u32::from(grey) * u32::from(opacity) + 32767) / 65535) as u16
}

/// Whether the last rows repeat those above them, and are not a black or white border: so the decoder paints what is
/// damaged, block after block.
fn ends_in_repeats(image: &Grey) -> bool {
    /// Rows of the largest blocks.
    const BLOCK: usize = 16;
    let (row, height) = (image.width() as usize, image.height() as usize);
    let rows = BLOCK.max(height / 16);
    let Some(start) = height.checked_sub(rows).filter(|start| *start >= BLOCK) else { return false };
    let (end, above) = (&image.as_raw()[start * row..], &image.as_raw()[(start - BLOCK) * row..]);
    end == &above[..end.len()] && end.iter().any(|v| (4 * 257..=251 * 257).contains(v))
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

#[cfg(test)]
mod tests {
    use image::codecs::{jpeg::JpegEncoder, png::PngEncoder};
    use image::{ExtendedColorType, ImageEncoder};

    use super::*;

    const SIDE: u32 = 16;

    /// A corner of each brightness: top left, top right, bottom left, bottom right.
    fn corners() -> Vec<u8> {
        (0..SIDE * SIDE).map(|i| [10, 90, 170, 250][(i / SIDE / 8 * 2 + i % SIDE / 8) as usize]).collect()
    }

    fn read(bytes: &[u8], bits: u32) -> Result<Decoded> {
        let file = tempfile::NamedTempFile::new()?;
        std::fs::write(file.path(), bytes)?;
        decode(file.path(), SIDE as usize, SIDE as usize, bits)
    }

    fn corners_of(decoded: &Decoded) -> [u8; 4] {
        let side = SIDE as usize;
        // Within, where JPEG rounds little.
        [(2, 2), (side - 3, 2), (2, side - 3), (side - 3, side - 3)].map(|(x, y)| decoded.pixels[y * side + x])
    }

    /// A TIFF header with one entry: Orientation.
    fn exif(orientation: u8) -> Vec<u8> {
        [b"MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0", &[orientation][..], &[0; 6]].concat()
    }

    fn png(pixels: &[u8], kind: ExtendedColorType) -> Vec<u8> {
        let mut bytes = Vec::new();
        PngEncoder::new(&mut bytes).write_image(pixels, SIDE, SIDE, kind).expect("a PNG");
        bytes
    }

    #[test]
    fn pictures_are_turned_upright_as_browsers_turn_them() {
        let [a, b, c, d] = [10, 90, 170, 250];
        // By EXIF 2.3, 4.6.4: where row 0 and column 0 of the file are to be seen.
        let upright = [
            [a, b, c, d],
            [b, a, d, c],
            [d, c, b, a],
            [c, d, a, b],
            [a, c, b, d],
            [c, a, d, b],
            [d, b, c, a],
            [b, d, a, c],
        ];
        for (orientation, expected) in (1..).zip(upright) {
            let (mut jpeg, mut png) = (Vec::new(), Vec::new());
            let mut encoder = JpegEncoder::new_with_quality(&mut jpeg, 100);
            encoder.set_exif_metadata(exif(orientation)).expect("EXIF");
            encoder.write_image(&corners(), SIDE, SIDE, ExtendedColorType::L8).expect("a JPEG");
            let mut encoder = PngEncoder::new(&mut png);
            encoder.set_exif_metadata(exif(orientation)).expect("EXIF");
            encoder.write_image(&corners(), SIDE, SIDE, ExtendedColorType::L8).expect("a PNG");
            assert_eq!(corners_of(&read(&png, 16).expect("a picture")), expected, "PNG {orientation}");
            let jpeg = corners_of(&read(&jpeg, 16).expect("a picture"));
            assert!(jpeg.iter().zip(expected).all(|(a, b)| a.abs_diff(b) < 4), "JPEG {orientation}: {jpeg:?}");
        }
    }

    #[test]
    fn what_is_transparent_is_black() {
        let pixels: Vec<u8> = (0..SIDE * SIDE).flat_map(|i| [200, [255, 0, 51][i as usize % 3]]).collect();
        let decoded = read(&png(&pixels, ExtendedColorType::La8), 16).expect("a picture");
        assert_eq!(decoded.pixels[..3], [200, 0, 40]);
    }

    #[test]
    fn deep_files_of_few_bits_are_told_and_stretched_where_asked() {
        let deep = |top: u32| {
            let pixels: Vec<u8> = (0..SIDE * SIDE).flat_map(|i| ((i * top / 255) as u16).to_ne_bytes()).collect();
            png(&pixels, ExtendedColorType::L16)
        };
        let full = read(&deep(65535), 16).expect("a picture");
        assert_eq!((full.original.note, full.pixels[255]), (None, 255));
        for (bits, top) in [(10, 1023), (12, 4095), (14, 16383)] {
            let dark = read(&deep(top), 16).expect("a picture");
            assert_eq!(dark.original.note, Some(Note::FewBits(top as u16)));
            let stretched = read(&deep(top), bits).expect("a picture");
            assert_eq!(stretched.original.note, None);
            // A step of 10 bits is a quarter of one of 8.
            assert!(stretched.pixels.iter().zip(&full.pixels).all(|(a, b)| a.abs_diff(*b) <= 1), "{bits}");
        }
        // A file of more bits is shown as it is.
        assert_eq!(read(&deep(65535), 12).expect("a picture").pixels, full.pixels);
        assert_eq!(read(&deep(16383), 12).expect("a picture").original.note, Some(Note::FewBits(16383)));
    }

    #[test]
    fn a_jpeg_whose_data_turn_to_zeros_is_told() {
        let side = 128;
        let noisy = |i: u32| (i.wrapping_mul(2_654_435_761) >> 24) as u8;
        let image = image::GrayImage::from_fn(side, side, |x, y| Luma([noisy(y * side + x)]));
        let mut jpeg = Vec::new();
        JpegEncoder::new_with_quality(&mut jpeg, 80).encode_image(&image).expect("a JPEG");
        assert_eq!(read(&jpeg, 16).expect("a picture").original.note, None);
        let (half, end) = (jpeg.len() / 2, jpeg.len() - 2);
        jpeg[half..end].fill(0);
        assert_eq!(read(&jpeg, 16).expect("a picture").original.note, Some(Note::Repeats));
    }

    #[test]
    fn what_a_file_truly_is_is_said() {
        for (bytes, what) in [
            (b"RIFF\x10\0\0\0WEBPVP8 ".as_slice(), "WebP picture"),
            (b"<!DOCTYPE html><html>", "web page"),
            (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer"),
            (b"ok00.png", "none that is known"),
        ] {
            let error = read(bytes, 16).map(|_| ()).expect_err("no picture");
            assert!(format!("{error:#}").contains(what), "{error:#}");
        }
    }
}
