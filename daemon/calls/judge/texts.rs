//! What is done with a text, and which exchange it is of. Part of `judge`.

use super::super::entry::{self, LogEntry, Names};
use super::super::fields;
use super::super::filter;
use super::super::ledger::CallRecord;
use super::super::outbox::Outbox;
use super::{Judge, Subject, Verdict};
use crate::settings::types::KustomerSettings;
use crate::store::StoreFault;
use crate::terms::text::Text;
use jiff::Timestamp;
use std::time::Duration;

/// Between whom a text was, and when: all that says which exchange it is of.
pub struct Talk {
    pub pbx: String,
    pub ours: String,
    pub other: String,
    pub at: Timestamp,
}

impl Judge {
    pub(super) fn judge_text(&self, text: &Text, record: &CallRecord, now: Timestamp) -> Verdict {
        let number = text.other().number().cloned();
        let mut verdict = self.judge(&text.key, (text.at, text.at), |integration| {
            let decision = filter::filter_text(text, integration);
            let entry = || self.text_entry(text, integration);
            (decision, Box::new(entry), number.clone(), None, now)
        });
        if let Verdict::Decided { talk, .. } = &mut verdict {
            *talk = Self::talk(text, record);
        }
        verdict
    }

    pub(super) fn talk(text: &Text, record: &CallRecord) -> Option<Talk> {
        Some(Talk {
            pbx: text.key.pbx.clone(),
            ours: fields::shown(text.ours()),
            other: text.other().number()?.to_string(),
            // A clock that is ahead must not make all that follows look old.
            at: text.at.min(record.last_event),
        })
    }

    /// Whether a rule keeps an integration from logging it.
    pub(super) fn skips(&self, subject: &Subject, integration: &KustomerSettings) -> bool {
        let decision = match subject {
            Subject::Call(call) => filter::filter_call(call, integration),
            Subject::Text(text) => filter::filter_text(text, integration),
        };
        decision.skip.is_some()
    }

    pub(super) fn text_entry(
        &self,
        text: &Text,
        integration: &KustomerSettings,
    ) -> Result<LogEntry, entry::EntryFault> {
        let names = Names {
            customer: None,
            agents: &self.settings.agents,
        };
        let zone = &self.settings.daemon.time_zone;
        entry::text_entry(text, integration, zone, &names, &[])
    }

    /// How long an exchange of texts goes on without one; zero: each text is by itself.
    pub fn window(&self, integration: &str) -> Duration {
        let mut all = self.settings.kustomers.iter();
        all.find(|known| known.name == integration)
            .map_or(Duration::ZERO, |known| known.texts.window)
    }

    /// Whether it was decided before, and its progress stands.
    pub fn is_owed(&self, integration: &str, key: &str) -> Result<bool, StoreFault> {
        let outbox: &Outbox = &self.outbox;
        Ok(outbox.get(integration, key)?.is_some())
    }
}
