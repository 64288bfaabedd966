//! Every recording played live, then the same with cut connections and killed daemons: each call is logged once.

use super::pbx::{Manager, Manner};
use super::{
    Scenario, fetching, listened_to, logged, scenarios, told_by_records, until_link, world,
};
use crate::support::{Daemon, World, logs, seed, within};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

fn address(manager: &Manager) -> String {
    format!("ami://{}", manager.address)
}

/// Each has exactly one conversation and one note, and there are no others.
fn assert_logged_once(world: &World, scenarios: &[Scenario]) {
    let logs = logs(&world.sandbox);
    let wrong: Vec<_> = logs.iter().filter(|(_, made)| **made != (1, 1)).collect();
    assert!(
        wrong.is_empty(),
        "not one conversation and one note: {wrong:?}"
    );
    let wanted: BTreeSet<String> = logged(scenarios).into_iter().collect();
    let made: BTreeSet<String> = logs.into_keys().collect();
    let (missing, beyond) = (&wanted - &made, &made - &wanted);
    assert!(
        missing.is_empty() && beyond.is_empty(),
        "missing {missing:?}, beyond {beyond:?}"
    );
}

fn append(file: &Path, rows: &str) {
    let mut file = File::options()
        .create(true)
        .append(true)
        .open(file)
        .unwrap();
    file.write_all(rows.as_bytes()).unwrap();
}

