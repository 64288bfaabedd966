//! What becomes of texts that were sent: told later, it goes into the same note, and a failure is somebody's to look at.
//! And each dialect that carries texts: two of them, told twice, and none with a `whatsapp:` address.

use super::{exchanges, hourly, id_of, received, sent, shared, status_of, windowed};
use crate::support::{Config, Daemon, World, attribute, request};
use hyper::Method;
use serde_json::{Value, json};
use tieline::sandbox::Sandbox;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

fn report(id: &str, status: &str) -> Value {
    json!({"event": "text.status", "id": id, "status": status, "error": "error 30003"})
}

fn note(sandbox: &Sandbox, id: &str) -> String {
    let wanted = format!("tieline:script:{id}:note");
    let all = sandbox.notes();
    let mut found = all
        .iter()
        .filter(|note| attribute(note, "externalId") == wanted);
    let body = attribute(found.next().unwrap(), "body");
    assert!(found.next().is_none());
    body
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_report_that_comes_later_goes_into_the_note_and_a_failure_opens_the_conversation() {
    let (world, daemon) = World::running(&Config::default()).await;
    daemon.post(&sent("m1", 0)).await;
    daemon.post(&sent("m2", 1)).await;
    daemon.settled(2).await;
    assert!(!note(&world.sandbox, "m1").contains("Status:"));
    // On its way: nothing to say.
    daemon.post(&report("m1", "sent")).await;
    let mut arrived = report("m1", "delivered");
    arrived.as_object_mut().unwrap().remove("error");
    daemon.post(&arrived).await;
    daemon.post(&report("m2", "undelivered")).await;
    let status = daemon.settled(5).await;
    let events = &status["events"];
    assert_eq!(
        (&events["logged"], &events["joined"]),
        (&2.into(), &2.into())
    );
    assert_eq!(events["filtered"]["nothing"], 1);
    assert!(note(&world.sandbox, "m1").contains("Status: delivered\n"));
    let failed = note(&world.sandbox, "m2");
    assert!(failed.starts_with("Text not delivered\n"), "{failed}");
    assert!(
        failed.contains("Status: not delivered: error 30003\n"),
        "{failed}"
    );
    assert!(failed.contains("Is my order ready?"), "{failed}");
    assert_eq!(status_of(&world.sandbox, "m1"), "done");
    assert_eq!(status_of(&world.sandbox, "m2"), "open");
    // People closed it; what is told again, or of the other kind, changes nothing any more.
    let path = format!("/v1/conversations/{}", id_of(&world.sandbox, "m2"));
    request(
        &world.sandbox,
        Method::PUT,
        &path,
        Some(&json!({"status": "done"})),
    )
    .await;
    daemon.post(&report("m2", "failed")).await;
    daemon.post(&report("m2", "delivered")).await;
    daemon.settled(7).await;
    assert_eq!(status_of(&world.sandbox, "m2"), "done");
    assert_eq!(world.sandbox.notes().len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failure_in_an_exchange_opens_its_conversation() {
    let (world, daemon) = World::running(&hourly()).await;
    daemon.post(&sent("m1", 0)).await;
    daemon.settled(1).await;
    let mut failed = sent("m2", 1);
    failed["status"] = json!("failed");
    daemon.post(&failed).await;
    daemon.settled(2).await;
    assert_eq!(status_of(&world.sandbox, "m1"), "open");
    assert_eq!(exchanges(&world.sandbox), shared(&[("m1", &["m1", "m2"])]));
}

/// Told to have failed while it still waits for Kustomer: the conversation that it joins is opened all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_text_that_failed_before_it_was_logged_opens_the_conversation_that_it_joins() {
    use tieline::sandbox::{Fault, FaultKind};
    let (world, daemon) = World::running(&hourly()).await;
    daemon.post(&sent("m1", 0)).await;
    daemon.settled(1).await;
    assert_eq!(status_of(&world.sandbox, "m1"), "done");
    let away = Fault::on("/v1/conversations/*/notes", FaultKind::CloseBefore);
    world.sandbox.add_fault(away.method("POST"));
    daemon.post(&sent("m2", 1)).await;
    let tried = |status: &Value| status["events"]["in_flight"] == 1;
    daemon.until("the text waits", tried).await;
    daemon.post(&report("m2", "failed")).await;
    let told = |status: &Value| status["events"]["in_flight"] == 2;
    daemon.until("the report waits with it", told).await;
    world.sandbox.clear_faults();
    daemon.settled(3).await;
    assert_eq!(exchanges(&world.sandbox), shared(&[("m1", &["m1", "m2"])]));
    assert_eq!(
        note(&world.sandbox, "m2")
            .matches("Status: not delivered")
            .count(),
        1
    );
    assert_eq!(status_of(&world.sandbox, "m1"), "open");
}

/// Only failures are wanted: what was sent is filtered until it is told to have failed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_sent_off_a_text_is_logged_once_it_failed() {
    let log = "window = \"1h\"\nlog = { sent = \"off\" }";
    let (world, daemon) = World::running(&windowed(log)).await;
    daemon.post(&received("m0", 0)).await;
    daemon.post(&sent("m1", 1)).await;
    daemon.post(&sent("m2", 2)).await;
    daemon.post(&report("m2", "delivered")).await;
    let status = daemon.settled(4).await;
    assert_eq!(status["events"]["filtered"]["switched_off"], 3);
    daemon.post(&report("m1", "failed")).await;
    daemon.post(&report("m1", "failed")).await;
    let status = daemon.settled(5).await;
    let events = &status["events"];
    assert_eq!(events["filtered"]["switched_off"], 2);
    assert_eq!(
        (&events["logged"], &events["joined"]),
        (&2.into(), &1.into())
    );
    assert!(note(&world.sandbox, "m1").contains("Is my order ready?"));
    assert_eq!(exchanges(&world.sandbox), shared(&[("m0", &["m0", "m1"])]));
}

/// Some systems report on texts that they never told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_report_on_a_text_that_nobody_told_is_logged_if_it_failed() {
    let of = |id: &str, status: &str| {
        let mut event = report(id, status);
        event["from"] = json!(crate::support::OURS);
        event["to"] = json!(super::MAX);
        event
    };
    for (failed, logged) in [("open", 1), ("off", 0)] {
        let log = format!("log = {{ failed = \"{failed}\" }}");
        let (world, daemon) = World::running(&windowed(&log)).await;
        daemon.post(&of("m1", "delivered")).await;
        daemon.post(&of("m2", "failed")).await;
        let status = daemon.settled(2).await;
        assert_eq!(status["events"]["logged"], logged);
        assert_eq!(status["events"]["filtered"]["nothing"], 1);
        assert_eq!(world.sandbox.conversations().len(), logged);
        if logged == 1 {
            assert_eq!(status_of(&world.sandbox, "m2"), "open");
            // Its words, told afterwards.
            daemon.post(&sent("m2", 0)).await;
            daemon.settled(3).await;
            let body = note(&world.sandbox, "m2");
            assert!(
                body.contains("Is my order ready?") && body.contains("not delivered"),
                "{body}"
            );
        }
    }
}

