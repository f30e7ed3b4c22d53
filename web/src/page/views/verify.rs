//! Is it ours? A saved picture is drawn again and compared.

use js_sys::Uint8Array;
use leptos::prelude::*;
use leptos::task::spawn_local;
use wasm_bindgen::JsCast;
use wasm_bindgen_futures::JsFuture;
use web_sys::{File, HtmlInputElement};

use crate::crop::MAX_PICTURE_BYTES;
use crate::page::components::{Captioned, PictureCanvas};
use crate::page::controller::Controller;
use crate::page::lang::words;
use crate::protocol::{Picture, Problem, Verdict};
use crate::session::{Event, Session};
use crate::text::messages;

/// A file to choose, and what it turned out to be.
#[component]
pub(super) fn Verify(controller: Controller) -> impl IntoView {
    let (all, session) = (words(), controller.session);
    let words = &all.game;
    let says = move || {
        session.with(|session| {
            let (file, verdict) = session.verified.as_ref()?;
            Some(format!("{file}: {}", messages::verdict(all, verdict)))
        })
    };
    let picture = move |which: usize| {
        Memo::new(move |_| {
            session.with(|session| match &session.verified.as_ref()?.1 {
                Verdict::Redrawn { given, again, difference, .. } => Some([given, again, difference][which].clone()),
                _ => None,
            })
        })
    };
    let [given, again, difference] = [0, 1, 2].map(picture);
    // The pictures have their labels already.
    let shown = move |picture: Memo<Option<Picture>>, name: &'static str, testid: &'static str| {
        view! {
            <Captioned caption=name>
                <PictureCanvas picture label=name testid synthetic=false />
            </Captioned>
        }
    };
    view! {
        <section class="card verify" aria-labelledby="verify-heading">
            <h3 id="verify-heading">{words.check}</h3>
            <p class="soft">{words.check_intro}</p>
            <label class="file-button" class:off=move || !session.with(Session::is_idle)>
                <input
                    type="file"
                    accept="image/png"
                    data-testid="verify-file"
                    prop:disabled=move || !session.with(Session::is_idle)
                    on:change=move |event| {
                        if let Some(input) = event.target().and_then(|target| target.dyn_into().ok()) {
                            read(controller, input);
                        }
                    }
                />
                <span>{words.check_file}</span>
            </label>
            <p class="verdict" role="status" data-testid="verdict">{says}</p>
            <Show when=move || given.with(Option::is_some)>
                <div class="columns thirds">
                    {shown(given, words.given, "verify-given")} {shown(again, words.redrawn, "verify-again")}
                    {shown(difference, words.difference, "verify-difference")}
                </div>
            </Show>
        </section>
    }
}

fn read(controller: Controller, input: HtmlInputElement) {
    let Some(file) = input.files().and_then(|files| files.get(0)) else { return };
    spawn_local(async move {
        controller.dispatch(match bytes(&file).await {
            Ok(bytes) => Event::Verify { name: file.name(), file: bytes },
            Err(problem) => Event::Refuse(problem),
        });
        // So that the same file can be chosen again.
        input.set_value("");
    });
}

async fn bytes(file: &File) -> Result<Vec<u8>, Problem> {
    let bytes = file.size() as u64;
    if bytes > MAX_PICTURE_BYTES {
        return Err(Problem::TooLarge { file: file.name(), bytes, max: MAX_PICTURE_BYTES });
    }
    let buffer = JsFuture::from(file.array_buffer()).await;
    buffer.map(|buffer| Uint8Array::new(&buffer).to_vec()).map_err(|_| Problem::BadPicture { file: file.name() })
}
