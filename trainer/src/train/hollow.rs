//! Networks that are taken from where they are kept, so that their parameters have one owner and are changed in place.

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{Tensor, backend::Backend};

/// Takes the networks, and leaves the same ones without numbers behind until others take their place.
pub fn take<B: Backend, M: Module<B>>(networks: &mut M) -> M {
    let hollow = networks.clone().map(&mut Empty);
    std::mem::replace(networks, hollow)
}

struct Empty;

impl<B: Backend> ModuleMapper<B> for Empty {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<B, D>>) -> Param<Tensor<B, D>> {
        let (id, tensor, mapper) = param.consume();
        Param::from_mapped_value(id, Tensor::zeros([0; D], &tensor.device()), mapper)
    }
}
