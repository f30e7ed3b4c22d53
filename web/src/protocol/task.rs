//! What the page asks for, and what it is given.

use serde::{Deserialize, Serialize};
use vdm::cost::Speed;
use vdm::elbo::ImageElbo;
use vdm::image::{GreyImage, Origin};

use super::model::{ModelInfo, Source};
use crate::settings::Settings;

/// What to do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Task {
    /// Make images: gives [`Outcome::Pictures`].
    Run(Run),
    /// One moment of a run: gives [`Outcome::Moment`].
    Moment {
        /// The run.
        run: Run,
        /// Which of its images.
        image: u32,
        /// Steps taken by then, from 0 to all of them.
        index: u32,
    },
    /// Take a subject to time t: gives [`Outcome::Diffused`].
    Diffuse {
        /// What.
        subject: Subject,
        /// Where to, in [0, 1].
        t: f64,
        /// Seed of the noise.
        seed: u64,
    },
    /// Measure the bound of a subject: gives [`Outcome::Bound`].
    Measure {
        /// Of what.
        subject: Subject,
        /// Diffusion times, antithetic.
        times: u32,
        /// Seed of the noise.
        seed: u64,
    },
    /// Measure how long the model takes: gives [`Outcome::Speed`].
    Speed,
    /// Make a file that marks itself as synthetic: gives [`Outcome::File`].
    Save {
        /// What it shows.
        save: Save,
        /// What its metadata says.
        origin: Origin,
    },
    /// Use other weights: gives [`Outcome::Loaded`]. Where they do not fit, those that are loaded stay.
    Switch(Source),
}

impl Task {
    /// Whether the encoder is needed.
    pub fn needs_encoder(&self) -> bool {
        match self {
            Task::Run(run) | Task::Moment { run, .. } | Task::Save { save: Save::Animation { run, .. }, .. } => {
                run.needs_encoder()
            }
            Task::Save { save: Save::Strip { run, .. }, .. } => run.needs_encoder(),
            Task::Diffuse { subject, .. } => subject.needs_encoder(),
            Task::Measure { .. } => true,
            Task::Speed | Task::Save { .. } | Task::Switch(_) => false,
        }
    }
}

/// Images to make, all at once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// From what.
    pub start: Start,
    /// One image a seed.
    pub seeds: Vec<u64>,
    /// How; [`Settings::seed`] is the first seed.
    pub settings: Settings,
}

/// What a run starts from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Start {
    /// z_1, drawn from each seed.
    Noise,
    /// Points between the noise of the first seed and that of another one.
    Between {
        /// The other one.
        to: u64,
        /// How many, with both ends.
        frames: u32,
    },
    /// A subject with noise from each seed.
    Subject {
        /// What.
        subject: Subject,
        /// The time that it is taken to, above 0.
        t: f64,
    },
}

impl Run {
    /// Images from noise, one for each of `count` seeds from that of the settings on.
    pub fn from_noise(settings: Settings, count: u32) -> Self {
        let seeds = (0..u64::from(count.max(1))).map(|i| settings.seed.wrapping_add(i)).collect();
        Self { start: Start::Noise, seeds, settings }
    }

    /// How many images it makes.
    pub fn count(&self) -> usize {
        match &self.start {
            Start::Between { frames, .. } => *frames as usize,
            Start::Noise | Start::Subject { .. } => self.seeds.len(),
        }
    }

    /// How many steps it takes.
    pub fn steps(&self) -> u32 {
        match &self.start {
            // As `Trajectory::from_latent` counts them.
            Start::Subject { t, .. } => ((f64::from(self.settings.steps) * t).ceil() as u32).max(1),
            Start::Noise | Start::Between { .. } => self.settings.steps,
        }
    }

    /// Whether the encoder is needed.
    pub fn needs_encoder(&self) -> bool {
        matches!(&self.start, Start::Subject { subject, .. } if subject.needs_encoder())
    }

    /// As a file's metadata has it: all that is needed to make it again.
    pub fn describe(&self) -> Vec<(String, String)> {
        let mut entries = self.settings.describe();
        match &self.start {
            Start::Noise => {}
            Start::Between { to, frames } => {
                entries.push(("to_seed".into(), to.to_string()));
                entries.push(("frames".into(), frames.to_string()));
            }
            Start::Subject { subject, t } => {
                entries.push(("denoised_from_t".into(), t.to_string()));
                entries.push(("of".into(), subject.name()));
            }
        }
        if self.seeds.len() > 1 {
            entries.push(("images".into(), self.seeds.len().to_string()));
        }
        entries
    }
}

/// An image that something is done to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Subject {
    /// The sample that these settings make.
    Sample(Settings),
    /// A picture of the model's size, such as a user's own: it needs the encoder.
    Image {
        /// What it is called.
        name: String,
        /// Its pixels.
        picture: Picture,
    },
}

impl Subject {
    /// Whether the encoder is needed.
    pub fn needs_encoder(&self) -> bool {
        matches!(self, Subject::Image { .. })
    }

    /// The seed that a sample was made from.
    pub fn seed(&self) -> Option<u64> {
        match self {
            Subject::Sample(settings) => Some(settings.seed),
            Subject::Image { .. } => None,
        }
    }

