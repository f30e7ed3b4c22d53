//! The demo in the browser, as two WebAssembly programs that exchange typed messages: a small page that is up at once,
//! and a worker that owns the model and the GPU.
//!
//! # Reading order
//!
//! A module uses only those above it in this list, which `cargo xtask lint` checks.
//!
//! - [`interrupt`]: waiting that can be interrupted
//! - [`crop`] and [`plot`]: what views compute, from numbers alone
//! - [`manifest`] (which weights the site has), [`settings`] (how an image is made)
//! - [`protocol`]: what page and worker say to each other
//! - [`form`]: what is typed, and how it becomes settings
//! - [`session`]: every state that the page can be in, and what leads from one to the next
//! - [`text`]: every word that the page shows
//! - [`address`] (what a link says), [`learning`] (the numbers of the learning views)
//! - [`engine`]: the model on a device, generic over the backend
//! - `worker` (owns the engine), `page` (Leptos components over the session)
//!
//! All but the last two know nothing of a browser and are tested natively. This file is the only place that tells the
//! platforms apart.

pub mod address;
pub mod crop;
pub mod engine;
pub mod form;
pub mod interrupt;
pub mod learning;
pub mod manifest;
pub mod plot;
pub mod protocol;
pub mod session;
pub mod settings;
pub mod text;

#[cfg(target_arch = "wasm32")]
mod page;
#[cfg(target_arch = "wasm32")]
mod worker;

/// Shows the page: the whole of the program `page`.
pub fn run_page() {
    #[cfg(target_arch = "wasm32")]
    page::start();
    #[cfg(not(target_arch = "wasm32"))]
    explain();
}

/// Answers the page's requests: the whole of the program `worker`.
pub fn run_worker() {
    #[cfg(target_arch = "wasm32")]
    worker::start();
    #[cfg(not(target_arch = "wasm32"))]
    explain();
}

#[cfg(not(target_arch = "wasm32"))]
fn explain() {
    eprintln!("this program runs in a browser: `cargo xtask demo` builds and opens it");
}
