//! The page in a real Chromium, and its images beside the trainer's.

use std::time::Duration;

use tests::browser::Gpu;
use tests::page::{Page, TO_LOAD, assert_same, natively};
use tests::site::Answer;
use vdm::image::{DIGITAL_SOURCE_TYPE, LABEL};

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(skip_browser, ignore = "VDM_SKIP_BROWSER is set")]
async fn the_page_generates_on_the_cpu_what_the_trainer_draws() {
    let page = Page::ready(Gpu::None, "").await;
    assert_eq!(page.browser.attribute("app", "data-backend").await, "cpu");
    page.go("weights").await;
    assert!(page.browser.text("backend-reason").await.len() > 10, "says why it is the CPU");
    page.go("generate").await;
    let weights = page.weights_path();
    for (sampler, seed, steps) in
        [("dpmpp-2m", "7", "12"), ("ddim", "18446744073709551615", "5"), ("ancestral", "42", "7")]
    {
        page.generate(seed, steps, sampler).await;
        // The same operations in float32; matrix products add in another order on another SIMD width, which moves a
        // value that lies between two grey levels to the other one.
        assert_same(sampler, &page.pixels("canvas").await, &natively(&weights, seed, steps, sampler), 1);
    }
    page.asked_nobody_else().await;
    page.browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(skip_browser, ignore = "VDM_SKIP_BROWSER is set")]
async fn the_page_generates_on_webgpu_what_the_trainer_draws() {
    let page = Page::ready(Gpu::SwiftShader, "").await;
    assert_eq!(page.browser.attribute("app", "data-backend").await, "webgpu");
    let weights = page.weights_path();
    for (sampler, seed, steps) in [("dpmpp-2m", "7", "5"), ("ancestral", "3", "3")] {
        page.generate(seed, steps, sampler).await;
        // As on the CPU, with a GPU's exponentials, which WGSL allows some units in the last place.
        assert_same(sampler, &page.pixels("canvas").await, &natively(&weights, seed, steps, sampler), 2);
    }
    assert!(page.browser.text("warning").await.to_lowercase().contains("not for diagnosis"));
    page.asked_nobody_else().await;
    page.browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(skip_browser, ignore = "VDM_SKIP_BROWSER is set")]
async fn every_model_of_the_page_draws_what_the_trainer_draws() {
    // Grain and textures have more values between two grey levels than a smooth image; a GPU's roots and exponentials
    // are some units in the last place away from a CPU's.
    for (gpu, name, steps, most) in [(Gpu::None, "CPU", "4", 1), (Gpu::SwiftShader, "WebGPU", "2", 2)] {
        let page = Page::as_it_is(gpu).await;
        for model in page.models() {
            page.opens_with(&model);
            // It would keep the list of models.
            page.site.answer("sw.js", Answer::Missing);
            page.open("?draw=no").await;
            page.browser.wait_for_state("ready", TO_LOAD).await;
            page.generate("11", steps, "dpmpp-2m").await;
            let native = natively(&page.weights_path(), "11", steps, "dpmpp-2m");
            assert_same(&format!("{model} on {name}"), &page.pixels("canvas").await, &native, most);
            page.forget_files().await;
        }
        page.browser.close().await;
    }
}

/// The 64 samples of the README. Their tolerance is that of one grey level, as for any other image on the CPU.
#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(skip_browser), ignore = "takes four minutes; docs/evaluation.md says how to run it")]
#[cfg_attr(skip_browser, ignore = "VDM_SKIP_BROWSER is set")]
async fn the_64_samples_of_the_readme_are_drawn_alike() {
    let page = Page::as_it_is(Gpu::None).await;
    page.opens_with("sharp");
    page.open("?draw=no").await;
    page.browser.wait_for_state("ready", TO_LOAD).await;
    for seed in (0..64).map(|seed: u64| seed.to_string()) {
        page.generate(&seed, "25", "dpmpp-2m").await;
        let native = natively(&page.weights_path(), &seed, "25", "dpmpp-2m");
        assert_same(&format!("seed {seed}"), &page.pixels("canvas").await, &native, 1);
    }
    page.browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(skip_browser, ignore = "VDM_SKIP_BROWSER is set")]
async fn loading_shows_how_far_it_is() {
    let page = Page::new(Gpu::None).await;
    page.site.answer(&page.weights("sampling"), Answer::Slowly(Duration::from_millis(300)));
    page.open("?draw=no").await;
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
#[cfg_attr(skip_browser, ignore = "VDM_SKIP_BROWSER is set")]
async fn weights_that_are_not_as_they_should_be_are_refused_readably() {
    let page = Page::new(Gpu::None).await;
    let weights = page.weights("sampling");
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
        // Neither the service worker nor the store of weights stands between the page and the server.
        page.site.answer("sw.js", Answer::Missing);
        page.site.answer(file, answer);
        page.open("?draw=no").await;
        let (found, says) = page.failure().await;
        assert_eq!(found, kind, "{case}");
        let name = file.rsplit('/').next().unwrap_or(file);
        assert!(says.contains(name) && says.len() > 40, "{case}: {says}");
        // Such a file cannot be used.
        assert_eq!(page.browser.attribute("generate", "aria-disabled").await, "true", "{case}");
        // The page recovers once the file is whole.
        page.site.heal();
        page.browser.click("retry").await;
        page.browser.wait_for_state("ready", TO_LOAD).await;
        page.forget_files().await;
    }
    page.generate("1", "2", "ddim").await;
    page.browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(skip_browser, ignore = "VDM_SKIP_BROWSER is set")]
