//! The command line: a file a command.

pub mod args;
mod evaluate;
mod export;
mod inspect;
mod manual;
mod prepare;
mod report;
mod resolve;
mod sample;
mod speed;
mod train;

use std::process::ExitCode;

use clap::Parser;

use self::args::{Cli, Command};
use crate::base::device;

/// Reads the command line, does what it says, and prints the error if there is one.
pub fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> anyhow::Result<()> {
    match cli.command {
        None => train::command(cli.train),
        Some(Command::Train(args)) => train::command(*args),
        Some(Command::Prepare(args)) => prepare::command(args),
        Some(Command::Sample(args)) => sample::command(args),
        Some(Command::Evaluate(args)) => evaluate::command(*args),
        Some(Command::Inspect(args)) => inspect::command(args),
        Some(Command::Speed(args)) => speed::command(args),
        Some(Command::Export(args)) => export::command(args),
        Some(Command::Completions { shell }) => manual::completions(shell),
        Some(Command::Man(args)) => manual::man(args),
        Some(Command::Report(args)) => report::command(args),
        Some(Command::Probe { device }) => device::probe_command(device),
    }
}
