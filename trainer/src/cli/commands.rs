//! All commands and their options.

use clap::{Arg, ArgAction, CommandFactory, Parser, Subcommand};

use super::args::TrainArgs;
use super::evaluate::EvaluateArgs;
use super::export::ExportArgs;
use super::inspect::InspectArgs;
use super::manual::ManArgs;
use super::prepare::PrepareArgs;
use super::report::ReportArgs;
use super::sample::SampleArgs;
use super::speed::SpeedArgs;
use crate::base::device::Probed;

/// Trains, samples and evaluates a variational diffusion model of chest X-rays. Without a subcommand it trains.
/// Synthetic X-rays are never for diagnosis.
#[derive(Debug, Parser)]
#[command(version, args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct Cli {
    /// The subcommand.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Options of training.
    #[command(flatten)]
    pub train: TrainArgs,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Train a model (the default)
    Train(Box<TrainArgs>),
    /// Read and prepare images, and report problems; training does this by itself
    Prepare(PrepareArgs),
    /// Draw synthetic X-rays from a weights file
    Sample(SampleArgs),
    /// Compare a weights file, or a folder of samples, with real images
    Evaluate(Box<EvaluateArgs>),
    /// Print what a weights file holds
    Inspect(InspectArgs),
    /// Measure how long a model takes, and compare it with a plain matrix product
    Speed(SpeedArgs),
    /// Write a model as ONNX files, with its noise schedule as JSON
    Export(ExportArgs),
    /// Print a completion script for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print the manual page
    Man(ManArgs),
    /// Write a report of a run as one HTML file, report.html in its folder
    Report(ReportArgs),
    #[command(hide = true)]
    Probe { device: Probed },
}

/// The parser of the command line. `--help` is as short as `-h`; the manual page says more.
pub fn parser() -> clap::Command {
    fn brief(command: clap::Command) -> clap::Command {
        let help = Arg::new("help").short('h').long("help").help("Print help").help_heading(None::<&str>);
        command.disable_help_flag(true).arg(help.action(ArgAction::HelpShort)).mut_subcommands(brief)
    }
    brief(Cli::command())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        parser().debug_assert();
    }

    #[test]
    fn help_fits_a_screen_and_a_half() {
        let mut parser = parser();
        let train = parser.find_subcommand_mut("train").expect("a command");
        let help = train.render_help().to_string();
        assert!(help.lines().count() <= 85 && help.contains("paper, quick, sharp"), "{help}");
        for (flag, action) in [("-h", "short"), ("--help", "long")] {
            let shown = super::parser().try_get_matches_from(["trainer", "train", flag]).expect_err(action).to_string();
            assert_eq!(shown.lines().count(), help.lines().count(), "{flag}: {shown}");
        }
    }
}
