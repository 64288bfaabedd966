//! One try at one delivery, and what its outcome means for the next: schedule, pause, or the end.
//!
//! Runs `log` for one delivery at a time and hands what doesn't go alone to `bulk`; `dispatch` starts it and hears the
//! news.

use super::due::after;
use super::log::{Courier, Halt};
use super::outbox::{Delivery, DeliveryEnd, Step};
use crate::backoff::{self, Retry};
use crate::clock;
use crate::kustomer::fault::{KustomerFault, Next};
use crate::settings::types::KustomerSettings;
use crate::store::StoreFault;
use jiff::Timestamp;
use std::fmt;
use std::time::Duration;

/// What holds the whole integration back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hold {
    /// The key is refused or lacks a role: no attempt counts.
    Paused(String),
    /// Kustomer can't be reached.
    Outage(String),
}

impl fmt::Display for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Paused(why) => write!(f, "paused: {why}"),
            Self::Outage(why) => write!(f, "unreachable: {why}"),
        }
    }
}

/// How a delivery goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Way {
    /// Nothing of it is open: with others, if they are many.
    Together,
    /// It has to be looked for, or what became of it says more when it is asked for alone.
    Alone,
    /// It is an item of this bulk job.
    Job(String),
}

/// What became of a try.
#[derive(Debug)]
pub enum Outcome {
    Ended(DeliveryEnd),
    /// It had its end before this try.
    Over(DeliveryEnd),
    /// `land`: a create is unclear and must not be looked for before then.
    Again {
        at: Timestamp,
        land: Option<Timestamp>,
        hold: Option<Hold>,
        way: Way,
    },
    Gone,
    /// A text that waits for the conversation of this delivery.
    Behind(String),
    /// `land` as above: an unclear create whose outcome didn't get to disk.
    Store {
        fault: StoreFault,
        land: Option<Timestamp>,
    },
}

/// What a worker tells `dispatch`.
#[derive(Debug)]
pub enum News {
    Tried { key: String, outcome: Outcome },
    Bulk(BulkNews),
}

/// What a group learned of bulk requests as such.
#[derive(Debug)]
pub enum BulkNews {
    Worked,
    /// Nobody knows what became of a request, or its job said nothing.
    Unclear(String),
    /// The key may not use it.
    Refused(String),
}

/// One try at one delivery that no bulk job has; progress and outcome on disk when it returns.
pub async fn try_one(courier: &Courier, mut delivery: Delivery) -> Outcome {
    delivery.first_try.get_or_insert(clock::now());
    let result = courier.deliver(&mut delivery).await;
    let outcome = outcome(courier, &mut delivery, result);
    // What holds everything back is said once for all (`dispatch`).
    if let Outcome::Again { at, hold: None, .. } = &outcome {
        let fault = delivery.fault.as_deref();
        tracing::info!(attempts = delivery.attempts, fault, %at, "goes on later");
    }
    // Who only waits wasn't tried.
    if let Outcome::Store { .. } | Outcome::Behind(_) = outcome {
        return outcome;
    }
    note_outcome(&mut delivery, &outcome);
    match (courier.outbox.keep(&delivery).await, outcome) {
        (Ok(()), outcome) => outcome,
        (Err(fault), Outcome::Again { land, .. }) => Outcome::Store { fault, land },
        (Err(fault), _) => Outcome::Store { fault, land: None },
    }
}

/// Puts the outcome into the record.
pub fn note_outcome(delivery: &mut Delivery, outcome: &Outcome) {
    match outcome {
        Outcome::Ended(end) => delivery.end = Some(end.clone()),
        Outcome::Again { at, .. } => delivery.next_try = *at,
        Outcome::Over(_) | Outcome::Gone | Outcome::Behind(_) | Outcome::Store { .. } => {}
    }
}

