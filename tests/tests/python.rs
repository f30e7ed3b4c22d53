//! What the trainer writes for other programs, read by ONNX Runtime, pydicom and NumPy.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::backend::Backend;
use burn::tensor::{Tensor, TensorData};
use burn_flex::Flex;
use tempfile::TempDir;
use tests::programs::{run_trainer, words};
use tests::python::script;
use vdm::config::{ModelConfig, Preset, SamplingConfig};
use vdm::model::Networks;
use vdm::rng::{Rng, RngStream};
use vdm::weights::{Precision, Provenance, save, save_encoder, sha256_hex};

/// Weights of the small model after a few steps, in half precision as every run ends.
fn trained() -> PathBuf {
    static RUN: OnceLock<TempDir> = OnceLock::new();
    let folder = RUN.get_or_init(|| {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let line = "train --preset quick --device cpu --batch 4 --max-images 24 --seed 5 --steps 20 --out run";
        run_trainer(folder.path(), words(line)).ok();
        folder
    });
    folder.path().join("run/quick.safetensors")
}

/// Draws every parameter from noise: a layer that starts at zero would hide a mistake.
struct Noise(u64);

impl<B: Backend> ModuleMapper<B> for Noise {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<B, D>>) -> Param<Tensor<B, D>> {
        self.0 += 1;
        let shape: [usize; D] = param.dims();
        let scale = if D == 2 { 1.0 / (shape[0] as f32).sqrt() } else { 0.5 };
        let draws = Rng::new(1, RngStream::Weights, self.0).normals(shape.iter().product());
        let values: Vec<f32> = draws.iter().map(|v| v * scale).collect();
        param.map(|tensor| Tensor::from_data(TensorData::new(values, shape), &tensor.device()))
    }
}

/// Weights with what no preset has: classes, and normalised layers.
fn unusual(folder: &Path) -> PathBuf {
    let mut config = Preset::Quick.model();
    config.attributes = vec![2];
    let latent = config.latent.as_mut().expect("a latent");
    (latent.encoder.layer_norm, latent.decoder.layer_norm, latent.score_net.layer_norm) = (true, true, true);
    made_up(folder, &config)
}

/// Weights of a model of bands, with attention and classes.
fn of_bands(folder: &Path) -> PathBuf {
    let mut config = Preset::Sharp.model();
    (config.height, config.width, config.attributes) = (64, 96, vec![1, 2]);
    let bands = config.bands.as_mut().expect("bands");
    for band in [&mut bands.coarse, &mut bands.fine] {
        (band.width, band.layers, band.heads, band.embedding_dim) = (16, 2, 4, 8);
    }
    made_up(folder, &config)
}

fn made_up(folder: &Path, config: &ModelConfig) -> PathBuf {
    let fresh = Networks::<Flex>::new(config, 0, &Default::default()).expect("builds");
    let (schedule, fine) = (fresh.schedule.clone(), fresh.fine.clone());
    let mut networks = Networks { schedule, ..fresh.map(&mut Noise(0)) };
    if let (Some(band), Some(fine)) = (&mut networks.fine, fine) {
        band.schedule = fine.schedule;
    }
    let provenance = Provenance::default();
    let bytes = save(&networks, config, &SamplingConfig::default(), &provenance, Precision::F32).expect("saves");
    let path = folder.join("unusual.safetensors");
    if config.latent.is_some() {
        let encoder = networks.encoder.as_ref().expect("fresh networks have an encoder");
        let encoder = save_encoder(encoder, config, &provenance, &sha256_hex(&bytes), Precision::F32).expect("saves");
        fs::write(folder.join("unusual-encoder.safetensors"), encoder).expect("written");
    }
    fs::write(&path, bytes).expect("written");
    path
}

/// Exports into `onnx`, with the trainer's own numbers in `reference.json`.
fn export(folder: &Path, weights: &Path) {
    let line = words("export --out onnx --reference-file reference.json --weights").into_iter();
    run_trainer(folder, line.chain([weights.into()])).ok();
}

fn paths(paths: &[PathBuf]) -> Vec<OsString> {
    paths.iter().map(Into::into).collect()
}

