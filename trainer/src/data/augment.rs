//! Random changes to training images: small rotations, shifts and scalings, contrast, brightness and mirroring.

use anyhow::{Result, bail};
use serde::{Deserialize, Serialize};
use vdm::image::to_unit;
use vdm::rng::Rng;

/// The largest deviation of each change, drawn uniformly within ±; all are off by default.
///
/// Beyond its edges a picture is continued by its mirror image. A generative model would learn black wedges or streaks of
/// repeated edge pixels, while mirrored tissue looks like tissue. It still shows anatomy twice, so deviations should be
/// small: a few degrees, a few hundredths.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AugmentSettings {
    /// Rotation about the centre, in degrees: 0 to 180.
    pub rotation_degrees: f64,
    /// Shift along each axis, as a fraction of that side: 0 to 0.5.
    pub shift: f64,
    /// Deviation of the magnification from 1: 0 to 0.5.
    pub scale: f64,
    /// Deviation of the contrast about mid-grey from 1: 0 to 1.
    pub contrast: f64,
    /// Added to unit greys: 0 to 1.
    pub brightness: f64,
    /// Mirrors images left to right with a probability of ½. The heart changes sides.
    pub flip: bool,
}

/// One draw of the changes.
struct Draw {
    /// Radians, clockwise as seen.
    rotation: f64,
    /// Right and down, in pixels.
    shift: [f64; 2],
    magnification: f64,
    contrast: f64,
    brightness: f64,
    flip: bool,
}

impl AugmentSettings {
    /// Checks the ranges.
    ///
    /// # Errors
    /// A setting that is out of its range, with the range.
    pub fn validate(&self) -> Result<()> {
        let limits = [
            ("rotation_degrees", self.rotation_degrees, 180.0),
            ("shift", self.shift, 0.5),
            ("scale", self.scale, 0.5),
            ("contrast", self.contrast, 1.0),
            ("brightness", self.brightness, 1.0),
        ];
        for (name, value, limit) in limits {
            if !(0.0..=limit).contains(&value) {
                bail!("the augmentation's {name} is {value}: 0 to {limit} is accepted");
            }
        }
        Ok(())
    }

    /// Whether images stay as they are.
    pub fn is_off(&self) -> bool {
        *self == Self::default()
    }

    /// The image as unit greys, row by row, with changes drawn from the stream.
    ///
    /// A draw takes the same seven numbers whatever is on, so that turning on one change leaves the others as they were.
    /// With all off it takes none.
    ///
    /// # Shapes
    /// `image` has `height · width` pixels, and so has the result.
    pub fn augment(&self, image: &[u8], height: usize, width: usize, stream: &mut Rng) -> Vec<f32> {
        if self.is_off() {
            return image.iter().map(|&v| to_unit(v)).collect();
        }
        let draw = self.draw(height, width, stream);
        let mut greys = draw.resample(image, height, width);
        if self.contrast > 0.0 || self.brightness > 0.0 {
            for grey in &mut greys {
                let changed = (f64::from(*grey) - 0.5) * draw.contrast + 0.5 + draw.brightness;
                *grey = changed.clamp(0.0, 1.0) as f32;
            }
        }
        greys
    }

    fn draw(&self, height: usize, width: usize, stream: &mut Rng) -> Draw {
        let mut within = |limit: f64| limit * (2.0 * stream.uniform() - 1.0);
        let rotation = within(self.rotation_degrees).to_radians();
        let shift = [within(self.shift) * width as f64, within(self.shift) * height as f64];
        let magnification = 1.0 + within(self.scale);
        let contrast = 1.0 + within(self.contrast);
        let brightness = within(self.brightness);
        let flip = stream.uniform() < 0.5 && self.flip;
        Draw { rotation, shift, magnification, contrast, brightness, flip }
    }
}

impl Draw {
    /// Rotated, shifted, scaled and mirrored about the centre, with bilinear interpolation.
    fn resample(&self, image: &[u8], height: usize, width: usize) -> Vec<f32> {
        let moves = self.rotation != 0.0 || self.shift != [0.0; 2] || self.magnification != 1.0;
        let mirrored = |column: usize| if self.flip { width - 1 - column } else { column };
        if !moves {
            let pixel = |i: usize| to_unit(image[i / width * width + mirrored(i % width)]);
            return (0..image.len()).map(pixel).collect();
        }
        let (sin, cos) = self.rotation.sin_cos();
        let (sin, cos) = (sin / self.magnification, cos / self.magnification);
        let (center_x, center_y) = ((width as f64 - 1.0) / 2.0, (height as f64 - 1.0) / 2.0);
        let mut greys = Vec::with_capacity(image.len());
        for row in 0..height {
            let y = row as f64 - center_y - self.shift[1];
            for column in 0..width {
                let x = mirrored(column) as f64 - center_x - self.shift[0];
                // The inverse of the change: where in the picture this pixel comes from.
                let from_x = cos * x + sin * y + center_x;
                let from_y = cos * y - sin * x + center_y;
                greys.push(bilinear(image, height, width, from_x, from_y));
            }
        }
        greys
    }
}

