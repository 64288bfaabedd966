//! The kill test (invariants 1, 2 and 3): the daemon killed at random moments while calls come in and Kustomer loses
//! replies. Whatever was acknowledged is logged exactly once in the end.
//!
//! `TIELINE_KILLS` sets the number of kills, `TIELINE_SEED` replays a run's chances.

use crate::support::{Config, Place, World, call, live, logs, recorded_post, seed, within};
use serde_json::Value;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::time::Duration;
use tieline::clock;
use tieline::sandbox::{Fault, FaultKind, LimitOptions, SandboxOptions};

const KILLS: u32 = 200;
/// Lines of a PBX that post at the same time.
const POSTERS: u64 = 4;
/// A PBX waits before it posts again what wasn't taken.
const POST_AGAIN: Duration = Duration::from_millis(5);
/// Recordings whose call is logged.
const RECORDED: [&str; 3] = [
    "01-inbound-answered",
    "02-inbound-noanswer",
    "11-outbound-answered",
];

pub(crate) fn quick() -> Config {
    let mut config = Config::kustomer(
        "retry = [\"10ms\", \"20ms\", \"50ms\"]\nland_time = \"100ms\"\nbulk_land_time = \"300ms\"\ntimeout = \"5s\"\nparallel = 8\n\
         requests_per_minute = 1000\nbudget_window = \"500ms\"",
    );
    config.settle = "50ms".to_owned();
    config
}

pub(crate) fn generous() -> SandboxOptions {
    let window = Duration::from_millis(500);
    let limits = LimitOptions {
        window,
        requests: 100_000,
        creations_per_customer: 100_000,
        ..LimitOptions::default()
    };
    SandboxOptions {
        limits,
        ..SandboxOptions::empty()
    }
}

/// Posts until it is taken, as a PBX does.
pub(crate) async fn post(
    place: &Place,
    pbx: &str,
    query: Option<&str>,
    content_type: Option<&str>,
    body: &[u8],
) {
    let taken = async {
        loop {
            match place.try_post(pbx, query, content_type, body).await {
                Ok((202, _)) => return,
                Ok((503, _)) | Err(_) => tokio::time::sleep(POST_AGAIN).await,
                Ok((status, answer)) => panic!("refused with {status}: {answer}"),
            }
        }
    };
    within("a post is taken", taken).await;
}

/// The same for an event of our own dialect.
pub(crate) async fn post_event(place: &Place, event: &Value) {
    let body = event.to_string();
    let kind = Some("application/json");
    post(place, "script", None, kind, body.as_bytes()).await;
}

/// `TIELINE_KILLS`, or so many.
pub(crate) fn kills(usual: u32) -> u32 {
    std::env::var("TIELINE_KILLS").map_or(usual, |kills| {
        kills.parse().expect("TIELINE_KILLS is a number")
    })
}

/// Makes one call of a random kind, every event of it acknowledged; the externalId that it must be logged under.
async fn one_call(place: &Place, number: u16, chance: &mut fastrand::Rng) -> String {
    let from = if chance.bool() {
        "+491711234567".to_owned()
    } else {
        format!("+4915112345{:03}", chance.u16(..400))
    };
    let id = format!("c{number}");
    let ours = |events: Vec<Value>| async move {
        for event in events {
            post_event(place, &event).await;
        }
    };
    match chance.u8(..10) {
        0..=1 => {
            let name = RECORDED[chance.usize(..RECORDED.len())];
            let (uuid, posts) = recorded_post(name, number);
            for one in posts {
                post(
                    place,
                    "hq",
                    one.query.as_deref(),
                    one.content_type.as_deref(),
                    &one.body,
                )
                .await;
            }
            return format!("tieline:hq:{uuid}");
        }
        2..=3 => {
            let mut events = live(&id, &from);
            chance.shuffle(&mut events);
            ours(events).await;
        }
        _ => ours(vec![call(&id, &from)]).await,
    }
    format!("tieline:script:{id}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_random_moments_every_acknowledged_call_is_logged_once() {
    let kills = kills(KILLS);
    let mut chance = fastrand::Rng::with_seed(seed());
    let world = World::with(
        &quick(),
        SandboxOptions {
            seed: chance.u64(..),
            ..generous()
        },
    )
    .await;
    for kind in [
        FaultKind::CommitThenClose,
        FaultKind::CommitThenStatus { status: 500 },
        FaultKind::CloseBefore,
    ] {
        world
            .sandbox
            .add_fault(Fault::on("/v1/", kind).method("POST").probability(0.2));
    }
    let started = clock::monotonic();
    let (over, next) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicU16::new(0)),
    );
    let mut posters = Vec::new();
    for _ in 0..POSTERS {
        let (place, over, next, mut chance) = (
            world.place.clone(),
            Arc::clone(&over),
            Arc::clone(&next),
            chance.fork(),
        );
        posters.push(tokio::spawn(async move {
            let mut acknowledged = Vec::new();
            while !over.load(Ordering::Relaxed) {
                acknowledged.push(
                    one_call(&place, next.fetch_add(1, Ordering::Relaxed), &mut chance).await,
                );
                tokio::time::sleep(Duration::from_millis(chance.u64(..400))).await;
            }
            acknowledged
        }));
    }
    for _ in 0..kills {
        // A third of the lives are counted from the process's start, the others from its readiness; some are long
        // enough to settle what was unclear.
        let daemon = if chance.u8(..3) == 0 {
            world.place.spawn()
        } else {
            world.place.start().await
        };
        let longest = if chance.u8(..3) == 0 { 600 } else { 150 };
        tokio::time::sleep(Duration::from_millis(chance.u64(2..longest))).await;
        daemon.kill();
    }
    over.store(true, Ordering::Relaxed);
    let daemon = world.place.start().await;
    let mut expected = BTreeSet::new();
    for poster in posters {
        expected.extend(poster.await.unwrap());
    }
    world.sandbox.clear_faults();
    let (killed, before) = (clock::monotonic() - started, world.sandbox.counts());
    let status = daemon.at_rest("every call has its end").await;
    let events = &status["events"];
    println!(
        "{} calls, {} events, {kills} kills in {killed:?}; {} notes and {} requests before the last start, {} requests in all, drained after {:?}",
        expected.len(),
        events["accepted"],
        before.notes,
        before.requests,
        world.sandbox.requests().total,
        clock::monotonic() - started,
    );
    let logs = logs(&world.sandbox);
    let wrong: Vec<_> = logs.iter().filter(|(_, made)| **made != (1, 1)).collect();
    assert!(
        wrong.is_empty(),
        "not exactly one conversation and one note: {wrong:?}"
    );
    let logged: BTreeSet<String> = logs.into_keys().collect();
    let missing: Vec<_> = expected.difference(&logged).collect();
    assert!(
        missing.is_empty(),
        "acknowledged but not logged: {missing:?}"
    );
    assert_eq!(logged, expected);
    assert_eq!(
        (&events["dead"], &events["in_flight"]),
        (&0.into(), &0.into()),
        "{events}"
    );
    let phones: BTreeSet<String> = world
        .sandbox
        .customers()
        .iter()
        .map(|one| one["attributes"]["phones"][0]["phone"].to_string())
        .collect();
    assert_eq!(
        phones.len(),
        world.sandbox.counts().customers,
        "one customer a number"
    );
    assert!(daemon.stop().await.success());
}
