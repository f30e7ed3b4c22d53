//! Which images to use: the settings, and the command-line options that set them.

use std::path::PathBuf;

use anyhow::{Result, ensure};
use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};

/// Where images come from, and which of them are used.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceSettings {
    /// A folder of images, NIH's ChestX-ray14, or a CSV manifest; phantoms if absent.
    pub path: Option<PathBuf>,
    /// Validation images, in the same form; held out of `path` if absent.
    pub validation: Option<PathBuf>,
    /// What `path` is.
    pub layout: Layout,
    /// What of an image its class consists of; there are no classes if empty.
    pub labels: Vec<Labels>,
    /// Use images with one of these findings; all if empty.
    pub findings: Vec<String>,
    /// Use only images that have no other finding.
    pub only_findings: bool,
    /// Use these view positions, such as PA and AP; all if empty.
    pub views: Vec<String>,
    /// Use images of one sex: F, M or O.
    pub sex: Option<String>,
    /// Minimum age in years.
    pub min_age: Option<u32>,
    /// Maximum age in years.
    pub max_age: Option<u32>,
    /// Fraction of the patients, or of the images if patients are unknown, that is held out for validation.
    pub validation_fraction: f64,
    /// Seed of the split by patient; the run's seed if absent, as in runs of older versions.
    pub split_seed: Option<u64>,
    /// Number of images to train on, the first in name order; all if absent.
    pub max_images: Option<usize>,
    /// Leave unreadable images out instead of stopping at the first.
    pub skip_unreadable: bool,
    /// Bits that 16-bit PNG files use, if they fit; 16 if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub png_bits: Option<u32>,
    /// Which duplicates are left out.
    pub drop_duplicates: DropDuplicates,
    /// Folder of prepared images; the user's cache folder if absent.
    pub cache: Option<PathBuf>,
}

impl Default for SourceSettings {
    fn default() -> Self {
        Self {
            path: None,
            validation: None,
            layout: Layout::Auto,
            labels: Vec::new(),
            findings: Vec::new(),
            only_findings: false,
            views: Vec::new(),
            sex: None,
            min_age: None,
            max_age: None,
            validation_fraction: 0.1,
            split_seed: Some(0),
            max_images: None,
            skip_unreadable: false,
            png_bits: None,
            drop_duplicates: DropDuplicates::None,
            cache: None,
        }
    }
}

/// What a source of images is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Layout {
    /// NIH if the folder holds Data_Entry_2017*.csv, a manifest if the path is a CSV file, else a folder
    Auto,
    /// Every image below a folder
    Folder,
    /// ChestX-ray14 as distributed by NIH
    Nih,
    /// A CSV file with a column `path`
    Manifest,
}

/// An attribute of images that a class has a value of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Labels {
    /// The name of its sub-folder
    Folders,
    /// Its finding, or the manifest's label; images with several are left out
    Finding,
    /// The view position, where it is known
    View,
    /// The sex, where it is known
    Sex,
}

impl Labels {
    /// The name of the attribute.
    pub fn name(self) -> &'static str {
        match self {
            Self::Folders => "folder",
            Self::Finding => "finding",
            Self::View => "view",
            Self::Sex => "sex",
        }
    }
}

/// Which duplicates are left out. The first in name order is kept; across the split, the validation image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum DropDuplicates {
    /// None, but all are reported
    None,
    /// Images with the same pixels
    Exact,
    /// Also images that look the same
    Near,
}

impl SourceSettings {
    /// Checks what can be checked without reading files.
    pub fn validate(&self) -> Result<()> {
        ensure!(self.max_images != Some(0), "--max-images is 0: a number from 1, or `all`, is accepted");
        ensure!(
            (0.0..1.0).contains(&self.validation_fraction) && self.validation_fraction > 0.0,
            "--validation-fraction is {}: a number between 0 and 1 is accepted",
            self.validation_fraction
        );
        if let Some(bits) = self.png_bits {
            ensure!((8..=16).contains(&bits), "--png-bits is {bits}: 8 to 16 is accepted");
        }
        if let (Some(min), Some(max)) = (self.min_age, self.max_age) {
            ensure!(min <= max, "--min-age is {min} and --max-age is {max}: the minimum must not be above the maximum");
        }
        let repeated = (1..self.labels.len()).any(|i| self.labels[..i].contains(&self.labels[i]));
        ensure!(!repeated, "--labels names an attribute twice: each is accepted once");
        if self.path.is_none() {
            let asked = self.validation.is_some() || !self.labels.is_empty() || self.selects();
            ensure!(!asked, "--validation, --labels and the options that choose images need --data");
        }
        Ok(())
    }

    /// Whether validation images are held out of the others.
    pub fn splits(&self) -> bool {
        self.path.is_some() && self.validation.is_none()
    }

    /// Whether images are chosen by their findings, view, sex or age.
    pub fn selects(&self) -> bool {
        !self.findings.is_empty()
            || !self.views.is_empty()
            || self.sex.is_some()
            || self.min_age.or(self.max_age).is_some()
    }
}

