//! An orthonormal lapped transform: cosines of patches that overlap by half (Tran, Liang and Tu, *Lapped transform via
//! time-domain pre- and post-filtering*, IEEE Trans. Signal Processing 2003). It has as many coefficients as pixels, and
//! white noise on them is white noise on the image.

use std::f64::consts::PI;

use burn::module::{Module, Param};
use burn::tensor::{Tensor, TensorData, backend::Backend};

use crate::config::{
    COARSE_CHANNELS, COARSE_FREQUENCIES, CONTEXT_CHANNELS, FINE_CHANNELS, ModelConfig, PATCH, PatchGrid, TOKEN_PATCHES,
};
use crate::error::WeightsError;
use crate::nn::params::{Init, ParamBuilder, vector};

/// The transform of `size` values as a matrix `[size, size]`, row by row. Coefficient f of patch p is row p · `patch` + f.
///
/// Both sides of each border between patches are mixed first, by W diag(I, V) W with the butterfly W = [I J; J −I]/√2, the
/// reversal J and V = J C₂ᵀ C₄ J; then each patch has its DCT-II. A constant has no coefficient but the first of each patch.
pub fn matrix(size: usize, patch: usize) -> Vec<f64> {
    let half = patch / 2;
    let mut rows: Vec<Vec<f64>> = (0..size).map(|i| (0..size).map(|j| f64::from(u8::from(i == j))).collect()).collect();
    let (two, four) = (dct_2(half), dct_4(half));
    let v = |i: usize, j: usize| -> f64 {
        let (i, j) = (half - 1 - i, half - 1 - j);
        (0..half).map(|k| two[k][i] * four[k][j]).sum()
    };
    for border in (patch..size).step_by(patch) {
        let (left, right) = (border - half, border);
        // Sums and differences of pairs that mirror each other; the difference's index counts from the border.
        let sums: Vec<Vec<f64>> =
            (0..half).map(|i| combine(&[(FRAC, &rows[left + i]), (FRAC, &rows[right + half - 1 - i])])).collect();
        let differences: Vec<Vec<f64>> =
            (0..half).map(|i| combine(&[(FRAC, &rows[right - 1 - i]), (-FRAC, &rows[right + i])])).collect();
        let mixed: Vec<Vec<f64>> =
            (0..half).map(|i| combine(&(0..half).map(|j| (v(i, j), &differences[j])).collect::<Vec<_>>())).collect();
        for i in 0..half {
            rows[left + i] = combine(&[(FRAC, &sums[i]), (FRAC, &mixed[half - 1 - i])]);
            rows[right + i] = combine(&[(FRAC, &sums[half - 1 - i]), (-FRAC, &mixed[i])]);
        }
    }
    let cosines = dct_2(patch);
    (0..size)
        .flat_map(|row| {
            let (first, f) = (row / patch * patch, row % patch);
            combine(&(0..patch).map(|k| (cosines[f][k], &rows[first + k])).collect::<Vec<_>>())
        })
        .collect()
}

const FRAC: f64 = std::f64::consts::FRAC_1_SQRT_2;

fn combine(terms: &[(f64, &Vec<f64>)]) -> Vec<f64> {
    (0..terms[0].1.len()).map(|i| terms.iter().map(|(factor, row)| factor * row[i]).sum()).collect()
}

/// Orthonormal DCT-II, `[frequency][place]`.
fn dct_2(size: usize) -> Vec<Vec<f64>> {
    let n = size as f64;
    let scale = |k: usize| if k == 0 { (1.0 / n).sqrt() } else { (2.0 / n).sqrt() };
    let row = |k: usize| (0..size).map(|m| scale(k) * (PI * (m as f64 + 0.5) * k as f64 / n).cos()).collect();
    (0..size).map(row).collect()
}

/// Orthonormal DCT-IV, `[frequency][place]`.
fn dct_4(size: usize) -> Vec<Vec<f64>> {
    let n = size as f64;
    let row =
        |k: usize| (0..size).map(|m| (2.0 / n).sqrt() * (PI * (m as f64 + 0.5) * (k as f64 + 0.5) / n).cos()).collect();
    (0..size).map(row).collect()
}

