//! The frame around every view.

use gloo_events::EventListener;
use leptos::prelude::*;
use leptos::task::spawn_local;
use strum::VariantArray;

use super::browser;
use super::components::Action;
use super::controller::Controller;
use super::job::{Announcer, Failure, JobBar, NoticeBar};
use super::kiosk::Kiosk;
use super::lang::{self, words};
use super::offline;
use super::state::PageState;
use super::views::about::About;
use super::views::game::Game;
use super::views::generate::Generate;
use super::views::story::{Story, chapter_view};
use super::views::weights::Weights;
use crate::address::View;
use crate::protocol::Problem;
use crate::session::{Event, Notice, Phase, Session};
use crate::text::{Lang, Words};

/// The page. A change of language renders it again; its state lives outside of it.
#[component]
pub(super) fn App(controller: Controller, state: PageState) -> impl IntoView {
    let session = controller.session;
    let name = Memo::new(move |_| session.with(Session::state_name));
    let backend = Memo::new(move |_| {
        session.with(|session| session.model.as_ref().map_or("none", |model| model.backend.kind.name()))
    });
    let error = Memo::new(move |_| {
        session.with(|session| match &session.phase {
            Phase::Failed(problem) => Some(Problem::kind(problem)),
            _ => None,
        })
    });
    follow_address(state);
    view! {
        <div
            class="app"
            class:kiosk=move || state.kiosk.get()
            data-testid="app"
            data-state=move || name.get()
            data-backend=move || backend.get()
            data-error=move || error.get()
            data-view=move || state.view.get().name()
            data-kiosk=move || state.kiosk.get().to_string()
        >
            {move || {
                state.lang.track();
                if state.kiosk.get() {
                    view! { <Kiosk controller state /> }.into_any()
                } else {
                    view! { <Page controller state /> }.into_any()
                }
            }}
        </div>
    }
}

/// Shows the view of the address, and sets the title and language of the document.
fn follow_address(state: PageState) {
    let listener = EventListener::new(&window(), "hashchange", move |_| {
        let view = View::from_hash(&browser::hash());
        if state.view.get_untracked() != view {
            state.view.set(view);
            // Keyboard and screen reader continue at the new content.
            browser::focus("view-heading");
        }
    });
    // It lives as long as the page.
    listener.forget();
    Effect::new(move |_| {
        let lang = state.lang.get();
        let words = lang.words();
        document().set_title(&format!("{} – {}", view_name(words, state.view.get()), words.common.title));
        if let Some(root) = document().document_element() {
            drop(root.set_attribute("lang", lang.tag()));
        }
    });
}

fn view_name(words: &Words, view: View) -> &'static str {
    let common = &words.common;
    match view {
        View::Generate => common.generate,
        View::Game => words.game.title,
        View::Forward => common.forward,
        View::Schedule => common.schedule,
        View::Bound => common.bound,
        View::Map => common.map,
        View::Conditions => common.conditions,
        View::Between => common.between,
        View::Race => common.race,
        View::Story => words.story.name,
        View::Learn => words.toy.title,
        View::Weights => common.weights,
        View::About => common.about,
    }
}

/// The page outside of kiosk mode.
#[component]
fn Page(controller: Controller, state: PageState) -> impl IntoView {
    let words = words();
    view! {
        <a
            class="skip"
            href="#main"
            on:click=|event| {
                // The fragment of the address is the view.
                event.prevent_default();
                browser::focus("view-heading");
            }
        >
            {words.common.skip}
        </a>
        <header>
            <h1>{words.common.title}</h1>
            <Language controller state />
            <p class="warning" data-testid="warning">
                <strong>{words.common.warning}</strong>
                " "
                <span>{words.common.warning_detail}</span>
            </p>
        </header>
        <Navigation state />
        // Visible at every scroll position: the present work, and its results.
        <div class="news">
            <Show when=move || state.view.get() != View::Generate>
                <JobBar controller state />
            </Show>
            <Update state />
            <NoticeBar controller />
        </div>
        <main id="main">
            <Failure controller />
            {move || match state.view.get() {
                View::Generate => view! { <Generate controller state /> }.into_any(),
                View::Game => view! { <Game controller state /> }.into_any(),
                View::Story => view! { <Story controller state /> }.into_any(),
                View::Weights => view! { <Weights controller state /> }.into_any(),
                View::About => view! { <About controller state /> }.into_any(),
                view => chapter_view(view, controller, state),
            }}
        </main>
        <Announcer controller state />
        <div class="drop-here" hidden=move || !state.dragging.get()>
            <p>{words.weights.drop_here}</p>
        </div>
    }
}

#[component]
fn Navigation(state: PageState) -> impl IntoView {
    let words = words();
    let link = move |view: View| {
        view! {
            <li>
                <a
                    href=format!("#{}", view.name())
                    data-testid=format!("nav-{}", view.name())
                    aria-current=move || (state.view.get() == view).then_some("page")
                >
                    {view_name(words, view)}
                </a>
            </li>
        }
    };
    let links = move |chapters: bool| {
        View::VARIANTS.iter().copied().filter(|view| view.is_chapter() == chapters).map(link).collect_view()
    };
    // The chapters are for those who have come to the story.
    let tells = Memo::new(move |_| state.view.get() == View::Story || state.view.get().is_chapter());
    view! {
        <nav aria-label=words.common.views>
            <ul>{links(false)}</ul>
            <Show when=move || tells.get()>
                <ul class="chapters">{links(true)}</ul>
            </Show>
        </nav>
    }
}

#[component]
fn Language(controller: Controller, state: PageState) -> impl IntoView {
    let words = words();
    let choose = move |event| {
        let Some(lang) = Lang::from_tag(&event_target_value(&event)) else { return };
        spawn_local(async move {
            match lang::load(lang).await {
                Ok(()) => {
                    lang::remember(lang);
                    state.lang.set(lang);
                }
                Err(problem) => {
                    controller.dispatch(Event::Tell(Notice::Failed(problem)));
                    state.lang.set(words.lang);
                }
            }
            // The page is rendered again.
            browser::focus("lang");
        });
    };
    let option = |lang: Lang| {
        view! {
            <option value=lang.tag() lang=lang.tag() selected=lang == words.lang>
                {lang.name()}
            </option>
        }
    };
    view! {
        <div class="language">
            <label class="visually-hidden" for="lang">{words.common.language}</label>
            <select id="lang" data-testid="lang" on:change=choose>
                {Lang::ALL.map(option).collect_view()}
            </select>
        </div>
    }
}

/// Offers a newer version of the site.
#[component]
fn Update(state: PageState) -> impl IntoView {
    let words = words();
    view! {
        <Show when=move || state.update.get()>
            <div class="notice" role="status">
                <p>{words.offline.update}</p>
                <Action
                    label=words.offline.update_now.to_owned()
                    testid="update"
                    on_click=|()| offline::use_update()
                />
            </div>
        </Show>
    }
}
