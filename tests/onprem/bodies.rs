//! Bodies one by one: what is refused and how, odd values, forms of numbers and names, and what bytes can't do.

use super::{assert_expected, lab, read, recordings};
use proptest::prelude::*;
use serde_json::Value;
use tieline::calls::decode::{self, Malformed, NotUnderstood, PhoneEvent, RawEvent};
use tieline::cli::decode::{Source, decode_recording};
use tieline::settings::types::Dialect;
use tieline::terms::call::{Call, CallType, Direction, Reason};
use tieline::terms::party::Party;
use tieline::terms::text::Text;

const NEW: [Dialect; 8] = [
    Dialect::ThreeCx,
    Dialect::Gammu,
    Dialect::Grandstream,
    Dialect::Jasmin,
    Dialect::Kamailio,
    Dialect::Kannel,
    Dialect::PlaySms,
    Dialect::Zammad,
];

fn raw(body: &[u8]) -> RawEvent<'_> {
    RawEvent {
        content_type: None,
        query: None,
        body,
        received: "2026-11-20T12:00:00Z".parse().unwrap(),
    }
}

fn admit(dialect: Dialect, body: &[u8]) -> Result<(), Malformed> {
    decode::admit(dialect, &raw(body))
}

fn decoded(dialect: Dialect, body: &str) -> Result<Vec<PhoneEvent>, NotUnderstood> {
    decode::decode(dialect, &raw(body.as_bytes()), &lab())
}

/// The calls that these bodies make.
fn calls(dialect: Dialect, bodies: &[&str]) -> Vec<Call> {
    let posts = bodies.iter().map(|body| {
        format!(
            "### 1795177469.0\nPOST /x HTTP/1.1\nContent-Length: {}\n\n{body}\n",
            body.len()
        )
    });
    let decoded = read(dialect, Source::Http, posts.collect::<String>().as_bytes());
    assert_eq!(decoded.undecoded, [], "{bodies:?}");
    decoded.calls.into_iter().map(|found| found.call).collect()
}

fn call(dialect: Dialect, body: &str) -> Call {
    let mut calls = calls(dialect, &[body]);
    assert_eq!(calls.len(), 1, "{body}");
    calls.remove(0)
}

fn text(dialect: Dialect, body: &str) -> Text {
    match decoded(dialect, body).unwrap().remove(0) {
        PhoneEvent::Text(text) => text,
        PhoneEvent::Leg(leg) => panic!("{leg:?}"),
    }
}

