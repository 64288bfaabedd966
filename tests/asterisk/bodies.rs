//! Bodies one by one: what is admitted, what is refused and how, forms of numbers and names, and what bytes can't do.

use super::{KINDS, Kind, events, lab, recordings};
use proptest::prelude::*;
use tieline::calls::decode::{self, LegFacts, Malformed, NotUnderstood, PhoneEvent, RawEvent};
use tieline::cli::decode::{Source, decode_recording};
use tieline::settings::types::Dialect;
use tieline::terms::call::{Call, CallType};
use tieline::terms::party::Party;

fn raw(body: &[u8]) -> RawEvent<'_> {
    RawEvent {
        content_type: None,
        query: None,
        body,
        received: "2026-11-20T12:00:00Z".parse().unwrap(),
    }
}

fn admit(body: &[u8]) -> Result<(), Malformed> {
    decode::admit(Dialect::Asterisk, &raw(body))
}

fn decoded(body: &[u8]) -> Result<Vec<PhoneEvent>, NotUnderstood> {
    decode::decode(Dialect::Asterisk, &raw(body), &lab())
}

fn legs(body: &[u8]) -> Vec<LegFacts> {
    let leg = |event| match event {
        PhoneEvent::Leg(leg) => Some(*leg),
        PhoneEvent::Text(_) => None,
    };
    decoded(body).unwrap().into_iter().filter_map(leg).collect()
}

fn call(body: &str) -> Call {
    let mut decoded =
        decode_recording(Dialect::Asterisk, Source::Http, body.as_bytes(), &lab()).unwrap();
    assert_eq!(decoded.calls.len(), 1, "{body}: {:?}", decoded.undecoded);
    decoded.calls.remove(0).call
}

const HOOK: &str = "event=hangup&uniqueid=1795176443.0&linkedid=1795176443.0&channel=PJSIP%2Ftrunk-00000000\
                    &did=%2B4921155500100&dialstatus=ANSWER&dialedpeer=101&answeredtime=5&epoch=1795176450";

fn hook(more: &str) -> String {
    format!("{HOOK}&{more}")
}

const ROW: &str = r#""2026-11-20 13:07:23","""Max"" <+491711234567>","+491711234567","ext101","from-trunk","PJSIP/trunk-1","PJSIP/101-2","Dial","PJSIP/101","7","5","ANSWERED","DOCUMENTATION","","1795176443.0","","+4921155500100","","","","1795176443.0","","0""#;

const EVENT: &str = "Event: Newchannel\r\nTimestamp: 1795176443.775000\r\nChannel: PJSIP/trunk-1\r\nChannelState: 4\r\n\
                     CallerIDNum: +491711234567\r\nCallerIDName: Max\r\nContext: from-trunk\r\n\
                     Exten: +4921155500100\r\nUniqueid: 1795176443.0\r\nLinkedid: 1795176443.0\r\n\r\n";

#[test]
fn every_recorded_event_is_admitted() {
    for recording in recordings() {
        for event in events(recording.kind, &recording.bytes) {
            let body = match recording.kind {
                Kind::Hook => tieline::cli::recording::posts(&event).remove(0).body,
                _ => event,
            };
            assert_eq!(admit(&body), Ok(()), "{}", recording.name());
        }
    }
}

