//! Samplers step by step, against results that are calculated by hand.

mod common;

use burn::module::Module;
use burn::tensor::Tensor;
use burn_flex::Flex;
use pollster::block_on;
use vdm::config::{
    LatentConfig, ModelConfig, ResNetConfig, SamplingConfig, ScheduleConfig, ScheduleKind, ScoreNetConfig,
};
use vdm::diffusion::schedule::NoiseSchedule;
use vdm::math::{alpha_squared, sigma_squared};
use vdm::model::{Condition, Networks, Vdm};
use vdm::rng::{RngStream, seeded_noise};
use vdm::sampler::{Sampler, SamplingOptions, StepGammas, Trajectory};

use crate::common::Shake;

fn config(attributes: &[usize]) -> ModelConfig {
    let blocks = ResNetConfig { width: 8, layers: 1, layer_norm: false };
    let kind = ScheduleKind::Monotonic { hidden: 4, learn_endpoints: false };
    ModelConfig {
        height: 4,
        width: 4,
        attributes: attributes.to_vec(),
        latent: Some(LatentConfig {
            dim: 6,
            encoder: blocks.clone(),
            decoder: blocks,
            score_net: ScoreNetConfig { embedding_dim: 8, width: 8, layers: 1, layer_norm: false },
            schedule: ScheduleConfig { kind, gamma_min: -8.0, gamma_max: 4.0 },
        }),
        bands: None,
    }
}

/// A fresh model: its last layer is zero, and it predicts ε̂ = z.
fn fresh(attributes: &[usize]) -> Vdm<Flex> {
    let networks = Networks::new(&config(attributes), 3, &Default::default()).expect("a valid configuration");
    block_on(Vdm::new(config(attributes), SamplingConfig::default(), networks)).expect("the CPU can be read")
}

/// A model in general position.
fn shaken(attributes: &[usize]) -> Vdm<Flex> {
    let mut model = fresh(attributes);
    let schedule = model.networks.schedule.clone();
    model.networks = model.networks.map(&mut Shake::by(0.2));
    model.networks.schedule = schedule;
    model
}

fn options(sampler: Sampler, steps: usize) -> SamplingOptions {
    SamplingOptions { sampler, steps, condition: Condition::default() }
}

fn finish(mut trajectory: Trajectory<Flex>, model: &Vdm<Flex>) -> Tensor<Flex, 2> {
    while trajectory.step(model).is_some() {}
    trajectory.z().clone()
}

fn sample(model: &Vdm<Flex>, options: SamplingOptions, seeds: &[u64]) -> Tensor<Flex, 2> {
    finish(Trajectory::from_noise(model, options, seeds, &Default::default()).expect("valid options"), model)
}

fn numbers<const D: usize>(tensor: &Tensor<Flex, D>) -> Vec<f64> {
    tensor.to_data().iter::<f64>().collect()
}

fn largest_difference<const D: usize>(a: &Tensor<Flex, D>, b: &Tensor<Flex, D>) -> f64 {
    numbers(a).iter().zip(numbers(b)).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
}

/// The probability flow with ε̂ = z: with y = z/α and r = σ/α = e^(γ/2), dy = ε̂ dr, so that d ln y = dr/√(1 + r²) and
/// z_s = z_t (α_s/α_t) exp(asinh r_s − asinh r_t).
fn exact_flow(schedule: &NoiseSchedule, t: f64, s: f64) -> f64 {
    let (gamma_t, gamma_s) = (schedule.gamma(t), schedule.gamma(s));
    let r = |gamma: f64| (gamma / 2.0).exp();
    (alpha_squared(gamma_s) / alpha_squared(gamma_t)).sqrt() * (r(gamma_s).asinh() - r(gamma_t).asinh()).exp()
}

