//! Which calls are one: legs that name another call's leg as their family, and records that share a channel.

use super::SAME_MOMENT;
use super::times::began;
use crate::calls::decode::LegFacts;
use crate::calls::decode::facts::Role;
use crate::terms::ids::CallKey;
use jiff::Timestamp;
use std::collections::BTreeMap;

type Calls = BTreeMap<CallKey, Vec<LegFacts>>;

/// From when to when a channel was joined in a call.
type Stretch<'a> = (Timestamp, Timestamp, &'a CallKey);

/// The facts of each call: legs that name another leg as their family are of that one's call, and so are the records of
/// a channel that went from one call into another.
pub fn gather(facts: Vec<LegFacts>) -> BTreeMap<CallKey, Vec<LegFacts>> {
    let mut calls = Calls::new();
    for fact in facts {
        calls.entry((*fact.key).clone()).or_default().push(fact);
    }
    for orphan in calls.keys().cloned().collect::<Vec<_>>() {
        if let Some(home) = family(&orphan, &calls) {
            join(&mut calls, &orphan, home);
        }
    }
    let mut moved: BTreeMap<CallKey, CallKey> = BTreeMap::new();
    for pair in handed_on(&calls) {
        let [one, other] = <[CallKey; 2]>::from(pair).map(|key| {
            let mut home = key;
            while let Some(next) = moved.get(&home) {
                home = next.clone();
            }
            home
        });
        if one != other {
            let (home, orphan) = elder(one, other, &calls);
            join(&mut calls, &orphan, home.clone());
            moved.insert(orphan, home);
        }
    }
    calls
}

fn join(calls: &mut Calls, orphan: &CallKey, home: CallKey) {
    let facts = calls.remove(orphan).unwrap_or_default();
    calls.entry(home).or_default().extend(facts);
}

/// The call that `orphan` belongs to, if one has a leg of that id. When somebody who was called is handed on, the next leg
/// names that one as its family, and only the handed-over leg's own record tells whose it was: facts under `orphan` are
/// then facts of the call returned.
fn family(orphan: &CallKey, calls: &Calls) -> Option<CallKey> {
    let mut others = calls
        .iter()
        .filter(|(key, _)| *key != orphan && key.pbx == orphan.pbx);
    others
        .find(|(_, facts)| facts.iter().any(|fact| fact.leg == orphan.id))
        .map(|(key, _)| key.clone())
}

/// Calls whose records name one channel that left the one in the moment in which it came into the other: a phone joined
/// its two calls. Names of channels come again after a restart, but not in the same moment.
fn handed_on(calls: &Calls) -> Vec<(CallKey, CallKey)> {
    let mut joined: BTreeMap<(&str, &str), Vec<Stretch<'_>>> = BTreeMap::new();
    for (key, facts) in calls {
        for join in facts.iter().flat_map(|fact| &fact.rare.joins) {
            let channel = (key.pbx.as_str(), join.with.as_str());
            let stretch = (join.from, join.until, key);
            joined.entry(channel).or_default().push(stretch);
        }
    }
    let mut pairs = Vec::new();
    for mut stretches in joined.into_values() {
        stretches.sort();
        let next = stretches.iter().skip(1);
        for ((_, until, one), (from, _, other)) in stretches.iter().zip(next) {
            if one != other && from.duration_since(*until).abs() <= SAME_MOMENT {
                pairs.push(((*one).clone(), (*other).clone()));
            }
        }
    }
    pairs
}

/// The call that began first, and the other.
fn elder(one: CallKey, other: CallKey, calls: &Calls) -> (CallKey, CallKey) {
    let start = |key: &CallKey| {
        let facts = calls.get(key).into_iter().flatten();
        let roots = facts.filter(|fact| fact.role == Some(Role::Root));
        let start = roots.filter_map(began).min();
        (start.is_none(), start, key.id.clone())
    };
    if start(&one) <= start(&other) {
        (one, other)
    } else {
        (other, one)
    }
}
