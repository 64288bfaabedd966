//! Phone systems and SMS gateways that post over plain HTTP, through `tieline decode`'s core: every recording, and every
//! example made from documentation, gives what is in its expected.json, in any order and twice.

mod bodies;
mod sockets;

use crate::support::seed;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::PathBuf;
use tieline::calls::assemble;
use tieline::calls::decode::{self, LegFacts, PhoneEvent, RawEvent, Site};
use tieline::cli::decode::{Decoded, Source, decode_recording};
use tieline::cli::recording::{Post, posts};
use tieline::cli::show::decoded_json;
use tieline::settings::types::Dialect;
use tieline::terms::call::Call;
use tieline::terms::ids::CallKey;
use tieline::terms::number::NumberPlan;
use tieline::terms::party::{ExtensionRange, Extensions};
use tieline::terms::text::Text;

/// Where a source's files lie, and how they are read.
const SOURCES: &[(&str, Dialect, Source, &str)] = &[
    ("3cx", Dialect::ThreeCx, Source::Http, "http-received.txt"),
    (
        "freeswitch",
        Dialect::Freeswitch,
        Source::Esl,
        "esl-events.jsonl",
    ),
    ("gammu", Dialect::Gammu, Source::Http, "http-received.txt"),
    (
        "grandstream",
        Dialect::Grandstream,
        Source::Http,
        "http-received.txt",
    ),
    ("grandstream", Dialect::Grandstream, Source::Cdr, "cdr.csv"),
    ("jasmin", Dialect::Jasmin, Source::Http, "http-received.txt"),
    (
        "kamailio",
        Dialect::Kamailio,
        Source::Http,
        "http-received.txt",
    ),
    ("kamailio", Dialect::Kamailio, Source::Cdr, "acc-log.txt"),
    ("kannel", Dialect::Kannel, Source::Http, "http-received.txt"),
    (
        "playsms",
        Dialect::PlaySms,
        Source::Http,
        "http-received.txt",
    ),
    ("zammad", Dialect::Zammad, Source::Http, "http-received.txt"),
];

struct Recording {
    name: String,
    dialect: Dialect,
    source: Source,
    bytes: Vec<u8>,
    expected: Value,
}

fn recordings() -> Vec<Recording> {
    let mut all = Vec::new();
    for (system, dialect, source, file) in SOURCES {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
            .join("fixtures/calls")
            .join(system);
        let mut scenarios: Vec<PathBuf> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        scenarios.sort();
        for path in scenarios {
            let Ok(bytes) = std::fs::read(path.join(file)) else {
                continue;
            };
            let expected = std::fs::read(path.join("expected.json")).unwrap();
            all.push(Recording {
                name: format!(
                    "{system}/{}/{file}",
                    path.file_name().unwrap().to_str().unwrap()
                ),
                dialect: *dialect,
                source: *source,
                bytes,
                expected: serde_json::from_slice(&expected).unwrap(),
            });
        }
    }
    assert!(all.len() > 35, "only {} recordings", all.len());
    all
}

fn lab() -> Site {
    Site {
        pbx: "hq".to_owned(),
        plan: NumberPlan::new("DE", Some("211")).unwrap(),
        extensions: Extensions(vec![ExtensionRange {
            first: "100".to_owned(),
            last: "199".to_owned(),
        }]),
        time_zone: TimeZone::get("Europe/Berlin").unwrap(),
    }
}

fn read(dialect: Dialect, source: Source, bytes: &[u8]) -> Decoded {
    decode_recording(dialect, source, bytes, &lab()).unwrap()
}

/// The recording's events, each as a recording of its own.
fn events(recording: &Recording) -> Vec<Vec<u8>> {
    if recording.source == Source::Http {
        return posts(&recording.bytes).iter().map(written).collect();
    }
    let text = std::str::from_utf8(&recording.bytes).unwrap();
    text.lines()
        .map(|line| format!("{line}\n").into_bytes())
        .collect()
}

fn written(post: &Post) -> Vec<u8> {
    let head = format!(
        "### {}.{:03}\nPOST /x HTTP/1.1\nContent-Length: {}\n\n",
        post.received.as_second(),
        post.received.subsec_millisecond(),
        post.body.len()
    );
    [head.as_bytes(), &post.body, b"\n"].concat()
}

/// What this source says instead, where it can't know the truth (`notes` of expected.json); null is unknown.
fn said_instead(recording: &Recording, call: usize) -> BTreeMap<&'static str, Value> {
    let mut other = BTreeMap::new();
    if recording.name.ends_with("acc-log.txt") {
        if call == 0 {
            // No start: the call begins with the answer.
            other.insert("started", json!("2026-11-20T12:28:51Z"));
            other.insert("wait_seconds", json!(0.0));
        } else {
            other.insert("started", json!("2026-11-20T12:28:58Z"));
        }
    }
    other
}

