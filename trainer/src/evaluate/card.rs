//! The model card: Markdown that the program writes from the weights' header, a run's folder and an evaluation.
//!
//! It uses only headings, paragraphs, lists, tables and code, which the page can show.

use std::path::Path;

use anyhow::Result;
use vdm::config::{
    BandsConfig, LatentConfig, ModelConfig, PATCH, PatchGrid, ResNetConfig, ScheduleConfig, ScheduleKind, TOKEN_PATCHES,
};
use vdm::weights::{Header, Provenance, sha256_hex};

use super::report::{Report, Row};
use super::run_facts::RunFacts;
use crate::base::about::{SOFTWARE, today};
use crate::base::files;
use crate::measures::two_sample::SIDES;
use crate::output::text::four_digits;

/// A file of weights.
struct FileFacts {
    name: String,
    bytes: usize,
    sha256: String,
}

/// A model card.
pub struct Card<'a> {
    header: &'a Header,
    sampling: FileFacts,
    encoder: Option<FileFacts>,
    run: Option<&'a RunFacts>,
    /// What people wrote on the training.
    pub notes: Option<&'a str>,
    report: &'a Report,
    date: String,
}

impl<'a> Card<'a> {
    /// Of weights that were evaluated.
    ///
    /// # Errors
    /// The files of weights cannot be read again.
    pub fn new(
        weights: &Path,
        header: &'a Header,
        sha256: &str,
        run: Option<&'a RunFacts>,
        report: &'a Report,
    ) -> Result<Self> {
        let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let sampling = FileFacts { name: name(weights), bytes: files::read(weights)?.len(), sha256: sha256.to_owned() };
        let path = files::encoder_path(weights);
        let encoder = if path.exists() {
            let bytes = files::read(&path)?;
            Some(FileFacts { name: name(&path), bytes: bytes.len(), sha256: sha256_hex(&bytes) })
        } else {
            None
        };
        Ok(Self { header, sampling, encoder, run, notes: None, report, date: today() })
    }

    /// The card.
    pub fn markdown(&self) -> String {
        let sections = [
            self.introduction(),
            USE.to_owned(),
            self.data(),
            self.architecture(),
            self.training(),
            self.measured(),
            self.copies(),
            self.limits(),
            self.licence(),
        ];
        sections.join("\n")
    }

    fn provenance(&self) -> &Provenance {
        &self.header.provenance
    }

    fn introduction(&self) -> String {
        let ModelConfig { height, width, bands, .. } = &self.header.config;
        let what = match bands {
            Some(_) => "A variational diffusion model, from coarse to fine,",
            None => "A latent variational diffusion model",
        };
        let names: Vec<String> = self.provenance().attributes.iter().map(|of| plain(&of.name)).collect();
        let condition = match names.len() {
            0 => "unconditional".to_owned(),
            _ => format!("conditioned on {}", names.join(", ")),
        };
        let mut text = format!(
            "# Model card: `{}`\n\n{what} of chest X-rays at {width}×{height} pixels, \
             8-bit grey, {condition}, after Rguibi et al. (J. Imaging 2023, 9, 171) and Kingma et al. (*Variational \
             Diffusion Models*, 2021). **What it draws is synthetic and never for diagnosis.**\n\n",
            plain(&self.provenance().name)
        );
        let told = |side: usize| {
            let figure = self.report.row(&format!("auc_{side}"))?.model?;
            Some(format!("{} at {side}", four_digits(figure.value)))
        };
        let told: Vec<String> = SIDES.into_iter().filter_map(told).collect();
        if !told.is_empty() {
            text += &format!(
                "A plain classifier tells its samples from real X-rays with an AUC of {} pixels (0.5: not at all; 1: always).\n\n",
                told.join(", ")
            );
        }
        text += "| file | holds | size | SHA-256 |\n| --- | --- | --- | --- |\n";
        let holds = [("decoder, ScoreNet, noise schedule: all that sampling needs", Some(&self.sampling))];
        let rest = [("encoder, for measuring the bound and starting from an image", self.encoder.as_ref())];
        for (what, file) in holds.into_iter().chain(rest) {
            if let Some(file) = file {
                let (name, bytes, sha256) = (plain(&file.name), file.bytes, &file.sha256);
                text += &format!("| `{name}` | {what} | {bytes} bytes | `{sha256}` |\n");
            }
        }
        text
    }

    fn data(&self) -> String {
        let of = self.provenance();
        let classes = of.attributes.iter().map(|of| format!("{} ({})", plain(&of.name), plain(&of.values.join(", "))));
        let classes = if of.attributes.is_empty() { "none".to_owned() } else { classes.collect::<Vec<_>>().join("; ") };
        let mut text = format!("## Training data\n\n- Source: {}.\n- Images: {}.\n", or_unknown(&of.data), of.images);
        text += &format!("- Classes: {classes}.\n");
        if !of.acknowledgement.is_empty() {
            text += &format!("- Acknowledgement: {}\n", plain(&of.acknowledgement));
        }
        text
    }

