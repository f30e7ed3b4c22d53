//! Images from archives and folders: what is accepted, chosen and refused, and how preparing survives interruption.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use tests::programs::{Ended, trainer, words};
use tests::runs::{contents, pictures, run, scratch};

/// A tiny archive as NIH distributes it: 40 patients with one to three images each, in two folders.
fn archive(folder: &Path) {
    pictures(&folder.join("made"), 80);
    let mut made: Vec<PathBuf> = contents(&folder.join("made")).into_keys().collect();
    made.sort();
    let mut table = String::from(
        "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,\
         OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y],\n",
    );
    for (i, path) in made.iter().enumerate() {
        let (patient, follow_up) = (i / 2, i % 2);
        let name = format!("{patient:08}_{follow_up:03}.png");
        let images = folder.join(["images_001/images", "images_002/images"][i % 2]);
        fs::create_dir_all(&images).expect("a folder");
        image::open(path).expect("an image").into_luma8().save(images.join(&name)).expect("an image");
        let finding = ["No Finding", "Pneumonia", "Pneumonia|Effusion", "Mass"][i % 4];
        let (age, sex, view) = (20 + i % 50, ["M", "F"][patient % 2], ["PA", "AP"][i % 2]);
        writeln!(table, "{name},{finding},{follow_up},{patient},{age:03}Y,{sex},{view},64,64,0.1,0.1,").expect("text");
    }
    table.push_str("99999999_000.png,No Finding,0,99999,50,M,PA,64,64,0.1,0.1,\n");
    fs::write(folder.join("Data_Entry_2017.csv"), table).expect("a table");
    fs::remove_dir_all(folder.join("made")).expect("a folder");
}

fn prepare(folder: &Path, more: &str) -> Ended {
    run(folder, &format!("prepare --size 64 {more}"))
}

#[test]
fn nihs_archive_is_chosen_from_and_divided_by_patient() {
    let folder = scratch();
    archive(folder.path());
    let ended = prepare(folder.path(), "--data .").ok();
    assert!(ended.stdout.contains("80 images of 64×64"), "{}", ended.stdout);
    for words in ["1 rows of the table have no image", "patients)", "by patient"] {
        assert!(ended.stderr.contains(words), "{words}: {}", ended.stderr);
    }
    let ended = prepare(folder.path(), "--data . --max-images 10").ok();
    assert!(ended.stderr.contains("only the first 10 of "), "what is left out is said: {}", ended.stderr);
    for (options, count) in [
        ("--finding pneumonia", 40),
        ("--finding Pneumonia --only-findings", 20),
        ("--finding Mass --finding Effusion", 40),
        ("--view PA", 40),
        ("--sex F", 40),
        ("--min-age 30 --max-age 39", 20),
        ("--labels finding --finding Pneumonia --finding Mass", 60),
    ] {
        // A tenth of few patients may be none.
        let said = prepare(folder.path(), &format!("--data . --validation-fraction 0.4 {options}")).ok().stdout;
        assert!(said.contains(&format!("{count} images of")), "{options}: {said}");
    }
    for (options, named) in [
        ("--finding Pneumona", "Pneumonia (40), "),
        ("--view LL", "PA (40)"),
        ("--sex X", "F (40)"),
        ("--min-age 90", "none of the 80 images"),
        ("--min-age 9 --max-age 3", "must not be above"),
    ] {
        let said = prepare(folder.path(), &format!("--data . {options}")).refusal();
        assert!(said.contains(named), "{options}: {said}");
    }
    // NIH's own division leaves its test images alone.
    let names: Vec<String> = (0..80).map(|i| format!("{:08}_{:03}.png", i / 2, i % 2)).collect();
    fs::write(folder.path().join("train_val_list.txt"), names[..60].join("\n")).expect("a list");
    fs::write(folder.path().join("test_list.txt"), names[60..].join("\n")).expect("a list");
    let ended = prepare(folder.path(), "--data . --validation-fraction 0.4").ok();
    assert!(ended.stderr.contains("20 test images are left alone"), "{}", ended.stderr);
    assert!(ended.stdout.contains("60 images of"), "{}", ended.stdout);
    // Its lists alone, with a byte order mark, with folders, and with images in neither.
    let list = |name: &str, lines: Option<String>| match lines {
        Some(lines) => fs::write(folder.path().join(name), lines).expect("a list"),
        None => fs::remove_file(folder.path().join(name)).expect("a list"),
    };
    let lines =
        |names: &[String], before: &str| names.iter().map(|name| format!("{before}{name}\r\n")).collect::<String>();
    for (train, test, tested) in [
        (Some(lines(&names[..60], "")), None, 20),
        (Some(lines(&names[..60], "images_001\\")), Some(lines(&names[60..], "images/")), 20),
        (
            Some(format!("\u{feff}{}", lines(&names[..60], ""))),
            Some(format!("\u{feff}{}", lines(&names[60..], ""))),
            20,
        ),
        (None, Some(lines(&names[70..], "")), 10),
        (Some(lines(&names[..50], "")), Some(lines(&names[60..], "")), 20),
    ] {
        fs::write(folder.path().join("train_val_list.txt"), "").expect("a list");
        fs::write(folder.path().join("test_list.txt"), "").expect("a list");
        list("train_val_list.txt", train.clone());
        list("test_list.txt", test.clone());
        let ended = prepare(folder.path(), "--data . --validation-fraction 0.4").ok();
        let told = format!("{tested} test images are left alone");
        assert!(ended.stderr.contains(&told), "{train:?} {test:?}: {}", ended.stderr);
        assert!(ended.stdout.contains(&format!("{} images of", 80 - tested)), "{}", ended.stdout);
    }
    let ended = prepare(folder.path(), "--data . --validation-fraction 0.4").ok();
    assert!(
        ended.stderr.contains("10 images are neither in train_val_list.txt nor in test_list.txt"),
        "{}",
        ended.stderr
    );
}

