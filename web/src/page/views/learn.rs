//! Watch one learn: a small model, trained in this tab on points that the visitor draws.

use leptos::prelude::*;
use vdm::axis::Axis;
use wasm_bindgen::JsCast;
use web_sys::{CanvasRenderingContext2d, HtmlCanvasElement, PointerEvent};

use super::plot::{Line, Plot};
use super::shared::{Intro, figure, plain};
use crate::page::components::{Action, Fact, ViewHeading, heading_id, random_seed};
use crate::page::controller::Controller;
use crate::page::lang::words;
use crate::page::state::PageState;
use crate::plot::curve;
use crate::session::{Event, Job, JobKind, Session};
use crate::text::fill;
use crate::toy::{MAX_POINTS, Point, Progress, STEPS, Shape};

/// Pixels of the drawing, across and down.
const SIDE: u32 = 512;
/// What is behind the points, in both themes: as behind an X-ray.
const BACKGROUND: &str = "#0d1117";
const GIVEN: &str = "#8b949e";
const DRAWN: &str = "#ffa657";

/// The view.
#[component]
pub(super) fn Learn(controller: Controller, state: PageState) -> impl IntoView {
    let (words, session, points) = (&words().toy, controller.session, state.points);
    let learned = Memo::new(move |_| session.with(|session| session.learned.clone()));
    let job = move |holds: fn(&Job) -> bool| {
        let holds = move |job: &Job| job.plan.kind == JobKind::Learn && holds(job);
        Memo::new(move |_| session.with(|session| session.job.as_ref().is_some_and(holds)))
    };
    let (learning, paused) = (job(|_| true), job(|job| job.paused));
    let start = move || {
        let points = points.get_untracked();
        if !points.is_empty() {
            controller.dispatch(Event::Learn { points, seed: random_seed().into() });
        }
    };
    // What is drawn while it learns is learned from the start.
    let again = RwSignal::new(false);
    Effect::new(move |_| {
        if again.get() && session.with(Session::is_idle) {
            again.set(false);
            start();
        }
    });
    // In the story, the job may be another chapter's.
    let stop = move || {
        let was_learning = learning.try_get_untracked().unwrap_or_default();
        if was_learning {
            controller.dispatch(Event::Cancel);
        }
        was_learning
    };
    let changed = move || {
        if stop() {
            again.set(true);
        }
    };
    on_cleanup(move || {
        stop();
    });
    let shapes = Shape::ALL.into_iter().map(|shape| {
        let name = match shape {
            Shape::Ring => words.ring,
            Shape::Groups => words.groups,
            Shape::Spiral => words.spiral,
        };
        view! {
            <Action
                label=name.to_owned()
                testid=format!("toy-{}", shape.name())
                on_click=move |()| {
                    points.set(shape.points());
                    changed();
                }
            />
        }
    });
    let can_start =
        Signal::derive(move || !points.with(Vec::is_empty) && (learning.get() || session.with(Session::is_idle)));
    let label = Signal::derive(move || {
        let words = [words.start, words.pause, words.go_on];
        words[usize::from(learning.get()) + usize::from(paused.get())].to_owned()
    });
    let toggle = move |()| match (learning.get_untracked(), paused.get_untracked()) {
        (false, _) => start(),
        (true, false) => controller.dispatch(Event::Pause),
        (true, true) => controller.dispatch(Event::Resume),
    };
    view! {
        <section class="view learning" aria-labelledby=heading_id()>
            <ViewHeading text=words.title />
            <Intro paragraphs=vec![words.intro, words.intro_more] />
            <div class="columns even">
                <div class="card">
                    <Drawing points learned changed />
                    <p class="hint">{words.legend}</p>
                    <div class="buttons">
                        <Action label testid="toy-start" primary=true possible=can_start on_click=toggle />
                        {shapes.collect_view()}
                        <Action
                            label=words.clear.to_owned()
                            testid="toy-clear"
                            on_click=move |()| {
                                points.set(Vec::new());
                                stop();
                            }
                        />
                    </div>
                </div>
                <div class="card">
                    <Numbers learned />
                    <h3>{words.gamma}</h3>
                    {move || learned.get().map(|progress| view! { <Schedule progress /> })}
                    <p class="hint">{words.gamma_hint}</p>
                </div>
            </div>
        </section>
    }
}

