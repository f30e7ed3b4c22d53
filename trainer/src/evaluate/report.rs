//! The result of an evaluation, as JSON and as one table.

use std::collections::BTreeMap;

use serde::Serialize;
use vdm::math;

use super::elbo::Estimate;
use crate::measures::TooFew;
use crate::measures::codecs::BitsPerPixel;
use crate::measures::memorisation::{Audit, Neighbour};
use crate::measures::stats::Figure;
use crate::output::text::four_digits;

/// The result of an evaluation. The same options and files give the same report, to the byte.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The file of weights.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weights: Option<String>,
    /// Its SHA-256.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weights_sha256: Option<String>,
    /// Held-out images.
    pub images: usize,
    /// Held-out files left out as unreadable.
    pub skipped: usize,
    /// Diffusion times per image.
    pub times: usize,
    /// The seed.
    pub seed: u64,
    /// Held-out images whose files were made by lossless codecs.
    pub codec_images: usize,
    /// An upper bound on the bits of the 8-bit images themselves, of models that have a likelihood of these: not the
    /// Bernoulli bound.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bits_per_pixel: Option<BitsPerPixel>,
    /// The bound and its terms.
    #[serde(flatten)]
    pub bound: Option<Bound>,
    /// The samples and what they were compared with.
    pub samples: Samples,
    /// The rows of the table.
    pub figures: Vec<Row>,
    /// The search for copies.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audit: Option<Audit>,
    /// The samples nearest to training images, the nearest first.
    pub closest: Vec<Closest>,
    /// The command line.
    pub command: String,
    /// The software and its version.
    pub software: String,
}

/// The variational bound of the held-out images.
#[derive(Debug, Serialize)]
pub struct Bound {
    /// Bits per dimension.
    pub bits_per_dim: BitsPerDim,
    /// Mean squared error of the reconstruction from z_0.
    pub mse: Estimate,
    /// Gradient difference of it.
    pub gradient_difference: Estimate,
}

/// Means and standard errors of the terms, by key.
#[derive(Debug, Serialize)]
pub struct BitsPerDim {
    /// The means.
    #[serde(flatten)]
    pub mean: BTreeMap<&'static str, f64>,
    /// Their standard errors, over images.
    pub standard_error: BTreeMap<&'static str, f64>,
}

/// The samples and what they were compared with.
#[derive(Debug, Serialize)]
pub struct Samples {
    /// Number of samples.
    pub images: usize,
    /// Their source, in words.
    pub from: String,
    /// Samples, and as many real images, in each comparison with the reference.
    pub compared: usize,
    /// Real images that both are compared with.
    pub reference: usize,
    /// What the reference and the other real images are.
    pub real: String,
    /// Samples, and as many held-out images, in the two-sample test.
    pub two_sample: usize,
    /// Held-out images in each of the two halves that are told apart beside it.
    pub two_sample_half: usize,
    /// Training images that were searched for copies.
    pub training_images: usize,
}

/// A sample and the training image closest to it.
#[derive(Clone, Debug, Serialize)]
pub struct Closest {
    /// Number of the sample.
    pub sample: usize,
    /// Its file or seed.
    pub name: String,
    /// The training image's file.
    pub training: String,
    /// How close it is.
    #[serde(flatten)]
    pub neighbour: Neighbour,
    /// Whether it counts as a near copy.
    pub near_copy: bool,
}

/// Parts of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Section {
    /// Samples told from real images by a classifier.
    TwoSample,
    /// Bits of the 8-bit images.
    Likelihood,
    /// The bound of held-out images.
    Bound,
    /// Held-out images encoded and decoded.
    Reconstruction,
    /// Samples judged by a classifier of real images.
    Conditions,
    /// Samples against real images.
    Samples,
    /// Samples against training images.
    Copies,
}

impl Section {
    /// All, the main measure first.
    const ALL: [Self; 7] = [
        Self::TwoSample,
        Self::Likelihood,
        Self::Bound,
        Self::Reconstruction,
        Self::Conditions,
        Self::Samples,
        Self::Copies,
    ];

    /// Its heading.
    pub fn title(self) -> &'static str {
        match self {
            Section::Bound => "Variational bound of held-out images, bits per dimension",
            Section::Reconstruction => "Held-out images encoded and decoded",
            Section::TwoSample => "Samples told from real images by a classifier, by scale",
            Section::Likelihood => "Bits a pixel of held-out 8-bit images, without loss",
            Section::Conditions => "Samples of each value of an attribute, judged by a classifier of real images",
            Section::Samples => "Distances of samples from real images",
            Section::Copies => "Samples against training images",
        }
    }
}

/// Which direction of a figure is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Better {
    /// Lower.
    Lower,
    /// Higher.
    Higher,
    /// As close to that of real images as possible.
    AsReal,
}

/// A figure of the model, beside the same figure of real images.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// Its part of the table.
    pub section: Section,
    /// Its name for programs.
    pub key: String,
    /// Its name for people, with its unit.
    pub name: String,
    /// Which direction is better.
    pub better: Better,
    /// Of the model.
    pub model: Option<Figure>,
    /// Of as many real images.
    pub real: Option<Figure>,
    /// The model's, divided by the real images'.
    pub ratio: Option<f64>,
    /// Why there is no figure.
    pub missing: Option<String>,
}

