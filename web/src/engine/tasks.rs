//! The work of an engine for each task.

use burn::tensor::backend::Backend;
use vdm::axis::evenly;
use vdm::config::Stage;
use vdm::cost;
use vdm::elbo;
use vdm::image::{GreyImage, Origin};
use vdm::model::Condition;
use vdm::rng::{RngStream, seeded_noise};

use super::files;
use super::host::{Halt, Host};
use super::model::Engine;
use super::run::Shown;
use crate::protocol::{Diffused, Moment, Outcome, Picture, Problem, Run, Save, Subject, Task};
use crate::settings::Settings;

impl<B: Backend> Engine<B> {
    /// Takes a step in each band and gives the picture, so that the kernels are compiled before the first run.
    ///
    /// # Errors
    /// The device fails, or a value is not finite.
    pub async fn warm_up(&self) -> Result<Vec<Picture>, Problem> {
        let settings = Settings { steps: self.model.config.band_dims().len() as u32, ..Settings::default() };
        let mut images = self.start(&Run::from_noise(settings, 1), None)?;
        while images.step(&self.model).is_some() {}
        self.read(images.decode(&self.model)).await
    }

    /// Does a task, except [`Task::Switch`].
    ///
    /// # Errors
    /// The host ends the job; settings do not fit the model; the encoder is missing; the device fails.
    pub async fn perform(&self, task: &Task, host: &impl Host) -> Result<Outcome, Halt> {
        match task {
            Task::Run(run) => self.run(run, host).await,
            Task::Moment { run, image, index } => self.look(run, *image, *index, host).await,
            Task::Diffuse { subject, t, seed } => self.diffuse(subject, *t, *seed, host).await,
            Task::Measure { subject, times, seed } => self.measure(subject, *times, *seed, host).await,
            Task::Speed => self.speed(host).await,
            Task::Save { save, origin } => self.save(save, origin, host).await,
            Task::Verify { name, file, weights_sha256 } => self.verify(name, file, weights_sha256, host).await,
            Task::Learn { .. } => Err(Problem::Settings { detail: "a toy learns without an engine".into() }.into()),
            Task::Switch(_) => Err(Problem::Settings { detail: "an engine has one model".into() }.into()),
        }
    }

    async fn look(&self, run: &Run, image: u32, index: u32, host: &impl Host) -> Result<Outcome, Halt> {
        let recording = self.recorded(run, Shown::Steps, host).await?;
        let (row, moment) = recording.place(image, index)?;
        let latents = [recording.noisy(row, moment), recording.predicted(row, moment)];
        let mut pictures = self.decode_rows(&latents).await?.into_iter();
        let (Some(noisy), Some(predicted)) = (pictures.next(), pictures.next()) else {
            return Err(Problem::NotFinite.into());
        };
        Ok(Outcome::Moment(Moment { index, t: recording.places[moment].t, noisy, predicted }))
    }

    async fn diffuse(&self, subject: &Subject, t: f64, seed: u64, host: &impl Host) -> Result<Outcome, Halt> {
        let f = self.clean_latent(subject, host).await?;
        if !(0.0..=1.0).contains(&t) {
            return Err(Problem::Settings { detail: format!("t is {t}: 0 to 1 is accepted") }.into());
        }
        let dim = f.len();
        let noise = seeded_noise::<B>(&[seed], RngStream::Diffuse, 0, dim, &self.device);
        let z = self.model.diffuse(self.tensor(f.to_vec(), 1), noise, t);
        let class = subject.class().filter(|&class| class < self.model.config.classes().count());
        let (_, coarse) = self.model.band_range(0);
        let context = seeded_noise::<B>(&[seed], RngStream::Context, 0, coarse, &self.device);
        let guess = self.model.predict_clean(z.clone(), t, Condition { class, guidance: 0.0 }, context);
        let scaled = self.numbers(self.model.without_alpha(z, t)).await?;
        let latents = [scaled, f.to_vec(), self.numbers(guess).await?];
        let mut pictures = self.decode_rows(&latents).await?.into_iter();
        let (Some(noisy), Some(clean), Some(guess)) = (pictures.next(), pictures.next(), pictures.next()) else {
            return Err(Problem::NotFinite.into());
        };
        Ok(Outcome::Diffused(Diffused { noisy, clean, guess }))
    }

