//! The networks of a model of bands as ONNX graphs: what `vdm::autoencoder::lapped` and `vdm::diffusion::score_net` compute
//! on tokens.

use anyhow::{Context, Result};
use vdm::autoencoder::lapped::{context, gather, matrix, scatter};
use vdm::config::{BandsConfig, COARSE_CHANNELS, CONTEXT_CHANNELS, FINE_CHANNELS, ModelConfig, PATCH};
use vdm::diffusion::score_net::LOG_RATIO;
use vdm::model::band_grid;

use super::graph::{Graph, Name};
use super::on_patches::{OnPatches, table};
use super::proto::AttributeProto;

/// [`matrix`] as a constant `[size, size]`, transposed on request.
fn transform(graph: &mut Graph<'_>, size: usize, transposed: bool) -> Result<Name> {
    let values: Vec<f32> = matrix(size, PATCH).into_iter().map(|value| value as f32).collect();
    let values =
        if transposed { (0..size * size).map(|i| values[i % size * size + i / size]).collect() } else { values };
    graph.constant(&format!("transform.{size}.{transposed}"), &[size, size], &values)
}

/// What the numbers of f are multiplied by, `[D]`.
fn scales(graph: &mut Graph<'_>, config: &ModelConfig, bands: &BandsConfig) -> Result<Name> {
    let dims = config.band_dims();
    let of = |band: usize, scale: f64| vec![scale as f32; dims[band]];
    let values = [of(0, bands.coarse.scale), of(1, bands.fine.scale)].concat();
    graph.constant("scales", &[values.len()], &values)
}

/// The means of the numbers of f, `[D]`: zeros in the fine band.
fn mean(graph: &mut Graph<'_>, config: &ModelConfig) -> Result<Name> {
    let coarse = graph.parameter("decoder.mean")?;
    let fine = vec![0.0; config.band_dims()[1]];
    let fine = graph.constant("mean.fine", &[fine.len()], &fine)?;
    Ok(graph.node_with("Concat", &[&coarse, &fine], "latent.mean", vec![AttributeProto::int("axis", 0)]))
}

/// f `[batch, D]` → the image `[batch, H·W]`, in [0, 1].
pub fn decoder(graph: &mut Graph<'_>, config: &ModelConfig, bands: &BandsConfig, f: &str) -> Result<Name> {
    let grid = config.patch_grid();
    let coarse = config.band_dims()[0];
    let scales = scales(graph, config, bands)?;
    let mean = mean(graph, config)?;
    let f = graph.node("Add", &[f, &mean], "decoder.with_mean");
    let f = graph.node("Div", &[&f, &scales], "decoder.coefficients");
    let mut on = OnPatches { graph, grid };
    let places = table(config.latent_dim(), 1, |f| {
        scatter(f.clone().narrow(1, 0, coarse), f.narrow(1, coarse, config.latent_dim() - coarse), grid)
    })?;
    let y = on.choose(&f, "table.scatter", &places, "decoder.places");
    let y = on.reshape(&y, &[config.height, config.width], "decoder.plane");
    let (left, right) = (transform(on.graph, config.height, true)?, transform(on.graph, config.width, false)?);
    let x = on.graph.node("MatMul", &[&left, &y], "decoder.rows");
    let x = on.graph.node("MatMul", &[&x, &right], "decoder.columns");
    let x = on.reshape(&x, &[config.pixels()], "decoder.image");
    let (zero, half, one) = (on.scalar("zero", 0.0)?, on.scalar("half", 0.5)?, on.scalar("one", 1.0)?);
    let x = on.graph.node("Add", &[&x, &half], "decoder.unclipped");
    Ok(on.graph.node("Clip", &[&x, &zero, &one], "decoder.clipped"))
}

/// x `[batch, H·W]` → f `[batch, D]`.
pub fn encoder(graph: &mut Graph<'_>, config: &ModelConfig, bands: &BandsConfig, x: &str) -> Result<Name> {
    let grid = config.patch_grid();
    let half = graph.constant("half", &[], &[0.5])?;
    let centred = graph.node("Sub", &[x, &half], "encoder.centred");
    let mean = mean(graph, config)?;
    let scales = scales(graph, config, bands)?;
    let mut on = OnPatches { graph, grid };
    let x = on.reshape(&centred, &[config.height, config.width], "encoder.image");
    let (left, right) = (transform(on.graph, config.height, false)?, transform(on.graph, config.width, true)?);
    let y = on.graph.node("MatMul", &[&left, &x], "encoder.rows");
    let y = on.graph.node("MatMul", &[&y, &right], "encoder.plane");
    let y = on.reshape(&y, &[config.pixels()], "encoder.places");
    let places = table(config.pixels(), 1, |y| burn::tensor::Tensor::cat(gather(y, grid).into(), 1))?;
    let f = on.choose(&y, "table.gather", &places, "encoder.coefficients");
    let f = on.graph.node("Mul", &[&f, &scales], "encoder.scaled");
    Ok(on.graph.node("Sub", &[&f, &mean], "encoder.f"))
}

/// 1 / (1 + e^x). ONNX Runtime's own sigmoid is right to 1e-7 of 1, which is no digit of σ² at γ_min.
fn reciprocal_of_one_plus_exp(on: &mut OnPatches<'_, '_>, x: &str, name: &str) -> Result<Name> {
    let one = on.scalar("one", 1.0)?;
    let exp = on.graph.node("Exp", &[x], &format!("{name}.exp"));
    let sum = on.graph.node("Add", &[&exp, &one], &format!("{name}.sum"));
    Ok(on.graph.node("Div", &[&one, &sum], name))
}

