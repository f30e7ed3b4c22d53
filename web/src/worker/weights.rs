//! Weights on their way from a file to a model: fetched or found in the store, checked, built, warmed up.

use std::cell::RefCell;

use gloo_timers::future::TimeoutFuture;
use vdm::weights::{Part, read_header, sha256_hex};

use super::backend::{self, AnyEngine};
use super::outbox::Outbox;
use super::{download, store};
use crate::protocol::{Backend, BackendWish, FileRequest, ModelInfo, Problem, Response, Source};

/// A model that is ready.
pub(super) struct Loaded {
    pub(super) engine: AnyEngine,
    file: File,
    backend: Backend,
    /// Where the encoder is, until it is loaded.
    encoder: RefCell<Option<FileRequest>>,
}

/// A file and what is known of it.
struct File {
    name: String,
    bytes: u64,
    sha256: String,
    from_store: bool,
}

/// Chooses the backend and loads the first model.
pub(super) async fn load_first(source: Source, wish: BackendWish, outbox: &Outbox) -> Result<Loaded, Problem> {
    // Before the download: where WebGPU is asked for and missing, nothing needs to be fetched.
    let backend = backend::choose(wish).await?;
    load(source, backend, outbox).await
}

/// Loads other weights onto the same backend, beside those that are in use.
pub(super) async fn load_other(source: Source, present: &Loaded, outbox: &Outbox) -> Result<Loaded, Problem> {
    load(source, present.backend.clone(), outbox).await
}

async fn load(source: Source, backend: Backend, outbox: &Outbox) -> Result<Loaded, Problem> {
    let mut sampling = None;
    let mut encoder = None;
    for request in &source.files {
        let (file, bytes) = fetch(request, outbox).await?;
        // A user may give both files of a model, in any order.
        match read_header(&bytes).map(|header| header.part) {
            Ok(Part::Encoder) if source.files.len() > 1 => encoder = Some((file, bytes)),
            _ => sampling = Some((file, bytes)),
        }
    }
    let Some((file, bytes)) = sampling else {
        return Err(Problem::Settings { detail: "no file of weights was given".into() });
    };
    outbox.send(Response::Preparing);
    // Lets the page hear of it before the worker is busy.
    TimeoutFuture::new(0).await;
    let engine = AnyEngine::load(backend.kind, &bytes).await.map_err(|error| bad(&file.name, &error))?;
    drop(bytes);
    if let Some((of, bytes)) = encoder {
        engine.load_encoder(&bytes, &file.sha256).map_err(|error| bad(&of.name, &error))?;
    }
    engine.warm_up().await?;
    Ok(Loaded { engine, file, backend, encoder: RefCell::new(source.encoder) })
}

/// A file's bytes, of the size and the hash that were asked for.
async fn fetch(request: &FileRequest, outbox: &Outbox) -> Result<(File, Vec<u8>), Problem> {
    let file = |sha256, from_store| File { name: request.name.clone(), bytes: request.bytes, sha256, from_store };
    if let Some(sha256) = &request.sha256
        && !request.fresh
        && let Some(bytes) = store::find(sha256).await
    {
        if sha256_hex(&bytes) == *sha256 {
            return Ok((file(sha256.clone(), true), bytes));
        }
        store::drop_one(sha256).await;
    }
    let total = request.bytes;
    let bytes = download::fetch(request, |received| outbox.send(Response::Progress { received, total })).await?;
    let actual = sha256_hex(&bytes);
    if let Some(expected) = &request.sha256 {
        if actual != *expected {
            let (file, expected) = (request.name.clone(), expected.clone());
            return Err(Problem::WrongHash { file, expected, actual });
        }
        store::keep(expected, &bytes).await;
    }
    Ok((file(actual, false), bytes))
}

fn bad(file: &str, error: &vdm::error::WeightsError) -> Problem {
    Problem::BadWeights { file: file.to_owned(), detail: error.to_string() }
}

impl Loaded {
    /// Sees to it that the encoder is there.
    pub(super) async fn fetch_encoder(&self, outbox: &Outbox) -> Result<(), Problem> {
        if self.engine.has_encoder() {
            return Ok(());
        }
        let request = self.encoder.borrow().clone().ok_or(Problem::NoEncoder)?;
        let (_, bytes) = fetch(&request, outbox).await?;
        outbox.send(Response::Preparing);
        self.engine.load_encoder(&bytes, &self.file.sha256).map_err(|error| bad(&request.name, &error))?;
        *self.encoder.borrow_mut() = None;
        Ok(())
    }

    pub(super) fn info(&self) -> ModelInfo {
        let header = self.engine.header();
        let numbers = |shape: &[usize]| shape.iter().map(|&size| size as u64).product::<u64>();
        ModelInfo {
            file: self.file.name.clone(),
            sha256: self.file.sha256.clone(),
            bytes: self.file.bytes,
            parameters: header.tensors.iter().map(|tensor| numbers(&tensor.shape)).sum(),
            config: header.config.clone(),
            provenance: header.provenance.clone(),
            schedule: self.engine.schedule().clone(),
            has_encoder: self.engine.has_encoder() || self.encoder.borrow().is_some(),
            from_store: self.file.from_store,
            backend: self.backend.clone(),
        }
    }
}
