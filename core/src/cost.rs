//! What a model costs: the floating-point operations of its matrix products, which are nearly all of them, and its time on
//! a device, compared with that of one matrix product there.

use burn::tensor::{Tensor, TensorData, backend::Backend};
use serde::{Deserialize, Serialize};

use crate::config::{
    BandConfig, COARSE_CHANNELS, CONTEXT_CHANNELS, FINE_CHANNELS, ModelConfig, PatchGrid, ResNetConfig, SamplingConfig,
    Stage, TrainingConfig,
};
use crate::error::BackendError;
use crate::model::{Condition, Vdm};
use crate::rng::{Rng, RngStream};

/// Operations for one image, a multiplication and an addition counting as two.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cost {
    /// Of the encoder.
    pub encode: u64,
    /// Of one evaluation of the ScoreNet of each band, with one label or none. Guidance takes two.
    pub evaluate: Vec<u64>,
    /// Of the decoder.
    pub decode: u64,
}

impl Cost {
    /// The operations of a model.
    pub fn of(config: &ModelConfig) -> Self {
        let pixels = config.pixels();
        let condition = |embedding: usize, embedded: usize| {
            let classes = if !config.attributes.is_empty() { embedding } else { 0 };
            dense(embedded + classes, embedding) + 2 * dense(embedding, embedding)
        };
        if let Some(latent) = &config.latent {
            let score = &latent.score_net;
            let embedding = score.embedding_dim;
            return Self {
                encode: resnet(&latent.encoder, pixels, latent.dim, 0),
                evaluate: vec![
                    condition(embedding, embedding) + resnet(&score.blocks(), latent.dim, latent.dim, embedding),
                ],
                decode: resnet(&latent.decoder, latent.dim, pixels, 0),
            };
        }
        // A product from each side.
        let transform = (config.width * config.height * 2 * (config.width + config.height)) as u64;
        let bands = config.bands.iter().flat_map(|bands| {
            let (coarse, fine) = (&bands.coarse, &bands.fine);
            [
                condition(coarse.embedding_dim, coarse.embedding_dim)
                    + patch_net(coarse, config.coarse_grid(), 2 * COARSE_CHANNELS, 2 * COARSE_CHANNELS),
                condition(fine.embedding_dim, 2 * fine.embedding_dim)
                    + patch_net(fine, config.patch_grid(), 2 * FINE_CHANNELS + CONTEXT_CHANNELS, 2 * FINE_CHANNELS),
            ]
        });
        Self { encode: transform, evaluate: bands.collect(), decode: transform }
    }

    /// Of a training step: what is trained costs three times as much as once forward.
    pub fn training_step(&self, config: &ModelConfig, training: &TrainingConfig) -> u64 {
        let images = training.batch as u64;
        let (encode, decode) = (images * self.encode, images * self.decode);
        let draws = images * training.times_per_image as u64;
        match training.stage {
            Stage::Joint => 3 * (encode + decode + draws * self.evaluate.iter().sum::<u64>()),
            Stage::Coarse => encode + 3 * draws * self.evaluate.first().copied().unwrap_or_default(),
            Stage::Fine => {
                let crop = training.crop.map_or(config.pixels(), |crop| (crop * crop).min(config.pixels()));
                3 * draws * self.evaluate.last().copied().unwrap_or_default() * crop as u64 / config.pixels() as u64
            }
        }
    }

    /// Of a sample that takes this many evaluations over all bands.
    pub fn sample(&self, evaluations: usize, sampling: &SamplingConfig) -> u64 {
        let counts = sampling.of_bands(evaluations, self.evaluate.len());
        self.evaluate.iter().zip(counts).map(|(of_one, count)| of_one * count as u64).sum::<u64>() + self.decode
    }
}

/// Operations and the time that they took.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Timed {
    /// Floating-point operations.
    pub operations: u64,
    /// Seconds, the median of several runs.
    pub seconds: f64,
}

impl Timed {
    /// 10⁹ operations a second.
    pub fn gflop_per_second(&self) -> f64 {
        self.operations as f64 / self.seconds / 1e9
    }
}

/// How fast a model is on a device, one image at a time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Speed {
    /// A product of two matrices of [`PRODUCT`] rows and columns, about the most that the device can do.
    pub product: Timed,
    /// An evaluation of the ScoreNet of each band.
    pub evaluate: Vec<Timed>,
    /// The decoder.
    pub decode: Timed,
    /// How the evaluations of an image are shared among the bands.
    pub sampling: SamplingConfig,
}

/// Rows, columns and inner dimension of the matrix product that a model is compared with.
pub const PRODUCT: usize = 512;

impl Speed {
    /// Of an image that takes this many evaluations over all bands, from its parts.
    pub fn sample(&self, evaluations: usize) -> Timed {
        let counts = self.sampling.of_bands(evaluations, self.evaluate.len());
        self.evaluate.iter().zip(counts).fold(self.decode, |all, (band, count)| Timed {
            operations: all.operations + band.operations * count as u64,
            seconds: all.seconds + band.seconds * count as f64,
        })
    }
}

/// The time of a product of [`PRODUCT`], as [`measure`] takes it.
///
/// # Errors
/// The device cannot be read.
pub async fn measure_product<B: Backend>(
    runs: usize,
    now: impl Fn() -> f64,
    device: &B::Device,
) -> Result<Timed, BackendError> {
    let (a, b) = (noise::<B>(0, PRODUCT, PRODUCT, device), noise::<B>(1, PRODUCT, PRODUCT, device));
    let seconds = median(runs, &now, || a.clone().matmul(b.clone())).await?;
    Ok(Timed { operations: 2 * (PRODUCT as u64).pow(3), seconds })
}

