//! What a model costs: the floating-point operations of its matrix products, which are nearly all of them, and its time on
//! a device, compared with that of one matrix product there.

use burn::tensor::{Tensor, TensorData, backend::Backend};
use serde::{Deserialize, Serialize};

use crate::autoencoder::grain;
use crate::config::{GAUSSIAN_CHANNELS, ModelConfig, ResNetConfig, SamplingConfig, Stage, TrainingConfig};
use crate::error::BackendError;
use crate::model::{Condition, Vdm};
use crate::rng::{Rng, RngStream};

/// Operations for one image, a multiplication and an addition counting as two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cost {
    /// Of the encoder.
    pub encode: u64,
    /// Of one evaluation of the ScoreNet, with one label or none. Guidance takes two.
    pub evaluate: u64,
    /// Of the decoder, with its grain.
    pub decode: u64,
}

impl Cost {
    /// The operations of a model.
    pub fn of(config: &ModelConfig, sampling: &SamplingConfig) -> Self {
        let (pixels, dim) = (config.pixels(), config.latent_dim);
        let score = &config.score_net;
        let embedding = score.embedding_dim;
        let inputs = if config.classes > 0 { 2 * embedding } else { embedding };
        let condition = dense(inputs, embedding) + 2 * dense(embedding, embedding);
        let Some(grid) = config.grid() else {
            return Self {
                encode: resnet(&config.encoder, pixels, dim, 0),
                evaluate: condition + resnet(&score.blocks(), dim, dim, embedding),
                decode: resnet(&config.decoder, dim, pixels, 0),
            };
        };
        let (patches, window, area) = (grid.patches(), grid.window(), grid.patch * grid.patch);
        let channels = dim / patches;
        let stack = |of: &ResNetConfig, inputs, outputs, condition| patch_net(of, patches, inputs, outputs, condition);
        let rank = score.gaussian_rank;
        let gaussian = 3 * dense(patches * GAUSSIAN_CHANNELS.min(channels), rank);
        let coarse = config.coarse().map_or(0, |config| {
            let blocks = config.score_net.blocks();
            condition + resnet(&blocks, rank, rank, embedding)
        });
        let grain = stack(&config.grain_blocks(), channels, area, 0) + patches as u64 * dense(area, window);
        let (down, across) = (grid.rows * grain::CELLS, grid.columns * grain::CELLS);
        let unevenness = down as u64 * dense(across, config.width) + config.width as u64 * dense(down, config.height);
        let grain = if sampling.grain_spread > 0.0 { grain + unevenness } else { grain };
        // Four smoothings, each along both sides.
        let smoothing = 4
            * (config.height as u64 * dense(config.width, config.width)
                + config.width as u64 * dense(config.height, config.height));
        let grain = if sampling.grain_structure { grain + smoothing } else { grain };
        let grain = if config.grain { grain } else { 0 };
        let score_inputs = if rank > 0 { 2 * channels } else { channels };
        let transform = patches as u64 * dense(window, channels);
        Self {
            encode: transform + stack(&config.encoder, window, channels, 0),
            evaluate: condition + coarse + gaussian + stack(&score.blocks(), score_inputs, channels, embedding),
            decode: transform + stack(&config.decoder, channels, window, 0) + grain,
        }
    }

    /// Of a training step: what is trained costs three times as much as once forward.
    pub fn training_step(&self, training: &TrainingConfig) -> u64 {
        let images = training.batch as u64;
        let (encode, decode) = (images * self.encode, images * self.decode);
        let evaluate = images * training.times_per_image as u64 * self.evaluate;
        match training.stage {
            Stage::Joint => 3 * (encode + decode + evaluate),
            Stage::Autoencoder => 3 * (encode + decode),
            Stage::Decoder => encode + 3 * decode,
            Stage::Diffusion => encode + 3 * evaluate,
        }
    }

