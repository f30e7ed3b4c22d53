//! The worker: fetches and checks the weights, chooses the backend, samples.

mod backend;
mod download;
mod guard;

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use gloo_timers::future::TimeoutFuture;
use gloo_worker::{HandlerId, Registrable, Worker, WorkerScope};
use vdm::image::{GreyImage, Origin};
use vdm::sampler::Step;
use vdm::weights::{Header, sha256_hex};
use wasm_bindgen_futures::spawn_local;

use self::backend::AnyEngine;
use crate::engine::{Ending, Host};
use crate::protocol::{Backend, LoadRequest, ModelInfo, PROTOCOL_VERSION, Picture, Problem, Request, Response};
use crate::settings::Settings;

/// Answers the page's requests.
pub(crate) fn start() {
    guard::watch_for_faults();
    Diffusion::registrar().register();
}

/// The worker, as gloo runs it.
pub(crate) struct Diffusion {
    engine: Rc<RefCell<Option<Rc<AnyEngine>>>>,
    /// The job that may go on; 0 for none.
    current_job: Rc<Cell<u32>>,
}

/// The way to the page.
#[derive(Clone)]
pub(crate) struct Outbox {
    scope: WorkerScope<Diffusion>,
    page: HandlerId,
}

impl Outbox {
    fn send(&self, response: Response) {
        self.scope.respond(self.page, response);
    }
}

impl Worker for Diffusion {
    type Message = ();
    type Input = Request;
    type Output = Response;

    fn create(_scope: &WorkerScope<Self>) -> Self {
        Self { engine: Rc::default(), current_job: Rc::default() }
    }

    fn update(&mut self, _scope: &WorkerScope<Self>, _message: ()) {}

    fn connected(&mut self, scope: &WorkerScope<Self>, page: HandlerId) {
        let outbox = Outbox { scope: scope.clone(), page };
        guard::report_to(outbox.clone());
        outbox.send(Response::Hello { protocol: PROTOCOL_VERSION });
    }

    fn received(&mut self, scope: &WorkerScope<Self>, request: Request, page: HandlerId) {
        let outbox = Outbox { scope: scope.clone(), page };
        match request {
            Request::Load(request) => {
                let engine = self.engine.clone();
                spawn_local(guard::busy(async move {
                    match load(&request, &outbox).await {
                        Ok((loaded, model)) => {
                            *engine.borrow_mut() = Some(Rc::new(loaded));
                            outbox.send(Response::Loaded(Box::new(model)));
                        }
                        Err(problem) => outbox.send(Response::Failed(problem)),
                    }
                }));
            }
            Request::Generate { job, seeds, settings } => {
                self.current_job.set(job);
                let host = JobHost::new(job, self.current_job.clone(), outbox.clone());
                let Some(engine) = self.engine.borrow().clone() else {
                    let detail = "no model is loaded".to_owned();
                    return outbox.send(Response::Failed(Problem::Settings { detail }));
                };
                spawn_local(guard::busy(async move {
                    outbox.send(match engine.generate(&settings, &seeds, &host).await {
                        Ok(Ending::Done { pictures, elapsed_ms }) => Response::Done { job, elapsed_ms, pictures },
                        Ok(Ending::Cancelled { step }) => Response::Cancelled { job, step },
                        Err(problem) => Response::Failed(problem),
                    });
                }));
            }
            Request::Cancel { job } if self.current_job.get() == job => self.current_job.set(0),
            Request::Cancel { .. } => {}
            Request::Encode { picture, origin } => outbox.send(encode(picture, &origin)),
        }
    }
}

