//! What can be asked for: one seed, drawn for one class and for another.

use leptos::prelude::*;

use super::controls::{ClassFields, DrawOne, Guidance};
use super::film::{Pair, Pin, Travel};
use super::shared::Intro;
use crate::page::components::{ViewHeading, heading_id};
use crate::page::controller::Controller;
use crate::page::lang::words;
use crate::page::state::PageState;

/// The class's fields, and the picture beside the pinned one.
#[component]
pub(super) fn Conditions(controller: Controller, state: PageState) -> impl IntoView {
    let words = &words().story;
    let travel = Travel::new(controller, state);
    let knows = Memo::new(move |_| {
        controller.session.with(|session| session.model.as_ref().is_none_or(|model| model.classes() > 0))
    });
    view! {
        <section class="view learning" aria-labelledby=heading_id()>
            <ViewHeading text=words.ask />
            <Intro paragraphs=vec![words.ask_intro, words.ask_more] />
            <div class="card columns even">
                <div class="stack">
                    <ClassFields controller state />
                    <Guidance state />
                    <p class="hint">{move || if knows.get() { words.ask_hint } else { words.ask_none }}</p>
                    <div class="buttons">
                        <DrawOne travel testid="ask-draw" />
                        <Pin travel />
                    </div>
                </div>
                <Pair travel />
            </div>
        </section>
    }
}
