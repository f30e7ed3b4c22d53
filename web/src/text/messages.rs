//! Sentences about the state of the page.

use vdm::sampler::Sampler;

use super::lang::{fill, short_hash};
use super::words::Words;
use crate::form::Field;
use crate::protocol::{Backend, BackendKind, BackendReason, ModelInfo, Problem, Recovery, Run, Start, Task, Verdict};
use crate::session::{Job, JobKind, Loading, Notice, Phase, Session, Slot};
use crate::settings::MAX_STEPS;

/// The present work, or the result in `slot`, in a sentence.
pub fn status(words: &Words, session: &Session, slot: Option<Slot>) -> String {
    let status = &words.status;
    match (&session.phase, &session.job) {
        (Phase::Loading(Loading::Starting), _) => status.starting.to_owned(),
        (Phase::Loading(Loading::Weights { received, total }), _) => {
            share_of(words, status.fetching, *received, *total)
        }
        (Phase::Loading(Loading::Preparing), _) => status.preparing.to_owned(),
        (Phase::Failed(problem), _) => problem_title(words, problem).to_owned(),
        (Phase::Ready, Some(job)) if !job.plan.kind.is_quick() || job.fetching.is_some() => working(words, job),
        (Phase::Ready, _) => {
            let whole = slot.and_then(|slot| session.panel(slot)).filter(|panel| panel.origin.is_some());
            whole.map_or_else(|| status.ready.to_owned(), |panel| done(words, &panel.run, panel.elapsed_ms))
        }
    }
}

fn working(words: &Words, job: &Job) -> String {
    let status = &words.status;
    if job.stopping && !matches!(job.plan.task, Task::Run(_)) {
        return words.common.cancelling.to_owned();
    }
    if let Some((received, total)) = job.fetching {
        let template = if job.plan.kind == JobKind::Switch { status.fetching } else { status.encoder };
        return share_of(words, template, received, total);
    }
    match (&job.plan.kind, &job.plan.task) {
        _ if job.stopping => status.stopping.to_owned(),
        (JobKind::Fill(_), Task::Run(run)) => {
            let template = if job.paused { status.paused } else { status.step };
            fill(template, &[("step", &job.step.to_string()), ("of", &run.steps().to_string())])
        }
        (JobKind::Save { file_name }, _) => fill(status.saving, &[("file", file_name)]),
        (JobKind::Switch, _) => status.switching.to_owned(),
        (JobKind::Measure, _) => status.measuring.to_owned(),
        (JobKind::Speed, _) => status.timing.to_owned(),
        (JobKind::Learn, _) => words.toy.learning.to_owned(),
        (JobKind::Verify, _) => words.game.checking.to_owned(),
        _ => status.diffusing.to_owned(),
    }
}

fn share_of(words: &Words, template: &str, received: u64, total: u64) -> String {
    let lang = words.lang;
    fill(template, &[("received", &lang.megabytes(received)), ("total", &lang.megabytes(total))])
}

fn done(words: &Words, run: &Run, elapsed_ms: f64) -> String {
    let template = match run.count() {
        1 => words.status.done,
        _ => words.status.done_many,
    };
    let values = [
        ("seed", &*run.settings.seed.to_string()),
        ("count", &run.count().to_string()),
        ("steps", &steps(words, run.steps())),
        ("time", &words.lang.seconds(elapsed_ms)),
    ];
    fill(template, &values)
}

/// A number of steps.
pub fn steps(words: &Words, number: u32) -> String {
    let template = if number == 1 { words.common.steps_one } else { words.common.steps_many };
    fill(template, &[("number", &number.to_string())])
}

/// The status for a screen reader, without each step and each megabyte.
pub fn announcement(words: &Words, session: &Session, slot: Option<Slot>) -> String {
    match (&session.phase, &session.job) {
        (Phase::Loading(_), _) => words.status.preparing.to_owned(),
        (Phase::Ready, Some(Job { fetching: None, stopping: false, plan, paused: false, .. })) => match &plan.task {
            Task::Run(run) => fill(words.status.generating, &[("seed", &run.settings.seed.to_string())]),
            _ => status(words, session, slot),
        },
        // The bytes change all the time.
        (Phase::Ready, Some(Job { fetching: Some(_), .. })) => words.status.preparing.to_owned(),
        _ => status(words, session, slot),
    }
}

