//! The samples to measure: drawn from the weights, or read from a folder.

use std::path::Path;

use anyhow::{Result, bail, ensure};
use burn::tensor::backend::Backend;
use vdm::image::{GreyImage, LABEL};
use vdm::model::Condition;
use vdm::sampler::SamplingOptions;

use super::options::SampleOptions;
use crate::base::files::LoadedModel;
use crate::base::progress::Progress;
use crate::data::{self, ChoiceArgs};
use crate::generate::{self, Pixels};
use crate::measures::Images;

/// Samples to draw by default.
pub const DEFAULT_COUNT: usize = 256;

/// Samples and their source.
#[derive(Debug, Default)]
pub struct SampleSet {
    /// The images.
    pub images: Vec<GreyImage>,
    /// The seed or file of each.
    pub names: Vec<String>,
    /// Their source, in words.
    pub from: String,
    /// The settings that made them, for the metadata of pictures.
    pub settings: Vec<(String, String)>,
}

impl SampleSet {
    /// The samples as images to measure.
    pub fn view(&self, height: usize, width: usize) -> Images<'_> {
        Images { height, width, pixels: self.images.iter().map(|image| image.pixels.as_slice()).collect() }
    }
}

/// How to sample, checked against the model.
///
/// # Errors
/// The class, the guidance or the number of steps is not one that the model takes.
pub fn sampling_options<B: Backend>(wanted: &SampleOptions, loaded: &LoadedModel<B>) -> Result<SamplingOptions> {
    let class = wanted.class.as_deref().map(|class| generate::class_number(loaded, class)).transpose()?;
    let condition = Condition { class, guidance: wanted.guidance };
    let options = SamplingOptions { sampler: wanted.sampler, steps: wanted.steps, condition };
    options.validate(&loaded.model.config)?;
    Ok(options)
}

/// Draws `count` samples of the seeds from `first`.
///
/// # Errors
/// The device cannot be read, or the model draws values that are not finite.
pub fn draw<B: Backend>(
    wanted: &SampleOptions,
    loaded: &LoadedModel<B>,
    options: SamplingOptions,
    first: u64,
    count: usize,
    device: &B::Device,
) -> Result<SampleSet> {
    let mut progress = Progress::new("sampling", 0, (options.steps * count.div_ceil(generate::BATCH)) as u64);
    let mut done = 0;
    let images = generate::draw(&loaded.model, options, Pixels::Mean, first, count, device, || {
        done += 1;
        progress.set(done, String::new);
        Ok(())
    })?;
    let seed = |i: usize| first.wrapping_add(i as u64);
    let seeds = match count {
        0 => String::new(),
        1 => format!("seed {first}"),
        _ => format!("seeds {first}-{}", seed(count - 1)),
    };
    let (sampler, steps, guidance) = (options.sampler.name(), options.steps, wanted.guidance);
    let mut from = format!("{seeds}, {sampler} in {steps} steps");
    let mut settings = vec![("seeds", seeds.clone()), ("sampler", sampler.to_owned()), ("steps", steps.to_string())];
    if let Some(class) = &wanted.class {
        from += &format!(", class {class}, guidance {guidance}");
        settings.extend([("class", class.clone()), ("guidance", guidance.to_string())]);
    }
    if !wanted.sampling.is_empty() {
        from += &format!(", {}", wanted.sampling.join(", "));
        settings.push(("sampling", wanted.sampling.join(", ")));
    }
    let settings = settings.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
    Ok(SampleSet { images, names: (0..count).map(|i| format!("seed {}", seed(i))).collect(), from, settings })
}

/// Height and width of the first image of a folder, for when there are no weights.
///
/// # Errors
/// The file cannot be read.
pub fn size(folder: &Path) -> Result<(usize, usize)> {
    let [width, height] = data::first_size(folder)?;
    Ok((height as usize, width as usize))
}

