//! Yeastar: event push of P-series (30012 call end, 30011 call status) and the older `NewCdr` of S-series and Cloud.
//!
//! A record (30012) is about two parties of a call; a queue gives several with one `call_id`. ANSWERED with a phone, or with
//! a number outside, joins the two; a queue or a menu picking up joins nobody, which shows if `extensions` lists the phones.
//! The members of 30011 tell the same call as it goes. NO ANSWER can't tell a time-out from a caller who gave up.

use super::facts::{Glimpse, Join, LegFacts, Line, Outcome, Role};
use super::values::{self, Values, branch, contact, extension, object};
use super::{NotUnderstood, PhoneEvent, RawEvent, Site};
use crate::terms::call::Direction;
use crate::terms::party::{Contact, Party};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

/// Events of P-series: 30005 and up, others than ours are of extensions, trunks, agents and organisation.
const OTHER_EVENTS: std::ops::Range<i64> = 30_005..30_100;

/// A record starts with its call or after it, give or take the clock's rounding; the same local time an hour before is not it.
const SAME_START: SignedDuration = SignedDuration::from_mins(2);

/// See [`super::decode`].
pub fn decode(raw: &RawEvent<'_>, site: &Site) -> Result<Vec<PhoneEvent>, NotUnderstood> {
    let object = object(raw, "Yeastar")?;
    let post = Values(&object);
    let inner = message(post)?;
    let body = inner.as_ref().map_or(post, Values);
    let legs = match post.integer("type") {
        Some(30_011) => live(body, raw.received, site)?,
        Some(30_012) => record(body, raw.received, site)?,
        Some(other) if OTHER_EVENTS.contains(&other) => Vec::new(),
        Some(_) => return Err(NotUnderstood::UnknownKind("Yeastar")),
        None => match post.first(&["event", "action"]).as_deref() {
            Some("NewCdr") => record(body, raw.received, site)?,
            Some(_) => return Err(NotUnderstood::UnknownKind("Yeastar")),
            None => return Err(NotUnderstood::NotOf("Yeastar")),
        },
    };
    let event = |leg| PhoneEvent::Leg(Box::new(leg));
    Ok(legs.into_iter().map(event).collect())
}

/// `msg` is JSON inside a JSON text; an object is taken as well.
fn message(post: Values<'_>) -> Result<Option<Value>, NotUnderstood> {
    let wrong = NotUnderstood::WrongType {
        field: "msg",
        must: "an object, as JSON in a text",
    };
    match post.at("msg") {
        None => Ok(None),
        Some(Value::String(text)) => {
            super::body::check_json(text).map_err(|_| wrong)?;
            let inner: Value = serde_json::from_str(text).map_err(|_| wrong)?;
            Some(inner).filter(Value::is_object).map(Some).ok_or(wrong)
        }
        Some(inner @ Value::Object(_)) => Ok(Some(inner.clone())),
        Some(_) => Err(wrong),
    }
}

