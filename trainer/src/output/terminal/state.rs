//! The state of the view.

use std::time::{Duration, Instant};

use vdm::axis::Thinned;

use super::memory::Memory;
use crate::run::log::{StepLog, ValidationLog};

/// Facts that do not change during a run.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// The preset's name.
    pub preset: String,
    /// The device's name.
    pub device: String,
    /// The run's folder.
    pub folder: String,
    /// Training images.
    pub images: usize,
    /// Images per step.
    pub batch: usize,
}

/// The state of the view.
pub struct State {
    pub facts: Facts,
    pub total_steps: u64,
    pub step: u64,
    pub last: Option<StepLog>,
    /// The last validation of each series, in order of their first appearance.
    pub validations: Vec<ValidationLog>,
    /// The validation with the lowest total, of any series.
    pub best: Option<ValidationLog>,
    /// Totals of the training steps.
    pub training_totals: Thinned,
    /// Totals of the first series' validations.
    pub validation_totals: Thinned,
    pub activity: String,
    pub memory: Memory,
    started: Instant,
    start_step: u64,
}

impl State {
    pub fn new(total_steps: u64, start_step: u64, facts: Facts) -> Self {
        Self {
            facts,
            total_steps,
            step: start_step,
            last: None,
            validations: Vec::new(),
            best: None,
            training_totals: Thinned::default(),
            validation_totals: Thinned::default(),
            activity: String::new(),
            memory: Memory::default(),
            started: Instant::now(),
            start_step,
        }
    }

    pub fn take_step(&mut self, step: &StepLog) {
        self.step = step.step;
        self.last = Some(*step);
        self.training_totals.push(step.step, step.terms.total());
    }

    pub fn take_validation(&mut self, validation: ValidationLog) {
        if self.validations.first().is_none_or(|first| first.series == validation.series) {
            self.validation_totals.push(validation.step, validation.total);
        }
        let best = self.best.as_ref().map_or(f64::INFINITY, |best| best.total);
        if validation.total < best {
            self.best = Some(validation.clone());
        }
        match self.validations.iter_mut().find(|known| known.series == validation.series) {
            Some(known) => *known = validation,
            None => self.validations.push(validation),
        }
    }

    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// Time left at the speed since the start, if a step was taken.
    pub fn left(&self) -> Option<Duration> {
        let taken = self.step.checked_sub(self.start_step).filter(|&taken| taken > 0)?;
        let left = self.total_steps.saturating_sub(self.step) as f64;
        Duration::try_from_secs_f64(self.elapsed().as_secs_f64() / taken as f64 * left).ok()
    }

    /// The fraction of the run that is done, in [0, 1].
    pub fn ratio(&self) -> f64 {
        if self.total_steps == 0 { 1.0 } else { (self.step as f64 / self.total_steps as f64).clamp(0.0, 1.0) }
    }
}
