//! `POST /v1/pbx/{name}/events`: who sent it, is it whole, journal it, 202. Every other outcome is a problem that says
//! what to do. A dialect may take a GET too, and have an answer of its own (`decode::manners`). `app.rs` puts a `Front` before the routes of the public listener.

use super::body::{oversized, read, refuse};
use super::problem::{Extra, Problem, malformed, unavailable};
use super::proof::{Proof, ProofFault, Unproven};
use super::reply;
use super::server::{Answer, Peer, Source};
use crate::calls::decode::{self, RawEvent};
use crate::calls::journal::{Accepted, Journal, Posted};
use crate::clock;
use crate::settings::types::{Dialect, IntakeLimits, PbxSettings};
use crate::shares::{Share, Shares};
use crate::store::StoreFault;
use axum::Router;
use axum::extract::Request;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE, TRANSFER_ENCODING};
use axum::http::{HeaderValue, Method, StatusCode, request};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use hyper::body::Incoming;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Bytes of all bodies held at once, from their first byte to the journal: what intake may use of the memory. Twice
/// `body_bytes` if that is more: the largest body leaves room for another's.
const BODIES_BYTES_MAX: usize = 64 * 1024 * 1024;
/// What is in hand of one phone system from one address, requests and bytes, is never more than what is still free: one
/// that floods, or a stranger who posts in its name, keeps nobody else out.
const GREED: usize = 1;
/// Bodies are counted in pieces of this size.
const BODY_PIECE_BYTES: usize = 1024;
/// The query holds what a phone system appends, such as a call id; a longer one is no phone system's.
const QUERY_BYTES_MAX: usize = 2048;
/// A query that is the event: a text of ten parts in letters of three bytes, each written as `%XX`, and its fields.
const EVENT_QUERY_BYTES_MAX: usize = 12 * 1024;
/// What a GET's query is to the decoders.
const FORM: &str = "application/x-www-form-urlencoded";
const CONTENT_TYPE_BYTES_MAX: usize = 256;

/// The listener cannot be built.
#[derive(Debug, thiserror::Error)]
#[error("phone system {pbx}: {fault}")]
pub struct IntakeFault {
    pub pbx: String,
    pub fault: ProofFault,
}

/// What came in, by phone system, since the start. For metrics.
#[derive(Debug)]
pub struct IntakeStats {
    pub pbxs: BTreeMap<String, PbxCounts>,
    /// Requests for a phone system or path that isn't known.
    pub unknown: AtomicU64,
}

/// One phone system's requests by outcome; each request is counted once.
#[derive(Debug, Default)]
pub struct PbxCounts {
    pub accepted: AtomicU64,
    pub repeated: AtomicU64,
    /// 400, 405, 411, 415: not an event.
    pub malformed: AtomicU64,
    /// 401.
    pub unproven: AtomicU64,
    /// 403.
    pub foreign: AtomicU64,
    /// 413.
    pub oversized: AtomicU64,
    /// 408.
    pub slow: AtomicU64,
    /// 503.
    pub unavailable: AtomicU64,
}

/// Takes events from every configured phone system.
pub struct Intake {
    doors: BTreeMap<String, Door>,
    journal: Journal,
    limits: IntakeLimits,
    /// Requests from the end of their head to their answer; one place for each connection.
    requests: Arc<Shares<Sender>>,
    /// Pieces of bodies.
    bodies: Arc<Shares<Sender>>,
    stats: Arc<IntakeStats>,
}

/// A phone system, by its door's number, and where the request came from.
type Sender = (usize, Source);

struct Door {
    number: usize,
    dialect: Dialect,
    proof: Proof,
    allow_from: Vec<ipnet::IpNet>,
    /// Events may come as the query of a GET. A signature is of the body alone: with one they may not.
    get: bool,
    answer: Option<&'static str>,
}

impl Door {
    fn takes(&self, method: &Method) -> bool {
        method == Method::POST || (self.get && method == Method::GET)
    }
}

impl Intake {
    /// Reads the secret files.
    ///
    /// # Errors
    /// The first secret that cannot be used, with its phone system.
    pub fn new(
        pbxs: &[PbxSettings],
        limits: IntakeLimits,
        journal: Journal,
    ) -> Result<Self, IntakeFault> {
        let mut doors = BTreeMap::new();
        let mut stats = BTreeMap::new();
        for pbx in pbxs {
            // Without a proof it posts nothing: its events are fetched.
            let Some(auth) = &pbx.auth else { continue };
            let proof = Proof::build(auth).map_err(|fault| IntakeFault {
                pbx: pbx.name.clone(),
                fault,
            })?;
            let manners = decode::manners(pbx.dialect);
            let door = Door {
                number: doors.len(),
                dialect: pbx.dialect,
                get: manners.get && !matches!(proof, Proof::Hmac { .. }),
                answer: manners.answer,
                proof,
                allow_from: pbx.allow_from.clone(),
            };
            doors.insert(pbx.name.clone(), door);
            stats.insert(pbx.name.clone(), PbxCounts::default());
        }
        let bodies = BODIES_BYTES_MAX.max(limits.body_bytes.saturating_mul(2)) / BODY_PIECE_BYTES;
        let stats = Arc::new(IntakeStats {
            pbxs: stats,
            unknown: AtomicU64::new(0),
        });
        Ok(Self {
            doors,
            journal,
            limits,
            requests: Shares::new(limits.connections, GREED),
            bodies: Shares::new(bodies + 1, GREED),
            stats,
        })
    }

