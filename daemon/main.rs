//! The `tieline` program: reads the command line, runs one subcommand, turns its outcome into an exit code.

use clap::Parser as _;
use std::process::ExitCode;
use tieline::cli::{self, Cli};

fn main() -> ExitCode {
    match cli::run(Cli::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("tieline: {error:#}");
            ExitCode::from(cli::exit_code_of(&error))
        }
    }
}
