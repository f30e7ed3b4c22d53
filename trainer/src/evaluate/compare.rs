//! Samples against real images, and against the training images.

use std::sync::Mutex;

use super::report::{Better, Closest, Row, Section};
use crate::base::progress::Progress;
use crate::measures::codecs::{self, BitsPerPixel, Codec};
use crate::measures::features::FeatureSpace;
use crate::measures::memorisation::{Audit, MIN_HELD_OUT, Neighbour, Training};
use crate::measures::neighbours::{self, Prdc};
use crate::measures::similarity;
use crate::measures::spectrum::{self, Difference, Spectrum};
use crate::measures::stats::Figure;
use crate::measures::two_sample::{self, Told};
use crate::measures::wasserstein::{self, Distances};
use crate::measures::{Draw, Images, Measured, TooFew};

/// Pairs of images that diversity is a mean over.
const PAIRS: usize = 500;

/// The sets of images to compare: samples, and as many real images, each with the reference.
pub struct Sets<'a> {
    /// Samples, the first of them.
    pub samples: Images<'a>,
    /// As many real images, as a perfect model would draw them.
    pub real: Images<'a>,
    /// Other real images.
    pub reference: Images<'a>,
    /// What the real images are, for text after a number.
    pub what: &'static str,
}

impl<'a> Sets<'a> {
    /// With training images, the real set is of training images and the reference is all held-out images. Without them,
    /// one half of the held-out images is the real set and the other half is the reference.
    pub fn of(samples: &Images<'a>, held_out: &Images<'a>, training: Option<&Images<'a>>, seed: u64) -> Self {
        let shuffled =
            |images: &Images<'a>, index| images.select(&Draw::Split.stream(seed, index).permutation(images.len()));
        let held_out = shuffled(held_out, 0);
        let (real, reference, what) = match training {
            Some(training) => (shuffled(training, 1), held_out, "training images"),
            None => {
                let half = held_out.len() / 2;
                let (first, second): (Vec<usize>, Vec<usize>) = (0..held_out.len()).partition(|&i| i < half);
                (held_out.select(&first), held_out.select(&second), "other held-out images")
            }
        };
        let count = samples.len().min(real.len());
        Self { samples: samples.first(count), real: real.first(count), reference, what }
    }
}

/// The largest number of samples that can be compared with as many real images.
pub fn comparable(held_out: usize, training: Option<usize>) -> usize {
    training.unwrap_or(held_out / 2)
}

/// The progress of a stage whose steps may end in any order.
pub struct Stage(Mutex<(Progress, u64)>);

impl Stage {
    /// A stage of `total` steps.
    pub fn new(what: &'static str, total: usize) -> Self {
        Self(Mutex::new((Progress::new(what, 0, total as u64), 0)))
    }

    /// A step is done.
    pub fn tick(&self) {
        if let Ok(mut state) = self.0.lock() {
            state.1 += 1;
            let done = state.1;
            state.0.set(done, String::new);
        }
    }
}

/// The mean spectra of samples, real images and reference.
pub struct Spectra {
    /// In this order.
    pub sets: [Spectrum; 3],
}

/// What the two-sample test found.
pub struct TwoSample {
    /// The rows, by scale.
    pub rows: Vec<Row>,
    /// Samples, and as many real images.
    pub each: usize,
    /// Real images in each half.
    pub half: usize,
}

/// The two-sample test of samples and held-out images, of which no two are of one patient as far as is known.
pub fn two_sample(samples: &Images<'_>, held_out: &Images<'_>, seed: u64) -> TwoSample {
    let order = Draw::Split.stream(seed, 2).permutation(held_out.len());
    let real = held_out.select(&order);
    let stage = Stage::new("two-sample test, images", two_sample::steps(samples, &real));
    let section = Section::TwoSample;
    let found = match two_sample::test(samples, &real, seed, || stage.tick()) {
        Ok(found) => found,
        Err(why) => {
            let row = Row::missing(section, "auc", "AUC", Better::Lower, &why);
            return TwoSample { rows: vec![row], each: 0, half: 0 };
        }
    };
    type Kind = (&'static str, &'static str, fn(&Told) -> Figure);
    let kinds: [Kind; 2] = [("auc", "AUC", |t| t.auc), ("d_prime", "d′", |t| t.d_prime)];
    let row = |of: &two_sample::AtScale, (key, name, figure): (&str, &str, fn(&Told) -> Figure)| {
        let (key, name) = (format!("{key}_{}", of.side), format!("{name}, {} pixels", of.side));
        match &of.real {
            Some(real) => Row::beside(section, &key, &name, Better::Lower, figure(&of.samples), figure(real)),
            None => Row::alone(section, &key, &name, Better::Lower, figure(&of.samples)),
        }
    };
    let rows = kinds.into_iter().flat_map(|kind| found.iter().map(move |of| row(of, kind))).collect();
    let (each, half) = two_sample::counts(samples.len(), real.len());
    TwoSample { rows, each, half: if found.iter().any(|of| of.real.is_some()) { half } else { 0 } }
}

