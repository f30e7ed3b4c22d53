//! DICOM files: their picture as 16-bit grey values for display, and their data on patient and view.
//!
//! The grey values are those of the standard's pipeline (PS3.3 C.11): stored value → Modality LUT or rescale →
//! VOI LUT or window → presentation, bright where the body is dense. Compressed pictures are decoded by
//! `dicom-pixeldata`: uncompressed and deflated, RLE, JPEG (8 bits) and lossless JPEG, and JPEG 2000.
//!
//! `shape` is used by `coded` and `grey`, `coded` and `element` by `scan`, and all of them here.

mod coded;
mod element;
mod grey;
mod scan;
mod shape;
#[cfg(test)]
mod tests;

use std::path::Path;

use anyhow::{Context, Result, anyhow, bail};
use dicom_core::{DataElement, PrimitiveValue, VR};
use dicom_dictionary_std::tags;
use dicom_object::file::ReadPreamble;
use dicom_object::mem::InMemElement;
use dicom_object::{DefaultDicomObject, InMemDicomObject, OpenFileOptions};
use dicom_pixeldata::PixelDecoder;

use self::coded::Coding;
use self::scan::Extent;
pub use self::shape::{MAX_PIXELS, MAX_SIDE};
use self::shape::{Shape, is_no_picture, text};
use super::remarks::Note;
use crate::base::guard::guarded;

/// What a DICOM file says about its picture, to choose by.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tags {
    /// Patient ID.
    pub patient: Option<String>,
    /// Patient's Sex: `M`, `F` or `O`.
    pub sex: Option<String>,
    /// Completed years of age, by Patient's Age, or else by the dates of birth and study.
    pub age: Option<u32>,
    /// View Position, such as `PA`, `AP` or `LL`.
    pub view: Option<String>,
}

/// A picture for display.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DicomImage {
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// `width · height` grey values, row by row: 0 black to 65535 white, which is dense.
    pub grey: Vec<u16>,
    /// What is odd about it.
    pub note: Option<Note>,
}

/// What the file says about its picture, without reading pixels; none if it holds no picture.
///
/// # Errors
/// The file cannot be read, or is not DICOM.
pub fn tags(path: &Path) -> Result<Option<Tags>> {
    named(path, || {
        let object = open(path, Extent::Header)?;
        if is_no_picture(&object) {
            return Ok(None);
        }
        Ok(Some(Tags {
            patient: text(&object, tags::PATIENT_ID),
            sex: text(&object, tags::PATIENT_SEX).and_then(|text| sex(&text)),
            age: text(&object, tags::PATIENT_AGE).and_then(|age| years(&age)).or_else(|| years_by_dates(&object)),
            view: text(&object, tags::VIEW_POSITION).map(|s| s.to_uppercase()),
        }))
    })
}

/// The picture for display.
///
/// Of several VOI LUTs and windows, the first that shows something counts; without one, the picture's own range becomes
/// 0..=65535. Pixels of the file's padding value are black and outside the range.
///
/// # Errors
/// The file is damaged, holds no picture, a colour picture or several frames, or is compressed in a way that cannot be
/// decoded.
pub fn decode(path: &Path) -> Result<DicomImage> {
    named(path, || {
        let mut object = open(path, Extent::All)?;
        let pixel_data = object.take(tags::PIXEL_DATA);
        let native = pixel_data.as_ref().and_then(|element| element.to_bytes().ok()).map(|bytes| bytes.len());
        let mut shape = Shape::of(&object, native)?;
        let coding = Coding::of(object.meta().transfer_syntax().trim_end_matches('\0'))?;
        let pixel_data = pixel_data.context("it ends before its pixel data")?;
        coding.check(&pixel_data, &shape)?;
        if coding != Coding::Native {
            // Overlays of old files lie above or below the stored bits; a codec's samples have none.
            shape.high_bit = shape.bits_stored - 1;
        }
        let samples = samples(&object, pixel_data, &shape)?;
        let (table, note) = grey::table(&object, &shape, &samples)?;
        let grey = samples.into_iter().map(|sample| table[usize::from(sample)]).collect();
        Ok(DicomImage { width: shape.columns as u32, height: shape.rows as u32, grey, note })
    })
}

/// How many pixels a file's checked header claims, and so how much memory its picture may take; 0 if it is refused.
pub fn pixels(path: &Path) -> usize {
    let claimed = guarded(|| {
        let object = open(path, Extent::All)?;
        let native = object.get(tags::PIXEL_DATA).and_then(|element| element.to_bytes().ok()).map(|bytes| bytes.len());
        Ok(Shape::of(&object, native)?.pixels())
    });
    claimed.unwrap_or(0)
}

