//! The page in a real Chromium, and its images beside the trainer's.

use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use tests::browser::{Browser, Gpu, skipped};
use tests::programs::{dist, run_trainer};
use tests::site::{Answer, Site};
use tokio::sync::{Mutex, MutexGuard};
use vdm::image::{DIGITAL_SOURCE_TYPE, LABEL};

/// One browser at a time: on two cores, SwiftShader leaves nothing for a second.
static ONE_AT_A_TIME: Mutex<()> = Mutex::const_new(());

/// Fetching, checking and compiling shaders in software.
const TO_LOAD: Duration = Duration::from_secs(180);
/// A few steps in software.
const TO_SAMPLE: Duration = Duration::from_secs(300);
/// What needs no computing.
const SOON: Duration = Duration::from_secs(20);

struct Page {
    site: Site,
    browser: Browser,
    _turn: MutexGuard<'static, ()>,
}

impl Page {
    async fn new(gpu: Gpu) -> Self {
        let dist = dist();
        let turn = ONE_AT_A_TIME.lock().await;
        Self { site: Site::serve(&dist).await, browser: Browser::start(gpu).await, _turn: turn }
    }

    async fn open(&self, query: &str) {
        self.browser.open(&self.site.url(query)).await;
    }

    /// Opens the page and waits until it is ready to generate.
    async fn ready(gpu: Gpu, query: &str) -> Self {
        let page = Self::new(gpu).await;
        page.open(query).await;
        page.browser.wait_for_state("ready", TO_LOAD).await;
        page
    }

    /// Generates an image to the end.
    async fn generate(&self, seed: &str, steps: &str, sampler: &str) {
        let browser = &self.browser;
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

    /// Grey values of the picture on the screen.
    async fn pixels(&self) -> Vec<u8> {
        let script = "const canvas = document.querySelector('[data-testid=canvas]'); \
                      const data = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data; \
                      for (let i = 0; i < data.length; i += 4) { \
                          if (data[i] !== data[i + 1] || data[i] !== data[i + 2] || data[i + 3] !== 255) return null; \
                      } \
                      return Array.from(data.filter((_, i) => i % 4 === 0));";
        let values: Vec<u8> =
            serde_json::from_value(self.browser.evaluate(script).await).expect("an opaque grey picture");
        values
    }

    async fn manifest(&self) -> Value {
        serde_json::from_slice(&self.site.file("weights/manifest.json")).expect("JSON")
    }

    /// The file that the page opens with, from the root of the site.
    async fn weights(&self) -> String {
        let manifest = self.manifest().await;
        let models = manifest["models"].as_array().expect("models");
        let model = models.iter().find(|model| model["name"] == manifest["default"]).expect("the default");
        format!("weights/{}", model["sampling"]["file"].as_str().expect("a file"))
    }

    /// Fails if the page asked any other server than its own.
    async fn asked_nobody_else(&self) {
        let script = "return performance.getEntriesByType('resource').map(entry => entry.name) \
                      .filter(name => !name.startsWith(location.origin) && !name.startsWith('data:') \
                          && !name.startsWith('blob:'));";
        assert_eq!(self.browser.evaluate(script).await, serde_json::json!([]));
    }
}

/// The same image by the trainer on the CPU.
fn natively(weights: &Path, seed: &str, steps: &str, sampler: &str) -> Vec<u8> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let options = ["--seed", seed, "--steps", steps, "--sampler", sampler, "--out", "image.png"];
    let line = ["sample", "--device", "cpu", "--no-visible-label", "--weights"].into_iter();
    let line = line.chain([weights.to_str().expect("a plain path")]).chain(options);
    run_trainer(folder.path(), line).ok();
    image::open(folder.path().join("image.png")).expect("a picture").into_luma8().into_raw()
}

