//! The training loop, on one device.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use burn::module::AutodiffModule;
use burn::tensor::{DType, backend::AutodiffBackend};
use vdm::config::{ComputePrecision, Stage, TrainingConfig};
use vdm::weights::{Provenance, parameters, sha256_hex};

use super::checkpoint::{self, Best, Checkpoint, Due, Files, TrainerState};
use super::ema::Ema;
use super::init;
use super::job::{Outcome, TrainJob};
use super::loader::{Loader, Share};
use super::optimizer::NetworksOptimizer;
use super::process_group::ProcessGroup;
use super::run_logger::RunLogger;
use super::step::{self, Step};
use super::store;
use super::validation;
use crate::base::files::{self, say};
use crate::base::interrupt::{Interrupt, Interrupted, together};
use crate::run::log::{StepLog, terms_in_bits_per_dim};
use crate::run::settings::{OnNotFinite, RunSettings};

/// Rollbacks after which a run that is not finite again stops.
const MAX_ROLLBACKS: u64 = 3;

/// One device's share of a run, in one process.
pub struct Session<'a, B: AutodiffBackend> {
    job: &'a TrainJob,
    settings: &'a RunSettings,
    training: &'a TrainingConfig,
    group: ProcessGroup,
    share: Share,
    device: &'a B::Device,
    state: Checkpoint<B>,
    loader: Loader,
    /// What is shown and kept, on rank zero.
    logger: Option<RunLogger>,
    clock: Clock,
    /// The step of the last checkpoint.
    saved: Option<u64>,
}

/// The time trained.
struct Clock {
    /// Seconds of the sessions before, and of this one up to `started`.
    seconds_before: f64,
    started: Instant,
    /// The steps taken when it was started.
    first_step: u64,
}

impl Clock {
    fn start(seconds_before: f64, first_step: u64) -> Self {
        Self { seconds_before, started: Instant::now(), first_step }
    }

    /// Seconds trained, over all sessions.
    fn seconds(&self) -> f64 {
        self.seconds_before + self.started.elapsed().as_secs_f64()
    }

    fn steps_per_second(&self, step: u64) -> f64 {
        (step - self.first_step) as f64 / self.started.elapsed().as_secs_f64()
    }
}

impl<'a, B: AutodiffBackend> Session<'a, B> {
    /// Reads the checkpoint, or makes fresh networks, and joins the other devices.
    ///
    /// # Errors
    /// Settings that the checkpoint, the device or the number of devices does not fit;
    /// [`Interrupted`] before the first step.
    pub fn start(job: &'a TrainJob, group: ProcessGroup, device: &'a B::Device) -> Result<Self> {
        let mut session = Self::restore(job, group, device)?;
        // No device writes before all have read.
        session.group.any(false);
        // Only now: a run that cannot start leaves nothing behind.
        if session.group.is_rank_zero() {
            store::clear_leftovers(&job.folder)?;
            session.settings.write(&job.folder)?;
            job.data.images().write(&job.folder)?;
        }
        match session.saved {
            Some(step) if session.group.is_rank_zero() => {
                say(format!("resuming after step {step} of {}", session.training.steps));
            }
            Some(_) => {}
            // What was measured and trained before the first step is kept, too.
            None => session.save()?,
        }
        if session.group.is_rank_zero() {
            session.logger = Some(RunLogger::open(&job.folder, &job.data, &job.device_name, session.step())?);
        }
        Ok(session)
    }

    /// As [`start`](Self::start), but writes nothing.
    fn restore(job: &'a TrainJob, group: ProcessGroup, device: &'a B::Device) -> Result<Self> {
        let settings = &job.data.settings;
        let training = &settings.training;
        let share = group.share(training.batch, training.accumulation)?;
        let dtype = match training.precision {
            ComputePrecision::F32 => DType::F32,
            ComputePrecision::Bf16 => DType::BF16,
            ComputePrecision::F16 => DType::F16,
        };
        ensure!(
            B::supports_dtype(device, dtype),
            "--precision is {}: this device has no arithmetic in it; f32 is accepted everywhere",
            training.precision.name()
        );
        let (state, is_saved) = Self::load(job, &group, &job.interrupt, device)?;
        let step = state.trainer.step;
        ensure!(
            step <= training.steps,
            "--steps is {}, and the checkpoint is of step {step}: at least as many are accepted (--resume-from STEP goes \
             back to a checkpoint that was kept)",
            training.steps
        );
        if group.has_other_processes() {
            group.ensure_same("images", &job.data.images().sha256()?)?;
        }
        group.join::<B::InnerBackend>(device)?;
        Ok(Self {
            job,
            settings,
            training,
            loader: Loader::start(&job.data, &share, state.trainer.retries, step)?,
            group,
            share,
            device,
            logger: None,
            clock: Clock::start(state.trainer.seconds, step),
            saved: is_saved.then_some(step),
            state,
        })
    }

