//! Generating in a real Chromium: directing a run, several images, time travel, sharing and saving.

use std::process::Command;
use std::time::Duration;

use tests::browser::Gpu;
use tests::page::{Page, SOON, TO_LOAD, TO_SAMPLE, assert_same, natively};
use tests::site::Answer;
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
        browser.click(&format!("count-{count}")).await;
        browser.unfold("more").await;
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
    browser.click("count-1").await;
    page.generate("2", "3", "ddim").await;
    page.browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(skip_browser, ignore = "VDM_SKIP_BROWSER is set")]
async fn a_run_waits_and_goes_step_by_step() {
    let page = Page::ready(Gpu::None, "").await;
    let browser = &page.browser;
    browser.unfold("more").await;
    browser.type_into("seed", "7").await;
    browser.type_into("steps", "12").await;
    for step in 1..=3 {
        browser.click("step-once").await;
        browser.wait_for_text("step", &format!("{step} / 12"), SOON).await;
    }
    // It waits: a second is enough for all twelve.
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(browser.text("step").await, "3 / 12");
    assert_eq!(browser.text("play").await, "Play", "it is paused");
    browser.click("play").await;
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
        browser.click(&format!("count-{count}")).await;
        browser.unfold("more").await;
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
    // One of them, opened, with its own moments, and saved under its own seed.
    let last = page.pixels("canvas-15").await;
    browser.click("open-15").await;
    assert_eq!(page.pixels("canvas").await, last);
    browser.slide("timeline", 0.0).await;
    browser.wait_for_text("t", "1.00", SOON).await;
    assert_ne!(page.pixels("canvas").await, last);
    browser.click("save-one").await;
    let saved = image::open(browser.downloaded("synthetic-xray-seed55-steps6.png").await).expect("a PNG").into_luma8();
    assert_eq!(*saved.as_raw(), last);
    browser.click("all-images").await;
    assert_eq!(page.pixels("canvas-15").await, last);
    page.browser.close().await;
}

/// Draws four images from seed 40 in a page whose worker is patched, and gives their pixels.
async fn four_images(page: &Page) -> Vec<Vec<u8>> {
    let browser = &page.browser;
    // Away first: the same address would not load again.
    browser.open("about:blank").await;
    page.open("?backend=cpu&seed=40&steps=6&count=4").await;
    browser.wait_for_state("done", TO_SAMPLE).await;
    assert_eq!(browser.text("step").await, "6 / 6");
    let mut pictures = Vec::new();
    for image in 0..4 {
        pictures.push(page.pixels(&format!("canvas-{image}")).await);
    }
    pictures
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(skip_browser, ignore = "VDM_SKIP_BROWSER is set")]
async fn without_a_gpu_workers_share_a_grid_of_the_same_images() {
    let page = Page::as_it_is(Gpu::None).await;
    let browser = &page.browser;
    let cores =
        |count: u32| format!("Object.defineProperty(navigator, 'hardwareConcurrency', {{ get: () => {count} }})");
    let workers = || page.site.asked().iter().filter(|file| file.ends_with("worker.js")).count();
    // No service worker, which would keep a loader that is patched.
    page.site.answer("sw.js", Answer::Missing);
    page.patch_worker(&cores(1));
    let alone = four_images(&page).await;
    assert!(alone[0] != alone[1] && alone[0] != alone[3]);
    // Nothing that was drawn or stored before counts.
    let before = workers();
    page.patch_worker(&cores(3));
    assert!(four_images(&page).await == alone, "the images of three workers are those of one, to the bit");
    println!("{} workers loaded their program", workers() - before);
    // Whoever drew an image remembers its moments.
    browser.click("open-3").await;
    assert_eq!(page.pixels("canvas").await, alone[3]);
    browser.slide("timeline", 0.0).await;
    browser.wait_for_text("t", "1.00", SOON).await;
    assert_ne!(page.pixels("canvas").await, alone[3]);
    browser.click("all-images").await;
    // All of them stop where the user stops.
    browser.unfold("more").await;
    browser.type_into("steps", "500").await;
    browser.click("generate").await;
    browser
        .wait_until("return !document.querySelector('[data-testid=step]').textContent.startsWith('0 ')", TO_SAMPLE)
        .await;
    browser.click("cancel").await;
    browser.wait_for_text("notice", "of 500", SOON).await;
    // Helpers that never answer, or cannot be started at all, cost nothing but time.
    for broken in ["class { postMessage() {} }", "undefined"] {
        page.patch_worker(&format!("{}; self.Worker = {broken}", cores(3)));
        assert!(four_images(&page).await == alone, "{broken}");
    }
    page.browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(skip_browser, ignore = "VDM_SKIP_BROWSER is set")]
