//! A graph under construction, and the layers that our networks are made of.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use vdm::config::ResNetConfig;
use vdm::weights::Parameter;

use super::proto::{
    AttributeProto, Dimension, ElementType, Extent, GraphProto, NodeProto, TensorProto, TensorShapeProto, TensorType,
    TypeProto, ValueInfoProto,
};

/// Parameters by the name that they have in the file of weights.
pub type Parameters = BTreeMap<String, Parameter>;

/// Layer normalisation's ε, Burn's default.
const LAYER_NORM_EPSILON: f32 = 1e-5;

/// Protocol buffers are limited to 2 GiB.
const MAX_BYTES: usize = (1 << 31) - (1 << 20);

/// A value in the graph, by name.
pub type Name = String;

/// Collects nodes, in the order in which they run, and their constants.
pub struct Graph<'a> {
    parameters: &'a Parameters,
    proto: GraphProto,
    bytes: usize,
}

impl<'a> Graph<'a> {
    /// An empty graph that takes its weights from `parameters`.
    pub fn new(name: &str, parameters: &'a Parameters) -> Self {
        Self { parameters, proto: GraphProto { name: name.to_owned(), ..GraphProto::default() }, bytes: 0 }
    }

    /// The finished graph.
    pub fn finish(self) -> GraphProto {
        self.proto
    }

    /// An input `[batch, features]`, or `[batch]` where there are none.
    pub fn input(&mut self, name: &str, element: ElementType, features: Option<usize>, doc: &str) -> Name {
        self.proto.input.push(batched(name, element, features, doc));
        name.to_owned()
    }

    /// Makes a value an output `[batch, features]` of this name.
    pub fn output(&mut self, value: &str, name: &str, features: usize, doc: &str) {
        self.push("Identity", &[value], name, vec![]);
        self.proto.output.push(batched(name, ElementType::Float, Some(features), doc));
    }

    /// A constant that is not in the file of weights; a name always has the same values.
    pub fn constant(&mut self, name: &str, shape: &[usize], values: &[f32]) -> Result<Name> {
        if self.proto.initializer.iter().any(|tensor| tensor.name == name) {
            return Ok(name.to_owned());
        }
        self.bytes += 4 * values.len();
        ensure!(
            self.bytes <= MAX_BYTES,
            "the network {} has more than 2 GiB of weights: one ONNX file cannot hold them",
            self.proto.name
        );
        self.proto.initializer.push(TensorProto {
            dims: shape.iter().map(|&dim| dim as i64).collect(),
            data_type: ElementType::Float as i32,
            name: name.to_owned(),
            raw_data: values.iter().flat_map(|value| value.to_le_bytes()).collect(),
        });
        Ok(name.to_owned())
    }

    /// Integers that an operation takes.
    pub fn integers(&mut self, name: &str, values: &[i64]) -> Name {
        if !self.proto.initializer.iter().any(|tensor| tensor.name == name) {
            self.proto.initializer.push(TensorProto {
                dims: vec![values.len() as i64],
                data_type: ElementType::Int64 as i32,
                name: name.to_owned(),
                raw_data: values.iter().flat_map(|value| value.to_le_bytes()).collect(),
            });
        }
        name.to_owned()
    }

    /// Whether the model has a parameter of this name.
    pub fn has_parameter(&self, name: &str) -> bool {
        self.parameters.contains_key(name)
    }

    /// A tensor of the file of weights.
    pub fn parameter(&mut self, name: &str) -> Result<Name> {
        let parameters = self.parameters;
        let parameter = parameters.get(name).with_context(|| format!("the weights have no {name}"))?;
        self.constant(name, &parameter.shape, &parameter.values)
    }

    /// An operation with one output, called `name`.
    pub fn node(&mut self, operation: &str, inputs: &[&str], name: &str) -> Name {
        self.push(operation, inputs, name, vec![]);
        name.to_owned()
    }

    /// An operation with one output and with attributes.
    pub fn node_with(&mut self, operation: &str, inputs: &[&str], name: &str, attributes: Vec<AttributeProto>) -> Name {
        self.push(operation, inputs, name, attributes);
        name.to_owned()
    }

    fn push(&mut self, operation: &str, inputs: &[&str], output: &str, attribute: Vec<AttributeProto>) {
        self.proto.node.push(NodeProto {
            input: inputs.iter().map(|&input| input.to_owned()).collect(),
            output: vec![output.to_owned()],
            name: format!("{output}:{operation}"),
            op_type: operation.to_owned(),
            attribute,
        });
    }

