//! Faults by rule: which request is answered wrongly, and how. Owned by the state, set by tests and administrators,
//! asked by `server.rs` once per request.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A rule; the first one in the list that fires decides.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Fault {
    /// Only this method; any when absent.
    #[serde(default)]
    pub method: Option<String>,
    /// The path as sent, without query. With `*` (any run of characters) it has to match whole, without it is a prefix.
    pub path: String,
    /// So many matching requests pass first.
    #[serde(default)]
    pub after: u64,
    /// Fires so often; for ever when absent.
    #[serde(default)]
    pub count: Option<u64>,
    /// Chance from 0 to 1 of each matching request, from the sandbox's seeded generator.
    #[serde(default = "always")]
    pub probability: f64,
    #[serde(flatten)]
    pub kind: FaultKind,
}

fn always() -> f64 {
    1.0
}

/// What goes wrong. "Done" means that the request has its effect in the sandbox.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum FaultKind {
    /// Not done; this status, body and headers.
    Status {
        status: u16,
        #[serde(default)]
        body: Option<Value>,
        #[serde(default)]
        headers: BTreeMap<String, String>,
    },
    /// Not done; the connection is closed without a reply.
    CloseBefore,
    /// Done; the connection is closed without a reply.
    CommitThenClose,
    /// Done; answered with this status all the same.
    CommitThenStatus { status: u16 },
    /// Waits, then done and answered as usual.
    Delay { ms: u64 },
    /// Done at once, answered after the wait.
    CommitThenDelay { ms: u64 },
    /// Answered with a web page.
    Garbage {
        status: u16,
        #[serde(default)]
        commit: bool,
    },
    /// Done; the reply announces more bytes than it has, then the connection is closed.
    Cut,
    /// A bulk request: each `every`th item of its job ends with an error, with `commit` although it was done.
    BulkItems {
        every: usize,
        #[serde(default)]
        commit: bool,
    },
    /// A bulk request: its job is done so much later.
    BulkDelay { ms: u64 },
    /// A bulk request: its job is done, but its batches name neither results nor ids.
    BulkSilent,
    /// A bulk request: its job is done, but never to be found.
    BulkVanish,
}

impl FaultKind {
    /// Whether the request itself is answered as usual, and the bulk job that it starts goes wrong.
    pub(super) const fn of_job(&self) -> bool {
        match self {
            Self::BulkItems { .. }
            | Self::BulkDelay { .. }
            | Self::BulkSilent
            | Self::BulkVanish => true,
            Self::Status { .. }
            | Self::CloseBefore
            | Self::CommitThenClose
            | Self::CommitThenStatus { .. }
            | Self::Delay { .. }
            | Self::CommitThenDelay { .. }
            | Self::Garbage { .. }
            | Self::Cut => false,
        }
    }
}

impl Fault {
    /// A rule that always fires on `path` of any method.
    pub fn on(path: impl Into<String>, kind: FaultKind) -> Fault {
        Fault {
            method: None,
            path: path.into(),
            after: 0,
            count: None,
            probability: always(),
            kind,
        }
    }

    /// The same for one method only.
    pub fn method(mut self, method: &str) -> Fault {
        self.method = Some(method.to_owned());
        self
    }

    /// The same after `after` matching requests.
    pub fn after(mut self, after: u64) -> Fault {
        self.after = after;
        self
    }

    /// The same, `count` times.
    pub fn times(mut self, count: u64) -> Fault {
        self.count = Some(count);
        self
    }

    /// The same with this chance.
    pub fn probability(mut self, probability: f64) -> Fault {
        self.probability = probability;
        self
    }

    fn matches(&self, method: &str, path: &str) -> bool {
        let method_matches = self
            .method
            .as_deref()
            .is_none_or(|wanted| wanted.eq_ignore_ascii_case(method));
        let path_matches = if self.path.contains('*') {
            glob(&self.path, path)
        } else {
            path.starts_with(&self.path)
        };
        method_matches && path_matches
    }
}

/// The rules in force, with what each has seen.
#[derive(Debug)]
pub struct Faults {
    rules: Vec<Armed>,
    chance: fastrand::Rng,
}

#[derive(Debug, Clone, Serialize)]
struct Armed {
    #[serde(flatten)]
    fault: Fault,
    seen: u64,
    fired: u64,
}

/// Rules in force at once; tests use a handful.
pub const FAULTS_MAX: usize = 1000;

impl Faults {
    pub fn new(seed: u64) -> Faults {
        Faults {
            rules: Vec::new(),
            chance: fastrand::Rng::with_seed(seed),
        }
    }

    /// Adds a rule behind the others; false when the list is full.
    pub fn add(&mut self, fault: Fault) -> bool {
        if self.rules.len() >= FAULTS_MAX {
            return false;
        }
        self.rules.push(Armed {
            fault,
            seen: 0,
            fired: 0,
        });
        true
    }

    pub fn clear(&mut self) {
        self.rules.clear();
    }

    /// The rules with their counters.
    pub fn list(&self) -> Value {
        serde_json::to_value(&self.rules).unwrap_or(Value::Null)
    }

    /// What happens to this request.
    pub fn strike(&mut self, method: &str, path: &str) -> Option<FaultKind> {
        for rule in &mut self.rules {
            if !rule.fault.matches(method, path) {
                continue;
            }
            rule.seen = rule.seen.saturating_add(1);
            let spent = rule.fault.count.is_some_and(|count| rule.fired >= count);
            if rule.seen <= rule.fault.after || spent {
                continue;
            }
            if rule.fault.probability < 1.0 && self.chance.f64() >= rule.fault.probability {
                continue;
            }
            rule.fired = rule.fired.saturating_add(1);
            return Some(rule.fault.kind.clone());
        }
        None
    }
}

fn glob(pattern: &str, text: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else {
        return pattern == text;
    };
    text.strip_prefix(head).is_some_and(|tail| {
        (0..=tail.len())
            .filter_map(|at| tail.get(at..))
            .any(|end| glob(rest, end))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_match_by_prefix_or_by_star() {
        for (pattern, path, matches) in [
            ("/v1/notes", "/v1/notes/1", true),
            ("/v1/notes", "/v1/note", false),
            ("/v1/*/notes", "/v1/conversations/1/notes", true),
            ("/v1/*/notes", "/v1/conversations/1/notes/2", false),
            ("*", "/anything", true),
            ("/v1/customers/phone=*", "/v1/customers/phone=%2B49", true),
        ] {
            let fault = Fault::on(pattern, FaultKind::CloseBefore);
            assert_eq!(fault.matches("GET", path), matches, "{pattern} {path}");
        }
    }

    #[test]
    fn a_rule_waits_counts_and_repeats_by_seed() {
        let fires = |seed| {
            let mut faults = Faults::new(seed);
            faults.add(
                Fault::on("/", FaultKind::Cut)
                    .after(1)
                    .times(3)
                    .probability(0.5),
            );
            (0..20)
                .map(|_| faults.strike("GET", "/x").is_some())
                .collect::<Vec<_>>()
        };
        assert_eq!(fires(7), fires(7));
        assert_eq!(fires(7).iter().filter(|fired| **fired).count(), 3);
        assert!(!fires(7)[0]);
    }
}