#[test]
fn odd_values_in_nihs_table_are_told() {
    let folder = scratch();
    archive(folder.path());
    let table = folder.path().join("Data_Entry_2017.csv");
    let text = fs::read_to_string(&table).expect("a table");
    let text = text
        .replace(",020Y,", ",414,")
        .replace(",021Y,", ",058Y,")
        .replace(",022Y,", ",58.0,")
        .replacen(",M,", ",male,", 1)
        .replacen(",F,", ",unclear,", 1)
        .replacen("Pneumonia|Effusion", "No Finding|effusion", 1)
        .replacen(",0,3,", ",0,003,", 1);
    fs::write(&table, format!("\u{feff}{}", text.replace('\n', "\r\n"))).expect("a table");
    let ended = prepare(folder.path(), "--data . --validation-fraction 0.4 --labels finding").ok();
    for words in [
        "2 ages are impossible or unreadable, and taken as unknown: 414 in line 2",
        "1 values of sex are none of F, M and O, and taken as unknown: unclear in line",
        "1 images have `No Finding` beside a finding",
        "rows spell their finding in another way than a row above: Effusion is taken as effusion",
        "rows spell their patient in another way than a row above: 3 is taken as 003",
        "images have no single class, and are left out",
    ] {
        assert!(ended.stderr.contains(words), "{words}: {}", ended.stderr);
    }
    let ended = prepare(folder.path(), "--data . --min-age 58 --max-age 58 --validation-fraction 0.4").ok();
    assert!(ended.stdout.contains("5 images of"), "{}", ended.stdout);
}

