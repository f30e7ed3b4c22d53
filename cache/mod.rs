//! Images prepared once: decoded, resized and kept in a file that is mapped into memory.
//!
//! A source has one file of prepared images a size, in the user's cache folder. It is trusted as far as a file's
//! length and time of change are those it was prepared from; what changed is prepared anew and the rest is taken
//! over. Every row carries a checksum. The file appears whole or not at all, and of several processes one prepares
//! while the others wait.

mod store;

use std::fs::{self, File, TryLockError};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, anyhow};
use rayon::prelude::*;
use sha2::{Digest, Sha256};

use self::store::{Entry, Recipe, Store, Writer};
use super::dataset::{Pixels, hex};
use super::decode;
use super::settings::Fit;
use crate::progress::Progress;

/// Where images are prepared, and to what.
#[derive(Clone, Debug)]
pub struct Preparation<'a> {
    /// The source: sources share nothing.
    pub root: &'a Path,
    /// Height in pixels.
    pub height: usize,
    /// Width in pixels.
    pub width: usize,
    /// How other shapes come to this one.
    pub fit: Fit,
    /// Folder of prepared images; the user's cache folder where absent.
    pub cache: Option<&'a Path>,
}

/// An image that was prepared.
#[derive(Clone, Debug, PartialEq)]
pub struct PreparedImage {
    /// Where in the pixels it lies, in images.
    pub row: usize,
    /// SHA-256 of the file's bytes.
    pub sha256: [u8; 32],
    /// Width of the file's own image.
    pub source_width: u32,
    /// Height of the file's own image.
    pub source_height: u32,
    /// Whether it shows colours.
    pub colour: bool,
}

/// Prepared images.
#[derive(Debug)]
pub struct Prepared {
    /// The grey values.
    pub pixels: Arc<Pixels>,
    /// An image a file, or why there is none.
    pub images: Vec<Result<PreparedImage, String>>,
    /// Files that were decoded now; the others were there.
    pub decoded: usize,
    /// The file of prepared images.
    pub place: PathBuf,
}

/// Length in bytes, and time of change in nanoseconds since 1970.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Stamp {
    length: u64,
    modified_ns: u64,
}

/// File systems keep times to two seconds at worst: a file that was changed later than this before it was prepared
/// might have been changed again without a trace.
const TIME_GRAIN_NS: u64 = 2_000_000_000;

/// Decodes and resizes what is not prepared yet, and maps the prepared images.
///
/// # Errors
/// The cache cannot be written. Files that cannot be read are among the results.
pub fn prepare(files: &[&Path], what: &Preparation) -> Result<Prepared> {
    let folder = match what.cache {
        Some(folder) => folder.to_owned(),
        None => default_folder()?,
    };
    // Cut to whole milliseconds nowhere: stamps are compared for equality alone.
    let root = fs::canonicalize(what.root).unwrap_or_else(|_| what.root.to_owned());
    let recipe = Recipe {
        decode_version: decode::VERSION,
        height: what.height,
        width: what.width,
        fit: what.fit,
        source: name_of(&root),
    };
    let id = &hex(&Sha256::digest(serde_json::to_vec(&recipe)?))[..24];
    let place = folder.join(format!("{id}.images"));
    let stamps: Vec<Result<Stamp, String>> =
        files.par_iter().map(|file| stamp(file).map_err(|error| error.to_string())).collect();
    let names: Vec<String> = files.iter().map(|file| name_of(file)).collect();
    let mut job = Job { files, names: &names, stamps: &stamps, place: &place, recipe: &recipe, told: false };

    if let Some(prepared) = job.from_store(&job.open(), 0, false)? {
        return Ok(prepared);
    }
    let cannot = || format!("cannot write the prepared images to {}: pass --cache DIR for another place", folder.display());
    fs::create_dir_all(&folder).with_context(cannot)?;
    let lock = lock(&folder.join(format!("{id}.lock"))).with_context(cannot)?;
    job.told = false;
    let old = job.open();
    if let Some(prepared) = job.from_store(&old, 0, false)? {
        return Ok(prepared);
    }
    // Whoever left these is gone: the lock is ours.
    let prefix = format!(".{id}-");
    for entry in fs::read_dir(&folder).with_context(cannot)?.flatten() {
        if entry.file_name().to_string_lossy().starts_with(&prefix) {
            // One that cannot be removed wastes space, and harms nothing.
            let _ = fs::remove_file(entry.path());
        }
    }
    let (decoded, failed) = job.write(&folder, &prefix, old).with_context(cannot)?;
    let store = job.open();
    let mut prepared = job
        .from_store(&store, decoded, true)?
        .with_context(|| format!("the prepared images in {} were changed as they were read", place.display()))?;
    for (image, reason) in prepared.images.iter_mut().zip(failed) {
        if let (Err(said), Some(reason)) = (image, reason) {
            *said = reason;
        }
    }
    drop(lock);
    Ok(prepared)
}

