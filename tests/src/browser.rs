//! A real browser, driven over WebDriver: Chromium, headless, and for a few tests Firefox and WebKitGTK.

use std::ffi::OsString;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use axum::http::Method;
use fantoccini::wd::WebDriverCompatibleCommand;
use fantoccini::{Client, ClientBuilder, Locator, elements::Element};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use url::{ParseError, Url};

/// What the browser computes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gpu {
    /// WebGPU on SwiftShader, a GPU in software: correct, and slow.
    SwiftShader,
    /// No usable GPU, the default of headless Chromium.
    None,
}

/// What a page runs in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// Chromium.
    Chromium(Gpu),
    /// Firefox, headless, by geckodriver, which GECKODRIVER names.
    Firefox,
    /// WebKitGTK's MiniBrowser, by WebKitWebDriver, on a display in memory by Xvfb.
    WebKit,
}

/// A browser with one page; it ends when dropped.
#[derive(Debug)]
pub struct Browser {
    client: Client,
    session: Session,
    _driver: Child,
    _display: Option<Child>,
    profile: TempDir,
}

/// A session of the driver. Dropped with it, the browser ends too: the driver, killed, would leave it running.
#[derive(Debug)]
struct Session {
    port: u16,
    id: String,
}

impl Drop for Session {
    fn drop(&mut self) {
        let Ok(mut driver) = TcpStream::connect(("127.0.0.1", self.port)) else { return };
        let request = format!(
            "DELETE /session/{} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nConnection: close\r\n\r\n",
            self.id, self.port
        );
        // A browser that is gone already is no fault, and a test that ends is no place for another one.
        let _ = driver.set_read_timeout(Some(Duration::from_secs(10)));
        let _ = driver.write_all(request.as_bytes()).and_then(|()| driver.read_to_string(&mut String::new()));
    }
}

impl Browser {
    /// Starts a driver and a browser.
    pub async fn start(engine: Engine) -> Self {
        let profile = tempfile::tempdir().expect("a temporary folder");
        std::fs::create_dir(profile.path().join("downloads")).expect("a folder");
        let (driver, port, display, capabilities) = match engine {
            Engine::Chromium(gpu) => {
                let (driver, port) = start_driver().await;
                (driver, port, None, capabilities(gpu, profile.path()))
            }
            Engine::Firefox => {
                let program = std::env::var_os("GECKODRIVER").unwrap_or_else(|| "geckodriver".into());
                let (driver, port) = start_other_driver(Command::new(program)).await;
                let options = json!({ "moz:firefoxOptions": { "args": ["-headless"] } });
                (driver, port, None, options)
            }
            Engine::WebKit => {
                let (display, name) = start_display().await;
                let mut driver = Command::new("WebKitWebDriver");
                driver.env("DISPLAY", name);
                let (driver, port) = start_other_driver(driver).await;
                (driver, port, Some(display), json!({}))
            }
        };
        let Value::Object(capabilities) = capabilities else { unreachable!("capabilities are an object") };
        let client = ClientBuilder::new(HttpConnector::new())
            .capabilities(capabilities)
            .connect(&format!("http://127.0.0.1:{port}"))
            .await
            .unwrap_or_else(|e| panic!("{engine:?} does not start (CHROME names another Chromium): {e}"));
        client.set_window_size(1200, 1400).await.expect("a window");
        let id = client.session_id().await.expect("the driver answers").expect("a session");
        Self { client, session: Session { port, id }, _driver: driver, _display: display, profile }
    }

    /// Opens an address.
    pub async fn open(&self, url: &str) {
        self.client.goto(url).await.unwrap_or_else(|e| panic!("{url}: {e}"));
    }

