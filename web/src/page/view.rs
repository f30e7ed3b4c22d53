//! The page as a whole, and what it says of its state.

use leptos::prelude::*;

use super::controller::Controller;
use super::controls::Controls;
use super::facts::Facts;
use super::picture::PicturePanel;
use crate::protocol::Problem;
use crate::session::{Event, Phase};
use crate::text;

/// The whole page.
#[component]
pub(super) fn App(controller: Controller) -> impl IntoView {
    let session = controller.session;
    let state = Memo::new(move |_| session.with(|session| session.phase.name()));
    let backend = Memo::new(move |_| {
        session.with(|session| session.model.as_ref().map_or("none", |model| model.backend.kind.name()))
    });
    let failure = Memo::new(move |_| {
        session.with(|session| match &session.phase {
            Phase::Failed(problem) => Some(problem.clone()),
            _ => None,
        })
    });
    let error_kind = move || failure.with(|failure| failure.as_ref().map(Problem::kind));
    let announcement = Memo::new(move |_| session.with(text::announcement));

    view! {
        <div
            class="app"
            data-testid="app"
            data-state=move || state.get()
            data-backend=move || backend.get()
            data-error=error_kind
        >
            <header>
                <h1>{text::TITLE}</h1>
                <p class="lead">{text::LEAD}</p>
                <p class="warning" data-testid="warning">
                    <strong>{text::WARNING}</strong>
                    " "
                    <span>{text::WARNING_DETAIL}</span>
                </p>
            </header>
            <main>
                <PicturePanel session />
                <div class="side">
                    {move || failure.get().map(|problem| view! { <Failure controller problem /> })}
                    <Controls controller />
                    <Facts session />
                </div>
            </main>
            <p class="visually-hidden" role="status" aria-live="polite">{move || announcement.get()}</p>
        </div>
    }
}

/// What went wrong, and the way on.
#[component]
fn Failure(controller: Controller, problem: Problem) -> impl IntoView {
    view! {
        <section class="failure" role="alert" data-testid="error">
            <h2>{text::problem_title(&problem)}</h2>
            <p>{text::problem_detail(&problem)}</p>
            <button type="button" class="primary" data-testid="retry" on:click=move |_| controller.dispatch(Event::Recover)>
                {text::recovery(problem.recovery())}
            </button>
        </section>
    }
}
