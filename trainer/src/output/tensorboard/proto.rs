//! The messages of an event file, as far as they are written here; field numbers as in TensorFlow's `event.proto`,
//! `summary.proto`, `tensor.proto` and `tensor_shape.proto`.

use prost::{Message, Oneof};

/// An event at a time and a step.
#[derive(Clone, PartialEq, Message)]
pub struct Event {
    /// Seconds since 1970.
    #[prost(double, tag = "1")]
    pub wall_time: f64,
    #[prost(int64, tag = "2")]
    pub step: i64,
    #[prost(oneof = "What", tags = "3, 5, 7")]
    pub what: Option<What>,
}

/// The content of an event.
#[derive(Clone, PartialEq, Oneof)]
pub enum What {
    /// The first event of a file.
    #[prost(string, tag = "3")]
    FileVersion(String),
    #[prost(message, tag = "5")]
    Summary(Summary),
    #[prost(message, tag = "7")]
    SessionLog(SessionLog),
}

/// A change in a run's course.
#[derive(Clone, PartialEq, Message)]
pub struct SessionLog {
    #[prost(int32, tag = "1")]
    pub status: i32,
}

impl SessionLog {
    /// `SessionStatus.START`.
    pub const START: i32 = 1;
}

/// Values at one step.
#[derive(Clone, PartialEq, Message)]
pub struct Summary {
    #[prost(message, repeated, tag = "1")]
    pub value: Vec<Value>,
}

/// A named value: one of a number, an image and a tensor.
#[derive(Clone, PartialEq, Message)]
pub struct Value {
    #[prost(string, tag = "1")]
    pub tag: String,
    #[prost(float, optional, tag = "2")]
    pub simple_value: Option<f32>,
    #[prost(message, optional, tag = "4")]
    pub image: Option<Image>,
    #[prost(message, optional, tag = "8")]
    pub tensor: Option<TextTensor>,
    #[prost(message, optional, tag = "9")]
    pub metadata: Option<SummaryMetadata>,
}

/// An encoded picture.
#[derive(Clone, PartialEq, Message)]
pub struct Image {
    #[prost(int32, tag = "1")]
    pub height: i32,
    #[prost(int32, tag = "2")]
    pub width: i32,
    #[prost(int32, tag = "3")]
    pub colorspace: i32,
    /// PNG.
    #[prost(bytes = "vec", tag = "4")]
    pub encoded: Vec<u8>,
}

impl Image {
    /// One channel.
    pub const GREY: i32 = 1;
}

/// A `TensorProto` that holds one string.
#[derive(Clone, PartialEq, Message)]
pub struct TextTensor {
    #[prost(int32, tag = "1")]
    pub dtype: i32,
    #[prost(message, optional, tag = "2")]
    pub shape: Option<Shape>,
    #[prost(bytes = "vec", repeated, tag = "8")]
    pub strings: Vec<Vec<u8>>,
}

impl TextTensor {
    /// `DT_STRING`.
    const STRING: i32 = 7;

    /// A tensor of shape `[1]`.
    pub fn new(text: &str) -> Self {
        let shape = Shape { dim: vec![Dim { size: 1 }] };
        Self { dtype: Self::STRING, shape: Some(shape), strings: vec![text.as_bytes().to_vec()] }
    }
}

/// A `TensorShapeProto`.
#[derive(Clone, PartialEq, Message)]
pub struct Shape {
    #[prost(message, repeated, tag = "2")]
    pub dim: Vec<Dim>,
}

/// A dimension.
#[derive(Clone, PartialEq, Message)]
pub struct Dim {
    #[prost(int64, tag = "1")]
    pub size: i64,
}

/// How a value is to be shown.
#[derive(Clone, PartialEq, Message)]
pub struct SummaryMetadata {
    #[prost(message, optional, tag = "1")]
    pub plugin: Option<PluginData>,
    #[prost(int32, tag = "4")]
    pub data_class: i32,
}

impl SummaryMetadata {
    /// `DATA_CLASS_TENSOR`.
    const TENSOR: i32 = 2;

    /// A tensor that this plug-in of TensorBoard's shows.
    pub fn of_plugin(name: &str) -> Self {
        Self { plugin: Some(PluginData { name: name.to_owned() }), data_class: Self::TENSOR }
    }
}

/// A plug-in of TensorBoard's.
#[derive(Clone, PartialEq, Message)]
pub struct PluginData {
    #[prost(string, tag = "1")]
    pub name: String,
}
