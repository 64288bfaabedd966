//! Makes of a call or text what is to stand in Kustomer: conversation, note, optional message, and the customer to
//! create where nobody has the number.
//!
//! Owns [`LogEntry`], a stored record of plain values: the outbox keeps it, `log` turns it into requests. Pure, so that
//! the same call and settings give the same entry: a late fact (a recording) shows as a difference of two entries.

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use thiserror::Error;

use super::assign::{self, Candidate};
use super::custom;
use super::fields::{CallFields, agent_of, call_fields, heading_parts, shown, text_fields};
use super::filter::{log_as, text_log};
use super::note::{call_note, clip, one_line, spoken, text_note};
use crate::settings::types::{KustomerSettings, LogAs, UnknownPolicy};
use crate::terms::call::{Call, CallType, Direction};
use crate::terms::ids::CallKey;
use crate::terms::number::E164;
use crate::terms::party::{Contact, Party};
use crate::terms::text::Text;

/// Longest externalId, in bytes: Kustomer holds 256 characters.
pub const EXTERNAL_ID_BYTES_MAX: usize = 256;

/// Longest conversation or customer name, in UTF-16 units: Kustomer holds 256 characters of a kind it doesn't name.
pub const NAME_UNITS_MAX: usize = 256;

/// Most tags of a conversation, and the longest, as Kustomer has them.
pub const TAGS_MAX: usize = 20;
/// See [`TAGS_MAX`].
pub const TAG_CHARS_MAX: usize = 64;

/// Longest text of a message, in UTF-16 units: Kustomer holds 10,240 characters of a kind it doesn't name.
pub const PREVIEW_UNITS_MAX: usize = 10_000;

/// The type of a new customer's number: whether a caller rang from home, work or a mobile isn't known.
pub const NEW_PHONE_TYPE: &str = "other";

/// Everything that one call or text becomes in one Kustomer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogEntry {
    /// Of the conversation: `tieline:<pbx>:<call or text id>`.
    pub external_id: String,
    /// Of the note: the same with `:note`.
    pub note_external_id: String,
    /// The conversation's name, the subject line that agents see.
    pub name: String,
    /// None between our own phones.
    pub direction: Option<Way>,
    /// The conversation's status when everything is in it.
    pub status: Status,
    /// A text that opens a conversation which it joins.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub reopens: bool,
    /// When the call started or the text came: the conversation is dated back to it.
    pub created_at: Timestamp,
    /// Whom the conversation is assigned to.
    pub agent: Option<Agent>,
    pub tags: Vec<String>,
    /// Whom it is assigned to, link by link; none: to `agent`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assign: Option<Vec<Candidate>>,
    /// Whose e-mail to remember for the number: who talked with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub talked_with: Option<String>,
    /// Custom attributes with their values.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub custom: Map<String, Value>,
    /// Custom attributes whose value didn't come out right, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub custom_faults: Vec<String>,
    /// The note's body.
    pub note: String,
    /// A `voice` or `sms` message, where the switch asks for one.
    pub message: Option<Message>,
    /// Whom to create if no customer has the number; none: nobody (no number, or `unknown = "skip"`).
    pub create: Option<NewCustomer>,
}

/// As Kustomer sees it: from the customer or to the customer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    In,
    Out,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    Open,
    Done,
}

/// One of our people, as the phone system names them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Agent {
    /// Extension or login.
    pub login: String,
    /// From the agent map, or the login itself if it is an address; `log` finds the Kustomer user by it.
    pub email: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewCustomer {
    /// The caller's name as sent, or else the number.
    pub name: String,
    /// Stored as [`NEW_PHONE_TYPE`].
    pub phone: E164,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// The conversation's with `:message`.
    pub external_id: String,
    pub channel: Channel,
    pub direction: Way,
    /// The message's text.
    pub preview: String,
    pub sent_at: Timestamp,
    pub meta: MessageMeta,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Channel {
    Voice,
    Sms,
}

/// `meta` of a message as work-force tools read it (Kustomer: Messages); a text has only `from` and `to`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageMeta {
    pub from: Option<String>,
    pub to: Option<String>,
    pub placed_at: Option<Timestamp>,
    /// None: nobody answered.
    pub answered_at: Option<Timestamp>,
    pub ended_at: Option<Timestamp>,
    /// `completed`, `missed`, `unanswered` or `voicemail`.
    pub status: Option<String>,
    pub recording: Option<String>,
}

