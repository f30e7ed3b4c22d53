//! Images as patches: cutting an image into windows, adding windows to an image, and moving features between neighbours.
//! With these, networks on patches consist of matrix products, which every backend does best.

use burn::tensor::{Tensor, backend::Backend};

use crate::config::PatchGrid;
use crate::nn::fused::{shift::shift, windows};

/// What lies beyond the border of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Border {
    /// Zeros. What is written there is dropped.
    Zero,
    /// The opposite side.
    Wrap,
}

impl PatchGrid {
    /// Cuts images `[B, H·W]` into windows that overlap by half, `[B·P, window]`. A window is its upper left, upper right,
    /// lower left and lower right quarter one after another, each row by row.
    pub fn windows<B: Backend>(&self, images: Tensor<B, 2>, border: Border) -> Tensor<B, 2> {
        windows::windows(*self, border == Border::Wrap, &images).unwrap_or_else(|| self.plain_windows(images, border))
    }

    fn plain_windows<B: Backend>(&self, images: Tensor<B, 2>, border: Border) -> Tensor<B, 2> {
        let Self { rows, columns, patch } = *self;
        let [batch, _] = images.dims();
        let images = images.reshape([batch, rows * patch, columns * patch]);
        let padded = widen(widen(images, 1, patch / 2, border), 2, patch / 2, border); // [B, H + patch, W + patch]
        let cells = padded.reshape([batch, rows + 1, patch, columns + 1, patch]).permute([0, 1, 3, 2, 4]).reshape([
            batch,
            rows + 1,
            columns + 1,
            patch * patch,
        ]);
        let quarter = |(i, j)| cells.clone().narrow(1, i, rows).narrow(2, j, columns);
        Tensor::cat(QUARTERS.map(quarter).to_vec(), 3).reshape([batch * rows * columns, self.window()])
    }

    /// The transpose of [`windows`](Self::windows): adds windows `[B·P, window]` to images `[B, H·W]`.
    pub fn overlap_add<B: Backend>(&self, windows: Tensor<B, 2>, border: Border) -> Tensor<B, 2> {
        windows::overlap_add(*self, border == Border::Wrap, &windows)
            .unwrap_or_else(|| self.plain_overlap_add(windows, border))
    }

    fn plain_overlap_add<B: Backend>(&self, windows: Tensor<B, 2>, border: Border) -> Tensor<B, 2> {
        let Self { rows, columns, patch } = *self;
        let area = patch * patch;
        let batch = windows.dims()[0] / self.patches();
        let windows = windows.reshape([batch, rows, columns, 4 * area]);
        let place = |(q, (i, j)): (usize, (usize, usize))| {
            let quarter = windows.clone().narrow(3, q * area, area);
            surround(surround(quarter, 1, i, 1 - i), 2, j, 1 - j) // [B, rows + 1, columns + 1, area]
        };
        let [a, b, c, d] = [0, 1, 2, 3].map(|q| place((q, QUARTERS[q])));
        let padded = (a + b + c + d)
            .reshape([batch, rows + 1, columns + 1, patch, patch])
            .permute([0, 1, 3, 2, 4])
            .reshape([batch, (rows + 1) * patch, (columns + 1) * patch]);
        narrow_again(narrow_again(padded, 1, patch / 2, border), 2, patch / 2, border)
            .reshape([batch, rows * columns * area])
    }

    /// Moves an eighth of the features of patches `[B·P, F]` by one patch in each of the four directions. Zeros enter at the
    /// border, and half of the features stay. It lets a dense layer see a patch's neighbours (Wang et al., *When shift
    /// operation meets vision transformer*, AAAI 2022).
    pub fn shift<B: Backend>(&self, patches: Tensor<B, 2>) -> Tensor<B, 2> {
        shift(*self, &patches).unwrap_or_else(|| self.plain_shift(patches))
    }

