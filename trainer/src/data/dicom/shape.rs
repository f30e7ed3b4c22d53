//! The layout of a picture's samples, from the file's header.

use anyhow::{Context, Result, bail, ensure};
use dicom_core::Tag;
use dicom_core::header::HasLength;
use dicom_dictionary_std::tags;
use dicom_object::InMemDicomObject;

/// The largest side that is decoded, in pixels: a file that claims more is damaged or hostile.
pub const MAX_SIDE: usize = 20_000;

/// The most pixels that are decoded: 200 MB of 16-bit samples.
pub const MAX_PIXELS: usize = 100_000_000;

/// The sample values' layout, checked.
#[derive(Clone)]
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

/// Whether a file holds no picture: a report, a directory, a presentation state.
pub(super) fn is_no_picture(header: &InMemDicomObject) -> bool {
    header.get(tags::ROWS).is_none() && header.get(tags::COLUMNS).is_none()
}

impl Shape {
    /// Reads the layout. What is missing is taken from the rest where that leaves one reading; `bytes` are those of samples
    /// that are not compressed.
    pub(super) fn of(header: &InMemDicomObject, bytes: Option<usize>) -> Result<Self> {
        if is_no_picture(header) {
            let modality = text(header, tags::MODALITY).unwrap_or_else(|| "not given".to_owned());
            bail!("it holds no picture (modality {modality})");
        }
        let number = |tag: Tag, name: &str| -> Result<Option<u16>> {
            let Some(element) = header.get(tag).filter(|element| !element.is_empty()) else { return Ok(None) };
            element.to_int::<u16>().ok().with_context(|| format!("its {name} is not a number")).map(Some)
        };
        let shape = text(header, tags::PRESENTATION_LUT_SHAPE).map(|shape| shape.to_uppercase());
        let photometric = match (text(header, tags::PHOTOMETRIC_INTERPRETATION), shape.as_deref()) {
            (Some(photometric), _) => photometric.to_uppercase(),
            (None, Some("IDENTITY")) => "MONOCHROME2".to_owned(),
            (None, Some("INVERSE")) => "MONOCHROME1".to_owned(),
            _ => bail!("it does not say whether low values are black (it has no Photometric Interpretation)"),
        };
        let samples = number(tags::SAMPLES_PER_PIXEL, "Samples per Pixel")?.unwrap_or(1);
        if samples != 1 || !matches!(photometric.as_str(), "MONOCHROME1" | "MONOCHROME2") {
            bail!("its picture is not grey (it is {photometric} of {samples} samples): MONOCHROME1 and 2 are accepted");
        }
        let frames = match header.get(tags::NUMBER_OF_FRAMES).map(|e| e.to_str()) {
            Some(Ok(frames)) => frames.trim().parse::<i64>().unwrap_or(1),
            _ => 1,
        };
        ensure!(frames <= 1, "it has {frames} frames: one is accepted");
        let side = |tag, name| number(tag, name).map(|side| side.map(usize::from));
        let sides = [side(tags::ROWS, "Rows")?, side(tags::COLUMNS, "Columns")?];
        let allocated = number(tags::BITS_ALLOCATED, "Bits Allocated")?;
        let (rows, columns, bits_allocated) = match (sides, allocated, bytes) {
            ([Some(rows), Some(columns)], Some(bits), _) => (rows, columns, bits),
            ([Some(rows), Some(columns)], None, Some(bytes)) => {
                (rows, columns, (8 * bytes / (rows * columns).max(1)) as u16)
            }
            ([Some(rows), None], Some(bits), Some(bytes)) => {
                (rows, 8 * bytes / (rows * usize::from(bits)).max(1), bits)
            }
            ([None, Some(columns)], Some(bits), Some(bytes)) => {
                (8 * bytes / (columns * usize::from(bits)).max(1), columns, bits)
            }
            _ => bail!("it has no Rows, Columns or Bits Allocated, and the rest does not say what they are"),
        };
        if rows == 0 || columns == 0 || rows.max(columns) > MAX_SIDE || rows * columns > MAX_PIXELS {
            bail!(
                "it claims {columns}×{rows} pixels: sides of 1 to {MAX_SIDE} and up to {MAX_PIXELS} pixels are accepted"
            );
        }
        let high_bit = number(tags::HIGH_BIT, "High Bit")?;
        let stored = number(tags::BITS_STORED, "Bits Stored")?;
        let bits_stored = stored.or(high_bit.map(|bit| bit + 1)).unwrap_or(bits_allocated);
        let high_bit = high_bit.unwrap_or(bits_stored.saturating_sub(1));
        ensure!(matches!(bits_allocated, 8 | 16), "it has {bits_allocated} bits a sample: 8 and 16 are accepted");
        if bits_stored == 0 || high_bit >= bits_allocated || high_bit + 1 < bits_stored {
            bail!("{bits_stored} stored bits up to bit {high_bit} do not fit {bits_allocated} allocated bits");
        }
        let signed = number(tags::PIXEL_REPRESENTATION, "Pixel Representation")?.unwrap_or(0) == 1;
        let inverted = photometric == "MONOCHROME1";
        Ok(Self { rows, columns, bits_allocated, bits_stored, high_bit, signed, inverted })
    }

    pub(super) fn pixels(&self) -> usize {
        self.rows * self.columns
    }

    /// The stored value of a sample: two's complement where the file is signed.
    pub(super) fn stored(&self, sample: u16) -> i64 {
        let bits = sample >> (self.high_bit + 1 - self.bits_stored) & (u16::MAX >> (16 - self.bits_stored));
        let (value, half) = (i64::from(bits), 1 << (self.bits_stored - 1));
        if self.signed && value >= half { value - 2 * half } else { value }
    }

    /// Whether a sample has bits above the stored ones that do not repeat its sign.
    fn is_beyond(&self, sample: u16) -> bool {
        let above = u16::MAX.checked_shl((self.high_bit + 1).into()).unwrap_or(0) & sample;
        let sign = u16::MAX.checked_shl((self.high_bit).into()).unwrap_or(0);
        above != 0 && !(self.signed && sample & sign == sign)
    }

    /// The layout that the samples have: all bits that they use, and from bit 0 where the file shifts used bits away.
    /// Then how many bits they use, where these are more than claimed.
    pub(super) fn as_used(&self, samples: impl Iterator<Item = u16> + Clone) -> (Self, Option<u16>) {
        let largest = samples.clone().max().unwrap_or(0);
        if samples.clone().any(|sample| self.is_beyond(sample)) {
            let bits = if self.signed { self.bits_allocated } else { 16 - largest.leading_zeros() as u16 };
            return (Self { bits_stored: bits, high_bit: bits - 1, ..self.clone() }, Some(bits));
        }
        let shift = self.high_bit + 1 - self.bits_stored;
        let is_low = largest >> self.bits_stored.min(15) == 0 && samples.clone().any(|s| s & ((1 << shift) - 1) != 0);
        let high_bit = if shift > 0 && is_low { self.bits_stored - 1 } else { self.high_bit };
        (Self { high_bit, ..self.clone() }, None)
    }
}

/// An element's first value as text, if it has any.
pub(super) fn text(object: &InMemDicomObject, tag: Tag) -> Option<String> {
    let text = object.get(tag)?.to_str().ok()?;
    let text = text.split('\\').next()?.trim_matches(|c: char| c.is_whitespace() || c == '\0');
    (!text.is_empty()).then(|| text.to_owned())
}
