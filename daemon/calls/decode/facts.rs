//! Facts: what one record or live event states about one leg of one call, and how facts of one leg add up.
//!
//! Adding up is commutative and idempotent, so records may come twice, late, from several modules of one phone system
//! and in any order, and the same call results (docs/architecture.md, invariant 3).

use super::few::Few;
use crate::terms::call::{Direction, Reason, TransferKind};
use crate::terms::ids::CallKey;
use crate::terms::party::{Contact, Extension, Party};
use jiff::Timestamp;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

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
    /// Who got the other party; empty: whoever talked next.
    pub to: String,
}

/// What is at the end of a leg, where the phone system names its lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Line {
    /// Inside the phone system: a link between two legs, an announcer, a recorder. Nobody is on it.
    Machine,
    /// To the telephone network: somebody outside.
    Trunk,
    /// One of our phones.
    Phone,
}

/// A leg came into a bridge or left it. Who was there at the same time talked together.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stay {
    pub at: Timestamp,
    pub bridge: String,
    pub came: bool,
}

/// This leg and another were joined, as a record written afterwards has it: less exact than stays.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Join {
    /// The other leg, by its id or the name of its channel.
    pub with: String,
    pub from: Timestamp,
    pub until: Timestamp,
}

/// How an attempt to reach somebody ended, in the words that phone systems have for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// Nobody was reached, and the record can't tell why.
    Unknown,
    /// The attempt was taken back: the caller gave up, or somebody else took the call.
    Cancelled,
    /// Not reached, for a reason that only the cause of the leg's end tells.
    Failed,
    NoAnswer,
    Busy,
    /// The caller left a queue unanswered; whether by hanging up or by its time limit isn't said.
    LeftQueue,
    QueueTimeout,
}

/// A party as seen in passing, and when: the earliest is the truest, for transfers change what is seen later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Glimpse {
    pub at: Timestamp,
    pub contact: Contact,
}

/// What few legs have. Everything may be missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rare {
    /// Where no leg has stays, these decide; where no leg has either, `bridged` does.
    pub joins: Few<Join>,
    /// Its end was missed: it went on until then at least, and was gone when somebody looked again.
    pub lost: Option<Timestamp>,
    pub queue: Option<String>,
    /// When the queue's time limit runs out, if it has one.
    pub queue_until: Option<Timestamp>,
    pub transfers: Few<TransferFact>,
    pub voicemail_link: Option<String>,
    /// Our phone whose mailbox it was.
    pub mailbox: Option<Extension>,
    pub recording: Option<String>,
    pub tags: Few<String>,
    /// What the agent wrote into the phone.
    pub note: Option<String>,
    /// What was said, written down by the phone system.
    pub transcript: Option<String>,
    /// What the call came to, in the phone system's words.
    pub summary: Option<String>,
    /// Legs that live on and whose end has to be known before the call is complete.
    pub awaits: Few<String>,
}

/// A leg's [`Rare`], which takes memory only where it has something: ten thousand open calls have forty thousand legs.
#[derive(Clone, Debug, Default)]
pub struct Rarely(Option<Box<Rare>>);

static NOTHING: Rare = Rare::nothing();

impl Deref for Rarely {
    type Target = Rare;

    fn deref(&self) -> &Rare {
        self.0.as_deref().unwrap_or(&NOTHING)
    }
}

impl DerefMut for Rarely {
    fn deref_mut(&mut self) -> &mut Rare {
        self.0.get_or_insert_with(|| Box::new(Rare::nothing()))
    }
}

/// Nothing is the same with memory for it and without.
impl PartialEq for Rarely {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Rarely {}

impl Rarely {
    /// Gives the memory back if nothing was put there.
    pub fn trim(&mut self) {
        self.0.take_if(|rare| **rare == NOTHING);
    }
}

/// What is known of one leg. Everything but the ids may be missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LegFacts {
    /// The call's; its kind is `Call`.
    pub key: Arc<CallKey>,
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
    /// Who seemed to have placed the call; used where nothing states it.
    pub caller_seen: Option<Glimpse>,
    /// What seemed to be dialled; used where nothing states it.
    pub dialled_seen: Option<Glimpse>,
    /// Who is on this leg.
    pub party: Option<Contact>,
    pub line: Option<Line>,
    /// The phone system's name of the channel, where that is another thing than the leg's id. Names that differ only
    /// in `;1` and `;2` at their ends are the two ends of one link.
    pub channel: Option<String>,
    /// Our phone that the call belongs to, where the system states it for the whole call.
    pub agent: Option<Extension>,
    pub started: Option<Timestamp>,
    /// The second in which the leg was made, as its id has it: right where `started` is a later guess.
    pub born: Option<Timestamp>,
    /// When the line was picked up, be it by a queue or a mailbox.
    pub answered: Option<Timestamp>,
    /// When this leg was joined with a person's: start, and end if stated. Of one start the last is right.
    pub bridged: Few<(Timestamp, Option<Timestamp>)>,
    /// Comings and goings in bridges. Where any leg has them, they decide who talked when.
    pub stays: Few<Stay>,
    pub ended: Option<Timestamp>,
    /// The latest time that records written afterwards state of the leg; it may have gone on.
    pub until: Option<Timestamp>,
    /// The source tells of the leg as it goes: without `ended` it goes on.
    pub live: bool,
    /// How it ended, in the phone system's word.
    pub cause: Option<String>,
    /// The same as ITU-T Q.850 numbers it.
    pub cause_code: Option<u16>,
    /// When the party on this leg hung up itself.
    pub hung_up: Option<Timestamp>,
    /// The phone system ended the leg, not its party.
    pub cleared: bool,
    /// How the attempts made for this leg, or this leg as an attempt, ended.
    pub outcomes: Few<(Timestamp, Outcome)>,
    /// Why nobody talked, if nobody did.
    pub reason: Option<Reason>,
    pub voicemail: bool,
    /// A mailbox took the call, but no message was left.
    pub no_message: bool,
    /// A mailbox took the call, and its sounds are known: whether it got as far as the beep.
    pub beeped: Option<bool>,
    pub recording_announced: bool,
    /// The call is over, whatever its legs say; what happened in it may still come.
    pub over: bool,
    /// The system says that nothing more comes for this call.
    pub last: bool,
    pub rare: Rarely,
    /// The key was made up of start, extension, other party and direction.
    pub weak_key: bool,
}

