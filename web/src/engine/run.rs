//! The reverse process, step by step, shown and recorded.

use std::rc::Rc;

use burn::tensor::{Tensor, backend::Backend};
use vdm::model::Place;
use vdm::rng::{RngStream, seeded_noise};
use vdm::sampler::Trajectory;

use super::host::{Halt, Host, StepTaken};
use super::images::Images;
use super::model::Engine;
use super::record::{Recording, stride};
use crate::protocol::{Outcome, Picture, Problem, Run, Start, Subject};

/// The maximum number of images of a run.
const MAX_IMAGES: usize = 64;
/// Numbers of a block of latents that is read back at once. Each transfer waits until the GPU's queue is empty.
const BLOCK: usize = 1 << 20;

/// Chooses the steps that are shown: each one if a picture costs little, else as many as take about half of the time.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct PreviewPace {
    last_end_ms: f64,
    last_cost_ms: f64,
}

impl PreviewPace {
    /// A picture that costs less is always shown: it takes no more than two frames of a display.
    const CHEAP_MS: f64 = 33.0;

    pub(super) fn wants(&self, now_ms: f64) -> bool {
        self.last_cost_ms < Self::CHEAP_MS || now_ms - self.last_end_ms >= self.last_cost_ms
    }

    pub(super) fn record(&mut self, start_ms: f64, end_ms: f64) {
        *self = Self { last_end_ms: end_ms, last_cost_ms: end_ms - start_ms };
    }
}

/// What of a run is reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shown {
    Nothing,
    Steps,
    Pictures,
}

/// Latents that are transferred from the device to the host in blocks.
struct Reel<B: Backend> {
    pending: Vec<Tensor<B, 2>>,
    read: Vec<f32>,
}

impl<B: Backend> Reel<B> {
    fn new() -> Self {
        Self { pending: Vec::new(), read: Vec::new() }
    }

    async fn push(&mut self, engine: &Engine<B>, latent: Tensor<B, 2>) -> Result<(), Problem> {
        let numbers = latent.shape().num_elements();
        self.pending.push(latent);
        if self.pending.len() * numbers >= BLOCK { self.flush(engine).await } else { Ok(()) }
    }

    async fn flush(&mut self, engine: &Engine<B>) -> Result<(), Problem> {
        if !self.pending.is_empty() {
            let block = Tensor::cat(std::mem::take(&mut self.pending), 0);
            self.read.extend(engine.numbers(block).await?);
        }
        Ok(())
    }
}

impl<B: Backend> Engine<B> {
    pub(super) async fn run(&self, run: &Run, host: &impl Host) -> Result<Outcome, Halt> {
        let recording = self.record(run, Shown::Pictures, host).await?;
        let last: Vec<Vec<f32>> = (0..run.count()).map(|row| recording.noisy(row, recording.last())).collect();
        Ok(Outcome::Pictures(self.decode_rows(&last).await?))
    }

    /// The recording of a run: the last one, or a new one that is not shown.
    pub(super) async fn recorded(&self, run: &Run, shown: Shown, host: &impl Host) -> Result<Rc<Recording>, Halt> {
        if let Some(recording) = &*self.recording.borrow()
            && recording.run == *run
        {
            return Ok(Rc::clone(recording));
        }
        self.record(run, shown, host).await
    }

    async fn record(&self, run: &Run, shown: Shown, host: &impl Host) -> Result<Rc<Recording>, Halt> {
        let clean = match &run.start {
            // A subject that is a sample is recorded first. That run starts from noise, so that this goes no deeper.
            Start::Subject { subject, .. } => Some(Box::pin(self.clean_latent(subject, host)).await?),
            Start::Noise | Start::Between { .. } => None,
        };
        let mut images = self.start(run, clean.as_deref().map(Vec::as_slice))?;
        let (dim, steps) = (self.model.config.latent_dim(), images.steps());
        let every = stride(steps, run.count(), dim);
        let keeps = |step: usize| step.is_multiple_of(every) || step == steps;
        let kept: Vec<usize> = (0..=steps).filter(|&step| keeps(step)).collect();
        let places: Vec<Place> = kept.iter().map(|&step| images.place_after(step)).collect();
        let visible = places.iter().map(|&place| self.model.visible(place)).collect();
        let (mut z, mut f_hat) = (Reel::new(), Reel::new());
        let mut pace = PreviewPace::default();
        let mut taken = 0;
        z.push(self, images.z()).await?;
        loop {
            if !host.should_continue().await {
                return Err(Halt::Stopped { step: taken });
            }
            let Some(step) = images.step(&self.model) else { break };
            taken = step.number as u32;
            if keeps(step.number) {
                z.push(self, images.z()).await?;
            }
            if keeps(step.number - 1)
                && let Some(predicted) = images.f_hat()
            {
                f_hat.push(self, predicted).await?;
            }
            let (mut pictures, mut noisy) = (Vec::new(), None);
            let before_ms = host.elapsed_ms();
            if shown == Shown::Pictures && pace.wants(before_ms) {
                (pictures, noisy) = self.preview(&images, run.count()).await?;
                pace.record(before_ms, host.elapsed_ms());
            }
            if shown == Shown::Nothing {
                continue;
            }
            host.on_step(StepTaken { step: taken, of: step.of as u32, t: step.t, pictures, noisy });
        }
        z.flush(self).await?;
        f_hat.flush(self).await?;
        let recording = Recording { run: run.clone(), kept, places, visible, dim, z: z.read, f_hat: f_hat.read };
        let recording = Rc::new(recording);
        *self.recording.borrow_mut() = Some(Rc::clone(&recording));
        Ok(recording)
    }