/// Files to prepare, and the file of prepared images that they share.
struct Job<'a> {
    files: &'a [&'a Path],
    names: &'a [String],
    stamps: &'a [Result<Stamp, String>],
    place: &'a Path,
    recipe: &'a Recipe,
    told: bool,
}

impl Job<'_> {
    /// The prepared images that there are. Damage is told once.
    fn open(&self) -> Option<Store> {
        match Store::open(self.place, self.recipe) {
            Ok(store) => Some(store),
            Err(error) => {
                let absent = error.downcast_ref::<std::io::Error>().is_some_and(|e| e.kind() == ErrorKind::NotFound);
                if !absent && !self.told {
                    eprintln!("preparing anew: {} cannot be used: {error:#}", self.place.display());
                }
                None
            }
        }
    }

    /// The row of a file, if the file is still what it was prepared from and the row is sound.
    fn fresh<'s>(&self, store: &'s Store, i: usize) -> Option<&'s Entry> {
        let entry = store.entries.get(&self.names[i])?;
        let stamp = self.stamps[i].as_ref().ok()?;
        if *stamp != (Stamp { length: entry.length, modified_ns: entry.modified_ns }) {
            return None;
        }
        let racy = stamp.modified_ns.saturating_add(TIME_GRAIN_NS) > store.prepared_ns;
        if racy && decode::read(self.files[i]).ok().map(|bytes| hex(&Sha256::digest(bytes)))? != entry.sha256 {
            return None;
        }
        store.is_sound(entry).then_some(entry)
    }

    /// The images, if all that can be read are there. `tried` says that what is missing was just tried.
    fn from_store(&self, store: &Option<Store>, decoded: usize, tried: bool) -> Result<Option<Prepared>> {
        let Some(store) = store else { return Ok(None) };
        let entries: Vec<Option<&Entry>> = (0..self.files.len()).into_par_iter().map(|i| self.fresh(store, i)).collect();
        if !tried && entries.iter().zip(self.stamps).any(|(entry, stamp)| entry.is_none() && stamp.is_ok()) {
            return Ok(None);
        }
        let images = entries
            .iter()
            .zip(self.stamps)
            .map(|(entry, stamp)| match (entry, stamp) {
                (Some(entry), _) => Ok(PreparedImage {
                    row: entry.row,
                    sha256: unhex(&entry.sha256),
                    source_width: entry.source_width,
                    source_height: entry.source_height,
                    colour: entry.colour,
                }),
                (None, Err(reason)) => Err(reason.clone()),
                (None, Ok(_)) => Err("it was changed while it was read".to_owned()),
            })
            .collect();
        // Mapped once more: the store's own map is behind a reference.
        let again = Store::open(self.place, self.recipe)?;
        let pixels = Arc::new(Pixels::Mapped(again.map, Store::START));
        Ok(Some(Prepared { pixels, images, decoded, place: self.place.to_owned() }))
    }

    /// Writes the file of prepared images: sound old rows, then new ones. Gives the number of new ones, and why others
    /// failed.
    fn write(&self, folder: &Path, prefix: &str, old: Option<Store>) -> Result<(usize, Vec<Option<String>>)> {
        let mut writer = Writer::begin(folder, prefix, self.recipe.clone(), now_ns())?;
        let mut done = vec![false; self.files.len()];
        if let Some(old) = &old {
            let mine: std::collections::HashMap<&str, usize> =
                self.names.iter().enumerate().map(|(i, name)| (name.as_str(), i)).collect();
            let mut entries: Vec<&Entry> = old.entries.values().collect();
            entries.sort_by_key(|entry| entry.row);
            for entry in entries {
                let keep = match mine.get(entry.file.as_str()) {
                    Some(&i) => {
                        done[i] = self.fresh(old, i).is_some();
                        done[i]
                    }
                    // Of another selection from the same source.
                    None => {
                        let same = Stamp { length: entry.length, modified_ns: entry.modified_ns };
                        let aged = entry.modified_ns.saturating_add(TIME_GRAIN_NS) <= old.prepared_ns;
                        aged && stamp(Path::new(&entry.file)).is_ok_and(|stamp| stamp == same) && old.is_sound(entry)
                    }
                };
                if keep {
                    writer.push(old.row(entry), entry.clone())?;
                }
            }
        }
        drop(old);
        let kept = writer.len();
        let todo: Vec<usize> = (0..self.files.len()).filter(|&i| !done[i] && self.stamps[i].is_ok()).collect();
        let writer = Mutex::new(writer);
        let bar = Mutex::new((Progress::new("preparing images", 0, todo.len() as u64), 0u64));
        let failed: Vec<(usize, Option<String>)> = todo
            .par_iter()
            .map(|&i| {
                let result = self.decode(i);
                let mut bar = held(&bar);
                bar.1 += 1;
                let count = bar.1;
                bar.0.set(count, String::new);
                drop(bar);
                Ok(match result {
                    Ok((entry, pixels)) => {
                        held(&writer).push(&pixels, entry)?;
                        (i, None)
                    }
                    Err(error) => (i, Some(format!("{error:#}"))),
                })
            })
            .collect::<Result<_>>()?;
        let mut reasons: Vec<Option<String>> = vec![None; self.files.len()];
        failed.into_iter().for_each(|(i, reason)| reasons[i] = reason);
        let writer = writer.into_inner().unwrap_or_else(PoisonError::into_inner);
        let decoded = writer.len() - kept;
        writer.finish(self.place)?;
        Ok((decoded, reasons))
    }

    fn decode(&self, i: usize) -> Result<(Entry, Vec<u8>)> {
        let path = self.files[i];
        // Before it is read: a change on the way makes it stale.
        let Stamp { length, modified_ns } = *self.stamps[i].as_ref().map_err(|reason| anyhow!("{reason}"))?;
        let bytes = decode::read(path)?;
        let image = decode::decode(&bytes, self.recipe.height, self.recipe.width, self.recipe.fit)?;
        let entry = Entry {
            file: self.names[i].clone(),
            length,
            modified_ns,
            sha256: hex(&Sha256::digest(&bytes)),
            row: 0,
            crc: 0,
            source_width: image.source_width,
            source_height: image.source_height,
            colour: image.colour,
        };
        Ok((entry, image.pixels))
    }
}

