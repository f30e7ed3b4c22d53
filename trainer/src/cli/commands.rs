//! All commands and their options.

use clap::{Arg, ArgAction, CommandFactory, Parser, Subcommand};

use super::args::TrainArgs;
use super::convert::ConvertArgs;
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
    /// Write weights in another precision, or bands that were trained apart into one file
    Convert(ConvertArgs),
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

/// What `--help` shows of commands with many options.
const MAIN_OPTIONS: [(&str, &str); 4] = [
    ("trainer", "data preset steps batch out resume time_limit device"),
    (
        "train",
        "data preset steps batch out resume time_limit device stage from learning_rate precision seed set config \
         print_config validation devices",
    ),
    ("prepare", "data validation layout labels max_images skip_unreadable size split_seed report"),
    (
        "evaluate",
        "weights data train_data samples samples_dir sampler steps class seed json out card run skip_unreadable device",
    ),
];

/// The parser of the command line. `--help` is as short as `-h`; `trainer help COMMAND` and the manual page say more.
pub fn parser() -> clap::Command {
    fn brief(command: clap::Command) -> clap::Command {
        let help = Arg::new("help").short('h').long("help").help("Print help").help_heading(None::<&str>);
        let mut command = command.disable_help_flag(true).arg(help.action(ArgAction::HelpShort));
        let name = command.get_name().to_owned();
        if let Some((_, shown)) = MAIN_OPTIONS.iter().find(|(of, _)| *of == name) {
            let is_shown =
                |arg: &Arg| ["help", "version"].into_iter().chain(shown.split(' ')).any(|id| arg.get_id() == id);
            let of = if name == "trainer" { "train" } else { &name };
            let every = if of == "train" { " Every setting: `trainer train --print-config`." } else { "" };
            command = command
                .mut_args(|arg| if is_shown(&arg) { arg } else { arg.hide_short_help(true) })
                .after_help(format!("All options: `trainer help {of}`.{every}"));
        }
        command.mut_subcommands(brief)
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
    fn help_fits_a_screen_and_says_where_there_is_more() {
        let help = |line: &str| {
            let shown = parser().try_get_matches_from(line.split(' ')).expect_err(line).to_string();
            (shown.lines().count(), shown)
        };
        for line in
            ["trainer --help", "trainer -h", "trainer train --help", "trainer sample --help", "trainer evaluate -h"]
        {
            let (lines, shown) = help(line);
            assert!(lines <= 45 && shown.lines().all(|line| line.chars().count() <= 100), "{lines} lines: {shown}");
        }
        let (_, short) = help("trainer train --help");
        assert!(short.contains("paper, quick, sharp") && short.contains("trainer help train"), "{short}");
        let (_, all) = help("trainer help train");
        for option in parser().find_subcommand("train").expect("a command").get_arguments() {
            let long = option.get_long().expect("an option");
            assert!(all.contains(&format!("--{long}")), "{long}: {all}");
        }
    }
}
