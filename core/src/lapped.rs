//! A lapped orthogonal transform (Malvar, *Lapped transforms for efficient transform/subband coding*, IEEE Trans. ASSP
//! 1990): cosines under windows of two patches that overlap by half, as many coefficients as pixels, orthonormal if the
//! image is continued by its opposite side.

use std::f64::consts::PI;

/// Basis k at place n of a window of 2 M: √(2/M) sin(π (n + ½) / 2M) cos(π/M (n + (M + 1)/2)(k + ½)).
fn basis(m: usize, n: usize, k: usize) -> f64 {
    let (size, n, k) = (m as f64, n as f64, k as f64);
    let window = (PI * (n + 0.5) / (2.0 * size)).sin();
    (2.0 / size).sqrt() * window * (PI / size * (n + (size + 1.0) / 2.0) * (k + 0.5)).cos()
}

/// The transform as a matrix `[window, patch²]`, row by row, for windows ordered as
/// [`Grid::windows`](crate::tokens::Grid::windows) orders them; coefficients by vertical, then horizontal frequency.
pub(crate) fn matrix(patch: usize) -> Vec<f32> {
    let one: Vec<Vec<f64>> = (0..2 * patch).map(|n| (0..patch).map(|k| basis(patch, n, k)).collect()).collect();
    let mut values = Vec::with_capacity(4 * patch.pow(4));
    for (i, j) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
        for y in 0..patch {
            for x in 0..patch {
                let (vertical, horizontal) = (&one[i * patch + y], &one[j * patch + x]);
                values.extend(vertical.iter().flat_map(|v| horizontal.iter().map(move |h| (v * h) as f32)));
            }
        }
    }
    values
}

/// The columns of [`matrix`] of the `count` lowest frequencies, `[window, count]`.
pub(crate) fn lowest(patch: usize, count: usize) -> Vec<f32> {
    let area = patch * patch;
    let mut order: Vec<usize> = (0..area).collect();
    let squared = |k: &usize| (k / patch).pow(2) + (k % patch).pow(2);
    order.sort_by_key(squared);
    matrix(patch).chunks_exact(area).flat_map(|row| order[..count].iter().map(|&k| row[k])).collect()
}
