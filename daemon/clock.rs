//! The only place that reads clocks. Shell code calls it and hands the time on as an argument; the deciding stages
//! never ask what time it is, so that tests and replays give the same answer.

use jiff::Timestamp;
use std::time::Instant;

/// The time of day in UTC, for records and notes. May jump when the system's clock is set.
#[expect(
    clippy::disallowed_methods,
    reason = "this is the one place that may read the clock"
)]
pub fn now() -> Timestamp {
    Timestamp::now()
}

/// A clock that only goes forward, for waits and ages. Means nothing after a restart.
#[expect(
    clippy::disallowed_methods,
    reason = "this is the one place that may read the clock"
)]
pub fn monotonic() -> Instant {
    Instant::now()
}
