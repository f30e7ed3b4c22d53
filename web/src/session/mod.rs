//! Every state that the page can be in, and what leads from one to the next.
//!
//! [`Session::apply`] takes an [`Event`] and answers with [`Command`]s; who carries them out is `page::controller`.

mod jobs;
mod state;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;

pub use self::state::{Choice, DiffusedAt, Job, Keep, Loading, Measured, Notice, Panel, Phase, Plan, Purpose, Slot};
use vdm::cost::Speed;

use crate::manifest::{Manifest, ModelEntry};
use crate::protocol::{
    BackendKind, BackendWish, FileRequest, ModelInfo, PROTOCOL_VERSION, Problem, Recovery, Request, Response, Run,
    Source, Subject,
};

/// How long a cancelled job may go on.
pub const PATIENCE_SECONDS: u32 = 10;
/// Diffusion times that the bound is measured at.
pub const MEASURE_TIMES: u32 = 16;

/// The page's state.
#[derive(Clone, Debug, PartialEq)]
pub struct Session {
    /// The connection to a model.
    pub phase: Phase,
    /// The loaded model; none until the worker has one.
    pub model: Option<ModelInfo>,
    /// What the worker does.
    pub job: Option<Job>,
    /// The forward process, where the slider is or was.
    pub diffused: Option<DiffusedAt>,
    /// The bound that was measured last.
    pub measured: Option<Measured>,
    /// How long the model takes here, if that was measured.
    pub speed: Option<Speed>,
    /// Something to tell beside what is going on.
    pub notice: Option<Notice>,
    /// The site's models, once their list is there.
    pub manifest: Option<Manifest>,
    /// Where the model comes from.
    pub choice: Choice,
    panels: [Option<Panel>; Slot::ALL.len()],
    /// The choice that is being switched to.
    wanted: Option<Choice>,
    /// What follows the present job.
    plans: VecDeque<Plan>,
    /// Where a slider has moved to meanwhile.
    next_quick: Option<Plan>,
    /// Address of the folder of weights, ending in a slash.
    weights_url: String,
    wish: BackendWish,
    /// The start of the hash that a link names.
    expected_hash: Option<String>,
    /// Counts the workers that were started; what a discarded one still says is not heard.
    generation: u32,
    /// Whether the present worker has spoken.
    greeted: bool,
    /// Ask the server for files, whatever the browser has kept.
    fresh: bool,
    jobs: u32,
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
    /// The user wants images in a slot.
    Run {
        /// Where.
        slot: Slot,
        /// Which.
        run: Run,
        /// Step by step, rather than in one go.
        stepwise: bool,
    },
    /// The user wants two runs, one after the other.
    Race {
        /// The first.
        left: Run,
        /// The second.
        right: Run,
    },
    /// The user looks at a moment of a slot's run.
    Look {
        /// Where.
        slot: Slot,
        /// Which of its images.
        image: u32,
        /// Steps taken by then.
        index: u32,
    },
    /// The user takes a subject to time t.
    Diffuse {
        /// What.
        subject: Subject,
        /// Where to, in [0, 1].
        t: f64,
        /// Seed of the noise.
        seed: u64,
    },
    /// The user wants the bound of a subject.
    Measure(Subject),
    /// The user wants to know how long the model takes here.
    MeasureSpeed,
    /// The user wants to keep something of a slot.
    Save(Slot, Keep),
    /// The user wants no more of what runs.
    Cancel,
    /// The user wants it to wait.
    Pause,
    /// The user wants it to go on.
    Resume,
    /// The user wants one step.
    Step,
    /// This job should have ended some time ago.
    Overdue(u32),
    /// The user wants to go on after a failure.
    Recover,
    /// The user wants this model, of the site or of their own.
    Use(Choice),
    /// Something of the user's cannot be used.
    Refuse(Problem),
    /// The user has read the notice.
    CloseNotice,
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
    /// A session before [`Event::Open`].
    ///
    /// `weights_url` is the folder of weights and ends in a slash; `expected_hash` is the start of the hash that the
    /// page's address names, if it does.
    pub fn new(weights_url: String, wish: BackendWish, expected_hash: Option<String>) -> Self {
        Self {
            phase: Phase::Loading(Loading::Starting),
            model: None,
            job: None,
            diffused: None,
            measured: None,
            speed: None,
            notice: None,
            manifest: None,
            choice: Choice::Site(None),
            panels: Default::default(),
            wanted: None,
            plans: VecDeque::new(),
            next_quick: None,
            weights_url,
            wish,
            expected_hash,
            generation: 0,
            greeted: false,
            fresh: false,
            jobs: 0,
        }
    }

