//! Runs of the trainer, and the files that its tests compare.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
#[cfg(unix)]
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
#[cfg(unix)]
use std::time::{Duration, Instant};

use image::{DynamicImage, GrayImage, ImageFormat};
use serde_json::Value;
use tempfile::TempDir;

#[cfg(unix)]
use crate::programs::trainer;
use crate::programs::{Ended, run_trainer, words};

/// A short training of the small model on a few phantoms.
pub const TRAIN: &str = "train --preset quick --device cpu --batch 4 --max-images 24 --seed 5";

/// Runs the trainer in a folder.
pub fn run(folder: &Path, line: &str) -> Ended {
    run_trainer(folder, words(line))
}

/// A temporary folder.
pub fn scratch() -> TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

/// A finished run of 6 steps, made once.
pub fn finished() -> &'static Path {
    static RUN: OnceLock<(TempDir, String)> = OnceLock::new();
    let (folder, _) = RUN.get_or_init(|| {
        let folder = scratch();
        let said = run(folder.path(), &format!("{TRAIN} --steps 6 --set run.validate_every=3 --out run")).ok().stderr;
        (folder, said)
    });
    folder.path()
}

/// The weights of that run.
pub fn weights() -> PathBuf {
    finished().join("run/quick.safetensors")
}

/// Starts a training, whose line names its folder by `--out`, and ends it by `end` once some steps are taken: a
/// checkpoint must lie behind by then, and the end well ahead.
#[cfg(unix)]
pub fn interrupted(folder: &Path, line: &str, steps: usize, end: impl Fn(&mut Child)) -> Ended {
    let words = words(line);
    let out = words.iter().skip_while(|word| *word != "--out").nth(1).expect("--out");
    let log = folder.join(out).join("log.jsonl");
    let mut child =
        trainer().current_dir(folder).args(&words).stderr(Stdio::piped()).spawn().expect("the trainer starts");
    let started = Instant::now();
    while fs::read_to_string(&log).unwrap_or_default().lines().count() < steps {
        assert!(child.try_wait().expect("a child").is_none(), "the run ended by itself");
        assert!(started.elapsed() < Duration::from_secs(120), "no steps were taken");
        std::thread::sleep(Duration::from_millis(5));
    }
    end(&mut child);
    child.wait_with_output().expect("a child").into()
}

/// The lines of a log.
pub fn json_lines(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap_or_else(|e| panic!("cannot read {}: {e}", path.display()));
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{line}: {e}"))).collect()
}

/// Sends a signal such as `-TERM`.
#[cfg(unix)]
pub fn send(signal: &str, child: &Child) {
    let status = Command::new("kill").args([signal, &child.id().to_string()]).status();
    assert!(status.is_ok_and(|status| status.success()));
}

/// The step of a run's last checkpoint.
pub fn checkpoint_step(run: &Path) -> u64 {
    let state = fs::read(run.join("checkpoint/trainer_state.json")).expect("a checkpoint");
    let state: Value = serde_json::from_slice(&state).expect("JSON");
    state["step"].as_u64().expect("a step")
}

/// The numbers of a run's log that follow from its seed.
pub fn curve(folder: &Path, run: &str) -> Vec<[f64; 4]> {
    let number = |line: &Value, name: &str| line[name].as_f64().unwrap_or_else(|| panic!("{name} in {line}"));
    json_lines(&folder.join(run).join("log.jsonl"))
        .iter()
        .map(|line| ["reconstruction", "latent", "diffusion", "gradient_norm"].map(|name| number(line, name)))
        .collect()
}

/// Fails unless two runs have the same curve.
pub fn same_curves(a: &[[f64; 4]], b: &[[f64; 4]]) {
    assert_eq!(a.len(), b.len());
    for (step, (a, b)) in a.iter().zip(b).enumerate() {
        for (a, b) in a.iter().zip(b) {
            // Sums in another order in float32, and how that grows over the steps.
            assert!((a - b).abs() <= 1e-4 * a.abs(), "step {step}: {a} and {b}");
        }
    }
}

/// Every file under a folder with its bytes.
pub fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("a readable entry").path();
        if path.is_dir() {
            files.extend(contents(&path));
        } else {
            files.insert(path.clone(), fs::read(&path).expect("a readable file"));
        }
    }
    files
}

/// The tensors of a file of weights, without the header, which contains the date.
pub fn tensors(path: &Path) -> Vec<u8> {
    let bytes = fs::read(path).unwrap_or_else(|e| panic!("cannot read {}: {e}", path.display()));
    let header = u64::from_le_bytes(*bytes.first_chunk().expect("a safetensors file")) as usize;
    bytes[8 + header..].to_vec()
}

/// Images of every accepted kind: grey and RGB, 8 and 16 bits, PNG and JPEG, of several sizes, in sub-folders.
pub fn pictures(folder: &Path, count: usize) {
    for i in 0..count {
        let (w, h) = [(64, 64), (100, 80), (33, 90), (256, 256)][i % 4];
        let value = |x: u32, y: u32| ((x * 200 / w + y * 50 / h + 3 * i as u32) % 256) as u8;
        let grey = DynamicImage::ImageLuma8(GrayImage::from_fn(w, h, |x, y| image::Luma([value(x, y)])));
        let (image, extension, format) = match i % 5 {
            0 => (grey, "png", ImageFormat::Png),
            1 => (DynamicImage::ImageLuma16(grey.into_luma16()), "PNG", ImageFormat::Png),
            2 => (DynamicImage::ImageRgb8(grey.into_rgb8()), "png", ImageFormat::Png),
            3 => (DynamicImage::ImageRgb16(grey.into_rgb16()), "png", ImageFormat::Png),
            _ => (grey, "jpeg", ImageFormat::Jpeg),
        };
        let sub = folder.join(["a", "b"][i % 2]);
        fs::create_dir_all(&sub).expect("a folder");
        image.save_with_format(sub.join(format!("{i:02}.{extension}")), format).expect("an image is written");
    }
}

/// A picture as 8-bit grey.
pub fn decode(path: &Path) -> GrayImage {
    image::open(path).unwrap_or_else(|e| panic!("{}: {e}", path.display())).into_luma8()
}

/// The texts in a PNG.
pub fn texts(path: &Path) -> BTreeMap<String, String> {
    let file = std::io::BufReader::new(fs::File::open(path).expect("a file"));
    let reader = png::Decoder::new(file).read_info().expect("a PNG");
    let texts = &reader.info().utf8_text;
    texts.iter().map(|text| (text.keyword.clone(), text.get_text().expect("text"))).collect()
}
