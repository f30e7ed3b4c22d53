//! The bound on a folder of images, term by term.

use anyhow::{Context, Result};
use burn::tensor::{Int, Tensor, TensorData, backend::AutodiffBackend, backend::Backend};
use serde::Serialize;
use vdm::config::ModelConfig;
use vdm::image::to_unit;
use vdm::loss::LossTerms;
use vdm::math;
use vdm::model::{LatentNoise, Networks};
use vdm::noise::{NoiseStream, Purpose};

use crate::cli::EvaluateArgs;
use crate::data::{self, Dataset, Unreadable};
use crate::device::{self, Job};
use crate::files::{self, WithEncoder};
use crate::progress::Progress;

/// A mean over images with its standard error.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Estimate {
    /// The mean.
    pub mean: f64,
    /// Its standard error, over images.
    pub standard_error: f64,
}

impl Estimate {
    /// Of one number an image.
    pub fn of(values: &[f64]) -> Self {
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0).max(1.0);
        Self { mean, standard_error: (variance / n).sqrt() }
    }
}

/// Loss terms of each image, in nats (the auxiliary two a pixel), averaged over times.
#[derive(Clone, Debug, Default)]
pub struct ImageTerms {
    /// −log p(x | z_0).
    pub reconstruction: Vec<f64>,
    /// The prior KL.
    pub latent: Vec<f64>,
    /// The diffusion loss.
    pub diffusion: Vec<f64>,
    /// Mean squared error.
    pub mse: Vec<f64>,
    /// Gradient difference.
    pub gradient_difference: Vec<f64>,
    /// Binary entropy of the image itself: the least that `reconstruction` can be.
    pub entropy_floor: Vec<f64>,
}

impl ImageTerms {
    /// The bound of each image.
    pub fn total(&self) -> Vec<f64> {
        let rate = self.latent.iter().zip(&self.diffusion).map(|(l, d)| l + d);
        self.reconstruction.iter().zip(rate).map(|(r, rate)| r + rate).collect()
    }
}

/// Images evaluated at once.
const BATCH: usize = 64;

/// Measures the terms of every image at `times` antithetic diffusion times each.
pub fn measure<B: Backend>(
    networks: &Networks<B>,
    config: &ModelConfig,
    data: &Dataset,
    times: usize,
    seed: u64,
    device: &B::Device,
    mut on_progress: impl FnMut(usize),
) -> Result<ImageTerms> {
    let encoder = networks.encoder.as_ref().context("the encoder is not loaded")?;
    let dim = config.latent_dim;
    let mut all = ImageTerms::default();
    let indices: Vec<usize> = (0..data.len()).collect();
    for chunk in indices.chunks(BATCH) {
        let mut streams: Vec<NoiseStream> =
            chunk.iter().map(|&i| NoiseStream::new(seed, Purpose::Evaluation, i as u64)).collect();
        let starts: Vec<f64> = streams.iter_mut().map(NoiseStream::uniform).collect();
        let x = data.batch::<B>(chunk, device);
        let classes = data.labels.as_ref().filter(|_| config.classes > 0).map(|labels| {
            let labels: Vec<i64> = chunk.iter().map(|&i| labels[i] as i64).collect();
            Tensor::<B, 1, Int>::from_data(TensorData::new(labels, [chunk.len()]), device)
        });
        let mut sums = vec![[0.0f64; 5]; chunk.len()];
        for k in 0..times {
            let at: Vec<f64> = starts.iter().map(|u| (u + k as f64 / times as f64) % 1.0).collect();
            let mut draw = || {
                let values: Vec<f32> = streams.iter_mut().flat_map(|stream| stream.normals(dim)).collect();
                Tensor::<B, 2>::from_data(TensorData::new(values, [chunk.len(), dim]), device)
            };
            let noise = LatentNoise { at_zero: draw(), at_t: draw() };
            let gammas = networks.gammas(&at, None, device);
            let terms = networks.losses(config, encoder, x.clone(), classes.clone(), gammas, noise);
            for (term, values) in read_terms(terms)?.into_iter().enumerate() {
                for (sum, value) in sums.iter_mut().zip(values) {
                    sum[term] += value / times as f64;
                }
            }
        }
        for (sum, &i) in sums.iter().zip(chunk) {
            let [reconstruction, latent, diffusion, mse, gradient_difference] = *sum;
            all.reconstruction.push(reconstruction);
            all.latent.push(latent);
            all.diffusion.push(diffusion);
            all.mse.push(mse);
            all.gradient_difference.push(gradient_difference);
            let entropy = |&v: &u8| math::bernoulli_entropy(f64::from(to_unit(v)));
            all.entropy_floor.push(data.image(i).iter().map(entropy).sum());
        }
        on_progress(all.reconstruction.len());
    }
    Ok(all)
}

