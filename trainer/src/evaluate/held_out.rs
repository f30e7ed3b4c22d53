//! Held-out images: their variational bound, and how well they are reconstructed.

use anyhow::{Context, Result};
use burn::tensor::backend::Backend;
use vdm::config::Stage;
use vdm::elbo::ImageElbo;
use vdm::image::GreyImage;
use vdm::model::Vdm;

use super::elbo::{self, BATCH, Estimate};
use super::options::Options;
use super::report::{Better, BitsPerDim, Bound, Row, Section, in_bits};
use crate::base::files::LoadedModel;
use crate::base::progress::Progress;
use crate::data::Dataset;
use crate::generate;
use crate::measures::codecs::BitsPerPixel;
use crate::measures::stats::Figure;
use crate::measures::{Images, Measured, similarity};

/// A term of the bound: its key, and its value.
type Term = (&'static str, fn(&ImageElbo) -> f64);
/// A measure of likeness: its key, its name, and its values.
type Likeness = (&'static str, &'static str, fn(&similarity::Pairwise) -> &[f64]);

/// The bound of held-out images.
pub struct MeasuredBound {
    pub bound: Bound,
    /// The bound where it is one on the 8-bit images.
    pub bits_per_pixel: Option<BitsPerPixel>,
    pub rows: Vec<Row>,
}

/// The bound, for the report and as rows of the table.
pub fn bound<B: Backend>(
    options: &Options,
    loaded: &LoadedModel<B>,
    data: &Dataset,
    device: &B::Device,
) -> Result<MeasuredBound> {
    let config = &loaded.model.config;
    let (times, bootstrap, seed) = (options.times, options.bootstrap, options.seed);
    let mut progress = Progress::new("bound, images", 0, data.len() as u64);
    let terms = elbo::measure(&loaded.model.networks, config, Stage::Joint, data, times, seed, device, |done| {
        progress.set(done as u64, String::new);
        Ok(())
    })?;
    drop(progress);
    let mut rows = Vec::new();
    let values = |of: fn(&ImageElbo) -> f64| terms.iter().map(of).collect::<Vec<f64>>();
    let mut of_terms: Vec<Term> = vec![
        ("reconstruction", |t| t.terms.reconstruction),
        ("entropy_floor", |t| t.entropy_floor),
        ("excess", |t| t.terms.reconstruction - t.entropy_floor),
        ("latent", |t| t.terms.latent),
        ("diffusion", |t| t.terms.diffusion),
        ("total", |t| t.terms.total()),
    ];
    let lossless = config.bands.is_some();
    if lossless {
        of_terms.retain(|(key, _)| !["entropy_floor", "excess"].contains(key));
    }
    for &(key, of) in &of_terms {
        let figure = in_bits(Figure::mean(&values(of), bootstrap, seed), config.pixels());
        let name = match key {
            "entropy_floor" => "of it the images' own entropy",
            "excess" => "of it above the entropy",
            key => key,
        };
        rows.push(Row::alone(Section::Bound, key, name, Better::Lower, figure));
    }
    let mse = Figure::mean(&values(|t| t.terms.mse), bootstrap, seed);
    let name = "MSE of grey values in 0..1, from z at t = 0";
    rows.push(Row::alone(Section::Reconstruction, "mse", name, Better::Lower, mse));
    let estimate = |of| Estimate::of(&values(of)).in_bits_per_dim(config.pixels());
    let estimates: Vec<_> = of_terms.into_iter().map(|(key, of)| (key, estimate(of))).collect();
    let by_key = |of: fn(&Estimate) -> f64| estimates.iter().map(|(key, estimate)| (*key, of(estimate))).collect();
    let bound = Bound {
        bits_per_dim: BitsPerDim { mean: by_key(|e| e.mean), standard_error: by_key(|e| e.standard_error) },
        mse: Estimate::of(&values(|t| t.terms.mse)),
        gradient_difference: Estimate::of(&values(|t| t.terms.gradient_difference)),
    };
    let bits_per_pixel = lossless.then(|| {
        let Estimate { mean, standard_error } = estimate(|t| t.terms.total());
        BitsPerPixel { mean, standard_error, images: terms.len() }
    });
    Ok(MeasuredBound { bound, bits_per_pixel, rows })
}

/// Rows of held-out images that are encoded, and decoded without noise.
pub fn reconstruction<B: Backend>(
    options: &Options,
    model: &Vdm<B>,
    data: &Dataset,
    device: &B::Device,
) -> Result<Vec<Row>> {
    let mut progress = Progress::new("reconstruction, images", 0, data.len() as u64);
    let all = Images::of(data);
    let indices: Vec<usize> = (0..data.len()).collect();
    let mut found: Measured<similarity::Pairwise> =
        Ok(similarity::Pairwise { psnr: Vec::new(), ssim: Vec::new(), ms_ssim: Vec::new() });
    for (done, chunk) in indices.chunks(BATCH).enumerate() {
        let latents = model.encode(data.batch(chunk, device)).context("the encoder is not loaded")?;
        let decoded: Vec<GreyImage> = generate::to_images(model.decode(latents), data.width)?;
        let decoded = Images { pixels: decoded.iter().map(|image| image.pixels.as_slice()).collect(), ..all };
        found = found.and_then(|mut found| {
            let more = similarity::pairwise(&all.select(chunk), &decoded)?;
            found.psnr.extend(more.psnr);
            found.ssim.extend(more.ssim);
            found.ms_ssim.extend(more.ms_ssim);
            Ok(found)
        });
        progress.set((done * BATCH + chunk.len()) as u64, String::new);
    }
    let kinds: [Likeness; 3] =
        [("psnr", "PSNR, dB", |p| &p.psnr), ("ssim", "SSIM", |p| &p.ssim), ("ms_ssim", "MS-SSIM", |p| &p.ms_ssim)];
    let section = Section::Reconstruction;
    let rows = kinds.map(|(key, name, of)| match &found {
        Ok(found) => {
            let figure = Figure::mean(of(found), options.bootstrap, options.seed);
            Row::alone(section, key, name, Better::Higher, figure)
        }
        Err(why) => Row::missing(section, key, name, Better::Higher, why),
    });
    Ok(rows.to_vec())
}
