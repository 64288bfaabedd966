//! Bodies that aren't as documented: cut short, of wrong types, without ids, of unknown kinds, with odd names and numbers.

use super::{DIALECTS, lab, scenarios, site};
use proptest::prelude::*;
use serde_json::{Value, json};
use tieline::calls::decode::{self, Malformed, NotUnderstood, PhoneEvent, RawEvent};
use tieline::cli::decode::{Decoded, Source, decode_recording};
use tieline::cli::recording::posts;
use tieline::settings::types::Dialect;
use tieline::terms::call::{Call, CallType, Direction, Reason};
use tieline::terms::party::Party;

type Verdict = Result<Vec<PhoneEvent>, NotUnderstood>;

fn raw(body: &[u8]) -> RawEvent<'_> {
    RawEvent {
        content_type: None,
        query: None,
        body,
        received: "2026-11-20T12:30:00Z".parse().unwrap(),
    }
}

fn facts(dialect: Dialect, body: &str) -> Verdict {
    decode::decode(dialect, &raw(body.as_bytes()), &lab())
}

/// One JSON object a line.
fn read(dialect: Dialect, bodies: &[Value]) -> Decoded {
    let lines: Vec<String> = bodies.iter().map(Value::to_string).collect();
    decode_recording(dialect, Source::Http, lines.join("\n").as_bytes(), &lab()).unwrap()
}

fn only_call(dialect: Dialect, bodies: &[Value]) -> Call {
    let mut decoded = read(dialect, bodies);
    assert_eq!((decoded.calls.len(), &decoded.undecoded), (1, &Vec::new()));
    decoded.calls.remove(0).call
}

#[test]
fn whole_posts_are_admitted_and_cut_ones_are_not() {
    for scenario in scenarios() {
        for post in posts(&scenario.posts) {
            let name = &scenario.name;
            let verdict = |body: &[u8]| decode::admit(scenario.dialect, &raw(body));
            assert_eq!(verdict(&post.body), Ok(()), "{name}");
            if post.body.starts_with(b"{") {
                let half = &post.body[..post.body.len() / 2];
                assert!(
                    matches!(verdict(half), Err(Malformed::Json { .. })),
                    "{name}"
                );
            }
        }
    }
    for dialect in DIALECTS {
        let verdict = |body: &[u8]| decode::admit(dialect, &raw(body));
        assert_eq!(verdict(b""), Err(Malformed::Empty), "{dialect:?}");
        assert_eq!(verdict(b"hello"), Err(Malformed::Unknown), "{dialect:?}");
        assert_eq!(verdict(b"a=%4"), Err(Malformed::Form), "{dialect:?}");
        assert_eq!(
            verdict(b"{\"a\":\"\xff\"}"),
            Err(Malformed::NotUtf8 { at: 6 })
        );
        let deep = "[".repeat(100_000);
        assert_eq!(
            verdict(deep.as_bytes()),
            Err(Malformed::TooDeep),
            "{dialect:?}"
        );
    }
    let verdict = |body: &[u8]| decode::admit(Dialect::Dialpad, &raw(body));
    assert_eq!(
        verdict(b"eyJhbGciOiJIUzI1NiJ9.!!!.AA"),
        Err(Malformed::Form)
    );
    assert!(matches!(
        verdict(b"eyJhbGciOiJIUzI1NiJ9.eyJh.AA"),
        Err(Malformed::Json { .. })
    ));
}

