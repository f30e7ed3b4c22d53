//! The noise of Gaussian latents: what would be the best prediction if latents were normally distributed.
//!
//! A ScoreNet on tokens predicts what is left beside it, so that a short training already has the means and the
//! correlations of the whole chest right, which take a network alone very long to learn. The covariance is that of the
//! training latents' first R principal components; what they leave is taken as independent.

use burn::module::{Module, Param};
use burn::tensor::{Tensor, activation::sigmoid, backend::Backend};

use crate::error::WeightsError;
use crate::params::{Init, ParamBuilder};

/// Mean and covariance U diag(λ) Uᵀ + diag(ν) of latents; not trained by gradients but measured.
#[derive(Module, Debug)]
pub struct GaussianNoise<B: Backend> {
    /// μ, `[D]`.
    pub(crate) mean: Param<Tensor<B, 1>>,
    /// U, orthonormal, `[D, R]`.
    pub(crate) components: Param<Tensor<B, 2>>,
    /// λ, `[R]`.
    pub(crate) variances: Param<Tensor<B, 1>>,
    /// ν, the variance of each number beside the components, `[D]`.
    pub(crate) rest: Param<Tensor<B, 1>>,
}

/// The numbers of a [`GaussianNoise`], as measured on latents.
#[derive(Clone, Debug)]
pub struct LatentStatistics {
    /// μ, of length D.
    pub mean: Vec<f32>,
    /// U, row by row, of length D·R.
    pub components: Vec<f32>,
    /// λ, of length R.
    pub variances: Vec<f32>,
    /// ν, of length D.
    pub rest: Vec<f32>,
}

impl<B: Backend> GaussianNoise<B> {
    pub(crate) fn build(dim: usize, rank: usize, p: &mut ParamBuilder<'_, B>) -> Result<Self, WeightsError> {
        Ok(Self {
            mean: p.param("mean", [dim], Init::Constant(0.0))?,
            components: p.param("components", [dim, rank], Init::Constant(0.0))?,
            variances: p.param("variances", [rank], Init::Constant(1.0))?,
            rest: p.param("rest", [dim], Init::Constant(1.0))?,
        })
    }

    /// ε̂ = σ (α² (U diag(λ) Uᵀ + diag(ν)) + σ²)⁻¹ (z − α μ) for z `[B, D]` and γ `[B]` or `[1]`, taking U to be
    /// orthogonal to what is beside it.
    pub fn predict(&self, z: Tensor<B, 2>, gamma: Tensor<B, 1>) -> Tensor<B, 2> {
        let gamma = gamma.unsqueeze_dim::<2>(1); // [B, 1]
        let (alpha_2, sigma_2) = (sigmoid(gamma.clone().neg()), sigmoid(gamma));
        let row = |param: &Param<Tensor<B, 1>>| param.val().detach().unsqueeze::<2>(); // [1, ·]
        let components = self.components.val().detach();
        let precision = |variances: Tensor<B, 2>| (variances * alpha_2.clone() + sigma_2.clone()).recip();
        let (inside, outside) = (precision(row(&self.variances)), precision(row(&self.rest)));
        let centred = z - row(&self.mean) * alpha_2.clone().sqrt();
        let scores = centred.clone().matmul(components.clone()); // [B, R]
        let back = components.transpose();
        let explained = scores.clone().matmul(back.clone());
        ((scores * inside).matmul(back) + (centred - explained) * outside) * sigma_2.sqrt()
    }
}
