//! Small services of the browser. If it refuses one, nothing happens: none is essential.

use gloo_timers::future::TimeoutFuture;
use leptos::prelude::*;
use leptos::task::spawn_local;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{HtmlElement, Storage};

/// A text that the page has stored in this browser.
pub(super) fn stored(key: &str) -> Option<String> {
    storage()?.get_item(key).ok()?
}

/// Stores a text in this browser.
pub(super) fn store(key: &str, value: &str) {
    if let Some(storage) = storage() {
        drop(storage.set_item(key, value));
    }
}

/// Removes every stored text.
pub(super) fn forget_words() {
    if let Some(storage) = storage() {
        drop(storage.clear());
    }
}

fn storage() -> Option<Storage> {
    window().local_storage().ok()?
}

/// The part of the address from `?` on.
pub(super) fn search() -> String {
    window().location().search().unwrap_or_default()
}

/// The part of the address from `#` on.
pub(super) fn hash() -> String {
    window().location().hash().unwrap_or_default()
}

/// Whether the page's address is of this computer alone.
pub(super) fn is_local() -> bool {
    let host = window().location().hostname().unwrap_or_default();
    matches!(&*host, "localhost" | "127.0.0.1" | "[::1]")
}

/// Replaces the page's address from `?` on, without loading it.
pub(super) fn replace_address(search: &str) {
    let location = window().location();
    let address = [&*location.pathname().unwrap_or_default(), search, &*hash()].concat();
    if let Ok(history) = window().history() {
        drop(history.replace_state_with_url(&JsValue::NULL, "", Some(&address)));
    }
}

/// The complete address of the page with another part from `?` on and without a fragment.
pub(super) fn address_with(search: &str) -> String {
    let location = window().location();
    [&*location.origin().unwrap_or_default(), &*location.pathname().unwrap_or_default(), search].concat()
}

/// Copies a text to the clipboard; returns whether it worked.
pub(super) async fn copy(words: &str) -> bool {
    // In an insecure context there is no clipboard, although the types promise it.
    let navigator = window().navigator();
    let there = js_sys::Reflect::get(&navigator, &"clipboard".into()).is_ok_and(|clipboard| clipboard.is_object());
    there && JsFuture::from(navigator.clipboard().write_text(words)).await.is_ok()
}

/// Focuses an element once the page is rendered.
pub(super) fn focus(id: &'static str) {
    spawn_local(async move {
        TimeoutFuture::new(0).await;
        let element = document().get_element_by_id(id).and_then(|element| element.dyn_into::<HtmlElement>().ok());
        if let Some(element) = element {
            drop(element.focus());
        }
    });
}

/// Whether the user has asked the browser to save data.
pub(super) fn saves_data() -> bool {
    let read = |object: &JsValue, name: &str| js_sys::Reflect::get(object, &name.into()).unwrap_or_default();
    // Not every browser has it.
    let connection = read(&window().navigator(), "connection");
    connection.is_object() && read(&connection, "saveData").is_truthy()
}

/// Whether the user prefers reduced motion.
pub(super) fn reduced_motion() -> bool {
    let query = window().match_media("(prefers-reduced-motion: reduce)");
    query.ok().flatten().is_some_and(|query| query.matches())
}
