//! The ScoreNet of the coarse structure: the paper's dense network, on the principal components of the latents.
//!
//! Where there is much noise, only the first R principal components s of a latent can be seen in it, and where organs and
//! borders lie is decided there, for the whole chest at once. Networks on patches learn that last: it counts little in the
//! bound, and each patch sees its neighbours only. A dense network sees all components at once, costs next to nothing,
//! and is trained in minutes by itself, on the components of all training images.
//!
//! It works on components at unit variance. With variances λ, and total variances τ = α² λ + σ² of the noisy ones,
//!
//! s_t/√τ = c s/√λ + d ε,  c = α √(λ/τ),  d = σ/√τ,  c² + d² = 1,
//!
//! and its output is the velocity v̂ of c ε − d s/√λ (Salimans and Ho 2022), so that ε̂ = d s_t/√τ + c v̂: what is known of
//! Gaussian components, and what the network adds.

use burn::tensor::{Int, Tensor, activation::sigmoid, backend::Backend};

use crate::diffusion::score_net::ScoreNet;
use crate::nn::dense::time_embedding;

/// Added to the mean weight of a draw's components in the loss.
const MIN_SIGNAL: f64 = 0.02;

/// Principal components to learn from.
#[derive(Clone, Debug)]
pub struct Components<B: Backend> {
    /// s, of mean 0 and in the units of the latents, `[B, R]`.
    pub scores: Tensor<B, 2>,
    /// λ, `[1, R]`.
    pub variances: Tensor<B, 2>,
    /// Labels `[B]`, where the model has classes.
    pub classes: Option<Tensor<B, 1, Int>>,
}

/// Σ (ε − ε̂)² over the components, `[B]`, over the mean of c² + 0.02: a draw counts as much with much noise as with
/// little, and within it a component as much as can be known of it. γ and τ `[B]`, ε `[B, R]`.
pub fn loss<B: Backend>(
    net: &ScoreNet<B>,
    components: Components<B>,
    gamma: Tensor<B, 1>,
    tau: Tensor<B, 1>,
    noise: Tensor<B, 2>,
) -> Tensor<B, 1> {
    let Components { scores, variances, classes } = components;
    let gamma = gamma.unsqueeze_dim::<2>(1); // [B, 1]
    let (alpha_2, sigma_2) = (sigmoid(gamma.clone().neg()), sigmoid(gamma));
    let total = variances.clone() * alpha_2.clone() + sigma_2.clone();
    let c_2 = variances.clone() * alpha_2 / total.clone();
    let (c, d) = (c_2.clone().sqrt(), (sigma_2 / total).sqrt());
    let unit = scores / variances.sqrt();
    let noisy = unit.clone() * c.clone() + noise.clone() * d.clone();
    let velocity = noise * c - unit * d;
    let predicted = net.velocity(noisy, time_embedding(tau, net.embedding_dim()), classes);
    let errors = ((velocity - predicted).square() * c_2.clone()).sum_dim(1);
    (errors / (c_2.mean_dim(1) + MIN_SIGNAL)).squeeze_dim(1)
}
