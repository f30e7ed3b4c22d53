//! Networks on patches: their geometry, the lapped transform under the grain, and the Gaussian prediction, against their
//! formulas.

use burn::module::{AutodiffModule, Module, ModuleMapper, Param};
use burn::tensor::{Tensor, TensorData};
use burn_flex::{Flex, FlexDevice};
use vdm::autoencoder::lapped::LappedSelection;
use vdm::config::{ModelConfig, PatchGrid, Preset, ResNetConfig, SamplingConfig};
use vdm::diffusion::coarse::{self, Components};
use vdm::diffusion::gaussian::LatentStatistics;
use vdm::math::{alpha_squared, sigma_squared};
use vdm::model::{Condition, Networks, Vdm};
use vdm::nn::patch_grid::Border;
use vdm::rng::{Rng, RngStream};
use vdm::sampler::{Sampler, SamplingOptions, Trajectory};

fn ready<F: Future>(future: F) -> F::Output {
    let mut future = std::pin::pin!(future);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match future.as_mut().poll(&mut context) {
        std::task::Poll::Ready(output) => output,
        std::task::Poll::Pending => panic!("the CPU answers at once"),
    }
}

fn normals(seed: u64, shape: [usize; 2]) -> Tensor<Flex, 2> {
    let values = Rng::new(seed, RngStream::Evaluation, 0).normals(shape[0] * shape[1]);
    Tensor::from_data(TensorData::new(values, shape), &FlexDevice)
}

fn values(tensor: Tensor<Flex, 2>) -> Vec<f32> {
    tensor.into_data().iter::<f32>().collect()
}

fn inner(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum()
}

const GRID: PatchGrid = PatchGrid { rows: 3, columns: 2, patch: 4 };

/// An image whose pixel at (y, x) is 100 y + x.
fn coordinates() -> Tensor<Flex, 2> {
    let (height, width) = (12, 8);
    let pixels: Vec<f32> = (0..height * width).map(|i| (100 * (i / width) + i % width) as f32).collect();
    Tensor::from_data(TensorData::new(pixels, [1, height * width]), &FlexDevice)
}

#[test]
fn a_window_is_a_patch_with_half_a_patch_around_it() {
    let windows = values(GRID.windows(coordinates(), Border::Zero));
    assert_eq!(windows.len(), 6 * 64);
    // The window of the patch in row 1 and column 1 starts at (2, 2): quarters of 4×4, row by row.
    let window = &windows[3 * 64..4 * 64];
    assert_eq!(window[..5], [202.0, 203.0, 204.0, 205.0, 302.0]);
    assert_eq!(window[16..18], [206.0, 207.0], "the upper right quarter");
    assert_eq!(window[18..20], [0.0, 0.0], "beyond the border");
    assert_eq!(window[32..34], [602.0, 603.0], "the lower left quarter");
    let wrapped = values(GRID.windows(coordinates(), Border::Wrap));
    assert_eq!(wrapped[3 * 64 + 16..3 * 64 + 20], [206.0, 207.0, 200.0, 201.0]);
}

#[test]
fn overlap_add_is_the_transpose_of_windows() {
    for border in [Border::Zero, Border::Wrap] {
        let (image, windows) = (normals(1, [2, 96]), normals(2, [12, 64]));
        let left = inner(&values(GRID.windows(image.clone(), border)), &values(windows.clone()));
        let right = inner(&values(image), &values(GRID.overlap_add(windows, border)));
        assert!((left - right).abs() < 1e-4, "{left} {right}");
    }
}

#[test]
fn a_shift_moves_an_eighth_each_way() {
    let features: Vec<f32> = (0..6 * 8).map(|i| (i / 8 * 10 + i % 8) as f32).collect();
    let shifted = values(GRID.shift(Tensor::from_data(TensorData::new(features, [6, 8]), &FlexDevice)));
    // Patch 2 is in row 1, column 0: below it 4, above it 0, right of it 3, left of it nothing.
    assert_eq!(shifted[2 * 8..3 * 8], [40.0, 1.0, 32.0, 0.0, 24.0, 25.0, 26.0, 27.0]);
}

