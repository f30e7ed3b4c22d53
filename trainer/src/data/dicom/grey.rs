//! From stored values to display: PS3.3 C.11.1 (Modality LUT), C.11.2 (VOI LUT) and C.11.6 (Presentation LUT).

use anyhow::{Context, Result, bail, ensure};
use dicom_core::Tag;
use dicom_core::header::Header;
use dicom_dictionary_std::tags;
use dicom_object::InMemDicomObject;
use dicom_object::mem::InMemElement;

use super::super::remarks::Note;
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

/// The least difference of shades that is a picture: a window that shows less lies beside the values.
const LEAST_SPREAD: f64 = 1.0 / 8.0;

/// The grey value (0..=65535) of each sample that the picture has, and what is odd; `samples` are all of them.
///
/// # Errors
/// A table of the file is damaged.
pub(super) fn table(header: &InMemDicomObject, shape: &Shape, samples: &[u16]) -> Result<(Vec<u16>, Option<Note>)> {
    let mut counts = vec![0_u32; 1 << shape.bits_allocated];
    samples.iter().for_each(|&sample| counts[usize::from(sample)] += 1);
    let is_padding = padding(header, shape);
    let shown = || (0..=u16::MAX).zip(&counts).filter(|(sample, count)| **count > 0 && !is_padding(*sample));
    let has_overlay =
        header.iter().any(|e| e.tag().group() & 0xff00 == 0x6000 && e.to_int::<u16>().is_ok_and(|at| at > 0));
    let (shape, more_bits) =
        if has_overlay { (shape.clone(), None) } else { shape.as_used(shown().map(|(sample, _)| sample)) };
    let value = modality(header, &shape)?;
    let values: Vec<(f64, u32)> = shown().map(|(sample, count)| (value(sample), *count)).collect();
    let vois = vois(header, &shape)?;
    let usable = vois.iter().find(|voi| spread(voi, &values) >= LEAST_SPREAD);
    let (low, high) =
        values.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), &(x, _)| (low.min(x), high.max(x)));
    let range = Voi::Range { low, high };
    let voi = usable.unwrap_or(&range);
    // INVERSE goes with MONOCHROME1 in a radiograph (C.8.11.3.1.2) and means the same inversion, not a second one.
    let inverted =
        shape.inverted || text(header, tags::PRESENTATION_LUT_SHAPE).is_some_and(|s| s.eq_ignore_ascii_case("INVERSE"));
    let grey = |sample: u16| {
        if is_padding(sample) {
            return 0;
        }
        let shade = voi.shade(value(sample)).clamp(0.0, 1.0);
        let shade = if inverted { 1.0 - shade } else { shade };
        (shade * 65535.0).round() as u16
    };
    let no_window = usable.is_none() && !vois.is_empty();
    let note = more_bits.map(Note::MoreBits).or(no_window.then_some(Note::NoWindow));
    let of_used = |(sample, count): (u16, &u32)| if *count > 0 { grey(sample) } else { 0 };
    Ok(((0..=u16::MAX).zip(&counts).map(of_used).collect(), note))
}

/// The difference of shade between the 5 % of pixels that are darkest and the 5 % that are brightest.
fn spread(voi: &Voi, values: &[(f64, u32)]) -> f64 {
    let mut shades: Vec<(f64, u32)> = values.iter().map(|&(x, count)| (voi.shade(x).clamp(0.0, 1.0), count)).collect();
    shades.sort_by(|a, b| a.0.total_cmp(&b.0));
    let part = shades.iter().map(|(_, count)| u64::from(*count)).sum::<u64>() / 20;
    percentile(shades.iter().rev(), part) - percentile(shades.iter(), part)
}

/// The first shade after `part` pixels.
fn percentile<'a>(shades: impl Iterator<Item = &'a (f64, u32)>, mut part: u64) -> f64 {
    for &(shade, count) in shades {
        let Some(rest) = part.checked_sub(count.into()) else { return shade };
        part = rest;
    }
    0.0
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
        let largest = entries.iter().copied().max().unwrap_or(0).max(1);
        // Some files overstate the depth by bits that no entry uses, or understate it.
        let full = if (1..=16).contains(&bits) { ((1_u32 << bits) - 1) as u16 } else { largest };
        let full = if largest <= full / 2 { largest } else { full.max(largest) };
        Ok(Self { first: first.into(), entries, full: full.into() })
    }

    fn at(&self, x: f64) -> f64 {
        let index = (x - self.first).round().clamp(0.0, (self.entries.len() - 1) as f64);
        self.entries[index as usize].into()
    }
}

