//! Sharp models: trained in two stages, sampled, evaluated, and refused where files do not fit.

use std::collections::BTreeMap;
use std::path::Path;

use safetensors::SafeTensors;
use tests::programs::Ended;
use tests::runs::{decode, interrupted, json_lines, run, scratch, tensors};

/// A sharp model of 4×4 patches, on few phantoms.
const SMALL: &str = "--preset sharp-small --device cpu --seed 5 --batch 4 --max-images 40 --set model.height=64 \
                     --set model.width=64 --set model.latent_dim=1024 --set model.encoder.width=16 \
                     --set model.decoder.width=16 --set model.score_net.width=16 --set model.score_net.layers=1 \
                     --set model.score_net.gaussian_rank=8 --set model.score_net.coarse_width=16 \
                     --set training.coarse_steps=20 --steps 4 --set run.validate_every=4 --set run.sample_every=4";

fn first(folder: &Path) {
    run(folder, &format!("train {SMALL} --stage autoencoder --out ae")).ok();
}

fn second(folder: &Path, more: &str) -> Ended {
    run(folder, &format!("train {SMALL} --stage diffusion --from ae/sharp-small.safetensors --out dm {more}"))
}

/// The tensors of a run's sampling file as bytes.
fn by_name(folder: &Path, run: &str) -> BTreeMap<String, Vec<u8>> {
    let bytes = std::fs::read(folder.join(run).join("sharp-small.safetensors")).expect("a file of weights");
    let file = SafeTensors::deserialize(&bytes).expect("a safetensors file");
    file.tensors().into_iter().map(|(name, view)| (name, view.data().to_vec())).collect()
}

#[test]
fn two_stages_make_one_model() {
    let folder = scratch();
    first(folder.path());
    let log = json_lines(&folder.path().join("ae/log.jsonl"));
    assert!(log.iter().all(|line| line["diffusion"] == 0.0 && line["grain"].as_f64().is_some_and(|v| v != 0.0)));
    assert!(decode(&folder.path().join("ae/samples/step-00000004.png")).width() > 64, "reconstructions are shown");
    let said = second(folder.path(), "").ok().stderr;
    assert!(said.contains("measuring the latents of 40 images"), "{said}");
    assert!(said.contains("training the coarse network on 40 images for 20 steps"), "{said}");
    let from = "--from dm/sharp-small.safetensors --out further";
    let said = run(folder.path(), &format!("train {SMALL} --stage diffusion {from}")).ok().stderr;
    assert!(!said.contains("coarse network") && !said.contains("measuring the latents"), "{said}");
    let (first, further) = (by_name(folder.path(), "dm"), by_name(folder.path(), "further"));
    let coarse: Vec<_> = first.keys().filter(|name| name.starts_with("coarse.")).collect();
    assert!(coarse.len() > 10 && coarse.iter().all(|name| first[*name] == further[*name]), "{coarse:?}");

    let (before, after) = (by_name(folder.path(), "ae"), by_name(folder.path(), "dm"));
    let mut moved = 0;
    for (name, values) in &before {
        if name.starts_with("decoder.") {
            assert!(values == &after[name], "{name} stays as the first stage left it");
        } else {
            moved += usize::from(values != &after[name]);
        }
    }
    assert!(moved > 10, "{moved} tensors of the ScoreNet were trained");
    assert!(
        tensors(&folder.path().join("ae/sharp-small-encoder.safetensors"))
            == tensors(&folder.path().join("dm/sharp-small-encoder.safetensors"))
    );

    run(folder.path(), "sample --weights dm/sharp-small.safetensors --device cpu --steps 2 --count 2 --out two").ok();
    let [one, other] = [0, 1].map(|seed| decode(&folder.path().join(format!("two/synthetic-seed{seed}.png"))));
    assert_ne!(one.as_raw(), other.as_raw());
    let table = run(folder.path(), "speed --weights dm/sharp-small.safetensors --device cpu --steps 2").ok().stdout;
    assert!(table.contains("matrix product") && table.contains("an image in 2 steps"), "{table}");
}

