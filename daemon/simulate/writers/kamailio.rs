//! Kamailio: the event routes of docs/phone-systems.md, each a JSON object.

use super::merge;
use crate::simulate::post::{Post, Told};
use crate::simulate::scenario::{Call, Fate, Scenario, Way};
use serde_json::json;

pub const SAYS: &[Scenario] = &[
    Scenario::Answered,
    Scenario::Missed,
    Scenario::Busy,
    Scenario::GaveUp,
    Scenario::OutAnswered,
    Scenario::OutBusy,
    Scenario::OutUnanswered,
    Scenario::Internal,
    Scenario::Anonymous,
];

pub fn write(call: &Call) -> Told {
    let id = format!("{}@sip.example.org", call.hex());
    let (tale, parties) = (call.tale, &call.parties);
    let (from, to) = match tale.way {
        Way::In => (call.customer("anonymous"), parties.ours.as_str()),
        Way::Out => (parties.agent.as_str(), parties.customer.as_str()),
        Way::Internal => (parties.agent.as_str(), parties.colleague.as_str()),
    };
    let time = |second: i64| format!("{}.000000", call.epoch(second));
    let post = |event: &str, second: i64, more: &[(&str, &str)]| {
        let mut object =
            json!({"event": event, "callid": id, "from": from, "to": to, "time": time(second)});
        for (name, value) in more {
            merge(&mut object, &json!({*name: value}));
        }
        if tale.way == Way::Out {
            merge(&mut object, &json!({"shown": parties.ours}));
        }
        Post::json(&object, call.at(second))
    };
    let setup = time(0);
    let posts = match tale.answered() {
        Some(answered) => {
            let start = call.epoch(answered).to_string();
            let ended = [("start_ts", start.as_str()), ("setup", setup.as_str())];
            vec![
                post("start", answered, &[("setup", &setup)]),
                post("end", tale.end, &ended),
            ]
        }
        None => {
            let code = match tale.ring.fate {
                Fate::Busy => "486",
                Fate::GaveUp => "487",
                Fate::NoAnswer | Fate::Answered => "408",
            };
            vec![
                post("failed", tale.end, &[("code", code)]),
                post("dlg_failed", tale.end, &[("setup", &setup)]),
            ]
        }
    };
    Told::new(id, posts)
}
