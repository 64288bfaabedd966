//! How fast events become calls, on one core: decoding each dialect's recordings; decoding and assembling calls of twelve
//! events, ten thousand at once; and the same through the daemon's own book, journal and store, with the memory that the
//! open calls take. Times are this thread's CPU time, so that neighbours on the machine count little; each is given as a
//! ratio to hashing the same bytes too (SHA-256, which every event pays for its id). `cargo bench --bench calls`.

#![allow(clippy::disallowed_methods, reason = "a bench measures time")]

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use rustix::time::{ClockId, clock_gettime};
use sha2::{Digest, Sha256};
use std::hint::black_box;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;
use tieline::calls::assemble::{self, State};
use tieline::calls::book::{Book, Turn};
use tieline::calls::decode::{self, LegFacts, PhoneEvent, RawEvent, Site};
use tieline::calls::journal::{Journal, Posted, QUEUE_POSTS_DEFAULT};
use tieline::calls::judge::Judge;
use tieline::calls::ledger::Ledger;
use tieline::calls::outbox::Outbox;
use tieline::cli::decode::{Source, split};
use tieline::cli::recording::Post;
use tieline::settings::load::{Sources, load};
use tieline::settings::types::Dialect;
use tieline::store::{Store, StoreOptions};
use tieline::terms::ids::CallKey;
use tieline::terms::number::NumberPlan;
use tieline::terms::party::{ExtensionRange, Extensions};

type Fault = Box<dyn std::error::Error + Send + Sync>;

/// Each figure is the median of so many rounds.
const ROUNDS: usize = 5;
/// CPU time of a round at least, where it can be repeated.
const ROUND: Duration = Duration::from_millis(100);
/// Events of one call.
const EVENTS: usize = 12;
/// Events between two commits, as the line has them.
const BATCH: usize = 256;
/// Appends that wait for one sync.
const APPENDS: usize = 512;

fn main() -> Result<(), Fault> {
    let mut args = std::env::args().skip(1).filter(|arg| arg != "--bench");
    match args.next().as_deref() {
        Some("daemon") => {
            let name = args.next().ok_or("argument missing")?;
            let kind = KINDS.iter().find(|kind| kind.name == name);
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            runtime.block_on(through_the_daemon(kind.ok_or("no such kind")?))
        }
        _ => {
            decoding()?;
            let mut out = std::io::stdout();
            writeln!(
                out,
                "\n{:<12} {:>6} {:>7}  {:>12} {:>9} {:>9} {:>8}",
                "calls of", "calls", "events", "events/s", "calls/s", "MB/s", "x hash"
            )?;
            KINDS.iter().try_for_each(pure)?;
            writeln!(
                out,
                "\n{:<12} {:>6} {:>7}  {:>12} {:>9} {:>9} {:>9} {:>8}",
                "in the daemon",
                "calls",
                "events",
                "events/s",
                "calls/s",
                "read µs",
                "take µs",
                "MB"
            )?;
            for kind in &KINDS {
                // A process of its own: what the others left of the heap would hide its memory.
                let done = Command::new(std::env::current_exe()?)
                    .args(["daemon", kind.name])
                    .status()?;
                if !done.success() {
                    return Err(format!("{}: {done}", kind.name).into());
                }
            }
            Ok(())
        }
    }
}

