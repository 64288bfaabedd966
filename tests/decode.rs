//! Recordings and examples through `tieline decode`'s core: what phone systems really sent gives the calls that were
//! really made (expected.json, worked out by hand), in every encoding, order and selection that suffices.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use proptest::prelude::*;
use serde_json::Value;
use tieline::calls::assemble::{self, Done, State};
use tieline::calls::decode::{
    self, LegFacts, Malformed, NotUnderstood, PhoneEvent, RawEvent, Site,
};
use tieline::cli::decode::{Decoded, Source, decode_recording};
use tieline::cli::recording::{Post, RECORDINGS, posts};
use tieline::cli::show::decoded_json;
use tieline::settings::types::Dialect;
use tieline::terms::call::{CallType, Direction, Reason};
use tieline::terms::number::NumberPlan;
use tieline::terms::party::{ExtensionRange, Extensions, Party};

fn site(extensions: &[(&str, &str)]) -> Site {
    let range = |(first, last): &(&str, &str)| ExtensionRange {
        first: (*first).to_owned(),
        last: (*last).to_owned(),
    };
    Site {
        pbx: "hq".to_owned(),
        plan: NumberPlan::new("DE", Some("211")).unwrap(),
        extensions: Extensions(extensions.iter().map(range).collect()),
        time_zone: TimeZone::get("Europe/Berlin").unwrap(),
    }
}

fn lab() -> Site {
    site(&[("100", "199")])
}

fn raw(body: &[u8]) -> RawEvent<'_> {
    RawEvent {
        content_type: None,
        query: None,
        body,
        received: "2026-11-20T12:00:00Z".parse().unwrap(),
    }
}

fn of_post(post: &Post) -> RawEvent<'_> {
    RawEvent {
        content_type: post.content_type.as_deref(),
        query: post.query.as_deref(),
        body: &post.body,
        received: post.received,
    }
}

/// The recording with the posts that `keep` picks, written out again.
fn selected(recording: &[u8], keep: impl Fn(&[u8]) -> bool) -> Vec<u8> {
    let mut out = Vec::new();
    for post in posts(recording) {
        if keep(&post.body) {
            out.extend_from_slice(
                format!(
                    "### 1795177476.129\nPOST /x HTTP/1.1\nContent-Length: {}\n\n",
                    post.body.len()
                )
                .as_bytes(),
            );
            out.extend_from_slice(&post.body);
            out.push(b'\n');
        }
    }
    out
}

fn fs(recording: &[u8], site: &Site) -> Decoded {
    decode_recording(Dialect::Freeswitch, Source::Http, recording, site).unwrap()
}

/// Name, posts and expected calls of every recording, the built-in ones among them.
fn recordings() -> Vec<(String, Vec<u8>, Vec<u8>)> {
    let folder = format!("{}/fixtures/calls/freeswitch", env!("CARGO_MANIFEST_DIR"));
    let folders = std::fs::read_dir(folder).unwrap();
    let mut all: Vec<_> = folders
        .map(|entry| {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            let read = |file| std::fs::read(path.join(file)).unwrap();
            (name, read("http-received.txt"), read("expected.json"))
        })
        .collect();
    all.sort();
    assert!(all.len() >= 37, "only {} recordings", all.len());
    all
}

/// The scenarios that records of a legs alone can't tell: the caller's leg has become a b leg, or only a b leg knows who
/// was asked.
const NEEDS_B_LEGS: [&str; 5] = [
    "17-attended-transfer-by-keys",
    "17-attended-transfer-given-up",
    "18-attended-transfer-of-an-outgoing-call",
    "18-attended-transfer-sip-refer-replaces",
    "26-pickup-intercept",
];

