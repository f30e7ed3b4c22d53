//! The networks as ONNX graphs: what `vdm::autoencoder` and `vdm::diffusion::score_net` compute, operation by operation.

use anyhow::{Context, Result};
use vdm::autoencoder::dense::INPUT_SCALE;
use vdm::config::{CONTEXT_GAMMA, LatentConfig, ModelConfig};
use vdm::diffusion::schedule::NoiseSchedule;
use vdm::math;

use super::bands;
use super::graph::{Graph, Name, Parameters};
use super::proto::{ElementType, GraphProto};

/// f `[batch, D]` → the mean image `[batch, H·W]`, and its logits where the decoder is learned.
pub fn decoder(config: &ModelConfig, parameters: &Parameters) -> Result<GraphProto> {
    let mut graph = Graph::new("decoder", parameters);
    let f = graph.input("f", ElementType::Float, Some(config.latent_dim()), "Clean latent: z_0 / alpha_0.");
    let pixels = config.pixels();
    let mean = match (&config.latent, &config.bands) {
        (Some(latent), _) => {
            let logits = graph.res_net(&latent.decoder, &f, None, "decoder.net")?;
            let doc = "Logits of an independent Bernoulli distribution per pixel, row by row.";
            graph.output(&logits, "logits", pixels, doc);
            graph.node("Sigmoid", &[&logits], "decoder.mean")
        }
        (None, of) => bands::decoder(&mut graph, config, of.as_ref().context("no bands")?, &f)?,
    };
    graph.output(&mean, "mean", pixels, "The image: grey values in [0, 1].");
    Ok(graph.finish())
}

/// x `[batch, H·W]` → f `[batch, D]`.
pub fn encoder(config: &ModelConfig, parameters: &Parameters) -> Result<GraphProto> {
    let mut graph = Graph::new("encoder", parameters);
    let x = graph.input("x", ElementType::Float, Some(config.pixels()), "Grey values in [0, 1], row by row.");
    let f = match (&config.latent, &config.bands) {
        (Some(latent), _) => dense_encoder(&mut graph, latent, config.pixels(), &x)?,
        (None, of) => bands::encoder(&mut graph, config, of.as_ref().context("no bands")?, &x)?,
    };
    graph.output(&f, "f", config.latent_dim(), "The latent.");
    Ok(graph.finish())
}

fn dense_encoder(graph: &mut Graph<'_>, latent: &LatentConfig, pixels: usize, x: &str) -> Result<Name> {
    let mean = graph.parameter("encoder.mean")?;
    let scale = (INPUT_SCALE / pixels as f64).min(1.0) as f32;
    let scale = graph.constant("encoder.input_scale", &[], &[scale])?;
    let centred = graph.node("Sub", &[x, &mean], "encoder.centred");
    let scaled = graph.node("Mul", &[&centred, &scale], "encoder.scaled");
    graph.res_net(&latent.encoder, &scaled, None, "encoder.net")
}

/// Sines and cosines of 1000 τ · frequency, of τ = (γ − min) / (max − min) for γ `[batch, 1]`: `[batch, E]`.
fn embedded(graph: &mut Graph<'_>, gamma: &str, range: [f64; 2], dim: usize, name: &str) -> Result<Name> {
    let [min, max] = range;
    let minimum = graph.constant(&format!("{name}.min"), &[], &[min as f32])?;
    let range = graph.constant(&format!("{name}.range"), &[], &[(max - min) as f32])?;
    let above = graph.node("Sub", &[gamma, &minimum], &format!("{name}.above"));
    let tau = graph.node("Div", &[&above, &range], &format!("{name}.tau"));
    let frequencies: Vec<f32> = math::embedding_frequencies(dim).map(|w| (1000.0 * w) as f32).collect();
    let frequencies = graph.constant("frequencies", &[1, frequencies.len()], &frequencies)?;
    let arguments = graph.node("Mul", &[&tau, &frequencies], &format!("{name}.arguments")); // [batch, E/2]
    let sines = graph.node("Sin", &[&arguments], &format!("{name}.sines"));
    let cosines = graph.node("Cos", &[&arguments], &format!("{name}.cosines"));
    Ok(graph.concat(&sines, &cosines, &format!("{name}.embedded")))
}

/// The condition of the network `of`: its embedded time and class, through three dense layers.
fn condition(graph: &mut Graph<'_>, embedded: &str, classes: Option<&str>, of: &str) -> Result<Name> {
    let mut condition = embedded.to_owned();
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

/// z `[batch, D]` of a band, γ `[batch]` and, with classes, a label `[batch]` → ε̂ `[batch, D]`. The fine band also takes the
/// noisy coarse band and the γ of its noise.
pub fn score_net(
    config: &ModelConfig,
    band: usize,
    schedule: &NoiseSchedule,
    parameters: &Parameters,
) -> Result<GraphProto> {
    let (name, of) = [("score-net", "score_net"), ("score-net-fine", "fine.score_net")][band.min(1)];
    let mut graph = Graph::new(name, parameters);
    let dim = config.band_dims()[band];
    let z = graph.input("z", ElementType::Float, Some(dim), "Latent at the noise of gamma.");
    let gamma = graph.input("gamma", ElementType::Float, None, "-log of the signal-to-noise ratio.");
    let context = (band > 0).then(|| {
        let doc = "The coarse band at the noise of coarse_gamma.";
        let coarse = graph.input("coarse", ElementType::Float, Some(config.band_dims()[0]), doc);
        let doc = "-log of the signal-to-noise ratio of coarse, from -10 to -2.";
        (coarse, graph.input("coarse_gamma", ElementType::Float, None, doc))
    });
    let count = config.classes().count();
    let classes = (count > 0).then(|| {
        let doc = format!("Numbers of classes from 0 to {}; {count} stands for no class.", count - 1);
        graph.input("class", ElementType::Int64, None, &doc)
    });
    let embedding = match (&config.latent, &config.bands) {
        (Some(latent), _) => latent.score_net.embedding_dim,
        (None, bands) => {
            let bands = bands.as_ref().context("no bands")?;
            [&bands.coarse, &bands.fine][band.min(1)].embedding_dim
        }
    };
    let gamma = graph.column(&gamma, "gamma.column"); // [batch, 1]
    let range = [schedule.gamma_min, schedule.gamma_max];
    let mut inputs = embedded(&mut graph, &gamma, range, embedding, "time")?;
    if let Some((_, gamma)) = &context {
        let gamma = graph.column(gamma, "coarse_gamma.column");
        let of_context = embedded(&mut graph, &gamma, CONTEXT_GAMMA.into(), embedding, "context")?;
        inputs = graph.concat(&inputs, &of_context, "embedded");
    }
    let condition = condition(&mut graph, &inputs, classes.as_deref(), of)?;
    let epsilon = match &config.latent {
        Some(latent) => {
            let change = graph.res_net(&latent.score_net.blocks(), &z, Some(&condition), "score_net.net")?;
            graph.node("Add", &[&z, &change], "score_net.epsilon")
        }
        None => {
            let coarse = context.as_ref().map(|(coarse, _)| coarse.as_str());
            bands::score_net(&mut graph, config, band, [&z, &gamma, &condition], coarse)?
        }
    };
    graph.output(&epsilon, "epsilon", dim, "The noise that is predicted to be in z.");
    Ok(graph.finish())
}
