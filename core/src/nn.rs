//! The networks: encoder, decoder and ScoreNet, built of residual blocks of two dense layers.

use burn::module::{Module, Param};
use burn::nn::{LayerNorm, Linear};
use burn::tensor::activation::{relu, sigmoid, silu};
use burn::tensor::{FloatDType, Int, Tensor, TensorData, backend::Backend};

use crate::config::{ComputePrecision, ModelConfig, ResNetConfig};
use crate::error::WeightsError;
use crate::gaussian::GaussianNoise;
use crate::grain::LN_DEVIATION;
use crate::lapped::{self, LappedSelection};
use crate::math;
use crate::params::{Init, ParamBuilder};
use crate::token_net::TokenNet;
use crate::tokens::{Border, Grid};

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

/// Residual blocks on the whole vector, or on each patch.
#[derive(Module, Debug)]
#[expect(clippy::large_enum_variant, reason = "a model has three of them")]
pub enum Body<B: Backend> {
    /// On the whole vector.
    Dense(ResNet<B>),
    /// On each patch.
    Tokens(TokenNet<B>),
}

impl<B: Backend> Body<B> {
    pub(crate) fn set_compute(&mut self, compute: ComputePrecision) {
        match self {
            Body::Dense(net) => net.compute = compute,
            Body::Tokens(net) => net.compute = compute,
        }
    }
}

/// Images to latents.
#[derive(Module, Debug)]
pub struct Encoder<B: Backend> {
    /// The mean training image, which the input is measured from; it is not trained.
    pub(crate) mean: Param<Tensor<B, 1>>,
    pub(crate) net: Body<B>,
    /// With patches, the lapped transform that the network adds to, `[window, channels]`; it is not trained.
    pub(crate) transform: Option<Param<Tensor<B, 2>>>,
    #[module(skip)]
    input_scale: f64,
    #[module(skip)]
    grid: Option<Grid>,
}

/// Inputs are scaled by this over their number. An optimizer of Adam's kind moves each weight equally, so that the sum
/// over all pixels would otherwise move faster the larger the image is.
const ENCODER_INPUT_SCALE: f64 = 1280.0;
/// The same for the pixels of a window, which deviate from the mean image by about a fifth.
const WINDOW_SCALE: f64 = 5.0;
/// What the output of encoder and decoder counts beside the lapped transform, in latent numbers and in grey values. It is
/// small because an optimizer of Adam's kind would shake the image by more than what is left to learn.
const ENCODER_RESIDUAL: f64 = 0.1;
const DECODER_RESIDUAL: f64 = 0.02;

/// The lapped transform to latents, `[window, channels]`, and back, `[channels, window]`, as values row by row.
pub(crate) fn transforms(grid: Grid, channels: usize, selection: &LappedSelection) -> [Vec<f32>; 2] {
    let LappedSelection { coefficients, scales } = selection;
    let (kept, window) = (coefficients.len(), grid.window());
    let columns = lapped::columns(grid.patch, coefficients);
    let (mut to, mut back) = (vec![0.0; window * channels], vec![0.0; window * channels]);
    for place in 0..window {
        for k in 0..kept.min(channels) {
            to[place * channels + k] = columns[place * kept + k] * scales[k];
            back[k * window + place] = columns[place * kept + k] / scales[k];
        }
    }
    [to, back]
}

/// The transforms of a model that was told no data: the lowest frequencies, as they are.
fn first_transforms(grid: Grid, channels: usize) -> [Vec<f32>; 2] {
    let coefficients = lapped::lowest(grid.patch, channels);
    let scales = vec![1.0; coefficients.len()];
    transforms(grid, channels, &LappedSelection { coefficients, scales })
}

