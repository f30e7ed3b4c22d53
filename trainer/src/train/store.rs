//! The checkpoints of a run's folder: each a folder of files with their hashes, renamed into place when it is complete.
//!
//! A run goes on from `checkpoint`; where a kill left none, from `checkpoint-previous`; and where there is neither, from the
//! last of those that are kept, `checkpoint-step-…`. Whatever is killed when, one of them is whole.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use vdm::weights::sha256_hex;

use crate::base::{disk, files};

/// The checkpoint that a run goes on from.
pub const LATEST: &str = "checkpoint";
const PREVIOUS: &str = "checkpoint-previous";
/// The start of the name of a checkpoint that is kept; its step follows.
const KEPT: &str = "checkpoint-step-";
/// The start of the names of checkpoints that are not complete, or no longer.
const HIDDEN: &str = ".checkpoint-";
const FRESH: &str = ".checkpoint-new";
const DISCARDED: &str = ".checkpoint-old";
/// The file that names the step.
pub const TRAINER_STATE: &str = "trainer_state.json";
/// The name of [`TRAINER_STATE`] in older checkpoints.
pub const OLD_TRAINER_STATE: &str = "position.json";
/// The hashes of the other files, as `sha256sum --check` reads them; older checkpoints have none.
pub const SUMS: &str = "SHA256SUMS";

/// A checkpoint that is being written.
pub struct Fresh {
    path: PathBuf,
    sums: String,
}

impl Fresh {
    /// Writes a file of it.
    pub fn write(&mut self, name: &Path, bytes: &[u8]) -> Result<()> {
        disk::write_new(&self.path.join(name), bytes)?;
        self.sums += &format!("{}  {}\n", sha256_hex(bytes), name.display());
        Ok(())
    }

    /// Makes what `write` writes the latest checkpoint.
    pub fn install(folder: &Path, write: impl FnOnce(&mut Self) -> Result<()>) -> Result<()> {
        let install = || -> Result<()> {
            let path = fresh_folder(folder)?;
            let mut fresh = Self { path, sums: String::new() };
            write(&mut fresh)?;
            disk::write_new(&fresh.path.join(SUMS), fresh.sums.as_bytes())?;
            disk::sync_folder(&fresh.path)?;
            make_latest(folder, &fresh.path)
        };
        // A full disk is to have room again.
        install().inspect_err(|_| drop(disk::remove_folder(&folder.join(FRESH))))
    }
}

/// An empty folder for a checkpoint that no run goes on from yet.
fn fresh_folder(folder: &Path) -> Result<PathBuf> {
    let path = folder.join(FRESH);
    disk::remove_folder(&path)?;
    disk::create_folder(&path)?;
    Ok(path)
}

/// Renames a complete checkpoint into place. The one before it is removed only when the new one is safe.
fn make_latest(folder: &Path, fresh: &Path) -> Result<()> {
    let (latest, previous) = (folder.join(LATEST), folder.join(PREVIOUS));
    if latest.exists() {
        discard(folder, &previous)?;
        disk::rename(&latest, &previous)?;
    }
    disk::rename(fresh, &latest)?;
    disk::sync_folder(folder)?;
    discard(folder, &previous)
}

/// Removes a checkpoint; a kill leaves none that is half removed under its name.
fn discard(folder: &Path, checkpoint: &Path) -> Result<()> {
    let discarded = folder.join(DISCARDED);
    disk::remove_folder(&discarded)?;
    if checkpoint.exists() {
        disk::rename(checkpoint, &discarded)?;
        disk::remove_folder(&discarded)?;
    }
    Ok(())
}

/// A complete copy of a checkpoint under the name of a fresh one.
fn copy(folder: &Path, checkpoint: &Path) -> Result<PathBuf> {
    let fresh = fresh_folder(folder)?;
    for entry in fs::read_dir(checkpoint)? {
        let entry = entry?;
        disk::link_or_copy(&entry.path(), &fresh.join(entry.file_name()))?;
    }
    disk::sync_folder(&fresh)?;
    Ok(fresh)
}

fn kept_path(folder: &Path, step: u64) -> PathBuf {
    folder.join(format!("{KEPT}{step:08}"))
}

/// Keeps a copy of the checkpoint that was just saved, which later ones do not replace.
pub fn keep(folder: &Path, step: u64) -> Result<()> {
    let keep = || -> Result<()> {
        let (kept, fresh) = (kept_path(folder, step), copy(folder, &folder.join(LATEST))?);
        discard(folder, &kept)?;
        disk::rename(&fresh, &kept)?;
        Ok(disk::sync_folder(folder)?)
    };
    keep().with_context(|| format!("cannot keep the checkpoint of step {step} in {}", folder.display()))
}

