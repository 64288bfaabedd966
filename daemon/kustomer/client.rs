//! The one client of an integration: budgets, key and the verdict on every reply. Owns both pacers, the key and the
//! counters. `customers`, `conversations` and `users` add the calls; the outbox, contact sync and `check --online` use
//! them.
//!
//! It sends each request once: nothing is repeated here but one request after a 401 when the key file holds another key
//! by then.

use super::fault::KustomerFault;
use super::http::{Carrier, Http, Url};
use super::key::{bearer, expires, read_key};
use super::limits::{self, LimitHeaders};
use super::pacer::{Pacer, Permit};
use super::reserve::{Notebook, Reserve};
use super::stats::{ClientStats, Counter};
use super::time::TheirTime;
use super::verdict::refused;
use super::wire::{self, Record, Reply};
use crate::clock;
use crate::pace::{Budget, Lane, PaceView};
use crate::settings::types::KustomerSettings;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, DATE, HeaderValue};
use hyper::{HeaderMap, Method, Request};
use jiff::Timestamp;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;

/// Room for rows per page where 100 is the most, and where 500 is. Source: Kustomer: Pagination.
pub(super) const PAGE_ROWS: u32 = 100;
pub(super) const PAGE_ROWS_LARGE: u32 = 500;

const SEGMENT: AsciiSet = NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~');

/// One integration's way to Kustomer. Clones share budgets, key and counters; each speaks in its lane.
#[derive(Clone, Debug)]
pub struct Client {
    inner: Arc<Inner>,
    lane: Lane,
}

#[derive(Debug)]
struct Inner {
    carrier: Arc<dyn Carrier>,
    origin: Url,
    key_file: PathBuf,
    key: Mutex<SecretString>,
    /// The pause after a 429 without a reset time.
    window: Duration,
    requests: Pacer,
    searches: Pacer,
    reserve: Reserve,
    counter: Counter,
    time: TheirTime,
    /// True: nothing waits any more, what can't go at once isn't sent.
    closing: watch::Sender<bool>,
    /// Lookups by number with `+` are known to find customers (see `customers::by_phone`).
    pub(super) plus_understood: std::sync::atomic::AtomicBool,
}

/// What an earlier client of this integration may have sent, and where it is noted for the next one. The default knows
/// nothing of either.
#[derive(Debug, Default)]
pub struct Past {
    /// Requests within the last budget window.
    pub requests: u32,
    pub notebook: Option<Arc<dyn Notebook>>,
}

/// One request to send.
pub(super) struct Ask {
    /// For counters and logs: method and path without ids.
    pub route: &'static str,
    pub method: Method,
    /// With encoded segments and query, from `/v1`.
    pub path: String,
    pub body: Option<Value>,
    /// Also counts against the search budget.
    pub search: bool,
}

impl Client {
    /// Reads the key file and starts both budgets; needs a tokio runtime, speaks to nobody yet.
    ///
    /// # Errors
    /// `Key` if the key file cannot be used, `Unsendable` if the address is none.
    pub fn new(settings: &KustomerSettings, past: Past) -> Result<Self, KustomerFault> {
        Self::over(Arc::new(Http::new(settings)?), settings, past)
    }

    /// The same over something else than the network.
    ///
    /// # Errors
    /// As `new`.
    pub fn over(
        carrier: Arc<dyn Carrier>,
        settings: &KustomerSettings,
        past: Past,
    ) -> Result<Self, KustomerFault> {
        let key = read_key(&settings.api_key_file)?;
        let origin = Url::parse(&settings.url)
            .map_err(|fault| KustomerFault::Unsendable(format!("url: {fault}")))?;
        let budget = |limit| Budget {
            limit,
            window: settings.budget_window,
            parallel: settings.parallel,
        };
        let inner = Inner {
            carrier,
            origin,
            key_file: settings.api_key_file.clone(),
            key: Mutex::new(key),
            window: settings.budget_window,
            requests: Pacer::new(budget(settings.requests_per_minute), past.requests),
            searches: Pacer::new(budget(settings.searches_per_minute), past.requests),
            reserve: Reserve::new(
                past.notebook,
                settings.requests_per_minute,
                settings.budget_window,
            ),
            counter: Counter::default(),
            time: TheirTime::default(),
            closing: watch::Sender::new(false),
            plus_understood: std::sync::atomic::AtomicBool::new(false),
        };
        Ok(Self {
            inner: Arc::new(inner),
            lane: Lane::Live,
        })
    }

