//! The story: the learning views as chapters of one page, each with its figure on the visitor's own image.

use leptos::context::Provider;
use leptos::prelude::*;

use super::between::Between;
use super::bound::Bound;
use super::conditions::Conditions;
use super::forward::Forward;
use super::learn::Learn;
use super::map::Map;
use super::race::Race;
use super::schedule::Schedule;
use crate::address::View;
use crate::page::components::{Chapter, ViewHeading};
use crate::page::controller::Controller;
use crate::page::lang::words;
use crate::page::state::PageState;
use crate::session::{Job, JobKind, Plan, Session};

/// The chapters, each of which is a view of its own, too.
const CHAPTERS: [View; 8] =
    [View::Forward, View::Schedule, View::Bound, View::Map, View::Conditions, View::Race, View::Between, View::Learn];

/// A chapter as a view; as any other, the last one.
pub(in crate::page) fn chapter_view(view: View, controller: Controller, state: PageState) -> AnyView {
    match view {
        View::Forward => view! { <Forward controller state /> }.into_any(),
        View::Schedule => view! { <Schedule controller state /> }.into_any(),
        View::Bound => view! { <Bound controller state /> }.into_any(),
        View::Map => view! { <Map controller state /> }.into_any(),
        View::Conditions => view! { <Conditions controller state /> }.into_any(),
        View::Race => view! { <Race controller state /> }.into_any(),
        View::Between => view! { <Between controller state /> }.into_any(),
        _ => view! { <Learn controller state /> }.into_any(),
    }
}

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
    let chapter = |view: View| {
        view! { <Provider value=Chapter(view.name())>{chapter_view(view, controller, state)}</Provider> }
    };
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
            {CHAPTERS.map(chapter).into_iter().collect_view()}
            <section class="view" aria-labelledby="copies-heading">
                <h3 id="copies-heading" class="chapter">{words.copies}</h3>
                <p class="lead">{words.copies_text} " " <a href="#about">{words.card}</a></p>
            </section>
        </div>
    }
}
