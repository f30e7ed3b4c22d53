//! The files of `--out`: report.json, table.md, spectrum.csv, samples.png, compare.html and gallery.png.

use std::path::Path;

use anyhow::{Context, Result};
use vdm::image::{GreyImage, Origin};

use super::compare::Spectra;
use super::report::{Closest, Report};
use super::samples::SampleSet;
use crate::base::about::SOFTWARE;
use crate::base::files::write_atomic;
use crate::data::Dataset;
use crate::measures::{Draw, Images};
use crate::output::html::beside::{self, Pair, Picture};

/// Pairs in the gallery.
pub const PAIRS: usize = 16;
/// Samples in the grid.
const GRID: usize = 64;
/// Samples on the page beside real images.
const BESIDE: usize = 48;
const GAP: usize = 4;
const LINE: usize = 12;
/// Narrower pictures are enlarged, so that a line of text fits below three of them.
const MIN_WIDTH: usize = 128;
const HEADER: &str = "SYNTHETIC SAMPLES BESIDE REAL TRAINING IMAGES - NOT FOR DIAGNOSIS";

/// Writes the files. Spectra and pictures are left out where there are none. Of the held-out images, those at the places
/// are compared with samples.
pub fn write(
    folder: &Path,
    report: &Report,
    samples: &SampleSet,
    held_out: (&Dataset, &[usize]),
    training: Option<&Images<'_>>,
    spectra: Option<&Spectra>,
) -> Result<()> {
    write_atomic(&folder.join("report.json"), &serde_json::to_vec_pretty(report)?)?;
    write_atomic(&folder.join("table.md"), format!("# Evaluation\n\n{}", report.markdown(2)).as_bytes())?;
    if let Some(spectra) = spectra {
        write_atomic(&folder.join("spectrum.csv"), csv(spectra).as_bytes())?;
    }
    if !samples.images.is_empty() {
        let shown = &samples.images[..samples.images.len().min(GRID)];
        let columns = (shown.len() as f64).sqrt().ceil() as usize;
        let origin = Origin {
            software: SOFTWARE.to_owned(),
            weights: report.weights.clone().unwrap_or_else(|| "unknown".to_owned()),
            weights_sha256: report.weights_sha256.clone().unwrap_or_else(|| "unknown".to_owned()),
            settings: samples.settings.clone(),
        };
        write_atomic(&folder.join("samples.png"), &GreyImage::grid(shown, columns).labelled().to_png(&origin)?)?;
        let pairs = pairs(samples, held_out, &origin, report.seed)?;
        let count = pairs.len();
        let page = beside::page(&pairs, shown[0].width, &samples.from, &format!("{count} held-out images by name"));
        write_atomic(&folder.join("compare.html"), page.as_bytes())?;
    }
    if let Some(training) = training.filter(|_| !report.closest.is_empty()) {
        let picture = gallery(&report.closest, &samples.images, training);
        write_atomic(&folder.join("gallery.png"), &gallery_png(&picture, &samples.from)?)?;
    }
    Ok(())
}

fn csv(spectra: &Spectra) -> String {
    let [samples, real, reference] = &spectra.sets;
    let mut text = "cycles_per_pixel,samples,real,reference\n".to_owned();
    for (k, frequency) in reference.frequencies.iter().enumerate() {
        text += &format!("{frequency},{},{},{}\n", samples.power[k], real.power[k], reference.power[k]);
    }
    text
}

/// The first samples, each beside one of the first real images.
fn pairs(
    samples: &SampleSet,
    (held_out, places): (&Dataset, &[usize]),
    origin: &Origin,
    seed: u64,
) -> Result<Vec<Pair>> {
    let mut coin = Draw::Split.stream(seed, 3);
    let pair = |((sample, name), &place): ((&GreyImage, &String), &usize)| {
        // Without the visible label, which would tell; the page and the files' metadata say what they are.
        let synthetic = Picture { name: name.clone(), png: sample.to_png(origin)? };
        let own = held_out.image(place).to_vec();
        let real = GreyImage { height: held_out.height, width: held_out.width, pixels: own };
        let texts = [("Description", "A real X-ray, subject to the terms of its data.")];
        let real = Picture { name: held_out.names[place].clone(), png: plain_png(&real, &texts)? };
        Ok(Pair { synthetic, real, turned: coin.below(2) == 1 })
    };
    samples.images.iter().zip(&samples.names).zip(places).take(BESIDE).map(pair).collect()
}

