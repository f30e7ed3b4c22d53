//! Reads a file's structure, and writes what is used here as a clean DICOM file.
//!
//! The DICOM reader reserves the memory that an element claims, and calls itself for each nested sequence: as it stands, a
//! file of a few bytes takes 4 GB, and one of a few megabytes overflows the stack. It also stops at what files of
//! hospitals get wrong where it does not matter: the file's meta group, private elements, sequences of unknown kind, odd
//! lengths, what follows the picture. So it is given the elements that are read here alone, written by the rules.

use std::fs::File;
use std::io::{BufReader, Cursor, Read, Seek};
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use dicom_core::dictionary::{DataDictionary, DataDictionaryEntry};
use dicom_core::{Tag, VR};
use dicom_dictionary_std::{StandardDataDictionary, tags, uids};
use flate2::read::DeflateDecoder;

use super::coded;
use super::element::{header, is_long, number_size, put};

/// Sequences and items within each other; real files have a handful.
const MAX_DEPTH: usize = 64;

/// The most that a deflated file may inflate to: the largest picture and a long header.
const MAX_INFLATED: u64 = 256 << 20;

const UNDEFINED: u32 = u32::MAX;
const ITEM: Tag = Tag(0xfffe, 0xe000);
const ITEM_END: Tag = Tag(0xfffe, 0xe00d);
const SEQUENCE_END: Tag = Tag(0xfffe, 0xe0dd);

/// Elements of a data set that are read here, with all that is in them.
const READ: [Tag; 30] = [
    tags::SPECIFIC_CHARACTER_SET,
    tags::MODALITY,
    tags::STUDY_DATE,
    tags::PATIENT_ID,
    tags::PATIENT_BIRTH_DATE,
    tags::PATIENT_SEX,
    tags::PATIENT_AGE,
    tags::VIEW_POSITION,
    tags::SAMPLES_PER_PIXEL,
    tags::PHOTOMETRIC_INTERPRETATION,
    tags::NUMBER_OF_FRAMES,
    tags::ROWS,
    tags::COLUMNS,
    tags::BITS_ALLOCATED,
    tags::BITS_STORED,
    tags::HIGH_BIT,
    tags::PIXEL_REPRESENTATION,
    tags::PIXEL_PADDING_VALUE,
    tags::PIXEL_PADDING_RANGE_LIMIT,
    tags::WINDOW_CENTER,
    tags::WINDOW_WIDTH,
    tags::RESCALE_INTERCEPT,
    tags::RESCALE_SLOPE,
    tags::VOILUT_FUNCTION,
    tags::MODALITY_LUT_SEQUENCE,
    tags::VOILUT_SEQUENCE,
    tags::PRESENTATION_LUT_SHAPE,
    tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE,
    tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE,
    tags::PIXEL_DATA,
];

/// How much of a file is read.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Extent {
    /// The elements before the pixel data.
    Header,
    /// Those up to the pixel data.
    All,
}

/// How elements are written.
#[derive(Clone, Copy)]
struct Encoding {
    explicit: bool,
    big: bool,
}

const EXPLICIT: Encoding = Encoding { explicit: true, big: false };

/// An element's header.
struct Element {
    tag: Tag,
    /// The dictionary's kind where the file gives none.
    vr: VR,
    length: u32,
    /// The kind is UN: a sequence in it is implicit (PS3.5, 6.2.2).
    unknown: bool,
}

/// A source of bytes, its length and place.
struct Walk<R> {
    source: BufReader<R>,
    length: u64,
    position: u64,
    encoding: Encoding,
}

