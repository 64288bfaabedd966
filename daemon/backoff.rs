//! When a failed attempt is tried again. Pure: the caller stores the answer, so that it survives a restart.
//! Called by the outbox after every outcome that is not final.

use jiff::{SignedDuration, Timestamp};
use std::time::Duration;

/// Part of a wait that jitter adds or takes, so that entries that failed together do not all return together.
const JITTER_SHARE: f64 = 0.1;

/// Longest wait a server may ask for: a wrong header must not park an entry for days.
const SERVER_HINT_MAX: Duration = Duration::from_secs(3600);

/// The wait when the schedule is empty, so that a bad schedule never becomes a busy loop.
const WAIT_WITHOUT_SCHEDULE: Duration = Duration::from_secs(3600);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// Not before this time.
    At(Timestamp),
    /// `retry_for` is over: a dead letter.
    GiveUp,
}

/// When to try again after `attempts` attempts, all failed; zero attempts are due at once.
///
/// `schedule` holds the waits before attempt 2, 3, …; its last one repeats. Each is changed by up to ±10 %, `jitter` being
/// a chance in `0.0..=1.0`. `server_hint` (Retry-After) only lengthens a wait, to at most an hour. The last attempt is
/// made when `retry_for`, counted from `first_try`, ends; a failure after that gives up.
pub fn next_attempt(
    schedule: &[Duration],
    retry_for: Duration,
    first_try: Timestamp,
    attempts: u32,
    now: Timestamp,
    jitter: f64,
    server_hint: Option<Duration>,
) -> Retry {
    let Some(failed_before) = attempts.checked_sub(1) else {
        return Retry::At(now);
    };
    let deadline = later(first_try, retry_for);
    if now >= deadline {
        return Retry::GiveUp;
    }
    let planned = usize::try_from(failed_before)
        .ok()
        .and_then(|index| schedule.get(index))
        .or_else(|| schedule.last())
        .copied()
        .unwrap_or(WAIT_WITHOUT_SCHEDULE);
    let share = 1.0 + JITTER_SHARE * (jitter.clamp(0.0, 1.0) * 2.0 - 1.0);
    let hint = server_hint.unwrap_or_default().min(SERVER_HINT_MAX);
    let wait = Duration::try_from_secs_f64(planned.as_secs_f64() * share)
        .unwrap_or(planned)
        .max(hint);
    Retry::At(later(now, wait).min(deadline))
}

/// `from + wait`, or the end of time where that overflows.
fn later(from: Timestamp, wait: Duration) -> Timestamp {
    SignedDuration::try_from(wait)
        .ok()
        .and_then(|wait| from.checked_add(wait).ok())
        .unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SCHEDULE: [Duration; 6] = [
        Duration::from_secs(5),
        Duration::from_secs(30),
        Duration::from_secs(120),
        Duration::from_secs(600),
        Duration::from_secs(1800),
        Duration::from_secs(3600),
    ];
    const RETRY_FOR: Duration = Duration::from_secs(72 * 3600);

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    /// Seconds to wait after `attempts`, made `now` seconds after the first.
    fn wait(attempts: u32, now: i64, jitter: f64, hint: Option<u64>) -> Option<f64> {
        let hint = hint.map(Duration::from_secs);
        match next_attempt(&SCHEDULE, RETRY_FOR, at(0), attempts, at(now), jitter, hint) {
            Retry::At(time) => Some(time.duration_since(at(now)).as_secs_f64()),
            Retry::GiveUp => None,
        }
    }

    #[test]
    fn waits_follow_the_schedule_and_then_repeat_its_last() {
        let waits: Vec<_> = (0..=9)
            .map(|n| wait(n, 0, 0.5, None).unwrap().round())
            .collect();
        assert_eq!(
            waits,
            [
                0.0, 5.0, 30.0, 120.0, 600.0, 1800.0, 3600.0, 3600.0, 3600.0, 3600.0
            ]
        );
    }

    #[test]
    fn jitter_is_ten_percent_either_way() {
        assert_eq!(wait(2, 0, 0.0, None), Some(27.0));
        assert_eq!(wait(2, 0, 0.25, None), Some(28.5));
        assert_eq!(wait(2, 0, 0.5, None), Some(30.0));
        assert_eq!(wait(2, 0, 0.75, None), Some(31.5));
        assert_eq!(wait(2, 0, 1.0, None), Some(33.0));
        assert_eq!(wait(2, 0, 7.0, None), Some(33.0));
    }

    #[test]
    fn a_server_hint_lengthens_but_never_beyond_an_hour_and_never_shortens() {
        assert_eq!(wait(1, 0, 0.5, Some(60)), Some(60.0));
        assert_eq!(wait(1, 0, 0.5, Some(1)), Some(5.0));
        assert_eq!(wait(1, 0, 0.5, Some(1_000_000)), Some(3600.0));
    }

    #[test]
    fn the_last_attempt_is_at_the_end_and_then_it_gives_up() {
        let end = 72 * 3600;
        assert_eq!(wait(80, end - 100, 0.5, None), Some(100.0));
        assert_eq!(wait(80, end, 0.5, None), None);
    }

    #[test]
    fn an_empty_schedule_waits_and_an_endless_one_does_not_overflow() {
        let empty = next_attempt(&[], RETRY_FOR, at(0), 3, at(0), 0.5, None);
        assert_eq!(empty, Retry::At(at(3600)));
        let endless = next_attempt(&[Duration::MAX], Duration::MAX, at(0), 1, at(0), 0.5, None);
        assert_eq!(endless, Retry::At(Timestamp::MAX));
    }

    proptest! {
        #[test]
        fn never_in_the_past_and_never_after_the_end(
            attempts in 0_u32..200, now in 0_i64..400_000, jitter in 0.0_f64..1.0, hint in proptest::option::of(0_u64..10_000),
        ) {
            let hint = hint.map(Duration::from_secs);
            match next_attempt(&SCHEDULE, RETRY_FOR, at(0), attempts, at(now), jitter, hint) {
                Retry::At(time) => prop_assert!(time >= at(now) && (attempts == 0 || time <= at(72 * 3600))),
                Retry::GiveUp => prop_assert!(now >= 72 * 3600),
            }
        }
    }
}
