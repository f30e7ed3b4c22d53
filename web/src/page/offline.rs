//! The service worker, which makes the page work without a network, and its storage.

use gloo_events::EventListener;
use leptos::prelude::*;
use leptos::task::spawn_local;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{ServiceWorkerContainer, ServiceWorkerRegistration, StorageEstimate};

use super::browser;
use super::controller::Controller;
use super::state::PageState;
use crate::session::Phase;

/// The service worker's file, beside the page.
const SERVICE_WORKER: &str = "sw.js";
/// The message that activates a waiting service worker.
const SKIP_WAITING: &str = "skip-waiting";
/// The prefix of the names of the site's caches.
const CACHES: &str = "medical-vdm-";

/// Registers the service worker once the model is loaded, which comes first.
pub(super) fn register(controller: Controller, state: PageState) {
    let session = controller.session;
    let loaded = Memo::new(move |_| session.with(|session| !matches!(session.phase, Phase::Loading(_))));
    Effect::new(move |registered: Option<bool>| {
        let registered = registered.unwrap_or_default();
        if loaded.get() && !registered {
            spawn_local(async move {
                if let Err(error) = try_register(state).await {
                    let error = error.dyn_ref::<js_sys::Error>().map(|error| String::from(error.message()));
                    let remark = format!("{SERVICE_WORKER}: {}", error.unwrap_or_default());
                    state.remarks.update(|remarks| remarks.push(remark));
                }
            });
        }
        registered || loaded.get()
    });
}

async fn try_register(state: PageState) -> Result<(), JsValue> {
    let container = container().ok_or_else(|| js_sys::Error::new("this browser has no service workers here"))?;
    let registration: ServiceWorkerRegistration =
        JsFuture::from(container.register(SERVICE_WORKER)).await?.unchecked_into();
    let look = {
        let registration = registration.clone();
        // The first service worker replaces nothing.
        move || state.update.set(registration.waiting().is_some() && container.controller().is_some())
    };
    look();
    let source = registration.clone();
    let found = EventListener::new(&source, "updatefound", move |_| {
        if let Some(installing) = registration.installing() {
            let look = look.clone();
            EventListener::new(&installing, "statechange", move |_| look()).forget();
        }
    });
    // It lives as long as the page.
    found.forget();
    Ok(())
}

/// Activates the newer version, and loads the page again.
pub(super) fn use_update() {
    let Some(container) = container() else { return };
    spawn_local(async move {
        let Ok(registration) = JsFuture::from(container.get_registration()).await else { return };
        let Ok(registration) = registration.dyn_into::<ServiceWorkerRegistration>() else { return };
        let reload = EventListener::once(&container, "controllerchange", |_| drop(window().location().reload()));
        reload.forget();
        if let Some(waiting) = registration.waiting() {
            drop(waiting.post_message(&SKIP_WAITING.into()));
        }
    });
}

/// Bytes that this site stores in the browser; none if the browser does not tell.
pub(super) async fn used() -> Option<u64> {
    let navigator = window().navigator();
    // It is missing in an insecure context, although the types promise it.
    let storage = js_sys::Reflect::get(&navigator, &"storage".into()).ok()?;
    if !storage.is_object() {
        return None;
    }
    let estimate: StorageEstimate = JsFuture::from(navigator.storage().estimate().ok()?).await.ok()?.unchecked_into();
    Some(estimate.get_usage()? as u64)
}

/// Removes all that this site has stored.
pub(super) async fn empty() {
    browser::forget_words();
    if let Ok(caches) = window().caches()
        && let Ok(names) = JsFuture::from(caches.keys()).await
    {
        for name in js_sys::Array::from(&names).iter().filter_map(|name| name.as_string()) {
            if name.starts_with(CACHES) {
                drop(JsFuture::from(caches.delete(&name)).await);
            }
        }
    }
    if let Some(container) = container()
        && let Ok(registration) = JsFuture::from(container.get_registration()).await
        && let Ok(registration) = registration.dyn_into::<ServiceWorkerRegistration>()
        && let Ok(removal) = registration.unregister()
    {
        drop(JsFuture::from(removal).await);
    }
}

/// The browser's service workers; none in an insecure context.
fn container() -> Option<ServiceWorkerContainer> {
    let navigator = window().navigator();
    let there = js_sys::Reflect::get(&navigator, &"serviceWorker".into()).is_ok_and(|container| container.is_object());
    (window().is_secure_context() && there).then(|| navigator.service_worker())
}
