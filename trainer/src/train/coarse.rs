//! Trains the network of the coarse structure (`vdm::diffusion::coarse`) by itself, on the principal components of all training
//! images at once: they are few numbers, so that a step takes hundreds of images.

use anyhow::{Context, Result, anyhow};
use burn::module::AutodiffModule;
use burn::optim::{AdamWConfig, GradientsParams, Optimizer};
use burn::tensor::{Tensor, TensorData, backend::AutodiffBackend, backend::Backend};
use rayon::prelude::*;
use vdm::diffusion::coarse::{Components, loss};
use vdm::diffusion::score_net::ScoreNet;
use vdm::image::to_unit;
use vdm::model::Networks;
use vdm::rng::{Rng, RngStream};

use crate::base::files;
use crate::base::interrupt::Interrupt;
use crate::data::Dataset;
use crate::run::inputs::RunData;

/// Maximum number of images whose latents are measured: they are held in memory.
pub const MAX_IMAGES: usize = 20_000;
/// Images encoded at once.
pub const BATCH: usize = 64;
/// Images per step.
const IMAGES: usize = 256;
const LEARNING_RATE: f64 = 2e-3;
const WARMUP_STEPS: u64 = 100;
const WEIGHT_DECAY: f32 = 0.01;
/// Steps between lines.
const LOG_EVERY: u64 = 500;
/// Times that each image is taken, augmented in other ways, where images are augmented.
const COPIES: usize = 4;
/// Number of the first copy among augmented images; training does not come so far.
const FIRST_COPY: u64 = 1 << 63;
/// Maximum number of validation images.
const MAX_VALIDATED: usize = 1024;

/// A host's copy of the principal components of images.
struct Scores {
    rank: usize,
    values: Vec<f32>,
    labels: Option<Vec<usize>>,
}

impl Scores {
    /// Measures images of a set `copies` times each, or fewer where that would exceed `max_images`; `image` gives one by
    /// its place in the result and in the set.
    fn of<B: AutodiffBackend>(
        networks: &Networks<B>,
        data: &Dataset,
        [copies, max_images]: [usize; 2],
        image: impl Fn(u64, usize) -> Vec<f32> + Sync,
        interrupt: &Interrupt,
        device: &B::Device,
    ) -> Result<Self> {
        let networks = networks.valid();
        let gaussian = networks.score_net.gaussian().context("a coarse network needs a Gaussian prediction")?;
        let encoder = networks.encoder.as_ref().context("the encoder is missing")?;
        let every = data.len().div_ceil(max_images).max(1);
        let once: Vec<usize> = (0..data.len()).step_by(every).collect();
        let indices = once.repeat(copies.min(max_images / once.len().max(1)).max(1));
        let numbered: Vec<(u64, usize)> = (0..).zip(indices.iter().copied()).collect();
        let mut values = Vec::new();
        for chunk in numbered.chunks(BATCH) {
            interrupt.check()?;
            let images: Vec<Vec<f32>> = chunk.par_iter().map(|&(place, index)| image(place, index)).collect();
            let images = TensorData::new(images.concat(), [chunk.len(), data.height * data.width]);
            let scores = gaussian.scores(encoder.forward(Tensor::from_data(images, device)));
            let scores = scores.try_into_data().map_err(|e| anyhow!("cannot read from the device: {e:?}"))?;
            values.extend(scores.iter::<f32>());
        }
        let [_, rank] = gaussian.variances().dims();
        let labels = data.labels.as_ref().map(|labels| indices.iter().map(|&i| labels[i]).collect());
        Ok(Self { rank, values, labels })
    }

    fn len(&self) -> usize {
        self.values.len() / self.rank
    }

    /// The loss of some of them, in the mean; times and noise are drawn from the stream, and labels are taken for hidden
    /// as often as `hidden` says.
    fn loss<B: Backend>(
        &self,
        rows: &[usize],
        net: &ScoreNet<B>,
        of: &Fixed<B>,
        hidden: f64,
        stream: &mut Rng,
    ) -> Tensor<B, 1> {
        let device = of.variances.device();
        let start = stream.uniform();
        let tau: Vec<f32> = (0..rows.len()).map(|i| ((start + i as f64 / rows.len() as f64) % 1.0) as f32).collect();
        let labels: Option<Vec<i64>> = self.labels.as_ref().map(|labels| {
            let mut label = |&row: &usize| (if stream.uniform() < hidden { of.classes } else { labels[row] }) as i64;
            rows.iter().map(&mut label).collect()
        });
        let matrix =
            |values: Vec<f32>| Tensor::<B, 2>::from_data(TensorData::new(values, [rows.len(), self.rank]), &device);
        let values = rows.iter().flat_map(|row| &self.values[row * self.rank..(row + 1) * self.rank]).copied();
        let components = Components {
            scores: matrix(values.collect()),
            variances: of.variances.clone(),
            classes: labels.map(|labels| Tensor::from_data(TensorData::new(labels, [rows.len()]), &device)),
        };
        let noise = matrix(stream.normals(rows.len() * self.rank));
        let tau = Tensor::<B, 1>::from_floats(tau.as_slice(), &device);
        let gamma = tau.clone() * (of.gamma_max - of.gamma_min) + of.gamma_min;
        loss(net, components, gamma, tau, noise).mean()
    }
}

