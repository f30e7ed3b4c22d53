//! Residual networks on patches: blocks of norm → modulation → dense → dense as in the paper, applied to each patch. Attention
//! and shifts between the blocks let patches see each other.

use burn::module::{Module, Param};
use burn::nn::Linear;
use burn::tensor::{Tensor, backend::Backend};

use crate::config::{BandConfig, ComputePrecision, PatchGrid};
use crate::error::WeightsError;
use crate::nn::dense::{dense, dense_added, film, perceptron_added};
use crate::nn::fused::{attention, norm};
use crate::nn::params::{Init, ParamBuilder};

/// Added to a mean square before its root.
pub const RMS_EPSILON: f64 = 1e-6;

/// x / √(mean x² + ε) over the features (Zhang and Sennrich 2019), without parameters, because a modulation or a dense layer
/// follows.
fn rms_norm<B: Backend, const D: usize>(x: Tensor<B, D>) -> Tensor<B, D> {
    let scale = (x.clone().square().mean_dim(D - 1) + RMS_EPSILON).sqrt().recip();
    x * scale
}

/// rms_norm, then film by a dense layer of the image's condition.
fn modulated<B: Backend>(
    x: Tensor<B, 2>,
    layer: &Linear<B>,
    condition: &Tensor<B, 2>,
    grid: PatchGrid,
    compute: ComputePrecision,
) -> Tensor<B, 2> {
    let modulation = dense(layer, condition.clone(), compute); // [B or 1, 2 width]
    norm::modulated(&x, &modulation, grid.patches(), RMS_EPSILON as f32)
        .unwrap_or_else(|| plain_modulated(x, modulation, grid.patches()))
}

fn plain_modulated<B: Backend>(x: Tensor<B, 2>, modulation: Tensor<B, 2>, patches: usize) -> Tensor<B, 2> {
    let [count, width] = x.dims();
    let h = rms_norm(x).reshape([count / patches, patches, width]);
    let modulation = modulation.unsqueeze_dim::<3>(1); // [B or 1, 1, 2 width]
    film(h, modulation.clone().narrow(2, 0, width), modulation.narrow(2, width, width)).reshape([count, width])
}

/// Attention of queries, keys and values side by side, `[B·P, 3 width]`, to `[B·P, width]`.
fn attention<B: Backend>(qkv: Tensor<B, 2>, patches: usize, heads: usize) -> Tensor<B, 2> {
    attention::attention(&qkv, patches, heads, RMS_EPSILON as f32)
        .unwrap_or_else(|| plain_attention(qkv, patches, heads))
}

fn plain_attention<B: Backend>(qkv: Tensor<B, 2>, patches: usize, heads: usize) -> Tensor<B, 2> {
    let [count, columns] = qkv.dims();
    let (batch, width, size) = (count / patches, columns / 3, columns / 3 / heads);
    let qkv = qkv.reshape([batch, patches, 3, heads, size]);
    let part = |i: usize| qkv.clone().narrow(2, i, 1).reshape([batch, patches, heads, size]).swap_dims(1, 2);
    let (q, k, v) = (rms_norm(part(0)), rms_norm(part(1)), part(2)); // [B, heads, P, size]
    // A softmax without subtracting the maximum: normalised vectors have a product of at most `size`, and e^√size fits
    // into float32 for heads of fewer than 7700 features.
    let weights = (q * (size as f64).sqrt().recip()).matmul(k.swap_dims(2, 3)).exp(); // [B, heads, P, P]
    let mixed = weights.clone().matmul(v) / weights.sum_dim(3);
    mixed.swap_dims(1, 2).reshape([count, width])
}

/// Attention among the patches of an image, with normalised queries and keys (Dehghani et al. 2023).
#[derive(Module, Debug)]
pub struct Attention<B: Backend> {
    film: Linear<B>,
    /// Queries, keys and values.
    input: Linear<B>,
    output: Linear<B>,
    #[module(skip)]
    heads: usize,
}

impl<B: Backend> Attention<B> {
    /// x + attention(x).
    fn forward(
        &self,
        x: Tensor<B, 2>,
        condition: &Tensor<B, 2>,
        grid: PatchGrid,
        compute: ComputePrecision,
    ) -> Tensor<B, 2> {
        let h = modulated(x.clone(), &self.film, condition, grid, compute);
        let mixed = attention(dense(&self.input, h, compute), grid.patches(), self.heads);
        dense_added(x, &self.output, mixed, compute)
    }
}

/// x + attention(x), then x + dense₂(relu(dense₁(shift(film(norm(x)))))).
#[derive(Module, Debug)]
pub struct PatchBlock<B: Backend> {
    attention: Option<Attention<B>>,
    film: Linear<B>,
    dense_1: Linear<B>,
    dense_2: Linear<B>,
}

