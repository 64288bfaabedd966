//! A day's outage: 50,000 calls wait for Kustomer, and it comes back. How many requests a call costs, how long all of them
//! take, and how long a new call waits that ends meanwhile, from its event's last byte to its note being in the sandbox.
//! Once with a budget that is no hindrance, to the end; once with the default of 500 requests a minute, for some minutes
//! of real time. `cargo bench --bench backlog`; `TIELINE_BENCH_BACKLOG` sets how many calls (50,000).

#![allow(clippy::disallowed_methods, reason = "a bench measures time")]
#![allow(
    clippy::indexing_slicing,
    reason = "a serde_json::Value that is read answers null for what isn't there"
)]

#[allow(dead_code, reason = "the other benches post one body")]
mod load;
#[allow(dead_code, reason = "nobody here has an e-mail")]
mod people;
#[allow(dead_code, reason = "the other benches' settings have no budget")]
mod process;

use load::{Poster, TOKEN};
use process::{Daemon, Fault};
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};
use tieline::sandbox::{LimitOptions, SANDBOX_KEY, Sandbox, SandboxOptions};

const CALLS: u64 = 50_000;
/// Who called: some of them often.
const CALLERS: u64 = 5_000;
/// Connections that post the backlog.
const CONNECTIONS: u64 = 64;
/// Between two new calls while it drains.
const NEW_EVERY: Duration = Duration::from_millis(500);
/// A bulk job is done so much later; Kustomer doesn't say.
const BULK_DELAY: Duration = Duration::from_secs(2);
/// The default budget is watched so long: some of its windows.
const WATCHED: Duration = Duration::from_secs(4 * 60);
/// `requests_per_minute` unless set.
const DEFAULT_BUDGET: f64 = 500.0;
/// A new call's note must stand within this.
const NEW_MAX: Duration = Duration::from_secs(5);
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// One outage: how the daemon's budget is set, what the sandbox allows, and how long it is watched.
struct Case {
    name: &'static str,
    budget: &'static str,
    limits: LimitOptions,
    watched: Duration,
}

fn main() -> Result<(), Fault> {
    let calls = std::env::var("TIELINE_BENCH_BACKLOG");
    let calls = calls.map_or(Ok(CALLS), |calls| calls.parse())?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let generous = LimitOptions {
        requests: usize::MAX,
        searches: usize::MAX,
        creations_per_customer: usize::MAX,
        ..LimitOptions::default()
    };
    let cases = [
        Case {
            name: "no hindrance",
            budget: "requests_per_minute = 1000\nbudget_window = \"1s\"",
            limits: generous,
            watched: Duration::MAX,
        },
        Case {
            name: "500 a minute",
            budget: "",
            limits: LimitOptions::default(),
            watched: WATCHED,
        },
    ];
    let mut in_time = true;
    for case in cases {
        in_time &= runtime.block_on(outage(&case, calls))?;
    }
    if in_time {
        Ok(())
    } else {
        Err("a new call waited too long".into())
    }
}

