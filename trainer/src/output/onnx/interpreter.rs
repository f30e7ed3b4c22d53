//! Runs the exported graphs as the definitions of their operators say, to compare them with our own networks.

use std::collections::HashMap;

use prost::Message;

use super::proto::{ElementType, ModelProto, NodeProto};

/// A tensor; whole numbers are kept as floats.
#[derive(Clone, Debug)]
pub struct Array {
    pub shape: Vec<usize>,
    pub values: Vec<f32>,
}

impl Array {
    pub fn new(shape: &[usize], values: Vec<f32>) -> Self {
        assert_eq!(shape.iter().product::<usize>(), values.len());
        Self { shape: shape.to_vec(), values }
    }

    /// The value at each index.
    fn fill(shape: Vec<usize>, mut value: impl FnMut(&[usize]) -> f32) -> Self {
        let mut index = vec![0; shape.len()];
        let mut values = Vec::with_capacity(shape.iter().product());
        for _ in 0..shape.iter().product() {
            values.push(value(&index));
            for axis in (0..shape.len()).rev() {
                index[axis] += 1;
                if index[axis] < shape[axis] {
                    break;
                }
                index[axis] = 0;
            }
        }
        Self { shape, values }
    }

    /// The value at an index of a shape that this one is broadcast to.
    fn at(&self, index: &[usize]) -> f32 {
        let index = &index[index.len() - self.shape.len()..];
        let place = |place, (&size, &i): (&usize, &usize)| place * size + if size == 1 { 0 } else { i };
        self.values[self.shape.iter().zip(index).fold(0, place)]
    }

    fn map(&self, f: impl Fn(f32) -> f32) -> Self {
        Self::new(&self.shape, self.values.iter().map(|&v| f(v)).collect())
    }

    fn zip(&self, other: &Self, f: impl Fn(f32, f32) -> f32) -> Self {
        Self::fill(broadcast(&self.shape, &other.shape), |index| f(self.at(index), other.at(index)))
    }

    /// A function of each row of an axis.
    fn rows(&self, axis: usize, shape: Vec<usize>, f: impl Fn(&[f32], usize) -> f32) -> Self {
        Self::fill(shape, |index| {
            let mut at = index.to_vec();
            let row: Vec<f32> = (0..self.shape[axis])
                .map(|i| {
                    at[axis] = i;
                    self.at(&at)
                })
                .collect();
            f(&row, index[axis])
        })
    }

    fn matmul(&self, other: &Self) -> Self {
        let (a, b) = (&self.shape, &other.shape);
        let inner = a[a.len() - 1];
        assert_eq!(inner, b[b.len() - 2], "{a:?} times {b:?}");
        let mut shape = broadcast(&a[..a.len() - 2], &b[..b.len() - 2]);
        let rank = shape.len() + 2;
        shape.extend([a[a.len() - 2], b[b.len() - 1]]);
        Self::fill(shape, |index| {
            let (mut left, mut right) = (index.to_vec(), index.to_vec());
            let product = |k| {
                (left[rank - 1], right[rank - 2]) = (k, k);
                self.at(&left) * other.at(&right)
            };
            (0..inner).map(product).sum()
        })
    }
}

fn broadcast(a: &[usize], b: &[usize]) -> Vec<usize> {
    let rank = a.len().max(b.len());
    let size = |shape: &[usize], axis: usize| (axis + shape.len()).checked_sub(rank).map_or(1, |i| shape[i]);
    (0..rank).map(|axis| size(a, axis).max(size(b, axis))).collect()
}

/// The outputs of a file, in order.
pub fn run(bytes: &[u8], inputs: &[(&str, Array)]) -> Vec<Array> {
    let graph = ModelProto::decode(bytes).expect("a model").graph.expect("a graph");
    let names: Vec<_> = graph.input.iter().map(|input| input.name.as_str()).collect();
    assert_eq!(names, inputs.iter().map(|input| input.0).collect::<Vec<_>>());
    let mut values: HashMap<String, Array> =
        inputs.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    for tensor in graph.initializer {
        let numbers: Vec<f32> = if tensor.data_type == ElementType::Float as i32 {
            tensor.raw_data.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().expect("4 bytes"))).collect()
        } else {
            tensor.raw_data.chunks_exact(8).map(|b| i64::from_le_bytes(b.try_into().expect("8 bytes")) as f32).collect()
        };
        let shape: Vec<usize> = tensor.dims.iter().map(|&dim| dim as usize).collect();
        assert!(values.insert(tensor.name.clone(), Array::new(&shape, numbers)).is_none(), "{} twice", tensor.name);
    }
    for node in &graph.node {
        let inputs: Vec<&Array> = node
            .input
            .iter()
            .map(|name| values.get(name).unwrap_or_else(|| panic!("{}: {name} comes too late", node.name)))
            .collect();
        let outputs = compute(node, &inputs);
        assert_eq!(outputs.len(), node.output.len(), "{}", node.name);
        values.extend(node.output.iter().cloned().zip(outputs));
    }
    graph.output.iter().map(|output| values[&output.name].clone()).collect()
}

