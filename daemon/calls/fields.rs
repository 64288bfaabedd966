//! What a note says of a call or text: the fields of its template, in words. Pure; `entry` asks for them, `note` sets
//! them. Everything that came from outside is one line here, or lines that the template sets in.

use jiff::tz::TimeZone;
use serde::Serialize;

use super::entry::{Agent, EXTERNAL_ID_BYTES_MAX, Names};
use super::note::{
    LINK_UNITS_MAX, LIST_ITEMS_MAX, PROSE_UNITS_MAX, SUMMARY_UNITS_MAX, TRANSCRIPT_UNITS_MAX,
    VALUE_UNITS_MAX, clock_time, one_line, prose, spoken, whole_seconds,
};
use crate::settings::types::KustomerSettings;
use crate::terms::call::{Call, CallType, Direction};
use crate::terms::number::E164;
use crate::terms::party::{Contact, Extension, Party};
use crate::terms::text::{Fate, Report, Text};

/// What a call's template may use; its list for administrators is in config/note.txt.j2.
#[derive(Clone, Debug, Default, Serialize)]
pub struct CallFields {
    pub heading: String,
    pub direction: &'static str,
    pub r#type: &'static str,
    pub reason: Option<&'static str>,
    pub other: String,
    pub other_name: Option<String>,
    pub our_number: Option<String>,
    pub our_label: Option<String>,
    pub queue: Option<String>,
    pub agent: Option<String>,
    pub agent_email: Option<String>,
    pub agents: Vec<String>,
    pub started: String,
    pub answered: Option<String>,
    pub ended: String,
    pub waited: String,
    pub talked: String,
    pub zone: String,
    pub transfers: Vec<String>,
    pub recording: Option<String>,
    pub recorded: bool,
    pub voicemail: bool,
    pub voicemail_link: Option<String>,
    pub tags: Vec<String>,
    pub agent_note: Vec<String>,
    pub summary: Vec<String>,
    pub transcript: Vec<String>,
    pub other_customers: Vec<String>,
    pub doubts: Vec<String>,
    pub call_id: String,
    pub talk_seconds: i64,
    pub wait_seconds: i64,
    pub started_at: String,
    pub answered_at: Option<String>,
    pub ended_at: String,
}

/// What a text's template uses.
#[derive(Clone, Debug, Default, Serialize)]
pub struct TextFields {
    pub heading: String,
    pub direction: &'static str,
    pub from: String,
    pub to: String,
    pub agent: Option<String>,
    pub at: String,
    /// What became of one that was sent: `delivered`, or `not delivered` and why.
    pub status: Option<String>,
    pub body: Vec<String>,
    pub media: Vec<String>,
    pub other_customers: Vec<String>,
    pub text_id: String,
    pub sent_at: String,
}

/// One of our people with their e-mail, from the agent map or because the login is one.
pub fn agent_of(extension: &Extension, names: &Names<'_>) -> Agent {
    let login = one_line(&extension.0, VALUE_UNITS_MAX);
    let mapped = names.agents.get(&extension.0).cloned();
    let email = mapped.or_else(|| login.contains('@').then(|| login.clone()));
    Agent { login, email }
}

fn agent_label(agent: &Agent) -> String {
    match &agent.email {
        Some(email) if *email != agent.login => format!("{} ({email})", agent.login),
        Some(_) | None => agent.login.clone(),
    }
}