/// What a lock guards; a thread that died left it as good as it was.
fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Takes a lock, waiting for another process where that has it.
fn lock(path: &Path) -> std::io::Result<File> {
    let file = File::options().create(true).truncate(false).write(true).open(path)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            eprintln!("waiting for another process that prepares the same images");
            file.lock()?;
        }
        // Some network file systems have no locks. The rename at the end still keeps the file whole.
        Err(TryLockError::Error(error)) if error.kind() == ErrorKind::Unsupported => {}
        Err(TryLockError::Error(error)) => return Err(error),
    }
    Ok(file)
}

/// The user's cache folder for this program.
fn default_folder() -> Result<PathBuf> {
    let folder = dirs::cache_dir().context("there is no cache folder for prepared images: pass --cache DIR")?;
    Ok(folder.join("medical-vdm"))
}

fn stamp(path: &Path) -> Result<Stamp> {
    let about = fs::metadata(path)?;
    let modified_ns = since_1970_ns(about.modified()?);
    Ok(Stamp { length: about.len(), modified_ns })
}

fn now_ns() -> u64 {
    since_1970_ns(SystemTime::now())
}

fn since_1970_ns(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
}

/// A path as text, different for different paths.
fn name_of(path: &Path) -> String {
    path.to_str().map_or_else(|| format!("{path:?}"), str::to_owned)
}

/// The inverse of [`hex`]; zeros where it is none.
fn unhex(text: &str) -> [u8; 32] {
    std::array::from_fn(|i| text.get(2 * i..2 * i + 2).and_then(|two| u8::from_str_radix(two, 16).ok()).unwrap_or(0))
}

#[cfg(test)]
mod tests;
