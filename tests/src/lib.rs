//! What the tests that cross the crates share.

use std::path::{Path, PathBuf};

pub mod backends;
pub mod browser;
pub mod programs;
pub mod site;

/// The root of the repository.
pub fn repository() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().unwrap_or(manifest).to_path_buf()
}