fn config() -> ModelConfig {
    let blocks = ResNetConfig { width: 16, layers: 1, layer_norm: false, heads: 2 };
    let sharp = Preset::SharpSmall.model();
    let mut score_net = sharp.score_net.clone();
    (score_net.width, score_net.layers, score_net.heads, score_net.gaussian_rank) = (16, 1, 2, 3);
    (score_net.coarse_width, score_net.coarse_layers) = (16, 1);
    ModelConfig {
        height: 32,
        width: 32,
        latent_dim: 4 * 8,
        patch: Some(16),
        encoder: blocks.clone(),
        decoder: blocks,
        score_net,
        ..sharp
    }
}

fn statistics(dim: usize, rank: usize) -> LatentStatistics {
    // Orthonormal: each direction takes every rank-th number.
    let length = |k: usize| ((dim - k).div_ceil(rank) as f32).sqrt();
    LatentStatistics {
        mean: (0..dim).map(|d| (d as f32 * 0.7).sin()).collect(),
        components: (0..dim * rank)
            .map(|i| if i / rank % rank == i % rank { length(i % rank).recip() } else { 0.0 })
            .collect(),
        variances: (0..rank).map(|k| 5.0 / (k + 1) as f32).collect(),
        rest: (0..dim).map(|_| 0.3).collect(),
    }
}

fn model() -> Vdm<Flex> {
    let config = config();
    let statistics = statistics(config.latent_dim, config.score_net.gaussian_rank);
    let networks = Networks::<Flex>::new(&config, 3, &FlexDevice)
        .expect("valid")
        .with_mean_image(&vec![0.4; config.pixels()], &FlexDevice)
        .with_latent_statistics(statistics, &FlexDevice);
    ready(Vdm::new(config, SamplingConfig::default(), networks)).expect("the CPU can be read")
}

#[test]
fn a_fresh_score_net_predicts_the_noise_of_gaussian_latents() {
    // With rank directions of λ and ν beside them, the covariance of α f + σ ε is α² (U (λ − …) Uᵀ + ν I) + σ² I: along
    // a direction α² λ + σ², across all of them α² ν + σ².
    let model = model();
    let (dim, rank) = (model.config.latent_dim, model.config.score_net.gaussian_rank);
    let LatentStatistics { mean, components, variances, rest } = statistics(dim, rank);
    let z = values(normals(8, [1, dim]));
    for gamma in [-5.0, 0.0, 7.0] {
        let predicted = model.predict_noise(
            Tensor::from_data(TensorData::new(z.clone(), [1, dim]), &FlexDevice),
            gamma,
            Condition::default(),
        );
        let (alpha, sigma) = (alpha_squared(gamma).sqrt(), sigma_squared(gamma).sqrt());
        let centred: Vec<f64> = z.iter().zip(&mean).map(|(z, m)| f64::from(*z) - alpha * f64::from(*m)).collect();
        let mut expected: Vec<f64> = vec![0.0; dim];
        let mut left = centred.clone();
        for k in 0..rank {
            let direction = |d: usize| f64::from(components[d * rank + k]);
            let along: f64 = (0..dim).map(|d| direction(d) * centred[d]).sum();
            for d in 0..dim {
                left[d] -= along * direction(d);
                expected[d] += along * direction(d) / (alpha * alpha * f64::from(variances[k]) + sigma * sigma);
            }
        }
        for (d, predicted) in values(predicted).into_iter().enumerate() {
            let expected = sigma * (expected[d] + left[d] / (alpha * alpha * f64::from(rest[d]) + sigma * sigma));
            // float32 sums of 32 numbers of up to about 20.
            assert!((f64::from(predicted) - expected).abs() < 1e-4, "γ {gamma}: {predicted} for {expected}");
        }
    }
}

/// Moves each parameter by noise of its own.
struct Stir(u64);

impl ModuleMapper<Flex> for Stir {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<Flex, D>>) -> Param<Tensor<Flex, D>> {
        self.0 += 1;
        let seed = self.0;
        param.map(|tensor| {
            let shape = tensor.dims();
            let values = Rng::new(seed, RngStream::Evaluation, 0).normals(shape.iter().product());
            tensor + Tensor::<Flex, D>::from_data(TensorData::new(values, shape), &FlexDevice) * 0.3
        })
    }
}

