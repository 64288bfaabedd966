//! The life of a manager connection: what is wrong is said, what is missed is found out, and nothing waits in vain.

use super::pbx::{Manager, Manner, SECRET};
use super::{Scenario, fetching, listened_to, scenarios, until_link, world};
use crate::support::logs;
use serde_json::json;
use std::sync::Arc;
use tieline::calls::decode::asterisk::live;
use tieline::calls::decode::{RawEvent, Site, decode};
use tieline::settings::types::Dialect;
use tieline::terms::number::NumberPlan;
use tieline::terms::party::{ExtensionRange, Extensions};

fn address(manager: &Manager) -> String {
    format!("ami://{}", manager.address)
}

fn scenario(number: &str) -> Scenario {
    scenarios()
        .into_iter()
        .find(|one| one.name.starts_with(number))
        .unwrap()
}

/// Why a connection to such a manager is down.
async fn why(manner: Manner, lines: &str) -> String {
    let manager = Manager::start(manner).await;
    let world = world(&fetching(&address(&manager), lines)).await;
    let daemon = world.place.start().await;
    let link = until_link(&daemon, "the connection is down", |link| {
        link["state"] == "down"
    })
    .await;
    let log = world.place.log();
    assert!(!log.contains(SECRET), "the password is in the log");
    link["why"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_with_a_login_is_said() {
    let refused = Manner {
        secret: "another".to_owned(),
        ..Manner::default()
    };
    let why_refused = why(refused, "").await;
    assert!(
        why_refused.contains("the login was refused (Authentication failed)")
            && why_refused.contains("secret_file"),
        "{why_refused}"
    );
    let stranger = Manner {
        greeting: "HTTP/1.1 400 Bad Request\r\n".to_owned(),
        ..Manner::default()
    };
    let why_stranger = why(stranger, "").await;
    assert!(
        why_stranger.contains("no manager interface") && why_stranger.contains("HTTP/1.1 400"),
        "{why_stranger}"
    );
    let old = Manner {
        challenge: false,
        ..Manner::default()
    };
    let why_old = why(old, "").await;
    assert!(why_old.contains("plain_login = true"), "{why_old}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_manager_without_a_challenge_gets_the_password_if_that_is_allowed() {
    let old = Manner {
        challenge: false,
        ..Manner::default()
    };
    let manager = Manager::start(old).await;
    let world = world(&fetching(&address(&manager), "plain_login = true")).await;
    let daemon = world.place.start().await;
    until_link(&daemon, "the login", |link| link["state"] == "connected").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_who_may_not_ask_for_channels_is_told() {
    let manner = Manner {
        may_list: false,
        ..Manner::default()
    };
    let manager = Manager::start(manner).await;
    let world = world(&fetching(&address(&manager), "")).await;
    let daemon = world.place.start().await;
    let link = until_link(&daemon, "a right is lacking", |link| {
        !link["lacking"].as_array().unwrap().is_empty()
    })
    .await;
    assert!(
        link["lacking"][0]
            .as_str()
            .unwrap()
            .contains("write class reporting"),
        "{link}"
    );
    let shown = world.place.cli(&["status"]).await;
    assert!(
        shown.out.contains("the user lacks write class reporting"),
        "{}",
        shown.out
    );
}

/// A line of a megabyte, an event without end, and what is no event: each is left out, and what comes behind it isn't.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_lines_and_garbage_cost_no_call() {
    let manager = Manager::start(Manner::default()).await;
    let world = world(&fetching(&address(&manager), "")).await;
    let daemon = world.place.start().await;
    listened_to(&manager).await;
    let call = scenario("01");
    let (first, second) = call.events.split_at(call.events.len() / 2);
    first.iter().for_each(|event| manager.play(event));
    let long = format!(
        "Event: Newchannel\r\nPrivilege: call,all\r\nChannel: {}\r\n\r\n",
        "x".repeat(1 << 20)
    );
    manager.blurt(long.as_bytes());
    let endless = format!("Event: Hangup\r\n{}\r\n", "Key: value\r\n".repeat(20_000));
    manager.blurt(endless.as_bytes());
    manager.blurt(b"\x00\xff\xfe no event at all\r\n\r\n\r\n\r\n");
    second.iter().for_each(|event| manager.play(event));
    let link = until_link(&daemon, "garbage was left out", |link| {
        link["malformed"] == 3
    })
    .await;
    assert_eq!(link["logins"], 1, "{link}");
    daemon
        .until("the call is logged", |status| {
            status["integrations"][0]["settled_since_start"] == 1
        })
        .await;
    let status = daemon.at_rest("every event has its end").await;
    assert_eq!(status["events"]["dead"], 0, "{status}");
    assert_eq!(logs(&world.sandbox).len(), 1);
}

/// Without records to read back: the list of channels tells that the call is over, and the call says that it isn't exact.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_ended_while_nobody_listened_is_closed_with_a_doubt() {
    let manager = Manager::start(Manner::default()).await;
    let world = world(&fetching(&address(&manager), "")).await;
    let daemon = world.place.start().await;
    listened_to(&manager).await;
    let call = scenario("01");
    let bridged = call
        .events
        .iter()
        .rposition(|event| event.starts_with(b"Event: BridgeEnter"))
        .unwrap();
    let (before, missed) = call.events.split_at(bridged + 1);
    before.iter().for_each(|event| manager.play(event));
    daemon
        .until("the call is open", |status| {
            status["open_calls"] == 1 && status["events"]["unread"] == 0
        })
        .await;
    manager.cut();
    missed.iter().for_each(|event| manager.play(event));
    daemon
        .until("the call is logged", |status| {
            status["integrations"][0]["settled_since_start"] == 1
        })
        .await;
    let key = format!("ast:{}", call.expected[0]["key"].as_str().unwrap());
    let explained = daemon.place.explain(&key).await["call"].clone();
    assert_eq!(
        explained["doubts"],
        json!(["ended while the connection to the phone system was down"])
    );
    assert_eq!(
        (&explained["type"], &explained["agent"]),
        (&json!("incoming answered"), &json!("101"))
    );
    let link = until_link(&daemon, "it is back", |link| link["state"] == "connected").await;
    assert_eq!(
        (&link["missed_ends"], &link["gaps_ever"], &link["logins"]),
        (&json!(2), &json!(1), &json!(2)),
        "{link}"
    );
    assert!(
        world
            .place
            .cli(&["status"])
            .await
            .out
            .contains("nobody listened from")
    );
    // The same again after a restart: the doubt was journaled, not remembered.
    assert!(daemon.stop().await.success());
    let daemon = world.place.start().await;
    assert_eq!(daemon.place.explain(&key).await["call"], explained);
    assert_eq!(logs(&world.sandbox).len(), 1);
}

/// A call that goes on over a gap is still told whole; one that was answered in the gap counts from when it was seen.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_answered_while_nobody_listened_is_an_answered_call() {
    let byte_by_byte = Manner {
        piece: 1,
        ..Manner::default()
    };
    let manager = Manager::start(byte_by_byte).await;
    let world = world(&fetching(&address(&manager), "")).await;
    let daemon = world.place.start().await;
    listened_to(&manager).await;
    let call = scenario("01");
    let dialled = call
        .events
        .iter()
        .position(|event| event.starts_with(b"Event: DialBegin"))
        .unwrap();
    let bridged = call
        .events
        .iter()
        .rposition(|event| event.starts_with(b"Event: BridgeEnter"))
        .unwrap();
    call.events[..dialled]
        .iter()
        .for_each(|event| manager.play(event));
    // What is asked for: no events of the dial plan.
    let heard = |event: &&Vec<u8>| {
        let text = String::from_utf8_lossy(event);
        live::heading(&text).unwrap().tells && !text.contains("Privilege: dialplan")
    };
    let before = call.events[..dialled].iter().filter(heard).count();
    until_link(&daemon, "all of it was heard", |link| {
        link["events"] == before
    })
    .await;
    manager.cut();
    call.events[dialled..=bridged]
        .iter()
        .for_each(|event| manager.play(event));
    listened_to(&manager).await;
    until_link(&daemon, "it is back", |link| link["logins"] == 2).await;
    // In real life the rest comes later than the list; here its times are those of the recording, so the bridge's end too.
    let key = format!("ast:{}", call.expected[0]["key"].as_str().unwrap());
    daemon
        .until("both channels of the list were read", |status| {
            let events = status["connections"][0]["events"].as_u64();
            events == Some(before as u64 + 2) && status["events"]["unread"] == 0
        })
        .await;
    let open = daemon.place.explain(&key).await["call"].clone();
    assert_eq!(open["type"], "incoming answered", "{open:#}");
    call.events[bridged + 1..]
        .iter()
        .for_each(|event| manager.play(event));
    daemon
        .until("the call is logged", |status| {
            status["integrations"][0]["settled_since_start"] == 1
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_tls_only_with_the_right_certificate() {
    use tokio_rustls::TlsAcceptor;
    use tokio_rustls::rustls::ServerConfig;
    use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
    let signed = |names: Vec<String>| rcgen::generate_simple_self_signed(names).unwrap();
    let (right, other) = (
        signed(vec!["127.0.0.1".to_owned()]),
        signed(vec!["127.0.0.1".to_owned()]),
    );
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(right.signing_key.serialize_der()));
    let config = ServerConfig::builder().with_no_client_auth();
    let config = config
        .with_single_cert(vec![right.cert.der().clone()], key)
        .unwrap();
    let manager =
        Manager::start_with(Manner::default(), Some(TlsAcceptor::from(Arc::new(config)))).await;
    let config = fetching(
        &format!("amis://{}", manager.address),
        "ca_file = \"ca.pem\"",
    );
    let world = world(&config).await;
    let ca = world.place.folder.join("ca.pem");
    std::fs::write(&ca, other.cert.pem()).unwrap();
    let daemon = world.place.start().await;
    let link = until_link(&daemon, "a wrong certificate", |link| {
        link["state"] == "down"
    })
    .await;
    assert!(
        link["why"]
            .as_str()
            .unwrap()
            .contains("no secure connection"),
        "{link}"
    );
    assert!(manager.actions().is_empty());
    std::fs::write(&ca, right.cert.pem()).unwrap();
    daemon.signal(rustix::process::Signal::HUP);
    until_link(&daemon, "the right one", |link| {
        link["state"] == "connected"
    })
    .await;
}

fn site() -> Site {
    let range = ExtensionRange {
        first: "100".to_owned(),
        last: "199".to_owned(),
    };
    Site {
        pbx: "ast".to_owned(),
        plan: NumberPlan::new("DE", Some("211")).unwrap(),
        extensions: Extensions(vec![range]),
        time_zone: jiff::tz::TimeZone::UTC,
    }
}

#[test]
fn no_event_that_says_something_is_left_out() {
    let (mut told, mut left_out) = (0, 0);
    for scenario in scenarios() {
        for event in &scenario.events {
            let text = String::from_utf8_lossy(event);
            let tells = live::heading(&text).unwrap().tells;
            let raw = RawEvent {
                content_type: None,
                query: None,
                body: event,
                received: jiff::Timestamp::UNIX_EPOCH,
            };
            let facts = decode(Dialect::Asterisk, &raw, &site()).unwrap();
            assert!(tells || facts.is_empty(), "left out: {text}");
            *(if tells { &mut told } else { &mut left_out }) += 1;
        }
    }
    println!("{told} told, {left_out} left out");
    assert!(left_out > told * 2);
}

/// Without `timestampevents` two holds in one second read alike; both are kept.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_in_the_same_words_are_two_events_even_without_times() {
    let manager = Manager::start(Manner::default()).await;
    let world = world(&fetching(&address(&manager), "")).await;
    let daemon = world.place.start().await;
    listened_to(&manager).await;
    let call = scenario("01");
    let untimed = |event: &Vec<u8>| {
        let text = String::from_utf8(event.clone()).unwrap();
        let lines: Vec<&str> = text
            .split_inclusive("\r\n")
            .filter(|line| !line.starts_with("Timestamp:"))
            .collect();
        lines.concat().into_bytes()
    };
    let bridged = call
        .events
        .iter()
        .find(|event| event.starts_with(b"Event: BridgeEnter"))
        .unwrap();
    for _ in 0..3 {
        let before =
            until_link(&daemon, "connected", |link| link["state"] == "connected").await["events"]
                .as_u64();
        manager.play(&untimed(bridged));
        until_link(&daemon, "it is journaled", |link| {
            link["events"].as_u64() > before
        })
        .await;
    }
    let status = daemon
        .until("all three are events", |status| {
            status["events"]["accepted"] == 3
        })
        .await;
    assert_eq!(status["open_calls"], 1);
}

/// A caller waits for hours while phones ring: what is beyond the limit is dead, the hang-ups aren't, and the call is logged.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_with_too_many_events_still_ends() {
    use tieline::calls::book::CALL_EVENTS_MAX;
    let manager = Manager::start(Manner::default()).await;
    let auth = "auth = { kind = \"bearer\", token_file = \"script-token\" }";
    let world = world(&fetching(&address(&manager), auth)).await;
    let daemon = world.place.start().await;
    listened_to(&manager).await;
    let call = scenario("01");
    let of = |name: &'static str| {
        let start = format!("Event: {name}\r\n");
        call.events
            .iter()
            .filter(move |event| event.starts_with(start.as_bytes()))
    };
    of("Newchannel").for_each(|event| manager.play(event));
    let played = of("Newchannel").count() as u64;
    // All of them: they may be taken as several events.
    daemon
        .until("the call is open", |status| {
            status["open_calls"] == 1 && status["connections"][0]["events"].as_u64() >= Some(played)
        })
        .await;
    let answered = of("Newstate")
        .find(|event| String::from_utf8_lossy(event).contains("ChannelState: 6"))
        .unwrap();
    let answered = String::from_utf8(answered.clone()).unwrap();
    let (beyond, mut posted) = (5, 0);
    let held = daemon.place.status().await["events"]["accepted"]
        .as_u64()
        .unwrap();
    while held + posted < CALL_EVENTS_MAX as u64 + beyond {
        let stamp = format!("Timestamp: 17951764{:02}.{posted:06}", 50 + posted % 3);
        let lines = answered.split("\r\n").map(|line| {
            if line.starts_with("Timestamp:") {
                stamp.as_str()
            } else {
                line
            }
        });
        let event = lines.collect::<Vec<_>>().join("\r\n");
        daemon.post_raw("ast", None, None, event.as_bytes()).await;
        posted += 1;
    }
    of("Hangup").for_each(|event| manager.play(event));
    daemon
        .until("the call is logged", |status| {
            status["integrations"][0]["settled_since_start"] == 1
        })
        .await;
    let status = daemon.at_rest("every event has its end").await;
    assert_eq!(status["events"]["dead"], beyond, "{status}");
    assert_eq!(logs(&world.sandbox).len(), 1);
}

