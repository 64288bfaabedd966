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
    let first = Party {
        id: "p1",
        direction: if tale.way == Way::In {
            "Inbound"
        } else {
            "Outbound"
        },
        extension: &parties.agent,
    };
    let called = Party {
        id: "p2",
        direction: "Inbound",
        extension: &parties.colleague,
    };
    let mut posts = Vec::new();
    let mut tell = |party: &Party<'_>, second: i64, code: &str, reason: Option<&str>| {
        posts.push(event(call, party, second, code, reason, false));
    };
    tell(&first, 0, "Setup", None);
    tell(&first, tale.ring.from, "Proceeding", None);
    let rung = if tale.way == Way::Internal {
        &called
    } else {
        &first
    };
    if tale.way == Way::Internal {
        tell(rung, tale.ring.from, "Proceeding", None);
    }
    if tale.ring.answered() {
        tell(rung, tale.ring.until, "Answered", None);
    } else if tale.mailbox {
        tell(rung, tale.ring.until, "VoiceMail", None);
    }
    if let Some(then) = tale.then {
        tell(&called, then.from, "Proceeding", None);
        tell(&first, then.from, "Gone", Some("BlindTransfer"));
        tell(&called, then.until, "Answered", None);
    } else {
        tell(&first, tale.end, "Disconnected", reason(tale.ring));
    }
    if tale.then.is_some() || tale.way == Way::Internal {
        tell(&called, tale.end, "Disconnected", None);
    }
    if tale.recorded {
        posts.push(event(call, &first, tale.end, "Disconnected", None, true).late());
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

fn event(
    call: &Call,
    party: &Party<'_>,
    second: i64,
    code: &str,
    reason: Option<&str>,
    recorded: bool,
) -> Post {
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
    notification(
        "/restapi/v1.0/account/1/telephony/sessions",
        call,
        second,
        &body,
    )
}

fn notification(event: &str, call: &Call, second: i64, body: &Value) -> Post {
    let post = json!({"event": event, "timestamp": call.utc(second), "subscriptionId": "sub", "ownerId": "1", "body": body});
    Post::json(&post, call.at(second))
}

fn text(call: &Call) -> Told {
    let (id, parties) = (call.number().to_string(), &call.parties);
    let body = json!({"id": id, "to": [{"phoneNumber": parties.ours}], "from": {"phoneNumber": parties.customer}, "type": "SMS",
        "creationTime": call.utc(0), "direction": "Inbound", "subject": parties.words, "messageStatus": "Received"});
    let event = format!(
        "/restapi/v1.0/account/1/extension/{}/message-store/instant?type=SMS",
        parties.agent
    );
    let post = notification(&event, call, 0, &body);
    Told::new(id, vec![post])
}
