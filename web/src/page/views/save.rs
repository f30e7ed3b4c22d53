//! Export and share: files that say that they are synthetic, and a link that draws the same image again.

use gloo_timers::future::TimeoutFuture;
use leptos::prelude::*;
use leptos::task::spawn_local;

use crate::page::components::Action;
use crate::page::controller::Controller;
use crate::page::lang::words;
use crate::page::state::PageState;
use crate::page::{browser, share};
use crate::session::{Event, Export, Session, Slot};

/// How long a button says that it has copied.
const COPIED_MS: u32 = 2_000;

/// PNG, animation and strip; the link.
#[component]
pub(super) fn SaveAndShare(controller: Controller, state: PageState) -> impl IntoView {
    let (words, session) = (words(), controller.session);
    let possible = Memo::new(move |_| session.with(|session| session.can_save(Slot::Generate)));
    let several = Memo::new(move |_| {
        session.with(|session| session.panel(Slot::Generate).is_some_and(|panel| panel.run.count() > 1))
    });
    let save = move |keep: Export| controller.dispatch(Event::Save(Slot::Generate, keep));
    let image = move || state.image.get_untracked();
    let all = move || if several.get() { words.generate.save_all } else { words.generate.save_one }.to_owned();
    view! {
        <section class="card keep" aria-labelledby="keep-heading">
            <h3 id="keep-heading">{words.generate.keep}</h3>
            <p class="soft">{words.generate.keep_intro}</p>
            <div class="buttons">
                <Action
                    label=Signal::derive(all)
                    testid="save"
                    possible
                    on_click=move |()| save(Export::Pictures { image: None })
                />
                <Show when=move || several.get()>
                    <Action
                        label=words.generate.save_one.to_owned()
                        testid="save-one"
                        possible
                        on_click=move |()| save(Export::Pictures { image: Some(image()) })
                    />
                </Show>
                <Action
                    label=words.generate.animation.to_owned()
                    testid="save-animation"
                    possible
                    on_click=move |()| save(Export::Animation { image: image() })
                />
                <Action
                    label=words.generate.strip.to_owned()
                    testid="save-strip"
                    possible
                    on_click=move |()| save(Export::Strip { image: image() })
                />
            </div>
            <Link session />
        </section>
    }
}

#[component]
fn Link(session: RwSignal<Session>) -> impl IntoView {
    let words = words();
    let link = Memo::new(move |_| session.with(share::link));
    let url = Signal::derive(move || link.get().map(share::url).unwrap_or_default());
    let copied = RwSignal::new(false);
    let copy = move |()| {
        let url = url.get_untracked();
        spawn_local(async move {
            if browser::copy(&url).await {
                copied.try_set(true);
                TimeoutFuture::new(COPIED_MS).await;
                copied.try_set(false);
            }
        });
    };
    let label = move || if copied.get() { words.generate.share_copied } else { words.generate.share }.to_owned();
    view! {
        <div class="field share">
            <label for="share-url">{words.generate.share_label}</label>
            <input
                id="share-url"
                data-testid="share-url"
                type="text"
                readonly
                aria-describedby="share-hint"
                prop:value=move || url.get()
            />
            <Action label=Signal::derive(label) testid="share" on_click=copy />
            <p class="hint" id="share-hint">{words.generate.share_hint}</p>
        </div>
    }
}
