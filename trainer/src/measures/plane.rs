//! One channel of numbers, row by row, and the few filters that the measures share.

/// A grey picture of float32.
#[derive(Clone, Debug, PartialEq)]
pub struct Plane {
    /// Height in pixels.
    pub height: usize,
    /// Width in pixels.
    pub width: usize,
    /// H·W values.
    pub values: Vec<f32>,
}

impl Plane {
    /// 8-bit grey values as they are, from 0 to 255.
    pub fn of(pixels: &[u8], width: usize) -> Self {
        let values = pixels.iter().map(|&v| f32::from(v)).collect();
        Self { height: pixels.len() / width.max(1), width, values }
    }

    /// The product of two planes of one size, value by value.
    pub fn times(&self, other: &Self) -> Self {
        self.zip(other, |a, b| a * b)
    }

    /// A function of two planes of one size, value by value.
    pub fn zip(&self, other: &Self, f: impl Fn(f32, f32) -> f32) -> Self {
        let values = self.values.iter().zip(&other.values).map(|(&a, &b)| f(a, b)).collect();
        Self { values, ..*self }
    }

    /// Means of blocks of `factor`² pixels; rows and columns that fill no block are left out.
    pub fn reduced(&self, factor: usize) -> Self {
        if factor <= 1 {
            return self.clone();
        }
        let (height, width) = (self.height / factor, self.width / factor);
        let scale = 1.0 / (factor * factor) as f32;
        let mut values = vec![0.0; height * width];
        for (y, sums) in values.chunks_exact_mut(width.max(1)).enumerate() {
            for row in 0..factor {
                let source = &self.values[(y * factor + row) * self.width..][..width * factor];
                for (sum, block) in sums.iter_mut().zip(source.chunks_exact(factor)) {
                    *sum += block.iter().sum::<f32>() * scale;
                }
            }
        }
        Self { height, width, values }
    }

    /// Means over a grid of `height` × `width` areas of equal size, which may cut through pixels.
    pub fn area_means(&self, height: usize, width: usize) -> Self {
        let rows = shares(self.height, height);
        let columns = shares(self.width, width);
        let mut values = Vec::with_capacity(height * width);
        for row in &rows {
            for column in &columns {
                let mut sum = 0.0;
                for &(y, of_row) in row {
                    let line = &self.values[y * self.width..];
                    sum += of_row * column.iter().map(|&(x, of_column)| line[x] * of_column).sum::<f32>();
                }
                values.push(sum);
            }
        }
        Self { height, width, values }
    }

    /// Filters rows and columns with a kernel of odd length, where it fits wholly: smaller by its length − 1.
    pub fn filtered_inside(&self, kernel: &[f32]) -> Self {
        let (height, width) = (self.height + 1 - kernel.len(), self.width + 1 - kernel.len());
        let mut across = vec![0.0; self.height * width];
        for (target, source) in across.chunks_exact_mut(width).zip(self.values.chunks_exact(self.width)) {
            for (offset, &weight) in kernel.iter().enumerate() {
                for (sum, &v) in target.iter_mut().zip(&source[offset..]) {
                    *sum += weight * v;
                }
            }
        }
        let mut values = vec![0.0; height * width];
        for (y, target) in values.chunks_exact_mut(width).enumerate() {
            for (offset, &weight) in kernel.iter().enumerate() {
                for (sum, &v) in target.iter_mut().zip(&across[(y + offset) * width..]) {
                    *sum += weight * v;
                }
            }
        }
        Self { height, width, values }
    }

    /// Filters rows and columns with a kernel of odd length, the picture mirrored at its border without repeating it.
    pub fn filtered(&self, kernel: &[f32]) -> Self {
        self.extended(kernel.len() / 2).filtered_inside(kernel)
    }

    /// Filters rows alone, mirrored like [`filtered`](Plane::filtered).
    pub fn filtered_rows(&self, kernel: &[f32]) -> Self {
        let margin = kernel.len() / 2;
        let mut values = vec![0.0; self.values.len()];
        let mut line = vec![0.0; self.width + 2 * margin];
        for (target, source) in values.chunks_exact_mut(self.width).zip(self.values.chunks_exact(self.width)) {
            line.iter_mut().enumerate().for_each(|(x, v)| *v = source[mirrored(x, margin, self.width)]);
            for (offset, &weight) in kernel.iter().enumerate() {
                for (sum, &v) in target.iter_mut().zip(&line[offset..]) {
                    *sum += weight * v;
                }
            }
        }
        Self { values, ..*self }
    }

    /// Rows as columns.
    pub fn transposed(&self) -> Self {
        let columns = (0..self.width).flat_map(|x| self.values[x..].iter().step_by(self.width));
        Self { height: self.width, width: self.height, values: columns.copied().collect() }
    }

    /// With a margin mirrored at the border.
    fn extended(&self, margin: usize) -> Self {
        let (height, width) = (self.height + 2 * margin, self.width + 2 * margin);
        let mut values = Vec::with_capacity(height * width);
        for y in 0..height {
            let line = &self.values[mirrored(y, margin, self.height) * self.width..][..self.width];
            values.extend((0..margin).map(|x| line[mirrored(x, margin, self.width)]));
            values.extend(line);
            values.extend((margin + self.width..width).map(|x| line[mirrored(x, margin, self.width)]));
        }
        Self { height, width, values }
    }

    /// The Gaussian filter, cut off at 3 σ.
    #[cfg(test)]
    pub fn blurred(&self, sigma: f64) -> Self {
        self.filtered(&gaussian(sigma, (3.0 * sigma).ceil() as usize))
    }

