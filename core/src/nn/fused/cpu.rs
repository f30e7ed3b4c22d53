//! Passes over rows on all cores and in the CPU's widest vectors, and products of matrices that may add to their target.

use burn::tensor::{Bytes, DType, Shape};
use burn_flex::{FlexTensor, Layout};
use macerator::{Arch, Simd, WithSimd};

/// A tensor of these numbers.
pub fn tensor(values: Vec<f32>, shape: &[usize]) -> FlexTensor {
    FlexTensor::new(Bytes::from_elems(values), Layout::contiguous(Shape::from(shape.to_vec())), DType::F32)
}

/// The numbers of a contiguous tensor of float32.
pub fn numbers(tensor: &FlexTensor) -> &[f32] {
    tensor.as_slice().expect("operations get contiguous tensors of float32")
}

/// Its sizes.
pub fn sizes<const D: usize>(tensor: &FlexTensor) -> [usize; D] {
    std::array::from_fn(|dim| tensor.layout().shape()[dim])
}

/// Rows that a core takes at a time. Sums over rows are first taken over as many, and then over these sums in their order.
pub const ROWS: usize = 64;

/// Calls `f` with the number and the content of each part of `out`, on all cores.
pub fn each_part(out: &mut [f32], size: usize, f: impl Fn(usize, &mut [f32]) + Sync) {
    #[cfg(feature = "training")]
    {
        use rayon::prelude::*;
        out.par_chunks_mut(size.max(1)).enumerate().for_each(|(i, part)| f(i, part));
    }
    #[cfg(not(feature = "training"))]
    out.chunks_mut(size.max(1)).enumerate().for_each(|(i, part)| f(i, part));
}

/// As [`each_part`], of two outputs with as many parts.
pub fn each_pair(
    (a, a_size): (&mut [f32], usize),
    (b, b_size): (&mut [f32], usize),
    f: impl Fn(usize, &mut [f32], &mut [f32]) + Sync,
) {
    #[cfg(feature = "training")]
    {
        use rayon::prelude::*;
        a.par_chunks_mut(a_size.max(1))
            .zip(b.par_chunks_mut(b_size.max(1)))
            .enumerate()
            .for_each(|(i, (a, b))| f(i, a, b));
    }
    #[cfg(not(feature = "training"))]
    a.chunks_mut(a_size.max(1)).zip(b.chunks_mut(b_size.max(1))).enumerate().for_each(|(i, (a, b))| f(i, a, b));
}

/// The results of `count` tasks in their order, on all cores.
pub fn tasks<T: Send>(count: usize, f: impl Fn(usize) -> T + Sync + Send) -> Vec<T> {
    #[cfg(feature = "training")]
    {
        use rayon::prelude::*;
        (0..count).into_par_iter().map(f).collect()
    }
    #[cfg(not(feature = "training"))]
    (0..count).map(f).collect()
}

/// The results of a task for each input, in their order, on all cores.
pub fn tasks_on<I: Send, T: Send>(inputs: Vec<I>, f: impl Fn(I) -> T + Sync + Send) -> Vec<T> {
    #[cfg(feature = "training")]
    {
        use rayon::prelude::*;
        inputs.into_par_iter().map(f).collect()
    }
    #[cfg(not(feature = "training"))]
    inputs.into_iter().map(f).collect()
}

/// Runs a loop compiled for the vectors that this CPU has.
#[inline(always)]
pub fn vectorized<T>(f: impl FnOnce() -> T) -> T {
    struct Loop<F>(F);
    impl<T, F: FnOnce() -> T> WithSimd for Loop<F> {
        type Output = T;

        #[inline(always)]
        fn with_simd<S: Simd>(self) -> T {
            self.0()
        }
    }
    Arch::new().dispatch(Loop(f))
}

/// Numbers that a sum takes side by side, the same on each CPU.
const LANES: usize = 16;

/// Σ aᵢ bᵢ.
#[inline(always)]
pub fn dot(a: &[f32], b: &[f32]) -> f32 {
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    let mut sums = [0.0f32; LANES];
    for (a, b) in a.iter().zip(b) {
        for lane in 0..LANES {
            sums[lane] += a[lane] * b[lane];
        }
    }
    sum_lanes(sums) + a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum::<f32>()
}