/// The fields of a call.
pub fn call_fields(
    call: &Call,
    integration: &KustomerSettings,
    zone: &TimeZone,
    names: &Names<'_>,
    others: &[String],
) -> CallFields {
    let (what, result) = heading_parts(call);
    let last = call.agent.as_ref().map(|agent| agent_of(agent, names));
    let first = call
        .first_agent
        .as_ref()
        .filter(|first| call.agent.as_ref() != Some(*first));
    let first = first.map(|first| agent_of(first, names));
    let our_number = call.connected.as_ref().map(ToString::to_string);
    let hidden = call.other.party == Party::Anonymous;
    let customer = names.customer.filter(|_| call.other.number().is_some());
    let link = |link: &Option<String>| link.as_deref().map(|link| one_line(link, LINK_UNITS_MAX));
    CallFields {
        heading: format!("{what}, {result}"),
        direction: call.direction.word(),
        r#type: call.call_type.words(),
        reason: call.reason.map(super::super::terms::call::Reason::words),
        other: shown(&call.other),
        other_name: value(customer.or(call.other.name.as_deref().filter(|_| !hidden))),
        our_number: our_number.or_else(|| value(call.connected_raw.as_deref())),
        our_label: call
            .connected
            .as_ref()
            .and_then(|number| label(number, integration)),
        queue: value(call.queue.as_deref()),
        agents: first.iter().chain(&last).map(agent_label).collect(),
        agent_email: last.as_ref().and_then(|agent| agent.email.clone()),
        agent: last.map(|agent| agent.login),
        started: clock_time(call.started, zone),
        answered: call.answered.map(|at| clock_time(at, zone)),
        ended: clock_time(call.ended, zone),
        waited: spoken(call.wait),
        talked: spoken(call.talk),
        zone: zone.iana_name().unwrap_or("UTC").to_owned(),
        transfers: list(call.transfers.iter().map(|transfer| {
            format!(
                "from {} to {} ({})",
                transfer.from,
                transfer.to,
                transfer.kind.word()
            )
        })),
        recording: link(&call.recording),
        recorded: call.recording_announced || call.recording.is_some(),
        voicemail: call.voicemail,
        voicemail_link: link(&call.voicemail_link),
        tags: list(call.tags.iter().cloned()),
        agent_note: said(&call.agent_note, PROSE_UNITS_MAX),
        summary: said(&call.summary, SUMMARY_UNITS_MAX),
        transcript: said(&call.transcript, TRANSCRIPT_UNITS_MAX),
        other_customers: list(others.iter().cloned()),
        doubts: list(call.doubts.iter().cloned()),
        call_id: one_line(&call.key.to_string(), EXTERNAL_ID_BYTES_MAX),
        talk_seconds: whole_seconds(call.talk),
        wait_seconds: whole_seconds(call.wait),
        started_at: call.started.to_string(),
        answered_at: call.answered.as_ref().map(ToString::to_string),
        ended_at: call.ended.to_string(),
    }
}

/// The fields of a text.
pub fn text_fields(
    text: &Text,
    integration: &KustomerSettings,
    zone: &TimeZone,
    names: &Names<'_>,
    others: &[String],
) -> TextFields {
    let outgoing = text.direction == Direction::Out;
    let customer = names.customer.or(text.other().name.as_deref());
    let other = match value(customer) {
        Some(name) => format!("{name}, {}", shown(text.other())),
        None => shown(text.other()),
    };
    let ours = text.ours();
    let label = ours.number().and_then(|number| label(number, integration));
    let agent = match &ours.party {
        Party::Extension(extension) => Some(agent_label(&agent_of(extension, names))),
        Party::Number(_) | Party::Short(_) | Party::Anonymous | Party::Invalid => None,
    };
    let ours = match label {
        Some(label) => format!("{} ({label})", shown(ours)),
        None => shown(ours),
    };
    let (from, to) = if outgoing {
        (ours, other)
    } else {
        (other, ours)
    };
    TextFields {
        heading: if text.failed() {
            "Text not delivered"
        } else if outgoing {
            "Text sent"
        } else {
            "Text received"
        }
        .to_owned(),
        direction: text.direction.word(),
        from,
        to,
        agent,
        at: clock_time(text.at, zone),
        status: text.report.as_ref().map(fate),
        body: prose(&text.body, PROSE_UNITS_MAX),
        media: text
            .media
            .iter()
            .take(LIST_ITEMS_MAX)
            .map(|link| one_line(link, LINK_UNITS_MAX))
            .collect(),
        other_customers: list(others.iter().cloned()),
        text_id: one_line(&text.key.to_string(), EXTERNAL_ID_BYTES_MAX),
        sent_at: text.at.to_string(),
    }
}

fn fate(report: &Report) -> String {
    let fate = match report.fate {
        Fate::Delivered => "delivered",
        Fate::Failed => "not delivered",
    };
    match value(report.why.as_deref()) {
        Some(why) => format!("{fate}: {why}"),
        None => fate.to_owned(),
    }
}

/// A text of several lines; none is none.
fn said(text: &Option<String>, units_max: usize) -> Vec<String> {
    prose(text.as_deref().unwrap_or_default(), units_max)
}

/// A value from outside for one line of the note; none if nothing is left of it.
fn value(text: Option<&str>) -> Option<String> {
    text.map(|text| one_line(text, VALUE_UNITS_MAX))
        .filter(|text| !text.is_empty())
}

