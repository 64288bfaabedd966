//! How fast a caller's name is found: the real server, proof, number reading and store with a million contacts, against a
//! bare hyper server that answers the same few bytes, in one run on one machine. The load comes from a second process (this
//! program with an argument). `cargo bench --bench lookup`; `TIELINE_BENCH_CONTACTS` sets how many contacts (1,000,000).

#![allow(clippy::disallowed_methods, reason = "a bench measures time")]

mod people;

use axum::http::{Request, Response};
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use tieline::calls::intake::{or_unknown, server};
use tieline::heaps;
use tieline::phonebook::api::{Api, Desk};
use tieline::phonebook::directory::{ContactBook, Content, Row};
use tieline::settings::types::{ClientSettings, IntakeLimits, Right};
use tieline::store::{Store, StoreOptions};
use tieline::terms::contact::{
    ContactId, Email, EmailAddress, EmailKind, Fields, Phone, PhoneKind,
};
use tieline::terms::number::NumberPlan;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

type Fault = Box<dyn std::error::Error + Send + Sync>;

const WARM_UP: Duration = Duration::from_secs(2);
const MEASURED: Duration = Duration::from_secs(5);
const CONNECTIONS: [usize; 3] = [1, 16, 64];
const TOKEN: &str = "bench-token";
/// Contacts written together.
const BATCH: u64 = 500;

fn main() -> Result<(), Fault> {
    // As the daemon.
    heaps::few();
    let mut args = std::env::args().skip(1).filter(|arg| arg != "--bench");
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    match args.next().as_deref() {
        Some("load") => {
            let mut argument = || args.next().ok_or("argument missing");
            let address: SocketAddr = argument()?.parse()?;
            let connections = argument()?.parse()?;
            let contacts = argument()?.parse()?;
            let form = argument()?;
            runtime.block_on(load(address, connections, contacts, form))
        }
        _ => {
            let contacts = std::env::var("TIELINE_BENCH_CONTACTS");
            let contacts = contacts.map_or(Ok(1_000_000), |count| count.parse())?;
            runtime.block_on(compare(contacts))
        }
    }
}

async fn compare(contacts: u64) -> Result<(), Fault> {
    let mut out = std::io::stdout().lock();
    let target = std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
    let dir = tempfile::tempdir_in(target)?;
    let folder = dir.path().join("store");
    let store = Store::open(&folder, StoreOptions::default())?;
    let empty = resident()?;
    let began = Instant::now();
    fill(&ContactBook::open(&store)?, contacts).await?;
    let rate = contacts as f64 / began.elapsed().as_secs_f64();
    let (bytes, filled) = (store.size_on_disk()? as f64 / 1e6, resident()?);
    writeln!(
        out,
        "{contacts} contacts written  {rate:>9.0} /s  ({BATCH} together)"
    )?;
    writeln!(out, "store                     {bytes:>9.1} MB")?;
    writeln!(out, "resident, empty store     {empty:>9.1} MB")?;
    writeln!(out, "resident, after writing   {filled:>9.1} MB")?;
    drop(store);
    let began = Instant::now();
    let store = Store::open(&folder, StoreOptions::default())?;
    let book = ContactBook::open(&store)?;
    let took = began.elapsed().as_secs_f64() * 1e3;
    writeln!(out, "opened again              {took:>9.0} ms")?;
    let full = serve_full(dir.path(), book).await?;
    let bare = serve_bare().await?;
    writeln!(
        out,
        "{:>11}  {:>6}  {:>9}  {:>8}  {:>8}  {:>8}  {:>10}  {:>10}  {:>5}",
        "connections",
        "answer",
        "lookups/s",
        "p50 ms",
        "p99 ms",
        "max ms",
        "server µs",
        "per core",
        "ratio"
    )?;
    for connections in CONNECTIONS {
        let mut rate_bare = 0.0;
        for (form, address) in [("bare", bare), ("text", full), ("json", full)] {
            let cpu = cpu_seconds()?;
            let [rate, p50, p99, max, all] = measure(address, connections, contacts, form)?;
            let micros = (cpu_seconds()? - cpu) / all * 1e6;
            if form == "bare" {
                rate_bare = rate;
            }
            writeln!(
                out,
                "{connections:>11}  {form:>6}  {rate:>9.0}  {p50:>8.3}  {p99:>8.3}  {max:>8.2}  {micros:>10.1}  {:>10.0}  {:>5.2}",
                1e6 / micros,
                rate / rate_bare
            )?;
        }
    }
    writeln!(out, "resident, after lookups   {:>9.1} MB", resident()?)?;
    Ok(())
}

