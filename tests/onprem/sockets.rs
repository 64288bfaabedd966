//! Over real sockets: what phone systems and gateways send by their own manners becomes the expected conversations, and
//! each gets the answer that it understands.

use crate::support::{Config, Daemon, World, logs};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const TEXTS: [&str; 4] = ["gammu", "jasmin", "kannel", "playsms"];
const CALLS: [&str; 4] = ["3cx", "grandstream", "kamailio", "zammad"];

/// One phone system for each dialect, named as it.
fn config() -> Config {
    let mut config = Config::default();
    for dialect in TEXTS.iter().chain(&CALLS) {
        let settle = &config.settle;
        let block = format!(
            "\n[[pbx]]\nname = \"{dialect}\"\ndialect = \"{dialect}\"\n\
             auth = {{ kind = \"query\", name = \"token\", token_file = \"script-token\" }}\n\
             extensions = [\"100-199\"]\nsettle = \"{settle}\"\n"
        );
        config.agents.push_str(&block);
    }
    config.agents.push_str(
        "\n[[pbx]]\nname = \"signed\"\ndialect = \"kannel\"\nauth = { kind = \"hmac\", \
         secret_file = \"script-token\", header = \"x-signature\", algorithm = \"sha256\" }\n",
    );
    config
}

struct Answer {
    status: u16,
    head: String,
    body: String,
}

/// One request on a connection of its own.
async fn send(daemon: &Daemon, method: &str, target: &str, body: &str) -> Answer {
    let mut stream = TcpStream::connect(daemon.place.listen).await.unwrap();
    let mut request =
        format!("{method} {target} HTTP/1.1\r\nHost: tieline\r\nConnection: close\r\n");
    if method == "POST" {
        write!(request, "Content-Length: {}\r\n", body.len()).unwrap();
    }
    request.push_str("\r\n");
    request.push_str(body);
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    Answer {
        status: head[9..12].parse().unwrap(),
        head: head.to_ascii_lowercase(),
        body: body.to_owned(),
    }
}

fn events_of(pbx: &str) -> String {
    format!("/v1/pbx/{pbx}/events?token=token")
}

async fn get(daemon: &Daemon, pbx: &str, query: &str) -> Answer {
    send(daemon, "GET", &format!("{}&{query}", events_of(pbx)), "").await
}

async fn post(daemon: &Daemon, pbx: &str, body: &str) -> Answer {
    send(daemon, "POST", &events_of(pbx), body).await
}

