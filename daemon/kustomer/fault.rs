//! What can go wrong with a request: whose fault, whether it may have been done all the same, what to do next.
//! Built by `client`; read by the outbox, which must know "certainly not done" from "may have been done" (invariant 3).

use std::time::Duration;

/// Longest text kept of Kustomer's own words, in characters: enough for a dead letter, short enough for one log line.
const DETAIL_CHARS_MAX: usize = 200;

/// A run of this many digits may be a phone number and is masked in Kustomer's words (invariant 9).
const DIGITS_SHOWN_MAX: usize = 5;

/// One failed request. Every text is one line without the key, the address asked for, phone numbers or e-mails.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KustomerFault {
    /// Operator: the key file is missing, unreadable, empty or holds what no header can carry. Nothing was sent.
    #[error("API key file: {0}")]
    Key(String),
    /// Us: a request that cannot be built. Nothing was sent.
    #[error("request could not be built: {0}")]
    Unsendable(String),
    /// Us: the daemon stops, and this request would have had to wait. Nothing was sent.
    #[error("tieline stops; it is asked after the next start")]
    Stopping,
    /// Network or Kustomer: no connection (DNS, refused, TLS, connect timeout). Nothing was sent.
    #[error("no connection to Kustomer: {0}")]
    Unreachable(String),
    /// Kustomer or network: no whole reply in time. It may have been done.
    #[error("no reply within {} s", .0.as_secs_f64())]
    Timeout(Duration),
    /// Kustomer or network: the connection broke before the reply. It may have been done.
    #[error("connection lost before the reply: {0}")]
    Lost(String),
    /// Kustomer: 5xx, or another status that says nothing about what was done. It may have been done.
    #[error("Kustomer answered {status}{}", said(.detail))]
    Server {
        status: u16,
        detail: String,
        retry_after: Option<Duration>,
    },
    /// Kustomer or something between: a reply that is no Kustomer reply (HTML, cut, too large). It may have been done.
    #[error("Kustomer's reply ({status}) cannot be used: {what}")]
    Garbled { status: u16, what: String },
    /// Operator: 401 or 403: the key is wrong, expired, of another region, or lacks a role. Not done.
    #[error("Kustomer refused the API key ({status}){}; check the key, its expiry, roles and region", said(.detail))]
    Unauthorized { status: u16, detail: String },
    /// Us or operator: 400, 413, 422 and other 4xx: never accepted as it is. Not done. A dead letter.
    #[error("Kustomer rejected the request ({status} {code}){}", said(.detail))]
    Rejected {
        status: u16,
        code: String,
        detail: String,
    },
    /// 404 in Kustomer's own words: what was addressed isn't there. Not done.
    #[error("not found in Kustomer")]
    NotFound,
    /// 409: a value is taken, or the record has changed. Not done: read again, then decide.
    #[error("conflict in Kustomer ({code}){}", said(.detail))]
    Conflict { code: String, detail: String },
    /// 429: over a limit; the client as a whole is paused for `after`. Not done.
    #[error("Kustomer's rate limit: paused for {} s", .after.as_secs())]
    TooMany { after: Duration },
    /// Kustomer: a next page on another origin; it was not followed, so that the key stays here.
    #[error("the link to the next page leaves Kustomer's address; not followed")]
    ForeignLink,
    /// A list with more pages than we follow; what was read is not the whole.
    #[error("more than {0} pages")]
    TooManyPages(u32),
}

/// What to do about a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// It will fail again as it is: dead letter, or decide anew (404, 409).
    Never,
    /// Kustomer said when: a hint for the schedule.
    After(Duration),
    /// By the schedule.
    Backoff,
    /// The operator must act; stop the integration without using up attempts.
    Pause,
    /// Nothing: it was not tried, the next start goes on.
    Stop,
}

impl KustomerFault {
    /// True: Kustomer has surely not done it, it may be sent again. False: look before sending it again.
    pub const fn certain_not_done(&self) -> bool {
        match self {
            Self::Key(_)
            | Self::Unsendable(_)
            | Self::Stopping
            | Self::Unreachable(_)
            | Self::Unauthorized { .. }
            | Self::Rejected { .. }
            | Self::NotFound
            | Self::Conflict { .. }
            | Self::TooMany { .. } => true,
            Self::Timeout(_)
            | Self::Lost(_)
            | Self::Server { .. }
            | Self::Garbled { .. }
            | Self::ForeignLink
            | Self::TooManyPages(_) => false,
        }
    }

    /// The key is good but lacks the role for this.
    pub const fn is_forbidden(&self) -> bool {
        matches!(self, Self::Unauthorized { status: 403, .. })
    }

    /// Kustomer as a whole seems to be away, so that other requests would fail the same way.
    pub const fn unreachable(&self) -> bool {
        matches!(self, Self::Unreachable(_) | Self::Timeout(_))
    }

    /// What to do about it.
    pub const fn next(&self) -> Next {
        match self {
            Self::Key(_) | Self::Unauthorized { .. } => Next::Pause,
            Self::Stopping => Next::Stop,
            Self::Unsendable(_)
            | Self::Rejected { .. }
            | Self::NotFound
            | Self::Conflict { .. }
            | Self::ForeignLink
            | Self::TooManyPages(_) => Next::Never,
            Self::TooMany { after }
            | Self::Server {
                retry_after: Some(after),
                ..
            } => Next::After(*after),
            Self::Unreachable(_)
            | Self::Timeout(_)
            | Self::Lost(_)
            | Self::Server {
                retry_after: None, ..
            }
            | Self::Garbled { .. } => Next::Backoff,
        }
    }
}

/// `: detail`, or nothing.
fn said(detail: &str) -> String {
    if detail.is_empty() {
        String::new()
    } else {
        format!(": {detail}")
    }
}

/// Makes others' words fit for a log: one line, limited, runs of digits and e-mail addresses masked.
pub(super) fn scrub(words: &str) -> String {
    let line = words
        .split_whitespace()
        .take(DETAIL_CHARS_MAX)
        .map(|word| {
            if word.contains('@') || looks_like_number(word) {
                "…"
            } else {
                word
            }
        })
        .collect::<Vec<_>>()
        .join(" ");
    line.chars().take(DETAIL_CHARS_MAX).collect()
}

/// Digits past the shown count in one word, however they are separated: a number, or an id, which is no loss.
fn looks_like_number(word: &str) -> bool {
    word.chars().filter(char::is_ascii_digit).count() > DIGITS_SHOWN_MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_from_outside_are_masked_and_cut() {
        assert_eq!(
            scrub("phone +4915112345678 is\n taken by ada@example.org"),
            "phone … is taken by …"
        );
        assert_eq!(
            scrub("/properties/custom/additionalProperties"),
            "/properties/custom/additionalProperties"
        );
        assert_eq!(scrub("pod prod2 but prod1"), "pod prod2 but prod1");
        assert_eq!(scrub(&"ä".repeat(1000)).chars().count(), DETAIL_CHARS_MAX);
    }

    #[test]
    fn every_fault_is_one_line() {
        let rejected = KustomerFault::Rejected {
            status: 400,
            code: "badparam".into(),
            detail: "custom".into(),
        };
        assert_eq!(
            rejected.to_string(),
            "Kustomer rejected the request (400 badparam): custom"
        );
        assert_eq!(
            KustomerFault::Timeout(Duration::from_millis(1500)).to_string(),
            "no reply within 1.5 s"
        );
        let server = KustomerFault::Server {
            status: 502,
            detail: String::new(),
            retry_after: None,
        };
        assert_eq!(server.to_string(), "Kustomer answered 502");
    }
}
