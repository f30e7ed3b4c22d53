//! Encoder and decoder on patches: a fixed lapped transform, and networks that add to it.

use burn::module::{Module, Param};
use burn::tensor::{Tensor, TensorData, backend::Backend};

use super::Decoded;
use crate::autoencoder::lapped::LN_DEVIATION;
use crate::autoencoder::lapped::{self, LappedSelection};
use crate::config::{ComputePrecision, ModelConfig, PatchGrid};
use crate::error::WeightsError;
use crate::nn::params::{Init, ParamBuilder};
use crate::nn::patch_grid::Border;
use crate::nn::patch_net::PatchNet;

/// What the network's input is scaled by: pixels deviate from the mean image by about a fifth.
pub const INPUT_SCALE: f64 = 5.0;
/// What the encoder's network counts beside the lapped transform, in latent numbers. It is small because an optimizer of
/// Adam's kind would shake the image by more than what is left to learn.
pub const ENCODER_RESIDUAL: f64 = 0.1;
/// What the decoder's network counts beside the lapped transform, in grey values.
pub const DECODER_RESIDUAL: f64 = 0.02;
/// What is added to the squares of latent numbers before their logarithm.
pub const LEAST_ENERGY: f64 = 0.01;
/// ln 0.015, four grey levels: what grain starts from where no data were seen.
const FIRST_LN_GRAIN: f32 = -4.2;
/// Half a grey level of 255: the least and, from 1, the greatest mean of a pixel's Bernoulli.
pub const LEAST_MEAN: f64 = 0.002;

