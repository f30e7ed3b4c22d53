//! The training loop, on one device.

use std::time::Instant;

use anyhow::{Context, Result, anyhow, bail, ensure};
use burn::module::AutodiffModule;
use burn::optim::{GradientsAccumulator, GradientsParams};
use burn::tensor::{DType, Tensor, backend::AutodiffBackend, backend::Backend};
use vdm::config::{ComputePrecision, Stage, TrainingConfig};
use vdm::diffusion::terms::Terms;
use vdm::elbo::ImageElbo;
use vdm::math;
use vdm::model::Networks;
use vdm::objective::{clip_global_norm, complete_gradients, gradients};
use vdm::weights::Provenance;

use super::Train;
use super::checkpoint::{self, Best, Checkpoint, TrainerState};
use super::ema::Ema;
use super::init;
use super::loader::{Loader, Share};
use super::optimizer::NetworksOptimizer;
use super::process_group::ProcessGroup;
use super::run_logger::RunLogger;
use crate::base::files;
use crate::evaluate::elbo::{self, Estimate};
use crate::run::log::{StepLog, ValidationLog};
use crate::run::settings::{OnNotFinite, RunSettings};

/// Rollbacks after which a run that is not finite again stops.
const MAX_ROLLBACKS: u64 = 3;
/// Steps without an overflow after which float16's loss scale is doubled (Micikevicius et al. 2018).
const STEPS_TO_GROW: u64 = 2000;
const LARGEST_SCALE: f64 = 65536.0;

/// One device's share of a run, in one process.
pub struct Session<'a, B: AutodiffBackend> {
    job: &'a Train,
    settings: &'a RunSettings,
    training: &'a TrainingConfig,
    group: ProcessGroup,
    share: Share,
    device: &'a B::Device,
    state: Checkpoint<B>,
    loader: Loader,
    /// What is shown and kept, on the device that leads.
    logger: Option<RunLogger>,
    started: Instant,
    seconds_before: f64,
    /// The step that stood when `started` was.
    first: u64,
    saved: Option<u64>,
}

/// What became of a step.
enum Step {
    /// It was taken, without being looked at.
    Taken,
    /// It was taken and logged.
    Logged(StepLog),
    /// A part of it overflowed float16: it was left out.
    LeftOut,
    /// It gave no finite numbers.
    NotFinite,
}

impl<'a, B: AutodiffBackend> Session<'a, B> {
    /// Reads the checkpoint, or starts afresh, and meets the other devices.
    pub fn start(job: &'a Train, group: ProcessGroup, device: &'a B::Device) -> Result<Self> {
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
        let state = Self::load(job, device)?;
        group.join::<B::InnerBackend>(device)?;
        // Only now, since a run that cannot start leaves nothing behind.
        if group.is_first_of_machine() {
            checkpoint::clear_leftovers(&job.folder)?;
            settings.write(&job.folder)?;
        }
        let step = state.trainer.step;
        let logger = if group.is_rank_zero() {
            if step > 0 {
                eprintln!("resuming after step {step} of {}", training.steps);
            }
            Some(RunLogger::open(&job.folder, &job.data, &job.device_name, step)?)
        } else {
            None
        };
        let session = Self {
            job,
            settings,
            training,
            loader: Loader::start(&job.data, &share, state.trainer.retries, step)?,
            group,
            share,
            device,
            logger,
            started: Instant::now(),
            seconds_before: state.trainer.seconds,
            first: step,
            saved: (step > 0).then_some(step),
            state,
        };
        session.agree()?;
        Ok(session)
    }

    /// The last checkpoint, or fresh networks.
    fn load(job: &Train, device: &B::Device) -> Result<Checkpoint<B>> {
        let settings = &job.data.settings;
        let training = &settings.training;
        let optimizer = NetworksOptimizer::new(training);
        let mut state = match checkpoint::load(&job.folder, &training.ema_half_lives, optimizer.clone(), device)? {
            Some(state) => state,
            None => {
                let networks = init::networks(&job.data, &job.measured, device)?;
                let average = |&half_life: &u64| Ema { half_life, networks: networks.valid() };
                let emas = training.ema_half_lives.iter().map(average).collect();
                Checkpoint { trainer: TrainerState::default(), emas, networks, optimizer }
            }
        };
        state.networks = state.networks.with_compute(training.precision);
        Ok(state)
    }

