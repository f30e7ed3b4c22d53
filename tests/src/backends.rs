//! The backends that tensor tests run on: the CPU always, CUDA where there is a device.

use burn::backend::{Cuda, Flex};
use burn::tensor::backend::Backend;

/// A test that runs on any backend.
pub trait OnBackend {
    /// Runs it.
    fn run<B: Backend>(&self, device: &B::Device);
}

/// Runs a test on the CPU, and on CUDA if a device is there.
pub fn on_each_backend(test: &impl OnBackend) {
    test.run::<Flex>(&Default::default());
    if cuda_is_there() {
        println!("also on CUDA");
        test.run::<Cuda>(&Default::default());
    }
}

/// Whether an NVIDIA device is there; `VDM_CUDA=0` says no.
pub fn cuda_is_there() -> bool {
    let forbidden = std::env::var("VDM_CUDA").is_ok_and(|value| value == "0");
    !forbidden && ["/dev/nvidia0", "/dev/dxg"].iter().any(|device| std::path::Path::new(device).exists())
}
