//! `trainer sample`: synthetic X-rays from a file of weights.

use anyhow::{Context, Result, bail, ensure};
use burn::tensor::Tensor;
use burn::tensor::backend::{AutodiffBackend, Backend};
use vdm::image::{GreyImage, Origin};
use vdm::model::{Condition, Vdm};
use vdm::sampler::{SamplingOptions, Trajectory, draw_pixels};

use crate::cli::{ImageFormat, SampleArgs};
use crate::device::{self, Job};
use crate::dicom_out::{Series, VisibleLabel};
use crate::files::{self, LoadedModel, WithEncoder};
use crate::progress::Progress;

/// What this program calls itself in the files that it writes.
pub const SOFTWARE: &str = concat!("medical-vdm trainer ", env!("CARGO_PKG_VERSION"));

/// Images sampled at once.
const BATCH: usize = 16;

/// What a pixel shows of the Bernoulli decoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pixels {
    /// Its mean.
    Mean,
    /// A draw: black or white.
    Draw,
}

/// Draws images for seeds `first..first + count`, calling back after each step.
pub fn draw<B: Backend>(
    model: &Vdm<B>,
    options: SamplingOptions,
    pixels: Pixels,
    first: u64,
    count: usize,
    device: &B::Device,
    mut on_step: impl FnMut(),
) -> Result<Vec<GreyImage>> {
    let seeds: Vec<u64> = (0..count as u64).map(|i| first.wrapping_add(i)).collect();
    let mut images = Vec::with_capacity(count);
    for seeds in seeds.chunks(BATCH) {
        let mut trajectory = Trajectory::from_noise(model, options, seeds, device)?;
        while trajectory.step(model).is_some() {
            on_step();
        }
        for (mean, &seed) in to_values(trajectory.decode(model))?.into_iter().zip(seeds) {
            let values = if pixels == Pixels::Draw { draw_pixels(&mean, seed) } else { mean };
            images.push(GreyImage::from_unit(model.config.width, &values));
        }
    }
    Ok(images)
}

/// Reads images `[B, H·W]` back.
pub fn to_images<B: Backend>(images: Tensor<B, 2>, width: usize) -> Result<Vec<GreyImage>> {
    Ok(to_values(images)?.iter().map(|image| GreyImage::from_unit(width, image)).collect())
}

fn to_values<B: Backend>(images: Tensor<B, 2>) -> Result<Vec<Vec<f32>>> {
    let [_, pixels] = images.dims();
    let data = images.try_into_data().map_err(|error| anyhow::anyhow!("cannot read from the device: {error:?}"))?;
    let values: Vec<f32> = data.iter::<f32>().collect();
    ensure!(values.iter().all(|v| v.is_finite()), "the model drew NaN: its weights or its device are broken");
    Ok(values.chunks_exact(pixels).map(<[f32]>::to_vec).collect())
}

/// `trainer sample`.
pub fn command(args: SampleArgs) -> Result<()> {
    ensure!(args.count > 0, "--count is 0: at least 1 is accepted");
    ensure!(args.weights.exists(), "cannot read {}: there is no such file", args.weights.display());
    Target::of(&args)?;
    let device = device::choose(args.device)?;
    device::run(device, Sample(args))
}

/// What --format and --out ask for together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Target {
    /// One PNG file, a grid of the images.
    PngFile,
    /// A folder of PNG files.
    PngFolder,
    /// One DICOM file of one image.
    DicomFile,
    /// A folder of DICOM files.
    DicomFolder,
}

impl Target {
    fn of(args: &SampleArgs) -> Result<Self> {
        let ends_in = |extension: &str| args.out.extension().is_some_and(|e| e.eq_ignore_ascii_case(extension));
        let target = match (args.format, ends_in("png"), ends_in("dcm")) {
            (None | Some(ImageFormat::Png), true, _) => Self::PngFile,
            (None | Some(ImageFormat::Dicom), _, true) => Self::DicomFile,
            (Some(ImageFormat::Png), _, true) => {
                bail!("--format is png, and --out ends in .dcm: leave one of them out")
            }
            (Some(ImageFormat::Dicom), true, _) => {
                bail!("--format is dicom, and --out ends in .png: a .dcm file or a folder is accepted")
            }
            (Some(ImageFormat::Dicom), ..) => Self::DicomFolder,
            (None | Some(ImageFormat::Png), ..) => Self::PngFolder,
        };
        ensure!(
            target != Self::DicomFile || args.count == 1,
            "--count is {}, and {} holds one image: pass a folder and --format dicom",
            args.count,
            args.out.display()
        );
        Ok(target)
    }
}

