//! Watch one learn: the paper's model in the small, trained while one looks.
//!
//! A point of the unit square is an image of two pixels. Encoder, decoder, ScoreNet, learned schedule, bound and samplers
//! are those of `vdm`, and nothing here is told of points.

use std::collections::VecDeque;

use burn::module::AutodiffModule;
use burn::optim::adaptor::OptimizerAdaptor;
use burn::optim::{AdamW, AdamWConfig, Optimizer};
use burn::tensor::{Tensor, TensorData, backend::AutodiffBackend};
use serde::{Deserialize, Serialize};
use vdm::config::{
    LatentConfig, ModelConfig, ObjectiveWeights, Preset, ResNetConfig, SamplingConfig, ScheduleConfig, ScheduleKind,
    ScoreNetConfig, TrainingConfig,
};
use vdm::diffusion::schedule::NoiseSchedule;
use vdm::diffusion::terms::Terms;
use vdm::error::BackendError;
use vdm::math::antithetic_times;
use vdm::model::{LatentNoise, Networks, Vdm};
use vdm::objective::{Batch, clip_global_norm, complete_gradients, losses};
use vdm::rng::{Rng, RngStream};
use vdm::sampler::{SamplingOptions, Trajectory};

/// Steps until it has learned enough.
pub const STEPS: u32 = 6000;
/// The most points that are learned.
pub const MAX_POINTS: usize = 2000;
/// Samples that are shown.
pub const SAMPLES: usize = 256;

const BATCH: usize = 128;
const SAMPLING_STEPS: usize = 20;
/// Steps over which the terms are averaged: those of one step are mostly noise.
const AVERAGED: usize = 50;
/// Latent numbers. More than a point has: the encoder finds out which it needs.
const LATENT: usize = 2;

/// A point of the unit square.
pub type Point = [f32; 2];

/// How far it is, for the page.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// Steps taken.
    pub step: u32,
    /// Means of the last steps, in nats a point.
    pub terms: Terms<f64>,
    /// What the model draws now.
    pub samples: Vec<Point>,
    /// γ(t) now.
    pub schedule: NoiseSchedule,
}

/// A model that learns points.
pub struct Toy<B: AutodiffBackend> {
    points: Vec<Point>,
    config: ModelConfig,
    training: TrainingConfig,
    networks: Networks<B>,
    optimizer: OptimizerAdaptor<AdamW, Networks<B>, B>,
    seed: u64,
    step: u32,
    last: VecDeque<Terms<f64>>,
    device: B::Device,
}

impl<B: AutodiffBackend> Toy<B> {
    /// An untrained model; none without points. The first [`MAX_POINTS`] count.
    pub fn new(points: &[Point], seed: u64, device: B::Device) -> Option<Self> {
        let points: Vec<Point> = points.iter().take(MAX_POINTS).copied().collect();
        if points.is_empty() {
            return None;
        }
        let blocks = ResNetConfig { width: 32, layers: 2, ..ResNetConfig::default() };
        let kind = ScheduleKind::Monotonic { hidden: 16, learn_endpoints: false };
        let config = ModelConfig {
            height: 1,
            width: 2,
            latent: Some(LatentConfig {
                dim: LATENT,
                encoder: blocks.clone(),
                decoder: blocks,
                score_net: ScoreNetConfig { embedding_dim: 32, width: 64, layers: 3, ..ScoreNetConfig::default() },
                schedule: ScheduleConfig { kind, ..ScheduleConfig::default() },
            }),
            ..ModelConfig::default()
        };
        // With the weight of the squared error, the decoder draws a point to a hundredth of the square.
        let objective = ObjectiveWeights { mse: 3000.0, ..ObjectiveWeights::default() };
        let training = TrainingConfig {
            steps: STEPS.into(),
            batch: BATCH,
            times_per_image: 1,
            learning_rate: 4e-3,
            warmup_steps: 50,
            final_fraction: 0.05,
            objective,
            ..Preset::Quick.training(None)
        };
        let networks = Networks::<B>::new(&config, seed, &device).ok()?;
        let optimizer = AdamWConfig::new().with_weight_decay(0.0).init();
        let last = VecDeque::new();
        Some(Self { points, config, training, networks, optimizer, seed, step: 0, last, device })
    }

