//! The gradient of a training step against finite differences of the losses that it is the gradient of.

use std::collections::BTreeMap;

use burn::backend::{Autodiff, Flex};
use burn::module::{AutodiffModule, Module, ModuleMapper, ModuleVisitor, Param, ParamId};
use burn::optim::{GradientsAccumulator, GradientsParams};
use burn::tensor::{DType, Int, Tensor, TensorData, backend::Backend};
use vdm::autoencoder::lapped::CropWindows;
use vdm::config::{
    CONTEXT_CHANNELS, ComputePrecision, FINE_CHANNELS, LatentConfig, ModelConfig, ObjectiveWeights, PATCH, PatchGrid,
    Preset, ResNetConfig, ScheduleConfig, ScheduleKind, ScoreNetConfig, Stage, TrainingConfig,
};
use vdm::diffusion::loss::LossTerms;
use vdm::diffusion::terms::Terms;
use vdm::math;
use vdm::model::{LatentNoise, Networks};
use vdm::objective::{Batch, FineBatch, Gradients, clip_global_norm, complete_gradients, losses};
use vdm::rng::{Rng, RngStream};

type Trained = Autodiff<Flex>;

const BATCH: usize = 3;
const DRAWS: usize = 2;
const WEIGHTS: ObjectiveWeights =
    ObjectiveWeights { kl_weight: 1.7, mse: 0.8, gradient_difference: 0.6, sigmoid_bias: None, velocity_gamma: None };

fn config(kind: ScheduleKind) -> ModelConfig {
    let blocks = ResNetConfig { width: 7, layers: 1, layer_norm: true };
    ModelConfig {
        height: 4,
        width: 5,
        attributes: vec![2],
        latent: Some(LatentConfig {
            dim: 3,
            encoder: blocks.clone(),
            decoder: blocks,
            score_net: ScoreNetConfig { embedding_dim: 4, width: 6, layers: 2, layer_norm: false },
            // A mild range: the float32 losses stay small enough for differences of them.
            schedule: ScheduleConfig { kind, gamma_min: -3.0, gamma_max: 2.0 },
        }),
        bands: None,
    }
}

/// The smallest model of bands, in a mild range of γ.
fn config_of_bands() -> ModelConfig {
    let mut config = ModelConfig { height: 64, width: 64, attributes: vec![2, 1], ..Preset::Sharp.model() };
    if let Some(bands) = &mut config.bands {
        bands.min_noise = 10.0;
        for band in [&mut bands.coarse, &mut bands.fine] {
            (band.embedding_dim, band.width, band.layers, band.hidden) = (4, 8, 1, 4);
            (band.gamma_max, band.scale, band.heads) = (2.0, 4.0, band.heads.min(2));
        }
    }
    config
}

/// A number of each parameter's own, by its place in the model.
#[derive(Clone, Debug, Default)]
struct Numbers(BTreeMap<u64, (String, Vec<f32>)>);

/// Adds `scale` times some numbers to the parameters that they are given for.
struct Add<'a> {
    numbers: &'a Numbers,
    scale: f32,
}

impl<B: Backend> ModuleMapper<B> for Add<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<B, D>>) -> Param<Tensor<B, D>> {
        let Some((_, numbers)) = self.numbers.0.get(&param.id.val()) else { return param };
        param.map(|tensor| {
            let (shape, device) = (tensor.dims(), tensor.device());
            let numbers = Tensor::from_data(TensorData::new(numbers.clone(), shape), &device);
            (tensor.detach() + numbers * self.scale).detach().require_grad()
        })
    }
}

/// The parameters' names and, where given, their gradients.
struct Collect<'a> {
    gradients: Option<&'a GradientsParams>,
    path: Vec<String>,
    found: Numbers,
}

impl<B: Backend> ModuleVisitor<B> for Collect<'_> {
    fn enter_module(&mut self, name: &str, container_type: &str) {
        if !container_type.starts_with("Enum:") {
            self.path.push(name.to_owned());
        }
    }

    fn exit_module(&mut self, _name: &str, container_type: &str) {
        if !container_type.starts_with("Enum:") {
            self.path.pop();
        }
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<B, D>>) {
        let numbers = match self.gradients {
            None => Some(vec![0.0; param.dims().iter().product()]),
            Some(all) => all.get::<B, D>(param.id).map(|g| g.into_data().iter::<f32>().collect()),
        };
        if let Some(numbers) = numbers {
            self.found.0.insert(param.id.val(), (self.path.join("."), numbers));
        }
    }
}

