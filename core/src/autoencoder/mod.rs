//! Images to latents and back: on the whole image as in the paper, or on patches.

mod decoded;
pub mod dense;
pub mod grain;
pub mod lapped;
pub mod patches;

use burn::module::Module;
use burn::tensor::{Tensor, backend::Backend};

use crate::autoencoder::lapped::LappedSelection;
use crate::config::{ComputePrecision, ModelConfig};
use crate::error::WeightsError;
use crate::nn::params::{ParamBuilder, vector};

pub use decoded::Decoded;
pub use dense::{DenseDecoder, DenseEncoder};
pub use patches::{GrainHead, PatchDecoder, PatchEncoder};

/// Images to latents. The names of its parameters do not depend on the variant, which the configuration determines.
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

    /// x `[B, H·W]` in [0, 1] → f `[B, D]`.
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

    /// Sets the mean training image `[H·W]`, which is subtracted from the input.
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

    /// Sets the coefficients of the lapped transform that a latent holds, on patches.
    pub(crate) fn with_lapped_transform(self, selection: &LappedSelection, device: &B::Device) -> Self {
        match self {
            Encoder::Patches(encoder) => Encoder::Patches(encoder.with_lapped_transform(selection, device)),
            dense @ Encoder::Dense(_) => dense,
        }
    }
}

/// Latents to images. As with the [encoder](Encoder), the names of its parameters do not depend on the variant.
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

    /// f `[B, D]` → the mean image, its logits, and the strength of grain where the model has it.
    pub fn decode(&self, f: Tensor<B, 2>) -> Decoded<B> {
        match self {
            Decoder::Dense(decoder) => decoder.decode(f),
            Decoder::Patches(decoder) => decoder.decode(f),
        }
    }

    /// f `[B, D]` → logits `[B, H·W]`.
    pub fn forward(&self, f: Tensor<B, 2>) -> Tensor<B, 2> {
        self.decode(f).logits
    }

    pub(crate) fn set_compute(&mut self, compute: ComputePrecision) {
        match self {
            Decoder::Dense(decoder) => decoder.net.compute = compute,
            Decoder::Patches(decoder) => decoder.set_compute(compute),
        }
    }

    /// Sets the mean training image `[H·W]`, which the decoder starts from.
    pub(crate) fn with_mean_image(self, mean: &[f64], device: &B::Device) -> Self {
        match self {
            Decoder::Dense(decoder) => Decoder::Dense(decoder.with_mean_image(mean, device)),
            Decoder::Patches(decoder) => {
                Decoder::Patches(PatchDecoder { mean: decoder.mean.map(|_| vector(mean, device)), ..decoder })
            }
        }
    }

    /// Replaces the grain's network by that of another decoder, or removes it where the other has none. On patches only.
    #[must_use]
    pub fn with_grain_of(self, other: Self) -> Self {
        match (self, other) {
            (Decoder::Patches(decoder), Decoder::Patches(other)) => {
                Decoder::Patches(PatchDecoder { grain: other.grain, ..decoder })
            }
            (decoder, _) => decoder,
        }
    }

    /// Sets the coefficients of the lapped transform that a latent holds, on patches.
    pub(crate) fn with_lapped_transform(self, selection: &LappedSelection, device: &B::Device) -> Self {
        match self {
            Decoder::Patches(decoder) => Decoder::Patches(decoder.with_lapped_transform(selection, device)),
            dense @ Decoder::Dense(_) => dense,
        }
    }
}
