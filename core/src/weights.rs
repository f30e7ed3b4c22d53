//! The weights file: safetensors with the configuration and provenance in its metadata.
//!
//! The metadata of safetensors is an unordered map of strings. Ours is one JSON object under the key `medical-vdm`, so that
//! the same weights give the same bytes and the same hash:
//!
//! | field | value |
//! | --- | --- |
//! | `format_version` | `2` |
//! | `part` | `sampling` (decoder, ScoreNet, schedule) or `encoder` |
//! | `config` | [`ModelConfig`] |
//! | `sampling` | [`SamplingConfig`]; in a sampling file only |
//! | `provenance` | [`Provenance`] |
//! | `sampling_sha256` | in an encoder file: the hash of the sampling file that it belongs to; else null |
//!
//! A model with a learned latent is two files, because sampling does not need the encoder. Models of version 1 with a learned
//! latent are read too. Tensors are row-major and little endian. A dense layer's
//! `weight` is `[inputs, outputs]`: y = x W + b.

use std::collections::HashMap;

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Tensor, backend::Backend};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use strum::{Display, IntoStaticStr, VariantArray};

use crate::autoencoder::Encoder;
use crate::config::{Attribute, ModelConfig, SamplingConfig};
use crate::error::{BackendError, WeightsError};
use crate::model::Networks;
use crate::nn::params::{ParamBuilder, SCALE};

/// The version of the format.
pub const FORMAT_VERSION: u32 = 2;
const METADATA_KEY: &str = "medical-vdm";

/// Where weights come from.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Provenance {
    /// The name of the model, usually its preset's.
    pub name: String,
    /// What it was trained on.
    pub data: String,
    /// Number of training images.
    pub images: u64,
    /// Optimizer steps taken.
    pub training_steps: u64,
    /// The seed of the training.
    pub seed: u64,
    /// Day of the training's end, as YYYY-MM-DD.
    pub date: String,
    /// Licence of the weights.
    pub license: String,
    /// Acknowledgement and citation.
    pub acknowledgement: String,
    /// The software and its version.
    pub software: String,
    /// The attributes that the model is conditioned on.
    #[serde(default)]
    pub attributes: Vec<Attribute>,
    /// The seed that held out validation images; absent where none were held out, and in older files, where it is `seed`.
    #[serde(default)]
    pub split_seed: Option<u64>,
}

/// Which of a model's two files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Display)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum Part {
    /// Decoder, ScoreNet and schedule: all that sampling needs.
    Sampling,
    /// The encoder.
    Encoder,
}

/// How numbers are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, IntoStaticStr, VariantArray)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum Precision {
    /// 4 bytes per number, exact.
    F32,
    /// 2 bytes per number, 11 significant bits.
    F16,
    /// One byte per number of the matrices in residual blocks, with a scale for each column in `NAME.scale`; the others as
    /// in F16. w = byte · scale, where the largest of a column is ±127.
    Int8,
}

impl Precision {
    /// Every precision.
    pub const ALL: &'static [Self] = Self::VARIANTS;

    /// The name on the command line.
    pub fn name(self) -> &'static str {
        self.into()
    }
}

#[derive(Serialize)]
struct Metadata<'a> {
    format_version: u32,
    part: Part,
    config: &'a ModelConfig,
    #[serde(skip_serializing_if = "Option::is_none")]
    sampling: Option<&'a SamplingConfig>,
    provenance: &'a Provenance,
    sampling_sha256: Option<&'a str>,
}

/// The metadata of a file, and its tensors' names and shapes.
#[derive(Clone, Debug, PartialEq)]
pub struct Header {
    /// Which of the two files it is.
    pub part: Part,
    /// The model's configuration, validated.
    pub config: ModelConfig,
    /// How the model is sampled, validated.
    pub sampling: SamplingConfig,
    /// Where it comes from.
    pub provenance: Provenance,
    /// In an encoder file, the hash of the sampling file that it belongs to.
    pub sampling_sha256: Option<String>,
    /// Name, type and shape of each tensor, by name.
    pub tensors: Vec<TensorInfo>,
}

/// A tensor of a file.
#[derive(Clone, Debug, PartialEq)]
pub struct TensorInfo {
    /// Its name.
    pub name: String,
    /// Its type as safetensors names it.
    pub dtype: String,
    /// Its shape.
    pub shape: Vec<usize>,
}

