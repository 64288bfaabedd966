//! `tieline sync now`: a run of the contact syncs at once, with a plan approved that the guard stopped.
#![expect(
    clippy::indexing_slicing,
    reason = "a serde_json::Value that is read answers null for what isn't there"
)]

use super::progress::{Progress, Work};
use super::{ConfigArgs, EXIT_PLANNED, ask, status};
use crate::settings::types::AdminAddress;
use clap::{Args, Subcommand};
use hyper::{Method, StatusCode};
use serde_json::{Value, json};
use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

/// Between two looks at how far it is.
const LOOK_EVERY: Duration = Duration::from_millis(500);

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
    let body = json!({"approve": approve});
    let answer = super::small_runtime()?.block_on(followed(&admin, &body))?;
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

/// Asks for a run and shows how far it is until it is through, however long that takes.
async fn followed(admin: &AdminAddress, body: &Value) -> anyhow::Result<Value> {
    let mut progress = Progress::new();
    let mut body = body.clone();
    loop {
        let run = ask::ask(admin, Method::POST, "/sync/now", Some(&body));
        let shown = show(admin, &mut progress);
        let answer = tokio::select! {
            answer = run => answer?,
            failed = shown => return Err(failed),
        };
        // At work for longer than an answer may take: what was approved is under way.
        if answer.status != StatusCode::SERVICE_UNAVAILABLE {
            return answer.ok();
        }
        if !at_work(admin, &mut progress).await? {
            return answer.ok();
        }
        body = json!({"approve": null});
    }
}

/// Shows how far the syncs are, without an end; what is wrong if they can't be asked.
async fn show(admin: &AdminAddress, progress: &mut Progress) -> anyhow::Error {
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        if let Err(wrong) = at_work(admin, progress).await {
            return wrong;
        }
    }
}

/// Whether a sync is at something that takes longer; shows how far it is.
async fn at_work(admin: &AdminAddress, progress: &mut Progress) -> anyhow::Result<bool> {
    let status = ask::ask(admin, Method::GET, "/status", None).await?.ok()?;
    let parts = status["integrations"].as_array().into_iter().flatten();
    let mut at_work = parts
        .map(|part| &part["contacts"])
        .filter(|sync| !sync["work"].is_null());
    let Some(sync) = at_work.next() else {
        return Ok(false);
    };
    let work = Work::of(sync);
    progress.show(work.done, work.total, &work);
    Ok(true)
}