#[test]
fn a_table_with_wrong_columns_is_refused_by_name() {
    let folder = scratch();
    archive(folder.path());
    let table = folder.path().join("Data_Entry_2017.csv");
    let text = fs::read_to_string(&table).expect("a table");
    fs::write(&table, text.replace("Finding Labels", "Findings")).expect("a table");
    let said = prepare(folder.path(), "--data .").refusal();
    assert!(said.contains("no column `Finding Labels`") && said.contains("`Findings`"), "{said}");
    fs::write(folder.path().join("list.csv"), "file,label\na.png,x\n").expect("a manifest");
    let said = prepare(folder.path(), "--data list.csv").refusal();
    assert!(said.contains("no column `path`") && said.contains("`file`") && said.contains("`patient`"), "{said}");
}

#[test]
fn manifests_name_images_labels_patients_and_parts() {
    let folder = scratch();
    pictures(&folder.path().join("images"), 20);
    let files: Vec<PathBuf> = contents(&folder.path().join("images")).into_keys().collect();
    let row = |i: usize, split: &str| {
        let path = files[i].strip_prefix(folder.path()).expect("below").display().to_string();
        format!("{path},{},p{},{split}\n", ["healthy", "ill"][i % 2], i / 2)
    };
    let list = |name: &str, rows: String| {
        fs::write(folder.path().join(name), format!("path,label,patient,split\n{rows}")).expect("a manifest");
        prepare(folder.path(), &format!("--data {name} --labels finding"))
    };
    let parts = (0..20).map(|i| row(i, ["train", "validation", "test", "train"][i % 4])).collect();
    let ended = list("parts.csv", parts).ok();
    assert!(ended.stderr.contains("10 (of 10 patients) training and 5 (of 5 patients) validation"), "{}", ended.stderr);
    assert!(ended.stdout.contains("finding: healthy, ill"), "{}", ended.stdout);
    let said = list("split.csv", row(0, "somewhere")).refusal();
    assert!(
        said.contains("line 2") && said.contains("somewhere") && said.contains("train, validation or test"),
        "{said}"
    );
    let said = list("gone.csv", format!("{}nowhere.png,ill,p1,train\n", row(0, ""))).refusal();
    assert!(said.contains("1 of the 2 files") && said.contains("nowhere.png"), "{said}");
    let gone = (0..20).map(|i| row(i, "")).collect::<String>() + "nowhere.png,ill,p1,\n";
    fs::write(folder.path().join("gone.csv"), format!("path,label,patient,split\n{gone}")).expect("a manifest");
    let ended = prepare(folder.path(), "--data gone.csv --skip-unreadable").ok();
    assert!(
        ended.stderr.contains("1 files of the table do not exist, and are left out: nowhere.png"),
        "{}",
        ended.stderr
    );
    assert!(ended.stdout.contains("20 images"), "{}", ended.stdout);
    let said = list("twice.csv", row(0, "") + &row(1, "") + &row(0, "")).refusal();
    assert!(said.contains("line 4 lists images/a/00.png twice: it is in line 2 too"), "{said}");
    let said = list("empty.csv", String::new()).refusal();
    assert!(said.contains("lists no image"), "{said}");
}

