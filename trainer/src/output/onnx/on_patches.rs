//! The layers of networks on patches, as `vdm::nn::patch_net` computes them. Operations across the grid of patches
//! select columns by a table, and `vdm::nn::patch_grid` itself makes the tables.

use anyhow::{Context, Result};
use burn::backend::Flex;
use burn::tensor::{Tensor, TensorData};
use vdm::config::{BandConfig, PatchGrid};
use vdm::nn::patch_net::RMS_EPSILON;

use super::graph::{Graph, Name};
use super::proto::AttributeProto;

/// The table of what `of` does to columns `[batch, columns]`: where each comes from; the index after the last is zero.
pub(super) fn table(
    columns: usize,
    rows: usize,
    of: impl FnOnce(Tensor<Flex, 2>) -> Tensor<Flex, 2>,
) -> Result<Vec<i64>> {
    // From 1, since 0 is what comes from outside. float32 counts to 2²⁴.
    let numbers: Vec<f32> = (1..=columns).map(|i| i as f32).collect();
    let numbers = Tensor::from_data(TensorData::new(numbers, [rows, columns / rows]), &Default::default());
    let moved = of(numbers).try_into_data().map_err(|e| anyhow::anyhow!("{e:?}")).context("cannot read the device")?;
    // The place after the last column holds zero.
    Ok(moved.iter::<f32>().map(|number| if number == 0.0 { columns as i64 } else { number as i64 - 1 }).collect())
}

/// Builds networks on a patch grid.
pub(super) struct OnPatches<'g, 'p> {
    pub(super) graph: &'g mut Graph<'p>,
    pub(super) grid: PatchGrid,
}

impl OnPatches<'_, '_> {
    pub(super) fn scalar(&mut self, name: &str, value: f64) -> Result<Name> {
        self.graph.constant(name, &[], &[value as f32])
    }

    pub(super) fn scaled(&mut self, x: &str, by: f64, name: &str) -> Result<Name> {
        let by = self.scalar(&format!("{name}.factor"), by)?;
        Ok(self.graph.node("Mul", &[x, &by], name))
    }

    pub(super) fn reshape(&mut self, x: &str, shape: &[usize], name: &str) -> Name {
        let shape: Vec<i64> = std::iter::once(-1).chain(shape.iter().map(|&size| size as i64)).collect();
        let text: Vec<String> = shape.iter().map(i64::to_string).collect();
        let shape = self.graph.integers(&format!("shape.{}", text.join("x")), &shape);
        self.graph.node("Reshape", &[x, &shape], name)
    }

    /// Columns by their indices; the one after the last is zero.
    pub(super) fn choose(&mut self, x: &str, table: &str, numbers: &[i64], name: &str) -> Name {
        let pads = self.graph.integers("pads.column", &[0, 0, 0, 1]);
        let padded = self.graph.node("Pad", &[x, &pads], &format!("{name}.padded"));
        let numbers = self.graph.integers(table, numbers);
        self.graph.node_with("Gather", &[&padded, &numbers], name, vec![AttributeProto::int("axis", 1)])
    }

    pub(super) fn shift(&mut self, x: &str, features: usize, name: &str) -> Result<Name> {
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

    /// RMS norm, and FiLM by the image's condition.
    fn modulated(&mut self, x: &str, condition: &str, width: usize, path: &str) -> Result<Name> {
        let h = self.rms_norm(x, &format!("{path}.norm"))?;
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

    fn attention(&mut self, x: &str, condition: &str, of: &BandConfig, path: &str) -> Result<Name> {
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

    /// Patches `[batch·T, inputs]` → the input of the last layer, `[batch·T, width]`.
    fn features(&mut self, tokens: &str, condition: &str, of: &BandConfig, path: &str) -> Result<Name> {
        let h = self.graph.dense(tokens, &format!("{path}.input"))?;
        let mut x = h;
        let position = format!("{path}.position");
        if self.graph.has_parameter(&position) {
            let h = self.reshape(&x, &[self.grid.patches(), of.width], &format!("{path}.tokens"));
            let position = self.graph.parameter(&position)?;
            let h = self.graph.node("Add", &[&h, &position], &format!("{path}.placed"));
            x = self.reshape(&h, &[of.width], &format!("{path}.start"));
        }
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

    pub(super) fn net(&mut self, tokens: &str, condition: &str, of: &BandConfig, path: &str) -> Result<Name> {
        let features = self.features(tokens, condition, of, path)?;
        self.graph.dense(&features, &format!("{path}.output"))
    }
}
