//! The model on a device, generic over the backend. The clock and what happens between steps are the caller's, so that
//! the same code runs in the worker and in a native test.

mod files;
mod record;
mod run;
#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::rc::Rc;

use burn::tensor::{Tensor, TensorData, backend::Backend};
use vdm::autoencoder::Encoder;
use vdm::config::Stage;
use vdm::cost;
use vdm::diffusion::schedule::NoiseSchedule;
use vdm::elbo;
use vdm::error::WeightsError;
use vdm::image::{GreyImage, Origin};
use vdm::math::alpha_squared;
use vdm::model::Vdm;
use vdm::rng::RngStream;
use vdm::rng::seeded_noise;
use vdm::weights::{self, Header};

use self::record::Recording;
use crate::protocol::{Diffused, Moment, Outcome, Picture, Problem, Run, Save, Start, Subject, Task};
use crate::settings::Settings;

/// A model on a device.
#[derive(Debug)]
pub struct Engine<B: Backend> {
    model: Vdm<B>,
    encoder: RefCell<Option<Encoder<B>>>,
    device: B::Device,
    header: Header,
    /// The last run, for time travel.
    recording: RefCell<Option<Rc<Recording>>>,
    /// The last subject's clean latent.
    subject: RefCell<Option<(Subject, Rc<Vec<f32>>)>>,
}

/// What the caller brings to a job.
pub trait Host {
    /// Milliseconds since the job began, without its pauses.
    fn elapsed_ms(&self) -> f64;
    /// Hears of a step, with pictures where it is shown.
    fn on_step(&self, step: StepTaken);
    /// Gives way to whatever else wants to run, waits while the job is paused, and says whether it goes on.
    fn goes_on(&self) -> impl Future<Output = bool>;
}

/// A step that was taken.
#[derive(Clone, Debug, PartialEq)]
pub struct StepTaken {
    /// Its number, from 1.
    pub step: u32,
    /// Steps in all.
    pub of: u32,
    /// The time that the latent is at.
    pub t: f64,
    /// What the model believes the images to be; empty at a step that is not shown.
    pub pictures: Vec<Picture>,
    /// The latent, decoded, where there is one image.
    pub noisy: Option<Picture>,
}

/// How a job ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Ending {
    /// With this.
    Done(Outcome),
    /// Early.
    Stopped {
        /// Steps that were taken.
        step: u32,
    },
}

/// Why a job goes no further: it was ended, or it cannot be done.
#[derive(Debug)]
enum Halt {
    Stopped { step: u32 },
    Problem(Problem),
}

impl From<Problem> for Halt {
    fn from(problem: Problem) -> Self {
        Halt::Problem(problem)
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
        let (recording, subject) = (RefCell::default(), RefCell::default());
        Ok(Self { model, encoder: RefCell::default(), device, header, recording, subject })
    }

    /// Builds the encoder of its file; `sampling_sha256` is the hash of the sampling file.
    ///
    /// # Errors
    /// The file does not fit, or belongs to other weights.
    pub fn load_encoder(&self, bytes: &[u8], sampling_sha256: &str) -> Result<(), WeightsError> {
        let encoder = weights::load_encoder(bytes, sampling_sha256, &self.device)?;
        *self.encoder.borrow_mut() = Some(encoder);
        Ok(())
    }

    /// Whether the encoder is there.
    pub fn has_encoder(&self) -> bool {
        self.encoder.borrow().is_some()
    }

    /// What the file says of itself.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// γ(t).
    pub fn schedule(&self) -> &NoiseSchedule {
        &self.model.schedule
    }

    /// Takes a step and draws its pictures, so that the kernels are compiled before somebody waits for them.
    ///
    /// # Errors
    /// The device fails, or gives something that is not a number.
    pub async fn warm_up(&self) -> Result<(), Problem> {
        let settings = Settings { steps: 1, ..Settings::default() };
        let mut trajectory = self.start(&Run::from_noise(settings, 1), None)?;
        trajectory.step(&self.model);
        self.read(trajectory.decode(&self.model)).await.map(drop)
    }