    /// Fails unless all machines stand at the same step with the same images.
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

    /// Trains until the last step (true), or until any device is told to stop.
    pub fn run(&mut self) -> Result<bool> {
        while self.step() < self.training.steps {
            let next = self.step() + 1;
            let cadence = &self.settings.run;
            let last = next == self.training.steps;
            let due = |every: u64| next.is_multiple_of(every);
            let kept = cadence.keep_every.is_some_and(due);
            let (validates, samples) = (due(cadence.validate_every) || last, due(cadence.sample_every) || last);
            let saves = (due(cadence.checkpoint_every) || kept) && !last;
            let reads_back = due(cadence.log_every) || validates || samples || saves;

            let (step, stop) = self.train_step(reads_back)?;
            match step {
                Step::Taken => {}
                Step::Logged(line) => {
                    if let Some(logger) = &mut self.logger {
                        logger.step(&line)?;
                    }
                }
                Step::LeftOut => {
                    let scale = self.state.trainer.loss_scale;
                    self.say(&format!("step {next}: a gradient overflowed float16; the loss scale is {scale} now"));
                }
                Step::NotFinite => {
                    self.rollback(next)?;
                    continue;
                }
            }
            if validates {
                self.validate()?;
            }
            if samples && let Some(logger) = &mut self.logger {
                let networks = self.state.emas.last().map_or(self.state.networks.valid(), |a| a.networks.clone());
                let networks = networks.with_compute(ComputePrecision::F32);
                if !self.training.stage.has_diffusion() {
                    logger.reconstructions::<B::InnerBackend>(
                        next,
                        networks,
                        &self.job.data.validation,
                        self.device,
                    )?;
                } else {
                    logger.samples::<B::InnerBackend>(next, networks, self.device)?;
                }
            }
            if stop {
                return Ok(last);
            }
            if saves {
                self.save()?;
                if kept && self.group.is_first_of_machine() {
                    checkpoint::keep(&self.job.folder, next)?;
                }
            }
        }
        Ok(true)
    }

