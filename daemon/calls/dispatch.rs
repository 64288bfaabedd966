//! Which delivery is next: due times, retries, pauses and outages of one integration; runs `log` for a few at a time.
//!
//! Reads what is owed from the outbox at start, then listens to `line`. A pause (401, 403) or an outage holds everything
//! back but one probe at a time; the first success lets all of it go at once (invariant 10).

use super::due::{self, Due};
use super::line::{Notice, Order};
use super::log::{Courier, Halt, LAND_TIME};
use super::outbox::{Delivery, DeliveryEnd};
use crate::backoff::{self, Retry};
use crate::clock;
use crate::kustomer::fault::{KustomerFault, Next};
use crate::store::StoreFault;
use jiff::{SignedDuration, Timestamp};
use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

/// While Kustomer is unreachable or the key is refused, one delivery probes this often.
const PROBE_EVERY: SignedDuration = SignedDuration::from_secs(15);

/// A store that refuses (disk full) is tried again after this.
const STORE_RETRY: SignedDuration = SignedDuration::from_secs(2);

/// What `status` says of an integration.
#[derive(Clone, Debug, Default)]
pub struct DispatchStatus {
    pub owed: usize,
    pub in_flight: usize,
    pub logged: u64,
    pub dead: u64,
    /// Why everything waits, in words; none when all is well.
    pub held: Option<String>,
    pub oldest_owed: Option<Timestamp>,
}

/// What holds the whole integration back.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Hold {
    /// The key is refused or lacks a role: no attempt counts.
    Paused(String),
    /// Kustomer can't be reached.
    Outage(String),
}

pub struct Dispatch {
    courier: Arc<Courier>,
    orders: mpsc::UnboundedReceiver<Order>,
    notices: mpsc::UnboundedSender<Notice>,
    status: Arc<Mutex<DispatchStatus>>,
    due: Due,
    busy: HashSet<String>,
    hold: Option<Hold>,
    probe_at: Timestamp,
    logged: u64,
    dead: u64,
}

/// A worker's report.
struct Report {
    key: String,
    outcome: Outcome,
}

enum Outcome {
    Ended(DeliveryEnd),
    Again { at: Timestamp, hold: Option<Hold> },
    Gone,
    Store(StoreFault),
}

impl Dispatch {
    pub fn open(
        courier: Arc<Courier>,
        orders: mpsc::UnboundedReceiver<Order>,
        notices: mpsc::UnboundedSender<Notice>,
        status: Arc<Mutex<DispatchStatus>>,
    ) -> Result<Self, StoreFault> {
        let pending = courier.outbox.pending(&courier.settings.name)?;
        let now = clock::now();
        let mut dispatch = Self {
            courier,
            orders,
            notices,
            status,
            due: Due::default(),
            busy: HashSet::new(),
            hold: None,
            probe_at: now,
            logged: 0,
            dead: 0,
        };
        for delivery in pending {
            // Unclear creates of the last run get time to land, as after any unclear outcome.
            let land = if delivery.intent.is_some() {
                after(now, LAND_TIME)
            } else {
                now
            };
            dispatch.due.set(delivery.key, delivery.next_try.max(land));
        }
        Ok(dispatch)
    }

    /// Runs until `stop` turns true, then lets the deliveries in flight finish (the caller bounds how long).
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) -> Result<(), StoreFault> {
        let mut workers: JoinSet<Report> = JoinSet::new();
        loop {
            let stopping = *stop.borrow();
            if stopping && workers.is_empty() {
                return Ok(());
            }
            if !stopping {
                self.start_due(&mut workers);
            }
            self.show();
            let nap = self.nap();
            tokio::select! {
                _ = stop.changed(), if !stopping => {}
                Some(order) = self.orders.recv(), if !stopping => self.hear(order),
                Some(report) = workers.join_next(), if !workers.is_empty() => match report {
                    Ok(report) => self.settle(report)?,
                    Err(panic) => std::panic::resume_unwind(panic.into_panic()),
                },
                () = tokio::time::sleep(nap), if !stopping => {}
            }
        }
    }

    fn hear(&mut self, order: Order) {
        let (Order::Owed(key) | Order::Retry(key)) = order;
        if !self.busy.contains(&key) {
            self.due.set(key, clock::now());
        }
    }

    /// Starts what is due, as many as may run at once; one probe at a time while held.
    fn start_due(&mut self, workers: &mut JoinSet<Report>) {
        let now = clock::now();
        let parallel = self.parallel();
        while workers.len() < parallel {
            if self.hold.is_some() && self.probe_at > now {
                return;
            }
            let Some((at, key)) = self.due.first().cloned() else {
                return;
            };
            // A probe needn't be due: an outage of hours leaves everything on hourly retries.
            if at > now && self.hold.is_none() {
                return;
            }
            self.due.remove(&key);
            self.probe_at = now + PROBE_EVERY;
            self.busy.insert(key.clone());
            let courier = Arc::clone(&self.courier);
            workers.spawn(async move {
                let outcome = work(&courier, &key).await;
                Report { key, outcome }
            });
        }
    }

    fn settle(&mut self, report: Report) -> Result<(), StoreFault> {
        let Report { key, outcome } = report;
        self.busy.remove(&key);
        match outcome {
            Outcome::Ended(end) => {
                self.release();
                match end {
                    DeliveryEnd::Dead { .. } => self.dead += 1,
                    DeliveryEnd::Logged | DeliveryEnd::Skipped { .. } => self.logged += 1,
                }
                let integration = self.courier.settings.name.clone();
                // A line that is gone means that the process stops; it finds the end in the outbox at the next start.
                let _ = self.notices.send(Notice::Settled {
                    integration,
                    key,
                    end,
                });
            }
            Outcome::Again { at, hold } => {
                self.due.set(key, at);
                match hold {
                    Some(hold) => self.hold_back(hold),
                    None => self.release(),
                }
            }
            Outcome::Gone => {}
            Outcome::Store(fault) if fault.passes() => {
                self.due.set(key, clock::now() + STORE_RETRY);
            }
            Outcome::Store(fault) => return Err(fault),
        }
        Ok(())
    }

    fn hold_back(&mut self, hold: Hold) {
        if self.hold.as_ref() != Some(&hold) {
            let (Hold::Paused(why) | Hold::Outage(why)) = &hold;
            tracing::warn!(integration = %self.courier.settings.name, why, "deliveries wait; nothing is lost");
        }
        self.hold = Some(hold);
    }

    /// Kustomer answered: whatever waited for that goes now, spread by the budget alone.
    fn release(&mut self) {
        if self.hold.take().is_none() {
            return;
        }
        tracing::info!(integration = %self.courier.settings.name, waiting = self.due.len(), "Kustomer answers again");
        self.due.hurry(clock::now());
    }

    /// Until something may start, at most `TURN_MAX`; a worker's report or an order wakes earlier.
    fn nap(&self) -> Duration {
        let full = self.busy.len() >= self.parallel();
        let due = self.due.first().filter(|_| !full).map(|(at, _)| *at);
        due::nap(due.map(|at| {
            if self.hold.is_some() {
                self.probe_at
            } else {
                at
            }
        }))
    }

    fn parallel(&self) -> usize {
        if self.hold.is_some() {
            1
        } else {
            self.courier.settings.parallel
        }
    }

    fn show(&self) {
        let mut status = self.status.lock().unwrap_or_else(PoisonError::into_inner);
        status.owed = self.due.len() + self.busy.len();
        status.in_flight = self.busy.len();
        status.logged = self.logged;
        status.dead = self.dead;
        status.held = self.hold.as_ref().map(|hold| match hold {
            Hold::Paused(why) => format!("paused: {why}"),
            Hold::Outage(why) => format!("unreachable: {why}"),
        });
    }
}

