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
}

impl Text {
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
