//! `tieline erase`: one person forgotten before their time. The daemon must not run: its store is written anew.

use super::{ConfigArgs, EXIT_FAILED, Exit};
use crate::recovery::{self, Erased, Person};
use clap::Args;
use std::io::{self, BufRead as _, IsTerminal as _, Write};
use std::process::ExitCode;

#[derive(Debug, Args)]
pub struct EraseArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// A phone number in any writing, an e-mail address, or customer:ID with an id of Kustomer; with nothing whoever was
    /// erased already, and is in an older store that was put back by hand
    #[arg(value_name = "NUMBER|EMAIL|customer:ID")]
    who: Option<String>,
    /// Only say what would go
    #[arg(long)]
    dry_run: bool,
    /// Don't ask
    #[arg(long)]
    yes: bool,
}

pub fn run(args: &EraseArgs, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let settings = args.config.load_to_ask()?;
    let who = match &args.who {
        Some(who) => Person::parse(who, &settings.daemon.plan),
        None => Ok(Person::default()),
    };
    let who = who.map_err(|text| Exit {
        code: EXIT_FAILED,
        text,
    })?;
    let runtime = super::small_runtime()?;
    let would = runtime.block_on(recovery::erase(&settings, who.clone(), true))?;
    if args.dry_run {
        tell("would go", &would, out)?;
        return Ok(ExitCode::SUCCESS);
    }
    if !args.yes {
        tell("will go", &would, out)?;
        confirm(out)?;
    }
    let erased = runtime.block_on(recovery::erase(&settings, who, false))?;
    tell("are gone", &erased, out)?;
    writeln!(
        out,
        "In Kustomer they stay until they are erased there. Older backups have them: a restore of one erases them again. Take a \
         new one now, so that what says whom is beside them too."
    )?;
    Ok(ExitCode::SUCCESS)
}

pub(super) fn tell(what: &str, erased: &Erased, out: &mut dyn Write) -> io::Result<()> {
    let Erased {
        calls,
        events,
        unfinished,
        contacts,
        synced,
        also,
    } = erased;
    writeln!(
        out,
        "{calls} calls and texts with {events} events ({unfinished} of them not logged yet: they won't be), {contacts} contacts \
         of the phone book, {synced} records of the contact syncs {what}."
    )?;
    for other in also {
        writeln!(out, "They are found by {other} too: erase that by itself.")?;
    }
    Ok(())
}

fn confirm(out: &mut dyn Write) -> anyhow::Result<()> {
    let refused = |text: &str| Exit {
        code: EXIT_FAILED,
        text: text.to_owned(),
    };
    if !io::stdin().is_terminal() {
        return Err(refused("nobody is there to ask: with --yes it is done without").into());
    }
    write!(out, "This can't be undone. Go on? [y/N] ")?;
    out.flush()?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    if answer.trim().eq_ignore_ascii_case("y") {
        return Ok(());
    }
    Err(refused("nothing was erased").into())
}
