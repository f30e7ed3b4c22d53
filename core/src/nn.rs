//! The networks: encoder, decoder and ScoreNet, built of residual blocks of two dense layers.

use burn::module::{Module, Param};
use burn::nn::{LayerNorm, Linear};
use burn::tensor::{FloatDType, Int, Tensor, TensorData, activation::silu, backend::Backend};

use crate::config::{ComputePrecision, ModelConfig, ResNetConfig};
use crate::error::WeightsError;
use crate::math;
use crate::params::{Init, ParamBuilder};

/// Feature-wise linear modulation, h (1 + scale) + shift, elementwise on `[B, F]` (Perez et al. 2018).
pub fn film<B: Backend>(h: Tensor<B, 2>, scale: Tensor<B, 2>, shift: Tensor<B, 2>) -> Tensor<B, 2> {
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
fn dense<B: Backend>(layer: &Linear<B>, x: Tensor<B, 2>, compute: ComputePrecision) -> Tensor<B, 2> {
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
struct Gains {
    input: f32,
    output: f32,
}

impl<B: Backend> ResNet<B> {
    fn build(
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

    fn forward(&self, x: Tensor<B, 2>, condition: Option<&Tensor<B, 2>>) -> Tensor<B, 2> {
        let mut h = dense(&self.input, x, self.compute);
        for block in &self.blocks {
            h = block.forward(h, condition, self.compute);
        }
        dense(&self.output, h, self.compute)
    }
}

/// Images to latents.
#[derive(Module, Debug)]
pub struct Encoder<B: Backend> {
    /// The mean training image, which the input is measured from; it is not trained.
    pub(crate) mean: Param<Tensor<B, 1>>,
    pub(crate) net: ResNet<B>,
    #[module(skip)]
    input_scale: f64,
}

/// Inputs are scaled by this over their number. An optimizer of Adam's kind moves each weight equally, so that the sum
/// over all pixels would otherwise move faster the larger the image is.
const ENCODER_INPUT_SCALE: f64 = 1280.0;

impl<B: Backend> Encoder<B> {
    pub(crate) fn build(config: &ModelConfig, p: &mut ParamBuilder<'_, B>) -> Result<Self, WeightsError> {
        let pixels = config.pixels();
        let input_scale = (ENCODER_INPUT_SCALE / pixels as f64).min(1.0);
        Ok(Self {
            mean: p.param("mean", [pixels], Init::Constant(0.5))?,
            net: p.scope("net", |p| {
                let gains = Gains { input: (1.0 / input_scale) as f32, output: 1.0 };
                ResNet::build(&config.encoder, [pixels, config.latent_dim], None, gains, p)
            })?,
            input_scale,
        })
    }

    /// x `[B, H·W]` in [0, 1] → f `[B, latent_dim]`.
    pub fn forward(&self, x: Tensor<B, 2>) -> Tensor<B, 2> {
        let centred = x - self.mean.val().detach().unsqueeze::<2>();
        self.net.forward(centred * self.input_scale, None)
    }
}

/// Latents to the logits of an independent Bernoulli a pixel.
#[derive(Module, Debug)]
pub struct Decoder<B: Backend> {
    pub(crate) net: ResNet<B>,
}

impl<B: Backend> Decoder<B> {
    pub(crate) fn build(config: &ModelConfig, p: &mut ParamBuilder<'_, B>) -> Result<Self, WeightsError> {
        let sizes = [config.latent_dim, config.pixels()];
        Ok(Self {
            net: p
                .scope("net", |p| ResNet::build(&config.decoder, sizes, None, Gains { input: 1.0, output: 0.1 }, p))?,
        })
    }

    /// f `[B, latent_dim]` → logits `[B, H·W]`.
    pub fn forward(&self, f: Tensor<B, 2>) -> Tensor<B, 2> {
        self.net.forward(f, None)
    }
}

/// Predicts the noise ε in z_t.
#[derive(Module, Debug)]
pub struct ScoreNet<B: Backend> {
    /// One row a class, and a last one for "no class"; absent in an unconditional model.
    class_embedding: Option<Param<Tensor<B, 2>>>,
    condition_1: Linear<B>,
    condition_2: Linear<B>,
    condition_3: Linear<B>,
    pub(crate) net: ResNet<B>,
}

impl<B: Backend> ScoreNet<B> {
    pub(crate) fn build(config: &ModelConfig, p: &mut ParamBuilder<'_, B>) -> Result<Self, WeightsError> {
        let score = &config.score_net;
        let dim = score.embedding_dim;
        let inputs = if config.classes > 0 { 2 * dim } else { dim };
        let sizes = [config.latent_dim, config.latent_dim];
        Ok(Self {
            class_embedding: (config.classes > 0)
                .then(|| p.param("class_embedding", [config.classes + 1, dim], Init::Normal(1.0)))
                .transpose()?,
            condition_1: p.dense("condition_1", inputs, dim, 1.0)?,
            condition_2: p.dense("condition_2", dim, dim, 1.0)?,
            condition_3: p.dense("condition_3", dim, dim, 1.0)?,
            net: p.scope("net", |p| {
                ResNet::build(&score.blocks(), sizes, Some(dim), Gains { input: 1.0, output: 0.0 }, p)
            })?,
        })
    }

    /// Labels a model was built for.
    pub fn classes(&self) -> usize {
        self.class_embedding.as_ref().map_or(0, |e| e.dims()[0] - 1)
    }

    /// z `[B, latent_dim]`, embedded times `[B or 1, embedding_dim]` → ε̂ `[B, latent_dim]`.
    ///
    /// `classes` `[B]` holds labels, [`classes`](Self::classes) itself standing for "no class"; it is ignored by an
    /// unconditional model.
    pub fn forward(
        &self,
        z: Tensor<B, 2>,
        embedded_time: Tensor<B, 2>,
        classes: Option<Tensor<B, 1, Int>>,
    ) -> Tensor<B, 2> {
        let [batch, _] = z.dims();
        let time = embedded_time;
        let input = match &self.class_embedding {
            None => time,
            Some(table) => {
                let [times, dim] = time.dims();
                let time = if times == batch { time } else { time.expand([batch, dim]) };
                let device = z.device();
                let labels = classes.unwrap_or_else(|| Tensor::full([batch], self.classes() as i64, &device));
                Tensor::cat(vec![time, table.val().select(0, labels)], 1)
            }
        };
        let h = silu(self.condition_1.forward(input));
        let h = silu(self.condition_2.forward(h));
        let condition = self.condition_3.forward(h); // [B or 1, embedding_dim]
        z.clone() + self.net.forward(z, Some(&condition))
    }
}
