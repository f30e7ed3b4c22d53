#![expect(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::*;

/// Files of `tests/dicom`, which `make_dicom.py` there writes.
fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/dicom").join(name)
}

fn refusal(path: &Path) -> String {
    format!("{:#}", decode(path).unwrap_err())
}

/// A DICOM file of a data set's bytes.
fn file(syntax: &str, data_set: &[u8]) -> tempfile::NamedTempFile {
    let mut uid = syntax.as_bytes().to_vec();
    uid.resize(uid.len().next_multiple_of(2), 0);
    let mut meta = b"\x02\x00\x10\x00UI".to_vec();
    meta.extend((uid.len() as u16).to_le_bytes());
    meta.extend(uid);
    let mut bytes = vec![0; 128];
    bytes.extend(b"DICM\x02\x00\x00\x00UL\x04\x00");
    bytes.extend((meta.len() as u32).to_le_bytes());
    bytes.extend(meta);
    bytes.extend(data_set);
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), bytes).unwrap();
    file
}

const EXPLICIT: &str = "1.2.840.10008.1.2.1";
const IMPLICIT: &str = "1.2.840.10008.1.2";

#[test]
fn pictures_are_those_of_pydicom() {
    #[derive(serde::Deserialize)]
    struct Expected {
        width: u32,
        height: u32,
        grey: Vec<f64>,
    }
    let json = std::fs::read(fixture("expected.json")).unwrap();
    let expected: BTreeMap<String, Expected> = serde_json::from_slice(&json).unwrap();
    assert!(expected.len() >= 20);
    for (name, expected) in expected {
        let image = decode(&fixture(&format!("{name}.dcm"))).unwrap_or_else(|e| panic!("{name}: {e:#}"));
        assert_eq!((image.width, image.height), (expected.width, expected.height), "{name}");
        assert_eq!(image.grey.len(), expected.grey.len(), "{name}");
        let differences = image.grey.iter().zip(&expected.grey).map(|(&g, e)| (f64::from(g) / 65535.0 - e).abs());
        let largest = differences.fold(0.0, f64::max);
        // Rounding to 16 bits, and to five digits in the file. Lossy JPEG: decoders may round their inverse cosine
        // transforms by one of 255 differently, and the stretch to the picture's range widens that.
        let tolerance = if name.contains("lossy") { 3.0 / 255.0 } else { 2e-5 };
        assert!(largest <= tolerance, "{name}: {largest}");
        // A picture, not a blank that a tolerance lets through.
        assert!(image.grey.iter().max().unwrap() - image.grey.iter().min().unwrap() > 40_000, "{name}");
    }
}

#[test]
fn what_cannot_be_decoded_is_refused_with_its_reason() {
    for (name, reason) in [
        ("refused-jpegls", "JPEG-LS compression"),
        ("refused-jpeg-12-lossy", "12"),
        ("refused-frames", "3 frames: one is accepted"),
        ("refused-rgb", "RGB of 3 samples"),
        ("refused-palette", "PALETTE COLOR"),
        ("refused-huge", "claims 50000×50000 pixels"),
        ("refused-short", "192 bytes, where 16×9000 pixels need 144000"),
        ("refused-report", "no picture (modality SR)"),
        ("refused-truncated", "cut short"),
        ("refused-j2k-size", "40×32 pixels, where the file claims 64×64"),
        ("refused-jpeg-size", "16×12 pixels, where the file claims 8×12"),
        ("refused-rle-header", "RLE header"),
        ("refused-rle-offsets", "pixel data cannot be decoded"),
    ] {
        let path = fixture(&format!("{name}.dcm"));
        let message = refusal(&path);
        assert!(message.starts_with(&format!("cannot read {}", path.display())), "{message}");
        assert!(message.contains(reason), "{name}: {message}");
        assert_eq!(message.lines().count(), 1, "{message}");
    }
    assert!(refusal(Path::new("/nowhere/a.dcm")).starts_with("cannot read /nowhere/a.dcm"));
    let text = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(text.path(), "not DICOM").unwrap();
    assert!(refusal(text.path()).contains("DICM is missing at byte 128"));
    assert!(format!("{:#}", tags(text.path()).unwrap_err()).contains("DICM is missing"));
}

#[test]
fn a_file_cut_anywhere_or_changed_anywhere_is_an_error_or_a_picture() {
    let scratch = tempfile::NamedTempFile::new().unwrap();
    let mut errors = 0;
    for name in ["exact-14", "jpeg-14-lossless-14", "jpeg-8-lossy", "rle-14", "j2k-14", "deflated", "voi-lut-10"] {
        let whole = std::fs::read(fixture(&format!("{name}.dcm"))).unwrap();
        for cut in (0..whole.len()).step_by(17) {
            std::fs::write(scratch.path(), &whole[..cut]).unwrap();
            errors += usize::from(decode(scratch.path()).is_err());
        }
        for place in (128..whole.len()).step_by(13) {
            let mut changed = whole.clone();
            changed[place] ^= if place % 2 == 0 { 0xff } else { 0x11 };
            std::fs::write(scratch.path(), &changed).unwrap();
            // A changed pixel is a picture all the same; a changed length is not. Neither may panic.
            errors += usize::from(decode(scratch.path()).is_err());
        }
    }
    assert!(errors > 400, "{errors}");
}

