//! The page: Leptos components over a [`Session`](crate::session::Session), and the controller that carries out what
//! it commands.

mod controller;
mod controls;
mod facts;
mod picture;
mod view;

use leptos::prelude::*;
use wasm_bindgen::JsCast;
use web_sys::{HtmlElement, Url, UrlSearchParams};

use self::controller::Controller;
use self::view::App;
use crate::protocol::BackendWish;
use crate::session::{Event, Session};

/// Shows the page, in place of the words that stand there until it runs.
pub(crate) fn start() {
    let document = document();
    let root: Option<HtmlElement> = document.get_element_by_id("app").and_then(|root| root.dyn_into().ok());
    let Some(root) = root.or_else(|| document.body()) else { return };
    root.set_inner_html("");
    let base = document.base_uri().ok().flatten().unwrap_or_default();
    let weights_url = Url::new_with_base("weights/", &base).map_or_else(|_| "weights/".to_owned(), |url| url.href());
    let session = Session::new(weights_url, BackendWish::from_address(query("backend").as_deref()));
    let mounted = mount_to(root, move || {
        let controller = Controller::new(session);
        controller.dispatch(Event::Open);
        view! { <App controller /> }
    });
    mounted.forget();
}

/// A value of the page's address.
fn query(name: &str) -> Option<String> {
    let search = window().location().search().ok()?;
    UrlSearchParams::new_with_str(&search).ok()?.get(name)
}
