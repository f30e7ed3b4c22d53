//! Axes and curves of charts: round ticks, positions, and curves thinned to what a chart can show.
//!
//! Only numbers: the page and the trainer's report draw each in their own way.
//!
//! ```
//! use vdm::axis::Axis;
//! let axis = Axis::covering(-5.03, 4.97, 6);
//! assert_eq!(axis.ticks, [-6.0, -4.0, -2.0, 0.0, 2.0, 4.0, 6.0]);
//! assert_eq!(axis.share(3.0), 0.75);
//! ```

/// A range of values with its ticks.
#[derive(Clone, Debug, PartialEq)]
pub struct Axis {
    /// The value at the start of the axis; above `max` where the axis falls.
    pub min: f64,
    /// The value at its end.
    pub max: f64,
    /// The values to write beside it, in ascending order, all on the axis.
    pub ticks: Vec<f64>,
    /// Decimals that the ticks of a linear axis need.
    pub decimals: usize,
    /// Whether equal ratios, instead of equal differences, have equal lengths.
    pub is_log: bool,
}

impl Axis {
    /// From 0 to 1, in quarters.
    pub fn unit() -> Self {
        Self { min: 0.0, max: 1.0, ticks: vec![0.0, 0.25, 0.5, 0.75, 1.0], decimals: 2, is_log: false }
    }

    /// Exactly from `min` to `max`, with about `count` ticks at multiples of 1, 2 or 5 times a power of ten. An empty
    /// or infinite range becomes [`unit`](Self::unit).
    pub fn within(min: f64, max: f64, count: usize) -> Self {
        let (low, high) = (min.min(max), min.max(max));
        if !(high - low).is_finite() || low >= high {
            return Self::unit();
        }
        let (step, decimals) = round_step((high - low) / count.max(1) as f64);
        let (first, last) = ((low / step).ceil() as i64, (high / step).floor() as i64);
        // A range that is tiny beside its values has no such multiples.
        let ticks = multiples(step, first, last.min(first.saturating_add(1000)));
        Self { min, max, ticks, decimals, is_log: false }
    }

    /// From a tick at or below `from` to one at or above `to`, in about `count` steps of 1, 2 or 5 times a power of
    /// ten. An empty or infinite range becomes [`unit`](Self::unit).
    pub fn covering(from: f64, to: f64, count: usize) -> Self {
        if !(to - from).is_finite() || from >= to {
            return Self::unit();
        }
        let (step, decimals) = round_step((to - from) / count.max(1) as f64);
        // A range that ends at a tick, but for rounding, gets no further tick.
        let (first, last) = ((from / step + 1e-9).floor() as i64, (to / step - 1e-9).ceil() as i64);
        let ticks = multiples(step, first, last);
        Self { min: first as f64 * step, max: last as f64 * step, ticks, decimals, is_log: false }
    }

    /// Whole numbers around a range of exponents, for values that are shown by their powers of ten.
    pub fn exponents(from: f64, to: f64, count: usize) -> Self {
        let (from, to) = (from.floor(), to.ceil());
        // No step is then shorter than 1.
        Self::covering(from, to, count.min((to - from) as usize))
    }

    /// An axis with about `count` ticks that holds the finite ones of the values and some space around them. It is
    /// logarithmic where all are above 0 and they span more than `decades` powers of ten.
    pub fn around(values: impl IntoIterator<Item = f64>, decades: f64, count: usize) -> Self {
        let (low, high) = values
            .into_iter()
            .filter(|value| value.is_finite())
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)));
        if low > high {
            return Self::unit();
        }
        if low > 0.0 && (high / low).log10() > decades {
            let space = (high / low).powf(0.05);
            let (min, max) = (low / space, high * space);
            return Self { min, max, ticks: log_ticks(min, max, count), decimals: 0, is_log: true };
        }
        // Enough space that ticks of four digits differ.
        let space = ((high - low) * 0.06).max((high.abs().max(low.abs()) * 5e-3 - (high - low)) / 2.0).max(1e-12);
        // Values that are never negative get no axis below 0.
        let floor = if low >= 0.0 { 0.0 } else { f64::NEG_INFINITY };
        Self::within((low - space).max(floor), high + space, count)
    }

    /// The position of a value: 0 at the start of the axis and 1 at its end. Values off the axis lie off it by its
    /// length at most; NaN lies at the start.
    pub fn share(&self, value: f64) -> f64 {
        let share = if self.is_log {
            (value.max(f64::MIN_POSITIVE) / self.min).ln() / (self.max / self.min).ln()
        } else {
            (value - self.min) / (self.max - self.min)
        };
        if value.is_nan() || share.is_nan() { 0.0 } else { share.clamp(-1.0, 2.0) }
    }
}

