//! The weights file: what is written is read back to the bit, and every other file is refused with its fault.

use std::collections::HashMap;

use burn::tensor::Tensor;
use burn_flex::Flex;
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use serde_json::{Value, json};
use vdm::config::{
    Attribute, LatentConfig, ModelConfig, Preset, ResNetConfig, SamplingConfig, ScheduleConfig, ScoreNetConfig,
};
use vdm::error::WeightsError;
use vdm::model::{Networks, band_grid};
use vdm::weights::{
    Header, Part, Precision, Provenance, load, load_encoder, read_header, save, save_encoder, sha256_hex,
};

const SAMPLING: SamplingConfig = SamplingConfig { context_gamma: -3.5, fine_share: 0.25 };

fn config() -> ModelConfig {
    let blocks = ResNetConfig { width: 6, layers: 1, layer_norm: true };
    ModelConfig {
        height: 4,
        width: 4,
        attributes: vec![2],
        latent: Some(LatentConfig {
            dim: 3,
            encoder: blocks.clone(),
            decoder: blocks,
            score_net: ScoreNetConfig { embedding_dim: 4, width: 5, layers: 1, layer_norm: false },
            schedule: ScheduleConfig::default(),
        }),
        bands: None,
    }
}

fn provenance() -> Provenance {
    Provenance { name: "small".into(), data: "none \"at\" all".into(), seed: u64::MAX, ..Provenance::default() }
}

fn networks(seed: u64) -> Networks<Flex> {
    Networks::new(&config(), seed, &Default::default()).expect("a valid configuration")
}

fn sampling_file(precision: Precision) -> Vec<u8> {
    save(&networks(1), &config(), &SAMPLING, &provenance(), precision).expect("weights can be written")
}

fn encoder_file(sampling_sha256: &str) -> Vec<u8> {
    let networks = networks(1);
    let encoder = networks.encoder.as_ref().expect("new networks have an encoder");
    save_encoder(encoder, &config(), &provenance(), sampling_sha256, Precision::F32).expect("an encoder can be written")
}

fn read(bytes: &[u8]) -> Result<(Header, Networks<Flex>), WeightsError> {
    load(bytes, &Default::default())
}

fn refusal(bytes: &[u8]) -> WeightsError {
    match read(bytes) {
        Ok(_) => panic!("the file must be refused"),
        Err(error) => error,
    }
}

/// A file taken apart, to be spoilt and put together again.
struct Parts {
    metadata: Option<HashMap<String, String>>,
    tensors: Vec<(String, Dtype, Vec<usize>, Vec<u8>)>,
}

const KEY: &str = "medical-vdm";

impl Parts {
    fn of(bytes: &[u8]) -> Self {
        let file = SafeTensors::deserialize(bytes).expect("our own file");
        let (_, metadata) = SafeTensors::read_metadata(bytes).expect("our own file");
        let tensors = file.tensors().into_iter();
        Self {
            metadata: metadata.metadata().clone(),
            tensors: tensors
                .map(|(name, view)| (name, view.dtype(), view.shape().to_vec(), view.data().to_vec()))
                .collect(),
        }
    }

    fn bytes(&self) -> Vec<u8> {
        let views = self.tensors.iter().map(|(name, dtype, shape, bytes)| {
            (name.clone(), TensorView::new(*dtype, shape.clone(), bytes).expect("a consistent tensor"))
        });
        safetensors::serialize(views, self.metadata.clone()).expect("tensors can be written")
    }

    fn edit(&mut self, edit: impl FnOnce(&mut Value)) {
        let text = self.metadata.as_mut().and_then(|m| m.get_mut(KEY)).expect("our metadata");
        let mut value: Value = serde_json::from_str(text).expect("JSON");
        edit(&mut value);
        *text = value.to_string();
    }

    fn tensor(&mut self, name: &str) -> &mut (String, Dtype, Vec<usize>, Vec<u8>) {
        self.tensors.iter_mut().find(|tensor| tensor.0 == name).expect(name)
    }
}