    fn architecture(&self) -> String {
        let config = &self.header.config;
        let numbers = self.header.parameters();
        let types: std::collections::BTreeSet<&str> =
            self.header.tensors.iter().map(|tensor| tensor.dtype.as_str()).collect();
        let schedule = |of: &ScheduleConfig| {
            let form = match of.kind {
                ScheduleKind::Linear => "linear, endpoints fixed".to_owned(),
                ScheduleKind::LearnedLinear => "linear, endpoints learned".to_owned(),
                ScheduleKind::Monotonic { hidden, learn_endpoints } => {
                    let ends = if learn_endpoints { "learned" } else { "fixed" };
                    format!("monotone network of {hidden} hidden units, endpoints {ends}")
                }
            };
            format!("{form}; γ from {:.2} to {:.2}", of.gamma_min, of.gamma_max)
        };
        let mut rows = match (&config.latent, &config.bands) {
            (Some(latent), _) => of_latent(latent),
            (_, bands) => bands.iter().flat_map(|bands| of_bands(config, bands)).collect(),
        };
        for (i, of) in config.schedules().iter().enumerate() {
            let name =
                if config.latent.is_some() { "noise schedule" } else { ["coarse schedule", "fine schedule"][i.min(1)] };
            rows.push((name, schedule(of)));
        }
        let types = types.into_iter().collect::<Vec<_>>().join(" and ");
        rows.push(("numbers in the sampling file", format!("{numbers}, as {types}")));
        let rows: Vec<_> = rows.into_iter().map(|(part, size)| (part.to_owned(), size)).collect();
        format!("## Architecture\n\n{}", table(["part", "size"], &rows))
    }

    fn training(&self) -> String {
        let of = self.provenance();
        let mut text = format!(
            "## Training\n\n{} optimizer steps on {} images, seed {}, finished on {}, by {}.\n",
            of.training_steps,
            of.images,
            of.seed,
            or_unknown(&of.date),
            or_unknown(&of.software)
        );
        if let Some(run) = self.run {
            if let Some(seconds) = run.seconds {
                let time = humantime::format_duration(std::time::Duration::from_secs(seconds.max(0.0) as u64));
                text += &format!("\nThe run trained for {time}. Its settings:\n");
            } else {
                text += "\nSettings of the run:\n";
            }
            let shown: Vec<(String, String)> =
                run.settings.iter().filter(|(name, _)| !name.starts_with("model.")).cloned().collect();
            text += &format!("\n{}", table(["setting", "value"], &shown));
        }
        if let Some(notes) = self.notes {
            text += &format!("\n{}\n", notes.trim());
        }
        text
    }

    fn measured(&self) -> String {
        format!(
            "## Measured\n\nOn {} by {SOFTWARE}:\n\n```sh\n{}\n```\n\n{}",
            self.date,
            self.report.command,
            self.report.markdown(3)
        )
    }

    fn copies(&self) -> String {
        let Some(audit) = &self.report.audit else {
            return "## Memorisation\n\nNo search for copies of training images was made.\n".to_owned();
        };
        let percent = |rate: f64| format!("{:.1} %", 100.0 * rate);
        let rate = audit.samples.near_copies;
        let mut text = format!(
            "## Memorisation\n\nFor each of {} samples, {} training images were searched for the one whose detail \
             correlates most with it, over small shifts and any brightness and contrast; {} held-out real images were \
             treated the same way.\n\n- Near copies: {} of the samples (95 % interval {} to {}); of held-out real \
             images, {}.\n",
            audit.samples.images,
            audit.training_images,
            audit.held_out.images,
            percent(rate.value),
            percent(rate.low),
            percent(rate.high),
            percent(audit.held_out.near_copies.value)
        );
        if self.provenance().images != audit.training_images as u64 {
            text += &format!(
                "- Not all was searched, or something else was: the weights were trained on {} images.\n",
                self.provenance().images
            );
        }
        if let (Some(threshold), Some(closer)) = (audit.threshold, audit.samples.closer_than_real) {
            text += &format!(
                "- Closer to a training image, relative to its next neighbours, than 95 % of held-out images are \
                 (relative distance below {}): {} of the samples (95 % interval {} to {}).\n",
                four_digits(threshold),
                percent(closer.value),
                percent(closer.low),
                percent(closer.high)
            );
        }
        text + "\nThe search does not see copies that are mirrored, turned, scaled, bent or very blurred, copied parts, \
                or a known patient in a new picture. It is no proof of privacy.\n"
    }

