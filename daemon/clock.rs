//! The only reader of time and chance: pure stages get both as arguments, shells call this.

use jiff::Timestamp;
use tokio::time::Instant;

/// Wall clock, for what is stored, shown or sent.
#[allow(clippy::disallowed_methods, reason = "this is the place that reads it")]
pub fn now() -> Timestamp {
    Timestamp::now()
}

/// Monotonic clock, for waits and spans: never set back by an administrator or NTP.
#[allow(clippy::disallowed_methods, reason = "this is the place that reads it")]
pub fn monotonic() -> Instant {
    Instant::now()
}

/// A number in `0.0..1.0`, for jitter.
pub fn chance() -> f64 {
    fastrand::f64()
}
