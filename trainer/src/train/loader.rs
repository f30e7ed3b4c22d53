//! The batches of a run, prepared on the host ahead of the device.

use std::ops::Range;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};

use anyhow::{Context, Result};
use burn::tensor::{Int, Tensor, TensorData, backend::AutodiffBackend};
use rayon::prelude::*;
use vdm::autoencoder::lapped::{CropWindows, crop_place};
use vdm::config::{
    CONTEXT_CHANNELS, CONTEXT_GAMMA, FINE_CHANNELS, ModelConfig, PATCH, PatchGrid, Stage, TrainingConfig,
};
use vdm::math;
use vdm::model::LatentNoise;
use vdm::objective::{Batch, FineBatch};
use vdm::rng::{Rng, RngStream};

use crate::run::inputs::RunData;

/// Steps that are prepared ahead.
const AHEAD: usize = 2;

/// A part of a batch on the host: images with their diffusion times and noise.
#[derive(Clone, Debug, PartialEq)]
pub struct HostBatch {
    /// Numbers of z_t for each draw, and of z_0 for each image.
    dims: [usize; 2],
    pixels: Vec<f32>,
    classes: Option<Vec<i64>>,
    times: Vec<f64>,
    at_t: Vec<f32>,
    /// The streams of ε_0: a seed, and a number for each image.
    starts: (u64, Range<u64>),
    fine: Option<HostFine>,
}

/// [`FineBatch`] on the host.
#[derive(Clone, Debug, PartialEq)]
struct HostFine {
    grid: PatchGrid,
    pixels: Vec<f32>,
    places: Vec<[usize; 2]>,
    context_gammas: Vec<f64>,
    context_noise: Vec<f32>,
}

impl HostBatch {
    /// Copies it to the device. ε_0 is drawn only `with_start`, and zero otherwise: only the diffusion loss does without.
    pub fn on_device<B: AutodiffBackend>(self, with_start: bool, device: &B::Device) -> Batch<B> {
        let (seed, starts) = self.starts;
        let (draws, [dim, start_dim]) = (self.times.len(), self.dims);
        let images = (starts.end - starts.start) as usize;
        let size = self.pixels.len() / images; // none where the crops are all that is needed
        let matrix = |values, shape: [usize; 2]| Tensor::<B, 2>::from_data(TensorData::new(values, shape), device);
        let at_zero = if with_start {
            matrix(normals(seed, RngStream::TrainingStart, starts.collect(), start_dim), [images, start_dim])
        } else {
            Tensor::zeros([images, start_dim], device)
        };
        Batch {
            x: matrix(self.pixels, [images, size]),
            classes: self
                .classes
                .map(|labels| Tensor::<B, 1, Int>::from_data(TensorData::new(labels, [images]), device)),
            times: self.times,
            noise: LatentNoise { at_zero, at_t: matrix(self.at_t, [draws, dim]) },
            fine: self.fine.map(|HostFine { grid, pixels, places, context_gammas, context_noise }| {
                let inner = |values: Vec<f32>, rows: usize| {
                    let shape = [rows, values.len() / rows];
                    Tensor::<B::InnerBackend, 2>::from_data(TensorData::new(values, shape), device)
                };
                FineBatch {
                    crops: CropWindows { pixels: inner(pixels, images), grid, places },
                    context_noise: inner(context_noise, images * grid.patches()),
                    context_gammas,
                }
            }),
        }
    }
}

/// `dim` standard normal numbers of each stream, on all cores.
fn normals(seed: u64, stream: RngStream, indices: Vec<u64>, dim: usize) -> Vec<f32> {
    let rows: Vec<Vec<f32>> = indices.into_par_iter().map(|index| Rng::new(seed, stream, index).normals(dim)).collect();
    rows.concat()
}

/// The images of each batch that one device takes.
#[derive(Clone, Debug)]
pub struct Share {
    /// Positions in the batch.
    pub images: Range<usize>,
    /// Number of equal parts that they are taken in.
    pub parts: usize,
}

