//! Prepared images: each is decoded and resized once, written to a file, and memory-mapped from then on.
//!
//! The cache folder is a store that all data sets share. An image is known by its key: a hash of its path, length and
//! time of modification, and of the version of decoding. Images that the store lacks go to a new file of at most
//! [`PER_FILE`] images of one size, so that another data set, or one more image, adds only what is new. A file holds
//! the H·W grey values of image after image, a table in JSON, the table's length, a checksum of all before it, and a
//! mark.
//!
//! A file is written under another name, renamed when it is whole, and never changed. A lock lets one process prepare
//! images of a size while others wait for it. Failures are not kept: a file that cannot be read or decoded is tried
//! again by the next run. Files that were not used for [`KEPT_DAYS`] days are removed when another is written; a run
//! marks what it uses by the time of modification. The folder may be emptied at any time.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{BufWriter, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail, ensure};
use memmap2::Mmap;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::dataset::{Dataset, Pixels};
use super::decode::{self, Decoded, Original, decode};
use super::entry::Entry;
use super::source::SourceSettings;
use crate::base::files::PARTIAL;
use crate::base::interrupt::Interrupt;
use crate::base::progress::Progress;

/// Images in a file at most: a preparation that is interrupted loses no more than these.
const PER_FILE: usize = 4096;
/// Days that a file is kept without being used.
const KEPT_DAYS: u64 = 90;
const DAY: Duration = Duration::from_secs(24 * 3600);
const KEPT: Duration = Duration::from_secs(KEPT_DAYS * DAY.as_secs());
/// Images that are in memory at once while they are prepared.
const CHUNK: usize = 64;
const MARK: &[u8; 8] = b"vdmcach2";
/// The table's length, the checksum, the mark.
const TRAILER: usize = 8 + 4 + 8;

/// What an image was like in its file, or why the file cannot be used.
pub type Prepared = Result<Original, String>;

/// A line of a file's table.
#[derive(Serialize, Deserialize)]
struct Row {
    key: String,
    row: usize,
    #[serde(flatten)]
    original: Original,
}

/// Prepares files, or finds them prepared. Files that cannot be used are left out of the data set, if that was asked for;
/// what became of each entry is returned beside it.
///
/// # Errors
/// A file cannot be used; the cache cannot be written; [`Interrupted`](crate::base::interrupt::Interrupted), which keeps
/// what was prepared until then.
pub fn prepare(
    entries: &[Entry],
    settings: &SourceSettings,
    height: usize,
    width: usize,
    interrupt: &Interrupt,
) -> Result<(Dataset, Vec<Prepared>)> {
    let folder = match &settings.cache {
        Some(folder) => folder.clone(),
        None => dirs::cache_dir().context("there is no folder for caches: pass --cache DIR")?.join("medical-vdm"),
    };
    let bits = settings.png_bits.unwrap_or(16);
    let store = Store { folder, height, width, bits };
    let skip = settings.skip_unreadable;
    let keys: Vec<Result<String>> = entries.par_iter().map(|entry| key(&entry.path, bits)).collect();
    let wanted = keys.iter().zip(entries).filter_map(|(key, entry)| Some((key.as_deref().ok()?, entry.path.as_path())));
    let found = store.provide(wanted.collect(), skip, interrupt).with_context(|| {
        format!("cannot keep prepared images in {} (--cache DIR names another place)", store.folder.display())
    })?;
    let (mut prepared, mut kept, mut places) = (Vec::new(), Vec::new(), Vec::new());
    for (entry, key) in entries.iter().zip(keys) {
        prepared.push(match key.map(|key| (found.rows.get(&key), found.failures.get(&key))) {
            Ok((Some((original, place)), _)) => {
                kept.push(entry);
                places.push(*place);
                Ok(*original)
            }
            Ok((None, why)) => {
                Err(why.cloned().unwrap_or_else(|| format!("{} was not prepared", entry.path.display())))
            }
            Err(error) => Err(format!("{error:#}")),
        });
    }
    if let (false, Some(why)) = (skip, prepared.iter().find_map(|prepared| prepared.as_ref().err())) {
        bail!("{why}\n  hint: pass --skip-unreadable to leave such files out");
    }
    ensure!(!kept.is_empty(), "none of the {} image files can be read", entries.len());
    let mut data = Dataset::new(height, width, found.files, places, kept.iter().map(|e| e.name.clone()).collect())?;
    data.skipped = entries.len() - data.len();
    data.patients = kept.iter().map(|entry| entry.patient.clone()).collect();
    Ok((data, prepared))
}

/// What a prepared image is known by.
fn key(path: &Path, bits: u32) -> Result<String> {
    let cannot = || format!("cannot read {}", path.display());
    let metadata = fs::metadata(path).with_context(cannot)?;
    let modified = metadata.modified().with_context(cannot)?.duration_since(UNIX_EPOCH).unwrap_or_default();
    let mut hash = Sha256::new();
    hash.update(format!("{} {bits} {} {}\n", decode::VERSION, metadata.len(), modified.as_nanos()));
    hash.update(std::path::absolute(path)?.as_os_str().as_encoded_bytes());
    Ok(hex(hash))
}

