//! 3CX: call journaling by config/examples/3cx-template.xml, one post at the end of a call. There is no call id.

use crate::simulate::post::{Post, Told};
use crate::simulate::scenario::{Call, Scenario, Way};
use serde_json::json;

pub const SAYS: &[Scenario] = &[
    Scenario::Answered,
    Scenario::Missed,
    Scenario::OutAnswered,
    Scenario::OutUnanswered,
    Scenario::Anonymous,
];

pub fn write(call: &Call) -> Told {
    let (tale, parties) = (call.tale, &call.parties);
    let answered = tale.answered();
    let kind = match (tale.way, answered) {
        (Way::In, Some(_)) => "Inbound",
        (Way::In, None) => "Missed",
        (Way::Out | Way::Internal, Some(_)) => "Outbound",
        (Way::Out | Way::Internal, None) => "Notanswered",
    };
    let talk = answered.map_or(0, |answered| tale.end - answered);
    let journal = json!({
        "type": kind,
        "number": call.customer("anonymous"),
        "name": "",
        "agent": parties.agent,
        "duration": format!("{:02}:{:02}:{:02}", talk / 3600, talk / 60 % 60, talk % 60),
        "start": call.utc(0),
        "established": answered.map(|answered| call.utc(answered)).unwrap_or_default(),
        "end": call.utc(tale.end),
        "recording": "",
        "summary": "",
    });
    Told::nameless(vec![Post::json(&journal, call.at(tale.end))])
}
