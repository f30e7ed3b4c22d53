//! The page: Leptos components over a [`Session`], and the controller that carries out its commands.
//!
//! `app` is the frame around the `views`; `components` are their common parts; `state` outlives them.

mod app;
mod browser;
mod components;
mod controller;
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
use crate::session::{Event, Session};

/// Replaces the static text of `index.html` by the page.
pub(crate) fn start() {
    let document = document();
    let root: Option<HtmlElement> = document.get_element_by_id("app").and_then(|root| root.dyn_into().ok());
    let Some(root) = root.or_else(|| document.body()) else { return };
    root.set_inner_html("");
    let base = document.base_uri().ok().flatten().unwrap_or_default();
    let weights_url = Url::new_with_base("weights/", &base).map_or_else(|_| "weights/".to_owned(), |url| url.href());
    let address = Address::parse(&browser::search());
    let expected_hash = address.link.as_ref().and_then(|link| link.weights.clone());
    let session = Session::new(weights_url, address.backend, expected_hash);
    let mounted = mount_to(root, move || {
        let controller = Controller::new(session);
        let view = View::from_hash(&browser::hash());
        let state = PageState::new(lang::preferred(address.lang), view, address.kiosk, address.link);
        provide_context(state.lang);
        share::open_links(controller, state);
        files::accept_drops(controller, state);
        offline::register(controller, state);
        controller.dispatch(Event::Open);
        view! { <App controller state /> }
    });
    mounted.forget();
}
