//! Muon: momentum, made orthogonal by a Newton-Schulz iteration (Jordan et al. 2024), with updates as large as AdamW's, so
//! that one learning rate fits both (Liu et al. 2025).

use burn::optim::SimpleOptimizer;
use burn::record::Record;
use burn::tensor::{Tensor, backend::Backend};
use vdm::nn::fused::cpu::{Cores, Into, Matrix, product};
use vdm::nn::fused::in_place::{each_part, sum_of_squares, whole};

/// The share of the momentum that stays.
const MOMENTUM: f32 = 0.95;
/// The polynomial a x + b x³ + c x⁵ that brings singular values towards 1.
const COEFFICIENTS: [f32; 3] = [3.4445, -4.775, 2.0315];
const ITERATIONS: usize = 5;
/// The least norm that a matrix is divided by.
const EPSILON: f32 = 1e-7;

/// The optimizer of a matrix.
#[derive(Clone)]
pub struct Muon {
    /// Weight decay, times the learning rate.
    pub decay: f32,
}

/// Its state, with the names that it has in checkpoints.
#[derive(Record, Clone)]
pub struct MuonState<B: Backend, const D: usize> {
    momentum: Momentum<B, D>,
}

/// The mean of past gradients.
#[derive(Record, Clone)]
pub struct Momentum<B: Backend, const D: usize> {
    velocity: Tensor<B, D>,
}

impl<B: Backend> SimpleOptimizer<B> for Muon {
    type State<const D: usize> = MuonState<B, D>;

    fn step<const D: usize>(
        &self,
        rate: f64,
        weights: Tensor<B, D>,
        gradient: Tensor<B, D>,
        state: Option<MuonState<B, D>>,
    ) -> (Tensor<B, D>, Option<MuonState<B, D>>) {
        let shape = weights.dims();
        let (rows, columns) = (shape[0], shape[D - 1]);
        let kept = 1.0 - rate * f64::from(self.decay);
        let rate = rate * 0.2 * (rows.max(columns) as f64).sqrt();
        let velocity = state.map_or_else(|| gradient.zeros_like(), |state| state.momentum.velocity);
        let updated = whole([weights, velocity], [gradient], |[weights, velocity], [gradient]| {
            let update = orthogonal(next(velocity, gradient), [rows, columns]);
            each_part([weights], [&update], |[weights], [update]| {
                for (weight, update) in weights.iter_mut().zip(update) {
                    *weight = *weight * kept as f32 - update * rate as f32;
                }
            });
        });
        let (weights, velocity) = match updated {
            Ok(([weights, velocity], ())) => (weights, velocity),
            Err(([weights, velocity], [gradient])) => {
                let velocity = gradient.clone() + velocity * MOMENTUM;
                let update = plain_orthogonal(gradient + velocity.clone() * MOMENTUM);
                (weights * kept - update * rate, velocity)
            }
        };
        (weights, Some(MuonState { momentum: Momentum { velocity } }))
    }

    fn to_device<const D: usize>(mut state: MuonState<B, D>, device: &B::Device) -> MuonState<B, D> {
        state.momentum.velocity = state.momentum.velocity.to_device(device);
        state
    }
}

/// Adds a gradient to the momentum, and returns Nesterov's: the gradient plus the next momentum's share.
fn next(velocity: &mut [f32], gradient: &[f32]) -> Vec<f32> {
    let mut ahead = vec![0.0; gradient.len()];
    each_part([velocity, &mut ahead], [gradient], |[velocity, ahead], [gradient]| {
        for ((velocity, ahead), gradient) in velocity.iter_mut().zip(ahead).zip(gradient) {
            *velocity = gradient + *velocity * MOMENTUM;
            *ahead = gradient + *velocity * MOMENTUM;
        }
    });
    ahead
}

/// The matrix with all singular values near 1.
fn orthogonal(mut x: Vec<f32>, [rows, columns]: [usize; 2]) -> Vec<f32> {
    let norm = (sum_of_squares(&x) as f32).sqrt().max(EPSILON);
    each_part([&mut x], [], |[x], []| x.iter_mut().for_each(|x| *x /= norm));
    let ([a, b, c], tall, side) = (COEFFICIENTS, rows > columns, rows.min(columns));
    let mut square = vec![0.0; side * side];
    for _ in 0..ITERATIONS {
        // X ← a X + (b A + c A²) X with A = X Xᵀ; with A = Xᵀ X on the right where that is smaller.
        let (of_x, before) = (Matrix::new(&x, columns), x.clone());
        let (left, right) = if tall { (of_x.transposed(), of_x) } else { (of_x, of_x.transposed()) };
        product(&mut square, Into::Replace, left, right, Cores::All);
        let mut polynomial = square.clone();
        let (of_square, of_before) = (Matrix::new(&square, side), Matrix::new(&before, columns));
        product(&mut polynomial, Into::Mix(b, c), of_square, of_square, Cores::All);
        let polynomial = Matrix::new(&polynomial, side);
        let (left, right) = if tall { (of_before, polynomial) } else { (polynomial, of_before) };
        product(&mut x, Into::Mix(a, 1.0), left, right, Cores::All);
    }
    x
}

