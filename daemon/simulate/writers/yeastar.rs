//! Yeastar P-series: a record (30012) for each two parties, at the end of theirs; local times. The id begins with the
//! second in which the call began.

use crate::simulate::post::{Post, Told};
use crate::simulate::scenario::{Call, Fate, Ring, Scenario, Way};
use serde_json::json;

pub const SAYS: &[Scenario] = &[
    Scenario::Answered,
    Scenario::Missed,
    Scenario::Busy,
    Scenario::Queue,
    Scenario::Transfer,
    Scenario::Voicemail,
    Scenario::OutAnswered,
    Scenario::OutBusy,
    Scenario::OutUnanswered,
    Scenario::Internal,
    Scenario::Anonymous,
];

/// What stands where a value is none.
const NONE: &str = " ";

pub fn write(call: &Call) -> Told {
    let (tale, parties) = (call.tale, &call.parties);
    let id = format!("{}.{}", call.epoch(0), call.number());
    let (from, kind) = match tale.way {
        Way::In => (call.customer("anonymous"), "Inbound"),
        Way::Out => (parties.agent.as_str(), "Outbound"),
        Way::Internal => (parties.agent.as_str(), "Internal"),
    };
    let trunk = |way: Way| if tale.way == way { "telco" } else { NONE };
    let did = parties.ours.trim_start_matches('+');
    let record = |to: &str, ring: Ring, end: i64, status: &str| {
        let talk = if ring.answered() { end - ring.until } else { 0 };
        let message = json!({
            "call_id": id, "time_start": call.local(ring.from), "call_from": from, "call_to": to,
            "call_duration": end - ring.from, "talk_duration": talk,
            "src_trunk_name": trunk(Way::In), "dst_trunk_name": trunk(Way::Out),
            "status": status, "type": kind, "recording": NONE,
            "did_number": if tale.way == Way::In { did } else { NONE },
            "uid": format!("{}{}", call.hex(), ring.from),
        });
        let event = json!({"type": 30_012, "sn": "3631A2124000", "msg": message.to_string()});
        Post::json(&event, call.at(end))
    };
    let mut posts = Vec::new();
    for (to, ring) in call.rings() {
        // Who hands a call on has its part of it until then.
        let first = ring == tale.ring;
        let handed_on = tale.handed_on().filter(|_| first);
        let (status, end) = match ring.fate {
            Fate::Answered => ("ANSWERED", handed_on.unwrap_or(tale.end)),
            Fate::Busy => ("BUSY", ring.until),
            Fate::NoAnswer | Fate::GaveUp if tale.mailbox => ("VOICEMAIL", tale.end),
            Fate::NoAnswer | Fate::GaveUp => ("NO ANSWER", ring.until),
        };
        posts.push(record(to, ring, end, status));
    }
    Told::new(id, posts)
}
