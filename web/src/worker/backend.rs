//! The choice between WebGPU and the CPU: the only place that names backends.

use std::cell::Cell;
use std::sync::Arc;

use burn::backend::WebGpu;
use burn::backend::wgpu::graphics::WebGpu as WebGpuApi;
use burn::backend::wgpu::{RuntimeOptions, WgpuDevice, init_setup_async};
use burn_flex::{Flex, FlexDevice};
use js_sys::{Function, Object, Promise, Reflect};
use vdm::diffusion::schedule::NoiseSchedule;
use vdm::error::WeightsError;
use vdm::weights::Header;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;

use super::guard;
use crate::engine::{Engine, Halt, Host};
use crate::protocol::{Backend, BackendKind, BackendPreference, BackendReason, Outcome, Picture, Problem, Run, Task};

/// How long a browser may take to answer whether it has a GPU.
const PROBE_TIMEOUT_MS: u32 = 10_000;

/// How long a GPU may take for its device, for the first use of its kernels, and for a step, before the CPU takes over.
const PATIENCE_MS: u32 = 15_000;
/// The same where the address asks for the GPU: one in software takes minutes.
const PATIENCE_IF_ASKED_MS: u32 = 300_000;
/// What the names of GPUs in software contain.
const SOFTWARE: [&str; 5] = ["swiftshader", "llvmpipe", "lavapipe", "softpipe", "basic render"];

/// The time that a GPU may take.
pub(crate) fn patience_ms(preference: BackendPreference) -> u32 {
    if preference == BackendPreference::WebGpu { PATIENCE_IF_ASKED_MS } else { PATIENCE_MS }
}

/// What a GPU gives within its time.
async fn in_time<T>(patience_ms: u32, work: impl Future<Output = T>) -> Result<T, Problem> {
    guard::within(patience_ms, work).await.ok_or(Problem::GpuSilent { seconds: patience_ms / 1000 })
}

/// A GPU that fails without a word gives zeros.
fn not_flat(pictures: Vec<Picture>) -> Result<Vec<Picture>, Problem> {
    if pictures.iter().any(Picture::is_flat) { Err(Problem::GpuFlat) } else { Ok(pictures) }
}

/// The model on the chosen backend.
pub(crate) enum AnyEngine {
    WebGpu(Box<Engine<WebGpu>>),
    Cpu(Box<Engine<Flex>>),
}

impl AnyEngine {
    /// Builds the model.
    pub(crate) async fn load(
        kind: BackendKind,
        bytes: &[u8],
        patience_ms: u32,
    ) -> Result<Result<Self, WeightsError>, Problem> {
        Ok(match kind {
            BackendKind::WebGpu => {
                let device = in_time(patience_ms, set_up_gpu()).await?;
                let engine = in_time(patience_ms, Engine::load(bytes, device)).await?;
                engine.map(|engine| AnyEngine::WebGpu(Box::new(engine)))
            }
            BackendKind::Cpu => {
                let engine = Engine::load(bytes, FlexDevice).await;
                engine.map(|engine| AnyEngine::Cpu(Box::new(engine.with_images_apart())))
            }
        })
    }

    pub(crate) async fn warm_up(&self, patience_ms: u32) -> Result<(), Problem> {
        match self {
            AnyEngine::WebGpu(engine) => not_flat(in_time(patience_ms, engine.warm_up()).await??).map(drop),
            AnyEngine::Cpu(engine) => engine.warm_up().await.map(drop),
        }
    }

    /// Whether it runs on the GPU.
    pub(crate) fn is_on_gpu(&self) -> bool {
        matches!(self, AnyEngine::WebGpu(_))
    }

    /// Does a task.
    pub(crate) async fn perform(&self, task: &Task, host: &impl Host) -> Result<Outcome, Halt> {
        match self {
            AnyEngine::WebGpu(engine) => match engine.perform(task, host).await? {
                Outcome::Pictures(pictures) => Ok(Outcome::Pictures(not_flat(pictures)?)),
                outcome => Ok(outcome),
            },
            AnyEngine::Cpu(engine) => engine.perform(task, host).await,
        }
    }

    /// Whether several workers may share the images of a run.
    pub(crate) fn can_share(&self, run: &Run) -> bool {
        matches!(self, AnyEngine::Cpu(engine) if engine.can_share(run))
    }

    pub(crate) fn load_encoder(&self, bytes: &[u8], sampling_sha256: &str) -> Result<(), WeightsError> {
        match self {
            AnyEngine::WebGpu(engine) => engine.load_encoder(bytes, sampling_sha256),
            AnyEngine::Cpu(engine) => engine.load_encoder(bytes, sampling_sha256),
        }
    }

    pub(crate) fn has_encoder(&self) -> bool {
        match self {
            AnyEngine::WebGpu(engine) => engine.has_encoder(),
            AnyEngine::Cpu(engine) => engine.has_encoder(),
        }
    }

