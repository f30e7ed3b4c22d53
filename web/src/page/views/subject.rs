//! The choice of an image: one of the model's, or the user's own.

use leptos::prelude::*;
use leptos::task::spawn_local;
use wasm_bindgen::JsCast;
use web_sys::HtmlInputElement;

use super::own_picture;
use super::shared::has_encoder;
use crate::learning::{examples, last_image};
use crate::page::components::{Action, Captioned, PictureCanvas};
use crate::page::controller::Controller;
use crate::page::lang::words;
use crate::page::state::PageState;
use crate::protocol::{Picture, Subject};
use crate::session::{Event, Session};
use crate::text::fill;

/// The examples, the last generated image, or a file.
#[component]
pub(super) fn SubjectPicker(controller: Controller, state: PageState) -> impl IntoView {
    let session = controller.session;
    let chosen = state.learning.subject;
    let words = &words().learning.subject;
    let offered = Memo::new(move |_| session.with(|session| examples(session.entry())));
    let last = Memo::new(move |_| {
        let image = state.image.get() as usize;
        session.with(|session| last_image(session, image))
    });
    let size = Memo::new(move |_| session.with(picture_size));
    let has_encoder = has_encoder(session);
    choose_for_the_user(state, offered, last, size, has_encoder);

    let is_chosen =
        move |subject: Subject| Signal::derive(move || chosen.with(|chosen| chosen.as_ref() == Some(&subject)));
    let example_buttons = move || {
        let pictures = session.with_untracked(Session::example_pictures);
        let buttons = offered.get().into_iter().enumerate().map(|(i, subject)| {
            let pressed = is_chosen(subject.clone());
            let picture = match (&subject, &pictures) {
                (Subject::Sample(settings), Some(start)) => format!("url({start}{}.png)", settings.seed),
                _ => String::new(),
            };
            view! {
                <span class="example" style:background-image=picture>
                    <Action
                        label=fill(words.example, &[("number", &(i + 1).to_string())])
                        testid=format!("example-{i}")
                        pressed
                        on_click=move |()| chosen.set(Some(subject.clone()))
                    />
                </span>
            }
        });
        buttons.collect_view()
    };
    let own = Memo::new(move |_| {
        chosen.with(|chosen| match chosen {
            Some(Subject::Image { picture, .. }) => Some(picture.clone()),
            _ => None,
        })
    });
    let hint = move || if has_encoder.get() { words.own_hint } else { words.no_encoder };

    view! {
        <div class="card subject">
            <fieldset>
            <legend>{words.choose}</legend>
            <div class="choices">
                {example_buttons}
                <Action
                    label=words.last
                    testid="subject-sample"
                    possible=Signal::derive(move || last.with(Option::is_some))
                    pressed=Signal::derive(move || last.with(|last| last.is_some() && chosen.with(|chosen| chosen == last)))
                    on_click=move |()| chosen.set(last.get_untracked())
                />
                <FileButton controller state size has_encoder />
            </div>
            </fieldset>
            <p class="hint">{hint}</p>
            <p class="subject-name" data-testid="subject-name">
                {move || chosen.with(|chosen| subject_name(chosen.as_ref()))}
            </p>
            <Show when=move || own.with(Option::is_some)>
                <Captioned caption=words.original>
                    <PictureCanvas picture=own label=words.original testid="forward-original" synthetic=false />
                </Captioned>
            </Show>
        </div>
    }
}

/// The name of a subject.
pub(super) fn subject_name(subject: Option<&Subject>) -> String {
    let words = &words().learning.subject;
    match subject {
        Some(Subject::Sample(settings)) => fill(words.name_sample, &[("seed", &settings.seed.to_string())]),
        Some(Subject::Image { name, .. }) => fill(words.name_own, &[("file", name)]),
        None => words.none.to_owned(),
    }
}

/// Chooses an image at the start, and again if the weights in use cannot take the chosen one.
fn choose_for_the_user(
    state: PageState,
    offered: Memo<Vec<Subject>>,
    last: Memo<Option<Subject>>,
    size: Memo<Option<(u32, u32)>>,
    has_encoder: Memo<bool>,
) {
    let chosen = state.learning.subject;
    Effect::new(move |_| {
        let Some(size) = size.get() else { return };
        let fits = |subject: &Subject| match subject {
            Subject::Sample(_) => true,
            Subject::Image { picture: Picture { width, height, .. }, .. } => {
                has_encoder.get() && (*width, *height) == size
            }
        };
        if !chosen.with(|chosen| chosen.as_ref().is_some_and(fits)) {
            let subject = last.get_untracked().or_else(|| offered.with_untracked(|offered| offered.first().cloned()));
            chosen.set(subject);
        }
    });
}

/// The width and height of the model's images.
fn picture_size(session: &Session) -> Option<(u32, u32)> {
    session.model.as_ref().map(|model| (model.config.width as u32, model.config.height as u32))
}

/// The input for a file, as a button.
#[component]
fn FileButton(
    controller: Controller,
    state: PageState,
    size: Memo<Option<(u32, u32)>>,
    has_encoder: Memo<bool>,
) -> impl IntoView {
    let possible = move || has_encoder.get() && size.with(Option::is_some);
    let read = move |input: HtmlInputElement| {
        let Some(file) = input.files().and_then(|files| files.get(0)) else { return };
        let Some(size) = size.get_untracked() else { return };
        spawn_local(async move {
            match own_picture::read(&file, size).await {
                Ok(picture) => state.learning.subject.set(Some(Subject::Image { name: file.name(), picture })),
                Err(problem) => controller.dispatch(Event::Refuse(problem)),
            }
            // So that the same file can be chosen again.
            input.set_value("");
        });
    };
    view! {
        <label class="file-button" class:off=move || !possible()>
            <input
                type="file"
                accept="image/*"
                data-testid="subject-file"
                prop:disabled=move || !possible()
                on:change=move |event| {
                    if let Some(input) = event.target().and_then(|target| target.dyn_into().ok()) {
                        read(input);
                    }
                }
            />
            <span>{words().learning.subject.own}</span>
        </label>
    }
}