/// Our file after some spoiling.
fn spoilt(spoil: impl FnOnce(&mut Parts)) -> Vec<u8> {
    let mut parts = Parts::of(&sampling_file(Precision::F32));
    spoil(&mut parts);
    parts.bytes()
}

#[test]
fn taking_a_file_apart_and_together_changes_nothing() {
    assert!(read(&spoilt(|_| {})).is_ok());
}

#[test]
fn f32_comes_back_to_the_bit() {
    let bytes = sampling_file(Precision::F32);
    let (header, networks) = read(&bytes).expect("our own file");
    assert_eq!((header.part, header.config.clone(), header.sampling), (Part::Sampling, config(), SAMPLING));
    assert_eq!((header.provenance.clone(), header.sampling_sha256.clone()), (provenance(), None));
    assert!(networks.encoder.is_none(), "sampling does without the encoder");
    let again = save(&networks, &header.config, &header.sampling, &header.provenance, Precision::F32)
        .expect("weights can be written");
    assert!(again == bytes, "the same weights give the same bytes");

    let hash = sha256_hex(&bytes);
    let bytes = encoder_file(&hash);
    let encoder = load_encoder::<Flex>(&bytes, &hash, &Default::default()).expect("our own file");
    let again = save_encoder(&encoder, &config(), &provenance(), &hash, Precision::F32).expect("can be written");
    assert!(again == bytes);
    assert_eq!(read_header(&bytes).expect("our own file").sampling_sha256, Some(hash));
}

#[test]
fn what_was_read_computes_what_was_written() {
    let (_, read) = read(&sampling_file(Precision::F32)).expect("our own file");
    let z = Tensor::<Flex, 2>::from_floats([[0.3, -1.0, 2.0]], &Default::default());
    let time = Tensor::<Flex, 2>::from_floats([[0.1, 0.2, 0.3, 0.4]], &Default::default());
    let outputs = |networks: &Networks<Flex>| {
        let gamma = Tensor::zeros([1], &Default::default());
        let eps = networks.score_net.forward(z.clone(), gamma, time.clone(), None, band_grid(&config(), 0), None);
        (eps.into_data(), networks.decoder.decode(z.clone()).into_data())
    };
    assert_eq!(outputs(&networks(1)), outputs(&read));
    assert_ne!(outputs(&networks(2)), outputs(&read));
}

#[test]
fn f16_is_close_and_half_the_size() {
    let (full, half) = (sampling_file(Precision::F32), sampling_file(Precision::F16));
    let (_, networks) = read(&half).expect("our own file");
    let again = save(&networks, &config(), &SAMPLING, &provenance(), Precision::F32).expect("weights can be written");
    let (full, mut half, mut again) = (Parts::of(&full), Parts::of(&half), Parts::of(&again));
    assert!(half.tensors.iter().all(|tensor| tensor.1 == Dtype::F16));
    assert_eq!((full.tensors.len(), full.tensors.len()), (half.tensors.len(), again.tensors.len()));
    for exact in &full.tensors {
        let (stored, rounded) = (half.tensor(&exact.0), again.tensor(&exact.0));
        assert_eq!(2 * stored.3.len(), exact.3.len());
        for (a, b) in exact.3.chunks_exact(4).zip(rounded.3.chunks_exact(4)) {
            let value = |b: &[u8]| f32::from_le_bytes(b.try_into().expect("four bytes"));
            // Half of the last of 11 bits; below 6e-5 half of a denormal step.
            let (a, b) = (value(a), value(b));
            assert!((a - b).abs() <= a.abs() / 2048.0 + 3e-8, "{}: {a} became {b}", exact.0);
        }
    }
}

