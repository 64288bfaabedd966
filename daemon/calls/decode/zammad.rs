//! Zammad's generic CTI interface, as many phone systems and their add-ons post it: `newCall`, `answer` and `hangup` with
//! one `callId`, as a form or JSON.
//!
//! The posts carry no times: an event happened when it came. Who answered is `answeringNumber`, else `user`.

use super::facts::{LegFacts, Outcome};
use super::post::Post;
use super::{NotUnderstood, PhoneEvent, RawEvent, Site};
use crate::terms::call::{Direction, Reason};

/// What stands for a mailbox where a person's name or number would.
const MAILBOX: &str = "voicemail";

/// See [`super::decode`].
pub fn decode(raw: &RawEvent<'_>, site: &Site) -> Result<Vec<PhoneEvent>, NotUnderstood> {
    let posts = Post::all(
        raw,
        site,
        NotUnderstood::Foreign("the generic CTI interface"),
    )?;
    let legs = posts.iter().map(event);
    legs.map(|leg| leg.map(|leg| PhoneEvent::Leg(Box::new(leg))))
        .collect()
}

fn event(post: &Post<'_>) -> Result<LegFacts, NotUnderstood> {
    let kind = post
        .get(&["event"])
        .ok_or(NotUnderstood::Missing("event"))?
        .to_ascii_lowercase();
    let mut root = post.root(post.id(&["callid", "call_id"])?);
    root.live = true;
    root.direction = post.direction(&["direction"]);
    root.caller = post.contact(&["from"], &[]);
    root.dialled = post.contact(&["to"], &[]);
    root.party.clone_from(&root.caller);
    if root.direction == Some(Direction::Out) {
        root.shown = root
            .caller
            .clone()
            .filter(|caller| caller.number().is_some());
    }
    root.rare.queue = post.get(&["queue"]).map(str::to_owned);
    let who = ["answeringnumber", "user", "user[]"];
    let mailbox = who.iter().any(|name| {
        let value = post.fields.text(name).to_ascii_lowercase();
        value == MAILBOX
    });
    match kind.as_str() {
        "newcall" => root.started = Some(post.received),
        "answer" if mailbox => {
            root.voicemail = true;
            root.answered = Some(post.received);
        }
        "answer" => {
            root.agent = post
                .extension(&["answeringnumber"])
                .or_else(|| post.extension(&["user", "user[]"]));
            root.answered = Some(post.received);
            root.bridged.insert((post.received, None));
        }
        "hangup" => {
            root.ended = Some(post.received);
            root.cause = post.get(&["cause"]).map(str::to_owned);
            root.reason = post.get(&["cause"]).and_then(reason);
            root.outcomes.insert((post.received, Outcome::Unknown));
        }
        _ => return Err(NotUnderstood::Foreign("the generic CTI interface")),
    }
    Ok(root)
}

/// The causes that sipgate's interface, from which this one comes, has for a call that nobody took.
fn reason(cause: &str) -> Option<Reason> {
    match cause.to_ascii_lowercase().as_str() {
        "busy" => Some(Reason::Busy),
        "cancel" => Some(Reason::CallerGaveUp),
        "noanswer" => Some(Reason::NoAnswer),
        "notfound" => Some(Reason::NoSuchNumber),
        "rejected" => Some(Reason::Declined),
        "congestion" => Some(Reason::Failed),
        // `normalClearing`, `forwarded`, and what nobody has named yet.
        _ => None,
    }
}