/// The file's elements that are read here, as a DICOM file without a preamble, in Explicit VR Little Endian.
///
/// # Errors
/// It is not DICOM, an element claims more than there is, or sequences nest too deep.
pub(super) fn clean(path: &Path, extent: Extent) -> Result<Vec<u8>> {
    let file = File::open(path)?;
    let length = file.metadata()?.len();
    let mut walk = Walk { source: BufReader::new(file), length, position: 0, encoding: EXPLICIT };
    let claimed = walk.meta()?;
    // Deflated Explicit VR Little Endian, and the two JPIP kinds that are deflated as well.
    let deflated = ["1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.4.95", "1.2.840.10008.1.2.4.205"];
    let data_set = if deflated.contains(&claimed.as_str()) {
        let mut inflated = Vec::new();
        DeflateDecoder::new(walk.source)
            .take(MAX_INFLATED + 1)
            .read_to_end(&mut inflated)
            .context("its deflated data are damaged")?;
        let length = inflated.len() as u64;
        ensure!(length <= MAX_INFLATED, "it inflates to more than {} MB", MAX_INFLATED >> 20);
        let source = BufReader::new(Cursor::new(inflated));
        Walk { source, length, position: 0, encoding: EXPLICIT }.data_set(extent)?
    } else {
        walk.data_set(extent)?
    };
    // The kind of the picture is what it is, whatever the file claims.
    let syntax = match data_set.fragments_at.and_then(|at| data_set.bytes.get(at..)) {
        None => uids::EXPLICIT_VR_LITTLE_ENDIAN,
        Some(_) if !["", "1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"].contains(&&*claimed) => {
            &claimed
        }
        Some(stream) => coded::syntax(stream).context("it does not say how its picture is compressed")?,
    };
    let mut meta = Vec::new();
    put(&mut meta, tags::TRANSFER_SYNTAX_UID, VR::UI, syntax.as_bytes().to_vec());
    let mut bytes = b"DICM".to_vec();
    put(&mut bytes, tags::FILE_META_INFORMATION_GROUP_LENGTH, VR::UL, (meta.len() as u32).to_le_bytes().to_vec());
    bytes.extend(meta);
    bytes.extend(data_set.bytes);
    Ok(bytes)
}

/// A data set in Explicit VR Little Endian, and where the fragments of its picture start.
struct DataSet {
    bytes: Vec<u8>,
    fragments_at: Option<usize>,
}

impl<R: Read + Seek> Walk<R> {
    fn bytes(&mut self, tag: Tag, length: u32) -> Result<Vec<u8>> {
        self.fits(tag, length)?;
        let mut bytes = vec![0; length as usize];
        self.source.read_exact(&mut bytes).context("it is cut short")?;
        self.position += u64::from(length);
        Ok(bytes)
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut bytes = [0; N];
        self.source.read_exact(&mut bytes).context("it is cut short")?;
        self.position += N as u64;
        Ok(bytes)
    }