/// Images to bands and back, exactly. The numbers of a band are scaled by its [`scale`](crate::config::BandConfig::scale).
/// They are of x − ½.
#[derive(Module, Debug)]
pub struct Lapped<B: Backend> {
    /// The coarse band's mean over training images, which is subtracted from it, `[D_coarse]`. It is not trained.
    pub mean: Param<Tensor<B, 1>>,
    /// [`matrix`] of the height, `[1, H, H]`.
    vertical: Tensor<B, 3>,
    /// [`matrix`] of the width, transposed, `[1, W, W]`.
    horizontal: Tensor<B, 3>,
    #[module(skip)]
    grid: PatchGrid,
    #[module(skip)]
    scales: [f64; 2],
}

impl<B: Backend> Lapped<B> {
    pub(crate) fn build(config: &ModelConfig, p: &mut ParamBuilder<'_, B>) -> Result<Self, WeightsError> {
        let bands = config.bands.as_ref().ok_or(WeightsError::NoMetadata("bands"))?;
        let of = |size: usize| {
            let values: Vec<f32> = matrix(size, PATCH).into_iter().map(|v| v as f32).collect();
            Tensor::<B, 3>::from_data(TensorData::new(values, [1, size, size]), p.device())
        };
        let (vertical, horizontal) = (of(config.height), of(config.width).swap_dims(1, 2));
        Ok(Self {
            mean: p.param("mean", [config.band_dims()[0]], Init::Constant(0.0))?,
            vertical,
            horizontal,
            grid: config.patch_grid(),
            scales: [bands.coarse.scale, bands.fine.scale],
        })
    }

    pub(super) fn with_mean_image(self, mean: &[f64], device: &B::Device) -> Self {
        let zero = Self { mean: self.mean.map(|mean| mean.zeros_like().require_grad()), ..self };
        let [coarse, _] = zero.split(vector::<B>(mean, device).detach().unsqueeze());
        Self { mean: zero.mean.map(|_| coarse.detach().squeeze_dim::<1>(0).require_grad()), ..zero }
    }

    /// x `[B, H·W]` in [0, 1] → coarse `[B, D_coarse]` and fine `[B, D_fine]`, each token by token.
    pub fn split(&self, x: Tensor<B, 2>) -> [Tensor<B, 2>; 2] {
        let [batch, pixels] = x.dims();
        let PatchGrid { rows, columns } = self.grid;
        let images = (x - 0.5).reshape([batch, rows * PATCH, columns * PATCH]);
        let y = self.vertical.clone().matmul(images).matmul(self.horizontal.clone());
        let [coarse, fine] = gather(y.reshape([batch, pixels]), self.grid);
        [coarse * self.scales[0] - self.mean.val().detach().unsqueeze::<2>(), fine * self.scales[1]]
    }

    /// The inverse of [`split`](Self::split).
    pub fn merge(&self, coarse: Tensor<B, 2>, fine: Tensor<B, 2>) -> Tensor<B, 2> {
        let PatchGrid { rows, columns } = self.grid;
        let [batch, _] = coarse.dims();
        let coarse = (coarse + self.mean.val().detach().unsqueeze::<2>()) / self.scales[0];
        let y = scatter(coarse, fine / self.scales[1], self.grid);
        let y = y.reshape([batch, rows * PATCH, columns * PATCH]);
        let x = self.vertical.clone().swap_dims(1, 2).matmul(y).matmul(self.horizontal.clone().swap_dims(1, 2));
        x.reshape([batch, rows * PATCH * columns * PATCH]) + 0.5
    }

    /// [`merge`](Self::merge) for both bands in one latent f `[B, D]`.
    pub(super) fn merge_latent(&self, f: Tensor<B, 2>) -> Tensor<B, 2> {
        let coarse = self.grid.patches() * CONTEXT_CHANNELS;
        let fine = self.grid.patches() * FINE_CHANNELS;
        self.merge(f.clone().narrow(1, 0, coarse), f.narrow(1, coarse, fine))
    }

    /// The coarse coefficients of each patch, its mean included, of a coarse band: [`context`].
    pub fn context(&self, coarse: Tensor<B, 2>) -> Tensor<B, 2> {
        context(coarse + self.mean.val().detach().unsqueeze::<2>(), self.grid)
    }

