//! The noise of Gaussian latents: the best prediction if latents were normally distributed.
//!
//! A ScoreNet on patches predicts the difference from it. A short training then already has the means and correlations of
//! the whole chest right, which a network alone learns slowly. The covariance is that of the
//! first R principal components of each patch's first numbers, which hold the coarse structure; what they leave, and all
//! other numbers, are taken as independent.

use burn::module::{Module, Param};
use burn::tensor::{Tensor, activation::sigmoid, backend::Backend};

use crate::config::{GAUSSIAN_CHANNELS, PatchGrid};
use crate::error::WeightsError;
use crate::nn::params::{Init, ParamBuilder};

/// Mean and covariance U diag(λ) Uᵀ + diag(ν) of latents. They are measured, not trained by gradients.
#[derive(Module, Debug)]
pub struct GaussianNoise<B: Backend> {
    /// μ, `[D]`.
    pub(crate) mean: Param<Tensor<B, 1>>,
    /// U, orthonormal, `[patches · channels, R]`.
    pub(crate) components: Param<Tensor<B, 2>>,
    /// λ, `[R]`.
    pub(crate) variances: Param<Tensor<B, 1>>,
    /// ν, the variance of each number beside the components, `[D]`.
    pub(crate) rest: Param<Tensor<B, 1>>,
    #[module(skip)]
    pub(crate) patches: usize,
    #[module(skip)]
    pub(crate) channels: usize,
}

/// The numbers of a [`GaussianNoise`], as measured on latents.
#[derive(Clone, Debug)]
pub struct LatentStatistics {
    /// μ, of length D.
    pub mean: Vec<f32>,
    /// U, row by row: R values for each of the first [`GAUSSIAN_CHANNELS`] numbers of each patch.
    pub components: Vec<f32>,
    /// λ, of length R.
    pub variances: Vec<f32>,
    /// ν, of length D.
    pub rest: Vec<f32>,
}

impl<B: Backend> GaussianNoise<B> {
    pub(crate) fn build(
        dim: usize,
        rank: usize,
        grid: PatchGrid,
        p: &mut ParamBuilder<'_, B>,
    ) -> Result<Self, WeightsError> {
        let patches = grid.patches();
        let channels = GAUSSIAN_CHANNELS.min(dim / patches);
        Ok(Self {
            patches,
            channels,
            mean: p.param("mean", [dim], Init::Constant(0.0))?,
            components: p.param("components", [patches * channels, rank], Init::Constant(0.0))?,
            variances: p.param("variances", [rank], Init::Constant(1.0))?,
            rest: p.param("rest", [dim], Init::Constant(1.0))?,
        })
    }

    /// The principal components of latents f `[B, D]`, `[B, R]`.
    pub fn scores(&self, f: Tensor<B, 2>) -> Tensor<B, 2> {
        self.scores_of_centred(f - self.mean.val().detach().unsqueeze::<2>())
    }

    /// λ, `[1, R]`.
    pub fn variances(&self) -> Tensor<B, 2> {
        self.variances.val().detach().unsqueeze()
    }

    fn scores_of_centred(&self, f: Tensor<B, 2>) -> Tensor<B, 2> {
        let [batch, dim] = f.dims();
        let first = f.reshape([batch, self.patches, dim / self.patches]).narrow(2, 0, self.channels);
        first.reshape([batch, self.patches * self.channels]).matmul(self.components.val().detach())
    }

    /// ε̂ = σ (α² (U diag(λ) Uᵀ + diag(ν)) + σ²)⁻¹ (z − α μ) for z `[B, D]` and γ `[B]` or `[1]`, taking U to be
    /// orthogonal to what is beside it.
    ///
    /// `velocity` may improve on the components: from them at unit variance, `[B, R]`, it predicts their velocity, see
    /// [`coarse`](crate::diffusion::coarse).
    pub fn predict(
        &self,
        z: Tensor<B, 2>,
        gamma: Tensor<B, 1>,
        velocity: Option<impl FnOnce(Tensor<B, 2>) -> Tensor<B, 2>>,
    ) -> Tensor<B, 2> {
        let gamma = gamma.unsqueeze_dim::<2>(1); // [B, 1]
        let (alpha_2, sigma_2) = (sigmoid(gamma.clone().neg()), sigmoid(gamma));
        let row = |param: &Param<Tensor<B, 1>>| param.val().detach().unsqueeze::<2>(); // [1, ·]
        let components = self.components.val().detach();
        let precision = |variances: Tensor<B, 2>| (variances * alpha_2.clone() + sigma_2.clone()).recip();
        let (inside, outside) = (precision(row(&self.variances)), precision(row(&self.rest)));
        let centred = z - row(&self.mean) * alpha_2.clone().sqrt();
        let [batch, dim] = centred.dims();
        let (all, some) = (dim / self.patches, self.channels);
        let scores = self.scores_of_centred(centred.clone());
        let back = components.transpose();
        let spread = |x: Tensor<B, 2>| {
            let x = x.reshape([batch, self.patches, some]);
            let zeros = Tensor::zeros([batch, self.patches, all - some], &x.device());
            let x = if all > some { Tensor::cat(vec![x, zeros], 2) } else { x };
            x.reshape([batch, dim])
        };
        let explained = spread(scores.clone().matmul(back.clone()));
        let sigma = sigma_2.sqrt();
        let mut of_components = scores.clone() * inside.clone() * sigma.clone();
        if let Some(velocity) = velocity {
            let signal = (row(&self.variances) * alpha_2 * inside.clone()).sqrt();
            of_components = of_components + velocity(scores * inside.sqrt()) * signal;
        }
        spread(of_components.matmul(back)) + (centred - explained) * outside * sigma
    }
}