    /// The last checkpoint, or fresh networks; and whether there was one. Only rank 0 of several processes reads or makes
    /// them.
    fn load(
        job: &TrainJob,
        group: &ProcessGroup,
        interrupt: &Interrupt,
        device: &B::Device,
    ) -> Result<(Checkpoint<B>, bool)> {
        if !group.has_other_processes() {
            return Self::load_here(job, interrupt, device);
        }
        let found = group.is_rank_zero().then(|| Self::load_here(job, interrupt, device)).transpose();
        let found = together(found, |interrupted| group.any(interrupted))?;
        let is_saved = group.any(found.as_ref().is_some_and(|(_, is_saved)| *is_saved));
        // Rank 0's files, one after another; an empty name ends them.
        let pass_on = |name: &Path, bytes: Vec<u8>| -> Result<(PathBuf, Vec<u8>)> {
            let name = group.bytes_of_first(name.to_string_lossy().into_owned().into_bytes());
            Ok((String::from_utf8(name)?.into(), group.bytes_of_first(bytes)))
        };
        let end = Path::new("");
        let settings = &job.data.settings;
        if let Some((state, _)) = found {
            let (model, sampling, provenance) = (&settings.model, &settings.sampling, &job.data.provenance);
            state.files(model, sampling, provenance, |name, bytes| pass_on(name, bytes).map(drop))?;
            pass_on(end, Vec::new())?;
            return Ok((state, is_saved));
        }
        let mut files = Files::new();
        loop {
            let (name, bytes) = pass_on(end, Vec::new())?;
            if name == end {
                break;
            }
            files.insert(name, bytes);
        }
        let (training, optimizer) = (&settings.training, NetworksOptimizer::new(&settings.training));
        let read = |name: &Path| checkpoint::file(&files, name);
        let mut state = Checkpoint::of_files(read, &training.ema_half_lives, optimizer, device)?;
        state.networks = state.networks.with_compute(training.precision);
        Ok((state, is_saved))
    }

    /// As [`load`](Self::load), in this process.
    fn load_here(job: &TrainJob, interrupt: &Interrupt, device: &B::Device) -> Result<(Checkpoint<B>, bool)> {
        let settings = &job.data.settings;
        let training = &settings.training;
        let optimizer = NetworksOptimizer::new(training);
        let half_lives = &training.ema_half_lives;
        let stored = checkpoint::load(&job.folder, &settings.model, half_lives, optimizer.clone(), device)?;
        let is_saved = stored.is_some();
        let mut state = match stored {
            Some(state) => state,
            None => {
                // A run saves before it logs.
                ensure!(
                    fs::metadata(job.folder.join("log.jsonl")).map_or(0, |log| log.len()) == 0,
                    "{} has a log but no checkpoint, so it cannot be continued: start a new run with another --out",
                    job.folder.display()
                );
                let networks = init::networks(&job.data, &job.measured, interrupt, device)?;
                let ema = |&half_life: &u64| Ema { half_life, networks: networks.valid() };
                let emas = half_lives.iter().map(ema).collect();
                let fresh =
                    Checkpoint { trainer: TrainerState::default(), emas, networks, optimizer: optimizer.clone() };
                // As it will be read, so that a run that goes on from its first checkpoint has the same bits.
                let mut files = Files::new();
                let (sampling, provenance) = (&settings.sampling, &job.data.provenance);
                fresh.files(&settings.model, sampling, provenance, |name, bytes| {
                    files.insert(name.to_owned(), bytes);
                    Ok(())
                })?;
                Checkpoint::of_files(|name| checkpoint::file(&files, name), half_lives, optimizer, device)?
            }
        };
        state.networks = state.networks.with_compute(training.precision);
        // Of a step that was gone back from, or removed.
        let weights = checkpoint::weights_path(&job.folder, settings.preset.name());
        state.trainer.best = state.trainer.best.filter(|best| checkpoint::is_of_step(&weights, best.step));
        Ok((state, is_saved))
    }