impl Row {
    /// A figure of the model alone.
    pub fn alone(section: Section, key: &str, name: &str, better: Better, model: Figure) -> Self {
        let (key, name) = (key.to_owned(), name.to_owned());
        Self { section, key, name, better, model: Some(model), real: None, ratio: None, missing: None }
    }

    /// A figure of samples beside that of real images.
    ///
    /// Decibels, rates of nothing, and what is 0 or 0.5 for real images have no ratio.
    pub fn beside(section: Section, key: &str, name: &str, better: Better, model: Figure, real: Figure) -> Self {
        let divided = section != Section::TwoSample && !key.ends_with("_db");
        let ratio = (divided && real.value > 0.0 && model.value >= 0.0).then(|| model.value / real.value);
        Self { real: Some(real), ratio, ..Self::alone(section, key, name, better, model) }
    }

    /// A figure of real images alone.
    pub fn of_real(section: Section, key: &str, name: &str, better: Better, real: Figure) -> Self {
        Self { model: None, real: Some(real), ..Self::alone(section, key, name, better, real) }
    }

    /// A figure for which there are too few images.
    pub fn missing(section: Section, key: &str, name: &str, better: Better, why: &TooFew) -> Self {
        let (key, name) = (key.to_owned(), name.to_owned());
        let missing = Some(why.0.clone());
        Self { section, key, name, better, model: None, real: None, ratio: None, missing }
    }
}

/// Mean nats per image as bits per dimension.
pub fn in_bits(figure: Figure, dimensions: usize) -> Figure {
    let bits = |nats| math::bits_per_dim(nats, dimensions);
    Figure { value: bits(figure.value), low: bits(figure.low), high: bits(figure.high) }
}

fn interval(figure: Figure) -> String {
    if figure.low == figure.high {
        String::new()
    } else {
        format!("{} to {}", four_digits(figure.low), four_digits(figure.high))
    }
}

const HEADINGS: [&str; 6] = ["figure", "model", "95 % interval", "real", "95 % interval", "ratio"];

impl Report {
    /// A figure by its key.
    pub fn row(&self, key: &str) -> Option<&Row> {
        self.figures.iter().find(|row| row.key == key)
    }

    fn sections(&self) -> impl Iterator<Item = (Section, Vec<&Row>)> {
        Section::ALL.into_iter().filter_map(|section| {
            let rows: Vec<&Row> = self.figures.iter().filter(|row| row.section == section).collect();
            (!rows.is_empty()).then_some((section, rows))
        })
    }

    /// What the columns compare, as text.
    pub fn explanation(&self) -> String {
        let Samples { images, compared, reference, real, .. } = &self.samples;
        let model = if self.weights.is_some() { "The model" } else { "The samples" };
        let plural = if self.images == 1 { "" } else { "s" };
        let mut text = format!("{} held-out image{plural}, seed {}.", self.images, self.seed);
        if *images > 0 && *compared > 0 {
            text += &format!(
                " {model}: {compared} of {images} samples ({}) against {reference} real images; real: {compared} \
                 {real} against the same. A perfect model scores as the real images do: a ratio of 1.",
                self.samples.from
            );
        }
        text
    }

    /// What a part's figures mean, where the columns do not say it.
    fn note(&self, section: Section) -> Option<String> {
        let Samples { two_sample, two_sample_half: half, .. } = self.samples;
        match section {
            Section::TwoSample if two_sample > 0 => {
                let real = if half > 0 {
                    format!(" Real: {half} held-out images against {half} others.")
                } else {
                    String::new()
                };
                Some(format!(
                    "{two_sample} samples against {two_sample} held-out images, cross-validated.{real} An AUC of 0.5 and a \
                     d′ of 0: cannot be told; an AUC of 1: always told."
                ))
            }
            Section::Likelihood => {
                let codecs = format!("Lossless codecs: {} held-out images.", self.codec_images);
                Some(match &self.bits_per_pixel {
                    Some(bits) => format!("{codecs} The model: an upper bound, of {} images.", bits.images),
                    None => format!(
                        "{codecs} No likelihood of 8-bit images stands beside them: the Bernoulli bound of grey values is \
                         another quantity, never compared with these."
                    ),
                })
            }
            Section::Conditions => Some(
                "The fraction that the classifier takes for what was asked for, beside the fraction of real images that it \
                 takes for what they are. A guess between two values is right half of the time."
                    .to_owned(),
            ),
            _ => None,
        }
    }