/// Every field of expected.json; times within its tolerance.
fn assert_expected(name: &str, decoded: &Decoded, expected: &[u8]) {
    let expected: Value = serde_json::from_slice(expected).unwrap();
    let tolerance = expected["tolerance_seconds"].as_f64().unwrap();
    let actual = decoded_json(decoded);
    assert_eq!(actual["texts"], expected["texts"], "{name}");
    let (calls, wanted) = (
        actual["calls"].as_array().unwrap(),
        expected["calls"].as_array().unwrap(),
    );
    assert_eq!(calls.len(), wanted.len(), "{name}: calls");
    for (call, wanted) in calls.iter().zip(wanted) {
        for (field, wanted) in wanted.as_object().unwrap() {
            let got = &call[field];
            let what = format!("{name}: {field}: got {got}, expected {wanted}");
            match (got, wanted) {
                (Value::Number(got), Value::Number(wanted)) => {
                    assert!(
                        (got.as_f64().unwrap() - wanted.as_f64().unwrap()).abs() <= tolerance,
                        "{what}"
                    );
                }
                (Value::String(got), Value::String(wanted))
                    if matches!(field.as_str(), "started" | "answered" | "ended") =>
                {
                    let (got, wanted): (Timestamp, Timestamp) =
                        (got.parse().unwrap(), wanted.parse().unwrap());
                    assert!(
                        got.duration_since(wanted).as_secs_f64().abs() <= tolerance,
                        "{what}"
                    );
                }
                _ => assert_eq!(got, wanted, "{what}"),
            }
        }
        assert_eq!(call["doubts"], serde_json::json!([]), "{name}");
    }
    assert!(
        decoded.calls.iter().all(|call| call.open.is_none()),
        "{name}: open"
    );
}

#[test]
fn every_recording_gives_the_calls_that_were_made() {
    for (name, recording, expected) in &recordings() {
        let decoded = fs(recording, &lab());
        assert_expected(name, &decoded, expected);
        let undecoded = if name.ends_with("default-encodings") {
            2
        } else {
            0
        };
        assert_eq!(
            decoded.undecoded.len(),
            undecoded,
            "{name}: {:?}",
            decoded.undecoded
        );
        // Without any configuration too.
        let mut bare = site(&[]);
        bare.plan = NumberPlan::new("DE", None).unwrap();
        assert_expected(name, &fs(recording, &bare), expected);
    }
}

#[test]
fn each_module_alone_suffices() {
    for (name, recording, expected) in &recordings() {
        let json = |body: &[u8]| body.starts_with(b"{");
        let only_xml = selected(recording, |body| {
            !json(body) && !body.starts_with(b"cdr=%7B") && !body.starts_with(b"cdr={")
        });
        assert_expected(name, &fs(&only_xml, &lab()), expected);
        let only_json = selected(recording, json);
        assert_expected(name, &fs(&only_json, &lab()), expected);
        if NEEDS_B_LEGS.contains(&name.as_str()) {
            continue;
        }
        // mod_format_cdr posts a legs alone: those with a dial plan's log, and agents' legs that nobody answered.
        let a_legs = selected(recording, |body| {
            json(body) && body.windows(9).any(|bytes| bytes == b"\"app_log\"")
        });
        assert_expected(name, &fs(&a_legs, &lab()), expected);
    }
}

#[test]
fn each_encoding_of_json_cdr_gives_the_same_call() {
    use base64::Engine as _;
    let (_, recording, expected) = RECORDINGS
        .iter()
        .find(|(name, ..)| name.starts_with("06-"))
        .unwrap();
    let encode = |text: &str| {
        percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
    };
    let mut encodings: [Vec<u8>; 4] = Default::default();
    for post in posts(recording)
        .iter()
        .filter(|post| post.body.starts_with(b"{"))
    {
        let text = std::str::from_utf8(&post.body).unwrap();
        let mut value: Value = serde_json::from_str(text).unwrap();
        for variable in value["variables"].as_object_mut().unwrap().values_mut() {
            *variable = Value::String(encode(variable.as_str().unwrap()));
        }
        let bodies = [
            value.to_string(),
            format!("cdr={}", encode(text)),
            format!(
                "cdr={}",
                base64::engine::general_purpose::STANDARD.encode(text)
            ),
            format!("cdr={text}"),
        ];
        for (encoding, body) in encodings.iter_mut().zip(bodies) {
            encoding.extend_from_slice(
                format!(
                    "### 1.0\nPOST /x HTTP/1.1\nContent-Length: {}\n\n{body}\n",
                    body.len()
                )
                .as_bytes(),
            );
        }
    }
    for encoding in &encodings {
        assert_expected("06", &fs(encoding, &lab()), expected);
    }
}

