//! The folder of a run.

use std::fs::{self, File, TryLockError};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use vdm::config::Preset;

use super::settings::RunSettings;

/// The folder of a run that is about to start.
pub enum RunFolder {
    /// A new run, with the folder that the user asked for, if any.
    New(Option<PathBuf>),
    /// A run to continue.
    Existing {
        /// Its folder.
        path: PathBuf,
        /// The step of the checkpoint that it goes on from, where that is not the last.
        from: Option<u64>,
        /// Whether it goes on with images that have changed.
        accept_changed_images: bool,
    },
}

/// The folder of a run that this process alone trains in.
pub struct OpenFolder {
    /// Its path.
    pub path: PathBuf,
    _lock: File,
}

const LOCK: &str = "run.lock";
/// How long a lock may take to be let go of.
const PATIENCE: Duration = Duration::from_secs(2);

impl OpenFolder {
    /// Makes the folder of a new run: `out`, or the next free one in `runs`.
    ///
    /// # Errors
    /// It holds a run already, or cannot be made.
    pub fn create(out: Option<&Path>, preset: Preset) -> Result<Self> {
        let Some(out) = out else { return Self::next_free(preset) };
        if out.join("run.toml").exists() {
            bail!("{} holds a run already: pass --resume to continue it, or another --out", out.display());
        }
        fs::create_dir_all(out).with_context(|| format!("cannot create {}", out.display()))?;
        Self::lock(out.to_owned())
    }

    fn next_free(preset: Preset) -> Result<Self> {
        fs::create_dir_all("runs").context("cannot create runs")?;
        for n in 1.. {
            let suffix = if n == 1 { String::new() } else { format!("-{n}") };
            let folder = Path::new("runs").join(format!("{}{suffix}", preset.name()));
            match fs::create_dir(&folder) {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error).with_context(|| format!("cannot create {}", folder.display())),
                Ok(()) => return Self::lock(folder),
            }
        }
        bail!("no free folder under runs")
    }

    /// Locks a folder until this process ends.
    ///
    /// # Errors
    /// Another process trains in it.
    pub fn lock(path: PathBuf) -> Result<Self> {
        let file = path.join(LOCK);
        let open = || fs::OpenOptions::new().create(true).append(true).open(&file);
        let lock = open().with_context(|| format!("cannot write {}", file.display()))?;
        let asked = Instant::now();
        // A process that was killed keeps its lock until it has ended, and what it was about to start with it.
        let locked = loop {
            match lock.try_lock() {
                Err(TryLockError::WouldBlock) if asked.elapsed() < PATIENCE => std::thread::sleep(PATIENCE / 20),
                other => break other,
            }
        };
        match locked {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                bail!("another process trains in {}: stop it first, or pass another --out", path.display())
            }
            Err(TryLockError::Error(error)) => eprintln!(
                "{} cannot be locked ({error}): take care that no other process trains in this folder",
                path.display()
            ),
        }
        Ok(Self { path, _lock: lock })
    }

    /// Removes the folder if nothing else is in it, so that the next run can have its name.
    pub fn abandon(self) {
        if fs::read_dir(&self.path).is_ok_and(|entries| entries.count() == 1) {
            // What cannot be removed is an empty folder.
            let _ = fs::remove_file(self.path.join(LOCK)).and_then(|()| fs::remove_dir(&self.path));
        }
    }
}

/// The folder of a run that exists: `out`, or the one in `runs` that was changed last.
pub fn existing(out: Option<&Path>) -> Result<PathBuf> {
    if let Some(out) = out {
        return Ok(out.to_owned());
    }
    let entries = fs::read_dir("runs").context("there is no run to continue: the folder runs cannot be read")?;
    entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|folder| folder.join("run.toml").exists())
        .max_by_key(|folder| {
            let changed = |name| fs::metadata(folder.join(name)).and_then(|metadata| metadata.modified()).ok();
            changed("log.jsonl").max(changed("run.toml"))
        })
        .context("there is no run to continue in runs")
}

/// The weights file to use: the one that is given, or that of the run in `runs` that was changed last.
///
/// # Errors
/// There is none; a given file does not exist.
pub fn weights(given: Option<&Path>) -> Result<PathBuf> {
    if let Some(path) = given {
        ensure!(path.exists(), "cannot read {}: there is no such file", path.display());
        return Ok(path.to_owned());
    }
    let folder = existing(None).context("pass --weights FILE, or train first")?;
    let preset = RunSettings::read(&folder.join("run.toml"))?.preset;
    let path = folder.join(format!("{}.safetensors", preset.name()));
    ensure!(
        path.exists(),
        "the newest run, {}, has no weights yet, which its first validation gives: pass --weights FILE",
        folder.display()
    );
    eprintln!("weights: {} (of the newest run)", path.display());
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_one_processs_until_it_ends() {
        let parent = tempfile::tempdir().expect("a folder");
        let path = parent.path().join("run");
        let open = || OpenFolder::create(Some(&path), Preset::Quick);
        let first = open().expect("locks");
        let error = open().err().expect("is locked").to_string();
        assert!(error.contains("another process trains in"), "{error}");
        drop(first);
        fs::write(path.join("run.toml"), "").expect("writes");
        OpenFolder::lock(path.clone()).expect("locks").abandon();
        assert!(path.exists(), "it holds a run");
        fs::remove_file(path.join("run.toml")).expect("removes");
        open().expect("locks").abandon();
        assert!(!path.exists());
    }
}
