//! The built site without a browser: its sizes, its policy, its offline list.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use tests::programs::dist;
use vdm::weights::sha256_hex;

/// What the page may weigh, gzipped, to load within two seconds on a slow line.
const PAGE_BUDGET: usize = 350_000;
/// What the worker may weigh, gzipped.
const WORKER_BUDGET: usize = 1_500_000;

fn read(path: &Path) -> Vec<u8> {
    fs::read(path).unwrap_or_else(|e| panic!("cannot read {}: {e}", path.display()))
}

fn text(path: &Path) -> String {
    String::from_utf8(read(path)).unwrap_or_else(|e| panic!("{} is not UTF-8: {e}", path.display()))
}

/// The addresses of all files below a folder.
fn files(folder: &Path) -> Vec<String> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap_or_else(|e| panic!("cannot read {}: {e}", folder.display())) {
        let entry = entry.expect("an entry");
        let name = entry.file_name().into_string().expect("a plain name");
        if entry.path().is_dir() {
            files.extend(self::files(&entry.path()).into_iter().map(|file| format!("{name}/{file}")));
        } else {
            files.push(name);
        }
    }
    files
}

/// The size after `gzip -9`, close to what a static host sends.
fn gzipped(bytes: &[u8]) -> usize {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).and_then(|()| encoder.finish()).expect("memory").len()
}

fn assert_fits(what: &str, site: &Path, budget: usize) {
    let is_program = |file: &String| file.ends_with(".js") || file.ends_with(".wasm");
    let mut total = 0;
    for file in files(site).into_iter().filter(|file| file.starts_with(what)).filter(is_program) {
        let bytes = read(&site.join(&file));
        let size = gzipped(&bytes);
        println!("{file}: {} bytes, {size} gzipped", bytes.len());
        total += size;
    }
    println!("{what}: {total} bytes gzipped, of at most {budget}");
    assert!(total > 1000, "the site has no {what}");
    assert!(total <= budget, "the {what} has grown beyond its budget: {total} > {budget} bytes, gzipped");
}

#[test]
#[cfg_attr(skip_browser, ignore = "VDM_SKIP_BROWSER is set")]
fn page_and_worker_keep_to_their_budgets() {
    let site = dist();
    assert_fits("page", &site, PAGE_BUDGET);
    assert_fits("worker", &site, WORKER_BUDGET);
}

/// Checks only what loads something: the name of a namespace or a licence may be an address, too.
#[test]
#[cfg_attr(skip_browser, ignore = "VDM_SKIP_BROWSER is set")]
fn no_file_of_the_site_is_asked_for_elsewhere() {
    let site = dist();
    for file in files(&site) {
        if ![".html", ".css", ".webmanifest", ".svg"].iter().any(|ending| file.ends_with(ending)) {
            continue;
        }
        // One spelling of quotes and spaces.
        let text = text(&site.join(&file)).replace(['\'', ' '], "\"");
        for loads in ["src=", "href=", "action=", "\"src\":", "_url\":", "url(", "@import"] {
            let values = text.split(loads).skip(1).map(|rest| rest.split(['"', ')']).find(|value| !value.is_empty()));
            for value in values.flatten() {
                let elsewhere = value.starts_with("//") || value.contains("://");
                assert!(!elsewhere, "{file} asks another origin: {value}");
                // From the root of a server, it would miss the site's folder.
                assert!(!value.starts_with('/'), "{file} asks from the root: {value}");
            }
        }
    }
}

#[test]
#[cfg_attr(skip_browser, ignore = "VDM_SKIP_BROWSER is set")]
fn the_policy_is_strict() {
    let site = dist();
    let html = text(&site.join("index.html"));
    let (_, rest) = html.split_once("http-equiv=\"Content-Security-Policy\" content=\"").expect("a policy");
    let (policy, rest) = rest.split_once('"').expect("its end");
    let directives: BTreeMap<&str, &str> =
        policy.split("; ").map(|directive| directive.split_once(' ').expect("a name and values")).collect();
    assert_eq!(directives["default-src"], "'none'");
    assert_eq!(directives["style-src"], "'self'");
    assert_eq!(directives["worker-src"], "'self'");
    let scripts: Vec<&str> = directives["script-src"].split(' ').collect();
    assert!(scripts.starts_with(&["'self'", "'wasm-unsafe-eval'"]), "{policy}");
    let inline = html.matches("<script").count() - html.matches(" src=").count();
    assert_eq!(scripts.len() - 2, inline, "{policy}");
    assert!(scripts[2..].iter().all(|source| source.starts_with("'sha256-")), "{policy}");
    assert!(!policy.contains("'unsafe-") && !policy.contains('*') && !policy.contains("http"), "{policy}");
    // A policy in the page holds only for what follows it.
    assert!(rest.contains("<script") && rest.contains("<link"), "the policy does not come first");
}

#[test]
#[cfg_attr(skip_browser, ignore = "VDM_SKIP_BROWSER is set")]
fn the_service_worker_lists_every_file_but_the_weights() {
    let site = dist();
    let worker = text(&site.join("sw.js"));
    let (_, rest) = worker.split_once("Object.entries(").expect("a list");
    let (list, _) = rest.split_once(')').expect("its end");
    let listed: BTreeMap<String, String> = serde_json::from_str(list).expect("a list in JSON");
    let there: BTreeMap<String, String> = files(&site)
        .into_iter()
        .filter(|file| file != "sw.js" && !file.ends_with(".safetensors"))
        .map(|file| {
            let hash = sha256_hex(&read(&site.join(&file)));
            (file, hash)
        })
        .collect();
    assert_eq!(listed, there);
    for file in ["index.html", "worker.js", "worker_bg.wasm", "manifest.webmanifest", "weights/manifest.json"] {
        assert!(listed.contains_key(file), "{file} is not kept");
    }
    assert!(!worker.contains("__"), "the template is not filled in");
}

#[test]
#[cfg_attr(skip_browser, ignore = "VDM_SKIP_BROWSER is set")]
fn the_manifest_makes_the_page_installable() {
    let site = dist();
    let manifest: serde_json::Value =
        serde_json::from_slice(&read(&site.join("manifest.webmanifest"))).expect("a manifest in JSON");
    // Relative, so that it holds in any folder of any host.
    assert_eq!((manifest["start_url"].as_str(), manifest["scope"].as_str()), (Some("./"), Some("./")));
    assert_eq!(manifest["display"], "standalone");
    let icons = manifest["icons"].as_array().expect("icons");
    for icon in icons.iter().filter(|icon| icon["type"] == "image/png") {
        let file = icon["src"].as_str().expect("an address");
        let (width, height) = image::image_dimensions(site.join(file)).unwrap_or_else(|e| panic!("{file}: {e}"));
        assert_eq!(icon["sizes"], format!("{width}x{height}"), "{file}");
    }
    let has = |sizes: &str, purpose: &str| icons.iter().any(|i| i["sizes"] == sizes && i["purpose"] == purpose);
    assert!(has("192x192", "any") && has("512x512", "any") && has("512x512", "maskable"), "{icons:?}");
}
