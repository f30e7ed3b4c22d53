//! A folder in memory, for readers that take a path.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

thread_local! {
    static FOLDER: TempDir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("a folder");
}

/// The path of this thread's file of this name.
pub fn path(name: &str) -> PathBuf {
    FOLDER.with(|folder| folder.path().join(name))
}

/// Writes this thread's file of this name.
pub fn put(name: &str, bytes: &[u8]) -> PathBuf {
    let path = path(name);
    if fs::write(&path, bytes).is_err() {
        let folder = path.parent().unwrap_or(Path::new(""));
        fs::create_dir_all(folder).expect("a folder");
        fs::write(&path, bytes).expect("a file");
    }
    path
}
