//! A Python with the packages of `python/requirements.txt`, which read what the trainer writes.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use crate::programs::Ended;
use crate::repository;

/// Runs a script of `tests/python`.
///
/// `VDM_PYTHON` names a Python that has the packages; else they are installed into a virtual environment in `target`.
pub fn script<S: Into<OsString>>(name: &str, arguments: impl IntoIterator<Item = S>) -> Ended {
    let mut command = Command::new(python());
    command.arg(folder().join(name)).args(arguments.into_iter().map(Into::into));
    run(&mut command)
}

fn folder() -> PathBuf {
    repository().join("tests").join("python")
}

fn python() -> &'static Path {
    static PYTHON: OnceLock<PathBuf> = OnceLock::new();
    PYTHON.get_or_init(|| match std::env::var_os("VDM_PYTHON") {
        Some(path) => path.into(),
        None => installed(),
    })
}

/// The environment's Python. A copy of the requirements is written into it after they are installed, so that it is made
/// again when they change or when installing was interrupted.
fn installed() -> PathBuf {
    let requirements = folder().join("requirements.txt");
    let wanted = fs::read(&requirements).expect("requirements.txt is in the repository");
    let test = std::env::current_exe().expect("a test knows its own file");
    // target/release/deps/python-0123456789abcdef
    let environment = test.ancestors().nth(3).expect("a test lies in target").join("python");
    let python = if cfg!(windows) { environment.join("Scripts/python.exe") } else { environment.join("bin/python") };
    let mark = environment.join("requirements.txt");
    if fs::read(&mark).is_ok_and(|installed| installed == wanted) {
        return python;
    }
    let system = if cfg!(windows) { "python" } else { "python3" };
    succeed(Command::new(system).args(["-m", "venv", "--clear"]).arg(&environment));
    let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"];
    succeed(Command::new(&python).args(pip).arg(&requirements));
    fs::write(&mark, wanted).expect("the environment is ours to write");
    python
}

fn run(command: &mut Command) -> Ended {
    let hint = "Python 3.11 or later with venv is needed, or VDM_PYTHON with the packages of tests/python";
    let output = command.stdin(Stdio::null()).output();
    output.unwrap_or_else(|error| panic!("cannot start {command:?}: {error}. {hint}")).into()
}

fn succeed(command: &mut Command) {
    let ended = run(command);
    assert_eq!(
        ended.code,
        Some(0),
        "{command:?} failed; Python 3.11 or later with venv and a network are needed, or VDM_PYTHON with the packages \
         of tests/python:\n{}{}",
        ended.stdout,
        ended.stderr
    );
}