fn collect(networks: &Networks<Flex>, gradients: Option<&GradientsParams>) -> Numbers {
    let mut collect = Collect { gradients, path: Vec::new(), found: Numbers::default() };
    networks.visit(&mut collect);
    collect.found
}

fn random(shape: &Numbers, seed: u64) -> Numbers {
    let draw = |(&id, (name, numbers)): (&u64, &(String, Vec<f32>))| {
        (id, (name.clone(), Rng::new(seed, RngStream::Evaluation, id).normals(numbers.len())))
    };
    Numbers(shape.0.iter().map(draw).collect())
}

/// A model in general position: fresh networks start with zeros in places, where gradients vanish.
struct Fixture {
    config: ModelConfig,
    training: TrainingConfig,
    diffusion_steps: Option<u32>,
    networks: Networks<Trained>,
    times: Vec<f64>,
}

/// Numbers that are measured, not trained.
fn is_measured(name: &str) -> bool {
    name.ends_with("coder.mean") || name.ends_with("deviations")
}

impl Fixture {
    fn new(kind: ScheduleKind, diffusion_steps: Option<u32>) -> Self {
        Self::of(config(kind), Stage::Joint, WEIGHTS, diffusion_steps)
    }

    fn of(config: ModelConfig, stage: Stage, objective: ObjectiveWeights, diffusion_steps: Option<u32>) -> Self {
        let device = Default::default();
        let networks = Networks::<Trained>::new(&config, 5, &device).expect("a valid configuration");
        let mut jitter = random(&collect(&networks.valid(), None), 9);
        jitter.0.retain(|_, (name, _)| !name.contains("schedule.gamma") && !is_measured(name));
        let networks = networks.map(&mut Add { numbers: &jitter, scale: 0.25 });
        let times = math::antithetic_times(0.37, BATCH * DRAWS, diffusion_steps);
        let training = TrainingConfig { stage, diffusion_steps, objective, ..Preset::Quick.training(None) };
        Self { config, training, diffusion_steps, networks, times }
    }

    fn tensor<B: Backend, const D: usize>(stream: u64, shape: [usize; D]) -> Tensor<B, D> {
        let values = Rng::new(11, RngStream::Training, stream).normals(shape.iter().product());
        Tensor::from_data(TensorData::new(values, shape), &Default::default())
    }

    fn images<B: Backend>(&self) -> Tensor<B, 2> {
        let noise = Self::tensor::<B, 2>(0, [BATCH, self.config.pixels()]);
        burn::tensor::activation::sigmoid(noise)
    }

    fn classes<B: Backend>() -> Option<Tensor<B, 1, Int>> {
        Some(Tensor::from_data(TensorData::new(vec![0i64, 2, 1], [BATCH]), &Default::default()))
    }

    fn noise<B: Backend>(&self) -> LatentNoise<B> {
        let dim = self.config.latent_dim();
        LatentNoise { at_zero: Self::tensor(1, [BATCH, dim]), at_t: Self::tensor(2, [BATCH * DRAWS, dim]) }
    }

    fn batch(&self) -> Batch<Trained> {
        Batch { x: self.images(), classes: Self::classes(), times: self.times.clone(), noise: self.noise(), fine: None }
    }

    /// Image i of the batch alone.
    fn part(&self, i: usize) -> Batch<Trained> {
        let Batch { x, classes, times, noise, .. } = self.batch();
        let rows =
            |t: Tensor<Trained, 2>| Tensor::cat((0..DRAWS).map(|k| t.clone().narrow(0, k * BATCH + i, 1)).collect(), 0);
        Batch {
            x: x.narrow(0, i, 1),
            classes: classes.map(|classes| classes.narrow(0, i, 1)),
            times: (0..DRAWS).map(|k| times[k * BATCH + i]).collect(),
            noise: LatentNoise { at_zero: noise.at_zero.narrow(0, i, 1), at_t: rows(noise.at_t) },
            fine: None,
        }
    }

    fn summed(&self, loss_scale: f64, batch: Batch<Trained>) -> Gradients<Trained> {
        let encoder = self.networks.encoder.as_ref().expect("new networks have an encoder");
        losses(&self.networks, encoder, &self.config, &self.training, batch).gradients(
            &self.networks,
            &self.config,
            &self.training,
            loss_scale,
        )
    }

    /// The gradient under test.
    fn gradients(&self) -> (Terms<Tensor<Flex, 1>>, GradientsParams) {
        self.scaled_gradients(1.0)
    }

