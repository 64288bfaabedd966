//! How fast events are taken durably: the real routes, proof, journal, store and sync against a bare hyper server that
//! answers 202 without storing, in one run on one machine. The load comes from a second process (this program with an
//! argument), so that both servers have the same company. `cargo bench --bench intake`.

#![allow(clippy::disallowed_methods, reason = "a bench measures time")]

#[path = "load.rs"]
mod load;

use axum::http::{Request, Response};
use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper_util::rt::{TokioIo, TokioTimer};
use load::{Fault, Poster, TOKEN, body};
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};
use tieline::calls::intake::{Front, Intake, or_unknown, server};
use tieline::calls::journal::{Journal, QUEUE_POSTS_DEFAULT};
use tieline::heaps;
use tieline::settings::types::{Auth, Dialect, IntakeLimits, PbxSettings};
use tieline::store::{Store, StoreOptions};
use tieline::terms::number::NumberPlan;
use tieline::terms::party::Extensions;
use tokio::net::TcpListener;
use tokio::sync::watch;

const WARM_UP: Duration = Duration::from_secs(1);
const MEASURED: Duration = Duration::from_secs(4);
const CONNECTIONS: [usize; 3] = [1, 16, 256];

fn main() -> Result<(), Fault> {
    // As the daemon.
    heaps::few();
    let mut args = std::env::args().skip(1).filter(|arg| arg != "--bench");
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    match args.next().as_deref() {
        Some("load") => {
            let mut number = || args.next().ok_or("argument missing");
            let address: SocketAddr = number()?.parse()?;
            let connections = number()?.parse()?;
            let run = number()?.parse()?;
            runtime.block_on(load(address, connections, run))
        }
        _ => runtime.block_on(compare()),
    }
}

async fn compare() -> Result<(), Fault> {
    let dir = tempfile::tempdir_in(
        std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into()),
    )?;
    let store = Store::open(&dir.path().join("store"), StoreOptions::default())?;
    let journal = Journal::open(store.clone(), QUEUE_POSTS_DEFAULT)?;
    let full = serve_full(dir.path(), &journal).await?;
    let bare = serve_bare().await?;
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "{:>11}  {:>6}  {:>9}  {:>8}  {:>8}  {:>8}  {:>11}  {:>10}  {:>10}  {:>5}",
        "connections",
        "server",
        "events/s",
        "p50 ms",
        "p99 ms",
        "max ms",
        "events/sync",
        "server µs",
        "client µs",
        "ratio"
    )?;
    let mut run = 0;
    for connections in CONNECTIONS {
        let mut rate_bare = 0.0;
        for (name, address) in [("bare", bare), ("full", full)] {
            run += 1;
            let (taken, syncs) = (journal.last_seq(), store.stats().syncs.load(Relaxed));
            let cpu = cpu_seconds()?;
            let result = measure(address, connections, run)?;
            let cpu = cpu_seconds()? - cpu;
            let taken = journal.last_seq() - taken;
            let syncs = store.stats().syncs.load(Relaxed) - syncs;
            let per_sync = if syncs == 0 {
                "-".to_owned()
            } else {
                format!("{:.1}", taken as f64 / syncs as f64)
            };
            if name == "bare" {
                rate_bare = result.rate;
            }
            writeln!(
                out,
                "{connections:>11}  {name:>6}  {:>9.0}  {:>8.2}  {:>8.2}  {:>8.2}  {per_sync:>11}  {:>10.1}  {:>10.1}  {:>5.2}",
                result.rate,
                result.p50,
                result.p99,
                result.max,
                cpu / result.events * 1e6,
                result.cpu / result.events * 1e6,
                result.rate / rate_bare
            )?;
        }
    }
    writeln!(
        out,
        "held: {} events, {} MiB on disk",
        journal.last_seq(),
        store.size_on_disk()? >> 20
    )?;
    Ok(())
}

async fn serve_full(dir: &std::path::Path, journal: &Journal) -> Result<SocketAddr, Fault> {
    let token_file = dir.join("token");
    std::fs::write(&token_file, TOKEN)?;
    let limits = IntakeLimits {
        body_bytes: 1 << 20,
        connections: 1024,
        header_timeout: Duration::from_secs(10),
        body_timeout: Duration::from_secs(10),
        idle_timeout: Duration::from_secs(60),
        queue: 1024,
    };
    let pbx = pbx(token_file)?;
    let router = Front::new(
        Intake::new(&[pbx], limits, journal.clone())?,
        or_unknown(axum::Router::new()),
    );
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let limits = server::ServeLimits {
        connections: limits.connections,
        header_timeout: limits.header_timeout,
        idle_timeout: limits.idle_timeout,
        grace: Duration::from_secs(1),
    };
    let (stop, stopped) = watch::channel(false);
    tokio::spawn(async move {
        let _stop = stop;
        server::serve(listener, router, limits, stopped).await
    });
    Ok(address)
}

