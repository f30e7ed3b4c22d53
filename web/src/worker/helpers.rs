//! Workers beside this one: where there is no GPU, the cores share the images of a grid.

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::rc::Rc;

use gloo_timers::future::TimeoutFuture;

use super::backend::{AnyEngine, property};
use super::guard;
use super::jobs::JobHost;
use crate::engine::{Halt, Host, Shares, StepTaken};
use crate::interrupt::watched;
use crate::protocol::{
    BackendPreference, Control, FileRequest, Outcome, Picture, Problem, Request, Response, Run, Save, Source, Task,
};

/// The most workers that share a grid: each has the weights and a heap of its own.
const MAX_WORKERS: usize = 8;
/// How often the helpers are looked after.
const CHECK_EVERY_MS: u32 = 15;
/// A helper that takes no step for so long has failed.
const PATIENCE_MS: f64 = 60_000.0;

/// Starts a worker that answers to a function, and returns what sends to it; when that is dropped, the worker ends.
pub(super) type Spawn = Rc<dyn Fn(Box<dyn Fn(Response)>) -> Box<dyn Fn(Request)>>;

/// The helpers of a model, and what they drew last.
pub(super) struct Helpers {
    pub(super) spawn: Spawn,
    source: Source,
    all: RefCell<Vec<Rc<Helper>>>,
    /// This worker's job that they share.
    job: Cell<Option<u32>>,
    last: RefCell<Option<Drawn>>,
}

/// A grid, and who drew which of its images.
struct Drawn {
    run: Run,
    shares: Shares,
    by: Vec<Option<Rc<Helper>>>,
}

impl Helpers {
    pub(super) fn new(source: &Source, spawn: Spawn) -> Self {
        // What this worker fetched is in the store, or in the browser's cache.
        let files = source.files.iter().cloned().map(|file| FileRequest { fresh: false, ..file }).collect();
        let source = Source { files, encoder: None };
        Self { spawn, source, all: RefCell::default(), job: Cell::new(None), last: RefCell::default() }
    }

    /// Whether the images of a run are worth sharing.
    pub(super) fn can_share(run: &Run, engine: &AnyEngine) -> bool {
        engine.can_share(run) && workers() > 1
    }

    /// Passes a control of a job on.
    pub(super) fn control(&self, job: u32, control: Control) {
        if self.job.get() == Some(job) {
            self.all.borrow().iter().for_each(|helper| helper.control(control));
        }
    }

    /// Draws the images of a run, each as this worker alone would.
    pub(super) async fn run(&self, run: &Run, engine: &AnyEngine, host: &JobHost) -> Result<Outcome, Halt> {
        let shares = Shares::new(run.count(), workers());
        let parts: Vec<Run> = shares.ranges().iter().map(|range| run.part(range.clone())).collect();
        let helpers: Vec<_> = {
            let mut all = self.all.borrow_mut();
            while all.len() + 1 < parts.len() {
                all.push(Rc::new(Helper::start(&self.spawn, &self.source)));
            }
            all[..parts.len() - 1].to_vec()
        };
        for (helper, part) in helpers.iter().zip(&parts[1..]) {
            helper.begin(Task::Run(part.clone()), host.is_paused());
        }
        self.job.set(Some(host.job()));
        let team = Team { host, helpers: &helpers, shares: RefCell::new(shares), reported: Cell::new(0) };
        let drawn = team.draw(&parts, engine).await;
        self.job.set(None);
        helpers.iter().for_each(|helper| helper.end());
        self.all.borrow_mut().retain(|helper| !helper.has_failed());
        let (pictures, by) = drawn?;
        *self.last.borrow_mut() = Some(Drawn { run: run.clone(), shares: team.shares.into_inner(), by });
        Ok(Outcome::Pictures(pictures))
    }

