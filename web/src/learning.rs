//! The numbers of the learning views: the noise at a time, the bound in bits, the winner of a race.

use vdm::diffusion::schedule::NoiseSchedule;
use vdm::diffusion::terms::Terms;
use vdm::elbo::ImageElbo;
use vdm::math::{alpha_squared, bits_per_dim, sigma_squared, snr};

use crate::manifest::ModelEntry;
use crate::map::place;
use crate::protocol::Subject;
use crate::session::{FRAMES, Frame, Panel, Session, Slot};
use crate::settings::Settings;

/// Steps of the example images.
const EXAMPLE_STEPS: u32 = 40;
/// Seeds of the example images of weights that name none.
const EXAMPLE_SEEDS: [u64; 3] = [1, 2, 3];

/// Signal and noise at a time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NoiseAt {
    /// γ(t) = −ln SNR.
    pub gamma: f64,
    /// α², the share of the image.
    pub signal: f64,
    /// σ², the share of the noise.
    pub noise: f64,
    /// α²/σ².
    pub snr: f64,
}

impl NoiseAt {
    /// At t ∈ [0, 1].
    pub fn new(schedule: &NoiseSchedule, t: f64) -> Self {
        let gamma = schedule.gamma(t);
        Self { gamma, signal: alpha_squared(gamma), noise: sigma_squared(gamma), snr: snr(gamma) }
    }
}

/// The bound in bits per pixel.
#[derive(Clone, Debug, PartialEq)]
pub struct Bits {
    /// The terms of the bound.
    pub terms: Terms<f64>,
    /// The minimum of the reconstruction.
    pub floor: f64,
    /// Diffusion times, and the diffusion term at each, whose mean is that of `terms`.
    diffusion_at: Vec<(f64, f64)>,
}

impl Bits {
    /// From nats of an image with this number of pixels.
    pub fn new(elbo: &ImageElbo, pixels: usize) -> Self {
        let bits = |nats| bits_per_dim(nats, pixels.max(1));
        let diffusion_at = elbo.diffusion_at.iter().map(|&(t, nats)| (t, bits(nats))).collect();
        Self { terms: elbo.terms.map(bits), floor: bits(elbo.entropy_floor), diffusion_at }
    }

    /// The part of the diffusion term that comes from times above t, where there is more noise.
    pub fn diffusion_above(&self, t: f64) -> f64 {
        let strata = self.diffusion_at.len().max(1) as f64;
        // A stratum counts by its part above t.
        let above =
            |&(at, bits): &(f64, f64)| bits / strata * ((at * strata).floor() + 1.0 - t * strata).clamp(0.0, 1.0);
        self.diffusion_at.iter().map(above).sum()
    }

    /// The reconstruction above its floor.
    pub fn excess(&self) -> f64 {
        (self.terms.reconstruction - self.floor).max(0.0)
    }

    /// What a better model could still take away: all but the floor.
    pub fn above_floor(&self) -> f64 {
        self.excess() + self.terms.latent + self.terms.diffusion
    }
}

/// A part of a whole as a percentage, from 0 to 100.
pub fn percent(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { (100.0 * part / whole).clamp(0.0, 100.0) } else { 0.0 }
}

/// A readable number: `mantissa` with `decimals`, times ten to the power of `exponent`, if there is one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Figure {
    /// The digits.
    pub mantissa: f64,
    /// The number of decimals.
    pub decimals: usize,
    /// The power of ten, if it is needed.
    pub exponent: Option<i32>,
}

impl Figure {
    /// With this number of decimals if they show at least two digits, else with a power of ten.
    pub fn new(value: f64, decimals: usize) -> Self {
        let size = value.abs();
        let plain = size == 0.0 || !size.is_finite();
        if plain || (10f64.powi(1 - decimals as i32)..1e5).contains(&size) {
            return Self { mantissa: value, decimals, exponent: None };
        }
        let exponent = size.log10().floor() as i32;
        let mantissa = (value / 10f64.powi(exponent) * 10.0).round() / 10.0;
        // 9.96 is rounded to 10.0.
        let (mantissa, exponent) =
            if mantissa.abs() >= 10.0 { (mantissa / 10.0, exponent + 1) } else { (mantissa, exponent) };
        Self { mantissa, decimals: 1, exponent: Some(exponent) }
    }
}

/// The faster lane and the ratio of times; none below a difference of a twentieth.
pub fn faster(left_ms: f64, right_ms: f64) -> Option<(Slot, f64)> {
    let times = left_ms.max(right_ms) / left_ms.min(right_ms).max(1e-3);
    let winner = if left_ms < right_ms { Slot::RaceLeft } else { Slot::RaceRight };
    (times >= 1.05).then_some((winner, times))
}

/// The examples of the weights in use.
pub fn examples(entry: Option<&ModelEntry>) -> Vec<Subject> {
    let named = entry.map(|entry| entry.examples.as_slice()).filter(|seeds| !seeds.is_empty());
    let seeds = named.unwrap_or(&EXAMPLE_SEEDS).iter();
    seeds.map(|&seed| Subject::Sample(Settings { seed, steps: EXAMPLE_STEPS, ..Settings::default() })).collect()
}

/// This image of the last run of the first view, once it is complete.
pub fn last_image(session: &Session, image: usize) -> Option<Subject> {
    let panel = session.panel(Slot::Generate).filter(|_| session.is_of_model(Slot::Generate))?;
    let seed = *panel.run.seeds.get(image).or(panel.run.seeds.first())?;
    Some(Subject::Sample(Settings { seed, ..panel.run.settings.clone() }))
}

