//! The request budgets (Kustomer: Rate limits): one for the org, one for searches, one per customer and kind of record.
//! Each is a sliding log, the strictest reading of "per minute". Owned by the state; `server.rs` and the creating
//! operations take from it.

use std::collections::{HashMap, VecDeque};

use super::record::Kind;

/// Per-customer logs kept before the ones that have run empty are dropped.
const CUSTOMER_LOGS_MAX: usize = 10_000;

/// How much is allowed in each window.
#[derive(Debug, Clone, Copy)]
pub struct LimitOptions {
    /// Length of every window.
    pub window: std::time::Duration,
    /// Requests of the whole org per window; Kustomer's Enterprise plan has 1,000 a minute.
    pub requests: usize,
    /// Searches of the API keys per window; Kustomer has 100 a minute.
    pub searches: usize,
    /// Conversations, notes and messages (each) created for one customer by one key per window; Kustomer has 120.
    pub creations_per_customer: usize,
    /// Whether a 429 carries `x-ratelimit-reset`.
    pub send_reset: bool,
}

impl Default for LimitOptions {
    fn default() -> Self {
        LimitOptions {
            window: std::time::Duration::from_secs(60),
            requests: 1000,
            searches: 100,
            creations_per_customer: 120,
            send_reset: true,
        }
    }
}

/// All budgets and what was taken from them.
#[derive(Debug)]
pub struct Limits {
    pub options: LimitOptions,
    requests: Log,
    searches: Log,
    creations: HashMap<(Kind, String, String), Log>,
}

#[derive(Debug, Default)]
struct Log(VecDeque<u64>);

impl Log {
    /// Notes one use, or says at which ms the next is possible. The number is what remains after this use.
    fn take(&mut self, now_ms: u64, window_ms: u64, limit: usize) -> Result<usize, u64> {
        self.expire(now_ms, window_ms);
        if self.0.len() >= limit {
            let oldest = self.0.front().copied().unwrap_or(now_ms);
            return Err(oldest.saturating_add(window_ms));
        }
        self.0.push_back(now_ms);
        Ok(limit.saturating_sub(self.0.len()))
    }

    fn expire(&mut self, now_ms: u64, window_ms: u64) {
        while self
            .0
            .front()
            .is_some_and(|at| at.saturating_add(window_ms) <= now_ms)
        {
            self.0.pop_front();
        }
    }
}

impl Limits {
    pub fn new(options: LimitOptions) -> Limits {
        Limits {
            options,
            requests: Log::default(),
            searches: Log::default(),
            creations: HashMap::new(),
        }
    }

    fn window_ms(&self) -> u64 {
        u64::try_from(self.options.window.as_millis()).unwrap_or(u64::MAX)
    }

    /// One request of the org: what remains, or the ms at which the next one is possible.
    pub fn take_request(&mut self, now_ms: u64) -> Result<usize, u64> {
        let window_ms = self.window_ms();
        self.requests.take(now_ms, window_ms, self.options.requests)
    }

    /// One search.
    pub fn take_search(&mut self, now_ms: u64) -> Result<usize, u64> {
        let window_ms = self.window_ms();
        self.searches.take(now_ms, window_ms, self.options.searches)
    }

    /// One record of `kind` created by `user` for `customer`.
    pub fn take_creation(
        &mut self,
        now_ms: u64,
        kind: Kind,
        user: &str,
        customer: &str,
    ) -> Result<usize, u64> {
        let window_ms = self.window_ms();
        if self.creations.len() >= CUSTOMER_LOGS_MAX {
            self.creations.retain(|_, log| {
                log.expire(now_ms, window_ms);
                !log.0.is_empty()
            });
        }
        self.creations
            .entry((kind, user.to_owned(), customer.to_owned()))
            .or_default()
            .take(now_ms, window_ms, self.options.creations_per_customer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_frees_a_use_when_the_oldest_leaves_the_window() {
        let mut log = Log::default();
        assert_eq!(log.take(0, 100, 2), Ok(1));
        assert_eq!(log.take(60, 100, 2), Ok(0));
        assert_eq!(log.take(99, 100, 2), Err(100));
        assert_eq!(log.take(100, 100, 2), Ok(0));
        assert_eq!(log.take(120, 100, 2), Err(160));
    }
}
