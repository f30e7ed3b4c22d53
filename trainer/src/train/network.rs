//! Sums over several machines, by TCP: every machine sends its numbers to node 0, which adds them up in the order of the
//! nodes and sends the sum back. All machines therefore have the same bits.
//!
//! Burn 0.21's own network layer completes one sum only: its barrier clears a copy of the list of nodes that have arrived
//! (`burn-collective`, `global/node/sync.rs`), so that the second sum waits forever.

use std::io::{BufReader, BufWriter, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

/// Several machines, as the command line describes them.
#[derive(Clone, Debug, clap::Args)]
pub struct Nodes {
    /// Machines that train together; each is started with the same options but for --node and --out
    #[arg(long, value_name = "N", requires = "meet_at")]
    pub nodes: Option<usize>,
    /// Which of them this is, from 0; node 0 validates, and shows the run
    #[arg(long, value_name = "I", default_value_t = 0)]
    pub node: usize,
    /// HOST:PORT of node 0, where the machines meet. Its numbers travel unencrypted: use a network that you trust
    #[arg(long, value_name = "HOST:PORT", requires = "nodes")]
    pub meet_at: Option<String>,
}

/// How long the machines wait for each other at the start.
const PATIENCE: Duration = Duration::from_secs(300);
/// What a machine sends first: a name and a version.
const GREETING: &[u8; 8] = b"vdmtrn01";

/// The connections of this machine to the others.
pub struct Network {
    /// This machine.
    pub node: usize,
    /// How many there are.
    pub nodes: usize,
    /// On node 0 those of nodes 1, 2, …; elsewhere the one to node 0.
    peers: Vec<Peer>,
}

struct Peer {
    reader: BufReader<TcpStream>,
    writer: BufWriter<TcpStream>,
}

impl Nodes {
    /// Meets the other machines, if there are any.
    pub fn connect(&self) -> Result<Option<Network>> {
        let (Some(nodes), Some(address)) = (self.nodes, &self.meet_at) else {
            ensure!(self.node == 0, "--node is {}: it needs --nodes and --meet-at", self.node);
            return Ok(None);
        };
        ensure!(nodes > 0, "--nodes is 0: at least 1 is accepted");
        ensure!(self.node < nodes, "--node is {}: 0 to {} is accepted with --nodes {nodes}", self.node, nodes - 1);
        let has_port =
            address.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok());
        ensure!(has_port, "--meet-at is {address}: HOST:PORT is accepted, such as 10.0.0.1:7000");
        if nodes == 1 {
            return Ok(None);
        }
        eprintln!("node {} of {nodes}: waiting for the others at {address}", self.node);
        let peers = if self.node == 0 { listen(address, nodes)? } else { vec![join(address, self.node, nodes)?] };
        Ok(Some(Network { node: self.node, nodes, peers }))
    }
}

fn listen(address: &str, nodes: usize) -> Result<Vec<Peer>> {
    let listener = TcpListener::bind(address).with_context(|| format!("cannot listen at {address}"))?;
    listener.set_nonblocking(true)?;
    let started = Instant::now();
    let mut peers: Vec<Option<Peer>> = (1..nodes).map(|_| None).collect();
    while peers.iter().any(Option::is_none) {
        let stream = match listener.accept() {
            Ok((stream, _)) => stream,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                if started.elapsed() > PATIENCE {
                    let missing: Vec<String> =
                        (1..nodes).filter(|&i| peers[i - 1].is_none()).map(|i| i.to_string()).collect();
                    bail!("node {} did not connect within {} s", missing.join(", "), PATIENCE.as_secs());
                }
                std::thread::sleep(Duration::from_millis(50));
                continue;
            }
            Err(error) => return Err(error).context("cannot accept another machine"),
        };
        let mut peer = Peer::new(stream)?;
        // Other programs that connect do not send the greeting.
        let Ok(hello) = peer.receive_hello() else { continue };
        let [node, of] = hello;
        ensure!(of == nodes, "node {node} was started with --nodes {of}, this one with --nodes {nodes}");
        ensure!((1..nodes).contains(&node), "a machine connected as node {node} of {nodes}");
        ensure!(peers[node - 1].is_none(), "two machines connected as node {node}");
        peers[node - 1] = Some(peer);
    }
    Ok(peers.into_iter().flatten().collect())
}

fn join(address: &str, node: usize, nodes: usize) -> Result<Peer> {
    let started = Instant::now();
    loop {
        match TcpStream::connect(address) {
            Ok(stream) => {
                let mut peer = Peer::new(stream)?;
                peer.writer.write_all(GREETING)?;
                for number in [node, nodes] {
                    peer.writer.write_all(&(number as u64).to_le_bytes())?;
                }
                peer.writer.flush()?;
                return Ok(peer);
            }
            Err(error) if started.elapsed() > PATIENCE => {
                return Err(error).with_context(|| format!("cannot reach node 0 at {address}"));
            }
            Err(_) => std::thread::sleep(Duration::from_millis(200)),
        }
    }
}

