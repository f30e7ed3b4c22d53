//! `trainer train`: the training loop.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use burn::module::AutodiffModule;
use burn::optim::{AdamWConfig, Optimizer};
use burn::tensor::{Int, Tensor, TensorData, backend::AutodiffBackend};
use vdm::bound::ImageTerms;
use vdm::config::{ModelConfig, Preset, TrainingConfig};
use vdm::math;
use vdm::model::{LatentNoise, Networks};
use vdm::noise::{NoiseStream, Purpose};
use vdm::objective::{Batch, clip_global_norm, gradients};
use vdm::weights::Provenance;

use crate::checkpoint::{self, Best, Checkpoint, NetworksOptimizer, Position};
use crate::cli::TrainArgs;
use crate::device::{self, Job};
use crate::evaluate::{self, Estimate};
use crate::figures;
use crate::files::block_on;
use crate::log::{self, StepLog, ValidationLog};
use crate::progress::Progress;
use crate::run::{self, RunSettings};
use crate::run_data::{self, RunData};

/// `trainer train`.
pub fn command(args: TrainArgs) -> Result<()> {
    ensure!(args.checkpoint_every > 0, "--checkpoint-every is 0: at least 1 is accepted");
    if let Some(folder) = &args.data {
        ensure!(folder.is_dir(), "--data {}: there is no such folder", folder.display());
    }
    let resumed = if args.resume {
        let folder = run::existing_folder(args.out.as_deref())?;
        Some((RunSettings::stored(&folder, &args)?, folder))
    } else {
        None
    };
    let device = device::choose(args.device)?;
    let default_preset = if device.is_gpu() { Preset::Paper } else { Preset::Quick };
    let settings = match &resumed {
        Some((settings, _)) => settings.clone(),
        None => RunSettings::resolve(&args, default_preset)?,
    };
    let data = run_data::load(settings)?;
    let folder = match resumed {
        Some((_, folder)) => folder,
        None => {
            let folder = run::new_folder(args.out.as_deref(), data.settings.preset)?;
            data.settings.write(&folder)?;
            folder
        }
    };
    eprintln!("run: {} (preset {})", folder.display(), data.settings.preset.name());
    let stop = Arc::new(AtomicBool::new(false));
    let asked = Arc::clone(&stop);
    ctrlc::set_handler(move || {
        if asked.swap(true, Ordering::SeqCst) {
            std::process::exit(130);
        }
        eprintln!("stopping after this step, with a checkpoint (once more to stop at once, without)");
    })
    .context("cannot listen for Ctrl-C")?;
    device::run(device, Train { args, data, folder, stop })
}

struct Train {
    args: TrainArgs,
    data: RunData,
    folder: PathBuf,
    stop: Arc<AtomicBool>,
}

impl Job for Train {
    type Output = ();

    fn run<B: AutodiffBackend>(self, device: &B::Device) -> Result<()> {
        let mut session = Session::<B>::start(&self, device)?;
        let finished = session.run()?;
        session.save()?;
        if !finished {
            eprintln!("stopped at step {}; go on with --resume --out {}", session.step(), self.folder.display());
            return Ok(());
        }
        session.finish()
    }
}

/// One process's share of a run.
struct Session<'a, B: AutodiffBackend> {
    args: &'a TrainArgs,
    config: &'a ModelConfig,
    training: &'a TrainingConfig,
    data: &'a RunData,
    folder: &'a Path,
    stop: &'a AtomicBool,
    device: &'a B::Device,
    state: Checkpoint<B>,
    log: File,
    validation_log: File,
    started: Instant,
    seconds_before: f64,
}

