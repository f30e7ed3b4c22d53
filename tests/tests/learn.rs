//! The views that teach, and one's own weights, in a real Chromium.

use std::path::Path;
use std::time::Duration;

use burn::backend::Flex;
use serde_json::Value;
use tempfile::TempDir;
use tests::browser::{Browser, Gpu};
use tests::page::{Page, SOON, TO_SAMPLE, assert_same, natively};
use tests::programs::{run_trainer, words};
use tests::site::Answer;
use vdm::config::{Attribute, ModelConfig, Preset, SamplingConfig};
use vdm::image::{GreyImage, Origin};
use vdm::model::Networks;
use vdm::weights::{Precision, Provenance, save, save_encoder, sha256_hex};
use web::protocol::Picture;

/// The first number in a text of the page, which groups digits with thin spaces.
fn number(text: &str) -> f64 {
    let text = text.replace(['\u{202f}', '\u{a0}'], "").replace('−', "-").replace(',', ".");
    let start = text.find(|c: char| c.is_ascii_digit()).unwrap_or_else(|| panic!("no number in {text}"));
    let negative = text[..start].ends_with('-');
    let (mantissa, rest) = split_number(&text[start..]);
    // Written as 1.2·10⁻³, 1.2 × 10⁻³ or 1.2e-3.
    let exponent = exponent(rest);
    let value = mantissa * 10f64.powi(exponent);
    if negative { -value } else { value }
}

fn split_number(text: &str) -> (f64, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    (text[..end].trim_end_matches('.').parse().unwrap_or_else(|e| panic!("{text}: {e}")), &text[end..])
}

fn exponent(rest: &str) -> i32 {
    if let Some(written) = rest.strip_prefix('e') {
        let end = written.find(|c: char| !c.is_ascii_digit() && c != '-').unwrap_or(written.len());
        return written[..end].parse().unwrap_or(0);
    }
    let rest = rest.trim_start_matches([' ', '·', '×']);
    let Some(raised) = rest.strip_prefix("10") else { return 0 };
    let digits = "⁰¹²³⁴⁵⁶⁷⁸⁹";
    let negative = raised.starts_with('⁻');
    let value = raised.chars().filter_map(|c| digits.chars().position(|d| d == c)).fold(0, |n, d| n * 10 + d as i32);
    if negative { -value } else { value }
}

async fn reads(browser: &Browser, id: &str) -> f64 {
    number(&browser.text(id).await)
}

