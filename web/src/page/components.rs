//! Components that several views use.

use gloo_timers::future::TimeoutFuture;
use leptos::html;
use leptos::prelude::*;
use leptos::task::spawn_local;
use vdm::image::GreyImage;
use wasm_bindgen::{Clamped, JsCast, JsValue};
use web_sys::{CanvasRenderingContext2d, Element, HtmlCanvasElement, HtmlInputElement, ImageData, PointerEvent};

use super::browser;
use crate::protocol::Picture;

/// The side of a canvas without a picture.
const SIDE: u32 = 256;
/// How long a button says that it has copied.
const COPIED_MS: u32 = 2_000;

/// A grey picture in a dark frame. A synthetic one has the visible label, which stays when the canvas is saved.
#[component]
pub(super) fn PictureCanvas(
    #[prop(into)] picture: Signal<Option<Picture>>,
    /// The accessible name.
    #[prop(into)]
    label: Signal<String>,
    #[prop(into)] testid: String,
    /// Whether the model made it.
    #[prop(default = true)]
    synthetic: bool,
    /// Whether the picture is complete.
    #[prop(optional, into)]
    finished: Option<Signal<bool>>,
) -> impl IntoView {
    let canvas: NodeRef<html::Canvas> = NodeRef::new();
    Effect::new(move |_| {
        let Some(canvas) = canvas.get() else { return };
        picture.with(|picture| {
            let drawn = match picture {
                Some(picture) if synthetic => draw(&canvas, &GreyImage::from(picture.clone()).labelled().into()),
                Some(picture) => draw(&canvas, picture),
                None => clear(&canvas),
            };
            report(drawn);
        });
    });
    view! {
        <div class="frame" data-empty=move || picture.with(Option::is_none).to_string()>
            <canvas
                node_ref=canvas
                width=SIDE
                height=SIDE
                role="img"
                aria-label=move || label.get()
                data-testid=testid
                data-finished=move || finished.map(|finished| finished.get().to_string())
            ></canvas>
        </div>
    }
}

