//! Dialpad: one event for each state of each leg; times are milliseconds since 1970. The token around it is `proof.rs`'s.

use super::merge;
use crate::simulate::post::{Post, Told, ends};
use crate::simulate::scenario::{Call, Fate, Ring, Scenario, Way};
use serde_json::{Value, json};

pub const SAYS: &[Scenario] = &[
    Scenario::Answered,
    Scenario::Missed,
    Scenario::Queue,
    Scenario::Voicemail,
    Scenario::OutAnswered,
    Scenario::OutUnanswered,
    Scenario::Anonymous,
    Scenario::Recording,
    Scenario::TextIn,
    Scenario::TextOut,
];

/// A leg: its id's last digit, the one through which it came, who it is to, and when.
struct Leg {
    number: u64,
    entry: Option<u64>,
    target: Value,
    from: i64,
    connected: Option<i64>,
}

pub fn write(call: &Call) -> Told {
    let id = call.number() * 10;
    let (tale, parties) = (call.tale, &call.parties);
    if call.scenario.is_text() {
        return Told::new(id.to_string(), vec![text(call)]);
    }
    let mut posts = Vec::new();
    let first = Leg {
        number: id,
        entry: None,
        target: if tale.queue {
            json!({"id": 31, "type": "department", "name": "Support"})
        } else {
            person(&parties.agent)
        },
        from: 0,
        connected: tale
            .answered()
            .or(tale.mailbox.then_some(tale.ring.until))
            .filter(|_| !tale.queue),
    };
    posts.push(event(
        call,
        &first,
        if tale.way == Way::In {
            "ringing"
        } else {
            "calling"
        },
        0,
        None,
    ));
    if tale.queue {
        for (index, (who, ring)) in (1..).zip(call.rings()) {
            posts.extend(operator(call, id, index, who, ring));
        }
    } else if let Some(second) = first.connected {
        let state = if tale.mailbox {
            "voicemail"
        } else {
            "connected"
        };
        posts.push(event(call, &first, state, second, None));
    }
    let missed = tale.answered().is_none() && !tale.mailbox && tale.way == Way::In;
    if missed && tale.ring.fate != Fate::GaveUp {
        posts.push(event(call, &first, "missed", tale.end, Some(tale.end)));
    }
    posts.push(event(call, &first, "hangup", tale.end, Some(tale.end)));
    if tale.recorded {
        posts.push(event(call, &first, "recording", tale.end + 30, Some(tale.end)).late());
    }
    Told::new(id.to_string(), posts)
}

/// An agent's leg of a department's call.
fn operator(call: &Call, entry: u64, index: u64, who: &str, ring: Ring) -> Vec<Post> {
    let connected = ring.answered().then_some(ring.until);
    let leg = Leg {
        number: entry + index,
        entry: Some(entry),
        target: person(who),
        from: ring.from,
        connected,
    };
    let end = if ring.answered() {
        call.tale.end
    } else {
        ring.until
    };
    let mut posts = vec![event(call, &leg, "ringing", ring.from, None)];
    posts.extend(connected.map(|second| event(call, &leg, "connected", second, None)));
    posts.push(event(call, &leg, "hangup", end, Some(end)));
    posts
}

fn person(who: &str) -> Value {
    json!({"id": 21, "type": "user", "name": who, "email": super::email(who)})
}

fn event(call: &Call, leg: &Leg, state: &str, second: i64, ended: Option<i64>) -> Post {
    let milliseconds = |second: i64| call.at(second).as_millisecond();
    let known = |at: Option<i64>| at.filter(|at| *at <= second).map(milliseconds);
    let incoming = call.tale.way == Way::In;
    let mut event = json!({
        "call_id": leg.number, "master_call_id": null, "entry_point_call_id": leg.entry, "operator_call_id": null,
        "state": state, "direction": if incoming { "inbound" } else { "outbound" },
        "date_started": milliseconds(leg.from), "date_rang": milliseconds(leg.from),
        "date_connected": known(leg.connected), "date_ended": ended.map(milliseconds),
        "external_number": call.customer("anonymous"), "internal_number": call.parties.ours,
        "contact": {"phone": call.customer("anonymous")}, "target": leg.target, "event_timestamp": milliseconds(second),
    });
    if state == "recording" {
        let link = format!("https://dialpad.example.org/r/{}", leg.number);
        merge(&mut event, &json!({"recording_details": [{"url": link}]}));
    }
    if call.tale.mailbox && ended.is_some() {
        let link = format!("https://dialpad.example.org/v/{}", leg.number);
        merge(&mut event, &json!({"voicemail_link": link}));
    }
    Post::json(&event, call.at(second))
}

fn text(call: &Call) -> Post {
    let (from, to) = ends(call);
    let direction = if call.tale.way == Way::In {
        "inbound"
    } else {
        "outbound"
    };
    let event = json!({"id": call.number() * 10, "created_date": call.start.as_millisecond(), "direction": direction,
        "from_number": from, "to_number": [to], "text": call.parties.words, "mms": false, "message_status": "success"});
    Post::json(&event, call.start)
}
