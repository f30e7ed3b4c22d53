//! Axes: ranges, round numbers on them, and how numbers are written.

/// An axis from the values' space to a length in pixels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scale {
    low: f64,
    high: f64,
    log: bool,
}

impl Scale {
    /// An axis over `low..high`. Both must be above 0 for a logarithmic one.
    pub fn new(low: f64, high: f64, log: bool) -> Self {
        Self { low, high, log: log && low > 0.0 }
    }

    /// An axis that holds the values, with some space; logarithmic where they are above 0 and span more than `decades`.
    pub fn around(values: impl IntoIterator<Item = f64>, decades: f64) -> Self {
        let (low, high) = values
            .into_iter()
            .filter(|value| value.is_finite())
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)));
        if low > high {
            return Self::new(0.0, 1.0, false);
        }
        if low > 0.0 && (high / low).log10() > decades {
            let space = (high / low).powf(0.05);
            return Self::new(low / space, high * space, true);
        }
        // At least so much that numbers of four digits tell the axis's ticks apart.
        let space = ((high - low) * 0.06).max((high.abs().max(low.abs()) * 5e-3 - (high - low)) / 2.0).max(1e-12);
        // Quantities that are never negative do not get an axis that is.
        let floor = if low >= 0.0 { 0.0 } else { f64::NEG_INFINITY };
        Self::new((low - space).max(floor), high + space, false)
    }

    /// Where a value lies, 0 at the axis's start and 1 at its end; at most its length off it.
    pub fn at(&self, value: f64) -> f64 {
        let position = if self.log {
            (value.max(f64::MIN_POSITIVE) / self.low).ln() / (self.high / self.low).ln()
        } else {
            (value - self.low) / (self.high - self.low)
        };
        if value.is_nan() || position.is_nan() { 0.0 } else { position.clamp(-1.0, 2.0) }
    }

    /// Whether it is logarithmic.
    pub fn is_log(&self) -> bool {
        self.log
    }

    /// The axis in another unit: every value times a factor.
    pub fn times(&self, factor: f64) -> Self {
        Self { low: self.low * factor, high: self.high * factor, log: self.log }
    }

    /// About `count` round numbers on it.
    pub fn ticks(&self, count: usize) -> Vec<f64> {
        let (low, high) = (self.low.min(self.high), self.low.max(self.high));
        if self.log {
            return log_ticks(low, high, count);
        }
        let step = round_step((high - low) / count.max(1) as f64);
        let first = (low / step).ceil() as i64;
        let last = (high / step).floor() as i64;
        // Times a whole number, not summed up: 0.1 + 0.2 is not 0.3.
        (first..=last.min(first.saturating_add(1000))).map(|i| i as f64 * step).collect()
    }
}

/// The least of 1, 2 and 5 times a power of ten that is at least `step`.
fn round_step(step: f64) -> f64 {
    let power = 10f64.powf(step.log10().floor());
    let factor = [1.0, 2.0, 5.0].into_iter().find(|factor| factor * power >= step * (1.0 - 1e-9));
    factor.unwrap_or(10.0) * power
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

/// A number in at most about seven characters: `0.8123`, `1.2e-6`, `12k`.
pub fn number(value: f64) -> String {
    let size = value.abs();
    let text = if value == 0.0 {
        return "0".to_owned();
    } else if !(1e-3..1e6).contains(&size) {
        return tidy_exponent(&format!("{value:.3e}"));
    } else if size >= 1000.0 {
        format!("{value:.0}")
    } else {
        // Four digits that count.
        let decimals = (3 - size.log10().floor() as i32).clamp(0, 6) as usize;
        format!("{value:.decimals$}")
    };
    tidy(&text).to_owned()
}

/// A step or another count on an axis: `500`, `12k`, `1.5M`.
pub fn count(value: f64) -> String {
    match value.abs() {
        v if v >= 1e6 => format!("{}M", tidy(&format!("{:.3}", value / 1e6))),
        v if v >= 1e4 => format!("{}k", tidy(&format!("{:.3}", value / 1e3))),
        _ => tidy(&format!("{value:.2}")).to_owned(),
    }
}

/// Without zeros after the last decimal that counts.
fn tidy(text: &str) -> &str {
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { text }
}

fn tidy_exponent(text: &str) -> String {
    match text.split_once('e') {
        Some((mantissa, exponent)) => format!("{}e{exponent}", tidy(mantissa)),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_and_right() {
        for (value, text) in
            [(0.0, "0"), (0.812_34, "0.8123"), (1.234e-6, "1.234e-6"), (2e-4, "2e-4"), (1340.6, "1341"), (-5.0, "-5")]
        {
            assert_eq!(number(value), text);
        }
        for (value, text) in [(500.0, "500"), (12_000.0, "12k"), (12_500.0, "12.5k"), (1.5e6, "1.5M"), (0.25, "0.25")] {
            assert_eq!(count(value), text);
        }
    }

    #[test]
    fn ticks_are_round_and_inside() {
        assert_eq!(Scale::new(0.0, 300.0, false).ticks(6), [0.0, 50.0, 100.0, 150.0, 200.0, 250.0, 300.0]);
        assert_eq!(Scale::new(0.001, 0.09, true).ticks(6), [0.001, 0.002, 0.005, 0.01, 0.02, 0.05]);
        assert_eq!(Scale::new(5.0, -5.0, false).ticks(4), [-5.0, 0.0, 5.0]);
        let ticks = Scale::new(1e-9, 10.0, true).ticks(5);
        assert!((4..=6).contains(&ticks.len()), "{ticks:?}");
        for (low, high) in
            [(0.781, 0.786), (1e-12, 3e-12), (-1e9, 1e9), (3.0, 3.0 + 1e-9), (1.2e-6, 1.2e-6), (0.0, 0.0)]
        {
            let scale = Scale::around([low, high], 9.0);
            let ticks = scale.ticks(5);
            assert!((2..=12).contains(&ticks.len()), "{low}..{high}: {ticks:?}");
            assert!(ticks.iter().all(|&tick| (0.0..=1.0).contains(&scale.at(tick))));
            let mut texts: Vec<String> = ticks.iter().map(|&tick| number(tick)).collect();
            texts.dedup();
            assert_eq!(texts.len(), ticks.len(), "{texts:?}");
        }
    }

    #[test]
    fn positions_follow_the_axis() {
        let scale = Scale::new(1.0, 100.0, true);
        assert!((scale.at(10.0) - 0.5).abs() < 1e-12);
        assert_eq!((scale.at(0.0), scale.at(1e9), scale.at(f64::NAN)), (-1.0, 2.0, 0.0));
        assert!(!Scale::new(0.0, 1.0, true).is_log(), "zero has no logarithm");
        assert!(Scale::around([1e-6, 1e-3], 1.5).is_log());
        assert_eq!(Scale::around([], 1.0), Scale::new(0.0, 1.0, false));
    }
}
