//! What the events of one record state, and those of the gathering calls held in memory, so that each event is decoded
//! once. What isn't held is read from the journal again: after a start, and when too much was open at once. Pure; `judge`
//! makes it of a record, `book` holds it.

use super::decode::{LegFacts, PhoneEvent};
use super::family::{belongs, own_legs};
use crate::terms::ids::CallKey;
use crate::terms::text::Text;
use std::collections::HashMap;
use std::sync::Arc;

/// Most facts held for all calls together, of less than 1 kB each as a rule: those of five thousand calls with four legs. Calls beyond it
/// are read from the journal when they are looked at.
pub const FACTS_HELD_MAX: usize = 20_000;

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
                    // One key for all legs of a call.
                    let known = self.legs.first().map(|first| Arc::clone(&first.key));
                    if let Some(key) = known.or_else(|| CallKey::parse(record).map(Arc::new)) {
                        leg.key = key;
                    }
                    self.add_leg(*leg);
                }
                PhoneEvent::Text(text) => self.add_text(record, text),
            }
        }
    }

    fn add_leg(&mut self, mut leg: LegFacts) {
        leg.rare.trim();
        let same = |known: &&mut LegFacts| known.leg == leg.leg && known.channel == leg.channel;
        match self.legs.iter_mut().find(same) {
            Some(known) => known.merge(&leg),
            None => {
                // Most calls have two legs, and room for a third would be half of theirs.
                self.legs.reserve_exact(1);
                self.legs.push(leg);
            }
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
        if !complete || self.held > FACTS_HELD_MAX {
            self.forget(record);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::terms::ids::Kind;

    fn fact(call: &str, leg: &str) -> PhoneEvent {
        let key = CallKey {
            kind: Kind::Call,
            pbx: "hq".to_owned(),
            id: call.to_owned(),
        };
        PhoneEvent::Leg(Box::new(LegFacts::new(key, leg.to_owned())))
    }

    fn legs(facts: &Facts) -> Vec<&str> {
        facts.legs.iter().map(|leg| leg.leg.as_str()).collect()
    }

    #[test]
    fn what_several_events_state_of_a_leg_is_held_once_and_as_the_journal_gives_it() {
        let (a, b) = (fact("1", "a"), fact("1", "b"));
        let mut known = Known::default();
        known.add("call:hq:1", (0, 1), [a.clone(), b.clone()].into_iter());
        known.add("call:hq:1", (1, 2), [b.clone()].into_iter());
        let held = known.take("call:hq:1", 2).unwrap();
        assert_eq!(legs(&held), ["a", "b"]);
        let others = fact("2", "c");
        assert_eq!(held, Facts::of("call:hq:1", vec![a, b.clone(), others, b]));
        assert_eq!(known.take("call:hq:1", 2), None);
        assert_eq!(known.held, 0);
    }

    #[test]
    fn facts_that_lack_an_event_are_never_given() {
        let mut known = Known::default();
        known.add("call:hq:1", (3, 4), [fact("1", "a")].into_iter());
        assert_eq!(known.take("call:hq:1", 4), None);
        known.add("call:hq:1", (0, 1), [fact("1", "a")].into_iter());
        known.add("call:hq:1", (2, 3), [fact("1", "c")].into_iter());
        assert_eq!(known.take("call:hq:1", 3), None);
        known.add("call:hq:2", (0, 1), [fact("2", "a")].into_iter());
        assert_eq!(known.take("call:hq:2", 2), None);
        assert_eq!(known.held, 0);
    }

    #[test]
    fn no_more_is_held_than_the_limit() {
        let mut known = Known::default();
        for call in 0..FACTS_HELD_MAX {
            let id = call.to_string();
            known.add(
                &format!("call:hq:{id}"),
                (0, 1),
                [fact(&id, "a")].into_iter(),
            );
        }
        assert_eq!(known.held, FACTS_HELD_MAX);
        known.add("call:hq:0", (1, 2), [fact("0", "b")].into_iter());
        assert_eq!(known.take("call:hq:0", 2), None);
        assert_eq!(known.held, FACTS_HELD_MAX - 1);
        let two = Facts::of("call:hq:0", vec![fact("0", "a"), fact("0", "b")]);
        known.hold("call:hq:0", 2, two);
        assert_eq!(known.take("call:hq:0", 2), None);
        let one = Facts::of("call:hq:0", vec![fact("0", "a")]);
        known.hold("call:hq:0", 1, one);
        assert!(known.take("call:hq:0", 1).is_some());
    }
}
