//! The buttons of the first view, and its form.

use leptos::html;
use leptos::prelude::*;
use vdm::sampler::Sampler;

use super::film::{Pin, Play, Travel, can_draw};
use crate::form::Field;
use crate::page::components::{Action, Select, TextField};
use crate::page::controller::Controller;
use crate::page::draw::{change, draw};
use crate::page::lang::words;
use crate::page::state::PageState;
use crate::session::{Event, Slot};
use crate::settings::COUNTS;
use crate::text::{fill, messages};

/// Draw, play, and back to all images.
#[component]
pub(super) fn Actions(travel: Travel) -> impl IntoView {
    let (words, state) = (words(), travel.state);
    let can_draw = can_draw(travel);
    let count = travel.count();
    view! {
        <div class="actions">
            <button
                id="draw"
                type="submit"
                form="settings"
                class="primary big"
                data-testid="generate"
                aria-disabled=move || (!can_draw.get()).to_string()
            >
                {draw_label(travel)}
            </button>
            <Play travel />
            <Pin travel />
            <Show when=move || state.opened.get() && count.get() != 1>
                <Action
                    label=words.generate.all_images.to_owned()
                    testid="all-images"
                    on_click=move |()| state.opened.set(false)
                />
            </Show>
            <p class="hint keys">{words.generate.keys}</p>
        </div>
    }
}

/// Draws one picture, in a chapter.
#[component]
pub(super) fn DrawOne(travel: Travel, testid: &'static str) -> impl IntoView {
    let Travel { controller, state, .. } = travel;
    view! {
        <Action
            label=draw_label(travel)
            testid
            primary=true
            possible=can_draw(travel)
            on_click=move |()| {
                state.form.update(|form| form.count = 1);
                draw(controller, state, false);
            }
        />
    }
}

/// What the button that draws says.
fn draw_label(travel: Travel) -> Signal<String> {
    let words = &words().generate;
    let drawn = travel.of_panel(|panel, _| Some(panel.step > 0));
    Signal::derive(move || {
        let another = travel.state.new_seed.get() && drawn.get() == Some(true);
        if another { words.again } else { words.generate }.to_owned()
    })
}

/// Count, seed and class; folded away, what few need.
#[component]
pub(super) fn SettingsForm(controller: Controller, state: PageState) -> impl IntoView {
    let (words, form) = (words(), state.form);
    let more: NodeRef<html::Details> = NodeRef::new();
    let unfold = move |_| {
        if let Some(more) = more.get_untracked() {
            state.unfolded.set(more.has_attribute("open"));
        }
    };
    view! {
        <form
            id="settings"
            novalidate
            on:submit=move |event| {
                event.prevent_default();
                draw(controller, state, false);
            }
        >
            <Count state />
            <TextField
                id="seed"
                label=words.common.seed
                hint=words.common.seed_hint
                wrong=wrong(state, Field::Seed)
                value=Signal::derive(move || form.with(|form| form.seed.clone()))
                on_input=move |seed| change(state, |form| form.seed = seed)
            />
            <ClassFields controller state />
            <details node_ref=more data-testid="more" open=move || state.unfolded.get() on:toggle=unfold>
                <summary>{words.generate.settings}</summary>
                <TextField
                    id="steps"
                    label=words.common.steps
                    hint=words.common.steps_hint
                    wrong=wrong(state, Field::Steps)
                    value=Signal::derive(move || form.with(|form| form.steps.clone()))
                    on_input=move |steps| change(state, |form| form.steps = steps)
                />
                <Select
                    id="sampler"
                    label=words.common.sampler
                    options=Signal::stored(messages::samplers(words))
                    value=Signal::derive(move || form.with(|form| form.sampler.name().to_owned()))
                    on_change=move |name: String| {
                        if let Ok(sampler) = name.parse::<Sampler>() {
                            change(state, |form| form.sampler = sampler);
                        }
                    }
                />
                <Guidance state />
                <StepOnce controller state />
            </details>
        </form>
    }
}

