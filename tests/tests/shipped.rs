//! The weights that the repository ships: whole, small enough, and with their provenance.

use std::path::PathBuf;

use burn::backend::Flex;
use vdm::weights::{Header, Part, load, load_encoder, sha256_hex};
use web::manifest::{Manifest, WeightsFile};

/// What a file of weights in the repository may weigh.
const MAX_BYTES: u64 = 30_000_000;

fn folder() -> PathBuf {
    tests::repository().join("web/weights")
}

fn read(file: &str) -> Vec<u8> {
    let path = folder().join(file);
    std::fs::read(&path).unwrap_or_else(|e| panic!("cannot read {}: {e}", path.display()))
}

fn manifest() -> Manifest {
    let text = String::from_utf8(read("manifest.json")).expect("text");
    Manifest::parse(&text).unwrap_or_else(|e| panic!("manifest.json: {e}"))
}

fn checked(file: &WeightsFile) -> Vec<u8> {
    let bytes = read(&file.file);
    let hint = "`cargo xtask weights-manifest` writes the manifest anew";
    assert_eq!((bytes.len() as u64, sha256_hex(&bytes)), (file.bytes, file.sha256.clone()), "{}: {hint}", file.file);
    assert!(file.bytes <= MAX_BYTES, "{} has {} bytes", file.file, file.bytes);
    bytes
}

fn check_provenance(header: &Header, file: &str) {
    let p = &header.provenance;
    for (what, text) in [
        ("data", &p.data),
        ("date", &p.date),
        ("license", &p.license),
        ("acknowledgement", &p.acknowledgement),
        ("software", &p.software),
    ] {
        assert!(!text.is_empty(), "{file} names no {what}");
    }
    assert!(p.images > 0 && p.training_steps > 0, "{file}");
    assert!(!p.data.contains("phantom"), "{file} was trained on drawings");
    assert!(header.tensors.iter().all(|tensor| tensor.dtype == "F16"), "{file} is stored in half precision");
}

#[test]
fn every_file_is_as_the_manifest_says_and_loads() {
    for model in manifest().models {
        let bytes = checked(&model.sampling);
        let (header, _) = load::<Flex>(&bytes, &Default::default()).unwrap_or_else(|e| panic!("{}: {e}", model.name));
        assert_eq!((header.part, &header.provenance.name), (Part::Sampling, &model.name));
        check_provenance(&header, &model.sampling.file);
        assert_eq!(model.encoder.is_some(), header.config.latent.is_some(), "{}", model.name);
        if let Some(encoder) = model.encoder {
            load_encoder::<Flex>(&checked(&encoder), &sha256_hex(&bytes), &Default::default())
                .unwrap_or_else(|e| panic!("the encoder of {}: {e}", model.name));
        }
        let card = model.card.unwrap_or_else(|| panic!("{} has no model card", model.name));
        let card = String::from_utf8(read(&card)).expect("text");
        assert!(card.contains("NIH"), "the model card of {} acknowledges the source of the data", model.name);
    }
}

#[test]
fn every_file_is_in_the_manifest() {
    let manifest = manifest();
    let known = |name: &str| {
        name == "manifest.json"
            || manifest.models.iter().any(|model| {
                let files = std::iter::once(&model.sampling).chain(&model.encoder).map(|file| file.file.as_str());
                files.chain(model.card.as_deref()).any(|file| file == name)
            })
    };
    for entry in std::fs::read_dir(folder()).expect("web/weights") {
        let name = entry.expect("a readable entry").file_name().to_string_lossy().into_owned();
        assert!(known(&name), "web/weights/{name} is not in the manifest: `cargo xtask weights-manifest`");
    }
}