    fn step(&self) -> u64 {
        self.state.trainer.step
    }

    /// Trains until the last step (true), or until any device is interrupted.
    pub fn run(&mut self) -> Result<bool> {
        if self.group.any(self.state.trainer.due != Due::default()) {
            // An interrupt left it undone. The checkpoint is saved anew so that it is not done twice.
            let stop = self.measure_due()?;
            self.save()?;
            if stop {
                return Ok(false);
            }
        }
        while self.step() < self.training.steps {
            let next = self.step() + 1;
            let cadence = &self.settings.run;
            let last = next == self.training.steps;
            let is_due = |every: u64| next.is_multiple_of(every);
            let kept = cadence.keep_every.is_some_and(is_due) && !last;
            let due = Due {
                validation: is_due(cadence.validate_every) || last,
                samples: is_due(cadence.sample_every) || last,
            };
            let saves = (is_due(cadence.checkpoint_every) && !last) || kept;
            let parts = self.loader.next()?;
            let interrupted = self.group.any(self.job.interrupt.is_raised());
            // What is saved is read back first: it may not be finite.
            let reads_back = is_due(cadence.log_every) || due != Due::default() || saves || interrupted;
            let (state, settings, group) = (&mut self.state, self.settings, &self.group);
            match step::take(state, parts, settings, group, reads_back, self.device, |_| Ok(()))? {
                Step::Taken => {}
                Step::ReadBack { terms, gradient_norm } => {
                    let line = StepLog {
                        step: next,
                        terms: terms_in_bits_per_dim(terms, settings.model.pixels()),
                        gradient_norm,
                        learning_rate: self.training.learning_rate_at(next),
                        seconds: self.clock.seconds(),
                        images_per_second: self.clock.steps_per_second(next) * self.training.batch as f64,
                    };
                    if let Some(logger) = &mut self.logger {
                        logger.step(&line)?;
                    }
                }
                Step::Skipped => {
                    let scale = self.state.trainer.loss_scale;
                    self.say(&format!("step {next}: a gradient overflowed float16; the loss scale is now {scale}"));
                }
                Step::NotFinite => {
                    self.rollback(next)?;
                    continue;
                }
            }
            self.state.trainer.due = due;
            let stop = interrupted || (due != Due::default() && self.measure_due()?);
            if saves {
                self.save()?;
            }
            if kept && self.group.is_rank_zero() {
                store::keep(&self.job.folder, next)?;
            }
            if stop {
                return Ok(last && self.state.trainer.due == Due::default());
            }
        }
        Ok(true)
    }

    /// Goes back to the last checkpoint, to go on from there with other images and noise, or gives up.
    fn rollback(&mut self, step: u64) -> Result<()> {
        let what = format!("the loss or its gradient is not finite at step {step}");
        if self.settings.run.on_not_finite == OnNotFinite::Stop {
            bail!(
                "{what}: the checkpoint before it stays; a lower --learning-rate may help, or \
                 --set run.on_not_finite=rollback"
            );
        }
        let retries = self.state.trainer.retries + 1;
        if retries > MAX_ROLLBACKS {
            bail!("{what}, after {MAX_ROLLBACKS} rollbacks: a lower --learning-rate may help");
        }
        let seconds = self.clock.seconds();
        // The next step looks at the interrupt.
        self.state = Self::load(self.job, &self.group, &Interrupt::default(), self.device)?.0;
        self.state.trainer.retries = retries;
        let back = self.step();
        self.clock = Clock::start(seconds, back);
        self.loader = Loader::start(&self.job.data, &self.share, retries, back)?;
        if let Some(logger) = &mut self.logger {
            logger.rollback(back)?;
        }
        self.say(&format!(
            "{what}: back to step {back}, with other images and noise (rollback {retries} of {MAX_ROLLBACKS})"
        ));
        Ok(())
    }

