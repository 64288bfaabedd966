//! Aircall: webhooks with all that is known of the call in `data`. `call.ended` comes some 30 s after the hang-up. The token
//! that proves a post is put into it by `proof.rs`.

use super::merge;
use crate::simulate::post::{Post, Told};
use crate::simulate::scenario::{Call, Fate, Scenario, Way};
use serde_json::{Value, json};

pub const SAYS: &[Scenario] = &[
    Scenario::Answered,
    Scenario::Missed,
    Scenario::GaveUp,
    Scenario::Transfer,
    Scenario::Voicemail,
    Scenario::OutAnswered,
    Scenario::OutUnanswered,
    Scenario::Anonymous,
    Scenario::Recording,
    Scenario::TextIn,
    Scenario::TextOut,
];

pub fn write(call: &Call) -> Told {
    let id = call.number().to_string();
    let (tale, parties) = (call.tale, &call.parties);
    if call.scenario.is_text() {
        return Told::new(id, vec![text(call)]);
    }
    let agent = person(&parties.agent);
    let idle = if tale.way == Way::Out {
        agent.clone()
    } else {
        Value::Null
    };
    let mut posts = vec![event(call, "created", 0, &idle, &json!({}))];
    if tale.way == Way::In {
        posts.push(event(
            call,
            "ringing_on_agent",
            tale.ring.from,
            &agent,
            &json!({}),
        ));
    }
    let mut last = if tale.answered().is_some() {
        agent.clone()
    } else {
        idle
    };
    if let Some(answered) = tale.answered() {
        posts.push(event(call, "answered", answered, &agent, &json!({})));
    }
    let mut transferred = json!({});
    if let Some(second) = tale.handed_on() {
        let colleague = person(&parties.colleague);
        transferred = json!({"transferred_by": agent, "transferred_to": colleague});
        posts.push(event(call, "transferred", second, &colleague, &transferred));
        last = colleague;
    }
    posts.push(event(call, "hungup", tale.end, &last, &transferred));
    if tale.mailbox {
        let link = format!("https://assets.example.org/voicemail/{id}");
        posts.push(event(
            call,
            "voicemail_left",
            tale.end + 5,
            &last,
            &json!({"voicemail": link}),
        ));
    }
    posts.push(event(call, "ended", tale.end + 30, &last, &transferred));
    if tale.recorded {
        let link = format!("https://assets.example.org/recording/{id}");
        let late = event(
            call,
            "comm_assets_generated",
            tale.end + 60,
            &last,
            &json!({"recording": link}),
        );
        posts.push(late.late());
    }
    Told::new(id, posts)
}

/// A user as Aircall shows one: known by e-mail.
fn person(who: &str) -> Value {
    json!({"id": 11, "name": who, "email": super::email(who)})
}

fn event(call: &Call, name: &str, second: i64, user: &Value, more: &Value) -> Post {
    let tale = call.tale;
    let known = |at: Option<i64>| at.filter(|at| *at <= second).map(|at| call.epoch(at));
    let ended = known(Some(tale.end));
    let missed = match tale.ring.fate {
        _ if ended.is_none() || tale.answered().is_some() || tale.way == Way::Out => None,
        Fate::GaveUp => Some("short_abandoned"),
        Fate::NoAnswer | Fate::Busy | Fate::Answered => Some("agents_did_not_answer"),
    };
    let mut data = json!({
        "id": call.number(), "direct_link": format!("https://api.example.org/v1/calls/{}", call.number()),
        "direction": if tale.way == Way::Out { "outbound" } else { "inbound" },
        "status": if ended.is_some() { "done" } else if known(tale.answered()).is_some() { "answered" } else { "initial" },
        "missed_call_reason": missed, "started_at": call.epoch(0), "answered_at": known(tale.answered()), "ended_at": ended,
        "raw_digits": call.customer("anonymous"), "recording": null, "voicemail": null,
        "number": {"id": 7, "name": "Support", "digits": call.parties.ours},
        "user": user, "contact": null, "assigned_to": null, "tags": [], "comments": [],
    });
    merge(&mut data, more);
    let name = format!("call.{name}");
    let post =
        json!({"resource": "call", "event": name, "timestamp": call.epoch(second), "data": data});
    Post::json(&post, call.at(second))
}

fn text(call: &Call) -> Post {
    let (event, status) = match call.tale.way {
        Way::In => ("message.received", "received"),
        Way::Out | Way::Internal => ("message.sent", "pending"),
    };
    let data = json!({"id": call.number().to_string(), "status": status, "body": call.parties.words, "external_number": call.parties.customer,
        "origin": "native", "number": {"id": 7, "name": "Support", "digits": call.parties.ours}, "created_at": call.utc(0)});
    let post =
        json!({"resource": "message", "event": event, "timestamp": call.epoch(0), "data": data});
    Post::json(&post, call.start)
}
