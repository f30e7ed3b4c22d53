//! How an image is made, and the choices that the page offers.

use serde::{Deserialize, Serialize};
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