    /// Validates and draws samples where that is due, which an interrupt leaves due. Returns whether there was one, on all
    /// devices alike.
    fn measure_due(&mut self) -> Result<bool> {
        let measured = if self.group.is_rank_zero() { self.measure() } else { Ok(()) };
        let interrupted = match measured {
            Err(error) if error.is::<Interrupted>() => true,
            measured => measured.map(|()| false)?,
        };
        let interrupted = self.group.any(interrupted);
        if !interrupted {
            self.state.trainer.due = Due::default();
        }
        Ok(interrupted)
    }

    fn measure(&mut self) -> Result<()> {
        if self.state.trainer.due.validation {
            self.validate()?;
            self.state.trainer.due.validation = false;
        }
        if self.state.trainer.due.samples {
            self.draw_samples()?;
        }
        Ok(())
    }

    /// Validates the weights and their averages, and keeps the best so far.
    fn validate(&mut self) -> Result<()> {
        self.activity("validating");
        let series = validation::series(&self.state);
        // All of them before the first is logged, so that an interrupt leaves none in the log.
        let lines = series.iter().map(|series| validation::measure(self.job, self.step(), series, self.device));
        let lines = lines.collect::<Result<Vec<_>>>()?;
        let band = usize::from(self.training.stage == Stage::Fine);
        let schedule = files::block_on(series[0].networks.band(band).0.read())?;
        for (series, line) in series.into_iter().zip(lines) {
            let (step, objective) = (line.step, line.objective);
            if self.state.trainer.improves(objective) {
                let path = checkpoint::weights_path(&self.job.folder, self.settings.preset.name());
                let precision = self.settings.weights.precision;
                let (model, sampling) = (&self.settings.model, &self.settings.sampling);
                let (networks, provenance) = (&series.networks, self.provenance());
                files::write_model(&path, networks, model, sampling, &provenance, precision)?;
                self.state.trainer.best = Some(Best { step, series: series.name, objective });
            } else if !objective.is_finite() {
                self.say(&format!("the validation of step {step} ({}) is not finite", series.name));
            }
            if let Some(logger) = &mut self.logger {
                logger.validation(&line)?;
            }
        }
        if let Some(logger) = &mut self.logger {
            logger.schedule(self.state.trainer.step, &schedule)?;
        }
        self.activity("");
        Ok(())
    }

    /// Draws samples.
    fn draw_samples(&mut self) -> Result<()> {
        let Some(logger) = &mut self.logger else { return Ok(()) };
        let networks = self.state.emas.last().map_or_else(|| self.state.networks.valid(), |ema| ema.networks.clone());
        let networks = networks.with_compute(ComputePrecision::F32);
        let step = self.state.trainer.step;
        let data = &self.job.data.validation;
        logger.samples::<B::InnerBackend>(step, networks, data, &self.job.interrupt, self.device)
    }

    fn provenance(&self) -> Provenance {
        Provenance { training_steps: self.step(), ..self.job.data.provenance.clone() }
    }

    fn say(&mut self, text: &str) {
        if let Some(logger) = &mut self.logger {
            logger.say(text);
        }
    }

    fn activity(&mut self, what: &str) {
        if let Some(logger) = &mut self.logger {
            logger.activity(what);
        }
    }

    /// Saves a checkpoint, on rank 0.
    fn save(&mut self) -> Result<()> {
        self.state.trainer.seconds = self.clock.seconds();
        if self.group.has_other_processes() {
            let bits = parameters(&self.state.networks.valid())?.into_iter().flat_map(|parameter| parameter.values);
            let bytes: Vec<u8> = bits.flat_map(f32::to_le_bytes).collect();
            self.group.ensure_same("weights", &sha256_hex(&bytes))?;
        }
        if self.group.is_rank_zero() {
            let last_good = match self.saved {
                Some(step) => format!("the checkpoint of step {step} stays"),
                None => "no checkpoint was saved before".to_owned(),
            };
            let (model, sampling) = (&self.settings.model, &self.settings.sampling);
            checkpoint::save(&self.job.folder, model, sampling, &self.provenance(), &self.state)
                .with_context(|| format!("cannot save step {}; {last_good}", self.step()))?;
        }
        self.saved = Some(self.step());
        self.logger.as_mut().map_or(Ok(()), RunLogger::flush)
    }

