//! Matrix products and principal components, by Burn's CPU backend: on two cores fifty times faster than three loops.

use burn::backend::Flex;
use burn::tensor::{Tensor, TensorData};

use super::set::Draw;

/// A `[rows, inner]` times the transpose of B `[columns, inner]`: `[rows, columns]`.
pub fn product(a: Vec<f32>, b: Vec<f32>, inner: usize) -> Vec<f32> {
    let device = Default::default();
    let matrix = |values: Vec<f32>| {
        let rows = values.len() / inner.max(1);
        Tensor::<Flex, 2>::from_data(TensorData::new(values, [rows, inner]), &device)
    };
    let product = matrix(a).matmul(matrix(b).transpose()).into_data();
    product.iter::<f32>().collect()
}

/// The inner product of two rows.
pub fn dot(a: &[f32], b: &[f32]) -> f32 {
    const LANES: usize = 16;
    let mut sums = [0.0; LANES];
    let (left, right) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let rest: f32 = left.remainder().iter().zip(right.remainder()).map(|(x, y)| x * y).sum();
    for (x, y) in left.zip(right) {
        for (sum, (x, y)) in sums.iter_mut().zip(x.iter().zip(y)) {
            *sum += x * y;
        }
    }
    sums.iter().sum::<f32>() + rest
}

/// The squared distance of two rows.
pub fn squared_distance(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(x, y)| f64::from(x - y).powi(2)).sum()
}

/// Principal components of rows.
pub struct Components {
    /// The mean row.
    pub mean: Vec<f32>,
    /// Orthonormal directions, one row each, those of the largest variance first.
    pub basis: Vec<f32>,
    /// The variance along each, above 0.
    pub variances: Vec<f32>,
}

/// The first `max` principal components of at least one row, by orthogonal iteration; one fewer than there are rows, if
/// that is less.
///
/// Rows that repeat each other have fewer directions of any variance than this. The other variances are those of rounding:
/// they are raised to a millionth of the largest, so that callers can divide by their root.
pub fn principal_components(rows: &[&[f32]], max: usize, seed: u64) -> Components {
    const ITERATIONS: usize = 40;
    const MIN_VARIANCE: f32 = 1e-12;
    const MIN_SHARE: f32 = 1e-6;
    let (n, dims) = (rows.len(), rows[0].len());
    let mean: Vec<f32> =
        (0..dims).map(|d| (rows.iter().map(|row| f64::from(row[d])).sum::<f64>() / n as f64) as f32).collect();
    let by_dim: Vec<f32> =
        (0..dims).flat_map(|d| rows.iter().map(move |row| (row, d))).map(|(row, d)| row[d] - mean[d]).collect();
    let mut covariance = product(by_dim.clone(), by_dim, n);
    covariance.iter_mut().for_each(|v| *v /= n as f32);
    let count = max.min(n - 1).min(dims);
    if count == 0 {
        return Components { mean, basis: Vec::new(), variances: Vec::new() };
    }
    let mut basis = Draw::Components.stream(seed, 0).normals(count * dims);
    orthonormalise(&mut basis, dims);
    for _ in 0..ITERATIONS {
        basis = product(basis, covariance.clone(), dims);
        orthonormalise(&mut basis, dims);
    }
    let images = product(basis.clone(), covariance, dims);
    let mut variances: Vec<f32> =
        basis.chunks_exact(dims).zip(images.chunks_exact(dims)).map(|(v, image)| dot(v, image)).collect();
    let min = variances.iter().fold(MIN_VARIANCE, |min, v| min.max(MIN_SHARE * v));
    variances.iter_mut().for_each(|v| *v = v.max(min));
    Components { mean, variances, basis }
}

/// Gram–Schmidt, twice for exactness.
fn orthonormalise(basis: &mut [f32], dims: usize) {
    let count = basis.len() / dims;
    for i in 0..count {
        let (before, rest) = basis.split_at_mut(i * dims);
        let row = &mut rest[..dims];
        for _ in 0..2 {
            for other in before.chunks_exact(dims) {
                let share = dot(row, other);
                row.iter_mut().zip(other).for_each(|(v, o)| *v -= share * o);
            }
        }
        let norm = dot(row, row).sqrt().max(1e-20);
        row.iter_mut().for_each(|v| *v /= norm);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_are_the_sums_that_they_stand_for() {
        let a: Vec<f32> = (0..6).map(|v| v as f32).collect();
        let b: Vec<f32> = (0..12).map(|v| (v % 5) as f32).collect();
        let wanted: Vec<f32> = (0..2)
            .flat_map(|i| (0..4).map(move |j| (i, j)))
            .map(|(i, j)| dot(&a[i * 3..][..3], &b[j * 3..][..3]))
            .collect();
        assert_eq!(product(a, b, 3), wanted);
        let long: Vec<f32> = (0..37).map(|v| v as f32).collect();
        assert_eq!(dot(&long, &long), (0..37).map(|v| v * v).sum::<i32>() as f32);
    }
}