/// All allocated bits of each sample.
fn samples(object: &DefaultDicomObject, pixel_data: InMemElement, shape: &Shape) -> Result<Vec<u16>> {
    let element = |tag, value: usize| DataElement::new(tag, VR::US, PrimitiveValue::from(value as u16));
    // The decoder gets what it needs, and no flaws of the rest.
    let picture = InMemDicomObject::from_element_iter([
        element(tags::SAMPLES_PER_PIXEL, 1),
        DataElement::new(tags::PHOTOMETRIC_INTERPRETATION, VR::CS, PrimitiveValue::from("MONOCHROME2")),
        element(tags::ROWS, shape.rows),
        element(tags::COLUMNS, shape.columns),
        element(tags::BITS_ALLOCATED, shape.bits_allocated.into()),
        element(tags::BITS_STORED, shape.bits_stored.into()),
        element(tags::HIGH_BIT, shape.high_bit.into()),
        element(tags::PIXEL_REPRESENTATION, shape.signed.into()),
        pixel_data,
    ])
    .with_exact_meta(object.meta().clone());
    let decoded = picture
        .decode_pixel_data()
        .map_err(|error| anyhow!("its pixel data cannot be decoded ({})", innermost(&error)))?;
    let (data, bytes) = (decoded.data(), usize::from(shape.bits_allocated / 8));
    let need = shape.pixels() * bytes;
    // Some writers pad to a block; a whole row more, of a picture, is another picture than the one that is claimed.
    let more = data.get(need..).unwrap_or_default();
    if data.len() < need || (more.len() >= (shape.columns * bytes).max(2) && more.iter().any(|byte| *byte != more[0])) {
        bail!("its pixel data are {} bytes, where {}×{} pixels need {need}", data.len(), shape.columns, shape.rows);
    }
    Ok(match bytes {
        1 => data[..need].iter().map(|&v| u16::from(v)).collect(),
        _ => data[..need].chunks_exact(2).map(|v| u16::from_le_bytes([v[0], v[1]])).collect(),
    })
}

fn open(path: &Path, extent: Extent) -> Result<DefaultDicomObject> {
    let bytes = scan::clean(path, extent)?;
    OpenFileOptions::new()
        .read_preamble(ReadPreamble::Never)
        .from_reader(&bytes[..])
        .map_err(|error| anyhow!("it is damaged ({})", innermost(&error)))
}

/// The cause behind a library's chain of general statements.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

/// `M`, `F` or `O` of a word for it.
pub fn sex(text: &str) -> Option<String> {
    let letter = match text.trim().to_lowercase().as_str() {
        "m" | "male" | "man" | "boy" => "M",
        "f" | "female" | "woman" | "girl" => "F",
        "o" | "other" => "O",
        _ => return None,
    };
    Some(letter.to_owned())
}

/// Completed years of an Age String: `058Y`, `018M`, `020W`, `010D`; years if the unit is missing, also as `58.0`. None if
/// they are more than anybody's.
pub fn years(age: &str) -> Option<u32> {
    let age = age.trim();
    let digits = age.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let whole = digits
        .split_once('.')
        .map_or(digits, |(whole, part)| if part.trim_matches('0').is_empty() { whole } else { digits });
    let number: u32 = whole.parse().ok().filter(|&n| n < 1000)?;
    let years = match age[digits.len()..].to_ascii_uppercase().as_str() {
        "" | "Y" => number,
        "M" => number / 12,
        "W" => number * 7 / 365,
        "D" => number / 365,
        _ => return None,
    };
    Some(years).filter(|&years| years <= 120)
}

/// Completed years between the dates of birth and study.
fn years_by_dates(object: &InMemDicomObject) -> Option<u32> {
    let date = |tag| -> Option<(u32, u32)> {
        let date = text(object, tag)?;
        let plain = date.len() == 8 && date.bytes().all(|b| b.is_ascii_digit());
        if plain { Some((date[..4].parse().ok()?, date[4..].parse().ok()?)) } else { None }
    };
    let (born, study) = (date(tags::PATIENT_BIRTH_DATE)?, date(tags::STUDY_DATE)?);
    study.0.checked_sub(born.0)?.checked_sub(u32::from(study.1 < born.1))
}

/// Runs `read`, and puts the file's name on its errors.
fn named<T>(path: &Path, read: impl FnOnce() -> Result<T>) -> Result<T> {
    guarded(read).with_context(|| {
        format!("cannot read {} (grey DICOM radiographs of one frame, up to 16 bits, are accepted)", path.display())
    })
}
