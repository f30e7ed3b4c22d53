//! The browser's store of weights, by their hash, so that a second visit fetches nothing.
//!
//! Nothing here is an error: if the browser stores nothing, the file is fetched again.

use js_sys::{Array, Uint8Array};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{Cache, CacheStorage, Request, Response};

use super::guard;

/// The name of the store. The page can empty every store whose name begins with `medical-vdm-`.
const STORE: &str = "medical-vdm-weights";

/// The key of a file: the same content is the same file, whatever its address.
fn key(sha256: &str) -> String {
    format!("weights?sha256={sha256}")
}

async fn open() -> Option<Cache> {
    // It is missing in an insecure context.
    let caches: CacheStorage = js_sys::Reflect::get(&js_sys::global(), &"caches".into()).ok()?.dyn_into().ok()?;
    JsFuture::from(caches.open(STORE)).await.ok()?.dyn_into().ok()
}

/// The stored bytes of a file, unchecked.
pub(super) async fn find(sha256: &str) -> Option<Vec<u8>> {
    let cache = open().await?;
    let response: Response = JsFuture::from(cache.match_with_str(&key(sha256))).await.ok()?.dyn_into().ok()?;
    let buffer = JsFuture::from(response.array_buffer().ok()?).await.ok()?;
    let array = Uint8Array::new(&buffer);
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(array.length() as usize).ok()?;
    bytes.resize(array.length() as usize, 0);
    array.copy_to(&mut bytes);
    Some(bytes)
}

/// Stores a file whose hash was checked; returns whether the browser did.
pub(super) async fn keep(sha256: &str, bytes: &[u8]) -> bool {
    let kept = async {
        let cache = open().await.ok_or(JsValue::NULL)?;
        let response = Response::new_with_opt_js_u8_array(Some(&Uint8Array::from(bytes)))?;
        JsFuture::from(cache.put_with_str(&key(sha256), &response)).await
    };
    let kept = kept.await;
    if let Err(error) = &kept {
        web_sys::console::warn_1(&format!("not kept for the next visit: {}", guard::describe(error)).into());
    }
    kept.is_ok()
}

/// Removes a file whose content does not match its hash.
pub(super) async fn drop_one(sha256: &str) {
    if let Some(cache) = open().await {
        // It does not matter whether it was there.
        let _ = JsFuture::from(cache.delete_with_str(&key(sha256))).await;
    }
}

/// Removes every file except those with these hashes.
pub(super) async fn drop_all_but(hashes: &[String]) {
    let Some(cache) = open().await else { return };
    let Ok(keys) = JsFuture::from(cache.keys()).await else { return };
    for request in Array::from(&keys).iter().filter_map(|key| key.dyn_into::<Request>().ok()) {
        let url = request.url();
        if !hashes.iter().any(|hash| url.ends_with(hash.as_str())) {
            let _ = JsFuture::from(cache.delete_with_request(&request)).await;
        }
    }
}
