//! Logistic regression with an L2 penalty, in float64: the classifier of the two-sample test.
//!
//! Features are standardised by the mean and deviation over the rows that the classifier is fitted to, clamped to ±6 like
//! those of `features`. The convex loss Σ ln(1 + exp(∓f)) + λ/2 |w|² is minimised by L-BFGS (Liu and Nocedal 1989) with
//! backtracking, to a gradient that no longer moves a score.

/// Deviations that a feature may lie from the mean.
const MAX_DEVIATIONS: f64 = 6.0;
/// Pairs of steps and gradients that L-BFGS keeps.
const MEMORY: usize = 10;
const ITERATIONS: usize = 300;
/// Largest slope at which the minimum is reached, relative to the number of rows.
const TOLERANCE: f64 = 1e-6;

/// A linear classifier of rows.
pub struct Classifier {
    mean: Vec<f64>,
    /// 1 / deviation; 0 for a feature that does not vary.
    scale: Vec<f64>,
    /// Weights, and the bias last.
    weights: Vec<f64>,
}

impl Classifier {
    /// Fits rows of either kind; `penalty` is λ.
    pub fn fit(yes: &[&[f32]], no: &[&[f32]], penalty: f64) -> Self {
        let rows = || yes.iter().chain(no);
        let (n, dims) = (yes.len() + no.len(), yes[0].len());
        let mut mean = vec![0.0; dims];
        for row in rows() {
            mean.iter_mut().zip(*row).for_each(|(m, &v)| *m += f64::from(v) / n as f64);
        }
        let mut scale = vec![0.0; dims];
        for row in rows() {
            let pairs = scale.iter_mut().zip(*row).zip(&mean);
            pairs.for_each(|((s, &v), m)| *s += (f64::from(v) - m).powi(2) / n as f64);
        }
        scale.iter_mut().for_each(|s| *s = if *s > 1e-12 { 1.0 / s.sqrt() } else { 0.0 });
        let mut fitted = Self { mean, scale, weights: Vec::new() };
        let rows: Vec<Vec<f64>> = rows().map(|row| fitted.standardised(row).collect()).collect();
        let loss = Loss { rows, yes: yes.len(), penalty };
        fitted.weights = minimise(vec![0.0; dims + 1], TOLERANCE * n as f64, |w| loss.at(w));
        fitted
    }

    /// The log odds of "yes".
    pub fn score(&self, row: &[f32]) -> f64 {
        let (weights, bias) = self.weights.split_at(self.mean.len());
        self.standardised(row).zip(weights).map(|(v, w)| v * w).sum::<f64>() + bias[0]
    }

    fn standardised<'a>(&'a self, row: &'a [f32]) -> impl Iterator<Item = f64> + 'a {
        let deviations = row.iter().zip(&self.mean).zip(&self.scale).map(|((&v, m), s)| (f64::from(v) - m) * s);
        deviations.map(|v| v.clamp(-MAX_DEVIATIONS, MAX_DEVIATIONS))
    }
}

struct Loss {
    rows: Vec<Vec<f64>>,
    /// Rows that are "yes"; they come first.
    yes: usize,
    penalty: f64,
}

