//! The daemon as a process, and the commands around it: start, stop, reload, second start, and what each command answers.

use crate::support::{Config, World, call, logs, recorded, text};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

const MAX: &str = "+491711234567";

fn lines_of(text: &str, needle: &str) -> usize {
    text.lines().filter(|line| line.contains(needle)).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_under_load_loses_nothing_that_was_acknowledged() {
    let (world, daemon) = World::running(&Config::default()).await;
    let stopped = Arc::new(AtomicBool::new(false));
    let mut posters = Vec::new();
    for poster in 0..8 {
        let (place, stopped) = (world.place.clone(), Arc::clone(&stopped));
        posters.push(tokio::spawn(async move {
            let mut acknowledged = BTreeSet::new();
            for number in 0.. {
                let id = format!("p{poster}-{number}");
                let body = call(&id, &format!("+491511234{:04}", number % 50)).to_string();
                match place
                    .try_post("script", None, Some("application/json"), body.as_bytes())
                    .await
                {
                    Ok((202, _)) => drop(acknowledged.insert(format!("tieline:script:{id}"))),
                    Ok(_) | Err(_) if stopped.load(Ordering::Relaxed) => break,
                    Ok((503, _)) | Err(_) => {}
                    Ok((status, answer)) => panic!("{status}: {answer}"),
                }
            }
            acknowledged
        }));
    }
    daemon
        .until("the load is on", |status| {
            status["events"]["accepted"].as_u64() > Some(100)
        })
        .await;
    let status = daemon.stop().await;
    stopped.store(true, Ordering::Relaxed);
    assert!(status.success(), "{status}");
    let mut acknowledged = BTreeSet::new();
    for poster in posters {
        acknowledged.extend(poster.await.unwrap());
    }
    let daemon = world.place.start().await;
    daemon
        .until("all is settled", |status| {
            status["events"]["in_flight"] == 0 && status["events"]["adds_up"] == true
        })
        .await;
    let logs = logs(&world.sandbox);
    assert!(logs.values().all(|made| *made == (1, 1)));
    let logged: BTreeSet<String> = logs.into_keys().collect();
    let missing: Vec<_> = acknowledged.difference(&logged).collect();
    assert!(
        missing.is_empty(),
        "acknowledged but not logged: {missing:?}"
    );
}

/// The settle time, and a reload that changes it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn good_settings_take_effect_on_a_reload() {
    let mut config = Config {
        settle: "10min".to_owned(),
        ..Config::default()
    };
    let (world, daemon) = World::running(&config).await;
    let (posts, expected) = recorded("01-inbound-answered");
    for post in &posts {
        daemon
            .post_raw(
                "hq",
                post.query.as_deref(),
                post.content_type.as_deref(),
                &post.body,
            )
            .await;
    }
    let key = format!("hq:{}", expected["key"].as_str().unwrap());
    let status = daemon
        .until("every event waits in its call", |status| {
            let events = &status["events"];
            events["accepted"].as_u64() > Some(0) && events["in_open_calls"] == events["accepted"]
        })
        .await;
    let accepted = status["events"]["accepted"].as_u64().unwrap();
    assert_eq!(
        daemon.place.explain(&key).await["stage"],
        "waiting for more events"
    );
    config.settle = "50ms".to_owned();
    world.configure(&config);
    daemon.signal(Signal::HUP);
    daemon.settled(usize::try_from(accepted).unwrap()).await;
    assert_eq!(logs(&world.sandbox).len(), 1);
    let status = daemon.place.status().await;
    assert!(
        status["settings"]["in_force"]
            .as_str()
            .unwrap()
            .starts_with("20"),
        "{}",
        status["settings"]
    );
}