#[test]
fn the_coarse_network_is_trained_on_its_errors_in_the_score_nets_prediction() {
    let mut model = model();
    let fresh = model.networks.coarse.clone().expect("a coarse network");
    model.networks.coarse = Some(fresh.clone().map(&mut Stir(0)));
    let (dim, rank) = (model.config.latent_dim, model.config.score_net.gaussian_rank);
    let gaussian = model.networks.score_net.gaussian().expect("a Gaussian prediction");
    let (f, noise) = (normals(20, [1, dim]) * 2.0, normals(21, [1, dim]));
    // Of the components' directions only: scores measure from the mean.
    let along = |x: Tensor<Flex, 2>| gaussian.scores(x) - gaussian.scores(Tensor::zeros([1, dim], &FlexDevice));
    for gamma in [-3.0, 0.5, 6.0] {
        let (alpha, sigma) = (alpha_squared(gamma).sqrt(), sigma_squared(gamma).sqrt());
        let z = f.clone() * alpha + noise.clone() * sigma;
        let error_of = |model: &Vdm<Flex>| {
            let error = model.predict_noise(z.clone(), gamma, Condition::default()) - noise.clone();
            values(along(error)).iter().map(|v| f64::from(*v).powi(2)).sum::<f64>()
        };
        let error = error_of(&model);
        let at = |v: f64| Tensor::<Flex, 1>::from_floats([v as f32], &FlexDevice);
        let components =
            Components { scores: gaussian.scores(f.clone()), variances: gaussian.variances(), classes: None };
        let net = model.networks.coarse.as_ref().expect("a coarse network");
        let loss = coarse::loss(net, components, at(gamma), at(model.schedule.tau(gamma)), along(noise.clone()));
        let shares = values(gaussian.variances()).into_iter().map(|v| {
            let signal = alpha * alpha * f64::from(v);
            signal / (signal + sigma * sigma)
        });
        let expected = error / (shares.sum::<f64>() / rank as f64 + 0.02);
        let loss = f64::from(loss.into_scalar());
        assert!((loss - expected).abs() < 1e-3 * expected, "γ {gamma}: {loss} for {expected}");

        let mut plain = model.clone();
        plain.networks.coarse = Some(fresh.clone());
        assert!((error_of(&plain) - error).abs() > 1e-3 * error, "γ {gamma}: it changes the prediction");
    }
}

#[test]
fn sampling_conditions_the_score_net_on_less_noise() {
    let (plain, mut model) = (model(), model());
    let options = SamplingOptions { sampler: Sampler::Ddim, steps: 1, condition: Condition::default() };
    let (dim, schedule) = (model.config.latent_dim, model.schedule.clone());
    let middle = schedule.gamma(0.5);
    let mut step = |offset: f64, below: Option<f64>| {
        (model.sampling.gamma_offset, model.sampling.corrected_below) = (offset, below);
        let z = normals(30, [1, dim]);
        let mut trajectory = Trajectory::from_latent(&model, options, &[0], z.clone(), 0.5).expect("valid");
        trajectory.step(&model);
        (values(trajectory.z().clone()), z)
    };
    let cases = [(0.0, None, 0.0), (0.7, None, 0.7), (5.0, None, 5.0)];
    let limited = [(0.7, Some(middle + 0.1), 0.7), (0.7, Some(middle), 0.0)];
    for (offset, below, counts) in cases.into_iter().chain(limited) {
        let (taken, z) = step(offset, below);
        let (gamma_t, gamma_s) = (middle, schedule.gamma_min);
        let conditioning = (gamma_t - counts).max(gamma_s);
        let noise = plain.predict_noise(z.clone(), conditioning, Condition::default());
        let (alpha, sigma) = (alpha_squared(gamma_t).sqrt(), sigma_squared(gamma_t).sqrt());
        let clean = (z - noise.clone() * sigma) / alpha;
        let expected = values(clean * alpha_squared(gamma_s).sqrt() + noise * sigma_squared(gamma_s).sqrt());
        for (a, b) in taken.iter().zip(&expected) {
            assert!((a - b).abs() < 1e-4, "offset {offset} below {below:?}: {a} for {b}");
        }
    }
}

