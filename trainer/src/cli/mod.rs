//! The command line, with one file for each command.

mod args;
mod commands;
mod convert;
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

use std::ffi::OsString;
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{CommandFactory, FromArgMatches};

use self::commands::{Cli, Command, parser};
use crate::base::device;

/// Runs the command line, and prints the error if there is one.
pub fn main() -> ExitCode {
    let words: Vec<OsString> = std::env::args_os().map(args::usual).collect();
    let cli = match parser().try_get_matches_from(&words).and_then(|matches| Cli::from_arg_matches(&matches)) {
        Ok(cli) => cli,
        Err(error) => {
            if let Some((flag, instead)) = meant(&error, &words) {
                eprintln!("error: {flag} is not an option: {instead}");
                return ExitCode::from(2);
            }
            error.exit()
        }
    };
    match run(cli) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// An unknown option of training, and what to do instead.
fn meant<'a>(error: &'a clap::Error, words: &[OsString]) -> Option<(&'a String, String)> {
    let first = words.get(1).map(|word| word.to_string_lossy());
    let trains = first.is_some_and(|first| first == "train" || first.starts_with('-'));
    match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(flag)) if trains && error.kind() == ErrorKind::UnknownArgument => {
            Some((flag, args::instead(flag)?))
        }
        _ => None,
    }
}

fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    let done = match cli.command {
        None => return train::command(cli.train),
        Some(Command::Train(args)) => return train::command(*args),
        Some(Command::Prepare(args)) => prepare::command(args),
        Some(Command::Sample(args)) => sample::command(args),
        Some(Command::Evaluate(args)) => evaluate::command(*args),
        Some(Command::Inspect(args)) => inspect::command(args),
        Some(Command::Speed(args)) => speed::command(args),
        Some(Command::Export(args)) => export::command(args),
        Some(Command::Convert(args)) => convert::command(args),
        Some(Command::Completions { shell }) => manual::completions(shell, &Cli::command()),
        Some(Command::Man(args)) => manual::man(args, &Cli::command()),
        Some(Command::Report(args)) => report::command(args),
        Some(Command::Probe { device }) => device::probe_command(device),
    };
    done.map(|()| ExitCode::SUCCESS)
}
