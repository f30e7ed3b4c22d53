use vdm::config::Preset;
use vdm::config::SamplingConfig;
use vdm::cost::{Speed, Timed};
use vdm::diffusion::schedule::NoiseSchedule;
use vdm::diffusion::terms::Terms;
use vdm::weights::Provenance;

use super::jobs::{MAX_DRAWN, MEASURE_TIMES};
use super::*;
use crate::manifest::{Manifest, ModelEntry, WeightsFile};
use crate::map::place;
use crate::protocol::{
    Backend, BackendKind, BackendPreference, BackendReason, Control, Diffused, FileRequest, ModelInfo, Moment, Outcome,
    Picture, Request, Run, Save, Source, Start, Subject, Task, Verdict,
};
use crate::settings::Settings;
use crate::toy::{Progress, STEPS as STEPS_OF_A_TOY};

fn manifest() -> Manifest {
    let file = |name: &str| WeightsFile { file: name.into(), bytes: 10, sha256: "0".repeat(64) };
    let model = |name: &str| ModelEntry {
        name: name.into(),
        title: name.to_uppercase(),
        card: Some("m.md".into()),
        examples: Vec::new(),
        sampling: file(&format!("{name}.safetensors")),
        encoder: Some(file(&format!("{name}-encoder.safetensors"))),
    };
    Manifest { version: 1, default: "m".into(), models: vec![model("m"), model("other")] }
}

fn info(kind: BackendKind) -> ModelInfo {
    ModelInfo {
        file: "m.safetensors".into(),
        sha256: "0".repeat(64),
        bytes: 10,
        parameters: 5,
        config: Preset::Quick.model(),
        provenance: Provenance { name: "m".into(), ..Provenance::default() },
        schedule: NoiseSchedule::linear(-5.0, 5.0),
        has_encoder: true,
        from_store: false,
        kept: true,
        backend: Backend { kind, reason: BackendReason::Requested },
    }
}

fn hello() -> Response {
    Response::Hello { protocol: PROTOCOL_VERSION }
}

fn picture(value: u8) -> Picture {
    Picture { width: 1, height: 1, pixels: vec![value] }
}

/// Of every run here, whatever the page's default is.
const STEPS: u32 = 25;

fn run(seed: u64) -> Run {
    Run::from_noise(Settings { seed, steps: STEPS, ..Settings::default() }, 1)
}

fn generate(seed: u64) -> Event {
    Event::Run { slot: Slot::Generate, run: run(seed), stepwise: false }
}

fn done(job: u32, outcome: Outcome) -> Response {
    Response::Done { job, elapsed_ms: 200.0, outcome }
}

fn opened(preference: BackendPreference) -> Session {
    let mut session = Session::new("https://example.org/sub/weights/".into(), preference, None);
    let commands = session.apply(Event::Open);
    assert_eq!(
        commands,
        [Command::StartWorker { generation: 1 }, Command::FetchManifest { generation: 1, fresh: false }]
    );
    session
}

fn ready(kind: BackendKind) -> Session {
    let mut session = opened(BackendPreference::Auto);
    session.apply(Event::Worker(1, hello()));
    session.apply(Event::Manifest(1, Ok(manifest())));
    session.apply(Event::Worker(1, Response::Progress { received: 5, total: 10 }));
    assert_eq!(session.progress(), Some(0.5));
    session.apply(Event::Worker(1, Response::Preparing));
    session.apply(Event::Worker(1, Response::Loaded(Box::new(info(kind)))));
    assert_eq!((session.state_name(), session.is_idle()), ("ready", true));
    session
}

fn sampling(kind: BackendKind) -> Session {
    let mut session = ready(kind);
    let commands = session.apply(generate(42));
    let request = Request::Start { job: 1, task: Task::Run(run(42)), paused: false };
    assert_eq!(commands, [Command::Send(request)]);
    let (pictures, noisy) = (vec![picture(1)], Some(picture(9)));
    let step = Response::Step { job: 1, step: 1, of: STEPS, t: 0.96, elapsed_ms: 4.0, pictures, noisy };
    session.apply(Event::Worker(1, step));
    session
}

