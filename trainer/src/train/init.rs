//! The networks that a run starts from.

use std::sync::OnceLock;

use anyhow::{Context, Result, anyhow, ensure};
use burn::module::{AutodiffModule, Module};
use burn::record::{FullPrecisionSettings, NamedMpkBytesRecorder, Recorder};
use burn::tensor::{Tensor, TensorData, backend::AutodiffBackend, backend::Backend};
use vdm::autoencoder::lapped::{LappedSelection, sum_of_squares};
use vdm::config::{GAUSSIAN_CHANNELS, ModelConfig, ScoreNetConfig, Stage};
use vdm::diffusion::gaussian::LatentStatistics;
use vdm::model::Networks;

use super::coarse::{self, BATCH, MAX_IMAGES};
use crate::base::files::{self, WithEncoder};
use crate::base::interrupt::{Interrupt, Interrupted};
use crate::data::Dataset;
use crate::measures::linear::{Components, principal_components};
use crate::run::inputs::RunData;

/// Minimum variance of a latent number besides the components.
const MIN_REST: f32 = 1e-4;

type CoarseRecorder = NamedMpkBytesRecorder<FullPrecisionSettings>;

/// What the devices of a machine measure once, for all of them.
#[derive(Debug, Default)]
pub struct Measured {
    latents: Once<LatentStatistics>,
    /// The trained coarse network, as a record.
    coarse: Once<Vec<u8>>,
}

/// A result, or the message of the error; none where an interrupt cut it short.
type Once<T> = OnceLock<Result<T, Option<String>>>;

fn once<T: Clone>(cell: &Once<T>, measure: impl FnOnce() -> Result<T>) -> Result<T> {
    let measured = cell.get_or_init(|| {
        measure().map_err(|error| if error.is::<Interrupted>() { None } else { Some(format!("{error:#}")) })
    });
    measured.clone().map_err(|error| error.map_or_else(|| Interrupted.into(), |error| anyhow!(error)))
}

/// Fresh networks, with the parts that the weights of `--from` have.
///
/// # Errors
/// Weights that do not fit the run; [`Interrupted`]; a device that cannot be read.
pub fn networks<B: AutodiffBackend>(
    data: &RunData,
    measured_once: &Measured,
    interrupt: &Interrupt,
    device: &B::Device,
) -> Result<Networks<B>> {
    let settings = &data.settings;
    let config = &settings.model;
    let mut networks =
        Networks::<B>::new(config, settings.seed, device)?.with_mean_image(&data.train.mean_image(), device);
    if let Some(selection) = lapped_selection::<B::InnerBackend>(config, &data.train, interrupt, device)? {
        networks = networks.with_lapped_transform(&selection, device);
    }
    let (mut measured, mut coarse_trained) = (false, false);
    if let Some(path) = &settings.from {
        let loaded = files::load_model::<B>(path, WithEncoder::Yes, device)?;
        let (theirs, from) = (&loaded.header.config, loaded.model.networks);
        let same_codec = codec(theirs) == codec(config);
        ensure!(
            same_codec,
            "{} has another encoder or decoder than the run (its configuration is {})",
            path.display(),
            serde_json::to_string(theirs)?
        );
        let fresh = networks.decoder;
        networks.encoder = from.encoder;
        networks.decoder = if theirs.grain == config.grain { from.decoder } else { from.decoder.with_grain_of(fresh) };
        let without_coarse = |config: &ModelConfig| {
            let score_net = config.score_net.clone();
            ScoreNetConfig { coarse_width: 0, coarse_layers: 0, ..score_net }
        };
        let same_prior = without_coarse(theirs) == without_coarse(config)
            && theirs.schedule == config.schedule
            && theirs.classes == config.classes
            && theirs.latent_dim == config.latent_dim;
        // The autoencoder stage gives another encoder, and its latents need a fresh ScoreNet.
        if same_prior && settings.training.stage != Stage::Autoencoder {
            (networks.score_net, networks.schedule) = (from.score_net, from.schedule);
            measured = files::block_on(networks.has_latent_statistics())?;
            if measured && theirs.coarse() == config.coarse() {
                networks.coarse = from.coarse;
                coarse_trained = true;
            }
        }
    }
    if settings.training.stage != Stage::Diffusion {
        return Ok(networks);
    }
    if config.score_net.gaussian_rank > 0 && !measured {
        let statistics = once(&measured_once.latents, || {
            statistics(&networks.valid(), config, &data.train, settings.seed, interrupt, device)
        })?;
        networks = networks.with_latent_statistics(statistics, device);
    }
    if let Some(net) = networks.coarse.clone()
        && !coarse_trained
    {
        let record = once(&measured_once.coarse, || {
            let trained = coarse::train(&networks, data, interrupt, device)?;
            CoarseRecorder::default().record(trained.into_record(), ()).context("cannot store the coarse network")
        })?;
        let record = CoarseRecorder::default().load(record, device).context("cannot load the coarse network")?;
        networks.coarse = Some(net.load_record(record));
    }
    Ok(networks)
}

/// What encoder and decoder are built from, but for grain, which one may have and the other not.
fn codec(config: &ModelConfig) -> impl PartialEq + use<> {
    let ModelConfig { height, width, latent_dim, patch, .. } = *config;
    ([height, width, latent_dim], patch, config.encoder.clone(), config.decoder.clone())
}