#[test]
fn deterministic_samplers_follow_the_probability_flow() {
    let model = fresh(&[]);
    for t in [1.0, 0.6] {
        let z = seeded_noise::<Flex>(&[1, 2], RngStream::Diffuse, 0, 6, &Default::default());
        let exact = z.clone() * exact_flow(&model.schedules[0], t, 0.0);
        let error = |sampler, steps| {
            let start = Trajectory::from_latent(&model, options(sampler, steps), &[1, 2], z.clone(), t);
            largest_difference(&finish(start.expect("valid options"), &model), &exact)
        };
        // The orders of the methods: twice the steps, half of the error, and a quarter of it.
        let ratio = |sampler| error(sampler, 32) / error(sampler, 64);
        assert!((1.7..2.4).contains(&ratio(Sampler::Ddim)), "DDIM from {t}: {}", ratio(Sampler::Ddim));
        assert!((3.0..6.0).contains(&ratio(Sampler::DpmSolver2M)), "2M from {t}: {}", ratio(Sampler::DpmSolver2M));
        // In float32, a thousand roundings of numbers of about 1.
        assert!(error(Sampler::DpmSolver2M, 1000) < 2e-4, "{}", error(Sampler::DpmSolver2M, 1000));
        assert!(error(Sampler::Ddim, 1000) < 2e-2, "{}", error(Sampler::Ddim, 1000));
    }
}

#[test]
fn deterministic_samplers_agree_on_any_model() {
    let model = shaken(&[]);
    let (ddim, solver) =
        (sample(&model, options(Sampler::Ddim, 4000), &[7]), sample(&model, options(Sampler::DpmSolver2M, 400), &[7]));
    let size = numbers(&solver).into_iter().map(f64::abs).fold(0.0, f64::max);
    assert!(largest_difference(&ddim, &solver) < 5e-3 * size, "{} of {size}", largest_difference(&ddim, &solver));
    assert!(largest_difference(&sample(&model, options(Sampler::Ddim, 3), &[7]), &solver) > 1e-3 * size);
}

/// For f ~ N(0, 1) the best prediction is ε̂ = σ z, and z ~ N(0, 1) at every time. A sampler with this score must keep
/// the variance, up to its discretisation.
#[test]
fn the_exact_score_of_a_gaussian_keeps_its_variance() {
    let schedule = NoiseSchedule::linear(-8.0, 4.0);
    let variances = |steps: usize| {
        let gamma = |i: usize| schedule.gamma(1.0 - i as f64 / steps as f64);
        let (mut ancestral, mut ddim, mut solver) = (1.0, 1.0, 1.0);
        let mut previous: Option<f64> = None;
        for i in 0..steps {
            let step = StepGammas { gamma_t: gamma(i), gamma_s: gamma(i + 1) };
            let sigma = sigma_squared(step.gamma_t).sqrt();
            let (clean_z, clean_eps) = step.clean();
            let f_hat = clean_z + clean_eps * sigma;
            let c = step.ancestral();
            ancestral = ancestral * (c.z + c.eps * sigma).powi(2) + c.noise.powi(2);
            let c = step.ddim();
            ddim *= c.f_hat * f_hat + c.eps * sigma;
            let c = step.dpm_solver_2m((i > 0).then(|| gamma(i - 1)));
            let now = f_hat * solver;
            solver = c.z * solver + c.f_hat * now + c.f_hat_previous * previous.unwrap_or(0.0);
            previous = Some(now);
        }
        [ancestral, ddim * ddim, solver * solver].map(|variance: f64| (variance - 1.0).abs())
    };
    let (coarse, fine) = (variances(100), variances(1000));
    for i in 0..2 {
        assert!(fine[i] < 0.03 && fine[i] < 0.15 * coarse[i], "first order: {coarse:?} to {fine:?}");
    }
    assert!(fine[2] < 1e-4 && fine[2] < 0.015 * coarse[2], "second order: {coarse:?} to {fine:?}");
}