/// One step of the run that is being made, or of a new one that waits before each step.
#[component]
fn StepOnce(controller: Controller, state: PageState) -> impl IntoView {
    let session = controller.session;
    let filling = Memo::new(move |_| session.with(|session| session.filling(Slot::Generate).is_some()));
    let possible = Signal::derive(move || filling.get() || session.with(|session| session.is_idle()));
    let step = move |()| {
        if !filling.get_untracked() {
            draw(controller, state, true);
        }
        controller.dispatch(Event::Step);
    };
    view! { <Action label=words().generate.step_once.to_owned() testid="step-once" possible on_click=step /> }
}

/// What a field accepts, while its text is not accepted.
fn wrong(state: PageState, field: Field) -> Signal<Option<String>> {
    let words = words();
    Signal::derive(move || state.wrong.with(|wrong| wrong.contains(&field)).then(|| messages::accepted(words, field)))
}

/// The number of images, as icons.
#[component]
fn Count(state: PageState) -> impl IntoView {
    let words = words();
    let choice = |count: u32| {
        let template = if count == 1 { words.generate.count_one } else { words.generate.count_many };
        let side = count.isqrt();
        let tile = 20.0 / f64::from(side);
        let tile_at = |i| {
            let (x, y) = (f64::from(i % side) * tile, f64::from(i / side) * tile);
            format!("M{:.2} {:.2}h{d:.2}v{d:.2}h-{d:.2}z", x + 0.75, y + 0.75, d = tile - 1.5)
        };
        let tiles: String = (0..count).map(tile_at).collect();
        view! {
            <label class="count">
                <input
                    type="radio"
                    name="count"
                    data-testid=format!("count-{count}")
                    prop:checked=move || state.form.with(|form| form.count == count)
                    on:change=move |_| change(state, |form| form.count = count)
                />
                <svg viewBox="0 0 20 20" aria-hidden="true"><path d=tiles /></svg>
                <span class="visually-hidden">{fill(template, &[("number", &count.to_string())])}</span>
            </label>
        }
    };
    view! {
        <fieldset class="counts">
            <legend>{words.generate.count}</legend>
            {COUNTS.map(choice).collect_view()}
        </fieldset>
    }
}

/// A value, or any, of each attribute that the weights know.
#[component]
pub(super) fn ClassFields(controller: Controller, state: PageState) -> impl IntoView {
    let (words, session, form) = (words(), controller.session, state.form);
    let fields = Memo::new(move |_| {
        session
            .with(|session| session.model.as_ref().map(|model| messages::attributes(words, model)).unwrap_or_default())
    });
    // The first option is any.
    let counts = move || fields.with(|fields| fields.iter().map(|field| field.options.len() - 1).collect::<Vec<_>>());
    let field = move |(i, messages::Choices { label, options }): (usize, messages::Choices)| {
        view! {
            <Select
                id=["class", "class-2", "class-3"][i.min(2)]
                label
                options=Signal::stored(options)
                value=Signal::derive(move || form.with(|form| form.value(&counts(), i)))
                on_change=move |value: String| change(state, |form| form.ask(&counts(), i, &value))
            />
        }
    };
    move || fields.get().into_iter().enumerate().map(field).collect_view()
}

/// The guidance, for a class.
#[component]
pub(super) fn Guidance(state: PageState) -> impl IntoView {
    let (words, form) = (words(), state.form);
    let has_class = Memo::new(move |_| form.with(|form| !form.class.is_empty()));
    view! {
        <Show when=move || has_class.get()>
            <TextField
                id="guidance"
                label=words.generate.guidance
                inputmode="decimal"
                wrong=wrong(state, Field::Guidance)
                value=Signal::derive(move || form.with(|form| form.guidance.clone()))
                on_input=move |guidance| change(state, |form| form.guidance = guidance)
            />
        </Show>
    }
}
