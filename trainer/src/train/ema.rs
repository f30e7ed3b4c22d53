//! Exponential moving averages (EMA) of the weights, with half-lives in images (Karras et al. 2022).

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::{Tensor, backend::Backend};
use vdm::model::Networks;
use vdm::nn::fused::in_place::in_place;

use super::hollow;

/// An exponential moving average of the weights.
#[derive(Clone, Debug)]
pub struct Ema<B: Backend> {
    /// Number of images after which the share of a weight is halved.
    pub half_life: u64,
    /// The averaged networks.
    pub networks: Networks<B>,
}

impl<B: Backend> Ema<B> {
    /// Its name in logs and files.
    pub fn name(&self) -> String {
        name(self.half_life)
    }

    /// ema ← decay · ema + (1 − decay) · networks.
    pub fn update(&mut self, networks: &Networks<B>, decay: f64) {
        let mut current = Weights(GradientsParams::new());
        networks.visit(&mut current);
        let average = hollow::take(&mut self.networks);
        self.networks = average.map(&mut Blend { weights: current.0, decay });
    }
}

/// The name of an average in logs and files.
pub fn name(half_life: u64) -> String {
    format!("ema-{half_life}")
}

struct Weights(GradientsParams);

impl<B: Backend> ModuleVisitor<B> for Weights {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<B, D>>) {
        self.0.register::<B, D>(param.id, param.val());
    }
}

struct Blend {
    weights: GradientsParams,
    decay: f64,
}

impl<B: Backend> ModuleMapper<B> for Blend {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<B, D>>) -> Param<Tensor<B, D>> {
        let (id, average, mapper) = param.consume();
        let average = match self.weights.remove::<B, D>(id) {
            Some(weights) => {
                let (kept, added) = (self.decay as f32, (1.0 - self.decay) as f32);
                let blended = in_place([average], [weights], |[average], [weights]| {
                    for (average, weight) in average.iter_mut().zip(weights) {
                        *average = *average * kept + weight * added;
                    }
                });
                match blended {
                    Ok([average]) => average,
                    Err(([average], [weights])) => average * self.decay + weights * (1.0 - self.decay),
                }
            }
            None => average,
        };
        Param::from_mapped_value(id, average, mapper)
    }
}

#[cfg(test)]
mod tests {
    use burn::backend::Flex;
    use vdm::config::Preset;

    use super::*;

    struct Numbers(Vec<f32>);

    impl<B: Backend> ModuleVisitor<B> for Numbers {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<B, D>>) {
            self.0.extend(param.val().into_data().iter::<f32>());
        }
    }

    fn numbers(networks: &Networks<Flex>) -> Vec<f32> {
        let mut numbers = Numbers(Vec::new());
        networks.visit(&mut numbers);
        numbers.0
    }

    #[test]
    fn an_average_is_the_weighted_sum_of_what_it_saw() {
        let config = Preset::Quick.model();
        let of = |seed| Networks::<Flex>::new(&config, seed, &Default::default()).expect("valid");
        let mut average = Ema { half_life: 100, networks: of(0) };
        average.update(&of(1), 0.75);
        average.update(&of(2), 0.5);
        let (a, b, c) = (numbers(&of(0)), numbers(&of(1)), numbers(&of(2)));
        for (i, value) in numbers(&average.networks).into_iter().enumerate() {
            let expected = 0.375 * a[i] + 0.125 * b[i] + 0.5 * c[i];
            assert!((value - expected).abs() < 1e-6 * expected.abs().max(1.0), "{value} for {expected}");
        }
    }

    #[test]
    fn half_lives_are_counted_in_images() {
        let mut training = Preset::Quick.training(None);
        training.batch = 10;
        let kept: f64 = (0..100).map(|_| training.ema_decay(1000, 1_000_000)).product();
        assert!((kept - 0.5).abs() < 1e-12);
        assert!(training.ema_decay(1000, 100) < training.ema_decay(1000, 1_000_000), "it forgets the start");
    }
}
