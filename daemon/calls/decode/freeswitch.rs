//! FreeSWITCH: call records posted by mod_json_cdr, mod_xml_cdr or mod_format_cdr at the end of each leg, and events of
//! the event socket (`esl`).
//!
//! A record is one leg's. The family is one call: its id is the uuid of the leg that the others were set up by
//! (`originating_leg_uuid`; of a queue agent's leg `cc_member_session_uuid`). An a leg's record names its b legs and the
//! time it was bridged with each, so it gives facts of those too, and one module posting a legs alone is enough.

mod bridges;
mod esl;
mod handover;
pub mod live;
mod reason;
mod record;

use super::body::{self, Payload};
use super::facts::{LegFacts, Line, Role};
use super::{Malformed, NotUnderstood, PhoneEvent, RawEvent, Site, vendor_id};
use crate::terms::call::Direction;
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
    let family = handover::family(&record);
    let key = CallKey {
        kind: Kind::Call,
        pbx: site.pbx.clone(),
        id: family.clone().unwrap_or_else(|| leg.clone()),
    };
    let mut facts = LegFacts::new(key, leg);
    timing(&mut facts, &record, raw.received)?;
    facts.cause = record.variable("hangup_cause").map(str::to_owned);
    facts.rare.queue = queue(&record);
    recordings(&mut facts, &record);
    if record.variable("transfer_disposition") == Some("recv_replace") {
        // This leg gave its partner away, who talks on and ends later.
        facts.rare.awaits = record
            .variable("last_bridge_to")
            .and_then(vendor_id)
            .into_iter()
            .collect();
    }
    match family {
        None => root(&mut facts, &record, site),
        Some(_) => branch(&mut facts, &record, site),
    }
    over(&mut facts, &record);
    facts.rare.transfers = handover::transfers(&facts, &record);
    let mut events = named_legs(&facts, &record, site);
    events.extend(bridges::of_record(&mut facts, &record, site));
    events.extend(handover::second_call(&facts, &record));
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
    Ok(())
}

fn root(facts: &mut LegFacts, record: &Record, site: &Site) {
    facts.role = Some(Role::Root);
    facts.reason = of_root(record);
    facts.shown = record
        .variable("effective_caller_id_number")
        .map(|shown| read(shown, None, site));
    if record.variable("direction") == Some("outbound") {
        program(facts, record, site);
    } else {
        let first = record.flows.last();
        let caller = caller(first, record, site);
        let dialled = destination(first).or_else(|| record.variable("sip_req_user"));
        facts.party = Some(caller.clone());
        facts.line = Some(bridges::line(Some(&caller), channel(record)));
        facts.caller = Some(caller);
        facts.dialled = dialled.map(|dialled| read(dialled, None, site));
        direction(facts, record);
    }
}

/// Nobody called in: a program had a phone called and then connected (click to call).
fn program(facts: &mut LegFacts, record: &Record, site: &Site) {
    let phone = destination(record.flows.last()).or_else(|| record.variable("sip_to_user"));
    let target = destination(record.flows.first()).filter(|_| record.flows.len() > 1);
    let target = target.or_else(|| record.variable("origination_caller_id_number"));
    let phone = read(phone.unwrap_or_default(), None, site);
    let target = read(target.unwrap_or_default(), None, site);
    facts.line = Some(bridges::line(Some(&phone), channel(record)));
    facts.party = Some(phone.clone());
    let (ours, theirs) = if is_extension(&target) && !is_extension(&phone) {
        (target, phone)
    } else {
        (phone, target)
    };
    if !is_extension(&theirs) {
        facts.direction = Some(Direction::Out);
    }
    (facts.caller, facts.dialled) = (Some(ours), Some(theirs));
}

fn destination(flow: Option<&Flow>) -> Option<&str> {
    flow.and_then(|flow| flow.field("destination_number"))
}

fn channel(record: &Record) -> Option<&str> {
    record.variable("channel_name")
}

