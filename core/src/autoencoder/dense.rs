//! Encoder and decoder of the whole image.

use burn::module::{Module, Param};
use burn::tensor::{Tensor, activation::sigmoid, backend::Backend};

use crate::config::LatentConfig;
use crate::error::WeightsError;
use crate::nn::dense::{Gains, ResNet};
use crate::nn::params::{Init, ParamBuilder, vector};

/// Inputs are multiplied by this over their number. Adam and its variants move each weight by the same amount, so without
/// it the sum over all pixels would move faster the larger the image is.
pub const INPUT_SCALE: f64 = 1280.0;

/// The whole image to its latent.
#[derive(Module, Debug)]
pub struct DenseEncoder<B: Backend> {
    /// The mean training image, which is subtracted from the input. It is not trained.
    pub(super) mean: Param<Tensor<B, 1>>,
    pub(super) net: ResNet<B>,
    #[module(skip)]
    pub(super) input_scale: f64,
}

impl<B: Backend> DenseEncoder<B> {
    pub(super) fn build(
        config: &LatentConfig,
        pixels: usize,
        p: &mut ParamBuilder<'_, B>,
    ) -> Result<Self, WeightsError> {
        let input_scale = (INPUT_SCALE / pixels as f64).min(1.0);
        let gains = Gains { input: (1.0 / input_scale) as f32, output: 1.0 };
        let sizes = [pixels, config.dim];
        Ok(Self {
            mean: p.param("mean", [pixels], Init::Constant(0.5))?,
            net: p.scope("net", |p| ResNet::build(&config.encoder, sizes, None, gains, p))?,
            input_scale,
        })
    }

    pub(super) fn forward(&self, x: Tensor<B, 2>) -> Tensor<B, 2> {
        let centred = x - self.mean.val().detach().unsqueeze::<2>();
        self.net.forward(centred * self.input_scale, None)
    }

    pub(super) fn with_mean_image(self, mean: &[f64], device: &B::Device) -> Self {
        Self { mean: self.mean.map(|_| vector(mean, device)), ..self }
    }
}

/// A latent to the whole image.
#[derive(Module, Debug)]
pub struct DenseDecoder<B: Backend> {
    pub(super) net: ResNet<B>,
}

impl<B: Backend> DenseDecoder<B> {
    pub(super) fn build(
        config: &LatentConfig,
        pixels: usize,
        p: &mut ParamBuilder<'_, B>,
    ) -> Result<Self, WeightsError> {
        let sizes = [config.dim, pixels];
        let gains = Gains { input: 1.0, output: 0.1 };
        Ok(Self { net: p.scope("net", |p| ResNet::build(&config.decoder, sizes, None, gains, p))? })
    }

    /// f `[B, D]` → logits `[B, H·W]`.
    pub fn logits(&self, f: Tensor<B, 2>) -> Tensor<B, 2> {
        self.net.forward(f, None)
    }

    pub(super) fn decode(&self, f: Tensor<B, 2>) -> Tensor<B, 2> {
        sigmoid(self.logits(f))
    }

    /// Starts at the logits of the mean image.
    pub(super) fn with_mean_image(mut self, mean: &[f64], device: &B::Device) -> Self {
        let logit = |m: &f64| {
            let m = m.clamp(1e-3, 1.0 - 1e-3);
            (m / (1.0 - m)).ln()
        };
        let logits: Vec<f64> = mean.iter().map(logit).collect();
        let bias = self.net.output.bias.take();
        self.net.output.bias = bias.map(|param| param.map(|_| vector(&logits, device)));
        self
    }
}
