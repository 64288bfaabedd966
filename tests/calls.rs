//! The whole program over real sockets: what is posted comes out as one conversation and one note, and every event has
//! an end that can be explained.

use crate::support::{Config, Daemon, World, call, live, logs, recorded, related, seed, text};
use jiff::Timestamp;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use tieline::cli::recording::{Post, RECORDINGS};

/// Every post of every recording, and the calls that they make.
fn everything() -> (Vec<Post>, Vec<(&'static str, Value)>) {
    let (mut posts, mut calls) = (Vec::new(), Vec::new());
    for (name, ..) in RECORDINGS {
        let (more, call) = recorded(name);
        posts.extend(more);
        calls.push((*name, call));
    }
    (posts, calls)
}

fn is_logged(call: &Value) -> bool {
    call["type"] != "internal" && !call["other_party"].is_null()
}

async fn post_all(daemon: &Daemon, posts: &[Post]) {
    for post in posts {
        daemon
            .post_raw(
                "hq",
                post.query.as_deref(),
                post.content_type.as_deref(),
                &post.body,
            )
            .await;
    }
}

fn once_each(calls: &[(&str, Value)]) -> BTreeMap<String, (usize, usize)> {
    let logged = calls.iter().filter(|(_, call)| is_logged(call));
    logged
        .map(|(_, call)| {
            (
                format!("tieline:hq:{}", call["key"].as_str().unwrap()),
                (1, 1),
            )
        })
        .collect()
}

/// Every field of expected.json; times within its tolerance of a second.
fn assert_same_call(name: &str, got: &Value, wanted: &Value) {
    for (field, wanted) in wanted.as_object().unwrap() {
        let got = &got[field];
        let near = match (got, wanted) {
            (Value::Number(got), Value::Number(wanted)) => {
                (got.as_f64().unwrap() - wanted.as_f64().unwrap()).abs() <= 1.0
            }
            (Value::String(got), Value::String(wanted))
                if ["started", "answered", "ended"].contains(&field.as_str()) =>
            {
                let (got, wanted): (Timestamp, Timestamp) =
                    (got.parse().unwrap(), wanted.parse().unwrap());
                got.duration_since(wanted).as_secs_f64().abs() <= 1.0
            }
            _ => got == wanted,
        };
        assert!(near, "{name}: {field} is {got}, expected {wanted}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_recording_becomes_one_conversation_with_one_note() {
    let (world, daemon) = World::running(&Config::default()).await;
    let (posts, calls) = everything();
    post_all(&daemon, &posts).await;
    let accepted = daemon.place.status().await["events"]["accepted"]
        .as_u64()
        .unwrap();
    daemon.settled(usize::try_from(accepted).unwrap()).await;
    assert_eq!(logs(&world.sandbox), once_each(&calls));
    for (name, wanted) in &calls {
        let key = format!("hq:{}", wanted["key"].as_str().unwrap());
        let explained = daemon.place.json(&["explain", &key]).await;
        assert_same_call(name, &explained["call"], wanted);
        let end = if is_logged(wanted) {
            "logged"
        } else {
            "filtered"
        };
        assert_eq!(explained["integrations"][0]["end"]["end"], end, "{name}");
    }
    assert!(daemon.stop().await.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn repeats_and_any_order_log_nothing_twice() {
    let mut chance = fastrand::Rng::with_seed(seed());
    let (world, daemon) = World::running(&Config::default()).await;
    let (mut posts, calls) = everything();
    posts.extend(posts.clone());
    chance.shuffle(&mut posts);
    post_all(&daemon, &posts).await;
    let accepted = daemon.place.status().await["events"]["accepted"]
        .as_u64()
        .unwrap();
    daemon.settled(usize::try_from(accepted).unwrap()).await;
    assert_eq!(logs(&world.sandbox), once_each(&calls));
    // Posted once more after all is over, and after a restart.
    chance.shuffle(&mut posts);
    daemon.kill();
    let daemon = world.place.start().await;
    post_all(&daemon, &posts).await;
    daemon.settled(usize::try_from(accepted).unwrap()).await;
    assert_eq!(logs(&world.sandbox), once_each(&calls));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn live_events_texts_and_whole_calls_of_our_own_dialect() {
    let (world, daemon) = World::running(&Config::default()).await;
    for event in live("in-order", "+49 171 1234567") {
        daemon.post(&event).await;
    }
    for event in live("backwards", "+49 171 1234567").into_iter().rev() {
        daemon.post(&event).await;
    }
    daemon.post(&call("whole", "0171 1234567")).await;
    daemon
        .post(&text("t1", "in", "+491711234567", crate::support::OURS))
        .await;
    daemon
        .post(&text("t2", "out", crate::support::OURS, "+491711234567"))
        .await;
    let status = daemon.settled(11).await;
    assert_eq!(status["events"]["logged"], 5, "{status}");
    let expected = ["backwards", "in-order", "t1", "t2", "whole"];
    assert_eq!(
        logs(&world.sandbox),
        expected
            .map(|id| (format!("tieline:script:{id}"), (1, 1)))
            .into()
    );
    assert_eq!(world.sandbox.counts().customers, 1, "all are Max");
    let grace = world
        .sandbox
        .conversations()
        .iter()
        .filter(|one| {
            !one["attributes"]["assignedUsers"]
                .as_array()
                .unwrap()
                .is_empty()
        })
        .count();
    assert_eq!(grace, 3, "calls that 101 answered are Grace's");
    let whole = daemon.place.explain("script:whole").await;
    assert_eq!(whole["call"]["agent"], "101");
    let late = daemon.place.explain("script:backwards").await;
    assert_eq!(
        (&late["call"]["talk_seconds"], &late["call"]["agent"]),
        (&json!(5.0), &json!("101"))
    );
    let note = world
        .sandbox
        .notes()
        .into_iter()
        .find(|note| note["attributes"]["externalId"] == "tieline:script:whole:note")
        .unwrap();
    assert!(!related(&note, "conversation").is_empty());
}

/// 101 calls a customer and hands the customer over to 102: the leg to 102 names the customer's leg as its family.
fn handed_over(call: &str) -> [Vec<u8>; 3] {
    let record = |variables: String| {
        format!(
            r#"{{"variables":{{"start_uepoch":"1795177469009954","end_uepoch":"1795177476109923",{variables}}}}}"#
        )
        .into_bytes()
    };
    [
        record(format!(
            r#""uuid":"{call}A","sip_from_user":"101","sip_req_user":"0301234567","bridge_uepoch":"1795177470000000","transfer_disposition":"recv_replace","last_bridge_to":"{call}B","originated_legs":"{call}B;x;0301234567""#
        )),
        record(format!(
            r#""uuid":"{call}B","originating_leg_uuid":"{call}A","sip_to_user":"0301234567","transfer_history":"1795177472:x:bl_xfer:102/public/XML","originated_legs":"{call}C;x;102""#
        )),
        record(format!(
            r#""uuid":"{call}C","originating_leg_uuid":"{call}B","sip_to_user":"102","bridge_uepoch":"1795177474000000""#
        )),
    ]
}

#[tokio::test]
async fn a_handed_over_leg_comes_home_in_any_order_and_over_a_kill() {
    let (world, mut daemon) = World::running(&Config::default()).await;
    let orders = [[0, 1, 2], [2, 1, 0], [2, 0, 1], [1, 2, 0]];
    let mut wanted = BTreeMap::new();
    for (number, order) in orders.iter().enumerate() {
        let call = format!("handed{number}-");
        let records = handed_over(&call);
        for (posted, index) in order.iter().enumerate() {
            daemon.post_raw("hq", None, None, &records[*index]).await;
            if posted == 0 {
                daemon.kill();
                daemon = world.place.start().await;
            }
        }
        wanted.insert(format!("tieline:hq:{call}A"), (1, 1));
    }
    daemon.settled(orders.len() * 3).await;
    assert_eq!(logs(&world.sandbox), wanted);
    let explained = daemon.place.explain("hq:handed1-A").await;
    assert_eq!(explained["call"]["agent"], "102", "{explained:#}");
}

#[tokio::test]
async fn what_comes_under_the_name_of_a_leg_that_came_home_has_an_end_too() {
    let (world, daemon) = World::running(&Config::default()).await;
    let [first, second, third] = handed_over("late-");
    for record in [&third, &second, &first] {
        daemon.post_raw("hq", None, None, record).await;
    }
    daemon.settled(3).await;
    // Further legs of the handed-over one, after the call was logged.
    for (number, leg) in ["D", "E"].into_iter().enumerate() {
        let record = String::from_utf8(third.clone()).unwrap();
        let record = record.replace("\"uuid\":\"late-C\"", &format!("\"uuid\":\"late-{leg}\""));
        daemon.post_raw("hq", None, None, record.as_bytes()).await;
        daemon.settled(4 + number).await;
    }
    assert_eq!(
        logs(&world.sandbox),
        BTreeMap::from([("tieline:hq:late-A".to_owned(), (1, 1))])
    );
}

/// The first event decides the call; all that follow are late, and what they say is written in pauses.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_id_given_to_everything_gathers_no_endless_call() {
    use tieline::calls::book::CALL_EVENTS_MAX;
    let (world, daemon) = World::running(&Config::default()).await;
    let event = |number: usize| {
        let mut event = call("same", "+49 171 1234567");
        event["recording"] = json!(format!("https://pbx.example/r/{number:04}"));
        event
    };
    let mut number = 0;
    while number < CALL_EVENTS_MAX {
        let group = (number + 200).min(CALL_EVENTS_MAX);
        let mut posts = tokio::task::JoinSet::new();
        for number in number..group {
            posts.spawn(daemon.post_owned(event(number)));
        }
        posts.join_all().await;
        number = group;
    }
    // What is to be asked in the next pause outlives the process.
    daemon.kill();
    let daemon = world.place.start().await;
    for number in [CALL_EVENTS_MAX, CALL_EVENTS_MAX + 1] {
        daemon.post(&event(number)).await;
    }
    let status = daemon.settled(CALL_EVENTS_MAX + 2).await;
    assert_eq!(status["events"]["dead"], 2, "{status}");
    assert_eq!(logs(&world.sandbox).len(), 1);
    let note = world.sandbox.notes().pop().unwrap();
    let last = format!("https://pbx.example/r/{:04}", CALL_EVENTS_MAX - 1);
    assert!(note.to_string().contains(&last), "{note:#}");
}
