//! CloudTalk: posts of Workflow Automations, whose fields the administrator names, and entries of its call history.
//!
//! The names of docs/phone-systems.md are meant, but others are seen in the wild, so names are compared without case, blanks
//! and underscores, and a name has several spellings. A call is one record: who answered is `talking_time`, an answered time
//! or the status, and an agent who answered is a person.

use super::facts::{LegFacts, Line};
use super::values::{
    self, Values, branch, call_key, contact, extension, is_whatsapp, login, object,
};
use super::{NotUnderstood, PhoneEvent, RawEvent, Site, vendor_id};
use crate::terms::call::Direction;
use crate::terms::ids::Kind;
use crate::terms::party::Contact;
use crate::terms::text::Text;
use jiff::Timestamp;
use serde_json::{Map, Value};

/// See [`super::decode`].
pub fn decode(raw: &RawEvent<'_>, site: &Site) -> Result<Vec<PhoneEvent>, NotUnderstood> {
    let object = object(raw, "CloudTalk")?;
    let flat = flat(&object);
    let post = Values(&flat);
    let event = plain(&post.text("event").unwrap_or_default());
    if event.starts_with("message") || event.starts_with("sms") || post.has("messageid") {
        let text = text(post, &event, raw, site)?;
        return Ok(vec![PhoneEvent::Text(text)]);
    }
    let ids = ["calluuid", "callid", "uuid", "cdrid", "cdr.id", "id"];
    let Some(id) = post.first(&ids) else {
        return Err(if event.starts_with("call") {
            NotUnderstood::Missing("call_id")
        } else {
            NotUnderstood::NotOf("CloudTalk")
        });
    };
    let mut root = values::root(&id, site).ok_or(NotUnderstood::Missing("call_id"))?;
    let leg = call(&mut root, post, &event, raw, site)?;
    let event = |leg| PhoneEvent::Leg(Box::new(leg));
    Ok(leg.into_iter().chain([root]).map(event).collect())
}

/// `Call_uuid` and `call uuid` are one name.
fn plain(name: &str) -> String {
    let letters = name.chars().filter(|c| c.is_alphanumeric());
    letters.flat_map(char::to_lowercase).collect()
}

/// The object under plain names; what stands in `Cdr` of a history's entry is the call's own.
fn flat(object: &Value) -> Value {
    let mut all = Map::new();
    let fields = |value: &Value| value.as_object().cloned().unwrap_or_default();
    for (name, value) in fields(object) {
        let name = plain(&name);
        let value = match value {
            Value::Object(inner) => {
                let inner = inner.into_iter().map(|(name, value)| (plain(&name), value));
                Value::Object(inner.collect())
            }
            value => value,
        };
        if name == "cdr" {
            all.extend(fields(&value));
        }
        all.insert(name, value);
    }
    Value::Object(all)
}

fn call(
    root: &mut LegFacts,
    post: Values<'_>,
    event: &str,
    raw: &RawEvent<'_>,
    site: &Site,
) -> Result<Option<LegFacts>, NotUnderstood> {
    parties(root, post, site);
    links(root, post);
    let status = post.word("status");
    let talk = post.seconds("talkingtime");
    let answered = match event {
        "callstarted" | "callringing" | "callringingonagent" => {
            root.live = true;
            root.started = post.time("startedat", site).or(Some(raw.received));
            return Ok(None);
        }
        "callanswered" => {
            root.live = true;
            post.time("answeredat", site).or(Some(raw.received))
        }
        "" | "callended" => ended(root, post, raw, site),
        // What changes later, a recording's address for one.
        "callmodified" | "recordinguploaded" | "transcriptioncreated" | "callraisedhand" => {
            return Ok(None);
        }
        _ => return Err(NotUnderstood::UnknownKind("CloudTalk")),
    };
    let missed = status == "missed" || root.voicemail || talk.is_some_and(|talk| talk.is_zero());
    root.answered = answered;
    let Some(from) = answered.filter(|_| !missed) else {
        return Ok(None);
    };
    let agent = agent(post);
    if root.direction == Some(Direction::Out) {
        let to = root.dialled.clone();
        let mut line = to.map(|to| branch(root, Line::Trunk, to));
        if let Some(line) = &mut line {
            line.bridged.insert((from, root.ended));
        }
        return Ok(line);
    }
    let Some(agent) = agent else {
        root.bridged.insert((from, root.ended));
        return Ok(None);
    };
    let mut phone = branch(root, Line::Phone, agent);
    phone.bridged.insert((from, root.ended));
    Ok(Some(phone))
}

/// A whole call: its times, as far as they are sent; gives when it was answered.
fn ended(
    root: &mut LegFacts,
    post: Values<'_>,
    raw: &RawEvent<'_>,
    site: &Site,
) -> Option<Timestamp> {
    let talk = post.seconds("talkingtime");
    let waited = post.first(&["waitingtime", "ringingtime"]).is_some();
    let wait = post.seconds("waitingtime").or(post.seconds("ringingtime"));
    let end = post.time("endedat", site);
    let start = post.time("startedat", site);
    let length = talk.unwrap_or_default() + wait.unwrap_or_default();
    let counted = || {
        start?
            .checked_add(length)
            .ok()
            .filter(|_| talk.is_some() || waited)
    };
    let end = end.or_else(counted).unwrap_or(raw.received);
    root.ended = Some(end);
    root.started = start.or_else(|| end.checked_sub(length).ok());
    root.over = true;
    let stated = post.time("answeredat", site);
    let talked = || {
        let talk = talk.filter(|talk| !talk.is_zero())?;
        end.checked_sub(talk).ok()
    };
    // Only that it was answered is said: it talked from somewhere after the wait.
    let said = || {
        let wait = wait.unwrap_or_default();
        let answered = post.word("status") == "answered";
        root.started?.checked_add(wait).ok().filter(|_| answered)
    };
    stated.or_else(talked).or_else(said)
}