/// Every recording of the fixtures by dialect and source, decoded again and again.
fn decoding() -> Result<(), Fault> {
    let mut out = std::io::stdout();
    writeln!(
        out,
        "{:<12} {:>6} {:>7} {:>8}  {:>12} {:>9} {:>8}",
        "dialect", "source", "events", "bytes", "events/s", "MB/s", "x hash"
    )?;
    for dialect in Dialect::ALL {
        for (source, word, files) in SOURCES {
            let posts = recorded(dialect, *source, files)?;
            if posts.is_empty() {
                continue;
            }
            let bytes: usize = posts.iter().map(|post| post.body.len()).sum();
            let site = site("hq", TimeZone::get("Europe/Berlin")?)?;
            let took = median(|| {
                for post in &posts {
                    let _ = black_box(decode::decode(dialect, &raw(post), &site));
                }
                Ok(())
            })?;
            let hashed = median(|| {
                posts.iter().for_each(|post| hash(&post.body));
                Ok(())
            })?;
            let seconds = took.as_secs_f64();
            writeln!(
                out,
                "{:<12} {word:>6} {:>7} {:>8}  {:>12.0} {:>9.1} {:>8.1}",
                dialect.word(),
                posts.len(),
                bytes / posts.len(),
                posts.len() as f64 / seconds,
                bytes as f64 / seconds / 1e6,
                seconds / hashed.as_secs_f64()
            )?;
        }
    }
    Ok(())
}

const SOURCES: &[(Source, &str, &[&str])] = &[
    (Source::Http, "http", &["http-received.txt"]),
    (Source::Ami, "ami", &["ami-events.txt"]),
    (
        Source::Cdr,
        "cdr",
        &[
            "cdr-csv-module.csv",
            "cdr-freepbx-columns.csv",
            "cdr.csv",
            "acc-log.txt",
        ],
    ),
    (Source::Cel, "cel", &["cel-custom.csv"]),
    (Source::Ari, "ari", &["ari-events.jsonl"]),
    (Source::Esl, "esl", &["esl-events.jsonl"]),
];

/// What the fixtures have of a source; of our own dialect, which nobody recorded, a call made up.
fn recorded(dialect: Dialect, source: Source, files: &[&str]) -> Result<Vec<Post>, Fault> {
    if dialect == Dialect::Tieline {
        let bodies = match source {
            Source::Http => tieline_call()?,
            Source::Ami | Source::Cdr | Source::Cel | Source::Ari | Source::Esl => Vec::new(),
        };
        return Ok(bodies.into_iter().map(post).collect());
    }
    let mut posts = Vec::new();
    let folder = fixtures().join(dialect.word());
    for recording in std::fs::read_dir(folder)? {
        let path = recording?.path();
        for file in files {
            if let Ok(bytes) = std::fs::read(path.join(file)) {
                posts.extend(split(dialect, source, &bytes)?);
            }
        }
    }
    Ok(posts)
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/calls")
}

/// Calls of twelve events of one phone system.
struct Kind {
    name: &'static str,
    dialect: Dialect,
    calls: usize,
    /// The events of one call.
    template: fn() -> Result<Vec<String>, Fault>,
    /// What in them is the call's own, and how it reads in call number n.
    id: fn(&str, usize) -> String,
}

const KINDS: [Kind; 3] = [
    Kind {
        name: "tieline",
        dialect: Dialect::Tieline,
        calls: 10_000,
        template: tieline_call,
        id: |body, call| {
            let body = body.replace("bench-call", &format!("bench-{call:06}"));
            body.replace("171 1234567", &format!("171 2{call:06}"))
        },
    },
    Kind {
        name: "asterisk",
        dialect: Dialect::Asterisk,
        calls: 10_000,
        template: asterisk_call,
        id: |body, call| {
            let body = body.replace("pbx-1795176443.", &format!("pbx{call}-1795176443."));
            body.replace("+491711234567", &format!("+491712{call:06}"))
        },
    },
    Kind {
        name: "freeswitch",
        dialect: Dialect::Freeswitch,
        // Its events have 8 kB each: ten thousand calls would measure the disk.
        calls: 1_000,
        template: freeswitch_call,
        id: |body, call| {
            let body = body.replace("3c9c62db", &format!("{call:08x}"));
            let body = body.replace("f05c10eb", &format!("f{call:07x}"));
            body.replace("1711234567", &format!("1712{call:06}"))
        },
    },
];