#[test]
fn autoguidance_extrapolates_from_what_the_network_on_patches_adds_to() {
    let mut bad = model();
    bad.networks.coarse = bad.networks.coarse.map(|net| net.map(&mut Stir(0)));
    let mut model = bad.clone();
    let (dim, rank) = (model.config.latent_dim, model.config.score_net.gaussian_rank);
    model.networks.score_net = model.networks.score_net.map(&mut Stir(50));
    model.networks = model.networks.with_latent_statistics(statistics(dim, rank), &FlexDevice);
    let z = normals(31, [2, dim]);
    let predict = |model: &Vdm<Flex>| values(model.predict_noise(z.clone(), 1.0, Condition::default()));
    let (bad, good) = (predict(&bad), predict(&model));
    assert!(bad.iter().zip(&good).any(|(a, b)| (a - b).abs() > 0.1), "the network on patches counts");
    model.sampling.autoguidance = 0.5;
    for ((bad, good), guided) in bad.iter().zip(&good).zip(&predict(&model)) {
        let expected = good + 0.5 * (good - bad);
        assert!((guided - expected).abs() < 1e-3 * (1.0 + expected.abs()), "{guided} for {expected}");
    }
    model.sampling.corrected_below = Some(1.5);
    assert_ne!(predict(&model), good, "1 is below 1.5");
    model.sampling.corrected_below = Some(1.0);
    assert_eq!(predict(&model), good, "1 is not below 1");
}

#[test]
fn coarse_autoguidance_extrapolates_from_the_gaussian_prediction() {
    let mut bad = model();
    let (dim, rank) = (bad.config.latent_dim, bad.config.score_net.gaussian_rank);
    bad.networks = bad.networks.with_latent_statistics(statistics(dim, rank), &FlexDevice);
    let mut model = bad.clone();
    model.networks.coarse = model.networks.coarse.map(|net| net.map(&mut Stir(0)));
    let z = normals(32, [2, dim]);
    let predict = |model: &Vdm<Flex>, gamma| values(model.predict_noise(z.clone(), gamma, Condition::default()));
    model.sampling.corrected_below = Some(0.0);
    for gamma in [-1.0, 1.0] {
        model.sampling.coarse_autoguidance = 0.0;
        let (bad, good) = (predict(&bad, gamma), predict(&model, gamma));
        assert!(bad.iter().zip(&good).any(|(a, b)| (a - b).abs() > 0.1), "the coarse network counts");
        model.sampling.coarse_autoguidance = 0.5;
        for ((bad, good), guided) in bad.iter().zip(&good).zip(&predict(&model, gamma)) {
            let expected = good + 0.5 * (good - bad);
            assert!((guided - expected).abs() < 1e-3 * (1.0 + expected.abs()), "γ {gamma}: {guided} for {expected}");
        }
    }
}

#[test]
fn a_fresh_autoencoder_that_keeps_all_coefficients_loses_nothing() {
    // Before training, encoder and decoder are the transform and its inverse, whatever the order and the scales.
    let config = ModelConfig { latent_dim: 4 * 256, ..config() };
    let mean_squares: Vec<f64> = (0..256).map(|k| 1.0 + (k as f64 * 0.7).sin()).collect();
    let selection = LappedSelection::of_mean_squares(&mean_squares, 256);
    let networks = Networks::<Flex>::new(&config, 3, &FlexDevice)
        .expect("valid")
        .with_mean_image(&vec![0.4; config.pixels()], &FlexDevice)
        .with_lapped_transform(&selection, &FlexDevice);
    let model = ready(Vdm::new(config, SamplingConfig::default(), networks)).expect("the CPU can be read");
    let x = burn::tensor::activation::sigmoid(normals(6, [2, 32 * 32]));
    let f = model.encode(x.clone()).expect("it has an encoder");
    for (a, b) in values(model.decode(f)).into_iter().zip(values(x)) {
        assert!((a - b).abs() < 1e-4, "{a} {b}");
    }
}

