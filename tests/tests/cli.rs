//! The trainer's command line: sampling, evaluation, inspection, and errors.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::TempDir;
use tests::programs::{Ended, run_trainer, words};
use tests::runs::{TRAIN, contents, decode, finished, pictures, run, scratch, texts, weights};
use vdm::image::{DIGITAL_SOURCE_TYPE, LABEL};

fn sample(line: &str) -> (TempDir, Ended) {
    let folder = scratch();
    let arguments = ["sample", "--device", "cpu", "--weights"].map(Into::into).into_iter();
    let ended = run_trainer(folder.path(), arguments.chain([weights().into_os_string()]).chain(words(line)));
    (folder, ended)
}

fn evaluate(weights: &Path, data: &Path, more: &str) -> Ended {
    let line = ["evaluate".into(), "--device".into(), "cpu".into(), "--weights".into(), weights.into()];
    let line = line.into_iter().chain(["--data".into(), data.into()]).chain(words(more));
    run_trainer(&std::env::temp_dir(), line)
}

#[test]
fn help_explains_each_option_and_version_tells_one() {
    let folder = scratch();
    for (command, options) in [
        (
            "help train",
            "data preset device steps batch seed out resume time-limit skip-unreadable config set devices resume-from accept-changed-images",
        ),
        ("help prepare", "data validation labels finding view sex min-age drop-duplicates cache report"),
        ("sample", "weights count steps sampler guidance class seed device out format"),
        ("help evaluate", "weights data json seed device train-data samples samples-dir out card"),
        ("inspect", "json"),
        ("export", "weights out"),
        ("convert", "weights out precision fine-from"),
        ("man", "out"),
    ] {
        let flag = if command.starts_with("help") { "" } else { "--help" };
        let help = run(folder.path(), &format!("{command} {flag}")).ok().stdout;
        for option in options.split(' ') {
            assert!(help.contains(&format!("--{option}")), "{command} --help says nothing of --{option}");
        }
    }
    let help = run(folder.path(), "--help").ok().stdout;
    for word in ["train", "prepare", "sample", "evaluate", "export", "report", "completions", "--data", "[default: "] {
        assert!(help.contains(word), "--help says nothing of {word}");
    }
    assert!(run(folder.path(), "--version").ok().stdout.contains(env!("CARGO_PKG_VERSION")));
    assert!(contents(folder.path()).is_empty());
}

#[test]
fn images_of_every_accepted_kind_train() {
    let folder = scratch();
    pictures(&folder.path().join("images"), 20);
    let line = "train --preset quick --device cpu --batch 4 --steps 2 --out run --data images";
    let said = run(folder.path(), line).ok().stderr;
    assert!(said.contains("18 training and 2 validation images"), "every tenth is held out: {said}");
}

#[test]
fn an_unreadable_image_is_named_or_left_out_and_counted() {
    let folder = scratch();
    let images = folder.path().join("images");
    pictures(&images, 20);
    fs::write(images.join("a/05-bad.png"), "not a PNG").expect("a file");
    let whole = fs::read(images.join("b/03.png")).expect("an image");
    fs::write(images.join("b/15-cut.png"), &whole[..whole.len() / 2]).expect("a file");
    let train = "train --preset quick --device cpu --batch 4 --steps 1 --out run --data images";
    let said = run(folder.path(), train).refusal();
    assert!(said.contains("05-bad.png") || said.contains("15-cut.png"), "{said}");
    assert!(said.contains("--skip-unreadable"), "{said}");
    assert!(!folder.path().join("run").exists(), "nothing was begun");
    let said = run(folder.path(), &format!("{train} --skip-unreadable")).ok().stderr;
    assert!(said.contains("unreadable and were left out"), "{said}");

    let said = evaluate(&weights(), &images, "--json --times 1").refusal();
    assert!(said.contains(".png"), "{said}");
    let report = evaluate(&weights(), &images, "--json --times 1 --skip-unreadable").ok().stdout;
    let report: Value = serde_json::from_str(&report).expect("JSON");
    assert_eq!((report["images"].as_u64(), report["skipped"].as_u64()), (Some(20), Some(2)));
}

