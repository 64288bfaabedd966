//! The sandbox's own time: wall time read once at the start, then carried on by the runtime's monotonic clock,
//! so that a paused runtime pauses the sandbox too. Owned by the state; the only place here that reads a clock.

use std::time::Duration;

use hyper::header::HeaderValue;
use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimePrinter;
use tokio::time::Instant;

/// Milliseconds since the sandbox started, and the wall time that belongs to them.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    started: Instant,
    started_at: Timestamp,
}

impl Clock {
    /// Starts counting now, from the wall time `at` if one is given.
    #[allow(
        clippy::disallowed_methods,
        reason = "the sandbox shares nothing with the daemon, its clock included"
    )]
    pub fn start(at: Option<Timestamp>) -> Clock {
        Clock {
            started: Instant::now(),
            started_at: at.unwrap_or_else(Timestamp::now),
        }
    }

    /// Milliseconds since the start.
    pub fn elapsed_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// The wall time at `elapsed_ms` after the start.
    pub fn wall_at(&self, elapsed_ms: u64) -> Timestamp {
        self.started_at
            .checked_add(Duration::from_millis(elapsed_ms))
            .unwrap_or(Timestamp::MAX)
    }

    /// Now as Kustomer writes times: UTC, milliseconds, `Z`.
    pub fn stamp(&self) -> String {
        format!("{:.3}", self.wall_at(self.elapsed_ms()))
    }

    /// Now as HTTP's `Date` has it.
    pub fn http_date(&self) -> Option<HeaderValue> {
        let now = self.wall_at(self.elapsed_ms());
        let text = DateTimePrinter::new().timestamp_to_rfc9110_string(&now);
        text.ok().and_then(|text| HeaderValue::try_from(text).ok())
    }

    /// The first whole epoch second at or after `elapsed_ms`, as `x-ratelimit-reset` carries it.
    pub fn epoch_seconds_after(&self, elapsed_ms: u64) -> i64 {
        let wall = self.wall_at(elapsed_ms);
        let whole = wall.as_second();
        if wall.subsec_nanosecond() > 0 {
            whole.saturating_add(1)
        } else {
            whole
        }
    }
}