/// Reads samples of one size from a folder.
///
/// # Errors
/// An image of another size, which resizing would change; one that bears the visible label, which no real image does.
pub fn read(folder: &Path, choice: &ChoiceArgs, (height, width): (usize, usize)) -> Result<SampleSet> {
    let choice =
        ChoiceArgs { skip_unreadable: choice.skip_unreadable, cache: choice.cache.clone(), ..Default::default() };
    let (data, sizes) = data::read_with_sizes(folder, &choice, &[], height, width)?;
    for (name, [w, h]) in data.names.iter().zip(sizes) {
        ensure!(
            (h as usize, w as usize) == (height, width),
            "{name} is {w}×{h} pixels: samples of {width}×{height} are accepted (`trainer sample` adds lines with a label \
             to small pictures, unless --no-visible-label is given)"
        );
    }
    let images: Vec<GreyImage> =
        (0..data.len()).map(|i| GreyImage { width, height, pixels: data.image(i).to_vec() }).collect();
    let labelled = images.iter().filter(|image| bears_label(image)).count();
    if labelled > 0 {
        bail!(
            "{labelled} of the {} images in {} bear the label \"{LABEL}\", which would be measured as part of them: \
             draw them with --no-visible-label",
            images.len(),
            folder.display()
        );
    }
    let from = format!("the folder {}", folder.file_name().unwrap_or(folder.as_os_str()).to_string_lossy());
    Ok(SampleSet { images, names: data.names.clone(), settings: vec![("folder".to_owned(), from.clone())], from })
}

/// Whether the lowest rows are the label's, as [`GreyImage::labelled`] writes it over them or adds them.
fn bears_label(image: &GreyImage) -> bool {
    let label = |height| GreyImage::filled(image.width, height, 0).labelled();
    let added = label(1).height - 1;
    let before = [Some(image.height), image.height.checked_sub(added)];
    before.into_iter().flatten().map(label).any(|mask| mask.height == image.height && shows(image, &mask))
}

/// Whether the rows from the first letter of a label on are that label's.
fn shows(image: &GreyImage, label: &GreyImage) -> bool {
    let Some(top) = label.pixels.iter().position(|v| *v == 255) else { return false };
    // White letters on rows that were darkened to a third; nine in ten, since JPEG blurs them.
    let pairs = || image.pixels[top..].iter().zip(&label.pixels[top..]);
    let mostly = |letter: bool, test: fn(u8) -> bool| {
        let of_kind = || pairs().filter(|(_, mask)| (**mask == 255) == letter);
        of_kind().filter(|(pixel, _)| test(**pixel)).count() * 10 >= of_kind().count() * 9
    };
    mostly(true, |v| v >= 200) && mostly(false, |v| v <= 100)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_visible_label_is_seen() {
        for value in [0, 90, 190, 255] {
            let image = GreyImage::filled(256, 256, value);
            assert!(!bears_label(&image) && bears_label(&image.labelled()), "{value}");
        }
        // Rows are added to small pictures, which a narrow one widens.
        for (width, height) in [(64, 64), (32, 40), (200, 64), (256, 30)] {
            let image = GreyImage::filled(width, height, 190);
            assert!(!bears_label(&image) && bears_label(&image.labelled()), "{width}×{height}");
        }
    }

    #[test]
    fn samples_of_another_size_and_with_a_label_are_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let cache = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.png");
        let read = |image: &GreyImage, size| {
            std::fs::write(&path, image.to_png(&Default::default()).expect("encodes")).expect("writes");
            let choice = ChoiceArgs { cache: Some(cache.path().to_owned()), ..ChoiceArgs::default() };
            read(folder.path(), &choice, size)
        };
        let image = GreyImage::filled(256, 256, 100);
        assert_eq!(read(&image, (256, 256)).expect("good").images, std::slice::from_ref(&image));
        assert_eq!(size(folder.path()).expect("a size"), (256, 256));
        let said = read(&image, (64, 64)).expect_err("another size").to_string();
        assert!(said.contains("a.png is 256×256") && said.contains("64×64"), "{said}");
        let small = GreyImage::filled(64, 64, 100).labelled();
        for labelled in [image.labelled(), small] {
            let said = read(&labelled, (labelled.height, labelled.width)).expect_err("a label").to_string();
            assert!(said.contains("--no-visible-label") && said.contains("bear the label"), "{said}");
        }
    }
}
