//! `tieline lookup`: how a number is read and whose it is.
#![expect(
    clippy::indexing_slicing,
    reason = "a serde_json::Value that is read answers null for what isn't there"
)]

use super::{ConfigArgs, ask};
use clap::Args;
use std::io::Write;
use std::process::ExitCode;

#[derive(Debug, Args)]
pub struct LookupArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// The number, as anybody would write it
    number: String,
    /// Ask Kustomer, not only what the daemon remembers
    #[arg(long)]
    online: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub fn run(args: &LookupArgs, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let settings = args.config.load_to_ask()?;
    let path = format!(
        "/lookup?of={}&online={}",
        ask::segment(&args.number),
        args.online
    );
    let answer = ask::get(&settings.daemon.admin, &path)?.ok()?;
    if args.json {
        writeln!(out, "{}", serde_json::to_string_pretty(&answer)?)?;
        return Ok(ExitCode::SUCCESS);
    }
    let word = |key: &str| answer[key].as_str().unwrap_or("-");
    writeln!(
        out,
        "{} is {}: {}",
        word("written"),
        word("is"),
        word("number")
    )?;
    for row in answer["customers"].as_array().into_iter().flatten() {
        let integration = row["integration"].as_str().unwrap_or("-");
        let from = row["from"].as_str().unwrap_or("-");
        match (row["customer"].as_str(), row["fault"].as_str()) {
            (Some(customer), _) => {
                writeln!(out, "{integration}: customer {customer} (from {from})")?;
            }
            (None, Some(fault)) => writeln!(out, "{integration}: {fault}")?,
            (None, None) => writeln!(out, "{integration}: nobody known (from {from})")?,
        }
    }
    Ok(ExitCode::SUCCESS)
}
