//! A call that nobody made, for who wants to know what the rules would say of one: `explain NUMBER`, `filter test`.

use crate::terms::call::{Call, CallType, Direction};
use crate::terms::ids::{CallKey, Kind};
use crate::terms::party::{Contact, Extension};
use jiff::{SignedDuration, Timestamp};

/// What the rules look at.
#[derive(Clone, Debug)]
pub struct Supposed {
    pub pbx: String,
    pub call_type: CallType,
    /// The outside party; of an internal call, the called phone.
    pub other: Contact,
    /// Our number; none: it isn't known.
    pub ours: Option<Contact>,
    pub agent: Option<Extension>,
    /// Of no meaning where nobody talks.
    pub talk: SignedDuration,
    pub at: Timestamp,
}

impl Supposed {
    pub fn call(self) -> Call {
        let (direction, talks) = match self.call_type {
            CallType::IncomingAnswered => (Direction::In, true),
            CallType::IncomingMissed | CallType::Voicemail => (Direction::In, false),
            CallType::OutgoingAnswered => (Direction::Out, true),
            CallType::OutgoingUnanswered => (Direction::Out, false),
            CallType::Internal => (Direction::Internal, true),
        };
        let talk = if talks {
            self.talk
        } else {
            SignedDuration::ZERO
        };
        let ours = self.ours.as_ref();
        Call {
            key: CallKey {
                kind: Kind::Call,
                pbx: self.pbx,
                id: "supposed".to_owned(),
            },
            weak_key: false,
            call_type: self.call_type,
            reason: None,
            direction,
            connected: ours.and_then(|ours| ours.number().cloned()),
            connected_raw: ours.map(|ours| ours.raw.clone()),
            other: self.other,
            first_agent: self.agent.clone(),
            agent: self.agent,
            queue: None,
            started: self.at,
            answered: talks.then_some(self.at),
            ended: self.at.checked_add(talk).unwrap_or(self.at),
            wait: SignedDuration::ZERO,
            talk,
            transfers: Vec::new(),
            voicemail: self.call_type == CallType::Voicemail,
            recording_announced: false,
            recording: None,
            voicemail_link: None,
            mailbox: None,
            rang: None,
            tags: Vec::new(),
            agent_note: None,
            transcript: None,
            summary: None,
            legs: Vec::new(),
            doubts: Vec::new(),
        }
    }
}
