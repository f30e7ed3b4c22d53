use std::fs;
use std::path::Path;

use burn::backend::{Autodiff, Flex};
use clap::Parser;
use serde_json::Value;
use vdm::config::{Preset, SamplingConfig};
use vdm::image::{GreyImage, Origin};
use vdm::model::Networks;
use vdm::weights::{Precision, Provenance};

use super::*;
use crate::base::files::write_model;
use crate::cli::commands::{Cli, Command};
use crate::data::Dataset;

/// Phantoms as files of 64×64 pixels.
fn pictures(folder: &Path, first: u64, count: usize) {
    fs::create_dir_all(folder).expect("a folder");
    let data = Dataset::phantoms(4, first, count, 64, 64);
    for i in 0..count {
        let image = GreyImage { width: 64, height: 64, pixels: data.image(i).to_vec() };
        let png = image.to_png(&Origin::default()).expect("encodes");
        fs::write(folder.join(format!("{i:03}.png")), png).expect("writes");
    }
}

/// Weights that know the mean image and nothing else.
fn weights(path: &Path) {
    let config = Preset::Quick.model();
    let device = Default::default();
    let mean = Dataset::phantoms(4, 0, 8, 64, 64).mean_image();
    let networks =
        Networks::<Autodiff<Flex>>::new(&config, 1, &device).expect("builds").with_mean_image(&mean, &device);
    let provenance = Provenance { name: "quick".into(), images: 30, ..Provenance::default() };
    write_model(path, &networks, &config, &SamplingConfig::default(), &provenance, Precision::F32).expect("writes");
}

fn evaluate(folder: &Path, line: &str) -> Result<()> {
    let words = line.split(' ').map(|word| match word.strip_prefix("@") {
        Some(name) => folder.join(name).display().to_string(),
        None => word.to_owned(),
    });
    let cache = ["--cache".to_owned(), folder.join("cache").display().to_string()];
    let words = ["trainer", "evaluate", "--device", "cpu"].map(str::to_owned).into_iter().chain(words).chain(cache);
    match Cli::try_parse_from(words)?.command {
        Some(Command::Evaluate(args)) => command(*args),
        other => panic!("{other:?}"),
    }
}

#[test]
fn one_command_writes_every_file_and_the_same_ones_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    pictures(&at("train"), 0, 30);
    pictures(&at("test"), 100, 24);
    weights(&at("quick.safetensors"));
    let line = "--weights @quick.safetensors --data @test --train-data @train --samples 12 --steps 2 --times 1 --codecs 3 --sampling context_gamma=-3 \
                --bootstrap 50 --out @OUT --card @card.md";
    for out in ["a", "b"] {
        evaluate(folder.path(), &line.replace("OUT", out)).expect("evaluates");
    }
    for file in ["report.json", "table.md", "spectrum.csv", "samples.png", "gallery.png", "compare.html"] {
        let read = |out| fs::read(at(out).join(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
        assert_eq!(read("a"), read("b"), "{file}");
    }
    let report: Value = serde_json::from_slice(&fs::read(at("a/report.json")).expect("reads")).expect("JSON");
    assert_eq!((&report["images"], &report["samples"]["compared"]), (&Value::from(24), &Value::from(12)));
    assert!(report["bits_per_dim"]["total"].is_f64() && report["mse"]["mean"].is_f64(), "{report}");
    assert!(report["samples"]["from"].as_str().is_some_and(|from| from.ends_with("context_gamma=-3")), "{report}");
    assert_eq!(report["audit"]["samples"]["near_copies"]["value"], 0.0);
    let figures = report["figures"].as_array().expect("figures");
    for key in ["total", "ssim", "swd_64", "spectrum_distance", "precision", "ms_ssim_diversity", "near_copies"] {
        let row = figures.iter().find(|row| row["key"] == key).unwrap_or_else(|| panic!("no {key}"));
        assert!(row["model"]["value"].is_f64() && row["missing"].is_null(), "{row}");
    }
    let row = |key: &str| figures.iter().find(|row| row["key"] == key).unwrap_or_else(|| panic!("no {key}"));
    assert!(row("auc")["missing"].as_str().is_some_and(|why| why.contains("at least 20")), "{report}");
    assert!(row("codec_png")["real"]["value"].is_f64() && report["codec_images"] == 3, "{report}");
    let page = fs::read_to_string(at("a/compare.html")).expect("reads");
    // As many pairs as there are samples, with the first real images in order of their names.
    assert_eq!(page.matches("data:image/png").count(), 24);
    assert!(page.contains("seed 11<") && page.contains("</strong> 011.png<") && !page.contains("012.png"));
    let card = fs::read_to_string(at("card.md")).expect("reads");
    assert!(card.contains("# Model card: `quick`") && card.contains("quick-encoder.safetensors"), "{card}");
}

#[test]
fn a_folder_needs_no_weights_and_copies_in_it_are_counted() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    pictures(&at("train"), 0, 60);
    pictures(&at("test"), 100, 24);
    pictures(&at("made"), 200, 20);
    for i in 0..3 {
        fs::copy(at(&format!("train/{i:03}.png")), at(&format!("made/{i:03}.png"))).expect("copies");
    }
    evaluate(folder.path(), "--samples-dir @made --data @test --train-data @train --codecs 0 --out @out")
        .expect("evaluates");
    let report: Value = serde_json::from_slice(&fs::read(at("out/report.json")).expect("reads")).expect("JSON");
    assert_eq!(report["audit"]["samples"]["near_copies"]["value"], 0.15);
    assert_eq!(report["figures"][0]["key"], "auc_64");
    assert!(report["figures"][0]["model"]["value"].as_f64().is_some_and(|auc| (0.0..=1.0).contains(&auc)));
    assert_eq!(
        (&report["samples"]["two_sample"], &report["samples"]["two_sample_half"]),
        (&Value::from(20), &Value::from(0))
    );
    assert_eq!(report["closest"][2]["near_copy"], true);
    assert_eq!(report["closest"][3]["near_copy"], false);
    assert!(report.get("bits_per_dim").is_none() && report.get("weights").is_none());
}

