//! Calls and texts as JSON for people's tools: `decode --json`, `explain --json` and the recordings' `expected.json`.

use crate::terms::call::{Call, Leg};
use crate::terms::party::Contact;
use crate::terms::text::{Fate, Text};
use jiff::{SignedDuration, Timestamp, Unit};
use serde_json::{Value, json};

/// A call as `expected.json` has it: the phone system's own id, UTC with milliseconds, seconds as numbers.
pub fn call_json(call: &Call) -> Value {
    let transfers = call.transfers.iter();
    let transfers =
        transfers.map(|hop| json!({ "kind": hop.kind.word(), "from": hop.from, "to": hop.to }));
    json!({
        "key": call.key.id,
        "type": call.call_type.words(),
        "reason": call.reason.map(super::super::terms::call::Reason::words),
        "direction": call.direction.word(),
        "other_party": call.other.number().map(ToString::to_string),
        "other_party_raw": call.other.raw,
        "other_party_name": call.other.name,
        "connected_number": call.connected.as_ref().map(ToString::to_string),
        "first_agent": call.first_agent.as_ref().map(ToString::to_string),
        "agent": call.agent.as_ref().map(ToString::to_string),
        "queue": call.queue,
        "started": utc(call.started),
        "answered": call.answered.map(utc),
        "ended": utc(call.ended),
        "wait_seconds": seconds(call.wait),
        "talk_seconds": seconds(call.talk),
        "transfers": transfers.collect::<Vec<_>>(),
        "voicemail": call.voicemail,
        "recording_announced": call.recording_announced,
        "transcript": call.transcript,
        "summary": call.summary,
        "doubts": call.doubts,
    })
}

/// A text as `expected.json` has it; `status` only where the phone system told what became of it.
pub fn text_json(text: &Text) -> Value {
    let mut picture = json!({
        "direction": text.direction.word(),
        "from": address(&text.from),
        "to": address(&text.to),
        "body": text.body,
        "message_id": text.key.id,
        "at": utc(text.at),
        "media": text.media,
    });
    if let (Some(report), Some(fields)) = (&text.report, picture.as_object_mut()) {
        let fate = match report.fate {
            Fate::Delivered => "delivered",
            Fate::Failed => "failed",
        };
        fields.insert("status".to_owned(), json!(fate));
        fields.insert("error".to_owned(), json!(report.why));
    }
    picture
}

/// The number in E.164, else what was sent.
pub fn address(contact: &Contact) -> String {
    contact
        .number()
        .map_or_else(|| contact.raw.clone(), ToString::to_string)
}

fn utc(time: Timestamp) -> String {
    // Rounding fails at the ends of the calendar alone, where milliseconds are cut instead.
    let time = time.round(Unit::Millisecond).unwrap_or(time);
    time.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}

pub fn seconds(duration: SignedDuration) -> f64 {
    (duration.as_secs_f64() * 1000.0).round() / 1000.0
}

/// The legs in the order they started, for a timeline.
pub fn legs_json(call: &Call) -> Value {
    let leg = |leg: &Leg| {
        json!({
            "leg": leg.id,
            "party": leg.party,
            "started": leg.started.map(utc),
            "answered": leg.answered.map(utc),
            "ended": leg.ended.map(utc),
            "cause": leg.cause,
        })
    };
    Value::Array(call.legs.iter().map(leg).collect())
}