    /// A task about one image of the last grid as one about the share it belongs to, and the helper that remembers that
    /// share; none if it was this worker.
    pub(super) fn route(&self, task: &Task) -> Option<(Task, Option<Rc<Helper>>)> {
        let mut task = task.clone();
        let (Task::Moment { run, image, .. }
        | Task::Save { save: Save::Animation { run, image, .. } | Save::Strip { run, image }, .. }) = &mut task
        else {
            return None;
        };
        let last = self.last.borrow();
        let Drawn { shares, by, .. } = last.as_ref().filter(|drawn| drawn.run == *run)?;
        let index = shares.ranges().iter().position(|range| range.contains(&(*image as usize)))?;
        let range = shares.ranges()[index].clone();
        *run = run.part(range.clone());
        *image -= range.start as u32;
        Some((task, by[index].clone()))
    }
}

/// The number of workers for a grid: the cores that the browser names, if a worker can start others.
fn workers() -> usize {
    let global = js_sys::global();
    let cores = property(&global, "navigator").and_then(|of| property(&of, "hardwareConcurrency")?.as_f64());
    if property(&global, "Worker").is_some() { (cores.unwrap_or(1.0) as usize).clamp(1, MAX_WORKERS) } else { 1 }
}

/// Those who do a job.
struct Team<'a> {
    host: &'a JobHost,
    helpers: &'a [Rc<Helper>],
    shares: RefCell<Shares>,
    /// The last step that the page knows of.
    reported: Cell<u32>,
}

impl Team<'_> {
    /// The pictures of all parts, and who drew each part.
    async fn draw(&self, parts: &[Run], engine: &AnyEngine) -> Result<(Vec<Picture>, Vec<Option<Rc<Helper>>>), Halt> {
        let (mut pictures, mut by) = (Vec::new(), Vec::new());
        for (i, part) in parts.iter().enumerate() {
            self.look();
            let helper = i.checked_sub(1).map(|i| &self.helpers[i]);
            // One that is still loading would be late.
            let helped = match helper.filter(|helper| helper.has_begun()) {
                Some(helper) => self.wait(helper).await,
                None => None,
            };
            by.push(helper.filter(|_| helped.is_some()).cloned());
            let outcome = match helped {
                Some(ended) => ended?,
                None => {
                    helper.inspect(|helper| helper.end());
                    engine.perform(&Task::Run(part.clone()), &Member { team: self, place: i }).await?
                }
            };
            let Outcome::Pictures(of_part) = outcome else { return Err(Problem::VersionMismatch.into()) };
            pictures.extend(of_part);
        }
        Ok((pictures, by))
    }

    /// What a helper's job ends with; none if the helper fails.
    async fn wait(&self, helper: &Helper) -> Option<Result<Outcome, Halt>> {
        loop {
            self.look();
            if let Some(ended) = helper.ended() {
                return ended.ok().map(Ok);
            }
            if self.host.is_cancelled() {
                return Some(Err(Halt::Stopped { step: self.reported.get() }));
            }
            if self.host.is_paused() {
                helper.touch();
            }
            if helper.has_failed() {
                return None;
            }
            TimeoutFuture::new(CHECK_EVERY_MS).await;
        }
    }

    /// Sends what waits for a helper, and reports the step that all have taken.
    fn look(&self) {
        for (i, helper) in self.helpers.iter().enumerate() {
            helper.send_waiting();
            if let Some(taken) = helper.state.borrow_mut().taken.take() {
                self.shares.borrow_mut().on_step(i + 1, taken);
            }
        }
        let together = self.shares.borrow().together();
        if let Some(taken) = together.filter(|taken| taken.step > self.reported.get()) {
            self.reported.set(taken.step);
            self.host.on_step(taken);
        }
    }
}

/// This worker's part of a job.
struct Member<'a> {
    team: &'a Team<'a>,
    place: usize,
}

impl Host for Member<'_> {
    fn elapsed_ms(&self) -> f64 {
        self.team.host.elapsed_ms()
    }

    fn on_step(&self, step: StepTaken) {
        self.team.shares.borrow_mut().on_step(self.place, step);
        self.team.look();
    }

    async fn should_continue(&self) -> bool {
        // The others go on while this one waits, for its timer or for the user.
        let look = async || {
            TimeoutFuture::new(CHECK_EVERY_MS).await;
            self.team.look();
            Ok::<(), Infallible>(())
        };
        match watched(self.team.host.should_continue(), look).await {
            Ok(goes_on) => goes_on,
        }
    }
}