/// News beside the present state.
pub fn notice(words: &Words, notice: &Notice) -> String {
    let status = &words.status;
    match notice {
        Notice::MovedToCpu(problem) => {
            fill(status.moved_to_cpu, &[("problem", problem_title(words, problem)), ("kind", problem.kind())])
        }
        Notice::Cancelled { of: 0, .. } => status.stopped.to_owned(),
        Notice::Cancelled { step, of } => {
            fill(status.cancelled, &[("step", &step.to_string()), ("of", &of.to_string())])
        }
        Notice::Saved { file_name } => fill(status.saved, &[("file", file_name)]),
        Notice::Switched { name } => fill(status.switched, &[("name", name)]),
        Notice::Failed(problem) => format!("{} {}", problem_title(words, problem), problem_detail(words, problem)),
        Notice::OtherWeights { sha256 } => fill(status.other_weights, &[("hash", &short_hash(sha256))]),
        Notice::BadLink { faults } => {
            let say = |(field, text): &(Field, String)| {
                format!("{} “{text}”. {}", field_name(words, *field), accepted(words, *field))
            };
            let faults: Vec<String> = faults.iter().map(say).collect();
            fill(status.bad_link, &[("faults", &faults.join(" "))])
        }
    }
}

/// What a saved picture turned out to be.
pub fn verdict(words: &Words, verdict: &Verdict) -> String {
    let game = &words.game;
    match verdict {
        Verdict::NoOrigin => game.no_origin.to_owned(),
        Verdict::OtherKind => game.other_kind.to_owned(),
        Verdict::OtherWeights { weights, sha256 } => {
            fill(game.other_weights, &[("name", weights), ("hash", &short_hash(sha256))])
        }
        Verdict::Redrawn { settings, differing, largest, .. } => {
            let template = match *largest {
                0 => game.exact,
                1..=Verdict::ROUNDING => game.rounded,
                _ => game.altered,
            };
            let numbers = [differing.to_string(), largest.to_string(), settings.seed.to_string()];
            fill(template, &[("pixels", &numbers[0]), ("levels", &numbers[1]), ("seed", &numbers[2])])
        }
    }
}

/// The name of a sampler.
pub fn sampler(words: &Words, sampler: Sampler) -> &'static str {
    match sampler {
        Sampler::DpmSolver2M => words.common.dpm_solver,
        Sampler::Ddim => words.common.ddim,
        Sampler::Ancestral => words.common.ancestral,
    }
}

/// Every sampler, to choose from: key and name.
pub fn samplers(words: &Words) -> Vec<(String, String)> {
    Sampler::ALL.iter().map(|&one| (one.name().to_owned(), sampler(words, one).to_owned())).collect()
}

/// The name of a class.
pub fn class(words: &Words, model: &ModelInfo, class: u32) -> String {
    let names = model.config.classes().names(class as usize, &model.provenance.attributes);
    if names.is_empty() {
        return fill(words.common.class_one, &[("number", &class.to_string())]);
    }
    names.into_iter().map(|name| value(words, name)).collect::<Vec<_>>().join(", ")
}

/// An attribute to choose a value of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choices {
    /// Its name.
    pub label: &'static str,
    /// Key and name of each value; the first is any.
    pub options: Vec<(String, String)>,
}

/// The attributes that weights know.
pub fn attributes(words: &Words, model: &ModelInfo) -> Vec<Choices> {
    let field = |(i, &count): (usize, &usize)| {
        let of = model.provenance.attributes.get(i);
        let label = match of.map(|of| of.name.as_str()) {
            Some("finding") => words.generate.finding,
            Some("view") => words.generate.view,
            Some("sex") => words.generate.sex,
            _ => words.generate.class,
        };
        let mut options = vec![(String::new(), words.generate.class_any.to_owned())];
        options.extend((0..count).map(|number| {
            let name = of.and_then(|of| of.values.get(number));
            let number = number.to_string();
            let name = name.map_or(number.as_str(), |name| value(words, name)).to_owned();
            (number, name)
        }));
        Choices { label, options }
    };
    model.config.attributes.iter().enumerate().map(field).collect()
}

