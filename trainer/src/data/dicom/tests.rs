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

/// A DICOM file of a data set in Explicit VR Little Endian.
fn file_bytes(data_set: &[u8]) -> Vec<u8> {
    std::fs::read(file(EXPLICIT, data_set).path()).unwrap()
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
        // A sequence that is read; what is passed over is not walked.
        let mut outer = b"\x28\x00\x10\x30".to_vec();
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
    let of = |name: &str| tags(&fixture(name)).unwrap().unwrap();
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
    let ages = [
        ("058Y", 58),
        ("58Y", 58),
        ("58", 58),
        ("58.0", 58),
        ("120", 120),
        ("999D", 2),
        ("018M", 1),
        ("011M", 0),
        ("060W", 1),
        ("400D", 1),
        ("000Y", 0),
    ];
    for (text, expected) in ages {
        assert_eq!(years(text), Some(expected), "{text}");
    }
    for text in ["414", "121Y", "148", "", "Y", "05AY", "5.5Y", "12X", "-1Y", "4294967295W", "é"] {
        assert_eq!(years(text), None, "{text}");
    }
}

#[test]
fn sexes_may_be_words() {
    for (text, expected) in
        [("Male", Some("M")), (" female", Some("F")), ("O", Some("O")), ("Unknown", None), ("", None)]
    {
        assert_eq!(sex(text).as_deref(), expected, "{text}");
    }
}

/// Elements in Explicit VR Little Endian, short and long.
fn element(tag: (u16, u16), vr: &str, value: &[u8]) -> Vec<u8> {
    let mut bytes = [tag.0.to_le_bytes(), tag.1.to_le_bytes()].concat();
    bytes.extend(vr.as_bytes());
    if matches!(vr, "OW" | "OB" | "UN" | "SQ") {
        bytes.extend([0, 0]);
        bytes.extend((value.len() as u32).to_le_bytes());
    } else {
        bytes.extend((value.len() as u16).to_le_bytes());
    }
    [bytes, value.to_vec()].concat()
}

/// The same in Implicit VR Little Endian.
fn implicit(tag: (u16, u16), value: &[u8]) -> Vec<u8> {
    [&tag.0.to_le_bytes()[..], &tag.1.to_le_bytes(), &(value.len() as u32).to_le_bytes(), value].concat()
}

/// The elements of a picture of 16×16 pixels of 12 bits that rise from 0 to 4080, without its pixel data.
fn header(implicitly: bool) -> Vec<Vec<u8>> {
    let number = |tag, value: u16| (tag, "US", value.to_le_bytes().to_vec());
    let elements = [
        ((0x0008, 0x0060), "CS", b"CR".to_vec()),
        ((0x0010, 0x0020), "LO", b"P1".to_vec()),
        number((0x0028, 0x0002), 1),
        ((0x0028, 0x0004), "CS", b"MONOCHROME2 ".to_vec()),
        number((0x0028, 0x0010), 16),
        number((0x0028, 0x0011), 16),
        number((0x0028, 0x0100), 16),
        number((0x0028, 0x0101), 12),
        number((0x0028, 0x0102), 11),
        number((0x0028, 0x0103), 0),
    ];
    let write = |(tag, vr, value): ((u16, u16), &str, Vec<u8>)| {
        if implicitly { implicit(tag, &value) } else { element(tag, vr, &value) }
    };
    elements.into_iter().map(write).collect()
}

fn ramp() -> Vec<u16> {
    (0..256).map(|i| i * 16).collect()
}

fn pixels(samples: &[u16]) -> Vec<u8> {
    samples.iter().flat_map(|sample| sample.to_le_bytes()).collect()
}

/// A data set of [`header`], more elements, and samples.
fn data_set(more: &[Vec<u8>], samples: &[u16]) -> Vec<u8> {
    [header(false).concat(), more.concat(), element((0x7fe0, 0x0010), "OW", &pixels(samples))].concat()
}

fn picture(more: &[Vec<u8>], samples: &[u16]) -> DicomImage {
    decode(file(EXPLICIT, &data_set(more, samples)).path()).unwrap()
}

fn text_element(tag: (u16, u16), text: &str) -> Vec<u8> {
    element(tag, "DS", format!("{text:<width$}", width = text.len().next_multiple_of(2)).as_bytes())
}

const WINDOW: [(u16, u16); 2] = [(0x0028, 0x1050), (0x0028, 0x1051)];
const RESCALE: [(u16, u16); 2] = [(0x0028, 0x1052), (0x0028, 0x1053)];