impl Header {
    /// The number of parameters.
    pub fn parameters(&self) -> usize {
        let parameters = self.tensors.iter().filter(|tensor| !tensor.name.ends_with(SCALE));
        parameters.map(|tensor| tensor.shape.iter().product::<usize>()).sum()
    }
}

/// SHA-256 of bytes in lower-case hexadecimal.
pub fn sha256_hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn parse(bytes: &[u8]) -> Result<SafeTensors<'_>, WeightsError> {
    let actual = bytes.len() as u64;
    let Some(prefix) = bytes.first_chunk::<8>() else {
        return Err(WeightsError::Truncated { needed: 8, actual });
    };
    let header = u64::from_le_bytes(*prefix);
    // The limit of safetensors itself.
    if header > 100_000_000 {
        return Err(WeightsError::NotSafetensors(format!("its first 8 bytes give a header of {header} bytes")));
    }
    if header + 8 > actual {
        // Text and images fail here too: such a file is not truncated, but of another kind.
        if bytes.get(8) != Some(&b'{') {
            return Err(WeightsError::NotSafetensors("its header does not start with `{`".into()));
        }
        return Err(WeightsError::Truncated { needed: header + 8, actual });
    }
    SafeTensors::deserialize(bytes).map_err(|error| match error {
        safetensors::SafeTensorError::MetadataIncompleteBuffer => {
            let needed = (header + 8).saturating_add(data_bytes(&bytes[8..8 + header as usize]));
            if needed > actual {
                WeightsError::Truncated { needed, actual }
            } else {
                WeightsError::NotSafetensors(format!("it has {actual} bytes where its header describes {needed}"))
            }
        }
        other => WeightsError::NotSafetensors(other.to_string()),
    })
}

/// Bytes of data that a header describes: the end of its last tensor.
fn data_bytes(header: &[u8]) -> u64 {
    let Ok(Value::Object(entries)) = serde_json::from_slice(header) else { return 0 };
    entries.values().filter_map(|entry| entry.get("data_offsets")?.get(1)?.as_u64()).max().unwrap_or(0)
}

/// Makes `attributes` of what older files have in their place.
fn replace(fields: &mut Value, old: &str, attributes: impl Fn(Value) -> Value) {
    if let Some(fields) = fields.as_object_mut()
        && let Some(value) = fields.remove(old)
    {
        fields.insert("attributes".to_owned(), attributes(value));
    }
}

/// Reads the header of a file, without building networks.
///
/// # Errors
/// Those of [`load`] that do not need the tensors' values.
pub fn read_header(bytes: &[u8]) -> Result<Header, WeightsError> {
    let file = parse(bytes)?;
    let (_, metadata) =
        SafeTensors::read_metadata(bytes).map_err(|error| WeightsError::NotSafetensors(error.to_string()))?;
    let text = metadata
        .metadata()
        .as_ref()
        .and_then(|entries| entries.get(METADATA_KEY))
        .ok_or(WeightsError::NoMetadata(METADATA_KEY))?;
    let unreadable =
        |key, error: serde_json::Error| WeightsError::UnreadableMetadata { key, reason: error.to_string() };
    let mut fields: serde_json::Map<String, Value> =
        serde_json::from_str(text).map_err(|error| unreadable(METADATA_KEY, error))?;
    let mut take = |key| fields.remove(key).ok_or(WeightsError::NoMetadata(key));
    let version = take("format_version")?;
    let version_1 = version.as_u64() == Some(1);
    if !version_1 && version.as_u64() != Some(u64::from(FORMAT_VERSION)) {
        return Err(WeightsError::UnknownVersion { found: version.to_string(), known: FORMAT_VERSION });
    }
    let part = serde_json::from_value(take("part")?).map_err(|error| unreadable("part", error))?;
    let mut config = take("config")?;
    replace(&mut config, "classes", |classes| if classes == 0 { json!([]) } else { json!([classes]) });
    let config: ModelConfig = if version_1 {
        let unusable = |reason| WeightsError::UnreadableMetadata { key: "config", reason };
        ModelConfig::from_version_1(config).map_err(unusable)?
    } else {
        serde_json::from_value(config).map_err(|error| unreadable("config", error))?
    };
    config.validate()?;
    let mut provenance = take("provenance")?;
    replace(&mut provenance, "class_names", |names| match names.as_array().is_some_and(Vec::is_empty) {
        true => json!([]),
        false => json!([{ "name": "class", "values": names }]),
    });
    let provenance = serde_json::from_value(provenance).map_err(|error| unreadable("provenance", error))?;
    let sampling: SamplingConfig = match fields.remove("sampling").filter(|_| !version_1) {
        None => SamplingConfig::default(),
        Some(value) => serde_json::from_value(value).map_err(|error| unreadable("sampling", error))?,
    };
    sampling.validate()?;
    let sampling_sha256 = match fields.remove("sampling_sha256") {
        None => None,
        Some(value) => serde_json::from_value(value).map_err(|error| unreadable("sampling_sha256", error))?,
    };

    let mut tensors: Vec<TensorInfo> = file
        .tensors()
        .into_iter()
        .map(|(name, view)| TensorInfo { name, dtype: format!("{:?}", view.dtype()), shape: view.shape().to_vec() })
        .collect();
    tensors.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(Header { part, config, sampling, provenance, sampling_sha256, tensors })
}

