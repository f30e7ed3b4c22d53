//! `trainer completions` and `trainer man`: completion scripts for shells, and manual pages.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::{Args, Command};
use clap_complete::Shell;
use clap_mangen::Man;

use crate::base::files;

/// Options of the manual page.
#[derive(Debug, Args)]
pub struct ManArgs {
    /// Write this page and the pages of all commands to a folder instead of printing this one
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}

/// The program's name, as it is installed.
const NAME: &str = "trainer";

/// `trainer completions SHELL`: prints a completion script for the shell.
pub fn completions(shell: Shell, command: &Command) -> Result<()> {
    files::print(&completion_script(shell, command))
}

/// `trainer man`: prints the manual page, or writes it and the pages of all commands.
pub fn man(args: ManArgs, command: &Command) -> Result<()> {
    let pages = pages(command)?;
    match args.out {
        None => pages.iter().find(|page| page.file == "trainer.1").map_or(Ok(()), |page| files::print(&page.roff)),
        Some(folder) => write_pages(&folder, &pages),
    }
}

fn write_pages(folder: &Path, pages: &[Page]) -> Result<()> {
    for page in pages {
        files::write_atomic(&folder.join(&page.file), &page.roff)?;
    }
    eprintln!("wrote {} pages to {}", pages.len(), folder.display());
    Ok(())
}

fn completion_script(shell: Shell, command: &Command) -> Vec<u8> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut visible(command), NAME, &mut script);
    script
}

struct Page {
    file: String,
    roff: Vec<u8>,
}

fn pages(command: &Command) -> Result<Vec<Page>> {
    let mut command = visible(command).name(NAME).disable_help_subcommand(true);
    command.build();
    let commands: Vec<Command> = std::iter::once(&command).chain(command.get_subcommands()).cloned().collect();
    commands
        .into_iter()
        .map(|command| {
            let man = Man::new(command).manual("Medical VDM");
            let file = man.get_filename();
            let mut roff = Vec::new();
            man.render(&mut roff).with_context(|| format!("cannot render the page {file}"))?;
            Ok(Page { file, roff })
        })
        .collect()
}

/// The command line without hidden commands and options, which the generators of completions would list.
fn visible(command: &Command) -> Command {
    let hidden: Vec<_> =
        command.get_arguments().filter(|arg| arg.is_hide_set()).map(|arg| arg.get_id().clone()).collect();
    let mut bare = Command::new(command.get_name().to_owned())
        .args(command.get_arguments().filter(|arg| !hidden.contains(arg.get_id())).cloned())
        .subcommands(command.get_subcommands().filter(|sub| !sub.is_hide_set()).map(visible))
        .args_conflicts_with_subcommands(command.is_args_conflicts_with_subcommands_set())
        .arg_required_else_help(command.is_arg_required_else_help_set())
        .subcommand_required(command.is_subcommand_required_set());
    if let Some(about) = command.get_about() {
        bare = bare.about(about.clone());
    }
    if let Some(about) = command.get_long_about() {
        bare = bare.long_about(about.clone());
    }
    if let Some(version) = command.get_version() {
        bare = bare.version(version.to_owned());
    }
    bare
}

#[cfg(test)]
mod tests {
    use std::process::{Command as Process, Stdio};

    use clap::{CommandFactory, ValueEnum};

    use super::*;
    use crate::cli::commands::Cli;

    /// Runs a checker on a file's bytes; none if it is not installed here.
    fn check(program: &str, arguments: &[&str], bytes: &[u8]) -> Option<std::process::Output> {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), bytes).expect("written");
        let output = Process::new(program).args(arguments).arg(file.path()).stdin(Stdio::null()).output();
        match output {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            output => Some(output.expect("the checker runs")),
        }
    }

    #[test]
    fn every_shell_learns_the_visible_commands_and_options() {
        for shell in Shell::value_variants() {
            let script = String::from_utf8(completion_script(*shell, &Cli::command())).expect("text");
            for word in ["sample", "evaluate", "export", "draw-pixels", "max-images"] {
                assert!(script.contains(word), "{shell} does not know {word}");
            }
            for word in ["probe", "reference-file"] {
                assert!(!script.contains(word), "{shell} shows {word}, which is hidden");
            }
        }
    }

    #[test]
    fn the_scripts_parse() {
        for (shell, program) in [(Shell::Bash, "bash"), (Shell::Zsh, "zsh"), (Shell::Fish, "fish")] {
            if let Some(output) = check(program, &["-n"], &completion_script(shell, &Cli::command())) {
                assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
            }
        }
    }

    #[test]
    fn there_is_a_page_for_each_visible_command_and_it_renders_without_a_warning() {
        let pages = pages(&Cli::command()).expect("pages");
        let files: Vec<_> = pages.iter().map(|page| page.file.as_str()).collect();
        for file in ["trainer.1", "trainer-train.1", "trainer-sample.1", "trainer-export.1"] {
            assert!(files.contains(&file), "{files:?}");
        }
        assert!(!files.contains(&"trainer-probe.1"));
        for page in &pages {
            let text = String::from_utf8_lossy(&page.roff);
            assert!(text.contains(".TH trainer") && !text.contains("probe"), "{}", page.file);
            if let Some(output) = check("groff", &["-man", "-Tutf8", "-P-c", "-P-bou", "-ww", "-Kutf8"], &page.roff) {
                let said = String::from_utf8_lossy(&output.stderr);
                assert!(output.status.success() && said.is_empty(), "{}: {said}", page.file);
                let shown = String::from_utf8_lossy(&output.stdout);
                assert!(shown.contains("SYNOPSIS") && shown.contains("--help"), "{}: {shown}", page.file);
            }
        }
    }
}