fn drawn() -> Session {
    let mut session = sampling(BackendKind::Cpu);
    session.apply(Event::Worker(1, done(1, Outcome::Pictures(vec![picture(2)]))));
    session
}

fn started(commands: &[Command]) -> (u32, Task) {
    let [Command::Send(Request::Start { job, task, .. })] = commands else { panic!("no job: {commands:?}") };
    (*job, task.clone())
}

#[test]
fn weights_are_fetched_by_their_complete_address() {
    let mut session = opened(BackendPreference::Cpu);
    let commands = session.apply(Event::Manifest(1, Ok(manifest())));
    let [Command::Send(Request::Load { source, preference, keep })] = &commands[..] else { panic!("{commands:?}") };
    assert_eq!(source.files[0].url, "https://example.org/sub/weights/m.safetensors");
    assert_eq!(source.encoder.as_ref().map(|file| file.name.as_str()), Some("m-encoder.safetensors"));
    assert_eq!(
        (*preference, keep.as_ref().map(Vec::len), source.files[0].fresh),
        (BackendPreference::Cpu, Some(4), false)
    );
    assert_eq!(session.card_url().as_deref(), Some("https://example.org/sub/weights/m.md"));
    assert_eq!(session.rendered_card_url().as_deref(), Some("https://example.org/sub/weights/m.html"));
}

#[test]
fn an_image_emerges_and_can_be_kept() {
    let mut session = sampling(BackendKind::Cpu);
    assert_eq!(session.state_name(), "sampling");
    assert!(session.can_cancel() && !session.can_save(Slot::Generate) && !session.is_idle());
    assert_eq!(session.panel(Slot::Generate).map(|panel| (panel.step, panel.noisy.is_some())), Some((1, true)));
    assert_eq!(session.progress(), Some(1.0 / f64::from(STEPS)));
    session = drawn();
    assert_eq!((session.state_name(), session.is_whole(Slot::Generate)), ("done", true));
    let (job, task) = started(&session.apply(Event::Save(Slot::Generate, Export::Pictures { image: None })));
    let Task::Save { save: Save::Grid { pictures, .. }, origin } = task else { panic!("{task:?}") };
    assert_eq!(pictures[0].pixels, [2]);
    assert!(origin.settings.contains(&("seed".into(), "42".into())));
    assert!(!session.can_save(Slot::Generate), "once is enough");
    let commands = session.apply(Event::Worker(1, done(job, Outcome::File(vec![7]))));
    let name = "synthetic-xray-seed42-steps25.png".to_owned();
    assert_eq!(commands, [Command::SaveFile { name, bytes: vec![7] }]);
    assert!(session.can_save(Slot::Generate));
}

#[test]
fn one_of_several_images_is_saved_under_its_own_seed() {
    let mut session = ready(BackendKind::Cpu);
    let run = Run::from_noise(Settings { seed: 5, steps: STEPS, ..Settings::default() }, 4);
    session.apply(Event::Run { slot: Slot::Generate, run, stepwise: false });
    let pictures = (0..4).map(picture).collect();
    session.apply(Event::Worker(1, done(1, Outcome::Pictures(pictures))));
    let (job, task) = started(&session.apply(Event::Save(Slot::Generate, Export::Pictures { image: Some(2) })));
    assert!(matches!(task, Task::Save { save: Save::Grid { pictures, .. }, .. } if pictures == [picture(2)]));
    let commands = session.apply(Event::Worker(1, done(job, Outcome::File(vec![7]))));
    assert!(matches!(&commands[..], [Command::SaveFile { name, .. }] if name == "synthetic-xray-seed7-steps25.png"));
}

#[test]
fn a_cancelled_job_leaves_its_picture() {
    let mut session = sampling(BackendKind::Cpu);
    let commands = session.apply(Event::Cancel);
    let cancel = Request::Control { job: 1, control: Control::Cancel };
    assert_eq!(commands, [Command::Send(cancel), Command::ExpectEnd { job: 1 }]);
    assert!(!session.can_cancel(), "once is enough");
    session.apply(Event::Worker(1, Response::Stopped { job: 1, step: 3 }));
    assert_eq!((session.state_name(), &session.notice), ("ready", &Some(Notice::Cancelled { step: 3, of: STEPS })));
    assert!(session.panel(Slot::Generate).is_some() && !session.can_save(Slot::Generate));
    assert_eq!(session.apply(Event::Overdue(1)), [], "it did end");
}