async fn time_travel_shows_every_moment_of_the_run() {
    let page = Page::ready(Gpu::None, "").await;
    let browser = &page.browser;
    page.generate("5", "20", "ddim").await;
    let image = page.pixels("canvas").await;
    browser.slide("timeline", 0.0).await;
    browser.wait_for_text("t", "1.00", SOON).await;
    let start = page.pixels("noisy").await;
    assert_ne!(start, image);
    assert_ne!(page.pixels("canvas").await, image, "the first guess is not the image");
    browser.slide("timeline", 20.0).await;
    browser.wait_for_text("t", "0.00", SOON).await;
    assert_eq!(page.pixels("canvas").await, image, "it ends in the image");
    // It plays from the start to the end.
    browser.click("play").await;
    browser.wait_until("return Number(document.querySelector('[data-testid=timeline]').value) < 15", SOON).await;
    browser.wait_for_text("t", "0.00", SOON).await;
    browser.slide("timeline", 0.0).await;
    browser.wait_for_text("t", "1.00", SOON).await;
    assert_eq!(page.pixels("noisy").await, start);
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
    // An address that makes no sense is not obeyed, and does no harm; it says what it does not follow.
    page.open("?seed=-1&steps=many&sampler=magic&count=1000&lang=xx&backend=quantum#nowhere").await;
    browser.wait_for_state("ready", TO_LOAD).await;
    for part in ["-1", "many", "magic", "1000", "18446744073709551615"] {
        browser.wait_for_text("notice", part, SOON).await;
    }
    // A class that these weights do not have is said, and the rest is drawn.
    page.open("?seed=4&steps=2&class=7&guidance=1").await;
    browser.wait_for_text("status", "Done: seed 4, 2 steps", TO_LOAD).await;
    browser.wait_for_text("notice", "Class “7”", SOON).await;
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
    browser.unfold("keep").await;
    for (button, file, frames, size) in [
        ("save", "synthetic-xray-seed77-steps10.png", None, (256, 256)),
        // Each of 11 moments, and a rest at the end.
        ("save-animation", "synthetic-xray-seed77-steps10-animation.png", Some(11 + 20), (514, 256)),
        ("save-strip", "synthetic-xray-seed77-steps10-strip.png", None, (8 * 258 - 2, 2 * 258 - 2)),
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
    browser.click("save-gif").await;
    let gif = std::fs::read(browser.downloaded("synthetic-xray-seed77-steps10-animation.gif").await).expect("a file");
    let text = String::from_utf8_lossy(&gif);
    assert!(text.starts_with("GIF89a") && text.contains(LABEL) && text.contains("seed=77"));
    page.browser.close().await;
}

/// The lowest edge of some elements, in pixels of the window.
async fn lowest(page: &Page, ids: &[&str]) -> f64 {
    let script = format!(
        "return Math.max(...{ids:?}.map(id => \
             document.querySelector(`[data-testid=${{id}}]`).getBoundingClientRect().bottom))"
    );
    page.browser.evaluate(&script).await.as_f64().expect("a number")
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(skip_browser, ignore = "VDM_SKIP_BROWSER is set")]
async fn the_first_picture_is_drawn_at_once_and_fits_every_screen() {
    let page = Page::new(Gpu::None).await;
    let browser = &page.browser;
    browser.resize(1280, 720).await;
    page.open("").await;
    browser.wait_for_text("status", "Done: seed", TO_LOAD).await;
    let image = page.pixels("canvas").await;
    assert!(image[..256 * 200].iter().any(|&value| value > 128), "there is a picture");
    assert!(browser.address().await.contains("seed="), "the address is that of the picture");
    assert!(!browser.has("cancel").await && !browser.has("progress").await, "there is nothing to cancel");
    // The strip is full, from noise to the image.
    assert_eq!(page.pixels("film-11").await, image);
    assert_ne!(page.pixels("film-0").await, image);
    let size = "const [a, b] = ['noisy', 'canvas'].map(id => \
                    document.querySelector(`[data-testid=${id}]`).getBoundingClientRect()); \
                return a.width > 140 && a.top === b.top && Math.abs(a.width - b.width) < 1 && Math.abs(a.height - b.height) < 1";
    let parts = ["noisy", "canvas", "timeline", "generate", "play"];
    for (width, height) in [(1280, 720), (1366, 768), (1920, 1080), (360, 740)] {
        browser.resize(width, height).await;
        browser.wait_until(size, SOON).await;
        let lowest = lowest(&page, &parts).await;
        assert!(lowest <= f64::from(height), "at {width}×{height} it ends at {lowest}");
    }
    page.browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(skip_browser, ignore = "VDM_SKIP_BROWSER is set")]
async fn a_browser_that_saves_data_fetches_nothing_before_it_is_wanted() {
    let page = Page::new(Gpu::None).await;
    let browser = &page.browser;
    let saves = "Object.defineProperty(navigator, 'connection', { value: { saveData: true } })";
    browser.command("Page.addScriptToEvaluateOnNewDocument", serde_json::json!({ "source": saves })).await;
    page.open("").await;
    browser.wait_for_text("held", "save data", SOON).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(!page.site.asked().iter().any(|file| file.ends_with(".safetensors")));
    browser.click("generate").await;
    browser.wait_for_text("status", "Done: seed", TO_LOAD).await;
    page.browser.close().await;
}

const ENTER: char = '\u{e007}';

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(skip_browser, ignore = "VDM_SKIP_BROWSER is set")]
async fn one_key_draws_another_and_one_plays() {
    let page = Page::ready(Gpu::None, "").await;
    let browser = &page.browser;
    page.generate("5", "20", "ddim").await;
    browser.evaluate("document.activeElement.blur()").await;
    // The space bar plays, and pauses.
    browser.press(' ').await;
    browser.wait_until("return Number(document.querySelector('[data-testid=timeline]').value) < 15", SOON).await;
    assert_eq!(browser.text("play").await, "Pause");
    browser.press(' ').await;
    browser.wait_until("return document.querySelector('[data-testid=play]').textContent === 'Play'", SOON).await;
    // Enter draws another.
    browser.press(ENTER).await;
    browser.wait_until("return document.querySelector('#seed').value !== '5'", SOON).await;
    browser.wait_for_text("status", "Done: seed", TO_SAMPLE).await;
    let seed = "return document.querySelector('#seed').value";
    let drawn = browser.evaluate(seed).await;
    // A changed setting is for the same picture; in a field, Enter draws what is typed.
    browser.type_into("steps", "12").await;
    browser.press(ENTER).await;
    let done = format!("Done: seed {}, 12 steps", drawn.as_str().expect("a seed"));
    browser.wait_for_text("status", &done, TO_SAMPLE).await;
    page.browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(skip_browser, ignore = "VDM_SKIP_BROWSER is set")]