    /// The context `[B·P, CONTEXT_CHANNELS]` and the fine band `[B, P·FINE_CHANNELS]` of the patches of crops, whose pixels
    /// are [`CropWindows`].
    pub fn split_crops(&self, crops: CropWindows<B>) -> [Tensor<B, 2>; 2] {
        let CropWindows { pixels, grid, places } = crops;
        let [batch, _] = pixels.dims();
        let device = pixels.device();
        let of = |patches: usize, axis: usize| {
            let [size, window] = [patches * PATCH, (patches + 1) * PATCH];
            let values: Vec<f32> = crop_matrices(patches).into_iter().map(|v| v as f32).collect();
            let all = Tensor::<B, 3>::from_data(TensorData::new(values, [3, size, window]), &device);
            let places: Vec<i64> = places.iter().map(|place| place[axis] as i64).collect();
            all.select(0, Tensor::from_data(TensorData::new(places, [batch]), &device))
        };
        let images = pixels.reshape([batch, (grid.rows + 1) * PATCH, (grid.columns + 1) * PATCH]);
        let y = of(grid.rows, 0).matmul(images).matmul(of(grid.columns, 1).swap_dims(1, 2));
        let y = y.reshape([batch, grid.rows, PATCH, grid.columns, PATCH]);
        let (patches, q) = (batch * grid.patches(), COARSE_FREQUENCIES);
        let by_patch = |part: Tensor<B, 5>| {
            let [_, _, down, _, across] = part.dims();
            part.permute([0, 1, 3, 2, 4]).reshape([patches, down * across])
        };
        let low = y.clone().narrow(2, 0, q);
        let context = by_patch(low.clone().narrow(4, 0, q)) * self.scales[0];
        let fine = Tensor::cat(vec![by_patch(low.narrow(4, q, PATCH - q)), by_patch(y.narrow(2, q, PATCH - q))], 1);
        [context, fine.reshape([batch, grid.patches() * FINE_CHANNELS]) * self.scales[1]]
    }
}

/// Where a crop lies along an axis of its image, as an index of `crop_matrices`.
pub fn crop_place(first: usize, patches: usize, whole: usize) -> usize {
    if first == 0 {
        0
    } else if first + patches < whole {
        1
    } else {
        2
    }
}

/// Crops of images: their patches and half a patch around.
#[derive(Clone, Debug)]
pub struct CropWindows<B: Backend> {
    /// x − ½, and zero outside the image, `[B, (rows + 1)·(columns + 1)·PATCH²]`.
    pub pixels: Tensor<B, 2>,
    /// How the patches of a crop lie.
    pub grid: PatchGrid,
    /// The [`crop_place`] of each crop, vertically and horizontally.
    pub places: Vec<[usize; 2]>,
}

/// The rows of [`matrix`] for the patches of a crop along an axis, at the start of the image, within it, and at its end:
/// `[3, patches · PATCH, (patches + 1) · PATCH]`.
fn crop_matrices(patches: usize) -> Vec<f64> {
    let (size, window, half) = (patches * PATCH, (patches + 1) * PATCH, PATCH / 2);
    // A larger image, and the first row and column of the crop in it. What lies outside the image has no weight.
    let part = |whole: usize, first_row: usize, first_column: isize| {
        let whole_size = whole * PATCH;
        let all = matrix(whole_size, PATCH);
        let at = move |row: usize, column: usize| {
            let column = first_column + column as isize;
            let inside = (0..whole_size as isize).contains(&column);
            if inside { all[(first_row + row) * whole_size + column as usize] } else { 0.0 }
        };
        (0..size).flat_map(|row| (0..window).map(|column| at(row, column)).collect::<Vec<_>>()).collect::<Vec<f64>>()
    };
    let half = half as isize;
    [part(patches + 1, 0, -half), part(patches + 2, PATCH, half), part(patches + 1, PATCH, half)].concat()
}

