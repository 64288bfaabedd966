//! Who was handed to whom, and which call a leg is of, out of FreeSWITCH's variables.

use super::record::{self, Record};
use crate::calls::decode::facts::{LegFacts, TransferFact};
use crate::calls::decode::few::Few;
use crate::calls::decode::vendor_id;
use crate::terms::call::TransferKind;
use jiff::Timestamp;

/// Applications that take a call which rings or waits elsewhere.
const PICKING: [&str; 2] = ["intercept", "valet_park"];

/// The root leg's uuid, or that of a leg of the root's call, if this leg isn't the root.
pub fn family(record: &Record) -> Option<String> {
    let agent = record.variable("cc_side") == Some("agent");
    let member = record.variable("cc_member_session_uuid").filter(|_| agent);
    member
        .or_else(|| record.variable("originating_leg_uuid"))
        .or_else(|| far_end(record))
        .or_else(|| picked_up(record))
        .and_then(vendor_id)
}

/// Of the second half of a link inside FreeSWITCH: the first.
fn far_end(record: &Record) -> Option<&str> {
    let far = record.variable("other_loopback_leg_uuid");
    far.filter(|_| record.variable("loopback_leg") == Some("B"))
}

/// Of a phone that took somebody else's call: that call's leg.
fn picked_up(record: &Record) -> Option<&str> {
    let ran = record
        .variable("last_app")
        .or_else(|| record.variable("current_application"));
    // A phone that parks, or waits, has been given a place itself.
    let waits = record.variable("valet_lot_extension").is_some();
    let own = record.variable("direction") == Some("inbound");
    if !own || waits || !ran.is_some_and(|app| PICKING.contains(&app)) {
        return None;
    }
    joined(record).pop().map(|(_, other)| other)
}

/// The legs that this one was joined with from outside the dial plan (`uuid_br`), and when.
fn joined(record: &Record) -> Vec<(Timestamp, &str)> {
    let history = record.values("transfer_history").into_iter();
    history
        .filter_map(|entry| {
            let (second, kind, detail) = parts(entry)?;
            (kind == "uuid_br").then_some((second, detail))
        })
        .collect()
}

/// Whether the leg was joined with another one so. Its caller id may be the other side's since.
pub fn was_joined(record: &Record) -> bool {
    !joined(record).is_empty()
}

/// One entry of `transfer_history`: `epoch:uuid:kind:detail`.
fn parts(entry: &str) -> Option<(Timestamp, &str, &str)> {
    let mut parts = entry.splitn(4, ':');
    let second = record::seconds(parts.next()?)?;
    Some((second, parts.nth(1)?, parts.next()?))
}

/// The hand-overs that a leg's variables tell of. A queue's own bridging (`uuid_br`) is none.
pub fn transfers(facts: &LegFacts, record: &Record) -> Few<TransferFact> {
    let own = facts.party.as_ref().map(|party| party.raw.as_str());
    let ours = facts.party.as_ref().is_some_and(super::is_extension);
    let stated = |entry: &str| {
        let (second, kind, detail) = parts(entry)?;
        let (kind, from, to) = match kind {
            "bl_xfer" => (TransferKind::Blind, None, detail.split('/').next()?),
            // from@host/to@host, and `to` is whose leg this is, even if it is the one that was handed over.
            "att_xfer" => {
                let (from, to) = detail.split_once('/').unwrap_or(("", detail));
                let to = to.split('@').next()?;
                let to = if !ours && own == Some(to) { "" } else { to };
                (TransferKind::Attended, from.split('@').next(), to)
            }
            _ => return None,
        };
        // A word of the dial plan is nobody: who took the call from there got it.
        let to = if to.contains(|letter: char| letter.is_ascii_digit()) {
            to
        } else {
            ""
        };
        let from = from.filter(|from| !from.is_empty());
        Some(fact(record, second, kind, from, to))
    };
    let history = record.values("transfer_history").into_iter();
    history
        .filter_map(stated)
        .chain(by_key(facts, record))
        .collect()
}

/// `att_xfer` of the dial plan: the phone that was asked got the caller when the one who asked hung up. That one's own leg
/// has the same result when the caller came back to it.
fn by_key(facts: &LegFacts, record: &Record) -> Option<TransferFact> {
    let done = record.variable("att_xfer_result") == Some("success");
    let asked = record.applications.iter().any(|(app, _)| app == "att_xfer")
        || record.variable("last_app") == Some("att_xfer");
    if !done || asked {
        return None;
    }
    let (second, _) = joined(record).pop()?;
    let party = facts
        .party
        .as_ref()
        .filter(|party| super::is_extension(party));
    let to = party.map(|party| party.raw.as_str()).unwrap_or_default();
    Some(fact(record, second, TransferKind::Attended, None, to))
}

fn fact(
    record: &Record,
    second: Timestamp,
    kind: TransferKind,
    from: Option<&str>,
    to: &str,
) -> TransferFact {
    // The history has whole seconds; the call flow has the same moment in microseconds.
    let mut exact = record.flows.iter().flat_map(|flow| {
        let entered = flow.time("profile_created_time");
        flow.time("transfer_time").into_iter().chain(entered)
    });
    let at = exact
        .find(|time| time.as_second() == second.as_second())
        .unwrap_or(second);
    TransferFact {
        at,
        kind,
        from: from.map(str::to_owned),
        to: to.to_owned(),
    }
}

/// Of a phone's first leg, after it joined its two calls (REFER with Replaces): its second one, which is of the same call.
pub fn second_call(facts: &LegFacts, record: &Record) -> Option<LegFacts> {
    let id = record.variable("refer_uuid").and_then(vendor_id)?;
    (id != facts.leg && id != facts.key.id).then(|| LegFacts::new(facts.key.clone(), id))
}
