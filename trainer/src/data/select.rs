//! Chooses among the images of a source, gives them classes, and splits them by patient.

use std::collections::BTreeSet;
use std::path::{Component, Path};

use anyhow::{Context, Error, Result, anyhow, bail, ensure};
use sha2::{Digest, Sha256};

use super::entries::{Entries, Entry, Part, count};
use super::source::{Labels, Layout, SourceSettings};

/// Keeps the images that the settings ask for.
///
/// # Errors
/// A value that no image has, with the values that there are; a choice by what is not known of any image.
pub fn choose(mut entries: Entries, settings: &SourceSettings) -> Result<Entries> {
    if !settings.selects() {
        return Ok(entries);
    }
    let accept = |what: &str, wanted: &[String], there: Vec<&String>| match there.is_empty() {
        true if !wanted.is_empty() => Err(unknown(what, &entries)),
        _ => accept(what, wanted, there.into_iter()),
    };
    let all = &entries.all;
    accept("finding", &settings.findings, all.iter().flat_map(|e| &e.findings).collect())?;
    accept("view", &settings.views, all.iter().filter_map(|e| e.view.as_ref()).collect())?;
    accept("sex", settings.sex.as_slice(), all.iter().filter_map(|e| e.sex.as_ref()).collect())?;
    if settings.min_age.or(settings.max_age).is_some() && all.iter().all(|e| e.age.is_none()) {
        return Err(unknown("age", &entries));
    }
    let one_of = |values: &[String], value: &str| values.iter().any(|v| v.eq_ignore_ascii_case(value));
    let fits = |entry: &Entry| {
        let findings = settings.findings.is_empty()
            || (entry.findings.iter().any(|finding| one_of(&settings.findings, finding))
                && (!settings.only_findings || entry.findings.iter().all(|f| one_of(&settings.findings, f))));
        let view = settings.views.is_empty() || entry.view.as_ref().is_some_and(|view| one_of(&settings.views, view));
        let sex =
            settings.sex.as_ref().is_none_or(|sex| entry.sex.as_ref().is_some_and(|s| s.eq_ignore_ascii_case(sex)));
        let age = match (settings.min_age, settings.max_age) {
            (None, None) => true,
            (min, max) => entry.age.is_some_and(|age| min.is_none_or(|m| age >= m) && max.is_none_or(|m| age <= m)),
        };
        findings && view && sex && age
    };
    let before = entries.all.len();
    entries.all.retain(fits);
    if entries.all.is_empty() {
        bail!("none of the {before} images matches the options that choose images");
    }
    entries.remarks.push(format!("{} of {before} images were chosen, the others left out", entries.all.len()));
    Ok(entries)
}

/// Why images cannot be chosen.
fn unknown(what: &str, entries: &Entries) -> Error {
    match entries.layout {
        Layout::Folder | Layout::Auto => {
            anyhow!("images cannot be chosen by {what}: plain folders do not give it, DICOM files may")
        }
        _ => {
            let columns = entries.columns.join("`, `");
            anyhow!("images cannot be chosen by {what}: the table has the columns `{columns}`")
        }
    }
}

/// Fails if a wanted value does not occur; names the values that do, the most similar first.
fn accept<'a>(what: &str, wanted: &[String], there: impl Iterator<Item = &'a String>) -> Result<()> {
    let counts = count(there);
    for value in wanted {
        if counts.keys().any(|known| known.eq_ignore_ascii_case(value)) {
            continue;
        }
        let mut known: Vec<_> = counts.iter().collect();
        let near = |name: &str| strsim::jaro_winkler(&name.to_lowercase(), &value.to_lowercase());
        known.sort_by(|a, b| near(b.0).total_cmp(&near(a.0)));
        let known: Vec<String> = known.iter().take(20).map(|(name, count)| format!("{name} ({count})")).collect();
        bail!("--{what} is {value}, which no image has: there are {}", known.join(", "));
    }
    Ok(())
}

/// The classes of images: their names in order, and the label of each image that has one.
pub fn classes(entries: &mut Entries, root: &Path, settings: &SourceSettings) -> Result<(Vec<String>, Vec<usize>)> {
    let class_of: Vec<String> = match settings.labels {
        Labels::None => return Ok((Vec::new(), Vec::new())),
        Labels::Folders => entries.all.iter().map(|entry| class_folder(entry, root)).collect::<Result<_>>()?,
        Labels::Finding => {
            let wanted = |finding: &String| {
                settings.findings.is_empty() || settings.findings.iter().any(|f| f.eq_ignore_ascii_case(finding))
            };
            let before = entries.all.len();
            let mut kept = Vec::new();
            entries.all.retain(|entry| {
                let mut of = entry.findings.iter().filter(|finding| wanted(finding));
                let one = match (of.next(), of.next()) {
                    (Some(finding), None) => Some(finding.clone()),
                    _ => None,
                };
                let keep = one.is_some();
                kept.extend(one);
                keep
            });
            ensure!(!kept.is_empty(), "--labels finding: no image has exactly one finding or label");
            if kept.len() < before {
                let left_out = before - kept.len();
                entries.remarks.push(format!("{left_out} of {before} images have no single class and were left out"));
            }
            kept
        }
    };
    let names: BTreeSet<&String> = class_of.iter().collect();
    let names: Vec<String> = names.into_iter().cloned().collect();
    let labels = class_of.iter().map(|class| names.partition_point(|name| name < class)).collect();
    Ok((names, labels))
}