#[test]
fn int8_is_within_half_a_step_of_each_column_and_takes_a_byte_a_number() {
    let (full, bytes) = (Parts::of(&sampling_file(Precision::F32)), sampling_file(Precision::Int8));
    let (header, networks) = read(&bytes).expect("our own file");
    assert_eq!(header.parameters(), read_header(&sampling_file(Precision::F32)).expect("our own file").parameters());
    let again = save(&networks, &config(), &SAMPLING, &provenance(), Precision::F32).expect("weights can be written");
    let (mut stored, mut again) = (Parts::of(&bytes), Parts::of(&again));
    let mut matrices = 0;
    for (name, _, shape, values) in &full.tensors {
        let numbers = |bytes: &[u8]| -> Vec<f32> {
            bytes.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().expect("four bytes"))).collect()
        };
        let (values, rounded) = (numbers(values), numbers(&again.tensor(name).3));
        if !(shape.len() == 2 && name.contains(".blocks.")) {
            assert_eq!(stored.tensor(name).1, Dtype::F16, "{name}");
            continue;
        }
        matrices += 1;
        assert_eq!((stored.tensor(name).1, stored.tensor(name).3.len()), (Dtype::I8, values.len()), "{name}");
        let scales = numbers(&stored.tensor(&format!("{name}.scale")).3);
        for (i, (a, b)) in values.iter().zip(&rounded).enumerate() {
            let column = i % shape[1];
            let largest = values.iter().skip(column).step_by(shape[1]).fold(0.0_f32, |m, v| m.max(v.abs()));
            assert!((scales[column] - largest / 127.0).abs() < 1e-9, "{name}: {} for {largest}", scales[column]);
            assert!((a - b).abs() <= 0.5001 * scales[column], "{name}: {a} became {b}");
        }
    }
    assert!(matrices >= 5, "{matrices}");
}

#[test]
fn a_file_with_classes_is_one_with_a_single_attribute() {
    let mut parts = Parts::of(&sampling_file(Precision::F32));
    parts.edit(|meta| {
        let config = meta["config"].as_object_mut().expect("an object");
        config.remove("attributes");
        config.insert("classes".into(), json!(2));
        let provenance = meta["provenance"].as_object_mut().expect("an object");
        provenance.remove("attributes");
        provenance.insert("class_names".into(), json!(["ill", "well"]));
    });
    let (header, _) = read(&parts.bytes()).expect("it is read");
    assert_eq!(header.config, config());
    let values = vec!["ill".to_owned(), "well".to_owned()];
    assert_eq!(header.provenance.attributes, [Attribute { name: "class".into(), values }]);
}

#[test]
fn int8_needs_a_scale_for_each_column_and_no_other() {
    let spoilt = |spoil: &dyn Fn(&mut Parts)| {
        let mut parts = Parts::of(&sampling_file(Precision::Int8));
        spoil(&mut parts);
        refusal(&parts.bytes())
    };
    let name = "score_net.net.blocks.0.dense_1.weight.scale";
    let missing = spoilt(&|parts| parts.tensors.retain(|tensor| tensor.0 != name));
    assert!(matches!(&missing, WeightsError::MissingTensor(found) if found == name), "{missing}");
    let short = spoilt(&|parts| {
        let tensor = parts.tensor(name);
        (tensor.2, tensor.3) = (vec![1], vec![0; 4]);
    });
    assert!(matches!(&short, WeightsError::Shape { name: found, .. } if found == name), "{short}");
    let infinite = spoilt(&|parts| parts.tensor(name).3[..4].copy_from_slice(&f32::INFINITY.to_le_bytes()));
    assert!(matches!(&infinite, WeightsError::NotFinite { name: found, .. } if found == name), "{infinite}");
    let extra = spoilt(&|parts| {
        parts.tensors.push(("score_net.condition_1.weight.scale".into(), Dtype::F32, vec![1], vec![0; 4]));
    });
    assert!(matches!(&extra, WeightsError::ExtraTensor(_)), "{extra}");
    let vector = spoilt(&|parts| {
        let tensor = parts.tensor("score_net.net.blocks.0.dense_1.bias");
        (tensor.1, tensor.3) = (Dtype::I8, vec![0; tensor.2[0]]);
    });
    assert!(matches!(&vector, WeightsError::Dtype { .. }), "{vector}");
}

