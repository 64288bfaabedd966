//! The whole daemon as a process: memory idle and after many events, start-up with that store, and the time from a call's
//! event to its note in Kustomer. `cargo bench --bench daemon`; `TIELINE_BENCH_EVENTS` sets how many events (1,000,000).

#![allow(clippy::disallowed_methods, reason = "a bench measures time")]
#![allow(
    clippy::indexing_slicing,
    reason = "a serde_json::Value that is read answers null for what isn't there"
)]
#![allow(clippy::too_many_lines, reason = "one figure after the other")]

#[path = "load.rs"]
mod load;
#[path = "process.rs"]
mod process;

use load::{Poster, TOKEN, body};
use process::{Daemon, Fault, LOOK_EVERY};
use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};
use tieline::sandbox::{LimitOptions, Sandbox, SandboxOptions};

/// Calls timed from event to note.
const CALLS: usize = 500;
/// Connections that fill the store.
const CONNECTIONS: u64 = 64;

fn main() -> Result<(), Fault> {
    let events =
        std::env::var("TIELINE_BENCH_EVENTS").map_or(Ok(1_000_000), |count| count.parse())?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(measure(events))
}

async fn measure(events: u64) -> Result<(), Fault> {
    let mut out = std::io::stdout();
    let target = std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
    let dir = tempfile::tempdir_in(target)?;
    let limits = LimitOptions {
        requests: usize::MAX,
        searches: usize::MAX,
        creations_per_customer: usize::MAX,
        ..LimitOptions::default()
    };
    let sandbox = Sandbox::start(SandboxOptions {
        limits,
        ..SandboxOptions::empty()
    })
    .await?;
    sandbox.seed_customer(serde_json::json!({"name": "Max", "phones": [{"type": "mobile", "phone": "+491711234567"}]}))?;

    let daemon = Daemon::start(dir.path(), &settings(dir.path(), sandbox.url(), true)?).await?;
    writeln!(
        out,
        "start-up, empty store         {:>9.0} ms",
        daemon.ready_after.as_secs_f64() * 1e3
    )?;
    writeln!(
        out,
        "resident, idle                {:>9.1} MB",
        daemon.resident()?
    )?;
    let took = event_to_note(&daemon, &sandbox).await?;
    let at = |percent: usize| {
        took.get(took.len() * percent / 100)
            .map_or(0.0, |took| took.as_secs_f64() * 1e3)
    };
    writeln!(
        out,
        "event to note, p50            {:>9.1} ms  ({CALLS} calls one after the other, no settle time)",
        at(50)
    )?;
    writeln!(out, "event to note, p99            {:>9.1} ms", at(99))?;
    writeln!(
        out,
        "resident, after those         {:>9.1} MB",
        daemon.resident()?
    )?;
    daemon.stop()?;

    let daemon = Daemon::start(dir.path(), &settings(dir.path(), sandbox.url(), false)?).await?;
    let began = Instant::now();
    fill(daemon.address, events).await?;
    let posted = began.elapsed();
    while daemon.status().await?["events"]["in_flight"] != 0 {
        tokio::time::sleep(LOOK_EVERY * 10).await;
    }
    let done = began.elapsed();
    let rate = |time: Duration| events as f64 / time.as_secs_f64();
    writeln!(
        out,
        "{events} events taken     {:>9.0} /s  ({CONNECTIONS} connections, decided meanwhile)",
        rate(posted)
    )?;
    writeln!(
        out,
        "{events} events decided   {:>9.0} /s  (filtered: the integration is inactive)",
        rate(done)
    )?;
    writeln!(
        out,
        "resident, after those         {:>9.1} MB",
        daemon.resident()?
    )?;
    let store = daemon.status().await?["store"]["bytes"]
        .as_f64()
        .unwrap_or_default();
    writeln!(out, "store                         {:>9.1} MB", store / 1e6)?;
    daemon.stop()?;

    let daemon = Daemon::start(dir.path(), &settings(dir.path(), sandbox.url(), false)?).await?;
    writeln!(
        out,
        "start-up with that store      {:>9.0} ms",
        daemon.ready_after.as_secs_f64() * 1e3
    )?;
    writeln!(
        out,
        "resident, started with it     {:>9.1} MB",
        daemon.resident()?
    )?;
    daemon.stop()?;
    Ok(())
}

/// From a call event's last byte to its note being in the sandbox.
async fn event_to_note(daemon: &Daemon, sandbox: &Sandbox) -> Result<Vec<Duration>, Fault> {
    let mut poster = Poster::connect(daemon.address).await?;
    let mut took = Vec::new();
    for number in 0..CALLS {
        let sent = poster.post(&body(0, u64::try_from(number)?)).await?;
        sandbox.wait_until(|counts| counts.notes > number).await;
        took.push(sent.elapsed());
    }
    took.sort_unstable();
    Ok(took)
}

async fn fill(address: SocketAddr, events: u64) -> Result<(), Fault> {
    let next = Arc::new(AtomicU64::new(0));
    let mut tasks = Vec::new();
    for _ in 0..CONNECTIONS {
        let next = Arc::clone(&next);
        tasks.push(tokio::spawn(async move {
            let mut poster = Poster::connect(address).await?;
            loop {
                let number = next.fetch_add(1, Relaxed);
                if number >= events {
                    return Ok::<(), Fault>(());
                }
                poster.post(&body(1, number)).await?;
            }
        }));
    }
    for task in tasks {
        task.await??;
    }
    Ok(())
}

fn settings(dir: &Path, kustomer: &str, active: bool) -> Result<String, Fault> {
    process::settings(dir, TOKEN, kustomer, &format!("active = {active}"))
}
