//! From a file of weights to a model: fetched or found in the store, checked, built, warmed up.

use std::cell::RefCell;

use gloo_timers::future::TimeoutFuture;
use vdm::weights::{Part, read_header, sha256_hex};

use super::backend::{self, AnyEngine};
use super::helpers::{Helpers, Spawn};
use super::outbox::Outbox;
use super::{download, store};
use crate::engine::Halt;
use crate::protocol::{Backend, BackendPreference, FileRequest, ModelInfo, Problem, Response, Source};

/// A loaded model.
pub(super) struct Loaded {
    pub(super) engine: AnyEngine,
    pub(super) helpers: Helpers,
    file: File,
    backend: Backend,
    /// How long the GPU may take for a step.
    pub(super) patience_ms: u32,
    /// The encoder's file, until it is loaded.
    encoder: RefCell<Option<FileRequest>>,
}

/// A file of weights.
struct File {
    name: String,
    bytes: u64,
    sha256: String,
    from_store: bool,
    /// Whether the browser's store has it.
    kept: bool,
}

/// Chooses the backend and loads the first model.
///
/// # Errors
/// WebGPU is required and missing, or as [`load_other`].
pub(super) async fn load_first(
    source: Source,
    preference: BackendPreference,
    spawn: Spawn,
    outbox: &Outbox,
) -> Result<Loaded, Halt> {
    // Before the download: if WebGPU is required and missing, nothing is fetched.
    let backend = backend::choose(preference).await?;
    load(source, backend, backend::patience_ms(preference), spawn, outbox, &|| false).await
}

/// Loads other weights onto the same backend, beside those that are in use.
///
/// # Errors
/// The job is cancelled, a file cannot be fetched or does not fit, or the device fails.
pub(super) async fn load_other(
    source: Source,
    present: &Loaded,
    outbox: &Outbox,
    is_cancelled: &dyn Fn() -> bool,
) -> Result<Loaded, Halt> {
    load(source, present.backend.clone(), present.patience_ms, present.helpers.spawn.clone(), outbox, is_cancelled)
        .await
}

async fn load(
    source: Source,
    backend: Backend,
    patience_ms: u32,
    spawn: Spawn,
    outbox: &Outbox,
    is_cancelled: &dyn Fn() -> bool,
) -> Result<Loaded, Halt> {
    let mut sampling = None;
    let mut encoder = None;
    for request in &source.files {
        let (file, bytes) = fetch(request, outbox, is_cancelled).await?;
        // A user may give both files of a model, in any order.
        match read_header(&bytes).map(|header| header.part) {
            Ok(Part::Encoder) if source.files.len() > 1 => encoder = Some((file, bytes)),
            _ => sampling = Some((file, bytes)),
        }
    }
    let Some((file, bytes)) = sampling else {
        return Err(Problem::Settings { detail: "no file of weights was given".into() }.into());
    };
    outbox.send(Response::Preparing);
    yield_now(is_cancelled).await?;
    let engine = AnyEngine::load(backend.kind, &bytes, patience_ms).await?.map_err(|error| bad(&file.name, &error))?;
    drop(bytes);
    if let Some((of, bytes)) = encoder {
        engine.load_encoder(&bytes, &file.sha256).map_err(|error| bad(&of.name, &error))?;
    }
    yield_now(is_cancelled).await?;
    engine.warm_up(patience_ms).await?;
    yield_now(is_cancelled).await?;
    let helpers = Helpers::new(&source, spawn);
    Ok(Loaded { engine, helpers, file, backend, patience_ms, encoder: RefCell::new(source.encoder) })
}

/// Lets messages in and out before the worker is busy again.
async fn yield_now(is_cancelled: &dyn Fn() -> bool) -> Result<(), Halt> {
    TimeoutFuture::new(0).await;
    if is_cancelled() { Err(Halt::Stopped { step: 0 }) } else { Ok(()) }
}

/// The bytes of a file, of the requested size and hash.
async fn fetch(
    request: &FileRequest,
    outbox: &Outbox,
    is_cancelled: &dyn Fn() -> bool,
) -> Result<(File, Vec<u8>), Halt> {
    let (name, bytes) = (request.name.clone(), request.bytes);
    let file = |sha256, from_store, kept| File { name, bytes, sha256, from_store, kept };
    if let Some(sha256) = &request.sha256
        && !request.fresh
        && let Some(bytes) = store::find(sha256).await
    {
        if sha256_hex(&bytes) == *sha256 {
            return Ok((file(sha256.clone(), true, true), bytes));
        }
        store::drop_one(sha256).await;
    }
    let total = request.bytes;
    let progress = |received| outbox.send(Response::Progress { received, total });
    let bytes = download::fetch(request, is_cancelled, progress).await?;
    let actual = sha256_hex(&bytes);
    let mut kept = false;
    if let Some(expected) = &request.sha256 {
        if actual != *expected {
            let (file, expected) = (request.name.clone(), expected.clone());
            return Err(Problem::WrongHash { file, expected, actual }.into());
        }
        kept = store::keep(expected, &bytes).await;
    }
    Ok((file(actual, false, kept), bytes))
}

fn bad(file: &str, error: &vdm::error::WeightsError) -> Problem {
    Problem::BadWeights { file: file.to_owned(), detail: error.to_string() }
}

impl Loaded {
    /// Fetches and loads the encoder, unless it is there.
    ///
    /// # Errors
    /// The job is cancelled, there is no encoder, or its file cannot be fetched or does not fit.
    pub(super) async fn fetch_encoder(&self, outbox: &Outbox, is_cancelled: &dyn Fn() -> bool) -> Result<(), Halt> {
        if self.engine.has_encoder() {
            return Ok(());
        }
        let request = self.encoder.borrow().clone().ok_or(Problem::NoEncoder)?;
        let (_, bytes) = fetch(&request, outbox, is_cancelled).await?;
        outbox.send(Response::Preparing);
        yield_now(is_cancelled).await?;
        self.engine.load_encoder(&bytes, &self.file.sha256).map_err(|error| bad(&request.name, &error))?;
        *self.encoder.borrow_mut() = None;
        Ok(())
    }

    pub(super) fn info(&self) -> ModelInfo {
        let header = self.engine.header();
        ModelInfo {
            file: self.file.name.clone(),
            sha256: self.file.sha256.clone(),
            bytes: self.file.bytes,
            parameters: header.parameters() as u64,
            config: header.config.clone(),
            provenance: header.provenance.clone(),
            schedule: self.engine.schedule().clone(),
            has_encoder: self.engine.has_encoder() || self.encoder.borrow().is_some(),
            from_store: self.file.from_store,
            kept: self.file.kept,
            backend: self.backend.clone(),
        }
    }
}
