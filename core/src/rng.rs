//! Random numbers, drawn on the host: a seed gives the same bits on every platform and backend.
//!
//! The generator is ChaCha with 8 rounds. Its 32-byte key is, little endian,
//! `seed: u64 ‖ stream: u64 ‖ index: u64 ‖ "vdmnoise"`, with a zero nonce and a block counter from zero; each draw
//! takes the next 8 bytes of the keystream as a little-endian integer v.
//!
//! - uniform: u = (v >> 11) · 2⁻⁵³ ∈ [0, 1)
//! - normal: Box–Muller in float64 by `libm` (the same code on every platform), two values from two uniforms,
//!   r = √(−2 ln(1 − u₁)): r cos 2πu₂, then r sin 2πu₂, rounded to float32.
//!
//! A seed and a weights file determine an image, so this layout must not change. A test pins its values.

use burn::tensor::{Tensor, TensorData, backend::Backend};
use rand_chacha::{
    ChaCha8Rng,
    rand_core::{RngCore, SeedableRng},
};

/// The independent streams of a seed. Their numbers are part of the key and must not change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum RngStream {
    /// Initial weights; the index is a hash of the parameter's name.
    Weights = 0,
    /// z_1, the start of a sample.
    Prior = 1,
    /// Noise of an ancestral step; the index is the number of the step.
    Step = 2,
    /// ε that takes an image to time t.
    Diffuse = 3,
    /// Draws from the Bernoulli decoder.
    Pixels = 4,
    /// A training step: times and hidden labels; the index is the number of the step.
    Training = 5,
    /// The order of the training images; the index is the number of the pass over the data.
    Order = 6,
    /// Evaluation; the index is the number of the image.
    Evaluation = 7,
    /// Drawing phantoms; the index is the number of the image.
    Phantom = 8,
    /// Augmentation; the index is the number of the image among all that training has taken.
    Augmentation = 9,
    /// Noise on the coarse band that a sample's fine band is given.
    Context = 10,
    /// The crop of a training image, and the noise on its context; the index is the number of the image among all that training has taken.
    Crop = 11,
    /// ε of z_t in training; the index is the number of the draw among all that training has taken.
    TrainingNoise = 12,
    /// ε_0 of z_0 in training; the index is the number of the image among all that training has taken.
    TrainingStart = 13,
}

/// A stream of random numbers for one seed, stream and index.
#[derive(Clone, Debug)]
pub struct Rng {
    generator: ChaCha8Rng,
    spare: Option<f64>,
}

