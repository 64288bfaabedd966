//! What a late event changes in the notes of a decided call or text, and when a note is written. Part of `judge`.

use super::super::entry::{EntryFault, LogEntry};
use super::super::journal::Journal;
use super::super::known::Facts;
use super::super::late;
use super::super::ledger::{CallRecord, End};
use super::super::outbox::{Amendment, Delivery};
use super::super::reader;
use super::{Judge, Subject, Talk, fixed_customer, later};
use crate::settings::types::{KustomerSettings, LateFacts};
use crate::store::StoreFault;
use crate::terms::call::Call;
use jiff::{SignedDuration, Timestamp};

/// What follows from events that came when a call or text was decided.
#[derive(Default)]
pub struct Late {
    /// What notes say then, and when that is to be written; none: once the dead delivery is taken up again.
    pub amendments: Vec<(Amendment, Option<Timestamp>)>,
    /// Who takes it after all, by what came late.
    pub owed: Vec<Delivery>,
    /// Between whom that text was.
    pub talk: Option<Talk>,
}

impl Judge {
    /// What the late events of a decided call or text change for those who have logged it, or are about to, and when it is
    /// to be written (none: not before the dead delivery is taken up again): after the settle time, for more may come and
    /// each write costs two requests. The same rules are asked with those events and without them, so that changed settings
    /// alone change nothing.
    pub fn late(
        &self,
        record: &CallRecord,
        journal: &Journal,
        now: Timestamp,
    ) -> Result<Late, StoreFault> {
        let told = record.events.len().saturating_sub(record.late);
        let (told, late) = record.events.split_at_checked(told).unwrap_or_default();
        let mut stated = self.stated(told, journal)?;
        let before = Facts::of(&record.key, stated.clone());
        stated.extend(self.stated(late, journal)?);
        let after = Facts::of(&record.key, stated);
        let subject = |facts: &Facts| reader::subject(&record.key, facts, now);
        let (Some(before), Some(after)) = (subject(&before), subject(&after)) else {
            return Ok(Late::default());
        };
        let settle = self.settle(&record.pbx);
        let mut late = Late::default();
        for integration in &self.settings.kustomers {
            let Some(owed) = self.takes(record, &integration.name)? else {
                let wanted = self.wanted(record, [&before, &after], integration, now);
                late.owed.extend(wanted);
                continue;
            };
            let (Ok(old), Ok(new)) = (
                self.entry_of(&before, integration),
                self.entry_of(&after, integration),
            ) else {
                continue;
            };
            let tagged = new.tags.iter().any(|tag| !old.tags.contains(tag));
            if old.note == new.note && !tagged {
                continue;
            }
            let amendment = Amendment {
                integration: integration.name.clone(),
                key: record.key.clone(),
                note: new.note,
                reopens: new.reopens && !old.reopens,
                tags: new.tags,
            };
            let at = match &after {
                Subject::Call(call) => write_at(call, integration, now),
                Subject::Text(_) => now,
            };
            let at = at.max(later(now, settle));
            late.amendments.push((amendment, owed.then_some(at)));
        }
        if let Subject::Text(text) = &after {
            late.talk = Self::talk(text, record);
        }
        Ok(late)
    }

    fn entry_of(
        &self,
        subject: &Subject,
        integration: &KustomerSettings,
    ) -> Result<LogEntry, EntryFault> {
        match subject {
            Subject::Call(call) => self.entry(call, integration),
            Subject::Text(text) => self.text_entry(text, integration),
        }
    }

    /// What was filtered and is wanted with what came late: a text that failed, a call whose numbers came last. Rules of
    /// now filter it without the late events, too, or it stays as it was decided.
    fn wanted(
        &self,
        record: &CallRecord,
        [before, after]: [&Subject; 2],
        integration: &KustomerSettings,
        now: Timestamp,
    ) -> Option<Delivery> {
        let mut takers = record.takers.iter();
        let taker = takers.find(|taker| taker.integration == integration.name)?;
        let filtered = matches!(taker.end, Some(End::Filtered { .. }));
        if !filtered || !self.skips(before, integration) || self.skips(after, integration) {
            return None;
        }
        let entry = self.entry_of(after, integration).ok()?;
        let (number, customer, at) = match after {
            Subject::Call(call) => {
                let at = write_at(call, integration, now);
                (call.other.number(), fixed_customer(call, integration), at)
            }
            Subject::Text(text) => (text.other().number(), None, now),
        };
        Some(Delivery::new(
            &integration.name,
            record.key.clone(),
            entry,
            number.cloned(),
            customer,
            at,
        ))
    }

    /// Whether the integration learns of late facts now (true) or if its dead delivery is taken up again (false); none: it
    /// doesn't log the call.
    fn takes(&self, record: &CallRecord, integration: &str) -> Result<Option<bool>, StoreFault> {
        let mut takers = record.takers.iter();
        let taker = takers.find(|taker| taker.integration == integration);
        match taker.map(|taker| &taker.end) {
            Some(None | Some(End::Logged)) => Ok(Some(true)),
            Some(Some(End::Dead { .. })) => {
                let dead = self.outbox.is_dead(integration, &record.key)?;
                Ok(dead.then_some(false))
            }
            None | Some(Some(End::Joined | End::Filtered { .. } | End::Erased)) => Ok(None),
        }
    }
}

/// When a call is written: at once, or where a note can't be changed later, when what was announced has come.
pub(super) fn write_at(call: &Call, integration: &KustomerSettings, now: Timestamp) -> Timestamp {
    match integration.calls.late {
        LateFacts::AllAtOnce if late::is_awaited(call) => {
            let wait = SignedDuration::try_from(integration.calls.late_wait);
            later(call.ended, wait.unwrap_or(SignedDuration::MAX)).max(now)
        }
        LateFacts::AllAtOnce | LateFacts::Staged => now,
    }
}
