//! Dialpad: call and SMS events, as JSON or as a signed token (JWT) whose payload is the event.
//!
//! One event for each state of each leg, in any order. The leg through which a call came in (`entry_point_call_id`, else
//! `master_call_id`) is the call; every event tells of it, for a subscription to single people never sees that leg's own.
//! No single id is on all legs of a call, so each event also names the other ids as legs of the call, which brings those
//! calls home (docs/assembly.md). A department, a call centre or a menu picking up isn't a person. Times are milliseconds
//! since 1970.

use super::body::{self, Payload};
use super::facts::{LegFacts, Line, Role};
use super::report::report;
use super::values::{self, Values, call_key, contact, extension, is_whatsapp, login};
use super::{Malformed, NotUnderstood, PhoneEvent, RawEvent, Site, vendor_id};
use crate::terms::call::Direction;
use crate::terms::ids::Kind;
use crate::terms::party::Contact;
use crate::terms::text::Text;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use serde_json::Value;

/// Ids of other legs of the same call.
const RELATED: [&str; 3] = ["entry_point_call_id", "master_call_id", "operator_call_id"];

/// States that a call has while it goes on, and that end it. All others come after it or beside it and tell of no times:
/// a recording, a transcript, a disposition.
const STATES: [&str; 10] = [
    "calling",
    "ringing",
    "preanswer",
    "queued",
    "connected",
    "hold",
    "parked",
    "voicemail",
    "missed",
    "hangup",
];

/// See [`super::admit`].
pub fn admit(raw: &RawEvent<'_>) -> Result<(), Malformed> {
    match payload(raw.body)? {
        Some(json) => body::check_json(&json),
        None => values::admit(raw),
    }
}

/// The JSON inside a token, whose signature was checked when it came; none if the body is no token (RFC 7515, compact).
fn payload(body: &[u8]) -> Result<Option<String>, Malformed> {
    let Ok(text) = std::str::from_utf8(body) else {
        return Ok(None);
    };
    let mut parts = text.trim().split('.');
    let (Some(head), Some(claims), Some(_), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Ok(None);
    };
    // `{"` in base64.
    if !head.starts_with("eyJ") {
        return Ok(None);
    }
    let bytes = URL_SAFE_NO_PAD
        .decode(claims)
        .map_err(|_| Malformed::Form)?;
    let json = String::from_utf8(bytes).map_err(|_| Malformed::Form)?;
    Ok(Some(json))
}

/// See [`super::decode`].
pub fn decode(raw: &RawEvent<'_>, site: &Site) -> Result<Vec<PhoneEvent>, NotUnderstood> {
    let json = match payload(raw.body)? {
        Some(json) => json,
        None => match body::sniff(raw.body)? {
            Payload::Json(json) => json.into_owned(),
            Payload::Xml(_) | Payload::Form(_) => return Err(NotUnderstood::NotOf("Dialpad")),
        },
    };
    body::check_json(&json)?;
    let object: Value = serde_json::from_str(&json).map_err(|fault| body::json_fault(&fault))?;
    if !object.is_object() {
        return Err(NotUnderstood::NotOf("Dialpad"));
    }
    let post = Values(&object);
    if post.has("call_id") || post.has("state") {
        let legs = call(post, raw, site)?;
        let event = |leg| PhoneEvent::Leg(Box::new(leg));
        return Ok(legs.into_iter().map(event).collect());
    }
    if post.has("from_number") || post.has("to_number") || post.has("message_status") {
        let text = text(post, raw, site)?;
        return Ok(text.into_iter().map(PhoneEvent::Text).collect());
    }
    Err(NotUnderstood::NotOf("Dialpad"))
}

fn call(post: Values<'_>, raw: &RawEvent<'_>, site: &Site) -> Result<Vec<LegFacts>, NotUnderstood> {
    let id = post.text("call_id").and_then(|id| vendor_id(&id));
    let id = id.ok_or(NotUnderstood::Missing("call_id"))?;
    let first = post.first(&RELATED[..2]);
    let first = first.unwrap_or_else(|| id.clone());
    let mut root = values::root(&first, site).ok_or(NotUnderstood::Missing("call_id"))?;
    let related = RELATED
        .iter()
        .filter_map(|path| vendor_id(&post.text(path)?));
    let related = related.filter(|other| *other != id && *other != root.leg);
    let mut legs: Vec<LegFacts> = related
        .map(|other| LegFacts::new(root.key.clone(), other))
        .collect();
    if id == root.leg {
        first_leg(&mut root, post, raw, site);
    } else {
        legs.push(further_leg(&root, id, post, raw, site));
    }
    legs.push(root);
    Ok(legs)
}

fn first_leg(root: &mut LegFacts, post: Values<'_>, raw: &RawEvent<'_>, site: &Site) {
    parties(root, post, site);
    links(root, post);
    let stretch = states(root, post, raw, site);
    let person = talker(post).is_some() || root.direction == Some(Direction::Out);
    if let Some(from) = stretch.filter(|_| person) {
        root.bridged.insert((from, root.ended));
    }
    // The line's own person: assembly knows agents by the legs to their phones.
    if root.direction == Some(Direction::In) {
        root.agent = talker(post).as_ref().and_then(extension).cloned();
    }
}

/// Who called whom is told here too, for one who sees nothing else; what the first leg says goes before it.
fn further_leg(
    root: &LegFacts,
    id: String,
    post: Values<'_>,
    raw: &RawEvent<'_>,
    site: &Site,
) -> LegFacts {
    let mut leg = LegFacts::new(root.key.clone(), id);
    parties(&mut leg, post, site);
    links(&mut leg, post);
    leg.role = Some(Role::Branch);
    leg.party = talker(post);
    leg.line = Some(if leg.party.is_some() {
        Line::Phone
    } else {
        Line::Machine
    });
    let stretch = states(&mut leg, post, raw, site);
    if let Some(from) = stretch.filter(|_| leg.party.is_some()) {
        leg.bridged.insert((from, leg.ended));
    }
    leg
}

