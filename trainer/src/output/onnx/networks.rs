//! The three networks as ONNX graphs: what `vdm::autoencoder` and `vdm::diffusion::score_net` compute, operation by
//! operation.

use anyhow::Result;
use vdm::autoencoder::dense::INPUT_SCALE;
use vdm::autoencoder::grain::noise_len;
use vdm::config::{ModelConfig, SamplingConfig};
use vdm::diffusion::schedule::NoiseSchedule;
use vdm::math;

use super::graph::{Graph, Name, Parameters};
use super::patches;
use super::proto::{ElementType, GraphProto};

/// f `[batch, D]` → logits and mean `[batch, H·W]`, and with grain, from noise, an image.
pub fn decoder(config: &ModelConfig, sampling: &SamplingConfig, parameters: &Parameters) -> Result<GraphProto> {
    let mut graph = Graph::new("decoder", parameters);
    let f = graph.input("f", ElementType::Float, Some(config.latent_dim), "Clean latent: z_0 / alpha_0.");
    let pixels = config.pixels();
    if let Some(grid) = config.grid() {
        let doc = "Standard normal numbers that grain is drawn from.";
        let noise =
            config.grain.then(|| graph.input("noise", ElementType::Float, Some(noise_len(config, sampling)), doc));
        let [logits, mean, image] = patches::decoder(&mut graph, config, sampling, grid, &f, noise.as_deref())?;
        graph.output(&logits, "logits", pixels, LOGITS);
        graph.output(&mean, "mean", pixels, "The mean image: grey values in [0, 1].");
        graph.output(&image, "image", pixels, "The image: its mean and the grain, in [0, 1].");
        return Ok(graph.finish());
    }
    let logits = graph.res_net(&config.decoder, &f, None, "decoder.net")?;
    let mean = graph.node("Sigmoid", &[&logits], "decoder.mean");
    graph.output(&logits, "logits", pixels, LOGITS);
    graph.output(&mean, "mean", pixels, "Its mean: grey values in [0, 1].");
    Ok(graph.finish())
}

const LOGITS: &str = "Logits of an independent Bernoulli distribution per pixel, row by row.";

/// x `[batch, H·W]` → f `[batch, D]`.
pub fn encoder(config: &ModelConfig, parameters: &Parameters) -> Result<GraphProto> {
    let mut graph = Graph::new("encoder", parameters);
    let x = graph.input("x", ElementType::Float, Some(config.pixels()), "Grey values in [0, 1], row by row.");
    let f = match config.grid() {
        Some(grid) => patches::encoder(&mut graph, config, grid, &x)?,
        None => dense_encoder(&mut graph, config, &x)?,
    };
    graph.output(&f, "f", config.latent_dim, "The latent.");
    Ok(graph.finish())
}

fn dense_encoder(graph: &mut Graph<'_>, config: &ModelConfig, x: &str) -> Result<Name> {
    let mean = graph.parameter("encoder.mean")?;
    let scale = (INPUT_SCALE / config.pixels() as f64).min(1.0) as f32;
    let scale = graph.constant("encoder.input_scale", &[], &[scale])?;
    let centred = graph.node("Sub", &[x, &mean], "encoder.centred");
    let scaled = graph.node("Mul", &[&centred, &scale], "encoder.scaled");
    graph.res_net(&config.encoder, &scaled, None, "encoder.net")
}

/// The condition of the network `of`: its embedded time and class, through three dense layers.
fn condition(graph: &mut Graph<'_>, time: &str, classes: Option<&str>, of: &str) -> Result<Name> {
    let mut condition = time.to_owned();
    if let Some(classes) = classes {
        let table = graph.parameter(&format!("{of}.class_embedding"))?;
        let embedded = graph.rows(&table, classes, &format!("{of}.class.embedded"));
        condition = graph.concat(&condition, &embedded, &format!("{of}.condition.input")); // [batch, 2E]
    }
    for i in [1, 2] {
        condition = graph.dense(&condition, &format!("{of}.condition_{i}"))?;
        condition = graph.silu(&condition, &format!("{of}.condition_{i}.silu"));
    }
    graph.dense(&condition, &format!("{of}.condition_3"))
}

/// z `[batch, D]`, γ `[batch]` and, with classes, a label `[batch]` → ε̂ `[batch, D]`.
pub fn score_net(
    config: &ModelConfig,
    sampling: &SamplingConfig,
    schedule: &NoiseSchedule,
    parameters: &Parameters,
) -> Result<GraphProto> {
    let mut graph = Graph::new("score-net", parameters);
    let z = graph.input("z", ElementType::Float, Some(config.latent_dim), "Latent at the noise of gamma.");
    let gamma = graph.input("gamma", ElementType::Float, None, "-log of the signal-to-noise ratio.");
    let classes = (config.classes > 0).then(|| {
        let doc = format!("Labels from 0 to {}; {} stands for no class.", config.classes - 1, config.classes);
        graph.input("class", ElementType::Int64, None, &doc)
    });

    // τ = (γ − γ_min) / (γ_max − γ_min), then sines and cosines of 1000 τ · frequency.
    let gamma = graph.column(&gamma, "gamma.column"); // [batch, 1]
    let minimum = graph.constant("gamma_min", &[], &[schedule.gamma_min as f32])?;
    let range = graph.constant("gamma_range", &[], &[(schedule.gamma_max - schedule.gamma_min) as f32])?;
    let above = graph.node("Sub", &[&gamma, &minimum], "gamma.above");
    let tau = graph.node("Div", &[&above, &range], "tau");
    let frequencies: Vec<f32> =
        math::embedding_frequencies(config.score_net.embedding_dim).map(|w| (1000.0 * w) as f32).collect();
    let frequencies = graph.constant("frequencies", &[1, frequencies.len()], &frequencies)?;
    let arguments = graph.node("Mul", &[&tau, &frequencies], "time.arguments"); // [batch, E/2]
    let sines = graph.node("Sin", &[&arguments], "time.sines");
    let cosines = graph.node("Cos", &[&arguments], "time.cosines");
    let time = graph.concat(&sines, &cosines, "time"); // [batch, E]
    let of_score_net = condition(&mut graph, &time, classes.as_deref(), "score_net")?;
    let of_coarse = config.coarse().map(|_| condition(&mut graph, &time, classes.as_deref(), "coarse")).transpose()?;

    let epsilon = match config.grid() {
        Some(grid) => {
            patches::score_net(&mut graph, config, sampling, grid, [&z, &gamma, &of_score_net], of_coarse.as_deref())?
        }
        None => {
            let change = graph.res_net(&config.score_net.blocks(), &z, Some(&of_score_net), "score_net.net")?;
            graph.node("Add", &[&z, &change], "score_net.epsilon")
        }
    };
    graph.output(&epsilon, "epsilon", config.latent_dim, "The noise that is predicted to be in z.");
    Ok(graph.finish())
}