    /// Does a task; [`Task::Switch`] is not an engine's.
    ///
    /// # Errors
    /// Settings that do not fit the model, an encoder that is not there, or the device fails.
    pub async fn perform(&self, task: &Task, host: &impl Host) -> Result<Ending, Problem> {
        let outcome = match task {
            Task::Run(run) => self.run(run, host).await,
            Task::Look { run, image, index } => self.look(run, *image, *index, host).await,
            Task::Diffuse { subject, t, seed } => self.diffuse(subject, *t, *seed, host).await,
            Task::Measure { subject, times, seed } => self.measure(subject, *times, *seed, host).await,
            Task::Speed => self.speed(host).await,
            Task::Save { save, origin } => self.save(save, origin, host).await,
            Task::Switch(_) => Err(Problem::Settings { detail: "an engine has one model".into() }.into()),
        };
        match outcome {
            Ok(outcome) => Ok(Ending::Done(outcome)),
            Err(Halt::Stopped { step }) => Ok(Ending::Stopped { step }),
            Err(Halt::Problem(problem)) => Err(problem),
        }
    }

    async fn look(&self, run: &Run, image: u32, index: u32, host: &impl Host) -> Result<Outcome, Halt> {
        let recording = self.recorded(run, host).await?;
        let (row, moment) = recording.place(image, index)?;
        let latents = [recording.noisy(row, moment), recording.predicted(row, moment)];
        let mut pictures = self.decode_rows(&latents, &[recording.seeds[row]; 2]).await?.into_iter();
        let (Some(noisy), Some(predicted)) = (pictures.next(), pictures.next()) else {
            return Err(Problem::NotFinite.into());
        };
        Ok(Outcome::Moment(Moment {
            index,
            t: recording.times[moment],
            gamma: recording.gammas[moment],
            latent: recording.latent(row, moment).to_vec(),
            noisy,
            predicted,
        }))
    }

    async fn diffuse(&self, subject: &Subject, t: f64, seed: u64, host: &impl Host) -> Result<Outcome, Halt> {
        let f = self.clean_latent(subject, host).await?;
        if !(0.0..=1.0).contains(&t) {
            return Err(Problem::Settings { detail: format!("t is {t}: 0 to 1 is accepted") }.into());
        }
        let dim = f.len();
        let noise = seeded_noise::<B>(&[seed], RngStream::Diffuse, 0, dim, &self.device);
        let z = self.model.diffuse(self.tensor(f.to_vec(), 1), noise, t);
        let latent = self.numbers(z.clone()).await?;
        let alpha = alpha_squared(self.model.schedule.gamma(t)).sqrt();
        let scaled = latent.iter().map(|&v| (f64::from(v) / alpha) as f32).collect();
        let grain = subject.seed().unwrap_or(seed);
        let mut pictures = self.decode_rows(&[scaled, f.to_vec()], &[grain; 2]).await?.into_iter();
        let (Some(noisy), Some(clean)) = (pictures.next(), pictures.next()) else {
            return Err(Problem::NotFinite.into());
        };
        Ok(Outcome::Diffused(Diffused { latent, noisy, clean }))
    }

    async fn measure(&self, subject: &Subject, times: u32, seed: u64, host: &impl Host) -> Result<Outcome, Halt> {
        let picture = match subject {
            Subject::Image { picture, .. } => picture.clone(),
            Subject::Sample(settings) => {
                let f = self.clean_latent(subject, host).await?;
                self.decode_rows(&[f.to_vec()], &[settings.seed]).await?.pop().ok_or(Problem::NotFinite)?
            }
        };
        self.check_size(&picture)?;
        let encoder = self.encoder.borrow().clone().ok_or(Problem::NoEncoder)?;
        let class = match subject {
            Subject::Sample(Settings { class: Some(class), .. }) => *class as usize,
            // The row of "no class".
            _ => self.model.config.classes,
        };
        let terms = elbo::measure(
            &self.model.networks,
            &self.model.config,
            Stage::Joint,
            &encoder,
            &[&picture.pixels],
            Some(&[class]),
            0,
            times.max(1) as usize,
            seed,
            &self.device,
        )
        .await
        .map_err(|error| Problem::GpuError { detail: error.to_string() })?;
        let terms = terms.first().copied().ok_or(Problem::NotFinite)?;
        if !terms.total().is_finite() {
            return Err(Problem::NotFinite.into());
        }
        Ok(Outcome::Bound(terms))
    }

    /// The page waits for it in one piece: a few runs must do.
    async fn speed(&self, host: &impl Host) -> Result<Outcome, Halt> {
        const RUNS: usize = 5;
        let speed = cost::measure(&self.model, RUNS, || host.elapsed_ms() / 1e3, &self.device).await;
        Ok(Outcome::Speed(speed.map_err(|error| Problem::GpuError { detail: error.to_string() })?))
    }

