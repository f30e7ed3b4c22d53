//! Devices: the only file of this crate that names backends.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
#[cfg(feature = "cuda")]
use burn::backend::Cuda;
#[cfg(feature = "wgpu")]
use burn::backend::Wgpu;
#[cfg(feature = "wgpu")]
use burn::backend::wgpu::{RuntimeOptions, WgpuDevice, graphics::AutoGraphicsApi, init_setup};
use burn::backend::{Autodiff, Flex};
use burn::tensor::backend::AutodiffBackend;
#[cfg(any(feature = "cuda", feature = "wgpu"))]
use burn::tensor::{Tensor, TensorData, backend::Backend};
use clap::ValueEnum;

use super::ranks::Ranks;

/// The value of `--device`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DeviceChoice {
    /// CUDA, else a GPU through wgpu, else the CPU
    Auto,
    /// The CPU
    Cpu,
    /// An NVIDIA GPU through CUDA
    Cuda,
    /// A GPU through Vulkan, Metal or DirectX 12
    Wgpu,
}

/// A device that is used only if a test computation succeeds on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Probed {
    /// CUDA.
    Cuda,
    /// wgpu.
    Wgpu,
}

/// A device that works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Device {
    /// burn-flex.
    Cpu,
    /// burn-cuda.
    Cuda,
    /// burn-wgpu.
    Wgpu,
}

impl Device {
    /// Whether it is a GPU.
    pub fn is_gpu(self) -> bool {
        self != Device::Cpu
    }
}

/// Work that is generic over the backend.
pub trait Job {
    /// Its result.
    type Output;
    /// Runs it.
    fn run<B: AutodiffBackend>(self, device: &B::Device) -> Result<Self::Output>;
}

/// Runs a job on a device.
pub fn run<J: Job>(device: Device, job: J) -> Result<J::Output> {
    match device {
        Device::Cpu => job.run::<Autodiff<Flex>>(&Default::default()),
        #[cfg(feature = "cuda")]
        Device::Cuda => job.run::<Autodiff<Cuda>>(&Default::default()),
        #[cfg(feature = "wgpu")]
        Device::Wgpu => job.run::<Autodiff<Wgpu>>(&WgpuDevice::default()),
        #[cfg(not(all(feature = "cuda", feature = "wgpu")))]
        other => bail!("this program was built without {other:?}"),
    }
}

/// Work for several devices of one kind.
pub trait GroupJob {
    /// Its result.
    type Output;
    /// Runs it.
    fn run<B: AutodiffBackend>(self, devices: Vec<B::Device>) -> Result<Self::Output>;
}

/// The value of `--devices`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Devices {
    /// This number of devices, the first ones.
    Count(usize),
    /// Devices by their numbers.
    Numbers(Vec<usize>),
    /// All devices of the machine.
    All,
    /// One device, by the number of a process among those of its host.
    OfRank(usize),
}

impl std::str::FromStr for Devices {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let refuse = || "a number from 1, several numbers of devices such as 0,2, or all".to_owned();
        let numbers: Result<Vec<usize>, _> = text.split(',').map(|part| part.trim().parse()).collect();
        match (text, numbers) {
            ("all", _) => Ok(Self::All),
            (_, Ok(numbers)) if numbers.len() > 1 => {
                let mut unique = numbers.clone();
                unique.sort_unstable();
                unique.dedup();
                if unique.len() == numbers.len() { Ok(Self::Numbers(numbers)) } else { Err(refuse()) }
            }
            (_, Ok(numbers)) if numbers[0] > 0 => Ok(Self::Count(numbers[0])),
            _ => Err(refuse()),
        }
    }
}

impl Devices {
    /// The device of one process of several.
    ///
    /// # Errors
    /// Several devices for each process.
    pub fn of_rank(&self, ranks: &Ranks) -> Result<Self> {
        let rank = ranks.rank_on_host();
        match self {
            _ if ranks.count() == 1 => Ok(self.clone()),
            Devices::Numbers(numbers) => Ok(Devices::Numbers(vec![numbers[rank % numbers.len()]])),
            Devices::Count(count) if *count > 1 => {
                bail!(
                    "--devices is {count}, and each of the {} processes trains on one device: start one for each",
                    ranks.count()
                )
            }
            _ => Ok(Devices::OfRank(rank)),
        }
    }

