//! Inputs with the outputs that our own networks give for them, for checking the exported files against.

use anyhow::{Context, Result};
use burn::tensor::{Tensor, TensorData, backend::Backend};
use serde::Serialize;
use vdm::model::{Condition, Vdm};
use vdm::rng::{Rng, RngStream};

/// Rows of a network's input or output.
type Rows = Vec<Vec<f32>>;

/// Diffusion times of the ScoreNet's inputs, one a row.
const TIMES: [f64; 4] = [0.0, 0.25, 0.7, 1.0];

/// Inputs and outputs of every network.
#[derive(Debug, Serialize)]
pub struct Reference {
    /// Diffusion times of the rows.
    pub t: Vec<f64>,
    /// Labels of the rows, the number of classes standing for no class; absent without classes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub class: Option<Vec<usize>>,
    /// Of the ScoreNet of each band.
    pub bands: Vec<BandReference>,
    /// Inputs of the decoder.
    pub f: Rows,
    /// The mean images.
    pub mean: Rows,
    /// The outputs of the encoder for `mean`; absent without an encoder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encoded: Option<Rows>,
}

/// Inputs and outputs of a ScoreNet.
#[derive(Debug, Serialize)]
pub struct BandReference {
    /// γ at the times, rounded to what ONNX files take.
    pub gamma: Vec<f32>,
    /// Inputs.
    pub z: Rows,
    /// The noisy coarse band that the fine one is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub coarse: Option<Rows>,
    /// Outputs.
    pub epsilon: Rows,
}

/// What a model's networks give for inputs of pinned noise.
///
/// # Errors
/// The device cannot be read.
pub fn of<B: Backend>(model: &Vdm<B>, device: &B::Device) -> Result<Reference> {
    let (rows, dim) = (TIMES.len(), model.config.latent_dim());
    let tensor = |values: &[f32], dim: usize| {
        let shape = [values.len() / dim, dim];
        Tensor::<B, 2>::from_data(TensorData::new(values.to_vec(), shape), device)
    };
    let draw = |index, dim: usize| Rng::new(0, RngStream::Evaluation, index).normals(rows * dim);
    let by_row = |values: &[f32], dim: usize| values.chunks_exact(dim).map(<[f32]>::to_vec).collect::<Rows>();
    let classes = model.config.classes().count();
    let class: Option<Vec<usize>> = (classes > 0).then(|| (0..rows).map(|row| row % (classes + 1)).collect());
    let dims = model.config.band_dims();
    let mut bands = Vec::new();
    for (band, (schedule, &dim)) in model.schedules.iter().zip(&dims).enumerate() {
        let z = draw(band as u64, dim);
        let gamma: Vec<f32> = TIMES.iter().map(|&t| schedule.gamma(t) as f32).collect();
        let coarse = (band > 0).then(|| draw(7, dims[0]));
        let mut epsilon = Vec::new();
        for (row, z) in z.chunks_exact(dim).enumerate() {
            let class = class.as_ref().map(|class| class[row]).filter(|&class| class < classes);
            let condition = Condition { class, guidance: 0.0 };
            let given = coarse
                .as_ref()
                .and_then(|coarse| model.noisy_context(tensor(&coarse[row * dims[0]..(row + 1) * dims[0]], dims[0])));
            let gamma = f64::from(gamma[row]);
            epsilon.extend(read(model.predict_noise(band, tensor(z, dim), gamma, condition, given.as_ref()))?);
        }
        let coarse = coarse.map(|coarse| by_row(&coarse, dims[0]));
        bands.push(BandReference { gamma, z: by_row(&z, dim), coarse, epsilon });
    }
    let f = draw(2, dim);
    let mean = model.decode(tensor(&f, dim));
    let encoded = model.encode(mean.clone()).map(read).transpose()?;
    Ok(Reference { t: TIMES.to_vec(), class, bands, f: by_row(&f, dim), mean: read(mean)?, encoded })
}

fn read<B: Backend>(tensor: Tensor<B, 2>) -> Result<Rows> {
    let [_, features] = tensor.dims();
    let data =
        tensor.try_into_data().map_err(|error| anyhow::anyhow!("{error:?}")).context("cannot read the device")?;
    let values: Vec<f32> = data.iter::<f32>().collect();
    Ok(values.chunks_exact(features).map(<[f32]>::to_vec).collect())
}
