use std::collections::HashMap;

use burn::backend::Flex;
use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{Tensor, TensorData, backend::Backend};
use vdm::config::{GAUSSIAN_CHANNELS, ModelConfig, Preset, ResNetConfig, SamplingConfig};
use vdm::diffusion::gaussian::LatentStatistics;
use vdm::model::{Networks, Vdm};
use vdm::nn::patch_grid::Border;
use vdm::rng::{Rng, RngStream};
use vdm::weights::{self, Precision, Provenance};

use super::graph::Graph;
use super::interpreter::{Array, run};
use super::on_patches::OnPatches;
use super::proto::{ElementType, Extent};
use super::*;
use crate::base::files;

/// Draws every parameter from noise: fresh networks have layers of zeros that would hide a mistake.
struct Noise(u64);

impl<B: Backend> ModuleMapper<B> for Noise {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<B, D>>) -> Param<Tensor<B, D>> {
        self.0 += 1;
        let shape: [usize; D] = param.dims();
        let scale = if D == 2 { 1.0 / (shape[0] as f32).sqrt() } else { 0.5 };
        let draws = Rng::new(1, RngStream::Weights, self.0).normals(shape.iter().product());
        let values: Vec<f32> = draws.iter().map(|v| v * scale).collect();
        param.map(|tensor| Tensor::from_data(TensorData::new(values, shape), &tensor.device()))
    }
}

/// A small network on the whole image, with no more than its first and last layers.
fn dense() -> ModelConfig {
    let mut config = Preset::Quick.model();
    (config.height, config.width, config.latent_dim) = (48, 40, 6);
    (config.score_net.embedding_dim, config.score_net.width, config.score_net.layers) = (8, 10, 0);
    for blocks in [&mut config.encoder, &mut config.decoder] {
        (blocks.width, blocks.layers) = (12, 0);
    }
    config
}

/// A small network on patches, with no more than its first and last layers.
fn on_patches() -> ModelConfig {
    let mut config = Preset::Sharp.model();
    // Of smaller patches the grain's finest smoothing is nearly none, and float32 has few digits of what it takes away.
    (config.height, config.width, config.patch, config.latent_dim) = (32, 24, Some(8), 12 * 18);
    for blocks in [&mut config.encoder, &mut config.decoder] {
        *blocks = ResNetConfig { width: 16, layers: 0, heads: 0, ..blocks.clone() };
    }
    let score = &mut config.score_net;
    (score.width, score.layers, score.heads, score.embedding_dim, score.gaussian_rank) = (16, 0, 0, 8, 0);
    score.coarse_layers = 0;
    config.grain = false;
    config
}

fn stacks(config: &mut ModelConfig, change: impl Fn(&mut usize, &mut usize)) {
    for blocks in [&mut config.encoder, &mut config.decoder] {
        change(&mut blocks.layers, &mut blocks.heads);
    }
    change(&mut config.score_net.layers, &mut config.score_net.heads);
}

fn model(config: ModelConfig, sampling: SamplingConfig) -> LoadedModel<Flex> {
    let device = Default::default();
    config.validate().expect("a configuration");
    sampling.validate(&config).expect("options");
    let fresh = Networks::<Flex>::new(&config, 0, &device).expect("builds");
    let schedule = fresh.schedule.clone();
    let networks = Networks { schedule, ..fresh.map(&mut Noise(0)) };
    let networks = match config.grid().filter(|_| config.score_net.gaussian_rank > 0) {
        None => networks,
        Some(grid) => {
            let (dim, rank) = (config.latent_dim, config.score_net.gaussian_rank);
            let coarse = grid.patches() * GAUSSIAN_CHANNELS.min(dim / grid.patches());
            let draw = |index, count| Rng::new(2, RngStream::Weights, index).normals(count);
            let variances = |index, count| draw(index, count).into_iter().map(|v: f32| 0.1 + v * v).collect();
            let statistics = LatentStatistics {
                mean: draw(0, dim),
                components: draw(1, coarse * rank).into_iter().map(|v| v / (coarse as f32).sqrt()).collect(),
                variances: variances(2, rank),
                rest: variances(3, dim),
            };
            networks.with_latent_statistics(statistics, &device)
        }
    };
    let provenance = Provenance { name: "a test".to_owned(), seed: 31, ..Provenance::default() };
    let bytes = weights::save(&networks, &config, &sampling, &provenance, Precision::F32).expect("saves");
    let header = weights::read_header(&bytes).expect("a header");
    let model = files::block_on(Vdm::new(config, sampling, networks)).expect("a model");
    LoadedModel { header, sha256: weights::sha256_hex(&bytes), model }
}