struct Sample(SampleArgs);

impl Job for Sample {
    type Output = ();

    fn run<B: AutodiffBackend>(self, device: &B::Device) -> Result<()> {
        let args = self.0;
        let loaded = files::load_model::<B::InnerBackend>(&args.weights, WithEncoder::No, device)?;
        let class = args.class.as_deref().map(|class| class_number(&loaded, class)).transpose()?;
        let condition = Condition { class, guidance: args.guidance };
        let options = SamplingOptions { sampler: args.sampler, steps: args.steps, condition };
        options.validate(&loaded.model.config)?;

        let total = args.steps * args.count.div_ceil(BATCH);
        let mut progress = Progress::new("sampling", 0, total as u64);
        let mut done = 0;
        let pixels = if args.draw_pixels { Pixels::Draw } else { Pixels::Mean };
        let images = draw(&loaded.model, options, pixels, args.seed, args.count, device, || {
            done += 1;
            progress.set(done, String::new);
        })?;
        drop(progress);
        write(&args, &loaded, &images)
    }
}

/// The number of a class that is given by number or name.
pub fn class_number<B: Backend>(loaded: &LoadedModel<B>, class: &str) -> Result<usize> {
    let names = &loaded.header.provenance.class_names;
    if let Some(number) = names.iter().position(|name| name == class) {
        return Ok(number);
    }
    class.parse().ok().with_context(|| match names.len() {
        0 => format!("--class is {class}: these weights have no classes"),
        _ => format!("--class is {class}: a number, or one of {} is accepted", names.join(", ")),
    })
}

fn write<B: Backend>(args: &SampleArgs, loaded: &LoadedModel<B>, images: &[GreyImage]) -> Result<()> {
    let origin = |seeds: String| {
        let mut settings = vec![
            ("seed".to_owned(), seeds),
            ("sampler".to_owned(), args.sampler.name().to_owned()),
            ("steps".to_owned(), args.steps.to_string()),
        ];
        if args.draw_pixels {
            settings.push(("pixels".to_owned(), "drawn".to_owned()));
        }
        if let Some(class) = &args.class {
            settings.push(("class".to_owned(), class.clone()));
            settings.push(("guidance".to_owned(), args.guidance.to_string()));
        }
        Origin {
            software: SOFTWARE.to_owned(),
            weights: loaded.header.provenance.name.clone(),
            weights_sha256: loaded.sha256.clone(),
            settings,
        }
    };
    let shown = |image: &GreyImage| if args.no_visible_label { image.clone() } else { image.labelled() };
    let series = Series::new();
    let label = if args.no_visible_label { VisibleLabel::No } else { VisibleLabel::Yes };
    let target = Target::of(args)?;
    match target {
        Target::PngFile => {
            let last = args.seed.wrapping_add(images.len() as u64 - 1);
            let columns = (images.len() as f64).sqrt().ceil() as usize;
            let seeds = if last == args.seed { args.seed.to_string() } else { format!("{}-{last}", args.seed) };
            let grid = GreyImage::grid(images, columns);
            files::write_atomic(&args.out, &shown(&grid).to_png(&origin(seeds))?)?;
            eprintln!("wrote {}", args.out.display());
        }
        Target::DicomFile => {
            let origin = origin(args.seed.to_string());
            files::write_atomic(&args.out, &series.file(1, &shown(&images[0]), &origin, label)?)?;
            eprintln!("wrote {}", args.out.display());
        }
        Target::PngFolder | Target::DicomFolder => {
            for (i, image) in images.iter().enumerate() {
                let seed = args.seed.wrapping_add(i as u64);
                let origin = origin(seed.to_string());
                let (extension, bytes) = match target {
                    Target::DicomFolder => ("dcm", series.file(i + 1, &shown(image), &origin, label)?),
                    _ => ("png", shown(image).to_png(&origin)?),
                };
                files::write_atomic(&args.out.join(format!("synthetic-seed{seed}.{extension}")), &bytes)?;
            }
            eprintln!("wrote {} images to {}", images.len(), args.out.display());
        }
    }
    Ok(())
}
