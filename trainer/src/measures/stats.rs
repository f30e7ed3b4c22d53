//! Figures with their 95 % intervals, which follow from a seed.
//!
//! - a mean over images: the percentile bootstrap (Efron 1979), resampling images;
//! - a distance between two sets: the delete-a-group jackknife. Resampling with replacement would add duplicates, and
//!   thereby distance, to both sets; leaving groups out does not;
//! - a rate of rare events: Wilson's score interval (Wilson 1927), which is right at 0 of n too.

use serde::Serialize;

use super::set::Draw;

/// The normal distribution's 97.5 % quantile.
const Z: f64 = 1.959_963_984_540_054;

/// Groups that a jackknife leaves out in turn.
pub const GROUPS: usize = 10;

/// A figure with its 95 % interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Figure {
    /// The figure.
    pub value: f64,
    /// Lower end of its 95 % interval.
    pub low: f64,
    /// Upper end of its 95 % interval.
    pub high: f64,
}

impl Figure {
    /// The mean of one number an image, with the percentile bootstrap's interval of `draws` resamples.
    ///
    /// For one number, or without draws, the interval is the number itself.
    pub fn mean(values: &[f64], draws: usize, seed: u64) -> Self {
        let n = values.len();
        let value = values.iter().sum::<f64>() / n.max(1) as f64;
        let draws = if n < 2 { 0 } else { draws };
        let mut stream = Draw::Bootstrap.stream(seed, 0);
        let mut means: Vec<f64> =
            (0..draws).map(|_| (0..n).map(|_| values[stream.below(n)]).sum::<f64>() / n as f64).collect();
        means.sort_by(f64::total_cmp);
        let [low, high] = [0.025, 0.975].map(|at| quantile(&means, at).unwrap_or(value));
        Self { value, low, high }
    }

    /// A figure of all groups, and of all but each one: value ± 1.96 √((g − 1)/g Σ (θ_i − θ̄)²).
    ///
    /// The interval of a value that is not negative is not negative either.
    pub fn jackknife(value: f64, without: &[f64]) -> Self {
        let g = without.len().max(1) as f64;
        let mean = without.iter().sum::<f64>() / g;
        let spread = without.iter().map(|v| (v - mean).powi(2)).sum::<f64>() * (g - 1.0) / g;
        let half = Z * spread.sqrt();
        let low = if value >= 0.0 { (value - half).max(0.0) } else { value - half };
        Self { value, low, high: value + half }
    }

    /// A figure with the interval of the normal distribution, from its standard error.
    pub fn normal(value: f64, standard_error: f64) -> Self {
        Self { value, low: value - Z * standard_error, high: value + Z * standard_error }
    }

    /// `hits` of `n`, with Wilson's interval.
    pub fn rate(hits: usize, n: usize) -> Self {
        let (k, n) = (hits as f64, n.max(1) as f64);
        let p = k / n;
        let scale = 1.0 + Z * Z / n;
        let centre = (p + Z * Z / (2.0 * n)) / scale;
        let half = Z / scale * (p * (1.0 - p) / n + Z * Z / (4.0 * n * n)).sqrt();
        let low = if hits == 0 { 0.0 } else { (centre - half).max(0.0) };
        let high = if k == n { 1.0 } else { (centre + half).min(1.0) };
        Self { value: p, low, high }
    }
}

/// The quantile of sorted values, by linear interpolation (as NumPy's default); none of no values.
pub fn quantile(sorted: &[f64], at: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    let place = at * last as f64;
    let below = place.floor() as usize;
    let above = (below + 1).min(last);
    Some(sorted[below] + (sorted[above] - sorted[below]) * (place - below as f64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wilsons_interval_is_the_published_one() {
        // statsmodels.stats.proportion.proportion_confint(k, n, method="wilson").
        for (k, n, low, high) in
            [(0, 256, 0.0, 0.014_783_6), (5, 100, 0.021_543_7, 0.111_751_0), (10, 10, 0.722_467, 1.0)]
        {
            let rate = Figure::rate(k, n);
            assert!((rate.low - low).abs() < 1e-5 && (rate.high - high).abs() < 1e-5, "{k} of {n}: {rate:?}");
        }
    }

    #[test]
    fn the_bootstrap_covers_a_mean_as_theory_says() {
        let values: Vec<f64> = Draw::Pairs.stream(1, 0).normals(400).into_iter().map(f64::from).collect();
        let figure = Figure::mean(&values, 2000, 3);
        // ± 1.96 / √400, to the noise of 2000 resamples.
        assert!((figure.high - figure.low - 2.0 * Z / 20.0).abs() < 0.02, "{figure:?}");
        assert_eq!(figure, Figure::mean(&values, 2000, 3));
        assert_eq!(Figure::mean(&[2.0], 100, 0), Figure { value: 2.0, low: 2.0, high: 2.0 });
    }

    #[test]
    fn the_jackknife_of_a_mean_is_its_standard_error() {
        let values = [1.0, 2.0, 4.0, 8.0, 3.0];
        let without: Vec<f64> = values.iter().map(|v| (18.0 - v) / 4.0).collect();
        let figure = Figure::jackknife(3.6, &without);
        // √(Σ (v − 3.6)² / (5 · 4)) = √(29.2 / 20).
        assert!((figure.high - 3.6 - Z * (29.2f64 / 20.0).sqrt()).abs() < 1e-12);
    }

    #[test]
    fn quantiles_interpolate() {
        assert_eq!(quantile(&[1.0, 2.0, 3.0, 4.0], 0.5), Some(2.5));
        assert_eq!(quantile(&[], 0.5), None);
    }
}
