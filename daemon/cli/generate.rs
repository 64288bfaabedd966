//! `generate`: manual pages and shell completions, made of the command line's own definition, so that they can't differ from it.
//! For `make install` and packages; `--help` doesn't list it.

use clap::{Args, Command, CommandFactory as _, Subcommand};
use clap_complete::Shell;
use clap_mangen::Man;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::Cli;

#[derive(Debug, Args)]
pub struct GenerateArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Write the manual pages into a folder: tieline.1, and one for each subcommand
    Man {
        /// An existing folder
        dir: PathBuf,
    },
    /// Print the completions for a shell
    Completions {
        /// Which one
        shell: Shell,
    },
}

pub fn run(args: &GenerateArgs, out: &mut impl Write) -> anyhow::Result<ExitCode> {
    let mut command = Cli::command();
    // Fills in the subcommands' names with those of their parents.
    command.build();
    match &args.what {
        What::Man { dir } => pages(&command, dir)?,
        What::Completions { shell } => {
            clap_complete::generate(*shell, &mut command, "tieline", out);
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The page of this command, and those of its subcommands.
fn pages(command: &Command, dir: &Path) -> io::Result<()> {
    let shown = |command: &&Command| !command.is_hide_set() && command.get_name() != "help";
    for subcommand in command.get_subcommands().filter(shown) {
        pages(subcommand, dir)?;
    }
    let name = command.get_display_name().unwrap_or(command.get_name());
    let page = Man::new(command.clone())
        .title(name)
        .source(concat!("tieline ", env!("CARGO_PKG_VERSION")))
        .manual("tieline");
    page.render(&mut File::create(dir.join(format!("{name}.1")))?)
}
