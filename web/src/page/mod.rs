//! The page: Leptos components over a [`Session`], and the controller that carries out its commands.
//!
//! `app` is the frame around the `views`; `components` are their common parts; `state` outlives them.

mod app;
mod browser;
mod components;
mod controller;
mod draw;
mod files;
mod job;
mod kiosk;
mod lang;
mod offline;
mod share;
mod state;
mod views;

use leptos::prelude::*;
use wasm_bindgen::JsCast;
use web_sys::{HtmlElement, Url};

use self::app::App;
use self::controller::Controller;
use self::state::PageState;
use crate::address::{Address, View};
use crate::protocol::Problem;
use crate::session::{Event, Notice, Session};
use crate::text::Lang;

/// Replaces the static text of `index.html` by the page.
pub(crate) fn start() {
    let document = document();
    let root: Option<HtmlElement> = document.get_element_by_id("app").and_then(|root| root.dyn_into().ok());
    let Some(root) = root.or_else(|| document.body()) else { return };
    let base = document.base_uri().ok().flatten().unwrap_or_default();
    let weights_url = Url::new_with_base("weights/", &base).map_or_else(|_| "weights/".to_owned(), |url| url.href());
    let address = Address::parse(&browser::search());
    let expected_hash = address.link.as_ref().and_then(|link| link.weights.clone());
    let session = Session::new(weights_url, address.backend, expected_hash);
    let preferred = lang::preferred(address.lang);
    // Not that of Leptos, which has no executor before something is mounted.
    wasm_bindgen_futures::spawn_local(async move {
        let loaded = lang::load(preferred).await;
        let lang = if loaded.is_ok() { preferred } else { Lang::default() };
        root.set_inner_html("");
        mount(root, session, address, lang, loaded.err());
    });
}

fn mount(root: HtmlElement, session: Session, address: Address, lang: Lang, problem: Option<Problem>) {
    let mounted = mount_to(root, move || {
        let controller = Controller::new(session);
        let view = View::from_hash(&browser::hash());
        let state = PageState::new(lang, view, &address, browser::saves_data());
        provide_context(state.lang);
        share::open_links(controller, state, address.faults);
        files::accept_drops(controller, state);
        offline::register(controller, state);
        draw::at_once(controller, state);
        if let Some(problem) = problem {
            controller.dispatch(Event::Tell(Notice::Failed(problem)));
        }
        view! { <App controller state /> }
    });
    mounted.forget();
}
