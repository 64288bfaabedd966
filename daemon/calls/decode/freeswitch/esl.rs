//! Events of FreeSWITCH's event socket (mod_event_socket), as JSON or plain text: what a channel is doing, as it does it.
//!
//! An event carries the channel's variables and its newest profile, so it is read as a call record of one leg that may
//! still go on. Call records of the same call may come too; both add up.

use super::reason::{of_cause, of_root};
use super::record::{Fields, Flow, Record, said};
use super::{branch, bridges, handover, recordings, root};
use crate::calls::decode::body;
use crate::calls::decode::facts::{Glimpse, LegFacts, Role};
use crate::calls::decode::{NotUnderstood, PhoneEvent, RawEvent, Site, vendor_id};
use crate::terms::call::Reason;
use crate::terms::ids::{CallKey, Kind};
use jiff::Timestamp;
use serde_json::Value;

/// Most headers of one event that are read; an event at the end of a call has about 300.
const HEADERS_MAX: usize = 5000;

/// Variables' names in an event.
const VARIABLE: &str = "variable_";

/// What of an event's times a call record calls otherwise.
const TIMES: [(&str, &str); 7] = [
    ("created_time", "Caller-Channel-Created-Time"),
    ("profile_created_time", "Caller-Profile-Created-Time"),
    ("progress_time", "Caller-Channel-Progress-Time"),
    ("answered_time", "Caller-Channel-Answered-Time"),
    ("bridged_time", "Caller-Channel-Bridged-Time"),
    ("transfer_time", "Caller-Channel-Transfer-Time"),
    ("hangup_time", "Caller-Channel-Hangup-Time"),
];

/// What of an event's profiles a call record calls otherwise, behind `Caller-` or `Other-Leg-`.
const PROFILE: [(&str, &str); 7] = [
    ("ani", "ANI"),
    ("chan_name", "Channel-Name"),
    ("username", "Username"),
    ("caller_id_name", "Caller-ID-Name"),
    ("caller_id_number", "Caller-ID-Number"),
    ("destination_number", "Destination-Number"),
    ("uuid", "Unique-ID"),
];

/// Whether `text` is an event in the plain format: lines `Name: value`, the event's name first.
pub fn is_plain(text: &str) -> bool {
    text.starts_with("Event-Name: ")
}

/// Whether a JSON object is an event.
pub fn is_event(object: &Value) -> bool {
    object.get("Event-Name").is_some_and(Value::is_string)
}

/// The headers of an event in the plain format, in which every value is percent-encoded.
pub fn from_plain(text: &str) -> Fields {
    let header = |line: &str| {
        let (name, value) = line.trim_end().split_once(": ")?;
        Some((name.to_owned(), body::percent_decoded(value)))
    };
    // Behind an empty line is the event's own body.
    text.lines()
        .take_while(|line| !line.trim().is_empty())
        .take(HEADERS_MAX)
        .filter_map(header)
        .collect()
}

/// The headers of an event in JSON.
pub fn from_json(object: Value) -> Fields {
    let Value::Object(headers) = object else {
        return Fields::new();
    };
    let header = |(name, value)| Some((name, text(value)?));
    let headers = headers.into_iter().take(HEADERS_MAX);
    headers.filter_map(header).collect()
}

/// A header's value; several of one variable are a list in JSON, and `ARRAY::a|:b` everywhere else.
fn text(value: Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text),
        Value::Array(values) => {
            let values: Vec<&str> = values.iter().filter_map(Value::as_str).collect();
            Some(format!("ARRAY::{}", values.join("|:")))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => None,
    }
}

/// What an event says of its call; nothing if it is of another kind than those that tell calls.
pub fn decode(
    headers: &Fields,
    raw: &RawEvent<'_>,
    site: &Site,
) -> Result<Vec<PhoneEvent>, NotUnderstood> {
    let event = Event {
        headers,
        at: said(headers, "Event-Date-Timestamp")
            .and_then(super::record::micros)
            .unwrap_or(raw.received),
    };
    let legs = match said(headers, "Event-Name").unwrap_or_default() {
        // CHANNEL_OUTGOING is left out: it doesn't say yet whose call the leg is of, and CHANNEL_CREATE follows.
        "CHANNEL_CREATE"
        | "CHANNEL_ORIGINATE"
        | "CHANNEL_PROGRESS"
        | "CHANNEL_PROGRESS_MEDIA"
        | "CHANNEL_ANSWER"
        | "CHANNEL_HANGUP"
        | "CHANNEL_HANGUP_COMPLETE"
        | "CHANNEL_DESTROY"
        | "CHANNEL_BRIDGE"
        | "CHANNEL_UNBRIDGE"
        | "RECORD_START"
        | "RECORD_STOP" => channel(&event, site)?,
        "CUSTOM" if said(headers, "Event-Subclass") == Some("callcenter::info") => {
            queue(&event, site)
        }
        _ => Vec::new(),
    };
    Ok(legs
        .into_iter()
        .map(|leg| PhoneEvent::Leg(Box::new(leg)))
        .collect())
}

