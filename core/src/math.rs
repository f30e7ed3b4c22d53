//! Scalar formulas in float64. γ = −log SNR throughout (Kingma et al. 2021, §3).

/// Logistic function 1 / (1 + e^(−x)).
pub fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// α²(γ) = sigmoid(−γ), the share of the signal's variance.
pub fn alpha_squared(gamma: f64) -> f64 {
    sigmoid(-gamma)
}

/// σ²(γ) = sigmoid(γ), the variance of the noise.
pub fn sigma_squared(gamma: f64) -> f64 {
    sigmoid(gamma)
}

/// SNR(γ) = α² / σ² = e^(−γ).
pub fn snr(gamma: f64) -> f64 {
    (-gamma).exp()
}

/// Nats of a whole image as bits per dimension: nats / (dimensions · ln 2).
pub fn bits_per_dim(nats: f64, dimensions: usize) -> f64 {
    nats / (dimensions as f64 * std::f64::consts::LN_2)
}

/// Antithetic diffusion times of a batch, t_i = (u + i/B) mod 1 for one u ∈ [0, 1) (Kingma et al. 2021, appendix I.1). In
/// discrete time of T = `steps` they are rounded up, t ← ⌈t·T⌉/T.
pub fn antithetic_times(u: f64, batch: usize, steps: Option<u32>) -> Vec<f64> {
    let continuous = (0..batch).map(|i| (u + i as f64 / batch as f64) % 1.0);
    match steps {
        None => continuous.collect(),
        Some(steps) => {
            let steps = f64::from(steps);
            continuous.map(|t| (t * steps).ceil() / steps).collect()
        }
    }
}

/// Weight of ‖ε − ε̂‖² in the diffusion loss, continuous time: ½ γ′(t).
pub fn diffusion_weight_continuous(gamma_prime: f64) -> f64 {
    0.5 * gamma_prime
}

/// Weight of ‖ε − ε̂‖² in the diffusion loss, discrete time of `steps` steps: ½ T expm1(γ_t − γ_s).
pub fn diffusion_weight_discrete(gamma_t: f64, gamma_s: f64, steps: u32) -> f64 {
    0.5 * f64::from(steps) * (gamma_t - gamma_s).exp_m1()
}

/// Latent (prior) KL of one dimension, ½ (α_1² f² + σ_1² − ln σ_1² − 1), in nats.
pub fn latent_kl(f: f64, gamma_max: f64) -> f64 {
    // ln σ² = −softplus(−γ), which keeps its digits where σ² is close to 1.
    let ln_sigma_squared = -softplus(-gamma_max);
    0.5 * (alpha_squared(gamma_max) * (f * f - 1.0) - ln_sigma_squared)
}

/// ln(1 + e^x), without overflow.
pub fn softplus(x: f64) -> f64 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}

/// −log p(x | logit) of one Bernoulli pixel with grey value x ∈ [0, 1], in nats.
pub fn bernoulli_nll(logit: f64, x: f64) -> f64 {
    softplus(logit) - x * logit
}

/// Entropy of a Bernoulli variable of mean x in nats: the minimum of [`bernoulli_nll`] over all logits.
pub fn bernoulli_entropy(x: f64) -> f64 {
    let term = |p: f64, ln_p: f64| if p > 0.0 { -p * ln_p } else { 0.0 };
    term(x, x.ln()) + term(1.0 - x, (-x).ln_1p())
}

/// Frequencies of the sinusoidal time embedding: base 10000, over half − 1.
pub fn embedding_frequencies(dim: usize) -> impl Iterator<Item = f64> {
    let half = dim / 2;
    let scale = -(10_000f64.ln()) / (half as f64 - 1.0);
    (0..half).map(move |i| (scale * i as f64).exp())
}

/// Sinusoidal embedding of τ ∈ [0, 1]: sines of 1000 τ · frequency, then the cosines.
///
/// `dim` is even and at least 4.
pub fn time_embedding(tau: f64, dim: usize) -> Vec<f64> {
    let arguments: Vec<f64> = embedding_frequencies(dim).map(|w| 1000.0 * tau * w).collect();
    let sines = arguments.iter().map(|a| a.sin());
    sines.chain(arguments.iter().map(|a| a.cos())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variance_is_preserved() {
        for i in -40..=40 {
            let gamma = f64::from(i) * 0.5;
            // Scalars in float64: rounding only.
            assert!((alpha_squared(gamma) + sigma_squared(gamma) - 1.0).abs() < 1e-12);
            assert!((alpha_squared(gamma) / sigma_squared(gamma) / snr(gamma) - 1.0).abs() < 1e-9);
        }
    }

    #[test]
    fn discrete_weight_tends_to_the_continuous_one() {
        let (slope, steps) = (18.3, 1_000_000);
        let discrete = diffusion_weight_discrete(slope / f64::from(steps), 0.0, steps);
        // expm1(h)/h − 1 = h/2 with h = 1.8e-5.
        assert!((discrete / diffusion_weight_continuous(slope) - 1.0).abs() < 2e-5);
    }

    #[test]
    fn antithetic_times_cover_the_unit_interval_evenly() {
        for steps in [None, Some(3), Some(1000)] {
            let mut times = antithetic_times(0.9999, 16, steps);
            times.sort_by(f64::total_cmp);
            assert!(times.iter().all(|t| (0.0..=1.0).contains(t)));
            if steps.is_none() {
                assert!(times.windows(2).all(|w| (w[1] - w[0] - 1.0 / 16.0).abs() < 1e-12));
            } else {
                assert!(times[0] > 0.0, "t = 0 has no step below it");
            }
        }
    }

    #[test]
    fn entropy_is_the_floor_of_the_loss() {
        for x in [0.0f64, 1.0 / 255.0, 0.3, 0.5, 1.0] {
            let logit = if x == 0.0 {
                -800.0
            } else if x == 1.0 {
                800.0
            } else {
                (x / (1.0 - x)).ln()
            };
            assert!((bernoulli_nll(logit, x) - bernoulli_entropy(x)).abs() < 1e-12);
            assert!(bernoulli_nll(logit + 0.1, x) >= bernoulli_entropy(x) - 1e-12);
        }
    }
}
