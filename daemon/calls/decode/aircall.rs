//! Aircall: webhooks of calls and messages, each a JSON object with `resource`, `event` and all that is known in `data`.
//!
//! `call.hungup` comes at once and is not whole; `call.ended` comes about 30 s later and is, so the call is open until then.
//! Agents are people with e-mail addresses. `answered_at` is of a person: a menu or a mailbox picking up isn't one, and a
//! `missed_call_reason` says that nobody came.

use super::facts::{Glimpse, LegFacts, Line, TransferFact};
use super::report::report;
use super::values::{
    self, Values, branch, call_key, contact, extension, is_whatsapp, login, object,
};
use super::{NotUnderstood, PhoneEvent, RawEvent, Site, vendor_id};
use crate::terms::call::{Direction, Reason, TransferKind};
use crate::terms::ids::Kind;
use crate::terms::party::Contact;
use crate::terms::text::Text;
use jiff::Timestamp;

/// See [`super::decode`].
pub fn decode(raw: &RawEvent<'_>, site: &Site) -> Result<Vec<PhoneEvent>, NotUnderstood> {
    let object = object(raw, "Aircall")?;
    let post = Values(&object);
    let event = post.text("event").ok_or(NotUnderstood::Missing("event"))?;
    match event.split_once('.') {
        Some(("call", event)) => call(post, event, raw, site),
        Some(("message", event)) => {
            let text = text(post, event, raw, site)?;
            Ok(text.into_iter().map(PhoneEvent::Text).collect())
        }
        // Of people, numbers and contacts; not of calls.
        Some((
            "contact" | "user" | "number" | "team" | "integration" | "conversation_intelligence",
            _,
        )) => Ok(Vec::new()),
        Some(_) | None => Err(NotUnderstood::UnknownKind("Aircall")),
    }
}

fn call(
    post: Values<'_>,
    event: &str,
    raw: &RawEvent<'_>,
    site: &Site,
) -> Result<Vec<PhoneEvent>, NotUnderstood> {
    let id = post
        .text("data.id")
        .ok_or(NotUnderstood::Missing("data.id"))?;
    let mut root = values::root(&id, site).ok_or(NotUnderstood::Missing("data.id"))?;
    let at = post.time("timestamp", site).unwrap_or(raw.received);
    root.started = Some(post.time("data.started_at", site).unwrap_or(at));
    let answered = post.time("data.answered_at", site);
    root.answered = answered;
    root.live = true;
    if matches!(event, "ended" | "archived") {
        root.over = true;
        root.ended = post.time("data.ended_at", site).or(Some(at));
    }
    let missed = post.word("data.missed_call_reason");
    root.reason = reason(&missed);
    root.cause = Some(missed.clone()).filter(|missed| !missed.is_empty());
    parties(&mut root, post, at, site);
    links(&mut root, post);
    let answered = answered.filter(|_| missed.is_empty());
    let mut legs = Vec::from_iter(talk(&mut root, post, event, answered));
    if event == "transferred" {
        legs.extend(transfer(&mut root, post, at));
    }
    legs.push(root);
    let event = |leg| PhoneEvent::Leg(Box::new(leg));
    Ok(legs.into_iter().map(event).collect())
}

/// The reasons that have a word of ours; `out_of_opening_hours` has none.
fn reason(missed: &str) -> Option<Reason> {
    match missed {
        "short_abandoned" => Some(Reason::CallerGaveUp),
        "no_available_agent" | "agents_did_not_answer" => Some(Reason::NoAnswer),
        // In a menu or in a queue; also spelled abandonned.
        _ if missed.starts_with("abandon") => Some(Reason::CallerGaveUp),
        _ => None,
    }
}

fn parties(root: &mut LegFacts, post: Values<'_>, at: Timestamp, site: &Site) {
    let names = ["data.contact.first_name", "data.contact.last_name"];
    let name: Vec<String> = names.iter().filter_map(|path| post.text(path)).collect();
    let name = Some(name.join(" ")).filter(|name| !name.is_empty());
    let name = name.or_else(|| post.text("data.contact.company_name"));
    // `raw_digits` is the outside party's in both directions.
    let other = post.text("data.raw_digits").unwrap_or_default();
    let other = contact(&other, name.as_deref(), site);
    let ours = post.first(&["data.number.e164_digits", "data.number.digits"]);
    let ours = ours.map(|ours| contact(&ours, None, site));
    if post.word("data.direction") == "outbound" {
        root.direction = Some(Direction::Out);
        root.line = Some(Line::Phone);
        // After a transfer it is another.
        root.caller_seen = agent(post, "data.user").map(|contact| Glimpse { at, contact });
        root.dialled = Some(other);
        root.shown = ours;
    } else {
        root.direction = Some(Direction::In);
        root.line = Some(Line::Trunk);
        root.party = Some(other.clone());
        root.caller = Some(other);
        root.dialled = ours;
    }
}

