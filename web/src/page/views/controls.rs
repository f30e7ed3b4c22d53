//! The form of the first view, and its buttons.

use leptos::prelude::*;
use vdm::sampler::Sampler;

use super::shared::idle;
use crate::form::Field;
use crate::page::components::{Action, Select, TextField, random_seed};
use crate::page::controller::Controller;
use crate::page::lang::words;
use crate::page::state::PageState;
use crate::protocol::Run;
use crate::session::{Event, Session, Slot};
use crate::settings::{COUNTS, MAX_STEPS};
use crate::text::{fill, messages};

/// Generate, pause, step. They come before the images, so that a phone shows both without scrolling.
#[component]
pub(super) fn Actions(controller: Controller, state: PageState) -> impl IntoView {
    let (words, session) = (words(), controller.session);
    let can_generate = idle(session);
    let paused = Memo::new(move |_| session.with(|session| session.filling(Slot::Generate).map(|job| job.paused)));
    let filling = Signal::derive(move || paused.get().is_some());
    let pause =
        move |()| controller.dispatch(if paused.get_untracked() == Some(true) { Event::Resume } else { Event::Pause });
    let step = move |()| {
        if paused.get_untracked().is_none() {
            generate(controller, state, true);
        }
        controller.dispatch(Event::Step);
    };
    view! {
        <div class="card actions">
            <div class="buttons">
                <button
                    type="submit"
                    form="settings"
                    class="primary big"
                    data-testid="generate"
                    aria-disabled=move || (!can_generate.get()).to_string()
                >
                    {words.generate.generate}
                </button>
                <Action
                    label=words.generate.pause.to_owned()
                    testid="pause"
                    possible=filling
                    pressed=Signal::derive(move || paused.get() == Some(true))
                    on_click=pause
                />
                <Action
                    label=words.generate.step_once.to_owned()
                    testid="step-once"
                    possible=Signal::derive(move || filling.get() || can_generate.get())
                    on_click=step
                />
            </div>
            <p class="hint">{words.generate.step_once_hint}</p>
        </div>
    }
}

/// Seed, count, steps, sampler, class and guidance.
#[component]
pub(super) fn SettingsForm(controller: Controller, state: PageState) -> impl IntoView {
    let (words, form) = (words(), state.form);
    let samplers = messages::samplers(words);
    view! {
        <form
            id="settings"
            class="card settings"
            novalidate
            on:submit=move |event| {
                event.prevent_default();
                generate(controller, state, false);
            }
        >
            <fieldset>
                <legend>{words.generate.settings}</legend>
                <TextField
                    id="seed"
                    label=words.common.seed
                    hint=words.common.seed_hint
                    wrong=wrong(state, Field::Seed)
                    value=Signal::derive(move || form.with(|form| form.seed.clone()))
                    on_input=move |seed| {
                        form.update(|form| form.seed = seed);
                        // A typed seed is kept.
                        state.new_seed.set(false);
                    }
                />
                <label class="check">
                    <input
                        type="checkbox"
                        data-testid="new-seed"
                        prop:checked=move || state.new_seed.get()
                        on:change=move |event| state.new_seed.set(event_target_checked(&event))
                    />
                    {words.generate.new_seed}
                </label>
                <Count state />
                <TextField
                    id="steps"
                    label=words.common.steps
                    hint=words.common.steps_hint
                    number_range=(1, MAX_STEPS)
                    wrong=wrong(state, Field::Steps)
                    value=Signal::derive(move || form.with(|form| form.steps.clone()))
                    on_input=move |steps| form.update(|form| form.steps = steps)
                />
                <Select
                    id="sampler"
                    label=words.common.sampler
                    options=Signal::stored(samplers)
                    value=Signal::derive(move || form.with(|form| form.sampler.name().to_owned()))
                    on_change=move |name: String| {
                        if let Ok(sampler) = name.parse::<Sampler>() {
                            form.update(|form| form.sampler = sampler);
                        }
                    }
                />
                <ClassFields controller state />
            </fieldset>
        </form>
    }
}

/// Starts the run of the form, if it can be read.
fn generate(controller: Controller, state: PageState, stepwise: bool) {
    let session = controller.session;
    if !session.with_untracked(Session::is_idle) {
        return;
    }
    if state.new_seed.get_untracked() {
        state.form.update(|form| form.seed = random_seed().to_string());
    }
    let read = session.with_untracked(|session| state.form.with_untracked(|form| form.read(session.model.as_ref())));
    match read {
        Ok(settings) => {
            state.wrong.set(Vec::new());
            let run = Run::from_noise(settings, state.form.with_untracked(|form| form.count));
            controller.dispatch(Event::Run { slot: Slot::Generate, run, stepwise });
        }
        Err(fields) => state.wrong.set(fields),
    }
}

/// What a field accepts, while its text is not accepted.
fn wrong(state: PageState, field: Field) -> Signal<Option<String>> {
    let words = words();
    Signal::derive(move || state.wrong.with(|wrong| wrong.contains(&field)).then(|| messages::accepted(words, field)))
}

/// The number of images.
#[component]
fn Count(state: PageState) -> impl IntoView {
    let (words, form) = (words(), state.form);
    let options: Vec<_> = COUNTS
        .map(|count| {
            let template = if count == 1 { words.generate.count_one } else { words.generate.count_many };
            (count.to_string(), fill(template, &[("number", &count.to_string())]))
        })
        .into();
    view! {
        <Select
            id="count"
            label=words.generate.count
            options=Signal::stored(options)
            value=Signal::derive(move || form.with(|form| form.count.to_string()))
            on_change=move |count: String| {
                if let Ok(count) = count.parse() {
                    form.update(|form| form.count = count);
                }
            }
        />
    }
}

/// Class and guidance, if the weights have classes.
#[component]
fn ClassFields(controller: Controller, state: PageState) -> impl IntoView {
    let (words, session, form) = (words(), controller.session, state.form);
    let classes = Memo::new(move |_| {
        session.with(|session| {
            let Some(model) = session.model.as_ref().filter(|model| model.classes() > 0) else { return Vec::new() };
            let classes = (0..model.classes()).map(|class| (class.to_string(), messages::class(words, model, class)));
            std::iter::once((String::new(), words.generate.class_any.to_owned())).chain(classes).collect()
        })
    });
    view! {
        <Show when=move || classes.with(|classes| !classes.is_empty())>
            <Select
                id="class"
                label=words.generate.class
                options=classes
                value=Signal::derive(move || form.with(|form| form.class.clone()))
                on_change=move |class| form.update(|form| form.class = class)
            />
            <TextField
                id="guidance"
                label=words.generate.guidance
                inputmode="decimal"
                wrong=wrong(state, Field::Guidance)
                value=Signal::derive(move || form.with(|form| form.guidance.clone()))
                on_input=move |guidance| form.update(|form| form.guidance = guidance)
            />
        </Show>
    }
}
