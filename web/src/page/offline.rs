//! The service worker, which makes the page work without a network, and what this browser keeps for it.

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

/// Beside the page.
const SERVICE_WORKER: &str = "sw.js";
/// What a newer service worker that waits understands.
const SKIP_WAITING: &str = "skip-waiting";
/// What the names of the site's caches start with.
const CACHES: &str = "medical-vdm-";

/// Registers the service worker once the model is there: on a first visit, the model comes first.
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
    let Some(container) = container() else { return Ok(()) };
    let registration: ServiceWorkerRegistration =
        JsFuture::from(container.register(SERVICE_WORKER)).await?.unchecked_into();
    let look = {
        let registration = registration.clone();
        // The first one of all has nothing to replace.
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
    // For as long as the page is there.
    found.forget();
    Ok(())
}

/// Lets the newer version take over, and loads the page again as soon as it has.
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

/// Bytes that this site keeps here; none where the browser does not say.
pub(super) async fn used() -> Option<u64> {
    let navigator = window().navigator();
    // In an insecure context it is not there, whatever the types say.
    let storage = js_sys::Reflect::get(&navigator, &"storage".into()).ok()?;
    if !storage.is_object() {
        return None;
    }
    let estimate: StorageEstimate = JsFuture::from(navigator.storage().estimate().ok()?).await.ok()?.unchecked_into();
    Some(estimate.get_usage()? as u64)
}

/// Removes all that this site keeps here.
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

/// The way to service workers; none where the browser or an insecure context has none.
fn container() -> Option<ServiceWorkerContainer> {
    let navigator = window().navigator();
    let there = js_sys::Reflect::get(&navigator, &"serviceWorker".into()).is_ok_and(|container| container.is_object());
    (window().is_secure_context() && there).then(|| navigator.service_worker())
}