impl Peer {
    fn new(stream: TcpStream) -> Result<Self> {
        stream.set_nonblocking(false)?;
        stream.set_nodelay(true)?;
        Ok(Self { reader: BufReader::new(stream.try_clone()?), writer: BufWriter::with_capacity(1 << 20, stream) })
    }

    fn receive_hello(&mut self) -> Result<[usize; 2]> {
        // A connection that sends nothing must not keep the others waiting.
        self.reader.get_ref().set_read_timeout(Some(Duration::from_secs(5)))?;
        let mut greeting = [0; 8];
        self.reader.read_exact(&mut greeting)?;
        ensure!(&greeting == GREETING, "not a trainer of this version");
        let mut number = || -> Result<usize> {
            let mut bytes = [0; 8];
            self.reader.read_exact(&mut bytes)?;
            Ok(u64::from_le_bytes(bytes) as usize)
        };
        let hello = [number()?, number()?];
        self.reader.get_ref().set_read_timeout(None)?;
        Ok(hello)
    }

    fn send(&mut self, values: &[f32]) -> std::io::Result<()> {
        self.writer.write_all(&(values.len() as u64).to_le_bytes())?;
        for value in values {
            self.writer.write_all(&value.to_le_bytes())?;
        }
        self.writer.flush()
    }

    fn receive(&mut self, values: &mut [f32], mut use_value: impl FnMut(&mut f32, f32)) -> Result<()> {
        let mut length = [0; 8];
        self.reader.read_exact(&mut length)?;
        ensure!(u64::from_le_bytes(length) == values.len() as u64, "it has another model");
        let mut bytes = [0; 4];
        for value in values {
            self.reader.read_exact(&mut bytes)?;
            use_value(value, f32::from_le_bytes(bytes));
        }
        Ok(())
    }
}

impl Network {
    /// Sums numbers over all machines, which must all have the same count.
    pub fn sum(&mut self, values: &mut [f32]) -> Result<()> {
        let lost = "another machine was lost: the last checkpoint stays, continue with --resume on all of them";
        let mut exchange = || -> Result<()> {
            if self.node != 0 {
                for peer in &mut self.peers {
                    peer.send(values)?;
                    peer.receive(values, |value, sum| *value = sum)?;
                }
                return Ok(());
            }
            for peer in &mut self.peers {
                peer.receive(values, |sum, value| *sum += value)?;
            }
            self.peers.iter_mut().try_for_each(|peer| Ok(peer.send(values)?))
        };
        exchange().context(lost)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nodes(node: usize, address: &str) -> Nodes {
        Nodes { nodes: Some(3), node, meet_at: Some(address.to_owned()) }
    }

    #[test]
    fn machines_sum_again_and_again() {
        let port = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port").port();
        let address = format!("127.0.0.1:{port}");
        let sums: Vec<Vec<f32>> = std::thread::scope(|scope| {
            let machines: Vec<_> = (0..3)
                .map(|node| {
                    let address = address.clone();
                    scope.spawn(move || {
                        let mut network = nodes(node, &address).connect().expect("connects").expect("several");
                        let mut values: Vec<f32> = (0..1000).map(|i| (i * (node + 1)) as f32).collect();
                        for _ in 0..20 {
                            network.sum(&mut values).expect("sums");
                            values.iter_mut().for_each(|value| *value /= 3.0);
                        }
                        values
                    })
                })
                .collect();
            machines.into_iter().map(|machine| machine.join().expect("a machine")).collect()
        });
        assert_eq!(sums[0], sums[1]);
        assert_eq!(sums[0], sums[2]);
        assert!((sums[0][500] - 1000.0).abs() < 1e-2, "{}", sums[0][500]);
    }

    #[test]
    fn a_lost_machine_is_an_error_and_not_a_wait() {
        let port = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port").port();
        let address = format!("127.0.0.1:{port}");
        let pair = |node| Nodes { nodes: Some(2), node, meet_at: Some(address.clone()) };
        let (one, two) = (pair(0), pair(1));
        std::thread::scope(|scope| {
            scope.spawn(move || drop(two.connect()));
            let mut network = one.connect().expect("connects").expect("several");
            assert!(network.sum(&mut [1.0, 2.0]).is_err());
        });
    }

    #[test]
    fn addresses_need_a_port() {
        for address in ["10.0.0.1", ":7000", "host:", "host:70000"] {
            assert!(nodes(1, address).connect().is_err(), "{address}");
        }
    }
}
