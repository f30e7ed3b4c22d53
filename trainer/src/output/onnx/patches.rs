//! Networks on patches as ONNX graphs, as `vdm::autoencoder`, `vdm::diffusion::score_net` and `vdm::nn::patch_net` compute them. What crosses
//! the grid of patches is a choice of columns by a table, and the tables are made by `vdm::nn::patch_grid` itself.

use anyhow::{Context, Result};
use burn::backend::Flex;
use burn::tensor::{Tensor, TensorData};
use vdm::autoencoder::grain::{
    CELLS, LN_PIVOT, MAX_ABOVE_PIVOT, MIN_STRUCTURE, SMOOTHING, interpolation, noise_len, smoothing,
};
use vdm::autoencoder::lapped;
use vdm::autoencoder::lapped::LN_DEVIATION;
use vdm::autoencoder::patches::{DECODER_RESIDUAL, ENCODER_RESIDUAL, INPUT_SCALE, MIN_ENERGY, MIN_MEAN};
use vdm::config::{GAUSSIAN_CHANNELS, ModelConfig, PatchGrid, ResNetConfig, SamplingConfig};
use vdm::diffusion::score_net::MIN_ALPHA;
use vdm::nn::patch_grid::Border;
use vdm::nn::patch_net::RMS_EPSILON;

use super::graph::{Graph, Name};
use super::proto::AttributeProto;

/// The columns `[batch, columns]` as a table: `of` moves them, and zeros stand where it lets nothing in.
fn table(columns: usize, rows: usize, of: impl FnOnce(Tensor<Flex, 2>) -> Tensor<Flex, 2>) -> Result<Vec<i64>> {
    // From 1, since 0 is what comes from outside. float32 counts to 2²⁴.
    let numbers: Vec<f32> = (1..=columns).map(|i| i as f32).collect();
    let numbers = Tensor::from_data(TensorData::new(numbers, [rows, columns / rows]), &Default::default());
    let moved = of(numbers).try_into_data().map_err(|e| anyhow::anyhow!("{e:?}")).context("cannot read the device")?;
    // The place after the last column holds zero.
    Ok(moved.iter::<f32>().map(|number| if number == 0.0 { columns as i64 } else { number as i64 - 1 }).collect())
}

/// Builds networks on one grid.
struct Tokens<'g, 'p> {
    graph: &'g mut Graph<'p>,
    grid: PatchGrid,
}

impl Tokens<'_, '_> {
    fn scalar(&mut self, name: &str, value: f64) -> Result<Name> {
        self.graph.constant(name, &[], &[value as f32])
    }

    fn scaled(&mut self, x: &str, by: f64, name: &str) -> Result<Name> {
        let by = self.scalar(&format!("{name}.factor"), by)?;
        Ok(self.graph.node("Mul", &[x, &by], name))
    }

    fn reshape(&mut self, x: &str, shape: &[usize], name: &str) -> Name {
        let shape: Vec<i64> = std::iter::once(-1).chain(shape.iter().map(|&size| size as i64)).collect();
        let text: Vec<String> = shape.iter().map(i64::to_string).collect();
        let shape = self.graph.integers(&format!("shape.{}", text.join("x")), &shape);
        self.graph.node("Reshape", &[x, &shape], name)
    }

    /// Columns by their numbers; the one after the last is zero.
    fn choose(&mut self, x: &str, table: &str, numbers: &[i64], name: &str) -> Name {
        let pads = self.graph.integers("pads.column", &[0, 0, 0, 1]);
        let padded = self.graph.node("Pad", &[x, &pads], &format!("{name}.padded"));
        let numbers = self.graph.integers(table, numbers);
        self.graph.node_with("Gather", &[&padded, &numbers], name, vec![AttributeProto::int("axis", 1)])
    }

    /// A range of the columns.
    fn numbered(&mut self, x: &str, range: std::ops::Range<usize>, name: &str) -> Name {
        let numbers: Vec<i64> = range.map(|i| i as i64).collect();
        self.choose(x, &format!("table.{name}"), &numbers, name)
    }

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

