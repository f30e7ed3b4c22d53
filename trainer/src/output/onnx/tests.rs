use std::collections::HashMap;

use burn::backend::Flex;
use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{Tensor, TensorData, backend::Backend};
use vdm::config::{ModelConfig, Preset, SamplingConfig};
use vdm::model::{Networks, Vdm};
use vdm::rng::{Rng, RngStream};
use vdm::weights::{self, Precision, Provenance};

use super::proto::{ElementType, Extent};
use super::*;
use crate::base::files;

/// A matrix; scalars and rows are matrices of one row.
#[derive(Clone)]
struct Matrix {
    rows: usize,
    columns: usize,
    values: Vec<f32>,
}

impl Matrix {
    fn new(rows: &[Vec<f32>]) -> Self {
        Self { rows: rows.len(), columns: rows[0].len(), values: rows.concat() }
    }

    fn map(&self, f: impl Fn(f32) -> f32) -> Self {
        Self { values: self.values.iter().map(|&v| f(v)).collect(), ..self.clone() }
    }

    fn at(&self, row: usize, column: usize) -> f32 {
        self.values[row % self.rows * self.columns + column % self.columns]
    }

    fn fill(rows: usize, columns: usize, f: impl Fn(usize, usize) -> f32) -> Self {
        let values = (0..rows * columns).map(|i| f(i / columns, i % columns)).collect();
        Self { rows, columns, values }
    }

    fn zip(&self, other: &Self, f: impl Fn(f32, f32) -> f32) -> Self {
        let (rows, columns) = (self.rows.max(other.rows), self.columns.max(other.columns));
        Self::fill(rows, columns, |row, column| f(self.at(row, column), other.at(row, column)))
    }
}

/// Runs a file as the operators' definitions say, and gives its outputs in order.
fn run(bytes: &[u8], inputs: &[(&str, Matrix)]) -> Vec<Matrix> {
    let model = ModelProto::decode(bytes).expect("a model");
    let graph = model.graph.expect("a graph");
    let mut values: HashMap<String, Matrix> =
        inputs.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    assert_eq!(
        graph.input.iter().map(|i| i.name.as_str()).collect::<Vec<_>>(),
        inputs.iter().map(|i| i.0).collect::<Vec<_>>()
    );
    for tensor in graph.initializer.iter().filter(|tensor| tensor.data_type == ElementType::Float as i32) {
        let columns = tensor.dims.last().map_or(1, |&dim| dim as usize);
        let numbers: Vec<f32> =
            tensor.raw_data.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().expect("4 bytes"))).collect();
        let matrix = Matrix { rows: numbers.len() / columns, columns, values: numbers };
        assert!(values.insert(tensor.name.clone(), matrix).is_none(), "{} is there twice", tensor.name);
    }
    for node in &graph.node {
        let input = |i: usize| values.get(&node.input[i]).unwrap_or_else(|| panic!("{} comes too early", node.name));
        let x = input(0);
        let outputs = match node.op_type.as_str() {
            "Identity" | "Unsqueeze" => vec![x.clone()],
            "Sigmoid" => vec![x.map(|v| 1.0 / (1.0 + (-v).exp()))],
            "Sin" => vec![x.map(f32::sin)],
            "Cos" => vec![x.map(f32::cos)],
            "Add" => vec![x.zip(input(1), |a, b| a + b)],
            "Sub" => vec![x.zip(input(1), |a, b| a - b)],
            "Mul" => vec![x.zip(input(1), |a, b| a * b)],
            "Div" => vec![x.zip(input(1), |a, b| a / b)],
            "Gemm" => {
                let (w, b) = (input(1), input(2));
                assert_eq!(x.columns, w.rows, "{}", node.name);
                vec![Matrix::fill(x.rows, w.columns, |row, column| {
                    b.at(0, column) + (0..w.rows).map(|k| x.at(row, k) * w.at(k, column)).sum::<f32>()
                })]
            }
            "Gather" => {
                let numbers = input(1);
                vec![Matrix::fill(numbers.rows, x.columns, |row, column| x.at(numbers.at(row, 0) as usize, column))]
            }
            "Concat" => {
                let right = input(1);
                let columns = x.columns + right.columns;
                vec![Matrix::fill(x.rows, columns, |row, column| {
                    if column < x.columns { x.at(row, column) } else { right.at(row, column - x.columns) }
                })]
            }
            "Split" => {
                let half = x.columns / 2;
                [0, half].map(|from| Matrix::fill(x.rows, half, |row, column| x.at(row, from + column))).to_vec()
            }
            "LayerNormalization" => {
                let epsilon = node.attribute.iter().find_map(|a| a.f).expect("an epsilon");
                let (gamma, beta) = (input(1), input(2));
                let n = x.columns as f32;
                vec![Matrix::fill(x.rows, x.columns, |row, column| {
                    let mean = (0..x.columns).map(|i| x.at(row, i)).sum::<f32>() / n;
                    let variance = (0..x.columns).map(|i| (x.at(row, i) - mean).powi(2)).sum::<f32>() / n;
                    (x.at(row, column) - mean) / (variance + epsilon).sqrt() * gamma.at(0, column) + beta.at(0, column)
                })]
            }
            other => panic!("{other} is not known here"),
        };
        assert_eq!(outputs.len(), node.output.len(), "{}", node.name);
        values.extend(node.output.iter().cloned().zip(outputs));
    }
    graph.output.iter().map(|output| values[&output.name].clone()).collect()
}

