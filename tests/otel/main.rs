//! Traces of a tieline that was built with the feature otel: what a collector gets of a call and what it never does, and that
//! one which is away, or hangs, delays nothing. The collector is a real HTTP server that reads real requests of OTLP.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::print_stdout,
    clippy::print_stderr,
    dead_code,
    unused_imports,
    reason = "a test stops at the first surprise; what the tests of the whole program have in one place is not all needed here"
)]

mod collector;
#[path = "../support/mod.rs"]
mod support;

use collector::{Collector, Received};
use rustix::process::Signal;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use support::{
    Config, Daemon, Journal, LOOK_EVERY, TlsDoor, World, all, call, logs, messages, recorded,
    within,
};

const MAX: &str = "+491711234567";

/// Everything that the phone system is told of a call, and where it is known by.
const RECORDING: &str = "01-inbound-answered";

/// Settings with these lines in `[daemon.otel]`.
fn told(lines: &str) -> Config {
    Config {
        daemon: format!("[daemon.otel]\n{lines}"),
        ..Config::default()
    }
}

fn told_to(collector: &Collector) -> Config {
    told(&format!("endpoint = \"http://{}\"", collector.address))
}

async fn play(daemon: &Daemon, name: &str) -> String {
    let (posts, expected) = recorded(name);
    for post in &posts {
        let (query, kind) = (post.query.as_deref(), post.content_type.as_deref());
        daemon.post_raw("hq", query, kind, &post.body).await;
    }
    format!("hq:{}", expected["key"].as_str().unwrap())
}

async fn trace_of(daemon: &Daemon, call: &str) -> Option<String> {
    let explained = daemon.place.explain(call).await;
    explained["trace"].as_str().map(str::to_owned)
}

/// A metric's value.
async fn spans(daemon: &Daemon, outcome: &str) -> u64 {
    let metrics = daemon.place.metrics().await;
    let row = format!("tieline_spans_total{{outcome=\"{outcome}\"}} ");
    let row = metrics.lines().find_map(|line| line.strip_prefix(&row));
    row.unwrap().parse().unwrap()
}

