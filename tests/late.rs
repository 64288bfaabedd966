//! Facts that come after a call was logged, over real sockets: they go into the same note, people's edits stay, and a
//! key that may not change notes loses nothing else.

use crate::support::{Config, Daemon, World, attribute, call, logs, request};
use hyper::Method;
use serde_json::{Value, json};
use tieline::calls::delivery::Delivery;
use tieline::calls::outbox::{Amendment, DeliveryEnd, Outbox};
use tieline::sandbox::{ApiKey, Fault, SANDBOX_KEY, Sandbox, SandboxOptions};
use tieline::store::{Store, StoreOptions};

const MAX: &str = "+491711234567";
const LINK: &str = "https://pbx.example/r/1";

/// The call's record again, with the recording that was only announced before.
fn with_recording(id: &str) -> Value {
    let mut call = call(id, MAX);
    call["recording"] = json!(LINK);
    call
}

fn announced(id: &str) -> Value {
    let mut call = call(id, MAX);
    call["recording"] = json!(true);
    call
}

/// Ended just now, so that something of it may still be waited for.
fn recent(mut call: Value) -> Value {
    let now = tieline::clock::now();
    for (field, seconds) in [("started", 10), ("answered", 8), ("ended", 1)] {
        call[field] = json!((now - jiff::SignedDuration::from_secs(seconds)).to_string());
    }
    call
}

fn note(sandbox: &Sandbox) -> (String, String) {
    let notes = sandbox.notes();
    let [note] = notes.as_slice() else {
        panic!("{} notes", notes.len());
    };
    (
        note["id"].as_str().unwrap().to_owned(),
        attribute(note, "body"),
    )
}

