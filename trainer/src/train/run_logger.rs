//! What a run shows and logs: log files, samples, TensorBoard, the terminal, and at the end figures and a report.

use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::Result;
use burn::tensor::backend::Backend;
use serde::Serialize;
use vdm::config::Stage;
use vdm::diffusion::schedule::NoiseSchedule;
use vdm::diffusion::terms::Terms;
use vdm::image::GreyImage;
use vdm::model::{Condition, Networks, Vdm};
use vdm::sampler::{Sampler, SamplingOptions};

use super::checkpoint::Best;
use crate::base::about::SOFTWARE;
use crate::base::files::{self, block_on, say};
use crate::base::interrupt::Interrupt;
use crate::data::Dataset;
use crate::generate::{Pixels, draw, draw_coarse, draw_detail};
use crate::output::figures;
use crate::output::html;
use crate::output::tensorboard;
use crate::output::terminal::{Facts, View};
use crate::run::environment::Environment;
use crate::run::inputs::RunData;
use crate::run::log::{self, StepLog, ValidationLog};
use crate::run::settings::RunSettings;

/// Samples in the grids that are drawn while training, with seeds from 0.
const SAMPLES: usize = 16;
const SAMPLE_STEPS: usize = 25;
/// Times at which γ(t) is logged, from 0 to 1.
const SCHEDULE_POINTS: usize = 65;

/// Writes the logs of a run, on rank zero.
pub struct RunLogger {
    folder: PathBuf,
    settings: RunSettings,
    steps: File,
    validations: File,
    schedules: File,
    board: tensorboard::Writer,
    view: View,
}

#[derive(Serialize)]
struct ScheduleLog {
    step: u64,
    gamma: Vec<f64>,
}

impl RunLogger {
    /// Opens the logs of a run, which go on after `step`.
    pub fn open(folder: &Path, data: &RunData, device: &str, step: u64) -> Result<Self> {
        let settings = &data.settings;
        Environment::collect(device).write(folder)?;
        if !data.problems.all.is_empty() {
            data.problems.write(&folder.join("preparation.csv"))?;
        }
        let facts = Facts {
            preset: settings.preset.name().to_owned(),
            device: device.to_owned(),
            folder: folder.display().to_string(),
            images: data.train.len(),
            batch: settings.training.batch,
        };
        let steps = log::open(&folder.join("log.jsonl"), step)?;
        let validations = log::open(&folder.join("validation.jsonl"), step)?;
        let mut view = View::new(settings.training.steps, step, facts);
        view.restore(log::read_validations(folder)?);
        let board = if step == 0 {
            let mut board = tensorboard::Writer::create(folder)?;
            // Markdown shows indented text as code.
            let text: String = settings.to_toml()?.lines().map(|line| format!("    {line}\n")).collect();
            board.text(0, "settings", &text)?;
            board
        } else {
            tensorboard::Writer::resume(folder, step + 1)?
        };
        let schedules = log::open(&folder.join("schedule.jsonl"), step)?;
        Ok(Self { folder: folder.to_owned(), settings: settings.clone(), steps, validations, schedules, board, view })
    }

    /// Drops what was logged after `step`.
    pub fn rollback(&mut self, step: u64) -> Result<()> {
        self.steps = log::open(&self.folder.join("log.jsonl"), step)?;
        self.validations = log::open(&self.folder.join("validation.jsonl"), step)?;
        self.schedules = log::open(&self.folder.join("schedule.jsonl"), step)?;
        self.board = tensorboard::Writer::resume(&self.folder, step + 1)?;
        Ok(())
    }

    /// Logs a step.
    pub fn step(&mut self, line: &StepLog) -> Result<()> {
        log::write(&mut self.steps, line)?;
        let Terms { reconstruction, latent, diffusion, .. } = line.terms;
        for (tag, value) in [
            ("train/reconstruction", reconstruction),
            ("train/latent", latent),
            ("train/diffusion", diffusion),
            ("train/gradient_norm", line.gradient_norm),
            ("train/learning_rate", line.learning_rate),
            ("train/images_per_second", line.images_per_second),
        ] {
            self.board.scalar(line.step, tag, value as f32)?;
        }
        self.view.step(line);
        Ok(())
    }

    /// Logs a validation.
    pub fn validation(&mut self, v: &ValidationLog) -> Result<()> {
        log::write(&mut self.validations, v)?;
        let series = &v.series;
        let Terms { reconstruction, latent, diffusion, .. } = v.terms;
        for (term, value) in
            [("reconstruction", reconstruction), ("latent", latent), ("diffusion", diffusion), ("total", v.total)]
        {
            self.board.scalar(v.step, &format!("validation/{series}/{term}"), value as f32)?;
        }
        self.board.flush()?;
        self.view.validation(v);
        Ok(())
    }

