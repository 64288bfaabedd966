//! What the pure stages make of a call: decode, assemble, filter, entry. Reads its events again from the journal where
//! what they state isn't at hand.
//!
//! `line` acts on its verdicts; `explain` and `replay` ask the same functions, so that what is explained is what was done.

mod amend;
mod texts;

use super::assemble::{self, Assembly, Done, State};
use super::decode::{self, LegFacts, PhoneEvent};
use super::entry::{self, LogEntry, Names};
use super::family::Seen;
use super::filter::{self, Decision};
use super::journal::{Entry, Journal};
use super::known::Facts;
use super::ledger::{CallRecord, End, Taker};
use super::outbox::{Delivery, DeliveryEnd, Outbox};
pub use super::reader::Subject;
use super::reader::{self, Reader};
use crate::settings::types::{AnonymousPolicy, KustomerSettings, Settings};
use crate::store::StoreFault;
use crate::terms::call::Call;
use crate::terms::ids::CallKey;
pub use amend::Late;
use amend::write_at;
use jiff::{SignedDuration, Timestamp};
use std::sync::Arc;
pub use texts::Talk;

/// The stages with everything they need to know.
#[derive(Clone)]
pub struct Judge {
    settings: Arc<Settings>,
    outbox: Outbox,
    reader: Reader,
}

/// What is to be done with a call.
pub enum Verdict {
    /// Not complete; look again then, or when another event comes.
    Wait { until: Timestamp },
    Decided {
        span: (Timestamp, Timestamp),
        takers: Vec<Taker>,
        deliveries: Vec<Delivery>,
        /// Between whom a text was.
        talk: Option<Talk>,
    },
}

impl Judge {
    pub fn new(settings: Arc<Settings>, outbox: Outbox) -> Self {
        Self {
            reader: Reader::new(&settings.pbxs),
            settings,
            outbox,
        }
    }

    /// What an event states; an error says why it can't be read.
    pub fn decode(&self, event: &Entry) -> Result<Vec<PhoneEvent>, String> {
        self.reader.decode(&event.posted)
    }

    /// The key for a leg that starts long after the recorded call ended: the phone system used its id again.
    pub fn fresh_key(record: &CallRecord, seen: &Seen) -> Option<CallKey> {
        let (start, (_, ended)) = (seen.start?, record.span?);
        let id = || decode::reused(&seen.key.id, start);
        assemble::is_reuse(ended, start).then(|| CallKey {
            id: id(),
            ..seen.key.clone()
        })
    }

    /// Whether the record's call is complete, and if so who takes it. `ripe`: every event journaled so far was read, so
    /// that a settle time that is over means that nothing more came.
    pub fn look(&self, record: &CallRecord, facts: &Facts, now: Timestamp, ripe: bool) -> Verdict {
        if let Some(text) = facts.text() {
            return self.judge_text(&text, record, now);
        }
        let Some(key) = CallKey::parse(&record.key) else {
            return unreadable("the call's key can't be read");
        };
        let Assembly { call, state } = assemble::assemble(&key, &facts.legs, now);
        let until = match state {
            State::Complete(Done::Final) => now,
            State::Complete(Done::Settle) => self.settled_at(record),
            State::Open { .. } => later(record.last_event, assemble::CALL_AGE_MAX),
        };
        let over = state == State::Complete(Done::Final) || (ripe && until <= now);
        if !over {
            return Verdict::Wait { until };
        }
        let call = if matches!(state, State::Open { .. }) {
            assemble::close(&key, &facts.legs, now)
        } else {
            call
        };
        match call {
            Some(call) => self.judge_call(&call, now),
            None => unreadable("its events don't make a call: no leg says when it began"),
        }
    }

    /// Whether an event that states this may complete its call by itself; any other does when nothing follows until
    /// [`Judge::settled_at`].
    pub fn decides(stated: &[PhoneEvent]) -> bool {
        stated.iter().any(|fact| match fact {
            PhoneEvent::Leg(leg) => leg.last,
            PhoneEvent::Text(_) => true,
        })
    }

    /// Until when more of the call may come.
    pub fn settled_at(&self, record: &CallRecord) -> Timestamp {
        later(record.last_event, self.settle(&record.pbx))
    }

    /// How long records of this phone system may be late.
    fn settle(&self, pbx: &str) -> SignedDuration {
        SignedDuration::try_from(self.reader.settle(pbx)).unwrap_or(SignedDuration::MAX)
    }

    /// The record's call or text as its events make it now, complete or not; for `explain`.
    pub fn subject(
        &self,
        record: &CallRecord,
        journal: &Journal,
        now: Timestamp,
    ) -> Result<Option<Subject>, StoreFault> {
        let facts = self.facts(record, journal)?;
        Ok(reader::subject(&record.key, &facts, now))
    }

    /// The legs of the record's call that a live source told of and whose end hasn't come.
    pub fn live_legs(
        &self,
        record: &CallRecord,
        journal: &Journal,
    ) -> Result<Vec<LegFacts>, StoreFault> {
        Ok(assemble::live(&self.facts(record, journal)?.legs))
    }

    /// Every integration's rules for it, in the order of their names.
    pub fn decisions(&self, subject: &Subject) -> Vec<(String, Decision)> {
        reader::decisions(&self.settings.kustomers, subject)
    }