#[test]
fn a_selection_keeps_the_strongest_and_evens_them_out() {
    let selection = LappedSelection::of_mean_squares(&[1.0, 16.0, 0.25, 4.0], 3);
    assert_eq!(selection.coefficients, [1, 3, 0]);
    let squares: Vec<f64> = [16.0, 4.0, 1.0].iter().zip(&selection.scales).map(|(l, s)| l * f64::from(s * s)).collect();
    // Proportional to √λ, 1 in the mean.
    assert!((squares[0] / squares[2] - 4.0).abs() < 1e-5 && (squares[1] / squares[2] - 2.0).abs() < 1e-5);
    assert!((squares.iter().sum::<f64>() / 3.0 - 1.0).abs() < 1e-5);
    // Coefficient 2 is left, with at most half the range. The others have half a grey level.
    let half_a_level = (0.5f32 / 255.0).ln();
    for (found, expected) in selection.ln_left.iter().zip([half_a_level, half_a_level, -0.69, half_a_level]) {
        assert!((found - expected).abs() < 0.01, "{found} for {expected}");
    }
}

#[test]
fn grain_has_the_strength_that_the_decoder_gives() {
    // A fresh decoder predicts e^−4.2 for each coefficient of an orthonormal transform: so each pixel has this deviation.
    let model = model();
    let f = Tensor::zeros([64, model.config.latent_dim], &FlexDevice);
    let seeds: Vec<u64> = (0..64).collect();
    let difference = values(model.decode_with_grain(f.clone(), &seeds) - model.decode(f.clone()));
    let deviation = (inner(&difference, &difference) / difference.len() as f64).sqrt();
    assert!((deviation / (-4.2f64).exp() - 1.0).abs() < 0.01, "{deviation}");
    let again = values(model.decode_with_grain(f.clone(), &seeds) - model.decode(f));
    assert_eq!(difference, again, "a seed draws the same grain");
}

#[test]
fn uneven_grain_has_the_same_power_in_fewer_places() {
    let mut model = model();
    let f = Tensor::zeros([256, model.config.latent_dim], &FlexDevice);
    let seeds: Vec<u64> = (0..256).collect();
    let mut moments = |spread: f64| {
        model.sampling.grain_spread = spread;
        let difference = values(model.decode_with_grain(f.clone(), &seeds) - model.decode(f.clone()));
        let squares: Vec<f32> = difference.iter().map(|v| v * v).collect();
        let count = squares.len() as f64;
        let (second, fourth) = (inner(&difference, &difference) / count, inner(&squares, &squares) / count);
        (second, fourth / second.powi(2), difference)
    };
    let (even, kurtosis, differences) = moments(0.0);
    assert!((kurtosis / 3.0 - 1.0).abs() < 0.03, "a Gaussian's kurtosis is 3, not {kurtosis}");
    let (uneven, kurtosis, of_uneven) = moments(0.25);
    assert!((uneven / even - 1.0).abs() < 0.05, "{uneven} for {even}");
    let expected = 3.0 * (4.0f64 * 0.25 * 0.25).exp();
    assert!((kurtosis / expected - 1.0).abs() < 0.1, "{kurtosis} for {expected}");
    // The strength is positive and smooth: what is drawn keeps its sign, and neighbours are as strong as each other.
    let strengths: Vec<f64> = of_uneven.iter().zip(&differences).map(|(u, e)| f64::from(u / e).ln()).collect();
    assert!(strengths.iter().filter(|s| s.is_finite()).count() > strengths.len() * 99 / 100);
    let steps = strengths.chunks_exact(32).flat_map(|row| row.windows(2).map(|pair| (pair[1] - pair[0]).powi(2)));
    let steps: Vec<f64> = steps.filter(|v| v.is_finite()).collect();
    let step = (steps.iter().sum::<f64>() / steps.len() as f64).sqrt();
    // n's correlation at a distance of δ cells is e^(−δ²/4); a pixel is a quarter of a cell.
    let expected = 0.25 * (2.0 * (1.0 - (-1.0f64 / 64.0).exp())).sqrt();
    assert!((step / expected - 1.0).abs() < 0.1, "{step} for {expected}");
}

