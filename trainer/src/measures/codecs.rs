//! Bits a pixel of lossless codecs: yardsticks for a model's likelihood of 8-bit images.
//!
//! A file's size is an upper bound on −log₂ p of its image under the codec's implicit model, as a model's variational bound
//! is under its own; both are compared on the same images. PNG is written by `oxipng`, whose preset 4 searches filters.
//! For WebP and JPEG XL no encoder in Rust under a free licence comes near the reference: `image-webp` takes 3.98 bits where
//! `cwebp` takes 3.10, `zune-jpegxl` 3.55 where `cjxl` takes 2.88 (60 X-rays of 256×256). These two programs are called
//! where they are installed (Debian: `webp` and `libjxl-tools`).

use std::io::ErrorKind;
use std::path::Path;
use std::process::{Command, Stdio};

use oxipng::{BitDepth, ColorType, RawImage};
use rayon::prelude::*;
use serde::Serialize;

use super::set::{Images, Measured, TooFew};

/// A mean number of bits a pixel.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct BitsPerPixel {
    /// The mean.
    pub mean: f64,
    /// Its standard error, over images.
    pub standard_error: f64,
    /// Images.
    pub images: usize,
}

impl BitsPerPixel {
    /// Of one number for each image.
    pub fn of(values: &[f64]) -> Self {
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0).max(1.0);
        Self { mean, standard_error: (variance / n).sqrt(), images: values.len() }
    }
}

/// A lossless codec.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Codec {
    /// PNG.
    Png,
    /// WebP without loss.
    WebP,
    /// JPEG XL without loss.
    JpegXl,
}

impl Codec {
    /// All, the weakest first.
    pub const ALL: [Self; 3] = [Self::Png, Self::WebP, Self::JpegXl];

    /// Its name for programs.
    pub fn key(self) -> &'static str {
        match self {
            Self::Png => "codec_png",
            Self::WebP => "codec_webp",
            Self::JpegXl => "codec_jpeg_xl",
        }
    }

    /// Its name for people, with what encodes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Png => "PNG, oxipng preset 4",
            Self::WebP => "WebP, cwebp -lossless -m 6",
            Self::JpegXl => "JPEG XL, cjxl -d 0 -e 9",
        }
    }
}

/// Bits a pixel of each image, calling back after each.
///
/// # Errors
/// No images; the codec's program is not installed, or fails.
pub fn bits_per_pixel(codec: Codec, images: &Images<'_>, on_image: impl Fn() + Sync) -> Measured<Vec<f64>> {
    if images.len() == 0 {
        return Err(TooFew::images(1, "held-out", 0));
    }
    let folder = tempfile::tempdir().map_err(|error| TooFew(format!("needs a temporary folder: {error}")))?;
    let size = |(i, pixels): (usize, &&[u8])| {
        let bytes = match codec {
            Codec::Png => png(pixels, images)? as u64,
            Codec::WebP => {
                let to = ["-quiet", "-lossless", "-m", "6", "-q", "99", "IN", "-o", "OUT"];
                external("cwebp", "webp", &to, folder.path(), i, pixels, images)?
            }
            Codec::JpegXl => {
                let to = ["IN", "OUT", "--quiet", "-d", "0", "-e", "9", "--num_threads=0"];
                external("cjxl", "libjxl-tools", &to, folder.path(), i, pixels, images)?
            }
        };
        on_image();
        Ok(8.0 * bytes as f64 / pixels.len() as f64)
    };
    images.pixels.par_iter().enumerate().map(size).collect()
}

fn png(pixels: &[u8], images: &Images<'_>) -> Measured<usize> {
    let grey = ColorType::Grayscale { transparent_shade: None };
    let encode = || {
        let image = RawImage::new(images.width as u32, images.height as u32, grey, BitDepth::Eight, pixels.to_vec())?;
        image.create_optimized_png(&oxipng::Options::from_preset(4))
    };
    encode().map(|file| file.len()).map_err(|error| TooFew(format!("the PNG encoder failed: {error}")))
}

/// The size of the file that a program makes of an image; it reads PGM, which carries nothing but pixels.
fn external(
    program: &str,
    package: &str,
    arguments: &[&str],
    folder: &Path,
    number: usize,
    pixels: &[u8],
    images: &Images<'_>,
) -> Measured<u64> {
    let failed = |why: String| TooFew(format!("{program} failed: {why}"));
    let [from, to] = ["pgm", program].map(|kind| folder.join(format!("{number}.{kind}")));
    let mut file = format!("P5\n{} {}\n255\n", images.width, images.height).into_bytes();
    file.extend_from_slice(pixels);
    std::fs::write(&from, file).map_err(|error| failed(error.to_string()))?;
    let mut command = Command::new(program);
    for argument in arguments {
        match *argument {
            "IN" => command.arg(&from),
            "OUT" => command.arg(&to),
            other => command.arg(other),
        };
    }
    let ended = command.stdin(Stdio::null()).output().map_err(|error| match error.kind() {
        ErrorKind::NotFound => {
            TooFew(format!("needs the program {program} (Debian: {package}), which is not installed"))
        }
        _ => failed(error.to_string()),
    })?;
    if !ended.status.success() {
        let said = String::from_utf8_lossy(&ended.stderr).trim().lines().last().unwrap_or_default().to_owned();
        return Err(failed(format!("{}, {said}", ended.status)));
    }
    let size = std::fs::metadata(&to).map_err(|error| failed(error.to_string()))?.len();
    // What is left is deleted with the folder.
    let _ = [std::fs::remove_file(&from), std::fs::remove_file(&to)];
    Ok(size)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measures::set::Draw;

    #[test]
    fn noise_takes_its_entropy_and_a_flat_image_next_to_nothing() {
        let mut stream = Draw::Pairs.stream(9, 0);
        // 16 grey values, equally often: 4 bits a pixel.
        let noise: Vec<u8> = (0..128 * 128).map(|_| (stream.below(16) * 17) as u8).collect();
        let flat = vec![7; 128 * 128];
        let images = Images { height: 128, width: 128, pixels: vec![&noise, &flat] };
        for codec in Codec::ALL {
            match bits_per_pixel(codec, &images, || {}) {
                Ok(bits) => assert!(bits[0] > 4.0 && bits[0] < 4.6 && bits[1] < 0.1, "{codec:?}: {bits:?}"),
                // PNG needs no program.
                Err(why) => assert!(codec != Codec::Png && why.0.contains("not installed"), "{why:?}"),
            }
        }
        let none = Images { pixels: Vec::new(), ..images };
        assert!(bits_per_pixel(Codec::Png, &none, || {}).is_err());
    }

    #[test]
    fn a_program_that_is_missing_or_fails_is_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let images = Images { height: 2, width: 2, pixels: vec![&[0; 4]] };
        let run = |program, arguments: &[&str]| {
            external(program, "a-package", arguments, folder.path(), 0, images.pixels[0], &images).expect_err("fails").0
        };
        let said = run("no-such-encoder", &["IN"]);
        assert!(said.contains("no-such-encoder (Debian: a-package)"), "{said}");
        let said = run(env!("CARGO"), &["no-such-command"]);
        assert!(said.contains("failed: exit") && said.contains("no-such-command"), "{said}");
    }
}