#[test]
fn what_says_nothing_is_named() {
    let missing = |field| Err(NotUnderstood::Missing(field));
    let unknown = |system| Err(NotUnderstood::UnknownKind(system));
    let other = |system| Err(NotUnderstood::NotOf(system));
    let msg = Err(NotUnderstood::WrongType {
        field: "msg",
        must: "an object, as JSON in a text",
    });
    let rows: &[(Dialect, &str, Verdict)] = &[
        (Dialect::Twilio, "a=b", missing("CallSid")),
        (Dialect::Twilio, "CallSid=", missing("CallSid")),
        (Dialect::Twilio, "CallSid=CA1", unknown("Twilio")),
        (
            Dialect::Twilio,
            "CallSid=CA1&CallStatus=eaten",
            unknown("Twilio"),
        ),
        (Dialect::Twilio, "[1]", other("Twilio")),
        (
            Dialect::Twilio,
            "MessageSid=SM1&From=1&To=2",
            missing("Body"),
        ),
        (
            Dialect::Twilio,
            "MessageSid=SM1&MessageStatus=sending",
            Ok(vec![]),
        ),
        (
            Dialect::Twilio,
            "MessageSid=SM1&From=WhatsApp:%2B49&Body=x",
            Err(NotUnderstood::WhatsApp),
        ),
        (
            Dialect::Twilio,
            "MessageSid=SM1&To=whatsapp:%2B49&MessageStatus=sent",
            Err(NotUnderstood::WhatsApp),
        ),
        (Dialect::Yeastar, "{}", other("Yeastar")),
        (Dialect::Yeastar, "<x/>", other("Yeastar")),
        (Dialect::Yeastar, r#"{"type":30012}"#, missing("call_id")),
        (Dialect::Yeastar, r#"{"type":30012,"msg":"{"}"#, msg.clone()),
        (
            Dialect::Yeastar,
            r#"{"type":30012,"msg":"[1]"}"#,
            msg.clone(),
        ),
        (Dialect::Yeastar, r#"{"type":30012,"msg":[1]}"#, msg),
        (
            Dialect::Yeastar,
            r#"{"type":30012,"msg":"{\"call_id\":{}}"}"#,
            missing("call_id"),
        ),
        (
            Dialect::Yeastar,
            r#"{"type":30012,"msg":{"call_id":"1","time_start":"noon"}}"#,
            Err(NotUnderstood::BadTime("time_start")),
        ),
        (Dialect::Yeastar, r#"{"type":30008,"msg":"{}"}"#, Ok(vec![])),
        (
            Dialect::Yeastar,
            r#"{"type":7,"msg":"{}"}"#,
            unknown("Yeastar"),
        ),
        (
            Dialect::Yeastar,
            r#"{"event":"BootUp"}"#,
            unknown("Yeastar"),
        ),
        (
            Dialect::Yeastar,
            r#"{"event":"NewCdr"}"#,
            missing("call_id"),
        ),
        (Dialect::Aircall, r#"{"data":{}}"#, missing("event")),
        (
            Dialect::Aircall,
            r#"{"event":"call.ended"}"#,
            missing("data.id"),
        ),
        (
            Dialect::Aircall,
            r#"{"event":"call.ended","data":{"id":[1]}}"#,
            missing("data.id"),
        ),
        (
            Dialect::Aircall,
            r#"{"event":"contact.created","data":{}}"#,
            Ok(vec![]),
        ),
        (
            Dialect::Aircall,
            r#"{"event":"weather.fine","data":{"id":1}}"#,
            unknown("Aircall"),
        ),
        (
            Dialect::Aircall,
            r#"{"event":"message.eaten","data":{"id":1}}"#,
            unknown("Aircall"),
        ),
        (
            Dialect::Aircall,
            r#"{"event":"message.received","data":{"id":1}}"#,
            missing("data.body"),
        ),
        (
            Dialect::Aircall,
            r#"{"event":"message.received","data":{"id":1,"body":"x","external_number":"whatsapp:+49"}}"#,
            Err(NotUnderstood::WhatsApp),
        ),
        (Dialect::Dialpad, "{}", other("Dialpad")),
        (Dialect::Dialpad, "a=b", other("Dialpad")),
        (
            Dialect::Dialpad,
            r#"{"state":"hangup"}"#,
            missing("call_id"),
        ),
        (
            Dialect::Dialpad,
            r#"{"call_id":"","state":"hangup"}"#,
            missing("call_id"),
        ),
        (
            Dialect::Dialpad,
            r#"{"from_number":"1","text":"x"}"#,
            missing("id"),
        ),
        (
            Dialect::Dialpad,
            r#"{"id":1,"from_number":"1"}"#,
            missing("text"),
        ),
        (
            Dialect::Dialpad,
            r#"{"id":1,"from_number":"whatsapp:+49","text":"x"}"#,
            Err(NotUnderstood::WhatsApp),
        ),
        (Dialect::Ringcentral, "{}", missing("event")),
        (
            Dialect::Ringcentral,
            r#"{"event":"/x/telephony/sessions"}"#,
            missing("body.telephonySessionId"),
        ),
        (
            Dialect::Ringcentral,
            r#"{"event":"/x/message-store/instant"}"#,
            missing("body.id"),
        ),
        (
            Dialect::Ringcentral,
            r#"{"event":"/x/message-store/instant","body":{"id":1}}"#,
            missing("body.subject"),
        ),
        (
            Dialect::Ringcentral,
            r#"{"event":"/x/message-store/instant","body":{"id":1,"type":"WhatsApp"}}"#,
            Err(NotUnderstood::WhatsApp),
        ),
        (
            Dialect::Ringcentral,
            r#"{"event":"/x/presence","body":{}}"#,
            Ok(vec![]),
        ),
        (
            Dialect::Ringcentral,
            r#"{"event":"/x/fax","body":{}}"#,
            unknown("RingCentral"),
        ),
        (Dialect::Cloudtalk, "{}", other("CloudTalk")),
        (
            Dialect::Cloudtalk,
            r#"{"event":"call.ended"}"#,
            missing("call_id"),
        ),
        (
            Dialect::Cloudtalk,
            r#"{"event":"call.eaten","call_id":1}"#,
            unknown("CloudTalk"),
        ),
        (
            Dialect::Cloudtalk,
            r#"{"event":"message.received","body":"x"}"#,
            missing("message_id"),
        ),
        (
            Dialect::Cloudtalk,
            r#"{"event":"message.received","id":1}"#,
            missing("body"),
        ),
        (
            Dialect::Cloudtalk,
            r#"{"event":"message.received","id":1,"body":"x","to":"whatsapp:+49"}"#,
            Err(NotUnderstood::WhatsApp),
        ),
    ];
    for (dialect, body, wanted) in rows {
        assert_eq!(&facts(*dialect, body), wanted, "{dialect:?} {body}");
    }
}

#[test]
fn wrong_types_cost_fields_and_no_call() {
    let odd = json!([{"x": []}, 7]);
    let call = only_call(
        Dialect::Aircall,
        &[json!({"event": "call.ended", "timestamp": odd, "data": {
            "id": 5, "direction": 7, "status": odd, "raw_digits": 491711234567_u64, "number": odd, "user": [],
            "started_at": "noon", "answered_at": true, "ended_at": -1, "tags": "vip", "comments": 7, "contact": "Max"}})],
    );
    assert_eq!(call.other.number().unwrap().as_str(), "+491711234567");
    assert_eq!(
        (call.call_type, call.tags),
        (CallType::IncomingMissed, vec!["vip".to_owned()])
    );
    let call = only_call(
        Dialect::Ringcentral,
        &[
            json!({"event": "/telephony/sessions", "body": {"telephonySessionId": 9, "parties": [7, null, {"id": {}, "status": []},
            {"direction": "Inbound", "from": {"phoneNumber": 491711234567_u64}, "status": {"code": "Disconnected"}}]}}),
        ],
    );
    assert_eq!(call.direction, Direction::In);
    let call = only_call(
        Dialect::Dialpad,
        &[
            json!({"call_id": 5, "state": "hangup", "date_started": "x", "date_ended": 1, "contact": [], "target": "x", "external_number": {}}),
        ],
    );
    assert_eq!(call.other.party, Party::Anonymous);
    let call = only_call(
        Dialect::Yeastar,
        &[
            json!({"type": "30012", "msg": {"call_id": 17, "call_duration": -5, "talk_duration": "much", "call_from": [], "type": {}}}),
        ],
    );
    assert_eq!(call.talk.as_secs(), 0);
    let call = only_call(
        Dialect::Cloudtalk,
        &[
            json!({"call_id": 17, "talking_time": 1e300, "tags": {"name": 7}, "status": 5, "agent_email": []}),
        ],
    );
    assert_eq!(call.call_type, CallType::IncomingMissed);
}

#[test]
fn names_and_numbers_as_people_write_them() {
    let name = "Eve \"x\"\n<b>O'Neill</b> \\ 🦀";
    let names: [(Dialect, Value); 4] = [
        (
            Dialect::Aircall,
            json!({"event": "call.ended", "data": {"id": 5, "raw_digits": "+49 (171) 123-4567", "contact": {"first_name": name}, "started_at": 1795177469, "ended_at": 1795177470}}),
        ),
        (
            Dialect::Dialpad,
            json!({"call_id": 5, "state": "hangup", "date_started": 1795177469000_i64, "date_ended": 1795177470000_i64, "external_number": "0049 171 1234567", "contact": {"name": name}}),
        ),
        (
            Dialect::Ringcentral,
            json!({"event": "/telephony/sessions", "body": {"telephonySessionId": "s", "eventTime": "2026-11-20T12:24:29Z", "parties": [{"direction": "Inbound", "extensionId": "1001", "from": {"phoneNumber": "0171 1234567", "name": name}, "to": {}, "status": {"code": "Disconnected"}}]}}),
        ),
        (
            Dialect::Cloudtalk,
            json!({"event": "call.ended", "call_id": 5, "external_number": 491711234567_u64, "contact_name": name}),
        ),
    ];
    for (dialect, body) in names {
        let call = only_call(dialect, &[body]);
        assert_eq!(
            call.other.number().unwrap().as_str(),
            "+491711234567",
            "{dialect:?}"
        );
        assert_eq!(call.other.name.as_deref(), Some(name), "{dialect:?}");
    }
    for (raw, party) in [
        ("anonymous", Party::Anonymous),
        ("", Party::Anonymous),
        ("Restricted", Party::Anonymous),
        ("112", Party::Short("112".to_owned())),
        ("call me", Party::Invalid),
    ] {
        let body = json!({"event": "call.ended", "data": {"id": 5, "raw_digits": raw, "started_at": 1795177469, "ended_at": 1795177470}});
        assert_eq!(
            only_call(Dialect::Aircall, &[body]).other.party,
            party,
            "{raw}"
        );
    }
    let long = json!({"event": "call.ended", "data": {"id": "9".repeat(10_000)}});
    let id = only_call(Dialect::Aircall, &[long]).key.id;
    assert!(id.starts_with("sha256-"), "{id}");
}

#[test]
fn a_queue_that_picks_up_is_nobody_where_phones_are_listed() {
    let to = |to: &str, trunk: &str| {
        only_call(
            Dialect::Yeastar,
            &[
                json!({"type": 30012, "msg": {"call_id": "1795177469.3", "time_start": "2026-11-20 13:24:29", "call_from": "+491711234567",
                "call_to": to, "call_duration": 30, "talk_duration": 20, "dst_trunk_name": trunk, "status": "ANSWERED", "type": "Inbound",
                "did_number": "4921155500100"}}),
            ],
        )
    };
    assert_eq!(to("6500", " ").call_type, CallType::IncomingMissed);
    assert_eq!(to("6500", " ").reason, None);
    assert_eq!(to("101", " ").call_type, CallType::IncomingAnswered);
    // Forwarded out of the house: somebody, but nobody of ours.
    let forwarded = to("+491719999999", "telco");
    assert_eq!(
        (forwarded.call_type, forwarded.agent),
        (CallType::IncomingAnswered, None)
    );
    // RingCentral's queues and menus are extensions too.
    let answered = |extension: &str| {
        let event = |code: &str, second: u8| {
            json!({"event": "/telephony/sessions", "body": {"telephonySessionId": "s", "eventTime": format!("2026-11-20T12:24:{second}Z"), "parties": [
                {"id": "p1", "direction": "Inbound", "extensionId": extension, "from": {"phoneNumber": "+491711234567"},
                    "to": {"phoneNumber": "+4921155500100"}, "status": {"code": code}}]}})
        };
        only_call(
            Dialect::Ringcentral,
            &[
                event("Setup", 20),
                event("Answered", 25),
                event("Disconnected", 35),
            ],
        )
    };
    assert_eq!(answered("1001").call_type, CallType::IncomingAnswered);
    assert_eq!(answered("2001").call_type, CallType::IncomingMissed);
}

#[test]
fn a_call_goes_on_until_its_system_says_that_it_is_over() {
    use tieline::calls::assemble::OpenWhy;
    for scenario in scenarios() {
        let live = [
            "twilio/05",
            "aircall/01",
            "ringcentral/01",
            "dialpad/01",
            "cloudtalk/03",
            "yeastar/07",
        ];
        if !live.iter().any(|name| scenario.name.starts_with(name)) {
            continue;
        }
        let first = posts(&scenario.posts).remove(0);
        let text =
            decode_recording(scenario.dialect, Source::Http, &first.body, &site(&[])).unwrap();
        let open = text.calls.first().and_then(|call| call.open);
        assert_eq!(open, Some(OpenWhy::LegLive), "{}", scenario.name);
    }
    // Yeastar's record of an agent who missed: the caller waits on.
    let queue = scenarios()
        .into_iter()
        .find(|one| one.name.starts_with("yeastar/11"))
        .unwrap();
    let lines: Vec<Vec<u8>> = posts(&queue.posts)
        .into_iter()
        .map(|post| post.body)
        .collect();
    let after = |count: usize| {
        let text = lines[..count].join(&b'\n');
        let decoded = decode_recording(Dialect::Yeastar, Source::Http, &text, &lab()).unwrap();
        decoded.calls[0].open
    };
    for count in 1..=5 {
        assert_eq!(after(count), Some(OpenWhy::LegLive), "after {count}");
    }
    assert_eq!(after(6), None);
    // Aircall's hang-up is not whole yet.
    let aircall = |event: &str| {
        json!({"event": event, "timestamp": 1795177499, "data": {"id": 5, "direction": "inbound", "raw_digits": "+491711234567",
            "started_at": 1795177469, "ended_at": 1795177499, "status": "done"}})
    };
    let open = |events: &[Value]| read(Dialect::Aircall, events).calls.remove(0).open;
    assert_eq!(open(&[aircall("call.hungup")]), Some(OpenWhy::LegLive));
    assert_eq!(open(&[aircall("call.hungup"), aircall("call.ended")]), None);
}

#[test]
fn twilio_parents_and_children_that_miss_each_other() {
    let event = |sid: &str, parent: &str, status: &str, direction: &str, from: &str, to: &str| {
        json!({"CallSid": sid, "ParentCallSid": parent, "CallStatus": status, "Direction": direction, "From": from, "To": to,
            "CallDuration": "10", "Timestamp": "Fri, 20 Nov 2026 12:24:39 +0000"})
    };
    // A parent alone was picked up by TwiML; whether a person talked isn't known, nor why not.
    let call = only_call(
        Dialect::Twilio,
        &[event(
            "P",
            "",
            "completed",
            "inbound",
            "+491711234567",
            "+4921155500100",
        )],
    );
    assert_eq!(
        (call.call_type, call.reason),
        (CallType::IncomingMissed, None)
    );
    // A child alone: the call waits for its parent.
    let child = event(
        "C",
        "P",
        "completed",
        "outbound-dial",
        "+491711234567",
        "client:grace",
    );
    let decoded = read(Dialect::Twilio, &[child]);
    assert_eq!(decoded.calls[0].call.key.id, "P");
    assert!(decoded.calls[0].open.is_some());
    // A program calls our phone, then the customer.
    let phone = event(
        "P",
        "",
        "completed",
        "outbound-api",
        "+4921155500100",
        "client:grace",
    );
    let line = event(
        "C",
        "P",
        "busy",
        "outbound-dial",
        "+4921155500100",
        "+49301234567",
    );
    let call = only_call(Dialect::Twilio, &[phone, line]);
    assert_eq!(
        (call.call_type, call.reason),
        (CallType::OutgoingUnanswered, Some(Reason::Busy))
    );
    assert_eq!(call.other.raw, "+49301234567");
    assert_eq!(call.agent.unwrap().0, "grace");
    // A machine is nobody.
    let mut machine = event(
        "P",
        "",
        "completed",
        "outbound-api",
        "+4921155500100",
        "+49301234567",
    );
    machine["AnsweredBy"] = json!("machine_end_beep");
    assert_eq!(
        only_call(Dialect::Twilio, &[machine]).call_type,
        CallType::OutgoingUnanswered
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn random_bytes_never_panic(body in proptest::collection::vec(any::<u8>(), 0..400), text in ".{0,200}") {
        for dialect in DIALECTS {
            for body in [body.as_slice(), text.as_bytes()] {
                let _ = decode::admit(dialect, &raw(body));
                let _ = decode::decode(dialect, &raw(body), &lab());
                let _ = decode_recording(dialect, Source::Http, body, &lab());
            }
        }
    }

    #[test]
    fn damaged_fixtures_never_panic(seed in any::<u64>()) {
        let mut random = fastrand::Rng::with_seed(seed);
        for scenario in scenarios() {
            let mut recording = scenario.posts.clone();
            for _ in 0..random.usize(1..30) {
                let at = random.usize(0..recording.len());
                match random.u8(0..4) {
                    0 => recording[at] = random.u8(..),
                    1 => { recording.remove(at); }
                    2 => recording.insert(at, *b"\"{}[]<>%&=0;|:\n".get(random.usize(0..15)).unwrap()),
                    _ => recording[at] = b'9',
                }
            }
            let _ = decode_recording(scenario.dialect, Source::Http, &recording, &lab()).unwrap();
        }
    }
}

#[test]
fn what_was_said_comes_with_the_call_or_after_it() {
    let dialpad = json!({"call_id": 1, "state": "hangup", "direction": "inbound", "external_number": "+491711234567",
        "date_started": 1_795_177_469_000_i64, "date_ended": 1_795_177_479_000_i64});
    let mut later = dialpad.clone();
    later["state"] = json!("transcription");
    later["transcription_text"] = json!("Please call back.");
    let call = only_call(Dialect::Dialpad, &[dialpad, later]);
    assert_eq!(call.transcript.as_deref(), Some("Please call back."));

    let cloudtalk = json!({"event": "call.ended", "call_uuid": "u1", "direction": "incoming", "status": "missed",
        "external_number": "+491711234567", "started_at": "2026-11-20T12:24:29Z", "ended_at": "2026-11-20T12:24:40Z"});
    let later = json!({"event": "Transcription Created", "call_uuid": "u1", "transcription": "Please call back.",
        "summary": "A call back is wanted."});
    let call = only_call(Dialect::Cloudtalk, &[cloudtalk, later]);
    assert_eq!(call.transcript.as_deref(), Some("Please call back."));
    assert_eq!(call.summary.as_deref(), Some("A call back is wanted."));
}
