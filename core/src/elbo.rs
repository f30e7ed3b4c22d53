//! The ELBO of images. A seed gives the same draws on every platform, for a folder of images or for one in a browser.

use burn::tensor::{Int, Tensor, TensorData, backend::Backend};
use serde::{Deserialize, Serialize};

use crate::autoencoder::Encoder;
use crate::config::{ModelConfig, Stage};
use crate::diffusion::terms::Terms;
use crate::error::BackendError;
use crate::image::to_unit;
use crate::math;
use crate::model::{LatentNoise, Networks};
use crate::rng::{Rng, RngStream};

/// The loss of an image.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ImageElbo {
    /// The terms, averaged over the image's diffusion times.
    pub terms: Terms<f64>,
    /// The minimum of the reconstruction term, in nats: the binary entropy of the image's greys under a Bernoulli decoder, 0
    /// under the discretised decoder of a model of bands.
    pub entropy_floor: f64,
    /// The image's diffusion times, in equal strata of [0, 1], and the diffusion term at each, whose mean is that of `terms`.
    pub diffusion_at: Vec<(f64, f64)>,
}

/// The golden ratio's fraction: its multiples spread evenly over [0, 1] modulo 1, however many there are.
const GOLDEN: f64 = 0.618_033_988_749_894_9;

/// The loss of 8-bit images of H·W pixels, at `times` evenly spaced diffusion times each.
///
/// Image `first + i` has noise from its own stream ([`RngStream::Evaluation`]) of `seed` and its own place in a sequence of
/// times, so its terms do not depend on how a folder is cut into batches. The sequence is even over the images: with few
/// times each, the mean over a folder would otherwise follow the schedule that spreads the times, and not the model.
/// `classes` has the class of each image, where the model has classes.
///
/// # Errors
/// The device cannot be read.
#[expect(clippy::too_many_arguments, reason = "the loss depends on each")]
pub async fn measure<B: Backend>(
    networks: &Networks<B>,
    config: &ModelConfig,
    stage: Stage,
    encoder: &Encoder<B>,
    images: &[&[u8]],
    classes: Option<&[usize]>,
    first: u64,
    times: usize,
    seed: u64,
    device: &B::Device,
) -> Result<Vec<ImageElbo>, BackendError> {
    let (batch, dim) = (images.len(), config.latent_dim());
    let mut streams: Vec<Rng> = (0..batch as u64).map(|i| Rng::new(seed, RngStream::Evaluation, first + i)).collect();
    let start = Rng::new(seed, RngStream::Evaluation, u64::MAX).uniform();
    let starts: Vec<f64> = (0..batch as u64).map(|i| (start + (first + i) as f64 * GOLDEN) % 1.0).collect();
    let values: Vec<f32> = images.iter().flat_map(|image| image.iter().map(|&v| to_unit(v))).collect();
    let x = Tensor::<B, 2>::from_data(TensorData::new(values, [batch, config.pixels()]), device);
    let classes = classes.filter(|_| config.classes().count() > 0).map(|classes| {
        let labels: Vec<i64> = classes.iter().map(|&class| class as i64).collect();
        Tensor::<B, 1, Int>::from_data(TensorData::new(labels, [batch]), device)
    });
    let entropy = |image: &[u8]| match config.bands {
        None => image.iter().map(|&v| math::bernoulli_entropy(f64::from(to_unit(v)))).sum(),
        Some(_) => 0.0,
    };
    let mut all: Vec<ImageElbo> =
        images.iter().map(|image| ImageElbo { entropy_floor: entropy(image), ..ImageElbo::default() }).collect();
    for k in 0..times {
        let at: Vec<f64> = starts.iter().map(|u| (u + k as f64 / times as f64) % 1.0).collect();
        let mut draw = || {
            let values: Vec<f32> = streams.iter_mut().flat_map(|stream| stream.normals(dim)).collect();
            Tensor::<B, 2>::from_data(TensorData::new(values, [batch, dim]), device)
        };
        let noise = LatentNoise { at_zero: draw(), at_t: draw() };
        let gammas: Vec<_> =
            (0..config.band_dims().len()).map(|band| networks.gammas(band, &at, None, device)).collect();
        let losses = networks.losses(config, stage, encoder, x.clone(), classes.clone(), &gammas, noise);
        for ((image, t), terms) in all.iter_mut().zip(at).zip(losses.terms.read().await?) {
            image.diffusion_at.push((t, terms.diffusion));
            image.terms = image.terms.zip(terms).map(|(sum, value)| sum + value / times as f64);
        }
    }
    Ok(all)
}