fn file<'a>(exported: &'a [Exported], name: &str) -> &'a [u8] {
    &exported.iter().find(|file| file.name == name).expect("a file").bytes
}

fn array(rows: &[Vec<f32>]) -> Array {
    Array::new(&[rows.len(), rows[0].len()], rows.concat())
}

/// The largest difference over the largest magnitude.
fn difference(found: &Array, expected: &Array) -> f32 {
    assert_eq!(found.shape, expected.shape);
    let largest = |values: &mut dyn Iterator<Item = f32>| values.fold(0.0f32, |a, v| a.max(v.abs()));
    let differences = &mut found.values.iter().zip(&expected.values).map(|(a, b)| a - b);
    largest(differences) / largest(&mut expected.values.iter().copied())
}

/// Compares every network of a model with its graph.
fn compare(config: &ModelConfig, sampling: SamplingConfig, layer: &str) {
    // float32 sums in another order; the logarithm of odds near 0 has fewer digits.
    let rounding = if config.patch.is_some() { 1e-4 } else { 1e-5 };
    let loaded = model(config.clone(), sampling);
    let exported = export(&loaded).expect("exports");
    let reference = reference::of(&loaded.model, &Default::default()).expect("runs");
    let column = |values: Vec<f32>| Array::new(&[values.len()], values);
    let check = |network: &str, found: &Array, expected: &[Vec<f32>], tolerance: f32| {
        let apart = difference(found, &array(expected));
        assert!(apart < tolerance, "{layer}: {network} differs by {apart}");
    };
    let mut inputs = vec![("z", array(&reference.z)), ("gamma", column(reference.gamma.clone()))];
    if let Some(class) = &reference.class {
        assert_eq!(class, &[0, 1, 2, 3], "the last stands for no class");
        inputs.push(("class", column(class.iter().map(|&c| c as f32).collect())));
    }
    let epsilon = run(file(&exported, "score-net.onnx"), &inputs);
    // The sine's argument has a rounding error of up to 6e-5 in float32; ours is computed in float64.
    check("score-net", &epsilon[0], &reference.epsilon, 1e-4);
    let mut inputs = vec![("f", array(&reference.f))];
    inputs.extend(reference.noise.as_ref().map(|noise| ("noise", array(noise))));
    let decoded = run(file(&exported, "decoder.onnx"), &inputs);
    check("decoder's logits", &decoded[0], &reference.logits, rounding);
    check("decoder's mean", &decoded[1], &reference.mean, rounding);
    if let Some(image) = &reference.image {
        check("decoder's image", &decoded[2], image, 1e-4);
    }
    let encoded = run(file(&exported, "encoder.onnx"), &[("x", array(&reference.mean))]);
    check("encoder", &encoded[0], reference.encoded.as_ref().expect("an encoder"), rounding);
}

