//! Kustomer failing in every way it can, at every step: in the end there is one conversation and one note all the same.

use crate::support::{Config, Daemon, Integration, World, address, call, logs, populated, within};
use serde_json::{Value, json};
use std::time::Duration;
use tieline::clock;
use tieline::sandbox::{Fault, FaultKind, LimitOptions, Sandbox, SandboxOptions};

/// Longer than a stall may be noticed late on a busy machine.
const TIMEOUT: &str = "1s";
/// Past the timeout, and before the look that comes as long again after it.
const STALL_MS: u64 = 1300;

/// The creates of a call: what they are called here, and their path.
const CREATES: [(&str, &str); 4] = [
    ("customer", "/v1/customers"),
    ("conversation", "/v1/customers/*/conversations"),
    ("note", "/v1/conversations/*/notes"),
    ("message", "/v1/conversations/*/messages"),
];

fn status(status: u16, headers: &[(&str, String)]) -> FaultKind {
    let headers = headers
        .iter()
        .map(|(name, value)| ((*name).to_owned(), value.clone()))
        .collect();
    FaultKind::Status {
        status,
        body: None,
        headers,
    }
}

/// Every way of failing, with how often in a row.
fn kinds() -> Vec<(&'static str, u64, FaultKind)> {
    let soon = clock::now().as_second() + 2;
    vec![
        ("500", 3, status(500, &[])),
        (
            "503-retry-after",
            1,
            status(503, &[("retry-after", "1".to_owned())]),
        ),
        ("500-done", 2, FaultKind::CommitThenStatus { status: 500 }),
        ("closed", 3, FaultKind::CloseBefore),
        ("closed-done", 2, FaultKind::CommitThenClose),
        (
            "page-200",
            2,
            FaultKind::Garbage {
                status: 200,
                commit: false,
            },
        ),
        (
            "page-200-done",
            2,
            FaultKind::Garbage {
                status: 200,
                commit: true,
            },
        ),
        (
            "page-502",
            2,
            FaultKind::Garbage {
                status: 502,
                commit: false,
            },
        ),
        (
            "page-502-done",
            2,
            FaultKind::Garbage {
                status: 502,
                commit: true,
            },
        ),
        (
            "page-404",
            2,
            FaultKind::Garbage {
                status: 404,
                commit: false,
            },
        ),
        ("cut", 2, FaultKind::Cut),
        ("stall", 1, FaultKind::Delay { ms: STALL_MS }),
        ("stall-done", 1, FaultKind::CommitThenDelay { ms: STALL_MS }),
        ("401", 3, status(401, &[])),
        ("403", 3, status(403, &[])),
        ("429", 2, status(429, &[])),
        (
            "429-reset",
            2,
            status(429, &[("x-ratelimit-reset", soon.to_string())]),
        ),
    ]
}

/// Each way at each create, and lost replies whose look fails too.
fn cases() -> Vec<(String, Vec<Fault>)> {
    let mut cases = Vec::new();
    for (create, path) in CREATES {
        for (name, times, kind) in kinds() {
            cases.push((
                format!("{create}-{name}"),
                vec![Fault::on(path, kind).method("POST").times(times)],
            ));
        }
    }
    let looks = [
        ("customer", "/v1/customers", "/v1/customers/phone=*"),
        (
            "conversation",
            "/v1/customers/*/conversations",
            "/v1/conversations/externalId=*",
        ),
        (
            "note",
            "/v1/conversations/*/notes",
            "/v1/conversations/*/notes",
        ),
        (
            "message",
            "/v1/conversations/*/messages",
            "/v1/messages/externalid=*",
        ),
    ];
    for (create, path, look) in looks {
        // A lookup of the number comes before the customer is created: let it pass (asked with and without plus).
        let passed = if create == "customer" { 2 } else { 0 };
        for (name, kind) in [
            ("500", status(500, &[])),
            (
                "page-404",
                FaultKind::Garbage {
                    status: 404,
                    commit: false,
                },
            ),
        ] {
            let lost = Fault::on(path, FaultKind::CommitThenClose)
                .method("POST")
                .times(1);
            let blind = Fault::on(look, kind).method("GET").after(passed).times(2);
            cases.push((format!("{create}-lost-look-{name}"), vec![lost, blind]));
        }
    }
    cases
}

