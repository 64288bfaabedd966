//! Grandstream UCM: call detail records as its interface gives them, one row for each phone that rang; local times.

use crate::simulate::post::{Post, Told};
use crate::simulate::scenario::{Call, Fate, Ring, Scenario, Way};
use serde_json::json;

pub const SAYS: &[Scenario] = &[
    Scenario::Answered,
    Scenario::Missed,
    Scenario::Busy,
    Scenario::Queue,
    Scenario::Voicemail,
    Scenario::OutAnswered,
    Scenario::OutBusy,
    Scenario::OutUnanswered,
    Scenario::Internal,
    Scenario::Anonymous,
];

pub fn write(call: &Call) -> Told {
    let (tale, parties) = (call.tale, &call.parties);
    let session = format!("{}-{}", call.epoch(0), call.number());
    let (src, userfield) = match tale.way {
        Way::In => (call.customer("anonymous"), "Inbound"),
        Way::Out => (parties.agent.as_str(), "Outbound"),
        Way::Internal => (parties.agent.as_str(), "Internal"),
    };
    let row = |index: usize, who: &str, ring: Ring, lastapp: &str| {
        let end = if ring.answered() {
            tale.end
        } else {
            ring.until
        };
        let disposition = match ring.fate {
            Fate::Answered => "ANSWERED",
            Fate::Busy => "BUSY",
            Fate::NoAnswer | Fate::GaveUp => "NO ANSWER",
        };
        let (dst, phone) = match tale.way {
            Way::Out => (parties.customer.as_str(), ""),
            Way::In | Way::Internal => (who, who),
        };
        let trunk = if phone.is_empty() { "trunk_1" } else { phone };
        let channel = if lastapp == "VoiceMail" {
            String::new()
        } else {
            format!("PJSIP/{trunk}-{:08x}", call.number() + index as u64)
        };
        let row = json!({
            "AcctId": (call.number() * 10 + index as u64).to_string(),
            "src": src, "dst": dst, "dstchannel": channel, "dstchannel_ext": phone, "lastapp": lastapp,
            "start": call.local(ring.from), "end": call.local(end),
            "answer": if ring.answered() { call.local(ring.until) } else { String::new() },
            "duration": (end - ring.from).to_string(),
            "billsec": if ring.answered() { (end - ring.until).to_string() } else { "0".to_owned() },
            "disposition": disposition, "uniqueid": format!("{}.{}", call.epoch(0), call.number()),
            "userfield": userfield, "session": session,
            "action_type": if tale.queue { "QUEUE[6500]" } else { "DIAL" },
        });
        Post::json(&row, call.at(end))
    };
    let rings = call.rings().into_iter().enumerate();
    let mut posts: Vec<Post> = rings
        .map(|(index, (who, ring))| {
            row(index, who, ring, if tale.queue { "Queue" } else { "Dial" })
        })
        .collect();
    if tale.mailbox {
        let taken = Ring {
            from: tale.ring.until,
            until: tale.ring.until,
            fate: Fate::Answered,
        };
        posts.push(row(2, &parties.agent, taken, "VoiceMail"));
    }
    Told::new(session, posts)
}
