//! `tieline restore`: a store made of a backup. The daemon must not run: its store is made anew.

use super::ConfigArgs;
use super::backup::told;
use crate::recovery;
use anyhow::Context as _;
use clap::Args;
use std::fs::File;
use std::io::{BufReader, Write};
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Debug, Args)]
pub struct RestoreArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// What `tieline backup` wrote
    file: PathBuf,
    /// Only say whether the file is whole and this tieline can read all of it
    #[arg(long)]
    dry_run: bool,
}

pub fn run(args: &RestoreArgs, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let shown = || args.file.display().to_string();
    let mut file = File::open(&args.file).with_context(shown)?;
    if args.dry_run {
        let checked = recovery::check(BufReader::new(file)).with_context(shown)?;
        writeln!(out, "{}", told(&args.file, &checked))?;
        return Ok(ExitCode::SUCCESS);
    }
    let state_dir = args.config.load_to_ask()?.daemon.state_dir;
    let restoring = recovery::restore(&mut file, &state_dir);
    let restored = super::small_runtime()?
        .block_on(restoring)
        .with_context(shown)?;
    let taken = restored
        .taken
        .map_or_else(String::new, |at| format!(", begun {at:.0}"));
    writeln!(
        out,
        "{} has the store of {}{taken}, {} lines.\n{} calls and texts that are owed, or that somebody may retry, are looked \
         for in Kustomer before they are logged.\nWhat was taken after the backup is not in it; what a phone system posts \
         again is logged once.\nStart the daemon now.",
        restored.store.display(),
        shown(),
        restored.lines.records,
        restored.doubted
    )?;
    Ok(ExitCode::SUCCESS)
}
