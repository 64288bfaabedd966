//! Which delivery is next: due times, retries, pauses and outages of one integration; runs `log` for a few at a time.
//!
//! Reads what is owed from the outbox at start, then listens to `line`. A pause (401, 403) or an outage holds everything
//! back but one probe at a time; the first success lets all of it go at once (invariant 10).

use super::due::{self, Due};
use super::line::{Notice, Order};
use super::log::{Courier, Halt};
use super::outbox::{Delivery, DeliveryEnd};
use crate::backoff::{self, Retry};
use crate::clock;
use crate::kustomer::fault::{KustomerFault, Next};
use crate::store::StoreFault;
use jiff::{SignedDuration, Timestamp};
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

/// While Kustomer is unreachable or the key is refused, one delivery probes this often, or as often as the retry
/// schedule's longest wait if that is shorter.
const PROBE_EVERY: Duration = Duration::from_secs(15);

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
    /// Deliveries with an unclear create: not before then, whatever else would start them, or the look that settles it
    /// could miss what is still on its way (invariant 3).
    landing: HashMap<String, Timestamp>,
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
    /// `land`: a create is unclear and must not be looked for before then.
    Again {
        at: Timestamp,
        land: Option<Timestamp>,
        hold: Option<Hold>,
    },
    Gone,
    /// `land` as above: an unclear create whose outcome didn't get to disk.
    Store {
        fault: StoreFault,
        land: Option<Timestamp>,
    },
}

impl Dispatch {
    pub fn open(
        courier: Arc<Courier>,
        orders: mpsc::UnboundedReceiver<Order>,
        notices: mpsc::UnboundedSender<Notice>,
        status: Arc<Mutex<DispatchStatus>>,
    ) -> Result<Self, StoreFault> {
        let pending = courier.outbox.pending(&courier.settings.name)?;
        let (now, land_time) = (clock::now(), courier.settings.land_time);
        let mut dispatch = Self {
            courier,
            orders,
            notices,
            status,
            due: Due::default(),
            busy: HashSet::new(),
            landing: HashMap::new(),
            hold: None,
            probe_at: now,
            logged: 0,
            dead: 0,
        };
        for delivery in pending {
            // Unclear creates of the last run get time to land, as after any unclear outcome.
            if delivery.intent.is_some() {
                let land = after(now, land_time);
                dispatch.landing.insert(delivery.key.clone(), land);
            }
            dispatch.schedule(delivery.key, delivery.next_try);
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
            self.schedule(key, clock::now());
        }
    }

    /// Starts what is due, as many as may run at once; one probe at a time while held.
    fn start_due(&mut self, workers: &mut JoinSet<Report>) {
        let now = clock::now();
        let parallel = self.parallel();
        while workers.len() < parallel {
            let Some((at, key)) = self.upcoming() else {
                return;
            };
            if at > now {
                return;
            }
            self.due.remove(&key);
            self.landing.remove(&key);
            self.probe_at = after(now, self.probe_every());
            self.busy.insert(key.clone());
            let courier = Arc::clone(&self.courier);
            workers.spawn(async move {
                let outcome = work(&courier, &key).await;
                Report { key, outcome }
            });
        }
    }

    /// What starts next, and when. A probe needn't be due: an outage of hours leaves everything on hourly retries.
    fn upcoming(&self) -> Option<(Timestamp, String)> {
        if self.hold.is_none() {
            return self.due.first().cloned();
        }
        let clear = |key: &&String| !self.landing.contains_key(*key);
        if let Some(key) = self.due.keys().find(clear) {
            return Some((self.probe_at, key.clone()));
        }
        let landing = self.landing.iter().min_by_key(|(_, at)| **at);
        landing.map(|(key, at)| (self.probe_at.max(*at), key.clone()))
    }

    fn probe_every(&self) -> Duration {
        let longest = self.courier.settings.retry.iter().max();
        longest.map_or(PROBE_EVERY, |longest| PROBE_EVERY.min(*longest))
    }

    fn schedule(&mut self, key: String, at: Timestamp) {
        let land = self.landing.get(&key).copied();
        self.due.set(key, land.map_or(at, |land| at.max(land)));
    }

