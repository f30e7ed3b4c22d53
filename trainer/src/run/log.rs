//! A run's logs: one JSON object a line, for each step and each validation.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::base::files;

/// A line of `log.jsonl`: one training step. Terms are in bits a dimension, averaged over the batch.
#[derive(Serialize)]
pub struct StepLog {
    /// The step, from 1.
    pub step: u64,
    /// Reconstruction loss.
    pub reconstruction: f64,
    /// Latent loss.
    pub latent: f64,
    /// Diffusion loss.
    pub diffusion: f64,
    /// Mean squared error.
    pub mse: f64,
    /// Gradient difference.
    pub gradient_difference: f64,
    /// -log density of the grain.
    pub grain: f64,
    /// Norm of the objective's gradient before clipping, in nats a pixel.
    pub gradient_norm: f64,
    /// Learning rate.
    pub learning_rate: f64,
    /// Seconds trained so far.
    pub seconds: f64,
    /// Images a second, since this process began to train.
    pub images_per_second: f64,
}

/// A line of `validation.jsonl`, in bits a dimension.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct ValidationLog {
    /// Steps taken.
    pub step: u64,
    /// What was measured: `weights`, or an average of them such as `ema-50000`.
    pub series: String,
    /// Reconstruction loss.
    pub reconstruction: f64,
    /// Latent loss.
    pub latent: f64,
    /// Diffusion loss.
    pub diffusion: f64,
    /// Their sum.
    pub total: f64,
    /// Mean squared error of the decoder's mean.
    #[serde(default)]
    pub mse: f64,
    /// -log density of the grain.
    #[serde(default)]
    pub grain: f64,
    /// All that is trained, as it is weighed.
    #[serde(default)]
    pub objective: f64,
    /// Standard error of the sum, over images.
    pub standard_error: f64,
}

impl ValidationLog {
    /// Whether it is of the weights themselves; logs of one series need not name it.
    pub fn is_of_weights(&self) -> bool {
        self.series.is_empty() || self.series == "weights"
    }
}

/// Opens a log for appending, without the lines of steps that a stop undid.
pub fn open(path: &Path, step: u64) -> Result<File> {
    #[derive(Deserialize)]
    struct Line {
        step: u64,
    }
    let reopen = || -> Result<File> {
        let mut kept = Vec::new();
        if path.exists() {
            for line in BufReader::new(File::open(path)?).lines() {
                let line = line?;
                match serde_json::from_str::<Line>(&line) {
                    Ok(parsed) if parsed.step <= step => kept.extend(line.bytes().chain([b'\n'])),
                    // Later steps will be taken again; a torn last line is one of them.
                    _ => break,
                }
            }
            files::write_atomic(path, &kept)?;
        }
        Ok(fs::OpenOptions::new().create(true).append(true).open(path)?)
    };
    reopen().with_context(|| format!("cannot open {}", path.display()))
}

pub fn write(log: &mut File, line: &impl Serialize) -> Result<()> {
    let mut text = serde_json::to_vec(line)?;
    text.push(b'\n');
    log.write_all(&text).context("cannot write to the run's log")
}

/// Validation lines of a run.
pub fn read_validations(folder: &Path) -> Result<Vec<ValidationLog>> {
    let path = folder.join("validation.jsonl");
    let text = files::read(&path)?;
    String::from_utf8_lossy(&text)
        .lines()
        .map(|line| serde_json::from_str(line).with_context(|| format!("{} is damaged", path.display())))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_keeps_what_the_checkpoint_knows() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("log.jsonl");
        fs::write(&path, "{\"step\":1}\n{\"step\":2}\n{\"step\":3}\n{\"st").expect("writes");
        drop(open(&path, 2).expect("opens"));
        assert_eq!(fs::read_to_string(&path).expect("reads"), "{\"step\":1}\n{\"step\":2}\n");
    }
}
