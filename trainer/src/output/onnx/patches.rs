//! Networks on patches as ONNX graphs: what `vdm::autoencoder` and `vdm::diffusion::score_net` compute on a patch grid.

use anyhow::Result;
use vdm::autoencoder::grain::{
    CELLS, LN_PIVOT, MAX_ABOVE_PIVOT, MIN_STRUCTURE, SMOOTHING, interpolation, noise_len, smoothing,
};
use vdm::autoencoder::lapped;
use vdm::autoencoder::lapped::LN_DEVIATION;
use vdm::autoencoder::patches::{DECODER_RESIDUAL, ENCODER_RESIDUAL, INPUT_SCALE, MIN_ENERGY, MIN_MEAN};
use vdm::config::{GAUSSIAN_CHANNELS, ModelConfig, PatchGrid, SamplingConfig};
use vdm::diffusion::score_net::MIN_ALPHA;

use super::graph::{Graph, Name};
use super::on_patches::OnPatches;
use super::proto::AttributeProto;

/// Grain.
impl OnPatches<'_, '_> {
    /// What grain is multiplied by where the mean image `[batch, H·W]` has fine structure.
    fn structure(&mut self, mean: &str) -> Result<Name> {
        let [fine, near, around] = SMOOTHING;
        let smooth = self.smoothed(mean, fine, "grain.structure.smooth")?;
        let rest = self.graph.node("Sub", &[mean, &smooth], "grain.structure.fine");
        let power = self.graph.node("Mul", &[&rest, &rest], "grain.structure.power");
        let least = self.scalar("grain.structure.least", MIN_STRUCTURE)?;
        let [near, about] = [(near, "grain.structure.near"), (around, "grain.structure.around")].map(
            |(deviation, name)| -> Result<Name> {
                let smooth = self.smoothed(&power, deviation, name)?;
                Ok(self.graph.node("Add", &[&smooth, &least], &format!("{name}.more")))
            },
        );
        let ratio = self.graph.node("Div", &[&near?, &about?], "grain.structure.ratio");
        let mean = self.smoothed(&ratio, around, "grain.structure.ratio.smooth")?;
        let square = self.graph.node("Div", &[&ratio, &mean], "grain.structure.square");
        Ok(self.graph.node("Sqrt", &[&square], "grain.structure"))
    }

    /// An image `[batch, H·W]` smoothed by a standard deviation in patches.
    fn smoothed(&mut self, image: &str, deviation: f64, name: &str) -> Result<Name> {
        let PatchGrid { rows, columns, patch } = self.grid;
        let sides @ [height, width] = [rows, columns].map(|patches| patches * patch);
        let deviation = deviation * patch as f64;
        // Rows multiply from the left; columns from the right, by the transposed matrix.
        let [down, across] = sides.map(|side| smoothing(side, deviation));
        let across: Vec<f32> = (0..width * width).map(|i| across[i % width * width + i / width]).collect();
        let down = self.graph.constant(&format!("smoothing.{deviation}.down"), &[height, height], &down)?;
        let across = self.graph.constant(&format!("smoothing.{deviation}.across"), &[width, width], &across)?;
        let image = self.reshape(image, &[height, width], &format!("{name}.image"));
        let image = self.graph.node("MatMul", &[&down, &image], &format!("{name}.rows"));
        let image = self.graph.node("MatMul", &[&image, &across], &format!("{name}.columns"));
        Ok(self.reshape(&image, &[height * width], name))
    }

    /// ln s `[batch · tokens, area]` with more contrast among patches.
    fn contrasted(&mut self, ln_s: &str, area: usize, contrast: f64) -> Result<Name> {
        let axes = self.graph.integers("axes.1", &[1]);
        let keep = vec![AttributeProto::int("keepdims", 1)];
        let sum = self.graph.node_with("ReduceSum", &[ln_s, &axes], "grain.contrast.sum", keep);
        let mean = self.scaled(&sum, 1.0 / area as f64, "grain.contrast.mean")?;
        let pivot = self.scalar("grain.contrast.pivot", LN_PIVOT)?;
        let above = self.graph.node("Sub", &[&mean, &pivot], "grain.contrast.above");
        let most = self.scalar("grain.contrast.most", MAX_ABOVE_PIVOT)?;
        let above = self.graph.node("Min", &[&above, &most], "grain.contrast.counted");
        let change = self.scaled(&above, contrast, "grain.contrast")?;
        Ok(self.graph.node("Add", &[ln_s, &change], "grain.contrasted"))
    }

