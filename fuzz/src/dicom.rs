//! DICOM files.

use std::fs;
use std::path::{Path, PathBuf};

use trainer::untrusted;

use crate::bounds::bounded;
use crate::place::put;

/// Bytes in use for a pixel that a checked header claims: as its coding gives it, as samples and as grey values, twice while
/// one is made of another.
const OF_A_PIXEL: usize = 16;

/// Reads what a file says, and its picture, or refuses it.
pub fn run(input: &[u8]) {
    let path = put("a.dcm", input);
    // Deflated elements are as large as what they inflate to, by 1032 at most.
    let syntaxes: [&[u8]; 3] = [b"1.2.1.99", b"1.2.4.95", b"1.2.4.205"];
    let is_deflated = syntaxes.iter().any(|syntax| input.windows(syntax.len()).any(|window| window == *syntax));
    let length = if is_deflated { 1032 * input.len() } else { input.len() };
    drop(bounded(length, |_| 0, || untrusted::dicom_tags(&path)));
    let needed = |_: &_| OF_A_PIXEL * untrusted::dicom_pixels(&path);
    drop(bounded(length, needed, || untrusted::dicom_picture(&path)));
}

/// The files of the project's tests.
pub fn seeds() -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/dicom");
    let mut paths: Vec<PathBuf> =
        fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|ending| ending == "dcm"));
    paths.sort();
    paths.iter().map(|path| fs::read(path).expect("a file")).collect()
}