    /// Of a sample that takes this many evaluations.
    pub fn sample(&self, evaluations: usize) -> u64 {
        self.evaluate * evaluations as u64 + self.decode
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
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Speed {
    /// A product of two matrices of [`PRODUCT`] rows and columns, about the most that the device can do.
    pub product: Timed,
    /// An evaluation of the ScoreNet.
    pub evaluate: Timed,
    /// The decoder, with its grain.
    pub decode: Timed,
}

/// Rows, columns and inner dimension of the matrix product that a model is compared with.
pub const PRODUCT: usize = 512;

impl Speed {
    /// Of an image that takes this many evaluations, from its parts.
    pub fn sample(&self, evaluations: usize) -> Timed {
        let count = evaluations as u64;
        Timed {
            operations: self.evaluate.operations * count + self.decode.operations,
            seconds: self.evaluate.seconds * evaluations as f64 + self.decode.seconds,
        }
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
    let cost = Cost::of(&model.config, &model.sampling);
    let z = noise(2, 1, model.config.latent_dim, device);
    let evaluate = || model.predict_noise(z.clone(), 0.0, Condition::default());
    let decode = || model.decode_with_grain(z.clone(), &[0]);
    Ok(Speed {
        product: measure_product::<B>(runs, &now, device).await?,
        evaluate: Timed { operations: cost.evaluate, seconds: median(runs, &now, evaluate).await? },
        decode: Timed { operations: cost.decode, seconds: median(runs, &now, decode).await? },
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

fn patch_net(of: &ResNetConfig, patches: usize, inputs: usize, outputs: usize, condition: usize) -> u64 {
    let width = of.width;
    let attends = of.heads > 0;
    // Queries, keys, values and output; then each patch's products with all others, twice.
    let attention = if attends { dense(width, 4 * width) + 2 * dense(width, patches) } else { 0 };
    let block = attention + 2 * dense(width, 4 * width);
    let films = of.layers as u64 * if attends { 2 } else { 1 } + 1;
    let all = dense(inputs, width) + of.layers as u64 * block + dense(width, outputs);
    patches as u64 * all + films * dense(condition, 2 * width)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Preset;

    #[test]
    fn the_papers_networks_cost_two_operations_a_weight() {
        let config = Preset::Paper.model();
        let cost = Cost::of(&config, &SamplingConfig::default());
        assert_eq!(cost.decode, 2 * (64 * 128 + 12 * 128 * 128 + 128 * 65_536));
        assert_eq!(cost.encode, cost.decode);
        assert_eq!(cost.evaluate, 2 * (3 * 128 * 128 + 2 * 64 * 128 + 10 * (2 * 128 * 128 + 128 * 256)));
        assert_eq!(cost.sample(25), 25 * cost.evaluate + cost.decode);
    }

    #[test]
    fn sharp_models_cost_each_of_their_weights_once_a_patch() {
        // 8 blocks of 8 · 192² weights, 128 + 64 inputs and outputs: 256 times; and the Gaussian's three products.
        let cost = Cost::of(&Preset::SharpSmall.model(), &Preset::SharpSmall.sampling());
        let blocks = 256 * 2 * (8 * 8 * 192 * 192 + 192 * (128 + 64));
        let gaussian = 3 * 2 * 4096 * 256;
        let modulation = 9 * 2 * 128 * 384 + 2 * 3 * 128 * 128;
        let coarse = 2 * (3 * 128 * 128 + 2 * 256 * 512 + 4 * (2 * 512 * 512 + 128 * 1024));
        assert_eq!(cost.evaluate, blocks + gaussian + coarse + modulation);
        // 3 blocks from 64 numbers to 1024, the transform; grain of one block to 256, its synthesis; 64 to 256 cells and
        // four smoothings along both sides.
        let decoder = 256 * 2 * (192 * (64 + 1024) + 3 * 8 * 192 * 192 + 64 * 1024);
        let grain = 256 * 2 * (192 * (64 + 256) + 8 * 192 * 192 + 256 * 1024);
        let uneven = 2 * (64 * 64 * 256 + 256 * 64 * 256) + 4 * 2 * 2 * 256 * 256 * 256;
        assert_eq!(cost.decode, decoder + grain + uneven);
    }
}
