//! Lists the images of a source with what is known of each, before any of them is decoded.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::Path;

use anyhow::{Result, bail, ensure};
use rayon::prelude::*;

use super::decode;
use super::dicom;
use super::entry::Entry;
use super::folder;
use super::listed;
use super::remarks::Remarks;
use super::source::{Layout, SourceSettings};

/// A source's images.
#[derive(Clone, Debug)]
pub struct Entries {
    /// In order of their names.
    pub all: Vec<Entry>,
    /// What the source is.
    pub layout: Layout,
    /// What was left out, and what is odd.
    pub remarks: Remarks,
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
    let (skip, mut remarks) = (settings.skip_unreadable, Remarks::default());
    let (mut all, columns) = match layout {
        Layout::Nih => listed::nih(path, skip, &mut remarks)?,
        Layout::Manifest => listed::manifest(path, skip, &mut remarks)?,
        Layout::Auto | Layout::Folder => (folder::list(path, skip, &mut remarks)?, Vec::new()),
    };
    read_dicom_tags(&mut all, settings, &mut remarks)?;
    Ok(Entries { all, layout, remarks, columns })
}

fn guess(path: &Path) -> Layout {
    let is_table = |ending: &OsStr| ["csv", "tsv", "txt"].iter().any(|known| ending.eq_ignore_ascii_case(known));
    if path.is_file() && path.extension().is_some_and(is_table) {
        Layout::Manifest
    } else if path.is_dir() && listed::nih_table(path).is_some() {
        Layout::Nih
    } else {
        Layout::Folder
    }
}

/// Fills in patient, sex, age and view from DICOM files where the table does not give them. Those that hold no picture,
/// such as reports and directories, are left out.
fn read_dicom_tags(entries: &mut Vec<Entry>, settings: &SourceSettings, remarks: &mut Remarks) -> Result<()> {
    let is_dicom = |entry: &Entry| decode::is_dicom(&entry.path).unwrap_or(false);
    let is_named_picture = |entry: &Entry| {
        let ending = entry.path.extension().map(|ending| ending.to_string_lossy().to_lowercase());
        ending.is_some_and(|ending| ending == "png" || ending.starts_with("jp"))
    };
    // Opening each of a hundred thousand pictures takes long; they are looked into where DICOM files are about.
    let look = entries.iter().take(8).any(is_dicom) || entries.par_iter().any(|e| !is_named_picture(e) && is_dicom(e));
    let read = |entry: &mut Entry| -> Result<bool> {
        if !look || !is_dicom(entry) {
            return Ok(true);
        }
        match dicom::tags(&entry.path) {
            Ok(Some(tags)) => {
                entry.patient = entry.patient.take().or(tags.patient);
                entry.sex = entry.sex.take().or(tags.sex);
                entry.age = entry.age.or(tags.age);
                entry.view = entry.view.take().or(tags.view);
                Ok(true)
            }
            Ok(None) => Ok(false),
            // It is reported as unreadable when it is decoded.
            Err(_) if settings.skip_unreadable => Ok(true),
            Err(error) => bail!("{error:#}\n  hint: pass --skip-unreadable to leave such files out"),
        }
    };
    let is_picture: Vec<bool> = entries.par_iter_mut().map(read).collect::<Result<_>>()?;
    let mut is_picture = is_picture.into_iter();
    entries.retain(|entry| {
        let keep = is_picture.next().unwrap_or(true);
        if !keep {
            remarks.add("DICOM files hold no picture (reports, directories), and are left out", &entry.name);
        }
        keep
    });
    ensure!(!entries.is_empty(), "no file holds a picture");
    Ok(())
}

/// How often each value occurs.
pub fn count<'a>(values: impl Iterator<Item = &'a String>) -> BTreeMap<&'a str, usize> {
    let mut counts = BTreeMap::new();
    for value in values {
        *counts.entry(value.as_str()).or_insert(0) += 1;
    }
    counts
}