    pub fn stats(&self) -> Arc<IntakeStats> {
        Arc::clone(&self.stats)
    }
}

/// The public listener: posts of events, and whatever else `rest` answers. Events don't go through the router, whose
/// boxes and copies for each request would show in how many are taken a second.
#[derive(Clone)]
pub struct Front<R> {
    intake: Arc<Intake>,
    rest: R,
}

impl<R> Front<R> {
    pub fn new(intake: Intake, rest: R) -> Self {
        Self {
            intake: Arc::new(intake),
            rest,
        }
    }
}

/// A path that nobody knows is a 404 that says where events go.
pub fn or_unknown(rest: Router) -> Router {
    rest.fallback(unknown_path)
}

impl<R: Answer + Sync> Answer for Front<R> {
    async fn answer(&self, peer: Peer, request: Request<Incoming>) -> Response {
        match pbx_of(request.uri().path()).map(str::to_owned) {
            Some(name) => events(&self.intake, peer, &name, request).await,
            None => self.rest.answer(peer, request).await,
        }
    }
}

/// The phone system in `/v1/pbx/{name}/events`.
fn pbx_of(path: &str) -> Option<&str> {
    let name = path.strip_prefix("/v1/pbx/")?.strip_suffix("/events")?;
    (!name.is_empty() && !name.contains('/')).then_some(name)
}

async fn unknown_path(request: Request) -> Response {
    let problem = Problem::new(
        StatusCode::NOT_FOUND,
        "unknown-path",
        "there is nothing at this path; events go to /v1/pbx/{name}/events",
    );
    let (head, body) = request.into_parts();
    refuse(problem, &head.headers, body).await
}

async fn events(intake: &Intake, peer: Peer, name: &str, request: Request<Incoming>) -> Response {
    let (head, body) = request.into_parts();
    let (Some((name, door)), Some(counts)) = (
        intake.doors.get_key_value(name),
        intake.stats.pbxs.get(name),
    ) else {
        intake.stats.unknown.fetch_add(1, Relaxed);
        return refuse(unknown_pbx(), &head.headers, body).await;
    };
    if head.method == Method::POST
        && door.dialect == Dialect::Ringcentral
        && is_from(door, peer)
        && let Some(response) = reply::handshake(&door.proof, &head.headers, head.uri.query())
    {
        return response;
    }
    let checked = check_head(door, peer, &head, intake.limits.body_bytes)
        .and_then(|query| Ok((query, hold(intake, (door.number, peer.source()), &head)?)));
    let (query, _held) = match checked {
        Ok(checked) => checked,
        Err(problem) => {
            count(counts, &problem);
            return refuse(problem, &head.headers, body).await;
        }
    };
    let taken = match read_event(intake, name, door, head, query, body).await {
        Ok(posted) => append(intake, posted).await,
        Err(problem) => Err(problem),
    };
    match taken {
        Ok(accepted) => {
            let counter = if accepted.repeat {
                &counts.repeated
            } else {
                &counts.accepted
            };
            counter.fetch_add(1, Relaxed);
            match door.answer {
                Some(words) => reply::exact(words),
                None => reply::accepted(door.dialect, &accepted),
            }
        }
        Err(problem) => {
            count(counts, &problem);
            problem.into_response()
        }
    }
}

/// Everything that can be said before the body is read; gives the query that may be journaled.
fn check_head(
    door: &Door,
    peer: Peer,
    head: &request::Parts,
    body_max: usize,
) -> Result<Option<String>, Problem> {
    let get = head.method == Method::GET;
    if !door.takes(&head.method) {
        let (detail, allow) = if door.get {
            (
                "send events here by GET or POST, one in each request",
                "GET, POST",
            )
        } else {
            ("post events here, one in each request", "POST")
        };
        let problem = Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method", detail);
        return Err(problem.with(Extra::Allow(allow)));
    }
    if !is_from(door, peer) {
        let detail = "this address is not in the phone system's allow_from networks";
        return Err(Problem::new(
            StatusCode::FORBIDDEN,
            "foreign-address",
            detail,
        ));
    }
    let query = head.uri.query();
    let query_max = if get {
        EVENT_QUERY_BYTES_MAX
    } else {
        QUERY_BYTES_MAX
    };
    if query.is_some_and(|query| query.len() > query_max) {
        let detail = format!("the query is longer than {query_max} bytes");
        return Err(Problem::new(
            StatusCode::BAD_REQUEST,
            "query-too-long",
            detail,
        ));
    }
    let query = door
        .proof
        .check_head(&head.headers, query)
        .map_err(unproven)?;
    match head.headers.get(CONTENT_LENGTH).map(HeaderValue::to_str) {
        Some(Ok(length))
            if length
                .parse::<usize>()
                .is_ok_and(|length| length <= body_max) =>
        {
            Ok(query)
        }
        Some(_) => Err(oversized(body_max)),
        None if get => Ok(query),
        None if head.headers.contains_key(TRANSFER_ENCODING) => Ok(query),
        None => Err(Problem::new(
            StatusCode::LENGTH_REQUIRED,
            "length",
            "send the event as the body of the request",
        )),
    }
}