/// The unit grey at a place between pixels' centres.
fn bilinear(image: &[u8], height: usize, width: usize, x: f64, y: f64) -> f32 {
    let (left, top) = (x.floor(), y.floor());
    let (right_weight, bottom_weight) = (x - left, y - top);
    let columns = [reflect(left as i64, width), reflect(left as i64 + 1, width)];
    let row = |y: i64| {
        let start = reflect(y, height) * width;
        let [a, b] = columns.map(|column| f64::from(image[start + column]));
        a + (b - a) * right_weight
    };
    let (above, below) = (row(top as i64), row(top as i64 + 1));
    ((above + (below - above) * bottom_weight) / 255.0) as f32
}

/// The pixel at `index` of a row that is mirrored at each end: … 1 0 | 0 1 … n−1 | n−1 n−2 …
fn reflect(index: i64, count: usize) -> usize {
    let index = index.rem_euclid(2 * count as i64) as usize;
    if index < count { index } else { 2 * count - 1 - index }
}

#[cfg(test)]
mod tests {
    use vdm::rng::RngStream;

    use super::*;

    fn stream(index: u64) -> Rng {
        Rng::new(7, RngStream::Augmentation, index)
    }

    fn picture(height: usize, width: usize) -> Vec<u8> {
        (0..height * width).map(|i| (i * 37 % 251) as u8).collect()
    }

    fn still() -> Draw {
        Draw { rotation: 0.0, shift: [0.0; 2], magnification: 1.0, contrast: 1.0, brightness: 0.0, flip: false }
    }

    fn unit(image: &[u8]) -> Vec<f32> {
        image.iter().map(|&v| to_unit(v)).collect()
    }

    #[test]
    fn off_is_the_identity_and_draws_nothing() {
        let image: Vec<u8> = (0..=255).collect();
        let mut used = stream(0);
        let off = AugmentSettings::default();
        assert!(off.is_off());
        assert_eq!(off.augment(&image, 16, 16, &mut used), unit(&image));
        assert_eq!(used.uniform(), stream(0).uniform());
    }

    #[test]
    fn a_stream_gives_one_result() {
        let settings = AugmentSettings {
            rotation_degrees: 5.0,
            shift: 0.05,
            scale: 0.1,
            contrast: 0.2,
            brightness: 0.1,
            flip: true,
        };
        let image = picture(20, 30);
        let draw = |i| settings.augment(&image, 20, 30, &mut stream(i));
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
        assert!((0..50).all(|i| draw(i).iter().all(|v| (0.0..=1.0).contains(v))));
    }

    #[test]
    fn a_quarter_turn_moves_each_pixel_to_its_place() {
        let image = picture(9, 9);
        let turned = Draw { rotation: std::f64::consts::FRAC_PI_2, ..still() }.resample(&image, 9, 9);
        for row in 0..9 {
            for column in 0..9 {
                // Clockwise: the left column, from below, becomes the top row.
                let expected = to_unit(image[(8 - column) * 9 + row]);
                assert!((turned[row * 9 + column] - expected).abs() < 1e-5, "row {row}, column {column}");
            }
        }
    }

    #[test]
    fn shifts_and_scales_match_the_arithmetic() {
        let image: Vec<u8> = (0..6).map(|i| i * 10).collect();
        let shifted = Draw { shift: [1.5, 0.0], ..still() }.resample(&image, 1, 6);
        // From −1.5, −0.5, 0.5, …; what lies before the first pixel is mirrored: (1 0 | 0 1 2 3).
        for (got, expected) in shifted.iter().zip([5.0, 0.0, 5.0, 15.0, 25.0, 35.0]) {
            assert!((f64::from(*got) * 255.0 - expected).abs() < 1e-4, "{shifted:?}");
        }
        let larger = Draw { magnification: 2.0, ..still() }.resample(&image, 1, 6);
        for (got, expected) in larger.iter().zip([12.5, 17.5, 22.5, 27.5, 32.5, 37.5]) {
            assert!((f64::from(*got) * 255.0 - expected).abs() < 1e-4, "{larger:?}");
        }
    }

