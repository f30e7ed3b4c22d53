//! `trainer export`: writes the networks as ONNX files and the noise schedule as JSON, for programs in other languages.

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use burn::tensor::backend::AutodiffBackend;
use clap::Args;

use crate::base::device::{self, Device, Job};
use crate::base::files::{self, WithEncoder};
use crate::output::onnx::{self, Exported};

/// Options of the export.
#[derive(Debug, Args)]
pub struct ExportArgs {
    /// Weights file; the encoder is exported too if its file is beside it
    #[arg(long, value_name = "FILE")]
    pub weights: PathBuf,
    /// Folder for decoder.onnx, score-net.onnx, encoder.onnx and schedule.json
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Write inputs and the outputs of our own networks as JSON
    #[arg(long, value_name = "FILE", hide = true)]
    pub reference_file: Option<PathBuf>,
}

/// `trainer export`.
pub fn command(args: ExportArgs) -> Result<()> {
    ensure!(args.weights.exists(), "cannot read {}: there is no such file", args.weights.display());
    ensure!(
        !args.out.is_file(),
        "--out is {}, which is a file: a folder is accepted, and made if it does not exist",
        args.out.display()
    );
    device::run(Device::Cpu, Export(args))
}

struct Export(ExportArgs);

impl Job for Export {
    type Output = ();

    fn run<B: AutodiffBackend>(self, device: &B::Device) -> Result<()> {
        let ExportArgs { weights, out, reference_file } = self.0;
        let with_encoder = if files::encoder_path(&weights).exists() { WithEncoder::Yes } else { WithEncoder::No };
        let loaded = files::load_model::<B::InnerBackend>(&weights, with_encoder, device)?;
        // Everything is exported before anything is written.
        let exported = onnx::export(&loaded)?;
        let reference: Option<(PathBuf, Vec<u8>)> = match reference_file {
            None => None,
            Some(path) => Some((path, serde_json::to_vec(&onnx::reference::of(&loaded.model, device)?)?)),
        };
        write(&out, &exported)?;
        if let Some((path, bytes)) = reference {
            files::write_atomic(&path, &bytes)?;
        }
        if with_encoder == WithEncoder::No && loaded.model.config.latent.is_some() {
            eprintln!("no encoder: {} does not exist", files::encoder_path(&weights).display());
        }
        Ok(())
    }
}

fn write(folder: &Path, exported: &[Exported]) -> Result<()> {
    for file in exported {
        files::write_atomic(&folder.join(file.name), &file.bytes)?;
    }
    let names: Vec<_> = exported.iter().map(|file| file.name).collect();
    eprintln!("wrote {} to {}", names.join(", "), folder.display());
    Ok(())
}
