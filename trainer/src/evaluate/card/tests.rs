use std::fs;

use vdm::config::{Preset, SamplingConfig};
use vdm::weights::{Part, TensorInfo};

use super::*;
use crate::evaluate::report::{Better, Samples, Section};
use crate::measures::memorisation::{Audit, Neighbour};
use crate::measures::stats::Figure;

fn header() -> Header {
    let provenance = Provenance {
        name: "quick".into(),
        data: "made | pictures".into(),
        images: 90,
        training_steps: 1234,
        license: "CC0".into(),
        acknowledgement: "Thanks to *nobody*.".into(),
        ..Provenance::default()
    };
    let tensors = vec![TensorInfo { name: "a".into(), dtype: "F16".into(), shape: vec![3, 5] }];
    Header {
        part: Part::Sampling,
        config: Preset::Quick.model(),
        sampling: SamplingConfig::default(),
        provenance,
        sampling_sha256: None,
        tensors,
    }
}

fn report(audited: bool) -> Report {
    let figure = |value: f64| Figure { value, low: value - 0.1, high: value + 0.1 };
    let row = |key, model, real| Row::beside(Section::Samples, key, key, Better::Lower, figure(model), figure(real));
    let neighbour =
        |relative_distance| Neighbour { index: 0, correlation: 0.9, detail: 0.6, relative_distance, shift: [0, 0] };
    let held_out: Vec<Neighbour> = (0..40).map(|i| neighbour(0.8 + 0.001 * f64::from(i))).collect();
    let samples = [neighbour(0.3), neighbour(0.9), neighbour(0.9), neighbour(0.9)];
    Report {
        weights: Some("quick.safetensors".into()),
        weights_sha256: None,
        images: 40,
        skipped: 0,
        times: 1,
        seed: 0,
        codec_images: 0,
        bits_per_pixel: None,
        bound: None,
        samples: Samples {
            images: 4,
            from: "seeds 0-3".into(),
            compared: 4,
            reference: 40,
            real: "training images".into(),
            two_sample: 4,
            two_sample_half: 20,
            training_images: 80,
        },
        figures: vec![
            Row::beside(Section::TwoSample, "auc_64", "AUC", Better::Lower, figure(0.95), figure(0.5)),
            Row::beside(Section::TwoSample, "auc_32", "AUC", Better::Lower, figure(0.75), figure(0.5)),
            row("spectrum_fine_db", -9.5, 0.5),
            row("precision", 0.2, 0.9),
        ],
        audit: audited.then(|| Audit::of(80, &samples, &held_out, 10, 0)),
        closest: Vec::new(),
        command: "trainer evaluate --weights quick.safetensors".into(),
        software: String::new(),
    }
}

fn card(report: &Report, run: Option<&RunFacts>) -> String {
    let sampling = FileFacts { name: "quick.safetensors".into(), bytes: 77, sha256: "ab".repeat(32) };
    let header = header();
    Card { header: &header, sampling, encoder: None, run, notes: None, report, date: "2026-01-02".into() }.markdown()
}

#[test]
fn a_card_states_what_the_figures_show() {
    let text = card(&report(true), None);
    for said in [
        "# Model card: `quick`",
        "never for diagnosis",
        "64×64 pixels",
        "A plain classifier tells its samples from real X-rays with an AUC of 0.9500 at 64, 0.7500 at 32 pixels (0.5: not at all; 1: always).",
        "made / pictures",
        "1234 optimizer steps",
        "| numbers in the sampling file | 15, as F16 |",
        "trainer evaluate --weights quick.safetensors",
        "| precision ↓ | 0.2000 |",
        "Near copies: 25.0 % of the samples",
        "of held-out real images, 0.0 %",
        "trained on 90 images",
        "Samples are blurred: the power of their fine detail is 10.00 dB below real.",
        "precision 0.2000, against 0.9000",
        "Licence of the weights: CC0.",
        "Thanks to ×nobody×.",
    ] {
        assert!(text.contains(said), "nothing of {said:?} in {text}");
    }
    assert!(!text.contains("NaN"));
    assert!(card(&report(false), None).contains("No search for copies"));
}

#[test]
fn a_run_gives_its_settings_and_its_duration() {
    let folder = tempfile::tempdir().expect("a folder");
    let said = format!("{:#}", RunFacts::read(folder.path()).expect_err("no run"));
    assert!(said.contains("not the folder of a run"), "{said}");
    let settings = "from = \"/home/me/codec.safetensors\"\n[data]\npath = \"/home/me/chests\"\ncache = \"/home/me/c\"\n[training]\nbatch = 8\n[model]\nheight = 64\n";
    fs::write(folder.path().join("run.toml"), settings).expect("writes");
    fs::write(folder.path().join("log.jsonl"), "{\"seconds\":1}\n{\"seconds\":90.5}\n{\"sec").expect("writes");
    let run = RunFacts::read(folder.path()).expect("a run");
    let text = card(&report(true), Some(&run));
    assert!(text.contains("trained for 1m 30s") && text.contains("| training.batch | 8 |"), "{text}");
    assert!(
        text.contains("| data.path | chests |") && !text.contains("/home/me") && !text.contains("model.height"),
        "{text}"
    );
    fs::write(folder.path().join("run.toml"), "[").expect("writes");
    assert!(format!("{:#}", RunFacts::read(folder.path()).expect_err("damaged")).contains("damaged"));
}