/// Coefficients `[B, H·W]` in the places of their patches → coarse `[B, D_coarse]` and fine `[B, D_fine]`.
pub fn gather<B: Backend>(y: Tensor<B, 2>, grid: PatchGrid) -> [Tensor<B, 2>; 2] {
    let PatchGrid { rows, columns } = grid;
    let [batch, _] = y.dims();
    let y = y.reshape([batch, rows, PATCH, columns, PATCH]);
    let q = COARSE_FREQUENCIES;
    let low = y.clone().narrow(2, 0, q);
    let coarse = low.clone().narrow(4, 0, q).reshape([batch, rows * q, columns * q]);
    let by_patch = |part: Tensor<B, 5>| {
        let [_, _, down, _, across] = part.dims();
        part.permute([0, 1, 3, 2, 4]).reshape([batch, rows * columns, down * across])
    };
    let fine = Tensor::cat(vec![by_patch(low.narrow(4, q, PATCH - q)), by_patch(y.narrow(2, q, PATCH - q))], 2);
    [
        to_tokens(coarse, TOKEN_PATCHES * q).reshape([batch, rows * columns * CONTEXT_CHANNELS]),
        fine.reshape([batch, rows * columns * FINE_CHANNELS]),
    ]
}

/// The inverse of [`gather`].
pub fn scatter<B: Backend>(coarse: Tensor<B, 2>, fine: Tensor<B, 2>, grid: PatchGrid) -> Tensor<B, 2> {
    let PatchGrid { rows, columns } = grid;
    let [batch, _] = coarse.dims();
    let q = COARSE_FREQUENCIES;
    let low = from_tokens(coarse, [rows * q, columns * q], TOKEN_PATCHES * q).reshape([batch, rows, q, columns, q]);
    let fine = fine.reshape([batch, rows, columns, FINE_CHANNELS]);
    let block = |first: usize, down: usize, across: usize| {
        fine.clone()
            .narrow(3, first, down * across)
            .reshape([batch, rows, columns, down, across])
            .permute([0, 1, 3, 2, 4])
    };
    let upper = Tensor::cat(vec![low, block(0, q, PATCH - q)], 4);
    let y = Tensor::cat(vec![upper, block(q * (PATCH - q), PATCH - q, PATCH)], 2);
    y.reshape([batch, rows * PATCH * columns * PATCH])
}

/// The coarse coefficients of each patch, `[B·P, CONTEXT_CHANNELS]`, of a coarse band `[B, D_coarse]`.
pub fn context<B: Backend>(coarse: Tensor<B, 2>, grid: PatchGrid) -> Tensor<B, 2> {
    let PatchGrid { rows, columns } = grid;
    let [batch, _] = coarse.dims();
    let q = COARSE_FREQUENCIES;
    from_tokens(coarse, [rows * q, columns * q], TOKEN_PATCHES * q)
        .reshape([batch, rows, q, columns, q])
        .permute([0, 1, 3, 2, 4])
        .reshape([batch * rows * columns, CONTEXT_CHANNELS])
}

/// `[B, H, W]` → its squares of `side`, `[B, squares, side²]`.
fn to_tokens<B: Backend>(image: Tensor<B, 3>, side: usize) -> Tensor<B, 3> {
    let [batch, height, width] = image.dims();
    image.reshape([batch, height / side, side, width / side, side]).permute([0, 1, 3, 2, 4]).reshape([
        batch,
        height * width / (side * side),
        side * side,
    ])
}

/// The inverse of [`to_tokens`], from `[B, squares·side²]`.
fn from_tokens<B: Backend>(tokens: Tensor<B, 2>, [height, width]: [usize; 2], side: usize) -> Tensor<B, 3> {
    let [batch, _] = tokens.dims();
    tokens
        .reshape([batch, height / side, width / side, side, side])
        .permute([0, 1, 3, 2, 4])
        .reshape([batch, height, width])
}

const _: () = assert!(COARSE_CHANNELS == TOKEN_PATCHES * TOKEN_PATCHES * CONTEXT_CHANNELS);

#[cfg(test)]
mod tests {
    use burn_flex::Flex;

    use super::*;
    use crate::config::Preset;
    use crate::rng::{Rng, RngStream};

