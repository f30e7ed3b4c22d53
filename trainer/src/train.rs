//! `trainer train`: the training loop.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Instant, SystemTime};

use anyhow::{Context, Result, bail, ensure};
use burn::module::AutodiffModule;
use burn::optim::{AdamWConfig, Optimizer};
use burn::tensor::{Int, Tensor, TensorData, backend::AutodiffBackend};
use serde::{Deserialize, Serialize};
use vdm::config::{ModelConfig, Preset, TrainingConfig};
use vdm::math;
use vdm::model::{LatentNoise, Networks};
use vdm::noise::{NoiseStream, Purpose};
use vdm::objective::{Batch, clip_global_norm, gradients};
use vdm::weights::Provenance;

use crate::checkpoint::{self, Best, Checkpoint, NetworksOptimizer, Position};
use crate::cli::TrainArgs;
use crate::data::{self, Dataset, Unreadable};
use crate::device::{self, Job};
use crate::evaluate::{self, Estimate};
use crate::figures;
use crate::files;
use crate::progress::Progress;
use crate::run::{self, RunSettings};
use crate::sample::SOFTWARE;

/// Phantoms to train on, and to validate on, where no data is given.
const PHANTOMS: [usize; 2] = [1024, 128];

/// A line of `log.jsonl`: one training step. Terms are in bits a dimension, averaged over the batch.
#[derive(Serialize, Deserialize)]
struct StepLog {
    step: u64,
    reconstruction: f64,
    latent: f64,
    diffusion: f64,
    mse: f64,
    gradient_difference: f64,
    gradient_norm: f64,
    learning_rate: f64,
    seconds: f64,
}

/// A line of `validation.jsonl`, in bits a dimension.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ValidationLog {
    /// Steps taken.
    pub step: u64,
    /// Reconstruction loss.
    pub reconstruction: f64,
    /// Latent loss.
    pub latent: f64,
    /// Diffusion loss.
    pub diffusion: f64,
    /// Their sum.
    pub total: f64,
    /// Standard error of the sum, over images.
    pub standard_error: f64,
}