#[test]
fn a_job_waits_steps_and_goes_on() {
    let mut session = ready(BackendKind::Cpu);
    let commands = session.apply(Event::Run { slot: Slot::Generate, run: run(1), stepwise: true });
    assert!(matches!(&commands[..], [Command::Send(Request::Start { paused: true, .. })]));
    for (event, control, paused) in [
        (Event::Step, Control::Step, true),
        (Event::Resume, Control::Resume, false),
        (Event::Pause, Control::Pause, true),
    ] {
        assert_eq!(session.apply(event), [Command::Send(Request::Control { job: 1, control })]);
        assert_eq!(session.job.as_ref().map(|job| job.paused), Some(paused));
    }
    session.apply(Event::Cancel);
    assert_eq!(session.apply(Event::Resume), [], "it ends");
}

#[test]
fn a_worker_that_does_not_end_a_job_is_replaced() {
    let mut session = sampling(BackendKind::WebGpu);
    session.apply(Event::Cancel);
    let commands = session.apply(Event::Overdue(1));
    assert_eq!(commands[0], Command::StartWorker { generation: 2 });
    session.apply(Event::Worker(2, hello()));
    let commands = session.apply(Event::Worker(2, Response::Loaded(Box::new(info(BackendKind::Cpu)))));
    assert_eq!((commands, session.state_name()), (vec![], "ready"), "what was cancelled is not taken up again");
}

#[test]
fn a_slow_network_is_not_reported_as_a_failed_gpu() {
    let mut session = ready(BackendKind::WebGpu);
    let (job, _) = started(&session.apply(Event::Use(Choice::Site(Some("other".into())))));
    let progress = |received| Event::Worker(1, Response::Progress { received, total: 10 });
    session.apply(progress(5));
    session.apply(Event::Cancel);
    session.apply(progress(6));
    assert_eq!(session.apply(Event::Overdue(job)), [Command::ExpectEnd { job }], "bytes come: no limit");
    let commands = session.apply(Event::Overdue(job));
    let Command::Send(Request::Load { preference, source, .. }) = &commands[1] else { panic!("{commands:?}") };
    assert_eq!(
        (*preference, source.files[0].name.as_str()),
        (BackendPreference::Auto, "m.safetensors"),
        "nothing else changes"
    );
    let Some(Notice::Failed(Problem::Network { file, .. })) = &session.notice else { panic!("{:?}", session.notice) };
    assert_eq!(file, "other.safetensors");
}

#[test]
fn a_cancelled_switch_leaves_the_model_in_use() {
    let mut session = drawn();
    let (job, _) = started(&session.apply(Event::Use(Choice::Site(Some("other".into())))));
    session.apply(Event::Worker(1, Response::Progress { received: 5, total: 10 }));
    assert!(session.can_cancel());
    session.apply(Event::Cancel);
    assert_eq!(session.apply(Event::Worker(1, Response::Stopped { job, step: 0 })), []);
    assert_eq!(session.notice, Some(Notice::Cancelled { step: 0, of: 0 }));
    session.apply(Event::Worker(1, Response::Progress { received: 6, total: 10 }));
    session.apply(Event::Worker(1, Response::Preparing));
    assert!(session.is_idle() && session.is_whole(Slot::Generate), "late messages change nothing");
    assert_eq!(session.choice, Choice::Site(None));
    assert_eq!(session.apply(Event::Overdue(job)), [], "it did end");
}

