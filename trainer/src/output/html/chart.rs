//! Line charts as inline SVG, each with its numbers as text and as a table.

use std::fmt::Write;

use vdm::axis::{Axis, evenly};

use crate::output::text::{count, escape, number};

/// A line on a chart.
#[derive(Clone, Debug, Default)]
pub struct Series {
    /// What it is.
    pub name: String,
    /// Its CSS class, which gives it its colour.
    pub class: String,
    /// x and y.
    pub line: Vec<(f64, f64)>,
    /// x, low and high of an area around it; may be empty.
    pub band: Vec<(f64, f64, f64)>,
    /// Whether each point has a mark.
    pub marked: bool,
    /// Whether the text and the table below the chart include it.
    pub in_words: bool,
}

/// A chart.
#[derive(Clone, Debug)]
pub struct Chart<'a> {
    /// Its heading.
    pub title: &'a str,
    /// What it shows, in a sentence.
    pub about: &'a str,
    /// The unit of y.
    pub unit: &'a str,
    /// What x is.
    pub x: &'a str,
    /// Decades that the values must span for a logarithmic axis; infinite for a linear axis that holds all values.
    pub decades: f64,
    /// An axis on the right: its name, and what y is multiplied by.
    pub right: Option<(&'a str, f64)>,
    /// The lines.
    pub series: Vec<Series>,
}

/// Of the image of a chart, in pixels.
pub const WIDTH: f64 = 460.0;
/// Of the image of a chart, in pixels.
pub const HEIGHT: f64 = 270.0;
const LEFT: f64 = 76.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 42.0;
/// Ticks of an axis, about.
const TICKS: usize = 5;
/// Lines of more points have no marks.
const MAX_MARKS: usize = 60;
/// Rows of the table for one line of a chart.
const TABLE_ROWS: usize = 9;