impl Rng {
    /// The stream of `seed` for a stream and an index within it.
    pub fn new(seed: u64, stream: RngStream, index: u64) -> Self {
        let mut key = [0u8; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        key[8..16].copy_from_slice(&(stream as u64).to_le_bytes());
        key[16..24].copy_from_slice(&index.to_le_bytes());
        key[24..].copy_from_slice(b"vdmnoise");
        Self { generator: ChaCha8Rng::from_seed(key), spare: None }
    }

    /// The next uniform number in [0, 1).
    pub fn uniform(&mut self) -> f64 {
        (self.generator.next_u64() >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
    }

    /// A uniform integer in `0..bound`, for `bound` ≥ 1.
    pub fn below(&mut self, bound: usize) -> usize {
        (self.uniform() * bound as f64) as usize
    }

    /// The next standard normal number.
    pub fn normal(&mut self) -> f64 {
        if let Some(spare) = self.spare.take() {
            return spare;
        }
        let radius = libm::sqrt(-2.0 * libm::log(1.0 - self.uniform()));
        let (sin, cos) = libm::sincos(std::f64::consts::TAU * self.uniform());
        self.spare = Some(radius * sin);
        radius * cos
    }

    /// The next `count` standard normal numbers as float32.
    pub fn normals(&mut self, count: usize) -> Vec<f32> {
        (0..count).map(|_| self.normal() as f32).collect()
    }

    /// The numbers 0..count in random order (Fisher–Yates).
    pub fn permutation(&mut self, count: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..count).collect();
        for i in (1..count).rev() {
            order.swap(i, self.below(i + 1));
        }
        order
    }
}

/// Noise `[seeds, dim]`, each row from its own seed, so that an image does not depend on the others of its batch.
pub fn seeded_noise<B: Backend>(
    seeds: &[u64],
    stream: RngStream,
    index: u64,
    dim: usize,
    device: &B::Device,
) -> Tensor<B, 2> {
    let values: Vec<f32> = seeds.iter().flat_map(|&seed| Rng::new(seed, stream, index).normals(dim)).collect();
    Tensor::from_data(TensorData::new(values, [seeds.len(), dim]), device)
}

/// The point at `weight` ∈ [0, 1] on the great circle from `a` to `b`, with a norm between theirs. Between two draws of
/// normal noise each such point has the norm of a draw, while points on the straight line are closer to the mean.
///
/// sin((1 − w) θ) / sin θ · a + sin(w θ) / sin θ · b, with the angle θ between a and b (Shoemake 1985), and the straight
/// line where they are parallel. At 0 and 1 it is exactly `a` and `b`.
pub fn slerp(a: &[f32], b: &[f32], weight: f64) -> Vec<f32> {
    let dot = |x: &[f32], y: &[f32]| x.iter().zip(y).map(|(&x, &y)| f64::from(x) * f64::from(y)).sum::<f64>();
    let cosine = dot(a, b) / libm::sqrt(dot(a, a) * dot(b, b));
    let angle = libm::acos(cosine.clamp(-1.0, 1.0));
    let sine = libm::sin(angle);
    let (of_a, of_b) = if weight <= 0.0 {
        (1.0, 0.0)
    } else if weight >= 1.0 {
        (0.0, 1.0)
    } else if sine.is_nan() || sine < 1e-9 {
        (1.0 - weight, weight)
    } else {
        (libm::sin((1.0 - weight) * angle) / sine, libm::sin(weight * angle) / sine)
    };
    a.iter().zip(b).map(|(&a, &b)| (of_a * f64::from(a) + of_b * f64::from(b)) as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_differ_by_seed_stream_and_index() {
        let first = |s, p, i| Rng::new(s, p, i).normals(4);
        let base = first(1, RngStream::Prior, 0);
        assert_eq!(base, first(1, RngStream::Prior, 0));
        for other in [first(2, RngStream::Prior, 0), first(1, RngStream::Step, 0), first(1, RngStream::Prior, 1)] {
            assert_ne!(base, other);
        }
    }

    #[test]
    fn normals_have_the_moments_of_a_normal_distribution() {
        let n = 200_000;
        let draws = Rng::new(3, RngStream::Prior, 0).normals(n);
        let moment = |k: i32| draws.iter().map(|&v| f64::from(v).powi(k)).sum::<f64>() / n as f64;
        // Four standard errors of each moment: √(Var/n) with Var = 1, 2, 15, 96.
        for (k, expected, variance) in [(1, 0.0, 1.0), (2, 1.0, 2.0), (3, 0.0, 15.0), (4, 3.0, 96.0)] {
            assert!((moment(k) - expected).abs() < 4.0 * (variance / n as f64).sqrt(), "moment {k}");
        }
    }

    #[test]
    fn between_two_draws_the_norm_stays_that_of_a_draw() {
        let draw = |seed| Rng::new(seed, RngStream::Prior, 0).normals(4096);
        let (a, b) = (draw(1), draw(2));
        assert_eq!((slerp(&a, &b, 0.0), slerp(&a, &b, 1.0)), (a.clone(), b.clone()));
        let norm = |v: &[f32]| v.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>().sqrt();
        let middle = slerp(&a, &b, 0.5);
        // 64 ± 0.7 for a draw of 4096 numbers; the straight line's middle has 45.
        assert!((norm(&middle) - 64.0).abs() < 3.0, "{}", norm(&middle));
        assert_eq!(slerp(&a, &a, 0.5), a, "parallel");
        assert!(slerp(&[0.0, 0.0], &[0.0, 0.0], 0.5).iter().all(|v| *v == 0.0));
    }

    #[test]
    fn a_permutation_holds_every_number_once() {
        let mut order = Rng::new(0, RngStream::Order, 5).permutation(1000);
        assert_ne!(order, (0..1000).collect::<Vec<_>>());
        order.sort_unstable();
        assert_eq!(order, (0..1000).collect::<Vec<_>>());
    }
}
