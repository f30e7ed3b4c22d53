//! The gradient of a training step.
//!
//! The networks and the schedule minimise different quantities. In continuous time the variational bound depends on the
//! schedule's endpoints only, so its interior minimises the *variance* of the loss estimate instead (Kingma et al. 2021,
//! appendix H): the squared diffusion loss, whose gradient is 2 L_i ∂L_i/∂η. One backward pass serves both. γ and γ′ enter
//! the loss as leaves. Their gradients then continue into the schedule's parameters: unchanged for the endpoints, and times
//! 2 L_i over the batch's mean L for the interior. In discrete time the bound does depend on the interior, and the whole
//! schedule has the unchanged gradient.
//!
//! A batch may be computed in parts, on one device or on several. The [gradients](Losses::gradients) of the parts are
//! summed, and [`complete_gradients`] turns the sum into the gradient of the whole batch.

use burn::module::{AutodiffModule, Module, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::activation::sigmoid;
use burn::tensor::{ElementConversion, Int, Tensor, backend::AutodiffBackend};

use crate::autoencoder::Encoder;
use crate::autoencoder::lapped::CropWindows;
use crate::config::{ModelConfig, ScheduleKind, Stage, TrainingConfig};
use crate::diffusion::loss::{self, LossTerms};
use crate::diffusion::schedule::ScheduleParams;
use crate::diffusion::score_net::Context;
use crate::diffusion::terms::Terms;
use crate::model::{BatchGammas, DiffusionWeight, LatentNoise, Networks, band_grid, mean_of_draws, schedule_gammas};
use crate::nn::fused::in_place;

/// A batch to train on.
#[derive(Clone, Debug)]
pub struct Batch<B: AutodiffBackend> {
    /// Images `[B, H·W]` in [0, 1].
    pub x: Tensor<B, 2>,
    /// Labels `[B]`, where the model has classes.
    pub classes: Option<Tensor<B, 1, Int>>,
    /// Diffusion times, K per image: that of draw k of image i is at k·B + i.
    pub times: Vec<f64>,
    /// The noise. That of z_t has the numbers of the band that is trained, or of its crops.
    pub noise: LatentNoise<B>,
    /// Where the fine band is trained.
    pub fine: Option<FineBatch<B>>,
}

/// The crops of a batch of the fine band, and the noise on what its ScoreNet is given.
#[derive(Clone, Debug)]
pub struct FineBatch<B: AutodiffBackend> {
    /// The crops. They take the place of [`Batch::x`].
    pub crops: CropWindows<B::InnerBackend>,
    /// γ of the noise on each context.
    pub context_gammas: Vec<f64>,
    /// That noise, `[B·P, CONTEXT_CHANNELS]`.
    pub context_noise: Tensor<B::InnerBackend, 2>,
}

/// The losses of a part of a batch, before their gradient.
#[derive(Debug)]
pub struct Losses<B: AutodiffBackend> {
    times: Vec<f64>,
    leaves: BatchGammas<B>,
    terms: Terms<Tensor<B, 1>>,
    /// The diffusion loss as the objective weighs it, of each draw.
    draws: Tensor<B, 1>,
    /// And of each image.
    diffusion: Tensor<B, 1>,
    objective: Tensor<B, 1>,
}

/// The losses of a part of a batch. The terms of a band's stage are those of that band.
pub fn losses<B: AutodiffBackend>(
    networks: &Networks<B>,
    encoder: &Encoder<B>,
    config: &ModelConfig,
    training: &TrainingConfig,
    batch: Batch<B>,
) -> Losses<B> {
    let device = networks.schedule.gamma_min.val().device();
    let pixels = config.pixels() as f64;
    let TrainingConfig { stage, diffusion_steps, objective: weights, .. } = training;
    let times = batch.times.clone();
    let band = usize::from(*stage == Stage::Fine);
    let leaves = as_leaves(networks.gammas(band, &times, *diffusion_steps, &device));
    let LossTerms { terms, diffusion_draws } = if config.bands.is_some() {
        band_losses(networks, encoder, config, band, &leaves, batch)
    } else {
        networks.losses(
            config,
            Stage::Joint,
            encoder,
            batch.x,
            batch.classes,
            std::slice::from_ref(&leaves),
            batch.noise,
        )
    };
    let [images] = terms.latent.dims();
    let gamma = || leaves.at_t.clone();
    let draws = match weights.sigmoid_bias {
        None => diffusion_draws,
        Some(bias) => diffusion_draws * sigmoid(gamma() + bias),
    };
    let draws = match weights.velocity_gamma {
        None => draws,
        // 1 + e^γ = 1 / sigmoid(−γ).
        Some(limit) => draws * sigmoid(gamma().neg() + limit) / sigmoid(gamma().neg()),
    };
    let diffusion = mean_of_draws(draws.clone(), images);
    let kl = terms.latent.clone() + diffusion.clone();
    let mut objective = terms.reconstruction.clone() + kl * weights.kl_weight;
    for (weight, term) in
        [(weights.mse * pixels, &terms.mse), (weights.gradient_difference * pixels, &terms.gradient_difference)]
    {
        if weight > 0.0 {
            objective = objective + term.clone() * weight;
        }
    }
    Losses { times, leaves, terms, draws, diffusion, objective }
}

impl<B: AutodiffBackend> Losses<B> {
    /// The loss terms, and the gradient of the weighted objective in nats.
    ///
    /// The gradient is **summed** over the images and multiplied by `loss_scale`, which keeps small gradients within the
    /// range of float16. [`complete_gradients`] must follow. The auxiliary losses are means over pixels and count once per
    /// pixel. Only what the stage trains has a gradient.
    pub fn gradients(
        self,
        networks: &Networks<B>,
        config: &ModelConfig,
        training: &TrainingConfig,
        loss_scale: f64,
    ) -> Gradients<B> {
        let Self { times, leaves, terms, draws, diffusion, objective } = self;
        let mut grads = (objective.sum() * loss_scale).backward();
        let (stage, diffusion_steps) = (training.stage, training.diffusion_steps);
        let band = usize::from(stage == Stage::Fine);
        let kind = config.schedules()[band].kind;
        let schedule = (kind != ScheduleKind::Linear)
            .then(|| schedule_gradients(networks.band(band).0, kind, diffusion_steps, &times, &leaves, &draws, &grads));
        // Each stage trains its part of the networks.
        let mut gradients = match stage {
            Stage::Joint => GradientsParams::from_module(&mut grads, networks),
            Stage::Coarse | Stage::Fine => GradientsParams::from_module(&mut grads, networks.band(band).1),
        };
        if let Some(mut schedule) = schedule {
            let mut merge = Merge { from: &mut schedule, into: &mut gradients };
            networks.band(band).0.valid().visit(&mut merge);
        }
        let terms = terms.map(Tensor::inner);
        Gradients { terms, weighted_diffusion: diffusion.inner(), gradients }
    }
}

/// The loss and the gradient of a part of a batch.
#[derive(Debug)]
pub struct Gradients<B: AutodiffBackend> {
    /// The loss terms of each image, each `[B]`.
    pub terms: Terms<Tensor<B::InnerBackend, 1>>,
    /// The diffusion loss of each image with the objective's weights over γ, `[B]`.
    pub weighted_diffusion: Tensor<B::InnerBackend, 1>,
    /// The gradient, summed over the images.
    pub gradients: GradientsParams,
}

/// The loss of a band, for whole images or crops of them. A crop counts as the image that it is a part of.
fn band_losses<B: AutodiffBackend>(
    networks: &Networks<B>,
    encoder: &Encoder<B>,
    config: &ModelConfig,
    band: usize,
    gammas: &BatchGammas<B>,
    batch: Batch<B>,
) -> LossTerms<B> {
    let Batch { x, classes, noise, fine, .. } = batch;
    // The transform is fixed: it has no backward pass.
    let (f, context, grid, share) = match (fine, networks.valid().lapped()) {
        (Some(FineBatch { crops, context_gammas, context_noise }), Some(lapped)) if band == 1 => {
            let grid = crops.grid;
            let [values, f] = lapped.split_crops(crops);
            let gamma: Vec<f32> = context_gammas.iter().map(|&gamma| gamma as f32).collect();
            let gamma = Tensor::<B::InnerBackend, 1>::from_floats(gamma.as_slice(), &values.device());
            let [rows, channels] = values.dims();
            let flat = [context_gammas.len(), grid.patches() * channels];
            let noisy = loss::diffuse(values.reshape(flat), context_noise.reshape(flat), gamma.clone());
            let embedded = networks.embed_context(Tensor::from_inner(gamma));
            let values = Tensor::from_inner(noisy.reshape([rows, channels]));
            let share = config.patch_grid().patches() as f64 / grid.patches() as f64;
            (f, Some(Context { values, embedded }), grid, share)
        }
        _ => {
            let f = encoder.valid().forward(x.inner());
            (f.narrow(1, 0, config.band_dims()[0]), None, band_grid(config, 0), 1.0)
        }
    };
    let [images, _] = f.dims();
    let f = Tensor::from_inner(f);
    let draws = networks.diffusion_draws(band, f.clone(), classes, gammas, noise.at_t, grid, context) * share;
    let diffusion = mean_of_draws(draws.clone(), images);
    let latent = loss::latent_kl(f, gammas.max.clone()) * share;
    let terms = Terms { latent, diffusion, ..Terms::zeros(images, &draws.device()) };
    LossTerms { terms, diffusion_draws: draws }
}

fn as_leaves<B: AutodiffBackend>(gammas: BatchGammas<B>) -> BatchGammas<B> {
    let leaf = |t: Tensor<B, 1>| t.detach().require_grad();
    BatchGammas {
        min: leaf(gammas.min),
        max: leaf(gammas.max),
        at_t: leaf(gammas.at_t),
        weight: match gammas.weight {
            DiffusionWeight::Continuous { gamma_prime } => {
                DiffusionWeight::Continuous { gamma_prime: leaf(gamma_prime) }
            }
            DiffusionWeight::Discrete { gamma_s, steps } => DiffusionWeight::Discrete { gamma_s: leaf(gamma_s), steps },
        },
    }
}

/// Continues the gradients at the leaves into the schedule's parameters.
fn schedule_gradients<B: AutodiffBackend>(
    schedule: &ScheduleParams<B>,
    kind: ScheduleKind,
    diffusion_steps: Option<u32>,
    times: &[f64],
    leaves: &BatchGammas<B>,
    diffusion: &Tensor<B, 1>,
    grads: &B::Gradients,
) -> GradientsParams {
    let device = diffusion.device();
    let learned = kind.learns_endpoints();
    let endpoint = |param: &Param<Tensor<B, 1>>| if learned { param.val() } else { param.val().detach() };
    let (min, max) = (endpoint(&schedule.gamma_min), endpoint(&schedule.gamma_max));

    let pull = |leaf: &Tensor<B, 1>, value: Tensor<B, 1>, factor: Option<&Tensor<B, 1>>| -> Tensor<B, 1> {
        let gradient = match leaf.grad(grads) {
            Some(gradient) => Tensor::from_inner(gradient),
            None => leaf.zeros_like().detach(),
        };
        let gradient = match factor {
            Some(factor) => gradient * factor.clone(),
            None => gradient,
        };
        (gradient * value).sum()
    };

    let mut surrogate = pull(&leaves.min, min.clone(), None) + pull(&leaves.max, max.clone(), None);
    match &leaves.weight {
        DiffusionWeight::Discrete { gamma_s, .. } => {
            let now = schedule_gammas(schedule, times, diffusion_steps, min, max, &device);
            surrogate = surrogate + pull(&leaves.at_t, now.at_t, None);
            if let DiffusionWeight::Discrete { gamma_s: value, .. } = now.weight {
                surrogate = surrogate + pull(gamma_s, value, None);
            }
        }
        DiffusionWeight::Continuous { gamma_prime } => {
            let times: Vec<f32> = times.iter().map(|&t| t as f32).collect();
            let (position, slope) = schedule.position(Tensor::from_floats(times.as_slice(), &device));
            let range = max - min.clone();
            // The endpoints, with the interior held: the bound's own gradient.
            let value = min.clone() + range.clone() * position.clone().detach();
            surrogate = surrogate + pull(&leaves.at_t, value, None);
            surrogate = surrogate + pull(gamma_prime, range.clone() * slope.clone().detach(), None);
            // The interior, with the endpoints held: the gradient of the squared loss.
            // Over the mean loss of the whole batch, by which `complete_gradients` divides.
            let factor = diffusion.clone().detach() * 2.0;
            let (min, range) = (min.detach(), range.detach());
            surrogate = surrogate + pull(&leaves.at_t, min + range.clone() * position, Some(&factor));
            surrogate = surrogate + pull(gamma_prime, range * slope, Some(&factor));
        }
    }
    let mut schedule_grads = surrogate.backward();
    GradientsParams::from_module(&mut schedule_grads, schedule)
}

struct Merge<'a> {
    from: &'a mut GradientsParams,
    into: &'a mut GradientsParams,
}