async fn weights_of_another_kind_are_refused_by_their_content() {
    // The right size and hash, and the wrong contents.
    let page = Page::new(Gpu::None).await;
    let weights = page.weights("sampling");
    let mut bytes = page.site.file(&weights);
    let end = bytes.len();
    // NaN in half precision, and not a number in single precision either.
    bytes[end - 4..].copy_from_slice(&[0xff, 0x7f, 0xff, 0x7f]);
    let mut manifest = page.manifest();
    let default = manifest["default"].clone();
    for model in manifest["models"].as_array_mut().expect("models") {
        if model["name"] == default {
            model["sampling"]["sha256"] = vdm::weights::sha256_hex(&bytes).into();
        }
    }
    page.site.answer(&weights, Answer::Bytes(bytes));
    page.site.answer("weights/manifest.json", Answer::Bytes(manifest.to_string().into_bytes()));
    page.open("?draw=no").await;
    let (kind, says) = page.failure().await;
    assert_eq!(kind, "bad-weights", "{says}");
    assert!(says.contains("NaN"), "{says}");
    page.browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(skip_browser, ignore = "VDM_SKIP_BROWSER is set")]
async fn a_saved_picture_is_whole_and_says_that_it_is_synthetic() {
    let page = Page::ready(Gpu::None, "").await;
    assert!(!page.browser.has("save").await, "there is nothing to save yet");
    page.generate("123", "4", "dpmpp-2m").await;
    let shown = page.pixels("canvas").await;
    page.browser.click("save").await;
    let path = page.browser.downloaded("synthetic-xray-seed123-steps4.png").await;
    let saved = image::open(&path).expect("a PNG").into_luma8();
    assert_eq!(saved.dimensions(), (256, 256));
    // The picture on the screen, with the label in its lowest rows.
    assert_eq!(*saved.as_raw(), shown);
    assert!(saved.as_raw()[256 * 240..].contains(&255), "the label is in the picture");

    let file = std::io::BufReader::new(std::fs::File::open(&path).expect("a file"));
    let reader = png::Decoder::new(file).read_info().expect("a PNG");
    let texts: Vec<(String, String)> =
        reader.info().utf8_text.iter().map(|text| (text.keyword.clone(), text.get_text().expect("text"))).collect();
    let text = |key: &str| texts.iter().find(|(k, _)| k == key).map(|(_, text)| text.clone()).unwrap_or_default();
    assert_eq!(text("Title"), LABEL);
    assert!(text("Software").contains("medical-vdm"));
    assert!(text("XML:com.adobe.xmp").contains(DIGITAL_SOURCE_TYPE));
    let hash = vdm::weights::sha256_hex(&page.site.file(&page.weights("sampling")));
    for part in ["seed=123", "steps=4", "sampler=dpmpp-2m", hash.as_str()] {
        assert!(text("Description").contains(part), "nothing of {part} in {}", text("Description"));
    }
    page.browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(skip_browser, ignore = "VDM_SKIP_BROWSER is set")]
async fn a_page_that_cannot_start_says_which_file_and_why() {
    let page = Page::new(Gpu::None).await;
    let browser = &page.browser;
    let html = String::from_utf8(page.site.file("index.html")).expect("text");
    let (before, _) = html.rsplit_once(".js\"").or(html.rsplit_once(".js'")).expect("a script");
    let name = before.rsplit(['/', '"', '\'']).next().expect("a name");
    let (script, wasm) = (format!("{name}.js"), format!("{name}_bg.wasm"));
    let cut = |file: &str| Answer::Bytes(page.site.file(file)[..50_000].to_vec());
    let cases = [
        ("a missing script", &script, Answer::Missing, "404"),
        ("a script as text", &script, Answer::As("text/plain"), "text/plain"),
        ("a cut script", &script, Answer::Bytes(page.site.file(&script)[..20_000].to_vec()), "The browser says"),
        ("a missing program", &wasm, Answer::Missing, "404"),
        ("a cut program", &wasm, cut(&wasm), "cut or damaged"),
        ("a web page as program", &wasm, Answer::Bytes(b"<!doctype html>".to_vec()), "cut or damaged"),
    ];
    let text = "return document.querySelector('#opening')?.textContent ?? ''";
    for (case, file, answer, why) in cases {
        page.site.answer("sw.js", Answer::Missing);
        page.site.answer(file, answer);
        page.open("?draw=no").await;
        let told = "return document.querySelector('#opening')?.textContent.includes('cannot start') === true";
        println!("{case}");
        browser.wait_until(told, TO_LOAD).await;
        let says = browser.evaluate(text).await.as_str().expect("a text").to_owned();
        assert!(says.contains(why) && (says.contains(file) || why.contains("browser")), "{case}: {says}");
        page.site.heal();
        // No service worker, which would keep the whole file for the next case.
        page.site.answer("sw.js", Answer::Missing);
        browser.evaluate("document.querySelector('#opening button').click()").await;
        browser.wait_for_state("ready", TO_LOAD).await;
    }
    page.browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(skip_browser, ignore = "VDM_SKIP_BROWSER is set")]
