//! Every state that the page can be in, and what leads from one to the next.
//!
//! [`Session::apply`] takes an [`Event`] and answers with [`Command`]s; who carries them out is `page::controller`.

use vdm::image::Origin;

use crate::manifest::Manifest;
use crate::protocol::{
    BackendKind, BackendWish, LoadRequest, ModelInfo, PROTOCOL_VERSION, Picture, Problem, Recovery, Request, Response,
};
use crate::settings::Settings;

/// How long a cancelled job may go on.
pub const PATIENCE_SECONDS: u32 = 10;

/// The page's state.
#[derive(Clone, Debug, PartialEq)]
pub struct Session {
    /// What is going on.
    pub phase: Phase,
    /// The loaded model; none until the worker has one.
    pub model: Option<ModelInfo>,
    /// The picture on the screen, which outlives every failure.
    pub shown: Option<Shown>,
    /// Something to tell beside what is going on.
    pub notice: Option<Notice>,
    /// Address of the folder of weights, ending in a slash.
    weights_url: String,
    wish: BackendWish,
    /// Counts the workers that were started; what a discarded one still says is not heard.
    generation: u32,
    /// Whether the present worker has spoken.
    greeted: bool,
    manifest: Option<Manifest>,
    /// Ask the server for files, whatever the browser has kept.
    fresh: bool,
    jobs: u32,
    /// The job that a failure of the GPU interrupted.
    resume: Option<Settings>,
    /// The name of the file that the worker is asked to encode.
    saving: Option<String>,
}

/// What is going on.
#[derive(Clone, Debug, PartialEq)]
pub enum Phase {
    /// Getting ready.
    Loading(Loading),
    /// Waiting for the first wish.
    Ready,
    /// Making an image.
    Sampling(Sampling),
    /// The image is there.
    Done(Finished),
    /// Nothing goes on before the user decides.
    Failed(Problem),
}

/// How far loading is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loading {
    /// The worker and the list of weights are on their way.
    Starting,
    /// The weights are on their way.
    Weights {
        /// Bytes so far.
        received: u64,
        /// Bytes in all.
        total: u64,
    },
    /// The weights are being checked, and kernels compiled.
    Preparing,
}

/// A job that runs.
#[derive(Clone, Debug, PartialEq)]
pub struct Sampling {
    /// Its number.
    pub job: u32,
    /// What was asked for.
    pub settings: Settings,
    /// Steps taken.
    pub step: u32,
    /// Since it began.
    pub elapsed_ms: f64,
    /// Whether it was asked to stop.
    pub stopping: bool,
}

/// A job that ran.
#[derive(Clone, Debug, PartialEq)]
pub struct Finished {
    /// What was asked for.
    pub settings: Settings,
    /// How long it took.
    pub elapsed_ms: f64,
}

/// A picture on the screen.
#[derive(Clone, Debug, PartialEq)]
pub struct Shown {
    /// The picture.
    pub picture: Picture,
    /// What was asked for.
    pub settings: Settings,
    /// Where it comes from, for its metadata; none while it still emerges.
    pub origin: Option<Origin>,
}

/// Something to tell beside what is going on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// The GPU failed, and the CPU goes on.
    MovedToCpu(Problem),
    /// A job was ended early.
    Cancelled {
        /// Steps taken.
        step: u32,
        /// Steps in all.
        of: u32,
    },
    /// A picture was handed to the browser to keep.
    Saved {
        /// Its name.
        file_name: String,
    },
    /// A picture could not be saved.
    NotSaved(Problem),
}

/// What happens to the page.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The page opens.
    Open,
    /// The list of weights was fetched, for the worker of this generation, or could not be.
    Manifest(u32, Result<Manifest, Problem>),
    /// A worker says something.
    Worker(u32, Response),
    /// The user wants an image.
    Generate(Settings),
    /// The user wants no more of this one.
    Cancel,
    /// This job should have ended some time ago.
    Overdue(u32),
    /// The user wants to go on after a failure.
    Recover,
    /// The user wants to keep the picture.
    Save,
}

