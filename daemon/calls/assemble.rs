//! Facts about the legs of one call -> the call. Pure: the same facts in any order, twice or with gaps give the same
//! call. Called by the line for each call key, and by `tieline decode`.
//!
//! Answered means that a person was bridged: a queue, an IVR or a mailbox picking up isn't. Wait runs to the first such
//! bridge, or to the end without one; talk is the time bridged in total, without the ringing after a transfer.

mod kin;
mod parties;
mod reason;
mod talk;
#[cfg(test)]
mod tests;
mod times;

use super::decode::facts::{LegFacts, Role, TransferFact};
use crate::terms::call::{Call, CallType, Direction, Leg, Transfer, TransferKind};
use crate::terms::ids::CallKey;
use crate::terms::party::{Contact, Extension};
use jiff::{SignedDuration, Timestamp};
pub use kin::gather;
use parties::{Parties, extension};
use std::collections::{BTreeMap, BTreeSet};
use times::{Times, began};

/// A call that is open for longer is closed with what is known: its end was lost. No person talks for a day.
pub const CALL_AGE_MAX: SignedDuration = SignedDuration::from_hours(24);

/// A leg that starts this long after a call's end is another call with the same id: phone systems count ids from 1 again
/// after a restart, and none posts a leg of one call an hour late with a start after the end.
pub const REUSE_AFTER: SignedDuration = SignedDuration::from_hours(1);

/// Two reports of one hand-over, one of them in whole seconds, are this far apart at most.
const SAME_MOMENT: SignedDuration = SignedDuration::from_secs(1);

/// Most legs kept in a call, for its timeline: a ring group of every phone, several times over.
pub const LEGS_KEPT_MAX: usize = 200;

/// What the facts so far amount to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assembly {
    /// None while nothing tells when it started. Of an open call, the best so far.
    pub call: Option<Call>,
    pub state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Complete(Done),
    Open { why: OpenWhy },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Done {
    /// The phone system said that nothing more comes.
    Final,
    /// Every known leg ended; a record may still be on its way, so the settle time is waited.
    Settle,
}

/// What an open call waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenWhy {
    #[error("the record of the leg that the call began with hasn't come")]
    NoRoot,
    #[error("the call is going on")]
    LegLive,
    #[error("a leg that was handed over hasn't ended")]
    LegMissing,
}

/// What `facts` (all of `key`) amount to at `now`; an open call counts as lasting until then.
pub fn assemble(key: &CallKey, facts: &[LegFacts], now: Timestamp) -> Assembly {
    let legs = merged(facts);
    let state = state(&legs);
    let until = match state {
        State::Complete(Done::Final | Done::Settle) => None,
        State::Open { .. } => Some(now),
    };
    Assembly {
        call: build(key, &legs, until, Vec::new()),
        state,
    }
}

/// The best call from what is there, when it has been open for [`CALL_AGE_MAX`]. It ends with the last thing known of it.
pub fn close(key: &CallKey, facts: &[LegFacts], now: Timestamp) -> Option<Call> {
    let legs = merged(facts);
    let doubts = match state(&legs) {
        State::Complete(Done::Final | Done::Settle) => Vec::new(),
        State::Open { why } => vec![format!("closed incomplete: {why}")],
    };
    let mut call = build(key, &legs, None, doubts)?;
    if call.started > now {
        call.doubts
            .push("started in the future; check the phone system's clock".to_owned());
    }
    Some(call)
}

/// Whether a leg that starts at `start` belongs to another call than the one that ended at `ended`, although it has the
/// same id: phone systems count from the start again after a restart. Legs of one call follow each other within minutes.
pub fn is_reuse(ended: Timestamp, start: Timestamp) -> bool {
    start.duration_since(ended) > REUSE_AFTER
}