#[test]
fn a_switch_that_hangs_after_cancelling_brings_back_the_model_in_use() {
    let mut session = drawn();
    let (job, _) = started(&session.apply(Event::Use(Choice::Site(Some("other".into())))));
    session.apply(Event::Worker(1, Response::Preparing));
    session.apply(Event::Cancel);
    let commands = session.apply(Event::Overdue(job));
    assert!(
        matches!(&commands[1], Command::Send(Request::Load { source, .. }) if source.files[0].name == "m.safetensors")
    );
    assert_eq!(session.notice, Some(Notice::Cancelled { step: 0, of: 0 }));
}

#[test]
fn a_download_that_a_slider_needs_can_be_cancelled() {
    let mut session = drawn();
    let subject = Subject::Image { name: "own".into(), picture: picture(0) };
    let diffuse = |t| Event::Diffuse { subject: subject.clone(), t, seed: 1 };
    let (job, _) = started(&session.apply(diffuse(0.5)));
    assert!(!session.can_cancel(), "it ends by itself");
    session.apply(Event::Worker(1, Response::Progress { received: 0, total: 10 }));
    assert!(session.can_cancel());
    assert_eq!(session.apply(diffuse(0.6)), []);
    assert_eq!(session.apply(Event::Cancel).len(), 2);
    assert_eq!(session.apply(Event::Worker(1, Response::Stopped { job, step: 0 })), [], "it does not start again");
    assert!(session.is_idle());
}

#[test]
fn after_a_lost_gpu_the_cpu_takes_over() {
    let mut session = sampling(BackendKind::WebGpu);
    let problem = Problem::GpuLost { detail: "gone".into() };
    let commands = session.apply(Event::Worker(1, Response::Failed { job: None, problem: problem.clone() }));
    assert_eq!(commands[0], Command::StartWorker { generation: 2 });
    let Command::Send(Request::Load { preference, .. }) = &commands[1] else { panic!("{commands:?}") };
    assert_eq!(*preference, BackendPreference::CpuAfterGpuFailure);
    assert_eq!(session.panel(Slot::Generate).map(|panel| panel.pictures.len()), Some(1));
    assert_eq!(session.notice, Some(Notice::MovedToCpu(problem)));
    assert_eq!(session.apply(Event::Worker(1, Response::Preparing)), [], "messages of the old worker are ignored");
    assert_eq!(session.phase, Phase::Loading(Loading::Starting));
    session.apply(Event::Worker(2, hello()));
    let commands = session.apply(Event::Worker(2, Response::Loaded(Box::new(info(BackendKind::Cpu)))));
    assert_eq!(started(&commands), (2, Task::Run(run(42))), "it goes on where it was interrupted");
    assert_eq!(session.panel(Slot::Generate).map(|panel| panel.pictures.len()), Some(1), "in the same picture");
}

#[test]
fn a_race_is_run_one_after_the_other_even_over_a_lost_gpu() {
    let mut session = ready(BackendKind::WebGpu);
    let commands = session.apply(Event::Race { left: run(1), right: run(2) });
    assert_eq!(started(&commands), (1, Task::Run(run(1))));
    let problem = Problem::GpuError { detail: String::new() };
    session.apply(Event::Worker(1, Response::Failed { job: Some(1), problem }));
    session.apply(Event::Worker(2, hello()));
    let commands = session.apply(Event::Worker(2, Response::Loaded(Box::new(info(BackendKind::Cpu)))));
    assert_eq!(started(&commands), (2, Task::Run(run(1))));
    let commands = session.apply(Event::Worker(2, done(2, Outcome::Pictures(vec![picture(1)]))));
    assert_eq!(started(&commands), (3, Task::Run(run(2))));
    session.apply(Event::Worker(2, done(3, Outcome::Pictures(vec![picture(2)]))));
    assert!(session.is_whole(Slot::RaceLeft) && session.is_whole(Slot::RaceRight));
}

