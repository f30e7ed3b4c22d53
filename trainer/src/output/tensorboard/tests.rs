use super::proto::{Event, SessionLog, Value, What};
use super::{Writer, masked_crc, record};

use prost::Message;

/// The events of a file, every checksum checked.
fn events(mut bytes: &[u8]) -> Vec<Event> {
    let mut events = Vec::new();
    while !bytes.is_empty() {
        let number = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("4 bytes"));
        let length = u64::from_le_bytes(bytes[..8].try_into().expect("8 bytes")) as usize;
        let data = &bytes[12..12 + length];
        assert_eq!(number(8), masked_crc(&bytes[..8]));
        assert_eq!(number(12 + length), masked_crc(data));
        events.push(Event::decode(data).expect("an event"));
        bytes = &bytes[16 + length..];
    }
    events
}

fn files(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut files: Vec<_> =
        std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    files
}

/// python -c "from tensorboard.summary.writer.record_writer import RecordWriter; import io;
/// f = io.BytesIO(); f.close = lambda: None; RecordWriter(f).write(b'X-ray'); print(f.getvalue().hex())"
#[test]
fn a_record_is_tensorboards_own() {
    let hex: String = record(b"X-ray").iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, "0500000000000000eab2043e582d72617909648d9a");
}

#[test]
fn values_come_back_in_order() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut writer = Writer::create(folder.path()).expect("starts");
    writer.scalar(1, "loss/total", 0.75).expect("a scalar");
    writer.scalar(2, "loss/total", 0.0).expect("a zero is written too");
    writer.image(2, "samples", 3, 2, b"a png").expect("an image");
    writer.text(2, "settings", "batch **32**").expect("a text");
    drop(writer);

    let files = files(folder.path());
    let name = files[0].file_name().expect("a name").to_string_lossy().into_owned();
    assert!(name.starts_with("events.out.tfevents.") && name.ends_with(".v2"), "{name}");
    let events = events(&std::fs::read(&files[0]).expect("a file"));
    assert_eq!(events[0].what, Some(What::FileVersion("brain.Event:2".into())));
    assert!(events.iter().all(|event| event.wall_time > 1.7e9));
    let values: Vec<(i64, Value)> = events[2..]
        .iter()
        .map(|event| match &event.what {
            Some(What::Summary(summary)) => (event.step, summary.value[0].clone()),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(values.iter().map(|(step, _)| *step).collect::<Vec<_>>(), [1, 2, 2, 2]);
    assert_eq!((values[0].1.tag.as_str(), values[0].1.simple_value), ("loss/total", Some(0.75)));
    assert_eq!(values[1].1.simple_value, Some(0.0));
    let image = values[2].1.image.as_ref().expect("an image");
    assert_eq!((image.width, image.height, image.encoded.as_slice()), (3, 2, b"a png".as_slice()));
    assert_eq!(values[3].1.tensor.as_ref().expect("a tensor").strings, [b"batch **32**".to_vec()]);
}

#[test]
fn a_resumed_run_writes_another_file_and_says_from_where() {
    let folder = tempfile::tempdir().expect("a folder");
    for resumed in [false, true] {
        if resumed { Writer::resume(folder.path(), 5) } else { Writer::create(folder.path()) }.expect("starts");
    }
    let files = files(folder.path());
    assert_eq!(files.len(), 2);
    let starts = files.iter().map(|file| events(&std::fs::read(file).expect("a file")).remove(1));
    let starts: Vec<_> = starts.map(|event| (event.step, event.what)).collect();
    let start = || Some(What::SessionLog(SessionLog { status: SessionLog::START }));
    assert_eq!(starts, [(0, start()), (5, start())]);
}

#[test]
fn a_folder_that_cannot_be_made_is_named() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    let error = Writer::create(&file.path().join("run")).err().expect("a file is no folder");
    assert!(format!("{error:#}").contains(&file.path().display().to_string()), "{error:#}");
}