fn merged(facts: &[LegFacts]) -> BTreeMap<&str, LegFacts> {
    // A record may know a leg by its channel's name alone; what knows its id too says which leg that is.
    let mut named: BTreeMap<&str, &str> = BTreeMap::new();
    for fact in facts {
        if let Some(channel) = fact.channel.as_deref().filter(|name| *name != fact.leg) {
            let known = named.entry(channel).or_insert(&fact.leg);
            *known = (*known).min(&fact.leg);
        }
    }
    let mut legs: BTreeMap<&str, LegFacts> = BTreeMap::new();
    for fact in facts {
        let leg = fact.leg.as_str();
        let id = named.get(leg).copied().unwrap_or(leg);
        let mut fact = fact.clone();
        id.clone_into(&mut fact.leg);
        legs.entry(id)
            .and_modify(|known| known.merge(&fact))
            .or_insert(fact);
    }
    legs.values_mut().for_each(times::end_missed);
    legs
}

/// The legs that a live source told of and whose end nothing states.
pub fn live(facts: &[LegFacts]) -> Vec<LegFacts> {
    let legs = merged(facts).into_values();
    legs.filter(|leg| leg.live && leg.ended.is_none()).collect()
}

fn state(legs: &BTreeMap<&str, LegFacts>) -> State {
    if legs.values().any(|leg| leg.last) {
        return State::Complete(Done::Final);
    }
    if legs.values().any(|leg| leg.over) {
        return State::Complete(Done::Settle);
    }
    let why = if root(legs).is_none() {
        OpenWhy::NoRoot
    } else if legs
        .values()
        .any(|leg| (leg.live || leg.started.is_some()) && leg.ended.is_none())
    {
        OpenWhy::LegLive
    } else if legs
        .values()
        .flat_map(|leg| &leg.rare.awaits)
        .any(|id| legs.get(id.as_str()).is_none_or(|leg| leg.ended.is_none()))
    {
        OpenWhy::LegMissing
    } else {
        return State::Complete(Done::Settle);
    };
    State::Open { why }
}

/// The leg that the call began with; should there be several, the first.
fn root<'a>(legs: &'a BTreeMap<&str, LegFacts>) -> Option<&'a LegFacts> {
    let roots = legs.values().filter(|leg| leg.role == Some(Role::Root));
    roots.min_by_key(|leg| (began(leg).is_none(), began(leg), &leg.leg))
}

/// One thing said of the whole call: by the root leg, else the greatest that any other says.
fn of_call<'a, T: Ord>(
    legs: &'a BTreeMap<&str, LegFacts>,
    of: impl Fn(&'a LegFacts) -> Option<T>,
) -> Option<T> {
    root(legs)
        .and_then(&of)
        .or_else(|| legs.values().filter_map(of).max())
}

fn build(
    key: &CallKey,
    legs: &BTreeMap<&str, LegFacts>,
    until: Option<Timestamp>,
    mut doubts: Vec<String>,
) -> Option<Call> {
    let Parties {
        caller,
        dialled,
        shown,
        direction,
    } = Parties::of(legs);
    if legs.values().any(|leg| leg.rare.lost.is_some()) {
        doubts.push("ended while the connection to the phone system was down".to_owned());
    }
    let times = Times::of(legs, direction, until, &mut doubts)?;
    let (other, ours) = match direction {
        Direction::In => (caller, dialled),
        Direction::Out => (dialled, shown),
        Direction::Internal => (dialled, None),
    };
    let placed = placed(legs, direction, caller);
    let talkers = talkers(legs, direction, placed, &times);
    let answered = times.answered();
    let no_message = |leg: &LegFacts| leg.no_message || leg.beeped == Some(false);
    let voicemail = legs.values().any(|leg| leg.voicemail) && !legs.values().any(no_message);
    let call_type = call_type(direction, answered.is_some(), voicemail);
    let mut tags: BTreeSet<&String> = BTreeSet::new();
    tags.extend(legs.values().flat_map(|leg| &leg.rare.tags));
    Some(Call {
        key: key.clone(),
        weak_key: legs.values().any(|leg| leg.weak_key),
        call_type,
        reason: if answered.is_some() {
            None
        } else {
            reason::reason(legs)
        },
        direction,
        other: parties::other(other, legs),
        connected: ours.and_then(Contact::number).cloned(),
        connected_raw: ours
            .map(|ours| ours.raw.clone())
            .filter(|raw| !raw.is_empty()),
        first_agent: talkers.first().map(|(_, talker)| (*talker).clone()),
        agent: agent(legs, &talkers, placed, answered.is_some()),
        queue: of_call(legs, |leg| leg.rare.queue.clone()),
        started: times.started,
        answered,
        ended: times.ended,
        wait: answered
            .unwrap_or(times.ended)
            .duration_since(times.started),
        talk: times.talk(),
        transfers: transfers(legs, &talkers, answered),
        voicemail,
        recording_announced: legs.values().any(|leg| leg.recording_announced),
        recording: of_call(legs, |leg| leg.rare.recording.clone()),
        voicemail_link: of_call(legs, |leg| leg.rare.voicemail_link.clone()),
        mailbox: of_call(legs, |leg| leg.rare.mailbox.clone()),
        rang: parties::rang(legs, direction),
        tags: tags.into_iter().cloned().collect(),
        agent_note: of_call(legs, |leg| leg.rare.note.clone()),
        transcript: of_call(legs, |leg| leg.rare.transcript.clone()),
        summary: of_call(legs, |leg| leg.rare.summary.clone()),
        legs: timeline(legs, &mut doubts),
        doubts,
    })
}

