//! Features that move between neighbouring patches.

use burn::tensor::{Tensor, backend::Backend};
use burn_flex::FlexTensor;

use super::cpu::{ROWS, each_part, numbers, sizes, tensor};
use super::operation::{Operation, apply, inside, outside};
use crate::config::PatchGrid;

/// [`PatchGrid::shift`], or `None` where it is the plain code's to do.
pub fn shift<B: Backend>(grid: PatchGrid, patches: &Tensor<B, 2>) -> Option<Tensor<B, 2>> {
    apply::<B, _, 1>(Shift(grid), [inside(patches)]).map(outside)
}

#[derive(Clone, Copy, Debug)]
struct Shift(PatchGrid);

impl Operation<1> for Shift {
    type Kept = ();

    fn forward(&self, [patches]: &[FlexTensor; 1], _keep: bool) -> (FlexTensor, Option<()>) {
        (moved(self.0, patches, 1), None)
    }

    fn backward(
        &self,
        _inputs: &[FlexTensor; 1],
        _kept: Option<()>,
        gradient: FlexTensor,
        _wanted: [bool; 1],
    ) -> [Option<FlexTensor>; 1] {
        [Some(moved(self.0, &gradient, -1))]
    }
}

/// Eighths of the features come from the patch below, above, to the right and to the left; from the opposite sides where
/// `by` is −1.
fn moved(grid: PatchGrid, patches: &FlexTensor, by: isize) -> FlexTensor {
    let [count, features] = sizes(patches);
    let part = features / 8;
    let from = numbers(patches);
    let mut to = vec![0.0; count * features];
    each_part(&mut to, ROWS * features, |i, to| {
        for (k, to) in to.chunks_exact_mut(features).enumerate() {
            let index = i * ROWS + k;
            let place = index % grid.patches();
            let (row, column) = (place / grid.columns, place % grid.columns);
            let sides =
                [(row, grid.rows, 1), (row, grid.rows, -1), (column, grid.columns, 1), (column, grid.columns, -1)];
            for (group, (at, size, step)) in sides.into_iter().enumerate() {
                let step = by * step;
                if at.checked_add_signed(step).is_some_and(|at| at < size) {
                    let stride = if group < 2 { grid.columns as isize } else { 1 };
                    let first = index.wrapping_add_signed(step * stride) * features + group * part;
                    to[group * part..][..part].copy_from_slice(&from[first..][..part]);
                }
            }
            to[4 * part..].copy_from_slice(&from[index * features + 4 * part..][..features - 4 * part]);
        }
    });
    tensor(to, &[count, features])
}
