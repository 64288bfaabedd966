//! Which rules can never decide, because others take all that they match: lines of a number list, and what stands behind a
//! `log` that is off. Pure; `check/lists.rs` and `check/kustomer.rs` ask, and say where the rules are.
//!
//! A line is a set of what a phone system may send: intervals of digits of one length, or a name. A prefix is one interval
//! for each length. So a line is shadowed if its intervals lie within those of the lines before it, all together.

use super::types::{CallRules, LogAs, Matcher, NumberPattern, TextRules};
use crate::terms::call::CallType;
use crate::terms::number::E164_DIGITS_MAX;
use crate::terms::party::emergencies;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// So many are told of a list; who has more finds the others when these are gone.
pub const TOLD_MAX: usize = 20;

/// A line that other lines take everything from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shadowed {
    pub line: usize,
    /// The line that takes all of it; or all those that do so together, in their order.
    pub by: Vec<usize>,
    /// Those stand before it: it never decides. Else they stand after it, and would decide the same without it.
    pub before: bool,
}

/// The lines, counted from 0, that are taken by those before them, or by those after them; at most [`TOLD_MAX`].
pub fn shadowed(patterns: &[NumberPattern]) -> Vec<Shadowed> {
    let sets: Vec<Set> = patterns.iter().map(set).collect();
    let indices = 0..patterns.len();
    let before = taken(&sets, indices.clone(), true);
    let known: BTreeSet<usize> = before.iter().map(|one| one.line).collect();
    // A line that never decides takes nothing from the others.
    let rest = indices.rev().filter(|index| !known.contains(index));
    let after = taken(&sets, rest, false);
    let mut all: Vec<Shadowed> = before.into_iter().chain(after).collect();
    all.sort_by_key(|one| one.line);
    all.truncate(TOLD_MAX);
    all
}

/// The keys that never decide because `log`, which is asked before them, switches off every call that they could take.
pub fn idle_for_calls(rules: &CallRules) -> Vec<&'static str> {
    let off = |call_type: CallType| rules.log.get(&call_type.into()) == Some(&LogAs::Off);
    let nobody_talks = [
        CallType::IncomingAnswered,
        CallType::OutgoingAnswered,
        CallType::Internal,
    ]
    .into_iter()
    .all(off);
    let all_off = CallType::ALL.into_iter().all(off);
    let mut idle = Vec::new();
    if nobody_talks && rules.min_talk > Duration::ZERO {
        idle.push("min_talk");
    }
    if all_off && !rules.ignore.is_empty() {
        idle.push("ignore");
    }
    idle
}

/// The same for texts.
pub fn idle_for_texts(rules: &TextRules) -> Vec<&'static str> {
    let logs = [rules.received, rules.sent, rules.failed];
    let all_off = logs.into_iter().all(|log| log == LogAs::Off);
    if all_off && !rules.ignore.is_empty() {
        vec!["ignore"]
    } else {
        Vec::new()
    }
}

/// Of digits: plus or not, and how many.
type Space = (bool, usize);

/// What a line matches.
#[derive(Clone, Debug, Default)]
struct Set {
    digits: Vec<(Space, u128, u128)>,
    name: Option<String>,
}

/// What lines match together: of each space, intervals that don't touch, by their beginnings.
#[derive(Default)]
struct Union {
    digits: BTreeMap<Space, BTreeMap<u128, u128>>,
    names: BTreeSet<String>,
}

/// The lines that are taken by those that `order` gives before them.
fn taken(sets: &[Set], order: impl Iterator<Item = usize>, before: bool) -> Vec<Shadowed> {
    let (mut union, mut seen, mut found) = (Union::default(), Vec::new(), Vec::new());
    for line in order {
        let Some(set) = sets.get(line) else { continue };
        if union.holds(set) {
            let by = takers(sets, &seen, set);
            found.push(Shadowed { line, by, before });
            if found.len() == TOLD_MAX {
                break;
            }
        } else {
            union.add(set);
            seen.push(line);
        }
    }
    found
}

