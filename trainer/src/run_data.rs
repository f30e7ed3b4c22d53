//! The images of a run, and where its weights will say that they come from.

use std::time::SystemTime;

use anyhow::{Result, ensure};
use vdm::weights::Provenance;

use crate::data::{self, Dataset, Unreadable};
use crate::run::RunSettings;
use crate::sample::SOFTWARE;

/// Phantoms to train on, and to validate on, where no data is given.
const PHANTOMS: [usize; 2] = [1024, 128];

/// The data of a run and its settings with what followed from the data.
pub struct RunData {
    /// The settings, with the number of classes.
    pub settings: RunSettings,
    /// The images to train on.
    pub train: Dataset,
    /// The images to validate on.
    pub validation: Dataset,
    /// The provenance, but for the steps taken.
    pub provenance: Provenance,
}

/// Reads the images that the settings name, or draws phantoms.
pub fn load(mut settings: RunSettings) -> Result<RunData> {
    let (height, width) = (settings.model.height, settings.model.width);
    let unreadable = if settings.skip_unreadable { Unreadable::Skip } else { Unreadable::Fail };
    let mut class_names = Vec::new();
    let (train, validation, description) = match &settings.data {
        None => {
            let [train, validation] = PHANTOMS;
            let train = train.min(settings.training.max_images.unwrap_or(usize::MAX));
            eprintln!(
                "data: {train} procedurally drawn thorax phantoms. These are drawings, not X-rays: pass --data DIR \
                 to train on images."
            );
            (
                Dataset::phantoms(settings.seed, 0, train, height, width),
                Dataset::phantoms(settings.seed, 1 << 32, validation, height, width),
                "procedurally drawn thorax phantoms, not X-rays".to_owned(),
            )
        }
        Some(folder) => {
            let files = data::list(folder)?;
            let (mut train, held_out) = match &settings.validation {
                Some(validation) => (files, data::list(validation)?),
                None => {
                    let (held_out, train): (Vec<_>, Vec<_>) =
                        files.into_iter().enumerate().partition(|(i, _)| i % 10 == 9);
                    (train.into_iter().map(|f| f.1).collect(), held_out.into_iter().map(|f| f.1).collect::<Vec<_>>())
                }
            };
            ensure!(
                !held_out.is_empty(),
                "{} holds {} images, too few to hold every tenth out for validation: pass --validation DIR",
                folder.display(),
                train.len()
            );
            if let Some(most) = settings.training.max_images {
                train.truncate(most);
            }
            let validation_folder = settings.validation.as_deref().unwrap_or(folder);
            let labels = if settings.class_folders {
                let (names, labels) = data::class_folders(folder, &train)?;
                let (held_out_names, held_out_labels) = data::class_folders(validation_folder, &held_out)?;
                ensure!(
                    names == held_out_names,
                    "the training images have the classes {names:?}, and the validation images {held_out_names:?}"
                );
                class_names = names;
                Some((labels, held_out_labels))
            } else {
                None
            };
            let (labels, held_out_labels) = labels.unzip();
            let description = folder.file_name().unwrap_or(folder.as_os_str()).to_string_lossy().into_owned();
            eprintln!("data: {} training and {} validation images", train.len(), held_out.len());
            (
                Dataset::load(&train, labels.as_deref(), height, width, unreadable)?,
                Dataset::load(&held_out, held_out_labels.as_deref(), height, width, unreadable)?,
                description,
            )
        }
    };
    settings.model.classes = class_names.len();
    let provenance = Provenance {
        name: settings.preset.name().to_owned(),
        data: settings.data_name.clone().unwrap_or(description),
        images: train.len() as u64,
        training_steps: 0,
        seed: settings.seed,
        date: today(),
        license: settings.license.clone(),
        acknowledgement: settings.acknowledgement.clone(),
        software: SOFTWARE.to_owned(),
        class_names,
    };
    Ok(RunData { settings, train, validation, provenance })
}

/// Today in UTC as YYYY-MM-DD.
pub fn today() -> String {
    humantime::format_rfc3339_seconds(SystemTime::now()).to_string().chars().take(10).collect()
}
