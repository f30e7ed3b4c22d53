//! The page for everyone: accessibility, keyboard, sizes, languages, the kiosk, diagnostics, and two benchmarks.

use std::time::{Duration, Instant};

use serde_json::Value;
use tests::browser::{Browser, Gpu};
use tests::page::{Page, SOON, TO_LOAD, TO_SAMPLE};
use tests::site::Answer;

const TAB: char = '\u{e004}';
const ENTER: char = '\u{e007}';

/// Fails if axe-core finds a violation of WCAG, or another serious one.
async fn assert_accessible(browser: &Browser, what: &str) {
    let loaded = browser.evaluate("return typeof axe === 'object'").await == Value::Bool(true);
    if !loaded {
        browser.evaluate(include_str!("../vendor/axe-4.14.1.min.js")).await;
    }
    let found = browser
        .evaluate(
            "const results = await axe.run(document, { runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', \
                 'wcag22aa', 'best-practice'] }); \
             return results.violations.filter(rule => ['serious', 'critical'].includes(rule.impact) \
                     || rule.tags.some(tag => tag.startsWith('wcag'))) \
                 .map(rule => rule.id + ': ' + rule.nodes.map(node => node.html + ' ' + node.failureSummary).join('; '))",
        )
        .await;
    assert_eq!(found, serde_json::json!([]), "{what}");
}

/// The views that the page offers.
async fn views(browser: &Browser) -> Vec<String> {
    // With its chapters.
    browser.click("nav-story").await;
    browser.find("nav-race").await;
    let script =
        "return [...document.querySelectorAll('[data-testid^=nav-]')].map(link => link.dataset.testid.slice(4))";
    let views: Vec<String> = serde_json::from_value(browser.evaluate(script).await).expect("names");
    for view in [
        "generate", "game", "story", "learn", "forward", "schedule", "bound", "map", "between", "race", "weights",
        "about",
    ] {
        assert!(views.iter().any(|offered| offered == view), "no {view} in {views:?}");
    }
    views
}

/// Whether the page is no wider than its window.
const FITS: &str = "return document.documentElement.scrollWidth <= document.documentElement.clientWidth";

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(skip_browser, ignore = "VDM_SKIP_BROWSER is set")]
async fn every_view_is_accessible_in_light_and_dark_at_every_size() {
    let page = Page::ready(Gpu::None, "").await;
    let browser = &page.browser;
    page.generate("3", "20", "dpmpp-2m").await;
    let shots = std::env::var_os("VDM_SCREENSHOTS").map(std::path::PathBuf::from);
    for view in &views(browser).await {
        page.go(view).await;
        match view.as_str() {
            "game" => {
                let possible = "return document.querySelector('[data-testid=game-pick-left]').ariaDisabled === 'false'";
                browser.wait_until(possible, TO_SAMPLE).await;
                browser.click("game-pick-left").await;
                browser.click("game-loupe").await;
                browser.wait_for_state("done", TO_SAMPLE).await;
            }
            "forward" => {
                browser.click("example-0").await;
                browser.slide("forward-t", 0.4).await;
                tokio::time::sleep(Duration::from_secs(2)).await;
            }
            "bound" => {
                browser.click("measure").await;
                browser.wait_for_state("done", TO_SAMPLE).await;
            }
            "between" => {
                browser.click("between-generate").await;
                browser.wait_for_attribute("between-0", "data-finished", "true", TO_SAMPLE).await;
            }
            "race" => {
                browser.click("race-start").await;
                browser.wait_for_attribute("race-right", "data-finished", "true", TO_SAMPLE).await;
            }
            _ => {}
        }
        for scheme in ["dark", "light"] {
            browser.prefer(scheme).await;
            assert_accessible(browser, &format!("{view}, {scheme}")).await;
        }
        for (width, height) in [(360, 740), (1280, 900), (3840, 2160)] {
            browser.resize(width, height).await;
            assert_eq!(browser.evaluate(FITS).await, Value::Bool(true), "{view} is wider than {width} pixels");
            if let Some(folder) = &shots {
                let path = folder.join(format!("{view}-{width}.png"));
                std::fs::write(&path, browser.screenshot().await).expect("a screenshot is written");
            }
        }
        browser.resize(1280, 900).await;
    }
    page.browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(skip_browser, ignore = "VDM_SKIP_BROWSER is set")]
