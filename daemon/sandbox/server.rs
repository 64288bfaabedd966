//! The sandbox's HTTP: accepts connections, reads bodies, takes budgets, lets faults strike, writes replies.
//! Owns the connections; started by mod.rs, calls `routes.rs` and `admin.rs`.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, DATE, HeaderName, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::admin;
use super::bulk;
use super::faults::FaultKind;
use super::lock::Shared;
use super::reply::{Refusal, Reply};
use super::requests::Ask;
use super::routes;

/// Kustomer refuses larger bodies with 413.
const BODY_BYTES_MAX: usize = 100 * 1024;
/// An oversized body is read on up to here, so that its sender gets to see the 413.
const BODY_BYTES_READ_MAX: usize = 8 * 1024 * 1024;
/// Connections served at once; more wait in the listener's backlog.
const CONNECTIONS_MAX: usize = 1024;
/// A page as a proxy in front of the API shows it.
const GARBAGE: &str = "<html><head><title>ERROR: The request could not be satisfied</title></head><body></body></html>";

/// Accepts until dropped; dropping it closes every connection.
pub async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        while connections.len() >= CONNECTIONS_MAX {
            connections.join_next().await;
        }
        while connections.try_join_next().is_some() {}
        let Ok((stream, _)) = listener.accept().await else {
            // Out of file descriptors, most likely: a moment for connections to end.
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        // Small replies must not wait for an acknowledgement; without it they are only slower.
        let _ = stream.set_nodelay(true);
        connections.spawn(converse(stream, Arc::clone(&shared)));
    }
}