/// What is to be done about it.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Discard the worker, if there is one, and start another.
    StartWorker {
        /// Its generation.
        generation: u32,
    },
    /// Fetch the list of weights.
    FetchManifest {
        /// The generation to answer with.
        generation: u32,
        /// Ask the server even where the browser has kept a copy.
        fresh: bool,
    },
    /// Send this to the worker.
    Send(Request),
    /// Come back with [`Event::Overdue`] for this job after [`PATIENCE_SECONDS`].
    ExpectEnd {
        /// The job that was cancelled.
        job: u32,
    },
    /// Hand a file to the browser to keep.
    SaveFile {
        /// Its name.
        name: String,
        /// Its content.
        bytes: Vec<u8>,
    },
    /// Load the page again.
    ReloadPage,
}

impl Session {
    /// A session before [`Event::Open`]; `weights_url` is the folder of weights and ends in a slash.
    pub fn new(weights_url: String, wish: BackendWish) -> Self {
        Self {
            phase: Phase::Loading(Loading::Starting),
            model: None,
            shown: None,
            notice: None,
            weights_url,
            wish,
            generation: 0,
            greeted: false,
            manifest: None,
            fresh: false,
            jobs: 0,
            resume: None,
            saving: None,
        }
    }

    /// Whether an image can be asked for.
    pub fn can_generate(&self) -> bool {
        matches!(self.phase, Phase::Ready | Phase::Done(_))
    }

    /// Whether there is something to stop.
    pub fn can_cancel(&self) -> bool {
        matches!(&self.phase, Phase::Sampling(sampling) if !sampling.stopping)
    }

    /// Whether the picture is whole, and a worker there to encode it.
    pub fn can_save(&self) -> bool {
        let whole = self.shown.as_ref().is_some_and(|shown| shown.origin.is_some());
        whole && self.model.is_some() && self.saving.is_none()
    }

    /// The title of the model, once the list of weights is there.
    pub fn model_title(&self) -> Option<&str> {
        self.manifest.as_ref().map(|manifest| manifest.default_model().title.as_str())
    }

    /// The address of the model card, once the list of weights is there.
    pub fn model_card_url(&self) -> Option<String> {
        let card = self.manifest.as_ref()?.default_model().card.as_ref()?;
        Some(format!("{}{card}", self.weights_url))
    }

    /// The folder of weights, ending in a slash.
    pub fn weights_url(&self) -> &str {
        &self.weights_url
    }

    /// Whether the worker of this generation is in use, and has not spoken yet.
    pub fn awaits_greeting(&self, generation: u32) -> bool {
        generation == self.generation && !self.greeted
    }

    /// Goes on to the next state.
    pub fn apply(&mut self, event: Event) -> Vec<Command> {
        match event {
            Event::Open => self.restart(),
            Event::Manifest(generation, _) | Event::Worker(generation, _) if generation != self.generation => {
                Vec::new()
            }
            Event::Manifest(_, Ok(manifest)) => {
                self.manifest = Some(manifest);
                self.load()
            }
            Event::Manifest(_, Err(problem)) => self.fail(problem),
            Event::Worker(_, response) => self.hear(response),
            Event::Generate(settings) if self.can_generate() => self.generate(settings),
            Event::Cancel if self.can_cancel() => self.cancel(),
            Event::Overdue(job) => self.give_up(job),
            Event::Save if self.can_save() => self.save(),
            Event::Recover => self.recover(),
            Event::Generate(_) | Event::Cancel | Event::Save => Vec::new(),
        }
    }