    /// The numbers of the devices on a machine that has `available` of them.
    #[cfg(any(feature = "cuda", feature = "wgpu", test))]
    fn numbers(&self, available: usize) -> Result<Vec<usize>> {
        let numbers: Vec<usize> = match self {
            Devices::Count(count) => (0..*count).collect(),
            Devices::Numbers(numbers) => numbers.clone(),
            Devices::All => (0..available).collect(),
            // A launcher may show each process only its own device.
            Devices::OfRank(rank) if available > 0 => vec![rank % available],
            Devices::OfRank(_) => Vec::new(),
        };
        match numbers.iter().max() {
            Some(&largest) if largest < available => Ok(numbers),
            Some(largest) => bail!("there is no device {largest}: this machine has {available} devices of this kind"),
            None => bail!("this machine has no device of this kind"),
        }
    }
}

/// Runs a job on several devices of a kind. On the CPU, where all devices are the same one, any number is accepted.
pub fn run_group<J: GroupJob>(device: Device, devices: &Devices, job: J) -> Result<J::Output> {
    match device {
        Device::Cpu => {
            let count = match devices {
                Devices::Count(count) => *count,
                Devices::Numbers(numbers) => numbers.len(),
                Devices::All | Devices::OfRank(_) => 1,
            };
            job.run::<Autodiff<Flex>>(vec![Default::default(); count])
        }
        #[cfg(feature = "cuda")]
        Device::Cuda => {
            let available = <Cuda as Backend>::device_count(0);
            let numbers = devices.numbers(available.max(1))?;
            job.run::<Autodiff<Cuda>>(numbers.into_iter().map(burn::backend::cuda::CudaDevice::new).collect())
        }
        #[cfg(feature = "wgpu")]
        Device::Wgpu if matches!(devices, Devices::Count(1) | Devices::OfRank(0)) => {
            job.run::<Autodiff<Wgpu>>(vec![WgpuDevice::default()])
        }
        #[cfg(feature = "wgpu")]
        Device::Wgpu => {
            // 0 is burn-wgpu's type number of discrete GPUs.
            let available = <Wgpu as Backend>::device_count(0);
            let numbers = devices.numbers(available)?;
            job.run::<Autodiff<Wgpu>>(numbers.into_iter().map(WgpuDevice::DiscreteGpu).collect())
        }
        #[cfg(not(all(feature = "cuda", feature = "wgpu")))]
        other => bail!("this program was built without {other:?}"),
    }
}

/// Chooses the device, and prints which and why.
///
/// # Errors
/// The device that `--device` names does not work.
pub fn choose(choice: DeviceChoice) -> Result<Device> {
    Ok(choose_named(choice)?.0)
}

/// As [`choose`], with the device's own name.
pub fn choose_named(choice: DeviceChoice) -> Result<(Device, String)> {
    let (device, why) = match choice {
        DeviceChoice::Cpu => (Device::Cpu, "by --device cpu".to_owned()),
        DeviceChoice::Cuda => (Device::Cuda, probe(Probed::Cuda).context("--device cuda does not work here")?.name),
        DeviceChoice::Wgpu => (Device::Wgpu, probe(Probed::Wgpu).context("--device wgpu does not work here")?.name),
        DeviceChoice::Auto => auto(),
    };
    let name = match device {
        Device::Cpu => "CPU",
        Device::Cuda => "CUDA",
        Device::Wgpu => "wgpu",
    };
    eprintln!("device: {name} ({why})");
    // On the CPU the reason explains why there is no GPU, and is not a name.
    let own = if device == Device::Cpu {
        name.to_owned()
    } else {
        format!("{name}: {}", why.split(';').next().unwrap_or(&why))
    };
    Ok((device, own))
}

fn auto() -> (Device, String) {
    let cuda = match probe(Probed::Cuda) {
        Ok(found) => return (Device::Cuda, found.name),
        Err(error) => error,
    };
    let wgpu = match probe(Probed::Wgpu) {
        Ok(found) if found.is_gpu => return (Device::Wgpu, format!("{}; no CUDA: {cuda:#}", found.name)),
        Ok(found) => format!("{} is not a GPU", found.name),
        Err(error) => format!("{error:#}"),
    };
    (Device::Cpu, format!("no CUDA: {cuda:#}; no wgpu: {wgpu}"))
}

struct Found {
    name: String,
    is_gpu: bool,
}

