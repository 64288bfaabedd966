//! CloudTalk: posts of Workflow Automations with the fields of docs/phone-systems.md.

use super::merge;
use crate::simulate::post::{Post, Told, ends};
use crate::simulate::scenario::{Call, Scenario, Way};
use serde_json::{Value, json};

pub const SAYS: &[Scenario] = &[
    Scenario::Answered,
    Scenario::Missed,
    Scenario::Voicemail,
    Scenario::OutAnswered,
    Scenario::OutUnanswered,
    Scenario::Internal,
    Scenario::Anonymous,
    Scenario::Recording,
    Scenario::TextIn,
    Scenario::TextOut,
];

pub fn write(call: &Call) -> Told {
    let (id, tale) = (call.uuid(0), call.tale);
    if call.scenario.is_text() {
        let (sender, recipient) = ends(call);
        let event = if tale.way == Way::In {
            "message.received"
        } else {
            "message.sent"
        };
        let post = json!({"event": event, "message_id": id, "sender": sender, "recipient": recipient,
            "body": call.parties.words, "sent_at": call.utc(0)});
        return Told::new(id, vec![Post::json(&post, call.start)]);
    }
    let mut posts = vec![event(
        call,
        "call.started",
        0,
        &json!({"started_at": call.utc(0)}),
    )];
    let mut whole = json!({
        "started_at": call.utc(0), "ended_at": call.utc(tale.end), "is_voicemail": tale.mailbox,
        "status": if tale.answered().is_some() { "answered" } else { "missed" },
        "talking_time": tale.answered().map_or(0, |answered| tale.end - answered),
        "waiting_time": tale.answered().unwrap_or(tale.ring.until),
    });
    if let Some(answered) = tale.answered() {
        let at = json!(call.utc(answered));
        posts.push(event(
            call,
            "call.answered",
            answered,
            &json!({"answered_at": at}),
        ));
        merge(&mut whole, &json!({"answered_at": at}));
    }
    posts.push(event(call, "call.ended", tale.end, &whole));
    if tale.recorded {
        let link = json!({"recording_url": format!("https://my.example.org/r/{id}")});
        posts.push(event(call, "recording.uploaded", tale.end + 30, &link).late());
    }
    Told::new(id, posts)
}

fn event(call: &Call, name: &str, second: i64, more: &Value) -> Post {
    let parties = &call.parties;
    let (direction, external) = match call.tale.way {
        Way::In => ("incoming", call.customer("anonymous")),
        Way::Out => ("outgoing", parties.customer.as_str()),
        Way::Internal => ("internal", parties.colleague.as_str()),
    };
    let mut post = json!({"event": name, "call_uuid": call.uuid(0), "direction": direction, "external_number": external,
        "internal_number": parties.ours, "agent_email": super::email(&parties.agent)});
    merge(&mut post, more);
    Post::json(&post, call.at(second))
}