/// Reads the five terms of a batch: reconstruction, latent, diffusion, MSE and gradient difference.
pub fn read_terms<B: Backend>(terms: LossTerms<B>) -> Result<[Vec<f64>; 5]> {
    let LossTerms { reconstruction, latent, diffusion, mse, gradient_difference, .. } = terms;
    let stacked = Tensor::stack::<2>(vec![reconstruction, latent, diffusion, mse, gradient_difference], 0);
    let [_, batch] = stacked.dims();
    let data = stacked.try_into_data().map_err(|error| anyhow::anyhow!("cannot read from the device: {error:?}"))?;
    let values: Vec<f64> = data.iter::<f64>().collect();
    let row = |i: usize| values[i * batch..(i + 1) * batch].to_vec();
    Ok([row(0), row(1), row(2), row(3), row(4)])
}

#[derive(Serialize)]
struct Report {
    weights: String,
    weights_sha256: String,
    images: usize,
    skipped: usize,
    times: usize,
    seed: u64,
    bits_per_dim: BitsPerDim,
    mse: Estimate,
    gradient_difference: Estimate,
}

#[derive(Serialize)]
struct BitsPerDim {
    #[serde(flatten)]
    mean: Terms,
    standard_error: Terms,
}

#[derive(Serialize)]
struct Terms {
    reconstruction: f64,
    latent: f64,
    diffusion: f64,
    total: f64,
    entropy_floor: f64,
    excess: f64,
}

/// `trainer evaluate`.
pub fn command(args: EvaluateArgs) -> Result<()> {
    anyhow::ensure!(args.times > 0, "--times is 0: at least 1 is accepted");
    let files = data::list(&args.data)?;
    let device = device::choose(args.device)?;
    device::run(device, Evaluate { args, files })
}

struct Evaluate {
    args: EvaluateArgs,
    files: Vec<std::path::PathBuf>,
}

impl Job for Evaluate {
    type Output = ();

    fn run<B: AutodiffBackend>(self, device: &B::Device) -> Result<()> {
        let args = self.args;
        let loaded = files::load_model::<B::InnerBackend>(&args.weights, WithEncoder::Yes, device)?;
        let config = &loaded.model.config;
        let labels = match config.classes {
            0 => None,
            _ => {
                let (names, labels) = data::class_folders(&args.data, &self.files)?;
                let known = &loaded.header.provenance.class_names;
                anyhow::ensure!(&names == known, "the folder's classes are {names:?}, and the weights' are {known:?}");
                Some(labels)
            }
        };
        let unreadable = if args.skip_unreadable { Unreadable::Skip } else { Unreadable::Fail };
        let data = Dataset::load(&self.files, labels.as_deref(), config.height, config.width, unreadable)?;
        let mut progress = Progress::new("evaluating", 0, data.len() as u64);
        let terms = measure(&loaded.model.networks, config, &data, args.times, args.seed, device, |done| {
            progress.set(done as u64, String::new);
        })?;
        drop(progress);

        let bits = |nats: &[f64]| {
            let bits: Vec<f64> = nats.iter().map(|&n| math::bits_per_dim(n, config.pixels())).collect();
            Estimate::of(&bits)
        };
        let excess: Vec<f64> = terms.reconstruction.iter().zip(&terms.entropy_floor).map(|(r, f)| r - f).collect();
        let (reconstruction, latent, diffusion) =
            (bits(&terms.reconstruction), bits(&terms.latent), bits(&terms.diffusion));
        let (total, entropy_floor, excess) = (bits(&terms.total()), bits(&terms.entropy_floor), bits(&excess));
        let terms_by = |figure: fn(&Estimate) -> f64| Terms {
            reconstruction: figure(&reconstruction),
            latent: figure(&latent),
            diffusion: figure(&diffusion),
            total: figure(&total),
            entropy_floor: figure(&entropy_floor),
            excess: figure(&excess),
        };
        let report = Report {
            weights: args.weights.display().to_string(),
            weights_sha256: loaded.sha256,
            images: data.len(),
            skipped: data.skipped,
            times: args.times,
            seed: args.seed,
            bits_per_dim: BitsPerDim { mean: terms_by(|e| e.mean), standard_error: terms_by(|e| e.standard_error) },
            mse: Estimate::of(&terms.mse),
            gradient_difference: Estimate::of(&terms.gradient_difference),
        };
        if args.json {
            println!("{}", serde_json::to_string_pretty(&report)?);
            return Ok(());
        }
        println!("{} images, bits a dimension ± standard error", report.images);
        for (name, e) in [
            ("reconstruction", reconstruction),
            ("  entropy floor", entropy_floor),
            ("  excess", excess),
            ("latent", latent),
            ("diffusion", diffusion),
            ("total", total),
        ] {
            println!("{name:<16} {:.4e} ± {:.1e}", e.mean, e.standard_error);
        }
        println!("{:<16} {:.4e} ± {:.1e}", "MSE", report.mse.mean, report.mse.standard_error);
        Ok(())
    }
}