/// One connection's requests.
pub async fn converse(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    shared: Arc<Shared>,
) {
    // A task of its own: a request that arrived takes effect even when its sender has left meanwhile.
    let service = service_fn(|request| {
        let serving = tokio::spawn(dated(Arc::clone(&shared), request));
        async { serving.await.map_err(io::Error::other)? }
    });
    // A connection that breaks is the peer's business, or a fault's.
    let _ = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .auto_date_header(false)
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

/// The answer with the sandbox's own time, or, where it is switched off, with none.
async fn dated(shared: Arc<Shared>, request: Request<Incoming>) -> io::Result<Response<ReplyBody>> {
    let mut response = serve(Arc::clone(&shared), request).await?;
    let state = shared.lock();
    let date = state.clock.http_date();
    if let Some(date) = date.filter(|_| state.options.tells_time) {
        response.headers_mut().insert(DATE, date);
    }
    Ok(response)
}

/// Reads one request and answers it. An error here closes the connection without a reply.
async fn serve(shared: Arc<Shared>, request: Request<Incoming>) -> io::Result<Response<ReplyBody>> {
    let (parts, body) = request.into_parts();
    let body = read(body).await?;
    let too_large = body.is_none();
    let mut ask = Ask::new(
        parts.method.as_str(),
        parts.uri.path(),
        parts.uri.query().unwrap_or(""),
        body.unwrap_or_default(),
    );
    let header = |name: HeaderName| parts.headers.get(name)?.to_str().ok();
    ask.bearer = header(AUTHORIZATION)
        .and_then(|value| value.strip_prefix("Bearer "))
        .map(str::to_owned);
    ask.content_type = header(CONTENT_TYPE).map(str::to_owned);
    if ask.path.starts_with("/_sandbox/") {
        let answer = if too_large {
            Err(Refusal::too_large())
        } else {
            admin::answer(&mut shared.lock(), &ask)
        };
        return Ok(respond(answer, &Budget::default()));
    }
    let (budget, mut fault) = arrive(&shared, &ask);
    ask.job_fault = fault.take_if(|fault| fault.of_job());
    let perform = || {
        let answer = match budget.refused_until_ms {
            Some(reset_ms) => Err(Refusal::too_many(reset_ms)),
            None if too_large => Err(Refusal::too_large()),
            None => routes::answer(&mut shared.lock(), &ask),
        };
        finish(&shared, &answer);
        respond(answer, &budget)
    };
    match fault {
        None => Ok(perform()),
        Some(fault) => struck(fault, &budget, perform).await,
    }
}

/// Answers the way a fault wants it; `perform` does what was asked.
async fn struck(
    fault: FaultKind,
    budget: &Budget,
    perform: impl Fn() -> Response<ReplyBody> + Send,
) -> io::Result<Response<ReplyBody>> {
    match fault {
        FaultKind::Status {
            status,
            body,
            headers,
        } => {
            let body = body.map_or_else(String::new, |body| body.to_string());
            let mut response = plain(status, "application/json", body);
            budget.stamp(&mut response);
            for (name, value) in headers {
                let pair = (HeaderName::try_from(name), HeaderValue::try_from(value));
                if let (Ok(name), Ok(value)) = pair {
                    response.headers_mut().insert(name, value);
                }
            }
            Ok(response)
        }
        FaultKind::CloseBefore => Err(io::ErrorKind::ConnectionAborted.into()),
        FaultKind::CommitThenClose => {
            perform();
            Err(io::ErrorKind::ConnectionAborted.into())
        }
        FaultKind::CommitThenStatus { status } => {
            perform();
            let mut response = plain(status, "application/json", String::new());
            budget.stamp(&mut response);
            Ok(response)
        }
        FaultKind::Delay { ms } => {
            tokio::time::sleep(Duration::from_millis(ms)).await;
            Ok(perform())
        }
        FaultKind::CommitThenDelay { ms } => {
            let response = perform();
            tokio::time::sleep(Duration::from_millis(ms)).await;
            Ok(response)
        }
        FaultKind::Garbage { status, commit } => {
            if commit {
                perform();
            }
            Ok(plain(status, "text/html", GARBAGE.to_owned()))
        }
        FaultKind::Cut => {
            let mut response = perform();
            response.body_mut().cut();
            Ok(response)
        }
        FaultKind::BulkItems { .. }
        | FaultKind::BulkDelay { .. }
        | FaultKind::BulkSilent
        | FaultKind::BulkVanish => Ok(perform()),
    }
}

/// The body, or nothing when it is too large.
async fn read(mut body: Incoming) -> io::Result<Option<Bytes>> {
    let mut read = BytesMut::new();
    let mut length = 0usize;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(io::Error::other)?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
        length = length.saturating_add(data.len());
        if length > BODY_BYTES_READ_MAX {
            break;
        }
        if length <= BODY_BYTES_MAX {
            read.extend_from_slice(&data);
        }
    }
    Ok((length <= BODY_BYTES_MAX).then(|| read.freeze()))
}

/// Counts the request, takes it from the budget and asks the faults, all at one moment.
fn arrive(shared: &Shared, ask: &Ask) -> (Budget, Option<FaultKind>) {
    let mut state = shared.lock();
    bulk::run_due(&mut state);
    let now_ms = state.clock.elapsed_ms();
    state.requests.note(now_ms, ask.route());
    state.changed.send_replace(());
    let (remaining, refused_until_ms) = match state.limits.take_request(now_ms) {
        Ok(remaining) => (remaining, None),
        Err(reset_ms) => (0, Some(reset_ms)),
    };
    let budget = Budget {
        limit: Some(state.limits.options.requests),
        remaining,
        refused_until_ms,
        clock: state.limits.options.send_reset.then_some(state.clock),
    };
    (budget, state.faults.strike(&ask.method, &ask.path))
}

/// Counts a 429 and sets the timer of a bulk job.
fn finish(shared: &Arc<Shared>, answer: &Result<Reply, Refusal>) {
    match answer {
        Err(refusal) if refusal.status == 429 => {
            let mut state = shared.lock();
            state.requests.limited = state.requests.limited.saturating_add(1);
        }
        Ok(Reply {
            due_ms: Some(due_ms),
            ..
        }) => {
            let wait_ms = due_ms.saturating_sub(shared.lock().clock.elapsed_ms());
            let shared = Arc::downgrade(shared);
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_millis(wait_ms)).await;
                if let Some(shared) = shared.upgrade() {
                    bulk::run_due(&mut shared.lock());
                }
            });
        }
        Ok(_) | Err(_) => {}
    }
}

