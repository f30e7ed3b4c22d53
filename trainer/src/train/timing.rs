//! How long the parts of a training step take.

use std::time::Instant;

use anyhow::{Context, Result};
use burn::module::AutodiffModule;
use burn::tensor::backend::AutodiffBackend;
use serde::Serialize;
use vdm::model::Networks;
use vdm::objective::{Gradients, clip_global_norm, complete_gradients, losses};

use super::checkpoint::{Checkpoint, TrainerState};
use super::ema::Ema;
use super::loader::{Share, step_batches};
use super::optimizer::NetworksOptimizer;
use super::step;
use crate::data::Dataset;
use crate::run::inputs::RunData;
use crate::run::settings::RunSettings;

/// Images that the batches are taken from.
const IMAGES: usize = 64;

/// Seconds of the parts of a step, each from a device that has finished the one before.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct StepTimes {
    /// Preparing a batch, which another thread does meanwhile in training, and copying it to the device.
    pub data: f64,
    /// The losses.
    pub forward: f64,
    /// Their gradient.
    pub backward: f64,
    /// Clipping the gradient, the optimizer and the averages of the weights.
    pub optimizer: f64,
}

impl StepTimes {
    /// Their sum without the data's.
    pub fn step(&self) -> f64 {
        self.forward + self.backward + self.optimizer
    }

    /// The parts with their names.
    pub fn parts(&self) -> [(&'static str, f64); 4] {
        let Self { data, forward, backward, optimizer } = *self;
        [("forward", forward), ("backward", backward), ("optimizer", optimizer), ("data, meanwhile", data)]
    }

    /// The median of each part.
    pub fn median(times: &[Self]) -> Self {
        let of = |part: fn(&Self) -> f64| {
            let mut values: Vec<f64> = times.iter().map(part).collect();
            values.sort_by(f64::total_cmp);
            values.get(values.len() / 2).copied().unwrap_or_default()
        };
        Self {
            data: of(|times| times.data),
            forward: of(|times| times.forward),
            backward: of(|times| times.backward),
            optimizer: of(|times| times.optimizer),
        }
    }
}

/// Networks in training on phantoms, without logs and checkpoints.
pub struct Steps<B: AutodiffBackend> {
    data: RunData,
    state: Checkpoint<B>,
    device: B::Device,
}

impl<B: AutodiffBackend> Steps<B> {
    /// The given networks, or fresh ones.
    ///
    /// # Errors
    /// A model that cannot be built.
    pub fn new(settings: RunSettings, networks: Option<Networks<B>>, device: &B::Device) -> Result<Self> {
        let (model, training) = (&settings.model, &settings.training);
        let networks = match networks {
            Some(networks) => networks,
            None => Networks::new(model, settings.seed, device)?,
        }
        .with_compute(training.precision);
        let ema = |&half_life: &u64| Ema { half_life, networks: networks.valid() };
        let emas = training.ema_half_lives.iter().map(ema).collect();
        let optimizer = NetworksOptimizer::new(training);
        let mut phantoms = Dataset::phantoms(settings.seed, 0, IMAGES, model.height, model.width);
        phantoms.labels = (model.classes > 0).then(|| (0..IMAGES).map(|i| i % model.classes).collect());
        let state = Checkpoint { trainer: TrainerState::default(), networks, emas, optimizer };
        Ok(Self { data: RunData::of(settings, phantoms.clone(), phantoms), state, device: device.clone() })
    }

    /// Takes a step.
    ///
    /// # Errors
    /// A device that fails.
    pub fn step(&mut self) -> Result<StepTimes> {
        let training = &self.data.settings.training;
        let (config, images) = (&self.data.settings.model, training.batch);
        let mut times = StepTimes::default();
        let mut last = Instant::now();
        let mut lap = || -> Result<f64> {
            B::sync(&self.device).map_err(|error| anyhow::anyhow!("the device has failed: {error:?}"))?;
            let before = std::mem::replace(&mut last, Instant::now());
            Ok((last - before).as_secs_f64())
        };
        let share = Share { images: 0..images, parts: training.accumulation };
        let parts = step_batches(&self.data, &share, 0, self.state.trainer.step);
        times.data = lap()?;
        let mut accumulator = burn::optim::GradientsAccumulator::new();
        let mut weighted = None;
        for part in parts {
            let networks = &self.state.networks;
            let encoder = networks.encoder.as_ref().context("the encoder is missing")?;
            let batch = part.on_device(false, &self.device);
            times.data += lap()?;
            let losses = losses(networks, encoder, config, training, false, batch);
            times.forward += lap()?;
            let Gradients { weighted_diffusion, gradients, .. } =
                losses.gradients(networks, encoder, config, training, 1.0);
            accumulator.accumulate(networks, gradients);
            let sum = weighted_diffusion.sum();
            weighted = Some(match weighted {
                Some(weighted) => weighted + sum,
                None => sum,
            });
            times.backward += lap()?;
        }
        let mut gradients = accumulator.grads();
        let mean = weighted.context("a step without images")? / images as f64;
        complete_gradients(&mut gradients, &self.state.networks, training.diffusion_steps, images, 1.0, mean);
        let norm = training.clip_norm * config.pixels() as f64;
        clip_global_norm::<B, _>(&mut gradients, &self.state.networks, norm, &self.device);
        let training = training.clone();
        step::update(&mut self.state, gradients, &training);
        times.optimizer = lap()?;
        Ok(times)
    }
}