async fn a_keyboard_alone_suffices_and_results_are_announced() {
    let page = Page::ready(Gpu::None, "").await;
    let browser = &page.browser;
    browser.unfold("more").await;
    let mut reached = Vec::new();
    for _ in 0..60 {
        browser.press(TAB).await;
        let focused = browser.focused().await;
        // Past the last one, the focus leaves the page.
        if browser.evaluate("return document.activeElement === document.body").await == Value::Bool(true) {
            break;
        }
        // The focus is visible.
        let outlined = browser
            .evaluate(
                "const style = getComputedStyle(document.activeElement); \
                 return style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2",
            )
            .await;
        assert_eq!(outlined, Value::Bool(true), "the focus on {focused} cannot be seen");
        reached.push(focused);
    }
    for id in ["nav-story", "nav-about", "generate", "seed", "steps", "sampler", "count-1", "lang"] {
        assert!(reached.iter().any(|focused| focused == id), "{id} is not reached by Tab: {reached:?}");
    }
    while browser.focused().await != "generate" {
        browser.press(TAB).await;
    }
    browser.press(ENTER).await;
    browser.wait_for_text("status", "Done: seed", TO_SAMPLE).await;
    assert_eq!(browser.focused().await, "generate", "the focus stays where it was");
    let live = "const live = document.querySelector('[data-testid=live]'); \
                return live.getAttribute('aria-live') === 'polite' && /Done: seed/.test(live.textContent)";
    browser.wait_until(live, SOON).await;
    page.browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(skip_browser, ignore = "VDM_SKIP_BROWSER is set")]
async fn the_page_speaks_french_and_loses_nothing_by_it() {
    let page = Page::ready(Gpu::None, "?lang=en").await;
    let browser = &page.browser;
    page.generate("3", "5", "ddim").await;
    let image = page.pixels("canvas").await;
    let english = browser.text("generate").await;
    browser.select("lang", "fr").await;
    browser.wait_until("return document.documentElement.lang === 'fr'", SOON).await;
    assert_ne!(browser.text("generate").await, english);
    assert!(browser.text("warning").await.to_lowercase().contains("diagnostic"), "{}", browser.text("warning").await);
    assert_eq!(page.pixels("canvas").await, image);
    for view in &views(browser).await {
        page.go(view).await;
        assert_accessible(browser, &format!("{view}, French")).await;
    }
    // It is remembered.
    page.open("?draw=no").await;
    browser.wait_for_state("ready", TO_LOAD).await;
    assert_eq!(browser.evaluate("return document.documentElement.lang").await, "fr");
    page.browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(skip_browser, ignore = "VDM_SKIP_BROWSER is set")]
async fn french_that_does_not_arrive_is_told_in_english() {
    let page = Page::new(Gpu::None).await;
    let browser = &page.browser;
    for answer in [Answer::Missing, Answer::Bytes(b"title = of another version\n".to_vec())] {
        page.site.answer("sw.js", Answer::Missing);
        page.site.answer("fr.txt", answer);
        page.open("?lang=fr&draw=no").await;
        browser.wait_for_text("notice", "fr.txt", SOON).await;
        assert_eq!(browser.evaluate("return document.documentElement.lang").await, "en");
        page.site.heal();
        browser.select("lang", "fr").await;
        browser.wait_until("return document.documentElement.lang === 'fr'", SOON).await;
    }
    page.browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(skip_browser, ignore = "VDM_SKIP_BROWSER is set")]