#[test]
fn only_the_last_place_of_a_slider_counts() {
    let mut session = drawn();
    let look = |index| Event::Moment { slot: Slot::Generate, image: 0, index };
    let (job, _) = started(&session.apply(look(1)));
    assert_eq!((session.state_name(), session.is_idle()), ("done", true), "a slider makes nothing busy");
    assert_eq!(session.apply(look(2)), []);
    assert_eq!(session.apply(look(3)), []);
    let moment = |index| Moment { index, t: 0.5, noisy: picture(0), predicted: picture(1) };
    let commands = session.apply(Event::Worker(1, done(job, Outcome::Moment(moment(1)))));
    assert_eq!(session.panel(Slot::Generate).and_then(|panel| panel.moment.clone()), Some((0, moment(1))));
    let (_, task) = started(&commands);
    assert_eq!(task, Task::Moment { run: run(42), image: 0, index: 3 });
    // A press of the button overtakes the slider.
    assert_eq!(session.apply(look(4)), []);
    assert_eq!(session.apply(generate(9)), []);
    let commands = session.apply(Event::Worker(1, done(job + 1, Outcome::Moment(moment(3)))));
    assert_eq!(started(&commands).1, Task::Run(run(9)));
}

#[test]
fn each_slider_keeps_its_last_place() {
    let mut session = drawn();
    let look = |index| Event::Moment { slot: Slot::Generate, image: 0, index };
    let diffuse = |t| Event::Diffuse { subject: Subject::Sample(Settings::default()), t, seed: 1 };
    let (job, _) = started(&session.apply(look(1)));
    for event in [look(2), diffuse(0.2), look(3), diffuse(0.4), diffuse(0.6)] {
        assert_eq!(session.apply(event), []);
    }
    let moment = Moment { index: 1, t: 0.5, noisy: picture(0), predicted: picture(1) };
    let mut commands = session.apply(Event::Worker(1, done(job, Outcome::Moment(moment.clone()))));
    let (job, task) = started(&commands);
    assert_eq!(task, Task::Moment { run: run(42), image: 0, index: 3 });
    commands = session.apply(Event::Worker(1, done(job, Outcome::Moment(moment))));
    assert!(matches!(started(&commands).1, Task::Diffuse { t, .. } if t == 0.6));
}

#[test]
fn the_map_keeps_each_picture_that_is_complete() {
    let mut session = drawn();
    assert_eq!(session.drawn, [place(&picture(2))]);
    for round in 0..30 {
        let (job, _) = started(&session.apply(generate(round)));
        session.apply(Event::Worker(1, done(job, Outcome::Pictures(vec![picture(200); 16]))));
    }
    assert_eq!((session.drawn.len(), session.drawn[199]), (MAX_DRAWN, place(&picture(200))));
}

#[test]
fn a_subject_is_diffused_measured_and_denoised() {
    let mut session = drawn();
    let subject = Subject::Sample(Settings::default());
    let (job, _) = started(&session.apply(Event::Diffuse { subject: subject.clone(), t: 0.5, seed: 1 }));
    let diffused = Diffused { noisy: picture(1), clean: picture(2), guess: picture(3) };
    session.apply(Event::Worker(1, done(job, Outcome::Diffused(diffused.clone()))));
    assert_eq!(session.diffused, Some(DiffusedAt { subject: subject.clone(), t: 0.5, seed: 1, diffused }));

    let (job, task) = started(&session.apply(Event::Measure(subject.clone())));
    assert!(task.needs_encoder());
    session.apply(Event::Worker(1, Response::Progress { received: 1, total: 4 }));
    assert_eq!((session.state_name(), session.progress()), ("busy", Some(0.25)));
    session.apply(Event::Worker(1, done(job, Outcome::Bound(Default::default()))));
    assert_eq!(session.measured.as_ref().map(|measured| measured.times), Some(MEASURE_TIMES));

    let start = Start::Subject { subject, t: 0.5 };
    let run = Run { start, seeds: vec![1], settings: Settings::default() };
    let (job, _) = started(&session.apply(Event::Run { slot: Slot::Denoise, run, stepwise: false }));
    session.apply(Event::Worker(1, done(job, Outcome::Pictures(vec![picture(3)]))));
    assert!(session.is_whole(Slot::Denoise) && session.is_whole(Slot::Generate));
}

