//! Chooses among the images of a source, gives them classes, and splits them by patient.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path};

use anyhow::{Context, Error, Result, anyhow, bail, ensure};
use sha2::{Digest, Sha256};
use vdm::config::{Attribute, Classes};

use super::dicom;
use super::entries::{Entries, count};
use super::entry::{Entry, Part, part_folder};
use super::remarks::Remarks;
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
    let sex = settings.sex.as_ref().map(|sex| dicom::sex(sex).unwrap_or_else(|| sex.clone()));
    accept("sex", sex.as_slice(), all.iter().filter_map(|e| e.sex.as_ref()).collect())?;
    if settings.min_age.or(settings.max_age).is_some() && all.iter().all(|e| e.age.is_none()) {
        return Err(unknown("age", &entries));
    }
    let one_of = |values: &[String], value: &str| values.iter().any(|v| v.eq_ignore_ascii_case(value));
    let fits = |entry: &Entry| {
        let findings = settings.findings.is_empty()
            || (entry.findings.iter().any(|finding| one_of(&settings.findings, finding))
                && (!settings.only_findings || entry.findings.iter().all(|f| one_of(&settings.findings, f))));
        let view = settings.views.is_empty() || entry.view.as_ref().is_some_and(|view| one_of(&settings.views, view));
        let sex = sex.is_none() || entry.sex == sex;
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
    entries.remarks.say(format!("{} of {before} images were chosen, the others left out", entries.all.len()));
    Ok(entries)
}

