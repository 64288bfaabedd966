//! Recordings and examples through `tieline decode`'s core: what phone systems really sent gives the calls that were
//! really made (expected.json, worked out by hand), in every encoding, order and selection that suffices.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use proptest::prelude::*;
use serde_json::Value;
use tieline::calls::assemble::{self, Done, State};
use tieline::calls::decode::{self, LegFacts, Malformed, NotUnderstood, PhoneEvent, RawEvent, Site};
use tieline::cli::decode::{Decoded, Source, decode_recording, decoded_json};
use tieline::cli::recording::{Post, RECORDINGS, posts};
use tieline::settings::types::Dialect;
use tieline::terms::call::{CallType, Direction, Reason};
use tieline::terms::number::NumberPlan;
use tieline::terms::party::{ExtensionRange, Extensions, Party};

fn site(extensions: &[(&str, &str)]) -> Site {
    let range = |(first, last): &(&str, &str)| ExtensionRange { first: (*first).to_owned(), last: (*last).to_owned() };
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
    RawEvent { content_type: None, query: None, body, received: "2026-11-20T12:00:00Z".parse().unwrap() }
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
            out.extend_from_slice(format!("### 1795177476.129\nPOST /x HTTP/1.1\nContent-Length: {}\n\n", post.body.len()).as_bytes());
            out.extend_from_slice(&post.body);
            out.push(b'\n');
        }
    }
    out
}

fn fs(recording: &[u8], site: &Site) -> Decoded {
    decode_recording(Dialect::Freeswitch, Source::Http, recording, site).unwrap()
}

/// Every field of expected.json; times within its tolerance.
fn assert_expected(name: &str, decoded: &Decoded, expected: &[u8]) {
    let expected: Value = serde_json::from_slice(expected).unwrap();
    let tolerance = expected["tolerance_seconds"].as_f64().unwrap();
    let actual = decoded_json(decoded);
    assert_eq!(actual["texts"], expected["texts"], "{name}");
    let (calls, wanted) = (actual["calls"].as_array().unwrap(), expected["calls"].as_array().unwrap());
    assert_eq!(calls.len(), wanted.len(), "{name}: calls");
    for (call, wanted) in calls.iter().zip(wanted) {
        for (field, wanted) in wanted.as_object().unwrap() {
            let got = &call[field];
            let what = format!("{name}: {field}: got {got}, expected {wanted}");
            match (got, wanted) {
                (Value::Number(got), Value::Number(wanted)) => {
                    assert!((got.as_f64().unwrap() - wanted.as_f64().unwrap()).abs() <= tolerance, "{what}");
                }
                (Value::String(got), Value::String(wanted)) if matches!(field.as_str(), "started" | "answered" | "ended") => {
                    let (got, wanted): (Timestamp, Timestamp) = (got.parse().unwrap(), wanted.parse().unwrap());
                    assert!(got.duration_since(wanted).as_secs_f64().abs() <= tolerance, "{what}");
                }
                _ => assert_eq!(got, wanted, "{what}"),
            }
        }
        assert_eq!(call["doubts"], serde_json::json!([]), "{name}");
    }
    assert!(decoded.calls.iter().all(|call| call.open.is_none()), "{name}: open");
}

#[test]
fn every_recording_gives_the_calls_that_were_made() {
    for (name, recording, expected) in RECORDINGS {
        let decoded = fs(recording, &lab());
        assert_expected(name, &decoded, expected);
        let undecoded = if name.ends_with("default-encodings") { 2 } else { 0 };
        assert_eq!(decoded.undecoded.len(), undecoded, "{name}: {:?}", decoded.undecoded);
        // Without any configuration too.
        let mut bare = site(&[]);
        bare.plan = NumberPlan::new("DE", None).unwrap();
        assert_expected(name, &fs(recording, &bare), expected);
    }
}
