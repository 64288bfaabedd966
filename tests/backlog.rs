//! A backlog drains through bulk requests, over real sockets: every call once, far fewer requests, within the budget,
//! with every fault that bulk has; and new calls pass it.

use crate::support::{
    Config, Daemon, Integration, World, address, attribute, call, logs, populated, seed, within,
};
use serde_json::{Value, json};
use std::ops::Range;
use std::time::Duration;
use tieline::clock;
use tieline::sandbox::{
    ApiKey, Counts, Fault, FaultKind, LimitOptions, Requests, SANDBOX_KEY, Sandbox, SandboxOptions,
};

/// Kustomer's budget in these tests, per window.
const BUDGET: usize = 200;
const WINDOW: Duration = Duration::from_millis(500);
/// Whose calls they are: a hundred calls are a few of each.
const CALLERS: usize = 40;

const LOOKS: &str = "GET /v1/conversations/externalId={externalId}";
const JOB_LOOKS: &str = "GET /v1/bulk/{id}";
const CONVERSATION_JOBS: &str = "POST /v1/conversations/bulk";
const NOTE_JOBS: &str = "POST /v1/notes/bulk";

/// Settings with these waits: long enough for what lands late in a test, short enough for the test.
fn lines(timeout: &str) -> String {
    format!(
        "requests_per_minute = {BUDGET}\nbudget_window = \"{}ms\"\nparallel = 8\nretry = [\"50ms\", \"100ms\"]\n\
         land_time = \"50ms\"\nbulk_land_time = \"2s\"\ntimeout = \"{timeout}\"",
        WINDOW.as_millis()
    )
}

fn options() -> SandboxOptions {
    SandboxOptions {
        limits: LimitOptions {
            window: WINDOW,
            requests: BUDGET,
            ..LimitOptions::default()
        },
        bulk_delay: Duration::from_millis(50),
        ..SandboxOptions::empty()
    }
}

fn caller(number: usize) -> String {
    format!("+4915112340{:03}", number % CALLERS)
}

/// The same with all callers in it.
fn options_with_callers() -> SandboxOptions {
    let known =
        |number| json!({"name": "Caller", "phones": [{"type": "mobile", "phone": caller(number)}]});
    SandboxOptions {
        customers: (0..CALLERS).map(known).collect(),
        ..options()
    }
}

fn status(status: u16) -> FaultKind {
    FaultKind::Status {
        status,
        body: None,
        headers: [].into(),
    }
}

fn nth_call(number: usize) -> Value {
    call(&format!("c{number}"), &caller(number))
}

async fn post_all(daemon: &Daemon, numbers: Range<usize>, event: impl Fn(usize) -> Value) {
    for first in numbers.clone().step_by(25) {
        let numbers = first..numbers.end.min(first + 25);
        let posts: Vec<_> = numbers
            .map(|number| tokio::spawn(daemon.post_owned(event(number))))
            .collect();
        for post in posts {
            post.await.unwrap();
        }
    }
}

/// A daemon that holds calls while Kustomer is away, and where Kustomer will be.
struct Outage {
    /// Before the folder that its log is in.
    daemon: Daemon,
    world: World,
    kustomer: String,
    calls: usize,
}

impl Outage {
    async fn of(calls: usize, rules: &str) -> Self {
        Self::of_events(calls, rules, nth_call).await
    }

    async fn of_events(calls: usize, rules: &str, event: impl Fn(usize) -> Value) -> Self {
        let kustomer = address().to_string();
        let mut config = Config::kustomer(&lines("5s"));
        config.settle = "20ms".to_owned();
        config.integrations[0].url = Some(format!("http://{kustomer}"));
        config.integrations[0].calls = rules.to_owned();
        let world = World::start(&config).await;
        let daemon = world.place.start().await;
        post_all(&daemon, 0..calls, event).await;
        daemon
            .until("all calls wait", |status| waiting(status, calls))
            .await;
        Self {
            world,
            daemon,
            kustomer,
            calls,
        }
    }

