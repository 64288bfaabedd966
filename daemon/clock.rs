//! The only place that reads clocks and chance. Shell code calls it and hands both on as arguments; the deciding stages
//! never ask, so that tests and replays give the same answer.

use jiff::Timestamp;
use std::cell::Cell;
use tokio::time::Instant;

thread_local! {
    /// In a simulation, what time it was at which moment of the runtime's clock.
    static SIMULATED: Cell<Option<(Timestamp, Instant)>> = const { Cell::new(None) };
}

/// The time of day in UTC, for what is stored, shown or sent. May jump when the system's clock is set.
#[expect(
    clippy::disallowed_methods,
    reason = "this is the one place that may read the clock"
)]
pub fn now() -> Timestamp {
    match SIMULATED.get() {
        None => Timestamp::now(),
        Some((at, since)) => at.checked_add(since.elapsed()).unwrap_or(Timestamp::MAX),
    }
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

/// Sets this thread's time of day, which goes on with its runtime's clock from here; and, with a seed, its chance. For a
/// simulation: one thread, and a clock that is paused.
pub fn simulate(at: Timestamp, seed: Option<u64>) {
    SIMULATED.set(Some((at, monotonic())));
    if let Some(seed) = seed {
        fastrand::seed(seed);
    }
}

/// This thread's clock is the machine's again.
pub fn stop_simulating() {
    SIMULATED.set(None);
}

pub fn is_simulated() -> bool {
    SIMULATED.get().is_some()
}