/// Reads the body and checks it. Takes the head to let go of it here: as long as its headers are held, hyper cannot use
/// the connection's buffer again and allocates another for the next request.
async fn read_event(
    intake: &Intake,
    name: &str,
    door: &Door,
    head: request::Parts,
    query: Option<String>,
    body: Incoming,
) -> Result<Posted, Problem> {
    let body = read(body, &intake.limits).await?;
    let headers = &head.headers;
    door.proof
        .check_body(headers, query.as_deref(), &body)
        .map_err(unproven)?;
    if head.method == Method::GET {
        // The query is the event, as a form would be.
        let body = Bytes::from(query.unwrap_or_default());
        return admitted(name, door, Some(FORM), None, body);
    }
    let content_type = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let content_type = content_type.filter(|value| value.len() <= CONTENT_TYPE_BYTES_MAX);
    admitted(name, door, content_type, query, body)
}

/// The event, if its body is whole.
fn admitted(
    name: &str,
    door: &Door,
    content_type: Option<&str>,
    query: Option<String>,
    body: Bytes,
) -> Result<Posted, Problem> {
    let received = clock::now();
    let raw = RawEvent {
        content_type,
        query: query.as_deref(),
        body: &body,
        received,
    };
    decode::admit(door.dialect, &raw).map_err(malformed)?;
    let body = door.proof.without_secret(body);
    Ok(Posted {
        pbx: name.to_owned(),
        received,
        content_type: content_type.map(str::to_owned),
        query,
        body,
    })
}

/// On disk when it answers.
async fn append(intake: &Intake, posted: Posted) -> Result<Accepted, Problem> {
    let (pbx, bytes) = (posted.pbx.clone(), posted.body.len());
    let accepted = intake.journal.append(posted).await;
    let accepted = accepted.map_err(|fault| unavailable(&fault))?;
    tracing::info!(pbx, event = %accepted.id, bytes, repeat = accepted.repeat, "event taken");
    Ok(accepted)
}

/// Takes a request in hand, with room for its body; one of unknown length takes the most it may have.
fn hold(
    intake: &Intake,
    sender: Sender,
    head: &request::Parts,
) -> Result<[Share<Sender>; 2], Problem> {
    let length = head
        .headers
        .get(CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok());
    let length =
        length
            .and_then(|length| length.parse().ok())
            .unwrap_or(if head.method == Method::GET {
                EVENT_QUERY_BYTES_MAX
            } else {
                intake.limits.body_bytes
            });
    let pieces = length.div_ceil(BODY_PIECE_BYTES);
    let busy = || unavailable(&StoreFault::Busy);
    let request = intake.requests.take(sender, 1).ok_or_else(busy)?;
    let body = intake.bodies.take(sender, pieces).ok_or_else(busy)?;
    Ok([request, body])
}

fn is_from(door: &Door, peer: Peer) -> bool {
    let mut networks = door.allow_from.iter();
    door.allow_from.is_empty() || networks.any(|network| network.contains(&peer.0))
}

fn count(counts: &PbxCounts, problem: &Problem) {
    tracing::debug!(kind = problem.kind, "request refused");
    let counter = match problem.status {
        StatusCode::UNAUTHORIZED => &counts.unproven,
        StatusCode::FORBIDDEN => &counts.foreign,
        StatusCode::PAYLOAD_TOO_LARGE => &counts.oversized,
        StatusCode::REQUEST_TIMEOUT => &counts.slow,
        StatusCode::SERVICE_UNAVAILABLE => &counts.unavailable,
        _ => &counts.malformed,
    };
    counter.fetch_add(1, Relaxed);
}

fn unknown_pbx() -> Problem {
    let detail =
        "no phone system has this name; the name in the path is that of a [[pbx]] in tieline.toml";
    Problem::new(StatusCode::NOT_FOUND, "unknown-phone-system", detail)
}

fn unproven(unproven: Unproven) -> Problem {
    let problem = Problem::new(StatusCode::UNAUTHORIZED, "wrong-proof", unproven.detail);
    problem.with(Extra::Challenge(unproven.challenge))
}
