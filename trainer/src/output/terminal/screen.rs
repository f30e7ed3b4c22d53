//! The live lines as cells, as many as the terminal has room for.

use ratatui::buffer::Buffer;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::symbols::Marker;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Axis, Chart, Dataset, GraphType, LineGauge, Paragraph, Widget};
use vdm::diffusion::terms::Terms;

use super::memory::in_words;
use super::state::State;
use crate::output::text::duration;
use crate::run::log::ValidationLog;

/// Styles by meaning.
#[derive(Clone, Copy)]
pub struct Colours {
    training: Style,
    validation: Style,
    label: Style,
}

impl Colours {
    /// Eight-colour names, which follow the terminal's own theme.
    pub const USUAL: Self = Self {
        training: Style::new().fg(Color::Cyan),
        validation: Style::new().fg(Color::Yellow),
        label: Style::new().add_modifier(Modifier::DIM),
    };
    /// None at all.
    pub const NONE: Self = Self { training: Style::new(), validation: Style::new(), label: Style::new() };
}

/// Columns that the table of terms needs.
const TABLE_COLUMNS: u16 = 68;
/// Columns that the chart needs, and its minimum and maximum of rows.
const CHART_COLUMNS: u16 = 40;
const CHART_ROWS: std::ops::RangeInclusive<u16> = 5..=9;

/// The live lines for a terminal of this size: at least one, and fewer than the terminal has.
pub fn render(state: &State, columns: u16, rows: u16, colours: Colours) -> Buffer {
    // After a line that fills the last column, terminals differ in where the cursor is.
    let width = columns.saturating_sub(1).max(1);
    // Without the cursor's line and one line of earlier output.
    let room = rows.saturating_sub(2).max(1);
    let wide = width >= TABLE_COLUMNS;
    let mut lines: Vec<Line<'_>> = Vec::new();
    let gauge = lines.len() as u16;
    lines.push(Line::default());
    if room >= 4 {
        lines.extend(facts(state, wide, colours));
    }
    let table = if wide { table(state, colours) } else { terms(state, colours) };
    if room >= lines.len() as u16 + table.len() as u16 {
        lines.extend(table);
    }
    let text_rows = lines.len() as u16;
    let spare = room.saturating_sub(text_rows);
    let chart_rows =
        if width >= CHART_COLUMNS && spare >= *CHART_ROWS.start() { spare.min(*CHART_ROWS.end()) } else { 0 };

    let area = Rect::new(0, 0, width, text_rows + chart_rows);
    let mut buffer = Buffer::empty(area);
    let [text, chart] = Layout::vertical([Constraint::Length(text_rows), Constraint::Length(chart_rows)]).areas(area);
    Paragraph::new(lines).render(text, &mut buffer);
    draw_gauge(state, colours, Rect { y: gauge, height: 1, ..text }, &mut buffer);
    if chart_rows > 0 {
        draw_chart(state, colours, chart, &mut buffer);
    }
    buffer
}

fn draw_gauge(state: &State, colours: Colours, area: Rect, buffer: &mut Buffer) {
    let ratio = state.ratio();
    let label = format!("{}/{} {:>3.0} %", state.step, state.total_steps, (ratio * 100.0).floor());
    LineGauge::default()
        .ratio(ratio)
        .label(Span::styled(label, Style::new().add_modifier(Modifier::BOLD)))
        .filled_symbol("█")
        .unfilled_symbol("░")
        .filled_style(colours.training)
        .unfilled_style(colours.label)
        .render(area, buffer);
}

/// Label and value pairs with space between.
fn pairs<'a>(pairs: impl IntoIterator<Item = (&'static str, String)>, colours: Colours) -> Line<'a> {
    let mut spans = Vec::new();
    for (label, value) in pairs.into_iter().filter(|(_, value)| !value.is_empty()) {
        if !spans.is_empty() {
            spans.push(Span::raw("   "));
        }
        if !label.is_empty() {
            spans.push(Span::styled(format!("{label} "), colours.label));
        }
        spans.push(Span::raw(value));
    }
    Line::from(spans)
}

fn facts<'a>(state: &State, wide: bool, colours: Colours) -> Vec<Line<'a>> {
    let facts = &state.facts;
    let elapsed = duration(state.elapsed());
    let left = state.left().map_or_else(String::new, duration);
    let memory = format!("{} (peak {})", in_words(state.memory.current), in_words(state.memory.peak));
    let rate = state.last.map_or_else(String::new, |last| format!("{:.0} images/s", last.images_per_second));
    let learning_rate = state.last.map_or_else(String::new, |last| format!("{:.2e}", last.learning_rate));
    let gradient = state.last.map_or_else(String::new, |last| format!("{:.4}", last.gradient_norm));
    let bold = Style::new().add_modifier(Modifier::BOLD);
    let mut lines = if wide {
        vec![
            pairs(
                [
                    ("preset", facts.preset.clone()),
                    ("on", facts.device.clone()),
                    ("in", facts.folder.clone()),
                    ("", format!("{} images, batch {}", facts.images, facts.batch)),
                ],
                colours,
            ),
            pairs([("elapsed", elapsed), ("left", left), ("", rate), ("memory", memory)], colours),
            pairs([("learning rate", learning_rate), ("gradient norm", gradient)], colours),
        ]
    } else {
        vec![
            pairs([("", facts.preset.clone()), ("on", facts.device.clone())], colours),
            pairs([("left", left), ("", rate), ("", in_words(state.memory.current))], colours),
        ]
    };
    if !state.activity.is_empty()
        && let Some(line) = lines.last_mut()
    {
        line.spans.push(Span::styled(format!("   {} …", state.activity), bold));
    }
    lines
}