    /// `[batch, H·W]` → `[batch·T, window]`.
    fn windows(&mut self, x: &str, name: &str) -> Result<Name> {
        let grid = self.grid;
        let pixels = grid.patches() * grid.patch * grid.patch;
        let numbers = table(pixels, 1, |image| grid.windows(image, Border::Wrap))?;
        let chosen = self.choose(x, "table.windows", &numbers, &format!("{name}.chosen"));
        Ok(self.reshape(&chosen, &[grid.window()], name))
    }

    /// `[batch·T, window]` → `[batch, H·W]`: four windows cover each pixel.
    fn overlap_add(&mut self, windows: &str, name: &str) -> Result<Name> {
        let grid = self.grid;
        let pixels = grid.patches() * grid.patch * grid.patch;
        let covered = table(pixels, 1, |image| grid.windows(image, Border::Wrap))?;
        let mut places = vec![Vec::with_capacity(4); pixels];
        for (place, pixel) in covered.iter().enumerate() {
            places[*pixel as usize].push(place as i64);
        }
        let numbers: Vec<i64> = (0..4).flat_map(|i| places.iter().map(move |places| places[i])).collect();
        let flat = self.reshape(windows, &[4 * pixels], &format!("{name}.flat"));
        let chosen = self.choose(&flat, "table.overlap", &numbers, &format!("{name}.chosen"));
        let four = self.reshape(&chosen, &[4, pixels], &format!("{name}.four"));
        let axes = self.graph.integers("axes.1", &[1]);
        Ok(self.graph.node_with("ReduceSum", &[&four, &axes], name, vec![AttributeProto::int("keepdims", 0)]))
    }

    fn shift(&mut self, x: &str, features: usize, name: &str) -> Result<Name> {
        let grid = self.grid;
        let numbers = table(grid.patches() * features, grid.patches(), |tokens| grid.shift(tokens))?;
        let flat = self.reshape(x, &[grid.patches() * features], &format!("{name}.flat"));
        let moved = self.choose(&flat, &format!("table.shift.{features}"), &numbers, &format!("{name}.moved"));
        Ok(self.reshape(&moved, &[features], name))
    }

    /// x / √(mean x² + ε) over the last dimension.
    fn rms_norm(&mut self, x: &str, name: &str) -> Result<Name> {
        let square = self.graph.node("Mul", &[x, x], &format!("{name}.square"));
        let axes = vec![AttributeProto::ints("axes", &[-1]), AttributeProto::int("keepdims", 1)];
        let mean = self.graph.node_with("ReduceMean", &[&square], &format!("{name}.mean"), axes);
        let epsilon = self.scalar(&format!("{name}.epsilon"), RMS_EPSILON)?;
        let sum = self.graph.node("Add", &[&mean, &epsilon], &format!("{name}.sum"));
        let root = self.graph.node("Sqrt", &[&sum], &format!("{name}.root"));
        Ok(self.graph.node("Div", &[x, &root], name))
    }

    /// Norm, and modulation by the image's condition.
    fn modulated(&mut self, x: &str, condition: Option<&str>, width: usize, path: &str) -> Result<Name> {
        let h = self.rms_norm(x, &format!("{path}.norm"))?;
        let Some(condition) = condition else { return Ok(h) };
        let modulation = self.graph.dense(condition, path)?;
        let [scale, shift] = self.graph.split(&modulation, 1, ["scale", "shift"].map(|part| format!("{path}.{part}")));
        let axes = self.graph.integers("axes.1", &[1]);
        let [scale, shift] =
            [scale, shift].map(|part| self.graph.node("Unsqueeze", &[&part, &axes], &format!("{part}.of_image")));
        let h = self.reshape(&h, &[self.grid.patches(), width], &format!("{path}.tokens"));
        let scaled = self.graph.node("Mul", &[&h, &scale], &format!("{path}.scaled"));
        let scaled = self.graph.node("Add", &[&h, &scaled], &format!("{path}.modulated"));
        let shifted = self.graph.node("Add", &[&scaled, &shift], &format!("{path}.shifted"));
        Ok(self.reshape(&shifted, &[width], &format!("{path}.film")))
    }

