//! Why nobody talked, out of what the legs say of attempts and hang-ups.

use super::root;
use crate::calls::decode::LegFacts;
use crate::calls::decode::facts::Outcome;
use crate::terms::call::Reason;
use jiff::{SignedDuration, Timestamp};
use std::collections::BTreeMap;

/// Legs of one attempt, such as a ring group's, end within this time of each other.
const SAME_MOMENT: SignedDuration = SignedDuration::from_secs(1);

/// What a leg states of the whole call comes first, then the outcomes of attempts. None: no source can tell.
pub fn reason(legs: &BTreeMap<&str, LegFacts>) -> Option<Reason> {
    let stated = root(legs).and_then(|leg| leg.reason);
    let last = || {
        let said = legs
            .values()
            .filter_map(|leg| leg.reason.map(|reason| (leg.started, reason)));
        said.max().map(|(_, reason)| reason)
    };
    let stated = stated.or_else(last);
    // Systems that name their lines or tell outcomes may say that nobody knows. Of the others, silence means that it
    // rang and nobody came.
    let silent = legs
        .values()
        .all(|leg| leg.line.is_none() && leg.outcomes.is_empty());
    stated.or_else(|| {
        if silent {
            Some(Reason::NoAnswer)
        } else {
            of_outcomes(legs)
        }
    })
}

fn of_outcomes(legs: &BTreeMap<&str, LegFacts>) -> Option<Reason> {
    let mut outcomes: Vec<(Timestamp, Outcome, bool)> = Vec::new();
    for leg in legs.values() {
        let is_root = root(legs).is_some_and(|root| root.leg == leg.leg);
        outcomes.extend(leg.outcomes.iter().map(|(at, end)| (*at, *end, is_root)));
    }
    outcomes.sort();
    // Records written afterwards can't tell why; where the causes of the ends are known, something more exact was heard.
    if legs.values().any(|leg| leg.cause_code.is_some()) {
        outcomes.retain(|(_, end, _)| *end != Outcome::Unknown);
    }
    let hung_up = root(legs).and_then(|leg| leg.hung_up);
    if let Some(queue) = of_queue(legs, &outcomes, hung_up) {
        return Some(queue);
    }
    while let Some((_, end, is_root)) = outcomes.pop() {
        match end {
            // Of an attempt alone, it says that the caller gave up only if the caller did.
            Outcome::Cancelled if is_root || hung_up.is_some() => {
                return Some(Reason::CallerGaveUp);
            }
            Outcome::Cancelled => {}
            Outcome::Busy => return Some(Reason::Busy),
            Outcome::NoAnswer => return of_last_attempt(legs).or(Some(Reason::NoAnswer)),
            Outcome::Failed => {
                let own = root(legs).and_then(|leg| leg.cause_code);
                let own = || own.and_then(of_code);
                return of_last_attempt(legs).or_else(own).or(Some(Reason::Failed));
            }
            Outcome::LeftQueue | Outcome::QueueTimeout => return Some(Reason::QueueTimeout),
            Outcome::Unknown => return None,
        }
    }
    // The dial plan may have refused the call (busy, congestion, no such number): that ends it as the caller's hanging up
    // does, but with a cause of its own.
    let refused = root(legs).and_then(|leg| leg.cause_code).and_then(of_code);
    refused.or_else(|| hung_up.map(|_| Reason::CallerGaveUp))
}

/// A caller in a queue gave up or ran into its limit. What rang in between doesn't count.
fn of_queue(
    legs: &BTreeMap<&str, LegFacts>,
    outcomes: &[(Timestamp, Outcome, bool)],
    hung_up: Option<Timestamp>,
) -> Option<Reason> {
    let when = |wanted: Outcome| {
        outcomes
            .iter()
            .find(|(_, end, _)| *end == wanted)
            .map(|(at, _, _)| *at)
    };
    if when(Outcome::QueueTimeout).is_some() {
        return Some(Reason::QueueTimeout);
    }
    let root = root(legs)?;
    let early = |at: Timestamp| {
        let limit = root.rare.queue_until;
        limit.is_some_and(|until| until.duration_since(at) > SAME_MOMENT)
    };
    if let Some(left) = when(Outcome::LeftQueue) {
        // Put out before its limit: there was no agent, or none any more.
        let put_out = root.outcomes.iter().any(|(at, end)| {
            *end == Outcome::NoAnswer && at.duration_since(left).abs() <= SAME_MOMENT
        });
        return Some(if hung_up.is_some_and(|at| at <= left) {
            Reason::CallerGaveUp
        } else if put_out || early(left) {
            Reason::NoAnswer
        } else {
            Reason::QueueTimeout
        });
    }
    root.rare.queue.as_ref()?;
    if hung_up.is_some() {
        return Some(Reason::CallerGaveUp);
    }
    // The dial plan ended it: after the limit, if there is one.
    let limited = root.rare.queue_until.is_some() && !root.ended.is_some_and(early);
    (root.cleared && limited).then_some(Reason::QueueTimeout)
}

/// The cause of the last attempt, if it says more than that nobody answered.
fn of_last_attempt(legs: &BTreeMap<&str, LegFacts>) -> Option<Reason> {
    let first = root(legs).map(|root| &root.leg);
    let ended = |leg: &LegFacts| leg.ended.or(leg.until);
    let attempts = || legs.values().filter(|leg| Some(&leg.leg) != first);
    let last = attempts().filter_map(ended).max()?;
    attempts()
        .filter(|leg| ended(leg).is_some_and(|at| last.duration_since(at) <= SAME_MOMENT))
        .filter_map(|leg| Some((ended(leg), of_code(leg.cause_code?)?)))
        .max()
        .map(|(_, reason)| reason)
}

/// ITU-T Q.850 causes that say why nobody was reached; the ordinary ones (16, 18, 19, 26, 31) say nothing more.
const fn of_code(code: u16) -> Option<Reason> {
    match code {
        1 | 2 | 3 | 22 | 28 => Some(Reason::NoSuchNumber),
        17 => Some(Reason::Busy),
        21 => Some(Reason::Declined),
        5..=6 | 25 | 27 | 29..=30 | 34..=127 => Some(Reason::Failed),
        _ => None,
    }
}