    fn limits(&self) -> String {
        let mut points = vec![
            "No one has shown that these images help a clinical task; none was read by a radiologist for this card."
                .to_owned(),
            "If the held-out images also chose which weights to keep, their figures are a little too good.".to_owned(),
        ];
        let shared = self.report.audit.as_ref().map_or(0.0, |audit| audit.held_out.near_copies.value);
        points.push(if shared > 0.0 {
            format!(
                "{:.1} % of the held-out images are near copies of training images: some patients, or films, are in \
                 both, so that the held-out figures are a little too good.",
                100.0 * shared
            )
        } else {
            "Whether a patient occurs both in the training images and in the held-out images is not known to the \
             program that wrote this card."
                .to_owned()
        });
        let pair = |key: &str| {
            let row: &Row = self.report.row(key)?;
            row.model.zip(row.real)
        };
        if let Some((model, real)) = pair("spectrum_fine_db") {
            let direction = if model.value < real.value { "below" } else { "above" };
            if model.high < real.low || model.low > real.high {
                let by = four_digits((model.value - real.value).abs());
                let kind = if model.value < real.value { "blurred" } else { "too rough" };
                points.push(format!("Samples are {kind}: the power of their fine detail is {by} dB {direction} real."));
            }
        }
        for (key, low) in [
            ("precision", "samples lie among real images less often than real images do: precision"),
            ("coverage", "kinds of real images are missing among the samples: coverage"),
        ] {
            if let Some((model, real)) = pair(key).filter(|(model, real)| model.high < real.low) {
                let mut sentence =
                    format!("{low} {}, against {} for real images.", four_digits(model.value), four_digits(real.value));
                sentence[..1].make_ascii_uppercase();
                points.push(sentence);
            }
        }
        if let Some((model, real)) = pair("ms_ssim_diversity").filter(|(model, real)| model.low > real.high) {
            let (model, real) = (four_digits(model.value), four_digits(real.value));
            points.push(format!(
                "Samples are too much alike: MS-SSIM between pairs {model}, against {real} for real ones."
            ));
        }
        if self.header.config.attributes.is_empty() {
            points.push("The weights have no classes: no finding, nor its absence, can be requested.".to_owned());
        }
        format!("## Limits\n\n- {}\n", points.join("\n- "))
    }

    fn licence(&self) -> String {
        let of = self.provenance();
        let licence = if of.license.is_empty() { "none stated".to_owned() } else { plain(&of.license) };
        format!("## Licence\n\nLicence of the weights: {licence}.\n")
    }
}

/// The sizes of a model with a learned latent.
fn of_latent(latent: &LatentConfig) -> Vec<(&'static str, String)> {
    let stack = |of: &ResNetConfig| {
        let norm = if of.layer_norm { ", layer normalisation" } else { "" };
        format!("{} residual blocks of {} features{norm}", of.layers, of.width)
    };
    vec![
        ("latent", format!("{} numbers", latent.dim)),
        ("encoder", stack(&latent.encoder)),
        ("decoder", stack(&latent.decoder)),
        ("ScoreNet", stack(&latent.score_net.blocks())),
        ("embedding of time and class", format!("{} features", latent.score_net.embedding_dim)),
    ]
}

/// The sizes of a model of bands.
fn of_bands(config: &ModelConfig, bands: &BandsConfig) -> Vec<(&'static str, String)> {
    let dims = config.band_dims();
    let band = |numbers: usize, grid: PatchGrid, side: usize| {
        format!("{numbers} numbers of {}×{} squares of {side}×{side} pixels", grid.rows, grid.columns)
    };
    let net = |of: &vdm::config::BandConfig| {
        let attention = if of.heads > 0 { format!(", attention of {} heads", of.heads) } else { String::new() };
        format!("{} residual blocks of {} features{attention}", of.layers, of.width)
    };
    vec![
        ("coarse band", band(dims[0], config.coarse_grid(), PATCH * TOKEN_PATCHES)),
        ("fine band", band(dims[1], config.patch_grid(), PATCH)),
        ("coarse ScoreNet", net(&bands.coarse)),
        ("fine ScoreNet", net(&bands.fine)),
        ("noise at t = 0", format!("{} grey levels", bands.min_noise)),
    ]
}

const USE: &str = "## Intended use

- For: research and teaching on generative models of medical images; trying out software on images of no patient.
- Not for: diagnosis, treatment, or any decision about a patient; training or testing a clinical device without real
  images beside; passing an image off as a patient's.
";

/// Text that has no meaning in Markdown, on one line.
fn plain(text: &str) -> String {
    let safe = text.replace('|', "/").replace('`', "'").replace('*', "×");
    safe.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn or_unknown(text: &str) -> String {
    if text.is_empty() { "not stated".to_owned() } else { plain(text) }
}

fn table(headings: [&str; 2], rows: &[(String, String)]) -> String {
    let mut text = format!("| {} | {} |\n| --- | --- |\n", headings[0], headings[1]);
    for (name, value) in rows {
        text += &format!("| {} | {} |\n", plain(name), or_unknown(value));
    }
    text
}

#[cfg(test)]
mod tests;
