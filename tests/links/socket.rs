//! An event socket of a FreeSWITCH that plays recorded events: login, subscription, what is journaled, and what ends in a gap.

use super::{folder, until_link, world};
use crate::support::{Config, logs};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

const PASSWORD: &str = "ClueCon";

#[derive(Default)]
struct State {
    commands: Vec<String>,
    /// What is sent after the subscription, one list for each connection; the connection ends behind it, but for the last.
    turns: Vec<Vec<Value>>,
    channels: Vec<String>,
}

async fn frame(stream: &mut (impl tokio::io::AsyncWrite + Unpin), head: &str, body: &str) {
    let length = if body.is_empty() {
        String::new()
    } else {
        format!("Content-Length: {}\n", body.len())
    };
    let text = format!("{length}{head}\n\n{body}");
    // In pieces that end anywhere.
    for piece in text.as_bytes().chunks(997) {
        if stream.write_all(piece).await.is_err() {
            return;
        }
    }
}

async fn serve(stream: TcpStream, state: Arc<Mutex<State>>) {
    let (from, mut to) = stream.into_split();
    let mut lines = BufReader::new(from).lines();
    frame(&mut to, "Content-Type: auth/request", "").await;
    while let Ok(Some(line)) = lines.next_line().await {
        if line.is_empty() {
            continue;
        }
        state.lock().unwrap().commands.push(line.clone());
        match line.as_str() {
            "auth ClueCon" => {
                frame(
                    &mut to,
                    "Content-Type: command/reply\nReply-Text: +OK accepted",
                    "",
                )
                .await;
            }
            "api show channels as json" => {
                let ids = state.lock().unwrap().channels.clone();
                let rows: Vec<Value> = ids.iter().map(|id| json!({"uuid": id})).collect();
                let list = json!({"row_count": rows.len(), "rows": rows}).to_string();
                frame(&mut to, "Content-Type: api/response", &list).await;
            }
            other if other.starts_with("event json ") => {
                frame(
                    &mut to,
                    "Content-Type: command/reply\nReply-Text: +OK event listener enabled json",
                    "",
                )
                .await;
                let (turn, last) = {
                    let mut state = state.lock().unwrap();
                    let turn = if state.turns.is_empty() {
                        Vec::new()
                    } else {
                        state.turns.remove(0)
                    };
                    (turn, state.turns.is_empty())
                };
                for event in turn {
                    frame(&mut to, "Content-Type: text/event-json", &event.to_string()).await;
                }
                if !last {
                    return;
                }
            }
            other if other.starts_with("auth ") => {
                frame(
                    &mut to,
                    "Content-Type: command/reply\nReply-Text: -ERR invalid",
                    "",
                )
                .await;
            }
            _ => frame(&mut to, "Content-Type: api/response", "0").await,
        }
    }
}

async fn start(state: State) -> (String, Arc<Mutex<State>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("esl://{}", listener.local_addr().unwrap());
    let state = Arc::new(Mutex::new(state));
    let served = Arc::clone(&state);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, Arc::clone(&served)));
        }
    });
    (address, state)
}

fn fetching(address: &str) -> Config {
    Config {
        daemon: format!(
            "\n[[pbx]]\nname = \"sw\"\ndialect = \"freeswitch\"\nconnect = \"{address}\"\nsecret_file = \"socket-password\"\n\
             extensions = [\"100-199\"]\nsettle = \"150ms\"\n"
        ),
        ..Config::default()
    }
}

