//! Which texts share a conversation: those of one exchange, the texts between one outside number and one of our numbers,
//! each within `window` of the one before. Pure; `book` asks it once for each text and integration, and `ledger` keeps
//! what is running. docs/decisions/009 has the reasons.

use crate::terms::ids::CallKey;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Most texts of one exchange: their notes fit one page of Kustomer's list, so that looking for one costs one request,
/// and a machine that never stops texting doesn't fill one conversation for ever.
pub const TEXTS_MAX: u32 = 100;

/// Longest time from an exchange's first text to its last: as long as the longest `window`. What is older than a month
/// is another matter, also between people who text every day.
pub const AGE_MAX: SignedDuration = SignedDuration::from_hours(30 * 24);

/// Whose exchange it is. The most recent one of two numbers is all that is kept of them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pair {
    pub integration: String,
    pub pbx: String,
    /// Our number, or the extension that texted.
    pub ours: String,
    pub other: String,
}

/// A running exchange.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exchange {
    /// The stored key of the text that began it, and whose conversation it is.
    pub first: String,
    /// That of the text that joined last.
    pub last: String,
    /// Time of its earliest text.
    pub since: Timestamp,
    /// Time of its latest text.
    pub until: Timestamp,
    pub texts: u32,
}

/// Which conversation a text joins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Joins {
    /// The stored key of the text that began the exchange.
    pub first: String,
    /// That of the text that joined just before: if the first was never logged, its conversation is the one to join.
    pub after: String,
}

impl Joins {
    /// The externalId of the exchange's conversation.
    pub fn external_id(&self) -> Option<String> {
        CallKey::parse(&self.first).map(|first| first.external_id())
    }
}

/// Puts a text into the running exchange of its pair, or begins one. Answers what it joins, and the exchange as it is
/// then; the exchange is none where the running one stays as it is, because the text is older than all of it.
pub fn place(
    running: Option<&Exchange>,
    key: &str,
    at: Timestamp,
    window: Duration,
) -> (Option<Joins>, Option<Exchange>) {
    let window = SignedDuration::try_from(window).unwrap_or(SignedDuration::MAX);
    let alone = Exchange {
        first: key.to_owned(),
        last: key.to_owned(),
        since: at,
        until: at,
        texts: 1,
    };
    let Some(running) = running else {
        return (None, Some(alone));
    };
    let (since, until) = (running.since.min(at), running.until.max(at));
    let near =
        running.since.duration_since(at) <= window && at.duration_since(running.until) <= window;
    let room = running.texts < TEXTS_MAX && until.duration_since(since) <= AGE_MAX;
    if near && room {
        let joins = Joins {
            first: running.first.clone(),
            after: running.last.clone(),
        };
        let grown = Exchange {
            first: running.first.clone(),
            last: key.to_owned(),
            since,
            until,
            texts: running.texts.saturating_add(1),
        };
        return (Some(joins), Some(grown));
    }
    // A straggler of a time before: it must not end what runs.
    let stale = at < running.since;
    (None, (!stale).then_some(alone))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    /// The first text of each text's exchange, by text, when they come in this order.
    fn grouped(texts: &[(String, i64)], window: u64) -> HashMap<String, String> {
        let mut running: Option<Exchange> = None;
        let mut groups = HashMap::new();
        for (key, second) in texts {
            let window = Duration::from_secs(window);
            let (joins, now) = place(running.as_ref(), key, at(*second), window);
            let first = joins.map_or_else(|| key.clone(), |joins| joins.first);
            groups.insert(key.clone(), first);
            running = now.or(running);
        }
        groups
    }

    /// Which texts are together, whatever each group is called.
    fn together(groups: &HashMap<String, String>) -> Vec<Vec<String>> {
        let mut sets: HashMap<&String, Vec<String>> = HashMap::new();
        for (key, first) in groups {
            sets.entry(first).or_default().push(key.clone());
        }
        let mut sets: Vec<_> = sets.into_values().collect();
        sets.iter_mut().for_each(|set| set.sort());
        sets.sort();
        sets
    }

    fn named(seconds: &[i64]) -> Vec<(String, i64)> {
        let name = |(number, second): (usize, &i64)| (format!("text:hq:m{number:03}"), *second);
        seconds.iter().enumerate().map(name).collect()
    }

    fn firsts(seconds: &[i64], window: u64) -> Vec<usize> {
        let texts = named(seconds);
        let groups = grouped(&texts, window);
        let number = |key: &String| texts.iter().position(|(known, _)| known == key).unwrap();
        texts.iter().map(|(key, _)| number(&groups[key])).collect()
    }

    #[test]
    fn the_window_slides_with_each_text() {
        assert_eq!(firsts(&[0, 60, 120, 181], 60), [0, 0, 0, 3]);
        assert_eq!(firsts(&[0, 0, 0], 60), [0, 0, 0]);
    }

    #[test]
    fn a_straggler_joins_what_it_is_near_to_and_ends_nothing() {
        // Told late, but of the exchange's own time or just before it.
        assert_eq!(firsts(&[100, 160, 130, 50], 60), [0, 0, 0, 0]);
        // Of an earlier time: a conversation of its own; the running exchange goes on.
        assert_eq!(firsts(&[100, 10, 150], 60), [0, 1, 0]);
        // What came between was not known yet.
        assert_eq!(firsts(&[0, 120, 60], 60), [0, 1, 1]);
    }

    #[test]
    fn an_exchange_grows_neither_long_nor_old_for_ever() {
        let many: Vec<i64> = (0..201).collect();
        let groups = firsts(&many, 60);
        assert_eq!(
            (groups[99], groups[100], groups[199], groups[200]),
            (0, 100, 100, 200)
        );
        let day = 24 * 3600;
        let daily: Vec<i64> = (0..40).map(|number| number * day).collect();
        let groups = firsts(&daily, 24 * 3600);
        assert_eq!((groups[30], groups[31], groups[39]), (0, 31, 31));
    }

    proptest! {
        /// In the order of their times, a new exchange begins where the gap is longer than the window, and nowhere else.
        #[test]
        fn in_order_exactly_the_long_gaps_part(gaps in prop::collection::vec(0_i64..120, 1..60)) {
            let seconds: Vec<i64> = gaps.iter().scan(0, |sum, gap| { *sum += gap; Some(*sum) }).collect();
            let groups = firsts(&seconds, 60);
            for (number, gap) in gaps.iter().enumerate().skip(1) {
                let parted = groups[number] == number;
                prop_assert_eq!(parted, *gap > 60);
                prop_assert!(parted || groups[number] == groups[number - 1]);
            }
        }

        /// Texts of one exchange, all within a window of each other, may come in any order, and more than once; the
        /// exchanges themselves come in order.
        #[test]
        fn within_a_window_any_order_is_the_same(
            exchanges in prop::collection::vec(prop::collection::vec(0_i64..=60, 1..8), 1..6),
            seed in any::<u64>(),
        ) {
            let mut chance = fastrand::Rng::with_seed(seed);
            let (mut ordered, mut shuffled) = (Vec::new(), Vec::new());
            for (number, seconds) in (0_i64..).zip(&exchanges) {
                let mut texts: Vec<(String, i64)> = (0..).zip(seconds)
                    .map(|(text, second): (u32, _)| (format!("text:hq:m{number}-{text}"), number * 1000 + second))
                    .collect();
                texts.sort_by_key(|(_, second)| *second);
                ordered.extend(texts.clone());
                chance.shuffle(&mut texts);
                shuffled.extend(texts);
            }
            prop_assert_eq!(together(&grouped(&ordered, 60)), together(&grouped(&shuffled, 60)));
        }
    }
}