#[test]
fn what_nobody_can_decode_says_what_to_set() {
    let (_, recording, _) = RECORDINGS
        .iter()
        .find(|(name, ..)| name.ends_with("default-encodings"))
        .unwrap();
    let all = posts(recording);
    let doubly = all
        .iter()
        .find(|post| post.body.starts_with(b"cdr=%7B"))
        .unwrap();
    assert_eq!(decode::admit(Dialect::Freeswitch, &of_post(doubly)), Ok(()));
    let fault = decode::decode(Dialect::Freeswitch, &of_post(doubly), &lab()).unwrap_err();
    assert_eq!(fault, NotUnderstood::EncodedTwice);
    assert!(
        fault
            .to_string()
            .contains("encode=false, or encode-values=false")
    );
}

#[test]
fn posts_written_into_each_other_are_told_apart() {
    let (_, recording, _) = RECORDINGS
        .iter()
        .find(|(name, ..)| name.ends_with("503"))
        .unwrap();
    let all = posts(recording);
    assert_eq!(all.len(), 9);
    let uuid = |post: &Post| {
        let value: Value = serde_json::from_slice(&post.body).unwrap();
        value["variables"]["uuid"].as_str().unwrap().to_owned()
    };
    for post in all.iter().take(2) {
        assert!(post.query.as_ref().unwrap().ends_with(&uuid(post)));
    }
}

#[test]
fn without_the_first_leg_a_call_stays_open_and_is_closed_as_far_as_known() {
    let (_, recording, _) = RECORDINGS
        .iter()
        .find(|(name, ..)| name.starts_with("11-"))
        .unwrap();
    let branch = selected(recording, |body| {
        body.windows(22)
            .any(|bytes| bytes == b"\"originating_leg_uuid\"")
    });
    let decoded = fs(&branch, &lab());
    let call = decoded.calls.first().unwrap();
    assert_eq!(call.open, Some(assemble::OpenWhy::NoRoot));
    assert_eq!(call.call.call_type, CallType::OutgoingAnswered);
    assert_eq!(call.call.other.raw, "0301234567");
    assert_eq!(
        call.call.connected.as_ref().unwrap().as_str(),
        "+4921155500100"
    );
    assert!(
        call.call
            .doubts
            .iter()
            .any(|doubt| doubt.contains("incomplete"))
    );
}

fn tieline(body: &str) -> Result<Vec<PhoneEvent>, NotUnderstood> {
    decode::decode(Dialect::Tieline, &raw(body.as_bytes()), &lab())
}

fn example(file: &str) -> Decoded {
    let path = format!(
        "{}/fixtures/phone/tieline/{file}",
        env!("CARGO_MANIFEST_DIR")
    );
    decode_recording(
        Dialect::Tieline,
        Source::Http,
        &std::fs::read(path).unwrap(),
        &lab(),
    )
    .unwrap()
}

fn example_call(file: &str) -> tieline::terms::call::Call {
    let mut decoded = example(file);
    assert_eq!(
        (decoded.calls.len(), decoded.undecoded.len()),
        (1, 0),
        "{file}"
    );
    let call = decoded.calls.remove(0);
    assert_eq!(
        (call.open, call.call.doubts.len()),
        (None, 0),
        "{file}: {:?}",
        call.call.doubts
    );
    call.call
}