    async fn measure(&self, subject: &Subject, times: u32, seed: u64, host: &impl Host) -> Result<Outcome, Halt> {
        let picture = match subject {
            Subject::Image { picture, .. } => picture.clone(),
            Subject::Sample(_) => {
                let f = self.clean_latent(subject, host).await?;
                self.decode_rows(&[f.to_vec()]).await?.pop().ok_or(Problem::NotFinite)?
            }
        };
        self.check_size(&picture)?;
        let encoder = self.encoder.borrow().clone().ok_or(Problem::NoEncoder)?;
        let class = subject.class().unwrap_or_else(|| self.model.config.classes().count());
        let measured = elbo::measure(
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
        let measured = measured.into_iter().next().ok_or(Problem::NotFinite)?;
        if !measured.terms.total().is_finite() {
            return Err(Problem::NotFinite.into());
        }
        Ok(Outcome::Bound(measured))
    }

    /// The page cannot interrupt it: it takes a few runs only.
    async fn speed(&self, host: &impl Host) -> Result<Outcome, Halt> {
        const RUNS: usize = 5;
        let speed = cost::measure(&self.model, RUNS, || host.elapsed_ms() / 1e3, &self.device).await;
        Ok(Outcome::Speed(speed.map_err(|error| Problem::GpuError { detail: error.to_string() })?))
    }

    async fn save(&self, save: &Save, origin: &Origin, host: &impl Host) -> Result<Outcome, Halt> {
        let grey = |pictures: &[Picture]| pictures.iter().cloned().map(GreyImage::from).collect::<Vec<_>>();
        if let Save::Grid { pictures, .. } | Save::Flipbook { pictures, .. } = save {
            are_of_one_size(pictures).map_err(|detail| Problem::Encoding { detail: detail.into() })?;
        }
        let bytes = match save {
            Save::Grid { pictures, columns } => {
                files::grid(&grey(pictures), (*columns as usize).clamp(1, pictures.len()), origin)
            }
            Save::Flipbook { pictures, format } => files::flipbook(&grey(pictures), *format, origin),
            Save::Animation { run, image, format } => {
                files::animation(&self.film(run, *image, files::ANIMATION_FRAMES, host).await?, *format, origin)
            }
            Save::Strip { run, image } => {
                files::strip(&self.film(run, *image, files::STRIP_FRAMES, host).await?, origin)
            }
        };
        Ok(Outcome::File(bytes.map_err(|detail| Problem::Encoding { detail })?))
    }

    /// Latent and prediction of an image of a run, decoded at evenly spaced moments.
    async fn film(
        &self,
        run: &Run,
        image: u32,
        frames: usize,
        host: &impl Host,
    ) -> Result<Vec<(GreyImage, GreyImage)>, Halt> {
        let recording = self.recorded(run, Shown::Steps, host).await?;
        let mut film = Vec::new();
        let (row, _) = recording.place(image, 0)?;
        for moment in evenly(recording.last() + 1, frames) {
            let latents = [recording.noisy(row, moment), recording.predicted(row, moment)];
            let mut pictures = self.decode_rows(&latents).await?.into_iter().map(GreyImage::from);
            if let (Some(noisy), Some(predicted)) = (pictures.next(), pictures.next()) {
                film.push((noisy, predicted));
            }
            if !host.should_continue().await {
                return Err(Halt::Stopped { step: recording.kept[moment] as u32 });
            }
        }
        Ok(film)
    }
}

/// Checks what the encoders rely on.
fn are_of_one_size(pictures: &[Picture]) -> Result<(), &'static str> {
    let first = pictures.first().ok_or("there are no pictures")?;
    let size = (first.width, first.height);
    let whole = |p: &Picture| u64::from(p.width) * u64::from(p.height) == p.pixels.len() as u64 && !p.pixels.is_empty();
    let same = pictures.iter().all(|picture| whole(picture) && (picture.width, picture.height) == size);
    same.then_some(()).ok_or("the pictures have not one size")
}