/// A picture of no lung: stripes and a disc, twice as wide as high.
fn own_picture(folder: &Path) -> std::path::PathBuf {
    let image = image::GrayImage::from_fn(640, 320, |x, y| {
        let (dx, dy) = (x as f64 - 320.0, y as f64 - 160.0);
        image::Luma([if dx.hypot(dy) < 90.0 { 200 } else { 60 + (x % 64) as u8 }])
    });
    let path = folder.join("own.png");
    image.save(&path).expect("a picture is written");
    path
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(skip_browser, ignore = "VDM_SKIP_BROWSER is set")]
async fn an_image_is_noised_by_hand_and_denoised_from_there() {
    let page = Page::ready(Gpu::None, "").await;
    let browser = &page.browser;
    page.go("forward").await;
    browser.click("example-0").await;
    browser.slide("forward-t", 0.5).await;
    let drawn = |canvas: &str| {
        format!(
            "const c = document.querySelector('[data-testid=\"{canvas}\"]'); return c !== null && \
                 c.getContext('2d').getImageData(0, 0, c.width, c.height).data.some(v => v > 0 && v < 255)"
        )
    };
    browser.wait_until(&drawn("forward-noisy"), TO_SAMPLE).await;
    let (alpha2, sigma2) = (reads(browser, "forward-alpha2").await, reads(browser, "forward-sigma2").await);
    let (snr, gamma) = (reads(browser, "forward-snr").await, reads(browser, "forward-gamma").await);
    // Shown with about three digits.
    assert!((alpha2 + sigma2 - 1.0).abs() < 2e-3, "{alpha2} {sigma2}");
    assert!((snr / (alpha2 / sigma2) - 1.0).abs() < 2e-2, "{snr} {alpha2} {sigma2}");
    assert!(((-gamma).exp() / snr - 1.0).abs() < 2e-2, "{gamma} {snr}");
    // What the guess gets wrong is its difference from the image, four times as strong, but for the label's rows.
    let half = page.pixels("forward-noisy").await;
    let clean = page.pixels("forward-clean").await;
    let (guess, error) = (page.pixels("forward-guess").await, page.pixels("forward-error").await);
    assert!(guess != clean && guess != half);
    let above_the_label = 256 * 200;
    let differs = |i: usize| clean[i].abs_diff(guess[i]).saturating_mul(Picture::MAGNIFIED) == error[i];
    assert!((0..above_the_label).all(differs));
    let off = "return Number(document.querySelector('[data-testid=forward-error]').closest('figure')\
               .querySelector('figcaption').textContent.match(/: ([0-9.]+) of 255/)[1])";
    let at_half = browser.evaluate(off).await.as_f64().expect("a number");
    // More noise, another picture and less signal.
    browser.slide("forward-t", 1.0).await;
    browser.wait_until("return Number(document.querySelector('[data-testid=forward-alpha2]').textContent.replace(',', '.').match(/[0-9.]+/)[0]) < 0.02", SOON).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(page.pixels("forward-noisy").await != half);
    let at_one = browser.evaluate(off).await.as_f64().expect("a number");
    assert!(at_one > at_half, "the guess is worse where there is more noise: {at_one} {at_half}");
    // The time is dragged on the picture, and on the schedule's curves.
    browser.drag("forward-noisy", 0.25).await;
    browser.wait_until("return document.querySelector('[data-testid=forward-t]').value === '0.25'", SOON).await;
    page.go("schedule").await;
    browser.drag("schedule-gamma-plot", 0.5).await;
    // The axis begins at 48 of 360 and ends at 344.
    let value = "return Math.abs(document.querySelector('[data-testid=schedule-t]').value - 0.445) < 0.01";
    browser.wait_until(value, SOON).await;
    page.go("forward").await;
    // With little noise, denoising brings the image back.
    browser.slide("forward-t", 0.05).await;
    browser.click("denoise").await;
    browser.wait_for_attribute("denoised", "data-finished", "true", TO_SAMPLE).await;
    let back = page.pixels("denoised").await;
    let rms = (back.iter().zip(&clean).map(|(a, b)| f64::from(a.abs_diff(*b)).powi(2)).sum::<f64>()
        / back.len() as f64)
        .sqrt();
    println!("denoised from t = 0.05: RMS {rms:.2} grey levels from the image");
    assert!(rms < 12.0, "{rms}");

    // A picture of one's own: the encoder is fetched only now, and nothing is sent.
    let encoder = page.weights("encoder");
    assert!(!page.site.asked().contains(&encoder), "nothing needed the encoder yet");
    let folder = TempDir::new().expect("a folder");
    browser.give_files("subject-file", &[&own_picture(folder.path())]).await;
    browser.wait_for_text("subject-name", "own.png", SOON).await;
    browser.slide("forward-t", 0.2).await;
    browser.wait_until(&drawn("forward-noisy"), TO_SAMPLE).await;
    browser.wait_for_state("done", TO_SAMPLE).await;
    assert!(page.site.asked().contains(&encoder));
    // A file that is no picture is refused with a message, and changes nothing.
    let bad = folder.path().join("bad.png");
    std::fs::write(&bad, "no picture").expect("a file");
    browser.give_files("subject-file", &[&bad]).await;
    browser.wait_for_text("notice", "bad.png", SOON).await;
    page.asked_nobody_else().await;
    page.browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(skip_browser, ignore = "VDM_SKIP_BROWSER is set")]
async fn the_schedule_is_that_of_the_weights() {
    let page = Page::ready(Gpu::None, "").await;
    let browser = &page.browser;
    page.go("schedule").await;
    for plot in ["schedule-gamma-plot", "schedule-snr-plot"] {
        let script = format!(
            "return document.querySelector('[data-testid={plot}] path, [data-testid={plot}] polyline')\
                              .getTotalLength() > 100"
        );
        browser.wait_until(&script, SOON).await;
    }
    let (_, networks) =
        vdm::weights::load::<Flex>(&std::fs::read(page.weights_path()).expect("weights"), &Default::default())
            .expect("weights");
    let schedule = tests::block_on(networks.schedule.read()).expect("a schedule");
    for t in [0.0, 0.3, 1.0] {
        browser.slide("schedule-t", t).await;
        let gamma = reads(browser, "schedule-gamma").await;
        assert!((gamma - schedule.gamma(t)).abs() < 6e-3, "γ({t}) is {}, and the page says {gamma}", schedule.gamma(t));
        let snr = reads(browser, "schedule-snr").await;
        assert!((snr / (-schedule.gamma(t)).exp() - 1.0).abs() < 2e-2, "{snr}");
    }
    page.browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(skip_browser, ignore = "VDM_SKIP_BROWSER is set")]
