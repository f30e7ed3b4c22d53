//! The noise schedule of the weights in use, as plots.

use leptos::prelude::*;
use vdm::axis::Axis;
use vdm::config::ScheduleKind;
use vdm::diffusion::schedule::NoiseSchedule;

use super::plot::{Line, Plot};
use super::shared::{Intro, figure, figure_of_time, plain};
use crate::learning::{NoiseAt, running_time};
use crate::page::components::{Fact, Slider, ViewHeading, heading_id};
use crate::page::controller::Controller;
use crate::page::lang::words;
use crate::page::state::PageState;
use crate::plot::{curve, power_of_ten};
use crate::text::fill;

/// Enough for a smooth curve on a projector.
const INTERVALS: u32 = 120;
/// The approximate number of ticks on a vertical axis.
const TICKS: usize = 6;

/// γ(t), SNR(t), and the shares of image and noise.
#[component]
pub(super) fn Schedule(controller: Controller, state: PageState) -> impl IntoView {
    let session = controller.session;
    let words = &words().learning.schedule;
    let schedule = Memo::new(move |_| {
        session.with(|session| {
            session.model.as_ref().map(|model| (model.schedule.clone(), model.config.schedules()[0].kind))
        })
    });
    let running = Memo::new(move |_| session.with(running_time));
    let t = Memo::new(move |_| running.get().unwrap_or_else(|| state.learning.schedule_t.get()));
    let drawn = move || match schedule.get() {
        Some((schedule, kind)) => view! {
            <Plots schedule=schedule.clone() t on_drag=move |t| state.learning.schedule_t.set(t) />
            <About schedule kind t />
        }
        .into_any(),
        None => view! { <p class="card">{words.no_model}</p> }.into_any(),
    };
    view! {
        <section class="view learning" aria-labelledby=heading_id()>
            <ViewHeading text=words.title />
            <Intro paragraphs=vec![words.intro, words.intro_more] />
            <div class="card">
                <Slider
                    id="schedule-t"
                    label=words.time
                    max=1.0
                    step=0.01
                    value=t
                    value_text=Signal::derive(move || figure_of_time(t.get()))
                    on_input=move |t| state.learning.schedule_t.set(t)
                />
                <p class="hint">
                    {move || match running.get() {
                        Some(t) => fill(words.running, &[("t", &figure_of_time(t))]),
                        None => words.not_running.to_owned(),
                    }}
                </p>
            </div>
            {drawn}
        </section>
    }
}

#[component]
fn Plots(schedule: NoiseSchedule, t: Memo<f64>, #[prop(into)] on_drag: Callback<f64>) -> impl IntoView {
    let words = &words().learning.schedule;
    let schedule = StoredValue::new(schedule);
    let gamma = move |t| schedule.with_value(|schedule| schedule.gamma(t));
    let noise = move |t| schedule.with_value(|schedule| NoiseAt::new(schedule, t));
    let (first, last) = (gamma(0.0), gamma(1.0));
    let exponent = |gamma: f64| -gamma / std::f64::consts::LN_10;
    let describe = move |what: &'static str, value: fn(NoiseAt) -> f64| {
        Signal::derive(move || {
            let [start, end, here] = [0.0, 1.0, t.get()].map(|t| figure(value(noise(t)), 2));
            let values = [("what", what), ("start", &start), ("end", &end), ("value", &here)];
            fill(&fill(words.description, &values), &[("t", &figure_of_time(t.get()))])
        })
    };
    let line = |name, value: &dyn Fn(f64) -> f64| Line { name, points: curve(INTERVALS, value) };
    view! {
        <div class="plots">
            <PlotCard title=words.gamma_title hint=words.gamma_hint>
                <Plot
                    testid="schedule-gamma-plot"
                    on_drag
                    description=describe(words.gamma_title, |at| at.gamma)
                    lines=vec![line("", &gamma)]
                    vertical=Axis::covering(first, last, TICKS)
                    label=plain
                    mark=Signal::derive(move || (t.get(), vec![gamma(t.get())]))
                />
            </PlotCard>
            <PlotCard title=words.snr_title hint=words.snr_hint>
                <Plot
                    testid="schedule-snr-plot"
                    on_drag
                    description=describe(words.snr_title, |at| at.snr)
                    lines=vec![line("", &move |t| exponent(gamma(t)))]
                    vertical=Axis::exponents(exponent(last), exponent(first), TICKS)
                    label=|_, tick| power_of_ten(tick as i32)
                    mark=Signal::derive(move || (t.get(), vec![exponent(gamma(t.get()))]))
                />
            </PlotCard>
            <PlotCard title=words.shares_title hint=words.shares_hint>
                <Plot
                    testid="schedule-shares-plot"
                    on_drag
                    description=describe(words.signal, |at| at.signal)
                    lines=vec![
                        line(words.signal, &move |t| noise(t).signal),
                        line(words.noise, &move |t| noise(t).noise),
                    ]
                    vertical=Axis::unit()
                    label=plain
                    mark=Signal::derive(move || {
                        let at = noise(t.get());
                        (t.get(), vec![at.signal, at.noise])
                    })
                />
            </PlotCard>
        </div>
    }
}

#[component]
fn PlotCard(title: &'static str, hint: &'static str, children: Children) -> impl IntoView {
    view! {
        <div class="card">
            <h3>{title}</h3>
            {children()}
            <p class="hint">{hint}</p>
        </div>
    }
}

/// The ends of the schedule, what was learned of it, and its values at the mark.
#[component]
fn About(schedule: NoiseSchedule, kind: ScheduleKind, t: Memo<f64>) -> impl IntoView {
    let words = &words().learning.schedule;
    let at = {
        let schedule = schedule.clone();
        Memo::new(move |_| NoiseAt::new(&schedule, t.get()))
    };
    let shape = match kind {
        ScheduleKind::Linear | ScheduleKind::LearnedLinear => words.linear.to_owned(),
        ScheduleKind::Monotonic { hidden, .. } => fill(words.monotonic, &[("hidden", &hidden.to_string())]),
    };
    let endpoints = if kind.learns_endpoints() { words.learned } else { words.fixed };
    view! {
        <div class="card">
            <h3>{words.facts}</h3>
            <dl class="figures">
                <Fact
                    label=words.gamma_here
                    value=Signal::derive(move || figure(at.get().gamma, 2))
                    testid="schedule-gamma"
                />
                <Fact
                    label=words.snr_here
                    value=Signal::derive(move || figure(at.get().snr, 2))
                    testid="schedule-snr"
                />
                <Fact label=words.start value=figure(schedule.gamma_min, 2) testid="schedule-start" />
                <Fact label=words.end value=figure(schedule.gamma_max, 2) testid="schedule-end" />
                <Fact label=words.endpoints value=endpoints testid="schedule-endpoints" />
                <Fact label=words.shape value=shape testid="schedule-shape" />
            </dl>
        </div>
    }
}
