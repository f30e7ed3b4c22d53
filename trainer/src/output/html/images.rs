//! The run's pictures, as data URIs.

use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use image::codecs::jpeg::JpegEncoder;
use image::{ImageFormat, ImageReader, Limits};
use vdm::axis::evenly;

use crate::output::text::escape;

/// The maximum number of grids to show.
const GRIDS: usize = 8;
/// A PNG file up to this size goes into the page unchanged.
const SMALL: usize = 192 << 10;
/// Larger ones are reduced to this side, and become JPEG.
const SIDE: u32 = 1280;
const QUALITY: u8 = 85;
/// Larger files are not read.
const LARGEST_FILE: u64 = 64 << 20;
const LARGEST_SIDE: u32 = 20_000;
const LARGEST_MEMORY: u64 = 512 << 20;

/// The pictures of a page, up to a total size.
pub struct Album {
    /// Characters that further pictures may take.
    room: usize,
}

impl Album {
    /// An album with room for this many characters.
    pub fn new(room: usize) -> Self {
        Self { room }
    }

    /// A picture with its caption, or a sentence that says why it is missing.
    pub fn figure(&mut self, path: &Path, title: &str, alt: &str, caption: &str) -> String {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let content = match data_uri(path) {
            Ok((uri, [width, height])) if uri.len() <= self.room => {
                self.room -= uri.len();
                format!(
                    "<img src=\"{uri}\" width=\"{width}\" height=\"{height}\" alt=\"{}\"><figcaption>{}</figcaption>",
                    escape(alt),
                    escape(caption)
                )
            }
            Ok(_) => missing(&format!("{name} was left out: the page would become too large.")),
            Err(why) => missing(&format!("{name} {why}.")),
        };
        format!("<figure class=\"card picture\"><h3>{}</h3>{content}</figure>\n", escape(title))
    }
}

/// A sentence in place of something that is missing.
pub fn missing(sentence: &str) -> String {
    format!("<p class=\"missing\">{}</p>", escape(sentence))
}

/// The picture, and its size in pixels; or what is wrong with it.
fn data_uri(path: &Path) -> Result<(String, [u32; 2]), String> {
    let size = fs::metadata(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => "is not in the run's folder (yet)".to_owned(),
        _ => format!("cannot be read: {error}"),
    })?;
    if size.len() > LARGEST_FILE {
        return Err(format!("is too large: {} MiB", size.len() >> 20));
    }
    let bytes = fs::read(path).map_err(|error| format!("cannot be read: {error}"))?;
    let damaged = |error| format!("is damaged: {error}");
    let mut reader = ImageReader::new(Cursor::new(&bytes));
    reader.set_format(ImageFormat::Png);
    let mut limits = Limits::default();
    limits.max_image_width = Some(LARGEST_SIDE);
    limits.max_image_height = Some(LARGEST_SIDE);
    limits.max_alloc = Some(LARGEST_MEMORY);
    reader.limits(limits);
    let image = reader.decode().map_err(damaged)?;
    let size = [image.width(), image.height()];
    if bytes.len() <= SMALL {
        return Ok((format!("data:image/png;base64,{}", STANDARD.encode(&bytes)), size));
    }
    let image = if size[0].max(size[1]) > SIDE { image.thumbnail(SIDE, SIDE) } else { image };
    let mut jpeg = Vec::new();
    let encoder = JpegEncoder::new_with_quality(&mut jpeg, QUALITY);
    // Grey stays grey; JPEG has no transparency.
    let result = match image.color().has_color() {
        false => image.to_luma8().write_with_encoder(encoder),
        true => image.to_rgb8().write_with_encoder(encoder),
    };
    result.map_err(damaged)?;
    Ok((format!("data:image/jpeg;base64,{}", STANDARD.encode(&jpeg)), [image.width(), image.height()]))
}

/// The files `step-NUMBER.png` of a folder to show, in order of their numbers, and how many there are in all.
pub fn grids(folder: &Path) -> (Vec<(u64, PathBuf)>, usize) {
    let number = |path: &Path| -> Option<u64> {
        let name = path.file_name()?.to_str()?;
        name.strip_prefix("step-")?.strip_suffix(".png")?.parse().ok()
    };
    let entries = fs::read_dir(folder).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()));
    let mut all: Vec<(u64, PathBuf)> = entries.filter_map(|path| Some((number(&path)?, path))).collect();
    all.sort();
    let count = all.len();
    (evenly(count, GRIDS).into_iter().map(|index| all[index].clone()).collect(), count)
}
