//! The contacts API on the listener of the phone systems: lookup, list, read, write, changes. docs/contacts.md has the
//! contract. `app.rs` puts a `Desk` behind the front that takes events.

mod clients;
mod lookup;
mod query;
mod routes;

use super::directory::ContactBook;
use crate::calls::intake::proof::ProofFault;
use crate::calls::intake::server::{Answer, Peer};
use crate::settings::types::{ClientSettings, IntakeLimits};
use crate::terms::number::NumberPlan;
use axum::Router;
use axum::http::Request;
use axum::response::Response;
use clients::Clients;
use hyper::body::Incoming;
use query::Target;
pub use routes::page;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use tokio::sync::{Semaphore, watch};

/// Body of one contact: all it may hold, several times over.
const BODY_BYTES_MAX: usize = 64 * 1024;
/// Requests that wait for changes at once: each holds a connection. A phone system needs one.
const WAITERS_MAX: usize = 64;

/// Lookups since the start, each counted once. For metrics.
#[derive(Debug, Default)]
pub struct LookupStats {
    pub found: AtomicU64,
    /// Nobody's number, or no number at all.
    pub unknown: AtomicU64,
    pub refused: AtomicU64,
}

/// Everything the API needs.
pub struct Api {
    book: ContactBook,
    plan: NumberPlan,
    clients: Clients,
    limits: IntakeLimits,
    stats: Arc<LookupStats>,
    waiters: Semaphore,
}

impl Api {
    /// Reads the clients' token files.
    ///
    /// # Errors
    /// The first token that can't be used.
    pub fn build(
        clients: &[ClientSettings],
        plan: &NumberPlan,
        limits: IntakeLimits,
        book: ContactBook,
    ) -> Result<Self, ProofFault> {
        let limits = IntakeLimits {
            body_bytes: BODY_BYTES_MAX,
            ..limits
        };
        Ok(Self {
            book,
            plan: plan.clone(),
            clients: Clients::build(clients)?,
            limits,
            stats: Arc::default(),
            waiters: Semaphore::new(WAITERS_MAX),
        })
    }

    pub fn stats(&self) -> Arc<LookupStats> {
        Arc::clone(&self.stats)
    }
}

/// Answers the API's paths, and hands all others on.
#[derive(Clone)]
pub struct Desk {
    api: Arc<Api>,
    stop: watch::Receiver<bool>,
    rest: Router,
}

impl Desk {
    /// Requests that wait for changes end with `stop`.
    pub fn new(api: Api, stop: watch::Receiver<bool>, rest: Router) -> Self {
        Self {
            api: Arc::new(api),
            stop,
            rest,
        }
    }
}

impl Answer for Desk {
    async fn answer(&self, peer: Peer, request: Request<Incoming>) -> Response {
        if request.uri().path() == "/v1/lookup" {
            let (head, _) = request.into_parts();
            return lookup::lookup(&self.api, &head);
        }
        match Target::of(request.uri().path()) {
            Some(target) => routes::contacts(&self.api, &self.stop, target, request).await,
            None => self.rest.answer(peer, request).await,
        }
    }
}
