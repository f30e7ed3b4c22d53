//! The ScoreNet.

use burn::module::{Module, Param};
use burn::nn::Linear;
use burn::tensor::activation::{sigmoid, silu};
use burn::tensor::{Int, Tensor, TensorData, backend::Backend};

use crate::config::{BandConfig, Classes, ComputePrecision, LatentConfig, PatchGrid};
use crate::error::{BackendError, WeightsError};
use crate::nn::dense::{Gains, ResNet};
use crate::nn::params::{Init, ParamBuilder};
use crate::nn::patch_net::PatchNet;

/// Residual blocks on the whole latent, or on the tokens of a band.
#[derive(Module, Debug)]
#[expect(clippy::large_enum_variant, reason = "a model has one of them")]
pub enum Body<B: Backend> {
    /// On the whole latent.
    Dense(ResNet<B>),
    /// On each token.
    Tokens(TokenNet<B>),
}

/// The network of a band.
#[derive(Module, Debug)]
pub struct TokenNet<B: Backend> {
    /// Standard deviations s of a token's numbers over the training images, `[C]`. They are not trained.
    pub(crate) deviations: Param<Tensor<B, 1>>,
    pub(crate) net: PatchNet<B>,
}

/// Predicts the noise ε in z_t.
#[derive(Module, Debug)]
pub struct ScoreNet<B: Backend> {
    /// For each attribute a row per value, and one for an unknown value. Absent in an unconditional model.
    class_embedding: Option<Param<Tensor<B, 2>>>,
    /// The number of values of each attribute.
    #[module(skip)]
    attributes: Vec<usize>,
    condition_1: Linear<B>,
    condition_2: Linear<B>,
    condition_3: Linear<B>,
    pub(crate) net: Body<B>,
}

/// What the ScoreNet of the fine band is given of the coarse one.
#[derive(Clone, Debug)]
pub struct Context<B: Backend> {
    /// The noisy coarse coefficients of each patch, `[B·P, CONTEXT_CHANNELS]`.
    pub values: Tensor<B, 2>,
    /// The embedding of their noise, `[B or 1, embedding_dim]`.
    pub embedded: Tensor<B, 2>,
}

/// Sizes of the tokens of a band.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TokenSizes {
    /// Numbers C of a token.
    pub(crate) channels: usize,
    /// Numbers of its context.
    pub(crate) context: usize,
    /// The grid, where each place has an embedding.
    pub(crate) positions: Option<PatchGrid>,
}

/// Least and greatest log(ŝ / s).
pub const LOG_RATIO: (f32, f32) = (-7.0, 3.0);

impl TokenSizes {
    /// What the network sees of a token: each number on two scales, and the context.
    fn inputs(&self) -> usize {
        2 * self.channels + self.context
    }
}

impl<B: Backend> ScoreNet<B> {
    /// The paper's ScoreNet.
    pub(crate) fn dense(
        config: &LatentConfig,
        attributes: &[usize],
        p: &mut ParamBuilder<'_, B>,
    ) -> Result<Self, WeightsError> {
        let score = &config.score_net;
        Self::build(score.embedding_dim, score.embedding_dim, attributes, p, |p| {
            let sizes = [config.dim, config.dim];
            let gains = Gains { input: 1.0, output: 0.0 };
            ResNet::build(&score.blocks(), sizes, Some(score.embedding_dim), gains, p).map(Body::Dense)
        })
    }

    /// The ScoreNet of a band.
    pub(crate) fn on_tokens(
        config: &BandConfig,
        sizes: TokenSizes,
        attributes: &[usize],
        p: &mut ParamBuilder<'_, B>,
    ) -> Result<Self, WeightsError> {
        let dim = config.embedding_dim;
        let embedded = if sizes.context > 0 { 2 * dim } else { dim };
        Self::build(dim, embedded, attributes, p, |p| {
            Ok(Body::Tokens(TokenNet {
                deviations: p.param("deviations", [sizes.channels], Init::Constant(1.0))?,
                net: p.scope("net", |p| {
                    PatchNet::build(config, [sizes.inputs(), 2 * sizes.channels], sizes.positions, p)
                })?,
            }))
        })
    }

