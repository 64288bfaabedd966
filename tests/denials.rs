//! Kustomer denying what it told us before: a customer or a conversation that is gone by the time that something is written to it.
//! Nothing is lost: what can be mended is, and the rest is dead with words that say what isn't there.

use crate::support::{Config, Daemon, Integration, World, attribute, call, logs, related};
use serde_json::{Value, json};
use tieline::sandbox::{Fault, FaultKind};

const CONVERSATIONS: &str = "/v1/customers/*/conversations";
const NOTES: &str = "/v1/conversations/*/notes";
const LOOKUPS: &str = "GET /v1/customers/phone={phone}";
const MAX: &str = "+491711234567";

/// Kustomer's own 404, to a create.
fn denied(path: &str) -> Fault {
    let body = json!({"errors": [{"status": 404, "code": "notfound", "title": "not found"}]});
    let kind = FaultKind::Status {
        status: 404,
        body: Some(body),
        headers: [].into(),
    };
    Fault::on(path, kind).method("POST")
}

async fn why_dead(daemon: &Daemon) -> String {
    let dead = daemon.place.json(&["dead", "list"]).await;
    dead["dead"][0]["why"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_customer_that_is_found_and_denied_is_no_endless_search() {
    let (world, daemon) = World::running(&Config::default()).await;
    world.sandbox.add_fault(denied(CONVERSATIONS));
    daemon.post(&call("a1", MAX)).await;
    assert_eq!(daemon.settled(1).await["events"]["dead"], 1);
    let why = why_dead(&daemon).await;
    assert!(why.contains("then denies it exists"), "{why}");
    assert_eq!(
        world
            .sandbox
            .requests()
            .count("POST /v1/customers/{id}/conversations"),
        1
    );
    // Once it answers, a retry logs the call.
    world.sandbox.clear_faults();
    let retried = daemon
        .place
        .cli(&["dead", "retry", "support/call:script:a1"])
        .await;
    assert_eq!(retried.code, Some(0), "{retried:?}");
    let logged = |status: &Value| status["events"]["logged"] == 1;
    daemon.until("the call is logged", logged).await;
    assert_eq!(logs(&world.sandbox)["tieline:script:a1"], (1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_customer_of_hidden_callers_that_is_not_there_is_named() {
    let mut config = Config::default();
    let mut hidden = Integration::named("support");
    hidden.calls = "anonymous = \"5f71d9b3c2a4e8001b6d0a11\"".to_owned();
    config.integrations = vec![hidden];
    let (world, daemon) = World::running(&config).await;
    daemon.post(&call("a1", "anonymous")).await;
    assert_eq!(daemon.settled(1).await["events"]["dead"], 1);
    let why = why_dead(&daemon).await;
    assert!(why.contains("`calls.anonymous` doesn't exist"), "{why}");
    assert!(logs(&world.sandbox).is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_conversation_that_is_gone_before_its_note_is_not_made_again() {
    let (world, daemon) = World::running(&Config::default()).await;
    world.sandbox.add_fault(denied(NOTES));
    daemon.post(&call("a1", MAX)).await;
    assert_eq!(daemon.settled(1).await["events"]["dead"], 1);
    let why = why_dead(&daemon).await;
    assert!(why.contains("deleted in Kustomer before its note"), "{why}");
    assert_eq!(world.sandbox.counts().conversations, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_text_whose_exchange_is_gone_before_its_note_stands_alone() {
    let mut config = Config::default();
    config.integrations[0].texts = "window = \"1h\"".to_owned();
    let (world, daemon) = World::running(&config).await;
    let text = |id: &str| crate::support::text(id, "in", MAX, crate::support::OURS);
    daemon.post(&text("m1")).await;
    daemon.settled(1).await;
    world.sandbox.add_fault(denied(NOTES).times(1));
    daemon.post(&text("m2")).await;
    let status = daemon.settled(2).await;
    assert_eq!(status["events"]["logged"], 2, "{status:#}");
    let conversations = world.sandbox.conversations();
    let own = conversations
        .iter()
        .find(|one| attribute(one, "externalId") == "tieline:script:m2");
    let id = own.unwrap()["id"].as_str().unwrap();
    let notes = world.sandbox.notes();
    let note = notes
        .iter()
        .find(|one| attribute(one, "externalId") == "tieline:script:m2:note");
    assert_eq!(related(note.unwrap(), "conversation"), id);
    assert_eq!(notes.len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_customer_whose_create_got_no_reply_is_looked_for_once_and_known_from_then_on() {
    let (world, daemon) = World::running(&Config::default()).await;
    for (id, from, kind) in [
        ("done", "+4915112345001", FaultKind::CommitThenClose),
        ("not-done", "+4915112345002", FaultKind::CloseBefore),
    ] {
        let lost = Fault::on("/v1/customers", kind).method("POST").times(1);
        world.sandbox.reset_requests();
        world.sandbox.add_fault(lost);
        daemon.post(&call(&format!("{id}-1"), from)).await;
        daemon.at_rest("the first is logged").await;
        // Before the create; then whether it was done. A number that nobody has is asked for twice, once (plus or none).
        assert_eq!(world.sandbox.requests().count(LOOKUPS), 3, "{id}");
        world.sandbox.reset_requests();
        daemon.post(&call(&format!("{id}-2"), from)).await;
        daemon.at_rest("the second is logged").await;
        assert_eq!(world.sandbox.requests().count(LOOKUPS), 0, "{id}");
    }
    let logs = logs(&world.sandbox);
    assert_eq!(logs.len(), 4);
    assert!(logs.values().all(|made| *made == (1, 1)), "{logs:?}");
    assert_eq!(world.sandbox.counts().customers, 3);
}