impl LegFacts {
    /// Facts that state nothing yet.
    pub fn new(key: impl Into<Arc<CallKey>>, leg: String) -> Self {
        Self {
            key: key.into(),
            leg,
            role: None,
            direction: None,
            caller: None,
            dialled: None,
            shown: None,
            caller_seen: None,
            dialled_seen: None,
            party: None,
            line: None,
            channel: None,
            agent: None,
            started: None,
            born: None,
            answered: None,
            bridged: Few::new(),
            stays: Few::new(),
            ended: None,
            until: None,
            live: false,
            cause: None,
            cause_code: None,
            hung_up: None,
            cleared: false,
            outcomes: Few::new(),
            reason: None,
            voicemail: false,
            no_message: false,
            beeped: None,
            recording_announced: false,
            over: false,
            last: false,
            rare: Rarely::default(),
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
        earlier_glimpse(&mut self.caller_seen, other.caller_seen.as_ref());
        earlier_glimpse(&mut self.dialled_seen, other.dialled_seen.as_ref());
        greater_contact(&mut self.party, other.party.as_ref());
        self.line = self.line.max(other.line);
        greater(&mut self.channel, other.channel.as_ref());
        greater(&mut self.agent, other.agent.as_ref());
        earlier(&mut self.started, other.started);
        earlier(&mut self.born, other.born);
        earlier(&mut self.answered, other.answered);
        self.ended = self.ended.max(other.ended);
        self.until = self.until.max(other.until);
        self.live |= other.live;
        self.bridged.extend(other.bridged.iter().copied());
        self.stays.extend(other.stays.iter().cloned());
        greater(&mut self.cause, other.cause.as_ref());
        self.cause_code = self.cause_code.max(other.cause_code);
        earlier(&mut self.hung_up, other.hung_up);
        self.cleared |= other.cleared;
        self.outcomes.extend(other.outcomes.iter().copied());
        self.reason = self.reason.max(other.reason);
        self.voicemail |= other.voicemail;
        self.no_message |= other.no_message;
        self.beeped = self.beeped.max(other.beeped);
        self.recording_announced |= other.recording_announced;
        self.over |= other.over;
        self.last |= other.last;
        if other.rare.0.is_some() {
            self.rare.merge(&other.rare);
        }
        self.weak_key |= other.weak_key;
    }
}

impl Rare {
    const fn nothing() -> Self {
        Self {
            joins: Few::new(),
            lost: None,
            queue: None,
            queue_until: None,
            transfers: Few::new(),
            voicemail_link: None,
            mailbox: None,
            recording: None,
            tags: Few::new(),
            note: None,
            transcript: None,
            summary: None,
            awaits: Few::new(),
        }
    }

    fn merge(&mut self, other: &Self) {
        self.joins.extend(other.joins.iter().cloned());
        self.lost = self.lost.max(other.lost);
        greater(&mut self.queue, other.queue.as_ref());
        self.queue_until = self.queue_until.max(other.queue_until);
        self.transfers.extend(other.transfers.iter().cloned());
        greater(&mut self.voicemail_link, other.voicemail_link.as_ref());
        greater(&mut self.mailbox, other.mailbox.as_ref());
        greater(&mut self.recording, other.recording.as_ref());
        self.tags.extend(other.tags.iter().cloned());
        greater(&mut self.note, other.note.as_ref());
        longer(&mut self.transcript, other.transcript.as_ref());
        longer(&mut self.summary, other.summary.as_ref());
        self.awaits.extend(other.awaits.iter().cloned());
    }
}

fn greater<T: Clone + Ord>(known: &mut Option<T>, other: Option<&T>) {
    if known.as_ref() < other {
        *known = other.cloned();
    }
}

/// Of two texts the one that says more: a transcript grows.
fn longer(known: &mut Option<String>, other: Option<&String>) {
    if known.as_ref().map(|text| (text.len(), text)) < other.map(|text| (text.len(), text)) {
        *known = other.cloned();
    }
}

fn earlier(known: &mut Option<Timestamp>, other: Option<Timestamp>) {
    if let Some(other) = other {
        *known = Some(known.map_or(other, |known| known.min(other)));
    }
}

fn earlier_glimpse(known: &mut Option<Glimpse>, other: Option<&Glimpse>) {
    // Of two in the same moment the weightier, so that the order of arrival doesn't matter.
    let first = |glimpse: &Glimpse, other: &Glimpse| {
        (glimpse.at, weight(&other.contact)) < (other.at, weight(&glimpse.contact))
    };
    if let Some(other) = other
        && known.as_ref().is_none_or(|known| first(other, known))
    {
        *known = Some(other.clone());
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_few_legs_have_takes_memory_only_where_it_is() {
        let (mut rare, none) = (Rarely::default(), Rarely::default());
        rare.note = None;
        assert!(rare.0.is_some());
        assert_eq!(rare, none);
        rare.trim();
        assert!(rare.0.is_none());
        rare.note = Some("called back".to_owned());
        rare.trim();
        assert_eq!(rare.note.as_deref(), Some("called back"));
        assert_ne!(rare, none);
        assert_eq!(none.note, None);
    }
}
