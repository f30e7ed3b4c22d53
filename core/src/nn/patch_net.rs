//! Residual networks on patches: blocks of norm → modulation → dense → dense as in the paper, applied to each patch. Attention
//! and shifts between the blocks let patches see each other.

use burn::module::{Module, Param};
use burn::nn::Linear;
use burn::tensor::{Tensor, backend::Backend};

use crate::config::{ComputePrecision, PatchGrid, ResNetConfig};
use crate::error::WeightsError;
use crate::nn::dense::{dense, film, perceptron};
use crate::nn::params::{Init, ParamBuilder};

/// Added to a mean square before its root.
pub const RMS_EPSILON: f64 = 1e-6;

/// x / √(mean x² + ε) over the features (Zhang and Sennrich 2019), without parameters, because a modulation or a dense layer
/// follows.
fn rms_norm<B: Backend, const D: usize>(x: Tensor<B, D>) -> Tensor<B, D> {
    let scale = (x.clone().square().mean_dim(D - 1) + RMS_EPSILON).sqrt().recip();
    x * scale
}

/// rms_norm, then film by a dense layer of the image's condition, if there is one.
fn modulated<B: Backend>(
    x: Tensor<B, 2>,
    layer: Option<&Linear<B>>,
    condition: Option<&Tensor<B, 2>>,
    grid: PatchGrid,
    compute: ComputePrecision,
) -> Tensor<B, 2> {
    let h = rms_norm(x);
    let (Some(layer), Some(condition)) = (layer, condition) else { return h };
    let [count, width] = h.dims();
    let modulation = dense(layer, condition.clone(), compute).unsqueeze_dim::<3>(1); // [B or 1, 1, 2 width]
    let h = h.reshape([count / grid.patches(), grid.patches(), width]);
    film(h, modulation.clone().narrow(2, 0, width), modulation.narrow(2, width, width)).reshape([count, width])
}

/// Attention among the patches of an image, with normalised queries and keys (Dehghani et al. 2023).
#[derive(Module, Debug)]
pub struct Attention<B: Backend> {
    film: Option<Linear<B>>,
    /// Queries, keys and values.
    input: Linear<B>,
    output: Linear<B>,
    #[module(skip)]
    heads: usize,
}

impl<B: Backend> Attention<B> {
    fn forward(
        &self,
        x: Tensor<B, 2>,
        condition: Option<&Tensor<B, 2>>,
        grid: PatchGrid,
        compute: ComputePrecision,
    ) -> Tensor<B, 2> {
        let [count, width] = x.dims();
        let (patches, heads) = (grid.patches(), self.heads);
        let (batch, size) = (count / patches, width / heads);
        let h = modulated(x, self.film.as_ref(), condition, grid, compute);
        let qkv = dense(&self.input, h, compute).reshape([batch, patches, 3, heads, size]);
        let part = |i: usize| qkv.clone().narrow(2, i, 1).reshape([batch, patches, heads, size]).swap_dims(1, 2);
        let (q, k, v) = (rms_norm(part(0)), rms_norm(part(1)), part(2)); // [B, heads, P, size]
        // A softmax without subtracting the maximum: normalised vectors have a product of at most `size`, and e^√size fits
        // into float32 for heads of fewer than 7700 features.
        let weights = (q * (size as f64).sqrt().recip()).matmul(k.swap_dims(2, 3)).exp(); // [B, heads, P, P]
        let mixed = weights.clone().matmul(v) / weights.sum_dim(3);
        let mixed = mixed.swap_dims(1, 2).reshape([count, width]);
        dense(&self.output, mixed, compute)
    }
}

/// x + attention(x), then x + dense₂(relu(dense₁(shift(film(norm(x)))))).
#[derive(Module, Debug)]
pub struct PatchBlock<B: Backend> {
    attention: Option<Attention<B>>,
    film: Option<Linear<B>>,
    dense_1: Linear<B>,
    dense_2: Linear<B>,
}

/// Hidden features of a block over its features.
const EXPANSION: usize = 4;