/// The change of the note and the opening survive lost replies and a kill.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failure_is_told_whatever_is_lost() {
    use tieline::sandbox::{Fault, FaultKind};
    let (world, daemon) = World::running(&hourly()).await;
    daemon.post(&sent("m1", 0)).await;
    daemon.settled(1).await;
    for path in ["/v1/notes/*", "/v1/conversations/*"] {
        for kind in [FaultKind::CommitThenClose, FaultKind::CloseBefore] {
            world
                .sandbox
                .add_fault(Fault::on(path, kind).method("PUT").times(1));
        }
    }
    daemon.post(&report("m1", "failed")).await;
    daemon.kill();
    let daemon = world.place.start().await;
    daemon.settled(2).await;
    assert_eq!(
        note(&world.sandbox, "m1")
            .matches("Status: not delivered")
            .count(),
        1
    );
    assert_eq!(status_of(&world.sandbox, "m1"), "open");
}

/// The head of the answer, whose body may be anything: gateways are told what they want to hear.
async fn answer_to(daemon: &Daemon, pbx: &str, kind: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(daemon.place.listen).await.unwrap();
    let request = format!(
        "POST /v1/pbx/{pbx}/events HTTP/1.1\r\nhost: tieline\r\nconnection: close\r\nauthorization: Bearer token\r\n\
         content-type: {kind}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer.lines().next().unwrap_or_default().to_owned()
}

/// Whose text number `number` is; with `via` before both addresses.
fn posts(via: &str, number: u8) -> Vec<(&'static str, &'static str, String)> {
    const FORM: &str = "application/x-www-form-urlencoded";
    const JSON: &str = "application/json";
    let (from, to) = (
        format!("{via}+491711234567"),
        format!("{via}+4921155500100"),
    );
    let coded = |address: &str| address.replace('+', "%2B").replace(':', "%3A");
    let (cf, ct) = (coded(&from), coded(&to));
    let (second, body) = (1_795_177_469 + u64::from(number), format!("Hello {number}"));
    let json = |value: Value| value.to_string();
    vec![
        (
            "tieline",
            JSON,
            json(
                json!({"event": "text", "id": number, "from": from, "to": to, "at": second, "body": body}),
            ),
        ),
        (
            "asterisk",
            FORM,
            format!(
                "event=message&callid=c{number}&from={cf}&to={ct}&exten={ct}&body=Hello+{number}&epoch={second}"
            ),
        ),
        (
            "twilio",
            FORM,
            format!(
                "MessageSid=SM{number}&SmsStatus=received&From={cf}&To={ct}&Body=Hello+{number}&NumMedia=1&MediaUrl0=https%3A%2F%2Fm.example%2F1"
            ),
        ),
        (
            "cloudtalk",
            JSON,
            json(
                json!({"event": "message_received", "message_id": number, "sender": from, "recipient": to, "body": body}),
            ),
        ),
        (
            "aircall",
            JSON,
            json(
                json!({"resource": "message", "event": "message.received", "timestamp": second,
            "data": {"id": format!("a{number}"), "direction": "inbound", "external_number": from, "number": {"digits": to}, "body": body, "sent_at": second}}),
            ),
        ),
        (
            "dialpad",
            JSON,
            json(
                json!({"id": number, "direction": "inbound", "from_number": from, "to_number": [to], "text": body, "created_date": second * 1000}),
            ),
        ),
        (
            "ringcentral",
            JSON,
            json(
                json!({"uuid": "u", "event": "/restapi/v1.0/account/1/extension/1001/message-store/instant?type=SMS", "timestamp": "2026-11-20T12:24:29Z",
            "body": {"id": number, "to": [{"phoneNumber": to}], "from": {"phoneNumber": from}, "type": "SMS", "direction": "Inbound", "subject": body, "messageStatus": "Received"}}),
            ),
        ),
        (
            "kannel",
            FORM,
            format!("id=k{number}&from={cf}&to={ct}&time={second}&text=Hello+{number}"),
        ),
        (
            "jasmin",
            FORM,
            format!("id=j{number}&from={cf}&to={ct}&content=Hello+{number}"),
        ),
        (
            "playsms",
            FORM,
            format!("id=p{number}&from={cf}&to={ct}&message=Hello+{number}"),
        ),
        (
            "gammu",
            FORM,
            format!(
                "ID={number}&PHONE_ID=1&to={ct}&SMS_MESSAGES=1&SMS_1_NUMBER={cf}&SMS_1_TEXT=Hello+{number}"
            ),
        ),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_dialect_s_texts_are_exchanges_and_repeats_are_none() {
    let mut config = hourly();
    for (dialect, _, _) in posts("", 1) {
        let system = format!(
            "\n[[pbx]]\nname = \"{dialect}\"\ndialect = \"{dialect}\"\nauth = {{ kind = \"bearer\", token_file = \"script-token\" }}\nextensions = [\"100-199\"]\n"
        );
        config.agents.push_str(&system);
    }
    let (world, daemon) = World::running(&config).await;
    let dialects = posts("", 1).len();
    for (via, number) in [("", 1), ("", 2), ("", 1), ("", 2), ("whatsapp:", 3)] {
        for (dialect, kind, body) in posts(via, number) {
            let head = answer_to(&daemon, dialect, kind, &body).await;
            assert!(head.starts_with("HTTP/1.1 20"), "{dialect}: {head}");
        }
    }
    let status = daemon.settled(dialects * 3).await;
    assert_eq!(
        status["events"]["logged"],
        dialects * 2,
        "{}",
        world.place.cli(&["dead", "list"]).await.out
    );
    assert_eq!(
        status["events"]["dead"], dialects,
        "each text with a whatsapp: address"
    );
    let notes = world.sandbox.notes();
    assert_eq!(
        (notes.len(), world.sandbox.conversations().len()),
        (dialects * 2, dialects)
    );
    assert!(
        notes
            .iter()
            .any(|note| attribute(note, "body").contains("https://m.example/1"))
    );
}