async fn fill(book: &ContactBook, contacts: u64) -> Result<(), Fault> {
    for first in (0..contacts).step_by(usize::try_from(BATCH)?) {
        let rows = (first..contacts.min(first + BATCH)).map(|contact| {
            let email = EmailAddress::parse(&people::email(contact));
            let fields = Fields {
                name: people::name(contact),
                phones: vec![Phone {
                    number: people::number(contact).parse()?,
                    kind: PhoneKind::Work,
                }],
                emails: vec![Email {
                    email: email.ok_or("no e-mail")?,
                    kind: EmailKind::Work,
                }],
                company: "Muster GmbH".to_owned(),
                ..Fields::default()
            };
            let content = Content {
                fields,
                ..Content::default()
            };
            // As scattered as random ids are.
            let id = ContactId(format!(
                "{:016x}",
                contact.wrapping_mul(0x9e37_79b9_7f4a_7c15)
            ));
            Ok::<_, Fault>(Row { id, content })
        });
        for outcome in book.put_all(rows.collect::<Result<_, _>>()?, false).await? {
            outcome?;
        }
    }
    Ok(())
}

async fn serve_full(dir: &Path, book: ContactBook) -> Result<SocketAddr, Fault> {
    let token_file = dir.join("token");
    std::fs::write(&token_file, TOKEN)?;
    let client = ClientSettings {
        name: "bench".to_owned(),
        token_file,
        may: vec![Right::Lookup],
    };
    let limits = IntakeLimits {
        body_bytes: 1 << 20,
        connections: 1024,
        header_timeout: Duration::from_secs(10),
        body_timeout: Duration::from_secs(10),
        idle_timeout: Duration::from_secs(60),
        queue: 1024,
    };
    let plan = NumberPlan::new("DE", Some("211"))?;
    let api = Api::build(&[client], &plan, limits, book)?;
    let (stop, stopped) = watch::channel(false);
    let desk = Desk::new(api, stopped.clone(), or_unknown(axum::Router::new()));
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let limits = server::ServeLimits {
        connections: limits.connections,
        header_timeout: limits.header_timeout,
        idle_timeout: limits.idle_timeout,
        grace: Duration::from_secs(1),
    };
    tokio::spawn(async move {
        let _stop = stop;
        server::serve(listener, desk, limits, stopped).await
    });
    Ok(address)
}