#[test]
fn classes_come_from_folders_and_can_be_asked_for() {
    let folder = scratch();
    pictures(&folder.path().join("images"), 40);
    let line = "train --preset quick --device cpu --batch 4 --steps 2 --out run --data images --labels folders";
    // Every tenth image is of class b: validation needs both.
    pictures(&folder.path().join("held-out"), 4);
    run(folder.path(), &format!("{line} --validation held-out")).ok();
    let sample = "sample --device cpu --weights run/quick.safetensors --steps 2";
    let draw = |more: &str| run(folder.path(), &format!("{sample} {more}"));
    draw("--class a --out a.png").ok();
    draw("--class 0 --out zero.png").ok();
    draw("--class b --guidance 3 --out b.png").ok();
    assert_eq!(decode(&folder.path().join("a.png")), decode(&folder.path().join("zero.png")));
    assert!(texts(&folder.path().join("b.png"))["Description"].contains("class=b"));
    for (more, named) in [("--class c", "a, b"), ("--class 2", "0 to 1"), ("--class a --guidance NaN", "guidance")] {
        let said = draw(&format!("{more} --out never.png")).refusal();
        assert!(said.contains(named), "{said}");
    }
    assert!(!folder.path().join("never.png").exists());
}

#[test]
fn attributes_of_a_table_are_learned_in_turn_and_asked_for_together() {
    let folder = scratch();
    pictures(&folder.path().join("images"), 40);
    let files: Vec<PathBuf> = contents(&folder.path().join("images")).into_keys().collect();
    let row = |(i, file): (usize, &PathBuf)| {
        let path = file.strip_prefix(folder.path()).expect("below").display().to_string();
        format!("{path},{},{}\n", ["healthy", "ill"][i % 2], ["F", "", "M"][i % 3])
    };
    let rows: String = files.iter().enumerate().map(row).collect();
    fs::write(folder.path().join("table.csv"), format!("path,label,sex\n{rows}")).expect("a table");
    let line = "train --preset quick --device cpu --batch 4 --steps 2 --data table.csv";
    run(folder.path(), &format!("{line} --labels finding --out one")).ok();
    // Another attribute is added to what was learned.
    let more = format!("{line} --from one/quick.safetensors");
    let said = run(folder.path(), &format!("{more} --labels finding,sex --out two")).ok().stderr;
    assert!(said.contains("the sex of 13 of 40 images is not known"), "{said}");
    let said = run(folder.path(), &format!("{more} --labels sex --out never")).refusal();
    assert!(said.contains("healthy, ill") && said.contains("F, M"), "{said}");
    let said = run(folder.path(), &format!("{more} --labels finding,finding --out never")).refusal();
    assert!(said.contains("--labels"), "{said}");
    let draw = |class: &str, out: &str| {
        let options = ["sample", "--device", "cpu", "--weights", "two/quick.safetensors", "--steps", "2", "--out", out];
        run_trainer(folder.path(), options.into_iter().chain(["--class", class]))
    };
    draw("M, ill", "a.png").ok();
    draw("finding=ill,sex=M", "b.png").ok();
    draw("ill", "c.png").ok();
    assert_eq!(decode(&folder.path().join("a.png")), decode(&folder.path().join("b.png")));
    let said = draw("ill, healthy", "never.png").refusal();
    assert!(said.contains("finding (healthy, ill); sex (F, M)"), "{said}");
    assert!(!folder.path().join("never").exists() && !folder.path().join("never.png").exists());
}

#[test]
fn each_sampler_draws_the_same_picture_for_the_same_seed() {
    let mut drawn = Vec::new();
    for sampler in ["ancestral", "ddim", "dpmpp-2m"] {
        let line = format!("--sampler {sampler} --steps 4 --seed 9 --out out.png");
        let (first, ended) = sample(&line);
        ended.ok();
        let (second, ended) = sample(&line);
        ended.ok();
        let bytes = |folder: &TempDir| fs::read(folder.path().join("out.png")).expect("a picture");
        assert!(bytes(&first) == bytes(&second), "{sampler}");
        let text = texts(&first.path().join("out.png"));
        assert_eq!(text["Title"], LABEL);
        assert!(text["Description"].contains("seed=9") && text["Description"].contains(sampler));
        assert!(text["XML:com.adobe.xmp"].contains(DIGITAL_SOURCE_TYPE));
        drawn.push(bytes(&first));
    }
    let (other, ended) = sample("--steps 4 --seed 10 --out out.png");
    ended.ok();
    assert!(!drawn.contains(&fs::read(other.path().join("out.png")).expect("a picture")));
}