impl Loss {
    /// The loss and its gradient.
    fn at(&self, weights: &[f64]) -> (f64, Vec<f64>) {
        let dims = weights.len() - 1;
        let mut gradient: Vec<f64> = weights.iter().map(|w| self.penalty * w).collect();
        gradient[dims] = 0.0;
        let mut loss = 0.5 * dot(&gradient, weights);
        for (i, row) in self.rows.iter().enumerate() {
            let sign = if i < self.yes { 1.0 } else { -1.0 };
            let margin = sign * (dot(row, &weights[..dims]) + weights[dims]);
            // ln(1 + e^−m) and its slope, without overflow.
            let small = (-margin.abs()).exp();
            loss += (-margin).max(0.0) + small.ln_1p();
            let slope = -sign * if margin > 0.0 { small } else { 1.0 } / (1.0 + small);
            gradient.iter_mut().zip(row).for_each(|(g, v)| *g += slope * v);
            gradient[dims] += slope;
        }
        (loss, gradient)
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    const LANES: usize = 8;
    let (left, right) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let rest: f64 = left.remainder().iter().zip(right.remainder()).map(|(x, y)| x * y).sum();
    let mut sums = [0.0; LANES];
    for (x, y) in left.zip(right) {
        for (sum, (x, y)) in sums.iter_mut().zip(x.iter().zip(y)) {
            *sum += x * y;
        }
    }
    sums.iter().sum::<f64>() + rest
}

/// L-BFGS from a start, until no slope exceeds `tolerance`.
fn minimise(mut at: Vec<f64>, tolerance: f64, f: impl Fn(&[f64]) -> (f64, Vec<f64>)) -> Vec<f64> {
    let (mut value, mut gradient) = f(&at);
    let mut memory: Vec<(Vec<f64>, Vec<f64>, f64)> = Vec::new();
    for _ in 0..ITERATIONS {
        if gradient.iter().all(|g| g.abs() <= tolerance) {
            break;
        }
        let direction = descent(&gradient, &memory);
        let slope = dot(&direction, &gradient);
        let mut step = if memory.is_empty() { 1.0 / dot(&gradient, &gradient).sqrt() } else { 1.0 };
        let found = (0..40).find_map(|_| {
            let there: Vec<f64> = at.iter().zip(&direction).map(|(x, d)| x + step * d).collect();
            let (new, slopes) = f(&there);
            if new <= value + 1e-4 * step * slope {
                return Some((there, new, slopes));
            }
            step *= 0.5;
            None
        });
        // None where rounding leaves nothing to descend.
        let Some((there, new, slopes)) = found else { break };
        let moved: Vec<f64> = there.iter().zip(&at).map(|(a, b)| a - b).collect();
        let turned: Vec<f64> = slopes.iter().zip(&gradient).map(|(a, b)| a - b).collect();
        let curvature = dot(&moved, &turned);
        if curvature > 1e-12 * dot(&turned, &turned) {
            if memory.len() == MEMORY {
                memory.remove(0);
            }
            memory.push((moved, turned, 1.0 / curvature));
        }
        (at, value, gradient) = (there, new, slopes);
    }
    at
}

/// −H·gradient, with the inverse Hessian H that the memory stands for: the two loops of L-BFGS.
fn descent(gradient: &[f64], memory: &[(Vec<f64>, Vec<f64>, f64)]) -> Vec<f64> {
    let mut q: Vec<f64> = gradient.iter().map(|g| -g).collect();
    let add = |to: &mut [f64], factor: f64, what: &[f64]| to.iter_mut().zip(what).for_each(|(t, w)| *t += factor * w);
    let mut shares = Vec::with_capacity(memory.len());
    for (moved, turned, inverse) in memory.iter().rev() {
        let share = inverse * dot(moved, &q);
        add(&mut q, -share, turned);
        shares.push(share);
    }
    if let Some((_, turned, inverse)) = memory.last() {
        let scale = 1.0 / (inverse * dot(turned, turned));
        q.iter_mut().for_each(|v| *v *= scale);
    }
    for ((moved, turned, inverse), share) in memory.iter().zip(shares.into_iter().rev()) {
        let factor = share - inverse * dot(turned, &q);
        add(&mut q, factor, moved);
    }
    q
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measures::set::Draw;

    #[test]
    fn the_minimum_is_where_its_equation_holds() {
        // Standardised already: deviations of 1, means of 0.
        let rows: [[f32; 2]; 4] = [[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]];
        let [a, b, c, d] = rows.each_ref().map(|row| row.as_slice());
        let found = Classifier::fit(&[a, b], &[c, d], 2.0);
        // By symmetry w₂ = b = 0 and w₁ solves λ w = 4 / (1 + e^w).
        let w = found.weights[0];
        assert!((2.0 * w - 4.0 / (1.0 + w.exp())).abs() < 1e-5, "{w}");
        assert!(found.weights[1].abs() < 1e-6 && found.weights[2].abs() < 1e-6);
        assert!((found.score(a) - w).abs() < 1e-6);
    }

    #[test]
    fn the_gradient_vanishes_and_constant_features_do_not_count() {
        let mut stream = Draw::Pairs.stream(4, 0);
        let mut rows: Vec<Vec<f32>> = (0..60).map(|_| stream.normals(30)).collect();
        rows.iter_mut().for_each(|row| row[7] = 5.0);
        let rows: Vec<&[f32]> = rows.iter().map(Vec::as_slice).collect();
        let found = Classifier::fit(&rows[..25], &rows[25..], 1.0);
        let standard = rows.iter().map(|row| found.standardised(row).collect()).collect();
        let (_, gradient) = Loss { rows: standard, yes: 25, penalty: 1.0 }.at(&found.weights);
        assert!(gradient.iter().all(|g| g.abs() < 1e-4), "{gradient:?}");
        assert_eq!(found.weights[7], 0.0);
        assert!(found.score(&[1e30; 30]).is_finite());
    }
}
