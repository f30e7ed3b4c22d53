//! The page in engines other than Chromium: Firefox and WebKitGTK, both without WebGPU here. VDM_ENGINES asks for these tests;
//! they need firefox, geckodriver, WebKitWebDriver and Xvfb.

use std::time::Instant;

use tests::browser::Engine;
use tests::page::{Page, QUICKEST, SOON, TO_LOAD, TO_SAMPLE, assert_same, natively};

/// A shared link, a grid, a small model that learns, and the other language.
async fn works(engine: Engine) {
    let page = Page::of(engine).await;
    page.opens_with(QUICKEST);
    let browser = &page.browser;
    let opened = Instant::now();
    page.open("?seed=7&steps=12").await;
    browser.wait_for_text("status", "Done: seed 7, 12 steps", TO_LOAD).await;
    println!("{engine:?}: {:.1} s from opening to the image", opened.elapsed().as_secs_f64());
    assert_eq!(browser.attribute("app", "data-backend").await, "cpu");
    let native = natively(&page.weights_path(), "7", "12", "dpmpp-2m");
    assert_same("a link", &page.pixels("canvas").await, &native, 1);

    browser.slide("timeline", 0.0).await;
    browser.wait_for_text("t", "1.00", SOON).await;
    assert_ne!(page.pixels("canvas").await, native);

    page.go("learn").await;
    browser.click("toy-start").await;
    let step = "Number(document.querySelector('[data-testid=toy-step]').textContent.split(' ')[0])";
    browser.wait_until(&format!("return {step} >= 50"), TO_SAMPLE).await;
    page.go("about").await;
    browser.wait_for_state("done", SOON).await;

    browser.open("about:blank").await;
    page.open("?lang=fr&seed=40&steps=4&count=4").await;
    browser.wait_for_text("status", "40", TO_SAMPLE).await;
    browser.wait_for_state("done", TO_SAMPLE).await;
    assert_same("a grid", &page.pixels("canvas-3").await, &natively(&page.weights_path(), "43", "4", "dpmpp-2m"), 1);
    page.browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(engines), ignore = "VDM_ENGINES is not set")]
async fn firefox() {
    works(Engine::Firefox).await;
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(engines), ignore = "VDM_ENGINES is not set")]
async fn webkit() {
    works(Engine::WebKit).await;
}
