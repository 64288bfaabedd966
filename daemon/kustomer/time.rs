//! What time it is at Kustomer, by the `Date` of its replies (RFC 9110, section 6.6.1): this machine's clock may be wrong,
//! and what is asked for by time is Kustomer's time. Fed by `client` with each reply, asked by the contact sync.

use crate::clock;
use jiff::fmt::rfc2822::DateTimeParser;
use jiff::{SignedDuration, Timestamp};
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::time::Instant;

/// So far both clocks agree: `Date` has whole seconds, and a reply is on its way for some more. Ours is finer, then.
const AGREE_WITHIN: SignedDuration = SignedDuration::from_secs(5);
/// From then on one of both clocks is wrong, and somebody should know.
const DIFFERENCE_MAX: SignedDuration = SignedDuration::from_mins(10);

/// Kustomer's clock, as far as it was seen.
#[derive(Debug, Default)]
pub struct TheirTime(Mutex<Seen>);

#[derive(Debug, Default)]
struct Seen {
    at: Option<(Timestamp, Instant)>,
    differs: bool,
}

impl TheirTime {
    /// Takes a reply's `Date`; one that is missing or no date says nothing.
    pub fn heard(&self, date: Option<&str>) {
        let parser = DateTimeParser::new();
        let Some(at) = date.and_then(|date| parser.parse_timestamp(date).ok()) else {
            return;
        };
        let ours = clock::now();
        let ahead = ours.duration_since(at);
        let at = if ahead.abs() <= AGREE_WITHIN {
            ours
        } else {
            at
        };
        let differs = ahead.abs() > DIFFERENCE_MAX;
        let mut seen = self.seen();
        seen.at = Some((at, clock::monotonic()));
        if std::mem::replace(&mut seen.differs, differs) != differs && differs {
            let minutes = ahead.as_mins();
            tracing::warn!(
                minutes,
                "this machine's clock is ahead of Kustomer's by that (below 0: behind); set it, calls are logged with its time"
            );
        }
    }

    /// Their time now; none before the first reply.
    pub fn now(&self) -> Option<Timestamp> {
        let (at, since) = self.seen().at?;
        let passed = clock::monotonic().saturating_duration_since(since);
        at.checked_add(passed).ok()
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_goes_on_from_the_last_date_that_was_one() {
        let time = TheirTime::default();
        time.heard(Some("yesterday"));
        assert_eq!(time.now(), None);
        time.heard(Some("Fri, 23 Oct 2026 09:00:00 GMT"));
        time.heard(None);
        tokio::time::advance(std::time::Duration::from_secs(90)).await;
        assert_eq!(time.now(), "2026-10-23T09:01:30Z".parse().ok());
    }
}