#[test]
fn the_same_weights_give_the_same_bytes() {
    for precision in Precision::ALL.iter().copied() {
        assert!(sampling_file(precision) == sampling_file(precision));
    }
    let other =
        save(&networks(2), &config(), &SAMPLING, &provenance(), Precision::F32).expect("weights can be written");
    assert!(other != sampling_file(Precision::F32));
}

#[test]
fn a_header_lists_the_tensors() {
    let bytes = sampling_file(Precision::F16);
    let header = read_header(&bytes).expect("our own file");
    assert!(header.tensors.is_sorted_by(|a, b| a.name < b.name));
    let find = |name: &str| header.tensors.iter().find(|tensor| tensor.name == name).expect(name);
    assert_eq!(find("score_net.class_embedding").shape, [3, 4]);
    assert_eq!(
        (find("decoder.net.output.weight").shape.as_slice(), find("schedule.gamma_min").dtype.as_str()),
        ([6, 16].as_slice(), "F16")
    );
}

#[test]
fn a_file_cut_anywhere_is_truncated() {
    let bytes = sampling_file(Precision::F32);
    let step = (bytes.len() / 97).max(1);
    let lengths = (0..bytes.len()).step_by(step).chain([7, 8, 9, bytes.len() - 1]);
    for length in lengths {
        match refusal(&bytes[..length]) {
            WeightsError::Truncated { needed, actual } => {
                assert_eq!(actual, length as u64);
                assert!(needed > actual && needed <= bytes.len() as u64, "{needed} of {}", bytes.len());
            }
            // With its first 8 bytes alone there is nothing yet to know it by.
            WeightsError::NotSafetensors(_) if length == 8 => {}
            other => panic!("cut to {length}: {other}"),
        }
    }
}

#[test]
fn other_files_are_not_safetensors() {
    let mut long = sampling_file(Precision::F32);
    long.extend([0; 5]);
    let mut broken = sampling_file(Precision::F32);
    broken[20] = 0xff;
    let text = b"<!doctype html><html><body>404: there is no such file here</body></html>".to_vec();
    let png = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\x01\0\0\0\x01\0\x08\0\0\0\0".to_vec();
    for (name, bytes) in [("longer", long), ("header", broken), ("text", text), ("png", png), ("zeros", vec![0; 4096])]
    {
        let error = refusal(&bytes);
        assert!(matches!(error, WeightsError::NotSafetensors(_)), "{name}: {error}");
        assert!(!error.to_string().contains("panicked"));
    }
}