async fn load(request: &LoadRequest, outbox: &Outbox) -> Result<(AnyEngine, ModelInfo), Problem> {
    // Before the download: where WebGPU is asked for and missing, nothing needs to be fetched.
    let backend = backend::choose(request.wish).await?;
    let total = request.bytes;
    let bytes = download::fetch(request, |received| outbox.send(Response::Progress { received, total })).await?;
    outbox.send(Response::Preparing);
    // Lets the page hear of it before the worker is busy.
    TimeoutFuture::new(0).await;
    let actual = sha256_hex(&bytes);
    if actual != request.sha256 {
        return Err(Problem::WrongHash { file: request.file.clone(), expected: request.sha256.clone(), actual });
    }
    let engine = AnyEngine::load(backend.kind, &bytes)
        .await
        .map_err(|error| Problem::BadWeights { file: request.file.clone(), detail: error.to_string() })?;
    drop(bytes);
    engine.warm_up().await?;
    let model = model_info(engine.header(), request, backend);
    Ok((engine, model))
}

fn model_info(header: &Header, request: &LoadRequest, backend: Backend) -> ModelInfo {
    let provenance = header.provenance.clone();
    let numbers = |shape: &[usize]| shape.iter().map(|&size| size as u64).product::<u64>();
    ModelInfo {
        name: provenance.name,
        file: request.file.clone(),
        sha256: request.sha256.clone(),
        bytes: request.bytes,
        parameters: header.tensors.iter().map(|tensor| numbers(&tensor.shape)).sum(),
        width: header.config.width as u32,
        height: header.config.height as u32,
        classes: header.config.classes as u32,
        class_names: provenance.class_names,
        data: provenance.data,
        images: provenance.images,
        training_steps: provenance.training_steps,
        date: provenance.date,
        license: provenance.license,
        acknowledgement: provenance.acknowledgement,
        backend,
    }
}

fn encode(picture: Picture, origin: &Origin) -> Response {
    match GreyImage::from(picture).labelled().to_png(origin) {
        Ok(bytes) => Response::Png { bytes },
        Err(error) => Response::Failed(Problem::Encoding { detail: error.to_string() }),
    }
}

/// Tells the page of the steps of a job, and gives way to its messages.
struct JobHost {
    job: u32,
    current_job: Rc<Cell<u32>>,
    outbox: Outbox,
    told_ms: Cell<f64>,
    gave_way_ms: Cell<f64>,
}

impl JobHost {
    /// Steps without a picture are told this often.
    const TELL_EVERY_MS: f64 = 50.0;
    /// A browser makes a timer of 0 ms last 4 ms: to give way at each step would slow down short ones.
    const GIVE_WAY_EVERY_MS: f64 = 16.0;

    fn new(job: u32, current_job: Rc<Cell<u32>>, outbox: Outbox) -> Self {
        let now = Cell::new(guard::now_ms());
        Self { job, current_job, outbox, told_ms: now.clone(), gave_way_ms: now }
    }
}

impl Host for JobHost {
    fn now_ms(&self) -> f64 {
        guard::now_ms()
    }

    async fn on_step(&self, step: Step, elapsed_ms: f64, pictures: Vec<Picture>) {
        let now = self.now_ms();
        if !pictures.is_empty() || now - self.told_ms.get() >= Self::TELL_EVERY_MS {
            self.told_ms.set(now);
            let (number, of) = (step.number as u32, step.of as u32);
            self.outbox.send(Response::Step { job: self.job, step: number, of, t: step.t, elapsed_ms, pictures });
        }
        if now - self.gave_way_ms.get() >= Self::GIVE_WAY_EVERY_MS {
            TimeoutFuture::new(0).await;
            self.gave_way_ms.set(self.now_ms());
        }
    }

    fn is_cancelled(&self) -> bool {
        self.current_job.get() != self.job
    }
}

impl AnyEngine {
    async fn generate(&self, settings: &Settings, seeds: &[u64], host: &JobHost) -> Result<Ending, Problem> {
        match self {
            AnyEngine::WebGpu(engine) => engine.generate(settings, seeds, host).await,
            AnyEngine::Cpu(engine) => engine.generate(settings, seeds, host).await,
        }
    }
}