    /// One optimizer step, and whether any device was told to stop. It is waited for only if it is looked at.
    fn train_step(&mut self, reads_back: bool) -> Result<(Step, bool)> {
        let (config, training) = (&self.settings.model, self.training);
        let scale = self.state.trainer.loss_scale;
        let images = training.batch;
        let networks = &self.state.networks;
        let encoder = networks.encoder.as_ref().context("the encoder is missing")?;
        let mut accumulator = GradientsAccumulator::new();
        let mut sums = Tensor::<B::InnerBackend, 1>::zeros([TERMS], self.device);
        let with_start = reads_back || training.stage != Stage::Diffusion;
        for part in self.loader.next()? {
            let part = part.on_device(with_start, self.device);
            let part = gradients(networks, encoder, config, training, scale, reads_back, part);
            accumulator.accumulate(networks, part.gradients);
            sums = sums + sum_of_terms(part.terms, part.weighted_diffusion);
        }
        let vote = Tensor::from_floats([if self.job.interrupt.is_raised() { 1.0f32 } else { 0.0 }], self.device);
        let numbers = Tensor::cat(vec![sums, vote], 0);
        let (mut grads, sums) = self.group.sum_gradients(accumulator.grads(), numbers, &networks.valid())?;

        let mean_diffusion = sums.clone().narrow(0, WEIGHTED_DIFFUSION, 1) / images as f64;
        complete_gradients(&mut grads, networks, training.diffusion_steps, images, scale, mean_diffusion);
        let pixels = config.pixels() as f64;
        let norm = clip_global_norm::<B, _>(&mut grads, networks, training.clip_norm * pixels, self.device);

        // float16 must not be updated by what overflowed, so that each of its steps is looked at.
        if !reads_back && training.precision != ComputePrecision::F16 {
            self.update(grads);
            return Ok((Step::Taken, false));
        }
        let values = read(Tensor::cat(vec![sums, norm], 0))?;
        let stop = values[TERMS] > 0.0;
        let norm = values[TERMS + 1] / pixels;
        if !values.iter().all(|value| value.is_finite()) {
            let terms_are_finite = values[..TERMS].iter().all(|value| value.is_finite());
            if training.precision == ComputePrecision::F16 && terms_are_finite && scale > 1e-3 {
                self.state.trainer.loss_scale /= 2.0;
                self.state.trainer.good_steps = 0;
                // The step counts: its images are not taken again.
                self.state.trainer.step += 1;
                return Ok((Step::LeftOut, stop));
            }
            return Ok((Step::NotFinite, stop));
        }
        self.update(grads);
        if training.precision == ComputePrecision::F16 {
            self.state.trainer.good_steps += 1;
            if self.state.trainer.good_steps.is_multiple_of(STEPS_TO_GROW) && scale < LARGEST_SCALE {
                self.state.trainer.loss_scale *= 2.0;
            }
            if !reads_back {
                return Ok((Step::Taken, stop));
            }
        }
        let mean = |i: usize| values[i] / images as f64;
        let bits = |i: usize| math::bits_per_dim(mean(i), config.pixels());
        let seconds = self.seconds_before + self.started.elapsed().as_secs_f64();
        Ok((
            Step::Logged(StepLog {
                step: self.step(),
                reconstruction: bits(0),
                latent: bits(1),
                diffusion: bits(2),
                mse: mean(3),
                gradient_difference: mean(4),
                grain: bits(5),
                gradient_norm: norm,
                learning_rate: training.learning_rate_at(self.step()),
                seconds,
                images_per_second: ((self.step() - self.first) * images as u64) as f64
                    / self.started.elapsed().as_secs_f64(),
            }),
            stop,
        ))
    }

    /// Moves the weights and their emas.
    fn update(&mut self, grads: GradientsParams) {
        let step = self.step() + 1;
        let rate = self.training.learning_rate_at(step);
        self.state.networks = self.state.optimizer.step(rate, self.state.networks.clone(), grads);
        self.state.trainer.step = step;
        if !self.state.emas.is_empty() {
            let networks = self.state.networks.valid();
            for average in &mut self.state.emas {
                let decay = self.training.ema_decay(average.half_life, step * self.training.batch as u64);
                average.update(&networks, decay);
            }
        }
    }

    /// Goes back to the last checkpoint, to take another way from there, or gives up.
    fn rollback(&mut self, step: u64) -> Result<()> {
        let what = format!("the loss or its gradient is not a finite number at step {step}");
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
        let seconds = self.seconds_before + self.started.elapsed().as_secs_f64();
        self.state = Self::load(self.job, self.device)?;
        self.state.trainer.retries = retries;
        (self.seconds_before, self.started) = (seconds, Instant::now());
        let back = self.step();
        self.first = back;
        self.loader = Loader::start(&self.job.data, &self.share, retries, back)?;
        if let Some(logger) = &mut self.logger {
            logger.rollback(back)?;
        }
        self.say(&format!(
            "{what}: back to step {back}, with other images and noise (time {retries} of {MAX_ROLLBACKS})"
        ));
        Ok(())
    }

    /// Measures the validation images with the weights and their emas, and keeps the best so far.
    fn validate(&mut self) -> Result<()> {
        let Some(logger) = &mut self.logger else { return Ok(()) };
        logger.activity("validating");
        let weights = self.state.networks.valid().with_compute(ComputePrecision::F32);
        let mut series = vec![("weights".to_owned(), weights)];
        for average in &self.state.emas {
            series.push((average.name(), average.networks.clone().with_compute(ComputePrecision::F32)));
        }
        let schedule = files::block_on(series[0].1.schedule.read())?;
        for (name, networks) in series {
            let line = self.measure(&name, &networks)?;
            let objective = line.objective;
            if self.state.trainer.best.as_ref().is_none_or(|best| objective < best.objective) {
                self.state.trainer.best = Some(Best { step: line.step, series: name, objective });
                let path = checkpoint::weights_path(&self.job.folder, self.settings.preset.name());
                let precision = self.settings.weights.precision;
                let (model, sampling) = (&self.settings.model, &self.settings.sampling);
                files::write_model(&path, &networks, model, sampling, &self.provenance(), precision)?;
            }
            if let Some(logger) = &mut self.logger {
                logger.validation(&line)?;
            }
        }
        if let Some(logger) = &mut self.logger {
            logger.schedule(self.state.trainer.step, &schedule)?;
            logger.activity("");
        }
        Ok(())
    }

