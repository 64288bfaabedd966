//! The only place that reads clocks and chance. Shell code calls it and hands both on as arguments; the deciding stages
//! never ask, so that tests and replays give the same answer.

use jiff::Timestamp;
use tokio::time::Instant;

/// The time of day in UTC, for what is stored, shown or sent. May jump when the system's clock is set.
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

/// 128 bits, for ids that nobody else has. They can be guessed: no secret is made of them.
pub fn random_bits() -> u128 {
    fastrand::u128(..)
}

/// A number in `0.0..1.0`, for jitter.
pub fn chance() -> f64 {
    fastrand::f64()
}
