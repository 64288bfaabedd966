//! Manager events as a live listener sees them: which of them are worth a place in the journal, whose call each is of, and
//! what the listener itself says in the same words: when an event came, that a channel's end was missed.

use super::ami;
use super::channel::said;
use crate::calls::decode::LegFacts;
use crate::calls::decode::facts::Role;
use jiff::Timestamp;

/// What a listener needs to know of an event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Heading {
    /// `Hangup`
    pub name: String,
    /// The linked id that it is of; empty where it names none.
    pub call: String,
    /// Its channel's unique id; empty where it names none.
    pub channel: String,
    /// It says when it happened.
    pub timed: bool,
    /// It may state something of a call.
    pub tells: bool,
}

/// The keys that name a call, in the order in which they count.
const CALLS: [&str; 6] = [
    "linkedid",
    "destlinkedid",
    "origtransfererlinkedid",
    "transfererlinkedid",
    "parkeelinkedid",
    "targetlinkedid",
];

/// What one event (`Key: value` lines) is about; none if the text is none.
pub fn heading(event: &str) -> Option<Heading> {
    let fields = ami::read(event).ok()?.into_iter().next()?;
    let text = |names: &[&str]| {
        let known = names
            .iter()
            .find_map(|name| fields.get(name).and_then(said));
        known.unwrap_or_default().to_owned()
    };
    Some(Heading {
        name: text(&["event"]),
        call: text(&CALLS),
        channel: text(&["uniqueid"]),
        timed: fields.get("timestamp").is_some(),
        tells: ami::tells(&fields),
    })
}

/// The line to add to an event that doesn't say when it happened. Without it two events of the same words would be one.
pub fn received_line(at: Timestamp) -> String {
    format!("{}: {}\r\n", ami::RECEIVED, epoch(at))
}

/// The event that says that a leg's end was missed: it was there at `since`, and isn't any more.
pub fn gone(leg: &LegFacts, since: Timestamp, now: Timestamp) -> String {
    let linked = match leg.role {
        Some(Role::Root) => &leg.leg,
        Some(Role::Branch) | None => &leg.key.id,
    };
    let channel = leg.channel.as_deref().unwrap_or(&leg.leg);
    format!(
        "Event: {}\r\nTimestamp: {}\r\n{}: {}\r\nChannel: {channel}\r\nUniqueid: {}\r\nLinkedid: {linked}\r\n\r\n",
        ami::GONE,
        epoch(now),
        ami::SINCE,
        epoch(since),
        leg.leg,
    )
}

/// As Asterisk writes times, with all places.
fn epoch(at: Timestamp) -> String {
    format!("{}.{:09}", at.as_second(), at.subsec_nanosecond().max(0))
}
