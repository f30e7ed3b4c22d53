//! Where parameters come from: a seed, or a file of weights.
//!
//! Modules ask for each parameter by name and shape. Both sources share one path, so the names in the file and in the
//! model cannot differ, and nothing is allocated before its size has been checked.

use std::collections::BTreeSet;

use burn::module::{Param, ParamId};
use burn::nn::{LayerNorm, LayerNormConfig, Linear};
use burn::tensor::{Tensor, TensorData, backend::Backend};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};

use crate::error::WeightsError;
use crate::rng::{Rng, RngStream};

/// How a parameter starts, before training.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Init {
    Constant(f32),
    Uniform(f32, f32),
    /// Mean 0 and this standard deviation.
    Normal(f32),
}

impl Init {
    fn values(self, count: usize, noise: &mut Rng) -> Vec<f32> {
        match self {
            Init::Constant(value) => vec![value; count],
            Init::Uniform(low, high) => (0..count).map(|_| low + (high - low) * noise.uniform() as f32).collect(),
            Init::Normal(deviation) => (0..count).map(|_| deviation * noise.normal() as f32).collect(),
        }
    }
}

enum Source<'a> {
    Seed(u64),
    File { tensors: &'a SafeTensors<'a>, used: BTreeSet<String> },
}

/// Hands out parameters by name.
pub(crate) struct ParamBuilder<'a, B: Backend> {
    source: Source<'a>,
    device: &'a B::Device,
    path: Vec<String>,
}

impl<'a, B: Backend> ParamBuilder<'a, B> {
    /// Fresh parameters.
    pub(crate) fn from_seed(seed: u64, device: &'a B::Device) -> Self {
        Self { source: Source::Seed(seed), device, path: Vec::new() }
    }

    /// Parameters of a file.
    pub(crate) fn from_file(tensors: &'a SafeTensors<'a>, device: &'a B::Device) -> Self {
        Self { source: Source::File { tensors, used: BTreeSet::new() }, device, path: Vec::new() }
    }

    /// Where they are.
    pub(crate) fn device(&self) -> &'a B::Device {
        self.device
    }

    /// Builds a part under `name`.
    pub(crate) fn scope<T>(
        &mut self,
        name: impl Into<String>,
        build: impl FnOnce(&mut Self) -> Result<T, WeightsError>,
    ) -> Result<T, WeightsError> {
        self.path.push(name.into());
        let built = build(self);
        self.path.pop();
        built
    }

    /// A parameter of this name and shape.
    pub(crate) fn param<const D: usize>(
        &mut self,
        name: &str,
        shape: [usize; D],
        init: Init,
    ) -> Result<Param<Tensor<B, D>>, WeightsError> {
        self.param_with(name, shape, |count, noise| init.values(count, noise))
    }

    /// A parameter of this name and shape that starts with its own values.
    pub(crate) fn param_with<const D: usize>(
        &mut self,
        name: &str,
        shape: [usize; D],
        init: impl FnOnce(usize, &mut Rng) -> Vec<f32>,
    ) -> Result<Param<Tensor<B, D>>, WeightsError> {
        let mut path = self.path.join(".");
        if !path.is_empty() {
            path.push('.');
        }
        path.push_str(name);
        let id = hash(&path);
        let count = shape.iter().product();
        let values = match &mut self.source {
            Source::Seed(seed) => init(count, &mut Rng::new(*seed, RngStream::Weights, id)),
            Source::File { tensors, used } => read_parameter(tensors, used, &path, &shape)?,
        };
        // Ids that follow from the names let an optimizer's state find its parameter again in another process.
        Ok(Param::initialized(ParamId::from(id), parameter(values, shape, self.device)))
    }

    /// A dense layer, x W + b, initialised with variance `gain²` / inputs.
    pub(crate) fn dense(
        &mut self,
        name: &str,
        inputs: usize,
        outputs: usize,
        gain: f32,
    ) -> Result<Linear<B>, WeightsError> {
        let weight = if gain == 0.0 { Init::Constant(0.0) } else { Init::Normal(gain / (inputs as f32).sqrt()) };
        self.scope(name, |p| {
            Ok(Linear {
                weight: p.param("weight", [inputs, outputs], weight)?,
                bias: Some(p.param("bias", [outputs], Init::Constant(0.0))?),
            })
        })
    }

    /// A layer normalisation over the last dimension.
    pub(crate) fn layer_norm(&mut self, name: &str, width: usize) -> Result<LayerNorm<B>, WeightsError> {
        self.scope(name, |p| {
            let mut norm = LayerNormConfig::new(width).init(p.device);
            norm.gamma = p.param("gamma", [width], Init::Constant(1.0))?;
            norm.beta = Some(p.param("beta", [width], Init::Constant(0.0))?);
            Ok(norm)
        })
    }

    /// Fails if the file holds tensors that were not asked for.
    pub(crate) fn finish(self) -> Result<(), WeightsError> {
        if let Source::File { tensors, used } = self.source
            && let Some(name) = tensors.names().into_iter().find(|name| !used.contains(*name))
        {
            return Err(WeightsError::ExtraTensor(name.to_owned()));
        }
        Ok(())
    }
}

