//! The worker: fetches, checks and stores the weights, chooses the backend, does the jobs.

mod backend;
mod download;
mod guard;
mod helpers;
mod jobs;
mod learn;
mod outbox;
mod store;
mod weights;

use std::cell::RefCell;
use std::rc::Rc;

use gloo_timers::future::TimeoutFuture;
use gloo_worker::{HandlerId, Registrable, Spawnable, Worker, WorkerScope};
use wasm_bindgen_futures::spawn_local;

use self::helpers::Helpers;
use self::jobs::{Job, JobHost, Jobs};
use self::outbox::Outbox;
use self::weights::Loaded;
use crate::engine::{Halt, Host};
use crate::interrupt::watched;
use crate::protocol::{Outcome, PROTOCOL_VERSION, Problem, Request, Response, Task};

/// How often a run on the GPU is looked after.
const CHECK_EVERY_MS: u32 = 500;

/// Starts the worker.
pub(crate) fn start() {
    guard::watch_for_faults();
    Diffusion::registrar().register();
}

/// The worker of `gloo_worker`.
pub(crate) struct Diffusion {
    model: Rc<RefCell<Option<Rc<Loaded>>>>,
    jobs: Jobs,
}

fn outbox(scope: &WorkerScope<Diffusion>, page: HandlerId) -> Outbox {
    let scope = scope.clone();
    Outbox::new(move |response| scope.respond(page, response))
}

/// Trunk's name of the loader, after the binary.
pub(crate) const LOADER: &str = "worker_loader.js";

/// Starts a worker like this one.
fn spawn(callback: Box<dyn Fn(Response)>) -> Box<dyn Fn(Request)> {
    let worker = Diffusion::spawner().callback(callback).with_loader(true).spawn(LOADER);
    Box::new(move |request| worker.send(request))
}

impl Worker for Diffusion {
    type Message = ();
    type Input = Request;
    type Output = Response;

    fn create(_scope: &WorkerScope<Self>) -> Self {
        Self { model: Rc::default(), jobs: Jobs::default() }
    }

    fn update(&mut self, _scope: &WorkerScope<Self>, _message: ()) {}

    fn connected(&mut self, scope: &WorkerScope<Self>, page: HandlerId) {
        let outbox = outbox(scope, page);
        guard::report_to(outbox.clone());
        outbox.send(Response::Hello { protocol: PROTOCOL_VERSION });
    }

    fn received(&mut self, scope: &WorkerScope<Self>, request: Request, page: HandlerId) {
        let outbox = outbox(scope, page);
        match request {
            Request::Load { source, preference, keep } => {
                let model = Rc::clone(&self.model);
                spawn_local(guard::busy(async move {
                    match weights::load_first(source, preference, Rc::new(spawn), &outbox).await {
                        Ok(loaded) => {
                            let info = loaded.info();
                            *model.borrow_mut() = Some(Rc::new(loaded));
                            outbox.send(Response::Loaded(Box::new(info)));
                        }
                        Err(Halt::Problem(problem)) => outbox.send(Response::Failed { job: None, problem }),
                        // The first model is not a job: nothing cancels it.
                        Err(Halt::Stopped { .. }) => {}
                    }
                    if let Some(keep) = keep {
                        store::drop_all_but(&keep).await;
                    }
                }));
            }
            Request::Start { job, task, paused } => {
                if self.jobs.add(job, task, paused) {
                    spawn_local(guard::busy(work(self.jobs.clone(), Rc::clone(&self.model), outbox)));
                }
            }
            Request::Control { job, control } => {
                self.jobs.control(job, control);
                if let Some(model) = &*self.model.borrow() {
                    model.helpers.control(job, control);
                }
            }
        }
    }
}

/// Does the waiting jobs.
async fn work(jobs: Jobs, model: Rc<RefCell<Option<Rc<Loaded>>>>, outbox: Outbox) {
    while let Some(job) = jobs.next() {
        let host = JobHost::new(&job, outbox.clone());
        let answer = perform(&job, &model, &host, &outbox).await;
        jobs.end(job.id);
        outbox.send(match answer {
            Ok(outcome) => Response::Done { job: job.id, elapsed_ms: host.elapsed_ms(), outcome },
            Err(Halt::Stopped { step }) => Response::Stopped { job: job.id, step },
            Err(Halt::Problem(problem)) => Response::Failed { job: Some(job.id), problem },
        });
    }
}

async fn perform(
    job: &Job,
    model: &RefCell<Option<Rc<Loaded>>>,
    host: &JobHost,
    outbox: &Outbox,
) -> Result<Outcome, Halt> {
    if let Task::Learn { points, seed } = &job.task {
        return learn::learn(points, *seed, host, outbox).await;
    }
    let present = model.borrow().clone();
    let Some(present) = present else {
        return Err(Problem::Settings { detail: "no model is loaded".to_owned() }.into());
    };
    let is_cancelled = || host.is_cancelled();
    if let Task::Switch(source) = &job.task {
        let loaded = weights::load_other(source.clone(), &present, outbox, &is_cancelled).await?;
        let info = loaded.info();
        *model.borrow_mut() = Some(Rc::new(loaded));
        return Ok(Outcome::Loaded(Box::new(info)));
    }
    if job.task.needs_encoder() {
        present.fetch_encoder(outbox, &is_cancelled).await?;
    }
    if is_cancelled() {
        return Err(Halt::Stopped { step: 0 });
    }
    if let Task::Run(run) = &job.task
        && Helpers::can_share(run, &present.engine)
    {
        return present.helpers.run(run, &present.engine, host).await;
    }
    if let Some((task, helper)) = present.helpers.route(&job.task) {
        let helped = match helper {
            Some(helper) => helper.perform(task.clone(), host).await,
            None => None,
        };
        return match helped {
            Some(outcome) => outcome,
            None => present.engine.perform(&task, host).await,
        };
    }
    // A step of any other task may take long; the CPU never waits.
    if !matches!(job.task, Task::Run(_)) || !present.engine.is_on_gpu() {
        return present.engine.perform(&job.task, host).await;
    }
    let tick = async || {
        TimeoutFuture::new(CHECK_EVERY_MS).await;
        if host.still_ms() > f64::from(present.patience_ms) {
            return Err(Halt::from(Problem::GpuSilent { seconds: present.patience_ms / 1000 }));
        }
        Ok(())
    };
    watched(present.engine.perform(&job.task, host), tick).await?
}