impl<B: burn::tensor::backend::Backend> ModuleVisitor<B> for Merge<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<B, D>>) {
        if let Some(gradient) = self.from.remove::<B, D>(param.id) {
            self.into.register::<B, D>(param.id, gradient);
        }
    }
}

/// Turns the sum of the [gradients](Losses::gradients) of a batch's parts into the gradient of the batch. It divides by the
/// number of images and by the loss scale and, in continuous time, the gradient of the schedule's interior by the batch's
/// mean [weighted diffusion loss](Gradients::weighted_diffusion) `[1]`, in nats.
pub fn complete_gradients<B: AutodiffBackend>(
    gradients: &mut GradientsParams,
    networks: &Networks<B>,
    diffusion_steps: Option<u32>,
    images: usize,
    loss_scale: f64,
    mean_diffusion: Tensor<B::InnerBackend, 1>,
) {
    let factor = mean_diffusion.ones_like() / (images as f64 * loss_scale);
    let networks = networks.valid();
    networks.visit(&mut Scale { gradients, factor });
    if diffusion_steps.is_none() {
        let factor = (mean_diffusion + 1e-12).recip();
        let fine = networks.fine.as_ref().map(|fine| &fine.schedule);
        for interior in [Some(&networks.schedule), fine].into_iter().flatten().filter_map(|s| s.monotonic.as_ref()) {
            interior.visit(&mut Scale { gradients, factor: factor.clone() });
        }
    }
}