    /// The table for a terminal.
    pub fn text(&self) -> String {
        let cells: Vec<(Section, Vec<[String; 6]>)> =
            self.sections().map(|(section, rows)| (section, rows.into_iter().map(row_cells).collect())).collect();
        let headings = HEADINGS.map(str::to_owned);
        let width = |column: usize| {
            let rows = cells.iter().flat_map(|(_, rows)| rows).chain([&headings]);
            rows.map(|row| row[column].chars().count()).max().unwrap_or(0)
        };
        let widths: [usize; 6] = std::array::from_fn(width);
        let line = |row: &[String; 6]| {
            let [figure, rest @ ..] = row;
            let mut line = format!("  {figure:<width$}", width = widths[0]);
            for (cell, width) in rest.iter().zip(&widths[1..]) {
                line += &format!("  {cell:>width$}");
            }
            line.trim_end().to_owned() + "\n"
        };
        let mut text = self.explanation() + "\n" + &line(&headings);
        for ((section, rows), (_, sources)) in cells.iter().zip(self.sections()) {
            text += &format!("{}\n", section.title());
            text += &self.note(*section).map(|note| format!("  {note}\n")).unwrap_or_default();
            for (row, source) in rows.iter().zip(sources) {
                text += &match &source.missing {
                    Some(why) => format!("  {:<width$}  {why}\n", row[0], width = widths[0]),
                    None => line(row),
                };
            }
        }
        text
    }

    /// The table in Markdown, one table for each part, with headings of a level.
    pub fn markdown(&self, level: usize) -> String {
        let mut text = self.explanation() + "\n";
        for (section, rows) in self.sections() {
            text += &format!("\n{} {}\n\n", "#".repeat(level), section.title());
            text += &self.note(section).map(|note| note + "\n\n").unwrap_or_default();
            text += &format!("| {} |\n| {} |\n", HEADINGS.join(" | "), HEADINGS.map(|_| "---").join(" | "));
            for row in rows {
                let mut cells = row_cells(row);
                if let Some(why) = &row.missing {
                    cells[1].clone_from(why);
                }
                text += &format!("| {} |\n", cells.join(" | "));
            }
        }
        text
    }
}

fn row_cells(row: &Row) -> [String; 6] {
    let value = |figure: Option<Figure>| figure.map(|f| four_digits(f.value)).unwrap_or_default();
    let spread = |figure: Option<Figure>| figure.map(interval).unwrap_or_default();
    let direction = match row.better {
        Better::Lower => " ↓",
        Better::Higher => " ↑",
        Better::AsReal => "",
    };
    let ratio = row.ratio.map(four_digits).unwrap_or_default();
    let name = format!("{}{direction}", row.name);
    [name, value(row.model), spread(row.model), value(row.real), spread(row.real), ratio]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(figures: Vec<Row>) -> Report {
        let samples = Samples {
            images: 8,
            from: "seeds 0-7".into(),
            compared: 8,
            reference: 20,
            real: "others".into(),
            two_sample: 8,
            two_sample_half: 0,
            training_images: 0,
        };
        Report {
            weights: None,
            weights_sha256: None,
            images: 40,
            skipped: 0,
            times: 1,
            seed: 0,
            codec_images: 5,
            bits_per_pixel: None,
            bound: None,
            samples,
            figures,
            audit: None,
            closest: Vec::new(),
            command: String::new(),
            software: String::new(),
        }
    }

    #[test]
    fn a_table_has_the_ratio_and_says_what_is_missing() {
        let figure = |value| Figure { value, low: value - 0.5, high: value + 0.5 };
        let rows = vec![
            Row::beside(Section::Samples, "swd_mean", "distance", Better::Lower, figure(30.0), figure(10.0)),
            Row::beside(Section::Samples, "fine_db", "detail, dB", Better::AsReal, figure(-9.0), figure(0.1)),
            Row::beside(Section::TwoSample, "auc_32", "AUC, 32 pixels", Better::Lower, figure(0.9), figure(0.5)),
            Row::of_real(Section::Likelihood, "codec_png", "PNG", Better::Lower, figure(3.5)),
            Row::missing(Section::Copies, "copies", "copies", Better::Lower, &TooFew("needs --train-data".into())),
        ];
        let report = report(rows);
        let text = report.text();
        assert!(text.contains("distance ↓") && text.contains("29.50 to 30.50") && text.contains("3.000"), "{text}");
        assert!(text.contains("copies ↓") && text.contains("needs --train-data"), "{text}");
        assert_eq!(report.row("fine_db").and_then(|row| row.ratio), None);
        let markdown = report.markdown(3);
        assert!(
            markdown.contains("| distance ↓ | 30.00 | 29.50 to 30.50 | 10.00 | 9.500 to 10.50 | 3.000 |"),
            "{markdown}"
        );
        assert_eq!(report.row("auc_32").and_then(|row| row.ratio), None);
        assert!(markdown.contains("| PNG ↓ |  |  | 3.500 | 3.000 to 4.000 |  |"), "{markdown}");
        for text in [&text, &markdown] {
            let places = ["told from real images", "8 samples against 8", "another quantity", "Distances of samples"];
            let places = places.map(|part| text.find(part).unwrap_or_else(|| panic!("no {part:?} in {text}")));
            assert!(places.is_sorted(), "{places:?}");
        }
        assert!(!text.contains("NaN") && !markdown.contains("NaN"));
    }
}
