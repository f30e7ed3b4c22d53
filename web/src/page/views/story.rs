//! The story: the learning views as chapters of one page, each with its figure on the visitor's own image.

use leptos::context::Provider;
use leptos::prelude::*;

use super::between::Between;
use super::bound::Bound;
use super::forward::Forward;
use super::learn::Learn;
use super::race::Race;
use super::schedule::Schedule;
use crate::page::components::{Chapter, ViewHeading};
use crate::page::controller::Controller;
use crate::page::lang::words;
use crate::page::state::PageState;

/// The view.
#[component]
pub(in crate::page) fn Story(controller: Controller, state: PageState) -> impl IntoView {
    let words = &words().story;
    view! {
        <div class="story">
            <section class="view" aria-labelledby="view-heading">
                <ViewHeading text=words.title />
                <p class="lead">{words.intro}</p>
            </section>
            <Provider value=Chapter("forward")>
                <Forward controller state />
            </Provider>
            <Provider value=Chapter("schedule")>
                <Schedule controller state />
            </Provider>
            <Provider value=Chapter("bound")>
                <Bound controller state />
            </Provider>
            <Provider value=Chapter("race")>
                <Race controller state />
            </Provider>
            <Provider value=Chapter("between")>
                <Between controller state />
            </Provider>
            <Provider value=Chapter("learn")>
                <Learn controller state />
            </Provider>
            <section class="view" aria-labelledby="copies-heading">
                <h3 id="copies-heading" class="chapter">{words.copies}</h3>
                <p class="lead">{words.copies_text} " " <a href="#about">{words.card}</a></p>
            </section>
        </div>
    }
}
