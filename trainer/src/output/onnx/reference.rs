//! Inputs with the outputs that our own networks give for them, for checking the exported files against.

use anyhow::{Context, Result};
use burn::tensor::{Tensor, TensorData, backend::Backend};
use serde::Serialize;
use vdm::model::{Condition, Vdm};
use vdm::rng::{Rng, RngStream, seeded_noise};

/// Rows of a network's input or output.
type Rows = Vec<Vec<f32>>;

/// Diffusion times of the ScoreNet's inputs, one a row.
const TIMES: [f64; 4] = [0.0, 0.25, 0.7, 1.0];

/// Inputs and outputs of every network.
#[derive(Debug, Serialize)]
pub struct Reference {
    /// Diffusion times of the rows of `z`.
    pub t: Vec<f64>,
    /// γ there, rounded to what ONNX files take.
    pub gamma: Vec<f32>,
    /// Labels of the rows of `z`, the number of classes standing for no class; absent without classes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub class: Option<Vec<usize>>,
    /// Inputs of the ScoreNet.
    pub z: Rows,
    /// Its outputs.
    pub epsilon: Rows,
    /// Inputs of the decoder.
    pub f: Rows,
    /// Its outputs.
    pub logits: Rows,
    /// The mean images.
    pub mean: Rows,
    /// Standard noise for grain; absent without grain.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub noise: Option<Rows>,
    /// The images with that grain.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<Rows>,
    /// The outputs of the encoder for `mean`; absent without an encoder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encoded: Option<Rows>,
}

/// What a model's networks give for inputs of pinned noise.
///
/// # Errors
/// The device cannot be read.
pub fn of<B: Backend>(model: &Vdm<B>, device: &B::Device) -> Result<Reference> {
    let (rows, dim) = (TIMES.len(), model.config.latent_dim);
    let tensor = |values: &[f32]| {
        let shape = [values.len() / dim, dim];
        Tensor::<B, 2>::from_data(TensorData::new(values.to_vec(), shape), device)
    };
    let draw = |index| Rng::new(0, RngStream::Evaluation, index).normals(rows * dim);
    let (z, f) = (draw(0), draw(1));

    let gamma: Vec<f32> = TIMES.iter().map(|&t| model.schedule.gamma(t) as f32).collect();
    let classes = model.config.classes;
    let class: Option<Vec<usize>> = (classes > 0).then(|| (0..rows).map(|row| row % (classes + 1)).collect());
    let mut epsilon = Vec::new();
    for (row, z) in z.chunks_exact(dim).enumerate() {
        let class = class.as_ref().map(|class| class[row]).filter(|&class| class < classes);
        let condition = Condition { class, guidance: 0.0 };
        epsilon.extend(read(model.predict_noise(tensor(z), f64::from(gamma[row]), condition))?);
    }

    let decoded = model.networks.decoder.decode(tensor(&f));
    let mean = decoded.mean.clamp(0.0, 1.0);
    let seeds: Vec<u64> = (0..rows as u64).collect();
    let (noise, image) = match decoded.ln_grain {
        None => (None, None),
        Some(_) => {
            let noise = seeded_noise::<B>(
                &seeds,
                RngStream::Grain,
                0,
                vdm::autoencoder::grain::noise_len(&model.config, &model.sampling),
                device,
            );
            (Some(read(noise)?), Some(read(model.decode_with_grain(tensor(&f), &seeds))?))
        }
    };
    let encoded = model.encode(mean.clone()).map(read).transpose()?;
    let rows = |values: &[f32]| values.chunks_exact(dim).map(<[f32]>::to_vec).collect();
    Ok(Reference {
        t: TIMES.to_vec(),
        gamma,
        class,
        z: rows(&z),
        epsilon,
        f: rows(&f),
        logits: read(decoded.logits)?,
        mean: read(mean)?,
        noise,
        image,
        encoded,
    })
}

fn read<B: Backend>(tensor: Tensor<B, 2>) -> Result<Rows> {
    let [_, features] = tensor.dims();
    let data =
        tensor.try_into_data().map_err(|error| anyhow::anyhow!("{error:?}")).context("cannot read the device")?;
    let values: Vec<f32> = data.iter::<f32>().collect();
    Ok(values.chunks_exact(features).map(<[f32]>::to_vec).collect())
}
