//! The formulas of the loss on tensors. All give one number per image, `[B]`, in nats unless their docs say otherwise.

use burn::tensor::{Tensor, activation::sigmoid, backend::Backend};

use crate::diffusion::terms::Terms;
use crate::nn::dense::sum_rows;
use crate::nn::fused::loss as fused;

/// The loss of a batch of images.
#[derive(Clone, Debug)]
pub struct LossTerms<B: Backend> {
    /// The terms of each image, each `[B]`.
    pub terms: Terms<Tensor<B, 1>>,
    /// The diffusion loss at each of the K drawn times of each image, `[K·B]`, in nats.
    pub diffusion_draws: Tensor<B, 1>,
}

/// z = α f + σ ε for γ `[B]` or `[1]`, f and ε `[B, D]`: the forward process q(z_t | f).
pub fn diffuse<B: Backend>(f: Tensor<B, 2>, noise: Tensor<B, 2>, gamma: Tensor<B, 1>) -> Tensor<B, 2> {
    let gamma = gamma.unsqueeze_dim::<2>(1); // [B, 1]
    f * sigmoid(gamma.clone().neg()).sqrt() + noise * sigmoid(gamma).sqrt()
}

/// f̂ = (z − σ ε̂) / α for γ `[B]` or `[1]`, z and ε̂ `[B, D]`.
pub fn predict_clean<B: Backend>(z: Tensor<B, 2>, noise: Tensor<B, 2>, gamma: Tensor<B, 1>) -> Tensor<B, 2> {
    let gamma = gamma.unsqueeze_dim::<2>(1);
    (z - noise * sigmoid(gamma.clone()).sqrt()) / sigmoid(gamma.neg()).sqrt()
}

/// ln(1 + e^x) elementwise, without overflow.
fn softplus<B: Backend, const D: usize>(x: Tensor<B, D>) -> Tensor<B, D> {
    x.clone().clamp_min(0.0) + x.abs().neg().exp().log1p()
}

/// Σ softplus(ℓ) − x ℓ over the pixels, for logits ℓ and grey values x in [0, 1], both `[B, N]`.
pub fn bernoulli_nll<B: Backend>(logits: Tensor<B, 2>, x: Tensor<B, 2>) -> Tensor<B, 1> {
    fused::bernoulli_nll(&logits, &x).unwrap_or_else(|| plain_bernoulli_nll(logits, x))
}

fn plain_bernoulli_nll<B: Backend>(logits: Tensor<B, 2>, x: Tensor<B, 2>) -> Tensor<B, 1> {
    sum_rows(softplus(logits.clone()) - x * logits)
}

/// −log p(x | x̂) over the pixels for 8-bit grey values x in [0, 1] and x̂, both `[B, N]`: a discretised Gaussian around x̂,
/// p(x | x̂) = N(x; x̂, s²) / Σ_v N(v; x̂, s²) over the 256 grey values v (Kingma et al. 2021, section 3.2). `s` counts in grey
/// levels.
pub fn discrete_nll<B: Backend>(predicted: Tensor<B, 2>, x: Tensor<B, 2>, s: f64) -> Tensor<B, 1> {
    let precision = 0.5 / (s * s);
    let (y, x) = (predicted * 255.0, x * 255.0);
    let nearest = y.clone().round().clamp(0.0, 255.0);
    // Relative to the nearest grey value, so that no exponential of the sum overflows or all of them vanish.
    let apart = y.clone() - nearest.clone();
    let reach = (8.0 * s).ceil() as i32 + 1;
    let mut sum = y.zeros_like();
    for k in -reach..=reach {
        let level = nearest.clone() + f64::from(k);
        let missing = level.clone().lower_elem(-0.5).bool_or(level.greater_elem(255.5));
        let exponent = (apart.clone().square() - (apart.clone() - f64::from(k)).square()) * precision;
        sum = sum + exponent.mask_fill(missing, f64::NEG_INFINITY).exp();
    }
    sum_rows(sum.log() - apart.square() * precision + (y - x).square() * precision)
}

/// Σ (x − y)² over the columns of x and y, `[B, N]`.
fn squared_distance<B: Backend>(x: Tensor<B, 2>, y: Tensor<B, 2>) -> Tensor<B, 1> {
    fused::squared_distance(&x, &y).unwrap_or_else(|| sum_rows((x - y).square()))
}