/// Hidden features of a block over its features.
const EXPANSION: usize = 4;

impl<B: Backend> PatchBlock<B> {
    fn build(config: &BandConfig, p: &mut ParamBuilder<'_, B>) -> Result<Self, WeightsError> {
        let width = config.width;
        // Zero: modulation and block start as the identity.
        let film = |p: &mut ParamBuilder<'_, B>| p.dense("film", config.embedding_dim, 2 * width, 0.0);
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
        condition: &Tensor<B, 2>,
        grid: PatchGrid,
        compute: ComputePrecision,
    ) -> Tensor<B, 2> {
        let x = match &self.attention {
            Some(attention) => attention.forward(x, condition, grid, compute),
            None => x,
        };
        let h = grid.shift(modulated(x.clone(), &self.film, condition, grid, compute));
        perceptron_added(x, [&self.dense_1, &self.dense_2], h, compute)
    }
}

/// dense and position embedding → patch blocks → norm, film and dense.
#[derive(Module, Debug)]
pub struct PatchNet<B: Backend> {
    input: Linear<B>,
    /// The position embedding, added to each patch, `[P, width]`. Without one a network fits grids of any size.
    position: Option<Param<Tensor<B, 2>>>,
    blocks: Vec<PatchBlock<B>>,
    film: Linear<B>,
    output: Linear<B>,
    /// Precision of the matrix products.
    #[module(skip)]
    pub(crate) compute: ComputePrecision,
}

impl<B: Backend> PatchNet<B> {
    pub(crate) fn build(
        config: &BandConfig,
        [inputs, outputs]: [usize; 2],
        grid: Option<PatchGrid>,
        p: &mut ParamBuilder<'_, B>,
    ) -> Result<Self, WeightsError> {
        Ok(Self {
            input: p.dense("input", inputs, config.width, 1.0)?,
            position: grid
                .map(|grid| p.param("position", [grid.patches(), config.width], Init::Normal(0.3)))
                .transpose()?,
            blocks: p.scope("blocks", |p| {
                (0..config.layers).map(|i| p.scope(i.to_string(), |p| PatchBlock::build(config, p))).collect()
            })?,
            film: p.dense("film", config.embedding_dim, 2 * config.width, 0.0)?,
            output: p.dense("output", config.width, outputs, 0.0)?,
            compute: ComputePrecision::F32,
        })
    }

    /// Patches `[B·P, inputs]` of a grid, conditions `[B or 1, features]` → `[B·P, outputs]`.
    pub(crate) fn forward(&self, patches: Tensor<B, 2>, condition: &Tensor<B, 2>, grid: PatchGrid) -> Tensor<B, 2> {
        let mut h = dense(&self.input, patches, self.compute);
        if let Some(position) = &self.position {
            let [count, width] = h.dims();
            let images = h.reshape([count / grid.patches(), grid.patches(), width]);
            h = (images + position.val().unsqueeze::<3>()).reshape([count, width]);
        }
        for block in &self.blocks {
            h = block.forward(h, condition, grid, self.compute);
        }
        let h = modulated(h, &self.film, condition, grid, self.compute);
        dense(&self.output, h, self.compute)
    }
}

#[cfg(all(test, feature = "training"))]
mod tests {
    use super::*;
    use crate::nn::fused::check::check;

    const EPSILON: f32 = RMS_EPSILON as f32;

    #[test]
    fn norms_and_modulation_in_one_pass_are_the_plain_ones() {
        for (images, patches, width) in [(2, 15, 37), (3, 1, 8), (1, 64, 192), (2, 256, 16), (1, 7, 3)] {
            let rows = images * patches;
            check([[rows, width]], |[x]| norm::rms_norm(&x, EPSILON), |[x]| rms_norm(x));
            for conditions in [images, 1] {
                check(
                    [[rows, width], [conditions, 2 * width]],
                    |[x, modulation]| norm::modulated(&x, &modulation, patches, EPSILON),
                    |[x, modulation]| plain_modulated(x, modulation, patches),
                );
            }
        }
    }

    #[test]
    fn attention_a_head_at_a_time_is_the_plain_one() {
        for (images, patches, heads, size) in [(2, 15, 2, 5), (1, 64, 3, 32), (3, 1, 1, 4), (2, 130, 2, 24)] {
            check(
                [[images * patches, 3 * heads * size]],
                |[qkv]| attention::attention(&qkv, patches, heads, EPSILON),
                |[qkv]| plain_attention(qkv, patches, heads),
            );
        }
    }
}