/// The three terms and their sum, of training, of each series of validations, and the best.
fn table<'a>(state: &State, colours: Colours) -> Vec<Line<'a>> {
    let mut lines = Vec::new();
    let header = format!("{:<16}{:>14}{:>10}{:>11}{:>9}", "bits/dim", "reconstruction", "latent", "diffusion", "total");
    lines.push(Line::styled(header, colours.label));
    if let Some(last) = &state.last {
        lines.push(Line::from(vec![
            Span::styled(format!("{:<16}", "training"), colours.training),
            values(&last.terms, last.terms.total()),
        ]));
    }
    for validation in &state.validations {
        let name = if validation.is_of_weights() { "validation" } else { &validation.series };
        lines.push(validation_row(name, validation, colours));
    }
    if let Some(best) = &state.best {
        let name = if best.is_of_weights() { "best".to_owned() } else { format!("best {}", best.series) };
        lines.push(validation_row(&name, best, colours));
    }
    lines
}

fn values<'a>(terms: &Terms<f64>, total: f64) -> Span<'a> {
    let Terms { reconstruction, latent, diffusion, .. } = terms;
    Span::raw(format!("{reconstruction:>14.4}{latent:>10.1e}{diffusion:>11.5}{total:>9.4}"))
}

fn validation_row<'a>(name: &str, v: &ValidationLog, colours: Colours) -> Line<'a> {
    Line::from(vec![
        Span::styled(format!("{name:<16.16}"), colours.validation),
        values(&v.terms, v.total),
        Span::styled(format!(" ± {:.4} at {}", v.standard_error, v.step), colours.label),
    ])
}

/// The totals alone, where the table has no room.
fn terms<'a>(state: &State, colours: Colours) -> Vec<Line<'a>> {
    let mut lines = Vec::new();
    if let Some(last) = &state.last {
        lines.push(Line::from(vec![
            Span::styled("training ", colours.training),
            Span::raw(format!("{:.4} bits/dim", last.terms.total())),
        ]));
    }
    if let (Some(validation), Some(best)) = (state.validations.first(), &state.best) {
        lines.push(Line::from(vec![
            Span::styled("validation ", colours.validation),
            Span::raw(format!("{:.4}, best {:.4}", validation.total, best.total)),
        ]));
    }
    lines
}

/// Totals of training and validation against steps.
fn draw_chart(state: &State, colours: Colours, area: Rect, buffer: &mut Buffer) {
    let [title, plot] = Layout::vertical([Constraint::Length(1), Constraint::Fill(1)]).areas(area);
    Line::from(vec![
        Span::styled("total, bits/dim: ", colours.label),
        Span::styled("⣀⠤⠒ training", colours.training),
        Span::raw("  "),
        Span::styled("• validation", colours.validation),
    ])
    .render(title, buffer);

    let (training, validation) = (state.training_totals.means(), state.validation_totals.means());
    let [low, high] = bounds(&training, &validation);
    // Outliers are drawn at the edge.
    let inside = |points: Vec<(f64, f64)>| -> Vec<(f64, f64)> {
        points.into_iter().map(|(step, value)| (step, value.clamp(low, high))).collect()
    };
    let (training, validation) = (inside(training), inside(validation));
    let first = training.iter().chain(&validation).map(|p| p.0).fold(f64::INFINITY, f64::min);
    let last = (state.step as f64).max(1.0);
    let first = if first.is_finite() { first.min(last - 1.0) } else { 0.0 };
    let labels = [low, (low + high) / 2.0, high].map(|value| Span::styled(format!("{value:.4}"), colours.label));
    let steps = [first, last].map(|value| Span::styled(format!("{value:.0}"), colours.label));
    let line = |points, style| {
        Dataset::default().marker(Marker::Braille).graph_type(GraphType::Line).style(style).data(points)
    };
    let dots = Dataset::default()
        .marker(Marker::Dot)
        .graph_type(GraphType::Scatter)
        .style(colours.validation)
        .data(&validation);
    Chart::new(vec![line(&training, colours.training), dots])
        .x_axis(Axis::default().style(colours.label).bounds([first, last]).labels(steps))
        .y_axis(Axis::default().style(colours.label).bounds([low, high]).labels(labels))
        .legend_position(None)
        .render(plot, buffer);
}

/// The range of the totals without the first tenth of each line, which is far above the rest.
fn bounds(training: &[(f64, f64)], validation: &[(f64, f64)]) -> [f64; 2] {
    let later = |points: &[(f64, f64)]| points[points.len() / 10..].iter().map(|p| p.1).collect::<Vec<_>>();
    let values: Vec<f64> = later(training).into_iter().chain(later(validation)).collect();
    let low = values.iter().copied().fold(f64::INFINITY, f64::min);
    let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if values.is_empty() {
        return [0.0, 1.0];
    }
    let margin = ((high - low) * 0.05).max(high.abs() * 1e-4).max(1e-9);
    [low - margin, high + margin]
}