struct Event<'a> {
    headers: &'a Fields,
    at: Timestamp,
}

impl Event<'_> {
    fn header(&self, name: &str) -> Option<&str> {
        said(self.headers, name)
    }

    fn is(&self, name: &str) -> bool {
        self.header("Event-Name") == Some(name)
    }

    /// Whether the leg ended and all of its variables are there.
    fn complete(&self) -> bool {
        self.is("CHANNEL_HANGUP_COMPLETE") || self.is("CHANNEL_DESTROY")
    }

    /// Whether the profile is the channel's first: later ones are of what a transfer made of it.
    fn first_profile(&self) -> bool {
        matches!(self.header("Caller-Profile-Index"), None | Some("1"))
    }

    /// The event as a call record has it.
    fn record(&self) -> Record {
        let variables = self.headers.iter().filter_map(|(name, value)| {
            let name = name.strip_prefix(VARIABLE)?;
            Some((name.to_owned(), value.clone()))
        });
        let mut record = Record::new(variables.collect());
        if let Some(name) = record.variable("current_application").map(str::to_owned) {
            let data = record.variable("current_application_data");
            let data = data.unwrap_or_default().to_owned();
            record.applications.push((name, data));
        }
        let profile = |prefix: &str| {
            let field = |(ours, theirs): &(&str, &str)| {
                let value = self.header(&format!("{prefix}{theirs}"))?;
                Some(((*ours).to_owned(), value.to_owned()))
            };
            PROFILE.iter().filter_map(field).collect::<Fields>()
        };
        let time = |(ours, theirs): &(&str, &str)| {
            Some(((*ours).to_owned(), self.header(theirs)?.to_owned()))
        };
        let mut flow = Flow::new(
            profile("Caller-"),
            TIMES.iter().filter_map(time).collect::<Fields>(),
        );
        match self.header("Other-Type") {
            Some("originator") => flow.originator = profile("Other-Leg-"),
            Some("originatee") => flow.originatees.push(profile("Other-Leg-")),
            Some(_) | None => {}
        }
        record.flows.push(flow);
        if !self.first_profile() {
            // The first one isn't told any more.
            record.flows.push(Flow::default());
        }
        record
    }
}

fn channel(event: &Event<'_>, site: &Site) -> Result<Vec<LegFacts>, NotUnderstood> {
    let record = event.record();
    let leg = event
        .header("Unique-ID")
        .and_then(vendor_id)
        .ok_or(NotUnderstood::Missing("Unique-ID"))?;
    let family = handover::family(&record);
    let key = CallKey {
        kind: Kind::Call,
        pbx: site.pbx.clone(),
        id: family.clone().unwrap_or_else(|| leg.clone()),
    };
    let mut facts = LegFacts::new(key, leg);
    facts.live = true;
    facts.rare.queue = super::queue(&record);
    timing(&mut facts, event, &record);
    match family {
        None => root(&mut facts, &record, site),
        Some(_) => branch(&mut facts, &record, site),
    }
    facts.reason = None;
    if event.complete() {
        facts.cause = record.variable("hangup_cause").map(str::to_owned);
        facts.reason = match facts.role {
            Some(Role::Root) => of_root(&record),
            Some(Role::Branch) | None => facts.cause.as_deref().and_then(of_cause),
        };
    }
    facts.rare.transfers = handover::transfers(&facts, &record);
    recording(&mut facts, event, &record);
    if event.complete() {
        super::over(&mut facts, &record);
    }
    if !event.first_profile() && record.variable("direction") != Some("outbound") {
        glimpse(&mut facts, event.at);
    }
    let mut legs = joined(&mut facts, event, &record, site);
    legs.extend(handover::second_call(&facts, &record));
    legs.push(facts);
    Ok(legs)
}