    fn u16(&mut self) -> Result<u16> {
        let bytes = self.take()?;
        Ok(if self.encoding.big { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) })
    }

    fn u32(&mut self) -> Result<u32> {
        let bytes = self.take()?;
        Ok(if self.encoding.big { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) })
    }

    /// The next bytes, without passing over them, if there are so many.
    fn peek<const N: usize>(&mut self) -> Option<[u8; N]> {
        let mut bytes = [0; N];
        if self.position + N as u64 > self.length {
            return None;
        }
        self.source.read_exact(&mut bytes).ok()?;
        self.source.seek_relative(-(N as i64)).ok()?;
        Some(bytes)
    }

    /// Whether the next element gives its kind.
    fn is_explicit(&mut self) -> bool {
        self.peek().is_some_and(|[_, _, _, _, a, b]: [u8; 6]| VR::from_binary([a, b]).is_some())
    }

    fn element(&mut self) -> Result<Element> {
        let tag = Tag(self.u16()?, self.u16()?);
        if tag.group() == 0xfffe {
            return Ok(Element { tag, vr: VR::UN, length: self.u32()?, unknown: false });
        }
        let by_dictionary = || StandardDataDictionary.by_tag(tag).map_or(VR::UN, |entry| entry.vr().relaxed());
        if !self.encoding.explicit {
            return Ok(Element { tag, vr: by_dictionary(), length: self.u32()?, unknown: false });
        }
        let vr = VR::from_binary(self.take()?).unwrap_or(VR::UN);
        let length = if is_long(vr) {
            self.u16()?;
            self.u32()?
        } else {
            u32::from(self.u16()?)
        };
        let unknown = vr == VR::UN;
        Ok(Element { tag, vr: if unknown { by_dictionary() } else { vr }, length, unknown })
    }

    fn skip(&mut self, tag: Tag, length: u32) -> Result<()> {
        self.fits(tag, length)?;
        self.position += u64::from(length);
        self.source.seek_relative(i64::from(length))?;
        Ok(())
    }

    fn fits(&self, tag: Tag, length: u32) -> Result<()> {
        let left = self.length.saturating_sub(self.position);
        if u64::from(length) > left {
            bail!("it is cut short: element {tag} claims {length} bytes, of which {left} are there");
        }
        Ok(())
    }

    /// Passes over the preamble and the meta group, if they are there, and gives the transfer syntax that is claimed. The
    /// group's own length is not needed, and often wrong.
    fn meta(&mut self) -> Result<String> {
        let start: Option<[u8; 132]> = self.peek();
        let preamble = match start {
            Some(start) if start[128..] == *b"DICM" => 132,
            _ if self.peek() == Some(*b"DICM") => 4,
            Some(start) if start[..128] == [0; 128] => 128,
            _ => 0,
        };
        self.skip(ITEM, preamble)?;
        let is_group = |bytes: Option<[u8; 2]>| matches!(bytes, Some([2 | 8, 0] | [0, 8]));
        ensure!(preamble % 128 != 0 || is_group(self.peek()), "it is not a DICOM file: DICM is missing at byte 128");
        let mut syntax = String::new();
        while self.peek() == Some([2, 0]) {
            self.encoding.explicit = self.is_explicit();
            let Element { tag, length, .. } = self.element()?;
            if tag == tags::TRANSFER_SYNTAX_UID && length <= 64 {
                let value = self.bytes(tag, length)?;
                let value = String::from_utf8_lossy(&value);
                syntax = value.trim_matches(|c: char| c == '\0' || c.is_whitespace()).to_owned();
            } else {
                self.skip(tag, length)?;
            }
        }
        Ok(syntax)
    }

    /// The elements that are read here. How they are written shows in the first of them.
    fn data_set(mut self, extent: Extent) -> Result<DataSet> {
        let big = matches!(self.peek(), Some([0, low]) if low != 0);
        self.encoding = Encoding { explicit: self.is_explicit(), big };
        let mut bytes = Vec::new();
        while self.position < self.length {
            let element = self.element()?;
            if element.tag.group() >= 0x7fe0 && extent == Extent::Header {
                break;
            }
            if element.tag == tags::PIXEL_DATA {
                let fragments_at = (element.length == UNDEFINED).then_some(bytes.len());
                self.pixel_data(&element, true, &mut bytes)?;
                // What follows is outside the picture.
                return Ok(DataSet { bytes, fragments_at });
            }
            let embedded = element.tag.group() & 0xff00 == 0x6000 && element.tag.element() == 0x0102;
            self.copy(&element, READ.contains(&element.tag) || embedded, 0, &mut bytes)?;
        }
        Ok(DataSet { bytes, fragments_at: None })
    }

    /// Passes over an element, and copies it if it is kept.
    fn copy(&mut self, element: &Element, keep: bool, depth: usize, out: &mut Vec<u8>) -> Result<()> {
        let Element { tag, vr, length, .. } = *element;
        match tag {
            tags::PIXEL_DATA if length == UNDEFINED => return self.pixel_data(element, keep, out),
            _ if length == UNDEFINED || (keep && vr == VR::SQ) => return self.sequence(element, keep, depth, out),
            _ if keep => {
                let mut value = self.bytes(tag, length)?;
                let size = number_size(vr);
                let whole = value.len().is_multiple_of(size) || matches!(vr, VR::OW | VR::OB | VR::UN);
                ensure!(whole, "element {tag} has {length} bytes, which end within a number");
                if self.encoding.big {
                    value.chunks_exact_mut(size).for_each(<[u8]>::reverse);
                }
                put(out, tag, vr, value);
            }
            _ => self.skip(tag, length)?,
        }
        // Some writers add a byte after an odd length, and some do not.
        if length % 2 == 1 && !self.is_next(tag, 0) && self.is_next(tag, 1) {
            self.skip(tag, 1)?;
        }
        Ok(())
    }

    /// Whether an element that may follow `tag` starts after so many bytes.
    fn is_next(&mut self, tag: Tag, after: usize) -> bool {
        let Some(bytes) = self.peek::<7>() else { return self.position + after as u64 == self.length };
        let [a, b, c, d, e, f] = [0, 1, 2, 3, 4, 5].map(|i| bytes[after + i]);
        let of = if self.encoding.big { u16::from_be_bytes } else { u16::from_le_bytes };
        let next = Tag(of([a, b]), of([c, d]));
        let has_kind = !self.encoding.explicit || VR::from_binary([e, f]).is_some();
        next.group() == 0xfffe || (next > tag && has_kind)
    }

    /// Passes over a sequence of items.
    fn sequence(&mut self, element: &Element, keep: bool, depth: usize, out: &mut Vec<u8>) -> Result<()> {
        let Element { tag, length, unknown, .. } = *element;
        ensure!(depth < MAX_DEPTH, "its sequences nest more than {MAX_DEPTH} deep");
        let end = self.end(tag, length)?;
        let outer = self.encoding;
        let mut inner = Vec::new();
        while self.position < end {
            let item = self.element()?;
            match item.tag {
                SEQUENCE_END => break,
                ITEM => {}
                other => bail!("sequence {tag} has the element {other} in the place of an item"),
            }
            let item_end = self.end(item.tag, item.length)?;
            if unknown {
                self.encoding = Encoding { explicit: self.is_explicit(), big: false };
            }
            inner.extend(header(ITEM, VR::UN, UNDEFINED));
            while self.position < item_end {
                let element = self.element()?;
                if element.tag == ITEM_END {
                    break;
                }
                self.copy(&element, keep, depth + 1, &mut inner)?;
            }
            inner.extend(header(ITEM_END, VR::UN, 0));
        }
        self.encoding = outer;
        if keep {
            out.extend(header(tag, VR::SQ, UNDEFINED));
            out.extend(inner);
            out.extend(header(SEQUENCE_END, VR::UN, 0));
        }
        Ok(())
    }

    /// Where what has this length ends, at the latest.
    fn end(&self, tag: Tag, length: u32) -> Result<u64> {
        if length == UNDEFINED {
            return Ok(self.length);
        }
        self.fits(tag, length)?;
        Ok(self.position + u64::from(length))
    }

    /// Passes over pixel data: samples, or the fragments of a compressed picture.
    fn pixel_data(&mut self, element: &Element, keep: bool, out: &mut Vec<u8>) -> Result<()> {
        let Element { tag, vr, length, .. } = *element;
        if length != UNDEFINED {
            // The byte that makes an odd length even may be missing.
            let left = self.length - self.position;
            let there = if u64::from(length) == left + 1 { length - 1 } else { length };
            let mut value = self.bytes(tag, there)?;
            if self.encoding.big && vr == VR::OW {
                value.chunks_exact_mut(2).for_each(<[u8]>::reverse);
            }
            put(out, tag, VR::OW, value);
            return Ok(());
        }
        let mut fragments = header(tag, VR::OB, UNDEFINED);
        loop {
            // The end of the fragments may be missing where that of the codestream is there.
            if self.position == self.length {
                let is_over = fragments.strip_suffix(&[0]).unwrap_or(&fragments).ends_with(&[0xff, 0xd9]);
                ensure!(is_over, "it is cut short: the end of its compressed picture is missing");
                break;
            }
            let Element { tag, length, .. } = self.element()?;
            if tag != ITEM {
                break;
            }
            let mut value = self.bytes(tag, length)?;
            value.resize(value.len().next_multiple_of(2), 0);
            fragments.extend(header(ITEM, VR::UN, value.len() as u32));
            fragments.extend(value);
        }
        fragments.extend(header(SEQUENCE_END, VR::UN, 0));
        if keep {
            out.extend(fragments);
        }
        Ok(())
    }
}