fn pbx(token_file: std::path::PathBuf) -> Result<PbxSettings, Fault> {
    Ok(PbxSettings {
        name: "hq".to_owned(),
        dialect: Dialect::Tieline,
        auth: Some(Auth::Bearer { token_file }),
        allow_from: vec!["127.0.0.0/8".parse()?],
        extensions: Extensions::default(),
        settle: Duration::from_secs(5),
        plan: NumberPlan::new("DE", Some("211"))?,
        time_zone: jiff::tz::TimeZone::UTC,
        link: None,
        pickup_dir: None,
    })
}

async fn serve_bare() -> Result<SocketAddr, Fault> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let _ = stream.set_nodelay(true);
            let service = hyper::service::service_fn(|request: Request<Incoming>| async move {
                let _ = request.into_body().collect().await;
                let mut response = Response::new(Empty::<Bytes>::new());
                *response.status_mut() = axum::http::StatusCode::ACCEPTED;
                Ok::<_, std::convert::Infallible>(response)
            });
            tokio::spawn(
                hyper::server::conn::http1::Builder::new()
                    .timer(TokioTimer::new())
                    .serve_connection(TokioIo::new(stream), service),
            );
        }
    });
    Ok(address)
}

struct Measured {
    rate: f64,
    p50: f64,
    p99: f64,
    max: f64,
    /// With those of the warm-up.
    events: f64,
    /// Seconds of the load's process.
    cpu: f64,
}

fn measure(address: SocketAddr, connections: usize, run: u64) -> Result<Measured, Fault> {
    let program = std::env::current_exe()?;
    let args = [
        "load".to_owned(),
        address.to_string(),
        connections.to_string(),
        run.to_string(),
    ];
    let mut child = Command::new(program)
        .args(args)
        .stdout(Stdio::piped())
        .spawn()?;
    let mut line = String::new();
    BufReader::new(child.stdout.take().ok_or("no output")?).read_line(&mut line)?;
    child.wait()?;
    let numbers: Vec<f64> = line
        .split_whitespace()
        .map(str::parse)
        .collect::<Result<_, _>>()?;
    match numbers.as_slice() {
        &[rate, p50, p99, max, events, cpu] => Ok(Measured {
            rate,
            p50,
            p99,
            max,
            events,
            cpu,
        }),
        _ => Err(format!("the load said {line:?}").into()),
    }
}

/// Posts as fast as each connection is answered; prints rate and latencies.
async fn load(address: SocketAddr, connections: usize, run: u64) -> Result<(), Fault> {
    let next = Arc::new(AtomicU64::new(0));
    let start = Instant::now();
    let (from, until) = (start + WARM_UP, start + WARM_UP + MEASURED);
    let mut tasks = Vec::new();
    for _ in 0..connections {
        let next = Arc::clone(&next);
        tasks.push(tokio::spawn(async move {
            post(address, &next, run, from, until).await
        }));
    }
    let mut took = Vec::new();
    for task in tasks {
        took.append(&mut task.await??);
    }
    took.sort_unstable();
    let at = |percent: usize| {
        let took = took.get(took.len() * percent / 100);
        took.map_or(0.0, |took| took.as_secs_f64() * 1e3)
    };
    let rate = took.len() as f64 / MEASURED.as_secs_f64();
    let max = took.last().map_or(0.0, |took| took.as_secs_f64() * 1e3);
    writeln!(
        std::io::stdout(),
        "{rate} {} {} {max} {} {}",
        at(50),
        at(99),
        next.load(Relaxed),
        cpu_seconds()?
    )?;
    Ok(())
}

/// What this process has used so far, all threads: what a machine without neighbours would compare.
fn cpu_seconds() -> Result<f64, Fault> {
    const TICKS_PER_SECOND: f64 = 100.0;
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let numbers = stat
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split_whitespace();
    let ticks: Vec<f64> = numbers
        .skip(11)
        .take(2)
        .map(str::parse)
        .collect::<Result<_, _>>()?;
    Ok(ticks.iter().sum::<f64>() / TICKS_PER_SECOND)
}

/// One connection's posts until the time is up; answers how long those of the measured time took.
async fn post(
    address: SocketAddr,
    next: &AtomicU64,
    run: u64,
    from: Instant,
    until: Instant,
) -> Result<Vec<Duration>, Fault> {
    let mut poster = Poster::connect(address).await?;
    let mut took = Vec::new();
    loop {
        let body = body(run, next.fetch_add(1, Relaxed));
        let began = Instant::now();
        poster.post(&body).await?;
        let now = Instant::now();
        if now > until {
            return Ok(took);
        }
        if now > from {
            took.push(now - began);
        }
    }
}