fn links(root: &mut LegFacts, post: Values<'_>) {
    // The short ones ask for a login and last; the others expire within the hour.
    root.rare.recording = post.first(&["data.recording_short_url", "data.recording"]);
    root.recording_announced = root.rare.recording.is_some();
    root.rare.voicemail_link = post.first(&["data.voicemail_short_url", "data.voicemail"]);
    root.voicemail = root.rare.voicemail_link.is_some();
    root.rare.tags = post.texts("data.tags", &["name"]).into_iter().collect();
    let notes = post.texts("data.comments", &["content", "body"]);
    root.rare.note = Some(notes.join("\n")).filter(|note| !note.is_empty());
}

/// Who talked. `user` is whoever has the call then: in `answered` the first, at the end the last, and the first may be in
/// `transferred_by`.
fn talk(
    root: &mut LegFacts,
    post: Values<'_>,
    event: &str,
    answered: Option<Timestamp>,
) -> Option<LegFacts> {
    let answered = answered?;
    if root.direction == Some(Direction::Out) {
        let mut line = branch(root, Line::Trunk, root.dialled.clone()?);
        line.bridged.insert((answered, root.ended));
        return Some(line);
    }
    let user = agent(post, "data.user");
    if root.over {
        root.bridged.insert((answered, root.ended));
        root.agent = user.as_ref().and_then(extension).cloned();
    }
    let first = user.filter(|_| event == "answered");
    let first = first.or_else(|| agent(post, "data.transferred_by"))?;
    let mut phone = branch(root, Line::Phone, first);
    phone.bridged.insert((answered, None));
    Some(phone)
}

fn transfer(root: &mut LegFacts, post: Values<'_>, at: Timestamp) -> Option<LegFacts> {
    let to = agent(post, "data.transferred_to")?;
    let from = agent(post, "data.transferred_by");
    root.rare.transfers.insert(TransferFact {
        at,
        kind: TransferKind::Unknown,
        from: from.map(|from| from.raw.clone()),
        to: to.raw.clone(),
    });
    let mut phone = branch(root, Line::Phone, to);
    phone.bridged.insert((at, None));
    Some(phone)
}

/// A person of ours, by e-mail, else by id.
fn agent(post: Values<'_>, path: &str) -> Option<Contact> {
    let at = |name: &str| format!("{path}.{name}");
    let name = post.text(&at("name"));
    let id = post.text(&at("email")).or_else(|| post.text(&at("id")))?;
    Some(login(&id, name.as_deref()))
}

/// A message, or a report on the fate of one; none for a report on one on its way that carries no text.
fn text(
    post: Values<'_>,
    event: &str,
    raw: &RawEvent<'_>,
    site: &Site,
) -> Result<Option<Text>, NotUnderstood> {
    let id = post.text("data.id").and_then(|id| vendor_id(&id));
    let id = id.ok_or(NotUnderstood::Missing("data.id"))?;
    let other = post.first(&["data.external_number", "data.raw_digits"]);
    let other = other.unwrap_or_default();
    let channel = post.first(&["data.channel", "data.origin", "data.type"]);
    if is_whatsapp(&other)
        || channel.is_some_and(|name| name.to_ascii_lowercase().contains("whatsapp"))
    {
        return Err(NotUnderstood::WhatsApp);
    }
    let received = match (event, post.word("data.direction").as_str()) {
        ("received", _) | ("status_updated", "inbound") => true,
        ("sent" | "status_updated", _) => false,
        _ => return Err(NotUnderstood::UnknownKind("Aircall")),
    };
    let mut media = post.texts("data.media_url", &["url"]);
    media.extend(post.texts("data.media_details", &["presigned_url", "url"]));
    let body = post
        .whole("data.body")
        .filter(|body| !body.trim().is_empty());
    let report = report(&post.word("data.status"), None);
    if body.is_none() && media.is_empty() && (report.is_none() || event != "status_updated") {
        return match event {
            "status_updated" => Ok(None),
            _ => Err(NotUnderstood::Missing("data.body")),
        };
    }
    let ours = post.first(&["data.number.e164_digits", "data.number.digits"]);
    let ours = contact(&ours.unwrap_or_default(), None, site);
    let other = contact(&other, None, site);
    let (from, to) = if received {
        (other, ours)
    } else {
        (ours, other)
    };
    let times = ["data.sent_at", "data.created_at", "timestamp"];
    Ok(Some(Text {
        key: call_key(Kind::Text, id, site),
        direction: if received {
            Direction::In
        } else {
            Direction::Out
        },
        from,
        to,
        at: times
            .iter()
            .find_map(|path| post.time(path, site))
            .unwrap_or(raw.received),
        body: body.unwrap_or_default(),
        media,
        report,
    }))
}
