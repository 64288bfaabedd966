//! What the open calls hold, to compare the counts with (invariant 2). Part of `book`.

use super::super::ledger::{Account, Accounts, CallRecord, Counts, counted_as};
use std::collections::{BTreeMap, HashMap};
use std::fmt::{self, Display, Formatter};

/// Events, and deliveries without an end, of the open calls.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// All of them, also from before there were accounts.
    pub events: u64,
    pbxs: HashMap<String, u64>,
    integrations: HashMap<String, u64>,
}

/// Whose counts something is said of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Whose {
    All,
    Pbx(String),
    Integration(String),
}

/// What came isn't what has an end and what the open calls hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    pub whose: Whose,
    pub all: u64,
    pub ended: u64,
    pub open: u64,
}

impl Display for Whose {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => out.write_str("all events"),
            Self::Pbx(name) => write!(out, "phone system {name}"),
            Self::Integration(name) => write!(out, "integration {name}"),
        }
    }
}

impl Held {
    /// A call is open with this record.
    pub fn add(&mut self, record: &CallRecord, accounts: &Accounts) {
        self.change(record, accounts, u64::saturating_add);
    }

    /// It isn't any more.
    pub fn remove(&mut self, record: &CallRecord, accounts: &Accounts) {
        self.change(record, accounts, u64::saturating_sub);
    }

    fn change(&mut self, record: &CallRecord, accounts: &Accounts, by: fn(u64, u64) -> u64) {
        let own = record.events.iter();
        let own = own.filter(|seq| !record.guests.contains(seq));
        self.events = by(self.events, own.clone().count() as u64);
        let events = own.filter(|seq| accounts.has_event(**seq));
        let held = slot(&mut self.pbxs, &record.pbx);
        *held = by(*held, events.count() as u64);
        for taker in accounts.deliveries(record) {
            if taker.end.is_none() {
                let held = slot(&mut self.integrations, &taker.integration);
                *held = by(*held, 1);
            }
        }
    }

    /// Where the counts say something else.
    pub fn differences(&self, counts: &Counts) -> Vec<Difference> {
        let all = Difference {
            whose: Whose::All,
            all: counts.cursor,
            ended: counts.ended(),
            open: self.events,
        };
        let accounts = &counts.accounts;
        let pbxs = compared(&accounts.pbxs, &self.pbxs, Whose::Pbx);
        let integrations = compared(
            &accounts.integrations,
            &self.integrations,
            Whose::Integration,
        );
        let compared = std::iter::once(all).chain(pbxs).chain(integrations);
        compared
            .filter(|one| one.all != one.ended.saturating_add(one.open))
            .collect()
    }
}

fn slot<'a>(held: &'a mut HashMap<String, u64>, name: &str) -> &'a mut u64 {
    held.entry(name.to_owned()).or_default()
}

