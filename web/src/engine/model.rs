//! A model on a device, and transfers to and from the device.

use std::cell::RefCell;
use std::rc::Rc;

use burn::tensor::{Tensor, TensorData, backend::Backend};
use vdm::autoencoder::Encoder;
use vdm::diffusion::schedule::NoiseSchedule;
use vdm::error::WeightsError;
use vdm::image::GreyImage;
use vdm::model::Vdm;
use vdm::weights::{self, Header};

use super::record::Recording;
use crate::protocol::{Picture, Problem, Run, Start, Subject};

/// A model on a device.
#[derive(Debug)]
pub struct Engine<B: Backend> {
    pub(super) model: Vdm<B>,
    pub(super) encoder: RefCell<Option<Encoder<B>>>,
    pub(super) device: B::Device,
    pub(super) header: Header,
    /// Whether each image of a run is computed by itself.
    pub(super) apart: bool,
    /// The last run, for time travel.
    pub(super) recording: RefCell<Option<Rc<Recording>>>,
    /// The last subject's clean latent.
    pub(super) subject: RefCell<Option<(Subject, Rc<Vec<f32>>)>>,
}

impl<B: Backend> Engine<B> {
    /// Builds the model of a sampling file.
    ///
    /// # Errors
    /// The file does not fit, or the device cannot be read.
    pub async fn load(bytes: &[u8], device: B::Device) -> Result<Self, WeightsError> {
        let (header, networks) = weights::load::<B>(bytes, &device)?;
        let model = Vdm::new(header.config.clone(), header.sampling, networks).await?;
        let (recording, subject) = (RefCell::default(), RefCell::default());
        // A fixed transform encodes too.
        let encoder = RefCell::new(model.networks.encoder.clone());
        Ok(Self { model, encoder, device, header, apart: false, recording, subject })
    }

    /// Computes each image of a run by itself, if the model has bands: its products are large enough, and whichever worker
    /// draws an image, it is the same to the bit.
    #[must_use]
    pub fn with_images_apart(mut self) -> Self {
        self.apart = self.model.config.bands.is_some();
        self
    }

    /// Whether the images of a run may be computed by different engines.
    pub fn can_share(&self, run: &Run) -> bool {
        self.apart && run.start == Start::Noise && run.count() > 1
    }

    /// Builds the encoder of a file; `sampling_sha256` is the hash of the sampling file.
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

    /// The header of the file.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// γ(t), of the coarse band where the model has bands.
    pub fn schedule(&self) -> &NoiseSchedule {
        &self.model.schedules[0]
    }

    pub(super) fn check_size(&self, picture: &Picture) -> Result<(), Problem> {
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
    pub(super) fn tensor(&self, values: Vec<f32>, rows: usize) -> Tensor<B, 2> {
        let columns = values.len() / rows.max(1);
        Tensor::from_data(TensorData::new(values, [rows, columns]), &self.device)
    }

    /// Pictures of clean latents. One at a time: products of several rows may round otherwise, and a moment of a run must show
    /// what its end showed.
    pub(super) async fn decode_rows(&self, latents: &[Vec<f32>]) -> Result<Vec<Picture>, Problem> {
        let mut pictures = Vec::with_capacity(latents.len());
        for latent in latents {
            pictures.extend(self.read(self.model.decode(self.tensor(latent.clone(), 1))).await?);
        }
        Ok(pictures)
    }

    /// Numbers from the device.
    pub(super) async fn numbers(&self, tensor: Tensor<B, 2>) -> Result<Vec<f32>, Problem> {
        let data =
            tensor.into_data_async().await.map_err(|error| Problem::GpuError { detail: format!("{error:?}") })?;
        let values: Vec<f32> = data.iter::<f32>().collect();
        if values.iter().any(|value| !value.is_finite()) {
            return Err(Problem::NotFinite);
        }
        Ok(values)
    }

    /// Images `[B, H·W]` from the device.
    pub(super) async fn read(&self, images: Tensor<B, 2>) -> Result<Vec<Picture>, Problem> {
        let [_, pixels] = images.dims();
        let values = self.numbers(images).await?;
        let width = self.header.config.width;
        Ok(values.chunks_exact(pixels).map(|image| GreyImage::from_unit(width, image).into()).collect())
    }
}