#[test]
fn what_is_not_whole_is_refused() {
    for dialect in NEW {
        let refused = |body: &[u8]| admit(dialect, body).unwrap_err();
        assert_eq!(refused(b""), Malformed::Empty, "{dialect:?}");
        assert_eq!(refused(b" \r\n"), Malformed::Empty, "{dialect:?}");
        assert_eq!(refused(b"hello"), Malformed::Unknown, "{dialect:?}");
        assert_eq!(
            refused(b"from=\xff"),
            Malformed::NotUtf8 { at: 5 },
            "{dialect:?}"
        );
        assert_eq!(refused(b"from=%4"), Malformed::Form, "{dialect:?}");
        let deep = "[".repeat(100_000);
        assert_eq!(refused(deep.as_bytes()), Malformed::TooDeep, "{dialect:?}");
        let cut = refused(br#"{"from":"+49171"#);
        assert!(matches!(cut, Malformed::Json { .. }), "{dialect:?}");
        let name = refused(br#"{"from":"Eve "x" Smith"}"#);
        assert!(matches!(name, Malformed::Json { .. }), "{dialect:?}");
        assert!(
            matches!(refused(b"<a>"), Malformed::Xml { .. }),
            "{dialect:?}"
        );
    }
    let row = r#""1","","+491711234567","101","in","x","a","b","Dial","x","2026-11-20 13:24:29","","2026-11-20 13:24:36","7","5","ANSWERED","D","1795177469.7","Inbound","","101","s"#;
    assert_eq!(
        admit(Dialect::Grandstream, row.as_bytes()),
        Err(Malformed::Csv)
    );
    assert_eq!(
        admit(Dialect::Freeswitch, b"Event-Name: CHANNEL_CREATE\n\n"),
        Ok(())
    );
}

#[test]
fn what_can_t_be_read_is_named() {
    use NotUnderstood::{BadTime, CsvColumns, Foreign, Missing, WhatsApp};
    let columns = format!("{}\n", vec!["\"x\""; 22].join(","));
    let table: &[(Dialect, &str, NotUnderstood)] = &[
        (Dialect::ThreeCx, "{}", Missing("type")),
        (Dialect::ThreeCx, "[1]", Foreign("3CX")),
        (Dialect::ThreeCx, "<a/>", Foreign("3CX")),
        (Dialect::ThreeCx, r#"{"type":"Inbound"}"#, Missing("start")),
        (
            Dialect::ThreeCx,
            r#"{"type":"Inbound","start":"noon"}"#,
            BadTime("start"),
        ),
        (
            Dialect::ThreeCx,
            r#"{"type":"Chat","start":"2026-11-20T12:24:29Z"}"#,
            Foreign("3CX"),
        ),
        (Dialect::Gammu, "PHONE_ID=desk", Missing("SMS_1_NUMBER")),
        (Dialect::Gammu, "<a/>", Foreign("Gammu SMSD")),
        (
            Dialect::Gammu,
            "SMS_1_NUMBER=whatsapp%3A%2B491711234567&SMS_1_TEXT=x",
            WhatsApp,
        ),
        (Dialect::Grandstream, "{}", Foreign("a Grandstream UCM")),
        (Dialect::Grandstream, "src=1", Foreign("a Grandstream UCM")),
        (
            Dialect::Grandstream,
            "disposition=ANSWERED",
            Missing("start"),
        ),
        (
            Dialect::Grandstream,
            "disposition=ANSWERED&start=noon",
            BadTime("start"),
        ),
        (Dialect::Grandstream, &columns, CsvColumns),
        (Dialect::Jasmin, "from=1&content=x", Missing("id")),
        (Dialect::Jasmin, "id=1&content=x", Missing("from")),
        (Dialect::Jasmin, "id=1&from=2", Missing("content")),
        (
            Dialect::Jasmin,
            "id=1&from=WhatsApp:%2B49&content=x",
            WhatsApp,
        ),
        (Dialect::Kamailio, "{}", Foreign("Kamailio")),
        (Dialect::Kamailio, r#"{"event":"start"}"#, Missing("callid")),
        (
            Dialect::Kamailio,
            r#"{"event":"moved","callid":"a"}"#,
            Foreign("Kamailio"),
        ),
        (
            Dialect::Kamailio,
            r#"{"event":"start","callid":"a","time":"noon"}"#,
            BadTime("time"),
        ),
        (
            Dialect::Kamailio,
            "ACC: transaction answered: timestamp=1795177731;method=BYE;code=200",
            Missing("callid"),
        ),
        (Dialect::Kannel, "{}", Foreign("Kannel")),
        (Dialect::Kannel, "text=x", Missing("from")),
        (Dialect::Kannel, "from=1", Missing("text")),
        (Dialect::Kannel, "from=1&text=x&time=noon", BadTime("time")),
        (
            Dialect::Kannel,
            "from=%2B49171&to=whatsapp%3A1&text=x",
            WhatsApp,
        ),
        (Dialect::PlaySms, "message=x", Missing("from")),
        (Dialect::PlaySms, "from=1", Missing("message")),
        (Dialect::PlaySms, "[1]", Foreign("playSMS")),
        (Dialect::PlaySms, "from=whatsapp:1&message=x", WhatsApp),
        (Dialect::Zammad, "callId=1", Missing("event")),
        (Dialect::Zammad, "event=newCall", Missing("callid")),
        (
            Dialect::Zammad,
            "event=dtmf&callId=1",
            Foreign("the generic CTI interface"),
        ),
        (
            Dialect::Freeswitch,
            "Event-Name: CHANNEL_CREATE\n\n",
            Missing("Unique-ID"),
        ),
        (
            Dialect::Freeswitch,
            r#"{"Event-Name":"CHANNEL_HANGUP"}"#,
            Missing("Unique-ID"),
        ),
    ];
    for (dialect, body, fault) in table {
        assert_eq!(decoded(*dialect, body), Err(*fault), "{dialect:?} {body}");
    }
    let rows = "ACC: call missed: method=INVITE;call_id=1;code=486\n".repeat(1001);
    assert_eq!(
        decoded(Dialect::Kamailio, &rows),
        Err(NotUnderstood::TooManyRecords)
    );
}

#[test]
fn what_says_nothing_of_a_call_or_text_gives_nothing() {
    for (dialect, body) in [
        (Dialect::Freeswitch, r#"{"Event-Name":"HEARTBEAT"}"#),
        (
            Dialect::Freeswitch,
            r#"{"Event-Name":"CHANNEL_OUTGOING","Unique-ID":"a"}"#,
        ),
        (
            Dialect::Freeswitch,
            "Event-Name: RE_SCHEDULE\nTask-ID: 1\n\n",
        ),
        (
            Dialect::Freeswitch,
            r#"{"Event-Name":"CUSTOM","Event-Subclass":"callcenter::info","CC-Action":"members-count"}"#,
        ),
        (
            Dialect::Kamailio,
            "ACC: transaction answered: method=ACK;call_id=1;code=200",
        ),
        (
            Dialect::Kamailio,
            "ACC: transaction answered: method=INVITE;call_id=1;code=183",
        ),
        (Dialect::Kamailio, "method=INVITE&callid=1"),
        (Dialect::Kannel, "id=1&dlr=1"),
        (Dialect::Jasmin, "id=1&message_status=ESME_ROK"),
        (Dialect::PlaySms, "id=1&message_status=3&from=1&message=x"),
        (Dialect::Gammu, "SMS_1_NUMBER=1&SMS_MESSAGES=1"),
    ] {
        assert_eq!(decoded(dialect, body), Ok(Vec::new()), "{dialect:?} {body}");
    }
}

#[test]
fn odd_values_are_read_as_far_as_they_go() {
    let odd = call(
        Dialect::ThreeCx,
        r#"{"type":"INBOUND","number":491711234567,"agent":null,"start":1795177469,"established":"0001-01-01T00:00:00Z","end":"","duration":"x:y","name":[]}"#,
    );
    assert_eq!(odd.call_type, CallType::IncomingAnswered);
    assert_eq!(odd.other.number().unwrap().as_str(), "+491711234567");
    assert!(odd.weak_key && odd.agent.is_none());
    let late = call(
        Dialect::ThreeCx,
        r#"{"type":"Inbound","number":"1","start":"2026-11-20T12:24:29Z","established":"2026-11-20T12:24:31Z","end":"2026-11-20T12:24:20Z"}"#,
    );
    assert_eq!((late.ended, late.talk.as_secs()), (late.started, 0));
    let huge = "disposition=ANSWERED&dstchannel=x&uniqueid=1.1&start=2026-11-20 13:24:29&duration=99999999999999999999&billsec=9223372036854775807&end=bad";
    assert_eq!(
        decoded(Dialect::Grandstream, huge),
        Err(NotUnderstood::BadTime("end"))
    );
    let long = format!(
        r#"{{"event":"end","callid":"{}","time":1795177469.5}}"#,
        "c".repeat(10_000)
    );
    assert!(call(Dialect::Kamailio, &long).key.id.starts_with("sha256-"));
    let parts = text(
        Dialect::Gammu,
        "SMS_1_NUMBER=%2B491711234567&SMS_MESSAGES=99999999999&SMS_1_TEXT=x",
    );
    assert_eq!(parts.body, "x");
}

#[test]
fn forms_of_numbers() {
    for (sent, number) in [
        ("%2B491711234567", Some("+491711234567")),
        ("+491711234567", Some("+491711234567")),
        ("491711234567", Some("+491711234567")),
        ("00491711234567", Some("+491711234567")),
        ("01711234567", Some("+491711234567")),
        ("0171%201234567", Some("+491711234567")),
        ("5550123", Some("+492115550123")),
        ("sip%3A%2B491711234567%40192.0.2.1", Some("+491711234567")),
        (
            "%22Max%22%20%3Csip%3A%2B491711234567%40192.0.2.1%3E",
            Some("+491711234567"),
        ),
        ("anonymous", None),
        ("Restricted", None),
        ("Max", None),
        ("116117", None),
    ] {
        let zammad = call(
            Dialect::Zammad,
            &format!("event=newCall&callId=1&direction=in&from={sent}&to=1"),
        );
        let kamailio = call(
            Dialect::Kamailio,
            &format!("event=end&callid=1&from={sent}&to=%2B4921155500100"),
        );
        for found in [zammad, kamailio] {
            let got = found.other.number().map(ToString::to_string);
            assert_eq!(got.as_deref(), number, "{sent}");
            let hidden = matches!(sent, "anonymous" | "Restricted");
            assert_eq!(found.other.party == Party::Anonymous, hidden, "{sent}");
        }
        if !sent.contains("sip") {
            let text = text(
                Dialect::PlaySms,
                &format!("id=1&from={sent}&to=1&message=x"),
            );
            let got = text.from.number().map(ToString::to_string);
            assert_eq!(got.as_deref(), number, "{sent}");
        }
    }
}

#[test]
fn names_and_words_keep_their_quotes_and_lines() {
    let name = "Eve \"x\"\nSmith";
    let found = call(Dialect::ThreeCx, &serde_json::json!({"type": "Missed", "number": "+491711234567", "name": name, "start": "2026-11-20T12:24:29Z"}).to_string());
    assert_eq!(found.other.name.as_deref(), Some(name));
    let found = call(
        Dialect::Kamailio,
        "event=end&callid=1&from=%2B491711234567&from_name=Eve%20%22x%22%0ASmith",
    );
    assert_eq!(found.other.name.as_deref(), Some(name));
    let line = "ACC: call missed: timestamp=1795177738;method=INVITE;call_id=1;code=486;reason=\"Busy\" Here;src_user=+491711234567;dst_ouser=+4921155500103";
    assert_eq!(call(Dialect::Kamailio, line).reason, Some(Reason::Busy));
    let text = text(
        Dialect::Kannel,
        "id=1&from=%2B491711234567&text=a+%22b%22%0D%0A+c%2Bd",
    );
    assert_eq!(text.body, "a \"b\"\r\n c+d");
}

#[test]
fn reasons_are_never_guessed() {
    for (code, reason) in [
        ("486", Some(Reason::Busy)),
        ("603", Some(Reason::Declined)),
        ("404", Some(Reason::NoSuchNumber)),
        ("408", Some(Reason::NoAnswer)),
        ("487", Some(Reason::CallerGaveUp)),
        ("503", Some(Reason::Failed)),
        ("302", None),
        ("", None),
        ("x", None),
    ] {
        let body = format!(
            r#"{{"event":"failed","callid":"1","from":"+491711234567","to":"+4921155500100","code":"{code}","time":"1795177738.1"}}"#
        );
        assert_eq!(call(Dialect::Kamailio, &body).reason, reason, "{code}");
    }
    for (cause, reason) in [
        ("busy", Some(Reason::Busy)),
        ("noAnswer", Some(Reason::NoAnswer)),
        ("cancel", Some(Reason::CallerGaveUp)),
        ("notFound", Some(Reason::NoSuchNumber)),
        ("congestion", Some(Reason::Failed)),
        ("forwarded", None),
        ("normalClearing", None),
        ("sleepy", None),
    ] {
        let body =
            format!("event=hangup&callId=1&direction=in&from=%2B491711234567&to=1&cause={cause}");
        assert_eq!(call(Dialect::Zammad, &body).reason, reason, "{cause}");
    }
}

#[test]
fn directions_come_from_the_phones_where_nobody_says_them() {
    let out = call(
        Dialect::Kamailio,
        "event=end&callid=1&from=101&to=0301234567&start_ts=1795177469&time=1795177479",
    );
    assert_eq!(
        (out.direction, out.agent.unwrap().0.as_str()),
        (Direction::Out, "101")
    );
    assert_eq!(out.connected, None, "the number shown isn't told");
    let internal = call(
        Dialect::Kamailio,
        "event=end&callid=1&from=101&to=102&time=1795177479",
    );
    assert_eq!(internal.call_type, CallType::Internal);
    let row = "disposition=ANSWERED&dstchannel=PJSIP%2F102-1&dstchannel_ext=102&uniqueid=1.1&start=2026-11-20+13:24:29&duration=7&billsec=5&src=101&dst=102&userfield=LOCAL";
    assert_eq!(
        call(Dialect::Grandstream, row).call_type,
        CallType::Internal
    );
}

#[test]
fn whoever_hangs_up_changes_no_party() {
    let start = r#"{"event":"start","callid":"1","from":"+491711234567","to":"+4921155500100","setup":"1795177729.5","time":"1795177731.0"}"#;
    // The callee's BYE: From is the callee.
    let end = r#"{"event":"end","callid":"1","from":"+4921155500100","to":"+491711234567","setup":"1795177729.5","time":"1795177734.0"}"#;
    let bye = "ACC: transaction answered: timestamp=1795177734;method=BYE;call_id=1;code=200;src_user=+4921155500100;dst_ouser=101";
    for bodies in [[start, end, bye], [bye, end, start]] {
        let calls = calls(Dialect::Kamailio, &bodies);
        assert_eq!(calls.len(), 1);
        let found = &calls[0];
        assert_eq!(
            (found.direction, found.other.raw.as_str()),
            (Direction::In, "+491711234567")
        );
        assert_eq!(found.connected.as_ref().unwrap().as_str(), "+4921155500100");
    }
}

#[test]
fn a_second_that_was_cut_lies_in_no_wrong_place() {
    let end = r#"{"event":"end","callid":"1","from":"+491711234567","to":"+4921155500100","start_ts":"1795177731","setup":"1795177731.9","time":"1795177734.0"}"#;
    let found = call(Dialect::Kamailio, end);
    assert_eq!((found.wait.as_millis(), found.doubts.len()), (0, 0));
    // The exact moment, if the post that has it came.
    let start = r#"{"event":"start","callid":"1","from":"+491711234567","to":"+4921155500100","setup":"1795177729.5","time":"1795177731.75"}"#;
    let end = end.replace("1795177731.9", "1795177729.5");
    for bodies in [[start, &end], [&end, start]] {
        assert_eq!(calls(Dialect::Kamailio, &bodies)[0].wait.as_millis(), 2250);
    }
}

#[test]
fn what_a_gateway_tells_was_received() {
    // A service's short number is no phone of ours, whatever `extensions` says.
    for dialect in [Dialect::Kannel, Dialect::PlaySms] {
        let text = text(
            dialect,
            "id=1&from=101&to=%2B4921155500100&text=x&message=x",
        );
        assert_eq!(
            (text.direction, text.from.party.clone()),
            (Direction::In, Party::Short("101".to_owned()))
        );
    }
}

#[test]
fn variables_that_an_older_3cx_left_as_they_are() {
    let body = r#"{"type":"Inbound","number":"+491711234567","name":"[Name]","start":"2026-11-20T12:24:29Z","recording":"[RecordingUrl]","summary":"[Summary]","transcription":"[Transcription]"}"#;
    let found = call(Dialect::ThreeCx, body);
    assert_eq!((found.recording, found.other.name.clone()), (None, None));
    assert_eq!((found.summary, found.transcript), (None, None));
    assert!(!found.recording_announced);
    let body = body
        .replace("[Summary]", "An order is late.")
        .replace("[Transcription]", "[00:01] Hello? [end]");
    let found = call(Dialect::ThreeCx, &body);
    assert_eq!(found.summary.as_deref(), Some("An order is late."));
    assert_eq!(found.transcript.as_deref(), Some("[00:01] Hello? [end]"));
}

#[test]
fn weak_keys_tell_calls_apart_and_hold_no_number() {
    let post = |kind: &str, agent: &str, number: &str, start: &str| {
        let body = format!(
            r#"{{"type":"{kind}","agent":"{agent}","number":"{number}","start":"{start}","duration":"00:00:05"}}"#
        );
        call(Dialect::ThreeCx, &body).key.id
    };
    let max = "+491711234567";
    let first = post("Inbound", "101", max, "2026-11-20T12:24:29Z");
    assert_eq!(
        first,
        post("Inbound", "101", max, "2026-11-20T12:24:29.7Z"),
        "within the second"
    );
    assert!(!first.contains("1711234567"), "{first}");
    for other in [
        post("Outbound", "101", max, "2026-11-20T12:24:29Z"),
        post("Inbound", "102", max, "2026-11-20T12:24:29Z"),
        post("Inbound", "101", "+491711234568", "2026-11-20T12:24:29Z"),
        post("Inbound", "101", max, "2026-11-20T12:24:30Z"),
    ] {
        assert_ne!(first, other);
    }
    let one = text(Dialect::Kannel, "from=1&to=2&time=1795177469&text=x");
    let other = text(Dialect::Kannel, "from=1&to=2&time=1795177469&text=y");
    assert_ne!(one.key, other.key);
}

#[test]
fn local_times_over_the_autumn_clock_change_keep_their_order() {
    // 02:59:45 is summer time, the end is 22 s later.
    let row = "disposition=ANSWERED&dstchannel=a&dstchannel_ext=101&uniqueid=1.1&src=%2B491711234567&dst=101&start=2026-10-25+02:59:45&answer=2026-10-25+02:59:47&end=2026-10-25+02:00:07";
    let with_duration = call(
        Dialect::Grandstream,
        &format!("{row}&duration=22&billsec=20"),
    );
    let found = call(Dialect::Grandstream, row);
    for found in [with_duration, found] {
        assert_eq!((found.wait.as_secs(), found.talk.as_secs()), (2, 20));
        assert_eq!(found.doubts, Vec::<String>::new());
    }
}

#[test]
fn pictures_and_links() {
    let body = "id=1&from=%2B491711234567&message=&media=https://a.example/1.jpg,%20ftp://b%20http://c.example/2";
    assert_eq!(
        text(Dialect::PlaySms, body).media,
        ["https://a.example/1.jpg", "http://c.example/2"]
    );
    let body =
        "SMS_1_NUMBER=%2B491711234567&DECODED_PARTS=1&DECODED_1_MMS_ADDRESS=http://mms.example/x";
    assert_eq!(text(Dialect::Gammu, body).media, ["http://mms.example/x"]);
}

#[test]
fn every_encoding_of_the_call_records_modules_gives_the_same_call() {
    use base64::Engine as _;
    use tieline::cli::recording::{RECORDINGS, posts};
    let name = "06-ringgroup-3-phones";
    let (_, recording, expected) = RECORDINGS
        .iter()
        .find(|(known, ..)| *known == name)
        .unwrap();
    let expected: Value = serde_json::from_slice(expected).unwrap();
    let form = |text: &str| {
        percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
    };
    let base64 = |text: &str| base64::engine::general_purpose::STANDARD.encode(text);
    for kind in ["<", "{"] {
        // textxml and appljson; true; base64; false of mod_xml_cdr and mod_format_cdr.
        let mut encodings: [String; 4] = Default::default();
        for post in posts(recording) {
            let text = std::str::from_utf8(&post.body).unwrap();
            if !text.starts_with(kind) {
                continue;
            }
            let bodies = [
                text.to_owned(),
                format!("cdr={}", form(text)),
                format!("cdr={}", base64(text)),
                format!("cdr={text}"),
            ];
            for (all, body) in encodings.iter_mut().zip(bodies) {
                let head = format!(
                    "### 1795177469.0\nPOST /x HTTP/1.1\nContent-Length: {}\n\n",
                    body.len()
                );
                all.push_str(&format!("{head}{body}\n"));
            }
        }
        for encoding in encodings {
            let recording = super::Recording {
                name: format!("{name} {kind}"),
                dialect: Dialect::Freeswitch,
                source: Source::Http,
                bytes: Vec::new(),
                expected: expected.clone(),
            };
            let decoded = read(Dialect::Freeswitch, Source::Http, encoding.as_bytes());
            assert_expected(&recording, &decoded, "encoded");
        }
    }
}

/// The event in the plain format, as a connection that asked for `event plain` gets it.
fn plain(event: &str) -> String {
    let event: Value = serde_json::from_str(event).unwrap();
    let headers = event.as_object().unwrap().iter().map(|(name, value)| {
        let value = match value.as_array() {
            Some(list) => {
                let list: Vec<&str> = list.iter().map(|one| one.as_str().unwrap()).collect();
                format!("ARRAY::{}", list.join("|:"))
            }
            None => value.as_str().unwrap().to_owned(),
        };
        let value =
            percent_encoding::utf8_percent_encode(&value, percent_encoding::NON_ALPHANUMERIC);
        format!("{name}: {value}\n")
    });
    // The event's name is the first header.
    let (mut first, rest): (Vec<String>, Vec<String>) =
        headers.partition(|line| line.starts_with("Event-Name: "));
    first.extend(rest);
    format!("{}\n", first.concat())
}

#[test]
fn the_event_socket_in_the_plain_format_is_the_same() {
    let mut tried = 0;
    for recording in recordings() {
        if recording.source != Source::Esl {
            continue;
        }
        let lines = std::str::from_utf8(&recording.bytes).unwrap().lines();
        let events: Vec<String> = lines.map(plain).collect();
        let log = read(recording.dialect, Source::Esl, events.concat().as_bytes());
        assert_expected(&recording, &log, "as a log");
        let framed = events.iter().map(|event| {
            format!(
                "Content-Length: {}\nContent-Type: text/event-plain\n\n{event}",
                event.len()
            )
        });
        let greeting = "Content-Type: auth/request\n\nContent-Type: command/reply\nReply-Text: +OK accepted\n\n";
        let stream = format!("{greeting}{}", framed.collect::<String>());
        let connection = read(recording.dialect, Source::Esl, stream.as_bytes());
        assert_expected(&recording, &connection, "as a connection");
        tried += 1;
    }
    assert_eq!(tried, 37);
}

#[test]
fn the_event_socket_and_call_records_add_up() {
    for (name, records, _) in tieline::cli::recording::RECORDINGS {
        let all = recordings();
        let live = all
            .iter()
            .find(|one| one.name == format!("freeswitch/{name}/esl-events.jsonl"))
            .unwrap();
        let mut together = records.to_vec();
        for line in std::str::from_utf8(&live.bytes).unwrap().lines() {
            together.extend(
                format!(
                    "\n### 1795177469.0\nPOST /x HTTP/1.1\nContent-Length: {}\n\n{line}\n",
                    line.len()
                )
                .into_bytes(),
            );
        }
        assert_expected(
            live,
            &read(Dialect::Freeswitch, Source::Http, &together),
            "with records",
        );
    }
}

#[test]
fn without_the_last_events_a_channel_is_still_going_on() {
    let all = recordings();
    let live = all
        .iter()
        .find(|one| one.name.contains("/01-inbound-answered/esl"))
        .unwrap();
    let text = std::str::from_utf8(&live.bytes).unwrap();
    let kept: Vec<&str> = text
        .lines()
        .filter(|line| !line.contains("HANGUP") && !line.contains("DESTROY"))
        .collect();
    let decoded = read(Dialect::Freeswitch, Source::Esl, kept.join("\n").as_bytes());
    assert!(decoded.calls[0].open.is_some());
    // With the first events lost, what is left tells the same parties.
    let kept: Vec<&str> = text.lines().skip(9).collect();
    let decoded = read(Dialect::Freeswitch, Source::Esl, kept.join("\n").as_bytes());
    assert_expected(live, &decoded, "without its beginning");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400), words in ".{0,200}") {
        let starts = [
            "", "from=1&text=", "id=1&from=2&coding=8&binary=", "from=1&charset=UTF-16BE&text=%00", "ACC: x: method=INVITE;call_id=",
            "Event-Name: CHANNEL_CREATE\nUnique-ID: 1\nCaller-Channel-Created-Time: ", "{\"Event-Name\":\"CHANNEL_BRIDGE\",\"Unique-ID\":\"",
            "event=end&callid=1&time=", "{\"type\":\"Inbound\",\"start\":\"", "disposition=ANSWERED&start=", "udh=", "SMS_1_NUMBER=1&SMS_MESSAGES=",
        ];
        for start in starts {
            for end in [bytes.as_slice(), words.as_bytes()] {
                let body = [start.as_bytes(), end].concat();
                for dialect in NEW.into_iter().chain([Dialect::Freeswitch]) {
                    let _ = decode::admit(dialect, &raw(&body));
                    let found = decode::decode(dialect, &raw(&body), &lab());
                    prop_assert!(found.map_or(0, |events| events.len()) < 100);
                    let _ = decode_recording(dialect, Source::Http, &body, &lab());
                }
                let _ = decode_recording(Dialect::Freeswitch, Source::Esl, &body, &lab());
                let _ = decode_recording(Dialect::Kamailio, Source::Cdr, &body, &lab());
                let _ = decode_recording(Dialect::Grandstream, Source::Cdr, &body, &lab());
            }
        }
    }

    #[test]
    fn damaged_recordings_never_panic(pick in any::<prop::sample::Index>(), seed in any::<u64>()) {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut all = recordings();
        let mut recording = all.swap_remove(pick.index(all.len()));
        for _ in 0..random.usize(1..30) {
            let at = random.usize(0..recording.bytes.len());
            match random.u8(0..4) {
                0 => recording.bytes[at] = random.u8(..),
                1 => { recording.bytes.remove(at); }
                2 => recording.bytes.insert(at, *b"\"{}[]<>%&=0;|:\n".get(random.usize(0..15)).unwrap()),
                _ => recording.bytes[at] = b'9',
            }
        }
        let decoded = decode_recording(recording.dialect, recording.source, &recording.bytes, &lab()).unwrap();
        prop_assert!(decoded.calls.len() < 40);
    }
}
