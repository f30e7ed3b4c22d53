//! What a run's folder says about the training, for a model card.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::base::files;

/// What a run's folder says about the training.
#[derive(Clone, Debug)]
pub struct RunFacts {
    /// Settings by their dotted names.
    pub settings: Vec<(String, String)>,
    /// Seconds trained, where the log says so.
    pub seconds: Option<f64>,
}

impl RunFacts {
    /// Reads a run's settings, `run.toml`, and its log.
    ///
    /// # Errors
    /// The folder has no settings, or they are damaged.
    pub fn read(folder: &Path) -> Result<Self> {
        let path = folder.join("run.toml");
        ensure!(path.exists(), "{} is not the folder of a run: it has no run.toml", folder.display());
        let text = String::from_utf8_lossy(&files::read(&path)?).into_owned();
        let value: Value = toml::from_str(&text).with_context(|| format!("{} is damaged", path.display()))?;
        let mut settings = Vec::new();
        flatten("", &value, &mut settings);
        let log = fs::read(folder.join("log.jsonl")).unwrap_or_default();
        let lines = String::from_utf8_lossy(&log).into_owned();
        let seconds = lines
            .lines()
            .rev()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok())
            .find_map(|line| line.get("seconds").and_then(Value::as_f64));
        Ok(Self { settings, seconds })
    }
}

fn flatten(name: &str, value: &Value, into: &mut Vec<(String, String)>) {
    match value {
        Value::Object(fields) => {
            for (field, value) in fields {
                let name = if name.is_empty() { field.clone() } else { format!("{name}.{field}") };
                flatten(&name, value, into);
            }
        }
        Value::Null => {}
        // Of a path only the last part: the rest is private.
        Value::String(text)
            if text.contains(['/', '\\'])
                && matches!(name, "from" | "data.path" | "data.validation" | "data.cache") =>
        {
            let last = text.rsplit(['/', '\\']).find(|part| !part.is_empty()).unwrap_or(text);
            into.push((name.to_owned(), last.to_owned()));
        }
        Value::String(text) => into.push((name.to_owned(), text.clone())),
        other => into.push((name.to_owned(), other.to_string())),
    }
}