#[test]
fn images_come_as_a_grid_or_as_files() {
    let (folder, ended) = sample("--count 5 --steps 2 --seed 100 --no-visible-label --out grid.png");
    ended.ok();
    // 3 columns and 2 rows of 64 pixels, 2 apart.
    let grid = decode(&folder.path().join("grid.png"));
    assert_eq!(grid.dimensions(), (196, 130));
    assert!(texts(&folder.path().join("grid.png"))["Description"].contains("seed=100-104"));

    let (folder, ended) = sample("--count 5 --steps 2 --seed 100 --no-visible-label --out new/folder");
    ended.ok();
    let files = contents(&folder.path().join("new/folder"));
    assert_eq!(files.len(), 5);
    for (i, seed) in (100..105).enumerate() {
        let image = decode(&folder.path().join(format!("new/folder/synthetic-seed{seed}.png")));
        let (left, top) = (i as u32 % 3 * 66, i as u32 / 3 * 66);
        let part = image::imageops::crop_imm(&grid, left, top, 64, 64).to_image();
        assert_eq!(image, part, "seed {seed}");
    }
    // The same alone as in a batch, but for the order of additions: one grey level at most.
    let (folder, ended) = sample("--steps 2 --seed 103 --no-visible-label --out one.png");
    ended.ok();
    let (one, part) =
        (decode(&folder.path().join("one.png")), image::imageops::crop_imm(&grid, 0, 66, 64, 64).to_image());
    assert!(one.pixels().zip(part.pixels()).all(|(a, b)| a[0].abs_diff(b[0]) <= 1));

    // The label is in the picture unless --no-visible-label is given.
    let (folder, ended) = sample("--steps 2 --seed 103 --out labelled.png");
    ended.ok();
    let labelled = decode(&folder.path().join("labelled.png"));
    assert!(labelled.height() > 64, "the label of a small picture stands below it");
}

#[test]
fn evaluation_is_json_and_deterministic() {
    let folder = scratch();
    pictures(folder.path(), 12);
    let ended = evaluate(&weights(), folder.path(), "--json --times 2 --seed 3").ok();
    let again = evaluate(&weights(), folder.path(), "--json --times 2 --seed 3").ok();
    assert_eq!(ended.stdout, again.stdout);
    let report: Value = serde_json::from_str(&ended.stdout).expect("JSON, and nothing else");
    assert_eq!(report["images"], 12);
    let bits = |name: &str| report["bits_per_dim"][name].as_f64().unwrap_or_else(|| panic!("no {name} in {report}"));
    let names = ["reconstruction", "latent", "diffusion", "total", "entropy_floor"];
    for name in names {
        assert!(bits(name).is_finite());
        let error = report["bits_per_dim"]["standard_error"][name].as_f64();
        assert!(error.is_some_and(|error| error.is_finite() && error >= 0.0), "the standard error of {name}");
    }
    assert!((bits("reconstruction") + bits("latent") + bits("diffusion") - bits("total")).abs() < 1e-9);
    assert!(bits("reconstruction") >= bits("entropy_floor"));
    let other = evaluate(&weights(), folder.path(), "--json --times 2 --seed 4").ok().stdout;
    assert_ne!(other, ended.stdout);
    let table = evaluate(&weights(), folder.path(), "--times 1").ok().stdout;
    assert!(names.iter().take(4).all(|name| table.contains(name)), "{table}");
}

#[test]
fn evaluation_needs_the_right_encoder() {
    let (folder, data) = (scratch(), scratch());
    pictures(data.path(), 2);
    let copy = folder.path().join("quick.safetensors");
    fs::copy(weights(), &copy).expect("a copy");
    let said = evaluate(&copy, data.path(), "").refusal();
    assert!(said.contains("quick-encoder.safetensors") && said.contains("missing"), "{said}");
    let other = scratch();
    run(other.path(), &format!("{TRAIN} --steps 1 --seed 77 --out run").replace("--seed 5 ", "")).ok();
    fs::copy(other.path().join("run/quick-encoder.safetensors"), folder.path().join("quick-encoder.safetensors"))
        .expect("a copy");
    let said = evaluate(&copy, data.path(), "").refusal();
    assert!(said.contains("belongs to other weights"), "{said}");
    let said = evaluate(&finished().join("run/quick-encoder.safetensors"), data.path(), "").refusal();
    assert!(said.contains("encoder file"), "{said}");
}

