//! TensorBoard's event files: scalars, images and texts against steps.
//!
//! A file is a sequence of TFRecords (TensorFlow's `record_writer.cc`), each a protocol buffer `Event`
//! (`tensorflow/core/util/event.proto`, `core/framework/summary.proto`). Files only grow; a
//! reader drops a last record that is incomplete.

mod proto;
#[cfg(test)]
mod tests;

use std::fs::{self, File, OpenOptions};
use std::io::{BufWriter, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use prost::Message;

use self::proto::{Event, Image, SessionLog, Summary, SummaryMetadata, TextTensor, Value, What};

/// Writes one event file.
///
/// What is written may wait in memory until [`flush`](Self::flush), or until the writer is dropped.
pub struct Writer {
    path: PathBuf,
    file: BufWriter<File>,
}

impl Writer {
    /// Starts the file of a new run in `folder`, which is made if it is not there.
    ///
    /// # Errors
    /// The folder or the file cannot be made.
    pub fn create(folder: &Path) -> Result<Self> {
        Self::resume(folder, 0)
    }

    /// Starts the file of a run that continues in `folder`, with the values from `step` on. TensorBoard shows the
    /// files of one folder as one run, and drops what earlier files hold of this step and later ones.
    ///
    /// # Errors
    /// The folder or the file cannot be made.
    pub fn resume(folder: &Path, step: u64) -> Result<Self> {
        fs::create_dir_all(folder).with_context(|| format!("cannot make the folder {}", folder.display()))?;
        let seconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let process = std::process::id();
        let mut number = 0;
        let (path, file) = loop {
            // Without the host's name: these files are shared. The number distinguishes files of the same second.
            let path = folder.join(format!("events.out.tfevents.{seconds}.localhost.{process}.{number}.v2"));
            match OpenOptions::new().write(true).create_new(true).open(&path) {
                Ok(file) => break (path, file),
                Err(error) if error.kind() == ErrorKind::AlreadyExists => number += 1,
                Err(error) => return Err(error).with_context(|| format!("cannot write {}", path.display())),
            }
        };
        let mut writer = Self { path, file: BufWriter::new(file) };
        writer.event(0, What::FileVersion("brain.Event:2".to_owned()))?;
        // For TensorBoard, the first START of a run is its beginning, and any other is a restart.
        writer.event(step, What::SessionLog(SessionLog { status: SessionLog::START }))?;
        writer.flush()?;
        Ok(writer)
    }

    /// A number at a step.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn scalar(&mut self, step: u64, tag: &str, value: f32) -> Result<()> {
        self.value(step, Value { tag: tag.to_owned(), simple_value: Some(value), ..Value::default() })
    }

    /// A PNG of `width` × `height` pixels at a step, in grey.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn image(&mut self, step: u64, tag: &str, width: usize, height: usize, png: &[u8]) -> Result<()> {
        let image =
            Image { height: height as i32, width: width as i32, colorspace: Image::GREY, encoded: png.to_vec() };
        self.value(step, Value { tag: tag.to_owned(), image: Some(image), ..Value::default() })
    }

    /// A text at a step, which TensorBoard shows as Markdown.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn text(&mut self, step: u64, tag: &str, text: &str) -> Result<()> {
        let tensor = TextTensor::new(text);
        let metadata = SummaryMetadata::of_plugin("text");
        self.value(
            step,
            Value { tag: tag.to_owned(), tensor: Some(tensor), metadata: Some(metadata), ..Value::default() },
        )
    }

    /// Passes all that was written to the operating system.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn flush(&mut self) -> Result<()> {
        self.file.flush().with_context(|| format!("cannot write {}", self.path.display()))
    }

    fn value(&mut self, step: u64, value: Value) -> Result<()> {
        self.event(step, What::Summary(Summary { value: vec![value] }))
    }

    fn event(&mut self, step: u64, what: What) -> Result<()> {
        let wall_time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        let record = record(&Event { wall_time, step: step as i64, what: Some(what) }.encode_to_vec());
        self.file.write_all(&record).with_context(|| format!("cannot write {}", self.path.display()))
    }
}

/// A TFRecord: length, its checksum, data, their checksum; little endian.
fn record(data: &[u8]) -> Vec<u8> {
    let length = (data.len() as u64).to_le_bytes();
    let mut record = Vec::with_capacity(data.len() + 16);
    record.extend(length);
    record.extend(masked_crc(&length).to_le_bytes());
    record.extend(data);
    record.extend(masked_crc(data).to_le_bytes());
    record
}

/// CRC-32C, rotated and shifted, which keeps it useful for data that contains checksums (TensorFlow's
/// `crc32c::Mask`).
fn masked_crc(data: &[u8]) -> u32 {
    crc32c::crc32c(data).rotate_right(15).wrapping_add(0xa282_ead8)
}
