//! The networks as ONNX files, and the noise schedule as JSON, for programs in other languages.

mod bands;
mod graph;
#[cfg(test)]
mod interpreter;
mod networks;
mod on_patches;
mod proto;
pub mod reference;
#[cfg(test)]
mod tests;

use anyhow::{Context, Result, anyhow};
use burn::tensor::backend::Backend;
use prost::Message;
use serde_json::json;
use vdm::image::{DIGITAL_SOURCE_TYPE, LABEL};
use vdm::weights;

use self::graph::Parameters;
use self::proto::{GraphProto, ModelProto, OperatorSetIdProto, StringStringEntryProto};
use crate::base::about::SOFTWARE;
use crate::base::files::LoadedModel;

/// Versions of onnx.proto and of the operators: the first with LayerNormalization, which every current runtime reads.
const IR_VERSION: i64 = 8;
const OPSET: i64 = 17;

/// Points of γ(t) in `schedule.json`.
const TABLE_STEPS: usize = 1000;

/// How to sample with the files, for readers who have only these.
const SAMPLING: &str = "DDIM in N steps: draw z ~ N(0, I) of the numbers of a band, let t go from 1 to 0. For a step from t to \
                        s: e = score-net(z, gamma(t)); f = (z - sigma(t) e) / alpha(t); z = alpha(s) f + sigma(s) e. At \
                        t = 0 the band is f = z / alpha(0). With a second band, begin anew with score-net-fine, which is \
                        given coarse = alpha f + sigma n of the first band, n ~ N(0, I) and alpha, sigma of coarse_gamma = \
                        context_gamma. The image is the decoder's mean of all bands, one after the other, row by row. \
                        alpha(t)^2 = 1 / (1 + exp(gamma(t))) and sigma(t)^2 = 1 - alpha(t)^2. With classes, and a guidance \
                        weight w, e = (1 + w) e(class) - w e(no class).";

/// A file to write.
pub struct Exported {
    /// Its name.
    pub name: &'static str,
    /// Its content.
    pub bytes: Vec<u8>,
}

/// The files of a model.
pub fn export<B: Backend>(loaded: &LoadedModel<B>) -> Result<Vec<Exported>> {
    let model = &loaded.model;
    let parameters = weights::parameters(&model.networks)?;
    let mut parameters: Parameters =
        parameters.into_iter().map(|parameter| (parameter.name.clone(), parameter)).collect();
    for (band, name) in ["score_net.class_embedding", "fine.score_net.class_embedding"].into_iter().enumerate() {
        // A row for each class, in place of those of its values.
        if let Some(parameter) = parameters.get_mut(name)
            && let Some(table) = model.networks.band(band).1.class_table()
        {
            parameter.shape = table.dims().to_vec();
            let read = table.try_into_data().map_err(|error| anyhow!("cannot read from the device: {error:?}"))?;
            parameter.values = read.iter::<f32>().collect();
        }
    }
    let metadata = metadata(loaded)?;
    let onnx = |name, graph: GraphProto| Exported { name, bytes: onnx(graph, metadata.clone()).encode_to_vec() };
    let mut exported = vec![onnx("decoder.onnx", networks::decoder(&model.config, &parameters)?)];
    for (band, schedule) in model.schedules.iter().enumerate() {
        let name = ["score-net.onnx", "score-net-fine.onnx"][band.min(1)];
        exported.push(onnx(name, networks::score_net(&model.config, band, schedule, &parameters)?));
    }
    if model.networks.encoder.is_some() {
        exported.push(onnx("encoder.onnx", networks::encoder(&model.config, &parameters)?));
    }
    let bytes = serde_json::to_vec_pretty(&schedule(loaded)).context("cannot write the schedule as JSON")?;
    exported.push(Exported { name: "schedule.json", bytes });
    Ok(exported)
}

fn onnx(graph: GraphProto, metadata: Vec<(String, String)>) -> ModelProto {
    ModelProto {
        ir_version: IR_VERSION,
        producer_name: "medical-vdm trainer".to_owned(),
        producer_version: env!("CARGO_PKG_VERSION").to_owned(),
        doc_string: format!("{} of a variational diffusion model of chest X-rays. {LABEL}.", graph.name),
        graph: Some(graph),
        opset_import: vec![OperatorSetIdProto { domain: String::new(), version: OPSET }],
        metadata_props: metadata.into_iter().map(|(key, value)| StringStringEntryProto { key, value }).collect(),
    }
}

/// The metadata of each ONNX file.
fn metadata<B: Backend>(loaded: &LoadedModel<B>) -> Result<Vec<(String, String)>> {
    let provenance = &loaded.header.provenance;
    let entries = [
        ("notice", format!("{LABEL}: whatever this model draws is synthetic. No patient was imaged.")),
        ("digital_source_type", DIGITAL_SOURCE_TYPE.to_owned()),
        ("software", SOFTWARE.to_owned()),
        ("weights", provenance.name.clone()),
        ("weights_sha256", loaded.sha256.clone()),
        ("training_seed", provenance.seed.to_string()),
        ("license", provenance.license.clone()),
        ("provenance", serde_json::to_string(provenance)?),
        ("config", serde_json::to_string(&loaded.header.config)?),
        ("sampling", serde_json::to_string(&loaded.model.sampling)?),
    ];
    Ok(entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
}

fn schedule<B: Backend>(loaded: &LoadedModel<B>) -> serde_json::Value {
    let config = &loaded.header.config;
    let times: Vec<f64> = (0..=TABLE_STEPS).map(|i| i as f64 / TABLE_STEPS as f64).collect();
    let bands: Vec<serde_json::Value> = (loaded.model.schedules.iter().zip(config.band_dims()))
        .map(|(schedule, dim)| {
            let gammas: Vec<f64> = times.iter().map(|&t| schedule.gamma(t)).collect();
            json!({ "dim": dim, "gamma_min": schedule.gamma_min, "gamma_max": schedule.gamma_max, "gamma": gammas })
        })
        .collect();
    json!({
        "notice": LABEL,
        "software": SOFTWARE,
        "weights_sha256": loaded.sha256,
        "provenance": loaded.header.provenance,
        "height": config.height,
        "width": config.width,
        "latent_dim": config.latent_dim(),
        "classes": config.classes().count(),
        "context_gamma": loaded.model.sampling.context_gamma,
        "t": times,
        "bands": bands,
        "sampling": SAMPLING,
    })
}
