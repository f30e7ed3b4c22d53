//! The training loop, on one device.

use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use burn::module::AutodiffModule;
use burn::tensor::{DType, Tensor, backend::AutodiffBackend};
use vdm::config::{ComputePrecision, TrainingConfig};
use vdm::weights::Provenance;

use super::checkpoint::{self, Best, Checkpoint, Due, TrainerState};
use super::ema::Ema;
use super::init;
use super::job::TrainJob;
use super::loader::{Loader, Share};
use super::optimizer::NetworksOptimizer;
use super::process_group::ProcessGroup;
use super::run_logger::RunLogger;
use super::step::{self, Step, read};
use super::validation;
use crate::base::files;
use crate::base::interrupt::{Interrupt, Interrupted};
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
        // Only now: a run that cannot start leaves nothing behind.
        if session.group.is_first_of_machine() {
            checkpoint::clear_leftovers(&job.folder)?;
            session.settings.write(&job.folder)?;
        }
        if session.group.is_rank_zero() {
            let step = session.step();
            if step > 0 {
                eprintln!("resuming after step {step} of {}", session.training.steps);
            }
            session.logger = Some(RunLogger::open(&job.folder, &job.data, &job.device_name, step)?);
        }
        session.agree()?;
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
        let state = Self::load(job, &job.interrupt, device)?;
        group.join::<B::InnerBackend>(device)?;
        let step = state.trainer.step;
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
            saved: (step > 0).then_some(step),
            state,
        })
    }

    /// The last checkpoint, or fresh networks.
    fn load(job: &TrainJob, interrupt: &Interrupt, device: &B::Device) -> Result<Checkpoint<B>> {
        let settings = &job.data.settings;
        let training = &settings.training;
        let optimizer = NetworksOptimizer::new(training);
        let half_lives = &training.ema_half_lives;
        let mut state = match checkpoint::load(&job.folder, &settings.model, half_lives, optimizer.clone(), device)? {
            Some(state) => state,
            None => {
                let networks = init::networks(&job.data, &job.measured, interrupt, device)?;
                let ema = |&half_life: &u64| Ema { half_life, networks: networks.valid() };
                let emas = half_lives.iter().map(ema).collect();
                Checkpoint { trainer: TrainerState::default(), emas, networks, optimizer }
            }
        };
        state.networks = state.networks.with_compute(training.precision);
        Ok(state)
    }

    /// Fails unless all machines have the same images and are at the same step.
    fn agree(&self) -> Result<()> {
        if self.group.is_alone() {
            return Ok(());
        }
        let mine = [self.step() as f32, self.job.data.train.len() as f32, self.job.data.fingerprint()];
        let sum = self.group.sum(Tensor::<B::InnerBackend, 1>::from_floats(mine, self.device))?;
        let sum = read(sum)?;
        for (what, mine, sum) in [
            ("step", mine[0], sum[0]),
            ("number of training images", mine[1], sum[1]),
            ("training images", mine[2], sum[2]),
        ] {
            let others = sum / self.group.world_size as f64;
            ensure!(
                (others - f64::from(mine)).abs() <= 1e-3 * f64::from(mine).abs().max(1.0),
                "the machines differ in their {what}: each needs the same images, options and checkpoint"
            );
        }
        Ok(())
    }

    fn step(&self) -> u64 {
        self.state.trainer.step
    }

    /// Trains until the last step (true), or until any device is interrupted.
    pub fn run(&mut self) -> Result<bool> {
        if self.any(self.state.trainer.due != Due::default())? {
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
            let reads_back = is_due(cadence.log_every) || due != Due::default() || saves;

            let parts = self.loader.next()?;
            let interrupted = self.job.interrupt.is_raised();
            let (state, settings, group) = (&mut self.state, self.settings, &self.group);
            let (step, stop) = step::take(state, parts, settings, group, reads_back, interrupted, self.device)?;
            match step {
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
            // A step with something due is read back, so that all devices know whether to stop.
            let stop = stop || (due != Due::default() && self.measure_due()?);
            if saves {
                self.save()?;
            }
            if kept && self.group.is_first_of_machine() {
                checkpoint::keep(&self.job.folder, next)?;
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
        self.state = Self::load(self.job, &Interrupt::default(), self.device)?;
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

    /// Whether it holds on any device.
    fn any(&self, here: bool) -> Result<bool> {
        if self.group.is_alone() {
            return Ok(here);
        }
        let here = Tensor::<B::InnerBackend, 1>::from_floats([if here { 1.0f32 } else { 0.0 }], self.device);
        Ok(read(self.group.sum(here)?)?.iter().any(|&devices| devices > 0.0))
    }

    /// Validates and draws samples where that is due, which an interrupt leaves due. Returns whether there was one, on all
    /// devices alike.
    fn measure_due(&mut self) -> Result<bool> {
        let measured = if self.group.is_rank_zero() { self.measure() } else { Ok(()) };
        let interrupted = match measured {
            Err(error) if error.is::<Interrupted>() => true,
            measured => measured.map(|()| false)?,
        };
        let interrupted = self.any(interrupted)?;
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
        let schedule = files::block_on(series[0].networks.schedule.read())?;
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

    /// Draws samples, or reconstructions where no ScoreNet is trained.
    fn draw_samples(&mut self) -> Result<()> {
        let Some(logger) = &mut self.logger else { return Ok(()) };
        let networks = self.state.emas.last().map_or_else(|| self.state.networks.valid(), |ema| ema.networks.clone());
        let networks = networks.with_compute(ComputePrecision::F32);
        let step = self.state.trainer.step;
        if self.training.stage.has_diffusion() {
            logger.samples::<B::InnerBackend>(step, networks, &self.job.interrupt, self.device)
        } else {
            logger.reconstructions::<B::InnerBackend>(step, networks, &self.job.data.validation, self.device)
        }
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

    /// Saves a checkpoint, on the first device of each machine.
    fn save(&mut self) -> Result<()> {
        self.state.trainer.seconds = self.clock.seconds();
        if self.group.is_first_of_machine() {
            let last_good = match self.saved {
                Some(step) => format!("the checkpoint of step {step} stays"),
                None => "no checkpoint was saved before".to_owned(),
            };
            let (model, sampling) = (&self.settings.model, &self.settings.sampling);
            checkpoint::save(&self.job.folder, model, sampling, &self.provenance(), &self.state)
                .with_context(|| format!("cannot save step {}; {last_good}", self.step()))?;
        }
        self.saved = Some(self.step());
        Ok(())
    }

    /// Saves the last checkpoint, and draws the figures of a finished run.
    pub fn end(mut self, finished: bool) -> Result<()> {
        self.save()?;
        self.group.leave::<B::InnerBackend>();
        let step = self.step();
        let Some(logger) = self.logger.take() else { return Ok(()) };
        if !finished {
            logger.close()?;
            eprintln!("stopped at step {step}; continue with --resume --out {}", self.job.folder.display());
            return Ok(());
        }
        let none = || "no validation was finite: there are no best weights, only the last checkpoint";
        let best = self.state.trainer.best.as_ref().with_context(none)?;
        let path = checkpoint::weights_path(&self.job.folder, self.settings.preset.name());
        logger.finish::<B::InnerBackend>(best, &path, &self.job.data.validation, self.device)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;
    use std::time::Duration;

    use burn::backend::Flex;
    use burn::module::{Module, ModuleMapper, Param};
    use burn::tensor::backend::Backend;

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
        Session::restore(job, ProcessGroup::of(1, None).remove(0), Box::leak(Box::default())).expect("starts")
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
                let ranks = ProcessGroup::of(2, None).into_iter().map(|group| scope.spawn(|| rank(group)));
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
