//! The images that a run was started with: a run that continues is told of others.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, bail};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use vdm::weights::sha256_hex;

use crate::base::files::{self, say};
use crate::data::Dataset;

/// The images of a run in their order. The run's folder keeps it as `images.csv`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImageList(Vec<Row>);

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Row {
    part: String,
    image: String,
    label: Option<usize>,
    /// CRC-32C of the prepared pixels.
    crc32c: u32,
}

const FILE: &str = "images.csv";
/// Names in messages.
const NAMED: usize = 3;

impl ImageList {
    /// The list of some training and validation images.
    pub fn of(train: &Dataset, validation: &Dataset) -> Self {
        let rows = |part: &'static str, data: &Dataset| -> Vec<Row> {
            let row = |i: usize| Row {
                part: part.to_owned(),
                image: data.names[i].clone(),
                label: data.labels.as_ref().map(|labels| labels[i]),
                crc32c: crc32c::crc32c(data.image(i)),
            };
            (0..data.len()).into_par_iter().map(row).collect()
        };
        Self([rows("train", train), rows("validation", validation)].concat())
    }

    fn to_csv(&self) -> Result<Vec<u8>> {
        let mut writer = csv::Writer::from_writer(Vec::new());
        self.0.iter().try_for_each(|row| writer.serialize(row))?;
        Ok(writer.into_inner()?)
    }

    /// A hash of all of it.
    pub fn sha256(&self) -> Result<String> {
        Ok(sha256_hex(&self.to_csv()?))
    }

    /// Writes it into a run's folder.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&self, folder: &Path) -> Result<()> {
        files::write_atomic(&folder.join(FILE), &self.to_csv()?)
    }

    /// Compares it with the list in the folder of a run that continues; runs of older versions have none.
    ///
    /// # Errors
    /// Other images, unless they are accepted; a list that cannot be read.
    pub fn compare(&self, folder: &Path, is_accepted: bool) -> Result<()> {
        let path = folder.join(FILE);
        if !path.exists() {
            return Ok(());
        }
        let text = files::read(&path)?;
        let before: Result<Vec<Row>, _> = csv::Reader::from_reader(text.as_slice()).deserialize().collect();
        let before = Self(before.with_context(|| format!("{} is damaged", path.display()))?);
        match before.difference(self) {
            Some(what) if is_accepted => say(format!("the images are not those that the run was started with: {what}")),
            Some(what) => bail!(
                "the images are not those that the run in {} was started with: {what}. Bring them back, or pass \
                 --accept-changed-images to go on with these",
                folder.display()
            ),
            None => {}
        }
        Ok(())
    }

    /// What another list has that this one has not, in words.
    fn difference(&self, now: &Self) -> Option<String> {
        if self == now {
            return None;
        }
        let by_name = |list: &'_ Self| -> BTreeMap<(String, String), Row> {
            list.0.iter().map(|row| ((row.part.clone(), row.image.clone()), row.clone())).collect()
        };
        let (before, after) = (by_name(self), by_name(now));
        let changed = before.iter().filter(|(name, row)| after.get(*name).is_some_and(|now| now != *row));
        let deleted = before.keys().filter(|name| !after.contains_key(*name));
        let added = after.keys().filter(|name| !before.contains_key(*name));
        let parts = [
            counted("changed", changed.map(|(name, _)| name).collect()),
            counted("deleted", deleted.collect()),
            counted("added", added.collect()),
        ];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        Some(if parts.is_empty() { "they have another order".to_owned() } else { parts.join(", ") })
    }
}

/// `2 deleted (validation/a.png, train/b.png)`.
fn counted(what: &str, names: Vec<&(String, String)>) -> Option<String> {
    let first: Vec<String> = names.iter().take(NAMED).map(|(part, image)| format!("{part}: {image}")).collect();
    let more = if names.len() > NAMED { ", …" } else { "" };
    (!names.is_empty()).then(|| format!("{} {what} ({}{more})", names.len(), first.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(images: &[(&str, u8)], labels: Option<Vec<usize>>) -> ImageList {
        let pixels = images.iter().flat_map(|(_, value)| [*value; 4]).collect();
        let names = images.iter().map(|(name, _)| (*name).to_owned()).collect();
        let mut train = Dataset::from_images(2, 2, pixels, names).expect("images");
        train.labels = labels;
        ImageList::of(&train, &Dataset::phantoms(0, 0, 1, 2, 2))
    }

    #[test]
    fn what_changed_since_is_told_and_refused_unless_accepted() {
        let folder = tempfile::tempdir().expect("a folder");
        let before = list(&[("a \"quoted\", name.png", 1), ("b.png", 2)], Some(vec![0, 1]));
        before.compare(folder.path(), false).expect("an older run has no list");
        before.write(folder.path()).expect("writes");
        before.compare(folder.path(), false).expect("the same");
        for (now, named) in [
            (list(&[("a \"quoted\", name.png", 1), ("b.png", 3)], Some(vec![0, 1])), "1 changed (train: b.png)"),
            (list(&[("a \"quoted\", name.png", 1), ("b.png", 2)], Some(vec![0, 0])), "1 changed (train: b.png)"),
            (list(&[("b.png", 2)], Some(vec![1])), "1 deleted (train: a \"quoted\", name.png)"),
            (list(&[("b.png", 2), ("c.png", 3)], Some(vec![1, 0])), "1 added (train: c.png)"),
            (list(&[("b.png", 2), ("a \"quoted\", name.png", 1)], Some(vec![1, 0])), "another order"),
        ] {
            let error = now.compare(folder.path(), false).expect_err("other images").to_string();
            assert!(error.contains(named) && error.contains("--accept-changed-images"), "{error}");
            now.compare(folder.path(), true).expect("is accepted");
            assert_ne!(now.sha256().expect("a hash"), before.sha256().expect("a hash"));
        }
    }
}
