//! Files to save: every frame carries the label, and so does the metadata.

use std::borrow::Cow;

use gif::{AnyExtension, Encoder, Extension, Frame, Repeat};
use vdm::image::{GreyImage, Origin, synthetic_metadata, to_apng};

use crate::protocol::Film;

/// A file, or why there is none.
type Encoded = Result<Vec<u8>, String>;

/// Moments of a run in an animation.
pub(super) const ANIMATION_FRAMES: usize = 48;
/// Moments of a run in a strip.
pub(super) const STRIP_FRAMES: usize = 8;

const FRAME_MS: u16 = 80;
/// How many times an animation of a run repeats its last frame.
const REST_FRAMES: usize = 20;
const FLIPBOOK_FRAME_MS: u16 = 150;

/// Pictures side by side.
pub(super) fn grid(pictures: &[GreyImage], columns: usize, origin: &Origin) -> Encoded {
    GreyImage::grid(pictures, columns).labelled().to_png(origin).map_err(|error| error.to_string())
}

/// Pictures forth and back.
pub(super) fn flipbook(pictures: &[GreyImage], format: Film, origin: &Origin) -> Encoded {
    let inner = pictures.len().saturating_sub(2);
    let back = pictures.iter().rev().skip(1).take(inner);
    let frames: Vec<GreyImage> = pictures.iter().chain(back).map(GreyImage::labelled).collect();
    animated(&frames, FLIPBOOK_FRAME_MS, format, origin)
}

/// Latent and prediction side by side, from noise to image.
pub(super) fn animation(film: &[(GreyImage, GreyImage)], format: Film, origin: &Origin) -> Encoded {
    let frame = |(noisy, predicted): &(GreyImage, GreyImage)| {
        GreyImage::grid(&[noisy.clone(), predicted.clone()], 2).labelled()
    };
    let mut frames: Vec<GreyImage> = film.iter().map(frame).collect();
    if let Some(last) = frames.last().cloned() {
        frames.extend(std::iter::repeat_n(last, REST_FRAMES));
    }
    animated(&frames, FRAME_MS, format, origin)
}

/// Frames of one size, in a loop.
fn animated(frames: &[GreyImage], delay_ms: u16, format: Film, origin: &Origin) -> Encoded {
    match format {
        Film::Png => to_apng(frames, delay_ms, origin).map_err(|error| error.to_string()),
        Film::Gif => to_gif(frames, delay_ms, origin),
    }
}

/// A GIF of 256 greys, so that each pixel stays what it is. Its comments are the metadata of a PNG.
fn to_gif(frames: &[GreyImage], delay_ms: u16, origin: &Origin) -> Encoded {
    let first = frames.first().ok_or("there are no pictures")?;
    let side = |pixels: usize| u16::try_from(pixels).map_err(|_| "a GIF has 65535 pixels across and down at most");
    let (width, height) = (side(first.width)?, side(first.height)?);
    let greys: Vec<u8> = (0..=255).flat_map(|grey| [grey; 3]).collect();
    let refused = |error: gif::EncodingError| error.to_string();
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&mut bytes, width, height, &greys).map_err(refused)?;
    encoder.set_repeat(Repeat::Infinite).map_err(refused)?;
    let comment = AnyExtension(Extension::Comment as u8);
    for (name, text) in synthetic_metadata(origin) {
        let text = format!("{name}: {text}");
        encoder.write_raw_extension(comment, &[text.as_bytes()]).map_err(|error| error.to_string())?;
    }
    for image in frames {
        let buffer = Cow::Borrowed(&image.pixels[..]);
        // Hundredths of a second.
        let frame = Frame { width, height, delay: delay_ms / 10, buffer, ..Frame::default() };
        encoder.write_frame(&frame).map_err(refused)?;
    }
    drop(encoder);
    Ok(bytes)
}

/// Latents above predictions, from noise to image.
pub(super) fn strip(film: &[(GreyImage, GreyImage)], origin: &Origin) -> Encoded {
    let noisy = film.iter().map(|(noisy, _)| noisy.clone());
    let predicted = film.iter().map(|(_, predicted)| predicted.clone());
    let pictures: Vec<GreyImage> = noisy.chain(predicted).collect();
    grid(&pictures, film.len(), origin)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flipbook_turns_back_without_showing_an_end_twice() {
        let pictures = [0, 100, 200].map(|value| GreyImage::filled(300, 40, value));
        let bytes = flipbook(&pictures, Film::Png, &Origin::default()).expect("encodes");
        let reader = png::Decoder::new(std::io::Cursor::new(bytes)).read_info().expect("decodes");
        assert_eq!(reader.info().animation_control().map(|control| control.num_frames), Some(4));
    }

    #[test]
    fn a_gif_keeps_each_grey_and_says_that_it_is_synthetic() {
        let pictures = [0, 100].map(|value| GreyImage {
            width: 256,
            height: 40,
            pixels: (0..=255).map(|grey: u8| grey.wrapping_add(value)).cycle().take(256 * 40).collect(),
        });
        let origin = Origin { weights: "sharp".into(), ..Origin::default() };
        let bytes = flipbook(&pictures, Film::Gif, &origin).expect("encodes");
        let mut options = gif::DecodeOptions::new();
        options.set_color_output(gif::ColorOutput::Indexed);
        let mut decoder = options.read_info(&bytes[..]).expect("a GIF");
        for picture in &pictures {
            let frame = decoder.read_next_frame().expect("reads").expect("a frame");
            assert_eq!((frame.delay, frame.buffer[..] == picture.labelled().pixels[..]), (15, true));
        }
        assert!(decoder.read_next_frame().expect("reads").is_none());
        let text = String::from_utf8_lossy(&bytes);
        assert!(text.contains(vdm::image::LABEL) && text.contains("Weights sharp"));
        assert!(to_gif(&[GreyImage::filled(70_000, 1, 0)], 10, &origin).is_err() && to_gif(&[], 10, &origin).is_err());
    }
}