/// The first line that takes all of `set` alone, else all that take some of it.
fn takers(sets: &[Set], seen: &[usize], set: &Set) -> Vec<usize> {
    let of = |line: usize| sets.get(line);
    let alone = |line: &&usize| {
        of(**line).is_some_and(|other| {
            let mut union = Union::default();
            union.add(other);
            union.holds(set)
        })
    };
    if let Some(line) = seen.iter().find(alone) {
        return vec![*line];
    }
    let some = seen.iter().copied();
    let mut some: Vec<usize> = some
        .filter(|line| of(*line).is_some_and(|other| overlap(other, set)))
        .collect();
    some.sort_unstable();
    some
}

fn overlap(one: &Set, other: &Set) -> bool {
    one.digits.iter().any(|(space, first, last)| {
        let mut others = other.digits.iter();
        others.any(|(of, from, to)| of == space && first <= to && from <= last)
    })
}

impl Union {
    fn holds(&self, set: &Set) -> bool {
        let within = |(space, first, last): &(Space, u128, u128)| {
            let all = self.digits.get(space);
            let at = all.and_then(|all| all.range(..=*first).next_back());
            at.is_some_and(|(_, end)| end >= last)
        };
        set.digits.iter().all(within)
            && set
                .name
                .as_ref()
                .is_none_or(|name| self.names.contains(name))
    }

    fn add(&mut self, set: &Set) {
        self.names.extend(set.name.clone());
        for (space, first, last) in &set.digits {
            let all = self.digits.entry(*space).or_default();
            let (mut first, mut last) = (*first, *last);
            // Swallows what it meets or touches.
            while let Some((from, to)) = all.range(..=last.saturating_add(1)).next_back() {
                let (from, to) = (*from, *to);
                if to.saturating_add(1) < first {
                    break;
                }
                all.remove(&from);
                (first, last) = (first.min(from), last.max(to));
            }
            all.insert(first, last);
        }
    }
}

fn set(pattern: &NumberPattern) -> Set {
    match &pattern.matcher {
        Matcher::Number(number) => range(true, number.as_str(), number.as_str()),
        Matcher::Prefix(prefix) => self::prefix(prefix),
        Matcher::Range { first, last } => range(true, first, last),
        Matcher::Extensions(extensions) => {
            let mut set = Set::default();
            for one in &extensions.0 {
                let more = extension(&one.first, &one.last);
                set.digits.extend(more.digits);
                set.name = set.name.or(more.name);
            }
            set
        }
    }
}

/// Both ends have as many digits.
fn range(plus: bool, first: &str, last: &str) -> Set {
    let (first, last) = (first.trim_start_matches('+'), last.trim_start_matches('+'));
    let digits = match (first.parse(), last.parse()) {
        (Ok(from), Ok(to)) => vec![((plus, first.len()), from, to)],
        // Not digits: it matches no number.
        (Err(_), _) | (_, Err(_)) => Vec::new(),
    };
    Set { digits, name: None }
}

fn prefix(prefix: &str) -> Set {
    let given = prefix.trim_start_matches('+');
    let mut set = Set::default();
    for length in given.len()..=E164_DIGITS_MAX {
        let rest = length - given.len();
        let (first, last) = ("0".repeat(rest), "9".repeat(rest));
        let of_length = range(true, &format!("{given}{first}"), &format!("{given}{last}"));
        set.digits.extend(of_length.digits);
    }
    set
}

/// One extension, or a range of them, in which emergency numbers aren't meant (`terms/party.rs`).
fn extension(first: &str, last: &str) -> Set {
    let digits = first.bytes().all(|byte| byte.is_ascii_digit());
    if !digits {
        return Set {
            digits: Vec::new(),
            name: Some(first.to_owned()),
        };
    }
    if first == last {
        return range(false, first, last);
    }
    let mut set = Set::default();
    for ((plus, length), mut from, to) in range(false, first, last).digits {
        let space = (plus, length);
        for short in emergencies(length) {
            if !(from..=to).contains(&short) {
                continue;
            }
            if from < short {
                set.digits.push((space, from, short - 1));
            }
            from = short + 1;
        }
        if from <= to {
            set.digits.push((space, from, to));
        }
    }
    set
}