fn event(name: &str, sequence: u64) -> Value {
    json!({"Event-Name": name, "Core-UUID": "c", "Event-Sequence": sequence.to_string(), "Unique-ID": "leg-1",
        "Event-Date-Timestamp": "1795177469009954"})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_of_calls_are_journaled_and_the_connection_comes_back() {
    let mut large = event("CHANNEL_ANSWER", 3);
    large["variable_long"] = json!("x".repeat(2 << 20));
    let turns = vec![
        vec![
            event("CHANNEL_CREATE", 1),
            event("HEARTBEAT", 2),
            large,
            event("CHANNEL_ANSWER", 4),
        ],
        vec![event("CHANNEL_ANSWER", 5), event("CHANNEL_EXECUTE", 6)],
    ];
    let (address, state) = start(State {
        turns,
        ..State::default()
    })
    .await;
    let world = world(&fetching(&address)).await;
    std::fs::write(world.place.folder.join("socket-password"), PASSWORD).unwrap();
    let daemon = world.place.start().await;
    let link = until_link(&daemon, "all events came", |link| {
        link["events"] == 3 && link["logins"] == 2
    })
    .await;
    assert_eq!(
        (&link["left_out"], &link["malformed"]),
        (&json!(2), &json!(1)),
        "{link}"
    );
    assert_eq!(link["gaps_ever"], 1, "{link}");
    daemon
        .until("they are accepted", |status| {
            status["events"]["accepted"] == 3
        })
        .await;
    let commands = state.lock().unwrap().commands.clone();
    assert!(
        commands[1].starts_with("event json CHANNEL_CREATE")
            && commands[1].ends_with("HEARTBEAT CUSTOM callcenter::info"),
        "{commands:?}"
    );
    assert!(
        commands.contains(&"api show channels as json".to_owned()),
        "{commands:?}"
    );
}

/// What a real FreeSWITCH said on its event socket becomes the calls that were made, each logged once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn recorded_events_become_the_calls_that_were_made() {
    let (mut turn, mut expected) = (Vec::new(), BTreeSet::new());
    for name in [
        "01-inbound-answered",
        "02-inbound-noanswer",
        "06-ringgroup-3-phones",
        "07-callcenter-queue-second-agent-answers",
        "11-outbound-answered",
        "15-blind-transfer-sip-refer",
    ] {
        let read = |file: &str| {
            std::fs::read_to_string(folder("freeswitch").join(name).join(file)).unwrap()
        };
        for line in read("esl-events.jsonl").lines() {
            turn.push(serde_json::from_str(line).unwrap());
        }
        let truth: Value = serde_json::from_str(&read("expected.json")).unwrap();
        for call in truth["calls"].as_array().unwrap() {
            expected.insert(format!("tieline:sw:{}", call["key"].as_str().unwrap()));
        }
    }
    assert_eq!(expected.len(), 6);
    let turns = vec![turn];
    let (address, _state) = start(State {
        turns,
        ..State::default()
    })
    .await;
    let world = world(&fetching(&address)).await;
    std::fs::write(world.place.folder.join("socket-password"), PASSWORD).unwrap();
    let daemon = world.place.start().await;
    daemon
        .until("all calls are logged", |status| {
            status["events"]["logged"] == 6 && status["events"]["in_flight"] == 0
        })
        .await;
    let logs = logs(&world.sandbox);
    assert!(logs.values().all(|made| *made == (1, 1)), "{logs:?}");
    assert_eq!(logs.into_keys().collect::<BTreeSet<_>>(), expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_password_is_said() {
    let (address, _) = start(State::default()).await;
    let world = world(&fetching(&address)).await;
    std::fs::write(world.place.folder.join("socket-password"), "wrong").unwrap();
    let daemon = world.place.start().await;
    let link = until_link(&daemon, "the login is refused", |link| {
        link["state"] == "down"
    })
    .await;
    assert!(
        link["why"]
            .as_str()
            .unwrap()
            .contains("the login was refused (invalid)"),
        "{link}"
    );
}

/// What the listener says of a leg that is gone, the dialect reads.
#[test]
fn a_leg_that_is_gone_ended_when_it_was_last_there() {
    use tieline::calls::assemble::{self, State};
    use tieline::calls::decode::freeswitch::live;
    use tieline::calls::decode::{LegFacts, PhoneEvent, RawEvent, Site, decode};
    use tieline::settings::types::Dialect;
    use tieline::terms::ids::{CallKey, Kind};
    let key = CallKey {
        kind: Kind::Call,
        pbx: "sw".to_owned(),
        id: "root".to_owned(),
    };
    let at = |second: i64| jiff::Timestamp::from_second(second).unwrap();
    let mut leg = LegFacts::new(key.clone(), "root".to_owned());
    leg.role = Some(tieline::calls::decode::facts::Role::Root);
    leg.live = true;
    leg.started = Some(at(1_795_177_000));
    assert_eq!(assemble::live(std::slice::from_ref(&leg)), [leg.clone()]);
    let body = live::gone(&leg, at(1_795_177_010), at(1_795_177_020));
    let raw = RawEvent {
        content_type: None,
        query: None,
        body: body.as_bytes(),
        received: at(1_795_177_020),
    };
    let site = Site {
        pbx: "sw".to_owned(),
        plan: tieline::terms::number::NumberPlan::new("DE", None).unwrap(),
        extensions: tieline::terms::party::Extensions::default(),
        time_zone: jiff::tz::TimeZone::UTC,
    };
    let facts = decode(Dialect::Freeswitch, &raw, &site).unwrap();
    let [PhoneEvent::Leg(gone)] = facts.as_slice() else {
        panic!("{facts:?}");
    };
    let both = [leg, (**gone).clone()];
    assert!(assemble::live(&both).is_empty());
    let made = assemble::assemble(&key, &both, at(1_795_177_030));
    assert!(matches!(made.state, State::Complete(_)));
    let call = made.call.unwrap();
    assert_eq!(call.ended, at(1_795_177_010));
    assert_eq!(
        call.doubts,
        ["ended while the connection to the phone system was down"]
    );
    // A record that tells its end says more.
    let mut record = both.to_vec();
    record[0].ended = Some(at(1_795_177_015));
    let call = assemble::assemble(&key, &record, at(1_795_177_030))
        .call
        .unwrap();
    assert_eq!((call.ended, call.doubts.len()), (at(1_795_177_015), 0));
}
