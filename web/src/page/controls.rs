//! The form: what to make, and the buttons.

use leptos::prelude::*;
use vdm::sampler::Sampler;

use super::controller::Controller;
use crate::session::{Event, Phase};
use crate::settings::{Field, Form, MAX_STEPS};
use crate::text;

/// Seed, steps, sampler, class and guidance; generate, cancel, save.
#[component]
pub(super) fn Controls(controller: Controller) -> impl IntoView {
    let session = controller.session;
    let form = RwSignal::new(Form::default());
    let new_seed = RwSignal::new(true);
    let wrong = RwSignal::new(Vec::<Field>::new());

    let generate = move || {
        if !session.with_untracked(|session| session.can_generate()) {
            return;
        }
        if new_seed.get_untracked() {
            form.update(|form| form.seed = random_seed().to_string());
        }
        let read = session.with_untracked(|session| form.with_untracked(|form| form.read(session.model.as_ref())));
        match read {
            Ok(settings) => {
                wrong.set(Vec::new());
                controller.dispatch(Event::Generate(settings));
            }
            Err(fields) => wrong.set(fields),
        }
    };
    let can_generate = Memo::new(move |_| session.with(|session| session.can_generate()));
    let can_cancel = Memo::new(move |_| session.with(|session| session.can_cancel()));
    let can_save = Memo::new(move |_| session.with(|session| session.can_save()));
    let stopping =
        Memo::new(move |_| session.with(|session| matches!(&session.phase, Phase::Sampling(run) if run.stopping)));
    // A disabled button loses the focus: these stay focusable, and the session ignores them when they do not apply.
    let unless = |possible: Memo<bool>| move || (!possible.get()).to_string();

    view! {
        <form
            class="controls"
            novalidate
            on:submit=move |event| {
                event.prevent_default();
                generate();
            }
        >
            <div class="buttons">
                <button type="submit" class="primary" data-testid="generate" aria-disabled=unless(can_generate)>
                    {text::GENERATE}
                </button>
                <button
                    type="button"
                    data-testid="cancel"
                    aria-disabled=unless(can_cancel)
                    on:click=move |_| controller.dispatch(Event::Cancel)
                >
                    {move || if stopping.get() { text::CANCELLING } else { text::CANCEL }}
                </button>
                <button
                    type="button"
                    data-testid="save"
                    aria-disabled=unless(can_save)
                    on:click=move |_| controller.dispatch(Event::Save)
                >
                    {text::SAVE}
                </button>
            </div>
            <fieldset>
                <legend>{text::SETTINGS}</legend>
                <TextField
                    field=Field::Seed
                    id="seed"
                    label=text::SEED
                    hint=text::SEED_HINT
                    inputmode="numeric"
                    wrong
                    value=Signal::derive(move || form.with(|form| form.seed.clone()))
                    on_input=move |seed| {
                        form.update(|form| form.seed = seed);
                        // Who types a seed wants this one.
                        new_seed.set(false);
                    }
                />
                <label class="check">
                    <input
                        type="checkbox"
                        data-testid="new-seed"
                        prop:checked=move || new_seed.get()
                        on:change=move |event| new_seed.set(event_target_checked(&event))
                    />
                    {text::NEW_SEED}
                </label>
                <TextField
                    field=Field::Steps
                    id="steps"
                    label=text::STEPS
                    hint=text::STEPS_HINT
                    inputmode="numeric"
                    number_range=(1, MAX_STEPS)
                    wrong
                    value=Signal::derive(move || form.with(|form| form.steps.clone()))
                    on_input=move |steps| form.update(|form| form.steps = steps)
                />
                <div class="field">
                    <label for="sampler">{text::SAMPLER}</label>
                    <select
                        id="sampler"
                        data-testid="sampler"
                        prop:value=move || form.with(|form| form.sampler.name())
                        on:change=move |event| {
                            if let Some(sampler) = Sampler::from_name(&event_target_value(&event)) {
                                form.update(|form| form.sampler = sampler);
                            }
                        }
                    >
                        {Sampler::ALL
                            .map(|sampler| view! { <option value=sampler.name()>{text::sampler(sampler)}</option> })
                            .collect_view()}
                    </select>
                </div>
                <ClassFields controller form wrong />
            </fieldset>
        </form>
    }
}

/// Class and guidance, where the weights have classes.
#[component]
fn ClassFields(controller: Controller, form: RwSignal<Form>, wrong: RwSignal<Vec<Field>>) -> impl IntoView {
    let session = controller.session;
    let classes = Memo::new(move |_| {
        session.with(|session| match &session.model {
            Some(model) => (0..model.classes).map(|class| text::class(model, class)).collect::<Vec<_>>(),
            None => Vec::new(),
        })
    });
    let options = move || {
        let options = classes.get().into_iter().enumerate();
        options.map(|(class, name)| view! { <option value=class.to_string()>{name}</option> }).collect_view()
    };
    view! {
        <Show when=move || classes.with(|classes| !classes.is_empty())>
            <div class="field">
                <label for="class">{text::CLASS}</label>
                <select
                    id="class"
                    data-testid="class"
                    on:change=move |event| form.update(|form| form.class = event_target_value(&event))
                >
                    <option value="">{text::CLASS_NONE}</option>
                    {options}
                </select>
            </div>
            <TextField
                field=Field::Guidance
                id="guidance"
                label=text::GUIDANCE
                inputmode="decimal"
                wrong
                value=Signal::derive(move || form.with(|form| form.guidance.clone()))
                on_input=move |guidance| form.update(|form| form.guidance = guidance)
            />
        </Show>
    }
}

/// A labelled input with a hint, and with what is accepted where its text is not.
#[component]
fn TextField(
    field: Field,
    id: &'static str,
    label: &'static str,
    #[prop(default = "")] hint: &'static str,
    inputmode: &'static str,
    /// Makes it a number's input, which browsers give a stepper; seeds are too long for one.
    #[prop(optional)]
    number_range: Option<(u32, u32)>,
    wrong: RwSignal<Vec<Field>>,
    value: Signal<String>,
    on_input: impl Fn(String) + 'static,
) -> impl IntoView {
    let is_wrong = Memo::new(move |_| wrong.with(|wrong| wrong.contains(&field)));
    let hint_id = format!("{id}-hint");
    let words = move || if is_wrong.get() { text::accepted(field) } else { hint.to_owned() };
    view! {
        <div class="field" class:wrong=move || is_wrong.get()>
            <label for=id>{label}</label>
            <input
                id=id
                data-testid=id
                type=if number_range.is_some() { "number" } else { "text" }
                min=number_range.map(|(min, _)| min)
                max=number_range.map(|(_, max)| max)
                inputmode=inputmode
                autocomplete="off"
                spellcheck="false"
                aria-describedby=hint_id.clone()
                aria-invalid=move || is_wrong.get().to_string()
                prop:value=move || value.get()
                on:input=move |event| on_input(event_target_value(&event))
            />
            <p class="hint" id=hint_id>{words}</p>
        </div>
    }
}

/// Ten digits at most: short enough to be read out to a neighbour.
fn random_seed() -> u32 {
    (js_sys::Math::random() * 4_294_967_296.0) as u32
}