async fn explained(daemon: &Daemon, call: &Value) -> Value {
    let key = format!("ast:{}", call["key"].as_str().unwrap());
    daemon.place.explain(&key).await["call"].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_recording_played_live_gives_its_call() {
    let scenarios = scenarios();
    // In pieces that end anywhere.
    let manner = Manner {
        piece: 41,
        ..Manner::default()
    };
    let manager = Manager::start(manner).await;
    let world = world(&fetching(&address(&manager), "")).await;
    let daemon = world.place.start().await;
    listened_to(&manager).await;
    for scenario in &scenarios {
        scenario.events.iter().for_each(|event| manager.play(event));
    }
    let wanted = logged(&scenarios);
    daemon
        .until("every call is logged", |status| {
            status["integrations"][0]["settled_since_start"].as_u64() >= Some(wanted.len() as u64)
        })
        .await;
    let status = daemon.at_rest("every event has its end").await;
    assert_eq!(status["events"]["dead"], 0, "{status}");
    assert_logged_once(&world, &scenarios);
    for call in scenarios.iter().flat_map(|scenario| &scenario.expected) {
        let got = explained(&daemon, call).await;
        for field in [
            "type",
            "reason",
            "direction",
            "other_party",
            "connected_number",
            "agent",
            "first_agent",
            "queue",
            "answered",
            "ended",
            "talk_seconds",
            "transfers",
            "voicemail",
        ] {
            assert!(
                same(&got[field], &call[field]),
                "{} {field}: got {}, expected {}",
                call["key"],
                got[field],
                call[field]
            );
        }
        assert_eq!(got["doubts"], json!([]), "{}", call["key"]);
    }
    let link = &status["connections"][0];
    assert_eq!(
        (&link["state"], &link["malformed"]),
        (&json!("connected"), &json!(0)),
        "{link}"
    );
    assert_eq!(manager.actions()[..2], ["Challenge", "Login"]);
    assert!(daemon.stop().await.success());
}

/// Equal, times and seconds to 15 ms: events and log tell of one thing within a few.
fn same(got: &Value, wanted: &Value) -> bool {
    let time = |value: &Value| {
        value
            .as_str()
            .and_then(|text| text.parse::<jiff::Timestamp>().ok())
    };
    if let (Some(got), Some(wanted)) = (time(got), time(wanted)) {
        return got.duration_since(wanted).as_secs_f64().abs() <= 0.015;
    }
    match (got.as_f64(), wanted.as_f64()) {
        (Some(got), Some(wanted)) => (got - wanted).abs() <= 0.015,
        _ => got == wanted,
    }
}

/// Plays all scenarios, some while nobody listens; `disturb` comes before some events.
async fn play_disturbed(
    manager: &Manager,
    csv: &Path,
    scenarios: &[Scenario],
    chance: &mut fastrand::Rng,
    mut disturb: impl AsyncFnMut(&mut fastrand::Rng),
) {
    for scenario in scenarios {
        if chance.u8(..4) > 0 {
            listened_to(manager).await;
        }
        let mut written = false;
        for event in &scenario.events {
            if event.starts_with(b"Event: Cdr\r\n") && !written {
                append(csv, &scenario.rows);
                written = true;
            }
            manager.play(event);
            if chance.u8(..20) == 0 {
                tokio::time::sleep(Duration::from_millis(chance.u64(1..6))).await;
            }
            disturb(chance).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cut_at_random_bytes_with_records_read_back_each_call_is_logged_once() {
    let scenarios = told_by_records();
    let mut chance = fastrand::Rng::with_seed(seed());
    let manner = Manner {
        // Some within the login, some within the list of channels, most within an event.
        cuts: (0..25)
            .map(|_| {
                if chance.u8(..5) == 0 {
                    chance.usize(1..800)
                } else {
                    chance.usize(800..30_000)
                }
            })
            .collect(),
        piece: 977,
        ..Manner::default()
    };
    let manager = Manager::start(manner).await;
    let world = world(&fetching(&address(&manager), "gap_csv = \"Master.csv\"")).await;
    let csv = world.place.folder.join("Master.csv");
    append(&csv, "\"a row from before\"\n");
    let daemon = world.place.start().await;
    listened_to(&manager).await;
    play_disturbed(&manager, &csv, &scenarios, &mut chance, async |_| {}).await;
    manager.change(|manner| manner.cuts.clear());
    manager.cut();
    listened_to(&manager).await;
    let link = until_link(&daemon, "the connection is back", |link| {
        link["state"] == "connected"
    })
    .await;
    assert!(link["gaps_ever"].as_u64() > Some(3), "{link}");
    assert!(link["rows_read_back"].as_u64() > Some(0), "{link}");
    finished(&daemon, &logged(&scenarios)).await;
    assert_logged_once(&world, &scenarios);
    println!("{link:#}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_while_it_listens_each_call_is_logged_once() {
    let scenarios = told_by_records();
    let mut chance = fastrand::Rng::with_seed(seed());
    let manager = Manager::start(Manner::default()).await;
    let world = world(&fetching(&address(&manager), "gap_csv = \"Master.csv\"")).await;
    let csv = world.place.folder.join("Master.csv");
    let mut daemon = Some(world.place.start().await);
    listened_to(&manager).await;
    let mut kills = 0;
    play_disturbed(&manager, &csv, &scenarios, &mut chance, async |chance| {
        if kills < 12 && chance.u16(..200) == 0 {
            daemon.take().unwrap().kill();
            kills += 1;
            daemon = Some(world.place.spawn());
        }
    })
    .await;
    assert!(kills > 3, "only {kills} kills");
    let daemon = daemon.unwrap();
    listened_to(&manager).await;
    finished(&daemon, &logged(&scenarios)).await;
    assert_logged_once(&world, &scenarios);
}

/// All that is wanted is logged and nothing is open. What a gap left open is closed by the list of channels and by rows, which
/// come up to a second after the connection is back.
async fn finished(daemon: &Daemon, wanted: &[String]) {
    within("every call is logged and nothing is open", async {
        loop {
            let status = daemon.at_rest("every event has its end").await;
            let mut missing = wanted.to_vec();
            for id in wanted {
                let key = id.strip_prefix("tieline:").unwrap();
                let path = format!("/explain?of={}", tieline::cli::ask::segment(key));
                if daemon
                    .place
                    .ask(hyper::Method::GET, &path, None)
                    .await
                    .is_some()
                {
                    missing.retain(|one| one != id);
                }
            }
            if missing.is_empty() && status["open_calls"] == 0 {
                return;
            }
            println!("missing {missing:?}, open {}", status["open_calls"]);
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    })
    .await;
}