/// Lossless codecs' bits a pixel of held-out images, below the model's where it has a likelihood of 8-bit images.
pub fn likelihood(model: Option<&BitsPerPixel>, images: &Images<'_>) -> Vec<Row> {
    let section = Section::Likelihood;
    let figure = |bits: &BitsPerPixel| Figure::normal(bits.mean, bits.standard_error);
    let of_model = |bits| Row::alone(section, "bits_per_pixel", "the model's upper bound", Better::Lower, figure(bits));
    let stage = Stage::new("lossless codecs, images", Codec::ALL.len() * images.len());
    let of_codec = |codec: Codec| match codecs::bits_per_pixel(codec, images, || stage.tick()) {
        Ok(bits) => {
            let bits = BitsPerPixel::of(&bits);
            Row::of_real(section, codec.key(), codec.name(), Better::Lower, figure(&bits))
        }
        Err(why) => Row::missing(section, codec.key(), codec.name(), Better::Lower, &why),
    };
    model.map(of_model).into_iter().chain(Codec::ALL.map(of_codec)).collect()
}

/// A row's key, name and direction, and its figure.
type Kind<T> = (&'static str, &'static str, Better, fn(&T) -> Figure);

/// Every measure of the sets, as rows of the table.
pub fn measure(sets: &Sets<'_>, draws: usize, seed: u64) -> (Vec<Row>, Option<Spectra>) {
    let mut rows = Vec::new();
    match sliced_wasserstein(sets, seed) {
        Ok((model, real)) => {
            for ((height, model), (_, real)) in model.levels.iter().zip(&real.levels) {
                let name = format!("sliced Wasserstein ×10³, level {height}");
                rows.push(beside(&format!("swd_{height}"), &name, Better::Lower, *model, *real));
            }
            rows.push(beside("swd_mean", "sliced Wasserstein ×10³, mean", Better::Lower, model.mean, real.mean));
        }
        Err(why) => rows.push(missing("swd_mean", "sliced Wasserstein ×10³, mean", Better::Lower, &why)),
    }
    let spectra = spectra(sets);
    let differences = spectra.as_ref().map(|spectra| {
        let [model, real, reference] = &spectra.sets;
        (spectrum::difference(model, reference), spectrum::difference(real, reference))
    });
    let kinds: [Kind<Difference>; 2] = [
        ("spectrum_distance", "power spectrum, mean difference of log₁₀", Better::Lower, |d| d.distance),
        ("spectrum_fine_db", "power of fine detail, dB above reference", Better::AsReal, |d| d.fine_db),
    ];
    for (key, name, better, of) in kinds {
        rows.push(match &differences {
            Ok((model, real)) => beside(key, name, better, of(model), of(real)),
            Err(why) => missing(key, name, better, why),
        });
    }
    let kinds: [Kind<Prdc>; 4] = [
        ("precision", "precision", Better::Higher, |p| p.precision),
        ("recall", "recall", Better::Higher, |p| p.recall),
        ("density", "density", Better::AsReal, |p| p.density),
        ("coverage", "coverage", Better::Higher, |p| p.coverage),
    ];
    let found = neighbourhoods(sets, draws, seed);
    for (key, name, better, of) in kinds {
        rows.push(match &found {
            Ok((model, real)) => beside(key, name, better, of(model), of(real)),
            Err(why) => missing(key, name, better, why),
        });
    }
    let (key, name) = ("ms_ssim_diversity", "MS-SSIM between pairs");
    let diversity = |set| similarity::diversity(set, PAIRS, draws, seed);
    rows.push(match diversity(&sets.samples).and_then(|model| Ok((model, diversity(&sets.real)?))) {
        Ok((model, real)) => beside(key, name, Better::AsReal, model, real),
        Err(why) => missing(key, name, Better::AsReal, &why),
    });
    (rows, spectra.ok())
}

fn beside(key: &str, name: &str, better: Better, model: Figure, real: Figure) -> Row {
    Row::beside(Section::Samples, key, name, better, model, real)
}

fn missing(key: &str, name: &str, better: Better, why: &TooFew) -> Row {
    Row::missing(Section::Samples, key, name, better, why)
}

