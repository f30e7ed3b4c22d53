//! Data-parallel training: each device takes its share of every batch, and gradients are summed over all devices, by
//! Burn's collective operations within a process and by MPI between processes of one device each.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Barrier};

use anyhow::{Result, anyhow, ensure};
use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::{Tensor, TensorData, TensorPrimitive, backend::Backend};
use burn_collective::{CollectiveConfig, CollectiveError, PeerId, ReduceOperation};

use super::loader::Share;
use crate::base::ranks::Ranks;

/// The devices that train together, as one of them sees it.
#[derive(Clone)]
pub struct ProcessGroup {
    /// Number of this device, from 0.
    pub rank: usize,
    /// Number of devices.
    pub world_size: usize,
    /// Number of devices of this process.
    local: usize,
    votes: Arc<Votes>,
    ranks: Arc<Ranks>,
}

/// Where the devices of a process vote, on the host, so that none waits for another's computations.
struct Votes {
    everyone: Barrier,
    /// Votes taken.
    taken: AtomicU64,
    /// The last vote in which a device said yes, from 1.
    yes: AtomicU64,
}

impl Votes {
    fn new(devices: usize) -> Self {
        Self { everyone: Barrier::new(devices), taken: AtomicU64::new(0), yes: AtomicU64::new(0) }
    }

    /// Whether any device says yes. No device comes to the next vote but one before all have read this one's result.
    fn any(&self, here: bool) -> bool {
        let vote = self.taken.load(Ordering::SeqCst) + 1;
        if here {
            self.yes.fetch_max(vote, Ordering::SeqCst);
        }
        if self.everyone.wait().is_leader() {
            self.taken.store(vote, Ordering::SeqCst);
        }
        let any = self.yes.load(Ordering::SeqCst) == vote;
        self.everyone.wait();
        any
    }
}

impl ProcessGroup {
    /// The group as each of the `local` devices of this process sees it, in their order.
    pub fn of(local: usize, ranks: Arc<Ranks>) -> Vec<Self> {
        let votes = Arc::new(Votes::new(local));
        let member = |i| Self {
            rank: ranks.rank() * local + i,
            world_size: ranks.count() * local,
            local,
            votes: Arc::clone(&votes),
            ranks: Arc::clone(&ranks),
        };
        (0..local).map(member).collect()
    }

    /// Whether this device validates, saves, logs and shows the run.
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

    /// Registers this device with the others of this process.
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
        if self.ranks.count() == 1 {
            return Ok(values);
        }
        let device = values.device();
        let data = values.try_into_data().map_err(|error| anyhow!("cannot read from the device: {error:?}"))?;
        let mut host: Vec<f32> = data.iter::<f32>().collect();
        self.ranks.sum(&mut host);
        let count = host.len();
        Ok(Tensor::from_data(TensorData::new(host, [count]), &device))
    }

    /// Whether it holds on any device; all must ask.
    pub fn any(&self, here: bool) -> bool {
        let here = self.votes.any(here);
        // Processes that are several have one device each.
        if self.ranks.count() == 1 { here } else { self.ranks.any(here) }
    }

    /// Whether other processes need what this one reads.
    pub fn has_other_processes(&self) -> bool {
        self.ranks.count() > 1
    }

    /// The bytes of rank 0, on the devices of other processes, too.
    pub fn bytes_of_first(&self, bytes: Vec<u8>) -> Vec<u8> {
        self.ranks.bytes_of_first(bytes)
    }

    /// Fails unless a text is rank 0's on every rank.
    ///
    /// # Errors
    /// It differs here.
    pub fn ensure_same(&self, what: &str, text: &str) -> Result<()> {
        ensure!(self.ranks.text_of_first(text) == text, "rank {} has other {what} than rank 0", self.rank);
        Ok(())
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
    fn a_vote_is_the_same_on_all_devices() {
        let group = ProcessGroup::of(3, Arc::default());
        let votes =
            |member: &ProcessGroup| -> Vec<bool> { (0..300).map(|vote| member.any(vote % 5 == member.rank)).collect() };
        std::thread::scope(|scope| {
            let members: Vec<_> = group.iter().map(|member| scope.spawn(|| votes(member))).collect();
            for member in members {
                let expected: Vec<bool> = (0..300).map(|vote| vote % 5 < 3).collect();
                assert_eq!(member.join().expect("a device"), expected);
            }
        });
    }

    #[test]
    fn shares_cover_a_batch() {
        let group = ProcessGroup::of(4, Arc::default());
        let shares: Vec<_> = group.iter().map(|member| member.share(32, 2).expect("divides").images).collect();
        assert_eq!(shares, [0..8, 8..16, 16..24, 24..32]);
        assert!(group[0].share(20, 2).is_err());
        assert_eq!(group.iter().filter(|member| member.is_rank_zero()).count(), 1);
    }
}
