//! Tells the program which compiler it was built with. Not which commit: the whole crate, whose compilation takes
//! minutes, would be built again after each.

use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
    if let Ok(output) = Command::new(rustc).arg("--version").output() {
        println!("cargo::rustc-env=TRAINER_RUSTC={}", String::from_utf8_lossy(&output.stdout).trim());
    }
}
