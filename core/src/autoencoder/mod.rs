//! Images to latents and back: on the whole image, as in the paper, or on patches.

pub mod dense;
pub mod grain;
pub mod lapped;
pub mod patches;

use burn::module::Module;
use burn::tensor::{Tensor, backend::Backend};

use crate::autoencoder::lapped::LappedSelection;
use crate::config::{ComputePrecision, ModelConfig};
use crate::error::WeightsError;
use crate::nn::params::ParamBuilder;

pub use dense::{DenseDecoder, DenseEncoder};
pub use patches::{GrainHead, PatchDecoder, PatchEncoder};

/// Images to latents. Which of the two it is has no place in the names of its parameters: the configuration says it.
#[derive(Module, Debug)]
#[expect(clippy::large_enum_variant, reason = "a model has one of them")]
pub enum Encoder<B: Backend> {
    /// On the whole image.
    Dense(DenseEncoder<B>),
    /// On patches.
    Patches(PatchEncoder<B>),
}

impl<B: Backend> Encoder<B> {
    pub(crate) fn build(config: &ModelConfig, p: &mut ParamBuilder<'_, B>) -> Result<Self, WeightsError> {
        match config.grid() {
            None => DenseEncoder::build(config, p).map(Encoder::Dense),
            Some(grid) => PatchEncoder::build(config, grid, p).map(Encoder::Patches),
        }
    }

    /// x `[B, H·W]` in [0, 1] → f `[B, latent_dim]`.
    pub fn forward(&self, x: Tensor<B, 2>) -> Tensor<B, 2> {
        match self {
            Encoder::Dense(encoder) => encoder.forward(x),
            Encoder::Patches(encoder) => encoder.forward(x),
        }
    }

    pub(crate) fn set_compute(&mut self, compute: ComputePrecision) {
        match self {
            Encoder::Dense(encoder) => encoder.net.compute = compute,
            Encoder::Patches(encoder) => encoder.net.compute = compute,
        }
    }

    /// Measures its input from the mean training image `[H·W]`.
    pub(crate) fn with_mean_image(self, mean: &[f64], device: &B::Device) -> Self {
        match self {
            Encoder::Dense(encoder) => {
                Encoder::Dense(DenseEncoder { mean: encoder.mean.map(|_| vector(mean, device)), ..encoder })
            }
            Encoder::Patches(encoder) => {
                Encoder::Patches(PatchEncoder { mean: encoder.mean.map(|_| vector(mean, device)), ..encoder })
            }
        }
    }

    /// On patches, tells it which coefficients of the lapped transform a latent holds.
    pub(crate) fn with_lapped_transform(self, selection: &LappedSelection, device: &B::Device) -> Self {
        match self {
            Encoder::Patches(encoder) => Encoder::Patches(encoder.with_lapped_transform(selection, device)),
            dense @ Encoder::Dense(_) => dense,
        }
    }
}

/// What a decoder says of an image.
#[derive(Clone, Debug)]
pub struct Decoded<B: Backend> {
    /// Logits of an independent Bernoulli a pixel, `[B, H·W]`.
    pub logits: Tensor<B, 2>,
    /// The mean image, `[B, H·W]`; on patches it may lie a little outside of [0, 1].
    pub mean: Tensor<B, 2>,
    /// Natural logarithms of the standard deviations of grain, `[B·tokens, patch²]`, see [`grain`](crate::autoencoder::grain).
    pub ln_grain: Option<Tensor<B, 2>>,
}

/// Latents to images; as for the [encoder](Encoder), its parameters' names do not say which of the two it is.
#[derive(Module, Debug)]
#[expect(clippy::large_enum_variant, reason = "a model has one of them")]
pub enum Decoder<B: Backend> {
    /// The whole image at once.
    Dense(DenseDecoder<B>),
    /// Patch by patch, overlapping.
    Patches(PatchDecoder<B>),
}

impl<B: Backend> Decoder<B> {
    pub(crate) fn build(config: &ModelConfig, p: &mut ParamBuilder<'_, B>) -> Result<Self, WeightsError> {
        match config.grid() {
            None => DenseDecoder::build(config, p).map(Decoder::Dense),
            Some(grid) => PatchDecoder::build(config, grid, p).map(Decoder::Patches),
        }
    }

    /// f `[B, latent_dim]` → the mean image's logits, and grain where there is any.
    pub fn decode(&self, f: Tensor<B, 2>) -> Decoded<B> {
        match self {
            Decoder::Dense(decoder) => decoder.decode(f),
            Decoder::Patches(decoder) => decoder.decode(f),
        }
    }

    /// f `[B, latent_dim]` → logits `[B, H·W]`.
    pub fn forward(&self, f: Tensor<B, 2>) -> Tensor<B, 2> {
        self.decode(f).logits
    }

    pub(crate) fn set_compute(&mut self, compute: ComputePrecision) {
        match self {
            Decoder::Dense(decoder) => decoder.net.compute = compute,
            Decoder::Patches(decoder) => decoder.set_compute(compute),
        }
    }

    /// Starts at the mean training image `[H·W]`.
    pub(crate) fn with_mean_image(self, mean: &[f64], device: &B::Device) -> Self {
        match self {
            Decoder::Dense(decoder) => Decoder::Dense(decoder.with_mean_image(mean, device)),
            Decoder::Patches(decoder) => {
                Decoder::Patches(PatchDecoder { mean: decoder.mean.map(|_| vector(mean, device)), ..decoder })
            }
        }
    }

    /// Takes the grain of another decoder on patches, or has none where that has none.
    #[must_use]
    pub fn with_grain_of(self, other: Self) -> Self {
        match (self, other) {
            (Decoder::Patches(decoder), Decoder::Patches(other)) => {
                Decoder::Patches(PatchDecoder { grain: other.grain, ..decoder })
            }
            (decoder, _) => decoder,
        }
    }

    /// On patches, tells it which coefficients of the lapped transform a latent holds.
    pub(crate) fn with_lapped_transform(self, selection: &LappedSelection, device: &B::Device) -> Self {
        match self {
            Decoder::Patches(decoder) => Decoder::Patches(decoder.with_lapped_transform(selection, device)),
            dense @ Decoder::Dense(_) => dense,
        }
    }
}

fn vector<B: Backend>(values: &[f64], device: &B::Device) -> Tensor<B, 1> {
    Tensor::from_data(values, device).require_grad()
}
