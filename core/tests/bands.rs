//! A model of bands: the prediction of its ScoreNets, its likelihood, and its samples.

mod common;

use burn::module::Module;
use burn::tensor::{Tensor, TensorData};
use burn_flex::Flex;
use pollster::block_on;
use vdm::config::{FINE_CHANNELS, ModelConfig, PatchGrid, Preset, SamplingConfig, Stage};
use vdm::diffusion::loss::discrete_nll;
use vdm::elbo::measure;
use vdm::math::{alpha_squared, sigma_squared};
use vdm::model::{Band, Condition, Networks, Vdm};
use vdm::rng::{Rng, RngStream, seeded_noise};
use vdm::sampler::{Sampler, SamplingOptions, Trajectory};
use vdm::weights::{Precision, Provenance, load, save};

use crate::common::Shake;

fn normals(seed: u64, shape: [usize; 2]) -> Tensor<Flex, 2> {
    let values = Rng::new(seed, RngStream::Evaluation, 0).normals(shape[0] * shape[1]);
    Tensor::from_data(TensorData::new(values, shape), &Default::default())
}

fn values(tensor: Tensor<Flex, 2>) -> Vec<f32> {
    tensor.into_data().iter::<f32>().collect()
}

fn largest_difference(a: Tensor<Flex, 2>, b: Tensor<Flex, 2>) -> f32 {
    (a - b).abs().max().into_scalar()
}

fn config() -> ModelConfig {
    let mut config = ModelConfig { height: 64, width: 64, attributes: vec![2, 3], ..Preset::Sharp.model() };
    for band in config.bands.iter_mut().flat_map(|bands| [&mut bands.coarse, &mut bands.fine]) {
        (band.embedding_dim, band.width, band.layers) = (8, 16, 1);
        band.heads = band.heads.min(2);
    }
    config
}

fn deviations(config: &ModelConfig) -> [Vec<f64>; 2] {
    let of = |count: usize| (0..count).map(|i| 2.0 / (1.0 + i as f64 % 13.0)).collect();
    let [coarse, fine] = [config.coarse_grid(), config.patch_grid()].map(|grid: PatchGrid| grid.patches());
    let dims = config.band_dims();
    [of(dims[0] / coarse), of(dims[1] / fine)]
}

/// Fresh networks: their last layers are zero.
fn fresh() -> Vdm<Flex> {
    let device = Default::default();
    let config = config();
    let [coarse, fine] = deviations(&config);
    let networks = Networks::new(&config, 3, &device).expect("a valid configuration");
    let networks = networks.with_deviations([&coarse, &fine], &device);
    block_on(Vdm::new(config, SamplingConfig { fine_share: 0.5, ..SamplingConfig::default() }, networks))
        .expect("the CPU can be read")
}

/// A model whose ScoreNets are in general position.
fn shaken() -> Vdm<Flex> {
    let mut model = fresh();
    let Networks { schedule, fine, decoder, encoder, .. } = model.networks.clone();
    let shaken = model.networks.map(&mut Shake::by(0.1));
    let fine = shaken.fine.zip(fine).map(|(band, fine)| Band { schedule: fine.schedule, ..band });
    model.networks = Networks { schedule, fine, decoder, encoder, ..shaken };
    model
}

#[test]
fn a_shift_moves_an_eighth_each_way() {
    let grid = PatchGrid { rows: 2, columns: 3 };
    let tokens: Vec<f32> = (0..6).flat_map(|patch| (0..8).map(move |f| (10 * patch + f) as f32)).collect();
    let tokens = Tensor::<Flex, 2>::from_data(TensorData::new(tokens, [6, 8]), &Default::default());
    let shifted = values(grid.shift(tokens));
    // The patch in the middle below: from below, from above, from its right, from its left, and what stays.
    assert_eq!(shifted[4 * 8..5 * 8], [0.0, 11.0, 52.0, 33.0, 44.0, 45.0, 46.0, 47.0]);
}

