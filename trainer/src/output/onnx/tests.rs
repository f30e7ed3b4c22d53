use std::collections::HashMap;

use burn::backend::Flex;
use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{Tensor, TensorData, backend::Backend};
use vdm::config::{ModelConfig, PatchGrid, Preset, SamplingConfig};
use vdm::model::{Networks, Vdm};
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

/// A small model with a latent, with no more than its first and last layers.
fn dense() -> ModelConfig {
    let mut config = Preset::Quick.model();
    (config.height, config.width) = (48, 40);
    let latent = config.latent.as_mut().expect("a latent");
    latent.dim = 6;
    (latent.score_net.embedding_dim, latent.score_net.width, latent.score_net.layers) = (8, 10, 0);
    for blocks in [&mut latent.encoder, &mut latent.decoder] {
        (blocks.width, blocks.layers) = (12, 0);
    }
    config
}

/// A small model of bands, with no more than its first and last layers.
fn bands() -> ModelConfig {
    let mut config = ModelConfig { height: 64, width: 96, ..Preset::Sharp.model() };
    each_band(&mut config, |band| (band.embedding_dim, band.width, band.layers, band.heads) = (8, 16, 0, 0));
    config
}

fn each_band(config: &mut ModelConfig, mut change: impl FnMut(&mut vdm::config::BandConfig)) {
    let bands = config.bands.as_mut().expect("bands");
    change(&mut bands.coarse);
    change(&mut bands.fine);
}