/// Takes equal numbers of images from each set, which the distance of sorted projections needs.
fn sliced_wasserstein(sets: &Sets<'_>, seed: u64) -> Measured<(Distances, Distances)> {
    let count = sets.samples.len().min(sets.reference.len());
    let patches = |set: &Images<'_>, number| wasserstein::patches(&set.first(count), seed, number);
    let reference = patches(&sets.reference, 2)?;
    let (samples, real) = (patches(&sets.samples, 0)?, patches(&sets.real, 1)?);
    let stage = Stage::new("Wasserstein distance, levels", 2 * reference.count());
    let distances = |set| wasserstein::distances(set, &reference, seed, || stage.tick());
    Ok((distances(&samples), distances(&real)))
}

fn spectra(sets: &Sets<'_>) -> Measured<Spectra> {
    let stage = Stage::new("spectra, images", sets.samples.len() + sets.real.len() + sets.reference.len());
    let of = |set| spectrum::spectrum(set, || stage.tick());
    Ok(Spectra { sets: [of(&sets.samples)?, of(&sets.real)?, of(&sets.reference)?] })
}

fn neighbourhoods(sets: &Sets<'_>, draws: usize, seed: u64) -> Measured<(Prdc, Prdc)> {
    let space = FeatureSpace::fit(&sets.reference, seed)?;
    let reference = space.features(&sets.reference);
    let against = |set| neighbours::prdc(&reference, &space.features(set), draws, seed);
    Ok((against(&sets.samples)?, against(&sets.real)?))
}

/// The search for copies.
pub struct Copies {
    /// What it found.
    pub audit: Audit,
    /// The nearest training image of each sample.
    pub neighbours: Vec<Neighbour>,
}

/// Searches the training images for samples, and for held-out images.
pub fn audit(
    samples: &Images<'_>,
    held_out: &Images<'_>,
    training: &Images<'_>,
    draws: usize,
    seed: u64,
) -> Measured<Copies> {
    let search = Training::new(training)?;
    let stage = Stage::new("search for copies, images", samples.len() + held_out.len());
    let neighbours = search.nearest(samples, || stage.tick());
    let of_held_out = search.nearest(held_out, || stage.tick());
    let audit = Audit::of(search.len(), &neighbours, &of_held_out, draws, seed);
    Ok(Copies { audit, neighbours })
}

/// The audit's rows.
pub fn audit_rows(copies: &Measured<Copies>) -> Vec<Row> {
    let section = Section::Copies;
    let names = [
        ("nearest_detail_correlation", "detail correlation with the nearest", Better::AsReal),
        ("nearest_relative_distance", "distance to it, relative to the next 50", Better::AsReal),
        ("closer_than_real", "share closer than 95 % of real", Better::AsReal),
        ("near_copies", "share of near copies", Better::Lower),
    ];
    let audit = match copies {
        Ok(copies) => &copies.audit,
        Err(why) => return names.map(|(key, name, better)| Row::missing(section, key, name, better, why)).to_vec(),
    };
    let (model, real) = (&audit.samples, &audit.held_out);
    let figures = [
        Some((model.detail, real.detail)),
        Some((model.relative_distance, real.relative_distance)),
        model.closer_than_real.zip(real.closer_than_real),
        Some((model.near_copies, real.near_copies)),
    ];
    let rows = names.into_iter().zip(figures).map(|((key, name, better), figures)| match figures {
        Some((model, real)) => Row::beside(section, key, name, better, model, real),
        None => Row::missing(section, key, name, better, &TooFew::images(MIN_HELD_OUT, "held-out", real.images)),
    });
    rows.collect()
}

