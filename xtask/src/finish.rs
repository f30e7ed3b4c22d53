//! The last step of a build of the site: the model cards as HTML, the hashes in the page's Content-Security-Policy, and
//! the service worker's list of files.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use sha2::{Digest, Sha256};

use crate::card;
use crate::manifest::{SUFFIX, sha256};

/// What the policy in `index.html` has in place of the hashes of the inline scripts.
const INLINE_SCRIPTS: &str = "inline-scripts";
const SERVICE_WORKER: &str = "sw.js";
/// The page keeps the weights itself, those that are used.
const WEIGHTS: &str = "weights/";

/// Finishes the site in the folder that Trunk names.
pub fn trunk_site(repository: &Path) -> Result<()> {
    let staging = env::var_os("TRUNK_STAGING_DIR").map(PathBuf::from);
    let staging =
        staging.context("TRUNK_STAGING_DIR is not set: Trunk calls this command, by its hook in Trunk.toml")?;
    site(repository, &staging)
}

/// Finishes the site in a folder.
pub fn site(repository: &Path, site: &Path) -> Result<()> {
    card::render_all(&site.join(WEIGHTS))?;
    let index = site.join("index.html");
    let html = allow_inline_scripts(&read(&index)?).with_context(|| format!("cannot finish {}", index.display()))?;
    fs::write(&index, html).with_context(|| format!("cannot write {}", index.display()))?;

    let template = read(&repository.join("web/static").join(SERVICE_WORKER))?;
    let worker = service_worker(&template, &hashes(site)?)?;
    let path = site.join(SERVICE_WORKER);
    fs::write(&path, worker).with_context(|| format!("cannot write {}", path.display()))
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

/// Puts the hashes of the inline scripts into the policy, which forbids every other.
fn allow_inline_scripts(html: &str) -> Result<String> {
    let policies = html.match_indices("http-equiv=\"Content-Security-Policy\"").count();
    ensure!(policies == 1, "it has {policies} policies instead of one");
    let marks = html.matches(&format!(" {INLINE_SCRIPTS};")).count();
    ensure!(marks == 1, "its policy names `{INLINE_SCRIPTS}` {marks} times instead of once");
    let hashes: String = inline_scripts(html)
        .map(|script| format!(" 'sha256-{}'", BASE64_STANDARD.encode(Sha256::digest(script))))
        .collect();
    Ok(html.replace(&format!(" {INLINE_SCRIPTS};"), &format!("{hashes};")))
}

/// The text of each `<script>` without `src`.
fn inline_scripts(html: &str) -> impl Iterator<Item = &str> {
    html.split("<script").skip(1).filter_map(|rest| {
        let (attributes, rest) = rest.split_once('>')?;
        let (script, _) = rest.split_once("</script>")?;
        (!attributes.contains(" src=")).then_some(script)
    })
}

/// The hash of each file that the site needs offline, by address.
fn hashes(site: &Path) -> Result<BTreeMap<String, String>> {
    let mut hashes = BTreeMap::new();
    let mut folders = vec![(site.to_path_buf(), String::new())];
    while let Some((folder, address)) = folders.pop() {
        let entries = fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))?;
        for entry in entries {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let address = format!("{address}{name}");
            if path.is_dir() {
                folders.push((path, address + "/"));
            } else if address != SERVICE_WORKER && !(address.starts_with(WEIGHTS) && address.ends_with(SUFFIX)) {
                let plain = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
                ensure!(address.chars().all(plain), "`{address}` cannot be an address: rename the file");
                let bytes = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
                hashes.insert(address, sha256(&bytes));
            }
        }
    }
    Ok(hashes)
}

/// Fills in the service worker's template. Its version is a hash of the files and of its own code.
fn service_worker(template: &str, hashes: &BTreeMap<String, String>) -> Result<String> {
    for mark in ["__FILES__", "__VERSION__"] {
        ensure!(template.matches(mark).count() == 1, "the service worker's template must name {mark} once");
    }
    let worker = template.replace("__FILES__", &serde_json::to_string_pretty(hashes)?);
    let version = sha256(worker.as_bytes());
    Ok(worker.replace("__VERSION__", &version[..16]))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "<meta http-equiv=\"Content-Security-Policy\" content=\"script-src 'self' inline-scripts; x\">\
                        <script src=\"a.js\"></script><script type=\"module\">abc</script>";

    #[test]
    fn the_policy_allows_inline_scripts_by_hash() {
        let html = allow_inline_scripts(PAGE).expect("a page");
        // The SHA-256 of "abc", as in FIPS 180-4's examples.
        let policy = "content=\"script-src 'self' 'sha256-ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0='; x\"";
        assert!(html.contains(policy), "{html}");
    }

    #[test]
    fn a_page_without_its_policy_is_refused() {
        assert!(allow_inline_scripts("<script>abc</script>").is_err());
        assert!(allow_inline_scripts(&PAGE.replace("inline-scripts", "")).is_err());
    }

    #[test]
    fn the_list_has_all_but_weights_and_itself_and_names_the_version() {
        let site = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/finish-test");
        let _ = fs::remove_dir_all(&site);
        fs::create_dir_all(site.join("weights")).expect("a folder");
        for file in ["index.html", "sw.js", "weights/manifest.json", "weights/paper.safetensors"] {
            fs::write(site.join(file), "abc").expect("a file");
        }
        let mut files = hashes(&site).expect("the site");
        assert_eq!(files.keys().collect::<Vec<_>>(), ["index.html", "weights/manifest.json"]);

        let template = "const FILES = __FILES__; const CACHE = \"__VERSION__\";";
        let first = service_worker(template, &files).expect("a worker");
        assert!(first.contains("\"index.html\": \"ba7816bf") && !first.contains("__"), "{first}");
        files.insert("index.html".into(), "another".into());
        let version = |worker: &str| worker.split_once("CACHE").map(|(_, version)| version.to_owned());
        assert_ne!(version(&service_worker(template, &files).expect("a worker")), version(&first));
    }
}