/// Why images cannot be chosen.
fn unknown(what: &str, entries: &Entries) -> Error {
    match entries.layout {
        Layout::Folder | Layout::Auto => {
            anyhow!("the images have no {what}: plain folders do not give it, DICOM files may")
        }
        _ => {
            let columns = entries.columns.join("`, `");
            anyhow!("the images have no {what}: the table has the columns `{columns}`")
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

/// The attributes of images, and the number of each image's class. `known` are those of weights, or of the training images.
///
/// # Errors
/// No image has a value of an attribute; an image lies in no sub-folder; attributes or values that are not known.
pub fn classes(
    entries: &mut Entries,
    root: &Path,
    settings: &SourceSettings,
    known: Option<&[Attribute]>,
) -> Result<(Vec<Attribute>, Vec<usize>)> {
    let mut attributes = Vec::new();
    if settings.labels.contains(&Labels::Finding) {
        keep_single_findings(entries, settings)?;
    }
    if let Some(known) = known
        && known.len() != settings.labels.len()
    {
        let names: Vec<&str> = known.iter().map(|of| of.name.as_str()).collect();
        bail!(
            "--labels has {} attributes, and {} are asked for: {}",
            settings.labels.len(),
            known.len(),
            names.join(", ")
        );
    }
    let mut values: Vec<Vec<Option<usize>>> = vec![Vec::new(); entries.all.len()];
    for (i, &labels) in settings.labels.iter().enumerate() {
        let of = entries.all.iter().map(|entry| value(entry, labels, root)).collect::<Result<Vec<_>>>()?;
        let there: BTreeSet<&String> = of.iter().flatten().collect();
        if there.is_empty() && known.is_none() {
            return Err(unknown(labels.name(), entries)).context(format!("--labels {} has no effect", labels.name()));
        }
        let attribute = match known {
            Some(known) => known[i].clone(),
            None => Attribute { name: labels.name().to_owned(), values: there.into_iter().cloned().collect() },
        };
        for (name, values) in of.iter().zip(&mut values) {
            let place = |name: &String| attribute.values.iter().position(|value| value == name);
            values.push(match name {
                None => None,
                Some(name) => Some(place(name).with_context(|| {
                    format!("an image has the {} {name}: {} is accepted", labels.name(), attribute.values.join(", "))
                })?),
            });
        }
        let open = of.iter().filter(|value| value.is_none()).count();
        if open > 0 {
            entries.remarks.say(format!("the {} of {open} of {} images is not known", labels.name(), of.len()));
        }
        attributes.push(attribute);
    }
    if attributes.is_empty() {
        return Ok((attributes, Vec::new()));
    }
    let counts: Vec<usize> = attributes.iter().map(|attribute| attribute.values.len()).collect();
    let labels = values.iter().map(|values| Classes(&counts).number(values)).collect();
    Ok((attributes, labels))
}

fn keep_single_findings(entries: &mut Entries, settings: &SourceSettings) -> Result<()> {
    let wanted = |finding: &&String| {
        settings.findings.is_empty() || settings.findings.iter().any(|f| f.eq_ignore_ascii_case(finding))
    };
    let Entries { all, remarks, .. } = entries;
    all.retain_mut(|entry| {
        let of: Vec<String> = entry.findings.iter().filter(wanted).cloned().collect();
        let single = of.len() == 1;
        if single {
            entry.findings = of;
        } else {
            remarks.add("images have no single class, and are left out", &entry.name);
        }
        single
    });
    ensure!(!all.is_empty(), "--labels finding: no image has exactly one finding or label");
    Ok(())
}

fn value(entry: &Entry, labels: Labels, root: &Path) -> Result<Option<String>> {
    Ok(match labels {
        Labels::Folders => Some(class_folder(entry, root)?),
        Labels::Finding => entry.findings.first().cloned(),
        Labels::View => entry.view.clone(),
        Labels::Sex => entry.sex.clone(),
    })
}

/// Whether each image lies in a sub-folder with the name of a value of the only attribute.
pub fn in_folders(entries: &Entries, root: &Path, attributes: &[Attribute]) -> bool {
    let [Attribute { values, .. }] = attributes else { return false };
    entries.all.iter().all(|entry| class_folder(entry, root).is_ok_and(|folder| values.contains(&folder)))
}

/// The sub-folder of an image: the first below the source, or below its train, val or test folder.
fn class_folder(entry: &Entry, root: &Path) -> Result<String> {
    let relative = entry.path.strip_prefix(root).unwrap_or(&entry.path);
    let folders = relative.components().filter_map(|component| match component {
        Component::Normal(name) => Some(name.to_string_lossy()),
        _ => None,
    });
    let path = folders.collect::<Vec<_>>().join("/");
    let below = if entry.part.is_some() { part_folder(&path).map(|(_, below)| below) } else { None };
    // An image may lie in a folder for its part alone, which is its class, too.
    let folder = below.unwrap_or(&path).split_once('/').or_else(|| path.split_once('/')).map(|(folder, _)| folder);
    folder.map(str::to_owned).with_context(|| {
        format!("{} lies in no sub-folder of {}, so it has no class", entry.path.display(), root.display())
    })
}

/// The part of the data that each image belongs to, and how that was decided.
pub fn split(entries: &[Entry], settings: &SourceSettings, seed: u64, remarks: &mut Remarks) -> (Vec<Part>, String) {
    let given = |part: Part| entries.iter().any(|entry| entry.part == Some(part));
    let mut parts: Vec<Part> = entries.iter().map(|entry| entry.part.unwrap_or(Part::Train)).collect();
    let how = if given(Part::Validation) {
        "as the data say".to_owned()
    } else {
        let ours: Vec<usize> = (0..parts.len()).filter(|&i| parts[i] == Part::Train).collect();
        let (held_out, how) = hold_out(&ours.iter().map(|&i| &entries[i]).collect::<Vec<_>>(), settings, seed);
        held_out.into_iter().for_each(|i| parts[ours[i]] = Part::Validation);
        if given(Part::Test) { format!("test images as the data say, the rest {how}") } else { how }
    };
    let mut of: BTreeMap<&str, BTreeSet<Part>> = BTreeMap::new();
    for (entry, &part) in entries.iter().zip(&parts) {
        if let Some(patient) = &entry.patient {
            of.entry(patient).or_default().insert(part);
        }
    }
    if of.len() > 1 {
        let shared = of.iter().filter(|(_, parts)| parts.len() > 1);
        shared.for_each(|(patient, _)| {
            remarks.add("patients have images in several of training, validation and test", patient)
        });
    }
    (parts, how)
}

/// Which images are held out for validation, and how that was decided: whole patients where they are known.
fn hold_out(entries: &[&Entry], settings: &SourceSettings, seed: u64) -> (Vec<usize>, String) {
    let fraction = settings.validation_fraction;
    let known: Vec<&String> = entries.iter().filter_map(|entry| entry.patient.as_ref()).collect();
    let patients: BTreeSet<&String> = known.iter().copied().collect();
    if patients.len() < 2 {
        // Images at regular intervals, where nothing better is known.
        let every = (1.0 / fraction).round().max(2.0) as usize;
        let cause = match known.first() {
            Some(patient) => format!("{} of {} images have the one patient ID {patient}", known.len(), entries.len()),
            None => "patients are not known".to_owned(),
        };
        let held_out = (0..entries.len()).filter(|i| i % every == every - 1).collect();
        return (held_out, format!("one image in {every}: {cause}, so one may be on both sides"));
    }
    let places: Vec<f64> =
        entries.iter().map(|entry| position(entry.patient.as_ref().unwrap_or(&entry.name), seed)).collect();
    let (lowest, highest) = (places.iter().copied().fold(1.0, f64::min), places.iter().copied().fold(0.0, f64::max));
    // Of few patients all may lie on one side; then the nearest to the other changes it.
    let is_held_out = |&i: &usize| (places[i] < fraction || places[i] == lowest) && places[i] != highest;
    let unknown = entries.len() - known.len();
    let how = match unknown {
        0 => "by patient".to_owned(),
        _ => format!("by patient; the patients of {unknown} images are not known, so one may be on both sides"),
    };
    ((0..entries.len()).filter(is_held_out).collect(), how)
}

/// Names the patients that are in both.
pub fn compare(train: &[Entry], validation: &[Entry], remarks: &mut Remarks) {
    let of = |entries: &[Entry]| entries.iter().filter_map(|e| e.patient.clone()).collect::<BTreeSet<_>>();
    let (train, validation) = (of(train), of(validation));
    let shared = train.intersection(&validation);
    shared.for_each(|patient| remarks.add("patients have images in training and in validation", patient));
}

/// A patient's place in [0, 1). It depends on the patient and the seed alone, so added images move no patient.
fn position(patient: &str, seed: u64) -> f64 {
    let hash = Sha256::new().chain_update(seed.to_le_bytes()).chain_update(patient.as_bytes()).finalize();
    let mut first = [0; 8];
    first.copy_from_slice(&hash[..8]);
    (u64::from_le_bytes(first) >> 11) as f64 / (1u64 << 53) as f64
}

/// The number of patients that are known, if any are.
pub fn patients(entries: &[Entry]) -> Option<usize> {
    let all: BTreeSet<&String> = entries.iter().filter_map(|entry| entry.patient.as_ref()).collect();
    Some(all.len()).filter(|&count| count > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(count: usize) -> Vec<Entry> {
        let entry =
            |i: usize| Entry { name: format!("{i:05}.png"), patient: Some((i / 3).to_string()), ..Entry::default() };
        (0..count).map(entry).collect()
    }

    fn divide(entries: &[Entry], seed: u64) -> (Vec<Part>, String) {
        split(entries, &SourceSettings::default(), seed, &mut Remarks::default())
    }

    #[test]
    fn no_patient_is_on_both_sides_and_none_moves() {
        let (few, many) = (entries(300), entries(3000));
        let (parts, how) = divide(&many, 4);
        assert_eq!(how, "by patient");
        let of = |part: Part| -> BTreeSet<_> {
            many.iter().zip(&parts).filter(|(_, p)| **p == part).filter_map(|(e, _)| e.patient.clone()).collect()
        };
        let (train, validation) = (of(Part::Train), of(Part::Validation));
        assert!(train.is_disjoint(&validation));
        assert!((60..140).contains(&validation.len()), "{} of 1000 patients", validation.len());
        assert_eq!(divide(&few, 4).0, parts[..300], "added images move no patient");
        assert_ne!(divide(&few, 5).0, parts[..300], "the seed decides");
    }

    #[test]
    fn test_images_of_the_data_are_left_alone() {
        let mut all = entries(300);
        for entry in &mut all {
            let test = entry.patient.as_ref().is_some_and(|patient| patient.ends_with('7'));
            entry.part = Some(if test { Part::Test } else { Part::Train });
        }
        let (parts, _) = divide(&all, 0);
        for (entry, part) in all.iter().zip(&parts) {
            assert_eq!(entry.part == Some(Part::Test), *part == Part::Test);
        }
        assert!(parts.contains(&Part::Validation));
    }

    #[test]
    fn without_patients_every_tenth_is_held_out_and_said() {
        let all: Vec<Entry> = entries(25).into_iter().map(|e| Entry { patient: None, ..e }).collect();
        let (parts, how) = divide(&all, 0);
        assert_eq!(parts.iter().filter(|part| **part == Part::Validation).count(), 2);
        assert!(how.contains("not known"));
    }

    #[test]
    fn poor_patient_ids_are_divided_as_well_as_can_be() {
        // One ID for all: by image, and the cause is said.
        let all: Vec<Entry> = entries(25).into_iter().map(|e| Entry { patient: Some("ANON".into()), ..e }).collect();
        let (parts, how) = divide(&all, 0);
        assert_eq!(parts.iter().filter(|part| **part == Part::Validation).count(), 2);
        assert!(how.contains("25 of 25 images have the one patient ID ANON"), "{how}");
        // Some unknown: the others stay together and where they were.
        let mut some = entries(300);
        let known = divide(&some, 4).0;
        some[0].patient = None;
        let (parts, how) = divide(&some, 4);
        assert_eq!(parts[1..], known[1..]);
        assert!(how.contains("by patient") && how.contains("1 images are not known"), "{how}");
        // Two patients, whom chance puts on one side.
        let two = entries(6);
        for seed in 0..20 {
            let (parts, _) = divide(&two, seed);
            assert!(parts[..3].iter().all(|p| *p == parts[0]) && parts[3..].iter().all(|p| *p == parts[3]));
            assert_ne!(parts[0], parts[3], "seed {seed}");
        }
    }

    fn labelled(of: &[(&str, Option<&str>, Option<&str>)]) -> Entries {
        let entry = |&(finding, view, sex): &(&str, Option<&str>, Option<&str>)| Entry {
            findings: vec![finding.to_owned()],
            view: view.map(str::to_owned),
            sex: sex.map(str::to_owned),
            ..Entry::default()
        };
        let remarks = Remarks::default();
        Entries { all: of.iter().map(entry).collect(), layout: Layout::Manifest, columns: Vec::new(), remarks }
    }

    #[test]
    fn a_class_has_a_value_of_each_attribute_that_is_known() {
        let settings =
            SourceSettings { labels: vec![Labels::Finding, Labels::View, Labels::Sex], ..SourceSettings::default() };
        let of = |entries: &mut Entries, known: Option<&[Attribute]>| classes(entries, Path::new(""), &settings, known);
        let mut entries =
            labelled(&[("Mass", Some("PA"), Some("F")), ("Edema", None, Some("M")), ("Mass", Some("AP"), None)]);
        let (attributes, labels) = of(&mut entries, None).expect("classes");
        let values: Vec<_> = attributes.iter().map(|of| (of.name.as_str(), of.values.join(","))).collect();
        let expected = [("finding", "Edema,Mass"), ("view", "AP,PA"), ("sex", "F,M")];
        assert_eq!(values, expected.map(|(name, values)| (name, values.to_owned())));
        let counts = [2, 2, 2];
        let labels: Vec<_> = labels.into_iter().map(|label| Classes(&counts).values(label)).collect();
        assert_eq!(labels, [[Some(1), Some(1), Some(0)], [Some(0), None, Some(1)], [Some(1), Some(0), None]]);
        let said = format!("{:?}", entries.remarks);
        assert!(said.contains("the view of 1 of 3 images is not known"), "{said}");
        // By what is known, other images may have fewer values, and no others.
        let (_, labels) = of(&mut labelled(&[("Mass", Some("PA"), None)]), Some(&attributes)).expect("fits");
        assert_eq!(Classes(&counts).values(labels[0]), [Some(1), Some(1), None]);
        let refused = |entries: &mut Entries, known| format!("{:#}", of(entries, known).expect_err("is refused"));
        let said = refused(&mut labelled(&[("Mass", Some("LL"), Some("F"))]), Some(&attributes));
        assert!(said.contains("view LL") && said.contains("AP, PA"), "{said}");
        let said = refused(&mut labelled(&[("Mass", None, Some("F"))]), None);
        assert!(said.contains("view"), "{said}");
        let said = refused(&mut labelled(&[("Mass", Some("PA"), Some("F"))]), Some(&attributes[..1]));
        assert!(said.contains("finding"), "{said}");
    }

    #[test]
    fn patients_on_several_sides_are_named() {
        let mut all = entries(6);
        all.iter_mut().zip([Part::Train, Part::Validation]).for_each(|(entry, part)| entry.part = Some(part));
        let mut remarks = Remarks::default();
        split(&all, &SourceSettings::default(), 0, &mut remarks);
        let said = format!("{remarks:?}");
        assert!(said.contains("several of training") && said.contains("[\"0\"]"), "{said}");
    }
}
