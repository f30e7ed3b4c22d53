//! The programs under test: the trainer, and the page as Trunk builds it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

use crate::repository;

/// The trainer's executable, built if it is not up to date; `VDM_TRAINER` names another.
pub fn trainer() -> Command {
    static TRAINER: OnceLock<PathBuf> = OnceLock::new();
    let path = TRAINER.get_or_init(|| match std::env::var_os("VDM_TRAINER") {
        Some(path) => path.into(),
        None => build_trainer(),
    });
    let mut command = Command::new(path);
    command.stdin(Stdio::null());
    if std::env::var_os("VDM_CACHE").is_none() {
        command.env("VDM_CACHE", build_folder().join("tests-cache"));
    }
    command
}

/// target/release of target/release/deps/cli-0123456789abcdef.
fn build_folder() -> PathBuf {
    let test = std::env::current_exe().expect("a test knows its own file");
    test.ancestors().nth(2).expect("a test lies in target").to_path_buf()
}

/// Builds the trainer: Cargo does so by itself only for the trainer's own tests. The profile and the features are those
/// of this test, so that nothing is compiled twice.
fn build_trainer() -> PathBuf {
    let folder = build_folder();
    let mut build = cargo();
    build.args(["build", "--workspace", "--bin", "trainer"]);
    if folder.ends_with("release") {
        build.arg("--release");
    }
    succeed(&mut build);
    folder.join(format!("trainer{}", std::env::consts::EXE_SUFFIX))
}

/// The folder of the built page; `VDM_DIST` names one that is up to date.
pub fn dist() -> PathBuf {
    static DIST: OnceLock<PathBuf> = OnceLock::new();
    DIST.get_or_init(|| match std::env::var_os("VDM_DIST") {
        Some(path) => path.into(),
        None => {
            succeed(cargo().args(["xtask", "build"]));
            repository().join("dist")
        }
    })
    .clone()
}

/// The trainer's executable with MPI, which is built apart; `VDM_TRAINER_MPI` names one that is up to date.
pub fn trainer_with_mpi() -> PathBuf {
    match std::env::var_os("VDM_TRAINER_MPI") {
        Some(path) => path.into(),
        None => {
            let (target, release) = (repository().join("target/mpi"), build_folder().ends_with("release"));
            let build = ["build", "--locked", "--package", "trainer", "--no-default-features", "--features", "mpi"];
            let profile = release.then_some("--release");
            succeed(cargo().args(build).args(profile).arg("--target-dir").arg(&target));
            target.join(if release { "release" } else { "debug" }).join("trainer")
        }
    }
}

fn cargo() -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(repository()).stdin(Stdio::null());
    cargo
}

fn succeed(command: &mut Command) {
    let output = command.output().unwrap_or_else(|e| panic!("cannot start {command:?}: {e}"));
    assert!(output.status.success(), "{command:?} failed:\n{}", String::from_utf8_lossy(&output.stderr));
}

/// How a program ended, and what it said.
#[derive(Debug)]
pub struct Ended {
    /// Its exit code; none if a signal ended it.
    pub code: Option<i32>,
    /// What it printed to standard output.
    pub stdout: String,
    /// What it printed to standard error.
    pub stderr: String,
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl Ended {
    /// Fails unless the program succeeded.
    pub fn ok(self) -> Self {
        assert_eq!(self.code, Some(0), "{}", self.stderr);
        self
    }

    /// Fails unless a run was stopped early, and can go on.
    pub fn stopped(self) -> Self {
        assert_eq!(self.code, Some(75), "{}", self.stderr);
        self
    }

    /// The single error of a program that refused its input, with its hints.
    pub fn refusal(self) -> String {
        assert!(self.code.is_some_and(|code| code == 1 || code == 2), "{self:?}");
        assert!(!self.stderr.contains("panicked") && !self.stderr.contains("RUST_BACKTRACE"), "{}", self.stderr);
        let errors: Vec<_> = self.stderr.match_indices("error: ").map(|(at, _)| at).collect();
        assert_eq!(errors.len(), 1, "one error, not:\n{}", self.stderr);
        self.stderr[errors[0]..].to_owned()
    }
}

/// Runs the trainer in a folder.
pub fn run_trainer<S: Into<OsString>>(folder: &Path, arguments: impl IntoIterator<Item = S>) -> Ended {
    let arguments = arguments.into_iter().map(Into::into);
    let output = trainer().current_dir(folder).args(arguments).output().expect("the trainer starts");
    output.into()
}

/// Splits a command line at its spaces.
pub fn words(line: &str) -> Vec<OsString> {
    line.split_whitespace().map(Into::into).collect()
}
