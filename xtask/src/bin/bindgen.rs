//! What `wasm-bindgen --target web` does, by its library: `bindgen FOLDER FILE.wasm…`. It compiles in a fraction of the
//! time that the whole program takes, and Cargo.lock keeps it at the version of the page's own `wasm-bindgen`.

use anyhow::{Context, Result};
use wasm_bindgen_cli_support::Bindgen;

fn main() -> Result<()> {
    let mut arguments = std::env::args_os().skip(1);
    let folder = arguments.next().context("usage: bindgen FOLDER FILE.wasm…")?;
    arguments.try_for_each(|file| {
        let mut bindgen = Bindgen::new();
        // Unlike the program, the library by default leaves the address of the `.wasm` file to whoever calls `init`.
        bindgen.omit_default_module_path(false).input_path(file).web(true)?.typescript(false).generate(&folder)
    })
}