impl Chart<'_> {
    /// The chart as a `figure`, or a sentence if there are no values.
    pub fn render(&self) -> String {
        let mut html = format!("<figure class=\"card\"><h3>{}</h3>", escape(self.title));
        if self.series.iter().all(|series| series.line.is_empty()) {
            html.push_str("<p class=\"missing\">The log holds no values of it.</p></figure>\n");
            return html;
        }
        html.push_str(&self.svg(""));
        html.push_str(&self.legend());
        let _ = write!(html, "<figcaption>{}</figcaption>", escape(self.about));
        html.push_str(&self.table());
        html.push_str("</figure>\n");
        html
    }

    /// Axes that hold all lines. A linear one leaves out the start of a line, which is far above the rest.
    fn scales(&self) -> (Axis, Axis) {
        let steps = || self.series.iter().flat_map(|series| series.line.iter().map(|p| p.0));
        let (first, last) = steps().fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), x| (a.min(x), b.max(x)));
        let half = if first < last { 0.0 } else { 0.5 };
        let x = Axis::within(first - half, last + half, TICKS);
        let lines = || self.series.iter().flat_map(|series| series.line.iter().copied());
        let y = Axis::around(lines().map(|p| p.1), self.decades, TICKS);
        if y.is_log || self.decades.is_infinite() {
            return (x, y);
        }
        let settled = first + 0.05 * (last - first);
        // Without the extremes of the bands: a single step may be far off.
        let bands = self.series.iter().flat_map(|series| {
            let band = || series.band.iter().filter(|band| band.0 >= settled);
            [quantile(band().map(|b| b.1), 0.02), quantile(band().map(|b| b.2), 0.98)].into_iter().flatten()
        });
        let later = lines().filter(|p| p.0 >= settled).map(|p| p.1).chain(bands);
        (x, Axis::around(later, f64::INFINITY, TICKS))
    }

    /// The chart as an `svg` element with further attributes, without title and legend.
    pub fn svg(&self, attributes: &str) -> String {
        let (x, y) = self.scales();
        let right = if self.right.is_some() { 60.0 } else { 14.0 };
        let (width, height) = (WIDTH - LEFT - right, HEIGHT - TOP - BOTTOM);
        let at_x = |value: f64| x.share(value) * width;
        let at_y = |value: f64| (1.0 - y.share(value)) * height;
        let mut svg = format!(
            "<svg {attributes} viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{}\">",
            escape(&format!("Chart. {}: {} {}", self.title, self.about, self.words()))
        );
        let _ = write!(svg, "<g transform=\"translate({LEFT} {TOP})\">");
        for &tick in &y.ticks {
            let at = at_y(tick);
            let _ = write!(
                svg,
                "<line class=\"grid\" x2=\"{width}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/>\
                 <text class=\"end\" x=\"-8\" y=\"{:.1}\">{}</text>",
                at + 4.0,
                number(tick)
            );
        }
        for &tick in &x.ticks {
            let at = at_x(tick);
            let _ = write!(
                svg,
                "<line class=\"grid\" x1=\"{at:.1}\" x2=\"{at:.1}\" y2=\"{height}\"/>\
                 <text class=\"middle\" x=\"{at:.1}\" y=\"{:.1}\">{}</text>",
                height + 17.0,
                count(tick)
            );
        }
        if let Some((name, factor)) = self.right {
            let other = Axis::within(y.min * factor, y.max * factor, TICKS);
            for &tick in &other.ticks {
                let at = (1.0 - other.share(tick)) * height + 4.0;
                let _ = write!(svg, "<text x=\"{:.1}\" y=\"{at:.1}\">{}</text>", width + 8.0, number(tick));
            }
            let _ = write!(
                svg,
                "<text class=\"middle name\" transform=\"translate({:.1} {:.1}) rotate(90)\">{}</text>",
                width + 50.0,
                height / 2.0,
                escape(name)
            );
        }
        let unit = if y.is_log { format!("{}, log scale", self.unit) } else { self.unit.to_owned() };
        let _ = write!(
            svg,
            "<text class=\"middle name\" x=\"{:.1}\" y=\"{:.1}\">{}</text>\
             <text class=\"middle name\" transform=\"translate(-62 {:.1}) rotate(-90)\">{}</text>",
            width / 2.0,
            height + 36.0,
            escape(self.x),
            height / 2.0,
            escape(&unit)
        );
        // A nested image clips to the axes; 4 more pixels keep marks at the edge whole.
        let _ = write!(
            svg,
            "<svg x=\"-4\" y=\"-4\" width=\"{0}\" height=\"{1}\" viewBox=\"-4 -4 {0} {1}\">",
            width + 8.0,
            height + 8.0
        );
        for series in &self.series {
            let class = escape(&series.class);
            if series.band.len() > 1 {
                let high = series.band.iter().map(|b| (at_x(b.0), at_y(b.2)));
                let low = series.band.iter().rev().map(|b| (at_x(b.0), at_y(b.1)));
                let _ = write!(svg, "<polygon class=\"band {class}\" points=\"{}\"/>", points(high.chain(low)));
            }
        }
        for series in &self.series {
            let class = escape(&series.class);
            let line = series.line.iter().map(|p| (at_x(p.0), at_y(p.1)));
            if series.line.len() > 1 {
                let _ = write!(svg, "<polyline class=\"line {class}\" points=\"{}\"/>", points(line.clone()));
            }
            if series.line.len() == 1 || (series.marked && series.line.len() <= MAX_MARKS) {
                for ((px, py), (step, value)) in line.zip(&series.line) {
                    let _ = write!(
                        svg,
                        "<circle class=\"mark {class}\" cx=\"{px:.1}\" cy=\"{py:.1}\" r=\"2.5\">\
                         <title>{}</title></circle>",
                        escape(&format!("{}, {} {}: {}", series.name, self.x, count(*step), number(*value)))
                    );
                }
            }
        }
        svg.push_str("</svg></g></svg>");
        svg
    }

    fn legend(&self) -> String {
        let mut html = String::from("<ul class=\"legend\">");
        for series in self.series.iter().filter(|series| !series.line.is_empty()) {
            let _ = write!(
                html,
                "<li><svg class=\"key\" viewBox=\"0 0 18 8\" aria-hidden=\"true\">\
                 <line class=\"line {}\" x2=\"18\" y1=\"4\" y2=\"4\"/></svg> {}</li>",
                escape(&series.class),
                escape(&series.name)
            );
        }
        html.push_str("</ul>");
        html
    }

    /// The first, last and lowest values of each line.
    fn words(&self) -> String {
        let mut text = String::new();
        for series in self.series.iter().filter(|series| series.in_words) {
            let (Some(first), Some(last)) = (series.line.first(), series.line.last()) else { continue };
            let lowest = series.line.iter().min_by(|a, b| a.1.total_cmp(&b.1)).unwrap_or(last);
            let (name, x) = (capital(&series.name), self.x);
            let _ = write!(text, "{name}: {} at {x} {}", number(first.1), count(first.0));
            if series.line.len() > 1 {
                let _ = write!(
                    text,
                    ", {} at {x} {}, lowest {} at {x} {}",
                    number(last.1),
                    count(last.0),
                    number(lowest.1),
                    count(lowest.0)
                );
            }
            text.push_str(". ");
        }
        text.trim_end().to_owned()
    }

    fn table(&self) -> String {
        let banded = self.series.iter().any(|series| series.in_words && !series.band.is_empty());
        let mut html = format!(
            "<details><summary>Numbers</summary><p>{4}</p><div class=\"scroll\" tabindex=\"0\" role=\"region\" \
             aria-label=\"Table: {0}\"><table><caption>{0}, {1}</caption><thead><tr><th scope=\"col\">line</th>\
             <th scope=\"col\">{2}</th><th scope=\"col\">value</th>{3}</tr></thead><tbody>",
            escape(self.title),
            escape(self.unit),
            escape(self.x),
            if banded { "<th scope=\"col\">from</th><th scope=\"col\">to</th>" } else { "" },
            escape(&self.words())
        );
        for series in self.series.iter().filter(|series| series.in_words) {
            for index in evenly(series.line.len(), TABLE_ROWS) {
                let (step, value) = series.line[index];
                let _ = write!(
                    html,
                    "<tr><th scope=\"row\">{}</th><td>{}</td><td>{}</td>",
                    escape(&series.name),
                    count(step),
                    number(value)
                );
                match series.band.get(index).filter(|_| banded) {
                    Some((_, low, high)) => {
                        let _ = write!(html, "<td>{}</td><td>{}</td>", number(*low), number(*high));
                    }
                    None if banded => html.push_str("<td></td><td></td>"),
                    None => {}
                }
                html.push_str("</tr>");
            }
        }
        html.push_str("</tbody></table></div></details>");
        html
    }
}

/// A quantile of the finite values, if there are any.
fn quantile(values: impl Iterator<Item = f64>, part: f64) -> Option<f64> {
    let mut values: Vec<f64> = values.filter(|value| value.is_finite()).collect();
    values.sort_by(f64::total_cmp);
    values.get((values.len().saturating_sub(1) as f64 * part).round() as usize).copied()
}

fn points(points: impl Iterator<Item = (f64, f64)>) -> String {
    let mut text = String::new();
    for (x, y) in points {
        let _ = write!(text, "{x:.1},{y:.1} ");
    }
    text.truncate(text.trim_end().len());
    text
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}
