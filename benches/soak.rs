//! An hour of everything at once, to see whether anything grows that shouldn't: the daemon as a process, a sandbox that
//! loses some replies, calls of two dialects, texts, contact edits on both sides, lookups, admin reads and reloads, at a
//! bounded rate. `daemon.keep` is five minutes of the hour, so that what comes and what goes are in balance soon.
//!
//! `make soak`; `TIELINE_SOAK_MINUTES` sets how long (60). Writes `soak.csv` into the folder that `TIELINE_SOAK_DIR` names
//! (`target/soak`), a sample every 10 s; `soak.py` draws it. Behind the warm-up the rest is cut into ten windows: memory,
//! descriptors and store size must each have all their windows' medians within 5 % of the median of all (descriptors: or three). Else it ends with 1.

#![allow(clippy::disallowed_methods, reason = "a bench measures time")]
#![allow(
    clippy::indexing_slicing,
    reason = "a serde_json::Value that is read answers null for what isn't there"
)]

#[path = "../tests/support/events.rs"]
#[allow(
    dead_code,
    clippy::unwrap_used,
    clippy::string_slice,
    reason = "it belongs to the tests, which may and which post more kinds"
)]
mod events;
#[allow(dead_code, reason = "it has clients of its own")]
mod load;
mod mixture;
#[allow(dead_code, reason = "nobody here has an e-mail")]
mod people;
mod process;
#[path = "soak_verdict.rs"]
mod verdict;

use mixture::Mixture;
use process::{Daemon, Fault};
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tieline::sandbox::{Fault as Lost, FaultKind, LimitOptions, Sandbox, SandboxOptions};
use verdict::Sample;

const MINUTES: u64 = 60;
/// Between two samples.
const SAMPLE_EVERY: Duration = Duration::from_secs(10);
/// `daemon.keep` is this part of the run: twelve rounds of everything that was taken.
const KEEPS: u32 = 12;
/// The chance of a request to the sandbox to go wrong, of each kind.
const LOST: f64 = 0.01;
/// What is in flight at the end is awaited so long.
const REST: Duration = Duration::from_secs(120);

fn main() -> Result<(), Fault> {
    let minutes = std::env::var("TIELINE_SOAK_MINUTES");
    let minutes: u64 = minutes.map_or(Ok(MINUTES), |minutes| minutes.parse())?;
    let out = std::env::var_os("TIELINE_SOAK_DIR").map(PathBuf::from);
    let out = out.unwrap_or_else(|| target().join("soak"));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let flat = runtime.block_on(soak(Duration::from_secs(minutes * 60), &out))?;
    if flat {
        Ok(())
    } else {
        Err("not flat: see above".into())
    }
}

fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| "target".into(), PathBuf::from)
}

async fn soak(length: Duration, out: &Path) -> Result<bool, Fault> {
    std::fs::create_dir_all(out)?;
    let dir = tempfile::tempdir_in(target())?;
    let sandbox = sandbox().await?;
    let keep = length / KEEPS;
    let daemon = Daemon::start(dir.path(), &settings(dir.path(), sandbox.url(), keep)?).await?;
    writeln!(
        std::io::stdout(),
        "{} min, daemon.keep {} s, samples in {}",
        length.as_secs() / 60,
        keep.as_secs(),
        out.display()
    )?;
    let mixture = Arc::new(Mixture::new(
        daemon.address,
        daemon.admin().clone(),
        daemon.pid(),
        sandbox.url(),
    )?);
    let load = Arc::clone(&mixture).run();
    let file = out.join("soak.csv");
    let samples = tokio::select! {
        fault = load => return Err(fault),
        samples = watch(&daemon, length, &file) => samples?,
    };
    at_rest(&daemon).await?;
    let told = verdict::tell(&samples, &mixture.counts(), &mut std::io::stdout())?;
    let once = logged_once(&sandbox, &daemon).await?;
    daemon.stop()?;
    Ok(told && once)
}