    /// Saves the last checkpoint, and draws the figures of a finished run.
    ///
    /// # Errors
    /// A file that cannot be written; a run without best weights.
    pub fn end(mut self, finished: bool) -> Result<Outcome> {
        self.save()?;
        self.group.leave::<B::InnerBackend>();
        let outcome = if finished { Outcome::Finished } else { Outcome::Stopped };
        let (step, folder) = (self.step(), &self.job.folder);
        let Some(logger) = self.logger.take() else { return Ok(outcome) };
        if !finished {
            logger.close()?;
            say(format!("stopped at step {step}; continue with --resume --out {}", folder.display()));
            return Ok(outcome);
        }
        let none = || "no validation was finite: there are no best weights, only the last checkpoint";
        let best = self.state.trainer.best.as_ref().with_context(none)?;
        let path = checkpoint::weights_path(folder, self.settings.preset.name());
        let (validation, interrupt) = (&self.job.data.validation, &self.job.interrupt);
        match logger.finish::<B::InnerBackend>(best, &path, validation, interrupt, self.device) {
            Err(error) if error.is::<Interrupted>() => {
                say(format!("stopped after the last step; --resume --out {} draws the figures", folder.display()));
                Ok(Outcome::Stopped)
            }
            drawn => drawn.map(|()| outcome),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use burn::backend::Flex;
    use burn::module::{Module, ModuleMapper, Param};
    use burn::tensor::{Tensor, backend::Backend};

    use super::super::fixture::{self, Cpu, bits};
    use super::*;

    fn settings() -> RunSettings {
        let mut settings = fixture::settings();
        settings.training.steps = 6;
        settings.run.validate_every = 3;
        settings.run.on_not_finite = OnNotFinite::Rollback;
        settings
    }

    fn job(settings: RunSettings, folder: &Path, interrupt: Interrupt) -> TrainJob {
        TrainJob {
            data: Arc::new(fixture::data(settings)),
            folder: folder.to_owned(),
            device_name: "CPU".to_owned(),
            interrupt,
            measured: init::Measured::default(),
        }
    }

    /// An interrupt that stops a session after one step.
    fn raised() -> Interrupt {
        Interrupt::new(Some(Duration::ZERO))
    }

    /// A session without logs.
    fn session(job: &TrainJob) -> Session<'_, Cpu> {
        Session::restore(job, ProcessGroup::of(1, Arc::default()).remove(0), Box::leak(Box::default())).expect("starts")
    }

    fn poison(session: &mut Session<'_, Cpu>) {
        struct Poison;
        impl<B: Backend> ModuleMapper<B> for Poison {
            fn map_float<const D: usize>(&mut self, param: Param<Tensor<B, D>>) -> Param<Tensor<B, D>> {
                let (id, value, mapper) = param.consume();
                Param::from_mapped_value(id, value * f32::NAN, mapper)
            }
        }
        session.state.networks = session.state.networks.clone().map(&mut Poison);
    }

    #[test]
    fn a_run_that_is_stopped_after_every_step_ends_as_one_that_is_not() {
        let folders = [(); 2].map(|()| tempfile::tempdir().expect("a folder"));
        let whole = job(settings(), folders[0].path(), Interrupt::default());
        let mut whole = session(&whole);
        assert!(whole.run().expect("trains"));

        for step in 1..=3 {
            let job = job(settings(), folders[1].path(), raised());
            let mut session = session(&job);
            assert!(!session.run().expect("trains"), "it is stopped");
            assert_eq!(session.step(), step);
            session.save().expect("saves");
        }
        let job = job(settings(), folders[1].path(), Interrupt::default());
        let mut resumed = session(&job);
        assert_eq!(resumed.state.trainer.due, Due { validation: true, samples: false }, "step 3 is to be validated");
        assert!(resumed.run().expect("trains"));

        let (whole, resumed) = (whole.state, resumed.state);
        assert_eq!(bits(&whole.networks), bits(&resumed.networks));
        assert_eq!(bits(&whole.emas[0].networks), bits(&resumed.emas[0].networks));
        assert_eq!(TrainerState { seconds: 0.0, ..whole.trainer }, TrainerState { seconds: 0.0, ..resumed.trainer });
    }

    #[test]
    fn two_devices_stop_and_go_on_together() {
        let folder = tempfile::tempdir().expect("a folder");
        let train = |interrupt| {
            let job = job(settings(), folder.path(), interrupt);
            let rank = |group| {
                let mut session = Session::<Cpu>::restore(&job, group, Box::leak(Box::default())).expect("starts");
                let finished = session.run().expect("trains");
                session.save().expect("saves");
                session.group.leave::<Flex>();
                (finished, session.step(), bits(&session.state.networks))
            };
            std::thread::scope(|scope| {
                let ranks = ProcessGroup::of(2, Arc::default()).into_iter().map(|group| scope.spawn(|| rank(group)));
                let ranks: Vec<_> = ranks.collect();
                ranks.into_iter().map(|rank| rank.join().expect("a device")).collect::<Vec<_>>()
            })
        };
        for step in 1..=3 {
            let ranks = train(raised());
            assert!(ranks.iter().all(|(finished, at, _)| !finished && *at == step), "step {step}");
        }
        let ranks = train(Interrupt::default());
        assert!(ranks.iter().all(|(finished, at, _)| *finished && *at == 6));
        assert_eq!(ranks[0].2, ranks[1].2);
    }

    #[test]
    fn a_loss_that_is_not_finite_rolls_back_to_other_images_but_the_same_deadline() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut settings = settings();
        settings.training.steps = 100_000;
        settings.run.validate_every = 100_000;
        let job = job(settings, folder.path(), Interrupt::new(Some(Duration::from_millis(300))));
        let mut session = session(&job);
        assert!(!session.run().expect("trains"), "the time is up");
        session.save().expect("saves");
        let stopped_at = session.step();
        let (trained, seconds) = (bits(&session.state.networks), session.clock.seconds());
        poison(&mut session);
        assert!(!session.run().expect("trains"), "the time is still up");
        assert_eq!((session.step(), session.state.trainer.retries), (stopped_at + 1, 1));
        assert!(session.clock.seconds() > seconds);

        // The same step without a rollback takes other images.
        let mut other = self::session(&job);
        assert_eq!(bits(&other.state.networks), trained);
        assert!(!other.run().expect("trains"));
        assert_ne!(bits(&other.state.networks), bits(&session.state.networks));
    }