#[test]
fn onnx_runtime_computes_what_the_trainer_computes() {
    for make in [|_: &Path| trained(), unusual as fn(&Path) -> PathBuf, of_bands] {
        let folder = tempfile::tempdir().expect("a temporary folder");
        export(folder.path(), &make(folder.path()));
        let said = script("check_onnx.py", paths(&[folder.path().join("onnx"), folder.path().join("reference.json")]));
        let said = said.ok().stdout;
        for network in ["mean", "epsilon", "encoded"] {
            assert!(said.contains(network), "{network} was not compared: {said}");
        }
    }
}

#[test]
fn the_readmes_script_draws_a_labelled_picture() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let png = folder.path().join("sample.png");
    export(folder.path(), &trained());
    script("sample.py", paths(&[folder.path().join("onnx"), png.clone()])).ok();
    let picture = image::open(&png).expect("a PNG").into_luma8();
    assert_eq!(picture.dimensions(), (180, 64 + 12));
    let label = picture.enumerate_pixels().filter(|(_, y, pixel)| *y >= 64 && pixel.0[0] > 128).count();
    assert!(label > 100, "{label} bright pixels are no label");
    let bytes = fs::read(&png).expect("a file");
    assert!(bytes.windows(29).any(|window| window == vdm::image::LABEL.as_bytes()));
}

#[test]
fn pydicom_reads_what_the_png_shows() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for format in ["dicom", "png"] {
        let line =
            format!("sample --device cpu --count 2 --steps 3 --seed 8 --format {format} --out {format} --weights");
        run_trainer(folder.path(), words(&line).into_iter().chain([trained().into()])).ok();
    }
    let files = [8, 9].map(|seed| {
        [("dicom", "dcm"), ("png", "png")]
            .map(|(format, extension)| folder.path().join(format!("{format}/synthetic-seed{seed}.{extension}")))
    });
    script("check_dicom.py", paths(&files.concat())).ok();
}

#[test]
fn tensorboard_reads_a_run_that_was_resumed() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let train = "train --preset quick --device cpu --batch 4 --max-images 24 --steps 60000 --set run.validate_every=60000 \
                 --set run.sample_every=5 --time-limit 1s --out run";
    run_trainer(folder.path(), words(train)).stopped();
    let ended = run_trainer(folder.path(), words("train --device cpu --resume --out run --time-limit 1s")).stopped();
    assert!(ended.stderr.contains("resuming after step"), "{}", ended.stderr);
    let read = script("check_tensorboard.py", [folder.path().join("run")]).ok().stdout;
    let read: serde_json::Value = serde_json::from_str(&read).expect("JSON");
    let log = tests::runs::json_lines(&folder.path().join("run/log.jsonl"));
    for term in ["reconstruction", "diffusion", "learning_rate"] {
        let scalars = read["scalars"][format!("train/{term}")].as_array().expect("scalars");
        assert_eq!(scalars.len(), log.len(), "each step once");
        for (scalar, line) in scalars.iter().zip(&log) {
            assert_eq!(scalar[0], line["step"]);
            let (a, b) = (scalar[1].as_f64().expect("a number"), line[term].as_f64().expect("a number"));
            assert!((a - b).abs() <= 1e-6 * b.abs(), "{term}: {a} for {b}");
        }
    }
    assert_eq!(read["images"]["samples"][0][0], 5);
}

#[test]
fn the_documented_script_reads_the_weights() {
    let code = fs::read_to_string(tests::repository().join("tests/python/load.py")).expect("a script");
    let docs = fs::read_to_string(tests::repository().join("docs/weights-format.md")).expect("the docs");
    assert!(docs.contains(code.trim_end()), "docs/weights-format.md shows another script");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let out = folder.path().join("out.png");
    let said = script("load.py", [trained().into_os_string(), out.clone().into_os_string()]).ok().stdout;
    let (name, mean) = said.trim().split_once(' ').expect("a name and a number");
    assert_eq!(name, "quick");
    // Our own decoder on the same latent.
    let bytes = fs::read(trained()).expect("weights");
    let (header, networks) = vdm::weights::load::<Flex>(&bytes, &Default::default()).expect("loads");
    let decoded = networks.decoder.decode(Tensor::zeros([1, header.config.latent_dim()], &Default::default()));
    let ours: f32 = decoded.mean().into_scalar();
    let theirs: f32 = mean.parse().expect("a number");
    assert!((ours - theirs).abs() < 1e-5, "{ours} and {theirs}");
    assert_eq!(image::image_dimensions(&out).expect("an image"), (64, 64));
}