    #[test]
    fn no_black_appears_at_the_edges_of_a_bright_picture() {
        let settings = AugmentSettings { rotation_degrees: 45.0, shift: 0.5, scale: 0.5, ..Default::default() };
        for i in 0..40 {
            let greys = settings.augment(&[200; 24 * 16], 24, 16, &mut stream(i));
            assert!(greys.iter().all(|&v| (v - to_unit(200)).abs() < 1e-6));
        }
    }

    #[test]
    fn contrast_turns_about_mid_grey_and_stays_within_bounds() {
        let settings = AugmentSettings { contrast: 1.0, ..Default::default() };
        let image: Vec<u8> = (0..=255).collect();
        let (mut stronger, mut weaker) = (0, 0);
        for i in 0..100 {
            let greys = settings.augment(&image, 16, 16, &mut stream(i));
            assert!(greys.iter().all(|v| (0.0..=1.0).contains(v)) && greys.is_sorted());
            // 127 and 128 lie as far below as above 0.5, and so stay.
            assert!((greys[127] + greys[128] - 1.0).abs() < 1e-6);
            let slope = (greys[128] - greys[127]) * 255.0;
            assert!((0.0..=2.0).contains(&slope));
            if slope > 1.0 {
                stronger += 1;
                assert_eq!((greys[0], greys[255]), (0.0, 1.0));
            } else {
                weaker += 1;
                assert!((greys[255] - (0.5 + 0.5 * slope)).abs() < 1e-4);
            }
        }
        assert!(stronger > 25 && weaker > 25, "{stronger} and {weaker}");
    }

    #[test]
    fn brightness_is_added_to_every_pixel() {
        let settings = AugmentSettings { brightness: 0.2, ..Default::default() };
        let changes: Vec<f32> =
            (0..200).map(|i| settings.augment(&[128; 4], 2, 2, &mut stream(i))[3] - to_unit(128)).collect();
        assert!(changes.iter().all(|c| c.abs() <= 0.2001));
        // Uniform within ±0.2: a standard error of the mean of 0.2 / √(3 · 200) = 0.008.
        assert!((changes.iter().sum::<f32>() / 200.0).abs() < 0.033);
        assert!(changes.iter().any(|&c| c > 0.18) && changes.iter().any(|&c| c < -0.18));
    }

    #[test]
    fn flips_half_of_the_time_and_only_when_asked() {
        let image = picture(4, 5);
        let mirror: Vec<u8> = image.chunks_exact(5).flat_map(|row| row.iter().rev().copied()).collect();
        let settings = AugmentSettings { flip: true, ..Default::default() };
        let mut flips = 0;
        for i in 0..400 {
            let greys = settings.augment(&image, 4, 5, &mut stream(i));
            if greys == unit(&mirror) {
                flips += 1;
            } else {
                assert_eq!(greys, unit(&image));
            }
        }
        // Four standard deviations of a fair coin: 4 · √(400 / 4) = 40.
        assert!((160..=240).contains(&flips), "{flips}");
        let unasked = AugmentSettings { brightness: 1e-9, ..Default::default() };
        for i in 0..50 {
            let greys = unasked.augment(&image, 4, 5, &mut stream(i));
            assert!(greys.iter().zip(unit(&image)).all(|(a, b)| (a - b).abs() < 1e-6));
        }
    }

    #[test]
    fn turning_one_change_on_leaves_the_others() {
        let image = picture(8, 8);
        let dim = AugmentSettings { brightness: 0.3, ..Default::default() };
        let both = AugmentSettings { flip: true, ..dim.clone() };
        let sum = |s: &AugmentSettings, i| s.augment(&image, 8, 8, &mut stream(i)).iter().sum::<f32>();
        assert!((0..20).all(|i| (sum(&dim, i) - sum(&both, i)).abs() < 1e-3));
    }

    #[test]
    fn settings_out_of_range_are_named() {
        let check = |s: AugmentSettings| s.validate().err().map(|e| e.to_string()).unwrap_or_default();
        assert_eq!(check(AugmentSettings { scale: 0.5, ..Default::default() }), "");
        assert!(check(AugmentSettings { scale: 1.0, ..Default::default() }).contains("scale is 1: 0 to 0.5"));
        assert!(check(AugmentSettings { shift: f64::NAN, ..Default::default() }).contains("shift is NaN"));
        assert!(check(AugmentSettings { rotation_degrees: -1.0, ..Default::default() }).contains("rotation_degrees"));
        assert_eq!(toml::from_str("flip = true").ok(), Some(AugmentSettings { flip: true, ..Default::default() }));
        assert!(toml::from_str::<AugmentSettings>("flop = true").is_err());
    }
}