    /// The same client speaking in another lane; a new client speaks in `Lane::Live`.
    pub fn lane(&self, lane: Lane) -> Self {
        Self {
            inner: Arc::clone(&self.inner),
            lane,
        }
    }

    /// The state of the request budget.
    pub fn requests(&self) -> PaceView {
        self.inner.requests.view()
    }

    /// The state of the search budget.
    pub fn searches(&self) -> PaceView {
        self.inner.searches.view()
    }

    /// What time it is at Kustomer; none before its first reply.
    pub fn their_time(&self) -> Option<Timestamp> {
        self.inner.time.now()
    }

    /// When the key expires, if it says so itself.
    pub fn key_expires(&self) -> Option<Timestamp> {
        expires(&self.inner.key())
    }

    pub fn stats(&self) -> ClientStats {
        self.inner.counter.view()
    }

    pub(super) fn plus_understood(&self) -> &std::sync::atomic::AtomicBool {
        &self.inner.plus_understood
    }

    /// Sends one request in this client's lane, waiting for its turn first.
    pub(super) async fn send(&self, ask: &Ask) -> Result<Reply, KustomerFault> {
        let key = self.inner.key();
        let first = self.send_once(ask, &key).await;
        match first {
            Err(KustomerFault::Unauthorized { status: 401, .. }) => {
                match self.inner.changed_key(&key) {
                    Some(key) => self.send_once(ask, &key).await,
                    None => first,
                }
            }
            _ => first,
        }
    }

    pub(super) async fn get(
        &self,
        route: &'static str,
        path: String,
    ) -> Result<Reply, KustomerFault> {
        self.send(&Ask {
            route,
            method: Method::GET,
            path,
            body: None,
            search: false,
        })
        .await
    }

    pub(super) async fn post(
        &self,
        route: &'static str,
        path: String,
        body: Value,
    ) -> Result<Record, KustomerFault> {
        let reply = self
            .send(&Ask {
                route,
                method: Method::POST,
                path,
                body: Some(body),
                search: false,
            })
            .await?;
        one(reply)
    }

    pub(super) async fn put(
        &self,
        route: &'static str,
        path: String,
        body: Value,
    ) -> Result<Record, KustomerFault> {
        let reply = self
            .send(&Ask {
                route,
                method: Method::PUT,
                path,
                body: Some(body),
                search: false,
            })
            .await?;
        one(reply)
    }

    /// All pages of a list, at most `pages_max`, each one request.
    pub(super) async fn list(
        &self,
        route: &'static str,
        path: String,
        pages_max: u32,
    ) -> Result<Vec<Record>, KustomerFault> {
        let mut records = Vec::new();
        let mut path = path;
        for _ in 0..pages_max {
            let reply = self.get(route, path).await?;
            let empty = reply.records.is_empty();
            records.extend(reply.records);
            match reply.next.filter(|_| !empty) {
                Some(next) => path = self.inner.own_path(&next)?,
                None => return Ok(records),
            }
        }
        Err(KustomerFault::TooManyPages(pages_max))
    }

    /// The daemon stops: requests that wait are refused, and later ones that would have to.
    pub fn close(&self) {
        self.inner.closing.send_replace(true);
    }

    /// Waits for the budgets, and until the request is noted.
    async fn admitted(&self, ask: &Ask) -> (Permit, Option<Permit>) {
        // The scarce budget first, so that no request slot is held while waiting for it.
        let search = if ask.search {
            Some(self.inner.searches.acquire(self.lane).await)
        } else {
            None
        };
        let permit = self.inner.requests.acquire(self.lane).await;
        let used = self.inner.requests.view().used;
        self.inner.reserve.take(used).await;
        (permit, search)
    }

    /// Takes the permits, sends, reads, counts.
    async fn send_once(&self, ask: &Ask, key: &SecretString) -> Result<Reply, KustomerFault> {
        let mut closing = self.inner.closing.subscribe();
        let permits = tokio::select! {
            biased;
            permits = self.admitted(ask) => permits,
            _ = closing.wait_for(|closing| *closing) => return Err(KustomerFault::Stopping),
        };
        let started = clock::monotonic();
        let result = self.inner.exchange(ask, key).await;
        drop(permits);
        let fault = result.as_ref().err();
        self.inner.counter.count(ask.route, fault, clock::now());
        let milliseconds = clock::monotonic()
            .saturating_duration_since(started)
            .as_millis();
        tracing::debug!(
            route = ask.route,
            milliseconds,
            fault = fault.map(tracing::field::display),
            "asked Kustomer"
        );
        result
    }
}

