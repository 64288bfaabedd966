//! A text message (SMS or MMS). A `whatsapp:` address never becomes one.

use super::call::Direction;
use super::ids::CallKey;
use super::party::Contact;
use jiff::Timestamp;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text {
    pub key: CallKey,
    /// `In` or `Out`.
    pub direction: Direction,
    pub from: Contact,
    pub to: Contact,
    pub at: Timestamp,
    pub body: String,
    /// Addresses of attached pictures and files.
    pub media: Vec<String>,
    /// What became of one that we sent, as far as the phone system told.
    pub report: Option<Report>,
}

/// What became of a text that we sent.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Report {
    pub fate: Fate,
    /// The phone system's own word or code for it.
    pub why: Option<String>,
}

/// In rising order: of two reports the higher one holds, whichever came first, because somebody should look at a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fate {
    Delivered,
    Failed,
}

impl Text {
    /// One text of all that was told of it: its words, and what became of it. None if nothing but its delivery was
    /// reported, for then there is nothing to log; a failure is.
    pub fn of(told: impl IntoIterator<Item = Self>) -> Option<Self> {
        let told: Vec<Self> = told.into_iter().collect();
        let report = told.iter().filter_map(|one| one.report.clone()).max();
        let whole = told.iter().find(|one| !one.is_report());
        let mut text = whole.or(told.first())?.clone();
        text.report = report.filter(|_| text.direction == Direction::Out);
        (whole.is_some() || text.failed()).then_some(text)
    }

    /// Whether it only reports on a text whose words were told elsewhere, if at all.
    pub fn is_report(&self) -> bool {
        self.report.is_some() && self.body.trim().is_empty() && self.media.is_empty()
    }

    /// Whether it was sent and didn't arrive.
    pub fn failed(&self) -> bool {
        let failed = |report: &Report| report.fate == Fate::Failed;
        self.direction == Direction::Out && self.report.as_ref().is_some_and(failed)
    }

    /// The outside party.
    pub const fn other(&self) -> &Contact {
        match self.direction {
            Direction::Out => &self.to,
            Direction::In | Direction::Internal => &self.from,
        }
    }

    /// Our side.
    pub const fn ours(&self) -> &Contact {
        match self.direction {
            Direction::Out => &self.from,
            Direction::In | Direction::Internal => &self.to,
        }
    }
}
