//! Custom attributes over real sockets: typed values reach Kustomer, exactly those that it wouldn't take are left out, and
//! a refusal that nobody foresaw costs the attributes, never the conversation.

use crate::support::{Config, Daemon, World, attribute, call, logs, text};
use serde_json::{Value, json};
use tieline::sandbox::{ApiKey, Fault, SANDBOX_KEY, SandboxOptions};

const MAX: &str = "+491711234567";

/// What the organisation has defined.
fn defined() -> Value {
    json!({"conversation": {
        "callDurationNum": {"type": "number", "displayName": "Duration"},
        "callTypeStr": {"type": "string", "displayName": "Type"},
        "queueStr": {"type": "string", "displayName": "Queue", "enumeration": ["support", "sales"]},
        "answeredAt": {"type": "string", "displayName": "Answered"},
        "wordNum": {"type": "string", "displayName": "Odd"},
        "fromStr": {"type": "string", "displayName": "From"},
    }})
}

fn options() -> SandboxOptions {
    SandboxOptions {
        custom: defined(),
        ..SandboxOptions::empty()
    }
}

const CUSTOM: &str = r#"
custom = { callDurationNum = "{{ talk_seconds }}", callTypeStr = "{{ type }}", queueStr = "{{ queue }}", answeredAt = "{{ answered_at }}" }
"#;

fn in_queue(id: &str, queue: &str) -> Value {
    let mut call = call(id, MAX);
    call["queue"] = json!(queue);
    call
}

fn missed(id: &str) -> Value {
    let mut call = call(id, MAX);
    for field in ["answered", "extension"] {
        call.as_object_mut().unwrap().remove(field);
    }
    call
}

/// The custom attributes of the conversation with this call.
fn custom(world: &World, id: &str) -> Value {
    let external_id = format!("tieline:script:{id}");
    let conversations = world.sandbox.conversations();
    let found = conversations
        .iter()
        .find(|one| attribute(one, "externalId") == external_id);
    let custom = &found.unwrap()["attributes"]["custom"];
    if custom.is_null() {
        json!({})
    } else {
        custom.clone()
    }
}

async fn delivery(daemon: &Daemon, id: &str) -> Value {
    let explained = daemon.place.explain(&format!("script:{id}")).await;
    explained["integrations"][0]["delivery"].clone()
}

