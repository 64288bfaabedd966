//! Zammad's generic CTI interface: `newCall`, `answer`, `hangup`. There are no times in it.

use crate::simulate::post::{Post, Told};
use crate::simulate::scenario::{Call, Fate, Scenario, Way};

pub const SAYS: &[Scenario] = &[
    Scenario::Answered,
    Scenario::Missed,
    Scenario::Busy,
    Scenario::GaveUp,
    Scenario::Queue,
    Scenario::Voicemail,
    Scenario::OutAnswered,
    Scenario::OutBusy,
    Scenario::OutUnanswered,
    Scenario::Anonymous,
];

pub fn write(call: &Call) -> Told {
    let (id, tale, parties) = (call.hex(), call.tale, &call.parties);
    let (from, to, direction) = match tale.way {
        Way::In => (call.customer("anonymous"), parties.ours.as_str(), "in"),
        Way::Out | Way::Internal => (parties.ours.as_str(), parties.customer.as_str(), "out"),
    };
    let post = |event: &str, second: i64, more: &[(&str, &str)]| {
        let mut fields = vec![
            ("event", event),
            ("callId", id.as_str()),
            ("direction", direction),
            ("from", from),
            ("to", to),
        ];
        if tale.queue {
            fields.push(("queue", "support"));
        }
        fields.extend_from_slice(more);
        Post::form(&fields, call.at(second))
    };
    let mut posts = vec![post("newCall", 0, &[])];
    for (who, ring) in call.rings().into_iter().filter(|(_, ring)| ring.answered()) {
        let who = if tale.way == Way::In {
            who
        } else {
            parties.agent.as_str()
        };
        posts.push(post("answer", ring.until, &[("answeringNumber", who)]));
    }
    if tale.mailbox {
        posts.push(post("answer", tale.ring.until, &[("user", "voicemail")]));
    }
    let cause = match tale.ring.fate {
        _ if tale.answered().is_some() || tale.mailbox => "normalClearing",
        Fate::Busy => "busy",
        Fate::GaveUp => "cancel",
        Fate::NoAnswer | Fate::Answered => "noAnswer",
    };
    posts.push(post("hangup", tale.end, &[("cause", cause)]));
    Told::new(id, posts)
}