/// `trainer train`.
pub fn command(args: TrainArgs) -> Result<()> {
    ensure!(args.validate_every > 0, "--validate-every is 0: at least 1 is accepted");
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
    let data = load_data(settings, &args)?;
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

/// The data of a run and its settings with what followed from the data.
struct RunData {
    settings: RunSettings,
    train: Dataset,
    validation: Dataset,
    provenance: Provenance,
}

fn load_data(mut settings: RunSettings, args: &TrainArgs) -> Result<RunData> {
    let (height, width) = (settings.model.height, settings.model.width);
    let unreadable = if settings.skip_unreadable { Unreadable::Skip } else { Unreadable::Fail };
    let mut class_names = Vec::new();
    let (train, validation, description) = match &settings.data {
        None => {
            let [train, validation] = PHANTOMS;
            let train = train.min(settings.training.max_images.unwrap_or(usize::MAX));
            eprintln!(
                "data: {train} procedurally drawn thorax phantoms. These are drawings, not X-rays: pass --data DIR \
                 to train on images."
            );
            (
                Dataset::phantoms(settings.seed, 0, train, height, width),
                Dataset::phantoms(settings.seed, 1 << 32, validation, height, width),
                "procedurally drawn thorax phantoms, not X-rays".to_owned(),
            )
        }
        Some(folder) => {
            let files = data::list(folder)?;
            let (mut train, mut held_out) = match &settings.validation {
                Some(validation) => (files, data::list(validation)?),
                None => {
                    let (held_out, train): (Vec<_>, Vec<_>) =
                        files.into_iter().enumerate().partition(|(i, _)| i % 10 == 9);
                    (train.into_iter().map(|f| f.1).collect(), held_out.into_iter().map(|f| f.1).collect::<Vec<_>>())
                }
            };
            ensure!(
                !held_out.is_empty(),
                "{} holds {} images, too few to hold every tenth out for validation: pass --validation DIR",
                folder.display(),
                train.len()
            );
            if let Some(most) = settings.training.max_images {
                train.truncate(most);
            }
            let validation_folder = settings.validation.as_deref().unwrap_or(folder);
            let labels = if settings.class_folders {
                let (names, labels) = data::class_folders(folder, &train)?;
                let (held_out_names, held_out_labels) = data::class_folders(validation_folder, &held_out)?;
                ensure!(
                    names == held_out_names,
                    "the training images have the classes {names:?}, and the validation images {held_out_names:?}"
                );
                class_names = names;
                Some((labels, held_out_labels))
            } else {
                None
            };
            let (labels, held_out_labels) = labels.unzip();
            let description = folder.file_name().unwrap_or(folder.as_os_str()).to_string_lossy().into_owned();
            eprintln!("data: {} training and {} validation images", train.len(), held_out.len());
            held_out.shrink_to_fit();
            (
                Dataset::load(&train, labels.as_deref(), height, width, unreadable)?,
                Dataset::load(&held_out, held_out_labels.as_deref(), height, width, unreadable)?,
                description,
            )
        }
    };
    settings.model.classes = class_names.len();
    let provenance = Provenance {
        name: settings.preset.name().to_owned(),
        data: args.data_name.clone().unwrap_or(description),
        images: train.len() as u64,
        training_steps: 0,
        seed: settings.seed,
        date: today(),
        license: args.license.clone().unwrap_or_default(),
        acknowledgement: args.acknowledgement.clone().unwrap_or_default(),
        software: SOFTWARE.to_owned(),
        class_names,
    };
    Ok(RunData { settings, train, validation, provenance })
}

/// Today in UTC as YYYY-MM-DD.
fn today() -> String {
    humantime::format_rfc3339_seconds(SystemTime::now()).to_string().chars().take(10).collect()
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
            log: open_log(&job.folder.join("log.jsonl"), step)?,
            validation_log: open_log(&job.folder.join("validation.jsonl"), step)?,
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
            if step.is_multiple_of(self.args.validate_every) || step == self.training.steps {
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
        let [reconstruction, latent, diffusion, mse, gradient_difference] = evaluate::read_terms(terms)?;
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
        let bits = |nats: &[f64]| math::bits_per_dim(mean(nats), self.config.pixels());
        let line = StepLog {
            step: step + 1,
            reconstruction: bits(&reconstruction),
            latent: bits(&latent),
            diffusion: bits(&diffusion),
            mse: mean(&mse),
            gradient_difference: mean(&gradient_difference),
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
        write_line(&mut self.log, &line)?;
        Ok(line)
    }

    /// Measures the validation images, and keeps the weights if they are the best so far.
    fn validate(&mut self) -> Result<ValidationLog> {
        let networks = self.state.networks.valid();
        let data = &self.data.validation;
        let seed = self.data.settings.seed;
        let terms = evaluate::measure(&networks, self.config, data, 1, seed, self.device, |_| {})?;
        let pixels = self.config.pixels();
        let bits = |nats: &[f64]| {
            Estimate::of(nats.iter().map(|&n| math::bits_per_dim(n, pixels)).collect::<Vec<_>>().as_slice())
        };
        let total = bits(&terms.total());
        let line = ValidationLog {
            step: self.step(),
            reconstruction: bits(&terms.reconstruction).mean,
            latent: bits(&terms.latent).mean,
            diffusion: bits(&terms.diffusion).mean,
            total: total.mean,
            standard_error: total.standard_error,
        };
        write_line(&mut self.validation_log, &line)?;
        let objective = line.reconstruction + self.training.objective.rate * (line.latent + line.diffusion);
        if self.state.position.best.is_none_or(|best| objective < best.objective) {
            self.state.position.best = Some(Best { step: line.step, objective });
            let path = checkpoint::weights_path(self.folder, self.data.settings.preset.name());
            let precision = self.args.precision.into();
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

/// Opens a log for appending, without the lines of steps that a stop undid.
fn open_log(path: &Path, step: u64) -> Result<File> {
    #[derive(Deserialize)]
    struct Line {
        step: u64,
    }
    let open = || -> Result<File> {
        let mut kept = Vec::new();
        if path.exists() {
            for line in BufReader::new(File::open(path)?).lines() {
                let line = line?;
                match serde_json::from_str::<Line>(&line) {
                    Ok(parsed) if parsed.step <= step => kept.extend(line.bytes().chain([b'\n'])),
                    // Later steps will be taken again; a torn last line is one of them.
                    _ => break,
                }
            }
            files::write_atomic(path, &kept)?;
        }
        Ok(fs::OpenOptions::new().create(true).append(true).open(path)?)
    };
    open().with_context(|| format!("cannot open {}", path.display()))
}

fn write_line(log: &mut File, line: &impl Serialize) -> Result<()> {
    let mut text = serde_json::to_vec(line)?;
    text.push(b'\n');
    log.write_all(&text).context("cannot write to the run's log")
}

/// Validation lines of a run.
pub fn read_validation_log(folder: &Path) -> Result<Vec<ValidationLog>> {
    let path = folder.join("validation.jsonl");
    let text = files::read(&path)?;
    String::from_utf8_lossy(&text)
        .lines()
        .map(|line| serde_json::from_str(line).with_context(|| format!("{} is damaged", path.display())))
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

    #[test]
    fn a_log_keeps_what_the_checkpoint_knows() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("log.jsonl");
        fs::write(&path, "{\"step\":1}\n{\"step\":2}\n{\"step\":3}\n{\"st").expect("writes");
        drop(open_log(&path, 2).expect("opens"));
        assert_eq!(fs::read_to_string(&path).expect("reads"), "{\"step\":1}\n{\"step\":2}\n");
    }
}