/// One more kind of layer, and what adds it to a configuration.
type Layer = (&'static str, fn(&mut ModelConfig, &mut SamplingConfig));

/// Adds one kind of layer after another: the first that differs is named.
fn each_layer(mut config: ModelConfig, first: &str, layers: &[Layer]) {
    let mut sampling = SamplingConfig::default();
    compare(&config, sampling, first);
    for (layer, add) in layers {
        add(&mut config, &mut sampling);
        compare(&config, sampling, layer);
    }
}

#[test]
fn each_layer_on_the_whole_image_is_our_own() {
    let layers: [Layer; 3] = [
        ("residual blocks and FiLM", |config, _| stacks(config, |layers, _| *layers = 2)),
        ("layer norm", |config, _| {
            let ModelConfig { encoder, decoder, score_net, .. } = config;
            (encoder.layer_norm, decoder.layer_norm, score_net.layer_norm) = (true, true, true);
        }),
        ("classes", |config, _| config.classes = 3),
    ];
    each_layer(dense(), "dense layers and the embedding of time", &layers);
}

#[test]
fn each_layer_on_patches_is_our_own() {
    let layers: [Layer; 12] = [
        ("shift and perceptron", |config, _| stacks(config, |layers, _| *layers = 2)),
        ("attention", |config, _| stacks(config, |_, heads| *heads = 2)),
        ("classes", |config, _| config.classes = 3),
        ("Gaussian prediction", |config, _| config.score_net.gaussian_rank = 5),
        ("coarse network", |config, _| (config.score_net.coarse_width, config.score_net.coarse_layers) = (12, 2)),
        ("autoguidance", |_, sampling| sampling.autoguidance = 0.25),
        ("autoguidance of the coarse network", |_, sampling| sampling.coarse_autoguidance = 0.5),
        ("autoguidance below a limit", |_, sampling| sampling.corrected_below = Some(2.0)),
        ("grain", |config, _| config.grain = true),
        ("contrast of grain", |_, sampling| sampling.grain_contrast = 0.3),
        ("structure of grain", |_, sampling| sampling.grain_structure = true),
        ("spread of grain", |_, sampling| sampling.grain_spread = 0.2),
    ];
    each_layer(on_patches(), "windows, overlap-add, lapped transform, norm, modulation and position", &layers);
}

/// The steps that cross the grid of patches, each alone.
#[test]
fn windows_overlap_add_and_shift_are_our_own() {
    let grid = on_patches().grid().expect("a grid");
    let (pixels, tokens, features) = (grid.patches() * grid.patch * grid.patch, grid.patches(), 16);
    let draw = |rows: usize, columns: usize| {
        Array::new(&[rows, columns], Rng::new(3, RngStream::Evaluation, columns as u64).normals(rows * columns))
    };
    let (image, windows, rows) = (draw(2, pixels), draw(2 * tokens, grid.window()), draw(2 * tokens, features));
    let tensor = |of: &Array| {
        Tensor::<Flex, 2>::from_data(TensorData::new(of.values.clone(), of.shape.clone()), &Default::default())
    };
    let cases = [
        ("windows", &image, grid.windows(tensor(&image), Border::Wrap)),
        ("overlap_add", &windows, grid.overlap_add(tensor(&windows), Border::Wrap)),
        ("shift", &rows, grid.shift(tensor(&rows))),
    ];
    for (layer, input, expected) in cases {
        let parameters = Default::default();
        let mut graph = Graph::new(layer, &parameters);
        let x = graph.input("x", ElementType::Float, Some(input.shape[1]), "");
        let mut on = OnPatches { graph: &mut graph, grid };
        let y = match layer {
            "windows" => on.windows(&x, "of"),
            "overlap_add" => on.overlap_add(&x, "of"),
            _ => on.shift(&x, features, "of"),
        };
        graph.output(&y.expect("builds"), "y", expected.dims()[1], "");
        let found = run(&onnx(graph.finish(), Vec::new()).encode_to_vec(), &[("x", input.clone())]);
        let expected = Array::new(&expected.dims(), expected.into_data().to_vec().expect("float32"));
        assert!(difference(&found[0], &expected) < 1e-6, "{layer}");
    }
}

#[test]
fn the_files_say_what_they_are() {
    let loaded = model(dense(), SamplingConfig::default());
    let exported = export(&loaded).expect("exports");
    for name in ["decoder.onnx", "score-net.onnx", "encoder.onnx"] {
        let model = ModelProto::decode(file(&exported, name)).expect("a model");
        let metadata: HashMap<_, _> = model.metadata_props.iter().map(|e| (e.key.as_str(), e.value.as_str())).collect();
        assert!(metadata["notice"].starts_with(LABEL));
        assert_eq!((metadata["weights_sha256"], metadata["training_seed"]), (loaded.sha256.as_str(), "31"));
        let graph = model.graph.expect("a graph");
        for value in graph.input.iter().chain(&graph.output) {
            let shape =
                value.kind.clone().and_then(|kind| kind.tensor).and_then(|tensor| tensor.shape).expect("a shape");
            assert_eq!(shape.dim[0].extent, Some(Extent::Named("batch".into())), "{name}: {}", value.name);
        }
    }
    let schedule: serde_json::Value = serde_json::from_slice(file(&exported, "schedule.json")).expect("JSON");
    let gamma = schedule["gamma"].as_array().expect("a table");
    assert_eq!(gamma.len(), TABLE_STEPS + 1);
    // Endpoints of the preset, in float64.
    assert!((gamma[0].as_f64().expect("γ") + 5.0).abs() < 1e-12);
    assert!((gamma[TABLE_STEPS].as_f64().expect("γ") - 5.0).abs() < 1e-12);
    let sampling = &loaded.header.sampling;
    assert_eq!(schedule["gamma_offset"], sampling.gamma_offset);
    assert_eq!(schedule["corrected_below"], serde_json::json!(sampling.corrected_below));
    assert_eq!(schedule["weights_sha256"], loaded.sha256.as_str());
}

#[test]
fn without_an_encoder_there_is_none() {
    let mut loaded = model(dense(), SamplingConfig::default());
    loaded.model.networks.encoder = None;
    let names: Vec<_> = export(&loaded).expect("exports").iter().map(|file| file.name).collect();
    assert_eq!(names, ["decoder.onnx", "score-net.onnx", "schedule.json"]);
}
