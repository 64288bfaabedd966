//! A key that lacks one role, each in turn: what then happens to a call, a text and a contact sync. Nothing crashes, is lost
//! or doubled; the refusal is told; and once the role is there, what waited goes on by itself.

use crate::directory::desk::request as api;
use crate::support::{Config, OURS, World, call, logs, text};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::fs;
use tieline::sandbox::{ApiKey, SANDBOX_KEY, SandboxOptions};

const MAX: &str = "+491711234567";
const NEW: &str = "+4915199887766";
/// All that tieline may need, by what each lets it do.
const ROLES: [&str; 19] = [
    "customer.read",
    "customer.create",
    "customer.update",
    "customer_merge.read",
    "search.create",
    "conversation.read",
    "conversation.create",
    "conversation.update",
    "note.read",
    "note.create",
    "note.update",
    "message.read",
    "message.create",
    "user.read",
    "team.read",
    "metadata.read",
    "bulk.read",
    "outbound_webhook.read",
    "outbound_webhook.create",
];

/// What a key without that role does to calls and to the contact sync: they wait, and `status` names the role, or all goes on.
fn expected(role: &str) -> (Goes, Goes) {
    match role {
        "conversation.create"
        | "conversation.read"
        | "note.create"
        | "message.create"
        | "customer.create" => (Goes::Waits, Goes::On),
        "customer.read" => (Goes::Waits, Goes::Waits),
        "customer.update" | "search.create" => (Goes::On, Goes::Waits),
        _ => (Goes::On, Goes::On),
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Goes {
    On,
    Waits,
}

/// How calls and contacts go by that status; none while they are on their way.
fn seen(status: &Value, role: &str) -> Option<(Goes, Goes)> {
    let (one, events) = (&status["integrations"][0], &status["events"]);
    let names = |why: &Value| why.as_str().is_some_and(|why| why.contains(role));
    let done = events["accepted"] == 4 && events["in_flight"] == 0 && one["owed"] == 0;
    let sync = &one["contacts"];
    // The customer has what the phone side knew of him.
    let synced = sync["written"]["kustomer"].as_u64() >= Some(1);
    let went = |waits: bool, on: bool| match (waits, on) {
        (true, _) => Some(Goes::Waits),
        (false, true) => Some(Goes::On),
        (false, false) => None,
    };
    let calls = went(names(&one["held"]), done && one["held"].is_null())?;
    let contacts = went(
        names(&sync["fault"]["why"]),
        synced && sync["fault"].is_null(),
    )?;
    Some((calls, contacts))
}

fn options(lacking: &str) -> SandboxOptions {
    let held = ROLES.iter().filter(|role| **role != lacking);
    let roles = held.map(|role| format!("org.permission.{role}")).collect();
    let full = vec!["org.permission".to_owned()];
    let key = |key: &str, roles| ApiKey {
        key: key.to_owned(),
        roles,
    };
    SandboxOptions {
        keys: vec![key("lacking", roles), key(SANDBOX_KEY, full)],
        custom: json!({"conversation": {"queueStr": {"type": "string"}}}),
        ..SandboxOptions::empty()
    }
}

fn config() -> Config {
    let mut config = Config::calls(
        "voice_message = true\ncustom = { queueStr = \"{{ queue }}\" }\nassign = [\"agent\", \"default\"]\nassign_default = \"Second line\"",
    );
    config.daemon = "[[client]]\nname = \"pbx\"\ntoken_file = \"script-token\"\nmay = [\"contacts:read\", \"contacts:write\"]".to_owned();
    // After a reload the budget counts as spent for as long.
    config.integrations[0].lines += "\nbudget_window = \"1s\"";
    config.integrations[0].texts =
        "text_message = true\n[kustomer.contacts]\nsearch_lag = \"0s\"\npoll = \"1s\"\n".to_owned();
    config
}

async fn plays(role: &str) -> (Goes, Goes) {
    let world = World::with(&config(), options(role)).await;
    let key = world.place.folder.join("kustomer-key");
    fs::write(&key, "lacking").unwrap();
    let daemon = world.place.start().await;
    let body = json!({"name": "Max Muster", "phones": [{"type": "mobile", "number": MAX}], "emails": [{"type": "work", "email": "max@example.org"}]});
    let proof = ("authorization", "Bearer token");
    let made = api(
        world.place.listen,
        "POST",
        "/v1/contacts",
        &[proof],
        &body.to_string(),
    )
    .await;
    assert_eq!(made.status, 201, "{made:?}");
    // A known and an unknown number; a text; what comes late of the first call.
    daemon.post(&call("a1", MAX)).await;
    daemon.post(&call("a2", NEW)).await;
    daemon.post(&text("t1", "in", MAX, OURS)).await;
    let mut late = call("a1", MAX);
    late["recording"] = json!("https://pbx.example/r/1");
    daemon.post(&late).await;
    let status = daemon
        .until(&format!("it goes on or waits without {role}"), |status| {
            seen(status, role).is_some()
        })
        .await;
    let without = seen(&status, role).unwrap();
    fs::write(&key, SANDBOX_KEY).unwrap();
    daemon.signal(Signal::HUP);
    let status = daemon
        .until(&format!("with {role} again all is logged"), |status| {
            let one = &status["integrations"][0];
            status["settings"]["in_force"] != "since the start"
                && status["events"]["in_flight"] == 0
                && one["owed"] == 0
                && one["held"].is_null()
        })
        .await;
    // By itself it would be at the next look; both sides are one then.
    for _ in 0..2 {
        let synced = world.place.cli(&["sync", "now"]).await;
        assert_eq!(synced.code, Some(0), "with {role} again: {synced:?}");
    }
    let linked = &world.place.status().await["integrations"][0]["contacts"]["linked"];
    assert_eq!(linked, 2, "with {role} again");
    assert_eq!(status["events"]["dead"], 0, "without {role}: {status:#}");
    assert_eq!(status["events"]["adds_up"], true);
    let made = logs(&world.sandbox);
    assert_eq!(made.len(), 3, "without {role}: {made:?}");
    assert!(
        made.values().all(|made| *made == (1, 1)),
        "without {role}: {made:?}"
    );
    assert_eq!(world.sandbox.messages().len(), 3, "without {role}");
    let customers = world.sandbox.customers();
    assert_eq!(customers.len(), 2, "without {role}: {customers:?}");
    let synced = customers
        .iter()
        .any(|one| one.to_string().contains("max@example.org"));
    assert!(synced, "without {role}: {customers:?}");
    assert!(daemon.stop().await.success());
    without
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_role_costs_no_call_and_no_contact() {
    let mut wrong = Vec::new();
    for role in ROLES {
        let seen = plays(role).await;
        if seen != expected(role) {
            wrong.push(format!("without {role} calls and contacts: {seen:?}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
