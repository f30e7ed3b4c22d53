//! The tools that the page is built and the repository is checked with: found, or installed into `target/tools`, or where `VDM_TOOLS` says.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::shell::{cargo, output, repository, succeed};

const TRUNK_VERSION: &str = "0.21.14";
const ONNXRUNTIME_WEB_VERSION: &str = "1.30.0";
const GECKODRIVER_VERSION: &str = "0.37.1";
const CARGO_DENY_VERSION: &str = "0.20.2";
/// What the page is compiled for.
pub const WASM_TARGET: &str = "wasm32-unknown-unknown";

/// Turns compiled programs into JavaScript and WebAssembly for the browser with our own small program of wasm-bindgen's
/// library, which takes less time to compile than its own.
pub fn bindgen(programs: &[PathBuf], folder: &Path) -> Result<()> {
    succeed(cargo().arg("run").args(BINDGEN).arg("--").arg(folder).args(programs))
}

/// That program's own test, which needs a feature that the workspace's tests leave out.
pub fn test_bindgen() -> Result<()> {
    succeed(cargo().arg("test").args(BINDGEN))
}

const BINDGEN: [&str; 9] =
    ["--locked", "--profile", "xtask", "--package", "xtask", "--features", "bindgen", "--bin", "bindgen"];

/// What drives Firefox in tests.
pub fn geckodriver() -> Result<PathBuf> {
    only_tool("geckodriver", GECKODRIVER_VERSION)
}

/// A tool whose build leaves nothing that another one needs.
fn only_tool(name: &str, version: &str) -> Result<PathBuf> {
    ensure_tool(name, name, version, &[])?;
    let _ = fs::remove_dir_all(tools().join("build"));
    found(name, version).with_context(|| format!("{name} was installed, and does not run"))
}

/// cargo-deny in the repository's root.
pub fn cargo_deny() -> Result<Command> {
    let mut deny = Command::new(only_tool("cargo-deny", CARGO_DENY_VERSION)?);
    deny.current_dir(repository());
    Ok(deny)
}

/// Trunk in the repository's root, set up so that it downloads nothing by itself wherever npm or wasm-opt is there.
pub fn trunk(repository: &Path) -> Result<Command> {
    wasm_target()?;
    // Its default features only download drivers of browsers.
    let features = ["--no-default-features"];
    ensure_tool("wasm-bindgen", "wasm-bindgen-cli", &wasm_bindgen_version(repository)?, &features)?;
    ensure_tool("trunk", "trunk", TRUNK_VERSION, &[])?;
    // A gigabyte that is not needed again; leaving it is no error.
    let _ = fs::remove_dir_all(tools().join("build"));
    let mut folders = vec![tools().join("bin")];
    folders.extend(wasm_opt(repository)?);

    let mut trunk = Command::new(found("trunk", TRUNK_VERSION).context("trunk was installed, and does not run")?);
    trunk.current_dir(repository).env("PATH", path_with(folders)?).env("TRUNK_SKIP_VERSION_CHECK", "true");
    // Trunk takes this variable for a flag of its own and refuses what is not `true` or `false`.
    if env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty()) {
        trunk.env("NO_COLOR", "true");
    } else {
        trunk.env_remove("NO_COLOR");
    }
    Ok(trunk)
}

/// Finds or installs the wasm-opt of the version in Trunk.toml; returns the folder to put on PATH for it, if any.
fn wasm_opt(repository: &Path) -> Result<Option<PathBuf>> {
    let settings = repository.join("Trunk.toml");
    let settings = fs::read_to_string(&settings).with_context(|| format!("cannot read {}", settings.display()))?;
    let version = pinned_wasm_opt(&settings).context("Trunk.toml names no `wasm_opt = \"version_…\"`")?;
    // A native program is several times faster than npm's, which runs in node.
    if found("wasm-opt", version).is_some() {
        return Ok(None);
    }
    let root = tools().join(format!("binaryen-{version}"));
    let folder = root.join("node_modules").join(".bin");
    let program = folder.join("wasm-opt");
    if is_version(&program, version) {
        return Ok(Some(folder));
    }
    if output(Command::new("npm").arg("--version")).is_err() {
        eprintln!("wasm-opt {version} is not on PATH, nor npm to install it with: Trunk downloads its own");
        return Ok(None);
    }
    npm_install(&root, &format!("binaryen@{version}.0.0"))?;
    ensure!(is_version(&program, version), "wasm-opt {version} was installed, and does not run: is node there?");
    Ok(Some(folder))
}