    /// What grain is multiplied by, `[batch, H·W]`, of the numbers of n.
    fn local_strength(&mut self, n: &str, spread: f64) -> Result<Name> {
        let PatchGrid { rows, columns, patch } = self.grid;
        let (height, width, down, across) = (rows * patch, columns * patch, rows * CELLS, columns * CELLS);
        let n = self.reshape(n, &[down, across], "grain.n.cells");
        let to_rows = self.graph.constant("grain.to_rows", &[height, down], &interpolation(rows, patch))?;
        let to_columns = self.graph.constant("grain.to_columns", &[width, across], &interpolation(columns, patch))?;
        let order = vec![AttributeProto::ints("perm", &[1, 0])];
        let to_columns = self.graph.node_with("Transpose", &[&to_columns], "grain.to_columns.transposed", order);
        let n = self.graph.node("MatMul", &[&to_rows, &n], "grain.n.rows");
        let n = self.graph.node("MatMul", &[&n, &to_columns], "grain.n.pixels");
        let n = self.reshape(&n, &[height * width], "grain.n.image");
        let n = self.scaled(&n, spread, "grain.ln_strength.part")?;
        let mean = self.scalar("grain.ln_strength.mean", spread * spread)?;
        let ln = self.graph.node("Sub", &[&n, &mean], "grain.ln_strength");
        Ok(self.graph.node("Exp", &[&ln], "grain.strength"))
    }
}

/// f `[batch, D]` and standard noise for grain, if there is grain, `[batch, noise_len]` → logits, mean image and image
/// `[batch, H·W]`.
pub fn decoder(
    graph: &mut Graph<'_>,
    config: &ModelConfig,
    sampling: &SamplingConfig,
    grid: PatchGrid,
    f: &str,
    noise: Option<&str>,
) -> Result<[Name; 3]> {
    let mut on = OnPatches { graph, grid };
    let tokens = on.reshape(f, &[config.latent_dim / grid.patches()], "decoder.tokens");
    let residual = on.net(&tokens, None, &config.decoder, "decoder.net")?;
    let residual = on.scaled(&residual, DECODER_RESIDUAL, "decoder.residual")?;
    let transform = on.graph.parameter("decoder.transform")?;
    let windows = on.graph.node("MatMul", &[&tokens, &transform], "decoder.transformed");
    let windows = on.graph.node("Add", &[&windows, &residual], "decoder.windows");
    let change = on.overlap_add(&windows, "decoder.change")?;
    let start = on.graph.parameter("decoder.mean")?;
    let mean = on.graph.node("Add", &[&change, &start], "decoder.mean_image");
    let (low, high) = (on.scalar("decoder.low", MIN_MEAN)?, on.scalar("decoder.high", 1.0 - MIN_MEAN)?);
    let possible = on.graph.node("Clip", &[&mean, &low, &high], "decoder.possible");
    let one = on.scalar("one", 1.0)?;
    let rest = on.graph.node("Sub", &[&one, &possible], "decoder.rest");
    let odds = on.graph.node("Div", &[&possible, &rest], "decoder.odds");
    let logits = on.graph.node("Log", &[&odds], "decoder.logits");
    let zero = on.scalar("zero", 0.0)?;
    let shown = on.graph.node("Clip", &[&mean, &zero, &one], "decoder.shown");
    let Some(noise) = noise else { return Ok([logits, shown.clone(), shown]) };
    let squares = on.graph.node("Mul", &[&tokens, &tokens], "decoder.grain.squares");
    let least = on.scalar("grain.least_energy", MIN_ENERGY)?;
    let energies = on.graph.node("Add", &[&squares, &least], "decoder.grain.energies");
    let energies = on.graph.node("Log", &[&energies], "decoder.grain.ln_energies");
    let change = on.net(&energies, None, &config.grain_blocks(), "decoder.grain.net")?;
    let start = on.graph.parameter("decoder.grain.start")?;
    let ln_s = on.graph.node("Add", &[&change, &start], "decoder.grain.sum");
    let (low, high) = (on.scalar("grain.low", LN_DEVIATION.0)?, on.scalar("grain.high", LN_DEVIATION.1)?);
    let ln_s = on.graph.node("Clip", &[&ln_s, &low, &high], "decoder.grain.ln_s");
    let area = grid.patch * grid.patch;
    let ln_s = if sampling.grain_contrast > 0.0 { on.contrasted(&ln_s, area, sampling.grain_contrast)? } else { ln_s };
    let s = on.graph.node("Exp", &[&ln_s], "decoder.grain.s");
    let (pixels, len) = (config.pixels(), noise_len(config, sampling));
    let of_coefficients = on.numbered(noise, 0..pixels, "grain.noise");
    let of_coefficients = on.reshape(&of_coefficients, &[area], "grain.noise.patches");
    let drawn = on.graph.node("Mul", &[&s, &of_coefficients], "grain.coefficients");
    // `[window, area]`, transposed.
    let synthesis = lapped::matrix(grid.patch);
    let transposed: Vec<f32> =
        (0..area).flat_map(|k| synthesis.chunks_exact(area).map(move |row| row[k]).collect::<Vec<_>>()).collect();
    let synthesis = on.graph.constant("grain.synthesis", &[area, grid.window()], &transposed)?;
    let windows = on.graph.node("MatMul", &[&drawn, &synthesis], "grain.windows");
    let mut grain = on.overlap_add(&windows, "grain.image")?;
    if sampling.grain_structure {
        let structure = on.structure(&mean)?;
        let uneven = on.graph.node("Mul", &[&grain, &structure], "grain.structured");
        let [of_even, of_uneven] = [(&grain, "grain.power.even"), (&uneven, "grain.power.uneven")].map(|(x, name)| {
            let squares = on.graph.node("Mul", &[x, x], &format!("{name}.squares"));
            let axes = on.graph.integers("axes.1", &[1]);
            on.graph.node_with("ReduceSum", &[&squares, &axes], name, vec![AttributeProto::int("keepdims", 1)])
        });
        let share = on.graph.node("Div", &[&of_even, &of_uneven], "grain.power.ratio");
        let share = on.graph.node("Sqrt", &[&share], "grain.power.scale");
        grain = on.graph.node("Mul", &[&uneven, &share], "grain.structured.whole");
    }
    if len > pixels {
        let n = on.numbered(noise, pixels..len, "grain.n");
        let strength = on.local_strength(&n, sampling.grain_spread)?;
        grain = on.graph.node("Mul", &[&grain, &strength], "grain.uneven");
    }
    let image = on.graph.node("Add", &[&mean, &grain], "decoder.with_grain");
    let image = on.graph.node("Clip", &[&image, &zero, &one], "decoder.image");
    Ok([logits, shown, image])
}

