//! Sampling, generic over the backend. The clock and what happens between steps are the caller's, so that the same
//! loop runs in the worker and in a native test.

use burn::tensor::{Tensor, backend::Backend};
use vdm::error::WeightsError;
use vdm::image::GreyImage;
use vdm::model::Vdm;
use vdm::sampler::{SamplingOptions, Step, Trajectory};
use vdm::weights::{self, Header};

use crate::protocol::{Picture, Problem};
use crate::settings::Settings;

/// A model on a device.
#[derive(Debug)]
pub struct Engine<B: Backend> {
    model: Vdm<B>,
    device: B::Device,
    header: Header,
}

/// What the caller brings to a job.
pub trait Host {
    /// Milliseconds since some moment.
    fn now_ms(&self) -> f64;
    /// Hears of a step, with pictures where it is shown; then gives way to whatever else wants to run.
    fn on_step(&self, step: Step, elapsed_ms: f64, pictures: Vec<Picture>) -> impl Future<Output = ()>;
    /// Whether to stop.
    fn is_cancelled(&self) -> bool;
}

/// How a job ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Ending {
    /// At t = 0.
    Done {
        /// The images, one a seed.
        pictures: Vec<Picture>,
        /// Since the job began.
        elapsed_ms: f64,
    },
    /// Early.
    Cancelled {
        /// Steps that were taken.
        step: u32,
    },
}

/// Chooses the steps that are shown: each one where a picture costs little, else so many that about half of the time
/// goes into pictures.
#[derive(Clone, Copy, Debug, Default)]
struct PreviewPace {
    last_end_ms: f64,
    last_cost_ms: f64,
}

impl PreviewPace {
    /// A picture that costs less is always worth it: it is there within two frames of a display.
    const CHEAP_MS: f64 = 33.0;

    fn wants(&self, now_ms: f64) -> bool {
        self.last_cost_ms < Self::CHEAP_MS || now_ms - self.last_end_ms >= self.last_cost_ms
    }

    fn record(&mut self, start_ms: f64, end_ms: f64) {
        *self = Self { last_end_ms: end_ms, last_cost_ms: end_ms - start_ms };
    }
}

impl<B: Backend> Engine<B> {
    /// Builds the model of a sampling file.
    ///
    /// # Errors
    /// The file does not fit, or the device cannot be read.
    pub async fn load(bytes: &[u8], device: B::Device) -> Result<Self, WeightsError> {
        let (header, networks) = weights::load::<B>(bytes, &device)?;
        let model = Vdm::new(header.config.clone(), networks).await?;
        Ok(Self { model, device, header })
    }

    /// What the file says of itself.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Takes a step and draws a picture, so that the kernels are compiled before somebody waits for them.
    ///
    /// # Errors
    /// The device fails, or gives something that is not a number.
    pub async fn warm_up(&self) -> Result<(), Problem> {
        let options = Settings { steps: 1, ..Settings::default() }.sampling_options();
        let mut trajectory = self.start(options, &[0])?;
        trajectory.step(&self.model);
        self.read(trajectory.decode(&self.model)).await.map(drop)
    }

    /// Makes an image for each seed.
    ///
    /// # Errors
    /// Settings that do not fit the model, or the device fails.
    pub async fn generate(&self, settings: &Settings, seeds: &[u64], host: &impl Host) -> Result<Ending, Problem> {
        let start_ms = host.now_ms();
        let mut pace = PreviewPace::default();
        let mut trajectory = self.start(settings.sampling_options(), seeds)?;
        let mut taken = 0;
        while !host.is_cancelled() {
            let Some(step) = trajectory.step(&self.model) else {
                let pictures = self.read(trajectory.decode(&self.model)).await?;
                return Ok(Ending::Done { pictures, elapsed_ms: host.now_ms() - start_ms });
            };
            taken = step.number as u32;
            let before_ms = host.now_ms();
            let pictures = if pace.wants(before_ms) {
                let pictures = self.read(trajectory.decode_prediction(&self.model)).await?;
                pace.record(before_ms, host.now_ms());
                pictures
            } else {
                Vec::new()
            };
            host.on_step(step, host.now_ms() - start_ms, pictures).await;
        }
        Ok(Ending::Cancelled { step: taken })
    }

    fn start(&self, options: SamplingOptions, seeds: &[u64]) -> Result<Trajectory<B>, Problem> {
        Trajectory::from_noise(&self.model, options, seeds, &self.device)
            .map_err(|error| Problem::Settings { detail: error.to_string() })
    }