fn left_out(status: &Value) -> &Value {
    &status["integrations"][0]["attributes"]["left_out"]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn typed_values_reach_kustomer_and_types_of_calls_differ() {
    let lines = format!(
        "tags = [\"phone\"]\n{CUSTOM}\n[kustomer.calls.types.incoming_missed]\ntags = [\"missed\"]\ncustom = {{ callDurationNum = \"\", callTypeStr = \"missed!\" }}\n"
    );
    let mut config = Config::calls(&lines);
    config.integrations[0].texts = "custom = { fromStr = \"{{ from }}\" }".to_owned();
    let world = World::with(&config, options()).await;
    let daemon = world.place.start().await;
    daemon.post(&in_queue("a1", "support")).await;
    daemon.post(&missed("b1")).await;
    daemon
        .post(&text("m1", "in", "+49 171 1234567", "+4921155500100"))
        .await;
    let status = daemon.settled(3).await;
    assert_eq!(left_out(&status), &json!([]));
    assert_eq!(
        custom(&world, "a1"),
        json!({"callDurationNum": 5, "callTypeStr": "incoming answered", "queueStr": "support",
            "answeredAt": "2026-11-20T12:24:31.000Z"})
    );
    assert_eq!(custom(&world, "b1"), json!({"callTypeStr": "missed!"}));
    assert_eq!(custom(&world, "m1"), json!({"fromStr": MAX}));
    let tags = |id: &str| {
        let external_id = format!("tieline:script:{id}");
        let conversations = world.sandbox.conversations();
        let found = conversations
            .iter()
            .find(|one| attribute(one, "externalId") == external_id);
        found.unwrap()["attributes"]["tags"].clone()
    };
    assert_ne!(tags("a1"), tags("b1"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exactly_what_kustomer_would_refuse_is_left_out_and_said() {
    let lines = CUSTOM.replace("custom = {", "custom = { goneStr = \"x\", wordNum = \"1\",");
    let world = World::with(&Config::calls(&lines), options()).await;
    let daemon = world.place.start().await;
    // Known before the first call.
    let status = daemon
        .until("the metadata is read", |status| {
            left_out(status) != &json!([])
        })
        .await;
    let wanted = json!([
        "goneStr: Kustomer's conversations have no such attribute",
        "wordNum: it is a string in Kustomer, and by its name a number",
    ]);
    assert_eq!(left_out(&status), &wanted);
    daemon.post(&in_queue("a1", "support")).await;
    daemon.post(&in_queue("a2", "claims")).await;
    daemon.settled(2).await;
    assert_eq!(custom(&world, "a1")["queueStr"], "support");
    assert_eq!(custom(&world, "a1")["callDurationNum"], 5);
    assert_eq!(custom(&world, "a1")["goneStr"], Value::Null);
    assert_eq!(custom(&world, "a2")["queueStr"], Value::Null);
    let told = delivery(&daemon, "a2").await;
    assert_eq!(told["fault"], Value::Null, "nothing was refused");
    let told = told["left_out"].to_string();
    assert!(
        told.contains("goneStr") && told.contains("list: support, sales"),
        "{told}"
    );
    assert!(!told.contains("claims"), "{told}");
    let shown = daemon.place.cli(&["status"]).await.out;
    assert!(
        shown.contains("custom attribute left out: goneStr: "),
        "{shown}"
    );
    let metrics = daemon.place.cli(&["check", "--online"]).await;
    assert_eq!(metrics.code, Some(1), "{metrics:?}");
    assert!(metrics.out.contains("no such attribute"), "{metrics:?}");
    let log = world.place.log();
    assert_eq!(
        log.matches("a custom attribute is left out").count(),
        2,
        "{log}"
    );
    assert_eq!(
        log.matches("its value is not in Kustomer's list; left out")
            .count(),
        1
    );

    // Defined meanwhile: a reload looks again.
    let mut all = defined();
    all["conversation"]["goneStr"] = json!({"type": "string", "displayName": "Gone"});
    all["conversation"]["wordNum"] = json!({"type": "number", "displayName": "Odd"});
    world.sandbox.define(all);
    daemon.signal(rustix::process::Signal::HUP);
    daemon
        .until("nothing is left out", |status| {
            left_out(status) == &json!([])
        })
        .await;
    daemon.post(&in_queue("a3", "sales")).await;
    daemon.settled(3).await;
    assert_eq!(custom(&world, "a3")["goneStr"], "x");
}

/// Kustomer refuses what its metadata allows, or the key may not read it: created without, and said.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_costs_the_attributes_alone() {
    let world = World::with(&Config::calls(CUSTOM), options()).await;
    let daemon = world.place.start().await;
    let fault = |count: u64| -> Fault {
        serde_json::from_value(
            json!({"method": "POST", "path": "/v1/customers/*/conversations",
            "kind": "status", "status": 422, "count": count}),
        )
        .unwrap()
    };
    world.sandbox.add_fault(fault(1));
    daemon.post(&in_queue("a1", "support")).await;
    daemon.settled(1).await;
    assert_eq!(custom(&world, "a1"), json!({}));
    let told = delivery(&daemon, "a1").await;
    assert!(
        told["fault"]
            .as_str()
            .unwrap()
            .contains("without custom attributes"),
        "{told}"
    );
    assert!(
        told["left_out"]
            .to_string()
            .contains("all custom attributes"),
        "{told}"
    );
    assert_eq!(
        told["assigned"]["users"].as_array().unwrap().len(),
        1,
        "{told}"
    );

    // Refused without them too: whom it is assigned to goes as well.
    world.sandbox.add_fault(fault(2));
    daemon.post(&in_queue("a2", "support")).await;
    daemon.settled(2).await;
    let told = delivery(&daemon, "a2").await;
    assert_eq!(told["assigned"]["users"], json!([]), "{told}");
    assert!(
        told["assigned"]["chain"]
            .to_string()
            .contains("Kustomer refused"),
        "{told}"
    );

    // It was neither of them: dead, and a retry has all of it again.
    world.sandbox.add_fault(fault(3));
    daemon.post(&in_queue("a3", "support")).await;
    assert_eq!(daemon.settled(3).await["events"]["dead"], 1);
    let retried = daemon
        .place
        .cli(&["dead", "retry", "support/call:script:a3"])
        .await;
    assert_eq!(retried.code, Some(0), "{retried:?}");
    daemon
        .until("it is logged", |status| status["events"]["logged"] == 3)
        .await;
    assert_eq!(custom(&world, "a3")["callDurationNum"], 5);
    assert!(logs(&world.sandbox).values().all(|made| *made == (1, 1)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_may_not_read_metadata_loses_no_call() {
    let roles = [
        "org.permission.customer",
        "org.permission.conversation",
        "org.permission.note",
        "org.permission.user.read",
    ];
    let options = SandboxOptions {
        keys: vec![ApiKey {
            key: SANDBOX_KEY.to_owned(),
            roles: roles.map(str::to_owned).to_vec(),
        }],
        ..options()
    };
    let lines = CUSTOM.replace("custom = {", "custom = { goneStr = \"x\",");
    let world = World::with(&Config::calls(&lines), options).await;
    let daemon = world.place.start().await;
    daemon.post(&in_queue("a1", "support")).await;
    let status = daemon.settled(1).await;
    assert_eq!(status["events"]["logged"], 1);
    assert_eq!(custom(&world, "a1"), json!({}));
    let unread = status["integrations"][0]["attributes"]["unread"].to_string();
    assert!(unread.contains("org.permission.metadata.read"), "{unread}");
    let told = delivery(&daemon, "a1").await;
    assert!(told["fault"].to_string().contains("goneStr"), "{told}");
}
