//! Errors. Each names what is wrong and what is accepted.

use std::borrow::Cow;
use std::fmt::Display;
use std::ops::RangeInclusive;

use thiserror::Error;

/// A configuration that the model cannot be built from.
#[derive(Debug, Error, Clone, PartialEq)]
#[error("{field} is {value}: {accepted}")]
pub struct ConfigError {
    /// The field, as it is written in the configuration.
    pub field: Cow<'static, str>,
    /// The value found.
    pub value: String,
    /// What is accepted.
    pub accepted: String,
}

impl ConfigError {
    /// A field, its value and what is accepted.
    pub(crate) fn new(field: impl Into<Cow<'static, str>>, value: impl Display, accepted: impl Into<String>) -> Self {
        Self { field: field.into(), value: value.to_string(), accepted: accepted.into() }
    }

    /// Checks that a value is within a range.
    pub(crate) fn check_range<T: PartialOrd + Display>(
        field: impl Into<Cow<'static, str>>,
        value: T,
        range: RangeInclusive<T>,
    ) -> Result<(), Self> {
        if range.contains(&value) {
            return Ok(());
        }
        Err(Self::new(field, value, format!("{} to {} is accepted", range.start(), range.end())))
    }
}

/// A tensor could not be read back from its device.
#[derive(Debug, Error)]
#[error("cannot read from the device: {0}")]
pub struct BackendError(String);

impl BackendError {
    pub(crate) fn new(error: impl std::fmt::Debug) -> Self {
        Self(format!("{error:?}"))
    }
}

/// A file of weights that cannot be used.
#[derive(Debug, Error)]
pub enum WeightsError {
    /// Shorter than its header says, or than any safetensors file.
    #[error("the file is truncated: it has {actual} bytes, and its header needs {needed}")]
    Truncated {
        /// Bytes that the header describes.
        needed: u64,
        /// Bytes of the file.
        actual: u64,
    },
    /// The bytes are not a safetensors file.
    #[error("not a safetensors file: {0}")]
    NotSafetensors(String),
    /// No configuration in the metadata.
    #[error("no `{0}` in the file's metadata: it was not written by this software")]
    NoMetadata(&'static str),
    /// The metadata's JSON does not have the expected form.
    #[error("unreadable `{key}` in the file's metadata: {reason}")]
    UnreadableMetadata {
        /// The key of the entry.
        key: &'static str,
        /// The message of the JSON reader.
        reason: String,
    },
    /// Written by another version of the format.
    #[error("format version {found} is not known: this software reads version {known}")]
    UnknownVersion {
        /// The version in the file.
        found: String,
        /// The version that is read.
        known: u32,
    },
    /// The model's other file is needed.
    #[error("this is the {found} file of a model, and the {wanted} file is needed")]
    WrongPart {
        /// The part in the file.
        found: String,
        /// The part that is needed.
        wanted: String,
    },
    /// The encoder belongs to another model.
    #[error("the encoder's file belongs to other weights: it names {named}, and these are {actual}")]
    EncoderMismatch {
        /// The hash that the encoder's file names.
        named: String,
        /// The hash of the weights beside it.
        actual: String,
    },
    /// The configuration cannot be built.
    #[error("the file's configuration is not usable: {0}")]
    Config(#[from] ConfigError),
    /// A tensor of the configuration is missing.
    #[error("tensor `{0}` is missing")]
    MissingTensor(String),
    /// A tensor that the configuration does not have.
    #[error("tensor `{0}` does not belong to the model that the configuration describes")]
    ExtraTensor(String),
    /// A tensor has another shape.
    #[error("tensor `{name}` has shape {found:?}, and the configuration needs {expected:?}")]
    Shape {
        /// The tensor.
        name: String,
        /// Its shape in the file.
        found: Vec<usize>,
        /// Its shape by the configuration.
        expected: Vec<usize>,
    },
    /// A tensor is neither f32 nor f16, nor a matrix of bytes.
    #[error("tensor `{name}` is stored as {found}: F32 and F16 are accepted, and I8 for a matrix with scales")]
    Dtype {
        /// The tensor.
        name: String,
        /// Its type in the file.
        found: String,
    },
    /// A value is not finite.
    #[error("tensor `{name}` holds {value} at element {index}")]
    NotFinite {
        /// The tensor.
        name: String,
        /// The index of the first such value.
        index: usize,
        /// NaN or an infinity.
        value: f32,
    },
    /// The weights could not be read back from the device.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// A value does not fit into half precision.
    #[error("tensor `{name}` holds {value} at element {index}, which f16 cannot hold: write f32")]
    TooLargeForHalf {
        /// The tensor.
        name: String,
        /// The index of the first such value.
        index: usize,
        /// The value.
        value: f32,
    },
}