#[test]
fn a_window_beside_the_values_gives_way_to_the_next_and_to_the_full_range() {
    let range = picture(&[], &ramp());
    assert_eq!((range.grey[0], range.grey[255], range.note), (0, 65535, None));
    let window = |center: &str, width: &str| {
        picture(&[text_element(WINDOW[0], center), text_element(WINDOW[1], width)], &ramp())
    };
    // What is usable is used, also with decimal commas.
    let good = window("2048", "4096");
    assert!(good.grey[255] < 65535 && good.note.is_none());
    assert_eq!(window("2048,0", "4096,0"), good);
    assert_eq!(window("0\\2048", "1\\4096"), good);
    for (center, width) in [("32768", "1000"), ("-600", "1100"), ("0", "1")] {
        assert_eq!(window(center, width), DicomImage { note: Some(Note::NoWindow), ..range.clone() }, "{center}");
    }
    // No window at all.
    for (center, width) in [("2048", "0"), ("2048", "-4096"), ("", "")] {
        assert_eq!(window(center, width), range, "{center} {width}");
    }
    for slope in ["0", ""] {
        let scaled = [text_element(RESCALE[0], "0"), text_element(RESCALE[1], slope)];
        assert_eq!(picture(&scaled, &ramp()), range);
    }
    // A window of stored values, where the rescale moves them away.
    let away = [text_element(WINDOW[0], "2048"), text_element(WINDOW[1], "4096"), text_element(RESCALE[0], "-10000")];
    assert_eq!(picture(&[&away[..], &[text_element(RESCALE[1], "1")]].concat(), &ramp()).grey, range.grey);
}

#[test]
fn a_voi_lut_that_ends_below_its_depth_reaches_white() {
    let lut = |bits: u16, top: u16| {
        let table: Vec<u16> = (0..4096_u32).map(|x| (x * u32::from(top) / 4095) as u16).collect();
        let descriptor = pixels(&[4096, 0, bits]);
        let content = [element((0x0028, 0x3002), "US", &descriptor), element((0x0028, 0x3006), "OW", &pixels(&table))];
        let item = [implicit((0xfffe, 0xe000), &content.concat())].concat();
        picture(&[element((0x0028, 0x3010), "SQ", &item)], &ramp()).grey
    };
    let full = lut(12, 4095);
    for (bits, top) in [(16, 4095), (16, 1023), (14, 1023)] {
        let differences = lut(bits, top).iter().zip(&full).map(|(a, b)| a.abs_diff(*b)).max();
        // A table of 1024 shades rounds to 64 of 65536.
        assert!(differences.unwrap() < 70, "{bits} {top}: {differences:?}");
    }
    // A table that nearly reaches its depth is not stretched.
    assert!(lut(12, 4000)[255] < 64_500);
}

#[test]
fn padding_is_told_by_all_bits_and_values_beyond_the_stored_ones_are_told() {
    let padded = |value: u16, kind: &str| {
        let mut samples = ramp();
        samples[..16].fill(value);
        let padding = element((0x0028, 0x0120), kind, &value.to_le_bytes());
        picture(&[padding], &samples)
    };
    // 0xffff would be 4095 in 12 bits, and 63536 is −2000 for those who read it signed.
    for (value, kind) in [(0xffff, "US"), (63_536, "SS"), (63_536, "US")] {
        let image = padded(value, kind);
        assert!(image.grey[..16].iter().all(|&grey| grey == 0) && image.note.is_none(), "{value}: {:?}", image.note);
        assert_eq!((image.grey[16], image.grey[255]), (0, 65535), "{value}: the range is that of the rest");
    }
    // Bits Stored 10 for values of 12 bits, which would wrap around.
    let mut claimed = header(false);
    claimed[7] = element((0x0028, 0x0101), "US", &[10, 0]);
    claimed[8] = element((0x0028, 0x0102), "US", &[9, 0]);
    let wrong = [claimed.concat(), element((0x7fe0, 0x0010), "OW", &pixels(&ramp()))].concat();
    let image = decode(file(EXPLICIT, &wrong).path()).unwrap();
    assert_eq!(image.note, Some(Note::MoreBits(12)));
    assert!(image.grey.windows(2).all(|pair| pair[0] < pair[1]), "it rises to its end");
    // The bit of an overlay is none of the values.
    let marked: Vec<u16> = ramp().iter().map(|v| v | 0x8000).collect();
    let overlay = element((0x6000, 0x0102), "US", &[15, 0]);
    assert_eq!(picture(&[overlay], &marked), picture(&[], &ramp()));
}

