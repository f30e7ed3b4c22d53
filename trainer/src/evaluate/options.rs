//! What to measure, and how.

use std::path::PathBuf;

use vdm::sampler::Sampler;

use crate::data::ChoiceArgs;

/// Options of an evaluation.
#[derive(Debug)]
pub struct Options {
    /// The file of weights; the encoder's file is found beside it. It or `samples_dir` is needed.
    pub weights: Option<PathBuf>,
    /// Held-out images.
    pub data: PathBuf,
    /// Which of the real images.
    pub choice: ChoiceArgs,
    /// Training images, which are searched for copies.
    pub train_data: Option<PathBuf>,
    /// Synthetic images to measure.
    pub samples: SampleOptions,
    /// Diffusion times per image, antithetic.
    pub times: usize,
    /// Held-out images, evenly spaced, that lossless codecs encode; 0 for none.
    pub codecs: usize,
    /// Seed of times and noise, of the first sample, and of whatever the measures draw.
    pub seed: u64,
    /// Resamples for the 95 % intervals of means over images.
    pub bootstrap: usize,
    /// Folder for the report's files.
    pub out: Option<PathBuf>,
    /// The model card to write.
    pub card: Option<CardOptions>,
    /// The command that asked for it, for the report.
    pub command: String,
}

/// Synthetic images to measure.
#[derive(Debug)]
pub struct SampleOptions {
    /// A folder of them; otherwise they are drawn from the weights.
    pub folder: Option<PathBuf>,
    /// How many to draw; by default [`samples::DEFAULT_COUNT`](super::samples::DEFAULT_COUNT), or as many as there are
    /// real images to compare with.
    pub count: Option<usize>,
    /// The sampler.
    pub sampler: Sampler,
    /// Network evaluations per sample.
    pub steps: usize,
    /// Guidance weight.
    pub guidance: f64,
    /// Class of the samples, by number or name.
    pub class: Option<String>,
    /// Samples of each value of each attribute, to be judged by a classifier; 0 for none.
    pub of_each_value: usize,
    /// Assignments that override the weights' sampling options.
    pub sampling: Vec<String>,
}

/// A model card to write.
#[derive(Debug)]
pub struct CardOptions {
    /// Its file.
    pub path: PathBuf,
    /// Markdown for the section on training.
    pub notes: Option<PathBuf>,
    /// The run's folder.
    pub run: Option<PathBuf>,
}
