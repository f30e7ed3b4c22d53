//! What this browser stores, how to delete it, and how to install the page.

use leptos::prelude::*;
use leptos::task::spawn_local;

use crate::page::components::{Action, fetched};
use crate::page::lang::words;
use crate::page::offline;
use crate::page::state::PageState;
use crate::session::{Choice, Session};
use crate::text::fill;

/// Storage and use without a network.
#[component]
pub(super) fn Storage(session: RwSignal<Session>, state: PageState) -> impl IntoView {
    let words = words();
    let loaded = Memo::new(move |_| session.with(|session| session.model.is_some()));
    let emptied = RwSignal::new(false);
    let used = fetched(move || {
        emptied.track();
        loaded.track();
        offline::used()
    });
    let used = move || match used.get() {
        Some(Some(bytes)) => fill(words.offline.storage_used, &[("used", &words.lang.megabytes(bytes))]),
        Some(None) => words.offline.storage_unknown.to_owned(),
        None => words.common.nothing.to_owned(),
    };
    // The user's own files are theirs to keep.
    let refused = Memo::new(move |_| {
        let weights = session.with(|session| {
            let is_of_site = matches!(session.choice, Choice::Site(_));
            session.model.as_ref().is_some_and(|model| is_of_site && !model.kept)
        });
        weights || !state.remarks.with(Vec::is_empty)
    });
    let works = move || if refused.get() { words.offline.needs_network } else { words.offline.works_offline };
    let empty = move |()| {
        spawn_local(async move {
            offline::empty().await;
            emptied.try_set(true);
        });
    };
    view! {
        <section class="card prose" aria-labelledby="storage-heading">
            <h3 id="storage-heading">{words.offline.storage}</h3>
            <p data-testid="works-offline">{works}</p>
            <p data-testid="storage-used">{used}</p>
            <Action label=words.offline.empty_storage.to_owned() testid="empty-storage" on_click=empty />
            <p role="status">{move || emptied.get().then_some(words.offline.emptied)}</p>
            <h4>{words.offline.install}</h4>
            <ul data-testid="install">
                <li>{words.offline.install_desktop}</li>
                <li>{words.offline.install_phone}</li>
            </ul>
        </section>
    }
}