    /// Adds a dimension of 1 at the end: `[batch]` → `[batch, 1]`.
    pub fn column(&mut self, value: &str, name: &str) -> Name {
        let axes = self.integers("axes.1", &[1]);
        self.node("Unsqueeze", &[value, &axes], name)
    }

    /// Rows of a table by their indices: `[n, features]`, `[batch]` → `[batch, features]`.
    pub fn rows(&mut self, table: &str, numbers: &str, name: &str) -> Name {
        self.node_with("Gather", &[table, numbers], name, vec![AttributeProto::int("axis", 0)])
    }

    /// Two values, concatenated along the features.
    pub fn concat(&mut self, left: &str, right: &str, name: &str) -> Name {
        self.node_with("Concat", &[left, right], name, vec![AttributeProto::int("axis", 1)])
    }

    /// swish(x) = x · sigmoid(x).
    pub fn silu(&mut self, x: &str, name: &str) -> Name {
        let gate = self.node("Sigmoid", &[x], &format!("{name}.gate"));
        self.node("Mul", &[x, &gate], name)
    }

    /// x W + b, with the weights called `path`.
    pub fn dense(&mut self, x: &str, path: &str) -> Result<Name> {
        let weight = self.parameter(&format!("{path}.weight"))?;
        let bias = self.parameter(&format!("{path}.bias"))?;
        Ok(self.node("Gemm", &[x, &weight, &bias], &format!("{path}.out")))
    }

    fn layer_norm(&mut self, x: &str, path: &str) -> Result<Name> {
        let gamma = self.parameter(&format!("{path}.gamma"))?;
        let beta = self.parameter(&format!("{path}.beta"))?;
        let attributes = vec![AttributeProto::int("axis", -1), AttributeProto::float("epsilon", LAYER_NORM_EPSILON)];
        Ok(self.node_with("LayerNormalization", &[x, &gamma, &beta], &format!("{path}.out"), attributes))
    }

    /// A value in equal parts along an axis.
    pub fn split<const N: usize>(&mut self, value: &str, axis: i64, names: [Name; N]) -> [Name; N] {
        self.proto.node.push(NodeProto {
            input: vec![value.to_owned()],
            output: names.to_vec(),
            name: format!("{value}:Split"),
            op_type: "Split".to_owned(),
            attribute: vec![AttributeProto::int("axis", axis)],
        });
        names
    }

    /// FiLM: h (1 + scale) + shift, where a dense layer of the condition gives scale and shift.
    fn film(&mut self, h: &str, condition: &str, path: &str) -> Result<Name> {
        let modulation = self.dense(condition, path)?;
        let [scale, shift] = self.split(&modulation, 1, ["scale", "shift"].map(|part| format!("{path}.{part}")));
        let scaled = self.node("Mul", &[h, &scale], &format!("{path}.scaled"));
        let scaled = self.node("Add", &[h, &scaled], &format!("{path}.modulated"));
        Ok(self.node("Add", &[&scaled, &shift], &format!("{path}.film")))
    }

    /// dense → residual blocks → dense, as `vdm::nn::dense::ResNet`.
    pub fn res_net(&mut self, config: &ResNetConfig, input: &str, condition: Option<&str>, path: &str) -> Result<Name> {
        let mut x = self.dense(input, &format!("{path}.input"))?;
        for i in 0..config.layers {
            let block = format!("{path}.blocks.{i}");
            let mut h = x.clone();
            if config.layer_norm {
                h = self.layer_norm(&h, &format!("{block}.norm"))?;
            }
            h = self.silu(&h, &format!("{block}.silu_1"));
            h = self.dense(&h, &format!("{block}.dense_1"))?;
            if let Some(condition) = condition {
                h = self.film(&h, condition, &format!("{block}.film"))?;
            }
            h = self.silu(&h, &format!("{block}.silu_2"));
            h = self.dense(&h, &format!("{block}.dense_2"))?;
            x = self.node("Add", &[&x, &h], &format!("{block}.sum"));
        }
        self.dense(&x, &format!("{path}.output"))
    }
}

fn batched(name: &str, element: ElementType, features: Option<usize>, doc: &str) -> ValueInfoProto {
    let batch = Dimension { extent: Some(Extent::Named("batch".to_owned())) };
    let features = features.map(|features| Dimension { extent: Some(Extent::Fixed(features as i64)) });
    let shape = TensorShapeProto { dim: std::iter::once(batch).chain(features).collect() };
    let tensor = TensorType { element: element as i32, shape: Some(shape) };
    ValueInfoProto { name: name.to_owned(), kind: Some(TypeProto { tensor: Some(tensor) }), doc_string: doc.to_owned() }
}
