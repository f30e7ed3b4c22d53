//! Images that a table lists: NIH's ChestX-ray14, and manifests.

use std::collections::{BTreeMap, HashMap, HashSet, btree_map};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use super::dicom;
use super::entry::{Entry, Part, part_named};
use super::folder::{image_files, within};
use super::remarks::Remarks;
use super::table::{self, Row, Table};

/// Images, and the columns of their table.
pub type Listed = (Vec<Entry>, Vec<String>);

/// Lists ChestX-ray14 as NIH distributes it.
///
/// # Errors
/// Its table is missing or broken, or lists none of the images.
pub fn nih(folder: &Path, skip_unreadable: bool, remarks: &mut Remarks) -> Result<Listed> {
    let path = nih_table(folder)
        .with_context(|| format!("{} holds no Data_Entry_2017*.csv, as ChestX-ray14 does", folder.display()))?;
    let accepted = "NIH's table has `Image Index`, `Finding Labels`, `Patient ID`, and so on";
    let table = Table::read(&path, &["Image Index", "Finding Labels", "Patient ID"], accepted)?;
    let mut files: BTreeMap<String, PathBuf> = BTreeMap::new();
    for file in image_files(folder, skip_unreadable, remarks)? {
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        match files.entry(name) {
            btree_map::Entry::Vacant(free) => {
                free.insert(file);
            }
            btree_map::Entry::Occupied(_) => {
                remarks.add("images have the name of another image, and are left out", within(&file, folder));
            }
        }
    }
    let count = files.len();
    let lists = Lists::read(folder, &files, remarks)?;
    let (mut all, mut spellings, mut seen) = (Vec::new(), HashMap::new(), HashSet::new());
    for row in table.rows() {
        let Some(name) = table.value(&row, &["Image Index"]) else { continue };
        if !seen.insert(name.to_owned()) {
            remarks.add(
                "rows of the table name an image again, and are passed over",
                format!("{name}, line {}", row.line),
            );
            continue;
        }
        let Some(file) = files.remove(name) else {
            remarks.add("rows of the table have no image here", name);
            continue;
        };
        let part = lists.part(name, remarks);
        all.push(Entry { path: file, name: name.to_owned(), part, ..entry(&table, &row, &mut spellings, remarks) });
    }
    files.keys().for_each(|name| remarks.add("images have no row in the table, and are left out", name));
    ensure!(!all.is_empty(), "none of the {count} images under {} is listed in {}", folder.display(), path.display());
    all.sort_by(|a, b| a.name.cmp(&b.name));
    Ok((all, table.columns))
}

/// NIH's own split: the names, without endings, of one or both of its lists.
struct Lists {
    parts: HashMap<String, Part>,
    /// The part of images that are in none of the lists.
    others: Option<Part>,
    both: bool,
}

impl Lists {
    /// Reads the lists that are there. One alone says what the rest is.
    fn read(folder: &Path, files: &BTreeMap<String, PathBuf>, remarks: &mut Remarks) -> Result<Self> {
        let stems: HashSet<&str> = files.keys().map(|name| stem(name)).collect();
        let (mut parts, mut found) = (HashMap::new(), Vec::new());
        for (name, part) in [("train_val_list", Part::Train), ("test_list", Part::Test)] {
            // Other sites give them other endings, such as `test_list_NIH.txt`.
            let Some(path) = file_named(folder, name, ".txt") else { continue };
            let text = table::text(&path)?;
            let names: Vec<&str> = text.lines().map(stem).filter(|name| !name.is_empty()).collect();
            ensure!(!names.is_empty(), "{} names no image: one name a line is accepted", path.display());
            let absent = names.iter().filter(|name| !stems.contains(*name));
            absent.for_each(|absent| remarks.add(&format!("names in {name} have no image here"), absent));
            parts.extend(names.into_iter().map(|name| (name.to_owned(), part)));
            found.push(part);
        }
        let others = match found[..] {
            [Part::Train] => Some(Part::Test),
            [Part::Test] => Some(Part::Train),
            _ => None,
        };
        Ok(Self { parts, others, both: found.len() == 2 })
    }

    fn part(&self, name: &str, remarks: &mut Remarks) -> Option<Part> {
        let part = self.parts.get(stem(name)).copied().or(self.others);
        if self.both && part.is_none() {
            remarks.add("images are neither in train_val_list.txt nor in test_list.txt, and are trained on", name);
        }
        part
    }
}

/// `images/00000001_000.png` → `00000001_000`.
fn stem(name: &str) -> &str {
    let name = name.trim().rsplit(['/', '\\']).next().unwrap_or_default();
    name.rsplit_once('.').map_or(name, |(stem, _)| stem)
}

/// Columns of a manifest.
const MANIFEST: &str = "a manifest has a column `path`, and may have `label`, `patient`, `split`, `view`, `age`, `sex`";

