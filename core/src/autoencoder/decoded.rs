//! What a decoder predicts.

use burn::tensor::{Tensor, backend::Backend};

/// What a decoder predicts of images.
#[derive(Clone, Debug)]
pub struct Decoded<B: Backend> {
    /// Logits of an independent Bernoulli distribution of each pixel, `[B, H·W]`.
    pub logits: Tensor<B, 2>,
    /// The mean image, `[B, H·W]`; on patches it may lie a little outside [0, 1].
    pub mean: Tensor<B, 2>,
    /// Natural logarithms of the standard deviations of grain, `[B·P, patch²]`, see [`grain`](crate::autoencoder::grain).
    pub ln_grain: Option<Tensor<B, 2>>,
}
