//! A call as people mean it: everything from the first ring to the last hang-up, however many legs, queues and
//! transfers it took. Built by `calls::assemble`, read by filter, matching and entry.

use super::ids::CallKey;
use super::number::E164;
use super::party::{Contact, Extension};
use jiff::{SignedDuration, Timestamp};

/// Seen from us: `In` from an outside party, `Out` to one, `Internal` between our own phones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    In,
    Out,
    Internal,
}

impl Direction {
    /// `in`, `out`, `internal`: in JSON, rules and messages.
    pub const fn word(self) -> &'static str {
        match self {
            Self::In => "in",
            Self::Out => "out",
            Self::Internal => "internal",
        }
    }
}

/// What became of a call. Answered means that a person was bridged: a queue, an IVR or a mailbox picking up isn't.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CallType {
    IncomingAnswered,
    IncomingMissed,
    OutgoingAnswered,
    OutgoingUnanswered,
    Voicemail,
    Internal,
}

impl CallType {
    pub const ALL: [Self; 6] = [
        Self::IncomingAnswered,
        Self::IncomingMissed,
        Self::OutgoingAnswered,
        Self::OutgoingUnanswered,
        Self::Voicemail,
        Self::Internal,
    ];

    /// The words people read: `incoming answered`.
    pub const fn words(self) -> &'static str {
        match self {
            Self::IncomingAnswered => "incoming answered",
            Self::IncomingMissed => "incoming missed",
            Self::OutgoingAnswered => "outgoing answered",
            Self::OutgoingUnanswered => "outgoing unanswered",
            Self::Voicemail => "voicemail",
            Self::Internal => "internal",
        }
    }

    /// The key of `[kustomer.calls] log`: `incoming_answered`.
    pub const fn key(self) -> &'static str {
        match self {
            Self::IncomingAnswered => "incoming_answered",
            Self::IncomingMissed => "incoming_missed",
            Self::OutgoingAnswered => "outgoing_answered",
            Self::OutgoingUnanswered => "outgoing_unanswered",
            Self::Voicemail => "voicemail",
            Self::Internal => "internal",
        }
    }
}

/// Why nobody talked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    NoAnswer,
    CallerGaveUp,
    Busy,
    Declined,
    QueueTimeout,
    NoSuchNumber,
    Failed,
}

impl Reason {
    pub const ALL: [Self; 7] = [
        Self::NoAnswer,
        Self::CallerGaveUp,
        Self::Busy,
        Self::Declined,
        Self::QueueTimeout,
        Self::NoSuchNumber,
        Self::Failed,
    ];

    /// The words people read and our own dialect sends: `caller gave up`.
    pub const fn words(self) -> &'static str {
        match self {
            Self::NoAnswer => "no answer",
            Self::CallerGaveUp => "caller gave up",
            Self::Busy => "busy",
            Self::Declined => "declined",
            Self::QueueTimeout => "queue timeout",
            Self::NoSuchNumber => "no such number",
            Self::Failed => "failed",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TransferKind {
    /// The source tells that there was one, not which.
    Unknown,
    Blind,
    Attended,
}

impl TransferKind {
    /// The word for it in notes and tables.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Blind => "blind",
            Self::Attended => "attended",
        }
    }
}

/// One hand-over of the other party from one of our parties to the next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transfer {
    pub kind: TransferKind,
    pub from: String,
    pub to: String,
}

/// One party's part of the call, for the timeline and the note.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leg {
    /// The phone system's own id of the leg.
    pub id: String,
    /// Who was on it: an extension or a number as sent.
    pub party: String,
    pub started: Option<Timestamp>,
    pub answered: Option<Timestamp>,
    pub ended: Option<Timestamp>,
    /// How it ended, in the phone system's word (`NO_ANSWER`, `LOSE_RACE`).
    pub cause: Option<String>,
}

/// A whole call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    pub key: CallKey,
    /// The system sends no call id: the key was made of start, extension, other party and direction.
    pub weak_key: bool,
    pub call_type: CallType,
    /// Why nobody talked; none on answered and internal answered calls.
    pub reason: Option<Reason>,
    pub direction: Direction,
    /// The outside party; on internal calls the called extension.
    pub other: Contact,
    /// Our own number that was called or shown; none when it can't be known.
    pub connected: Option<E164>,
    /// What was sent for our number.
    pub connected_raw: Option<String>,
    pub first_agent: Option<Extension>,
    /// Who talked last; on an outgoing call that nobody took, who placed it.
    pub agent: Option<Extension>,
    pub queue: Option<String>,
    pub started: Timestamp,
    /// When the first person was bridged.
    pub answered: Option<Timestamp>,
    pub ended: Timestamp,
    /// From the start to the first person, or to the end without one.
    pub wait: SignedDuration,
    /// Time bridged with a person, in total.
    pub talk: SignedDuration,
    pub transfers: Vec<Transfer>,
    pub voicemail: bool,
    /// A recording was announced; `recording` is its address if one was sent.
    pub recording_announced: bool,
    pub recording: Option<String>,
    pub voicemail_link: Option<String>,
    /// Our phone whose mailbox took the call, where the system says so.
    pub mailbox: Option<Extension>,
    /// Our phone that rang last in an incoming call.
    pub rang: Option<Extension>,
    pub tags: Vec<String>,
    /// What the agent wrote into the phone.
    pub agent_note: Option<String>,
    /// What was said, as the phone system wrote it down.
    pub transcript: Option<String>,
    /// What it came to, in the phone system's words.
    pub summary: Option<String>,
    /// In the order they started.
    pub legs: Vec<Leg>,
    /// What looked wrong and was repaired, in words for the administrator (`ended before it started`).
    pub doubts: Vec<String>,
}