    #[test]
    fn the_matrix_is_orthonormal_and_keeps_constants_together() {
        let (size, patch) = (40, 8);
        let m = matrix(size, patch);
        let row = |i: usize| &m[i * size..(i + 1) * size];
        for i in 0..size {
            for j in 0..size {
                let product: f64 = row(i).iter().zip(row(j)).map(|(a, b)| a * b).sum();
                assert!((product - f64::from(u8::from(i == j))).abs() < 1e-12, "{i} {j}: {product}");
            }
            let sum: f64 = row(i).iter().sum();
            let expected = if i % patch == 0 { (patch as f64).sqrt() } else { 0.0 };
            assert!((sum - expected).abs() < 1e-12, "{i}: {sum}");
        }
        // Windows overlap by half: a coefficient of the middle patch sees four pixels of each neighbour.
        let middle: Vec<bool> = row(17).iter().map(|v| v.abs() > 1e-12).collect();
        assert_eq!(middle.iter().position(|&v| v), Some(12));
        assert_eq!(middle.iter().rposition(|&v| v), Some(27));
    }

    #[test]
    fn bands_give_the_image_back_and_share_its_energy() {
        let mut config = Preset::Sharp.model();
        (config.height, config.width) = (64, 96);
        let device = Default::default();
        let lapped = Lapped::<Flex>::build(&config, &mut ParamBuilder::from_seed(0, &device)).expect("builds");
        let values = Rng::new(1, RngStream::Evaluation, 0).normals(2 * 64 * 96);
        let x = Tensor::<Flex, 2>::from_data(TensorData::new(values, [2, 64 * 96]), &device);
        let [coarse, fine] = lapped.split(x.clone());
        assert_eq!((coarse.dims(), fine.dims()), ([2, 384], [2, 5760]));
        let back = lapped.merge(coarse.clone(), fine.clone());
        let apart: f32 = (back - x.clone()).abs().max().into_scalar();
        assert!(apart < 1e-5, "{apart}");
        let bands = config.bands.expect("bands");
        let energy: f32 = (coarse.clone() / bands.coarse.scale).square().sum().into_scalar()
            + (fine.clone() / bands.fine.scale).square().sum().into_scalar();
        let whole: f32 = (x.clone() - 0.5).square().sum().into_scalar();
        assert!((energy / whole - 1.0).abs() < 1e-5, "{energy} {whole}");
        // A crop at a corner, and one within.
        let image: Vec<f32> = x.clone().narrow(0, 0, 1).into_data().iter().collect();
        let grid = PatchGrid { rows: 2, columns: 3 };
        for (row, column) in [(0, 0), (3, 4), (6, 9)] {
            let mut pixels = Vec::new();
            for y in 0..24 {
                for x in 0..32 {
                    let (y, x) = ((row * 8 + y) as isize - 4, (column * 8 + x) as isize - 4);
                    let inside = (0..64).contains(&y) && (0..96).contains(&x);
                    pixels.push(if inside { image[(y * 96 + x) as usize] - 0.5 } else { 0.0 });
                }
            }
            let pixels = Tensor::from_data(TensorData::new(pixels, [1, 24 * 32]), &device);
            let places = vec![[crop_place(row, 2, 8), crop_place(column, 3, 12)]];
            let [context, of_crop] = lapped.split_crops(CropWindows { pixels, grid, places });
            let patch = (row * 12 + column) + 12 + 2; // the last one of the crop
            let whole = fine.clone().narrow(0, 0, 1).narrow(1, patch * FINE_CHANNELS, FINE_CHANNELS);
            let cropped = of_crop.narrow(1, 5 * FINE_CHANNELS, FINE_CHANNELS);
            let apart: f32 = (whole - cropped).abs().max().into_scalar();
            assert!(apart < 1e-4, "{row} {column}: {apart}");
            let whole = lapped.context(coarse.clone()).narrow(0, patch, 1);
            let apart: f32 = (whole - context.narrow(0, 5, 1)).abs().max().into_scalar();
            assert!(apart < 1e-4, "{row} {column}: {apart}");
        }
        // Token 0 of the coarse band holds the first four by four patches.
        let context = lapped.context(coarse.clone());
        let first: Vec<f32> = context.narrow(0, 0, 1).into_data().iter().collect();
        let tokens: Vec<f32> = coarse.into_data().iter().collect();
        assert_eq!(first, [tokens[0], tokens[1], tokens[8], tokens[9]]);
    }
}