/// The lapped transform to latents, `[window, channels]`, and back, `[channels, window]`, as values row by row.
fn transforms(grid: PatchGrid, channels: usize, selection: &LappedSelection) -> [Vec<f32>; 2] {
    let LappedSelection { coefficients, scales, .. } = selection;
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
fn first_transforms(grid: PatchGrid, channels: usize) -> [Vec<f32>; 2] {
    let coefficients = lapped::lowest(grid.patch, channels);
    let scales = vec![1.0; coefficients.len()];
    transforms(grid, channels, &LappedSelection { coefficients, scales, ln_left: Vec::new() })
}

fn matrix<B: Backend>(values: Vec<f32>, shape: [usize; 2], device: &B::Device) -> Tensor<B, 2> {
    Tensor::from_data(TensorData::new(values, shape), device).require_grad()
}

/// Windows of an image to the numbers of their patches.
#[derive(Module, Debug)]
pub struct PatchEncoder<B: Backend> {
    /// The mean training image, which the input is measured from; it is not trained.
    pub(super) mean: Param<Tensor<B, 1>>,
    pub(super) net: PatchNet<B>,
    /// The lapped transform that the network adds to, `[window, channels]`; it is not trained.
    pub(super) transform: Param<Tensor<B, 2>>,
}

impl<B: Backend> PatchEncoder<B> {
    pub(super) fn build(
        config: &ModelConfig,
        grid: PatchGrid,
        p: &mut ParamBuilder<'_, B>,
    ) -> Result<Self, WeightsError> {
        let sizes = [grid.window(), config.latent_dim / grid.tokens()];
        let [to, _] = first_transforms(grid, sizes[1]);
        Ok(Self {
            mean: p.param("mean", [config.pixels()], Init::Constant(0.5))?,
            net: p.scope("net", |p| PatchNet::build(&config.encoder, sizes, None, grid, p))?,
            transform: p.param_with("transform", sizes, |_, _| to)?,
        })
    }

    pub(super) fn forward(&self, x: Tensor<B, 2>) -> Tensor<B, 2> {
        let grid = self.net.grid;
        let centred = x - self.mean.val().detach().unsqueeze::<2>();
        let windows = grid.windows(centred, Border::Wrap);
        let residual = self.net.forward(windows.clone() * INPUT_SCALE, None) * ENCODER_RESIDUAL;
        let tokens = windows.matmul(self.transform.val().detach()) + residual;
        let [count, channels] = tokens.dims();
        tokens.reshape([count / grid.tokens(), grid.tokens() * channels])
    }

    pub(super) fn with_lapped_transform(self, selection: &LappedSelection, device: &B::Device) -> Self {
        let shape: [usize; 2] = self.transform.dims();
        let [to, _] = transforms(self.net.grid, shape[1], selection);
        Self { transform: self.transform.map(|_| matrix(to, shape, device)), ..self }
    }
}

/// Says how strong grain is: a network on the logarithms of the squares of latent numbers, since the strength of what is
/// finer than a latent follows that of the finest that it holds. It does not change the latent.
#[derive(Module, Debug)]
pub struct GrainHead<B: Backend> {
    /// Natural logarithms of standard deviations `[patch²]` that the network adds to; not trained.
    start: Param<Tensor<B, 1>>,
    net: PatchNet<B>,
}

impl<B: Backend> GrainHead<B> {
    fn build(config: &ModelConfig, grid: PatchGrid, p: &mut ParamBuilder<'_, B>) -> Result<Self, WeightsError> {
        let area = grid.patch * grid.patch;
        Ok(Self {
            start: p.param("start", [area], Init::Constant(FIRST_LN_GRAIN))?,
            net: p.scope("net", |p| {
                PatchNet::build(&config.grain_blocks(), [config.latent_dim / grid.tokens(), area], None, grid, p)
            })?,
        })
    }

    /// Numbers of patches `[B·tokens, channels]` → ln of the standard deviations `[B·tokens, patch²]`.
    fn forward(&self, tokens: Tensor<B, 2>) -> Tensor<B, 2> {
        let (low, high) = LN_DEVIATION;
        let energies = (tokens.detach().square() + LEAST_ENERGY).log();
        (self.net.forward(energies, None) + self.start.val().detach().unsqueeze::<2>()).clamp(low, high)
    }
}

/// The numbers of each patch to windows of the image, which are added up.
#[derive(Module, Debug)]
pub struct PatchDecoder<B: Backend> {
    pub(super) net: PatchNet<B>,
    /// The mean training image, which the image starts from; it is not trained.
    pub(super) mean: Param<Tensor<B, 1>>,
    /// The lapped transform that the network adds to, `[channels, window]`; it is not trained.
    pub(super) transform: Param<Tensor<B, 2>>,
    pub(super) grain: Option<GrainHead<B>>,
}

impl<B: Backend> PatchDecoder<B> {
    pub(super) fn build(
        config: &ModelConfig,
        grid: PatchGrid,
        p: &mut ParamBuilder<'_, B>,
    ) -> Result<Self, WeightsError> {
        let sizes = [config.latent_dim / grid.tokens(), grid.window()];
        let [_, back] = first_transforms(grid, sizes[0]);
        let grain = |p: &mut ParamBuilder<'_, B>| p.scope("grain", |p| GrainHead::build(config, grid, p));
        Ok(Self {
            net: p.scope("net", |p| PatchNet::build(&config.decoder, sizes, None, grid, p))?,
            mean: p.param("mean", [config.pixels()], Init::Constant(0.5))?,
            transform: p.param_with("transform", sizes, |_, _| back)?,
            grain: config.grain.then(|| grain(p)).transpose()?,
        })
    }

    pub(super) fn decode(&self, f: Tensor<B, 2>) -> Decoded<B> {
        let grid = self.net.grid;
        let [batch, dim] = f.dims();
        let tokens = f.reshape([batch * grid.tokens(), dim / grid.tokens()]);
        let ln_grain = self.grain.as_ref().map(|head| head.forward(tokens.clone()));
        let residual = self.net.forward(tokens.clone(), None) * DECODER_RESIDUAL;
        let windows = tokens.matmul(self.transform.val().detach()) + residual;
        let mean = grid.overlap_add(windows, Border::Wrap) + self.mean.val().detach().unsqueeze::<2>();
        // A mean beyond what a Bernoulli can have still has a squared error to learn from.
        let possible = mean.clone().clamp(LEAST_MEAN, 1.0 - LEAST_MEAN);
        let logits = (possible.clone() / (possible.neg() + 1.0)).log();
        Decoded { logits, mean, ln_grain }
    }

    pub(super) fn set_compute(&mut self, compute: ComputePrecision) {
        self.net.compute = compute;
        if let Some(head) = &mut self.grain {
            head.net.compute = compute;
        }
    }

    pub(super) fn with_lapped_transform(self, selection: &LappedSelection, device: &B::Device) -> Self {
        let shape: [usize; 2] = self.transform.dims();
        let [_, back] = transforms(self.net.grid, shape[0], selection);
        let left = &selection.ln_left;
        let start = || Tensor::<B, 1>::from_data(TensorData::new(left.clone(), [left.len()]), device).require_grad();
        let grain = self.grain.map(|head| GrainHead { start: head.start.map(|_| start()), ..head });
        Self { transform: self.transform.map(|_| matrix(back, shape, device)), grain, ..self }
    }
}
