//! How many events ended how: all together, those of each phone system; and how each integration's deliveries did
//! (invariant 2: what there is = the sum of the ends + what is in flight). Pure. Part of `ledger`, which writes the counts
//! with the ends in one batch, so that they always agree.

use super::{CallRecord, End, Taker};
use crate::store::Record;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Phone systems that have an account of their own, and integrations: more than anybody has, also over the years. All of it
/// is written with each commit, and each is a label of the metrics.
pub const NAMES_MAX: usize = 256;

/// The account of those that came when there were so many; no configured name has brackets.
pub const OTHERS: &str = "(others)";

/// All counts, as they are kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Events up to this journal number have been read.
    pub cursor: u64,
    pub logged: u64,
    pub joined: u64,
    pub filtered: BTreeMap<String, u64>,
    pub dead: u64,
    pub erased: u64,
    /// Events behind `cursor` that were erased before anybody read them: they end when it is their turn. In no account, as
    /// nobody counted them.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub erased_unread: BTreeSet<u64>,
    #[serde(default)]
    pub accounts: Accounts,
}

/// The same for each phone system and each integration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accounts {
    /// Events up to this number came before there were accounts: neither they nor the calls that begin with them are in
    /// any, whatever becomes of them. None: there are no accounts yet.
    pub since: Option<u64>,
    /// Events, by phone system.
    pub pbxs: BTreeMap<String, Account>,
    /// Deliveries, by integration: one for each call or text that it was asked about.
    pub integrations: BTreeMap<String, Account>,
}

/// One phone system's events, or one integration's deliveries: `all` = the sum of the ends + what is in flight.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// Events that were read; calls and texts that were asked about.
    pub all: u64,
    pub logged: u64,
    /// Of events only: an integration logs a call or doesn't.
    pub joined: u64,
    pub filtered: u64,
    pub dead: u64,
    pub erased: u64,
}

impl Record for Counts {
    const VERSION: u16 = 1;
}

/// What counts ends.
trait Tally {
    fn slot(&mut self, end: &End) -> &mut u64;

    /// Moves one from an end (none: in flight) to another.
    fn shift(&mut self, from: Option<&End>, to: Option<&End>) {
        if let Some(end) = from {
            let slot = self.slot(end);
            *slot = slot.saturating_sub(1);
        }
        if let Some(end) = to {
            *self.slot(end) += 1;
        }
    }
}

impl Tally for Counts {
    fn slot(&mut self, end: &End) -> &mut u64 {
        match end {
            End::Logged => &mut self.logged,
            End::Joined => &mut self.joined,
            End::Filtered { rule, .. } => self.filtered.entry(rule.clone()).or_default(),
            End::Dead { .. } => &mut self.dead,
            End::Erased => &mut self.erased,
        }
    }
}

impl Tally for Account {
    fn slot(&mut self, end: &End) -> &mut u64 {
        match end {
            End::Logged => &mut self.logged,
            End::Joined => &mut self.joined,
            End::Filtered { .. } => &mut self.filtered,
            End::Dead { .. } => &mut self.dead,
            End::Erased => &mut self.erased,
        }
    }
}

impl Counts {
    pub fn ended(&self) -> u64 {
        self.logged + self.joined + self.filtered.values().sum::<u64>() + self.dead + self.erased
    }

    /// The next event of the journal was read.
    pub fn read(&mut self, seq: u64, pbx: &str) {
        self.cursor = seq;
        if self.accounts.has_event(seq) {
            self.accounts.pbx(pbx).all += 1;
        }
        self.pass_erased();
    }

    /// An event that nobody has read is erased. The same again changes nothing.
    pub fn erase_unread(&mut self, seq: u64) {
        if seq > self.cursor {
            self.erased_unread.insert(seq);
            self.pass_erased();
        }
    }