/// One daemon with one integration and sandbox for each case, and one call that all of them take.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_fault_at_every_step_ends_with_one_conversation_and_one_note() {
    let mut config = Config {
        integrations: Vec::new(),
        ..Config::default()
    };
    let mut sandboxes = Vec::new();
    for (name, faults) in cases() {
        let sandbox = populated(SandboxOptions::empty()).await;
        faults
            .into_iter()
            .for_each(|fault| assert!(sandbox.add_fault(fault)));
        let mut part = Integration::named(&name);
        part.url = Some(sandbox.url().to_owned());
        part.lines = format!(
            "retry = [\"20ms\", \"100ms\"]\nland_time = \"50ms\"\ntimeout = \"{TIMEOUT}\"\nbudget_window = \"1s\""
        );
        part.calls = "voice_message = true".to_owned();
        config.integrations.push(part);
        sandboxes.push((name, sandbox));
    }
    let (_world, daemon) = World::running(&config).await;
    let id = daemon.post(&call("a1", "+49 151 99887766")).await;
    let status = daemon.settled(1).await;
    assert_eq!(status["events"]["logged"], 1, "{status:#}");
    let explained = daemon.place.explain(&id).await;
    for (name, sandbox) in &sandboxes {
        let parts = explained["integrations"].as_array().unwrap();
        let part = parts
            .iter()
            .find(|part| part["integration"] == name.as_str())
            .unwrap();
        assert_eq!(part["end"]["end"], "logged", "{name}: {part:#}");
        let counts = sandbox.counts();
        let created = (
            counts.customers,
            counts.conversations,
            counts.notes,
            counts.messages,
        );
        assert_eq!(
            created,
            (2, 1, 1, 1),
            "{name}: customers (one was there), conversations, notes, messages"
        );
        if name.ends_with("401") || name.ends_with("403") {
            assert_eq!(
                part["delivery"]["attempts"], 0,
                "{name}: a refused key uses up no attempt: {part:#}"
            );
        }
    }
}

async fn logged_once(daemon: &Daemon, sandbox: &Sandbox, id: &str) {
    within(
        "the call is logged",
        sandbox.wait_until(|counts| counts.notes == 1),
    )
    .await;
    daemon.settled(1).await;
    assert_eq!(
        logs(sandbox),
        [(format!("tieline:script:{id}"), (1, 1))].into()
    );
}

fn held(status: &Value) -> &str {
    status["integrations"][0]["held"]
        .as_str()
        .unwrap_or_default()
}

/// Invariant 10.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kustomer_away_is_waited_for_over_a_restart() {
    let kustomer = address();
    let mut config = Config::default();
    config.integrations[0].url = Some(format!("http://{kustomer}"));
    let world = World::start(&config).await;
    let daemon = world.place.start().await;
    daemon.post(&call("a1", "+491711234567")).await;
    let status = daemon
        .until("Kustomer is found unreachable", |status| {
            held(status).starts_with("unreachable")
        })
        .await;
    assert_eq!(
        (&status["healthy"], &status["integrations"][0]["owed"]),
        (&json!(true), &json!(1))
    );
    assert!(daemon.stop().await.success());
    let daemon = world.place.start().await;
    let options = SandboxOptions {
        listen: kustomer.to_string(),
        ..SandboxOptions::empty()
    };
    let sandbox = populated(options).await;
    logged_once(&daemon, &sandbox, "a1").await;
    let status = daemon.place.status().await;
    assert_eq!(status["integrations"][0]["held"], Value::Null);
}

/// The stalled create is done only after its sender gave up on it; that Kustomer answers another call meanwhile must not
/// bring the look forward, or the call would be logged twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stalled_create_is_looked_for_in_its_time_even_when_others_succeed() {
    let lines = format!("retry = [\"20ms\"]\nland_time = \"20ms\"\ntimeout = \"{TIMEOUT}\"");
    let (world, daemon) = World::running(&Config::kustomer(&lines)).await;
    let stall = FaultKind::Delay { ms: STALL_MS };
    let create = Fault::on("/v1/customers/*/conversations", stall);
    world.sandbox.add_fault(create.method("POST").times(1));
    daemon.post(&call("stalled", "+491711234567")).await;
    daemon
        .until("the stall is noticed", |status| {
            held(status).starts_with("unreachable")
        })
        .await;
    daemon.post(&call("quick", "+4915199887766")).await;
    daemon.settled(2).await;
    let requests = world.sandbox.requests();
    let creates = requests.count("POST /v1/customers/{id}/conversations");
    assert_eq!(creates, 2, "a second create for the stalled call");
    let once = |id: &str| (format!("tieline:script:{id}"), (1, 1));
    assert_eq!(logs(&world.sandbox), ["quick", "stalled"].map(once).into());
}

