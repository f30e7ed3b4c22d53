//! The file of prepared images: `magic ‖ rows ‖ table (JSON) ‖ length of the table: u64 ‖ CRC-32C of it: u32 ‖ magic`,
//! numbers little endian. A row is `height · width` grey values; the table says which file each row came from.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use memmap2::Mmap;
use serde::{Deserialize, Serialize};
use tempfile::NamedTempFile;

const MAGIC: &[u8; 8] = b"VDMIMGS1";
const FOOTER: usize = 8 + 4 + MAGIC.len();

/// What rows depend on besides their files.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Recipe {
    /// Version of the decoding.
    pub decode_version: u32,
    /// Height in pixels.
    pub height: usize,
    /// Width in pixels.
    pub width: usize,
    /// How other shapes come to this one.
    pub fit: crate::data::settings::Fit,
    /// Where the source lies.
    pub source: String,
}

/// A row, and the file that it came from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// The file's path.
    pub file: String,
    /// The file's length in bytes.
    pub length: u64,
    /// When it was changed, in nanoseconds since 1970.
    pub modified_ns: u64,
    /// SHA-256 of its bytes, in hexadecimal.
    pub sha256: String,
    /// Number of the row.
    pub row: usize,
    /// CRC-32C of the row.
    pub crc: u32,
    /// Width of the file's own image.
    pub source_width: u32,
    /// Height of the file's own image.
    pub source_height: u32,
    /// Whether it shows colours.
    pub colour: bool,
}

#[derive(Serialize, Deserialize)]
struct Table {
    recipe: Recipe,
    prepared_ns: u64,
    entries: Vec<Entry>,
}

/// A file of prepared images that is whole.
#[derive(Debug)]
pub struct Store {
    /// The whole file.
    pub map: Mmap,
    /// Its rows by the path of the file that they came from.
    pub entries: HashMap<String, Entry>,
    /// When it was begun, in nanoseconds since 1970.
    pub prepared_ns: u64,
    size: usize,
}

impl Store {
    /// Where the rows begin in the file.
    pub const START: usize = MAGIC.len();

    /// Maps a file and checks everything but the rows.
    ///
    /// # Errors
    /// It cannot be read, was cut off or changed, or holds other images than the recipe's.
    pub fn open(path: &Path, recipe: &Recipe) -> Result<Self> {
        let file = File::open(path)?;
        let map = map(&file)?;
        ensure!(map.len() >= MAGIC.len() + FOOTER && map.starts_with(MAGIC), "it is no file of prepared images");
        let (body, footer) = map.split_at(map.len() - FOOTER);
        ensure!(footer.ends_with(MAGIC), "it was cut off");
        let length = u64::from_le_bytes(footer[..8].try_into()?);
        let crc = u32::from_le_bytes(footer[8..12].try_into()?);
        let start = usize::try_from(length).ok().and_then(|length| body.len().checked_sub(length));
        let table = &body[start.filter(|&start| start >= Self::START).context("its table is longer than it")?..];
        ensure!(crc32c::crc32c(table) == crc, "its table was changed");
        let Table { recipe: found, prepared_ns, entries } = serde_json::from_slice(table)?;
        ensure!(&found == recipe, "it holds images that were prepared otherwise");
        let size = recipe.height * recipe.width;
        let rows = (body.len() - table.len() - Self::START) / size;
        ensure!(entries.iter().all(|entry| entry.row < rows), "its table names rows that it has not");
        let entries = entries.into_iter().map(|entry| (entry.file.clone(), entry)).collect();
        Ok(Self { map, entries, prepared_ns, size })
    }

    /// The grey values of a row.
    pub fn row(&self, entry: &Entry) -> &[u8] {
        let start = Self::START + entry.row * self.size;
        &self.map[start..start + self.size]
    }

    /// Whether a row is as it was written.
    pub fn is_sound(&self, entry: &Entry) -> bool {
        crc32c::crc32c(self.row(entry)) == entry.crc
    }
}

#[expect(unsafe_code, reason = "a file is memory only as long as nobody cuts it; see the safety comment")]
fn map(file: &File) -> std::io::Result<Mmap> {
    // SAFETY: files of prepared images are never changed in place: a new one is renamed over the old, whose bytes live
    // on under the map. Somebody who cuts the file by hand while it is in use ends the program; damage to its bytes is
    // a wrong grey value at worst, as any byte is one.
    unsafe { Mmap::map(file) }
}

/// A file of prepared images in the making, a row after the other, beside the place that it will take.
pub struct Writer {
    file: BufWriter<NamedTempFile>,
    table: Table,
    size: usize,
}

impl Writer {
    /// Begins a file in a folder, under a name that begins with `prefix`.
    pub fn begin(folder: &Path, prefix: &str, recipe: Recipe, prepared_ns: u64) -> std::io::Result<Self> {
        let file = tempfile::Builder::new().prefix(prefix).suffix(".part").tempfile_in(folder)?;
        let mut file = BufWriter::with_capacity(1 << 20, file);
        file.write_all(MAGIC)?;
        let size = recipe.height * recipe.width;
        Ok(Self { file, table: Table { recipe, prepared_ns, entries: Vec::new() }, size })
    }

    /// Appends a row. The entry's number of the row and checksum are filled in.
    pub fn push(&mut self, pixels: &[u8], entry: Entry) -> std::io::Result<()> {
        if pixels.len() != self.size {
            return Err(std::io::Error::other("a row has the wrong size"));
        }
        self.file.write_all(pixels)?;
        let (row, crc) = (self.table.entries.len(), crc32c::crc32c(pixels));
        self.table.entries.push(Entry { row, crc, ..entry });
        Ok(())
    }

    /// Rows there are.
    pub fn len(&self) -> usize {
        self.table.entries.len()
    }

    /// Writes the table and puts the file, whole, in its place.
    pub fn finish(mut self, path: &Path) -> std::io::Result<()> {
        let table = serde_json::to_vec(&self.table)?;
        self.file.write_all(&table)?;
        self.file.write_all(&(table.len() as u64).to_le_bytes())?;
        self.file.write_all(&crc32c::crc32c(&table).to_le_bytes())?;
        self.file.write_all(MAGIC)?;
        let file = self.file.into_inner().map_err(std::io::IntoInnerError::into_error)?;
        file.as_file().sync_all()?;
        file.persist(path)?;
        Ok(())
    }
}
