//! One optimizer step.

use anyhow::{Context, Result, anyhow};
use burn::module::AutodiffModule;
use burn::optim::{GradientsAccumulator, GradientsParams};
use burn::tensor::{Tensor, backend::AutodiffBackend, backend::Backend};
use vdm::config::{ComputePrecision, Stage, TrainingConfig};
use vdm::diffusion::terms::Terms;
use vdm::nn::fused::in_place;
use vdm::objective::{clip_global_norm, complete_gradients, losses};

use super::checkpoint::Checkpoint;
use super::hollow;
use super::loader::HostBatch;
use super::process_group::ProcessGroup;
use crate::run::settings::RunSettings;

/// Steps without an overflow after which float16's loss scale is doubled (Micikevicius et al. 2018).
const STEPS_TO_GROW: u64 = 2000;
const MAX_LOSS_SCALE: f64 = 65536.0;

/// What became of a step.
pub enum Step {
    /// It was taken, and its numbers stayed on the device.
    Taken,
    /// It was taken, and its numbers were read back.
    ReadBack {
        /// Means over the batch.
        terms: Terms<f64>,
        /// Norm of the objective's gradient before clipping, in nats per pixel.
        gradient_norm: f64,
    },
    /// A gradient overflowed float16: the weights stay, and the step counts.
    Skipped,
    /// The loss or its gradient is not finite: the weights stay.
    NotFinite,
}

/// The parts of a step before the optimizer's.
#[derive(Clone, Copy, Debug)]
pub enum Phase {
    /// The batch is on the device.
    Data,
    /// Its losses are computed.
    Forward,
    /// And their gradient.
    Backward,
}

/// Takes one step of `state` on this device's parts of a batch, and calls `after` each phase of each part.
///
/// The numbers are read back if `reads_back`, and always with float16; the host waits for the device only then.
pub fn take<B: AutodiffBackend>(
    state: &mut Checkpoint<B>,
    parts: Vec<HostBatch>,
    settings: &RunSettings,
    group: &ProcessGroup,
    reads_back: bool,
    device: &B::Device,
    mut after: impl FnMut(Phase) -> Result<()>,
) -> Result<Step> {
    let (config, training) = (&settings.model, &settings.training);
    let (scale, images) = (state.trainer.loss_scale, training.batch);
    let networks = &state.networks;
    let encoder = networks.encoder.as_ref().context("the encoder is missing")?;
    let mut accumulator = GradientsAccumulator::new();
    let mut sums = Tensor::<B::InnerBackend, 1>::zeros([SUMS], device);
    // The reconstruction term is trained with the whole model only.
    let with_start = training.stage == Stage::Joint;
    for part in parts {
        let part = part.on_device(with_start, device);
        after(Phase::Data)?;
        let part = losses(networks, encoder, config, training, part);
        after(Phase::Forward)?;
        let part = part.gradients(networks, config, training, scale);
        accumulator.accumulate(networks, part.gradients);
        sums = sums + sums_of(part.terms, part.weighted_diffusion);
        after(Phase::Backward)?;
    }
    let (mut grads, sums) = group.sum_gradients(accumulator.grads(), sums, &networks.valid())?;

    let mean_diffusion = sums.clone().narrow(0, WEIGHTED_DIFFUSION, 1) / images as f64;
    complete_gradients(&mut grads, networks, training.diffusion_steps, images, scale, mean_diffusion);
    let pixels = config.pixels() as f64;
    let norm = clip_global_norm::<B, _>(&mut grads, networks, training.clip_norm * pixels, device);

    let float16 = training.precision == ComputePrecision::F16;
    // An overflow of float16 must not reach the weights, so each of its steps is read back.
    if !reads_back && !float16 {
        update(state, grads, training);
        return Ok(Step::Taken);
    }
    let values = read(Tensor::cat(vec![sums, norm], 0))?;
    let (sums, norm) = (&values[..SUMS], values[SUMS] / pixels);
    if !values.iter().all(|value| value.is_finite()) {
        if float16 && sums.iter().all(|sum| sum.is_finite()) && scale > 1e-3 {
            state.trainer.loss_scale /= 2.0;
            state.trainer.good_steps = 0;
            // The step counts: its images are not taken again.
            state.trainer.step += 1;
            return Ok(Step::Skipped);
        }
        return Ok(Step::NotFinite);
    }
    update(state, grads, training);
    if float16 {
        state.trainer.good_steps += 1;
        if state.trainer.good_steps.is_multiple_of(STEPS_TO_GROW) && scale < MAX_LOSS_SCALE {
            state.trainer.loss_scale *= 2.0;
        }
        if !reads_back {
            return Ok(Step::Taken);
        }
    }
    let terms = Terms::from_array(std::array::from_fn(|term| sums[term] / images as f64));
    Ok(Step::ReadBack { terms, gradient_norm: norm })
}

/// Updates the networks and their averages by the gradient of a whole batch.
fn update<B: AutodiffBackend>(state: &mut Checkpoint<B>, grads: GradientsParams, training: &TrainingConfig) {
    let step = state.trainer.step + 1;
    let networks = match in_place::is_flex::<B::InnerBackend>() {
        true => hollow::take(&mut state.networks),
        // A device may fail, and what it leaves behind is whole.
        false => state.networks.clone(),
    };
    state.networks = state.optimizer.step(training.learning_rate_at(step), networks, grads);
    state.trainer.step = step;
    if !state.emas.is_empty() {
        let networks = state.networks.valid();
        for ema in &mut state.emas {
            let decay = training.ema_decay(ema.half_life, step * training.batch as u64);
            ema.update(&networks, decay);
        }
    }
}

/// Numbers that are summed over a batch: the terms, and the diffusion loss as the objective weighs it.
const SUMS: usize = 6;
const WEIGHTED_DIFFUSION: usize = SUMS - 1;

/// The sums over the images of a part, `[SUMS]`.
fn sums_of<B: Backend>(terms: Terms<Tensor<B, 1>>, weighted_diffusion: Tensor<B, 1>) -> Tensor<B, 1> {
    let all = terms.into_array().into_iter().chain([weighted_diffusion]);
    Tensor::cat(all.map(Tensor::sum).collect(), 0)
}

/// Numbers from the device.
pub fn read<B: Backend>(values: Tensor<B, 1>) -> Result<Vec<f64>> {
    let data = values.try_into_data().map_err(|error| anyhow!("cannot read from the device: {error:?}"))?;
    Ok(data.iter::<f64>().collect())
}