/// x ← f(x), and the sum of the new numbers.
#[inline(always)]
pub fn map_sum(x: &mut [f32], f: impl Fn(f32) -> f32) -> f32 {
    let (x, rest) = x.as_chunks_mut::<LANES>();
    let mut sums = [0.0f32; LANES];
    for x in x {
        for lane in 0..LANES {
            x[lane] = f(x[lane]);
            sums[lane] += x[lane];
        }
    }
    let mut last = 0.0;
    for x in rest {
        *x = f(*x);
        last += *x;
    }
    sum_lanes(sums) + last
}

/// The sum of as many numbers, pair by pair.
#[inline(always)]
pub fn sum_lanes(mut sums: [f32; LANES]) -> f32 {
    let mut half = LANES / 2;
    while half > 0 {
        for lane in 0..half {
            sums[lane] += sums[lane + half];
        }
        half /= 2;
    }
    sums[0]
}

/// target ← target + x.
#[inline(always)]
pub fn add(target: &mut [f32], x: &[f32]) {
    for (target, x) in target.iter_mut().zip(x) {
        *target += x;
    }
}

/// eˣ within two units in the last place, where it is neither below 2⁻¹²⁵ nor above 2¹²⁷; limited to these beyond. In vectors,
/// where the standard library's takes one number after another.
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    const ROUND: f32 = 12_582_912.0; // 1.5 · 2²³: adding it rounds to an integer, which is then in the lowest bits.
    const LN_2: (f32, f32) = (0.693_359_4, -2.121_944_4e-4);
    let x = x.clamp(-86.6, 88.0);
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let power = shifted - ROUND;
    let r = (x - power * LN_2.0) - power * LN_2.1;
    // The minimax polynomial of Cephes' expf on |r| ≤ ln 2 / 2.
    let p = 1.987_569_1e-4;
    let p = p * r + 1.398_199_9e-3;
    let p = p * r + 8.333_452e-3;
    let p = p * r + 4.166_579_6e-2;
    let p = p * r + 1.666_666_5e-1;
    let p = p * r + 5e-1;
    let e = (p * r * r + r) + 1.0;
    e * f32::from_bits((shifted.to_bits() << 23).wrapping_add(0x3f80_0000))
}

/// The sums of the columns of `x`.
pub fn column_sums(x: &[f32], columns: usize) -> Vec<f32> {
    let parts = x.len().div_ceil((ROWS * columns).max(1));
    let mut sums = vec![0.0; parts * columns];
    each_part(&mut sums, columns, |i, sums| {
        let end = x.len().min((i + 1) * ROWS * columns);
        vectorized(|| {
            for row in x[i * ROWS * columns..end].chunks_exact(columns) {
                add(sums, row);
            }
        });
    });
    sum_parts(&sums, columns)
}

/// The sum of parts of this size.
pub fn sum_parts(parts: &[f32], size: usize) -> Vec<f32> {
    let mut sum = vec![0.0; size];
    for part in parts.chunks_exact(size.max(1)) {
        add(&mut sum, part);
    }
    sum
}

/// A matrix in memory.
#[derive(Clone, Copy, Debug)]
pub struct Matrix<'a> {
    values: &'a [f32],
    shape: [usize; 2],
    strides: [usize; 2],
}

impl<'a> Matrix<'a> {
    /// Rows one after another.
    pub fn new(values: &'a [f32], columns: usize) -> Self {
        Self { values, shape: [values.len() / columns.max(1), columns], strides: [columns, 1] }
    }

    /// The same numbers with rows for columns.
    pub fn transposed(self) -> Self {
        let Self { values, shape: [rows, columns], strides: [down, across] } = self;
        Self { values, shape: [columns, rows], strides: [across, down] }
    }

    /// These columns.
    pub fn columns(self, first: usize, count: usize) -> Self {
        let Self { values, shape: [rows, _], strides } = self;
        Self { values: &values[(first * strides[1]).min(values.len())..], shape: [rows, count], strides }
    }

    /// A copy with rows for columns, row by row: what many products with few rows read fastest.
    pub fn transposed_copy(self) -> Vec<f32> {
        let Self { values, shape: [rows, columns], strides: [down, across] } = self;
        let mut copy = vec![0.0; rows * columns];
        const TILE: usize = 16;
        for first in (0..rows).step_by(TILE) {
            for column in 0..columns {
                for row in first..rows.min(first + TILE) {
                    copy[column * rows + row] = values[row * down + column * across];
                }
            }
        }
        copy
    }

