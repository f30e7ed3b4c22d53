//! Checks a file's structure before it is read: the lengths that it claims, and how deep its sequences nest.
//!
//! The DICOM reader reserves the memory that an element claims, and calls itself for each nested sequence: without this
//! check, a file of a few bytes takes 4 GB, and one of a few megabytes overflows the stack.

use std::fs::File;
use std::io::{BufReader, Cursor, Read, Seek, SeekFrom};
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use dicom_core::dictionary::{DataDictionary, DataDictionaryEntry};
use dicom_core::{Tag, VR};
use dicom_dictionary_std::StandardDataDictionary;
use flate2::read::DeflateDecoder;

/// Sequences and items within each other; real files have a handful.
const MAX_DEPTH: usize = 64;

/// The most that a deflated file may inflate to: the largest picture and a long header.
const MAX_INFLATED: u64 = 256 << 20;

const UNDEFINED: u32 = u32::MAX;
const ITEM: Tag = Tag(0xfffe, 0xe000);
const ITEM_END: Tag = Tag(0xfffe, 0xe00d);
const SEQUENCE_END: Tag = Tag(0xfffe, 0xe0dd);
const PIXEL_DATA: Tag = Tag(0x7fe0, 0x0010);

/// How much of a file is read.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Extent {
    /// The elements before the pixel data.
    Header,
    /// All elements.
    All,
}

/// How elements are written.
#[derive(Clone, Copy)]
struct Encoding {
    explicit: bool,
    big: bool,
}

/// A source of bytes, its length and place.
struct Walk<R> {
    source: R,
    length: u64,
    position: u64,
    encoding: Encoding,
}

/// Checks the file as far as it will be read.
///
/// # Errors
/// It is not DICOM, an element claims more than there is, or sequences nest too deep.
pub(super) fn check(path: &Path, extent: Extent) -> Result<()> {
    let file = File::open(path)?;
    let length = file.metadata()?.len();
    let encoding = Encoding { explicit: true, big: false };
    let mut walk = Walk { source: BufReader::new(file), length, position: 0, encoding };
    let syntax = walk.meta()?;
    walk.encoding = match syntax.as_str() {
        "1.2.840.10008.1.2" => Encoding { explicit: false, big: false },
        "1.2.840.10008.1.2.2" => Encoding { explicit: true, big: true },
        _ => encoding,
    };
    // Deflated Explicit VR Little Endian, and the two JPIP kinds that are deflated as well.
    if matches!(syntax.as_str(), "1.2.840.10008.1.2.1.99" | "1.2.840.10008.1.2.4.95" | "1.2.840.10008.1.2.4.205") {
        let mut inflated = Vec::new();
        DeflateDecoder::new(walk.source)
            .take(MAX_INFLATED + 1)
            .read_to_end(&mut inflated)
            .context("its deflated data are damaged")?;
        let length = inflated.len() as u64;
        ensure!(length <= MAX_INFLATED, "it inflates to more than {} MB", MAX_INFLATED >> 20);
        return Walk { source: Cursor::new(inflated), length, position: 0, encoding }.data_set(extent);
    }
    walk.data_set(extent)
}

impl<R: Read + Seek> Walk<R> {
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

    /// Tag, kind of value and length.
    fn element(&mut self) -> Result<(Tag, VR, u32)> {
        let tag = Tag(self.u16()?, self.u16()?);
        if tag.group() == 0xfffe {
            return Ok((tag, VR::UN, self.u32()?));
        }
        if !self.encoding.explicit {
            let vr = StandardDataDictionary.by_tag(tag).map_or(VR::UN, |entry| entry.vr().relaxed());
            return Ok((tag, vr, self.u32()?));
        }
        let vr = VR::from_binary(self.take()?).unwrap_or(VR::UN);
        let is_long = matches!(
            vr,
            VR::OB
                | VR::OD
                | VR::OF
                | VR::OL
                | VR::OV
                | VR::OW
                | VR::SQ
                | VR::SV
                | VR::UC
                | VR::UN
                | VR::UR
                | VR::UT
                | VR::UV
        );
        let length = if is_long {
            self.u16()?;
            self.u32()?
        } else {
            u32::from(self.u16()?)
        };
        Ok((tag, vr, length))
    }

