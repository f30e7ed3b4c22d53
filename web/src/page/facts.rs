//! What is running: backend and weights.

use leptos::prelude::*;

use crate::protocol::ModelInfo;
use crate::session::Session;
use crate::text;

/// Backend and why, weights and where they come from.
#[component]
pub(super) fn Facts(session: RwSignal<Session>) -> impl IntoView {
    let model = Memo::new(move |_| session.with(|session| session.model.clone()));
    let title = Memo::new(move |_| session.with(|session| session.model_title().unwrap_or(text::NOTHING).to_owned()));
    let card = Memo::new(move |_| session.with(Session::model_card_url));
    let fact = move |of: fn(&ModelInfo) -> String| {
        move || model.with(|model| model.as_ref().map_or_else(|| text::NOTHING.to_owned(), of))
    };
    let reason = move || model.with(|model| model.as_ref().map(|model| text::backend_reason(&model.backend.reason)));
    view! {
        <section class="facts" aria-labelledby="facts-heading">
            <h2 id="facts-heading">{text::DETAILS}</h2>
            <dl>
                <dt>{text::BACKEND}</dt>
                <dd data-testid="backend">
                    {fact(|model| text::backend(&model.backend))}
                    <small data-testid="backend-reason">{reason}</small>
                </dd>
                <dt>{text::WEIGHTS}</dt>
                <dd data-testid="weights">
                    {move || title.get()}
                    <small>{fact(text::size)}</small>
                </dd>
                <dt>{text::HASH}</dt>
                <dd data-testid="weights-hash" title=fact(|model| model.sha256.clone())>
                    <code>{fact(|model| text::short_hash(&model.sha256))}</code>
                </dd>
                <dt>{text::TRAINED_ON}</dt>
                <dd data-testid="training">{fact(text::training)}</dd>
                <dt>{text::ACKNOWLEDGEMENT}</dt>
                <dd data-testid="acknowledgement">
                    {fact(|model| non_empty(&model.acknowledgement))}
                    <small>{fact(|model| format!("{}: {}", text::LICENSE, non_empty(&model.license)))}</small>
                </dd>
            </dl>
            {move || {
                card.get().map(|url| view! { <a href=url data-testid="model-card">{text::MODEL_CARD}</a> })
            }}
        </section>
    }
}

fn non_empty(words: &str) -> String {
    if words.is_empty() { text::NOTHING.to_owned() } else { words.to_owned() }
}