/// Our phone that placed the call.
fn placed<'a>(
    legs: &'a BTreeMap<&str, LegFacts>,
    direction: Direction,
    caller: Option<&'a Contact>,
) -> Option<&'a Extension> {
    match direction {
        Direction::In => None,
        Direction::Out | Direction::Internal => {
            of_call(legs, |leg| leg.agent.as_ref()).or_else(|| caller.and_then(extension))
        }
    }
}

const fn call_type(direction: Direction, answered: bool, voicemail: bool) -> CallType {
    match (direction, answered) {
        (Direction::Internal, _) => CallType::Internal,
        (Direction::In, true) => CallType::IncomingAnswered,
        (Direction::In, false) if voicemail => CallType::Voicemail,
        (Direction::In, false) => CallType::IncomingMissed,
        (Direction::Out, true) => CallType::OutgoingAnswered,
        (Direction::Out, false) => CallType::OutgoingUnanswered,
    }
}

/// Our phones that talked, with the time from which they did, in order.
fn talkers<'a>(
    legs: &'a BTreeMap<&str, LegFacts>,
    direction: Direction,
    placed: Option<&'a Extension>,
    times: &Times,
) -> Vec<(Timestamp, &'a Extension)> {
    let mut talkers: Vec<(Timestamp, &Extension)> = Vec::new();
    if let (Some(placed), Some(answered)) = (placed, times.answered()) {
        talkers.push((answered, placed));
    }
    // Between our own phones the caller is the agent and the others are the other party.
    if direction != Direction::Internal {
        for (start, _, leg) in &times.bridges {
            let phone = legs
                .get(leg.as_str())
                .and_then(|leg| leg.party.as_ref())
                .and_then(extension);
            talkers.extend(phone.map(|phone| (*start, phone)));
        }
    }
    if talkers.is_empty()
        && let (Some(stated), Some(answered)) =
            (of_call(legs, |leg| leg.agent.as_ref()), times.answered())
    {
        talkers.push((answered, stated));
    }
    talkers
}

fn agent(
    legs: &BTreeMap<&str, LegFacts>,
    talkers: &[(Timestamp, &Extension)],
    placed: Option<&Extension>,
    answered: bool,
) -> Option<Extension> {
    let stated = if answered {
        of_call(legs, |leg| leg.agent.as_ref())
    } else {
        None
    };
    stated
        .or_else(|| talkers.last().map(|(_, talker)| *talker))
        .or(placed)
        .cloned()
}

