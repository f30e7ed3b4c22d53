//! Sections of the page that show a run's files: pictures, evaluation, configuration, environment.

use std::fmt::Write;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use serde_json::Value;

use super::images::{Album, grids, missing};
use crate::output::text::escape;

/// Bytes of a text file that are shown.
const MAX_TEXT: u64 = 256 << 10;

/// Grids of samples, drawn from the same seeds at several steps.
pub fn samples(html: &mut String, folder: &Path, album: &mut Album) {
    let (grids, count) = grids(&folder.join("samples"));
    if grids.is_empty() {
        html.push_str(&missing("There are no pictures step-NUMBER.png in the run's folder samples."));
        return;
    }
    let shown = if count > grids.len() { format!(", {} of {count} shown", grids.len()) } else { String::new() };
    let _ = write!(html, "<p>Each picture is drawn from the same seeds{shown}.</p><div class=\"grid small\">");
    for (step, path) in grids {
        let alt = format!("Grid of synthetic chest X-rays that the model drew after step {step}");
        html.push_str(&album.figure(&path, &format!("Step {step}"), &alt, ""));
    }
    html.push_str("</div>\n");
}

/// The figures of a finished run.
pub fn processes(html: &mut String, folder: &Path, album: &mut Album) {
    let figures = folder.join("figures");
    html.push_str("<div class=\"wide\">");
    for (file, title, alt, caption) in [
        (
            "forward.png",
            "Forward process",
            "Rows of X-rays that lose their detail from left to right until each is noise decoded",
            "Left: the image. Then its latent on the way from t = 0 to t = 1, decoded.",
        ),
        (
            "reverse.png",
            "Reverse process",
            "Rows of pictures that turn from noise on the left into synthetic chest X-rays on the right",
            "From t = 1 to t = 0. Two rows a sample: the latent decoded, and below it the image predicted from it.",
        ),
        (
            "samples.png",
            "Samples of the finished model",
            "Grid of synthetic chest X-rays",
            "Drawn from the weights of the best validation.",
        ),
    ] {
        html.push_str(&album.figure(&figures.join(file), title, alt, caption));
    }
    html.push_str("</div>\n");
}

/// The evaluation, word for word, after the page to look at first.
pub fn evaluation(html: &mut String, folder: &Path) {
    let folder = folder.join("evaluation");
    let mut some = false;
    if folder.join("compare.html").is_file() {
        html.push_str("<p>Look first: <a href=\"evaluation/compare.html\">samples beside real images</a>.</p>\n");
    }
    for name in ["table.md", "report.json"] {
        match text(&folder.join(name)) {
            Ok(text) => {
                some = true;
                verbatim(html, &format!("evaluation/{name}"), &text);
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                some = true;
                html.push_str(&missing(&format!("evaluation/{name} cannot be read: {error}.")));
            }
        }
    }
    if !some {
        html.push_str(&missing("The run holds no evaluation."));
    }
}

/// The configuration, as shown and as read.
pub struct Configuration {
    pub html: String,
    pub values: Value,
}

/// `run.toml`.
pub fn configuration(folder: &Path) -> Configuration {
    const NAME: &str = "run.toml";
    let mut html = String::new();
    let mut values = Value::Null;
    match text(&folder.join(NAME)) {
        Ok(text) => {
            match toml::from_str(&text) {
                Ok(read) => values = read,
                Err(error) => {
                    html.push_str(&missing(&format!("{NAME} is damaged: {}. This is its text.", error.message())));
                }
            }
            verbatim(&mut html, NAME, &text);
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            html.push_str(&missing("There is no run.toml in the run's folder."));
        }
        Err(error) => html.push_str(&missing(&format!("{NAME} cannot be read: {error}."))),
    }
    Configuration { html, values }
}

/// `environment.json` as a table.
pub fn environment(html: &mut String, folder: &Path) {
    let text = match text(&folder.join("environment.json")) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            html.push_str(&missing("There is no environment.json in the run's folder."));
            return;
        }
        Err(error) => {
            html.push_str(&missing(&format!("environment.json cannot be read: {error}.")));
            return;
        }
    };
    let Ok(Value::Object(values)) = serde_json::from_str(&text) else {
        html.push_str(&missing("environment.json is damaged. This is its text."));
        verbatim(html, "environment.json", &text);
        return;
    };
    html.push_str(
        "<div class=\"scroll card\" tabindex=\"0\" role=\"region\" aria-label=\"Where the run was made\"><table>\
         <caption>Where the run was made</caption><tbody>",
    );
    for (key, value) in values {
        let name = key.replace('_', " ").replace("mib", "(MiB)");
        let _ = write!(html, "<tr><th scope=\"row\">{}</th><td>{}</td></tr>", escape(&name), escape(&plain(&value)));
    }
    html.push_str("</tbody></table></div>\n");
}

/// A JSON value for people: text without quotes, lists with spaces.
fn plain(value: &Value) -> String {
    match value {
        Value::Null => "unknown".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(values) => values.iter().map(plain).collect::<Vec<_>>().join(" "),
        other => other.to_string(),
    }
}

fn verbatim(html: &mut String, name: &str, text: &str) {
    let (name, text) = (escape(name), escape(text));
    let _ = writeln!(
        html,
        "<h3>{name}</h3><pre class=\"card\" tabindex=\"0\" role=\"region\" aria-label=\"{name}\">{text}</pre>"
    );
}

/// The beginning of a file, as text.
fn text(path: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    let length = File::open(path)?.take(MAX_TEXT + 1).read_to_end(&mut bytes)? as u64;
    let mut text = String::from_utf8_lossy(&bytes).into_owned();
    if length > MAX_TEXT {
        text.push_str("\n… (the rest is left out)");
    }
    Ok(text)
}
