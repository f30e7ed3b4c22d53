//! The weights in use, and the user's own.

use leptos::html;
use leptos::prelude::*;

use crate::page::components::{Action, Fact, Select, ViewHeading};
use crate::page::controller::Controller;
use crate::page::files;
use crate::page::lang::words;
use crate::page::state::PageState;
use crate::protocol::ModelInfo;
use crate::session::{Choice, Session};
use crate::text::{Words, messages};

/// The weights in use, and a choice of others.
#[component]
pub(in crate::page) fn Weights(controller: Controller, state: PageState) -> impl IntoView {
    let words = words();
    view! {
        <section class="view" aria-labelledby="view-heading">
            <ViewHeading text=words.weights.heading />
            <p class="lead">{words.weights.intro}</p>
            <div class="columns even">
                <div class="stack">
                    <InUse session=controller.session />
                    <Config session=controller.session />
                </div>
                <div class="stack">
                    <Own controller state />
                    <Provenance session=controller.session />
                </div>
            </div>
        </section>
    }
}

/// The backend and its reason, the weights and their origin.
#[component]
fn InUse(session: RwSignal<Session>) -> impl IntoView {
    let words = words();
    let title = Memo::new(move |_| session.with(|session| title(session).unwrap_or(words.common.nothing.to_owned())));
    let card = Memo::new(move |_| session.with(Session::card_url));
    let fact = move |read: fn(&Words, &ModelInfo) -> String| {
        let text = of_model(session, words, read);
        move || text.get()
    };
    let kept = |words: &Words, model: &ModelInfo| {
        if model.from_store { words.weights.from_store } else { words.weights.from_net }.to_owned()
    };
    view! {
        <section class="card facts" aria-labelledby="in-use-heading">
            <h3 id="in-use-heading">{words.weights.in_use}</h3>
            <dl>
                <dt>{words.weights.backend}</dt>
                <dd>
                    <span data-testid="backend">{fact(|words, model| messages::backend(words, &model.backend))}</span>
                    <small data-testid="backend-reason">
                        {fact(|words, model| messages::backend_reason(words, &model.backend.reason))}
                    </small>
                </dd>
                <dt>{words.weights.weights}</dt>
                <dd>
                    <span data-testid="weights">{title}</span>
                    <small>{fact(|_, model| model.file.clone())} ", " {fact(kept)}</small>
                </dd>
                <dt>{words.weights.pixels}</dt>
                <dd>{fact(messages::size)}</dd>
                <dt>{words.weights.sha256}</dt>
                <dd data-testid="weights-hash"><code>{fact(|_, model| model.sha256.clone())}</code></dd>
                <dt>{words.weights.trained_on}</dt>
                <dd data-testid="training">{fact(messages::training)}</dd>
                <dt>{words.weights.thanks}</dt>
                <dd data-testid="acknowledgement">
                    {fact(|_, model| model.provenance.acknowledgement.clone())}
                </dd>
                <dt>{words.weights.licence}</dt>
                <dd>{fact(|_, model| model.provenance.license.clone())}</dd>
            </dl>
            {move || {
                card.get().map(|url| view! { <a href=url data-testid="model-card">{words.weights.model_card}</a> })
            }}
        </section>
    }
}

/// The title of the site's model, or the name in the user's own file.
fn title(session: &Session) -> Option<String> {
    let model = session.model.as_ref()?;
    Some(session.entry().map_or_else(|| model.provenance.name.clone(), |entry| entry.title.clone()))
}

/// The user's own files, and the way back to the site's.
#[component]
fn Own(controller: Controller, state: PageState) -> impl IntoView {
    let (words, session) = (words(), controller.session);
    let input: NodeRef<html::Input> = NodeRef::new();
    let own = Memo::new(move |_| session.with(|session| matches!(session.choice, Choice::Own(_))));
    let waiting = move || state.waiting.with(Option::is_some);
    let chosen = move |_| {
        let Some(input) = input.get_untracked() else { return };
        if let Some(files) = input.files() {
            files::take(&files, controller, state);
        }
        // The same file can be chosen again.
        input.set_value("");
    };
    view! {
        <section class="card own" aria-labelledby="own-heading">
            <h3 id="own-heading">{words.weights.own}</h3>
            <div class="drop" data-testid="weights-drop" class:over=move || state.dragging.get()>
                <label for="weights-file">{words.weights.choose}</label>
                <input
                    node_ref=input
                    id="weights-file"
                    data-testid="weights-file"
                    type="file"
                    multiple
                    accept=".safetensors"
                    aria-describedby="weights-file-hint"
                    on:change=chosen
                />
                <p class="soft">{words.weights.drop}</p>
            </div>
            <p class="hint" id="weights-file-hint">{words.weights.choose_hint}</p>
            <p class="hint" role="status">{move || waiting().then_some(words.status.waiting)}</p>
            <Show when=move || own.get()>
                <Action
                    label=words.weights.site.to_owned()
                    testid="weights-site"
                    primary=true
                    on_click=move |()| state.waiting.set(Some(Choice::Site(None)))
                />
            </Show>
            <SiteModels session state />
        </section>
    }
}