/// Builds the networks of a sampling file, without an encoder.
///
/// # Errors
/// The file is not valid, see [`WeightsError`].
pub fn load<B: Backend>(bytes: &[u8], device: &B::Device) -> Result<(Header, Networks<B>), WeightsError> {
    let header = read_header(bytes)?;
    expect_part(&header, Part::Sampling)?;
    let file = parse(bytes)?;
    let mut p = ParamBuilder::from_file(&file, device);
    let networks = Networks::build(&header.config, &mut p)?;
    p.finish()?;
    Ok((header, networks))
}

/// Builds the encoder of an encoder file.
///
/// # Errors
/// As [`load`], and the file does not belong to the sampling file with the hash `sampling_sha256`.
pub fn load_encoder<B: Backend>(
    bytes: &[u8],
    sampling_sha256: &str,
    device: &B::Device,
) -> Result<Encoder<B>, WeightsError> {
    let header = read_header(bytes)?;
    expect_part(&header, Part::Encoder)?;
    let named = header.sampling_sha256.ok_or(WeightsError::NoMetadata("sampling_sha256"))?;
    if named != sampling_sha256 {
        return Err(WeightsError::EncoderMismatch { named, actual: sampling_sha256.to_owned() });
    }
    let file = parse(bytes)?;
    let mut p = ParamBuilder::from_file(&file, device);
    let encoder = p.scope("encoder", |p| Encoder::build(&header.config, p))?;
    p.finish()?;
    Ok(encoder)
}

fn expect_part(header: &Header, wanted: Part) -> Result<(), WeightsError> {
    if header.part == wanted {
        return Ok(());
    }
    Err(WeightsError::WrongPart { found: header.part.to_string(), wanted: wanted.to_string() })
}

/// The bytes of the sampling file.
///
/// # Errors
/// The device cannot be read, or a value is not finite or too large for f16.
pub fn save<B: Backend>(
    networks: &Networks<B>,
    config: &ModelConfig,
    sampling: &SamplingConfig,
    provenance: &Provenance,
    precision: Precision,
) -> Result<Vec<u8>, WeightsError> {
    let parameters = parameters(networks)?;
    let parameters = parameters.into_iter().filter(|parameter| !parameter.name.starts_with("encoder.")).collect();
    let (format_version, part, sampling) = (FORMAT_VERSION, Part::Sampling, Some(sampling));
    encode(
        parameters,
        precision,
        &Metadata { format_version, part, config, sampling, provenance, sampling_sha256: None },
    )
}

/// The bytes of the encoder file that belongs to the sampling file with the hash `sampling_sha256`.
///
/// # Errors
/// As [`save`].
pub fn save_encoder<B: Backend>(
    encoder: &Encoder<B>,
    config: &ModelConfig,
    provenance: &Provenance,
    sampling_sha256: &str,
    precision: Precision,
) -> Result<Vec<u8>, WeightsError> {
    let mut collector = Collector { path: vec!["encoder".into()], ..Collector::default() };
    encoder.visit(&mut collector);
    let (format_version, part, sampling_sha256) = (FORMAT_VERSION, Part::Encoder, Some(sampling_sha256));
    let metadata = Metadata { format_version, part, config, sampling: None, provenance, sampling_sha256 };
    encode(collector.finish()?, precision, &metadata)
}

/// A parameter of a model.
#[derive(Clone, Debug, PartialEq)]
pub struct Parameter {
    /// Its name in a file of weights.
    pub name: String,
    /// Its shape.
    pub shape: Vec<usize>,
    /// Its values, row by row.
    pub values: Vec<f32>,
}

