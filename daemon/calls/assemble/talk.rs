//! Who talked when, out of who was in which bridge.
//!
//! Legs in one bridge hear each other, and the two ends of a link are one. Talk is the time in which the other party is
//! joined so with somebody: an agent's consultation isn't, nor is a queue's music, a menu or a mailbox, for nobody is there.

use super::root;
use crate::calls::decode::LegFacts;
use crate::calls::decode::facts::Line;
use crate::terms::call::Direction;
use jiff::{SignedDuration, Timestamp};
use std::collections::{BTreeMap, BTreeSet};

/// Most stays of one call that are looked at, the first ones: a conference of a hundred, and its work is quadratic.
const STAYS_MAX: usize = 250;

/// The least time that two were joined when a record says that they were, for one in whole seconds may say none.
const JOINED_MIN: SignedDuration = SignedDuration::from_millis(1);

/// A stretch of talk, as seen from one of the legs.
pub type Stretch = (Timestamp, Timestamp, String);

/// A leg's time in a room: a bridge, or a pair that a record states.
struct Presence<'a> {
    room: String,
    leg: &'a str,
    from: Timestamp,
    until: Timestamp,
}

/// The stretches, one for each of our legs in it; what goes on lasts until `end`. None where no leg knows.
pub fn stretches(
    legs: &BTreeMap<&str, LegFacts>,
    direction: Direction,
    end: Timestamp,
) -> Option<Vec<Stretch>> {
    let mut presences = if legs.values().any(|leg| !leg.stays.is_empty()) {
        of_stays(legs, end)
    } else if legs.values().any(|leg| !leg.rare.joins.is_empty()) {
        of_joins(legs)
    } else {
        return None;
    };
    presences.sort_by(|a, b| (a.from, a.until, a.leg).cmp(&(b.from, b.until, b.leg)));
    presences.truncate(STAYS_MAX);
    let times: BTreeSet<Timestamp> = presences
        .iter()
        .flat_map(|presence| [presence.from, presence.until])
        .collect();
    let mut found: Vec<Stretch> = Vec::new();
    for (from, until) in times.iter().zip(times.iter().skip(1)) {
        let there: Vec<&Presence<'_>> = presences
            .iter()
            .filter(|presence| presence.from <= *from && *until <= presence.until)
            .collect();
        for group in groups(&there, legs) {
            for leg in talking(&group, legs, direction) {
                extend(&mut found, (*from, *until, leg.to_owned()));
            }
        }
    }
    Some(found)
}

/// Adds a stretch; one that goes on from the leg's last is the same.
fn extend(found: &mut Vec<Stretch>, (from, until, leg): Stretch) {
    let last = found.iter_mut().rev().find(|(_, _, known)| *known == leg);
    match last {
        Some((_, end, _)) if *end == from => *end = until,
        _ => found.push((from, until, leg)),
    }
}

/// From when to when each leg was in each bridge. Two sources may tell of one coming: the first counts. A leg is in one
/// bridge at a time: coming into another one ends the stay in the first.
fn of_stays<'a>(legs: &'a BTreeMap<&str, LegFacts>, end: Timestamp) -> Vec<Presence<'a>> {
    let mut presences = Vec::new();
    for (id, leg) in legs {
        let until = leg.ended.unwrap_or(end);
        let mut inside: BTreeMap<&str, Timestamp> = BTreeMap::new();
        for stay in &leg.stays {
            if stay.came {
                if !inside.contains_key(stay.bridge.as_str()) {
                    let before = std::mem::take(&mut inside).into_iter();
                    presences
                        .extend(before.map(|(bridge, from)| presence(id, bridge, from, stay.at)));
                }
                inside.entry(&stay.bridge).or_insert(stay.at);
            } else if let Some(from) = inside.remove(stay.bridge.as_str()) {
                presences.push(presence(id, &stay.bridge, from, stay.at));
            }
        }
        let open = inside.into_iter();
        presences.extend(open.map(|(bridge, from)| presence(id, bridge, from, until.max(from))));
    }
    presences
}

fn presence<'a>(leg: &'a str, room: &str, from: Timestamp, until: Timestamp) -> Presence<'a> {
    Presence {
        room: room.to_owned(),
        leg,
        from,
        until,
    }
}

