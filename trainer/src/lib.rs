//! Trains, samples and evaluates the variational diffusion model natively: `trainer --help`.

#[doc(hidden)]
pub mod bench;
mod card;
mod checkpoint;
mod cli;
mod data;
mod device;
mod dicom_out;
mod environment;
mod evaluate;
mod export;
mod figures;
mod files;
mod inspect;
mod log;
mod manual;
mod measures;
mod prepare;
mod progress;
mod report;
mod run_data;
mod run_folder;
mod sample;
mod settings;
mod speed;
mod tensorboard;
mod train;
mod view;

use std::process::ExitCode;

use clap::Parser;

/// The program: reads the command line, does what it says, and prints the error if there is one.
pub fn main() -> ExitCode {
    match run(cli::Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: cli::Cli) -> anyhow::Result<()> {
    match cli.command {
        None => train::command(cli.train),
        Some(cli::Command::Train(args)) => train::command(*args),
        Some(cli::Command::Prepare(args)) => prepare::command(args),
        Some(cli::Command::Sample(args)) => sample::command(args),
        Some(cli::Command::Evaluate(args)) => evaluate::command(*args),
        Some(cli::Command::Inspect(args)) => inspect::command(args),
        Some(cli::Command::Speed(args)) => speed::command(args),
        Some(cli::Command::Export(args)) => export::command(args),
        Some(cli::Command::Completions { shell }) => manual::completions(shell),
        Some(cli::Command::Man(args)) => manual::man(args),
        Some(cli::Command::Report(args)) => report::command(args),
        Some(cli::Command::Probe { device }) => device::probe_command(device),
    }
}
