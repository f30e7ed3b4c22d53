//! Fatal errors of the worker, which it reports to the page, and helpers around the browser's clock.

use std::cell::{Cell, RefCell};
use std::pin::pin;

use futures_util::future::{Either, select};
use gloo_events::EventListener;
use gloo_timers::future::TimeoutFuture;
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{DedicatedWorkerGlobalScope, ErrorEvent, Event, PromiseRejectionEvent};

use super::outbox::Outbox;
use crate::protocol::{Problem, Response};

thread_local! {
    static OUTBOX: RefCell<Option<Outbox>> = const { RefCell::new(None) };
    static ENDED: Cell<bool> = const { Cell::new(false) };
    static TASKS: Cell<u32> = const { Cell::new(0) };
}

fn scope() -> DedicatedWorkerGlobalScope {
    js_sys::global().unchecked_into()
}

/// Milliseconds since the worker started.
pub(super) fn now_ms() -> f64 {
    scope().performance().map_or_else(js_sys::Date::now, |performance| performance.now())
}

/// Listens for panics, traps and unhandled rejections of promises.
pub(super) fn watch_for_faults() {
    std::panic::set_hook(Box::new(|panic| {
        let detail = panic.to_string();
        web_sys::console::error_1(&detail.as_str().into());
        // The GPU libraries panic when a device is lost or exhausted, often before the browser reports it.
        let in_gpu_library = |file: &str| ["wgpu", "cubecl", "cubek"].iter().any(|name| file.contains(name));
        fatal(if panic.location().is_some_and(|location| in_gpu_library(location.file())) {
            Problem::GpuError { detail }
        } else {
            Problem::WorkerCrashed { detail }
        });
    }));
    let on_error = |event: &Event| {
        let message = match event.dyn_ref::<ErrorEvent>() {
            Some(error) => error.message(),
            None => "an error without a message".to_owned(),
        };
        fatal(trap(message));
    };
    let on_rejection = |event: &Event| {
        // While nothing runs, nothing waits for the promise.
        if TASKS.get() > 0
            && let Some(rejection) = event.dyn_ref::<PromiseRejectionEvent>()
        {
            fatal(trap(describe(&rejection.reason())));
        }
    };
    EventListener::new(&scope(), "error", on_error).forget();
    EventListener::new(&scope(), "unhandledrejection", on_rejection).forget();
}

/// Sets where fatal errors are reported.
pub(super) fn report_to(outbox: Outbox) {
    OUTBOX.with_borrow_mut(|slot| *slot = Some(outbox));
}

/// Reports why the worker ends, and ends it. Only the first report counts.
pub(super) fn fatal(problem: Problem) {
    if ENDED.replace(true) {
        return;
    }
    OUTBOX.with(|slot| {
        if let Ok(slot) = slot.try_borrow()
            && let Some(outbox) = slot.as_ref()
        {
            outbox.send(Response::Failed { job: None, problem });
        }
    });
    scope().close();
}

/// A trap without a panic before it is a failed allocation.
fn trap(message: String) -> Problem {
    let lower = message.to_lowercase();
    if ["unreachable", "out of memory", "allocation failed"].iter().any(|words| lower.contains(words)) {
        return Problem::OutOfMemory { detail: format!("The browser says: {message}") };
    }
    Problem::WorkerCrashed { detail: message }
}

/// Counts a task as running while it runs.
pub(super) async fn busy(task: impl Future<Output = ()>) {
    TASKS.set(TASKS.get() + 1);
    task.await;
    TASKS.set(TASKS.get() - 1);
}

/// The value of a future, or none if it takes longer.
pub(super) async fn within<T>(timeout_ms: u32, future: impl Future<Output = T>) -> Option<T> {
    match select(pin!(future), TimeoutFuture::new(timeout_ms)).await {
        Either::Left((value, _)) => Some(value),
        Either::Right(_) => None,
    }
}

/// The message of a JavaScript error.
pub(super) fn describe(error: &JsValue) -> String {
    match error.dyn_ref::<js_sys::Error>() {
        Some(error) => String::from(error.to_string()),
        None => error.as_string().unwrap_or_else(|| format!("{error:?}")),
    }
}