    /// Half the size: the binomial filter (1 4 6 4 1)/16, then every other pixel (Burt and Adelson 1983).
    pub fn pyramid_down(&self) -> Self {
        let smooth = self.filtered(&BINOMIAL);
        let (height, width) = (self.height.div_ceil(2), self.width.div_ceil(2));
        let pick = |y: usize| (0..width).map(move |x| (y * 2, x * 2));
        let values = (0..height).flat_map(pick).map(|(y, x)| smooth.values[y * self.width + x]).collect();
        Self { height, width, values }
    }

    /// Back to a size that [`pyramid_down`](Plane::pyramid_down) came from.
    pub fn pyramid_up(&self, height: usize, width: usize) -> Self {
        let mut sparse = Self { height, width, values: vec![0.0; height * width] };
        for y in 0..self.height {
            for x in 0..self.width {
                sparse.values[2 * y * width + 2 * x] = 4.0 * self.values[y * self.width + x];
            }
        }
        sparse.filtered(&BINOMIAL)
    }

    /// Levels of the Laplacian pyramid: what each halving loses, and the last small picture.
    pub fn laplacian_pyramid(self, levels: usize) -> Vec<Plane> {
        let mut pyramid = vec![self];
        for level in 1..levels {
            let fine = &pyramid[level - 1];
            let coarse = fine.pyramid_down();
            let lost = fine.zip(&coarse.pyramid_up(fine.height, fine.width), |a, b| a - b);
            pyramid[level - 1] = lost;
            pyramid.push(coarse);
        }
        pyramid
    }
}

const BINOMIAL: [f32; 5] = [0.0625, 0.25, 0.375, 0.25, 0.0625];

/// Normalised values of a Gaussian from −radius to radius.
pub fn gaussian(sigma: f64, radius: usize) -> Vec<f32> {
    let weight = |i: i64| (-((i * i) as f64) / (2.0 * sigma * sigma)).exp();
    let radius = radius as i64;
    let sum: f64 = (-radius..=radius).map(weight).sum();
    (-radius..=radius).map(|i| (weight(i) / sum) as f32).collect()
}

/// The pixel that a place of an extended line shows: … 2 1 | 0 1 2 … n−1 | n−2 …
fn mirrored(place: usize, margin: usize, size: usize) -> usize {
    if size == 1 {
        return 0;
    }
    let period = 2 * (size as i64 - 1);
    let at = (place as i64 - margin as i64).rem_euclid(period);
    at.min(period - at) as usize
}

/// For each of `parts` equal areas of a line of pixels, the pixels in it and their weights, which sum to 1.
fn shares(size: usize, parts: usize) -> Vec<Vec<(usize, f32)>> {
    let length = size as f64 / parts as f64;
    (0..parts)
        .map(|part| {
            let (start, end) = (part as f64 * length, (part + 1) as f64 * length);
            (start.floor() as usize..(end.ceil() as usize).min(size))
                .map(|pixel| (pixel, (end.min(pixel as f64 + 1.0) - start.max(pixel as f64)) / length))
                .filter(|(_, share)| *share > 1e-9)
                .map(|(pixel, share)| (pixel, share as f32))
                .collect()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ramp(height: usize, width: usize) -> Plane {
        let values = (0..height * width).map(|i| ((i * 37) % 101) as f32).collect();
        Plane { height, width, values }
    }

    #[test]
    fn a_pyramid_adds_up_to_its_picture() {
        for (height, width) in [(64, 64), (33, 50)] {
            let picture = ramp(height, width);
            let pyramid = picture.clone().laplacian_pyramid(3);
            let mut sum = pyramid[2].clone();
            for level in pyramid[..2].iter().rev() {
                sum = sum.pyramid_up(level.height, level.width).zip(level, |a, b| a + b);
            }
            let error = sum.values.iter().zip(&picture.values).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(error < 1e-4, "{error}");
        }
    }

    #[test]
    fn filters_keep_a_flat_picture() {
        let flat = Plane { height: 20, width: 24, values: vec![7.0; 480] };
        assert!(flat.blurred(2.0).values.iter().all(|v| (v - 7.0).abs() < 1e-4));
        assert!(flat.area_means(7, 5).values.iter().all(|v| (v - 7.0).abs() < 1e-4));
        assert_eq!(flat.reduced(4), Plane { height: 5, width: 6, values: vec![7.0; 30] });
        assert!(flat.pyramid_down().pyramid_up(20, 24).values.iter().all(|v| (v - 7.0).abs() < 1e-4));
    }

    #[test]
    fn filtering_rows_and_columns_in_turn_is_filtering() {
        let picture = ramp(13, 9);
        let turned = picture.filtered_rows(&BINOMIAL).transposed();
        assert_eq!((turned.height, turned.width), (9, 13));
        let both = turned.filtered_rows(&BINOMIAL).transposed();
        let error = both.zip(&picture.filtered(&BINOMIAL), |a, b| (a - b).abs()).values.into_iter().fold(0.0, f32::max);
        assert!(error < 1e-3, "{error}");
    }

    #[test]
    fn reducing_by_blocks_is_the_mean_over_areas() {
        let picture = ramp(12, 16);
        let pairs = picture.reduced(4).values.into_iter().zip(picture.area_means(3, 4).values);
        assert!(pairs.into_iter().all(|(a, b)| (a - b).abs() < 1e-4));
    }

    #[test]
    fn the_mirror_does_not_repeat_the_border() {
        let line: Vec<usize> = (0..8).map(|place| mirrored(place, 3, 3)).collect();
        assert_eq!(line, [1, 2, 1, 0, 1, 2, 1, 0]);
    }
}