/// The value of a sample after the Modality LUT, or after slope and intercept. A slope of 0 or without a value is ignored.
fn modality(header: &InMemDicomObject, shape: &Shape) -> Result<impl Fn(u16) -> f64 + use<>> {
    let item = find(header, tags::MODALITY_LUT_SEQUENCE).and_then(|e| e.items()?.first());
    let lut = item.map(|item| Lut::read(item, shape.signed).context("its Modality LUT cannot be used")).transpose()?;
    let slope = number(header, tags::RESCALE_SLOPE).filter(|&slope| slope != 0.0).unwrap_or(1.0);
    let intercept = number(header, tags::RESCALE_INTERCEPT).unwrap_or(0.0);
    let shape = shape.clone();
    Ok(move |sample| {
        let x = shape.stored(sample) as f64;
        lut.as_ref().map_or(slope * x + intercept, |lut| lut.at(x))
    })
}

/// The file's VOI LUTs, then its windows, as far as the standard allows them, in order.
fn vois(header: &InMemDicomObject, shape: &Shape) -> Result<Vec<Voi>> {
    let signed = shape.signed || number(header, tags::RESCALE_INTERCEPT).is_some_and(|intercept| intercept < 0.0);
    let items = find(header, tags::VOILUT_SEQUENCE).and_then(|e| e.items()).unwrap_or_default();
    let luts = items.iter().map(|item| Ok(Voi::Lut(Lut::read(item, signed).context("its VOI LUT cannot be used")?)));
    let mut vois = luts.collect::<Result<Vec<_>>>()?;
    let function = find(header, tags::VOILUT_FUNCTION).and_then(|e| Some(e.to_str().ok()?.trim().to_uppercase()));
    let (centers, widths) = (numbers(header, tags::WINDOW_CENTER), numbers(header, tags::WINDOW_WIDTH));
    vois.extend(centers.into_iter().zip(widths).filter_map(|(center, width)| {
        let (center, width) = (center?, width?);
        match function.as_deref() {
            Some("SIGMOID") if width > 0.0 => Some(Voi::Sigmoid { center, width }),
            Some("LINEAR_EXACT") if width > 0.0 => Some(Voi::LinearExact { center, width }),
            Some("SIGMOID" | "LINEAR_EXACT") => None,
            _ if width >= 1.0 => Some(Voi::Linear { center, width }),
            _ => None,
        }
    }));
    Ok(vois)
}

/// Whether a sample is padding outside the picture (C.7.5.1.1.2): all its bits, or the stored ones, are the value or within
/// the range. Padding may lie beyond the stored bits, and be written with another sign than the samples.
fn padding(header: &InMemDicomObject, shape: &Shape) -> impl Fn(u16) -> bool + use<> {
    let signed = shape.signed;
    let as_sample = move |value: i64| if signed { i64::from(value as u16 as i16) } else { i64::from(value as u16) };
    let value = |tag| -> Option<i64> { Some(as_sample(header.get(tag)?.to_int::<i64>().ok()?)) };
    let limits = value(tags::PIXEL_PADDING_VALUE).map(|first| {
        let last = value(tags::PIXEL_PADDING_RANGE_LIMIT).unwrap_or(first);
        first.min(last)..=first.max(last)
    });
    let shape = shape.clone();
    move |sample| {
        limits
            .as_ref()
            .is_some_and(|limits| limits.contains(&as_sample(sample.into())) || limits.contains(&shape.stored(sample)))
    }
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
    numbers(header, tag).into_iter().next()?
}

/// The values of an element, as far as they are numbers; some writers have decimal commas.
fn numbers(header: &InMemDicomObject, tag: Tag) -> Vec<Option<f64>> {
    let number = |text: &str| text.trim().replace(',', ".").parse().ok().filter(|v: &f64| v.is_finite());
    let text = find(header, tag).and_then(|element| element.to_str().ok()).unwrap_or_default();
    text.split('\\').map(number).collect()
}