#[test]
fn manifests_of_spreadsheets_and_other_systems_are_read() {
    let folder = scratch();
    let files = folder.path().join("CheXpert-v1.0-small/train/patient00001");
    pictures(&files, 10);
    let names: Vec<String> = contents(&files)
        .into_keys()
        .map(|path| path.strip_prefix(folder.path()).expect("below").display().to_string())
        .collect();
    let list = |name: &str, header: &str, row: &dyn Fn(usize, &str) -> String| {
        let rows: String = names.iter().enumerate().map(|(i, name)| row(i, name)).collect();
        let path = folder.path().join("CheXpert-v1.0-small").join(name);
        fs::write(path, format!("{header}\n{rows}")).expect("a manifest");
        prepare(folder.path(), &format!("--data CheXpert-v1.0-small/{name} --validation-fraction 0.3"))
    };
    // CheXpert's paths start with the folder in which its table lies.
    let ended = list("train.csv", "Path,Sex,Age", &|_, name| format!("{name},Male,58\n")).ok();
    assert!(ended.stdout.contains("10 images"), "{}", ended.stdout);
    assert!(ended.stderr.contains("10 of 10 images have the one patient ID patient00001"), "{}", ended.stderr);
    let ended = prepare(folder.path(), "--data CheXpert-v1.0-small/train.csv --sex m --validation-fraction 0.3").ok();
    assert!(ended.stdout.contains("10 images"), "{}", ended.stdout);
    // Excel, where the comma is the decimal mark, on a system with backslashes.
    let row = |i: usize, name: &str| format!("{};p{i};{}\r\n", name.replace('/', "\\"), ["TRAIN", "dev"][i % 2]);
    let ended = list("excel.csv", "path;patient;split", &row).ok();
    assert!(ended.stderr.contains("5 (of 5 patients) training and 5 (of 5 patients) validation"), "{}", ended.stderr);
    // A patient on both sides.
    let row = |i: usize, name: &str| format!("{name},p{},{}\n", i / 3, ["train", "val"][i % 2]);
    let ended = list("sides.csv", "path,patient,split", &row).ok();
    let told = "3 patients have images in several of training, validation and test: p0, p1, p2";
    assert!(ended.stderr.contains(told), "{}", ended.stderr);
    // Broken tables are named by the line, which counts lines within cells.
    let row = |i: usize, name: &str| format!("{name},\"a\nb\",{}\n", if i == 4 { "nowhere" } else { "train" });
    let said = list("lines.csv", "path,label,split", &row).refusal();
    assert!(said.contains("line 10: split is `nowhere`"), "{said}");
    let row = |i: usize, name: &str| format!("{name},{}a, b,train\n", if i == 4 { "\"" } else { "" });
    let said = list("quote.csv", "path,label,more,split", &row).refusal();
    assert!(said.contains("line 6 opens a quote that nothing closes"), "{said}");
    let row = |i: usize, name: &str| format!("{name},{}train\n", if i == 4 { "a, b," } else { "a," });
    let said = list("shifted.csv", "path,label,split", &row).refusal();
    assert!(said.contains("line 6 has 4 cells, where the header names 3"), "{said}");
}

#[test]
fn what_is_no_image_of_a_folder_is_passed_over_and_counted() {
    let folder = scratch();
    let images = folder.path().join("images");
    pictures(&images, 20);
    let jpeg = fs::read(images.join("a/04.jpeg")).expect("a JPEG");
    let dicom = |name: &str| {
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("dicom").join(format!("{name}.dcm"));
        fs::read(path).expect("a DICOM file")
    };
    for (name, bytes) in [
        // Images under other names.
        ("x.jpe", jpeg.clone()),
        ("y.JFIF", jpeg.clone()),
        ("plain", jpeg.clone()),
        ("IM000001", dicom("range-8")),
        ("1.2.840.1.7", dicom("exact-14")),
        // None of its images.
        ("__MACOSX/a/._00.png", b"\x00\x05\x16\x07".to_vec()),
        ("a/._00.png", b"\x00\x05\x16\x07".to_vec()),
        (".thumbnails/00.jpg", jpeg.clone()),
        ("Trash/00.jpg", jpeg.clone()),
        ("report", dicom("refused-report")),
        ("scan.tif", b"II*\0....".to_vec()),
        ("photo.webp", b"RIFF\x10\0\0\0WEBPVP8 ".to_vec()),
        ("notes.txt", b"notes".to_vec()),
    ] {
        let path = images.join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, bytes).expect("a file");
    }
    #[cfg(unix)]
    for (link, target) in [("gone.png", "nothing.png"), ("gone", "nothing"), ("a/loop", ".."), ("self.png", "self.png")]
    {
        std::os::unix::fs::symlink(target, images.join(link)).expect("a link");
    }
    let ended = prepare(folder.path(), "--data images").ok();
    assert!(ended.stdout.contains("25 images"), "{}\n{}", ended.stdout, ended.stderr);
    for words in [
        "1 hidden files are left out: a/._00.png",
        "3 hidden folders and folders of the system are left out: .thumbnails, Trash, __MACOSX",
        "1 files are left out (TIFF picture): scan.tif",
        "1 files are left out (WebP picture): photo.webp",
        "1 DICOM files hold no picture (reports, directories), and are left out: report",
        #[cfg(unix)]
        "4 links lead nowhere or back to a folder above them, and are left out: a/loop, gone, gone.png, …",
    ] {
        assert!(ended.stderr.contains(words), "{words}: {}", ended.stderr);
    }
}

