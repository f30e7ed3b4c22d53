//! DICOM files: their picture as 16-bit grey values for display, and their data on patient and view.
//!
//! The grey values are those of the standard's pipeline (PS3.3 C.11): stored value → Modality LUT or rescale →
//! VOI LUT or window → presentation, bright where the body is dense. Compressed pictures are decoded by
//! `dicom-pixeldata`: uncompressed and deflated, RLE, JPEG (8 bits) and lossless JPEG, and JPEG 2000.
//!
//! `scan` and `shape` are used by `coded` and `grey`, and all of them here.

mod coded;
mod grey;
mod scan;
mod shape;
#[cfg(test)]
mod tests;

use std::cell::Cell;
use std::fs::File;
use std::io::Read;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Once;

use anyhow::{Context, Result, anyhow, bail, ensure};
use dicom_core::Tag;
use dicom_dictionary_std::tags;
use dicom_object::{DefaultDicomObject, InMemDicomObject, OpenFileOptions};
use dicom_pixeldata::PixelDecoder;

use self::coded::Coding;
use self::scan::Extent;
pub use self::shape::{MAX_PIXELS, MAX_SIDE};
use self::shape::{Shape, text};

/// The first tag of the group that holds pixel data, whatever their kind.
const PIXEL_GROUP: Tag = Tag(0x7fe0, 0x0000);

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
}

/// Whether a file is DICOM by its name (`.dcm`, `.dicom`, `.dic`) or by `DICM` at byte 128: in many archives files have
/// no extension.
pub fn is_dicom(path: &Path) -> bool {
    let extension = path.extension().map(|e| e.to_ascii_lowercase());
    if extension.is_some_and(|e| e == "dcm" || e == "dicom" || e == "dic") {
        return true;
    }
    let mut start = [0; 132];
    File::open(path).and_then(|mut file| file.read_exact(&mut start)).is_ok() && start[128..] == *b"DICM"
}

/// What the file says about its picture, without reading pixels.
///
/// # Errors
/// The file cannot be read, or is not DICOM.
pub fn tags(path: &Path) -> Result<Tags> {
    guarded(path, || {
        let object = open(path, Extent::Header)?;
        Ok(Tags {
            patient: text(&object, tags::PATIENT_ID),
            sex: text(&object, tags::PATIENT_SEX)
                .map(|s| s.to_uppercase())
                .filter(|s| "MFO".contains(s) && s.len() == 1),
            age: text(&object, tags::PATIENT_AGE).and_then(|age| years(&age)).or_else(|| years_by_dates(&object)),
            view: text(&object, tags::VIEW_POSITION).map(|s| s.to_uppercase()),
        })
    })
}

/// The picture for display.
///
/// Without a usable window or VOI LUT, the picture's own range becomes 0..=65535; of several, the first counts. Pixels
/// of the file's padding value are black and outside the range.
///
/// # Errors
/// The file is damaged, holds no picture, a colour picture or several frames, or is compressed in a way that cannot be
/// decoded.
pub fn decode(path: &Path) -> Result<DicomImage> {
    guarded(path, || {
        let header = open(path, Extent::Header)?;
        let shape = Shape::of(&header)?;
        let coding = Coding::of(header.meta().transfer_syntax().trim_end_matches('\0'))?;
        let mut object = open(path, Extent::All)?;
        ensure!(object.get(tags::PIXEL_DATA).is_some(), "it ends before its pixel data");
        for tag in READ_HERE {
            object.remove_element(tag);
        }
        coding.check(&object, &shape)?;
        let codes = codes(&object, &shape, coding)?;
        let table = grey::table(&header, &shape, &codes)?;
        let grey = codes.into_iter().map(|code| table[usize::from(code)]).collect();
        Ok(DicomImage { width: shape.columns as u32, height: shape.rows as u32, grey })
    })
}

/// Elements that are read here and hidden from the decoder, which refuses a picture for a flaw in any of them.
const READ_HERE: [Tag; 9] = [
    tags::NUMBER_OF_FRAMES,
    tags::RESCALE_SLOPE,
    tags::RESCALE_INTERCEPT,
    tags::WINDOW_CENTER,
    tags::WINDOW_WIDTH,
    tags::VOILUT_FUNCTION,
    tags::VOILUT_SEQUENCE,
    tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE,
    tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE,
];

/// The `bits_stored` bits of each sample, without their sign.
fn codes(object: &DefaultDicomObject, shape: &Shape, coding: Coding) -> Result<Vec<u16>> {
    let decoded = object
        .decode_pixel_data()
        .map_err(|error| anyhow!("its pixel data cannot be decoded ({})", innermost(&error)))?;
    let data = decoded.data();
    let bytes = usize::from(shape.bits_allocated / 8);
    let need = shape.pixels() * bytes;
    // Some writers pad to a block; a whole row more is another picture than the one that is claimed.
    if data.len() < need || data.len() >= need + (shape.columns * bytes).max(2) {
        bail!("its pixel data are {} bytes, where {}×{} pixels need {need}", data.len(), shape.columns, shape.rows);
    }
    // Overlays of old files lie above or below the stored bits; a codec's samples have none.
    let shift = if coding == Coding::Native { shape.high_bit + 1 - shape.bits_stored } else { 0 };
    let mask = u16::MAX >> (16 - shape.bits_stored);
    let code = |sample: u16| (sample >> shift) & mask;
    Ok(match bytes {
        1 => data[..need].iter().map(|&v| code(u16::from(v))).collect(),
        _ => data[..need].chunks_exact(2).map(|v| code(u16::from_le_bytes([v[0], v[1]]))).collect(),
    })
}

fn open(path: &Path, extent: Extent) -> Result<DefaultDicomObject> {
    scan::check(path, extent)?;
    let options = OpenFileOptions::new();
    let options = if extent == Extent::Header { options.read_until(PIXEL_GROUP) } else { options };
    options.open_file(path).map_err(|error| anyhow!("it is damaged ({})", innermost(&error)))
}

/// The cause behind a library's chain of general statements.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

/// Completed years of an Age String: `058Y`, `018M`, `020W`, `010D`; years if the unit is missing.
pub fn years(age: &str) -> Option<u32> {
    let digits = age.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let number: u32 = digits.parse().ok().filter(|&n| n < 1000)?;
    match age[digits.len()..].to_ascii_uppercase().as_str() {
        "" | "Y" => Some(number),
        "M" => Some(number / 12),
        "W" => Some(number * 7 / 365),
        "D" => Some(number / 365),
        _ => None,
    }
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

thread_local! {
    /// Whether a panic of this thread will be reported as an error.
    static IS_GUARDED: Cell<bool> = const { Cell::new(false) };
}

/// Runs `read`, and puts the file's name on its errors.
///
/// The decoders index by what a file claims (an RLE header that is cut short, a codestream of another size), so a hostile
/// file can make them panic. That becomes an error of this file, too, and prints nothing itself.
fn guarded<T>(path: &Path, read: impl FnOnce() -> Result<T>) -> Result<T> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if !IS_GUARDED.try_with(Cell::get).unwrap_or(false) {
                usual(panic);
            }
        }));
    });
    let outer = IS_GUARDED.replace(true);
    let result = catch_unwind(AssertUnwindSafe(read));
    IS_GUARDED.set(outer);
    result.unwrap_or_else(|_| Err(anyhow!("it is damaged: its decoder failed"))).with_context(|| {
        format!("cannot read {} (grey DICOM radiographs of one frame, up to 16 bits, are accepted)", path.display())
    })
}