/// What it means that the courier stopped there.
pub fn outcome(
    courier: &Courier,
    delivery: &mut Delivery,
    result: Result<DeliveryEnd, Halt>,
) -> Outcome {
    match result {
        Ok(end) => Outcome::Ended(end),
        Err(Halt::Dead(why)) => Outcome::Ended(DeliveryEnd::Dead { why }),
        Err(Halt::Store(fault)) => Outcome::Store { fault, land: None },
        Err(Halt::Behind(key)) => Outcome::Behind(key),
        Err(Halt::Landing(at)) => Outcome::Again {
            at,
            land: Some(at),
            hold: None,
            way: Way::Alone,
        },
        Err(Halt::Kustomer(fault)) => {
            if fault.next() != Next::Stop {
                delivery.note_fault(&fault.to_string());
            }
            retry(courier, delivery, &fault)
        }
    }
}

/// What a fault means for the delivery: the schedule, a pause, or the end (401 and 403 use up no attempt).
fn retry(courier: &Courier, delivery: &mut Delivery, fault: &KustomerFault) -> Outcome {
    let now = clock::now();
    let settings = &courier.settings;
    let way = way_of(delivery);
    let land = (way == Way::Alone).then(|| match fault {
        // A server that stalled may still do it: give it as long again.
        KustomerFault::Timeout(_) => after(now, settings.timeout.max(settings.land_time)),
        _ => after(now, settings.land_time),
    });
    let earliest = land.unwrap_or(now);
    let dead = || {
        Outcome::Ended(DeliveryEnd::Dead {
            why: fault.to_string(),
        })
    };
    let again = |at: Timestamp, hold: Option<Hold>| Outcome::Again {
        at: at.max(earliest),
        land,
        hold,
        way,
    };
    match fault.next() {
        Next::Never => dead(),
        Next::Stop => again(now, None),
        Next::Pause => {
            // A refused key is nobody's retry: neither attempts nor the time to give up run meanwhile.
            delivery.first_try = None;
            again(now, Some(Hold::Paused(fault.to_string())))
        }
        Next::After(wait) => match scheduled(courier, delivery, now, Some(wait)) {
            Retry::GiveUp => dead(),
            Retry::At(_) => again(after(now, wait), None),
        },
        Next::Backoff => {
            delivery.attempts = delivery.attempts.saturating_add(1);
            match scheduled(courier, delivery, now, None) {
                Retry::GiveUp => dead(),
                Retry::At(at) => {
                    let hold = fault.unreachable().then(|| Hold::Outage(fault.to_string()));
                    again(at, hold)
                }
            }
        }
    }
}

/// A bulk job that isn't done yet: asked again by the schedule, as long as any create may take.
pub fn unfinished(courier: &Courier, delivery: &mut Delivery) -> Outcome {
    let now = clock::now();
    let why = "Kustomer's bulk job isn't done yet";
    delivery.note_fault(why);
    delivery.attempts = delivery.attempts.saturating_add(1);
    match scheduled(courier, delivery, now, None) {
        Retry::GiveUp => Outcome::Ended(DeliveryEnd::Dead {
            why: why.to_owned(),
        }),
        Retry::At(at) => Outcome::Again {
            at,
            land: None,
            hold: None,
            way: way_of(delivery),
        },
    }
}

/// How a delivery goes on from what stands in its record.
pub fn way_of(delivery: &Delivery) -> Way {
    match delivery.job() {
        Some(job) => Way::Job(job.to_owned()),
        None if matches!(delivery.next(), Step::Verify(_)) => Way::Alone,
        None => Way::Together,
    }
}

/// When a create that an earlier run left unclear can land no more. It may have been sent with that run's last breath, long
/// after its intent was written, for it may have waited for the budget; and its server may have stalled.
pub fn lands_by(settings: &KustomerSettings, now: Timestamp) -> Timestamp {
    let stalled = settings.timeout.saturating_mul(2);
    after(now, stalled.max(settings.land_time))
}

fn scheduled(
    courier: &Courier,
    delivery: &Delivery,
    now: Timestamp,
    hint: Option<Duration>,
) -> Retry {
    let settings = &courier.settings;
    backoff::next_attempt(
        &settings.retry,
        settings.retry_for,
        delivery.first_try.unwrap_or(now),
        delivery.attempts,
        now,
        clock::chance(),
        hint,
    )
}