/// One try at one delivery, progress and outcome on disk when it returns.
async fn work(courier: &Courier, key: &str) -> Outcome {
    let name = &courier.settings.name;
    let mut delivery = match courier.outbox.get(name, key) {
        Ok(Some(Delivery { end: Some(end), .. })) => return Outcome::Ended(end),
        Ok(Some(delivery)) => delivery,
        Ok(None) => return Outcome::Gone,
        Err(fault) => return Outcome::Store(fault),
    };
    let now = clock::now();
    delivery.first_try.get_or_insert(now);
    let outcome = match courier.deliver(&mut delivery).await {
        Ok(end) => Outcome::Ended(end),
        Err(Halt::Dead(why)) => Outcome::Ended(DeliveryEnd::Dead { why }),
        Err(Halt::Store(fault)) => return Outcome::Store(fault),
        Err(Halt::Kustomer(fault)) => {
            delivery.note_fault(&fault);
            retry(courier, &mut delivery, &fault)
        }
    };
    match &outcome {
        Outcome::Ended(end) => delivery.end = Some(end.clone()),
        Outcome::Again { at, .. } => delivery.next_try = *at,
        Outcome::Gone | Outcome::Store(_) => {}
    }
    match courier.outbox.keep(&delivery).await {
        Ok(()) => outcome,
        Err(fault) => Outcome::Store(fault),
    }
}

/// What a fault means for the delivery: the schedule, a pause, or the end (design: 401 and 403 use up no attempt).
fn retry(courier: &Courier, delivery: &mut Delivery, fault: &KustomerFault) -> Outcome {
    let now = clock::now();
    let settings = &courier.settings;
    let first_try = delivery.first_try.unwrap_or(now);
    let earliest = match (&delivery.intent, fault) {
        (None, _) => now,
        // A server that stalled may still do it: give it as long again.
        (Some(_), KustomerFault::Timeout(_)) => after(now, settings.timeout.max(LAND_TIME)),
        (Some(_), _) => after(now, LAND_TIME),
    };
    let scheduled = |delivery: &Delivery, hint: Option<Duration>| {
        let jitter = clock::chance();
        backoff::next_attempt(
            &settings.retry,
            settings.retry_for,
            first_try,
            delivery.attempts,
            now,
            jitter,
            hint,
        )
    };
    let dead = || {
        Outcome::Ended(DeliveryEnd::Dead {
            why: fault.to_string(),
        })
    };
    match fault.next() {
        Next::Never => dead(),
        Next::Pause => Outcome::Again {
            at: earliest,
            hold: Some(Hold::Paused(fault.to_string())),
        },
        Next::After(wait) => match scheduled(delivery, Some(wait)) {
            Retry::GiveUp => dead(),
            Retry::At(_) => Outcome::Again {
                at: earliest.max(after(now, wait)),
                hold: None,
            },
        },
        Next::Backoff => {
            delivery.attempts = delivery.attempts.saturating_add(1);
            match scheduled(delivery, None) {
                Retry::GiveUp => dead(),
                Retry::At(at) => {
                    let hold = fault.unreachable().then(|| Hold::Outage(fault.to_string()));
                    Outcome::Again {
                        at: at.max(earliest),
                        hold,
                    }
                }
            }
        }
    }
}

fn after(now: Timestamp, wait: Duration) -> Timestamp {
    let wait = SignedDuration::try_from(wait).unwrap_or(SignedDuration::MAX);
    now.checked_add(wait).unwrap_or(Timestamp::MAX)
}
