//! The contact sync with many customers: a first import into the built-in phone book by the daemon as a process of its
//! own, from a Kustomer that is one too (`crowd.rs`), then a run with nothing new, and the plan of everything. Before it a
//! smaller import from the sandbox, with budgets that are soon used up. `cargo bench --bench contacts`;
//! `TIELINE_BENCH_CONTACTS` sets how many customers (a million: half an hour and 12 GB).

#![allow(clippy::disallowed_methods, reason = "a bench measures time")]
#![allow(
    clippy::indexing_slicing,
    reason = "a serde_json::Value that is read answers null for what isn't there"
)]
#![allow(
    clippy::cast_possible_truncation,
    reason = "milliseconds of a year, in a bench"
)]
#![allow(
    clippy::cast_possible_wrap,
    reason = "numbers of customers, in a bench"
)]
#![allow(clippy::too_many_lines, reason = "one figure after the other")]

mod crowd;
mod people;
mod process;

use hyper::Method;
use jiff::{SignedDuration, Timestamp};
use process::{Daemon, Fault, LOOK_EVERY};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tieline::sandbox::{LimitOptions, Sandbox, SandboxOptions};

/// Rows on a page of search, at most (Kustomer: Pagination).
const PAGE_ROWS: u64 = 500;
/// Customers of the import that runs out of budget, and searches in each second of it.
const TIGHT_CUSTOMERS: u64 = 10_000;
const TIGHT_SEARCHES: u32 = 10;

fn main() -> Result<(), Fault> {
    let mut args = std::env::args().skip(1).filter(|arg| arg != "--bench");
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    match args.next().as_deref() {
        Some("crowd") => {
            let customers = args.next().ok_or("argument missing")?.parse()?;
            runtime.block_on(crowd::serve(customers))
        }
        _ => {
            let customers = std::env::var("TIELINE_BENCH_CONTACTS");
            let customers = customers.map_or(Ok(1_000_000), |count| count.parse())?;
            runtime.block_on(async {
                tight().await?;
                import(customers).await
            })
        }
    }
}

/// An import that the budgets hold up: the sandbox refuses what is more, and counts it.
async fn tight() -> Result<(), Fault> {
    let limits = LimitOptions {
        window: Duration::from_secs(1),
        searches: usize::try_from(TIGHT_SEARCHES)?,
        ..LimitOptions::default()
    };
    let sandbox = Sandbox::start(SandboxOptions {
        limits,
        ..SandboxOptions::empty()
    })
    .await?;
    let first = Timestamp::now() - SignedDuration::from_hours(24);
    for number in 0..TIGHT_CUSTOMERS {
        let at = first + Duration::from_millis(number);
        sandbox.seed_customer(json!({
            "name": people::name(number),
            "phones": [{"type": "work", "phone": people::number(number)}],
            "updatedAt": format!("{at:.3}"),
        }))?;
    }
    let dir = folder()?;
    let settings = settings(dir.path(), sandbox.url(), TIGHT_SEARCHES)?;
    let daemon = Daemon::start(dir.path(), &settings).await?;
    let began = Instant::now();
    imported(&daemon, TIGHT_CUSTOMERS).await?;
    let took = began.elapsed();
    let requests = sandbox.requests();
    writeln!(
        std::io::stdout(),
        "{TIGHT_CUSTOMERS} sandbox customers, {TIGHT_SEARCHES} searches a second allowed: {} requests in {:.1} s, {} at most in a second, {} too many",
        requests.total,
        took.as_secs_f64(),
        requests.most_within(Duration::from_secs(1)),
        requests.limited,
    )?;
    daemon.stop()
}

