//! `trainer`: see the library of the same name.

use std::process::ExitCode;

/// Training allocates and frees tensors of tens of megabytes all the time: the system's allocator returns each to the
/// operating system and faults it in again.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    trainer::main()
}