/// Nobody heard of the call; its records tell it, and only those written since the connection was last up are read.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_came_and_went_in_a_gap_is_logged_from_its_records() {
    let manager = Manager::start(Manner::default()).await;
    let world = world(&fetching(&address(&manager), "gap_csv = \"Master.csv\"")).await;
    let csv = world.place.folder.join("Master.csv");
    let (old, missed) = (scenario("11"), scenario("07"));
    std::fs::write(&csv, &old.rows).unwrap();
    let daemon = world.place.start().await;
    listened_to(&manager).await;
    manager.cut();
    std::fs::write(&csv, format!("{}{}", old.rows, missed.rows)).unwrap();
    missed.events.iter().for_each(|event| manager.play(event));
    daemon
        .until("the call is logged", |status| {
            status["integrations"][0]["settled_since_start"] == 1
        })
        .await;
    let status = daemon.at_rest("every event has its end").await;
    let rows = missed.rows.lines().count();
    assert_eq!(
        (
            &status["events"]["accepted"],
            &status["connections"][0]["rows_read_back"]
        ),
        (&json!(rows), &json!(rows))
    );
    let key = format!("ast:{}", missed.expected[0]["key"].as_str().unwrap());
    let call = daemon.place.explain(&key).await["call"].clone();
    for field in [
        "type",
        "direction",
        "other_party",
        "connected_number",
        "agent",
        "queue",
    ] {
        assert_eq!(call[field], missed.expected[0][field], "{field}");
    }
    assert_eq!(call["doubts"], json!([]));
}

/// A connection that is open and dead: a cable, a firewall that forgot it. Two pings go without an answer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_without_a_word_is_given_up_and_the_gap_begins_with_the_last_one() {
    let manner = Manner {
        mute: true,
        ..Manner::default()
    };
    let manager = Manager::start(manner).await;
    let world = world(&fetching(&address(&manager), "keep_alive = \"2s\"")).await;
    let daemon = world.place.start().await;
    let link = until_link(&daemon, "it is given up", |link| link["logins"] == 2).await;
    assert!(
        manager
            .actions()
            .iter()
            .filter(|action| *action == "Ping")
            .count()
            >= 2
    );
    assert!(link["gap_seconds_ever"].as_u64() >= Some(4), "{link}");
    assert!(world.place.log().contains("nothing was heard for 5.3"));
}
