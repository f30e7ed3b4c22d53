//! Images to latents and back: learned as in the paper, or a fixed transform to bands.

pub mod dense;
pub mod lapped;

use burn::module::Module;
use burn::tensor::{Tensor, backend::Backend};

use crate::config::{ComputePrecision, ModelConfig};
use crate::error::WeightsError;
use crate::nn::params::ParamBuilder;

pub use dense::{DenseDecoder, DenseEncoder};
pub use lapped::Lapped;

/// Images to latents.
#[derive(Module, Debug)]
#[expect(clippy::large_enum_variant, reason = "a model has one of them")]
pub enum Encoder<B: Backend> {
    /// Learned, as in the paper.
    Dense(DenseEncoder<B>),
    /// The transform to bands.
    Lapped(Lapped<B>),
}

impl<B: Backend> Encoder<B> {
    pub(crate) fn build(config: &ModelConfig, p: &mut ParamBuilder<'_, B>) -> Result<Self, WeightsError> {
        match &config.latent {
            Some(latent) => DenseEncoder::build(latent, config.pixels(), p).map(Encoder::Dense),
            None => Lapped::build(config, p).map(Encoder::Lapped),
        }
    }

    /// x `[B, H·W]` in [0, 1] → f `[B, D]`: the latent, or the coarse band and then the fine one.
    pub fn forward(&self, x: Tensor<B, 2>) -> Tensor<B, 2> {
        match self {
            Encoder::Dense(encoder) => encoder.forward(x),
            Encoder::Lapped(lapped) => Tensor::cat(lapped.split(x).into(), 1),
        }
    }

    pub(crate) fn set_compute(&mut self, compute: ComputePrecision) {
        if let Encoder::Dense(encoder) = self {
            encoder.net.compute = compute;
        }
    }

    /// Sets the mean training image `[H·W]`, which is subtracted from the input.
    pub(crate) fn with_mean_image(self, mean: &[f64], device: &B::Device) -> Self {
        match self {
            Encoder::Dense(encoder) => Encoder::Dense(encoder.with_mean_image(mean, device)),
            Encoder::Lapped(lapped) => Encoder::Lapped(lapped.with_mean_image(mean, device)),
        }
    }
}

/// Latents to images.
#[derive(Module, Debug)]
#[cfg_attr(target_pointer_width = "64", expect(clippy::large_enum_variant, reason = "a model has one of them"))]
pub enum Decoder<B: Backend> {
    /// Learned, as in the paper: a Bernoulli mean for each pixel.
    Dense(DenseDecoder<B>),
    /// The inverse of the transform to bands.
    Lapped(Lapped<B>),
}

impl<B: Backend> Decoder<B> {
    pub(crate) fn build(config: &ModelConfig, p: &mut ParamBuilder<'_, B>) -> Result<Self, WeightsError> {
        match &config.latent {
            Some(latent) => DenseDecoder::build(latent, config.pixels(), p).map(Decoder::Dense),
            None => Lapped::build(config, p).map(Decoder::Lapped),
        }
    }

    /// f `[B, D]` → the mean image `[B, H·W]`.
    pub fn decode(&self, f: Tensor<B, 2>) -> Tensor<B, 2> {
        match self {
            Decoder::Dense(decoder) => decoder.decode(f),
            Decoder::Lapped(lapped) => lapped.merge_latent(f),
        }
    }

    pub(crate) fn set_compute(&mut self, compute: ComputePrecision) {
        if let Decoder::Dense(decoder) = self {
            decoder.net.compute = compute;
        }
    }

    /// Sets the mean training image `[H·W]`, which the decoder starts from.
    pub(crate) fn with_mean_image(self, mean: &[f64], device: &B::Device) -> Self {
        match self {
            Decoder::Dense(decoder) => Decoder::Dense(decoder.with_mean_image(mean, device)),
            Decoder::Lapped(lapped) => Decoder::Lapped(lapped.with_mean_image(mean, device)),
        }
    }
}