fn noise<B: Backend>(index: u64, rows: usize, columns: usize, device: &B::Device) -> Tensor<B, 2> {
    let values = Rng::new(0, RngStream::Evaluation, index).normals(rows * columns);
    Tensor::from_data(TensorData::new(values, [rows, columns]), device)
}

/// Measures a model with the clock `now`, in seconds: the median of `runs`, after one that may compile kernels.
///
/// # Errors
/// The device cannot be read.
pub async fn measure<B: Backend>(
    model: &Vdm<B>,
    runs: usize,
    now: impl Fn() -> f64,
    device: &B::Device,
) -> Result<Speed, BackendError> {
    let cost = Cost::of(&model.config);
    let f = noise(2, 1, model.config.latent_dim(), device);
    let mut evaluate = Vec::new();
    for (band, operations) in cost.evaluate.iter().enumerate() {
        let part = |band| {
            let (first, count) = model.band_range(band);
            f.clone().narrow(1, first, count)
        };
        let z = part(band);
        let context = if band > 0 { model.context(part(0), part(0)) } else { None };
        let predict = || model.predict_noise(band, z.clone(), 0.0, Condition::default(), context.as_ref());
        evaluate.push(Timed { operations: *operations, seconds: median(runs, &now, predict).await? });
    }
    let decode = || model.decode(f.clone());
    Ok(Speed {
        product: measure_product::<B>(runs, &now, device).await?,
        evaluate,
        decode: Timed { operations: cost.decode, seconds: median(runs, &now, decode).await? },
        sampling: model.sampling,
    })
}

/// The median time of a computation. One element of its result is read, so all of it is computed but its transfer does not
/// count.
async fn median<B: Backend>(
    runs: usize,
    now: &impl Fn() -> f64,
    compute: impl Fn() -> Tensor<B, 2>,
) -> Result<f64, BackendError> {
    let mut times = Vec::with_capacity(runs);
    for run in 0..=runs.max(1) {
        let start = now();
        compute().narrow(0, 0, 1).narrow(1, 0, 1).into_data_async().await.map_err(BackendError::new)?;
        if run > 0 {
            times.push(now() - start);
        }
    }
    times.sort_by(f64::total_cmp);
    Ok(times[times.len() / 2])
}

fn dense(inputs: usize, outputs: usize) -> u64 {
    2 * inputs as u64 * outputs as u64
}

fn resnet(of: &ResNetConfig, inputs: usize, outputs: usize, condition: usize) -> u64 {
    let block = 2 * dense(of.width, of.width) + dense(condition, 2 * of.width);
    dense(inputs, of.width) + of.layers as u64 * block + dense(of.width, outputs)
}

fn patch_net(of: &BandConfig, grid: PatchGrid, inputs: usize, outputs: usize) -> u64 {
    let (width, patches) = (of.width, grid.patches());
    let attends = of.heads > 0;
    // Queries, keys, values and output; then each patch's products with all others, twice.
    let attention = if attends { dense(width, 4 * width) + 2 * dense(width, patches) } else { 0 };
    let block = attention + 2 * dense(width, 4 * width);
    let films = of.layers as u64 * if attends { 2 } else { 1 } + 1;
    let all = dense(inputs, width) + of.layers as u64 * block + dense(width, outputs);
    patches as u64 * all + films * dense(of.embedding_dim, 2 * width)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Preset;

    #[test]
    fn the_papers_networks_cost_two_operations_a_weight() {
        let cost = Cost::of(&Preset::Paper.model());
        assert_eq!(cost.decode, 2 * (64 * 128 + 12 * 128 * 128 + 128 * 65_536));
        assert_eq!(cost.encode, cost.decode);
        let evaluate = 2 * (3 * 128 * 128 + 2 * 64 * 128 + 10 * (2 * 128 * 128 + 128 * 256));
        assert_eq!(cost.evaluate, [evaluate]);
        assert_eq!(cost.sample(25, &SamplingConfig::default()), 25 * evaluate + cost.decode);
    }

    #[test]
    fn bands_cost_each_of_their_weights_once_a_token() {
        let mut config = Preset::Sharp.model();
        let bands = config.bands.as_mut().expect("bands");
        (bands.coarse.width, bands.coarse.layers, bands.fine.width, bands.fine.layers) = (256, 8, 192, 8);
        let cost = Cost::of(&config);
        // 64 tokens: blocks of 12 · 256² weights, their attention over 64 tokens, 64 numbers on two scales in, two for each out.
        let coarse = 64 * 2 * (8 * (12 * 256 * 256 + 2 * 256 * 64) + 4 * 64 * 256) + 17 * 2 * 128 * 512;
        // 1024 patches: blocks of 8 · 192² weights, 60 numbers on two scales and 4 in, two for each of 60 out.
        let fine = 1024 * 2 * (8 * 8 * 192 * 192 + (2 * 60 + 4 + 2 * 60) * 192) + 9 * 2 * 128 * 384;
        assert_eq!(cost.evaluate, [coarse + 2 * 3 * 128 * 128, fine + 2 * 4 * 128 * 128]);
        assert_eq!(cost.decode, 2 * 2 * 256 * 256 * 256);
        // What a laptop draws in seconds.
        let image = cost.sample(40, &SamplingConfig::default());
        assert_eq!(image, 25 * cost.evaluate[0] + 15 * cost.evaluate[1] + cost.decode);
        assert!(image < 120_000_000_000, "{image}");
    }
}
