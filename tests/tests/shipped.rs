//! The weights that the repository ships: whole, small enough, and with their provenance.

use std::path::PathBuf;

use burn::backend::Flex;
use vdm::model::{Condition, Vdm};
use vdm::sampler::{Sampler, SamplingOptions, Trajectory};
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
    assert!(header.tensors.iter().all(|tensor| tensor.dtype != "F32" || tensor.name.ends_with(".scale")), "{file}");
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

/// `trainer sample --weights NAME.safetensors --seed SEED --steps 40 --out NAME-SEED.png` writes them.
#[tokio::test]
async fn the_example_pictures_are_what_the_weights_draw() {
    for model in manifest().models {
        let bytes = read(&model.sampling.file);
        let (header, networks) = load::<Flex>(&bytes, &Default::default()).expect("shipped weights");
        let vdm = Vdm::new(header.config, header.sampling, networks).await.expect("the CPU can be read");
        for seed in model.examples {
            let options = SamplingOptions { sampler: Sampler::default(), steps: 40, condition: Condition::default() };
            let mut trajectory =
                Trajectory::from_noise(&vdm, options, &[seed], &Default::default()).expect("valid options");
            while trajectory.step(&vdm).is_some() {}
            let drawn = trajectory.decode(&vdm).into_data();
            let name = format!("{}-{seed}.png", model.name);
            let shown = image::load_from_memory(&read(&name)).expect(&name).into_luma8();
            // The label stands in the last rows.
            let apart = drawn.iter::<f32>().zip(shown.as_raw()).take(240 * 256);
            let largest = apart.map(|(x, &grey)| (x * 255.0 - f32::from(grey)).abs()).fold(0.0, f32::max);
            assert!(largest <= 1.5, "{name} is {largest} grey levels off: draw it again");
        }
    }
}

#[test]
fn every_file_is_in_the_manifest() {
    let manifest = manifest();
    let known = |name: &str| {
        let mut examples = manifest
            .models
            .iter()
            .flat_map(|model| model.examples.iter().map(|seed| format!("{}-{seed}.png", model.name)));
        name == "manifest.json"
            || examples.any(|example| example == name)
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
