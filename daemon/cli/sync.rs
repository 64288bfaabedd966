//! `tieline sync now`: a run of the contact syncs at once, with a plan approved that the guard stopped.
#![expect(
    clippy::indexing_slicing,
    reason = "a serde_json::Value that is read answers null for what isn't there"
)]

use super::{ConfigArgs, EXIT_PLANNED, ask, status};
use clap::{Args, Subcommand};
use serde_json::json;
use std::io::Write;
use std::process::ExitCode;

#[derive(Debug, Args)]
pub struct SyncArgs {
    #[command(flatten)]
    config: ConfigArgs,
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Read both sides and bring them together now
    Now {
        /// The plan that may be carried out though the guard stopped it, as `tieline plan` names it
        #[arg(long, value_name = "PLAN")]
        approve: Option<String>,
    },
}

/// Exit code 3 if a plan waits for approval, 1 if a sync can't go on.
pub fn run(args: &SyncArgs, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let admin = args.config.load_to_ask()?.daemon.admin;
    let Action::Now { approve } = &args.action;
    let answer = ask::post(&admin, "/sync/now", &json!({"approve": approve}))?.ok()?;
    let (mut waits, mut fails) = (false, false);
    for sync in answer["syncs"].as_array().into_iter().flatten() {
        status::contacts(sync, out)?;
        waits |= !sync["stopped"].is_null();
        fails |= !sync["fault"].is_null();
    }
    Ok(if fails {
        ExitCode::FAILURE
    } else if waits {
        ExitCode::from(EXIT_PLANNED)
    } else {
        ExitCode::SUCCESS
    })
}
