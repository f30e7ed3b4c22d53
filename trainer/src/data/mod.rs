//! Images: where they come from, which of them are used, and how they are prepared.
//!
//! A file uses only those above it in this list: `source`, `augment`, `remarks`, `table`, `content`, `dicom`, `jpeg`,
//! `decode`, `phantom`, `dataset`, `entry`, `folder`, `listed`, `entries`, `select`, `cache`, `problems`.

mod augment;
mod cache;
mod content;
mod dataset;
mod decode;
mod dicom;
mod entries;
mod entry;
mod folder;
mod jpeg;
mod listed;
mod phantom;
mod problems;
mod remarks;
mod select;
mod source;
mod table;

use std::path::Path;

use anyhow::{Context, Result, ensure};
use vdm::config::Attribute;

use crate::base::interrupt::Interrupt;

pub use augment::AugmentSettings;
use cache::Prepared;
pub use dataset::Dataset;
pub use dicom::{decode as dicom_picture, pixels as dicom_pixels, tags as dicom_tags};
use entry::{Entry, Part};
pub use problems::Problems;
use remarks::Remarks;
pub use source::{ChoiceArgs, DataArgs, DropDuplicates, SourceSettings};

/// Phantoms to train on and to validate on, where no data are given.
const PHANTOMS: [usize; 2] = [1024, 128];

/// The images of a run.
pub struct Loaded {
    /// To train on.
    pub train: Dataset,
    /// To validate on.
    pub validation: Dataset,
    /// The attributes that the classes consist of.
    pub attributes: Vec<Attribute>,
    /// What the images are, in words.
    pub description: String,
    /// What is or may be wrong with them.
    pub problems: Problems,
}

/// Reads the images of a run, or draws phantoms, and says what it found.
///
/// # Errors
/// A source that cannot be read or is not what it should be; an unreadable image; a choice that leaves none;
/// [`Interrupted`](crate::base::interrupt::Interrupted).
pub fn load(
    settings: &SourceSettings,
    seed: u64,
    height: usize,
    width: usize,
    interrupt: &Interrupt,
) -> Result<Loaded> {
    let Some(path) = &settings.path else { return Ok(phantoms(settings, seed, height, width)) };
    let mut source = select::choose(entries::list(path, settings)?, settings)?;
    let (attributes, labels) = select::classes(&mut source, path, settings, None)?;
    let mut remarks = std::mem::take(&mut source.remarks);
    let mut train = Labelled::new(source.all, labels);
    let (mut validation, how) = match &settings.validation {
        Some(path) => {
            let mut other = select::choose(entries::list(path, settings)?, settings)?;
            let (_, labels) = select::classes(&mut other, path, settings, Some(&attributes))
                .with_context(|| format!("cannot validate on {}", path.display()))?;
            other.remarks.print();
            let other = Labelled::new(other.all, labels).without(&[Part::Test]);
            train = train.without(&[Part::Validation, Part::Test]);
            select::compare(&train.entries, &other.entries, &mut remarks);
            (other, "from their own folder".to_owned())
        }
        None => {
            let (parts, how) =
                select::split(&train.entries, settings, settings.split_seed.unwrap_or(seed), &mut remarks);
            let validation = train.only(&parts, Part::Validation);
            let tested = parts.iter().filter(|part| **part == Part::Test).count();
            if tested > 0 {
                eprintln!("data: {tested} test images are left alone, of {} images", parts.len());
            }
            train = train.only(&parts, Part::Train);
            (validation, how)
        }
    };
    remarks.print();
    ensure!(
        !train.entries.is_empty() && !validation.entries.is_empty(),
        "{} gives {} training and {} validation images, too few: pass --validation PATH or another \
         --validation-fraction",
        path.display(),
        train.entries.len(),
        validation.entries.len()
    );
    if let Some(max) = settings.max_images
        && max < train.entries.len()
    {
        let all = train.entries.len();
        eprintln!("data: only the first {max} of {all} training images are used; --max-images all uses all");
        train.truncate(max);
    }
    eprintln!("data: {} training and {} validation images, {how}", train.count(), validation.count());

    let training = train.entries.len();
    let both = Labelled {
        entries: [train.entries, std::mem::take(&mut validation.entries)].concat(),
        labels: [train.labels, validation.labels].concat(),
    };
    let (data, problems, training) = both.prepare(settings, height, width, training, interrupt)?;
    if let Some(table) = problems.table() {
        eprintln!("data: {table}");
    }
    let keep = match settings.drop_duplicates {
        DropDuplicates::None => (0..data.len()).collect(),
        DropDuplicates::Exact => problems::without_duplicates(data.len(), &problems, false),
        DropDuplicates::Near => problems::without_duplicates(data.len(), &problems, true),
    };
    if keep.len() < data.len() {
        eprintln!("data: {} duplicates were left out of {} images", data.len() - keep.len(), data.len());
    }
    let (train, validation): (Vec<usize>, Vec<usize>) = keep.into_iter().partition(|&i| i < training);
    ensure!(!train.is_empty() && !validation.is_empty(), "no image is left to train on, or to validate on");
    Ok(Loaded {
        train: data.subset(&train),
        validation: data.subset(&validation),
        attributes,
        description: path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned(),
        problems,
    })
}

