//! The model card, which `cargo xtask finish-site` renders from Markdown.

use gloo_net::http::Request;
use leptos::prelude::*;

use crate::page::components::fetched;
use crate::page::lang::words;
use crate::session::Session;

/// The card of the model in use, where the site has one.
#[component]
pub(super) fn Card(session: RwSignal<Session>) -> impl IntoView {
    let words = words();
    let url = Memo::new(move |_| session.with(Session::rendered_card_url));
    let card = fetched(move || {
        let url = url.get();
        async move {
            match url {
                Some(url) => fetch(&url).await,
                None => None,
            }
        }
    });
    let content = move || match card.get() {
        // A file of the site itself, without scripts or styles.
        Some(Some(html)) => view! { <div class="prose" lang="en" inner_html=html></div> }.into_any(),
        Some(None) => view! { <p>{words.about.card_failed}</p> }.into_any(),
        None => ().into_any(),
    };
    view! {
        <Show when=move || url.with(Option::is_some)>
            <details class="card" data-testid="card">
                <summary><h3>{words.about.card}</h3></summary>
                {content}
            </details>
        </Show>
    }
}

async fn fetch(url: &str) -> Option<String> {
    let response = Request::get(url).send().await.ok()?;
    if response.ok() { response.text().await.ok() } else { None }
}
