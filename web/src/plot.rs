//! Positions and lines in a plot; the page draws them.
//!
//! ```
//! use vdm::axis::Axis;
//! use web::plot::Frame;
//! let (x, y) = (Axis::unit(), Axis::covering(-5.0, 5.0, 5));
//! let frame = Frame { width: 120.0, height: 100.0, left: 10.0, right: 10.0, top: 0.0, bottom: 0.0 };
//! assert_eq!(frame.line(&x, &y, &[(0.0, -6.0), (1.0, 6.0)]), "M10 100L110 0");
//! ```

use std::fmt::Write;

use vdm::axis::Axis;

/// The area of a plot and the margins around it, in the plot's units.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Frame {
    /// Of the whole plot.
    pub width: f64,
    /// Of the whole plot.
    pub height: f64,
    /// Margin.
    pub left: f64,
    /// Margin.
    pub right: f64,
    /// Margin.
    pub top: f64,
    /// Margin.
    pub bottom: f64,
}

impl Frame {
    /// From the left, for a value on the horizontal axis.
    pub fn x(&self, axis: &Axis, value: f64) -> f64 {
        self.left + (self.width - self.left - self.right) * axis.share(value).clamp(0.0, 1.0)
    }

    /// From the top, for a value on the vertical axis.
    pub fn y(&self, axis: &Axis, value: f64) -> f64 {
        self.height - self.bottom - (self.height - self.top - self.bottom) * axis.share(value).clamp(0.0, 1.0)
    }

    /// The share of the horizontal axis at a share of the whole width, as [`Axis::share`].
    pub fn share(&self, across: f64) -> f64 {
        (across * self.width - self.left) / (self.width - self.left - self.right)
    }

    /// A line through points, as an SVG path.
    pub fn line(&self, x: &Axis, y: &Axis, points: &[(f64, f64)]) -> String {
        let mut path = String::new();
        for (i, &(horizontal, vertical)) in points.iter().enumerate() {
            let command = if i == 0 { 'M' } else { 'L' };
            let (left, top) = (round(self.x(x, horizontal)), round(self.y(y, vertical)));
            // Writing to a string cannot fail.
            let _ = write!(path, "{command}{left} {top}");
        }
        path
    }
}

/// To a hundredth of a unit, which is finer than a screen and short.
fn round(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

/// A function of t ∈ [0, 1] at the ends of `intervals` equal intervals.
pub fn curve(intervals: u32, value: impl Fn(f64) -> f64) -> Vec<(f64, f64)> {
    let at = |i: u32| f64::from(i) / f64::from(intervals.max(1));
    (0..=intervals.max(1)).map(|i| (at(i), value(at(i)))).collect()
}

/// A power of ten in digits: 10⁻³.
pub fn power_of_ten(exponent: i32) -> String {
    let raised = |c: char| match c {
        '-' => '⁻',
        '1' => '¹',
        '2' => '²',
        '3' => '³',
        digit => digit.to_digit(10).and_then(|digit| char::from_u32(0x2070 + digit)).unwrap_or(digit),
    };
    format!("10{}", exponent.to_string().chars().map(raised).collect::<String>())
}

/// Which of `count` pictures is shown after `changes` changes, when they run forth and back.
pub fn there_and_back(changes: u32, count: usize) -> usize {
    if count < 2 {
        return 0;
    }
    let place = changes as usize % (2 * (count - 1));
    place.min(2 * (count - 1) - place)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_outside_stay_in_the_frame() {
        let frame = Frame { width: 100.0, height: 50.0, left: 20.0, right: 0.0, top: 10.0, bottom: 0.0 };
        let axis = Axis::unit();
        assert_eq!((frame.x(&axis, -3.0), frame.x(&axis, 0.5), frame.x(&axis, 9.0)), (20.0, 60.0, 100.0));
        assert_eq!((frame.y(&axis, 0.0), frame.y(&axis, 1.0)), (50.0, 10.0));
        assert_eq!(curve(2, |t| t * t), [(0.0, 0.0), (0.5, 0.25), (1.0, 1.0)]);
    }

    #[test]
    fn powers_are_raised() {
        assert_eq!([-12, 0, 3, 45].map(power_of_ten), ["10⁻¹²", "10⁰", "10³", "10⁴⁵"]);
    }

    #[test]
    fn pictures_run_forth_and_back() {
        let places: Vec<usize> = (0..9).map(|changes| there_and_back(changes, 4)).collect();
        assert_eq!(places, [0, 1, 2, 3, 2, 1, 0, 1, 2]);
        assert_eq!((there_and_back(7, 1), there_and_back(7, 0)), (0, 0));
    }
}
