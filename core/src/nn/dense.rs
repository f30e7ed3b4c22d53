//! Dense layers, their modulation, and the paper's residual blocks of two of them.

use burn::module::Module;
use burn::nn::{LayerNorm, Linear};
use burn::tensor::activation::{relu, silu};
use burn::tensor::{FloatDType, Tensor, TensorData, backend::Backend};

use crate::config::{ComputePrecision, ResNetConfig};
use crate::error::WeightsError;
use crate::math;
use crate::nn::fused;
use crate::nn::params::ParamBuilder;

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

/// x W + b, with the product in another precision where one is asked for. Its result, the bias, the weights and the
/// gradients stay float32.
pub(crate) fn dense<B: Backend>(layer: &Linear<B>, x: Tensor<B, 2>, compute: ComputePrecision) -> Tensor<B, 2> {
    fused_dense(None, layer, &x, compute).unwrap_or_else(|| plain_dense(layer, x, compute))
}

/// residual + x W + b.
pub(crate) fn dense_added<B: Backend>(
    residual: Tensor<B, 2>,
    layer: &Linear<B>,
    x: Tensor<B, 2>,
    compute: ComputePrecision,
) -> Tensor<B, 2> {
    fused_dense(Some(&residual), layer, &x, compute).unwrap_or_else(|| residual + plain_dense(layer, x, compute))
}

fn fused_dense<B: Backend>(
    residual: Option<&Tensor<B, 2>>,
    layer: &Linear<B>,
    x: &Tensor<B, 2>,
    compute: ComputePrecision,
) -> Option<Tensor<B, 2>> {
    let (None, Some(bias)) = (half(compute), &layer.bias) else { return None };
    fused::dense::dense(residual, x, &layer.weight.val(), &bias.val())
}

fn plain_dense<B: Backend>(layer: &Linear<B>, x: Tensor<B, 2>, compute: ComputePrecision) -> Tensor<B, 2> {
    let weight = layer.weight.val();
    let y = match half(compute) {
        None => product(x, weight),
        Some(half) => product(x.cast(half), weight.cast(half)).cast(FloatDType::F32),
    };
    match &layer.bias {
        Some(bias) => add_bias(y, bias.val()),
        None => y,
    }
}

/// x W for x `[N, F]`, with the rows in parts of [`PART`] where N is a multiple of it. The gradient of W is then a sum of
/// many products that a GPU computes in parallel, instead of a few long sums over all rows.
fn product<B: Backend>(x: Tensor<B, 2>, weight: Tensor<B, 2>) -> Tensor<B, 2> {
    let ([rows, inputs], [_, outputs]) = (x.dims(), weight.dims());
    if rows <= PART || !rows.is_multiple_of(PART) {
        return x.matmul(weight);
    }
    x.reshape([rows / PART, PART, inputs]).matmul(weight.unsqueeze()).reshape([rows, outputs])
}

/// Rows of a part of a product: the patches of eight images of 256×256.
const PART: usize = 2048;

/// y `[N, F]` + b `[F]`, with the rows in a grid of about √N on each side. The gradient of b is then summed along one side
/// after the other, which keeps more of a GPU busy than one sum over N rows for each feature.
fn add_bias<B: Backend>(y: Tensor<B, 2>, bias: Tensor<B, 1>) -> Tensor<B, 2> {
    let [rows, features] = y.dims();
    let side = side(rows);
    (y.reshape([rows / side, side, features]) + bias.unsqueeze()).reshape([rows, features])
}

/// Sums of the rows of `[B, N]`, `[B]`, along one side and then the other of a grid of about √N, as in [`add_bias`].
pub(crate) fn sum_rows<B: Backend>(x: Tensor<B, 2>) -> Tensor<B, 1> {
    let [batch, count] = x.dims();
    let side = side(count);
    x.reshape([batch, side, count / side]).sum_dim(2).sum_dim(1).reshape([batch])
}

/// The greatest power of two that divides `count` and whose square is not above it.
fn side(count: usize) -> usize {
    let powers = (0..usize::BITS / 2).map(|power| 1 << power);
    powers.take_while(|side| count.is_multiple_of(*side) && side * side <= count).last().unwrap_or(1)
}

/// residual + dense₂(relu(dense₁(x))). The hidden features, most of a block's memory on patches, are in the precision of the
/// products.
pub(crate) fn perceptron_added<B: Backend>(
    residual: Tensor<B, 2>,
    [first, second]: [&Linear<B>; 2],
    x: Tensor<B, 2>,
    compute: ComputePrecision,
) -> Tensor<B, 2> {
    if let (None, Some(bias_1), Some(bias_2)) = (half(compute), &first.bias, &second.bias) {
        let (weights, biases) = ([first.weight.val(), second.weight.val()], [bias_1.val(), bias_2.val()]);
        if let Some(y) = fused::perceptron::perceptron(Some(&residual), &x, weights.each_ref(), biases.each_ref()) {
            return y;
        }
    }
    residual + plain_perceptron([first, second], x, compute)
}

fn plain_perceptron<B: Backend>(
    [first, second]: [&Linear<B>; 2],
    x: Tensor<B, 2>,
    compute: ComputePrecision,
) -> Tensor<B, 2> {
    let hidden = match half(compute) {
        None => dense(first, x, compute),
        Some(half) => {
            let y = product(x.cast(half), first.weight.val().cast(half));
            match &first.bias {
                Some(bias) => add_bias(y, bias.val().cast(half)),
                None => y,
            }
        }
    };
    dense(second, relu(hidden), compute)
}