/// What is known beside the call itself.
#[derive(Clone, Copy, Debug)]
pub struct Names<'a> {
    /// The name of the customer that the number belongs to.
    pub customer: Option<&'a str>,
    /// Extension or login -> e-mail: `[agents]`.
    pub agents: &'a BTreeMap<String, String>,
}

/// Why no entry can be made; both are for the dead letters.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum EntryFault {
    /// The operator's: the switch was turned off between filter and entry.
    #[error("{0} is \"off\": switch it on and replay the call, or leave it unlogged")]
    SwitchedOff(String),
    /// The operator's or the phone system's: Kustomer can't hold the id.
    #[error(
        "the id of the call or text makes an externalId of {0} bytes, Kustomer holds {EXTERNAL_ID_BYTES_MAX}: \
         give the phone system a shorter name"
    )]
    IdTooLong(usize),
}

/// The entry of a call. `others` are the further customers of the number, for people.
pub fn call_entry(
    call: &Call,
    integration: &KustomerSettings,
    zone: &TimeZone,
    names: &Names<'_>,
    others: &[String],
) -> Result<LogEntry, EntryFault> {
    let rules = &integration.calls;
    let ids = Ids::of(&call.key)?;
    let key = call.call_type.key();
    let status = status(log_as(call.call_type, integration), || format!("log.{key}"))?;
    let fields = call_fields(call, integration, zone, names, others);
    let way = way(call.direction);
    let custom = custom::values(rules.custom_of(call.call_type), &fields);
    Ok(LogEntry {
        name: call_name(call),
        direction: way,
        status,
        reopens: false,
        created_at: call.started,
        agent: call.agent.as_ref().map(|agent| agent_of(agent, names)),
        tags: conversation_tags(rules.tags_of(call.call_type).iter().chain(&call.tags)),
        assign: assign::chain(call, rules, names),
        talked_with: assign::talked_with(call, rules, names),
        custom: custom.set,
        custom_faults: custom.faults,
        message: way
            .filter(|_| rules.voice_message)
            .map(|way| voice_message(call, way, &fields, ids.message)),
        note: call_note(&fields, rules.template_of(call.call_type)),
        create: new_customer(&call.other, rules.unknown),
        external_id: ids.conversation,
        note_external_id: ids.note,
    })
}

/// The entry of a text, as a conversation of its own; with a window, `join` puts its note into the running one.
pub fn text_entry(
    text: &Text,
    integration: &KustomerSettings,
    zone: &TimeZone,
    names: &Names<'_>,
    others: &[String],
) -> Result<LogEntry, EntryFault> {
    let rules = &integration.texts;
    let ids = Ids::of(&text.key)?;
    let (key, log) = text_log(text, rules);
    let status = status(log, || format!("texts.log.{key}"))?;
    let outgoing = text.direction == Direction::Out;
    let way = if outgoing { Way::Out } else { Way::In };
    let agent = match &text.ours().party {
        Party::Extension(extension) => Some(agent_of(extension, names)),
        Party::Number(_) | Party::Short(_) | Party::Anonymous | Party::Invalid => None,
    };
    let preposition = if outgoing { "to" } else { "from" };
    let fields = text_fields(text, integration, zone, names, others);
    let custom = custom::values(&rules.custom, &fields);
    Ok(LogEntry {
        name: clip(
            &format!("Text {preposition} {}", shown(text.other())),
            NAME_UNITS_MAX,
        ),
        direction: Some(way),
        status,
        reopens: status == Status::Open && (!outgoing || text.failed()),
        created_at: text.at,
        agent,
        tags: conversation_tags(rules.tags.iter()),
        assign: None,
        talked_with: None,
        custom: custom.set,
        custom_faults: custom.faults,
        message: rules
            .text_message
            .then(|| text_message(text, way, ids.message)),
        note: text_note(&fields),
        create: new_customer(text.other(), rules.unknown),
        external_id: ids.conversation,
        note_external_id: ids.note,
    })
}

/// The three externalIds of one call or text.
struct Ids {
    conversation: String,
    note: String,
    message: String,
}

impl Ids {
    fn of(key: &CallKey) -> Result<Self, EntryFault> {
        let conversation = key.external_id();
        let ids = Self {
            note: format!("{conversation}:note"),
            message: format!("{conversation}:message"),
            conversation,
        };
        if ids.message.len() > EXTERNAL_ID_BYTES_MAX {
            return Err(EntryFault::IdTooLong(ids.message.len()));
        }
        Ok(ids)
    }
}

