//! Saving and sharing: files that are marked as synthetic, and a link that makes the same image again.

use leptos::prelude::*;

use crate::page::components::{Action, CopyButton};
use crate::page::controller::Controller;
use crate::page::lang::words;
use crate::page::share;
use crate::page::state::PageState;
use crate::protocol::Film;
use crate::session::{Event, Export, Slot};

/// PNG, animation, GIF, strip and link.
#[component]
pub(super) fn SaveAndShare(controller: Controller, state: PageState) -> impl IntoView {
    let (words, session) = (words(), controller.session);
    let possible = Memo::new(move |_| session.with(|session| session.can_save(Slot::Generate)));
    let several = Memo::new(move |_| {
        session.with(|session| session.panel(Slot::Generate).is_some_and(|panel| panel.run.count() > 1))
    });
    // The steps of a run can be drawn again only by the weights that made it.
    let filmed = Memo::new(move |_| {
        session.with(|session| session.can_save(Slot::Generate) && session.is_of_model(Slot::Generate))
    });
    let link = Memo::new(move |_| session.with(share::link));
    let url = Signal::derive(move || link.get().map(share::url).unwrap_or_default());
    let save = move |export: Export| controller.dispatch(Event::Save(Slot::Generate, export));
    let image = move || state.image.get_untracked();
    let all = move || if several.get() { words.generate.save_all } else { words.generate.save_one }.to_owned();
    view! {
        <div class="keep">
            <div class="buttons">
                <Action
                    label=Signal::derive(all)
                    testid="save"
                    possible
                    on_click=move |()| save(Export::Pictures { image: None })
                />
                <Show when=move || several.get() && state.opened.get()>
                    <Action
                        label=words.generate.save_one.to_owned()
                        testid="save-one"
                        possible
                        on_click=move |()| save(Export::Pictures { image: Some(image()) })
                    />
                </Show>
                <CopyButton
                    label=words.generate.share
                    copied_label=words.generate.share_copied
                    testid="share"
                    text=url
                />
            </div>
            <details data-testid="keep">
                <summary>{words.generate.keep}</summary>
                <p class="hint">{words.generate.keep_intro}</p>
                <div class="buttons">
                    <Action
                        label=words.generate.animation.to_owned()
                        testid="save-animation"
                        possible=filmed
                        on_click=move |()| save(Export::Animation { image: image(), format: Film::Png })
                    />
                    <Action
                        label=words.generate.gif.to_owned()
                        testid="save-gif"
                        possible=filmed
                        on_click=move |()| save(Export::Animation { image: image(), format: Film::Gif })
                    />
                    <Action
                        label=words.generate.strip.to_owned()
                        testid="save-strip"
                        possible=filmed
                        on_click=move |()| save(Export::Strip { image: image() })
                    />
                </div>
                <div class="field">
                    <label for="share-url">{words.generate.share_label}</label>
                    <input
                        id="share-url"
                        data-testid="share-url"
                        type="text"
                        readonly
                        aria-describedby="share-hint"
                        prop:value=move || url.get()
                    />
                    <p class="hint" id="share-hint">{words.generate.share_hint}</p>
                </div>
            </details>
        </div>
    }
}
