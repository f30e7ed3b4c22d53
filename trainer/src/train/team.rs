//! The devices that train together: each takes its share of every batch, and gradients are summed over all of them by
//! Burn's collective operations.

use std::sync::Once;
use std::thread;

use anyhow::{Context, Result, anyhow, ensure};
use burn::optim::GradientsParams;
use burn::tensor::{Tensor, TensorPrimitive, backend::Backend};
use burn_collective::{CollectiveConfig, PeerId, ReduceOperation};

use super::loader::Share;

/// Several machines, as the command line describes them.
#[derive(Clone, Debug, clap::Args)]
pub struct Nodes {
    /// Machines that train together; each is started with the same options but for --node and --node-address
    #[arg(long, value_name = "N", requires_all = ["orchestrator", "node_address"])]
    pub nodes: Option<u32>,
    /// Which of them this is, from 0; node 0 validates, and runs the orchestrator
    #[arg(long, value_name = "I", default_value_t = 0)]
    pub node: u32,
    /// Where the machines meet: HOST:PORT of node 0
    #[arg(long, value_name = "HOST:PORT", requires = "nodes")]
    pub orchestrator: Option<String>,
    /// Where the others reach this machine: HOST:PORT, a port of its own
    #[arg(long, value_name = "HOST:PORT", requires = "nodes")]
    pub node_address: Option<String>,
}

/// The number of machines, and where they are.
#[derive(Clone, Debug)]
pub struct Network {
    nodes: u32,
    node: u32,
    orchestrator: String,
    address: String,
    port: u16,
}

impl Nodes {
    /// Checks the addresses, and starts the orchestrator on node 0.
    pub fn connect(&self) -> Result<Option<Network>> {
        let (Some(nodes), Some(orchestrator), Some(address)) = (self.nodes, &self.orchestrator, &self.node_address)
        else {
            return Ok(None);
        };
        ensure!(nodes > 0, "--nodes is 0: at least 1 is accepted");
        ensure!(self.node < nodes, "--node is {}: 0 to {} is accepted with --nodes {nodes}", self.node, nodes - 1);
        let orchestrator_port = port("--orchestrator", orchestrator)?;
        let port = port("--node-address", address)?;
        if self.node == 0 {
            start_orchestrator(orchestrator_port)?;
        }
        Ok(Some(Network {
            nodes,
            node: self.node,
            orchestrator: format!("ws://{orchestrator}"),
            address: format!("ws://{address}"),
            port,
        }))
    }
}

fn port(option: &str, address: &str) -> Result<u16> {
    address
        .rsplit_once(':')
        .filter(|(host, _)| !host.is_empty())
        .and_then(|(_, port)| port.parse().ok())
        .with_context(|| format!("{option} is {address}: HOST:PORT is accepted, such as 10.0.0.1:7000"))
}

fn start_orchestrator(port: u16) -> Result<()> {
    // Burn's server gives up silently where the port is taken.
    drop(std::net::TcpListener::bind(("0.0.0.0", port)).with_context(|| format!("cannot listen on port {port}"))?);
    static STARTED: Once = Once::new();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .context("cannot start the orchestrator")?;
    STARTED.call_once(|| {
        thread::spawn(move || runtime.block_on(burn_collective::start_global_orchestrator(port)));
    });
    Ok(())
}

/// One device's place among those that train together.
#[derive(Clone, Debug)]
pub struct Team {
    /// Number of this device, from 0, over all machines.
    pub rank: usize,
    /// Devices over all machines.
    pub members: usize,
    local: usize,
    network: Option<Network>,
}

impl Team {
    /// The places of `local` devices of this machine, in their order.
    pub fn of(local: usize, network: Option<&Network>) -> Vec<Self> {
        let (node, nodes) = network.map_or((0, 1), |network| (network.node as usize, network.nodes as usize));
        (0..local)
            .map(|i| Self { rank: node * local + i, members: nodes * local, local, network: network.cloned() })
            .collect()
    }

    /// Whether this device saves its machine's checkpoints.
    pub fn saves(&self) -> bool {
        self.rank.is_multiple_of(self.local)
    }

    /// Whether this device measures and shows the run.
    pub fn leads(&self) -> bool {
        self.rank == 0
    }

    /// Whether this device is alone.
    pub fn is_alone(&self) -> bool {
        self.members == 1
    }

    /// The images of each batch that this device takes.
    pub fn share(&self, batch: usize, accumulation: usize) -> Result<Share> {
        let parts = self.members * accumulation;
        ensure!(
            batch.is_multiple_of(parts),
            "a batch of {batch} cannot be cut into equal parts for {} devices times --accumulation {accumulation}: \
             pass a --batch that is a multiple of {parts}",
            self.members
        );
        let size = batch / self.members;
        Ok(Share { images: self.rank * size..(self.rank + 1) * size, parts: accumulation })
    }

    fn peer(&self) -> PeerId {
        PeerId::from(self.rank)
    }

    /// Meets the others; returns when all are there.
    pub fn meet<B: Backend>(&self, device: &B::Device) -> Result<()> {
        if self.is_alone() {
            return Ok(());
        }
        let mut config = CollectiveConfig::default().with_num_devices(self.local);
        if let Some(network) = &self.network {
            let address = |text: &str| text.parse().map_err(|error: String| anyhow!(error));
            config = config
                .with_num_nodes(network.nodes)
                .with_global_address(address(&network.orchestrator)?)
                .with_node_address(address(&network.address)?)
                .with_data_service_port(network.port);
        }
        burn_collective::register::<B>(self.peer(), device.clone(), config)
            .map_err(|error| anyhow!("the devices cannot meet: {error:?}"))
    }

    /// Sums gradients over all devices.
    pub fn sum_gradients<B: Backend>(&self, gradients: GradientsParams) -> Result<GradientsParams> {
        if self.is_alone() {
            return Ok(gradients);
        }
        gradients.all_reduce::<B>(self.peer(), ReduceOperation::Sum).map_err(lost)
    }

    /// Sums a tensor over all devices.
    pub fn sum<B: Backend>(&self, values: Tensor<B, 1>) -> Result<Tensor<B, 1>> {
        if self.is_alone() {
            return Ok(values);
        }
        let values = values.into_primitive().tensor();
        let sum = burn_collective::all_reduce::<B>(self.peer(), values, ReduceOperation::Sum).map_err(lost)?;
        Ok(Tensor::from_primitive(TensorPrimitive::Float(sum)))
    }

    /// Leaves the others.
    pub fn part<B: Backend>(&self) {
        if !self.is_alone() {
            // The run is over; nothing is lost if a device has gone already.
            let _ = burn_collective::finish_collective::<B>(self.peer());
        }
    }
}

fn lost(error: burn_collective::CollectiveError) -> anyhow::Error {
    anyhow!("a device was lost ({error:?}): the last checkpoint stays, go on with --resume")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_cover_a_batch() {
        let team = Team::of(4, None);
        let shares: Vec<_> = team.iter().map(|member| member.share(32, 2).expect("divides").images).collect();
        assert_eq!(shares, [0..8, 8..16, 16..24, 24..32]);
        assert!(team[0].share(20, 2).is_err());
        assert_eq!(team.iter().filter(|member| member.leads()).count(), 1);
    }

    #[test]
    fn addresses_need_a_port() {
        assert_eq!(port("--orchestrator", "10.0.0.1:7000").expect("an address"), 7000);
        for address in ["10.0.0.1", ":7000", "host:", "host:70000"] {
            assert!(port("--orchestrator", address).is_err(), "{address}");
        }
    }
}