#[test]
fn parts_below_other_folders_and_beside_copies_are_found() {
    let folder = scratch();
    for (part, count) in [("x/train", 12), ("x/val", 4), ("x/test", 4), ("x/copy/test", 4)] {
        pictures(&folder.path().join("all").join(part), count);
    }
    let ended = prepare(folder.path(), "--data all --labels folders").ok();
    assert!(ended.stderr.contains("8 test images are left alone"), "{}", ended.stderr);
    assert!(ended.stderr.contains("12 training and 4 validation images, as the data say"), "{}", ended.stderr);
    assert!(ended.stdout.contains("folder: a, b"), "{}", ended.stdout);
    // Other validation images do not make the data's own, and its test images, training images.
    pictures(&folder.path().join("other"), 6);
    let ended = prepare(folder.path(), "--data all --validation other").ok();
    assert!(
        ended.stderr.contains("12 images that the data keep for validation or test are left alone"),
        "{}",
        ended.stderr
    );
    assert!(ended.stderr.contains("12 training and 6 validation images"), "{}", ended.stderr);
}

#[test]
fn folders_of_parts_and_classes_are_understood() {
    let folder = scratch();
    for (part, count) in [("train", 12), ("val", 4), ("test", 4)] {
        pictures(&folder.path().join("xray").join(part), count);
    }
    // The same file names in every folder, as Kermany's data have them.
    let ended = prepare(folder.path(), "--data xray --labels folders").ok();
    assert!(ended.stderr.contains("12 training and 4 validation images, as the data say"), "{}", ended.stderr);
    assert!(ended.stdout.contains("folder: a, b"), "{}", ended.stdout);
}

/// A PNG that claims a size.
fn bomb(width: u32, height: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, 8, 8);
    encoder.set_color(png::ColorType::Grayscale);
    let mut writer = encoder.write_header().expect("a header");
    writer.write_image_data(&[0; 64]).expect("data");
    drop(writer);
    let mut header = b"IHDR".to_vec();
    header.extend(width.to_be_bytes().into_iter().chain(height.to_be_bytes()));
    header.extend([8, 0, 0, 0, 0]);
    let mut crc = flate2::Crc::new();
    crc.update(&header);
    bytes[12..12 + header.len()].copy_from_slice(&header);
    bytes[12 + header.len()..16 + header.len()].copy_from_slice(&crc.sum().to_be_bytes());
    bytes
}

#[test]
fn hostile_and_broken_files_are_named_and_cost_nothing() {
    let folder = scratch();
    let images = folder.path().join("images");
    pictures(&images, 20);
    let jpeg = fs::read(images.join("a/04.jpeg")).expect("a JPEG");
    let png = fs::read(images.join("a/00.png")).expect("a PNG");
    fs::create_dir(images.join("folder.png")).expect("a folder");
    for (name, bytes, reason) in [
        ("bomb.png", bomb(50_000, 50_000), "50000×50000"),
        ("wide.png", bomb(20_000, 19_999), "million pixels"),
        ("empty.png", Vec::new(), "empty"),
        ("text.png", b"no picture".to_vec(), "text.png"),
        ("cut.png", png[..png.len() / 2].to_vec(), "cut.png"),
        ("cut.jpg", jpeg[..jpeg.len() / 2].to_vec(), "cut"),
    ] {
        let path = images.join(name);
        fs::write(&path, bytes).expect("a file");
        let started = Instant::now();
        let said = prepare(folder.path(), "--data images").refusal();
        assert!(said.contains(name) && said.contains(reason) && said.contains("--skip-unreadable"), "{name}: {said}");
        assert!(!said.contains("cannot keep prepared images"), "it is no trouble of the cache: {said}");
        assert!(started.elapsed() < Duration::from_secs(20), "{name} took {:?}", started.elapsed());
        let ended = prepare(folder.path(), "--data images --skip-unreadable --report p.csv").ok();
        assert!(ended.stderr.contains("1 of 21 files are unreadable"), "{name}: {}", ended.stderr);
        assert!(fs::read_to_string(folder.path().join("p.csv")).expect("a report").contains(name));
        fs::remove_file(&path).expect("a file");
    }
}