    fn pass_erased(&mut self) {
        while self.erased_unread.remove(&self.cursor.saturating_add(1)) {
            self.cursor += 1;
            self.erased += 1;
        }
    }

    /// Moves one event of a phone system from an end (none: in flight) to another.
    pub fn shift(&mut self, seq: u64, pbx: &str, from: Option<&End>, to: Option<&End>) {
        Tally::shift(self, from, to);
        if self.accounts.has_event(seq) {
            self.accounts.pbx(pbx).shift(from, to);
        }
    }

    /// A call's record is written: its deliveries count as they are now instead of as they were.
    pub fn rewrite(&mut self, before: Option<&CallRecord>, after: &CallRecord) {
        if before.is_some_and(|before| before.takers == after.takers) {
            return;
        }
        if let Some(before) = before {
            for taker in self.accounts.deliveries(before) {
                let account = self.accounts.integration(&taker.integration);
                account.all = account.all.saturating_sub(1);
                account.shift(taker.end.as_ref(), None);
            }
        }
        for taker in self.accounts.deliveries(after) {
            let account = self.accounts.integration(&taker.integration);
            account.all += 1;
            account.shift(None, taker.end.as_ref());
        }
    }

    /// A call's record is removed before its time: its deliveries are erased.
    pub fn erase(&mut self, record: &CallRecord) {
        for taker in self.accounts.deliveries(record) {
            let account = self.accounts.integration(&taker.integration);
            account.shift(taker.end.as_ref(), Some(&End::Erased));
        }
    }
}

impl Accounts {
    /// Begins the accounts of a store that has none, after the last event that was read.
    pub fn begin(&mut self, cursor: u64) {
        self.since.get_or_insert(cursor);
    }

    fn pbx(&mut self, name: &str) -> &mut Account {
        account(&mut self.pbxs, name)
    }

    fn integration(&mut self, name: &str) -> &mut Account {
        account(&mut self.integrations, name)
    }

    /// Whether an event is in an account.
    pub fn has_event(&self, seq: u64) -> bool {
        self.since.is_some_and(|since| seq > since)
    }

    /// The deliveries of a call that are in an account. A call is as old as its first event; nobody was asked about one that
    /// made no sense.
    pub fn deliveries<'a>(
        &self,
        record: &'a CallRecord,
    ) -> impl Iterator<Item = &'a Taker> + use<'a> {
        let counts = record
            .events
            .first()
            .is_some_and(|seq| self.has_event(*seq));
        let takers = record.takers.iter().filter(move |_| counts);
        takers.filter(|taker| !taker.integration.is_empty())
    }
}

impl Account {
    pub const fn ended(&self) -> u64 {
        self.logged + self.joined + self.filtered + self.dead + self.erased
    }

    pub const fn in_flight(&self) -> u64 {
        self.all.saturating_sub(self.ended())
    }
}

fn account<'a>(accounts: &'a mut BTreeMap<String, Account>, name: &str) -> &'a mut Account {
    let name = counted_as(accounts, name).to_owned();
    accounts.entry(name).or_default()
}

/// Whose account has what is of that name: one's own, or, if it came too late for that, the others'.
pub fn counted_as<'a>(accounts: &BTreeMap<String, Account>, name: &'a str) -> &'a str {
    let own = accounts.contains_key(name) || accounts.len() < NAMES_MAX;
    if own { name } else { OTHERS }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_that_were_erased_unread_end_when_it_is_their_turn() {
        let mut counts = Counts::default();
        counts.accounts.begin(0);
        counts.read(1, "hq");
        for seq in [1, 5, 3, 2, 5] {
            counts.erase_unread(seq);
        }
        assert_eq!((counts.cursor, counts.erased), (3, 2));
        counts.read(4, "hq");
        assert_eq!((counts.cursor, counts.erased), (5, 3));
        assert!(counts.erased_unread.is_empty());
        assert_eq!(counts.accounts.pbxs["hq"].all, 2);
    }
}
