//! From stored values to display: PS3.3 C.11.1 (Modality LUT), C.11.2 (VOI LUT) and C.11.6 (Presentation LUT).

use anyhow::{Context, Result, bail, ensure};
use dicom_core::Tag;
use dicom_dictionary_std::tags;
use dicom_object::InMemDicomObject;
use dicom_object::mem::InMemElement;

use super::shape::{Shape, text};

/// A table of the file: entries for the values from `first` on, and the ends beyond.
struct Lut {
    first: f64,
    entries: Vec<u16>,
    /// The value that stands for full output.
    full: f64,
}

/// How values become shades.
enum Voi {
    Lut(Lut),
    /// C.11.2.1.2.1.
    Linear {
        center: f64,
        width: f64,
    },
    /// C.11.2.1.3.2.
    LinearExact {
        center: f64,
        width: f64,
    },
    /// C.11.2.1.3.1.
    Sigmoid {
        center: f64,
        width: f64,
    },
    /// The picture's own range.
    Range {
        low: f64,
        high: f64,
    },
}

/// The grey value (0..=65535) of each possible code; `codes` are the picture's.
///
/// # Errors
/// A table of the file is damaged, or its rescale slope is 0 or not a number.
pub(super) fn table(header: &InMemDicomObject, shape: &Shape, codes: &[u16]) -> Result<Vec<u16>> {
    let count = 1_usize << shape.bits_stored;
    let values = modality(header, shape, count)?;
    let is_padding = padding(header, shape);
    let mut is_used = vec![false; count];
    codes.iter().for_each(|&code| is_used[usize::from(code)] = true);
    let voi = match voi(header, shape)? {
        Some(voi) => voi,
        None => {
            let shown = (0..count).filter(|&code| is_used[code] && !is_padding(stored(code, shape)));
            let (low, high) = shown.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), code| {
                (low.min(values[code]), high.max(values[code]))
            });
            Voi::Range { low, high }
        }
    };
    // INVERSE goes with MONOCHROME1 in a radiograph (C.8.11.3.1.2) and means the same inversion, not a second one.
    let inverted =
        shape.inverted || text(header, tags::PRESENTATION_LUT_SHAPE).is_some_and(|s| s.eq_ignore_ascii_case("INVERSE"));
    let grey = |code: usize| {
        if is_padding(stored(code, shape)) {
            return 0;
        }
        let shade = voi.shade(values[code]).clamp(0.0, 1.0);
        let shade = if inverted { 1.0 - shade } else { shade };
        (shade * 65535.0).round() as u16
    };
    Ok((0..count).map(grey).collect())
}

impl Voi {
    /// In [0, 1], apart from rounding.
    fn shade(&self, x: f64) -> f64 {
        match self {
            Self::Lut(lut) => lut.at(x) / lut.full,
            // A width of 1 is a threshold.
            Self::Linear { center, width } if x <= center - 0.5 - (width - 1.0) / 2.0 => 0.0,
            Self::Linear { center, width } if x > center - 0.5 + (width - 1.0) / 2.0 => 1.0,
            Self::Linear { center, width } => (x - (center - 0.5)) / (width - 1.0) + 0.5,
            Self::LinearExact { center, width } => (x - center) / width + 0.5,
            Self::Sigmoid { center, width } => 1.0 / (1.0 + (-4.0 * (x - center) / width).exp()),
            Self::Range { low, high } if high > low => (x - low) / (high - low),
            Self::Range { .. } => 0.0,
        }
    }
}

impl Lut {
    /// Reads the descriptor and the data of a LUT's item.
    fn read(item: &InMemDicomObject, signed_input: bool) -> Result<Self> {
        let descriptor: Vec<i32> = item
            .get(tags::LUT_DESCRIPTOR)
            .and_then(|e| e.to_multi_int().ok())
            .context("a lookup table has no readable descriptor")?;
        let [count, first, bits] = descriptor[..] else { bail!("a lookup table's descriptor is not three numbers") };
        let count = match count & 0xffff {
            0 => 65536,
            count => count as usize,
        };
        // The descriptor's kind may be lost, and with it the sign of the first value.
        let first = if signed_input && first > 0x7fff { first - 0x10000 } else { first };
        let data = item.get(tags::LUT_DATA).and_then(|e| e.to_bytes().ok()).context("a lookup table has no data")?;
        let entries: Vec<u16> = if data.len() >= 2 * count {
            data.chunks_exact(2).take(count).map(|v| u16::from_le_bytes([v[0], v[1]])).collect()
        } else {
            // 8-bit entries, two a word.
            data.iter().take(count).map(|&v| u16::from(v)).collect()
        };
        ensure!(entries.len() == count, "a lookup table has {} of {count} entries", entries.len());
        let largest = f64::from(entries.iter().copied().max().unwrap_or(0));
        // Some files understate the depth; none of their entries may be brighter than white.
        let full = if (1..=16).contains(&bits) { f64::from((1 << bits) - 1) } else { 1.0 };
        Ok(Self { first: first.into(), entries, full: full.max(largest) })
    }

