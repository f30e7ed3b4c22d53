//! AdamW, on the CPU in one pass over each parameter with its moments.

use burn::optim::{AdamW as Plain, AdamWConfig, AdamWState, AdaptiveMomentumState, SimpleOptimizer};
use burn::tensor::{Tensor, backend::Backend};
use vdm::config::TrainingConfig;
use vdm::nn::fused::in_place::in_place;

/// AdamW (Loshchilov and Hutter 2019).
#[derive(Clone)]
pub struct AdamW {
    plain: Plain,
    betas: [f32; 2],
    epsilon: f32,
    weight_decay: f32,
}

impl AdamW {
    /// Of a training.
    pub fn new(training: &TrainingConfig) -> Self {
        let betas = [training.beta_1 as f32, training.beta_2 as f32];
        let (epsilon, weight_decay) = (training.epsilon as f32, training.weight_decay as f32);
        let plain = AdamWConfig::new()
            .with_beta_1(betas[0])
            .with_beta_2(betas[1])
            .with_epsilon(epsilon)
            .with_weight_decay(weight_decay)
            .build();
        Self { plain, betas, epsilon, weight_decay }
    }
}

impl<B: Backend> SimpleOptimizer<B> for AdamW {
    type State<const D: usize> = AdamWState<B, D>;

    fn step<const D: usize>(
        &self,
        rate: f64,
        weights: Tensor<B, D>,
        gradient: Tensor<B, D>,
        state: Option<AdamWState<B, D>>,
    ) -> (Tensor<B, D>, Option<AdamWState<B, D>>) {
        let Some(AdamWState { momentum: AdaptiveMomentumState { time, moment_1, moment_2, max_moment_2 } }) = state
        else {
            return self.plain.step(rate, weights, gradient, None);
        };
        let state = |time, moment_1, moment_2| {
            Some(AdamWState::new(AdaptiveMomentumState { time, moment_1, moment_2, max_moment_2 }))
        };
        let ([beta_1, beta_2], epsilon, next) = (self.betas, self.epsilon, time + 1);
        let correction = self.betas.map(|beta| 1.0 - beta.powi(next as i32));
        let (kept, rate_of_step) = ((1.0 - rate * f64::from(self.weight_decay)) as f32, rate as f32);
        let updated = in_place([weights, moment_1, moment_2], [gradient], |[weights, first, second], [gradient]| {
            for (((weight, first), second), gradient) in weights.iter_mut().zip(first).zip(second).zip(gradient) {
                *first = *first * beta_1 + gradient * (1.0 - beta_1);
                *second = *second * beta_2 + gradient * gradient * (1.0 - beta_2);
                let delta = (*first / correction[0]) / ((*second / correction[1]).sqrt() + epsilon);
                *weight = *weight * kept - delta * rate_of_step;
            }
        });
        match updated {
            Ok([weights, moment_1, moment_2]) => (weights, state(next, moment_1, moment_2)),
            Err(([weights, moment_1, moment_2], [gradient])) => {
                self.plain.step(rate, weights, gradient, state(time, moment_1, moment_2))
            }
        }
    }

    fn to_device<const D: usize>(mut state: AdamWState<B, D>, device: &B::Device) -> AdamWState<B, D> {
        state.momentum = state.momentum.to_device(device);
        state
    }
}

#[cfg(test)]
mod tests {
    use burn::backend::Flex;
    use burn::tensor::TensorData;
    use vdm::config::Preset;
    use vdm::rng::{Rng, RngStream};

    use super::*;

    #[test]
    fn a_pass_over_a_parameter_is_burns_adamw_to_the_bit() {
        let training = TrainingConfig { weight_decay: 0.05, ..Preset::Quick.training(None) };
        let noise = |stream| {
            let values = Rng::new(1, RngStream::Evaluation, stream).normals(7 * 5000);
            Tensor::<Flex, 2>::from_data(TensorData::new(values, [7, 5000]), &Default::default())
        };
        let optimizer = AdamW::new(&training);
        let (mut ours, mut theirs) = ((noise(0), None), (noise(0), None));
        for step in 1..5 {
            let rate = 0.01 / step as f64;
            ours = SimpleOptimizer::<Flex>::step(&optimizer, rate, ours.0, noise(step), ours.1);
            theirs = SimpleOptimizer::<Flex>::step(&optimizer.plain, rate, theirs.0, noise(step), theirs.1);
            assert_eq!(ours.0.to_data(), theirs.0.to_data(), "step {step}");
        }
        let moments = |state: Option<AdamWState<Flex, 2>>| {
            let AdaptiveMomentumState { time, moment_1, moment_2, .. } = state.expect("has taken steps").momentum;
            (time, moment_1.into_data(), moment_2.into_data())
        };
        assert_eq!(moments(ours.1), moments(theirs.1));
    }
}