    /// Kustomer is back, with these faults.
    async fn over(&self, options: SandboxOptions, faults: Vec<Fault>) -> Sandbox {
        let options = SandboxOptions {
            listen: self.kustomer.clone(),
            ..options
        };
        back(options, faults).await
    }

    /// Waits until all is logged, once, within the budget; the requests it took.
    async fn drained(&self, sandbox: &Sandbox) -> Requests {
        let status = self.daemon.settled(self.calls).await;
        assert_eq!(status["events"]["logged"], self.calls, "{status:#}");
        once(sandbox, self.calls);
        within_budget(sandbox)
    }
}

fn waiting(status: &Value, calls: usize) -> bool {
    let parts = status["integrations"].as_array().unwrap();
    parts.iter().all(|part| {
        let held = part["held"].as_str().unwrap_or_default();
        part["owed"] == calls && held.starts_with("unreachable")
    })
}

async fn back(options: SandboxOptions, faults: Vec<Fault>) -> Sandbox {
    let sandbox = populated(options).await;
    for fault in faults {
        assert!(sandbox.add_fault(fault));
    }
    sandbox
}

/// Every call has one conversation and one note.
fn once(sandbox: &Sandbox, calls: usize) {
    let logs = logs(sandbox);
    let wrong: Vec<_> = logs.iter().filter(|(_, made)| **made != (1, 1)).collect();
    assert!(
        wrong.is_empty(),
        "not exactly one conversation and one note: {wrong:?}"
    );
    assert_eq!(logs.len(), calls);
}

fn within_budget(sandbox: &Sandbox) -> Requests {
    let requests = sandbox.requests();
    let most = requests.most_within(WINDOW);
    assert!(most <= BUDGET, "{most} in a window, {BUDGET} allowed");
    assert_eq!(requests.limited, 0, "refused with 429");
    requests
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_waiting_calls_cost_less_than_half_a_request_each() {
    const CALLS: usize = 1000;
    let outage = Outage::of(CALLS, "").await;
    let sandbox = outage.over(options_with_callers(), Vec::new()).await;
    let requests = outage.drained(&sandbox).await;
    println!(
        "{} requests for {CALLS} calls: {:?}",
        requests.total, requests.by_route
    );
    assert!(requests.total < CALLS as u64 / 2, "{:?}", requests.by_route);
}

/// The conversations' statuses and the messages too: an incoming message opens a conversation again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_go_together_and_conversations_end_with_their_status() {
    const CALLS: usize = 300;
    let outage = Outage::of(CALLS, "voice_message = true").await;
    let options = SandboxOptions {
        reopen_on_inbound: true,
        ..options()
    };
    let lost = Fault::on("/v1/messages/bulk", FaultKind::CommitThenClose).times(1);
    let sandbox = outage.over(options, vec![lost]).await;
    outage.drained(&sandbox).await;
    let messages = sandbox.messages();
    assert_eq!(messages.len(), CALLS);
    let open: Vec<_> = sandbox
        .conversations()
        .iter()
        .filter(|one| attribute(one, "status") != "done")
        .map(|one| attribute(one, "externalId"))
        .collect();
    assert!(open.is_empty(), "{open:?}");
    assert_eq!(sandbox.counts().customers, CALLERS + 1, "Max is one more");
}

/// Notes of 4 kB: a hundred of them are no request of less than 100 kB.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_notes_are_spread_over_requests() {
    const CALLS: usize = 120;
    let long = |number| {
        let mut event = nth_call(number);
        event["note"] = json!("All of it, word for word. ".repeat(150));
        event
    };
    let outage = Outage::of_events(CALLS, "", long).await;
    let sandbox = outage.over(options_with_callers(), Vec::new()).await;
    let requests = outage.drained(&sandbox).await;
    assert!(requests.count(NOTE_JOBS) >= 5, "{:?}", requests.by_route);
    let bytes: usize = sandbox
        .notes()
        .iter()
        .map(|note| attribute(note, "body").len())
        .sum();
    assert!(bytes > CALLS * 3900, "{bytes}");
}

