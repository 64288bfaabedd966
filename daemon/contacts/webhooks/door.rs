//! `POST /v1/kustomer/{name}/webhook`: is it signed, have we seen it, put it on disk, 202. `app.rs` puts a `Reception`
//! behind the front that takes the phone systems' events.

use super::{Taken, Webhooks, event};
use crate::calls::intake::body::{read, refuse};
use crate::calls::intake::problem::{Extra, Problem, unavailable};
use crate::calls::intake::proof::{Proof, ProofFault};
use crate::calls::intake::server::{Answer, Peer};
use crate::settings::types::{Auth, HmacAlgorithm, IntakeLimits, WebhookSettings};
use crate::store::StoreFault;
use axum::extract::Request;
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use hyper::body::Incoming;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use tokio::sync::Semaphore;

/// Source: Kustomer: Delivery and retries. Hex of the HMAC-SHA256 of the raw body, its key the webhook's token.
const SIGNATURE: &str = "x-kustomer-webhook-signature";
/// A customer with all it may hold, and what it was before, several times over.
const BODY_BYTES_MAX: usize = 1024 * 1024;
/// Bodies held at once: 16 MiB of memory. Kustomer tries again.
const BODIES_MAX: usize = 16;

/// What came to one integration's webhook since the start, each request counted once. For metrics and `status`.
#[derive(Debug, Default)]
pub struct WebhookStats {
    pub accepted: AtomicU64,
    pub repeated: AtomicU64,
    /// Events that aren't of customers, or of none that could be read.
    pub other: AtomicU64,
    /// Too many customers wait.
    pub left_out: AtomicU64,
    /// Not signed, or with another secret: 401.
    pub unproven: AtomicU64,
    /// Every other answer that isn't 2xx.
    pub refused: AtomicU64,
}

impl WebhookStats {
    /// The counts with their words.
    pub fn outcomes(&self) -> [(&'static str, u64); 6] {
        [
            ("accepted", &self.accepted),
            ("repeated", &self.repeated),
            ("other", &self.other),
            ("left_out", &self.left_out),
            ("unproven", &self.unproven),
            ("refused", &self.refused),
        ]
        .map(|(word, count)| (word, count.load(Relaxed)))
    }
}

/// One integration's webhook.
pub struct Door {
    proof: Proof,
    webhooks: Webhooks,
    pub stats: Arc<WebhookStats>,
}

impl Door {
    /// Reads the secret file.
    ///
    /// # Errors
    /// A secret that can't be used.
    pub fn build(settings: &WebhookSettings, webhooks: Webhooks) -> Result<Self, ProofFault> {
        let proof = Proof::build(&Auth::Hmac {
            secret_file: settings.secret_file.clone(),
            header: SIGNATURE.to_owned(),
            algorithm: HmacAlgorithm::Sha256,
        })?;
        Ok(Self {
            proof,
            webhooks,
            stats: Arc::default(),
        })
    }
}

/// Takes webhooks, and hands all other requests on.
#[derive(Clone)]
pub struct Reception<R> {
    inner: Arc<Inner>,
    rest: R,
}

struct Inner {
    doors: BTreeMap<String, Door>,
    limits: IntakeLimits,
    bodies: Semaphore,
}

impl<R> Reception<R> {
    /// `doors` by the integration's name.
    pub fn new(doors: BTreeMap<String, Door>, limits: IntakeLimits, rest: R) -> Self {
        let limits = IntakeLimits {
            body_bytes: BODY_BYTES_MAX,
            ..limits
        };
        let bodies = Semaphore::new(BODIES_MAX);
        Self {
            inner: Arc::new(Inner {
                doors,
                limits,
                bodies,
            }),
            rest,
        }
    }
}

impl<R: Answer + Sync> Answer for Reception<R> {
    async fn answer(&self, peer: Peer, request: Request<Incoming>) -> Response {
        match integration_of(request.uri().path()).map(str::to_owned) {
            Some(name) => self.inner.webhook(&name, request).await,
            None => self.rest.answer(peer, request).await,
        }
    }
}

/// The integration in `/v1/kustomer/{name}/webhook`.
fn integration_of(path: &str) -> Option<&str> {
    let name = path
        .strip_prefix("/v1/kustomer/")?
        .strip_suffix("/webhook")?;
    (!name.is_empty() && !name.contains('/')).then_some(name)
}

impl Inner {
    async fn webhook(&self, name: &str, request: Request<Incoming>) -> Response {
        let (head, body) = request.into_parts();
        let Some(door) = self.doors.get(name) else {
            return refuse(no_door(), &head.headers, body).await;
        };
        let checked = if head.method == Method::POST {
            door.proof
                .check_head(&head.headers, None)
                .map_err(|_| unproven())
                .and_then(|_| self.hold())
        } else {
            let detail = "Kustomer posts events here";
            let problem = Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method", detail);
            Err(problem.with(Extra::Allow("POST")))
        };
        let _held = match checked {
            Ok(held) => held,
            Err(problem) => {
                count(&door.stats, name, &problem);
                return refuse(problem, &head.headers, body).await;
            }
        };
        let read = read(body, &self.limits).await;
        let proven = read.and_then(|body| {
            let proof = door.proof.check_body(&head.headers, None, &body);
            proof.map(|()| body).map_err(|_| unproven())
        });
        let taken = match proven {
            Ok(body) => door.take(name, &body).await,
            Err(problem) => Err(problem),
        };
        match taken {
            Ok(()) => StatusCode::ACCEPTED.into_response(),
            Err(problem) => {
                count(&door.stats, name, &problem);
                problem.into_response()
            }
        }
    }

