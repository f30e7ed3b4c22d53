//! What a run shows and keeps of itself: logs, samples, the terminal, and at the end figures and a report.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Result;
use burn::tensor::backend::Backend;
use serde::Serialize;
use vdm::image::GreyImage;
use vdm::model::{Condition, Networks, Vdm};
use vdm::sampler::{Sampler, SamplingOptions};
use vdm::schedule::NoiseSchedule;

use crate::checkpoint::Best;
use crate::data::Dataset;
use crate::figures;
use crate::files::{self, block_on};
use crate::log::{self, StepLog, ValidationLog};
use crate::progress::Progress;
use crate::run_data::RunData;
use crate::sample::{Pixels, SOFTWARE, draw};
use crate::settings::RunSettings;

/// Samples in the grids that are drawn while training, with seeds from 0.
const SAMPLES: usize = 16;
const SAMPLE_STEPS: usize = 25;
/// Times at which γ(t) is logged, from 0 to 1.
const SCHEDULE_POINTS: usize = 65;

/// The records of a run, written by the device that leads.
pub struct Records {
    folder: PathBuf,
    settings: RunSettings,
    steps: File,
    validations: File,
    schedules: File,
    progress: Progress,
    first: u64,
    started: Instant,
}

#[derive(Serialize)]
struct ScheduleLog {
    step: u64,
    gamma: Vec<f64>,
}

impl Records {
    /// Opens the records of a run that stands after `step`.
    pub fn open(folder: &Path, settings: &RunSettings, _data: &RunData, step: u64) -> Result<Self> {
        Ok(Self {
            folder: folder.to_owned(),
            settings: settings.clone(),
            steps: log::open(&folder.join("log.jsonl"), step)?,
            validations: log::open(&folder.join("validation.jsonl"), step)?,
            schedules: log::open(&folder.join("schedule.jsonl"), step)?,
            progress: Progress::new("training", step, settings.training.steps),
            first: step,
            started: Instant::now(),
        })
    }

    /// Forgets what came after `step`.
    pub fn step_back(&mut self, step: u64) -> Result<()> {
        self.steps = log::open(&self.folder.join("log.jsonl"), step)?;
        self.validations = log::open(&self.folder.join("validation.jsonl"), step)?;
        self.schedules = log::open(&self.folder.join("schedule.jsonl"), step)?;
        (self.first, self.started) = (step, Instant::now());
        Ok(())
    }

    /// Logs a step.
    pub fn step(&mut self, line: &StepLog) -> Result<()> {
        log::write(&mut self.steps, line)?;
        let images = (line.step - self.first) as f64 * self.settings.training.batch as f64;
        let rate = images / self.started.elapsed().as_secs_f64();
        self.progress.set(line.step, || {
            format!(
                "reconstruction {:.4} latent {:.1e} diffusion {:.5} bits/dim, {rate:.0} images/s,",
                line.reconstruction, line.latent, line.diffusion
            )
        });
        Ok(())
    }

    /// Logs a validation.
    pub fn validation(&mut self, v: &ValidationLog, _best: Option<&Best>) -> Result<()> {
        log::write(&mut self.validations, v)?;
        let series = if v.series == "weights" { String::new() } else { format!(" of {}", v.series) };
        self.say(&format!(
            "step {}: validation{series} reconstruction {:.5} latent {:.2e} diffusion {:.6} total {:.5} ± {:.5}",
            v.step, v.reconstruction, v.latent, v.diffusion, v.total, v.standard_error
        ));
        Ok(())
    }

    /// Logs the learned schedule.
    pub fn schedule(&mut self, step: u64, schedule: &NoiseSchedule) -> Result<()> {
        let last = (SCHEDULE_POINTS - 1) as f64;
        let gamma = (0..SCHEDULE_POINTS).map(|i| schedule.gamma(i as f64 / last)).collect();
        log::write(&mut self.schedules, &ScheduleLog { step, gamma })
    }

    /// Draws a grid of samples, always of the same seeds.
    pub fn samples<B: Backend>(&mut self, step: u64, networks: Networks<B>, device: &B::Device) -> Result<()> {
        let model = block_on(Vdm::new(self.settings.model.clone(), networks))?;
        let sampler = Sampler::default();
        let options = SamplingOptions { sampler, steps: SAMPLE_STEPS, condition: Condition::default() };
        let images = draw(&model, options, Pixels::Mean, 0, SAMPLES, device, || {})?;
        let origin = vdm::image::Origin {
            software: SOFTWARE.to_owned(),
            weights: format!("{} in training", self.settings.preset.name()),
            weights_sha256: "not saved".to_owned(),
            settings: [
                ("training step", step.to_string()),
                ("sampler", sampler.name().to_owned()),
                ("steps", SAMPLE_STEPS.to_string()),
                ("seeds", format!("0-{}", SAMPLES - 1)),
            ]
            .map(|(key, value)| (key.to_owned(), value))
            .into(),
        };
        let png = GreyImage::grid(&images, 4).labelled().to_png(&origin)?;
        files::write_atomic(&self.folder.join("samples").join(format!("step-{step:08}.png")), &png)
    }

    /// Says something.
    pub fn say(&self, text: &str) {
        self.progress.line(text);
    }

    /// Ends the view of a run that will go on later.
    pub fn close(self) {}

    /// Draws the figures of a finished run from its best weights.
    pub fn finish<B: Backend>(
        self,
        best: &Best,
        weights: &Path,
        validation: &Dataset,
        device: &B::Device,
    ) -> Result<()> {
        let Self { folder, progress, .. } = self;
        drop(progress);
        eprintln!("best validation at step {} ({}): {}", best.step, best.series, weights.display());
        figures::draw_all::<B>(&folder, weights, validation, device)
    }
}
