//! A static server of the built page, which can serve chosen files wrongly.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Redirect, Response};

/// Not at the root of the server: the page must find its files from any folder.
const FOLDER: &str = "/some/folder/";

/// A policy that a server might add to the page's own, which is stricter.
const POLICY: &str = "default-src 'self' data: blob: 'unsafe-inline' 'wasm-unsafe-eval'; frame-ancestors 'none'";

/// How a file is served instead of whole and at once.
#[derive(Clone, Debug)]
pub enum Answer {
    /// These bytes.
    Bytes(Vec<u8>),
    /// Not at all.
    Missing,
    /// Whole, as this media type.
    As(&'static str),
    /// Not now: with this status, this many times, then whole.
    Failing(u16, usize),
    /// Whole, in ten pieces with a pause before each.
    Slowly(Duration),
    /// So many bytes, and then the connection ends.
    Cut(usize),
    /// In another place of the site.
    Elsewhere(&'static str),
    /// Whole, with these headers in addition.
    With(&'static [(&'static str, &'static str)]),
}

#[derive(Debug)]
struct Shared {
    dist: PathBuf,
    replaced: Mutex<HashMap<String, Vec<u8>>>,
    answers: Mutex<HashMap<String, Answer>>,
    asked: Mutex<Vec<String>>,
    stopped: AtomicBool,
}

/// A running server; it ends with its runtime.
#[derive(Debug)]
pub struct Site {
    address: SocketAddr,
    shared: Arc<Shared>,
}

impl Site {
    /// Serves a built page.
    pub async fn serve(dist: &Path) -> Self {
        let index = dist.join("index.html");
        assert!(index.exists(), "{} is missing: `cargo xtask build` makes it", index.display());
        let shared = Arc::new(Shared {
            dist: dist.to_path_buf(),
            replaced: Mutex::default(),
            answers: Mutex::default(),
            asked: Mutex::default(),
            stopped: AtomicBool::new(false),
        });
        let router = Router::new().fallback(answer).with_state(Arc::clone(&shared));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { address, shared }
    }

    /// The page's address with a query, such as `?backend=cpu`.
    pub fn url(&self, query: &str) -> String {
        format!("http://{}{FOLDER}{query}", self.address)
    }

    /// Replaces a file of the page.
    pub fn replace(&self, file: &str, bytes: Vec<u8>) {
        self.shared.replaced.lock().expect("no test panicked here").insert(file.to_owned(), bytes);
    }

    /// Serves a file differently until `heal` is called.
    pub fn answer(&self, file: &str, answer: Answer) {
        self.shared.answers.lock().expect("no test panicked here").insert(file.to_owned(), answer);
    }

    /// Serves every file normally again.
    pub fn heal(&self) {
        self.shared.answers.lock().expect("no test panicked here").clear();
    }

    /// The files that were requested since the last call.
    pub fn asked(&self) -> Vec<String> {
        std::mem::take(&mut *self.shared.asked.lock().expect("no test panicked here"))
    }

    /// Simulates a network failure from now on: every connection is cut.
    pub fn stop(&self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
    }

    /// The bytes of a file of the page.
    pub fn file(&self, file: &str) -> Vec<u8> {
        self.shared.read(file).unwrap_or_else(|e| panic!("cannot read {file} of the page: {e}"))
    }
}

impl Shared {
    fn read(&self, file: &str) -> std::io::Result<Vec<u8>> {
        match self.replaced.lock().expect("no test panicked here").get(file) {
            Some(bytes) => Ok(bytes.clone()),
            None => std::fs::read(self.dist.join(file)),
        }
    }
}

async fn answer(State(shared): State<Arc<Shared>>, uri: Uri) -> Response {
    let Some(file) = uri.path().strip_prefix(FOLDER) else { return StatusCode::NOT_FOUND.into_response() };
    let file = if file.is_empty() { "index.html" } else { file };
    shared.asked.lock().expect("no test panicked here").push(file.to_owned());
    if shared.stopped.load(Ordering::SeqCst) {
        // A body that fails ends the connection.
        let broken = futures_util::stream::once(async { Err::<Vec<u8>, _>(std::io::Error::other("no network")) });
        return Body::from_stream(broken).into_response();
    }
    let path = Path::new(file);
    if !path.components().all(|part| matches!(part, Component::Normal(_))) {
        return StatusCode::NOT_FOUND.into_response();
    }
    let answer = shared.answers.lock().expect("no test panicked here").get(file).cloned();
    let mut kind = media_type(path);
    if let Some(Answer::As(other)) = answer {
        kind = other;
    }
    if let Some(Answer::Failing(status, times)) = answer
        && times > 0
    {
        shared
            .answers
            .lock()
            .expect("no test panicked here")
            .insert(file.to_owned(), Answer::Failing(status, times - 1));
        return StatusCode::from_u16(status).expect("a status").into_response();
    }
    let more = if let Some(Answer::With(more)) = answer { more } else { &[] };
    let body = match (answer, shared.read(file)) {
        (Some(Answer::Bytes(bytes)), _) => Body::from(bytes),
        (Some(Answer::Elsewhere(file)), _) => return Redirect::temporary(&format!("{FOLDER}{file}")).into_response(),
        (Some(Answer::Cut(length)), Ok(bytes)) => {
            let start = futures_util::stream::iter([Ok(bytes[..length].to_vec()), Err(std::io::Error::other("cut"))]);
            Body::from_stream(start)
        }
        (Some(Answer::Missing), _) | (_, Err(_)) => return StatusCode::NOT_FOUND.into_response(),
        (Some(Answer::Slowly(pause)), Ok(bytes)) => in_pieces(&bytes, pause),
        (None | Some(Answer::As(_) | Answer::Failing(..) | Answer::With(_)), Ok(bytes)) => Body::from(bytes),
    };
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(kind)),
        (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
    ];
    let mut response = (headers, body).into_response();
    for (name, value) in more {
        response.headers_mut().insert(*name, HeaderValue::from_static(value));
    }
    response
}

fn in_pieces(bytes: &[u8], pause: Duration) -> Body {
    let pieces: Vec<Vec<u8>> = bytes.chunks(bytes.len().div_ceil(10).max(1)).map(<[u8]>::to_vec).collect();
    let stream = futures_util::stream::unfold(pieces.into_iter(), move |mut pieces| async move {
        let piece = pieces.next()?;
        tokio::time::sleep(pause).await;
        Some((Ok::<_, std::io::Error>(piece), pieces))
    });
    Body::from_stream(stream)
}

fn media_type(path: &Path) -> &'static str {
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript",
        Some("wasm") => "application/wasm",
        Some("css") => "text/css",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("jpg") => "image/jpeg",
        Some("webmanifest") => "application/manifest+json",
        Some("json") => "application/json",
        _ => "application/octet-stream",
    }
}