/// The name of an attribute's value.
fn value<'a>(words: &Words, name: &'a str) -> &'a str {
    words.lang.finding(name).unwrap_or(name)
}

/// The name of a field.
fn field_name(words: &Words, field: Field) -> &'static str {
    match field {
        Field::Seed => words.common.seed,
        Field::Steps => words.common.steps,
        Field::Class => words.generate.class,
        Field::Guidance => words.generate.guidance,
        Field::Sampler => words.common.sampler,
        Field::Count => words.generate.count,
    }
}

/// What a field accepts.
pub fn accepted(words: &Words, field: Field) -> String {
    match field {
        Field::Seed => fill(words.common.accepts_seed, &[("max", &u64::MAX.to_string())]),
        Field::Steps => fill(words.common.accepts_steps, &[("max", &MAX_STEPS.to_string())]),
        Field::Class => words.common.accepts_class.to_owned(),
        Field::Guidance => words.common.accepts_guidance.to_owned(),
        Field::Sampler => words.common.accepts_sampler.to_owned(),
        Field::Count => words.common.accepts_count.to_owned(),
    }
}

/// Where the model runs.
pub fn backend(words: &Words, backend: &Backend) -> String {
    match (backend.kind, &backend.reason) {
        (BackendKind::WebGpu, BackendReason::GpuFound { adapter }) if !adapter.is_empty() => {
            fill(words.status.on_gpu_named, &[("adapter", adapter)])
        }
        (BackendKind::WebGpu, _) => words.status.on_gpu.to_owned(),
        (BackendKind::Cpu, _) => words.status.on_cpu.to_owned(),
    }
}

/// Why it runs there.
pub fn backend_reason(words: &Words, reason: &BackendReason) -> String {
    let status = &words.status;
    match reason {
        BackendReason::GpuFound { .. } => status.gpu_found.to_owned(),
        BackendReason::Requested => status.requested.to_owned(),
        BackendReason::NoWebGpu => status.no_webgpu.to_owned(),
        BackendReason::NoAdapter => status.no_adapter.to_owned(),
        BackendReason::NoTimestampQuery => status.no_timestamp_query.to_owned(),
        BackendReason::SoftwareGpu { adapter } => fill(status.software_gpu, &[("adapter", adapter)]),
        BackendReason::ProbeFailed { detail } => fill(status.probe_failed, &[("detail", detail)]),
        BackendReason::GpuFailed => status.gpu_failed.to_owned(),
    }
}

/// A model's training in a sentence.
pub fn training(words: &Words, model: &ModelInfo) -> String {
    let own = &model.provenance;
    let data = if own.data.is_empty() { words.weights.data_unknown } else { &own.data };
    let (images, steps) = (words.lang.grouped(own.images), words.lang.grouped(own.training_steps));
    fill(words.weights.training, &[("data", data), ("images", &images), ("steps", &steps)])
}

/// A model's size in a sentence.
pub fn size(words: &Words, model: &ModelInfo) -> String {
    let values = [
        ("width", &*model.config.width.to_string()),
        ("height", &model.config.height.to_string()),
        ("parameters", &words.lang.grouped(model.parameters)),
        ("bytes", &words.lang.megabytes(model.bytes)),
    ];
    fill(words.weights.size, &values)
}

/// The accessible name of a picture of a run.
pub fn picture(words: &Words, run: &Run, image: usize) -> String {
    let seed = match (&run.start, run.seeds.get(image)) {
        (Start::Between { .. }, _) | (_, None) => return words.common.picture.to_owned(),
        (_, Some(seed)) => seed,
    };
    format!("{} ({} {seed})", words.common.picture, words.common.seed.to_ascii_lowercase())
}

/// The button that recovers.
pub fn recovery(words: &Words, recovery: Recovery) -> &'static str {
    match recovery {
        Recovery::Retry => words.problems.retry,
        Recovery::UseCpu => words.problems.use_cpu,
        Recovery::ReloadPage => words.problems.reload,
        Recovery::Dismiss => words.problems.dismiss,
    }
}

