//! Our own accept loop (axum's sets no timer): limits on connections, heads and waits, and a stop that drains under one
//! deadline. Serves the public listener and the admin one; `app.rs` calls it.
//!
//! Each connection holds a place. When all are taken, the connection that has waited longest without a request is
//! closed, strangers first. One address never has all of them: beyond its share its own connections are closed, so that
//! whoever opens thousands and leaves them pushes out his own, and a real post gets through.

use crate::clock;
use crate::shares::{Share, Shares};
use axum::Router;
use axum::body::Body;
use axum::http::header::{CONNECTION, TRANSFER_ENCODING};
use axum::http::{HeaderValue, Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time;
use tower::Service;

/// Request line and headers together; phone systems send a few hundred bytes.
const HEAD_BYTES_MAX: usize = 16 * 1024;
const HEADERS_MAX: usize = 64;
/// How long to wait after an accept that failed, mostly for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How often a full listener looks for a connection to close while all are busy.
const EVICT_PAUSE: Duration = Duration::from_millis(20);
/// At a stop, for the request of a connection that has sent none yet: it is on its way, and whoever sends it doesn't know of
/// our stop. More would let a connection that was opened and left hold up every restart.
const FIRST_REQUEST_AT_STOP: Duration = Duration::from_secs(1);
/// One address may have three times as many connections as are free: alone three quarters, as a proxy that stands before
/// all phone systems needs; more than one phone system may have in hand (half), so that behind a proxy, too, one that
/// floods leaves connections to the others.
const ADDRESS_GREED: usize = 3;
/// Who has one IPv6 address has a network of this size (RFC 6177).
const IPV6_NETWORK_BITS: u32 = 64;

/// Limits of one listener.
#[derive(Clone, Copy, Debug)]
pub struct ServeLimits {
    pub connections: usize,
    /// From accept to the end of the first request's head.
    pub header_timeout: Duration,
    /// From an answer to the end of the next request's head.
    pub idle_timeout: Duration,
    /// From the stop to the last answer; what is open then is cut.
    pub grace: Duration,
}

/// Where a request came from; a local socket counts as loopback. In every request's extensions.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub IpAddr);

impl Peer {
    /// Whom its share of the places is counted for.
    pub fn source(self) -> Source {
        match self.0 {
            IpAddr::V4(_) => Source(self.0),
            IpAddr::V6(address) => {
                let network = address.to_bits() & (u128::MAX << IPV6_NETWORK_BITS);
                Source(IpAddr::V6(Ipv6Addr::from_bits(network)))
            }
        }
    }
}

/// An address, or all of an IPv6 network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Source(IpAddr);

/// A bound socket that gives streams.
pub trait Listener: Send {
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    fn accept(&self) -> impl Future<Output = io::Result<(Self::Stream, Peer)>> + Send;
}

impl Listener for TcpListener {
    type Stream = tokio::net::TcpStream;

    async fn accept(&self) -> io::Result<(Self::Stream, Peer)> {
        let (stream, address) = TcpListener::accept(self).await?;
        // An answer is one small write; waiting for more would only delay it.
        stream.set_nodelay(true)?;
        Ok((stream, Peer(address.ip().to_canonical())))
    }
}

impl Listener for UnixListener {
    type Stream = tokio::net::UnixStream;

    async fn accept(&self) -> io::Result<(Self::Stream, Peer)> {
        let (stream, _) = UnixListener::accept(self).await?;
        Ok((stream, Peer(IpAddr::V4(Ipv4Addr::LOCALHOST))))
    }
}

/// A listener that outlives its server: it stays bound while the settings are read again.
impl<L: Listener + Sync> Listener for Arc<L> {
    type Stream = L::Stream;

    async fn accept(&self) -> io::Result<(Self::Stream, Peer)> {
        L::accept(self).await
    }
}

/// What answers a listener's requests.
pub trait Answer: Clone + Send + 'static {
    fn answer(
        &self,
        peer: Peer,
        request: Request<Incoming>,
    ) -> impl Future<Output = Response<Body>> + Send;
}

