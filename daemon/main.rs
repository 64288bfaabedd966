//! The `tieline` program: reads the command line, runs one subcommand, turns its outcome into an exit code.

use clap::Parser as _;
use std::io::Write as _;
use std::process::ExitCode;
use tieline::cli::{self, Cli};

fn main() -> ExitCode {
    match cli::run(Cli::parse()) {
        Ok(code) => code,
        Err(error) => {
            // Nobody to tell when stderr is gone; the exit code still says it.
            let _ = writeln!(std::io::stderr(), "tieline: {error:#}");
            ExitCode::from(cli::exit_code_of(&error))
        }
    }
}
