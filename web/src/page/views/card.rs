//! The model card, fetched when it is opened.

use gloo_net::http::Request;
use leptos::prelude::*;

use crate::markdown::{Block, Span, parse};
use crate::page::lang::words;
use crate::session::Session;

/// The card of the model in use, where the site has one.
#[component]
pub(super) fn Card(session: RwSignal<Session>) -> impl IntoView {
    let words = words();
    let url = Memo::new(move |_| session.with(Session::card_url));
    let card = LocalResource::new(move || async move {
        match url.get() {
            Some(url) => fetch(&url).await,
            None => None,
        }
    });
    let blocks = move || match card.get() {
        Some(Some(text)) => parse(&text).into_iter().map(block).collect_view().into_any(),
        Some(None) => view! { <p>{words.about.card_failed}</p> }.into_any(),
        None => ().into_any(),
    };
    view! {
        <Show when=move || url.with(Option::is_some)>
            <details class="card" data-testid="card">
                <summary><h3>{words.about.card}</h3></summary>
                <div class="prose" lang="en">{blocks}</div>
            </details>
        </Show>
    }
}

async fn fetch(url: &str) -> Option<String> {
    let response = Request::get(url).send().await.ok()?;
    if response.ok() { response.text().await.ok() } else { None }
}

fn block(block: Block) -> AnyView {
    match block {
        // The card's own title is a heading of the page's fourth level.
        Block::Heading(1, text) => view! { <h4>{spans(text)}</h4> }.into_any(),
        Block::Heading(_, text) => view! { <h5>{spans(text)}</h5> }.into_any(),
        Block::Paragraph(text) => view! { <p>{spans(text)}</p> }.into_any(),
        Block::List(points) => {
            let points = points.into_iter().map(|point| view! { <li>{spans(point)}</li> }).collect_view();
            view! { <ul>{points}</ul> }.into_any()
        }
        Block::Code(code) => view! { <pre tabindex="0">{code}</pre> }.into_any(),
        Block::Table(rows) => table(rows),
    }
}

fn table(rows: Vec<Vec<Vec<Span>>>) -> AnyView {
    let mut rows = rows.into_iter();
    let head = rows.next().unwrap_or_default();
    let head = head.into_iter().map(|cell| view! { <th scope="col">{spans(cell)}</th> }).collect_view();
    let row = |row: Vec<Vec<Span>>| {
        let cells = row.into_iter().map(|cell| view! { <td>{spans(cell)}</td> }).collect_view();
        view! { <tr>{cells}</tr> }
    };
    let body = rows.map(row).collect_view();
    view! {
        // Focusable, so that the arrow keys scroll it.
        <div class="scroll" tabindex="0">
            <table>
                <thead>
                    <tr>{head}</tr>
                </thead>
                <tbody>{body}</tbody>
            </table>
        </div>
    }
    .into_any()
}

fn spans(spans: Vec<Span>) -> Vec<AnyView> {
    let span = |span| match span {
        Span::Text(text) => text.into_any(),
        Span::Strong(text) => view! { <strong>{text}</strong> }.into_any(),
        Span::Emphasis(text) => view! { <em>{text}</em> }.into_any(),
        Span::Code(text) => view! { <code>{text}</code> }.into_any(),
        Span::Link { text, url } => view! { <a href=url rel="external noopener">{text}</a> }.into_any(),
    };
    spans.into_iter().map(span).collect()
}