    /// The clean latent f of a subject: encoded, or the end of its sample.
    pub(super) async fn clean_latent(&self, subject: &Subject, host: &impl Host) -> Result<Rc<Vec<f32>>, Halt> {
        if let Some((known, f)) = &*self.subject.borrow()
            && known == subject
        {
            return Ok(Rc::clone(f));
        }
        let f = match subject {
            Subject::Sample(settings) => {
                let run = Run { start: Start::Noise, seeds: vec![settings.seed], settings: settings.clone() };
                // The steps that count are those that follow.
                let recording = self.recorded(&run, Shown::Nothing, host).await?;
                recording.noisy(0, recording.last())
            }
            Subject::Image { picture, .. } => {
                self.check_size(picture)?;
                let encoder = self.encoder.borrow().clone().ok_or(Problem::NoEncoder)?;
                let x = picture.pixels.iter().map(|&v| vdm::image::to_unit(v)).collect();
                self.numbers(encoder.forward(self.tensor(x, 1))).await?
            }
        };
        let f = Rc::new(f);
        *self.subject.borrow_mut() = Some((subject.clone(), Rc::clone(&f)));
        Ok(f)
    }

    /// The model's predictions of the images and, for a single image, the decoded latent.
    async fn preview(&self, images: &Images<B>, count: usize) -> Result<(Vec<Picture>, Option<Picture>), Problem> {
        let Some(f_hat) = images.f_hat() else { return Ok((Vec::new(), None)) };
        let predicted = self.model.decode(f_hat);
        if count > 1 {
            return Ok((self.read(predicted).await?, None));
        }
        let mut pictures = self.read(Tensor::cat(vec![predicted, images.decode(&self.model)], 0)).await?;
        let noisy = pictures.pop();
        Ok((pictures, noisy))
    }

    /// The start of a run; `clean` is the latent of its subject, if it has one.
    pub(super) fn start(&self, run: &Run, clean: Option<&[f32]>) -> Result<Images<B>, Problem> {
        if !(1..=MAX_IMAGES).contains(&run.count()) || run.seeds.is_empty() {
            let detail = format!("{} images: 1 to {MAX_IMAGES} are accepted", run.count());
            return Err(Problem::Settings { detail });
        }
        let options = run.settings.sampling_options();
        let start = |seeds: &[u64]| {
            let trajectory = match (&run.start, clean) {
                (Start::Between { to, frames }, _) => {
                    Trajectory::between(&self.model, options, seeds[0], *to, *frames as usize, &self.device)
                }
                (Start::Subject { t, .. }, Some(clean)) => {
                    let rows = seeds.len();
                    let noise = seeded_noise(seeds, RngStream::Diffuse, 0, clean.len(), &self.device);
                    let z = self.model.diffuse(self.tensor(clean.repeat(rows), rows), noise, *t);
                    Trajectory::from_latent(&self.model, options, seeds, z, *t)
                }
                _ => Trajectory::from_noise(&self.model, options, seeds, &self.device),
            };
            trajectory.map_err(|error| Problem::Settings { detail: error.to_string() })
        };
        let batch = if self.apart { 1 } else { run.seeds.len() };
        let (first, others) = run.seeds.split_at(batch);
        Ok(Images::new(start(first)?, others.chunks(batch).map(start).collect::<Result<_, _>>()?))
    }
}