/// Whether each image lies in a sub-folder with the name of a class.
pub fn in_folders(entries: &Entries, root: &Path, class_names: &[String]) -> bool {
    entries.all.iter().all(|entry| class_folder(entry, root).is_ok_and(|folder| class_names.contains(&folder)))
}

/// The sub-folder of an image: the first below the source, or below its train, val or test folder.
fn class_folder(entry: &Entry, root: &Path) -> Result<String> {
    let relative = entry.path.strip_prefix(root).unwrap_or(&entry.path);
    let mut folders: Vec<String> = relative
        .parent()
        .unwrap_or(Path::new(""))
        .components()
        .filter_map(|component| match component {
            Component::Normal(name) => Some(name.to_string_lossy().into_owned()),
            _ => None,
        })
        .collect();
    if entry.part.is_some() && folders.len() > 1 {
        folders.remove(0);
    }
    folders.into_iter().next().with_context(|| {
        format!("{} lies in no sub-folder of {}, so it has no class", entry.path.display(), root.display())
    })
}

/// The part of the data that each image belongs to, and how that was decided.
pub fn split(entries: &[Entry], settings: &SourceSettings, seed: u64) -> (Vec<Part>, String) {
    let fraction = settings.validation_fraction;
    let by_patient = |entry: &Entry| {
        if entry.patient.as_ref().is_some_and(|patient| position(patient, seed) < fraction) {
            Part::Validation
        } else {
            Part::Train
        }
    };
    let patients = entries.iter().all(|entry| entry.patient.is_some());
    let parts = entries.iter().any(|entry| entry.part.is_some());
    if parts {
        let has_validation = entries.iter().any(|entry| entry.part == Some(Part::Validation));
        let part = |entry: &Entry| match entry.part {
            Some(Part::Train) | None if !has_validation && patients => by_patient(entry),
            Some(part) => part,
            None => Part::Train,
        };
        let how = if has_validation { "as the data say" } else { "test images as the data say, the rest by patient" };
        return (entries.iter().map(part).collect(), how.to_owned());
    }
    if patients {
        return (entries.iter().map(by_patient).collect(), "by patient".to_owned());
    }
    // Images at regular intervals, where nothing better is known.
    let every = (1.0 / fraction).round().max(2.0) as usize;
    let part = |i: usize| if i % every == every - 1 { Part::Validation } else { Part::Train };
    let how = format!("every {every}th image: patients are not known, so one may be on both sides");
    ((0..entries.len()).map(part).collect(), how)
}

/// A patient's place in [0, 1). It depends on the patient and the seed alone, so added images move no patient.
fn position(patient: &str, seed: u64) -> f64 {
    let hash = Sha256::new().chain_update(seed.to_le_bytes()).chain_update(patient.as_bytes()).finalize();
    let mut first = [0; 8];
    first.copy_from_slice(&hash[..8]);
    (u64::from_le_bytes(first) >> 11) as f64 / (1u64 << 53) as f64
}

/// The number of patients, if all are known.
pub fn patients<'a>(entries: impl Iterator<Item = &'a Entry>) -> Option<usize> {
    let mut all = BTreeSet::new();
    for entry in entries {
        all.insert(entry.patient.as_ref()?);
    }
    Some(all.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(count: usize) -> Vec<Entry> {
        let entry =
            |i: usize| Entry { name: format!("{i:05}.png"), patient: Some((i / 3).to_string()), ..Entry::default() };
        (0..count).map(entry).collect()
    }

    #[test]
    fn no_patient_is_on_both_sides_and_none_moves() {
        let (few, many) = (entries(300), entries(3000));
        let settings = SourceSettings::default();
        let (parts, how) = split(&many, &settings, 4);
        assert_eq!(how, "by patient");
        let of = |part: Part| -> BTreeSet<_> {
            many.iter().zip(&parts).filter(|(_, p)| **p == part).filter_map(|(e, _)| e.patient.clone()).collect()
        };
        let (train, validation) = (of(Part::Train), of(Part::Validation));
        assert!(train.is_disjoint(&validation));
        assert!((60..140).contains(&validation.len()), "{} of 1000 patients", validation.len());
        assert_eq!(split(&few, &settings, 4).0, parts[..300], "added images move no patient");
        assert_ne!(split(&few, &settings, 5).0, parts[..300], "the seed decides");
    }

    #[test]
    fn test_images_of_the_data_are_left_alone() {
        let mut all = entries(300);
        for entry in &mut all {
            let test = entry.patient.as_ref().is_some_and(|patient| patient.ends_with('7'));
            entry.part = Some(if test { Part::Test } else { Part::Train });
        }
        let (parts, _) = split(&all, &SourceSettings::default(), 0);
        for (entry, part) in all.iter().zip(&parts) {
            assert_eq!(entry.part == Some(Part::Test), *part == Part::Test);
        }
        assert!(parts.contains(&Part::Validation));
    }

    #[test]
    fn without_patients_every_tenth_is_held_out_and_said() {
        let all: Vec<Entry> = entries(25).into_iter().map(|e| Entry { patient: None, ..e }).collect();
        let (parts, how) = split(&all, &SourceSettings::default(), 0);
        assert_eq!(parts.iter().filter(|part| **part == Part::Validation).count(), 2);
        assert!(how.contains("not known"));
    }
}