/// The folder of ONNX Runtime Web's programs, by npm.
pub fn onnxruntime_web() -> Result<PathBuf> {
    let root = tools().join(format!("onnxruntime-web-{ONNXRUNTIME_WEB_VERSION}"));
    let folder = root.join("node_modules/onnxruntime-web/dist");
    if !folder.is_dir() {
        npm_install(&root, &format!("onnxruntime-web@{ONNXRUNTIME_WEB_VERSION}"))?;
    }
    Ok(folder)
}

fn npm_install(root: &Path, package: &str) -> Result<()> {
    eprintln!("installing {package} into {}: some seconds, once", root.display());
    fs::create_dir_all(root).with_context(|| format!("cannot make {}", root.display()))?;
    let mut install = Command::new("npm");
    install.args(["install", "--no-audit", "--no-fund", "--no-save", "--ignore-scripts", "--prefix"]).arg(root);
    succeed(install.arg(package))
}

/// `132`, where Trunk.toml pins `version_132`.
fn pinned_wasm_opt(settings: &str) -> Option<&str> {
    let value = settings.lines().find_map(|line| line.strip_prefix("wasm_opt = "))?;
    value.trim_matches('"').strip_prefix("version_")
}

/// Installs the compiler's WebAssembly target if it is missing.
pub fn wasm_target() -> Result<()> {
    let sysroot = output(Command::new("rustc").args(["--print", "sysroot"])).context("rustc does not run")?;
    if Path::new(sysroot.trim()).join("lib/rustlib").join(WASM_TARGET).is_dir() {
        return Ok(());
    }
    succeed(Command::new("rustup").args(["target", "add", WASM_TARGET]).current_dir(repository())).with_context(|| {
        format!("this Rust has no {WASM_TARGET}: it needs rustup, or the distribution's package of it")
    })
}

/// Checks that the tests can drive a browser.
pub fn check_browser() -> Result<()> {
    let driver = env::var_os("CHROMEDRIVER").unwrap_or_else(|| "chromedriver".into());
    let runs = output(Command::new(&driver).arg("--version"));
    ensure!(
        runs.is_ok_and(|version| version.contains("ChromeDriver")),
        "the tests of the page drive a real Chromium, and `{}` does not run.\n  \
         hint: install Chromium (or Chrome) and its driver: Debian and Ubuntu `apt-get install chromium \
         chromium-driver`, macOS `brew install --cask chromium chromedriver`; CHROMEDRIVER and CHROME name them \
         where they are not on PATH.\n  \
         hint: VDM_SKIP_BROWSER=1 leaves these tests out",
        driver.display()
    );
    Ok(())
}

/// The version of wasm-bindgen that the page is compiled with: the tool's must be the same.
fn wasm_bindgen_version(repository: &Path) -> Result<String> {
    let lock = repository.join("Cargo.lock");
    let lock = fs::read_to_string(&lock).with_context(|| format!("cannot read {}", lock.display()))?;
    locked_version(&lock, "wasm-bindgen").context("Cargo.lock names no wasm-bindgen")
}

/// The version of a package in a lock file; where there are several, the last.
fn locked_version(lock: &str, package: &str) -> Option<String> {
    let mut lines = lock.lines();
    let mut version = None;
    while let Some(line) = lines.next() {
        if line.strip_prefix("name = ").is_some_and(|name| name.trim_matches('"') == package) {
            version = lines.next()?.strip_prefix("version = ").map(|v| v.trim_matches('"').to_owned());
        }
    }
    version
}