#[test]
fn absurd_claims_are_refused_without_allocating() {
    // A header of 4 GB, and of more than there is memory in the world.
    for claim in [4u64 << 30, u64::MAX, u64::MAX - 7] {
        let mut bytes = sampling_file(Precision::F32);
        bytes[..8].copy_from_slice(&claim.to_le_bytes());
        assert!(matches!(refusal(&bytes), WeightsError::NotSafetensors(_)), "{claim}");
    }
    // Tensors of 4 GB, or of a size that overflows, in a file of a few bytes.
    for (shape, end) in
        [("[32768,32768]", "4294967296"), ("[4294967296,4294967296,4]", "8"), ("[2]", "18446744073709551615")]
    {
        let header = format!(r#"{{"a":{{"dtype":"F32","shape":{shape},"data_offsets":[0,{end}]}}}}"#);
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend(header.as_bytes());
        bytes.extend([0; 8]);
        let error = refusal(&bytes);
        assert!(
            matches!(error, WeightsError::NotSafetensors(_) | WeightsError::Truncated { .. }),
            "{shape} to {end}: {error}"
        );
    }
}

#[test]
fn a_configuration_of_absurd_sizes_is_refused_by_its_field() {
    for (pointer, value) in [
        ("/height", json!(1_000_000_000u64)),
        ("/latent/dim", json!(0)),
        ("/latent/decoder/width", json!(u64::MAX)),
        ("/latent/score_net/layers", json!(4_000_000_000u64)),
        ("/latent/score_net/embedding_dim", json!(5)),
        ("/attributes", json!([1_000_000_000])),
        ("/latent/schedule/gamma_max", json!(1e300)),
        ("/latent/schedule/gamma_min", json!(25.0)),
    ] {
        let bytes = spoilt(|parts| parts.edit(|meta| *meta["config"].pointer_mut(pointer).expect(pointer) = value));
        let error = refusal(&bytes);
        assert!(matches!(error, WeightsError::Config(_)), "{pointer}: {error}");
        let field = pointer.trim_start_matches('/').replace('/', ".");
        let gamma = field.contains("gamma") && error.to_string().contains("gamma");
        assert!(gamma || error.to_string().contains(&field), "{field}: {error}");
    }
    // Sizes within bounds that together would take terabytes fail at the first tensor, not at the first allocation.
    let bytes = spoilt(|parts| {
        parts.edit(|meta| {
            meta["config"]["height"] = json!(4096);
            meta["config"]["width"] = json!(4096);
            meta["config"]["latent"]["decoder"]["width"] = json!(16_384);
        });
    });
    assert!(matches!(refusal(&bytes), WeightsError::Shape { .. }));
}

#[test]
fn metadata_must_be_there_and_readable() {
    let error = refusal(&spoilt(|parts| parts.metadata = None));
    assert!(matches!(error, WeightsError::NoMetadata(KEY)), "{error}");
    let error = refusal(&spoilt(|parts| parts.metadata = Some(HashMap::from([("format".into(), "pt".into())]))));
    assert!(matches!(error, WeightsError::NoMetadata(KEY)), "{error}");
    let error = refusal(&spoilt(|parts| parts.metadata = Some(HashMap::from([(KEY.into(), "{not JSON".into())]))));
    assert!(matches!(error, WeightsError::UnreadableMetadata { key: KEY, .. }), "{error}");

    for key in ["format_version", "part", "config", "provenance"] {
        let bytes = spoilt(|parts| parts.edit(|meta| drop(meta.as_object_mut().expect("an object").remove(key))));
        let error = refusal(&bytes);
        assert!(matches!(error, WeightsError::NoMetadata(missing) if missing == key), "{key}: {error}");
    }
    for key in ["part", "config", "provenance"] {
        let error = refusal(&spoilt(|parts| parts.edit(|meta| meta[key] = json!(["nonsense"]))));
        assert!(matches!(error, WeightsError::UnreadableMetadata { key: k, .. } if k == key), "{key}: {error}");
    }
    let error = refusal(&spoilt(|parts| parts.edit(|meta| meta["config"]["dropout"] = json!(0.5))));
    assert!(error.to_string().contains("dropout"), "an unknown field would change the model: {error}");
}

/// Makes the metadata of a file that of format version 1.
fn to_version_1(meta: &mut Value) {
    meta["format_version"] = json!(1);
    meta.as_object_mut().expect("an object").remove("sampling");
    let config = meta["config"].as_object_mut().expect("an object");
    config.remove("bands");
    let latent = config.remove("latent").expect("a latent");
    for (new, old) in [("dim", "latent_dim"), ("encoder", "encoder"), ("decoder", "decoder")] {
        config.insert(old.to_owned(), latent[new].clone());
    }
    for name in ["score_net", "schedule"] {
        config.insert(name.to_owned(), latent[name].clone());
    }
}

#[test]
fn a_latent_of_version_1_is_read_and_a_model_on_patches_is_refused() {
    let (header, networks) = read(&spoilt(|parts| parts.edit(to_version_1))).expect("an older file");
    assert_eq!((header.config, header.sampling), (config(), SamplingConfig::default()));
    let z = Tensor::<Flex, 2>::from_floats([[0.3, -1.0, 2.0]], &Default::default());
    let decoded = |networks: &Networks<Flex>| networks.decoder.decode(z.clone()).into_data();
    assert_eq!(decoded(&networks), decoded(&self::networks(1)));
    // What such files also had, where it means nothing without patches.
    let bytes = spoilt(|parts| {
        parts.edit(|meta| {
            to_version_1(meta);
            let config = &mut meta["config"];
            (config["patch"], config["grain"], config["grain_spread"]) = (json!(null), json!(false), json!(0.0));
            (config["encoder"]["heads"], config["score_net"]["gaussian_rank"]) = (json!(0), json!(0));
            config["score_net"]["gamma_offset"] = json!(0.25);
            meta["sampling"] = json!({ "gamma_offset": 0.25 });
        })
    });
    assert_eq!(read(&bytes).expect("an older file").0.config, config());
    let bytes = spoilt(|parts| {
        parts.edit(|meta| {
            to_version_1(meta);
            meta["config"]["patch"] = json!(16);
        });
    });
    let error = refusal(&bytes).to_string();
    assert!(error.contains("patches") && error.contains("no longer"), "{error}");
}

#[test]
fn sampling_options_are_checked() {
    for (sampling, message) in [
        (json!({ "context_gama": 0 }), "unreadable `sampling`"),
        (json!({ "context_gamma": 7 }), "sampling.context_gamma is 7"),
    ] {
        let error = refusal(&spoilt(|parts| parts.edit(|meta| meta["sampling"] = sampling))).to_string();
        assert!(error.contains(message), "{error}");
    }
    let without = spoilt(|parts| parts.edit(|meta| drop(meta.as_object_mut().and_then(|m| m.remove("sampling")))));
    assert_eq!(read_header(&without).expect("reads").sampling, SamplingConfig::default());
}

#[test]
fn the_shipped_weights_are_those_of_their_presets() {
    for (name, preset) in [("paper", Preset::Paper), ("sharp", Preset::Sharp)] {
        let path = format!("{}/../web/weights/{name}.safetensors", env!("CARGO_MANIFEST_DIR"));
        let header = read_header(&std::fs::read(&path).expect(&path)).expect("shipped weights");
        let attributes = header.config.attributes.clone();
        assert_eq!(header.config, ModelConfig { attributes, ..preset.model() }, "{name}");
    }
}

#[test]
fn another_version_is_unknown() {
    for version in [json!(3), json!(0), json!("1"), json!(1.5), json!(null)] {
        let shown = version.to_string();
        let error = refusal(&spoilt(|parts| parts.edit(|meta| meta["format_version"] = version)));
        match error {
            WeightsError::UnknownVersion { found, known } => assert_eq!((found, known), (shown, 2)),
            other => panic!("{other}"),
        }
    }
}

#[test]
fn each_tensor_must_fit() {
    let name = "decoder.net.output.weight";
    let error = refusal(&spoilt(|parts| parts.tensors.retain(|tensor| tensor.0 != name)));
    assert!(matches!(&error, WeightsError::MissingTensor(missing) if missing == name), "{error}");

    let extra = ("decoder.net.spare".to_owned(), Dtype::F32, vec![1], vec![0; 4]);
    let error = refusal(&spoilt(|parts| parts.tensors.push(extra)));
    assert!(matches!(&error, WeightsError::ExtraTensor(extra) if extra == "decoder.net.spare"), "{error}");

    // Transposed: as many numbers, another shape.
    let error = refusal(&spoilt(|parts| parts.tensor(name).2.reverse()));
    match &error {
        WeightsError::Shape { name: n, found, expected } => {
            assert_eq!((n.as_str(), found.as_slice(), expected.as_slice()), (name, &[16, 6][..], &[6, 16][..]));
        }
        other => panic!("{other}"),
    }

    let error = refusal(&spoilt(|parts| {
        let tensor = parts.tensor(name);
        (tensor.1, tensor.3) = (Dtype::F64, vec![0; 6 * 16 * 8]);
    }));
    assert!(matches!(&error, WeightsError::Dtype { name: n, found } if n == name && found == "F64"), "{error}");
}

#[test]
fn numbers_must_be_finite() {
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let bytes = spoilt(|parts| parts.tensor("schedule.gamma_max").3 = bad.to_le_bytes().to_vec());
        match refusal(&bytes) {
            WeightsError::NotFinite { name, index: 0, value } => {
                assert_eq!((name.as_str(), value.to_bits()), ("schedule.gamma_max", bad.to_bits()));
            }
            other => panic!("{other}"),
        }
    }
    // The error names the place, and half precision is checked in the same way.
    let mut parts = Parts::of(&sampling_file(Precision::F16));
    parts.tensor("decoder.net.output.bias").3[2 * 7..2 * 8].copy_from_slice(&[0x00, 0x7e]);
    let error = refusal(&parts.bytes());
    assert!(matches!(&error, WeightsError::NotFinite { index: 7, value, .. } if value.is_nan()), "{error}");
}

