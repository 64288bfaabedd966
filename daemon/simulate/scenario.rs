//! What can be played: each scenario is a tale of a few seconds, told once here and put into each phone system's words by
//! `writers/`.

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

/// A kind of call or text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scenario {
    Answered,
    Missed,
    Busy,
    GaveUp,
    Queue,
    Transfer,
    Voicemail,
    OutAnswered,
    OutBusy,
    OutUnanswered,
    Internal,
    Anonymous,
    Recording,
    TextIn,
    TextOut,
}

impl Scenario {
    pub const ALL: [Self; 15] = [
        Self::Answered,
        Self::Missed,
        Self::Busy,
        Self::GaveUp,
        Self::Queue,
        Self::Transfer,
        Self::Voicemail,
        Self::OutAnswered,
        Self::OutBusy,
        Self::OutUnanswered,
        Self::Internal,
        Self::Anonymous,
        Self::Recording,
        Self::TextIn,
        Self::TextOut,
    ];

    /// The name on the command line.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Missed => "missed",
            Self::Busy => "busy",
            Self::GaveUp => "gave-up",
            Self::Queue => "queue",
            Self::Transfer => "transfer",
            Self::Voicemail => "voicemail",
            Self::OutAnswered => "out-answered",
            Self::OutBusy => "out-busy",
            Self::OutUnanswered => "out-unanswered",
            Self::Internal => "internal",
            Self::Anonymous => "anonymous",
            Self::Recording => "recording",
            Self::TextIn => "text-in",
            Self::TextOut => "text-out",
        }
    }

    /// What happens, in one line.
    pub const fn what(self) -> &'static str {
        match self {
            Self::Answered => "a customer calls, an agent answers after 4 s, they talk for 12 s",
            Self::Missed => "a customer calls, the agent's phone rings for 20 s, nobody answers",
            Self::Busy => "a customer calls, the agent's phone is busy",
            Self::GaveUp => "a customer calls and hangs up after 8 s of ringing",
            Self::Queue => {
                "a customer waits in a queue, the first agent misses, the second one answers"
            }
            Self::Transfer => {
                "an agent answers and hands the customer on to a colleague without asking"
            }
            Self::Voicemail => "nobody answers for 15 s, the customer leaves a message",
            Self::OutAnswered => "an agent calls a customer, who answers after 5 s",
            Self::OutBusy => "an agent calls a customer, whose line is busy",
            Self::OutUnanswered => "an agent calls a customer, who doesn't answer for 20 s",
            Self::Internal => "an agent calls a colleague",
            Self::Anonymous => "somebody who hides the number calls, an agent answers",
            Self::Recording => {
                "as answered; the recording's address comes when the call is logged already"
            }
            Self::TextIn => "a customer sends a text",
            Self::TextOut => "a text is sent to a customer",
        }
    }

    /// Whether it is a text, and no call.
    pub const fn is_text(self) -> bool {
        matches!(self, Self::TextIn | Self::TextOut)
    }

    /// What happens when. A text has no length.
    pub const fn tale(self) -> Tale {
        let answered = Tale::of(Way::In, Ring::of(0, 4, Fate::Answered), 16);
        match self {
            Self::Answered => answered,
            Self::Missed => Tale::of(Way::In, Ring::of(0, 20, Fate::NoAnswer), 20),
            Self::Busy => Tale::of(Way::In, Ring::of(0, 2, Fate::Busy), 2),
            Self::GaveUp => Tale::of(Way::In, Ring::of(0, 8, Fate::GaveUp), 8),
            Self::Queue => Tale {
                queue: true,
                then: Some(Ring::of(12, 15, Fate::Answered)),
                ..Tale::of(Way::In, Ring::of(0, 11, Fate::NoAnswer), 30)
            },
            Self::Transfer => Tale {
                then: Some(Ring::of(14, 18, Fate::Answered)),
                ..Tale::of(Way::In, Ring::of(0, 4, Fate::Answered), 30)
            },
            Self::Voicemail => Tale {
                mailbox: true,
                ..Tale::of(Way::In, Ring::of(0, 15, Fate::NoAnswer), 30)
            },
            Self::OutAnswered => Tale::of(Way::Out, Ring::of(0, 5, Fate::Answered), 20),
            Self::OutBusy => Tale::of(Way::Out, Ring::of(0, 2, Fate::Busy), 2),
            Self::OutUnanswered => Tale::of(Way::Out, Ring::of(0, 20, Fate::NoAnswer), 20),
            Self::Internal => Tale::of(Way::Internal, Ring::of(0, 3, Fate::Answered), 10),
            Self::Anonymous => Tale {
                hidden: true,
                ..answered
            },
            Self::Recording => Tale {
                recorded: true,
                ..answered
            },
            Self::TextIn => Tale::of(Way::In, Ring::of(0, 0, Fate::Answered), 0),
            Self::TextOut => Tale::of(Way::Out, Ring::of(0, 0, Fate::Answered), 0),
        }
    }
}

