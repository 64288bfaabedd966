//! Our own dialect: the call as it goes, and at its end the whole of it.

use super::merge;
use crate::simulate::post::{Post, Told, ends};
use crate::simulate::scenario::{Call, Fate, Scenario, Way};
use serde_json::{Value, json};

pub const SAYS: &[Scenario] = &Scenario::ALL;

pub fn write(call: &Call) -> Told {
    let id = call.hex();
    if call.scenario.is_text() {
        let (from, to) = ends(call);
        let direction = way(call);
        let event = json!({"event": "text", "id": id, "direction": direction, "from": from, "to": to, "at": call.utc(0),
            "body": call.parties.words, "media": []});
        return Told::new(id, vec![Post::json(&event, call.start)]);
    }
    let mut posts = vec![live(call, "call.started", 0, &json!({}))];
    if call.tale.way != Way::Out {
        for (who, ring) in call.rings() {
            posts.push(live(
                call,
                "call.ringing",
                ring.from,
                &json!({"extension": who}),
            ));
            if ring.answered() {
                posts.push(live(
                    call,
                    "call.answered",
                    ring.until,
                    &json!({"extension": who}),
                ));
            }
        }
    }
    let mut whole = whole(call);
    posts.push(Post::json(&whole, call.at(call.tale.end)));
    if call.tale.recorded {
        merge(
            &mut whole,
            &json!({"recording": format!("https://pbx.example.org/recordings/{id}")}),
        );
        posts.push(Post::json(&whole, call.at(call.tale.end + 30)).late());
    }
    Told::new(id, posts)
}

fn way(call: &Call) -> &'static str {
    match call.tale.way {
        Way::In => "in",
        Way::Out => "out",
        Way::Internal => "internal",
    }
}

/// The call's id and parties.
fn base(call: &Call, event: &str) -> Value {
    let parties = &call.parties;
    let (from, to) = match call.tale.way {
        Way::In => (call.customer("anonymous"), parties.ours.as_str()),
        Way::Out => (parties.agent.as_str(), parties.customer.as_str()),
        Way::Internal => (parties.agent.as_str(), parties.colleague.as_str()),
    };
    let mut base =
        json!({"event": event, "id": call.hex(), "direction": way(call), "from": from, "to": to});
    if call.tale.way == Way::Out {
        merge(&mut base, &json!({"shown": parties.ours}));
    }
    base
}

fn live(call: &Call, event: &str, second: i64, more: &Value) -> Post {
    let mut all = base(call, event);
    merge(&mut all, &json!({"at": call.utc(second)}));
    merge(&mut all, more);
    Post::json(&all, call.at(second))
}

fn whole(call: &Call) -> Value {
    let (tale, parties) = (call.tale, &call.parties);
    let mut all = base(call, "call.ended");
    merge(
        &mut all,
        &json!({"started": call.utc(0), "ended": call.utc(tale.end)}),
    );
    let took = call.rings().into_iter().rfind(|(_, ring)| ring.answered());
    match (tale.answered(), took) {
        (Some(answered), Some((who, _))) => {
            let agent = if tale.way == Way::In {
                who
            } else {
                parties.agent.as_str()
            };
            merge(
                &mut all,
                &json!({"answered": call.utc(answered), "extension": agent}),
            );
        }
        _ if tale.mailbox => merge(&mut all, &json!({"voicemail": true})),
        _ => {
            let reason = match tale.ring.fate {
                Fate::Busy => "busy",
                Fate::GaveUp => "caller gave up",
                Fate::NoAnswer | Fate::Answered => "no answer",
            };
            merge(&mut all, &json!({"reason": reason}));
        }
    }
    if tale.way == Way::Out {
        merge(&mut all, &json!({"extension": parties.agent}));
    }
    if tale.queue {
        merge(&mut all, &json!({"queue": "support"}));
    }
    if let Some(second) = tale.handed_on() {
        let transfer = json!({"at": call.utc(second), "kind": "blind", "from": parties.agent, "to": parties.colleague});
        merge(&mut all, &json!({"transfers": [transfer]}));
    }
    all
}