fn parties(root: &mut LegFacts, post: Values<'_>, site: &Site) {
    let kind = post.first(&["direction", "calltype", "type"]);
    let kind = kind.unwrap_or_default().to_ascii_lowercase();
    let name = post.first(&["contactname", "contact.name"]);
    let other = post.first(&[
        "externalnumber",
        "publicexternal",
        "customernumber",
        "phonenumber",
    ]);
    let other = contact(&other.unwrap_or_default(), name.as_deref(), site);
    let ours = post.first(&[
        "internalnumber",
        "publicinternal",
        "callnumber.calleride164",
    ]);
    let ours = ours.map(|ours| contact(&ours, None, site));
    let out = kind.starts_with("out");
    let internal = kind == "internal";
    if out || internal {
        root.direction = Some(if out {
            Direction::Out
        } else {
            Direction::Internal
        });
        root.line = Some(Line::Phone);
        root.caller = agent(post);
        root.agent = root.caller.as_ref().and_then(extension).cloned();
        root.party.clone_from(&root.caller);
        root.dialled = Some(other);
        root.shown = ours.filter(|ours| ours.number().is_some());
    } else {
        root.direction = Some(Direction::In);
        root.line = Some(Line::Trunk);
        root.party = Some(other.clone());
        root.caller = Some(other);
        root.dialled = ours;
    }
}

/// The agent, by e-mail, else by extension or id.
fn agent(post: Values<'_>) -> Option<Contact> {
    let ids = [
        "agentemail",
        "agent.email",
        "agentextension",
        "agent.extension",
        "agentid",
        "userid",
        "agent.id",
    ];
    // An id of nothing is how a call is written that no agent took.
    let id = post.first(&ids).filter(|id| id != "0")?;
    let name = post.first(&["agentname", "agent.fullname"]);
    Some(login(&id, name.as_deref()))
}

fn links(root: &mut LegFacts, post: Values<'_>) {
    root.rare.recording = post.first(&["recordingurl", "recordinglink", "recording"]);
    root.rare.recording = root
        .rare
        .recording
        .take()
        .filter(|link| link.contains("://"));
    root.recording_announced = root.rare.recording.is_some() || post.flag("recorded");
    root.voicemail = post.flag("isvoicemail") || post.flag("voicemail");
    root.rare.tags = post.texts("tags", &["name"]).into_iter().collect();
    let notes = post.texts("notes", &["name", "note"]);
    root.rare.note = Some(notes.join("\n")).filter(|note| !note.is_empty());
    root.rare.transcript = post.first(&["transcription", "transcript", "transcriptiontext"]);
    root.rare.summary = post.first(&["summary", "callsummary"]);
    root.rare.queue = post.first(&["group", "groupname", "queue"]);
}

fn text(
    post: Values<'_>,
    event: &str,
    raw: &RawEvent<'_>,
    site: &Site,
) -> Result<Text, NotUnderstood> {
    let id = post.first(&["messageid", "smsid", "uuid", "id"]);
    let id = id.and_then(|id| vendor_id(&id));
    let id = id.ok_or(NotUnderstood::Missing("message_id"))?;
    let out = event.ends_with("sent") || post.word("direction").starts_with("out");
    let sides = [("sender", "recipient"), ("from", "to")];
    let (mut from, mut to) = (None, None);
    for (sender, recipient) in sides {
        from = from.or_else(|| post.text(sender));
        to = to.or_else(|| post.text(recipient));
    }
    let other = || post.first(&["externalnumber", "publicexternal"]);
    let ours = || post.first(&["internalnumber", "publicinternal"]);
    let from = from.or_else(|| if out { ours() } else { other() });
    let to = to.or_else(|| if out { other() } else { ours() });
    let (from, to) = (from.unwrap_or_default(), to.unwrap_or_default());
    if is_whatsapp(&from) || is_whatsapp(&to) || post.word("channel") == "whatsapp" {
        return Err(NotUnderstood::WhatsApp);
    }
    let body = ["body", "text", "message", "content"]
        .iter()
        .find_map(|name| post.whole(name));
    let body = body.filter(|body| !body.trim().is_empty());
    let media = post.texts("media", &["url"]);
    if body.is_none() && media.is_empty() {
        return Err(NotUnderstood::Missing("body"));
    }
    let name = post.first(&["contactname", "contact.name"]);
    let (from_name, to_name) = if out { (None, name) } else { (name, None) };
    let times = ["sentat", "createdat", "at", "date"];
    Ok(Text {
        key: call_key(Kind::Text, id, site),
        direction: if out { Direction::Out } else { Direction::In },
        from: contact(&from, from_name.as_deref(), site),
        to: contact(&to, to_name.as_deref(), site),
        at: times
            .iter()
            .find_map(|name| post.time(name, site))
            .unwrap_or(raw.received),
        body: body.unwrap_or_default(),
        media,
        report: None,
    })
}