async fn the_bound_is_what_the_trainer_measures() {
    let page = Page::ready(Gpu::None, "").await;
    let browser = &page.browser;
    // A square picture of the model's size reaches the model as it is.
    let folder = TempDir::new().expect("a folder");
    let sample = natively(&page.weights_path(), "3", "20", "ddim");
    let image = GreyImage { width: 256, height: 256, pixels: sample };
    let path = folder.path().join("image.png");
    std::fs::write(&path, image.to_png(&Origin::default()).expect("a PNG")).expect("a file");
    page.go("bound").await;
    browser.give_files("subject-file", &[&path]).await;
    browser.click("measure").await;
    browser
        .wait_until(
            "return /\\d/.test(document.querySelector('[data-testid=bound-total]')?.textContent ?? '')",
            TO_SAMPLE,
        )
        .await;
    let weights = page.weights_path();
    let line = ["evaluate", "--json", "--device", "cpu", "--times", "16", "--data", "."].map(String::from);
    let line = line.into_iter().chain(["--weights".into(), weights.to_str().expect("a plain path").into()]);
    let said = run_trainer(folder.path(), line).ok();
    let report: Value = serde_json::from_str(&said.stdout).expect("JSON");
    for (id, term) in [
        ("bound-reconstruction", "reconstruction"),
        ("bound-floor", "entropy_floor"),
        ("bound-latent", "latent"),
        ("bound-diffusion", "diffusion"),
        ("bound-total", "total"),
    ] {
        let expected = report["bits_per_dim"][term].as_f64().expect("a number");
        let shown = reads(browser, id).await;
        println!("{term}: {shown} on the page, {expected} by the trainer");
        // The page shows three significant digits, or four decimals.
        assert!((shown - expected).abs() <= (0.006 * expected.abs()).max(6e-5), "{term}: {shown} against {expected}");
    }
    // The bar of the diffusion term answers the time: all of it at 0, nothing at 1, and the picture has the same time.
    let all = browser.text("bound-diffusion").await;
    for (t, told) in
        [(0.0, format!("t = 0.00: {all} of the {all} bits")), (1.0, format!("t = 1.00: 0.0000 of the {all} bits"))]
    {
        browser.slide("bound-t", t).await;
        browser.wait_for_text("bound-told", &told, SOON).await;
    }
    page.go("forward").await;
    assert_eq!(browser.evaluate("return document.querySelector('[data-testid=forward-t]').value").await, "1");
    page.browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(skip_browser, ignore = "VDM_SKIP_BROWSER is set")]
async fn a_download_is_cancelled_at_once() {
    let page = Page::ready(Gpu::None, "").await;
    let browser = &page.browser;
    // No bytes come for longer than the page waits for a worker that hangs.
    page.site.answer(&page.weights("encoder"), Answer::Slowly(Duration::from_secs(15)));
    page.go("bound").await;
    browser.click("measure").await;
    browser.wait_for_text("status", "Fetching the encoder", SOON).await;
    browser.click("cancel").await;
    browser.wait_for_text("notice", "Stopped.", Duration::from_secs(3)).await;
    browser.wait_for_state("ready", SOON).await;
    // The same worker goes on, and can fetch the encoder later.
    page.site.heal();
    browser.click("measure").await;
    browser.wait_for_text("status", "Measuring", SOON).await;
    page.browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(skip_browser, ignore = "VDM_SKIP_BROWSER is set")]
async fn one_seed_becomes_another() {
    let page = Page::ready(Gpu::None, "").await;
    let browser = &page.browser;
    page.generate("11", "10", "ddim").await;
    let first = page.pixels("canvas").await;
    page.go("between").await;
    browser.type_into("between-from", "11").await;
    browser.type_into("between-to", "12").await;
    browser.slide("between-frames", 5.0).await;
    browser.click("between-generate").await;
    browser.wait_for_attribute("between-0", "data-finished", "true", TO_SAMPLE).await;
    assert!(browser.has("between-4").await && !browser.has("between-5").await);
    assert_same("the first", &page.pixels("between-0").await, &first, 1);
    assert_ne!(page.pixels("between-2").await, page.pixels("between-4").await);
    // The animation moves once it is asked to.
    let before = page.pixels("between-animation").await;
    browser.click("between-play").await;
    let mut moved = false;
    for _ in 0..100 {
        tokio::time::sleep(Duration::from_millis(50)).await;
        moved |= page.pixels("between-animation").await != before;
    }
    assert!(moved, "nothing moves");
    browser.click("between-save").await;
    let strip = browser.downloaded("synthetic-xray-seed11-steps10-ddim-between.png").await;
    assert_eq!(image::open(strip).expect("a PNG").width(), 5 * 258 - 2);
    browser.click("between-save-animation").await;
    let path = browser.downloaded("synthetic-xray-seed11-steps10-ddim-between-animation.png").await;
    let file = std::io::BufReader::new(std::fs::File::open(path).expect("a file"));
    let reader = png::Decoder::new(file).read_info().expect("a PNG");
    assert_eq!(reader.info().animation_control().map(|control| control.num_frames), Some(8), "there and back");
    page.browser.close().await;
}