    fn hear(&mut self, response: Response) -> Vec<Command> {
        match response {
            Response::Hello { protocol } => {
                self.greeted = true;
                if protocol != PROTOCOL_VERSION {
                    return self.fail(Problem::VersionMismatch);
                }
                // Late, but there: the request to load waits for it.
                if matches!(self.phase, Phase::Failed(Problem::WorkerSilent { .. })) {
                    self.phase = Phase::Loading(Loading::Starting);
                }
            }
            Response::Progress { received, total } => {
                self.phase = Phase::Loading(Loading::Weights { received, total });
            }
            Response::Preparing => self.phase = Phase::Loading(Loading::Preparing),
            Response::Loaded(model) => {
                self.model = Some(*model);
                self.fresh = false;
                self.phase = Phase::Ready;
                if let Some(settings) = self.resume.take() {
                    return self.start_job(settings);
                }
            }
            Response::Step { job, step, elapsed_ms, pictures, .. } => {
                if let Phase::Sampling(sampling) = &mut self.phase
                    && sampling.job == job
                {
                    sampling.step = step;
                    sampling.elapsed_ms = elapsed_ms;
                    if let Some(picture) = pictures.into_iter().next() {
                        self.shown = Some(Shown { picture, settings: sampling.settings.clone(), origin: None });
                    }
                }
            }
            Response::Done { job, elapsed_ms, pictures } => {
                if let Phase::Sampling(sampling) = &self.phase
                    && sampling.job == job
                {
                    let settings = sampling.settings.clone();
                    if let Some(picture) = pictures.into_iter().next() {
                        let origin = self.model.as_ref().map(|model| origin(&settings, model));
                        self.shown = Some(Shown { picture, settings: settings.clone(), origin });
                    }
                    self.phase = Phase::Done(Finished { settings, elapsed_ms });
                }
            }
            Response::Cancelled { job, step } => {
                if let Phase::Sampling(sampling) = &self.phase
                    && sampling.job == job
                {
                    self.notice = Some(Notice::Cancelled { step, of: sampling.settings.steps });
                    self.phase = Phase::Ready;
                }
            }
            Response::Png { bytes } => {
                if let Some(name) = self.saving.take() {
                    self.notice = Some(Notice::Saved { file_name: name.clone() });
                    return vec![Command::SaveFile { name, bytes }];
                }
            }
            Response::Failed(problem) => return self.fail(problem),
        }
        Vec::new()
    }

    fn generate(&mut self, settings: Settings) -> Vec<Command> {
        self.notice = None;
        self.start_job(settings)
    }

    fn start_job(&mut self, settings: Settings) -> Vec<Command> {
        self.jobs += 1;
        let job = self.jobs;
        let request = Request::Generate { job, seeds: vec![settings.seed], settings: settings.clone() };
        self.phase = Phase::Sampling(Sampling { job, settings, step: 0, elapsed_ms: 0.0, stopping: false });
        vec![Command::Send(request)]
    }

    fn cancel(&mut self) -> Vec<Command> {
        let Phase::Sampling(sampling) = &mut self.phase else { return Vec::new() };
        sampling.stopping = true;
        let job = sampling.job;
        vec![Command::Send(Request::Cancel { job }), Command::ExpectEnd { job }]
    }

    /// A worker that hangs in a step cannot heed the user: another one takes its place.
    fn give_up(&mut self, job: u32) -> Vec<Command> {
        match &self.phase {
            Phase::Sampling(sampling) if sampling.job == job => {
                self.fail(Problem::WorkerSilent { seconds: PATIENCE_SECONDS })
            }
            _ => Vec::new(),
        }
    }

    fn save(&mut self) -> Vec<Command> {
        let Some(Shown { picture, settings, origin: Some(origin) }) = &self.shown else { return Vec::new() };
        self.saving = Some(settings.file_name());
        vec![Command::Send(Request::Encode { picture: picture.clone(), origin: origin.clone() })]
    }

    fn recover(&mut self) -> Vec<Command> {
        let Phase::Failed(problem) = &self.phase else { return Vec::new() };
        match problem.recovery() {
            Recovery::Dismiss => {
                self.phase = Phase::Ready;
                Vec::new()
            }
            Recovery::ReloadPage => vec![Command::ReloadPage],
            Recovery::UseCpu => {
                self.wish = BackendWish::Cpu;
                self.restart()
            }
            Recovery::Retry => {
                self.fresh = true;
                self.manifest = None;
                self.restart()
            }
        }
    }

    fn fail(&mut self, problem: Problem) -> Vec<Command> {
        if let Problem::Encoding { .. } = problem {
            self.saving = None;
            self.notice = Some(Notice::NotSaved(problem));
            return Vec::new();
        }
        let tries_gpu = matches!(self.wish, BackendWish::Auto | BackendWish::WebGpu);
        let on_gpu = self.model.as_ref().is_none_or(|model| model.backend.kind == BackendKind::WebGpu);
        if tries_gpu && on_gpu && self.greeted && problem.may_be_the_gpu() {
            self.resume = match &self.phase {
                Phase::Sampling(sampling) if !sampling.stopping => Some(sampling.settings.clone()),
                _ => None,
            };
            self.wish = BackendWish::CpuAfterGpuFailure;
            self.notice = Some(Notice::MovedToCpu(problem));
            return self.restart();
        }
        if problem.recovery() != Recovery::Dismiss {
            self.model = None;
        }
        self.saving = None;
        self.resume = None;
        self.phase = Phase::Failed(problem);
        Vec::new()
    }