    fn settle(&mut self, report: Report) -> Result<(), StoreFault> {
        let Report { key, outcome } = report;
        self.busy.remove(&key);
        match outcome {
            Outcome::Ended(end) => {
                self.release();
                let name = self.courier.settings.name.as_str();
                tracing::info!(
                    integration = name,
                    call = key,
                    end = end.word(),
                    "delivered"
                );
                match end {
                    DeliveryEnd::Dead { .. } => self.dead += 1,
                    DeliveryEnd::Logged | DeliveryEnd::Skipped { .. } | DeliveryEnd::Dropped => {
                        self.logged += 1;
                    }
                }
                let integration = self.courier.settings.name.clone();
                // A line that is gone means that the process stops; it finds the end in the outbox at the next start.
                let _ = self.notices.send(Notice::Settled {
                    integration,
                    key,
                    end,
                });
            }
            Outcome::Again { at, land, hold } => {
                if let Some(land) = land {
                    self.landing.insert(key.clone(), land);
                }
                self.schedule(key, at);
                match hold {
                    Some(hold) => self.hold_back(hold),
                    None => self.release(),
                }
            }
            Outcome::Gone => {}
            Outcome::Store { fault, land } if fault.passes() => {
                if let Some(land) = land {
                    self.landing.insert(key.clone(), land);
                }
                self.schedule(key, clock::now() + STORE_RETRY);
            }
            Outcome::Store { fault, .. } => return Err(fault),
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
        for (key, at) in &self.landing {
            self.due.set(key.clone(), *at);
        }
    }

    /// Until something may start, at most `TURN_MAX`; a worker's report or an order wakes earlier.
    fn nap(&self) -> Duration {
        let full = self.busy.len() >= self.parallel();
        due::nap(self.upcoming().filter(|_| !full).map(|(at, _)| at))
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
        Err(fault) => return Outcome::Store { fault, land: None },
    };
    let now = clock::now();
    delivery.first_try.get_or_insert(now);
    let outcome = match courier.deliver(&mut delivery).await {
        Ok(end) => Outcome::Ended(end),
        Err(Halt::Dead(why)) => Outcome::Ended(DeliveryEnd::Dead { why }),
        Err(Halt::Store(fault)) => return Outcome::Store { fault, land: None },
        Err(Halt::Kustomer(fault)) => {
            delivery.note_fault(&fault);
            retry(courier, &mut delivery, &fault)
        }
    };
    match &outcome {
        Outcome::Ended(end) => delivery.end = Some(end.clone()),
        Outcome::Again { at, .. } => delivery.next_try = *at,
        Outcome::Gone | Outcome::Store { .. } => {}
    }
    match (
        courier
            .outbox
            .keep(&delivery, courier.client.requests().used)
            .await,
        outcome,
    ) {
        (Ok(()), outcome) => outcome,
        (Err(fault), Outcome::Again { land, .. }) => Outcome::Store { fault, land },
        (Err(fault), _) => Outcome::Store { fault, land: None },
    }
}

/// What a fault means for the delivery: the schedule, a pause, or the end (design: 401 and 403 use up no attempt).
fn retry(courier: &Courier, delivery: &mut Delivery, fault: &KustomerFault) -> Outcome {
    let now = clock::now();
    let settings = &courier.settings;
    let first_try = delivery.first_try.unwrap_or(now);
    let land = delivery.intent.map(|_| match fault {
        // A server that stalled may still do it: give it as long again.
        KustomerFault::Timeout(_) => after(now, settings.timeout.max(settings.land_time)),
        _ => after(now, settings.land_time),
    });
    let earliest = land.unwrap_or(now);
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
        Next::Pause => {
            // A refused key is nobody's retry: neither attempts nor the time to give up run meanwhile.
            delivery.first_try = None;
            Outcome::Again {
                at: earliest,
                land,
                hold: Some(Hold::Paused(fault.to_string())),
            }
        }
        Next::After(wait) => match scheduled(delivery, Some(wait)) {
            Retry::GiveUp => dead(),
            Retry::At(_) => Outcome::Again {
                at: earliest.max(after(now, wait)),
                land,
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
                        land,
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
