//! Where things lie in a plot: ticks, positions and lines. What is drawn of it is the page's.
//!
//! ```
//! use web::plot::{Axis, Frame};
//! let (x, y) = (Axis::unit(), Axis::covering(-5.0, 5.0, 5));
//! let frame = Frame { width: 120.0, height: 100.0, left: 10.0, right: 10.0, top: 0.0, bottom: 0.0 };
//! assert_eq!(y.ticks, [-6.0, -4.0, -2.0, 0.0, 2.0, 4.0, 6.0]);
//! assert_eq!(frame.line(&x, &y, &[(0.0, -6.0), (1.0, 6.0)]), "M10 100L110 0");
//! ```

use std::fmt::Write;

/// A range of values with its ticks.
#[derive(Clone, Debug, PartialEq)]
pub struct Axis {
    /// The value at the axis's start.
    pub min: f64,
    /// The value at its end.
    pub max: f64,
    /// The values that are written beside it, ascending.
    pub ticks: Vec<f64>,
    /// Decimals that the ticks need.
    pub decimals: usize,
}

impl Axis {
    /// From 0 to 1, in quarters.
    pub fn unit() -> Self {
        Self { min: 0.0, max: 1.0, ticks: vec![0.0, 0.25, 0.5, 0.75, 1.0], decimals: 2 }
    }

    /// From a tick at or below `from` to one at or above `to`, in about `count` steps of 1, 2 or 5 times a power of
    /// ten. A range that is no range becomes [`unit`](Self::unit).
    pub fn covering(from: f64, to: f64, count: usize) -> Self {
        if !(from.is_finite() && to.is_finite() && to > from) {
            return Self::unit();
        }
        let rough = (to - from) / count.max(1) as f64;
        let power = rough.log10().floor();
        let lead = rough / 10f64.powf(power);
        let step = [1.0, 2.0, 5.0].into_iter().find(|&nice| lead <= nice * (1.0 + 1e-9)).unwrap_or(10.0);
        let decimals = if step < 10.0 { (-power).max(0.0) } else { (-power - 1.0).max(0.0) } as usize;
        let step = step * 10f64.powf(power);
        // Room for rounding, lest a range that ends at a tick gets another one.
        let (first, last) = ((from / step + 1e-9).floor() as i64, (to / step - 1e-9).ceil() as i64);
        let ticks: Vec<f64> = (first..=last).map(|i| i as f64 * step).collect();
        Self { min: first as f64 * step, max: last as f64 * step, ticks, decimals }
    }

    /// Whole numbers around a range of exponents, for a scale of powers of ten.
    pub fn exponents(from: f64, to: f64, count: usize) -> Self {
        let (from, to) = (from.floor(), to.ceil());
        // No step is then shorter than 1.
        Self::covering(from, to, count.min((to - from) as usize))
    }

    /// Where a value lies: 0 at the start, 1 at the end.
    pub fn share(&self, value: f64) -> f64 {
        ((value - self.min) / (self.max - self.min)).clamp(0.0, 1.0)
    }
}

/// The area of a plot and the margins around it, in the plot's units.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Frame {
    /// Of the whole.
    pub width: f64,
    /// Of the whole.
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
        self.left + (self.width - self.left - self.right) * axis.share(value)
    }

    /// From the top, for a value on the vertical axis.
    pub fn y(&self, axis: &Axis, value: f64) -> f64 {
        self.height - self.bottom - (self.height - self.top - self.bottom) * axis.share(value)
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

/// To a hundredth of a unit: finer than any screen, and short.
fn round(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

/// A function of t ∈ [0, 1] at so many even distances.
pub fn curve(intervals: u32, value: impl Fn(f64) -> f64) -> Vec<(f64, f64)> {
    let at = |i: u32| f64::from(i) / f64::from(intervals.max(1));
    (0..=intervals.max(1)).map(|i| (at(i), value(at(i)))).collect()
}

/// A power of ten, as one writes it: 10⁻³.
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

/// Which of `count` pictures shows after so many changes, when they run there and back.
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
    fn ticks_are_round_numbers_around_the_range() {
        let axis = Axis::covering(-5.03, 4.97, 6);
        assert_eq!((axis.min, axis.max, axis.decimals), (-6.0, 6.0, 0));
        assert_eq!(axis.ticks, [-6.0, -4.0, -2.0, 0.0, 2.0, 4.0, 6.0]);
        let small = Axis::covering(0.0, 0.0021, 4);
        assert_eq!((small.ticks.len(), small.decimals), (4, 3));
        assert!((small.max - 0.003).abs() < 1e-12);
        for (from, to) in [(0.0, 1.0), (-13.3, 5.0), (0.1, 0.4), (-1e6, 7e6)] {
            let axis = Axis::covering(from, to, 5);
            assert!(axis.min <= from && to <= axis.max, "{axis:?}");
            assert!((3..=8).contains(&axis.ticks.len()), "{axis:?}");
        }
    }

    #[test]
    fn exponents_are_whole() {
        for (from, to) in [(-2.17, 2.17), (-0.2, 0.3), (-9.4, 1.0), (0.5, 0.6)] {
            let axis = Axis::exponents(from, to, 6);
            assert!(axis.min <= from && to <= axis.max && axis.decimals == 0, "{axis:?}");
            assert!(axis.ticks.iter().all(|tick| tick.fract() == 0.0), "{axis:?}");
        }
    }

    #[test]
    fn what_is_no_range_still_has_an_axis() {
        for (from, to) in [(1.0, 1.0), (f64::NAN, 1.0), (0.0, f64::INFINITY), (2.0, 1.0)] {
            assert_eq!(Axis::covering(from, to, 5), Axis::unit());
        }
    }

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
    fn pictures_run_there_and_back() {
        let places: Vec<usize> = (0..9).map(|changes| there_and_back(changes, 4)).collect();
        assert_eq!(places, [0, 1, 2, 3, 2, 1, 0, 1, 2]);
        assert_eq!((there_and_back(7, 1), there_and_back(7, 0)), (0, 0));
    }
}
