//! The processes of an MPI job, one for each device: the only file of this crate that knows whether MPI is there. A process
//! that no launcher started is alone.
//!
//! MPI ends the whole job where one of its functions fails, so that none of them gives an error.

use anyhow::{Result, ensure};
#[cfg(feature = "mpi")]
use mpi::{
    collective::SystemOperation,
    environment::{Universe, initialize},
    traits::{Communicator, CommunicatorCollectives, Root},
};

/// How many processes a launcher started, where it says so: Open MPI, MPICH and its relatives, SLURM.
const COUNTS: [&str; 3] = ["OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS"];

/// Numbers that are summed or sent at once: MPI counts in 32 bits.
#[cfg(feature = "mpi")]
const AT_ONCE: usize = 1 << 28;

/// The processes of a job, as one of them sees them.
#[derive(Default)]
pub struct Ranks {
    /// Number of this process, from 0.
    rank: usize,
    /// Number of processes besides this one.
    others: usize,
    /// Number of this process among those on its host, from 0.
    rank_on_host: usize,
    #[cfg(feature = "mpi")]
    universe: Option<Universe>,
}

impl Ranks {
    /// Meets the other processes of the job, if there are any.
    ///
    /// # Errors
    /// A launcher started several processes, and MPI does not join them.
    pub fn start() -> Result<Self> {
        let started = COUNTS.iter().find_map(|name| std::env::var(name).ok()?.parse().ok()).unwrap_or(1);
        let ranks = if started > 1 { Self::join() } else { Self::default() };
        ensure!(
            ranks.count() == started,
            "the launcher started {started} processes, and each of them sees {}: {}",
            ranks.count(),
            if cfg!(feature = "mpi") {
                "`mpirun` must be of the MPI that this program was built with, and `srun` may need --mpi=pmix"
            } else {
                "this program was built without MPI (cargo build --features mpi)"
            }
        );
        Ok(ranks)
    }

    /// Number of this process, from 0.
    pub fn rank(&self) -> usize {
        self.rank
    }

    /// Number of processes.
    pub fn count(&self) -> usize {
        self.others + 1
    }

    /// Number of this process among those on its host, from 0.
    pub fn rank_on_host(&self) -> usize {
        self.rank_on_host
    }

    /// Whether it holds on any; all must ask.
    pub fn any(&self, here: bool) -> bool {
        let mut sum = [if here { 1.0 } else { 0.0 }];
        self.sum(&mut sum);
        sum[0] > 0.0
    }

    /// A text of rank 0.
    pub fn text_of_first(&self, text: &str) -> String {
        String::from_utf8_lossy(&self.bytes_of_first(text.as_bytes().to_vec())).into_owned()
    }
}

#[cfg(not(feature = "mpi"))]
impl Ranks {
    fn join() -> Self {
        Self::default()
    }

    /// Sums numbers over all, with the same bits on each.
    pub fn sum(&self, _values: &mut [f32]) {}

    /// The bytes of rank 0.
    pub fn bytes_of_first(&self, bytes: Vec<u8>) -> Vec<u8> {
        bytes
    }

    /// Ends the job on all ranks.
    pub fn abort(&self) {}
}

#[cfg(feature = "mpi")]
impl Ranks {
    fn join() -> Self {
        let Some(universe) = initialize() else { return Self::default() };
        let world = universe.world();
        let (rank, others) = (world.rank() as usize, world.size() as usize - 1);
        let rank_on_host = world.split_shared(world.rank()).rank() as usize;
        Self { rank, others, rank_on_host, universe: Some(universe) }
    }

    /// Sums numbers over all, with the same bits on each.
    pub fn sum(&self, values: &mut [f32]) {
        let Some(universe) = &self.universe else { return };
        let world = universe.world();
        for part in values.chunks_mut(AT_ONCE) {
            let mine = part.to_vec();
            world.all_reduce_into(&mine[..], part, SystemOperation::sum());
        }
    }

    /// The bytes of rank 0.
    pub fn bytes_of_first(&self, mut bytes: Vec<u8>) -> Vec<u8> {
        let Some(universe) = &self.universe else { return bytes };
        let world = universe.world();
        let first = world.process_at_rank(0);
        let mut length = bytes.len() as u64;
        first.broadcast_into(&mut length);
        bytes.resize(length as usize, 0);
        for part in bytes.chunks_mut(AT_ONCE) {
            first.broadcast_into(part);
        }
        bytes
    }

    /// Ends the job on all ranks.
    pub fn abort(&self) {
        if let Some(universe) = &self.universe {
            universe.world().abort(1);
        }
    }
}

#[cfg(feature = "mpi")]
impl Drop for Ranks {
    fn drop(&mut self) {
        // MPI's end waits for all ranks; one that panics is not to wait.
        if std::thread::panicking() {
            std::mem::forget(self.universe.take());
        }
    }
}
