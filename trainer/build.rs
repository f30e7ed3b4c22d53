//! Tells the program which commit and which compiler it was built with. Outside a checkout it tells no commit.

use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=src");
    println!("cargo::rerun-if-changed=../core/src");
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
    if let Some(version) = output(&rustc, &["--version"]) {
        println!("cargo::rustc-env=TRAINER_RUSTC={version}");
    }
    if let Some(commit) = commit() {
        println!("cargo::rustc-env=TRAINER_COMMIT={commit}");
    }
}

/// The commit of this workspace's own checkout, with `-modified` where the program's sources differ from it.
fn commit() -> Option<String> {
    let workspace = Path::new("..").canonicalize().ok()?;
    // Unpacked somewhere in another project's checkout, that project's commit would say nothing.
    let top = Path::new(&output("git", &["rev-parse", "--show-toplevel"])?).canonicalize().ok()?;
    if top != workspace {
        return None;
    }
    for name in ["HEAD", "logs/HEAD"] {
        if let Some(path) = output("git", &["rev-parse", "--git-path", name])
            && Path::new(&path).exists()
        {
            println!("cargo::rerun-if-changed={path}");
        }
    }
    let commit = output("git", &["rev-parse", "HEAD"])?;
    let sources = ["status", "--porcelain", "--untracked-files=no", "--", ".", "../core", "../Cargo.lock"];
    let modified = output("git", &sources).is_none_or(|changes| !changes.is_empty());
    Some(if modified { format!("{commit}-modified") } else { commit })
}

/// What a program prints, without the last line end; none if it is missing or fails.
fn output(program: &str, args: &[&str]) -> Option<String> {
    let output = Command::new(program).args(args).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}
