//! When a call started, was answered and ended, and how long was talked, out of the facts of its legs.

use super::{root, talk};
use crate::calls::decode::LegFacts;
use crate::calls::decode::facts::Line;
use crate::terms::call::Direction;
use jiff::{SignedDuration, Timestamp};
use std::collections::BTreeMap;

/// A start this much after the second in the leg's id is the start of something later: of a record, of a handler.
const BIRTH_SLACK: SignedDuration = SignedDuration::from_secs(1);

/// When things happened, repaired where they contradict each other.
pub struct Times {
    pub started: Timestamp,
    pub ended: Timestamp,
    /// Stretches during which somebody of ours and the other party were bridged, by leg, in order of their start.
    pub bridges: Vec<(Timestamp, Timestamp, String)>,
}

impl Times {
    /// None while nothing tells when the call started. `until` is the earliest end; what was repaired goes to `doubts`.
    pub fn of(
        legs: &BTreeMap<&str, LegFacts>,
        direction: Direction,
        until: Option<Timestamp>,
        doubts: &mut Vec<String>,
    ) -> Option<Self> {
        let first = |leg: &LegFacts| {
            [
                began(leg),
                leg.answered,
                leg.bridged.first().map(|(start, _)| *start),
                leg.ended,
            ]
            .into_iter()
            .flatten()
            .min()
        };
        let started = root(legs)
            .and_then(began)
            .or_else(|| legs.values().filter_map(first).min())?;
        let last = |leg: &LegFacts| {
            leg.bridged
                .iter()
                .flat_map(|(start, end)| [Some(*start), *end])
                .flatten()
                .max()
        };
        let known = legs
            .values()
            .filter(|leg| matters(leg, legs))
            .filter_map(|leg| leg.ended.max(leg.until))
            .max();
        let mut ended = known
            .max(until)
            .or_else(|| legs.values().filter_map(last).max())
            .unwrap_or(started);
        if ended < started {
            doubts.push("ended before it started; the end was set to the start".to_owned());
            ended = started;
        }
        let stretches =
            talk::stretches(legs, direction, ended).unwrap_or_else(|| stated(legs, ended));
        let mut bridges = Vec::new();
        let mut outside = false;
        for (start, end, leg) in stretches {
            outside |= start < started || end > ended || end < start;
            let (start, end) = (start.clamp(started, ended), end.clamp(started, ended));
            bridges.push((start, end, leg));
        }
        if outside {
            doubts.push(
                "answered outside the time between start and end; the times were fitted in"
                    .to_owned(),
            );
        }
        bridges.sort();
        Some(Self {
            started,
            ended,
            bridges,
        })
    }

    /// The first bridge.
    pub fn answered(&self) -> Option<Timestamp> {
        self.bridges.first().map(|(start, _, _)| *start)
    }

    /// The stretches' union: each is seen from both of its legs.
    pub fn talk(&self) -> SignedDuration {
        let mut talk = SignedDuration::ZERO;
        let mut counted_to = self.started;
        for (start, end, _) in &self.bridges {
            let new = end.duration_since((*start).max(counted_to));
            talk += new.max(SignedDuration::ZERO);
            counted_to = counted_to.max(*end);
        }
        talk
    }
}

/// Whether a leg's end may be the call's: a phone that still rang when the first leg had ended was nobody's any more. A line
/// that leads out may be the other party, handed on to another phone, and its record states no more than its end.
fn matters(leg: &LegFacts, legs: &BTreeMap<&str, LegFacts>) -> bool {
    let first = root(legs).filter(|root| root.ended.is_some());
    let only_rang = leg.line != Some(Line::Trunk)
        && leg.answered.is_none()
        && leg.bridged.is_empty()
        && leg.stays.is_empty()
        && leg.rare.joins.is_empty();
    first.is_none_or(|first| first.leg == leg.leg) || !only_rang
}

/// When a leg began: as its beginning was seen, unless its id knows better.
pub fn began(leg: &LegFacts) -> Option<Timestamp> {
    match (leg.started, leg.born) {
        (Some(started), Some(born)) if started.duration_since(born).abs() >= BIRTH_SLACK => {
            Some(born)
        }
        (started, born) => started.or(born),
    }
}

/// Gives a leg whose end was missed the latest time that is known of it. What was seen to end, and what a record written
/// afterwards tells of, isn't `lost`.
pub fn end_missed(leg: &mut LegFacts) {
    let Some(alive) = leg.rare.lost else {
        return;
    };
    leg.rare.lost = None;
    if leg.ended.is_some() {
        return;
    }
    let seen = [leg.started, leg.answered, leg.hung_up, leg.until];
    let stays = leg.stays.iter().map(|stay| stay.at);
    let last = seen.into_iter().flatten().chain(stays).max();
    leg.ended = last.max(Some(alive));
    if leg.until.is_none_or(|until| until < alive) {
        leg.rare.lost = Some(alive);
    }
}

/// The stretches that the legs state themselves; one without an end lasts until the next hand-over.
fn stated(legs: &BTreeMap<&str, LegFacts>, ended: Timestamp) -> Vec<talk::Stretch> {
    let handed_over: Vec<Timestamp> = legs
        .values()
        .flat_map(|leg| &leg.rare.transfers)
        .map(|transfer| transfer.at)
        .collect();
    let mut stretches = Vec::new();
    for leg in legs.values() {
        let exact = |second: &Timestamp| {
            let mut starts = leg.bridged.iter().map(|(start, _)| start);
            starts.any(|start| start.as_second() == second.as_second() && start != second)
        };
        for (index, (start, end)) in leg.bridged.iter().enumerate() {
            // Told again with its end, or a later one.
            let again = leg.bridged.get(index + 1);
            if again.is_some_and(|(next, _)| next == start) {
                continue;
            }
            // The same moment, cut to its second by another record.
            if start.subsec_nanosecond() == 0 && exact(start) {
                continue;
            }
            let transfer = handed_over.iter().filter(|at| *at > start).min().copied();
            let end = end
                .or(leg.ended.into_iter().chain(transfer).min())
                .unwrap_or(ended);
            stretches.push((*start, end, leg.leg.clone()));
        }
    }
    stretches
}