impl<B: Backend> Encoder<B> {
    pub(crate) fn build(config: &ModelConfig, p: &mut ParamBuilder<'_, B>) -> Result<Self, WeightsError> {
        let pixels = config.pixels();
        let grid = config.grid();
        let input_scale = match grid {
            None => (ENCODER_INPUT_SCALE / pixels as f64).min(1.0),
            Some(_) => WINDOW_SCALE,
        };
        Ok(Self {
            mean: p.param("mean", [pixels], Init::Constant(0.5))?,
            net: p.scope("net", |p| match grid {
                None => {
                    let gains = Gains { input: (1.0 / input_scale) as f32, output: 1.0 };
                    ResNet::build(&config.encoder, [pixels, config.latent_dim], None, gains, p).map(Body::Dense)
                }
                Some(grid) => {
                    let sizes = [grid.window(), config.latent_dim / grid.tokens()];
                    TokenNet::build(&config.encoder, sizes, None, grid, 0.0, p).map(Body::Tokens)
                }
            })?,
            transform: grid
                .map(|grid| {
                    let channels = config.latent_dim / grid.tokens();
                    let [to, _] = first_transforms(grid, channels);
                    p.param_with("transform", [grid.window(), channels], |_, _| to)
                })
                .transpose()?,
            input_scale,
            grid,
        })
    }

    /// x `[B, H·W]` in [0, 1] → f `[B, latent_dim]`.
    pub fn forward(&self, x: Tensor<B, 2>) -> Tensor<B, 2> {
        let centred = (x - self.mean.val().detach().unsqueeze::<2>()) * self.input_scale;
        match (&self.net, self.grid) {
            (Body::Tokens(net), Some(grid)) => {
                let [batch, _] = centred.dims();
                let windows = grid.windows(centred, Border::Wrap);
                let mut tokens = net.forward(windows.clone(), None) * ENCODER_RESIDUAL;
                if let Some(transform) = &self.transform {
                    tokens = tokens + (windows / self.input_scale).matmul(transform.val().detach());
                }
                let size = tokens.dims()[1] * grid.tokens();
                tokens.reshape([batch, size])
            }
            (Body::Dense(net), _) => net.forward(centred, None),
            (Body::Tokens(_), None) => unreachable!("built together"),
        }
    }
}

/// What a decoder says of an image.
#[derive(Clone, Debug)]
pub struct Decoded<B: Backend> {
    /// Logits of an independent Bernoulli a pixel, `[B, H·W]`.
    pub logits: Tensor<B, 2>,
    /// The mean image, `[B, H·W]`; on patches it may lie a little outside of [0, 1].
    pub mean: Tensor<B, 2>,
    /// Natural logarithms of the standard deviations of grain, `[B·tokens, patch²]`, see [`grain`](crate::grain).
    pub ln_grain: Option<Tensor<B, 2>>,
}

/// Says how strong grain is. It looks at what the decoder looks at, and does not change it.
#[derive(Module, Debug)]
pub struct GrainHead<B: Backend> {
    dense_1: Linear<B>,
    dense_2: Linear<B>,
}

impl<B: Backend> GrainHead<B> {
    fn build(width: usize, area: usize, p: &mut ParamBuilder<'_, B>) -> Result<Self, WeightsError> {
        Ok(Self {
            dense_1: p.dense("dense_1", width, width, 1.4)?,
            dense_2: p.scope("dense_2", |p| {
                Ok(Linear {
                    weight: p.param("weight", [width, area], Init::Constant(0.0))?,
                    bias: Some(p.param("bias", [area], Init::Constant(FIRST_LN_GRAIN))?),
                })
            })?,
        })
    }

    /// Features `[B·tokens, width]` → ln of the standard deviations `[B·tokens, patch²]`.
    fn forward(&self, features: Tensor<B, 2>, compute: ComputePrecision) -> Tensor<B, 2> {
        let (low, high) = LN_DEVIATION;
        let h = relu(dense(&self.dense_1, features.detach(), compute));
        dense(&self.dense_2, h, compute).clamp(low, high)
    }
}

/// Latents to images.
#[derive(Module, Debug)]
pub struct Decoder<B: Backend> {
    pub(crate) net: Body<B>,
    /// The mean training image, which a decoder on patches starts from; it is not trained.
    pub(crate) mean: Option<Param<Tensor<B, 1>>>,
    /// With patches, the lapped transform that the network adds to, `[channels, window]`; it is not trained.
    pub(crate) transform: Option<Param<Tensor<B, 2>>>,
    grain: Option<GrainHead<B>>,
    #[module(skip)]
    grid: Option<Grid>,
}

