//! When retention looked for what is too old, and whether its clock can be trusted to remove by. Pure. Part of `ledger`, which
//! keeps it.

use crate::store::Record;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Longest wait before something is removed by a clock that has moved without us: who tells an event again does it within
/// that time. No longer, so that a machine that is off every night removes something too.
const WAIT_MAX: Duration = Duration::from_secs(60 * 60);

/// When it was looked for what is too old, and until when nothing goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Looks {
    pub last: Timestamp,
    pub wait_until: Option<Timestamp>,
}

impl Record for Looks {
    const VERSION: u16 = 1;
}

impl Looks {
    /// The look at `now`. More than two of the spans between looks without one: the clock was set, or nobody was there.
    pub fn next(before: Option<Self>, now: Timestamp, every: Duration, keep: Duration) -> Self {
        let span = |span: Duration| SignedDuration::try_from(span).unwrap_or(SignedDuration::MAX);
        let after_wait = now.saturating_add(span(keep.min(WAIT_MAX)));
        let after_wait = after_wait.unwrap_or(Timestamp::MAX);
        let missed = before
            .is_some_and(|before| now.duration_since(before.last) > span(every.saturating_mul(2)));
        let waits = before.and_then(|before| before.wait_until);
        let wait_until = if missed { Some(after_wait) } else { waits };
        Self {
            last: now,
            // A clock that was set back must not make it longer.
            wait_until: wait_until
                .filter(|until| now < *until)
                .map(|until| until.min(after_wait)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVERY: Duration = Duration::from_secs(300);
    const KEEP: Duration = Duration::from_secs(3600);

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn nothing_goes_by_a_time_that_nobody_lived_through() {
        // Each look's time, and until when nothing goes then.
        let looks = [
            (0, None),
            (300, None),
            (900, None),
            // Set forward by a day.
            (87_600, Some(91_200)),
            (87_900, Some(91_200)),
            // Set back again.
            (1800, Some(5400)),
            (2100, Some(5400)),
            // Off for a quarter of an hour.
            (3000, Some(6600)),
            (3300, Some(6600)),
        ];
        let mut before = None;
        for (second, wait) in looks {
            let look = Looks::next(before, at(second), EVERY, KEEP);
            assert_eq!(look.wait_until, wait.map(at), "at {second} s");
            before = Some(look);
        }
        let late = Looks {
            last: at(6500),
            ..before.unwrap()
        };
        assert_eq!(
            Looks::next(Some(late), at(6600), EVERY, KEEP).wait_until,
            None
        );
    }
}
