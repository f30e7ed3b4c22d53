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
use crate::session::{Job, JobKind, Plan, Session};

/// The part of the model that works on the present image, or the image.
fn part(session: &Session) -> &'static str {
    match &session.job {
        Some(Job { plan: Plan { kind: JobKind::Fill(_), .. }, step, of, .. }) => match step {
            0 => "noise",
            step if step < of => "net",
            _ => "decoder",
        },
        _ => "picture",
    }
}

/// The view.
#[component]
pub(in crate::page) fn Story(controller: Controller, state: PageState) -> impl IntoView {
    let words = &words().story;
    view! {
        <div class="story">
            <section class="view" aria-labelledby="view-heading">
                <ViewHeading text=words.title />
                <p class="lead">{words.intro}</p>
                <ol class="parts" data-part=move || controller.session.with(part)>
                    <li>{words.noise}</li>
                    <li>{words.net}</li>
                    <li>{words.decoder}</li>
                    <li>{words.picture}</li>
                </ol>
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
