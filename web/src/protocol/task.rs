//! The tasks of the worker, and their outcomes.

use std::ops::Range;

use serde::{Deserialize, Serialize};
use vdm::cost::Speed;
use vdm::elbo::ImageElbo;
use vdm::image::{GreyImage, Origin};

use super::model::{ModelInfo, Source};
use crate::settings::Settings;
use crate::toy::Point;

/// Something for the worker to do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the fields' names say what they are")]
pub enum Task {
    /// Make images: gives [`Outcome::Pictures`].
    Run(Run),
    /// Show one image of a run after `index` steps: gives [`Outcome::Moment`].
    Moment { run: Run, image: u32, index: u32 },
    /// Take a subject to time t ∈ [0, 1], with noise from `seed`: gives [`Outcome::Diffused`].
    Diffuse { subject: Subject, t: f64, seed: u64 },
    /// Measure the bound of a subject at `times` antithetic diffusion times, with noise from `seed`: gives
    /// [`Outcome::Bound`].
    Measure { subject: Subject, times: u32, seed: u64 },
    /// Measure how long the model takes: gives [`Outcome::Speed`].
    Speed,
    /// Make a file that marks itself as synthetic, with `origin` as its metadata: gives [`Outcome::File`].
    Save { save: Save, origin: Origin },
    /// Draw a saved picture, a PNG file of this name, again, and compare: gives [`Outcome::Verified`]. `weights_sha256` is
    /// the hash of the weights in use.
    Verify {
        name: String,
        #[serde(with = "serde_bytes")]
        file: Vec<u8>,
        weights_sha256: String,
    },
    /// Train a small model on points of the unit square: gives [`Outcome::Learned`], after a
    /// [`Response::Learned`](super::Response::Learned) now and then.
    Learn { points: Vec<Point>, seed: u64 },
    /// Use other weights: gives [`Outcome::Loaded`]. If this fails or is cancelled, the present ones stay in use.
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
            Task::Speed | Task::Save { .. } | Task::Verify { .. } | Task::Learn { .. } | Task::Switch(_) => false,
        }
    }
}

/// Images to make, all at once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// The start of the run.
    pub start: Start,
    /// The seed of each image.
    pub seeds: Vec<u64>,
    /// The settings, with the first seed.
    pub settings: Settings,
}

/// The start of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the fields' names say what they are")]
pub enum Start {
    /// z_1, drawn from each seed.
    Noise,
    /// `frames` points between the noise of the first seed and that of the seed `to`, with both ends.
    Between { to: u64, frames: u32 },
    /// A subject at time t > 0, with noise from each seed.
    Subject { subject: Subject, t: f64 },
}

impl Run {
    /// Images from noise, one for each of `count` seeds, which begin at that of the settings.
    pub fn from_noise(settings: Settings, count: u32) -> Self {
        let seeds = (0..u64::from(count.max(1))).map(|i| settings.seed.wrapping_add(i)).collect();
        Self { start: Start::Noise, seeds, settings }
    }

    /// Some of its images, for a run from noise.
    #[must_use]
    pub fn part(&self, images: Range<usize>) -> Self {
        let seeds = self.seeds[images].to_vec();
        let seed = seeds.first().copied().unwrap_or(self.settings.seed);
        Self { start: self.start.clone(), seeds, settings: Settings { seed, ..self.settings.clone() } }
    }

    /// The number of images.
    pub fn count(&self) -> usize {
        match &self.start {
            Start::Between { frames, .. } => *frames as usize,
            Start::Noise | Start::Subject { .. } => self.seeds.len(),
        }
    }

    /// The number of steps.
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

    /// The metadata of a file: all that is needed to make it again.
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

/// An image that is noised or measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the fields' names say what they are")]
pub enum Subject {
    /// The sample that these settings make.
    Sample(Settings),
    /// A picture of the model's size, such as a user's own. It needs the encoder.
    Image { name: String, picture: Picture },
}

impl Subject {
    /// Whether the encoder is needed.
    pub fn needs_encoder(&self) -> bool {
        matches!(self, Subject::Image { .. })
    }

    /// The class that a sample was made for.
    pub fn class(&self) -> Option<usize> {
        match self {
            Subject::Sample(settings) => settings.class.map(|class| class as usize),
            Subject::Image { .. } => None,
        }
    }

    /// The seed that a sample was made from.
    pub fn seed(&self) -> Option<u64> {
        match self {
            Subject::Sample(settings) => Some(settings.seed),
            Subject::Image { .. } => None,
        }
    }

