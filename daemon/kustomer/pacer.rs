//! The async shell of `pace`: hands out permits for one budget in the order `Pace` decides. Owns that budget's state and
//! one timer task. The client makes one pacer for each budget and takes a permit for each request.

use crate::clock;
use crate::pace::{Budget, Lane, Next, Pace, PaceView};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// Hands out permits for one budget. Dropping it stops its timer task.
#[derive(Debug)]
pub struct Pacer {
    shared: Arc<Shared>,
    timer: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    origin: Instant,
    pace: Mutex<Pace<oneshot::Sender<Permit>>>,
    changed: Notify,
}

/// The right to send one request; keep it until the reply was read or given up. Dropping it says that it is done.
#[derive(Debug)]
pub struct Permit {
    shared: Arc<Shared>,
}

impl Pacer {
    /// Must be called inside a tokio runtime: it starts the timer task.
    ///
    /// `used_before` is what an earlier run may have sent within the last window: the attempts that were recorded
    /// (before each was made) in that time. Too high only starts slowly.
    pub fn new(budget: Budget, used_before: u32) -> Self {
        let shared = Arc::new(Shared {
            origin: clock::monotonic(),
            pace: Mutex::new(Pace::new(budget, used_before)),
            changed: Notify::new(),
        });
        let timer = tokio::spawn(run_timer(Arc::clone(&shared)));
        Self { shared, timer }
    }

    /// Waits for this lane's turn. Dropping the future leaves the lane without using a slot.
    pub async fn acquire(&self, lane: Lane) -> Permit {
        let (sender, receiver) = oneshot::channel();
        let now = self.shared.now();
        self.shared.lock().ask(lane, sender, now);
        // Who may go at once needn't wait for the timer.
        self.shared.grant();
        self.shared.changed.notify_one();
        match receiver.await {
            Ok(permit) => permit,
            // Only a pacer that is gone drops the sender, and this call borrows the pacer.
            Err(_) => std::future::pending().await,
        }
    }

    /// Stops all lanes for this long; a longer pause that is already on stays.
    pub fn pause(&self, span: Duration) {
        let until = self.shared.now() + span;
        self.shared.lock().pause(until);
    }

    pub fn view(&self) -> PaceView {
        let now = self.shared.now();
        self.shared.lock().view(now)
    }
}

impl Drop for Pacer {
    fn drop(&mut self) {
        self.timer.abort();
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut pace = self.shared.lock();
        pace.done(self.shared.now());
        drop(pace);
        self.shared.changed.notify_one();
    }
}

impl Shared {
    fn now(&self) -> Duration {
        clock::monotonic().saturating_duration_since(self.origin)
    }

    /// Nothing in here panics half-way through a change, so a poisoned lock still holds a whole state.
    fn lock(&self) -> MutexGuard<'_, Pace<oneshot::Sender<Permit>>> {
        self.pace.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Grants whoever may go, and says what to wait for.
    fn grant(self: &Arc<Self>) -> Wait {
        loop {
            match self.step() {
                // Outside the lock: a permit that nobody takes any more is dropped here, and its drop takes the lock.
                Next::Grant(waiter) => drop(waiter.send(Permit {
                    shared: Arc::clone(self),
                })),
                Next::At(time) => return Wait::Until(self.origin + time),
                Next::OnDone | Next::Idle => return Wait::Change,
            }
        }
    }

    /// One step, under the lock; who stopped waiting costs no slot.
    fn step(&self) -> Next<oneshot::Sender<Permit>> {
        let mut pace = self.lock();
        loop {
            match pace.next(self.now()) {
                Next::Grant(waiter) if waiter.is_closed() => pace.never_sent(),
                next => return next,
            }
        }
    }
}

/// What can let somebody go who waits.
enum Wait {
    Until(Instant),
    Change,
}

/// Grants whoever may go, then sleeps until something can have changed.
async fn run_timer(shared: Arc<Shared>) {
    loop {
        match shared.grant() {
            Wait::Until(time) => {
                tokio::select! {
                    biased;
                    () = tokio::time::sleep_until(time) => {}
                    () = shared.changed.notified() => {}
                }
            }
            Wait::Change => shared.changed.notified().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[tokio::test]
    async fn a_permit_that_is_not_awaited_any_more_costs_no_slot() {
        let pacer = Pacer::new(
            Budget {
                limit: 2,
                window: Duration::from_secs(3600),
                parallel: 1,
            },
            0,
        );
        let first = pacer.acquire(Lane::Live).await;
        let mut given_up = Box::pin(pacer.acquire(Lane::Live));
        assert!(still_waits(&mut given_up).await);
        drop(given_up);
        drop(first);
        let second = pacer.acquire(Lane::Live).await;
        assert_eq!(pacer.view().used, 2);
        drop(second);
        assert_eq!(pacer.view().in_flight, 0);
    }

    /// Polls once.
    async fn still_waits<F: Future + Unpin>(future: &mut F) -> bool {
        std::future::poll_fn(|context| {
            std::task::Poll::Ready(std::pin::Pin::new(&mut *future).poll(context).is_pending())
        })
        .await
    }

    #[tokio::test]
    async fn a_window_later_the_next_one_goes() {
        let pacer = Pacer::new(
            Budget {
                limit: 1,
                window: ms(20),
                parallel: 4,
            },
            0,
        );
        for _ in 0..3 {
            drop(pacer.acquire(Lane::Live).await);
        }
        assert_eq!(pacer.view().limit, 1);
    }
}