#[test]
fn ancestral_steps_add_the_noise_that_they_should() {
    let model = fresh(&[]);
    let steps = 12;
    let seeds: Vec<u64> = (0..4000).collect();
    let z = sample(&model, options(Sampler::Ancestral, steps), &seeds);
    // With ε̂ = z each step is z_s = (z + eps) z_t + noise · ε, and variances add up if the draws are independent.
    let gamma = |i: usize| model.schedules[0].gamma(1.0 - i as f64 / steps as f64);
    let mut expected = 1.0;
    for i in 0..steps {
        let c = StepGammas { gamma_t: gamma(i), gamma_s: gamma(i + 1) }.ancestral();
        expected = expected * (c.z + c.eps).powi(2) + c.noise.powi(2);
    }
    let values = numbers(&z);
    let n = values.len() as f64;
    let (mean, variance) = (values.iter().sum::<f64>() / n, values.iter().map(|v| v * v).sum::<f64>() / n);
    // Four standard errors: √(1/n) of the mean, √(2/n) of the variance.
    assert!(mean.abs() < 4.0 * (expected / n).sqrt(), "{mean}");
    assert!((variance / expected - 1.0).abs() < 4.0 * (2.0 / n).sqrt(), "{variance} instead of {expected}");
}

#[test]
fn an_image_does_not_depend_on_its_batch() {
    let model = shaken(&[]);
    for &sampler in Sampler::ALL {
        let many = sample(&model, options(sampler, 9), &[4, 5, 6, u64::MAX]);
        for (row, seed) in [4, 5, 6, u64::MAX].into_iter().enumerate() {
            let alone = sample(&model, options(sampler, 9), &[seed]);
            let difference = largest_difference(&many.clone().narrow(0, row, 1), &alone);
            // The same noise; a matrix product may add in another order.
            assert!(difference < 1e-4, "{} seed {seed}: {difference}", sampler.name());
        }
        assert_eq!(numbers(&many), numbers(&sample(&model, options(sampler, 9), &[4, 5, 6, u64::MAX])));
        assert!(largest_difference(&many.clone().narrow(0, 0, 1), &many.narrow(0, 1, 1)) > 1e-2);
    }
}

#[test]
fn a_trajectory_tells_where_it_is() {
    let model = shaken(&[]);
    let mut trajectory =
        Trajectory::from_noise(&model, options(Sampler::Ddim, 5), &[1], &Default::default()).expect("valid options");
    assert_eq!((trajectory.steps(), trajectory.place().t, trajectory.f_hat().is_none()), (5, 1.0, true));
    let mut taken = Vec::new();
    while let Some(step) = trajectory.step(&model) {
        assert_eq!((step.of, step.t), (5, trajectory.place().t));
        assert!((step.gamma - model.schedules[0].gamma(step.t)).abs() < 1e-12);
        assert_eq!(trajectory.f_hat().map(|f| f.dims()), Some([1, 6]));
        taken.push((step.number, step.t));
    }
    let numbers: Vec<_> = taken.iter().map(|step| step.0).collect();
    assert_eq!(numbers, [1, 2, 3, 4, 5]);
    assert!(taken.is_sorted_by(|a, b| a.1 > b.1) && taken[4].1 == 0.0);
    assert!(trajectory.step(&model).is_none(), "t = 0 is the end");
    assert_eq!(trajectory.decode(&model).dims(), [1, 16]);
}

#[test]
fn the_picture_is_decoded_from_z_over_alpha() {
    let model = shaken(&[]);
    let trajectory =
        Trajectory::from_noise(&model, options(Sampler::Ancestral, 3), &[2], &Default::default()).expect("valid");
    let z = finish(trajectory.clone(), &model);
    let mut trajectory = trajectory;
    while trajectory.step(&model).is_some() {}
    let expected = model.decode(z / alpha_squared(model.schedules[0].gamma(0.0)).sqrt());
    // A division in float64 or in float32.
    assert!(largest_difference(&trajectory.decode(&model), &expected) < 1e-6);
    assert!(numbers(&expected).iter().all(|v| (0.0..=1.0).contains(v)));
}