    /// Logs the learned schedule.
    pub fn schedule(&mut self, step: u64, schedule: &NoiseSchedule) -> Result<()> {
        let last = (SCHEDULE_POINTS - 1) as f64;
        let gamma = (0..SCHEDULE_POINTS).map(|i| schedule.gamma(i as f64 / last)).collect();
        log::write(&mut self.schedules, &ScheduleLog { step, gamma })
    }

    /// Draws a grid of samples, always of the same seeds; in the stage of a band, what that band draws.
    ///
    /// # Errors
    /// [`Interrupted`](crate::base::interrupt::Interrupted); samples that are not finite, or cannot be written.
    pub fn samples<B: Backend>(
        &mut self,
        step: u64,
        networks: Networks<B>,
        validation: &Dataset,
        interrupt: &Interrupt,
        device: &B::Device,
    ) -> Result<()> {
        let model = block_on(Vdm::new(self.settings.model.clone(), self.settings.sampling, networks))?;
        let sampler = Sampler::default();
        let options = SamplingOptions { sampler, steps: SAMPLE_STEPS, condition: Condition::default() };
        let check = || Ok(interrupt.check()?);
        let images = match self.settings.training.stage {
            Stage::Coarse => draw_coarse(&model, options, SAMPLES, device, check)?,
            Stage::Joint => draw(&model, options, Pixels::Mean, 0, SAMPLES, device, check)?,
            Stage::Fine => {
                // Validation images, and beside each of them its detail drawn anew.
                let indices: Vec<usize> = (0..validation.len().min(SAMPLES / 2)).collect();
                let drawn = draw_detail(&model, options, validation.batch(&indices, device), check)?;
                let pixels = |&i: &usize| validation.image(i).to_vec();
                let (width, height) = (model.config.width, model.config.height);
                let real = indices.iter().map(|i| GreyImage { width, height, pixels: pixels(i) });
                real.zip(drawn).flat_map(|(real, drawn)| [real, drawn]).collect()
            }
        };
        let (steps, seeds) = (SAMPLE_STEPS.to_string(), format!("0-{}", SAMPLES - 1));
        let origin = self.origin(step, &[("sampler", sampler.name()), ("steps", &steps), ("seeds", &seeds)]);
        let grid = GreyImage::grid(&images, 4).labelled();
        let png = grid.to_png(&origin)?;
        self.board.image(step, "samples", grid.width, grid.height, &png)?;
        files::write_atomic(&self.folder.join("samples").join(format!("step-{step:08}.png")), &png)
    }

    fn origin(&self, step: u64, settings: &[(&str, &str)]) -> vdm::image::Origin {
        let step = step.to_string();
        let first = [("training step", step.as_str())];
        let settings = first.iter().chain(settings);
        vdm::image::Origin {
            software: SOFTWARE.to_owned(),
            weights: format!("{} in training", self.settings.preset.name()),
            weights_sha256: "not saved".to_owned(),
            settings: settings.map(|&(key, value)| (key.to_owned(), value.to_owned())).collect(),
        }
    }

    /// Passes on what waits in memory.
    pub fn flush(&mut self) -> Result<()> {
        self.board.flush()
    }

    /// Shows a message.
    pub fn say(&mut self, text: &str) {
        self.view.message(text);
    }

    /// Shows what is done besides training, such as "validating"; an empty text ends it.
    pub fn activity(&mut self, what: &str) {
        self.view.activity(what);
    }

    /// Closes the logs of a run that can be resumed.
    pub fn close(self) -> Result<()> {
        let Self { folder, view, mut board, .. } = self;
        view.finish();
        board.flush()?;
        write_report(&folder)
    }

    /// Draws the figures of a finished run from its best weights, and writes its report.
    ///
    /// # Errors
    /// [`Interrupted`](crate::base::interrupt::Interrupted); a file that cannot be written.
    pub fn finish<B: Backend>(
        self,
        best: &Best,
        weights: &Path,
        validation: &Dataset,
        interrupt: &Interrupt,
        device: &B::Device,
    ) -> Result<()> {
        let Self { folder, view, mut board, settings, .. } = self;
        view.finish();
        board.flush()?;
        say(format!("best validation at step {} ({}): {}", best.step, best.series, weights.display()));
        // Without its fine band a model draws noise.
        if settings.training.stage != Stage::Coarse {
            figures::draw_all::<B>(&folder, weights, validation, interrupt, device)?;
        }
        write_report(&folder)
    }
}

fn write_report(folder: &Path) -> Result<()> {
    say(format!("wrote {}", html::write(folder)?.display()));
    Ok(())
}
