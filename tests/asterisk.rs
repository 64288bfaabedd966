//! Asterisk's recordings through `tieline decode`'s core: every source of every scenario gives the call that was really made
//! (expected.json, worked out by hand), as far as that source can know it, in any order and over any restart.

mod bodies;
mod pbx;
mod scenarios;

use crate::support::seed;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::PathBuf;
use tieline::calls::assemble::{self, Done, State};
use tieline::calls::decode::{self, LegFacts, PhoneEvent, RawEvent, Site};
use tieline::cli::decode::{Decoded, Source, decode_recording};
use tieline::cli::recording::{Post, posts};
use tieline::cli::show::decoded_json;
use tieline::settings::types::Dialect;
use tieline::terms::call::Call;
use tieline::terms::ids::CallKey;
use tieline::terms::number::NumberPlan;
use tieline::terms::party::{ExtensionRange, Extensions};

/// A source of events with the file that a scenario has of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Ami,
    Cel,
    Ari,
    Hook,
    /// Master.csv.
    Module,
    /// FreePBX's columns.
    FreePbx,
}

const KINDS: [Kind; 6] = [
    Kind::Ami,
    Kind::Cel,
    Kind::Ari,
    Kind::Hook,
    Kind::Module,
    Kind::FreePbx,
];

impl Kind {
    fn file(self) -> &'static str {
        match self {
            Self::Ami => "ami-events.txt",
            Self::Cel => "cel-custom.csv",
            Self::Ari => "ari-events.jsonl",
            Self::Hook => "http-received.txt",
            Self::Module => "cdr-csv-module.csv",
            Self::FreePbx => "cdr-freepbx-columns.csv",
        }
    }

    fn source(self) -> Source {
        match self {
            Self::Ami => Source::Ami,
            Self::Cel => Source::Cel,
            Self::Ari => Source::Ari,
            Self::Hook => Source::Http,
            Self::Module | Self::FreePbx => Source::Cdr,
        }
    }
}

impl Kind {
    /// Its name in `by_source`.
    fn source_word(self) -> &'static str {
        match self {
            Self::Ami => "ami",
            Self::Cel => "cel",
            Self::Ari => "ari",
            Self::Hook => "http",
            Self::Module | Self::FreePbx => "cdr",
        }
    }
}

struct Recording {
    scenario: String,
    kind: Kind,
    bytes: Vec<u8>,
    expected: Value,
}

impl Recording {
    fn is(&self, number: &str) -> bool {
        self.scenario.starts_with(number)
    }

    fn name(&self) -> String {
        format!("{}/{}", self.scenario, self.kind.file())
    }
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures/calls/asterisk")
}

fn recordings() -> Vec<Recording> {
    let mut scenarios: Vec<PathBuf> = std::fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    scenarios.sort();
    let mut all = Vec::new();
    for path in scenarios {
        let expected = std::fs::read(path.join("expected.json")).unwrap();
        let expected: Value = serde_json::from_slice(&expected).unwrap();
        for kind in KINDS {
            if let Ok(bytes) = std::fs::read(path.join(kind.file())) {
                all.push(Recording {
                    scenario: path.file_name().unwrap().to_str().unwrap().to_owned(),
                    kind,
                    bytes,
                    expected: expected.clone(),
                });
            }
        }
    }
    assert!(all.len() > 100, "only {} recordings", all.len());
    all
}

fn site(ranges: &[(&str, &str)], area: Option<&str>) -> Site {
    let range = |(first, last): &(&str, &str)| ExtensionRange {
        first: (*first).to_owned(),
        last: (*last).to_owned(),
    };
    Site {
        pbx: "hq".to_owned(),
        plan: NumberPlan::new("DE", area).unwrap(),
        extensions: Extensions(ranges.iter().map(range).collect()),
        time_zone: TimeZone::get("Europe/Berlin").unwrap(),
    }
}

fn lab() -> Site {
    site(&[("100", "199")], Some("211"))
}

fn read(kind: Kind, bytes: &[u8]) -> Decoded {
    decode_recording(Dialect::Asterisk, kind.source(), bytes, &lab()).unwrap()
}

