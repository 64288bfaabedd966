//! The spans of `trace.rs` on their way to a collector (`[daemon.otel]`, decision 013): a layer that sees them end, a queue
//! that never waits, a task that sends what is in it. Started and stopped by `app.rs`; each reload starts anew.
//!
//! Of a span leave its name, its times and the fields in `LEAVING`. Ids of events, calls and texts stay here: they are a phone
//! system's words, or hashes of what it sent. All spans of one call are in one trace, whose id is an HMAC of the call's key.

mod http;
mod message;

use super::{SPANS, TARGET};
use crate::clock;
use crate::settings::types::{DaemonSettings, OtelSettings};
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::Collector;
use jiff::Timestamp;
use message::Ended;
use rustix::rand::{GetRandomFlags, getrandom};
use sha2::Sha256;
use std::fmt;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{PoisonError, RwLock};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::{Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

/// Spans that wait; with a collector that hangs they are those of some hundred calls, in about a megabyte.
const QUEUE_MAX: usize = 4096;
/// Spans in one request.
const REQUEST_SPANS_MAX: usize = 512;
/// How long the first span of a request waits for others.
const GATHER_TIME: Duration = Duration::from_secs(1);
/// How long a stop waits for what is still in the queue.
const FLUSH_TIME_MAX: Duration = Duration::from_secs(2);
/// Fields that leave: names from the settings and fixed words.
const LEAVING: [&str; 3] = ["pbx", "integration", "what"];
/// In the state folder: what makes of calls' keys ids that say nothing elsewhere.
const KEY_FILE: &str = "trace-key";
const KEY_BYTES: usize = 32;

/// Where spans go, for the whole process as its logs do; none: nowhere.
static OUTLET: RwLock<Option<Outlet>> = RwLock::new(None);

struct Outlet {
    key: [u8; KEY_BYTES],
    queue: mpsc::Sender<Ended>,
}

/// What sends. Dropped without a stop it still sends what is in its queue, beside whatever comes after it.
#[derive(Debug)]
pub struct Export(Option<JoinHandle<()>>);

impl Export {
    /// From now on spans go where the settings say, or nowhere; nowhere too, with a warning, where a file can't be used or the disk
    /// is full: a trace must not cost a call. Speaks to nobody yet.
    pub fn start(daemon: &DaemonSettings) -> Self {
        let started = daemon.otel.as_ref();
        let started = started.map(|settings| open(settings, &daemon.state_dir));
        let (outlet, sending) = match started.transpose() {
            Ok(started) => started.unzip(),
            Err(fault) => {
                tracing::warn!(fault, "spans go nowhere until the next start or reload");
                (None, None)
            }
        };
        *OUTLET.write().unwrap_or_else(PoisonError::into_inner) = outlet;
        Self(sending)
    }

    /// No more spans are taken; those in the queue have `FLUSH_TIME_MAX` to leave.
    pub async fn stop(self) {
        OUTLET
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let Some(mut sending) = self.0 else { return };
        if timeout(FLUSH_TIME_MAX, &mut sending).await.is_err() {
            sending.abort();
            tracing::warn!("the last spans didn't get to the collector");
        }
    }
}

/// The trace of a call or text, by its key in the ledger: 32 hex digits. None while spans go nowhere.
pub fn trace_of(call: &str) -> Option<String> {
    let outlet = OUTLET.read().unwrap_or_else(PoisonError::into_inner);
    let key = &outlet.as_ref()?.key;
    Some(format!("{:032x}", trace_id(key, call)?))
}

/// What is put beside the logs. Knows the spans of `trace.rs` alone: whatever `TIELINE_LOG` says, and nobody else's.
pub fn layer<S: Subscriber + for<'a> LookupSpan<'a>>() -> impl Layer<S> {
    let ours = |span: &Metadata<'_>| span.is_span() && span.target() == TARGET;
    Spans.with_filter(filter_fn(ours).with_max_level_hint(LevelFilter::ERROR))
}

fn open(settings: &OtelSettings, state_dir: &Path) -> Result<(Outlet, JoinHandle<()>), String> {
    let collector = Collector::new(settings)?;
    let file = state_dir.join(KEY_FILE);
    let key = key(&file).map_err(|error| format!("{}: {error}", file.display()))?;
    let (queue, ended) = mpsc::channel(QUEUE_MAX);
    let sending = tokio::spawn(send(collector, ended));
    Ok((Outlet { key, queue }, sending))
}

/// The installation's own key, made if there is none. Who loses it has other ids from then on, and no harm else.
fn key(file: &Path) -> io::Result<[u8; KEY_BYTES]> {
    let held = fs::read(file).unwrap_or_default();
    if let Ok(key) = held.try_into() {
        return Ok(key);
    }
    let mut key = [0; KEY_BYTES];
    getrandom(&mut key, GetRandomFlags::empty())?;
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    options.open(file)?.write_all(&key)?;
    Ok(key)
}

fn trace_id(key: &[u8], call: &str) -> Option<u128> {
    let mut hash = Hmac::<Sha256>::new_from_slice(key).ok()?;
    hash.update(call.as_bytes());
    let hash = hash.finalize().into_bytes();
    hash.first_chunk().copied().map(u128::from_be_bytes)
}

/// Sends until the queue is closed and empty. A request is made once: a collector that is away loses spans, nothing else.
async fn send(collector: Collector, mut queue: mpsc::Receiver<Ended>) {
    let mut refused = false;
    while let Some(first) = queue.recv().await {
        let mut spans = vec![first];
        // What has come until the time is over is in `spans`.
        let _ = timeout(GATHER_TIME, fill(&mut queue, &mut spans)).await;
        let count = spans.len() as u64;
        match collector.post(message::request(&spans)).await {
            Ok(rejected) => {
                SPANS
                    .sent
                    .fetch_add(count.saturating_sub(rejected), Relaxed);
                SPANS.dropped.fetch_add(rejected.min(count), Relaxed);
                if std::mem::take(&mut refused) {
                    tracing::info!("the collector takes spans again");
                }
            }
            Err(fault) => {
                SPANS.dropped.fetch_add(count, Relaxed);
                if !std::mem::replace(&mut refused, true) {
                    tracing::warn!(%fault, "spans don't get to the collector and are dropped until they do");
                }
            }
        }
    }
}

/// Adds what is in the queue and what comes, until a request is full or nothing more can come.
async fn fill(queue: &mut mpsc::Receiver<Ended>, spans: &mut Vec<Ended>) {
    loop {
        let room = REQUEST_SPANS_MAX.saturating_sub(spans.len());
        if room == 0 || queue.recv_many(spans, room).await == 0 {
            return;
        }
    }
}

/// A span that hasn't ended.
#[derive(Debug)]
struct Open {
    id: u64,
    /// The call's; none as long as nobody knows of which call it is.
    trace: Option<u128>,
    attributes: Vec<(&'static str, String)>,
    started: Timestamp,
}

impl Visit for Open {
    fn record_str(&mut self, field: &Field, value: &str) {
        let name = field.name();
        if LEAVING.contains(&name) {
            self.attributes.push((name, value.to_owned()));
        } else if name == "trace" {
            // An event that speaks of several calls is in the first one's.
            let read = || u128::from_str_radix(value, 16).ok();
            self.trace = self.trace.or_else(read);
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn fmt::Debug) {}
}

struct Spans;

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Spans {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let outlet = OUTLET.read().unwrap_or_else(PoisonError::into_inner);
        let Some(span) = context.span(id).filter(|_| outlet.is_some()) else {
            return;
        };
        let mut open = Open {
            id: message::span_id(clock::random_bits()),
            trace: None,
            attributes: Vec::new(),
            started: clock::now(),
        };
        attributes.record(&mut open);
        span.extensions_mut().insert(open);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        if let Some(span) = context.span(id)
            && let Some(open) = span.extensions_mut().get_mut::<Open>()
        {
            values.record(open);
        }
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        let Some(span) = context.span(&id) else {
            return;
        };
        let Some(open) = span.extensions_mut().remove::<Open>() else {
            return;
        };
        let of_its_trace = |parent: &Open| open.trace.is_some() && parent.trace == open.trace;
        let parent = span.parent().and_then(|parent| {
            let around = parent.extensions();
            around
                .get()
                .filter(|one| of_its_trace(one))
                .map(|one| one.id)
        });
        let outlet = OUTLET.read().unwrap_or_else(PoisonError::into_inner);
        let Some(Outlet { queue, .. }) = outlet.as_ref() else {
            return;
        };
        let ended = Ended {
            name: span.name(),
            trace: open.trace.unwrap_or_else(clock::random_bits),
            id: open.id,
            parent,
            attributes: open.attributes,
            started: open.started,
            ended: clock::now(),
        };
        if queue.try_send(ended).is_err() {
            SPANS.dropped.fetch_add(1, Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::terms::ids::EventId;
    use crate::trace;
    use std::os::unix::fs::PermissionsExt as _;
    use tracing_subscriber::layer::SubscriberExt as _;

    /// The one test that has an outlet: it is the process's.
    #[test]
    fn spans_wait_as_far_as_there_is_room_and_know_whose_they_are() {
        let (queue, mut ended) = mpsc::channel(3);
        let key = [7; KEY_BYTES];
        *OUTLET.write().unwrap() = Some(Outlet { key, queue });
        let logs = tracing_subscriber::registry().with(layer());
        tracing::subscriber::with_default(logs, || {
            let event = trace::event("hq", EventId([1; 16])).entered();
            trace::joins("call:hq:a1");
            trace::joins("call:hq:a2");
            drop(trace::call("hq", "call:hq:a1"));
            drop(trace::call("hq", "call:hq:a2"));
            tracing::error_span!("somebody else's", pbx = "hq").in_scope(|| tracing::error!("no"));
            drop(event);
            drop(trace::integration("sync", "support"));
            drop(trace::delivery("support", "call:hq:a1"));
        });
        OUTLET.write().unwrap().take();
        let (first, second) = (trace_id(&key, "call:hq:a1"), trace_id(&key, "call:hq:a2"));
        assert_ne!(first, second);
        let mut took = Vec::new();
        while let Ok(span) = ended.try_recv() {
            took.push(span);
        }
        let [inside, outside, event] = took.as_slice() else {
            panic!("{took:?}");
        };
        let pbx = || vec![("pbx", "hq".to_owned())];
        for (span, name, of) in [
            (inside, "call", first),
            (outside, "call", second),
            (event, "event", first),
        ] {
            assert_eq!((span.name, Some(span.trace)), (name, of));
            assert_eq!(span.attributes, pbx());
        }
        let parents = [inside, outside, event].map(|span| span.parent);
        assert_eq!(parents, [Some(event.id), None, None]);
        assert_eq!(SPANS.dropped.load(Relaxed), 2);
        assert_eq!(trace_of("call:hq:a1"), None);
    }

    #[test]
    fn the_key_is_made_once() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(KEY_FILE);
        let made = key(&file).unwrap();
        assert_eq!(key(&file).unwrap(), made);
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        // A power cut has left it empty.
        fs::write(&file, "").unwrap();
        let anew = key(&file).unwrap();
        assert_ne!(anew, made);
        assert_eq!(key(&file).unwrap(), anew);
        assert!(key(&folder.path().join("none").join(KEY_FILE)).is_err());
    }
}