    #[test]
    fn rollbacks_come_to_an_end() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut settings = settings();
        settings.training.learning_rate = 1e32;
        settings.run.checkpoint_every = 1;
        let exploding = job(settings.clone(), folder.path(), Interrupt::default());
        let error = session(&exploding).run().expect_err("is not finite from the second step on");
        assert!(error.to_string().contains("not finite at step 2, after 3 rollbacks"), "{error}");
        settings.run.on_not_finite = OnNotFinite::Stop;
        let exploding = job(settings, folder.path(), Interrupt::default());
        let error = session(&exploding).run().expect_err("stops");
        assert!(error.to_string().contains("run.on_not_finite=rollback"), "{error}");
    }

    #[test]
    fn a_validation_that_is_not_finite_is_never_the_best() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut settings = settings();
        settings.training.ema_half_lives.clear();
        let job = job(settings, folder.path(), Interrupt::default());
        let mut session = session(&job);
        session.state.trainer.due.validation = true;
        poison(&mut session);
        assert!(!session.measure_due().expect("validates"));
        assert_eq!((&session.state.trainer.best, session.state.trainer.due), (&None, Due::default()));
        assert!(!folder.path().join("quick.safetensors").exists());
    }

    #[test]
    fn an_interrupt_leaves_a_validation_due() {
        let folder = tempfile::tempdir().expect("a folder");
        let job = job(settings(), folder.path(), raised());
        let mut session = session(&job);
        let due = Due { validation: true, samples: true };
        session.state.trainer.due = due;
        assert!(session.measure_due().expect("is stopped"));
        assert_eq!((session.state.trainer.due, &session.state.trainer.best), (due, &None));
    }

    #[test]
    fn checkpoints_are_kept_as_often_as_asked_for() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut settings = settings();
        settings.run.keep_every = Some(2);
        let job = job(settings, folder.path(), Interrupt::default());
        assert!(session(&job).run().expect("trains"));
        let kept = |step: u64| folder.path().join(format!("checkpoint-step-{step:08}")).exists();
        assert_eq!([1, 2, 3, 4, 5].map(kept), [false, true, false, true, false]);
    }
}