#[test]
fn inspection_tells_what_a_file_holds() {
    let inspect = |more: &str| {
        let line = ["inspect".into(), weights().into_os_string()].into_iter().chain(words(more));
        run_trainer(&std::env::temp_dir(), line).ok().stdout
    };
    let text = inspect("");
    for word in ["sampling", "score_net.condition_1.weight", "F16", "phantoms", "sha256"] {
        assert!(text.contains(word), "nothing of {word} in {text}");
    }
    let value: Value = serde_json::from_str(&inspect("--json")).expect("JSON");
    assert_eq!(value["config"]["height"], 64);
    assert_eq!(value["provenance"]["seed"], 5);
    assert!(value["tensors"].as_array().is_some_and(|tensors| tensors.len() > 10));
}

#[test]
fn a_bad_command_line_is_one_clear_error() {
    let folder = scratch();
    fs::create_dir(folder.path().join("empty")).expect("a folder");
    fs::write(folder.path().join("file"), "x").expect("a file");
    let good = weights();
    let good = good.to_str().expect("a plain path");
    let cases: Vec<(String, &str)> = [
        ("train --data nowhere", "nowhere"),
        ("train --data file", "file"),
        ("train --data empty", "holds no"),
        ("train --preset papre", "paper, quick"),
        ("train --stage everything", "coarse, fine"),
        ("train --device gpu", "cuda"),
        ("train --steps 0", "steps"),
        ("train --steps many", "many"),
        ("train --batch 0", "batch"),
        ("train --max-images 0", "from 1"),
        ("train --learning-rate=-1", "learning_rate"),
        ("train --learning-rate=NaN", "learning_rate"),
        ("train --set model.latent.schedule.gamma_min=6", "gamma_max"),
        ("train --time-limit soon", "9m"),
        ("train --validate-every 0", "--set run.validate_every"),
        ("train --set run.checkpoint_every=0", "run.checkpoint_every"),
        ("train --validation empty", "--data"),
        ("train --out file/below", "file/below"),
        ("train --frobnicate", "--frobnicate"),
        ("train --image-size 128", "--set model.height=128"),
        ("train --epochs 3", "--steps N"),
        ("train --resume-from-checkpoint x", "--resume --out DIR"),
        ("trian", "trian"),
        ("sample", "--weights"),
        ("sample --weights nowhere.safetensors", "nowhere.safetensors"),
        ("sample nowhere.safetensors", "nowhere.safetensors"),
        ("sample --weights empty", "empty"),
        ("sample --weights GOOD --count 0", "count"),
        ("sample --weights GOOD --steps 0", "steps"),
        ("sample --weights GOOD --sampler euler", "dpmpp-2m"),
        ("sample --weights GOOD --guidance 1e9", "guidance"),
        ("sample --weights GOOD --class 0", "no classes"),
        ("sample --weights GOOD --class pneumonia", "no classes"),
        ("sample --weights GOOD --seed -1", "-1"),
        ("sample --weights GOOD --steps 1 --out file/below.png", "file/below.png"),
        ("evaluate --weights GOOD --data nowhere", "nowhere"),
        ("evaluate --weights GOOD --data empty", "holds no"),
        ("evaluate --weights GOOD --data empty --times 0", "times"),
        ("inspect nowhere.safetensors", "nowhere.safetensors"),
    ]
    .map(|(line, named)| (line.replace("GOOD", good), named))
    .into();
    let before = contents(folder.path());
    for (line, named) in cases {
        let device =
            if line.contains("inspect") || line.contains("--device") || line == "trian" { "" } else { " --device cpu" };
        let said = run(folder.path(), &format!("{line}{device}")).refusal();
        assert!(said.contains(named), "`{line}` says nothing of {named}:\n{said}");
        assert!(before == contents(folder.path()), "`{line}` left something behind");
    }
}