#[test]
fn a_speed_is_kept_until_other_weights_come() {
    let mut session = drawn();
    let (job, task) = started(&session.apply(Event::MeasureSpeed));
    assert_eq!(task, Task::Speed);
    let timed = Timed { operations: 2_000_000_000, seconds: 0.5 };
    let speed = Speed { product: timed, evaluate: vec![timed], decode: timed, sampling: SamplingConfig::default() };
    session.apply(Event::Worker(1, done(job, Outcome::Speed(speed.clone()))));
    assert_eq!(session.speed, Some(speed.clone()));
    assert_eq!((speed.product.gflop_per_second(), speed.sample(3).seconds), (4.0, 2.0));
}

#[test]
fn an_encoder_that_cannot_be_fetched_changes_nothing_else() {
    let mut session = drawn();
    let (job, _) = started(&session.apply(Event::Measure(Subject::Sample(Settings::default()))));
    let problem = Problem::HttpStatus { file: "m-encoder.safetensors".into(), status: 404 };
    session.apply(Event::Worker(1, Response::Failed { job: Some(job), problem: problem.clone() }));
    assert_eq!((session.state_name(), &session.notice), ("done", &Some(Notice::Failed(problem))));
    assert!(session.is_idle() && session.is_whole(Slot::Generate));
}

#[test]
fn own_weights_replace_the_sites_only_if_they_fit() {
    let mut session = drawn();
    let file = FileRequest { url: "blob:x".into(), name: "own".into(), bytes: 3, sha256: None, fresh: false };
    let own = Choice::Own(Source { files: vec![file], encoder: None });
    let (job, _) = started(&session.apply(Event::Use(own.clone())));
    let problem = Problem::BadWeights { file: "own".into(), detail: "why".into() };
    session.apply(Event::Worker(1, Response::Failed { job: Some(job), problem: problem.clone() }));
    assert_eq!((&session.notice, &session.choice), (&Some(Notice::Failed(problem)), &Choice::Site(None)));
    assert!(session.is_idle() && session.is_whole(Slot::Generate), "all is as it was");

    let (job, _) = started(&session.apply(Event::Use(own.clone())));
    let loaded = ModelInfo { sha256: "1".repeat(64), ..info(BackendKind::Cpu) };
    session.apply(Event::Worker(1, done(job, Outcome::Loaded(Box::new(loaded)))));
    assert_eq!((&session.choice, session.card_url()), (&own, None));
    assert!(session.is_whole(Slot::Generate) && session.can_save(Slot::Generate), "it stays");
    assert!(!session.is_of_model(Slot::Generate));
    let look = Event::Moment { slot: Slot::Generate, image: 0, index: 1 };
    assert_eq!(session.apply(look), [], "these weights have no other moments of it");

    let (_, task) = started(&session.apply(Event::Use(Choice::Site(Some("other".into())))));
    assert!(matches!(task, Task::Switch(source) if source.files[0].name == "other.safetensors"));
}

#[test]
fn a_run_that_does_not_end_gives_the_finished_picture_back() {
    let problem = || Problem::Settings { detail: "no".into() };
    let ends = [
        Response::Stopped { job: 2, step: 3 },
        Response::Failed { job: Some(2), problem: problem() },
        Response::Failed { job: None, problem: Problem::WorkerCrashed { detail: String::new() } },
    ];
    for end in ends {
        let mut session = drawn();
        let before = session.panel(Slot::Generate).cloned();
        session.apply(generate(7));
        let pictures = vec![picture(5)];
        let step = Response::Step { job: 2, step: 1, of: STEPS, t: 0.9, elapsed_ms: 4.0, pictures, noisy: None };
        session.apply(Event::Worker(1, step));
        assert!(!session.is_whole(Slot::Generate));
        session.apply(Event::Worker(1, end));
        assert_eq!(session.panel(Slot::Generate).cloned(), before);
    }
}