async fn a_kiosk_generates_by_itself() {
    let page = Page::new(Gpu::None).await;
    let browser = &page.browser;
    page.open("?kiosk").await;
    browser.wait_for_attribute("app", "data-kiosk", "true", SOON).await;
    let finished = "return document.querySelector('[data-testid=canvas]')?.dataset.finished === 'true'";
    browser.wait_until(finished, TO_LOAD).await;
    let drawn = page.pixels("canvas").await;
    assert!(!browser.has("kiosk-code").await, "an address of this computer alone is no link for others");
    // The second act: the same picture, without its label, beside a real one.
    browser.wait_until("return document.querySelector('[data-testid=kiosk-left]') !== null", SOON).await;
    browser.wait_for_text("kiosk-caption", "Which one is drawn?", SOON).await;
    let sides = [page.pixels("kiosk-left").await, page.pixels("kiosk-right").await];
    let above_the_label = 256 * 200;
    let is_drawn = |side: &Vec<u8>| side[..above_the_label] == drawn[..above_the_label];
    assert_eq!(sides.iter().filter(|side| is_drawn(side)).count(), 1, "one of both");
    assert!(sides.iter().all(|side| *side != drawn), "the label would give it away");
    let name = if is_drawn(&sides[0]) { "The left one" } else { "The right one" };
    browser.wait_for_text("kiosk-caption", &format!("{name} is drawn"), SOON).await;
    // The next one, in the other language, begins with noise.
    browser.wait_until("return document.documentElement.lang === 'fr'", SOON).await;
    browser.wait_for_text("kiosk-caption", "bruit", SOON).await;
    browser.wait_until(finished, TO_LOAD).await;
    assert!(page.pixels("canvas").await != drawn);
    assert!(browser.text("warning").await.to_lowercase().contains("pas pour un diagnostic"));
    assert_accessible(browser, "kiosk").await;
    for (width, height) in [(360, 740), (1920, 1080), (3840, 2160)] {
        browser.resize(width, height).await;
        assert_eq!(browser.evaluate(FITS).await, Value::Bool(true), "wider than {width} pixels");
    }
    if let Some(folder) = std::env::var_os("VDM_SCREENSHOTS").map(std::path::PathBuf::from) {
        browser.resize(1920, 1080).await;
        std::fs::write(folder.join("kiosk-1920.png"), browser.screenshot().await).expect("a screenshot is written");
    }
    page.browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(skip_browser, ignore = "VDM_SKIP_BROWSER is set")]
async fn diagnostics_say_what_a_bug_report_needs() {
    let page = Page::ready(Gpu::None, "").await;
    let browser = &page.browser;
    page.go("about").await;
    let says = browser.text("diagnostics").await;
    let hash = vdm::weights::sha256_hex(&page.site.file(&page.weights("sampling")));
    for part in ["Chrome", "cpu", &hash[..12]] {
        assert!(says.contains(part), "nothing of {part} in {says}");
    }
    for id in ["formulas", "card", "ethics", "licences", "storage-used"] {
        assert!(browser.has(id).await, "no {id}");
    }
    assert_eq!(page.speeds().await.len(), 4);
    page.browser.close().await;
}

/// Prints the times of the models in a browser.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a benchmark: cargo test -p tests --release --test everyone -- --ignored --nocapture speed"]
async fn the_speed_is_measured_beside_a_matrix_product() {
    for (gpu, name) in [(Gpu::None, "CPU"), (Gpu::SwiftShader, "WebGPU on SwiftShader")] {
        let page = Page::as_it_is(gpu).await;
        page.open("?draw=no").await;
        page.browser.wait_for_state("ready", TO_LOAD).await;
        page.go("about").await;
        println!("{name}:\n{}", page.speeds().await.join("\n"));
        page.browser.close().await;
    }
}

