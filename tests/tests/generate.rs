//! Generating in a real Chromium: directing a run, several images, time travel, sharing and saving.

use std::process::Command;
use std::time::Duration;

use tests::browser::Gpu;
use tests::page::{Page, SOON, TO_LOAD, TO_SAMPLE, assert_same, natively};
use vdm::image::{DIGITAL_SOURCE_TYPE, LABEL};

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(skip_browser, ignore = "VDM_SKIP_BROWSER is set")]
async fn the_page_never_stutters_while_it_samples_and_can_be_cancelled() {
    let page = Page::ready(Gpu::None, "?backend=cpu").await;
    let browser = &page.browser;
    // Tasks of over 50 ms on the page's own thread, as the browser itself measures them.
    let watch = "window.tasks = []; new PerformanceObserver(list => \
                     window.tasks.push(...list.getEntries().map(entry => entry.duration))) \
                     .observe({ type: 'longtask' });";
    browser.evaluate(watch).await;
    for count in ["1", "16"] {
        browser.select("count", count).await;
        browser.type_into("seed", "1").await;
        browser.type_into("steps", "1000").await;
        browser.click("generate").await;
        browser.wait_for_state("sampling", SOON).await;
        tokio::time::sleep(Duration::from_millis(1500)).await;
        let step = browser.text("step").await;
        assert!(step.ends_with("/ 1000") && !step.starts_with("0 "), "{step}");
        browser.click("cancel").await;
        browser.wait_for_state("ready", SOON).await;
        assert!(browser.text("notice").await.contains("of 1000"), "{}", browser.text("notice").await);
    }
    let tasks = browser.evaluate("return window.tasks").await;
    println!("tasks of over 50 ms on the page's thread: {tasks}");
    let tasks: Vec<f64> = serde_json::from_value(tasks).expect("times");
    assert!(tasks.iter().all(|&task| task <= 100.0), "the page stood still: {tasks:?} ms");
    // It is ready for the next.
    browser.select("count", "1").await;
    page.generate("2", "3", "ddim").await;
    page.browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(skip_browser, ignore = "VDM_SKIP_BROWSER is set")]
async fn a_run_waits_and_goes_step_by_step() {
    let page = Page::ready(Gpu::None, "").await;
    let browser = &page.browser;
    browser.type_into("seed", "7").await;
    browser.type_into("steps", "12").await;
    for step in 1..=3 {
        browser.click("step-once").await;
        browser.wait_for_text("step", &format!("{step} / 12"), SOON).await;
    }
    // It waits: a second is enough for all twelve.
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(browser.text("step").await, "3 / 12");
    assert_eq!(browser.attribute("pause", "aria-pressed").await, "true");
    browser.click("pause").await;
    browser.wait_for_text("status", "Done: seed 7, 12 steps", TO_SAMPLE).await;
    // The same image as without a pause.
    assert_same(
        "step by step",
        &page.pixels("canvas").await,
        &natively(&page.weights_path(), "7", "12", "dpmpp-2m"),
        1,
    );
    page.browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(skip_browser, ignore = "VDM_SKIP_BROWSER is set")]
async fn several_images_are_those_of_their_seeds() {
    let page = Page::ready(Gpu::None, "").await;
    let browser = &page.browser;
    for count in [4usize, 9, 16] {
        browser.select("count", &count.to_string()).await;
        browser.type_into("seed", "40").await;
        browser.type_into("steps", "6").await;
        browser.click("generate").await;
        let last = format!("canvas-{}", count - 1);
        browser.wait_until(&format!("return document.querySelector('[data-testid=\"{last}\"]') !== null"), SOON).await;
        browser.wait_for_state("done", TO_SAMPLE).await;
        assert!(!browser.has(&format!("canvas-{count}")).await, "{count} and no more");
    }
    for (canvas, seed) in [("canvas-0", "40"), ("canvas-15", "55")] {
        let native = natively(&page.weights_path(), seed, "6", "dpmpp-2m");
        assert_same(canvas, &page.pixels(canvas).await, &native, 1);
    }
    // One of them, saved under its own seed.
    browser.select("timeline-image", "15").await;
    browser.click("save-one").await;
    let saved = image::open(browser.downloaded("synthetic-xray-seed55.png").await).expect("a PNG").into_luma8();
    assert_eq!(*saved.as_raw(), page.pixels("canvas-15").await);
    page.browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(skip_browser, ignore = "VDM_SKIP_BROWSER is set")]
