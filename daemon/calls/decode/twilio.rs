//! Twilio: voice status callbacks, recording callbacks and messages, each a form post.
//!
//! A call is its parent leg (`CallSid` without `ParentCallSid`) and the legs that `<Dial>` made for it. The parent of an
//! incoming call is picked up by TwiML, not by a person: only a child that was answered tells that somebody talked. A
//! device of ours that calls out is an `inbound` parent whose `From` is `client:` or `sip:`.

use super::facts::{LegFacts, Line, Role};
use super::report::report;
use super::values::{Values, branch, call_key, contact, extension, is_whatsapp, login, object};
use super::{NotUnderstood, PhoneEvent, RawEvent, Site, vendor_id};
use crate::terms::call::{Direction, Reason};
use crate::terms::ids::Kind;
use crate::terms::party::{Contact, Party};
use crate::terms::text::Text;
use jiff::Timestamp;

/// What Twilio shows for a caller who hides: letters on a dial pad (ANONYMOUS, BLOCKED, RESTRICTED, …).
const HIDDEN: [&str; 5] = [
    "+266696687",
    "+86282452253",
    "+7378742833",
    "+2562533",
    "+8656696",
];

/// Most pictures of one message: Twilio takes ten.
const MEDIA_MAX: i64 = 10;

/// See [`super::decode`].
pub fn decode(raw: &RawEvent<'_>, site: &Site) -> Result<Vec<PhoneEvent>, NotUnderstood> {
    let object = object(raw, "Twilio")?;
    let post = Values(&object);
    if let Some(id) = post.first(&["MessageSid", "SmsSid", "SmsMessageSid"]) {
        let text = text(post, &id, raw, site)?;
        return Ok(text.into_iter().map(PhoneEvent::Text).collect());
    }
    let id = post.text("CallSid").and_then(|id| vendor_id(&id));
    let id = id.ok_or(NotUnderstood::Missing("CallSid"))?;
    let parent = post.text("ParentCallSid").and_then(|id| vendor_id(&id));
    let key = call_key(
        Kind::Call,
        parent.clone().unwrap_or_else(|| id.clone()),
        site,
    );
    let mut leg = LegFacts::new(key, id);
    if let Some(link) = post.text("RecordingUrl") {
        leg.recording_announced = true;
        leg.rare.recording = Some(link);
    }
    let status = post.word("CallStatus");
    // A recording's own callback names the call and nothing of its state.
    if status.is_empty() && leg.rare.recording.is_some() {
        return Ok(vec![PhoneEvent::Leg(Box::new(leg))]);
    }
    let at = post.time("Timestamp", site).unwrap_or(raw.received);
    let answered = timing(&mut leg, post, &status, at)?;
    let mut legs = Vec::new();
    if parent.is_some() {
        child(&mut leg, post, site);
        leg.bridged.extend(answered.map(|from| (from, leg.ended)));
    } else {
        legs.extend(root(&mut leg, post, answered, site));
    }
    legs.push(leg);
    let event = |leg| PhoneEvent::Leg(Box::new(leg));
    Ok(legs.into_iter().map(event).collect())
}

/// What the state says of the leg; when it was picked up, if it was.
fn timing(
    leg: &mut LegFacts,
    post: Values<'_>,
    status: &str,
    at: Timestamp,
) -> Result<Option<Timestamp>, NotUnderstood> {
    leg.live = true;
    leg.started = Some(at);
    match status {
        "queued" | "initiated" | "ringing" => return Ok(None),
        "in-progress" | "answered" => leg.answered = Some(at),
        "completed" => {
            leg.ended = Some(at);
            let talk = post.seconds("CallDuration").unwrap_or_default();
            let from = at.checked_sub(talk).unwrap_or(at);
            leg.answered = Some(from);
            // Often the only event of a leg.
            leg.started = Some(from);
        }
        "busy" | "failed" | "no-answer" | "canceled" => {
            leg.ended = Some(at);
            leg.reason = reason(post, status);
        }
        _ => return Err(NotUnderstood::UnknownKind("Twilio")),
    }
    leg.cause = leg.ended.map(|_| status.to_owned());
    Ok(leg.answered)
}

/// `failed` says more where the SIP answer is sent along (RFC 3261).
fn reason(post: Values<'_>, status: &str) -> Option<Reason> {
    match (status, post.integer("SipResponseCode")) {
        ("busy", _) => Some(Reason::Busy),
        ("no-answer", _) => Some(Reason::NoAnswer),
        ("canceled", _) => Some(Reason::CallerGaveUp),
        (_, Some(404 | 484 | 604)) => Some(Reason::NoSuchNumber),
        (_, Some(603)) => Some(Reason::Declined),
        _ => Some(Reason::Failed),
    }
}