fn status(log: LogAs, key: impl FnOnce() -> String) -> Result<Status, EntryFault> {
    match log {
        LogAs::Open => Ok(Status::Open),
        LogAs::Done => Ok(Status::Done),
        LogAs::Off => Err(EntryFault::SwitchedOff(key())),
    }
}

const fn way(direction: Direction) -> Option<Way> {
    match direction {
        Direction::In => Some(Way::In),
        Direction::Out => Some(Way::Out),
        Direction::Internal => None,
    }
}

/// Numbers and results alone: a conversation's name is shown in places where a caller's own words must not stand.
fn call_name(call: &Call) -> String {
    let (what, result) = heading_parts(call);
    let preposition = match call.direction {
        Direction::In => "from",
        Direction::Out | Direction::Internal => "to",
    };
    let talked = if call.answered.is_some() {
        format!(", {}", spoken(call.talk))
    } else {
        String::new()
    };
    let who = match call.other.party {
        Party::Anonymous => "an anonymous caller".to_owned(),
        Party::Number(_) | Party::Extension(_) | Party::Short(_) | Party::Invalid => {
            shown(&call.other)
        }
    };
    let name = format!("{what} {preposition} {who} ({result}{talked})");
    clip(&name, NAME_UNITS_MAX)
}

/// Each tag once, and only what Kustomer takes as one: a tag it refuses would cost the whole conversation. The note has
/// all of the phone system's.
fn conversation_tags<'a>(tags: impl Iterator<Item = &'a String>) -> Vec<String> {
    let mut kept: Vec<String> = Vec::new();
    for tag in tags.map(|tag| tag.trim()).filter(|tag| is_tag(tag)) {
        if kept.len() < TAGS_MAX && !kept.iter().any(|known| known == tag) {
            kept.push(tag.to_owned());
        }
    }
    kept
}

/// Kustomer's rule for tags (its OpenAPI): letters up to U+00FF, digits, `_/<>-.`, and spaces but not first.
pub fn is_tag(tag: &str) -> bool {
    let allowed =
        |c: char| c.is_ascii_alphanumeric() || ('À'..='ÿ').contains(&c) || "_/<>-.".contains(c);
    tag.chars().count() <= TAG_CHARS_MAX
        && tag.starts_with(allowed)
        && tag.chars().all(|c| allowed(c) || c == ' ')
}

fn voice_message(call: &Call, way: Way, fields: &CallFields, external_id: String) -> Message {
    let ours = fields.our_number.clone();
    let (from, to) = match way {
        Way::In => (Some(fields.other.clone()), ours),
        Way::Out => (ours, Some(fields.other.clone())),
    };
    let status = match call.call_type {
        CallType::IncomingAnswered | CallType::OutgoingAnswered | CallType::Internal => "completed",
        CallType::IncomingMissed => "missed",
        CallType::OutgoingUnanswered => "unanswered",
        CallType::Voicemail => "voicemail",
    };
    let preview = match call.answered {
        Some(_) => format!("{}, {}", fields.heading, fields.talked),
        None => fields.heading.clone(),
    };
    Message {
        external_id,
        channel: Channel::Voice,
        direction: way,
        preview,
        sent_at: call.started,
        meta: MessageMeta {
            from,
            to,
            placed_at: Some(call.started),
            answered_at: call.answered,
            ended_at: Some(call.ended),
            status: Some(status.to_owned()),
            recording: fields.recording.clone(),
        },
    }
}

fn text_message(text: &Text, way: Way, external_id: String) -> Message {
    let preview = match (text.body.trim(), text.media.len()) {
        ("", 0) => "(empty text)".to_owned(),
        ("", 1) => "(1 attachment)".to_owned(),
        ("", count) => format!("({count} attachments)"),
        (body, _) => clip(body, PREVIEW_UNITS_MAX),
    };
    Message {
        external_id,
        channel: Channel::Sms,
        direction: way,
        preview,
        sent_at: text.at,
        meta: MessageMeta {
            from: Some(shown(&text.from)),
            to: Some(shown(&text.to)),
            ..MessageMeta::default()
        },
    }
}

fn new_customer(other: &Contact, policy: UnknownPolicy) -> Option<NewCustomer> {
    let phone = match policy {
        UnknownPolicy::Create => other.number()?.clone(),
        UnknownPolicy::Skip => return None,
    };
    let sent = other
        .name
        .as_deref()
        .map(|name| one_line(name, NAME_UNITS_MAX));
    let name = sent
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| phone.to_string());
    Some(NewCustomer { name, phone })
}