    async fn save(&self, save: &Save, origin: &Origin, host: &impl Host) -> Result<Outcome, Halt> {
        let grey = |pictures: &[Picture]| pictures.iter().cloned().map(GreyImage::from).collect::<Vec<_>>();
        if let Save::Grid { pictures, .. } | Save::Flipbook { pictures } = save
            && pictures.is_empty()
        {
            return Err(Problem::Encoding { detail: "there are no pictures".into() }.into());
        }
        let bytes = match save {
            Save::Grid { pictures, columns } => files::grid(&grey(pictures), *columns as usize, origin),
            Save::Flipbook { pictures } => files::flipbook(&grey(pictures), origin),
            Save::Animation { run, image } => {
                files::animation(&self.film(run, *image, files::ANIMATION_FRAMES, host).await?, origin)
            }
            Save::Strip { run, image } => {
                files::strip(&self.film(run, *image, files::STRIP_FRAMES, host).await?, origin)
            }
        };
        Ok(Outcome::File(bytes.map_err(|error| Problem::Encoding { detail: error.to_string() })?))
    }

    /// Latent and prediction of an image of a run, decoded at moments at even distances.
    async fn film(
        &self,
        run: &Run,
        image: u32,
        frames: usize,
        host: &impl Host,
    ) -> Result<Vec<(GreyImage, GreyImage)>, Halt> {
        let recording = self.recorded(run, host).await?;
        let mut film = Vec::new();
        let (row, _) = recording.place(image, 0)?;
        for moment in files::evenly(recording.last(), frames) {
            let latents = [recording.noisy(row, moment), recording.predicted(row, moment)];
            let seeds = [recording.seeds[row]; 2];
            let mut pictures = self.decode_rows(&latents, &seeds).await?.into_iter().map(GreyImage::from);
            if let (Some(noisy), Some(predicted)) = (pictures.next(), pictures.next()) {
                film.push((noisy, predicted));
            }
            if !host.goes_on().await {
                return Err(Halt::Stopped { step: recording.kept[moment] as u32 });
            }
        }
        Ok(film)
    }

    /// f of a subject: encoded, or where its sample ends.
    async fn clean_latent(&self, subject: &Subject, host: &impl Host) -> Result<Rc<Vec<f32>>, Halt> {
        if let Some((known, f)) = &*self.subject.borrow()
            && known == subject
        {
            return Ok(Rc::clone(f));
        }
        let f = match subject {
            Subject::Sample(settings) => {
                let run = Run { start: Start::Noise, seeds: vec![settings.seed], settings: settings.clone() };
                let recording = self.recorded(&run, host).await?;
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

    fn check_size(&self, picture: &Picture) -> Result<(), Problem> {
        let config = &self.model.config;
        let fits = (picture.width as usize, picture.height as usize) == (config.width, config.height)
            && picture.pixels.len() == config.pixels();
        if fits {
            return Ok(());
        }
        let detail = format!(
            "the picture has {}×{} pixels: {}×{} are accepted",
            picture.width, picture.height, config.width, config.height
        );
        Err(Problem::Settings { detail })
    }

    /// Rows of equal length on the device.
    fn tensor(&self, values: Vec<f32>, rows: usize) -> Tensor<B, 2> {
        let columns = values.len() / rows.max(1);
        Tensor::from_data(TensorData::new(values, [rows, columns]), &self.device)
    }

    /// Pictures of clean latents, with the grain of one seed each.
    async fn decode_rows(&self, latents: &[Vec<f32>], seeds: &[u64]) -> Result<Vec<Picture>, Problem> {
        let f = self.tensor(latents.concat(), latents.len());
        self.read(self.model.decode_with_grain(f, seeds)).await
    }

    /// Numbers from the device.
    async fn numbers(&self, tensor: Tensor<B, 2>) -> Result<Vec<f32>, Problem> {
        let data =
            tensor.into_data_async().await.map_err(|error| Problem::GpuError { detail: format!("{error:?}") })?;
        let values: Vec<f32> = data.iter::<f32>().collect();
        if values.iter().any(|value| !value.is_finite()) {
            return Err(Problem::NotFinite);
        }
        Ok(values)
    }

    /// Images `[B, H·W]` from the device.
    async fn read(&self, images: Tensor<B, 2>) -> Result<Vec<Picture>, Problem> {
        let [_, pixels] = images.dims();
        let values = self.numbers(images).await?;
        let width = self.header.config.width;
        Ok(values.chunks_exact(pixels).map(|image| GreyImage::from_unit(width, image).into()).collect())
    }
}
