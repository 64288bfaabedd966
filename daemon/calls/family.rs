//! Whose call a leg is: by the id it names, by the leg it was handed over from, or under a fresh key when an id was used
//! again. Pure; `judge` asks it for a record's legs, `book` to find an event's record.

use super::decode::{LegFacts, PhoneEvent};
use super::ledger::CallRecord;
use crate::terms::ids::CallKey;
use jiff::Timestamp;
use std::sync::Arc;

/// What an event says of one call or text, as far as finding its record goes.
pub struct Seen {
    pub key: CallKey,
    /// The earliest start it states.
    pub start: Option<Timestamp>,
    /// It only reports that a text arrived, which says nothing of one that isn't known.
    pub report: bool,
    /// The phone system's ids of the legs it speaks of.
    pub legs: Vec<String>,
    /// Those of them whose end it states.
    pub ended: Vec<String>,
}

impl Seen {
    /// The calls and texts that an event speaks of.
    pub fn all(stated: &[PhoneEvent]) -> Vec<Self> {
        let mut all: Vec<Self> = Vec::new();
        for fact in stated {
            let mut report = false;
            let (key, start, leg, ended) = match fact {
                PhoneEvent::Leg(leg) => {
                    let ended = leg.ended.or(leg.rare.lost).map(|_| leg.leg.clone());
                    (&*leg.key, leg.started, Some(leg.leg.clone()), ended)
                }
                // However late: a report is of the text that has its id.
                PhoneEvent::Text(text) if text.is_report() => {
                    report = !text.failed();
                    (&text.key, None, None, None)
                }
                PhoneEvent::Text(text) => (&text.key, Some(text.at), None, None),
            };
            match all.iter_mut().find(|seen| seen.key == *key) {
                Some(seen) => {
                    seen.start = earlier(seen.start, start);
                    seen.report &= report;
                    seen.legs.extend(leg);
                    seen.ended.extend(ended);
                }
                None => all.push(Self {
                    key: key.clone(),
                    start,
                    report,
                    legs: leg.into_iter().collect(),
                    ended: ended.into_iter().collect(),
                }),
            }
        }
        all
    }

    /// What of an event's facts is of this call or text.
    pub fn own<'a>(&'a self, stated: &'a [PhoneEvent]) -> impl Iterator<Item = PhoneEvent> + 'a {
        let own = stated.iter().filter(|fact| match fact {
            PhoneEvent::Leg(leg) => *leg.key == self.key,
            PhoneEvent::Text(text) => text.key == self.key,
        });
        own.cloned()
    }

    /// The stored call keys that the legs' own ids would make.
    pub fn leg_keys(&self) -> Vec<String> {
        self.legs.iter().map(|leg| self.key_of(leg)).collect()
    }

    /// Whether it ends a leg that the record knows: such an event is never one too many.
    pub fn ends_one_of(&self, record: &CallRecord) -> bool {
        let known = |leg: &String| {
            let key = self.key_of(leg);
            key == record.key || record.legs.contains(&key)
        };
        self.ended.iter().any(known)
    }

    fn key_of(&self, leg: &str) -> String {
        let key = CallKey {
            id: leg.to_owned(),
            ..self.key.clone()
        };
        key.stored()
    }
}

/// The legs of the record's call, those of handed-over parties too (they name a leg of this call as their family);
/// other calls' legs that came in the same event are left out.
pub fn own_legs(legs: Vec<LegFacts>, record: &str) -> Vec<LegFacts> {
    let (mut own, mut rest): (Vec<_>, Vec<_>) = legs
        .into_iter()
        .partition(|leg| belongs(&leg.key, record).is_some());
    while !rest.is_empty() {
        let (more, others): (Vec<_>, Vec<_>) = rest
            .into_iter()
            .partition(|leg| own.iter().any(|known| known.leg == leg.key.id));
        rest = others;
        if more.is_empty() {
            break;
        }
        own.extend(more);
    }
    if let Some(key) = CallKey::parse(record).map(Arc::new) {
        for leg in &mut own {
            leg.key = Arc::clone(&key);
        }
    }
    own
}

/// The record's key if the fact is of that call: the same id, or the id the record's own was made of when it was reused.
pub fn belongs(fact: &CallKey, record: &str) -> Option<CallKey> {
    let stored = fact.stored();
    if stored == record {
        return Some(fact.clone());
    }
    let reused = record
        .strip_prefix(&stored)
        .is_some_and(|rest| rest.starts_with('~'));
    reused.then(|| CallKey::parse(record)).flatten()
}

fn earlier(a: Option<Timestamp>, b: Option<Timestamp>) -> Option<Timestamp> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}