/// The least of 1, 2 and 5 times a power of ten that is at least `step`, and the decimals that it needs.
fn round_step(step: f64) -> (f64, usize) {
    let power = step.log10().floor();
    let unit = 10f64.powi(power as i32);
    let factor = [1.0, 2.0, 5.0].into_iter().find(|factor| factor * unit >= step * (1.0 - 1e-9));
    let decimals = if factor.is_some() { -power } else { -power - 1.0 };
    (factor.unwrap_or(10.0) * unit, decimals.max(0.0) as usize)
}

/// Products, not sums: 0.1 + 0.2 is not 0.3.
fn multiples(step: f64, first: i64, last: i64) -> Vec<f64> {
    (first..=last).map(|i| i as f64 * step).collect()
}

fn log_ticks(low: f64, high: f64, count: usize) -> Vec<f64> {
    let decades: Vec<i32> = (low.log10().floor() as i32..=high.log10().ceil() as i32).collect();
    let inside = |factors: &[f64], every: usize| -> Vec<f64> {
        let decades = decades.iter().filter(|&&decade| decade.rem_euclid(every as i32) == 0);
        let all = decades.flat_map(|&decade| factors.iter().map(move |factor| factor * 10f64.powi(decade)));
        all.filter(|tick| (low..=high).contains(tick)).collect()
    };
    let fine = inside(&[1.0, 2.0, 5.0], 1);
    if fine.len() <= count + 1 {
        return fine;
    }
    inside(&[1.0], (decades.len() / count.max(1)).max(1))
}

/// At most `max` of the indices 0..count at even distances, the first and the last among them.
pub fn evenly(count: usize, max: usize) -> Vec<usize> {
    if count <= max || max < 2 {
        return (0..count.min(max.max(1))).collect();
    }
    (0..max).map(|i| (i * (count - 1) + (max - 1) / 2) / (max - 1)).collect()
}

/// Values of neighbouring steps, summed up.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bucket {
    /// Mean of the steps.
    pub step: f64,
    /// Mean of the values.
    pub mean: f64,
    /// The smallest value.
    pub min: f64,
    /// The largest value.
    pub max: f64,
    /// The number of values.
    pub count: u64,
}

impl Bucket {
    fn join(self, other: Self) -> Self {
        let (a, b) = (self.count as f64, other.count as f64);
        let mean = |x: f64, y: f64| (x * a + y * b) / (a + b);
        Self {
            step: mean(self.step, other.step),
            mean: mean(self.mean, other.mean),
            min: self.min.min(other.min),
            max: self.max.max(other.max),
            count: self.count + other.count,
        }
    }
}

/// Values against steps, however many, in 300 to 600 buckets of equal numbers of values.
#[derive(Clone, Debug)]
pub struct Thinned {
    buckets: Vec<Bucket>,
    /// Values of a full bucket.
    stride: u64,
}

impl Default for Thinned {
    fn default() -> Self {
        Self { buckets: Vec::new(), stride: 1 }
    }
}

impl Thinned {
    /// A chart is not many more pixels wide.
    const MAX_BUCKETS: usize = 600;

    /// Adds a value; one that is not finite is left out.
    pub fn push(&mut self, step: u64, value: f64) {
        if !value.is_finite() {
            return;
        }
        let new = Bucket { step: step as f64, mean: value, min: value, max: value, count: 1 };
        match self.buckets.last_mut() {
            Some(last) if last.count < self.stride => *last = last.join(new),
            _ => self.buckets.push(new),
        }
        if self.buckets.len() > Self::MAX_BUCKETS {
            self.buckets =
                self.buckets.chunks(2).filter_map(|pair| pair.iter().copied().reduce(Bucket::join)).collect();
            self.stride *= 2;
        }
    }

    /// The buckets, in order of their steps.
    pub fn buckets(&self) -> &[Bucket] {
        &self.buckets
    }

    /// Step and mean of each bucket.
    pub fn means(&self) -> Vec<(f64, f64)> {
        self.buckets.iter().map(|bucket| (bucket.step, bucket.mean)).collect()
    }

