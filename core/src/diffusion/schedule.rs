//! The noise schedule γ(t): [`NoiseSchedule`] in float64 for samplers and plots, [`ScheduleParams`] for training.

use burn::module::{Module, Param};
use burn::tensor::{Tensor, activation::sigmoid as tensor_sigmoid, backend::Backend};
use serde::{Deserialize, Serialize};

use crate::config::{ScheduleConfig, ScheduleKind};
use crate::error::{BackendError, WeightsError};
use crate::math::sigmoid;
use crate::nn::params::{Init, ParamBuilder};

/// γ(t) with its parameters as numbers, strictly increasing from `gamma_min` at t = 0 to `gamma_max` at t = 1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NoiseSchedule {
    /// γ(0).
    pub gamma_min: f64,
    /// γ(1).
    pub gamma_max: f64,
    /// The shape between the endpoints.
    pub interior: Interior,
}

/// The shape of γ(t) between its endpoints.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Interior {
    /// γ(t) = γ_min + (γ_max − γ_min) t.
    Linear,
    /// γ(t) = γ_min + (γ_max − γ_min)(raw(t) − raw(0)) / (raw(1) − raw(0)) with
    /// raw(t) = |a| t + (1/H) Σ_h |c_h| (2 sigmoid(|b_h| (2t − 1) + d_h) − 1).
    Monotonic {
        /// a.
        linear_weight: f64,
        /// b, of length H.
        hidden_weight: Vec<f64>,
        /// d, of length H.
        hidden_bias: Vec<f64>,
        /// c, of length H.
        output_weight: Vec<f64>,
    },
}

impl Interior {
    /// raw(t) and raw′(t).
    fn raw(&self, t: f64) -> (f64, f64) {
        match self {
            Interior::Linear => (t, 1.0),
            Interior::Monotonic { linear_weight, hidden_weight, hidden_bias, output_weight } => {
                let mut value = 0.0;
                let mut slope = 0.0;
                for ((b, d), c) in hidden_weight.iter().zip(hidden_bias).zip(output_weight) {
                    let s = sigmoid(b.abs() * (2.0 * t - 1.0) + d);
                    value += c.abs() * (2.0 * s - 1.0);
                    slope += c.abs() * 4.0 * s * (1.0 - s) * b.abs();
                }
                let hidden = hidden_weight.len() as f64;
                (linear_weight.abs() * t + value / hidden, linear_weight.abs() + slope / hidden)
            }
        }
    }
}

impl NoiseSchedule {
    /// A linear schedule between two endpoints.
    pub fn linear(gamma_min: f64, gamma_max: f64) -> Self {
        Self { gamma_min, gamma_max, interior: Interior::Linear }
    }

    /// γ(t) for t ∈ [0, 1].
    pub fn gamma(&self, t: f64) -> f64 {
        let (start, _) = self.interior.raw(0.0);
        let (end, _) = self.interior.raw(1.0);
        let (value, _) = self.interior.raw(t);
        self.gamma_min + (self.gamma_max - self.gamma_min) * (value - start) / (end - start)
    }

    /// γ′(t), analytic.
    pub fn gamma_prime(&self, t: f64) -> f64 {
        let (start, _) = self.interior.raw(0.0);
        let (end, _) = self.interior.raw(1.0);
        let (_, slope) = self.interior.raw(t);
        (self.gamma_max - self.gamma_min) * slope / (end - start)
    }

    /// The time t ∈ [0, 1] of a γ between the endpoints, to float64's precision.
    pub fn time(&self, gamma: f64) -> f64 {
        let (mut low, mut high) = (0.0, 1.0);
        // Each bisection gives one bit.
        for _ in 0..60 {
            let middle = 0.5 * (low + high);
            if self.gamma(middle) < gamma { low = middle } else { high = middle }
        }
        0.5 * (low + high)
    }

    /// τ = (γ − γ_min) / (γ_max − γ_min), the time that the ScoreNet is conditioned on.
    pub fn tau(&self, gamma: f64) -> f64 {
        (gamma - self.gamma_min) / (self.gamma_max - self.gamma_min)
    }
}

/// γ and γ′ at a batch of times, each `[B]`.
#[derive(Clone, Debug)]
pub struct GammaAt<B: Backend> {
    /// γ(t_i).
    pub gamma: Tensor<B, 1>,
    /// γ′(t_i).
    pub gamma_prime: Tensor<B, 1>,
}

/// The schedule's parameters as tensors.
#[derive(Module, Debug)]
pub struct ScheduleParams<B: Backend> {
    /// γ_min, `[1]`.
    pub gamma_min: Param<Tensor<B, 1>>,
    /// γ_max, `[1]`.
    pub gamma_max: Param<Tensor<B, 1>>,
    /// The monotone network, where the schedule has one.
    pub monotonic: Option<MonotonicParams<B>>,
}

/// Parameters of the monotone network with H hidden units.
#[derive(Module, Debug)]
pub struct MonotonicParams<B: Backend> {
    /// a, `[1]`.
    pub linear_weight: Param<Tensor<B, 1>>,
    /// b, `[H]`.
    pub hidden_weight: Param<Tensor<B, 1>>,
    /// d, `[H]`.
    pub hidden_bias: Param<Tensor<B, 1>>,
    /// c, `[H]`.
    pub output_weight: Param<Tensor<B, 1>>,
}