/// What does not change from step to step.
struct Fixed<B: Backend> {
    variances: Tensor<B, 2>,
    gamma_min: f64,
    gamma_max: f64,
    classes: usize,
}

impl<B: AutodiffBackend> Fixed<B> {
    fn valid(&self) -> Fixed<B::InnerBackend> {
        let Self { gamma_min, gamma_max, classes, .. } = *self;
        Fixed { variances: self.variances.clone().inner(), gamma_min, gamma_max, classes }
    }
}

fn read<B: Backend>(loss: Tensor<B, 1>) -> Result<f64> {
    let value = loss.try_into_data().map_err(|e| anyhow!("cannot read from the device: {e:?}"))?;
    Ok(value.iter::<f64>().next().unwrap_or(f64::NAN))
}

/// The coarse network of `networks`, trained.
///
/// # Errors
/// [`Interrupted`](crate::base::interrupt::Interrupted); a loss that is not finite; a device that cannot be read.
pub fn train<B: AutodiffBackend>(
    networks: &Networks<B>,
    data: &RunData,
    interrupt: &Interrupt,
    device: &B::Device,
) -> Result<ScoreNet<B>> {
    let mut net = networks.coarse.clone().context("the coarse network is missing")?;
    let settings = &data.settings;
    let steps = settings.training.coarse_steps;
    let copies = if settings.augmentation.is_off() { 1 } else { COPIES };
    let augmented = |place: u64, index| {
        data.image(index, &mut Rng::new(settings.seed, RngStream::Augmentation, FIRST_COPY + place))
    };
    let scores = Scores::of(networks, &data.train, [copies, MAX_IMAGES], augmented, interrupt, device)?;
    let plain = |_, index| data.validation.image(index).iter().map(|&v| to_unit(v)).collect();
    let held_out = Scores::of(networks, &data.validation, [1, MAX_VALIDATED], plain, interrupt, device)?;
    let validated: Vec<usize> = (0..held_out.len()).collect();
    let schedule = files::block_on(networks.schedule.valid().read())?;
    let variances = networks.score_net.gaussian().context("a coarse network needs a Gaussian prediction")?.variances();
    let fixed = Fixed {
        variances: Tensor::<B, 2>::from_inner(variances.inner()),
        gamma_min: schedule.gamma_min,
        gamma_max: schedule.gamma_max,
        classes: settings.model.classes,
    };
    let fixed_inner = fixed.valid();
    eprintln!("training the coarse network on {} images for {steps} steps", scores.len());
    let mut optimizer = AdamWConfig::new().with_beta_2(0.99).with_weight_decay(WEIGHT_DECAY).init();
    for step in 0..steps {
        interrupt.check()?;
        let mut stream = Rng::new(settings.seed, RngStream::Coarse, step);
        let rows: Vec<usize> = (0..IMAGES).map(|_| stream.below(scores.len())).collect();
        let mean = scores.loss(&rows, &net, &fixed, settings.training.label_dropout, &mut stream);
        let warm = ((step + 1) as f64 / WARMUP_STEPS as f64).min(1.0);
        let rate = LEARNING_RATE * warm * (1.0 - step as f64 / steps as f64);
        let gradients = GradientsParams::from_grads(mean.backward(), &net);
        net = optimizer.step(rate, net, gradients);
        if (step + 1) % LOG_EVERY == 0 || step + 1 == steps {
            let value = read(mean.inner())?;
            anyhow::ensure!(value.is_finite(), "the coarse network's loss is not finite after {} steps", step + 1);
            // The same draws each time.
            let mut stream = Rng::new(settings.seed, RngStream::Evaluation, 0);
            let held_out = match validated.len() {
                0 => String::new(),
                _ => {
                    let loss = held_out.loss(&validated, &net.valid(), &fixed_inner, 0.0, &mut stream);
                    format!(", {:.1} on validation images", read(loss)?)
                }
            };
            eprintln!("coarse network: step {} of {steps}, loss {value:.1}{held_out}", step + 1);
        }
    }
    Ok(net)
}