#[test]
fn what_has_one_reading_is_read() {
    let plain = picture(&[], &ramp());
    let pixel_data = element((0x7fe0, 0x0010), "OW", &pixels(&ramp()));
    let read = |bytes: &[u8]| {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        assert_eq!(tags(file.path()).unwrap().unwrap().patient.as_deref(), Some("P1"));
        decode(file.path()).unwrap()
    };
    let explicit = data_set(&[], &ramp());
    let implicit_set = [header(true).concat(), implicit((0x7fe0, 0x0010), &pixels(&ramp()))].concat();
    let preamble = [vec![0; 128], b"DICM".to_vec()].concat();
    let syntax = |uid: &[u8]| element((0x0002, 0x0010), "UI", uid);
    let length = |length: u32| element((0x0002, 0x0000), "UL", &length.to_le_bytes());
    // Bare data sets; a meta group that is missing, or whose length or syntax is wrong.
    for set in [&explicit, &implicit_set] {
        for start in [
            Vec::new(),
            vec![0; 128],
            b"DICM".to_vec(),
            preamble.clone(),
            [preamble.clone(), syntax(b"1.2.840.10008.1.2\0")].concat(),
            [preamble.clone(), syntax(b"1.2.840.10008.1.2.1 ")].concat(),
            [preamble.clone(), length(8), syntax(b"1.2.840.10008.1.2.1\0")].concat(),
            [preamble.clone(), length(500), syntax(b"1.2.840.10008.1.2.1\0")].concat(),
        ] {
            assert_eq!(read(&[&start[..], set].concat()), plain, "{start:?}");
        }
    }
    let whole = |elements: Vec<Vec<u8>>| read(file_bytes(&elements.concat()).as_slice());
    let without = |tag: &[u8; 4]| {
        let mut elements = header(false);
        elements.retain(|element| !element.starts_with(tag));
        assert!(elements.len() < header(false).len());
        [elements, vec![pixel_data.clone()]].concat()
    };
    // Missing: samples, rows, columns, bits allocated, high bit, sign.
    for tag in [[0x02, 0], [0x10, 0], [0x11, 0], [0x00, 1], [0x02, 1], [0x03, 1]] {
        assert_eq!(whole(without(&[0x28, 0, tag[0], tag[1]])), plain, "{tag:?}");
    }
    // Sequences in UN, which are implicit, known or not, of given and of undefined length; nested ones.
    let inner = implicit((0x0008, 0x0060), b"CR");
    let undefined = |tag: (u16, u16), kind: &[u8], items: &[u8]| {
        let start = [&tag.0.to_le_bytes()[..], &tag.1.to_le_bytes(), kind, &[0xff; 4]].concat();
        [start, items.to_vec(), implicit((0xfffe, 0xe0dd), b"")].concat()
    };
    let sized = implicit((0xfffe, 0xe000), &inner);
    let open =
        [implicit((0xfffe, 0xe000), b"")[..4].to_vec(), vec![0xff; 4], inner, implicit((0xfffe, 0xe00d), b"")].concat();
    let nested = implicit((0xfffe, 0xe000), &undefined((0x2001, 0x1061), b"", &open));
    let odd = element((0x2001, 0x1001), "LO", b"odd");
    for more in [
        undefined((0x2001, 0x105f), b"UN\0\0", b""),
        undefined((0x2001, 0x105f), b"UN\0\0", &sized),
        undefined((0x2001, 0x105f), b"UN\0\0", &open),
        undefined((0x2001, 0x105f), b"UN\0\0", &nested),
        undefined((0x0040, 0x0260), b"UN\0\0", &open),
        // Odd lengths, without and with the byte that makes them even.
        odd.clone(),
        [odd, vec![0]].concat(),
    ] {
        assert_eq!(whole([header(false), vec![more, pixel_data.clone()]].concat()), plain);
    }
    // What follows the picture, in its element and behind it.
    let more = element((0x7fe0, 0x0010), "OW", &[pixels(&ramp()), vec![0; 96]].concat());
    assert_eq!(whole([header(false), vec![more]].concat()), plain);
    assert_eq!(whole([header(false), vec![pixel_data.clone(), b"trailing garbage".to_vec()]].concat()), plain);
    // A report is no picture, and no error.
    let report = file(EXPLICIT, &element((0x0008, 0x0060), "CS", b"SR"));
    assert_eq!(tags(report.path()).unwrap(), None);
    // Two readings are none.
    let unclear = file(EXPLICIT, &without(&[0x28, 0, 0x04, 0]).concat());
    assert!(refusal(unclear.path()).contains("Photometric Interpretation"));
}

/// A VOI LUT Sequence that an archive wrote as UN.
#[test]
fn a_sequence_that_is_read_may_be_in_un() {
    let table: Vec<u16> = (0..4096).rev().collect();
    let content = [implicit((0x0028, 0x3002), &pixels(&[4096, 0, 12])), implicit((0x0028, 0x3006), &pixels(&table))];
    let item = implicit((0xfffe, 0xe000), &content.concat());
    let grey = picture(&[element((0x0028, 0x3010), "UN", &item)], &ramp()).grey;
    assert_eq!(grey[0], 65535, "the table inverts");
}

#[test]
fn a_compressed_picture_says_itself_how_it_is_compressed() {
    let meta = |uid: &str| {
        let mut value = uid.as_bytes().to_vec();
        value.resize(value.len().next_multiple_of(2), 0);
        element((0x0002, 0x0010), "UI", &value)
    };
    for name in ["rle-14", "rle-8", "j2k-14", "jpeg-14-lossless-14", "jpeg-8-lossy"] {
        let path = fixture(&format!("{name}.dcm"));
        let (plain, bytes) = (decode(&path).unwrap(), std::fs::read(&path).unwrap());
        let start = bytes.windows(6).position(|w| w == b"\x02\x00\x10\x00UI").unwrap();
        let end = start + 8 + usize::from(bytes[start + 6]);
        for claim in [Vec::new(), meta(IMPLICIT)] {
            let file = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(file.path(), [&bytes[..start], &claim, &bytes[end..]].concat()).unwrap();
            assert_eq!(decode(file.path()).unwrap(), plain, "{name}");
        }
    }
}