/// Reads all images of a source, in order of their names; `attributes` are the weights'.
///
/// # Errors
/// As [`load`], and where the source has other classes.
pub fn read(
    path: &Path,
    choice: &ChoiceArgs,
    attributes: &[Attribute],
    height: usize,
    width: usize,
) -> Result<Dataset> {
    Ok(read_with_sizes(path, choice, attributes, height, width)?.0)
}

/// As [`read`], with the width and height that each image has in its file.
pub fn read_with_sizes(
    path: &Path,
    choice: &ChoiceArgs,
    attributes: &[Attribute],
    height: usize,
    width: usize,
) -> Result<(Dataset, Vec<[u32; 2]>)> {
    let mut settings = SourceSettings { path: Some(path.to_owned()), ..SourceSettings::default() };
    choice.apply(&mut settings);
    settings.validate()?;
    let mut source = select::choose(entries::list(path, &settings)?, &settings)?;
    // Sub-folders with the names of the classes are the labels; other images have none.
    if choice.labels.is_empty() && select::in_folders(&source, path, attributes) {
        settings.labels = vec![source::Labels::Folders];
    }
    let labels = match attributes.is_empty() || settings.labels.is_empty() {
        true => Vec::new(),
        false => {
            let classes = select::classes(&mut source, path, &settings, Some(attributes));
            classes.with_context(|| format!("{} does not fit the weights", path.display()))?.1
        }
    };
    source.remarks.print();
    let all = Labelled::new(source.all, labels);
    let (data, prepared) = all.read(&settings, height, width, &Interrupt::default())?;
    let sizes = prepared.iter().flatten().map(|original| original.size).collect();
    Ok((data, sizes))
}

/// Fails early where a path is not a source of images.
pub fn check(path: &Path) -> Result<()> {
    entries::list(path, &SourceSettings { skip_unreadable: true, ..SourceSettings::default() }).map(|_| ())
}

/// Width and height of the first image of a folder.
pub fn first_size(folder: &Path) -> Result<[u32; 2]> {
    let files = folder::image_files(folder, true, &mut Remarks::default())?;
    let first = files.first().context("there is no image")?;
    decode::size(first)
}

fn phantoms(settings: &SourceSettings, seed: u64, height: usize, width: usize) -> Loaded {
    let [train, validation] = PHANTOMS;
    let train = train.min(settings.max_images.unwrap_or(usize::MAX));
    eprintln!(
        "data: {train} procedurally drawn thorax phantoms. These are drawings, not X-rays: pass --data DIR to train \
         on images."
    );
    Loaded {
        train: Dataset::phantoms(seed, 0, train, height, width),
        validation: Dataset::phantoms(seed, 1 << 32, validation, height, width),
        attributes: Vec::new(),
        description: "procedurally drawn thorax phantoms, not X-rays".to_owned(),
        problems: Problems::default(),
    }
}