    fn at(&self, x: f64) -> f64 {
        let index = (x - self.first).round().clamp(0.0, (self.entries.len() - 1) as f64);
        self.entries[index as usize].into()
    }
}

/// The stored value of a code: two's complement where the file is signed.
fn stored(code: usize, shape: &Shape) -> i64 {
    let half = 1 << (shape.bits_stored - 1);
    let code = code as i64;
    if shape.signed && code >= half { code - 2 * half } else { code }
}

/// The value of each code after the Modality LUT, or after slope and intercept.
fn modality(header: &InMemDicomObject, shape: &Shape, count: usize) -> Result<Vec<f64>> {
    let values = (0..count).map(|code| stored(code, shape) as f64);
    if let Some(item) = find(header, tags::MODALITY_LUT_SEQUENCE).and_then(|e| e.items()?.first()) {
        let lut = Lut::read(item, shape.signed).context("its Modality LUT cannot be used")?;
        return Ok(values.map(|x| lut.at(x)).collect());
    }
    let slope = number(header, tags::RESCALE_SLOPE).unwrap_or(1.0);
    let intercept = number(header, tags::RESCALE_INTERCEPT).unwrap_or(0.0);
    ensure!(slope != 0.0, "its Rescale Slope is 0");
    Ok(values.map(|x| slope * x + intercept).collect())
}

/// The file's VOI LUT or else its window, if it has one that the standard allows.
fn voi(header: &InMemDicomObject, shape: &Shape) -> Result<Option<Voi>> {
    if let Some(item) = find(header, tags::VOILUT_SEQUENCE).and_then(|e| e.items()?.first()) {
        let signed = shape.signed || number(header, tags::RESCALE_INTERCEPT).is_some_and(|intercept| intercept < 0.0);
        return Ok(Some(Voi::Lut(Lut::read(item, signed).context("its VOI LUT cannot be used")?)));
    }
    let (Some(center), Some(width)) = (number(header, tags::WINDOW_CENTER), number(header, tags::WINDOW_WIDTH)) else {
        return Ok(None);
    };
    let function = find(header, tags::VOILUT_FUNCTION).and_then(|e| Some(e.to_str().ok()?.trim().to_uppercase()));
    Ok(match function.as_deref() {
        Some("SIGMOID") if width > 0.0 => Some(Voi::Sigmoid { center, width }),
        Some("LINEAR_EXACT") if width > 0.0 => Some(Voi::LinearExact { center, width }),
        Some("SIGMOID" | "LINEAR_EXACT") => None,
        _ if width >= 1.0 => Some(Voi::Linear { center, width }),
        _ => None,
    })
}

/// Whether a stored value is padding outside the picture (C.7.5.1.1.2).
fn padding(header: &InMemDicomObject, shape: &Shape) -> impl Fn(i64) -> bool + use<> {
    let value = |tag| -> Option<i64> {
        let value = header.get(tag)?.to_int::<i64>().ok()?;
        Some(if shape.signed && value > 0x7fff { value - 0x10000 } else { value })
    };
    let limits = value(tags::PIXEL_PADDING_VALUE).map(|first| {
        let last = value(tags::PIXEL_PADDING_RANGE_LIMIT).unwrap_or(first);
        first.min(last)..=first.max(last)
    });
    move |stored| limits.as_ref().is_some_and(|limits| limits.contains(&stored))
}

/// An element of the data set, or of the groups in which enhanced objects keep those of their frames.
fn find(header: &InMemDicomObject, tag: Tag) -> Option<&InMemElement> {
    let in_groups = |groups: Tag| {
        let item = header.get(groups)?.items()?.first()?;
        item.iter().find_map(|group| group.items()?.first()?.get(tag))
    };
    header
        .get(tag)
        .or_else(|| in_groups(tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE))
        .or_else(|| in_groups(tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE))
}

/// The first value of an element as a number, if it is one.
fn number(header: &InMemDicomObject, tag: Tag) -> Option<f64> {
    let text = find(header, tag)?.to_str().ok()?;
    text.split('\\').next()?.trim().parse().ok().filter(|v: &f64| v.is_finite())
}