#[test]
fn a_fresh_score_net_predicts_the_noise_of_independent_gaussians() {
    let model = fresh();
    let all = deviations(&model.config);
    for (band, s) in all.iter().enumerate() {
        let (_, count) = model.band_range(band);
        let z = normals(band as u64, [2, count]);
        let coarse = [2, model.band_range(0).1];
        let context = (band > 0).then(|| model.context(normals(7, coarse), normals(8, coarse)).expect("bands"));
        for gamma in [-6.0, 0.0, 5.0] {
            let predicted = model.predict_noise(band, z.clone(), gamma, Condition::default(), context.as_ref());
            // E[ε | z] of f ~ N(0, s²): σ / (α² s² + σ²) z.
            let factor = |i: usize| {
                let variance = alpha_squared(gamma) * s[i % s.len()].powi(2) + sigma_squared(gamma);
                sigma_squared(gamma).sqrt() / variance
            };
            for (i, (predicted, z)) in values(predicted).into_iter().zip(values(z.clone())).enumerate() {
                let expected = f64::from(z) * factor(i);
                assert!((f64::from(predicted) - expected).abs() < 1e-5 * expected.abs().max(1.0), "{band} {gamma} {i}");
            }
        }
    }
}

#[test]
fn the_fine_band_follows_its_context_and_only_nearby() {
    let model = shaken();
    let (coarse, fine) = (model.band_range(0).1, model.band_range(1).1);
    let z = normals(1, [1, fine]);
    let predict = |coarse: Tensor<Flex, 2>| {
        let context = model.context(coarse.clone(), coarse.zeros_like());
        model.predict_noise(1, z.clone(), 0.0, Condition::default(), context.as_ref())
    };
    let plain = values(predict(Tensor::zeros([1, coarse], &Default::default())));
    // A change at the upper left corner of the coarse band, in the first patch of the first token.
    let mut changed = vec![0.0; coarse];
    changed[0] = 3.0;
    let changed = Tensor::from_data(TensorData::new(changed, [1, coarse]), &Default::default());
    let changed = values(predict(changed));
    let moved: Vec<usize> = plain
        .chunks_exact(FINE_CHANNELS)
        .zip(changed.chunks_exact(FINE_CHANNELS))
        .enumerate()
        .filter(|(_, (a, b))| a != b)
        .map(|(patch, _)| patch)
        .collect();
    // One block mixes a patch with its neighbours below and to the right.
    assert_eq!(moved, [0, 1, 8], "patches of a grid of 8×8");
}

#[test]
fn grey_values_are_as_likely_as_their_discretised_gaussian_says() {
    let s = 0.7;
    let x = [0.0, 3.0, 128.0, 255.0];
    let predicted = [1.2, 2.4, 130.9, 300.0];
    let tensor = |values: &[f64]| {
        let values: Vec<f32> = values.iter().map(|v| (v / 255.0) as f32).collect();
        Tensor::<Flex, 2>::from_data(TensorData::new(values, [x.len(), 1]), &Default::default())
    };
    let found: Vec<f64> = discrete_nll(tensor(&predicted), tensor(&x), s).into_data().iter::<f64>().collect();
    for ((x, y), found) in x.iter().zip(predicted).zip(found) {
        let weight = |v: f64| (-(y - v).powi(2) / (2.0 * s * s)).exp();
        // Far outside the grey values all weights vanish in float64 too: relative to the nearest.
        let nearest = y.clamp(0.0, 255.0).round();
        let relative = |v: f64| ((y - nearest).powi(2) / (2.0 * s * s)).exp().min(1e300) * weight(v);
        let expected =
            if y > 260.0 { 0.0 } else { -(relative(*x) / (0..256).map(|v| relative(f64::from(v))).sum::<f64>()).ln() };
        // Grey values of 255 in float32 have an error of 1.5e-5.
        assert!((found - expected).abs() < 1e-3 * expected.max(1.0), "{x} for {y}: {found} and {expected}");
    }
}

