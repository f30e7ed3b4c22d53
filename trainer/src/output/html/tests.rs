//! Reports of whole, unfinished, damaged and very long runs.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use super::logs::{Reading, Training};
use super::*;

const LINE: &str = "{\"step\":STEP,\"reconstruction\":0.8,\"latent\":1e-6,\"diffusion\":0.004,\"mse\":0.01,\
                    \"gradient_difference\":0.02,\"gradient_norm\":0.3,\"learning_rate\":8e-4,\"seconds\":STEP.5,\
                    \"images_per_second\":1320.5,\"something_new\":[1]}\n";

fn log(steps: u64) -> String {
    (1..=steps).map(|step| LINE.replace("STEP", &step.to_string())).collect()
}

fn png(width: u32, height: u32) -> Vec<u8> {
    let image = image::GrayImage::from_fn(width, height, |x, y| image::Luma([(x * 31 + y * 17 + x * y % 97) as u8]));
    let mut bytes = Vec::new();
    image.write_to(&mut std::io::Cursor::new(&mut bytes), image::ImageFormat::Png).expect("encodes");
    bytes
}

/// A run with every file that a report shows.
fn whole(folder: &Path) {
    let write = |name: &str, bytes: &[u8]| {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("creates");
        fs::write(path, bytes).expect("writes");
    };
    write("log.jsonl", log(300).as_bytes());
    let mut validations = String::new();
    let mut schedules = String::new();
    for step in [100, 200, 300] {
        for (series, total) in [("weights", 0.79), ("ema-50000", 0.78)] {
            let _ = writeln!(
                validations,
                "{{\"step\":{step},\"series\":\"{series}\",\"reconstruction\":0.77,\"latent\":1e-6,\
                 \"diffusion\":0.01,\"total\":{},\"standard_error\":0.0035}}",
                total - step as f64 * 1e-5
            );
        }
        let gamma: Vec<f64> = (0..65).map(|i| -5.0 + 10.0 * f64::from(i) / 64.0).collect();
        let _ = writeln!(schedules, "{{\"step\":{step},\"gamma\":{gamma:?}}}");
    }
    write("validation.jsonl", validations.as_bytes());
    write("schedule.jsonl", schedules.as_bytes());
    write("run.toml", b"preset = \"quick\"\n# <script>alert(1)</script>\n[training]\nsteps = 1000\nbatch = 32\n");
    write(
        "environment.json",
        b"{\"cpu\":\"A & B\",\"memory_mib\":16000,\"commit\":null,\"command\":[\"trainer\",\"train\"]}",
    );
    for step in 1..=20 {
        write(&format!("samples/step-{:08}.png", step * 50), &png(64, 64));
    }
    for name in ["forward", "reverse", "samples"] {
        write(&format!("figures/{name}.png"), &png(64, 32));
    }
    write("evaluation/table.md", b"| FID | 12.3 |");
    write("evaluation/compare.html", b"<html>");
}

fn report(folder: &Path) -> String {
    fs::read_to_string(write(folder).expect("a report")).expect("reads")
}

#[test]
fn a_whole_run_is_shown() {
    let folder = tempfile::tempdir().expect("a folder");
    whole(folder.path());
    let html = report(folder.path());
    for wanted in [
        "not for diagnosis",
        "<dd>300 of 1000</dd><dd class=\"note\">30 %: not finished</dd>",
        "<dd>0.7770 ± 0.0035</dd><dd class=\"note\">bits/dim, ema-50000, step 300</dd>",
        "<dd>5m</dd>",
        "<dd>9600</dd>",
        "validation, ema-50000 ± 1 standard error",
        "step 300 (last)",
        "SNR, dB",
        ", 8 of 20 shown",
        "Step 50<",
        "Step 1000<",
        "| FID | 12.3 |",
        "href=\"evaluation/compare.html\"",
        "A &amp; B",
        "memory (MiB)",
        "<td>trainer train</td>",
        "# &lt;script&gt;alert(1)&lt;/script&gt;",
    ] {
        assert!(html.contains(wanted), "{wanted} is not in the report");
    }
    assert!(!html.contains("<script"), "nothing runs");
    assert!(!html.contains("class=\"missing\""), "nothing is missing");
    assert_eq!(html.matches("<img ").count(), 8 + 3);
    assert_eq!(html.matches("<img ").count(), html.matches(" alt=\"").count());
    for outside in ["http:", "https:", "url(", "@import"] {
        assert!(!html.contains(outside), "{outside}: the file stands alone");
    }
}

