//! `web/weights/manifest.json`, which the page reads to know its weights: see `web/src/manifest.rs`.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

const VERSION: u32 = 1;
/// The extension of files of weights.
pub const SUFFIX: &str = ".safetensors";

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Manifest {
    version: u32,
    default: String,
    models: Vec<Model>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Model {
    name: String,
    title: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    card: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    examples: Vec<u64>,
    sampling: File,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    encoder: Option<File>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct File {
    file: String,
    bytes: u64,
    sha256: String,
}

/// Writes the manifest of the weights in a folder.
///
/// `NAME.safetensors` is a model, `NAME-encoder.safetensors` its encoder and `NAME.md` its card. Titles,
/// examples, and which model the page opens with, are kept from the present manifest.
pub fn write(folder: &Path) -> Result<()> {
    let path = folder.join("manifest.json");
    let present = match fs::read(&path) {
        Ok(bytes) => serde_json::from_slice(&bytes).with_context(|| format!("{} is damaged", path.display()))?,
        Err(_) => Manifest { version: VERSION, default: "paper".into(), models: Vec::new() },
    };
    let manifest = describe(folder, present)?;
    let mut text = serde_json::to_string_pretty(&manifest)?;
    text.push('\n');
    fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    println!("{}: {} models, the page opens with {}", path.display(), manifest.models.len(), manifest.default);
    Ok(())
}

fn describe(folder: &Path, present: Manifest) -> Result<Manifest> {
    let files = weights(folder)?;
    let encoder_of = |name: &str| files.get(&format!("{name}-encoder"));
    let is_encoder = |name: &str| name.strip_suffix("-encoder").is_some_and(|model| files.contains_key(model));
    let mut models = Vec::new();
    for name in files.keys().filter(|name| !is_encoder(name)) {
        let old = present.models.iter().find(|model| model.name == *name);
        let card = format!("{name}.md");
        models.push(Model {
            name: name.clone(),
            title: old.map_or_else(|| name.clone(), |model| model.title.clone()),
            card: folder.join(&card).exists().then_some(card),
            examples: old.map_or_else(Vec::new, |model| model.examples.clone()),
            sampling: hash(folder, &files[name])?,
            encoder: encoder_of(name).map(|file| hash(folder, file)).transpose()?,
        });
    }
    let default = models.iter().map(|model| &model.name).find(|name| **name == present.default);
    let Some(default) = default.or(models.first().map(|model| &model.name)).cloned() else {
        anyhow::bail!("{} holds no {SUFFIX} file", folder.display());
    };
    Ok(Manifest { version: VERSION, default, models })
}

/// Files of weights by their names without the ending.
fn weights(folder: &Path) -> Result<BTreeMap<String, String>> {
    let mut files = BTreeMap::new();
    let entries = fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    for entry in entries {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if let Some(stem) = name.strip_suffix(SUFFIX) {
            ensure!(
                stem.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')),
                "`{name}` cannot be part of an address: letters, digits, `.`, `-` and `_` are accepted"
            );
            files.insert(stem.to_owned(), name.clone());
        }
    }
    Ok(files)
}

fn hash(folder: &Path, file: &str) -> Result<File> {
    let path = folder.join(file);
    let bytes = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(File { file: file.to_owned(), bytes: bytes.len() as u64, sha256: sha256(&bytes) })
}

/// The SHA-256 of some bytes, in hexadecimal.
pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_encoders_and_cards_are_distinguished() {
        let folder = env!("CARGO_MANIFEST_DIR").to_owned() + "/../target/manifest-test";
        let folder = Path::new(&folder);
        let _ = fs::remove_dir_all(folder);
        fs::create_dir_all(folder).expect("a folder");
        for name in ["b.safetensors", "paper.safetensors", "paper-encoder.safetensors", "paper.md"] {
            fs::write(folder.join(name), "abc").expect("a file");
        }
        let old = Model {
            name: "b".into(),
            title: "Title of b".into(),
            card: None,
            examples: vec![5],
            sampling: File { file: String::new(), bytes: 0, sha256: String::new() },
            encoder: None,
        };
        let present = Manifest { version: 1, default: "paper".into(), models: vec![old] };
        let manifest = describe(folder, present).expect("a manifest");
        let names: Vec<_> = manifest.models.iter().map(|m| (m.name.as_str(), m.encoder.is_some())).collect();
        assert_eq!(names, [("b", false), ("paper", true)]);
        assert_eq!((manifest.default.as_str(), manifest.models[0].title.as_str()), ("paper", "Title of b"));
        assert_eq!(manifest.models[0].examples, [5]);
        assert_eq!(manifest.models[1].card.as_deref(), Some("paper.md"));
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!((manifest.models[1].sampling.bytes, manifest.models[1].sampling.sha256.as_str()), (3, abc));
    }
}
