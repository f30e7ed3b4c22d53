//! The operations on files that a kill or a loss of power may follow. Where the order of such operations matters, it is
//! made of these, so that tests can stop after each of them.

use std::fs::{self, File};
use std::io::{ErrorKind, Result, Write};
use std::path::{Path, PathBuf};

/// The start of the name of a file that is not complete.
pub const PARTIAL: &str = ".partial-";

/// Writes a file of its own name in `folder`, and passes it to the disk.
pub fn write_partial(folder: &Path, bytes: &[u8]) -> Result<PathBuf> {
    let new = |path: &Path| operation("create").and_then(|()| File::create_new(path));
    let (mut file, path) = tempfile::Builder::new().prefix(PARTIAL).make_in(folder, new)?.keep()?;
    let written = fill(&mut file, bytes);
    if written.is_err() {
        // What cannot be removed now goes when the run continues.
        let _ = remove_file(&path);
    }
    written.map(|()| path)
}

/// Writes a new file, and passes it to the disk.
pub fn write_new(path: &Path, bytes: &[u8]) -> Result<()> {
    operation("create")?;
    fill(&mut File::create_new(path)?, bytes)
}

fn fill(file: &mut File, bytes: &[u8]) -> Result<()> {
    let (first, second) = bytes.split_at(bytes.len() / 2);
    for part in [first, second] {
        operation("write")?;
        file.write_all(part)?;
    }
    operation("sync a file")?;
    if is_real() { file.sync_all() } else { Ok(()) }
}

/// Passes the names in a folder to the disk.
pub fn sync_folder(folder: &Path) -> Result<()> {
    operation("sync a folder")?;
    // Windows opens no folders, and syncs names by itself.
    if cfg!(unix) && is_real() { File::open(folder)?.sync_all() } else { Ok(()) }
}

/// Makes a folder.
pub fn create_folder(path: &Path) -> Result<()> {
    operation("make a folder")?;
    fs::create_dir(path)
}

/// Gives a file or a folder another name; a file replaces one that has it.
pub fn rename(from: &Path, to: &Path) -> Result<()> {
    operation("rename")?;
    fs::rename(from, to)
}

/// Gives a file a second name, or copies it where that is not possible. The files of checkpoints are never changed, only
/// replaced, so that two names may share one.
pub fn link_or_copy(from: &Path, to: &Path) -> Result<()> {
    operation("link")?;
    if fs::hard_link(from, to).is_err() {
        fs::copy(from, to)?;
        File::open(to)?.sync_all()?;
    }
    Ok(())
}

/// Removes a file, if it is there.
pub fn remove_file(path: &Path) -> Result<()> {
    operation("remove a file")?;
    if_there(fs::remove_file(path))
}

/// Removes a folder with all that it holds, if it is there.
pub fn remove_folder(path: &Path) -> Result<()> {
    let entries = match fs::read_dir(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove_folder(&entry.path())?;
        } else {
            remove_file(&entry.path())?;
        }
    }
    operation("remove a folder")?;
    if_there(fs::remove_dir(path))
}

fn if_there(result: Result<()>) -> Result<()> {
    match result {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

/// Comes before each operation: fails where a test kills this thread.
#[cfg(test)]
fn operation(name: &'static str) -> Result<()> {
    kill::operation(name)
}

#[cfg(not(test))]
fn operation(_name: &'static str) -> Result<()> {
    Ok(())
}

/// Whether a test does not count operations: it needs no loss of power.
#[cfg(test)]
fn is_real() -> bool {
    !kill::counts()
}

#[cfg(not(test))]
fn is_real() -> bool {
    true
}

/// Kills: from one operation on, a thread does nothing more.
#[cfg(test)]
pub mod kill {
    use std::cell::RefCell;
    use std::io::{Error, Result};

    struct Life {
        left: usize,
        done: Vec<&'static str>,
    }

    thread_local! {
        static LIFE: RefCell<Option<Life>> = const { RefCell::new(None) };
    }

    pub fn counts() -> bool {
        LIFE.with_borrow(Option::is_some)
    }

    pub fn operation(name: &'static str) -> Result<()> {
        LIFE.with_borrow_mut(|life| match life {
            None => Ok(()),
            Some(life) if life.left == 0 => Err(Error::other("killed")),
            Some(life) => {
                life.left -= 1;
                life.done.push(name);
                Ok(())
            }
        })
    }

    /// Does some work, killed after `operations` of them; returns those that were done, and whether all were.
    pub fn after<T>(operations: usize, work: impl FnOnce() -> anyhow::Result<T>) -> (Vec<&'static str>, bool) {
        LIFE.set(Some(Life { left: operations, done: Vec::new() }));
        let whole = work().is_ok();
        (LIFE.take().map_or_else(Vec::new, |life| life.done), whole)
    }
}
