//! The picture as it emerges, and how far it is.

use leptos::html::Canvas;
use leptos::prelude::*;
use wasm_bindgen::{Clamped, JsCast, JsValue};
use web_sys::{CanvasRenderingContext2d, HtmlCanvasElement, ImageData};

use crate::protocol::Picture;
use crate::session::{Phase, Session};
use crate::text;

/// The size before a model says its own.
const SIDE: u32 = 256;

/// The canvas with its label, the bar and the figures of the run.
#[component]
pub(super) fn PicturePanel(session: RwSignal<Session>) -> impl IntoView {
    let canvas: NodeRef<Canvas> = NodeRef::new();
    Effect::new(move |_| {
        let Some(canvas) = canvas.get() else { return };
        session.with(|session| {
            if let Some(shown) = &session.shown
                && let Err(error) = draw(&canvas, &shown.picture)
            {
                web_sys::console::error_1(&error);
            }
        });
    });
    let invites = Memo::new(move |_| session.with(|session| session.shown.is_none() && session.can_generate()));
    let whole =
        Memo::new(move |_| session.with(|session| session.shown.as_ref().is_some_and(|shown| shown.origin.is_some())));
    let status = Memo::new(move |_| session.with(text::status));
    let notice = Memo::new(move |_| session.with(|session| session.notice.as_ref().map(text::notice)));

    view! {
        <figure class="picture">
            <div class="frame">
                <canvas
                    node_ref=canvas
                    width=SIDE
                    height=SIDE
                    role="img"
                    aria-label=text::CANVAS_LABEL
                    data-testid="canvas"
                    data-finished=move || whole.get().to_string()
                ></canvas>
                <p class="placeholder" hidden=move || !invites.get()>{text::CANVAS_EMPTY}</p>
                <p class="stamp" aria-hidden="true">{text::WARNING}</p>
            </div>
            <Bar session />
            <figcaption data-testid="status">{move || status.get()}</figcaption>
            <Run session />
            <p class="notice" role="status" data-testid="notice">{move || notice.get()}</p>
        </figure>
    }
}

/// How much of the present work is done; without a value where nobody knows.
#[component]
fn Bar(session: RwSignal<Session>) -> impl IntoView {
    let value = Memo::new(move |_| session.with(|session| session.phase.progress()));
    let busy =
        Memo::new(move |_| session.with(|session| matches!(session.phase, Phase::Loading(_) | Phase::Sampling(_))));
    // Without a value, the bar of a page at rest would say that something goes on.
    let shown = move || value.get().or((!busy.get()).then_some(0.0)).map(|value| format!("{value:.4}"));
    view! { <progress max="1" value=shown aria-label=text::PROGRESS data-testid="progress"></progress> }
}

/// Step, time and speed.
#[component]
fn Run(session: RwSignal<Session>) -> impl IntoView {
    let figures = Memo::new(move |_| {
        session.with(|session| match &session.phase {
            Phase::Sampling(run) => Some((run.step, run.settings.steps, run.elapsed_ms)),
            Phase::Done(run) => Some((run.settings.steps, run.settings.steps, run.elapsed_ms)),
            _ => None,
        })
    });
    let or_nothing = |text: Option<String>| text.unwrap_or_else(|| text::NOTHING.to_owned());
    let step = move || or_nothing(figures.get().map(|(step, of, _)| format!("{step} / {of}")));
    let time = move || or_nothing(figures.get().map(|(_, _, ms)| text::seconds(ms)));
    let speed = move || or_nothing(figures.get().map(|(step, _, ms)| text::speed(step, ms)));
    view! {
        <dl class="run">
            <div>
                <dt>{text::STEP}</dt>
                <dd data-testid="step">{step}</dd>
            </div>
            <div>
                <dt>{text::TIME}</dt>
                <dd data-testid="elapsed">{time}</dd>
            </div>
            <div>
                <dt>{text::SPEED}</dt>
                <dd data-testid="speed">{speed}</dd>
            </div>
        </dl>
    }
}

fn draw(canvas: &HtmlCanvasElement, picture: &Picture) -> Result<(), JsValue> {
    if (canvas.width(), canvas.height()) != (picture.width, picture.height) {
        canvas.set_width(picture.width);
        canvas.set_height(picture.height);
    }
    let Some(context) = canvas.get_context("2d")? else { return Ok(()) };
    let context: CanvasRenderingContext2d = context.unchecked_into();
    let pixels = picture.to_rgba();
    let image = ImageData::new_with_u8_clamped_array_and_sh(Clamped(&pixels), picture.width, picture.height)?;
    context.put_image_data(&image, 0.0, 0.0)
}