/// Every parameter of the networks, including the encoder's if it is loaded.
///
/// # Errors
/// The device cannot be read.
pub fn parameters<B: Backend>(networks: &Networks<B>) -> Result<Vec<Parameter>, BackendError> {
    let mut collector = Collector::default();
    networks.visit(&mut collector);
    collector.finish()
}

fn encode(parameters: Vec<Parameter>, precision: Precision, metadata: &Metadata<'_>) -> Result<Vec<u8>, WeightsError> {
    let metadata = serde_json::to_string(metadata)
        .map_err(|error| WeightsError::UnreadableMetadata { key: METADATA_KEY, reason: error.to_string() })?;
    let metadata = HashMap::from([(METADATA_KEY.to_owned(), metadata)]);
    let tensors = parameters
        .iter()
        .map(|parameter| tensors_of(parameter, precision))
        .collect::<Result<Vec<_>, WeightsError>>()?
        .concat();
    let views = tensors
        .iter()
        .map(|(name, dtype, shape, bytes)| Ok((name.clone(), TensorView::new(*dtype, shape.clone(), bytes)?)))
        .collect::<Result<Vec<_>, safetensors::SafeTensorError>>();
    views
        .and_then(|views| safetensors::serialize(views, Some(metadata)))
        .map_err(|error| WeightsError::NotSafetensors(error.to_string()))
}

/// Name, type, shape and data of a tensor.
type Stored = (String, Dtype, Vec<usize>, Vec<u8>);

/// The tensors that hold a parameter.
fn tensors_of(parameter: &Parameter, precision: Precision) -> Result<Vec<Stored>, WeightsError> {
    let Parameter { name, shape, values } = parameter;
    if let Some(index) = values.iter().position(|value| !value.is_finite()) {
        return Err(WeightsError::NotFinite { name: name.clone(), index, value: values[index] });
    }
    let one = |dtype, bytes| vec![(name.clone(), dtype, shape.clone(), bytes)];
    let exact = |values: &[f32]| values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>();
    match (precision, shape.as_slice()) {
        (Precision::F32, _) => Ok(one(Dtype::F32, exact(values))),
        (Precision::Int8, &[_, columns]) if name.contains(".blocks.") => {
            let mut scales = vec![0.0_f32; columns];
            for row in values.chunks_exact(columns) {
                scales.iter_mut().zip(row).for_each(|(scale, value)| *scale = scale.max(value.abs() / 127.0));
            }
            // A column of zeros has the scale 0, and 0 / 0 becomes the byte 0.
            let bytes = values.chunks_exact(columns).flat_map(|row| {
                row.iter().zip(&scales).map(|(value, scale)| (value / scale).round().clamp(-127.0, 127.0) as i8 as u8)
            });
            let bytes = one(Dtype::I8, bytes.collect());
            let scales = (format!("{name}{SCALE}"), Dtype::F32, vec![columns], exact(&scales));
            Ok([bytes, vec![scales]].concat())
        }
        _ => {
            let halves: Vec<half::f16> = values.iter().map(|&value| half::f16::from_f32(value)).collect();
            if let Some(index) = halves.iter().position(|half| !half.is_finite()) {
                return Err(WeightsError::TooLargeForHalf { name: name.clone(), index, value: values[index] });
            }
            Ok(one(Dtype::F16, halves.iter().flat_map(|half| half.to_le_bytes()).collect()))
        }
    }
}

#[derive(Default)]
struct Collector {
    path: Vec<String>,
    parameters: Vec<Parameter>,
    error: Option<BackendError>,
}

impl Collector {
    fn finish(self) -> Result<Vec<Parameter>, BackendError> {
        self.error.map_or(Ok(self.parameters), Err)
    }
}

impl<B: Backend> ModuleVisitor<B> for Collector {
    // The configuration determines the variant of an enum, so names do not hold it.
    fn enter_module(&mut self, name: &str, container_type: &str) {
        if !container_type.starts_with("Enum:") {
            self.path.push(name.to_owned());
        }
    }

    fn exit_module(&mut self, _name: &str, container_type: &str) {
        if !container_type.starts_with("Enum:") {
            self.path.pop();
        }
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<B, D>>) {
        if self.error.is_some() {
            return;
        }
        match param.val().try_into_data() {
            Ok(data) => self.parameters.push(Parameter {
                name: self.path.join("."),
                shape: param.dims().to_vec(),
                values: data.iter::<f32>().collect(),
            }),
            Err(error) => self.error = Some(BackendError::new(error)),
        }
    }
}