/// What the rate-limit headers of a reply say.
#[derive(Default)]
struct Budget {
    limit: Option<usize>,
    remaining: usize,
    refused_until_ms: Option<u64>,
    clock: Option<super::clock::Clock>,
}

impl Budget {
    fn stamp(&self, response: &mut Response<ReplyBody>) {
        let Some(limit) = self.limit else { return };
        let headers = response.headers_mut();
        headers.insert("x-ratelimit-limit", HeaderValue::from(limit));
        headers.insert("x-ratelimit-remaining", HeaderValue::from(self.remaining));
        headers.insert("x-kustomer-pod", HeaderValue::from_static("sandbox"));
    }
}

fn respond(answer: Result<Reply, Refusal>, budget: &Budget) -> Response<ReplyBody> {
    let (status, body, reset_ms) = match answer {
        Ok(reply) => (reply.status, reply.body, None),
        Err(refusal) => (refusal.status, Some(refusal.body()), refusal.reset_ms),
    };
    let text = body.as_ref().map(Value::to_string).unwrap_or_default();
    let mut response = plain(status, "application/json; charset=utf-8", text);
    budget.stamp(&mut response);
    if let (Some(reset_ms), Some(clock)) = (reset_ms, budget.clock) {
        let reset = HeaderValue::from(clock.epoch_seconds_after(reset_ms));
        response.headers_mut().insert("x-ratelimit-reset", reset);
    }
    response
}

fn plain(status: u16, content_type: &'static str, body: String) -> Response<ReplyBody> {
    let is_empty = body.is_empty();
    let mut response = Response::new(ReplyBody::Whole(Some(Bytes::from(body))));
    *response.status_mut() =
        StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    if !is_empty {
        response
            .headers_mut()
            .insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    }
    response
}

/// A reply's bytes, all of them or a part that claims to be all.
enum ReplyBody {
    Whole(Option<Bytes>),
    /// Some bytes, a pause in which they are sent, then a broken connection.
    Cut {
        announced: u64,
        rest: Option<Bytes>,
        paused: bool,
    },
}

impl ReplyBody {
    fn cut(&mut self) {
        if let ReplyBody::Whole(Some(bytes)) = self {
            let half = bytes.slice(..bytes.len() / 2);
            let announced = u64::try_from(bytes.len()).unwrap_or(u64::MAX).max(1);
            *self = ReplyBody::Cut {
                announced,
                rest: Some(half).filter(|half| !half.is_empty()),
                paused: false,
            };
        }
    }
}

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        match self.get_mut() {
            ReplyBody::Whole(bytes) => Poll::Ready(
                bytes
                    .take()
                    .filter(|bytes| !bytes.is_empty())
                    .map(|bytes| Ok(Frame::data(bytes))),
            ),
            ReplyBody::Cut { rest, paused, .. } => match rest.take() {
                Some(bytes) => Poll::Ready(Some(Ok(Frame::data(bytes)))),
                None if !*paused => {
                    *paused = true;
                    context.waker().wake_by_ref();
                    Poll::Pending
                }
                None => Poll::Ready(Some(Err(io::ErrorKind::BrokenPipe.into()))),
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            ReplyBody::Whole(bytes) => bytes.as_ref().is_none_or(Bytes::is_empty),
            ReplyBody::Cut { .. } => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            ReplyBody::Whole(bytes) => {
                let length = bytes.as_ref().map_or(0, Bytes::len);
                SizeHint::with_exact(u64::try_from(length).unwrap_or(u64::MAX))
            }
            ReplyBody::Cut { announced, .. } => SizeHint::with_exact(*announced),
        }
    }
}
