//! The page: its head, and its sections in order.

use std::fmt::Write;
use std::path::Path;
use std::time::{Duration, SystemTime};

use serde_json::Value;

use super::chart::Chart;
use super::images::{Album, missing};
use super::logs::{self, Reading, StepLine, Training, ValidationLine, Validations};
use super::{curves, sections};
use crate::output::text::{count, duration, escape, number};

/// The size of all pictures together, in characters: charts and text need far less than the rest of 10 MB.
const PICTURES: usize = 8_500_000;

/// The whole report of a run.
pub fn page(folder: &Path) -> String {
    let (training, training_reading) = Training::read(&folder.join("log.jsonl"));
    let (validations, validation_reading) = logs::validations(&folder.join("validation.jsonl"));
    let (schedules, schedule_reading) = logs::schedules(&folder.join("schedule.jsonl"));
    let config = sections::configuration(folder);
    let name = folder.canonicalize().ok().and_then(|full| Some(full.file_name()?.to_string_lossy().into_owned()));
    let name = name.unwrap_or_else(|| "run".to_owned());

    let preset = first_of(&config.values, &["/preset", "/run/preset"]).and_then(Value::as_str);
    let preset = preset.map_or_else(String::new, |preset| format!(" · preset {}", escape(preset)));
    let mut html = head(&name, &preset, &figures(&training, &validations, &config.values));
    let troubles = |readings: &[(&Reading, &str)]| -> String {
        readings.iter().filter_map(|(reading, name)| Some(missing(&reading.trouble(name)?))).collect()
    };

    section(&mut html, "losses", "Losses", |html| {
        html.push_str(&troubles(&[(&training_reading, "log.jsonl"), (&validation_reading, "validation.jsonl")]));
        let charts: String = curves::losses(&training, &validations).iter().map(Chart::render).collect();
        grid(html, "large", &charts);
    });
    section(&mut html, "schedule", "Noise schedule", |html| {
        html.push_str(&troubles(&[(&schedule_reading, "schedule.jsonl")]));
        if !schedules.is_empty() {
            grid(html, "large", &curves::schedule(&schedules));
        }
    });
    section(&mut html, "optimization", "Optimization", |html| {
        grid(html, "", &(curves::optimization(&training) + &curves::auxiliary(&training)));
    });
    let mut album = Album::new(PICTURES);
    section(&mut html, "samples", "Samples over training", |html| sections::samples(html, folder, &mut album));
    section(&mut html, "processes", "Forward and reverse process", |html| {
        sections::processes(html, folder, &mut album);
    });
    section(&mut html, "evaluation", "Evaluation", |html| sections::evaluation(html, folder));
    section(&mut html, "configuration", "Configuration", |html| html.push_str(&config.html));
    section(&mut html, "environment", "Environment", |html| sections::environment(html, folder));
    let date = humantime::format_rfc3339_seconds(SystemTime::now()).to_string().replace(['T', 'Z'], " ");
    let version = env!("CARGO_PKG_VERSION");
    let _ = writeln!(html, "</main><footer>Written on {date}UTC by trainer {version}.</footer></body></html>");
    html
}

/// The sections, by id, and their names in the navigation.
const SECTIONS: [(&str, &str); 8] = [
    ("losses", "Losses"),
    ("schedule", "Schedule"),
    ("optimization", "Optimization"),
    ("samples", "Samples"),
    ("processes", "Processes"),
    ("evaluation", "Evaluation"),
    ("configuration", "Configuration"),
    ("environment", "Environment"),
];

fn head(name: &str, preset: &str, figures: &str) -> String {
    let name = escape(name);
    let links: String = SECTIONS.iter().map(|(id, text)| format!("<li><a href=\"#{id}\">{text}</a></li>")).collect();
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data:; \
         style-src 'unsafe-inline'\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <title>{name} – training report</title>\n<style>\n{}</style></head>\n<body>\n\
         <header><p class=\"banner\"><strong>Synthetic images – not for diagnosis.</strong> Apart from the input \
         images of the forward process, every X-ray on this page was made by a model.</p>\n\
         <p class=\"kind\">Medical VDM · training report{preset}</p><h1>{name}</h1>\n{figures}\
         <nav aria-label=\"Sections\"><ul>{links}</ul></nav></header>\n<main>\n",
        include_str!("style.css")
    )
}

fn section(html: &mut String, id: &str, title: &str, content: impl FnOnce(&mut String)) {
    let _ = writeln!(html, "<section id=\"{id}\" aria-labelledby=\"{id}-title\"><h2 id=\"{id}-title\">{title}</h2>");
    content(html);
    html.push_str("</section>\n");
}

fn grid(html: &mut String, size: &str, cards: &str) {
    let _ = writeln!(html, "<div class=\"grid {size}\">{cards}</div>");
}

/// The main numbers of the run.
fn figures(training: &Training, validations: &Validations, config: &Value) -> String {
    let mut html = String::from("<dl class=\"figures\">");
    let mut figure = |name: &str, value: &str, note: &str| {
        let note = if note.is_empty() { String::new() } else { format!("<dd class=\"note\">{}</dd>", escape(note)) };
        let _ = write!(html, "<div><dt>{}</dt><dd>{}</dd>{note}</div>", escape(name), escape(value));
    };
    let all = || validations.iter().flat_map(|(_, lines)| lines).filter(|line| line.total.is_finite());
    let series_note = |line: &ValidationLine| match validations.len() {
        1 => format!("bits/dim, step {}", line.step),
        _ => format!("bits/dim, {}, step {}", line.series, line.step),
    };
    if let Some(best) = all().min_by(|a, b| a.total.total_cmp(&b.total)) {
        figure("Best validation", &with_error(best), &series_note(best));
    }
    if let Some(last) = all().max_by(|a, b| a.step.cmp(&b.step).then(b.total.total_cmp(&a.total))) {
        figure("Last validation", &with_error(last), &series_note(last));
    }
    let planned = first_of(config, &["/training/steps", "/steps"]).and_then(Value::as_u64);
    match (&training.last, planned) {
        (Some(StepLine { step, .. }), Some(planned)) if *step < planned => {
            let part = 100.0 * *step as f64 / planned as f64;
            figure("Steps", &format!("{step} of {planned}"), &format!("{part:.0} %: not finished"));
        }
        (Some(StepLine { step, .. }), Some(_)) => figure("Steps", &step.to_string(), "finished"),
        (Some(StepLine { step, .. }), None) => figure("Steps", &step.to_string(), "taken so far"),
        (None, _) => figure("Steps", "0", "the log holds none"),
    }
    let batch = first_of(config, &["/training/batch", "/batch"]).and_then(Value::as_u64);
    if let Some(StepLine { step, seconds: Some(seconds), .. }) = training.last
        && let Ok(time) = Duration::try_from_secs_f64(seconds)
    {
        let note = match batch {
            Some(batch) if seconds > 0.0 => {
                format!("{} images/s on average", number(((step * batch) as f64 / seconds).round()))
            }
            _ => String::new(),
        };
        figure("Training time", &duration(time), &note);
    }
    if let (Some(last), Some(batch)) = (&training.last, batch) {
        figure("Images seen", &count((last.step * batch) as f64), &format!("{batch} per step"));
    }
    html.push_str("</dl>\n");
    html
}

fn with_error(line: &ValidationLine) -> String {
    match line.standard_error {
        Some(error) => format!("{:.4} ± {error:.4}", line.total),
        None => format!("{:.4}", line.total),
    }
}

fn first_of<'a>(config: &'a Value, places: &[&str]) -> Option<&'a Value> {
    places.iter().find_map(|place| config.pointer(place))
}