/// Invariant 8.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_settings_leave_the_old_ones_in_force_and_status_says_so() {
    let (world, daemon) = World::running(&Config::default()).await;
    let refused = |status: &Value| {
        status["settings"]["refused"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };
    let mut bad = Config::calls("min_talk = \"soon\"\nunknown = \"maybe\"");
    bad.settle = "a while".to_owned();
    world.configure(&bad);
    daemon.signal(Signal::HUP);
    let status = daemon
        .until("the new settings are refused", |status| {
            !refused(status).is_empty()
        })
        .await;
    for fault in ["min_talk", "unknown", "settle"] {
        assert!(refused(&status).contains(fault), "{}", refused(&status));
    }
    daemon.post(&call("a1", MAX)).await;
    daemon.settled(1).await;
    // An address that is taken is a fault like any other.
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut place = world.place.clone();
    place.listen = taken.local_addr().unwrap();
    Config::default().write(&place.folder, place.listen, world.sandbox.url());
    daemon.signal(Signal::HUP);
    daemon
        .until("the address is refused", |status| {
            refused(status).contains("in use")
        })
        .await;
    daemon.post(&call("a2", MAX)).await;
    daemon.settled(2).await;
    let shown = world.place.cli(&["status"]).await;
    assert!(
        shown.out.contains("the new ones are wrong"),
        "{}",
        shown.out
    );
    world.configure(&Config::default());
    daemon.signal(Signal::HUP);
    daemon
        .until("the good ones are in force", |status| {
            refused(status).is_empty()
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_daemon_on_the_same_store_says_so_and_ends() {
    let (world, daemon) = World::running(&Config::default()).await;
    let second = world.place.cli(&["run"]).await;
    assert_eq!(second.code, Some(1), "{second:?}");
    assert!(
        second.err.contains("another") && second.err.contains("store"),
        "{}",
        second.err
    );
    daemon.post(&call("a1", MAX)).await;
    daemon.settled(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[cfg(target_env = "gnu")]
async fn glibc_keeps_two_heaps_for_the_daemon() {
    let (_world, daemon) = World::running(&Config::default()).await;
    let environment = std::fs::read(format!("/proc/{}/environ", daemon.pid())).unwrap();
    let mut variables = environment.split(|byte| *byte == 0);
    assert!(variables.any(|one| one == b"MALLOC_ARENA_MAX=2"));
    let started_by = std::fs::read(format!("/proc/{}/cmdline", daemon.pid())).unwrap();
    assert!(started_by.starts_with(env!("CARGO_BIN_EXE_tieline").as_bytes()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_settings_end_the_start_with_78_and_every_fault() {
    let mut config = Config::calls("min_talk = \"soon\"\nunknown = \"maybe\"\ncolour = \"red\"");
    config.settle = "a while".to_owned();
    let world = World::start(&config).await;
    std::fs::remove_file(world.place.folder.join("kustomer-key")).unwrap();
    for command in ["run", "check"] {
        let finished = world.place.cli(&[command]).await;
        let said = format!("{}{}", finished.out, finished.err);
        assert_eq!(finished.code, Some(78), "{command}: {finished:?}");
        for fault in ["min_talk", "unknown", "colour", "settle", "api_key_file"] {
            assert!(
                lines_of(&said, fault) > 0,
                "{command} says nothing of {fault}: {said}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_nobody_understands_is_dead_until_it_is_dropped() {
    let (world, daemon) = World::running(&Config::default()).await;
    let id = daemon
        .post(&json!({"event": "fax.received", "id": "f1"}))
        .await;
    let other = daemon
        .post(&json!({"event": "fax.received", "id": "f2"}))
        .await;
    let status = daemon.settled(2).await;
    assert_eq!(status["events"]["dead"], 2);
    let place = &world.place;
    let listed = place.json(&["dead", "list"]).await;
    let ids: Vec<_> = listed["dead"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["id"].as_str().unwrap())
        .collect();
    assert_eq!(ids, [&id, &other]);
    assert!(place.cli(&["dead", "list"]).await.out.contains(&id[..8]));
    let shown = place.cli(&["dead", "show", &id]).await;
    assert!(shown.out.contains("fax.received"), "{shown:?}");
    // Read anew it is as dead as before; a later version may do better.
    assert_eq!(
        place.cli(&["dead", "retry", &id]).await.out,
        "1 tried again\n"
    );
    let replayed = place.cli(&["replay", "--dead"]).await;
    assert_eq!(replayed.code, Some(0), "{replayed:?}");
    assert!(replayed.out.contains('2'), "{replayed:?}");
    assert_eq!(daemon.settled(2).await["events"]["dead"], 2);
    assert_eq!(place.cli(&["dead", "drop", &id]).await.out, "1 dropped\n");
    let status = daemon.settled(2).await;
    assert_eq!(
        (&status["events"]["dead"], &status["events"]["erased"]),
        (&json!(1), &json!(1))
    );
    assert_eq!(place.explain(&id).await["ends"][0]["end"], "erased");
    assert_eq!(
        place.cli(&["dead", "show", "no-such-id"]).await.code,
        Some(3)
    );
}

/// A filter that was wrong is mended, and what it kept out comes in.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn filtered_calls_are_replayed_after_the_rules_change() {
    let (world, daemon) = World::running(&Config::calls("ignore = [\"+49171*\"]")).await;
    let id = daemon.post(&call("a1", MAX)).await;
    daemon.post(&call("a2", "+4915199887766")).await;
    daemon.settled(2).await;
    assert_eq!(logs(&world.sandbox).len(), 1);
    world.configure(&Config::default());
    daemon.signal(Signal::HUP);
    daemon
        .until("the rules changed", |status| {
            status["settings"]["in_force"] != "since the start"
        })
        .await;
    let replayed = world.place.cli(&["replay", &id]).await;
    assert_eq!(replayed.code, Some(0), "{replayed:?}");
    daemon
        .until("it is logged", |status| status["events"]["logged"] == 2)
        .await;
    daemon.settled(2).await;
    let both: BTreeSet<_> = logs(&world.sandbox).into_iter().collect();
    assert_eq!(
        both,
        ["a1", "a2"]
            .map(|id| (format!("tieline:script:{id}"), (1, 1)))
            .into()
    );
    // What is logged stays logged, once.
    world
        .place
        .cli(&["replay", &id, "--filtered", "--dead"])
        .await;
    daemon.settled(2).await;
    assert_eq!(logs(&world.sandbox).len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_commands_answer_and_exit_as_documented() {
    let (world, daemon) = World::running(&Config::default()).await;
    let place = &world.place;
    let id = daemon.post(&call("a1", MAX)).await;
    daemon
        .post(&text("m1", "in", MAX, crate::support::OURS))
        .await;
    daemon.settled(2).await;
    let status = place.cli(&["status"]).await;
    assert_eq!(status.code, Some(0), "{status:?}");
    assert!(
        status.out.contains(
            "2 accepted = 2 logged + 0 joined + 0 filtered + 0 dead + 0 erased + 0 in flight"
        ),
        "{}",
        status.out
    );
    assert_eq!(place.json(&["status"]).await["events"]["logged"], 2);
    for of in [id.as_str(), "script:a1"] {
        let explained = place.json(&["explain", of]).await;
        assert_eq!(explained["call"]["key"], "a1");
        assert_eq!(explained["ends"][0]["end"], "logged");
        assert!(
            !explained["integrations"][0]["rules"]
                .as_array()
                .unwrap()
                .is_empty()
        );
    }
    assert!(
        place
            .cli(&["explain", "script:a1"])
            .await
            .out
            .contains("support: logged")
    );
    assert_eq!(
        place.json(&["explain", "script:m1"]).await["text"]["body"],
        "Is my order ready?"
    );
    assert_eq!(
        place.json(&["explain", "0171 1234567"]).await["number"],
        MAX
    );
    assert_eq!(place.cli(&["explain", "script:nobody"]).await.code, Some(3));
    let max = world.sandbox.customers()[0]["id"].clone();
    let found = place.json(&["lookup", "0171 1234567"]).await;
    assert_eq!(
        (&found["number"], &found["customers"][0]["customer"]),
        (&json!(MAX), &max),
        "{found}"
    );
    assert_eq!(place.cli(&["lookup"]).await.code, Some(2));
    assert_eq!(place.cli(&["check"]).await.code, Some(0));
    assert!(daemon.stop().await.success());
    for command in [
        &["status"][..],
        &["explain", "script:a1"],
        &["dead", "list"],
        &["lookup", MAX],
        &["replay", "--dead"],
    ] {
        let finished = place.cli(command).await;
        assert_eq!(finished.code, Some(69), "{command:?}: {finished:?}");
        assert!(finished.err.contains("no daemon answers"), "{finished:?}");
    }
}