#[test]
fn the_bound_of_an_image_is_the_sum_of_its_bands_and_its_grey_values() {
    let model = shaken();
    let device = Default::default();
    let encoder = model.networks.encoder.clone().expect("bands need no other encoder");
    let image: Vec<u8> = (0..64 * 64).map(|i| (100 + (i % 64) + (i / 64) % 7) as u8).collect();
    let of = |stage| {
        let images: &[&[u8]] = &[&image];
        block_on(measure(&model.networks, &model.config, stage, &encoder, images, Some(&[1]), 0, 3, 5, &device))
            .expect("terms")[0]
            .terms
    };
    let (joint, coarse, fine) = (of(Stage::Joint), of(Stage::Coarse), of(Stage::Fine));
    for (whole, a, b) in
        [(joint.latent, coarse.latent, fine.latent), (joint.diffusion, coarse.diffusion, fine.diffusion)]
    {
        assert!((whole - a - b).abs() < 1e-4 * whole.abs(), "{whole} {a} {b}");
    }
    assert_eq!((coarse.reconstruction, fine.reconstruction), (0.0, 0.0));
    // Noise of a quarter of a grey level seldom hides a grey value.
    assert!(joint.reconstruction > 0.0 && joint.reconstruction < 0.2 * 64.0 * 64.0, "{joint:?}");
}

#[test]
fn a_sample_is_drawn_band_after_band() {
    let model = shaken();
    let condition = Condition { class: Some(1), guidance: 0.0 };
    for &sampler in Sampler::ALL {
        let options = SamplingOptions { sampler, steps: 6, condition };
        let mut trajectory =
            Trajectory::from_noise(&model, options, &[4, 5], &Default::default()).expect("valid options");
        let noise = trajectory.z().clone();
        assert_eq!((trajectory.steps(), trajectory.places().len()), (6, 8));
        let mut taken = Vec::new();
        while let Some(step) = trajectory.step(&model) {
            assert_eq!((step.of, step.t, step.band), (6, trajectory.place().t, trajectory.place().band));
            assert!(values(trajectory.decode(&model)).iter().all(|v| (0.0..=1.0).contains(v)));
            assert_eq!(trajectory.decode_prediction(&model).dims(), [2, 64 * 64]);
            let (first, count) = model.band_range(1);
            let fine = |z: &Tensor<Flex, 2>| z.clone().narrow(1, first, count);
            let waits = largest_difference(fine(trajectory.z()), fine(&noise)) == 0.0;
            assert_eq!(waits, step.band == 0, "the fine band begins when the coarse one is finished");
            taken.push((step.number, step.band));
        }
        assert_eq!(taken, [(1, 0), (2, 0), (3, 0), (4, 1), (5, 1), (6, 1)], "{sampler}");
        // The image at the end is the prediction itself, without the noise of z_0.
        let last = trajectory.f_hat().expect("it has begun").clone();
        assert!(largest_difference(trajectory.decode(&model), model.decode(last)) < 1e-6, "{sampler}");
        let end = model.without_alpha(trajectory.z().clone(), 0.0);
        assert!(largest_difference(trajectory.decode(&model), model.decode(end)) < 1e-6, "{sampler}");
        // An image does not depend on its batch, but for the order of sums.
        let mut alone = Trajectory::from_noise(&model, options, &[5], &Default::default()).expect("valid options");
        while alone.step(&model).is_some() {}
        let difference = largest_difference(alone.decode(&model), trajectory.decode(&model).narrow(0, 1, 1));
        assert!(difference < 1e-4, "{sampler}: {difference}");
    }
}

#[test]
fn detail_is_drawn_for_a_given_coarse_band() {
    let model = shaken();
    let options = SamplingOptions { sampler: Sampler::DpmSolver2M, steps: 6, condition: Condition::default() };
    let mut whole = Trajectory::from_noise(&model, options, &[9], &Default::default()).expect("valid options");
    while whole.place().t > 0.0 {
        whole.step(&model).expect("a step of the coarse band");
    }
    let (_, coarse) = model.band_range(0);
    let drawn = whole.f_hat().expect("it has begun").clone().narrow(1, 0, coarse);
    let mut rest = Trajectory::from_coarse(&model, options, &[9], drawn).expect("bands");
    let mut steps = 0;
    while rest.step(&model).is_some() {
        whole.step(&model).expect("a step");
        steps += 1;
    }
    assert_eq!(steps, 3);
    let fine = |of: &Trajectory<Flex>| of.f_hat().expect("it has begun").clone().narrow(1, coarse, 64 * 64 - coarse);
    assert!(largest_difference(fine(&whole), fine(&rest)) < 1e-6);
}