    fn scaled_gradients(&self, scale: f64) -> (Terms<Tensor<Flex, 1>>, GradientsParams) {
        let Gradients { terms, weighted_diffusion, mut gradients } = self.summed(scale, self.batch());
        let mean = weighted_diffusion.mean();
        complete_gradients(&mut gradients, &self.networks, self.diffusion_steps, BATCH, scale, mean);
        (terms, gradients)
    }

    /// The loss terms with some numbers added to the parameters.
    fn terms(&self, numbers: &Numbers, scale: f32) -> LossTerms<Flex> {
        let networks = self.networks.valid().map(&mut Add { numbers, scale });
        let gammas = networks.gammas(0, &self.times, self.diffusion_steps, &Default::default());
        let encoder = networks.encoder.as_ref().expect("new networks have an encoder");
        let stage = self.training.stage;
        networks.losses(&self.config, stage, encoder, self.images(), Self::classes(), &[gammas], self.noise())
    }

    /// The weighted objective in nats an image.
    fn objective(&self, LossTerms { terms, diffusion_draws }: LossTerms<Flex>) -> f64 {
        let pixels = self.config.pixels() as f64;
        let weights = &self.training.objective;
        let draws = values(diffusion_draws);
        let gammas =
            values(self.networks.valid().gammas(0, &self.times, self.diffusion_steps, &Default::default()).at_t);
        let weight = |gamma: &f64| {
            weights.sigmoid_bias.map_or(1.0, |bias| math::sigmoid(gamma + bias))
                * weights.velocity_gamma.map_or(1.0, |limit| (1.0 + gamma.exp()) * math::sigmoid(limit - gamma))
        };
        let diffusion = draws.iter().zip(&gammas).map(|(draw, gamma)| draw * weight(gamma)).sum::<f64>();
        mean(terms.reconstruction)
            + weights.kl_weight * (mean(terms.latent) + diffusion / draws.len() as f64)
            + pixels * (weights.mse * mean(terms.mse) + weights.gradient_difference * mean(terms.gradient_difference))
    }

    /// What the schedule's interior is trained on in continuous time: the mean squared loss, over the mean loss.
    fn variance(&self, terms: LossTerms<Flex>) -> f64 {
        let draws = values(terms.diffusion_draws);
        let still = values(self.terms(&Numbers::default(), 0.0).diffusion_draws);
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
        WEIGHTS.kl_weight * mean(&draws.iter().map(|v| v * v).collect::<Vec<_>>()) / mean(&still)
    }
}

fn values(tensor: Tensor<Flex, 1>) -> Vec<f64> {
    tensor.into_data().iter::<f64>().collect()
}

fn mean(tensor: Tensor<Flex, 1>) -> f64 {
    let values = values(tensor);
    values.iter().sum::<f64>() / values.len() as f64
}

fn norm(numbers: &[f32]) -> f64 {
    numbers.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>().sqrt()
}

/// Compares the gradient of each parameter that `chosen` takes with central differences of a loss, along the gradient
/// itself and along a random direction.
fn compare(fixture: &Fixture, chosen: impl Fn(&str) -> bool, loss: impl Fn(LossTerms<Flex>) -> f64) -> usize {
    compare_by(&[1e-3], fixture, chosen, loss)
}

/// The mean of the differences over several steps, whose rounding differs.
fn compare_by(
    steps: &[f32],
    fixture: &Fixture,
    chosen: impl Fn(&str) -> bool,
    loss: impl Fn(LossTerms<Flex>) -> f64,
) -> usize {
    let (_, gradients) = fixture.gradients();
    let all = collect(&fixture.networks.valid(), None);
    let found = collect(&fixture.networks.valid(), Some(&gradients));
    let directions = random(&all, 21);
    let mut compared = 0;
    for (id, (name, zeros)) in all.0.iter().filter(|(_, (name, _))| chosen(name)) {
        let gradient = found.0.get(id).map_or(zeros.clone(), |(_, gradient)| gradient.clone());
        for direction in [&gradient, &directions.0[id].1] {
            let length = norm(direction);
            if length == 0.0 {
                continue;
            }
            let unit: Vec<f32> = direction.iter().map(|&v| v / length as f32).collect();
            let expected: f64 = unit.iter().zip(&gradient).map(|(&u, &g)| f64::from(u) * f64::from(g)).sum();
            let numbers = Numbers(BTreeMap::from([(*id, (name.clone(), unit))]));
            let at = |scale: f32| loss(fixture.terms(&numbers, scale));
            // Of fourth order.
            let difference = |step: &f32| {
                (8.0 * (at(*step) - at(-step)) - (at(2.0 * step) - at(-2.0 * step))) / (12.0 * f64::from(*step))
            };
            let difference = steps.iter().map(difference).sum::<f64>() / steps.len() as f64;
            // The step is small because 1000 τ stands in a sine, which bends soon. Losses of about 80 nats, rounded in
            // float32 along the way (2e-5), over a distance of 2e-3.
            let allowed = 1e-2 * expected.abs() + 3e-2;
            assert!(
                (difference - expected).abs() <= allowed,
                "{name}: gradient {expected} along the direction, differences say {difference}"
            );
        }
        compared += 1;
    }
    compared
}

