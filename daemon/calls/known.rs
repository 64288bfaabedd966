//! What the events of one record state, and those of the gathering calls held in memory, so that each event is decoded
//! once. What isn't held is read from the journal again: after a start, and when too much was open at once. Pure; `judge`
//! makes it of a record, `book` holds it.

use super::decode::{LegFacts, PhoneEvent};
use super::family::{belongs, own_legs};
use crate::terms::ids::CallKey;
use crate::terms::text::Text;
use std::collections::HashMap;

/// Most facts held for all calls together, of some 1.5 kB each: those of ten thousand calls with five legs. With more,
/// all are let go, and each call is read once more from the journal when it is looked at.
pub const FACTS_HELD_MAX: usize = 50_000;

/// What the events of one record state of its call.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Facts {
    /// One for each leg, or for each name that a leg's channel had: what several events state of it is added up.
    pub legs: Vec<LegFacts>,
    /// All that was told of one text: its words, and what became of it.
    pub texts: Vec<Text>,
}

impl Facts {
    /// The record's own of what its events state; other calls' facts that came in the same events are left out.
    pub fn of(record: &str, stated: Vec<PhoneEvent>) -> Self {
        let (mut facts, mut legs) = (Self::default(), Vec::new());
        for fact in stated {
            match fact {
                PhoneEvent::Leg(leg) => legs.push(*leg),
                PhoneEvent::Text(text) => facts.add_text(record, text),
            }
        }
        for leg in own_legs(legs, record) {
            facts.add_leg(leg);
        }
        facts
    }

    /// Facts that are the record's, by whatever id they name it.
    fn add(&mut self, record: &str, own: impl Iterator<Item = PhoneEvent>) {
        for fact in own {
            match fact {
                PhoneEvent::Leg(mut leg) => {
                    if let Some(key) = CallKey::parse(record) {
                        leg.key = key;
                    }
                    self.add_leg(*leg);
                }
                PhoneEvent::Text(text) => self.add_text(record, text),
            }
        }
    }

    fn add_leg(&mut self, leg: LegFacts) {
        let same = |known: &&mut LegFacts| known.leg == leg.leg && known.channel == leg.channel;
        match self.legs.iter_mut().find(same) {
            Some(known) => known.merge(&leg),
            None => self.legs.push(leg),
        }
    }

    fn add_text(&mut self, record: &str, mut text: Text) {
        if let Some(key) = belongs(&text.key, record) {
            text.key = key;
            self.texts.push(text);
        }
    }

    /// The text, if they are of one.
    pub fn text(&self) -> Option<Text> {
        Text::of(self.texts.iter().cloned())
    }

    fn len(&self) -> usize {
        self.legs.len() + self.texts.len()
    }
}

/// The facts of gathering calls, by the key of their record.
#[derive(Debug, Default)]
pub struct Known {
    calls: HashMap<String, Held>,
    /// All their facts.
    held: usize,
}

#[derive(Debug, Default)]
struct Held {
    /// So many of the record's events are in it, the first ones.
    events: usize,
    facts: Facts,
}

impl Known {
    /// What one more event of a record states of it. The record had `before` events without it, and `after` with it.
    pub fn add(
        &mut self,
        record: &str,
        (before, after): (usize, usize),
        own: impl Iterator<Item = PhoneEvent>,
    ) {
        if before == 0 {
            self.calls.entry(record.to_owned()).or_default();
        }
        let Some(call) = self.calls.get_mut(record) else {
            return;
        };
        let had = call.facts.len();
        call.facts.add(record, own);
        let complete = call.events == before || call.events == after;
        call.events = after;
        self.held += call.facts.len() - had;
        if !complete {
            self.forget(record);
        } else if self.held > FACTS_HELD_MAX {
            *self = Self::default();
        }
    }

    /// Takes the facts of all its `events` out, if they are held.
    pub fn take(&mut self, record: &str, events: usize) -> Option<Facts> {
        let call = self.calls.remove(record)?;
        self.held -= call.facts.len();
        (call.events == events).then_some(call.facts)
    }

    /// Holds the facts of all its `events`.
    pub fn hold(&mut self, record: &str, events: usize, facts: Facts) {
        self.forget(record);
        if self.held + facts.len() <= FACTS_HELD_MAX {
            self.held += facts.len();
            self.calls.insert(record.to_owned(), Held { events, facts });
        }
    }

    pub fn forget(&mut self, record: &str) {
        if let Some(call) = self.calls.remove(record) {
            self.held -= call.facts.len();
        }
    }
}
