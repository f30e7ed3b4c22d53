//! The repository's chores, each with all of its own set-up: `cargo xtask COMMAND`.
//!
//! A module uses only those above it in this list: `shell`, `arrows`, `manifest`, `card`, `finish`, `tools`.

mod arrows;
mod card;
mod finish;
mod manifest;
mod shell;
mod tools;

use std::process::ExitCode;

use anyhow::{Result, bail, ensure};

use crate::shell::{cargo, repository, succeed};

const USAGE: &str = "\
usage: cargo xtask COMMAND

  demo [OPTION…]     build the page and open it in the browser; options go to `trunk serve`,
                     such as --port 9000, or --no-open to open nothing
  build [OPTION…]    build the page into dist; options go to `trunk build`
  test [OPTION…]     run all the tests: crates, command line, page in a real Chromium; options go to `cargo test`
  lint               formatting, clippy and documentation, natively and for WebAssembly
  arrows             check that modules use each other one way only
  weights-manifest   write web/weights/manifest.json from the files beside it
  finish-site        what Trunk calls at the end of every build: model cards, Content-Security-Policy and service worker

The tools that the page is built with are installed once, into target/tools.";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> Result<()> {
    let Some((command, options)) = arguments.split_first() else {
        bail!("a command is missing\n\n{USAGE}");
    };
    match command.as_str() {
        "demo" => demo(options),
        "build" => build(options),
        "test" => test(options),
        "lint" => without_options(options).and_then(|()| lint()),
        "arrows" => without_options(options).and_then(|()| arrows::check(&repository())),
        "weights-manifest" => {
            without_options(options).and_then(|()| manifest::write(&repository().join("web/weights")))
        }
        "finish-site" => without_options(options).and_then(|()| finish::site(&repository())),
        "help" | "--help" | "-h" => {
            println!("{USAGE}");
            Ok(())
        }
        other => bail!("`{other}` is no command\n\n{USAGE}"),
    }
}

fn without_options(options: &[String]) -> Result<()> {
    ensure!(options.is_empty(), "this command takes no options\n\n{USAGE}");
    Ok(())
}

fn demo(options: &[String]) -> Result<()> {
    let mut trunk = tools::trunk(&repository())?;
    trunk.args(["serve", "--release"]);
    let (quiet, options): (Vec<&String>, Vec<&String>) = options.iter().partition(|option| *option == "--no-open");
    if quiet.is_empty() && !options.iter().any(|option| option.starts_with("--open")) {
        trunk.arg("--open");
    }
    eprintln!("building the page: some minutes the first time. It is served until Ctrl-C.");
    succeed(trunk.args(options))
}

fn build(options: &[String]) -> Result<()> {
    let mut trunk = tools::trunk(&repository())?;
    succeed(trunk.args(["build", "--release"]).args(options))
}

/// Everything that the tests need is built first, so that a test never waits for a compiler.
fn test(options: &[String]) -> Result<()> {
    if std::env::var_os("VDM_SKIP_BROWSER").is_none() {
        tools::check_browser()?;
    }
    // The whole workspace at once: one choice of features, so that every crate is compiled once.
    let everything = ["--release", "--workspace", "--locked"];
    succeed(cargo().args(["test", "--no-run"]).args(everything))?;
    succeed(cargo().args(["build", "--bin", "trainer"]).args(everything))?;
    build(&[])?;
    let mut tests = cargo();
    tests.env("VDM_DIST", repository().join("dist"));
    succeed(tests.arg("test").args(everything).args(options))
}

fn lint() -> Result<()> {
    tools::wasm_target()?;
    let wasm = ["-p", "web", "--target", "wasm32-unknown-unknown"];
    succeed(cargo().args(["fmt", "--all", "--check"]))?;
    let denied = ["--", "-D", "warnings"];
    succeed(cargo().args(["clippy", "--release", "--workspace", "--all-targets", "--locked"]).args(denied))?;
    succeed(cargo().args(["clippy", "--profile", "wasm", "--locked"]).args(wasm).args(denied))?;
    let mut doc = cargo();
    doc.env("RUSTDOCFLAGS", "-D warnings");
    succeed(doc.args(["doc", "--release", "--workspace", "--no-deps", "--locked"]))
}