    fn build(
        dim: usize,
        embedded: usize,
        attributes: &[usize],
        p: &mut ParamBuilder<'_, B>,
        net: impl FnOnce(&mut ParamBuilder<'_, B>) -> Result<Body<B>, WeightsError>,
    ) -> Result<Self, WeightsError> {
        let rows: usize = attributes.iter().map(|values| values + 1).sum();
        let inputs = if rows > 0 { embedded + dim } else { embedded };
        Ok(Self {
            class_embedding: (rows > 0)
                .then(|| p.param("class_embedding", [rows, dim], Init::Normal(1.0)))
                .transpose()?,
            attributes: attributes.to_vec(),
            condition_1: p.dense("condition_1", inputs, dim, 1.0)?,
            condition_2: p.dense("condition_2", dim, dim, 1.0)?,
            condition_3: p.dense("condition_3", dim, dim, 1.0)?,
            net: p.scope("net", net)?,
        })
    }

    pub(crate) fn set_compute(&mut self, compute: ComputePrecision) {
        match &mut self.net {
            Body::Dense(net) => net.compute = compute,
            Body::Tokens(tokens) => tokens.net.compute = compute,
        }
    }

    /// With the rows of further attributes, which are zero.
    pub(crate) fn with_attributes(mut self, attributes: &[usize], device: &B::Device) -> Result<Self, BackendError> {
        if let Some(table) = self.class_embedding.take() {
            let more: usize = attributes.iter().skip(self.attributes.len()).map(|values| values + 1).sum();
            let [rows, dim] = table.dims();
            // By way of the host, for a tensor that gradients end at.
            let read = table.val().try_into_data().map_err(BackendError::new)?;
            let values: Vec<f32> = read.iter::<f32>().chain(std::iter::repeat_n(0.0, more * dim)).collect();
            let rows = Tensor::from_data(TensorData::new(values, [rows + more, dim]), device);
            self.class_embedding = Some(Param::initialized(table.id, rows.require_grad()));
            self.attributes = attributes.to_vec();
        }
        Ok(self)
    }

    /// The classes that noise can be predicted for.
    fn classes(&self) -> Classes<'_> {
        Classes(&self.attributes)
    }

    /// The embedding of each class, in the order of their numbers, `[classes, embedding_dim]`: the sum of its values'.
    ///
    /// None in an unconditional model.
    pub fn class_table(&self) -> Option<Tensor<B, 2>> {
        let table = self.class_embedding.as_ref()?.val();
        if self.attributes.len() == 1 {
            return Some(table);
        }
        let (classes, [rows, _]) = (self.classes(), table.dims());
        let mut sums = vec![0.0_f32; (classes.count() + 1) * rows];
        for (class, sum) in sums.chunks_exact_mut(rows).enumerate() {
            let mut first = 0;
            for (value, count) in classes.values(class).into_iter().zip(&self.attributes) {
                sum[first + value.unwrap_or(*count)] = 1.0;
                first += count + 1;
            }
        }
        let sums = Tensor::from_data(TensorData::new(sums, [classes.count() + 1, rows]), &table.device());
        Some(sums.matmul(table))
    }

    /// Dimension of the embedded time.
    pub(crate) fn embedding_dim(&self) -> usize {
        self.condition_2.weight.dims()[0]
    }