/// The tensor of a parameter that is measured rather than trained, from its values row by row.
pub(crate) fn parameter<B: Backend, const D: usize>(
    values: Vec<f32>,
    shape: [usize; D],
    device: &B::Device,
) -> Tensor<B, D> {
    Tensor::from_data(TensorData::new(values, shape), device).require_grad()
}

/// As [`parameter`], of one dimension.
pub(crate) fn vector<B: Backend>(values: &[f64], device: &B::Device) -> Tensor<B, 1> {
    parameter(values.iter().map(|&v| v as f32).collect(), [values.len()], device)
}

/// FNV-1a, 64 bits: pinned, because it is part of the key of the initial weights.
fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// What follows the name of a matrix of bytes in that of its scales, see [`Precision`](crate::weights::Precision).
pub(crate) const SCALE: &str = ".scale";

fn read_parameter(
    file: &SafeTensors<'_>,
    used: &mut BTreeSet<String>,
    name: &str,
    shape: &[usize],
) -> Result<Vec<f32>, WeightsError> {
    used.insert(name.to_owned());
    let tensor = find(file, name)?;
    let (Dtype::I8, &[_, columns]) = (tensor.dtype(), shape) else { return read_tensor(file, name, shape) };
    expect_shape(name, tensor.shape(), shape)?;
    let scale = format!("{name}{SCALE}");
    let scales = read_tensor(file, &scale, &[columns])?;
    used.insert(scale);
    let values = tensor.data().chunks_exact(columns.max(1));
    Ok(values.flat_map(|row| row.iter().zip(&scales).map(|(&byte, scale)| f32::from(byte as i8) * scale)).collect())
}

fn find<'a>(file: &'a SafeTensors<'a>, name: &str) -> Result<TensorView<'a>, WeightsError> {
    file.tensor(name).map_err(|_| WeightsError::MissingTensor(name.to_owned()))
}

fn expect_shape(name: &str, found: &[usize], expected: &[usize]) -> Result<(), WeightsError> {
    if found == expected {
        return Ok(());
    }
    Err(WeightsError::Shape { name: name.to_owned(), found: found.to_vec(), expected: expected.to_vec() })
}

fn read_tensor(file: &SafeTensors<'_>, name: &str, shape: &[usize]) -> Result<Vec<f32>, WeightsError> {
    let tensor = find(file, name)?;
    expect_shape(name, tensor.shape(), shape)?;
    let bytes = tensor.data();
    let values: Vec<f32> = match tensor.dtype() {
        Dtype::F32 => bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect(),
        Dtype::F16 => bytes.chunks_exact(2).map(|b| half::f16::from_le_bytes([b[0], b[1]]).to_f32()).collect(),
        other => return Err(WeightsError::Dtype { name: name.to_owned(), found: format!("{other:?}") }),
    };
    if let Some(index) = values.iter().position(|v| !v.is_finite()) {
        return Err(WeightsError::NotFinite { name: name.to_owned(), index, value: values[index] });
    }
    Ok(values)
}