/// The numbers of a path on the map, two by two.
async fn places(browser: &Browser, path: &str) -> Vec<[f64; 2]> {
    let script = format!("return document.querySelector('[data-testid=map] {path}').getAttribute('d')");
    let path = browser.evaluate(&script).await;
    let path = path.as_str().expect("a path").split('m').next().expect("its start").replace("h0", "");
    let numbers = path.split(['M', ' ']).filter(|number| !number.is_empty());
    let numbers: Vec<f64> = numbers.map(|number| number.parse().unwrap_or_else(|e| panic!("{number}: {e}"))).collect();
    numbers.chunks(2).map(|place| [place[0], place[1]]).collect()
}

/// A place on the map is written to a hundredth.
fn assert_near(what: &str, a: [f64; 2], b: [f64; 2], most: f64) {
    let apart = (a[0] - b[0]).hypot(a[1] - b[1]);
    println!("{what}: {apart:.3} apart");
    assert!(apart <= most, "{what}: {a:?} and {b:?}");
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(skip_browser, ignore = "VDM_SKIP_BROWSER is set")]
async fn a_run_is_a_trail_on_the_map() {
    const TRAIL: &str = "path:not(.map-drawn)";
    let page = Page::ready(Gpu::None, "?backend=cpu").await;
    let browser = &page.browser;
    // Before a run there is none, and the map says nothing of it.
    page.go("map").await;
    assert_eq!((places(browser, TRAIL).await, browser.text("map-here").await), (vec![], String::new()));
    page.go("generate").await;
    page.generate("11", "12", "ddim").await;
    let drawn = page.pixels("canvas").await;
    page.go("map").await;
    browser.wait_for_text("map-here", "pictures from the middle", SOON).await;
    let trail = places(browser, TRAIL).await;
    assert!(trail.len() >= 3, "{trail:?}");
    let (first, end) = (trail[0], trail[trail.len() - 1]);
    // Where this crate puts the picture, with the label in its last rows.
    let picture = Picture { width: 256, height: 256, pixels: drawn };
    assert_near("the end", end, web::map::place(&picture), 0.4);
    assert_eq!(places(browser, ".map-drawn").await, [end]);
    let says = browser.text("map-here").await;
    for place in [first, end] {
        // One decimal of what is written to a hundredth.
        let from_middle = web::map::from_middle(place);
        let shown = says.split([' ', ',']).filter_map(|word| word.trim_end_matches('.').parse::<f64>().ok());
        assert!(shown.into_iter().any(|shown| (shown - from_middle).abs() < 0.07), "{from_middle}: {says}");
    }
    // The first guess is the average picture, whichever the noise is.
    assert!(web::map::from_middle(first) < 2.0, "{first:?}");
    assert_eq!(browser.evaluate("return (await fetch('map.jpg')).status").await, 200);

    // The trail goes as far as the moment that is looked at.
    let count = "document.querySelector('[data-testid=map] path:not(.map-drawn)').getAttribute('d').split(' ').length";
    let all = browser.evaluate(&format!("return {count}")).await;
    browser.slide("timeline", 0.0).await;
    browser.wait_until(&format!("return {count} < {all}"), SOON).await;
    let start = places(browser, TRAIL).await;
    assert_eq!(start.len(), 1, "{start:?}");
    assert_near("the first guess", start[0], first, 0.02);
    // By keyboard, then by itself.
    let few = browser.evaluate(&format!("return {count}")).await;
    browser.evaluate("document.querySelector('[data-testid=timeline]').focus()").await;
    for _ in 0..6 {
        browser.press('\u{e014}').await;
    }
    browser.wait_until(&format!("return {count} > {few}"), SOON).await;
    browser.click("play").await;
    browser.wait_until(&format!("return {count} === {all}"), SOON).await;
    assert_near("the end again", *places(browser, TRAIL).await.last().expect("an end"), end, 0.02);

    // Another seed ends elsewhere, and what was drawn before stays.
    browser.click("map-draw").await;
    browser
        .wait_until("return document.querySelector('.map-drawn').getAttribute('d').split('M').length === 3", TO_SAMPLE)
        .await;
    let ends = places(browser, ".map-drawn").await;
    assert_eq!(ends[0], end);
    assert_ne!(ends[1], end);
    assert_near("the new end", *places(browser, TRAIL).await.last().expect("an end"), ends[1], 0.02);
    page.asked_nobody_else().await;
    page.browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(skip_browser, ignore = "VDM_SKIP_BROWSER is set")]
