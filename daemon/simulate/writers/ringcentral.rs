//! RingCentral: notifications of a telephony session, each with the parties that changed, and of messages.

use super::merge;
use crate::simulate::post::{Post, Told};
use crate::simulate::scenario::{Call, Fate, Ring, Scenario, Way};
use serde_json::{Value, json};

pub const SAYS: &[Scenario] = &[
    Scenario::Answered,
    Scenario::Missed,
    Scenario::Busy,
    Scenario::Transfer,
    Scenario::Voicemail,
    Scenario::OutAnswered,
    Scenario::OutBusy,
    Scenario::OutUnanswered,
    Scenario::Internal,
    Scenario::Anonymous,
    Scenario::Recording,
    Scenario::TextIn,
];

/// One end of the session.
struct Party<'a> {
    id: &'static str,
    direction: &'static str,
    extension: &'a str,
}

pub fn write(call: &Call) -> Told {
    let (tale, parties) = (call.tale, &call.parties);
    if call.scenario.is_text() {
        return text(call);
    }
    let party = |id, direction, extension| Party {
        id,
        direction,
        extension,
    };
    let first = match tale.way {
        Way::In => party("p1", "Inbound", parties.agent.as_str()),
        Way::Out | Way::Internal => party("p1", "Outbound", parties.agent.as_str()),
    };
    let mut posts = vec![event(call, &first, 0, "Setup", None, false)];
    posts.push(event(call, &first, tale.ring.from, "Proceeding", None, false));
    let called = party("p2", "Inbound", parties.colleague.as_str());
    match tale.way {
        Way::Internal => {
            posts.push(event(call, &called, tale.ring.from, "Proceeding", None, false));
            posts.push(event(call, &called, tale.ring.until, "Answered", None, false));
        }
        Way::In | Way::Out => {
            let code = if tale.ring.answered() { Some("Answered") } else { tale.mailbox.then_some("VoiceMail") };
            posts.extend(code.map(|code| event(call, &first, tale.ring.until, code, None, false)));
        }
    }
    if let Some(then) = tale.then {
        posts.push(event(call, &called, then.from, "Proceeding", None, false));
        posts.push(event(call, &first, then.from, "Gone", Some("BlindTransfer"), false));
        posts.push(event(call, &called, then.until, "Answered", None, false));
        posts.push(event(call, &called, tale.end, "Disconnected", None, false));
    } else {
        posts.push(event(call, &first, tale.end, "Disconnected", reason(tale.ring), false));
    }
    if tale.way == Way::Internal {
        posts.push(event(call, &called, tale.end, "Disconnected", None, false));
    }
    if tale.recorded {
        let late = event(call, &first, tale.end, "Disconnected", None, true);
        posts.push(late.late());
    }
    Told::new(session(call), posts)
}

fn session(call: &Call) -> String {
    format!("s-{}", call.hex())
}

fn reason(ring: Ring) -> Option<&'static str> {
    match ring.fate {
        Fate::Answered => None,
        Fate::NoAnswer => Some("NoAnswer"),
        Fate::Busy => Some("TargetBusy"),
        Fate::GaveUp => Some("Cancelled"),
    }
}

fn event(call: &Call, party: &Party<'_>, second: i64, code: &str, reason: Option<&str>, recorded: bool) -> Post {
    let parties = &call.parties;
    let customer = json!({"phoneNumber": call.customer("anonymous")});
    let own = |who: &str| json!({"phoneNumber": parties.ours, "extensionId": who});
    let (from, to) = match call.tale.way {
        Way::In if party.id == "p1" => (customer, json!({"phoneNumber": parties.ours})),
        Way::In => (customer, own(party.extension)),
        Way::Out => (own(&parties.agent), customer),
        Way::Internal => (own(&parties.agent), own(&parties.colleague)),
    };
    let mut status = json!({"code": code, "rcc": false});
    if let Some(reason) = reason {
        merge(&mut status, &json!({"reason": reason}));
    }
    let recordings: &[Value] = &[json!({"id": call.number().to_string(), "active": false})];
    let body = json!({
        "sequence": second + 1, "telephonySessionId": session(call), "eventTime": call.utc(second), "origin": {"type": "Call"},
        "parties": [{"id": party.id, "accountId": "1", "extensionId": party.extension, "direction": party.direction,
            "from": from, "to": to, "status": status, "missedCall": false,
            "recordings": if recorded { recordings } else { &[] }}],
    });
    notification("/restapi/v1.0/account/1/telephony/sessions", call, second, &body)
}

fn notification(event: &str, call: &Call, second: i64, body: &Value) -> Post {
    let post = json!({"event": event, "timestamp": call.utc(second), "subscriptionId": "sub", "ownerId": "1", "body": body});
    Post::json(&post, call.at(second))
}

fn text(call: &Call) -> Told {
    let (id, parties) = (call.number().to_string(), &call.parties);
    let body = json!({"id": id, "to": [{"phoneNumber": parties.ours}], "from": {"phoneNumber": parties.customer}, "type": "SMS",
        "creationTime": call.utc(0), "direction": "Inbound", "subject": parties.words, "messageStatus": "Received"});
    let event = format!("/restapi/v1.0/account/1/extension/{}/message-store/instant?type=SMS", parties.agent);
    let post = notification(&event, call, 0, &body);
    Told::new(id, vec![post])
}