    /// The element with this `data-testid`, once it is there.
    pub async fn find(&self, id: &str) -> Element {
        let selector = format!("[data-testid=\"{id}\"]");
        let started = Instant::now();
        loop {
            match self.client.find(Locator::Css(&selector)).await {
                Ok(element) => return element,
                Err(e) => assert!(started.elapsed() < Duration::from_secs(20), "no {id} on the page: {e}"),
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Its visible text.
    pub async fn text(&self, id: &str) -> String {
        loop {
            match self.find(id).await.text().await {
                Ok(text) => return text,
                // The page has put another in its place.
                Err(error) if error.is_stale_element_reference() => {}
                Err(error) => panic!("{id} has no text: {error}"),
            }
        }
    }

    /// One of its attributes; empty where it has none.
    pub async fn attribute(&self, id: &str, name: &str) -> String {
        self.find(id).await.attr(name).await.expect("an attribute").unwrap_or_default()
    }

    /// Clicks it, in the middle of the window: at its edges bars lie over the page.
    pub async fn click(&self, id: &str) {
        let to_middle = "scrollIntoView({ block: 'center', behavior: 'instant' })";
        self.evaluate(&format!("document.querySelector('[data-testid={id}]')?.{to_middle}")).await;
        self.find(id).await.click().await.unwrap_or_else(|e| panic!("{id} cannot be clicked: {e}"));
    }

    /// Replaces its text.
    pub async fn type_into(&self, id: &str, text: &str) {
        let field = self.find(id).await;
        field.clear().await.expect("an input");
        field.send_keys(text).await.expect("an input");
    }

    /// Chooses one of its options.
    pub async fn select(&self, id: &str, value: &str) {
        self.find(id).await.select_by_value(value).await.unwrap_or_else(|e| panic!("{id} has no {value}: {e}"));
    }

    /// Unfolds what is folded away.
    pub async fn unfold(&self, id: &str) {
        self.find(id).await;
        self.evaluate(&format!("document.querySelector('[data-testid=\"{id}\"]').open = true")).await;
    }

    /// The value of a piece of JavaScript, which may use `await`.
    pub async fn evaluate(&self, script: &str) -> Value {
        let asynchronous = format!("return (async () => {{ {script} }})()");
        self.client.execute(&asynchronous, Vec::new()).await.unwrap_or_else(|e| panic!("{script}: {e}"))
    }

    /// A picture of the window.
    pub async fn screenshot(&self) -> Vec<u8> {
        self.client.screenshot().await.expect("a screenshot")
    }

    /// Waits until the page is in a state; panics with the page's message if that becomes an error.
    pub async fn wait_for_state(&self, wanted: &str, limit: Duration) {
        let started = Instant::now();
        loop {
            let state = self.attribute("app", "data-state").await;
            if state == wanted {
                return;
            }
            let says = if state == "failed" { self.text("error").await } else { self.text("status").await };
            assert!(state != "failed", "the page failed instead of being {wanted}: {says}");
            let waited = started.elapsed();
            assert!(waited < limit, "after {waited:.0?} the page is {state} instead of {wanted}: {says}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits until an element's text contains some words; panics if the page shows an error.
    pub async fn wait_for_text(&self, id: &str, words: &str, limit: Duration) {
        let started = Instant::now();
        loop {
            let text = self.text(id).await;
            if text.contains(words) {
                return;
            }
            assert!(self.attribute("app", "data-state").await != "failed", "{}", self.text("error").await);
            let waited = started.elapsed();
            assert!(waited < limit, "after {waited:.0?} {id} says \"{text}\", without \"{words}\"");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits until an attribute has a value.
    pub async fn wait_for_attribute(&self, id: &str, name: &str, value: &str, limit: Duration) {
        let started = Instant::now();
        loop {
            let found = self.attribute(id, name).await;
            if found == value {
                return;
            }
            let waited = started.elapsed();
            assert!(waited < limit, "after {waited:.0?} {name} of {id} is \"{found}\" instead of \"{value}\"");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits until a piece of JavaScript returns true.
    pub async fn wait_until(&self, script: &str, limit: Duration) {
        let started = Instant::now();
        while self.evaluate(script).await != Value::Bool(true) {
            let waited = started.elapsed();
            assert!(waited < limit, "after {waited:.0?} it is not so: {script}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Whether an element is on the page.
    pub async fn has(&self, id: &str) -> bool {
        let script = format!("return document.querySelector('[data-testid=\"{id}\"]') !== null");
        self.evaluate(&script).await == Value::Bool(true)
    }

    /// Moves a slider, with the events of a real move.
    pub async fn slide(&self, id: &str, to: f64) {
        let script = format!(
            "const slider = document.querySelector('[data-testid=\"{id}\"]'); slider.value = '{to}'; \
             slider.dispatchEvent(new Event('input', {{ bubbles: true }})); \
             slider.dispatchEvent(new Event('change', {{ bubbles: true }}));"
        );
        self.evaluate(&script).await;
    }

    /// Drags with the mouse across an element to a share of its width.
    pub async fn drag(&self, id: &str, to: f64) {
        self.find(id).await;
        let script = format!(
            "const of = document.querySelector('[data-testid=\"{id}\"]'); \
             of.scrollIntoView({{ block: 'center' }}); \
             const place = of.getBoundingClientRect(); \
             const at = (across) => ({{ bubbles: true, buttons: 1, clientX: place.left + across * place.width, \
                                        clientY: place.top + place.height / 2 }}); \
             of.dispatchEvent(new PointerEvent('pointerdown', at(0))); \
             of.dispatchEvent(new PointerEvent('pointermove', at({to})));"
        );
        self.evaluate(&script).await;
    }

    /// Gives files to an input of files.
    pub async fn give_files(&self, id: &str, files: &[&Path]) {
        let names: Vec<_> = files.iter().map(|file| file.to_str().expect("a plain path")).collect();
        self.find(id).await.send_keys(&names.join("\n")).await.expect("an input of files");
    }

    /// Presses a key where the focus is, such as Tab (U+E004) or Enter (U+E007).
    pub async fn press(&self, key: char) {
        let element = self.client.active_element().await.expect("something has the focus");
        element.send_keys(&key.to_string()).await.unwrap_or_else(|e| panic!("key {}: {e}", key.escape_unicode()));
    }

    /// The `data-testid` of what has the focus.
    pub async fn focused(&self) -> String {
        let script = "return document.activeElement?.dataset.testid ?? ''";
        self.evaluate(script).await.as_str().unwrap_or_default().to_owned()
    }

    /// Sends a command of the Chrome DevTools protocol.
    pub async fn command(&self, command: &'static str, parameters: Value) -> Value {
        self.client.issue_cmd(DevTools { command, parameters }).await.unwrap_or_else(|e| panic!("{command}: {e}"))
    }

    /// Sets the size of the page in CSS pixels.
    pub async fn resize(&self, width: u32, height: u32) {
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.command("Emulation.setDeviceMetricsOverride", size).await;
    }

    /// Asks for `light` or `dark` colours.
    pub async fn prefer(&self, scheme: &str) {
        let features = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        self.command("Emulation.setEmulatedMedia", features).await;
    }

    /// What the browser wrote to its console since the last call.
    pub async fn console(&self) -> Vec<String> {
        let log = self.client.issue_cmd(Log).await.expect("the console");
        let lines = log.as_array().cloned().unwrap_or_default();
        lines.iter().filter_map(|line| line["message"].as_str().map(str::to_owned)).collect()
    }

    /// Loads the page again.
    pub async fn reload(&self) {
        self.client.refresh().await.expect("a page");
    }

    /// The address.
    pub async fn address(&self) -> String {
        self.client.current_url().await.expect("an address").to_string()
    }

    /// Waits for a file that the page saves.
    pub async fn downloaded(&self, name: &str) -> PathBuf {
        let path = self.profile.path().join("downloads").join(name);
        let started = Instant::now();
        while !path.exists() {
            assert!(started.elapsed() < Duration::from_secs(20), "{name} was not saved");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        path
    }

    /// Closes the browser, as a panic does.
    pub async fn close(self) {
        drop(self.session);
    }
}

/// A command of the Chrome DevTools protocol, sent through ChromeDriver.
#[derive(Debug)]
struct DevTools {
    command: &'static str,
    parameters: Value,
}

impl WebDriverCompatibleCommand for DevTools {
    fn endpoint(&self, base: &Url, session: Option<&str>) -> Result<Url, ParseError> {
        base.join(&format!("session/{}/goog/cdp/execute", session.unwrap_or_default()))
    }

    fn method_and_body(&self, _: &Url) -> (Method, Option<String>) {
        (Method::POST, Some(json!({ "cmd": self.command, "params": self.parameters }).to_string()))
    }
}

/// The browser's console.
#[derive(Debug)]
struct Log;

impl WebDriverCompatibleCommand for Log {
    fn endpoint(&self, base: &Url, session: Option<&str>) -> Result<Url, ParseError> {
        base.join(&format!("session/{}/se/log", session.unwrap_or_default()))
    }

    fn method_and_body(&self, _: &Url) -> (Method, Option<String>) {
        (Method::POST, Some(json!({ "type": "browser" }).to_string()))
    }
}

async fn start_driver() -> (Child, u16) {
    let program = std::env::var_os("CHROMEDRIVER").unwrap_or_else(|| OsString::from("chromedriver"));
    let mut driver = Command::new(&program)
        .arg("--port=0")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap_or_else(|e| {
            panic!(
                "the tests of the page need ChromeDriver, and `{}` does not start ({e}): install Chromium and its \
                 driver (Debian: apt-get install chromium chromium-driver), or name it in CHROMEDRIVER; \
                 VDM_SKIP_BROWSER=1 leaves these tests out",
                program.display()
            )
        });
    let mut lines = BufReader::new(driver.stdout.take().expect("a pipe")).lines();
    let port = async {
        while let Some(line) = lines.next_line().await.expect("the driver's words") {
            // ChromeDriver was started successfully on port 34567.
            if let Some((_, port)) = line.split_once("successfully on port ") {
                return port.trim_end_matches('.').parse().expect("a port");
            }
        }
        panic!("the driver ended before it listened");
    };
    let port = tokio::time::timeout(Duration::from_secs(30), port).await.expect("the driver starts within 30 s");
    // Further output must not fill the pipe.
    tokio::spawn(async move { while matches!(lines.next_line().await, Ok(Some(_))) {} });
    (driver, port)
}

/// Starts a driver that takes a port and says nothing.
async fn start_other_driver(mut driver: Command) -> (Child, u16) {
    let port = TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a port").port();
    let program = driver.as_std().get_program().to_owned();
    let child = driver
        .arg(format!("--port={port}"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap_or_else(|e| panic!("{} does not start: {e}", program.display()));
    let started = Instant::now();
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(started.elapsed() < Duration::from_secs(30), "{} does not listen", program.display());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    (child, port)
}

/// A display in memory, and its name.
async fn start_display() -> (Child, String) {
    let mut display = Command::new("Xvfb")
        .args(["-displayfd", "1", "-screen", "0", "1280x1440x24", "-nolisten", "tcp"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap_or_else(|e| panic!("WebKitGTK needs a display, and Xvfb does not start: {e}"));
    let mut lines = BufReader::new(display.stdout.take().expect("a pipe")).lines();
    let number =
        tokio::time::timeout(Duration::from_secs(30), lines.next_line()).await.expect("Xvfb starts within 30 s");
    (display, format!(":{}", number.expect("text").expect("its number")))
}

fn capabilities(gpu: Gpu, profile: &Path) -> Value {
    let mut arguments = vec![
        "--headless=new".to_owned(),
        // CI runs as root, in a sandbox of its own.
        "--no-sandbox".to_owned(),
        "--disable-dev-shm-usage".to_owned(),
        "--no-first-run".to_owned(),
        "--disable-quic".to_owned(),
        "--disable-background-networking".to_owned(),
        "--disable-component-update".to_owned(),
        "--disable-sync".to_owned(),
        "--force-prefers-reduced-motion".to_owned(),
        format!("--user-data-dir={}", profile.join("profile").display()),
    ];
    if gpu == Gpu::SwiftShader {
        arguments.extend(["--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader"].map(String::from));
    }
    let mut options = json!({
        "args": arguments,
        "prefs": {
            "download.default_directory": profile.join("downloads"),
            "download.prompt_for_download": false,
        },
    });
    if let Some(chrome) = std::env::var_os("CHROME") {
        options["binary"] = json!(chrome.to_string_lossy());
    }
    json!({
        "browserName": "chrome",
        "goog:chromeOptions": options,
        "goog:loggingPrefs": { "browser": "ALL" },
    })
}