fn once_each(keys: &[&str]) -> BTreeMap<String, (usize, usize)> {
    keys.iter()
        .map(|key| (format!("tieline:{key}"), (1, 1)))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_texts_through_each_gateway() {
    let (world, daemon) = World::running(&config()).await;
    let said = |answer: &Answer, body: &str| {
        assert_eq!(
            (answer.status, answer.body.as_str()),
            (200, body),
            "{}",
            answer.head
        );
        assert!(
            answer.head.contains("content-type: text/plain"),
            "{}",
            answer.head
        );
    };
    let from = "from=%2B491711234567&to=%2B4921155500100";
    for number in 1..=2 {
        // Sent again, for the first answer was lost.
        for _ in 0..2 {
            let text = format!(
                "id=k{number}&{from}&text=Hello+{number}&time=179517746{number}&charset=GSM"
            );
            said(&get(&daemon, "kannel", &text).await, "");
            let text = format!("id=j{number}&{from}&content=Hello+{number}&coding=0");
            let answer = if number == 1 {
                post(&daemon, "jasmin", &text).await
            } else {
                get(&daemon, "jasmin", &text).await
            };
            said(&answer, "ACK/Jasmin");
            let text = format!("id=p{number}&{from}&message=Hello+{number}");
            said(&get(&daemon, "playsms", &text).await, "OK");
            let text = format!(
                "id=g{number}&to=%2B4921155500100&SMS_1_NUMBER=%2B491711234567&SMS_MESSAGES=1&SMS_1_TEXT=Hello"
            );
            assert_eq!(post(&daemon, "gammu", &text).await.status, 202);
        }
    }
    // Delivery reports of them.
    said(
        &get(&daemon, "kannel", &format!("id=k1&{from}&text=ACK&dlr=8")).await,
        "",
    );
    said(
        &post(&daemon, "jasmin", "id=j1&message_status=DELIVRD&level=1").await,
        "ACK/Jasmin",
    );
    said(
        &get(&daemon, "playsms", "id=p1&message_status=3").await,
        "OK",
    );
    daemon.settled(8 + 3).await;
    let keys = [
        "jasmin:j1",
        "jasmin:j2",
        "kannel:k1",
        "kannel:k2",
        "playsms:p1",
        "playsms:p2",
    ];
    let mut logs = logs(&world.sandbox);
    let gammu: Vec<String> = logs
        .extract_if(.., |key, _| key.starts_with("tieline:gammu:sha256-"))
        .map(|(key, counts)| format!("{key} {counts:?}"))
        .collect();
    assert!(
        gammu.len() == 2 && gammu.iter().all(|one| one.ends_with(" (1, 1)")),
        "{gammu:?}"
    );
    assert_eq!(logs, once_each(&keys));
    let log = world.place.log();
    assert!(
        !log.contains("token=token") && !log.contains("1711234567"),
        "the log has a secret or a number"
    );
    assert!(daemon.stop().await.success());
}

#[tokio::test]
async fn a_get_is_for_those_who_can_do_nothing_else() {
    let (_world, daemon) = World::running(&config()).await;
    for pbx in CALLS.iter().chain(&["gammu"]) {
        let answer = get(&daemon, pbx, "id=1&from=2").await;
        assert_eq!(answer.status, 405, "{pbx}");
        assert!(
            answer.head.contains("\r\nallow: post\r\n"),
            "{}",
            answer.head
        );
    }
    let other = send(&daemon, "PUT", &events_of("kannel"), "").await;
    assert_eq!(other.status, 405);
    assert!(
        other.head.contains("\r\nallow: get, post\r\n"),
        "{}",
        other.head
    );
    // A signature is of the body, and a GET has none: an old one would open the door to any query.
    let signed = get(&daemon, "signed", "id=1&from=2&text=x").await;
    assert_eq!(signed.status, 405, "{}", signed.body);
    let empty = send(&daemon, "GET", &events_of("kannel"), "").await;
    assert_eq!(empty.status, 400, "{}", empty.body);
    let unproven = send(&daemon, "GET", "/v1/pbx/kannel/events?from=1&text=x", "").await;
    assert_eq!(unproven.status, 401);
    let long = format!("from=1&text={}", "x".repeat(12 * 1024));
    assert_eq!(get(&daemon, "kannel", &long).await.status, 400);
    let fits = format!("id=1&from=%2B491711234567&text={}", "x".repeat(10 * 1024));
    assert_eq!(get(&daemon, "kannel", &fits).await.status, 200);
    daemon.settled(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_calls_of_the_event_socket() {
    let (world, daemon) = World::running(&Config::default()).await;
    let events =
        include_str!("../../fixtures/calls/freeswitch/01-inbound-answered/esl-events.jsonl");
    let mut accepted = 0;
    for number in 0..10 {
        for line in events.lines() {
            // Another call: both legs under ids of their own.
            let line = line.replace("3c9c62db-", &format!("3c9c62d{number}-"));
            let line = line.replace("f05c10eb-", &format!("f05c10e{number}-"));
            daemon
                .post_raw("hq", None, Some("application/json"), line.as_bytes())
                .await;
            accepted += 1;
        }
    }
    daemon.settled(accepted).await;
    let keys: Vec<String> = (0..10)
        .map(|number| format!("hq:3c9c62d{number}-59f7-47df-831e-c6beca35b6f8"))
        .collect();
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    assert_eq!(logs(&world.sandbox), once_each(&keys));
}