#[test]
fn no_image_and_one_image_are_too_few() {
    let folder = scratch();
    fs::create_dir(folder.path().join("images")).expect("a folder");
    let said = prepare(folder.path(), "--data images").refusal();
    assert!(said.contains("holds no .png"), "{said}");
    pictures(&folder.path().join("images"), 1);
    let said = prepare(folder.path(), "--data images").refusal();
    assert!(said.contains("1 training and 0 validation images, too few"), "{said}");
}

#[test]
fn duplicates_are_reported_and_left_out_where_asked() {
    let folder = scratch();
    let images = folder.path().join("images");
    pictures(&images, 30);
    fs::copy(images.join("a/00.png"), images.join("b/copy.png")).expect("a copy");
    let ended = prepare(folder.path(), "--data images --report p.csv").ok();
    let report = fs::read_to_string(folder.path().join("p.csv")).expect("a report");
    assert!(report.contains("b/copy.png") && report.contains("a/00.png"), "{report}");
    assert!(ended.stdout.contains("31 images"), "{}", ended.stdout);
    let ended = prepare(folder.path(), "--data images --drop-duplicates exact").ok();
    assert!(ended.stderr.contains("duplicates were left out"), "{}", ended.stderr);
}

#[test]
fn prepared_images_are_used_again_until_something_changes() {
    let folder = scratch();
    pictures(&folder.path().join("images"), 20);
    let line = "--data images --cache cache";
    let work = "preparing images";
    let said = |line: &str| prepare(folder.path(), line).ok().stderr;
    assert!(said(line).contains(work));
    assert!(!said(line).contains(work), "the second time they are there");
    let caches = || -> Vec<PathBuf> {
        let all = contents(&folder.path().join("cache")).into_keys();
        all.filter(|path| path.extension().is_some_and(|e| e == "images")).collect()
    };
    let first = caches();
    assert_eq!(first.len(), 1);
    // Damaged and cut.
    let bytes = fs::read(&first[0]).expect("a cache");
    let mut damaged = bytes.clone();
    damaged[100] ^= 1;
    for bad in [damaged, bytes[..bytes.len() / 2].to_vec(), Vec::new()] {
        fs::write(&first[0], bad).expect("a file");
        assert!(said(line).contains(work));
        assert!(fs::read(&first[0]).expect("a cache") == bytes, "it is made again, the same");
    }
    // Changed.
    let image = folder.path().join("images/a/00.png");
    image::GrayImage::from_pixel(70, 70, image::Luma([9])).save(&image).expect("an image");
    assert!(said(line).contains("preparing images 1/1"), "only the changed image is prepared again");
    let both = caches();
    assert_eq!(both.len(), 2);
    assert!(both.contains(&first[0]) && fs::read(&first[0]).expect("a cache") == bytes, "the others stay as they are");
}

