//! Messages between page and worker, the site's list of weights, and addresses.
//!
//! An input starts with a letter: `q` requests, `r` responses, one after another as gloo-worker encodes them; `m` a list of
//! weights; `a` an address.

use std::cell::Cell;
use std::io::Cursor;

use burn_flex::{Flex, FlexDevice};
use pollster::block_on;
use serde::Serialize;
use serde::de::DeserializeOwned;
use vdm::config::SamplingConfig;
use vdm::image::{GreyImage, Origin};
use vdm::model::Networks;
use vdm::weights::{Precision, Provenance, save, save_encoder, sha256_hex};
use web::address::Address;
use web::engine::{Engine, Host, MAX_PIXELS, StepTaken};
use web::manifest::Manifest;
use web::protocol::{
    Backend, BackendKind, BackendPreference, BackendReason, Control, FileRequest, Film, ModelInfo, Outcome, PROTOCOL_VERSION,
    Picture, Problem, Request, Response, Run, Save, Source, Start, Subject, Task,
};
use web::session::{Command, Event, Session};
use web::settings::Settings;

use crate::bounds::bounded;
use crate::weights::latent;

/// Reads messages and does what they ask for, or refuses them.
pub fn run(input: &[u8]) {
    let Some((kind, bytes)) = input.split_first() else { return };
    let text = || String::from_utf8_lossy(bytes).into_owned();
    match kind {
        b'q' => messages::<Request>(bytes).into_iter().for_each(work),
        b'r' => {
            let responses = messages::<Response>(bytes);
            let mut session = Session::new("weights/".to_owned(), BackendPreference::Auto, None);
            let opened = session.apply(Event::Open);
            let of = |command: &Command| match command {
                Command::StartWorker { generation } => Some(*generation),
                _ => None,
            };
            let generation = opened.iter().find_map(of).expect("a worker is started");
            bounded(
                input.len(),
                |_| 0,
                || {
                    for response in responses.clone() {
                        session.apply(Event::Worker(generation, response));
                    }
                },
            );
        }
        b'm' => {
            let text = text();
            drop(bounded(input.len(), |_| 0, || Manifest::parse(&text)));
        }
        _ => {
            let text = text();
            drop(bounded(input.len(), |_| 0, || Address::parse(&text)));
        }
    }
}

/// All that are whole.
fn messages<T: DeserializeOwned + Serialize>(bytes: &[u8]) -> Vec<T> {
    bounded(
        bytes.len(),
        |_| 0,
        || {
            let mut cursor = Cursor::new(bytes);
            let mut all = Vec::new();
            while (cursor.position() as usize) < bytes.len() {
                let rest = &bytes[cursor.position() as usize..];
                let Ok(message) = bincode::deserialize::<T>(rest) else { break };
                // Unlike gloo-worker's, the messages of an input follow each other.
                let size = bincode::serialized_size(&message).unwrap_or(0).max(1);
                cursor.set_position(cursor.position() + size);
                all.push(message);
            }
            all
        },
    )
}

/// Does a task, if that is a small one.
fn work(request: Request) {
    thread_local! {
        static ENGINE: Engine<Flex> = engine();
    }
    let Request::Start { task, .. } = request else { return };
    task.needs_encoder();
    if !is_small(&task) {
        return;
    }
    // The pixels that a picture's header claims, as samples of two bytes in four colours and as grey values.
    let claimed = match &task {
        Task::Verify { file, .. } => {
            let side = |at: usize| file.get(at..at + 4).map_or(0, |bytes| bytes.iter().fold(0, |n, &b| n << 8 | usize::from(b)));
            10 * side(16).saturating_mul(side(20)).min(MAX_PIXELS)
        }
        _ => 0,
    };
    let perform = |engine: &Engine<Flex>| block_on(engine.perform(&task, &Clock::default()));
    ENGINE.with(|engine| drop(bounded((1 << 20) + claimed, |_| 0, || perform(engine))));
}

/// Whether a task takes few steps; those of many are what a user may ask for.
fn is_small(task: &Task) -> bool {
    let few = |settings: &Settings| settings.steps <= 4;
    let subject = |subject: &Subject| match subject {
        Subject::Sample(settings) => few(settings),
        Subject::Image { .. } => true,
    };
    let small = |run: &Run| {
        few(&run.settings)
            && (run.count() <= 4 || run.count() > 64)
            && match &run.start {
                Start::Subject { subject: of, t } => subject(of) && *t <= 1.0,
                Start::Noise | Start::Between { .. } => true,
            }
    };
    match task {
        Task::Run(run) | Task::Moment { run, .. } => small(run),
        Task::Save { save: Save::Animation { run, .. } | Save::Strip { run, .. }, .. } => small(run),
        Task::Save { save: Save::Grid { pictures, .. } | Save::Flipbook { pictures, .. }, .. } => pictures.len() <= 4,
        Task::Diffuse { subject: of, .. } => subject(of),
        Task::Measure { subject: of, times, .. } => subject(of) && *times <= 4,
        Task::Speed => false,
        Task::Verify { .. } | Task::Learn { .. } | Task::Switch(_) => true,
    }
}

#[derive(Default)]
struct Clock(Cell<f64>);

impl Host for Clock {
    fn elapsed_ms(&self) -> f64 {
        self.0.replace(self.0.get() + 1.0)
    }

    fn on_step(&self, _taken: StepTaken) {}

