//! Images cut into windows that overlap by half, and windows added to images.

use burn::tensor::{Tensor, backend::Backend};
use burn_flex::FlexTensor;

use super::cpu::{add, each_part, numbers, sizes, tensor, vectorized};
use super::operation::{Operation, apply, inside, outside};
use crate::config::PatchGrid;

/// Cuts images `[B, H·W]` into windows `[B·P, window]`, beyond whose border the opposite side lies or zeros; `None` where it
/// is the plain code's to do.
pub fn windows<B: Backend>(grid: PatchGrid, wraps: bool, images: &Tensor<B, 2>) -> Option<Tensor<B, 2>> {
    apply::<B, _, 1>(Windows { grid, wraps, adds: false }, [inside(images)]).map(outside)
}

/// The transpose of [`windows`].
pub fn overlap_add<B: Backend>(grid: PatchGrid, wraps: bool, windows: &Tensor<B, 2>) -> Option<Tensor<B, 2>> {
    apply::<B, _, 1>(Windows { grid, wraps, adds: true }, [inside(windows)]).map(outside)
}

#[derive(Clone, Copy, Debug)]
struct Windows {
    grid: PatchGrid,
    wraps: bool,
    /// Whether windows are added to images.
    adds: bool,
}

impl Operation<1> for Windows {
    type Kept = ();

    fn forward(&self, [input]: &[FlexTensor; 1], _keep: bool) -> (FlexTensor, Option<()>) {
        (self.run(input, self.adds), None)
    }

    fn backward(
        &self,
        _inputs: &[FlexTensor; 1],
        _kept: Option<()>,
        gradient: FlexTensor,
        _wanted: [bool; 1],
    ) -> [Option<FlexTensor>; 1] {
        [Some(self.run(&gradient, !self.adds))]
    }
}

impl Windows {
    fn run(&self, input: &FlexTensor, adds: bool) -> FlexTensor {
        if adds { self.add(input) } else { self.cut(input) }
    }

    /// Half cells of the padded image, and which of an image they are along one side, of `count` cells.
    fn inside_of_image(&self, half: usize, count: usize) -> Option<usize> {
        match (half.checked_sub(1), self.wraps) {
            (Some(half), _) if half < 2 * count => Some(half),
            (None, true) => Some(2 * count - 1),
            (Some(_), true) => Some(0),
            _ => None,
        }
    }

    /// The half cells of the padded image that are a half cell of an image.
    fn outside_of_image(&self, half: usize, count: usize) -> impl Iterator<Item = usize> + use<> {
        let beyond = match (self.wraps, half) {
            (false, _) => [None, None],
            (true, half) => [(half == 2 * count - 1).then_some(0), (half == 0).then_some(2 * count + 1)],
        };
        std::iter::once(half + 1).chain(beyond.into_iter().flatten())
    }

    fn cut(&self, images: &FlexTensor) -> FlexTensor {
        let PatchGrid { rows, columns, patch } = self.grid;
        let ([batch, pixels], half) = (sizes(images), patch / 2);
        let (images, size, width) = (numbers(images), self.grid.window(), columns * patch);
        let mut out = vec![0.0; batch * rows * columns * size];
        each_part(&mut out, columns * size, |i, out| {
            let (image, row) = (&images[i / rows * pixels..][..pixels], i % rows);
            for (column, window) in out.chunks_exact_mut(size).enumerate() {
                for (quarter, cell) in window.chunks_exact_mut(patch * patch).enumerate() {
                    let (row, column) = (row + quarter / 2, column + quarter % 2);
                    for (y, line) in cell.chunks_exact_mut(patch).enumerate() {
                        let Some(from) = self.inside_of_image(2 * row + y / half, rows) else { continue };
                        let from = &image[(from * half + y % half) * width..][..width];
                        for (x, part) in line.chunks_exact_mut(half).enumerate() {
                            if let Some(at) = self.inside_of_image(2 * column + x, columns) {
                                part.copy_from_slice(&from[at * half..][..half]);
                            }
                        }
                    }
                }
            }
        });
        tensor(out, &[batch * rows * columns, size])
    }

    fn add(&self, windows: &FlexTensor) -> FlexTensor {
        let PatchGrid { rows, columns, patch } = self.grid;
        let ([count, size], half) = (sizes(windows), patch / 2);
        let (windows, width) = (numbers(windows), columns * patch);
        let mut out = vec![0.0; count * patch * patch];
        // The windows whose quarter, upper or left ones before lower or right ones, is a cell of the padded image.
        let covering = |cell: usize, count: usize| {
            [(cell < count).then_some((cell, 0)), cell.checked_sub(1).map(|cell| (cell, 1))].into_iter().flatten()
        };
        // Lines of half a cell.
        each_part(&mut out, half * width, |i, out| {
            let (image, line) = (i / (2 * rows), i % (2 * rows));
            vectorized(|| {
                for down in self.outside_of_image(line, rows) {
                    for (row, lower) in covering(down / 2, rows) {
                        for at in 0..2 * columns {
                            for across in self.outside_of_image(at, columns) {
                                for (column, right) in covering(across / 2, columns) {
                                    let window = &windows[((image * rows + row) * columns + column) * size..][..size];
                                    let cell = &window[(2 * lower + right) * patch * patch..][..patch * patch];
                                    for y in 0..half {
                                        let from = (down % 2 * half + y) * patch + across % 2 * half;
                                        add(&mut out[y * width + at * half..][..half], &cell[from..][..half]);
                                    }
                                }
                            }
                        }
                    }
                }
            });
        });
        tensor(out, &[count / (rows * columns), rows * columns * patch * patch])
    }
}
