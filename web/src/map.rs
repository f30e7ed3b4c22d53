//! A map of pictures: two axes, on which each picture has its place. What looks alike is near.
//!
//! The axes are the first two principal components of pictures that the shipped weights drew, each reduced to blocks.
//! `tests/golden/make_map.py` computed them, and made the picture that lies below the map of some that were drawn, each at
//! its place.

use crate::protocol::Picture;

/// Pictures that lie side by side on the map.
pub const ACROSS: f64 = 10.0;
/// Pictures that lie one below the other.
pub const DOWN: f64 = 6.0;
/// Blocks of a picture, across and down.
const SIDE: usize = 8;

/// A weight for each block, row by row; what a weighted grey level is on the map; and the average picture, which is in the
/// middle.
struct Component {
    weights: [i8; SIDE * SIDE],
    scale: f64,
    mean: f64,
}

#[rustfmt::skip]
static COMPONENTS: [Component; 2] = [
    Component {
        weights: [
            47, 59, 68, 56, 56, 68, 62, 50,
            79, 65, 52, 52, 53, 47, 61, 81,
            73, 48, 41, 51, 53, 41, 44, 71,
            93, 51, 46, 52, 51, 48, 49, 94,
            117, 60, 53, 52, 47, 58, 57, 116,
            127, 78, 53, 46, 44, 64, 75, 124,
            125, 86, 44, 36, 38, 55, 91, 121,
            115, 92, 43, 32, 33, 47, 97, 112,
        ],
        scale: 2.0894e-05,
        mean: 11.1109,
    },
    Component {
        weights: [
            -100, -127, -98, -55, -64, -101, -122, -100,
            -100, -102, -55, -46, -54, -54, -98, -101,
            -34, -65, -52, -52, -60, -53, -60, -31,
            24, -54, -57, -55, -57, -55, -50, 23,
            70, -30, -37, -36, -37, -30, -28, 69,
            104, 25, -3, -17, -15, 4, 20, 108,
            121, 57, 7, -6, -3, 17, 64, 120,
            122, 59, 13, 3, 5, 20, 69, 117,
        ],
        scale: 2.2058e-05,
        mean: -2.2733,
    },
];

/// The place of a picture: from the left and from the top, in widths of a picture on the map.
pub fn place(picture: &Picture) -> [f64; 2] {
    let (width, height) = (picture.width.max(1) as usize, picture.height.max(1) as usize);
    let mut at = [ACROSS / 2.0 - COMPONENTS[0].mean, DOWN / 2.0 - COMPONENTS[1].mean];
    for (y, row) in picture.pixels.chunks(width).take(height).enumerate() {
        for (x, part) in row.chunks((width / SIDE).max(1)).enumerate() {
            let sum: u32 = part.iter().map(|&grey| u32::from(grey)).sum();
            let block = y * SIDE / height * SIDE + x.min(SIDE - 1);
            for (at, component) in at.iter_mut().zip(&COMPONENTS) {
                *at += f64::from(sum) * f64::from(component.weights[block]) * component.scale * (SIDE * SIDE) as f64
                    / (width * height) as f64;
            }
        }
    }
    [at[0].clamp(0.0, ACROSS), at[1].clamp(0.0, DOWN)]
}

/// How far a place is from the middle.
pub fn from_middle([x, y]: [f64; 2]) -> f64 {
    ((x - ACROSS / 2.0).powi(2) + (y - DOWN / 2.0).powi(2)).sqrt()
}

/// A line through places, with a ring at its end, as an SVG path.
pub fn line(places: &[[f64; 2]]) -> String {
    match places.iter().map(|[x, y]| format!("{x:.2} {y:.2} ")).collect::<String>() {
        places if places.is_empty() => places,
        places => ["M", &places, "m.15 0a.15 .15 0 1 0-.3 0 .15 .15 0 1 0 .3 0"].concat(),
    }
}

/// A dot at each place, if the ends of lines are round.
pub fn dots(places: &[[f64; 2]]) -> String {
    places.iter().map(|[x, y]| format!("M{x:.2} {y:.2}h0")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(width: u32, height: u32, grey: impl Fn(u32, u32) -> u8) -> Picture {
        let pixels = (0..width * height).map(|i| grey(i % width, i / width)).collect();
        Picture { width, height, pixels }
    }

    #[test]
    fn brightness_leads_to_the_right_and_a_bright_floor_down() {
        let flat = [60, 120, 180].map(|grey| place(&picture(64, 64, |_, _| grey)));
        assert!(flat[0][0] < flat[1][0] && flat[1][0] < flat[2][0], "{flat:?}");
        let [_, ceiling] = place(&picture(64, 64, |_, y| if y < 32 { 170 } else { 90 }));
        let [_, floor] = place(&picture(64, 64, |_, y| if y < 32 { 90 } else { 170 }));
        assert!(ceiling < flat[1][1] && flat[1][1] < floor, "{ceiling} {flat:?} {floor}");
        // Even black and white stay on the map.
        for grey in [0, 255] {
            let [x, y] = place(&picture(64, 64, |_, _| grey));
            assert!((0.0..=ACROSS).contains(&x) && (0.0..=DOWN).contains(&y));
        }
    }

    #[test]
    fn the_size_of_a_picture_does_not_matter() {
        let large = place(&picture(256, 256, |x, y| (x / 4 + y / 2) as u8));
        let small = place(&picture(32, 32, |x, y| (2 * x + 4 * y + 3) as u8));
        for (large, small) in large.into_iter().zip(small) {
            // Half a grey level of the means of blocks, on axes of at most 0.1 a grey level.
            assert!((large - small).abs() < 0.1, "{large} {small}");
        }
    }

    #[test]
    fn a_picture_with_wrong_sizes_has_a_place() {
        for (width, height, pixels) in [(0, 0, 5), (3, 2, 100), (1000, 1000, 9), (13, 13, 169)] {
            let [x, y] = place(&Picture { width, height, pixels: vec![100; pixels] });
            assert!(x.is_finite() && y.is_finite());
        }
    }

    #[test]
    fn places_become_paths() {
        let places = [[1.0, 2.0], [3.5, 0.25]];
        assert!(line(&places).starts_with("M1.00 2.00 3.50 0.25 m.15 0a"), "{}", line(&places));
        assert_eq!(dots(&places), "M1.00 2.00h0M3.50 0.25h0");
        assert_eq!((line(&[]), dots(&[])), (String::new(), String::new()));
        assert_eq!(from_middle([8.0, 7.0]), 5.0);
    }
}