    /// z `[B, D]`, γ `[B]` or `[1]`, embedded times `[B or 1, embedding_dim]` → ε̂ `[B, D]`.
    ///
    /// `classes` `[B]` holds the numbers of [`Classes`]; without it everything is open. An unconditional model ignores it.
    /// `grid` is that of the tokens in z, and `context` belongs to the fine band.
    ///
    /// On a whole latent ε̂ = z + F with the network's output F, as in the paper. On tokens the network gives two numbers for
    /// each of z: F, a prediction of unit variance, and log(ŝ / s), with the standard deviation s over the training images
    /// and ŝ that in this place of this image. f̂ = α ŝ² / (α² ŝ² + σ²) z + σ ŝ / √(α² ŝ² + σ²) F, and so
    /// ε̂ = σ / (α² ŝ² + σ²) z − α ŝ / √(α² ŝ² + σ²) F: the preconditioning of Karras et al. 2022, for each number, as the
    /// local variance of Portilla et al. 2003 has it.
    ///
    /// The network sees each number on two scales: z / √(α² s² + σ²), beside what images have, and z / √(z² + σ²), beside
    /// the noise. Where an image is smooth, as in the black around a chest, z is all but noise and the first far below 1.
    pub fn forward(
        &self,
        z: Tensor<B, 2>,
        gamma: Tensor<B, 1>,
        embedded_time: Tensor<B, 2>,
        classes: Option<Tensor<B, 1, Int>>,
        grid: PatchGrid,
        context: Option<Context<B>>,
    ) -> Tensor<B, 2> {
        let [batch, dim] = z.dims();
        let (values, embedded) = match context {
            None => (None, embedded_time),
            Some(Context { values, embedded }) => {
                let rows = embedded_time.dims()[0].max(embedded.dims()[0]);
                let widen = |x: Tensor<B, 2>| {
                    let [_, dim] = x.dims();
                    x.expand([rows, dim])
                };
                (Some(values), Tensor::cat(vec![widen(embedded_time), widen(embedded)], 1))
            }
        };
        let condition = self.condition(&z, embedded, classes);
        let tokens = match &self.net {
            Body::Dense(net) => return z.clone() + net.forward(z, Some(&condition)),
            Body::Tokens(tokens) => tokens,
        };
        let gamma = gamma.unsqueeze_dim::<2>(1);
        let s = tokens.deviations.val().detach().unsqueeze::<2>(); // [1, C]
        let (alpha_squared, sigma_squared) = (sigmoid(gamma.clone().neg()), sigmoid(gamma)); // [B or 1, 1]
        let by_token = |x: Tensor<B, 2>| x.unsqueeze_dim::<3>(1); // [B or 1, 1, C or 1]
        let patches = grid.patches();
        let channels = dim / patches;
        let z = z.reshape([batch, patches, channels]);
        let expected = (s.clone().square() * alpha_squared.clone() + sigma_squared.clone()).sqrt(); // [B or 1, C]
        let beside_images = z.clone() * by_token(expected.recip());
        let beside_noise = z.clone() / (z.clone().square() + by_token(sigma_squared.clone())).sqrt();
        let input = Tensor::cat(vec![beside_images, beside_noise], 2).reshape([batch * patches, 2 * channels]);
        let input = match values {
            None => input,
            Some(values) => Tensor::cat(vec![input, values], 1),
        };
        let output = tokens.net.forward(input, &condition, grid).reshape([batch, patches, 2 * channels]);
        let (f, log_ratio) = (output.clone().narrow(2, 0, channels), output.narrow(2, channels, channels));
        // The deviation ŝ of each number, given what the network sees.
        let (least, greatest) = LOG_RATIO;
        let s = by_token(s) * log_ratio.clamp(least, greatest).exp(); // [B, P, C]
        let (alpha, sigma) = (by_token(alpha_squared.clone().sqrt()), by_token(sigma_squared.clone().sqrt()));
        let variance = s.clone().square() * by_token(alpha_squared) + by_token(sigma_squared);
        let epsilon = z * sigma / variance.clone() - f * s * alpha / variance.sqrt();
        epsilon.reshape([batch, dim])
    }

    /// `[B or 1, embedding_dim]`.
    fn condition(&self, z: &Tensor<B, 2>, embedded: Tensor<B, 2>, classes: Option<Tensor<B, 1, Int>>) -> Tensor<B, 2> {
        let [batch, _] = z.dims();
        let input = match self.class_table() {
            None => embedded,
            Some(table) => {
                let [times, dim] = embedded.dims();
                let embedded = if times == batch { embedded } else { embedded.expand([batch, dim]) };
                let device = z.device();
                let labels = classes.unwrap_or_else(|| Tensor::full([batch], self.classes().count() as i64, &device));
                Tensor::cat(vec![embedded, table.select(0, labels)], 1)
            }
        };
        let h = silu(self.condition_1.forward(input));
        let h = silu(self.condition_2.forward(h));
        self.condition_3.forward(h)
    }
}
