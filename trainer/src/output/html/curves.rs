//! The charts of a run, from its logs.

use std::fmt::Write;

use vdm::axis::{Thinned, evenly};

use super::chart::{Chart, HEIGHT, Series, WIDTH};
use super::logs::{ScheduleLine, Training, ValidationLine, Validations};
use crate::output::text::escape;

/// Decades from which a loss is drawn on a logarithmic axis.
const DECADES: f64 = 1.3;
/// Curves of γ(t) on one chart.
const CURVES: usize = 6;
/// Decibels of SNR that one unit of γ = −ln SNR takes away.
const DECIBELS: f64 = -10.0 * std::f64::consts::LOG10_E;

type Term = fn(&ValidationLine) -> Option<f64>;

/// The total and its three terms, of training and validation.
pub fn losses(training: &Training, validations: &Validations) -> Vec<Chart<'static>> {
    let total: Term = |line| Some(line.total);
    let panels: [(&str, &str, &Thinned, Term); 4] = [
        ("Total", "The variational bound, the sum of the three terms below.", &training.total, total),
        ("Reconstruction", "The bits that the decoder needs for the pixels.", &training.terms.reconstruction, |line| {
            line.terms.reconstruction
        }),
        ("Diffusion", "The cost of the noise prediction, over all times.", &training.terms.diffusion, |line| {
            line.terms.diffusion
        }),
        ("Latent", "How far the noisiest latent is from pure noise.", &training.terms.latent, |line| line.terms.latent),
    ];
    let chart = |(title, about, values, term)| {
        let mut series = of_training(values);
        for (number, (name, lines)) in validations.iter().enumerate() {
            let with_error = title == "Total";
            series.push(of_validation(name, number, validations.len(), lines, term, with_error));
        }
        chart(title, about, "bits/dim", series)
    };
    panels.map(chart).to_vec()
}

/// The charts of the losses as one SVG image, in the light colours of the report.
pub fn losses_svg(charts: &[Chart<'_>]) -> String {
    const TITLE: f64 = 28.0;
    const LINE: f64 = 16.0;
    let lines = charts.iter().map(|chart| chart.series.len()).max().unwrap_or(0);
    let top = TITLE + LINE * lines as f64;
    let rows = charts.len().div_ceil(2) as f64;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {} {}\"><style>{}</style>\
         <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>",
        2.0 * WIDTH,
        rows * (top + HEIGHT),
        light_style()
    );
    for (number, chart) in charts.iter().enumerate() {
        let (x, y) = ((number % 2) as f64 * WIDTH, (number / 2) as f64 * (top + HEIGHT));
        let _ = write!(
            svg,
            "<g transform=\"translate({} {})\"><text font-weight=\"bold\">{}</text>",
            x + 16.0,
            y + 20.0,
            chart.title
        );
        for (line, series) in chart.series.iter().enumerate() {
            let (y, class, name) = (LINE * (line + 1) as f64, escape(&series.class), escape(&series.name));
            let _ = write!(
                svg,
                "<line class=\"line {class}\" x2=\"18\" y1=\"{0}\" y2=\"{0}\"/><text x=\"24\" y=\"{y}\">{name}</text>",
                y - 4.0
            );
        }
        svg += "</g>";
        svg += &chart.svg(&format!("x=\"{x}\" y=\"{}\" width=\"{WIDTH}\" height=\"{HEIGHT}\"", y + top));
    }
    svg + "</svg>\n"
}

/// The report's style of charts, with the values of its colour variables, which few programs know in SVG.
fn light_style() -> String {
    let css = include_str!("style.css");
    let rules = css.lines().filter(|line| line.starts_with("svg ")).collect::<Vec<_>>().join("\n");
    let colours = css.split('}').next().unwrap_or_default().split(';').filter_map(|entry| entry.split_once(": "));
    colours.fold(rules, |rules, (name, colour)| {
        rules.replace(&format!("var({})", name.rsplit([' ', '\n']).next().unwrap_or_default()), colour)
    })
}

/// The paper's two auxiliary losses.
pub fn auxiliary(training: &Training) -> String {
    let of = |title, about, unit, values| chart(title, about, unit, of_training(values)).render();
    let mse = "Mean squared error of the decoder's mean, of grey values in [0, 1].";
    let difference = "Mean squared error of differences between neighbouring pixels.";
    of("Mean squared error", mse, "squared grey value", &training.terms.mse)
        + &of("Gradient difference", difference, "squared grey value", &training.terms.gradient_difference)
}

