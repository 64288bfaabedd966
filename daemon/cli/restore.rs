//! `tieline restore`: a store made of a backup. The daemon must not run: its store is made anew.

use super::ConfigArgs;
use super::backup::{folder_of, told};
use super::erase;
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
        recovery::erasures::read(folder_of(&args.file))?;
        writeln!(out, "{}", told(&args.file, &checked))?;
        return Ok(ExitCode::SUCCESS);
    }
    let settings = args.config.load_to_ask()?;
    let restoring = recovery::restore(&mut file, folder_of(&args.file), &settings);
    let restored = super::small_runtime()?
        .block_on(restoring)
        .with_context(shown)?;
    let taken = restored
        .taken
        .map_or_else(String::new, |at| format!(", begun {at:.0}"));
    writeln!(
        out,
        "{} has the store of {}{taken}, {} lines.",
        restored.store.display(),
        shown(),
        restored.lines.records
    )?;
    if restored.erasures > 0 {
        writeln!(
            out,
            "{} numbers, e-mail addresses and customers were erased since it was taken. They are erased again:",
            restored.erasures
        )?;
        erase::tell("are gone", &restored.erased, out)?;
    }
    writeln!(
        out,
        "{} calls and texts that are owed, or that somebody may retry, are looked \
         for in Kustomer before they are logged.\nWhat was taken after the backup is not in it; what a phone system posts \
         again is logged once.\nStart the daemon now.",
        restored.doubted
    )?;
    Ok(ExitCode::SUCCESS)
}
