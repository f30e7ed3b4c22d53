//! Data-parallel training: each device takes its share of every batch, and gradients are summed over all devices, by
//! Burn's collective operations within a machine and by [`Network`] between machines.

use std::sync::{Arc, Mutex};

use anyhow::{Result, anyhow, ensure};
use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::{Tensor, TensorData, TensorPrimitive, backend::Backend};
use burn_collective::{CollectiveConfig, CollectiveError, PeerId, ReduceOperation};

use super::loader::Share;
use super::network::Network;

/// The devices that train together, as one of them sees it.
#[derive(Clone)]
pub struct ProcessGroup {
    /// Number of this device over all machines, from 0.
    pub rank: usize,
    /// Number of devices over all machines.
    pub world_size: usize,
    local: usize,
    network: Option<Arc<Mutex<Network>>>,
}

impl ProcessGroup {
    /// The group as each of the `local` devices of this machine sees it, in their order.
    pub fn of(local: usize, network: Option<Network>) -> Vec<Self> {
        let (node, nodes) = network.as_ref().map_or((0, 1), |network| (network.node, network.nodes));
        let network = network.map(|network| Arc::new(Mutex::new(network)));
        (0..local)
            .map(|i| Self { rank: node * local + i, world_size: nodes * local, local, network: network.clone() })
            .collect()
    }

    /// Whether this device is the first of its machine: it saves checkpoints and communicates with the other machines.
    pub fn is_first_of_machine(&self) -> bool {
        self.rank.is_multiple_of(self.local)
    }

    /// Whether this device validates, logs and shows the run.
    pub fn is_rank_zero(&self) -> bool {
        self.rank == 0
    }

    /// Whether this is the only device.
    pub fn is_alone(&self) -> bool {
        self.world_size == 1
    }

    /// The images of each batch that this device takes.
    ///
    /// # Errors
    /// The batch cannot be divided equally.
    pub fn share(&self, batch: usize, accumulation: usize) -> Result<Share> {
        let parts = self.world_size * accumulation;
        ensure!(
            batch.is_multiple_of(parts),
            "a batch of {batch} cannot be divided into equal parts for {} devices times training.accumulation = {accumulation}: \
             pass a --batch that is a multiple of {parts}",
            self.world_size
        );
        let size = batch / self.world_size;
        Ok(Share { images: self.rank * size..(self.rank + 1) * size, parts: accumulation })
    }

    fn peer(&self) -> PeerId {
        PeerId::from(self.rank)
    }

    /// Registers this device with the others of this machine.
    pub fn join<B: Backend>(&self, device: &B::Device) -> Result<()> {
        if self.local == 1 {
            return Ok(());
        }
        let config = CollectiveConfig::default().with_num_devices(self.local);
        burn_collective::register::<B>(self.peer(), device.clone(), config)
            .map_err(|error| anyhow!("the devices cannot connect: {error:?}"))
    }

    /// Sums gradients and some numbers over all devices.
    pub fn sum_gradients<B: Backend>(
        &self,
        gradients: GradientsParams,
        numbers: Tensor<B, 1>,
        networks: &impl Module<B>,
    ) -> Result<(GradientsParams, Tensor<B, 1>)> {
        if self.is_alone() {
            return Ok((gradients, numbers));
        }
        // All in one tensor, for one exchange per step.
        let mut pack = Pack { gradients, tensors: vec![numbers.clone()] };
        networks.visit(&mut pack);
        let sum = self.sum(Tensor::cat(pack.tensors, 0))?;
        let [count] = numbers.dims();
        let numbers = sum.clone().narrow(0, 0, count);
        let mut unpack = Unpack { gradients: pack.gradients, sum, at: count };
        networks.visit(&mut unpack);
        Ok((unpack.gradients, numbers))
    }

    /// Sums a tensor over all devices.
    pub fn sum<B: Backend>(&self, values: Tensor<B, 1>) -> Result<Tensor<B, 1>> {
        let mut values = values;
        if self.local > 1 {
            let operation = ReduceOperation::Sum;
            let sum = burn_collective::all_reduce::<B>(self.peer(), values.into_primitive().tensor(), operation);
            values = Tensor::from_primitive(TensorPrimitive::Float(sum.map_err(lost)?));
        }
        let Some(network) = &self.network else { return Ok(values) };
        let mut total = None;
        if self.is_first_of_machine() {
            let device = values.device();
            let data = values.try_into_data().map_err(|error| anyhow!("cannot read from the device: {error:?}"))?;
            let mut host: Vec<f32> = data.iter::<f32>().collect();
            network.lock().map_err(|_| anyhow!("a device has failed"))?.sum(&mut host)?;
            let count = host.len();
            total = Some(Tensor::<B, 1>::from_data(TensorData::new(host, [count]), &device));
        }
        if self.local > 1 {
            let total = total.map(|total| total.into_primitive().tensor());
            let total = burn_collective::broadcast::<B>(self.peer(), total).map_err(lost)?;
            return Ok(Tensor::from_primitive(TensorPrimitive::Float(total)));
        }
        total.ok_or_else(|| anyhow!("this device has no sum"))
    }

    /// Leaves the group.
    pub fn leave<B: Backend>(&self) {
        if self.local > 1 {
            // At the end of the run, an error of a device that has left already does no harm.
            let _ = burn_collective::finish_collective::<B>(self.peer());
        }
    }
}

fn lost(error: CollectiveError) -> anyhow::Error {
    anyhow!("a device was lost ({error:?}): the last checkpoint stays, continue with --resume")
}

struct Pack<B: Backend> {
    gradients: GradientsParams,
    tensors: Vec<Tensor<B, 1>>,
}

impl<B: Backend> ModuleVisitor<B> for Pack<B> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<B, D>>) {
        if let Some(gradient) = self.gradients.get::<B, D>(param.id) {
            self.tensors.push(gradient.flatten(0, D - 1));
        }
    }
}

struct Unpack<B: Backend> {
    gradients: GradientsParams,
    sum: Tensor<B, 1>,
    at: usize,
}

impl<B: Backend> ModuleVisitor<B> for Unpack<B> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<B, D>>) {
        if let Some(gradient) = self.gradients.remove::<B, D>(param.id) {
            let count = gradient.shape().num_elements();
            let sum = self.sum.clone().narrow(0, self.at, count).reshape(gradient.dims());
            self.gradients.register::<B, D>(param.id, sum);
            self.at += count;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_cover_a_batch() {
        let group = ProcessGroup::of(4, None);
        let shares: Vec<_> = group.iter().map(|member| member.share(32, 2).expect("divides").images).collect();
        assert_eq!(shares, [0..8, 8..16, 16..24, 24..32]);
        assert!(group[0].share(20, 2).is_err());
        assert_eq!(group.iter().filter(|member| member.is_rank_zero()).count(), 1);
    }
}
