//! FreeSWITCH: call records posted by mod_json_cdr, mod_xml_cdr or mod_format_cdr at the end of each leg, and events of
//! the event socket (`esl`).
//!
//! A record is one leg's. The family is one call: its id is the uuid of the leg that the others were set up by
//! (`originating_leg_uuid`; of a queue agent's leg `cc_member_session_uuid`). An a leg's record names its b legs and the
//! time it was bridged with each, so it gives facts of those too, and one module posting a legs alone is enough.

mod esl;
pub mod live;
mod reason;
mod record;

use super::body::{self, Payload};
use super::facts::{LegFacts, Role, TransferFact};
use super::{Malformed, NotUnderstood, PhoneEvent, RawEvent, Site, vendor_id};
use crate::terms::call::{Direction, TransferKind};
use crate::terms::ids::{CallKey, Kind};
use crate::terms::party::{self, Contact, Extension, Party};
use jiff::Timestamp;
use reason::{of_cause, of_root};
use record::{Flow, Record, said};

/// Most legs that one record may name: a hunt group of every phone in a large office.
const NAMED_LEGS_MAX: usize = 500;

/// FreeSWITCH's own name for a party without one.
const DEFAULT_NAME: &str = "Outbound Call";

/// See [`super::admit`].
pub fn admit(raw: &RawEvent<'_>) -> Result<(), Malformed> {
    if let Ok(text) = std::str::from_utf8(raw.body)
        && esl::is_plain(text.trim_start())
    {
        return Ok(());
    }
    match record::unwrap(raw.body)? {
        // What mod_json_cdr puts into a form may be beyond repair; it is taken, so that the reason can be shown.
        (Payload::Json(json), in_form) => match body::check_json(&json) {
            Err(Malformed::Json { .. }) if in_form => Ok(()),
            verdict => verdict,
        },
        (Payload::Xml(xml), _) => body::check_xml(&xml),
        (Payload::Form(form), _) => body::check_percent(form),
    }
}

/// See [`super::decode`].
pub fn decode(raw: &RawEvent<'_>, site: &Site) -> Result<Vec<PhoneEvent>, NotUnderstood> {
    if let Some(gone) = live::read(raw.body, site) {
        return Ok(vec![PhoneEvent::Leg(Box::new(gone))]);
    }
    if let Some(headers) = event(raw.body) {
        return esl::decode(&headers, raw, site);
    }
    let record = record::read(raw.body)?;
    let leg = record
        .variable("uuid")
        .and_then(vendor_id)
        .ok_or(NotUnderstood::Missing("variables.uuid"))?;
    let family = family(&record);
    let key = CallKey {
        kind: Kind::Call,
        pbx: site.pbx.clone(),
        id: family.clone().unwrap_or_else(|| leg.clone()),
    };
    let mut facts = LegFacts::new(key, leg);
    timing(&mut facts, &record, raw.received)?;
    facts.cause = record.variable("hangup_cause").map(str::to_owned);
    facts.queue = queue(&record);
    facts.transfers = transfers(&record);
    recordings(&mut facts, &record);
    if record.variable("transfer_disposition").is_some() {
        // This leg gave its partner away, who talks on and ends later.
        facts.awaits = record
            .variable("last_bridge_to")
            .and_then(vendor_id)
            .into_iter()
            .collect();
    }
    match family {
        None => root(&mut facts, &record, site),
        Some(_) => branch(&mut facts, &record, site),
    }
    let mut events = named_legs(&facts, &record, site);
    events.push(facts);
    Ok(events
        .into_iter()
        .map(|facts| PhoneEvent::Leg(Box::new(facts)))
        .collect())
}

/// The headers of an event of the event socket, if `body` is one.
fn event(body: &[u8]) -> Option<record::Fields> {
    let text = std::str::from_utf8(body).ok()?.trim_start();
    if esl::is_plain(text) {
        return Some(esl::from_plain(text));
    }
    if !text.starts_with('{') || !text.contains("\"Event-Name\"") {
        return None;
    }
    let object = serde_json::from_str(text).ok()?;
    esl::is_event(&object).then(|| esl::from_json(object))
}

fn queue(record: &Record) -> Option<String> {
    record.variable("cc_queue").map(without_domain)
}

/// `support` of `support@default`.
fn without_domain(name: &str) -> String {
    name.split('@').next().unwrap_or_default().to_owned()
}

/// The root leg's uuid, if this leg isn't it.
fn family(record: &Record) -> Option<String> {
    let agent = record.variable("cc_side") == Some("agent");
    let member = record.variable("cc_member_session_uuid").filter(|_| agent);
    member
        .or_else(|| record.variable("originating_leg_uuid"))
        .and_then(vendor_id)
}