fn ensure_tool(program: &str, package: &str, version: &str, features: &[&str]) -> Result<()> {
    if found(program, version).is_some() {
        return Ok(());
    }
    let root = tools();
    eprintln!("installing {package} {version} into {}, once", root.display());
    let scratch = root.join("build");
    // Outside the workspace, so that its settings do not apply.
    let install = || {
        let mut command = cargo();
        command.current_dir(env::temp_dir()).env("CARGO_TARGET_DIR", &scratch);
        command
    };
    let mut binstall = install();
    binstall.args(["binstall", "--no-confirm", "--force", "--root"]).arg(&root).arg(format!("{package}@{version}"));
    let ready_made = output(install().args(["binstall", "-V"])).is_ok() && succeed(&mut binstall).is_ok();
    let compile = |locked: &[&str]| {
        let mut command = install();
        command.args(["install", "--force", package, "--version", version, "--root"]).arg(&root);
        command.args(features).args(locked);
        // A tool that runs for seconds need not be compiled for minutes longer.
        succeed(command.envs([
            ("CARGO_PROFILE_RELEASE_LTO", "off"),
            ("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16"),
            ("CARGO_PROFILE_RELEASE_OPT_LEVEL", "1"),
            ("CARGO_PROFILE_RELEASE_DEBUG", "false"),
        ]))
    };
    if !ready_made {
        // A mirror of the registry may not have every version that the tool was locked with yet.
        compile(&["--locked"]).or_else(|error| {
            eprintln!("{error:#}: trying again with the newest versions of what it depends on");
            compile(&[])
        })?;
    }
    ensure!(found(program, version).is_some(), "{program} {version} was installed, and does not run");
    Ok(())
}

/// The program of this version, in `target/tools` or on PATH.
fn found(program: &str, version: &str) -> Option<PathBuf> {
    let own = tools().join("bin").join(format!("{program}{}", env::consts::EXE_SUFFIX));
    [own, PathBuf::from(program)].into_iter().find(|path| is_version(path, version))
}

fn is_version(program: &Path, version: &str) -> bool {
    let printed = output(Command::new(program).arg("--version").env_remove("NO_COLOR")).unwrap_or_default();
    // `trunk 0.21.14`, `wasm-bindgen 0.2.130 (schema …)`, `wasm-opt version 132 (version_132)`.
    printed.split_whitespace().any(|word| word == version)
}

fn tools() -> PathBuf {
    env::var_os("VDM_TOOLS").map_or_else(|| repository().join("target").join("tools"), PathBuf::from)
}

/// PATH with our tools first: Trunk finds them there and downloads none.
fn path_with(folders: Vec<PathBuf>) -> Result<OsString> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::join_paths(folders.into_iter().chain(env::split_paths(&path))).context("a folder on PATH has an unusable name")
}

#[cfg(test)]
mod tests {
    use super::{locked_version, pinned_wasm_opt};

    #[test]
    fn a_version_is_found_by_the_whole_name() {
        let lock = "\
[[package]]
name = \"wasm-bindgen\"
version = \"0.2.130\"

[[package]]
name = \"wasm-bindgen-backend\"
version = \"0.2.9\"
";
        assert_eq!(locked_version(lock, "wasm-bindgen").as_deref(), Some("0.2.130"));
        assert_eq!(locked_version(lock, "wasm"), None);
    }

    #[test]
    fn the_pinned_wasm_opt_is_read_as_trunk_reads_it() {
        assert_eq!(pinned_wasm_opt(include_str!("../../Trunk.toml")).map(|v| v.parse::<u32>().is_ok()), Some(true));
        assert_eq!(pinned_wasm_opt("[tools]\nwasm_opt = \"version_123\"\n"), Some("123"));
        assert_eq!(pinned_wasm_opt("[tools]\n"), None);
    }
}
