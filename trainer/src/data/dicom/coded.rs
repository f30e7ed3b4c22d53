//! Checks compressed pixel data before they are decoded: the size in the codestream must be the size in the file's
//! header, or a decoder would reserve memory for, or write past, another picture.

use anyhow::{Result, bail, ensure};
use dicom_dictionary_std::uids;
use dicom_object::mem::InMemElement;

use super::shape::Shape;

/// How pixel data are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coding {
    /// Plain samples.
    Native,
    /// PS3.5 annex G.
    Rle,
    /// JPEG: baseline or lossless.
    Jpeg,
    /// JPEG 2000.
    Jpeg2000,
}

/// A codestream's own header.
#[derive(Debug, PartialEq, Eq)]
struct Frame {
    /// Of a JPEG's coding process.
    marker: u8,
    width: u32,
    height: u32,
    components: u16,
    bits: u8,
}

impl Coding {
    /// The coding of a transfer syntax (PS3.6 annex A).
    ///
    /// # Errors
    /// It cannot be decoded.
    pub(super) fn of(syntax: &str) -> Result<Self> {
        let name = match syntax.strip_prefix("1.2.840.10008.1.2").unwrap_or("?") {
            "" | ".1" | ".2" | ".1.98" | ".1.99" => return Ok(Self::Native),
            ".5" => return Ok(Self::Rle),
            ".4.50" | ".4.51" | ".4.57" | ".4.70" => return Ok(Self::Jpeg),
            ".4.90" | ".4.91" | ".4.201" | ".4.202" | ".4.203" => return Ok(Self::Jpeg2000),
            ".4.80" | ".4.81" => "JPEG-LS",
            ".4.110" | ".4.111" | ".4.112" => "JPEG XL",
            _ => "an unusual",
        };
        bail!(
            "its pixel data have {name} compression ({syntax}), which cannot be decoded: decompress it first, for \
             example by `gdcmconv --raw`"
        )
    }

    /// Checks what the codestream says against the file's claims.
    ///
    /// # Errors
    /// They differ, or there is no codestream.
    pub(super) fn check(self, pixel_data: &InMemElement, shape: &Shape) -> Result<()> {
        if self == Self::Native {
            return Ok(());
        }
        let stream = pixel_data.fragments().unwrap_or_default().concat();
        let frame = match self {
            Self::Native => None,
            Self::Rle => {
                let segments = u32::from(shape.bits_allocated / 8);
                let found = stream.get(..4).map(|s| u32::from_le_bytes([s[0], s[1], s[2], s[3]]));
                ensure!(stream.len() >= 64 && found == Some(segments), "its RLE header is damaged");
                return Ok(());
            }
            Self::Jpeg => jpeg_frame(&stream),
            Self::Jpeg2000 => jpeg2000_frame(&stream),
        };
        let Some(frame) = frame else { bail!("its compressed picture has no readable header") };
        let Frame { width, height, components, bits, .. } = frame;
        if (width as usize, height as usize) != (shape.columns, shape.rows) {
            bail!(
                "its compressed picture is {width}×{height} pixels, where the file claims {}×{}",
                shape.columns,
                shape.rows
            );
        }
        ensure!(components == 1, "its compressed picture has {components} components: one, grey, is accepted");
        if u16::from(bits) > shape.bits_allocated || (self == Self::Jpeg && (bits > 8) != (shape.bits_allocated > 8)) {
            bail!("its compressed picture has {bits} bits a sample, where the file claims {}", shape.bits_allocated);
        }
        Ok(())
    }
}

/// The transfer syntax of fragments that start somewhere in these bytes, where the file gives none: the first codestream's.
pub(super) fn syntax(fragments: &[u8]) -> Option<&'static str> {
    let start = |bytes: &[u8]| fragments.windows(bytes.len()).position(|window| window == bytes);
    if start(&[0xff, 0x4f, 0xff, 0x51]).is_some() {
        return Some(uids::JPEG2000);
    }
    let Some(jpeg) = start(&[0xff, 0xd8, 0xff]) else {
        // The number of segments, and the place of the first.
        let is_rle = |w: &[u8]| matches!(w, [1..=15, 0, 0, 0, 64, 0, 0, 0]);
        return fragments.windows(8).any(is_rle).then_some(uids::RLE_LOSSLESS);
    };
    Some(match jpeg_frame(&fragments[jpeg..])?.marker {
        0xc3 => uids::JPEG_LOSSLESS,
        0xc0 => uids::JPEG_BASELINE8_BIT,
        _ => uids::JPEG_EXTENDED12_BIT,
    })
}

/// The frame header (SOF) of ITU-T T.81, B.2.2.
fn jpeg_frame(stream: &[u8]) -> Option<Frame> {
    let mut rest = stream.strip_prefix(&[0xff, 0xd8])?;
    loop {
        let start = rest.iter().position(|&b| b != 0xff)?;
        let marker = *rest.get(start).filter(|_| start > 0)?;
        rest = &rest[start + 1..];
        let segment = rest.get(..usize::from(u16::from_be_bytes([*rest.first()?, *rest.get(1)?])))?;
        let is_frame = (0xc0..=0xcf).contains(&marker) && !matches!(marker, 0xc4 | 0xc8 | 0xcc);
        if is_frame {
            let [_, _, bits, h1, h0, w1, w0, components] = *segment.first_chunk::<8>()?;
            let (height, width) = (u16::from_be_bytes([h1, h0]).into(), u16::from_be_bytes([w1, w0]).into());
            return Some(Frame { marker, width, height, components: components.into(), bits });
        }
        rest = &rest[segment.len().max(2)..];
    }
}

/// The image and tile size (SIZ) of ITU-T T.800, A.5.1, alone or in a JP2 file's box.
fn jpeg2000_frame(stream: &[u8]) -> Option<Frame> {
    let start = stream.windows(4).position(|w| w == [0xff, 0x4f, 0xff, 0x51])?;
    let siz = stream.get(start + 4..)?.first_chunk::<37>()?;
    let u32_at = |i: usize| u32::from_be_bytes([siz[i], siz[i + 1], siz[i + 2], siz[i + 3]]);
    let (width, height) = (u32_at(4).checked_sub(u32_at(12))?, u32_at(8).checked_sub(u32_at(16))?);
    let components = u16::from_be_bytes([siz[36], *stream.get(start + 41)?]);
    // The first component's depth less one, its sign bit apart, then its subsampling, which grey has none of.
    let [depth, dx, dy] = *stream.get(start + 42..)?.first_chunk::<3>()?;
    (dx == 1 && dy == 1).then_some(Frame { marker: 0, width, height, components, bits: (depth & 0x7f) + 1 })
}
