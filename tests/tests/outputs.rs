//! What the trainer writes for other programs: refusals, and what needs no other program to be checked.

use std::fs;
use std::path::Path;

use tests::programs::{run_trainer, words};
use tests::repository;

fn weights() -> String {
    repository().join("web/weights/paper.safetensors").display().to_string()
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("a folder");
    let mut names: Vec<_> =
        entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn what_cannot_be_written_is_refused_before_anything_is() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    fs::write(folder.path().join("file"), "").expect("written");
    let weights = weights();
    for (line, about) in [
        (format!("sample --weights {weights} --format dicom --out a.png"), "--out ends in .png"),
        (format!("sample --weights {weights} --format png --out a.dcm"), "--out ends in .dcm"),
        (format!("sample --weights {weights} --count 2 --out a.dcm"), "--count is 2"),
        (format!("sample --weights {weights} --format tiff"), "dicom"),
        ("export --weights absent.safetensors --out a".to_owned(), "absent.safetensors"),
        (format!("export --weights {weights} --out file"), "--out is file"),
        ("export --weights file --out a".to_owned(), "file"),
        (format!("export --weights {} --out a", weights.replace(".safe", "-encoder.safe")), "without `-encoder`"),
        ("completions csh".to_owned(), "csh"),
    ] {
        let refusal = run_trainer(folder.path(), words(&line)).refusal();
        assert!(refusal.contains(about), "{line}: {refusal}");
    }
    assert_eq!(names(folder.path()), ["file"]);
}

#[test]
fn export_writes_each_network_and_the_schedule() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let said = run_trainer(folder.path(), words(&format!("export --out a/b --weights {}", weights()))).ok();
    assert_eq!(names(&folder.path().join("a/b")), ["decoder.onnx", "encoder.onnx", "schedule.json", "score-net.onnx"]);
    assert!(said.stderr.contains("score-net.onnx"), "{}", said.stderr);
    // Weights without their encoder do as well.
    fs::copy(weights(), folder.path().join("alone.safetensors")).expect("copied");
    let said = run_trainer(folder.path(), words("export --out c --weights alone.safetensors")).ok();
    assert_eq!(names(&folder.path().join("c")), ["decoder.onnx", "schedule.json", "score-net.onnx"]);
    assert!(said.stderr.contains("alone-encoder.safetensors"), "{}", said.stderr);
}

#[test]
fn shells_and_manuals_learn_the_command_line() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = run_trainer(folder.path(), words(&format!("completions {shell}"))).ok().stdout;
        assert!(script.contains("evaluate") && !script.contains("probe"), "{shell}");
    }
    let page = run_trainer(folder.path(), ["man"]).ok().stdout;
    assert!(page.contains(".TH trainer") && page.contains("never for diagnosis"), "{page}");
    run_trainer(folder.path(), ["man", "--out", "pages"]).ok();
    let pages = names(&folder.path().join("pages"));
    assert!(pages.contains(&"trainer.1".to_owned()) && pages.contains(&"trainer-sample.1".to_owned()), "{pages:?}");
}
