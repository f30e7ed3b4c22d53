//! A run's logs, read as far as possible, in memory that does not grow with their length.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use vdm::axis::Thinned;
use vdm::diffusion::terms::Terms;

use crate::run::log::nan_from_null;

/// The longest line that is read: a file without line ends is not a log.
const LONGEST_LINE: u64 = 1 << 20;

/// How the reading of a log went.
#[derive(Debug, PartialEq, Eq)]
pub enum Reading {
    /// There is no such file.
    Missing,
    /// It cannot be read: why.
    Unreadable(String),
    /// It was read except for the damaged lines; an incomplete last line is not counted.
    Read { damaged: u64 },
}

impl Reading {
    /// A sentence about what is missing, if anything is.
    pub fn trouble(&self, name: &str) -> Option<String> {
        match self {
            Reading::Missing => Some(format!("There is no {name} in the run's folder.")),
            Reading::Unreadable(why) => Some(format!("{name} cannot be read: {why}.")),
            Reading::Read { damaged: 0 } => None,
            Reading::Read { damaged: 1 } => Some(format!("One line of {name} is damaged and was left out.")),
            Reading::Read { damaged } => Some(format!("{damaged} lines of {name} are damaged and were left out.")),
        }
    }
}

/// Passes on each line of a JSON-lines file.
pub fn read<T: DeserializeOwned>(path: &Path, mut take: impl FnMut(T)) -> Reading {
    let mut file = match File::open(path) {
        Ok(file) => BufReader::new(file),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Reading::Missing,
        Err(error) => return Reading::Unreadable(error.to_string()),
    };
    let mut line = Vec::new();
    let mut damaged = 0;
    loop {
        line.clear();
        match file.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut line) {
            Ok(0) => return Reading::Read { damaged },
            Ok(_) => {}
            Err(error) => return Reading::Unreadable(error.to_string()),
        }
        if line.trim_ascii().is_empty() {
            continue;
        }
        match serde_json::from_slice(&line) {
            Ok(value) => take(value),
            // An incomplete last line: it is being written, or the run was killed.
            Err(_) if line.last() != Some(&b'\n') && (line.len() as u64) < LONGEST_LINE => {}
            Err(_) => damaged += 1,
        }
    }
}

/// A line of `log.jsonl`, of which values may be missing.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct StepLine {
    pub step: u64,
    #[serde(flatten)]
    pub terms: Terms<Option<f64>>,
    pub gradient_norm: Option<f64>,
    pub learning_rate: Option<f64>,
    pub seconds: Option<f64>,
    pub images_per_second: Option<f64>,
}

/// `log.jsonl`.
#[derive(Debug, Default)]
pub struct Training {
    pub terms: Terms<Thinned>,
    pub total: Thinned,
    pub gradient_norm: Thinned,
    pub learning_rate: Thinned,
    pub images_per_second: Thinned,
    pub last: Option<StepLine>,
}

impl Training {
    pub fn read(path: &Path) -> (Self, Reading) {
        let mut log = Self::default();
        let reading = read(path, |line| log.take(line));
        (log, reading)
    }

    fn take(&mut self, line: StepLine) {
        if self.last.as_ref().is_some_and(|last| line.step <= last.step) {
            return;
        }
        let Terms { reconstruction, latent, diffusion, .. } = line.terms;
        let total = reconstruction.zip(latent).zip(diffusion).map(|((a, b), c)| a + b + c);
        let Terms { reconstruction, latent, diffusion, mse, gradient_difference } = &mut self.terms;
        let curves = Terms { reconstruction, latent, diffusion, mse, gradient_difference };
        let terms = curves.zip(line.terms).into_array();
        for (values, value) in terms.into_iter().chain([
            (&mut self.total, total),
            (&mut self.gradient_norm, line.gradient_norm),
            (&mut self.learning_rate, line.learning_rate),
            (&mut self.images_per_second, line.images_per_second),
        ]) {
            if let Some(value) = value {
                values.push(line.step, value);
            }
        }
        self.last = Some(line);
    }
}

/// A line of `validation.jsonl`, of which values may be missing.
#[derive(Clone, Debug, Deserialize)]
pub struct ValidationLine {
    pub step: u64,
    #[serde(default = "weights")]
    pub series: String,
    #[serde(flatten)]
    pub terms: Terms<Option<f64>>,
    #[serde(deserialize_with = "nan_from_null")]
    pub total: f64,
    pub standard_error: Option<f64>,
}

fn weights() -> String {
    "weights".to_owned()
}

/// Validations, by series: the trained weights' own first, then the others by name.
pub type Validations = Vec<(String, Vec<ValidationLine>)>;

/// `validation.jsonl`: the lines of each series in order of their steps, the last of those that repeat one.
pub fn validations(path: &Path) -> (Validations, Reading) {
    let mut steps: BTreeMap<(String, u64), ValidationLine> = BTreeMap::new();
    let reading = read(path, |line: ValidationLine| {
        steps.insert((line.series.clone(), line.step), line);
    });
    let mut series: BTreeMap<String, Vec<ValidationLine>> = BTreeMap::new();
    for ((name, _), line) in steps {
        series.entry(name).or_default().push(line);
    }
    let mut series: Validations = series.into_iter().collect();
    series.sort_by_key(|(name, _)| *name != weights());
    (series, reading)
}

/// A line of `schedule.jsonl`: γ at even times from 0 to 1.
#[derive(Clone, Debug, Deserialize)]
pub struct ScheduleLine {
    pub step: u64,
    pub gamma: Vec<f64>,
}

/// `schedule.jsonl`, without lines of fewer than two numbers or of numbers that are not finite.
pub fn schedules(path: &Path) -> (Vec<ScheduleLine>, Reading) {
    let mut lines: BTreeMap<u64, ScheduleLine> = BTreeMap::new();
    let reading = read(path, |line: ScheduleLine| {
        if line.gamma.len() >= 2 && line.gamma.iter().all(|gamma| gamma.is_finite()) {
            lines.insert(line.step, line);
        }
    });
    (lines.into_values().collect(), reading)
}