async fn until_spans(daemon: &Daemon, outcome: &str, wanted: impl Fn(u64) -> bool) {
    within(&format!("spans {outcome}"), async {
        while !wanted(spans(daemon, outcome).await) {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    })
    .await;
}

fn names(spans: &[Received]) -> BTreeSet<&str> {
    spans.iter().map(|span| span.name.as_str()).collect()
}

/// The numbers in a recording's posts, and the ids that a phone system knows the call by.
fn personal(name: &str) -> BTreeSet<String> {
    let (posts, expected) = recorded(name);
    let mut all = BTreeSet::from([expected["key"].as_str().unwrap().to_owned()]);
    for post in posts {
        let body = String::from_utf8(post.body).unwrap();
        let runs = body.split(|c: char| !c.is_ascii_digit());
        all.extend(runs.filter(|run| run.len() >= 7).map(str::to_owned));
    }
    all
}

/// Looks for the words in every byte that went over the wire, where what may leave is found.
fn never_left<'a>(collector: &Collector, words: impl Iterator<Item = &'a str>) {
    let bytes = collector.bytes();
    let left = |word: &str| {
        bytes
            .windows(word.len())
            .any(|found| found == word.as_bytes())
    };
    assert!(left("support") && left("script"));
    let words: Vec<&str> = words.filter(|word| left(word)).collect();
    assert!(words.is_empty(), "{words:?} have left");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_is_one_trace_and_nothing_personal_leaves() {
    let collector = Collector::start().await;
    let world = World::start(&told_to(&collector)).await;
    let everything = [("TIELINE_LOG", Path::new("trace"))];
    let daemon = world.place.spawn_with(&everything).ready().await.unwrap();
    let key = play(&daemon, RECORDING).await;
    // Ids are what a phone system makes of them.
    let id = MAX.trim_start_matches('+');
    daemon.post(&call(id, MAX)).await;
    daemon.at_rest("both calls are logged").await;
    let trace = trace_of(&daemon, &key).await.unwrap();
    let other = trace_of(&daemon, &format!("script:{id}")).await.unwrap();
    assert_ne!(trace, other);
    let log = daemon.place.log();
    assert!(log.contains(&format!("trace=\"{trace}\"")));
    assert!(daemon.stop().await.success());

    let spans = collector.spans();
    for (of, pbx) in [(&trace, "hq"), (&other, "script")] {
        let of: Vec<Received> = spans
            .iter()
            .filter(|span| span.trace == *of)
            .cloned()
            .collect();
        assert_eq!(
            names(&of),
            BTreeSet::from(["call", "delivery", "event"]),
            "{of:#?}"
        );
        for span in &of {
            let field = match span.name.as_str() {
                "delivery" => ("integration".to_owned(), "support".to_owned()),
                _ => ("pbx".to_owned(), pbx.to_owned()),
            };
            assert_eq!(span.attributes, [field].into());
            assert!(span.started <= span.ended && span.started > 1_700_000_000_000_000_000);
        }
    }
    let count = |trace: &String| spans.iter().filter(|span| span.trace == *trace).count();
    assert_eq!(count(&other), 3);
    assert!(count(&trace) >= 6, "four events, a look, a delivery");
    // An event that says that the call is over has it decided: one is in the other.
    let inside: Vec<&Received> = spans.iter().filter(|span| span.parent.is_some()).collect();
    assert!(!inside.is_empty());
    for span in inside {
        let around = spans
            .iter()
            .find(|other| Some(&other.id) == span.parent.as_ref());
        let around = around.unwrap();
        assert_eq!(
            (around.name.as_str(), &around.trace),
            ("event", &span.trace)
        );
    }
    // Nobody else's spans: not those of the requests to Kustomer, and to the collector.
    let known = BTreeSet::from(["call", "delivery", "event", "integration"]);
    assert_eq!(names(&spans), known);
    let ids: BTreeSet<&String> = spans.iter().map(|span| &span.id).collect();
    assert_eq!(ids.len(), spans.len());

    let never = personal(RECORDING);
    assert!(never.len() > 2, "{never:?}");
    never_left(&collector, never.iter().map(String::as_str));
    never_left(&collector, [id, "1711234567"].into_iter());
}

/// From a trace to its call.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_journal_knows_whose_a_trace_is() {
    let collector = Collector::start().await;
    let world = World::start(&told_to(&collector)).await;
    let journal = Journal::start().await;
    let under_systemd = [("JOURNAL_STREAM", Path::new("8:1"))];
    let daemon = world
        .place
        .spawn_in(&journal.starter(&world.place), &under_systemd);
    let daemon = daemon.ready().await.unwrap();
    daemon.post(&call("a1", MAX)).await;
    daemon.post(&call("a2", MAX)).await;
    daemon.at_rest("both are logged").await;
    let trace = trace_of(&daemon, "script:a1").await.unwrap();
    assert!(daemon.stop().await.success());
    within("the journal has the last line", async {
        while !messages(&journal.lines(&[])).contains(&"stopped") {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    })
    .await;
    let lines = journal.lines(&[&format!("TIELINE_TRACE={trace}")]);
    assert!(messages(&lines).contains(&"decided"), "{lines:?}");
    for line in &lines {
        assert!(
            all(line, "TIELINE_CALL").contains(&"call:script:a1"),
            "{line}"
        );
    }
}

/// Also those that nobody logs anything of.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn traces_do_not_ask_what_is_logged_and_outlive_a_restart() {
    let collector = Collector::start().await;
    let world = World::start(&told_to(&collector)).await;
    let quiet = [("TIELINE_LOG", Path::new("off"))];
    let daemon = world.place.spawn_with(&quiet).ready().await.unwrap();
    daemon.post(&call("a1", MAX)).await;
    daemon.at_rest("it is logged").await;
    let trace = trace_of(&daemon, "script:a1").await;
    assert!(daemon.stop().await.success());
    assert_eq!(world.place.log(), "");
    assert!(names(&collector.spans()).contains("delivery"));
    let daemon = world.place.start().await;
    assert!(trace.is_some());
    assert_eq!(trace_of(&daemon, "script:a1").await, trace);
    let explained = daemon.place.cli(&["explain", "script:a1"]).await;
    assert!(
        explained.out.contains(&format!("trace {}", trace.unwrap())),
        "{explained:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_with_a_private_authority_that_wants_proof() {
    let collector = Collector::start().await;
    let door = TlsDoor::open("127.0.0.1:0", &format!("http://{}", collector.address)).await;
    let config = told(&format!(
        "endpoint = \"{}/otlp/\"\nauthorization_file = \"proof\"\nca_file = \"ca.pem\"",
        door.url()
    ));
    let world = World::start(&config).await;
    let file = |name: &str| world.place.folder.join(name);
    door.write_authority(&file("ca.pem"));
    fs::write(file("proof"), "Bearer collector-secret\n").unwrap();
    let daemon = world.place.start().await;
    daemon.post(&call("a1", MAX)).await;
    until_spans(&daemon, "sent", |sent| sent >= 3).await;
    for request in collector.requests() {
        assert_eq!(request.path, "/otlp/v1/traces");
        assert_eq!(
            request.authorization.as_deref(),
            Some("Bearer collector-secret")
        );
        assert_eq!(
            request.content_type.as_deref(),
            Some("application/x-protobuf")
        );
    }
    assert!(!daemon.place.log().contains("collector-secret"));

    // What it doesn't want is not counted as sent.
    let sent = spans(&daemon, "sent").await;
    collector.reject(1);
    daemon.post(&call("a2", MAX)).await;
    until_spans(&daemon, "sent", |now| now > sent).await;
    until_spans(&daemon, "dropped", |dropped| dropped > 0).await;
}

/// Nobody listens, then somebody does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_that_is_away_costs_spans_and_nothing_else() {
    let address = support::address();
    let config = told(&format!("endpoint = \"http://{address}\""));
    let (world, daemon) = World::running(&config).await;
    for round in 1..=2 {
        let dropped = spans(&daemon, "dropped").await;
        daemon.post(&call(&format!("a{round}"), MAX)).await;
        daemon.at_rest("it is logged").await;
        until_spans(&daemon, "dropped", |now| now > dropped).await;
    }
    assert_eq!(logs(&world.sandbox).len(), 2);
    assert_eq!(spans(&daemon, "sent").await, 0);
    let said = |what: &str| {
        daemon
            .place
            .log()
            .lines()
            .filter(|line| line.contains(what))
            .count()
    };
    assert_eq!(said("spans don't get to the collector"), 1);
    let _collector = Collector::at(address).await;
    daemon.post(&call("a3", MAX)).await;
    until_spans(&daemon, "sent", |sent| sent > 0).await;
    assert_eq!(said("the collector takes spans again"), 1);
}

