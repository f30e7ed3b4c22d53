//! Files of weights.
//!
//! An input is a file; where it starts with `{`, a header up to the end of the line, without its length, and data; where it
//! starts with `m`, the metadata of a whole file.

use std::collections::HashMap;

use burn_flex::Flex;
use safetensors::SafeTensors;
use vdm::config::{
    BandConfig, BandsConfig, LatentConfig, ModelConfig, ResNetConfig, SamplingConfig, ScheduleConfig, ScheduleKind,
    ScoreNetConfig,
};
use vdm::model::Networks;
use vdm::weights::{Part, Precision, Provenance, load, load_encoder, read_header, save, save_encoder, sha256_hex};

use crate::bounds::bounded;

/// Reads a file, or refuses it.
pub fn run(input: &[u8]) {
    match input {
        [b'{', ..] => {
            let end = input.iter().position(|&byte| byte == b'\n').unwrap_or(input.len());
            let (header, data) = (&input[..end], input.get(end + 1..).unwrap_or_default());
            read(&[&(header.len() as u64).to_le_bytes(), header, data].concat());
        }
        [b'm', text @ ..] => read(&with_metadata(&String::from_utf8_lossy(text))),
        _ => read(input),
    }
}

/// As the page and the trainer read it.
fn read(file: &[u8]) {
    let device = Default::default();
    let Ok(header) = bounded(file.len(), |_| 0, || read_header(file)) else { return };
    let [height, width] = [header.config.height, header.config.width];
    // Besides its parameters, the matrices of a lapped transform, which are made in float64; of a file that is refused, nothing.
    let needed = |is_read: bool| if is_read { 16 * (height * height + width * width) } else { 0 };
    match header.part {
        Part::Sampling => drop(bounded(file.len(), |read| needed(Result::is_ok(read)), || load::<Flex>(file, &device))),
        Part::Encoder => {
            let belongs_to = header.sampling_sha256.as_deref().unwrap_or_default();
            let read = || load_encoder::<Flex>(file, belongs_to, &device);
            drop(bounded(file.len(), |read| needed(Result::is_ok(read)), read));
        }
    }
}

/// The first seed with this text as its metadata.
fn with_metadata(text: &str) -> Vec<u8> {
    thread_local! {
        static WHOLE: Vec<u8> = seeds()[0].clone();
    }
    WHOLE.with(|whole| {
        let file = SafeTensors::deserialize(whole).expect("our own file");
        let metadata = HashMap::from([("medical-vdm".to_owned(), text.to_owned())]);
        safetensors::serialize(file.tensors(), Some(metadata)).expect("a file")
    })
}

/// Small files of each kind, and their parts.
pub fn seeds() -> Vec<Vec<u8>> {
    let device = Default::default();
    let (sampling, provenance) = (SamplingConfig::default(), Provenance::default());
    let mut seeds = Vec::new();
    for (config, precision) in [
        (latent(), Precision::F32),
        (latent(), Precision::F16),
        (bands(64), Precision::F16),
        (bands(64), Precision::Int8),
    ] {
        let networks = Networks::<Flex>::new(&config, 1, &device).expect("networks");
        let file = save(&networks, &config, &sampling, &provenance, precision).expect("a file");
        let hash = sha256_hex(&file);
        seeds.push(file);
        if let Some(encoder) = networks.encoder.filter(|_| config.latent.is_some()) {
            seeds.push(save_encoder(&encoder, &config, &provenance, &hash, precision).expect("a file"));
        }
    }
    for file in seeds.clone() {
        let header = u64::from_le_bytes(*file.first_chunk().expect("8 bytes")) as usize;
        seeds.push([&file[8..8 + header], b"\n", &file[8 + header..]].concat());
        let (_, metadata) = SafeTensors::read_metadata(&file).expect("our own file");
        let text = metadata.metadata().as_ref().expect("metadata")["medical-vdm"].clone();
        seeds.push(format!("m{text}").into_bytes());
    }
    // The tensors of a small model of bands, and a claim of 4096×4096 pixels.
    let header = seeds.iter().find(|seed| seed[0] == b'{' && seed.windows(9).any(|part| part == b"min_noise"));
    let header = String::from_utf8_lossy(header.expect("a header"));
    let side = |of: u32| format!("\\\"height\\\":{of},\\\"width\\\":{of}");
    let large = header.replace(&side(64), &side(4096));
    assert!(large != header, "{header}");
    seeds.push(large.into_bytes());
    seeds
}

pub(crate) fn latent() -> ModelConfig {
    let blocks = ResNetConfig { width: 3, layers: 1, layer_norm: true };
    let kind = ScheduleKind::Monotonic { hidden: 2, learn_endpoints: false };
    ModelConfig {
        height: 2,
        width: 2,
        attributes: vec![1, 2],
        latent: Some(LatentConfig {
            dim: 2,
            encoder: blocks.clone(),
            decoder: blocks,
            score_net: ScoreNetConfig { embedding_dim: 4, width: 3, layers: 1, layer_norm: false },
            schedule: ScheduleConfig { kind, ..ScheduleConfig::default() },
        }),
        bands: None,
    }
}

fn bands(side: usize) -> ModelConfig {
    let band = BandConfig { embedding_dim: 4, width: 8, layers: 0, hidden: 2, ..BandConfig::default() };
    let bands = BandsConfig { min_noise: 1.0, coarse: band.clone(), fine: band };
    ModelConfig { height: side, width: side, attributes: Vec::new(), latent: None, bands: Some(bands) }
}
