//! The built page, served and opened in a browser, with the steps that its tests share.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::sync::{Mutex, MutexGuard};

use crate::browser::{Browser, Engine, Gpu};
use crate::programs::{dist, run_trainer};
use crate::site::{Answer, Site};

/// One browser at a time: SwiftShader takes two cores by itself.
static ONE_AT_A_TIME: Mutex<()> = Mutex::const_new(());

/// Fetching, checking and compiling shaders in software.
pub const TO_LOAD: Duration = Duration::from_secs(180);
/// A few steps in software.
pub const TO_SAMPLE: Duration = Duration::from_secs(300);
/// What needs no computing.
pub const SOON: Duration = Duration::from_secs(20);

const MANIFEST: &str = "weights/manifest.json";
const WORKER: &str = "sw.js";
/// The model that takes the least time for an image.
pub const QUICKEST: &str = "paper";

/// A page that is served, and a browser to open it.
pub struct Page {
    /// The server.
    pub site: Site,
    /// The browser.
    pub browser: Browser,
    gpu: Gpu,
    _turn: MutexGuard<'static, ()>,
}

impl Page {
    /// A served page that is not open yet. It opens with the quickest model, so that tests that are not about models
    /// take seconds in software too.
    pub async fn new(gpu: Gpu) -> Self {
        let page = Self::as_it_is(gpu).await;
        page.opens_with(QUICKEST);
        page
    }

    /// A served page that is not open yet, exactly as it is built.
    pub async fn as_it_is(gpu: Gpu) -> Self {
        Self::of(Engine::Chromium(gpu)).await
    }

    /// The same in any engine.
    pub async fn of(engine: Engine) -> Self {
        let dist = dist();
        let turn = ONE_AT_A_TIME.lock().await;
        let gpu = if let Engine::Chromium(gpu) = engine { gpu } else { Gpu::None };
        Self { site: Site::serve(&dist).await, browser: Browser::start(engine).await, gpu, _turn: turn }
    }

    /// Lets the worker run a piece of JavaScript before its own.
    pub fn patch_worker(&self, script: &str) {
        // Imports run before everything else in a module: a static one would come before the patch.
        let loader = format!("{script}; const worker = await import('./worker.js'); await worker.default();");
        self.site.answer("worker_loader.js", Answer::Bytes(loader.into_bytes()));
    }

    /// Lets the page open with this model.
    pub fn opens_with(&self, model: &str) {
        let mut manifest = self.manifest();
        manifest["default"] = model.into();
        let bytes = manifest.to_string().into_bytes();
        // The service worker takes files by their hashes only.
        let [before, now] = [self.site.file(MANIFEST), bytes.clone()].map(|bytes| vdm::weights::sha256_hex(&bytes));
        let worker = String::from_utf8(self.site.file(WORKER)).expect("text");
        self.site.replace(WORKER, worker.replace(&before, &now).into_bytes());
        self.site.replace(MANIFEST, bytes);
    }

    /// The names of the models.
    pub fn models(&self) -> Vec<String> {
        let name = |model: &Value| model["name"].as_str().expect("a name").to_owned();
        self.manifest()["models"].as_array().expect("models").iter().map(name).collect()
    }

    /// Opens the page with a query and a view, such as `?backend=cpu#about`.
    pub async fn open(&self, query: &str) {
        // A GPU in software is passed over unless the address asks for it.
        let asked = match (self.gpu, query.is_empty()) {
            (Gpu::SwiftShader, true) => "?backend=webgpu".to_owned(),
            (Gpu::SwiftShader, false) if !query.contains("backend=") => query.replacen('?', "?backend=webgpu&", 1),
            _ => query.to_owned(),
        };
        self.browser.open(&self.site.url(&asked)).await;
    }

    /// Opens the page, which draws nothing by itself, and waits until it is ready to draw.
    pub async fn ready(gpu: Gpu, query: &str) -> Self {
        let page = Self::new(gpu).await;
        let rest = query.strip_prefix('?').map(|rest| format!("&{rest}")).unwrap_or_default();
        page.open(&format!("?draw=no{rest}")).await;
        page.browser.wait_for_state("ready", TO_LOAD).await;
        page
    }

    /// Goes to a view by the navigation.
    pub async fn go(&self, view: &str) {
        let link = format!("nav-{view}");
        if !self.browser.has(&link).await {
            // A chapter of the story.
            self.browser.click("nav-story").await;
        }
        self.browser.click(&link).await;
        self.browser.wait_for_attribute("app", "data-view", view, SOON).await;
    }

    /// Generates an image to the end.
    pub async fn generate(&self, seed: &str, steps: &str, sampler: &str) {
        let browser = &self.browser;
        browser.unfold("more").await;
        browser.type_into("seed", seed).await;
        browser.type_into("steps", steps).await;
        browser.select("sampler", sampler).await;
        browser.click("generate").await;
        // The state alone could still be the last image's.
        browser.wait_for_text("status", &format!("Done: seed {seed}, {steps} steps"), TO_SAMPLE).await;
        assert_eq!(browser.attribute("app", "data-state").await, "done");
        assert_eq!(browser.attribute("canvas", "data-finished").await, "true");
        assert_eq!(browser.text("step").await, format!("{steps} / {steps}"));
    }

