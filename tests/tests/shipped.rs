//! The weights that the repository ships: whole, small enough, and with their provenance.

use std::path::PathBuf;

use burn::backend::Flex;
use image::GenericImageView;
use tests::programs::{run_trainer, words};
use vdm::model::{Condition, Vdm};
use vdm::sampler::{Sampler, SamplingOptions, Trajectory};
use vdm::weights::{Header, Part, load, load_encoder, sha256_hex};
use web::manifest::{Manifest, WeightsFile};
use web::map::place;
use web::protocol::Picture;

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

fn of(picture: &image::GrayImage) -> Picture {
    Picture { width: picture.width(), height: picture.height(), pixels: picture.as_raw().clone() }
}

fn variance(values: impl Iterator<Item = f64> + Clone) -> f64 {
    let count = values.clone().count() as f64;
    let mean = values.clone().sum::<f64>() / count;
    values.map(|value| (value - mean).powi(2)).sum::<f64>() / count
}

#[test]
fn the_axes_of_the_map_are_those_in_which_drawn_pictures_differ() {
    let folder = tempfile::tempdir().expect("a folder");
    // Of the quickest model, and not of that whose pictures made the axes.
    let weights = self::folder().join("paper.safetensors");
    let line = format!("sample {} --device cpu --count 150 --steps 20 --no-visible-label --out .", weights.display());
    run_trainer(folder.path(), words(&line)).ok();
    let files = std::fs::read_dir(folder.path()).expect("a folder").map(|file| file.expect("a file").path());
    let files = files.filter(|path| path.extension().is_some_and(|ending| ending == "png"));
    let drawn: Vec<_> = files.map(|path| image::open(path).expect("a picture").into_luma8()).collect();
    assert_eq!(drawn.len(), 150);
    let blocks: Vec<Vec<f64>> = drawn
        .iter()
        .map(|picture| {
            let mean = |block: u32| {
                let part = picture.view(block % 8 * 32, block / 8 * 32, 32, 32);
                part.pixels().map(|(_, _, grey)| f64::from(grey.0[0])).sum::<f64>() / 1024.0
            };
            (0..64).map(mean).collect()
        })
        .collect();
    let total: f64 = (0..64).map(|block| variance(blocks.iter().map(|of| of[block]))).sum();
    let places: Vec<[f64; 2]> = drawn.iter().map(|picture| place(&of(picture))).collect();
    let spread = [0, 1].map(|axis| variance(places.iter().map(|place| place[axis])));
    // A picture on the map is 85 grey levels of the 64 means: `make_map.py`.
    let share = (spread[0] + spread[1]) * 85.0 * 85.0 / total;
    let middle = [0, 1].map(|axis| places.iter().map(|place| place[axis]).sum::<f64>() / drawn.len() as f64);
    println!(
        "the map shows {share:.2} of how {} pictures differ, around {middle:?}, with variances {spread:?}",
        drawn.len()
    );
    // Their own best two axes show 0.58 of it. What the edge of the map cuts off is not counted.
    assert!((0.45..0.7).contains(&share), "{share}");
    assert!(spread[0] > spread[1] && web::map::from_middle(middle) < 1.0, "{spread:?} {middle:?}");
}

#[test]
fn each_picture_of_the_map_is_at_its_place() {
    const TILE: u32 = 48;
    let path = tests::repository().join("web/static/map.jpg");
    let map = image::open(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display())).into_luma8();
    let (across, down) = (web::map::ACROSS as u32, web::map::DOWN as u32);
    assert_eq!(map.dimensions(), (across * TILE, down * TILE));
    let mut there = 0;
    for (x, y) in (0..down).flat_map(|y| (0..across).map(move |x| (x, y))) {
        let tile = map.view(x * TILE, y * TILE, TILE, TILE).to_image();
        // Nothing, or the label in a corner.
        if tile.pixels().map(|grey| u64::from(grey.0[0])).sum::<u64>() / u64::from(TILE * TILE) < 25 {
            continue;
        }
        there += 1;
        let at = place(&of(&tile));
        for (at, cell) in at.into_iter().zip([x, y]) {
            // Half a picture, and what JPEG and fewer pixels change.
            assert!((at - f64::from(cell) - 0.5).abs() < 0.6, "the picture {x}, {y} is at {at:?}");
        }
    }
    assert!(there >= 45, "{there} pictures");
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