/// How the patches of a crop lie, where the fine band is trained.
fn fine_crop(model: &ModelConfig, training: &TrainingConfig) -> Option<PatchGrid> {
    let whole = model.patch_grid();
    let side = training.crop.map_or(usize::MAX, |crop| crop / PATCH);
    let grid = PatchGrid { rows: side.min(whole.rows), columns: side.min(whole.columns) };
    (training.stage == Stage::Fine).then_some(grid)
}

/// Crops of some images `[H·W]`, and the noise on their contexts. `first` is the number of the first among all that training
/// has taken.
fn fine(model: &ModelConfig, grid: PatchGrid, seed: u64, first: u64, images: &[Vec<f32>]) -> HostFine {
    let whole = model.patch_grid();
    let (min, max) = CONTEXT_GAMMA;
    let mut streams: Vec<Rng> = (0..images.len() as u64).map(|i| Rng::new(seed, RngStream::Crop, first + i)).collect();
    let origins: Vec<[usize; 2]> = streams
        .iter_mut()
        .map(|s| [s.below(whole.rows - grid.rows + 1), s.below(whole.columns - grid.columns + 1)])
        .collect();
    let place = |&[row, column]: &[usize; 2]| {
        [crop_place(row, grid.rows, whole.rows), crop_place(column, grid.columns, whole.columns)]
    };
    HostFine {
        grid,
        places: origins.iter().map(place).collect(),
        pixels: images.iter().zip(&origins).flat_map(|(image, origin)| window(image, model, grid, *origin)).collect(),
        context_gammas: streams.iter_mut().map(|s| min + (max - min) * s.uniform()).collect(),
        context_noise: streams.iter_mut().flat_map(|s| s.normals(grid.patches() * CONTEXT_CHANNELS)).collect(),
    }
}

/// The pixels of [`CropWindows`] of one crop.
fn window(image: &[f32], model: &ModelConfig, grid: PatchGrid, [row, column]: [usize; 2]) -> Vec<f32> {
    let half = PATCH / 2;
    let (height, width) = ((grid.rows + 1) * PATCH, (grid.columns + 1) * PATCH);
    let at = |y: usize, x: usize| {
        let y = (row * PATCH + y).checked_sub(half).filter(|&y| y < model.height)?;
        let x = (column * PATCH + x).checked_sub(half).filter(|&x| x < model.width)?;
        Some(image[y * model.width + x] - 0.5)
    };
    (0..height * width).map(|i| at(i / width, i % width).unwrap_or(0.0)).collect()
}