async fn what_is_typed_is_what_is_read_and_an_error_is_where_it_is() {
    let page = Page::ready(Gpu::None, "").await;
    let browser = &page.browser;
    browser.resize(360, 740).await;
    browser.unfold("more").await;
    for text in ["2.5", "2,5", "-3", "0", "1e2"] {
        browser.type_into("steps", text).await;
        let shown = browser.evaluate("return document.querySelector('#steps').value").await;
        assert_eq!(shown, text);
        browser.evaluate("document.querySelector('[data-testid=more]').open = false; scrollTo(0, 0)").await;
        browser.click("generate").await;
        browser.wait_until("return document.activeElement.id === 'steps'", SOON).await;
        let says = browser.evaluate("return document.querySelector('#steps-hint').textContent").await;
        assert!(says.as_str().is_some_and(|says| says.contains("1000")), "{text}: {says}");
        let seen = "const edge = document.querySelector('#steps-hint').getBoundingClientRect(); \
                    return edge.top >= 0 && edge.bottom <= innerHeight";
        browser.wait_until(seen, SOON).await;
        assert_eq!(browser.attribute("app", "data-state").await, "ready", "{text} draws nothing");
    }
    browser.type_into("steps", "3").await;
    browser.click("generate").await;
    browser.wait_for_text("status", ", 3 steps", TO_SAMPLE).await;
    page.browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(skip_browser, ignore = "VDM_SKIP_BROWSER is set")]
async fn a_finished_picture_survives_a_cancelled_run_and_other_weights() {
    let page = Page::ready(Gpu::None, "").await;
    let browser = &page.browser;
    page.generate("6", "5", "ddim").await;
    let image = page.pixels("canvas").await;
    let link = "return document.querySelector('[data-testid=share-url]').value";
    let address = browser.evaluate(link).await;
    // A run that is cancelled.
    browser.type_into("seed", "9").await;
    browser.type_into("steps", "1000").await;
    browser.click("generate").await;
    browser.wait_for_state("sampling", SOON).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    browser.click("cancel").await;
    browser.wait_for_state("done", SOON).await;
    assert_eq!(page.pixels("canvas").await, image);
    assert_eq!(browser.evaluate(link).await, address);
    // Other weights.
    page.go("weights").await;
    browser.select("weights-model", "sharp").await;
    browser.wait_for_text("notice", "These weights are in use now", TO_LOAD).await;
    page.go("generate").await;
    assert_eq!(page.pixels("canvas").await, image);
    assert_eq!(browser.evaluate(link).await, address, "the link names the weights that made it");
    browser.click("save").await;
    let saved = browser.downloaded("synthetic-xray-seed6-steps5-ddim.png").await;
    assert_eq!(image::open(saved).expect("a PNG").into_luma8().into_raw(), image);
    // The link, opened with the default model, and one of the other model: each draws with its own weights.
    page.generate("6", "3", "ddim").await;
    let (other, sharp) = (browser.evaluate(link).await, page.pixels("canvas").await);
    for (link, steps, image) in [(address, 5, image), (other, 3, sharp)] {
        browser.open("about:blank").await;
        browser.open(link.as_str().expect("a link")).await;
        browser.wait_for_text("status", &format!("Done: seed 6, {steps} steps"), TO_LOAD).await;
        assert_eq!(page.pixels("canvas").await, image);
        assert_eq!(browser.text("notice").await, "");
    }
    page.browser.close().await;
}