/// Makes the checkpoint of a step the one that the run goes on from. The one that it had is kept under its own step.
///
/// # Errors
/// There is none of this step, or it is damaged.
pub fn go_back(folder: &Path, step: u64) -> Result<()> {
    let go = || -> Result<()> {
        let latest = [LATEST, PREVIOUS].map(|name| folder.join(name));
        let step_of = |path: &PathBuf| Some((Stored::open(path.clone()).ok()?.step().ok()?, path.clone()));
        let mut all = kept(folder)?;
        all.extend(latest.iter().rev().filter_map(step_of));
        let Some(chosen) = all.get(&step) else {
            let steps: Vec<String> = all.keys().map(u64::to_string).collect();
            bail!("--resume-from is {step}: {} has checkpoints of the steps {}", folder.display(), steps.join(", "));
        };
        if *chosen == latest[0] {
            return Ok(());
        }
        Stored::open(chosen.clone())?.verify()?;
        let fresh = copy(folder, chosen)?;
        for (had, path) in latest.iter().filter_map(step_of) {
            let kept = kept_path(folder, had);
            if !kept.exists() {
                disk::rename(&path, &kept)?;
            }
        }
        make_latest(folder, &fresh)
    };
    go().with_context(|| format!("cannot go back to the checkpoint of step {step}"))
}

/// Removes what a killed process left incomplete.
pub fn clear_leftovers(folder: &Path) -> Result<()> {
    let clear = || -> Result<()> {
        // What a killed process renamed is on the disk before anything older is removed.
        disk::sync_folder(folder)?;
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if name.starts_with(HIDDEN) {
                disk::remove_folder(&entry.path())?;
            } else if name.starts_with(disk::PARTIAL) {
                disk::remove_file(&entry.path())?;
            }
        }
        Ok(())
    };
    clear().with_context(|| format!("cannot clear {}", folder.display()))
}

/// The checkpoint that a run goes on from.
pub fn newest(folder: &Path) -> Result<Option<PathBuf>> {
    let first = [LATEST, PREVIOUS].map(|name| folder.join(name)).into_iter().find(|path| path.exists());
    match first {
        Some(path) => Ok(Some(path)),
        None => Ok(kept(folder)?.pop_last().map(|(_, path)| path)),
    }
}

/// The checkpoints that are kept, by their steps.
pub fn kept(folder: &Path) -> Result<BTreeMap<u64, PathBuf>> {
    let mut kept = BTreeMap::new();
    for entry in fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if let Some(Ok(step)) = name.strip_prefix(KEPT).map(str::parse) {
            kept.insert(step, path);
        }
    }
    Ok(kept)
}

/// A checkpoint on the disk.
pub struct Stored {
    path: PathBuf,
    /// The hash of each file; none in older checkpoints.
    sums: Option<BTreeMap<String, String>>,
}

impl Stored {
    /// Reads its hashes.
    pub fn open(path: PathBuf) -> Result<Self> {
        let list = path.join(SUMS);
        let sums = if list.exists() {
            let text = String::from_utf8_lossy(&files::read(&list)?).into_owned();
            let pairs = text.lines().filter_map(|line| line.split_once("  "));
            Some(pairs.map(|(hash, name)| (name.to_owned(), hash.to_owned())).collect())
        } else {
            None
        };
        Ok(Self { path, sums })
    }

    /// Reads a file, which must be as it was written.
    pub fn read(&self, name: &Path) -> Result<Vec<u8>> {
        let mut path = self.path.join(name);
        if name == Path::new(TRAINER_STATE) && !path.exists() {
            path.set_file_name(OLD_TRAINER_STATE);
        }
        let bytes = files::read(&path)?;
        if let Some(sums) = &self.sums {
            let expected = sums.get(&*name.to_string_lossy());
            ensure!(
                expected == Some(&sha256_hex(&bytes)),
                "{} is not as it was written: its SHA-256 is not the one in {SUMS}",
                path.display()
            );
        }
        Ok(bytes)
    }

    /// Reads every file that has a hash.
    fn verify(&self) -> Result<()> {
        let mut names = self.sums.iter().flat_map(BTreeMap::keys);
        names.try_for_each(|name| self.read(Path::new(name)).map(drop))
    }

    fn step(&self) -> Result<u64> {
        #[derive(Deserialize)]
        struct State {
            step: u64,
        }
        let State { step } = serde_json::from_slice(&self.read(Path::new(TRAINER_STATE))?)?;
        Ok(step)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::disk::kill;

    fn files_of(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut files = BTreeMap::new();
        for entry in walkdir::WalkDir::new(folder).into_iter().map(|entry| entry.expect("an entry")) {
            let name = entry.path().strip_prefix(folder).expect("inside").to_owned();
            if entry.file_type().is_dir() {
                files.insert(name.join(""), Vec::new());
            } else {
                files.insert(name, fs::read(entry.path()).expect("reads"));
            }
        }
        files
    }

    /// An empty folder with these files.
    fn restored(files: &BTreeMap<PathBuf, Vec<u8>>) -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a folder");
        for (name, bytes) in files {
            let path = folder.path().join(name);
            if name.as_os_str().to_string_lossy().ends_with('/') || name.as_os_str().is_empty() {
                fs::create_dir_all(path).expect("a folder");
            } else {
                fs::write(path, bytes).expect("writes");
            }
        }
        folder
    }