/// Compares pictures pixel by pixel, in grey levels.
fn assert_same(what: &str, browser: &[u8], native: &[u8], most: u8) {
    assert_eq!(browser.len(), native.len(), "{what}: size");
    let differences = || browser.iter().zip(native).map(|(a, b)| a.abs_diff(*b));
    let largest = differences().max().unwrap_or_default();
    let differing = differences().filter(|&d| d > 0).count();
    println!("{what}: {differing} of {} pixels differ, by at most {largest}", native.len());
    assert!(largest <= most, "{what}: a pixel differs by {largest} grey levels");
    let spread = native.iter().max().zip(native.iter().min()).map_or(0, |(high, low)| high - low);
    assert!(spread > 60, "{what}: the picture is flat, so that it proves nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_generates_on_the_cpu_what_the_trainer_draws() {
    if skipped() {
        return;
    }
    let page = Page::ready(Gpu::None, "").await;
    assert_eq!(page.browser.attribute("app", "data-backend").await, "cpu");
    assert!(page.browser.text("backend-reason").await.len() > 10, "says why it is the CPU");
    let weights = dist().join(page.weights().await);
    for (sampler, seed, steps) in
        [("dpmpp-2m", "7", "12"), ("ddim", "18446744073709551615", "5"), ("ancestral", "42", "7")]
    {
        page.generate(seed, steps, sampler).await;
        // The same operations in float32; matrix products add in another order on another SIMD width, which moves a
        // value that lies between two grey levels to the other one.
        assert_same(sampler, &page.pixels().await, &natively(&weights, seed, steps, sampler), 1);
    }
    page.asked_nobody_else().await;
    page.browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_generates_on_webgpu_what_the_trainer_draws() {
    if skipped() {
        return;
    }
    let page = Page::ready(Gpu::SwiftShader, "").await;
    assert_eq!(
        page.browser.attribute("app", "data-backend").await,
        "webgpu",
        "{}",
        page.browser.text("backend-reason").await
    );
    let weights = dist().join(page.weights().await);
    for (sampler, seed, steps) in [("dpmpp-2m", "7", "5"), ("ancestral", "3", "3")] {
        page.generate(seed, steps, sampler).await;
        // As on the CPU, with a GPU's exponentials, which WGSL allows some units in the last place.
        assert_same(sampler, &page.pixels().await, &natively(&weights, seed, steps, sampler), 2);
    }
    assert!(page.browser.text("warning").await.to_lowercase().contains("not for diagnosis"));
    page.asked_nobody_else().await;
    if let Some(path) = std::env::var_os("VDM_SCREENSHOT") {
        std::fs::write(path, page.browser.screenshot().await).expect("a screenshot is written");
    }
    page.browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn generating_can_be_cancelled_and_the_page_stays_responsive() {
    if skipped() {
        return;
    }
    let page = Page::ready(Gpu::None, "?backend=cpu").await;
    let browser = &page.browser;
    // The longest time between two ticks of the page's own thread.
    let watch = "window.longest = 0; let last = performance.now(); \
                 setInterval(() => { const now = performance.now(); \
                     window.longest = Math.max(window.longest, now - last); last = now; }, 10);";
    browser.evaluate(watch).await;
    browser.type_into("seed", "1").await;
    browser.type_into("steps", "1000").await;
    browser.click("generate").await;
    browser.wait_for_state("sampling", SOON).await;
    let step = || async { browser.text("step").await };
    while ["–", "0 / 1000"].contains(&step().await.as_str()) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    browser.click("cancel").await;
    browser.wait_for_state("ready", SOON).await;
    assert!(browser.text("notice").await.contains("of 1000"), "{}", browser.text("notice").await);
    // Nothing on the page itself takes long; the rest is for two cores that also run the engine and the driver.
    let longest = browser.evaluate("return window.longest").await.as_f64().expect("a time");
    assert!(longest < 500.0, "the page stood still for {longest} ms");
    // It is ready for the next.
    page.generate("2", "3", "ddim").await;
    page.browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn loading_shows_how_far_it_is() {
    if skipped() {
        return;
    }
    let page = Page::new(Gpu::None).await;
    page.site.answer(&page.weights().await, Answer::Slowly(Duration::from_millis(300)));
    page.open("").await;
    let mut seen = Vec::new();
    while page.browser.attribute("app", "data-state").await == "loading" {
        let status = page.browser.text("status").await;
        if status.contains("MB of") && seen.last() != Some(&status) {
            seen.push(status);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    page.browser.wait_for_state("ready", TO_LOAD).await;
    assert!(seen.len() >= 3, "bytes of bytes, again and again: {seen:?}");
    page.browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn weights_that_are_not_as_they_should_be_are_refused_readably() {
    if skipped() {
        return;
    }
    let page = Page::new(Gpu::None).await;
    let weights = page.weights().await;
    let whole = page.site.file(&weights);
    let mut flipped = whole.clone();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 1;
    let short = whole[..whole.len() - 1000].to_vec();
    let long = [whole.as_slice(), b"more"].concat();
    let html = b"<!doctype html><p>Not found".to_vec();
    let cases = [
        ("one bit flipped", weights.as_str(), Answer::Bytes(flipped), "wrong-hash"),
        ("cut short", &weights, Answer::Bytes(short), "wrong-size"),
        ("too long", &weights, Answer::Bytes(long), "wrong-size"),
        ("a web page", &weights, Answer::Bytes(html.clone()), "wrong-size"),
        ("missing", &weights, Answer::Missing, "http-status"),
        ("no list", "weights/manifest.json", Answer::Missing, "manifest"),
        ("a broken list", "weights/manifest.json", Answer::Bytes(html), "manifest"),
    ];
    for (case, file, answer, kind) in cases {
        page.site.heal();
        page.site.answer(file, answer);
        page.open("").await;
        let started = std::time::Instant::now();
        while page.browser.attribute("app", "data-state").await != "failed" {
            assert!(started.elapsed() < TO_LOAD, "{case}: the page does not say that it failed");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert_eq!(page.browser.attribute("app", "data-error").await, kind, "{case}");
        let says = page.browser.text("error").await;
        let name = file.rsplit('/').next().unwrap_or(file);
        assert!(says.contains(name) && says.len() > 40, "{case}: {says}");
        // No way to generate with such a file.
        assert_eq!(page.browser.attribute("generate", "aria-disabled").await, "true", "{case}");
        // And a way on, once the file is whole.
        page.site.heal();
        page.browser.click("retry").await;
        page.browser.wait_for_state("ready", TO_LOAD).await;
    }
    page.generate("1", "2", "ddim").await;
    page.browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn weights_of_another_kind_are_refused_by_their_content() {
    if skipped() {
        return;
    }
    // Of the right size and hash: whoever runs a site put the wrong file there.
    let page = Page::new(Gpu::None).await;
    let weights = page.weights().await;
    let mut bytes = page.site.file(&weights);
    let end = bytes.len();
    // NaN in half precision, and not a number in single precision either.
    bytes[end - 4..].copy_from_slice(&[0xff, 0x7f, 0xff, 0x7f]);
    let mut manifest = page.manifest().await;
    let default = manifest["default"].clone();
    for model in manifest["models"].as_array_mut().expect("models") {
        if model["name"] == default {
            model["sampling"]["sha256"] = vdm::weights::sha256_hex(&bytes).into();
        }
    }
    page.site.answer(&weights, Answer::Bytes(bytes));
    page.site.answer("weights/manifest.json", Answer::Bytes(manifest.to_string().into_bytes()));
    page.open("").await;
    let started = std::time::Instant::now();
    while page.browser.attribute("app", "data-state").await != "failed" {
        assert!(started.elapsed() < TO_LOAD, "the page does not say that it failed");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let says = page.browser.text("error").await;
    assert_eq!(page.browser.attribute("app", "data-error").await, "bad-weights", "{says}");
    assert!(says.contains("NaN"), "{says}");
    page.browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_saved_picture_is_whole_and_says_that_it_is_synthetic() {
    if skipped() {
        return;
    }
    let page = Page::ready(Gpu::None, "").await;
    assert_eq!(page.browser.attribute("save", "aria-disabled").await, "true", "there is nothing to save yet");
    page.generate("123", "4", "dpmpp-2m").await;
    let shown = page.pixels().await;
    page.browser.click("save").await;
    let path = page.browser.downloaded("synthetic-xray-seed123.png").await;
    let saved = image::open(&path).expect("a PNG").into_luma8();
    assert_eq!(saved.dimensions(), (256, 256));
    // The picture on the screen, but for the label in the lowest rows.
    let rows = 256 * 240;
    assert_eq!(saved.as_raw()[..rows], shown[..rows]);
    assert_ne!(saved.as_raw()[rows..], shown[rows..], "the label is in the picture");
    assert!(saved.as_raw()[rows..].contains(&255));

    let file = std::io::BufReader::new(std::fs::File::open(&path).expect("a file"));
    let reader = png::Decoder::new(file).read_info().expect("a PNG");
    let texts: Vec<(String, String)> =
        reader.info().utf8_text.iter().map(|text| (text.keyword.clone(), text.get_text().expect("text"))).collect();
    let text = |key: &str| texts.iter().find(|(k, _)| k == key).map(|(_, text)| text.clone()).unwrap_or_default();
    assert_eq!(text("Title"), LABEL);
    assert!(text("Software").contains("medical-vdm"));
    assert!(text("XML:com.adobe.xmp").contains(DIGITAL_SOURCE_TYPE));
    let hash = vdm::weights::sha256_hex(&page.site.file(&page.weights().await));
    for part in ["seed=123", "steps=4", "sampler=dpmpp-2m", hash.as_str()] {
        assert!(text("Description").contains(part), "nothing of {part} in {}", text("Description"));
    }
    page.browser.close().await;
}