fn compute(node: &NodeProto, inputs: &[&Array]) -> Vec<Array> {
    let attribute = |name: &str| node.attribute.iter().find(|attribute| attribute.name == name);
    let integer = |name: &str| attribute(name).and_then(|attribute| attribute.i);
    let x = inputs[0];
    // An axis from an attribute, or from an input or an attribute that lists one; the last is -1.
    let axis = |axis: i64| if axis < 0 { x.shape.len() - 1 } else { axis as usize };
    let y = match node.op_type.as_str() {
        "Identity" => x.clone(),
        "Sigmoid" => x.map(|v| 1.0 / (1.0 + (-v).exp())),
        "Sin" => x.map(f32::sin),
        "Cos" => x.map(f32::cos),
        "Neg" => x.map(|v| -v),
        "Exp" => x.map(f32::exp),
        "Log" => x.map(f32::ln),
        "Sqrt" => x.map(f32::sqrt),
        "Relu" => x.map(|v| v.max(0.0)),
        "Reciprocal" => x.map(f32::recip),
        "Add" => x.zip(inputs[1], |a, b| a + b),
        "Sub" => x.zip(inputs[1], |a, b| a - b),
        "Mul" => x.zip(inputs[1], |a, b| a * b),
        "Div" => x.zip(inputs[1], |a, b| a / b),
        "Min" => x.zip(inputs[1], f32::min),
        "Less" => x.zip(inputs[1], |a, b| f32::from(u8::from(a < b))),
        "Where" => {
            let shape = broadcast(&x.shape, &broadcast(&inputs[1].shape, &inputs[2].shape));
            Array::fill(shape, |index| inputs[if x.at(index) == 1.0 { 1 } else { 2 }].at(index))
        }
        "Clip" => x.map(|v| v.clamp(inputs[1].values[0], inputs[2].values[0])),
        "MatMul" => x.matmul(inputs[1]),
        "Gemm" => x.matmul(inputs[1]).zip(inputs[2], |a, b| a + b),
        "Reshape" => {
            let known: f32 = inputs[1].values.iter().filter(|&&size| size > 0.0).product();
            let size = |&size: &f32| if size > 0.0 { size as usize } else { x.values.len() / known as usize };
            Array::new(&inputs[1].values.iter().map(size).collect::<Vec<_>>(), x.values.clone())
        }
        "Unsqueeze" => {
            let mut shape = x.shape.clone();
            shape.insert(inputs[1].values[0] as usize, 1);
            Array::new(&shape, x.values.clone())
        }
        "Transpose" => {
            let order = &attribute("perm").expect("an order").ints;
            let shape = order.iter().map(|&axis| x.shape[axis as usize]).collect();
            Array::fill(shape, |index| {
                let mut at = vec![0; index.len()];
                order.iter().zip(index).for_each(|(&axis, &i)| at[axis as usize] = i);
                x.at(&at)
            })
        }
        "Pad" => {
            assert_eq!(inputs[1].values, [0.0, 0.0, 0.0, 1.0], "{}: a column of zeros", node.name);
            let [rows, columns] = [x.shape[0], x.shape[1]];
            Array::fill(vec![rows, columns + 1], |index| if index[1] < columns { x.at(index) } else { 0.0 })
        }
        "Gather" => {
            let axis = axis(integer("axis").expect("an axis"));
            let mut shape = x.shape.clone();
            shape[axis] = inputs[1].values.len();
            Array::fill(shape, |index| {
                let mut at = index.to_vec();
                at[axis] = inputs[1].values[index[axis]] as usize;
                x.at(&at)
            })
        }
        "Concat" => {
            let axis = axis(integer("axis").expect("an axis"));
            let mut shape = x.shape.clone();
            shape[axis] += inputs[1].shape[axis];
            Array::fill(shape, |index| match index[axis].checked_sub(x.shape[axis]) {
                None => x.at(index),
                Some(i) => {
                    let mut at = index.to_vec();
                    at[axis] = i;
                    inputs[1].at(&at)
                }
            })
        }
        "Split" => {
            let axis = axis(integer("axis").expect("an axis"));
            let mut shape = x.shape.clone();
            shape[axis] /= node.output.len();
            let part = |number: usize| {
                Array::fill(shape.clone(), |index| {
                    let mut at = index.to_vec();
                    at[axis] += number * shape[axis];
                    x.at(&at)
                })
            };
            return (0..node.output.len()).map(part).collect();
        }
        "ReduceSum" | "ReduceMean" => {
            let axis = axis(
                inputs.get(1).map_or_else(|| attribute("axes").expect("an axis").ints[0], |axes| axes.values[0] as i64),
            );
            let mean = node.op_type == "ReduceMean";
            let mut shape = x.shape.clone();
            shape[axis] = 1;
            let mut y =
                x.rows(axis, shape, |row, _| row.iter().sum::<f32>() / if mean { row.len() as f32 } else { 1.0 });
            if integer("keepdims") == Some(0) {
                y.shape.remove(axis);
            }
            y
        }
        "Softmax" => x.rows(axis(-1), x.shape.clone(), |row, i| {
            let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            (row[i] - largest).exp() / row.iter().map(|v| (v - largest).exp()).sum::<f32>()
        }),
        "LayerNormalization" => {
            let epsilon = attribute("epsilon").and_then(|attribute| attribute.f).expect("an epsilon");
            let normalised = x.rows(axis(-1), x.shape.clone(), |row, i| {
                let mean = row.iter().sum::<f32>() / row.len() as f32;
                let variance = row.iter().map(|v| (v - mean).powi(2)).sum::<f32>() / row.len() as f32;
                (row[i] - mean) / (variance + epsilon).sqrt()
            });
            normalised.zip(inputs[1], |a, b| a * b).zip(inputs[2], |a, b| a + b)
        }
        other => panic!("{other} is not known here"),
    };
    vec![y]
}