/// The samples nearest to training images: near copies first, then by relative distance.
pub fn closest(copies: &Copies, names: &[String], training_names: &[String], max: usize) -> Vec<Closest> {
    let mut order: Vec<usize> = (0..copies.neighbours.len()).collect();
    order.sort_by(|&a, &b| {
        let (a, b) = (&copies.neighbours[a], &copies.neighbours[b]);
        b.is_copy().cmp(&a.is_copy()).then(a.relative_distance.total_cmp(&b.relative_distance))
    });
    order
        .into_iter()
        .take(max)
        .map(|sample| {
            let neighbour = copies.neighbours[sample];
            let training = training_names[neighbour.index].clone();
            Closest { sample, name: names[sample].clone(), training, neighbour, near_copy: neighbour.is_copy() }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Dataset;

    #[test]
    fn sets_have_equal_counts_and_no_image_twice() {
        let held_out = Dataset::phantoms(0, 0, 9, 16, 16);
        let samples = Dataset::phantoms(0, 100, 30, 16, 16);
        let training = Dataset::phantoms(0, 200, 12, 16, 16);
        let (held_out, samples, training) = (Images::of(&held_out), Images::of(&samples), Images::of(&training));
        let sets = Sets::of(&samples, &held_out, None, 0);
        assert_eq!([sets.samples.len(), sets.real.len(), sets.reference.len()], [4, 4, 5]);
        assert!(sets.real.pixels.iter().all(|image| !sets.reference.pixels.contains(image)));
        let sets = Sets::of(&samples, &held_out, Some(&training), 0);
        assert_eq!([sets.samples.len(), sets.real.len(), sets.reference.len()], [12, 12, 9]);
        assert!(sets.real.pixels.iter().all(|image| training.pixels.contains(image)));
        assert_eq!([comparable(9, None), comparable(9, Some(12))], [4, 12]);
    }

    #[test]
    fn drawings_score_as_other_drawings_and_noise_does_not() {
        let held_out = Dataset::phantoms(0, 0, 60, 32, 32);
        let good = Dataset::phantoms(0, 500, 30, 32, 32);
        let mut stream = Draw::Pairs.stream(1, 0);
        let noise: Vec<Vec<u8>> =
            (0..30).map(|_| (0..1024).map(|_| (256.0 * stream.uniform()) as u8).collect()).collect();
        let noise = Images { height: 32, width: 32, pixels: noise.iter().map(Vec::as_slice).collect() };
        let of = |samples: &Images<'_>| measure(&Sets::of(samples, &Images::of(&held_out), None, 0), 100, 0).0;
        let (good, noise) = (of(&Images::of(&good)), of(&noise));
        let row = |rows: &[Row], key: &str| rows.iter().find(|row| row.key == key).expect("a row").clone();
        for key in ["swd_mean", "spectrum_distance", "precision", "coverage"] {
            let ratio = row(&good, key).ratio.expect("a ratio");
            assert!((0.4..2.5).contains(&ratio), "{key}: {ratio}");
        }
        assert!(row(&noise, "swd_mean").ratio > Some(4.0) && row(&noise, "spectrum_distance").ratio > Some(4.0));
        assert_eq!(row(&noise, "precision").model.map(|f| f.value), Some(0.0));
        assert!(row(&noise, "spectrum_fine_db").model.is_some_and(|f| f.low > 0.0));
    }

    #[test]
    fn the_two_sample_test_has_rows_by_scale_or_one_that_says_why_not() {
        let held_out = Dataset::phantoms(0, 0, 60, 64, 64);
        let samples = Dataset::phantoms(0, 500, 24, 64, 64);
        let found = two_sample(&Images::of(&samples), &Images::of(&held_out), 0);
        let keys: Vec<&str> = found.rows.iter().map(|row| row.key.as_str()).collect();
        assert_eq!(keys, ["auc_64", "auc_32", "d_prime_64", "d_prime_32"]);
        assert_eq!((found.each, found.half), (24, 24));
        assert!(found.rows.iter().all(|row| row.model.is_some() && row.real.is_some() && row.ratio.is_none()));
        let found = two_sample(&Images::of(&samples), &Images::of(&held_out).first(30), 0);
        assert!(found.half == 0 && found.rows.iter().all(|row| row.model.is_some() && row.real.is_none()));
        let few = two_sample(&Images::of(&samples).first(9), &Images::of(&held_out), 0);
        assert!(few.each == 0 && few.rows[0].missing.as_ref().is_some_and(|why| why.contains("needs at least 20")));
    }

    #[test]
    fn the_models_bits_stand_above_those_of_codecs() {
        let images = Dataset::phantoms(0, 0, 3, 32, 32);
        let bits = BitsPerPixel { mean: 2.5, standard_error: 0.1, images: 3 };
        let rows = likelihood(Some(&bits), &Images::of(&images));
        assert_eq!(rows[0].model.map(|figure| figure.value), Some(2.5));
        assert_eq!(rows.len(), 4);
        assert!(rows[1].model.is_none() && rows[1].real.is_some_and(|figure| figure.value > 0.0), "{rows:?}");
        assert_eq!(likelihood(None, &Images::of(&images)).len(), 3);
    }

    #[test]
    fn few_images_leave_rows_that_say_so() {
        let held_out = Dataset::phantoms(0, 0, 1, 32, 32);
        let samples = Dataset::phantoms(0, 10, 3, 32, 32);
        let (rows, spectra) = measure(&Sets::of(&Images::of(&samples), &Images::of(&held_out), None, 0), 10, 0);
        assert!(spectra.is_none() && rows.len() == 8);
        assert!(rows.iter().all(|row| row.missing.as_ref().is_some_and(|why| why.contains("needs"))), "{rows:?}");
    }
}