    /// Its name in metadata.
    pub fn name(&self) -> String {
        match self {
            Subject::Sample(settings) => format!("seed {}", settings.seed),
            // The name of a user's file does not belong into what is made from it.
            Subject::Image { .. } => "an image of the user's".into(),
        }
    }
}

/// The content of a file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the fields' names say what they are")]
pub enum Save {
    /// Pictures side by side, as PNG.
    Grid { pictures: Vec<Picture>, columns: u32 },
    /// One image of a run from noise to the end, latent and prediction side by side, animated.
    Animation { run: Run, image: u32, format: Film },
    /// One image of a run from noise to the end, latent above prediction, as PNG.
    Strip { run: Run, image: u32 },
    /// Pictures forth and back, animated.
    Flipbook { pictures: Vec<Picture>, format: Film },
}

/// The format of an animation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Film {
    /// Animated PNG, which says in its metadata how it was made.
    Png,
    /// GIF, which more programs show. Its comment says the same.
    Gif,
}

impl Film {
    /// The ending of its files' names.
    pub fn ending(self) -> &'static str {
        match self {
            Film::Png => "png",
            Film::Gif => "gif",
        }
    }
}

/// The result of a job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Outcome {
    /// Images.
    Pictures(Vec<Picture>),
    /// A moment of a run.
    Moment(Moment),
    /// A subject at time t.
    Diffused(Diffused),
    /// The terms of the bound.
    Bound(ImageElbo),
    /// How long the model takes.
    Speed(Speed),
    /// The content of a file.
    File(#[serde(with = "serde_bytes")] Vec<u8>),
    /// What a saved picture turned out to be.
    Verified(Box<Verdict>),
    /// The small model has learned.
    Learned,
    /// Other weights are in use.
    Loaded(Box<ModelInfo>),
}

/// What a saved picture turned out to be. That it is real is never among it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the fields' names say what they are")]
pub enum Verdict {
    /// Its file does not say how it was made.
    NoOrigin,
    /// It says that other weights made it.
    OtherWeights { weights: String, sha256: String },
    /// It says that these weights made it, in a way or a size that is not drawn again.
    OtherKind,
    /// It was drawn again. `difference` is magnified so that its largest is white; `differing` counts pixels, and
    /// `largest` is in grey levels.
    Redrawn { settings: Settings, given: Picture, again: Picture, difference: Picture, differing: u64, largest: u8 },
}

impl Verdict {
    /// Differences that another processor makes by rounding, in grey levels.
    pub const ROUNDING: u8 = 2;
}

/// A moment of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Moment {
    /// Steps taken.
    pub index: u32,
    /// The time that the latent is at.
    pub t: f64,
    /// z_t / α_t, decoded.
    pub noisy: Picture,
    /// f̂, the clean latent that the model predicts from z_t, decoded. At the end it is the image.
    pub predicted: Picture,
}

/// A subject at time t.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Diffused {
    /// z_t / α_t, decoded.
    pub noisy: Picture,
    /// f, the clean latent, decoded.
    pub clean: Picture,
    /// f̂, what the model predicts of it from z_t in one look, decoded.
    pub guess: Picture,
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
    /// How much stronger a difference is shown, so that one of few grey levels is seen.
    pub const MAGNIFIED: u8 = 4;

    /// The pixels as red, green, blue and opacity.
    pub fn to_rgba(&self) -> Vec<u8> {
        self.pixels.iter().flat_map(|&v| [v, v, v, 255]).collect()
    }

    /// Whether all pixels are the same.
    pub fn is_flat(&self) -> bool {
        self.pixels.windows(2).all(|pair| pair[0] == pair[1])
    }

    /// Where another picture of this size differs, [`Self::MAGNIFIED`] times as strong; none if the sizes differ.
    pub fn difference(&self, other: &Picture) -> Option<Picture> {
        let differs = |(a, b): (&u8, &u8)| a.abs_diff(*b).saturating_mul(Self::MAGNIFIED);
        let pixels = self.pixels.iter().zip(&other.pixels).map(differs).collect();
        ((self.width, self.height) == (other.width, other.height)).then_some(Picture { pixels, ..*self })
    }

    /// Root mean square of the differences from another picture, in grey levels; none if the sizes differ.
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
        assert!(!picture.is_flat() && Picture { pixels: vec![7, 7], ..picture }.is_flat());
    }

    #[test]
    fn pictures_are_compared_in_grey_levels() {
        let a = Picture { width: 2, height: 1, pixels: vec![0, 200] };
        let b = Picture { width: 2, height: 1, pixels: vec![3, 196] };
        assert_eq!(a.difference(&b).map(|of| of.pixels), Some(vec![12, 16]));
        assert_eq!(a.difference(&Picture { width: 1, height: 2, pixels: vec![0, 200] }), None);
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
