//! A run's logs: one JSON object a line, for each step and each validation.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Deserializer, Serialize};
use vdm::diffusion::terms::Terms;
use vdm::math;

use crate::base::files;

/// A line of `log.jsonl`: one training step.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct StepLog {
    /// The step, from 1.
    pub step: u64,
    /// The loss, averaged over the batch: see [`terms_in_bits_per_dim`].
    #[serde(flatten)]
    pub terms: Terms<f64>,
    /// Norm of the objective's gradient before clipping, in nats per pixel.
    pub gradient_norm: f64,
    /// Learning rate.
    pub learning_rate: f64,
    /// Seconds trained so far, over all sessions.
    pub seconds: f64,
    /// Images per second, since this process began to train.
    pub images_per_second: f64,
}

/// A line of `validation.jsonl`. A number that is not finite is written as `null` and read as NaN.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct ValidationLog {
    /// Steps taken.
    pub step: u64,
    /// What was measured: `weights`, or an average of them such as `ema-50000`.
    pub series: String,
    /// The loss, averaged over images: see [`terms_in_bits_per_dim`].
    #[serde(flatten, deserialize_with = "terms_with_nan")]
    pub terms: Terms<f64>,
    /// Reconstruction, latent and diffusion loss together.
    #[serde(deserialize_with = "nan_from_null")]
    pub total: f64,
    /// The training objective, in bits per dimension.
    #[serde(default, deserialize_with = "nan_from_null")]
    pub objective: f64,
    /// Standard error of the total, over images.
    #[serde(deserialize_with = "nan_from_null")]
    pub standard_error: f64,
}

/// Terms as logs have them: in bits per dimension, but for the two that are means over pixels.
pub fn terms_in_bits_per_dim(terms: Terms<f64>, pixels: usize) -> Terms<f64> {
    let Terms { mse, gradient_difference, .. } = terms;
    Terms { mse, gradient_difference, ..terms.map(|nats| math::bits_per_dim(nats, pixels)) }
}

/// Reads a number; JSON has `null` in the place of one that is not finite.
pub fn nan_from_null<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or(f64::NAN))
}

fn terms_with_nan<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Terms<f64>, D::Error> {
    Ok(Terms::<Option<f64>>::deserialize(deserializer)?.map(|term| term.unwrap_or(f64::NAN)))
}

impl ValidationLog {
    /// Whether it is of the weights themselves; logs of one series need not name it.
    pub fn is_of_weights(&self) -> bool {
        self.series.is_empty() || self.series == "weights"
    }
}

/// Opens a log for appending, without the lines of steps that a stop undid, and without broken ones.
pub fn open(path: &Path, step: u64) -> Result<File> {
    #[derive(Deserialize)]
    struct Line {
        step: u64,
    }
    let reopen = || -> Result<File> {
        if path.exists() {
            let is_kept = |line: &&[u8]| serde_json::from_slice::<Line>(line).is_ok_and(|line| line.step <= step);
            let whole = files::read(path)?;
            let kept = whole.split(|&byte| byte == b'\n').filter(is_kept);
            files::write_atomic(path, &kept.flat_map(|line| [line, b"\n"].concat()).collect::<Vec<u8>>())?;
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

/// Validation lines of a run, without broken ones.
pub fn read_validations(folder: &Path) -> Result<Vec<ValidationLog>> {
    let text = files::read(&folder.join("validation.jsonl"))?;
    Ok(text.split(|&byte| byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_validation_that_is_not_finite_reads_back() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut file = open(&folder.path().join("validation.jsonl"), 0).expect("opens");
        let terms = Terms { diffusion: f64::NAN, latent: f64::INFINITY, reconstruction: 0.5, ..Terms::default() };
        let nan = f64::NAN;
        let line =
            ValidationLog { step: 3, terms, total: nan, objective: nan, standard_error: nan, ..Default::default() };
        write(&mut file, &line).expect("writes");
        let [read] = &read_validations(folder.path()).expect("reads")[..] else { panic!("one line") };
        assert_eq!((read.step, read.terms.reconstruction, read.terms.mse), (3, 0.5, 0.0));
        assert!([read.terms.diffusion, read.terms.latent, read.total, read.objective].iter().all(|v| v.is_nan()));
    }

    #[test]
    fn logs_have_their_terms_beside_the_step() {
        let line = StepLog { step: 1, terms: Terms::from_array([1.0, 2.0, 3.0, 4.0, 5.0]), ..StepLog::default() };
        let line = serde_json::to_value(line).expect("JSON");
        assert_eq!((&line["step"], &line["latent"], &line["mse"]), (&1.into(), &2.0.into(), &4.0.into()));
        let old = r#"{"step":1,"series":"weights","reconstruction":1.0,"latent":2.0,"diffusion":3.0,"total":6.0,"standard_error":0.1}"#;
        let old: ValidationLog = serde_json::from_str(old).expect("an older line");
        assert!(old.terms.latent == 2.0 && old.terms.mse.is_nan() && old.objective == 0.0);
    }

    #[test]
    fn a_log_keeps_what_the_checkpoint_knows() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("log.jsonl");
        // As a kill and a loss of power leave a last line.
        for broken in [&b"{\"st"[..], b"\xff\xfe{\"step\":3", b"\0\0\0\0", b"{\"step\":2}{\"step\":2}"] {
            fs::write(&path, [b"{\"step\":1}\n{\"step\":2}\n{\"step\":3}\n", broken].concat()).expect("writes");
            drop(open(&path, 2).expect("opens"));
            assert_eq!(fs::read_to_string(&path).expect("reads"), "{\"step\":1}\n{\"step\":2}\n");
        }
        fs::write(folder.path().join("validation.jsonl"), b"\xff\n{\"step").expect("writes");
        assert!(read_validations(folder.path()).expect("reads").is_empty());
    }
}