#[test]
fn weights_that_cannot_be_used_are_refused_by_reason() {
    let folder = scratch();
    let bytes = fs::read(weights()).expect("weights");
    let mut claims = bytes.clone();
    claims[..8].copy_from_slice(&(4u64 << 30).to_le_bytes());
    let mut not_a_number = bytes.clone();
    let end = not_a_number.len();
    not_a_number[end - 2..].copy_from_slice(&[0x00, 0x7e]);
    let header = String::from_utf8_lossy(&bytes).find("format_version").expect("metadata");
    let mut version = bytes.clone();
    let digit = (header..).find(|&i| version[i].is_ascii_digit()).expect("a version");
    version[digit] = b'9';
    for (name, bytes, reason) in [
        ("cut", &bytes[..bytes.len() - 100], "truncated"),
        ("empty", &[][..], "truncated"),
        ("text", &b"<!doctype html><p>This is no file of weights</p>"[..], "not a safetensors file"),
        ("claims", &claims, "not a safetensors file"),
        ("nan", &not_a_number, "NaN"),
        ("version", &version, "format version 9"),
    ] {
        let file = format!("{name}.safetensors");
        fs::write(folder.path().join(&file), bytes).expect("a file");
        let said =
            run(folder.path(), &format!("sample --device cpu --steps 1 --weights {file} --out out.png")).refusal();
        assert!(said.contains(&file) && said.contains(reason), "{name}: {said}");
    }
    assert!(!folder.path().join("out.png").exists());
}

#[test]
fn a_device_works_as_the_cpu_does_or_says_why_not() {
    let (folder, ended) = sample("--count 2 --steps 3 --seed 1 --no-visible-label --out cpu.png");
    ended.ok();
    let expected = decode(&folder.path().join("cpu.png"));
    let weights = weights();
    let weights = weights.to_str().expect("a plain path");
    for device in ["auto", "cuda", "wgpu"] {
        let line = format!("--count 2 --steps 3 --seed 1 --no-visible-label --out {device}.png --device {device}");
        let ended = run(folder.path(), &format!("sample --weights {weights} {line}"));
        if ended.code == Some(0) {
            assert!(ended.stderr.contains("device: "), "{}", ended.stderr);
            let drawn = decode(&folder.path().join(format!("{device}.png")));
            // Half precision in matrix products, as GPUs may use, moves a grey value by little.
            let most = drawn.pixels().zip(expected.pixels()).map(|(a, b)| a[0].abs_diff(b[0])).max();
            assert!(most <= Some(3), "{device}: {most:?} grey levels apart");
        } else {
            assert_ne!(device, "auto", "auto always finds one: {}", ended.stderr);
            let said = ended.refusal();
            assert!(said.contains(&format!("--device {device} does not work here")), "{said}");
        }
    }
}

#[test]
fn the_first_commands_of_the_readme_work_in_their_order() {
    let readme = fs::read_to_string(tests::repository().join("README.md")).expect("the README");
    let (_, after) = readme.split_once("## Train on your own images").expect("a section");
    let block = after.split("```").nth(1).expect("a block of commands");
    let folder = scratch();
    pictures(&folder.path().join("my-xrays"), 20);
    pictures(&folder.path().join("my-test-xrays"), 4);
    let mut said = Vec::new();
    for line in block.lines().filter_map(|line| line.strip_prefix("cargo run --release -p trainer")) {
        let line = line.split('#').next().unwrap_or_default().trim().trim_start_matches("-- ");
        // Fewer steps, and none that needs a GPU.
        let more = match line {
            "" => "--device cpu --steps 2 --max-images 24",
            "--data my-xrays" => "--device cpu --steps 2 --batch 4",
            "--help" => "",
            _ => "--device cpu",
        };
        said.push(run(folder.path(), &format!("{line} {more}")).ok().stderr);
    }
    let [first, mine, resumed, sampled, evaluated, _] = &said[..] else { panic!("{said:?}") };
    assert!(first.contains("phantoms") && !mine.contains("phantoms"));
    assert!(resumed.contains("resuming after step 2 of 2") && resumed.contains("quick-2"), "{resumed}");
    let path = Path::new("runs/quick-2/quick.safetensors").display().to_string();
    assert!(sampled.contains(&path) && evaluated.contains(&path), "{sampled}{evaluated}");
    assert!(decode(&folder.path().join("grid.png")).width() > 64);
}