const MONOTONIC: ScheduleKind = ScheduleKind::Monotonic { hidden: 4, learn_endpoints: true };

#[test]
fn networks_take_the_gradient_of_the_objective() {
    for steps in [None, Some(7)] {
        let fixture = Fixture::new(MONOTONIC, steps);
        let trained = |name: &str| !name.starts_with("schedule") && !is_measured(name);
        assert!(compare(&fixture, trained, |terms| fixture.objective(terms)) > 30);
    }
    let weights = ObjectiveWeights { sigmoid_bias: Some(0.5), velocity_gamma: Some(0.0), ..WEIGHTS };
    let fixture = Fixture::of(config(MONOTONIC), Stage::Joint, weights, None);
    let trained = |name: &str| name.starts_with("score_net") && !is_measured(name);
    assert!(compare(&fixture, trained, |terms| fixture.objective(terms)) > 10);
}

/// A batch of the coarse band, or of crops of the fine one.
fn batch_of_band(config: &ModelConfig, stage: Stage, times: &[f64]) -> Batch<Trained> {
    let grid = PatchGrid { rows: 2, columns: 3 };
    let (pixels, window) = (config.pixels(), (grid.rows + 1) * (grid.columns + 1) * PATCH * PATCH);
    let (draws, patches) = (times.len(), BATCH * grid.patches());
    let dim = if stage == Stage::Fine { grid.patches() * FINE_CHANNELS } else { config.band_dims()[0] };
    let fine = (stage == Stage::Fine).then(|| FineBatch {
        crops: CropWindows {
            pixels: Fixture::tensor::<Flex, 2>(3, [BATCH, window]) * 0.2,
            grid,
            places: vec![[0, 1], [1, 1], [2, 0]],
        },
        context_gammas: vec![-8.0, -4.0, -2.0],
        context_noise: Fixture::tensor(4, [patches, CONTEXT_CHANNELS]),
    });
    Batch {
        x: Fixture::tensor::<Trained, 2>(0, [BATCH, pixels]) * 0.2 + 0.5,
        classes: Fixture::classes(),
        times: times.to_vec(),
        noise: LatentNoise { at_zero: Fixture::tensor(1, [1, 1]), at_t: Fixture::tensor(2, [draws, dim]) },
        fine,
    }
}

/// The gradient of a band's stage for its parameters, against central differences of the weighted loss that the same function
/// reports.
#[test]
fn a_band_takes_the_gradient_of_its_loss_and_nothing_else_moves() {
    for (stage, own) in [(Stage::Coarse, ["score_net", "schedule"]), (Stage::Fine, ["fine.score_net", "fine.schedule"])]
    {
        // Of losses of thousands of nats, float32 keeps few digits for differences: each counts little here.
        let weights =
            ObjectiveWeights { kl_weight: 1.0, sigmoid_bias: Some(0.5), velocity_gamma: Some(1.0), ..WEIGHTS };
        let mut fixture = Fixture::of(config_of_bands(), stage, weights, None);
        fixture.training.stage = stage;
        let batch = || batch_of_band(&fixture.config, stage, &fixture.times);
        let inner = fixture.networks.valid();
        let part = fixture.summed(1.0, batch());
        let found = collect(&inner, Some(&part.gradients));
        assert!(found.0.values().all(|(name, _)| own.iter().any(|part| name.starts_with(part))), "{stage}");
        let is_measured = |name: &str| is_measured(name) || name.contains("schedule.");
        let all = collect(&inner, None);
        let directions = random(&all, 21);
        let mut compared = 0;
        for (id, (name, gradient)) in found.0.iter().filter(|(_, (name, _))| !is_measured(name)) {
            let length = norm(gradient);
            if length == 0.0 {
                continue;
            }
            for direction in [gradient, &directions.0[id].1] {
                let unit: Vec<f32> = direction.iter().map(|&v| v / norm(direction) as f32).collect();
                let expected: f64 = unit.iter().zip(gradient).map(|(&u, &g)| f64::from(u) * f64::from(g)).sum();
                let numbers = Numbers(BTreeMap::from([(*id, (name.clone(), unit))]));
                let at = |scale: f32| {
                    let networks = fixture.networks.clone().map(&mut Add { numbers: &numbers, scale });
                    let fixture = Fixture { networks, config: fixture.config.clone(), ..fixture_parts(&fixture) };
                    values(
                        fixture.summed(1.0, batch_of_band(&fixture.config, stage, &fixture.times)).weighted_diffusion,
                    )
                    .iter()
                    .sum::<f64>()
                };
                let step = 3e-3;
                let difference =
                    (8.0 * (at(step) - at(-step)) - (at(2.0 * step) - at(-2.0 * step))) / (12.0 * f64::from(step));
                // Sums of some thousand nats, rounded in float32 (2e-4), over a distance of 6e-3.
                let allowed = 2e-2 * length + 0.15;
                assert!(
                    (difference - expected).abs() <= allowed,
                    "{stage} {name}: gradient {expected} along the direction, differences say {difference}"
                );
            }
            compared += 1;
        }
        assert!(compared >= 14, "{stage}: {compared} parameters");
    }
}

