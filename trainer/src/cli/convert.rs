//! `trainer convert`: writes weights in another precision, or puts bands that were trained apart into one file.

use std::path::PathBuf;

use anyhow::{Result, ensure};
use burn::tensor::backend::AutodiffBackend;
use clap::Args;
use vdm::model::Networks;
use vdm::weights::{Header, Precision};

use super::args::choice;
use crate::base::device::{self, Device, Job};
use crate::base::files::{self, LoadedModel, WithEncoder, say};

/// Options of the conversion.
#[derive(Debug, Args)]
pub struct ConvertArgs {
    /// Weights file; the encoder is converted too if its file is beside it
    #[arg(long, value_name = "FILE")]
    pub weights: PathBuf,
    /// File to write
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// How numbers are stored: int8 takes a byte for most of them
    #[arg(long, value_parser = choice(Precision::ALL, Precision::name), default_value = Precision::F16.name())]
    pub precision: Precision,
    /// Take the fine band of this file, and the rest of --weights
    #[arg(long, value_name = "FILE")]
    pub fine_from: Option<PathBuf>,
}

/// `trainer convert`.
pub fn command(args: ConvertArgs) -> Result<()> {
    device::run(Device::Cpu, Convert(args))
}

struct Convert(ConvertArgs);

impl Job for Convert {
    type Output = ();

    fn run<B: AutodiffBackend>(self, device: &B::Device) -> Result<()> {
        let ConvertArgs { weights, out, precision, fine_from } = self.0;
        let with_encoder = if files::encoder_path(&weights).exists() { WithEncoder::Yes } else { WithEncoder::No };
        let mut loaded = files::load_model::<B::InnerBackend>(&weights, with_encoder, device)?;
        if let Some(path) = fine_from {
            let fine = files::load_model::<B::InnerBackend>(&path, WithEncoder::No, device)?;
            let named = format!("--fine-from {} beside --weights {}", path.display(), weights.display());
            ensure!(
                same_but_for_networks(&loaded.header, &fine.header),
                "{named}: two models of bands of the same size, classes, noise at t = 0 and scale of the coarse band are accepted"
            );
            take_fine(&mut loaded, fine);
        }
        let LoadedModel { header, model, .. } = loaded;
        files::write_model(&out, &model.networks, &model.config, &model.sampling, &header.provenance, precision)?;
        say(format!("wrote {} in {}", out.display(), precision.name()));
        Ok(())
    }
}

fn same_but_for_networks(a: &Header, b: &Header) -> bool {
    // The fine band's network was trained on coarse coefficients of this scale.
    let bands = |of: &Header| of.config.bands.as_ref().map(|bands| (bands.min_noise, bands.coarse.scale));
    let rest = |of: &Header| {
        (of.config.height, of.config.width, of.config.attributes.clone(), of.provenance.attributes.clone())
    };
    bands(a).is_some() && bands(a) == bands(b) && rest(a) == rest(b)
}

fn take_fine<B: burn::tensor::backend::Backend>(loaded: &mut LoadedModel<B>, from: LoadedModel<B>) {
    let Networks { fine, .. } = from.model.networks;
    loaded.model.networks.fine = fine;
    if let (Some(bands), Some(other)) = (&mut loaded.model.config.bands, from.model.config.bands) {
        bands.fine = other.fine;
    }
    let (of, fine) = (&mut loaded.header.provenance, from.header.provenance);
    of.training_steps += fine.training_steps;
    of.images = of.images.max(fine.images);
    of.date = of.date.clone().max(fine.date);
}