#[test]
fn a_decoder_is_trained_on_its_own_and_may_gain_grain() {
    let folder = scratch();
    let decoder = |from: &str, out: &str| {
        run(folder.path(), &format!("train {SMALL} --stage decoder --from {from}/sharp-small.safetensors --out {out}"))
    };
    run(folder.path(), &format!("train {SMALL} --stage autoencoder --set model.grain=false --out ae")).ok();
    assert!(!by_name(folder.path(), "ae").keys().any(|name| name.starts_with("decoder.grain")));
    decoder("ae", "grain").ok();
    let log = json_lines(&folder.path().join("grain/log.jsonl"));
    assert!(log.iter().all(|line| line["diffusion"] == 0.0 && line["grain"].as_f64().is_some_and(|v| v != 0.0)));
    second(folder.path(), "--set model.grain=false").ok();
    decoder("dm", "again").ok();
    let (before, after) = (by_name(folder.path(), "dm"), by_name(folder.path(), "again"));
    for (name, values) in &before {
        let moves = name.starts_with("decoder.net");
        assert!(moves || values == &after[name], "{name} stays as the second stage left it");
    }
    assert!(after.keys().any(|name| name.starts_with("decoder.grain")));
    assert!(
        tensors(&folder.path().join("ae/sharp-small-encoder.safetensors"))
            == tensors(&folder.path().join("again/sharp-small-encoder.safetensors"))
    );
}

#[cfg(unix)]
#[test]
fn a_stage_goes_on_where_it_stopped() {
    let folder = scratch();
    first(folder.path());
    let from = "--from ae/sharp-small.safetensors --out dm --set run.checkpoint_every=2";
    let line = format!("train {SMALL} --stage diffusion {from}").replace("--steps 4", "--steps 60");
    run(folder.path(), &line).ok();
    let whole = tensors(&folder.path().join("dm/sharp-small.safetensors"));
    std::fs::rename(folder.path().join("dm"), folder.path().join("whole")).expect("renames");
    let ended = interrupted(folder.path(), &line, 4, |child| child.kill().expect("a child"));
    assert_eq!(ended.code, None, "{}", ended.stderr);
    let said = run(folder.path(), "train --device cpu --resume --out dm").ok().stderr;
    assert!(said.contains("resuming after step"), "{said}");
    assert!(tensors(&folder.path().join("dm/sharp-small.safetensors")) == whole, "to the bit");
}

#[test]
fn a_stage_brings_its_settings_wherever_it_is_named() {
    let folder = scratch();
    first(folder.path());
    std::fs::rename(folder.path().join("ae/sharp-small.safetensors"), folder.path().join("ae.safetensors"))
        .expect("renames");
    std::fs::write(folder.path().join("my.toml"), "from = \"ae.safetensors\"\n[training]\nstage = \"diffusion\"\n")
        .expect("writes");
    let named = ["--stage diffusion --from ae.safetensors", "--set training.stage=diffusion --from ae.safetensors"];
    for how in named.into_iter().chain(["--config my.toml"]) {
        let settings = run(folder.path(), &format!("train --preset sharp-small {how} --print-config")).ok().stdout;
        assert!(settings.contains("optimizer = \"muon\""), "{how}: {settings}");
    }
}

#[test]
fn what_does_not_fit_together_is_refused() {
    let folder = scratch();
    let refusal = |ended: Ended, word: &str| {
        let said = ended.refusal();
        assert!(said.contains(word), "{word} in {said}");
    };
    for stage in ["decoder", "diffusion"] {
        refusal(run(folder.path(), &format!("train {SMALL} --stage {stage} --out dm")), "--from");
    }
    first(folder.path());
    refusal(second(folder.path(), "--set model.decoder.layers=1"), "another encoder or decoder");
    refusal(second(folder.path(), "--set model.score_net.gaussian_rank=40"), "gaussian_rank");
    refusal(run(folder.path(), &format!("train {SMALL} --set model.patch=24")), "divisor");
}
