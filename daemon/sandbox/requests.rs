//! What came in: a request taken apart, its route template, and the counters that tests and administrators read.
//! `server.rs` makes the requests; the state owns the log.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use percent_encoding::percent_decode_str;
use serde::Serialize;
use serde_json::{Map, Value};

use super::faults::FaultKind;
use super::reply::Refusal;

/// Arrivals kept; older ones are forgotten first. A window of interest is 1,000 requests.
const ARRIVALS_MAX: usize = 100_000;

/// A request whose body is read.
#[derive(Debug)]
pub struct Ask {
    pub method: String,
    /// As sent, without query.
    pub path: String,
    /// Decoded segments of the path.
    pub segments: Vec<String>,
    pub query: Vec<(String, String)>,
    pub bearer: Option<String>,
    pub content_type: Option<String>,
    pub body: Bytes,
    /// What goes wrong with the bulk job that this request starts.
    pub job_fault: Option<FaultKind>,
}

impl Ask {
    /// Takes path and query apart.
    pub fn new(method: &str, path: &str, query: &str, body: Bytes) -> Ask {
        Ask {
            method: method.to_owned(),
            path: path.to_owned(),
            segments: path.split('/').skip(1).map(decode).collect(),
            query: query
                .split('&')
                .filter(|pair| !pair.is_empty())
                .map(|pair| {
                    let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                    (
                        decode(&name.replace('+', " ")),
                        decode(&value.replace('+', " ")),
                    )
                })
                .collect(),
            bearer: None,
            content_type: None,
            body,
            job_fault: None,
        }
    }

    /// The first value of a query parameter.
    pub fn query(&self, name: &str) -> Option<&str> {
        self.query
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }

    /// The body as JSON; needs the content type that Kustomer asks for.
    pub fn json(&self) -> Result<Value, Refusal> {
        let is_json = self.content_type.as_deref().is_some_and(|given| {
            let essence = given.split(';').next().unwrap_or("");
            essence.trim().eq_ignore_ascii_case("application/json")
        });
        if !is_json {
            return Err(Refusal::bad_body("Content-Type must be application/json"));
        }
        serde_json::from_slice(&self.body)
            .map_err(|error| Refusal::bad_body(format!("Invalid JSON: {error}")))
    }

    /// The body as a JSON object.
    pub fn object(&self) -> Result<Map<String, Value>, Refusal> {
        match self.json()? {
            Value::Object(body) => Ok(body),
            _ => Err(Refusal::bad_body(
                "the body must be an object of attributes",
            )),
        }
    }

    /// `GET /v1/customers/phone={phone}` and the like: what the counters are kept by.
    pub fn route(&self) -> String {
        let mut route = self.method.clone();
        for (at, segment) in self.segments.iter().enumerate() {
            route.push_str(if at == 0 { " /" } else { "/" });
            if WORDS.contains(&segment.as_str()) {
                route.push_str(segment);
            } else if let Some((name, _)) = segment.split_once('=') {
                route.push_str(&format!("{name}={{{name}}}"));
            } else {
                route.push_str("{id}");
            }
        }
        route
    }
}

fn decode(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

/// The fixed segments of all paths; anything else is an id.
const WORDS: &[&str] = &[
    "v1",
    "users",
    "current",
    "teams",
    "tags",
    "customers",
    "conversations",
    "notes",
    "messages",
    "merges",
    "search",
    "archive",
    "bulk",
    "batches",
    "metadata",
    "outbound-webhooks",
    "events",
    "customer",
    "conversation",
    "message",
];

/// When a request came, and to which route.
#[derive(Debug, Clone, Serialize)]
pub struct Arrival {
    /// Ms since the sandbox started, monotonic.
    pub at_ms: u64,
    pub route: String,
}

/// All requests so far; those under `/_sandbox` are not counted.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Requests {
    pub total: u64,
    /// How many were answered with 429.
    pub limited: u64,
    pub by_route: BTreeMap<String, u64>,
    /// In order of arrival, the latest 100,000.
    pub arrivals: VecDeque<Arrival>,
}

impl Requests {
    /// How often `route` (as in `by_route`) was asked.
    pub fn count(&self, route: &str) -> u64 {
        self.by_route.get(route).copied().unwrap_or(0)
    }

    /// The most requests in any window of this length, among the arrivals kept.
    pub fn most_within(&self, window: std::time::Duration) -> usize {
        let window_ms = u64::try_from(window.as_millis()).unwrap_or(u64::MAX);
        let mut open: VecDeque<u64> = VecDeque::new();
        let mut most = 0;
        for arrival in &self.arrivals {
            open.push_back(arrival.at_ms);
            while open
                .front()
                .is_some_and(|at| at.saturating_add(window_ms) <= arrival.at_ms)
            {
                open.pop_front();
            }
            most = most.max(open.len());
        }
        most
    }

    pub(super) fn note(&mut self, at_ms: u64, route: String) {
        self.total = self.total.saturating_add(1);
        let count = self.by_route.entry(route.clone()).or_default();
        *count = count.saturating_add(1);
        if self.arrivals.len() >= ARRIVALS_MAX {
            self.arrivals.pop_front();
        }
        self.arrivals.push_back(Arrival { at_ms, route });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_are_counted_by_template() {
        for (path, route) in [
            (
                "/v1/customers/phone=%2B4917",
                "GET /v1/customers/phone={phone}",
            ),
            (
                "/v1/conversations/5f8481c6a22ab5b9d5f2dd8a/notes",
                "GET /v1/conversations/{id}/notes",
            ),
            ("/v1/customers/search", "GET /v1/customers/search"),
        ] {
            assert_eq!(Ask::new("GET", path, "", Bytes::new()).route(), route);
        }
    }
}