/// Pairs that records state. A record of a channel that was answered before counts from when the record was opened, not
/// from when the other came: while one of the two was still joined with somebody else, they weren't.
fn of_joins<'a>(legs: &'a BTreeMap<&str, LegFacts>) -> Vec<Presence<'a>> {
    let mut pairs: Vec<(&str, &str, Timestamp, Timestamp)> = Vec::new();
    for (id, leg) in legs {
        for join in &leg.rare.joins {
            let with = legs
                .get_key_value(join.with.as_str())
                .map(|(with, _)| *with)
                .or_else(|| named(legs, &join.with));
            if let Some(with) = with {
                let until = join.from.checked_add(JOINED_MIN).unwrap_or(join.until);
                pairs.push((id, with, join.from, join.until.max(until)));
            }
        }
    }
    pairs.truncate(STAYS_MAX);
    let mut presences = Vec::new();
    for (number, (a, b, from, until)) in pairs.iter().enumerate() {
        let with_others = pairs.iter().filter(|(c, d, start, end)| {
            let one_of_two = [*c, *d]
                .iter()
                .filter(|leg| [*a, *b].contains(*leg))
                .count()
                == 1;
            one_of_two && start <= from && end < until
        });
        let busy_until = with_others.map(|(_, _, _, end)| *end).max();
        let from = busy_until.map_or(*from, |busy| busy.max(*from));
        let room = format!("record {number}");
        presences.push(presence(a, &room, from, *until));
        presences.push(presence(b, &room, from, *until));
    }
    presences
}

fn named<'a>(legs: &'a BTreeMap<&str, LegFacts>, channel: &str) -> Option<&'a str> {
    let named = |leg: &&LegFacts| leg.channel.as_deref() == Some(channel);
    legs.values().find(named).map(|leg| leg.leg.as_str())
}

/// Legs that hear each other, in groups.
fn groups<'a>(there: &[&Presence<'a>], legs: &BTreeMap<&str, LegFacts>) -> Vec<BTreeSet<&'a str>> {
    // Each leg and each link is in rooms; rooms that have one in common are one.
    let mut groups: Vec<(BTreeSet<String>, BTreeSet<&'a str>)> = Vec::new();
    for presence in there {
        let mut rooms = BTreeSet::from([presence.room.clone()]);
        rooms.extend(legs.get(presence.leg).and_then(link));
        let mut members = BTreeSet::from([presence.leg]);
        let (joined, apart) =
            groups
                .into_iter()
                .partition(|(known, who): &(BTreeSet<String>, BTreeSet<&str>)| {
                    !known.is_disjoint(&rooms) || !who.is_disjoint(&members)
                });
        groups = apart;
        for (known, who) in Vec::from_iter(joined) {
            rooms.extend(known);
            members.extend(who);
        }
        groups.push((rooms, members));
    }
    groups.into_iter().map(|(_, members)| members).collect()
}

/// The link that a channel is an end of: its name without `;1` or `;2`.
fn link(leg: &LegFacts) -> Option<String> {
    let (link, end) = leg.channel.as_deref()?.rsplit_once(';')?;
    matches!(end, "1" | "2").then(|| format!("link {link}"))
}

/// Our side's legs of a group in which the other party talks with somebody; none if it doesn't.
fn talking<'a>(
    group: &BTreeSet<&'a str>,
    legs: &BTreeMap<&str, LegFacts>,
    direction: Direction,
) -> Vec<&'a str> {
    let line = |leg: &&&str| legs.get(**leg).and_then(|leg| leg.line);
    let people: Vec<&&str> = group
        .iter()
        .filter(|leg| matches!(line(leg), Some(Line::Trunk | Line::Phone)))
        .collect();
    let first = root(legs).filter(|root| matches!(root.line, Some(Line::Trunk | Line::Phone)));
    let outside = |leg: &&&&str| line(leg) == Some(Line::Trunk);
    let other_party = match (direction, first) {
        (Direction::In, Some(root)) => people.iter().any(|leg| ***leg == root.leg),
        (Direction::In, None) | (Direction::Out, _) => people.iter().any(|leg| outside(&leg)),
        (Direction::Internal, _) => true,
    };
    if people.len() < 2 || !other_party {
        return Vec::new();
    }
    let ours: Vec<&str> = people
        .iter()
        .filter(|leg| line(leg) == Some(Line::Phone))
        .map(|leg| **leg)
        .collect();
    if ours.is_empty() {
        // Forwarded outside: two lines of the trunk, and nobody of ours.
        people.into_iter().copied().collect()
    } else {
        ours
    }
}
