//! The present work, in every view: a sentence, a progress bar and Cancel.

use leptos::prelude::*;

use super::browser;
use super::components::Action;
use super::controller::Controller;
use super::lang::words;
use super::state::PageState;
use crate::address::View;
use crate::protocol::Problem;
use crate::session::{Event, Notice, Phase, Session, Slot};
use crate::text::messages;

/// The images of a view.
fn slot(view: View) -> Option<Slot> {
    match view {
        View::Generate | View::Map | View::Conditions => Some(Slot::Generate),
        View::Game => Some(Slot::Game),
        View::Forward => Some(Slot::Denoise),
        View::Between => Some(Slot::Between),
        View::Race => Some(Slot::RaceRight),
        View::Story | View::Schedule | View::Bound | View::Learn | View::Weights | View::About => None,
    }
}

/// Status, progress and Cancel.
#[component]
pub(super) fn JobBar(controller: Controller, state: PageState) -> impl IntoView {
    let (words, session) = (words(), controller.session);
    let status = Memo::new(move |_| session.with(|session| messages::status(words, session, slot(state.view.get()))));
    let can_cancel = Memo::new(move |_| session.with(Session::can_cancel));
    let stopping = Memo::new(move |_| session.with(|session| session.job.as_ref().is_some_and(|job| job.stopping)));
    let label = move || if stopping.get() { words.common.cancelling } else { words.common.cancel }.to_owned();
    let busy = Memo::new(move |_| {
        session.with(|session| {
            matches!(session.state_name(), "loading" | "busy" | "sampling") || session.progress().is_some()
        })
    });
    let cancel = move |()| {
        // The button goes: the focus must not go with it.
        browser::focus(if state.view.get_untracked() == View::Generate { "draw" } else { "view-heading" });
        controller.dispatch(Event::Cancel);
    };
    view! {
        <section class="job" aria-label=words.common.going_on>
            <p class="status" data-testid="status">{status}</p>
            <Show when=move || can_cancel.get() || stopping.get()>
                <Action
                    label=Signal::derive(label)
                    testid="cancel"
                    possible=can_cancel
                    on_click=cancel
                />
            </Show>
            <Show when=move || busy.get()>
                <Bar session />
            </Show>
        </section>
    }
}

/// The progress of the present work; without a value if it is unknown.
#[component]
pub(super) fn Bar(session: RwSignal<Session>) -> impl IntoView {
    let value = Memo::new(move |_| session.with(Session::progress));
    let busy = Memo::new(move |_| session.with(|session| matches!(session.state_name(), "loading" | "busy")));
    // A bar without a value is animated: an idle page has the value 0.
    let shown = move || value.get().or((!busy.get()).then_some(0.0)).map(|value| format!("{value:.4}"));
    view! { <progress max="1" value=shown aria-label=words().common.progress data-testid="progress"></progress> }
}

/// Announcements for a screen reader.
#[component]
pub(super) fn Announcer(controller: Controller, state: PageState) -> impl IntoView {
    let (words, session) = (words(), controller.session);
    let spoken =
        Memo::new(move |_| session.with(|session| messages::announcement(words, session, slot(state.view.get()))));
    view! {
        <p class="visually-hidden" role="status" aria-live="polite" data-testid="live">
            {spoken}
        </p>
    }
}

/// The notice, until it is closed.
#[component]
pub(super) fn NoticeBar(controller: Controller) -> impl IntoView {
    let (words, session) = (words(), controller.session);
    let notice = Memo::new(move |_| session.with(|session| session.notice.clone()));
    let kind = move || match notice.get() {
        Some(Notice::Failed(problem) | Notice::MovedToCpu(problem)) => Some(problem.kind()),
        _ => None,
    };
    let text = move || notice.with(|notice| notice.as_ref().map(|notice| messages::notice(words, notice)));
    view! {
        <div class="notice" class:bad=move || kind().is_some() data-kind=kind data-empty=move || text().is_none().to_string()>
            <p role="status" data-testid="notice">{text}</p>
            <Show when=move || notice.with(Option::is_some)>
                <Action
                    label=words.common.close.to_owned()
                    testid="notice-close"
                    on_click=move |()| controller.dispatch(Event::CloseNotice)
                />
            </Show>
        </div>
    }
}

/// The failure, and how to recover.
#[component]
pub(super) fn Failure(controller: Controller) -> impl IntoView {
    let (words, session) = (words(), controller.session);
    let problem = Memo::new(move |_| {
        session.with(|session| match &session.phase {
            Phase::Failed(problem) => Some(problem.clone()),
            _ => None,
        })
    });
    let card = move |problem: Problem| {
        let retry = messages::recovery(words, problem.recovery()).to_owned();
        view! {
            <section class="failure" role="alert" data-testid="error">
                <h2>{messages::problem_title(words, &problem)}</h2>
                <p>{messages::problem_detail(words, &problem)}</p>
                <Action label=retry testid="retry" primary=true on_click=move |()| controller.dispatch(Event::Recover) />
            </section>
        }
    };
    move || problem.get().map(card)
}