#[test]
fn denoising_from_a_time_takes_its_share_of_the_steps() {
    let model = shaken(&[]);
    let x = Tensor::<Flex, 2>::full([1, 16], 0.4, &Default::default());
    let f = model.encode(x.clone()).expect("a model with its encoder");
    for (t, steps) in [(1.0, 20), (0.5, 10), (0.51, 11), (1e-6, 1)] {
        let noise = seeded_noise::<Flex>(&[3], RngStream::Diffuse, 0, 6, &Default::default());
        let z = model.diffuse(f.clone(), noise.clone(), t);
        let gamma = model.schedules[0].gamma(t);
        let expected = f.clone() * alpha_squared(gamma).sqrt() + noise * sigma_squared(gamma).sqrt();
        assert!(largest_difference(&z, &expected) < 1e-6);
        let options = options(Sampler::DpmSolver2M, 20);
        let trajectory = Trajectory::from_latent(&model, options, &[3], z.clone(), t).expect("valid options");
        assert_eq!((trajectory.steps(), trajectory.place().t), (steps, t));
        let encoder = model.networks.encoder.as_ref().expect("a model with its encoder");
        let trajectory = Trajectory::from_image(&model, encoder, options, &[3], x.clone(), t).expect("valid options");
        assert!(largest_difference(trajectory.z(), &z) < 1e-6, "the image goes the same way");
    }
    // From t ≈ 0 there is nothing to do: the latent comes back.
    let noise = seeded_noise::<Flex>(&[3], RngStream::Diffuse, 0, 6, &Default::default());
    let z = model.diffuse(f, noise, 1e-6);
    let start = Trajectory::from_latent(&model, options(Sampler::Ddim, 20), &[3], z.clone(), 1e-6);
    assert!(largest_difference(&finish(start.expect("valid options"), &model), &z) < 1e-4);
}

#[test]
fn guidance_mixes_the_two_predictions() {
    let model = shaken(&[2]);
    let z = seeded_noise::<Flex>(&[1, 2], RngStream::Prior, 0, 6, &Default::default());
    let predict = |class, guidance| model.predict_noise(0, z.clone(), 0.5, Condition { class, guidance }, None);
    let (none, one) = (predict(None, 3.0), predict(Some(1), 0.0));
    assert!(largest_difference(&none, &one) > 1e-3, "the classes differ");
    assert!(largest_difference(&predict(Some(0), 0.0), &one) > 1e-3);
    assert!(largest_difference(&predict(Some(1), -1.0), &none) < 1e-5);
    let expected = one * 3.5 - none * 2.5;
    assert!(largest_difference(&predict(Some(1), 2.5), &expected) < 1e-5);
}

#[test]
fn attributes_are_asked_for_alone_and_together() {
    let model = shaken(&[2, 3]);
    let classes = model.config.classes();
    let z = seeded_noise::<Flex>(&[1], RngStream::Prior, 0, 6, &Default::default());
    let predict = |class| model.predict_noise(0, z.clone(), 0.5, Condition { class, guidance: 0.0 }, None);
    let all: Vec<_> = (0..classes.count()).map(|class| predict(Some(class))).collect();
    for (i, one) in all.iter().enumerate() {
        assert!(all[..i].iter().all(|other| largest_difference(one, other) > 1e-4), "class {i} is its own");
    }
    // What a class leaves open has the row that no class has.
    let open = predict(Some(classes.number(&[None, None])));
    assert!(largest_difference(&open, &predict(None)) == 0.0);
    // The embedding of a class is the sum of its values'.
    let table = model.networks.score_net.class_table().expect("attributes");
    let row = |values: [Option<usize>; 2]| table.clone().narrow(0, classes.number(&values), 1);
    let sum = row([Some(1), None]) + row([None, Some(2)]) - row([None, None]);
    assert!(largest_difference(&sum, &row([Some(1), Some(2)])) < 1e-5);
}

#[test]
fn further_attributes_change_nothing_until_they_are_trained() {
    let model = shaken(&[2]);
    let networks = model.networks.clone().with_attributes(&[2, 3], &Default::default()).expect("the CPU can be read");
    let config = ModelConfig { attributes: vec![2, 3], ..model.config.clone() };
    let more = block_on(Vdm::new(config, model.sampling, networks)).expect("the CPU can be read");
    let z = seeded_noise::<Flex>(&[1], RngStream::Prior, 0, 6, &Default::default());
    let of = |model: &Vdm<Flex>, values: &[Option<usize>]| {
        let class = Some(model.config.classes().number(values));
        model.predict_noise(0, z.clone(), 0.5, Condition { class, guidance: 0.0 }, None)
    };
    for value in [Some(0), Some(1), None] {
        for further in [Some(0), Some(2), None] {
            assert!(largest_difference(&of(&model, &[value]), &of(&more, &[value, further])) < 1e-6);
        }
    }
}

