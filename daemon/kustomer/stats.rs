//! Counts what the client asked and how it ended, for metrics and `status`. Written by `client` after each request.

use super::fault::KustomerFault;
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// How a request ended, coarse enough for a metric's label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    /// 2xx that could be used.
    Ok,
    NotFound,
    TooMany,
    /// Other 4xx.
    Refused,
    /// 5xx and unusable replies.
    Failed,
    /// No reply at all: no connection, lost, timed out.
    NoReply,
}

impl Outcome {
    pub const fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::NotFound => "not_found",
            Self::TooMany => "too_many",
            Self::Refused => "refused",
            Self::Failed => "failed",
            Self::NoReply => "no_reply",
        }
    }

    const fn of(fault: &KustomerFault) -> Self {
        match fault {
            KustomerFault::NotFound => Self::NotFound,
            KustomerFault::TooMany { .. } => Self::TooMany,
            KustomerFault::Unauthorized { .. }
            | KustomerFault::Rejected { .. }
            | KustomerFault::Conflict { .. } => Self::Refused,
            KustomerFault::Server { .. }
            | KustomerFault::Garbled { .. }
            | KustomerFault::ForeignLink
            | KustomerFault::TooManyPages(_) => Self::Failed,
            KustomerFault::Key(_)
            | KustomerFault::Unsendable(_)
            | KustomerFault::Stopping
            | KustomerFault::Unreachable(_)
            | KustomerFault::Timeout(_)
            | KustomerFault::Lost(_) => Self::NoReply,
        }
    }
}

/// What was counted since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientStats {
    /// By route template (`POST /v1/customers`) and outcome.
    pub requests: BTreeMap<(&'static str, Outcome), u64>,
    /// The last reply that could be used, 404 included: Kustomer is there and the key works.
    pub last_success: Option<Timestamp>,
    /// The last failure and its text.
    pub last_failure: Option<(Timestamp, String)>,
}

#[derive(Debug, Default)]
pub(super) struct Counter(Mutex<ClientStats>);

impl Counter {
    pub fn count(&self, route: &'static str, fault: Option<&KustomerFault>, now: Timestamp) {
        let outcome = fault.map_or(Outcome::Ok, Outcome::of);
        let mut stats = self.lock();
        let count = stats.requests.entry((route, outcome)).or_default();
        *count = count.saturating_add(1);
        match fault {
            None | Some(KustomerFault::NotFound) => stats.last_success = Some(now),
            Some(fault) => stats.last_failure = Some((now, format!("{route}: {fault}"))),
        }
    }

    pub fn view(&self) -> ClientStats {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, ClientStats> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
