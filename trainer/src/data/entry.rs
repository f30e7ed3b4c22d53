//! One image of a source, and the part of the data that it is given to.

use std::path::PathBuf;

/// An image file and what is known of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// The file.
    pub path: PathBuf,
    /// Its path within the source.
    pub name: String,
    /// Its patient.
    pub patient: Option<String>,
    /// Its findings, or the manifest's label.
    pub findings: Vec<String>,
    /// View position.
    pub view: Option<String>,
    /// M, F or O.
    pub sex: Option<String>,
    /// Years.
    pub age: Option<u32>,
    /// The part of the data that the source gives it to.
    pub part: Option<Part>,
}

/// A part of the data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// To train on.
    Train,
    /// To validate on.
    Validation,
    /// Not used.
    Test,
}

/// The part that the first folder named after one gives to a file, and the path below that folder.
pub fn part_folder(name: &str) -> Option<(Part, &str)> {
    let mut rest = name;
    while let Some((folder, below)) = rest.split_once('/') {
        if let Some(part) = part_named(folder) {
            return Some((part, below));
        }
        rest = below;
    }
    None
}

/// The part of the data that the name of a folder or a value of a column means.
pub fn part_named(name: &str) -> Option<Part> {
    match name.to_ascii_lowercase().as_str() {
        "train" | "training" => Some(Part::Train),
        "val" | "valid" | "validate" | "validation" | "dev" => Some(Part::Validation),
        "test" | "testing" => Some(Part::Test),
        _ => None,
    }
}