/// The coefficients of the lapped transform that hold most of the training images.
fn lapped_selection<B: Backend>(
    config: &ModelConfig,
    data: &Dataset,
    interrupt: &Interrupt,
    device: &B::Device,
) -> Result<Option<LappedSelection>> {
    let Some(grid) = config.grid() else { return Ok(None) };
    let every = data.len().div_ceil(MAX_IMAGES);
    let indices: Vec<usize> = (0..data.len()).step_by(every).collect();
    let pixels = config.pixels();
    let mean: Vec<f32> = data.mean_image().into_iter().map(|v| v as f32).collect();
    let mean = Tensor::<B, 2>::from_data(TensorData::new(mean, [1, pixels]), device);
    let mut sum = Tensor::<B, 1>::zeros([grid.patch * grid.patch], device);
    for chunk in indices.chunks(BATCH) {
        interrupt.check()?;
        sum = sum + sum_of_squares(data.batch::<B>(chunk, device) - mean.clone(), grid);
    }
    let sum = sum.try_into_data().map_err(|e| anyhow!("cannot read from the device: {e:?}"))?;
    let count = (indices.len() * grid.patches()) as f64;
    let mean_squares: Vec<f64> = sum.iter::<f64>().map(|sum| sum / count).collect();
    Ok(Some(LappedSelection::of_mean_squares(&mean_squares, config.latent_dim / grid.patches())))
}

/// Mean and covariance of the latents of training images.
fn statistics<B: Backend>(
    networks: &Networks<B>,
    config: &ModelConfig,
    data: &Dataset,
    seed: u64,
    interrupt: &Interrupt,
    device: &B::Device,
) -> Result<LatentStatistics> {
    let encoder = networks.encoder.as_ref().context("the encoder is missing")?;
    let every = data.len().div_ceil(MAX_IMAGES);
    let indices: Vec<usize> = (0..data.len()).step_by(every).collect();
    eprintln!("measuring the latents of {} images", indices.len());
    let mut latents: Vec<Vec<f32>> = Vec::with_capacity(indices.len());
    for chunk in indices.chunks(BATCH) {
        interrupt.check()?;
        let f = encoder.forward(data.batch(chunk, device)).try_into_data();
        let f = f.map_err(|e| anyhow!("cannot read from the device: {e:?}"))?;
        let f: Vec<f32> = f.iter::<f32>().collect();
        latents.extend(f.chunks_exact(config.latent_dim).map(<[f32]>::to_vec));
    }
    let rank = config.score_net.gaussian_rank;
    ensure!(
        latents.len() > rank,
        "{} training images are too few for model.score_net.gaussian_rank {rank}: more than {rank} are needed",
        latents.len()
    );
    let dim = config.latent_dim;
    let grid = config.grid().context("a Gaussian prediction needs patches")?;
    let channels = dim / grid.patches();
    let places: Vec<usize> = (0..dim).filter(|d| d % channels < GAUSSIAN_CHANNELS).collect();
    let count = latents.len() as f32;
    let mean: Vec<f32> = (0..dim).map(|d| latents.iter().map(|row| row[d]).sum::<f32>() / count).collect();
    let variance = |d: usize| latents.iter().map(|row| (row[d] - mean[d]).powi(2)).sum::<f32>() / count;
    let mut rest: Vec<f32> = (0..dim).map(variance).collect();
    let coarse: Vec<Vec<f32>> = latents.iter().map(|row| places.iter().map(|&d| row[d]).collect()).collect();
    drop(latents);
    let rows: Vec<&[f32]> = coarse.iter().map(Vec::as_slice).collect();
    let Components { basis, variances, .. } = principal_components(&rows, rank, seed);
    let mut components = vec![0.0; places.len() * rank];
    for (k, (component, variance)) in basis.chunks_exact(places.len()).zip(&variances).enumerate() {
        for (i, v) in component.iter().enumerate() {
            components[i * rank + k] = *v;
            rest[places[i]] -= variance * v * v;
        }
    }
    rest.iter_mut().for_each(|v| *v = v.max(MIN_REST));
    Ok(LatentStatistics { mean, components, variances, rest })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use burn::backend::Flex;

    use super::super::fixture::{self, Cpu};
    use super::*;

    fn raised() -> Interrupt {
        Interrupt::new(Some(Duration::ZERO))
    }

    #[test]
    fn an_interrupt_stops_every_measurement_before_the_first_step() {
        let data = fixture::data(fixture::patch_settings());
        let (config, device) = (&data.settings.model, Default::default());
        let fresh = Networks::<Cpu>::new(config, 0, &device).expect("builds").valid();
        let lapped = lapped_selection::<Flex>(config, &data.train, &raised(), &device).map(|_| ());
        let latents = statistics(&fresh, config, &data.train, 0, &raised(), &device).map(|_| ());
        let all = networks::<Cpu>(&data, &Measured::default(), &raised(), &device).map(|_| ());
        for stopped in [lapped, latents, all] {
            assert!(stopped.expect_err("is stopped").is::<Interrupted>());
        }
        // The coarse network is in training by then.
        let soon = Interrupt::new(Some(Duration::from_millis(200)));
        let stopped = networks::<Cpu>(&data, &Measured::default(), &soon, &device).err();
        assert!(stopped.expect("is stopped").is::<Interrupted>());
    }

    #[test]
    fn what_is_measured_once_fails_alike_for_all_devices() {
        let cell = Once::<u8>::default();
        for _ in 0..2 {
            assert!(once(&cell, || Err(Interrupted.into())).expect_err("is stopped").is::<Interrupted>());
        }
        let cell = Once::<u8>::default();
        for _ in 0..2 {
            assert_eq!(once(&cell, || Err(anyhow!("no memory"))).expect_err("fails").to_string(), "no memory");
        }
    }
}
