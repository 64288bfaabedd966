//! `tieline dead`: what could not be read (events) or logged (deliveries), and what to do about it.
#![expect(
    clippy::indexing_slicing,
    reason = "a serde_json::Value that is read answers null for what isn't there"
)]

use super::{ConfigArgs, ask, table};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use std::io::Write;
use std::process::ExitCode;

#[derive(Debug, Args)]
pub struct DeadArgs {
    #[command(flatten)]
    config: ConfigArgs,
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List dead events and deliveries with their reasons
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Show one whole: the raw event as it came, or the delivery with Kustomer's reply
    Show { id: String },
    /// Try again: an event is read anew, a delivery starts a fresh retry schedule
    Retry { ids: Vec<String> },
    /// Give an event up for good; it stays counted, as erased
    Drop { ids: Vec<String> },
}

pub fn run(args: &DeadArgs, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let admin = args.config.load_to_ask()?.daemon.admin;
    match &args.action {
        Action::List { json } => {
            let answer = ask::get(&admin, "/dead")?.ok()?;
            if *json {
                writeln!(out, "{answer}")?;
            } else {
                list(&answer, out)?;
            }
        }
        Action::Show { id } => {
            let answer = ask::get(&admin, &format!("/dead/{}", ask::segment(id)))?.ok()?;
            writeln!(out, "{}", serde_json::to_string_pretty(&answer)?)?;
        }
        Action::Retry { ids } => {
            let answer = ask::post(&admin, "/dead/retry", &json!({ "ids": ids }))?.ok()?;
            writeln!(out, "{} tried again", answer["retried"])?;
        }
        Action::Drop { ids } => {
            let answer = ask::post(&admin, "/dead/drop", &json!({ "ids": ids }))?.ok()?;
            writeln!(out, "{} dropped", answer["dropped"])?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn list(answer: &Value, out: &mut dyn Write) -> std::io::Result<()> {
    let text = |row: &Value, key: &str| row[key].as_str().unwrap_or("-").to_owned();
    let rows: Vec<Vec<String>> = answer["dead"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|row| {
            vec![
                text(row, "id"),
                text(row, "from"),
                text(row, "since"),
                text(row, "why"),
            ]
        })
        .collect();
    if rows.is_empty() {
        return writeln!(out, "nothing is dead");
    }
    table::write(out, &["id", "from", "since", "why"], &rows)?;
    writeln!(
        out,
        "\n`tieline dead show ID` shows one whole, `tieline dead retry ID` tries it again."
    )
}
