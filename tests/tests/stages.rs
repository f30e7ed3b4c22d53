//! A model of bands: trained band by band, sampled, evaluated, and refused where files do not fit.

use std::collections::BTreeMap;
use std::path::Path;

use safetensors::SafeTensors;
use tests::programs::Ended;
#[cfg(unix)]
use tests::runs::interrupted;
use tests::runs::{decode, json_lines, run, scratch, tensors};

/// A small model of bands, on few phantoms.
const SMALL: &str = "--preset sharp --device cpu --seed 5 --batch 4 --max-images 40 --set model.height=64 \
                     --set model.width=64 --set model.bands.coarse.width=16 --set model.bands.coarse.layers=1 \
                     --set model.bands.fine.width=16 --set model.bands.fine.layers=1 --set training.crop=32 --steps 4 \
                     --set run.validate_every=4 --set run.sample_every=4";

fn first(folder: &Path) {
    run(folder, &format!("train {SMALL} --stage coarse --out coarse --set training.crop=none")).ok();
}

fn second(folder: &Path, more: &str) -> Ended {
    run(folder, &format!("train {SMALL} --stage fine --from coarse/sharp.safetensors --out fine {more}"))
}

/// The tensors of a run's sampling file as bytes.
fn by_name(folder: &Path, run: &str) -> BTreeMap<String, Vec<u8>> {
    let bytes = std::fs::read(folder.join(run).join("sharp.safetensors")).expect("a file of weights");
    let file = SafeTensors::deserialize(&bytes).expect("a safetensors file");
    file.tensors().into_iter().map(|(name, view)| (name, view.data().to_vec())).collect()
}

#[test]
fn two_stages_make_one_model() {
    let folder = scratch();
    first(folder.path());
    let log = json_lines(&folder.path().join("coarse/log.jsonl"));
    assert!(
        log.iter().all(|line| line["reconstruction"] == 0.0 && line["diffusion"].as_f64().is_some_and(|v| v > 0.0))
    );
    assert!(decode(&folder.path().join("coarse/samples/step-00000004.png")).width() > 64, "coarse bands are shown");
    assert!(!folder.path().join("coarse/figures/samples.png").exists(), "without a fine band there is no picture");
    second(folder.path(), "").ok();
    let (before, after) = (by_name(folder.path(), "coarse"), by_name(folder.path(), "fine"));
    let mut moved = 0;
    for (name, values) in &before {
        if name.starts_with("fine.") {
            moved += usize::from(values != &after[name]);
        } else {
            assert!(values == &after[name], "{name} stays as the first stage left it");
        }
    }
    assert!(moved > 10, "{moved} tensors of the fine band were trained");
    assert!(!folder.path().join("fine/sharp-encoder.safetensors").exists(), "the file encodes by itself");
    assert!(folder.path().join("fine/figures/samples.png").exists());

    run(folder.path(), "sample --weights fine/sharp.safetensors --device cpu --steps 2 --count 2 --out two").ok();
    let [one, other] = [0, 1].map(|seed| decode(&folder.path().join(format!("two/synthetic-seed{seed}.png"))));
    assert_ne!(one.as_raw(), other.as_raw());
    let table = run(folder.path(), "speed --weights fine/sharp.safetensors --device cpu --steps 2").ok().stdout;
    assert!(table.contains("the coarse ScoreNet") && table.contains("the fine ScoreNet"), "{table}");
}

#[test]
fn bands_that_were_trained_apart_become_one_file() {
    let folder = scratch();
    first(folder.path());
    let line = format!("train {SMALL} --stage fine --from coarse/sharp.safetensors --steps 6 --out fine");
    run(folder.path(), &line.replace("--steps 4", "")).ok();
    let convert = |more: &str| run(folder.path(), &format!("convert --weights coarse/sharp.safetensors {more}"));
    convert("--fine-from fine/sharp.safetensors --precision f16 --out both/sharp.safetensors").ok();
    assert!(by_name(folder.path(), "both") == by_name(folder.path(), "fine"), "the same bands");
    convert("--precision int8 --out small/sharp.safetensors").ok();
    let size = |run: &str| std::fs::metadata(folder.path().join(run).join("sharp.safetensors")).expect("a file").len();
    assert!(size("small") < size("coarse"), "{} beside {}", size("small"), size("coarse"));
    run(folder.path(), "sample --weights small/sharp.safetensors --device cpu --steps 2 --out one.png").ok();

    run(
        folder.path(),
        &format!(
            "train {SMALL} --stage coarse --set training.crop=none --set model.bands.coarse.scale=2.0 --out scaled"
        ),
    )
    .ok();
    run(folder.path(), "train --preset quick --max-images 20 --steps 1 --device cpu --out quick").ok();
    for (more, word) in [
        ("--fine-from quick/quick.safetensors --out no.safetensors", "two models of bands"),
        ("--fine-from scaled/sharp.safetensors --out no.safetensors", "scale of the coarse band"),
        ("--fine-from nowhere.safetensors --out no.safetensors", "nowhere.safetensors"),
        ("--out coarse", "coarse"),
    ] {
        let said = convert(more).refusal();
        assert!(said.contains(word), "{word} in {said}");
        assert!(!folder.path().join("no.safetensors").exists());
    }
}

#[cfg(unix)]
#[test]
fn a_stage_goes_on_where_it_stopped() {
    let folder = scratch();
    first(folder.path());
    let from = "--from coarse/sharp.safetensors --out fine --set run.checkpoint_every=2";
    let line = format!("train {SMALL} --stage fine {from}").replace("--steps 4", "--steps 60");
    run(folder.path(), &line).ok();
    let whole = tensors(&folder.path().join("fine/sharp.safetensors"));
    std::fs::rename(folder.path().join("fine"), folder.path().join("whole")).expect("renames");
    let ended = interrupted(folder.path(), &line, 4, |child| child.kill().expect("a child"));
    assert_eq!(ended.code, None, "{}", ended.stderr);
    let said = run(folder.path(), "train --device cpu --resume --out fine").ok().stderr;
    assert!(said.contains("resuming after step"), "{said}");
    assert!(tensors(&folder.path().join("fine/sharp.safetensors")) == whole, "to the bit");
}

#[test]
fn a_stage_brings_its_settings_wherever_it_is_named() {
    let folder = scratch();
    std::fs::write(folder.path().join("my.toml"), "[training]\nstage = \"fine\"\n").expect("writes");
    for how in ["--stage fine", "--set training.stage=fine", "--config my.toml"] {
        let settings = run(folder.path(), &format!("train --preset sharp {how} --print-config")).ok().stdout;
        assert!(settings.contains("crop = 64"), "{how}: {settings}");
    }
}

#[test]
fn what_does_not_fit_together_is_refused() {
    let folder = scratch();
    let refusal = |ended: Ended, word: &str| {
        let said = ended.refusal();
        assert!(said.contains(word), "{word} in {said}");
    };
    first(folder.path());
    refusal(second(folder.path(), "--set model.bands.fine.layers=2"), "another model");
    refusal(run(folder.path(), &format!("train {SMALL} --stage joint")), "coarse and fine");
    refusal(run(folder.path(), "train --preset quick --stage fine"), "joint is accepted");
    refusal(run(folder.path(), &format!("train {SMALL} --set model.width=72")), "multiple of 32");
    refusal(run(folder.path(), &format!("train {SMALL} --set model.latent.dim=3")), "latent");
}