    /// What stands in a slot.
    pub fn panel(&self, slot: Slot) -> Option<&Panel> {
        self.panels[slot as usize].as_ref()
    }

    /// The job that fills a slot, if that is what runs.
    pub fn filling(&self, slot: Slot) -> Option<&Job> {
        self.job.as_ref().filter(|job| job.plan.purpose == Purpose::Fill(slot))
    }

    /// Whether something can be asked for: a model is there, and nothing runs but what follows a slider.
    pub fn is_idle(&self) -> bool {
        self.phase == Phase::Ready && self.job.as_ref().is_none_or(|job| job.plan.purpose.is_quick())
    }

    /// Whether there is something to stop.
    pub fn can_cancel(&self) -> bool {
        self.job.as_ref().is_some_and(|job| !job.stopping && !job.plan.purpose.is_quick())
    }

    /// Whether the images of a slot are whole, and a worker is there to encode them.
    pub fn can_save(&self, slot: Slot) -> bool {
        self.is_idle() && self.is_whole(slot)
    }

    /// Whether the images of a slot are whole.
    pub fn is_whole(&self, slot: Slot) -> bool {
        self.panel(slot).is_some_and(|panel| panel.origin.is_some())
    }

    /// One word for what goes on, for attributes: `loading`, `ready`, `busy`, `sampling`, `done` or `failed`.
    pub fn state_name(&self) -> &'static str {
        match (&self.phase, &self.job) {
            (Phase::Loading(_), _) => "loading",
            (Phase::Failed(_), _) => "failed",
            (Phase::Ready, Some(Job { plan: Plan { purpose: Purpose::Fill(_), .. }, .. })) => "sampling",
            (Phase::Ready, Some(job)) if !job.plan.purpose.is_quick() => "busy",
            (Phase::Ready, _) if Slot::ALL.into_iter().any(|slot| self.is_whole(slot)) => "done",
            (Phase::Ready, _) => "ready",
        }
    }

    /// How much of the present work is done, in [0, 1]; none where nothing runs or nobody knows.
    pub fn progress(&self) -> Option<f64> {
        let share = |done: u64, of: u64| (of > 0).then(|| done as f64 / of as f64);
        match (&self.phase, &self.job) {
            (Phase::Loading(Loading::Weights { received, total }), _) => share(*received, *total),
            (Phase::Ready, Some(job)) => match (job.fetching, &job.plan.task) {
                (Some((received, total)), _) => share(received, total),
                (None, crate::protocol::Task::Run(run)) => share(job.step.into(), run.steps().into()),
                _ => None,
            },
            _ => None,
        }
    }

    /// The entry of the site's model in use, once the list of weights is there.
    pub fn entry(&self) -> Option<&ModelEntry> {
        let Choice::Site(name) = &self.choice else { return None };
        let manifest = self.manifest.as_ref()?;
        let named = name.as_ref().and_then(|name| manifest.models.iter().find(|model| model.name == *name));
        Some(named.unwrap_or(manifest.default_model()))
    }

    /// The address of the model card, where the site has one.
    pub fn card_url(&self) -> Option<String> {
        Some(format!("{}{}", self.weights_url, self.entry()?.card.as_ref()?))
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
            Event::Overdue(job) => self.give_up(job),
            Event::Recover => self.recover(),
            Event::Refuse(problem) => {
                self.notice = Some(Notice::Failed(problem));
                Vec::new()
            }
            Event::CloseNotice => {
                self.notice = None;
                Vec::new()
            }
            Event::Use(choice) if self.model.is_none() => {
                // Nothing to fall back to: what cannot be used is told as a failure, with a way on.
                self.choice = choice;
                self.restart()
            }
            wish => self.heed(wish),
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
                Vec::new()
            }
            Response::Progress { received, total } => {
                match &mut self.job {
                    Some(job) if self.phase == Phase::Ready => job.fetching = Some((received, total)),
                    _ => self.phase = Phase::Loading(Loading::Weights { received, total }),
                }
                Vec::new()
            }
            Response::Preparing => {
                match &mut self.job {
                    Some(job) if self.phase == Phase::Ready => job.fetching = None,
                    _ => self.phase = Phase::Loading(Loading::Preparing),
                }
                Vec::new()
            }
            Response::Loaded(model) => {
                self.adopt(*model);
                self.fresh = false;
                self.phase = Phase::Ready;
                // What a failure of the GPU interrupted stands first among the plans.
                self.start_next()
            }
            Response::Failed { job: None, problem } => self.fail(problem),
            answer => self.hear_of_job(answer),
        }
    }

    fn adopt(&mut self, model: ModelInfo) {
        if let Some(hash) = self.expected_hash.take()
            && !model.is_called(&hash)
        {
            self.notice = Some(Notice::OtherWeights { sha256: hash });
        }
        self.model = Some(model);
    }

    fn recover(&mut self) -> Vec<Command> {
        let Phase::Failed(problem) = &self.phase else { return Vec::new() };
        match problem.recovery() {
            Recovery::ReloadPage => vec![Command::ReloadPage],
            Recovery::UseCpu => {
                self.wish = BackendWish::Cpu;
                self.restart()
            }
            // Only a model of the user's own fails like this before any is there: the site's leads on.
            Recovery::Retry | Recovery::Dismiss => {
                if matches!(self.choice, Choice::Own(_)) {
                    self.choice = Choice::Site(None);
                }
                self.fresh = true;
                self.manifest = None;
                self.restart()
            }
        }
    }

    /// Takes a failure of the worker as a whole.
    fn fail(&mut self, problem: Problem) -> Vec<Command> {
        let tries_gpu = matches!(self.wish, BackendWish::Auto | BackendWish::WebGpu);
        let on_gpu = self.model.as_ref().is_none_or(|model| model.backend.kind == BackendKind::WebGpu);
        let job = self.job.take();
        if tries_gpu && on_gpu && self.greeted && problem.may_be_the_gpu() {
            if let Some(job) = job.filter(|job| !job.stopping) {
                self.plans.push_front(job.plan);
            }
            self.wish = BackendWish::CpuAfterGpuFailure;
            self.notice = Some(Notice::MovedToCpu(problem));
            return self.restart();
        }
        self.model = None;
        self.plans.clear();
        self.next_quick = None;
        self.phase = Phase::Failed(problem);
        Vec::new()
    }

    /// Starts a fresh worker and loads the model into it.
    fn restart(&mut self) -> Vec<Command> {
        self.generation += 1;
        self.greeted = false;
        self.job = None;
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
        let Some(source) = self.source(&self.choice) else { return Vec::new() };
        let keep = self.manifest.as_ref().map(Manifest::hashes);
        vec![Command::Send(Request::Load { source, wish: self.wish, keep })]
    }

    /// What is to be fetched for a choice; none before the list of weights is there.
    fn source(&self, choice: &Choice) -> Option<Source> {
        let name = match choice {
            Choice::Own(source) => return Some(source.clone()),
            Choice::Site(name) => name,
        };
        let manifest = self.manifest.as_ref()?;
        let named = name.as_ref().and_then(|name| manifest.models.iter().find(|model| model.name == *name));
        let model = named.unwrap_or(manifest.default_model());
        let file = |file: &crate::manifest::WeightsFile| FileRequest {
            url: format!("{}{}", self.weights_url, file.file),
            name: file.file.clone(),
            bytes: file.bytes,
            sha256: Some(file.sha256.clone()),
            fresh: self.fresh,
        };
        Some(Source { files: vec![file(&model.sampling)], encoder: model.encoder.as_ref().map(file) })
    }
}