fn swish<B: Backend>(x: Tensor<B, 2>) -> Tensor<B, 2> {
    fused::swish::swish(&x).unwrap_or_else(|| silu(x))
}

/// swish(film(h)) with scale and shift side by side, `[B or 1, 2 width]`.
fn film_swish<B: Backend>(h: Tensor<B, 2>, modulation: Tensor<B, 2>) -> Tensor<B, 2> {
    fused::swish::film_swish(&h, &modulation).unwrap_or_else(|| plain_film_swish(h, modulation))
}

fn plain_film_swish<B: Backend>(h: Tensor<B, 2>, modulation: Tensor<B, 2>) -> Tensor<B, 2> {
    let [_, width] = h.dims();
    let scale = modulation.clone().narrow(1, 0, width);
    silu(film(h, scale, modulation.narrow(1, width, width)))
}

fn half(compute: ComputePrecision) -> Option<FloatDType> {
    match compute {
        ComputePrecision::F32 => None,
        ComputePrecision::Bf16 => Some(FloatDType::BF16),
        ComputePrecision::F16 => Some(FloatDType::F16),
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
        let h = dense(&self.dense_1, swish(h), compute);
        let h = match (&self.film, condition) {
            (Some(layer), Some(condition)) => film_swish(h, dense(layer, condition.clone(), compute)),
            _ => swish(h),
        };
        dense_added(x, &self.dense_2, h, compute)
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

#[cfg(test)]
mod tests {
    use burn_flex::Flex;

    use super::*;
    use crate::rng::{Rng, RngStream};

    fn matrix(stream: u64, shape: [usize; 2]) -> Tensor<Flex, 2> {
        let values = Rng::new(0, RngStream::Evaluation, stream).normals(shape[0] * shape[1]);
        Tensor::from_data(TensorData::new(values, shape), &Default::default())
    }

    /// Rounding of float32 in another order.
    fn assert_same<const D: usize>(found: Tensor<Flex, D>, expected: Tensor<Flex, D>, largest: f32) {
        let apart: f32 = (found - expected).abs().max().into_scalar();
        assert!(apart < 1e-6 * largest, "{apart}");
    }

    #[test]
    fn what_is_taken_in_parts_is_the_whole() {
        for rows in [3 * PART, PART, 3 * PART + 1, 7] {
            let (x, weight) = (matrix(1, [rows, 5]), matrix(2, [5, 3]));
            assert_same(product(x.clone(), weight.clone()), x.clone().matmul(weight), 30.0);
            let bias = Tensor::<Flex, 1>::from_floats([1.0, -2.0, 3.0, 4.0, -5.0], &Default::default());
            assert_same(add_bias(x.clone(), bias.clone()), x.clone() + bias.unsqueeze(), 10.0);
            let long = x.reshape([5, rows]);
            assert_same(sum_rows(long.clone()), long.sum_dim(1).squeeze_dim(1), 1000.0);
        }
        assert_eq!([1, 2, 4, 6, 64, 96, 65536].map(side), [1, 1, 2, 2, 8, 8, 256]);
    }

    #[cfg(feature = "training")]
    #[test]
    fn dense_layers_in_place_are_the_plain_ones() {
        use crate::nn::fused::check::{Cpu, check};
        use crate::nn::fused::perceptron::perceptron;

        let bias = |bias: &Tensor<Cpu, 2>| bias.clone().reshape([-1]);
        let plain = |x: Tensor<Cpu, 2>, weight, of: &Tensor<Cpu, 2>| add_bias(product(x, weight), bias(of));
        for (rows, inputs, outputs) in [(7, 5, 3), (1, 1, 1), (300, 33, 65), (64, 16, 48), (2, 128, 300)] {
            let shapes = [[rows, inputs], [inputs, outputs], [1, outputs]];
            check(shapes, |[x, w, b]| fused::dense::dense(None, &x, &w, &bias(&b)), |[x, w, b]| plain(x, w, &b));
            let [x, w, b] = shapes;
            check(
                [[rows, outputs], x, w, b],
                |[r, x, w, b]| fused::dense::dense(Some(&r), &x, &w, &bias(&b)),
                |[r, x, w, b]| r + plain(x, w, &b),
            );
            let hidden = 2 * outputs + 1;
            let layers = [x, [inputs, hidden], [1, hidden], [hidden, outputs], [1, outputs]];
            let of = |[x, w, b, v, c]: [Tensor<Cpu, 2>; 5]| plain(relu(plain(x, w, &b)), v, &c);
            check(layers, |[x, w, b, v, c]| perceptron(None, &x, [&w, &v], [&bias(&b), &bias(&c)]), of);
            let [x, w, b, v, c] = layers;
            check(
                [[rows, outputs], x, w, b, v, c],
                |[r, x, w, b, v, c]| perceptron(Some(&r), &x, [&w, &v], [&bias(&b), &bias(&c)]),
                |[r, layers @ ..]| r + of(layers),
            );
        }
    }

    #[cfg(feature = "training")]
    #[test]
    fn swish_in_one_pass_is_the_plain_one() {
        use crate::nn::fused::check::check;

        for (rows, width) in [(1, 1), (7, 5), (300, 70), (64, 128)] {
            check([[rows, width]], |[x]| fused::swish::swish(&x), |[x]| silu(x));
            for conditions in [rows, 1] {
                check(
                    [[rows, width], [conditions, 2 * width]],
                    |[h, modulation]| fused::swish::film_swish(&h, &modulation),
                    |[h, modulation]| plain_film_swish(h, modulation),
                );
            }
        }
    }
}
