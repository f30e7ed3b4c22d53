//! How a picture of any size takes the size of the model's.

/// The maximum size of a picture's file.
pub const MAX_PICTURE_BYTES: u64 = 64_000_000;

/// A part of a picture, in its pixels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Part {
    /// From the left.
    pub left: f64,
    /// From the top.
    pub top: f64,
    /// Its width.
    pub width: f64,
    /// Its height.
    pub height: f64,
}

/// The largest part of a picture of the first size that has the proportions of the second, from the middle; none for a
/// size without pixels.
///
/// ```
/// use web::crop::{Part, cover};
/// assert_eq!(cover((300, 200), (256, 256)), Some(Part { left: 50.0, top: 0.0, width: 200.0, height: 200.0 }));
/// ```
pub fn cover(from: (u32, u32), to: (u32, u32)) -> Option<Part> {
    let [width, height, to_width, to_height] = [from.0, from.1, to.0, to.1].map(f64::from);
    if [width, height, to_width, to_height].contains(&0.0) {
        return None;
    }
    let scale = (width / to_width).min(height / to_height);
    let (part_width, part_height) = (to_width * scale, to_height * scale);
    let (left, top) = ((width - part_width) / 2.0, (height - part_height) / 2.0);
    Some(Part { left, top, width: part_width, height: part_height })
}

/// The brightness of each pixel of red, green, blue and opacity, as in ITU-R BT.709; what is not there is black.
pub fn luma(rgba: &[u8]) -> Vec<u8> {
    let grey = |pixel: &[u8]| {
        let [red, green, blue, opacity] = [0, 1, 2, 3].map(|i| f64::from(pixel[i]));
        // Grey stays the same: the weights sum to 1.
        ((0.2126 * red + 0.7152 * green + 0.0722 * blue) * opacity / 255.0).round() as u8
    };
    rgba.chunks_exact(4).map(grey).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_is_kept() {
        let tall = cover((100, 300), (64, 64)).expect("a part");
        assert_eq!(tall, Part { left: 0.0, top: 100.0, width: 100.0, height: 100.0 });
        let wide = cover((640, 480), (32, 16)).expect("a part");
        assert_eq!(wide, Part { left: 0.0, top: 80.0, width: 640.0, height: 320.0 });
        assert_eq!(cover((0, 10), (4, 4)), None);
    }

    #[test]
    fn grey_stays_as_it_is() {
        for value in 0..=255 {
            assert_eq!(luma(&[value, value, value, 255]), [value]);
        }
        assert_eq!(luma(&[255, 0, 0, 255, 0, 255, 0, 255, 255, 255, 255, 0]), [54, 182, 0]);
    }
}
