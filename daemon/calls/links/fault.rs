//! Why a connection ended or never began, in words for the administrator. Nothing of them repeats a secret or a number.

use crate::store::StoreFault;
use std::time::Duration;

#[derive(Debug, thiserror::Error)]
pub enum LinkFault {
    #[error("{place} can't be reached: {why}")]
    Unreachable { place: String, why: String },
    #[error("no secure connection to {place}: {why}")]
    Tls { place: String, why: String },
    #[error("this is no {what}, it says {greeting:?}: check host and port of connect")]
    Stranger {
        what: &'static str,
        greeting: String,
    },
    #[error("the login was refused ({why}): check user, secret_file and {whose}")]
    Refused { why: String, whose: &'static str },
    #[error(
        "it knows no MD5 challenge ({0}): set plain_login = true to send the password as it is"
    )]
    NoChallenge(String),
    #[error("the login took longer than {0:?}")]
    SlowLogin(Duration),
    #[error("nothing was heard for {0:?}, not even an answer to a ping")]
    Silent(Duration),
    #[error("the phone system closed the connection")]
    Closed,
    #[error("the connection broke: {0}")]
    Broken(String),
    #[error("the store: {0}")]
    Store(#[from] StoreFault),
    #[error("stopped")]
    Stopped,
}

impl LinkFault {
    /// Nothing that helps by trying again soon: a person has to change something first.
    pub const fn needs_a_person(&self) -> bool {
        match self {
            Self::Stranger { .. }
            | Self::Refused { .. }
            | Self::NoChallenge(_)
            | Self::Tls { .. } => true,
            Self::Unreachable { .. }
            | Self::SlowLogin(_)
            | Self::Silent(_)
            | Self::Closed
            | Self::Broken(_)
            | Self::Store(_)
            | Self::Stopped => false,
        }
    }
}