/// Tests a device in another process, because a missing or broken driver may panic, abort or hang.
fn probe(device: Probed) -> Result<Found> {
    const LIMIT: Duration = Duration::from_secs(60);
    let name = device.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default();
    let executable = std::env::current_exe().context("cannot find this program's own file")?;
    let mut child = Command::new(executable)
        .args(["probe", &name])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .context("cannot start a process that tests it")?;
    let started = Instant::now();
    while child.try_wait()?.is_none() {
        if started.elapsed() > LIMIT {
            // An error means that it has just ended.
            let _ = child.kill();
            let _ = child.wait();
            bail!("it did not answer within {} s", LIMIT.as_secs());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let output = child.wait_with_output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
    match line.split_once(": ") {
        Some((kind @ ("gpu" | "other"), name)) if output.status.success() => {
            Ok(Found { name: name.to_owned(), is_gpu: kind == "gpu" })
        }
        Some(("failed", reason)) => bail!("{reason}"),
        _ => bail!("the driver failed ({})", output.status),
    }
}

/// `trainer probe DEVICE`: prints `gpu: NAME` or `other: NAME` if the device computes correctly, else `failed: WHY`.
pub fn probe_command(device: Probed) -> Result<()> {
    std::panic::set_hook(Box::new(|panic| {
        let message = panic.payload_as_str().unwrap_or("it failed");
        let message = message.lines().find(|line| !line.trim().is_empty()).unwrap_or("it failed").trim();
        // Messages of drivers end with a list of all searched paths.
        println!("failed: {}", message.split(" - ").next().unwrap_or(message));
        // The panic may be in a thread of the driver that this one waits for.
        std::process::exit(1);
    }));
    let found = try_to_compute(device)?;
    println!("{}: {}", if found.is_gpu { "gpu" } else { "other" }, found.name);
    Ok(())
}

fn try_to_compute(device: Probed) -> Result<Found> {
    match device {
        #[cfg(feature = "cuda")]
        Probed::Cuda => {
            compute::<Cuda>(&Default::default())?;
            Ok(Found { name: "NVIDIA GPU 0".to_owned(), is_gpu: true })
        }
        #[cfg(feature = "wgpu")]
        Probed::Wgpu => {
            let device = WgpuDevice::default();
            let info = init_setup::<AutoGraphicsApi>(&device, RuntimeOptions::default()).adapter.get_info();
            compute::<Wgpu>(&device)?;
            let is_gpu = info.device_type != wgpu::DeviceType::Cpu;
            Ok(Found { name: format!("{}, {:?}", info.name, info.backend), is_gpu })
        }
        #[cfg(not(all(feature = "cuda", feature = "wgpu")))]
        other => bail!("this program was built without {other:?}"),
    }
}

/// A matrix product whose result is known.
#[cfg(any(feature = "cuda", feature = "wgpu"))]
fn compute<B: Backend>(device: &B::Device) -> Result<()> {
    let n = 64;
    let values: Vec<f32> = (0..n * n).map(|i| (i % 7) as f32).collect();
    let a = Tensor::<B, 2>::from_data(TensorData::new(values, [n, n]), device);
    let product = a.clone().matmul(Tensor::eye(n, device)) - a;
    let error = sum_of_magnitudes(product)?;
    if error != 0.0 {
        bail!("its matrix product is wrong");
    }
    Ok(())
}

#[cfg(any(feature = "cuda", feature = "wgpu"))]
fn sum_of_magnitudes<B: Backend>(tensor: Tensor<B, 2>) -> Result<f32> {
    let data = tensor.abs().sum().try_into_data().map_err(|error| anyhow::anyhow!("{error:?}"))?;
    Ok(data.iter::<f32>().sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_counted_or_listed() {
        let of = |text: &str| text.parse::<Devices>();
        assert_eq!(of("2"), Ok(Devices::Count(2)));
        assert_eq!(of("0,2"), Ok(Devices::Numbers(vec![0, 2])));
        assert_eq!(of("all"), Ok(Devices::All));
        assert!(["0", "", "1,1", "a", "-1"].into_iter().all(|text| of(text).is_err()));
        assert_eq!(Devices::All.numbers(3).expect("there are"), [0, 1, 2]);
        assert!(Devices::Numbers(vec![0, 3]).numbers(3).is_err() && Devices::All.numbers(0).is_err());
    }
}
