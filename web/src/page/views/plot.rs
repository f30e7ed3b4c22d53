//! A plot over diffusion time, as SVG with the colours of the page.

use leptos::prelude::*;
use vdm::axis::Axis;
use web_sys::PointerEvent;

use crate::page::components::dragged;
use crate::page::lang::words;
use crate::plot::Frame;

const FRAME: Frame = Frame { width: 360.0, height: 240.0, left: 48.0, right: 16.0, top: 12.0, bottom: 40.0 };

/// A line of a plot.
#[derive(Clone)]
pub(super) struct Line {
    /// Its label; empty for a single line.
    pub(super) name: &'static str,
    /// Its points.
    pub(super) points: Vec<(f64, f64)>,
}

/// Lines over t ∈ [0, 1], with a mark at a time.
#[component]
pub(super) fn Plot(
    testid: &'static str,
    /// The plot in words.
    #[prop(into)]
    description: Signal<String>,
    lines: Vec<Line>,
    vertical: Axis,
    /// The text of a tick on the vertical axis.
    label: fn(&Axis, f64) -> String,
    /// The time of the mark, and the value of each line there.
    #[prop(into)]
    mark: Signal<(f64, Vec<f64>)>,
    /// Takes the time to which the mark is dragged; it stays where it is without.
    #[prop(optional, into)]
    on_drag: Option<Callback<f64>>,
) -> impl IntoView {
    let time = Axis::unit();
    let (left, right, bottom) = (FRAME.left, FRAME.width - FRAME.right, FRAME.height - FRAME.bottom);
    let rows = vertical.ticks.iter().map(|&tick| {
        let y = FRAME.y(&vertical, tick);
        view! {
            <line class="plot-grid" x1=left x2=right y1=y y2=y />
            <text class="plot-row" x=left - 6.0 y=y + 4.0>
                {label(&vertical, tick)}
            </text>
        }
    });
    let columns = time.ticks.iter().map(|&tick| {
        view! {
            <text class="plot-column" x=FRAME.x(&time, tick) y=bottom + 18.0>
                {words().lang.decimal(tick, time.decimals)}
            </text>
        }
    });
    let paths = lines.iter().enumerate().map(|(i, line)| {
        // A label is at the start of its line, above or below it, inside the frame.
        let start = line.points.first().copied().unwrap_or_default();
        let offset = if vertical.share(start.1) > 0.5 { 18.0 } else { -10.0 };
        view! {
            <path class=format!("plot-line plot-line-{i}") d=FRAME.line(&time, &vertical, &line.points) />
            <text class="plot-name" x=left + 8.0 y=FRAME.y(&vertical, start.1) + offset>
                {line.name}
            </text>
        }
    });
    let (rows, columns, paths) = (rows.collect_view(), columns.collect_view(), paths.collect_view());
    let (at, dots) = (time.clone(), lines.len());
    let mark_x = move || mark.with(|(t, _)| FRAME.x(&at, *t));
    let dots = (0..dots).map(|i| {
        let (time, vertical) = (time.clone(), vertical.clone());
        let x = move || mark.with(|(t, _)| FRAME.x(&time, *t));
        let y = move || mark.with(|(_, values)| values.get(i).map(|&value| FRAME.y(&vertical, value)));
        view! { <circle class=format!("plot-dot plot-line-{i}") r="5" cx=x cy=y /> }
    });
    let dots = dots.collect_view();
    let drag = move |event: PointerEvent| {
        if let Some((on_drag, across)) = on_drag.zip(dragged(&event)) {
            on_drag.run(FRAME.share(across).clamp(0.0, 1.0));
        }
    };
    view! {
        <svg
            class="plot"
            class:drag=on_drag.is_some()
            on:pointerdown=drag
            on:pointermove=drag
            data-testid=testid
            role="img"
            aria-label=move || description.get()
            viewBox=format!("0 0 {} {}", FRAME.width, FRAME.height)
        >
            {rows}
            {columns}
            <line class="plot-mark" x1=mark_x.clone() x2=mark_x y1=FRAME.top y2=bottom />
            {paths}
            {dots}
            <text class="plot-column" x=(left + right) / 2.0 y=FRAME.height - 4.0>
                {words().learning.schedule.axis_time}
            </text>
        </svg>
    }
}
