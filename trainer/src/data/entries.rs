//! Lists the images of a source with what is known of each, before any of them is decoded.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use rayon::prelude::*;
use walkdir::WalkDir;

use super::dicom;
use super::source::{Layout, SourceSettings};

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

/// A source's images.
#[derive(Clone, Debug)]
pub struct Entries {
    /// In order of their names.
    pub all: Vec<Entry>,
    /// What the source is.
    pub layout: Layout,
    /// Remarks for the user: files without a row, rows without a file.
    pub remarks: Vec<String>,
    /// Columns of the table, if there is one.
    pub columns: Vec<String>,
}

/// Lists a source.
///
/// # Errors
/// It cannot be read, is not what it should be, or holds no image.
pub fn list(path: &Path, settings: &SourceSettings) -> Result<Entries> {
    let layout = match settings.layout {
        Layout::Auto => guess(path),
        layout => layout,
    };
    let mut entries = match layout {
        Layout::Nih => nih(path)?,
        Layout::Manifest => manifest(path)?,
        Layout::Auto | Layout::Folder => folder(path)?,
    };
    read_dicom_tags(&mut entries.all, settings)?;
    Ok(entries)
}

fn guess(path: &Path) -> Layout {
    if path.is_file() && path.extension().is_some_and(|e| e.eq_ignore_ascii_case("csv")) {
        Layout::Manifest
    } else if path.is_dir() && nih_table(path).is_some() {
        Layout::Nih
    } else {
        Layout::Folder
    }
}

/// Image files under a folder, in order of their paths.
pub fn image_files(folder: &Path) -> Result<Vec<PathBuf>> {
    if !folder.is_dir() {
        bail!(
            "{} is not a folder: a folder of PNG, JPEG or DICOM images, or a .csv manifest is accepted",
            folder.display()
        );
    }
    let mut files = Vec::new();
    for entry in WalkDir::new(folder).follow_links(true).sort_by_file_name() {
        let entry = entry.with_context(|| format!("cannot read the folder {}", folder.display()))?;
        if !entry.file_type().is_file() {
            continue;
        }
        let extension = entry.path().extension().map(|e| e.to_ascii_lowercase());
        let is_image = match &extension {
            Some(e) => ["png", "jpg", "jpeg", "dcm", "dicom", "dic"].iter().any(|known| e == known),
            // DICOM files of archives often have no extension, only their content shows.
            None => dicom::is_dicom(entry.path()),
        };
        if is_image {
            files.push(entry.into_path());
        }
    }
    if files.is_empty() {
        bail!("{} holds no .png, .jpg, .jpeg or DICOM file", folder.display());
    }
    Ok(files)
}

fn folder(path: &Path) -> Result<Entries> {
    let all: Vec<Entry> = image_files(path)?
        .into_iter()
        .map(|file| {
            let name = file.strip_prefix(path).unwrap_or(&file).to_string_lossy().replace('\\', "/");
            let part = name.split_once('/').and_then(|(first, _)| part_named(first));
            Entry { path: file, name, part, ..Entry::default() }
        })
        .collect();
    // Folders named train and test count only if every image lies in one.
    let split = all.iter().all(|entry| entry.part.is_some()) && all.iter().any(|e| e.part == Some(Part::Train));
    let clear = |entry: Entry| if split { entry } else { Entry { part: None, ..entry } };
    Ok(Entries {
        all: all.into_iter().map(clear).collect(),
        layout: Layout::Folder,
        remarks: Vec::new(),
        columns: Vec::new(),
    })
}

/// The part of the data that the name of a folder or a value of a column means.
fn part_named(name: &str) -> Option<Part> {
    match name.to_ascii_lowercase().as_str() {
        "train" | "training" => Some(Part::Train),
        "val" | "valid" | "validation" => Some(Part::Validation),
        "test" | "testing" => Some(Part::Test),
        _ => None,
    }
}