fn fixture_parts(of: &Fixture) -> Fixture {
    Fixture {
        config: of.config.clone(),
        training: of.training.clone(),
        diffusion_steps: of.diffusion_steps,
        networks: of.networks.clone(),
        times: of.times.clone(),
    }
}

#[test]
fn learned_endpoints_take_the_gradient_of_the_objective() {
    for kind in [MONOTONIC, ScheduleKind::LearnedLinear] {
        for steps in [None, Some(7)] {
            let fixture = Fixture::new(kind, steps);
            let endpoints = |name: &str| name.starts_with("schedule.gamma");
            assert_eq!(compare(&fixture, endpoints, |terms| fixture.objective(terms)), 2);
        }
    }
}

#[test]
fn in_discrete_time_the_interior_takes_the_gradient_of_the_objective() {
    let fixture = Fixture::new(MONOTONIC, Some(7));
    let interior = |name: &str| name.starts_with("schedule.monotonic");
    assert_eq!(compare(&fixture, interior, |terms| fixture.objective(terms)), 4);
}

#[test]
fn in_continuous_time_the_interior_takes_the_gradient_of_the_variance() {
    let fixture = Fixture::new(MONOTONIC, None);
    let interior = |name: &str| name.starts_with("schedule.monotonic");
    assert_eq!(compare(&fixture, interior, |terms| fixture.variance(terms)), 4);
}

#[test]
fn fixed_endpoints_and_the_mean_image_take_none() {
    for kind in [ScheduleKind::Linear, ScheduleKind::Monotonic { hidden: 4, learn_endpoints: false }] {
        for steps in [None, Some(7)] {
            let fixture = Fixture::new(kind, steps);
            let (_, gradients) = fixture.gradients();
            for (name, gradient) in collect(&fixture.networks.valid(), Some(&gradients)).0.values() {
                let fixed = name.starts_with("schedule.gamma") || is_measured(name);
                assert!(!fixed || norm(gradient) == 0.0, "{name}");
            }
        }
    }
}

/// Compares two gradients by the distance between them, relative to their length, parameter by parameter.
fn close(a: &Numbers, b: &Numbers, allowed: f64) {
    assert_eq!(a.0.len(), b.0.len());
    for (id, (name, a)) in &a.0 {
        let b = &b.0[id].1;
        let difference: Vec<f32> = a.iter().zip(b).map(|(a, b)| a - b).collect();
        assert!(norm(&difference) <= allowed * norm(a).max(1e-3), "{name}: {} of {}", norm(&difference), norm(a));
    }
}

#[test]
fn the_parts_of_a_batch_add_up_to_its_gradient() {
    for steps in [None, Some(7)] {
        let fixture = Fixture::new(MONOTONIC, steps);
        let inner = fixture.networks.valid();
        let (_, whole) = fixture.gradients();
        let mut sum = GradientsAccumulator::new();
        let mut diffusion = 0.0;
        for i in 0..BATCH {
            let part = fixture.summed(1.0, fixture.part(i));
            diffusion += mean(part.weighted_diffusion) / BATCH as f64;
            sum.accumulate(&fixture.networks, part.gradients);
        }
        let mut sum = sum.grads();
        let diffusion = Tensor::from_floats([diffusion as f32], &Default::default());
        complete_gradients(&mut sum, &fixture.networks, steps, BATCH, 1.0, diffusion);
        // Sums in another order, in float32.
        close(&collect(&inner, Some(&whole)), &collect(&inner, Some(&sum)), 1e-4);
    }
}