/// What the optimizer did.
pub fn optimization(training: &Training) -> String {
    let of = |title, about, unit, values| chart(title, about, unit, of_training(values)).render();
    let rate = Series { line: training.learning_rate.means(), in_words: true, ..of_name("learning rate", "training") };
    let rate = chart("Learning rate", "Of each step, with warmup and decay.", "learning rate", vec![rate]);
    let rate = Chart { decades: f64::INFINITY, ..rate };
    rate.render()
        + &of("Gradient norm", "Before clipping.", "nats/pixel", &training.gradient_norm)
        + &of("Speed", "Training images per second.", "images/s", &training.images_per_second)
}

/// γ(t) at several steps of the training, the last of them bold.
pub fn schedule(lines: &[ScheduleLine]) -> String {
    let chosen = evenly(lines.len(), CURVES);
    let mut series = Vec::new();
    for (number, &index) in chosen.iter().enumerate() {
        let ScheduleLine { step, gamma } = &lines[index];
        let last = number + 1 == chosen.len();
        let class = if last { "gamma final".to_owned() } else { format!("gamma early{}", number.min(4)) };
        let t = |i: usize| i as f64 / (gamma.len() - 1) as f64;
        series.push(Series {
            name: if last { format!("step {step} (last)") } else { format!("step {step}") },
            class,
            line: gamma.iter().enumerate().map(|(i, &gamma)| (t(i), gamma)).collect(),
            in_words: last,
            ..Series::default()
        });
    }
    let chart = Chart {
        title: "Noise schedule γ(t)",
        about: "γ = −ln SNR against the diffusion time t: it rises from the least noisy to the noisiest latent. \
                The steeper the curve, the fewer times are drawn near that noise.",
        unit: "γ(t)",
        x: "t",
        decades: f64::INFINITY,
        right: Some(("SNR, dB", DECIBELS)),
        series,
    };
    chart.render()
}

fn chart<'a>(title: &'a str, about: &'a str, unit: &'a str, series: Vec<Series>) -> Chart<'a> {
    Chart { title, about, unit, x: "step", decades: DECADES, right: None, series }
}

fn of_name(name: &str, class: &str) -> Series {
    Series { name: name.to_owned(), class: class.to_owned(), ..Series::default() }
}

/// Every step in pale, as a line or as the range of several steps, and a smoothed line.
fn of_training(values: &Thinned) -> Vec<Series> {
    let buckets = values.buckets();
    if buckets.is_empty() {
        return Vec::new();
    }
    let raw = if buckets.iter().all(|bucket| bucket.count == 1) {
        Series { line: values.means(), ..of_name("training, each step", "training raw") }
    } else {
        let steps = buckets.iter().map(|bucket| bucket.count).max().unwrap_or(1);
        Series {
            band: buckets.iter().map(|bucket| (bucket.step, bucket.min, bucket.max)).collect(),
            line: values.means(),
            ..of_name(&format!("training, {steps} steps: mean and range"), "training raw")
        }
    };
    vec![raw, Series { line: values.smooth(), in_words: true, ..of_name("training, smoothed", "training") }]
}

fn of_validation(
    name: &str,
    number: usize,
    of: usize,
    lines: &[ValidationLine],
    term: Term,
    with_error: bool,
) -> Series {
    let finite = |line: &ValidationLine| Some((line.step as f64, term(line).filter(|v| v.is_finite())?));
    let band = |line: &ValidationLine| {
        let (step, value) = finite(line)?;
        let error = line.standard_error.filter(|error| error.is_finite()).unwrap_or(0.0);
        Some((step, value - error, value + error))
    };
    let mut title = if of == 1 && name == "weights" { "validation".to_owned() } else { format!("validation, {name}") };
    if with_error {
        title.push_str(" ± 1 standard error");
    }
    Series {
        line: lines.iter().filter_map(finite).collect(),
        band: if with_error { lines.iter().filter_map(band).collect() } else { Vec::new() },
        marked: true,
        in_words: true,
        ..of_name(&title, &format!("validation{}", number.min(3)))
    }
}