impl Answer for Router {
    async fn answer(&self, peer: Peer, mut request: Request<Incoming>) -> Response<Body> {
        request.extensions_mut().insert(peer);
        match self.clone().call(request.map(Body::new)).await {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }
}

/// A request's handler panicked: a fault of ours, after which the process must start anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a request handler panicked")]
pub struct Panicked;

/// Serves until `stop` is true, then takes no more connections, lets running requests end, and returns.
///
/// # Errors
/// `Panicked`; everything else a connection can do ends that connection alone.
pub async fn serve<L: Listener, A: Answer>(
    listener: L,
    answer: A,
    limits: ServeLimits,
    mut stop: watch::Receiver<bool>,
) -> Result<(), Panicked> {
    let places = Arc::new(Semaphore::new(limits.connections));
    let open = Arc::new(OpenConnections::new(limits.connections));
    let mut tasks = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            () = stopped(&mut stop) => break,
            Some(ended) = tasks.join_next(), if !tasks.is_empty() => panicked(ended)?,
            (place, accepted) = accept(&listener, &places, &open) => match (place, accepted) {
                (Some(place), Ok((stream, peer))) => {
                    // Without a share of the places the stream is closed here.
                    if let Some(connection) = open.enter(place, peer.source()) {
                        tasks.spawn(drive(stream, peer, connection, answer.clone(), limits, stop.clone()));
                    }
                }
                (None, _) | (_, Err(_)) => time::sleep(ACCEPT_PAUSE).await,
            },
        }
    }
    drop(listener);
    let drained = time::timeout(limits.grace, async {
        while let Some(ended) = tasks.join_next().await {
            panicked(ended)?;
        }
        Ok(())
    });
    drained.await.unwrap_or(Ok(()))
}

fn panicked(ended: Result<(), tokio::task::JoinError>) -> Result<(), Panicked> {
    if ended.is_err_and(|error| error.is_panic()) {
        Err(Panicked)
    } else {
        Ok(())
    }
}

async fn stopped(stop: &mut watch::Receiver<bool>) {
    // The sender's end is a stop too.
    let _ = stop.wait_for(|stop| *stop).await;
}

/// Waits for a connection, then for its place. Cancelled only between connections or at the stop.
async fn accept<L: Listener>(
    listener: &L,
    places: &Arc<Semaphore>,
    open: &OpenConnections,
) -> (Option<OwnedSemaphorePermit>, io::Result<(L::Stream, Peer)>) {
    let place = loop {
        match Arc::clone(places).try_acquire_owned() {
            Ok(place) => break Some(place),
            Err(_) => {
                drop(open.evict(None));
                if let Ok(place) =
                    time::timeout(EVICT_PAUSE, Arc::clone(places).acquire_owned()).await
                {
                    break place.ok();
                }
            }
        }
    };
    let accepted = listener.accept().await;
    if let Err(error) = &accepted {
        tracing::warn!(%error, "a connection could not be accepted");
        drop(open.evict(None));
    }
    (place, accepted)
}