    /// Step and mean of each bucket over a window of a twentieth of all buckets, without the noise of single values.
    pub fn smooth(&self) -> Vec<(f64, f64)> {
        let half = self.buckets.len() / 40;
        (0..self.buckets.len())
            .map(|i| {
                // Symmetric at the start, so that the steep part is not drawn towards the rest. The flat end has more
                // noise than slope and keeps its window.
                let before = half.min(i);
                let window = &self.buckets[i - before..=(i + before).min(self.buckets.len() - 1)];
                let count: f64 = window.iter().map(|b| b.count as f64).sum();
                (self.buckets[i].step, window.iter().map(|b| b.mean * b.count as f64).sum::<f64>() / count)
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn covering_ticks_are_round_numbers_around_the_range() {
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
    fn ticks_within_are_round_and_inside() {
        assert_eq!(Axis::within(0.0, 300.0, 6).ticks, [0.0, 50.0, 100.0, 150.0, 200.0, 250.0, 300.0]);
        assert_eq!(Axis::within(5.0, -5.0, 4).ticks, [-5.0, 0.0, 5.0]);
        assert_eq!(log_ticks(0.001, 0.09, 6), [0.001, 0.002, 0.005, 0.01, 0.02, 0.05]);
        assert!((4..=6).contains(&log_ticks(1e-9, 10.0, 5).len()));
        for (low, high) in
            [(0.781, 0.786), (1e-12, 3e-12), (-1e9, 1e9), (3.0, 3.0 + 1e-9), (1.2e-6, 1.2e-6), (0.0, 0.0)]
        {
            let axis = Axis::around([low, high], 9.0, 5);
            assert!((2..=12).contains(&axis.ticks.len()), "{axis:?}");
            assert!(axis.ticks.iter().all(|&tick| (0.0..=1.0).contains(&axis.share(tick))), "{axis:?}");
            let texts: std::collections::BTreeSet<_> = axis.ticks.iter().map(|tick| format!("{tick:.3e}")).collect();
            assert_eq!(texts.len(), axis.ticks.len(), "four digits tell them apart: {axis:?}");
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
    fn an_empty_range_still_has_an_axis() {
        for (from, to) in [(1.0, 1.0), (f64::NAN, 1.0), (0.0, f64::INFINITY), (2.0, 1.0)] {
            assert_eq!(Axis::covering(from, to, 5), Axis::unit());
        }
        assert_eq!(Axis::within(1.0, 1.0, 5), Axis::unit());
        assert_eq!(Axis::around([f64::NAN], 1.0, 5), Axis::unit());
    }

    #[test]
    fn positions_follow_the_axis() {
        let axis = Axis { min: 1.0, max: 100.0, is_log: true, ..Axis::unit() };
        assert!((axis.share(10.0) - 0.5).abs() < 1e-12);
        assert_eq!((axis.share(0.0), axis.share(1e9), axis.share(f64::NAN)), (-1.0, 2.0, 0.0));
        assert!(Axis::around([1e-6, 1e-3], 1.5, 5).is_log);
        assert!(!Axis::around([0.0, 1e-3], 1.5, 5).is_log, "0 has no logarithm");
        assert_eq!(Axis::within(5.0, -5.0, 4).share(5.0), 0.0);
    }

    #[test]
    fn indices_are_even_and_hold_both_ends() {
        assert_eq!(evenly(9, 3), [0, 4, 8]);
        assert_eq!((evenly(2, 5), evenly(0, 5), evenly(5, 1)), (vec![0, 1], vec![], vec![0]));
    }

    #[test]
    fn buckets_keep_mean_and_extremes() {
        let mut values = Thinned::default();
        let count = 12_345u64;
        for step in 1..=count {
            values.push(step, if step == 7000 { 50.0 } else { (step % 10) as f64 });
        }
        values.push(count + 1, f64::NAN);
        let buckets = values.buckets();
        assert!((300..=600).contains(&buckets.len()), "{}", buckets.len());
        assert_eq!(buckets.iter().map(|b| b.count).sum::<u64>(), count);
        assert_eq!(buckets.iter().map(|b| b.max).fold(0.0, f64::max), 50.0);
        assert_eq!(buckets.iter().map(|b| b.min).fold(9.0, f64::min), 0.0);
        let sum: f64 = buckets.iter().map(|b| b.mean * b.count as f64).sum();
        // Σ step mod 10 over 1..=12345 is 1234 · 45 + 15; step 7000 adds 50 instead of 0.
        assert!((sum - (1234.0 * 45.0 + 15.0 + 50.0)).abs() < 1e-6, "{sum}");
        assert!(buckets.windows(2).all(|pair| pair[0].step < pair[1].step));
        let smooth = values.smooth();
        assert_eq!(smooth.len(), values.means().len());
        assert!(smooth[5..].iter().all(|p| (3.0..6.5).contains(&p.1)), "a mean of many");
    }
}