#[test]
fn one_look_at_noise_is_a_run_of_a_step_a_band() {
    let model = shaken();
    let device = Default::default();
    let condition = Condition { class: Some(1), guidance: 0.0 };
    let options = SamplingOptions { sampler: Sampler::Ddim, steps: 2, condition };
    let mut run = Trajectory::from_noise(&model, options, &[5, 6], &device).expect("options that fit");
    let z = run.z().clone();
    while run.step(&model).is_some() {}
    let noise = seeded_noise::<Flex>(&[5, 6], RngStream::Context, 0, model.config.band_dims()[0], &device);
    let clean = run.f_hat().expect("two steps").clone();
    let difference = |noise| largest_difference(model.predict_clean(z.clone(), 1.0, condition, noise), clean.clone());
    let (with_it, without) = (difference(noise.clone()), difference(noise.zeros_like()));
    // 1/α, which f̂ is multiplied by, is 245 at t = 1.
    assert!(with_it < 1e-3 && without > 1e-2, "{with_it} {without}");
}

#[test]
fn an_image_comes_back_from_a_little_noise_and_not_from_much() {
    let model = shaken();
    let x = Tensor::<Flex, 2>::full([1, 64 * 64], 0.4, &Default::default());
    let encoder = model.networks.encoder.clone().expect("bands need no other encoder");
    let options = SamplingOptions { sampler: Sampler::Ddim, steps: 40, condition: Condition::default() };
    let back = |t: f64| {
        let mut trajectory =
            Trajectory::from_image(&model, &encoder, options, &[3], x.clone(), t).expect("valid options");
        while trajectory.step(&model).is_some() {}
        largest_difference(trajectory.decode(&model), x.clone())
    };
    let noise = seeded_noise::<Flex>(&[3], RngStream::Diffuse, 0, model.config.latent_dim(), &Default::default());
    let f = model.encode(x.clone()).expect("an encoder");
    let z = model.without_alpha(model.diffuse(f.clone(), noise, 0.0), 0.0);
    // A quarter of a grey level, at most five standard deviations of it and what the transform rounds.
    assert!(largest_difference(model.decode(z), x.clone()) < 5.0 * 0.25 / 255.0 + 1e-4);
    assert!(largest_difference(model.decode(f), x.clone()) < 1e-5);
    assert!(back(1e-6) < 0.02 && back(1.0) > 0.1, "{} {}", back(1e-6), back(1.0));
}

#[test]
fn weights_of_bands_are_one_file_that_encodes_too() {
    let model = shaken();
    let bytes = save(
        &model.networks,
        &model.config,
        &SamplingConfig { context_gamma: -4.0, ..SamplingConfig::default() },
        &Provenance::default(),
        Precision::F32,
    );
    let (header, networks) = load::<Flex>(&bytes.expect("writes"), &Default::default()).expect("reads");
    assert_eq!((&header.config, header.sampling.context_gamma), (&model.config, -4.0));
    assert!(header.tensors.iter().all(|tensor| !tensor.name.starts_with("encoder")));
    let read = block_on(Vdm::new(header.config, model.sampling, networks)).expect("the CPU can be read");
    let x = normals(2, [1, 64 * 64]).abs().clamp(0.0, 1.0);
    let [a, b] = [&model, &read].map(|model| values(model.encode(x.clone()).expect("an encoder")));
    assert!(a == b, "the same bits");
}

#[test]
fn the_preset_is_as_large_as_a_page_can_load() {
    let networks = Networks::<Flex>::new(&Preset::Sharp.model(), 0, &Default::default()).expect("builds");
    let numbers: usize = vdm::weights::parameters(&Networks { encoder: None, ..networks })
        .expect("reads")
        .iter()
        .map(|parameter| parameter.values.len())
        .sum();
    assert!(2 * numbers < 30_000_000, "{numbers} numbers in half precision");
}