impl<'a, B: AutodiffBackend> Session<'a, B> {
    fn start(job: &'a Train, device: &'a B::Device) -> Result<Self> {
        let settings = &job.data.settings;
        let (config, training) = (&settings.model, &settings.training);
        let optimizer: NetworksOptimizer<B> = AdamWConfig::new()
            .with_beta_1(training.beta_1)
            .with_beta_2(training.beta_2)
            .with_epsilon(training.epsilon)
            .with_weight_decay(training.weight_decay)
            .init();
        let state = match checkpoint::load(&job.folder, optimizer.clone(), device)? {
            Some(state) => {
                eprintln!("resuming after step {} of {}", state.position.step, training.steps);
                state
            }
            None => Checkpoint {
                position: Position { step: 0, best: None, seconds: 0.0 },
                networks: Networks::new(config, settings.seed, device)?
                    .with_mean_image(&job.data.train.mean_image(), device),
                optimizer,
            },
        };
        let step = state.position.step;
        Ok(Self {
            args: &job.args,
            config,
            training,
            data: &job.data,
            folder: &job.folder,
            stop: &job.stop,
            device,
            log: log::open(&job.folder.join("log.jsonl"), step)?,
            validation_log: log::open(&job.folder.join("validation.jsonl"), step)?,
            started: Instant::now(),
            seconds_before: state.position.seconds,
            state,
        })
    }

    fn step(&self) -> u64 {
        self.state.position.step
    }

    /// Trains until the last step (true), or until it is told to stop.
    fn run(&mut self) -> Result<bool> {
        let first = self.step();
        let mut progress = Progress::new("training", first, self.training.steps);
        let mut saved = first;
        while self.step() < self.training.steps {
            let line = self.train_step()?;
            let step = self.step();
            let images = (step - first) as f64 * self.training.batch as f64;
            let rate = images / self.started.elapsed().as_secs_f64();
            progress.set(step, || {
                format!(
                    "reconstruction {:.4} latent {:.1e} diffusion {:.5} bits/dim, {rate:.0} images/s,",
                    line.reconstruction, line.latent, line.diffusion
                )
            });
            if step.is_multiple_of(self.data.settings.validate_every) || step == self.training.steps {
                let v = self.validate()?;
                progress.line(&format!(
                    "step {step}: validation reconstruction {:.5} latent {:.2e} diffusion {:.6} total {:.5} ± {:.5}",
                    v.reconstruction, v.latent, v.diffusion, v.total, v.standard_error
                ));
            }
            let over = self.args.time_limit.is_some_and(|limit| self.started.elapsed() >= limit);
            if self.stop.load(Ordering::SeqCst) || over {
                return Ok(step == self.training.steps);
            }
            if step - saved >= self.args.checkpoint_every && step < self.training.steps {
                self.save()?;
                saved = step;
            }
        }
        Ok(true)
    }

    /// One optimizer step. All of its randomness follows from the seed and the number of the step.
    fn train_step(&mut self) -> Result<StepLog> {
        let step = self.step();
        let seed = self.data.settings.seed;
        let batch = self.training.batch;
        let indices = batch_indices(seed, step, batch, self.data.train.len());
        let mut stream = NoiseStream::new(seed, Purpose::Training, step);
        let draws = batch * self.training.times_per_image;
        let times = math::antithetic_times(stream.uniform(), draws, self.training.diffusion_steps);
        let classes = self.data.train.labels.as_ref().map(|labels| {
            let labels: Vec<i64> = indices
                .iter()
                .map(|&i| {
                    let hidden = stream.uniform() < self.training.label_dropout;
                    (if hidden { self.config.classes } else { labels[i] }) as i64
                })
                .collect();
            Tensor::<B, 1, Int>::from_data(TensorData::new(labels, [batch]), self.device)
        });
        let dim = self.config.latent_dim;
        let mut draw = |rows| Tensor::from_data(TensorData::new(stream.normals(rows * dim), [rows, dim]), self.device);
        let noise = LatentNoise { at_zero: draw(batch), at_t: draw(draws) };
        let x = self.data.train.batch::<B>(&indices, self.device);

        let networks = &self.state.networks;
        let encoder = networks.encoder.as_ref().context("the encoder is missing")?;
        let (terms, mut grads) = gradients(
            networks,
            encoder,
            self.config,
            self.training.diffusion_steps,
            &self.training.objective,
            Batch { x, classes, times, noise },
        );
        let pixels = self.config.pixels() as f64;
        let norm = clip_global_norm::<B, _>(&mut grads, networks, self.training.clip_norm * pixels, self.device);
        let norm = norm.try_into_data().map_err(|error| anyhow::anyhow!("cannot read from the device: {error:?}"))?;
        let gradient_norm: f64 = norm.iter::<f64>().sum::<f64>() / pixels;
        let learning_rate = self.training.learning_rate_at(step + 1);
        let terms = block_on(terms.read())?;
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
        let bits = |nats: &[f64]| math::bits_per_dim(mean(nats), self.config.pixels());
        let line = StepLog {
            step: step + 1,
            reconstruction: bits(&terms.reconstruction),
            latent: bits(&terms.latent),
            diffusion: bits(&terms.diffusion),
            mse: mean(&terms.mse),
            gradient_difference: mean(&terms.gradient_difference),
            gradient_norm,
            learning_rate,
            seconds: self.seconds_before + self.started.elapsed().as_secs_f64(),
        };
        if !(line.reconstruction + line.latent + line.diffusion + gradient_norm).is_finite() {
            bail!(
                "the loss or its gradient is not a finite number at step {}: the checkpoint before it stays; \
                 a lower --learning-rate may help",
                step + 1
            );
        }
        self.state.networks = self.state.optimizer.step(learning_rate, self.state.networks.clone(), grads);
        self.state.position.step = step + 1;
        log::write(&mut self.log, &line)?;
        Ok(line)
    }