/// The parent. Its end is the call's: Twilio ends what it dialled.
fn root(
    leg: &mut LegFacts,
    post: Values<'_>,
    answered: Option<Timestamp>,
    site: &Site,
) -> Option<LegFacts> {
    leg.role = Some(Role::Root);
    leg.over = leg.ended.is_some();
    let name = post.text("CallerName");
    let from = address(
        &post.text("From").unwrap_or_default(),
        name.as_deref(),
        site,
    );
    let to = post.text("To").map(|to| address(&to, None, site));
    if post.word("Direction").starts_with("outbound") {
        leg.line = Some(Line::Phone);
        leg.direction = Some(Direction::Out);
        leg.shown = Some(from).filter(|from| from.number().is_some());
        let to = to?;
        if extension(&to).is_some() {
            // A program called our phone first; whom it then dials is a child.
            leg.caller = Some(to.clone());
            leg.party = Some(to);
            return None;
        }
        leg.dialled = Some(to.clone());
        let mut line = branch(leg, Line::Trunk, to);
        // A machine isn't somebody; without detection it isn't told.
        let machine = post.word("AnsweredBy");
        let person = !machine.starts_with("machine") && machine != "fax";
        let from = answered.filter(|_| person);
        line.bridged.extend(from.map(|from| (from, leg.ended)));
        return Some(line);
    }
    let ours = extension(&from).is_some();
    leg.line = Some(if ours { Line::Phone } else { Line::Trunk });
    leg.direction = (!ours).then_some(Direction::In);
    leg.party = Some(from.clone());
    leg.caller = Some(from);
    leg.dialled = to;
    None
}

fn child(leg: &mut LegFacts, post: Values<'_>, site: &Site) {
    leg.role = Some(Role::Branch);
    let to = address(&post.text("To").unwrap_or_default(), None, site);
    let shown = address(&post.text("From").unwrap_or_default(), None, site);
    leg.line = Some(if extension(&to).is_some() {
        Line::Phone
    } else {
        Line::Trunk
    });
    leg.party = Some(to);
    leg.shown = Some(shown).filter(|shown| shown.number().is_some());
}

/// A number, or one of our devices: `client:alice`, `sip:alice@acme.sip.twilio.com`.
fn address(raw: &str, name: Option<&str>, site: &Site) -> Contact {
    let lower = raw.to_ascii_lowercase();
    let device = ["client:", "sip:", "sips:"]
        .iter()
        .find(|scheme| lower.starts_with(**scheme));
    if HIDDEN.contains(&raw) {
        return contact(raw, name, site).with(Party::Anonymous);
    }
    let Some(user) = device.and_then(|scheme| raw.get(scheme.len()..)) else {
        return contact(raw, name, site);
    };
    let user = user.split(['@', ';']).next().unwrap_or_default();
    let read = contact(user, name, site);
    match read.party {
        Party::Number(_) | Party::Extension(_) | Party::Anonymous => read,
        Party::Short(_) | Party::Invalid => login(user, name),
    }
}

/// A message, or a report on the fate of one, which carries no body; none for one on its way.
fn text(
    post: Values<'_>,
    id: &str,
    raw: &RawEvent<'_>,
    site: &Site,
) -> Result<Option<Text>, NotUnderstood> {
    let id = vendor_id(id).ok_or(NotUnderstood::Missing("MessageSid"))?;
    let from = post.text("From").unwrap_or_default();
    let to = post.text("To").unwrap_or_default();
    if is_whatsapp(&from) || is_whatsapp(&to) {
        return Err(NotUnderstood::WhatsApp);
    }
    let count = post.integer("NumMedia").unwrap_or(0).min(MEDIA_MAX);
    let media: Vec<String> = (0..count)
        .filter_map(|number| post.text(&format!("MediaUrl{number}")))
        .collect();
    let body = post.whole("Body");
    let body = body.filter(|body| !(body.trim().is_empty() && media.is_empty()));
    let status = post.first(&["MessageStatus", "SmsStatus"]);
    let status = status.map(|status| status.to_ascii_lowercase());
    let reported = status.is_some() && !post.has("Body");
    let code = post.text("ErrorCode").filter(|code| code != "0");
    let code = code.map(|code| format!("error {code}"));
    let report = status.as_deref().and_then(|status| report(status, code));
    let body = match body {
        Some(body) => body,
        None if !media.is_empty() => String::new(),
        None if reported && report.is_none() => return Ok(None),
        None if reported => String::new(),
        None => return Err(NotUnderstood::Missing("Body")),
    };
    let received = matches!(status.as_deref(), None | Some("received" | "receiving"));
    Ok(Some(Text {
        key: call_key(Kind::Text, id, site),
        direction: if received {
            Direction::In
        } else {
            Direction::Out
        },
        from: address(&from, None, site),
        to: address(&to, None, site),
        at: post.time("Timestamp", site).unwrap_or(raw.received),
        body,
        media,
        report,
    }))
}
