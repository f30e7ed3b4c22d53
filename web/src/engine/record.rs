//! The latents of a run, from which its moments, or as many as memory allows, are decoded again.

use vdm::model::Place;

use crate::protocol::{Problem, Run};

/// Bytes of latents that are kept. That is all of a run, except hundreds of steps of many images with large latents.
const MAX_BYTES: u64 = 128 << 20;

/// Steps between the moments that are kept of a run.
pub(super) fn stride(steps: usize, rows: usize, dim: usize) -> usize {
    // Each moment has a latent and its prediction.
    let bytes = [steps + 1, rows, dim, 2 * size_of::<f32>()].map(|count| count as u64).iter().product::<u64>();
    bytes.div_ceil(MAX_BYTES).max(1) as usize
}

/// The latents of a run, on the host.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Recording {
    /// The run.
    pub(super) run: Run,
    /// The steps whose latents are kept, from 0 to the last.
    pub(super) kept: Vec<usize>,
    /// The place after each kept step.
    pub(super) places: Vec<Place>,
    /// What z is multiplied by to be decoded there, as [`Vdm::visible`](vdm::model::Vdm::visible) gives it.
    pub(super) visible: Vec<Vec<(usize, f64)>>,
    /// The size of a latent.
    pub(super) dim: usize,
    /// z_t, `[moments, rows, dim]`.
    pub(super) z: Vec<f32>,
    /// f̂ predicted from it, `[moments − 1, rows, dim]`.
    pub(super) f_hat: Vec<f32>,
}

impl Recording {
    /// The index of the last kept moment.
    pub(super) fn last(&self) -> usize {
        self.kept.len() - 1
    }

    fn start(&self, row: usize, moment: usize) -> usize {
        (moment * self.run.count() + row) * self.dim
    }

    /// z_t.
    pub(super) fn latent(&self, row: usize, moment: usize) -> &[f32] {
        let start = self.start(row, moment);
        &self.z[start..start + self.dim]
    }

    /// z_t / α_t of the bands that have begun, which decodes to the noisy picture and, at the end, to the image.
    pub(super) fn noisy(&self, row: usize, moment: usize) -> Vec<f32> {
        let factors =
            self.visible[moment].iter().flat_map(|&(count, factor)| std::iter::repeat_n(factor as f32, count));
        // As `Trajectory::decode` multiplies: in single precision.
        self.latent(row, moment).iter().zip(factors).map(|(v, factor)| v * factor).collect()
    }

    /// f̂, predicted from the latent of this moment; at the end, the image itself.
    pub(super) fn predicted(&self, row: usize, moment: usize) -> Vec<f32> {
        if moment >= self.last() {
            return self.noisy(row, moment);
        }
        let start = self.start(row, moment);
        self.f_hat[start..start + self.dim].to_vec()
    }

    /// The row of an image, and the kept moment nearest to a step.
    pub(super) fn place(&self, image: u32, index: u32) -> Result<(usize, usize), Problem> {
        let (row, step) = (image as usize, index as usize);
        let steps = self.kept[self.last()];
        if row < self.run.count() && step <= steps {
            let after = self.kept.partition_point(|&kept| kept < step);
            let nearer_before = after > 0 && step - self.kept[after - 1] < self.kept[after] - step;
            return Ok((row, if nearer_before { after - 1 } else { after }));
        }
        let images = self.run.count();
        let detail = format!("image {image} of {images}, moment {index} of {steps}: there is no such moment");
        Err(Problem::Settings { detail })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::Start;
    use crate::settings::Settings;

    #[test]
    fn a_long_run_of_large_latents_keeps_the_nearest_moments() {
        assert_eq!((stride(1000, 16, 64), stride(25, 16, 16_384), stride(1000, 1, 16_384)), (1, 1, 1));
        assert_eq!(stride(1000, 16, 16_384), 16);
        let run = Run { start: Start::Noise, seeds: vec![1, 2], settings: Settings::default() };
        let kept = vec![0, 4, 8, 9];
        let recording = Recording {
            run,
            places: [1.0, 0.6, 0.2, 0.0].map(|t| Place { band: 0, t, gamma: 0.0 }).to_vec(),
            visible: vec![vec![(1, 1.0)]; 4],
            dim: 1,
            z: (0..8).map(|v| v as f32).collect(),
            f_hat: (0..6).map(|v| v as f32).collect(),
            kept,
        };
        let moment = |step| recording.place(1, step).map(|(_, moment)| moment);
        assert_eq!([0, 1, 2, 3, 7, 9].map(|step| moment(step).expect("a step")), [0, 0, 1, 1, 2, 3]);
        assert_eq!(recording.latent(1, 2), [5.0]);
        assert!(moment(10).is_err() && recording.place(2, 0).is_err());
    }
}