/// Options that name and choose images.
#[derive(Clone, Debug, Default, Args)]
pub struct DataArgs {
    /// Images: a folder of PNG, JPEG or DICOM files, NIH's ChestX-ray14 as distributed, or a CSV manifest with a column
    /// `path` [default: built-in phantoms]
    #[arg(long, value_name = "PATH")]
    pub data: Option<PathBuf>,
    /// Validation images, in the same form [default: a tenth of the patients of --data is held out]
    #[arg(long, value_name = "PATH")]
    pub validation: Option<PathBuf>,
    /// Options that other commands share.
    #[command(flatten)]
    pub choice: ChoiceArgs,
    /// Images to train on, the first in name order: a number, or all [default: all; the paper took 1341]
    #[arg(long, value_name = "N", value_parser = count_or_all)]
    pub max_images: Option<CountOrAll>,
    /// Fraction of the patients that is held out [default: 0.1]
    #[arg(long, value_name = "FRACTION")]
    pub validation_fraction: Option<f64>,
}

/// Options that choose images.
#[derive(Clone, Debug, Default, Args)]
pub struct ChoiceArgs {
    /// What the path holds [default: auto]
    #[arg(long, value_enum)]
    pub layout: Option<Layout>,
    /// What of an image its class consists of, one or several, such as finding,view,sex [default: no classes]
    #[arg(long, value_enum, value_delimiter = ',')]
    pub labels: Vec<Labels>,
    /// Use images with this finding; may be given several times [default: all]
    #[arg(long, value_name = "FINDING")]
    pub finding: Vec<String>,
    /// Use only images that have no other finding
    #[arg(long)]
    pub only_findings: bool,
    /// Use this view position, such as PA; may be given several times [default: all]
    #[arg(long, value_name = "VIEW")]
    pub view: Vec<String>,
    /// Use images of one sex: F, M or O [default: all]
    #[arg(long, value_name = "SEX")]
    pub sex: Option<String>,
    /// Minimum age in years
    #[arg(long, value_name = "YEARS")]
    pub min_age: Option<u32>,
    /// Maximum age in years
    #[arg(long, value_name = "YEARS")]
    pub max_age: Option<u32>,
    /// Leave out and count unreadable images instead of stopping at the first
    #[arg(long)]
    pub skip_unreadable: bool,
    /// Bits of 16-bit PNG files that are dark because they use fewer, such as 12; they are stretched to white [default: 16]
    #[arg(long, value_name = "BITS")]
    pub png_bits: Option<u32>,
    /// Which duplicates to leave out [default: none; they are reported]
    #[arg(long, value_enum)]
    pub drop_duplicates: Option<DropDuplicates>,
    /// Folder of prepared images, which may be emptied at any time; files that were not used for 90 days are removed
    /// [default: the user's cache folder]
    #[arg(long, value_name = "DIR", env = "VDM_CACHE")]
    pub cache: Option<PathBuf>,
}

/// A number of images, or all there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CountOrAll {
    /// This many.
    Count(usize),
    /// All there are.
    All,
}

fn count_or_all(text: &str) -> Result<CountOrAll, String> {
    match (text, text.parse()) {
        ("all", _) => Ok(CountOrAll::All),
        (_, Ok(count)) if count > 0 => Ok(CountOrAll::Count(count)),
        _ => Err("a number from 1, or `all`, is accepted".to_owned()),
    }
}

fn set<T: Clone>(field: &mut T, option: &Option<T>) {
    if let Some(value) = option {
        field.clone_from(value);
    }
}

fn fill<T: Clone>(field: &mut Option<T>, option: &Option<T>) {
    if option.is_some() {
        field.clone_from(option);
    }
}

impl DataArgs {
    /// Overrides settings by the options that are given.
    pub fn apply(&self, settings: &mut SourceSettings) {
        fill(&mut settings.path, &self.data);
        fill(&mut settings.validation, &self.validation);
        self.choice.apply(settings);
        match self.max_images {
            Some(CountOrAll::Count(count)) => settings.max_images = Some(count),
            Some(CountOrAll::All) => settings.max_images = None,
            None => {}
        }
        set(&mut settings.validation_fraction, &self.validation_fraction);
    }
}

impl ChoiceArgs {
    /// Overrides settings by the options that are given.
    pub fn apply(&self, settings: &mut SourceSettings) {
        set(&mut settings.layout, &self.layout);
        set(&mut settings.drop_duplicates, &self.drop_duplicates);
        fill(&mut settings.sex, &self.sex);
        fill(&mut settings.min_age, &self.min_age);
        fill(&mut settings.max_age, &self.max_age);
        fill(&mut settings.cache, &self.cache);
        fill(&mut settings.png_bits, &self.png_bits);
        if !self.labels.is_empty() {
            settings.labels.clone_from(&self.labels);
        }
        for (field, option) in [(&mut settings.findings, &self.finding), (&mut settings.views, &self.view)] {
            if !option.is_empty() {
                field.clone_from(option);
            }
        }
        settings.skip_unreadable |= self.skip_unreadable;
        settings.only_findings |= self.only_findings;
    }
}
