//! The demo in the browser, as two WebAssembly programs that exchange typed messages: a small page that opens at once,
//! and a worker that owns the model and the GPU.
//!
//! # Reading order
//!
//! A module uses only those above it in this list, which `cargo xtask lint` checks.
//!
//! - [`interrupt`]: waiting that can be interrupted
//! - [`crop`], [`game`], [`plot`] and [`qr`]: what views compute, from numbers alone
//! - [`manifest`] (which weights the site has), [`settings`] (how an image is made)
//! - [`toy`]: a model that learns points while one looks
//! - [`protocol`]: the messages between page and worker
//! - [`map`]: where a picture is on the map
//! - [`form`]: how typed text becomes settings
//! - [`session`]: the states of the page, and the transitions between them
//! - [`text`]: the texts of the page, in each language
//! - [`address`] (the content of a link), [`learning`] (the numbers of the learning views)
//! - [`engine`]: the model on a device, generic over the backend
//! - `worker` (owns the engine), `page` (Leptos components over the session)
//!
//! All but the last two know nothing of a browser and are tested natively. This file is the only place that tells the
//! platforms apart.

pub mod address;
pub mod crop;
pub mod engine;
pub mod form;
pub mod game;
pub mod interrupt;
pub mod learning;
pub mod manifest;
pub mod map;
pub mod plot;
pub mod protocol;
pub mod qr;
pub mod session;
pub mod settings;
pub mod text;
pub mod toy;

#[cfg(target_arch = "wasm32")]
mod page;
#[cfg(target_arch = "wasm32")]
mod worker;

/// The program `page`.
pub fn run_page() {
    #[cfg(target_arch = "wasm32")]
    page::start();
    #[cfg(not(target_arch = "wasm32"))]
    explain();
}

/// The program `worker`.
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