/// ½ Σ (α_1² f² + σ_1² − ln σ_1² − 1) over the latent dimensions, for f `[B, D]` and γ_max `[1]`.
pub fn latent_kl<B: Backend>(f: Tensor<B, 2>, gamma_max: Tensor<B, 1>) -> Tensor<B, 1> {
    let gamma = gamma_max.unsqueeze::<2>(); // [1, 1]
    // σ² − 1 = −α² and −ln σ² = softplus(−γ) keep their digits where α² is small.
    let alpha_squared = sigmoid(gamma.clone().neg());
    sum_rows((f.square() - 1.0) * alpha_squared + softplus(gamma.neg())) * 0.5
}

/// w ‖ε − ε̂‖² for weights w `[B]`, ε and ε̂ `[B, D]`; w is ½ γ′(t), or ½ T expm1(γ_t − γ_s) in discrete time.
pub fn diffusion_loss<B: Backend>(noise: Tensor<B, 2>, predicted: Tensor<B, 2>, weight: Tensor<B, 1>) -> Tensor<B, 1> {
    squared_distance(noise, predicted) * weight
}

/// Mean squared difference per pixel of images, both `[B, N]`: `[B]`.
pub fn mse<B: Backend>(x: Tensor<B, 2>, y: Tensor<B, 2>) -> Tensor<B, 1> {
    let [_, pixels] = x.dims();
    squared_distance(x, y) / pixels as f64
}

/// Mean squared difference of vertical neighbours plus that of horizontal neighbours of x − y, for `[B, H, W]`.
pub fn gradient_difference<B: Backend>(x: Tensor<B, 3>, y: Tensor<B, 3>) -> Tensor<B, 1> {
    let [batch, h, w] = x.dims();
    let flat = |image: &Tensor<B, 3>| image.clone().reshape([batch, h * w]);
    if h > 1
        && w > 1
        && let Some(difference) = fused::gradient_difference(&flat(&x), &flat(&y), w)
    {
        return difference;
    }
    plain_gradient_difference(x, y)
}

fn plain_gradient_difference<B: Backend>(x: Tensor<B, 3>, y: Tensor<B, 3>) -> Tensor<B, 1> {
    let residual = x - y;
    let [batch, h, w] = residual.dims();
    // A row or column alone has no neighbours.
    let along = |dim: usize, size: usize| match size {
        0 | 1 => Tensor::zeros([batch], &residual.device()),
        _ => {
            let difference = residual.clone().narrow(dim, 1, size - 1) - residual.clone().narrow(dim, 0, size - 1);
            difference.square().mean_dim(2).mean_dim(1).squeeze_dim::<2>(2).squeeze_dim::<1>(1)
        }
    };
    along(1, h) + along(2, w)
}

#[cfg(all(test, feature = "training"))]
mod tests {
    use super::*;
    use crate::nn::fused::check::check;

    #[test]
    fn sums_over_pixels_in_one_pass_are_the_plain_ones() {
        for shape in [[1, 1], [3, 37], [2, 16 * 1024 + 5], [5, 4096]] {
            let column = |sum: Tensor<_, 1>| sum.unsqueeze_dim(1);
            check(
                [shape; 2],
                |[logits, x]| fused::bernoulli_nll(&logits, &x).map(column),
                |[logits, x]| plain_bernoulli_nll(logits, x).unsqueeze_dim(1),
            );
            check(
                [shape; 2],
                |[x, y]| fused::squared_distance(&x, &y).map(column),
                |[x, y]| sum_rows((x - y).square()).unsqueeze_dim(1),
            );
        }
        for [batch, h, w] in [[1, 2, 2], [3, 5, 7], [2, 32, 20], [2, 65, 33], [1, 97, 2]] {
            let image = |x: Tensor<_, 2>| x.reshape([batch, h, w]);
            check(
                [[batch, h * w]; 2],
                |[x, y]| fused::gradient_difference(&x, &y, w).map(|sum| sum.unsqueeze_dim(1)),
                |[x, y]| plain_gradient_difference(image(x), image(y)).unsqueeze_dim(1),
            );
        }
    }
}