/// After a transfer, what is known of the beginning is second hand.
fn glimpse(facts: &mut LegFacts, at: Timestamp) {
    let seen = |contact| Glimpse { at, contact };
    facts.caller_seen = facts.caller.take().map(seen);
    facts.dialled_seen = facts.dialled.take().map(seen);
}

fn timing(facts: &mut LegFacts, event: &Event<'_>, record: &Record) {
    let Some(flow) = record.flows.first() else {
        return;
    };
    facts.started = flow.time("created_time").or_else(|| record.time("start"));
    facts.answered = flow.time("answered_time").or_else(|| record.time("answer"));
    let over = [
        "CHANNEL_HANGUP",
        "CHANNEL_HANGUP_COMPLETE",
        "CHANNEL_DESTROY",
    ];
    if over.iter().any(|name| event.is(name)) {
        facts.ended = flow.time("hangup_time").or(Some(event.at));
        facts.started = facts.started.or(facts.ended);
    }
}

/// Notes whom the leg was joined with or parted from, and returns what that says of the other one, should its own events be
/// lost.
fn joined(facts: &mut LegFacts, event: &Event<'_>, record: &Record, site: &Site) -> Vec<LegFacts> {
    let (came, parted) = (event.is("CHANNEL_BRIDGE"), event.is("CHANNEL_UNBRIDGE"));
    if event.complete() {
        // As a call record has it, should the event of the bridge be lost.
        return bridges::of_record(facts, record, site);
    }
    if !came && !parted {
        return Vec::new();
    }
    let pair = ["Bridge-A-Unique-ID", "Bridge-B-Unique-ID"].map(|name| event.header(name));
    let mut pair = pair.into_iter().flatten().filter_map(vendor_id);
    let Some(id) = pair
        .find(|id| *id != facts.leg)
        .or_else(|| event.header("Other-Leg-Unique-ID").and_then(vendor_id))
    else {
        return Vec::new();
    };
    let bridged = record.flows.first().and_then(bridges::bridge);
    let at = bridged.map_or(event.at, |(start, _)| start);
    let own = facts.leg.clone();
    let mut other = LegFacts::new(facts.key.clone(), id.clone());
    if came {
        bridges::came(facts, &id, at);
        bridges::came(&mut other, &own, at);
    } else {
        bridges::left(facts, &id, event.at);
        bridges::left(&mut other, &own, event.at);
    }
    if !bridges::speaks_for(facts, &id, record) {
        return Vec::new();
    }
    let profiles = record
        .flows
        .iter()
        .flat_map(|flow| flow.originatees.iter().chain([&flow.originator]));
    let profile = profiles
        .into_iter()
        .find(|profile| said(profile, "uuid") == Some(id.as_str()));
    bridges::describe(&mut other, profile, facts, record, site);
    vec![other]
}

fn recording(facts: &mut LegFacts, event: &Event<'_>, record: &Record) {
    recordings(facts, record);
    let Some(file) = event.header("Record-File-Path") else {
        return;
    };
    if facts.voicemail {
        facts.rare.voicemail_link = Some(file.to_owned());
    } else {
        facts.recording_announced = true;
        facts.rare.recording = facts
            .rare
            .recording
            .take()
            .or_else(|| Some(file.to_owned()));
    }
}

/// What mod_callcenter says of a caller in its queue.
fn queue(event: &Event<'_>, site: &Site) -> Vec<LegFacts> {
    let Some(session) = event.header("CC-Member-Session-UUID").and_then(vendor_id) else {
        return Vec::new();
    };
    let key = CallKey {
        kind: Kind::Call,
        pbx: site.pbx.clone(),
        id: session.clone(),
    };
    let mut facts = LegFacts::new(key, session);
    facts.rare.queue = event.header("CC-Queue").map(super::without_domain);
    facts.reason = match (event.header("CC-Action"), event.header("CC-Cancel-Reason")) {
        (Some("member-queue-end"), Some("TIMEOUT" | "NO_AGENT_TIMEOUT")) => {
            Some(Reason::QueueTimeout)
        }
        (Some("member-queue-end"), Some("BREAK_OUT")) => Some(Reason::CallerGaveUp),
        _ => None,
    };
    vec![facts]
}
