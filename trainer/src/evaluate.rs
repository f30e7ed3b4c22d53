//! The bound on a folder of images, term by term.

use anyhow::{Context, Result};
use burn::tensor::{backend::AutodiffBackend, backend::Backend};
use serde::Serialize;
use vdm::bound::{self, ImageTerms};
use vdm::config::ModelConfig;
use vdm::math;
use vdm::model::Networks;

use crate::cli::EvaluateArgs;
use crate::data::{self, Dataset};
use crate::device::{self, Job};
use crate::files::{self, WithEncoder, block_on};
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

    /// Of nats an image, as bits a dimension.
    pub fn in_bits_per_dim(self, dimensions: usize) -> Self {
        let bits = |nats| math::bits_per_dim(nats, dimensions);
        Self { mean: bits(self.mean), standard_error: bits(self.standard_error) }
    }
}

/// Images evaluated at once.
const BATCH: usize = 64;

/// Measures every image at `times` antithetic diffusion times each, calling back with how many are done.
pub fn measure<B: Backend>(
    networks: &Networks<B>,
    config: &ModelConfig,
    data: &Dataset,
    times: usize,
    seed: u64,
    device: &B::Device,
    mut on_progress: impl FnMut(usize),
) -> Result<Vec<ImageTerms>> {
    let encoder = networks.encoder.as_ref().context("the encoder is not loaded")?;
    let mut all = Vec::with_capacity(data.len());
    let indices: Vec<usize> = (0..data.len()).collect();
    for chunk in indices.chunks(BATCH) {
        let images: Vec<&[u8]> = chunk.iter().map(|&i| data.image(i)).collect();
        let classes = data.labels.as_ref().map(|labels| &labels[chunk[0]..chunk[0] + chunk.len()]);
        let first = chunk[0] as u64;
        all.extend(block_on(bound::measure(networks, config, encoder, &images, classes, first, times, seed, device))?);
        on_progress(all.len());
    }
    Ok(all)
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
    let device = device::choose(args.device)?;
    device::run(device, Evaluate { args })
}

struct Evaluate {
    args: EvaluateArgs,
}

impl Job for Evaluate {
    type Output = ();

    fn run<B: AutodiffBackend>(self, device: &B::Device) -> Result<()> {
        let args = self.args;
        let loaded = files::load_model::<B::InnerBackend>(&args.weights, WithEncoder::Yes, device)?;
        let config = &loaded.model.config;
        let classes = &loaded.header.provenance.class_names;
        let data = data::read(&args.data, &args.choice, classes, config.height, config.width)?;
        let mut progress = Progress::new("evaluating", 0, data.len() as u64);
        let terms = measure(&loaded.model.networks, config, &data, args.times, args.seed, device, |done| {
            progress.set(done as u64, String::new);
        })?;
        drop(progress);

        let each = |of: fn(&ImageTerms) -> f64| Estimate::of(&terms.iter().map(of).collect::<Vec<_>>());
        let bits = |of: fn(&ImageTerms) -> f64| each(of).in_bits_per_dim(config.pixels());
        let (reconstruction, latent, diffusion) =
            (bits(|t| t.reconstruction), bits(|t| t.latent), bits(|t| t.diffusion));
        let (total, entropy_floor) = (bits(ImageTerms::total), bits(|t| t.entropy_floor));
        let excess = bits(|t| t.reconstruction - t.entropy_floor);
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
            mse: each(|t| t.mse),
            gradient_difference: each(|t| t.gradient_difference),
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
