//! How long the parts of a training step take.

use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, anyhow};
use burn::module::AutodiffModule;
use burn::tensor::backend::AutodiffBackend;
use serde::Serialize;
use vdm::model::Networks;

use super::checkpoint::{Checkpoint, TrainerState};
use super::ema::Ema;
use super::loader::step_batches;
use super::optimizer::NetworksOptimizer;
use super::process_group::ProcessGroup;
use super::step::{self, Phase};
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
    group: ProcessGroup,
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
        phantoms.labels = match model.classes().count() {
            0 => None,
            count => Some((0..IMAGES).map(|i| i % count).collect()),
        };
        let state = Checkpoint { trainer: TrainerState::default(), networks, emas, optimizer };
        let group = ProcessGroup::of(1, Arc::default()).pop().context("there is no device")?;
        Ok(Self { data: RunData::of(settings, phantoms.clone(), phantoms), state, group, device: device.clone() })
    }

    /// Takes a step, as training does.
    ///
    /// # Errors
    /// A device that fails.
    pub fn step(&mut self) -> Result<StepTimes> {
        let Self { data, state, group, device } = self;
        let training = &data.settings.training;
        let mut times = StepTimes::default();
        let mut last = Instant::now();
        let mut lap = || -> Result<f64> {
            B::sync(device).map_err(|error| anyhow!("the device has failed: {error:?}"))?;
            let before = std::mem::replace(&mut last, Instant::now());
            Ok((last - before).as_secs_f64())
        };
        let share = group.share(training.batch, training.accumulation)?;
        let parts = step_batches(data, &share, 0, state.trainer.step);
        step::take(state, parts, &data.settings, group, false, device, |phase| {
            *match phase {
                Phase::Data => &mut times.data,
                Phase::Forward => &mut times.forward,
                Phase::Backward => &mut times.backward,
            } += lap()?;
            Ok(())
        })?;
        times.optimizer = lap()?;
        Ok(times)
    }
}