/// Where each of them strikes: the request, the job, or the look at it.
fn cases() -> Vec<(String, Vec<Fault>)> {
    let mut cases = Vec::new();
    for (kind, path) in [
        ("customers", "/v1/customers/bulk"),
        ("conversations", "/v1/conversations/bulk"),
        ("notes", "/v1/notes/bulk"),
    ] {
        for (name, faults) in [
            ("lost-done", vec![FaultKind::CommitThenClose]),
            (
                "500-done",
                vec![FaultKind::CommitThenStatus { status: 500 }],
            ),
            (
                "some-fail",
                vec![FaultKind::BulkItems {
                    every: 7,
                    commit: false,
                }],
            ),
            (
                "some-lie",
                vec![FaultKind::BulkItems {
                    every: 7,
                    commit: true,
                }],
            ),
            ("vanished", vec![FaultKind::BulkVanish]),
            ("400-413", vec![status(400), status(413)]),
        ] {
            let faults = faults
                .into_iter()
                .map(|kind| Fault::on(path, kind).method("POST").times(1));
            cases.push((format!("{kind}-{name}"), faults.collect()));
        }
    }
    let bulk = |kind| Fault::on("/v1/*/bulk", kind).method("POST");
    let look = |kind| Fault::on("/v1/bulk/", kind).method("GET");
    let later = FaultKind::BulkDelay { ms: 900 };
    let stall = FaultKind::CommitThenDelay { ms: 1500 };
    let garbage = |commit| FaultKind::Garbage {
        status: 201,
        commit,
    };
    for (name, faults) in [
        ("closed", vec![bulk(FaultKind::CloseBefore).times(2)]),
        ("503", vec![bulk(status(503)).times(2)]),
        ("page", vec![bulk(garbage(false)).times(2)]),
        ("page-done", vec![bulk(garbage(true)).times(2)]),
        ("cut", vec![bulk(FaultKind::Cut).times(2)]),
        ("stall", vec![bulk(stall).times(1)]),
        ("429", vec![bulk(status(429)).times(2)]),
        ("403", vec![bulk(status(403)).times(1)]),
        ("slow", vec![bulk(later)]),
        ("silent", vec![bulk(FaultKind::BulkSilent).times(2)]),
        ("look-404", vec![look(status(404)).times(1)]),
        ("look-503", vec![look(status(503)).times(3)]),
        ("look-closed", vec![look(FaultKind::CloseBefore).times(3)]),
        ("look-403", vec![look(status(403)).times(1)]),
        ("look-401", vec![look(status(401)).times(2)]),
    ] {
        cases.push((name.to_owned(), faults));
    }
    cases
}

/// One daemon with one integration for each case, all of them away while the same calls come in.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_bulk_fault_ends_with_one_conversation_and_one_note() {
    const CALLS: usize = 110;
    let mut config = Config {
        integrations: Vec::new(),
        settle: "20ms".to_owned(),
        ..Config::default()
    };
    let mut places = Vec::new();
    for (name, faults) in cases() {
        let listen = address().to_string();
        let mut part = Integration::named(&name);
        part.url = Some(format!("http://{listen}"));
        part.lines = lines("1s");
        config.integrations.push(part);
        places.push((name, listen, faults));
    }
    let (_world, daemon) = World::running(&config).await;
    post_all(&daemon, 0..CALLS, nth_call).await;
    daemon
        .until("all calls wait", |status| waiting(status, CALLS))
        .await;
    let mut sandboxes = Vec::new();
    for (name, listen, faults) in places {
        let options = SandboxOptions {
            listen,
            ..options()
        };
        sandboxes.push((name, back(options, faults).await));
    }
    let idle = |status: &Value| {
        let parts = status["integrations"].as_array().unwrap();
        parts.iter().all(|part| part["owed"] == 0)
    };
    daemon.until("all is delivered", idle).await;
    let status = daemon.settled(CALLS).await;
    assert_eq!(status["events"]["logged"], CALLS, "{status:#}");
    for (name, sandbox) in &sandboxes {
        println!("{name}: {} requests", sandbox.requests().total);
        let dead = status["integrations"]
            .as_array()
            .unwrap()
            .iter()
            .find(|part| part["name"] == name.as_str());
        assert_eq!(dead.unwrap()["dead_since_start"], 0, "{name}");
        let requests = within_budget(sandbox);
        assert!(requests.count(CONVERSATION_JOBS) > 0, "{name}: no bulk");
        once(sandbox, CALLS);
        assert_eq!(sandbox.counts().customers, CALLERS + 1, "{name}");
    }
}

