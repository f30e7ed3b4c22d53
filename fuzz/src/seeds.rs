//! What a fuzzer starts with.

use std::fs;
use std::path::Path;

/// Writes the seeds of a target into its folder below `VDM_SEEDS`, if that is set.
pub fn write(target: &str, seeds: impl FnOnce() -> Vec<Vec<u8>>) {
    let Some(folder) = std::env::var_os("VDM_SEEDS") else { return };
    let folder = Path::new(&folder).join(target);
    fs::create_dir_all(&folder).expect("a folder");
    let write = |(i, seed): (usize, &Vec<u8>)| fs::write(folder.join(format!("seed-{i}")), seed).expect("a file");
    seeds().iter().enumerate().for_each(write);
}