/// Sample, nearest training image and difference, pair by pair, in two columns.
fn gallery(pairs: &[Closest], samples: &[GreyImage], training: &Images<'_>) -> GreyImage {
    let zoom = MIN_WIDTH.div_ceil(training.width).max(1);
    let (height, width) = (training.height * zoom, training.width * zoom);
    let columns = pairs.len().min(2);
    let (cell_width, cell_height) = (3 * (width + GAP) + 3 * GAP, height + 2 * LINE + GAP);
    let rows = pairs.len().div_ceil(columns);
    let mut picture = GreyImage::filled(
        (columns * cell_width).max(HEADER.len() * 8 + 2 * GAP),
        rows * cell_height + 2 * LINE + GAP,
        0,
    );
    picture.text(HEADER, GAP, GAP, 255);
    for column in 0..columns {
        for (i, title) in ["SYNTHETIC", "REAL, NEAREST", "DIFFERENCE"].into_iter().enumerate() {
            picture.text(title, column * cell_width + i * (width + GAP), LINE + GAP, 200);
        }
    }
    for (i, pair) in pairs.iter().enumerate() {
        let (left, top) = (i % columns * cell_width, i / columns * cell_height + 2 * LINE + GAP);
        let sample = &samples[pair.sample];
        let own = training.pixels[pair.neighbour.index];
        let nearest = GreyImage { height: training.height, width: training.width, pixels: own.to_vec() };
        let images = [sample.clone(), nearest.clone(), difference(sample, &nearest, pair.neighbour.shift)];
        for (k, image) in images.iter().enumerate() {
            picture.paste(&enlarged(image, zoom), left + k * (width + GAP), top);
        }
        let fits = |text: &str| text.chars().take((cell_width - GAP) / 8).collect::<String>();
        let file = |path: &str| Path::new(path).file_name().unwrap_or_default().to_string_lossy().into_owned();
        let copy = if pair.near_copy { "NEAR COPY " } else { "" };
        let said = format!(
            "{copy}detail {:.3} pixels {:.3} distance {:.2}",
            pair.neighbour.detail, pair.neighbour.correlation, pair.neighbour.relative_distance
        );
        picture.text(&fits(&said), left, top + height + 2, if pair.near_copy { 255 } else { 200 });
        let who = format!("{} | {}", file(&pair.name), file(&pair.training));
        picture.text(&fits(&who), left, top + height + 2 + LINE, 140);
    }
    picture
}

/// Mid-grey where sample and shifted training image agree.
fn difference(sample: &GreyImage, training: &GreyImage, [dx, dy]: [i64; 2]) -> GreyImage {
    let (height, width) = (sample.height as i64, sample.width as i64);
    let inside = |v: i64, size: i64| v.clamp(0, size - 1);
    let pixel = |y: i64, x: i64| {
        let own = i64::from(sample.pixels[(y * width + x) as usize]);
        let other = training.pixels[(inside(y + dy, height) * width + inside(x + dx, width)) as usize];
        (128 + own - i64::from(other)).clamp(0, 255) as u8
    };
    let pixels = (0..height).flat_map(|y| (0..width).map(move |x| (y, x))).map(|(y, x)| pixel(y, x)).collect();
    GreyImage { height: sample.height, width: sample.width, pixels }
}

fn enlarged(image: &GreyImage, zoom: usize) -> GreyImage {
    let (height, width) = (image.height * zoom, image.width * zoom);
    let at = |i: usize| image.pixels[i / width / zoom * image.width + i % width / zoom];
    GreyImage { height, width, pixels: (0..height * width).map(at).collect() }
}

fn gallery_png(picture: &GreyImage, from: &str) -> Result<Vec<u8>> {
    let description = format!(
        "Left of each three: a synthetic image ({from}), not for diagnosis. Middle: the real training image that \
         is nearest to it, subject to the terms of the training data. Right: their difference."
    );
    plain_png(picture, &[("Title", HEADER), ("Description", &description), ("Software", SOFTWARE)])
}

/// A PNG with texts that does not call what is real in it synthetic.
fn plain_png(picture: &GreyImage, texts: &[(&str, &str)]) -> Result<Vec<u8>> {
    let encode = || -> std::result::Result<Vec<u8>, png::EncodingError> {
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, picture.width as u32, picture.height as u32);
        encoder.set_color(png::ColorType::Grayscale);
        encoder.set_depth(png::BitDepth::Eight);
        for (keyword, text) in texts {
            encoder.add_itxt_chunk((*keyword).to_owned(), (*text).to_owned())?;
        }
        let mut writer = encoder.write_header()?;
        writer.write_image_data(&picture.pixels)?;
        writer.finish()?;
        Ok(bytes)
    };
    encode().context("cannot encode a picture")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measures::memorisation::Neighbour;

    #[test]
    fn a_gallery_shows_each_pair_in_its_place() {
        let images: Vec<Vec<u8>> = (0..3).map(|i| vec![60 * i; 64 * 64]).collect();
        let training = Images { height: 64, width: 64, pixels: images.iter().map(Vec::as_slice).collect() };
        let samples = [GreyImage::filled(64, 64, 100)];
        let neighbour = Neighbour { index: 2, correlation: 1.0, detail: 0.9, relative_distance: 0.3, shift: [1, -2] };
        let pair = Closest { sample: 0, name: "seed 0".into(), training: "a/b.png".into(), neighbour, near_copy: true };
        let picture = gallery(&[pair], &samples, &training);
        // 64 pixels are shown as 128.
        let at = |column: usize| picture.pixels[(2 * LINE + GAP + 60) * picture.width + column * (128 + GAP) + 60];
        assert_eq!([0, 1, 2].map(at), [100, 120, 108]);
        let png = gallery_png(&picture, "seed 0").expect("encodes");
        let text = String::from_utf8_lossy(&png);
        assert!(text.contains("REAL TRAINING IMAGES") && !text.contains("trainedAlgorithmicMedia"));
    }
}