/// A call that rings two phones, is held, handed on and held again; told live, without a record at its end.
fn tieline_call() -> Result<Vec<String>, Fault> {
    let events = [
        ("call.started", ""),
        ("call.ringing", r#","extension":"101""#),
        ("call.ringing", r#","extension":"102""#),
        ("call.answered", r#","extension":"101""#),
        ("call.held", ""),
        ("call.resumed", ""),
        (
            "call.transferred",
            r#","kind":"attended","by":"101","target":"103""#,
        ),
        ("call.ringing", r#","extension":"103""#),
        ("call.answered", r#","extension":"103""#),
        ("call.held", ""),
        ("call.resumed", ""),
        (
            "call.ended",
            r#","reason":null,"recording":"https://pbx.example/r/1""#,
        ),
    ];
    let body = |(second, (event, more)): (usize, (&str, &str))| {
        format!(
            r#"{{"event":"{event}","id":"bench-call","at":"2026-11-20T12:24:{second:02}.009Z","direction":"in","from":"+49 171 1234567","from_name":"Max Mustermann","to":"+4921155500100"{more}}}"#
        )
    };
    Ok(events.into_iter().enumerate().map(body).collect())
}

/// The recorded call's manager events that tell when its two channels came, rang, talked and went.
fn asterisk_call() -> Result<Vec<String>, Fault> {
    let told = [
        "Newchannel",
        "DialBegin",
        "DialEnd",
        "BridgeEnter",
        "BridgeLeave",
        "Hangup",
    ];
    let events = recording(Dialect::Asterisk, Source::Ami, "ami-events.txt")?;
    let keep = |body: &String| {
        let name = body
            .lines()
            .next()
            .and_then(|line| line.strip_prefix("Event: "));
        let name = name.unwrap_or_default();
        told.contains(&name) || (name == "Newstate" && body.contains("ChannelState: 6"))
    };
    Ok(events.into_iter().filter(keep).collect())
}

/// The recorded call's events without the few that say what others say too.
fn freeswitch_call() -> Result<Vec<String>, Fault> {
    let left = [
        "CHANNEL_OUTGOING",
        "CHANNEL_ORIGINATE",
        "CHANNEL_UNBRIDGE",
        "RECORD_STOP",
    ];
    let events = recording(Dialect::Freeswitch, Source::Esl, "esl-events.jsonl")?;
    let keep = |body: &String| {
        !left
            .iter()
            .any(|name| body.contains(&format!(r#""Event-Name":"{name}""#)))
    };
    Ok(events.into_iter().filter(keep).collect())
}

fn recording(dialect: Dialect, source: Source, file: &str) -> Result<Vec<String>, Fault> {
    let path = fixtures().join(dialect.word()).join("01-inbound-answered");
    let posts = split(dialect, source, &std::fs::read(path.join(file))?)?;
    let bodies = posts.into_iter().map(|post| String::from_utf8(post.body));
    Ok(bodies.collect::<Result<_, _>>()?)
}

/// All events of all calls: the first of each, then the second of each.
fn interleaved(kind: &Kind) -> Result<impl Iterator<Item = (usize, String)>, Fault> {
    let template = (kind.template)()?;
    if template.len() != EVENTS {
        return Err(format!("{}: {} events in a call", kind.name, template.len()).into());
    }
    let (calls, id) = (kind.calls, kind.id);
    Ok(template
        .into_iter()
        .flat_map(move |body| (0..calls).map(move |call| (call, id(&body, call)))))
}

/// Each event decoded, each call assembled when its last one came: the stages alone.
fn pure(kind: &Kind) -> Result<(), Fault> {
    let site = site("hq", TimeZone::get("Europe/Berlin")?)?;
    let now = Timestamp::now();
    let (mut bytes, mut took, mut hashed) = (0, Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let mut open: Vec<Vec<LegFacts>> = vec![Vec::new(); kind.calls];
        let (mut time, mut hashing) = (Duration::ZERO, Duration::ZERO);
        bytes = 0;
        let mut events = interleaved(kind)?.peekable();
        while events.peek().is_some() {
            let group: Vec<(usize, Post)> = events
                .by_ref()
                .take(BATCH)
                .map(|(call, body)| (call, post(body)))
                .collect();
            bytes += group.iter().map(|(_, post)| post.body.len()).sum::<usize>();
            let began = cpu();
            for (call, post) in &group {
                let facts = decode::decode(kind.dialect, &raw(post), &site)?;
                let known = open.get_mut(*call).ok_or("no such call")?;
                for fact in facts {
                    match fact {
                        PhoneEvent::Leg(leg) => known.push(*leg),
                        PhoneEvent::Text(_) => {}
                    }
                }
            }
            time += cpu() - began;
            let began = cpu();
            group.iter().for_each(|(_, post)| hash(&post.body));
            hashing += cpu() - began;
        }
        let began = cpu();
        for facts in &open {
            let key: &CallKey = &facts.first().ok_or("no facts")?.key;
            let assembly = assemble::assemble(key, facts, now);
            if !matches!(assembly.state, State::Complete(_)) || assembly.call.is_none() {
                return Err(format!("{}: {:?}", kind.name, assembly.state).into());
            }
        }
        took.push(time + (cpu() - began));
        hashed.push(hashing);
    }
    let (seconds, hashed) = (middle(took).as_secs_f64(), middle(hashed).as_secs_f64());
    let events = kind.calls * EVENTS;
    writeln!(
        std::io::stdout(),
        "{:<12} {:>6} {events:>7}  {:>12.0} {:>9.0} {:>9.1} {:>8.1}",
        kind.name,
        kind.calls,
        events as f64 / seconds,
        kind.calls as f64 / seconds,
        bytes as f64 / seconds / 1e6,
        seconds / hashed
    )?;
    Ok(())
}

/// The same calls as the daemon's line takes them: from the journal, through the book, into the ledger.
async fn through_the_daemon(kind: &Kind) -> Result<(), Fault> {
    let target = std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
    let dir = tempfile::tempdir_in(target)?;
    let judged = Arc::new(load(&settings(dir.path(), kind)?).map_err(|fault| fault.to_string())?);
    let store = Store::open(&dir.path().join("store"), StoreOptions::default())?;
    let journal = Journal::open(store.clone(), QUEUE_POSTS_DEFAULT)?;
    let outbox = Outbox::open(&store);
    let ledger = Ledger::open(&store, &outbox);
    let mut book = Book::open(journal.clone(), ledger.clone(), Judge::new(judged, outbox))?;
    let received = Timestamp::now();
    let mut events = interleaved(kind)?.peekable();
    let held_before = resident()?;
    let (mut reading, mut taking) = (Duration::ZERO, Duration::ZERO);
    while events.peek().is_some() {
        let mut appends = tokio::task::JoinSet::new();
        for (_, body) in events.by_ref().take(APPENDS) {
            let journal = journal.clone();
            let posted = Posted {
                pbx: "hq".to_owned(),
                received,
                content_type: None,
                query: None,
                body: body.into(),
            };
            appends.spawn(async move { journal.append(posted).await });
        }
        while let Some(appended) = appends.join_next().await {
            appended??;
        }
        while book.counts.cursor < journal.last_seq() {
            let began = cpu();
            let events = journal.after(book.counts.cursor, BATCH)?;
            reading += cpu() - began;
            let (mut turn, began) = (Turn::default(), cpu());
            for event in &events {
                book.read(event, &mut turn)?;
            }
            taking += cpu() - began;
            commit(&mut book, &ledger, turn).await?;
        }
    }
    let held = resident()? - held_before;
    let open = book.open_calls();
    if open != u64::try_from(kind.calls)? {
        return Err(format!("{}: {open} open calls", kind.name).into());
    }
    taking += decide_all(&mut book, &ledger, received).await?;
    if book.open_calls() != 0 {
        return Err(format!("{}: {} calls stay open", kind.name, book.open_calls()).into());
    }
    let (count, seconds) = (kind.calls * EVENTS, (reading + taking).as_secs_f64());
    writeln!(
        std::io::stdout(),
        "{:<13} {:>6} {count:>7}  {:>12.0} {:>9.0} {:>9.1} {:>9.1} {held:>8.1}",
        kind.name,
        kind.calls,
        count as f64 / seconds,
        kind.calls as f64 / seconds,
        reading.as_secs_f64() / count as f64 * 1e6,
        taking.as_secs_f64() / count as f64 * 1e6,
    )?;
    Ok(())
}

/// Decides the calls whose last event came at `received`; answers what that took.
async fn decide_all(
    book: &mut Book,
    ledger: &Ledger,
    received: Timestamp,
) -> Result<Duration, Fault> {
    let later = received.checked_add(SignedDuration::from_mins(10))?;
    let (mut took, mut more) = (Duration::ZERO, true);
    while more {
        let (mut turn, began) = (Turn::default(), cpu());
        for _ in 0..BATCH {
            more = book.look_at_due(later, &mut turn)?;
        }
        took += cpu() - began;
        commit(book, ledger, turn).await?;
    }
    Ok(took)
}

async fn commit(book: &mut Book, ledger: &Ledger, mut turn: Turn) -> Result<(), Fault> {
    book.amend(&mut turn)?;
    book.count_deliveries(&turn)?;
    turn.changes.counts = book.counts.clone();
    ledger.write(turn.changes.clone()).await?;
    book.written(turn.changes);
    Ok(())
}

fn settings(dir: &Path, kind: &Kind) -> Result<Sources, Fault> {
    std::fs::write(dir.join("secret"), "bench-secret-of-nobody")?;
    let config = dir.join("bench.toml");
    let text = format!(
        r#"[daemon]
state_dir = "state"
default_region = "DE"
area_code = "211"
time_zone = "Europe/Berlin"

[[pbx]]
name = "hq"
dialect = "{}"
auth = {{ kind = "bearer", token_file = "secret" }}
extensions = ["100-199"]

[[kustomer]]
name = "bench"
url = "http://127.0.0.1:9"
api_key_file = "secret"
active = false
"#,
        kind.dialect.word()
    );
    std::fs::write(&config, text)?;
    Ok(Sources {
        configs: vec![config],
        ..Sources::default()
    })
}

fn site(pbx: &str, time_zone: TimeZone) -> Result<Site, Fault> {
    Ok(Site {
        pbx: pbx.to_owned(),
        plan: NumberPlan::new("DE", Some("211"))?,
        extensions: Extensions(vec![ExtensionRange {
            first: "100".to_owned(),
            last: "199".to_owned(),
        }]),
        time_zone,
    })
}

fn post(body: String) -> Post {
    Post {
        query: None,
        content_type: None,
        body: body.into_bytes(),
        received: Timestamp::UNIX_EPOCH,
    }
}

fn raw(post: &Post) -> RawEvent<'_> {
    RawEvent {
        content_type: post.content_type.as_deref(),
        query: post.query.as_deref(),
        body: &post.body,
        received: post.received,
    }
}

fn hash(body: &[u8]) {
    black_box(Sha256::digest(body));
}

/// The median time of one run of `work`, of rounds that are long enough to be measured.
fn median(mut work: impl FnMut() -> Result<(), Fault>) -> Result<Duration, Fault> {
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        let (began, mut runs) = (cpu(), 0_u32);
        while cpu() - began < ROUND {
            work()?;
            runs += 1;
        }
        rounds.push((cpu() - began) / runs);
    }
    Ok(middle(rounds))
}

fn middle(mut rounds: Vec<Duration>) -> Duration {
    rounds.sort_unstable();
    rounds.get(rounds.len() / 2).copied().unwrap_or_default()
}

/// What this thread has used so far.
fn cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::try_from(time).unwrap_or_default()
}

/// Megabytes of memory that this process holds (VmRSS).
fn resident() -> Result<f64, Fault> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .ok_or("no VmRSS")?;
    let kilobytes: f64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kilobytes / 1e3)
}
