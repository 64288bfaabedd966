//! Facts: what one record or live event states about one leg of one call, and how facts of one leg add up.
//!
//! Adding up is commutative and idempotent, so records may come twice, late, from several modules of one phone system
//! and in any order, and the same call results (docs/architecture.md, invariant 3).

use crate::terms::call::{Direction, Reason, TransferKind};
use crate::terms::ids::CallKey;
use crate::terms::party::{Contact, Extension, Party};
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

/// Where a leg stands in its call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Set up on behalf of another leg: the phone that rings, the line to the trunk.
    Branch,
    /// The leg that the call began with; its id is the call's.
    Root,
}

/// A hand-over as the phone system states it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TransferFact {
    pub at: Timestamp,
    pub kind: TransferKind,
    /// Who gave the other party away; none: whoever talked then.
    pub from: Option<String>,
    pub to: String,
}

/// What is known of one leg. Everything but the ids may be missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LegFacts {
    /// The call's; its kind is `Call`.
    pub key: CallKey,
    /// The phone system's id of the leg; of the root leg, usually the call's own.
    pub leg: String,
    pub role: Option<Role>,
    /// The whole call's direction, where the system states that (not the leg's).
    pub direction: Option<Direction>,
    /// Who placed the call.
    pub caller: Option<Contact>,
    /// What was dialled first.
    pub dialled: Option<Contact>,
    /// The caller id sent to the other party: our number on outgoing calls.
    pub shown: Option<Contact>,
    /// Who is on this leg.
    pub party: Option<Contact>,
    /// Our phone that the call belongs to, where the system states it for the whole call.
    pub agent: Option<Extension>,
    pub started: Option<Timestamp>,
    /// When the line was picked up, be it by a queue or a mailbox.
    pub answered: Option<Timestamp>,
    /// When this leg was joined with a person's: start, and end if stated.
    pub bridged: BTreeMap<Timestamp, Option<Timestamp>>,
    pub ended: Option<Timestamp>,
    /// How it ended, in the phone system's word.
    pub cause: Option<String>,
    /// Why nobody talked, if nobody did.
    pub reason: Option<Reason>,
    pub queue: Option<String>,
    pub transfers: BTreeSet<TransferFact>,
    pub voicemail: bool,
    pub voicemail_link: Option<String>,
    pub recording_announced: bool,
    pub recording: Option<String>,
    pub tags: BTreeSet<String>,
    /// What the agent wrote into the phone.
    pub note: Option<String>,
    /// Legs that live on and whose end has to be known before the call is complete.
    pub awaits: BTreeSet<String>,
    /// The call is over, whatever its legs say; what happened in it may still come.
    pub over: bool,
    /// The system says that nothing more comes for this call.
    pub last: bool,
    /// The key was made up of start, extension, other party and direction.
    pub weak_key: bool,
}

impl LegFacts {
    /// Facts that state nothing yet.
    pub fn new(key: CallKey, leg: String) -> Self {
        Self {
            key,
            leg,
            role: None,
            direction: None,
            caller: None,
            dialled: None,
            shown: None,
            party: None,
            agent: None,
            started: None,
            answered: None,
            bridged: BTreeMap::new(),
            ended: None,
            cause: None,
            reason: None,
            queue: None,
            transfers: BTreeSet::new(),
            voicemail: false,
            voicemail_link: None,
            recording_announced: false,
            recording: None,
            tags: BTreeSet::new(),
            note: None,
            awaits: BTreeSet::new(),
            over: false,
            last: false,
            weak_key: false,
        }
    }

    /// Adds what `other` states about the same leg. Where two records disagree, the earlier start, the later end and
    /// otherwise the greater value wins: any rule would do that doesn't depend on which came first.
    pub fn merge(&mut self, other: &Self) {
        self.role = self.role.max(other.role);
        self.direction = self.direction.max(other.direction);
        greater_contact(&mut self.caller, other.caller.as_ref());
        greater_contact(&mut self.dialled, other.dialled.as_ref());
        greater_contact(&mut self.shown, other.shown.as_ref());
        greater_contact(&mut self.party, other.party.as_ref());
        greater(&mut self.agent, other.agent.as_ref());
        earlier(&mut self.started, other.started);
        earlier(&mut self.answered, other.answered);
        self.ended = self.ended.max(other.ended);
        for (start, end) in &other.bridged {
            let known = self.bridged.entry(*start).or_default();
            *known = (*known).max(*end);
        }
        greater(&mut self.cause, other.cause.as_ref());
        self.reason = self.reason.max(other.reason);
        greater(&mut self.queue, other.queue.as_ref());
        self.transfers.extend(other.transfers.iter().cloned());
        self.voicemail |= other.voicemail;
        greater(&mut self.voicemail_link, other.voicemail_link.as_ref());
        self.recording_announced |= other.recording_announced;
        greater(&mut self.recording, other.recording.as_ref());
        self.tags.extend(other.tags.iter().cloned());
        greater(&mut self.note, other.note.as_ref());
        self.awaits.extend(other.awaits.iter().cloned());
        self.over |= other.over;
        self.last |= other.last;
        self.weak_key |= other.weak_key;
    }
}

fn greater<T: Clone + Ord>(known: &mut Option<T>, other: Option<&T>) {
    if known.as_ref() < other {
        *known = other.cloned();
    }
}

fn earlier(known: &mut Option<Timestamp>, other: Option<Timestamp>) {
    if let Some(other) = other {
        *known = Some(known.map_or(other, |known| known.min(other)));
    }
}

fn greater_contact(known: &mut Option<Contact>, other: Option<&Contact>) {
    if known.as_ref().map(weight) < other.map(weight) {
        *known = other.cloned();
    }
}

/// Orders contacts by how much they say; total, so that the choice never depends on the order of arrival.
pub fn weight(contact: &Contact) -> (u8, &str, Option<&str>) {
    let rank = match contact.party {
        Party::Number(_) | Party::Extension(_) => 3,
        Party::Short(_) => 2,
        Party::Anonymous => 1,
        Party::Invalid => 0,
    };
    (rank, contact.raw.as_str(), contact.name.as_deref())
}
