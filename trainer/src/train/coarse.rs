//! Trains the network of the coarse structure (`vdm::coarse`) by itself, on the principal components of all training
//! images at once: they are few numbers, so that a step takes hundreds of images.

use anyhow::{Context, Result, anyhow};
use burn::module::AutodiffModule;
use burn::optim::{AdamWConfig, GradientsParams, Optimizer};
use burn::tensor::{Int, Tensor, TensorData, backend::AutodiffBackend};
use vdm::coarse::{Components, loss};
use vdm::model::Networks;
use vdm::noise::{NoiseStream, Purpose};
use vdm::score_net::ScoreNet;

use super::start::{BATCH, MOST_IMAGES};
use crate::files;
use crate::run_data::RunData;

/// Images a step, each at a noise of its own.
const IMAGES: usize = 256;
const LEARNING_RATE: f64 = 2e-3;
const WARMUP_STEPS: u64 = 100;
const WEIGHT_DECAY: f32 = 0.01;
/// Steps between lines.
const LOG_EVERY: u64 = 500;

/// A host's copy of the principal components of training images.
struct Scores {
    rank: usize,
    values: Vec<f32>,
    labels: Option<Vec<usize>>,
}

impl Scores {
    fn of<B: AutodiffBackend>(networks: &Networks<B>, data: &RunData, device: &B::Device) -> Result<Self> {
        let networks = networks.valid();
        let gaussian = networks.score_net.gaussian().context("a coarse network needs a Gaussian prediction")?;
        let encoder = networks.encoder.as_ref().context("the encoder is missing")?;
        let every = data.train.len().div_ceil(MOST_IMAGES);
        let indices: Vec<usize> = (0..data.train.len()).step_by(every).collect();
        let mut values = Vec::new();
        for chunk in indices.chunks(BATCH) {
            let scores = gaussian.scores(encoder.forward(data.train.batch(chunk, device)));
            let scores = scores.try_into_data().map_err(|e| anyhow!("cannot read from the device: {e:?}"))?;
            values.extend(scores.iter::<f32>());
        }
        let [_, rank] = gaussian.variances().dims();
        let labels = data.train.labels.as_ref().map(|labels| indices.iter().map(|&i| labels[i]).collect());
        Ok(Self { rank, values, labels })
    }

    fn len(&self) -> usize {
        self.values.len() / self.rank
    }
}

/// The network of `networks`, trained.
pub fn train<B: AutodiffBackend>(networks: &Networks<B>, data: &RunData, device: &B::Device) -> Result<ScoreNet<B>> {
    let mut net = networks.coarse.clone().context("the coarse network is missing")?;
    let settings = &data.settings;
    let (steps, classes) = (settings.training.coarse_steps, settings.model.classes);
    let scores = Scores::of(networks, data, device)?;
    let schedule = files::block_on(networks.schedule.valid().read())?;
    let variances = networks.score_net.gaussian().context("a coarse network needs a Gaussian prediction")?.variances();
    let variances = Tensor::<B, 2>::from_inner(variances.inner());
    eprintln!("training the coarse network on {} images for {steps} steps", scores.len());
    let mut optimizer = AdamWConfig::new().with_beta_2(0.99).with_weight_decay(WEIGHT_DECAY).init();
    for step in 0..steps {
        let mut stream = NoiseStream::new(settings.seed, Purpose::Coarse, step);
        let rows: Vec<usize> = (0..IMAGES).map(|_| stream.below(scores.len())).collect();
        let start = stream.uniform();
        let tau: Vec<f32> = (0..IMAGES).map(|i| ((start + i as f64 / IMAGES as f64) % 1.0) as f32).collect();
        let labels: Option<Vec<i64>> = scores.labels.as_ref().map(|labels| {
            let mut label = |&row: &usize| {
                let hidden = stream.uniform() < settings.training.label_dropout;
                (if hidden { classes } else { labels[row] }) as i64
            };
            rows.iter().map(&mut label).collect()
        });
        let matrix =
            |values: Vec<f32>| Tensor::<B, 2>::from_data(TensorData::new(values, [IMAGES, scores.rank]), device);
        let values = rows.iter().flat_map(|row| &scores.values[row * scores.rank..(row + 1) * scores.rank]).copied();
        let components = Components {
            scores: matrix(values.collect()),
            variances: variances.clone(),
            classes: labels.map(|labels| Tensor::<B, 1, Int>::from_data(TensorData::new(labels, [IMAGES]), device)),
        };
        let noise = matrix(stream.normals(IMAGES * scores.rank));
        let tau = Tensor::<B, 1>::from_floats(tau.as_slice(), device);
        let gamma = tau.clone() * (schedule.gamma_max - schedule.gamma_min) + schedule.gamma_min;
        let mean = loss(&net, components, gamma, tau, noise).mean();
        let warm = ((step + 1) as f64 / WARMUP_STEPS as f64).min(1.0);
        let rate = LEARNING_RATE * warm * (1.0 - step as f64 / steps as f64);
        let gradients = GradientsParams::from_grads(mean.backward(), &net);
        net = optimizer.step(rate, net, gradients);
        if (step + 1) % LOG_EVERY == 0 || step + 1 == steps {
            let value = mean.inner().try_into_data().map_err(|e| anyhow!("cannot read from the device: {e:?}"))?;
            let value = value.iter::<f64>().next().unwrap_or(f64::NAN);
            anyhow::ensure!(
                value.is_finite(),
                "the coarse network's loss is no finite number after {} steps",
                step + 1
            );
            eprintln!("coarse network: step {} of {steps}, loss {value:.1}", step + 1);
        }
    }
    Ok(net)
}