    /// In a word.
    pub fn name(&self) -> String {
        match self {
            Subject::Sample(settings) => format!("seed {}", settings.seed),
            // The name of somebody's file need not travel with what is made from it.
            Subject::Image { .. } => "an image of the user's".into(),
        }
    }
}

/// What a file shows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Save {
    /// Pictures side by side, as PNG.
    Grid {
        /// The pictures.
        pictures: Vec<Picture>,
        /// How many in a row.
        columns: u32,
    },
    /// One image of a run on its way, latent and prediction side by side, as an animated PNG.
    Animation {
        /// The run.
        run: Run,
        /// Which of its images.
        image: u32,
    },
    /// One image of a run on its way, latent above prediction, as PNG.
    Strip {
        /// The run.
        run: Run,
        /// Which of its images.
        image: u32,
    },
    /// Pictures one after the other, there and back, as an animated PNG.
    Flipbook {
        /// The pictures.
        pictures: Vec<Picture>,
    },
}

/// What a job gives.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Outcome {
    /// Images.
    Pictures(Vec<Picture>),
    /// A moment of a run.
    Moment(Moment),
    /// A subject at time t.
    Diffused(Diffused),
    /// The bound's terms.
    Bound(ImageElbo),
    /// How long the model takes.
    Speed(Speed),
    /// A file's content.
    File(#[serde(with = "serde_bytes")] Vec<u8>),
    /// Other weights are in use.
    Loaded(Box<ModelInfo>),
}

/// A moment of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Moment {
    /// Steps taken by then.
    pub index: u32,
    /// The time that the latent is at.
    pub t: f64,
    /// γ(t).
    pub gamma: f64,
    /// z_t.
    pub latent: Vec<f32>,
    /// z_t / α_t, decoded.
    pub noisy: Picture,
    /// f̂, the clean latent that the model predicts from z_t, decoded; at the end, the image.
    pub predicted: Picture,
}

/// A subject at time t.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Diffused {
    /// z_t.
    pub latent: Vec<f32>,
    /// z_t / α_t, decoded.
    pub noisy: Picture,
    /// f, the clean latent, decoded.
    pub clean: Picture,
}

/// An 8-bit grey picture, row by row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Picture {
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// `width · height` grey values.
    #[serde(with = "serde_bytes")]
    pub pixels: Vec<u8>,
}

impl Picture {
    /// Pixels as a canvas takes them: red, green, blue, opacity.
    pub fn to_rgba(&self) -> Vec<u8> {
        self.pixels.iter().flat_map(|&v| [v, v, v, 255]).collect()
    }

    /// Root mean square of the differences from another picture, in grey levels; none where the sizes differ.
    pub fn rms_difference(&self, other: &Picture) -> Option<f64> {
        if (self.width, self.height) != (other.width, other.height) || self.pixels.is_empty() {
            return None;
        }
        let square = |(a, b): (&u8, &u8)| f64::from(a.abs_diff(*b)).powi(2);
        let sum: f64 = self.pixels.iter().zip(&other.pixels).map(square).sum();
        Some((sum / self.pixels.len() as f64).sqrt())
    }
}

impl From<GreyImage> for Picture {
    fn from(image: GreyImage) -> Self {
        Self { width: image.width as u32, height: image.height as u32, pixels: image.pixels }
    }
}

impl From<Picture> for GreyImage {
    fn from(picture: Picture) -> Self {
        Self { width: picture.width as usize, height: picture.height as usize, pixels: picture.pixels }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_become_opaque_grey() {
        let picture = Picture { width: 2, height: 1, pixels: vec![0, 200] };
        assert_eq!(picture.to_rgba(), [0, 0, 0, 255, 200, 200, 200, 255]);
        assert_eq!(Picture::from(GreyImage::from(picture.clone())), picture);
    }

    #[test]
    fn pictures_are_compared_in_grey_levels() {
        let a = Picture { width: 2, height: 1, pixels: vec![0, 200] };
        let b = Picture { width: 2, height: 1, pixels: vec![3, 196] };
        assert_eq!(a.rms_difference(&a), Some(0.0));
        assert_eq!(a.rms_difference(&b), Some(12.5_f64.sqrt()));
        assert_eq!(a.rms_difference(&Picture { width: 1, height: 2, pixels: vec![0, 200] }), None);
    }

    #[test]
    fn a_run_counts_its_images_and_steps() {
        let settings = Settings { seed: u64::MAX, steps: 10, ..Settings::default() };
        let run = Run::from_noise(settings.clone(), 4);
        assert_eq!((run.seeds.as_slice(), run.count(), run.steps()), ([u64::MAX, 0, 1, 2].as_slice(), 4, 10));
        let start = Start::Subject { subject: Subject::Sample(settings.clone()), t: 0.25 };
        let denoise = Run { start, seeds: vec![1], settings: settings.clone() };
        assert_eq!((denoise.count(), denoise.steps(), denoise.needs_encoder()), (1, 3, false));
        let between = Run { start: Start::Between { to: 9, frames: 7 }, seeds: vec![1], settings };
        assert_eq!(between.count(), 7);
        assert!(between.describe().contains(&("to_seed".into(), "9".into())));
    }
}