    fn attention(&mut self, x: &str, condition: Option<&str>, of: &ResNetConfig, path: &str) -> Result<Name> {
        let (tokens, size) = (self.grid.patches(), of.width / of.heads);
        let h = self.modulated(x, condition, of.width, &format!("{path}.film"))?;
        let qkv = self.graph.dense(&h, &format!("{path}.input"))?;
        let parts = self.graph.split(&qkv, 1, ["q", "k", "v"].map(|part| format!("{path}.{part}")));
        let heads = parts.map(|part| {
            let shaped = self.reshape(&part, &[tokens, of.heads, size], &format!("{part}.heads"));
            let order = vec![AttributeProto::ints("perm", &[0, 2, 1, 3])];
            self.graph.node_with("Transpose", &[&shaped], &format!("{part}.by_head"), order)
        });
        let [q, k, v] = heads;
        let q = self.rms_norm(&q, &format!("{path}.q.norm"))?;
        let k = self.rms_norm(&k, &format!("{path}.k.norm"))?;
        let order = vec![AttributeProto::ints("perm", &[0, 1, 3, 2])];
        let k = self.graph.node_with("Transpose", &[&k], &format!("{path}.k.transposed"), order);
        let products = self.graph.node("MatMul", &[&q, &k], &format!("{path}.products"));
        let products = self.scaled(&products, (size as f64).sqrt().recip(), &format!("{path}.scaled"))?;
        let last = vec![AttributeProto::int("axis", -1)];
        let weights = self.graph.node_with("Softmax", &[&products], &format!("{path}.weights"), last);
        let mixed = self.graph.node("MatMul", &[&weights, &v], &format!("{path}.mixed"));
        let order = vec![AttributeProto::ints("perm", &[0, 2, 1, 3])];
        let mixed = self.graph.node_with("Transpose", &[&mixed], &format!("{path}.by_token"), order);
        let mixed = self.reshape(&mixed, &[of.width], &format!("{path}.merged"));
        self.graph.dense(&mixed, &format!("{path}.output"))
    }

    /// Tokens `[batch·T, inputs]` → what the last layer sees, `[batch·T, width]`.
    fn features(&mut self, tokens: &str, condition: Option<&str>, of: &ResNetConfig, path: &str) -> Result<Name> {
        let h = self.graph.dense(tokens, &format!("{path}.input"))?;
        let h = self.reshape(&h, &[self.grid.patches(), of.width], &format!("{path}.tokens"));
        let position = self.graph.parameter(&format!("{path}.position"))?;
        let h = self.graph.node("Add", &[&h, &position], &format!("{path}.placed"));
        let mut x = self.reshape(&h, &[of.width], &format!("{path}.start"));
        for i in 0..of.layers {
            let block = format!("{path}.blocks.{i}");
            if of.heads > 0 {
                let seen = self.attention(&x, condition, of, &format!("{block}.attention"))?;
                x = self.graph.node("Add", &[&x, &seen], &format!("{block}.attended"));
            }
            let h = self.modulated(&x, condition, of.width, &format!("{block}.film"))?;
            let h = self.shift(&h, of.width, &format!("{block}.shift"))?;
            let h = self.graph.dense(&h, &format!("{block}.dense_1"))?;
            let h = self.graph.node("Relu", &[&h], &format!("{block}.relu"));
            let h = self.graph.dense(&h, &format!("{block}.dense_2"))?;
            x = self.graph.node("Add", &[&x, &h], &format!("{block}.sum"));
        }
        self.modulated(&x, condition, of.width, &format!("{path}.film"))
    }

    fn net(&mut self, tokens: &str, condition: Option<&str>, of: &ResNetConfig, path: &str) -> Result<Name> {
        let features = self.features(tokens, condition, of, path)?;
        self.graph.dense(&features, &format!("{path}.output"))
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
    let mut on = Tokens { graph, grid };
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
    let mut on = Tokens { graph, grid };
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
    let mut on = Tokens { graph, grid };
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
    on: &mut Tokens<'_, '_>,
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
    let spread = |on: &mut Tokens<'_, '_>, scores: &str, name: &str| {
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