/// The first look finds nothing, because the job hasn't begun: that must not count.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_request_whose_job_runs_late_is_waited_for() {
    const CALLS: usize = 110;
    let outage = Outage::of(CALLS, "").await;
    let options = SandboxOptions {
        bulk_delay: Duration::from_millis(700),
        ..options_with_callers()
    };
    let lost = Fault::on("/v1/*/bulk", FaultKind::CommitThenClose).method("POST");
    let sandbox = outage.over(options, vec![lost.times(2)]).await;
    let requests = outage.drained(&sandbox).await;
    assert!(
        requests.count(LOOKS) > CALLS as u64 / 2,
        "{:?}",
        requests.by_route
    );
}

/// What a conversation gets beside the call is looked for in a job too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conversations_of_a_job_have_their_custom_attributes_and_their_agent() {
    const CALLS: usize = 300;
    let outage = Outage::of(CALLS, "custom = { callTypeStr = \"{{ type }}\" }").await;
    let custom =
        json!({"conversation": {"callTypeStr": {"type": "string", "displayName": "Type"}}});
    let options = SandboxOptions {
        custom,
        ..options_with_callers()
    };
    let sandbox = outage.over(options, Vec::new()).await;
    let requests = outage.drained(&sandbox).await;
    assert!(requests.count(CONVERSATION_JOBS) > 0);
    for conversation in sandbox.conversations() {
        let attributes = &conversation["attributes"];
        assert_eq!(
            attributes["custom"]["callTypeStr"], "incoming answered",
            "{attributes:#}"
        );
        assert!(
            attributes["assignedUsers"]
                .as_array()
                .is_some_and(|users| users.len() == 1),
            "{attributes:#}"
        );
    }
}

/// A key that may not ask for jobs: everything is looked for, bulk rests, and `status` says why.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_without_the_bulk_role_goes_one_by_one_and_says_so() {
    const CALLS: usize = 300;
    let outage = Outage::of(CALLS, "").await;
    let roles = ["customer", "conversation", "note", "message", "user"];
    let options = SandboxOptions {
        keys: vec![ApiKey {
            key: SANDBOX_KEY.to_owned(),
            roles: roles.map(|of| format!("org.permission.{of}")).into(),
        }],
        ..options_with_callers()
    };
    let sandbox = outage.over(options, Vec::new()).await;
    outage.drained(&sandbox).await;
    let status = outage.daemon.place.status().await;
    let rests = status["integrations"][0]["bulk"]["rests"].as_str();
    assert!(
        rests.is_some_and(|why| why.contains("org.permission.bulk.read")),
        "{status:#}"
    );
    let shown = outage.daemon.place.cli(&["status"]).await;
    assert!(shown.out.contains("no bulk requests until"), "{shown:?}");
}

/// Customers that the directory knows are gone: another organisation stands where the first one stood.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn customers_that_are_gone_are_looked_up_again() {
    const CALLS: usize = 110;
    // Agents that nobody knows: the users are gone too.
    let unassigned = |number| {
        let mut event = nth_call(number);
        event["extension"] = json!("199");
        event
    };
    let outage = Outage::of_events(CALLERS, "", unassigned).await;
    let before = outage.over(options_with_callers(), Vec::new()).await;
    outage.drained(&before).await;
    before.shutdown().await;
    let ids = CALLERS..CALLERS + CALLS;
    post_all(&outage.daemon, ids, unassigned).await;
    outage
        .daemon
        .until("all calls wait", |status| waiting(status, CALLS))
        .await;
    let options = SandboxOptions {
        seed: 2,
        ..options_with_callers()
    };
    let after = outage.over(options, Vec::new()).await;
    let status = outage.daemon.settled(CALLERS + CALLS).await;
    assert_eq!(status["events"]["logged"], CALLERS + CALLS, "{status:#}");
    once(&after, CALLS);
    within_budget(&after);
}