fn parties(leg: &mut LegFacts, post: Values<'_>, site: &Site) {
    let name = post.text("contact.name");
    let other = post.first(&["external_number", "contact.phone"]);
    let other = contact(&other.unwrap_or_default(), name.as_deref(), site);
    let paths = [
        "entry_point_target.phone",
        "internal_number",
        "target.phone",
    ];
    let ours = post.first(&paths).map(|ours| contact(&ours, None, site));
    if post.word("direction") == "outbound" {
        leg.direction = Some(Direction::Out);
        leg.line = Some(Line::Phone);
        leg.caller = talker(post);
        leg.party.clone_from(&leg.caller);
        leg.dialled = Some(other);
        leg.shown = ours;
    } else {
        leg.direction = Some(Direction::In);
        leg.line = Some(Line::Trunk);
        leg.party = Some(other.clone());
        leg.caller = Some(other);
        leg.dialled = ours;
    }
    let group = |path: &str| {
        matches!(
            kind(post, path).as_str(),
            "department" | "callcenter" | "office"
        )
        .then(|| post.text(&format!("{path}.name")))
        .flatten()
    };
    leg.rare.queue = group("entry_point_target").or_else(|| group("target"));
}

/// What a target is: `Call Center`, `call_center` and `callcenter` are one.
fn kind(post: Values<'_>, path: &str) -> String {
    post.word(&format!("{path}.type")).replace(['_', ' '], "")
}

/// The person on this leg, by e-mail, else by id; none for a group or a menu.
fn talker(post: Values<'_>) -> Option<Contact> {
    if !matches!(
        kind(post, "target").as_str(),
        "" | "user" | "room" | "userprofile"
    ) {
        return None;
    }
    let id = post.first(&["target.email", "target.id"])?;
    Some(login(&id, post.text("target.name").as_deref()))
}

/// When the leg began and ended; gives when it was joined with somebody.
fn states(
    leg: &mut LegFacts,
    post: Values<'_>,
    raw: &RawEvent<'_>,
    site: &Site,
) -> Option<Timestamp> {
    let at = post.time("event_timestamp", site).unwrap_or(raw.received);
    let state = post.word("state");
    if !STATES.contains(&state.as_str()) {
        return None;
    }
    let starts = ["date_started", "date_rang", "date_connected"];
    leg.started = starts
        .iter()
        .find_map(|path| post.time(path, site))
        .or(Some(at));
    leg.ended = post.time("date_ended", site);
    if matches!(state.as_str(), "hangup" | "missed") {
        leg.ended = leg.ended.or(Some(at));
    }
    leg.cause = Some(state.clone()).filter(|_| leg.ended.is_some());
    leg.answered = post.time("date_connected", site);
    let mailbox = state.starts_with("voicemail") || post.has("voicemail_link");
    let silent = leg.ended.is_some() && post.integer("talk_time").is_some_and(|talk| talk <= 0);
    let joined = leg
        .answered
        .or_else(|| (state == "connected").then_some(at));
    joined.filter(|_| !mailbox && !silent && state != "missed")
}

fn links(leg: &mut LegFacts, post: Values<'_>) {
    let mut recordings = post.texts("recording_details", &["url"]);
    recordings.extend(post.texts("recording_url", &["url"]));
    leg.rare.recording = recordings.into_iter().next();
    leg.recording_announced = leg.rare.recording.is_some() || post.flag("was_recorded");
    leg.rare.voicemail_link = post.text("voicemail_link");
    leg.voicemail =
        leg.rare.voicemail_link.is_some() || post.word("state").starts_with("voicemail");
    leg.rare.tags = post.texts("labels", &["name"]).into_iter().collect();
    leg.rare.transcript = post.text("transcription_text");
}

/// A message, or a report that one failed; none for other reports, or from an account that may not read texts.
fn text(post: Values<'_>, raw: &RawEvent<'_>, site: &Site) -> Result<Option<Text>, NotUnderstood> {
    let id = post.text("id").and_then(|id| vendor_id(&id));
    let id = id.ok_or(NotUnderstood::Missing("id"))?;
    let from = post.text("from_number").unwrap_or_default();
    // A group's message is one message; the first stands for all.
    let to = post.texts("to_number", &["number", "phone"]);
    let to = to.into_iter().next().unwrap_or_default();
    if is_whatsapp(&from) || is_whatsapp(&to) {
        return Err(NotUnderstood::WhatsApp);
    }
    let body = post
        .first(&["text", "text_content"])
        .and(post.whole("text").or_else(|| post.whole("text_content")));
    let media = post.texts("mms_url", &["url"]);
    let why = post.text("message_delivery_result");
    let report = report(&post.word("message_status"), why);
    if body.is_none() && media.is_empty() && report.is_none() {
        return match post.has("message_status") {
            true => Ok(None),
            false => Err(NotUnderstood::Missing("text")),
        };
    }
    let out = post.word("direction") == "outbound";
    let name = post.text("contact.name");
    let (from_name, to_name) = if out { (None, name) } else { (name, None) };
    Ok(Some(Text {
        key: call_key(Kind::Text, id, site),
        direction: if out { Direction::Out } else { Direction::In },
        from: contact(&from, from_name.as_deref(), site),
        to: contact(&to, to_name.as_deref(), site),
        at: post.time("created_date", site).unwrap_or(raw.received),
        body: body.unwrap_or_default(),
        media,
        report,
    }))
}
