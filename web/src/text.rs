//! Every word that the page shows, in one place.

use vdm::sampler::Sampler;

use crate::protocol::{Backend, BackendKind, BackendReason, ModelInfo, Problem, Recovery};
use crate::session::{Finished, Loading, Notice, Phase, Sampling, Session};
use crate::settings::{Field, MAX_STEPS};

/// Name of the page; its hyphen does not break.
pub const TITLE: &str = "Synthetic chest X\u{2011}rays from noise";
/// What it is, in a sentence.
pub const LEAD: &str = "A variational diffusion model draws a chest X-ray of nobody: it starts from noise and removes it step by step, \
     here in your browser.";
/// What is always in sight.
pub const WARNING: &str = "Synthetic, not for diagnosis";
/// The line beneath the warning.
pub const WARNING_DETAIL: &str = "No patient was imaged. Nothing is sent anywhere.";
/// The picture, for those who cannot see it.
pub const CANVAS_LABEL: &str = "Synthetic chest X-ray, not for diagnosis";
/// What stands where the picture will be.
pub const CANVAS_EMPTY: &str = "Press Generate, and an image emerges here.";
/// The button that starts.
pub const GENERATE: &str = "Generate";
/// The button that stops.
pub const CANCEL: &str = "Cancel";
/// The button that stops, once pressed.
pub const CANCELLING: &str = "Stopping…";
/// The button that keeps the picture.
pub const SAVE: &str = "Save PNG";
/// Heading of the form.
pub const SETTINGS: &str = "Settings";
/// Label of the seed.
pub const SEED: &str = "Seed";
/// Hint to the seed.
pub const SEED_HINT: &str = "The same seed and settings give the same image.";
/// Label of the switch.
pub const NEW_SEED: &str = "New seed each time";
/// Label of the steps.
pub const STEPS: &str = "Steps";
/// Hint to the steps.
pub const STEPS_HINT: &str = "More steps, more detail, more time.";
/// Label of the sampler.
pub const SAMPLER: &str = "Sampler";
/// Label of the class.
pub const CLASS: &str = "Class";
/// The choice of no class.
pub const CLASS_NONE: &str = "Any";
/// Label of the guidance.
pub const GUIDANCE: &str = "Guidance";
/// Heading of the facts.
pub const DETAILS: &str = "What is running";
/// Label of the backend.
pub const BACKEND: &str = "Runs on";
/// Label of the weights.
pub const WEIGHTS: &str = "Weights";
/// Label of the file's hash.
pub const HASH: &str = "SHA-256";
/// Label of the training data.
pub const TRAINED_ON: &str = "Trained on";
/// Label of the acknowledgement.
pub const ACKNOWLEDGEMENT: &str = "Thanks to";
/// Label of the licence.
pub const LICENSE: &str = "Licence";
/// Link to the model card.
pub const MODEL_CARD: &str = "Model card";
/// Label of the time.
pub const TIME: &str = "Time";
/// Label of the step.
pub const STEP: &str = "Step";
/// Label of the speed.
pub const SPEED: &str = "Speed";
/// Where there is nothing to show yet.
pub const NOTHING: &str = "–";
/// Accessible name of the bar.
pub const PROGRESS: &str = "Progress";

/// A sampler, as one chooses it.
pub fn sampler(sampler: Sampler) -> &'static str {
    match sampler {
        Sampler::DpmSolver2M => "DPM-Solver++ 2M, best in few steps",
        Sampler::Ddim => "DDIM, deterministic",
        Sampler::Ancestral => "Ancestral, fresh noise at each step",
    }
}

/// A class, as one chooses it.
pub fn class(model: &ModelInfo, class: u32) -> String {
    match model.class_names.get(class as usize) {
        Some(name) => name.clone(),
        None => format!("Class {class}"),
    }
}

/// What is accepted in a field.
pub fn accepted(field: Field) -> String {
    match field {
        Field::Seed => format!("A whole number from 0 to {} is accepted.", u64::MAX),
        Field::Steps => format!("A whole number from 1 to {MAX_STEPS} is accepted."),
        Field::Class => "One of the classes is accepted.".to_owned(),
        Field::Guidance => "A number from 0 to 10 is accepted.".to_owned(),
    }
}

/// What is going on, in a sentence.
pub fn status(session: &Session) -> String {
    match &session.phase {
        Phase::Loading(Loading::Starting) => "Starting the engine…".to_owned(),
        Phase::Loading(Loading::Weights { received, total }) => {
            format!("Fetching the model: {} of {}", megabytes(*received), megabytes(*total))
        }
        Phase::Loading(Loading::Preparing) => "Checking the model and warming up…".to_owned(),
        Phase::Ready => "Ready.".to_owned(),
        Phase::Sampling(Sampling { stopping: true, .. }) => "Stopping after this step…".to_owned(),
        Phase::Sampling(Sampling { step, settings, .. }) => format!("Step {step} of {}", settings.steps),
        Phase::Done(Finished { settings, elapsed_ms }) => format!(
            "Done: seed {}, {} in {}.",
            settings.seed,
            if settings.steps == 1 { "1 step".to_owned() } else { format!("{} steps", settings.steps) },
            seconds(*elapsed_ms)
        ),
        Phase::Failed(problem) => problem_title(problem).to_owned(),
    }
}

