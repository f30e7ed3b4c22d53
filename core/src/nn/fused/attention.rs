//! Attention among the patches of an image.

use burn::tensor::{Tensor, backend::Backend};
use burn_flex::FlexTensor;

use super::cpu::{
    Cores, Into, Matrix, ROWS, dot, each_part, exp, map_sum, numbers, product, sizes, tasks, tensor, vectorized,
};
use super::operation::{Operation, apply, inside, outside};

/// Attention with normalised queries and keys, of queries, keys and values side by side `[B·P, 3·heads·size]`, mixed values
/// `[B·P, heads·size]`; `None` where it is the plain code's to do. A core has the weights of one head of one image at a time in
/// its cache; they are computed again for the gradient.
pub fn attention<B: Backend>(qkv: &Tensor<B, 2>, patches: usize, heads: usize, epsilon: f32) -> Option<Tensor<B, 2>> {
    apply::<B, _, 1>(Attention { patches, heads, epsilon }, [inside(qkv)]).map(outside)
}

#[derive(Clone, Copy, Debug)]
struct Attention {
    patches: usize,
    heads: usize,
    epsilon: f32,
}

/// Queries, keys and their weights of one head of one image.
struct Head<'a> {
    /// `[P, size]`, normalised and over √size.
    queries: Vec<f32>,
    /// `[P, size]`, normalised.
    keys: Vec<f32>,
    values: Matrix<'a>,
    /// Of each query, 1 over the sum of its weights.
    inverse_sums: Vec<f32>,
    /// e^(q·k) `[P, P]`.
    weights: Vec<f32>,
}

impl Attention {
    /// x / √(mean x² + ε) times a factor, of columns of a matrix with rows of `stride`.
    fn normalised(&self, x: &[f32], stride: usize, first: usize, size: usize, factor: f32) -> Vec<f32> {
        let mut out = vec![0.0; self.patches * size];
        for (out, x) in out.chunks_exact_mut(size).zip(x.chunks_exact(stride)) {
            let x = &x[first..][..size];
            let scale = factor * (dot(x, x) / size as f32 + self.epsilon).sqrt().recip();
            for (out, x) in out.iter_mut().zip(x) {
                *out = x * scale;
            }
        }
        out
    }

    /// Of the rows `qkv` of an image.
    fn head<'a>(&self, qkv: &'a [f32], head: usize, width: usize) -> Head<'a> {
        let (patches, size) = (self.patches, width / self.heads);
        let (queries, keys) = vectorized(|| {
            (
                self.normalised(qkv, 3 * width, head * size, size, (size as f32).sqrt().recip()),
                self.normalised(qkv, 3 * width, width + head * size, size, 1.0),
            )
        });
        let mut weights = vec![0.0; patches * patches];
        let (q, k) = (Matrix::new(&queries, size), Matrix::new(&keys, size).transposed());
        product(&mut weights, Into::Replace, q, k, Cores::One);
        let inverse_sums =
            vectorized(|| weights.chunks_exact_mut(patches).map(|weights| map_sum(weights, exp).recip()).collect());
        let values = Matrix::new(qkv, 3 * width).columns(2 * width + head * size, size);
        Head { queries, keys, values, inverse_sums, weights }
    }

    /// Runs `f` for each head of each image, and puts the `parts` times `[P, size]` of each side by side.
    fn each_head(
        &self,
        [count, width]: [usize; 2],
        parts: usize,
        f: impl Fn(usize, usize) -> Vec<f32> + Sync + Send,
    ) -> FlexTensor {
        let (patches, heads) = (self.patches, self.heads);
        let size = width / heads;
        let of_heads = tasks(count / patches * heads, |task| f(task / heads, task % heads));
        let mut out = vec![0.0; count * parts * width];
        each_part(&mut out, ROWS * parts * width, |i, out| {
            for (k, out) in out.chunks_exact_mut(parts * width).enumerate() {
                let (image, patch) = ((i * ROWS + k) / patches, (i * ROWS + k) % patches);
                for (column, out) in out.chunks_exact_mut(size).enumerate() {
                    let (part, head) = (column / heads, column % heads);
                    let from = &of_heads[image * heads + head][(part * patches + patch) * size..];
                    out.copy_from_slice(&from[..size]);
                }
            }
        });
        tensor(out, &[count, parts * width])
    }
}

