//! Images a second of training steps on the CPU, by preset:
//! `cargo bench -p trainer --no-default-features --bench training`.

use burn::backend::{Autodiff, Flex};
use burn::optim::{AdamW, AdamWConfig, Optimizer, adaptor::OptimizerAdaptor};
use burn::tensor::{Tensor, TensorData};
use divan::Bencher;
use divan::counter::ItemsCount;
use vdm::config::{ModelConfig, Preset, TrainingConfig};
use vdm::math;
use vdm::model::{LatentNoise, Networks};
use vdm::objective::{Batch, Gradients, clip_global_norm, complete_gradients, gradients};
use vdm::rng::{Rng, RngStream};

/// The program's own allocator: the system's is several times slower with tensors.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Device = <Flex as burn::tensor::backend::BackendTypes>::Device;
type B = Autodiff<Flex>;

fn main() {
    divan::main();
}

/// Networks in training, with images.
struct Training {
    config: ModelConfig,
    training: TrainingConfig,
    networks: Networks<B>,
    optimizer: OptimizerAdaptor<AdamW, Networks<B>, B>,
    images: Tensor<B, 2>,
    device: Device,
    step: u64,
}

impl Training {
    fn new(preset: Preset) -> Self {
        let device = Device::default();
        let (config, training) = (preset.model(), preset.training(None));
        let mut noise = Rng::new(0, RngStream::Phantom, 0);
        let size = [training.batch, config.pixels()];
        let pixels: Vec<f32> = (0..size[0] * size[1]).map(|_| noise.uniform() as f32).collect();
        let Ok(networks) = Networks::new(&config, 0, &device) else { panic!("a preset can be built") };
        let optimizer = AdamWConfig::new()
            .with_beta_1(training.beta_1 as f32)
            .with_beta_2(training.beta_2 as f32)
            .with_epsilon(training.epsilon as f32)
            .with_weight_decay(training.weight_decay as f32)
            .init();
        let images = Tensor::from_data(TensorData::new(pixels, size), &device);
        Self { config, training, networks, optimizer, images, device, step: 0 }
    }

    /// One optimizer step, from drawing the noise to reading the loss.
    fn step(&mut self) -> f64 {
        let (batch, dim) = (self.training.batch, self.config.latent_dim);
        let draws = batch * self.training.times_per_image;
        let mut stream = Rng::new(0, RngStream::Training, self.step);
        let times = math::antithetic_times(stream.uniform(), draws, None);
        let mut draw = |rows| Tensor::from_data(TensorData::new(stream.normals(rows * dim), [rows, dim]), &self.device);
        let noise = LatentNoise { at_zero: draw(batch), at_t: draw(draws) };
        let Some(encoder) = &self.networks.encoder else { panic!("new networks have an encoder") };
        let batch = Batch { x: self.images.clone(), classes: None, times, noise };
        let Gradients { terms, weighted_diffusion, gradients: mut grads } =
            gradients(&self.networks, encoder, &self.config, &self.training, 1.0, true, batch);
        let diffusion = weighted_diffusion.mean();
        complete_gradients(&mut grads, &self.networks, None, self.training.batch, 1.0, diffusion);
        let max_norm = self.training.clip_norm * self.config.pixels() as f64;
        clip_global_norm::<B, _>(&mut grads, &self.networks, max_norm, &self.device);
        self.step += 1;
        let rate = self.training.learning_rate_at(self.step);
        self.networks = self.optimizer.step(rate, self.networks.clone(), grads);
        f64::from(terms.reconstruction.mean().into_scalar())
    }
}

fn steps(bencher: Bencher<'_, '_>, preset: Preset) {
    let mut training = Training::new(preset);
    training.step();
    let images = ItemsCount::new(training.training.batch);
    bencher.counter(images).bench_local(|| training.step());
}

#[divan::bench(max_time = 20)]
fn quick(bencher: Bencher<'_, '_>) {
    steps(bencher, Preset::Quick);
}

#[divan::bench(max_time = 60)]
fn paper(bencher: Bencher<'_, '_>) {
    steps(bencher, Preset::Paper);
}