/// The recording's events, each as a recording of its own.
fn events(kind: Kind, bytes: &[u8]) -> Vec<Vec<u8>> {
    let text = std::str::from_utf8(bytes).unwrap();
    match kind {
        Kind::Ami => text
            .split("\r\n\r\n")
            .filter(|event| event.starts_with("Event:"))
            .map(|event| format!("{event}\r\n\r\n").into_bytes())
            .collect(),
        Kind::Hook => posts(bytes)
            .iter()
            .map(|post| {
                let head = format!(
                    "### {}\nPOST /x HTTP/1.1\nContent-Length: {}\n\n",
                    post.received.as_millisecond() as f64 / 1000.0,
                    post.body.len()
                );
                [head.as_bytes(), &post.body, b"\n"].concat()
            })
            .collect(),
        Kind::Cel | Kind::Ari | Kind::Module | Kind::FreePbx => text
            .lines()
            .map(|line| format!("{line}\n").into_bytes())
            .collect(),
    }
}

/// What this source says instead, where it can't know the truth (`notes` of expected.json); null is unknown.
fn said_instead(recording: &Recording) -> BTreeMap<&'static str, Value> {
    let mut other = BTreeMap::new();
    let mut say = |fields: &[(&'static str, Value)]| other.extend(fields.iter().cloned());
    let is = |numbers: &[&str]| numbers.iter().any(|number| recording.is(number));
    let records = matches!(recording.kind, Kind::Module | Kind::FreePbx);
    let expected = &recording.expected["calls"][0];
    if recording.kind == Kind::Cel {
        say(&[("recording_announced", json!(false))]);
    }
    if recording.kind == Kind::Module {
        say(&[("recording_announced", json!(false))]);
        if expected["direction"] == "in" && !is(&["25"]) {
            say(&[("connected_number", Value::Null)]);
        }
    }
    if records {
        if is(&["02", "04", "13", "21", "25"]) {
            say(&[("reason", Value::Null)]);
        }
        if is(&["07"]) {
            // With two seconds of the agent's ringing.
            say(&[
                ("answered", json!("2026-11-20T12:09:03Z")),
                ("wait_seconds", json!(6.0)),
                ("talk_seconds", json!(8.0)),
            ]);
        }
        if is(&["15", "17"]) {
            let hop = json!([{"kind": "unknown", "from": "101", "to": "102"}]);
            say(&[("transfers", hop)]);
        }
        if is(&["21"]) {
            say(&[
                ("type", json!("incoming missed")),
                ("voicemail", json!(false)),
            ]);
            // Two roundings down.
            say(&[("ended", json!("2026-11-20T12:14:31.5Z"))]);
        }
        if is(&["11"]) {
            say(&[("ended", json!("2026-11-20T12:20:34.5Z"))]);
        }
    }
    if records || recording.kind == Kind::Hook {
        if is(&["19"]) {
            // The menu answered.
            say(&[
                ("answered", json!("2026-11-20T12:13:39.5Z")),
                ("wait_seconds", json!(0.5)),
                ("talk_seconds", json!(12.0)),
            ]);
        }
        if is(&["22"]) {
            // Our own phone answered.
            say(&[
                ("answered", json!("2026-11-20T12:21:49.5Z")),
                ("wait_seconds", json!(2.5)),
                ("talk_seconds", json!(12.0)),
            ]);
        }
    }
    if recording.kind == Kind::Hook {
        if is(&["07", "09"]) {
            let nobody = [("queue", Value::Null), ("agent", Value::Null)];
            say(&nobody);
            say(&[("first_agent", Value::Null)]);
        }
        if is(&["15"]) {
            say(&[("first_agent", json!("102")), ("talk_seconds", json!(18.0))]);
        }
        if is(&["17"]) {
            say(&[("agent", json!("101")), ("talk_seconds", json!(26.0))]);
        }
        if is(&["15", "17"]) {
            say(&[("transfers", json!([]))]);
        }
    }
    other
}

fn assert_near(what: &str, got: &Value, wanted: &Value, tolerance: f64) {
    let time = |value: &Value| {
        value
            .as_str()
            .and_then(|text| text.parse::<Timestamp>().ok())
    };
    let near = match (got, wanted) {
        (Value::Number(got), Value::Number(wanted)) => {
            (got.as_f64().unwrap() - wanted.as_f64().unwrap()).abs() <= tolerance
        }
        _ => match (time(got), time(wanted)) {
            (Some(got), Some(wanted)) => {
                got.duration_since(wanted).as_secs_f64().abs() <= tolerance
            }
            _ => got == wanted,
        },
    };
    assert!(near, "{what}: got {got}, expected {wanted}");
}

/// The calls that this source should tell: the true ones, with what it says instead in our own recordings (`by_source` of
/// expected.json: fields of the calls in their order, and whole calls that it can't know to be part of another).
fn wanted(recording: &Recording) -> Vec<Value> {
    let mut calls = recording.expected["calls"].as_array().unwrap().clone();
    let instead = &recording.expected["by_source"][recording.kind.source_word()];
    for (index, fields) in instead.as_array().into_iter().flatten().enumerate() {
        if index == calls.len() {
            calls.push(json!({}));
        }
        let call = calls[index].as_object_mut().unwrap();
        call.extend(fields.as_object().unwrap().clone());
    }
    calls
}

fn assert_expected(recording: &Recording, decoded: &Decoded) {
    let name = recording.name();
    // Seconds from ids and epochs; AMI, CEL and ARI have at least milliseconds, and tell of one thing within a few.
    let exact = matches!(recording.kind, Kind::Ami | Kind::Cel | Kind::Ari);
    let tolerance = recording.expected["tolerance_seconds"].as_f64().unwrap();
    let tolerance = if exact { 0.015 } else { tolerance };
    let instead = said_instead(recording);
    let actual = decoded_json(decoded);
    let wanted = wanted(recording);
    let calls = actual["calls"].as_array().unwrap();
    assert_eq!(calls.len(), wanted.len(), "{name}: calls in {actual:#}");
    for (call, wanted) in calls.iter().zip(&wanted) {
        for (field, truth) in wanted.as_object().unwrap() {
            let what = format!("{name}: {field}");
            let wanted = instead.get(field.as_str()).unwrap_or(truth);
            assert_near(&what, &call[field], wanted, tolerance);
        }
        assert_eq!(call["doubts"], json!([]), "{name}");
        assert_eq!(call["incomplete"], Value::Null, "{name}");
    }
    let wanted = recording.expected["texts"].as_array().unwrap();
    let texts = actual["texts"].as_array().unwrap();
    // AMI tells neither body nor sender.
    let wanted: &[Value] = if recording.kind == Kind::Ami {
        &[]
    } else {
        wanted
    };
    assert_eq!(texts.len(), wanted.len(), "{name}: texts");
    for (text, wanted) in texts.iter().zip(wanted) {
        for (field, wanted) in wanted.as_object().unwrap() {
            let unknown =
                field == "message_id" && text[field].as_str().unwrap().starts_with("sha256-");
            if !unknown {
                assert_eq!(&text[field], wanted, "{name}: {field}");
            }
        }
    }
}

/// The naive JSON hook of scenario 30 gives nothing; all else gives its call.
fn readable(recording: &Recording) -> bool {
    !(recording.is("30") && recording.kind == Kind::Hook)
}

#[test]
fn every_source_tells_what_it_can_know() {
    for recording in recordings().iter().filter(|recording| readable(recording)) {
        let decoded = read(recording.kind, &recording.bytes);
        assert_expected(recording, &decoded);
        let glued = recording.kind == Kind::Hook && (recording.is("15") || recording.is("17"));
        assert_eq!(
            decoded.undecoded.len(),
            usize::from(glued),
            "{}: {:?}",
            recording.name(),
            decoded.undecoded
        );
        // Without any configuration too.
        let bare = site(&[], None);
        let source = recording.kind.source();
        let bare = decode_recording(Dialect::Asterisk, source, &recording.bytes, &bare);
        assert_expected(recording, &bare.unwrap());
    }
}

#[test]
fn manager_events_of_the_classes_call_and_agent_suffice() {
    for mut recording in recordings() {
        // What a queue without agents says is among the dial plan's events.
        if recording.kind != Kind::Ami || recording.is("58") || recording.is("59") {
            continue;
        }
        let mut kept = events(recording.kind, &recording.bytes);
        kept.retain(|event| {
            let text = String::from_utf8_lossy(event);
            text.contains("Privilege: call,all") || text.contains("Privilege: agent,all")
        });
        recording.bytes = kept.concat();
        assert_expected(&recording, &read(Kind::Ami, &recording.bytes));
    }
}

/// The recording as another phone system would tell it, by changes to its text.
fn told_otherwise(recording: &Recording, change: impl Fn(&str) -> String) -> Recording {
    let text = std::str::from_utf8(&recording.bytes).unwrap();
    let expected = change(&recording.expected.to_string());
    Recording {
        scenario: recording.scenario.clone(),
        kind: recording.kind,
        bytes: change(text).into_bytes(),
        expected: serde_json::from_str(&expected).unwrap(),
    }
}

fn assert_told(recording: &Recording) {
    assert_expected(recording, &read(recording.kind, &recording.bytes));
}

#[test]
fn older_channels_and_no_system_name_change_nothing_but_the_key() {
    for recording in recordings().iter().filter(|recording| readable(recording)) {
        // A post's length is stated before it.
        if recording.kind != Kind::Hook {
            assert_told(&told_otherwise(recording, |text| {
                let text = text.replace("PJSIP/", "SIP/").replace("pbx-1", "1");
                text.replace("SystemName: pbx\r\n", "")
            }));
        }
    }
}

#[test]
fn manager_events_through_a_filter_suffice() {
    let without = |recording: &Recording, unwanted: &dyn Fn(&str) -> bool| {
        let mut kept = events(recording.kind, &recording.bytes);
        kept.retain(|event| !unwanted(std::str::from_utf8(event).unwrap()));
        Recording {
            scenario: recording.scenario.clone(),
            kind: recording.kind,
            bytes: kept.concat(),
            expected: recording.expected.clone(),
        }
    };
    let all = recordings();
    for recording in all.iter().filter(|recording| recording.kind == Kind::Ami) {
        // QUEUESTATUS alone says why a queue that was entered by nobody, or lost its agents, let go of the caller.
        if !recording.is("58") {
            assert_told(&without(recording, &|event| {
                event.starts_with("Event: VarSet")
            }));
        }
        assert_told(&without(recording, &|event| {
            event.starts_with("Event: Cdr")
        }));
        // Records without a linked id, as they are without cdr_manager.conf's mappings.
        let unlinked = |text: &str| {
            let parts = text.split("\r\n\r\n").map(|event| {
                if event.starts_with("Event: Cdr") {
                    event.replace("\r\nLinkedID: ", "\r\nOther: ")
                } else {
                    event.to_owned()
                }
            });
            parts.collect::<Vec<_>>().join("\r\n\r\n")
        };
        assert_told(&Recording {
            scenario: recording.scenario.clone(),
            kind: Kind::Ami,
            bytes: unlinked(std::str::from_utf8(&recording.bytes).unwrap()).into_bytes(),
            expected: recording.expected.clone(),
        });
    }
}

/// What each event states, in the recording's order; events that state nothing are left out.
fn stated(recording: &Recording) -> Vec<Vec<LegFacts>> {
    let mut all = Vec::new();
    for event in events(recording.kind, &recording.bytes) {
        let post = match recording.kind {
            Kind::Hook => posts(&event).remove(0),
            _ => raw_post(event),
        };
        let raw = RawEvent {
            content_type: None,
            query: None,
            body: &post.body,
            received: post.received,
        };
        let facts = decode::decode(Dialect::Asterisk, &raw, &lab()).unwrap_or_default();
        let legs = facts.into_iter().filter_map(|fact| match fact {
            PhoneEvent::Leg(leg) => Some(*leg),
            PhoneEvent::Text(_) => None,
        });
        all.push(legs.collect::<Vec<_>>());
    }
    all.retain(|legs| !legs.is_empty());
    all
}

fn raw_post(body: Vec<u8>) -> Post {
    Post {
        query: None,
        content_type: None,
        body,
        received: Timestamp::UNIX_EPOCH,
    }
}

/// The calls that these make.
fn calls(parts: &[Vec<LegFacts>]) -> Vec<Call> {
    let facts = parts.iter().flatten().cloned().collect();
    let gathered = assemble::gather(facts);
    let call =
        |(key, facts): (&CallKey, &Vec<LegFacts>)| assemble::close(key, facts, Timestamp::MAX);
    gathered.iter().filter_map(call).collect()
}

#[test]
fn any_order_and_repeats_give_the_same_calls() {
    let seed = seed();
    let mut random = fastrand::Rng::with_seed(seed);
    for recording in recordings() {
        let mut parts = stated(&recording);
        let ordered = calls(&parts);
        assert_eq!(
            ordered,
            read(recording.kind, &recording.bytes)
                .calls
                .into_iter()
                .map(|found| found.call)
                .collect::<Vec<_>>()
        );
        parts.extend_from_within(..);
        assert_eq!(calls(&parts), ordered, "{} doubled", recording.name());
        for round in 0..100 {
            if round == 50 {
                parts = stated(&recording);
            }
            random.shuffle(&mut parts);
            let shuffled = calls(&parts);
            assert_eq!(
                shuffled,
                ordered,
                "{} shuffled, seed {seed}",
                recording.name()
            );
        }
    }
}

#[test]
fn a_restart_at_any_event_changes_nothing() {
    // What is kept over a restart is the events: the call is made of them again, whole or as far as they came.
    for recording in recordings() {
        let parts = stated(&recording);
        let ordered = calls(&parts);
        for kept in 0..parts.len() {
            let (before, after) = parts.split_at(kept);
            let half = calls(before);
            // ARI tells of a phone's channel before it tells whose call that is; a phone's second call is one of its
            // own until both are joined.
            let joined_later = ["42", "48", "50", "66"].map(|number| recording.is(number));
            assert!(
                recording.kind == Kind::Ari
                    || joined_later.contains(&true)
                    || half.len() <= ordered.len(),
                "{} at {kept}",
                recording.name()
            );
            assert_eq!(
                calls(&[after, before].concat()),
                ordered,
                "{} at {kept}",
                recording.name()
            );
        }
    }
}

#[test]
fn a_call_is_open_until_its_last_leg_ended() {
    for recording in recordings() {
        if recording.kind != Kind::Ami || recording.is("27") {
            continue;
        }
        let parts = stated(&recording);
        // A phone's second call is one of its own until both are joined.
        let first = &parts[0][0].key;
        if parts.iter().flatten().any(|leg| leg.key != *first) {
            continue;
        }
        let hung_up = |legs: &Vec<LegFacts>| legs.iter().any(|leg| leg.live && leg.ended.is_some());
        let last = parts.iter().rposition(hung_up).unwrap();
        for upto in 1..=parts.len() {
            let gathered = assemble::gather(parts[..upto].concat());
            assert_eq!(gathered.len(), 1, "{} at {upto}", recording.name());
            let (key, facts) = gathered.first_key_value().unwrap();
            let state = assemble::assemble(key, facts, Timestamp::MAX).state;
            let over = state == State::Complete(Done::Settle);
            assert_eq!(over, upto > last, "{} at {upto}", recording.name());
        }
    }
}

/// All that came of one scenario, as one phone system would send it that posts from every source.
#[test]
fn sources_together_are_one_call_and_the_exact_ones_decide() {
    let mut scenarios: BTreeMap<String, Vec<Recording>> = BTreeMap::new();
    for recording in recordings() {
        let known = scenarios.entry(recording.scenario.clone()).or_default();
        known.push(recording);
    }
    for (scenario, recordings) in scenarios {
        let mut together = Vec::new();
        // ARI knows no linked ids: it is a source of its own.
        for recording in recordings
            .iter()
            .filter(|recording| recording.kind != Kind::Ari)
        {
            for event in events(recording.kind, &recording.bytes) {
                let body = match recording.kind {
                    Kind::Hook => posts(&event)[0].body.clone(),
                    _ => event,
                };
                let head = format!(
                    "### 1.0\nPOST /x HTTP/1.1\nContent-Length: {}\n\n",
                    body.len()
                );
                together.push([head.as_bytes(), &body, b"\n"].concat());
            }
        }
        let decoded = read(Kind::Hook, &together.concat());
        let recording = Recording {
            scenario,
            kind: Kind::Ami,
            bytes: Vec::new(),
            expected: recordings[0].expected.clone(),
        };
        if recording.is("27") {
            assert_eq!((decoded.calls.len(), decoded.texts.len()), (0, 2));
        } else {
            assert_expected(&recording, &decoded);
        }
    }
}
