//! The layout of a picture's samples, from the file's header.

use anyhow::{Context, Result, bail, ensure};
use dicom_core::Tag;
use dicom_dictionary_std::tags;
use dicom_object::InMemDicomObject;

/// The largest side that is decoded, in pixels: a file that claims more is damaged or hostile.
pub const MAX_SIDE: usize = 20_000;

/// The most pixels that are decoded: 200 MB of 16-bit samples.
pub const MAX_PIXELS: usize = 100_000_000;

/// The sample values' layout, checked.
pub(super) struct Shape {
    pub(super) rows: usize,
    pub(super) columns: usize,
    /// 8 or 16.
    pub(super) bits_allocated: u16,
    /// 1..=`bits_allocated`.
    pub(super) bits_stored: u16,
    /// Of the most significant bit, from 0.
    pub(super) high_bit: u16,
    /// Two's complement.
    pub(super) signed: bool,
    /// Photometric Interpretation MONOCHROME1: low values are bright.
    pub(super) inverted: bool,
}

impl Shape {
    pub(super) fn of(header: &InMemDicomObject) -> Result<Self> {
        let modality = text(header, tags::MODALITY).unwrap_or_else(|| "not given".to_owned());
        let number = |tag: Tag, name: &str| -> Result<u16> {
            let element = header.get(tag).with_context(|| format!("it has no {name}"))?;
            element.to_int::<u16>().ok().with_context(|| format!("its {name} is not a number"))
        };
        if header.get(tags::ROWS).is_none() && header.get(tags::COLUMNS).is_none() {
            bail!("it holds no picture (modality {modality})");
        }
        let photometric = text(header, tags::PHOTOMETRIC_INTERPRETATION).unwrap_or_default().to_uppercase();
        let samples = number(tags::SAMPLES_PER_PIXEL, "Samples per Pixel").unwrap_or(1);
        if samples != 1 || !matches!(photometric.as_str(), "MONOCHROME1" | "MONOCHROME2") {
            bail!("its picture is not grey (it is {photometric} of {samples} samples): MONOCHROME1 and 2 are accepted");
        }
        let frames = match header.get(tags::NUMBER_OF_FRAMES).map(|e| e.to_str()) {
            Some(Ok(frames)) => frames.trim().parse::<i64>().unwrap_or(1),
            _ => 1,
        };
        ensure!(frames <= 1, "it has {frames} frames: one is accepted");
        let rows = usize::from(number(tags::ROWS, "Rows")?);
        let columns = usize::from(number(tags::COLUMNS, "Columns")?);
        if rows == 0 || columns == 0 || rows.max(columns) > MAX_SIDE || rows * columns > MAX_PIXELS {
            bail!(
                "it claims {columns}×{rows} pixels: sides of 1 to {MAX_SIDE} and up to {MAX_PIXELS} pixels are accepted"
            );
        }
        let bits_allocated = number(tags::BITS_ALLOCATED, "Bits Allocated")?;
        let bits_stored = number(tags::BITS_STORED, "Bits Stored").unwrap_or(bits_allocated);
        let high_bit = number(tags::HIGH_BIT, "High Bit").unwrap_or(bits_stored.saturating_sub(1));
        ensure!(matches!(bits_allocated, 8 | 16), "it has {bits_allocated} bits a sample: 8 and 16 are accepted");
        if bits_stored == 0 || high_bit >= bits_allocated || high_bit + 1 < bits_stored {
            bail!("{bits_stored} stored bits up to bit {high_bit} do not fit {bits_allocated} allocated bits");
        }
        let signed = number(tags::PIXEL_REPRESENTATION, "Pixel Representation").unwrap_or(0) == 1;
        let inverted = photometric == "MONOCHROME1";
        Ok(Self { rows, columns, bits_allocated, bits_stored, high_bit, signed, inverted })
    }

    pub(super) fn pixels(&self) -> usize {
        self.rows * self.columns
    }
}

/// An element's first value as text, if it has any.
pub(super) fn text(object: &InMemDicomObject, tag: Tag) -> Option<String> {
    let text = object.get(tag)?.to_str().ok()?;
    let text = text.split('\\').next()?.trim_matches(|c: char| c.is_whitespace() || c == '\0');
    (!text.is_empty()).then(|| text.to_owned())
}
