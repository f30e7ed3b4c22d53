//! Encoder and decoder on patches: a fixed lapped transform, and networks that add to it.

use burn::module::{Module, Param};
use burn::tensor::{Tensor, backend::Backend};

use crate::autoencoder::decoded::Decoded;
use crate::autoencoder::lapped::{self, LN_DEVIATION, LappedSelection};
use crate::config::{ComputePrecision, ModelConfig, PatchGrid};
use crate::error::WeightsError;
use crate::nn::params::{Init, ParamBuilder, parameter};
use crate::nn::patch_grid::Border;
use crate::nn::patch_net::PatchNet;

/// Factor of the network's input: pixels deviate from the mean image by about a fifth.
pub const INPUT_SCALE: f64 = 5.0;
/// Factor of the encoder network's output, which is added to the lapped transform, in latent numbers. It is small because
/// the steps of Adam and its variants would otherwise change the image by more than what is left to learn.
pub const ENCODER_RESIDUAL: f64 = 0.1;
/// Factor of the decoder network's output, which is added to the lapped transform, in grey values.
pub const DECODER_RESIDUAL: f64 = 0.02;
/// Added to the squares of latent numbers before their logarithm.
pub const MIN_ENERGY: f64 = 0.01;
/// ln 0.015, four grey levels: the grain of a model without statistics of data.
const FIRST_LN_GRAIN: f32 = -4.2;
/// Half a grey level of 255: a pixel's Bernoulli distribution has a mean from this to 1 minus this.
pub const MIN_MEAN: f64 = 0.002;

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

/// The transforms of a model without statistics of data: the lowest frequencies, unscaled.
fn first_transforms(grid: PatchGrid, channels: usize) -> [Vec<f32>; 2] {
    let coefficients = lapped::lowest(grid.patch, channels);
    let scales = vec![1.0; coefficients.len()];
    transforms(grid, channels, &LappedSelection { coefficients, scales, ln_left: Vec::new() })
}

/// Windows of an image to the numbers of their patches.
#[derive(Module, Debug)]
pub struct PatchEncoder<B: Backend> {
    /// The mean training image, which is subtracted from the input. It is not trained.
    pub(super) mean: Param<Tensor<B, 1>>,
    pub(super) net: PatchNet<B>,
    /// The lapped transform that the network adds to, `[window, channels]`. It is not trained.
    pub(super) transform: Param<Tensor<B, 2>>,
}

impl<B: Backend> PatchEncoder<B> {
    pub(super) fn build(
        config: &ModelConfig,
        grid: PatchGrid,
        p: &mut ParamBuilder<'_, B>,
    ) -> Result<Self, WeightsError> {
        let sizes = [grid.window(), config.latent_dim / grid.patches()];
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
        let patches = windows.matmul(self.transform.val().detach()) + residual;
        let [count, channels] = patches.dims();
        patches.reshape([count / grid.patches(), grid.patches() * channels])
    }

    pub(super) fn with_lapped_transform(self, selection: &LappedSelection, device: &B::Device) -> Self {
        let shape: [usize; 2] = self.transform.dims();
        let [to, _] = transforms(self.net.grid, shape[1], selection);
        Self { transform: self.transform.map(|_| parameter(to, shape, device)), ..self }
    }
}

/// Predicts the strength of grain: a network on the logarithms of the squares of latent numbers, since the strength of what is
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
                PatchNet::build(&config.grain_blocks(), [config.latent_dim / grid.patches(), area], None, grid, p)
            })?,
        })
    }

    /// Patches `[B·P, channels]` → ln of the standard deviations `[B·P, patch²]`.
    fn forward(&self, patches: Tensor<B, 2>) -> Tensor<B, 2> {
        let (low, high) = LN_DEVIATION;
        let energies = (patches.detach().square() + MIN_ENERGY).log();
        (self.net.forward(energies, None) + self.start.val().detach().unsqueeze::<2>()).clamp(low, high)
    }
}

/// The numbers of each patch to windows of the image, which are added.
#[derive(Module, Debug)]
pub struct PatchDecoder<B: Backend> {
    pub(super) net: PatchNet<B>,
    /// The mean training image, which the image starts from. It is not trained.
    pub(super) mean: Param<Tensor<B, 1>>,
    /// The lapped transform that the network adds to, `[channels, window]`. It is not trained.
    pub(super) transform: Param<Tensor<B, 2>>,
    pub(super) grain: Option<GrainHead<B>>,
}

impl<B: Backend> PatchDecoder<B> {
    pub(super) fn build(
        config: &ModelConfig,
        grid: PatchGrid,
        p: &mut ParamBuilder<'_, B>,
    ) -> Result<Self, WeightsError> {
        let sizes = [config.latent_dim / grid.patches(), grid.window()];
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
        let patches = f.reshape([batch * grid.patches(), dim / grid.patches()]);
        let ln_grain = self.grain.as_ref().map(|head| head.forward(patches.clone()));
        let residual = self.net.forward(patches.clone(), None) * DECODER_RESIDUAL;
        let windows = patches.matmul(self.transform.val().detach()) + residual;
        let mean = grid.overlap_add(windows, Border::Wrap) + self.mean.val().detach().unsqueeze::<2>();
        // Outside this range only the squared error trains the mean.
        let possible = mean.clone().clamp(MIN_MEAN, 1.0 - MIN_MEAN);
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
        let start = || parameter(left.clone(), [left.len()], device);
        let grain = self.grain.map(|head| GrainHead { start: head.start.map(|_| start()), ..head });
        Self { transform: self.transform.map(|_| parameter(back, shape, device)), grain, ..self }
    }
}
