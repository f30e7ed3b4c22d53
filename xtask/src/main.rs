//! The repository's chores: `cargo xtask COMMAND`. Each installs what it needs.
//!
//! A module uses only those above it in this list: `shell`, `arrows`, `manifest`, `card`, `finish`, `serve`, `tools`,
//! `demo`.

mod arrows;
mod card;
mod demo;
mod finish;
mod manifest;
mod serve;
mod shell;
mod tools;

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail, ensure};

use crate::shell::{cargo, repository, succeed};

const USAGE: &str = "\
usage: cargo xtask COMMAND

  demo [OPTION…]     build the page quickly, serve it and open it in the browser; --port NUMBER, --no-open
  build [OPTION…]    build the page as it is published, into dist; options go to `trunk build`
  check              the fast tests: formatting, clippy and unit tests, without GPUs and without a browser
  lint               formatting, clippy, documentation, imports, licences: everything, natively and for WebAssembly
  test [OPTION…]     all the tests: crates, command line, page in a real Chromium; options go to `cargo test`
  bench-web          compare the page's networks with ONNX Runtime Web's, in one browser
  arrows             check that modules use each other one way only: a part of check and lint
  weights-manifest   write web/weights/manifest.json from the files beside it
  finish-site        what Trunk calls at the end of every build: model cards, Content-Security-Policy and service worker

Tools that are missing are installed once, into target/tools or where VDM_TOOLS says.";

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
        "demo" => demo::run(options),
        "build" => build(options),
        "check" => without_options(options).and_then(|()| check()),
        "test" => test(options),
        "bench-web" => without_options(options).and_then(|()| bench_web()),
        "lint" => without_options(options).and_then(|()| lint()),
        "arrows" => without_options(options).and_then(|()| arrows::check(&repository())),
        "weights-manifest" => {
            without_options(options).and_then(|()| manifest::write(&repository().join("web/weights")))
        }
        "finish-site" => without_options(options).and_then(|()| finish::trunk_site(&repository())),
        "help" | "--help" | "-h" => {
            println!("{USAGE}");
            Ok(())
        }
        other => bail!("`{other}` is not a command\n\n{USAGE}"),
    }
}

fn without_options(options: &[String]) -> Result<()> {
    ensure!(options.is_empty(), "this command takes no options\n\n{USAGE}");
    Ok(())
}

fn build(options: &[String]) -> Result<()> {
    let mut trunk = tools::trunk(&repository())?;
    succeed(trunk.args(["build", "--release"]).args(options))
}

/// Builds everything that the tests need first, so that no test waits for a compiler.
fn test(options: &[String]) -> Result<()> {
    if std::env::var_os("VDM_SKIP_BROWSER").is_none() {
        tools::check_browser()?;
    }
    // The whole workspace at once: one choice of features, so that every crate is compiled once.
    let everything = ["--release", "--workspace", "--locked"];
    succeed(cargo().args(["test", "--no-run"]).args(everything))?;
    let with_mpi = std::env::var_os("VDM_SKIP_MPI").is_none().then(|| trainer_with_mpi(&everything)).transpose()?;
    succeed(cargo().args(["build", "--bin", "trainer"]).args(everything))?;
    build(&[])?;
    let mut tests = cargo();
    tests.env("VDM_DIST", repository().join("dist"));
    if std::env::var_os("VDM_ENGINES").is_some() {
        tests.env("GECKODRIVER", tools::geckodriver()?);
    }
    if let Some(program) = with_mpi {
        tests.env("VDM_TRAINER_MPI", program);
    }
    tools::test_bindgen()?;
    succeed(tests.arg("test").args(everything).args(options))
}

/// With the features of `test`, so that nothing is compiled anew.
fn bench_web() -> Result<()> {
    tools::check_browser()?;
    let everything = ["--release", "--workspace", "--locked"];
    succeed(cargo().args(["build", "--bin", "trainer"]).args(everything))?;
    build(&[])?;
    let mut bench = cargo();
    bench.env("VDM_DIST", repository().join("dist")).env("VDM_ORT", tools::onnxruntime_web()?);
    succeed(bench.arg("test").args(everything).args(["--test", "bench_web", "--", "--ignored", "--nocapture"]))
}

/// Builds the trainer with MPI beside the other one, of the same libraries.
fn trainer_with_mpi(everything: &[&str]) -> Result<PathBuf> {
    succeed(cargo().args(["build", "--bin", "trainer", "--features", "trainer/mpi"]).args(everything))?;
    let release = repository().join("target/release");
    let program = release.join("trainer-mpi");
    fs::copy(release.join("trainer"), &program).context("cannot copy the trainer")?;
    Ok(program)
}

const DENY_WARNINGS: [&str; 3] = ["--", "-D", "warnings"];

/// One choice of packages, features and profile, so that nothing is compiled twice.
fn check() -> Result<()> {
    let packages = ["--locked", "--no-default-features", "-p", "vdm", "-p", "trainer", "-p", "web", "-p", "xtask"];
    succeed(cargo().args(["fmt", "--all", "--check"]))?;
    arrows::check(&repository())?;
    succeed(cargo().arg("clippy").args(packages).arg("--all-targets").args(DENY_WARNINGS))?;
    succeed(cargo().arg("test").args(packages).args(["--tests"]))
}

/// In the profile of `test`, which compiles the same build scripts and macros.
fn lint() -> Result<()> {
    tools::wasm_target()?;
    succeed(cargo().args(["fmt", "--all", "--check"]))?;
    arrows::check(&repository())?;
    let mut deny = tools::cargo_deny()?;
    succeed(deny.args(["--locked", "check", "licenses", "bans", "sources"]))?;
    let workspace = ["--release", "--workspace", "--locked"];
    succeed(cargo().arg("clippy").args(workspace).arg("--all-targets").args(DENY_WARNINGS))?;
    let wasm = ["--profile", "wasm", "--locked", "-p", "web", "--target", tools::WASM_TARGET];
    succeed(cargo().arg("clippy").args(wasm).args(DENY_WARNINGS))?;
    succeed(cargo().env("RUSTDOCFLAGS", "-D warnings").arg("doc").args(workspace).arg("--no-deps"))
}
