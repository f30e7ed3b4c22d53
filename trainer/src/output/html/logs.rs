//! A run's logs, read as far as they can be, in memory that does not grow with them.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use vdm::axis::Thinned;

/// The longest line that is read: a file without line ends is no log.
const LONGEST_LINE: u64 = 1 << 20;

/// How the reading of a log went.
#[derive(Debug, PartialEq, Eq)]
pub enum Reading {
    /// There is no such file.
    Missing,
    /// It cannot be read: why.
    Unreadable(String),
    /// It was read, but for so many damaged lines; a torn last one does not count.
    Read { damaged: u64 },
}

impl Reading {
    /// A sentence on what is not there, if something is not.
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

/// Hands each line of a JSON-lines file on.
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
            // A line without an end is being written, or was when the run was killed.
            Err(_) if line.last() != Some(&b'\n') && (line.len() as u64) < LONGEST_LINE => {}
            Err(_) => damaged += 1,
        }
    }
}

/// A line of `log.jsonl`, of which every value may be missing.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct StepLine {
    pub step: u64,
    pub reconstruction: Option<f64>,
    pub latent: Option<f64>,
    pub diffusion: Option<f64>,
    pub mse: Option<f64>,
    pub gradient_difference: Option<f64>,
    pub gradient_norm: Option<f64>,
    pub learning_rate: Option<f64>,
    pub seconds: Option<f64>,
    pub images_per_second: Option<f64>,
}

/// `log.jsonl`.
#[derive(Debug, Default)]
pub struct Training {
    pub total: Thinned,
    pub reconstruction: Thinned,
    pub latent: Thinned,
    pub diffusion: Thinned,
    pub mse: Thinned,
    pub gradient_difference: Thinned,
    pub gradient_norm: Thinned,
    pub learning_rate: Thinned,
    pub images_per_second: Thinned,
    pub first: Option<StepLine>,
    pub last: Option<StepLine>,
}

impl Training {
    pub fn read(path: &Path) -> (Self, Reading) {
        let mut log = Self::default();
        let reading = read(path, |line: StepLine| log.take(line));
        (log, reading)
    }

    fn take(&mut self, line: StepLine) {
        if self.last.as_ref().is_some_and(|last| line.step <= last.step) {
            return;
        }
        let total = match (line.reconstruction, line.latent, line.diffusion) {
            (Some(a), Some(b), Some(c)) => Some(a + b + c),
            _ => None,
        };
        for (values, value) in [
            (&mut self.total, total),
            (&mut self.reconstruction, line.reconstruction),
            (&mut self.latent, line.latent),
            (&mut self.diffusion, line.diffusion),
            (&mut self.mse, line.mse),
            (&mut self.gradient_difference, line.gradient_difference),
            (&mut self.gradient_norm, line.gradient_norm),
            (&mut self.learning_rate, line.learning_rate),
            (&mut self.images_per_second, line.images_per_second),
        ] {
            if let Some(value) = value {
                values.push(line.step, value);
            }
        }
        self.first.get_or_insert_with(|| line.clone());
        self.last = Some(line);
    }
}

/// A line of `validation.jsonl`, in bits a dimension.
#[derive(Clone, Debug, Deserialize)]
pub struct ValidationLine {
    pub step: u64,
    #[serde(default = "weights")]
    pub series: String,
    pub reconstruction: Option<f64>,
    pub latent: Option<f64>,
    pub diffusion: Option<f64>,
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

/// `schedule.jsonl`, without lines of less than two or of endless numbers.
pub fn schedules(path: &Path) -> (Vec<ScheduleLine>, Reading) {
    let mut lines: BTreeMap<u64, ScheduleLine> = BTreeMap::new();
    let reading = read(path, |line: ScheduleLine| {
        if line.gamma.len() >= 2 && line.gamma.iter().all(|gamma| gamma.is_finite()) {
            lines.insert(line.step, line);
        }
    });
    (lines.into_values().collect(), reading)
}