/// α² s² + σ².
fn variance(on: &mut OnPatches<'_, '_>, [s, alpha_squared, sigma_squared]: [&str; 3], name: &str) -> Name {
    let square = on.graph.node("Mul", &[s, s], &format!("{name}.s.squared"));
    let signal = on.graph.node("Mul", &[&square, alpha_squared], &format!("{name}.signal"));
    on.graph.node("Add", &[&signal, sigma_squared], &format!("{name}.variance"))
}

/// ε̂ of a band, `[batch, D]`: see `ScoreNet::forward`. `coarse` is the noisy coarse band that the fine one is given.
pub fn score_net(
    graph: &mut Graph<'_>,
    config: &ModelConfig,
    band: usize,
    [z, gamma, condition]: [&str; 3],
    coarse: Option<&str>,
) -> Result<Name> {
    let bands = config.bands.as_ref().context("the model has no bands")?;
    let (of, channels, path) = match band {
        0 => (&bands.coarse, COARSE_CHANNELS, "score_net.net"),
        _ => (&bands.fine, FINE_CHANNELS, "fine.score_net.net"),
    };
    let grid = band_grid(config, band);
    let mut on = OnPatches { graph, grid };
    let s = on.graph.parameter(&format!("{path}.deviations"))?;
    let negative = on.graph.node("Neg", &[gamma], "gamma.negative");
    let sigma_squared = reciprocal_of_one_plus_exp(&mut on, &negative, "sigma.squared")?; // [batch, 1]
    let alpha_squared = reciprocal_of_one_plus_exp(&mut on, gamma, "alpha.squared")?;
    let axes = on.graph.integers("axes.1", &[1]);
    let [alpha_squared, sigma_squared] = [alpha_squared, sigma_squared]
        .map(|value| on.graph.node("Unsqueeze", &[&value, &axes], &format!("{value}.of_tokens"))); // [batch, 1, 1]
    let alpha = on.graph.node("Sqrt", &[&alpha_squared], "alpha");
    let sigma = on.graph.node("Sqrt", &[&sigma_squared], "sigma");
    let expected = variance(&mut on, [&s, &alpha_squared, &sigma_squared], "expected");
    let deviation = on.graph.node("Sqrt", &[&expected], "expected.deviation");
    let z = on.reshape(z, &[grid.patches(), channels], "z.tokens");
    let beside_images = on.graph.node("Div", &[&z, &deviation], "z.beside_images");
    let square = on.graph.node("Mul", &[&z, &z], "z.squared");
    let power = on.graph.node("Add", &[&square, &sigma_squared], "z.power");
    let root = on.graph.node("Sqrt", &[&power], "z.root");
    let beside_noise = on.graph.node("Div", &[&z, &root], "z.beside_noise");
    let beside_images = on.reshape(&beside_images, &[channels], "z.beside_images.tokens");
    let beside_noise = on.reshape(&beside_noise, &[channels], "z.beside_noise.tokens");
    let mut input = on.graph.concat(&beside_images, &beside_noise, "input.tokens");
    if let Some(coarse) = coarse {
        let dim = config.band_dims()[0];
        let mean = on.graph.parameter("decoder.mean")?;
        let coarse = on.graph.node("Add", &[coarse, &mean], "context.with_mean");
        let places = table(dim, 1, |coarse| {
            let [count, channels] = [grid.patches(), CONTEXT_CHANNELS];
            context(coarse, grid).reshape([1, count * channels])
        })?;
        let values = on.choose(&coarse, "table.context", &places, "context.places");
        let values = on.reshape(&values, &[CONTEXT_CHANNELS], "context.tokens");
        input = on.graph.concat(&input, &values, "input.with_context");
    }
    let output = on.net(&input, condition, of, &format!("{path}.net"))?;
    let columns = |from: usize| (from..from + channels).map(|i| i as i64).collect::<Vec<_>>();
    let f = on.choose(&output, &format!("table.f.{channels}"), &columns(0), "output.f");
    let log_ratio = on.choose(&output, &format!("table.log_ratio.{channels}"), &columns(channels), "output.log_ratio");
    let f = on.reshape(&f, &[grid.patches(), channels], "f.tokens");
    let log_ratio = on.reshape(&log_ratio, &[grid.patches(), channels], "log_ratio.tokens");
    let (least, greatest) = LOG_RATIO;
    let (least, greatest) =
        (on.scalar("log_ratio.least", least.into())?, on.scalar("log_ratio.greatest", greatest.into())?);
    let log_ratio = on.graph.node("Clip", &[&log_ratio, &least, &greatest], "log_ratio.clipped");
    let ratio = on.graph.node("Exp", &[&log_ratio], "s.ratio");
    let s = on.graph.node("Mul", &[&s, &ratio], "s.here"); // [batch, P, C]
    let here = variance(&mut on, [&s, &alpha_squared, &sigma_squared], "here");
    let deviation = on.graph.node("Sqrt", &[&here], "here.deviation");
    let kept = on.graph.node("Mul", &[&z, &sigma], "z.sigma");
    let kept = on.graph.node("Div", &[&kept, &here], "epsilon.of_z");
    let change = on.graph.node("Mul", &[&f, &s], "f.s");
    let change = on.graph.node("Mul", &[&change, &alpha], "f.s.alpha");
    let change = on.graph.node("Div", &[&change, &deviation], "epsilon.of_f");
    let epsilon = on.graph.node("Sub", &[&kept, &change], "epsilon.tokens");
    Ok(on.reshape(&epsilon, &[grid.patches() * channels], "epsilon.flat"))
}
