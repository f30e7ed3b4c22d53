//! Moving features between neighbouring patches. With it, networks on patches consist of matrix products, which every
//! backend does best.

use burn::tensor::{Tensor, backend::Backend};

use crate::config::PatchGrid;
use crate::nn::fused::shift::shift;

impl PatchGrid {
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

#[cfg(all(test, feature = "training"))]
mod tests {
    use super::*;
    use crate::nn::fused::check::check;

    #[test]
    fn the_shift_in_one_pass_is_the_plain_one() {
        for (rows, columns, batch, features) in [(3, 5, 2, 19), (2, 4, 3, 8), (7, 2, 1, 24), (8, 16, 2, 40)] {
            let grid = PatchGrid { rows, columns };
            check([[batch * grid.patches(), features]], |[x]| shift(grid, &x), |[x]| grid.plain_shift(x));
        }
    }
}