    fn measure(&self, name: &str, networks: &Networks<B::InnerBackend>) -> Result<ValidationLog> {
        let (config, data) = (&self.settings.model, &self.job.data.validation);
        let stage = self.training.stage;
        let terms = elbo::measure(networks, config, stage, data, 1, self.settings.seed, self.device, |_| {})?;
        let pixels = config.pixels();
        let bits =
            |of: fn(&ImageElbo) -> f64| Estimate::of(&terms.iter().map(of).collect::<Vec<_>>()).in_bits_per_dim(pixels);
        let total = bits(|t| t.terms.total());
        let weights = &self.training.objective;
        let mean = |of: fn(&ImageElbo) -> f64| Estimate::of(&terms.iter().map(of).collect::<Vec<_>>()).mean;
        // As bits a dimension, so that a mean over pixels counts once a pixel.
        let auxiliary =
            weights.mse * mean(|t| t.terms.mse) + weights.gradient_difference * mean(|t| t.terms.gradient_difference);
        let grain = bits(|t| t.terms.grain).mean;
        let (reconstruction, latent, diffusion) =
            (bits(|t| t.terms.reconstruction).mean, bits(|t| t.terms.latent).mean, bits(|t| t.terms.diffusion).mean);
        let objective = reconstruction
            + weights.kl_weight * (latent + diffusion)
            + auxiliary / std::f64::consts::LN_2
            + weights.grain * grain;
        Ok(ValidationLog {
            step: self.step(),
            series: name.to_owned(),
            reconstruction,
            latent,
            diffusion,
            mse: mean(|t| t.terms.mse),
            grain,
            objective,
            total: total.mean,
            standard_error: total.standard_error,
        })
    }

    fn provenance(&self) -> Provenance {
        Provenance { training_steps: self.step(), ..self.job.data.provenance.clone() }
    }

    fn say(&mut self, text: &str) {
        if let Some(logger) = &mut self.logger {
            logger.say(text);
        }
    }

    /// Saves a checkpoint, where this device is the one of its machine that does.
    fn save(&mut self) -> Result<()> {
        self.state.trainer.seconds = self.seconds_before + self.started.elapsed().as_secs_f64();
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
            eprintln!("stopped at step {step}; go on with --resume --out {}", self.job.folder.display());
            return Ok(());
        }
        let best = self.state.trainer.best.as_ref().context("no validation was made")?;
        let path = checkpoint::weights_path(&self.job.folder, self.settings.preset.name());
        logger.finish::<B::InnerBackend>(best, &path, &self.job.data.validation, self.device)
    }
}

/// The numbers that are summed over a batch.
const TERMS: usize = 7;
/// The place of the diffusion loss among them, as the objective weighs it.
const WEIGHTED_DIFFUSION: usize = 6;

/// The terms summed over images, `[TERMS]`.
fn sum_of_terms<B: Backend>(terms: Terms<Tensor<B, 1>>, weighted_diffusion: Tensor<B, 1>) -> Tensor<B, 1> {
    let all = terms.into_array().into_iter().chain([weighted_diffusion]);
    Tensor::cat(all.map(Tensor::sum).collect(), 0)
}

fn read<B: Backend>(values: Tensor<B, 1>) -> Result<Vec<f64>> {
    let data = values.try_into_data().map_err(|error| anyhow!("cannot read from the device: {error:?}"))?;
    Ok(data.iter::<f64>().collect())
}