#[test]
fn the_scale_of_the_loss_cancels() {
    let fixture = Fixture::new(MONOTONIC, None);
    let inner = fixture.networks.valid();
    let gradients = |scale| collect(&inner, Some(&fixture.scaled_gradients(scale).1));
    close(&gradients(1.0), &gradients(4096.0), 1e-5);
}

#[test]
fn half_precision_gives_nearly_the_same_gradient_in_float32() {
    for (compute, allowed) in [(ComputePrecision::Bf16, 0.05), (ComputePrecision::F16, 0.01)] {
        let mut fixture = Fixture::new(MONOTONIC, None);
        let inner = fixture.networks.valid();
        let (_, full) = fixture.gradients();
        fixture.networks = fixture.networks.clone().with_compute(compute);
        // These few pixels have gradients of many nats: what must be small enough for float16 is large here.
        let (terms, half) = fixture.scaled_gradients(1.0);
        assert_eq!(terms.reconstruction.dtype(), DType::F32, "losses are summed in float32");
        let (full, half) = (collect(&inner, Some(&full)), collect(&inner, Some(&half)));
        let all = |numbers: &Numbers| -> Vec<f32> { numbers.0.values().flat_map(|(_, g)| g.clone()).collect() };
        let (full, half) = (all(&full), all(&half));
        let difference: Vec<f32> = full.iter().zip(&half).map(|(a, b)| a - b).collect();
        let relative = norm(&difference) / norm(&full);
        // 8 and 11 significant bits, through a dozen layers.
        assert!(relative > 1e-5 && relative < allowed, "{compute:?}: {relative}");
    }
}

#[test]
fn the_terms_are_those_of_the_losses() {
    for steps in [None, Some(7)] {
        let fixture = Fixture::new(MONOTONIC, steps);
        let (terms, _) = fixture.gradients();
        let plain = fixture.terms(&Numbers::default(), 0.0).terms;
        for (name, (a, b)) in terms.zip(plain).named() {
            // The same operations, recorded or not; sums may be taken in another order.
            for (a, b) in values(a).into_iter().zip(values(b)) {
                assert!((a - b).abs() <= 1e-5 * b.abs(), "{name}: {a} and {b}");
            }
        }
    }
}

#[test]
fn clipping_scales_the_whole_gradient() {
    let fixture = Fixture::new(MONOTONIC, None);
    let (_, mut gradients) = fixture.gradients();
    let inner = fixture.networks.valid();
    let before = collect(&inner, Some(&gradients));
    let total = |numbers: &Numbers| numbers.0.values().map(|(_, g)| norm(g).powi(2)).sum::<f64>().sqrt();
    let length = total(&before);
    let device = Default::default();
    let mut clip = |max_norm: f64| {
        let norm = clip_global_norm::<Trained, _>(&mut gradients, &fixture.networks, max_norm, &device);
        (values(norm)[0], collect(&inner, Some(&gradients)))
    };

    let (found, after) = clip(2.0 * length);
    assert!((found / length - 1.0).abs() < 1e-5, "{found} for {length}");
    assert!(before.0.iter().all(|(id, (_, g))| g == &after.0[id].1), "a short gradient stays as it is");

    let (found, after) = clip(0.1 * length);
    assert!((found / length - 1.0).abs() < 1e-5, "the norm before clipping is returned");
    assert!((total(&after) / (0.1 * length) - 1.0).abs() < 1e-5);
    for (id, (name, gradient)) in &before.0 {
        for (a, b) in gradient.iter().zip(&after.0[id].1) {
            assert!((a * 0.1 - b).abs() <= 1e-5 * a.abs(), "{name}");
        }
    }
}

#[test]
fn parameters_keep_their_identity_from_process_to_process() {
    let ids = |seed| {
        let networks = Networks::<Flex>::new(&config(MONOTONIC), seed, &Default::default()).expect("valid");
        collect(&networks, None).0.into_keys().map(ParamId::from).collect::<Vec<_>>()
    };
    assert_eq!(ids(1), ids(2), "an optimizer's state finds its parameters by these");
}