/// All of the randomness of a step. It depends on the seed, the step and the number of rollbacks only, not on the number
/// of devices or parts.
pub fn step_batches(data: &RunData, share: &Share, retries: u64, step: u64) -> Vec<HostBatch> {
    let settings = &data.settings;
    let (training, model) = (&settings.training, &settings.model);
    let crop = fine_crop(model, training);
    let dim = match (training.stage, crop) {
        (Stage::Fine, Some(grid)) => grid.patches() * FINE_CHANNELS,
        _ => model.band_dims()[0],
    };
    // Another seed after a rollback: the same draws would fail again.
    let seed = settings.seed.wrapping_add(retries.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let (batch, times_per_image) = (training.batch, training.times_per_image);
    let indices = batch_indices(seed, step, batch, data.train.len());
    let mut stream = Rng::new(seed, RngStream::Training, step);
    let times = math::antithetic_times(stream.uniform(), batch * times_per_image, training.diffusion_steps);
    let classes: Option<Vec<i64>> = data.train.labels.as_ref().map(|labels| {
        // All of a label is hidden, for guidance, or an attribute on its own, so that each can be asked for alone.
        let classes = model.classes();
        let mut label = |&i: &usize| {
            let mut hidden = || stream.uniform() < training.label_dropout;
            if hidden() {
                return classes.count() as i64;
            }
            let values = classes.values(labels[i]);
            let alone = values.len() == 1;
            let kept: Vec<_> = values.into_iter().map(|value| value.filter(|_| alone || !hidden())).collect();
            classes.number(&kept) as i64
        };
        indices.iter().map(&mut label).collect()
    });
    let size = share.images.len() / share.parts;
    let image_number = |i: usize| step * batch as u64 + i as u64;
    let draw_number = |draw: usize| step * (batch * times_per_image) as u64 + draw as u64;
    (0..share.parts)
        .map(|part| {
            let first = share.images.start + part * size;
            let range = first..first + size;
            // Draw k of image i has the index k · batch + i.
            let draws: Vec<usize> =
                (0..times_per_image).flat_map(|k| range.clone().map(move |i| k * batch + i)).collect();
            let images: Vec<Vec<f32>> = range
                .clone()
                .into_par_iter()
                .map(|i| {
                    let mut stream = Rng::new(seed, RngStream::Augmentation, image_number(i));
                    data.image(indices[i], &mut stream)
                })
                .collect();
            let numbers: Vec<u64> = draws.iter().map(|&draw| draw_number(draw)).collect();
            HostBatch {
                dims: [dim, model.latent_dim()],
                pixels: if crop.is_some() { Vec::new() } else { images.concat() },
                classes: classes.as_ref().map(|classes| classes[range.clone()].to_vec()),
                times: draws.iter().map(|&i| times[i]).collect(),
                at_t: normals(seed, RngStream::TrainingNoise, numbers, dim),
                starts: (seed, image_number(range.start)..image_number(range.end)),
                fine: crop.map(|grid| fine(model, grid, seed, image_number(range.start), &images)),
            }
        })
        .collect()
}

/// The images of a step: the data is passed over again and again, each time in another order.
fn batch_indices(seed: u64, step: u64, batch: usize, images: usize) -> Vec<usize> {
    let mut pass = None;
    (0..batch as u64)
        .map(|i| {
            let position = step * batch as u64 + i;
            let number = position / images as u64;
            let order = match &pass {
                Some((n, order)) if *n == number => order,
                _ => &pass.insert((number, Rng::new(seed, RngStream::Order, number).permutation(images))).1,
            };
            order[(position % images as u64) as usize]
        })
        .collect()
}

/// Prepares the batches of a run in another thread.
pub struct Loader {
    batches: Receiver<Vec<HostBatch>>,
}

impl Loader {
    /// Starts with the batch that follows `step` steps.
    pub fn start(data: &Arc<RunData>, share: &Share, retries: u64, step: u64) -> Result<Self> {
        let (sender, batches) = sync_channel(AHEAD);
        let (data, share) = (Arc::clone(data), share.clone());
        std::thread::Builder::new()
            .name("loader".to_owned())
            .spawn(move || {
                // Ends when the loader is dropped.
                for step in step.. {
                    if sender.send(step_batches(&data, &share, retries, step)).is_err() {
                        break;
                    }
                }
            })
            .context("cannot start a thread that prepares images")?;
        Ok(Self { batches })
    }

    /// The parts of the next step.
    pub fn next(&self) -> Result<Vec<HostBatch>> {
        self.batches.recv().context("the thread that prepares images has failed")
    }
}

#[cfg(test)]
mod tests {
    use vdm::config::Preset;

    use super::super::fixture;
    use super::*;
    use crate::data::Dataset;
    use crate::run::settings::RunSettings;

    #[test]
    fn each_pass_takes_every_image_once_whatever_the_batch() {
        let (images, batch) = (10, 4);
        let taken: Vec<usize> = (0..10).flat_map(|step| batch_indices(3, step, batch, images)).collect();
        for pass in taken.chunks_exact(images) {
            let mut pass = pass.to_vec();
            pass.sort_unstable();
            assert_eq!(pass, (0..images).collect::<Vec<_>>());
        }
        assert_ne!(taken[..10], taken[10..20]);
    }

    #[test]
    fn shares_and_parts_are_cuts_of_the_same_batch() {
        let mut settings = RunSettings::of(Preset::Quick, None);
        settings.training.batch = 12;
        settings.training.times_per_image = 2;
        let side = settings.model.height;
        let train = Dataset::phantoms(1, 0, 20, side, side);
        let data = RunData::of(settings, train.clone(), train);
        let take = |images, parts| step_batches(&data, &Share { images, parts }, 0, 7);
        let whole = &take(0..12, 1)[0];
        let cut: Vec<HostBatch> = [take(0..6, 2), take(6..12, 2)].concat();
        assert_eq!(cut.len(), 4);
        for (p, part) in cut.iter().enumerate() {
            let (size, [dim, _]) = (whole.pixels.len() / 12, part.dims);
            assert_eq!(part.pixels, whole.pixels[p * 3 * size..(p + 1) * 3 * size]);
            for k in 0..2 {
                for i in 0..3 {
                    let (here, there) = (k * 3 + i, k * 12 + p * 3 + i);
                    assert_eq!(part.times[here], whole.times[there]);
                    assert_eq!(part.at_t[here * dim..(here + 1) * dim], whole.at_t[there * dim..(there + 1) * dim]);
                }
            }
        }
        assert_ne!(take(0..12, 1), step_batches(&data, &Share { images: 0..12, parts: 1 }, 1, 7), "a rollback");
    }

    #[test]
    fn an_attribute_is_hidden_alone_or_with_all_others() {
        let mut settings = RunSettings::of(Preset::Quick, None);
        settings.model.attributes = vec![2, 2, 2];
        (settings.training.batch, settings.training.label_dropout) = (4000, 0.2);
        let side = settings.model.height;
        let mut train = Dataset::phantoms(1, 0, 2, side, side);
        let classes = settings.model.classes();
        train.labels =
            Some(vec![classes.number(&[Some(1), Some(0), Some(1)]), classes.number(&[Some(0), None, Some(1)])]);
        let data = RunData::of(settings.clone(), train.clone(), train);
        let batch = &step_batches(&data, &Share { images: 0..4000, parts: 1 }, 0, 0)[0];
        let given = batch.classes.as_ref().expect("classes");
        let fraction = |of: &dyn Fn(&[Option<usize>]) -> bool| {
            let count = given.iter().filter(|&&class| of(&classes.values(class as usize))).count();
            count as f64 / given.len() as f64
        };
        // Of all, 0.2 with the others, and 0.2 of the rest alone.
        let hidden = 0.2 + 0.8 * 0.2;
        for (what, found, expected) in [
            (
                "all",
                fraction(&|values| values.iter().all(Option::is_none)),
                0.2 + 0.8 * (0.2_f64.powi(3) + 0.2_f64.powi(2)) / 2.0,
            ),
            ("the first", fraction(&|values| values[0].is_none()), hidden),
            ("the last", fraction(&|values| values[2].is_none()), hidden),
            ("a wrong value", fraction(&|values| values[1] == Some(1) || values[2] == Some(0)), 0.0),
            ("the second, which half of the images lack", fraction(&|values| values[1].is_none()), 0.5 + 0.5 * hidden),
        ] {
            assert!((found - expected).abs() < 0.03, "{what}: {found} instead of {expected}");
        }
    }

    #[test]
    fn a_loader_goes_on_as_one_that_never_stopped() {
        let data = Arc::new(fixture::data(fixture::settings()));
        let share = Share { images: 0..4, parts: 2 };
        let from = |step| Loader::start(&data, &share, 0, step).expect("starts");
        let whole = from(0);
        let steps: Vec<_> = (0..6).map(|_| whole.next().expect("a batch")).collect();
        let resumed = from(3);
        for step in &steps[3..] {
            assert_eq!(*step, resumed.next().expect("a batch"));
        }
        assert_ne!(steps[3], steps[4]);
    }
}
