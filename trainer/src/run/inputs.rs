//! The images of a run, and the provenance of its weights.

use anyhow::Result;
use vdm::rng::Rng;
use vdm::weights::Provenance;

use crate::base::about::{SOFTWARE, today};
use crate::base::interrupt::Interrupt;
use crate::data::{self, Dataset, Problems};
use crate::run::images::ImageList;
use crate::run::settings::RunSettings;

/// The data of a run, with its settings.
pub struct RunData {
    /// The settings, with the attributes that the data give.
    pub settings: RunSettings,
    /// The images to train on.
    pub train: Dataset,
    /// The images to validate on.
    pub validation: Dataset,
    /// Problems with the images.
    pub problems: Problems,
    /// The provenance of the weights, without the number of steps.
    pub provenance: Provenance,
}

impl RunData {
    /// An image to train on, augmented as the settings say, as grey values in [0, 1], `[H·W]`.
    pub fn image(&self, index: usize, stream: &mut Rng) -> Vec<f32> {
        let Dataset { height, width, .. } = self.train;
        self.settings.augmentation.augment(self.train.image(index), height, width, stream)
    }

    /// The list of its images.
    pub fn images(&self) -> ImageList {
        ImageList::of(&self.train, &self.validation)
    }

    /// Data of given images; the provenance has only their number.
    pub fn of(settings: RunSettings, train: Dataset, validation: Dataset) -> Self {
        let provenance = Provenance { images: train.len() as u64, ..Provenance::default() };
        Self { settings, train, validation, problems: Problems::default(), provenance }
    }
}

/// Reads the images of a run, or draws phantoms.
///
/// # Errors
/// As [`data::load`].
pub fn load(mut settings: RunSettings, interrupt: &Interrupt) -> Result<RunData> {
    let (height, width) = (settings.model.height, settings.model.width);
    let loaded = data::load(&settings.data, settings.seed, height, width, interrupt)?;
    settings.model.attributes = loaded.attributes.iter().map(|attribute| attribute.values.len()).collect();
    let provenance = Provenance {
        name: settings.preset.name().to_owned(),
        data: settings.weights.data_name.clone().unwrap_or(loaded.description),
        images: loaded.train.len() as u64,
        training_steps: 0,
        seed: settings.seed,
        date: today(),
        license: settings.weights.license.clone(),
        acknowledgement: settings.weights.acknowledgement.clone(),
        software: SOFTWARE.to_owned(),
        attributes: loaded.attributes,
        // Kept where this run divides nothing, too: the weights that it starts from did.
        split_seed: settings.data.path.is_some().then(|| settings.data.split_seed.unwrap_or(settings.seed)),
    };
    let (train, validation, problems) = (loaded.train, loaded.validation, loaded.problems);
    Ok(RunData { settings, train, validation, problems, provenance })
}
