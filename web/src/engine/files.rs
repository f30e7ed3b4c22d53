//! Files to save: every frame carries the label, and so does the metadata.

use vdm::image::{EncodingError, GreyImage, Origin, to_apng};

/// Moments of a run in an animation.
pub(super) const ANIMATION_FRAMES: usize = 48;
/// Moments of a run in a strip.
pub(super) const STRIP_FRAMES: usize = 8;

const FRAME_MS: u16 = 80;
/// How many times an animation of a run repeats its last frame.
const REST_FRAMES: usize = 20;
const FLIPBOOK_FRAME_MS: u16 = 150;

/// Pictures side by side.
pub(super) fn grid(pictures: &[GreyImage], columns: usize, origin: &Origin) -> Result<Vec<u8>, EncodingError> {
    GreyImage::grid(pictures, columns).labelled().to_png(origin)
}

/// Pictures forth and back.
pub(super) fn flipbook(pictures: &[GreyImage], origin: &Origin) -> Result<Vec<u8>, EncodingError> {
    let inner = pictures.len().saturating_sub(2);
    let back = pictures.iter().rev().skip(1).take(inner);
    let frames: Vec<GreyImage> = pictures.iter().chain(back).map(GreyImage::labelled).collect();
    to_apng(&frames, FLIPBOOK_FRAME_MS, origin)
}

/// Latent and prediction side by side, from noise to image.
pub(super) fn animation(film: &[(GreyImage, GreyImage)], origin: &Origin) -> Result<Vec<u8>, EncodingError> {
    let frame = |(noisy, predicted): &(GreyImage, GreyImage)| {
        GreyImage::grid(&[noisy.clone(), predicted.clone()], 2).labelled()
    };
    let mut frames: Vec<GreyImage> = film.iter().map(frame).collect();
    if let Some(last) = frames.last().cloned() {
        frames.extend(std::iter::repeat_n(last, REST_FRAMES));
    }
    to_apng(&frames, FRAME_MS, origin)
}

/// Latents above predictions, from noise to image.
pub(super) fn strip(film: &[(GreyImage, GreyImage)], origin: &Origin) -> Result<Vec<u8>, EncodingError> {
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
        let bytes = flipbook(&pictures, &Origin::default()).expect("encodes");
        let reader = png::Decoder::new(std::io::Cursor::new(bytes)).read_info().expect("decodes");
        assert_eq!(reader.info().animation_control().map(|control| control.num_frames), Some(4));
    }
}