fn plain_orthogonal<B: Backend, const D: usize>(x: Tensor<B, D>) -> Tensor<B, D> {
    let shape = x.dims();
    let tall = shape[0] > shape[D - 1];
    let norm = x.clone().square().sum().sqrt().clamp_min(EPSILON);
    let mut x = if tall { x.swap_dims(0, D - 1) } else { x } / norm.unsqueeze();
    let [a, b, c] = COEFFICIENTS;
    for _ in 0..ITERATIONS {
        let square = x.clone().matmul(x.clone().swap_dims(0, D - 1));
        let polynomial = square.clone() * b + square.clone().matmul(square) * c;
        x = x.clone() * a + polynomial.matmul(x);
    }
    if tall { x.swap_dims(0, D - 1) } else { x }
}

#[cfg(test)]
mod tests {
    use burn::backend::{Autodiff, Flex};
    use burn::nn::{Linear, LinearConfig};
    use burn::optim::adaptor::OptimizerAdaptor;
    use burn::optim::decay::WeightDecayConfig;
    use burn::optim::{AdjustLrFn, GradientsParams, MuonConfig, Optimizer};
    use burn::record::{FullPrecisionSettings, NamedMpkBytesRecorder, Recorder};
    use burn::tensor::TensorData;
    use vdm::rng::{Rng, RngStream};

    use super::*;

    type Cpu = Autodiff<Flex>;

    fn noise(stream: u64, shape: [usize; 2]) -> Tensor<Flex, 2> {
        let values = Rng::new(1, RngStream::Evaluation, stream).normals(shape[0] * shape[1]);
        Tensor::from_data(TensorData::new(values, shape), &Default::default())
    }

    fn largest(x: Tensor<Flex, 2>) -> f32 {
        x.abs().max().into_scalar()
    }

    /// The iteration amplifies rounding: to within 10⁻⁴ of the largest number.
    #[test]
    fn products_in_place_are_the_plain_iteration() {
        for shape in [[7, 5], [5, 7], [64, 64], [300, 40], [1, 9], [40, 300]] {
            let x = noise(0, shape);
            let plain = plain_orthogonal(x.clone());
            let values = x.into_data().to_vec().expect("float32");
            let ours = Tensor::from_data(TensorData::new(orthogonal(values, shape), shape), &Default::default());
            assert!(largest(ours - plain.clone()) < 1e-4 * largest(plain), "{shape:?}");
        }
    }

    #[test]
    fn its_steps_and_its_checkpoints_are_those_of_burns_muon() {
        let device = Default::default();
        let config = MuonConfig::new()
            .with_weight_decay(Some(WeightDecayConfig::new(0.1)))
            .with_adjust_lr_fn(AdjustLrFn::MatchRmsAdamW);
        let mut theirs: OptimizerAdaptor<_, Linear<Cpu>, Cpu> = config.init();
        let mut ours: OptimizerAdaptor<_, Linear<Cpu>, Cpu> = Muon { decay: 0.1 }.into();
        let layer = LinearConfig::new(24, 17).with_bias(false).init::<Cpu>(&device);
        // A layer has numbers once they were asked for.
        let (id, _) = (layer.weight.id, layer.weight.val());
        let mut layers = [layer.clone(), layer];
        let gradients = |stream| {
            let mut gradients = GradientsParams::new();
            gradients.register::<Flex, 2>(id, noise(stream, [24, 17]));
            gradients
        };
        let recorder = NamedMpkBytesRecorder::<FullPrecisionSettings>::default();
        for step in 1..5 {
            let [of_theirs, of_ours] = layers;
            layers = [theirs.step(0.01, of_theirs, gradients(step)), ours.step(0.01, of_ours, gradients(step))];
            let [a, b] = layers.each_ref().map(|layer| layer.weight.val().inner());
            assert!(largest(a - b) < 1e-6, "step {step}");
            // A checkpoint of theirs goes on as ours.
            let stored = recorder.record(theirs.to_record(), ()).expect("writes");
            ours = ours.load_record(recorder.load(stored, &device).expect("reads"));
        }
    }
}