async fn outage(case: &Case, calls: u64) -> Result<bool, Fault> {
    let mut out = std::io::stdout();
    let target = std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
    let dir = tempfile::tempdir_in(target)?;
    // Nobody is there until it is over.
    let kustomer = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let settings = settings(dir.path(), &format!("http://{kustomer}"), case.budget)?;
    let daemon = Daemon::start(dir.path(), &settings).await?;
    let began = Instant::now();
    post_all(&daemon, calls).await?;
    while daemon.status().await?["integrations"][0]["owed"] != calls {
        tokio::time::sleep(LOOK_EVERY).await;
    }
    writeln!(out, "\nbudget: {}", case.name)?;
    let waiting = began.elapsed().as_secs_f64();
    line(&mut out, "calls that wait", calls as f64, "")?;
    line(&mut out, "taken and decided after s", waiting, "")?;
    line(&mut out, "resident MB", daemon.resident()?, "")?;
    let customers = (0..CALLERS).map(|caller| {
        let phone = people::number(caller);
        serde_json::json!({"name": people::name(caller), "phones": [{"type": "mobile", "phone": phone}]})
    });
    let sandbox = Sandbox::start(SandboxOptions {
        listen: kustomer.to_string(),
        limits: case.limits,
        bulk_delay: BULK_DELAY,
        customers: customers.collect(),
        ..SandboxOptions::empty()
    })
    .await?;
    // The daemon probes every 15 s.
    sandbox.wait_until(|counts| counts.notes > 0).await;
    let (began, mut took) = (Instant::now(), Vec::new());
    let mut poster = Poster::connect(daemon.address).await?;
    let mut ticks = tokio::time::interval(NEW_EVERY);
    let mut new = 0;
    // To the end, or as long as it is watched; the new ones are in the count.
    while began.elapsed() < case.watched && sandbox.counts().notes < usize::try_from(calls + new)? {
        ticks.tick().await;
        let sent = poster.post(&body(1, new)).await?;
        let id = format!("tieline:hq:backlog-1-{new}:note");
        sandbox.wait_until(|_| sandbox.note(&id).is_some()).await;
        took.push(sent.elapsed());
        new += 1;
    }
    let seconds = began.elapsed().as_secs_f64();
    let all = sandbox.counts().notes as f64;
    tell(&mut out, &sandbox, all, seconds)?;
    // The first ones cost more: their callers are looked up. So only what was seen to the end says what all of it costs.
    if case.watched == Duration::MAX {
        let minutes = sandbox.requests().total as f64 / DEFAULT_BUDGET;
        line(
            &mut out,
            "all of it at 500 a minute, min",
            minutes,
            "(computed)",
        )?;
    }
    line(&mut out, "resident MB", daemon.resident()?, "")?;
    took.sort_unstable();
    let at = |part: usize| took.get(took.len().saturating_sub(1) * part / 100).copied();
    for (name, part) in [("p50", 50), ("p99", 99), ("max", 100)] {
        let milliseconds = at(part).unwrap_or_default().as_secs_f64() * 1e3;
        let more = format!("(of {new} new calls, event to note)");
        line(
            &mut out,
            &format!("a new call, {name} ms"),
            milliseconds,
            &more,
        )?;
    }
    daemon.stop()?;
    Ok(at(100).is_some_and(|longest| longest < NEW_MAX))
}

/// What was logged so far, and what it cost.
fn tell(out: &mut impl Write, sandbox: &Sandbox, logged: f64, seconds: f64) -> Result<(), Fault> {
    let requests = sandbox.requests();
    let each = requests.total as f64 / logged;
    line(out, "logged", logged, &format!("in {seconds:.0} s"))?;
    line(out, "requests", requests.total as f64, "")?;
    line(out, "requests a call", each, "")?;
    line(out, "refused with 429", requests.limited as f64, "")?;
    let most = requests.most_within(Duration::from_secs(60));
    line(out, "most requests in a minute", most as f64, "")?;
    Ok(())
}

fn line(out: &mut impl Write, what: &str, value: f64, more: &str) -> Result<(), Fault> {
    Ok(writeln!(out, "{what:<34} {value:>12.2}  {more}")?)
}

async fn post_all(daemon: &Daemon, calls: u64) -> Result<(), Fault> {
    let (next, address) = (Arc::new(AtomicU64::new(0)), daemon.address);
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..CONNECTIONS {
        let next = Arc::clone(&next);
        tasks.spawn(async move {
            let mut poster = Poster::connect(address).await?;
            loop {
                let number = next.fetch_add(1, Relaxed);
                if number >= calls {
                    return Ok::<(), Fault>(());
                }
                poster.post(&body(0, number)).await?;
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    Ok(())
}

/// A call told whole, of one of the callers.
fn body(run: u64, number: u64) -> String {
    let from = people::number(number % CALLERS);
    format!(
        "{{\"event\":\"call.ended\",\"id\":\"backlog-{run}-{number}\",\"direction\":\"in\",\"from\":\"{from}\",\
         \"to\":\"+4921155500100\",\"extension\":\"101\",\"started\":\"2026-11-20T12:24:29.009Z\",\
         \"answered\":\"2026-11-20T12:24:31Z\",\"ended\":\"2026-11-20T12:24:36Z\"}}"
    )
}

fn settings(dir: &Path, kustomer: &str, budget: &str) -> Result<String, Fault> {
    std::fs::write(dir.join("token"), TOKEN)?;
    std::fs::write(dir.join("key"), SANDBOX_KEY)?;
    Ok(format!(
        r#"
[[pbx]]
name = "hq"
dialect = "tieline"
auth = {{ kind = "bearer", token_file = "token" }}

[[kustomer]]
name = "bench"
url = "{kustomer}"
api_key_file = "key"
{budget}
"#
    ))
}