/// What went wrong, in a sentence.
pub fn problem_title(words: &Words, problem: &Problem) -> &'static str {
    let problems = &words.problems;
    match problem {
        Problem::WorkerMissing { .. } => problems.worker_missing,
        Problem::WorkerBroken { .. } => problems.worker_broken,
        Problem::WorkerSilent { .. } => problems.worker_silent,
        Problem::WorkerCrashed { .. } => problems.worker_crashed,
        Problem::VersionMismatch => problems.version_mismatch,
        Problem::Manifest { .. } => problems.manifest,
        Problem::Network { .. } => problems.network,
        Problem::HttpStatus { status, .. } if Problem::is_busy(*status) => problems.http_busy,
        Problem::HttpStatus { .. } => problems.http_status,
        Problem::WrongSize { .. } | Problem::WrongHash { .. } => problems.damaged,
        Problem::BadWeights { .. } => problems.bad_weights,
        Problem::GpuUnavailable(_) => problems.gpu_unavailable,
        Problem::GpuLost { .. } => problems.gpu_lost,
        Problem::GpuError { .. } => problems.gpu_error,
        Problem::GpuSilent { .. } => problems.gpu_silent,
        Problem::GpuFlat => problems.gpu_flat,
        Problem::OutOfMemory { .. } => problems.out_of_memory,
        Problem::NotFinite => problems.not_finite,
        Problem::Settings { .. } => problems.settings,
        Problem::Encoding { .. } => problems.encoding,
        Problem::NoEncoder => problems.no_encoder,
        Problem::BadPicture { .. } => problems.bad_picture,
        Problem::TooLarge { .. } => problems.too_large,
    }
}

