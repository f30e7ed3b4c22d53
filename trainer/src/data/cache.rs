//! Images prepared once: decoded, resized and written to a file that is memory-mapped ever after.
//!
//! A file holds the grey values, image after image, then a table in JSON, the table's length, a checksum of all before
//! it, and a mark. Its name has two parts: which files, at which size, and a hash of their lengths and times, so that a
//! changed file is prepared again and the outdated cache goes away. It is written under another name and renamed when it
//! is whole; a lock lets one process prepare while others wait for it.

use std::fs::{self, File, OpenOptions};
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::UNIX_EPOCH;

use anyhow::{Context, Result, bail, ensure};
use memmap2::Mmap;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::dataset::Dataset;
use super::decode::{self, decode};
use super::entries::Entry;
use super::source::SourceSettings;
use crate::base::files;
use crate::base::progress::Progress;

/// What is known of a prepared file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Prepared {
    /// Its place among the prepared images; none if it is unreadable.
    pub row: Option<usize>,
    /// Why it is unreadable.
    pub unreadable: Option<String>,
    /// Width and height in the file.
    pub original: [u32; 2],
    /// Whether it has colours.
    pub colour: bool,
}

const MARK: &[u8; 8] = b"vdmcach1";
/// The table's length, the checksum, the mark.
const TRAILER: usize = 8 + 4 + 8;
/// Images that are in memory at once while they are prepared.
const CHUNK: usize = 64;

/// Prepares files, or finds them prepared. Unreadable ones are left out of the dataset, if that was asked for.
///
/// # Errors
/// A file is unreadable; the cache cannot be written.
pub fn prepare(
    entries: &[Entry],
    settings: &SourceSettings,
    height: usize,
    width: usize,
) -> Result<(Dataset, Vec<Prepared>)> {
    let folder = match &settings.cache {
        Some(folder) => folder.clone(),
        None => dirs::cache_dir().context("there is no folder for caches: pass --cache DIR")?.join("medical-vdm"),
    };
    let cannot = || format!("cannot keep prepared images in {} (--cache DIR names another place)", folder.display());
    fs::create_dir_all(&folder).with_context(cannot)?;
    let (source, state) = keys(entries, height, width)?;
    let path = folder.join(format!("{source}-{state}.images"));
    let open = |path: &Path| open(path, entries.len(), height, width);
    let prepared = match open(&path) {
        Ok(found) => found,
        Err(_) => {
            let lock = folder.join(format!("{source}.lock"));
            let lock = OpenOptions::new().create(true).truncate(false).write(true).open(&lock).with_context(cannot)?;
            if lock.try_lock().is_err() {
                eprintln!("waiting for another run that prepares the same images");
                lock.lock().with_context(cannot)?;
            }
            match open(&path) {
                Ok(found) => found,
                Err(_) => {
                    clear(&folder, &source).with_context(cannot)?;
                    write(&path, &source, entries, height, width, settings.skip_unreadable).with_context(cannot)?;
                    open(&path).with_context(cannot)?
                }
            }
        }
    };
    let (map, table) = prepared;
    let unreadable: Vec<_> = table.iter().zip(entries).filter(|(p, _)| p.unreadable.is_some()).collect();
    if let (false, Some((prepared, _))) = (settings.skip_unreadable, unreadable.first()) {
        bail!(
            "{}\n  hint: pass --skip-unreadable to leave such files out",
            prepared.unreadable.as_deref().unwrap_or_default()
        );
    }
    let readable: Vec<&Entry> = table.iter().zip(entries).filter(|(p, _)| p.row.is_some()).map(|(_, e)| e).collect();
    ensure!(!readable.is_empty(), "none of the {} image files can be read", entries.len());
    let names = readable.iter().map(|entry| entry.name.clone()).collect();
    let mut data = Dataset::mapped(height, width, map, names)?;
    data.skipped = unreadable.len();
    data.patients = readable.iter().map(|entry| entry.patient.clone()).collect();
    Ok((data, table))
}

/// Which files at which size, and their state.
fn keys(entries: &[Entry], height: usize, width: usize) -> Result<(String, String)> {
    let mut source = Sha256::new();
    source.update(format!("{height} {width} {}\n", entries.len()));
    let mut state = Sha256::new();
    state.update(format!("{}\n", decode::VERSION));
    for entry in entries {
        let path = std::path::absolute(&entry.path)?;
        let cannot = || format!("cannot read {}", path.display());
        let metadata = fs::metadata(&path).with_context(cannot)?;
        let modified = metadata.modified().with_context(cannot)?.duration_since(UNIX_EPOCH).unwrap_or_default();
        source.update(path.as_os_str().as_encoded_bytes());
        source.update([0]);
        state.update(format!("{} {}\n", metadata.len(), modified.as_nanos()));
    }
    let hex = |hash: Sha256| -> String { hash.finalize().iter().take(12).map(|byte| format!("{byte:02x}")).collect() };
    Ok((hex(source), hex(state)))
}