/// A record: P-series' names first, then those of older ones, whose misspellings are real.
fn record(
    row: Values<'_>,
    received: Timestamp,
    site: &Site,
) -> Result<Vec<LegFacts>, NotUnderstood> {
    let id = row.first(&["call_id", "callid"]);
    let mut root = id
        .as_deref()
        .and_then(|id| values::root(id, site))
        .ok_or(NotUnderstood::Missing("call_id"))?;
    let seconds = |names: [&str; 2]| names.iter().find_map(|name| row.seconds(name));
    let length = seconds(["call_duration", "callduraction"]).unwrap_or_default();
    let talk = seconds(["talk_duration", "talkduraction"]).unwrap_or_default();
    let start = start(row, id.as_deref(), site)?;
    let start = start.unwrap_or_else(|| received.checked_sub(length).unwrap_or(received));
    let end = start.checked_add(length).unwrap_or(start);
    root.born = Some(start);
    root.until = Some(end);
    root.rare.recording = row.text("recording");
    root.recording_announced = root.rare.recording.is_some();
    root.rare.note = row.text("call_note");
    let from = party(row, &["call_from", "callfrom"], site);
    let to = party(row, &["call_to", "callto"], site);
    let status = row.word("status");
    root.cause = Some(status.to_ascii_uppercase()).filter(|status| !status.is_empty());
    root.voicemail = status == "voicemail";
    // Of an agent who missed, the record may come while the next one's phone rings: only what took the call ends it.
    root.ended = Some(end).filter(|_| root.voicemail || status.starts_with("answer"));
    root.outcomes
        .extend(outcome(&status).map(|end_of| (end, end_of)));
    let direction = direction(row, from.as_ref(), to.as_ref());
    root.direction = Some(direction);
    match direction {
        Direction::In => {
            root.line = Some(Line::Trunk);
            let did = row.first(&["did_number", "didnumber"]);
            root.dialled = did.map(|did| contact(&did, None, site));
        }
        Direction::Out | Direction::Internal => {
            root.line = Some(Line::Phone);
            root.dialled.clone_from(&to);
        }
    }
    root.party.clone_from(&from);
    root.caller.clone_from(&from);
    let mut legs = Vec::new();
    if let Some(mut caller) = phone_of(&root, from.as_ref(), direction) {
        caller.ended = Some(end);
        legs.push(caller);
    }
    if let Some(to) = to.filter(|to| is_somebody(to, direction, row)) {
        let line = match extension(&to) {
            Some(_) => Line::Phone,
            None => Line::Trunk,
        };
        let mut leg = branch(&root, line, to);
        leg.born = Some(start);
        leg.ended = Some(end);
        // Also spelled ANSWERD; NO ANSWER begins otherwise.
        if status.starts_with("answer") {
            let from = end.checked_sub(talk).unwrap_or(start).max(start);
            let (with, until) = (leg.leg.clone(), end);
            root.rare.joins.insert(Join { with, from, until });
        }
        legs.push(leg);
    }
    legs.push(root);
    Ok(legs)
}

/// Local time. The id's whole part is the second in which the call was made, in UTC: it tells the two apart when an hour
/// comes twice.
fn start(
    row: Values<'_>,
    id: Option<&str>,
    site: &Site,
) -> Result<Option<Timestamp>, NotUnderstood> {
    let Some(text) = row.first(&["time_start", "timestart"]) else {
        return Ok(None);
    };
    let made = id
        .and_then(born)
        .and_then(|made| made.checked_sub(SAME_START).ok());
    let start = values::time(&text, made, site);
    start.map(Some).ok_or(NotUnderstood::BadTime("time_start"))
}

/// `1651057476.362`
fn born(id: &str) -> Option<Timestamp> {
    let (second, counter) = id
        .rsplit_once('-')
        .map_or(id, |(_, id)| id)
        .split_once('.')?;
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if second.len() != 10 || !digits(second) || !digits(counter) {
        return None;
    }
    Timestamp::from_second(second.parse().ok()?).ok()
}

fn direction(row: Values<'_>, from: Option<&Contact>, to: Option<&Contact>) -> Direction {
    let kind = row.word("type");
    if kind.contains("inbound") {
        return Direction::In;
    }
    if kind.contains("outbound") {
        return Direction::Out;
    }
    let ours = |party: Option<&Contact>| party.and_then(extension).is_some();
    match (kind.contains("internal"), ours(from), ours(to)) {
        (true, _, _) | (false, true, true) => Direction::Internal,
        (false, true, false) => Direction::Out,
        (false, false, _) => Direction::In,
    }
}

/// Whether a person may be there: one of our phones, or somebody on a line out of the house.
fn is_somebody(to: &Contact, direction: Direction, row: Values<'_>) -> bool {
    if extension(to).is_some() || direction == Direction::Out {
        return true;
    }
    let trunk = row.first(&[
        "dst_trunk_name",
        "dsttrcunkname",
        "dsttrunkname",
        "desttrunkname",
    ]);
    trunk.is_some() && matches!(to.party, Party::Number(_) | Party::Short(_))
}

