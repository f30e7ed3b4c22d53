//! Carries out the commands of the session.

use gloo_file::{Blob, ObjectUrl};
use gloo_net::http::Request as HttpRequest;
use gloo_timers::future::TimeoutFuture;
use gloo_worker::{Spawnable, WorkerBridge};
use js_sys::WebAssembly;
use leptos::prelude::*;
use leptos::task::spawn_local;
use wasm_bindgen::JsCast;
use web_sys::{HtmlAnchorElement, RequestCache};

use crate::manifest::Manifest;
use crate::protocol::{Problem, Response};
use crate::session::{Command, Event, PATIENCE_SECONDS, Session};
use crate::worker::{Diffusion, LOADER};

/// The files of the worker.
const WORKER_FILES: [&str; 3] = [LOADER, "worker.js", "worker_bg.wasm"];
/// After this time without a message, the page checks whether the worker's files are there.
const SUSPECT_AFTER_MS: u32 = 4_000;
/// After this time without a message, the page looks into these files.
const DOUBT_AFTER_MS: u32 = 12_000;
/// After this time without a message, the worker has failed.
const SILENT_AFTER_MS: u32 = 45_000;
/// How long a busy server is left alone, each time.
const RETRY_AFTER_MS: [u32; 3] = [1_000, 3_000, 6_000];
/// How long a browser may need the address of a saved object after the click.
const KEEP_URL_MS: u32 = 60_000;

/// The session, and the worker that it commands.
#[derive(Clone, Copy)]
pub(super) struct Controller {
    /// The state that the components render.
    pub(super) session: RwSignal<Session>,
    worker: StoredValue<Option<WorkerBridge<Diffusion>>, LocalStorage>,
}

impl Controller {
    pub(super) fn new(session: Session) -> Self {
        Self { session: RwSignal::new(session), worker: StoredValue::new_local(None) }
    }

    /// Applies an event to the session, and carries out its commands.
    pub(super) fn dispatch(self, event: Event) {
        let commands = self.session.try_update(|session| session.apply(event)).unwrap_or_default();
        for command in commands {
            self.run(command);
        }
    }

    fn run(self, command: Command) {
        match command {
            Command::StartWorker { generation } => {
                // The old worker ends when its bridge is dropped.
                self.worker.set_value(None);
                let worker = Diffusion::spawner()
                    .callback(move |response| self.dispatch(Event::Worker(generation, response)))
                    .with_loader(true)
                    .spawn(LOADER);
                self.worker.set_value(Some(worker));
                spawn_local(self.await_greeting(generation));
            }
            Command::FetchManifest { generation, fresh } => spawn_local(async move {
                self.dispatch(Event::Manifest(generation, fetch_manifest(self.manifest_url(), fresh).await));
            }),
            Command::Send(request) => self.worker.with_value(|worker| {
                if let Some(worker) = worker {
                    worker.send(request);
                }
            }),
            Command::ExpectEnd { job } => spawn_local(async move {
                TimeoutFuture::new(PATIENCE_SECONDS * 1000).await;
                self.dispatch(Event::Overdue(job));
            }),
            Command::SaveFile { name, bytes } => save_file(&name, &bytes),
            // If the browser refuses to reload, the message stays.
            Command::ReloadPage => drop(window().location().reload()),
        }
    }

    fn manifest_url(self) -> String {
        self.session.with_untracked(|session| format!("{}manifest.json", session.weights_url()))
    }

    /// Finds out why a worker sends no message. One that cannot be fetched or started is silent.
    async fn await_greeting(self, generation: u32) {
        TimeoutFuture::new(SUSPECT_AFTER_MS).await;
        for file in WORKER_FILES {
            if !self.awaits_greeting(generation) {
                return;
            }
            let problem = match HttpRequest::get(file).method(gloo_net::http::Method::HEAD).send().await {
                Ok(response) if response.ok() => match response.headers().get("content-type") {
                    Some(kind) if file.ends_with(".js") && !kind.contains("javascript") => {
                        Problem::WorkerBroken { file: file.to_owned(), media_type: Some(kind) }
                    }
                    _ => continue,
                },
                Ok(response) => Problem::WorkerMissing { file: file.to_owned(), status: Some(response.status()) },
                Err(_) => Problem::WorkerMissing { file: file.to_owned(), status: None },
            };
            return self.report(generation, problem);
        }
        TimeoutFuture::new(DOUBT_AFTER_MS - SUSPECT_AFTER_MS).await;
        for file in WORKER_FILES {
            if self.awaits_greeting(generation) && !is_whole(file).await {
                let problem = Problem::WorkerBroken { file: file.to_owned(), media_type: None };
                return self.report(generation, problem);
            }
        }
        TimeoutFuture::new(SILENT_AFTER_MS - DOUBT_AFTER_MS).await;
        self.report(generation, Problem::WorkerSilent { seconds: SILENT_AFTER_MS / 1000 });
    }

    fn awaits_greeting(self, generation: u32) -> bool {
        self.session.with_untracked(|session| session.awaits_greeting(generation))
    }

    fn report(self, generation: u32, problem: Problem) {
        if self.awaits_greeting(generation) {
            self.dispatch(Event::Worker(generation, Response::Failed { job: None, problem }));
        }
    }
}

/// Whether a file of the worker comes to its end and can be compiled.
async fn is_whole(file: &str) -> bool {
    let Ok(response) = HttpRequest::get(file).send().await else { return false };
    let Ok(bytes) = response.binary().await else { return false };
    if file.ends_with(".wasm") {
        return WebAssembly::validate(&js_sys::Uint8Array::from(&bytes[..])).unwrap_or(false);
    }
    // wasm-bindgen's scripts end with their exports, and the loader with its call.
    let end = String::from_utf8_lossy(&bytes[bytes.len().saturating_sub(200)..]).into_owned();
    end.contains("default") || file == LOADER
}

async fn fetch_manifest(url: String, fresh: bool) -> Result<Manifest, Problem> {
    // The list is small, and tells whether stored copies of the large files are current.
    let cache = if fresh { RequestCache::Reload } else { RequestCache::NoCache };
    let refuse = |detail: String| Problem::Manifest { detail };
    let mut waits = RETRY_AFTER_MS.into_iter();
    let response = loop {
        let response = HttpRequest::get(&url).cache(cache).send().await.map_err(|error| refuse(error.to_string()))?;
        match waits.next().filter(|_| Problem::is_busy(response.status())) {
            Some(ms) => TimeoutFuture::new(ms).await,
            None => break response,
        }
    };
    if Problem::is_busy(response.status()) {
        return Err(Problem::HttpStatus { file: "manifest.json".to_owned(), status: response.status() });
    }
    if !response.ok() {
        return Err(refuse(format!("the server answers {}", response.status())));
    }
    let text = response.text().await.map_err(|error| refuse(error.to_string()))?;
    Manifest::parse(&text).map_err(|error| refuse(error.to_string()))
}

fn save_file(name: &str, bytes: &[u8]) {
    let kind = if name.ends_with(".gif") { "image/gif" } else { "image/png" };
    let url = ObjectUrl::from(Blob::new_with_options(bytes, Some(kind)));
    let Ok(element) = document().create_element("a") else { return };
    let Ok(anchor) = element.dyn_into::<HtmlAnchorElement>() else { return };
    anchor.set_href(&url);
    anchor.set_download(name);
    anchor.click();
    spawn_local(async move {
        TimeoutFuture::new(KEEP_URL_MS).await;
        drop(url);
    });
}