    /// Measures the validation images, and keeps the weights if they are the best so far.
    fn validate(&mut self) -> Result<ValidationLog> {
        let networks = self.state.networks.valid();
        let data = &self.data.validation;
        let seed = self.data.settings.seed;
        let terms = evaluate::measure(&networks, self.config, data, 1, seed, self.device, |_| {})?;
        let pixels = self.config.pixels();
        let bits = |of: fn(&ImageTerms) -> f64| {
            Estimate::of(&terms.iter().map(of).collect::<Vec<_>>()).in_bits_per_dim(pixels)
        };
        let total = bits(ImageTerms::total);
        let line = ValidationLog {
            step: self.step(),
            reconstruction: bits(|t| t.reconstruction).mean,
            latent: bits(|t| t.latent).mean,
            diffusion: bits(|t| t.diffusion).mean,
            total: total.mean,
            standard_error: total.standard_error,
        };
        log::write(&mut self.validation_log, &line)?;
        let objective = line.reconstruction + self.training.objective.rate * (line.latent + line.diffusion);
        if self.state.position.best.is_none_or(|best| objective < best.objective) {
            self.state.position.best = Some(Best { step: line.step, objective });
            let path = checkpoint::weights_path(self.folder, self.data.settings.preset.name());
            let precision = self.data.settings.precision.into();
            checkpoint::write_model(&path, &self.state.networks, self.config, &self.provenance(), precision)?;
        }
        Ok(line)
    }

    fn provenance(&self) -> Provenance {
        Provenance { training_steps: self.step(), ..self.data.provenance.clone() }
    }

    fn save(&mut self) -> Result<()> {
        self.state.position.seconds = self.seconds_before + self.started.elapsed().as_secs_f64();
        checkpoint::save(self.folder, self.config, &self.provenance(), &self.state)
    }

    /// Draws the figures of a finished run from its best weights.
    fn finish(&self) -> Result<()> {
        let path = checkpoint::weights_path(self.folder, self.data.settings.preset.name());
        let best = self.state.position.best.context("no validation was made")?;
        eprintln!("best validation at step {}: {}", best.step, path.display());
        figures::draw_all::<B::InnerBackend>(self.folder, &path, &self.data.validation, self.device)
    }
}

/// The images of a step: passes over the data, each in an order of its own.
fn batch_indices(seed: u64, step: u64, batch: usize, images: usize) -> Vec<usize> {
    let mut pass = None;
    (0..batch as u64)
        .map(|i| {
            let position = step * batch as u64 + i;
            let number = position / images as u64;
            let order = match &pass {
                Some((n, order)) if *n == number => order,
                _ => &pass.insert((number, NoiseStream::new(seed, Purpose::Order, number).permutation(images))).1,
            };
            order[(position % images as u64) as usize]
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_pass_takes_every_image_once_whatever_the_batch() {
        let (images, batch) = (10, 4);
        let taken: Vec<usize> = (0..10).flat_map(|step| batch_indices(3, step, batch, images)).collect();
        for pass in taken.chunks_exact(images) {
            let mut pass = pass.to_vec();
            pass.sort_unstable();
            assert_eq!(pass, (0..images).collect::<Vec<_>>());
        }
        assert_ne!(taken[..10], taken[10..20]);
    }
}