    /// Whether all of its numbers are within `values`.
    fn fits(&self) -> bool {
        let ([rows, columns], [down, across]) = (self.shape, self.strides);
        rows == 0 || columns == 0 || (rows - 1) * down + (columns - 1) * across < self.values.len()
    }
}

/// What a product does with its target.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Into {
    /// out ← a b.
    Replace,
    /// out ← out + a b.
    Add,
    /// out ← first · out + second · a b.
    Mix(f32, f32),
}

/// The cores that a product takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cores {
    /// This one.
    One,
    /// All, where it is large enough.
    All,
}

/// A product of matrices.
///
/// # Panics
/// Shapes that do not fit.
pub fn product(out: &mut [f32], into: Into, a: Matrix<'_>, b: Matrix<'_>, cores: Cores) {
    let ([rows, inner], [inner_of_b, columns]) = (a.shape, b.shape);
    assert!(inner == inner_of_b && out.len() == rows * columns && a.fits() && b.fits(), "shapes of a product");
    #[cfg(feature = "training")]
    let cores = match cores {
        // Below it, waking another core takes longer.
        Cores::All if rows * inner * columns >= 1 << 20 => gemm::Parallelism::Rayon(0),
        Cores::All | Cores::One => gemm::Parallelism::None,
    };
    #[cfg(not(feature = "training"))]
    let cores = match cores {
        Cores::All | Cores::One => gemm::Parallelism::None,
    };
    let (replace, of_out, of_product) = match into {
        Into::Replace => (true, 0.0, 1.0),
        Into::Add => (false, 1.0, 1.0),
        Into::Mix(of_out, of_product) => (false, of_out, of_product),
    };
    let strides = |of: [usize; 2]| of.map(|stride| stride as isize);
    let ([a_down, a_across], [b_down, b_across]) = (strides(a.strides), strides(b.strides));
    // SAFETY: the assertion above: each matrix lies within its slice, and `out` is borrowed alone.
    #[allow(unsafe_code)]
    unsafe {
        gemm::gemm(
            rows,
            columns,
            inner,
            out.as_mut_ptr(),
            1,
            columns as isize,
            !replace,
            a.values.as_ptr(),
            a_across,
            a_down,
            b.values.as_ptr(),
            b_across,
            b_down,
            of_out,
            of_product,
            false,
            false,
            false,
            cores,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_is_within_two_units_in_the_last_place() {
        for i in -86_000..88_000 {
            let x = i as f32 / 1000.0;
            let exact = f64::from(x).exp();
            let apart = (f64::from(exp(x)) - exact).abs() / exact;
            assert!(apart < 2.0 * f64::from(f32::EPSILON), "e^{x} is off by {apart}");
        }
        assert!(exp(f32::NAN).is_nan());
        assert!(exp(-1e30) < 1e-37 && exp(1e30) > 1e38);
        assert_eq!(exp(0.0), 1.0);
    }

    #[test]
    fn a_product_of_parts_and_transposes_is_the_sum_that_defines_it() {
        let (a, b): (Vec<f32>, Vec<f32>) = ((0..15).map(|v| v as f32).collect(), (0..20).map(|v| v as f32).collect());
        // Columns 1 and 2 of a 3×5 matrix, and columns 2 and 3 of a 4×5 matrix with rows for columns.
        let (of_a, of_b) = (Matrix::new(&a, 5).columns(1, 2), Matrix::new(&b, 5).columns(2, 2).transposed());
        let mut out = vec![1.0; 12];
        product(&mut out, Into::Add, of_a, of_b, Cores::All);
        for (row, column) in (0..3).flat_map(|row| (0..4).map(move |column| (row, column))) {
            let sum: f32 = (0..2).map(|i| a[5 * row + 1 + i] * b[5 * column + 2 + i]).sum();
            assert_eq!(out[4 * row + column], 1.0 + sum);
        }
        let copy = Matrix::new(&b, 5).transposed_copy();
        assert_eq!((copy.len(), copy[1], copy[4]), (20, 5.0, 1.0));
    }
}