fn nih_table(folder: &Path) -> Option<PathBuf> {
    let mut tables: Vec<PathBuf> = std::fs::read_dir(folder)
        .ok()?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            name.starts_with("Data_Entry_2017") && name.ends_with(".csv")
        })
        .collect();
    tables.sort();
    // The corrected table of 2020 has a longer name.
    tables.pop()
}

/// A CSV file with a header.
struct Table {
    columns: Vec<String>,
    rows: Vec<csv::StringRecord>,
}

impl Table {
    fn read(path: &Path, needed: &[&str], accepted: &str) -> Result<Self> {
        let cannot = || format!("cannot read {}", path.display());
        let mut reader = csv::ReaderBuilder::new().flexible(true).from_path(path).with_context(cannot)?;
        let columns: Vec<String> = reader
            .headers()
            .with_context(cannot)?
            .iter()
            .map(|c| c.trim().trim_start_matches('\u{feff}').to_owned())
            .collect();
        for column in needed {
            ensure!(
                columns.iter().any(|c| c.eq_ignore_ascii_case(column)),
                "{} has no column `{column}`: it has {}; {accepted}",
                path.display(),
                columns.iter().filter(|c| !c.is_empty()).map(|c| format!("`{c}`")).collect::<Vec<_>>().join(", ")
            );
        }
        let rows = reader.records().collect::<Result<_, _>>().with_context(cannot)?;
        Ok(Self { columns, rows })
    }

    fn column(&self, names: &[&str]) -> Option<usize> {
        self.columns.iter().position(|c| names.iter().any(|name| c.eq_ignore_ascii_case(name)))
    }

    /// What a row says about its image, without the file.
    fn entry(&self, row: &csv::StringRecord) -> Entry {
        let value = |names: &[&str]| self.value(row, self.column(names));
        let findings = value(&["Finding Labels", "label"]).unwrap_or_default().split('|').map(str::trim);
        Entry {
            patient: value(&["Patient ID", "patient"]).map(str::to_owned),
            findings: findings.filter(|finding| !finding.is_empty()).map(str::to_owned).collect(),
            view: value(&["View Position", "view"]).map(str::to_uppercase),
            sex: value(&["Patient Gender", "Patient Sex", "sex"]).map(str::to_uppercase),
            age: value(&["Patient Age", "age"]).and_then(dicom::years),
            ..Entry::default()
        }
    }

    fn value<'a>(&self, row: &'a csv::StringRecord, column: Option<usize>) -> Option<&'a str> {
        row.get(column?).map(str::trim).filter(|value| !value.is_empty())
    }
}

fn nih(folder: &Path) -> Result<Entries> {
    let path = nih_table(folder)
        .with_context(|| format!("{} holds no Data_Entry_2017*.csv, as ChestX-ray14 does", folder.display()))?;
    let accepted = "NIH's table has `Image Index`, `Finding Labels`, `Patient ID`, and so on";
    let table = Table::read(&path, &["Image Index", "Finding Labels", "Patient ID"], accepted)?;
    let image = table.column(&["Image Index"]);
    let mut files: HashMap<String, PathBuf> = HashMap::new();
    let mut twice = 0;
    for file in image_files(folder)? {
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if files.insert(name, file).is_some() {
            twice += 1;
        }
    }
    let official = official_parts(folder)?;
    let (mut all, mut absent, mut seen) = (Vec::new(), 0usize, HashSet::new());
    for row in &table.rows {
        let Some(name) = table.value(row, image) else { continue };
        let Some(file) = files.get(name) else {
            absent += 1;
            continue;
        };
        if !seen.insert(name.to_owned()) {
            continue;
        }
        let part = official.as_ref().and_then(|parts| parts.get(name).copied());
        all.push(Entry { path: file.clone(), name: name.to_owned(), part, ..table.entry(row) });
    }
    let without_row = files.len() - seen.len();
    ensure!(
        !all.is_empty(),
        "none of the {} images under {} is listed in {}",
        files.len(),
        folder.display(),
        path.display()
    );
    all.sort_by(|a, b| a.name.cmp(&b.name));
    let of = format!("of {} images", files.len() + twice);
    let remarks = [
        (absent, "rows of the table have no image here".to_owned()),
        (without_row, format!("{of} have no row in the table, and are left out")),
        (twice, format!("{of} have the name of another image, and are left out")),
    ];
    let remarks = remarks.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}"));
    Ok(Entries { all, layout: Layout::Nih, remarks: remarks.collect(), columns: table.columns })
}

