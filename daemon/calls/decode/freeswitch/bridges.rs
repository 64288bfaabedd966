//! Who was joined with whom, and when, out of one leg's record or event.
//!
//! FreeSWITCH joins legs in pairs, and a leg is in one pair at a time: a room is named after its two legs, so that whatever
//! tells of it, from either side, means the same room.

use super::record::{Fields, Flow, Record, said};
use crate::calls::decode::facts::{LegFacts, Line, Role, Stay};
use crate::calls::decode::{Site, vendor_id};
use crate::terms::party::Contact;
use jiff::Timestamp;

/// The channel driver that links two legs inside FreeSWITCH: nobody is on it.
const LOOPBACK: &str = "loopback/";

/// What is at the end of a leg. FreeSWITCH doesn't say which of its lines lead outside, so who is no phone of ours is outside.
pub fn line(party: Option<&Contact>, channel: Option<&str>) -> Line {
    if channel.is_some_and(|name| name.starts_with(LOOPBACK)) {
        Line::Machine
    } else if party.is_some_and(super::is_extension) {
        Line::Phone
    } else {
        Line::Trunk
    }
}

/// `leg` came into the room that it shares with `other`.
pub fn came(leg: &mut LegFacts, other: &str, at: Timestamp) {
    stay(leg, other, at, true);
}

/// `leg` left the room that it shares with `other`.
pub fn left(leg: &mut LegFacts, other: &str, at: Timestamp) {
    stay(leg, other, at, false);
}

fn stay(leg: &mut LegFacts, other: &str, at: Timestamp, came: bool) {
    let own = leg.leg.as_str();
    let bridge = format!("{} {}", own.min(other), own.max(other));
    leg.stays.insert(Stay { at, bridge, came });
}

/// When the leg was bridged during one stay in the dial plan, and the end if the flow has it.
pub fn bridge(flow: &Flow) -> Option<(Timestamp, Option<Timestamp>)> {
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

/// The other leg of a bridge, as far as a record knows it.
struct Partner<'a> {
    id: Option<String>,
    profile: Option<&'a Fields>,
}

/// Adds the leg's own comings and goings, and returns what the record says of the legs that it was joined with.
pub fn of_record(facts: &mut LegFacts, record: &Record, site: &Site) -> Vec<LegFacts> {
    let mut stretches = Vec::new();
    for (age, flow) in record.flows.iter().enumerate() {
        if let Some((start, end)) = bridge(flow) {
            stretches.push((start, end.or(facts.ended), partner(flow, age == 0, record)));
        }
    }
    if stretches.is_empty()
        && let Some(start) = record.time("bridge")
    {
        let id = record.variable("last_bridge_to").and_then(vendor_id);
        stretches.push((start, facts.ended, Partner { id, profile: None }));
    }
    let mut others = Vec::new();
    for (start, end, partner) in stretches {
        let own = facts.leg.clone();
        let known = partner.id.is_some();
        // Somebody of whom the record says nothing.
        let id = partner.id.unwrap_or_else(|| format!("{own}?"));
        if id == own {
            continue;
        }
        let mut other = LegFacts::new(facts.key.clone(), id.clone());
        describe(&mut other, partner.profile, facts, record, site);
        came(facts, &id, start);
        came(&mut other, &own, start);
        if let Some(end) = end {
            left(facts, &id, end);
            left(&mut other, &own, end);
        }
        if !known || speaks_for(facts, &id, record) {
            others.push(other);
        }
    }
    others
}

/// The last one that the leg was joined with during a stay. A later one of the same stay overwrites the time of the first.
fn partner<'a>(flow: &'a Flow, newest: bool, record: &Record) -> Partner<'a> {
    let last = record.variable("last_bridge_to").filter(|_| newest);
    let named = || flow.originatees.iter().chain([&flow.originator]);
    let profile = match last {
        Some(last) => named().find(|profile| said(profile, "uuid") == Some(last)),
        None => named().find(|profile| said(profile, "uuid").is_some()),
    };
    let id = last.or_else(|| profile.and_then(|profile| said(profile, "uuid")));
    Partner {
        id: id.and_then(vendor_id),
        profile,
    }
}

/// Says of the `other` leg, with which `facts` was joined, what its profile tells.
pub fn describe(
    other: &mut LegFacts,
    profile: Option<&Fields>,
    facts: &LegFacts,
    record: &Record,
    site: &Site,
) {
    let channel = profile.and_then(|profile| said(profile, "chan_name"));
    let channel = channel.or_else(|| record.variable("bridge_channel"));
    if other.leg == other.key.id {
        // The caller; more is told by its own record.
        other.line = Some(line(facts.caller.as_ref(), channel));
        return;
    }
    let number = profile.and_then(who);
    other.role = Some(Role::Branch);
    other.party = number.map(|number| super::read(number, None, site));
    other.line = Some(line(other.party.as_ref(), channel));
}

/// Who is on the leg of a profile. A channel is named `sofia/<profile>/<user>@<host>`, after whom it calls if FreeSWITCH set
/// it up, and else after who called; what that one dialled says nothing of who it is.
fn who(profile: &Fields) -> Option<&str> {
    let named = said(profile, "chan_name")?.rsplit('/').next()?;
    let user = named.split('@').next()?;
    ["destination_number", "ani"]
        .into_iter()
        .filter_map(|field| said(profile, field))
        .find(|number| *number == user)
}

/// Whether the record's leg set the other one up.
pub fn set_up(record: &Record, id: &str) -> bool {
    let legs = record.values("originated_legs");
    let mut ids = legs.iter().filter_map(|leg| leg.split(';').next());
    ids.any(|leg| leg == id)
}

/// Whether the record of this leg may say that the other one is of its call: facts under a call's key make it one call.
/// A leg that somebody was handed to knows the caller, and is of the caller's call, not the other way round.
pub fn speaks_for(facts: &LegFacts, id: &str, record: &Record) -> bool {
    facts.role == Some(Role::Root) || facts.key.id == id || set_up(record, id)
}