/// Another worker with the same weights.
pub(super) struct Helper {
    send: Box<dyn Fn(Request)>,
    state: Rc<RefCell<State>>,
}

#[derive(Default)]
struct State {
    loaded: bool,
    failed: bool,
    /// Its jobs so far.
    jobs: u32,
    /// The present one.
    job: Option<u32>,
    /// The request of a job, until it has the weights.
    waiting: Option<Request>,
    taken: Option<StepTaken>,
    ended: Option<Result<Outcome, ()>>,
    /// When it last sent something.
    moved_ms: f64,
}

impl Helper {
    fn start(spawn: &Spawn, source: &Source) -> Self {
        let state = Rc::new(RefCell::new(State::default()));
        let theirs = Rc::clone(&state);
        let send = spawn(Box::new(move |response| theirs.borrow_mut().receive(response)));
        send(Request::Load { source: source.clone(), preference: BackendPreference::Cpu, keep: None });
        Self { send, state }
    }

    fn begin(&self, task: Task, paused: bool) {
        let mut state = self.state.borrow_mut();
        state.jobs += 1;
        state.job = Some(state.jobs);
        state.waiting = Some(Request::Start { job: state.jobs, task, paused });
        (state.taken, state.ended, state.moved_ms) = (None, None, guard::now_ms());
    }

    fn send_waiting(&self) {
        let waiting = {
            let mut state = self.state.borrow_mut();
            if state.loaded { state.waiting.take() } else { None }
        };
        waiting.into_iter().for_each(&self.send);
    }

    fn has_begun(&self) -> bool {
        let state = self.state.borrow();
        state.job.is_some() && state.waiting.is_none()
    }

    fn touch(&self) {
        self.state.borrow_mut().moved_ms = guard::now_ms();
    }

    fn has_failed(&self) -> bool {
        let mut state = self.state.borrow_mut();
        state.failed |= state.loaded && state.job.is_some() && guard::now_ms() - state.moved_ms > PATIENCE_MS;
        state.failed
    }

    fn ended(&self) -> Option<Result<Outcome, ()>> {
        self.state.borrow_mut().ended.take()
    }

    fn control(&self, control: Control) {
        let job = {
            let mut state = self.state.borrow_mut();
            if let Some(Request::Start { paused, .. }) = &mut state.waiting {
                *paused = control != Control::Resume;
            }
            state.job.filter(|_| state.waiting.is_none())
        };
        if let Some(job) = job {
            (self.send)(Request::Control { job, control });
        }
    }

    /// Ends its job, if it has one.
    fn end(&self) {
        self.control(Control::Cancel);
        let mut state = self.state.borrow_mut();
        (state.job, state.waiting) = (None, None);
    }

    /// Does a task; none if it fails.
    pub(super) async fn perform(&self, task: Task, host: &JobHost) -> Option<Result<Outcome, Halt>> {
        self.begin(task, false);
        self.send_waiting();
        let shares = RefCell::new(Shares::new(1, 1));
        let outcome = Team { host, helpers: &[], shares, reported: Cell::new(0) }.wait(self).await;
        self.end();
        outcome
    }
}

impl State {
    fn receive(&mut self, response: Response) {
        self.moved_ms = guard::now_ms();
        match response {
            Response::Loaded(_) => self.loaded = true,
            Response::Failed { job: None, .. } => self.failed = true,
            Response::Step { job, step, of, t, pictures, noisy, .. } if self.job == Some(job) => {
                // What was shown and is not looked at yet stays.
                let before = self.taken.take().map(|taken| taken.pictures).filter(|_| pictures.is_empty());
                let pictures = before.unwrap_or(pictures);
                self.taken = Some(StepTaken { step, of, t, pictures, noisy });
            }
            Response::Done { job, outcome, .. } if self.job == Some(job) => self.ended = Some(Ok(outcome)),
            Response::Stopped { job, .. } | Response::Failed { job: Some(job), .. } if self.job == Some(job) => {
                self.ended = Some(Err(()));
            }
            _ => {}
        }
    }
}