#[test]
fn our_own_dialect_as_documented() {
    let call = example_call("ended-answered.json");
    assert_eq!(
        (call.call_type, call.direction),
        (CallType::IncomingAnswered, Direction::In)
    );
    assert_eq!(call.other.number().unwrap().as_str(), "+491711234567");
    assert_eq!(call.other.name.as_deref(), Some("Max"));
    assert_eq!(call.agent.unwrap().0, "101");
    assert_eq!((call.wait.as_millis(), call.talk.as_millis()), (1991, 5000));
    assert_eq!(call.recording.as_deref(), Some("https://pbx.example/r/a1"));
    assert_eq!(
        (call.tags, call.agent_note.as_deref()),
        (vec!["vip".to_owned()], Some("wants an offer"))
    );

    let call = example_call("ended-missed.json");
    assert_eq!(
        (call.call_type, call.reason),
        (CallType::IncomingMissed, Some(Reason::QueueTimeout))
    );
    assert_eq!((call.queue.as_deref(), call.agent), (Some("support"), None));

    let call = example_call("ended-outgoing.json");
    assert_eq!(
        (call.call_type, call.reason),
        (CallType::OutgoingUnanswered, Some(Reason::Busy))
    );
    assert_eq!(call.other.number().unwrap().as_str(), "+49301234567");
    assert_eq!(call.connected.unwrap().as_str(), "+4921155500100");
    assert_eq!(
        (call.first_agent, call.agent.unwrap().0.as_str()),
        (None, "101")
    );

    let call = example_call("ended-voicemail.json");
    assert_eq!(
        (call.call_type, call.reason),
        (CallType::Voicemail, Some(Reason::NoAnswer))
    );
    assert!(call.voicemail && call.voicemail_link.is_some());
}

#[test]
fn live_events_tell_the_same_call() {
    let call = example_call("live-transferred.jsonl");
    assert_eq!(call.call_type, CallType::IncomingAnswered);
    assert_eq!(
        (
            call.first_agent.unwrap().0.as_str(),
            call.agent.unwrap().0.as_str()
        ),
        ("101", "102")
    );
    assert_eq!((call.wait.as_secs(), call.talk.as_secs()), (5, 10 + 12));
    let hop = call.transfers.first().unwrap();
    assert_eq!(
        (hop.kind.word(), hop.from.as_str(), hop.to.as_str()),
        ("blind", "101", "102")
    );
}

#[test]
fn texts_and_what_is_none() {
    let text = example("text-in.json").texts.remove(0);
    assert_eq!(
        (text.direction, text.body.as_str()),
        (Direction::In, "Hello")
    );
    let text = example("text-out.json").texts.remove(0);
    assert_eq!(text.to.number().unwrap().as_str(), "+491711234567");
    assert_eq!(
        text.at.to_string(),
        "2026-11-20T12:30:00Z",
        "local time of the site"
    );
    assert_eq!(text.body, "Yes, it is ready.\nSee you!");
    for (file, why) in [
        ("whatsapp.json", "WhatsApp"),
        ("unknown-event.json", "unknown kind"),
    ] {
        let decoded = example(file);
        assert!(decoded.texts.is_empty() && decoded.calls.is_empty());
        assert!(decoded.undecoded.first().unwrap().why.contains(why));
    }
    let to = r#"{"event":"text","id":"m","from":"+4921155500100","to":"WhatsApp:+491711234567","body":"x"}"#;
    assert_eq!(tieline(to), Err(NotUnderstood::WhatsApp));
}

#[test]
fn the_schema_names_every_field_of_the_examples() {
    let schema: Value =
        serde_json::from_str(include_str!("../config/dialect-tieline.schema.json")).unwrap();
    let known = schema["properties"].as_object().unwrap();
    let folder = format!("{}/fixtures/phone/tieline", env!("CARGO_MANIFEST_DIR"));
    for file in std::fs::read_dir(folder).unwrap() {
        for line in std::fs::read_to_string(file.unwrap().path())
            .unwrap()
            .lines()
        {
            let event: Value = serde_json::from_str(line).unwrap();
            for field in event
                .as_object()
                .unwrap()
                .keys()
                .filter(|field| *field != "pages")
            {
                assert!(known.contains_key(field), "{field}");
            }
        }
    }
}

