//! The user's own weights: files that are chosen or dropped, and never leave the browser.

use gloo_events::{EventListener, EventListenerOptions};
use leptos::prelude::*;
use wasm_bindgen::JsCast;
use web_sys::{DragEvent, File, FileList, Url};

use super::controller::Controller;
use super::state::PageState;
use crate::manifest::MAX_FILE_BYTES;
use crate::protocol::{FileRequest, Problem, Source};
use crate::session::{Choice, Event};

/// Accepts files dropped on the page, and switches to waiting weights once nothing else runs.
pub(super) fn accept_drops(controller: Controller, state: PageState) {
    let listen = |name: &'static str, handle: fn(&DragEvent, Controller, PageState)| {
        let options = EventListenerOptions::enable_prevent_default();
        let listener = EventListener::new_with_options(&window(), name, options, move |event| {
            if let Some(event) = event.dyn_ref::<DragEvent>()
                && carries_files(event)
            {
                event.prevent_default();
                handle(event, controller, state);
            }
        });
        // It lives as long as the page.
        listener.forget();
    };
    listen("dragover", |_, _, state| state.dragging.set(true));
    listen("dragleave", |event, _, state| {
        // Only leaving the window has no related target.
        if event.related_target().is_none() {
            state.dragging.set(false);
        }
    });
    listen("drop", |event, controller, state| {
        state.dragging.set(false);
        if let Some(files) = event.data_transfer().and_then(|data| data.files()) {
            take(&files, controller, state);
        }
    });

    let session = controller.session;
    // The model in use is kept until nothing runs. Without a model, there is nothing to wait for.
    let free = Memo::new(move |_| session.with(|session| session.is_idle() || session.model.is_none()));
    Effect::new(move |_| {
        if free.get()
            && let Some(choice) = state.waiting.get()
        {
            state.waiting.set(None);
            controller.dispatch(Event::Use(choice));
        }
    });
}

fn carries_files(event: &DragEvent) -> bool {
    event.data_transfer().is_some_and(|data| data.types().includes(&"Files".into(), 0))
}

/// Uses these files as weights.
pub(super) fn take(files: &FileList, controller: Controller, state: PageState) {
    let files: Vec<File> = (0..files.length()).filter_map(|i| files.get(i)).collect();
    let too_large = files.iter().find(|file| file.size() > MAX_FILE_BYTES as f64);
    if let Some(file) = too_large {
        let problem = Problem::TooLarge { file: file.name(), bytes: file.size() as u64, max: MAX_FILE_BYTES };
        return controller.dispatch(Event::Refuse(problem));
    }
    // The addresses stay valid as long as the page lives: a new worker fetches them again.
    let files: Vec<FileRequest> = files
        .iter()
        .filter_map(|file| {
            let url = Url::create_object_url_with_blob(file).ok()?;
            Some(FileRequest { url, name: file.name(), bytes: file.size() as u64, sha256: None, fresh: false })
        })
        .collect();
    if !files.is_empty() {
        state.waiting.set(Some(Choice::Own(Source { files, encoder: None })));
    }
}