#[test]
fn claims_beyond_the_file_take_no_memory() {
    // A private text of 4 GB, of which nothing follows.
    let claim = file(EXPLICIT, b"\x09\x00\x10\x10UT\x00\x00\xf0\xff\xff\xff");
    assert!(refusal(claim.path()).contains("claims 4294967280 bytes, of which 0 are there"));
    assert!(tags(claim.path()).is_err());
    // 300 MB of zeros, deflated to 0.3 MB.
    let mut bomb = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::fast());
    let zeros = vec![0; 1 << 20];
    (0..300).for_each(|_| std::io::Write::write_all(&mut bomb, &zeros).unwrap());
    let bomb = file("1.2.840.10008.1.2.1.99", &bomb.finish().unwrap());
    assert!(refusal(bomb.path()).contains("inflates to more than 256 MB"));
}

#[test]
fn sequences_within_sequences_do_not_end_the_program() {
    let item = b"\xfe\xff\x00\xe0\xff\xff\xff\xff";
    for (syntax, start) in [
        (EXPLICIT, b"\x08\x00\x40\x11SQ\x00\x00\xff\xff\xff\xff".as_slice()),
        // An unknown kind of undefined length is a sequence, too, and so is the dictionary's kind without one.
        (EXPLICIT, b"\x09\x00\x40\x11UN\x00\x00\xff\xff\xff\xff"),
        (IMPLICIT, b"\x08\x00\x40\x11\xff\xff\xff\xff"),
    ] {
        let nested = file(syntax, &[start, item].concat().repeat(100_000));
        assert!(refusal(nested.path()).contains("nest more than 64 deep"), "{syntax}");
        assert!(format!("{:#}", tags(nested.path()).unwrap_err()).contains("nest"), "{syntax}");
    }
    let mut defined = Vec::new();
    for _ in 0..20_000_u32 {
        let mut outer = b"\x08\x00\x40\x11".to_vec();
        outer.extend((defined.len() as u32 + 8).to_le_bytes());
        outer.extend(b"\xfe\xff\x00\xe0");
        outer.extend((defined.len() as u32).to_le_bytes());
        if defined.len() > 2000 {
            break;
        }
        outer.extend(&defined);
        defined = outer;
    }
    assert!(refusal(file(IMPLICIT, &defined).path()).contains("nest more than 64 deep"));
}

#[test]
fn tags_are_read_without_the_picture() {
    let of = |name: &str| tags(&fixture(name)).unwrap();
    let some = |text: &str| Some(text.to_owned());
    let frontal = Tags { patient: some("P-17"), sex: some("F"), age: Some(58), view: some("PA") };
    assert_eq!(of("mono1-12-window.dcm"), frontal);
    assert_eq!(of("signed-16-rescale.dcm"), Tags { sex: some("M"), age: Some(1), view: None, ..frontal.clone() });
    assert_eq!(of("signed-12-range.dcm"), Tags { sex: some("O"), age: Some(0), view: None, ..frontal.clone() });
    // Born on the last day of 1960, seen in June 2020.
    assert_eq!(of("sigmoid-10.dcm"), Tags { sex: None, age: Some(59), view: None, ..frontal });
    // Pixels that are cut short, or that cannot be decoded, do not matter here.
    assert_eq!(of("refused-truncated.dcm").patient, some("P-17"));
    assert_eq!(of("refused-jpegls.dcm").patient, some("P-17"));
}

#[test]
fn ages_are_completed_years() {
    let ages = [("058Y", 58), ("58Y", 58), ("58", 58), ("018M", 1), ("011M", 0), ("060W", 1), ("400D", 1), ("000Y", 0)];
    for (text, expected) in ages {
        assert_eq!(years(text), Some(expected), "{text}");
    }
    for text in ["", "Y", "05AY", "5.5Y", "12X", "-1Y", "4294967295W", "é"] {
        assert_eq!(years(text), None, "{text}");
    }
}

#[test]
fn files_are_told_by_name_or_by_content() {
    assert!(is_dicom(Path::new("a/b.DCM")) && is_dicom(Path::new("b.dicom")) && is_dicom(Path::new("b.dic")));
    assert!(!is_dicom(Path::new("a/b.png")) && !is_dicom(&fixture("expected.json")));
    let unnamed = tempfile::NamedTempFile::new().unwrap();
    std::fs::copy(fixture("range-8.dcm"), unnamed.path()).unwrap();
    assert!(is_dicom(unnamed.path()));
    assert_eq!(decode(unnamed.path()).unwrap(), decode(&fixture("range-8.dcm")).unwrap());
}