#[test]
fn what_is_not_whole_is_refused() {
    assert_eq!(admit(b""), Err(Malformed::Empty));
    assert_eq!(admit(b"\r\n"), Err(Malformed::Empty));
    assert_eq!(admit(b"hello"), Err(Malformed::Unknown));
    assert_eq!(admit(b"uniqueid=\xff"), Err(Malformed::NotUtf8 { at: 9 }));
    assert_eq!(admit(b"uniqueid=%4"), Err(Malformed::Form));
    assert_eq!(
        admit("[".repeat(100_000).as_bytes()),
        Err(Malformed::TooDeep)
    );
    assert!(matches!(
        admit(br#"{"uniqueid":"1"#),
        Err(Malformed::Json { .. })
    ));
    // The last quote is lost.
    let cut = ROW.trim_end_matches('"');
    assert_eq!(admit(cut.as_bytes()), Err(Malformed::Csv));
}

#[test]
fn a_dial_plan_s_glued_json_is_taken_and_says_what_to_do() {
    let body = br#"{"event":"hangup"\,"uniqueid":"1795176443.0"\,"callerid_name":"Bob ""B"""}"#;
    assert_eq!(admit(body), Ok(()));
    let fault = decoded(body).unwrap_err();
    assert_eq!(fault, NotUnderstood::GluedJson);
    assert!(fault.to_string().contains("URIENCODE"));
}

#[test]
fn what_can_t_be_read_is_named() {
    let missing = |field| Err(NotUnderstood::Missing(field));
    assert_eq!(decoded(b"a=b"), Err(NotUnderstood::NotAsterisk));
    assert_eq!(decoded(b"{}"), Err(NotUnderstood::NotAsterisk));
    assert_eq!(decoded(b"[1]"), Err(NotUnderstood::NotAsterisk));
    assert_eq!(decoded(b"<a/>"), Err(NotUnderstood::NotAsterisk));
    assert_eq!(
        decoded(b"\"a\",\"b\",\"c\""),
        Err(NotUnderstood::CsvColumns)
    );
    assert_eq!(decoded(b"uniqueid=&linkedid="), missing("uniqueid"));
    assert_eq!(decoded(b"dstchannel=&src=1"), missing("uniqueid"));
    assert_eq!(decoded(b"dstchannel=&uniqueid=1.0"), missing("start"));
    let noon = b"dstchannel=&uniqueid=1.0&start=noon";
    assert_eq!(decoded(noon), Err(NotUnderstood::BadTime("start")));
    assert_eq!(decoded(b"event=message&from=101"), missing("body"));
    assert_eq!(decoded(b"event=message&body=x"), missing("from"));
    let rows = vec![ROW; 1001].join("\n");
    assert_eq!(decoded(rows.as_bytes()), Err(NotUnderstood::TooManyRecords));
    let kind = b"\"CHAN_START\",\"noon\",,,,,,,,\"PJSIP/101-1\",,,,,\"1.0\",\"1.0\",,,,\"\"";
    assert_eq!(decoded(kind), Err(NotUnderstood::BadTime("eventtime")));
}

#[test]
fn what_says_nothing_of_a_call_gives_nothing() {
    for body in [
        "Event: FullyBooted\r\nUptime: 17\r\n\r\n",
        "Event: SomethingNew\r\nUniqueid: 1795176443.0\r\nLinkedid: 1795176443.0\r\n\r\n",
        "Event: Newchannel\r\nChannel: PJSIP/101-1\r\n\r\n",
        "Event: Newchannel\r\nChannel: Message/ast_msg_queue\r\nUniqueid: 1.0\r\nLinkedid: 1.0\r\n\r\n",
        "Event: BlindTransfer\r\nResult: Fail\r\nTransfererUniqueid: 1.0\r\nTransfererLinkedid: 1.0\r\n\r\n",
        r#"{"type":"DeviceStateChanged","timestamp":"2026-11-20T13:07:23.692+0100"}"#,
        r#"{"type":"ChannelCreated","timestamp":17,"channel":[]}"#,
        r#""DTMF","1795176443.1","","","","","","","","PJSIP/101-1","","","","","1.0","1.0","","","","""#,
    ] {
        assert_eq!(decoded(body.as_bytes()), Ok(Vec::new()), "{body}");
    }
}

#[test]
fn wrong_types_and_odd_values_are_read_as_far_as_they_go() {
    let body = r#"{"uniqueid":1795176443.0,"linkedid":null,"billsec":[],"epoch":1795176450,"duration":"x","dialstatus":true}"#;
    let found = call(body);
    assert_eq!(found.call_type, CallType::IncomingMissed);
    let long = format!(
        "uniqueid={0}&linkedid={0}&epoch=1795176450",
        "u".repeat(10_000)
    );
    assert!(legs(long.as_bytes())[0].key.id.starts_with("sha256-"));
    let huge = hook("answeredtime=99999999999999999999&billsec=-5");
    assert!(legs(huge.as_bytes()).iter().any(|leg| leg.ended.is_some()));
    let far = ROW.replace(
        "\"7\",\"5\"",
        "\"9223372036854775807\",\"9223372036854775807\"",
    );
    assert!(decoded(far.as_bytes()).is_ok());
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
        ("anonymous", None),
        ("Restricted", None),
        ("%3Cunknown%3E", None),
        ("unavailable", None),
        ("", None),
        ("Max", None),
        ("112", None),
    ] {
        let found = call(&hook(&format!("callerid_num={sent}")));
        let got = found.other.number().map(ToString::to_string);
        assert_eq!(got.as_deref(), number, "{sent}");
        let hidden = matches!(
            sent,
            "anonymous" | "Restricted" | "%3Cunknown%3E" | "unavailable" | ""
        );
        assert_eq!(found.other.party == Party::Anonymous, hidden, "{sent}");
    }
}