fn timing(facts: &mut LegFacts, record: &Record, received: Timestamp) -> Result<(), NotUnderstood> {
    let created = record
        .flows
        .last()
        .and_then(|flow| flow.time("created_time"));
    let started = record
        .time("start")
        .or(created)
        .ok_or(NotUnderstood::Missing("variables.start_uepoch"))?;
    let hung_up = record
        .flows
        .iter()
        .find_map(|flow| flow.time("hangup_time"));
    // Posted at a leg's end, so a record without one ended when it came.
    let ended = record.time("end").or(hung_up).unwrap_or(received);
    facts.started = Some(started);
    facts.answered = record.time("answer");
    facts.ended = Some(ended);
    for flow in &record.flows {
        facts
            .bridged
            .extend(bridge(flow).map(|(start, end)| (start, Some(end.unwrap_or(ended)))));
    }
    if facts.bridged.is_empty() {
        facts
            .bridged
            .extend(record.time("bridge").map(|start| (start, Some(ended))));
    }
    Ok(())
}

/// When the leg was bridged during one stay in the dial plan, and the end if the flow has it.
fn bridge(flow: &Flow) -> Option<(Timestamp, Option<Timestamp>)> {
    let start = flow.time("bridged_time")?;
    // A time from before this stay is the last one's, carried along.
    if flow
        .time("profile_created_time")
        .is_some_and(|entered| start < entered)
    {
        return None;
    }
    Some((
        start,
        flow.time("transfer_time")
            .or_else(|| flow.time("hangup_time")),
    ))
}

fn root(facts: &mut LegFacts, record: &Record, site: &Site) {
    facts.role = Some(Role::Root);
    facts.reason = of_root(record);
    facts.shown = record
        .variable("effective_caller_id_number")
        .map(|shown| read(shown, None, site));
    let first = record.flows.last();
    let newest = record.flows.first();
    let destination = |flow: Option<&Flow>| {
        flow.and_then(|flow| flow.field("destination_number"))
            .map(str::to_owned)
    };
    if record.variable("direction") == Some("outbound") {
        // Nobody called in: a program had a phone called and then connected (click to call).
        let phone = destination(first)
            .or_else(|| record.variable("sip_to_user").map(str::to_owned))
            .unwrap_or_default();
        let target = if record.flows.len() > 1 {
            destination(newest)
        } else {
            None
        };
        let target = target.or_else(|| {
            record
                .variable("origination_caller_id_number")
                .map(str::to_owned)
        });
        let (phone, target) = (
            read(&phone, None, site),
            read(&target.unwrap_or_default(), None, site),
        );
        let ours_last = is_extension(&target) && !is_extension(&phone);
        let (ours, theirs) = if ours_last {
            (target, phone)
        } else {
            (phone, target)
        };
        if !is_extension(&theirs) {
            facts.direction = Some(Direction::Out);
        }
        facts.party = Some(ours.clone());
        (facts.caller, facts.dialled) = (Some(ours), Some(theirs));
        return;
    }
    let caller = caller(first, record, site);
    let dialled = destination(first).or_else(|| record.variable("sip_req_user").map(str::to_owned));
    facts.party = Some(caller.clone());
    facts.caller = Some(caller);
    facts.dialled = dialled.map(|dialled| read(&dialled, None, site));
}

/// Who called in. A phone of ours may show an outside number; what it logged on with tells.
fn caller(first: Option<&Flow>, record: &Record, site: &Site) -> Contact {
    let number = first
        .and_then(|flow| flow.field("caller_id_number"))
        .or_else(|| record.variable("sip_from_user"));
    let name = first
        .and_then(|flow| flow.field("caller_id_name"))
        .or_else(|| record.variable("sip_from_display"));
    let shown = read(number.unwrap_or_default(), name, site);
    let login = ["user_name", "sip_auth_username"]
        .iter()
        .find_map(|name| record.variable(name));
    let login = login
        .map(|login| read(login, name, site))
        .filter(is_extension);
    if is_extension(&shown) {
        shown
    } else {
        login.unwrap_or(shown)
    }
}

fn branch(facts: &mut LegFacts, record: &Record, site: &Site) {
    facts.role = Some(Role::Branch);
    facts.reason = facts.cause.as_deref().and_then(of_cause);
    let first = record.flows.last();
    let profile = |name: &str| first.and_then(|flow| flow.field(name));
    // A phone that logged on is called by a contact address that may say nothing; the user that was dialled does.
    let parties = [
        record.variable("dialed_user"),
        profile("destination_number"),
        record.variable("sip_to_user"),
    ];
    let mut parties = parties
        .into_iter()
        .flatten()
        .map(|party| read(party, None, site));
    let sent = parties.next();
    let ours = sent.clone().into_iter().chain(parties).find(is_extension);
    facts.party = ours.or(sent);
    let shown =
        profile("caller_id_number").map(|shown| read(shown, profile("caller_id_name"), site));
    let originator = |name: &str| first.and_then(|flow| said(&flow.originator, name));
    facts.caller = originator("caller_id_number")
        .map(|caller| read(caller, originator("caller_id_name"), site));
    facts.dialled = originator("destination_number").map(|dialled| read(dialled, None, site));
    if facts.caller.is_none() {
        facts.caller = shown.clone();
    }
    facts.shown = shown;
}

