//! The later lanes' share of a budget, spread over its window, so that it comes free evenly and new calls find some of it
//! at any time. Pure; a part of `pace`.

use super::Budget;
use std::time::Duration;

/// Part of the budget that the later lanes take at once; the rest they spread over the window. Taken all at once, it would
/// all come free at once, a window later, and new calls that need more than what is left to them would wait until then.
const LATER_AT_ONCE_ONE_IN: u32 = 10;
/// That many at once, however small the budget is: what is done once, such as a look at what changed, takes a few.
const LATER_AT_ONCE_MIN: u32 = 8;

/// What the later lanes take, spread over the window: a bucket that fills evenly.
#[derive(Debug)]
pub(super) struct Spread {
    /// Between two of them.
    step: Duration,
    /// So much earlier they may go.
    ahead: Duration,
    /// When the next one would go if all were spread.
    next: Duration,
}

impl Spread {
    pub fn new(budget: Budget) -> Self {
        let limit = budget.limit.max(1);
        let step = budget.window / limit;
        let at_once = (limit / LATER_AT_ONCE_ONE_IN).max(LATER_AT_ONCE_MIN);
        Self {
            step,
            ahead: step * (at_once - 1),
            next: Duration::ZERO,
        }
    }

    /// When the next one may go.
    pub fn earliest(&self) -> Duration {
        self.next.saturating_sub(self.ahead)
    }

    pub fn take(&mut self, now: Duration) {
        self.next = self.next.max(now) + self.step;
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Budget, Lane, Next, Pace};
    use std::time::Duration;

    const fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    /// A backlog takes all it gets, and new calls need half of the budget: how long the slowest of them waits.
    #[test]
    fn a_backlog_makes_no_new_call_wait_for_a_window() {
        let (limit, window, call_every) = (500, 60_000, 240);
        let mut pace = Pace::new(
            Budget {
                limit,
                window: ms(window),
                parallel: 1000,
            },
            0,
        );
        (0..10_000).for_each(|_| pace.ask(Lane::Backlog, u64::MAX));
        let (mut slowest, mut backlog) = (0, 0);
        for now in 0..5 * window {
            if now % call_every == 0 {
                pace.ask(Lane::Live, now);
            }
            while let Next::Grant(who) = pace.next(ms(now)) {
                pace.done(ms(now));
                if who == u64::MAX {
                    backlog += 1;
                } else {
                    slowest = slowest.max(now - who);
                }
            }
        }
        assert!(slowest < 1000, "{slowest} ms");
        // What new calls leave of nine tenths of the budget, five times.
        assert!(backlog > 5 * 190, "{backlog}");
    }
}
