//! `trainer inspect`: prints what a weights file holds.

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;
use vdm::weights::{Part, read_header, sha256_hex};

use crate::base::files;

/// Options of inspection.
#[derive(Debug, Args)]
pub struct InspectArgs {
    /// Weights file
    pub weights: PathBuf,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Prints the header of a file.
pub fn command(args: InspectArgs) -> Result<()> {
    let bytes = files::read(&args.weights)?;
    let header = read_header(&bytes).with_context(|| format!("cannot use {}", args.weights.display()))?;
    let hash = sha256_hex(&bytes);
    let parameters = header.parameters();
    if args.json {
        let tensors: Vec<_> = header
            .tensors
            .iter()
            .map(|t| serde_json::json!({ "name": t.name, "dtype": t.dtype, "shape": t.shape }))
            .collect();
        let value = serde_json::json!({
            "file": args.weights,
            "bytes": bytes.len(),
            "sha256": hash,
            "part": header.part,
            "parameters": parameters,
            "config": header.config,
            "sampling": header.sampling,
            "provenance": header.provenance,
            "sampling_sha256": header.sampling_sha256,
            "tensors": tensors,
        });
        return files::print(format!("{}\n", serde_json::to_string_pretty(&value)?).as_bytes());
    }
    let mut lines = vec![
        format!("{}: {} file, {} parameters, {} bytes", args.weights.display(), header.part, parameters, bytes.len()),
        format!("sha256      {hash}"),
    ];
    lines.extend(header.sampling_sha256.iter().map(|sampling| format!("belongs to  {sampling}")));
    lines.push(format!("config      {}", serde_json::to_string(&header.config)?));
    if header.part == Part::Sampling {
        lines.push(format!("sampling    {}", serde_json::to_string(&header.sampling)?));
    }
    lines.push(format!("provenance  {}", serde_json::to_string(&header.provenance)?));
    lines.push(format!("\n{:<45} {:<5} shape", "tensor", "type"));
    lines.extend(
        header.tensors.iter().map(|tensor| format!("{:<45} {:<5} {:?}", tensor.name, tensor.dtype, tensor.shape)),
    );
    files::print(format!("{}\n", lines.join("\n")).as_bytes())
}