    /// Deliveries of this record that have an end.
    pub fn settled(&self, record: &CallRecord) -> Result<Vec<(String, DeliveryEnd)>, StoreFault> {
        let mut ends = Vec::new();
        for taker in record.takers.iter().filter(|taker| taker.end.is_none()) {
            let name = &taker.integration;
            let delivery = self.outbox.get(name, &record.key)?;
            let configured = self
                .settings
                .kustomers
                .iter()
                .any(|known| known.name == *name);
            let gone = || DeliveryEnd::Dead {
                why: format!(
                    "[[kustomer]] {name} is no longer configured: add it again and retry, or drop this"
                ),
            };
            // One whose note still has to learn something isn't over.
            let delivery = match delivery {
                Some(delivery)
                    if delivery.end == Some(DeliveryEnd::Logged)
                        && self.outbox.amendment(&delivery)?.is_some() =>
                {
                    continue;
                }
                delivery => delivery,
            };
            let end = delivery.and_then(|delivery| delivery.end);
            ends.extend(
                end.or_else(|| (!configured).then(gone))
                    .map(|end| (name.clone(), end)),
            );
        }
        Ok(ends)
    }

    fn entry(
        &self,
        call: &Call,
        integration: &KustomerSettings,
    ) -> Result<LogEntry, entry::EntryFault> {
        let names = Names {
            customer: None,
            agents: &self.settings.agents,
        };
        entry::call_entry(
            call,
            integration,
            &self.settings.daemon.time_zone,
            &names,
            &[],
        )
    }

    /// What the record's events state of it, read from the journal.
    pub fn facts(&self, record: &CallRecord, journal: &Journal) -> Result<Facts, StoreFault> {
        let stated = self.stated(&record.events, journal)?;
        Ok(Facts::of(&record.key, stated))
    }

    fn stated(&self, events: &[u64], journal: &Journal) -> Result<Vec<PhoneEvent>, StoreFault> {
        let mut stated = Vec::new();
        for seq in events {
            if let Some(event) = journal.get(*seq)? {
                stated.extend(self.decode(&event).unwrap_or_default());
            }
        }
        Ok(stated)
    }

    fn judge_call(&self, call: &Call, now: Timestamp) -> Verdict {
        let number = call.other.number().cloned();
        self.judge(&call.key, (call.started, call.ended), |integration| {
            let decision = filter::filter_call(call, integration);
            let entry = || self.entry(call, integration);
            let fixed = fixed_customer(call, integration);
            let at = write_at(call, integration, now);
            (decision, Box::new(entry), number.clone(), fixed, at)
        })
    }

    /// Asks each integration: a skip is its end, an entry is owed.
    fn judge<'a>(
        &'a self,
        key: &CallKey,
        span: (Timestamp, Timestamp),
        ask: impl Fn(&'a KustomerSettings) -> Asked<'a>,
    ) -> Verdict {
        let (mut takers, mut deliveries) = (Vec::new(), Vec::new());
        for integration in &self.settings.kustomers {
            let (decision, entry, number, customer, at) = ask(integration);
            let end = match decision.skip {
                Some(reason) => Some(End::Filtered {
                    rule: reason.key().to_owned(),
                    why: decided_by(&decision),
                }),
                None => match entry() {
                    Ok(entry) => {
                        let delivery = Delivery::new(
                            &integration.name,
                            key.stored(),
                            entry,
                            number,
                            customer,
                            at,
                        );
                        deliveries.push(delivery);
                        None
                    }
                    Err(fault) => Some(End::Dead {
                        why: fault.to_string(),
                    }),
                },
            };
            takers.push(Taker {
                integration: integration.name.clone(),
                end,
            });
        }
        if takers.is_empty() {
            let why = "no [[kustomer]] is configured".to_owned();
            takers.push(Taker {
                integration: String::new(),
                end: Some(End::Filtered {
                    rule: "no_integration".to_owned(),
                    why,
                }),
            });
        }
        Verdict::Decided {
            span,
            takers,
            deliveries,
            talk: None,
        }
    }
}

type Asked<'a> = (
    Decision,
    Box<dyn Fn() -> Result<LogEntry, entry::EntryFault> + 'a>,
    Option<crate::terms::number::E164>,
    Option<String>,
    Timestamp,
);

/// The words of the rule that decided.
fn decided_by(decision: &Decision) -> String {
    let reason = decision
        .skip
        .map(filter::SkipReason::words)
        .unwrap_or_default();
    match decision.trace.last() {
        Some(step) => format!("{reason}: {}", step.detail),
        None => reason.to_owned(),
    }
}

fn unreadable(why: &str) -> Verdict {
    let end = Some(End::Dead {
        why: why.to_owned(),
    });
    let taker = Taker {
        integration: String::new(),
        end,
    };
    Verdict::Decided {
        span: (Timestamp::UNIX_EPOCH, Timestamp::UNIX_EPOCH),
        takers: vec![taker],
        deliveries: Vec::new(),
        talk: None,
    }
}

/// Adds a wait to a time; beyond the calendar's end it stays at the end.
fn later(at: Timestamp, wait: SignedDuration) -> Timestamp {
    at.checked_add(wait).unwrap_or(Timestamp::MAX)
}

/// Who gets a call without a number, where the settings name somebody.
fn fixed_customer(call: &Call, integration: &KustomerSettings) -> Option<String> {
    match &integration.calls.anonymous {
        AnonymousPolicy::Customer(id) if call.other.number().is_none() => Some(id.clone()),
        AnonymousPolicy::Customer(_) | AnonymousPolicy::Skip => None,
    }
}
