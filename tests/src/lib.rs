//! What the tests that cross the crates share.

use std::path::{Path, PathBuf};

pub mod backends;
pub mod browser;
pub mod page;
pub mod programs;
pub mod python;
pub mod runs;
pub mod site;

/// The root of the repository.
pub fn repository() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().unwrap_or(manifest).to_path_buf()
}

/// Runs a future of the CPU backend, which is never pending.
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    let mut future = std::pin::pin!(future);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    loop {
        if let std::task::Poll::Ready(value) = future.as_mut().poll(&mut context) {
            return value;
        }
    }
}