#[test]
fn one_held_out_image_still_gives_the_bound() {
    let folder = tempfile::tempdir().expect("a folder");
    pictures(&folder.path().join("test"), 0, 1);
    weights(&folder.path().join("quick.safetensors"));
    evaluate(folder.path(), "--weights @quick.safetensors --data @test --codecs 1 --out @out").expect("evaluates");
    let report: Value =
        serde_json::from_slice(&fs::read(folder.path().join("out/report.json")).expect("reads")).expect("JSON");
    assert!(report["bits_per_dim"]["total"].is_f64());
    let figures = report["figures"].as_array().expect("figures");
    let missing: Vec<&str> = figures.iter().filter_map(|row| row["missing"].as_str()).collect();
    assert!(missing.len() >= 10 && missing.iter().all(|why| why.contains("needs")), "{missing:?}");
}

#[test]
fn what_cannot_be_is_refused_in_words() {
    let folder = tempfile::tempdir().expect("a folder");
    pictures(&folder.path().join("test"), 0, 2);
    fs::create_dir(folder.path().join("empty")).expect("a folder");
    weights(&folder.path().join("quick.safetensors"));
    for (line, named) in [
        ("--data @test", "--weights"),
        ("--weights @quick.safetensors --data @empty", "empty holds no"),
        ("--weights @quick.safetensors --data @test --train-data @nowhere", "nowhere is not a folder"),
        ("--weights @quick.safetensors --data @test --times 0", "--times is 0"),
        ("--weights @quick.safetensors --data @test --steps 0", "steps"),
        ("--weights @quick.safetensors --data @test --class 2", "no classes"),
        ("--weights @quick.safetensors --data @test --sampling context_gama=0", "context_gama"),
        ("--weights @quick.safetensors --data @test --sampling context_gamma=1", "-10 to -2"),
        ("--weights @quick.safetensors --data @test --samples 2 --samples-dir @test", "--samples"),
        ("--samples-dir @test --data @test --card @card.md", "--weights"),
        ("--weights @quick.safetensors --data @test --card @card.md --run @test", "not the folder of a run"),
    ] {
        let said = format!("{:#}", evaluate(folder.path(), line).expect_err(line));
        assert!(said.contains(named), "{line}: {said}");
    }
    assert!(!folder.path().join("card.md").exists());
}