/// The points and what the model draws; the pointer adds points.
#[component]
fn Drawing(
    points: RwSignal<Vec<Point>>,
    learned: Memo<Option<Progress>>,
    changed: impl Fn() + Copy + 'static,
) -> impl IntoView {
    let words = &words().toy;
    let canvas = NodeRef::<leptos::html::Canvas>::new();
    Effect::new(move |_| {
        let Some(canvas) = canvas.get() else { return };
        let samples = learned.with(|progress| progress.as_ref().map(|progress| progress.samples.clone()));
        points.with(|points| paint(&canvas, points, samples.as_deref().unwrap_or_default()));
    });
    let add = move |event: &PointerEvent| {
        let Some(canvas) = event.current_target().and_then(|of| of.dyn_into::<HtmlCanvasElement>().ok()) else {
            return;
        };
        let size = (f64::from(canvas.client_width()), f64::from(canvas.client_height()));
        if event.buttons() & 1 == 1 && size.0 > 0.0 && size.1 > 0.0 {
            let at = |place: i32, size: f64| (f64::from(place) / size).clamp(0.0, 1.0) as f32;
            let point = [at(event.offset_x(), size.0), at(event.offset_y(), size.1)];
            points.update(|points| {
                if points.len() < MAX_POINTS {
                    points.push(point);
                }
            });
        }
    };
    let says = move || {
        let count = points.with(Vec::len).to_string();
        fill(words.canvas, &[("count", &count)])
    };
    view! {
        <canvas
            node_ref=canvas
            class="toy"
            width=SIDE
            height=SIDE
            role="img"
            aria-label=says
            data-testid="toy-canvas"
            on:pointerdown=move |event| add(&event)
            on:pointermove=move |event| add(&event)
            on:pointerup=move |_| changed()
        ></canvas>
    }
}

fn paint(canvas: &HtmlCanvasElement, points: &[Point], samples: &[Point]) {
    let context = canvas.get_context("2d").ok().flatten();
    let Some(context) = context.and_then(|context| context.dyn_into::<CanvasRenderingContext2d>().ok()) else { return };
    let side = f64::from(SIDE);
    context.set_fill_style_str(BACKGROUND);
    context.fill_rect(0.0, 0.0, side, side);
    for (points, colour, size) in [(points, GIVEN, 3.0), (samples, DRAWN, 5.0)] {
        context.set_fill_style_str(colour);
        for [x, y] in points {
            let [x, y] = [x, y].map(|at| f64::from(*at) * side - size / 2.0);
            context.fill_rect(x, y, size, size);
        }
    }
}

/// The step and the terms.
#[component]
fn Numbers(learned: Memo<Option<Progress>>) -> impl IntoView {
    let words = &words().toy;
    let number = move |value: fn(&Progress) -> f64, decimals: usize| {
        Signal::derive(move || {
            learned.with(|progress| progress.as_ref().map_or_else(|| "–".to_owned(), |p| figure(value(p), decimals)))
        })
    };
    let step = Signal::derive(move || {
        let step = learned.with(|progress| progress.as_ref().map_or(0, |progress| progress.step));
        fill(words.steps, &[("step", &step.to_string()), ("of", &STEPS.to_string())])
    });
    view! {
        <dl class="figures">
            <Fact label=words.step value=step testid="toy-step" />
            <Fact label=words.error value=number(|p| 100.0 * p.terms.mse.sqrt(), 1) testid="toy-error" />
            <Fact label=words.latent value=number(|p| p.terms.latent, 3) testid="toy-latent" />
            <Fact label=words.diffusion value=number(|p| p.terms.diffusion, 2) testid="toy-diffusion" />
        </dl>
    }
}

/// γ(t) as it is learned.
#[component]
fn Schedule(progress: Progress) -> impl IntoView {
    const INTERVALS: u32 = 40;
    const TICKS: usize = 6;
    let words = words();
    let schedule = progress.schedule;
    let (first, middle, last) = (schedule.gamma(0.0), schedule.gamma(0.5), schedule.gamma(1.0));
    let description = fill(words.toy.gamma_value, &[("middle", &figure(middle, 2))]);
    view! {
        <Plot
            testid="toy-gamma"
            description
            lines=vec![Line { name: "", points: curve(INTERVALS, |t| schedule.gamma(t)) }]
            vertical=Axis::covering(first, last, TICKS)
            label=plain
            mark=Signal::derive(move || (0.5, vec![middle]))
        />
    }
}