/// After a restart the job is asked, not Kustomer for each call.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_asks_the_job_again_and_not_for_each_call() {
    let outage = Outage::of(100, "").await;
    let blind = Fault::on("/v1/bulk/", status(503)).method("GET");
    let sandbox = outage.over(options_with_callers(), vec![blind]).await;
    let asked = |_: &Counts| sandbox.requests().count(JOB_LOOKS) > 0;
    within("the job is asked", sandbox.wait_until(asked)).await;
    let Outage {
        world,
        daemon,
        calls,
        ..
    } = outage;
    daemon.kill();
    sandbox.clear_faults();
    let daemon = world.place.start().await;
    daemon.settled(calls).await;
    once(&sandbox, calls);
    let requests = within_budget(&sandbox);
    assert_eq!(requests.count(LOOKS), 0, "{:?}", requests.by_route);
    assert_eq!(requests.count(CONVERSATION_JOBS), 1);
}

/// No job says that it is over, so that nothing of the backlog gets on; what comes now does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_call_passes_the_backlog() {
    const CALLS: usize = 1000;
    let mut outage = Outage::of(CALLS, "").await;
    let blind = Fault::on("/v1/bulk/", status(503)).method("GET");
    let sandbox = outage.over(options_with_callers(), vec![blind]).await;
    let many = |_: &Counts| sandbox.requests().count(CONVERSATION_JOBS) >= 4;
    within("the backlog drains", sandbox.wait_until(many)).await;
    outage.daemon.post(&call("new", "+491711234567")).await;
    let noted = || {
        let notes = sandbox.notes();
        notes
            .iter()
            .any(|note| attribute(note, "externalId") == "tieline:script:new:note")
    };
    within("the new call's note", sandbox.wait_until(|_| noted())).await;
    let notes = sandbox.counts().notes;
    assert!(
        notes < CALLS / 2,
        "{notes} of the backlog's notes came first"
    );
    sandbox.clear_faults();
    outage.calls += 1;
    outage.drained(&sandbox).await;
}

/// Killed at random moments while bulk is under way and fails in its own ways; `TIELINE_SEED` replays the chances.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_while_bulk_is_under_way_every_call_is_logged_once() {
    const CALLS: usize = 500;
    const KILLS: usize = 20;
    let mut chance = fastrand::Rng::with_seed(seed());
    let Outage {
        world,
        mut daemon,
        kustomer,
        calls,
    } = Outage::of(CALLS, "").await;
    let bulk = |kind| {
        Fault::on("/v1/*/bulk", kind)
            .method("POST")
            .probability(0.1)
    };
    let faults = vec![
        bulk(FaultKind::CommitThenClose),
        bulk(FaultKind::CommitThenStatus { status: 500 }),
        bulk(FaultKind::CloseBefore),
        bulk(FaultKind::BulkItems {
            every: 9,
            commit: chance.bool(),
        }),
        bulk(FaultKind::BulkVanish),
        bulk(FaultKind::BulkDelay { ms: 400 }),
        Fault::on("/v1/bulk/", status(500)).probability(0.1),
    ];
    let options = SandboxOptions {
        listen: kustomer,
        seed: chance.u64(..),
        ..options()
    };
    let sandbox = back(options, faults).await;
    let began = clock::monotonic();
    for _ in 0..KILLS {
        tokio::time::sleep(Duration::from_millis(chance.u64(5..700))).await;
        daemon.kill();
        daemon = world.place.start().await;
    }
    let (killed, before) = (began.elapsed(), sandbox.requests().total);
    let notes = sandbox.counts().notes;
    sandbox.clear_faults();
    let status = daemon.settled(calls).await;
    let requests = within_budget(&sandbox);
    println!(
        "{notes} notes and {before} requests after {KILLS} kills in {killed:?}, {} requests after {:?}: {:?}",
        requests.total,
        began.elapsed(),
        requests.by_route
    );
    assert_eq!(status["events"]["logged"], calls, "{status:#}");
    once(&sandbox, calls);
    assert_eq!(sandbox.counts().customers, CALLERS + 1, "one a number");
}