/// Seen from our house.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    In,
    Out,
    Internal,
}

/// What became of one ringing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Answered,
    NoAnswer,
    Busy,
    GaveUp,
}

/// A phone rings, from one second of the call to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ring {
    pub from: i64,
    pub until: i64,
    pub fate: Fate,
}

impl Ring {
    const fn of(from: i64, until: i64, fate: Fate) -> Self {
        Self { from, until, fate }
    }

    pub fn answered(self) -> bool {
        self.fate == Fate::Answered
    }
}

/// A call, in seconds from its start. Whole ones, for some phone systems know no others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tale {
    pub way: Way,
    /// The agent's phone; of an outgoing call the customer's, of an internal one the colleague's.
    pub ring: Ring,
    /// The colleague's phone: next in the queue, or to whom the call is handed on.
    pub then: Option<Ring>,
    pub queue: bool,
    /// From the end of the ringing on, the caller speaks to a mailbox.
    pub mailbox: bool,
    pub hidden: bool,
    pub recorded: bool,
    pub end: i64,
}

impl Tale {
    const fn of(way: Way, ring: Ring, end: i64) -> Self {
        Self {
            way,
            ring,
            then: None,
            queue: false,
            mailbox: false,
            hidden: false,
            recorded: false,
            end,
        }
    }

    /// The second in which the call was handed on.
    pub fn handed_on(&self) -> Option<i64> {
        let then = self.then.filter(|_| self.ring.answered());
        then.map(|then| then.from)
    }

    /// The second in which somebody first answered.
    pub fn answered(&self) -> Option<i64> {
        let mut rings = [Some(self.ring), self.then].into_iter().flatten();
        rings.find(|ring| ring.answered()).map(|ring| ring.until)
    }
}

/// Who takes part.
#[derive(Clone, Debug)]
pub struct Parties {
    /// The customer's number.
    pub customer: String,
    /// Our number.
    pub ours: String,
    pub agent: String,
    pub colleague: String,
    /// What the texts say.
    pub words: String,
}

/// One call or text to be played.
#[derive(Clone, Debug)]
pub struct Call {
    pub scenario: Scenario,
    pub tale: Tale,
    /// What its ids are made of.
    pub id: u64,
    pub start: Timestamp,
    pub parties: Parties,
    /// Of phone systems that write local times.
    pub zone: TimeZone,
}

impl Call {
    pub fn at(&self, second: i64) -> Timestamp {
        self.start
            .saturating_add(SignedDuration::from_secs(second))
            .unwrap_or(self.start)
    }

    /// Seconds since 1970.
    pub fn epoch(&self, second: i64) -> i64 {
        self.at(second).as_second()
    }

    /// `2026-11-20T12:24:29Z`
    pub fn utc(&self, second: i64) -> String {
        self.at(second).strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
    }

    /// `2026-11-20 13:24:29`
    pub fn local(&self, second: i64) -> String {
        let local = self.at(second).to_zoned(self.zone.clone());
        local.strftime("%Y-%m-%d %H:%M:%S").to_string()
    }

    /// The caller, or whom we called: `hidden` is how the phone system writes one who hides.
    pub fn customer<'a>(&'a self, hidden: &'a str) -> &'a str {
        if self.tale.hidden {
            hidden
        } else {
            &self.parties.customer
        }
    }

    /// Whose phone rings, and how: first the agent's, then the colleague's; of an outgoing call the customer's, of an
    /// internal one the colleague's.
    pub fn rings(&self) -> Vec<(&str, Ring)> {
        let parties = &self.parties;
        let first = match self.tale.way {
            Way::In => &parties.agent,
            Way::Out => &parties.customer,
            Way::Internal => &parties.colleague,
        };
        let then = self
            .tale
            .then
            .map(|ring| (parties.colleague.as_str(), ring));
        [Some((first.as_str(), self.tale.ring)), then]
            .into_iter()
            .flatten()
            .collect()
    }

    /// Sixteen hex digits.
    pub fn hex(&self) -> String {
        format!("{:016x}", self.id)
    }

    /// A UUID of its own for each leg of the call.
    pub fn uuid(&self, leg: usize) -> String {
        let hex = self.hex();
        let (head, tail) = hex.split_at_checked(8).unwrap_or(("", ""));
        let (middle, last) = tail.split_at_checked(4).unwrap_or(("", ""));
        format!("{head}-{middle}-4{last:0>3.3}-8000-{leg:012x}")
    }

    /// A number with at most twelve digits.
    pub fn number(&self) -> u64 {
        100_000_000_000 + self.id % 900_000_000_000
    }
}