#[test]
fn options_that_do_not_fit_are_refused_by_name() {
    let (plain, with_classes) = (fresh(&[]), fresh(&[2]));
    let refused = |model: &Vdm<Flex>, options: SamplingOptions| {
        let result = Trajectory::<Flex>::from_noise(model, options, &[0], &Default::default());
        result.expect_err("must be refused").field
    };
    let good = options(Sampler::Ddim, 1);
    assert_eq!(refused(&plain, SamplingOptions { steps: 0, ..good }), "steps");
    assert_eq!(refused(&plain, SamplingOptions { steps: usize::MAX, ..good }), "steps");
    let class = |class, guidance| SamplingOptions { condition: Condition { class, guidance }, ..good };
    assert_eq!(refused(&plain, class(Some(0), 0.0)), "class");
    assert_eq!(refused(&with_classes, class(Some(2), 0.0)), "class");
    assert_eq!(refused(&with_classes, class(Some(1), f64::NAN)), "guidance");
    assert_eq!(refused(&with_classes, class(Some(1), 1e9)), "guidance");
    for t in [0.0, -0.5, 1.5, f64::NAN] {
        let z = Tensor::zeros([1, 6], &Default::default());
        let error = Trajectory::<Flex>::from_latent(&plain, good, &[0], z, t).expect_err("must be refused");
        assert_eq!(error.field, "t");
    }
}

#[test]
fn a_schedule_reads_back_as_its_tensors_compute() {
    let model = fresh(&[]);
    let times: Vec<f32> = (0..=20).map(|i| i as f32 / 20.0).collect();
    let at = model.networks.schedule.at(Tensor::from_floats(times.as_slice(), &Default::default()));
    for (i, (gamma, slope)) in numbers(&at.gamma).into_iter().zip(numbers(&at.gamma_prime)).enumerate() {
        let t = f64::from(times[i]);
        // γ spans 12, in float32.
        assert!((gamma - model.schedules[0].gamma(t)).abs() < 1e-5, "{t}");
        assert!((slope / model.schedules[0].gamma_prime(t) - 1.0).abs() < 1e-5, "{t}");
    }
    assert_eq!(
        (model.schedules[0].tau(model.schedules[0].gamma_min), model.schedules[0].tau(model.schedules[0].gamma_max)),
        (0.0, 1.0)
    );
}

#[test]
fn steps_are_equal_in_time_and_those_of_the_solver_in_gamma() {
    let model = shaken(&[]);
    let schedule = &model.schedules[0];
    for t in [1.0, 0.3] {
        for &sampler in Sampler::ALL {
            let times = sampler.times(schedule, t, 8);
            assert_eq!((times.len(), times[0], times[8]), (9, t, 0.0));
            let of = |time: f64| if sampler == Sampler::DpmSolver2M { schedule.gamma(time) } else { time };
            for (i, &time) in times.iter().enumerate() {
                let expected = of(0.0) + (of(t) - of(0.0)) * (8 - i) as f64 / 8.0;
                assert!((of(time) - expected).abs() < 1e-9, "{sampler:?} from {t}, {i}: {} for {expected}", of(time));
            }
        }
    }
}

#[test]
fn between_two_seeds_lie_their_own_samples_at_the_ends() {
    let model = shaken(&[]);
    for sampler in [Sampler::DpmSolver2M, Sampler::Ddim] {
        let options = options(sampler, 7);
        let between = Trajectory::between(&model, options, 4, 9, 5, &Default::default()).expect("valid options");
        assert_eq!((between.places().len(), between.steps()), (8, 7));
        let between = finish(between, &model);
        let ends = Tensor::cat(vec![between.clone().narrow(0, 0, 1), between.narrow(0, 4, 1)], 0);
        // Another batch size may add in another order.
        assert!(largest_difference(&ends, &sample(&model, options, &[4, 9])) < 1e-5);
    }
}