/// One conversation with one note, and both events of the call with their ends.
async fn settled_as_one(world: &World, daemon: &Daemon, events: usize) {
    let status = daemon.settled(events).await;
    assert_eq!(status["events"]["logged"], 1);
    assert_eq!(status["events"]["joined"], events - 1);
    assert_eq!(logs(&world.sandbox).values().collect::<Vec<_>>(), [&(1, 1)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_filtered_for_want_of_its_numbers_is_logged_when_they_come() {
    let (world, daemon) = World::running(&Config::default()).await;
    // The rest was posted first, was refused for a moment, and is posted again later.
    let recording = json!({"event": "call.ended", "id": "n1", "recording": LINK});
    daemon.post(&recording).await;
    let status = daemon.settled(1).await;
    assert_eq!(status["events"]["filtered"]["anonymous"], 1, "{status:#}");
    daemon.post(&call("n1", MAX)).await;
    settled_as_one(&world, &daemon, 2).await;
    assert!(note(&world.sandbox).1.contains(LINK));
    assert!(daemon.stop().await.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recording_that_comes_later_goes_into_the_same_note_and_edits_stay() {
    let (world, daemon) = World::running(&Config::default()).await;
    daemon.post(&announced("a1")).await;
    daemon.settled(1).await;
    let (id, first) = note(&world.sandbox);
    assert!(!first.contains(LINK));
    // An agent writes above and below our text.
    let edited = json!({"body": format!("Called back, all fine.\n\n{first}\n\nGrace")});
    request(
        &world.sandbox,
        Method::PUT,
        &format!("/v1/notes/{id}"),
        Some(&edited),
    )
    .await;

    world.sandbox.reset_requests();
    daemon.post(&with_recording("a1")).await;
    settled_as_one(&world, &daemon, 2).await;
    let (same, text) = note(&world.sandbox);
    assert_eq!(same, id);
    assert!(text.starts_with("Called back, all fine.\n\n") && text.ends_with("\n\nGrace"));
    assert_eq!(text.matches(LINK).count(), 1);
    assert_eq!(world.sandbox.requests().total, 2, "one read, one write");

    // The same once more, and the first record again: nothing new, nothing asked.
    world.sandbox.reset_requests();
    daemon.post(&with_recording("a1")).await;
    let mut tagged = with_recording("a1");
    tagged["tags"] = json!([]);
    daemon.post(&tagged).await;
    settled_as_one(&world, &daemon, 3).await;
    assert_eq!(world.sandbox.requests().total, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_update_survives_faults_and_kills() {
    let (world, daemon) = World::running(&Config::default()).await;
    daemon.post(&announced("a1")).await;
    daemon.settled(1).await;
    let fault = |kind: &str, count: u64| -> Fault {
        serde_json::from_value(json!({"path": "/v1/notes/", "kind": kind, "count": count})).unwrap()
    };
    world.sandbox.add_fault(fault("commit_then_close", 2));
    world.sandbox.add_fault(fault("close_before", 2));
    daemon.post(&with_recording("a1")).await;
    daemon.kill();
    let daemon = world.place.start().await;
    settled_as_one(&world, &daemon, 2).await;
    assert_eq!(note(&world.sandbox).1.matches(LINK).count(), 1);
}

/// Without the role to change notes the call is logged all the same, and nothing else is held up.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_may_not_change_notes_says_so_and_all_at_once_needs_no_change() {
    let roles = [
        "org.permission.customer",
        "org.permission.conversation",
        "org.permission.note.create",
        "org.permission.note.read",
        "org.permission.user.read",
    ];
    let options = || SandboxOptions {
        keys: vec![ApiKey {
            key: SANDBOX_KEY.to_owned(),
            roles: roles.map(str::to_owned).to_vec(),
        }],
        ..SandboxOptions::empty()
    };
    let world = World::with(&Config::default(), options()).await;
    let daemon = world.place.start().await;
    daemon.post(&announced("a1")).await;
    daemon.settled(1).await;
    daemon.post(&with_recording("a1")).await;
    settled_as_one(&world, &daemon, 2).await;
    assert!(!note(&world.sandbox).1.contains(LINK));
    let explained = daemon.place.explain("call:script:a1").await.to_string();
    assert!(
        explained.contains("later facts are not in the note"),
        "{explained}"
    );
    daemon.post(&call("b1", MAX)).await;
    daemon.settled(3).await;

    let world = World::with(&Config::calls("late = \"all_at_once\""), options()).await;
    let daemon = world.place.start().await;
    let early = recent(announced("a1"));
    daemon.post(&early).await;
    daemon.post(&call("b1", MAX)).await;
    world.sandbox.wait_until(|counts| counts.notes == 1).await;
    let mut late = early.clone();
    late["recording"] = json!(LINK);
    daemon.post(&late).await;
    daemon.settled(3).await;
    let notes = world.sandbox.notes();
    let links = notes
        .iter()
        .filter(|note| attribute(note, "body").contains(LINK));
    assert_eq!((notes.len(), links.count()), (2, 1));
}

/// What was announced and never comes holds a call up for `late_wait` alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_at_once_waits_no_longer_than_it_may() {
    let lines = "late = \"all_at_once\"\nlate_wait = \"0s\"";
    let (world, daemon) = World::running(&Config::calls(lines)).await;
    daemon.post(&recent(announced("a1"))).await;
    settled_as_one(&world, &daemon, 1).await;
}

/// The names of the only conversation's tags, in the order they were added.
fn tags(sandbox: &Sandbox) -> Vec<String> {
    let conversations = sandbox.conversations();
    let [conversation] = conversations.as_slice() else {
        panic!("{} conversations", conversations.len());
    };
    let known = sandbox.tags();
    let name = |id: &Value| {
        let tag = known.iter().find(|tag| tag["id"] == *id).unwrap();
        attribute(tag, "name")
    };
    let ids = conversation["attributes"]["tags"].as_array().unwrap();
    ids.iter().map(name).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tags_and_a_transcript_that_come_later_are_added_and_peoples_tags_stay() {
    let (world, daemon) = World::running(&Config::calls("tags = [\"phone\"]")).await;
    daemon.post(&call("a1", MAX)).await;
    daemon.settled(1).await;
    assert_eq!(tags(&world.sandbox), ["phone"]);
    let id = world.sandbox.conversations()[0]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let path = format!("/v1/conversations/{id}/tags");
    request(
        &world.sandbox,
        Method::POST,
        &path,
        Some(&json!(["urgent"])),
    )
    .await;

    let mut later = call("a1", MAX);
    later["tags"] = json!(["sales", "bad#tag"]);
    later["transcript"] = json!("Grace: Hello?\nMax: My order is late.");
    later["summary"] = json!("An order is late.");
    daemon.post(&later).await;
    settled_as_one(&world, &daemon, 2).await;
    assert_eq!(tags(&world.sandbox), ["phone", "urgent", "sales"]);
    let text = note(&world.sandbox).1;
    assert!(text.contains("Summary:\n  An order is late.\n"), "{text}");
    assert!(
        text.contains("Transcript:\n  Grace: Hello?\n  Max: My order is late.\n"),
        "{text}"
    );

    // A tag more; somebody took one of ours away meanwhile: it stays away.
    request(
        &world.sandbox,
        Method::DELETE,
        &path,
        Some(&json!(["sales"])),
    )
    .await;
    let mut more = later.clone();
    more["tags"] = json!(["vip"]);
    daemon.post(&more).await;
    settled_as_one(&world, &daemon, 3).await;
    assert_eq!(tags(&world.sandbox), ["phone", "urgent", "vip"]);
    let status = daemon.place.status().await;
    let settled = &status["integrations"][0]["settled_since_start"];
    assert_eq!(settled, 1, "amended twice, one call");
    let explained = daemon.place.explain("call:script:a1").await;
    assert_eq!(explained["call"]["summary"], "An order is late.");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn later_tags_survive_faults_and_a_missing_role() {
    let (world, daemon) = World::running(&Config::default()).await;
    daemon.post(&call("a1", MAX)).await;
    daemon.settled(1).await;
    let fault = |kind: &str| -> Fault {
        serde_json::from_value(
            json!({"path": "/v1/conversations/*/tags", "kind": kind, "count": 2}),
        )
        .unwrap()
    };
    world.sandbox.add_fault(fault("commit_then_close"));
    world.sandbox.add_fault(fault("close_before"));
    let mut later = call("a1", MAX);
    later["tags"] = json!(["sales"]);
    daemon.post(&later).await;
    daemon.kill();
    let daemon = world.place.start().await;
    settled_as_one(&world, &daemon, 2).await;
    assert_eq!(tags(&world.sandbox), ["sales"]);

    let roles = [
        "org.permission.customer",
        "org.permission.conversation.create",
        "org.permission.conversation.read",
        "org.permission.note",
        "org.permission.user.read",
    ];
    let options = SandboxOptions {
        keys: vec![ApiKey {
            key: SANDBOX_KEY.to_owned(),
            roles: roles.map(str::to_owned).to_vec(),
        }],
        ..SandboxOptions::empty()
    };
    let world = World::with(&Config::default(), options).await;
    let daemon = world.place.start().await;
    daemon.post(&call("a1", MAX)).await;
    daemon.settled(1).await;
    daemon.post(&later).await;
    settled_as_one(&world, &daemon, 2).await;
    assert!(note(&world.sandbox).1.contains("Tags: sales"));
    let explained = daemon.place.explain("call:script:a1").await.to_string();
    assert!(
        explained.contains("later tags are not added"),
        "{explained}"
    );
}

/// What came while a delivery was dead is in its note and on its conversation once it is taken up again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn facts_that_come_for_a_dead_delivery_are_there_after_its_retry() {
    let (world, daemon) = World::running(&Config::default()).await;
    let fault = |path: &str| -> Fault {
        serde_json::from_value(
            json!({"path": path, "method": "POST", "kind": "status", "status": 400}),
        )
        .unwrap()
    };
    for (id, path, dead) in [
        ("a1", "/v1/customers/*/conversations", 1),
        ("a2", "/v1/conversations/*/notes", 2),
    ] {
        world.sandbox.add_fault(fault(path));
        daemon.post(&announced(id)).await;
        daemon
            .until("it is dead", |status| {
                status["events"]["in_flight"] == 0 && status["events"]["dead"] != 0
            })
            .await;
        let mut later = with_recording(id);
        later["tags"] = json!(["sales"]);
        daemon.post(&later).await;
        daemon.settled(dead * 2).await;
        world.sandbox.clear_faults();
        // Also when nobody but the disk remembers.
        let retried = daemon
            .place
            .cli(&["dead", "retry", &format!("support/call:script:{id}")])
            .await;
        assert_eq!(retried.code, Some(0), "{retried:?}");
        daemon
            .until("it is logged", |status| status["events"]["logged"] == dead)
            .await;
    }
    let notes = world.sandbox.notes();
    assert_eq!(notes.len(), 2);
    for note in &notes {
        assert_eq!(attribute(note, "body").matches(LINK).count(), 1);
    }
    for conversation in world.sandbox.conversations() {
        assert_eq!(
            conversation["attributes"]["tags"].as_array().unwrap().len(),
            1
        );
    }
    let status = daemon.place.status().await;
    let support = &status["integrations"][0];
    assert_eq!(support["dead_since_start"], 2, "{support}");
    assert_eq!(support["settled_since_start"], 2, "{support}");
}

/// The line and a courier write at the same time: facts come just before the courier writes that the call is logged. A start
/// must find them, whatever happens before the courier does.
#[tokio::test]
async fn facts_that_come_just_before_the_end_are_still_owed_after_a_start() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), StoreOptions::default()).unwrap();
    let (outbox, at) = (
        Outbox::open(&store),
        "2026-11-20T12:24:29Z".parse().unwrap(),
    );
    let entry = json!({
        "external_id": "tieline:hq:a1", "note_external_id": "tieline:hq:a1:note", "name": "n", "direction": "in",
        "status": "done", "created_at": "2026-11-20T12:24:29Z", "agent": null, "tags": [], "note": "n",
        "message": null, "create": null,
    });
    let entry = serde_json::from_value(entry).unwrap();
    let key = "call:hq:a1".to_owned();
    let mut delivery = Delivery::new("support", key.clone(), entry, None, None, at);
    let amendment = Amendment {
        integration: "support".to_owned(),
        key,
        note: "n, and a recording".to_owned(),
        reopens: false,
        tags: Vec::new(),
    };
    outbox.keep(&delivery).await.unwrap();
    let (line, late) = (outbox.clone(), amendment.clone());
    let amended = store.commit(move |writes| line.amend(writes, &late)).await;
    amended.unwrap();
    delivery.end = Some(DeliveryEnd::Logged);
    outbox.keep(&delivery).await.unwrap();
    assert_eq!(outbox.pending("support").unwrap(), [delivery.clone()]);
    delivery.amended = Some(amendment.note);
    outbox.keep(&delivery).await.unwrap();
    assert_eq!(outbox.pending("support").unwrap(), []);
}