impl<B: Backend> PatchBlock<B> {
    fn build(
        config: &ResNetConfig,
        condition: Option<usize>,
        p: &mut ParamBuilder<'_, B>,
    ) -> Result<Self, WeightsError> {
        let width = config.width;
        // Zero: modulation and block start as the identity.
        let film = |p: &mut ParamBuilder<'_, B>| {
            condition.map(|features| p.dense("film", features, 2 * width, 0.0)).transpose()
        };
        Ok(Self {
            attention: (config.heads > 0)
                .then(|| {
                    p.scope("attention", |p| {
                        Ok(Attention {
                            film: film(p)?,
                            input: p.dense("input", width, 3 * width, 1.0)?,
                            output: p.dense("output", width, width, 0.0)?,
                            heads: config.heads,
                        })
                    })
                })
                .transpose()?,
            film: film(p)?,
            dense_1: p.dense("dense_1", width, EXPANSION * width, 1.4)?,
            dense_2: p.dense("dense_2", EXPANSION * width, width, 0.0)?,
        })
    }

    fn forward(
        &self,
        x: Tensor<B, 2>,
        condition: Option<&Tensor<B, 2>>,
        grid: PatchGrid,
        compute: ComputePrecision,
    ) -> Tensor<B, 2> {
        let x = match &self.attention {
            Some(attention) => x.clone() + attention.forward(x, condition, grid, compute),
            None => x,
        };
        let h = grid.shift(modulated(x.clone(), self.film.as_ref(), condition, grid, compute));
        x + perceptron([&self.dense_1, &self.dense_2], h, compute)
    }
}

/// dense and position embedding → patch blocks → norm, film and dense.
#[derive(Module, Debug)]
pub struct PatchNet<B: Backend> {
    input: Linear<B>,
    /// The position embedding, added to each patch, `[P, width]`.
    position: Param<Tensor<B, 2>>,
    blocks: Vec<PatchBlock<B>>,
    film: Option<Linear<B>>,
    output: Linear<B>,
    #[module(skip)]
    pub(crate) grid: PatchGrid,
    /// Precision of the matrix products.
    #[module(skip)]
    pub(crate) compute: ComputePrecision,
}

impl<B: Backend> PatchNet<B> {
    pub(crate) fn build(
        config: &ResNetConfig,
        [inputs, outputs]: [usize; 2],
        condition: Option<usize>,
        grid: PatchGrid,
        p: &mut ParamBuilder<'_, B>,
    ) -> Result<Self, WeightsError> {
        Ok(Self {
            input: p.dense("input", inputs, config.width, 1.0)?,
            position: p.param("position", [grid.patches(), config.width], Init::Normal(0.3))?,
            blocks: p.scope("blocks", |p| {
                (0..config.layers)
                    .map(|i| p.scope(i.to_string(), |p| PatchBlock::build(config, condition, p)))
                    .collect()
            })?,
            film: condition.map(|features| p.dense("film", features, 2 * config.width, 0.0)).transpose()?,
            output: p.dense("output", config.width, outputs, 0.0)?,
            grid,
            compute: ComputePrecision::F32,
        })
    }

    /// Patches `[B·P, inputs]`, conditions `[B or 1, features]` → `[B·P, outputs]`.
    pub(crate) fn forward(&self, patches: Tensor<B, 2>, condition: Option<&Tensor<B, 2>>) -> Tensor<B, 2> {
        let [count, _] = patches.dims();
        let h = dense(&self.input, patches, self.compute);
        let [_, width] = h.dims();
        let positions = self.position.val().unsqueeze::<3>();
        let mut h =
            (h.reshape([count / self.grid.patches(), self.grid.patches(), width]) + positions).reshape([count, width]);
        for block in &self.blocks {
            h = block.forward(h, condition, self.grid, self.compute);
        }
        let h = modulated(h, self.film.as_ref(), condition, self.grid, self.compute);
        dense(&self.output, h, self.compute)
    }
}
