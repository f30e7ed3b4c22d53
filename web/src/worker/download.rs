//! Fetches a file with progress, and holds it to the size that it must have.

use std::cell::Cell;

use gloo_net::http::Request;
use gloo_timers::future::TimeoutFuture;
use js_sys::{Reflect, Uint8Array};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{AbortController, ReadableStreamDefaultReader, RequestCache};

use super::guard;
use crate::engine::Halt;
use crate::interrupt::watched;
use crate::protocol::{FileRequest, Problem};

/// A connection that is silent for this long has failed.
const STALL_TIMEOUT_MS: f64 = 30_000.0;
/// How often a download checks whether it was cancelled.
const CHECK_EVERY_MS: u32 = 100;
/// How long a busy server is left alone, each time.
const RETRY_AFTER_MS: [u32; 3] = [1_000, 3_000, 6_000];
/// How often progress is sent to the page.
const REPORT_EVERY_MS: f64 = 50.0;

/// Ends a request that is no longer waited for; without effect on one that is complete.
struct AbortOnDrop(AbortController);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The bytes of the file, of the requested size.
///
/// # Errors
/// The job is cancelled, the network fails or is silent, or the size is wrong.
pub(super) async fn fetch(
    request: &FileRequest,
    is_cancelled: &dyn Fn() -> bool,
    progress: impl Fn(u64),
) -> Result<Vec<u8>, Halt> {
    let network = |detail: String| Halt::Problem(Problem::Network { file: request.name.clone(), detail });
    let last_received_ms = Cell::new(guard::now_ms());
    let tick = async || {
        TimeoutFuture::new(CHECK_EVERY_MS).await;
        if is_cancelled() {
            return Err(Halt::Stopped { step: 0 });
        }
        if guard::now_ms() - last_received_ms.get() > STALL_TIMEOUT_MS {
            return Err(network(format!("nothing came for {} seconds", STALL_TIMEOUT_MS / 1000.0)));
        }
        Ok(())
    };
    let expected = request.bytes;
    let mut bytes: Vec<u8> = Vec::new();
    if usize::try_from(expected).ok().and_then(|size| bytes.try_reserve_exact(size).ok()).is_none() {
        return Err(Problem::OutOfMemory { detail: format!("{} needs {expected} bytes", request.name) }.into());
    }
    // From here on, the page knows that it waits for the network.
    progress(0);
    let abort = AbortOnDrop(AbortController::new().map_err(|error| network(guard::describe(&error)))?);
    let cache = if request.fresh { RequestCache::Reload } else { RequestCache::Default };
    let mut waits = RETRY_AFTER_MS.into_iter();
    let response = loop {
        last_received_ms.set(guard::now_ms());
        let sent = Request::get(&request.url).cache(cache).abort_signal(Some(&abort.0.signal())).send();
        let response = watched(sent, tick).await?.map_err(|error| network(error.to_string()))?;
        match waits.next().filter(|_| Problem::is_busy(response.status())) {
            Some(ms) => watched(TimeoutFuture::new(ms), tick).await?,
            None => break response,
        }
    };
    if !response.ok() {
        return Err(Problem::HttpStatus { file: request.name.clone(), status: response.status() }.into());
    }

    let wrong_size = |actual| Halt::Problem(Problem::WrongSize { file: request.name.clone(), expected, actual });
    let mut reported_ms = guard::now_ms();
    let Some(body) = response.body() else { return Err(wrong_size(0)) };
    let reader: ReadableStreamDefaultReader = body.get_reader().unchecked_into();
    loop {
        let now = guard::now_ms();
        last_received_ms.set(now);
        let chunk =
            watched(JsFuture::from(reader.read()), tick).await?.map_err(|error| network(guard::describe(&error)))?;
        let Some(chunk) = next_chunk(&chunk) else { break };
        let start = bytes.len();
        let received = start as u64 + u64::from(chunk.length());
        if received > expected {
            return Err(wrong_size(received));
        }
        bytes.resize(received as usize, 0);
        chunk.copy_to(&mut bytes[start..]);
        if now - reported_ms >= REPORT_EVERY_MS || received == expected {
            reported_ms = now;
            progress(received);
        }
    }
    if bytes.len() as u64 != expected {
        return Err(wrong_size(bytes.len() as u64));
    }
    Ok(bytes)
}

/// The `value` of what a stream's reader gives, or none at its end.
fn next_chunk(read: &JsValue) -> Option<Uint8Array> {
    Reflect::get(read, &"value".into()).ok()?.dyn_into().ok()
}