/// Each account with what is held open of it.
fn compared<'a>(
    accounts: &'a BTreeMap<String, Account>,
    held: &'a HashMap<String, u64>,
    whose: fn(String) -> Whose,
) -> impl Iterator<Item = Difference> + 'a {
    let mut open: BTreeMap<&str, u64> = accounts.keys().map(|name| (name.as_str(), 0)).collect();
    for (name, count) in held {
        *open.entry(counted_as(accounts, name)).or_default() += count;
    }
    open.into_iter().map(move |(name, open)| {
        let account = accounts.get(name).copied().unwrap_or_default();
        Difference {
            whose: whose(name.to_owned()),
            all: account.all,
            ended: account.ended(),
            open,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::super::super::ledger::{End, NAMES_MAX, OTHERS, Stage, Taker};
    use super::*;
    use jiff::Timestamp;
    use proptest::prelude::*;

    const PBXS: [&str; 2] = ["hq", "branch"];
    const INTEGRATIONS: [&str; 3] = ["support", "sales", ""];

    /// Which call, what its takers have come to, and whether it is over.
    type Written = (usize, Vec<Option<End>>, bool);

    /// The counts and what is held, as the book keeps them, of records that it writes one after the other.
    #[derive(Default)]
    struct Kept {
        counts: Counts,
        held: Held,
        records: BTreeMap<usize, CallRecord>,
    }

    impl Kept {
        /// A call gets an event, these takers and this stage, and its events the ends that follow.
        fn write(&mut self, call: usize, takers: &[Option<End>], ended: bool) {
            let before = self.records.get(&call).cloned();
            let pbx = PBXS[call % PBXS.len()];
            let new = || CallRecord::new(format!("call:{pbx}:{call}"), pbx, Timestamp::UNIX_EPOCH);
            let mut record = before.clone().unwrap_or_else(new);
            self.counts.read(self.counts.cursor + 1, pbx);
            record.events.push(self.counts.cursor);
            let taker = |(name, end): (&str, &Option<End>)| Taker {
                integration: name.to_owned(),
                end: end.clone().or_else(|| ended.then_some(End::Logged)),
            };
            record.takers = INTEGRATIONS.into_iter().zip(takers).map(taker).collect();
            let over = ended && !takers.is_empty();
            record.stage = if over { Stage::Ended } else { Stage::Owed };
            for (index, seq) in record.events.iter().enumerate() {
                let old = before.as_ref().and_then(|before| {
                    let index = before.events.iter().position(|known| known == seq)?;
                    before.end_of(index)
                });
                let new = record.end_of(index);
                self.counts.shift(*seq, pbx, old.as_ref(), new.as_ref());
            }
            self.counts.rewrite(before.as_ref(), &record);
            let open = |record: &&CallRecord| record.stage != Stage::Ended;
            if let Some(record) = Some(&record).filter(open) {
                self.held.add(record, &self.counts.accounts);
            }
            if let Some(before) = before.as_ref().filter(open) {
                self.held.remove(before, &self.counts.accounts);
            }
            self.records.insert(call, record);
        }

        /// What the accounts should be, counted from the records alone.
        fn recounted(&self) -> Accounts {
            let mut counts = Counts::default();
            counts.accounts.since = self.counts.accounts.since;
            for record in self.records.values() {
                for (index, seq) in record.events.iter().enumerate() {
                    counts.read(*seq, &record.pbx);
                    let end = record.end_of(index);
                    counts.shift(*seq, &record.pbx, None, end.as_ref());
                }
                counts.rewrite(None, record);
            }
            counts.accounts
        }
    }

    fn ends() -> impl Strategy<Value = Vec<Option<End>>> {
        let (rule, why) = ("internal".to_owned(), String::new());
        let end = prop_oneof![
            Just(None),
            Just(Some(End::Logged)),
            Just(Some(End::Dead { why: why.clone() })),
            Just(Some(End::Erased)),
            Just(Some(End::Filtered { rule, why })),
        ];
        proptest::collection::vec(end, 0..=INTEGRATIONS.len())
    }

    /// Plays calls, some of them before there were accounts, and counts again from all records.
    fn account_for(before: &[Written], after: &[Written]) {
        let mut kept = Kept::default();
        for (call, takers, ended) in before {
            kept.write(*call, takers, *ended);
        }
        // A daemon that keeps accounts is started on a store of one that didn't.
        kept.counts.accounts.begin(kept.counts.cursor);
        kept.held = Held::default();
        let open = kept
            .records
            .values()
            .filter(|one| one.stage != Stage::Ended);
        for record in open {
            kept.held.add(record, &kept.counts.accounts);
        }
        for (call, takers, ended) in after {
            kept.write(*call, takers, *ended);
            assert_eq!(kept.held.differences(&kept.counts), []);
        }
        // One whose last call is taken up again stays, with nothing in it.
        let accounts = &mut kept.counts.accounts;
        accounts.integrations.retain(|_, one| one.all > 0);
        assert_eq!(kept.counts.accounts, kept.recounted());
    }

    proptest! {
        #[test]
        fn the_accounts_are_what_the_records_say(
            before in proptest::collection::vec((0..6_usize, ends(), any::<bool>()), 0..12),
            after in proptest::collection::vec((0..6_usize, ends(), any::<bool>()), 0..40),
        ) {
            account_for(&before, &after);
        }
    }

    #[test]
    fn a_difference_says_whose_it_is() {
        let mut kept = Kept::default();
        kept.counts.accounts.begin(0);
        kept.write(0, &[Some(End::Logged), None], false);
        kept.write(1, &[Some(End::Logged)], true);
        assert_eq!(kept.held.differences(&kept.counts), []);
        let right = kept.counts.clone();
        let whose = |counts: &Counts| {
            let found = kept.held.differences(counts);
            let told: Vec<String> = found.iter().map(|one| one.whose.to_string()).collect();
            told
        };
        let mut counts = right.clone();
        counts
            .accounts
            .pbxs
            .entry("hq".to_owned())
            .or_default()
            .joined += 1;
        assert_eq!(whose(&counts), ["phone system hq"]);
        let mut counts = right.clone();
        counts.accounts.integrations.remove("sales");
        assert_eq!(whose(&counts), ["integration sales"]);
        let mut counts = right;
        counts.dead += 1;
        assert_eq!(whose(&counts), ["all events"]);
    }

    #[test]
    fn who_comes_when_there_are_too_many_is_counted_with_others() {
        let mut counts = Counts::default();
        counts.accounts.begin(0);
        let mut held = Held::default();
        let names = NAMES_MAX as u64 + 20;
        for seq in 1..=names {
            let pbx = format!("pbx-{seq}");
            counts.read(seq, &pbx);
            let mut record = CallRecord::new(format!("call:{pbx}:1"), &pbx, Timestamp::UNIX_EPOCH);
            record.events.push(seq);
            held.add(&record, &counts.accounts);
        }
        assert_eq!(held.differences(&counts), []);
        assert_eq!(counts.accounts.pbxs.len(), NAMES_MAX + 1);
        assert_eq!(counts.accounts.pbxs[OTHERS].all, 20);
    }
}