#[test]
fn contrast_makes_quiet_patches_quieter_and_strong_ones_stronger() {
    let mut model = model();
    for (deviation, above) in [(0.002f64, None), (0.02, None), (0.4, Some(1.0))] {
        // What 8 coefficients hold leaves half a grey level of them, the others' deviation is left whole.
        let mut mean_squares = vec![deviation.powi(2); 256];
        mean_squares[..8].fill(1.0);
        let selection = LappedSelection::of_mean_squares(&mean_squares, 8);
        let ln_s = selection.ln_left.iter().map(|&v| f64::from(v)).sum::<f64>() / 256.0;
        model.networks = model.networks.with_lapped_transform(&selection, &FlexDevice);
        let f = Tensor::zeros([1, model.config.latent_dim], &FlexDevice);
        let shown = model.decode(f.clone());
        let mut grain = |contrast| {
            model.sampling.grain_contrast = contrast;
            values(model.decode_with_grain(f.clone(), &[5]) - shown.clone())
        };
        let (plain, contrasted) = (grain(0.0), grain(0.5));
        let expected = (0.5 * above.unwrap_or(ln_s - (2.0f64 / 255.0).ln())).exp();
        // Pixels that are clipped to black or white, or nearly 0, have no ratio.
        let known = plain.iter().zip(&contrasted).filter(|(p, c)| p.abs() > 1e-4 && c.abs() < 0.3);
        let ratios: Vec<f64> = known.map(|(p, c)| f64::from(c / p)).collect();
        assert!(ratios.len() > 100, "{} ratios", ratios.len());
        for ratio in ratios {
            assert!((ratio / expected - 1.0).abs() < 0.02, "{ratio} for {expected} at a deviation of {deviation}");
        }
    }
}

#[test]
fn grain_is_stronger_where_the_mean_image_has_fine_structure() {
    let mut model = model();
    let (height, width) = (model.config.height, model.config.width);
    let mut strengths = |mean: &dyn Fn(usize, usize) -> f64| {
        let image: Vec<f64> = (0..height * width).map(|i| mean(i / width, i % width)).collect();
        let networks = model.networks.clone().with_mean_image(&image, &FlexDevice);
        (model.networks, model.sampling.grain_structure) = (networks, false);
        let f = Tensor::zeros([1, model.config.latent_dim], &FlexDevice);
        let shown = model.decode(f.clone());
        let even = values(model.decode_with_grain(f.clone(), &[5]) - shown.clone());
        model.sampling.grain_structure = true;
        let uneven = values(model.decode_with_grain(f, &[5]) - shown);
        // Noise near 0 has no ratio.
        let ratios = uneven.into_iter().zip(even).map(|(u, e)| if e.abs() < 1e-3 { f32::NAN } else { u / e });
        ratios.collect::<Vec<f32>>()
    };
    let known = |values: &[f32]| values.iter().copied().filter(|v| v.is_finite()).collect::<Vec<f32>>();
    for strength in known(&strengths(&|_, _| 0.5)) {
        assert!((strength - 1.0).abs() < 1e-3, "even in a flat image, not {strength}");
    }
    let edge = strengths(&|_, column| if column < 16 { 0.4 } else { 0.6 });
    let rows = || (0..height).map(|row| &edge[row * width..(row + 1) * width]);
    let at = |columns: std::ops::Range<usize>| {
        let squares: Vec<f32> = rows().flat_map(|row| known(&row[columns.clone()])).map(|v| v * v).collect();
        assert!(squares.len() > 20, "there is grain to compare");
        squares.iter().sum::<f32>() / squares.len() as f32
    };
    let (near, beside, all) = (at(15..17), at(7..10), at(0..width));
    assert!(near > 1.5 && beside < 0.5, "{near} at the edge, {beside} half a patch from it");
    assert!((all - 1.0).abs() < 0.2, "{all} of the power");
}