async fn two_samplers_race() {
    let page = Page::ready(Gpu::None, "").await;
    let browser = &page.browser;
    page.go("race").await;
    browser.type_into("race-seed", "9").await;
    for (lane, sampler, steps) in [("left", "dpmpp-2m", "5"), ("right", "ddim", "40")] {
        browser.select(&format!("race-{lane}-sampler"), sampler).await;
        browser.type_into(&format!("race-{lane}-steps"), steps).await;
    }
    browser.click("race-start").await;
    browser.wait_for_attribute("race-right", "data-finished", "true", TO_SAMPLE).await;
    let weights = page.weights_path();
    let (left, right) = (natively(&weights, "9", "5", "dpmpp-2m"), natively(&weights, "9", "40", "ddim"));
    assert_same("left", &page.pixels("race-left").await, &left, 1);
    assert_same("right", &page.pixels("race-right").await, &right, 1);
    for lane in ["race-left-time", "race-right-time"] {
        assert!(reads(browser, lane).await >= 0.0);
    }
    // Of the pictures without their label; the trainer's are labelled the same, which adds nothing.
    let square = |(a, b): (&u8, &u8)| f64::from(a.abs_diff(*b)).powi(2);
    let rms = (left.iter().zip(&right).map(square).sum::<f64>() / left.len() as f64).sqrt();
    let shown = reads(browser, "race-difference").await;
    assert!(shown > 0.0 && (shown - rms).abs() < 0.1 * rms.max(1.0), "{shown} on the page, {rms} here");
    page.browser.close().await;
}