/// NIH's own split, if both its lists are there.
fn official_parts(folder: &Path) -> Result<Option<HashMap<String, Part>>> {
    let mut parts = HashMap::new();
    for (file, part) in [("train_val_list.txt", Part::Train), ("test_list.txt", Part::Test)] {
        let path = folder.join(file);
        if !path.exists() {
            return Ok(None);
        }
        let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        parts.extend(text.lines().map(|line| (line.trim().to_owned(), part)));
    }
    Ok(Some(parts))
}

/// Columns of a manifest.
const MANIFEST: &str = "a manifest has a column `path`, and may have `label`, `patient`, `split`, `view`, `age`, `sex`";

fn manifest(path: &Path) -> Result<Entries> {
    ensure!(path.is_file(), "{} is not a file: a .csv manifest is accepted", path.display());
    let table = Table::read(path, &["path"], MANIFEST)?;
    let (file, split) = (table.column(&["path"]), table.column(&["split"]));
    let base = path.parent().unwrap_or(Path::new(""));
    let (mut all, mut missing) = (Vec::new(), Vec::new());
    for (number, row) in table.rows.iter().enumerate() {
        let line = number + 2;
        let name = table.value(row, file).with_context(|| format!("{} line {line} has no path", path.display()))?;
        let part = match table.value(row, split) {
            None => None,
            Some(text) => Some(part_named(text).with_context(|| {
                format!("{} line {line}: split is `{text}`: train, validation or test is accepted", path.display())
            })?),
        };
        let file = base.join(name);
        if !file.is_file() {
            missing.push(name.to_owned());
        }
        all.push(Entry { path: file, name: name.to_owned(), part, ..table.entry(row) });
    }
    ensure!(!all.is_empty(), "{} lists no image", path.display());
    if !missing.is_empty() {
        let first: Vec<_> = missing.iter().take(3).map(String::as_str).collect();
        bail!(
            "{} of the {} files that {} lists do not exist: {}{}",
            missing.len(),
            all.len(),
            path.display(),
            first.join(", "),
            if missing.len() > 3 { ", …" } else { "" }
        );
    }
    let unique: BTreeSet<_> = all.iter().map(|entry| &entry.path).collect();
    ensure!(unique.len() == all.len(), "{} lists {} files twice", path.display(), all.len() - unique.len());
    Ok(Entries { all, layout: Layout::Manifest, remarks: Vec::new(), columns: table.columns })
}

/// Fills in patient, sex, age and view from DICOM files where the table does not give them.
fn read_dicom_tags(entries: &mut [Entry], settings: &SourceSettings) -> Result<()> {
    let is_dicom = |entry: &Entry| {
        let extension = entry.path.extension().map(|e| e.to_ascii_lowercase());
        !extension.is_some_and(|e| e == "png" || e == "jpg" || e == "jpeg")
    };
    entries.par_iter_mut().filter(|entry| is_dicom(entry)).try_for_each(|entry| {
        match dicom::tags(&entry.path) {
            Ok(tags) => {
                entry.patient = entry.patient.take().or(tags.patient);
                entry.sex = entry.sex.take().or(tags.sex);
                entry.age = entry.age.or(tags.age);
                entry.view = entry.view.take().or(tags.view);
                Ok(())
            }
            // It is reported as unreadable when it is decoded.
            Err(_) if settings.skip_unreadable => Ok(()),
            Err(error) => Err(error.context("pass --skip-unreadable to leave such files out")),
        }
    })
}

/// How often each value occurs.
pub fn count<'a>(values: impl Iterator<Item = &'a String>) -> BTreeMap<&'a str, usize> {
    let mut counts = BTreeMap::new();
    for value in values {
        *counts.entry(value.as_str()).or_insert(0) += 1;
    }
    counts
}
