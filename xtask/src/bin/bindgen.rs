//! What `wasm-bindgen --target web` does, by its library: `bindgen FOLDER FILE.wasm…`. It compiles in a fraction of the
//! time that the whole program takes, and Cargo.lock keeps it at the version of the page's own `wasm-bindgen`.

use std::ffi::OsStr;

use anyhow::{Context, Result};
use wasm_bindgen_cli_support::Bindgen;

fn main() -> Result<()> {
    let mut arguments = std::env::args_os().skip(1);
    let folder = arguments.next().context("usage: bindgen FOLDER FILE.wasm…")?;
    arguments.try_for_each(|file| bindgen(&folder, &file))
}

fn bindgen(folder: &OsStr, file: &OsStr) -> Result<()> {
    let mut bindgen = Bindgen::new();
    // Unlike the program, the library by default leaves the address of the `.wasm` file to whoever calls `init`.
    bindgen.omit_default_module_path(false).input_path(file).web(true)?.typescript(false).generate(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_finds_its_program_without_being_told_where() {
        let folder = std::env::temp_dir().join(format!("bindgen-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let file = folder.join("page.wasm");
        // The smallest module: its magic number and version.
        std::fs::write(&file, b"\0asm\x01\0\0\0").expect("a file");
        bindgen(folder.as_os_str(), file.as_os_str()).expect("a module");
        let script = std::fs::read_to_string(folder.join("page.js")).expect("a script");
        std::fs::remove_dir_all(&folder).expect("our own folder");
        assert!(script.contains("new URL('page_bg.wasm', import.meta.url)"), "{script}");
    }
}