/// Every parameter from noise: fresh networks have layers of zeros that would hide a mistake.
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

fn config(classes: usize, layer_norm: bool) -> ModelConfig {
    let mut config = Preset::Quick.model();
    (config.height, config.width, config.latent_dim, config.classes) = (48, 40, 6, classes);
    config.score_net.embedding_dim = 8;
    config.score_net.width = 10;
    for width in [&mut config.encoder.width, &mut config.decoder.width] {
        *width = 12;
    }
    for norm in [&mut config.encoder.layer_norm, &mut config.decoder.layer_norm, &mut config.score_net.layer_norm] {
        *norm = layer_norm;
    }
    config
}

fn model(classes: usize, layer_norm: bool) -> LoadedModel<Flex> {
    let device = Default::default();
    let config = config(classes, layer_norm);
    let fresh = Networks::<Flex>::new(&config, 0, &device).expect("builds");
    let schedule = fresh.schedule.clone();
    let networks = Networks { schedule, ..fresh.map(&mut Noise(0)) };
    let provenance = Provenance { name: "a test".to_owned(), seed: 31, ..Provenance::default() };
    let bytes =
        weights::save(&networks, &config, &SamplingConfig::default(), &provenance, Precision::F32).expect("saves");
    let header = weights::read_header(&bytes).expect("a header");
    let model = files::block_on(Vdm::new(config, header.sampling, networks)).expect("a model");
    LoadedModel { header, sha256: weights::sha256_hex(&bytes), model }
}

fn file<'a>(exported: &'a [Exported], name: &str) -> &'a [u8] {
    &exported.iter().find(|file| file.name == name).expect("a file").bytes
}

/// The largest difference over the largest magnitude.
fn difference(found: &Matrix, expected: &[Vec<f32>]) -> f32 {
    let expected = Matrix::new(expected);
    assert_eq!((found.rows, found.columns), (expected.rows, expected.columns));
    let largest = |values: &mut dyn Iterator<Item = f32>| values.fold(0.0f32, |a, v| a.max(v.abs()));
    let differences = &mut found.values.iter().zip(&expected.values).map(|(a, b)| a - b);
    largest(differences) / largest(&mut expected.values.iter().copied())
}

#[test]
fn the_graphs_compute_what_our_networks_compute() {
    for (classes, layer_norm) in [(0, false), (3, true)] {
        let loaded = model(classes, layer_norm);
        let exported = export(&loaded).expect("exports");
        let reference = reference::of(&loaded.model, &Default::default()).expect("runs");
        let column = |values: Vec<f32>| Matrix { rows: values.len(), columns: 1, values };
        let mut inputs = vec![("z", Matrix::new(&reference.z)), ("gamma", column(reference.gamma.clone()))];
        if let Some(class) = &reference.class {
            assert_eq!(class, &[0, 1, 2, 3], "the last stands for no class");
            inputs.push(("class", column(class.iter().map(|&c| c as f32).collect())));
        }
        let epsilon = run(file(&exported, "score-net.onnx"), &inputs);
        // The sine's argument has a rounding error of up to 6e-5 in float32; ours is computed in float64.
        assert!(difference(&epsilon[0], &reference.epsilon) < 1e-4, "{}", difference(&epsilon[0], &reference.epsilon));
        // float32 sums in another order.
        let decoded = run(file(&exported, "decoder.onnx"), &[("f", Matrix::new(&reference.f))]);
        assert!(difference(&decoded[0], &reference.logits) < 1e-5);
        assert!(difference(&decoded[1], &reference.mean) < 1e-5);
        let encoded = run(file(&exported, "encoder.onnx"), &[("x", Matrix::new(&reference.mean))]);
        assert!(difference(&encoded[0], reference.encoded.as_ref().expect("an encoder")) < 1e-5);
    }
}

#[test]
fn the_files_say_what_they_are() {
    let loaded = model(0, false);
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
    let mut loaded = model(0, false);
    loaded.model.networks.encoder = None;
    let names: Vec<_> = export(&loaded).expect("exports").iter().map(|file| file.name).collect();
    assert_eq!(names, ["decoder.onnx", "score-net.onnx", "schedule.json"]);
}