async fn a_broken_worker_is_named_and_a_busy_server_is_asked_again() {
    let page = Page::new(Gpu::None).await;
    let browser = &page.browser;
    let weights = page.weights("sampling");
    let cut = Answer::Bytes(page.site.file("worker_bg.wasm")[..50_000].to_vec());
    for (file, answer, kind, why) in [
        ("worker.js", Answer::As("text/plain"), "worker-broken", "text/plain"),
        ("worker_bg.wasm", cut, "worker-", "worker_bg.wasm"),
        ("worker_bg.wasm", Answer::Missing, "worker-", "worker_bg.wasm"),
        (&weights, Answer::Failing(503, 9), "http-status", "busy"),
    ] {
        page.site.answer("sw.js", Answer::Missing);
        page.site.answer(file, answer);
        page.open("?draw=no").await;
        let (found, says) = page.failure().await;
        assert!(found.starts_with(kind) && says.contains(why), "{file}: {found}: {says}");
        page.site.heal();
        browser.click("retry").await;
        browser.wait_for_state("ready", TO_LOAD).await;
        page.forget_files().await;
    }
    // Twice busy, then there.
    page.site.answer("sw.js", Answer::Missing);
    page.site.answer(&weights, Answer::Failing(503, 2));
    page.site.answer("weights/manifest.json", Answer::Failing(503, 1));
    page.open("?draw=no").await;
    browser.wait_for_state("ready", TO_LOAD).await;
    page.browser.close().await;
}

/// What lies between a page and its server: proxies, networks of hotels, and lines that break.
#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(skip_browser, ignore = "VDM_SKIP_BROWSER is set")]
async fn what_happens_on_the_way_is_mended_or_told() {
    let page = Page::new(Gpu::None).await;
    let browser = &page.browser;
    let weights = page.weights("sampling");
    let (list, program) = ("weights/manifest.json", "worker_bg.wasm");
    let fails = |kind, says| Some((kind, says));
    let cases = [
        ("weights, then silence of the line", weights.as_str(), Answer::Cut(100_000), fails("network", "")),
        ("empty weights", &weights, Answer::Bytes(Vec::new()), fails("wrong-size", "")),
        ("weights behind a login", &weights, Answer::Elsewhere("index.html"), fails("wrong-size", "")),
        ("weights, which one may not have", &weights, Answer::Failing(403, 99), fails("http-status", "403")),
        ("weights of a server that fails", &weights, Answer::Failing(500, 99), fails("http-status", "500")),
        (
            "weights said to be compressed",
            &weights,
            Answer::With(&[("content-encoding", "gzip")]),
            fails("network", ""),
        ),
        ("a list behind a login", list, Answer::Elsewhere("index.html"), fails("manifest", "")),
        ("an empty list", list, Answer::Bytes(Vec::new()), fails("manifest", "")),
        ("a list cut short", list, Answer::Cut(100), fails("manifest", "")),
        ("a program cut short by the line", program, Answer::Cut(100_000), fails("worker-", program)),
        ("a program behind a login", program, Answer::Elsewhere("index.html"), fails("worker-", program)),
        ("too many visitors, once", &weights, Answer::Failing(429, 1), None),
        ("a gateway that waits, twice", &weights, Answer::Failing(504, 2), None),
        ("weights from another place", &weights, Answer::Elsewhere("weights/moved.safetensors"), None),
        ("weights of an unknown type", &weights, Answer::As("application/x-unknown"), None),
        ("weights that nothing may keep", &weights, Answer::With(&[("cache-control", "no-store")]), None),
        ("weights that vary", &weights, Answer::With(&[("vary", "*")]), None),
    ];
    page.site.replace("weights/moved.safetensors", page.site.file(&weights));
    for (case, file, answer, failure) in cases {
        println!("{case}");
        page.site.answer("sw.js", Answer::Missing);
        page.site.answer(file, answer);
        page.open("?draw=no").await;
        if let Some((kind, says)) = failure {
            let (found, told) = page.failure().await;
            assert!(found.starts_with(kind) && told.contains(says) && told.len() > 40, "{case}: {found}: {told}");
            page.site.heal();
            page.site.answer("sw.js", Answer::Missing);
            browser.click("retry").await;
        }
        browser.wait_for_state("ready", TO_LOAD).await;
        page.site.heal();
        page.forget_files().await;
    }
    page.browser.close().await;
}