fn outcome(status: &str) -> Option<Outcome> {
    match status {
        "busy" => Some(Outcome::Busy),
        "failed" | "congestion" => Some(Outcome::Failed),
        _ if status.starts_with("no") => Some(Outcome::Unknown),
        _ => None,
    }
}

/// The caller's own phone.
fn phone_of(root: &LegFacts, from: Option<&Contact>, direction: Direction) -> Option<LegFacts> {
    let from = from.filter(|from| extension(from).is_some() && direction != Direction::In)?;
    Some(branch(root, Line::Phone, from.clone()))
}

/// A number, or a name with the number behind it: `Max<1001>`.
fn party(row: Values<'_>, names: &[&str], site: &Site) -> Option<Contact> {
    let text = row.first(names)?;
    let named = text
        .strip_suffix('>')
        .and_then(|text| text.rsplit_once('<'));
    Some(match named {
        Some((name, number)) => contact(number, Some(name.trim_matches(['"', ' '])), site),
        None => contact(&text, None, site),
    })
}

/// Who is in the call now. The post has no time of its own: it is of the moment in which it came.
fn live(body: Values<'_>, at: Timestamp, site: &Site) -> Result<Vec<LegFacts>, NotUnderstood> {
    let id = body.text("call_id");
    let mut root = id
        .as_deref()
        .and_then(|id| values::root(id, site))
        .ok_or(NotUnderstood::Missing("call_id"))?;
    root.born = id.as_deref().and_then(born).or(Some(at));
    let mut legs = Vec::new();
    for member in body.list("members") {
        if member.has("inbound") {
            inbound(&mut root, member, at, site);
        }
        legs.extend(outbound(&root, member, at, site));
        legs.extend(phone(&mut root, member, at, site));
    }
    legs.push(root);
    Ok(legs)
}

/// Somebody outside who called us: the call's first leg. A record of the call ends it too, should the BYE be lost.
fn inbound(root: &mut LegFacts, member: Values<'_>, at: Timestamp, site: &Site) {
    root.line = Some(Line::Trunk);
    root.direction = Some(Direction::In);
    root.live = true;
    let seen = |path| {
        let contact = party(member, &[path], site)?;
        Some(Glimpse { at, contact })
    };
    root.caller_seen = seen("inbound.from");
    let number = |seen: &Glimpse| seen.contact.number().is_some();
    root.dialled_seen = seen("inbound.to").filter(number);
    if member.word("inbound.member_status") == "bye" {
        root.ended = Some(at);
    }
}

/// The line to somebody outside whom we call.
fn outbound(root: &LegFacts, member: Values<'_>, at: Timestamp, site: &Site) -> Option<LegFacts> {
    let to = party(member, &["outbound.to"], site)?;
    let mut leg = branch(root, Line::Trunk, to);
    state(&mut leg, &member.word("outbound.member_status"), at);
    Some(leg)
}

/// One of our phones. ALERT and ANSWERED are of one that calls, RING and ANSWER of one that is called.
fn phone(root: &mut LegFacts, member: Values<'_>, at: Timestamp, site: &Site) -> Option<LegFacts> {
    let number = member.text("extension.number")?;
    let party = contact(&number, None, site);
    let status = member.word("extension.member_status");
    if matches!(status.as_str(), "alert" | "answered") {
        root.line = Some(Line::Phone);
        root.caller_seen = Some(Glimpse {
            at,
            contact: party.clone(),
        });
    }
    let mut leg = branch(root, Line::Phone, party);
    if status == "alert" {
        leg.live = true;
        leg.born = Some(at);
    } else {
        state(&mut leg, &status, at);
    }
    Some(leg)
}

/// One that only rings is not waited for: whether each such one gets its BYE isn't documented.
fn state(leg: &mut LegFacts, status: &str, at: Timestamp) {
    match status {
        "answer" => {
            leg.live = true;
            leg.bridged.insert((at, None));
        }
        "answered" | "hold" => leg.live = true,
        "bye" => leg.ended = Some(at),
        _ => leg.born = Some(at),
    }
    leg.role = Some(Role::Branch);
}
