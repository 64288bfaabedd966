//! SMS gateways: one text a post, as docs/phone-systems.md sets each of them up.

use crate::simulate::post::{Post, Told};
use crate::simulate::scenario::{Call, Scenario};

pub const SAYS: &[Scenario] = &[Scenario::TextIn];

/// Gammu SMSD's variables, by the script in docs/phone-systems.md.
pub fn gammu(call: &Call) -> Told {
    let id = format!("IN{}_00.txt", call.hex());
    let parties = &call.parties;
    let fields = [
        ("id", id.as_str()),
        ("to", &parties.ours),
        ("PHONE_ID", "desk"),
        ("SMS_MESSAGES", "1"),
        ("SMS_1_NUMBER", &parties.customer),
        ("SMS_1_TEXT", &parties.words),
        ("DECODED_PARTS", "0"),
    ];
    Told::nameless(vec![Post::form(&fields, call.start)])
}

pub fn jasmin(call: &Call) -> Told {
    let (id, parties) = (call.uuid(0), &call.parties);
    let fields = [
        ("id", id.as_str()),
        ("from", &parties.customer),
        ("to", &parties.ours),
        ("origin-connector", "smpp1"),
        ("coding", "0"),
        ("content", &parties.words),
    ];
    let post = Post::form(&fields, call.start);
    Told::new(id, vec![post])
}

pub fn kannel(call: &Call) -> Told {
    let (id, parties) = (call.uuid(0), &call.parties);
    let time = call.epoch(0).to_string();
    let fields = [
        ("id", id.as_str()),
        ("time", &time),
        ("charset", "UTF-8"),
        ("coding", "0"),
        ("udh", ""),
        ("dlr", "-1"),
        ("from", &parties.customer),
        ("to", &parties.ours),
        ("text", &parties.words),
    ];
    let post = Post::get(&fields, call.start);
    Told::new(id, vec![post])
}

pub fn playsms(call: &Call) -> Told {
    let (id, parties) = (call.hex(), &call.parties);
    let fields = [
        ("id", id.as_str()),
        ("from", &parties.customer),
        ("to", &parties.ours),
        ("message", &parties.words),
    ];
    let post = Post::get(&fields, call.start);
    Told::new(id, vec![post])
}