impl Operation<1> for Attention {
    type Kept = ();

    fn forward(&self, [qkv]: &[FlexTensor; 1], _keep: bool) -> (FlexTensor, Option<()>) {
        let [count, columns] = sizes(qkv);
        let (width, qkv) = (columns / 3, numbers(qkv));
        let of_image = self.patches * columns;
        let mixed = self.each_head([count, width], 1, |image, head| {
            let Head { values, inverse_sums, weights, .. } =
                self.head(&qkv[image * of_image..][..of_image], head, width);
            let size = width / self.heads;
            let mut mixed = vec![0.0; self.patches * size];
            product(&mut mixed, Into::Replace, Matrix::new(&weights, self.patches), values, Cores::One);
            vectorized(|| {
                for (mixed, inverse) in mixed.chunks_exact_mut(size).zip(&inverse_sums) {
                    mixed.iter_mut().for_each(|mixed| *mixed *= inverse);
                }
            });
            mixed
        });
        (mixed, None)
    }

    fn backward(
        &self,
        [qkv]: &[FlexTensor; 1],
        _kept: Option<()>,
        gradient: FlexTensor,
        _wanted: [bool; 1],
    ) -> [Option<FlexTensor>; 1] {
        let [count, columns] = sizes(qkv);
        let (width, qkv, gradient) = (columns / 3, numbers(qkv), numbers(&gradient));
        let (patches, size) = (self.patches, width / self.heads);
        let gradients = self.each_head([count, width], 3, |image, head| {
            let qkv = &qkv[image * patches * columns..][..patches * columns];
            let gradient = &gradient[image * patches * width..][..patches * width];
            let gradient = Matrix::new(gradient, width).columns(head * size, size);
            let Head { queries, keys, values, inverse_sums, mut weights } = self.head(qkv, head, width);
            // Of the weights w = softmax(s), and then of s: w (∂w − Σ w ∂w).
            let mut of_weights = vec![0.0; patches * patches];
            product(&mut of_weights, Into::Replace, gradient, values.transposed(), Cores::One);
            vectorized(|| {
                let rows = weights.chunks_exact_mut(patches).zip(of_weights.chunks_exact_mut(patches));
                for ((weights, of_weights), inverse) in rows.zip(&inverse_sums) {
                    weights.iter_mut().for_each(|weight| *weight *= inverse);
                    let mean = dot(weights, of_weights);
                    for (of_weight, weight) in of_weights.iter_mut().zip(weights) {
                        *of_weight = *weight * (*of_weight - mean);
                    }
                }
            });
            let mut out = vec![0.0; 3 * patches * size];
            let (of_queries, rest) = out.split_at_mut(patches * size);
            let (of_keys, of_values) = rest.split_at_mut(patches * size);
            let (weights, of_weights) = (Matrix::new(&weights, patches), Matrix::new(&of_weights, patches));
            product(of_queries, Into::Replace, of_weights, Matrix::new(&keys, size), Cores::One);
            product(of_keys, Into::Replace, of_weights.transposed(), Matrix::new(&queries, size), Cores::One);
            product(of_values, Into::Replace, weights.transposed(), gradient, Cores::One);
            vectorized(|| {
                let inverse_root = (size as f32).sqrt().recip();
                for (gradients, first, factor) in [(of_queries, 0, inverse_root), (of_keys, width, 1.0)] {
                    for (gradient, x) in gradients.chunks_exact_mut(size).zip(qkv.chunks_exact(columns)) {
                        let x = &x[first + head * size..][..size];
                        let inverse = (dot(x, x) / size as f32 + self.epsilon).sqrt().recip();
                        let along = dot(gradient, x) * inverse * inverse / size as f32;
                        for (gradient, x) in gradient.iter_mut().zip(x) {
                            *gradient = factor * inverse * (*gradient - x * along);
                        }
                    }
                }
            });
            out
        });
        [Some(gradients)]
    }
}