/// Prints how long it takes from opening to the first image.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a benchmark: cargo test -p tests --release --test everyone -- --ignored --nocapture opening"]
async fn opening_to_first_image_is_timed() {
    for (gpu, name) in [(Gpu::None, "CPU"), (Gpu::SwiftShader, "WebGPU on SwiftShader")] {
        // A GPU in software takes minutes for an image of the sharp model.
        let page = match gpu {
            Gpu::None => Page::as_it_is(gpu).await,
            Gpu::SwiftShader => Page::new(gpu).await,
        };
        let browser = &page.browser;
        for visit in ["first", "second"] {
            if visit == "second" {
                browser.wait_until("return navigator.serviceWorker.controller !== null", SOON).await;
                browser.open("about:blank").await;
            }
            let opened = Instant::now();
            page.open("?seed=1&steps=25").await;
            browser.wait_for_text("status", "Done: seed 1, 25 steps", TO_LOAD).await;
            println!("{name}, {visit} visit: {:.1} s from opening to the image", opened.elapsed().as_secs_f64());
        }
        page.browser.close().await;
    }
}

/// Records how the page opens: a row for each visit, with what is on the screen after 0, 1, 2, 4 and 8 seconds.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a recording: VDM_SCREENSHOTS=web/screenshots cargo test -p tests --release --test everyone -- --ignored seconds"]
async fn the_first_seconds_are_recorded() {
    const SECONDS: [u64; 5] = [0, 1, 2, 4, 8];
    const FRAME: [u32; 2] = [384, 216];
    let page = Page::as_it_is(Gpu::None).await;
    let browser = &page.browser;
    browser.resize(1280, 720).await;
    let mut sheet = image::RgbImage::new(FRAME[0] * SECONDS.len() as u32, FRAME[1] * 2);
    for visit in 0..2 {
        if visit > 0 {
            browser.wait_for_state("done", TO_SAMPLE).await;
            browser.wait_until("return navigator.serviceWorker.controller !== null", SOON).await;
            browser.open("about:blank").await;
        }
        let opened = Instant::now();
        page.open("?seed=1").await;
        for (column, second) in SECONDS.into_iter().enumerate() {
            tokio::time::sleep(Duration::from_secs(second).saturating_sub(opened.elapsed())).await;
            let frame = image::load_from_memory(&browser.screenshot().await).expect("a screenshot").into_rgb8();
            println!("visit {}, {second} s: taken at {:.1} s", visit + 1, opened.elapsed().as_secs_f64());
            let frame = image::imageops::resize(&frame, FRAME[0], FRAME[1], image::imageops::FilterType::Triangle);
            image::imageops::replace(&mut sheet, &frame, (column as u32 * FRAME[0]).into(), (visit * FRAME[1]).into());
        }
    }
    let folder = std::env::var_os("VDM_SCREENSHOTS").expect("VDM_SCREENSHOTS names a folder");
    sheet.save(std::path::Path::new(&folder).join("first-seconds.png")).expect("a picture is written");
    page.browser.close().await;
}

/// Prints what several workers save of a grid's time, where there is no GPU.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a benchmark: cargo test -p tests --release --test everyone -- --ignored --nocapture grid"]
async fn a_grid_on_several_cores_is_timed() {
    let page = Page::as_it_is(Gpu::None).await;
    let browser = &page.browser;
    page.site.answer("sw.js", Answer::Missing);
    let cores = std::thread::available_parallelism().map_or(1, usize::from).min(8);
    for count in [4, 16] {
        let mut times = Vec::new();
        for workers in [1, cores] {
            page.patch_worker(&format!(
                "Object.defineProperty(navigator, 'hardwareConcurrency', {{ get: () => {workers} }})"
            ));
            browser.open("about:blank").await;
            page.open(&format!("?backend=cpu&seed=1&steps=25&count={count}")).await;
            browser.wait_for_state("done", TO_SAMPLE).await;
            // The workers are there now.
            browser.click("generate").await;
            browser.wait_for_state("sampling", SOON).await;
            let started = Instant::now();
            browser.wait_for_state("done", TO_SAMPLE).await;
            times.push(started.elapsed().as_secs_f64());
        }
        let (alone, shared) = (times[0], times[1]);
        let gain = alone / shared;
        println!(
            "{count} images: {alone:.1} s, with {cores} workers {shared:.1} s: {:.2} a worker",
            gain / cores as f64
        );
    }
    page.browser.close().await;
}
