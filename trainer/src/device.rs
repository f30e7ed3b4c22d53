//! Which device computes: the one place in this crate that names backends.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
#[cfg(feature = "wgpu")]
use burn::backend::wgpu::{RuntimeOptions, WgpuDevice, graphics::AutoGraphicsApi, init_setup};
#[cfg(feature = "cuda")]
use burn::backend::Cuda;
#[cfg(feature = "wgpu")]
use burn::backend::Wgpu;
use burn::backend::{Autodiff, Flex};
use burn::tensor::{Tensor, TensorData, backend::AutodiffBackend, backend::Backend};
use clap::ValueEnum;

/// What the user asks for.
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

/// A device that must be tried before it is believed to work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Probed {
    /// CUDA.
    Cuda,
    /// wgpu.
    Wgpu,
}

/// A device that was found to work.
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

/// Work that runs on whichever backend was chosen.
pub trait Job {
    /// What it yields.
    type Output;
    /// Does it.
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

/// Resolves the user's choice and says what was taken and why.
///
/// # Errors
/// A device that was asked for by name does not work.
pub fn choose(choice: DeviceChoice) -> Result<Device> {
    let (device, why) = match choice {
        DeviceChoice::Cpu => (Device::Cpu, "as asked".to_owned()),
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
    Ok(device)
}

fn auto() -> (Device, String) {
    let cuda = match probe(Probed::Cuda) {
        Ok(found) => return (Device::Cuda, found.name),
        Err(error) => error,
    };
    let wgpu = match probe(Probed::Wgpu) {
        Ok(found) if found.is_gpu => return (Device::Wgpu, format!("{}; no CUDA: {cuda:#}", found.name)),
        Ok(found) => format!("{} is no GPU", found.name),
        Err(error) => format!("{error:#}"),
    };
    (Device::Cpu, format!("no CUDA: {cuda:#}; no wgpu: {wgpu}"))
}

struct Found {
    name: String,
    is_gpu: bool,
}

/// Tries a device in a process of its own: a driver that is missing or broken may panic, abort or hang there.
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
        .context("cannot start a process to try it")?;
    let started = Instant::now();
    while child.try_wait()?.is_none() {
        if started.elapsed() > LIMIT {
            // It may have ended just now; either way it is not waited for any longer.
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

/// `trainer probe DEVICE`: prints `gpu: NAME` or `other: NAME` if the device computes rightly, else `failed: WHY`.
pub fn probe_command(device: Probed) -> Result<()> {
    std::panic::set_hook(Box::new(|panic| {
        let message = panic.payload_as_str().unwrap_or("it failed");
        let message = message.lines().find(|line| !line.trim().is_empty()).unwrap_or("it failed").trim();
        // Drivers' messages go on to list every place that was searched.
        println!("failed: {}", message.split(" - ").next().unwrap_or(message));
        // A panic may be in a driver's thread, with this one waiting for it.
        std::process::exit(1);
    }));
    let found: Found = match device {
        #[cfg(feature = "cuda")]
        Probed::Cuda => {
            compute::<Cuda>(&Default::default())?;
            Found { name: "NVIDIA GPU 0".to_owned(), is_gpu: true }
        }
        #[cfg(feature = "wgpu")]
        Probed::Wgpu => {
            let device = WgpuDevice::default();
            let info = init_setup::<AutoGraphicsApi>(&device, RuntimeOptions::default()).adapter.get_info();
            compute::<Wgpu>(&device)?;
            let is_gpu = info.device_type != wgpu::DeviceType::Cpu;
            Found { name: format!("{}, {:?}", info.name, info.backend), is_gpu }
        }
        #[cfg(not(all(feature = "cuda", feature = "wgpu")))]
        other => bail!("this program was built without {other:?}"),
    };
    println!("{}: {}", if found.is_gpu { "gpu" } else { "other" }, found.name);
    Ok(())
}

/// A matrix product whose result is known.
fn compute<B: Backend>(device: &B::Device) -> Result<()> {
    let n = 64;
    let values: Vec<f32> = (0..n * n).map(|i| (i % 7) as f32).collect();
    let a = Tensor::<B, 2>::from_data(TensorData::new(values, [n, n]), device);
    let product = a.clone().matmul(Tensor::eye(n, device)) - a;
    let error = sum_of_magnitudes(product)?;
    if error != 0.0 {
        bail!("it computes wrongly");
    }
    Ok(())
}

fn sum_of_magnitudes<B: Backend>(tensor: Tensor<B, 2>) -> Result<f32> {
    let data = tensor.abs().sum().try_into_data().map_err(|error| anyhow::anyhow!("{error:?}"))?;
    Ok(data.iter::<f32>().sum())
}