    pub(crate) fn schedule(&self) -> &NoiseSchedule {
        match self {
            AnyEngine::WebGpu(engine) => engine.schedule(),
            AnyEngine::Cpu(engine) => engine.schedule(),
        }
    }

    pub(crate) fn header(&self) -> &Header {
        match self {
            AnyEngine::WebGpu(engine) => engine.header(),
            AnyEngine::Cpu(engine) => engine.header(),
        }
    }
}

/// Where the model runs, and why.
pub(crate) async fn choose(preference: BackendPreference) -> Result<Backend, Problem> {
    let cpu = |reason| Backend { kind: BackendKind::Cpu, reason };
    match preference {
        BackendPreference::Cpu => return Ok(cpu(BackendReason::Requested)),
        BackendPreference::CpuAfterGpuFailure => return Ok(cpu(BackendReason::GpuFailed)),
        BackendPreference::Auto | BackendPreference::WebGpu => {}
    }
    match probe(preference == BackendPreference::WebGpu).await {
        Ok(adapter) => Ok(Backend { kind: BackendKind::WebGpu, reason: BackendReason::GpuFound { adapter } }),
        Err(reason) if preference == BackendPreference::WebGpu => Err(Problem::GpuUnavailable(reason)),
        Err(reason) => Ok(cpu(reason)),
    }
}

/// The name of the GPU, if the model can run on it; one in software counts only if it `is_asked` for.
async fn probe(is_asked: bool) -> Result<String, BackendReason> {
    let failed = |error: JsValue| BackendReason::ProbeFailed { detail: guard::describe(&error) };
    // WebGPU is not in the stable interface of web-sys: these few properties are read by name.
    let navigator = property(&js_sys::global(), "navigator").ok_or(BackendReason::NoWebGpu)?;
    let gpu = property(&navigator, "gpu").ok_or(BackendReason::NoWebGpu)?;
    let options = Object::new();
    Reflect::set(&options, &"powerPreference".into(), &"high-performance".into()).map_err(failed)?;
    let request = method(&gpu, "requestAdapter").ok_or(BackendReason::NoWebGpu)?;
    let promise: Promise = request.call1(&gpu, &options).and_then(JsCast::dyn_into).map_err(failed)?;
    let Some(answer) = guard::within(PROBE_TIMEOUT_MS, JsFuture::from(promise)).await else {
        let detail = format!("no answer in {} s", PROBE_TIMEOUT_MS / 1000);
        return Err(BackendReason::ProbeFailed { detail });
    };
    let adapter = answer.map_err(failed)?;
    if adapter.is_null() || adapter.is_undefined() {
        return Err(BackendReason::NoAdapter);
    }
    let features = property(&adapter, "features").ok_or(BackendReason::NoTimestampQuery)?;
    let has = method(&features, "has").ok_or(BackendReason::NoTimestampQuery)?;
    // Without it, CubeCL panics at the first tensor.
    if !has.call1(&features, &"timestamp-query".into()).is_ok_and(|found| found.is_truthy()) {
        return Err(BackendReason::NoTimestampQuery);
    }
    let info = property(&adapter, "info");
    let words = ["vendor", "architecture", "description"]
        .iter()
        .filter_map(|key| property(info.as_ref()?, key)?.as_string())
        .filter(|word| !word.is_empty());
    let name = words.collect::<Vec<_>>().join(", ");
    let falls_back = [info.as_ref(), Some(&adapter)].into_iter().flatten();
    let falls_back = falls_back.filter_map(|of| property(of, "isFallbackAdapter")).any(|value| value.is_truthy());
    let lower = name.to_lowercase();
    if !is_asked && (falls_back || SOFTWARE.iter().any(|part| lower.contains(part))) {
        return Err(BackendReason::SoftwareGpu { adapter: name });
    }
    Ok(name)
}

/// The device. It is set up once per worker: a second time panics.
async fn set_up_gpu() -> WgpuDevice {
    thread_local! {
        static IS_SET_UP: Cell<bool> = const { Cell::new(false) };
    }
    let device = WgpuDevice::default();
    if IS_SET_UP.replace(true) {
        return device;
    }
    let setup = init_setup_async::<WebGpuApi>(&device, RuntimeOptions::default()).await;
    setup.device.set_device_lost_callback(|reason, message| {
        guard::fatal(Problem::GpuLost { detail: format!("{message} ({reason:?})") });
    });
    setup.device.on_uncaptured_error(Arc::new(|error| {
        // Burn does not export the kinds of error, but the text names them.
        let detail = error.to_string();
        guard::fatal(if detail.to_lowercase().contains("memory") {
            Problem::OutOfMemory { detail: format!("The GPU says: {detail}") }
        } else {
            Problem::GpuError { detail }
        });
    }));
    device
}

pub(super) fn property(object: &JsValue, name: &str) -> Option<JsValue> {
    Reflect::get(object, &name.into()).ok().filter(|value| !value.is_undefined() && !value.is_null())
}

fn method(object: &JsValue, name: &str) -> Option<Function> {
    property(object, name)?.dyn_into().ok()
}