    /// Starts a fresh worker and loads the model into it.
    fn restart(&mut self) -> Vec<Command> {
        self.generation += 1;
        self.greeted = false;
        self.model = None;
        self.saving = None;
        self.phase = Phase::Loading(Loading::Starting);
        let mut commands = vec![Command::StartWorker { generation: self.generation }];
        if self.manifest.is_some() {
            commands.extend(self.load());
        } else {
            commands.push(Command::FetchManifest { generation: self.generation, fresh: self.fresh });
        }
        commands
    }

    fn load(&mut self) -> Vec<Command> {
        let Some(manifest) = &self.manifest else { return Vec::new() };
        let file = &manifest.default_model().sampling;
        vec![Command::Send(Request::Load(LoadRequest {
            url: format!("{}{}", self.weights_url, file.file),
            file: file.file.clone(),
            bytes: file.bytes,
            sha256: file.sha256.clone(),
            fresh: self.fresh,
            wish: self.wish,
        }))]
    }
}

impl Phase {
    /// The name in the page's `data-state` attribute.
    pub fn name(&self) -> &'static str {
        match self {
            Phase::Loading(_) => "loading",
            Phase::Ready => "ready",
            Phase::Sampling(_) => "sampling",
            Phase::Done(_) => "done",
            Phase::Failed(_) => "failed",
        }
    }

    /// How much of the present work is done, in [0, 1]; none where nothing runs or nobody knows.
    pub fn progress(&self) -> Option<f64> {
        match self {
            Phase::Loading(Loading::Weights { received, total }) if *total > 0 => {
                Some(*received as f64 / *total as f64)
            }
            Phase::Sampling(sampling) => Some(f64::from(sampling.step) / f64::from(sampling.settings.steps.max(1))),
            Phase::Done(_) => Some(1.0),
            _ => None,
        }
    }
}