#[test]
fn a_strip_fills_from_the_noise_to_the_image() {
    let mut session = ready(BackendKind::Cpu);
    session.apply(generate(42));
    let shown = |session: &Session| {
        let panel = session.panel(Slot::Generate).expect("a run");
        (0..FRAMES).map(|place| panel.frame(place).map(|frame| frame.pictures[0].pixels[0])).collect::<Vec<_>>()
    };
    assert_eq!(shown(&session), [None; FRAMES as usize]);
    // Some steps are not shown: what came before stands for them.
    for step in [1_u8, 2, 3, 13] {
        let pictures = vec![picture(step)];
        let noisy = Some(picture(100));
        let t = 1.0 - f64::from(step) / f64::from(STEPS);
        let step = Response::Step { job: 1, step: step.into(), of: STEPS, t, elapsed_ms: 4.0, pictures, noisy };
        session.apply(Event::Worker(1, step));
    }
    assert_eq!(shown(&session)[..6], [Some(1), Some(1), Some(1), Some(1), Some(1), Some(13)].map(|v| v));
    assert_eq!(shown(&session)[6..], [None; 6]);
    session.apply(Event::Worker(1, done(1, Outcome::Pictures(vec![picture(99)]))));
    assert_eq!(shown(&session)[4..], [1, 13, 13, 13, 13, 13, 13, 99].map(Some));
}

#[test]
fn a_link_names_its_weights_and_gets_them() {
    let mut other = manifest();
    other.models[1].sampling.sha256 = "ab".repeat(32);
    for (hash, file) in
        [("abababab", "other.safetensors"), ("00000000", "m.safetensors"), ("cdcdcdcd", "m.safetensors")]
    {
        let mut session = Session::new(String::new(), BackendPreference::Auto, Some(hash.into()));
        session.apply(Event::Open);
        let commands = session.apply(Event::Manifest(1, Ok(other.clone())));
        let [Command::Send(Request::Load { source, .. })] = &commands[..] else { panic!("{commands:?}") };
        assert_eq!(source.files[0].name, file, "{hash}");
    }
}

#[test]
fn a_link_of_other_weights_says_so() {
    for (hash, is_noticed) in [("0".repeat(16), false), ("00000001".into(), true), ("0000".into(), true)] {
        let mut session = Session::new(String::new(), BackendPreference::Auto, Some(hash.clone()));
        session.apply(Event::Open);
        session.apply(Event::Worker(1, hello()));
        session.apply(Event::Worker(1, Response::Loaded(Box::new(info(BackendKind::Cpu)))));
        assert_eq!(session.notice.is_some(), is_noticed, "{hash}");
    }
}

#[test]
fn a_worker_that_crashes_on_the_cpu_can_be_retried() {
    let mut session = sampling(BackendKind::Cpu);
    let problem = Problem::WorkerCrashed { detail: "unreachable".into() };
    assert_eq!(session.apply(Event::Worker(1, Response::Failed { job: None, problem: problem.clone() })), []);
    assert_eq!(session.phase, Phase::Failed(problem));
    assert!(!session.is_idle() && session.panel(Slot::Generate).is_some());
    let commands = session.apply(Event::Recover);
    assert_eq!(
        commands,
        [Command::StartWorker { generation: 2 }, Command::FetchManifest { generation: 2, fresh: true }]
    );
}

#[test]
fn a_corrupt_file_is_fetched_again_from_the_server() {
    let mut session = opened(BackendPreference::Auto);
    session.apply(Event::Worker(1, hello()));
    session.apply(Event::Manifest(1, Ok(manifest())));
    let problem = Problem::WrongHash { file: "m".into(), expected: "0".into(), actual: "1".into() };
    session.apply(Event::Worker(1, Response::Failed { job: None, problem }));
    assert_eq!(session.state_name(), "failed");
    session.apply(Event::Recover);
    let commands = session.apply(Event::Manifest(2, Ok(manifest())));
    assert!(matches!(&commands[..], [Command::Send(Request::Load { source, .. })] if source.files[0].fresh));
}

#[test]
fn a_worker_that_never_started_is_not_blamed_on_the_gpu() {
    let mut session = opened(BackendPreference::Auto);
    assert!(session.awaits_greeting(1));
    let problem = Problem::WorkerSilent { seconds: 30 };
    session.apply(Event::Worker(1, Response::Failed { job: None, problem }));
    assert_eq!(session.state_name(), "failed");
    session.apply(Event::Worker(1, hello()));
    assert_eq!(session.state_name(), "loading", "late, but there");
    assert!(!session.awaits_greeting(1));
}

