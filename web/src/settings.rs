//! How an image is made, and the choices that the page offers.

use serde::{Deserialize, Serialize};
use vdm::image::Origin;
use vdm::model::Condition;
use vdm::sampler::{Sampler, SamplingOptions};

/// The maximum number of steps.
pub const MAX_STEPS: u32 = 1000;
/// The numbers of images to choose from.
pub const COUNTS: [u32; 4] = [1, 4, 9, 16];
/// The range of the guidance.
pub const GUIDANCE: std::ops::RangeInclusive<f64> = 0.0..=10.0;

/// How to make an image.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// The seed identifies the image.
    pub seed: u64,
    /// Network evaluations from noise to image.
    pub steps: u32,
    /// The sampler.
    pub sampler: Sampler,
    /// The label; none for the unconditional model.
    pub class: Option<u32>,
    /// Guidance weight, for a label.
    pub guidance: f64,
}

impl Default for Settings {
    fn default() -> Self {
        Self { seed: 0, steps: 40, sampler: Sampler::default(), class: None, guidance: 0.0 }
    }
}

impl Settings {
    /// The options of the sampler.
    pub fn sampling_options(&self) -> SamplingOptions {
        SamplingOptions {
            sampler: self.sampler,
            steps: self.steps as usize,
            condition: Condition {
                class: self.class.map(|class| class as usize),
                guidance: if self.class.is_some() { self.guidance } else { 0.0 },
            },
        }
    }

    /// How many images a saved picture shows, and how they were made, where its metadata name nothing that a run from noise
    /// does not have.
    ///
    /// ```
    /// # use vdm::image::Origin;
    /// # use web::settings::Settings;
    /// let settings = Settings { seed: 7, class: Some(1), guidance: 1.5, ..Settings::default() };
    /// let origin = Origin { settings: settings.describe(), ..Origin::default() };
    /// assert_eq!(Settings::of(&origin), Some((settings, 1)));
    /// ```
    pub fn of(origin: &Origin) -> Option<(Self, u32)> {
        const KNOWN: [&str; 8] = ["seed", "sampler", "steps", "class", "guidance", "images", "image", "backend"];
        if !origin.settings.iter().all(|(name, _)| KNOWN.contains(&name.as_str())) {
            return None;
        }
        let settings = Self {
            // One of several images is named with its own seed: `3 (seed 9)`.
            seed: match origin.value("image") {
                Some(image) => image.split_once("(seed ")?.1.strip_suffix(')')?.parse().ok()?,
                None => origin.value("seed")?.parse().ok()?,
            },
            steps: origin.value("steps")?.parse().ok().filter(|steps| (1..=MAX_STEPS).contains(steps))?,
            sampler: origin.value("sampler")?.parse().ok()?,
            class: origin.value("class").map(str::parse).transpose().ok()?,
            guidance: origin.value("guidance").map_or(Ok(0.0), str::parse).ok()?,
        };
        let count = if origin.value("image").is_some() { "1" } else { origin.value("images").unwrap_or("1") };
        Some((settings, count.parse().ok().filter(|count| COUNTS.contains(count))?))
    }

    /// The metadata of a saved picture: all that is needed to make it again.
    pub fn describe(&self) -> Vec<(String, String)> {
        let mut entries = vec![
            ("seed".to_owned(), self.seed.to_string()),
            ("sampler".to_owned(), self.sampler.name().to_owned()),
            ("steps".to_owned(), self.steps.to_string()),
        ];
        if let Some(class) = self.class {
            entries.push(("class".to_owned(), class.to_string()));
            entries.push(("guidance".to_owned(), self.guidance.to_string()));
        }
        entries
    }
}