/// Scales the whole gradient down to a norm of at most `max_norm`, and returns the norm before, `[1]`.
pub fn clip_global_norm<B: AutodiffBackend, M: AutodiffModule<B>>(
    gradients: &mut GradientsParams,
    module: &M,
    max_norm: f64,
    device: &B::Device,
) -> Tensor<B::InnerBackend, 1> {
    let module = module.valid();
    let mut sum = SumOfSquares { gradients, sum: Tensor::zeros([1], device) };
    module.visit(&mut sum);
    let norm = sum.sum.sqrt();
    let factor = (norm.clone() + 1e-12).recip().mul_scalar(max_norm).clamp_max(1.0);
    module.visit(&mut Scale { gradients, factor });
    norm
}

struct SumOfSquares<'a, B: burn::tensor::backend::Backend> {
    gradients: &'a GradientsParams,
    sum: Tensor<B, 1>,
}

impl<B: burn::tensor::backend::Backend> ModuleVisitor<B> for SumOfSquares<'_, B> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<B, D>>) {
        if let Some(gradient) = self.gradients.get::<B, D>(param.id) {
            let sum = match in_place::whole([], [gradient], |[], [gradient]| in_place::sum_of_squares(gradient)) {
                Ok(([], sum)) => Tensor::from_floats([sum as f32], &self.sum.device()),
                Err(([], [gradient])) => gradient.square().sum(),
            };
            self.sum = self.sum.clone() + sum;
        }
    }
}

struct Scale<'a, B: burn::tensor::backend::Backend> {
    gradients: &'a mut GradientsParams,
    factor: Tensor<B, 1>,
}

impl<B: burn::tensor::backend::Backend> ModuleVisitor<B> for Scale<'_, B> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<B, D>>) {
        if let Some(gradient) = self.gradients.remove::<B, D>(param.id) {
            self.gradients.register::<B, D>(param.id, scaled(gradient, &self.factor));
        }
    }
}

/// A gradient times a number on its device, `[1]`.
fn scaled<B: burn::tensor::backend::Backend, const D: usize>(
    gradient: Tensor<B, D>,
    factor: &Tensor<B, 1>,
) -> Tensor<B, D> {
    let gradient = if in_place::is_flex::<B>() {
        let number: f32 = factor.clone().into_scalar().elem();
        if number == 1.0 {
            return gradient;
        }
        match in_place::in_place([gradient], [], |[gradient], []| gradient.iter_mut().for_each(|v| *v *= number)) {
            Ok([gradient]) => return gradient,
            Err(([gradient], [])) => gradient,
        }
    } else {
        gradient
    };
    gradient * factor.clone().reshape([1i32; D])
}