/// The choice of the site's models, if there are several.
#[component]
fn SiteModels(session: RwSignal<Session>, state: PageState) -> impl IntoView {
    let words = words();
    let models = Memo::new(move |_| {
        session.with(|session| {
            let models = session.manifest.iter().flat_map(|manifest| &manifest.models);
            models.map(|model| (model.name.clone(), model.title.clone())).collect::<Vec<_>>()
        })
    });
    let used = move || session.with(|session| session.entry().map(|model| model.name.clone())).unwrap_or_default();
    view! {
        <Show when=move || { models.with(Vec::len) > 1 }>
            <Select
                id="weights-model"
                label=words.weights.model
                options=models
                value=Signal::derive(used)
                on_change=move |name| state.waiting.set(Some(Choice::Site(Some(name))))
            />
        </Show>
    }
}

/// The provenance in the file.
#[component]
fn Provenance(session: RwSignal<Session>) -> impl IntoView {
    let (words, lang) = (words(), words().lang);
    let fact = move |read: fn(&Words, &ModelInfo) -> String| of_model(session, words, read);
    let grouped = move |read: fn(&ModelInfo) -> u64| {
        let number = Memo::new(move |_| session.with(|session| session.model.as_ref().map(read)));
        Signal::derive(move || {
            number.get().map_or_else(|| words.common.nothing.to_owned(), |number| lang.grouped(number))
        })
    };
    let of = &words.weights;
    view! {
        <section class="card facts" aria-labelledby="provenance-heading">
            <h3 id="provenance-heading">{of.provenance}</h3>
            <dl data-testid="weights-provenance">
                <Fact label=of.name value=fact(|_, model| model.provenance.name.clone()) testid="weights-name" />
                <Fact label=of.data value=fact(|_, model| model.provenance.data.clone()) testid="weights-data" />
                <Fact label=of.images value=grouped(|model| model.provenance.images) testid="weights-images" />
                <Fact label=of.training_steps value=grouped(|model| model.provenance.training_steps) testid="weights-steps" />
                <Fact label=of.seed value=fact(|_, model| model.provenance.seed.to_string()) testid="weights-seed" />
                <Fact label=of.date value=fact(|_, model| model.provenance.date.clone()) testid="weights-date" />
                <Fact label=of.software value=fact(|_, model| model.provenance.software.clone()) testid="weights-software" />
                <Fact
                    label=of.classes
                    value=fact(|_, model| model.provenance.attributes.iter().map(|of| of.values.join(", ")).collect::<Vec<_>>().join("; "))
                    testid="weights-classes"
                />
            </dl>
        </section>
    }
}

/// The configuration in the file.
#[component]
fn Config(session: RwSignal<Session>) -> impl IntoView {
    let words = words();
    let config = of_model(session, words, |_, model| serde_json::to_string_pretty(&model.config).unwrap_or_default());
    view! {
        <section class="card" aria-labelledby="config-heading">
            <h3 id="config-heading">{words.weights.config}</h3>
            // Focusable, so that the arrow keys scroll it.
            <pre data-testid="weights-config" tabindex="0" aria-labelledby="config-heading">{config}</pre>
        </section>
    }
}

/// A text about the model in use; a dash if there is none.
fn of_model(
    session: RwSignal<Session>,
    words: &'static Words,
    read: fn(&Words, &ModelInfo) -> String,
) -> Signal<String> {
    let text = Memo::new(move |_| session.with(|session| session.model.as_ref().map(|model| read(words, model))));
    Signal::derive(move || {
        text.get().filter(|text| !text.is_empty()).unwrap_or_else(|| words.common.nothing.to_owned())
    })
}