    /// Passes over a value. One that ends within a number is damaged, and would put the reader out of step with this.
    fn skip_value(&mut self, tag: Tag, vr: VR, length: u32) -> Result<()> {
        let size = match vr {
            VR::US | VR::SS | VR::OW => 2,
            VR::UL | VR::SL | VR::FL | VR::AT | VR::OF | VR::OL => 4,
            VR::FD | VR::OD | VR::OV | VR::SV | VR::UV => 8,
            _ => 1,
        };
        ensure!(length.is_multiple_of(size), "element {tag} has {length} bytes, which end within a number");
        self.skip(tag, length)
    }

    fn skip(&mut self, tag: Tag, length: u32) -> Result<()> {
        self.fits(tag, length)?;
        self.position += u64::from(length);
        self.source.seek(SeekFrom::Current(i64::from(length)))?;
        Ok(())
    }

    fn fits(&self, tag: Tag, length: u32) -> Result<()> {
        let left = self.length.saturating_sub(self.position);
        if u64::from(length) > left {
            bail!("it is cut short: element {tag} claims {length} bytes, of which {left} are there");
        }
        Ok(())
    }

    /// Walks the preamble and the meta group, and gives the transfer syntax.
    fn meta(&mut self) -> Result<String> {
        let mut start = [0; 132];
        let is_dicom = self.source.read_exact(&mut start).is_ok() && start[128..] == *b"DICM";
        ensure!(is_dicom, "it is not a DICOM file: DICM is missing at byte 128");
        self.position = 132;
        let (tag, _, length) = self.element()?;
        ensure!(tag == Tag(0x0002, 0x0000) && length == 4, "its file meta group does not start with its length");
        let group = self.u32()?;
        self.fits(tag, group)?;
        let end = self.position + u64::from(group);
        let mut syntax = None;
        while self.position < end {
            let (tag, _, length) = self.element()?;
            if tag == Tag(0x0002, 0x0010) && length <= 64 {
                let mut value = vec![0; length as usize];
                self.source.read_exact(&mut value).context("it is cut short")?;
                self.position += u64::from(length);
                let value = String::from_utf8_lossy(&value);
                syntax = Some(value.trim_matches(|c: char| c == '\0' || c.is_whitespace()).to_owned());
            } else {
                self.skip(tag, length)?;
            }
        }
        ensure!(self.position == end, "its file meta group is longer than it claims");
        syntax.context("its transfer syntax is not given")
    }

    fn data_set(mut self, extent: Extent) -> Result<()> {
        // Ends of what is open: sequences and items, with none where a delimiter ends them.
        let mut open: Vec<Option<u64>> = Vec::new();
        let mut fragments = false;
        while self.position < self.length {
            while open.last().is_some_and(|end| end.is_some_and(|end| self.position >= end)) {
                open.pop();
            }
            let (tag, vr, length) = self.element()?;
            if open.is_empty() && extent == Extent::Header && tag.group() >= 0x7fe0 {
                return Ok(());
            }
            match tag {
                ITEM if fragments => self.skip(tag, length)?,
                ITEM_END | SEQUENCE_END => {
                    open.pop();
                    fragments = false;
                }
                PIXEL_DATA if length == UNDEFINED => {
                    open.push(None);
                    fragments = true;
                }
                _ if vr == VR::SQ || tag == ITEM || length == UNDEFINED => {
                    let end = (length != UNDEFINED).then(|| self.position + u64::from(length));
                    if end.is_some() {
                        self.fits(tag, length)?;
                    }
                    open.push(end);
                }
                _ => self.skip_value(tag, vr, length)?,
            }
            ensure!(open.len() <= MAX_DEPTH, "its sequences nest more than {MAX_DEPTH} deep");
        }
        Ok(())
    }
}