    /// Steps taken.
    pub fn step(&self) -> u32 {
        self.step
    }

    /// Takes a step of training.
    pub fn train(&mut self) {
        let step = u64::from(self.step);
        let mut stream = Rng::new(self.seed, RngStream::Training, step);
        let times = antithetic_times(stream.uniform(), BATCH, None);
        let x: Vec<f32> = (0..BATCH).flat_map(|_| self.points[stream.below(self.points.len())]).collect();
        let mut noise = || {
            let values = stream.normals(BATCH * LATENT);
            Tensor::from_data(TensorData::new(values, [BATCH, LATENT]), &self.device)
        };
        let noise = LatentNoise { at_zero: noise(), at_t: noise() };
        let x = Tensor::from_data(TensorData::new(x, [BATCH, 2]), &self.device);
        let batch = Batch { x, classes: None, times, noise, fine: None };
        let (networks, config, training) = (&self.networks, &self.config, &self.training);
        let Some(encoder) = &networks.encoder else { return };
        let computed = losses(networks, encoder, config, training, batch).gradients(networks, config, training, 1.0);
        let mut gradients = computed.gradients;
        let mean = computed.weighted_diffusion.mean();
        complete_gradients(&mut gradients, networks, None, BATCH, 1.0, mean);
        clip_global_norm::<B, _>(&mut gradients, networks, training.clip_norm * config.pixels() as f64, &self.device);
        self.remember(computed.terms);
        let rate = self.training.learning_rate_at(step + 1);
        self.networks = self.optimizer.step(rate, self.networks.clone(), gradients);
        self.step += 1;
    }

    fn remember(&mut self, terms: Terms<Tensor<B::InnerBackend, 1>>) {
        let means: Vec<_> = terms.into_array().into_iter().map(Tensor::mean).collect();
        let data = Tensor::cat(means, 0).into_data();
        let mut values = data.iter::<f64>();
        self.last.truncate(AVERAGED - 1);
        self.last.push_front(Terms::from_array(std::array::from_fn(|_| values.next().unwrap_or(f64::NAN))));
    }

    /// How far it is.
    ///
    /// # Errors
    /// The device cannot be read.
    pub async fn progress(&self) -> Result<Progress, BackendError> {
        let count = self.last.len().max(1) as f64;
        let sum = self
            .last
            .iter()
            .fold(Terms::from_array([0.0; 5]), |sum, terms| Terms::zip(sum, *terms).map(|(a, b)| a + b));
        let model = Vdm::new(self.config.clone(), SamplingConfig::default(), self.networks.valid()).await?;
        let schedule = model.schedules[0].clone();
        Ok(Progress { step: self.step, terms: sum.map(|sum| sum / count), samples: self.samples(&model), schedule })
    }

    fn samples(&self, model: &Vdm<B::InnerBackend>) -> Vec<Point> {
        let seeds: Vec<u64> = (0..SAMPLES as u64).collect();
        let options =
            SamplingOptions { steps: SAMPLING_STEPS, ..crate::settings::Settings::default().sampling_options() };
        let Ok(mut trajectory) = Trajectory::from_noise(model, options, &seeds, &self.device) else {
            return Vec::new();
        };
        while trajectory.step(model).is_some() {}
        let values: Vec<f32> = trajectory.decode(model).into_data().iter::<f32>().collect();
        values.chunks_exact(2).map(|point| [point[0], point[1]]).collect()
    }
}

/// Shapes to begin with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// A circle.
    Ring,
    /// Two groups.
    Groups,
    /// A spiral.
    Spiral,
}