/// Lists the images of a manifest.
///
/// # Errors
/// It is broken, names an image twice, or names files that do not exist, unless such are to be left out.
pub fn manifest(path: &Path, skip_unreadable: bool, remarks: &mut Remarks) -> Result<Listed> {
    ensure!(path.is_file(), "{} is not a file: a .csv manifest is accepted", path.display());
    let table = Table::read(path, &["path"], MANIFEST)?;
    let base = path.parent().unwrap_or(Path::new(""));
    let (mut all, mut missing, mut spellings, mut lines) = (Vec::new(), Vec::new(), HashMap::new(), HashMap::new());
    for row in table.rows() {
        let of = || format!("{} line {}", path.display(), row.line);
        let name = table.value(&row, &["path"]).with_context(|| format!("{} has no path", of()))?;
        let part = match table.value(&row, &["split"]) {
            None => None,
            Some(text) => Some(
                part_named(text)
                    .with_context(|| format!("{}: split is `{text}`: train, validation or test is accepted", of()))?,
            ),
        };
        let Some(file) = find(base, name) else {
            missing.push(name.to_owned());
            continue;
        };
        if let Some(first) = lines.insert(file.clone(), row.line) {
            bail!("{} lists {name} twice: it is in line {first} too", of());
        }
        let mut entry = entry(&table, &row, &mut spellings, remarks);
        entry.patient = entry.patient.or_else(|| patient_folder(name));
        all.push(Entry { path: file, name: name.replace('\\', "/"), part, ..entry });
    }
    let listed = all.len() + missing.len();
    ensure!(listed > 0, "{} lists no image", path.display());
    if skip_unreadable && !all.is_empty() {
        missing.iter().for_each(|name| remarks.add("files of the table do not exist, and are left out", name));
    } else if !missing.is_empty() {
        bail!(
            "{} of the {listed} files that {} lists do not exist: {}{}\n  hint: paths count from the table's folder or the \
             one above it; pass --skip-unreadable to leave such files out",
            missing.len(),
            path.display(),
            missing[..missing.len().min(3)].join(", "),
            if missing.len() > 3 { ", …" } else { "" }
        );
    }
    Ok((all, table.columns))
}

/// The file of a manifest's path: below the manifest's folder or the one above, with slashes or backslashes. CheXpert's
/// paths start with the name of the folder in which the table lies, or of the archive that it came from.
fn find(base: &Path, name: &str) -> Option<PathBuf> {
    let slashed = name.replace('\\', "/");
    let below_first = slashed.split_once('/').map_or("", |(_, rest)| rest).to_owned();
    [base.join(name), base.join(&slashed), base.join("..").join(&slashed), base.join(below_first)]
        .into_iter()
        .find(|file| file.is_file())
}

/// `train/patient00001/study1/view1.jpg` → `patient00001`, as CheXpert names its folders.
fn patient_folder(name: &str) -> Option<String> {
    let is_patient = |folder: &&str| {
        let number = folder.strip_prefix("patient").unwrap_or_default();
        !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit())
    };
    name.split(['/', '\\']).find(is_patient).map(str::to_owned)
}

/// NIH's table in a folder. The corrected table of 2020 has a longer name.
pub fn nih_table(folder: &Path) -> Option<PathBuf> {
    file_named(folder, "Data_Entry_2017", ".csv")
}

/// The last in name order of a folder's files whose names start and end so.
fn file_named(folder: &Path, start: &str, end: &str) -> Option<PathBuf> {
    let paths = std::fs::read_dir(folder).ok()?.filter_map(|entry| Some(entry.ok()?.path()));
    let fits = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with(start) && name.ends_with(end)
    };
    paths.filter(fits).max()
}

/// What a row of a table says about its image, without the file. `spellings` are those of patients and findings so far:
/// one that differs only by case, or by zeros before a number, is the same.
fn entry(table: &Table, row: &Row, spellings: &mut HashMap<String, String>, remarks: &mut Remarks) -> Entry {
    let value = |names: &[&str]| table.value(row, names);
    let mut one_spelling = |kind: &str, text: &str, plain: String, what: &str| {
        let known = spellings.entry(format!("{kind} {plain}")).or_insert_with(|| text.to_owned());
        if known != text {
            remarks.add(what, format!("{text} is taken as {known}"));
        }
        known.clone()
    };
    let patient = value(&["Patient ID", "patient", "patient_id", "PatientID"]).map(|text| {
        let is_number = text.bytes().all(|b| b.is_ascii_digit());
        let plain = if is_number { text.trim_start_matches('0') } else { text };
        one_spelling("patient", text, plain.to_owned(), "rows spell their patient in another way than a row above")
    });
    let labels = value(&["Finding Labels", "label"]).unwrap_or_default().split('|').map(str::trim);
    let findings: Vec<String> = labels
        .filter(|finding| !finding.is_empty())
        .map(|text| {
            one_spelling(
                "finding",
                text,
                text.to_lowercase(),
                "rows spell their finding in another way than a row above",
            )
        })
        .collect();
    let mut known = |what: &str, text: Option<&str>, read: Option<String>| {
        if let (Some(text), None) = (text, &read) {
            remarks.add(what, format!("{text} in line {}", row.line));
        }
        read
    };
    let (age, sex) = (value(&["Patient Age", "age"]), value(&["Patient Gender", "Patient Sex", "sex", "gender"]));
    let years = known(
        "ages are impossible or unreadable, and taken as unknown",
        age,
        age.and_then(dicom::years).map(|years| years.to_string()),
    );
    let sex = known("values of sex are none of F, M and O, and taken as unknown", sex, sex.and_then(dicom::sex));
    if findings.len() > 1 && findings.iter().any(|finding| finding.eq_ignore_ascii_case("No Finding")) {
        remarks.add("images have `No Finding` beside a finding", format!("line {}", row.line));
    }
    let view = value(&["View Position", "view", "AP/PA"]).or_else(|| value(&["Frontal/Lateral"]));
    Entry {
        patient,
        findings,
        view: view.map(str::to_uppercase),
        sex,
        age: years.and_then(|years| years.parse().ok()),
        ..Entry::default()
    }
}
