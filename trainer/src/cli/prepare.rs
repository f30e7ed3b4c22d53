//! `trainer prepare`: reads and prepares images without training, and reports problems.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Result, ensure};
use clap::Args;

use crate::base::interrupt::Interrupt;
use crate::data::{self, DataArgs, SourceSettings};

/// Options of preparing.
#[derive(Debug, Args)]
pub struct PrepareArgs {
    /// The images.
    #[command(flatten)]
    pub data: DataArgs,
    /// Side of the prepared images in pixels; quick trains on 64
    #[arg(long, value_name = "PIXELS", default_value_t = 256)]
    pub size: usize,
    /// Seed of the split by patient, which training takes as data.split_seed
    #[arg(long, value_name = "SEED", default_value_t = 0)]
    pub split_seed: u64,
    /// A .csv file for all problems found
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
}

/// `trainer prepare`.
pub fn command(args: PrepareArgs) -> Result<()> {
    ensure!((2..=4096).contains(&args.size), "--size is {}: 2 to 4096 is accepted", args.size);
    let mut settings = SourceSettings { split_seed: Some(args.split_seed), ..SourceSettings::default() };
    args.data.apply(&mut settings);
    settings.validate()?;
    ensure!(settings.path.is_some(), "--data is missing: a folder, ChestX-ray14 or a .csv manifest is accepted");
    let started = Instant::now();
    let loaded = data::load(&settings, args.split_seed, args.size, args.size, &Interrupt::default())?;
    let images = loaded.train.len() + loaded.validation.len();
    let seconds = started.elapsed().as_secs_f64();
    println!("{images} images of {0}×{0} are ready, in {seconds:.1} s", args.size);
    for attribute in &loaded.attributes {
        println!("{}: {}", attribute.name, attribute.values.join(", "));
    }
    println!("{} problems", loaded.problems.all.len());
    if let Some(path) = &args.report {
        loaded.problems.write(path)?;
        println!("wrote {}", path.display());
    }
    Ok(())
}