fn near(got: &Value, wanted: &Value, tolerance: f64) -> bool {
    let time = |value: &Value| value.as_str()?.parse::<Timestamp>().ok();
    match (got.as_f64(), wanted.as_f64()) {
        (Some(got), Some(wanted)) => (got - wanted).abs() <= tolerance,
        _ => match (time(got), time(wanted)) {
            (Some(got), Some(wanted)) => {
                got.duration_since(wanted).as_secs_f64().abs() <= tolerance
            }
            _ => got == wanted,
        },
    }
}

fn assert_expected(recording: &Recording, decoded: &Decoded, how: &str) {
    let name = format!("{} {how}", recording.name);
    // The event socket and Kamailio's dialogs have microseconds, but FreeSWITCH looks at its clock every 20 ms; of the rest,
    // expected.json says it.
    let tolerance = match (recording.source, recording.dialect) {
        (Source::Esl, _) => 0.041,
        (Source::Http, Dialect::Kamailio) => 0.005,
        _ => recording.expected["tolerance_seconds"].as_f64().unwrap(),
    };
    let actual = decoded_json(decoded);
    let wanted = recording.expected["calls"].as_array().unwrap();
    let calls = actual["calls"].as_array().unwrap();
    assert_eq!(calls.len(), wanted.len(), "{name}: calls in {actual:#}");
    for (index, (call, wanted)) in calls.iter().zip(wanted).enumerate() {
        let instead = said_instead(recording, index);
        for (field, truth) in wanted.as_object().unwrap() {
            let wanted = instead.get(field.as_str()).unwrap_or(truth);
            assert!(
                near(&call[field], wanted, tolerance),
                "{name}: {field}: got {}, expected {wanted}",
                call[field]
            );
        }
        assert_eq!(call["doubts"], json!([]), "{name}");
        assert_eq!(call["incomplete"], Value::Null, "{name}");
    }
    let wanted = recording.expected["texts"].as_array().unwrap();
    let texts = actual["texts"].as_array().unwrap();
    assert_eq!(texts.len(), wanted.len(), "{name}: texts in {actual:#}");
    for (text, wanted) in texts.iter().zip(wanted) {
        for (field, wanted) in wanted.as_object().unwrap() {
            assert_eq!(&text[field], wanted, "{name}: {field}");
        }
    }
}

#[test]
fn every_source_tells_what_it_can_know() {
    for recording in recordings() {
        let decoded = read(recording.dialect, recording.source, &recording.bytes);
        assert_eq!(decoded.undecoded, [], "{}", recording.name);
        assert_expected(&recording, &decoded, "in order");
    }
}

/// What each event states, in the recording's order.
fn stated(recording: &Recording) -> Vec<Vec<PhoneEvent>> {
    let event = |bytes: Vec<u8>| {
        let (body, received) = match recording.source {
            Source::Http => {
                let post = posts(&bytes).remove(0);
                (post.body, post.received)
            }
            _ => (bytes, Timestamp::UNIX_EPOCH),
        };
        let raw = RawEvent {
            content_type: None,
            query: None,
            body: &body,
            received,
        };
        decode::decode(recording.dialect, &raw, &lab()).unwrap()
    };
    events(recording).into_iter().map(event).collect()
}

/// The calls and texts that these make, as the daemon puts them together.
fn made(parts: &[Vec<PhoneEvent>]) -> (Vec<Call>, BTreeMap<CallKey, Text>) {
    let (mut facts, mut texts) = (Vec::new(), BTreeMap::new());
    for event in parts.iter().flatten() {
        match event {
            PhoneEvent::Leg(leg) => facts.push((**leg).clone()),
            PhoneEvent::Text(text) => {
                texts.entry(text.key.clone()).or_insert(text.clone());
            }
        }
    }
    let gathered = assemble::gather(facts);
    let call =
        |(key, facts): (&CallKey, &Vec<LegFacts>)| assemble::close(key, facts, Timestamp::MAX);
    let mut calls: Vec<Call> = gathered.iter().filter_map(call).collect();
    calls.sort_by_key(|call| call.started);
    (calls, texts)
}

#[test]
fn any_order_and_repeats_give_the_same() {
    let seed = seed();
    let mut random = fastrand::Rng::with_seed(seed);
    for recording in recordings() {
        let mut parts = stated(&recording);
        let ordered = made(&parts);
        let whole = read(recording.dialect, recording.source, &recording.bytes);
        let calls: Vec<Call> = whole.calls.into_iter().map(|found| found.call).collect();
        assert_eq!(ordered.0, calls, "{} one by one", recording.name);
        assert_eq!(ordered.1.len(), whole.texts.len(), "{}", recording.name);
        parts.extend_from_within(..);
        assert_eq!(made(&parts), ordered, "{} doubled", recording.name);
        for round in 0..100 {
            if round == 50 {
                parts = stated(&recording);
            }
            random.shuffle(&mut parts);
            let name = &recording.name;
            assert_eq!(made(&parts), ordered, "{name} shuffled, seed {seed}");
        }
    }
}