/// What a future gives, again whenever what its function reads changes; none before. A tenth of a `LocalResource` in the
/// program that is downloaded.
pub(super) fn fetched<T, F>(future: impl Fn() -> F + 'static) -> RwSignal<Option<T>>
where
    T: Send + Sync + 'static,
    F: Future<Output = T> + 'static,
{
    let value = RwSignal::new(None);
    Effect::new(move |_| {
        let future = future();
        spawn_local(async move {
            let fetched = future.await;
            value.try_set(Some(fetched));
        });
    });
    value
}

/// A picture with a caption below.
#[component]
pub(super) fn Captioned(#[prop(into)] caption: Signal<String>, children: Children) -> impl IntoView {
    view! {
        <figure class="captioned">
            {children()}
            <figcaption>{caption}</figcaption>
        </figure>
    }
}

/// A button. A disabled one stays focusable, so that the focus is not lost when a job starts or ends.
#[component]
pub(super) fn Action(
    #[prop(into)] label: Signal<String>,
    #[prop(into)] testid: String,
    /// Whether it is enabled.
    #[prop(default = Signal::derive(|| true), into)]
    possible: Signal<bool>,
    /// Whether it is pressed, for a toggle.
    #[prop(optional, into)]
    pressed: Option<Signal<bool>>,
    /// Whether it is the main button.
    #[prop(optional)]
    primary: bool,
    #[prop(into)] on_click: Callback<()>,
) -> impl IntoView {
    view! {
        <button
            type="button"
            class:primary=primary
            data-testid=testid
            aria-disabled=move || (!possible.get()).to_string()
            aria-pressed=move || pressed.map(|pressed| pressed.get().to_string())
            on:click=move |_| {
                if possible.get_untracked() {
                    on_click.run(());
                }
            }
        >
            {label}
        </button>
    }
}

/// A button that copies a text to the clipboard, and says so for a moment.
#[component]
pub(super) fn CopyButton(
    label: &'static str,
    copied_label: &'static str,
    testid: &'static str,
    #[prop(into)] text: Signal<String>,
) -> impl IntoView {
    let copied = RwSignal::new(false);
    let copy = move |()| {
        let text = text.get_untracked();
        spawn_local(async move {
            if browser::copy(&text).await {
                copied.try_set(true);
                TimeoutFuture::new(COPIED_MS).await;
                copied.try_set(false);
            }
        });
    };
    let label = move || if copied.get() { copied_label } else { label }.to_owned();
    view! { <Action label=Signal::derive(label) testid on_click=copy /> }
}

/// A labelled input with a hint, or with what it accepts while its text is not accepted.
#[component]
pub(super) fn TextField(
    /// The id, also for tests.
    #[prop(into)]
    id: String,
    label: &'static str,
    #[prop(default = "")] hint: &'static str,
    #[prop(default = "numeric")] inputmode: &'static str,
    /// What it accepts, while the text is not accepted.
    #[prop(default = Signal::derive(|| None), into)]
    wrong: Signal<Option<String>>,
    #[prop(into)] value: Signal<String>,
    #[prop(into)] on_input: Callback<String>,
) -> impl IntoView {
    let hint_id = format!("{id}-hint");
    let below = move || wrong.get().unwrap_or_else(|| hint.to_owned());
    view! {
        <div class="field" class:wrong=move || wrong.with(Option::is_some)>
            <label for=id.clone()>{label}</label>
            <input
                id=id.clone()
                data-testid=id
                // An input for numbers has no text while what is typed is no number: `2.5` would become 25.
                type="text"
                inputmode=inputmode
                autocomplete="off"
                spellcheck="false"
                aria-describedby=hint_id.clone()
                aria-invalid=move || wrong.with(Option::is_some).to_string()
                prop:value=move || value.get()
                on:input=move |event| on_input.run(event_target_value(&event))
            />
            <p class="hint" id=hint_id>{below}</p>
        </div>
    }
}

/// A labelled slider, with its value as text.
#[component]
pub(super) fn Slider(
    /// The id, also for tests.
    #[prop(into)]
    id: String,
    #[prop(into)] label: Signal<String>,
    #[prop(into)] max: Signal<f64>,
    #[prop(default = 0.0)] min: f64,
    #[prop(default = 1.0)] step: f64,
    #[prop(into)] value: Signal<f64>,
    /// The value as text, beside the label and for a screen reader.
    #[prop(into)]
    value_text: Signal<String>,
    #[prop(into)] on_input: Callback<f64>,
    /// Whether it is enabled.
    #[prop(default = Signal::derive(|| true), into)]
    possible: Signal<bool>,
) -> impl IntoView {
    view! {
        <div class="field slider">
            <label for=id.clone()>{label}</label>
            <output for=id.clone()>{value_text}</output>
            <input
                id=id.clone()
                data-testid=id
                type="range"
                // The limits come first, because they clamp the value.
                prop:min=min.to_string()
                prop:max=move || max.get().to_string()
                prop:step=step.to_string()
                prop:value=move || {
                    max.track();
                    value.get().to_string()
                }
                aria-disabled=move || (!possible.get()).to_string()
                aria-valuetext=move || value_text.get()
                on:input=move |event| {
                    if possible.get_untracked() {
                        on_input.run(event_target::<HtmlInputElement>(&event).value_as_number());
                    }
                }
            />
        </div>
    }
}

/// A labelled choice among values, each with its text.
#[component]
pub(super) fn Select(
    /// The id, also for tests.
    #[prop(into)]
    id: String,
    label: &'static str,
    #[prop(into)] options: Signal<Vec<(String, String)>>,
    #[prop(into)] value: Signal<String>,
    #[prop(into)] on_change: Callback<String>,
) -> impl IntoView {
    let entry = move |(key, words): (String, String)| {
        let own = key.clone();
        view! { <option value=key prop:selected=move || value.with(|value| *value == own)>{words}</option> }
    };
    view! {
        <div class="field">
            <label for=id.clone()>{label}</label>
            <select id=id.clone() data-testid=id on:change=move |event| on_change.run(event_target_value(&event))>
                {move || options.get().into_iter().map(entry).collect_view()}
            </select>
        </div>
    }
}

/// How far across its element a pressed pointer is, from 0 at the left to 1.
pub(super) fn dragged(event: &PointerEvent) -> Option<f64> {
    let place = event.current_target()?.dyn_into::<Element>().ok()?.get_bounding_client_rect();
    let across = (f64::from(event.client_x()) - place.left()) / place.width();
    (event.buttons() == 1 && across.is_finite()).then_some(across.clamp(0.0, 1.0))
}

/// A term with its value, in a list of definitions.
#[component]
pub(super) fn Fact(
    label: &'static str,
    #[prop(into)] value: Signal<String>,
    #[prop(into)] testid: String,
) -> impl IntoView {
    view! {
        <div class="fact">
            <dt>{label}</dt>
            <dd data-testid=testid>{value}</dd>
        </div>
    }
}

/// A view that is a chapter of another, and its name.
#[derive(Clone, Copy)]
pub(super) struct Chapter(pub(super) &'static str);

/// The id of a view's heading.
pub(super) fn heading_id() -> String {
    use_context::<Chapter>().map_or_else(|| "view-heading".to_owned(), |Chapter(name)| [name, "-heading"].concat())
}

/// The heading of a view. It takes the focus when the view opens, for keyboard and screen reader.
#[component]
pub(super) fn ViewHeading(text: &'static str) -> impl IntoView {
    match use_context::<Chapter>() {
        None => view! { <h2 id=heading_id() tabindex="-1">{text}</h2> }.into_any(),
        Some(_) => view! { <h3 id=heading_id() class="chapter">{text}</h3> }.into_any(),
    }
}

/// A seed of at most ten digits, short enough to be read aloud.
pub(super) fn random_seed() -> u32 {
    (js_sys::Math::random() * 4_294_967_296.0) as u32
}

fn draw(canvas: &HtmlCanvasElement, picture: &Picture) -> Result<(), JsValue> {
    paint(canvas, picture.width, picture.height, &picture.to_rgba())
}

fn paint(canvas: &HtmlCanvasElement, width: u32, height: u32, rgba: &[u8]) -> Result<(), JsValue> {
    if (canvas.width(), canvas.height()) != (width, height) {
        canvas.set_width(width);
        canvas.set_height(height);
    }
    let Some(context) = context(canvas)? else { return Ok(()) };
    let image = ImageData::new_with_u8_clamped_array_and_sh(Clamped(rgba), width, height)?;
    context.put_image_data(&image, 0.0, 0.0)
}

fn clear(canvas: &HtmlCanvasElement) -> Result<(), JsValue> {
    if let Some(context) = context(canvas)? {
        context.clear_rect(0.0, 0.0, canvas.width().into(), canvas.height().into());
    }
    Ok(())
}

fn context(canvas: &HtmlCanvasElement) -> Result<Option<CanvasRenderingContext2d>, JsValue> {
    Ok(canvas.get_context("2d")?.map(JsCast::unchecked_into))
}

fn report(result: Result<(), JsValue>) {
    if let Err(error) = result {
        web_sys::console::error_1(&error);
    }
}
