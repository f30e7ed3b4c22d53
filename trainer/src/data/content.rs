//! What a file is by its first bytes, whatever its name.

use std::fs::File;
use std::io::Read;
use std::path::Path;

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// A picture that is read.
    Png,
    /// A picture that is read.
    Jpeg,
    /// A DICOM file, with or without its preamble.
    Dicom,
    /// Something else that is told by a name.
    Other(&'static str),
    /// Nothing that is known here.
    Unknown,
}

/// Bytes that are enough to tell.
const HEAD: usize = 512;

/// Where bytes stand, and what has them there.
const MAGIC: [(usize, &[u8], Content); 26] = [
    (0, b"\x89PNG\r\n\x1a\n", Content::Png),
    (0, b"\xff\xd8\xff", Content::Jpeg),
    (128, b"DICM", Content::Dicom),
    (0, b"DICM", Content::Dicom),
    (8, b"WEBP", Content::Other("WebP picture")),
    (0, b"GIF8", Content::Other("GIF picture")),
    (0, b"BM", Content::Other("BMP picture")),
    (0, b"II*\0", Content::Other("TIFF picture")),
    (0, b"MM\0*", Content::Other("TIFF picture")),
    (4, b"ftypavif", Content::Other("AVIF picture")),
    (4, b"ftyphei", Content::Other("HEIC picture")),
    (4, b"ftypmif1", Content::Other("HEIC picture")),
    (4, b"jP  ", Content::Other("JPEG 2000 picture")),
    (0, b"\xff\x4f\xff\x51", Content::Other("JPEG 2000 picture")),
    (0, b"\xff\x0a", Content::Other("JPEG XL picture")),
    (4, b"JXL ", Content::Other("JPEG XL picture")),
    (0, b"8BPS", Content::Other("Photoshop picture")),
    (344, b"n+1\0", Content::Other("NIfTI volume")),
    (0, b"NRRD", Content::Other("NRRD volume")),
    (0, b"\x93NUMPY", Content::Other("NumPy array")),
    (0, b"%PDF", Content::Other("PDF document")),
    (0, b"PK\x03\x04", Content::Other("ZIP archive, which must be unpacked")),
    (0, b"\x1f\x8b", Content::Other("gzip archive, which must be unpacked")),
    (
        0,
        b"version https://git-lfs",
        Content::Other("Git LFS pointer in the place of the file, which `git lfs pull` gets"),
    ),
    (0, b"/annex/objects", Content::Other("git-annex pointer in the place of the file, which `git annex get` gets")),
    (0, b"\x00\x05\x16\x07", Content::Other("AppleDouble file, macOS's notes on another file")),
];

impl Content {
    /// What a file is; [`Unknown`](Self::Unknown) too where it cannot be read.
    pub fn of(path: &Path) -> Self {
        let mut head = Vec::new();
        let read = File::open(path).and_then(|file| file.take(HEAD as u64).read_to_end(&mut head));
        if read.is_ok() { Self::of_bytes(&head) } else { Self::Unknown }
    }

    /// What starts with these bytes.
    pub fn of_bytes(head: &[u8]) -> Self {
        let has = |at: usize, bytes: &[u8]| head.get(at..).is_some_and(|rest| rest.starts_with(bytes));
        if let Some((_, _, content)) = MAGIC.iter().find(|(at, bytes, _)| has(*at, bytes)) {
            return *content;
        }
        if is_data_set(head) || (head.iter().take(128).all(|&b| b == 0) && head.get(128..).is_some_and(is_data_set)) {
            return Self::Dicom;
        }
        let text = String::from_utf8_lossy(head).trim_start_matches('\u{feff}').trim_start().to_ascii_lowercase();
        match text {
            text if text.starts_with("<!doctype html") || text.starts_with("<html") => Self::Other("web page"),
            text if text.starts_with("<?xml") => Self::Other("XML text, such as a server's error"),
            _ => Self::Unknown,
        }
    }
}

/// Whether these bytes start a bare DICOM data set: an element of group 2 or 8, and another one after it.
fn is_data_set(head: &[u8]) -> bool {
    let u16_at = |at: usize| Some(u16::from_le_bytes([*head.get(at)?, *head.get(at + 1)?]));
    let tag_at = |at: usize| Some((u16_at(at)?, u16_at(at + 2)?));
    let follows = || -> Option<bool> {
        let first = tag_at(0)?;
        let explicit = head.get(4..6)?.iter().all(u8::is_ascii_uppercase);
        // The few kinds of these groups with a long length are not the first.
        let length = usize::from(u16_at(if explicit { 6 } else { 4 })?);
        let second = tag_at(8 + length)?;
        let near = |(group, element)| matches!(group, 2 | 8) && element < 0x1000;
        Some(near(first) && near(second) && second > first && (explicit || u16_at(6)? == 0))
    };
    follows().unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_told_by_their_first_bytes() {
        for (bytes, content) in [
            (b"\x89PNG\r\n\x1a\n..".as_slice(), Content::Png),
            (b"\xff\xd8\xff\xe0", Content::Jpeg),
            (b"RIFF\x10\0\0\0WEBPVP8 ", Content::Other("WebP picture")),
            (b"\xef\xbb\xbf\n<!DOCTYPE HTML><html>", Content::Other("web page")),
            (b"\x08\0\x05\0CS\x04\0ABCD\x08\0\x16\0UI", Content::Dicom),
            (b"\x08\0\x05\0\x04\0\0\0ABCD\x08\0\x16\0", Content::Dicom),
            (b"\x08\0\x05\0\x04\0\0\0ABCD\x07\0\x16\0", Content::Unknown),
            (b"", Content::Unknown),
            (b"path,label\n", Content::Unknown),
        ] {
            assert_eq!(Content::of_bytes(bytes), content, "{bytes:?}");
        }
        let named = [&[0; 128], b"DICM".as_slice()].concat();
        assert_eq!(Content::of_bytes(&named), Content::Dicom);
    }
}