impl Shape {
    /// Every shape.
    pub const ALL: [Self; 3] = [Self::Ring, Self::Groups, Self::Spiral];

    /// Its name, for attributes.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ring => "ring",
            Self::Groups => "groups",
            Self::Spiral => "spiral",
        }
    }

    /// Some hundred points of it. Without sines and random numbers, which would weigh more than the rest of the view.
    pub fn points(self) -> Vec<Point> {
        // The sequence of the golden ratio: evenly in [−½, ½), and never the same twice.
        let even = |i: usize, offset: f32| (i as f32 * 0.618_034 + offset).fract() - 0.5;
        let bell = |i: usize| even(i, 0.0) + even(3 * i, 0.2) + even(7 * i, 0.4);
        // A turn in COUNT steps.
        let (mut x, mut y) = (1.0_f32, 0.0_f32);
        let mut turn = || {
            (x, y) = (COS * x - SIN * y, SIN * x + COS * y);
            [x, y]
        };
        let point = |i: usize| {
            let jitter = [bell(i), bell(2 * i + 1)];
            let around = |[x, y]: Point, radius: f32| [0.5 + radius * x, 0.5 + radius * y];
            let (centre, width) = match self {
                Self::Ring => (around(turn(), 0.35), 0.02),
                Self::Groups => ([[0.28, 0.3], [0.72, 0.7]][i % 2], 0.12),
                Self::Spiral => {
                    turn();
                    (around(turn(), 0.08 + 0.34 * i as f32 / COUNT as f32), 0.02)
                }
            };
            [0, 1].map(|k| (centre[k] + width * jitter[k]).clamp(0.0, 1.0))
        };
        (0..COUNT).map(point).collect()
    }
}

/// Points of a shape.
const COUNT: usize = 400;
/// cos and sin of a 400th of a turn.
const COS: f32 = 0.999_876_6;
const SIN: f32 = 0.015_707_32;

#[cfg(test)]
mod tests {
    use burn::backend::Autodiff;
    use burn_flex::{Flex, FlexDevice};
    use pollster::block_on;

    use super::*;

    fn distance_from_ring([x, y]: Point) -> f32 {
        ((x - 0.5).hypot(y - 0.5) - 0.35).abs()
    }

    #[test]
    fn it_learns_a_ring() {
        let points = Shape::Ring.points();
        let mut toy = Toy::<Autodiff<Flex>>::new(&points, 1, FlexDevice).expect("a model");
        let mean = |points: &[Point]| points.iter().map(|&p| distance_from_ring(p)).sum::<f32>() / points.len() as f32;
        let before = block_on(toy.progress()).expect("reads");
        assert!(mean(&points) < 0.02 && mean(&before.samples) > 0.1, "{}", mean(&before.samples));
        let started = std::time::Instant::now();
        for _ in 0..1500 {
            toy.train();
        }
        let after = block_on(toy.progress()).expect("reads");
        println!("{:?} {:?} {:?} {:?}", started.elapsed(), before.terms, after.terms, mean(&after.samples));
        assert_eq!((after.step, after.samples.len()), (1500, SAMPLES));
        assert!(mean(&after.samples) < 0.06, "{}", mean(&after.samples));
        // All around it.
        for quarter in [[false, false], [false, true], [true, false], [true, true]] {
            let there = after.samples.iter().filter(|[x, y]| [*x > 0.5, *y > 0.5] == quarter).count();
            assert!(there > SAMPLES / 10, "{there} of {SAMPLES} in a quarter");
        }
        assert!(after.schedule != before.schedule, "the schedule is learned too");
    }

    #[test]
    fn shapes_lie_in_the_square_and_no_points_are_refused() {
        for shape in Shape::ALL {
            assert!(shape.points().iter().flatten().all(|at| (0.0..=1.0).contains(at)), "{}", shape.name());
        }
        assert!(Toy::<Autodiff<Flex>>::new(&[], 1, FlexDevice).is_none());
    }
}
