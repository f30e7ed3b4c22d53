//! Is it ours? A saved picture is drawn again from what its file says, and compared.

use burn::tensor::backend::Backend;
use vdm::image::{GreyImage, read_png};

use super::host::{Halt, Host};
use super::model::Engine;
use crate::protocol::{Outcome, Picture, Problem, Run, Verdict};
use crate::settings::Settings;

/// The largest picture that is read: a grid of 64 with room to spare.
pub const MAX_PIXELS: usize = 16 << 20;

impl<B: Backend> Engine<B> {
    /// `weights_sha256` is the hash of the weights in use.
    pub(super) async fn verify(
        &self,
        name: &str,
        file: &[u8],
        weights_sha256: &str,
        host: &impl Host,
    ) -> Result<Outcome, Halt> {
        let bad = |_| Halt::from(Problem::BadPicture { file: name.to_owned() });
        let (given, origin) = read_png(file, MAX_PIXELS).map_err(bad)?;
        let verdict = |verdict| Ok(Outcome::Verified(Box::new(verdict)));
        let Some(origin) = origin else { return verdict(Verdict::NoOrigin) };
        if origin.weights_sha256 != weights_sha256 {
            return verdict(Verdict::OtherWeights { weights: origin.weights, sha256: origin.weights_sha256 });
        }
        let Some((settings, count)) = Settings::of(&origin) else { return verdict(Verdict::OtherKind) };
        let columns = (f64::from(count)).sqrt().ceil() as usize;
        let config = &self.model.config;
        let blank = vec![GreyImage::filled(config.width, config.height, 0); count as usize];
        let expected = GreyImage::grid(&blank, columns).labelled();
        if (expected.width, expected.height) != (given.width, given.height) {
            return verdict(Verdict::OtherKind);
        }
        let run = Run::from_noise(settings.clone(), count);
        let Outcome::Pictures(pictures) = self.run(&run, host).await? else {
            return Err(Problem::NotFinite.into());
        };
        let pictures: Vec<GreyImage> = pictures.into_iter().map(GreyImage::from).collect();
        let again = GreyImage::grid(&pictures, columns).labelled();
        verdict(compared(settings, given.into(), again.into()))
    }
}

fn compared(settings: Settings, given: Picture, again: Picture) -> Verdict {
    let mut difference = given.clone();
    for (pixel, other) in difference.pixels.iter_mut().zip(&again.pixels) {
        *pixel = pixel.abs_diff(*other);
    }
    let differing = difference.pixels.iter().filter(|&&pixel| pixel > 0).count() as u64;
    let largest = difference.pixels.iter().copied().max().unwrap_or(0);
    // So that a change of one grey level is seen too.
    for pixel in &mut difference.pixels {
        *pixel = (u32::from(*pixel) * 255 / u32::from(largest.max(1))) as u8;
    }
    Verdict::Redrawn { settings, given, again, difference, differing, largest }
}