    fn hold(&self) -> Result<tokio::sync::SemaphorePermit<'_>, Problem> {
        let held = self.bodies.try_acquire();
        held.map_err(|_| unavailable(&StoreFault::Busy))
    }
}

impl Door {
    /// On disk when it answers. What is signed is Kustomer's, and refusing what we can't read would only make Kustomer
    /// turn the webhook off.
    async fn take(&self, name: &str, body: &[u8]) -> Result<(), Problem> {
        let taken = match event::read(body) {
            Some(event) => self.webhooks.take(event).await,
            None => {
                tracing::warn!(integration = name, "a signed webhook is no JSON object");
                Ok(Taken::Other)
            }
        };
        let taken = taken.map_err(|fault| unavailable(&fault))?;
        let counter = match taken {
            Taken::New => &self.stats.accepted,
            Taken::Repeated => &self.stats.repeated,
            Taken::Other => &self.stats.other,
            Taken::LeftOut => &self.stats.left_out,
        };
        counter.fetch_add(1, Relaxed);
        tracing::debug!(integration = name, ?taken, "webhook taken");
        Ok(())
    }
}

fn count(stats: &WebhookStats, name: &str, problem: &Problem) {
    tracing::debug!(
        integration = name,
        kind = problem.kind,
        "a webhook was refused"
    );
    let counter = if problem.status == StatusCode::UNAUTHORIZED {
        &stats.unproven
    } else {
        &stats.refused
    };
    counter.fetch_add(1, Relaxed);
}

fn unproven() -> Problem {
    let detail = "X-Kustomer-Webhook-Signature is missing or wrong; secret_file in [kustomer.webhook] must hold the token of \
                  this webhook: `tieline webhook install` writes it";
    let problem = Problem::new(StatusCode::UNAUTHORIZED, "wrong-proof", detail);
    problem.with(Extra::Challenge("HMAC realm=\"tieline\""))
}

fn no_door() -> Problem {
    let detail = "no integration of this name takes webhooks; set secret_file in [kustomer.webhook] of the [[kustomer]] with \
                  the name in the path, and run `tieline webhook install`";
    Problem::new(StatusCode::NOT_FOUND, "no-webhook", detail)
}