    fn plain_shift<B: Backend>(&self, patches: Tensor<B, 2>) -> Tensor<B, 2> {
        let [count, features] = patches.dims();
        let part = features / 8;
        let x = patches.reshape([count / self.patches(), self.rows, self.columns, features]);
        let moved = |group: usize, dim: usize, by: usize| {
            let size = if dim == 1 { self.rows } else { self.columns };
            let group = x.clone().narrow(3, group * part, part);
            if by == 1 {
                surround(group.narrow(dim, 0, size - 1), dim, 1, 0)
            } else {
                surround(group.narrow(dim, 1, size - 1), dim, 0, 1)
            }
        };
        let still = x.clone().narrow(3, 4 * part, features - 4 * part);
        Tensor::cat(vec![moved(0, 1, 0), moved(1, 1, 1), moved(2, 2, 0), moved(3, 2, 1), still], 3)
            .reshape([count, features])
    }
}

/// Rows and columns by which the quarters of a window are moved.
const QUARTERS: [(usize, usize); 4] = [(0, 0), (0, 1), (1, 0), (1, 1)];

/// `before` and `after` planes of zeros around `x` along a dimension.
fn surround<B: Backend, const D: usize>(x: Tensor<B, D>, dim: usize, before: usize, after: usize) -> Tensor<B, D> {
    let zeros = |count: usize| {
        let mut shape = x.dims();
        shape[dim] = count;
        (count > 0).then(|| Tensor::zeros(shape, &x.device()))
    };
    let parts: Vec<_> = [zeros(before), Some(x.clone()), zeros(after)].into_iter().flatten().collect();
    if parts.len() == 1 { x } else { Tensor::cat(parts, dim) }
}

/// `by` pixels more on both sides.
fn widen<B: Backend>(x: Tensor<B, 3>, dim: usize, by: usize, border: Border) -> Tensor<B, 3> {
    match border {
        Border::Zero => surround(x, dim, by, by),
        Border::Wrap => {
            let size = x.dims()[dim];
            let (first, last) = (x.clone().narrow(dim, 0, by), x.clone().narrow(dim, size - by, by));
            Tensor::cat(vec![last, x, first], dim)
        }
    }
}

/// The transpose of [`widen`].
fn narrow_again<B: Backend>(x: Tensor<B, 3>, dim: usize, by: usize, border: Border) -> Tensor<B, 3> {
    let size = x.dims()[dim] - 2 * by;
    let inner = x.clone().narrow(dim, by, size);
    match border {
        Border::Zero => inner,
        Border::Wrap => {
            let (first, last) = (x.clone().narrow(dim, size + by, by), x.narrow(dim, 0, by));
            inner + surround(first, dim, 0, size - by) + surround(last, dim, size - by, 0)
        }
    }
}

#[cfg(all(test, feature = "training"))]
mod tests {
    use super::*;
    use crate::nn::fused::check::check;

    #[test]
    fn windows_in_one_pass_are_the_plain_ones() {
        for (rows, columns, patch, batch) in [(3, 5, 2, 2), (1, 1, 4, 1), (2, 1, 6, 3), (1, 3, 8, 1), (4, 4, 16, 2)] {
            let grid = PatchGrid { rows, columns, patch };
            for border in [Border::Zero, Border::Wrap] {
                let wraps = border == Border::Wrap;
                check(
                    [[batch, grid.patches() * patch * patch]],
                    |[x]| windows::windows(grid, wraps, &x),
                    |[x]| grid.plain_windows(x, border),
                );
                check(
                    [[batch * grid.patches(), grid.window()]],
                    |[x]| windows::overlap_add(grid, wraps, &x),
                    |[x]| grid.plain_overlap_add(x, border),
                );
            }
        }
    }

    #[test]
    fn the_shift_in_one_pass_is_the_plain_one() {
        for (rows, columns, batch, features) in [(3, 5, 2, 19), (2, 4, 3, 8), (7, 2, 1, 24), (8, 16, 2, 40)] {
            let grid = PatchGrid { rows, columns, patch: 2 };
            check([[batch * grid.patches(), features]], |[x]| shift(grid, &x), |[x]| grid.plain_shift(x));
        }
    }
}