/// The details, and what helps.
pub fn problem_detail(words: &Words, problem: &Problem) -> String {
    let (problems, lang) = (&words.problems, words.lang);
    match problem {
        Problem::WorkerMissing { file, status: Some(status) } => {
            let busy = Problem::is_busy(*status);
            let template = if busy { problems.http_busy_detail } else { problems.worker_missing_status };
            fill(template, &[("file", file), ("status", &status.to_string())])
        }
        Problem::WorkerMissing { file, status: None } => fill(problems.worker_missing_silent, &[("file", file)]),
        Problem::WorkerBroken { file, media_type: Some(kind) } => {
            fill(problems.worker_broken_type, &[("file", file), ("kind", kind)])
        }
        Problem::WorkerBroken { file, media_type: None } => fill(problems.worker_broken_cut, &[("file", file)]),
        Problem::WorkerSilent { seconds } => fill(problems.worker_silent_detail, &[("seconds", &seconds.to_string())]),
        Problem::WorkerCrashed { detail } => fill(problems.worker_crashed_detail, &[("detail", detail)]),
        Problem::VersionMismatch => problems.version_mismatch_detail.to_owned(),
        Problem::Manifest { detail } => fill(problems.manifest_detail, &[("detail", detail)]),
        Problem::Network { file, detail } => fill(problems.network_detail, &[("file", file), ("detail", detail)]),
        Problem::HttpStatus { file, status } => {
            let busy = Problem::is_busy(*status);
            fill(
                if busy { problems.http_busy_detail } else { problems.http_status_detail },
                &[("file", file), ("status", &status.to_string())],
            )
        }
        Problem::WrongSize { file, expected, actual } => {
            let template = if actual < expected { problems.too_short } else { problems.too_long };
            let (actual, expected) = (lang.grouped(*actual), lang.grouped(*expected));
            fill(template, &[("file", file), ("actual", &actual), ("expected", &expected)])
        }
        Problem::WrongHash { file, expected, actual } => {
            let (actual, expected) = (short_hash(actual), short_hash(expected));
            fill(problems.wrong_hash, &[("file", file), ("actual", &actual), ("expected", &expected)])
        }
        Problem::BadWeights { file, detail } => {
            fill(problems.bad_weights_detail, &[("file", file), ("detail", detail)])
        }
        Problem::GpuUnavailable(reason) => {
            fill(problems.gpu_unavailable_detail, &[("reason", &backend_reason(words, reason))])
        }
        Problem::GpuLost { detail } | Problem::GpuError { detail } => fill(problems.gpu_detail, &[("detail", detail)]),
        Problem::GpuSilent { seconds } => fill(problems.gpu_silent_detail, &[("seconds", &seconds.to_string())]),
        Problem::GpuFlat => problems.gpu_flat_detail.to_owned(),
        Problem::OutOfMemory { detail } => fill(problems.out_of_memory_detail, &[("detail", detail)]),
        Problem::NotFinite => problems.not_finite_detail.to_owned(),
        Problem::Settings { detail } => fill(problems.settings_detail, &[("detail", detail)]),
        Problem::Encoding { detail } => fill(problems.encoding_detail, &[("detail", detail)]),
        Problem::NoEncoder => problems.no_encoder_detail.to_owned(),
        Problem::BadPicture { file } => fill(problems.bad_picture_detail, &[("file", file)]),
        Problem::TooLarge { file, bytes, max } => {
            let (bytes, max) = (lang.megabytes(*bytes), lang.megabytes(*max));
            fill(problems.too_large_detail, &[("file", file), ("bytes", &bytes), ("max", &max)])
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::BackendPreference;
    use crate::settings::Settings;
    use crate::text::Lang;

    fn each_problem() -> Vec<Problem> {
        let detail = || "why".to_owned();
        vec![
            Problem::WorkerMissing { file: detail(), status: Some(404) },
            Problem::WorkerMissing { file: detail(), status: None },
            Problem::WorkerBroken { file: detail(), media_type: Some(detail()) },
            Problem::WorkerBroken { file: detail(), media_type: None },
            Problem::WorkerSilent { seconds: 30 },
            Problem::WorkerCrashed { detail: detail() },
            Problem::VersionMismatch,
            Problem::Manifest { detail: detail() },
            Problem::Network { file: detail(), detail: detail() },
            Problem::HttpStatus { file: detail(), status: 404 },
            Problem::HttpStatus { file: detail(), status: 503 },
            Problem::GpuSilent { seconds: 15 },
            Problem::GpuFlat,
            Problem::WrongSize { file: detail(), expected: 2000, actual: 1 },
            Problem::WrongSize { file: detail(), expected: 2000, actual: 2001 },
            Problem::WrongHash { file: detail(), expected: detail(), actual: detail() },
            Problem::BadWeights { file: detail(), detail: detail() },
            Problem::GpuUnavailable(BackendReason::NoWebGpu),
            Problem::GpuLost { detail: detail() },
            Problem::GpuError { detail: detail() },
            Problem::OutOfMemory { detail: detail() },
            Problem::NotFinite,
            Problem::Settings { detail: detail() },
            Problem::Encoding { detail: detail() },
            Problem::NoEncoder,
            Problem::BadPicture { file: detail() },
            Problem::TooLarge { file: detail(), bytes: 4_000_000_000, max: 1 << 30 },
        ]
    }

    #[test]
    fn each_problem_has_a_title_and_help_in_each_language() {
        for words in Lang::ALL.map(Lang::words) {
            for problem in each_problem() {
                assert!(problem_title(words, &problem).ends_with('.'), "{problem:?}");
                let detail = problem_detail(words, &problem);
                assert!(detail.len() >= 9 && !detail.contains(['{', '}']), "{problem:?}: {detail}");
                assert!(!recovery(words, problem.recovery()).is_empty());
            }
        }
    }

    #[test]
    fn the_status_describes_the_session() {
        let session = Session::new("weights/".into(), BackendPreference::Auto, None);
        assert_eq!(status(Lang::En.words(), &session, None), "Starting the engine…");
        let run = Run::from_noise(Settings { seed: 7, steps: 12, ..Settings::default() }, 1);
        assert_eq!(done(Lang::En.words(), &run, 1234.0), "Done: seed 7, 12 steps in 1.23 s.");
        let four = Run { seeds: vec![7, 8, 9, 10], ..run };
        assert_eq!(
            done(Lang::Fr.words(), &four, 1234.0),
            "Terminé\u{a0}: 4 images à partir de la graine 7, 12 étapes en 1,23\u{a0}s."
        );
    }
}