/// A user's own model with these attributes: the paths of both files.
fn own_model(folder: &Path, attributes: &[(&str, [&str; 2])]) -> (std::path::PathBuf, std::path::PathBuf) {
    let device = Default::default();
    let config = ModelConfig { attributes: vec![2; attributes.len()], ..Preset::Quick.model() };
    let attributes = attributes
        .iter()
        .map(|(name, values)| Attribute { name: (*name).to_owned(), values: values.map(str::to_owned).to_vec() });
    let networks = Networks::<Flex>::new(&config, 3, &device).expect("networks");
    let provenance = Provenance {
        name: "my-own".into(),
        data: "drawings of mine".into(),
        attributes: attributes.collect(),
        ..Provenance::default()
    };
    let bytes = save(&networks, &config, &SamplingConfig::default(), &provenance, Precision::F32).expect("bytes");
    let encoder = networks.encoder.expect("an encoder");
    let encoder = save_encoder(&encoder, &config, &provenance, &sha256_hex(&bytes), Precision::F32).expect("bytes");
    let paths = (folder.join("my-own.safetensors"), folder.join("my-own-encoder.safetensors"));
    std::fs::write(&paths.0, bytes).expect("a file");
    std::fs::write(&paths.1, encoder).expect("a file");
    paths
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(skip_browser, ignore = "VDM_SKIP_BROWSER is set")]
async fn ones_own_weights_are_used_or_refused_readably() {
    let page = Page::ready(Gpu::None, "").await;
    let browser = &page.browser;
    let folder = TempDir::new().expect("a folder");
    let (sampling, encoder) = own_model(folder.path(), &[]);
    let bytes = std::fs::read(&sampling).expect("a file");

    // A wrong file is refused with a reason, and the loaded model stays.
    let claim = |header: &str| [&(header.len() as u64).to_le_bytes(), header.as_bytes()].concat();
    let mut header_flipped = bytes.clone();
    header_flipped[40] ^= 0x55;
    let site_hash = browser.attribute("app", "data-state").await;
    page.go("weights").await;
    for (name, content) in [
        ("empty.safetensors", Vec::new()),
        ("text.safetensors", b"# Model card".to_vec()),
        ("cut.safetensors", bytes[..bytes.len() / 2].to_vec()),
        ("flipped.safetensors", header_flipped),
        ("huge-header.safetensors", [&u64::MAX.to_le_bytes()[..], b"{}"].concat()),
        // 4 GB of numbers in 100 bytes.
        ("huge.safetensors", claim(r#"{"w":{"dtype":"F32","shape":[32768,32768],"data_offsets":[0,4294967296]}}"#)),
        ("page.safetensors", page.site.file("index.html")),
        ("encoder.safetensors", std::fs::read(&encoder).expect("a file")),
    ] {
        let path = folder.path().join(name);
        std::fs::write(&path, content).expect("a file");
        browser.give_files("weights-file", &[&path]).await;
        browser.wait_for_text("notice", name, SOON).await;
        let notice = browser.text("notice").await;
        assert!(notice.len() > name.len() + 20, "{name}: {notice}");
        assert_eq!(browser.attribute("app", "data-state").await, site_hash, "{name}");
        browser.click("notice-close").await;
    }
    // Random damage to the header: no crash, whatever it says.
    let mut noise = vdm::rng::Rng::new(1, vdm::rng::RngStream::Order, 0);
    for round in 0..20 {
        let mut damaged = bytes.clone();
        for _ in 0..8 {
            let place = noise.below(2000);
            damaged[place] = noise.below(256) as u8;
        }
        let name = format!("damaged-{round}.safetensors");
        let path = folder.path().join(&name);
        std::fs::write(&path, damaged).expect("a file");
        browser.give_files("weights-file", &[&path]).await;
        browser.wait_for_text("notice", &name, SOON).await;
        browser.click("notice-close").await;
    }

    // Dropped on the page rather than chosen.
    let drop = "const data = new DataTransfer(); data.items.add(new File(['no weights'], 'dropped.safetensors')); \
                const target = document.querySelector('main'); \
                for (const kind of ['dragenter', 'dragover', 'drop']) target.dispatchEvent( \
                    new DragEvent(kind, { dataTransfer: data, bubbles: true, cancelable: true }))";
    browser.evaluate(drop).await;
    browser.wait_for_text("notice", "dropped.safetensors", SOON).await;
    browser.click("notice-close").await;

    browser.give_files("weights-file", &[&encoder, &sampling]).await;
    browser.wait_for_text("weights", "my-own", SOON).await;
    assert!(browser.text("weights-provenance").await.contains("drawings of mine"));
    assert!(browser.text("weights-config").await.contains("\"dim\""));
    let hash = sha256_hex(&bytes);
    assert!(browser.text("weights-hash").await.contains(&hash[..12]));
    page.go("generate").await;
    page.generate("4", "6", "ddim").await;
    // Smaller than its label, which stands below it.
    let native = natively(&sampling, "4", "6", "ddim");
    let shown = page.pixels("canvas").await;
    assert_eq!(shown.len(), native.len());
    assert!(shown.iter().zip(&native).all(|(a, b)| a.abs_diff(*b) <= 1));
    // Its encoder came with it.
    page.go("bound").await;
    browser.click("subject-sample").await;
    browser.click("measure").await;
    browser
        .wait_until("return /\\d/.test(document.querySelector('[data-testid=bound-total]')?.textContent ?? '')", SOON)
        .await;
    page.go("weights").await;
    browser.click("weights-site").await;
    browser.wait_for_text("weights-hash", &sha256_hex(&page.site.file(&page.weights("sampling")))[..12], SOON).await;
    page.browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(skip_browser, ignore = "VDM_SKIP_BROWSER is set")]
async fn class_and_guidance_are_offered_where_the_weights_have_classes() {
    let page = Page::ready(Gpu::None, "").await;
    let browser = &page.browser;
    assert!(!browser.has("class").await, "these weights have none");
    let folder = TempDir::new().expect("a folder");
    let (sampling, _) = own_model(folder.path(), &[("finding", ["No Finding", "Pneumonia"]), ("view", ["AP", "PA"])]);
    page.go("weights").await;
    browser.give_files("weights-file", &[&sampling]).await;
    browser.wait_for_text("weights", "my-own", SOON).await;
    page.go("generate").await;
    browser.select("class", "1").await;
    browser.select("class-2", "1").await;
    browser.unfold("more").await;
    browser.type_into("guidance", "2.5").await;
    page.generate("6", "5", "ddim").await;
    let shown = page.pixels("canvas").await;
    let line = "sample --device cpu --weights my-own.safetensors --seed 6 --steps 5 --sampler ddim --class view=PA,Pneumonia \
                --guidance 2.5 --out image.png";
    run_trainer(folder.path(), words(line)).ok();
    let native = image::open(folder.path().join("image.png")).expect("a picture").into_luma8().into_raw();
    assert_eq!(shown.len(), native.len());
    assert!(shown.iter().zip(&native).all(|(a, b)| a.abs_diff(*b) <= 1));
    // The link says so, too.
    for part in ["class=4", "guidance=2.5"] {
        assert!(browser.address().await.contains(part), "no {part} in {}", browser.address().await);
    }

    // One seed for one class and for another, side by side.
    page.go("conditions").await;
    browser.click("pin").await;
    browser.wait_for_attribute("pin", "aria-pressed", "true", SOON).await;
    browser.wait_for_attribute("noisy", "aria-label", "Pinned: seed 6, Pneumonia, PA", SOON).await;
    browser.select("class-2", "0").await;
    browser.click("ask-draw").await;
    browser.wait_until("return location.search.includes('class=1')", TO_SAMPLE).await;
    browser.wait_for_text("status", "Done: seed 6, 5 steps", TO_SAMPLE).await;
    assert!(page.pixels("noisy").await == shown, "what is pinned");
    // The same seed with another class: untrained weights draw the same for both.
    assert!(!browser.address().await.contains("class=4"), "{}", browser.address().await);
    page.go("generate").await;
    assert!(page.pixels("noisy").await == shown, "pinned in every view");
    browser.click("pin").await;
    browser.wait_for_attribute("noisy", "aria-label", "z, the noisy state", SOON).await;
    page.browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(skip_browser, ignore = "VDM_SKIP_BROWSER is set")]
async fn the_game_shows_a_real_and_a_drawn_picture_and_counts() {
    let page = Page::ready(Gpu::None, "").await;
    let browser = &page.browser;
    // The service worker keeps them once the model is there; the page itself has asked for none.
    let fetched = "return performance.getEntriesByType('resource').some(entry => entry.name.includes('/real/'))";
    assert_eq!(browser.evaluate(fetched).await, Value::Bool(false));
    let mut right = 0;
    for round in 1..=3 {
        page.go("game").await;
        browser.resize(360, 740).await;
        let possible = "return document.querySelector('[data-testid=game-pick-left]')?.ariaDisabled === 'false'";
        browser.wait_until(possible, TO_SAMPLE).await;
        let (left, other) = (page.pixels("game-left").await, page.pixels("game-right").await);
        assert_ne!(left, other);
        for pixels in [&left, &other] {
            // Nothing gives it away: the label is drawn only after the answer.
            assert!(pixels.iter().any(|&value| value > 100), "there is a picture");
        }
        // By keyboard.
        browser.evaluate("document.querySelector('[data-testid=game-pick-left]').focus()").await;
        browser.press('\u{e007}').await;
        browser.find("game-next").await;
        let truth = browser.text("game-truth-left").await;
        let is_drawn = truth.contains("from seed");
        assert!(is_drawn != browser.text("game-truth-right").await.contains("from seed"));
        right += u32::from(is_drawn);
        let verdict = browser.text("game-verdict").await;
        assert_eq!(verdict.starts_with("Right"), is_drawn, "{verdict}");
        browser.wait_for_text("game-score", &format!("{right} of {round} right"), SOON).await;
        let after = page.pixels(if is_drawn { "game-left" } else { "game-right" }).await;
        assert_ne!(after, if is_drawn { left } else { other }, "now it is labelled");
        browser.click("game-loupe").await;
        browser.slide("loupe-across", 0.0).await;
        let scaled = "const style = getComputedStyle(document.querySelector('[data-testid=game-left]')); \
                      return style.transform.startsWith('matrix(3') && style.transformOrigin.startsWith('0px')";
        browser.wait_until(scaled, SOON).await;
        browser.click("game-loupe").await;
        browser.click("game-next").await;
        page.go("about").await;
    }
    page.asked_nobody_else().await;
    page.browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(skip_browser, ignore = "VDM_SKIP_BROWSER is set")]
async fn a_saved_picture_is_drawn_again_and_compared() {
    let page = Page::ready(Gpu::None, "?backend=cpu").await;
    let browser = &page.browser;
    page.generate("41", "6", "dpmpp-2m").await;
    browser.click("save").await;
    let saved = browser.downloaded("synthetic-xray-seed41-steps6.png").await;
    page.go("game").await;
    // The game draws first.
    let possible = "return document.querySelector('[data-testid=verify-file]')?.disabled === false";
    browser
        .wait_until(
            "return document.querySelector('[data-testid=game-pick-left]')?.ariaDisabled === 'false'",
            TO_SAMPLE,
        )
        .await;
    browser.wait_until(possible, TO_SAMPLE).await;
    browser.give_files("verify-file", &[&saved]).await;
    browser.wait_for_text("verdict", "Exactly what these weights draw from seed 41", TO_SAMPLE).await;
    assert_eq!(page.pixels("verify-given").await, page.pixels("verify-again").await);
    assert!(page.pixels("verify-difference").await.iter().all(|&grey| grey == 0));
    // Without the metadata, nothing is known.
    let bare = saved.with_file_name("bare.png");
    image::open(&saved).expect("a picture").save(&bare).expect("a file");
    browser.wait_until(possible, TO_SAMPLE).await;
    browser.give_files("verify-file", &[&bare]).await;
    browser.wait_for_text("verdict", "Cannot tell", SOON).await;
    assert!(!browser.has("verify-given").await);
    page.browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(skip_browser, ignore = "VDM_SKIP_BROWSER is set")]
async fn a_small_model_learns_points_in_the_page() {
    let page = Page::ready(Gpu::None, "?backend=cpu").await;
    let browser = &page.browser;
    page.go("learn").await;
    assert!(browser.attribute("toy-canvas", "aria-label").await.starts_with("400 points"));
    assert_eq!(browser.text("toy-error").await, "–");
    let step = "Number(document.querySelector('[data-testid=toy-step]').textContent.split(' ')[0])";
    browser.click("toy-start").await;
    browser.wait_until(&format!("return {step} >= 300"), TO_SAMPLE).await;
    assert!(number(&browser.text("toy-error").await) < 10.0, "{}", browser.text("toy-error").await);
    assert!(number(&browser.text("toy-diffusion").await) > 0.0);
    assert!(browser.has("toy-gamma").await);
    // It pauses, and goes on.
    browser.click("toy-start").await;
    browser.wait_for_text("toy-start", "Go on", SOON).await;
    tokio::time::sleep(Duration::from_millis(700)).await;
    let paused = browser.evaluate(&format!("return {step}")).await;
    tokio::time::sleep(Duration::from_millis(700)).await;
    assert_eq!(browser.evaluate(&format!("return {step}")).await, paused);
    browser.click("toy-start").await;
    browser.wait_until(&format!("return {step} > {paused}"), SOON).await;
    // Points that are added are learned from the start.
    browser
        .evaluate(
            "const canvas = document.querySelector('[data-testid=toy-canvas]'); \
             const box = canvas.getBoundingClientRect(); \
             const at = (type, x, y, buttons) => canvas.dispatchEvent(new PointerEvent(type, { bubbles: true, buttons, \
                 clientX: box.left + x * box.width, clientY: box.top + y * box.height })); \
             at('pointerdown', 0.1, 0.1, 1); at('pointermove', 0.2, 0.1, 1); at('pointerup', 0.2, 0.1, 0);",
        )
        .await;
    assert!(browser.attribute("toy-canvas", "aria-label").await.starts_with("402 points"));
    browser.wait_until(&format!("return {step} < {paused}"), SOON).await;
    // Elsewhere the page is free.
    page.go("generate").await;
    browser.wait_for_state("ready", SOON).await;
    page.generate("3", "4", "ddim").await;
    page.browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(skip_browser, ignore = "VDM_SKIP_BROWSER is set")]
async fn the_story_shows_each_figure_on_the_last_image() {
    let page = Page::ready(Gpu::None, "?backend=cpu").await;
    let browser = &page.browser;
    page.generate("5", "6", "ddim").await;
    let image = page.pixels("canvas").await;
    page.go("story").await;
    let chapters = browser.evaluate("return Array.from(document.querySelectorAll('.chapter'), h => h.id)").await;
    assert_eq!(
        chapters,
        serde_json::json!(
            ["forward", "schedule", "bound", "map", "conditions", "race", "between", "learn", "copies"]
                .map(|name| format!("{name}-heading"))
        )
    );
    let part = "return document.querySelector('.parts').dataset.part";
    assert_eq!(browser.evaluate(part).await, "picture");
    browser.click("race-start").await;
    browser.wait_until(&format!("{part} === 'net'"), SOON).await;
    browser.wait_until(&format!("{part} === 'picture'"), TO_SAMPLE).await;
    let ids = browser.evaluate(
        "const ids = Array.from(document.querySelectorAll('[id]'), of => of.id); return ids.length - new Set(ids).size",
    );
    assert_eq!(ids.await, 0, "ids that are there twice");
    browser.click("subject-sample").await;
    browser
        .wait_until(
            "return document.querySelector('[data-testid=forward-clean]').parentElement.dataset.empty === 'false'",
            TO_SAMPLE,
        )
        .await;
    assert_eq!(page.pixels("forward-clean").await, image);
    browser.slide("forward-t", 1.0).await;
    browser.click("measure").await;
    browser.wait_until("return document.querySelector('[data-testid=bound-total]') !== null", TO_SAMPLE).await;
    // The Bernoulli bound of `paper` is not one of grey values, and no file's size compares with it.
    assert_eq!(browser.evaluate("return document.querySelector('[data-testid=bound-png]')").await, Value::Null);
    page.browser.close().await;
}