/// Removes outdated and half-written caches of the same files.
fn clear(folder: &Path, source: &str) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let partial = format!("{}{source}", files::PARTIAL);
        if name.starts_with(&partial) || (name.starts_with(source) && name.ends_with(".images")) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

fn write(path: &Path, source: &str, entries: &[Entry], height: usize, width: usize, skip: bool) -> Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let partial = tempfile::Builder::new().prefix(&format!("{}{source}-", files::PARTIAL)).tempfile_in(folder)?;
    let progress = Mutex::new(Progress::new("preparing images", 0, entries.len() as u64));
    let done = AtomicUsize::new(0);
    let mut writer = BufWriter::new(partial.as_file());
    let (mut table, mut checksum, mut rows) = (Vec::with_capacity(entries.len()), 0, 0);
    for chunk in entries.chunks(CHUNK) {
        let decoded: Vec<_> = chunk
            .par_iter()
            .map(|entry| {
                let result =
                    decode(&entry.path, height, width).map(|image| (image.pixels, image.original, image.colour));
                let count = done.fetch_add(1, Ordering::Relaxed) + 1;
                if let Ok(mut progress) = progress.lock() {
                    progress.set(count as u64, String::new);
                }
                result
            })
            .collect();
        for image in decoded {
            match image {
                Ok((pixels, original, colour)) => {
                    checksum = crc32c::crc32c_append(checksum, &pixels);
                    writer.write_all(&pixels)?;
                    table.push(Prepared { row: Some(rows), unreadable: None, original, colour });
                    rows += 1;
                }
                Err(error) if skip => {
                    let unreadable = Some(format!("{error:#}"));
                    table.push(Prepared { row: None, unreadable, original: [0; 2], colour: false });
                }
                // Nothing is kept: the file may be mended, and the rest is soon done again.
                Err(error) => return Err(Unreadable(format!("{error:#}")).into()),
            }
        }
    }
    let json = serde_json::to_vec(&table)?;
    let length = (json.len() as u64).to_le_bytes();
    checksum = crc32c::crc32c_append(crc32c::crc32c_append(checksum, &json), &length);
    writer.write_all(&json)?;
    writer.write_all(&length)?;
    writer.write_all(&checksum.to_le_bytes())?;
    writer.write_all(MARK)?;
    writer.flush()?;
    drop(writer);
    partial.as_file().sync_all()?;
    partial.persist(path)?;
    Ok(())
}

/// A file that ends the preparation.
#[derive(Debug)]
pub struct Unreadable(pub String);

impl std::fmt::Display for Unreadable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}\n  hint: pass --skip-unreadable to leave such files out", self.0)
    }
}

impl std::error::Error for Unreadable {}

/// Maps a cache and checks it.
fn open(path: &Path, entries: usize, height: usize, width: usize) -> Result<(Mmap, Vec<Prepared>)> {
    let file = File::open(path)?;
    let map = map(&file)?;
    ensure!(map.len() >= TRAILER && map.ends_with(MARK), "it is not whole");
    let end = map.len() - TRAILER;
    let word = |at: usize, length: usize| &map[at..at + length];
    let length = u64::from_le_bytes(word(end, 8).try_into()?) as usize;
    let checksum = u32::from_le_bytes(word(end + 8, 4).try_into()?);
    ensure!(crc32c::crc32c(&map[..end + 8]) == checksum, "it is damaged");
    let start = end.checked_sub(length).context("it is damaged")?;
    let table: Vec<Prepared> = serde_json::from_slice(&map[start..end])?;
    let rows = table.iter().filter(|prepared| prepared.row.is_some()).count();
    ensure!(table.len() == entries && start == rows * height * width, "it is damaged");
    Ok((map, table))
}

#[expect(unsafe_code, reason = "a map is undefined where its file is changed: caches are replaced by renaming only")]
fn map(file: &File) -> Result<Mmap> {
    // SAFETY: caches are never written to after they have their name, see `write`.
    Ok(unsafe { Mmap::map(file) }?)
}