async fn time_travel_shows_every_moment_of_the_run() {
    let page = Page::ready(Gpu::None, "").await;
    let browser = &page.browser;
    page.generate("5", "20", "ddim").await;
    let image = page.pixels("canvas").await;
    browser.slide("timeline", 20.0).await;
    browser.wait_for_text("timeline-t", "0.00", SOON).await;
    assert_eq!(page.pixels("timeline-predicted").await, image, "it ends in the image");
    browser.slide("timeline", 0.0).await;
    browser.wait_for_text("timeline-t", "1.00", SOON).await;
    let start = page.pixels("timeline-noisy").await;
    assert_ne!(start, image);
    assert!(browser.has("timeline-latent").await);
    // Forwards to the end, and back again.
    for (button, t) in [("timeline-play", "0.00"), ("timeline-back", "1.00")] {
        browser.click(button).await;
        browser.wait_for_text("timeline-t", t, SOON).await;
    }
    assert_eq!(page.pixels("timeline-noisy").await, start);
    page.browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(skip_browser, ignore = "VDM_SKIP_BROWSER is set")]
async fn a_link_opens_to_the_same_image() {
    let page = Page::ready(Gpu::None, "").await;
    let browser = &page.browser;
    page.generate("18446744073709551615", "9", "ancestral").await;
    let image = page.pixels("canvas").await;
    let link = browser.attribute("share-url", "value").await;
    let link = if link.is_empty() {
        let script = "return document.querySelector('[data-testid=share-url]').value";
        browser.evaluate(script).await.as_str().expect("a link").to_owned()
    } else {
        link
    };
    for part in ["seed=18446744073709551615", "steps=9", "sampler=ancestral", "weights="] {
        assert!(link.contains(part), "no {part} in {link}");
    }
    browser.open("about:blank").await;
    browser.open(&link).await;
    browser.wait_for_text("status", "Done: seed 18446744073709551615, 9 steps", TO_LOAD).await;
    assert_eq!(page.pixels("canvas").await, image);

    let hash = link.split("weights=").nth(1).and_then(|rest| rest.split(['&', '#']).next()).expect("a hash");
    let other = link.replace(hash, "0123456789abcdef");
    browser.open("about:blank").await;
    browser.open(&other).await;
    browser.wait_for_text("notice", "0123456789ab", TO_LOAD).await;
    // An address that makes no sense is not obeyed, and does no harm.
    page.open("?seed=-1&steps=many&sampler=magic&count=1000&lang=xx&backend=quantum#nowhere").await;
    browser.wait_for_state("ready", TO_LOAD).await;
    page.generate("1", "2", "ddim").await;
    page.browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(skip_browser, ignore = "VDM_SKIP_BROWSER is set")]
async fn what_is_saved_is_animated_labelled_and_marked() {
    let page = Page::ready(Gpu::None, "").await;
    let browser = &page.browser;
    page.generate("77", "10", "dpmpp-2m").await;
    let hash = vdm::weights::sha256_hex(&page.site.file(&page.weights("sampling")));
    for (button, file, frames, size) in [
        ("save", "synthetic-xray-seed77.png", None, (256, 256)),
        // Each of 11 moments, and a rest at the end.
        ("save-animation", "synthetic-xray-seed77-animation.png", Some(11 + 20), (514, 256)),
        ("save-strip", "synthetic-xray-seed77-strip.png", None, (8 * 258 - 2, 2 * 258 - 2)),
    ] {
        browser.click(button).await;
        let path = browser.downloaded(file).await;
        let bytes = std::fs::read(&path).expect("a file");
        let reader = png::Decoder::new(std::io::Cursor::new(bytes)).read_info().expect("a PNG");
        let info = reader.info();
        assert_eq!((info.width, info.height), size, "{file}");
        assert_eq!(info.animation_control().map(|control| control.num_frames), frames, "{file}");
        let text = |key: &str| {
            let found = info.utf8_text.iter().find(|text| text.keyword == key);
            found.unwrap_or_else(|| panic!("{file} has no {key}")).get_text().expect("text")
        };
        assert_eq!(text("Title"), LABEL);
        assert!(text("XML:com.adobe.xmp").contains(DIGITAL_SOURCE_TYPE), "{file}");
        for part in ["seed=77", "steps=10", "sampler=dpmpp-2m", hash.as_str()] {
            assert!(text("Description").contains(part), "{file}: nothing of {part} in {}", text("Description"));
        }
        // As others read it.
        let Ok(output) = Command::new("exiftool").arg("-j").arg(&path).output() else {
            println!("exiftool is not installed: {file} is read by our own decoder only");
            continue;
        };
        let said: serde_json::Value = serde_json::from_slice(&output.stdout).expect("exiftool's JSON");
        assert_eq!(said[0]["Title"], LABEL, "{said}");
        let source = said[0]["DigitalSourceType"].as_str().unwrap_or_default();
        assert!(source.to_lowercase().contains("trained"), "{said}");
        assert!(said[0]["Software"].as_str().is_some_and(|software| software.contains("medical-vdm")), "{said}");
        assert!(said[0]["Description"].as_str().is_some_and(|words| words.contains(&hash)), "{said}");
    }
    page.browser.close().await;
}