fn model(config: ModelConfig) -> LoadedModel<Flex> {
    let device = Default::default();
    let sampling = SamplingConfig::default();
    config.validate().expect("a configuration");
    let fresh = Networks::<Flex>::new(&config, 0, &device).expect("builds");
    let (schedule, fine) = (fresh.schedule.clone(), fresh.fine.clone().map(|fine| fine.schedule));
    let mut networks = Networks { schedule, ..fresh.map(&mut Noise(0)) };
    if let (Some(band), Some(schedule)) = (&mut networks.fine, fine) {
        band.schedule = schedule;
    }
    let provenance = Provenance { name: "a test".to_owned(), seed: 31, ..Provenance::default() };
    let bytes = weights::save(&networks, &config, &sampling, &provenance, Precision::F32).expect("saves");
    let header = weights::read_header(&bytes).expect("a header");
    // Encoder and decoder of bands share what they read.
    let networks = match &config.latent {
        Some(_) => networks,
        None => weights::load(&bytes, &device).expect("our own file").1,
    };
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
fn compare(config: &ModelConfig, layer: &str) {
    let loaded = model(config.clone());
    let exported = export(&loaded).expect("exports");
    let reference = reference::of(&loaded.model, &Default::default()).expect("runs");
    let column = |values: Vec<f32>| Array::new(&[values.len()], values);
    let check = |network: &str, found: &Array, expected: &[Vec<f32>], tolerance: f32| {
        let apart = difference(found, &array(expected));
        assert!(apart < tolerance, "{layer}: {network} differs by {apart}");
    };
    for (band, name) in reference.bands.iter().zip(["score-net.onnx", "score-net-fine.onnx"]) {
        let mut inputs = vec![("z", array(&band.z)), ("gamma", column(band.gamma.clone()))];
        if let Some(coarse) = &band.coarse {
            let gamma = loaded.model.sampling.context_gamma as f32;
            inputs.extend([("coarse", array(coarse)), ("coarse_gamma", column(vec![gamma; coarse.len()]))]);
        }
        if let Some(class) = &reference.class {
            assert_eq!(class, &[0, 1, 2, 3], "the last stands for no class");
            inputs.push(("class", column(class.iter().map(|&c| c as f32).collect())));
        }
        let epsilon = run(file(&exported, name), &inputs);
        // The sine's argument has a rounding error of up to 6e-5 in float32; ours is computed in float64.
        check(name, &epsilon[0], &band.epsilon, 1e-4);
    }
    // float32 sums in another order.
    let decoded = run(file(&exported, "decoder.onnx"), &[("f", array(&reference.f))]);
    check("decoder", decoded.last().expect("an output"), &reference.mean, 1e-5);
    let encoded = run(file(&exported, "encoder.onnx"), &[("x", array(&reference.mean))]);
    check("encoder", &encoded[0], reference.encoded.as_ref().expect("an encoder"), 1e-5);
}

/// One more kind of layer, and what adds it to a configuration.
type Layer = (&'static str, fn(&mut ModelConfig));

/// Adds one kind of layer after another: the first that differs is named.
fn each_layer(mut config: ModelConfig, first: &str, layers: &[Layer]) {
    compare(&config, first);
    for (layer, add) in layers {
        add(&mut config);
        compare(&config, layer);
    }
}

#[test]
fn each_layer_of_a_latent_is_our_own() {
    let layers: [Layer; 3] = [
        ("residual blocks and FiLM", |config| {
            let latent = config.latent.as_mut().expect("a latent");
            (latent.encoder.layers, latent.decoder.layers, latent.score_net.layers) = (2, 2, 2);
        }),
        ("layer norm", |config| {
            let latent = config.latent.as_mut().expect("a latent");
            (latent.encoder.layer_norm, latent.decoder.layer_norm, latent.score_net.layer_norm) = (true, true, true);
        }),
        ("classes", |config| config.attributes = vec![3]),
    ];
    each_layer(dense(), "dense layers and the embedding of time", &layers);
}

#[test]
fn each_layer_of_bands_is_our_own() {
    let layers: [Layer; 3] = [
        ("shift and perceptron", |config| each_band(config, |band| band.layers = 2)),
        ("attention", |config| each_band(config, |band| band.heads = 2)),
        ("classes", |config| config.attributes = vec![3]),
    ];
    each_layer(bands(), "transform, norm, modulation, context and position", &layers);
}

/// The step that crosses the grid of patches, alone.
#[test]
fn shift_is_our_own() {
    let (grid, features) = (PatchGrid { rows: 4, columns: 3 }, 16);
    let rows = 2 * grid.patches();
    let values = Rng::new(3, RngStream::Evaluation, 0).normals(rows * features);
    let tokens = Tensor::<Flex, 2>::from_data(TensorData::new(values.clone(), [rows, features]), &Default::default());
    let expected = grid.shift(tokens);
    let parameters = Default::default();
    let mut graph = Graph::new("shift", &parameters);
    let x = graph.input("x", ElementType::Float, Some(features), "");
    let mut on = OnPatches { graph: &mut graph, grid };
    let y = on.shift(&x, features, "of").expect("builds");
    graph.output(&y, "y", features, "");
    let input = Array::new(&[rows, features], values);
    let found = run(&onnx(graph.finish(), Vec::new()).encode_to_vec(), &[("x", input)]);
    let expected = Array::new(&expected.dims(), expected.into_data().to_vec().expect("float32"));
    assert!(difference(&found[0], &expected) < 1e-6);
}

#[test]
fn the_files_say_what_they_are() {
    let loaded = model(dense());
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
    let gamma = schedule["bands"][0]["gamma"].as_array().expect("a table");
    assert_eq!(gamma.len(), TABLE_STEPS + 1);
    // Endpoints of the preset, in float64.
    assert!((gamma[0].as_f64().expect("γ") + 5.0).abs() < 1e-12);
    assert!((gamma[TABLE_STEPS].as_f64().expect("γ") - 5.0).abs() < 1e-12);
    assert_eq!(schedule["context_gamma"], loaded.header.sampling.context_gamma);
    assert_eq!(schedule["weights_sha256"], loaded.sha256.as_str());
}

#[test]
fn without_an_encoder_there_is_none() {
    let mut loaded = model(dense());
    loaded.model.networks.encoder = None;
    let names: Vec<_> = export(&loaded).expect("exports").iter().map(|file| file.name).collect();
    assert_eq!(names, ["decoder.onnx", "score-net.onnx", "schedule.json"]);
}