#[test]
fn grain_starts_as_strong_as_what_a_latent_leaves() {
    let mut mean_squares = vec![0.02f64.powi(2); 256];
    mean_squares[..8].fill(1.0);
    let selection = LappedSelection::of_mean_squares(&mean_squares, 8);
    let model = model();
    let networks = model.networks.clone().with_lapped_transform(&selection, &FlexDevice);
    let model = ready(Vdm::new(model.config, model.sampling, networks)).expect("the CPU can be read");
    let f = Tensor::zeros([64, model.config.latent_dim], &FlexDevice);
    let seeds: Vec<u64> = (0..64).collect();
    let difference = values(model.decode_with_grain(f.clone(), &seeds) - model.decode(f));
    let mean_square = inner(&difference, &difference) / difference.len() as f64;
    let expected = (248.0 * 0.02f64.powi(2) + 8.0 * (0.5f64 / 255.0).powi(2)) / 256.0;
    assert!((mean_square / expected - 1.0).abs() < 0.02, "{mean_square} for {expected}");
}

#[test]
fn the_density_of_grain_is_that_of_the_gaussian_it_says() {
    use burn::backend::Autodiff;
    use vdm::config::{ObjectiveWeights, Stage, TrainingConfig};
    use vdm::model::LatentNoise;
    use vdm::objective::{Batch, losses};

    let model = model();
    let networks = Networks::<Autodiff<Flex>>::new(&model.config, 3, &FlexDevice).expect("valid");
    let encoder = networks.encoder.clone().expect("an encoder");
    let dim = model.config.latent_dim;
    let x: Tensor<Autodiff<Flex>, 2> = Tensor::from_inner(normals(4, [2, 32 * 32])).clamp(0.0, 1.0);
    let (objective, stage) =
        (ObjectiveWeights { grain: 1.0, ..Preset::Sharp.training(None).objective }, Stage::Autoencoder);
    let training = TrainingConfig { objective, stage, ..Preset::Sharp.training(None) };
    let noise =
        LatentNoise { at_zero: Tensor::zeros([2, dim], &FlexDevice), at_t: Tensor::zeros([2, dim], &FlexDevice) };
    let batch = Batch { x: x.clone(), classes: None, times: vec![0.2, 0.7], noise };
    let losses = losses(&networks, &encoder, &model.config, &training, true, batch);
    let found = losses.gradients(&networks, &encoder, &model.config, &training, 1.0).terms.grain;
    let found: Vec<f64> = found.into_data().iter::<f64>().collect();
    let valid = networks.valid();
    let valid = ready(Vdm::new(model.config.clone(), model.sampling, valid)).expect("the CPU can be read");
    let f = valid.encode(x.clone().inner()).expect("an encoder");
    let difference = values(x.inner() - valid.decode(f));
    for (i, found) in found.into_iter().enumerate() {
        let of = &difference[i * 1024..(i + 1) * 1024];
        // An orthonormal transform keeps the sum of squares, and all deviations are e^−4.2.
        let squares = inner(of, of) * (2.0f64 * 4.2).exp();
        let expected = 0.5 * squares + 1024.0 * (-4.2 + 0.5 * (2.0 * std::f64::consts::PI).ln());
        assert!((found - expected).abs() < 1e-4 * expected.abs(), "{found} for {expected}");
    }
}

#[test]
fn an_image_does_not_depend_on_its_batch() {
    let model = model();
    let options = SamplingOptions { sampler: Sampler::default(), steps: 3, condition: Condition::default() };
    let draw = |seeds: &[u64]| {
        let mut trajectory = Trajectory::from_noise(&model, options, seeds, &FlexDevice).expect("valid");
        while trajectory.step(&model).is_some() {}
        values(trajectory.decode(&model))
    };
    let (both, second) = (draw(&[5, 9]), draw(&[9]));
    for (a, b) in both[1024..].iter().zip(&second) {
        assert!((a - b).abs() < 1e-5, "{a} {b}");
    }
    assert_ne!(both[..1024], both[1024..]);
}

#[test]
fn sharp_models_are_as_large_as_they_say() {
    // Two bytes per number: at most 30 MB for sampling, and 10 MB for the encoder.
    for (preset, max) in [(Preset::Sharp, 30_000_000), (Preset::SharpSmall, 20_000_000)] {
        let networks = Networks::<Flex>::new(&preset.model(), 0, &FlexDevice).expect("valid");
        let encoder = networks.encoder.as_ref().map_or(0, |encoder| encoder.num_params());
        assert!(2 * (networks.num_params() - encoder) < max, "{}: {}", preset.name(), networks.num_params());
        assert!(2 * encoder < 10_000_000);
    }
}