/// The places on the map of what this image of a run was predicted to be, up to the moment that is looked at.
pub fn trail(panel: &Panel, image: usize) -> Vec<[f64; 2]> {
    let moment = panel.moment.as_ref().filter(|(of, _)| *of as usize == image).map(|(_, moment)| moment);
    let steps = panel.run.steps();
    let is_before = |frame: &&Frame| moment.is_none_or(|moment| frame.place * steps < moment.index * FRAMES);
    let before = panel.film.iter().filter(is_before).filter_map(|frame| frame.pictures.get(image));
    let here = moment.map(|moment| &moment.predicted).or_else(|| panel.pictures.get(image));
    before.chain(here).map(place).collect()
}

/// The time of the images that are being made.
pub fn running_time(session: &Session) -> Option<f64> {
    let slot = Slot::ALL.into_iter().find(|&slot| session.filling(slot).is_some())?;
    session.panel(slot).map(|panel| panel.t)
}

#[cfg(test)]
mod tests {
    use vdm::diffusion::terms::Terms;

    use super::*;
    use crate::protocol::{Moment, Picture, Run};

    #[test]
    fn the_noise_at_a_time_keeps_the_variance() {
        let schedule = NoiseSchedule::linear(-5.0, 5.0);
        let middle = NoiseAt::new(&schedule, 0.5);
        assert_eq!((middle.gamma, middle.signal, middle.noise, middle.snr), (0.0, 0.5, 0.5, 1.0));
        for i in 0..=10 {
            let at = NoiseAt::new(&schedule, f64::from(i) / 10.0);
            // Scalars in float64: rounding only.
            assert!((at.signal + at.noise - 1.0).abs() < 1e-12);
            assert!((at.snr * at.noise / at.signal - 1.0).abs() < 1e-9);
        }
    }

    #[test]
    fn the_bound_in_bits_adds_up() {
        let nats = 100.0 * std::f64::consts::LN_2;
        let terms =
            Terms { reconstruction: 0.8 * nats, latent: 0.01 * nats, diffusion: 0.02 * nats, ..Terms::default() };
        let diffusion_at = vec![(0.3, 2.0 * nats), (0.8, 4.0 * nats)];
        let bits = Bits::new(&ImageElbo { terms, entropy_floor: 0.75 * nats, diffusion_at }, 100);
        let close = |a: f64, b: f64| assert!((a - b).abs() < 1e-12, "{a} and {b}");
        for (t, above) in [(0.0, 3.0), (0.25, 2.5), (0.5, 2.0), (0.75, 1.0), (1.0, 0.0)] {
            close(bits.diffusion_above(t), above);
        }
        close(bits.terms.total(), 0.83);
        close(bits.excess(), 0.05);
        close(bits.floor + bits.above_floor(), bits.terms.total());
        close(percent(bits.above_floor(), bits.terms.total()), 8.0 / 0.83);
        assert_eq!((percent(1.0, 0.0), percent(3.0, 2.0), percent(-1.0, 2.0)), (0.0, 100.0, 0.0));
    }

    #[test]
    fn figures_keep_useful_digits() {
        let plain = |mantissa, decimals| Figure { mantissa, decimals, exponent: None };
        let power = |mantissa, exponent| Figure { mantissa, decimals: 1, exponent: Some(exponent) };
        assert_eq!(Figure::new(0.7961, 4), plain(0.7961, 4));
        assert_eq!(Figure::new(0.0, 4), plain(0.0, 4));
        assert_eq!(Figure::new(0.000_708, 4), power(7.1, -4));
        assert_eq!(Figure::new(-4.47e-7, 4), power(-4.5, -7));
        assert_eq!(Figure::new(9.97e-5, 4), power(1.0, -4));
        assert_eq!(Figure::new(250_000.0, 2), power(2.5, 5));
    }

    #[test]
    fn a_race_has_a_winner_or_none() {
        assert_eq!(faster(100.0, 300.0), Some((Slot::RaceLeft, 3.0)));
        assert_eq!(faster(300.0, 100.0), Some((Slot::RaceRight, 3.0)));
        assert_eq!(faster(100.0, 102.0), None);
        assert!(faster(0.0, 10.0).is_some_and(|(_, times)| times.is_finite()));
    }

    #[test]
    fn a_trail_leads_to_the_moment_that_is_looked_at() {
        let picture = |grey| Picture { width: 8, height: 8, pixels: vec![grey; 64] };
        let frame = |at: u32| Frame { place: at, pictures: vec![picture(0), picture(100 + at as u8)], noisy: None };
        let at = |moment| Panel {
            run: Run::from_noise(Settings { steps: 24, ..Settings::default() }, 2),
            pictures: vec![picture(1), picture(111)],
            noisy: None,
            film: [0, 3, 6, 11].map(frame).to_vec(),
            step: 24,
            t: 0.0,
            elapsed_ms: 1.0,
            origin: None,
            moment,
        };
        let greys = |greys: &[u8]| greys.iter().map(|&grey| place(&picture(grey))).collect::<Vec<_>>();
        assert_eq!(trail(&at(None), 1), greys(&[100, 103, 106, 111, 111]));
        let moment = |index| Some((1, Moment { index, t: 0.5, noisy: picture(0), predicted: picture(90) }));
        assert_eq!(trail(&at(moment(0)), 1), greys(&[90]), "it begins with the first guess");
        assert_eq!(trail(&at(moment(7)), 1), greys(&[100, 103, 90]));
        assert_eq!(trail(&at(moment(24)), 1), greys(&[100, 103, 106, 111, 90]));
        // The moment is one of another image.
        assert_eq!(trail(&at(moment(7)), 0).len(), 5);
    }

    #[test]
    fn weights_without_examples_have_some() {
        assert_eq!(examples(None).len(), EXAMPLE_SEEDS.len());
    }
}