/// The direction where the dial plan says it, as FusionPBX's does; after a transfer it says that of the next leg.
fn direction(facts: &mut LegFacts, record: &Record) {
    let said = record
        .variable("call_direction")
        .filter(|_| record.flows.len() <= 1);
    let ours = facts.caller.as_ref().is_some_and(is_extension);
    match said {
        Some("inbound") => {
            facts.direction = Some(Direction::In);
            facts.line = Some(Line::Trunk);
        }
        Some("outbound") if ours => facts.direction = Some(Direction::Out),
        Some(_) | None => {}
    }
}

/// What only the end of a leg tells.
fn over(facts: &mut LegFacts, record: &Record) {
    // A word or code of the dial plan that set up no leg stayed in the house: a conference, a mailbox, a queue.
    let stayed = match facts.dialled.as_ref().map(|dialled| &dialled.party) {
        Some(Party::Short(digits)) => !party::is_emergency(digits),
        Some(Party::Invalid) => true,
        Some(Party::Number(_) | Party::Extension(_) | Party::Anonymous) | None => false,
    };
    let ours = facts.caller.as_ref().is_some_and(is_extension);
    let alone = record.variable("originated_legs").is_none();
    if facts.role == Some(Role::Root) && facts.direction.is_none() && ours && stayed && alone {
        facts.direction = Some(Direction::Internal);
    }
    // The mailbox says which message it kept.
    facts.rare.voicemail_link = record.variable("voicemail_file_path").map(str::to_owned);
    facts.no_message = facts.voicemail && facts.rare.voicemail_link.is_none();
}

/// Who called in. A phone of ours may show an outside number; what it logged on with tells.
fn caller(first: Option<&Flow>, record: &Record, site: &Site) -> Contact {
    // Once joined with another leg from outside the dial plan, even the first profile may show that one.
    let field = |name: &str| {
        let joined = handover::was_joined(record);
        first.and_then(|flow| flow.field(if joined { "ani" } else { name }))
    };
    let number = field("caller_id_number").or_else(|| record.variable("sip_from_user"));
    let display = record.variable("sip_from_display");
    let name = if handover::was_joined(record) {
        display
    } else {
        field("caller_id_name").or(display)
    };
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
    if record.variable("direction") == Some("inbound") {
        // A phone that took the call: what it dialled is the code for that, and whom it took isn't told.
        facts.party = Some(caller(first, record, site));
        facts.line = Some(bridges::line(facts.party.as_ref(), channel(record)));
        return;
    }
    facts.line = Some(bridges::line(facts.party.as_ref(), channel(record)));
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
    legs.retain(|named| named.leg != facts.leg);
    legs
}

fn recordings(facts: &mut LegFacts, record: &Record) {
    let ran = |wanted: &str| record.applications.iter().any(|(name, _)| name == wanted);
    // The same application plays messages back (`check …`).
    let mailbox =
        |(name, data): &&(String, String)| name == "voicemail" && !data.starts_with("check");
    let mailbox = record.applications.iter().find(mailbox);
    facts.voicemail = mailbox.is_some();
    // `default DOMAIN 101`
    let owner = mailbox.and_then(|(_, data)| data.split_whitespace().nth(2));
    facts.rare.mailbox = owner.map(|owner| Extension(owner.to_owned()));
    // A mailbox records too.
    facts.recording_announced = ran("record_session")
        || ran("record")
        || (record.variable("record_ms").is_some() && !ran("voicemail"));
    // Not in FreeSWITCH itself: FusionPBX's dial plan sets these.
    facts.rare.recording = match (
        record.variable("record_path"),
        record.variable("record_name"),
    ) {
        (Some(path), Some(name)) => Some(format!("{}/{name}", path.trim_end_matches('/'))),
        (Some(_), None) | (None, _) => None,
    };
    facts.recording_announced |= facts.rare.recording.is_some();
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