/// The legs that this one set up, as far as its record tells of them.
fn named_legs(facts: &LegFacts, record: &Record, site: &Site) -> Vec<LegFacts> {
    let new = |id: &str| {
        let mut named = LegFacts::new(facts.key.clone(), vendor_id(id)?);
        named.role = Some(Role::Branch);
        Some(named)
    };
    let mut legs = Vec::new();
    // uuid;name;number
    for entry in record
        .values("originated_legs")
        .into_iter()
        .take(NAMED_LEGS_MAX)
    {
        let mut parts = entry.splitn(3, ';');
        let (id, number) = (parts.next().unwrap_or_default(), parts.nth(1));
        if let Some(mut named) = new(id) {
            named.party = number.map(|number| read(number, None, site));
            legs.push(named);
        }
    }
    // uuid;cause
    for entry in record
        .values("originate_causes")
        .into_iter()
        .take(NAMED_LEGS_MAX)
    {
        let (id, cause) = entry.split_once(';').unwrap_or((entry, ""));
        if let Some(mut named) = new(id).filter(|_| !matches!(cause, "" | "NONE")) {
            named.cause = Some(cause.to_owned());
            named.reason = of_cause(cause);
            legs.push(named);
        }
    }
    for flow in &record.flows {
        let Some((start, end)) = bridge(flow) else {
            continue;
        };
        let last = record.variable("last_bridge_to");
        let bridged = match flow.originatees.as_slice() {
            [only] => Some(only),
            several => several.iter().find(|profile| said(profile, "uuid") == last),
        };
        let Some(mut named) = bridged.and_then(|profile| new(said(profile, "uuid")?)) else {
            continue;
        };
        named.party = bridged
            .and_then(|profile| said(profile, "destination_number"))
            .map(|number| read(number, None, site));
        named
            .bridged
            .insert(start, Some(end.or(facts.ended).unwrap_or(start)));
        legs.push(named);
    }
    legs.retain(|named| named.leg != facts.leg);
    legs
}

/// Hand-overs in `transfer_history`: `epoch:uuid:kind:detail`. A queue's own bridging (`uuid_br`) is none.
fn transfers(record: &Record) -> std::collections::BTreeSet<TransferFact> {
    let read = |entry: &str| {
        let mut parts = entry.splitn(4, ':');
        let second = record::seconds(parts.next()?)?;
        let (kind, detail) = (parts.nth(1)?, parts.next()?);
        let (kind, from, to) = match kind {
            "bl_xfer" => (TransferKind::Blind, None, detail.split('/').next()?),
            // from@context/to@context
            "att_xfer" => {
                let (from, to) = detail.split_once('/').unwrap_or(("", detail));
                (
                    TransferKind::Attended,
                    from.split('@').next(),
                    to.split('@').next()?,
                )
            }
            _ => return None,
        };
        let from = from.filter(|from| !from.is_empty()).map(str::to_owned);
        // The history has whole seconds; the call flow has the same moment in microseconds.
        let mut exact = record.flows.iter().flat_map(|flow| {
            let entered = flow.time("profile_created_time");
            flow.time("transfer_time").into_iter().chain(entered)
        });
        let at = exact
            .find(|time| time.as_second() == second.as_second())
            .unwrap_or(second);
        (!to.is_empty()).then(|| TransferFact {
            at,
            kind,
            from,
            to: to.to_owned(),
        })
    };
    record
        .values("transfer_history")
        .into_iter()
        .filter_map(read)
        .collect()
}

fn recordings(facts: &mut LegFacts, record: &Record) {
    let ran = |wanted: &str| record.applications.iter().any(|(name, _)| name == wanted);
    facts.recording_announced =
        ran("record_session") || ran("record") || record.variable("record_ms").is_some();
    // Not in FreeSWITCH itself: FusionPBX's dial plan sets these.
    facts.recording = match (
        record.variable("record_path"),
        record.variable("record_name"),
    ) {
        (Some(path), Some(name)) => Some(format!("{}/{name}", path.trim_end_matches('/'))),
        (Some(_), None) | (None, _) => None,
    };
    facts.recording_announced |= facts.recording.is_some();
    // The same application plays messages back (`check …`).
    facts.voicemail = record
        .applications
        .iter()
        .any(|(name, data)| name == "voicemail" && !data.starts_with("check"));
}

fn read(raw: &str, name: Option<&str>, site: &Site) -> Contact {
    party::read(
        raw,
        name.filter(|name| *name != DEFAULT_NAME),
        &site.plan,
        &site.extensions,
    )
}

fn is_extension(contact: &Contact) -> bool {
    match &contact.party {
        Party::Extension(Extension(_)) => true,
        Party::Number(_) | Party::Short(_) | Party::Anonymous | Party::Invalid => false,
    }
}
