//! Numbers and text as the program's outputs write them.

use std::time::Duration;

/// A number to four digits.
pub fn four_digits(value: f64) -> String {
    let magnitude = value.abs();
    if value == 0.0 {
        return "0".to_owned();
    }
    if !(1e-3..1e6).contains(&magnitude) {
        return format!("{value:.3e}");
    }
    let digits = (3 - magnitude.log10().floor() as i32).max(0) as usize;
    format!("{value:.digits$}")
}

/// A number in at most about seven characters: `0.8123`, `1.2e-6`, `12k`.
pub fn number(value: f64) -> String {
    match four_digits(value).split_once('e') {
        Some((mantissa, exponent)) => format!("{}e{exponent}", tidy(mantissa)),
        None => tidy(&four_digits(value)).to_owned(),
    }
}

/// A step or another count on an axis: `500`, `12k`, `1.5M`.
pub fn count(value: f64) -> String {
    match value.abs() {
        v if v >= 1e6 => format!("{}M", tidy(&format!("{:.3}", value / 1e6))),
        v if v >= 1e4 => format!("{}k", tidy(&format!("{:.3}", value / 1e3))),
        _ => tidy(&format!("{value:.2}")).to_owned(),
    }
}

/// Without trailing zeros of the decimals.
fn tidy(text: &str) -> &str {
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { text }
}

/// `5025 s` → `1h 23m 45s`.
pub fn duration(time: Duration) -> String {
    humantime::format_duration(Duration::from_secs(time.as_secs())).to_string()
}

/// Text as HTML, in content or in an attribute with double quotes.
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            // HTML does not allow it anywhere.
            c if c.is_control() && !matches!(c, '\n' | '\t') => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_four_digits() {
        let found = [0.0, 0.79614, 12.3456, -3.2, 123_456.0, 4.47e-7].map(four_digits);
        assert_eq!(found, ["0", "0.7961", "12.35", "-3.200", "123456", "4.470e-7"]);
    }

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
}