#[test]
fn names_keep_their_quotes_and_lines() {
    let ami = EVENT.replace("Name: Max", r#"Name: O\'Neil \\\"Q\\\"\nÜnal"#);
    let caller = legs(ami.as_bytes())[0].caller.clone().unwrap();
    assert_eq!(caller.name.as_deref(), Some("O'Neil \\\"Q\\\"\nÜnal"));
    // Latin-1: the name suffers, the call doesn't.
    let latin = EVENT.replace("Name: Max", "Name: ?nal").into_bytes();
    let latin: Vec<u8> = latin
        .into_iter()
        .map(|byte| if byte == b'?' { 0xdc } else { byte })
        .collect();
    assert_eq!(admit(&latin), Ok(()));
    let caller = legs(&latin)[0].caller.clone().unwrap();
    assert_eq!(caller.name.as_deref(), Some("\u{fffd}nal"));
    let row = ROW.replace(r#"""Max"""#, r#"""Eve \""x\"" Smith, Jr."""#);
    let glimpse = legs(row.as_bytes())[0].caller_seen.clone().unwrap();
    assert_eq!(
        glimpse.contact.name.as_deref(),
        Some("Eve \"x\" Smith, Jr.")
    );
    let row = ROW.replace("Max", "Max\nMuster");
    assert_eq!(legs(row.as_bytes())[0].key.id, "1795176443.0");
    let found = call(&hook(
        "callerid_num=01711234567&callerid_name=Eve%20%22x%22%0ASmith",
    ));
    assert_eq!(found.other.name.as_deref(), Some("Eve \"x\"\nSmith"));
}

#[test]
fn columns_are_told_apart_or_named() {
    let named = "calldate,channel,dstchannel,disposition,duration,billsec,uniqueid,linkedid,did,src\n\
                 2026-11-20 13:07:23,PJSIP/trunk-1,PJSIP/101-2,ANSWERED,7,5,1795176443.0,1795176443.0,+4921155500100,01711234567\n";
    let sample = r#""""Max"" <+491711234567>","+491711234567","+4921155500100","from-trunk","PJSIP/trunk-1","PJSIP/101-2","Dial","x","2026-11-20 13:07:23","2026-11-20 13:07:25","2026-11-20 13:07:30",7,5,"ANSWERED","DOCUMENTATION","","1795176443.0","",0"#;
    let table = ROW.replacen(
        r#""","","1795176443.0","""#,
        r#""","","","","","1795176443.0","""#,
        1,
    );
    let old = r#""","+491711234567","+4921155500100","from-trunk","""Max"" <+491711234567>","PJSIP/trunk-1","PJSIP/101-2","Dial","x","2026-11-20 13:07:23","2026-11-20 13:07:25","2026-11-20 13:07:30",7,5,"ANSWERED","DOCUMENTATION","1795176443.0","x""#;
    for text in [named, sample, &table, old, ROW] {
        let mut decoded =
            decode_recording(Dialect::Asterisk, Source::Cdr, text.as_bytes(), &lab()).unwrap();
        assert_eq!(decoded.calls.len(), 1, "{text}: {:?}", decoded.undecoded);
        let found = decoded.calls.remove(0).call;
        assert_eq!(
            found.connected.unwrap().as_str(),
            "+4921155500100",
            "{text}"
        );
        assert_eq!(found.agent.unwrap().0, "101", "{text}");
        assert_eq!(
            (found.wait.as_secs(), found.talk.as_secs()),
            (2, 5),
            "{text}"
        );
    }
}

#[test]
fn records_as_forms_and_json_are_the_same_call() {
    let form = "calldate=2026-11-20%2013:07:23&channel=PJSIP/trunk-1&dstchannel=PJSIP/101-2&lastapp=Dial&disposition=ANSWERED\
                &duration=7&billsec=5&uniqueid=1795176443.0&linkedid=1795176443.0&did=%2B4921155500100&src=01711234567";
    let json = r#"{"calldate":"2026-11-20 13:07:23","channel":"PJSIP/trunk-1","dstchannel":"PJSIP/101-2","lastapp":"Dial",
                  "disposition":"ANSWERED","duration":7,"billsec":5,"uniqueid":"1795176443.0","linkedid":"1795176443.0",
                  "did":"+4921155500100","src":"01711234567"}"#;
    let list = format!("[{json}]");
    assert_eq!(call(form), call(json));
    assert_eq!(call(json), call(&list));
    assert_eq!(call(form).agent.unwrap().0, "101");
}

#[test]
fn a_call_of_a_hundred_legs_is_one_call() {
    let mut stream = EVENT.to_owned();
    for leg in 1..=100 {
        let rings = EVENT
            .replace(
                "Uniqueid: 1795176443.0",
                &format!("Uniqueid: 1795176443.{leg}"),
            )
            .replace("PJSIP/trunk-1", &format!("PJSIP/101-{leg}"))
            .replace("ChannelState: 4", "ChannelState: 0");
        let ends = rings.replace("Event: Newchannel", "Event: Hangup\r\nCause: 0");
        stream.push_str(&rings);
        stream.push_str(&ends);
    }
    stream.push_str(&EVENT.replace("Event: Newchannel", "Event: Hangup\r\nCause: 16"));
    let decoded =
        decode_recording(Dialect::Asterisk, Source::Ami, stream.as_bytes(), &lab()).unwrap();
    assert_eq!(decoded.calls.len(), 1);
    assert_eq!(
        (decoded.calls[0].call.legs.len(), decoded.calls[0].open),
        (101, None)
    );
    let marked = format!("\u{feff}\r\n{stream}");
    assert_eq!(legs(marked.as_bytes()).len(), 202);
    // The same in one body, as a listener may put them together.
    assert_eq!(legs(stream.as_bytes()).len(), 202);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400), text in ".{0,200}") {
        let starts = ["", "Event: Newchannel\r\nUniqueid: ", "{\"type\":\"Dial\",\"timestamp\":\"", "\"HANGUP\",\"", "uniqueid="];
        for start in starts {
            for end in [bytes.as_slice(), text.as_bytes()] {
                let body = [start.as_bytes(), end].concat();
                let _ = admit(&body);
                let _ = decoded(&body);
                for kind in KINDS {
                    let _ = decode_recording(Dialect::Asterisk, kind.source(), &body, &lab());
                }
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
        let source = recording.kind.source();
        let decoded = decode_recording(Dialect::Asterisk, source, &recording.bytes, &lab()).unwrap();
        prop_assert!(decoded.calls.len() < 40);
    }
}