/// One connection's life. Ends by itself, by a limit, by eviction, or at the stop.
async fn drive<S: AsyncRead + AsyncWrite + Unpin + Send + 'static, A: Answer>(
    stream: S,
    peer: Peer,
    place: Place,
    answer: A,
    limits: ServeLimits,
    mut stop: watch::Receiver<bool>,
) {
    let place = Arc::new(place);
    let service = service_fn({
        let (place, stop) = (Arc::clone(&place), Arc::new(stop.clone()));
        move |request: Request<Incoming>| {
            let (place, answer, stop) = (Arc::clone(&place), answer.clone(), Arc::clone(&stop));
            async move {
                place.begin();
                let chunked = request.headers().contains_key(TRANSFER_ENCODING);
                let mut response = answer.answer(peer, request).await;
                // There may have been a length, too, which hyper then passes over: what comes next on this connection may
                // be what a proxy took for the body, so nothing does (RFC 9112, 6.1).
                if chunked || *stop.borrow() {
                    let close = HeaderValue::from_static("close");
                    response.headers_mut().insert(CONNECTION, close);
                }
                place.end();
                Ok::<_, Infallible>(response)
            }
        }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        // hyper's timer runs while a kept connection waits, too; the first head's shorter limit is below.
        .header_read_timeout(limits.idle_timeout.max(limits.header_timeout))
        .max_headers(HEADERS_MAX)
        .max_header_size(HEAD_BYTES_MAX)
        // A peer that has sent all and closed its half still gets its answer; and hyper doesn't look for the end of the
        // connection while a request runs, which would cost each one a new read buffer.
        .half_close(true)
        .serve_connection(TokioIo::new(stream), service);
    let mut served = pin!(served);
    let mut first = pin!(time::sleep(limits.header_timeout));
    let (mut checked, mut leaving) = (false, false);
    loop {
        tokio::select! {
            biased;
            // A connection's end is its own affair: the peer went away or broke HTTP.
            _ = served.as_mut() => return,
            () = first.as_mut(), if !checked => {
                checked = true;
                if place.is_new() {
                    return;
                }
            }
            why = asked_to_leave(&place.connection, &mut stop), if !leaving => {
                leaving = true;
                match why {
                    Leave::Evicted if place.is_new() => return,
                    // hyper would close it with its request on the way; the answer to that one says that it is the last.
                    Leave::Stop if place.is_new() => {
                        let soon = clock::monotonic() + FIRST_REQUEST_AT_STOP;
                        let soon = soon.min(first.deadline());
                        first.as_mut().reset(soon);
                    }
                    // Ends at once if it waits for a further request, else after the answer.
                    Leave::Evicted | Leave::Stop => served.as_mut().graceful_shutdown(),
                }
            }
        }
    }
}

/// Why a connection is to end.
enum Leave {
    /// Another one needs its place.
    Evicted,
    Stop,
}

async fn asked_to_leave(connection: &Connection, stop: &mut watch::Receiver<bool>) -> Leave {
    tokio::select! {
        biased;
        () = connection.leave.notified() => Leave::Evicted,
        () = stopped(stop) => Leave::Stop,
    }
}

/// Every connection that may be told to leave, by number.
struct OpenConnections {
    shares: Arc<Shares<Source>>,
    by_number: Mutex<HashMap<u64, Arc<Connection>>>,
    /// Counts connections and answers: a clock that orders waits.
    tick: AtomicU64,
}

struct Connection {
    /// Of the places; one that was told to leave has none.
    share: Mutex<Option<Share<Source>>>,
    source: Source,
    busy: AtomicBool,
    served: AtomicBool,
    /// The tick of its accept or last answer.
    since: AtomicU64,
    leave: Notify,
}

/// A connection's place, given back when it is dropped.
struct Place {
    number: u64,
    connection: Arc<Connection>,
    open: Arc<OpenConnections>,
    _permit: OwnedSemaphorePermit,
}

impl OpenConnections {
    fn new(places: usize) -> Self {
        Self {
            shares: Shares::new(places, ADDRESS_GREED),
            by_number: Mutex::default(),
            tick: AtomicU64::new(0),
        }
    }

    /// A place for a connection from there, if need be that of the one from there that has waited longest.
    fn enter(self: &Arc<Self>, permit: OwnedSemaphorePermit, source: Source) -> Option<Place> {
        let share = self.shares.take(source, 1);
        let share = share.or_else(|| self.evict(Some(source)));
        let Some(share) = share else {
            tracing::debug!("an address has its share of the connections, all busy");
            return None;
        };
        let number = self.tick.fetch_add(1, Relaxed);
        let connection = Arc::new(Connection {
            share: Mutex::new(Some(share)),
            source,
            busy: AtomicBool::new(false),
            served: AtomicBool::new(false),
            since: AtomicU64::new(number),
            leave: Notify::new(),
        });
        self.all().insert(number, Arc::clone(&connection));
        Some(Place {
            number,
            connection,
            open: Arc::clone(self),
            _permit: permit,
        })
    }

    /// Tells the connection that has waited longest, of all or of those from there, to leave: one without a request so
    /// far before a kept one. Its share of the places; none if none waits.
    fn evict(&self, source: Option<Source>) -> Option<Share<Source>> {
        let mut all = self.all();
        let idle = all.iter().filter(|(_, connection)| {
            !connection.busy.load(Relaxed)
                && source.is_none_or(|source| source == connection.source)
        });
        let oldest = idle.min_by_key(|(_, connection)| {
            (
                connection.served.load(Relaxed),
                connection.since.load(Relaxed),
            )
        });
        let leaves = oldest.map(|(number, _)| *number);
        let connection = leaves.and_then(|number| all.remove(&number))?;
        connection.leave.notify_one();
        connection.share()
    }

    fn all(&self) -> MutexGuard<'_, HashMap<u64, Arc<Connection>>> {
        self.by_number
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Connection {
    /// Takes its share from it, to be given back.
    fn share(&self) -> Option<Share<Source>> {
        let mut share = self.share.lock().unwrap_or_else(PoisonError::into_inner);
        share.take()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.open.all().remove(&self.number);
    }
}

impl Place {
    fn begin(&self) {
        self.connection.busy.store(true, Relaxed);
    }

    fn end(&self) {
        self.connection
            .since
            .store(self.open.tick.fetch_add(1, Relaxed), Relaxed);
        self.connection.served.store(true, Relaxed);
        self.connection.busy.store(false, Relaxed);
    }

    /// No request so far, not even one that runs.
    fn is_new(&self) -> bool {
        !self.connection.busy.load(Relaxed) && !self.connection.served.load(Relaxed)
    }
}