/// The first [`LIST_ITEMS_MAX`] values that say something; a last one counts what is missing.
fn list(items: impl Iterator<Item = String>) -> Vec<String> {
    let mut shown: Vec<String> = items.filter_map(|item| value(Some(&item))).collect();
    let missing = shown.len().saturating_sub(LIST_ITEMS_MAX);
    shown.truncate(LIST_ITEMS_MAX);
    if missing > 0 {
        shown.push(format!("and {missing} more"));
    }
    shown
}

fn label(number: &E164, integration: &KustomerSettings) -> Option<String> {
    value(integration.calls.labels.get(number).map(String::as_str))
}

/// A party as people read it: the number, or what stands for it.
pub fn shown(contact: &Contact) -> String {
    match &contact.party {
        Party::Number(number) => number.to_string(),
        Party::Anonymous => "anonymous".to_owned(),
        Party::Extension(_) | Party::Short(_) | Party::Invalid => {
            one_line(&contact.raw, VALUE_UNITS_MAX)
        }
    }
}

/// `Incoming call` and its result, `missed: no answer`.
pub fn heading_parts(call: &Call) -> (&'static str, String) {
    let because = |result: &str| match call.reason {
        Some(reason) => format!("{result}: {}", reason.words()),
        None => result.to_owned(),
    };
    match call.call_type {
        CallType::IncomingAnswered => ("Incoming call", "answered".to_owned()),
        CallType::IncomingMissed => ("Incoming call", because("missed")),
        CallType::Voicemail => ("Incoming call", because("voicemail")),
        CallType::OutgoingAnswered => ("Outgoing call", "answered".to_owned()),
        CallType::OutgoingUnanswered => ("Outgoing call", because("not answered")),
        CallType::Internal if call.answered.is_some() => ("Internal call", "answered".to_owned()),
        CallType::Internal => ("Internal call", because("not answered")),
    }
}

/// A call that has everything, so that a template's every branch is tried.
pub fn full_sample() -> CallFields {
    let text = |text: &str| text.to_owned();
    let some = |text: &str| Some(text.to_owned());
    CallFields {
        heading: text("Incoming call, answered"),
        direction: "in",
        r#type: "incoming answered",
        reason: Some("no answer"),
        other: text("+491711234567"),
        other_name: some("Max Muster"),
        our_number: some("+4921155500100"),
        our_label: some("Support"),
        queue: some("support"),
        agent: some("102"),
        agent_email: some("ada@example.org"),
        agents: vec![
            text("101 (grace@example.org)"),
            text("102 (ada@example.org)"),
        ],
        started: text("2026-11-20 13:24:29 CET"),
        answered: some("2026-11-20 13:24:31 CET"),
        ended: text("2026-11-20 13:24:36 CET"),
        waited: text("2 s"),
        talked: text("5 s"),
        zone: text("Europe/Berlin"),
        transfers: vec![text("from 101 to 102 (blind)")],
        recording: some("https://pbx.example/r/a1"),
        recorded: true,
        voicemail: true,
        voicemail_link: some("https://pbx.example/v/a1"),
        tags: vec![text("sales")],
        agent_note: vec![text("wants a call back")],
        summary: vec![text("An order is late.")],
        transcript: vec![text("Grace: Hello?"), text("Max: My order is late.")],
        other_customers: vec![text("Erika Muster (customer 5f71d9b3c2a4e8001b6d0a11)")],
        doubts: vec![text("ended before it started")],
        call_id: text("hq:a1"),
        talk_seconds: 5,
        wait_seconds: 2,
        started_at: text("2026-11-20T12:24:29.009Z"),
        answered_at: some("2026-11-20T12:24:31Z"),
        ended_at: text("2026-11-20T12:24:36Z"),
    }
}

/// A text that has everything.
pub fn full_text_sample() -> TextFields {
    let text = |text: &str| text.to_owned();
    TextFields {
        heading: text("Text received"),
        direction: "in",
        from: text("Max Muster, +491711234567"),
        to: text("+4921155500100 (Support)"),
        agent: Some(text("101 (grace@example.org)")),
        at: text("2026-11-20 13:24:29 CET"),
        status: Some(text("delivered")),
        body: vec![text("Is my order ready?")],
        media: vec![text("https://pbx.example/m/1.jpg")],
        other_customers: vec![text("Erika Muster (customer 5f71d9b3c2a4e8001b6d0a11)")],
        text_id: text("hq:m1"),
        sent_at: text("2026-11-20T12:24:29Z"),
    }
}