fn hex(hash: Sha256) -> String {
    hash.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

/// Images that were looked for.
#[derive(Default)]
struct Found {
    files: Vec<Arc<Pixels>>,
    /// By key: the image, and its file and row.
    rows: HashMap<String, (Original, [usize; 2])>,
    /// By key: why it could not be prepared.
    failures: HashMap<String, String>,
}

/// Where images of one size are kept.
struct Store {
    folder: PathBuf,
    height: usize,
    width: usize,
    /// Of the samples of 16-bit PNG files.
    bits: u32,
}

impl Store {
    /// What the names of this size's files start with.
    fn prefix(&self) -> String {
        format!("{}x{}-", self.height, self.width)
    }

    /// Finds images by their keys, and prepares those that are missing from their paths.
    fn provide(&self, mut missing: Vec<(&str, &Path)>, skip: bool, interrupt: &Interrupt) -> Result<Found> {
        fs::create_dir_all(&self.folder)?;
        let mut seen = HashSet::new();
        missing.retain(|(key, _)| seen.insert(*key));
        let mut found = Found::default();
        let mut find = |missing: &mut Vec<(&str, &Path)>| -> Result<Vec<PathBuf>> {
            let damaged = self.find(&missing.iter().map(|(key, _)| *key).collect(), &mut found)?;
            missing.retain(|(key, _)| !found.rows.contains_key(*key));
            Ok(damaged)
        };
        find(&mut missing)?;
        if missing.is_empty() {
            return Ok(found);
        }
        let lock = self.lock(File::try_lock)?;
        // Another process may have prepared them meanwhile.
        let damaged = find(&mut missing)?;
        if missing.is_empty() {
            return Ok(found);
        }
        // While the lock is held nobody writes what an interrupted run left. Another user's files may have to stay.
        let partial = if lock.is_some() { self.files(&format!("{PARTIAL}{}", self.prefix()), "")? } else { Vec::new() };
        for path in damaged.into_iter().chain(partial) {
            let _ = fs::remove_file(path);
        }
        let failures = self.write(&missing, skip, interrupt)?;
        find(&mut missing)?;
        self.prune()?;
        found.failures = failures;
        Ok(found)
    }

    /// Waits until no other process prepares images of this size; the lock ends with the file. Where the file system has
    /// no locks, there is none: those that prepare at once do the same work, each under names of its own.
    fn lock(&self, try_lock: impl Fn(&File) -> Result<(), TryLockError>) -> Result<Option<File>> {
        let path = self.folder.join(format!("{}lock", self.prefix()));
        let file = match OpenOptions::new().create(true).truncate(false).write(true).open(&path) {
            // Another user's file can be locked without writing to it.
            Err(error) if error.kind() == ErrorKind::PermissionDenied => File::open(&path)?,
            opened => opened?,
        };
        let locked = match try_lock(&file) {
            Err(TryLockError::WouldBlock) => {
                eprintln!("waiting for another run that prepares images");
                file.lock()
            }
            Err(TryLockError::Error(error)) => Err(error),
            Ok(()) => Ok(()),
        };
        if let Err(error) = &locked {
            eprintln!("data: {} has no file locks ({error}): images are prepared without", self.folder.display());
        }
        Ok(locked.ok().map(|()| file))
    }

    /// Paths of the store's files whose names start and end so.
    fn files(&self, start: &str, end: &str) -> Result<Vec<PathBuf>> {
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with(start) && name.ends_with(end) {
                files.push(entry.path());
            }
        }
        files.sort();
        Ok(files)
    }

    /// Adds those of the wanted images that the store's files hold; gives the files that are damaged.
    fn find(&self, wanted: &HashSet<&str>, found: &mut Found) -> Result<Vec<PathBuf>> {
        let mut damaged = Vec::new();
        for path in self.files(&self.prefix(), ".images")? {
            // It may have been removed since.
            let Ok(map) = open(&path) else { continue };
            let Ok(mut table) = table(&map, self.height * self.width) else {
                damaged.push(path);
                continue;
            };
            table.retain(|row| wanted.contains(row.key.as_str()) && !found.rows.contains_key(&row.key));
            if table.is_empty() {
                continue;
            }
            if !is_whole(&map) {
                damaged.push(path);
                continue;
            }
            // Its age counts from its last use. Files that this user may not mark are not removed by them either.
            let _ = OpenOptions::new().append(true).open(&path).and_then(|own| own.set_modified(SystemTime::now()));
            let number = found.files.len();
            found.files.push(Arc::new(Pixels::Mapped(map)));
            found.rows.extend(table.into_iter().map(|row| (row.key, (row.original, [number, row.row]))));
        }
        Ok(damaged)
    }

    /// Prepares images; gives those that could not be, by key, and stops soon after the first unless they are skipped.
    fn write(&self, missing: &[(&str, &Path)], skip: bool, interrupt: &Interrupt) -> Result<HashMap<String, String>> {
        let progress = Mutex::new(Progress::new("preparing images", 0, missing.len() as u64));
        let done = AtomicU64::new(0);
        let prepared = |(_, path): &(&str, &Path)| {
            let decoded = decode(path, self.height, self.width, self.bits);
            let count = done.fetch_add(1, Ordering::Relaxed) + 1;
            if let Ok(mut progress) = progress.lock() {
                progress.set(count, String::new);
            }
            decoded
        };
        let mut failures = HashMap::new();
        for missing in missing.chunks(PER_FILE) {
            let partial = self.partial()?;
            let mut writer = BufWriter::new(partial.as_file());
            let (mut rows, mut names, mut checksum) = (Vec::new(), Sha256::new(), 0);
            let mut write = |bytes: &[u8]| {
                checksum = crc32c::crc32c_append(checksum, bytes);
                writer.write_all(bytes)
            };
            for chunk in missing.chunks(CHUNK) {
                let decoded: Vec<_> = chunk.par_iter().map(prepared).collect();
                for ((key, _), decoded) in chunk.iter().zip(decoded) {
                    match decoded {
                        Ok(Decoded { pixels, original }) => {
                            write(&pixels)?;
                            names.update(key);
                            rows.push(Row { key: (*key).to_owned(), row: rows.len(), original });
                        }
                        Err(error) => {
                            failures.insert((*key).to_owned(), format!("{error:#}"));
                        }
                    }
                }
                if interrupt.is_raised() || !(skip || failures.is_empty()) {
                    break;
                }
            }
            if !rows.is_empty() {
                let json = serde_json::to_vec(&rows)?;
                write(&json)?;
                write(&(json.len() as u64).to_le_bytes())?;
                writer.write_all(&checksum.to_le_bytes())?;
                writer.write_all(MARK)?;
                writer.flush()?;
                drop(writer);
                partial.as_file().sync_all()?;
                partial.persist(self.folder.join(format!("{}{}.images", self.prefix(), hex(names))))?;
            }
            interrupt.check()?;
            if !(skip || failures.is_empty()) {
                break;
            }
        }
        Ok(failures)
    }

    /// A file under a temporary name, which others may read as far as the user's umask lets them.
    fn partial(&self) -> Result<tempfile::NamedTempFile> {
        let prefix = format!("{PARTIAL}{}", self.prefix());
        let mut builder = tempfile::Builder::new();
        builder.prefix(&prefix);
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
        Ok(builder.tempfile_in(&self.folder)?)
    }

    /// Removes files of any size that were not used for [`KEPT_DAYS`] days, and those half-written for a day, and says so.
    fn prune(&self) -> Result<()> {
        let (mut count, mut bytes) = (0, 0);
        let whole = self.files("", ".images")?.into_iter().map(|path| (path, KEPT));
        let partial = self.files(PARTIAL, "")?.into_iter().map(|path| (path, DAY));
        for (path, kept) in whole.chain(partial) {
            let Ok(metadata) = fs::metadata(&path) else { continue };
            let idle = metadata.modified()?.elapsed().unwrap_or_default();
            // What another user alone may mark as used, they alone remove.
            let may_mark = || OpenOptions::new().append(true).open(&path).is_ok();
            if idle > kept && may_mark() && fs::remove_file(&path).is_ok() {
                count += 1;
                bytes += metadata.len();
            }
        }
        if count > 0 {
            eprintln!(
                "data: removed {count} files of prepared images ({} MB) from {}: not used for {KEPT_DAYS} days",
                bytes.div_ceil(1_000_000),
                self.folder.display()
            );
        }
        Ok(())
    }
}

/// The table of a file of images of `size` pixels.
fn table(map: &[u8], size: usize) -> Result<Vec<Row>> {
    let end = map.len().checked_sub(TRAILER).filter(|_| map.ends_with(MARK)).context("it is not whole")?;
    let length = u64::from_le_bytes(map[end..end + 8].try_into()?) as usize;
    let start = end.checked_sub(length).context("it is damaged")?;
    let table: Vec<Row> = serde_json::from_slice(&map[start..end])?;
    let counted = table.iter().enumerate().all(|(i, row)| row.row == i);
    ensure!(counted && start == table.len() * size, "it is damaged");
    Ok(table)
}

/// Whether a file is as it was written.
fn is_whole(map: &[u8]) -> bool {
    let Some(at) = map.len().checked_sub(4 + MARK.len()) else { return false };
    map.ends_with(MARK) && map[at..at + 4] == crc32c::crc32c(&map[..at]).to_le_bytes()
}

#[expect(unsafe_code, reason = "a map is undefined where its file is changed: the store's files never are")]
fn open(path: &Path) -> std::io::Result<Mmap> {
    // SAFETY: files are not written to once they have their name, see `Store::write`.
    unsafe { Mmap::map(&File::open(path)?) }
}

#[cfg(test)]
mod tests;