#[test]
fn tags_are_balanced() {
    let folder = tempfile::tempdir().expect("a folder");
    whole(folder.path());
    let html = report(folder.path());
    for tag in [
        "section", "figure", "svg", "g", "table", "tr", "th", "td", "dl", "div", "details", "ul", "li", "p", "pre",
        "h3",
    ] {
        let opened = html.matches(&format!("<{tag}>")).count() + html.matches(&format!("<{tag} ")).count();
        assert_eq!(opened, html.matches(&format!("</{tag}>")).count(), "{tag}");
    }
}

#[test]
fn each_file_that_is_missing_costs_its_part_alone() {
    let files = [
        ("log.jsonl", "There is no log.jsonl"),
        ("validation.jsonl", "There is no validation.jsonl"),
        ("schedule.jsonl", "There is no schedule.jsonl"),
        ("run.toml", "There is no run.toml"),
        ("environment.json", "There is no environment.json"),
        ("figures/reverse.png", "reverse.png is not in the run&#39;s folder (yet)."),
        ("evaluation/table.md", "The run holds no evaluation."),
    ];
    for (file, sentence) in files {
        let folder = tempfile::tempdir().expect("a folder");
        whole(folder.path());
        fs::remove_file(folder.path().join(file)).expect("removes");
        let html = report(folder.path());
        assert!(html.contains(sentence), "{file}: {sentence}");
        assert!(html.contains("</html>"));
    }
}

#[test]
fn damaged_files_cost_no_more_than_their_part() {
    let folder = tempfile::tempdir().expect("a folder");
    whole(folder.path());
    let mut random = 1u64;
    let noise: Vec<u8> = (0..50_000)
        .map(|_| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (random >> 56) as u8
        })
        .collect();
    for name in ["validation.jsonl", "schedule.jsonl", "environment.json", "run.toml", "figures/forward.png"] {
        fs::write(folder.path().join(name), &noise).expect("writes");
    }
    fs::write(folder.path().join("evaluation/report.json"), &noise).expect("writes");
    let mut text = log(50);
    text.push_str("{\"step\":51}\nnonsense\n{\"step\":52,\"latent\":null}\n{\"step\":53,\"recon");
    fs::write(folder.path().join("log.jsonl"), text).expect("writes");
    let html = report(folder.path());
    assert!(html.contains("One line of log.jsonl is damaged"), "the torn last line does not count");
    assert!(html.contains("lines of validation.jsonl are damaged"));
    assert!(html.contains("forward.png is damaged"));
    assert!(html.contains("run.toml is damaged"));
    assert!(html.contains("<dd>52</dd>"), "the steps that can be read are counted");
    assert!(html.contains("</html>"));
}

#[test]
fn a_folder_of_something_else_is_refused_by_name() {
    let folder = tempfile::tempdir().expect("a folder");
    let error = write(folder.path()).expect_err("no run").to_string();
    assert!(error.contains("holds no run") && error.contains("run.toml"), "{error}");
    assert!(!folder.path().join("report.html").exists());
    let error = write(&folder.path().join("nowhere")).expect_err("no folder").to_string();
    assert!(error.contains("nowhere is not a folder"), "{error}");
}

#[test]
fn large_pictures_are_reduced() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("log.jsonl"), log(3)).expect("writes");
    let samples = folder.path().join("samples");
    fs::create_dir(&samples).expect("creates");
    for step in 1..=12 {
        fs::write(samples.join(format!("step-{step}.png")), png(1600, 1600)).expect("writes");
    }
    let size = report(folder.path()).len();
    assert!(size < 10_000_000, "{size}");
}

#[test]
fn long_logs_make_no_larger_reports() {
    let folder = tempfile::tempdir().expect("a folder");
    let sizes = [2_000, 20_000].map(|steps| {
        fs::write(folder.path().join("log.jsonl"), log(steps)).expect("writes");
        report(folder.path()).len()
    });
    assert!(sizes[1] < sizes[0] * 2 && sizes[1] < 400_000, "{sizes:?}");
}

#[test]
fn a_log_that_was_begun_anew_keeps_its_order() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("log.jsonl");
    fs::write(&path, log(5) + &log(3) + &LINE.replace("STEP", "6")).expect("writes");
    let (training, reading) = Training::read(&path);
    assert_eq!(reading, Reading::Read { damaged: 0 });
    let steps: Vec<f64> = training.total.buckets().iter().map(|b| b.step).collect();
    assert_eq!(steps, [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
}

#[test]
fn the_losses_are_one_image_that_stands_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    whole(folder.path());
    let svg = losses_svg(folder.path());
    for wanted in
        ["Total", "Latent", "training, smoothed", "validation, ema-50000 ± 1 standard error", "color: #0b66c3"]
    {
        assert!(svg.contains(wanted), "{wanted} is not in {svg}");
    }
    assert!(!svg.contains("var(--") && svg.matches("<svg").count() == svg.matches("</svg>").count());
    assert_eq!(svg.matches("<polyline").count(), 4 * (1 + 1 + 2));
}