/// The key of traces can't be written, as on a full disk.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_cannot_be_kept_costs_spans_and_nothing_else() {
    let collector = Collector::start().await;
    let world = World::start(&told_to(&collector)).await;
    fs::create_dir_all(world.place.folder.join("state/trace-key")).unwrap();
    let daemon = world.place.start().await;
    daemon.post(&call("a1", MAX)).await;
    daemon.at_rest("it is logged").await;
    assert_eq!(logs(&world.sandbox).len(), 1);
    assert_eq!(trace_of(&daemon, "script:a1").await, None);
    assert!(daemon.place.log().contains("spans go nowhere"));
}

/// It takes a request and never answers: no call waits for it, and a stop for two seconds at most, then it says so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_that_hangs_holds_up_neither_calls_nor_a_stop() {
    let collector = Collector::start().await;
    collector.hang();
    let (world, daemon) = World::running(&told_to(&collector)).await;
    daemon.post(&call("a1", MAX)).await;
    within("the collector has a request", collector.asked()).await;
    daemon.post(&call("a2", MAX)).await;
    daemon.at_rest("both are logged").await;
    assert_eq!(logs(&world.sandbox).len(), 2);
    let place = daemon.place.clone();
    assert!(daemon.stop().await.success());
    let log = place.log();
    // Its request would have had longer: it was left.
    assert!(
        log.contains("the last spans didn't get to the collector"),
        "{log}"
    );
    assert!(!log.contains("spans don't get to the collector"), "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_sends_spans_elsewhere_or_nowhere() {
    let (first, second) = (Collector::start().await, Collector::start().await);
    let (world, daemon) = World::running(&told_to(&first)).await;
    let reload = async |config: &Config| {
        let before = daemon.place.status().await["settings"]["in_force"].clone();
        world.configure(config);
        daemon.signal(Signal::HUP);
        let read = |status: &serde_json::Value| status["settings"]["in_force"] != before;
        daemon.until("the settings are read", read).await;
    };
    reload(&told_to(&second)).await;
    daemon.post(&call("a1", MAX)).await;
    within("the second one is told", second.asked()).await;
    let trace = trace_of(&daemon, "script:a1").await;
    assert!(trace.is_some());
    let of_the_call = |span: &Received| Some(&span.trace) == trace.as_ref();
    assert!(!first.spans().iter().any(of_the_call));

    reload(&Config::default()).await;
    assert_eq!(trace_of(&daemon, "script:a1").await, None);
    daemon.post(&call("a2", MAX)).await;
    daemon.at_rest("it is logged").await;
    assert!(daemon.stop().await.success());
    assert!(second.spans().iter().any(of_the_call));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_with_the_section_is_said() {
    let table = [
        (
            "ca_file = \"tieline.toml\"",
            "daemon.otel.endpoint: endpoint is missing",
        ),
        (
            "endpoint = \"http://10.0.0.1:4318\"",
            "over http: the secret could be read on the way",
        ),
        (
            "endpoint = \"https://u:p@c.example\"",
            "user and password don't belong into a URL",
        ),
        (
            "endpoint = \"https://c.example?a=b\"",
            "so it can't have a query",
        ),
        (
            "endpoint = \"https://c.example\"\nauthorization_file = \"none\"",
            "daemon.otel.authorization_file: the file",
        ),
        (
            "endpoint = \"https://c.example\"\nca_file = \"none\"",
            "daemon.otel.ca_file: the file",
        ),
    ];
    for (lines, expected) in table {
        let world = World::start(&told(lines)).await;
        let checked = world.place.cli(&["check"]).await;
        let said = format!("{}{}", checked.out, checked.err);
        assert_eq!(checked.code, Some(78), "{said}");
        assert!(said.contains(expected), "{lines}: {said}");
        assert!(!said.contains("u:p"), "{said}");
    }
}
