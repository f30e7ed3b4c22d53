//! `weights/manifest.json`: the weights of the site, with the size and hash of each file.
//!
//! ```
//! let manifest = web::manifest::Manifest::parse(r#"{
//!     "version": 1,
//!     "default": "paper",
//!     "models": [{
//!         "name": "paper",
//!         "title": "The paper's model",
//!         "card": "paper.md",
//!         "sampling": {"file": "paper.safetensors", "bytes": 3, "sha256":
//!             "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"}
//!     }]
//! }"#)?;
//! assert_eq!(manifest.default_model().sampling.file, "paper.safetensors");
//! # Ok::<(), web::manifest::ManifestError>(())
//! ```

use serde::{Deserialize, Serialize};

/// The version that this program reads.
pub const MANIFEST_VERSION: u32 = 1;

/// The maximum size of a file: a tab of a browser has 4 GB at most.
pub const MAX_FILE_BYTES: u64 = 1 << 30;

/// Digits of a hash that identify weights.
pub const SHORTEST_HASH: usize = 8;

/// The weights of a site.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// [`MANIFEST_VERSION`].
    pub version: u32,
    /// The name of the model with which the page opens.
    pub default: String,
    /// Every model, at least one.
    pub models: Vec<ModelEntry>,
}

/// A model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelEntry {
    /// The unique name in addresses and files.
    pub name: String,
    /// The name for people.
    pub title: String,
    /// The model card, a file beside the manifest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub card: Option<String>,
    /// Seeds of the example images.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub examples: Vec<u64>,
    /// The file for sampling.
    pub sampling: WeightsFile,
    /// The encoder, fetched when it is needed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encoder: Option<WeightsFile>,
}

/// A file of weights.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WeightsFile {
    /// Its name, beside the manifest.
    pub file: String,
    /// Its size.
    pub bytes: u64,
    /// Its SHA-256 in lower-case hexadecimal.
    pub sha256: String,
}

/// What is wrong with a manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestError(pub String);

impl std::fmt::Display for ManifestError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ManifestError {}

impl Manifest {
    /// Reads a manifest and checks it.
    ///
    /// # Errors
    /// The first thing wrong, with what is accepted.
    pub fn parse(json: &str) -> Result<Self, ManifestError> {
        let manifest: Self = serde_json::from_str(json).map_err(|error| ManifestError(error.to_string()))?;
        manifest.validate()?;
        Ok(manifest)
    }

    /// Checks what the types do not.
    ///
    /// # Errors
    /// The first thing wrong, with what is accepted.
    pub fn validate(&self) -> Result<(), ManifestError> {
        if self.version != MANIFEST_VERSION {
            return refuse(format!("version is {}: {MANIFEST_VERSION} is accepted", self.version));
        }
        for (i, model) in self.models.iter().enumerate() {
            if self.models[..i].iter().any(|earlier| earlier.name == model.name) {
                return refuse(format!("two models are called `{}`", model.name));
            }
            if let Some(card) = &model.card {
                plain_file_name(card)?;
            }
            for file in std::iter::once(&model.sampling).chain(&model.encoder) {
                file.validate()?;
            }
        }
        if !self.models.iter().any(|model| model.name == self.default) {
            return refuse(format!("default is `{}`, and no model has this name", self.default));
        }
        Ok(())
    }

    /// The hashes of every file.
    pub fn hashes(&self) -> Vec<String> {
        let files = self.models.iter().flat_map(|model| std::iter::once(&model.sampling).chain(&model.encoder));
        files.map(|file| file.sha256.clone()).collect()
    }

    /// The model whose sampling file has a hash that begins like this.
    pub fn by_hash(&self, start: &str) -> Option<&ModelEntry> {
        let enough = start.len() >= SHORTEST_HASH;
        self.models.iter().find(|model| enough && model.sampling.sha256.starts_with(start))
    }

    /// The model with which the page opens.
    pub fn default_model(&self) -> &ModelEntry {
        // `validate` has checked that it is there.
        self.models.iter().find(|model| model.name == self.default).unwrap_or(&self.models[0])
    }
}

impl WeightsFile {
    fn validate(&self) -> Result<(), ManifestError> {
        plain_file_name(&self.file)?;
        if !(1..=MAX_FILE_BYTES).contains(&self.bytes) {
            return refuse(format!("`{}` has {} bytes: 1 to {MAX_FILE_BYTES} are accepted", self.file, self.bytes));
        }
        let hexadecimal = |c: u8| c.is_ascii_digit() || (b'a'..=b'f').contains(&c);
        if self.sha256.len() != 64 || !self.sha256.bytes().all(hexadecimal) {
            return refuse(format!("sha256 of `{}` is not 64 lower-case hexadecimal digits", self.file));
        }
        Ok(())
    }
}

/// A name beside the manifest, which cannot lead out of its folder or to another origin.
fn plain_file_name(name: &str) -> Result<(), ManifestError> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    if name.is_empty() || name.starts_with('.') || !name.chars().all(plain) {
        return refuse(format!("`{name}` is not a plain file name: letters, digits, `.`, `-` and `_` are accepted"));
    }
    Ok(())
}

fn refuse<T>(message: String) -> Result<T, ManifestError> {
    Err(ManifestError(message))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> Manifest {
        let file =
            |name: &str| WeightsFile { file: name.into(), bytes: 16_900_000, sha256: "0123456789abcdef".repeat(4) };
        Manifest {
            version: 1,
            default: "paper".into(),
            models: vec![ModelEntry {
                name: "paper".into(),
                title: "The paper's model".into(),
                card: Some("paper.md".into()),
                examples: vec![3, 7],
                sampling: file("paper.safetensors"),
                encoder: Some(file("paper-encoder.safetensors")),
            }],
        }
    }

    #[test]
    fn a_manifest_survives_json() {
        let json = serde_json::to_string(&example()).expect("a manifest is JSON");
        assert_eq!(Manifest::parse(&json), Ok(example()));
    }

    #[test]
    fn each_fault_is_named() {
        type Fault = (fn(&mut Manifest), &'static str);
        let faults: [Fault; 9] = [
            (|m| m.version = 2, "version is 2"),
            (|m| m.default = "other".into(), "`other`"),
            (|m| m.models.clear(), "no model"),
            (|m| m.models.push(m.models[0].clone()), "two models"),
            (|m| m.models[0].sampling.bytes = 0, "0 bytes"),
            (|m| m.models[0].sampling.bytes = 4_000_000_000_000, "bytes"),
            (|m| m.models[0].sampling.sha256 = "ABC".into(), "sha256"),
            (|m| m.models[0].sampling.file = "../secret".into(), "plain file name"),
            (|m| m.models[0].card = Some("https://elsewhere.example/card".into()), "plain file name"),
        ];
        for (spoil, named) in faults {
            let mut manifest = example();
            spoil(&mut manifest);
            let error = manifest.validate().expect_err(named);
            assert!(error.0.contains(named), "{error}");
        }
        assert!(Manifest::parse("<!doctype html>").is_err());
    }
}