async fn serve_bare() -> Result<SocketAddr, Fault> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let _ = stream.set_nodelay(true);
            let service = hyper::service::service_fn(|_: Request<Incoming>| async move {
                let name = Bytes::from_static(b"Person 123456 Mustermann");
                Ok::<_, std::convert::Infallible>(Response::new(Full::new(name)))
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

/// Rate, p50, p99, max in ms, and how many lookups in all.
fn measure(
    address: SocketAddr,
    connections: usize,
    contacts: u64,
    form: &str,
) -> Result<[f64; 5], Fault> {
    let args = [
        "load".to_owned(),
        address.to_string(),
        connections.to_string(),
        contacts.to_string(),
        form.to_owned(),
    ];
    let mut child = Command::new(std::env::current_exe()?)
        .args(args)
        .stdout(Stdio::piped())
        .spawn()?;
    let mut line = String::new();
    BufReader::new(child.stdout.take().ok_or("no output")?).read_line(&mut line)?;
    child.wait()?;
    let numbers = line.split_whitespace().map(str::parse);
    let numbers: Vec<f64> = numbers.collect::<Result<_, _>>()?;
    Ok(numbers
        .try_into()
        .map_err(|_| format!("the load said {line:?}"))?)
}

async fn load(
    address: SocketAddr,
    connections: usize,
    contacts: u64,
    form: String,
) -> Result<(), Fault> {
    let start = Instant::now();
    let (from, until) = (start + WARM_UP, start + WARM_UP + MEASURED);
    let mut tasks = Vec::new();
    for connection in 0..connections {
        let form = form.clone();
        let seed = u64::try_from(connection)?;
        tasks.push(tokio::spawn(async move {
            ask(address, contacts, &form, seed, from, until).await
        }));
    }
    let (mut took, mut all) = (Vec::new(), 0);
    for task in tasks {
        let (mut some, count) = task.await??;
        took.append(&mut some);
        all += count;
    }
    took.sort_unstable();
    let at = |percent: usize| {
        let took = took.get(took.len() * percent / 100);
        took.map_or(0.0, |took| took.as_secs_f64() * 1e3)
    };
    let max = took.last().map_or(0.0, |took| took.as_secs_f64() * 1e3);
    let rate = took.len() as f64 / MEASURED.as_secs_f64();
    writeln!(
        std::io::stdout(),
        "{rate} {} {} {max} {all}",
        at(50),
        at(99)
    )?;
    Ok(())
}

/// Asks for numbers in no order until the time is up; how long those of the measured time took, and how many in all.
async fn ask(
    address: SocketAddr,
    contacts: u64,
    form: &str,
    seed: u64,
    from: Instant,
    until: Instant,
) -> Result<(Vec<Duration>, u64), Fault> {
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let mut random = fastrand::Rng::with_seed(seed);
    let mut answer = vec![0_u8; 4096];
    let (mut took, mut all) = (Vec::new(), 0);
    loop {
        let contact = random.u64(0..contacts);
        let digits = people::number(contact);
        let request = format!(
            "GET /v1/lookup?number=%2B{}&format={form} HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {TOKEN}\r\n\r\n",
            digits.trim_start_matches('+')
        );
        let began = Instant::now();
        stream.write_all(request.as_bytes()).await?;
        let mut read = 0;
        let text = loop {
            let more = stream
                .read(answer.get_mut(read..).ok_or("long answer")?)
                .await?;
            if more == 0 {
                return Err("closed".into());
            }
            read += more;
            let text = std::str::from_utf8(answer.get(..read).ok_or("")?)?;
            let head = text.find("\r\n\r\n");
            let length = text.split("content-length: ").nth(1);
            let length = length.and_then(|rest| rest.split("\r\n").next());
            if let Some(head) = head
                && read >= head + 4 + length.map_or(Ok(0), str::parse::<usize>)?
            {
                break text;
            }
        };
        let now = Instant::now();
        all += 1;
        if form != "bare" && !text.contains(&people::name(contact)) {
            return Err(format!("{digits}: {text}").into());
        }
        if now > until {
            return Ok((took, all));
        }
        if now > from {
            took.push(now - began);
        }
    }
}

/// Megabytes of memory this process holds (VmRSS).
fn resident() -> Result<f64, Fault> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let mut lines = status.lines();
    let line = lines.find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes: f64 = line
        .ok_or("no VmRSS")?
        .trim()
        .trim_end_matches(" kB")
        .parse()?;
    Ok(kilobytes / 1e3)
}

/// What this process has used so far, all threads.
fn cpu_seconds() -> Result<f64, Fault> {
    const TICKS_PER_SECOND: f64 = 100.0;
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let rest = stat.rsplit(')').next().unwrap_or_default();
    let ticks = rest.split_whitespace().skip(11).take(2).map(str::parse);
    let ticks: Vec<f64> = ticks.collect::<Result<_, _>>()?;
    Ok(ticks.iter().sum::<f64>() / TICKS_PER_SECOND)
}
