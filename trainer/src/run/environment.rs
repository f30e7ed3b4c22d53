//! The software and the machine of a run, for reproducing it. Neither the host's nor the user's name is recorded.

use std::path::Path;
use std::process::Command;

use anyhow::Result;
use serde::{Deserialize, Serialize};
use sysinfo::{CpuRefreshKind, MemoryRefreshKind, RefreshKind, System};

use crate::base::files;

/// The software and the machine of a run. The run's folder keeps it as `environment.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Environment {
    /// Name and version of this program.
    pub software: String,
    /// The current git commit of the checkout that the program was built in, with `-modified` if files differ from it;
    /// absent without a checkout.
    pub commit: Option<String>,
    /// The compiler, as `rustc --version` names it.
    pub rustc: String,
    /// `release` or `debug`.
    pub profile: String,
    /// Operating system and its version.
    pub os: String,
    /// Processor architecture, such as x86_64.
    pub architecture: String,
    /// Model of the CPU.
    pub cpu: String,
    /// Physical cores, if the system reports them.
    pub physical_cores: Option<usize>,
    /// Threads that this process may run at once.
    pub threads: usize,
    /// Memory in MiB.
    pub memory_mib: u64,
    /// Name of the device that computes.
    pub device: String,
    /// Time in UTC (RFC 3339).
    pub date: String,
    /// The command line, with the program's name in place of its path.
    pub command: Vec<String>,
}

impl Environment {
    /// The environment of this process.
    pub fn collect(device_name: &str) -> Self {
        let kinds = RefreshKind::nothing()
            .with_cpu(CpuRefreshKind::nothing())
            .with_memory(MemoryRefreshKind::nothing().with_ram());
        let system = System::new_with_specifics(kinds);
        let cpu = system.cpus().first().map(|cpu| cpu.brand().trim().to_owned()).unwrap_or_default();
        Self {
            software: format!("{} {}", env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION")),
            commit: commit(Path::new(env!("CARGO_MANIFEST_DIR"))),
            rustc: option_env!("TRAINER_RUSTC").unwrap_or("unknown").to_owned(),
            profile: if cfg!(debug_assertions) { "debug" } else { "release" }.to_owned(),
            os: System::long_os_version().unwrap_or_else(|| std::env::consts::OS.to_owned()),
            architecture: std::env::consts::ARCH.to_owned(),
            cpu: if cpu.is_empty() { "unknown".to_owned() } else { cpu },
            physical_cores: System::physical_core_count(),
            threads: std::thread::available_parallelism().map_or(1, usize::from),
            memory_mib: system.total_memory() / (1 << 20),
            device: device_name.to_owned(),
            date: humantime::format_rfc3339_seconds(std::time::SystemTime::now()).to_string(),
            command: command(std::env::args_os().map(|arg| arg.to_string_lossy().into_owned())),
        }
    }

    /// Writes `environment.json` into a run's folder.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&self, folder: &Path) -> Result<()> {
        files::write_atomic(&folder.join("environment.json"), &serde_json::to_vec_pretty(self)?)
    }
}

/// The commit of the workspace's own checkout.
fn commit(package: &Path) -> Option<String> {
    let workspace = package.parent()?.canonicalize().ok()?;
    let git = |args: &[&str]| {
        let output = Command::new("git").arg("-C").arg(&workspace).args(args).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    // Unpacked inside another project's checkout, git would report that project's commit.
    let top = Path::new(&git(&["rev-parse", "--show-toplevel"])?).canonicalize().ok()?;
    if top != workspace {
        return None;
    }
    let commit = git(&["rev-parse", "HEAD"])?;
    let modified = git(&["status", "--porcelain", "--untracked-files=no"]).is_none_or(|changes| !changes.is_empty());
    Some(if modified { format!("{commit}-modified") } else { commit })
}

/// The arguments, without the program's folder, which often contains a user's name.
fn command(mut args: impl Iterator<Item = String>) -> Vec<String> {
    let program = args.next().unwrap_or_default();
    let name = Path::new(&program).file_name().map(|name| name.to_string_lossy().into_owned());
    name.into_iter().chain(args).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_survives_json_and_says_what_is_known() {
        let environment = Environment::collect("CPU");
        let folder = tempfile::tempdir().expect("a folder");
        environment.write(folder.path()).expect("writes");
        let text = std::fs::read(folder.path().join("environment.json")).expect("reads");
        assert_eq!(environment, serde_json::from_slice(&text).expect("JSON"));
        assert_eq!(environment.software, format!("trainer {}", env!("CARGO_PKG_VERSION")));
        assert_eq!(environment.device, "CPU");
        assert!(environment.rustc.starts_with("rustc 1."), "{}", environment.rustc);
        assert!(environment.memory_mib > 100, "{}", environment.memory_mib);
        assert!(environment.threads >= 1);
        assert!(environment.commit.is_none_or(|commit| commit.len() >= 40));
        assert!(humantime::parse_rfc3339(&environment.date).is_ok(), "{}", environment.date);
    }

    #[test]
    fn the_host_is_not_named() {
        let text = serde_json::to_string(&Environment::collect("CPU")).expect("JSON");
        // A short host name, such as "x", may be part of other words.
        if let Some(host) = System::host_name().filter(|host| host.len() > 5) {
            assert!(!text.contains(&host), "{host} in {text}");
        }
    }

    #[test]
    fn the_programs_folder_is_left_out() {
        let args = ["/home/somebody/bin/trainer", "train", "--preset", "quick"].map(str::to_owned);
        assert_eq!(command(args.into_iter()), ["trainer", "train", "--preset", "quick"]);
    }
}
