//! The second visit, offline use, and a lost GPU.

use std::time::Duration;

use tests::browser::Gpu;
use tests::page::{Page, SOON, TO_LOAD, TO_SAMPLE};

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

    page.open("?draw=no").await;
    browser.wait_for_state("ready", TO_LOAD).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let asked = page.site.asked();
    // The browser checks by itself whether there is a new service worker.
    assert!(asked.iter().all(|file| file == "sw.js"), "a second visit asks for {asked:?}");

    page.site.stop();
    page.open("?lang=fr&draw=no#generate").await;
    browser.wait_for_state("ready", TO_LOAD).await;
    page.open("?draw=no").await;
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
    page.open("?draw=no").await;
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
    page.patch_worker(
        "const request = GPUAdapter.prototype.requestDevice; \
         GPUAdapter.prototype.requestDevice = async function (...options) { \
             const device = await request.apply(this, options); \
             new BroadcastChannel('destroy').onmessage = () => device.destroy(); \
             return device; \
         }",
    );
    page.open("?draw=no").await;
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
    browser.wait_for_text("t", "1.00", SOON).await;
    browser.click("save").await;
    browser.downloaded("synthetic-xray-seed6-steps3-ddim.png").await;

    // While sampling: the CPU continues the run.
    page.open("?draw=no").await;
    browser.wait_for_state("ready", TO_LOAD).await;
    assert_eq!(browser.attribute("app", "data-backend").await, "webgpu");
    browser.unfold("more").await;
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

/// An adapter in software that says it is none, so that the page takes it.
const DISGUISED: &str = "\
    const info = Object.getOwnPropertyDescriptor(GPUAdapter.prototype, 'info').get; \
    Object.defineProperty(GPUAdapter.prototype, 'info', { get() { \
        info.call(this); return { vendor: 'a', architecture: 'good', description: 'GPU', isFallbackAdapter: false }; \
    } });";

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(skip_browser, ignore = "VDM_SKIP_BROWSER is set")]
async fn a_gpu_that_fails_without_a_word_leaves_the_work_to_the_cpu() {
    let page = Page::new(Gpu::SwiftShader).await;
    let browser = &page.browser;
    let never = "GPUAdapter.prototype.requestDevice = () => new Promise(() => {})";
    let no_map = "GPUBuffer.prototype.mapAsync = () => new Promise(() => {})";
    // Every buffer that is read is zero.
    let zeros = "const range = GPUBuffer.prototype.getMappedRange; \
                 GPUBuffer.prototype.getMappedRange = function (...part) { \
                     const bytes = range.apply(this, part); \
                     if (this.usage & GPUBufferUsage.MAP_READ) new Uint8Array(bytes).fill(0); \
                     return bytes; \
                 }";
    for (fault, script, kind) in
        [("no device", never, "gpu-silent"), ("a stall", no_map, "gpu-silent"), ("zeros", zeros, "gpu-")]
    {
        page.patch_worker(&format!("{DISGUISED} {script}"));
        // Not `webgpu`, which waits for as long as software needs.
        page.open("?backend=auto&seed=3&steps=2").await;
        browser.wait_for_text("status", "Done: seed 3, 2 steps", TO_LOAD).await;
        assert_eq!(browser.attribute("app", "data-backend").await, "cpu", "{fault}");
        let notice = browser.evaluate("return document.querySelector('.notice').dataset.kind ?? ''").await;
        println!("{fault}: {notice}");
        let moved = browser.evaluate("return document.querySelector('[data-testid=notice]').textContent").await;
        assert!(moved.as_str().is_some_and(|moved| moved.contains(kind)), "{fault}: {moved}");
    }
    page.browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(skip_browser, ignore = "VDM_SKIP_BROWSER is set")]
async fn a_gpu_in_software_is_passed_over_unless_asked_for() {
    let page = Page::new(Gpu::SwiftShader).await;
    let browser = &page.browser;
    page.open("?backend=auto&draw=no").await;
    browser.wait_for_state("ready", TO_LOAD).await;
    assert_eq!(browser.attribute("app", "data-backend").await, "cpu");
    page.go("weights").await;
    browser.wait_for_text("backend-reason", "software", SOON).await;
    page.browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(skip_browser, ignore = "VDM_SKIP_BROWSER is set")]
async fn storage_that_is_refused_promises_no_offline_use() {
    let page = Page::new(Gpu::None).await;
    let browser = &page.browser;
    page.open("?draw=no").await;
    browser.wait_for_state("ready", TO_LOAD).await;
    page.go("about").await;
    browser.wait_for_text("works-offline", "works without a network", SOON).await;
    // A store that is full.
    page.forget_files().await;
    page.patch_worker("Cache.prototype.put = () => Promise.reject(new DOMException('full', 'QuotaExceededError'))");
    page.open("?draw=no").await;
    browser.wait_for_state("ready", TO_LOAD).await;
    page.go("about").await;
    browser.wait_for_text("works-offline", "refuses to keep", SOON).await;
    page.browser.close().await;
}
