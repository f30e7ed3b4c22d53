//! The folder of a run.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use vdm::config::Preset;

/// The folder of a run that is about to start.
pub enum RunFolder {
    /// A new run, with the folder that the user asked for, if any.
    New(Option<PathBuf>),
    /// A run to continue.
    Existing(PathBuf),
}

impl RunFolder {
    /// Makes the folder if it does not exist.
    ///
    /// # Errors
    /// The folder for a new run holds a run already, or cannot be made.
    pub fn open(self, preset: Preset) -> Result<PathBuf> {
        match self {
            RunFolder::New(out) => create(out.as_deref(), preset),
            RunFolder::Existing(folder) => Ok(folder),
        }
    }
}

/// The folder of a new run: `out`, or the next free one in `runs`.
fn create(out: Option<&Path>, preset: Preset) -> Result<PathBuf> {
    let folder = match out {
        Some(out) => {
            if out.join("run.toml").exists() {
                bail!("{} holds a run already: pass --resume to continue it, or another --out", out.display());
            }
            out.to_owned()
        }
        None => (1..)
            .map(|n| {
                let suffix = if n == 1 { String::new() } else { format!("-{n}") };
                Path::new("runs").join(format!("{}{suffix}", preset.name()))
            })
            .find(|folder| !folder.exists())
            .context("no free folder under runs")?,
    };
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    Ok(folder)
}

/// The folder of a run that exists: `out`, or the one in `runs` that was changed last.
pub fn existing(out: Option<&Path>) -> Result<PathBuf> {
    if let Some(out) = out {
        return Ok(out.to_owned());
    }
    let entries = fs::read_dir("runs").context("there is no run to continue: the folder runs cannot be read")?;
    entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|folder| folder.join("run.toml").exists())
        .max_by_key(|folder| {
            let changed = |name| fs::metadata(folder.join(name)).and_then(|metadata| metadata.modified()).ok();
            changed("log.jsonl").max(changed("run.toml"))
        })
        .context("there is no run to continue in runs")
}