/// A plain listener where TLS is spoken: nothing can have been done, and nothing is lost once the address is right.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tls_error_holds_until_the_settings_are_mended() {
    let mut config = Config::default();
    let world = World::start(&config).await;
    config.integrations[0].url = Some(world.sandbox.url().replace("http:", "https:"));
    world.configure(&config);
    let daemon = world.place.start().await;
    daemon.post(&call("a1", "+491711234567")).await;
    daemon
        .until("TLS fails", |status| {
            held(status).starts_with("unreachable")
        })
        .await;
    world.configure(&Config::default());
    daemon.signal(rustix::process::Signal::HUP);
    logged_once(&daemon, &world.sandbox, "a1").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_key_pauses_without_using_up_attempts_and_a_right_one_resumes() {
    let world = World::start(&Config::default()).await;
    let key = world.place.folder.join("kustomer-key");
    let right = std::fs::read(&key).unwrap();
    std::fs::write(&key, "wrong-key").unwrap();
    let daemon = world.place.start().await;
    let id = daemon.post(&call("a1", "+491711234567")).await;
    daemon
        .until("the key is refused", |status| {
            held(status).starts_with("paused")
        })
        .await;
    within(
        "several probes",
        world.sandbox.wait_until(|counts| counts.requests >= 3),
    )
    .await;
    std::fs::write(&key, right).unwrap();
    logged_once(&daemon, &world.sandbox, "a1").await;
    assert_eq!(
        daemon.place.explain(&id).await["integrations"][0]["delivery"]["attempts"],
        0
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_request_is_dead_and_can_be_retried() {
    let (world, daemon) = World::running(&Config::default()).await;
    world
        .sandbox
        .add_fault(Fault::on("/v1/conversations/*/notes", status(400, &[])));
    daemon.post(&call("a1", "+491711234567")).await;
    assert_eq!(daemon.settled(1).await["events"]["dead"], 1);
    let dead = daemon.place.json(&["dead", "list"]).await;
    assert_eq!(dead["dead"][0]["id"], "support/call:script:a1");
    assert!(
        dead["dead"][0]["why"].as_str().unwrap().contains("400"),
        "{dead}"
    );
    let shown = daemon
        .place
        .cli(&["dead", "show", "support/call:script:a1"])
        .await;
    assert!(shown.out.contains("tieline:script:a1"), "{shown:?}");
    world.sandbox.clear_faults();
    let retried = daemon
        .place
        .cli(&["dead", "retry", "support/call:script:a1"])
        .await;
    assert_eq!(
        (retried.code, retried.out.as_str()),
        (Some(0), "1 tried again\n"),
        "{retried:?}"
    );
    daemon
        .until("the dead letter is logged", |status| {
            status["events"]["logged"] == 1
        })
        .await;
    logged_once(&daemon, &world.sandbox, "a1").await;
    assert_eq!(
        daemon.place.json(&["dead", "list"]).await["dead"],
        json!([])
    );
    // A replay takes up dead deliveries too.
    world
        .sandbox
        .add_fault(Fault::on("/v1/conversations/*/notes", status(400, &[])));
    daemon.post(&call("a2", "+491711234567")).await;
    assert_eq!(daemon.settled(2).await["events"]["dead"], 1);
    world.sandbox.clear_faults();
    let replayed = daemon.place.cli(&["replay", "--dead"]).await;
    assert_eq!(replayed.code, Some(0), "{replayed:?}");
    let logged = |status: &Value| status["events"]["logged"] == 2;
    daemon.until("the replayed call is logged", logged).await;
    assert!(logs(&world.sandbox).values().all(|made| *made == (1, 1)));
}

/// What waits after an outage goes out as fast as the budget lets it, and no faster in any window.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_waiting_calls_stay_within_the_budget() {
    const CALLS: usize = 1000;
    const BUDGET: usize = 200;
    const WINDOW: Duration = Duration::from_millis(500);
    let kustomer = address();
    let mut config = Config::kustomer(&format!(
        "requests_per_minute = {BUDGET}\nbudget_window = \"{}ms\"\nparallel = 16\nretry = [\"100ms\"]\ntimeout = \"20s\"",
        WINDOW.as_millis()
    ));
    config.integrations[0].url = Some(format!("http://{kustomer}"));
    let world = World::start(&config).await;
    let daemon = world.place.start().await;
    let post = |number: usize| {
        daemon.post_owned(call(
            &format!("c{number}"),
            &format!("+4915112340{:03}", number % 40),
        ))
    };
    for first in (0..CALLS).step_by(20) {
        let posts: Vec<_> = (first..first + 20)
            .map(|number| tokio::spawn(post(number)))
            .collect();
        for post in posts {
            post.await.unwrap();
        }
    }
    let limits = LimitOptions {
        window: WINDOW,
        requests: BUDGET,
        ..LimitOptions::default()
    };
    let options = SandboxOptions {
        listen: kustomer.to_string(),
        limits,
        ..SandboxOptions::empty()
    };
    let sandbox = populated(options).await;
    daemon.settled(CALLS).await;
    let (requests, counts) = (sandbox.requests(), sandbox.counts());
    let most = requests.most_within(WINDOW);
    println!(
        "{} requests for {CALLS} calls, at most {most} in any {WINDOW:?}",
        requests.total
    );
    assert!(
        most <= BUDGET,
        "{most} requests in a window, {BUDGET} allowed"
    );
    assert_eq!(requests.limited, 0, "refused with 429");
    assert_eq!((counts.conversations, counts.notes), (CALLS, CALLS));
    assert!(logs(&sandbox).values().all(|made| *made == (1, 1)));
}

/// Who waits for the budget waits in vain at a stop: it doesn't take all of `grace`, and nothing is left unclear.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_does_not_wait_for_the_budget() {
    const CALLS: usize = 6;
    const BUDGET: u64 = 4;
    let budget = |requests: u64| Config::kustomer(&format!("requests_per_minute = {requests}"));
    let (world, daemon) = World::running(&budget(BUDGET)).await;
    for number in 0..CALLS {
        daemon
            .post(&call(&format!("c{number}"), "+491711234567"))
            .await;
    }
    let used_up = |_: &Value| world.sandbox.requests().total >= BUDGET;
    daemon.until("the budget is used up", used_up).await;
    assert!(daemon.stop().await.success());
    let log = world.place.log();
    assert!(!log.contains("not finished within"), "{log}");
    assert_eq!(world.sandbox.requests().total, BUDGET);
    world.configure(&budget(500));
    let daemon = world.place.start().await;
    daemon.settled(CALLS).await;
    assert!(logs(&world.sandbox).values().all(|made| *made == (1, 1)));
    let asked = world.sandbox.requests().by_route;
    let looked = asked.keys().any(|route| route.contains("externalId"));
    assert!(!looked, "something was unclear: {asked:?}");
}