    /// Measures the model's speed beside a matrix product's, in the view of diagnostics.
    pub async fn speeds(&self) -> Vec<String> {
        self.browser.click("measure-speed").await;
        self.browser.wait_for_text("diagnostics", "an image in 40 steps", TO_LOAD).await;
        let text = self.browser.text("diagnostics").await;
        text.lines().filter(|line| line.contains("GFLOP/s")).map(Into::into).collect()
    }

    /// Grey values of a canvas.
    pub async fn pixels(&self, canvas: &str) -> Vec<u8> {
        let script = format!(
            "const canvas = document.querySelector('[data-testid=\"{canvas}\"]'); \
             const data = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data; \
             for (let i = 0; i < data.length; i += 4) {{ \
                 if (data[i] !== data[i + 1] || data[i] !== data[i + 2] || data[i + 3] !== 255) return null; \
             }} \
             return Array.from(data.filter((_, i) => i % 4 === 0));"
        );
        let value = self.browser.evaluate(&script).await;
        serde_json::from_value(value).unwrap_or_else(|e| panic!("{canvas} is no opaque grey picture: {e}"))
    }

    /// The list of weights.
    pub fn manifest(&self) -> Value {
        serde_json::from_slice(&self.site.file(MANIFEST)).expect("JSON")
    }

    /// A file of the model that the page opens with, from the root of the site: `sampling` or `encoder`.
    pub fn weights(&self, part: &str) -> String {
        let manifest = self.manifest();
        let models = manifest["models"].as_array().expect("models");
        let model = models.iter().find(|model| model["name"] == manifest["default"]).expect("the default");
        format!("weights/{}", model[part]["file"].as_str().expect("a file"))
    }

    /// The path of the weights that the page opens with.
    pub fn weights_path(&self) -> PathBuf {
        dist().join(self.weights("sampling"))
    }

    /// Waits until the page failed; gives the kind of the failure and what the page says.
    pub async fn failure(&self) -> (String, String) {
        let started = Instant::now();
        while self.browser.attribute("app", "data-state").await != "failed" {
            assert!(started.elapsed() < TO_LOAD, "the page does not say that it failed");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        (self.browser.attribute("app", "data-error").await, self.browser.text("error").await)
    }

    /// Empties the stores of files: neither the service worker nor the weights' own stands between the page and its server.
    pub async fn forget_files(&self) {
        let emptied = "for (const name of await caches.keys()) await caches.delete(name); return true";
        self.browser.wait_until(emptied, SOON).await;
    }

    /// Fails if the page asked another server, or broke its Content-Security-Policy.
    pub async fn asked_nobody_else(&self) {
        let script = "return performance.getEntriesByType('resource').map(entry => entry.name) \
                      .filter(name => !name.startsWith(location.origin) && !name.startsWith('data:') \
                          && !name.startsWith('blob:'));";
        assert_eq!(self.browser.evaluate(script).await, serde_json::json!([]));
        let refused = self.browser.console().await.into_iter().filter(|line| line.contains("Content Security Policy"));
        assert_eq!(refused.collect::<Vec<_>>(), Vec::<String>::new());
    }
}

/// The same image by the trainer on the CPU, with its label.
pub fn natively(weights: &Path, seed: &str, steps: &str, sampler: &str) -> Vec<u8> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let options = ["--seed", seed, "--steps", steps, "--sampler", sampler, "--out", "image.png"];
    let line = ["sample", "--device", "cpu", "--weights"].into_iter();
    let line = line.chain([weights.to_str().expect("a plain path")]).chain(options);
    run_trainer(folder.path(), line).ok();
    image::open(folder.path().join("image.png")).expect("a picture").into_luma8().into_raw()
}

/// Compares pictures pixel by pixel, in grey levels.
pub fn assert_same(what: &str, browser: &[u8], native: &[u8], most: u8) {
    assert_eq!(browser.len(), native.len(), "{what}: size");
    let differences = || browser.iter().zip(native).map(|(a, b)| a.abs_diff(*b));
    let largest = differences().max().unwrap_or_default();
    let differing = differences().filter(|&d| d > 0).count();
    println!("{what}: {differing} of {} pixels differ, by at most {largest}", native.len());
    assert!(largest <= most, "{what}: a pixel differs by {largest} grey levels");
    // The label is black and white: the picture above it.
    let above = &native[..native.len() * 9 / 10];
    let spread = above.iter().max().zip(above.iter().min()).map_or(0, |(high, low)| high - low);
    assert!(spread > 60, "{what}: the picture is flat, so that it proves nothing");
}
