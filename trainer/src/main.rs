//! `trainer`: see the library of the same name.

use std::ffi::{c_int, c_long};
use std::process::ExitCode;

/// Training allocates and frees tensors of tens of megabytes all the time: the system's allocator returns each to the
/// operating system and faults it in again.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Lets the allocator keep the pages of freed tensors, which the next step needs again and the kernel would have to clear.
/// The environment's `MIMALLOC_PURGE_DELAY`, in milliseconds, goes before.
#[expect(unsafe_code, reason = "the allocator's options are functions of C")]
fn keep_pages() {
    unsafe extern "C" {
        fn mi_option_set_default(option: c_int, value: c_long);
    }
    const PURGE_DELAY: c_int = 15;
    const NEVER: c_long = -1;
    // SAFETY: a function of the allocator that this program links, which accepts any value.
    unsafe {
        mi_option_set_default(PURGE_DELAY, NEVER);
    }
}

fn main() -> ExitCode {
    keep_pages();
    trainer::main()
}