impl<B: Backend> ScheduleParams<B> {
    pub(crate) fn build(config: &ScheduleConfig, p: &mut ParamBuilder<'_, B>) -> Result<Self, WeightsError> {
        Ok(Self {
            gamma_min: p.param("gamma_min", [1], Init::Constant(config.gamma_min as f32))?,
            gamma_max: p.param("gamma_max", [1], Init::Constant(config.gamma_max as f32))?,
            monotonic: match config.kind {
                ScheduleKind::Linear | ScheduleKind::LearnedLinear => None,
                ScheduleKind::Monotonic { hidden, .. } => Some(p.scope("monotonic", |p| {
                    Ok(MonotonicParams {
                        linear_weight: p.param("linear_weight", [1], Init::Constant(1.0))?,
                        // Slopes and centres spread over t ∈ [0, 1], with small steps: nearly linear at first.
                        hidden_weight: p.param("hidden_weight", [hidden], Init::Uniform(2.0, 8.0))?,
                        hidden_bias: p.param("hidden_bias", [hidden], Init::Uniform(-4.0, 4.0))?,
                        output_weight: p.param("output_weight", [hidden], Init::Uniform(0.05, 0.15))?,
                    })
                })?),
            },
        })
    }

    /// γ(t) and γ′(t) as functions of the parameters, for times `[B]`.
    pub fn at(&self, t: Tensor<B, 1>) -> GammaAt<B> {
        self.at_with_endpoints(t, self.gamma_min.val(), self.gamma_max.val())
    }

    /// As [`at`](Self::at), for endpoints given as tensors of shape `[1]`.
    pub(crate) fn at_with_endpoints(
        &self,
        t: Tensor<B, 1>,
        gamma_min: Tensor<B, 1>,
        gamma_max: Tensor<B, 1>,
    ) -> GammaAt<B> {
        let (position, slope) = self.position(t);
        let range = gamma_max - gamma_min.clone();
        GammaAt { gamma: gamma_min + range.clone() * position, gamma_prime: range * slope }
    }

    /// (raw(t) − raw(0)) / (raw(1) − raw(0)) and its derivative, each `[B]`.
    pub(crate) fn position(&self, t: Tensor<B, 1>) -> (Tensor<B, 1>, Tensor<B, 1>) {
        match &self.monotonic {
            None => (t.clone(), t.ones_like()),
            Some(network) => {
                let ends = Tensor::from_floats([0.0, 1.0], &t.device());
                let (ends, _) = network.raw(ends);
                let start = ends.clone().slice(0..1);
                let span = ends.slice(1..2) - start.clone();
                let (value, slope) = network.raw(t);
                ((value - start) / span.clone(), slope / span)
            }
        }
    }

    /// The parameters as numbers.
    ///
    /// # Errors
    /// The device cannot be read.
    pub async fn read(&self) -> Result<NoiseSchedule, BackendError> {
        let interior = match &self.monotonic {
            None => Interior::Linear,
            Some(m) => Interior::Monotonic {
                linear_weight: read(&m.linear_weight).await?[0],
                hidden_weight: read(&m.hidden_weight).await?,
                hidden_bias: read(&m.hidden_bias).await?,
                output_weight: read(&m.output_weight).await?,
            },
        };
        Ok(NoiseSchedule {
            gamma_min: read(&self.gamma_min).await?[0],
            gamma_max: read(&self.gamma_max).await?[0],
            interior,
        })
    }
}

async fn read<B: Backend>(param: &Param<Tensor<B, 1>>) -> Result<Vec<f64>, BackendError> {
    let data = param.val().into_data_async().await.map_err(BackendError::new)?;
    Ok(data.iter::<f64>().collect())
}

impl<B: Backend> MonotonicParams<B> {
    /// raw(t) and raw′(t), each `[B]`.
    fn raw(&self, t: Tensor<B, 1>) -> (Tensor<B, 1>, Tensor<B, 1>) {
        let a = self.linear_weight.val().abs(); // [1]
        let b = self.hidden_weight.val().abs().unsqueeze::<2>(); // [1, H]
        let d = self.hidden_bias.val().unsqueeze::<2>();
        let c = self.output_weight.val().abs().unsqueeze::<2>();
        let centred = (t.clone() * 2.0 - 1.0).unsqueeze_dim::<2>(1); // [B, 1]
        let s = tensor_sigmoid(centred * b.clone() + d); // [B, H]
        let value = (c.clone() * (s.clone() * 2.0 - 1.0)).mean_dim(1).squeeze_dim::<1>(1);
        let slope = (c * b * s.clone() * (s.neg() + 1.0) * 4.0).mean_dim(1).squeeze_dim::<1>(1);
        (a.clone() * t + value, slope + a)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn monotonic_schedules_increase_and_keep_their_endpoints() {
        let schedule = NoiseSchedule {
            gamma_min: -10.0,
            gamma_max: 4.0,
            interior: Interior::Monotonic {
                linear_weight: -0.2,
                hidden_weight: vec![-3.0, 12.0],
                hidden_bias: vec![1.0, -2.0],
                output_weight: vec![0.7, -5.0],
            },
        };
        assert_eq!(schedule.gamma(0.0), -10.0);
        assert!((schedule.gamma(1.0) - 4.0).abs() < 1e-12);
        let h = 1e-6;
        for i in 1..100 {
            let t = f64::from(i) / 100.0;
            let difference = (schedule.gamma(t + h) - schedule.gamma(t - h)) / (2.0 * h);
            assert!(difference > 0.0);
            // Central differences in float64 at h = 1e-6: error about 1e-9 of the value.
            assert!((difference / schedule.gamma_prime(t) - 1.0).abs() < 1e-6);
            assert!((schedule.time(schedule.gamma(t)) - t).abs() < 1e-12);
        }
    }
}
