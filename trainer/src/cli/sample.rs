//! `trainer sample`: draws synthetic X-rays from a weights file.

use std::path::PathBuf;

use anyhow::{Result, bail, ensure};
use burn::tensor::backend::{AutodiffBackend, Backend};
use clap::{Args, ValueEnum};
use vdm::image::{GreyImage, Origin};
use vdm::model::Condition;
use vdm::sampler::{Sampler, SamplingOptions};

use super::args::{WEIGHTS_ALIASES, choice};
use crate::base::about::SOFTWARE;
use crate::base::device::{self, DeviceChoice, Job};
use crate::base::files::{self, LoadedModel, WithEncoder};
use crate::base::progress::Progress;
use crate::generate::{BATCH, Pixels, class_number, draw, set_sampling};
use crate::output::dicom::{Series, VisibleLabel};
use crate::run::folder;

/// Options of sampling.
#[derive(Debug, Args)]
pub struct SampleArgs {
    /// Weights file [default: of the newest run in runs]
    #[arg(long, value_name = "FILE", aliases = WEIGHTS_ALIASES)]
    pub weights: Option<PathBuf>,
    /// The same
    #[arg(value_name = "WEIGHTS", conflicts_with = "weights", hide_short_help = true)]
    pub file: Option<PathBuf>,
    /// Images to draw; image k has seed + k
    #[arg(long, value_name = "N", default_value_t = 1, aliases = ["num-samples", "num-images"])]
    pub count: usize,
    /// Network evaluations per image
    #[arg(long, value_name = "N", default_value_t = 50, aliases = ["num-inference-steps", "ddim-steps"])]
    pub steps: usize,
    /// Sampler
    #[arg(long, value_parser = choice(Sampler::ALL, Sampler::name), default_value = Sampler::default().name())]
    pub sampler: Sampler,
    /// Guidance weight; 0 is the plain conditional prediction
    #[arg(long, value_name = "W", default_value_t = 0.0, allow_hyphen_values = true)]
    pub guidance: f64,
    /// Class, by number or name, for weights that have classes
    #[arg(long)]
    pub class: Option<String>,
    /// One of the weights' sampling options, such as context_gamma=-5; may be given several times
    #[arg(long, value_name = "KEY=VALUE")]
    pub sampling: Vec<String>,
    /// Seed of the first image
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Device to compute on
    #[arg(long, value_enum, default_value_t = DeviceChoice::Auto)]
    pub device: DeviceChoice,
    /// A .png file (a grid of several images), a .dcm file, or a folder with one file per image
    #[arg(long, value_name = "FILE_OR_DIR", default_value = "samples")]
    pub out: PathBuf,
    /// Kind of the files [default: dicom if --out ends in .dcm, else png]
    #[arg(long, value_enum)]
    pub format: Option<ImageFormat>,
    /// Draw each pixel from the Bernoulli decoder instead of showing its mean
    #[arg(long)]
    pub draw_pixels: bool,
    /// Leave the label out of the picture; the metadata keeps it
    #[arg(long)]
    pub no_visible_label: bool,
}

/// The kind of an image file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ImageFormat {
    /// PNG
    Png,
    /// DICOM Secondary Capture, marked as synthetic data
    Dicom,
}

/// `trainer sample`.
pub fn command(args: SampleArgs) -> Result<()> {
    ensure!(args.count > 0, "--count is 0: at least 1 is accepted");
    Target::of(&args)?;
    let weights = folder::weights(args.weights.as_deref().or(args.file.as_deref()))?;
    let device = device::choose(args.device)?;
    device::run(device, Sample { args, weights })
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

struct Sample {
    args: SampleArgs,
    weights: PathBuf,
}

impl Job for Sample {
    type Output = ();

    fn run<B: AutodiffBackend>(self, device: &B::Device) -> Result<()> {
        let Self { args, weights } = self;
        let mut loaded = files::load_model::<B::InnerBackend>(&weights, WithEncoder::No, device)?;
        set_sampling(&mut loaded.model, &args.sampling)?;
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
            Ok(())
        })?;
        drop(progress);
        write(&args, &loaded, &images)
    }
}

fn write<B: Backend>(args: &SampleArgs, loaded: &LoadedModel<B>, images: &[GreyImage]) -> Result<()> {
    let origin = |seeds: String| {
        let mut settings = vec![
            ("seed".to_owned(), seeds),
            ("sampler".to_owned(), args.sampler.name().to_owned()),
            ("steps".to_owned(), args.steps.to_string()),
        ];
        if !args.sampling.is_empty() {
            settings.push(("sampling".to_owned(), args.sampling.join(", ")));
        }
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

#[cfg(test)]
mod tests {
    use burn::backend::{Autodiff, Flex};
    use clap::Parser;
    use vdm::config::{Preset, SamplingConfig};
    use vdm::model::Networks;
    use vdm::weights::{Precision, Provenance};

    use super::*;
    use crate::cli::commands::{Cli, Command};

    #[test]
    fn sampling_options_of_the_weights_can_be_overridden() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        let config = Preset::Quick.model();
        let networks = Networks::<Autodiff<Flex>>::new(&config, 1, &Default::default()).expect("builds");
        let (sampling, provenance) = (SamplingConfig::default(), Provenance::default());
        files::write_model(&at("w.safetensors"), &networks, &config, &sampling, &provenance, Precision::F16)
            .expect("writes");
        let draw = |more: &str, out: &str| {
            let [weights, out] = ["w.safetensors", out].map(|name| at(name).display().to_string());
            let line = format!("trainer sample --device cpu --steps 2 --weights {weights} --out {out} {more}");
            match Cli::try_parse_from(line.split_whitespace()).expect("options").command {
                Some(Command::Sample(args)) => command(args),
                other => panic!("{other:?}"),
            }
        };
        draw("--sampling context_gamma=-3", "drawn.png").expect("draws");
        let text = String::from_utf8_lossy(&files::read(&at("drawn.png")).expect("a picture")).into_owned();
        assert!(text.contains("sampling=context_gamma=-3"), "the picture's metadata");
        let mut model =
            files::load_model::<Flex>(&at("w.safetensors"), WithEncoder::No, &Default::default()).expect("loads").model;
        set_sampling(&mut model, &["context_gamma=-3".to_owned()]).expect("an option");
        assert_eq!(model.sampling.context_gamma, -3.0);
        for (more, named) in [
            ("--sampling context_gamma=9", "context_gamma is 9"),
            ("--sampling context_gama=1", "context_gama"),
            ("--sampling context_gamma", "KEY=VALUE"),
        ] {
            let error = format!("{:#}", draw(more, "never.png").expect_err(more));
            assert!(error.contains(named), "{error}");
        }
    }
}
