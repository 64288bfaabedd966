//! What a late event changes in the notes of a decided call, and when a note is written. Part of `judge`.

use super::super::journal::Journal;
use super::super::known::Facts;
use super::super::late;
use super::super::ledger::{CallRecord, End, Taker};
use super::super::outbox::Amendment;
use super::{Judge, call_of, later};
use crate::settings::types::{KustomerSettings, LateFacts};
use crate::store::StoreFault;
use crate::terms::call::Call;
use jiff::{SignedDuration, Timestamp};

impl Judge {
    /// What the late events of a decided call change in the notes of those who have logged it or are about to, and when
    /// it is to be written: after the settle time, for more may come and each write costs two requests. The same rules are
    /// asked with those events and without them, so that a changed template alone amends nothing.
    pub fn amendments(
        &self,
        record: &CallRecord,
        journal: &Journal,
        now: Timestamp,
    ) -> Result<Vec<(Amendment, Timestamp)>, StoreFault> {
        let told = record.events.len().saturating_sub(record.late);
        let (told, late) = record.events.split_at_checked(told).unwrap_or_default();
        let mut stated = self.stated(told, journal)?;
        let before = Facts::of(&record.key, stated.clone());
        stated.extend(self.stated(late, journal)?);
        let after = Facts::of(&record.key, stated);
        if !after.texts.is_empty() {
            return Ok(Vec::new());
        }
        let call = |facts: &Facts| call_of(&record.key, &facts.legs, now);
        let (Some(before), Some(after)) = (call(&before), call(&after)) else {
            return Ok(Vec::new());
        };
        let settle = self.settle(&record.pbx);
        let mut amendments = Vec::new();
        for integration in &self.settings.kustomers {
            let takes = |taker: &&Taker| {
                taker.integration == integration.name
                    && matches!(taker.end, None | Some(End::Logged))
            };
            if record.takers.iter().find(takes).is_none() {
                continue;
            }
            let (Ok(old), Ok(new)) = (
                self.entry(&before, integration),
                self.entry(&after, integration),
            ) else {
                continue;
            };
            if old.note != new.note {
                let amendment = Amendment {
                    integration: integration.name.clone(),
                    key: record.key.clone(),
                    note: new.note,
                };
                let at = write_at(&after, integration, now).max(later(now, settle));
                amendments.push((amendment, at));
            }
        }
        Ok(amendments)
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