/// Seldom-changing words for a screen reader: no step by step.
pub fn announcement(session: &Session) -> String {
    match &session.phase {
        Phase::Loading(Loading::Weights { .. }) => "Fetching the model.".to_owned(),
        Phase::Sampling(Sampling { stopping: false, settings, .. }) => format!("Generating seed {}.", settings.seed),
        _ => status(session),
    }
}

/// Something to tell beside what is going on.
pub fn notice(notice: &Notice) -> String {
    match notice {
        Notice::MovedToCpu(problem) => {
            format!("{} Going on on the CPU; the picture is kept. ({})", problem_title(problem), problem.kind())
        }
        Notice::Cancelled { step, of } => format!("Stopped at step {step} of {of}."),
        Notice::Saved { file_name } => format!("Saved as {file_name}."),
        Notice::NotSaved(problem) => format!("{} {}", problem_title(problem), problem_detail(problem)),
    }
}

/// Where the model runs.
pub fn backend(backend: &Backend) -> String {
    match (backend.kind, &backend.reason) {
        (BackendKind::WebGpu, BackendReason::GpuFound { adapter }) if !adapter.is_empty() => {
            format!("GPU, by WebGPU ({adapter})")
        }
        (BackendKind::WebGpu, _) => "GPU, by WebGPU".to_owned(),
        (BackendKind::Cpu, _) => "CPU, by WebAssembly".to_owned(),
    }
}

/// Why it runs there.
pub fn backend_reason(reason: &BackendReason) -> String {
    match reason {
        BackendReason::GpuFound { .. } => "WebGPU works in this browser.".to_owned(),
        BackendReason::Asked => "Chosen in the page's address, or by you.".to_owned(),
        BackendReason::NoWebGpu => "This browser has no WebGPU.".to_owned(),
        BackendReason::NoAdapter => "This browser has WebGPU, but no GPU that it may use.".to_owned(),
        BackendReason::NoTimestampQuery => {
            "The GPU lacks the feature `timestamp-query`, which the GPU library needs.".to_owned()
        }
        BackendReason::ProbeFailed { detail } => format!("The GPU did not answer: {detail}"),
        BackendReason::GpuFailed => "The GPU failed a moment ago.".to_owned(),
    }
}

/// A model's training in a sentence.
pub fn training(model: &ModelInfo) -> String {
    let data = if model.data.is_empty() { "data not stated" } else { &model.data };
    format!("{data}: {} images, {} steps", grouped(model.images), grouped(model.training_steps))
}

/// A model's size in a sentence.
pub fn size(model: &ModelInfo) -> String {
    format!("{}×{} pixels, {} parameters", model.width, model.height, grouped(model.parameters))
}

/// The start of a hash, which is enough to tell files apart by eye.
pub fn short_hash(sha256: &str) -> String {
    format!("{}…", sha256.get(..12).unwrap_or(sha256))
}

/// What went wrong, in a sentence.
pub fn problem_title(problem: &Problem) -> &'static str {
    match problem {
        Problem::WorkerMissing { .. } => "A part of this program is missing.",
        Problem::WorkerSilent { .. } => "The engine does not answer.",
        Problem::WorkerCrashed { .. } => "The engine stopped by a fault.",
        Problem::VersionMismatch => "This page is out of date.",
        Problem::Manifest { .. } => "The list of models cannot be read.",
        Problem::Network { .. } => "The model could not be fetched.",
        Problem::HttpStatus { .. } => "The model is not where it should be.",
        Problem::WrongSize { .. } | Problem::WrongHash { .. } => "The model's file is damaged.",
        Problem::BadWeights { .. } => "The model's file does not fit this program.",
        Problem::GpuUnavailable(_) => "WebGPU does not work here.",
        Problem::GpuLost { .. } => "The connection to the GPU was lost.",
        Problem::GpuError { .. } => "The GPU reported an error.",
        Problem::OutOfMemory { .. } => "There is not enough memory.",
        Problem::NotFinite => "The model gave something that is not a picture.",
        Problem::Settings { .. } => "The settings do not fit this model.",
        Problem::Encoding { .. } => "The picture could not be saved.",
    }
}