fn origin(settings: &Settings, model: &ModelInfo) -> Origin {
    let mut entries = settings.describe();
    entries.push(("backend".to_owned(), model.backend.kind.name().to_owned()));
    Origin {
        software: concat!("medical-vdm web ", env!("CARGO_PKG_VERSION")).to_owned(),
        weights: model.name.clone(),
        weights_sha256: model.sha256.clone(),
        settings: entries,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::{ModelEntry, WeightsFile};
    use crate::protocol::{Backend, BackendReason};

    fn manifest() -> Manifest {
        let sampling = WeightsFile { file: "m.safetensors".into(), bytes: 10, sha256: "0".repeat(64) };
        let model = ModelEntry { name: "m".into(), title: "M".into(), card: None, sampling, encoder: None };
        Manifest { version: 1, default: "m".into(), models: vec![model] }
    }

    fn info(kind: BackendKind) -> ModelInfo {
        ModelInfo {
            name: "m".into(),
            file: "m.safetensors".into(),
            sha256: "0".repeat(64),
            bytes: 10,
            parameters: 5,
            width: 1,
            height: 1,
            classes: 0,
            class_names: Vec::new(),
            data: String::new(),
            images: 1,
            training_steps: 1,
            date: String::new(),
            license: String::new(),
            acknowledgement: String::new(),
            backend: Backend { kind, reason: BackendReason::Asked },
        }
    }

    fn hello() -> Response {
        Response::Hello { protocol: PROTOCOL_VERSION }
    }

    fn picture(value: u8) -> Vec<Picture> {
        vec![Picture { width: 1, height: 1, pixels: vec![value] }]
    }

    fn opened(wish: BackendWish) -> Session {
        let mut session = Session::new("https://example.org/sub/weights/".into(), wish);
        let commands = session.apply(Event::Open);
        assert_eq!(
            commands,
            [Command::StartWorker { generation: 1 }, Command::FetchManifest { generation: 1, fresh: false }]
        );
        session
    }

    fn ready(kind: BackendKind) -> Session {
        let mut session = opened(BackendWish::Auto);
        session.apply(Event::Worker(1, hello()));
        session.apply(Event::Manifest(1, Ok(manifest())));
        session.apply(Event::Worker(1, Response::Progress { received: 5, total: 10 }));
        assert_eq!(session.phase.progress(), Some(0.5));
        session.apply(Event::Worker(1, Response::Preparing));
        session.apply(Event::Worker(1, Response::Loaded(Box::new(info(kind)))));
        assert_eq!(session.phase, Phase::Ready);
        session
    }

    fn sampling(kind: BackendKind) -> Session {
        let mut session = ready(kind);
        let commands = session.apply(Event::Generate(Settings { seed: 42, ..Settings::default() }));
        assert!(matches!(&commands[..], [Command::Send(Request::Generate { job: 1, seeds, .. })] if seeds == &[42]));
        let pictures = picture(1);
        let step = Response::Step { job: 1, step: 1, of: 50, t: 0.98, elapsed_ms: 4.0, pictures };
        session.apply(Event::Worker(1, step));
        session
    }

    fn done() -> Session {
        let mut session = sampling(BackendKind::Cpu);
        session.apply(Event::Worker(1, Response::Done { job: 1, elapsed_ms: 200.0, pictures: picture(2) }));
        session
    }

    #[test]
    fn the_weights_are_asked_for_by_their_whole_address() {
        let mut session = opened(BackendWish::Cpu);
        let commands = session.apply(Event::Manifest(1, Ok(manifest())));
        let [Command::Send(Request::Load(load))] = &commands[..] else { panic!("{commands:?}") };
        assert_eq!(load.url, "https://example.org/sub/weights/m.safetensors");
        assert_eq!((load.wish, load.fresh), (BackendWish::Cpu, false));
    }

    #[test]
    fn an_image_emerges_and_can_be_kept() {
        let mut session = sampling(BackendKind::Cpu);
        assert!(session.can_cancel() && !session.can_save() && !session.can_generate());
        assert!(session.shown.as_ref().is_some_and(|shown| shown.origin.is_none()));
        session = done();
        assert_eq!(session.phase.name(), "done");
        let commands = session.apply(Event::Save);
        let [Command::Send(Request::Encode { picture, origin })] = &commands[..] else { panic!("{commands:?}") };
        assert_eq!(picture.pixels, [2]);
        assert!(origin.settings.contains(&("seed".into(), "42".into())));
        assert!(!session.can_save(), "once is enough");
        let commands = session.apply(Event::Worker(1, Response::Png { bytes: vec![7] }));
        let name = "synthetic-xray-seed42.png".to_owned();
        assert_eq!(commands, [Command::SaveFile { name, bytes: vec![7] }]);
        assert!(session.can_save());
    }

    #[test]
    fn a_cancelled_job_leaves_its_picture() {
        let mut session = sampling(BackendKind::Cpu);
        let commands = session.apply(Event::Cancel);
        assert_eq!(commands, [Command::Send(Request::Cancel { job: 1 }), Command::ExpectEnd { job: 1 }]);
        assert!(!session.can_cancel(), "once is enough");
        session.apply(Event::Worker(1, Response::Cancelled { job: 1, step: 3 }));
        assert_eq!(session.phase, Phase::Ready);
        assert_eq!(session.notice, Some(Notice::Cancelled { step: 3, of: 50 }));
        assert!(session.shown.is_some() && !session.can_save());
        assert_eq!(session.apply(Event::Overdue(1)), [], "it did end");
    }

    #[test]
    fn a_worker_that_does_not_heed_is_replaced() {
        let mut session = sampling(BackendKind::WebGpu);
        session.apply(Event::Cancel);
        let commands = session.apply(Event::Overdue(1));
        assert_eq!(commands[0], Command::StartWorker { generation: 2 });
        session.apply(Event::Worker(2, hello()));
        let commands = session.apply(Event::Worker(2, Response::Loaded(Box::new(info(BackendKind::Cpu)))));
        assert_eq!((commands, &session.phase), (vec![], &Phase::Ready), "what was cancelled is not taken up again");
    }

    #[test]
    fn a_lost_gpu_hands_over_to_the_cpu_and_loses_nothing() {
        let mut session = sampling(BackendKind::WebGpu);
        let problem = Problem::GpuLost { detail: "gone".into() };
        let commands = session.apply(Event::Worker(1, Response::Failed(problem.clone())));
        assert_eq!(commands[0], Command::StartWorker { generation: 2 });
        let Command::Send(Request::Load(load)) = &commands[1] else { panic!("{commands:?}") };
        assert_eq!(load.wish, BackendWish::CpuAfterGpuFailure);
        assert!(session.shown.is_some());
        assert_eq!(session.notice, Some(Notice::MovedToCpu(problem)));
        assert_eq!(session.apply(Event::Worker(1, Response::Preparing)), [], "the old worker is not heard");
        assert_eq!(session.phase, Phase::Loading(Loading::Starting));
        session.apply(Event::Worker(2, hello()));
        let commands = session.apply(Event::Worker(2, Response::Loaded(Box::new(info(BackendKind::Cpu)))));
        assert!(matches!(&commands[..], [Command::Send(Request::Generate { job: 2, seeds, .. })] if seeds == &[42]));
    }

    #[test]
    fn a_worker_that_crashes_on_the_cpu_is_a_failure_that_one_can_retry() {
        let mut session = sampling(BackendKind::Cpu);
        let problem = Problem::WorkerCrashed { detail: "unreachable".into() };
        assert_eq!(session.apply(Event::Worker(1, Response::Failed(problem.clone()))), []);
        assert_eq!(session.phase, Phase::Failed(problem));
        assert!(!session.can_generate() && session.shown.is_some());
        let commands = session.apply(Event::Recover);
        assert_eq!(
            commands,
            [Command::StartWorker { generation: 2 }, Command::FetchManifest { generation: 2, fresh: true }]
        );
    }

    #[test]
    fn a_corrupt_file_is_asked_for_again_from_the_server() {
        let mut session = opened(BackendWish::Auto);
        session.apply(Event::Worker(1, hello()));
        session.apply(Event::Manifest(1, Ok(manifest())));
        let problem = Problem::WrongHash { file: "m".into(), expected: "0".into(), actual: "1".into() };
        session.apply(Event::Worker(1, Response::Failed(problem)));
        assert_eq!(session.phase.name(), "failed");
        session.apply(Event::Recover);
        let commands = session.apply(Event::Manifest(2, Ok(manifest())));
        assert!(matches!(&commands[..], [Command::Send(Request::Load(load))] if load.fresh));
    }

    #[test]
    fn a_worker_that_never_spoke_is_not_blamed_on_the_gpu() {
        let mut session = opened(BackendWish::Auto);
        assert!(session.awaits_greeting(1));
        session.apply(Event::Worker(1, Response::Failed(Problem::WorkerSilent { seconds: 30 })));
        assert_eq!(session.phase.name(), "failed");
        session.apply(Event::Worker(1, hello()));
        assert_eq!(session.phase.name(), "loading", "late, but there");
        assert!(!session.awaits_greeting(1));
    }

    #[test]
    fn forced_webgpu_offers_the_cpu_where_there_is_none() {
        let mut session = opened(BackendWish::WebGpu);
        session.apply(Event::Worker(1, hello()));
        session.apply(Event::Manifest(1, Ok(manifest())));
        session.apply(Event::Worker(1, Response::Failed(Problem::GpuUnavailable(BackendReason::NoAdapter))));
        assert_eq!(session.phase.name(), "failed");
        let commands = session.apply(Event::Recover);
        let Command::Send(Request::Load(load)) = &commands[1] else { panic!("{commands:?}") };
        assert_eq!(load.wish, BackendWish::Cpu);
    }

    #[test]
    fn two_versions_of_the_site_do_not_talk() {
        let mut session = opened(BackendWish::Auto);
        session.apply(Event::Worker(1, Response::Hello { protocol: PROTOCOL_VERSION + 1 }));
        assert_eq!(session.phase, Phase::Failed(Problem::VersionMismatch));
        assert_eq!(session.apply(Event::Recover), [Command::ReloadPage]);
    }

    #[test]
    fn a_picture_that_cannot_be_encoded_disturbs_nothing_else() {
        let mut session = done();
        session.apply(Event::Save);
        session.apply(Event::Worker(1, Response::Failed(Problem::Encoding { detail: "empty".into() })));
        assert_eq!(session.phase.name(), "done");
        assert!(matches!(session.notice, Some(Notice::NotSaved(_))) && session.can_save());
    }
}
