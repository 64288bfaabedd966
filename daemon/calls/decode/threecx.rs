//! 3CX: call journaling by the CRM template in config/examples/3cx-template.xml, one post at the end of a call, all times
//! in UTC.
//!
//! There is no call id: the key is made of start, extension, other party and kind of call, and is weak.

use super::facts::{LegFacts, Outcome, Role};
use super::post::{Post, weak_id};
use super::{NotUnderstood, PhoneEvent, RawEvent, Site};
use crate::terms::call::Direction;
use crate::terms::ids::Kind;

/// See [`super::decode`].
pub fn decode(raw: &RawEvent<'_>, site: &Site) -> Result<Vec<PhoneEvent>, NotUnderstood> {
    let posts = Post::all(raw, site, NotUnderstood::Foreign("3CX"))?;
    let legs = posts.iter().map(journaled);
    legs.map(|leg| leg.map(|leg| PhoneEvent::Leg(Box::new(leg))))
        .collect()
}

fn journaled(post: &Post<'_>) -> Result<LegFacts, NotUnderstood> {
    let kind = post.get(&["type"]).ok_or(NotUnderstood::Missing("type"))?;
    let (direction, answered) = match kind.to_ascii_lowercase().as_str() {
        "inbound" => (Direction::In, true),
        "outbound" => (Direction::Out, true),
        "missed" => (Direction::In, false),
        "notanswered" => (Direction::Out, false),
        _ => return Err(NotUnderstood::Foreign("3CX")),
    };
    let started = post.time("start")?.ok_or(NotUnderstood::Missing("start"))?;
    let agent = post.extension(&["agent"]);
    let other = post.get(&["number"]).unwrap_or_default();
    // A missed call may be journaled once, or once for each phone that rang: one call in either case.
    let keyed = if kind.eq_ignore_ascii_case("missed") {
        None
    } else {
        agent.as_ref()
    };
    let id = weak_id(started, keyed, other, direction.word());
    let mut root = LegFacts::new(post.key(Kind::Call, id.clone()), id);
    root.role = Some(Role::Root);
    root.weak_key = true;
    root.direction = Some(direction);
    root.started = Some(started);
    let duration = post.duration("duration");
    let established = post.time("established")?;
    let after = |at: jiff::Timestamp| duration.and_then(|length| at.checked_add(length).ok());
    let ended = post.time("end")?;
    // Without an end: whether the duration counts the ringing isn't known, so the later of both.
    let ended = ended
        .or_else(|| after(established.unwrap_or(started)))
        .unwrap_or(post.received);
    root.ended = Some(ended.max(started));
    let contact = Some(post.read(other, said(post, "name")));
    let ours = agent.as_ref().map(|agent| post.read(&agent.0, None));
    match direction {
        Direction::In => root.caller = contact,
        Direction::Out | Direction::Internal => (root.caller, root.dialled) = (ours, contact),
    }
    root.party.clone_from(&root.caller);
    if answered {
        let before_end = || duration.and_then(|length| ended.checked_sub(length).ok());
        let at = established.or_else(before_end).unwrap_or(started);
        root.answered = Some(at.max(started));
        root.bridged.insert((at.max(started), None));
        root.agent = agent;
    } else {
        // Whether it rang out, was busy or was given up isn't told.
        root.outcomes.insert((ended, Outcome::Unknown));
    }
    root.rare.recording = said(post, "recording").map(str::to_owned);
    root.recording_announced = root.rare.recording.is_some();
    root.rare.summary = said(post, "summary").map(str::to_owned);
    root.rare.transcript = said(post, "transcription").map(str::to_owned);
    Ok(root)
}

/// A value, unless it is the variable itself: an older version that doesn't know it may leave it as it stands.
fn said<'a>(post: &'a Post<'_>, name: &str) -> Option<&'a str> {
    post.fields.get(name).filter(|value| !is_variable(value))
}

/// `[Summary]`; a transcript may begin and end with brackets too.
fn is_variable(value: &str) -> bool {
    let name = value
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    name.is_some_and(|name| name.chars().all(char::is_alphanumeric))
}