/// `cannot read a.dcm: it has 3 frames: one is accepted` → `it has … frames`: what many files have in common.
fn kind_of(why: &str) -> String {
    let reason = why.split_once(": ").map_or(why, |(_, reason)| reason);
    let reason = reason.split_once(": ").map_or(reason, |(reason, _)| reason);
    let words = reason.split(' ').map(|word| if word.starts_with(|c: char| c.is_ascii_digit()) { "…" } else { word });
    words.collect::<Vec<_>>().join(" ")
}

/// Images with their labels, if there are classes.
struct Labelled {
    entries: Vec<Entry>,
    labels: Vec<usize>,
}

impl Labelled {
    fn new(entries: Vec<Entry>, labels: Vec<usize>) -> Self {
        Self { entries, labels }
    }

    fn only(&self, parts: &[Part], part: Part) -> Self {
        let chosen: Vec<usize> = (0..parts.len()).filter(|&i| parts[i] == part).collect();
        Self {
            entries: chosen.iter().map(|&i| self.entries[i].clone()).collect(),
            labels: chosen.iter().filter_map(|&i| self.labels.get(i).copied()).collect(),
        }
    }

    /// Leaves alone what the source itself keeps for these parts, and says so.
    fn without(self, alone: &[Part]) -> Self {
        let part = |entry: &Entry| entry.part.filter(|part| alone.contains(part)).unwrap_or(Part::Train);
        let parts: Vec<Part> = self.entries.iter().map(part).collect();
        let count = parts.iter().filter(|part| **part != Part::Train).count();
        if count > 0 {
            let of = parts.len();
            eprintln!("data: {count} images that the data keep for validation or test are left alone, of {of} images");
        }
        self.only(&parts, Part::Train)
    }

    fn truncate(&mut self, max: usize) {
        self.entries.truncate(max);
        self.labels.truncate(max);
    }

    /// `12 (of 10 patients)`.
    fn count(&self) -> String {
        match select::patients(&self.entries) {
            Some(patients) => format!("{} (of {patients} patients)", self.entries.len()),
            None => self.entries.len().to_string(),
        }
    }

    /// Prepares the images, and gives them their labels.
    fn read(
        &self,
        settings: &SourceSettings,
        height: usize,
        width: usize,
        interrupt: &Interrupt,
    ) -> Result<(Dataset, Vec<Prepared>)> {
        let (mut data, prepared) = cache::prepare(&self.entries, settings, height, width, interrupt)?;
        if data.skipped > 0 {
            eprintln!("data: {} of {} files are unreadable and were left out", data.skipped, self.entries.len());
            let mut reasons = Remarks::default();
            for (entry, prepared) in self.entries.iter().zip(&prepared) {
                if let Err(why) = prepared {
                    reasons.add(&format!("of them because {}", kind_of(why)), &entry.name);
                }
            }
            reasons.print();
        }
        if !self.labels.is_empty() {
            let kept = prepared.iter().zip(&self.labels).filter(|(prepared, _)| prepared.is_ok());
            data.labels = Some(kept.map(|(_, &label)| label).collect());
        }
        Ok((data, prepared))
    }

    /// Prepares the images; also how many of the first `training` could be read.
    fn prepare(
        self,
        settings: &SourceSettings,
        height: usize,
        width: usize,
        training: usize,
        interrupt: &Interrupt,
    ) -> Result<(Dataset, Problems, usize)> {
        let (data, prepared) = self.read(settings, height, width, interrupt)?;
        let training = prepared[..training].iter().flatten().count();
        let names: Vec<String> = self.entries.into_iter().map(|entry| entry.name).collect();
        let problems = problems::find(&data, &names, &prepared, training);
        Ok((data, problems, training))
    }
}