/// Hand-overs of somebody who was being talked to; what the dial plan moved before that is none.
fn transfers(
    legs: &BTreeMap<&str, LegFacts>,
    talkers: &[(Timestamp, &Extension)],
    answered: Option<Timestamp>,
) -> Vec<Transfer> {
    let Some(answered) = answered else {
        return Vec::new();
    };
    let mut stated: Vec<&TransferFact> =
        legs.values().flat_map(|leg| &leg.rare.transfers).collect();
    stated.retain(|transfer| transfer.at >= answered);
    stated.sort_by_key(|fact| (fact.at, fact.to.is_empty(), *fact));
    // Two legs of one call, or two sources, may tell of the same hand-over, one of them in whole seconds.
    stated.dedup_by(|next, kept| {
        let same = next.kind == kept.kind
            && (next.to == kept.to || next.to.is_empty() || kept.to.is_empty())
            && next.at.duration_since(kept.at) <= SAME_MOMENT;
        if same && kept.to.is_empty() {
            // The one that names who got the other party says more.
            *kept = next;
        }
        same
    });
    let before = |at: Timestamp| {
        let before = talkers.iter().take_while(|(start, _)| *start <= at).last();
        before.map(|(_, talker)| talker.0.clone())
    };
    let transfer = |fact: &TransferFact| {
        let gave = || before(fact.at).filter(|from| *from != fact.to);
        let from = fact.from.clone().or_else(gave).unwrap_or_default();
        let next = || {
            let later = talkers.iter().find(|(start, talker)| {
                fact.at.duration_since(*start) <= SAME_MOMENT && talker.0 != from
            });
            later.map(|(_, talker)| talker.0.clone())
        };
        let to = Some(fact.to.clone()).filter(|to| !to.is_empty());
        Transfer {
            kind: fact.kind,
            to: to.or_else(next).unwrap_or_default(),
            from,
        }
    };
    if stated.is_empty() {
        return from_records(legs, talkers);
    }
    stated.into_iter().map(transfer).collect()
}

/// Records written afterwards don't name hand-overs: that one of ours talked after another tells of one, not its kind.
fn from_records(
    legs: &BTreeMap<&str, LegFacts>,
    talkers: &[(Timestamp, &Extension)],
) -> Vec<Transfer> {
    let only_records = legs.values().any(|leg| !leg.rare.joins.is_empty())
        && legs.values().all(|leg| leg.stays.is_empty());
    if !only_records {
        return Vec::new();
    }
    let hops = talkers.iter().zip(talkers.iter().skip(1));
    hops.filter(|((_, from), (_, to))| from != to)
        .map(|((_, from), (_, to))| Transfer {
            kind: TransferKind::Unknown,
            from: from.0.clone(),
            to: to.0.clone(),
        })
        .collect()
}

fn timeline(legs: &BTreeMap<&str, LegFacts>, doubts: &mut Vec<String>) -> Vec<Leg> {
    // What only says that another call is part of this one, or names a phone that other sources saw, is no leg.
    let exact = legs
        .values()
        .any(|leg| !(leg.stays.is_empty() && leg.rare.joins.is_empty()));
    let seen = |leg: &&LegFacts| {
        let ended = leg.ended.or(leg.until);
        let timed = began(leg).or(leg.answered).or(ended).is_some() || leg.cause.is_some();
        timed || (leg.role.is_some() && !exact)
    };
    let mut sorted: Vec<&LegFacts> = legs.values().filter(seen).collect();
    sorted.sort_by_key(|leg| (began(leg).is_none(), began(leg), &leg.leg));
    if sorted.len() > LEGS_KEPT_MAX {
        doubts.push(format!(
            "{} legs; the first {LEGS_KEPT_MAX} are kept",
            sorted.len()
        ));
        sorted.truncate(LEGS_KEPT_MAX);
    }
    let leg = |facts: &LegFacts| Leg {
        id: facts.leg.clone(),
        party: facts
            .party
            .as_ref()
            .map(|party| party.raw.clone())
            .unwrap_or_default(),
        started: began(facts),
        answered: facts.answered,
        ended: facts.ended.or(facts.until),
        cause: facts.cause.clone(),
    };
    sorted.into_iter().map(leg).collect()
}