/// A restart must not forget what the last run sent within the window (invariant 7).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kills_within_a_window_don_t_exceed_the_budget() {
    const CALLS: usize = 60;
    const BUDGET: usize = 40;
    const KILLS: usize = 6;
    const WINDOW: Duration = Duration::from_secs(1);
    let config = Config::kustomer(&format!(
        "requests_per_minute = {BUDGET}\nbudget_window = \"1s\"\nparallel = 2\nretry = [\"100ms\"]\nland_time = \"50ms\"\nbulk_land_time = \"200ms\""
    ));
    let options = SandboxOptions {
        limits: LimitOptions {
            window: WINDOW,
            ..LimitOptions::default()
        },
        ..SandboxOptions::empty()
    };
    let world = World::with(&config, options).await;
    let mut daemon = world.place.start().await;
    for number in 0..CALLS {
        daemon
            .post(&call(&format!("k{number}"), "+49 171 1234567"))
            .await;
    }
    for kill in 1..=KILLS {
        let wanted = kill * CALLS / (KILLS + 2);
        let reached = |counts: &tieline::sandbox::Counts| counts.notes >= wanted;
        within("some notes", world.sandbox.wait_until(reached)).await;
        daemon.kill();
        daemon = world.place.start().await;
    }
    daemon.settled(CALLS).await;
    let most = world.sandbox.requests().most_within(WINDOW);
    assert!(
        most <= BUDGET,
        "{most} requests in a window, {BUDGET} allowed"
    );
    assert!(logs(&world.sandbox).values().all(|made| *made == (1, 1)));
}