#[test]
fn bad_events_of_our_own_dialect_are_named() {
    let missing = |field| Err(NotUnderstood::Missing(field));
    assert_eq!(tieline(r#"{"id":"a"}"#), missing("event"));
    assert_eq!(tieline(r#"{"event":"call.ended"}"#), missing("id"));
    assert_eq!(
        tieline(r#"{"event":"call.ended","id":"  "}"#),
        missing("id")
    );
    assert_eq!(
        tieline(r#"{"event":"text","id":"m","from":"1","to":"2"}"#),
        missing("body")
    );
    assert_eq!(tieline("[1]"), Err(NotUnderstood::NotAnObject));
    assert_eq!(tieline("a=b"), Err(NotUnderstood::NotAnObject));
    assert_eq!(
        tieline(r#"{"event":"call.eaten","id":"a"}"#),
        Err(NotUnderstood::UnknownEvent)
    );
    assert_eq!(
        tieline(r#"{"event":"call.ended","id":"a","started":"noon"}"#),
        Err(NotUnderstood::BadTime("started"))
    );
    for (field, value) in [
        ("from", "{}"),
        ("tags", "1"),
        ("direction", "\"up\""),
        ("reason", "\"tired\""),
        ("transfers", "[1]"),
    ] {
        let body = format!(r#"{{"event":"call.ended","id":"a","{field}":{value}}}"#);
        assert!(
            matches!(tieline(&body), Err(NotUnderstood::WrongType { field: named, .. }) if named == field),
            "{field}"
        );
    }
}

#[test]
fn an_end_before_its_start_is_repaired_with_a_doubt() {
    let body = r#"{"event":"call.ended","id":"a","from":"call me","to":"+4921155500100","started":"2026-11-20T12:00:10Z","answered":"2026-11-20T12:00:12Z","ended":"2026-11-20T12:00:00Z"}"#;
    let decoded =
        decode_recording(Dialect::Tieline, Source::Http, body.as_bytes(), &lab()).unwrap();
    let call = &decoded.calls.first().unwrap().call;
    assert_eq!((call.ended, call.talk.as_secs()), (call.started, 0));
    assert!(
        call.doubts
            .iter()
            .any(|doubt| doubt.contains("ended before it started")),
        "{:?}",
        call.doubts
    );
    assert_eq!(
        (&call.other.party, call.other.raw.as_str()),
        (&Party::Invalid, "call me")
    );
}

#[test]
fn admitted_is_what_is_whole() {
    let verdict = |dialect, body: &[u8]| decode::admit(dialect, &raw(body));
    let deep = "[".repeat(100_000);
    let deep_xml = "<a>".repeat(100_000);
    for dialect in [Dialect::Tieline, Dialect::Freeswitch] {
        assert_eq!(verdict(dialect, b""), Err(Malformed::Empty));
        assert_eq!(verdict(dialect, b" \n"), Err(Malformed::Empty));
        assert_eq!(
            verdict(dialect, b"{\"a\":\"\xff\"}"),
            Err(Malformed::NotUtf8 { at: 6 })
        );
        assert!(matches!(
            verdict(dialect, br#"{"a":"#),
            Err(Malformed::Json { .. })
        ));
        assert!(matches!(
            verdict(dialect, br#"{"a":1} x"#),
            Err(Malformed::Json { .. })
        ));
        assert_eq!(verdict(dialect, deep.as_bytes()), Err(Malformed::TooDeep));
        assert_eq!(
            verdict(dialect, deep_xml.as_bytes()),
            Err(Malformed::TooDeep)
        );
        assert_eq!(verdict(dialect, b"hello"), Err(Malformed::Unknown));
        assert!(matches!(
            verdict(dialect, b"<cdr><variables>"),
            Err(Malformed::Xml { .. })
        ));
        assert!(matches!(
            verdict(dialect, b"<cdr></x>"),
            Err(Malformed::Xml { .. })
        ));
        assert_eq!(verdict(dialect, b"a=%4"), Err(Malformed::Form));
        assert_eq!(verdict(dialect, br#"{"any":["[[[[{{{",1]}"#), Ok(()));
    }
    assert_eq!(
        verdict(Dialect::Freeswitch, b"cdr=%%%"),
        Err(Malformed::Form)
    );
    assert_eq!(
        verdict(Dialect::Freeswitch, b"cdr=!!!!"),
        Err(Malformed::Form)
    );
    assert!(matches!(
        verdict(
            Dialect::Freeswitch,
            b"<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>"
        ),
        Err(Malformed::Xml { .. })
    ));
    for (content_type, taken) in [
        ("image/png", false),
        ("Multipart/form-data; boundary=x", false),
        ("text/plain", true),
        ("nonsense", true),
    ] {
        let event = RawEvent {
            content_type: Some(content_type),
            ..raw(b"{}")
        };
        assert_eq!(
            decode::admit(Dialect::Tieline, &event).is_ok(),
            taken,
            "{content_type}"
        );
    }
}

#[test]
fn every_recorded_post_is_admitted_whole_and_refused_cut_short() {
    for (name, recording, _) in &recordings() {
        for post in posts(recording) {
            assert_eq!(
                decode::admit(Dialect::Freeswitch, &of_post(&post)),
                Ok(()),
                "{name}"
            );
            // In a form it is taken, so that the reason can be shown.
            if post.body.starts_with(b"cdr=%7B") || post.body.starts_with(b"cdr={") {
                continue;
            }
            let half = Post {
                body: post.body.get(..post.body.len() / 2).unwrap().to_vec(),
                ..post
            };
            assert!(
                decode::admit(Dialect::Freeswitch, &of_post(&half)).is_err(),
                "{name}"
            );
        }
    }
}

/// A minimal FreeSWITCH record with these variables.
fn record(variables: &str) -> Vec<u8> {
    format!(r#"{{"variables":{{"start_uepoch":"1795177469009954","end_uepoch":"1795177476109923",{variables}}}}}"#).into_bytes()
}

#[test]
fn records_that_lack_something_are_named_and_odd_ones_are_read() {
    let decode = |body: &[u8]| decode::decode(Dialect::Freeswitch, &raw(body), &lab());
    assert_eq!(decode(b"{}"), Err(NotUnderstood::NotACdr));
    assert_eq!(decode(br#"{"variables":[1]}"#), Err(NotUnderstood::NotACdr));
    assert_eq!(decode(b"<x/>"), Err(NotUnderstood::NotACdr));
    assert_eq!(decode(b"user=1&x=2"), Err(NotUnderstood::NotACdr));
    assert_eq!(
        decode(br#"{"variables":{"uuid":""}}"#),
        Err(NotUnderstood::Missing("variables.uuid"))
    );
    assert_eq!(
        decode(br#"{"variables":{"uuid":"u"}}"#),
        Err(NotUnderstood::Missing("variables.start_uepoch"))
    );
    // Types that FreeSWITCH never writes.
    assert!(decode(br#"{"variables":{"uuid":17,"start_epoch":1795177469,"x":{}},"callflow":7,"app_log":[]}"#).is_ok());
    let odd = record(
        r#""uuid":"u1","sip_from_user":"+491711234567","sip_from_display":"Eve \"x\"\nSmith","sip_req_user":"+4921155500100""#,
    );
    let decoded = fs(&odd, &lab());
    assert_eq!(
        decoded.calls.first().unwrap().call.other.name.as_deref(),
        Some("Eve \"x\"\nSmith")
    );
    let long = record(&format!(r#""uuid":"{}""#, "u".repeat(10_000)));
    let id = fs(&long, &lab()).calls.first().unwrap().call.key.id.clone();
    assert!(id.starts_with("sha256-") && id.len() == 39, "{id}");
}

#[test]
fn a_call_of_a_hundred_legs_is_one_call() {
    let mut recording =
        record(r#""uuid":"root","sip_from_user":"+491711234567","sip_req_user":"+4921155500100""#);
    for leg in 0..100 {
        recording.push(b'\n');
        recording.extend(record(&format!(r#""uuid":"leg{leg}","originating_leg_uuid":"root","sip_to_user":"101","hangup_cause":"NO_ANSWER""#)));
    }
    let decoded = fs(&recording, &lab());
    assert_eq!(decoded.calls.len(), 1);
    let call = &decoded.calls.first().unwrap().call;
    assert_eq!(
        (call.legs.len(), call.reason),
        (101, Some(Reason::NoAnswer))
    );
}

#[test]
fn sources_without_a_decoder_are_refused() {
    for source in [Source::Ami, Source::Cdr, Source::Cel, Source::Ari] {
        let fault = decode_recording(Dialect::Freeswitch, source, b"", &lab()).unwrap_err();
        assert!(fault.to_string().contains("no decoder"));
    }
}

#[test]
fn an_id_used_again_a_day_later_is_another_call() {
    let call = example_call("ended-answered.json");
    let hours = |hours: i64| call.ended + jiff::SignedDuration::from_hours(hours);
    assert!(assemble::is_reuse(call.ended, hours(24)));
    assert!(!assemble::is_reuse(call.ended, hours(1)));
    assert!(!assemble::is_reuse(call.ended, call.started));
    assert_eq!(decode::reused("a1", hours(24)), "a1~20261121T122436Z");
    assert!(
        decode::reused(&"a".repeat(160), hours(24)).len()
            <= tieline::terms::ids::VENDOR_ID_BYTES_MAX
    );
}

fn facts_of(recording: &[u8], dialect: Dialect) -> Vec<LegFacts> {
    let events = posts(recording)
        .into_iter()
        .flat_map(|post| decode::decode(dialect, &of_post(&post), &lab()).unwrap_or_default());
    events
        .filter_map(|event| match event {
            PhoneEvent::Leg(leg) => Some(*leg),
            PhoneEvent::Text(_) => None,
        })
        .collect()
}

fn all_facts() -> Vec<Vec<LegFacts>> {
    let mut all: Vec<_> = RECORDINGS
        .iter()
        .map(|(_, recording, _)| facts_of(recording, Dialect::Freeswitch))
        .collect();
    all.push(facts_of(
        include_bytes!("../fixtures/phone/tieline/live-transferred.jsonl"),
        Dialect::Tieline,
    ));
    all
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_order_and_any_repeats_give_the_same_call(seed in any::<u64>()) {
        let mut random = fastrand::Rng::with_seed(seed);
        for facts in all_facts() {
            let key = facts.first().unwrap().key.clone();
            let wanted = assemble::assemble(&key, &facts, Timestamp::UNIX_EPOCH);
            prop_assert!(matches!(wanted.state, State::Complete(Done::Settle | Done::Final)));
            let mut shuffled = facts.clone();
            shuffled.extend((0..random.usize(0..5)).map(|_| facts[random.usize(0..facts.len())].clone()));
            random.shuffle(&mut shuffled);
            prop_assert_eq!(&assemble::assemble(&key, &shuffled, Timestamp::UNIX_EPOCH), &wanted);
            // With gaps: never a panic, and the root alone is enough to know the parties.
            shuffled.truncate(random.usize(0..=shuffled.len()));
            assemble::assemble(&key, &shuffled, Timestamp::UNIX_EPOCH);
            assemble::close(&key, &shuffled, Timestamp::UNIX_EPOCH);
        }
    }

    #[test]
    fn random_bytes_never_panic(body in proptest::collection::vec(any::<u8>(), 0..400), text in ".{0,200}") {
        for dialect in [Dialect::Tieline, Dialect::Freeswitch] {
            for body in [body.as_slice(), text.as_bytes()] {
                let _ = decode::admit(dialect, &raw(body));
                let _ = decode::decode(dialect, &raw(body), &lab());
                let _ = decode_recording(dialect, Source::Http, body, &lab());
            }
        }
    }

    #[test]
    fn damaged_recordings_never_panic(index in 0..RECORDINGS.len(), seed in any::<u64>()) {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut recording = RECORDINGS[index].1.to_vec();
        for _ in 0..random.usize(1..30) {
            let at = random.usize(0..recording.len());
            match random.u8(0..4) {
                0 => recording[at] = random.u8(..),
                1 => { recording.remove(at); }
                2 => recording.insert(at, *b"\"{}[]<>%&=0;|:\n".get(random.usize(0..15)).unwrap()),
                _ => recording[at] = b'9',
            }
        }
        let _ = decode_recording(Dialect::Freeswitch, Source::Http, &recording, &lab()).unwrap();
    }
}

#[test]
fn a_leg_of_a_handed_over_leg_belongs_to_the_first_call() {
    // 101 calls a customer and hands the customer over to 102: the leg to 102 names the customer's leg as its family.
    let a = record(
        r#""uuid":"A","sip_from_user":"101","sip_req_user":"0301234567","bridge_uepoch":"1795177470000000","transfer_disposition":"recv_replace","last_bridge_to":"B","originated_legs":"B;x;0301234567""#,
    );
    let b = record(
        r#""uuid":"B","originating_leg_uuid":"A","sip_to_user":"0301234567","transfer_history":"1795177472:x:bl_xfer:102/public/XML","originated_legs":"C;x;102""#,
    );
    let c = record(
        r#""uuid":"C","originating_leg_uuid":"B","sip_to_user":"102","bridge_uepoch":"1795177474000000""#,
    );
    let alone = facts_of(&a, Dialect::Freeswitch);
    let key = alone.first().unwrap().key.clone();
    let state = assemble::assemble(&key, &alone, Timestamp::UNIX_EPOCH).state;
    assert_eq!(
        state,
        State::Open {
            why: assemble::OpenWhy::LegMissing
        }
    );
    for order in [[&c, &b, &a], [&a, &b, &c]] {
        let decoded = fs(&order.map(Vec::as_slice).join(&b'\n'), &lab());
        assert_eq!(decoded.calls.len(), 1);
        let found = decoded.calls.first().unwrap();
        assert_eq!((found.call.key.id.as_str(), found.open), ("A", None));
        assert_eq!(
            (
                found.call.first_agent.as_ref().unwrap().0.as_str(),
                found.call.agent.as_ref().unwrap().0.as_str()
            ),
            ("101", "102")
        );
        assert_eq!(found.call.transfers.first().unwrap().to, "102");
    }
}

#[test]
fn local_times_over_the_autumn_clock_change_keep_their_order() {
    let body = r#"{"event":"call.ended","id":"a","from":"+491711234567","to":"+4921155500100","started":"2026-10-25T02:59:45","answered":"2026-10-25T02:59:47","ended":"2026-10-25T02:00:07"}"#;
    let call = decode_recording(Dialect::Tieline, Source::Http, body.as_bytes(), &lab())
        .unwrap()
        .calls
        .remove(0)
        .call;
    assert_eq!(
        (call.wait.as_secs(), call.talk.as_secs(), call.doubts.len()),
        (2, 20, 0)
    );
}

#[derive(clap::Parser)]
struct Line {
    #[command(flatten)]
    decode: tieline::cli::decode::DecodeArgs,
}

fn printed(arguments: &[&str]) -> (String, std::process::ExitCode) {
    use clap::Parser as _;
    let line = Line::try_parse_from([&["decode"], arguments].concat()).unwrap();
    let mut out = Vec::new();
    let code = tieline::cli::decode::run(&line.decode, &mut out).unwrap();
    (String::from_utf8(out).unwrap(), code)
}

#[test]
fn the_command_prints_a_table_or_json() {
    let file = format!(
        "{}/fixtures/calls/freeswitch/15-blind-transfer-sip-refer/http-received.txt",
        env!("CARGO_MANIFEST_DIR")
    );
    let (table, _) = printed(&["--dialect", "freeswitch", "--source", "http", &file]);
    assert!(
        table.contains("2026-11-20 13:27:45  incoming answered  +491711234567 Max Muster"),
        "{table}"
    );
    assert!(
        table.ends_with("calls: 1, texts: 0, posts that gave nothing: 0\n"),
        "{table}"
    );
    let (json, _) = printed(&[
        "--dialect",
        "freeswitch",
        "--extensions",
        "100-199",
        "--area-code",
        "211",
        "--json",
        &file,
    ]);
    assert_eq!(
        serde_json::from_str::<Value>(&json).unwrap()["calls"][0]["agent"],
        "102"
    );
    let (nothing, code) = printed(&["--dialect", "freeswitch", "--source", "ari", &file]);
    assert_eq!(
        (nothing.as_str(), code),
        ("", std::process::ExitCode::from(2))
    );
}
