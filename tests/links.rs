//! Live connections over real sockets: the running daemon as client of an Asterisk that plays recorded manager events, and
//! of a FreeSWITCH; cut anywhere, refused, garbled, over TLS; and records picked up from a folder.

mod cuts;
mod life;
mod pbx;
mod pickup;
mod socket;

use crate::support::{Config, Daemon, LOOK_EVERY, World, within};
use pbx::{Manager, SECRET, USER};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// One recorded scenario of Asterisk.
struct Scenario {
    name: String,
    /// With the empty line at their ends.
    events: Vec<Vec<u8>>,
    expected: Vec<Value>,
    /// The rows of its call records.
    rows: String,
}

fn folder(system: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fixtures/calls")
        .join(system)
}

/// Those that records tell whole too: of 66 they don't tell that the second line's call joined the first one's.
fn told_by_records() -> Vec<Scenario> {
    let mut all = scenarios();
    all.retain(|scenario| !scenario.name.starts_with("66-"));
    all
}

fn scenarios() -> Vec<Scenario> {
    let folders = std::fs::read_dir(folder("asterisk")).unwrap();
    let mut folders: Vec<PathBuf> = folders.map(|entry| entry.unwrap().path()).collect();
    // Why a queue without agents lets go is told by the dial plan's events alone, which aren't asked for.
    folders.retain(|folder| {
        let name = folder.file_name().unwrap().to_str().unwrap();
        !["58-", "59-"].iter().any(|out| name.starts_with(out))
    });
    folders.sort();
    let scenario = |path: &PathBuf| {
        let stream = std::fs::read_to_string(path.join("ami-events.txt")).unwrap();
        let events = stream
            .split("\r\n\r\n")
            .filter(|event| event.starts_with("Event:"));
        let expected = std::fs::read_to_string(path.join("expected.json")).unwrap();
        let expected: Value = serde_json::from_str(&expected).unwrap();
        Scenario {
            name: path.file_name().unwrap().to_str().unwrap().to_owned(),
            events: events
                .map(|event| format!("{event}\r\n\r\n").into_bytes())
                .collect(),
            expected: expected["calls"].as_array().unwrap().clone(),
            rows: std::fs::read_to_string(path.join("cdr-freepbx-columns.csv")).unwrap_or_default(),
        }
    };
    let all: Vec<Scenario> = folders.iter().map(scenario).collect();
    assert!(all.len() > 20);
    all
}

/// The externalIds of the calls that the default rules log: with somebody outside who has a number.
fn logged(scenarios: &[Scenario]) -> Vec<String> {
    let calls = scenarios.iter().flat_map(|scenario| &scenario.expected);
    let outside = calls.filter(|call| {
        let other = call["other_party"].as_str().unwrap_or_default();
        call["direction"] != "internal" && other.starts_with('+')
    });
    let mut ids: Vec<String> = outside
        .map(|call| format!("tieline:ast:{}", call["key"].as_str().unwrap()))
        .collect();
    ids.sort();
    ids
}

/// Settings with a phone system `ast` that is fetched from there, and these further lines of it.
fn fetching(address: &str, lines: &str) -> Config {
    let quick = "retry = [\"10ms\", \"20ms\", \"50ms\"]\nland_time = \"50ms\"\ntimeout = \"5s\"\nparallel = 8\n\
                 requests_per_minute = 1000\nbudget_window = \"500ms\"";
    let mut config = Config::kustomer(quick);
    config.daemon = format!(
        "\n[[pbx]]\nname = \"ast\"\ndialect = \"asterisk\"\nconnect = \"{address}\"\nuser = \"{USER}\"\n\
         secret_file = \"manager-password\"\nextensions = [\"100-199\"]\nsettle = \"150ms\"\n{lines}\n"
    );
    config
}

/// A world whose daemon isn't running yet; the sandbox counts in short windows.
async fn world(config: &Config) -> World {
    use tieline::sandbox::{LimitOptions, SandboxOptions};
    let limits = LimitOptions {
        window: std::time::Duration::from_millis(500),
        requests: 100_000,
        creations_per_customer: 100_000,
        ..LimitOptions::default()
    };
    let world = World::with(
        config,
        SandboxOptions {
            limits,
            ..SandboxOptions::empty()
        },
    )
    .await;
    std::fs::write(world.place.folder.join("manager-password"), SECRET).unwrap();
    world
}

/// Waits until the connection is as wanted; its part of the status.
async fn until_link(daemon: &Daemon, what: &str, reached: impl Fn(&Value) -> bool) -> Value {
    let status = daemon
        .until(what, |status| reached(&status["connections"][0]))
        .await;
    status["connections"][0].clone()
}

/// Waits until the daemon listens to it.
async fn listened_to(manager: &Manager) {
    within("somebody listens", async {
        while manager.listeners() == 0 {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    })
    .await;
}