/// x `[batch, H·W]` → f `[batch, D]`.
pub fn encoder(graph: &mut Graph<'_>, config: &ModelConfig, grid: PatchGrid, x: &str) -> Result<Name> {
    let mut on = OnPatches { graph, grid };
    let mean = on.graph.parameter("encoder.mean")?;
    let centred = on.graph.node("Sub", &[x, &mean], "encoder.centred");
    let windows = on.windows(&centred, "encoder.windows")?;
    let scaled = on.scaled(&windows, INPUT_SCALE, "encoder.scaled")?;
    let residual = on.net(&scaled, None, &config.encoder, "encoder.net")?;
    let residual = on.scaled(&residual, ENCODER_RESIDUAL, "encoder.residual")?;
    let transform = on.graph.parameter("encoder.transform")?;
    let tokens = on.graph.node("MatMul", &[&windows, &transform], "encoder.transformed");
    let tokens = on.graph.node("Add", &[&tokens, &residual], "encoder.sum");
    Ok(on.reshape(&tokens, &[config.latent_dim], "encoder.f"))
}

/// z `[batch, D]`, γ `[batch, 1]` and the conditions of the ScoreNet and, where there is one, of the coarse network → ε̂
/// `[batch, D]`.
pub fn score_net(
    graph: &mut Graph<'_>,
    config: &ModelConfig,
    sampling: &SamplingConfig,
    grid: PatchGrid,
    [z, gamma, condition]: [&str; 3],
    of_coarse: Option<&str>,
) -> Result<Name> {
    let mut on = OnPatches { graph, grid };
    let channels = config.latent_dim / grid.patches();
    let minus = on.graph.node("Neg", &[gamma], "gamma.minus");
    let [alpha_2, sigma_2] =
        [(&*minus, "alpha_2"), (gamma, "sigma_2")].map(|(of, name)| on.graph.node("Sigmoid", &[of], name));
    let [alpha, sigma] =
        [(&alpha_2, "alpha"), (&sigma_2, "sigma")].map(|(of, name)| on.graph.node("Sqrt", &[of], name));
    let tokens = on.reshape(z, &[channels], "z.tokens");
    let (start, input) = if config.score_net.gaussian_rank == 0 {
        (on.graph.node("Mul", &[z, &sigma], "start"), tokens)
    } else {
        let predicted = gaussian(&mut on, config, sampling, z, [&alpha_2, &sigma_2, &alpha, &sigma], of_coarse)?;
        let noise = on.graph.node("Mul", &[&predicted, &sigma], "clean.noise");
        let clean = on.graph.node("Sub", &[z, &noise], "clean.scaled");
        let least = on.scalar("alpha.least", MIN_ALPHA)?;
        let divisor = on.graph.node("Add", &[&alpha, &least], "clean.divisor");
        let clean = on.graph.node("Div", &[&clean, &divisor], "clean");
        let clean = on.reshape(&clean, &[channels], "clean.tokens");
        (predicted, on.graph.concat(&tokens, &clean, "score_net.tokens"))
    };
    let velocity = on.net(&input, Some(condition), &config.score_net.blocks(), "score_net.net")?;
    let velocity = on.reshape(&velocity, &[config.latent_dim], "score_net.velocity");
    let counted = match sampling.corrected_below {
        None => on.scaled(&alpha, 1.0 + sampling.autoguidance, "score_net.counted")?,
        Some(below) => {
            let limit = on.scalar("corrected_below", below)?;
            let corrected = on.graph.node("Less", &[gamma, &limit], "score_net.corrected");
            let more = on.scaled(&alpha, 1.0 + sampling.autoguidance, "score_net.alpha.more")?;
            on.graph.node("Where", &[&corrected, &more, &alpha], "score_net.counted")
        }
    };
    let change = on.graph.node("Mul", &[&velocity, &counted], "score_net.change");
    Ok(on.graph.node("Add", &[&start, &change], "score_net.epsilon"))
}