/// What exactly, and what helps.
pub fn problem_detail(problem: &Problem) -> String {
    match problem {
        Problem::WorkerMissing { file, status: Some(status) } => {
            format!("The server answers {status} for {file}. If you run this site, build it again; else try later.")
        }
        Problem::WorkerMissing { file, status: None } => {
            format!("{file} cannot be reached. Check the connection, then try again.")
        }
        Problem::WorkerSilent { seconds } => format!(
            "Nothing was heard for {seconds} seconds. The connection may be slow, or the browser too old: Chrome and \
             Edge from 91, Firefox from 114 and Safari from 16.4 work."
        ),
        Problem::WorkerCrashed { detail } => {
            format!("It said: {detail} Try again; if it happens again, fewer open tabs may help.")
        }
        Problem::VersionMismatch => "A newer version of this site is there. Load the page again.".to_owned(),
        Problem::Manifest { detail } => {
            format!("weights/manifest.json: {detail}. Try again; if you run this site, build it again.")
        }
        Problem::Network { file, detail } => {
            format!("{file}: {detail}. Check the connection, then try again.")
        }
        Problem::HttpStatus { file, status } => {
            format!("The server answers {status} for {file}. Try again; if you run this site, build it again.")
        }
        Problem::WrongSize { file, expected, actual } if actual < expected => format!(
            "{file} ended after {} of {} bytes. Try again to fetch it afresh.",
            grouped(*actual),
            grouped(*expected)
        ),
        Problem::WrongSize { file, expected, .. } => {
            format!(
                "{file} is longer than the {} bytes it should have. Try again to fetch it afresh.",
                grouped(*expected)
            )
        }
        Problem::WrongHash { file, expected, actual } => format!(
            "{file} has SHA-256 {} instead of {}. Try again to fetch it afresh.",
            short_hash(actual),
            short_hash(expected)
        ),
        Problem::BadWeights { file, detail } => {
            format!("{file}: {detail}. Try again; if you run this site, build it again.")
        }
        Problem::GpuUnavailable(reason) => {
            format!("{} The CPU can do it too.", backend_reason(reason))
        }
        Problem::GpuLost { detail } | Problem::GpuError { detail } => {
            format!("The browser says: {detail}. Try again, or load the page again.")
        }
        Problem::OutOfMemory { detail } => format!("{detail}. Close other tabs, then try again."),
        Problem::NotFinite => "A value was not a number. Try again.".to_owned(),
        Problem::Settings { detail } => format!("{detail}. Change the settings."),
        Problem::Encoding { detail } => format!("{detail}. Try again."),
    }
}

/// The button that leads on.
pub fn recovery(recovery: Recovery) -> &'static str {
    match recovery {
        Recovery::Retry => "Try again",
        Recovery::UseCpu => "Use the CPU",
        Recovery::ReloadPage => "Load the page again",
        Recovery::Dismiss => "Back",
    }
}

/// Bytes in millions.
pub fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}

/// A time, with as many digits as one can use.
pub fn seconds(ms: f64) -> String {
    match ms / 1000.0 {
        s if s < 10.0 => format!("{s:.2} s"),
        s if s < 60.0 => format!("{s:.1} s"),
        s => format!("{:.0} min {:02.0} s", (s / 60.0).floor(), (s % 60.0).floor()),
    }
}

/// Steps a second.
pub fn speed(steps: u32, ms: f64) -> String {
    if steps == 0 || ms <= 0.0 {
        return NOTHING.to_owned();
    }
    let rate = f64::from(steps) / ms * 1000.0;
    if rate < 10.0 { format!("{rate:.1} steps/s") } else { format!("{rate:.0} steps/s") }
}

/// An integer with its digits in threes.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        assert_eq!(megabytes(17_043_021), "17.0 MB");
        assert_eq!(
            (seconds(340.0), seconds(12_340.0), seconds(61_000.0)),
            ("0.34 s".into(), "12.3 s".into(), "1 min 01 s".into())
        );
        assert_eq!(
            (speed(50, 1000.0), speed(5, 1000.0), speed(0, 5.0)),
            ("50 steps/s".into(), "5.0 steps/s".into(), "–".into())
        );
        assert_eq!((grouped(999), grouped(8_454_144)), ("999".into(), "8\u{202f}454\u{202f}144".into()));
        assert_eq!(short_hash("abc"), "abc…");
    }

    #[test]
    fn each_problem_says_what_and_what_helps() {
        let detail = || "why".to_owned();
        let problems = [
            Problem::WorkerMissing { file: detail(), status: Some(404) },
            Problem::WorkerSilent { seconds: 30 },
            Problem::WorkerCrashed { detail: detail() },
            Problem::VersionMismatch,
            Problem::Manifest { detail: detail() },
            Problem::Network { file: detail(), detail: detail() },
            Problem::HttpStatus { file: detail(), status: 404 },
            Problem::WrongSize { file: detail(), expected: 2000, actual: 1 },
            Problem::WrongHash { file: detail(), expected: detail(), actual: detail() },
            Problem::BadWeights { file: detail(), detail: detail() },
            Problem::GpuUnavailable(BackendReason::NoWebGpu),
            Problem::GpuLost { detail: detail() },
            Problem::OutOfMemory { detail: detail() },
        ];
        for problem in problems {
            assert!(problem_title(&problem).ends_with('.'), "{problem:?}");
            assert!(problem_detail(&problem).len() > 20, "{problem:?}");
            assert!(!recovery(problem.recovery()).is_empty());
        }
    }
}
