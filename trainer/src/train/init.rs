//! The networks that a run starts from.

use std::sync::OnceLock;

use anyhow::{Context, Result, anyhow, ensure};
use burn::module::AutodiffModule;
use burn::tensor::{backend::AutodiffBackend, backend::Backend};
use vdm::config::{COARSE_CHANNELS, COARSE_FREQUENCIES, FINE_CHANNELS, ModelConfig, TOKEN_PATCHES};
use vdm::model::Networks;

use crate::base::files::{self, WithEncoder};
use crate::base::interrupt::{Interrupt, Interrupted};
use crate::data::Dataset;
use crate::run::inputs::RunData;

/// Images that are measured at most, and at once.
const MAX_IMAGES: usize = 512;
const BATCH: usize = 32;

/// What the devices of a machine measure once, for all of them.
#[derive(Debug, Default)]
pub struct Measured {
    deviations: Once<[Vec<f64>; 2]>,
}

/// A result, or the message of the error; none where an interrupt cut it short.
type Once<T> = OnceLock<Result<T, Option<String>>>;

fn once<T: Clone>(cell: &Once<T>, measure: impl FnOnce() -> Result<T>) -> Result<T> {
    let measured = cell.get_or_init(|| {
        measure().map_err(|error| if error.is::<Interrupted>() { None } else { Some(format!("{error:#}")) })
    });
    measured.clone().map_err(|error| error.map_or_else(|| Interrupted.into(), |error| anyhow!(error)))
}

/// Fresh networks, or those of the weights of `--from`.
///
/// # Errors
/// Weights that do not fit the run; [`Interrupted`]; a device that cannot be read.
pub fn networks<B: AutodiffBackend>(
    data: &RunData,
    measured: &Measured,
    interrupt: &Interrupt,
    device: &B::Device,
) -> Result<Networks<B>> {
    let settings = &data.settings;
    let config = &settings.model;
    if let Some(path) = &settings.from {
        let loaded = files::load_model::<B>(path, WithEncoder::Yes, device)?;
        let theirs = &loaded.header.config;
        let same = ModelConfig { attributes: theirs.attributes.clone(), ..config.clone() } == *theirs;
        ensure!(
            same && config.attributes.starts_with(&theirs.attributes)
                && config.attributes.is_empty() == theirs.attributes.is_empty(),
            "{} has another model than the run: {} instead of {}",
            path.display(),
            serde_json::to_string(theirs)?,
            serde_json::to_string(config)?
        );
        let known = loaded.header.provenance.attributes.iter().zip(&data.provenance.attributes);
        for (theirs, ours) in known {
            ensure!(
                theirs.values == ours.values,
                "{} was trained with the {} {}, and these images have {}",
                path.display(),
                theirs.name,
                theirs.values.join(", "),
                ours.values.join(", ")
            );
        }
        return Ok(loaded.model.networks.with_attributes(&config.attributes, device)?);
    }
    let mut networks =
        Networks::<B>::new(config, settings.seed, device)?.with_mean_image(&data.train.mean_image(), device);
    if config.bands.is_some() {
        let [coarse, fine] =
            once(&measured.deviations, || deviations(&networks.valid(), config, &data.train, interrupt, device))?;
        networks = networks.with_deviations([&coarse, &fine], device);
    }
    Ok(networks)
}

/// Standard deviations of a token's numbers in each band, over training images. Those of the coarse band depend on the
/// frequency only.
fn deviations<B: Backend>(
    networks: &Networks<B>,
    config: &ModelConfig,
    data: &Dataset,
    interrupt: &Interrupt,
    device: &B::Device,
) -> Result<[Vec<f64>; 2]> {
    let lapped = networks.lapped().context("the model has no bands")?;
    let mut squares = [vec![0.0; COARSE_CHANNELS], vec![0.0; FINE_CHANNELS]];
    let indices: Vec<usize> = (0..data.len()).step_by(data.len().div_ceil(MAX_IMAGES)).collect();
    for chunk in indices.chunks(BATCH) {
        interrupt.check()?;
        for (band, squares) in lapped.split(data.batch::<B>(chunk, device)).into_iter().zip(&mut squares) {
            let values = band.try_into_data().map_err(|e| anyhow!("cannot read from the device: {e:?}"))?;
            let values: Vec<f32> = values.iter::<f32>().collect();
            for token in values.chunks_exact(squares.len()) {
                squares.iter_mut().zip(token).for_each(|(sum, &value)| *sum += f64::from(value).powi(2));
            }
        }
    }
    let images = indices.len() as f64;
    let side = TOKEN_PATCHES * COARSE_FREQUENCIES;
    let frequency = |i: usize| (i / side % COARSE_FREQUENCIES, i % COARSE_FREQUENCIES);
    let [coarse, fine] = squares;
    let tokens = config.coarse_grid().patches() as f64;
    let of_frequency = |i: usize| -> f64 {
        let same = (0..COARSE_CHANNELS).filter(|&j| frequency(j) == frequency(i));
        let (sum, count) = same.fold((0.0, 0.0), |(sum, count), j| (sum + coarse[j], count + 1.0));
        (sum / (images * tokens * count)).sqrt()
    };
    let patches = config.patch_grid().patches() as f64;
    // What never varies still has the noise of t = 0.
    let positive = |deviation: f64| deviation.max(1e-3);
    Ok([
        (0..COARSE_CHANNELS).map(of_frequency).map(positive).collect(),
        fine.iter().map(|sum| (sum / (images * patches)).sqrt()).map(positive).collect(),
    ])
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
    fn an_interrupt_stops_the_measurement_before_the_first_step() {
        let data = fixture::data(fixture::band_settings());
        let stopped = networks::<Cpu>(&data, &Measured::default(), &raised(), &Default::default()).map(|_| ());
        assert!(stopped.expect_err("is stopped").is::<Interrupted>());
    }

    #[test]
    fn deviations_are_those_of_the_training_images() {
        let data = fixture::data(fixture::band_settings());
        let (config, device) = (&data.settings.model, Default::default());
        let networks = networks::<Cpu>(&data, &Measured::default(), &Interrupt::default(), &device).expect("builds");
        let networks = networks.valid();
        let indices: Vec<usize> = (0..data.train.len()).collect();
        let [_, fine] = networks.lapped().expect("bands").split(data.train.batch::<Flex>(&indices, &device));
        let mean: f32 = fine.square().mean().into_scalar();
        let [_, measured] =
            deviations(&networks, config, &data.train, &Interrupt::default(), &device).expect("measures");
        let of_measured = measured.iter().map(|s| s * s).sum::<f64>() / measured.len() as f64;
        assert!((of_measured / f64::from(mean) - 1.0).abs() < 1e-4, "{of_measured} {mean}");
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
