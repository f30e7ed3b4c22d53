//! What several tests need.

use burn::module::{ModuleMapper, Param};
use burn::tensor::{Tensor, TensorData, backend::Backend};
use vdm::rng::{Rng, RngStream};

/// Adds noise of a standard deviation to all weights, so that none is zero.
pub struct Shake {
    deviation: f64,
    tensors: u64,
}

impl Shake {
    pub fn by(deviation: f64) -> Self {
        Self { deviation, tensors: 0 }
    }
}

impl<B: Backend> ModuleMapper<B> for Shake {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<B, D>>) -> Param<Tensor<B, D>> {
        self.tensors += 1;
        param.map(|tensor| {
            let shape = tensor.dims();
            let values = Rng::new(0, RngStream::Evaluation, self.tensors).normals(shape.iter().product());
            let noise = Tensor::from_data(TensorData::new(values, shape), &tensor.device());
            tensor + noise * self.deviation
        })
    }
}