impl<B: Backend> Decoder<B> {
    pub(crate) fn build(config: &ModelConfig, p: &mut ParamBuilder<'_, B>) -> Result<Self, WeightsError> {
        let pixels = config.pixels();
        let Some(grid) = config.grid() else {
            let sizes = [config.latent_dim, pixels];
            let gains = Gains { input: 1.0, output: 0.1 };
            let net = p.scope("net", |p| ResNet::build(&config.decoder, sizes, None, gains, p))?;
            return Ok(Self { net: Body::Dense(net), mean: None, transform: None, grain: None, grid: None });
        };
        let sizes = [config.latent_dim / grid.tokens(), grid.window()];
        let net = p.scope("net", |p| TokenNet::build(&config.decoder, sizes, None, grid, 0.0, p))?;
        let [_, back] = first_transforms(grid, sizes[0]);
        let transform = Some(p.param_with("transform", sizes, |_, _| back)?);
        let area = grid.patch * grid.patch;
        let grain = || p.scope("grain", |p| GrainHead::build(config.decoder.width, area, p));
        let grain = config.grain.then(grain).transpose()?;
        let mean = Some(p.param("mean", [pixels], Init::Constant(0.5))?);
        Ok(Self { net: Body::Tokens(net), mean, transform, grain, grid: Some(grid) })
    }

    /// f `[B, latent_dim]` → the mean image's logits, and grain where there is any.
    pub fn decode(&self, f: Tensor<B, 2>) -> Decoded<B> {
        match (&self.net, self.grid) {
            (Body::Tokens(net), Some(grid)) => {
                let [batch, dim] = f.dims();
                let tokens = f.reshape([batch * grid.tokens(), dim / grid.tokens()]);
                let features = net.features(tokens.clone(), None);
                let mut windows = net.output(features.clone()) * DECODER_RESIDUAL;
                if let Some(transform) = &self.transform {
                    windows = windows + tokens.matmul(transform.val().detach());
                }
                let mut mean = grid.overlap_add(windows, Border::Wrap);
                if let Some(of_training) = &self.mean {
                    mean = mean + of_training.val().detach().unsqueeze::<2>();
                }
                let ln_grain = self.grain.as_ref().map(|head| head.forward(features, net.compute));
                // A mean beyond what a Bernoulli can have still has a squared error to learn from.
                let possible = mean.clone().clamp(LEAST_MEAN, 1.0 - LEAST_MEAN);
                let logits = (possible.clone() / (possible.neg() + 1.0)).log();
                Decoded { logits, mean, ln_grain }
            }
            (Body::Dense(net), _) => {
                let logits = net.forward(f, None);
                Decoded { mean: sigmoid(logits.clone()), logits, ln_grain: None }
            }
            (Body::Tokens(_), None) => unreachable!("built together"),
        }
    }

    /// f `[B, latent_dim]` → logits `[B, H·W]`.
    pub fn forward(&self, f: Tensor<B, 2>) -> Tensor<B, 2> {
        self.decode(f).logits
    }
}

/// ln 0.015, four grey levels.
const FIRST_LN_GRAIN: f32 = -4.2;
/// Half a grey level of 255: the least and, from 1, the greatest mean of a pixel's Bernoulli.
const LEAST_MEAN: f64 = 0.002;

/// Predicts the noise ε in z_t.
#[derive(Module, Debug)]
pub struct ScoreNet<B: Backend> {
    /// One row a class, and a last one for "no class"; absent in an unconditional model.
    class_embedding: Option<Param<Tensor<B, 2>>>,
    condition_1: Linear<B>,
    condition_2: Linear<B>,
    condition_3: Linear<B>,
    pub(crate) gaussian: Option<GaussianNoise<B>>,
    pub(crate) net: Body<B>,
    #[module(skip)]
    grid: Option<Grid>,
}