#[test]
fn what_cannot_be_stored_is_not_written() {
    let device = Default::default();
    let spoil = |value: f32| {
        let mut networks = networks(1);
        networks.schedule.gamma_max =
            networks.schedule.gamma_max.map(|_| Tensor::<Flex, 1>::from_floats([value], &device));
        networks
    };
    let write = |value, precision| save(&spoil(value), &config(), &SAMPLING, &provenance(), precision);
    for precision in Precision::ALL.iter().copied() {
        let error = write(f32::NAN, precision).expect_err("NaN");
        assert!(matches!(&error, WeightsError::NotFinite { name, .. } if name == "schedule.gamma_max"), "{error}");
    }
    assert!(write(70_000.0, Precision::F32).is_ok());
    let error = write(70_000.0, Precision::F16).expect_err("too large");
    assert!(matches!(&error, WeightsError::TooLargeForHalf { value, .. } if *value == 70_000.0), "{error}");
}

#[test]
fn the_two_files_are_not_confused() {
    let sampling = sampling_file(Precision::F32);
    let hash = sha256_hex(&sampling);
    let encoder = encoder_file(&hash);
    let error = refusal(&encoder);
    assert!(matches!(&error, WeightsError::WrongPart { found, wanted } if found == "encoder" && wanted == "sampling"));

    let read = |bytes: &[u8], hash: &str| match load_encoder::<Flex>(bytes, hash, &Default::default()) {
        Ok(_) => panic!("must be refused"),
        Err(error) => error,
    };
    assert!(matches!(read(&sampling, &hash), WeightsError::WrongPart { .. }));
    let other = sha256_hex(b"other weights");
    match read(&encoder, &other) {
        WeightsError::EncoderMismatch { named, actual } => assert_eq!((named, actual), (hash.clone(), other)),
        error => panic!("{error}"),
    }
    let mut parts = Parts::of(&encoder);
    parts.edit(|meta| meta["sampling_sha256"] = Value::Null);
    assert!(matches!(read(&parts.bytes(), &hash), WeightsError::NoMetadata("sampling_sha256")));
}

#[test]
fn no_flipped_byte_of_the_header_panics() {
    let bytes = sampling_file(Precision::F16);
    let header = u64::from_le_bytes(*bytes.first_chunk().expect("8 bytes")) as usize + 8;
    for i in 0..header {
        for flip in [0x01, 0x80] {
            let mut bytes = bytes.clone();
            bytes[i] ^= flip;
            // Refused, or a change of a name or a number that fits: never a panic.
            let _ = read(&bytes);
        }
    }
}