    /// Images `[B, H·W]` from the device.
    async fn read(&self, images: Tensor<B, 2>) -> Result<Vec<Picture>, Problem> {
        let [_, pixels] = images.dims();
        let data =
            images.into_data_async().await.map_err(|error| Problem::GpuError { detail: format!("{error:?}") })?;
        let values: Vec<f32> = data.iter::<f32>().collect();
        if values.iter().any(|value| !value.is_finite()) {
            return Err(Problem::NotFinite);
        }
        let width = self.header.config.width;
        Ok(values.chunks_exact(pixels).map(|image| GreyImage::from_unit(width, image).into()).collect())
    }
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use burn_flex::{Flex, FlexDevice};
    use vdm::config::Preset;
    use vdm::model::Networks;
    use vdm::sampler::Sampler;
    use vdm::weights::{Precision, Provenance};

    use super::*;

    /// A future that waits for nothing, as all of them are on the CPU.
    fn now<T>(future: impl Future<Output = T>) -> T {
        match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(value) => value,
            Poll::Pending => panic!("the CPU waits for nothing"),
        }
    }

    fn engine() -> Engine<Flex> {
        let config = Preset::Quick.model();
        let networks = Networks::<Flex>::new(&config, 1, &FlexDevice).expect("networks");
        let bytes = weights::save(&networks, &config, &Provenance::default(), Precision::F16).expect("bytes");
        now(Engine::load(&bytes, FlexDevice)).expect("loads")
    }

    /// A clock that advances by 1 ms whenever it is asked, and a stop after some steps.
    struct TestHost {
        clock_ms: Cell<f64>,
        stop_after: usize,
        steps: RefCell<Vec<usize>>,
        shown: Cell<usize>,
    }

    impl TestHost {
        fn new(stop_after: usize) -> Self {
            Self { clock_ms: Cell::new(0.0), stop_after, steps: RefCell::default(), shown: Cell::new(0) }
        }
    }

    impl Host for TestHost {
        fn now_ms(&self) -> f64 {
            self.clock_ms.replace(self.clock_ms.get() + 1.0)
        }

        async fn on_step(&self, step: Step, _elapsed_ms: f64, pictures: Vec<Picture>) {
            self.steps.borrow_mut().push(step.number);
            self.shown.set(self.shown.get() + pictures.len());
        }

        fn is_cancelled(&self) -> bool {
            self.steps.borrow().len() >= self.stop_after
        }
    }

    #[test]
    fn every_sampler_ends_in_one_image_a_seed() {
        let engine = engine();
        now(engine.warm_up()).expect("warms up");
        for sampler in Sampler::ALL {
            let settings = Settings { steps: 5, sampler, ..Settings::default() };
            let host = TestHost::new(usize::MAX);
            let Ok(Ending::Done { pictures, elapsed_ms }) = now(engine.generate(&settings, &[7, 8], &host)) else {
                panic!("not done");
            };
            assert_eq!(*host.steps.borrow(), [1, 2, 3, 4, 5]);
            assert_eq!(host.shown.get(), 10, "cheap pictures are shown at each step");
            assert!(elapsed_ms > 0.0);
            assert!(pictures.iter().all(|p| (p.width, p.height, p.pixels.len()) == (64, 64, 64 * 64)));
            let again = now(engine.generate(&settings, &[7, 8], &TestHost::new(usize::MAX)));
            assert!(matches!(again, Ok(Ending::Done { pictures: same, .. }) if same == pictures), "a seed is an image");
        }
    }

    #[test]
    fn a_job_ends_at_the_step_that_it_is_cancelled_at() {
        let settings = Settings { steps: 1000, ..Settings::default() };
        let ending = now(engine().generate(&settings, &[0], &TestHost::new(3)));
        assert_eq!(ending, Ok(Ending::Cancelled { step: 3 }));
    }

    #[test]
    fn dear_pictures_take_about_half_of_the_time() {
        let (mut pace, mut clock_ms, mut in_pictures_ms) = (PreviewPace::default(), 0.0, 0.0);
        for _ in 0..1000 {
            clock_ms += 10.0;
            if pace.wants(clock_ms) {
                let start_ms = clock_ms;
                clock_ms += 100.0;
                pace.record(start_ms, clock_ms);
                in_pictures_ms += 100.0;
            }
        }
        // Ten steps of 10 ms to each picture of 100 ms; the first picture comes early.
        assert!((in_pictures_ms / clock_ms - 0.5_f64).abs() < 0.01);
    }

    #[test]
    fn a_class_that_the_model_lacks_is_refused() {
        let settings = Settings { class: Some(1), ..Settings::default() };
        let ending = now(engine().generate(&settings, &[0], &TestHost::new(1)));
        assert!(matches!(ending, Err(Problem::Settings { .. })), "{ending:?}");
    }
}
