//! Validation: the ELBO of the validation images, by the weights and by their averages.

use anyhow::Result;
use burn::module::AutodiffModule;
use burn::tensor::{backend::AutodiffBackend, backend::Backend};
use vdm::config::{ComputePrecision, ObjectiveWeights};
use vdm::diffusion::terms::Terms;
use vdm::elbo::ImageElbo;
use vdm::model::Networks;

use super::checkpoint::Checkpoint;
use super::job::TrainJob;
use crate::evaluate::elbo::{self, Estimate};
use crate::run::log::{ValidationLog, terms_in_bits_per_dim};

/// Networks that are validated, with their name in logs.
pub struct Series<B: Backend> {
    /// `weights`, or the name of an average such as `ema-50000`.
    pub name: String,
    /// The networks, which compute in float32.
    pub networks: Networks<B>,
}

/// The weights, and each of their averages.
pub fn series<B: AutodiffBackend>(state: &Checkpoint<B>) -> Vec<Series<B::InnerBackend>> {
    let weights = ("weights".to_owned(), state.networks.valid());
    let emas = state.emas.iter().map(|ema| (ema.name(), ema.networks.clone()));
    let in_f32 = |(name, networks): (_, Networks<_>)| {
        let networks = networks.with_compute(ComputePrecision::F32);
        Series { name, networks }
    };
    [weights].into_iter().chain(emas).map(in_f32).collect()
}

/// Measures the validation images.
///
/// # Errors
/// [`Interrupted`](crate::base::interrupt::Interrupted); a device that cannot be read.
pub fn measure<B: Backend>(job: &TrainJob, step: u64, series: &Series<B>, device: &B::Device) -> Result<ValidationLog> {
    let settings = &job.data.settings;
    let (config, training) = (&settings.model, &settings.training);
    let check = |_| Ok(job.interrupt.check()?);
    let (networks, data, seed) = (&series.networks, &job.data.validation, settings.seed);
    let images = elbo::measure(networks, config, training.stage, data, 1, seed, device, check)?;
    let of = |value: &dyn Fn(&ImageElbo) -> f64| Estimate::of(&images.iter().map(value).collect::<Vec<_>>());
    let means = Terms::from_array(std::array::from_fn(|term| of(&|image| image.terms.into_array()[term]).mean));
    let terms = terms_in_bits_per_dim(means, config.pixels());
    let total = of(&|image| image.terms.total()).in_bits_per_dim(config.pixels());
    Ok(ValidationLog {
        step,
        series: series.name.clone(),
        terms,
        total: total.mean,
        objective: objective(&terms, &training.objective),
        standard_error: total.standard_error,
    })
}

/// The training objective in bits per dimension, of terms as logs have them. A mean over pixels counts once per pixel.
fn objective(terms: &Terms<f64>, weights: &ObjectiveWeights) -> f64 {
    let auxiliary = weights.mse * terms.mse + weights.gradient_difference * terms.gradient_difference;
    terms.reconstruction + weights.kl_weight * (terms.latent + terms.diffusion) + auxiliary / std::f64::consts::LN_2
}
