//! The ScoreNet.

use burn::module::{Module, Param};
use burn::nn::Linear;
use burn::tensor::activation::{sigmoid, silu};
use burn::tensor::{Int, Tensor, backend::Backend};

use crate::config::{Autoguidance, ComputePrecision, ModelConfig};
use crate::diffusion::gaussian::GaussianNoise;
use crate::error::WeightsError;
use crate::nn::dense::{Gains, ResNet};
use crate::nn::params::{Init, ParamBuilder};
use crate::nn::patch_net::PatchNet;

/// Added to α where the clean latent is computed from a noisy one.
pub const MIN_ALPHA: f64 = 0.1;

/// Residual blocks on the whole latent, or on its patches.
#[derive(Module, Debug)]
#[expect(clippy::large_enum_variant, reason = "a model has one of them")]
pub enum Body<B: Backend> {
    /// On the whole latent.
    Dense(ResNet<B>),
    /// On each patch.
    Patches(PatchNet<B>),
}

/// Predicts the noise ε in z_t.
#[derive(Module, Debug)]
pub struct ScoreNet<B: Backend> {
    /// One row per class, and a last one for "no class". Absent in an unconditional model.
    class_embedding: Option<Param<Tensor<B, 2>>>,
    condition_1: Linear<B>,
    condition_2: Linear<B>,
    condition_3: Linear<B>,
    pub(crate) gaussian: Option<GaussianNoise<B>>,
    net: Body<B>,
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
                    let channels = config.latent_dim / grid.patches();
                    // With a Gaussian prediction, the clean latent that it implies is an input too.
                    let inputs = if rank > 0 { 2 * channels } else { channels };
                    PatchNet::build(&score.blocks(), [inputs, channels], Some(dim), grid, p).map(Body::Patches)
                }
            })?,
        })
    }

    pub(crate) fn set_compute(&mut self, compute: ComputePrecision) {
        match &mut self.net {
            Body::Dense(net) => net.compute = compute,
            Body::Patches(net) => net.compute = compute,
        }
    }

    /// Number of labels.
    pub fn classes(&self) -> usize {
        self.class_embedding.as_ref().map_or(0, |e| e.dims()[0] - 1)
    }

    /// The Gaussian prediction that the network's output is added to.
    pub fn gaussian(&self) -> Option<&GaussianNoise<B>> {
        self.gaussian.as_ref()
    }

    /// Dimension of the embedded time.
    pub(crate) fn embedding_dim(&self) -> usize {
        self.condition_2.weight.dims()[0]
    }

    /// The network's output on the whole latent, `[B, D]`: a [velocity](crate::diffusion::coarse) in a coarse ScoreNet.
    pub(crate) fn velocity(
        &self,
        z: Tensor<B, 2>,
        embedded_time: Tensor<B, 2>,
        classes: Option<Tensor<B, 1, Int>>,
    ) -> Tensor<B, 2> {
        let condition = self.condition(&z, embedded_time, classes);
        match &self.net {
            Body::Dense(net) => net.forward(z, Some(&condition)),
            Body::Patches(_) => z.zeros_like(),
        }
    }

    /// z `[B, D]`, γ `[B]` or `[1]`, embedded times `[B or 1, embedding_dim]` → ε̂ `[B, D]`.
    ///
    /// `classes` `[B]` holds labels, where [`classes`](Self::classes) itself stands for "no class". An unconditional model
    /// ignores it.
    ///
    /// On the whole latent ε̂ = z + F with the network's output F, as in the paper. On patches F is a velocity α ε − σ f
    /// (Salimans and Ho 2022), ε̂ = σ z + α F. With a Gaussian prediction, which the `coarse` network may improve, F is the
    /// difference from that prediction's velocity, ε̂ = ε̂_Gauss + α F. Autoguidance w makes it ε̂_Gauss + (1 + w) α F, and
    /// acts on what the coarse network adds to ε̂_Gauss in the same way.
    pub fn forward(
        &self,
        z: Tensor<B, 2>,
        gamma: Tensor<B, 1>,
        embedded_time: Tensor<B, 2>,
        classes: Option<Tensor<B, 1, Int>>,
        coarse: Option<&Self>,
        autoguidance: Autoguidance,
    ) -> Tensor<B, 2> {
        let condition = self.condition(&z, embedded_time.clone(), classes.clone());
        let net = match &self.net {
            Body::Dense(net) => return z.clone() + net.forward(z, Some(&condition)),
            Body::Patches(net) => net,
        };
        let [batch, dim] = z.dims();
        let count = net.grid.patches();
        let patches = |x: Tensor<B, 2>| x.reshape([batch * count, dim / count]);
        let scale = |gamma: Tensor<B, 1>| sigmoid(gamma).sqrt().unsqueeze_dim::<2>(1); // [B or 1, 1]
        let (alpha, sigma) = (scale(gamma.clone().neg()), scale(gamma.clone()));
        let (start, input) = match &self.gaussian {
            None => (z.clone() * sigma, patches(z)),
            Some(gaussian) => {
                let counted = 1.0 + autoguidance.coarse;
                let velocity =
                    coarse.map(|coarse| move |s: Tensor<B, 2>| coarse.velocity(s, embedded_time, classes) * counted);
                let predicted = gaussian.predict(z.clone(), gamma, velocity);
                // Division by a small α would leave nothing but rounding.
                let clean = z.clone() - predicted.clone() * sigma;
                (predicted, Tensor::cat(vec![patches(z), patches(clean / (alpha.clone() + MIN_ALPHA))], 1))
            }
        };
        start + net.forward(input, Some(&condition)).reshape([batch, dim]) * (alpha * (1.0 + autoguidance.score_net))
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
