//! What the networks are built of: dense layers, their modulation, and the paper's residual blocks of two of them.

use burn::module::Module;
use burn::nn::{LayerNorm, Linear};
use burn::tensor::activation::silu;
use burn::tensor::{FloatDType, Tensor, TensorData, backend::Backend};

use crate::config::{ComputePrecision, ResNetConfig};
use crate::error::WeightsError;
use crate::math;
use crate::params::ParamBuilder;

/// Feature-wise linear modulation, h (1 + scale) + shift, elementwise (Perez et al. 2018).
pub fn film<B: Backend, const D: usize>(h: Tensor<B, D>, scale: Tensor<B, D>, shift: Tensor<B, D>) -> Tensor<B, D> {
    h * (scale + 1.0) + shift
}

/// Sinusoidal embedding of times τ `[B]` to `[B, dim]`, differentiable: see [`math::time_embedding`].
pub fn time_embedding<B: Backend>(tau: Tensor<B, 1>, dim: usize) -> Tensor<B, 2> {
    let frequencies: Vec<f32> = math::embedding_frequencies(dim).map(|w| (1000.0 * w) as f32).collect();
    let half = frequencies.len();
    let frequencies = Tensor::<B, 2>::from_data(TensorData::new(frequencies, [1, half]), &tau.device());
    let arguments = tau.unsqueeze_dim::<2>(1) * frequencies; // [B, dim/2]
    Tensor::cat(vec![arguments.clone().sin(), arguments.cos()], 1)
}

/// x W + b, the product in another precision where one is asked for. Its result, the bias and the weights themselves
/// stay float32, and so do the gradients.
pub(crate) fn dense<B: Backend>(layer: &Linear<B>, x: Tensor<B, 2>, compute: ComputePrecision) -> Tensor<B, 2> {
    let half = match compute {
        ComputePrecision::F32 => return layer.forward(x),
        ComputePrecision::Bf16 => FloatDType::BF16,
        ComputePrecision::F16 => FloatDType::F16,
    };
    let y = x.cast(half).matmul(layer.weight.val().cast(half)).cast(FloatDType::F32);
    match &layer.bias {
        Some(bias) => y + bias.val().unsqueeze(),
        None => y,
    }
}

/// h + dense₂(swish(film(dense₁(swish(norm(h)))))), with the norm and the modulation where configured.
#[derive(Module, Debug)]
pub struct ResidualBlock<B: Backend> {
    norm: Option<LayerNorm<B>>,
    dense_1: Linear<B>,
    film: Option<Linear<B>>,
    dense_2: Linear<B>,
}

impl<B: Backend> ResidualBlock<B> {
    fn build(
        config: &ResNetConfig,
        condition: Option<usize>,
        p: &mut ParamBuilder<'_, B>,
    ) -> Result<Self, WeightsError> {
        let width = config.width;
        Ok(Self {
            norm: config.layer_norm.then(|| p.layer_norm("norm", width)).transpose()?,
            dense_1: p.dense("dense_1", width, width, 1.0)?,
            // Zero: modulation and block start as the identity.
            film: condition.map(|features| p.dense("film", features, 2 * width, 0.0)).transpose()?,
            dense_2: p.dense("dense_2", width, width, 0.0)?,
        })
    }

    fn forward(&self, x: Tensor<B, 2>, condition: Option<&Tensor<B, 2>>, compute: ComputePrecision) -> Tensor<B, 2> {
        let h = match &self.norm {
            Some(norm) => norm.forward(x.clone()),
            None => x.clone(),
        };
        let mut h = dense(&self.dense_1, silu(h), compute);
        if let (Some(layer), Some(condition)) = (&self.film, condition) {
            let [_, width] = h.dims();
            let modulation = dense(layer, condition.clone(), compute); // [B, 2 width]
            let scale = modulation.clone().narrow(1, 0, width);
            h = film(h, scale, modulation.narrow(1, width, width));
        }
        x + dense(&self.dense_2, silu(h), compute)
    }
}

/// dense → residual blocks → dense.
#[derive(Module, Debug)]
pub struct ResNet<B: Backend> {
    input: Linear<B>,
    blocks: Vec<ResidualBlock<B>>,
    /// The last layer.
    pub(crate) output: Linear<B>,
    /// Precision of the matrix products.
    #[module(skip)]
    pub(crate) compute: ComputePrecision,
}

/// Gains of the initial weights of the first and the last layer.
#[derive(Clone, Copy)]
pub(crate) struct Gains {
    pub(crate) input: f32,
    pub(crate) output: f32,
}

impl<B: Backend> ResNet<B> {
    pub(crate) fn build(
        config: &ResNetConfig,
        [inputs, outputs]: [usize; 2],
        condition: Option<usize>,
        gains: Gains,
        p: &mut ParamBuilder<'_, B>,
    ) -> Result<Self, WeightsError> {
        Ok(Self {
            input: p.dense("input", inputs, config.width, gains.input)?,
            blocks: p.scope("blocks", |p| {
                (0..config.layers)
                    .map(|i| p.scope(i.to_string(), |p| ResidualBlock::build(config, condition, p)))
                    .collect()
            })?,
            output: p.dense("output", config.width, outputs, gains.output)?,
            compute: ComputePrecision::F32,
        })
    }

    pub(crate) fn forward(&self, x: Tensor<B, 2>, condition: Option<&Tensor<B, 2>>) -> Tensor<B, 2> {
        let mut h = dense(&self.input, x, self.compute);
        for block in &self.blocks {
            h = block.forward(h, condition, self.compute);
        }
        dense(&self.output, h, self.compute)
    }
}