    async fn should_continue(&self) -> bool {
        true
    }
}

fn engine() -> Engine<Flex> {
    let (config, sampling, provenance) = (latent(), SamplingConfig::default(), Provenance::default());
    let networks = Networks::<Flex>::new(&config, 1, &FlexDevice).expect("networks");
    let bytes = save(&networks, &config, &sampling, &provenance, Precision::F32).expect("bytes");
    let encoder = networks.encoder.expect("an encoder");
    let hash = sha256_hex(&bytes);
    let encoder = save_encoder(&encoder, &config, &provenance, &hash, Precision::F32).expect("bytes");
    let engine = block_on(Engine::load(&bytes, FlexDevice)).expect("loads");
    engine.load_encoder(&encoder, &hash).expect("loads");
    engine
}

/// Messages of each kind.
pub fn seeds() -> Vec<Vec<u8>> {
    let settings = Settings { steps: 2, class: Some(0), guidance: 1.5, ..Settings::default() };
    let picture = Picture { width: 2, height: 2, pixels: vec![0, 90, 180, 255] };
    let noise = Run::from_noise(settings.clone(), 2);
    let between = Run { start: Start::Between { to: 9, frames: 3 }, ..noise.clone() };
    let image = Subject::Image { name: "a.png".to_owned(), picture: picture.clone() };
    let from = |subject: Subject| Run { start: Start::Subject { subject, t: 0.5 }, ..noise.clone() };
    let sample = Subject::Sample(settings.clone());
    let file = FileRequest { url: "weights/a".to_owned(), name: "a".to_owned(), bytes: 9, sha256: None, fresh: true };
    let source = Source { files: vec![file.clone()], encoder: Some(file) };
    let pictures = vec![picture.clone(), picture.clone()];
    let four = Run::from_noise(settings.clone(), 4);
    let origin = Origin { settings: four.describe(), ..Origin::default() };
    let saved = GreyImage::grid(&vec![GreyImage::filled(2, 2, 9); 4], 2).labelled();
    let saved = saved.to_png(&origin).expect("a file");
    let save = |save: Save| Task::Save { save, origin: origin.clone() };
    let tasks = [
        Task::Run(noise.clone()),
        Task::Run(between.clone()),
        Task::Run(from(image.clone())),
        Task::Moment { run: from(sample.clone()), image: 1, index: 1 },
        Task::Diffuse { subject: image.clone(), t: 0.5, seed: 3 },
        Task::Measure { subject: sample, times: 2, seed: 3 },
        save(Save::Grid { pictures: pictures.clone(), columns: 2 }),
        save(Save::Flipbook { pictures: pictures.clone(), format: Film::Gif }),
        save(Save::Animation { run: noise.clone(), image: 0, format: Film::Gif }),
        save(Save::Strip { run: between, image: 0 }),
        Task::Verify { name: "a.png".to_owned(), file: saved, weights_sha256: origin.weights_sha256.clone() },
        Task::Learn { points: vec![[0.2, 0.7]], seed: 4 },
        Task::Switch(source.clone()),
    ];
    let mut requests: Vec<Request> =
        (1..).zip(tasks).map(|(job, task)| Request::Start { job, task, paused: false }).collect();
    requests.push(Request::Control { job: 1, control: Control::Pause });
    requests.push(Request::Load { source, preference: BackendPreference::Auto, keep: Some(vec!["ab".repeat(32)]) });
    let info = ModelInfo {
        file: "a".to_owned(),
        sha256: "ab".repeat(32),
        bytes: 9,
        parameters: 3,
        config: latent(),
        provenance: Provenance::default(),
        schedule: engine().schedule().clone(),
        has_encoder: true,
        from_store: false,
        kept: false,
        backend: Backend { kind: BackendKind::Cpu, reason: BackendReason::Requested },
    };
    let step = Response::Step {
        job: 1,
        step: 1,
        of: 2,
        t: 0.5,
        elapsed_ms: 3.0,
        pictures: pictures.clone(),
        noisy: Some(picture),
    };
    let responses = [
        Response::Hello { protocol: PROTOCOL_VERSION },
        Response::Progress { received: 1, total: 9 },
        Response::Preparing,
        Response::Loaded(Box::new(info)),
        step,
        Response::Done { job: 1, elapsed_ms: 9.0, outcome: Outcome::Pictures(pictures) },
        Response::Stopped { job: 1, step: 1 },
        Response::Failed { job: None, problem: Problem::HttpStatus { file: "a".to_owned(), status: 404 } },
    ];
    let bytes = |kind: u8, message: &[u8]| [&[kind], message].concat();
    let mut seeds: Vec<Vec<u8>> =
        requests.iter().map(|request| bytes(b'q', &bincode::serialize(request).expect("bytes"))).collect();
    let responses: Vec<Vec<u8>> =
        responses.iter().map(|response| bincode::serialize(response).expect("bytes")).collect();
    seeds.push(bytes(b'r', &responses.concat()));
    seeds.extend(responses.iter().map(|response| bytes(b'r', response)));
    seeds.push(bytes(b'm', include_bytes!("../../web/weights/manifest.json")));
    seeds.push(b"a?backend=cpu&lang=fr&kiosk=1&seed=3&steps=25&sampler=ddim&count=4&class=1&guidance=2&weights=abcdef0123456789".to_vec());
    seeds
}

