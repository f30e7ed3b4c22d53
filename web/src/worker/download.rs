//! Fetches a file with progress, and holds it to the size that it must have.

use gloo_net::http::Request;
use js_sys::{Reflect, Uint8Array};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{ReadableStreamDefaultReader, RequestCache};

use super::guard;
use crate::protocol::{FileRequest, Problem};

/// A connection that is silent for so long is given up.
const STALL_TIMEOUT_MS: u32 = 30_000;
/// Progress is told this often.
const TELL_EVERY_MS: f64 = 50.0;

/// The bytes of the file, of the size that was asked for.
pub(super) async fn fetch(request: &FileRequest, progress: impl Fn(u64)) -> Result<Vec<u8>, Problem> {
    let network = |detail: String| Problem::Network { file: request.name.clone(), detail };
    let stalled = || network(format!("nothing came for {} seconds", STALL_TIMEOUT_MS / 1000));
    let cache = if request.fresh { RequestCache::Reload } else { RequestCache::Default };
    let response = guard::within(STALL_TIMEOUT_MS, Request::get(&request.url).cache(cache).send())
        .await
        .ok_or_else(stalled)?
        .map_err(|error| network(error.to_string()))?;
    if !response.ok() {
        return Err(Problem::HttpStatus { file: request.name.clone(), status: response.status() });
    }

    let expected = request.bytes;
    let wrong_size = |actual| Problem::WrongSize { file: request.name.clone(), expected, actual };
    let mut bytes: Vec<u8> = Vec::new();
    if usize::try_from(expected).ok().and_then(|size| bytes.try_reserve_exact(size).ok()).is_none() {
        return Err(Problem::OutOfMemory { detail: format!("{} needs {expected} bytes", request.name) });
    }
    progress(0);
    let mut told_ms = guard::now_ms();
    let Some(body) = response.body() else { return Err(wrong_size(0)) };
    let reader: ReadableStreamDefaultReader = body.get_reader().unchecked_into();
    loop {
        let chunk = guard::within(STALL_TIMEOUT_MS, JsFuture::from(reader.read()))
            .await
            .ok_or_else(stalled)?
            .map_err(|error| network(guard::describe(&error)))?;
        let Some(chunk) = next_chunk(&chunk) else { break };
        let start = bytes.len();
        let received = start as u64 + u64::from(chunk.length());
        if received > expected {
            // Nobody waits for the cancellation's answer.
            drop(reader.cancel());
            return Err(wrong_size(received));
        }
        bytes.resize(received as usize, 0);
        chunk.copy_to(&mut bytes[start..]);
        let now = guard::now_ms();
        if now - told_ms >= TELL_EVERY_MS || received == expected {
            told_ms = now;
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