async fn import(customers: u64) -> Result<(), Fault> {
    let mut out = std::io::stdout();
    let dir = folder()?;
    let crowd = Crowd::start(customers)?;
    let settings = settings(dir.path(), &crowd.url, 100)?;
    let daemon = Daemon::start(dir.path(), &settings).await?;
    let idle = daemon.resident()?;
    let began = Instant::now();
    let read = imported(&daemon, customers).await?;
    let took = began.elapsed().as_secs_f64();
    let (counts, cpu) = (crowd.counts().await?, daemon.cpu_seconds()?);
    let searches = counts["searches"].as_u64().unwrap_or_default();
    let least = customers.div_ceil(PAGE_ROWS) + 1;
    let waited = counts["busy"].as_f64().unwrap_or_default();
    let more = (searches as f64 / least as f64 - 1.0) * 100.0;
    writeln!(out, "{customers} customers imported")?;
    line(&mut out, "searches", searches as f64, "")?;
    line(
        &mut out,
        "the least possible",
        least as f64,
        &format!("(+{more:.2} %)"),
    )?;
    line(
        &mut out,
        "other requests",
        counts["others"].as_f64().unwrap_or_default(),
        "",
    )?;
    line(&mut out, "read from Kustomer after s", read, "")?;
    line(&mut out, "in the phone book after s", took, "")?;
    line(
        &mut out,
        "of it not waiting for Kustomer s",
        took - waited,
        "",
    )?;
    line(&mut out, "processor s of the daemon", cpu, "")?;
    line(&mut out, "resident, idle MB", idle, "")?;
    line(
        &mut out,
        "resident, peak of the import MB",
        daemon.resident_peak()?,
        "",
    )?;
    line(&mut out, "store MB", store(&daemon).await?, "")?;

    for run in [
        "what was written is read back s",
        "a run with nothing new s",
    ] {
        line(&mut out, run, run_of(&daemon).await?, "")?;
    }
    for turn in ["the plan of everything s", "the same again s"] {
        let began = Instant::now();
        let plan = daemon.ask(Method::GET, "/sync/plan").await?;
        let counts = &plan["plans"][0]["counts"];
        line(
            &mut out,
            turn,
            began.elapsed().as_secs_f64(),
            &format!("{counts}"),
        )?;
    }
    daemon.stop()?;
    let daemon = Daemon::start(dir.path(), &settings).await?;
    line(
        &mut out,
        "start-up with that store ms",
        daemon.ready_after.as_secs_f64() * 1e3,
        "",
    )?;
    let began = Instant::now();
    daemon.ask(Method::GET, "/sync/plan").await?;
    line(
        &mut out,
        "its first plan of everything s",
        began.elapsed().as_secs_f64(),
        "",
    )?;
    line(
        &mut out,
        "resident, peak since MB",
        daemon.resident_peak()?,
        "",
    )?;
    daemon.stop()
}

/// One run of the sync, in seconds. Whoever asks is told to ask again when it takes long.
async fn run_of(daemon: &Daemon) -> Result<f64, Fault> {
    let began = Instant::now();
    loop {
        match daemon.ask(Method::POST, "/sync/now").await {
            Ok(_) => return Ok(began.elapsed().as_secs_f64()),
            Err(fault) if fault.to_string().contains("at work") => {}
            Err(fault) => return Err(fault),
        }
    }
}

fn line(out: &mut impl Write, what: &str, value: f64, more: &str) -> Result<(), Fault> {
    Ok(writeln!(out, "{what:<34} {value:>12.2}  {more}")?)
}

/// Waits until all customers are contacts; answers after how many seconds all were read.
async fn imported(daemon: &Daemon, customers: u64) -> Result<f64, Fault> {
    let (began, mut read) = (Instant::now(), None);
    loop {
        let status = daemon.status().await?;
        let sync = contacts_of(&status).ok_or("no contact sync in the status")?;
        if read.is_none() && sync["work"].is_null() && sync["customers"] == json!(customers) {
            read = Some(began.elapsed().as_secs_f64());
        }
        if !sync["fault"].is_null() || !sync["stopped"].is_null() {
            return Err(format!("the sync stopped: {sync}").into());
        }
        if sync["linked"] == json!(customers) && !sync["last_run"].is_null() {
            return Ok(read.unwrap_or_default());
        }
        tokio::time::sleep(LOOK_EVERY * 50).await;
    }
}

/// The one contact sync in a status.
fn contacts_of(status: &Value) -> Option<&Value> {
    match status {
        Value::Object(fields) => match fields.get("contacts") {
            Some(found) if found.get("linked").is_some() => Some(found),
            _ => fields.values().find_map(contacts_of),
        },
        Value::Array(items) => items.iter().find_map(contacts_of),
        _ => None,
    }
}

async fn store(daemon: &Daemon) -> Result<f64, Fault> {
    let bytes = daemon.status().await?["store"]["bytes"].as_f64();
    Ok(bytes.ok_or("no size of the store")? / 1e6)
}

fn folder() -> Result<tempfile::TempDir, Fault> {
    let target = std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
    Ok(tempfile::tempdir_in(target)?)
}

fn settings(dir: &Path, kustomer: &str, searches: u32) -> Result<String, Fault> {
    let lines =
        format!("searches_per_minute = {searches}\n[kustomer.contacts]\nsearch_lag = \"1s\"\n");
    process::settings(dir, "bench-token", kustomer, &lines)
}

/// `crowd.rs` in a process of its own: this program with an argument.
struct Crowd {
    child: Child,
    url: String,
}

impl Crowd {
    fn start(customers: u64) -> Result<Self, Fault> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(["crowd", &customers.to_string()])
            .stdout(Stdio::piped())
            .spawn()?;
        let mut url = String::new();
        BufReader::new(child.stdout.take().ok_or("no output")?).read_line(&mut url)?;
        let url = url.trim().to_owned();
        Ok(Self { child, url })
    }

    async fn counts(&self) -> Result<Value, Fault> {
        let client = reqwest::Client::builder().no_proxy().build()?;
        let answer = client.get(format!("{}/bench", self.url)).send().await?;
        Ok(answer.json().await?)
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