#[test]
fn two_that_prepare_at_once_get_the_same_images() {
    let folder = scratch();
    pictures(&folder.path().join("images"), 60);
    let children: Vec<_> = (0..3)
        .map(|_| {
            let mut child = trainer();
            child.current_dir(folder.path()).args(words("prepare --data images --cache cache --size 256"));
            child.stderr(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the trainer starts")
        })
        .collect();
    for child in children {
        let ended = Ended::from(child.wait_with_output().expect("a child")).ok();
        assert!(ended.stdout.contains("60 images"), "{}", ended.stdout);
    }
    let left: Vec<_> = contents(&folder.path().join("cache")).into_keys().collect();
    assert_eq!(left.iter().filter(|path| path.extension().is_some_and(|e| e == "images")).count(), 1, "{left:?}");
}

#[test]
fn a_kill_while_preparing_leaves_nothing_half_made() {
    let folder = scratch();
    pictures(&folder.path().join("images"), 400);
    let line = "prepare --data images --cache cache --size 512";
    for life in [20, 60, 120, 200] {
        let mut child = trainer();
        child.current_dir(folder.path()).args(words(line)).stderr(Stdio::null()).stdout(Stdio::null());
        let mut child = child.spawn().expect("the trainer starts");
        std::thread::sleep(Duration::from_millis(life));
        // It may have ended by itself.
        let _ = child.kill();
        child.wait().expect("a child");
    }
    let ended = run(folder.path(), line).ok();
    assert!(ended.stdout.contains("400 images"), "{}", ended.stdout);
    let left: Vec<_> = contents(&folder.path().join("cache")).into_keys().collect();
    let hidden = |path: &Path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
    assert!(!left.iter().any(|path| hidden(path)), "{left:?}");
}

#[test]
fn augmentation_changes_training_and_nothing_else() {
    let folder = scratch();
    pictures(&folder.path().join("images"), 20);
    let train = "train --preset quick --device cpu --batch 4 --steps 4 --set run.validate_every=4 --data images";
    let log = |name: &str| fs::read_to_string(folder.path().join(name).join("log.jsonl")).expect("a log");
    let first = |name: &str| log(name).split(",\"seconds").next().expect("a line").to_owned();
    run(folder.path(), &format!("{train} --out plain")).ok();
    run(folder.path(), &format!("{train} --out off --set augmentation.rotation_degrees=0.0")).ok();
    assert_eq!(first("plain"), first("off"));
    let more = "--set augmentation.rotation_degrees=5.0 --set augmentation.shift=0.05 --set augmentation.contrast=0.1";
    run(folder.path(), &format!("{train} --out on {more}")).ok();
    assert_ne!(first("plain"), first("on"));
    let said = run(folder.path(), &format!("{train} --out never --set augmentation.shift=-1.0")).refusal();
    assert!(said.contains("shift"), "{said}");
}

/// `VDM_XRAYS` names a folder with some of the NIH's X-rays: `nih-256` with labels, and `nih-1024-sample`.
#[test]
#[cfg_attr(not(real_xrays), ignore = "VDM_XRAYS names no folder of real X-rays")]
fn real_archives_are_read() {
    let data = PathBuf::from(std::env::var_os("VDM_XRAYS").expect("VDM_XRAYS was set when this was built"));
    let folder = scratch();
    let path = |name: &str| data.join(name).canonicalize().expect("a folder").display().to_string();
    let ended = prepare(folder.path(), &format!("--data {} --labels finding", path("nih-256"))).ok();
    assert!(ended.stdout.contains("804 images") && ended.stdout.contains("No Finding, Pneumonia"), "{}", ended.stdout);
    assert!(ended.stderr.contains("duplicate") && ended.stderr.contains("00002658_002.png"), "{}", ended.stderr);
    let ended = prepare(folder.path(), &format!("--data {}", path("nih-1024-sample"))).ok();
    assert!(ended.stdout.contains("24 images of 64×64"), "{}", ended.stdout);
    let said = prepare(folder.path(), &format!("--data {} --view PA", path("nih-256"))).refusal();
    assert!(said.contains("`Patient ID`"), "{said}");
}
