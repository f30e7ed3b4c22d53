//! A run as its latents: small enough to keep, and any moment of it can be decoded again.

use vdm::math::alpha_squared;

use crate::protocol::{Problem, Run};

/// The latents of a run, on the host.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Recording {
    /// The run.
    pub(super) run: Run,
    /// The seed of each image.
    pub(super) seeds: Vec<u64>,
    /// The times that it passed, one more than steps.
    pub(super) times: Vec<f64>,
    /// γ at these times.
    pub(super) gammas: Vec<f64>,
    /// Numbers of a latent.
    pub(super) dim: usize,
    /// z_t, `[moments, rows, dim]`.
    pub(super) z: Vec<f32>,
    /// f̂ predicted from it, `[moments − 1, rows, dim]`.
    pub(super) f_hat: Vec<f32>,
}

impl Recording {
    pub(super) fn steps(&self) -> usize {
        self.times.len() - 1
    }

    fn start(&self, row: usize, moment: usize) -> usize {
        (moment * self.run.count() + row) * self.dim
    }

    /// z_t.
    pub(super) fn latent(&self, row: usize, moment: usize) -> &[f32] {
        let start = self.start(row, moment);
        &self.z[start..start + self.dim]
    }

    /// z_t / α_t, which decodes to what the latent looks like; at the end, to the image.
    pub(super) fn noisy(&self, row: usize, moment: usize) -> Vec<f32> {
        let alpha = alpha_squared(self.gammas[moment]).sqrt();
        // As `Trajectory::decode` divides: in single precision.
        self.latent(row, moment).iter().map(|&v| v / alpha as f32).collect()
    }

    /// f̂, predicted from the latent of this moment; at the end there is no prediction, but the image.
    pub(super) fn predicted(&self, row: usize, moment: usize) -> Vec<f32> {
        if moment >= self.steps() {
            return self.noisy(row, moment);
        }
        let start = self.start(row, moment);
        self.f_hat[start..start + self.dim].to_vec()
    }

    /// Row and moment that a request names.
    pub(super) fn place(&self, image: u32, index: u32) -> Result<(usize, usize), Problem> {
        let (row, moment) = (image as usize, index as usize);
        if row < self.run.count() && moment <= self.steps() {
            return Ok((row, moment));
        }
        let (images, steps) = (self.run.count(), self.steps());
        let detail = format!("image {image} of {images}, moment {index} of {steps}: there is no such moment");
        Err(Problem::Settings { detail })
    }
}
