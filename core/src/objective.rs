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
use crate::config::{ModelConfig, ScheduleKind, Stage, TrainingConfig};
use crate::diffusion::loss::{LossTerms, latent_kl};
use crate::diffusion::terms::Terms;
use crate::model::{BatchGammas, DiffusionWeight, LatentNoise, Networks, mean_of_draws};
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
    /// The noise.
    pub noise: LatentNoise<B>,
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

/// The losses of a part of a batch. Terms that train nothing are zeros unless `all_terms` are wanted.
pub fn losses<B: AutodiffBackend>(
    networks: &Networks<B>,
    encoder: &Encoder<B>,
    config: &ModelConfig,
    training: &TrainingConfig,
    all_terms: bool,
    batch: Batch<B>,
) -> Losses<B> {
    let device = batch.x.device();
    let pixels = config.pixels() as f64;
    let TrainingConfig { stage, diffusion_steps, objective: weights, .. } = training;
    let times = batch.times.clone();
    let leaves = as_leaves(networks.gammas(&times, *diffusion_steps, &device));
    let LossTerms { terms, diffusion_draws } = match stage {
        Stage::Diffusion => losses_of_diffusion(networks, encoder, config, &leaves, all_terms, batch),
        Stage::Joint | Stage::Autoencoder => {
            networks.losses(config, *stage, encoder, batch.x, batch.classes, leaves.clone(), batch.noise)
        }
        Stage::Decoder => {
            let Batch { x, classes, noise, .. } = batch;
            let f = Tensor::from_inner(encoder.valid().forward(x.clone().inner()));
            networks.losses_of_latents(config, *stage, f, x, classes, leaves.clone(), noise)
        }
    };
    let [images] = terms.latent.dims();
    let draws = match weights.sigmoid_bias {
        None => diffusion_draws,
        Some(bias) => diffusion_draws * sigmoid(leaves.at_t.clone() + bias),
    };
    let diffusion = mean_of_draws(draws.clone(), images);
    let kl = terms.latent.clone() + diffusion.clone();
    let mut objective = terms.reconstruction.clone() + kl * weights.kl_weight;
    for (weight, term) in [
        (weights.mse * pixels, &terms.mse),
        (weights.gradient_difference * pixels, &terms.gradient_difference),
        (weights.grain, &terms.grain),
    ] {
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
        encoder: &Encoder<B>,
        config: &ModelConfig,
        training: &TrainingConfig,
        loss_scale: f64,
    ) -> Gradients<B> {
        let Self { times, leaves, terms, draws, diffusion, objective } = self;
        let mut grads = (objective.sum() * loss_scale).backward();
        let (stage, diffusion_steps) = (training.stage, training.diffusion_steps);
        let trains_schedule = config.schedule.kind != ScheduleKind::Linear && stage.has_diffusion();
        let schedule = trains_schedule
            .then(|| schedule_gradients(networks, config, diffusion_steps, &times, &leaves, &draws, &grads));
        // Each stage trains its part of the networks.
        let mut gradients = match stage {
            Stage::Joint => GradientsParams::from_module(&mut grads, networks),
            Stage::Diffusion => GradientsParams::from_module(&mut grads, &networks.score_net),
            Stage::Decoder => GradientsParams::from_module(&mut grads, &networks.decoder),
            Stage::Autoencoder => {
                let mut of_both = GradientsParams::from_module(&mut grads, &networks.decoder);
                let mut of_encoder = GradientsParams::from_module(&mut grads, encoder);
                encoder.valid().visit(&mut Merge { from: &mut of_encoder, into: &mut of_both });
                of_both
            }
        };
        if let Some(mut schedule) = schedule {
            let mut merge = Merge { from: &mut schedule, into: &mut gradients };
            networks.schedule.valid().visit(&mut merge);
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

/// The loss where encoder and decoder are not trained: they have no backward pass.
fn losses_of_diffusion<B: AutodiffBackend>(
    networks: &Networks<B>,
    encoder: &Encoder<B>,
    config: &ModelConfig,
    gammas: &BatchGammas<B>,
    all_terms: bool,
    batch: Batch<B>,
) -> LossTerms<B> {
    let Batch { x, classes, noise, .. } = batch;
    let x = x.inner();
    let f = encoder.valid().forward(x.clone());
    let [images, _] = f.dims();
    let terms = if all_terms {
        let min = gammas.min.clone().inner();
        networks.valid().autoencoder_terms(config, f.clone(), x, min, noise.at_zero.inner())
    } else {
        Terms::zeros(images, &x.device())
    };
    let f = Tensor::from_inner(f);
    let diffusion_draws = networks.diffusion_draws(config, f.clone(), classes, gammas, noise.at_t);
    let diffusion = mean_of_draws(diffusion_draws.clone(), images);
    let latent = latent_kl(f, gammas.max.clone());
    LossTerms { terms: Terms { latent, diffusion, ..terms.map(Tensor::from_inner) }, diffusion_draws }
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
    networks: &Networks<B>,
    config: &ModelConfig,
    diffusion_steps: Option<u32>,
    times: &[f64],
    leaves: &BatchGammas<B>,
    diffusion: &Tensor<B, 1>,
    grads: &B::Gradients,
) -> GradientsParams {
    let schedule = &networks.schedule;
    let device = diffusion.device();
    let learned = config.schedule.kind.learns_endpoints();
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
            let now = networks.gammas_with_endpoints(times, diffusion_steps, min, max, &device);
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
    if let (None, Some(interior)) = (diffusion_steps, &networks.schedule.monotonic) {
        interior.visit(&mut Scale { gradients, factor: (mean_diffusion + 1e-12).recip() });
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