#[test]
fn forced_webgpu_offers_the_cpu_where_there_is_none() {
    let mut session = opened(BackendPreference::WebGpu);
    session.apply(Event::Worker(1, hello()));
    session.apply(Event::Manifest(1, Ok(manifest())));
    let problem = Problem::GpuUnavailable(BackendReason::NoAdapter);
    session.apply(Event::Worker(1, Response::Failed { job: None, problem }));
    assert_eq!(session.state_name(), "failed");
    let commands = session.apply(Event::Recover);
    assert!(matches!(&commands[1], Command::Send(Request::Load { preference: BackendPreference::Cpu, .. })));
}

#[test]
fn two_versions_of_the_site_do_not_work_together() {
    let mut session = opened(BackendPreference::Auto);
    session.apply(Event::Worker(1, Response::Hello { protocol: PROTOCOL_VERSION + 1 }));
    assert_eq!(session.phase, Phase::Failed(Problem::VersionMismatch));
    assert_eq!(session.apply(Event::Recover), [Command::ReloadPage]);
}

#[test]
fn a_file_that_cannot_be_made_changes_nothing_else() {
    let mut session = drawn();
    let (job, _) = started(&session.apply(Event::Save(Slot::Generate, Export::Strip { image: 0 })));
    let problem = Problem::Encoding { detail: "empty".into() };
    session.apply(Event::Worker(1, Response::Failed { job: Some(job), problem }));
    assert_eq!(session.state_name(), "done");
    assert!(matches!(session.notice, Some(Notice::Failed(_))) && session.can_save(Slot::Generate));
}

#[test]
fn a_file_is_verified_with_the_weights_in_use() {
    let mut session = drawn();
    let commands = session.apply(Event::Verify { name: "a.png".into(), file: vec![1, 2] });
    let (job, task) = started(&commands);
    assert_eq!(task, Task::Verify { name: "a.png".into(), file: vec![1, 2], weights_sha256: "0".repeat(64) });
    session.apply(Event::Worker(
        1,
        Response::Step { job, step: 3, of: 4, t: 0.5, elapsed_ms: 1.0, pictures: Vec::new(), noisy: None },
    ));
    assert_eq!((session.state_name(), session.progress()), ("busy", Some(0.75)));
    session.apply(Event::Worker(1, done(job, Outcome::Verified(Box::new(Verdict::NoOrigin)))));
    assert_eq!(session.verified, Some(("a.png".into(), Verdict::NoOrigin)));
    assert!(session.is_whole(Slot::Generate), "the picture on the screen stays");
    session.apply(Event::Verify { name: "b.png".into(), file: Vec::new() });
    assert_eq!(session.verified, None, "what is said is about the file that was chosen last");
}

#[test]
fn what_has_learned_stays_when_it_is_stopped() {
    let mut session = ready(BackendKind::Cpu);
    let points = vec![[0.25, 0.5]];
    let (job, task) = started(&session.apply(Event::Learn { points: points.clone(), seed: 3 }));
    assert_eq!(task, Task::Learn { points, seed: 3 });
    let progress = Progress {
        step: STEPS_OF_A_TOY / 4,
        terms: Terms::default(),
        samples: vec![[0.5, 0.5]],
        schedule: NoiseSchedule::linear(-5.0, 5.0),
    };
    session.apply(Event::Worker(1, Response::Learned { job, progress: Box::new(progress.clone()) }));
    assert_eq!((session.state_name(), session.progress()), ("busy", Some(0.25)));
    for (event, control) in [(Event::Pause, Control::Pause), (Event::Resume, Control::Resume)] {
        assert_eq!(session.apply(event), [Command::Send(Request::Control { job, control })]);
    }
    session.apply(Event::Cancel);
    session.apply(Event::Worker(1, Response::Stopped { job, step: 900 }));
    assert_eq!((session.state_name(), &session.notice, &session.learned), ("ready", &None, &Some(progress)));
    session.apply(Event::Learn { points: vec![[0.0, 0.0]], seed: 4 });
    assert_eq!(session.learned, None);
}