    /// A small checkpoint of a step, saved as a continued run does it, and kept where `keeps` is set.
    fn save_small(folder: &Path, step: u64, keeps: bool) -> Result<()> {
        clear_leftovers(folder)?;
        let state = format!("{{\"step\":{step}}}");
        Fresh::install(folder, |fresh| {
            fresh.write(Path::new("model.safetensors"), &[step as u8; 8])?;
            fresh.write(Path::new(TRAINER_STATE), state.as_bytes())
        })?;
        if keeps { keep(folder, step) } else { Ok(()) }
    }

    /// The step that a run would go on from; fails where that checkpoint is not whole.
    fn step_in(folder: &Path) -> u64 {
        let stored = Stored::open(newest(folder).expect("reads").expect("one stands")).expect("opens");
        stored.verify().expect("is whole");
        let step = stored.step().expect("reads");
        assert_eq!(stored.read(Path::new("model.safetensors")).expect("reads"), [step as u8; 8]);
        step
    }

    #[test]
    fn kills_at_any_two_moments_leave_the_newest_whole_checkpoint() {
        let with = |name: &str, keeps| {
            let folder = tempfile::tempdir().expect("a folder");
            save_small(folder.path(), 1, keeps).expect("saves");
            match name {
                LATEST => {}
                "" => fs::remove_dir_all(folder.path().join(LATEST)).expect("removes"),
                name => fs::rename(folder.path().join(LATEST), folder.path().join(name)).expect("renames"),
            }
            files_of(folder.path())
        };
        let mut kills = 0;
        for start in [with(LATEST, false), with(LATEST, true), with(PREVIOUS, false), with("", true)] {
            for first in 0.. {
                let folder = restored(&start);
                let (_, whole) = kill::after(first, || save_small(folder.path(), 2, true));
                let after_one = step_in(folder.path());
                assert!(after_one == 2 || (after_one == 1 && !whole), "killed after {first}");
                if whole {
                    break;
                }
                let state = files_of(folder.path());
                // Over all first kills, every second one.
                for second in (first % 2..).step_by(2) {
                    let folder = restored(&state);
                    let (_, whole) = kill::after(second, || save_small(folder.path(), 3, false));
                    kills += 1;
                    let after_two = step_in(folder.path());
                    assert!(after_two == 3 || (after_two == after_one && !whole), "killed after {first} and {second}");
                    save_small(folder.path(), 4, false).expect("saves");
                    assert_eq!(step_in(folder.path()), 4);
                    let left = files_of(folder.path());
                    assert!(!left.keys().any(|name| name.to_string_lossy().starts_with('.')), "{:?}", left.keys());
                    if whole {
                        break;
                    }
                }
            }
        }
        assert!(kills > 1000, "{kills} pairs of kills");
    }

    #[test]
    fn kills_while_a_run_goes_back_lose_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        save_small(folder.path(), 1, true).expect("saves");
        save_small(folder.path(), 2, false).expect("saves");
        let start = files_of(folder.path());
        for operations in 0.. {
            let folder = restored(&start);
            let (_, whole) = kill::after(operations, || go_back(folder.path(), 1));
            let now = step_in(folder.path());
            assert!(now == 1 || (now == 2 && !whole), "killed after {operations}");
            for step in [2, 1] {
                go_back(folder.path(), step).expect("goes back");
                assert_eq!(step_in(folder.path()), step);
            }
            if whole {
                break;
            }
        }
    }

    #[test]
    fn a_checkpoint_is_on_the_disk_before_it_has_its_name_and_the_last_one_goes() {
        let folder = tempfile::tempdir().expect("a folder");
        save_small(folder.path(), 1, false).expect("saves");
        let (done, whole) = kill::after(usize::MAX, || save_small(folder.path(), 2, false));
        assert!(whole);
        let file = ["create", "write", "write", "sync a file"];
        let removed = [&["remove a file"; 3][..], &["remove a folder"]].concat();
        let expected = [
            &["sync a folder", "make a folder"][..],
            &file.repeat(3),
            &["sync a folder", "rename", "rename", "sync a folder", "rename"],
            &removed,
        ];
        assert_eq!(done, expected.concat());
    }

    #[test]
    fn a_kept_checkpoint_can_be_gone_back_to_and_later_ones_stay() {
        let folder = tempfile::tempdir().expect("a folder");
        save_small(folder.path(), 3, true).expect("saves");
        save_small(folder.path(), 4, false).expect("saves");
        for step in [3, 4, 3, 3] {
            go_back(folder.path(), step).expect("goes back");
            assert_eq!(step_in(folder.path()), step);
        }
        let error = format!("{:#}", go_back(folder.path(), 5).expect_err("there is none"));
        assert!(error.contains("steps 3, 4"), "{error}");
    }
}