impl<B: Backend> ScoreNet<B> {
    pub(crate) fn build(config: &ModelConfig, p: &mut ParamBuilder<'_, B>) -> Result<Self, WeightsError> {
        let score = &config.score_net;
        let dim = score.embedding_dim;
        let inputs = if config.classes > 0 { 2 * dim } else { dim };
        let grid = config.grid();
        let rank = score.gaussian_rank;
        Ok(Self {
            class_embedding: (config.classes > 0)
                .then(|| p.param("class_embedding", [config.classes + 1, dim], Init::Normal(1.0)))
                .transpose()?,
            condition_1: p.dense("condition_1", inputs, dim, 1.0)?,
            condition_2: p.dense("condition_2", dim, dim, 1.0)?,
            condition_3: p.dense("condition_3", dim, dim, 1.0)?,
            gaussian: match grid {
                Some(grid) if rank > 0 => {
                    Some(p.scope("gaussian", |p| GaussianNoise::build(config.latent_dim, rank, grid, p))?)
                }
                _ => None,
            },
            net: p.scope("net", |p| match grid {
                None => {
                    let sizes = [config.latent_dim, config.latent_dim];
                    let gains = Gains { input: 1.0, output: 0.0 };
                    ResNet::build(&score.blocks(), sizes, Some(dim), gains, p).map(Body::Dense)
                }
                Some(grid) => {
                    let channels = config.latent_dim / grid.tokens();
                    // With a Gaussian prediction, what it takes for the clean latent is an input too.
                    let inputs = if rank > 0 { 2 * channels } else { channels };
                    TokenNet::build(&score.blocks(), [inputs, channels], Some(dim), grid, 0.0, p).map(Body::Tokens)
                }
            })?,
            grid,
        })
    }

    /// Labels a model was built for.
    pub fn classes(&self) -> usize {
        self.class_embedding.as_ref().map_or(0, |e| e.dims()[0] - 1)
    }

    /// z `[B, latent_dim]`, γ `[B]` or `[1]`, embedded times `[B or 1, embedding_dim]` → ε̂ `[B, latent_dim]`.
    ///
    /// `classes` `[B]` holds labels, [`classes`](Self::classes) itself standing for "no class"; it is ignored by an
    /// unconditional model. On the whole latent ε̂ is z and the network's output, as in the paper. On patches the
    /// network's output F is a velocity α ε − σ f (Salimans and Ho 2022), or what is left of one beside the Gaussian
    /// prediction: ε̂ = σ z + α F, or ε̂ = ε̂_Gauss + α F.
    pub fn forward(
        &self,
        z: Tensor<B, 2>,
        gamma: Tensor<B, 1>,
        embedded_time: Tensor<B, 2>,
        classes: Option<Tensor<B, 1, Int>>,
    ) -> Tensor<B, 2> {
        let condition = self.condition(&z, embedded_time, classes);
        let net = match &self.net {
            Body::Dense(net) => return z.clone() + net.forward(z, Some(&condition)),
            Body::Tokens(net) => net,
        };
        let [batch, dim] = z.dims();
        let count = batch * self.grid.map_or(1, |grid| grid.tokens());
        let tokens = |x: Tensor<B, 2>| x.reshape([count, batch * dim / count]);
        let scale = |gamma: Tensor<B, 1>| sigmoid(gamma).sqrt().unsqueeze_dim::<2>(1); // [B or 1, 1]
        let (alpha, sigma) = (scale(gamma.clone().neg()), scale(gamma.clone()));
        let (start, input) = match &self.gaussian {
            None => (z.clone() * sigma, tokens(z)),
            Some(gaussian) => {
                let predicted = gaussian.predict(z.clone(), gamma);
                // Not divided by a small α, which would leave nothing but rounding.
                let clean = z.clone() - predicted.clone() * sigma;
                (predicted, Tensor::cat(vec![tokens(z), tokens(clean / (alpha.clone() + 0.1))], 1))
            }
        };
        start + net.forward(input, Some(&condition)).reshape([batch, dim]) * alpha
    }

    /// `[B or 1, embedding_dim]`.
    fn condition(
        &self,
        z: &Tensor<B, 2>,
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
        self.condition_3.forward(h)
    }
}