/// `vdm::diffusion::gaussian::GaussianNoise::predict`.
fn gaussian(
    on: &mut OnPatches<'_, '_>,
    config: &ModelConfig,
    sampling: &SamplingConfig,
    z: &str,
    [alpha_2, sigma_2, alpha, sigma]: [&str; 4],
    of_coarse: Option<&str>,
) -> Result<Name> {
    let dim = config.latent_dim;
    let all = dim / on.grid.patches();
    let some = GAUSSIAN_CHANNELS.min(all);
    let places: Vec<i64> = (0..dim as i64).filter(|d| (*d as usize % all) < some).collect();
    // Where a latent number stands among them; after the last, where it does not.
    let back: Vec<i64> = (0..dim)
        .map(|d| if d % all < some { (d / all * some + d % all) as i64 } else { places.len() as i64 })
        .collect();
    let [mean, components, variances, rest] = ["mean", "components", "variances", "rest"]
        .map(|name| on.graph.parameter(&format!("score_net.gaussian.{name}")));
    let (mean, components, variances, rest) = (mean?, components?, variances?, rest?);
    let mut precision = |variances: &str, name: &str| {
        let signal = on.graph.node("Mul", &[variances, alpha_2], &format!("{name}.signal"));
        let sum = on.graph.node("Add", &[&signal, sigma_2], &format!("{name}.variance"));
        on.graph.node("Reciprocal", &[&sum], name)
    };
    let (inside, outside) = (precision(&variances, "gaussian.inside"), precision(&rest, "gaussian.outside"));
    let mean = on.graph.node("Mul", &[&mean, alpha], "gaussian.mean");
    let centred = on.graph.node("Sub", &[z, &mean], "gaussian.centred");
    let first = on.choose(&centred, "table.coarse", &places, "gaussian.first");
    let scores = on.graph.node("MatMul", &[&first, &components], "gaussian.scores");
    let order = vec![AttributeProto::ints("perm", &[1, 0])];
    let transposed = on.graph.node_with("Transpose", &[&components], "gaussian.transposed", order);
    let spread = |on: &mut OnPatches<'_, '_>, scores: &str, name: &str| {
        let coarse = on.graph.node("MatMul", &[scores, &transposed], &format!("{name}.coarse"));
        on.choose(&coarse, "table.spread", &back, name)
    };
    let explained = spread(on, &scores, "gaussian.explained");
    let rest = on.graph.node("Sub", &[&centred, &explained], "gaussian.rest");
    let rest = on.graph.node("Mul", &[&rest, &outside], "gaussian.rest.weighed");
    let rest = on.graph.node("Mul", &[&rest, sigma], "gaussian.rest.epsilon");
    let weighed = on.graph.node("Mul", &[&scores, &inside], "gaussian.scores.weighed");
    let mut of_components = on.graph.node("Mul", &[&weighed, sigma], "gaussian.scores.epsilon");
    if let (Some(condition), Some(coarse)) = (of_coarse, config.coarse()) {
        let deviation = on.graph.node("Sqrt", &[&inside], "coarse.deviation");
        let unit = on.graph.node("Mul", &[&scores, &deviation], "coarse.unit");
        let velocity = on.graph.res_net(&coarse.score_net.blocks(), &unit, Some(condition), "coarse.net")?;
        let signal = on.graph.node("Mul", &[&variances, alpha_2], "coarse.signal.squared");
        let signal = on.graph.node("Mul", &[&signal, &inside], "coarse.signal.share");
        let signal = on.graph.node("Sqrt", &[&signal], "coarse.signal");
        let counted = on.scaled(&signal, 1.0 + sampling.coarse_autoguidance, "coarse.counted")?;
        let change = on.graph.node("Mul", &[&velocity, &counted], "coarse.change");
        of_components = on.graph.node("Add", &[&of_components, &change], "coarse.epsilon");
    }
    let coarse = spread(on, &of_components, "gaussian.kept");
    Ok(on.graph.node("Add", &[&coarse, &rest], "gaussian.epsilon"))
}
