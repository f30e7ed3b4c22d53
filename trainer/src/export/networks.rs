//! Our three networks as ONNX graphs: what `vdm::nn` and `vdm::model` compute, operation by operation.

use anyhow::Result;
use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Tensor, backend::Backend};
use vdm::config::ModelConfig;
use vdm::model::Networks;
use vdm::schedule::NoiseSchedule;

use super::graph::{Graph, Parameter, Parameters};
use super::proto::{ElementType, GraphProto};

/// What `vdm::nn` multiplies an encoder's input by is this over the number of pixels, at most 1.
const ENCODER_INPUT_SCALE: f64 = 1280.0;

/// f `[batch, D]` → logits and mean `[batch, H·W]`.
pub fn decoder(config: &ModelConfig, parameters: &Parameters) -> Result<GraphProto> {
    let mut graph = Graph::new("decoder", parameters);
    let f = graph.input("f", ElementType::Float, Some(config.latent_dim), "Clean latent: z_0 / alpha_0.");
    let logits = graph.res_net(&config.decoder, &f, None, "decoder.net")?;
    let mean = graph.node("Sigmoid", &[&logits], "decoder.mean");
    let pixels = config.pixels();
    graph.output(&logits, "logits", pixels, "Logits of an independent Bernoulli distribution a pixel, row by row.");
    graph.output(&mean, "mean", pixels, "Its mean: grey values in [0, 1].");
    Ok(graph.finish())
}

/// x `[batch, H·W]` → f `[batch, D]`.
pub fn encoder(config: &ModelConfig, parameters: &Parameters) -> Result<GraphProto> {
    let mut graph = Graph::new("encoder", parameters);
    let x = graph.input("x", ElementType::Float, Some(config.pixels()), "Grey values in [0, 1], row by row.");
    let mean = graph.parameter("encoder.mean")?;
    let scale = (ENCODER_INPUT_SCALE / config.pixels() as f64).min(1.0) as f32;
    let scale = graph.constant("encoder.input_scale", &[], &[scale])?;
    let centred = graph.node("Sub", &[&x, &mean], "encoder.centred");
    let scaled = graph.node("Mul", &[&centred, &scale], "encoder.scaled");
    let f = graph.res_net(&config.encoder, &scaled, None, "encoder.net")?;
    graph.output(&f, "f", config.latent_dim, "The latent.");
    Ok(graph.finish())
}

/// z `[batch, D]`, γ `[batch]` and, with classes, a label `[batch]` → ε̂ `[batch, D]`.
pub fn score_net(config: &ModelConfig, schedule: &NoiseSchedule, parameters: &Parameters) -> Result<GraphProto> {
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
    let frequencies = frequencies(config.score_net.embedding_dim);
    let frequencies = graph.constant("frequencies", &[1, frequencies.len()], &frequencies)?;
    let arguments = graph.node("Mul", &[&tau, &frequencies], "time.arguments"); // [batch, E/2]
    let sines = graph.node("Sin", &[&arguments], "time.sines");
    let cosines = graph.node("Cos", &[&arguments], "time.cosines");
    let mut condition = graph.concat(&sines, &cosines, "time"); // [batch, E]

    if let Some(classes) = classes {
        let table = graph.parameter("score_net.class_embedding")?;
        let embedded = graph.rows(&table, &classes, "class.embedded");
        condition = graph.concat(&condition, &embedded, "condition.input"); // [batch, 2E]
    }
    for i in [1, 2] {
        condition = graph.dense(&condition, &format!("score_net.condition_{i}"))?;
        condition = graph.silu(&condition, &format!("score_net.condition_{i}.silu"));
    }
    condition = graph.dense(&condition, "score_net.condition_3")?;

    let change = graph.res_net(&config.score_net.blocks(), &z, Some(&condition), "score_net.net")?;
    let epsilon = graph.node("Add", &[&z, &change], "score_net.epsilon");
    graph.output(&epsilon, "epsilon", config.latent_dim, "The noise that is predicted to be in z.");
    Ok(graph.finish())
}

/// 1000 · frequency of the time embedding, as `vdm::nn::time_embedding` has them: base 10000, over E/2 − 1.
fn frequencies(embedding_dim: usize) -> Vec<f32> {
    let half = embedding_dim / 2;
    let scale = -(10_000f64.ln()) / (half as f64 - 1.0);
    (0..half).map(|i| (1000.0 * (scale * i as f64).exp()) as f32).collect()
}

/// Every parameter of the networks by its name in the file of weights.
///
/// # Errors
/// The device cannot be read.
pub fn parameters<B: Backend>(networks: &Networks<B>) -> Result<Parameters> {
    let mut collector = Collector::default();
    networks.visit(&mut collector);
    match collector.error {
        Some(error) => Err(anyhow::anyhow!("cannot read the weights from the device: {error}")),
        None => Ok(collector.parameters),
    }
}

#[derive(Default)]
struct Collector {
    path: Vec<String>,
    parameters: Parameters,
    error: Option<String>,
}

impl<B: Backend> ModuleVisitor<B> for Collector {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<B, D>>) {
        match param.val().try_into_data() {
            Ok(data) => {
                let parameter = Parameter { shape: param.dims().to_vec(), values: data.iter::<f32>().collect() };
                self.parameters.insert(self.path.join("."), parameter);
            }
            Err(error) => self.error = Some(format!("{error:?}")),
        }
    }
}
