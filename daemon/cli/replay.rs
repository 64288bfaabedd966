//! `tieline replay`: takes ended events up again. A call that was logged is never logged anew.
#![expect(
    clippy::indexing_slicing,
    reason = "a serde_json::Value that is read answers null for what isn't there"
)]

use super::{ConfigArgs, ask};
use clap::Args;
use serde_json::json;
use std::io::Write;
use std::process::ExitCode;

#[derive(Debug, Args)]
pub struct ReplayArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Event ids or call keys (`hq:a1`) to take up again
    #[arg(value_name = "EVENT|CALL", required_unless_present_any = ["dead", "filtered"])]
    what: Vec<String>,
    /// Every event that could not be read or logged
    #[arg(long)]
    dead: bool,
    /// Every event that a rule filtered out
    #[arg(long)]
    filtered: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub fn run(args: &ReplayArgs, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let settings = args.config.load_to_ask()?;
    let body = json!({ "what": args.what, "dead": args.dead, "filtered": args.filtered });
    let answer = ask::post(&settings.daemon.admin, "/replay", &body)?.ok()?;
    if args.json {
        writeln!(out, "{answer}")?;
    } else {
        writeln!(
            out,
            "{} events taken up again; see `tieline status`",
            answer["replayed"]
        )?;
    }
    Ok(ExitCode::SUCCESS)
}