/// Takes a sample every ten seconds, and writes each at once: what a run that breaks off has seen is in the file.
async fn watch(daemon: &Daemon, length: Duration, file: &Path) -> Result<Vec<Sample>, Fault> {
    let mut file = File::create(file)?;
    writeln!(file, "{}", Sample::HEAD)?;
    let (began, mut samples) = (Instant::now(), Vec::new());
    let mut ticks = tokio::time::interval(SAMPLE_EVERY);
    while began.elapsed() < length {
        ticks.tick().await;
        let sample = Sample::take(daemon, began.elapsed()).await?;
        writeln!(file, "{sample}")?;
        samples.push(sample);
    }
    Ok(samples)
}

async fn at_rest(daemon: &Daemon) -> Result<(), Fault> {
    let began = Instant::now();
    loop {
        let status = verdict::status(daemon).await?;
        if status["events"]["in_flight"] == 0 && status["integrations"][0]["owed"] == 0 {
            return Ok(());
        }
        if began.elapsed() > REST {
            return Err(format!("still in flight: {}", status["events"]).into());
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Whatever was lost on the way: no call or text may stand in Kustomer twice, and nothing may be dead.
async fn logged_once(sandbox: &Sandbox, daemon: &Daemon) -> Result<bool, Fault> {
    let ids = |resources: Vec<serde_json::Value>| {
        let ids = resources.into_iter().map(|one| {
            let id = one["attributes"]["externalId"].as_str();
            id.unwrap_or_default().to_owned()
        });
        let mut ids: Vec<String> = ids.collect();
        let all = ids.len();
        ids.sort_unstable();
        ids.dedup();
        (all, all - ids.len())
    };
    let (conversations, notes) = (ids(sandbox.conversations()), ids(sandbox.notes()));
    let status = verdict::status(daemon).await?;
    let events = &status["events"];
    writeln!(
        std::io::stdout(),
        "{} conversations, {} twice; {} notes, {} twice; requests {}; events {events}",
        conversations.0,
        conversations.1,
        notes.0,
        notes.1,
        sandbox.requests().total
    )?;
    Ok(conversations.1 == 0 && notes.1 == 0 && events["dead"] == 0 && events["adds_up"] == true)
}

/// Everybody who calls, writes or is edited is a customer already, so that nobody is added for good.
async fn sandbox() -> Result<Sandbox, Fault> {
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
    for person in 0..mixture::PEOPLE {
        sandbox.seed_customer(serde_json::json!({
            "name": people::name(person),
            "phones": [{"type": "work", "phone": people::number(person)}],
        }))?;
    }
    for kind in [
        FaultKind::CommitThenClose,
        FaultKind::CloseBefore,
        FaultKind::CommitThenStatus { status: 502 },
        FaultKind::Cut,
    ] {
        sandbox.add_fault(Lost::on("/v1/", kind).probability(LOST));
    }
    Ok(sandbox)
}

fn settings(dir: &Path, kustomer: &str, keep: Duration) -> Result<String, Fault> {
    std::fs::write(dir.join("password"), mixture::PASSWORD)?;
    std::fs::write(dir.join("client"), mixture::CLIENT)?;
    let own = format!("keep = \"{}s\"\n", keep.as_secs());
    let lines = "retry = [\"1s\", \"2s\", \"5s\"]\nbulk_land_time = \"10s\"\n\
        [kustomer.texts]\nwindow = \"30s\"\n\
        [kustomer.contacts]\npoll = \"5s\"\nsearch_lag = \"1s\"\nmax_changes = { count = 500, percent = 50 }\n\
        [[pbx]]\nname = \"fs\"\ndialect = \"freeswitch\"\nextensions = [\"100-199\"]\n\
        auth = { kind = \"basic\", user = \"fs\", password_file = \"password\" }\n\
        [[client]]\nname = \"phones\"\ntoken_file = \"client\"\nmay = [\"lookup\", \"contacts:read\", \"contacts:write\"]\n";
    Ok(own + &process::settings(dir, load::TOKEN, kustomer, lines)?)
}