impl Inner {
    /// One request, one verdict.
    async fn exchange(&self, ask: &Ask, key: &SecretString) -> Result<Reply, KustomerFault> {
        let url = self
            .origin
            .join(&ask.path)
            .map_err(|fault| KustomerFault::Unsendable(fault.to_string()))?;
        let mut request = Request::builder()
            .method(ask.method.clone())
            .uri(url.as_str())
            .header(AUTHORIZATION, bearer(key)?);
        let body = match &ask.body {
            None => Vec::new(),
            Some(body) => {
                request =
                    request.header(CONTENT_TYPE, HeaderValue::from_static("application/json"));
                body.to_string().into_bytes()
            }
        };
        let request = request
            .body(body)
            .map_err(|fault| KustomerFault::Unsendable(fault.to_string()))?;
        let reply = self.carrier.carry(request).await?;
        let (status, body) = (reply.status, reply.body);
        let date = reply.headers.get(DATE);
        self.time.heard(date.and_then(|date| date.to_str().ok()));
        let headers = headers(&reply.headers);
        let now = self.time.now().unwrap_or_else(clock::now);
        let pause = limits::pause_after(status, headers, self.window, now, clock::chance());
        let retry_after = limits::retry_after(headers);
        if let Some(pause) = pause {
            self.requests.pause(pause);
        }
        match status {
            204 => Ok(Reply {
                records: Vec::new(),
                next: None,
                total: None,
            }),
            200..=299 => wire::read(&body?).map_err(|what| KustomerFault::Garbled {
                status,
                what: what.to_owned(),
            }),
            429 => Err(KustomerFault::TooMany {
                after: pause.unwrap_or(self.window),
            }),
            _ => Err(refused(status, body, retry_after)),
        }
    }

    fn key(&self) -> SecretString {
        self.key
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// The key file's key if it is another than `used`: the key was rotated. The file is small and local, so that
    /// reading it here holds up nothing.
    fn changed_key(&self, used: &SecretString) -> Option<SecretString> {
        let key = read_key(&self.key_file).ok()?;
        if key.expose_secret() == used.expose_secret() {
            return None;
        }
        tracing::info!(file = %self.key_file.display(), "the API key file holds another key now");
        *self.key.lock().unwrap_or_else(PoisonError::into_inner) = key.clone();
        Some(key)
    }

    /// The path and query of a link to the next page, if it stays on our origin.
    fn own_path(&self, link: &str) -> Result<String, KustomerFault> {
        let url = self
            .origin
            .join(link)
            .map_err(|_| KustomerFault::ForeignLink)?;
        if url.origin() != self.origin.origin() {
            return Err(KustomerFault::ForeignLink);
        }
        Ok(url.query().map_or_else(
            || url.path().to_owned(),
            |query| format!("{}?{query}", url.path()),
        ))
    }
}

/// The only record of a reply to a read or a write of one.
pub(super) fn one(reply: Reply) -> Result<Record, KustomerFault> {
    let garbled = || KustomerFault::Garbled {
        status: 200,
        what: "no record".to_owned(),
    };
    reply.records.into_iter().next().ok_or_else(garbled)
}

/// `None` for 404 in Kustomer's own words, the one record otherwise.
pub(super) fn found(reply: Result<Reply, KustomerFault>) -> Result<Option<Record>, KustomerFault> {
    match reply {
        Ok(reply) => Ok(reply.records.into_iter().next()),
        Err(KustomerFault::NotFound) => Ok(None),
        Err(fault) => Err(fault),
    }
}

/// A value as one segment of a path, or as a query value.
pub(super) fn segment(value: &str) -> String {
    utf8_percent_encode(value, &SEGMENT).to_string()
}

/// A time as Kustomer writes it: UTC with milliseconds.
pub(super) fn time(at: Timestamp) -> String {
    format!("{at:.3}")
}

fn headers(headers: &HeaderMap) -> LimitHeaders<'_> {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    LimitHeaders {
        limit: header("x-ratelimit-limit"),
        remaining: header("x-ratelimit-remaining"),
        reset: header("x-ratelimit-reset"),
        retry_after: header("retry-after"),
    }
}
