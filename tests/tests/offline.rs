//! The second visit, offline use, and a lost GPU.

use std::time::Duration;

use tests::browser::Gpu;
use tests::page::{Page, SOON, TO_LOAD, TO_SAMPLE};
use tests::site::Answer;

/// The service worker has everything and is in charge.
const IN_CHARGE: &str = "return navigator.serviceWorker.controller !== null && \
                         navigator.serviceWorker.controller.state === 'activated'";

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(skip_browser, ignore = "VDM_SKIP_BROWSER is set")]
async fn a_second_visit_downloads_nothing_and_needs_no_network() {
    let page = Page::ready(Gpu::None, "").await;
    let browser = &page.browser;
    browser.wait_until(IN_CHARGE, SOON).await;
    page.generate("8", "5", "ddim").await;
    let image = page.pixels("canvas").await;
    // A teaching view, so that the encoder is kept, too.
    page.go("bound").await;
    browser.click("subject-sample").await;
    browser.click("measure").await;
    browser
        .wait_until(
            "return /\\d/.test(document.querySelector('[data-testid=bound-total]')?.textContent ?? '')",
            TO_SAMPLE,
        )
        .await;
    page.go("generate").await;
    assert!(page.site.asked().contains(&page.weights("sampling")));

    page.open("").await;
    browser.wait_for_state("ready", TO_LOAD).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let asked = page.site.asked();
    // The browser checks by itself whether there is a new service worker.
    assert!(asked.iter().all(|file| file == "sw.js"), "a second visit asks for {asked:?}");

    page.site.stop();
    page.open("?lang=fr#generate").await;
    browser.wait_for_state("ready", TO_LOAD).await;
    page.open("").await;
    browser.wait_for_state("ready", TO_LOAD).await;
    page.generate("8", "5", "ddim").await;
    assert_eq!(page.pixels("canvas").await, image);
    page.go("bound").await;
    browser.click("subject-sample").await;
    browser.click("measure").await;
    browser
        .wait_until(
            "return /\\d/.test(document.querySelector('[data-testid=bound-total]')?.textContent ?? '')",
            TO_SAMPLE,
        )
        .await;
    page.go("about").await;
    // The model card, too; it is folded up.
    browser.wait_until("return document.querySelector('[data-testid=card]').textContent.includes('NIH')", SOON).await;

    // The store can be emptied; then there is nothing without a network.
    browser.click("empty-storage").await;
    browser.wait_until("return (await caches.keys()).length === 0", SOON).await;
    page.browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(skip_browser, ignore = "VDM_SKIP_BROWSER is set")]
async fn kept_weights_that_were_damaged_are_fetched_again() {
    let page = Page::ready(Gpu::None, "").await;
    let browser = &page.browser;
    let spoil = "const cache = await caches.open('medical-vdm-weights'); \
                 const keys = await cache.keys(); \
                 for (const key of keys) { \
                     const bytes = new Uint8Array(await (await cache.match(key)).arrayBuffer()); \
                     bytes[1000] ^= 1; await cache.put(key, new Response(bytes)); \
                 } \
                 return keys.length > 0";
    browser.wait_until(spoil, SOON).await;
    page.site.asked();
    page.open("").await;
    browser.wait_for_state("ready", TO_LOAD).await;
    assert!(page.site.asked().contains(&page.weights("sampling")));
    page.generate("1", "2", "ddim").await;
    page.browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(skip_browser, ignore = "VDM_SKIP_BROWSER is set")]
async fn a_lost_gpu_hands_over_to_the_cpu_and_loses_nothing() {
    let page = Page::new(Gpu::SwiftShader).await;
    // The worker, with a way to destroy its device from the page.
    let patch = b"const request = GPUAdapter.prototype.requestDevice; \
                  GPUAdapter.prototype.requestDevice = async function (...options) { \
                      const device = await request.apply(this, options); \
                      new BroadcastChannel('destroy').onmessage = () => device.destroy(); \
                      return device; \
                  };\n";
    let loader = page.site.file("worker_loader.js");
    // Imports run before everything else in a module: this one must follow the patch.
    let loader = String::from_utf8(loader)
        .expect("text")
        .replace("import init from './worker.js';", "")
        .replace("init(", "(await import('./worker.js')).default(");
    let patched = [&patch[..], loader.as_bytes()].concat();
    page.site.answer("worker_loader.js", Answer::Bytes(patched));
    page.open("").await;
    let browser = &page.browser;
    browser.wait_for_state("ready", TO_LOAD).await;
    assert_eq!(browser.attribute("app", "data-backend").await, "webgpu");
    page.generate("6", "3", "ddim").await;
    let image = page.pixels("canvas").await;

    // Idle: the page moves to the CPU at once, and the image can still be inspected and saved.
    browser.evaluate("new BroadcastChannel('destroy').postMessage(1)").await;
    browser.wait_for_attribute("app", "data-backend", "cpu", TO_LOAD).await;
    assert_eq!(page.pixels("canvas").await, image, "what was on the screen stays");
    assert!(browser.text("notice").await.contains("CPU"), "{}", browser.text("notice").await);
    browser.slide("timeline", 0.0).await;
    browser.wait_for_text("timeline-t", "1.00", SOON).await;
    browser.click("save").await;
    browser.downloaded("synthetic-xray-seed6.png").await;

    // While sampling: the CPU continues the run.
    page.open("").await;
    browser.wait_for_state("ready", TO_LOAD).await;
    assert_eq!(browser.attribute("app", "data-backend").await, "webgpu");
    browser.type_into("seed", "21").await;
    browser.type_into("steps", "400").await;
    browser.click("generate").await;
    browser.wait_for_state("sampling", SOON).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(browser.attribute("app", "data-state").await, "sampling", "it is not done yet");
    browser.evaluate("new BroadcastChannel('destroy').postMessage(1)").await;
    browser.wait_for_text("status", "Done: seed 21, 400 steps", TO_SAMPLE).await;
    assert_eq!(browser.attribute("app", "data-backend").await, "cpu");
    page.browser.close().await;
}
